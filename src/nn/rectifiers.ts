/**
 * Activations with a corner at zero as modules. What each computes is said at its function in `nn.functional`.
 *
 * @module
 */
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import {
  celu,
  celu_,
  elu,
  elu_,
  leakyRelu,
  leakyRelu_,
  prelu,
  relu,
  relu6,
  relu_,
  rrelu,
  selu,
  selu_,
} from "./functional.ts";
import { constant_ } from "./init.ts";
import { Module } from "./module.ts";
import {
  checkCount,
  checkNumber,
  factoryOf,
  type FactoryOptions,
  inPlace,
  type InplaceOptions,
  newParameter,
} from "./options.ts";
import type { Parameter } from "./parameter.ts";

/** `max(x, 0)`. Shapes: any. */
export class ReLU extends Module {
  readonly #relu = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(RELU, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return this.inplace ? relu_(x) : relu(x);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const RELU = declare(ReLU, "ReLU(inplace=false)");

/** `min(max(x, 0), 6)`. Shapes: any. */
export class ReLU6 extends Module {
  readonly #relu6 = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(RELU6, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return inPlace(this.inplace, x, relu6);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const RELU6 = declare(ReLU6, "ReLU6(inplace=false)");

/** Options of `LeakyReLU`. */
export interface LeakyReLUOptions extends InplaceOptions {
  /** Slope below zero; default 0.01. */
  negativeSlope?: number;
}

/** `x` where positive, else `negativeSlope · x`. Shapes: any. */
export class LeakyReLU extends Module {
  readonly #leakyRelu = true;
  /** Slope below zero. */
  readonly negativeSlope: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Slope 0.01 unless given. */
  constructor(negativeSlope?: number | LeakyReLUOptions, options?: LeakyReLUOptions) {
    super();
    const [slope, inplace] = bind(LEAKY_RELU, [negativeSlope, options]) as [number, boolean];
    checkNumber(slope, "LeakyReLU", "negativeSlope");
    this.inplace = inplace;
    this.negativeSlope = slope;
  }

  override forward(x: Tensor): Tensor {
    return this.inplace ? leakyRelu_(x, this.negativeSlope) : leakyRelu(x, this.negativeSlope);
  }

  override extraRepr(): string {
    return `negativeSlope=${this.negativeSlope}`;
  }
}

const LEAKY_RELU = declare(LeakyReLU, "LeakyReLU(negativeSlope=0.01, inplace=false)");

/** Options of `ELU` and `CELU`. */
export interface ELUOptions extends InplaceOptions {
  /** How far below zero it goes; default 1. */
  alpha?: number;
}

/** `x` where positive, else `alpha · (eˣ - 1)`. Shapes: any. Source: Clevert et al. 2015, arXiv 1511.07289. */
export class ELU extends Module {
  readonly #elu = true;
  /** How far below zero it goes. */
  readonly alpha: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Alpha 1 unless given. */
  constructor(alpha?: number | ELUOptions, options?: ELUOptions) {
    super();
    [this.alpha, this.inplace] = bind(ELU_SIGNATURE, [alpha, options]) as [number, boolean];
    checkNumber(this.alpha, "ELU", "alpha");
  }

  override forward(x: Tensor): Tensor {
    return this.inplace ? elu_(x, this.alpha) : elu(x, this.alpha);
  }

  override extraRepr(): string {
    return `alpha=${this.alpha}${this.inplace ? ", inplace=true" : ""}`;
  }
}

const ELU_SIGNATURE = declare(ELU, "ELU(alpha=1, inplace=false)");

/** `x` where positive, else `alpha · (exp(x / alpha) - 1)`. Shapes: any. Source: Barron 2017, arXiv 1704.07483. */
export class CELU extends Module {
  readonly #celu = true;
  /** How far below zero it goes. */
  readonly alpha: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Alpha 1 unless given. */
  constructor(alpha?: number | ELUOptions, options?: ELUOptions) {
    super();
    [this.alpha, this.inplace] = bind(CELU_SIGNATURE, [alpha, options]) as [number, boolean];
    checkNumber(this.alpha, "CELU", "alpha");
  }

  override forward(x: Tensor): Tensor {
    return this.inplace ? celu_(x, this.alpha) : celu(x, this.alpha);
  }

  override extraRepr(): string {
    return `alpha=${this.alpha}${this.inplace ? ", inplace=true" : ""}`;
  }
}

const CELU_SIGNATURE = declare(CELU, "CELU(alpha=1, inplace=false)");

/** `ELU` with the scale and alpha that keep mean 0 and variance 1. Shapes: any. Source: Klambauer et al. 2017, arXiv 1706.02515. */
export class SELU extends Module {
  readonly #selu = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(SELU_SIGNATURE, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return this.inplace ? selu_(x) : selu(x);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const SELU_SIGNATURE = declare(SELU, "SELU(inplace=false)");

/** Options of `PReLU`. */
export interface PReLUOptions extends FactoryOptions {
  /** How many slopes there are: 1 (default) or one for each channel. */
  numParameters?: number;
  /** What they begin with; default 0.25. */
  init?: number;
}

/** `x` where positive, else `weight · x` with learned slopes. Shapes: (B, C, …). Source: He et al. 2015, arXiv 1502.01852. */
export class PReLU extends Module {
  readonly #prelu = true;
  /** How many slopes there are. */
  readonly numParameters: number;
  /** What they begin with. */
  readonly init: number;
  /** (1) or (C) slopes. */
  weight: Parameter;

  /** One slope of 0.25 unless given. */
  constructor(
    numParameters?: number | null | PReLUOptions,
    init?: number | PReLUOptions,
    options?: PReLUOptions,
  ) {
    super();
    const [count, value, device, dtype] = bind(PRELU, [numParameters ?? undefined, init, options]);
    checkCount(count, "PReLU", "numParameters");
    checkNumber(value, "PReLU", "init");
    this.numParameters = count as number;
    this.init = value as number;
    this.weight = newParameter(
      [this.numParameters],
      factoryOf("PReLU", device as null, dtype as null),
    );
    this.resetParameters();
  }

  /** Sets the slopes to what they began with. */
  resetParameters(): void {
    constant_(this.weight, this.init);
  }

  override forward(x: Tensor): Tensor {
    return prelu(x, this.weight);
  }

  override extraRepr(): string {
    return `numParameters=${this.numParameters}`;
  }
}

const PRELU = declare(PReLU, "PReLU(numParameters=1, init=0.25, device=null, dtype=null)");

/** Options of `RReLU`. */
export interface RReLUOptions extends InplaceOptions {
  /** The least slope; default 1/8. */
  lower?: number;
  /** The greatest slope; default 1/3. */
  upper?: number;
}

/** `x` where positive, else `slope · x` with slopes drawn in training, their mean in evaluation. Shapes: any. Source: Xu et al. 2015, arXiv 1505.00853. */
export class RReLU extends Module {
  readonly #rrelu = true;
  /** The least slope. */
  readonly lower: number;
  /** The greatest slope. */
  readonly upper: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Slopes from 1/8 to 1/3 unless given. */
  constructor(
    lower?: number | null | RReLUOptions,
    upper?: number | RReLUOptions,
    options?: RReLUOptions,
  ) {
    super();
    [this.lower, this.upper, this.inplace] = bind(RRELU, [lower ?? undefined, upper, options]) as [
      number,
      number,
      boolean,
    ];
    checkNumber(this.lower, "RReLU", "lower");
    checkNumber(this.upper, "RReLU", "upper");
  }

  override forward(x: Tensor): Tensor {
    const { lower, upper, training, inplace } = this;
    return rrelu(x, lower, upper, { training, inplace });
  }

  override extraRepr(): string {
    return `lower=${this.lower}, upper=${this.upper}${this.inplace ? ", inplace=true" : ""}`;
  }
}

const RRELU = declare(RReLU, "RReLU(lower=0.125, upper=0.3333333333333333, inplace=false)");
