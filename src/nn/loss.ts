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
  l1Loss,
  mseLoss,
  nllLoss,
} from "./functional.ts";
import { Module } from "./module.ts";
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

function checkReduction(reduction: unknown, name: string): Reduction {
  if (reduction === "mean" || reduction === "sum" || reduction === "none") return reduction;
  throw new ArgumentError(
    `Cannot make ${name}: reduction must be "mean", "sum" or "none", got ${show(reduction)}`,
    {
      op: name,
    },
  );
}

function weightBuffer(weight: unknown, name: string, what = "weight"): Buffer | null {
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
