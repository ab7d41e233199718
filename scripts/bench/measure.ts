/**
 * The rows of one family, in a process that does nothing else: neither what earlier rows left in the allocators nor what
 * V8 has seen of other ops changes a time. `main.ts` starts it for each family, with a task as JSON, and reads a line or a
 * complaint for each row as JSON.
 */
import { option } from "../../ffi/library.ts";
import { arange, processMemory, type Tensor } from "@toro/toro";
import { type Limits, ofLimit } from "./limits.ts";
import { families } from "./families.ts";
import { alternate, median } from "./timing.ts";
import { Torch } from "./torch.ts";

/** A workload at given dims. */
export interface Row {
  name: string;
  family: string;
  dims: number[];
}

/** What is to be measured. */
export interface Task {
  rows: Row[];
  pairs: number;
  limits: Limits;
  /** PyTorch's side: its Python, and variables for it. */
  python: string;
  env: Record<string, string>;
  /** The level of instructions, where it is not the processor's. */
  simd: number | null;
  /** Compare the results only. */
  check: boolean;
}

/** A line of the table. */
export interface Line {
  name: string;
  toroMs: number;
  torchMs: number;
  ratio: number;
  ofLimit: number | null;
  peakRssBytes: number;
  spread: [number, number];
  bar: number | null;
}

/** Why there is no line. */
export interface Complaint {
  complaint: string;
}

const { rows, pairs, limits, python, env, simd, check } = JSON.parse(Deno.args[0]) as Task;
if (simd !== null) option("simd", simd);
option("threads", 2);
const torch = new Torch(python, env);

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

async function measure(row: Row): Promise<Line> {
  const { work, bar = null } = families[row.family];
  // Linux forgets the peak of resident memory when 5 is written here.
  await Deno.writeTextFile("/proc/self/clear_refs", "5");
  const iteration = await prepared(row);
  const isCrossed = (toro: number[], torch: number[]) => {
    const ratios = toro.map((ms, i) => torch[i] / ms);
    return bar !== null && Math.min(...ratios) < bar && bar < Math.max(...ratios);
  };
  const { toroMs, torchMs } = await alternate(iteration, torch, pairs, isCrossed);
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

const lines: (Line | Complaint)[] = [];
for (const row of rows) {
  try {
    if (check) await prepared(row);
    else lines.push(await measure(row));
  } catch (error) {
    lines.push({ complaint: error instanceof Error ? error.message : String(error) });
  }
}
await torch.close();
await Deno.remove(results);
console.log(JSON.stringify(lines));
