/**
 * Softmax and its relatives as modules.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { logSoftmax, softmax, softmin } from "./functional.ts";
import { Module } from "./module.ts";

/** PyTorch's choice where no dim is given: 0 for tensors of 0, 1 or 3 dims, else 1. */
function dimOf(x: Tensor, dim: number | null): number {
  // What is no tensor is for the op to refuse.
  const ndim = (x as Tensor | undefined)?.ndim;
  return dim ?? (ndim === 0 || ndim === 1 || ndim === 3 ? 0 : 1);
}

/** Options of `Softmax` and its relatives. */
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
    return softmax(x, dimOf(x, this.dim));
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

const SOFTMAX = declare(Softmax, "Softmax(dim=null)");

/** `log(eˣ / Σ eˣ)` over one dim, exact where softmax underflows. Shapes and `dim`: as `Softmax`. */
export class LogSoftmax extends Module {
  readonly #logSoftmax = true;
  /** The dim whose values sum to 1, or null. */
  readonly dim: number | null;

  /** Over a dim. */
  constructor(dim?: number | null | SoftmaxOptions) {
    super();
    [this.dim] = bind(LOG_SOFTMAX, [dim]) as [number | null];
  }

  override forward(x: Tensor): Tensor {
    return logSoftmax(x, dimOf(x, this.dim));
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

const LOG_SOFTMAX = declare(LogSoftmax, "LogSoftmax(dim=null)");

/** `e⁻ˣ / Σ e⁻ˣ` over one dim: the least value gets most. Shapes and `dim`: as `Softmax`. */
export class Softmin extends Module {
  readonly #softmin = true;
  /** The dim whose values sum to 1, or null. */
  readonly dim: number | null;

  /** Over a dim. */
  constructor(dim?: number | null | SoftmaxOptions) {
    super();
    [this.dim] = bind(SOFTMIN, [dim]) as [number | null];
  }

  override forward(x: Tensor): Tensor {
    return softmin(x, dimOf(x, this.dim));
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

const SOFTMIN = declare(Softmin, "Softmin(dim=null)");

/** `Softmax` over the channels of images. Shapes: (B, C, H, W) or (C, H, W). Errors: ShapeError for others. */
export class Softmax2d extends Module {
  readonly #softmax2d = true;

  override forward(x: Tensor): Tensor {
    if (x.ndim === 3 || x.ndim === 4) return softmax(x, -3);
    throw new ShapeError(
      `Cannot Softmax2d a tensor ${shapeText(x.shape)}: it must be (B, C, H, W) or (C, H, W)`,
      { op: "Softmax2d" },
    );
  }
}

declare(Softmax2d, "Softmax2d()");
