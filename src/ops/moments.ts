/**
 * Deviations, norms and log-sum-exp over dims.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, wants } from "../autograd.ts";
import { type DType, dtypeInfo, DTYPES } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { op } from "../op.ts";
import { rowsOf } from "../rows.ts";
import { wrapDims } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { eq, isinf, maskedFill } from "./logic.ts";
import { cast, toFloat } from "./map.ts";
import { abs, exp, log, sign } from "./math.ts";
import { matrixNormOver } from "./matrix_norm.ts";
import { add, div, mul, pow, sub } from "./pointwise.ts";
import {
  type Dims,
  droppedShape,
  floatInfo,
  keptShape,
  mean,
  reduceInto,
  type ReduceOptions,
  reshaped,
  sum,
  takenAs,
  type TypedReduceOptions,
  unreduced,
} from "./reduction.ts";
import { squeeze } from "./view.ts";

/** What deviations take by name. */
export interface DeviationOptions extends ReduceOptions {
  /** Subtracted from the count in the denominator; default 1. */
  correction?: number;
  /** PyTorch's older form of a correction of 1 or 0. */
  unbiased?: boolean | null;
}

/** A deviation over dims. */
export type DeviationOp = (
  input: Tensor,
  dim?: Dims | DeviationOptions,
  options?: DeviationOptions,
) => Tensor;

/** PyTorch's older forms: a boolean in place of the dims or of the correction says whether 1 is subtracted. */
function corrected(
  dim: Dims | boolean,
  correction: number | boolean,
  unbiased: boolean | null,
): [Dims, number] {
  let flag = unbiased;
  if (typeof dim === "boolean") [dim, flag] = [null, dim];
  if (typeof correction === "boolean") [correction, flag] = [1, correction];
  return [dim, flag === null ? correction : Number(flag)];
}

function deviation(name: string, root: boolean): DeviationOp {
  return op<DeviationOp>(
    `${name}(input, dim=null, correction=1, keepdim=false, unbiased=null)`,
    (
      x: Tensor,
      dim: Dims | boolean,
      correction: number | boolean,
      keepdim: boolean,
      unbiased: boolean | null,
    ) => {
      const [dims, less] = corrected(dim, correction, unbiased);
      return deviate(name, root, x, dims, less, keepdim).out;
    },
  );
}

/** A deviation with its gradient, and the mean in float64 without one. */
function deviate(
  name: string,
  root: boolean,
  x: Tensor,
  dim: Dims,
  correction: number,
  keepdim: boolean,
): { out: Tensor; center: Tensor } {
  const info = floatInfo(name, x, null);
  const dims = wrapDims(dim, x.ndim, name);
  const kept = keptShape(x.shape, dims), device = x.storage.device;
  const [deviation, center] = [empty(kept, info, device), empty(kept, DTYPES.float64, device)];
  run(name, OP.variance, [deviation, center], [x], [info.code, correction ?? 1, root ? 1 : 0]);
  const shaped = (t: Tensor) => keepdim ? t : reshaped(t, droppedShape(x.shape, dims));
  const out = shaped(deviation);
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      const left = Math.max(x.numel / Math.max(out.numel, 1) - (correction ?? 1), 0);
      const up = unreduced(g, x.shape, dims, keepdim);
      const d = sub(x, mean(x, dims, { keepdim: true }));
      if (!root) return [mul(mul(up, d), 2 / left)];
      const y = unreduced(out, x.shape, dims, keepdim);
      // Where all are equal the slope of the root is endless and that of the sum 0: 0, as PyTorch has it.
      return [mul(maskedFill(div(up, mul(y, left)), eq(y, 0), 0), d)];
    }, [x, out]);
  }
  return { out, center: shaped(center) };
}

/** The standard deviation over dims: `sqrt(Σ(x - mean)² / (n - correction))`. Types: float. */
export const std: DeviationOp = deviation("std", true);
/** The variance over dims: `Σ(x - mean)² / (n - correction)`. Types: float. */
export const variance: DeviationOp = deviation("var", false);

/** A deviation and the mean. */
export interface DeviationMean extends Iterable<Tensor> {
  /** The standard deviation, for `stdMean`. */
  readonly std?: Tensor;
  /** The variance, for `varMean`. */
  readonly var?: Tensor;
  /** The mean. */
  readonly mean: Tensor;
}

/** A deviation and the mean over dims. */
export type DeviationMeanOp = (
  input: Tensor,
  dim?: Dims | DeviationOptions,
  options?: DeviationOptions,
) => DeviationMean;

function withMean(name: string, field: "std" | "var", root: boolean): DeviationMeanOp {
  return op<DeviationMeanOp>(
    `${name}(input, dim=null, correction=1, keepdim=false, unbiased=null)`,
    (
      x: Tensor,
      dim: Dims | boolean,
      correction: number | boolean,
      keepdim: boolean,
      unbiased: boolean | null,
    ) => {
      const [dims, less] = corrected(dim, correction, unbiased);
      const { out: first, center } = deviate(name, root, x, dims, less, keepdim);
      // The deviation's own center has no gradient.
      const average = wants(x) ? mean(x, dims, { keepdim }) : cast(center, x.dtype);
      return {
        [field]: first,
        mean: average,
        *[Symbol.iterator]() {
          yield first;
          yield average;
        },
      };
    },
  );
}

/** The standard deviation and the mean over dims. */
export const stdMean: DeviationMeanOp = withMean("stdMean", "std", true);
/** The variance and the mean over dims. */
export const varMean: DeviationMeanOp = withMean("varMean", "var", false);

// ---- norms --------------------------------------------------------------------------------------

/** What norms take by name. */
export interface NormOptions extends TypedReduceOptions {
  /** The exponent, `Infinity` and `-Infinity` among them, or `"fro"`, which is 2; default 2. */
  p?: number | "fro";
}

/** A norm over dims. */
export type Norm = (
  input: Tensor,
  p?: number | "fro" | NormOptions,
  dim?: Dims | NormOptions,
  options?: NormOptions,
) => Tensor;

function normOver(
  name: string,
  input: Tensor,
  p: number,
  dim: Dims,
  keepdim: boolean,
  dtype: DType | null,
): Tensor {
  if (typeof p !== "number" || Number.isNaN(p)) {
    throw new ArgumentError(`Cannot ${name} of order ${show(p)}: it must be a number`, {
      op: name,
    });
  }
  const info = floatInfo(name, input, dtype);
  const dims = wrapDims(dim, input.ndim, name);
  const rows = rowsOf(input);
  if (rows !== null && p > 0 && dims.length === 2 && info === input.info && !wants(input)) {
    // Rows that a row-sparse gradient does not have add nothing.
    const total = empty(keepdim ? [1, 1] : [], info, input.storage.device);
    run(name, OP.grad_norm, [total], [rows.values, rows.count], [0, p]);
    return total;
  }
  const x = takenAs(input, info);
  const opcode = p === 2
    ? OP.norm2
    : p === 1
    ? OP.norm1
    : p === Infinity
    ? OP.norm_most
    : p === -Infinity
    ? OP.norm_least
    : p === 0
    ? OP.count_nonzero
    : OP.norm;
  const out = reduceInto(
    name,
    opcode,
    x,
    dims,
    keepdim,
    info,
    info,
    [],
    opcode === OP.norm ? [p] : [],
  );
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      const up = unreduced(g, x.shape, dims, keepdim), y = unreduced(out, x.shape, dims, keepdim);
      return [cast(normSlope(up, x, y, p, dims), x.dtype)];
    }, [x, out]);
  }
  return out;
}

function normSlope(g: Tensor, x: Tensor, y: Tensor, p: number, dims: readonly number[]): Tensor {
  if (p === 0) return mul(x, 0);
  if (p === 1) return mul(g, sign(x));
  if (p === 2) return mul(x, maskedFill(div(g, y), eq(y, 0), 0));
  if (Math.abs(p) === Infinity) {
    const mask = cast(eq(abs(x), y), x.dtype);
    const count = dims.length === 0 ? mask : sum(mask, dims, { keepdim: true });
    return mul(mul(sign(x), mask), div(g, count));
  }
  const size = pow(abs(x), p < 1 ? p - 1 : p - 2) as Tensor;
  const along = maskedFill(p < 1 ? mul(sign(x), size) : mul(x, size), eq(x, 0), 0);
  return mul(along, maskedFill(mul(g, pow(y, 1 - p) as Tensor), eq(y, 0), 0));
}

/** `(Σ |x|ᵖ)^(1/p)` over dims; for infinite p the greatest or least `|x|`, for 0 the count of non-zeros. Types: float. */
export const norm: Norm = op(
  "norm(input, p=2, dim=null, keepdim=false, dtype=null)",
  (
    x: Tensor,
    p: number | "fro" | "nuc" | null,
    dim: Dims,
    keepdim: boolean,
    dtype: DType | null,
  ) => {
    if (p !== "nuc") {
      return normOver("norm", x, p === "fro" || p === null ? 2 : p, dim, keepdim, dtype);
    }
    const dims = dim === null ? x.shape.map((_, d) => d) : [dim].flat() as number[];
    if (dims.length !== 2) {
      throw new ArgumentError(`Cannot norm of order "nuc" over dims ${show(dims)}: it takes two`, {
        op: "norm",
      });
    }
    return matrixNormOver("norm", dtype === null ? x : cast(x, dtype), "nuc", dims, keepdim);
  },
);

/** What `vectorNorm` takes by name. */
export interface VectorNormOptions extends TypedReduceOptions {
  /** The order; default 2. */
  ord?: number;
}

/** `linalg.vectorNorm`: `norm` with the order first. */
export const vectorNorm: (
  x: Tensor,
  ord?: number | VectorNormOptions,
  dim?: Dims | VectorNormOptions,
  options?: VectorNormOptions,
) => Tensor = op(
  "vectorNorm(x, ord=2, dim=null, keepdim=false, dtype=null)",
  (x: Tensor, ord: number, dim: Dims, keepdim: boolean, dtype: DType | null) =>
    normOver("vectorNorm", x, ord, dim, keepdim, dtype),
);

// ---- log-sum-exp --------------------------------------------------------------------------------

/** `log Σ exp(x)` over dims. */
export type LogSumExp = (
  input: Tensor,
  dim: number | readonly number[],
  options?: { keepdim?: boolean },
) => Tensor;

/** `m + log Σ exp(x - m)` over dims, with the greatest element m. Integers become floats. */
export const logsumexp: LogSumExp = op(
  "logsumexp(input, dim, keepdim=false)",
  (input: Tensor, dim: number | readonly number[], keepdim: boolean) => {
    const x = cast(input, toFloat(input.dtype));
    const info = dtypeInfo(x.dtype, "logsumexp");
    const dims = wrapDims(dim, x.ndim, "logsumexp");
    const out = inMode(false, () => {
      if (dims.some((d) => x.shape[d] === 0)) {
        return log(sum(x, dims, { keepdim }));
      }
      const most = reduceInto("logsumexp", OP.amax, x, dims, true, info, DTYPES.float64);
      const finite = maskedFill(most, isinf(most), 0);
      const total = reduceInto("logsumexp", OP.sum_exp, x, dims, true, info, DTYPES.float64, [
        finite,
      ]);
      const y = cast(add(log(total), finite), x.dtype);
      return keepdim || dims.length === 0 ? y : squeeze(y, dims);
    });
    if (wants(x)) {
      record("logsumexp", [x], [out], ([g]) => {
        if (g === null) return [null];
        const y = unreduced(out, x.shape, dims, keepdim);
        return [mul(unreduced(g, x.shape, dims, keepdim), exp(sub(x, y)))];
      }, [x, out]);
    }
    return out;
  },
);
