/**
 * `deno task test:resume`: the recommender, killed at random moments and resumed each time, ends with the very weights
 * and optimiser state of an uninterrupted run that saved at the same steps. `--kills 10 --seed 1`.
 */
import { assert, assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl, join } from "@std/path";
import { checkpoint, Tensor } from "@toro/toro";

const flags = parseArgs(Deno.args, {
  string: ["kills", "seed"],
  default: { kills: "10", seed: "1" },
});
const kills = Number(flags.kills);
const folder = await Deno.makeTempDir({ prefix: "toro-resume-" });
const example = fromFileUrl(new URL("../../examples/recommender.ts", import.meta.url));

let state = Number(flags.seed) >>> 0;
const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

const sales = ["user,item,time"];
for (let user = 0; user < 800; user++) {
  for (let k = 0; k < 30; k++) sales.push(`${user},${Math.floor(random() ** 2 * 400)},${k}`);
}
await Deno.writeTextFile(join(folder, "sales.csv"), sales.join("\n"));

function start(out: string): Deno.ChildProcess {
  const columns = [
    "--user",
    "user:int64",
    "--item",
    "item:int64",
    "--time",
    "time:int64",
    "--invoice",
    "",
    "--quantity",
    "",
  ];
  const run = [
    "--data",
    join(folder, "sales.csv"),
    ...columns,
    "--epochs",
    "24",
    "--batch-size",
    "512",
  ];
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      example,
      ...run,
      "--save-every",
      "25",
      "--resume",
      "--out",
      join(folder, out),
    ],
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

async function finish(process: Deno.ChildProcess): Promise<Deno.CommandStatus> {
  const [status, errors] = await Promise.all([process.status, new Response(process.stderr).text()]);
  assert(status.success || status.signal === "SIGKILL", errors);
  return status;
}

/** Everything in the newest checkpoint: tensors as typed arrays, other values as they are. */
async function final(out: string): Promise<unknown> {
  const dir = join(folder, out, "checkpoints");
  const newest = [...Deno.readDirSync(dir)].map((e) => e.name)
    .filter((name) => name.startsWith("epoch") && name.endsWith(".safetensors")).sort().at(-1);
  assert(newest !== undefined, `${out} left no checkpoint`);
  return plain(await checkpoint.load(join(dir, newest)));
}

let tensors = 0;
function plain(value: unknown): unknown {
  if (value instanceof Tensor) {
    tensors++;
    return [value.shape, value.toTypedArray()];
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
}

try {
  const begin = performance.now();
  await finish(start("whole"));
  const wholeMs = performance.now() - begin;
  let killed = 0;
  while (true) {
    const process = start("cut");
    // From start-up on to a sixth of the way, so that ten kills fit: in start-up, in training, in a save.
    const moment = 300 + random() * wholeMs / 6;
    const timer = killed < kills ? setTimeout(() => process.kill("SIGKILL"), moment) : undefined;
    const status = await finish(process);
    clearTimeout(timer);
    if (status.signal !== "SIGKILL") break;
    killed++;
  }
  const whole = await final("whole") as Record<string, unknown>;
  const cut = await final("cut") as Record<string, unknown>;
  // The log knows when its lines were written; all else must be the same.
  for (const part of ["model", "optimizer", "scheduler", "loader"]) {
    assertEquals(cut[part], whole[part], part);
  }
  console.log(`killed ${killed} times and resumed: ${tensors / 2} tensors are bit-equal`);
} finally {
  await Deno.remove(folder, { recursive: true });
}
