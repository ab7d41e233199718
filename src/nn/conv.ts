/**
 * Convolutions and transposed convolutions as layers.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import { pad, type PadMode } from "../ops/joining.ts";
import { type PerDim, perDim } from "../ops/spatial.ts";
import { numelOf, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import {
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from "./functional.ts";
import { uniform_ } from "./init.ts";
import { Module } from "./module.ts";
import { checkCount, factoryOf, type FactoryOptions, newParameter } from "./options.ts";
import type { Parameter } from "./parameter.ts";

/** What stands around the input of a convolution. */
export type ConvPaddingMode = "zeros" | "reflect" | "replicate" | "circular";

/** Options of convolutions. */
export interface ConvNdOptions extends FactoryOptions {
  /** Step between positions; default 1. */
  stride?: PerDim;
  /** Elements around each dim, default 0; `"valid"` is 0, `"same"` keeps the size (stride 1). */
  padding?: PerDim | "valid" | "same";
  /** Step between the elements of a window; default 1. */
  dilation?: PerDim;
  /** Groups of channels that are convolved by themselves; default 1. */
  groups?: number;
  /** Whether a learned number is added to each output channel; default true. */
  bias?: boolean;
  /** What stands in the padding: `"zeros"` (default), or elements of the input. */
  paddingMode?: ConvPaddingMode;
}

/** Options of transposed convolutions. */
export interface ConvTransposeNdOptions extends FactoryOptions {
  /** Step between the windows that inputs become; default 1. */
  stride?: PerDim;
  /** Elements cut from both ends of each dim; default 0. */
  padding?: PerDim;
  /** Elements added at the end of each dim; default 0. */
  outputPadding?: PerDim;
  /** Groups of channels that are convolved by themselves; default 1. */
  groups?: number;
  /** Whether a learned number is added to each output channel; default true. */
  bias?: boolean;
  /** Step between the elements of a window; default 1. */
  dilation?: PerDim;
  /** Only `"zeros"`. */
  paddingMode?: "zeros";
}

/** What all convolutions hold. Weight and bias begin uniform in ±1/√(inputs of an output). */
abstract class AnyConv extends Module {
  /** Channels of the input. */
  readonly inChannels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  /** Size of a window along each dim. */
  readonly kernelSize: readonly number[];
  /** Step between positions along each dim. */
  readonly stride: readonly number[];
  /** Step between the elements of a window along each dim. */
  readonly dilation: readonly number[];
  /** Groups of channels. */
  readonly groups: number;
  /** (out, in / groups, kernelSize…), or (in, out / groups, kernelSize…) when transposed. */
  weight: Parameter;
  /** (out), or null. */
  bias: Parameter | null;

  protected constructor(name: string, d: number, transposed: boolean, given: {
    inChannels: number;
    outChannels: number;
    kernelSize: PerDim;
    stride: PerDim;
    dilation: PerDim;
    groups: number;
    bias: boolean;
    device: string | null;
    dtype: DType | null;
  }) {
    super();
    const { inChannels, outChannels, groups } = given;
    checkCount(inChannels, name, "inChannels");
    checkCount(outChannels, name, "outChannels");
    checkCount(groups, name, "groups");
    if (groups === 0 || inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ArgumentError(
        `Cannot make ${name}: ${inChannels} and ${outChannels} channels must be multiples of groups, ${groups}`,
        { op: name },
      );
    }
    const action = `make ${name}`;
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.groups = groups;
    this.kernelSize = perDim(action, given.kernelSize, d, "kernelSize", 1);
    this.stride = perDim(action, given.stride, d, "stride", 1);
    this.dilation = perDim(action, given.dilation, d, "dilation", 1);
    const factory = factoryOf(name, given.device, given.dtype);
    const channels = transposed
      ? [inChannels, outChannels / groups]
      : [outChannels, inChannels / groups];
    this.weight = newParameter([...channels, ...this.kernelSize], factory);
    this.bias = given.bias ? newParameter([outChannels], factory) : null;
    this.resetParameters();
  }

  /** Sets the parameters to new values. */
  resetParameters(): void {
    // PyTorch's kaiming_uniform_ with a = √5 comes to the same bound.
    const fanIn = numelOf(this.weight.shape.slice(1));
    const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
    uniform_(this.weight, -bound, bound);
    if (this.bias !== null) uniform_(this.bias, -bound, bound);
  }

  /** What is printed of it, with its own kind of padding. */
  protected describe(padding: string): string {
    return `${this.inChannels}, ${this.outChannels}, kernelSize=${shapeText(this.kernelSize)}, ` +
      `stride=${shapeText(this.stride)}, ${padding}, dilation=${shapeText(this.dilation)}, ` +
      `groups=${this.groups}, bias=${this.bias !== null}`;
  }
}

const PADDING_MODES = ["zeros", "reflect", "replicate", "circular"];

/** What the three convolutions share. */
abstract class ConvNd extends AnyConv {
  /** Elements around each dim, or `"valid"` or `"same"`. */
  readonly padding: readonly number[] | "valid" | "same";
  /** What stands there. */
  readonly paddingMode: ConvPaddingMode;

  protected constructor(signature: Signature, d: number, args: readonly unknown[]) {
    const [
      inChannels,
      outChannels,
      kernelSize,
      stride,
      padding,
      dilation,
      groups,
      bias,
      mode,
      device,
      dtype,
    ] = bind(signature, args) as [
      number,
      number,
      PerDim,
      PerDim,
      PerDim | "valid" | "same",
      PerDim,
      number,
      boolean,
      ConvPaddingMode,
      string | null,
      DType | null,
    ];
    const { name, action } = signature;
    super(name, d, false, {
      inChannels,
      outChannels,
      kernelSize,
      stride,
      dilation,
      groups,
      bias,
      device,
      dtype,
    });
    if (!PADDING_MODES.includes(mode)) {
      throw new ArgumentError(
        `Cannot ${action}: paddingMode ${show(mode)} is not one of ${PADDING_MODES.join(", ")}`,
        { op: name },
      );
    }
    if (padding === "same" && this.stride.some((n) => n !== 1)) {
      throw new ArgumentError(
        `Cannot ${action} with padding "same" and stride ${
          shapeText(this.stride)
        }: the stride must be 1`,
        { op: name },
      );
    }
    this.padding = padding === "same" || padding === "valid"
      ? padding
      : perDim(action, padding, d, "padding");
    this.paddingMode = mode;
  }

  /** The pads of both ends of each dim, the last dim first, as `pad` takes them. */
  #pads(): number[] {
    const ends = this.kernelSize.map((k, i) => {
      if (this.padding === "valid") return [0, 0];
      if (this.padding !== "same") return [this.padding[i], this.padding[i]];
      const total = this.dilation[i] * (k - 1);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    });
    return ends.reverse().flat();
  }

  override forward(x: Tensor): Tensor {
    const conv = [conv1d, conv2d, conv3d][this.kernelSize.length - 1];
    const zeros = this.paddingMode === "zeros";
    const wide = zeros ? x : pad(x, this.#pads(), { mode: this.paddingMode as PadMode });
    return conv(wide, this.weight, {
      bias: this.bias,
      stride: this.stride,
      padding: zeros ? this.padding : 0,
      dilation: this.dilation,
      groups: this.groups,
    });
  }

  override extraRepr(): string {
    const padding = typeof this.padding === "string" ? this.padding : shapeText(this.padding);
    return this.describe(`padding=${padding}, paddingMode=${this.paddingMode}`);
  }
}

/**
 * Convolution of one dim with learned windows.
 *
 * Shapes: x (N, in, L) or (in, L) → (N, out, L′), L′ as in `nn.functional.conv1d`; weight (out, in / groups, kernelSize),
 * bias (out). Weight and bias begin uniform in ±1/√(in / groups · kernelSize).
 * Errors: ShapeError when x has other channels or is smaller than a window.
 */
export class Conv1d extends ConvNd {
  readonly #conv1d = true;

  /** From so many to so many channels, with windows of a size. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDim,
    stride?: PerDim | ConvNdOptions,
    padding?: PerDim | "valid" | "same" | ConvNdOptions,
    options?: ConvNdOptions,
  ) {
    super(CONV1D, 1, [inChannels, outChannels, kernelSize, stride, padding, options]);
  }
}

/**
 * `Conv1d` of two dims: x (N, in, H, W) or (in, H, W).
 *
 * ```ts
 * import { nn, ones } from "@toro/toro";
 * console.log(new nn.Conv2d(3, 8, 3, { padding: 1 }).forward(ones([2, 3, 6, 6])).shape); // [ 2, 8, 6, 6 ]
 * ```
 */
export class Conv2d extends ConvNd {
  readonly #conv2d = true;

  /** From so many to so many channels, with windows of a size. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDim,
    stride?: PerDim | ConvNdOptions,
    padding?: PerDim | "valid" | "same" | ConvNdOptions,
    options?: ConvNdOptions,
  ) {
    super(CONV2D, 2, [inChannels, outChannels, kernelSize, stride, padding, options]);
  }
}

/** `Conv1d` of three dims: x (N, in, D, H, W) or (in, D, H, W). */
export class Conv3d extends ConvNd {
  readonly #conv3d = true;

  /** From so many to so many channels, with windows of a size. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDim,
    stride?: PerDim | ConvNdOptions,
    padding?: PerDim | "valid" | "same" | ConvNdOptions,
    options?: ConvNdOptions,
  ) {
    super(CONV3D, 3, [inChannels, outChannels, kernelSize, stride, padding, options]);
  }
}

const CONV = (name: string) =>
  `${name}(inChannels, outChannels, kernelSize, stride=1, padding=0, dilation=1, groups=1, bias=true, ` +
  `paddingMode='zeros', device=null, dtype=null)`;
const CONV1D = declare(Conv1d, CONV("Conv1d"));
const CONV2D = declare(Conv2d, CONV("Conv2d"));
const CONV3D = declare(Conv3d, CONV("Conv3d"));

/** What the three transposed convolutions share. */
abstract class ConvTransposeNd extends AnyConv {
  /** Elements cut from both ends of each dim. */
  readonly padding: readonly number[];
  /** Elements added at the end of each dim. */
  readonly outputPadding: readonly number[];
  readonly #name: string;

  protected constructor(signature: Signature, d: number, args: readonly unknown[]) {
    const [
      inChannels,
      outChannels,
      kernelSize,
      stride,
      padding,
      outputPadding,
      groups,
      bias,
      dilation,
      mode,
      device,
      dtype,
    ] = bind(signature, args) as [
      number,
      number,
      PerDim,
      PerDim,
      PerDim,
      PerDim,
      number,
      boolean,
      PerDim,
      string,
      string | null,
      DType | null,
    ];
    const { name, action } = signature;
    if (mode !== "zeros") {
      throw new ArgumentError(
        `Cannot ${action} with paddingMode ${show(mode)}: only "zeros" is there`,
        { op: name },
      );
    }
    super(name, d, true, {
      inChannels,
      outChannels,
      kernelSize,
      stride,
      dilation,
      groups,
      bias,
      device,
      dtype,
    });
    this.#name = name;
    this.padding = perDim(action, padding, d, "padding");
    this.outputPadding = perDim(action, outputPadding, d, "outputPadding");
  }

  /** What has to be added at the end of each dim for a size of the result. */
  #outputPaddingFor(x: Tensor, outputSize: readonly number[]): number[] {
    const d = this.kernelSize.length;
    if (!Array.isArray(outputSize) || !(x instanceof Tensor)) {
      throw new ArgumentError(
        `Cannot ${this.#name} ${show(x)} to ${show(outputSize)}: sizes come in an array`,
        { op: this.#name },
      );
    }
    const wanted = outputSize.slice(-d);
    const least = this.kernelSize.map((k, i) =>
      (x.shape[x.ndim - d + i] - 1) * this.stride[i] - 2 * this.padding[i] +
      this.dilation[i] * (k - 1) + 1
    );
    const fits = (outputSize.length === d || outputSize.length === x.ndim) &&
      wanted.every((n, i) => n >= least[i] && n < least[i] + this.stride[i]);
    if (!fits) {
      throw new ShapeError(
        `Cannot ${this.#name} ${shapeText(x.shape)} to ${show(outputSize)}: sizes go from ${
          shapeText(least)
        } on and are below that plus the stride`,
        { op: this.#name },
      );
    }
    return wanted.map((n, i) => n - least[i]);
  }

  /** The sizes of the result may be given where several would fit. */
  override forward(x: Tensor, outputSize?: readonly number[] | null): Tensor {
    const conv = [convTranspose1d, convTranspose2d, convTranspose3d][this.kernelSize.length - 1];
    return conv(x, this.weight, {
      bias: this.bias,
      stride: this.stride,
      padding: this.padding,
      outputPadding: outputSize ? this.#outputPaddingFor(x, outputSize) : this.outputPadding,
      groups: this.groups,
      dilation: this.dilation,
    });
  }

  override extraRepr(): string {
    return this.describe(
      `padding=${shapeText(this.padding)}, outputPadding=${shapeText(this.outputPadding)}`,
    );
  }
}

/**
 * Transposed convolution of one dim with learned windows: every input spreads over a window of the output.
 *
 * Shapes: x (N, in, L) or (in, L) → (N, out, L′), L′ as in `nn.functional.convTranspose1d`; weight
 * (in, out / groups, kernelSize), bias (out). Both begin uniform in ±1/√(out / groups · kernelSize).
 * Errors: ShapeError when x has other channels.
 */
export class ConvTranspose1d extends ConvTransposeNd {
  readonly #convTranspose1d = true;

  /** From so many to so many channels, with windows of a size. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDim,
    stride?: PerDim | ConvTransposeNdOptions,
    padding?: PerDim | ConvTransposeNdOptions,
    options?: ConvTransposeNdOptions,
  ) {
    super(TRANSPOSE1D, 1, [inChannels, outChannels, kernelSize, stride, padding, options]);
  }
}

/** `ConvTranspose1d` of two dims: x (N, in, H, W) or (in, H, W). */
export class ConvTranspose2d extends ConvTransposeNd {
  readonly #convTranspose2d = true;

  /** From so many to so many channels, with windows of a size. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDim,
    stride?: PerDim | ConvTransposeNdOptions,
    padding?: PerDim | ConvTransposeNdOptions,
    options?: ConvTransposeNdOptions,
  ) {
    super(TRANSPOSE2D, 2, [inChannels, outChannels, kernelSize, stride, padding, options]);
  }
}

/** `ConvTranspose1d` of three dims: x (N, in, D, H, W) or (in, D, H, W). */
export class ConvTranspose3d extends ConvTransposeNd {
  readonly #convTranspose3d = true;

  /** From so many to so many channels, with windows of a size. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDim,
    stride?: PerDim | ConvTransposeNdOptions,
    padding?: PerDim | ConvTransposeNdOptions,
    options?: ConvTransposeNdOptions,
  ) {
    super(TRANSPOSE3D, 3, [inChannels, outChannels, kernelSize, stride, padding, options]);
  }
}

const TRANSPOSE = (name: string) =>
  `${name}(inChannels, outChannels, kernelSize, stride=1, padding=0, outputPadding=0, groups=1, bias=true, ` +
  `dilation=1, paddingMode='zeros', device=null, dtype=null)`;
const TRANSPOSE1D = declare(ConvTranspose1d, TRANSPOSE("ConvTranspose1d"));
const TRANSPOSE2D = declare(ConvTranspose2d, TRANSPOSE("ConvTranspose2d"));
const TRANSPOSE3D = declare(ConvTranspose3d, TRANSPOSE("ConvTranspose3d"));
