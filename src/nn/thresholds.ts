/**
 * Activations made of straight pieces as modules. What each computes is said at its function in `nn.functional`.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import {
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  hardtanh_,
  softshrink,
  threshold,
  threshold_,
} from "./functional.ts";
import { Module } from "./module.ts";
import { checkNumber, inPlace, type InplaceOptions } from "./options.ts";

/** `min(max(x + 3, 0), 6) / 6`. Shapes: any. */
export class Hardsigmoid extends Module {
  readonly #hardsigmoid = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(HARDSIGMOID, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return inPlace(this.inplace, x, hardsigmoid);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const HARDSIGMOID = declare(Hardsigmoid, "Hardsigmoid(inplace=false)");

/** `x · min(max(x + 3, 0), 6) / 6`. Shapes: any. Source: Howard et al. 2019, arXiv 1905.02244. */
export class Hardswish extends Module {
  readonly #hardswish = true;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** Leaves its input alone unless told otherwise. */
  constructor(options?: InplaceOptions) {
    super();
    [this.inplace] = bind(HARDSWISH, [options]) as [boolean];
  }

  override forward(x: Tensor): Tensor {
    return inPlace(this.inplace, x, hardswish);
  }

  override extraRepr(): string {
    return this.inplace ? "inplace=true" : "";
  }
}

const HARDSWISH = declare(Hardswish, "Hardswish(inplace=false)");

/** Options of `Hardtanh`. */
export interface HardtanhOptions extends InplaceOptions {
  /** The least value; default -1. */
  minVal?: number;
  /** The greatest value; default 1. */
  maxVal?: number;
}

/** `min(max(x, minVal), maxVal)`. Shapes: any. Errors: ArgumentError unless minVal is below maxVal. */
export class Hardtanh extends Module {
  readonly #hardtanh = true;
  /** The least value. */
  readonly minVal: number;
  /** The greatest value. */
  readonly maxVal: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** From -1 to 1 unless given. */
  constructor(
    minVal?: number | null | HardtanhOptions,
    maxVal?: number | HardtanhOptions,
    options?: HardtanhOptions,
  ) {
    super();
    [this.minVal, this.maxVal, this.inplace] = bind(HARDTANH, [
      minVal ?? undefined,
      maxVal,
      options,
    ]) as [number, number, boolean];
    checkNumber(this.minVal, "Hardtanh", "minVal");
    checkNumber(this.maxVal, "Hardtanh", "maxVal");
    if (!(this.minVal < this.maxVal)) {
      throw new ArgumentError(
        `Cannot make Hardtanh: minVal must be below maxVal, got ${show(this.minVal)} and ${
          show(this.maxVal)
        }`,
        { op: "Hardtanh" },
      );
    }
  }

  override forward(x: Tensor): Tensor {
    const f = this.inplace ? hardtanh_ : hardtanh;
    return f(x, this.minVal, this.maxVal);
  }

  override extraRepr(): string {
    return `minVal=${this.minVal}, maxVal=${this.maxVal}${this.inplace ? ", inplace=true" : ""}`;
  }
}

const HARDTANH = declare(Hardtanh, "Hardtanh(minVal=-1, maxVal=1, inplace=false)");

/** Options of `Hardshrink` and `Softshrink`. */
export interface ShrinkOptions {
  /** What is cut off on each side of 0; default 0.5. */
  lambd?: number;
}

/** `x`, or 0 where |x| is up to `lambd`. Shapes: any. */
export class Hardshrink extends Module {
  readonly #hardshrink = true;
  /** What is cut off on each side of 0. */
  readonly lambd: number;

  /** 0.5 unless given. */
  constructor(lambd?: number | ShrinkOptions) {
    super();
    [this.lambd] = bind(HARDSHRINK, [lambd]) as [number];
    checkNumber(this.lambd, "Hardshrink", "lambd");
  }

  override forward(x: Tensor): Tensor {
    return hardshrink(x, this.lambd);
  }

  override extraRepr(): string {
    return `lambd=${this.lambd}`;
  }
}

const HARDSHRINK = declare(Hardshrink, "Hardshrink(lambd=0.5)");

/** `x` brought towards 0 by `lambd`, or 0 where |x| is up to it. Shapes: any. */
export class Softshrink extends Module {
  readonly #softshrink = true;
  /** What is cut off on each side of 0. */
  readonly lambd: number;

  /** 0.5 unless given. */
  constructor(lambd?: number | ShrinkOptions) {
    super();
    [this.lambd] = bind(SOFTSHRINK, [lambd]) as [number];
    checkNumber(this.lambd, "Softshrink", "lambd");
  }

  override forward(x: Tensor): Tensor {
    return softshrink(x, this.lambd);
  }

  override extraRepr(): string {
    return `lambd=${this.lambd}`;
  }
}

const SOFTSHRINK = declare(Softshrink, "Softshrink(lambd=0.5)");

/** `x` where it is above `threshold`, else `value`. Shapes: any. */
export class Threshold extends Module {
  readonly #threshold = true;
  /** Up to where x is replaced. */
  readonly threshold: number;
  /** What replaces it. */
  readonly value: number;
  /** Whether the input's memory takes the result. */
  readonly inplace: boolean;

  /** A threshold and what replaces values up to it. */
  constructor(threshold: number, value: number, options?: InplaceOptions) {
    super();
    [this.threshold, this.value, this.inplace] = bind(THRESHOLD, [threshold, value, options]) as [
      number,
      number,
      boolean,
    ];
    checkNumber(this.threshold, "Threshold", "threshold");
    checkNumber(this.value, "Threshold", "value");
  }

  override forward(x: Tensor): Tensor {
    const f = this.inplace ? threshold_ : threshold;
    return f(x, this.threshold, this.value);
  }

  override extraRepr(): string {
    return `threshold=${this.threshold}, value=${this.value}${
      this.inplace ? ", inplace=true" : ""
    }`;
  }
}

const THRESHOLD = declare(Threshold, "Threshold(threshold, value, inplace=false)");
