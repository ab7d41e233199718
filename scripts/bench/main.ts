/**
 * `deno task bench`: Toro against PyTorch in one run on one machine. Each row alternates between the two, pair by
 * pair, with two threads each; it shows medians, the ratio PyTorch ÷ Toro (above 1 Toro is faster) and its spread.
 * The first measurement of a row is thrown away on both sides.
 */
import { parseArgs } from "@std/cli/parse-args";
import { libraryInfo, option } from "../../ffi/library.ts";
import { processMemory } from "@toro/toro";
import { torchPython } from "./setup_torch.ts";
import { workloads } from "./workloads.ts";

const flags = parseArgs(Deno.args, {
  string: ["only", "json", "simd", "pairs"],
  boolean: ["help", "tuned"],
  default: { pairs: "9" },
});
if (flags.help) {
  console.log("deno task bench [--only TEXT] [--pairs 9] [--simd avx2] [--tuned] [--json FILE]");
  Deno.exit(0);
}
const pairs = Number(flags.pairs);
const levels: Record<string, number> = { portable: 0, avx2: 1, avx512: 2 };
if (flags.simd !== undefined) option("simd", levels[flags.simd] ?? NaN);
option("threads", 2);

const names = Object.keys(workloads).filter((name) => name.includes(flags.only ?? ""));
if (names.length === 0) {
  console.error(`No workload's name contains ${JSON.stringify(flags.only)}`);
  Deno.exit(1);
}

/** PyTorch in its own process, asked line by line. */
class Torch {
  #process: Deno.ChildProcess;
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(python: string, env: Record<string, string>) {
    const script = new URL("./torch_side.py", import.meta.url).pathname;
    this.#process = new Deno.Command(python, {
      args: [script],
      stdin: "piped",
      stdout: "piped",
      env,
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async ask<T>(request: object): Promise<T> {
    await this.#writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("PyTorch's side ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#lines.cancel();
    await this.#process.status;
  }
}

/** PyTorch at its best on AMD: MKL's AVX-512 path, and memory that is not given back between tensors. */
async function tuning(): Promise<Record<string, string>> {
  const folder = new URL("../../.venv/", import.meta.url).pathname;
  const source =
    "int mkl_serv_intel_cpu_true(void){return 1;}int mkl_serv_intel_cpu(void){return 1;}";
  await Deno.writeTextFile(`${folder}intel.c`, source);
  const gcc = await new Deno.Command("gcc", {
    args: ["-shared", "-fPIC", "-o", `${folder}intel.so`, `${folder}intel.c`],
  }).output();
  if (!gcc.success) throw new Error("--tuned needs gcc");
  return {
    LD_PRELOAD: `${folder}intel.so`,
    GLIBC_TUNABLES: "glibc.malloc.hugetlb=1",
    MALLOC_MMAP_THRESHOLD_: "4294967296",
    MALLOC_TRIM_THRESHOLD_: "8589934592",
    MALLOC_TOP_PAD_: "268435456",
  };
}

const median = (xs: number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1];

const env: Record<string, string> = flags.tuned ? await tuning() : {};
if (flags.simd === "avx2") env.ATEN_CPU_CAPABILITY = "avx2";
const torch = new Torch(await torchPython(), env);
const info = libraryInfo();
const version = await torch.ask<string>({ name: "", do: "version" });
console.log(
  `${info.processor}, SIMD ${info.simd}, 2 threads; PyTorch ${version}${
    flags.tuned ? ", tuned" : ""
  }; medians of ${pairs} pairs\n`,
);
console.log(`${"workload".padEnd(40)}    Toro ms   torch ms   ratio  spread`);

interface Row {
  name: string;
  toroMs: number;
  torchMs: number;
  ratio: number;
  low: number;
  high: number;
  peakRssBytes: number;
}
const rows: Row[] = [];
for (const name of names) {
  const iteration = workloads[name]();
  const theirs = await torch.ask<[number, number] | null>({ name, do: "check" });
  const out = iteration();
  if (theirs !== null) {
    const ours = out.detach().to("float64");
    const sums = [ours.sum().item(), ours.abs().sum().item()];
    const scale = Math.max(theirs[1], 1e-6);
    if (sums.some((s, i) => !(Math.abs(s - theirs[i]) <= 1e-4 * scale))) {
      throw new Error(`${name}: Toro's sums ${sums} differ from PyTorch's ${theirs}`);
    }
  }
  const run = (times: number): number => {
    const begin = performance.now();
    for (let i = 0; i < times; i++) iteration();
    return (performance.now() - begin) / times;
  };
  // As many iterations a measurement as fill some 100 ms on the slower side.
  const times = Math.max(1, Math.min(20_000, Math.floor(100 / Math.max(run(3), 1e-3))));
  const theirTimes = Math.max(
    1,
    Math.min(
      20_000,
      Math.floor(100 / Math.max(await torch.ask<number>({ name, do: "run", times: 2 }), 1e-3)),
    ),
  );
  const toroMs: number[] = [], torchMs: number[] = [];
  for (let pair = 0; pair <= pairs; pair++) {
    const mine = run(times),
      their = await torch.ask<number>({ name, do: "run", times: theirTimes });
    if (pair === 0) continue;
    toroMs.push(mine);
    torchMs.push(their);
  }
  await torch.ask({ name, do: "drop" });
  const ratios = toroMs.map((ms, i) => torchMs[i] / ms);
  const row: Row = {
    name,
    toroMs: median(toroMs),
    torchMs: median(torchMs),
    ratio: median(ratios),
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    peakRssBytes: processMemory().peakResidentBytes,
  };
  rows.push(row);
  const ms = (x: number) => (x < 0.1 ? x.toFixed(5) : x.toFixed(3)).padStart(11);
  console.log(
    `${name.padEnd(40)}${ms(row.toroMs)}${ms(row.torchMs)}${row.ratio.toFixed(2).padStart(8)}  ${
      row.low.toFixed(2)
    }–${row.high.toFixed(2)}`,
  );
}
await torch.close();
if (flags.json !== undefined) {
  await Deno.writeTextFile(
    flags.json,
    JSON.stringify({ machine: info, torch: version, tuned: flags.tuned, rows }, null, 2) + "\n",
  );
}
