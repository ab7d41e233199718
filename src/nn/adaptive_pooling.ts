/**
 * Pools of equal parts, and of windows at random places, as layers. What each computes is said at its function in
 * `nn.functional`.
 *
 * @module
 */
import { bind, declare, type Signature } from "../op.ts";
import type { FractionalMaxPool, FractionalMaxPoolOptions } from "../ops/fractional_pooling.ts";
import type { AdaptiveAvgPool, AdaptiveMaxPool, Maxima, OutputSize } from "../ops/pooling.ts";
import type { PerDim } from "../ops/spatial.ts";
import type { Tensor } from "../tensor.ts";
import {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  fractionalMaxPool2d,
  fractionalMaxPool3d,
} from "./functional.ts";
import { Module } from "./module.ts";
import { text } from "./options.ts";

/** What the pools of equal parts share. */
abstract class AdaptivePool extends Module {
  /** How many parts each dim has; null keeps a dim. */
  readonly outputSize: OutputSize;

  protected constructor(outputSize: OutputSize) {
    super();
    this.outputSize = outputSize;
  }

  override extraRepr(): string {
    return `outputSize=${text(this.outputSize)}`;
  }
}

/** What the three means of equal parts share. */
abstract class AdaptiveAvgPoolNd extends AdaptivePool {
  readonly #pool: AdaptiveAvgPool;

  protected constructor(signature: Signature, pool: AdaptiveAvgPool, outputSize: OutputSize) {
    super(bind(signature, [outputSize])[0] as OutputSize);
    this.#pool = pool;
  }

  override forward(x: Tensor): Tensor {
    return this.#pool(x, this.outputSize);
  }
}

/** The mean of each of equal parts of one dim. Shapes: x (N, C, L) or (C, L) → (N, C, outputSize). */
export class AdaptiveAvgPool1d extends AdaptiveAvgPoolNd {
  readonly #adaptiveAvgPool1d = true;

  /** Of so many parts. */
  constructor(outputSize: OutputSize) {
    super(ADAPTIVE_AVG_POOL1D, adaptiveAvgPool1d, outputSize);
  }
}

/** `AdaptiveAvgPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class AdaptiveAvgPool2d extends AdaptiveAvgPoolNd {
  readonly #adaptiveAvgPool2d = true;

  /** Of so many parts. */
  constructor(outputSize: OutputSize) {
    super(ADAPTIVE_AVG_POOL2D, adaptiveAvgPool2d, outputSize);
  }
}

/** `AdaptiveAvgPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class AdaptiveAvgPool3d extends AdaptiveAvgPoolNd {
  readonly #adaptiveAvgPool3d = true;

  /** Of so many parts. */
  constructor(outputSize: OutputSize) {
    super(ADAPTIVE_AVG_POOL3D, adaptiveAvgPool3d, outputSize);
  }
}

const ADAPTIVE_AVG_POOL1D = declare(AdaptiveAvgPool1d, "AdaptiveAvgPool1d(outputSize)");
const ADAPTIVE_AVG_POOL2D = declare(AdaptiveAvgPool2d, "AdaptiveAvgPool2d(outputSize)");
const ADAPTIVE_AVG_POOL3D = declare(AdaptiveAvgPool3d, "AdaptiveAvgPool3d(outputSize)");

/** What the three maxima of equal parts share. */
abstract class AdaptiveMaxPoolNd<R extends boolean> extends AdaptivePool {
  /** Whether the places of the maxima come along. */
  readonly returnIndices: R;
  readonly #pool: AdaptiveMaxPool;

  protected constructor(signature: Signature, pool: AdaptiveMaxPool, args: readonly unknown[]) {
    const [size, returnIndices] = bind(signature, args) as [OutputSize, R];
    super(size);
    this.returnIndices = returnIndices;
    this.#pool = pool;
  }

  /** Maxima, or maxima and their places. */
  override forward(x: Tensor): R extends true ? Maxima : Tensor {
    const found = this.#pool(x, this.outputSize, { returnIndices: true });
    return (this.returnIndices ? found : found[0]) as R extends true ? Maxima : Tensor;
  }
}

/** The maximum of each of equal parts of one dim. Shapes: x (N, C, L) or (C, L) → (N, C, outputSize). */
export class AdaptiveMaxPool1d<R extends boolean = false> extends AdaptiveMaxPoolNd<R> {
  readonly #adaptiveMaxPool1d = true;

  /** Of so many parts. */
  constructor(outputSize: OutputSize, options?: { returnIndices?: R }) {
    super(ADAPTIVE_MAX_POOL1D, adaptiveMaxPool1d, [outputSize, options]);
  }
}

/** `AdaptiveMaxPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class AdaptiveMaxPool2d<R extends boolean = false> extends AdaptiveMaxPoolNd<R> {
  readonly #adaptiveMaxPool2d = true;

  /** Of so many parts. */
  constructor(outputSize: OutputSize, options?: { returnIndices?: R }) {
    super(ADAPTIVE_MAX_POOL2D, adaptiveMaxPool2d, [outputSize, options]);
  }
}

/** `AdaptiveMaxPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class AdaptiveMaxPool3d<R extends boolean = false> extends AdaptiveMaxPoolNd<R> {
  readonly #adaptiveMaxPool3d = true;

  /** Of so many parts. */
  constructor(outputSize: OutputSize, options?: { returnIndices?: R }) {
    super(ADAPTIVE_MAX_POOL3D, adaptiveMaxPool3d, [outputSize, options]);
  }
}

const ADAPTIVE_MAX_POOL = "outputSize, returnIndices=false";
const ADAPTIVE_MAX_POOL1D = declare(AdaptiveMaxPool1d, `AdaptiveMaxPool1d(${ADAPTIVE_MAX_POOL})`);
const ADAPTIVE_MAX_POOL2D = declare(AdaptiveMaxPool2d, `AdaptiveMaxPool2d(${ADAPTIVE_MAX_POOL})`);
const ADAPTIVE_MAX_POOL3D = declare(AdaptiveMaxPool3d, `AdaptiveMaxPool3d(${ADAPTIVE_MAX_POOL})`);

// ---- windows at random places -------------------------------------------------------------------

/** Options of fractional max pools as layers. */
export interface FractionalMaxPoolModuleOptions<R extends boolean>
  extends FractionalMaxPoolOptions {
  /** Whether the places of the maxima come along; default false. */
  returnIndices?: R;
}

/** What the two fractional max pools share. */
abstract class FractionalMaxPoolNd<R extends boolean> extends Module {
  /** Size of a window. */
  readonly kernelSize: PerDim;
  /** Sizes of the result, or null. */
  readonly outputSize: PerDim | null;
  /** Its sizes by those of the input, or null. */
  readonly outputRatio: number | readonly number[] | null;
  /** Whether the places of the maxima come along. */
  readonly returnIndices: R;
  /** Random numbers to use instead of fresh ones, or null. */
  readonly randomSamples: Tensor | null;
  readonly #pool: FractionalMaxPool;

  protected constructor(signature: Signature, pool: FractionalMaxPool, args: readonly unknown[]) {
    super();
    this.#pool = pool;
    [
      this.kernelSize,
      this.outputSize,
      this.outputRatio,
      this.returnIndices,
      this.randomSamples,
    ] = bind(signature, args) as [
      PerDim,
      PerDim | null,
      number | readonly number[] | null,
      R,
      Tensor | null,
    ];
  }

  override forward(x: Tensor): R extends true ? Maxima : Tensor {
    const { outputSize, outputRatio, randomSamples } = this;
    const found = this.#pool(x, this.kernelSize, {
      outputSize,
      outputRatio,
      returnIndices: true,
      _randomSamples: randomSamples,
    });
    return (this.returnIndices ? found : found[0]) as R extends true ? Maxima : Tensor;
  }

  override extraRepr(): string {
    return `kernelSize=${text(this.kernelSize)}, outputSize=${text(this.outputSize)}, outputRatio=${
      text(this.outputRatio)
    }`;
  }
}

/** The maximum of each of windows at random places. Shapes: x (N, C, H, W) or (C, H, W). */
export class FractionalMaxPool2d<R extends boolean = false> extends FractionalMaxPoolNd<R> {
  readonly #fractionalMaxPool2d = true;

  /** Over windows of a size, to a size or by a ratio. */
  constructor(
    kernelSize: PerDim,
    outputSize?: PerDim | null | FractionalMaxPoolModuleOptions<R>,
    outputRatio?: number | readonly number[] | null | FractionalMaxPoolModuleOptions<R>,
    options?: FractionalMaxPoolModuleOptions<R>,
  ) {
    super(FRACTIONAL_MAX_POOL2D, fractionalMaxPool2d, [
      kernelSize,
      outputSize,
      outputRatio,
      options,
    ]);
  }
}

/** `FractionalMaxPool2d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class FractionalMaxPool3d<R extends boolean = false> extends FractionalMaxPoolNd<R> {
  readonly #fractionalMaxPool3d = true;

  /** Over windows of a size, to a size or by a ratio. */
  constructor(
    kernelSize: PerDim,
    outputSize?: PerDim | null | FractionalMaxPoolModuleOptions<R>,
    outputRatio?: number | readonly number[] | null | FractionalMaxPoolModuleOptions<R>,
    options?: FractionalMaxPoolModuleOptions<R>,
  ) {
    super(FRACTIONAL_MAX_POOL3D, fractionalMaxPool3d, [
      kernelSize,
      outputSize,
      outputRatio,
      options,
    ]);
  }
}

const FRACTIONAL_MAX_POOL =
  "kernelSize, outputSize=null, outputRatio=null, returnIndices=false, _randomSamples=null";
const FRACTIONAL_MAX_POOL2D = declare(
  FractionalMaxPool2d,
  `FractionalMaxPool2d(${FRACTIONAL_MAX_POOL})`,
);
const FRACTIONAL_MAX_POOL3D = declare(
  FractionalMaxPool3d,
  `FractionalMaxPool3d(${FRACTIONAL_MAX_POOL})`,
);
