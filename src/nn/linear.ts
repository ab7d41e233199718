/**
 * Layers of matrix products, and layers that only pass or reshape.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { flatten, unflatten } from "../ops/view.ts";
import { bilinear, linear } from "./functional.ts";
import { uniform_ } from "./init.ts";
import { Module } from "./module.ts";
import { checkCount, factoryOf, type FactoryOptions, newParameter } from "./options.ts";
import type { Parameter } from "./parameter.ts";

/** Options of `Linear`. */
export interface LinearOptions extends FactoryOptions {
  /** Whether a learned vector is added; default true. */
  bias?: boolean;
}

/**
 * `y = x Wᵀ + b`.
 *
 * Shapes: x (…, inFeatures) → y (…, outFeatures); weight (outFeatures, inFeatures), bias (outFeatures). Weight and bias
 * begin uniform in ±1/√inFeatures.
 * Errors: ShapeError when the last dim of x is not inFeatures.
 *
 * ```ts
 * import { nn, ones } from "@toro/toro";
 * console.log(new nn.Linear(3, 2, { bias: false }).forward(ones([5, 3])).shape); // [ 5, 2 ]
 * ```
 */
export class Linear extends Module {
  readonly #linear = true;
  /** Size of the last dim of the input. */
  readonly inFeatures: number;
  /** Size of the last dim of the output. */
  readonly outFeatures: number;
  /** (outFeatures, inFeatures). */
  weight: Parameter;
  /** (outFeatures), or null. */
  bias: Parameter | null;

  /** A layer from so many to so many features. */
  constructor(inFeatures: number, outFeatures: number, options?: LinearOptions) {
    super();
    const [fanIn, fanOut, bias, device, dtype] = bind(LINEAR, [
      inFeatures,
      outFeatures,
      options,
    ]) as [
      number,
      number,
      boolean,
      string | null,
      DType | null,
    ];
    checkCount(fanIn, "Linear", "inFeatures");
    checkCount(fanOut, "Linear", "outFeatures");
    const factory = factoryOf("Linear", device, dtype);
    this.inFeatures = fanIn;
    this.outFeatures = fanOut;
    this.weight = newParameter([fanOut, fanIn], factory);
    this.bias = bias ? newParameter([fanOut], factory) : null;
    this.resetParameters();
  }

  /** Sets the parameters to new values. */
  resetParameters(): void {
    // PyTorch's kaiming_uniform_ with a = √5 comes to the same bound.
    const bound = this.inFeatures > 0 ? 1 / Math.sqrt(this.inFeatures) : 0;
    uniform_(this.weight, -bound, bound);
    if (this.bias !== null) uniform_(this.bias, -bound, bound);
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  override extraRepr(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${
      this.bias !== null
    }`;
  }
}

const LINEAR = declare(
  Linear,
  "Linear(inFeatures, outFeatures, bias=true, device=null, dtype=null)",
);

/**
 * `y = x1ᵀ W x2 + b` for each output feature.
 *
 * Shapes: x1 (…, in1Features), x2 (…, in2Features) → y (…, outFeatures); weight (outFeatures, in1Features, in2Features),
 * bias (outFeatures). Weight and bias begin uniform in ±1/√in1Features. Errors: ShapeError when the sizes do not fit.
 */
export class Bilinear extends Module {
  readonly #bilinear = true;
  /** Size of the last dim of the first input. */
  readonly in1Features: number;
  /** Size of the last dim of the second input. */
  readonly in2Features: number;
  /** Size of the last dim of the output. */
  readonly outFeatures: number;
  /** (outFeatures, in1Features, in2Features). */
  weight: Parameter;
  /** (outFeatures), or null. */
  bias: Parameter | null;

  /** A layer from features of two inputs to so many. */
  constructor(
    in1Features: number,
    in2Features: number,
    outFeatures: number,
    options?: LinearOptions,
  ) {
    super();
    const [first, second, out, bias, device, dtype] = bind(BILINEAR, [
      in1Features,
      in2Features,
      outFeatures,
      options,
    ]) as [number, number, number, boolean, string | null, DType | null];
    checkCount(first, "Bilinear", "in1Features");
    checkCount(second, "Bilinear", "in2Features");
    checkCount(out, "Bilinear", "outFeatures");
    const factory = factoryOf("Bilinear", device, dtype);
    this.in1Features = first;
    this.in2Features = second;
    this.outFeatures = out;
    this.weight = newParameter([out, first, second], factory);
    this.bias = bias ? newParameter([out], factory) : null;
    this.resetParameters();
  }

  /** Sets the parameters to new values. */
  resetParameters(): void {
    const bound = this.in1Features > 0 ? 1 / Math.sqrt(this.in1Features) : 0;
    uniform_(this.weight, -bound, bound);
    if (this.bias !== null) uniform_(this.bias, -bound, bound);
  }

  override forward(x1: Tensor, x2: Tensor): Tensor {
    return bilinear(x1, x2, this.weight, this.bias);
  }

  override extraRepr(): string {
    const { in1Features, in2Features, outFeatures, bias } = this;
    return `in1Features=${in1Features}, in2Features=${in2Features}, outFeatures=${outFeatures}, bias=${
      bias !== null
    }`;
  }
}

const BILINEAR = declare(
  Bilinear,
  "Bilinear(in1Features, in2Features, outFeatures, bias=true, device=null, dtype=null)",
);

/**
 * A `Linear` whose parameters the module around it uses by itself, so that another layer cannot take its place:
 * `deploy.quantizeDynamic` leaves it as it is. PyTorch's `torch.nn.modules.linear` has it under this name.
 */
export class NonDynamicallyQuantizableLinear extends Linear {
  readonly #fixed = true;
}

/** Gives its input back; arguments of its constructor are taken and ignored, as in PyTorch. */
export class Identity extends Module {
  readonly #identity = true;

  /** Takes anything. */
  constructor(..._ignored: unknown[]) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return x;
  }
}

declare(Identity, "Identity()");

/** Options of `Flatten`. */
export interface FlattenOptions {
  /** First dim that is joined; default 1. */
  startDim?: number;
  /** Last dim that is joined; default -1. */
  endDim?: number;
}

/** Joins dims into one: (N, C, H, W) → (N, C·H·W). */
export class Flatten extends Module {
  readonly #flatten = true;
  /** First dim that is joined. */
  readonly startDim: number;
  /** Last dim that is joined. */
  readonly endDim: number;

  /** Joins all dims from startDim to endDim. */
  constructor(startDim?: number | FlattenOptions, endDim?: number | FlattenOptions) {
    super();
    const [start, end] = bind(FLATTEN, [startDim, endDim]) as [number, number];
    this.startDim = start;
    this.endDim = end;
  }

  override forward(x: Tensor): Tensor {
    return flatten(x, this.startDim, this.endDim);
  }

  override extraRepr(): string {
    return `startDim=${this.startDim}, endDim=${this.endDim}`;
  }
}

const FLATTEN = declare(Flatten, "Flatten(startDim=1, endDim=-1)");

/** Takes one dim apart into several: (…, N, …) → (…, *sizes, …), where one size may be -1. */
export class Unflatten extends Module {
  readonly #unflatten = true;
  /** The dim that is taken apart. */
  readonly dim: number;
  /** The sizes it becomes. */
  readonly unflattenedSize: readonly number[];

  /** Takes `dim` apart into sizes. */
  constructor(dim: number, unflattenedSize: readonly number[]) {
    super();
    const [d, sizes] = bind(UNFLATTEN, [dim, unflattenedSize]) as [number, readonly number[]];
    if (!Array.isArray(sizes)) {
      throw new ArgumentError(
        `Cannot make Unflatten with unflattenedSize ${show(sizes)}: it must be an array of sizes`,
        { op: "Unflatten" },
      );
    }
    this.dim = d;
    this.unflattenedSize = [...sizes];
  }

  override forward(x: Tensor): Tensor {
    return unflatten(x, this.dim, this.unflattenedSize);
  }

  override extraRepr(): string {
    return `dim=${this.dim}, unflattenedSize=[${this.unflattenedSize.join(", ")}]`;
  }
}

const UNFLATTEN = declare(Unflatten, "Unflatten(dim, unflattenedSize)");
