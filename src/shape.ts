/**
 * Shape arithmetic: strides, broadcasting, dims, sizes. Plain numbers only, no tensors.
 *
 * @module
 */
import { ArgumentError, IndexError, ShapeError, show } from "./errors.ts";

/** More dims than this are refused. */
export const MAX_DIMS = 16;

/** The count of elements. */
export function numelOf(shape: readonly number[]): number {
  let n = 1;
  for (let i = 0; i < shape.length; i++) n *= shape[i];
  return n;
}

/** Row-major strides, in elements. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let s = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = s;
    s *= Math.max(shape[i], 1);
  }
  return strides;
}

/** Whether elements lie row-major without gaps. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 0) return true;
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i];
  }
  return true;
}

/** Whether two shapes are the same. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** `[2, 3]` as text. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** The shape that both broadcast to; missing leading dims and dims of size 1 stretch. */
export function broadcastShapes(
  a: readonly number[],
  b: readonly number[],
  op: string,
): readonly number[] {
  if (sameShape(a, b) || b.length === 0) return a;
  if (a.length === 0) return b;
  const n = Math.max(a.length, b.length);
  const out = new Array<number>(n);
  for (let i = 0; i < n; i++) {
    const x = a[a.length - n + i] ?? 1, y = b[b.length - n + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `Cannot ${op} input ${shapeText(a)} and other ${
          shapeText(b)
        }: sizes ${x} and ${y} differ in dim ${i - n} and neither is 1`,
        { op },
      );
    }
    out[i] = x === 1 ? y : x;
  }
  return out;
}

/** Strides under which a shape broadcasts to a larger one: 0 where it stretches. */
export function broadcastStrides(
  shape: readonly number[],
  strides: readonly number[],
  to: readonly number[],
): number[] {
  const out = new Array<number>(to.length);
  const lead = to.length - shape.length;
  for (let i = 0; i < to.length; i++) {
    out[i] = i < lead || (shape[i - lead] === 1 && to[i] !== 1) ? 0 : strides[i - lead];
  }
  return out;
}

/** A dim from -n to n - 1 as one from 0 to n - 1. A 0-d tensor takes dims 0 and -1. */
export function wrapDim(dim: unknown, ndim: number, op: string, name = "dim"): number {
  if (typeof dim !== "number" || !Number.isInteger(dim)) {
    throw new ArgumentError(`Cannot ${op}: ${name} must be a whole number, got ${show(dim)}`, {
      op,
    });
  }
  const n = Math.max(ndim, 1);
  if (dim < -n || dim >= n) {
    throw new IndexError(
      `Cannot ${op}: ${name} ${dim} is out of range for ${ndim} dims, it must be from ${-n} to ${
        n - 1
      }`,
      { op },
    );
  }
  return dim < 0 ? dim + n : dim;
}

/** Dims given as one number, an array, or null for all; wrapped, unique, ascending. */
export function wrapDims(dims: unknown, ndim: number, op: string): number[] {
  if (dims === null || dims === undefined || (Array.isArray(dims) && dims.length === 0)) {
    return Array.from({ length: ndim }, (_, i) => i);
  }
  const list = (Array.isArray(dims) ? dims : [dims]).map((d) => wrapDim(d, ndim, op));
  const sorted = list.toSorted((a, b) => a - b);
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i] === sorted[i - 1]) {
      throw new ArgumentError(`Cannot ${op}: dim ${sorted[i]} appears twice in ${show(dims)}`, {
        op,
      });
    }
  }
  return ndim === 0 ? [] : sorted;
}

/** A list of sizes: whole, not negative, at most 2^53 elements and 16 dims. */
export function checkSize(size: unknown, op: string): number[] {
  const list = typeof size === "number" ? [size] : size;
  if (!Array.isArray(list)) {
    throw new ArgumentError(
      `Cannot ${op}: size must be an array of whole numbers, got ${show(size)}`,
      { op },
    );
  }
  if (list.length > MAX_DIMS) {
    throw new ShapeError(`Cannot ${op}: ${list.length} dims, the most is ${MAX_DIMS}`, { op });
  }
  for (const n of list) {
    if (typeof n !== "number" || !Number.isInteger(n) || n < 0) {
      throw new ShapeError(
        `Cannot ${op} with size ${show(list)}: each size must be a whole number from 0 on, got ${
          show(n)
        }`,
        { op },
      );
    }
  }
  if (numelOf(list) >= 2 ** 50) {
    throw new ShapeError(
      `Cannot ${op} with size ${show(list)}: ${numelOf(list)} elements are more than 2^50`,
      { op },
    );
  }
  return list.slice();
}

/** Resolves one -1 among the sizes so that the count of elements fits. */
export function inferSize(
  size: readonly number[],
  numel: number,
  op: string,
  from: readonly number[],
): number[] {
  let known = 1, hole = -1;
  for (let i = 0; i < size.length; i++) {
    if (size[i] === -1 && hole < 0) hole = i;
    else if (!Number.isInteger(size[i]) || size[i] < 0) {
      throw new ShapeError(
        size[i] === -1
          ? `Cannot ${op} ${shapeText(from)} as ${show(size)}: only one size can be -1`
          : `Cannot ${op} ${shapeText(from)} as ${show(size)}: ${show(size[i])} is no size`,
        { op },
      );
    } else known *= size[i];
  }
  const out = size.slice();
  if (hole >= 0 && known !== 0 && numel % known === 0) out[hole] = numel / known;
  else if (hole >= 0 || known !== numel) {
    throw new ShapeError(
      `Cannot ${op} ${shapeText(from)} as ${show(size)}: ${numel} elements do not fill it`,
      { op },
    );
  }
  return out;
}

/** Strides of the same elements under another shape, or null when that needs a copy. */
export function viewStrides(
  shape: readonly number[],
  strides: readonly number[],
  to: readonly number[],
): number[] | null {
  if (numelOf(shape) === 0) return contiguousStrides(to);
  const out = new Array<number>(to.length);
  let d = to.length - 1;
  let chunk = 1, base = shape.length > 0 ? strides[shape.length - 1] : 1, seen = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    chunk *= shape[i];
    // A run of dims that lies without gaps ends here.
    if (i === 0 || (shape[i - 1] !== 1 && strides[i - 1] !== chunk * base)) {
      while (d >= 0 && (seen < chunk || to[d] === 1)) {
        out[d] = seen * base;
        seen *= to[d];
        d--;
      }
      if (seen !== chunk) return null;
      if (i > 0) {
        base = strides[i - 1];
        chunk = 1;
        seen = 1;
      }
    }
  }
  while (d >= 0) {
    if (to[d] !== 1) return null;
    out[d] = 1;
    d--;
  }
  return out;
}
