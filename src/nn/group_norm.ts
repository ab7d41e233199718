/**
 * Layers that normalise each sample by itself: groups of channels, single channels, rows by their root mean square, and
 * channels by their neighbours.
 *
 * @module
 */
import { type DType, DTYPES } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import { filled } from "../ops/creation.ts";
import type { LocalResponseNormOptions } from "../ops/local_response.ts";
import { squeeze, unsqueeze } from "../ops/view.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { groupNorm, instanceNorm, localResponseNorm, rmsNorm } from "./functional.ts";
import { constant_ } from "./init.ts";
import { Module } from "./module.ts";
import {
  checkCount,
  checkNumber,
  factoryOf,
  type FactoryOptions,
  newParameter,
} from "./options.ts";
import { Buffer, type Parameter } from "./parameter.ts";

/** Options of `GroupNorm`. */
export interface GroupNormOptions extends FactoryOptions {
  /** Added to the variance; default 1e-5. */
  eps?: number;
  /** Whether there are weight and bias; default true. */
  affine?: boolean;
  /** Whether there is a bias where there is a weight; default true. */
  bias?: boolean;
}

/**
 * Group norm: `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and variance of each group of channels of each
 * sample. Shapes: x (N, C, …) → the same; weight and bias (C).
 * Errors: ShapeError when x has another C. Source: Wu and He 2018, arXiv 1803.08494.
 */
export class GroupNorm extends Module {
  readonly #groupNorm = true;
  /** Into how many groups the channels fall. */
  readonly numGroups: number;
  /** Channels. */
  readonly numChannels: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Whether there are weight and bias. */
  readonly affine: boolean;
  /** (C), or null. */
  weight: Parameter | null;
  /** (C), or null. */
  bias: Parameter | null;

  /** So many groups of so many channels in all. */
  constructor(
    numGroups: number,
    numChannels: number,
    eps?: number | GroupNormOptions,
    options?: GroupNormOptions,
  ) {
    super();
    const [groups, channels, epsilon, affine, device, dtype, bias] = bind(GROUP_NORM, [
      numGroups,
      numChannels,
      eps,
      options,
    ]) as [number, number, number, boolean, string | null, DType | null, boolean];
    checkCount(groups, "GroupNorm", "numGroups");
    checkCount(channels, "GroupNorm", "numChannels");
    checkNumber(epsilon, "GroupNorm", "eps");
    if (groups === 0 || channels % groups !== 0) {
      throw new ArgumentError(
        `Cannot make GroupNorm: ${channels} channels are no multiple of ${groups} groups`,
        { op: "GroupNorm" },
      );
    }
    const factory = factoryOf("GroupNorm", device, dtype);
    this.numGroups = groups;
    this.numChannels = channels;
    this.eps = epsilon;
    this.affine = affine;
    this.weight = affine ? newParameter([channels], factory) : null;
    this.bias = affine && bias ? newParameter([channels], factory) : null;
    this.resetParameters();
  }

  /** Sets weight to ones and bias to zeros. */
  resetParameters(): void {
    if (this.weight !== null) constant_(this.weight, 1);
    if (this.bias !== null) constant_(this.bias, 0);
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this;
    return groupNorm(x, this.numGroups, { weight, bias, eps });
  }

  override extraRepr(): string {
    return `${this.numGroups}, ${this.numChannels}, eps=${this.eps}, affine=${this.affine}`;
  }
}

const GROUP_NORM = declare(
  GroupNorm,
  "GroupNorm(numGroups, numChannels, eps=1e-5, affine=true, device=null, dtype=null, bias=true)",
);

/** Options of `InstanceNorm1d`, `2d` and `3d`. */
export interface InstanceNormNdOptions extends FactoryOptions {
  /** Added to the variance; default 1e-5. */
  eps?: number;
  /** Share of a batch in the running statistics; default 0.1. */
  momentum?: number | null;
  /** Whether there are weight and bias; default false. */
  affine?: boolean;
  /** Whether running statistics are kept, and used in evaluation; default false. */
  trackRunningStats?: boolean;
  /** Whether there is a bias where there is a weight; default true. */
  bias?: boolean;
}

/** What the three instance norms share. */
abstract class InstanceNormNd extends Module {
  /** Channels. */
  readonly numFeatures: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Share of a batch in the running statistics. */
  momentum: number | null;
  /** Whether there are weight and bias. */
  readonly affine: boolean;
  /** Whether running statistics are kept. */
  readonly trackRunningStats: boolean;
  /** (C), or null. */
  weight: Parameter | null;
  /** (C), or null. */
  bias: Parameter | null;
  /** (C), or null. */
  runningMean: Buffer | null;
  /** (C), or null. */
  runningVar: Buffer | null;
  /** How many batches the running statistics saw; int64, or null. */
  numBatchesTracked: Buffer | null;
  readonly #d: number;

  protected constructor(signature: Signature, d: number, args: readonly unknown[]) {
    super();
    const { name } = signature;
    const [features, eps, momentum, affine, track, device, dtype, bias] = bind(
      signature,
      args,
    ) as [
      number,
      number,
      number | null,
      boolean,
      boolean,
      string | null,
      DType | null,
      boolean,
    ];
    checkCount(features, name, "numFeatures");
    checkNumber(eps, name, "eps");
    if (momentum !== null) checkNumber(momentum, name, "momentum");
    const factory = factoryOf(name, device, dtype);
    const buffer = (value: number) =>
      track ? new Buffer(filled([features], value, factory.info, factory.device)) : null;
    this.#d = d;
    this.numFeatures = features;
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = track;
    this.weight = affine ? newParameter([features], factory) : null;
    this.bias = affine && bias ? newParameter([features], factory) : null;
    this.runningMean = buffer(0);
    this.runningVar = buffer(1);
    this.numBatchesTracked = track ? new Buffer(filled([], 0, DTYPES.int64, factory.device)) : null;
    this.resetParameters();
  }

  /** Sets weight, bias and running statistics back. */
  resetParameters(): void {
    if (this.weight !== null) constant_(this.weight, 1);
    if (this.bias !== null) constant_(this.bias, 0);
    this.resetRunningStats();
  }

  /** Sets the running statistics back to mean 0 and variance 1. */
  resetRunningStats(): void {
    if (this.runningMean === null) return;
    constant_(this.runningMean, 0);
    constant_(this.runningVar!, 1);
    constant_(this.numBatchesTracked!, 0);
  }

  override forward(x: Tensor): Tensor {
    const d = this.#d;
    const fits = (x.ndim === d + 1 || x.ndim === d + 2) &&
      (!this.affine || x.shape[x.ndim - d - 1] === this.numFeatures);
    if (!fits) {
      throw new ShapeError(
        `Cannot instanceNorm input ${
          shapeText(x.shape)
        }: it takes ${this.numFeatures} channels and ${d} more dims, with or without a batch`,
        { op: "instanceNorm" },
      );
    }
    const batched = x.ndim === d + 2;
    const y = instanceNorm(batched ? x : unsqueeze(x, 0), {
      runningMean: this.runningMean,
      runningVar: this.runningVar,
      weight: this.weight,
      bias: this.bias,
      useInputStats: this.training || !this.trackRunningStats,
      momentum: this.momentum ?? 0,
      eps: this.eps,
    });
    return batched ? y : squeeze(y, 0);
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${this.eps}, momentum=${this.momentum}, affine=${this.affine}, ` +
      `trackRunningStats=${this.trackRunningStats}`;
  }
}

/**
 * Instance norm: `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and variance of each channel of each sample.
 * Shapes: x (N, C, L) or (C, L) → the same; weight and bias (C). Source: Ulyanov et al. 2016, arXiv 1607.08022.
 */
export class InstanceNorm1d extends InstanceNormNd {
  readonly #instanceNorm1d = true;

  /** Norm of so many channels. */
  constructor(
    numFeatures: number,
    eps?: number | InstanceNormNdOptions,
    momentum?: number | null | InstanceNormNdOptions,
    options?: InstanceNormNdOptions,
  ) {
    super(INSTANCE_NORM1D, 1, [numFeatures, eps, momentum, options]);
  }
}

/** `InstanceNorm1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class InstanceNorm2d extends InstanceNormNd {
  readonly #instanceNorm2d = true;

  /** Norm of so many channels. */
  constructor(
    numFeatures: number,
    eps?: number | InstanceNormNdOptions,
    momentum?: number | null | InstanceNormNdOptions,
    options?: InstanceNormNdOptions,
  ) {
    super(INSTANCE_NORM2D, 2, [numFeatures, eps, momentum, options]);
  }
}

/** `InstanceNorm1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class InstanceNorm3d extends InstanceNormNd {
  readonly #instanceNorm3d = true;

  /** Norm of so many channels. */
  constructor(
    numFeatures: number,
    eps?: number | InstanceNormNdOptions,
    momentum?: number | null | InstanceNormNdOptions,
    options?: InstanceNormNdOptions,
  ) {
    super(INSTANCE_NORM3D, 3, [numFeatures, eps, momentum, options]);
  }
}

const INSTANCE_NORM =
  "numFeatures, eps=1e-5, momentum=0.1, affine=false, trackRunningStats=false, device=null, dtype=null, bias=true";
const INSTANCE_NORM1D = declare(InstanceNorm1d, `InstanceNorm1d(${INSTANCE_NORM})`);
const INSTANCE_NORM2D = declare(InstanceNorm2d, `InstanceNorm2d(${INSTANCE_NORM})`);
const INSTANCE_NORM3D = declare(InstanceNorm3d, `InstanceNorm3d(${INSTANCE_NORM})`);

/** Options of `RMSNorm`. */
export interface RMSNormOptions extends FactoryOptions {
  /** Added to the mean of squares; default: the input type's smallest relative step. */
  eps?: number | null;
  /** Whether there is a weight; default true. */
  elementwiseAffine?: boolean;
}

/**
 * Root-mean-square norm over the last dims: `y = x / sqrt(mean(x²) + eps) * weight`. Shapes: x (…, normalizedShape) →
 * the same; weight has the shape of normalizedShape. Errors: ShapeError when the last dims of x differ.
 * Source: Zhang and Sennrich 2019, arXiv 1910.07467.
 */
export class RMSNorm extends Module {
  readonly #rmsNorm = true;
  /** The last dims, over which the mean is taken. */
  readonly normalizedShape: readonly number[];
  /** Added to the mean of squares, or null. */
  readonly eps: number | null;
  /** Whether there is a weight. */
  readonly elementwiseAffine: boolean;
  /** Of normalizedShape, or null. */
  weight: Parameter | null;

  /** Norm over the last dims; one number stands for the last dim alone. */
  constructor(
    normalizedShape: number | readonly number[],
    eps?: number | null | RMSNormOptions,
    options?: RMSNormOptions,
  ) {
    super();
    const [dims, epsilon, affine, device, dtype] = bind(RMS_NORM, [
      normalizedShape,
      eps,
      options,
    ]) as [number | readonly number[], number | null, boolean, string | null, DType | null];
    const shape = typeof dims === "number" ? [dims] : dims;
    if (!Array.isArray(shape) || shape.length === 0) {
      throw new ArgumentError(
        `Cannot make RMSNorm: normalizedShape must be a size or an array of sizes, got ${
          show(dims)
        }`,
        { op: "RMSNorm" },
      );
    }
    for (const n of shape) checkCount(n, "RMSNorm", "each size of normalizedShape");
    if (epsilon !== null) checkNumber(epsilon, "RMSNorm", "eps");
    const factory = factoryOf("RMSNorm", device, dtype);
    this.normalizedShape = Object.freeze([...shape]);
    this.eps = epsilon;
    this.elementwiseAffine = affine;
    this.weight = affine ? newParameter(shape, factory) : null;
    this.resetParameters();
  }

  /** Sets the weight to ones. */
  resetParameters(): void {
    if (this.weight !== null) constant_(this.weight, 1);
  }

  override forward(x: Tensor): Tensor {
    return rmsNorm(x, this.normalizedShape, { weight: this.weight, eps: this.eps });
  }

  override extraRepr(): string {
    return `${
      shapeText(this.normalizedShape)
    }, eps=${this.eps}, elementwiseAffine=${this.elementwiseAffine}`;
  }
}

const RMS_NORM = declare(
  RMSNorm,
  "RMSNorm(normalizedShape, eps=null, elementwiseAffine=true, device=null, dtype=null)",
);

/**
 * Local response norm: `y[c] = x[c] / (k + alpha · mean(x²))^beta`, the mean over `size` channels around c.
 * Shapes: x (N, C, …) → the same. Source: Krizhevsky, Sutskever and Hinton 2012.
 */
export class LocalResponseNorm extends Module {
  readonly #localResponseNorm = true;
  /** Channels around each that count. */
  readonly size: number;
  /** Factor of the mean. */
  readonly alpha: number;
  /** Exponent. */
  readonly beta: number;
  /** Summand. */
  readonly k: number;

  /** Over so many channels. */
  constructor(
    size: number,
    alpha?: number | LocalResponseNormOptions,
    beta?: number | LocalResponseNormOptions,
    options?: LocalResponseNormOptions,
  ) {
    super();
    [this.size, this.alpha, this.beta, this.k] = bind(LOCAL_RESPONSE_NORM, [
      size,
      alpha,
      beta,
      options,
    ]) as [number, number, number, number];
  }

  override forward(x: Tensor): Tensor {
    const { alpha, beta, k } = this;
    return localResponseNorm(x, this.size, { alpha, beta, k });
  }

  override extraRepr(): string {
    return `${this.size}, alpha=${this.alpha}, beta=${this.beta}, k=${this.k}`;
  }
}

const LOCAL_RESPONSE_NORM = declare(
  LocalResponseNorm,
  "LocalResponseNorm(size, alpha=0.0001, beta=0.75, k=1)",
);
