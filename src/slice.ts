/**
 * Ranges as indices: `x.at(slice(1, null, 2))` is Python's `x[1::2]`.
 *
 * @module
 */
import { ArgumentError, show } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/** A range of a dim: Python's `start:stop:step`. Made by `slice`. */
export class Slice {
  /** The first index, from the end when negative; null: the first of all. */
  readonly start: number | null;
  /** The index before which it ends, from the end when negative; null: after the last. */
  readonly stop: number | null;
  /** From one index to the next; null: 1. */
  readonly step: number | null;

  /** A range; see `slice`. */
  constructor(start: number | null, stop: number | null, step: number | null) {
    for (const [name, value] of Object.entries({ start, stop, step })) {
      if (value !== null && !Number.isInteger(value)) {
        throw new ArgumentError(
          `Cannot slice: ${name} must be a whole number or null, got ${show(value)}`,
          {
            op: "slice",
          },
        );
      }
    }
    this.start = start;
    this.stop = stop;
    this.step = step;
  }

  /** First index, end and step inside a dim of a size, as Python has them. */
  within(size: number, op: string): [number, number, number] {
    const step = this.step ?? 1;
    if (step < 1) {
      throw new ArgumentError(`Cannot ${op} by ${this}: the step must be at least 1`, {
        op,
        hint: "flip() reverses a dim",
      });
    }
    const clamp = (i: number) => Math.min(Math.max(i < 0 ? i + size : i, 0), size);
    const start = clamp(this.start ?? 0);
    return [start, Math.max(start, clamp(this.stop ?? size)), step];
  }

  /** As Python writes it. */
  toString(): string {
    const text = `${this.start ?? ""}:${this.stop ?? ""}`;
    return this.step === null ? text : `${text}:${this.step}`;
  }
}

/** A range from `start` to before `stop` by `step`; null (or nothing) stands for the dim's own end. */
export function slice(
  start: number | null = null,
  stop: number | null = null,
  step: number | null = null,
): Slice {
  return new Slice(start, stop, step);
}

/**
 * What stands for one dim in `at` and `set`: a number, a range, null (a new dim of size 1), `"..."` (all dims between),
 * or a tensor or array of numbers (int64) or booleans.
 */
export type Index =
  | number
  | null
  | "..."
  | Slice
  | Tensor
  | boolean
  | readonly number[]
  | readonly boolean[];
