/**
 * Statistics of the order of elements: median, mode, quantiles. All are made of `sort` and `gather`.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, DTypeError, IndexError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { tensor } from "./creation.ts";
import { argmax, type ValuesIndices, valuesIndices } from "./extreme.ts";
import { isnan, logicalNot, ne, where } from "./logic.ts";
import { cast } from "./map.ts";
import { ceil, floor, round } from "./math.ts";
import { arange } from "./pattern.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { clampMin, maximum } from "./bounds.ts";
import { any, sum } from "./reduction.ts";
import { cummax } from "./scan.ts";
import { gather } from "./scattering.ts";
import { sort } from "./sorting.ts";
import { expand, movedim, reshape, squeeze } from "./view.ts";
import { narrow, select } from "./window.ts";

/** A statistic of all elements, or over a dim with its place. */
export interface OrderStatistic {
  /** Of all elements. */
  (input: Tensor): Tensor;
  /** Over a dim. */
  (input: Tensor, dim: number, options?: { keepdim?: boolean }): ValuesIndices;
  /** Over a dim given by name. */
  (input: Tensor, options: { dim: number; keepdim?: boolean }): ValuesIndices;
}

function refuseNothing(name: string, x: Tensor, d: number): void {
  if (x.ndim > 0 && x.shape[d] === 0) {
    throw new IndexError(`Cannot ${name} ${shapeText(x.shape)} over dim ${d}: it has no elements`, {
      op: name,
    });
  }
}

/** Values of x at places (size 1 in dim d), through which gradients flow. */
function pick(x: Tensor, d: number, places: Tensor, keepdim: boolean): ValuesIndices {
  const values = gather(x, d, places);
  return keepdim
    ? valuesIndices(values, places)
    : valuesIndices(squeeze(values, d), squeeze(places, d));
}

/** The place of the lower median of each line, with size 1 in dim d; `skip` leaves NaN out, else the first NaN wins. */
function medianPlaces(x: Tensor, d: number, skip: boolean): Tensor {
  return inMode(false, () => {
    const { indices } = sort(x, d, { stable: true });
    const n = x.shape[d];
    if (!x.info.isFloat) return narrow(indices, d, (n - 1) >> 1, 1);
    const missing = isnan(x);
    if (skip) {
      const count = sum(logicalNot(missing), d, { keepdim: true });
      return gather(indices, d, clampMin(div(sub(count, 1), 2, { roundingMode: "floor" }), 0));
    }
    const middle = narrow(indices, d, (n - 1) >> 1, 1);
    return where(any(missing, d, { keepdim: true }), argmax(x, d, { keepdim: true }), middle);
  });
}

function median_(name: string, skip: boolean): OrderStatistic {
  return op<(input: Tensor, dim: number | null, keepdim: boolean) => Tensor | ValuesIndices>(
    `${name}(input, dim=null, keepdim=false)`,
    (x: Tensor, dim: number | null, keepdim: boolean) => {
      if (dim === null) {
        if (x.numel === 0) return mul(sum(x), NaN);
        const flat = reshape(x, [-1]);
        return reshape(gather(flat, 0, medianPlaces(flat, 0, skip)), []);
      }
      const d = wrapDim(dim, x.ndim, name);
      refuseNothing(name, x, d);
      if (x.ndim === 0) return valuesIndices(x, tensor(0n));
      return pick(x, d, medianPlaces(x, d, skip), keepdim);
    },
  ) as OrderStatistic;
}

/** The median, the lower one of two; NaN where there is one. Over a dim `{ values, indices }`. */
export const median: OrderStatistic = median_("median", false);
/** The median of what is no NaN. Over a dim `{ values, indices }`. */
export const nanmedian: OrderStatistic = median_("nanmedian", true);

/** What `mode` takes by name. */
export interface ModeOptions {
  /** The dim; default the last. */
  dim?: number;
  /** Keep the dim with size 1. */
  keepdim?: boolean;
}

/** The value that appears most often in each line of a dim, the least of several, and the place of its last appearance. */
export const mode: (
  input: Tensor,
  dim?: number | ModeOptions,
  options?: ModeOptions,
) => ValuesIndices = op(
  "mode(input, dim=-1, keepdim=false)",
  (x: Tensor, dim: number, keepdim: boolean) => {
    const d = wrapDim(dim, x.ndim, "mode");
    refuseNothing("mode", x, d);
    if (x.ndim === 0) return valuesIndices(x, tensor(0n));
    const n = x.shape[d];
    const places = inMode(false, () => {
      const { values, indices } = sort(x, d, { stable: true });
      if (n === 1) return indices;
      const along = x.shape.map((_, i) => i === d ? n : 1);
      const at = expand(reshape(arange(n, { device: x.device }), along), x.shape);
      // Where a run of equal values begins; its length so far is what is maximised.
      const changed = ne(narrow(values, d, 1, n - 1), narrow(values, d, 0, n - 1));
      const rest = mul(cast(changed, "int64"), narrow(at, d, 1, n - 1));
      const length = add(sub(narrow(at, d, 1, n - 1), cummax(rest, d).values), 1);
      const best = argmax(length, d, { keepdim: true });
      // A first run of one element is the best only if no other run is longer: then the least value wins.
      const longest = gather(length, d, best);
      return gather(indices, d, where(ne(longest, 1), add(best, 1), mul(best, 0)));
    });
    return pick(x, d, places, keepdim);
  },
);

/** How a quantile between two elements is chosen. */
export type Interpolation = "linear" | "lower" | "higher" | "midpoint" | "nearest";

/** What `quantile` takes by name. */
export interface QuantileOptions {
  /** The dim; without it all elements. */
  dim?: number | null;
  /** Keep the dim with size 1. */
  keepdim?: boolean;
  /** What lies between two elements; default `"linear"`. */
  interpolation?: Interpolation;
}

/** Quantiles along a dim or of all elements. */
export type Quantile = (
  input: Tensor,
  q: Tensor | number,
  dim?: number | null | QuantileOptions,
  options?: QuantileOptions,
) => Tensor;

const INTERPOLATIONS = ["linear", "lower", "higher", "midpoint", "nearest"];

function quantileOp(name: string, skip: boolean): Quantile {
  return op<Quantile>(
    `${name}(input, q, dim=null, keepdim=false, interpolation='linear')`,
    (
      x: Tensor,
      given: Tensor | number,
      dim: number | null,
      keepdim: boolean,
      how: Interpolation,
    ) => {
      if (x.dtype !== "float32" && x.dtype !== "float64") {
        throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float32 or float64`, {
          op: name,
        });
      }
      if (!INTERPOLATIONS.includes(how)) {
        throw new ArgumentError(
          `Cannot ${name}: interpolation ${show(how)} is not one of ${INTERPOLATIONS.join(", ")}`,
          {
            op: name,
          },
        );
      }
      const q = given instanceof Tensor
        ? given
        : tensor(given, { dtype: x.dtype, device: x.device });
      if (q.ndim > 1 || q.info !== x.info) {
        throw new ArgumentError(
          `Cannot ${name} ${show(x)} at ${
            show(q)
          }: q must be a number or a ${x.dtype} tensor of one dim`,
          {
            op: name,
          },
        );
      }
      const shares = given instanceof Tensor ? q.toArray() : given;
      if ([shares].flat(2).some((v) => !((v as number) >= 0 && (v as number) <= 1))) {
        throw new ArgumentError(`Cannot ${name} at ${show(shares)}: q must be from 0 to 1`, {
          op: name,
        });
      }
      if (x.numel === 0) {
        throw new ArgumentError(`Cannot ${name} ${shapeText(x.shape)}: it has no elements`, {
          op: name,
        });
      }
      const d = dim === null ? 0 : wrapDim(dim, x.ndim, name);
      const lines = dim === null || x.ndim === 0 ? reshape(x, [-1]) : movedim(x, d, -1);
      const last = lines.ndim - 1;
      const sorted = sort(lines, -1).values;
      const missing = inMode(false, () => isnan(lines));
      const count = inMode(
        false,
        () =>
          skip
            ? cast(sum(logicalNot(missing), -1, { keepdim: true }), x.dtype)
            : add(mul(cast(sum(missing, -1, { keepdim: true }), x.dtype), 0), lines.shape[last]),
      );
      // Between two elements the share of the upper one grows with q, which so has a gradient too.
      let ranks = clampMin(mul(sub(count, 1), reshape(q, [-1])), 0);
      if (!skip) {
        // A NaN is sorted last; a line with one gives it.
        const end = sub(count, 1);
        ranks = where(any(missing, -1, { keepdim: true }), maximum(ranks, end), ranks);
      }
      const at = (places: Tensor) => gather(sorted, last, cast(places, "int64"));
      let y: Tensor;
      if (how === "lower") y = at(floor(ranks));
      else if (how === "higher") y = at(ceil(ranks));
      else if (how === "nearest") y = at(inMode(false, () => round(ranks)));
      else {
        const low = at(floor(ranks)), high = at(ceil(ranks));
        const share = how === "midpoint" ? 0.5 : sub(ranks, floor(ranks));
        y = add(low, mul(sub(high, low), share));
      }
      // (…, Q) becomes (Q, …), without the Q of a single number.
      y = movedim(y, -1, 0);
      if (keepdim) {
        const shape = x.shape.map((n, i) => dim === null || i === d ? 1 : n);
        y = reshape(y, [y.shape[0], ...shape]);
      }
      return q.ndim === 0 ? select(y, 0, 0) : y;
    },
  );
}

/**
 * The q-th quantiles over a dim or all elements: rank `q (n - 1)` in sorted order, between two elements by
 * `interpolation`. Shapes: q () gives the reduced shape, q (Q) that behind Q. NaN where there is one.
 */
export const quantile: Quantile = quantileOp("quantile", false);
/** `quantile` of what is no NaN. */
export const nanquantile: Quantile = quantileOp("nanquantile", true);
