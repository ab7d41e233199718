/**
 * A linear layer and cross entropy over its outputs in one module.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { reshape } from "../ops/view.ts";
import type { Tensor } from "../tensor.ts";
import { linearCrossEntropy } from "./functional.ts";
import { type Linear, NonDynamicallyQuantizableLinear } from "./linear.ts";
import {
  checkReduction,
  type CrossEntropyLossOptions,
  type Reduction,
  weightBuffer,
} from "./loss.ts";
import { Module } from "./module.ts";
import { checkCount, checkNumber, type FactoryOptions } from "./options.ts";
import type { Buffer } from "./parameter.ts";

/** Options of `LinearCrossEntropyLoss`. */
export interface LinearCrossEntropyLossOptions
  extends FactoryOptions, Omit<CrossEntropyLossOptions, "ignoreIndex"> {
  /** Further dims of each sample's scores; default none. */
  outFeatures?: readonly number[];
  /** Whether the layer has a bias; default false. */
  bias?: boolean;
  /** A target that adds no loss; default none. */
  ignoreIndex?: number | null;
}

/**
 * `CrossEntropyLoss` of a linear layer's scores. Shapes: input (inFeatures) or (N, inFeatures); target class numbers (),
 * (N) or (N, *outFeatures), or probabilities (C), (N, C) or (N, C, *outFeatures) with C = numClasses.
 * Errors: ShapeError when the sizes do not fit.
 */
export class LinearCrossEntropyLoss extends Module {
  readonly #linearCrossEntropyLoss = true;
  /** How many classes there are. */
  readonly numClasses: number;
  /** Further dims of each sample's scores. */
  readonly outFeatures: readonly number[];
  /** What becomes of the samples' losses. */
  readonly reduction: Reduction;
  /** A target that adds no loss, or null. */
  readonly ignoreIndex: number | null;
  /** Share of each target that is spread over all classes. */
  readonly labelSmoothing: number;
  /** (C) factors, or null. */
  weight: Buffer | null;
  /** The layer. */
  linear: Linear;

  /** A layer from features to classes, and its loss. */
  constructor(inFeatures: number, numClasses: number, options?: LinearCrossEntropyLossOptions) {
    super();
    const name = "LinearCrossEntropyLoss";
    const [fanIn, classes, dims, bias, device, dtype, reduction, weight, ignore, smoothing] = bind(
      SIGNATURE,
      [inFeatures, numClasses, options],
    );
    checkCount(classes, name, "numClasses");
    this.numClasses = classes as number;
    if (!Array.isArray(dims)) {
      throw new ArgumentError(
        `Cannot make ${name} with outFeatures ${show(dims)}: sizes come in an array`,
        { op: name },
      );
    }
    dims.forEach((n, i) => checkCount(n, name, `outFeatures[${i}]`));
    this.outFeatures = [...dims];
    this.weight = weightBuffer(weight, name);
    if (this.weight !== null && !(this.weight.ndim === 1 && this.weight.numel === classes)) {
      throw new ShapeError(
        `Cannot make ${name} with weight ${show(weight)}: it must have shape [${classes}]`,
        { op: name },
      );
    }
    this.reduction = checkReduction(reduction, name);
    this.ignoreIndex = ignore as number | null;
    checkNumber(smoothing, name, "labelSmoothing");
    this.labelSmoothing = smoothing as number;
    const outputs = this.outFeatures.reduce((n, d) => n * d, this.numClasses);
    this.linear = new NonDynamicallyQuantizableLinear(fanIn as number, outputs, {
      bias: bias as boolean,
      device: device as string | null,
      dtype: dtype as DType | null,
    });
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    const { linear, numClasses, outFeatures, weight, reduction, ignoreIndex, labelSmoothing } =
      this;
    const shape = [numClasses, ...outFeatures];
    const linearWeight = reshape(linear.weight, [...shape, linear.inFeatures]);
    return linearCrossEntropy(input, linearWeight, target, {
      linearBias: linear.bias && reshape(linear.bias, shape),
      weight,
      reduction,
      ignoreIndex,
      labelSmoothing,
    });
  }

  override extraRepr(): string {
    const { linear, numClasses, outFeatures, reduction } = this;
    return `inFeatures=${linear.inFeatures}, numClasses=${numClasses}, outFeatures=[${
      outFeatures.join(", ")
    }], bias=${linear.bias !== null}, reduction=${reduction}`;
  }
}

// PyTorch's `options` choose how it works in pieces, which gives the same values.
const SIGNATURE = declare(
  LinearCrossEntropyLoss,
  "LinearCrossEntropyLoss(inFeatures, numClasses, outFeatures=[], bias=false, device=null, dtype=null, reduction='mean', weight=null, ignoreIndex=null, labelSmoothing=0, options=null)",
);
