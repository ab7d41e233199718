/**
 * Views of parts of a tensor: one index, a range, a diagonal, sliding windows, pieces. Their gradients are zero
 * outside the part.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, noteManyViews, record, wants } from "../autograd.ts";
import { ArgumentError, IndexError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { contiguousStrides, isContiguous, numelOf, shapeText, wrapDim } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { tensorOfWindow } from "../windows.ts";
import { filled } from "./creation.ts";
import { div } from "./pointwise.ts";
import { mapOut } from "./map.ts";
import { clone, makeView } from "./view.ts";

/**
 * The gradient of a tensor of which `view` shows the places from `from` to before `to` of a dim: zeros elsewhere.
 * Differentiable in g; where nobody differentiates, windows of one tensor are put together before anything is written.
 */
function intoSlice(
  g: Tensor,
  shape: readonly number[],
  place: { dim: number; from: number; to: number },
  view: (whole: Tensor) => Tensor,
): Tensor {
  const isPlain = g.numel > 0 && !wants(g);
  return isPlain ? tensorOfWindow(shape, { g, view, ...place }) : intoWindow(g, shape, view);
}

/** A tensor of zeros in whose part `window` stands g: the gradient of a view. Differentiable in g. */
export function intoWindow(
  g: Tensor,
  shape: readonly number[],
  window: (whole: Tensor) => Tensor,
): Tensor {
  const out = filled(shape, 0, g.info, g.storage.device);
  const part = inMode(false, () => window(out));
  mapOut("intoWindow", OP.copy, part, g, null, g.info);
  if (wants(g)) record("intoWindow", [g], [out], ([gg]) => [gg && window(gg)], []);
  return out;
}

/** A whole number, or an ArgumentError. */
function whole(value: unknown, name: string, what: string): number {
  if (typeof value === "number" && Number.isInteger(value)) return value;
  throw new ArgumentError(`Cannot ${name}: ${what} must be a whole number, got ${show(value)}`, {
    op: name,
  });
}

/** Every `step`-th element of a dim from `start` to before `stop`, all already inside the dim. */
export function sliceDim(
  x: Tensor,
  dim: number,
  start: number,
  stop: number,
  step: number,
  name = "at",
): Tensor {
  const length = Math.max(0, Math.ceil((stop - start) / step));
  const shape = x.shape.with(dim, length), strides = x.strides.with(dim, x.strides[dim] * step);
  const offset = length === 0 ? x.offset : x.offset + start * x.strides[dim];
  return makeView(
    name,
    x,
    shape,
    strides,
    offset,
    (g) => {
      const view = (w: Tensor) => sliceDim(w, dim, start, stop, step);
      return step === 1
        ? intoSlice(g, x.shape, { dim, from: start, to: stop }, view)
        : intoWindow(g, x.shape, view);
    },
  );
}

/** Elements `start` to `start + length` of a dim. Errors: IndexError when they are not all there. */
export const narrow: (input: Tensor, dim: number, start: number, length: number) => Tensor = op(
  "narrow(input, dim, start, length)",
  (x: Tensor, dim: number, start: number | Tensor, length: number) => {
    if (
      start instanceof Tensor &&
      (start.ndim !== 0 || start.info.isFloat || start.dtype === "bool")
    ) {
      throw new ArgumentError(`Cannot narrow from ${show(start)}: start is one integer`, {
        op: "narrow",
      });
    }
    const from = start instanceof Tensor ? start.item() : start;
    const d = wrapDim(dim, x.ndim, "narrow");
    whole(from, "narrow", "start");
    whole(length, "narrow", "length");
    const size = x.shape[d] ?? 0;
    const first = from < 0 ? from + size : from;
    if (x.ndim === 0 || first < 0 || first > size || length < 0 || first + length > size) {
      throw new IndexError(
        `Cannot narrow dim ${dim} of ${
          shapeText(x.shape)
        } to ${length} elements from ${from}: it has ${size}`,
        { op: "narrow" },
      );
    }
    return sliceDim(x, d, first, first + length, 1, "narrow");
  },
);

/** One index of a dim, which goes away. Shapes: (…, N, …) → (…, …). */
export const select: (input: Tensor, dim: number, index: number) => Tensor = op(
  "select(input, dim, index)",
  (x: Tensor, dim: number, index: number | Tensor) => {
    if (x.ndim === 0) {
      throw new IndexError("Cannot select from a tensor of no dims", { op: "select" });
    }
    const i = index instanceof Tensor ? index.item() : index;
    return selectIndex("select", x, wrapDim(dim, x.ndim, "select"), i);
  },
);

/** `select` under the name of the op that asks for it; `dim` is wrapped already. */
export function selectIndex(
  name: string,
  x: Tensor,
  d: number,
  index: number,
  whose: Tensor = x,
  dim: number = d,
): Tensor {
  whole(index, name, "index");
  const size = x.shape[d];
  if (index < -size || index >= size) {
    throw new IndexError(
      `Cannot ${name} ${
        shapeText(whose.shape)
      }: index ${index} is out of range for dim ${dim} of size ${size}`,
      { op: name },
    );
  }
  const i = index < 0 ? index + size : index;
  return makeView(
    name,
    x,
    x.shape.toSpliced(d, 1),
    x.strides.toSpliced(d, 1),
    x.offset + i * x.strides[d],
    (g) => intoSlice(g, x.shape, { dim: d, from: i, to: i + 1 }, (w) => select(w, d, i)),
  );
}

/** Which diagonal, of which two dims. */
export interface DiagonalOptions {
  /** 0 the main one, above it positive. */
  offset?: number;
  /** The dim of rows. */
  dim1?: number;
  /** The dim of columns. */
  dim2?: number;
}

/** The diagonal of two dims as the last dim: `out[…, i] = x[…, i, …, i + offset, …]`. */
export const diagonal: (
  input: Tensor,
  offset?: number | DiagonalOptions,
  dim1?: number | DiagonalOptions,
  options?: DiagonalOptions,
) => Tensor = op(
  "diagonal(input, offset=0, dim1=0, dim2=1)",
  (x: Tensor, offset: number, dim1: number, dim2: number) => {
    whole(offset, "diagonal", "offset");
    const a = wrapDim(dim1, x.ndim, "diagonal", "dim1"),
      b = wrapDim(dim2, x.ndim, "diagonal", "dim2");
    if (a === b) {
      throw new ArgumentError(
        `Cannot diagonal ${shapeText(x.shape)}: dim1 ${dim1} and dim2 ${dim2} are the same dim`,
        { op: "diagonal" },
      );
    }
    const row = offset < 0 ? -offset : 0, column = offset > 0 ? offset : 0;
    const length = Math.max(0, Math.min(x.shape[a] - row, x.shape[b] - column));
    const rest = Array.from({ length: x.ndim }, (_, d) => d).filter((d) => d !== a && d !== b);
    const at = length === 0 ? x.offset : x.offset + row * x.strides[a] + column * x.strides[b];
    return makeView(
      "diagonal",
      x,
      [...rest.map((d) => x.shape[d]), length],
      [...rest.map((d) => x.strides[d]), x.strides[a] + x.strides[b]],
      at,
      (g) => intoWindow(g, x.shape, (w) => diagonal(w, offset, a, { dim2: b })),
    );
  },
);

/** The last dim as a diagonal of two new dims, zero elsewhere: what `diagonal` undoes. */
export const diagEmbed: (
  input: Tensor,
  offset?: number | DiagonalOptions,
  dim1?: number | DiagonalOptions,
  options?: DiagonalOptions,
) => Tensor = op(
  "diagEmbed(input, offset=0, dim1=-2, dim2=-1)",
  (x: Tensor, offset: number, dim1: number, dim2: number) => {
    whole(offset, "diagEmbed", "offset");
    if (x.ndim === 0) {
      throw new ShapeError("Cannot diagEmbed a tensor of no dims", { op: "diagEmbed" });
    }
    const a = wrapDim(dim1, x.ndim + 1, "diagEmbed", "dim1"),
      b = wrapDim(dim2, x.ndim + 1, "diagEmbed", "dim2");
    if (a === b) {
      throw new ArgumentError(`Cannot diagEmbed: dim1 ${dim1} and dim2 ${dim2} are the same dim`, {
        op: "diagEmbed",
      });
    }
    const n = x.shape[x.ndim - 1] + Math.abs(offset);
    const shape = x.shape.slice(0, -1);
    for (const d of [Math.min(a, b), Math.max(a, b)]) shape.splice(d, 0, n);
    return intoWindow(x, shape, (w) => diagonal(w, offset, a, { dim2: b }));
  },
);

/** A matrix with a vector on a diagonal, or a matrix's diagonal as a copy. */
export const diag: (input: Tensor, diagonal?: number | { diagonal?: number }) => Tensor = op(
  "diag(input, diagonal=0)",
  (x: Tensor, offset: number) => {
    if (x.ndim === 1) return diagEmbed(x, offset);
    if (x.ndim === 2) return clone(diagonal(x, offset));
    throw new ShapeError(`Cannot diag ${shapeText(x.shape)}: it takes a vector or a matrix`, {
      op: "diag",
    });
  },
);

/** A tensor in which each place has the sum of what g puts on it under these strides; places may be met twice. */
function sumAt(
  g: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): Tensor {
  const out = empty(shape, g.info, g.storage.device);
  run("asStrided", OP.strided_sum, [out], [g], [offset, ...strides]);
  return out;
}

/** Sliding windows over a dim, as a new last dim. Shapes: (…, N, …) → (…, (N - size) / step + 1, …, size). */
export const unfold: (input: Tensor, dimension: number, size: number, step: number) => Tensor = op(
  "unfold(input, dimension, size, step)",
  (x: Tensor, dimension: number, size: number, step: number) => {
    const d = wrapDim(dimension, x.ndim, "unfold", "dimension");
    whole(size, "unfold", "size");
    whole(step, "unfold", "step");
    const n = x.shape[d] ?? 1, stride = x.strides[d] ?? 1;
    if (size < 0 || size > n || step <= 0) {
      throw new ShapeError(
        `Cannot unfold dim ${dimension} of ${
          shapeText(x.shape)
        } into windows of ${size} by steps of ${step}: a window has 0 to ${n} elements, a step at least 1`,
        { op: "unfold" },
      );
    }
    const count = Math.floor((n - size) / step) + 1;
    const shape = x.ndim === 0 ? [size] : [...x.shape.with(d, count), size];
    const strides = x.ndim === 0 ? [stride] : [...x.strides.with(d, stride * step), stride];
    return makeView(
      "unfold",
      x,
      shape,
      strides,
      x.offset,
      (g) => unfoldBackward(g, x.shape, d, size, step),
    );
  },
);

function unfoldBackward(
  g: Tensor,
  shape: readonly number[],
  d: number,
  size: number,
  step: number,
): Tensor {
  const strides = contiguousStrides(shape), stride = strides[d] ?? 1;
  const windows = shape.length === 0 ? [stride] : [...strides.with(d, stride * step), stride];
  const out = sumAt(g, shape, windows, 0);
  if (wants(g)) record("unfold", [g], [out], ([gg]) => [gg && unfold(gg, d, size, step)], []);
  return out;
}

/** Where the elements start. */
export interface AsStridedOptions {
  /** Elements from the storage's start; default: where the input starts. */
  storageOffset?: number | null;
}

/**
 * Any dims and strides on the input's storage. Errors: ShapeError when an element would lie outside the storage.
 * The gradient of an element that is seen more than once is the sum over all places.
 */
export const asStrided: (
  input: Tensor,
  size: readonly number[],
  stride: readonly number[],
  storageOffset?: number | null | AsStridedOptions,
) => Tensor = op(
  "asStrided(input, size, stride, storageOffset=null)",
  (x: Tensor, size: readonly number[], stride: readonly number[], storageOffset: number | null) => {
    const offset = storageOffset ?? x.offset;
    const given = Array.isArray(size) && Array.isArray(stride) && size.length === stride.length &&
      [...size, ...stride, offset].every((n) => Number.isInteger(n) && n >= 0);
    if (!given) {
      throw new ArgumentError(
        `Cannot asStrided by size ${show(size)}, stride ${show(stride)} and offset ${
          show(offset)
        }: as many strides as sizes, all whole numbers from 0 on`,
        { op: "asStrided" },
      );
    }
    const reach = offset + size.reduce((sum, n, i) => sum + (n - 1) * stride[i], 0);
    const room = x.storage.bytes / x.info.size;
    if (numelOf(size) > 0 && reach >= room) {
      throw new ShapeError(
        `Cannot asStrided by size ${shapeText(size)}, stride ${
          shapeText(stride)
        } and offset ${offset}: element ${reach} lies outside the storage of ${room}`,
        { op: "asStrided" },
      );
    }
    return makeView(
      "asStrided",
      x,
      size.slice(),
      stride.slice(),
      offset,
      (g) => asStridedBackward(g, x, size, stride, offset),
    );
  },
);

/** Sums g by place in the storage, then reads what the input sees of it. */
function asStridedBackward(
  g: Tensor,
  x: Tensor,
  size: readonly number[],
  stride: readonly number[],
  offset: number,
): Tensor {
  const extent = [x.storage.bytes / x.info.size];
  const sums = sumAt(g, extent, stride, offset);
  if (wants(g)) {
    record("asStrided", [g], [sums], ([gg]) => [gg && asStrided(gg, size, stride, offset)], []);
  }
  const seen = asStrided(sums, x.shape, x.strides, x.offset);
  // An input that itself meets an element twice shares its gradient out among the places.
  if (isContiguous(x.shape, x.strides) || !x.strides.some((s, d) => s === 0 && x.shape[d] > 1)) {
    return seen;
  }
  const ones = filled(x.shape, 1, g.info, g.storage.device);
  const counts = sumAt(ones, extent, x.strides, x.offset);
  return div(seen, inMode(false, () => asStrided(counts, x.shape, x.strides, x.offset)));
}

// ---- pieces ---------------------------------------------------------------------------------

/** Along which dim. */
export type DimArgument = number | { dim?: number };

/** Each index of a dim as a tensor of its own. */
export const unbind: (input: Tensor, dim?: DimArgument) => Tensor[] = op(
  "unbind(input, dim=0)",
  (x: Tensor, dim: number) => {
    const d = wrapDim(dim, x.ndim, "unbind");
    if (x.ndim === 0) {
      throw new ShapeError("Cannot unbind a tensor of no dims", { op: "unbind" });
    }
    const views = Array.from({ length: x.shape[d] }, (_, i) => selectIndex("unbind", x, d, i));
    return noteManyViews("unbind", views);
  },
);

function pieces(name: string, x: Tensor, d: number, sizes: readonly number[]): Tensor[] {
  let at = 0;
  return sizes.map((n) => sliceDim(x, d, at, at += n, 1, name));
}

function dimToSplit(name: string, x: Tensor, dim: number): number {
  const d = wrapDim(dim, x.ndim, name);
  if (x.ndim === 0) throw new ShapeError(`Cannot ${name} a tensor of no dims`, { op: name });
  return d;
}

/** Pieces of a given size, the last one smaller where it must be, or of the given sizes, which must fill the dim. */
export const split: (
  input: Tensor,
  splitSize: number | readonly number[],
  dim?: DimArgument,
) => Tensor[] = op(
  "split(input, splitSize, dim=0)",
  (x: Tensor, splitSize: number | readonly number[], dim: number) => {
    const d = dimToSplit("split", x, dim), n = x.shape[d];
    const listed = Array.isArray(splitSize) ? splitSize as readonly number[] : null;
    for (const s of listed ?? [splitSize]) {
      if (
        typeof s !== "number" || !Number.isInteger(s) || s < 0 ||
        (listed === null && s === 0 && n > 0)
      ) {
        throw new ArgumentError(
          `Cannot split dim ${dim} of ${shapeText(x.shape)} by ${show(splitSize)}: ${
            show(s)
          } is no size of a piece`,
          { op: "split" },
        );
      }
    }
    if (listed !== null) {
      const sum = listed.reduce((a, b) => a + b, 0);
      if (sum !== n) {
        throw new ShapeError(
          `Cannot split dim ${dim} of ${shapeText(x.shape)} by ${
            show(listed)
          }: the sizes add up to ${sum}, not ${n}`,
          { op: "split" },
        );
      }
      return noteManyViews("split", pieces("split", x, d, listed));
    }
    const size = splitSize as number;
    const count = n === 0 ? 1 : Math.ceil(n / size);
    const sizes = Array.from({ length: count }, (_, i) => Math.min(size, n - i * size));
    return noteManyViews("split", pieces("split", x, d, sizes));
  },
);

/** At most `chunks` pieces of one size, the last one smaller where it must be. */
export const chunk: (input: Tensor, chunks: number, dim?: DimArgument) => Tensor[] = op(
  "chunk(input, chunks, dim=0)",
  (x: Tensor, chunks: number, dim: number) => {
    const d = dimToSplit("chunk", x, dim), n = x.shape[d];
    checkPieces("chunk", x, n, whole(chunks, "chunk", "chunks"), "pieces");
    if (n === 0) return pieces("chunk", x, d, new Array(chunks).fill(0));
    return split(x, Math.ceil(n / chunks), d);
  },
);

/** More pieces than a dim has elements are empty ones; past this many the number is a mistake. */
const MOST_EMPTY = 2 ** 20;

/** Fails where a dim of so many elements is not to be cut into so many pieces. */
function checkPieces(op: string, x: Tensor, size: number, count: number, what: string): void {
  const most = Math.max(size, MOST_EMPTY);
  if (count >= 1 && count <= most) return;
  const rule = count < 1 ? "at least 1 is needed" : `at most ${most} are made`;
  throw new ArgumentError(`Cannot ${op} ${shapeText(x.shape)} into ${count} ${what}: ${rule}`, {
    op,
  });
}

/** So many pieces of nearly one size, the first ones larger by one, or pieces between the given indices. */
export const tensorSplit: (
  input: Tensor,
  indicesOrSections: number | readonly number[],
  dim?: DimArgument,
) => Tensor[] = op(
  "tensorSplit(input, indicesOrSections, dim=0)",
  (x: Tensor, where: number | readonly number[] | Tensor, dim: number) => {
    const d = dimToSplit("tensorSplit", x, dim), n = x.shape[d];
    const given = where instanceof Tensor ? where.toArray() as number | number[] : where;
    if (!Array.isArray(given)) {
      const sections = whole(given, "tensorSplit", "indicesOrSections");
      checkPieces("tensorSplit", x, n, sections, "sections");
      const sizes = Array.from(
        { length: sections },
        (_, i) => Math.floor(n / sections) + (i < n % sections ? 1 : 0),
      );
      return pieces("tensorSplit", x, d, sizes);
    }
    const inside = (i: number) => {
      whole(i, "tensorSplit", "an index");
      return Math.min(Math.max(i < 0 ? i + n : i, 0), n);
    };
    const cuts = [0, ...given.map(inside), n];
    return cuts.slice(1).map((stop, i) => sliceDim(x, d, cuts[i], stop, 1, "tensorSplit"));
  },
);

/** Sections or indices of hsplit and its kin. */
export type Split = (input: Tensor, indicesOrSections: number | readonly number[]) => Tensor[];

function splitAlong(name: string, least: number, dimOf: (x: Tensor) => number): Split {
  return op<Split>(
    `${name}(input, indicesOrSections)`,
    (x: Tensor, where: number | readonly number[]) => {
      if (x.ndim < least) {
        throw new ShapeError(
          `Cannot ${name} ${
            shapeText(x.shape)
          }: it has ${x.ndim} dims, at least ${least} are needed`,
          { op: name },
        );
      }
      const d = dimOf(x);
      if (typeof where === "number" && where > 0 && x.shape[d] % where !== 0) {
        throw new ShapeError(
          `Cannot ${name} ${shapeText(x.shape)} into ${where} sections: dim ${d} of size ${
            x.shape[d]
          } does not divide by it`,
          { op: name },
        );
      }
      return tensorSplit(x, where, d);
    },
  );
}

/** `tensorSplit` of columns: dim 1, or dim 0 of a vector. Sections must divide the dim. */
export const hsplit: Split = splitAlong("hsplit", 1, (x) => x.ndim === 1 ? 0 : 1);
/** `tensorSplit` of rows: dim 0 of at least two. Sections must divide the dim. */
export const vsplit: Split = splitAlong("vsplit", 2, () => 0);
/** `tensorSplit` of dim 2. Sections must divide the dim. */
export const dsplit: Split = splitAlong("dsplit", 3, () => 2);
