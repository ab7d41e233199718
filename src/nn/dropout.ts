/**
 * Dropout in its forms. No mask is kept of plain dropout: backward draws the same numbers again.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import {
  alphaDropout,
  dropout,
  dropout1d,
  dropout2d,
  dropout3d,
  featureAlphaDropout,
} from "./functional.ts";
import { Module } from "./module.ts";
import type { InplaceOptions } from "./options.ts";

/** Options of dropout. */
export interface DropoutOptions extends InplaceOptions {
  /** The chance of each element, or channel, to become zero; default 0.5. */
  p?: number;
}

/** What the forms have in common. */
abstract class DropoutBase extends Module {
  /** The chance of each element, or channel, to become zero. */
  readonly p: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** @ignore */
  constructor(signature: Signature, args: readonly unknown[]) {
    super();
    const [chance, inplace] = bind(signature, args) as [number, boolean];
    if (!(typeof chance === "number" && chance >= 0 && chance <= 1)) {
      const { name } = signature;
      throw new ArgumentError(`Cannot make ${name}: p must be from 0 to 1, got ${show(chance)}`, {
        op: name,
      });
    }
    this.p = chance;
    this.inplace = inplace;
  }

  abstract override forward(x: Tensor): Tensor;

  override extraRepr(): string {
    return `p=${this.p}${this.inplace ? ", inplace=true" : ""}`;
  }
}

/**
 * In training each element becomes zero with chance `p`, the others are multiplied by `1 / (1 - p)`; in evaluation the
 * input passes. No mask is kept: backward draws the same numbers again. Shapes: any.
 * Errors: ArgumentError unless p is from 0 to 1.
 */
export class Dropout extends DropoutBase {
  readonly #dropout = true;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions, options?: DropoutOptions) {
    super(DROPOUT, [p, options]);
  }

  override forward(x: Tensor): Tensor {
    const { p, training, inplace } = this;
    return dropout(x, p, { training, inplace });
  }
}

const DROPOUT = declare(Dropout, "Dropout(p=0.5, inplace=false)");

/** `Dropout` of whole channels of sequences. Shapes: (B, C, T) or (C, T). */
export class Dropout1d extends DropoutBase {
  readonly #dropout1d = true;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions, options?: DropoutOptions) {
    super(DROPOUT1D, [p, options]);
  }

  override forward(x: Tensor): Tensor {
    const { p, training, inplace } = this;
    return dropout1d(x, p, { training, inplace });
  }
}

const DROPOUT1D = declare(Dropout1d, "Dropout1d(p=0.5, inplace=false)");

/** `Dropout` of whole channels of images. Shapes: (B, C, H, W); three dims are (B, C, T). Source: Tompson et al. 2014, arXiv 1411.4280. */
export class Dropout2d extends DropoutBase {
  readonly #dropout2d = true;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions, options?: DropoutOptions) {
    super(DROPOUT2D, [p, options]);
  }

  override forward(x: Tensor): Tensor {
    const { p, training, inplace } = this;
    return dropout2d(x, p, { training, inplace });
  }
}

const DROPOUT2D = declare(Dropout2d, "Dropout2d(p=0.5, inplace=false)");

/** `Dropout` of whole channels of volumes. Shapes: (B, C, D, H, W) or (C, D, H, W). */
export class Dropout3d extends DropoutBase {
  readonly #dropout3d = true;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions, options?: DropoutOptions) {
    super(DROPOUT3D, [p, options]);
  }

  override forward(x: Tensor): Tensor {
    const { p, training, inplace } = this;
    return dropout3d(x, p, { training, inplace });
  }
}

const DROPOUT3D = declare(Dropout3d, "Dropout3d(p=0.5, inplace=false)");

/** Dropout for networks of `SELU`, which keeps mean 0 and variance 1. Shapes: any. Source: Klambauer et al. 2017, arXiv 1706.02515. */
export class AlphaDropout extends DropoutBase {
  readonly #alphaDropout = true;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions, options?: DropoutOptions) {
    super(ALPHA_DROPOUT, [p, options]);
  }

  override forward(x: Tensor): Tensor {
    const { p, training, inplace } = this;
    return alphaDropout(x, p, { training, inplace });
  }
}

const ALPHA_DROPOUT = declare(AlphaDropout, "AlphaDropout(p=0.5, inplace=false)");

/** `AlphaDropout` of whole channels. Shapes: (B, C, …). */
export class FeatureAlphaDropout extends DropoutBase {
  readonly #featureAlphaDropout = true;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions, options?: DropoutOptions) {
    super(FEATURE_ALPHA_DROPOUT, [p, options]);
  }

  override forward(x: Tensor): Tensor {
    const { p, training, inplace } = this;
    return featureAlphaDropout(x, p, { training, inplace });
  }
}

const FEATURE_ALPHA_DROPOUT = declare(
  FeatureAlphaDropout,
  "FeatureAlphaDropout(p=0.5, inplace=false)",
);
