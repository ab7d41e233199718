/**
 * The same elements in other places: reversed, rolled, turned, repeated; and grids of indices.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, wants } from "../autograd.ts";
import { type DType, dtypeInfo } from "../dtype.ts";
import { ArgumentError, IndexError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { contiguousStrides, shapeText, wrapDim, wrapDims } from "../shape.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { copyOf } from "./places.ts";
import { stack } from "./joining.ts";
import { deviceNumber } from "./creation.ts";
import { cast, mapOut } from "./map.ts";
import { sumTo } from "./reduction.ts";
import { clone, expand, permute, reshape, transpose } from "./view.ts";
import { narrow } from "./window.ts";

/** An op of dims. */
export type ByDims = (input: Tensor, dims: readonly number[] | number) => Tensor;

/** Dims in reverse order, as a copy. */
export const flip: ByDims = op(
  "flip(input, dims)",
  (x: Tensor, given: readonly number[] | number) => {
    const dims = Array.isArray(given) && given.length === 0 ? [] : wrapDims(given, x.ndim, "flip");
    let offset = x.offset;
    const strides = x.strides.slice();
    for (const d of dims) {
      offset += x.numel === 0 ? 0 : (x.shape[d] - 1) * x.strides[d];
      strides[d] = -strides[d];
    }
    const out = copyOf(new Tensor(x.storage, x.info, x.shape, strides, offset));
    if (wants(x)) {
      record(
        "flip",
        [x],
        [out],
        ([g]) => [g && (x.ndim === 0 ? g : flip(g, dims))],
        [],
      );
    }
    return out;
  },
);

/** Columns in reverse order. */
export const fliplr: (input: Tensor) => Tensor = op("fliplr(input)", (x: Tensor) => {
  if (x.ndim < 2) {
    throw new ShapeError(`Cannot fliplr ${shapeText(x.shape)}: at least 2 dims are needed`, {
      op: "fliplr",
    });
  }
  return flip(x, [1]);
});

/** Rows in reverse order. */
export const flipud: (input: Tensor) => Tensor = op("flipud(input)", (x: Tensor) => {
  if (x.ndim < 1) throw new ShapeError("Cannot flipud a tensor of no dims", { op: "flipud" });
  return flip(x, [0]);
});

/** By how much, and along which dims. */
export interface RollOptions {
  /** The dims; null: all elements, row-major. */
  dims?: number | readonly number[] | null;
}

/** Elements moved on along dims; what leaves at the end comes in at the start. */
export const roll: (
  input: Tensor,
  shifts: number | readonly number[],
  dims?: number | readonly number[] | null | RollOptions,
) => Tensor = op(
  "roll(input, shifts, dims=null)",
  (x: Tensor, shifts: number | readonly number[], dims: number | readonly number[] | null) => {
    const by = Array.isArray(shifts) ? shifts as readonly number[] : [shifts as number];
    const along = dims === null
      ? []
      : Array.isArray(dims)
      ? dims as readonly number[]
      : [dims as number];
    if (!by.every((n) => Number.isInteger(n)) || by.length === 0) {
      throw new ArgumentError(`Cannot roll by ${show(shifts)}: shifts are whole numbers`, {
        op: "roll",
      });
    }
    for (const d of along) wrapDim(d, x.ndim, "roll");
    if (x.ndim === 0 && along.length > 0) {
      throw new IndexError(`Cannot roll along dim ${along[0]}: the tensor has no dims`, {
        op: "roll",
      });
    }
    if (along.length === 0 && by.length === 1) {
      return reshape(rollBy(reshape(x, [-1]), [by[0]], [0]), x.shape);
    }
    if (along.length !== by.length) {
      throw new ArgumentError(
        `Cannot roll by ${show(shifts)} along dims ${show(dims)}: one shift for each dim`,
        { op: "roll" },
      );
    }
    return x.ndim === 0 ? clone(x) : rollBy(x, by, along.map((d) => wrapDim(d, x.ndim, "roll")));
  },
);

function rollBy(x: Tensor, by: readonly number[], dims: readonly number[]): Tensor {
  const shift = x.shape.map(() => 0);
  dims.forEach((d, i) => shift[d] += by[i]);
  const out = empty(x.shape, x.info, x.storage.device);
  // Each rolled dim falls into two runs; every combination of runs is one window.
  const move = (from: Tensor, to: Tensor, d: number): void => {
    if (d === x.ndim) return mapOut("roll", OP.copy, to, from, null, x.info);
    const n = x.shape[d], s = n === 0 ? 0 : ((shift[d] % n) + n) % n;
    if (s === 0) return move(from, to, d + 1);
    move(narrow(from, d, 0, n - s), narrow(to, d, s, n - s), d + 1);
    move(narrow(from, d, n - s, s), narrow(to, d, 0, s), d + 1);
  };
  if (x.numel > 0) inMode(false, () => move(x, out, 0));
  if (wants(x)) record("roll", [x], [out], ([g]) => [g && rollBy(g, by.map((n) => -n), dims)], []);
  return out;
}

/** How far to turn, and in which plane. */
export interface Rot90Options {
  /** Quarter turns. */
  k?: number;
  /** From the first of the two dims to the second. */
  dims?: readonly [number, number];
}

/** Turned by quarters in the plane of two dims. */
export const rot90: (
  input: Tensor,
  k?: number | Rot90Options,
  dims?: readonly [number, number] | Rot90Options,
) => Tensor = op(
  "rot90(input, k=1, dims=[0, 1])",
  (x: Tensor, k: number, dims: readonly number[]) => {
    if (!Number.isInteger(k) || !Array.isArray(dims) || dims.length !== 2) {
      throw new ArgumentError(
        `Cannot rot90 by ${show(k)} in dims ${show(dims)}: quarter turns and two dims`,
        { op: "rot90" },
      );
    }
    const [a, b] = dims.map((d) => wrapDim(d, x.ndim, "rot90"));
    if (a === b) {
      throw new ArgumentError(`Cannot rot90 in dims ${show(dims)}: they must differ`, {
        op: "rot90",
      });
    }
    const turns = ((k % 4) + 4) % 4;
    if (turns === 2) return flip(x, [a, b]);
    if (turns === 1) return transpose(flip(x, [b]), a, b);
    return turns === 3 ? flip(transpose(x, a, b), [b]) : clone(x);
  },
);

/** An op of counts. */
export type ByCounts = (input: Tensor, counts: readonly number[]) => Tensor;

function repeated(name: string, x: Tensor, counts: readonly number[]): Tensor {
  if (
    !Array.isArray(counts) || !counts.every((n) => Number.isInteger(n) && n >= 0) ||
    counts.length < x.ndim
  ) {
    throw new ArgumentError(
      `Cannot ${name} ${shapeText(x.shape)} by ${
        show(counts)
      }: it takes a count from 0 on for each dim, and for new ones in front`,
      { op: name },
    );
  }
  const lead = counts.length - x.ndim;
  // x as [1, n, 1, m, …] stretched to [r, n, s, m, …]; a dim that is not repeated needs no place of its own.
  const shape: number[] = [], strides: number[] = [], out: number[] = [];
  counts.forEach((r, i) => {
    const n = i < lead ? 1 : x.shape[i - lead];
    if (r !== 1) {
      shape.push(r);
      strides.push(0);
    }
    shape.push(n);
    strides.push(i < lead ? 0 : x.strides[i - lead]);
    out.push(r * n);
  });
  const copy = copyOf(new Tensor(x.storage, x.info, shape, strides, x.offset));
  const result = new Tensor(copy.storage, copy.info, out, contiguousStrides(out), copy.offset);
  if (wants(x)) {
    record(name, [x], [result], ([g]) => {
      if (g === null) return [null];
      const ones: number[] = [];
      counts.forEach((r, i) => {
        if (r !== 1) ones.push(1);
        ones.push(i < lead ? 1 : x.shape[i - lead]);
      });
      return [reshape(sumTo(reshape(g, shape), ones), x.shape)];
    }, []);
  }
  return result;
}

/** The whole tensor so many times along each dim. */
export const repeat: ByCounts = op(
  "repeat(input, repeats)",
  (x: Tensor, counts: readonly number[]) => repeated("repeat", x, counts),
);

/** `repeat` with counts for the last dims only, as NumPy has it. */
export const tile: ByCounts = op("tile(input, dims)", (x: Tensor, counts: readonly number[]) => {
  const given = Array.isArray(counts) ? counts : [counts];
  return repeated("tile", x, [...new Array(Math.max(x.ndim - given.length, 0)).fill(1), ...given]);
});

// ---- grids ----------------------------------------------------------------------------------

/** How the dims of a grid stand. */
export interface MeshgridOptions {
  /** `"ij"` (default): as the tensors stand; `"xy"`: the first two exchanged. */
  indexing?: "ij" | "xy";
}

/** Grids of the coordinates that vectors span: k vectors → k views (N₁, …, Nₖ). */
export const meshgrid: (tensors: readonly Tensor[], options?: MeshgridOptions) => Tensor[] = op(
  "meshgrid(tensors, indexing='ij')",
  (tensors: readonly Tensor[], indexing: "ij" | "xy") => {
    if (
      !Array.isArray(tensors) || tensors.length === 0 ||
      tensors.some((t) => !(t instanceof Tensor) || t.ndim > 1)
    ) {
      throw new ArgumentError(`Cannot meshgrid ${show(tensors)}: it takes vectors, at least one`, {
        op: "meshgrid",
      });
    }
    if (indexing !== "ij" && indexing !== "xy") {
      throw new ArgumentError(
        `Cannot meshgrid with indexing ${show(indexing)}: it is "ij" or "xy"`,
        { op: "meshgrid" },
      );
    }
    const sizes = tensors.map((t) => t.numel);
    const grids = tensors.map((t, i) =>
      expand(reshape(t, sizes.map((n, d) => d === i ? n : 1)), sizes)
    );
    if (indexing === "ij" || grids.length < 2) return grids;
    const swapped = sizes.map((_, d) => d === 0 ? 1 : d === 1 ? 0 : d);
    return grids.map((g) => permute(g, swapped));
  },
);

/** All combinations of elements of vectors, as rows. */
export const cartesianProd: (tensors: readonly Tensor[]) => Tensor = op(
  "cartesianProd(tensors)",
  (tensors: readonly Tensor[]) => {
    if (Array.isArray(tensors) && tensors.some((t) => t instanceof Tensor && t.ndim !== 1)) {
      throw new ArgumentError(`Cannot cartesianProd ${show(tensors)}: it takes vectors`, {
        op: "cartesianProd",
      });
    }
    const grids = meshgrid(tensors);
    if (grids.length === 1) return tensors[0];
    return stack(grids.map((g) => reshape(g, [-1])), 1);
  },
);

/** The type of indices, and which diagonal bounds the triangle. */
export interface TriangleIndicesOptions {
  /** 0 the main diagonal, above it positive. */
  offset?: number;
  /** Default int64. */
  dtype?: DType | null;
  /** Where the result lies. */
  device?: string | null;
}
/** Indices of a triangle. */
export type TriangleIndices = (
  row: number,
  col: number,
  offset?: number | TriangleIndicesOptions,
  options?: TriangleIndicesOptions,
) => Tensor;

function triangle(
  name: string,
  columns: (row: number, col: number, offset: number) => [number, number],
  rowsOf: (row: number, col: number, offset: number) => [number, number],
): TriangleIndices {
  return op<TriangleIndices>(
    `${name}(row, col, offset=0, dtype='int64', device=null)`,
    (row: number, col: number, offset: number, dtype: DType, device: string | null) => {
      if (![row, col].every((n) => Number.isInteger(n) && n >= 0) || !Number.isInteger(offset)) {
        throw new ArgumentError(
          `Cannot ${name} of ${show(row)} rows, ${show(col)} columns, offset ${
            show(offset)
          }: whole numbers`,
          {
            op: name,
          },
        );
      }
      const [first, end] = rowsOf(row, col, offset);
      const range = (r: number): [number, number] => {
        const [from, to] = columns(r, col, offset);
        return [Math.max(from, 0), Math.min(to, col)];
      };
      // Each row that counts holds one element at least: refused before it is counted where that is too much already.
      const refuse = (n: number) => empty([2, n], dtypeInfo("int64", name)).dispose();
      refuse(Math.max(end - first, 0));
      let count = 0;
      for (let r = first; r < end; r++) count += Math.max(range(r)[1] - range(r)[0], 0);
      refuse(count);
      const indices = new BigInt64Array(2 * count);
      for (let r = first, at = 0; r < end; r++) {
        const [from, to] = range(r);
        for (let c = from; c < to; c++, at++) {
          indices[at] = BigInt(r);
          indices[count + at] = BigInt(c);
        }
      }
      return cast(
        fromElements(indices, "int64", [2, count], deviceNumber(device, name)),
        dtypeInfo(dtype, name).name,
      );
    },
  );
}

/** Rows and columns of the elements on and below a diagonal: (2, n). */
export const trilIndices: TriangleIndices = triangle(
  "trilIndices",
  (r, _, offset) => [0, r + offset + 1],
  (row, col, offset) => [Math.max(0, -offset), col === 0 ? 0 : row],
);
/** Rows and columns of the elements on and above a diagonal: (2, n). */
export const triuIndices: TriangleIndices = triangle(
  "triuIndices",
  (r, col, offset) => [r + offset, col],
  (row, col, offset) => [0, Math.min(row, col - offset)],
);
