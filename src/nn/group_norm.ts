/**
 * Layers that normalise each sample by itself: groups of channels, rows by their root mean square, and channels by their
 * neighbours. Single channels are in instance_norm.ts.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError } from "../errors.ts";
import { bind, declare } from "../op.ts";
import type { LocalResponseNormOptions } from "../ops/local_response.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { groupNorm, localResponseNorm, rmsNorm } from "./functional.ts";
import { constant_ } from "./init.ts";
import { Module } from "./module.ts";
import {
  checkCount,
  checkNormalizedShape,
  checkNumber,
  factoryOf,
  type FactoryOptions,
  newParameter,
} from "./options.ts";
import type { Parameter } from "./parameter.ts";

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
    const shape = checkNormalizedShape(dims, "RMSNorm");
    if (epsilon !== null) checkNumber(epsilon, "RMSNorm", "eps");
    const factory = factoryOf("RMSNorm", device, dtype);
    this.normalizedShape = shape;
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
