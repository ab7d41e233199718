/**
 * `deno task bench:ops`: each of some 340 ops once on Toro's side and once on PyTorch's, to find those that are out of
 * line with the rest. The figures are rough: sides are timed one after the other, and each is given by the lower sixth of
 * its runs in 150 ms. What counts is measured by `deno task bench`.
 */
import { parseArgs } from "@std/cli/parse-args";
import { memory, Tensor } from "@toro/toro";
import { option } from "../../ffi/library.ts";
import { torchPython } from "./setup_torch.ts";
import { sweepOps } from "./sweep_ops.ts";

const USAGE = `deno task bench:ops [options]

  --side 2048    rows and columns of the operands, a multiple of 128
  --below 1      only ops with a ratio PyTorch ÷ Toro below this
  --only TEXT    only ops whose expression contains TEXT

TORO_SIMD=avx2 and =portable hold for Toro's side.`;

const flags = parseArgs(Deno.args, {
  string: ["side", "below", "only"],
  boolean: ["help"],
  default: { side: "2048", below: "1", only: "" },
  unknown: (name) => {
    console.error(`Unknown option ${name}\n\n${USAGE}`);
    Deno.exit(1);
  },
});
const side = Number(flags.side), below = Number(flags.below);
if (flags.help || !(side >= 128) || side % 128 !== 0 || Number.isNaN(below)) {
  console.log(USAGE);
  Deno.exit(flags.help ? 0 : 1);
}

/** Milliseconds that a sixth of the runs stay below. */
function lowerSixth(run: () => Tensor | boolean, ms: number): number {
  const times: number[] = [], end = performance.now() + ms;
  while (performance.now() < end || times.length < 3) {
    const begin = performance.now(), result = run();
    // Elementwise ops wait for the next one.
    if (result instanceof Tensor) result.storage.settle("bench");
    times.push(performance.now() - begin);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 6)];
}

option("threads", 2);
const ops = Object.entries(sweepOps(side)).filter(([name]) => name.includes(flags.only));
const python = new Deno.Command(await torchPython(), {
  args: [new URL("./sweep_torch.py", import.meta.url).pathname],
  stdin: "piped",
  stdout: "piped",
}).spawn();
const request = { n: side, expressions: ops.map(([name]) => name) };
await new Response(JSON.stringify(request)).body!.pipeTo(python.stdin);
const { success, stdout } = await python.output();
if (!success) throw new Error("PyTorch's side failed");
const theirs: Record<string, number> = JSON.parse(new TextDecoder().decode(stdout));

const rows = ops.map(([name, run]) => {
  // Pages that are new cost more than an op: until the collector has given some back twice, or for 2 s.
  const begin = performance.now(), { collections } = memory();
  do lowerSixth(run, 20); while (
    memory().collections < collections + 2 && performance.now() - begin < 2000
  );
  const ours = lowerSixth(run, 150);
  return { name, ours, theirs: theirs[name], ratio: theirs[name] / ours };
});
const ahead = rows.filter((row) => row.ratio >= 1).length;
console.log(`${ahead} of ${rows.length} ops at 1 or above, ${side} x ${side}\n`);
console.log(`${"op".padEnd(60)} Toro ms  PyTorch ms  ratio`);
for (const row of rows.toSorted((a, b) => a.ratio - b.ratio)) {
  if (row.ratio >= below) break;
  const [a, b] = [row.ours, row.theirs].map((ms) => ms.toFixed(3));
  console.log(
    `${row.name.padEnd(58)} ${a.padStart(9)} ${b.padStart(11)} ${row.ratio.toFixed(2).padStart(6)}`,
  );
}
