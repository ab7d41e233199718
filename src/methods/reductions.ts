/**
 * Methods of Tensor that reduce or scan dims, and those that sort. Each hands its arguments on to an op.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import * as differences from "../ops/differences.ts";
import * as extremes from "../ops/extreme.ts";
import * as moments from "../ops/moments.ts";
import * as orders from "../ops/order_statistics.ts";
import * as reduction from "../ops/reduction.ts";
import * as scans from "../ops/scan.ts";
import * as sorting from "../ops/sorting.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor that reduce or scan dims, and those that sort. */
export interface ReductionMethods {
  /** The sum over dims. */
  sum(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The mean over dims. */
  mean(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The greatest element over dims. */
  amax(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** The least element over dims. */
  amin(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** Whether any element is not zero. */
  any(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** Whether all elements are not zero. */
  all(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** The sum of what is no NaN. */
  nansum(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The mean of what is no NaN. */
  nanmean(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The product over a dim, or of all. */
  prod(
    dim?: number | null | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The least and the greatest element. */
  aminmax(options?: { dim?: number | null; keepdim?: boolean }): reduction.MinMax;
  /** How many elements are not zero. */
  countNonzero(dim?: reduction.Dims): Tensor;
  /** The standard deviation over dims. */
  std(dim?: reduction.Dims | moments.DeviationOptions, options?: moments.DeviationOptions): Tensor;
  /** A norm over dims. */
  norm(
    p?: number | "fro" | moments.NormOptions,
    dim?: reduction.Dims | moments.NormOptions,
    options?: moments.NormOptions,
  ): Tensor;
  /** `log Σ exp(x)` over dims. */
  logsumexp(dim: number | readonly number[], options?: { keepdim?: boolean }): Tensor;
  /** The place of the greatest element. */
  argmax(dim?: number | null | extremes.ArgOptions, options?: extremes.ArgOptions): Tensor;
  /** The place of the least element. */
  argmin(dim?: number | null | extremes.ArgOptions, options?: extremes.ArgOptions): Tensor;
  /** Running sums along a dim. */
  cumsum(dim: number, options?: { dtype?: DType | null }): Tensor;
  /** Running products along a dim. */
  cumprod(dim: number, options?: { dtype?: DType | null }): Tensor;
  /** Running `log Σ exp(x)` along a dim. */
  logcumsumexp(dim: number): Tensor;
  /** The extreme so far along a dim, and its place. */
  cummax(dim: number): extremes.ValuesIndices;
  /** The extreme so far along a dim, and its place. */
  cummin(dim: number): extremes.ValuesIndices;
  /** The greatest of all elements. */
  max(): Tensor;
  /** The greatest elementwise. */
  max(other: Tensor): Tensor;
  /** The greatest over a dim, and its places. */
  max(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The greatest over a dim, and its places. */
  max(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** The least of all elements. */
  min(): Tensor;
  /** The least elementwise. */
  min(other: Tensor): Tensor;
  /** The least over a dim, and its places. */
  min(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The least over a dim, and its places. */
  min(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** The variance over dims. */
  var(dim?: reduction.Dims | moments.DeviationOptions, options?: moments.DeviationOptions): Tensor;
  /** The most frequent value of each line, and its place. */
  mode(dim?: number | orders.ModeOptions, options?: orders.ModeOptions): extremes.ValuesIndices;
  /** Quantiles over a dim, or of all elements. */
  quantile(
    q: Tensor | number,
    dim?: number | null | orders.QuantileOptions,
    options?: orders.QuantileOptions,
  ): Tensor;
  /** Quantiles of what is no NaN. */
  nanquantile(
    q: Tensor | number,
    dim?: number | null | orders.QuantileOptions,
    options?: orders.QuantileOptions,
  ): Tensor;
  /** The median of all elements. */
  median(): Tensor;
  /** The median over a dim, and its places. */
  median(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The median over a dim, and its places. */
  median(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** The median of what is no NaN of all elements. */
  nanmedian(): Tensor;
  /** The median of what is no NaN over a dim, and its places. */
  nanmedian(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The median of what is no NaN over a dim, and its places. */
  nanmedian(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** Values in order along a dim, and their indices. */
  sort(dim?: number | sorting.SortOptions, options?: sorting.SortOptions): extremes.ValuesIndices;
  /** The indices that `sort` gives. */
  argsort(dim?: number | sorting.SortOptions, options?: sorting.SortOptions): Tensor;
  /** The values sorted along dim 0. */
  msort(): Tensor;
  /** The different values in order. */
  unique(options?: sorting.UniqueOptions & { returnInverse?: false; returnCounts?: false }): Tensor;
  /** The different values in order, where elements went, and how often each occurs. */
  unique(options: sorting.UniqueOptions): sorting.UniqueResult;
  /** The k largest or smallest along a dim. */
  topk(
    k: number,
    dim?: number | sorting.TopkOptions,
    options?: sorting.TopkOptions,
  ): extremes.ValuesIndices;
  /** The k-th smallest along a dim. */
  kthvalue(
    k: number,
    dim?: number | sorting.KthOptions,
    options?: sorting.KthOptions,
  ): extremes.ValuesIndices;
  /** The correlations of rows (variables) over columns (observations), kept in [-1, 1]. */
  corrcoef: Method<typeof differences.corrcoef>;
  /** The covariances of rows (variables) over columns (observations): (R, N) → (R, R). */
  cov: Method<typeof differences.cov>;
  /** Differences of neighbours along a dim, n times; of bool whether they differ. */
  diff: Method<typeof differences.diff>;
  /** `‖this - other‖` of order p. */
  dist: Method<typeof differences.dist>;
  /** Slices along a dim whose norm of order p is above `maxnorm`, scaled down to it. */
  renorm: Method<typeof differences.renorm>;
  /** `renorm` in place. */
  renorm_: Method<typeof differences.renorm_>;
  /** Runs of equal neighbours as one. */
  uniqueConsecutive: Method<typeof sorting.uniqueConsecutive>;
}

const methods: Forwarded<ReductionMethods> = {
  sum: reduction.sum,
  mean: reduction.mean,
  amax: reduction.amax,
  amin: reduction.amin,
  any: reduction.any,
  all: reduction.all,
  nansum: reduction.nansum,
  nanmean: reduction.nanmean,
  prod: reduction.prod,
  aminmax: reduction.aminmax,
  countNonzero: reduction.countNonzero,
  std: moments.std,
  norm: moments.norm,
  logsumexp: moments.logsumexp,
  argmax: extremes.argmax,
  argmin: extremes.argmin,
  cumsum: scans.cumsum,
  cumprod: scans.cumprod,
  logcumsumexp: scans.logcumsumexp,
  cummax: scans.cummax,
  cummin: scans.cummin,
  max: extremes.max,
  min: extremes.min,
  var: moments.variance,
  mode: orders.mode,
  quantile: orders.quantile,
  nanquantile: orders.nanquantile,
  median: orders.median,
  nanmedian: orders.nanmedian,
  sort: sorting.sort,
  argsort: sorting.argsort,
  msort: sorting.msort,
  unique: (x: Tensor, options?: sorting.UniqueOptions) => sorting.unique(x, options ?? {}),
  topk: sorting.topk,
  kthvalue: sorting.kthvalue,
  corrcoef: differences.corrcoef,
  cov: differences.cov,
  diff: differences.diff,
  dist: differences.dist,
  renorm: differences.renorm,
  renorm_: differences.renorm_,
  uniqueConsecutive: sorting.uniqueConsecutive,
};

install(methods);
