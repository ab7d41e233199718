/**
 * Reductions over any dims: sums, means, products, extremes, logic. Moments and norms are in moments.ts.
 *
 * @module
 */
import { type Operand, run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { type DType, type DTypeInfo, dtypeInfo, DTYPES } from "../dtype.ts";
import { DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { contiguousStrides, sameShape, shapeText, wrapDims } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { cast, mul } from "./pointwise.ts";
import { expand, reshape } from "./view.ts";

/** Dims to reduce: one, several, or null for all. */
export type Dims = number | readonly number[] | null;

/** What reductions take by name. */
export interface ReduceOptions {
  /** The dims to reduce; default: all. */
  dim?: Dims;
  /** Keep reduced dims with size 1. */
  keepdim?: boolean;
}

/** What reductions take by name that compute in another dtype on request. */
export interface TypedReduceOptions extends ReduceOptions {
  /** The input is taken as this dtype, which is also the result's. */
  dtype?: DType | null;
}

/** A reduction over some or all dims. */
export type Reduction = (
  input: Tensor,
  dim?: Dims | ReduceOptions,
  options?: ReduceOptions,
) => Tensor;

/** A reduction over some or all dims that can compute in another dtype. */
export type TypedReduction = (
  input: Tensor,
  dim?: Dims | TypedReduceOptions,
  options?: TypedReduceOptions,
) => Tensor;

/** A shape in which the given dims have size 1. */
export function keptShape(shape: readonly number[], dims: readonly number[]): number[] {
  const kept = shape.slice();
  for (const d of dims) kept[d] = 1;
  return kept;
}

/** A shape without the given dims. */
export function droppedShape(shape: readonly number[], dims: readonly number[]): number[] {
  return shape.filter((_, d) => !dims.includes(d));
}

/** A contiguous tensor under another shape, outside of autograd. */
export function reshaped(t: Tensor, shape: readonly number[]): Tensor {
  return new Tensor(t.storage, t.info, shape, contiguousStrides(shape), t.offset);
}

/** Runs a reducing opcode over sorted dims into a new tensor. */
export function reduceInto(
  name: string,
  opcode: number,
  x: Tensor,
  dims: readonly number[],
  keepdim: boolean,
  compute: DTypeInfo,
  outInfo: DTypeInfo,
  aux: readonly Operand[] = [],
  scalars: readonly number[] = [],
): Tensor {
  const kept = keptShape(x.shape, dims);
  const out = empty(kept, outInfo, x.storage.device);
  run(name, opcode, [out], aux.length === 0 ? [x] : [x, ...aux], [compute.code, ...scalars]);
  return keepdim ? out : reshaped(out, droppedShape(x.shape, dims));
}

/** The gradient of a reduced tensor with its reduced dims back as size 1. */
export function unreduced(
  g: Tensor,
  shape: readonly number[],
  dims: readonly number[],
  keepdim: boolean,
): Tensor {
  return keepdim || dims.length === 0 ? g : reshape(g, keptShape(shape, dims));
}

/** The input in the dtype in which a reduction with a `dtype` option takes it. */
export function takenAs(x: Tensor, info: DTypeInfo): Tensor {
  const exact = info === x.info || (info.isFloat && info.size >= 4 && info.size >= x.info.size) ||
    info.name === "int64";
  return exact ? x : cast(x, info.name);
}

/** Sums a gradient over the dims that broadcasting stretched, back to a shape. */
export function sumTo(g: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.shape.length - shape.length;
  const dims: number[] = [];
  for (let d = 0; d < g.shape.length; d++) {
    if (d < lead || (shape[d - lead] === 1 && g.shape[d] !== 1)) dims.push(d);
  }
  const out = reduceInto("sum", OP.sum, g, dims, true, g.info, g.info);
  const result = reshaped(out, shape);
  if (wants(g)) record("sum", [g], [result], ([gg]) => [gg && expand(gg, g.shape)], []);
  return result;
}

/** The sum of elements over dims. Integers and bool give int64. Float sums are joined in float64. */
export const sum: TypedReduction = op(
  "sum(input, dim=null, keepdim=false, dtype=null)",
  (input: Tensor, dim: Dims, keepdim: boolean, dtype: DType | null) => {
    const info = dtype !== null
      ? dtypeInfo(dtype, "sum")
      : input.info.isFloat
      ? input.info
      : DTYPES.int64;
    const x = takenAs(input, info);
    const dims = wrapDims(dim, x.ndim, "sum");
    const out = reduceInto("sum", OP.sum, x, dims, keepdim, info, info);
    if (wants(x)) {
      record("sum", [x], [out], ([g]) => [
        g && cast(expand(unreduced(g, x.shape, dims, keepdim), x.shape), x.dtype),
      ], []);
    }
    return out;
  },
);

/** Fails unless a reduction computes in a float dtype. */
export function floatInfo(name: string, input: Tensor, dtype: DType | null): DTypeInfo {
  const info = dtype === null ? input.info : dtypeInfo(dtype, name);
  if (!info.isFloat) {
    throw new DTypeError(
      dtype === null
        ? `Cannot ${name} ${show(input)}: it takes float tensors only`
        : `Cannot ${name} ${show(input)} with dtype ${show(dtype)}: the dtype must be a float type`,
      { op: name, hint: 'pass { dtype: "float32" }' },
    );
  }
  return info;
}

/**
 * The mean of elements over dims: `Σx / n`. Types: float; integers need a `dtype`. The mean of nothing is NaN.
 *
 * ```ts
 * import { tensor } from "@toro/toro";
 * const rows = tensor([[1, 2], [3, 4]]).mean(1); // [1.5, 3.5]
 * ```
 */
export const mean: TypedReduction = op(
  "mean(input, dim=null, keepdim=false, dtype=null)",
  (input: Tensor, dim: Dims, keepdim: boolean, dtype: DType | null) => {
    const info = floatInfo("mean", input, dtype);
    const x = takenAs(input, info);
    const dims = wrapDims(dim, x.ndim, "mean");
    const out = reduceInto("mean", OP.mean, x, dims, keepdim, info, info);
    if (wants(x)) {
      const scale = out.numel / x.numel;
      record("mean", [x], [out], ([g]) => [
        g && cast(expand(unreduced(mul(g, scale), x.shape, dims, keepdim), x.shape), x.dtype),
      ], []);
    }
    return out;
  },
);
