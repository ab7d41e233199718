/**
 * Views: other dims and strides on the same storage, never a copy; and `contiguous`, `clone`, `reshape`, which copy
 * where they must. Views of parts of a tensor are in window.ts.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { noteUnrecordedView, record, requiresGrad, wants } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import {
  broadcastStrides,
  inferSize,
  MAX_DIMS,
  shapeText,
  viewStrides,
  wrapDim,
  wrapDims,
} from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { mapInto, type Unary } from "./map.ts";
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
  if (shape.length > MAX_DIMS) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} as ${
        shapeText(shape)
      }: ${shape.length} dims, the most is ${MAX_DIMS}`,
      { op: name },
    );
  }
  const view = new Tensor(x.storage, x.info, shape, strides, offset);
  view.base = x.base ?? x;
  if (wants(x)) record(name, [x], [view], ([g]) => [g && backward(g)], []);
  else if (requiresGrad(x)) noteUnrecordedView(view);
  return view;
}

/** A copy in new memory, contiguous. */
export const clone: Unary = op("clone(input)", (x: Tensor) => {
  const out = mapInto("clone", OP.copy, x, null, x.info, x.info);
  if (wants(x)) record("clone", [x], [out], (g) => g, []);
  return out;
});

/** The tensor itself when its elements lie row-major without gaps, else a copy that does. */
export const contiguous: Unary = op(
  "contiguous(input)",
  (x: Tensor) => x.isContiguous() ? x : clone(x),
);

/** An op with a target size. */
export type Sized = (input: Tensor, size: readonly number[]) => Tensor;
/** An op that takes another tensor's shape. */
export type Like = (input: Tensor, other: Tensor) => Tensor;

function checkSizes(size: unknown, name: string): readonly number[] {
  if (!Array.isArray(size)) {
    throw new ArgumentError(`Cannot ${name} to ${show(size)}: the sizes must be an array`, {
      op: name,
    });
  }
  return size;
}

/** Fails unless the other argument is a tensor. */
function checkOther(other: unknown, name: string): Tensor {
  if (other instanceof Tensor) return other;
  throw new ArgumentError(`Cannot ${name} ${show(other)}: other must be a tensor`, { op: name });
}

/**
 * The same elements under another shape, without a copy; one size may be -1. Shapes: (…) → size.
 * Errors: ShapeError when the count of elements differs or the strides would need a copy.
 */
export const view: Sized = op("view(input, size)", (x: Tensor, size: readonly number[]) => {
  const shape = inferSize(checkSizes(size, "view"), x.numel, "view", x.shape);
  const strides = viewStrides(x.shape, x.strides, shape);
  if (strides === null) {
    throw new ShapeError(
      `Cannot view ${shapeText(x.shape)} with strides ${shapeText(x.strides)} as ${
        shapeText(shape)
      }: its elements do not lie in that order`,
      { op: "view", hint: "reshape() copies where it must" },
    );
  }
  return makeView("view", x, shape, strides, x.offset, (g) => reshape(g, x.shape));
});

/** `view` to the shape of `other`. */
export const viewAs: Like = op(
  "viewAs(input, other)",
  (x: Tensor, other: Tensor) => view(x, checkOther(other, "viewAs").shape),
);

/** The same elements under another shape: a view where strides allow it, else a copy. */
export const reshape: Sized = op("reshape(input, shape)", (x: Tensor, size: readonly number[]) => {
  const shape = inferSize(checkSizes(size, "reshape"), x.numel, "reshape", x.shape);
  const strides = viewStrides(x.shape, x.strides, shape);
  if (strides === null) return view(clone(x), shape);
  return makeView("reshape", x, shape, strides, x.offset, (g) => reshape(g, x.shape));
});

/** `reshape` to the shape of `other`. */
export const reshapeAs: Like = op(
  "reshapeAs(input, other)",
  (x: Tensor, other: Tensor) => reshape(x, checkOther(other, "reshapeAs").shape),
);

/** All elements in one dim: a view where strides allow it. */
export const ravel: Unary = op("ravel(input)", (x: Tensor) => reshape(x, [-1]));

/** Dims in another order: `permute(x, [2, 0, 1])`. */
export const permute: (input: Tensor, dims: readonly number[]) => Tensor = op(
  "permute(input, dims)",
  (x: Tensor, dims: readonly number[]) => {
    const complain = () =>
      new ArgumentError(
        `Cannot permute ${shapeText(x.shape)} by ${
          show(dims)
        }: each of its ${x.ndim} dims must be named once`,
        { op: "permute" },
      );
    if (!Array.isArray(dims) || dims.length !== x.ndim) throw complain();
    const order = dims.map((d) => wrapDim(d, x.ndim, "permute"));
    if (new Set(order).size !== x.ndim) throw complain();
    const inverse: number[] = [];
    order.forEach((d, i) => inverse[d] = i);
    return makeView(
      "permute",
      x,
      order.map((d) => x.shape[d]),
      order.map((d) => x.strides[d]),
      x.offset,
      (g) => permute(g, inverse),
    );
  },
);

/** An op of two dims. */
export type TwoDims = (input: Tensor, dim0: number, dim1: number) => Tensor;

/** Two dims exchanged. Shapes: (…, A, …, B, …) → (…, B, …, A, …). */
export const transpose: TwoDims = op(
  "transpose(input, dim0, dim1)",
  (x: Tensor, dim0: number, dim1: number) => {
    const a = wrapDim(dim0, x.ndim, "transpose", "dim0"),
      b = wrapDim(dim1, x.ndim, "transpose", "dim1");
    const shape = x.shape.slice(), strides = x.strides.slice();
    if (x.ndim > 0) {
      [shape[a], shape[b]] = [shape[b], shape[a]];
      [strides[a], strides[b]] = [strides[b], strides[a]];
    }
    return makeView("transpose", x, shape, strides, x.offset, (g) => transpose(g, a, b));
  },
);

/** Two dims exchanged, under NumPy's name. */
export const swapaxes: TwoDims = op(
  "swapaxes(input, axis0, axis1)",
  (x: Tensor, axis0: number, axis1: number) => transpose(x, axis0, axis1),
);

/** A matrix transposed; tensors of fewer dims as they are. Errors: ShapeError for more than two dims. */
export const t: Unary = op("t(input)", (x: Tensor) => {
  if (x.ndim > 2) {
    throw new ShapeError(
      `Cannot t ${shapeText(x.shape)}: it has ${x.ndim} dims, at most 2 are taken`,
      { op: "t", hint: "transpose(dim0, dim1)" },
    );
  }
  if (x.ndim === 2) return transpose(x, 0, 1);
  return makeView("t", x, x.shape, x.strides, x.offset, (g) => g);
});

/** Dims moved to other places, the rest in order: `movedim(x, 0, -1)`, `movedim(x, [0, 1], [2, 0])`. */
export const movedim: (
  input: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
) => Tensor = op(
  "movedim(input, source, destination)",
  (x: Tensor, source: number | readonly number[], destination: number | readonly number[]) => {
    const list = (dims: number | readonly number[], what: string) => {
      const wrapped = (Array.isArray(dims) ? dims as readonly number[] : [dims as number])
        .map((d) => wrapDim(d, x.ndim, "movedim", what));
      if (new Set(wrapped).size !== wrapped.length) {
        throw new ArgumentError(
          `Cannot movedim ${shapeText(x.shape)}: ${what} ${show(dims)} names a dim twice`,
          { op: "movedim" },
        );
      }
      return wrapped;
    };
    const from = list(source, "source"), to = list(destination, "destination");
    if (from.length !== to.length) {
      throw new ArgumentError(
        `Cannot movedim ${shapeText(x.shape)}: ${from.length} dims ${
          show(source)
        } cannot go to ${to.length} places ${show(destination)}`,
        { op: "movedim" },
      );
    }
    const order = new Array<number>(x.ndim).fill(-1);
    from.forEach((d, i) => order[to[i]] = d);
    const rest = Array.from({ length: x.ndim }, (_, d) => d).filter((d) => !from.includes(d));
    return permute(x, order.map((d) => d < 0 ? rest.shift()! : d));
  },
);

function stretch(name: string, x: Tensor, size: readonly number[]): Tensor {
  const lead = size.length - x.ndim;
  const shape = size.map((n, i) => n === -1 && i >= lead ? x.shape[i - lead] : n);
  const fits = lead >= 0 && shape.every((n) => Number.isInteger(n) && n >= 0) &&
    x.shape.every((n, i) => n === 1 || n === shape[i + lead]);
  if (!fits) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} to ${
        show(size)
      }: only dims of size 1 stretch, and new dims come in front`,
      { op: name },
    );
  }
  const strides = broadcastStrides(x.shape, x.strides, shape);
  return makeView(name, x, shape, strides, x.offset, (g) => sumTo(g, x.shape));
}

/** Dims of size 1 stretched without a copy; -1 keeps a size, new dims come in front. */
export const expand: Sized = op(
  "expand(input, size)",
  (x: Tensor, size: readonly number[]) => stretch("expand", x, checkSizes(size, "expand")),
);

/** `expand` to the shape of `other`. */
export const expandAs: Like = op(
  "expandAs(input, other)",
  (x: Tensor, other: Tensor) => stretch("expandAs", x, checkOther(other, "expandAs").shape),
);

/** `expand` under NumPy's name. */
export const broadcastTo: Sized = op(
  "broadcastTo(input, size)",
  (x: Tensor, size: readonly number[]) =>
    stretch("broadcastTo", x, checkSizes(size, "broadcastTo")),
);

/** Which dims; null or nothing: all. */
export type DimsArgument = number | readonly number[] | null | {
  dim?: number | readonly number[] | null;
};

/** Without its dims of size 1, or without those named that have size 1. */
export const squeeze: (input: Tensor, dim?: DimsArgument) => Tensor = op(
  "squeeze(input, dim=null)",
  (x: Tensor, dim: number | readonly number[] | null) => {
    // An empty list names no dim.
    const dims = Array.isArray(dim) && dim.length === 0 ? [] : wrapDims(dim, x.ndim, "squeeze");
    const kept = Array.from({ length: x.ndim }, (_, d) => d)
      .filter((d) => x.shape[d] !== 1 || !dims.includes(d));
    return makeView(
      "squeeze",
      x,
      kept.map((d) => x.shape[d]),
      kept.map((d) => x.strides[d]),
      x.offset,
      (g) => reshape(g, x.shape),
    );
  },
);

/** With a dim of size 1 put in at `dim`, from -n-1 to n. */
export const unsqueeze: (input: Tensor, dim: number) => Tensor = op(
  "unsqueeze(input, dim)",
  (x: Tensor, dim: number) => {
    const d = wrapDim(dim, x.ndim + 1, "unsqueeze");
    const stride = d < x.ndim ? x.shape[d] * x.strides[d] : 1;
    const shape = x.shape.toSpliced(d, 0, 1), strides = x.strides.toSpliced(d, 0, stride);
    return makeView("unsqueeze", x, shape, strides, x.offset, (g) => squeeze(g, d));
  },
);

/** From and to which dim. */
export interface FlattenOptions {
  /** The first dim of those made one. */
  startDim?: number;
  /** The last of them. */
  endDim?: number;
}

/** Dims `startDim` to `endDim` as one: a view where strides allow it, else a copy. */
export const flatten: (
  input: Tensor,
  startDim?: number | FlattenOptions,
  endDim?: number | FlattenOptions,
) => Tensor = op(
  "flatten(input, startDim=0, endDim=-1)",
  (x: Tensor, startDim: number, endDim: number) => {
    const a = wrapDim(startDim, x.ndim, "flatten", "startDim"),
      b = wrapDim(endDim, x.ndim, "flatten", "endDim");
    if (a > b) {
      throw new ArgumentError(
        `Cannot flatten ${shapeText(x.shape)}: startDim ${startDim} comes after endDim ${endDim}`,
        { op: "flatten" },
      );
    }
    if (x.ndim === 0) return reshape(x, [1]);
    if (a === b) return x;
    const joined = x.shape.slice(a, b + 1).reduce((n, m) => n * m, 1);
    return reshape(x, [...x.shape.slice(0, a), joined, ...x.shape.slice(b + 1)]);
  },
);

/** One dim as several whose product it is; one of them may be -1. */
export const unflatten: (input: Tensor, dim: number, sizes: readonly number[]) => Tensor = op(
  "unflatten(input, dim, sizes)",
  (x: Tensor, dim: number, sizes: readonly number[]) => {
    const d = wrapDim(dim, x.ndim, "unflatten");
    if (!Array.isArray(sizes) || sizes.length === 0 || x.ndim === 0) {
      throw new ArgumentError(
        `Cannot unflatten dim ${dim} of ${shapeText(x.shape)} into ${
          show(sizes)
        }: at least one size is needed, and a dim to take apart`,
        { op: "unflatten" },
      );
    }
    const parts = inferSize(sizes, x.shape[d], "unflatten", [x.shape[d]]);
    return view(x, x.shape.toSpliced(d, 1, ...parts));
  },
);
