/**
 * Ready parametrizations: weight norm and spectral norm, and from orthogonal.ts orthogonal matrices.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { Module } from "./module.ts";
import { Buffer } from "./parameter.ts";
import { registerParametrization } from "./parametrize.ts";
import {
  checkNorm,
  directions,
  iterate,
  matrixOf,
  normExceptDim,
  sigmaOf,
  spectralArguments,
  type SpectralNormOptions,
  type WeightNormOptions,
  weightOf,
} from "./weight_norm.ts";

/** `g · v / ‖v‖`, out of length and direction. */
class WeightNorm extends Module {
  readonly #weightNorm = true;

  /** Lengths of everything but a dim; null is one length for all. */
  constructor(readonly dim: number | null) {
    super();
  }

  override forward(g: Tensor, v: Tensor): Tensor {
    return weightOf(g, v, this.dim);
  }

  /** Length and direction of a value. */
  rightInverse(value: Tensor): [Tensor, Tensor] {
    return [normExceptDim(value, this.dim), value];
  }
}

/**
 * Weight norm by parametrization: `weight = g · v / ‖v‖` with the length g and the direction v of each slice along `dim`
 * (null: of the whole). State keys: `parametrizations.weight.original0` (g) and `original1` (v).
 * Source: Salimans and Kingma 2016, arXiv 1602.07868.
 */
export function weightNorm<M extends Module>(module: M, options?: WeightNormOptions): M {
  const [, name, dim] = bind(WEIGHT_NORM, [module, options]) as [M, string, number | null];
  checkNorm(module, name, "weightNorm");
  return registerParametrization(module, name, new WeightNorm(dim) as never, { unsafe: true });
}

const WEIGHT_NORM = declare(weightNorm, "weightNorm(module, name='weight', dim=0)");

/** A matrix divided by its largest singular value. */
class SpectralNorm extends Module {
  readonly #spectralNorm = true;
  /** The left singular vector, by iterations. */
  _u: Buffer;
  /** The right one. */
  _v: Buffer;

  /** Vectors for a weight, after 15 iterations. */
  constructor(
    weight: Tensor,
    readonly iterations: number,
    readonly dim: number,
    readonly eps: number,
  ) {
    super();
    const matrix = inMode(false, () => matrixOf(weight, dim));
    [this._u, this._v] = directions(matrix, eps).map((t) => new Buffer(t)) as [Buffer, Buffer];
    iterate(matrix, this._u, this._v, 15, eps);
  }

  override forward(weight: Tensor): Tensor {
    const matrix = matrixOf(weight, this.dim);
    if (this.training) iterate(matrix, this._u, this._v, this.iterations, this.eps);
    return weight.div(sigmaOf(matrix, this._u, this._v));
  }

  /** The value itself: its norm may be any. */
  rightInverse(value: Tensor): Tensor {
    return value;
  }
}

/**
 * Spectral norm by parametrization: the weight, as a matrix whose rows are along `dim`, is divided by its largest singular
 * value, which power iterations follow while it is trained. Source: Miyato et al. 2018, arXiv 1802.05957.
 */
export function spectralNorm<M extends Module>(module: M, options?: SpectralNormOptions): M {
  const { weight, name, nPowerIterations, eps, dim } = spectralArguments(
    bind(SPECTRAL_NORM, [module, options]),
  );
  const norm = new SpectralNorm(weight, nPowerIterations, dim, eps);
  return registerParametrization(module, name, norm as never);
}

const SPECTRAL_NORM = declare(
  spectralNorm,
  "spectralNorm(module, name='weight', nPowerIterations=1, eps=1e-12, dim=null)",
);

export { orthogonal, type OrthogonalMap, type OrthogonalOptions } from "./orthogonal.ts";
