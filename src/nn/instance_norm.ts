/**
 * Layers that normalise each channel of each sample by itself.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import { declare, type Signature } from "../op.ts";
import { squeeze, unsqueeze } from "../ops/view.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { instanceNorm } from "./functional.ts";
import type { FactoryOptions } from "./options.ts";
import { RunningNorm } from "./running_norm.ts";

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
abstract class InstanceNormNd extends RunningNorm {
  readonly #d: number;

  protected constructor(signature: Signature, d: number, args: readonly unknown[]) {
    super(signature, args);
    this.#d = d;
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
