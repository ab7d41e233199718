/**
 * The process that makes the calls, watched by scripts/fuzz_api.ts. Before each call it writes the call to a file, so
 * that the last one is known when it dies; what it finds goes to standard output, one JSON line each.
 */
import { setMemoryLimit } from "../../mod.ts";
import { runCall, Session } from "./session.ts";
import { type Call, surface } from "./surface.ts";

const [mode, ...rest] = Deno.args;
// Tensors that no machine holds shall be refused at once, and not after a gigabyte was written.
setMemoryLimit(64 * 2 ** 20);

const say = (line: object) => console.log(JSON.stringify(line));

/** What a thrown value says, and from where. */
function describe(thrown: unknown): string {
  return thrown instanceof Error
    ? `${thrown.name}: ${thrown.message}\n${thrown.stack?.split("\n").slice(1, 6).join("\n")}`
    : String(thrown);
}

if (mode === "--replay") {
  const call = JSON.parse(rest[0]) as Call;
  const { isValid, foreign } = await runCall(surface(), call);
  say({ isValid, foreign: foreign === undefined ? undefined : describe(foreign) });
  Deno.exit(foreign === undefined ? 0 : 1);
}

const [calls, seed, only, lastPath] = [Number(mode), Number(rest[0]), rest[1], rest[2]];
const session = new Session(seed, only);
const last = Deno.openSync(lastPath, { write: true, create: true, truncate: true });
const encoder = new TextEncoder();
const slowMs = 2000;
let valid = 0, foreignCount = 0;
const slow: object[] = [];
for (let i = 0; i < calls; i++) {
  const call = session.next();
  // The length first: what a longer call before left behind is not read.
  const text = encoder.encode(JSON.stringify(call));
  last.seekSync(0, Deno.SeekMode.Start);
  last.writeSync(encoder.encode(`${String(i).padStart(12)} ${String(text.length).padStart(12)} `));
  last.writeSync(text);
  const start = performance.now();
  const { isValid, foreign } = await session.run(call);
  const took = performance.now() - start;
  if (isValid) valid++;
  if (took > slowMs) slow.push({ ms: Math.round(took), call });
  if (foreign !== undefined) {
    foreignCount++;
    say({ foreign: describe(foreign), call });
  }
}
const never = session.callees.filter((c) => !session.validOf.has(c.name)).map((c) => c.name);
say({ done: calls, valid, foreignCount, callees: session.callees.length, never, slow });
