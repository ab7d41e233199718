/**
 * How a case of an op is written down: `t([4, 5])` stands for a tensor of that shape, an Entry lists an op's cases and
 * what holds for all of them. The table itself is case_table.ts, what it drives is cases_test.ts.
 */
import type { DType } from "../../src/dtype.ts";

/** What a `t(…)` may say of its tensor. */
export interface SpecOptions {
  /** A fixed element type. Without it the tensor takes each of the entry's dtypes in turn. */
  dtype?: DType;
  /** The least value; default -2, for int64 too. */
  low?: number;
  /** The greatest value; default 2. Integer tensors hold whole numbers from low to high, both included. */
  high?: number;
  /** The values themselves, row-major, instead of drawn ones. */
  values?: readonly number[];
  /** Whether gradients are checked with respect to it; default: where it is a float tensor. */
  grad?: boolean;
}

/** Stands for a tensor in a case's arguments. */
export class TensorSpec {
  constructor(readonly shape: readonly number[], readonly options: SpecOptions) {}
}

/** A tensor of a shape: `t([4, 5])`, `t([3], { dtype: "int64", low: 0, high: 4 })`, `t([2], { values: [1, 2] })`. */
export function t(shape: readonly number[], options: SpecOptions = {}): TensorSpec {
  return new TensorSpec(shape, options);
}

/** One call of an op. */
export interface Case {
  /** The arguments in order; specs stand for tensors, inside arrays and options too. */
  readonly args: readonly unknown[];
  /** The element types that this case is for, where they are fewer than the entry's. */
  readonly dtypes?: readonly DType[];
  /** Why PyTorch is not asked: it refuses what Toro takes. */
  readonly withoutPytorch?: string;
}

/** An op's cases, and what holds for all of them. */
export interface Entry {
  readonly cases: readonly Case[];
  /** The element types that specs without one take; default float32, float64, bfloat16, float16, int64. */
  readonly dtypes?: readonly DType[];
  /** Why there is no gradcheck. */
  readonly grad?: string;
  /** Why no double gradcheck is made, where the first order has one. */
  readonly grad2?: string;
  /** Why values are not compared. */
  readonly random?: string;
  /** Why the op does not take strided operands. */
  readonly strided?: string;
  /** Why an operand is read in another form than it is given: no memory check for such an op. */
  readonly copies?: string;
  /** Relative and absolute tolerance, where PyTorch's own for the dtype does not fit. */
  readonly tolerance?: Partial<Record<DType, readonly [number, number]>>;
  /** Name of the op in PyTorch where the naming rule does not give it: `"torch.nn.functional.relu"`. */
  readonly torch?: string;
}
