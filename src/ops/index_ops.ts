/**
 * Ops that take a tensor of indices along a dim, or one for each dim: select, add, copy, fill, put.
 *
 * @module
 */
import type { Scalar } from "../dtype.ts";
import { ArgumentError, DTypeError, IndexError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { needs, type Operand } from "./map.ts";
import { unique } from "./sorting.ts";
import { reshape } from "./view.ts";
import { expandMasks } from "./indexing.ts";
import {
  checkIndex,
  type Places,
  placesOf,
  put,
  putInplace,
  readAt,
  stretchedTo,
  valuesFor,
} from "./places.ts";

// ---- ops ------------------------------------------------------------------------------------

/** An op of a dim and indices into it. */
export type IndexSelect = (input: Tensor, dim: number, index: Tensor) => Tensor;
/** An op that writes slices of a source at indices of a dim. */
export type IndexWrite = (input: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor;
/** `indexAdd`: as `IndexWrite`, with a factor. */
export type IndexAdd = (
  input: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  options?: { alpha?: Scalar },
) => Tensor;
/** An op that writes one number at indices of a dim. */
export type IndexFill = (input: Tensor, dim: number, index: Tensor, value: Operand) => Tensor;
/** An op that writes values at places that tensors of indices give, null for a whole dim. */
export type IndexPut = (
  input: Tensor,
  indices: readonly (Tensor | null)[],
  values: Operand,
  options?: { accumulate?: boolean },
) => Tensor;

/** Places of a 1-d index along one dim; a 0-d one counts as a single index. */
function along(name: string, x: Tensor, dim: number, index: unknown, wraps = false): Places {
  const d = wrapDim(dim, x.ndim, name);
  const list = checkIndex(name, x, index);
  if (list.ndim > 1) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} by an index ${
        shapeText(list.shape)
      }: it must have one dim`,
      { op: name },
    );
  }
  return placesOf(name, x, [d], [list.ndim === 0 ? stretchedTo(list, [1]) : list], wraps);
}

/** A tensor of no dims as one of one dim, for the time of an op. */
function withDim(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  return x.ndim === 0 ? reshape(f(reshape(x, [1])), []) : f(x);
}

/** Slices of a dim at indices, in their order. Shapes: (…, N, …), index (K) → (…, K, …). */
export const indexSelect: IndexSelect = op(
  "indexSelect(input, dim, index)",
  (x: Tensor, dim: number, index: Tensor) =>
    withDim(x, (x) => readAt("indexSelect", x, along("indexSelect", x, dim, index))),
);

function sourceFor(name: string, x: Tensor, p: Places, source: unknown): Tensor {
  if (!(source instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name} ${show(source)}: source must be a tensor`, {
      op: name,
    });
  }
  if (source.info !== x.info) {
    throw new DTypeError(
      `Cannot ${name} a ${source.dtype} source into a ${x.dtype} tensor: the dtypes must agree`,
      {
        op: name,
      },
    );
  }
  const given = source.ndim === 0 ? reshape(source, [1]) : source;
  if (!sameShape(given.shape, p.shape)) {
    throw new ShapeError(
      `Cannot ${name} a source ${shapeText(source.shape)} into ${
        shapeText(x.shape)
      }: the index asks for ${shapeText(p.shape)}`,
      { op: name },
    );
  }
  return given;
}

function writer(name: string, accumulate: boolean, inplace: boolean, extra: string): IndexAdd {
  return op<IndexAdd>(
    `${name}(input, dim, index, source${extra})`,
    (x: Tensor, dim: number, index: Tensor, source: Tensor, alpha: Scalar = 1) => {
      const write = (x: Tensor) => {
        const p = along(name, x, dim, index);
        const values = sourceFor(name, x, p, source);
        return (inplace ? putInplace : put)(name, x, p, values, accumulate, alpha);
      };
      if (inplace && x.ndim === 0) {
        write(reshape(x, [1]));
        return x;
      }
      return withDim(x, write);
    },
  );
}

/** x with `alpha * source` added at indices of a dim; slices that meet in one place are all added, in order. */
export const indexAdd: IndexAdd = writer("indexAdd", true, false, ", alpha=1");
/** `indexAdd` in place. */
export const indexAdd_: IndexAdd = writer("indexAdd_", true, true, ", alpha=1");
/** x with slices of the source written at indices of a dim; of those that meet the last stays. */
export const indexCopy: IndexWrite = writer("indexCopy", false, false, "");
/** `indexCopy` in place. */
export const indexCopy_: IndexWrite = writer("indexCopy_", false, true, "");

function filler(name: string, inplace: boolean): IndexFill {
  return op<IndexFill>(
    `${name}(input, dim, index, value)`,
    (x: Tensor, dim: number, index: Tensor, value: Operand) => {
      if (value instanceof Tensor && value.ndim > 0) {
        throw new ShapeError(
          `Cannot ${name} by a value ${
            shapeText(value.shape)
          }: it must be a number or a 0-d tensor`,
          {
            op: name,
          },
        );
      }
      const write = (x: Tensor) => {
        // A place that stands twice is filled once: so the value's gradient counts it once.
        const places = needs(value) && index instanceof Tensor ? unique(index) as Tensor : index;
        const p = along(name, x, dim, places, true);
        return (inplace ? putInplace : put)(name, x, p, valuesFor(name, x, p, value), false, 1);
      };
      if (inplace && x.ndim === 0) {
        write(reshape(x, [1]));
        return x;
      }
      return withDim(x, write);
    },
  );
}

/** x with one number at indices of a dim. */
export const indexFill: IndexFill = filler("indexFill", false);
/** `indexFill` in place. */
export const indexFill_: IndexFill = filler("indexFill_", true);

function putter(name: string, inplace: boolean): IndexPut {
  return op<IndexPut>(
    `${name}(input, indices, values, accumulate=false)`,
    (x: Tensor, indices: readonly (Tensor | null)[], values: Operand, accumulate: boolean) => {
      if (!Array.isArray(indices) || indices.some((i) => i !== null && !(i instanceof Tensor))) {
        throw new ArgumentError(
          `Cannot ${name} by ${show(indices)}: the indices are an array of tensors or null`,
          {
            op: name,
          },
        );
      }
      const p = expandMasks(name, x, indices);
      if (p === null) {
        throw new IndexError(`Cannot ${name}: at least one index is needed`, { op: name });
      }
      if (values instanceof Tensor && values.info !== x.info) {
        throw new DTypeError(
          `Cannot ${name} ${values.dtype} values into a ${x.dtype} tensor: the dtypes must agree`,
          {
            op: name,
          },
        );
      }
      return (inplace ? putInplace : put)(name, x, p, valuesFor(name, x, p, values), accumulate, 1);
    },
  );
}

/** x with values at the places that tensors of indices give, as `set`; with `accumulate` they are added. */
export const indexPut: IndexPut = putter("indexPut", false);
/** `indexPut` in place. */
export const indexPut_: IndexPut = putter("indexPut_", true);
