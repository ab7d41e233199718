/**
 * Blocks of planes: cut out as columns and summed back, and moved between channels and places.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { contiguousStrides, numelOf, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { pad } from "./joining.ts";
import { checkFloat, type PerDim, perDim, withBatch } from "./spatial.ts";
import { contiguous, permute, reshape } from "./view.ts";
import { asStrided, narrow } from "./window.ts";

/** The numbers of blocks. */
export interface BlockOptions {
  /** Step between the elements of a block; default 1. */
  dilation?: PerDim;
  /** Zeros at both ends of each dim; default 0. */
  padding?: PerDim;
  /** Step between blocks; default 1. */
  stride?: PerDim;
}

/** Blocks of a padded plane: how many there are along each dim, and where their elements lie. */
interface Blocks {
  readonly size: readonly number[];
  readonly padding: readonly number[];
  /** Blocks along each dim. */
  readonly counts: readonly number[];
  /** Of the padded plane. */
  readonly plane: readonly number[];
  /** Elements from one to the next: along a block (2 dims), and from block to block (2 dims). */
  readonly strides: readonly number[];
}

function blocksOf(
  name: string,
  sizes: readonly number[],
  kernelSize: PerDim,
  dilation: PerDim,
  padding: PerDim,
  stride: PerDim,
): Blocks {
  const size = perDim(name, kernelSize, 2, "kernelSize", 1);
  const steps = perDim(name, dilation, 2, "dilation", 1);
  const pads = perDim(name, padding, 2, "padding");
  const strides = perDim(name, stride, 2, "stride", 1);
  const plane = sizes.map((n, i) => n + 2 * pads[i]);
  const counts = plane.map((n, i) =>
    Math.floor((n - steps[i] * (size[i] - 1) - 1) / strides[i]) + 1
  );
  if (counts.some((n) => n < 1)) {
    throw new ShapeError(
      `Cannot ${name} planes of ${shapeText(sizes)} with blocks of ${shapeText(size)}: ${
        shapeText(counts)
      } blocks would fit`,
      { op: name },
    );
  }
  const row = plane[1];
  return {
    size,
    padding: pads,
    counts,
    plane,
    strides: [steps[0] * row, steps[1], strides[0] * row, strides[1]],
  };
}

/** (N, C, padded plane) as the sum of blocks (N, C, K, K, counts…). */
function summed(name: string, x: Tensor, b: Blocks): Tensor {
  const shape = [x.shape[0], x.shape[1], ...b.plane];
  const strides = [...contiguousStrides(shape).slice(0, 2), ...b.strides];
  const y = empty(shape, x.info, x.storage.device);
  run(name, OP.strided_sum, [y], [x], [0, ...strides]);
  if (wants(x)) {
    record(name, [x], [y], ([g]) => [g && asStrided(contiguous(g), x.shape, strides)], []);
  }
  return y;
}

/**
 * Blocks of a plane as columns. Shapes: x (N, C, H, W) or (C, H, W) → (N, C · K · K, L), L blocks row by row. Types: float,
 * bool. The sum of all blocks is `fold`.
 *
 * ```ts
 * import { F, ones } from "@toro/toro";
 * console.log(F.unfold(ones([1, 2, 3, 4]), 2).shape); // [ 1, 8, 6 ]
 * ```
 */
export const im2col: (
  input: Tensor,
  kernelSize: PerDim,
  dilation?: PerDim | BlockOptions,
  padding?: PerDim | BlockOptions,
  options?: BlockOptions,
) => Tensor = op(
  "unfold(input, kernelSize, dilation=1, padding=0, stride=1)",
  (input: Tensor, kernelSize: PerDim, dilation: PerDim, padding: PerDim, stride: PerDim) => {
    const name = "unfold";
    if (input.dtype !== "bool") checkFloat(name, input);
    if ((input.ndim !== 3 && input.ndim !== 4) || input.shape.slice(-3).includes(0)) {
      throw new ShapeError(
        `Cannot ${name} ${
          shapeText(input.shape)
        }: it takes [N, C, H, W] or [C, H, W] with elements`,
        { op: name },
      );
    }
    return withBatch(input, 2, (x) => {
      const b = blocksOf(name, x.shape.slice(2), kernelSize, dilation, padding, stride);
      const [top, left] = b.padding;
      const wide = contiguous(top + left > 0 ? pad(x, [left, left, top, top]) : x);
      const [n, c] = x.shape;
      const strides = [...contiguousStrides(wide.shape).slice(0, 2), ...b.strides];
      const blocks = asStrided(wide, [n, c, ...b.size, ...b.counts], strides);
      return reshape(blocks, [n, c * numelOf(b.size), numelOf(b.counts)]);
    });
  },
);

/**
 * The sum of blocks, each in its place: what `unfold` cut out, where blocks do not overlap. Shapes: x (N, C · K · K, L) or
 * (C · K · K, L) → (N, C, H, W) with `outputSize` [H, W]. Types: float.
 */
export const col2im: (
  input: Tensor,
  outputSize: PerDim,
  kernelSize: PerDim,
  dilation?: PerDim | BlockOptions,
  padding?: PerDim | BlockOptions,
  options?: BlockOptions,
) => Tensor = op(
  "fold(input, outputSize, kernelSize, dilation=1, padding=0, stride=1)",
  (
    input: Tensor,
    outputSize: PerDim,
    kernelSize: PerDim,
    dilation: PerDim,
    padding: PerDim,
    stride: PerDim,
  ) => {
    const name = "fold";
    checkFloat(name, input);
    const sizes = perDim(name, outputSize, 2, "outputSize", 1);
    const b = blocksOf(name, sizes, kernelSize, dilation, padding, stride);
    const [rows, columns] = input.shape.slice(-2);
    const taps = numelOf(b.size);
    if (
      (input.ndim !== 2 && input.ndim !== 3) || rows === 0 || rows % taps !== 0 ||
      columns !== numelOf(b.counts)
    ) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(input.shape)} to ${
          shapeText(sizes)
        }: it takes [N, C * ${taps}, ${numelOf(b.counts)}] or without N`,
        { op: name },
      );
    }
    return withBatch(input, 1, (x) => {
      const n = x.shape[0];
      const blocks = reshape(x, [n, rows / taps, ...b.size, ...b.counts]);
      const whole = summed(name, blocks, b);
      return [0, 1].reduce(
        (y, d) => b.padding[d] === 0 ? y : narrow(y, 2 + d, b.padding[d], sizes[d]),
        whole,
      );
    });
  },
);

// ---- channels and places ------------------------------------------------------------------------

/** Fails unless x has batch-like dims, channels, height and width, and a factor is a whole number. */
function checkFactor(name: string, x: Tensor, factor: unknown, what: string): void {
  if (typeof factor !== "number" || !Number.isInteger(factor) || factor < 1) {
    throw new ArgumentError(
      `Cannot ${name} with ${what} ${show(factor)}: it must be a whole number from 1 on`,
      { op: name },
    );
  }
  if (x.ndim < 3) {
    throw new ShapeError(`Cannot ${name} ${shapeText(x.shape)}: it takes [..., C, H, W]`, {
      op: name,
    });
  }
}

function uneven(name: string, x: Tensor, rule: string): never {
  throw new ShapeError(`Cannot ${name} ${shapeText(x.shape)}: ${rule}`, { op: name });
}

/**
 * Channels become places: (…, C · r · r, H, W) → (…, C, H · r, W · r). Types: all.
 * Source: Shi et al. 2016, arXiv 1609.05158.
 */
export const pixelShuffle: (input: Tensor, upscaleFactor: number) => Tensor = op(
  "pixelShuffle(input, upscaleFactor)",
  (x: Tensor, r: number) => {
    checkFactor("pixelShuffle", x, r, "upscaleFactor");
    const lead = x.shape.slice(0, -3), k = lead.length;
    const [c, h, w] = x.shape.slice(-3);
    if (c % (r * r) !== 0) uneven("pixelShuffle", x, `${c} channels are no multiple of ${r * r}`);
    const parts = reshape(x, [...lead, c / (r * r), r, r, h, w]);
    const order = [0, 3, 1, 4, 2].map((d) => k + d);
    return reshape(permute(parts, [...lead.keys(), ...order]), [
      ...lead,
      c / (r * r),
      h * r,
      w * r,
    ]);
  },
);

/** Places become channels: (…, C, H · r, W · r) → (…, C · r · r, H, W). Types: all. */
export const pixelUnshuffle: (input: Tensor, downscaleFactor: number) => Tensor = op(
  "pixelUnshuffle(input, downscaleFactor)",
  (x: Tensor, r: number) => {
    checkFactor("pixelUnshuffle", x, r, "downscaleFactor");
    const lead = x.shape.slice(0, -3), k = lead.length;
    const [c, h, w] = x.shape.slice(-3);
    if (h % r !== 0 || w % r !== 0) {
      uneven("pixelUnshuffle", x, `height and width are no multiples of ${r}`);
    }
    const parts = reshape(x, [...lead, c, h / r, r, w / r, r]);
    const order = [0, 2, 4, 1, 3].map((d) => k + d);
    return reshape(permute(parts, [...lead.keys(), ...order]), [...lead, c * r * r, h / r, w / r]);
  },
);

/**
 * Channels of all groups taken in turns: channel `g · C / groups + i` goes to `i · groups + g`.
 * Shapes: (N, C, …) → the same. Types: all. Source: Zhang et al. 2017, arXiv 1707.01083.
 */
export const channelShuffle: (input: Tensor, groups: number) => Tensor = op(
  "channelShuffle(input, groups)",
  (x: Tensor, groups: number) => {
    checkFactor("channelShuffle", x, groups, "groups");
    const [n, c, ...rest] = x.shape;
    if (c % groups !== 0) uneven("channelShuffle", x, `${c} channels are no multiple of ${groups}`);
    const parts = reshape(x, [n, groups, c / groups, ...rest]);
    return reshape(permute(parts, [0, 2, 1, ...rest.map((_, d) => d + 3)]), x.shape);
  },
);
