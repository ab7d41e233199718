/**
 * Augmentation: modules that change examples at random in training and pass them in evaluation. They are not PyTorch's,
 * whose `nn` keeps its own names, so they live here.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { Module } from "../nn/module.ts";
import { bind, declare } from "../op.ts";
import { emptyLike } from "../ops/creation.ts";
import { add, mul } from "../ops/pointwise.ts";
import { bernoulli, normal_ } from "../ops/random.ts";
import type { Tensor } from "../tensor.ts";

/** Options of `AddGaussianNoise`. */
export interface AddGaussianNoiseOptions {
  /** The noise's standard deviation; default 0.01. */
  std?: number;
}

/**
 * In training `y = x + std · n` with n standard normal, drawn anew for each element and call; in evaluation `y = x`.
 *
 * Shapes: any. Types: floats; the noise has the input's. The gradient passes unchanged. `manualSeed` settles the noise.
 * Errors: ArgumentError unless std is finite and not negative; DTypeError for integers in training.
 *
 * ```ts
 * import { data, zeros } from "@toro/toro";
 *
 * const noise = new data.AddGaussianNoise(0.5);
 * console.log(noise.forward(zeros([1000])).std().item().toFixed(1)); // 0.5
 * console.log(noise.eval().forward(zeros([2])).toArray()); // [ 0, 0 ]
 * ```
 */
export class AddGaussianNoise extends Module {
  readonly #addGaussianNoise = true;
  /** The noise's standard deviation. */
  readonly std: number;

  /** Deviation 0.01 unless given. */
  constructor(std?: number | AddGaussianNoiseOptions) {
    super();
    const [deviation] = bind(NOISE, [std]) as [number];
    if (!(typeof deviation === "number" && deviation >= 0 && deviation < Infinity)) {
      throw new ArgumentError(
        `Cannot make AddGaussianNoise: std must be a number from 0 on, got ${show(deviation)}`,
        { op: "AddGaussianNoise" },
      );
    }
    this.std = deviation;
  }

  override forward(x: Tensor): Tensor {
    return this.training ? add(x, normal_(emptyLike(x), 0, this.std)) : x;
  }

  override extraRepr(): string {
    return `std=${this.std}`;
  }
}

const NOISE = declare(AddGaussianNoise, "AddGaussianNoise(std=0.01)");

/** Options of `RandomMask`. */
export interface RandomMaskOptions {
  /** The chance of each element to become zero; default 0.1. */
  maskRatio?: number;
}

/**
 * In training each element becomes zero with chance `maskRatio`, the others stay as they are: `y = x · m`. In evaluation
 * `y = x`. Unlike `nn.Dropout` it does not scale what is left: a sensor that fails does not make the others louder.
 *
 * Shapes: any. Types: all. The gradient is m. `manualSeed` settles the mask.
 * Errors: ArgumentError unless maskRatio is from 0 to 1.
 *
 * ```ts
 * import { data, ones } from "@toro/toro";
 *
 * const mask = new data.RandomMask({ maskRatio: 0.25 });
 * console.log(mask.forward(ones([100_000])).mean().item().toFixed(2)); // 0.75
 * console.log(mask.eval().forward(ones([2])).toArray()); // [ 1, 1 ]
 * ```
 */
export class RandomMask extends Module {
  readonly #randomMask = true;
  /** The chance of each element to become zero. */
  readonly maskRatio: number;

  /** Chance 0.1 unless given. */
  constructor(maskRatio?: number | RandomMaskOptions) {
    super();
    const [ratio] = bind(MASK, [maskRatio]) as [number];
    if (!(typeof ratio === "number" && ratio >= 0 && ratio <= 1)) {
      throw new ArgumentError(
        `Cannot make RandomMask: maskRatio must be from 0 to 1, got ${show(ratio)}`,
        { op: "RandomMask" },
      );
    }
    this.maskRatio = ratio;
  }

  override forward(x: Tensor): Tensor {
    return this.training ? mul(x, bernoulli(x.detach(), 1 - this.maskRatio)) : x;
  }

  override extraRepr(): string {
    return `maskRatio=${this.maskRatio}`;
  }
}

const MASK = declare(RandomMask, "RandomMask(maskRatio=0.1)");
