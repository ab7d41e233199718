/**
 * `deno task bench:checkpoint`: saving and loading a state beside PyTorch, turn by turn on one machine, with an fsync on
 * both sides; each row shows the best of its rounds and the ratio PyTorch ÷ Toro. What takes less than a millisecond is
 * done 20 times a round on the side that does it. Toro compares every byte that it loads
 * with checksums, PyTorch none. Files lie in the page cache when they are read.
 */
import { parseArgs } from "@std/cli/parse-args";
import { checkpoint, randn, type Tensor } from "@toro/toro";
import { torchPython } from "./setup_torch.ts";

const flags = parseArgs(Deno.args, {
  string: ["folder", "rounds", "mb"],
  boolean: ["help"],
  default: { rounds: "5", mb: "1000" },
});
if (flags.help) {
  console.log("deno task bench:checkpoint [--mb 1000] [--rounds 5] [--folder DIR]");
  Deno.exit(0);
}
const MANY = 20;
const TABLES = 8, rows = Math.round(Number(flags.mb) * 1e6 / TABLES / 256);
const folder = await Deno.makeTempDir({ dir: flags.folder, prefix: "toro_bench_" });
const path = `${folder}/state.safetensors`;

const python = new Deno.Command(await torchPython(), {
  args: [
    new URL("./checkpoint_torch.py", import.meta.url).pathname,
    folder,
    `${TABLES}`,
    `${rows}`,
  ],
  stdin: "piped",
  stdout: "piped",
}).spawn();
const writer = python.stdin.getWriter();
const lines = python.stdout.pipeThrough(new TextDecoderStream()).getReader();

async function answer(): Promise<string> {
  let text = "";
  while (!text.endsWith("\n")) {
    const { value, done } = await lines.read();
    if (done) throw new Error("PyTorch's side ended");
    text += value;
  }
  return text;
}

async function torch(work: string, times: number): Promise<number> {
  await writer.write(new TextEncoder().encode(`${work} ${times}\n`));
  return Number(await answer());
}

async function toro(work: () => Promise<unknown>, times: number): Promise<number> {
  let seconds = 0;
  for (let i = 0; i < times; i++) {
    const begin = performance.now();
    const made = await work();
    seconds += (performance.now() - begin) / 1000;
    for (const tensor of Object.values(made ?? {})) (tensor as Tensor).dispose();
  }
  return seconds / times;
}

try {
  await answer();
  const state = Object.fromEntries(
    Array.from({ length: TABLES }, (_, i) => [`table${i}`, randn([rows, 64])]),
  );
  const table = [
    ["save, with fsync", () => checkpoint.save(path, state), 1, "save", 1],
    ["load, every byte verified", () => checkpoint.load(path), 1, "load", 1],
    [
      "map, every byte verified",
      () => checkpoint.load(path, { lazy: true, verify: "now" }),
      1,
      "load",
      1,
    ],
    ["open lazily, against load", () => checkpoint.load(path, { lazy: true }), MANY, "load", 1],
    [
      "open lazily, against mmap=True",
      () => checkpoint.load(path, { lazy: true }),
      MANY,
      "mapped",
      MANY,
    ],
  ] as const;
  for (const [name, own, times, other, otherTimes] of table) {
    let best = Infinity, bestOther = Infinity;
    // The first round is thrown away on both sides.
    for (let round = 0; round <= Number(flags.rounds); round++) {
      const [a, b] = [await toro(own, times), await torch(other, otherTimes)];
      if (round === 0) continue;
      best = Math.min(best, a);
      bestOther = Math.min(bestOther, b);
    }
    const ms = (seconds: number) => `${(seconds * 1000).toFixed(2)} ms`.padStart(12);
    console.log(`${name.padEnd(32)}${ms(best)}${ms(bestOther)}  ${(bestOther / best).toFixed(2)}x`);
  }
} finally {
  await writer.close();
  await lines.cancel();
  await python.status;
  await Deno.remove(folder, { recursive: true });
}
