/** Compares Toro's results with PyTorch's at PyTorch's tolerances. */
import type { Stored } from "./shards.ts";

/** What is compared of a tensor of Toro's. */
export interface Result {
  readonly dtype: string;
  readonly shape: readonly number[];
  toTypedArray(): ArrayLike<number | bigint>;
}

/** PyTorch's relative and absolute tolerance by dtype; whole numbers are compared exactly. */
export const TOLERANCE: Readonly<Record<string, readonly [number, number]>> = {
  float64: [1e-7, 1e-7],
  float32: [1.3e-6, 1e-5],
  bfloat16: [1.6e-2, 1e-5],
  float16: [1e-3, 1e-5],
};

/** Whether two numbers agree; NaN agrees with NaN, an infinity with itself. */
export function close(got: number, want: number, rtol: number, atol: number): boolean {
  if (got === want) return true;
  if (Number.isNaN(got) || Number.isNaN(want)) return Number.isNaN(got) && Number.isNaN(want);
  if (!Number.isFinite(want) || !Number.isFinite(got)) return false;
  return Math.abs(got - want) <= atol + rtol * Math.abs(want);
}

/**
 * Says how a tensor differs, or gives null. `error` is the [absolute, relative] distance of PyTorch's own result from
 * the exact one: eight times as much is allowed.
 */
export function difference(
  got: Result,
  want: Stored,
  error: readonly number[] | null | undefined,
  what: string,
): string | null {
  if (got.shape.length !== want.shape.length || got.shape.some((n, i) => n !== want.shape[i])) {
    return `${what} has shape [${got.shape.join(", ")}], PyTorch's [${want.shape.join(", ")}]`;
  }
  if (got.dtype !== want.dtype) return `${what} is ${got.dtype}, PyTorch's ${want.dtype}`;
  const values = got.toTypedArray();
  const exact = TOLERANCE[want.dtype] === undefined;
  const [rtol, atol] = TOLERANCE[want.dtype] ?? [0, 0];
  const a = Math.max(atol, 8 * (error?.[0] ?? 0)), r = Math.max(rtol, 8 * (error?.[1] ?? 0));
  let wrong = 0, first = -1;
  for (let i = 0; i < values.length; i++) {
    const same = exact
      ? values[i] === want.values[i]
      : close(Number(values[i]), Number(want.values[i]), r, a);
    if (!same && wrong++ === 0) first = i;
  }
  if (wrong === 0) return null;
  return `${what} [${
    want.shape.join(", ")
  }] ${want.dtype}: ${wrong} of ${values.length} elements ` +
    `differ, first at ${first}: ${values[first]}, PyTorch's ${want.values[first]}`;
}
