/**
 * Pools: the maximum, the mean or a norm of windows over the last one to three dims, and the way back from maxima.
 * The gradient of a maximum goes to the element whose place was kept.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { numelOf, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { cast, checkTensor } from "./map.ts";
import { abs, sign } from "./math.ts";
import { relu } from "./activation.ts";
import { mul, pow } from "./pointwise.ts";
import { scatter, scatterAdd } from "./scattering.ts";
import { checkFloat, checkSpatial, type PerDim, perDim } from "./spatial.ts";
import { reshape } from "./view.ts";

/** The numbers of the windows, one for each dim. */
interface Windows {
  readonly size: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
}

const words = ({ size, stride, padding, dilation }: Windows) =>
  size.flatMap((k, d) => [k, stride[d], padding[d], dilation[d]]);

/** Windows of which some may not be given: a stride of null is the size. */
function windowsOf(
  name: string,
  d: number,
  kernelSize: unknown,
  stride: unknown,
  padding: unknown,
  dilation: unknown,
): Windows {
  const size = perDim(name, kernelSize, d, "kernelSize", 1);
  const unset = stride === null || (Array.isArray(stride) && stride.length === 0);
  const w = {
    size,
    stride: unset ? size : perDim(name, stride, d, "stride", 1),
    padding: perDim(name, padding, d, "padding"),
    dilation: perDim(name, dilation, d, "dilation", 1),
  };
  const wide = w.padding.findIndex((p, i) => 2 * p > size[i]);
  if (wide >= 0) {
    throw new ArgumentError(
      `Cannot ${name} with padding ${w.padding[wide]}: it must be at most half of kernelSize ${
        size[wide]
      }`,
      { op: name },
    );
  }
  return w;
}

/** How many windows each dim has. */
function counts(name: string, x: Tensor, w: Windows, ceil: boolean): number[] {
  const d = w.size.length;
  return w.size.map((k, i) => {
    const n = x.shape[x.ndim - d + i];
    const room = n + 2 * w.padding[i] - w.dilation[i] * (k - 1) - 1;
    let count = Math.floor((room + (ceil ? w.stride[i] - 1 : 0)) / w.stride[i]) + 1;
    // The last window begins inside of the input or of the padding in front of it.
    if (ceil && (count - 1) * w.stride[i] >= n + w.padding[i]) count--;
    if (count < 1) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(x.shape)}: a window of ${
          w.dilation[i] * (k - 1) + 1
        } does not fit into size ${n} with padding ${w.padding[i]}`,
        { op: name },
      );
    }
    return count;
  });
}

/** (…, S…) as (B, S…) with d last dims. */
function planes(x: Tensor, d: number): Tensor {
  const lead = x.shape.slice(0, x.ndim - d);
  return lead.length === 1 ? x : reshape(x, [numelOf(lead), ...x.shape.slice(x.ndim - d)]);
}

/** The sizes of y: those of x with other last dims. */
const outer = (x: Tensor, sizes: readonly number[]) => [
  ...x.shape.slice(0, x.ndim - sizes.length),
  ...sizes,
];

// ---- maxima -------------------------------------------------------------------------------------

/** Maxima, and where in its plane, counted row by row, each lies (int64). */
export type Maxima = [output: Tensor, indices: Tensor];

/** The last d dims as one. */
function flat(t: Tensor, d: number): Tensor {
  return reshape(t, [...t.shape.slice(0, t.ndim - d), numelOf(t.shape.slice(t.ndim - d))]);
}

/** Maxima over windows of the last dims. */
function maxima(name: string, x: Tensor, w: Windows, sizes: readonly number[]): Maxima {
  if (x.dtype === "bool") {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes numbers only`, { op: name });
  }
  const d = sizes.length;
  const input = planes(x, d);
  const shape = [input.shape[0], ...sizes];
  const y = empty(shape, x.info, x.storage.device);
  const places = empty(shape, DTYPES.int64, x.storage.device);
  run(name, OP.max_pool, [y, places], [input], words(w));
  if (wants(input)) {
    record(name, [input], [y], ([g]) => {
      if (g === null) return [null];
      const into = filled(
        [input.shape[0], numelOf(input.shape.slice(1))],
        0,
        g.info,
        g.storage.device,
      );
      return [reshape(scatterAdd(into, 1, flat(places, d), flat(g, d)), input.shape)];
    }, []);
  }
  return [reshape(y, outer(x, sizes)), reshape(places, outer(x, sizes))];
}

/** What a max pool takes by name. */
export interface MaxPoolOptions {
  /** Step between windows; default their size. */
  stride?: PerDim | null;
  /** Elements below every number at both ends of each dim, at most half the size of a window; default 0. */
  padding?: PerDim;
  /** Step between the elements of a window; default 1. */
  dilation?: PerDim;
  /** Count windows that begin inside but end outside; default false. */
  ceilMode?: boolean;
}

/** Maxima of windows; with `returnIndices` their places too. */
export interface MaxPool {
  (
    input: Tensor,
    kernelSize: PerDim,
    stride: PerDim | null,
    padding: PerDim,
    options: MaxPoolOptions & { returnIndices: true },
  ): Maxima;
  (
    input: Tensor,
    kernelSize: PerDim,
    stride: PerDim | null,
    options: MaxPoolOptions & { returnIndices: true },
  ): Maxima;
  (
    input: Tensor,
    kernelSize: PerDim,
    options: MaxPoolOptions & { returnIndices: true },
  ): Maxima;
  (
    input: Tensor,
    kernelSize: PerDim,
    stride?: PerDim | null | (MaxPoolOptions & { returnIndices?: false }),
    padding?: PerDim | (MaxPoolOptions & { returnIndices?: false }),
    options?: MaxPoolOptions & { returnIndices?: false },
  ): Tensor;
}

function maxPool(name: string, d: number): MaxPool {
  return op<MaxPool>(
    `${name}(input, kernelSize, stride=null, padding=0, dilation=1, ceilMode=false, returnIndices=false)`,
    ((
      x: Tensor,
      kernelSize: PerDim,
      stride: PerDim | null,
      padding: PerDim,
      dilation: PerDim,
      ceilMode: boolean,
      returnIndices: boolean,
    ) => {
      checkSpatial(name, x, d);
      const w = windowsOf(name, d, kernelSize, stride, padding, dilation);
      const found = maxima(name, x, w, counts(name, x, w, ceilMode));
      return returnIndices ? found : found[0];
    }) as never,
  );
}

/**
 * The maximum of each window: `y[p] = max x[p · stride - padding + t · dilation]` over `t < kernelSize`. NaN counts as the
 * greatest. Shapes: x (N, C, L) or (C, L) → (N, C, L′) with
 * `L′ = ⌊(L + 2 padding - dilation (kernelSize - 1) - 1) / stride⌋ + 1`. Types: all but bool.
 *
 * ```ts
 * import { F, tensor } from "@toro/toro";
 * console.log(F.maxPool1d(tensor([[[1, 3, 2, 4]]]), 2).toArray()); // [[[ 3, 4 ]]]
 * ```
 */
export const maxPool1d: MaxPool = maxPool("maxPool1d", 1);
/** `maxPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export const maxPool2d: MaxPool = maxPool("maxPool2d", 2);
/** `maxPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export const maxPool3d: MaxPool = maxPool("maxPool3d", 3);

/** A size for all dims or one for each; null keeps the input's. */
export type OutputSize = number | null | readonly (number | null)[];

/** Sizes asked of an adaptive pool. */
function outputSizes(name: string, x: Tensor, size: OutputSize, d: number): number[] {
  const list = Array.isArray(size) ? size : Array.from({ length: d }, () => size);
  const given = list.length === 1 && d > 1 ? Array.from({ length: d }, () => list[0]) : list;
  const fits = given.length === d &&
    given.every((n) => n === null || (Number.isInteger(n) && (n as number) >= 0));
  if (!fits) {
    throw new ArgumentError(
      `Cannot ${name} to ${show(size)}: it takes a size from 0 on${
        d > 1 ? `, or ${d} of them` : ""
      }`,
      { op: name },
    );
  }
  return given.map((n, i) => n ?? x.shape[x.ndim - d + i]);
}

/** Windows that cut each of d dims into equal parts. */
function equalParts(d: number): Windows {
  const all = (n: number) => Array.from({ length: d }, () => n);
  return { size: all(0), stride: all(1), padding: all(0), dilation: all(1) };
}

/** Maxima of equal parts; with `returnIndices` their places too. */
export interface AdaptiveMaxPool {
  (input: Tensor, outputSize: OutputSize, options: { returnIndices: true }): Maxima;
  (input: Tensor, outputSize: OutputSize, options?: { returnIndices?: false }): Tensor;
}

function adaptiveMaxPool(name: string, d: number): AdaptiveMaxPool {
  return op<AdaptiveMaxPool>(
    `${name}(input, outputSize, returnIndices=false)`,
    ((x: Tensor, outputSize: OutputSize, returnIndices: boolean) => {
      checkSpatial(name, x, d);
      checkFloat(name, x);
      const found = maxima(name, x, equalParts(d), outputSizes(name, x, outputSize, d));
      return returnIndices ? found : found[0];
    }) as never,
  );
}

/**
 * The maximum of each of `outputSize` equal parts; part i goes from `⌊i L / L′⌋` to `⌈(i + 1) L / L′⌉`.
 * Shapes: x (N, C, L) or (C, L) → (N, C, L′). Types: float.
 */
export const adaptiveMaxPool1d: AdaptiveMaxPool = adaptiveMaxPool("adaptiveMaxPool1d", 1);
/** `adaptiveMaxPool1d` over two dims; null in `outputSize` keeps a dim. */
export const adaptiveMaxPool2d: AdaptiveMaxPool = adaptiveMaxPool("adaptiveMaxPool2d", 2);
/** `adaptiveMaxPool1d` over three dims; null in `outputSize` keeps a dim. */
export const adaptiveMaxPool3d: AdaptiveMaxPool = adaptiveMaxPool("adaptiveMaxPool3d", 3);

// ---- the way back -------------------------------------------------------------------------------

/** What `maxUnpool…` takes by name. */
export interface MaxUnpoolOptions {
  /** Step between windows; default their size. */
  stride?: PerDim | null;
  /** As it was in the pool. */
  padding?: PerDim;
  /** The size of the result, where windows do not tell it. */
  outputSize?: readonly number[] | null;
}

/** Puts maxima back in their places. */
export type MaxUnpool = (
  input: Tensor,
  indices: Tensor,
  kernelSize: PerDim,
  stride?: PerDim | null | MaxUnpoolOptions,
  padding?: PerDim | MaxUnpoolOptions,
  options?: MaxUnpoolOptions,
) => Tensor;

function maxUnpool(name: string, d: number): MaxUnpool {
  return op<MaxUnpool>(
    `${name}(input, indices, kernelSize, stride=null, padding=0, outputSize=null)`,
    (
      x: Tensor,
      indices: Tensor,
      kernelSize: PerDim,
      stride: PerDim | null,
      padding: PerDim,
      outputSize: readonly number[] | null,
    ) => {
      checkSpatial(name, x, d);
      checkTensor(name, indices, "indices");
      const size = perDim(name, kernelSize, d, "kernelSize", 1);
      const steps = stride === null ? size : perDim(name, stride, d, "stride", 1);
      const pads = perDim(name, padding, d, "padding");
      if (indices.dtype !== "int64" || shapeText(indices.shape) !== shapeText(x.shape)) {
        throw new ShapeError(
          `Cannot ${name} ${show(x)} by ${show(indices)}: indices are int64, one for each element`,
          { op: name },
        );
      }
      const usual = size.map((k, i) => (x.shape[x.ndim - d + i] - 1) * steps[i] - 2 * pads[i] + k);
      const wanted = outputSize === null ? usual : outputSize.slice(-d);
      const fits = wanted.length === d &&
        (outputSize === null || outputSize.length === d || outputSize.length === x.ndim) &&
        wanted.every((n, i) =>
          Number.isInteger(n) && n > 0 && Math.abs(n - usual[i]) < steps[i] ||
          (outputSize === null && n > 0)
        );
      if (!fits) {
        throw new ShapeError(
          `Cannot ${name} ${shapeText(x.shape)} to ${
            show(outputSize ?? usual)
          }: sizes must be within a stride of ${shapeText(usual)}`,
          { op: name },
        );
      }
      const into = filled(
        [...x.shape.slice(0, x.ndim - d), numelOf(wanted)],
        0,
        x.info,
        x.storage.device,
      );
      return reshape(scatter(into, -1, flat(indices, d), flat(x, d)), outer(x, wanted));
    },
  );
}

/**
 * Puts the elements of x at the places that `indices` give, zero elsewhere: what a max pool with `returnIndices` took.
 * Shapes: x and indices (N, C, L) or (C, L) → (N, C, L′) with `L′ = (L - 1) stride - 2 padding + kernelSize`, unless
 * `outputSize` says otherwise. Errors: IndexError for a place outside.
 */
export const maxUnpool1d: MaxUnpool = maxUnpool("maxUnpool1d", 1);
/** `maxUnpool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export const maxUnpool2d: MaxUnpool = maxUnpool("maxUnpool2d", 2);
/** `maxUnpool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export const maxUnpool3d: MaxUnpool = maxUnpool("maxUnpool3d", 3);

// ---- means --------------------------------------------------------------------------------------

/** Fails for types without means: of the integers only int64 has them, rounded towards zero, as in PyTorch. */
function checkMeans(name: string, x: Tensor): void {
  if (x.dtype !== "int64") checkFloat(name, x);
}

/** What windows' sums are divided by. */
interface Division {
  readonly countIncludePad: boolean;
  readonly divisor: number;
}

const divisionWords = (by: Division) => [by.countIncludePad ? 1 : 0, by.divisor];

/** Means over windows of the last dims of (B, S…), and their gradient: each is the other's. */
function means(
  name: string,
  x: Tensor,
  w: Windows,
  by: Division,
  shape: readonly number[],
  back: boolean,
): Tensor {
  const y = empty(shape, x.info, x.storage.device);
  run(name, back ? OP.avg_pool_grad : OP.avg_pool, [y], [x], [...divisionWords(by), ...words(w)]);
  if (wants(x)) {
    record(name, [x], [y], ([g]) => [g && means(name, g, w, by, x.shape, !back)], []);
  }
  return y;
}

function average(
  name: string,
  x: Tensor,
  w: Windows,
  by: Division,
  sizes: readonly number[],
): Tensor {
  const input = planes(x, sizes.length);
  return reshape(means(name, input, w, by, [input.shape[0], ...sizes], false), outer(x, sizes));
}

/** What a mean pool takes by name. */
export interface AvgPoolOptions {
  /** Step between windows; default their size. */
  stride?: PerDim | null;
  /** Zeros at both ends of each dim, at most half the size of a window; default 0. */
  padding?: PerDim;
  /** Count windows that begin inside but end outside; default false. */
  ceilMode?: boolean;
  /** Whether zeros of the padding count in the mean; default true. */
  countIncludePad?: boolean;
}

/** Means of windows of one dim. */
export type AvgPool1d = (
  input: Tensor,
  kernelSize: PerDim,
  stride?: PerDim | null | AvgPoolOptions,
  padding?: PerDim | AvgPoolOptions,
  options?: AvgPoolOptions,
) => Tensor;

/** What a mean pool of two or three dims takes by name. */
export interface AvgPoolNdOptions extends AvgPoolOptions {
  /** What sums are divided by, instead of the number of elements. */
  divisorOverride?: number | null;
}

/** Means of windows. */
export type AvgPool = (
  input: Tensor,
  kernelSize: PerDim,
  stride?: PerDim | null | AvgPoolNdOptions,
  padding?: PerDim | AvgPoolNdOptions,
  options?: AvgPoolNdOptions,
) => Tensor;

function avgPool<F extends AvgPool1d | AvgPool>(name: string, d: number): F {
  const rest = d === 1 ? "" : ", divisorOverride=null";
  return op<F>(
    `${name}(input, kernelSize, stride=null, padding=0, ceilMode=false, countIncludePad=true${rest})`,
    ((
      x: Tensor,
      kernelSize: PerDim,
      stride: PerDim | null,
      padding: PerDim,
      ceilMode: boolean,
      countIncludePad: boolean,
      divisor: number | null = null,
    ) => {
      checkSpatial(name, x, d);
      if (divisor !== null && (!Number.isInteger(divisor) || divisor === 0)) {
        throw new ArgumentError(
          `Cannot ${name} with divisorOverride ${show(divisor)}: it must be a whole number, not 0`,
          { op: name },
        );
      }
      checkMeans(name, x);
      const w = windowsOf(name, d, kernelSize, stride, padding, 1);
      const by = { countIncludePad, divisor: divisor ?? 0 };
      return average(name, x, w, by, counts(name, x, w, ceilMode));
    }) as never,
  );
}

/**
 * The mean of each window: `y[p] = Σ x[p · stride - padding + t] / kernelSize` over `t < kernelSize`.
 * Shapes: x (N, C, L) or (C, L) → (N, C, L′) with `L′ = ⌊(L + 2 padding - kernelSize) / stride⌋ + 1`. Types: float, and int64, rounded towards zero.
 *
 * ```ts
 * import { F, tensor } from "@toro/toro";
 * console.log(F.avgPool1d(tensor([[[1, 3, 2, 4]]]), 2).toArray()); // [[[ 2, 3 ]]]
 * ```
 */
export const avgPool1d: AvgPool1d = avgPool("avgPool1d", 1);
/** `avgPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export const avgPool2d: AvgPool = avgPool("avgPool2d", 2);
/** `avgPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export const avgPool3d: AvgPool = avgPool("avgPool3d", 3);

/** Means of equal parts. */
export type AdaptiveAvgPool = (input: Tensor, outputSize: OutputSize) => Tensor;

function adaptiveAvgPool(name: string, d: number): AdaptiveAvgPool {
  return op<AdaptiveAvgPool>(
    `${name}(input, outputSize)`,
    (x: Tensor, outputSize: OutputSize) => {
      checkSpatial(name, x, d);
      checkFloat(name, x);
      const by = { countIncludePad: false, divisor: 0 };
      return average(name, x, equalParts(d), by, outputSizes(name, x, outputSize, d));
    },
  );
}

/**
 * The mean of each of `outputSize` equal parts; part i goes from `⌊i L / L′⌋` to `⌈(i + 1) L / L′⌉`.
 * Shapes: x (N, C, L) or (C, L) → (N, C, L′). Types: float.
 */
export const adaptiveAvgPool1d: AdaptiveAvgPool = adaptiveAvgPool("adaptiveAvgPool1d", 1);
/** `adaptiveAvgPool1d` over two dims; null in `outputSize` keeps a dim. */
export const adaptiveAvgPool2d: AdaptiveAvgPool = adaptiveAvgPool("adaptiveAvgPool2d", 2);
/** `adaptiveAvgPool1d` over three dims; null in `outputSize` keeps a dim. */
export const adaptiveAvgPool3d: AdaptiveAvgPool = adaptiveAvgPool("adaptiveAvgPool3d", 3);

// ---- norms --------------------------------------------------------------------------------------

/** What a norm pool takes by name. */
export interface LpPoolOptions {
  /** Step between windows; default their size. */
  stride?: PerDim | null;
  /** Count windows that begin inside but end outside; default false. */
  ceilMode?: boolean;
}

/** Norms of windows. */
export type LpPool = (
  input: Tensor,
  normType: number,
  kernelSize: PerDim,
  stride?: PerDim | null | LpPoolOptions,
  options?: LpPoolOptions,
) => Tensor;

function lpPool(name: string, d: number): LpPool {
  return op<LpPool>(
    `${name}(input, normType, kernelSize, stride=null, ceilMode=false)`,
    (
      x: Tensor,
      p: number,
      kernelSize: PerDim,
      stride: PerDim | null,
      ceilMode: boolean,
    ) => {
      checkSpatial(name, x, d);
      checkFloat(name, x);
      if (typeof p !== "number" || Number.isNaN(p)) {
        throw new ArgumentError(`Cannot ${name} with normType ${show(p)}: it must be a number`, {
          op: name,
        });
      }
      const w = windowsOf(name, d, kernelSize, stride, 0, 1);
      const by = { countIncludePad: true, divisor: 0 };
      const mean = average(name, pow(x, p), w, by, counts(name, x, w, ceilMode));
      const positive = mul(sign(mean), relu(abs(mean)));
      return cast(pow(mul(positive, numelOf(w.size)), 1 / p), x.dtype);
    },
  );
}

/**
 * The norm of each window: `y[p] = (Σ x[p · stride + t]^normType)^(1 / normType)` over `t < kernelSize`.
 * Shapes: x (N, C, L) or (C, L) → (N, C, L′). Types: float. Errors: ShapeError where no window fits.
 */
export const lpPool1d: LpPool = lpPool("lpPool1d", 1);
/** `lpPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export const lpPool2d: LpPool = lpPool("lpPool2d", 2);
/** `lpPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export const lpPool3d: LpPool = lpPool("lpPool3d", 3);
