/** The limits of this machine, measured by limits.rs, and the share of them that an iteration reaches. */
import { output } from "./torch.ts";
import type { Work } from "./family.ts";

/** Billions of operations or bytes a second, with two threads. */
export interface Limits {
  float32: number;
  bfloat16: number;
  int8: number;
  /** Reading arrays of 64 MB. */
  read: number;
  /** Reading two and writing one past the caches. */
  streamed: number;
}

/** Compiles and runs limits.rs. */
export async function measureLimits(folder: string, simd: string | undefined): Promise<Limits> {
  const source = new URL("./limits.rs", import.meta.url).pathname;
  const program = `${folder}limits`;
  await output("rustc", ["--edition", "2024", "-C", "opt-level=3", "-o", program, source]);
  return JSON.parse(await output(program, simd === undefined ? [] : [simd]));
}

/** The time that the work takes at the limit ÷ the time it took; null where no work is stated. */
export function ofLimit(work: Work | undefined, limits: Limits, ms: number): number | null {
  if (work === undefined) return null;
  const { float32 = 0, bfloat16 = 0, int8 = 0, read = 0, written = 0 } = work;
  const traffic = (read + written) / (written > 0 ? limits.streamed : limits.read);
  const sums = float32 / limits.float32 + bfloat16 / limits.bfloat16 + int8 / limits.int8;
  return Math.max(traffic, sums) / 1e6 / ms;
}
