/**
 * Ops on several tensors at once, and on the places of one: at least so many dims, broadcasting together, columns side
 * by side, combinations, indices taken apart.
 *
 * @module
 */
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes as broadcastPair, checkSize, shapeText } from "../shape.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { indexSelect } from "./index_ops.ts";
import { hstack } from "./joining.ts";
import { cast, checkTensor } from "./map.ts";
import { floorDivide, remainder } from "./pointwise.ts";
import { expand, reshape, unsqueeze } from "./view.ts";

/** One tensor, or each of several. */
export interface AtLeast {
  (tensor: Tensor): Tensor;
  (tensor: readonly Tensor[]): Tensor[];
}

function atLeast(name: string, widen: (x: Tensor) => Tensor): AtLeast {
  return op<AtLeast>(
    `${name}(tensor)`,
    ((x: Tensor | readonly Tensor[]) => {
      const each = (t: unknown): Tensor => {
        checkTensor(name, t, "tensor");
        return widen(t);
      };
      return Array.isArray(x) ? x.map(each) : each(x);
    }) as never,
  );
}

/** A tensor without dims gets one. */
export const atleast1d: AtLeast = atLeast("atleast1d", (x) => x.ndim === 0 ? reshape(x, [1]) : x);
/** Dims of size 1 in front, up to two. */
export const atleast2d: AtLeast = atLeast(
  "atleast2d",
  (x) => x.ndim === 0 ? reshape(x, [1, 1]) : x.ndim === 1 ? unsqueeze(x, 0) : x,
);
/** Dims of size 1 in front and behind, up to three. */
export const atleast3d: AtLeast = atLeast("atleast3d", (x) => {
  if (x.ndim === 0) return reshape(x, [1, 1, 1]);
  if (x.ndim === 1) return unsqueeze(unsqueeze(x, 0), -1);
  return x.ndim === 2 ? unsqueeze(x, -1) : x;
});

function checkList(name: string, tensors: unknown): asserts tensors is readonly Tensor[] {
  if (!Array.isArray(tensors) || !tensors.every((t) => t instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name}: tensors must be an array of tensors`, { op: name });
  }
}

/** The shape that several shapes broadcast to. */
export const broadcastShapes: (shapes: readonly (number | readonly number[])[]) => number[] = op(
  "broadcastShapes(shapes)",
  (shapes: readonly (number | readonly number[])[]) =>
    shapes.map((s) => checkSize(typeof s === "number" ? [s] : s, "broadcastShapes"))
      .reduce((a, b) => broadcastPair(a, b, "broadcastShapes").slice(), [] as number[]),
);

/** Tensors stretched to the shape that they broadcast to; views. */
export const broadcastTensors: (tensors: readonly Tensor[]) => Tensor[] = op(
  "broadcastTensors(tensors)",
  (tensors: readonly Tensor[]) => {
    checkList("broadcastTensors", tensors);
    const shape = tensors.map((t) => t.shape)
      .reduce((a, b) => broadcastPair(a, b, "broadcastTensors"), [] as readonly number[]);
    return tensors.map((t) => expand(t, shape));
  },
);

/** Tensors side by side as columns; vectors are columns themselves. */
export const columnStack: (tensors: readonly Tensor[]) => Tensor = op(
  "columnStack(tensors)",
  (tensors: readonly Tensor[]) => {
    checkList("columnStack", tensors);
    if (tensors.length === 0) {
      throw new ArgumentError("Cannot columnStack no tensors: at least one is needed", {
        op: "columnStack",
      });
    }
    const columns = tensors.map((t) => t.ndim > 1 ? t : reshape(t, [t.numel, 1]));
    const odd = columns.find((t) =>
      t.ndim !== columns[0].ndim || t.shape.some((n, d) => d !== 1 && n !== columns[0].shape[d])
    );
    if (odd !== undefined) {
      throw new ShapeError(
        `Cannot columnStack ${shapeText(columns[0].shape)} and ${
          shapeText(odd.shape)
        }: sizes beside dim 1 differ`,
        { op: "columnStack" },
      );
    }
    return hstack(columns);
  },
);

/** What `combinations` takes by name. */
export interface CombinationsOptions {
  /** How many are taken; default 2. */
  r?: number;
  /** Whether one may be taken several times. */
  withReplacement?: boolean;
}

/** All combinations of r elements of a vector, in order: (N) → (count, r). */
export const combinations: (
  input: Tensor,
  r?: number | CombinationsOptions,
  options?: CombinationsOptions,
) => Tensor = op(
  "combinations(input, r=2, withReplacement=false)",
  (x: Tensor, r: number, withReplacement: boolean) => {
    if (x.ndim !== 1 || !Number.isInteger(r) || r < 0) {
      throw new ArgumentError(
        `Cannot combinations of ${show(r)} of ${show(x)}: it takes a vector and a whole number`,
        { op: "combinations" },
      );
    }
    const n = x.shape[0], count = r === 0 ? 0 : chosen(withReplacement ? n + r - 1 : n, r);
    // What no memory holds is refused before it is counted out.
    const out = empty(checkSize([count, r], "combinations"), x.info, x.storage.device);
    if (count === 0) return out;
    const places = new BigInt64Array(count * r), row = new Array<number>(r).fill(0);
    for (let d = 1; d < r; d++) row[d] = withReplacement ? 0 : d;
    for (let i = 0; i < count; i++) {
      for (let d = 0; d < r; d++) places[i * r + d] = BigInt(row[d]);
      // The last place that can go on does, those behind it begin anew.
      let d = r - 1;
      while (d >= 0 && row[d] === (withReplacement ? n - 1 : n - r + d)) d--;
      if (d < 0) break;
      row[d]++;
      for (let e = d + 1; e < r; e++) row[e] = withReplacement ? row[d] : row[e - 1] + 1;
    }
    return reshape(
      indexSelect(x, 0, fromElements(places, "int64", [count * r], x.storage.device)),
      [count, r],
    );
  },
);

/** How many ways there are to choose r of n. */
function chosen(n: number, r: number): number {
  let count = 1;
  for (let i = 1; i <= Math.min(r, n - r); i++) count *= (n - Math.min(r, n - r) + i) / i;
  return r > n ? 0 : Math.round(count);
}

/** Places of a flat tensor as indices of each dim of a shape. */
export const unravelIndex: (indices: Tensor, shape: readonly number[]) => Tensor[] = op(
  "unravelIndex(indices, shape)",
  (indices: Tensor, shape: readonly number[]) => {
    checkTensor("unravelIndex", indices, "indices");
    if (indices.info.isFloat || indices.info === DTYPES.bool) {
      throw new DTypeError(`Cannot unravelIndex ${show(indices)}: indices are integers`, {
        op: "unravelIndex",
      });
    }
    const sizes = checkSize(typeof shape === "number" ? [shape] : shape, "unravelIndex");
    let rest = cast(indices, "int64");
    const out: Tensor[] = [];
    for (const n of sizes.toReversed()) {
      if (n === 0) {
        if (indices.numel > 0) {
          throw new ShapeError(
            `Cannot unravelIndex ${show(indices)} of ${shapeText(sizes)}: it has no elements`,
            { op: "unravelIndex" },
          );
        }
        out.unshift(rest.clone());
        continue;
      }
      out.unshift(remainder(rest, n) as Tensor);
      rest = floorDivide(rest, n);
    }
    return out;
  },
);
