/**
 * `deno task fuzz:api [--calls N] [--seed S] [--only NAME] [--limit SECONDS] [--replay JSON]`: calls the whole public
 * surface at random, a million times unless told otherwise, at least half of the calls valid. Every error must be one
 * of Toro's, no call may end the process or take longer than the limit. A second process makes the calls; when it
 * dies or hangs, the call that it was in is printed, to be made again with `--replay`, and another goes on.
 */
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl } from "@std/path";

const flags = parseArgs(Deno.args, {
  string: ["calls", "seed", "only", "limit", "replay"],
  default: { calls: "1000000", seed: "1", only: "", limit: "30" },
});
const child = fromFileUrl(new URL("./fuzz_api/child.ts", import.meta.url));

if (flags.replay !== undefined) {
  const { code, signal } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", child, "--replay", flags.replay],
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (signal !== null) console.log(`ended by ${signal}`);
  Deno.exit(code);
}

interface Done {
  done: number;
  valid: number;
  foreignCount: number;
  callees: number;
  never: string[];
  slow: { ms: number; call: unknown }[];
}

/** One message by the place that it comes from is enough of a kind. */
const kinds = new Map<string, number>();
let bad = 0;
const begin = performance.now();
let left = Number(flags.calls), seed = Number(flags.seed), made = 0, valid = 0;
const never = new Map<string, number>();
let runs = 0;
const MOST_DEATHS = 20;

while (left > 0 && runs <= MOST_DEATHS) {
  runs++;
  const last = await Deno.makeTempFile();
  const { ended, done } = await watch(left, seed, last);
  const { index, call } = readLast(await Deno.readFile(last));
  await Deno.remove(last);
  if (done === undefined) {
    bad++;
    if (call === "") {
      console.log(`no call was made: ${ended}`);
      break;
    }
    console.log(`${ended} in call ${index} of seed ${seed}: --replay '${call}'`);
    made += index;
    left -= index + 1;
    seed += 1_000_003;
    continue;
  }
  made += done.done;
  valid += done.valid;
  left = 0;
  for (const name of done.never) never.set(name, done.done);
  for (const { ms, call } of done.slow) {
    console.log(`slow: ${ms} ms: --replay '${JSON.stringify(call)}'`);
  }
  console.log(`${done.callees} functions, methods and classes`);
  if (done.never.length > 0) console.log(`never valid: ${done.never.join(" ")}`);
}
const share = 100 * valid / Math.max(made, 1);
console.log(
  `${made} calls in ${((performance.now() - begin) / 1e3).toFixed(0)} s, ${
    share.toFixed(1)
  } % valid; ${bad} signals, hangs and foreign errors, of ${kinds.size} kinds those that threw`,
);
if (share < 50 && bad === 0) console.log("fewer than half of the calls were valid");
Deno.exit(bad > 0 || share < 50 ? 1 : 0);

/** Runs the second process until it is done, dies, or stays in one call for longer than the limit. */
async function watch(
  calls: number,
  seed: number,
  last: string,
): Promise<{ ended: string; done?: Done }> {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-ffi",
      "--allow-read",
      "--allow-env",
      `--allow-write=${last}`,
      "--no-prompt",
      child,
      String(calls),
      String(seed),
      flags.only,
      last,
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let done: Done | undefined, hung = false, index = -1, since = performance.now();
  const timer = setInterval(async () => {
    const now = readLast(await Deno.readFile(last)).index;
    if (now !== index) [index, since] = [now, performance.now()];
    else if (performance.now() - since > Number(flags.limit) * 1e3) {
      hung = true;
      process.kill("SIGKILL");
    }
  }, 1000);
  const errors = new Response(process.stderr).text();
  let rest = "";
  for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith("{")) continue;
      const said = JSON.parse(line);
      if (said.done !== undefined) done = said;
      else report(said);
    }
  }
  const { code, signal } = await process.status;
  clearInterval(timer);
  if (done !== undefined && code === 0) return { ended: "done", done };
  const ended = hung ? `no end after ${flags.limit} s` : signal ?? `exit ${code}`;
  return { ended: `${ended}\n${(await errors).split("\n").slice(-12).join("\n")}` };
}

function report({ foreign, call }: { foreign: string; call: { callee: string } }): void {
  bad++;
  const place = foreign.split("\n").slice(1, 3).join("");
  const kind = `${foreign.split(":")[0]} ${place}`;
  const count = (kinds.get(kind) ?? 0) + 1;
  kinds.set(kind, count);
  if (count === 1) {
    console.log(`${call.callee} threw ${foreign}\n  --replay '${JSON.stringify(call)}'`);
  }
}

function readLast(bytes: Uint8Array): { index: number; call: string } {
  const text = new TextDecoder().decode(bytes.subarray(0, 26));
  const index = Number(text.slice(0, 12)), length = Number(text.slice(13, 25));
  return { index, call: new TextDecoder().decode(bytes.subarray(26, 26 + length)) };
}
