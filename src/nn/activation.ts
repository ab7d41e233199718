/**
 * Activations as modules. What each computes is said at its function in `nn.functional`.
 *
 * @module
 */
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import {
  gelu,
  leakyRelu,
  leakyRelu_,
  relu,
  relu_,
  sigmoid,
  silu,
  softmax,
  tanh,
} from "./functional.ts";
import { Module } from "./module.ts";
import { checkNumber } from "./options.ts";

/** Options of activations that can work in place. */
export interface InplaceOptions {
  /** Whether the input's memory takes the result; default false. */
  inplace?: boolean;
}

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

/** `1 / (1 + e⁻ˣ)`. Shapes: any. */
export class Sigmoid extends Module {
  readonly #sigmoid = true;

  override forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

declare(Sigmoid, "Sigmoid()");

/** `tanh(x)`. Shapes: any. */
export class Tanh extends Module {
  readonly #tanh = true;

  override forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

declare(Tanh, "Tanh()");

/** `x · sigmoid(x)`. Shapes: any. */
export class SiLU extends Module {
  readonly #silu = true;

  override forward(x: Tensor): Tensor {
    return silu(x);
  }
}

declare(SiLU, "SiLU()");

/** Options of `GELU`. */
export interface GELUOptions {
  /** `"none"` (default) uses the error function, `"tanh"` the usual approximation. */
  approximate?: "none" | "tanh";
}

/** `x · Φ(x)`, Φ the normal distribution function. Shapes: any. Source: Hendrycks and Gimpel 2016, arXiv 1606.08415. */
export class GELU extends Module {
  readonly #gelu = true;
  /** `"none"` or `"tanh"`. */
  readonly approximate: "none" | "tanh";

  /** Exact unless told otherwise. */
  constructor(options?: GELUOptions) {
    super();
    [this.approximate] = bind(GELU_SIGNATURE, [options]) as ["none" | "tanh"];
  }

  override forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate });
  }

  override extraRepr(): string {
    return `approximate='${this.approximate}'`;
  }
}

const GELU_SIGNATURE = declare(GELU, "GELU(approximate='none')");

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

/** Options of `Softmax`. */
export interface SoftmaxOptions {
  /** The dim whose values sum to 1. */
  dim?: number | null;
}

/**
 * `eˣ / Σ eˣ` over one dim. Shapes: any. Without `dim` it is dim 0 for tensors of 0, 1 or 3 dims and dim 1 for others, as
 * in PyTorch; better say it.
 */
export class Softmax extends Module {
  readonly #softmax = true;
  /** The dim whose values sum to 1, or null. */
  readonly dim: number | null;

  /** Over a dim. */
  constructor(dim?: number | null | SoftmaxOptions) {
    super();
    [this.dim] = bind(SOFTMAX, [dim]) as [number | null];
  }

  override forward(x: Tensor): Tensor {
    return softmax(x, this.dim ?? (x.ndim === 0 || x.ndim === 1 || x.ndim === 3 ? 0 : 1));
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

const SOFTMAX = declare(Softmax, "Softmax(dim=null)");
