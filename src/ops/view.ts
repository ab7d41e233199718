/**
 * Views: other dims and strides on the same storage, never a copy; and `contiguous`, `clone`, `reshape`, which copy
 * where they must.
 *
 * @module
 */
import { record, wants } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastStrides, inferSize, sameShape, shapeText, viewStrides, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { mapInto, type Unary } from "./pointwise.ts";
import { sumTo } from "./reduction.ts";

/** A view of x; `backward` takes the gradient of the view to that of x. */
export function makeView(
  name: string,
  x: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  backward: (g: Tensor) => Tensor,
): Tensor {
  const view = new Tensor(x.storage, x.info, shape, strides, offset);
  view.base = x.base ?? x;
  if (wants(x)) record(name, [x], [view], ([g]) => [g && backward(g)], []);
  return view;
}

/** A copy in new memory, contiguous. */
export const clone: Unary = op("clone(input)", (x: Tensor) => {
  const out = mapInto("clone", OP.copy, x, null, x.info, x.info);
  if (wants(x)) record("clone", [x], [out], (g) => g, []);
  return out;
});

/** The tensor itself when its elements lie row-major without gaps, else a copy that does. */
export const contiguous: Unary = op("contiguous(input)", (x: Tensor) => x.isContiguous() ? x : clone(x));

/** An op with a target size. */
export type Sized = (input: Tensor, size: readonly number[]) => Tensor;

/** The same elements under another shape, one size may be -1. Errors: ShapeError when the strides would need a copy. */
export const view: Sized = op("view(input, size)", (x: Tensor, size: readonly number[]) => {
  const shape = inferSize(size, x.numel, "view", x.shape);
  const strides = viewStrides(x.shape, x.strides, shape);
  if (strides === null) {
    throw new ShapeError(
      `Cannot view ${shapeText(x.shape)} with strides ${shapeText(x.strides)} as ${shapeText(shape)}: its elements do not lie in that order`,
      { op: "view", hint: "reshape() copies where it must" },
    );
  }
  return makeView("view", x, shape, strides, x.offset, (g) => reshape(g, x.shape));
});

/** The same elements under another shape: a view where strides allow it, else a copy. */
export const reshape: Sized = op("reshape(input, shape)", (x: Tensor, size: readonly number[]) => {
  const shape = inferSize(size, x.numel, "reshape", x.shape);
  return view(viewStrides(x.shape, x.strides, shape) === null ? clone(x) : x, shape);
});

/** Dims in another order: `permute(x, [2, 0, 1])`. */
export const permute: (input: Tensor, dims: readonly number[]) => Tensor = op(
  "permute(input, dims)",
  (x: Tensor, dims: readonly number[]) => {
    if (!Array.isArray(dims) || dims.length !== x.ndim) {
      throw new ArgumentError(`Cannot permute ${shapeText(x.shape)} by ${show(dims)}: each of its ${x.ndim} dims must be named once`, { op: "permute" });
    }
    const order = dims.map((d) => wrapDim(d, x.ndim, "permute"));
    if (new Set(order).size !== x.ndim) {
      throw new ArgumentError(`Cannot permute ${shapeText(x.shape)} by ${show(dims)}: each of its ${x.ndim} dims must be named once`, { op: "permute" });
    }
    const inverse: number[] = [];
    order.forEach((d, i) => inverse[d] = i);
    return makeView("permute", x, order.map((d) => x.shape[d]), order.map((d) => x.strides[d]), x.offset, (g) => permute(g, inverse));
  },
);

/** Two dims exchanged. */
export const transpose: (input: Tensor, dim0: number, dim1: number) => Tensor = op(
  "transpose(input, dim0, dim1)",
  (x: Tensor, dim0: number, dim1: number) => {
    const a = wrapDim(dim0, x.ndim, "transpose", "dim0"), b = wrapDim(dim1, x.ndim, "transpose", "dim1");
    const shape = x.shape.slice(), strides = x.strides.slice();
    [shape[a], shape[b]] = [shape[b], shape[a]];
    [strides[a], strides[b]] = [strides[b], strides[a]];
    return makeView("transpose", x, shape, strides, x.offset, (g) => transpose(g, a, b));
  },
);

/** Dims of size 1 stretched without a copy; -1 keeps a size, new dims come in front. */
export const expand: Sized = op("expand(input, size)", (x: Tensor, size: readonly number[]) => {
  const lead = size.length - x.ndim;
  const shape = size.map((n, i) => n === -1 && i >= lead ? x.shape[i - lead] : n);
  if (lead < 0 || x.shape.some((n, i) => n !== 1 && n !== shape[i + lead])) {
    throw new ShapeError(`Cannot expand ${shapeText(x.shape)} to ${show(size)}: only dims of size 1 stretch`, { op: "expand" });
  }
  if (sameShape(shape, x.shape)) return x;
  return makeView("expand", x, shape, broadcastStrides(x.shape, x.strides, shape), x.offset, (g) => sumTo(g, x.shape));
});
