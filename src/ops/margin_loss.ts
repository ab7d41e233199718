/**
 * Losses and distances in plain ops: margins, similarities, and likelihoods of counts and of normal values.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { Float } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { eq, gt, ne, where } from "./logic.ts";
import { checkReduction, type LossOptions, type LossReduction, reduceLoss } from "./loss.ts";
import { checkTensor, zerosOf } from "./map.ts";
import { exp, log, log1p, neg, sqrt } from "./math.ts";
import { norm } from "./moments.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { clampMin, minimum } from "./bounds.ts";
import { amin, sum } from "./reduction.ts";
import { expand, unsqueeze } from "./view.ts";

/** What losses with a margin take by name. */
export interface MarginOptions extends LossOptions {
  /** How far apart two values must be to cost nothing. */
  margin?: number;
}

/** A loss of two inputs and a target of 1 and -1. */
export type PairLoss = (
  input1: Tensor,
  input2: Tensor,
  target: Tensor,
  margin?: number | MarginOptions,
  options?: MarginOptions,
) => Tensor;

/** A loss of an input and a target of 1 and -1. */
export type SignLoss = (
  input: Tensor,
  target: Tensor,
  margin?: number | MarginOptions,
  options?: MarginOptions,
) => Tensor;

/** `max(0, -t (x1 - x2) + margin)`, with t 1 where x1 should be greater and -1 where x2. Shapes: broadcast. */
export const marginRankingLoss: PairLoss = op(
  "marginRankingLoss(input1, input2, target, margin=0, reduction='mean')",
  (a: Tensor, b: Tensor, t: Tensor, margin: number, reduction: LossReduction) => {
    for (const [x, what] of [[a, "input1"], [b, "input2"], [t, "target"]] as const) {
      checkTensor("marginRankingLoss", x, what);
    }
    checkReduction("marginRankingLoss", reduction);
    if (a.ndim !== b.ndim || a.ndim !== t.ndim) {
      throw new ShapeError(
        `Cannot marginRankingLoss ${shapeText(a.shape)}, ${shapeText(b.shape)} and target ${
          shapeText(t.shape)
        }: they must have as many dims`,
        { op: "marginRankingLoss" },
      );
    }
    return reduceLoss(clampMin(add(mul(neg(t), sub(a, b)), new Float(margin)), 0), reduction);
  },
);

/** `x` where t is 1, `max(0, margin - x)` where it is -1. Shapes: alike. */
export const hingeEmbeddingLoss: SignLoss = op(
  "hingeEmbeddingLoss(input, target, margin=1, reduction='mean')",
  (x: Tensor, t: Tensor, margin: number, reduction: LossReduction) => {
    checkTensor("hingeEmbeddingLoss", t, "target");
    checkReduction("hingeEmbeddingLoss", reduction);
    const far = where(ne(t, 1), clampMin(add(neg(x), margin), 0), 0);
    return reduceLoss(add(far, where(ne(t, -1), x, 0)), reduction);
  },
);

/** `log(1 + exp(-t x))` with t 1 or -1. Shapes: broadcast. */
export const softMarginLoss: (input: Tensor, target: Tensor, options?: LossOptions) => Tensor = op(
  "softMarginLoss(input, target, reduction='mean')",
  (x: Tensor, t: Tensor, reduction: LossReduction) => {
    checkTensor("softMarginLoss", t, "target");
    checkReduction("softMarginLoss", reduction);
    return reduceLoss(log1p(exp(mul(neg(t), x))), reduction);
  },
);

/** `1 - cos(x1, x2)` where t is 1, `max(0, cos - margin)` where it is -1. Shapes: x1, x2 (N, D) or (D), t (N) or (). */
export const cosineEmbeddingLoss: PairLoss = op(
  "cosineEmbeddingLoss(input1, input2, target, margin=0, reduction='mean')",
  (a: Tensor, b: Tensor, t: Tensor, margin: number, reduction: LossReduction) => {
    for (const [x, what] of [[a, "input1"], [b, "input2"], [t, "target"]] as const) {
      checkTensor("cosineEmbeddingLoss", x, what);
    }
    checkReduction("cosineEmbeddingLoss", reduction);
    if (a.ndim === 0 || a.ndim > 2 || b.ndim !== a.ndim || t.ndim !== a.ndim - 1) {
      throw new ShapeError(
        `Cannot cosineEmbeddingLoss ${shapeText(a.shape)}, ${shapeText(b.shape)} and target ${
          shapeText(t.shape)
        }: they must be [N, D], [N, D] and [N], or [D], [D] and []`,
        { op: "cosineEmbeddingLoss" },
      );
    }
    const square = (x: Tensor) => add(sum(mul(x, x), -1), 1e-12);
    const cos = div(sum(mul(a, b), -1), sqrt(mul(square(a), square(b))));
    const near = where(eq(t, 1), add(neg(cos), 1), 0);
    return reduceLoss(add(near, where(eq(t, -1), clampMin(sub(cos, margin), 0), 0)), reduction);
  },
);

/** What `pairwiseDistance` takes by name. */
export interface DistanceOptions {
  /** Exponent of the norm; default 2. */
  p?: number;
  /** Added to each difference; default 1e-6. */
  eps?: number;
  /** Keep the last dim with size 1. */
  keepdim?: boolean;
}

/** `‖x1 - x2 + eps‖ₚ` over the last dim. Shapes: broadcast. */
export const pairwiseDistance: (
  x1: Tensor,
  x2: Tensor,
  p?: number | DistanceOptions,
  eps?: number | DistanceOptions,
  options?: DistanceOptions,
) => Tensor = op(
  "pairwiseDistance(x1, x2, p=2, eps=1e-6, keepdim=false)",
  (a: Tensor, b: Tensor, p: number, eps: number, keepdim: boolean) => {
    checkTensor("pairwiseDistance", a, "x1");
    checkTensor("pairwiseDistance", b, "x2");
    return norm(add(sub(a, b), new Float(eps)), p, -1, { keepdim });
  },
);

/** What `cosineSimilarity` takes by name. */
export interface SimilarityOptions {
  /** The dim that vectors lie along; default 1. */
  dim?: number;
  /** The least length that is divided by; default 1e-8. */
  eps?: number;
}

/** `x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps))` over a dim. Shapes: broadcast. */
export const cosineSimilarity: (
  x1: Tensor,
  x2: Tensor,
  dim?: number | SimilarityOptions,
  eps?: number | SimilarityOptions,
  options?: SimilarityOptions,
) => Tensor = op(
  "cosineSimilarity(x1, x2, dim=1, eps=1e-8)",
  (a: Tensor, b: Tensor, dim: number, eps: number) => {
    checkTensor("cosineSimilarity", a, "x1");
    checkTensor("cosineSimilarity", b, "x2");
    const wide = broadcastShapes(a.shape, b.shape, "cosineSimilarity");
    const unit = (x: Tensor) => {
      const full = expand(x, wide);
      return div(full, clampMin(norm(full, 2, dim, { keepdim: true }), eps));
    };
    return sum(mul(unit(a), unit(b)), dim);
  },
);

/** What `tripletMarginLoss` takes by name. */
export interface TripletOptions extends MarginOptions {
  /** Exponent of the distance; default 2. */
  p?: number;
  /** Added to each difference; default 1e-6. */
  eps?: number;
  /** Take the distance of positive and negative where that is the smaller one. */
  swap?: boolean;
}

/** `max(0, d(anchor, positive) - d(anchor, negative) + margin)` with `pairwiseDistance`. Shapes: (N, D) or (D). */
export const tripletMarginLoss: (
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  margin?: number | TripletOptions,
  p?: number | TripletOptions,
  options?: TripletOptions,
) => Tensor = op(
  "tripletMarginLoss(anchor, positive, negative, margin=1, p=2, eps=1e-6, swap=false, reduction='mean')",
  (
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: number,
    p: number,
    eps: number,
    swap: boolean,
    reduction: LossReduction,
  ) => {
    checkReduction("tripletMarginLoss", reduction);
    checkMargin("tripletMarginLoss", margin);
    checkTriplet("tripletMarginLoss", [anchor, positive, negative]);
    const near = pairwiseDistance(anchor, positive, p, eps);
    let far = pairwiseDistance(anchor, negative, p, eps);
    if (swap) far = minimum(far, pairwiseDistance(positive, negative, p, eps));
    return reduceLoss(clampMin(add(sub(near, far), margin), 0), reduction);
  },
);

function checkTriplet(name: string, triplet: readonly Tensor[]): void {
  for (const [i, x] of triplet.entries()) checkTensor(name, x, TRIPLET[i]);
  if (triplet.some((x) => x.ndim !== triplet[0].ndim)) {
    throw new ShapeError(
      `Cannot ${name} ${
        triplet.map((x) => shapeText(x.shape)).join(", ")
      }: they must have as many dims`,
      { op: name },
    );
  }
  triplet.reduce(
    (shape: readonly number[], x) => broadcastShapes(shape, x.shape, name),
    triplet[0].shape,
  );
}

const TRIPLET = ["anchor", "positive", "negative"] as const;

function checkMargin(name: string, margin: unknown): void {
  if (typeof margin === "number" && margin > 0) return;
  throw new ArgumentError(`Cannot ${name} with margin ${show(margin)}: it must be above 0`, {
    op: name,
  });
}

/** What `tripletMarginWithDistanceLoss` takes by name. */
export interface TripletDistanceOptions extends MarginOptions {
  /** The distance of two batches; default `pairwiseDistance`. */
  distanceFunction?: ((a: Tensor, b: Tensor) => Tensor) | null;
  /** Take the distance of positive and negative where that is the smaller one. */
  swap?: boolean;
}

/** `tripletMarginLoss` with a distance of one's own. Shapes: as the distance takes them. */
export const tripletMarginWithDistanceLoss: (
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options?: TripletDistanceOptions,
) => Tensor = op(
  "tripletMarginWithDistanceLoss(anchor, positive, negative, distanceFunction=null, margin=1, swap=false, reduction='mean')",
  (
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    given: ((a: Tensor, b: Tensor) => Tensor) | null,
    margin: number,
    swap: boolean,
    reduction: LossReduction,
  ) => {
    const name = "tripletMarginWithDistanceLoss";
    checkReduction(name, reduction);
    checkMargin(name, margin);
    checkTriplet(name, [anchor, positive, negative]);
    if (given !== null && typeof given !== "function") {
      throw new ArgumentError(
        `Cannot ${name} with distanceFunction ${show(given)}: it must be a function`,
        { op: name },
      );
    }
    const distance = given ?? ((a: Tensor, b: Tensor) => pairwiseDistance(a, b));
    const near = distance(anchor, positive);
    let far = distance(anchor, negative);
    if (swap) far = minimum(far, distance(positive, negative));
    return reduceLoss(clampMin(add(sub(near, far), margin), 0), reduction);
  },
);

/** What `poissonNllLoss` takes by name. */
export interface PoissonOptions extends LossOptions {
  /** Whether the input is the logarithm of the rate; default true. */
  logInput?: boolean;
  /** Add Stirling's approximation of `log t!` for t > 1. */
  full?: boolean;
  /** Added to the rate before its logarithm; default 1e-8. */
  eps?: number;
}

/** `exp(x) - t x`, or `x - t log(x + eps)` for rates themselves. Shapes: broadcast. */
export const poissonNllLoss: (input: Tensor, target: Tensor, options?: PoissonOptions) => Tensor =
  op(
    "poissonNllLoss(input, target, logInput=true, full=false, eps=1e-8, reduction='mean')",
    (
      x: Tensor,
      t: Tensor,
      logInput: boolean,
      full: boolean,
      eps: number,
      reduction: LossReduction,
    ) => {
      checkTensor("poissonNllLoss", t, "target");
      checkReduction("poissonNllLoss", reduction);
      let losses = logInput ? sub(exp(x), mul(t, x)) : sub(x, mul(t, log(add(x, eps))));
      if (full) {
        const large = gt(t, 1);
        const safe = where(large, t, add(zerosOf(t), 1));
        const stirling = add(
          sub(mul(safe, log(safe)), safe),
          mul(log(mul(safe, 2 * Math.PI)), 0.5),
        );
        losses = add(losses, where(large, stirling, 0));
      }
      return reduceLoss(losses, reduction);
    },
  );

/** What `gaussianNllLoss` takes by name. */
export interface GaussianOptions extends LossOptions {
  /** Add the constant `½ log 2π`. */
  full?: boolean;
  /** The least variance; default 1e-6. */
  eps?: number;
}

/**
 * `½ (log v + (x - t)² / v)` with the variance v, at least eps. Shapes: v as input, or without its last dim, or with
 * size 1 there. Errors: ArgumentError for a negative variance.
 */
export const gaussianNllLoss: (
  input: Tensor,
  target: Tensor,
  variance: Tensor,
  options?: GaussianOptions,
) => Tensor = op(
  "gaussianNllLoss(input, target, var, full=false, eps=1e-6, reduction='mean')",
  (x: Tensor, t: Tensor, given: Tensor, full: boolean, eps: number, reduction: LossReduction) => {
    const name = "gaussianNllLoss";
    checkTensor(name, t, "target");
    checkTensor(name, given, "var");
    checkReduction(name, reduction);
    let v = given;
    if (!sameShape(v.shape, x.shape)) {
      if (sameShape(v.shape, x.shape.slice(0, -1))) v = unsqueeze(v, -1);
      else if (v.ndim !== x.ndim || v.shape.some((n, d) => n !== x.shape[d] && n !== 1)) {
        throw new ShapeError(
          `Cannot ${name} input ${shapeText(x.shape)} with var ${
            shapeText(v.shape)
          }: it does not fit`,
          {
            op: name,
          },
        );
      }
    }
    if (v.numel > 0 && inMode(false, () => amin(v)).item() < 0) {
      throw new ArgumentError(`Cannot ${name} with var ${show(given)}: it has a negative element`, {
        op: name,
      });
    }
    // The bound is no part of the graph: gradients flow to the variance as it is.
    const bounded = add(v, inMode(false, () => sub(clampMin(v, eps), v)));
    const d = sub(x, t);
    let losses = mul(add(log(bounded), div(mul(d, d), bounded)), 0.5);
    if (full) losses = add(losses, 0.5 * Math.log(2 * Math.PI));
    return reduceLoss(losses, reduction);
  },
);
