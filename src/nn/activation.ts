/**
 * Smooth activations as modules. What each computes is said at its function in `nn.functional`; those with a corner are in
 * rectifiers.ts and thresholds.ts, those over a dim in softmax.ts.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import {
  gelu,
  glu,
  logsigmoid,
  mish,
  sigmoid,
  silu,
  softplus,
  softsign,
  tanh,
  tanhshrink,
} from "./functional.ts";
import { Module } from "./module.ts";
import { checkNumber, inPlace, type InplaceOptions } from "./options.ts";

/** `1 / (1 + e⁻ˣ)`. Shapes: any. */
export class Sigmoid extends Module {
  readonly #sigmoid = true;

  override forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

declare(Sigmoid, "Sigmoid()");

/** `log(1 / (1 + e⁻ˣ))`. Shapes: any. */
export class LogSigmoid extends Module {
  readonly #logSigmoid = true;

  override forward(x: Tensor): Tensor {
    return logsigmoid(x);
  }
}

declare(LogSigmoid, "LogSigmoid()");

/** `tanh(x)`. Shapes: any. */
export class Tanh extends Module {
  readonly #tanh = true;

  override forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

declare(Tanh, "Tanh()");

/** `x - tanh(x)`. Shapes: any. */
export class Tanhshrink extends Module {
  readonly #tanhshrink = true;

  override forward(x: Tensor): Tensor {
    return tanhshrink(x);
  }
}

declare(Tanhshrink, "Tanhshrink()");

/** `x / (1 + |x|)`. Shapes: any. */
export class Softsign extends Module {
  readonly #softsign = true;

  override forward(x: Tensor): Tensor {
    return softsign(x);
  }
}

declare(Softsign, "Softsign()");

/** `x · sigmoid(x)`. Shapes: any. Source: Elfwing et al. 2017, arXiv 1702.03118. */
export class SiLU extends Module {
  readonly #siLU = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(SILU, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return inPlace(this.inplace, x, silu);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const SILU = declare(SiLU, "SiLU(inplace=false)");

/** `x · tanh(softplus(x))`. Shapes: any. Source: Misra 2019, arXiv 1908.08681. */
export class Mish extends Module {
  readonly #mish = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(MISH, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return inPlace(this.inplace, x, mish);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const MISH = declare(Mish, "Mish(inplace=false)");

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
    if (this.approximate !== "none" && this.approximate !== "tanh") {
      throw new ArgumentError(
        `Cannot make GELU: approximate must be "none" or "tanh", got ${show(this.approximate)}`,
        { op: "GELU" },
      );
    }
  }

  override forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate });
  }

  override extraRepr(): string {
    return `approximate='${this.approximate}'`;
  }
}

const GELU_SIGNATURE = declare(GELU, "GELU(approximate='none')");

/** Options of `Softplus`. */
export interface SoftplusOptions {
  /** The sharpness of the bend; default 1. */
  beta?: number;
  /** Where `beta · x` is above it the value is x; default 20. */
  threshold?: number;
}

/** `log(1 + exp(beta · x)) / beta`. Shapes: any. */
export class Softplus extends Module {
  readonly #softplus = true;
  /** The sharpness of the bend. */
  readonly beta: number;
  /** Where `beta · x` is above it the value is x. */
  readonly threshold: number;

  /** Beta 1 and threshold 20 unless given. */
  constructor(
    beta?: number | null | SoftplusOptions,
    threshold?: number | SoftplusOptions,
    options?: SoftplusOptions,
  ) {
    super();
    [this.beta, this.threshold] = bind(SOFTPLUS, [beta ?? undefined, threshold, options]) as [
      number,
      number,
    ];
    checkNumber(this.beta, "Softplus", "beta");
    checkNumber(this.threshold, "Softplus", "threshold");
  }

  override forward(x: Tensor): Tensor {
    return softplus(x, this.beta, this.threshold);
  }

  override extraRepr(): string {
    return `beta=${this.beta}, threshold=${this.threshold}`;
  }
}

const SOFTPLUS = declare(Softplus, "Softplus(beta=1, threshold=20)");

/** Options of `GLU`. */
export interface GLUOptions {
  /** The dim that is halved; default -1. */
  dim?: number;
}

/** `a · sigmoid(b)` for the halves a and b of a dim. Shapes: (…, 2N, …) → (…, N, …). Source: Dauphin et al. 2016, arXiv 1612.08083. */
export class GLU extends Module {
  readonly #glu = true;
  /** The dim that is halved. */
  readonly dim: number;

  /** -1 unless given. */
  constructor(dim?: number | GLUOptions) {
    super();
    [this.dim] = bind(GLU_SIGNATURE, [dim]) as [number];
    checkNumber(this.dim, "GLU", "dim");
  }

  override forward(x: Tensor): Tensor {
    return glu(x, this.dim);
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

const GLU_SIGNATURE = declare(GLU, "GLU(dim=-1)");
