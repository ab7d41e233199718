/**
 * Max pools whose windows begin at random places, so that sizes shrink by any factor.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { numelOf, shapeText } from "../shape.ts";
import { fromElements, Tensor } from "../tensor.ts";
import { max } from "./extreme.ts";
import type { Maxima } from "./pooling.ts";
import { rand } from "./random.ts";
import { gather } from "./scattering.ts";
import { checkFloat, checkSpatial, type PerDim, perDim } from "./spatial.ts";
import { reshape, unsqueeze } from "./view.ts";

/** What a fractional max pool takes by name. */
export interface FractionalMaxPoolOptions {
  /** Sizes of the result. */
  outputSize?: PerDim | null;
  /** Or its sizes by those of the input, between 0 and 1. */
  outputRatio?: number | readonly number[] | null;
  /** (N, C, dims): random numbers from 0 to 1 instead of fresh ones. */
  _randomSamples?: Tensor | null;
}

/** Maxima of windows at random places; with `returnIndices` their places too. */
export interface FractionalMaxPool {
  (
    input: Tensor,
    kernelSize: PerDim,
    options: FractionalMaxPoolOptions & { returnIndices: true },
  ): Maxima;
  (
    input: Tensor,
    kernelSize: PerDim,
    outputSize?: PerDim | null | (FractionalMaxPoolOptions & { returnIndices?: false }),
    outputRatio?:
      | number
      | readonly number[]
      | null
      | (FractionalMaxPoolOptions & { returnIndices?: false }),
    options?: FractionalMaxPoolOptions & { returnIndices?: false },
  ): Tensor;
}

/**
 * Where `count` windows of a size begin in n elements, the steps between them differing by at most one. `round` rounds to
 * the type of the input.
 */
function starts(
  sample: number,
  n: number,
  count: number,
  size: number,
  round: (x: number) => number,
): number[] {
  const step = round((n - size) / (count - 1));
  const at = (i: number) => Math.trunc(round(round(i + sample) * step));
  return Array.from({ length: count }, (_, i) => i === count - 1 ? n - size : at(i) - at(0));
}

/** The places of all elements of all windows of one plane, window by window. */
function placesOf(
  into: BigInt64Array,
  from: number,
  sizes: readonly number[],
  size: readonly number[],
  begins: readonly (readonly number[])[],
): number {
  let windows: number[] = [0], elements: number[] = [0];
  sizes.forEach((n, d) => {
    windows = windows.flatMap((w) => begins[d].map((b) => w * n + b));
    elements = elements.flatMap((e) => Array.from({ length: size[d] }, (_, k) => e * n + k));
  });
  let at = from;
  for (const w of windows) for (const e of elements) into[at++] = BigInt(w + e);
  return at;
}

function fractionalMaxPool(name: string, d: number): FractionalMaxPool {
  return op<FractionalMaxPool>(
    `${name}(input, kernelSize, outputSize=null, outputRatio=null, returnIndices=false, _randomSamples=null)`,
    ((
      given: Tensor,
      kernelSize: PerDim,
      outputSize: PerDim | null,
      outputRatio: number | readonly number[] | null,
      returnIndices: boolean,
      samples: Tensor | null,
    ) => {
      checkSpatial(name, given, d);
      checkFloat(name, given);
      const x = given.ndim === d + 1 ? unsqueeze(given, 0) : given;
      const [n, c, ...sizes] = x.shape;
      const size = perDim(name, kernelSize, d, "kernelSize", 1);
      if ((outputSize === null) === (outputRatio === null)) {
        throw new ArgumentError(`Cannot ${name}: give either outputSize or outputRatio`, {
          op: name,
        });
      }
      const ratios = typeof outputRatio === "number" ? sizes.map(() => outputRatio) : outputRatio;
      if (ratios !== null && (ratios.length !== d || !ratios.every((r) => r > 0 && r < 1))) {
        throw new ArgumentError(
          `Cannot ${name} with outputRatio ${show(outputRatio)}: it must be between 0 and 1`,
          { op: name },
        );
      }
      const counts = outputSize !== null
        ? perDim(name, outputSize, d, "outputSize", 1)
        : sizes.map((m, i) => Math.trunc(m * ratios![i]));
      if (counts.some((m, i) => m < 1 || m + size[i] - 1 > sizes[i])) {
        throw new ShapeError(
          `Cannot ${name} ${shapeText(given.shape)} to ${shapeText(counts)} with windows of ${
            shapeText(size)
          }: there are too few elements`,
          { op: name },
        );
      }
      if (samples !== null && !(samples instanceof Tensor && samples.numel === n * c * d)) {
        throw new ShapeError(
          `Cannot ${name} with _randomSamples ${show(samples)}: it must be [${n}, ${c}, ${d}]`,
          { op: name },
        );
      }
      const drawn = Array.from(
        (samples ?? inMode(false, () => rand([n, c, d]))).toTypedArray() as Float32Array,
        Number,
      );
      const round = x.dtype === "float64" ? (v: number) => v : Math.fround;
      const taps = numelOf(size), windows = numelOf(counts);
      const places = new BigInt64Array(n * c * windows * taps);
      let at = 0;
      for (let plane = 0; plane < n * c; plane++) {
        const begins = counts.map((count, i) =>
          // Two dims take their numbers the last dim first.
          starts(drawn[plane * d + (d === 2 ? 1 - i : i)], sizes[i], count, size[i], round)
        );
        at = placesOf(places, at, sizes, size, begins);
      }
      const index = fromElements(places, "int64", [n * c, windows * taps], x.storage.device);
      const read = gather(reshape(x, [n * c, numelOf(sizes)]), 1, index);
      const most = max(reshape(read, [n * c, windows, taps]), 2, { keepdim: true });
      const shape = [...given.shape.slice(0, given.ndim - d), ...counts];
      const output = reshape(most.values, shape);
      if (!returnIndices) return output;
      const found = gather(reshape(index, [n * c, windows, taps]), 2, most.indices);
      return [output, reshape(found, shape)];
    }) as never,
  );
}

/**
 * The maximum of each of `outputSize` windows, which begin at random places, one step after another of nearly the same
 * length. Shapes: x (N, C, H, W) or (C, H, W) → (N, C, H′, W′). Types: float. Errors: ShapeError where windows do not fit.
 * Source: Graham 2014, arXiv 1412.6071.
 */
export const fractionalMaxPool2d: FractionalMaxPool = fractionalMaxPool("fractionalMaxPool2d", 2);
/** `fractionalMaxPool2d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export const fractionalMaxPool3d: FractionalMaxPool = fractionalMaxPool("fractionalMaxPool3d", 3);
