/**
 * `deno task bench`: Toro against PyTorch in one run on one machine. Each row alternates between the two, pair by
 * pair, with two threads each; it shows medians, the ratio PyTorch ÷ Toro (above 1 Toro is faster), its spread, the
 * share of this machine's limit that Toro reaches, and Toro's peak of resident memory. The first second of a row is
 * thrown away on both sides. Each family of rows has a new process on both sides (measure.ts). Results are compared
 * before anything is timed.
 */
import { parseArgs } from "@std/cli/parse-args";
import { libraryInfo, option } from "../../ffi/library.ts";
import { benchCuda } from "./cuda.ts";
import type { Family } from "./family.ts";
import { type Limits, measureLimits } from "./limits.ts";
import type { Complaint, Line, Row, Task } from "./measure.ts";
import { families } from "./families.ts";
import { torchPython } from "./setup_torch.ts";
import { startUp } from "./start_up.ts";
import { median } from "./timing.ts";
import { Torch, tuning } from "./torch.ts";

const USAGE = `deno task bench [options]

  --only TEXT    only rows whose name contains TEXT; where it is given more than once, any of the texts
  --except TEXT  no rows whose name contains TEXT, or any of the texts
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
  collect: ["only", "except"],
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
  const { only: [only = ""], tiny, json, python } = flags;
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
const { only, except } = flags;
const isWanted = (name: string) =>
  (only.length === 0 || only.some((text) => name.includes(text))) &&
  !except.some((text) => name.includes(text));
const rows = rowsOf(families).filter(({ name }) => isWanted(name));
if (rows.length === 0 && !isWanted(START_UP)) {
  fail(`No row's name contains ${only.map((text) => JSON.stringify(text)).join(" or ")}`);
}
if (flags.list) {
  for (const { name } of rows) console.log(name);
  if (isWanted(START_UP)) console.log(START_UP);
  Deno.exit(0);
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
const limits: Limits = await measureLimits(
  folder,
  flags.simd === undefined || flags.simd === "avx512" ? undefined : "avx2",
);
const other = new Torch(python, env);
const twins = new Set(await other.ask<string[]>({ do: "families" }));
const version = await other.ask<string>({ do: "version" });
await other.close();
const alone = [...Object.keys(families).filter((name) => !twins.delete(name)), ...twins];
if (alone.length > 0) throw new Error(`Only one side knows ${alone.join("; ")}`);

const info = libraryInfo();
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

/** Measures the rows of one family in a process of their own. */
async function measured(family: string, rows: Row[]): Promise<(Line | Complaint)[]> {
  const task: Task = {
    rows,
    pairs,
    limits,
    python,
    env,
    simd: flags.simd === undefined ? null : levels[flags.simd],
    check: flags.check,
  };
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      new URL("./measure.ts", import.meta.url).href,
      JSON.stringify(task),
    ],
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (code !== 0) return [{ complaint: `${family}: the process ended with ${code}` }];
  return JSON.parse(new TextDecoder().decode(stdout));
}

const lines: Line[] = [];
for (const family of new Set(rows.map((row) => row.family))) {
  const own = rows.filter((row) => row.family === family);
  const found = await measured(family, own);
  for (const line of found) {
    if ("complaint" in line) {
      // The other rows are worth having all the same.
      console.error(line.complaint);
      Deno.exitCode = 1;
    } else {
      lines.push(line);
      show(line);
    }
  }
  if (flags.check) { for (const { name } of own) console.log(`${name}: compared`); }
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
if (flags.table !== undefined) await Deno.writeTextFile(flags.table, markdown());
if (flags.json !== undefined) {
  const head = { machine: info, limits, torch: version, tuned: flags.tuned, pairs, seed };
  await Deno.writeTextFile(flags.json, JSON.stringify({ ...head, rows: lines }, null, 2) + "\n");
}
