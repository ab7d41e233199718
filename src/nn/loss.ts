/**
 * Losses as modules. What each computes is said at its function in `nn.functional`.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { Tensor } from "../tensor.ts";
import {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  crossEntropy,
  huberLoss,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
} from "./functional.ts";
import { Module } from "./module.ts";
import { checkNumber } from "./options.ts";
import { Buffer } from "./parameter.ts";

/** What becomes of the losses of the elements: their mean, their sum, or each by itself. */
export type Reduction = "mean" | "sum" | "none";

/** Options of every loss. */
export interface LossOptions {
  /** Default `"mean"`. */
  reduction?: Reduction;
}

/** Options of losses with weights. */
export interface WeightedLossOptions extends LossOptions {
  /** A factor for each element, or for each class. */
  weight?: Tensor | null;
}

/** Fails unless a reduction is one of the three. */
export function checkReduction(reduction: unknown, name: string): Reduction {
  if (reduction === "mean" || reduction === "sum" || reduction === "none") return reduction;
  throw new ArgumentError(
    `Cannot make ${name}: reduction must be "mean", "sum" or "none", got ${show(reduction)}`,
    {
      op: name,
    },
  );
}

/** A weight as a buffer, which moves with the module. */
export function weightBuffer(weight: unknown, name: string, what = "weight"): Buffer | null {
  if (weight === null) return null;
  if (weight instanceof Tensor) return new Buffer(weight);
  throw new ArgumentError(`Cannot make ${name}: ${what} must be a tensor, got ${show(weight)}`, {
    op: name,
  });
}

/** Mean squared error, `(x - y)²`. Shapes: input and target alike. */
export class MSELoss extends Module {
  readonly #mse = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** The mean unless told otherwise. */
  constructor(options?: LossOptions) {
    super();
    const [reduction] = bind(MSE, [options]);
    this.reduction = checkReduction(reduction, "MSELoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return mseLoss(input, target, { reduction: this.reduction });
  }
}

const MSE = declare(MSELoss, "MSELoss(reduction='mean')");

/** Mean absolute error, `|x - y|`. Shapes: input and target alike. */
export class L1Loss extends Module {
  readonly #l1 = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** The mean unless told otherwise. */
  constructor(options?: LossOptions) {
    super();
    const [reduction] = bind(L1, [options]);
    this.reduction = checkReduction(reduction, "L1Loss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return l1Loss(input, target, { reduction: this.reduction });
  }
}

const L1 = declare(L1Loss, "L1Loss(reduction='mean')");

/** Options of `SmoothL1Loss`. */
export interface SmoothL1LossOptions extends LossOptions {
  /** Where the square ends and the line begins; default 1. */
  beta?: number;
}

/** `(x - y)² / 2 beta` where |x - y| is below `beta`, else `|x - y| - beta / 2`. Shapes: input and target alike. Source: Girshick 2015, arXiv 1504.08083. */
export class SmoothL1Loss extends Module {
  readonly #smoothL1Loss = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;
  /** Where the square ends and the line begins. */
  readonly beta: number;

  /** PyTorch's defaults unless given. */
  constructor(options?: SmoothL1LossOptions) {
    super();
    const [reduction, beta] = bind(SMOOTH_L1_LOSS_SIGNATURE, [options]);
    this.reduction = checkReduction(reduction, "SmoothL1Loss");
    checkNumber(beta, "SmoothL1Loss", "beta");
    this.beta = beta as number;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(input, target, { reduction: this.reduction, beta: this.beta });
  }
}

const SMOOTH_L1_LOSS_SIGNATURE = declare(SmoothL1Loss, "SmoothL1Loss(reduction='mean', beta=1)");

/** Options of `HuberLoss`. */
export interface HuberLossOptions extends LossOptions {
  /** Where the square ends and the line begins; default 1. */
  delta?: number;
}

/** `(x - y)² / 2` where |x - y| is up to `delta`, else `delta · (|x - y| - delta / 2)`. Shapes: input and target alike. Source: Huber 1964. */
export class HuberLoss extends Module {
  readonly #huberLoss = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;
  /** Where the square ends and the line begins. */
  readonly delta: number;

  /** PyTorch's defaults unless given. */
  constructor(options?: HuberLossOptions) {
    super();
    const [reduction, delta] = bind(HUBER_LOSS_SIGNATURE, [options]);
    this.reduction = checkReduction(reduction, "HuberLoss");
    checkNumber(delta, "HuberLoss", "delta");
    this.delta = delta as number;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return huberLoss(input, target, { reduction: this.reduction, delta: this.delta });
  }
}

const HUBER_LOSS_SIGNATURE = declare(HuberLoss, "HuberLoss(reduction='mean', delta=1)");

/**
 * Binary cross entropy of probabilities, `-(y · log x + (1 - y) · log(1 - x))`, logs not below -100. Shapes: input and
 * target alike. Of raw scores take `BCEWithLogitsLoss`, which is more exact.
 */
export class BCELoss extends Module {
  readonly #bce = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;
  /** A factor for each element, or null. */
  weight: Buffer | null;

  /** The mean unless told otherwise. */
  constructor(weight?: Tensor | null | WeightedLossOptions, options?: WeightedLossOptions) {
    super();
    const [given, reduction] = bind(BCE, [weight, options]);
    this.weight = weightBuffer(given, "BCELoss");
    this.reduction = checkReduction(reduction, "BCELoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(input, target, { weight: this.weight, reduction: this.reduction });
  }
}

const BCE = declare(BCELoss, "BCELoss(weight=null, reduction='mean')");

/** Options of `BCEWithLogitsLoss`. */
export interface BCEWithLogitsLossOptions extends WeightedLossOptions {
  /** A factor for the positive part of each class. */
  posWeight?: Tensor | null;
}

/** Binary cross entropy of raw scores: sigmoid and `BCELoss` in one, exact for large scores. Shapes: input and target alike. */
export class BCEWithLogitsLoss extends Module {
  readonly #bceWithLogits = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;
  /** A factor for each element, or null. */
  weight: Buffer | null;
  /** A factor for the positive part of each class, or null. */
  posWeight: Buffer | null;

  /** The mean unless told otherwise. */
  constructor(
    weight?: Tensor | null | BCEWithLogitsLossOptions,
    options?: BCEWithLogitsLossOptions,
  ) {
    super();
    const [given, reduction, positive] = bind(BCE_LOGITS, [weight, options]);
    this.weight = weightBuffer(given, "BCEWithLogitsLoss");
    this.posWeight = weightBuffer(positive, "BCEWithLogitsLoss", "posWeight");
    this.reduction = checkReduction(reduction, "BCEWithLogitsLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropyWithLogits(input, target, {
      weight: this.weight,
      reduction: this.reduction,
      posWeight: this.posWeight,
    });
  }
}

const BCE_LOGITS = declare(
  BCEWithLogitsLoss,
  "BCEWithLogitsLoss(weight=null, reduction='mean', posWeight=null)",
);

/** Options of losses over classes. */
export interface ClassLossOptions extends WeightedLossOptions {
  /** A target that adds no loss; default -100. */
  ignoreIndex?: number;
}

/** Options of `CrossEntropyLoss`. */
export interface CrossEntropyLossOptions extends ClassLossOptions {
  /** Share of each target that is spread over all classes; default 0. */
  labelSmoothing?: number;
}

/**
 * Cross entropy of raw scores over C classes: log-softmax and `NLLLoss` in one. Shapes: input (C), (N, C) or (N, C, …);
 * target int64 of class numbers without the C, or probabilities of the input's shape.
 */
export class CrossEntropyLoss extends Module {
  readonly #crossEntropy = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;
  /** A target that adds no loss. */
  readonly ignoreIndex: number;
  /** Share of each target that is spread over all classes. */
  readonly labelSmoothing: number;
  /** (C) factors, or null. */
  weight: Buffer | null;

  /** The mean unless told otherwise. */
  constructor(
    weight?: Tensor | null | CrossEntropyLossOptions,
    ignoreIndex?: number | CrossEntropyLossOptions,
    options?: CrossEntropyLossOptions,
  ) {
    super();
    const [given, ignore, reduction, smoothing] = bind(CROSS_ENTROPY, [
      weight,
      ignoreIndex,
      options,
    ]);
    this.weight = weightBuffer(given, "CrossEntropyLoss");
    this.ignoreIndex = ignore as number;
    this.reduction = checkReduction(reduction, "CrossEntropyLoss");
    if (!(typeof smoothing === "number" && smoothing >= 0 && smoothing <= 1)) {
      throw new ArgumentError(
        `Cannot make CrossEntropyLoss: labelSmoothing must be from 0 to 1, got ${show(smoothing)}`,
        { op: "CrossEntropyLoss" },
      );
    }
    this.labelSmoothing = smoothing;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return crossEntropy(input, target, {
      weight: this.weight,
      ignoreIndex: this.ignoreIndex,
      reduction: this.reduction,
      labelSmoothing: this.labelSmoothing,
    });
  }
}

const CROSS_ENTROPY = declare(
  CrossEntropyLoss,
  "CrossEntropyLoss(weight=null, ignoreIndex=-100, reduction='mean', labelSmoothing=0)",
);

/** Negative log likelihood over C classes, `-x[target]` of log-probabilities. Shapes: as `CrossEntropyLoss`. */
export class NLLLoss extends Module {
  readonly #nll = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;
  /** A target that adds no loss. */
  readonly ignoreIndex: number;
  /** (C) factors, or null. */
  weight: Buffer | null;

  /** The mean unless told otherwise. */
  constructor(
    weight?: Tensor | null | ClassLossOptions,
    ignoreIndex?: number | ClassLossOptions,
    options?: ClassLossOptions,
  ) {
    super();
    const [given, ignore, reduction] = bind(NLL, [weight, ignoreIndex, options]);
    this.weight = weightBuffer(given, "NLLLoss");
    this.ignoreIndex = ignore as number;
    this.reduction = checkReduction(reduction, "NLLLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return nllLoss(input, target, {
      weight: this.weight,
      ignoreIndex: this.ignoreIndex,
      reduction: this.reduction,
    });
  }
}

const NLL = declare(NLLLoss, "NLLLoss(weight=null, ignoreIndex=-100, reduction='mean')");
