/**
 * Layers whose weights are quantised once and whose inputs are quantised as they come.
 *
 * @module
 */
import { bind, declare } from "../../op.ts";
import { zeros } from "../../ops/creation.ts";
import { linearDynamic, quantizeRows } from "../../ops/quantized.ts";
import type { Tensor } from "../../tensor.ts";
import type { Linear as FloatLinear } from "../linear.ts";
import { Module } from "../module.ts";
import { checkCount } from "../options.ts";
import { Buffer } from "../parameter.ts";
import { packedOf } from "./packing.ts";

/** Options of `Linear`. */
export interface LinearOptions {
  /** Whether a vector is added; default true. */
  bias?: boolean;
}

/**
 * `y = x Wᵀ + b` with W in int8, one scale for each output, as PyTorch's `torch.ao.nn.quantized.dynamic.Linear`.
 *
 * Shapes: x (…, inFeatures) → y (…, outFeatures), both float32. Each row of x is quantised by its own range, so that its
 * result is the same whatever else is in the batch; PyTorch takes one range for the whole batch, and seven bits where
 * this has eight. Sums are exact in int32.
 * State: weight (outFeatures, inFeatures) int8 and scale (outFeatures) with `W = weight · scale`, bias (outFeatures).
 * No gradients: the result never requires one, and nothing here is a parameter.
 * Errors: DTypeError for an x that is not float32, ShapeError when its last dim is not inFeatures.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const layer = nn.quantized.dynamic.Linear.fromFloat(new nn.Linear(64, 8));
 * console.log(layer.weight.dtype, layer.forward(randn([5, 64])).shape); // int8 [ 5, 8 ]
 * ```
 */
export class Linear extends Module {
  readonly #quantizedLinear = true;
  /** Size of the last dim of the input. */
  readonly inFeatures: number;
  /** Size of the last dim of the output. */
  readonly outFeatures: number;
  /** (outFeatures, inFeatures), int8. */
  weight: Buffer;
  /** (outFeatures): what one step of an output's weights is worth. */
  scale: Buffer;
  /** (outFeatures), or null. */
  bias: Buffer | null;

  /** A layer whose weights are all zero, to be loaded; `fromFloat` makes one of a float layer. */
  constructor(inFeatures: number, outFeatures: number, options?: LinearOptions) {
    super();
    const [fanIn, fanOut, bias] = bind(LINEAR, [inFeatures, outFeatures, options]) as [
      number,
      number,
      boolean,
    ];
    checkCount(fanIn, "Linear", "inFeatures");
    checkCount(fanOut, "Linear", "outFeatures");
    this.inFeatures = fanIn;
    this.outFeatures = fanOut;
    this.weight = new Buffer(zeros([fanOut, fanIn], { dtype: "int8" }));
    this.scale = new Buffer(zeros([fanOut], { dtype: "float32" }));
    this.bias = bias ? new Buffer(zeros([fanOut], { dtype: "float32" })) : null;
  }

  /** Quantises a float layer, which stays as it is. */
  static fromFloat(linear: FloatLinear): Linear {
    const { inFeatures, outFeatures, bias } = linear;
    const made = new Linear(inFeatures, outFeatures, { bias: bias !== null });
    const { values, scale } = quantizeRows(linear.weight);
    made.weight.copy_(values);
    made.scale.copy_(scale);
    if (bias !== null) made.bias!.copy_(bias.detach());
    made.training = linear.training;
    return made;
  }

  override forward(x: Tensor): Tensor {
    return linearDynamic(x, this.inFeatures, packedOf(this));
  }

  override extraRepr(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${
      this.bias !== null
    }, dtype=int8`;
  }
}

const LINEAR = declare(Linear, "Linear(inFeatures, outFeatures, bias=true)");
