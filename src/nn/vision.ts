/**
 * Layers that change the size of planes or move elements between channels and places. What each computes is said at its
 * function in `nn.functional`.
 *
 * @module
 */
import { bind, declare, type Signature } from "../op.ts";
import type { BlockOptions } from "../ops/blocks.ts";
import type { InterpolateMode } from "../ops/resampling.ts";
import type { PerDim } from "../ops/spatial.ts";
import type { Tensor } from "../tensor.ts";
import {
  channelShuffle,
  fold,
  interpolate,
  pixelShuffle,
  pixelUnshuffle,
  unfold,
} from "./functional.ts";
import { Module } from "./module.ts";

/** A size or factor for all dims, or one for each. */
type Sizes = number | readonly number[] | null;

/** Options of `Upsample`. */
export interface UpsampleOptions {
  /** Sizes of the result. */
  size?: Sizes;
  /** Factors instead. */
  scaleFactor?: Sizes;
  /** Default `"nearest"`. */
  mode?: InterpolateMode;
  /** Whether the centres of corner elements stay in place; linear and cubic modes. */
  alignCorners?: boolean | null;
  /** Whether the sizes, rounded down, decide where elements are read, instead of the factors. */
  recomputeScaleFactor?: boolean | null;
}

/** Size, factor, mode, and how places are read. */
type Form = [Sizes, Sizes, InterpolateMode, boolean | null, boolean | null];

/** What the layers that bring planes to another size share. */
abstract class AnyUpsample extends Module {
  /** Sizes of the result, or null. */
  readonly size: Sizes;
  /** Factors, or null. */
  readonly scaleFactor: Sizes;
  /** How elements between elements come about. */
  readonly mode: InterpolateMode;
  /** Whether the centres of corner elements stay in place. */
  readonly alignCorners: boolean | null;
  /** Whether sizes decide where elements are read. */
  readonly recomputeScaleFactor: boolean | null;

  protected constructor([size, scaleFactor, mode, alignCorners, recomputeScaleFactor]: Form) {
    super();
    this.size = size;
    this.scaleFactor = scaleFactor;
    this.mode = mode;
    this.alignCorners = alignCorners;
    this.recomputeScaleFactor = recomputeScaleFactor;
  }

  override forward(x: Tensor): Tensor {
    const { size, scaleFactor, mode, alignCorners, recomputeScaleFactor } = this;
    return interpolate(x, { size, scaleFactor, mode, alignCorners, recomputeScaleFactor });
  }

  override extraRepr(): string {
    const wanted = this.scaleFactor === null
      ? `size=${JSON.stringify(this.size)}`
      : `scaleFactor=${JSON.stringify(this.scaleFactor)}`;
    return `${wanted}, mode='${this.mode}'`;
  }
}

/** Brought to another size. Shapes: x (N, C, S…) → (N, C, O…). */
export class Upsample extends AnyUpsample {
  readonly #upsample = true;

  /** To a size, or by a factor. */
  constructor(
    size?: Sizes | UpsampleOptions,
    scaleFactor?: Sizes | UpsampleOptions,
    options?: UpsampleOptions,
  ) {
    super(bind(UPSAMPLE, [size, scaleFactor, options]) as Form);
  }
}

const UPSAMPLE = declare(
  Upsample,
  "Upsample(size=null, scaleFactor=null, mode='nearest', alignCorners=null, recomputeScaleFactor=null)",
);

/** Options of `UpsamplingNearest2d` and `UpsamplingBilinear2d`. */
export interface UpsamplingOptions {
  /** Sizes of the result. */
  size?: Sizes;
  /** Factors instead. */
  scaleFactor?: Sizes;
}

/** `Upsample` of two dims by nearest elements. */
export class UpsamplingNearest2d extends AnyUpsample {
  readonly #upsamplingNearest2d = true;

  /** To a size, or by a factor. */
  constructor(size?: Sizes | UpsamplingOptions, scaleFactor?: Sizes | UpsamplingOptions) {
    const [to, by] = bind(UPSAMPLING_NEAREST2D, [size, scaleFactor]) as [Sizes, Sizes];
    super([to, by, "nearest", null, null]);
  }
}

/** `Upsample` of two dims by bilinear interpolation, corner elements staying in place. */
export class UpsamplingBilinear2d extends AnyUpsample {
  readonly #upsamplingBilinear2d = true;

  /** To a size, or by a factor. */
  constructor(size?: Sizes | UpsamplingOptions, scaleFactor?: Sizes | UpsamplingOptions) {
    const [to, by] = bind(UPSAMPLING_BILINEAR2D, [size, scaleFactor]) as [Sizes, Sizes];
    super([to, by, "bilinear", true, null]);
  }
}

const UPSAMPLING_NEAREST2D = declare(
  UpsamplingNearest2d,
  "UpsamplingNearest2d(size=null, scaleFactor=null)",
);
const UPSAMPLING_BILINEAR2D = declare(
  UpsamplingBilinear2d,
  "UpsamplingBilinear2d(size=null, scaleFactor=null)",
);

/** What cutting blocks out and summing them back share. */
abstract class Blocks extends Module {
  /** Size of a block. */
  readonly kernelSize: PerDim;
  /** Step between the elements of a block. */
  readonly dilation: PerDim;
  /** Zeros around each dim. */
  readonly padding: PerDim;
  /** Step between blocks. */
  readonly stride: PerDim;

  protected constructor(numbers: readonly unknown[]) {
    super();
    [this.kernelSize, this.dilation, this.padding, this.stride] = numbers as PerDim[];
  }

  override extraRepr(): string {
    return `kernelSize=${JSON.stringify(this.kernelSize)}, dilation=${
      JSON.stringify(this.dilation)
    }, padding=${JSON.stringify(this.padding)}, stride=${JSON.stringify(this.stride)}`;
  }
}

/** Blocks of planes as columns. Shapes: x (N, C, H, W) or (C, H, W) → (N, C · K · K, L). */
export class Unfold extends Blocks {
  readonly #unfold = true;

  /** Blocks of a size. */
  constructor(
    kernelSize: PerDim,
    dilation?: PerDim | BlockOptions,
    padding?: PerDim | BlockOptions,
    options?: BlockOptions,
  ) {
    super(bind(UNFOLD, [kernelSize, dilation, padding, options]));
  }

  override forward(x: Tensor): Tensor {
    const { dilation, padding, stride } = this;
    return unfold(x, this.kernelSize, { dilation, padding, stride });
  }
}

const UNFOLD = declare(Unfold, "Unfold(kernelSize, dilation=1, padding=0, stride=1)");

/** The sum of blocks, each in its place. Shapes: x (N, C · K · K, L) or (C · K · K, L) → (N, C, H, W). */
export class Fold extends Blocks {
  readonly #fold = true;
  /** Height and width of the result. */
  readonly outputSize: PerDim;

  /** To planes of a size from blocks of another. */
  constructor(
    outputSize: PerDim,
    kernelSize: PerDim,
    dilation?: PerDim | BlockOptions,
    padding?: PerDim | BlockOptions,
    options?: BlockOptions,
  ) {
    const [size, ...numbers] = bind(FOLD, [outputSize, kernelSize, dilation, padding, options]);
    super(numbers);
    this.outputSize = size as PerDim;
  }

  override forward(x: Tensor): Tensor {
    const { dilation, padding, stride } = this;
    return fold(x, this.outputSize, this.kernelSize, { dilation, padding, stride });
  }
}

const FOLD = declare(Fold, "Fold(outputSize, kernelSize, dilation=1, padding=0, stride=1)");

/** What layers with one whole number share. */
abstract class ByFactor extends Module {
  /** The number its argument gave. */
  readonly #factor: number;
  readonly #apply: (x: Tensor, factor: number) => Tensor;
  readonly #what: string;

  protected constructor(
    signature: Signature,
    apply: (x: Tensor, factor: number) => Tensor,
    factor: number,
  ) {
    super();
    [this.#factor] = bind(signature, [factor]) as [number];
    this.#what = signature.params[0].name;
    this.#apply = apply;
  }

  override forward(x: Tensor): Tensor {
    return this.#apply(x, this.#factor);
  }

  override extraRepr(): string {
    return `${this.#what}=${this.#factor}`;
  }
}

/** Channels become places: (…, C · r · r, H, W) → (…, C, H · r, W · r). */
export class PixelShuffle extends ByFactor {
  readonly #pixelShuffle = true;

  /** By a factor r. */
  constructor(upscaleFactor: number) {
    super(PIXEL_SHUFFLE, pixelShuffle, upscaleFactor);
  }
}

/** Places become channels: (…, C, H · r, W · r) → (…, C · r · r, H, W). */
export class PixelUnshuffle extends ByFactor {
  readonly #pixelUnshuffle = true;

  /** By a factor r. */
  constructor(downscaleFactor: number) {
    super(PIXEL_UNSHUFFLE, pixelUnshuffle, downscaleFactor);
  }
}

/** Channels of all groups taken in turns. Shapes: (N, C, …) → the same. */
export class ChannelShuffle extends ByFactor {
  readonly #channelShuffle = true;

  /** Of so many groups. */
  constructor(groups: number) {
    super(CHANNEL_SHUFFLE, channelShuffle, groups);
  }
}

const PIXEL_SHUFFLE = declare(PixelShuffle, "PixelShuffle(upscaleFactor)");
const PIXEL_UNSHUFFLE = declare(PixelUnshuffle, "PixelUnshuffle(downscaleFactor)");
const CHANNEL_SHUFFLE = declare(ChannelShuffle, "ChannelShuffle(groups)");
