/**
 * `deno task bench`: Toro against PyTorch in one run on one machine. Each row alternates between the two, pair by
 * pair, with two threads each; it shows medians, the ratio PyTorch ÷ Toro (above 1 Toro is faster), its spread, the
 * share of this machine's limit that Toro reaches, and Toro's peak of resident memory. The first second of a row is
 * thrown away on both sides. PyTorch's process is a new one for each family of rows. Results are compared before
 * anything is timed.
 */
import { parseArgs } from "@std/cli/parse-args";
import { libraryInfo, option } from "../../ffi/library.ts";
import { arange, emptyCache, processMemory, type Tensor } from "@toro/toro";
import { benchCuda } from "./cuda.ts";
import type { Family } from "./family.ts";
import { type Limits, measureLimits, ofLimit } from "./limits.ts";
import { modelFamilies } from "./model_families.ts";
import { opFamilies } from "./op_families.ts";
import { torchPython } from "./setup_torch.ts";
import { startUp } from "./start_up.ts";
import { Torch, tuning } from "./torch.ts";

const USAGE = `deno task bench [options]

  --only TEXT    only rows whose name contains TEXT
  --except TEXT  no rows whose name contains TEXT
  --list         print the names of the rows, and measure nothing
  --check        compare the results of the rows, and measure nothing
  --pairs 9      alternating measurements of a row; doubled once where the spread crosses the row's bar
  --draws 2      rows of each kind at dims drawn anew, beside the listed ones
  --seed N       what those dims come from; default: new at each run, and printed
  --tuned        PyTorch with MKL's path for Intel on every processor, and with memory that it keeps
  --simd avx2    both sides without AVX-512 (or portable: Toro alone)
  --json FILE    the table as JSON
  --table FILE   the table as Markdown
  --device cuda  on a GPU instead, beside PyTorch eager, torch.compile and CUDA graphs; of the options above it takes
                 --only and --json
  --python FILE  with --device: a Python that has PyTorch; without one Toro is timed alone
  --tiny         with --device: small dims, for the emulator`;

const flags = parseArgs(Deno.args, {
  string: ["only", "except", "json", "table", "simd", "pairs", "draws", "seed", "device", "python"],
  boolean: ["help", "tuned", "list", "check", "tiny"],
  default: { pairs: "9", draws: "2", seed: String(Math.floor(Math.random() * 2 ** 31)) },
  unknown: (name) => fail(`Unknown option ${name}\n\n${USAGE}`),
});
if (flags.help) {
  console.log(USAGE);
  Deno.exit(0);
}

function fail(text: string): never {
  console.error(text);
  Deno.exit(1);
}

if (flags.device !== undefined) {
  if (flags.device !== "cuda") fail(`--device takes cuda, got ${flags.device}`);
  const { only = "", tiny, json, python } = flags;
  Deno.exit(await benchCuda({ only, tiny, json, python }) ? 0 : 1);
}

function whole(name: "pairs" | "draws" | "seed"): number {
  const value = Number(flags[name]);
  return Number.isSafeInteger(value) && value >= 0 ? value : fail(`--${name} takes a whole number`);
}
const pairs = Math.max(1, whole("pairs")), draws = whole("draws"), seed = whole("seed");
const levels: Record<string, number> = { portable: 0, avx2: 1, avx512: 2 };
if (flags.simd !== undefined && !(flags.simd in levels)) {
  fail(`--simd takes ${Object.keys(levels).join(", ")}`);
}

const families: Record<string, Family> = { ...modelFamilies, ...opFamilies };

/** A workload at given dims. */
interface Row {
  name: string;
  family: string;
  dims: number[];
}

/** Numbers 0 … 1 from the seed (mulberry32). */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function row(family: string, dims: number[]): Row {
  const left = [...dims];
  const size = (n: number) => n % (1 << 20) === 0 ? `${n >> 20}M` : String(n);
  return { family, dims, name: family.replaceAll("{}", () => size(left.shift()!)) };
}

/** The listed rows, then those whose dims are 0.4 to 1.2 times the first listed ones. */
function rowsOf(families: Record<string, Family>): Row[] {
  return Object.entries(families).flatMap(([name, { shapes, drawn }], i) => {
    const random = generator(seed + i);
    const scaled = (n: number) => Math.max(1, Math.round(n * (0.4 + 0.8 * random())));
    const dims = () => shapes[0].map((n, d) => drawn?.includes(d) ?? true ? scaled(n) : n);
    const more = drawn?.length === 0 ? [] : Array.from({ length: draws }, dims);
    return [...shapes, ...more].map((dims) => row(name, dims));
  });
}

const START_UP = "import, first op, exit";
const isWanted = (name: string) =>
  name.includes(flags.only ?? "") && !(flags.except && name.includes(flags.except));
const rows = rowsOf(families).filter(({ name }) => isWanted(name));
if (rows.length === 0 && !isWanted(START_UP)) {
  fail(`No row's name contains ${JSON.stringify(flags.only)}`);
}
if (flags.list) {
  for (const { name } of rows) console.log(name);
  if (isWanted(START_UP)) console.log(START_UP);
  Deno.exit(0);
}

/** A line of the table. */
interface Line {
  name: string;
  toroMs: number;
  torchMs: number;
  ratio: number;
  ofLimit: number | null;
  peakRssBytes: number;
  spread: [number, number];
  bar: number | null;
}

const folder = new URL("../../.venv/", import.meta.url).pathname;
const python = await torchPython();
const env: Record<string, string> = flags.tuned ? await tuning(folder) : {};
if (flags.simd === "avx2") {
  env.ATEN_CPU_CAPABILITY = "avx2";
  env.MKL_ENABLE_INSTRUCTIONS = "AVX2";
  env.ONEDNN_MAX_CPU_ISA = "AVX2";
  env.FBGEMM_ENABLE_INSTRUCTIONS = "AVX2";
}
if (flags.simd !== undefined) option("simd", levels[flags.simd]);
option("threads", 2);
const limits: Limits = await measureLimits(
  folder,
  flags.simd === undefined || flags.simd === "avx512" ? undefined : "avx2",
);
let torch = new Torch(python, env);
const twins = new Set(await torch.ask<string[]>({ do: "families" }));
const alone = [...Object.keys(families).filter((name) => !twins.delete(name)), ...twins];
if (alone.length > 0) throw new Error(`Only one side knows ${alone.join("; ")}`);

const results = await Deno.makeTempFile();
const tolerances: Record<string, [relative: number, absolute: number]> = {
  float32: [1.3e-6, 1e-5],
  float64: [1e-7, 1e-7],
  bfloat16: [1.6e-2, 1e-5],
  float16: [1e-3, 1e-5],
};
const SAMPLES = 1 << 20;

/** Prepares a workload on both sides and compares what it gives. */
async function prepared({ name, family, dims }: Row): Promise<() => Tensor> {
  await torch.ask({ do: "prepare", family, dims });
  const iteration = families[family].prepare(...dims);
  const out = iteration();
  if (!families[family].isRandom) await compare(name, out);
  return iteration;
}

/** Compares a result with PyTorch's at the tolerances of torch.testing, the absolute one for a result of size 1. */
async function compare(name: string, out: Tensor): Promise<void> {
  const dtype = await torch.ask<string>({ do: "result", path: results });
  const theirs = new Float64Array((await Deno.readFile(results)).buffer);
  const flat = out.detach().reshape([-1]);
  const step = Math.ceil(Math.max(1, flat.numel) / SAMPLES);
  const part = step === 1 ? flat : flat.indexSelect(0, arange(0, flat.numel, step));
  const ours = part.to("float64").toTypedArray() as Float64Array;
  const [relative, absolute] = tolerances[dtype] ?? [0, 0];
  const size = theirs.reduce((a, x) => Math.max(a, Math.abs(x)), 1);
  if (ours.length !== theirs.length || out.dtype !== dtype) {
    throw new Error(`${name}: Toro gives ${out.dtype} [${out.shape}], PyTorch ${dtype}`);
  }
  for (let i = 0; i < ours.length; i++) {
    const a = ours[i], b = theirs[i];
    if (Object.is(a, b) || Math.abs(a - b) <= absolute * size + relative * Math.abs(b)) continue;
    throw new Error(`${name}: Toro's element ${i * step} is ${a}, PyTorch's ${b}`);
  }
}

const median = (xs: number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1];

/** Milliseconds for which a row runs before it is measured. */
const WARM_UP = 1000;

async function measure(row: Row): Promise<Line> {
  const { work, bar = null } = families[row.family];
  // Linux forgets the peak of resident memory when 5 is written here.
  await Deno.writeTextFile("/proc/self/clear_refs", "5");
  const iteration = await prepared(row);
  const run = (times: number): number => {
    const begin = performance.now();
    for (let i = 0; i < times; i++) iteration();
    return (performance.now() - begin) / times;
  };
  const ask = (times: number) => torch.ask<number>({ do: "run", times });
  // As many iterations a measurement as fill some 100 ms.
  const often = (ms: number) => Math.max(1, Math.min(20_000, Math.floor(100 / Math.max(ms, 1e-3))));
  // Both sides for a second first: by then Toro has collected, and memory is reused as in any longer run.
  const begin = performance.now();
  while (performance.now() - begin < WARM_UP) iteration();
  await ask(Math.ceil(WARM_UP / Math.max(await ask(3), 0.01)));
  const times = often(run(3)), theirTimes = often(await ask(3));
  const toroMs: number[] = [], torchMs: number[] = [];
  const isCrossed = () => {
    const ratios = toroMs.map((ms, i) => torchMs[i] / ms);
    return bar !== null && Math.min(...ratios) < bar && bar < Math.max(...ratios);
  };
  for (let pair = 0; pair < pairs || pair < 2 * pairs && isCrossed(); pair++) {
    toroMs.push(run(times));
    torchMs.push(await ask(theirTimes));
  }
  const ratios = toroMs.map((ms, i) => torchMs[i] / ms);
  return {
    name: row.name,
    toroMs: median(toroMs),
    torchMs: median(torchMs),
    ratio: median(ratios),
    ofLimit: ofLimit(work?.(...row.dims), limits, median(toroMs)),
    peakRssBytes: processMemory().peakResidentBytes,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    bar,
  };
}

const info = libraryInfo();
const version = await torch.ask<string>({ do: "version" });
console.log(
  `${info.processor}, SIMD ${info.simd}, 2 threads; PyTorch ${version}${
    flags.tuned ? ", tuned" : ""
  }; medians of ${pairs} pairs, seed ${seed}`,
);
console.log(
  `limits: float32 ${limits.float32}, bfloat16 ${limits.bfloat16} GFLOP/s, int8 ${limits.int8} GOP/s, read ${limits.read}, streamed ${limits.streamed} GB/s\n`,
);
const WIDTH = 64;
console.log(
  `${"workload".padEnd(WIDTH)}    Toro ms   torch ms   ratio   bar  limit    MiB  spread`,
);

function show(line: Line): void {
  const ms = (x: number) => (x < 0.1 ? x.toFixed(5) : x.toFixed(3)).padStart(11);
  const share = line.ofLimit === null ? "" : `${Math.round(100 * line.ofLimit)} %`;
  const [low, high] = line.spread;
  console.log(
    line.name.padEnd(WIDTH) + ms(line.toroMs) + ms(line.torchMs) +
      line.ratio.toFixed(2).padStart(8) + String(line.bar ?? "").padStart(6) + share.padStart(7) +
      Math.round(line.peakRssBytes / 2 ** 20).toString().padStart(7) +
      `  ${low.toFixed(2)}–${high.toFixed(2)}`,
  );
}

/** The table with what it was measured on, slower rows included. */
function markdown(): string {
  const { processor, simd } = info;
  const cells = (line: Line): string[] => {
    const ms = (x: number) => x < 0.1 ? x.toFixed(5) : x.toFixed(3);
    const [low, high] = line.spread;
    return [
      line.name,
      ms(line.toroMs),
      ms(line.torchMs),
      `**${line.ratio.toFixed(2)}**`,
      `${low.toFixed(2)}–${high.toFixed(2)}`,
      String(line.bar ?? ""),
      line.ofLimit === null ? "" : `${Math.round(100 * line.ofLimit)} %`,
      Math.round(line.peakRssBytes / 2 ** 20).toString(),
    ];
  };
  const head = ["workload", "Toro ms", "PyTorch ms", "ratio", "spread", "bar", "of limit", "MiB"];
  const table = [head, head.map((_, i) => i === 0 ? "---" : "--:"), ...lines.map(cells)];
  const command = ["deno task bench", ...Deno.args.filter((x) => !/\.(json|md)$/.test(x))];
  return [
    `# ${processor}, ${simd}`,
    `PyTorch ${version}${
      flags.tuned ? ", tuned" : ""
    }, two threads on both sides, medians of ${pairs} ` +
    `alternating pairs, ${
      new Date().toISOString().slice(0, 10)
    }, seed ${seed}. The ratio is PyTorch's ` +
    "time by Toro's: above 1 Toro is faster.",
    `Limits measured in the same run: float32 ${limits.float32}, bfloat16 ${limits.bfloat16} GFLOP/s, ` +
    `int8 ${limits.int8} GOP/s, read ${limits.read}, streamed ${limits.streamed} GB/s.`,
    `Made by \`${command.join(" ").replace(/ --(json|table)\b/g, "")}\`.`,
    table.map((row) => `| ${row.join(" | ")} |`).join("\n"),
  ].join("\n\n") + "\n";
}

const lines: Line[] = [];
let family = rows[0]?.family;
for (const row of rows) {
  if (row.family !== family) {
    // A row must not depend on what earlier ones left in the allocators.
    family = row.family;
    await torch.close();
    torch = new Torch(python, env);
    emptyCache();
  }
  try {
    if (flags.check) {
      await prepared(row);
      console.log(`${row.name}: compared`);
      continue;
    }
    const line = await measure(row);
    lines.push(line);
    show(line);
  } catch (error) {
    // The other rows are worth having all the same.
    console.error(error instanceof Error ? error.message : error);
    Deno.exitCode = 1;
  }
}
if (isWanted(START_UP) && !flags.check) {
  const { toro, torch } = await startUp(python, pairs);
  const ratios = toro.map((run, i) => torch[i].ms / run.ms);
  const line: Line = {
    name: START_UP,
    toroMs: median(toro.map(({ ms }) => ms)),
    torchMs: median(torch.map(({ ms }) => ms)),
    ratio: median(ratios),
    ofLimit: null,
    peakRssBytes: median(toro.map(({ bytes }) => bytes)),
    spread: [Math.min(...ratios), Math.max(...ratios)],
    bar: 8,
  };
  lines.push(line);
  show(line);
  const theirs = median(torch.map(({ bytes }) => bytes));
  console.log(
    `  PyTorch's memory then: ${Math.round(theirs / 2 ** 20)} MiB, ${
      (theirs / line.peakRssBytes).toFixed(1)
    } times Toro's`,
  );
}
await torch.close();
await Deno.remove(results);
if (flags.table !== undefined) await Deno.writeTextFile(flags.table, markdown());
if (flags.json !== undefined) {
  const head = { machine: info, limits, torch: version, tuned: flags.tuned, pairs, seed };
  await Deno.writeTextFile(flags.json, JSON.stringify({ ...head, rows: lines }, null, 2) + "\n");
}
