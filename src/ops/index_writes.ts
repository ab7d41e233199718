/**
 * Values written at places of a flat tensor or along a dim, non-zeros in room for so many, and histograms.
 *
 * @module
 */
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { numelOf, shapeText, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { full, fullLike, zeros } from "./creation.ts";
import { indexPut } from "./index_ops.ts";
import { inplaceOf } from "./inplace.ts";
import { cat } from "./joining.ts";
import { eq, logicalAnd, lt, where } from "./logic.ts";
import { cast, checkTensor } from "./map.ts";
import { nonzero } from "./masking.ts";
import { type Named, named } from "./named.ts";
import { linspace } from "./pattern.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { sum } from "./reduction.ts";
import { scatterAdd, scatterReduce } from "./scattering.ts";
import { searchsorted } from "./sorting.ts";
import { contiguous, expand, flatten, reshape } from "./view.ts";
import { narrow, select } from "./window.ts";
import { diff } from "./differences.ts";

/** Writes at places of the flat tensor. */
export type Put = (
  input: Tensor,
  index: Tensor,
  source: Tensor,
  options?: { accumulate?: boolean },
) => Tensor;

/** A copy with `source` at places of the flat tensor; with `accumulate` it is added there. */
export const put: Put = op(
  "put(input, index, source, accumulate=false)",
  (x: Tensor, index: Tensor, source: Tensor, accumulate: boolean) => {
    checkTensor("put", index, "index");
    checkTensor("put", source, "source");
    if (index.numel !== source.numel) {
      throw new ShapeError(
        `Cannot put source ${shapeText(source.shape)} at index ${
          shapeText(index.shape)
        }: they must have as many elements`,
        { op: "put" },
      );
    }
    if (source.info !== x.info) {
      throw new ArgumentError(`Cannot put ${show(source)} into ${show(x)}: their dtypes differ`, {
        op: "put",
      });
    }
    const flat = indexPut(reshape(x, [-1]), [reshape(index, [-1])], reshape(source, [-1]), {
      accumulate,
    });
    return reshape(flat, x.shape);
  },
);
/** `put` in place. */
export const put_: Put = inplaceOf(put);

/** How `indexReduce` joins values. */
export type IndexReduction = "prod" | "mean" | "amax" | "amin";
/** Joins slices along a dim. */
export type IndexReduce = (
  input: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  reduce: IndexReduction,
  options?: { includeSelf?: boolean },
) => Tensor;

/** A copy whose slices along a dim are joined with those of `source` that `index` sends there. */
export const indexReduce: IndexReduce = op(
  "indexReduce(input, dim, index, source, reduce, includeSelf=true)",
  (
    x: Tensor,
    dim: number,
    index: Tensor,
    source: Tensor,
    reduce: IndexReduction,
    includeSelf: boolean,
  ) => {
    checkTensor("indexReduce", index, "index");
    checkTensor("indexReduce", source, "source");
    if (!["prod", "mean", "amax", "amin"].includes(reduce)) {
      throw new ArgumentError(
        `Cannot indexReduce by ${show(reduce)}: it is "prod", "mean", "amax" or "amin"`,
        { op: "indexReduce" },
      );
    }
    const d = wrapDim(dim, x.ndim, "indexReduce");
    const flat = reshape(index, [-1]);
    const [wideX, wideSource] = x.ndim === 0
      ? [reshape(x, [1]), reshape(source, [-1])]
      : [x, source];
    if (wideSource.ndim !== wideX.ndim || wideSource.shape[d] !== flat.numel) {
      throw new ShapeError(
        `Cannot indexReduce ${shapeText(source.shape)} into ${
          shapeText(x.shape)
        }: index has ${flat.numel} places for dim ${dim}`,
        { op: "indexReduce" },
      );
    }
    const places = expand(
      reshape(cast(flat, "int64"), wideX.shape.map((_, k) => k === d ? -1 : 1)),
      wideSource.shape,
    );
    const out = scatterReduce(wideX, d, places, wideSource, reduce, { includeSelf });
    return reshape(out, x.shape);
  },
);
/** `indexReduce` in place. */
export const indexReduce_: IndexReduce = inplaceOf(indexReduce);

/** The places of non-zeros in a tensor of `size` rows: the first ones, or rows of `fillValue` behind them. */
export const nonzeroStatic: (
  input: Tensor,
  options: { size: number; fillValue?: number },
) => Tensor = op(
  "nonzeroStatic(input, size=null, fillValue=-1)",
  (x: Tensor, size: number | null, fillValue: number) => {
    if (size === null || !Number.isInteger(size) || size < 0) {
      throw new ArgumentError(`Cannot nonzeroStatic with size ${show(size)}: it must be from 0`, {
        op: "nonzeroStatic",
      });
    }
    const found = nonzero(x) as Tensor;
    const count = found.shape[0];
    if (count >= size) return narrow(found, 0, 0, size).clone();
    return cat([
      found,
      full([size - count, x.ndim], fillValue, { dtype: "int64", device: x.device }),
    ], 0);
  },
);

// ---- histograms ---------------------------------------------------------------------------------

/** What histograms take by name. */
export interface HistogramOptions {
  /** The least and the greatest edge of each dim; default: those of the data. */
  range?: readonly number[] | null;
  /** How much each observation counts. */
  weight?: Tensor | null;
  /** Divide by the total and the width of bins. */
  density?: boolean;
}

/** The edges of bins along one dim. */
function edgesOf(
  name: string,
  x: Tensor,
  bins: number | Tensor,
  range: readonly number[] | null,
): Tensor {
  if (bins instanceof Tensor) {
    if (bins.ndim !== 1 || bins.numel === 0 || bins.info !== x.info) {
      throw new ArgumentError(
        `Cannot ${name} with edges ${show(bins)}: they are a vector of ${x.dtype}`,
        { op: name },
      );
    }
    return bins;
  }
  if (!Number.isInteger(bins) || bins < 1) {
    throw new ArgumentError(`Cannot ${name} with ${show(bins)} bins: at least 1 is needed`, {
      op: name,
    });
  }
  let [low, high] = range ??
    (x.numel === 0 ? [0, 1] : [Number(x.min().item()), Number(x.max().item())]);
  if (low > high || !Number.isFinite(low) || !Number.isFinite(high)) {
    throw new ArgumentError(`Cannot ${name} between ${low} and ${high}: no finite range`, {
      op: name,
    });
  }
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  return linspace(low, high, bins + 1, { dtype: x.dtype, device: x.device });
}

function histogramOf(
  name: string,
  points: Tensor,
  bins: readonly (number | Tensor)[],
  { range = null, weight = null, density = false }: HistogramOptions,
): { hist: Tensor; edges: Tensor[] } {
  const dims = bins.length;
  const columns = bins.map((_, d) => contiguous(select(points, 1, d)));
  const edges = bins.map((b, d) =>
    edgesOf(name, columns[d], b, range === null ? null : range.slice(2 * d, 2 * d + 2))
  );
  const sizes = edges.map((e) => e.numel - 1);
  let place = zeros([points.shape[0]], { dtype: "int64", device: points.device });
  let inside = fullLike(place, 1, { dtype: "bool" });
  for (let d = 0; d < dims; d++) {
    const found = sub(searchsorted(edges[d], columns[d], { right: true }), 1);
    const last = eq(columns[d], narrow(edges[d], 0, sizes[d], 1));
    const bin = where(last, sizes[d] - 1, found);
    inside = logicalAnd(inside, logicalAnd(lt(bin, sizes[d]), lt(bin, 0).logicalNot()));
    place = add(mul(place, sizes[d]), bin);
  }
  const counted = weight === null ? fullLike(columns[0], 1) : reshape(weight, [-1]);
  const total = numelOf(sizes);
  let hist = scatterAdd(
    zeros([total], { dtype: points.dtype, device: points.device }),
    0,
    where(inside, place, 0),
    where(inside, counted, zeros([], { dtype: points.dtype, device: points.device })),
  );
  hist = reshape(hist, sizes);
  if (density) {
    hist = div(hist, sum(hist));
    edges.forEach((e, d) => {
      hist = div(hist, reshape(diff(e), sizes.map((_, k) => k === d ? -1 : 1)));
    });
  }
  return { hist, edges };
}

function checkPoints(name: string, x: Tensor): void {
  if (!x.info.isFloat) {
    throw new ArgumentError(`Cannot ${name} ${show(x)}: it takes floats`, { op: name });
  }
}

/** How many elements lie in each bin, and the edges: `{ hist, binEdges }`. The last bin has both its edges. */
export const histogram: (
  input: Tensor,
  bins: number | Tensor,
  options?: HistogramOptions,
) => Named<"hist" | "binEdges"> = op(
  "histogram(input, bins, range=null, weight=null, density=false)",
  (
    x: Tensor,
    bins: number | Tensor,
    range: readonly number[] | null,
    weight: Tensor | null,
    density: boolean,
  ) => {
    checkPoints("histogram", x);
    const points = reshape(x, [-1, 1]);
    const { hist, edges } = histogramOf("histogram", points, [bins], { range, weight, density });
    return named({ hist, binEdges: edges[0] });
  },
);

/** A histogram of points with several coordinates. */
export interface HistogramDd extends Iterable<Tensor | Tensor[]> {
  /** How much lies in each cell. */
  readonly hist: Tensor;
  /** The edges along each dim. */
  readonly binEdges: Tensor[];
}

/** How many points (…, D) lie in each cell of a grid of D dims, and the edges. */
export const histogramdd: (
  input: Tensor,
  bins: number | readonly (number | Tensor)[],
  options?: HistogramOptions,
) => HistogramDd = op(
  "histogramdd(input, bins, range=null, weight=null, density=false)",
  (
    x: Tensor,
    bins: number | readonly (number | Tensor)[],
    range: readonly number[] | null,
    weight: Tensor | null,
    density: boolean,
  ) => {
    checkPoints("histogramdd", x);
    if (x.ndim < 2) {
      throw new ShapeError(`Cannot histogramdd ${shapeText(x.shape)}: it takes points in rows`, {
        op: "histogramdd",
      });
    }
    const dims = x.shape[x.ndim - 1];
    const each = typeof bins === "number" ? new Array<number>(dims).fill(bins) : bins;
    if (each.length !== dims) {
      throw new ShapeError(
        `Cannot histogramdd ${shapeText(x.shape)} with ${each.length} bins: there are ${dims} dims`,
        { op: "histogramdd" },
      );
    }
    const points = flatten(x, 0, x.ndim - 2);
    const { hist, edges } = histogramOf("histogramdd", points, each, { range, weight, density });
    return {
      hist,
      binEdges: edges,
      *[Symbol.iterator]() {
        yield hist;
        yield edges;
      },
    };
  },
);
