/**
 * Extremes with their positions: max and min over a dim, argmax and argmin.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, IndexError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText, wrapDim } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { zerosOf } from "./map.ts";
import { maximum, minimum } from "./bounds.ts";
import { droppedShape, extremeOver, keptShape, reshaped, unreduced } from "./reduction.ts";
import { scatter } from "./scattering.ts";

/** Values, and where they stand. */
export interface ValuesIndices extends Iterable<Tensor> {
  /** The values. */
  readonly values: Tensor;
  /** Their places in the dim, int64. */
  readonly indices: Tensor;
}

/** A result of values and indices, iterable in this order. */
export function valuesIndices(values: Tensor, indices: Tensor): ValuesIndices {
  return {
    values,
    indices,
    *[Symbol.iterator]() {
      yield values;
      yield indices;
    },
  };
}

/** The extreme of all elements, over a dim with its places, or elementwise of two tensors. */
export interface Extreme {
  /** Over all elements. */
  (input: Tensor): Tensor;
  /** Elementwise. */
  (input: Tensor, other: Tensor): Tensor;
  /** Over a dim. */
  (input: Tensor, dim: number, options?: { keepdim?: boolean }): ValuesIndices;
  /** Over a dim given by name. */
  (input: Tensor, options: { dim: number; keepdim?: boolean }): ValuesIndices;
}

function refuseNothing(name: string, x: Tensor, d: number): void {
  if (x.ndim > 0 && x.shape[d] === 0) {
    throw new IndexError(
      `Cannot ${name} ${shapeText(x.shape)} over dim ${d}: of no elements there is no extreme`,
      {
        op: name,
      },
    );
  }
}

/** Values and places of the extremes over a dim; values take gradients. */
function extremeWithPlaces(
  name: string,
  x: Tensor,
  dim: number,
  keepdim: boolean,
  greatest: boolean,
): ValuesIndices {
  const d = wrapDim(dim, x.ndim, name);
  refuseNothing(name, x, d);
  const dims = x.ndim === 0 ? [] : [d];
  const kept = keptShape(x.shape, dims), device = x.storage.device;
  const values = empty(kept, x.info, device), indices = empty(kept, DTYPES.int64, device);
  run(name, OP.extreme, [values, indices], [x], [x.info.code, greatest ? 1 : 0]);
  const shape = keepdim ? kept : droppedShape(x.shape, dims);
  const out = keepdim ? values : reshaped(values, shape);
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      return [
        x.ndim === 0 ? g : scatter(zerosOf(x), d, indices, unreduced(g, x.shape, dims, keepdim)),
      ];
    }, [indices]);
  }
  return valuesIndices(out, keepdim ? indices : reshaped(indices, shape));
}

function form(name: string, greatest: boolean): Extreme {
  return op<
    (input: Tensor, dim: number | Tensor | null, keepdim: boolean) => Tensor | ValuesIndices
  >(
    `${name}(input, dim=null, keepdim=false)`,
    (x: Tensor, dim: number | Tensor | null, keepdim: boolean) => {
      if (dim instanceof Tensor) return greatest ? maximum(x, dim) : minimum(x, dim);
      if (dim !== null) return extremeWithPlaces(name, x, dim, keepdim, greatest);
      if (keepdim) {
        throw new ArgumentError(`Cannot ${name} with keepdim: it needs a dim`, { op: name });
      }
      return extremeOver(name, greatest ? OP.amax : OP.amin, x, null, false);
    },
  ) as Extreme;
}

/**
 * The greatest element; over a dim `{ values, indices }`; elementwise of two tensors. NaN wins, the first of equal
 * elements is named. Gradient: to the named element; over all elements, equal ones share it.
 *
 * ```ts
 * import { max, tensor } from "@toro/toro";
 * const { values, indices } = max(tensor([[1, 5, 2]]), 1); // [5], [1]
 * ```
 */
export const max: Extreme = form("max", true);
/** The least element; over a dim `{ values, indices }`; elementwise of two tensors. As `max`. */
export const min: Extreme = form("min", false);

/** What `argmax` takes by name. */
export interface ArgOptions {
  /** The dim; without it the place among all elements, row-major. */
  dim?: number | null;
  /** Keep the dim with size 1. */
  keepdim?: boolean;
}

/** The place of an extreme. */
export type ArgExtreme = (
  input: Tensor,
  dim?: number | null | ArgOptions,
  options?: ArgOptions,
) => Tensor;

function places(name: string, greatest: boolean): ArgExtreme {
  return op<ArgExtreme>(
    `${name}(input, dim=null, keepdim=false)`,
    (x: Tensor, dim: number | null, keepdim: boolean) => {
      if (x.dtype === "bool") {
        throw new ArgumentError(`Cannot ${name} ${show(x)}: bool has no order`, {
          op: name,
          hint: 'x.to("int64")',
        });
      }
      const dims = dim === null
        ? x.shape.map((_, d) => d)
        : x.ndim === 0
        ? []
        : [wrapDim(dim, x.ndim, name)];
      if (dim !== null && x.ndim === 0) wrapDim(dim, 0, name);
      for (const d of dims) refuseNothing(name, x, d);
      const kept = keptShape(x.shape, dims);
      const out = empty(kept, DTYPES.int64, x.storage.device);
      run(name, OP.arg_extreme, [out], [x], [x.info.code, greatest ? 1 : 0]);
      return keepdim ? out : reshaped(out, droppedShape(x.shape, dims));
    },
  );
}

/** The place of the greatest element, int64: in a dim, or among all elements row-major. The first of equals. */
export const argmax: ArgExtreme = places("argmax", true);
/** The place of the least element, int64. As `argmax`. */
export const argmin: ArgExtreme = places("argmin", false);
