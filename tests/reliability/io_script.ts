/**
 * Runs under the shim: PATH PAGE FORM STRIDE. Lets each call of a save (or a load) fail in turn and prints a line of JSON with
 * what came of it. See io_failures.ts.
 */
import { checkpoint, ToroError } from "@toro/toro";
import { dirname } from "@std/path";
import { litterIn } from "./kill.ts";
import { ERRNO, type Kind, Page } from "./shim.ts";
import { uniform, valueOf } from "./states.ts";

const [path, pagePath, form, stride] = Deno.args;
const bytes = 200_000;
const page = new Page(pagePath), folder = dirname(path);
const isLoad = form === "load" || form === "lazy";
const outcome = { points: 0, failures: 0, reported: 0, survived: 0, bad: [] as string[] };

/** Everything that a save does but removing what it wrote aside. */
const saving: Kind[] = [
  "open",
  "write",
  "sync",
  "rename",
  "close",
  "syncFolder",
  "truncate",
  "lock",
];
const reading: Kind[] = ["open", "read"];

/** What the checkpoint is made of. */
function files(): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => !name.startsWith(".")).sort();
}

async function save(state: Record<string, unknown>): Promise<void> {
  if (form === "async") await checkpoint.asyncSave(path, state);
  else await checkpoint.save(path, state, form === "shards" ? { maxShardBytes: bytes / 3 } : {});
}

async function value(): Promise<number> {
  return valueOf(await checkpoint.load(path));
}

async function attempt(n: number, name: string, goOn: boolean): Promise<boolean> {
  const what = `call ${n} ${goOn ? "and those after it" : ""} ${name}`;
  const errno = name === "half" ? null : ERRNO[name as keyof typeof ERRNO];
  const old = await value(), before = files();
  page.arm(n, errno, goOn, isLoad ? reading : saving);
  let error: unknown = null, read = -1;
  try {
    if (isLoad) read = valueOf(await checkpoint.load(path, { lazy: form === "lazy" }));
    else await save(uniform(old + 1, bytes));
  } catch (e) {
    error = e;
  }
  const { failed, calls } = page;
  page.disarm();
  if (failed === 0) outcome.points = calls;
  outcome.failures += Number(failed > 0);
  try {
    const now = await value();
    if (error === null) {
      const wanted = isLoad ? old : old + 1;
      if (now !== wanted || isLoad && read !== old) {
        throw new Error(`it was reported done, the path holds ${now} and not ${wanted}`);
      }
      if (failed > 0) outcome.survived++;
    } else {
      if (!(error instanceof ToroError && error.name === "CheckpointError")) throw error;
      if (!error.message.includes(path)) throw new Error(`no file in: ${error.message}`);
      outcome.reported++;
      // Past the rename the new state is there, and whole.
      if (now !== old && now !== old + 1) throw new Error(`the path holds ${now} after ${old}`);
    }
    const left = litterIn(folder);
    if (left.length > 0) throw new Error(`it left ${left.join(", ")}`);
    // Of several files those of the old state, or of the new one. Where nothing can be read any more, not even which
    // index is in its place, new files may stay.
    const there = files(), isBlind = form === "shards" && goOn && error !== null;
    const isRight = now === old
      ? isBlind ? before.every((name) => there.includes(name)) : there.join() === before.join()
      : error !== null || there.length === most;
    if (!isRight) throw new Error(`${before.join(", ")} became ${there.join(", ")}`);
    if (isBlind && now === old) {
      for (const name of there) if (!before.includes(name)) Deno.removeSync(`${folder}/${name}`);
    }
  } catch (e) {
    outcome.bad.push(`${what}: ${(e as Error).message}`);
    for (const name of litterIn(folder)) Deno.removeSync(`${folder}/${name}`);
  }
  // None failed: the save makes no n-th call.
  return failed > 0 || calls >= n;
}

await save(uniform(0, bytes));
if (form === "order") {
  page.disarm();
  await save(uniform(1, bytes));
  Deno.exit(0);
}
const most = files().length;
const names = isLoad ? ["EIO", "EACCES"] : ["ENOSPC", "EIO", "EROFS", "EDQUOT", "EINTR", "half"];
for (const name of names) {
  for (const goOn of name === "EINTR" ? [false] : [false, true]) {
    for (let n = 1; await attempt(n, name, goOn); n += Number(stride));
  }
}
console.log(JSON.stringify(outcome));
