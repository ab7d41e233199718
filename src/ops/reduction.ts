/**
 * Reductions over any dims: sums, means, products, extremes, logic. Moments and norms are in moments.ts.
 *
 * @module
 */
import { type Operand, run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { type DType, type DTypeInfo, dtypeInfo, DTYPES } from "../dtype.ts";
import { DTypeError, IndexError, show } from "../errors.ts";
import { op } from "../op.ts";
import { contiguousStrides, sameShape, shapeText, wrapDims } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { eq, isnan, logicalAnd, logicalNot, logicalOr } from "./logic.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { cast } from "./map.ts";
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

/** The sum of elements that are no NaN, over dims. Integers give int64. */
export const nansum: TypedReduction = op(
  "nansum(input, dim=null, keepdim=false, dtype=null)",
  (input: Tensor, dim: Dims, keepdim: boolean, dtype: DType | null) => {
    const info = dtype !== null
      ? dtypeInfo(dtype, "nansum")
      : input.info.isFloat
      ? input.info
      : DTYPES.int64;
    const x = takenAs(input, info);
    const dims = wrapDims(dim, x.ndim, "nansum");
    const out = reduceInto("nansum", OP.nansum, x, dims, keepdim, info, info);
    if (wants(x)) {
      record("nansum", [x], [out], ([g]) => [
        g && mul(
          cast(expand(unreduced(g, x.shape, dims, keepdim), x.shape), x.dtype),
          logicalNot(isnan(x)),
        ),
      ], [x]);
    }
    return out;
  },
);

/** The mean of elements that are no NaN, over dims. Types: float; integers need a `dtype`. */
export const nanmean: TypedReduction = op(
  "nanmean(input, dim=null, keepdim=false, dtype=null)",
  (input: Tensor, dim: Dims, keepdim: boolean, dtype: DType | null) => {
    const info = floatInfo("nanmean", input, dtype);
    const count = sum(logicalNot(isnan(input)), dim, { keepdim });
    return div(nansum(input, dim, { keepdim, dtype: info.name }), cast(count, info.name));
  },
);

/** A product over one dim or all. */
export type ProdReduction = (
  input: Tensor,
  dim?: number | null | TypedReduceOptions,
  options?: TypedReduceOptions,
) => Tensor;

/** The product of elements over one dim, or all. Integers and bool give int64. */
export const prod: ProdReduction = op(
  "prod(input, dim=null, keepdim=false, dtype=null)",
  (input: Tensor, dim: number | null, keepdim: boolean, dtype: DType | null) => {
    const info = dtype !== null
      ? dtypeInfo(dtype, "prod")
      : input.info.isFloat
      ? input.info
      : DTYPES.int64;
    const x = takenAs(input, info);
    const dims = dim === null ? wrapDims(null, x.ndim, "prod") : wrapDims(dim, x.ndim, "prod");
    const out = reduceInto("prod", OP.prod, x, dims, keepdim, info, info);
    if (wants(x)) {
      record("prod", [x], [out], ([g]) => {
        if (g === null) return [null];
        const up = unreduced(g, x.shape, dims, keepdim);
        return [cast(mul(up, others(x, dims)), x.dtype)];
      }, [x]);
    }
    return out;
  },
);

/** For each element the product of all others over dims; exact where some are 0. */
function others(x: Tensor, dims: readonly number[]): Tensor {
  if (dims.length === 0) return add(mul(x, 0), 1);
  if (dims.length > 1) return reshape(others(reshape(x, [-1]), [0]), x.shape);
  const out = empty(x.shape, x.info, x.storage.device);
  run("the backward of prod", OP.prod_others, [out], [x], [x.info.code, dims[0]]);
  if (wants(x)) {
    // Differentiating again: d/dx_j of the product of the others is the product of all but two.
    record("the backward of prod", [x], [out], ([g]) => {
      if (g === null) return [null];
      const inner = mul(g, out);
      return [div(sub(sum(inner, dims[0], { keepdim: true }), inner), x)];
    }, [x, out]);
  }
  return out;
}

/** An extreme over dims whose equal elements share the gradient. */
function extreme(name: string, opcode: number): Reduction {
  return op<Reduction>(
    `${name}(input, dim=null, keepdim=false)`,
    (x: Tensor, dim: Dims, keepdim: boolean) => extremeOver(name, opcode, x, dim, keepdim),
  );
}

/** Runs an extreme over dims; nothing has none. */
export function extremeOver(
  name: string,
  opcode: number,
  x: Tensor,
  dim: Dims,
  keepdim: boolean,
): Tensor {
  const dims = wrapDims(dim, x.ndim, name);
  const empties = dims.filter((d) => x.shape[d] === 0);
  if (empties.length > 0 && (x.numel === 0)) {
    const kept = keptShape(x.shape, dims);
    if (!kept.includes(0) || dim === null) {
      throw new IndexError(
        `Cannot ${name} ${shapeText(x.shape)} over dim ${
          empties[0]
        }: of no elements there is no extreme`,
        { op: name },
      );
    }
  }
  const out = reduceInto(name, opcode, x, dims, keepdim, x.info, x.info);
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      const best = unreduced(out, x.shape, dims, keepdim);
      // PyTorch finds a NaN among all elements, but not over named dims, where the gradient is then NaN.
      const found = dim === null && name !== "amax" && name !== "amin"
        ? logicalOr(eq(x, best), logicalAnd(isnan(x), isnan(best)))
        : eq(x, best);
      const mask = cast(found, x.dtype);
      const share = div(unreduced(g, x.shape, dims, keepdim), sum(mask, dims, { keepdim: true }));
      return [mul(mask, dims.length === 0 ? unreduced(g, x.shape, dims, keepdim) : share)];
    }, [x, out]);
  }
  return out;
}

/** The greatest element over dims; NaN wins. Equal elements share the gradient evenly. Types: all. */
export const amax: Reduction = extreme("amax", OP.amax);
/** The least element over dims; NaN wins. Equal elements share the gradient evenly. Types: all. */
export const amin: Reduction = extreme("amin", OP.amin);

/** The least and the greatest element. */
export interface MinMax extends Iterable<Tensor> {
  /** The least. */
  readonly min: Tensor;
  /** The greatest. */
  readonly max: Tensor;
}

/** The least and the greatest element over one dim or all. */
export const aminmax: (
  input: Tensor,
  options?: { dim?: number | null; keepdim?: boolean },
) => MinMax = op(
  "aminmax(input, dim=null, keepdim=false)",
  (x: Tensor, dim: number | null, keepdim: boolean) => {
    const min = extremeOver("aminmax", OP.amin, x, dim, keepdim);
    const max = extremeOver("aminmax", OP.amax, x, dim, keepdim);
    return {
      min,
      max,
      *[Symbol.iterator]() {
        yield min;
        yield max;
      },
    };
  },
);

function logic(name: string, opcode: number): Reduction {
  return op<Reduction>(
    `${name}(input, dim=null, keepdim=false)`,
    (x: Tensor, dim: Dims, keepdim: boolean) => {
      const info = x.dtype === "uint8" ? DTYPES.uint8 : DTYPES.bool;
      return reduceInto(name, opcode, x, wrapDims(dim, x.ndim, name), keepdim, x.info, info);
    },
  );
}

/** Whether any element over dims is not zero. Bool; uint8 of uint8. */
export const any: Reduction = logic("any", OP.any);
/** Whether all elements over dims are not zero. Bool; uint8 of uint8. */
export const all: Reduction = logic("all", OP.all);

/** How many elements over dims are not zero, as int64. */
export const countNonzero: Reduction = op(
  "countNonzero(input, dim=null)",
  (x: Tensor, dim: Dims) =>
    reduceInto(
      "countNonzero",
      OP.count_nonzero,
      x,
      wrapDims(dim, x.ndim, "countNonzero"),
      false,
      x.info,
      DTYPES.int64,
    ),
);
