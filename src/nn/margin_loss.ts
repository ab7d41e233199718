/**
 * Losses with margins, and distances, as modules. What each computes is said at its function in `nn.functional`.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import {
  cosineEmbeddingLoss,
  cosineSimilarity,
  hingeEmbeddingLoss,
  marginRankingLoss,
  multilabelMarginLoss,
  multilabelSoftMarginLoss,
  multiMarginLoss,
  pairwiseDistance,
  softMarginLoss,
  tripletMarginLoss,
  tripletMarginWithDistanceLoss,
} from "./functional.ts";
import {
  checkReduction,
  type LossOptions,
  type Reduction,
  weightBuffer,
  type WeightedLossOptions,
} from "./loss.ts";
import { Module } from "./module.ts";
import { checkNumber } from "./options.ts";
import type { Buffer } from "./parameter.ts";

/** Options of losses with a margin. */
export interface MarginLossOptions extends LossOptions {
  /** How far apart two values must be to cost nothing. */
  margin?: number;
}

/** What losses with a margin share. */
abstract class MarginLoss extends Module {
  /** How far apart two values must be to cost nothing. */
  readonly margin: number;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  protected constructor(signature: Signature, args: readonly unknown[]) {
    super();
    const [margin, reduction] = bind(signature, args);
    checkNumber(margin, signature.name, "margin");
    this.margin = margin as number;
    this.reduction = checkReduction(reduction, signature.name);
  }
}

/** `max(0, -t · (x1 - x2) + margin)` with t 1 or -1. Shapes: alike. */
export class MarginRankingLoss extends MarginLoss {
  readonly #marginRankingLoss = true;

  /** PyTorch's defaults unless given. */
  constructor(margin?: number | MarginLossOptions, options?: MarginLossOptions) {
    super(MARGIN_RANKING_LOSS_SIGNATURE, [margin, options]);
  }

  override forward(input1: Tensor, input2: Tensor, target: Tensor): Tensor {
    return marginRankingLoss(input1, input2, target, {
      margin: this.margin,
      reduction: this.reduction,
    });
  }
}

const MARGIN_RANKING_LOSS_SIGNATURE = declare(
  MarginRankingLoss,
  "MarginRankingLoss(margin=0, reduction='mean')",
);

/** `x` where t is 1, `max(0, margin - x)` where it is -1. Shapes: alike. */
export class HingeEmbeddingLoss extends MarginLoss {
  readonly #hingeEmbeddingLoss = true;

  /** PyTorch's defaults unless given. */
  constructor(margin?: number | MarginLossOptions, options?: MarginLossOptions) {
    super(HINGE_EMBEDDING_LOSS_SIGNATURE, [margin, options]);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return hingeEmbeddingLoss(input, target, { margin: this.margin, reduction: this.reduction });
  }
}

const HINGE_EMBEDDING_LOSS_SIGNATURE = declare(
  HingeEmbeddingLoss,
  "HingeEmbeddingLoss(margin=1, reduction='mean')",
);

/** `1 - cos(x1, x2)` where t is 1, `max(0, cos - margin)` where it is -1. Shapes: (N, D), (N, D), (N) or (D), (D), (). */
export class CosineEmbeddingLoss extends MarginLoss {
  readonly #cosineEmbeddingLoss = true;

  /** PyTorch's defaults unless given. */
  constructor(margin?: number | MarginLossOptions, options?: MarginLossOptions) {
    super(COSINE_EMBEDDING_LOSS_SIGNATURE, [margin, options]);
  }

  override forward(input1: Tensor, input2: Tensor, target: Tensor): Tensor {
    return cosineEmbeddingLoss(input1, input2, target, {
      margin: this.margin,
      reduction: this.reduction,
    });
  }
}

const COSINE_EMBEDDING_LOSS_SIGNATURE = declare(
  CosineEmbeddingLoss,
  "CosineEmbeddingLoss(margin=0, reduction='mean')",
);

/** `log(1 + exp(-t · x))` with t 1 or -1. Shapes: alike. */
export class SoftMarginLoss extends Module {
  readonly #softMarginLoss = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** PyTorch's defaults unless given. */
  constructor(options?: LossOptions) {
    super();
    const [reduction] = bind(SOFT_MARGIN_LOSS_SIGNATURE, [options]);
    this.reduction = checkReduction(reduction, "SoftMarginLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return softMarginLoss(input, target, { reduction: this.reduction });
  }
}

const SOFT_MARGIN_LOSS_SIGNATURE = declare(SoftMarginLoss, "SoftMarginLoss(reduction='mean')");

/** Options of `MultiMarginLoss`. */
export interface MultiMarginLossOptions extends WeightedLossOptions, MarginLossOptions {
  /** The power, 1 (default) or 2. */
  p?: 1 | 2;
}

/** `Σⱼ max(0, margin - x[t] + x[j])ᵖ · weight[t] / C` over all classes but t. Shapes: (N, C), (N) or (C), (). */
export class MultiMarginLoss extends Module {
  readonly #multiMarginLoss = true;
  /** The power. */
  readonly p: 1 | 2;
  /** How far the target must be above the others. */
  readonly margin: number;
  /** (C) factors, or null. */
  weight: Buffer | null;
  /** What becomes of the samples' losses. */
  readonly reduction: Reduction;

  /** Power 1 and margin 1 unless given. */
  constructor(
    p?: 1 | 2 | MultiMarginLossOptions,
    margin?: number | MultiMarginLossOptions,
    options?: MultiMarginLossOptions,
  ) {
    super();
    const [power, gap, weight, reduction] = bind(MULTI_MARGIN, [p, margin, options]);
    if (power !== 1 && power !== 2) {
      throw new ArgumentError(`Cannot make MultiMarginLoss: p must be 1 or 2, got ${show(power)}`, {
        op: "MultiMarginLoss",
      });
    }
    checkNumber(gap, "MultiMarginLoss", "margin");
    this.p = power;
    this.margin = gap as number;
    this.weight = weightBuffer(weight, "MultiMarginLoss");
    this.reduction = checkReduction(reduction, "MultiMarginLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    const { p, margin, weight, reduction } = this;
    return multiMarginLoss(input, target, { p, margin, weight, reduction });
  }
}

const MULTI_MARGIN = declare(
  MultiMarginLoss,
  "MultiMarginLoss(p=1, margin=1, weight=null, reduction='mean')",
);

/** `Σ max(0, 1 - (x[t] - x[i])) / C` over a row's target classes t, up to the first -1, and all others i. Shapes: (N, C) or (C), alike. */
export class MultiLabelMarginLoss extends Module {
  readonly #multiLabelMarginLoss = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** PyTorch's defaults unless given. */
  constructor(options?: LossOptions) {
    super();
    const [reduction] = bind(MULTI_LABEL_MARGIN_LOSS_SIGNATURE, [options]);
    this.reduction = checkReduction(reduction, "MultiLabelMarginLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return multilabelMarginLoss(input, target, { reduction: this.reduction });
  }
}

const MULTI_LABEL_MARGIN_LOSS_SIGNATURE = declare(
  MultiLabelMarginLoss,
  "MultiLabelMarginLoss(reduction='mean')",
);

/** Binary cross entropy of raw scores, the mean over C classes. Shapes: (…, C), alike. */
export class MultiLabelSoftMarginLoss extends Module {
  readonly #multiLabelSoftMarginLoss = true;
  /** (C) factors, or null. */
  weight: Buffer | null;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** PyTorch's defaults unless given. */
  constructor(weight?: Tensor | null | WeightedLossOptions, options?: WeightedLossOptions) {
    super();
    const [given, reduction] = bind(MULTI_LABEL_SOFT_MARGIN_LOSS_SIGNATURE, [weight, options]);
    this.weight = weightBuffer(given, "MultiLabelSoftMarginLoss");
    this.reduction = checkReduction(reduction, "MultiLabelSoftMarginLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return multilabelSoftMarginLoss(input, target, {
      weight: this.weight,
      reduction: this.reduction,
    });
  }
}

const MULTI_LABEL_SOFT_MARGIN_LOSS_SIGNATURE = declare(
  MultiLabelSoftMarginLoss,
  "MultiLabelSoftMarginLoss(weight=null, reduction='mean')",
);

/** Options of `TripletMarginLoss`. */
export interface TripletMarginLossOptions extends MarginLossOptions {
  /** Exponent of the distance; default 2. */
  p?: number;
  /** Added to each difference; default 1e-6. */
  eps?: number;
  /** Take the distance of positive and negative where that is the smaller one; default false. */
  swap?: boolean;
}

/** `max(0, d(anchor, positive) - d(anchor, negative) + margin)`. Shapes: (N, D) or (D). Source: Balntas et al. 2016. */
export class TripletMarginLoss extends Module {
  readonly #tripletMarginLoss = true;
  /** How much farther the negative must be. */
  readonly margin: number;
  /** Exponent of the distance. */
  readonly p: number;
  /** What is added to each difference. */
  readonly eps: number;
  /** Whether the distance of positive and negative counts where it is the smaller one. */
  readonly swap: boolean;
  /** What becomes of the samples' losses. */
  readonly reduction: Reduction;

  /** Margin 1 and exponent 2 unless given. */
  constructor(
    margin?: number | TripletMarginLossOptions,
    p?: number | TripletMarginLossOptions,
    options?: TripletMarginLossOptions,
  ) {
    super();
    const [gap, power, eps, swap, reduction] = bind(TRIPLET, [margin, p, options]);
    this.margin = positiveMargin(gap, "TripletMarginLoss");
    this.p = power as number;
    this.eps = eps as number;
    this.swap = swap as boolean;
    this.reduction = checkReduction(reduction, "TripletMarginLoss");
  }

  override forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    const { margin, p, eps, swap, reduction } = this;
    return tripletMarginLoss(anchor, positive, negative, { margin, p, eps, swap, reduction });
  }
}

const TRIPLET = declare(
  TripletMarginLoss,
  "TripletMarginLoss(margin=1, p=2, eps=1e-6, swap=false, reduction='mean')",
);

function positiveMargin(margin: unknown, name: string): number {
  if (typeof margin === "number" && margin > 0) return margin;
  throw new ArgumentError(`Cannot make ${name}: margin must be above 0, got ${show(margin)}`, {
    op: name,
  });
}

/** Options of `TripletMarginWithDistanceLoss`. */
export interface TripletMarginWithDistanceLossOptions extends MarginLossOptions {
  /** The distance of two batches; default `PairwiseDistance`. */
  distanceFunction?: ((a: Tensor, b: Tensor) => Tensor) | null;
  /** Take the distance of positive and negative where that is the smaller one; default false. */
  swap?: boolean;
}

/** `TripletMarginLoss` with a distance of one's own. Shapes: as the distance takes them. */
export class TripletMarginWithDistanceLoss extends Module {
  readonly #tripletMarginWithDistanceLoss = true;
  /** The distance of two batches, or null for `PairwiseDistance`. */
  readonly distanceFunction: ((a: Tensor, b: Tensor) => Tensor) | null;
  /** How much farther the negative must be. */
  readonly margin: number;
  /** Whether the distance of positive and negative counts where it is the smaller one. */
  readonly swap: boolean;
  /** What becomes of the samples' losses. */
  readonly reduction: Reduction;

  /** Margin 1 unless given. */
  constructor(options?: TripletMarginWithDistanceLossOptions) {
    super();
    const [distance, margin, swap, reduction] = bind(TRIPLET_DISTANCE, [options]);
    this.distanceFunction = distance as ((a: Tensor, b: Tensor) => Tensor) | null;
    this.margin = positiveMargin(margin, "TripletMarginWithDistanceLoss");
    this.swap = swap as boolean;
    this.reduction = checkReduction(reduction, "TripletMarginWithDistanceLoss");
  }

  override forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    const { distanceFunction, margin, swap, reduction } = this;
    return tripletMarginWithDistanceLoss(anchor, positive, negative, {
      distanceFunction,
      margin,
      swap,
      reduction,
    });
  }
}

const TRIPLET_DISTANCE = declare(
  TripletMarginWithDistanceLoss,
  "TripletMarginWithDistanceLoss(distanceFunction=null, margin=1, swap=false, reduction='mean')",
);

/** Options of `CosineSimilarity`. */
export interface CosineSimilarityOptions {
  /** The dim that vectors lie along; default 1. */
  dim?: number;
  /** The least length that is divided by; default 1e-8. */
  eps?: number;
}

/** `x1 · x2 / (‖x1‖ ‖x2‖)` over a dim. Shapes: broadcast. */
export class CosineSimilarity extends Module {
  readonly #cosineSimilarity = true;
  /** The dim that vectors lie along. */
  readonly dim: number;
  /** The least length that is divided by. */
  readonly eps: number;

  /** Along dim 1 unless given. */
  constructor(
    dim?: number | CosineSimilarityOptions,
    eps?: number | CosineSimilarityOptions,
    options?: CosineSimilarityOptions,
  ) {
    super();
    [this.dim, this.eps] = bind(COSINE, [dim, eps, options]) as [number, number];
  }

  override forward(x1: Tensor, x2: Tensor): Tensor {
    return cosineSimilarity(x1, x2, this.dim, this.eps);
  }
}

const COSINE = declare(CosineSimilarity, "CosineSimilarity(dim=1, eps=1e-8)");

/** Options of `PairwiseDistance`. */
export interface PairwiseDistanceOptions {
  /** Exponent of the norm; default 2. */
  p?: number;
  /** Added to each difference; default 1e-6. */
  eps?: number;
  /** Keep the last dim with size 1; default false. */
  keepdim?: boolean;
}

/** `‖x1 - x2 + eps‖ₚ` over the last dim. Shapes: broadcast. */
export class PairwiseDistance extends Module {
  readonly #pairwiseDistance = true;
  /** Exponent of the norm. */
  readonly norm: number;
  /** What is added to each difference. */
  readonly eps: number;
  /** Whether the last dim stays with size 1. */
  readonly keepdim: boolean;

  /** The Euclidean distance unless given. */
  constructor(
    p?: number | PairwiseDistanceOptions,
    eps?: number | PairwiseDistanceOptions,
    options?: PairwiseDistanceOptions,
  ) {
    super();
    [this.norm, this.eps, this.keepdim] = bind(DISTANCE, [p, eps, options]) as [
      number,
      number,
      boolean,
    ];
  }

  override forward(x1: Tensor, x2: Tensor): Tensor {
    return pairwiseDistance(x1, x2, this.norm, this.eps, { keepdim: this.keepdim });
  }
}

const DISTANCE = declare(PairwiseDistance, "PairwiseDistance(p=2, eps=1e-6, keepdim=false)");
