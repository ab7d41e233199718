/**
 * Layers that normalise.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { ShapeError } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import { mapOut } from "../ops/map.ts";
import { batchNormRelu } from "../ops/normalization.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { batchNorm, layerNorm } from "./functional.ts";
import { constant_ } from "./init.ts";
import { Module } from "./module.ts";
import { RunningNorm } from "./running_norm.ts";
import {
  checkNormalizedShape,
  checkNumber,
  factoryOf,
  type FactoryOptions,
  newParameter,
} from "./options.ts";
import type { Parameter } from "./parameter.ts";

/** Options of `BatchNorm1d`, `2d` and `3d`. */
export interface BatchNormOptions extends FactoryOptions {
  /** Added to the variance; default 1e-5. */
  eps?: number;
  /** Share of a batch in the running statistics, default 0.1; null: their plain mean over all batches. */
  momentum?: number | null;
  /** Whether there are weight and bias; default true. */
  affine?: boolean;
  /** Whether running statistics are kept; without them the batch's own serve in evaluation too. Default true. */
  trackRunningStats?: boolean;
  /** Whether there is a bias where there is a weight; default true. */
  bias?: boolean;
}

let takes: (norm: BatchNormNd, x: Tensor) => boolean;

/** Counts a batch in training; gives its share in the running statistics. */
function momentumOf(norm: BatchNormNd): number {
  const { momentum, numBatchesTracked: count, training } = norm;
  if (!training || count === null) return momentum ?? 0;
  mapOut("batchNorm", OP.add, count, count, 1, count.info);
  return momentum ?? 1 / count.item();
}

/**
 * A norm in training with the ReLU and the dropout behind it in one pass; null for what one pass is not made for.
 * A chance of 0 is no dropout.
 */
export function normRelu(norm: BatchNormNd, x: Tensor, chance: number): Tensor | null {
  return takes(norm, x) ? batchNormRelu(x, norm, () => momentumOf(norm), chance) : null;
}

/** What the three batch norms share. */
export abstract class BatchNormNd extends RunningNorm {
  readonly #name: string;
  readonly #dims: readonly string[];

  /** `dims` are the inputs that it takes, as an error text says them. */
  protected constructor(signature: Signature, dims: readonly string[], args: readonly unknown[]) {
    super(signature, args);
    this.#name = signature.name;
    this.#dims = dims;
  }

  static {
    takes = (norm, x) =>
      norm.#dims.some((rest) => x.ndim === 2 + rest.length / 3) && x.shape[1] === norm.numFeatures;
  }

  override forward(x: Tensor): Tensor {
    if (!takes(this, x)) {
      const n = this.numFeatures;
      const taken = this.#dims.map((rest) => `[N, ${n}${rest}]`).join(" or ");
      throw new ShapeError(
        `Cannot batchNorm input ${shapeText(x.shape)}: ${this.#name}(${n}) takes ${taken}`,
        { op: "batchNorm" },
      );
    }
    return batchNorm(x, this.runningMean, this.runningVar, {
      weight: this.weight,
      bias: this.bias,
      training: this.training || this.runningMean === null,
      momentum: momentumOf(this),
      eps: this.eps,
    });
  }
}

/**
 * Batch norm: `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and variance of each channel taken over the batch
 * in training and from the running statistics in evaluation. The running variance is the unbiased one.
 *
 * Shapes: x (N, C) or (N, C, L) → the same; weight, bias, runningMean, runningVar (C).
 * Errors: ShapeError when x has other dims or another C, and for one value per channel in training.
 * Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
 */
export class BatchNorm1d extends BatchNormNd {
  readonly #batchNorm1d = true;

  /** Norm of so many channels. */
  constructor(
    numFeatures: number,
    eps?: number | BatchNormOptions,
    momentum?: number | null | BatchNormOptions,
    options?: BatchNormOptions,
  ) {
    super(BATCH_NORM1D, ["", ", L"], [numFeatures, eps, momentum, options]);
  }
}

/** `BatchNorm1d` of planes: x (N, C, H, W). */
export class BatchNorm2d extends BatchNormNd {
  readonly #batchNorm2d = true;

  /** Norm of so many channels. */
  constructor(
    numFeatures: number,
    eps?: number | BatchNormOptions,
    momentum?: number | null | BatchNormOptions,
    options?: BatchNormOptions,
  ) {
    super(BATCH_NORM2D, [", H, W"], [numFeatures, eps, momentum, options]);
  }
}

/** `BatchNorm1d` of volumes: x (N, C, D, H, W). */
export class BatchNorm3d extends BatchNormNd {
  readonly #batchNorm3d = true;

  /** Norm of so many channels. */
  constructor(
    numFeatures: number,
    eps?: number | BatchNormOptions,
    momentum?: number | null | BatchNormOptions,
    options?: BatchNormOptions,
  ) {
    super(BATCH_NORM3D, [", D, H, W"], [numFeatures, eps, momentum, options]);
  }
}

const BATCH_NORM =
  "numFeatures, eps=1e-5, momentum=0.1, affine=true, trackRunningStats=true, device=null, dtype=null, bias=true";
const BATCH_NORM1D = declare(BatchNorm1d, `BatchNorm1d(${BATCH_NORM})`);
const BATCH_NORM2D = declare(BatchNorm2d, `BatchNorm2d(${BATCH_NORM})`);
const BATCH_NORM3D = declare(BatchNorm3d, `BatchNorm3d(${BATCH_NORM})`);

/** Options of `LayerNorm`. */
export interface LayerNormOptions extends FactoryOptions {
  /** Added to the variance; default 1e-5. */
  eps?: number;
  /** Whether there are weight and bias; default true. */
  elementwiseAffine?: boolean;
  /** Whether there is a bias; default true. */
  bias?: boolean;
}

/**
 * Layer norm over the last dims: `y = (x - mean) / sqrt(var + eps) * weight + bias`, with the biased variance.
 *
 * Shapes: x (…, normalizedShape) → the same; weight and bias have the shape of normalizedShape.
 * Errors: ShapeError when the last dims of x differ from normalizedShape.
 * Source: Ba, Kiros and Hinton 2016, arXiv 1607.06450.
 */
export class LayerNorm extends Module {
  readonly #layerNorm = true;
  /** The last dims, over which mean and variance are taken. */
  readonly normalizedShape: readonly number[];
  /** Added to the variance. */
  readonly eps: number;
  /** Whether there are weight and bias. */
  readonly elementwiseAffine: boolean;
  /** Of normalizedShape, or null. */
  weight: Parameter | null;
  /** Of normalizedShape, or null. */
  bias: Parameter | null;

  /** Norm over the last dims; one number stands for the last dim alone. */
  constructor(
    normalizedShape: number | readonly number[],
    eps?: number | LayerNormOptions,
    options?: LayerNormOptions,
  ) {
    super();
    const [dims, epsilon, affine, bias, device, dtype] = bind(LAYER_NORM, [
      normalizedShape,
      eps,
      options,
    ]) as [
      number | readonly number[],
      number,
      boolean,
      boolean,
      string | null,
      DType | null,
    ];
    const shape = checkNormalizedShape(dims, "LayerNorm");
    checkNumber(epsilon, "LayerNorm", "eps");
    const factory = factoryOf("LayerNorm", device, dtype);
    this.normalizedShape = shape;
    this.eps = epsilon;
    this.elementwiseAffine = affine;
    this.weight = affine ? newParameter(shape, factory) : null;
    this.bias = affine && bias ? newParameter(shape, factory) : null;
    this.resetParameters();
  }

  /** Sets weight to ones and bias to zeros. */
  resetParameters(): void {
    if (this.weight !== null) constant_(this.weight, 1);
    if (this.bias !== null) constant_(this.bias, 0);
  }

  override forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, {
      weight: this.weight,
      bias: this.bias,
      eps: this.eps,
    });
  }

  override extraRepr(): string {
    return `${
      shapeText(this.normalizedShape)
    }, eps=${this.eps}, elementwiseAffine=${this.elementwiseAffine}, ` +
      `bias=${this.bias !== null}`;
  }
}

const LAYER_NORM = declare(
  LayerNorm,
  "LayerNorm(normalizedShape, eps=1e-5, elementwiseAffine=true, bias=true, device=null, dtype=null)",
);
