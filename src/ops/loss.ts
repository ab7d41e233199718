/**
 * Elementwise losses: each a kernel for the value and one for the gradient, and a mean or sum. Losses over classes are
 * in cross_entropy.ts.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wants } from "../autograd.ts";
import { DTYPES, Float, resultType } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { cast, checkTensor, gradFor, mapAll, needs, stretched, zerosOf } from "./map.ts";
import { abs, exp, log, log1p, neg, sign } from "./math.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { clampMin } from "./bounds.ts";
import { le, lt, where } from "./logic.ts";
import { sigmoid } from "./activation.ts";
import { mean, reduceInto, sum } from "./reduction.ts";

/** What becomes of the elements' losses: their mean, their sum, or each by itself. */
export type LossReduction = "mean" | "sum" | "none";

/** What every loss takes by name. */
export interface LossOptions {
  /** Default `"mean"`. */
  reduction?: LossReduction;
}

/** What weighted losses take by name. */
export interface WeightedLossOptions extends LossOptions {
  /** A factor for each element, broadcast. */
  weight?: Tensor | null;
}

/** A loss of an input and a target. */
export type Loss = (input: Tensor, target: Tensor, options?: LossOptions) => Tensor;

/** A loss of an input and a target with weights for elements. */
export type WeightedLoss = (
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | WeightedLossOptions,
  options?: WeightedLossOptions,
) => Tensor;

/** Fails unless a reduction is one of the three. */
export function checkReduction(name: string, reduction: unknown): void {
  if (reduction !== "mean" && reduction !== "sum" && reduction !== "none") {
    throw new ArgumentError(
      `Cannot ${name}: reduction must be "mean", "sum" or "none", got ${show(reduction)}`,
      {
        op: name,
      },
    );
  }
}

/** The mean or sum of losses, or the losses. */
export function reduceLoss(losses: Tensor, reduction: LossReduction): Tensor {
  return reduction === "mean" ? mean(losses) : reduction === "sum" ? sum(losses) : losses;
}

/** How an elementwise loss is computed, and its gradients. */
interface Form {
  readonly opcode: number;
  readonly gradOpcode: number;
  /** Whether the input's and target's gradients differ in their sign only. */
  readonly symmetric: boolean;
  /** Slope with respect to the input in plain ops. */
  readonly slope: (x: Tensor, t: Tensor, p: readonly number[]) => Tensor;
  /** Slope with respect to the target, where it is not the input's with the sign changed. */
  readonly targetSlope?: (x: Tensor, t: Tensor) => Tensor;
}

/** Input and target stretched to one shape and checked. */
function pair(name: string, x: Tensor, t: unknown, exactly: boolean): asserts t is Tensor {
  checkTensor(name, t, "target");
  if (exactly && !sameShape(x.shape, t.shape)) {
    throw new ShapeError(
      `Cannot ${name} input ${shapeText(x.shape)} and target ${
        shapeText(t.shape)
      }: the shapes must be the same`,
      { op: name, hint: t.numel === x.numel ? `target.reshape(${show(x.shape)})` : undefined },
    );
  }
}

/** Runs a loss and reduces it in one recorded step: the mean's factor goes into the gradient's kernel. */
function run(
  name: string,
  form: Form,
  x: Tensor,
  t: Tensor,
  reduction: LossReduction,
  p: readonly number[],
): Tensor {
  checkReduction(name, reduction);
  const dtype = x.info === t.info ? x.info.name : resultType([x, t]);
  const info = DTYPES[dtype];
  if (!info.isFloat) {
    throw new DTypeError(
      `Cannot ${name} ${show(x)} and ${show(t)}: one of them must be a float tensor`,
      { op: name },
    );
  }
  const losses = mapAll(name, form.opcode, [x, t], info, info, p);
  const out = reduction === "mean"
    ? reduceInto(name, OP.mean, losses, allDims(losses), false, info, info)
    : reduction === "sum"
    ? reduceInto(name, OP.sum, losses, allDims(losses), false, info, info)
    : losses;
  if (wants(x, t)) {
    const scale = reduction === "mean" ? 1 / losses.numel : 1;
    record(name, [x, t], [out], ([g]) => {
      if (g === null) return [null, null];
      if (isGradEnabled()) {
        const up = scale === 1 ? g : mul(g, new Float(scale));
        const slope = mul(up, form.slope(x, t, p));
        const target = form.targetSlope === undefined
          ? neg(slope)
          : mul(up, form.targetSlope(x, t));
        return [needs(x) ? gradFor(slope, x) : null, needs(t) ? gradFor(target, t) : null];
      }
      const gx = needs(x) || (needs(t) && form.symmetric)
        ? mapAll(
          `the backward of ${name}`,
          form.gradOpcode,
          [stretched(g, losses.shape), x, t],
          info,
          info,
          [scale, ...p],
        )
        : null;
      const gt = !needs(t)
        ? null
        : form.targetSlope === undefined
        ? neg(gx!)
        : mul(mul(g, new Float(scale)), form.targetSlope(x, t));
      return [needs(x) ? gradFor(gx!, x) : null, gt && gradFor(gt, t)];
    }, [x, t]);
  }
  return out;
}

function allDims(t: Tensor): number[] {
  return t.shape.map((_, d) => d);
}

const mse: Form = {
  opcode: OP.mse_loss,
  gradOpcode: OP.mse_loss_grad,
  symmetric: true,
  slope: (x, t) => mul(sub(x, t), 2),
};

/** A loss that reads numbers beside input and target. */
function weighted(
  name: string,
  form: Form,
  x: Tensor,
  t: Tensor,
  weight: Tensor | null,
  reduction: LossReduction,
  p: readonly number[],
): Tensor {
  broadcastShapes(x.shape, t.shape, name);
  if (weight === null) return run(name, form, x, t, reduction, p);
  checkTensor(name, weight, "weight");
  checkReduction(name, reduction);
  return reduceLoss(mul(run(name, form, x, t, "none", p), weight), reduction);
}

/** Mean squared error, `(x - t)²`. Shapes: input and target broadcast. Types: float. */
export const mseLoss: Loss = op(
  "mseLoss(input, target, reduction='mean', weight=null)",
  (x: Tensor, t: Tensor, reduction: LossReduction, weight: Tensor | null) => {
    pair("mseLoss", x, t, false);
    return weighted("mseLoss", mse, x, t, weight, reduction, []);
  },
);

const l1: Form = {
  opcode: OP.l1_loss,
  gradOpcode: OP.l1_loss_grad,
  symmetric: true,
  slope: (x, t) => sign(sub(x, t)),
};

/** Mean absolute error, `|x - t|`. Shapes: input and target broadcast. Types: float. */
export const l1Loss: Loss = op(
  "l1Loss(input, target, reduction='mean', weight=null)",
  (x: Tensor, t: Tensor, reduction: LossReduction, weight: Tensor | null) => {
    pair("l1Loss", x, t, false);
    return weighted("l1Loss", l1, x, t, weight, reduction, []);
  },
);

const smooth: Form = {
  opcode: OP.smooth_l1_loss,
  gradOpcode: OP.smooth_l1_loss_grad,
  symmetric: true,
  slope: (x, t, [beta]) => {
    const d = sub(x, t);
    return where(lt(abs(d), beta), div(d, beta), sign(d));
  },
};

/** What `smoothL1Loss` takes by name. */
export interface SmoothL1LossOptions extends LossOptions {
  /** Where the square ends and the straight line begins; default 1. */
  beta?: number;
}

/** `½ d² / beta` for `|d| < beta`, else `|d| - beta / 2`, with d = x - t. Shapes: broadcast. Types: float. */
export const smoothL1Loss: (
  input: Tensor,
  target: Tensor,
  options?: SmoothL1LossOptions,
) => Tensor = op(
  "smoothL1Loss(input, target, reduction='mean', beta=1)",
  (x: Tensor, t: Tensor, reduction: LossReduction, beta: number) => {
    pair("smoothL1Loss", x, t, false);
    broadcastShapes(x.shape, t.shape, "smoothL1Loss");
    if (!(beta >= 0)) {
      throw new ArgumentError(
        `Cannot smoothL1Loss with beta ${show(beta)}: it must be 0 or greater`,
        { op: "smoothL1Loss" },
      );
    }
    if (beta === 0) return run("smoothL1Loss", l1, x, t, reduction, []);
    return run("smoothL1Loss", smooth, x, t, reduction, [beta]);
  },
);

const huber: Form = {
  opcode: OP.huber_loss,
  gradOpcode: OP.huber_loss_grad,
  symmetric: true,
  slope: (x, t, [delta]) => {
    const d = sub(x, t);
    return where(le(abs(d), delta), d, mul(sign(d), delta));
  },
};

/** What `huberLoss` takes by name. */
export interface HuberLossOptions extends LossOptions {
  /** Where the square ends and the straight line begins; default 1. */
  delta?: number;
  /** A factor for each element, broadcast. */
  weight?: Tensor | null;
}

/** `½ d²` for `|d| ≤ delta`, else `delta (|d| - delta / 2)`, with d = x - t. Shapes: broadcast. Types: float. */
export const huberLoss: (input: Tensor, target: Tensor, options?: HuberLossOptions) => Tensor = op(
  "huberLoss(input, target, reduction='mean', delta=1, weight=null)",
  (x: Tensor, t: Tensor, reduction: LossReduction, delta: number, weight: Tensor | null) => {
    pair("huberLoss", x, t, false);
    if (!(delta > 0)) {
      throw new ArgumentError(
        `Cannot huberLoss with delta ${show(delta)}: it must be greater than 0`,
        { op: "huberLoss" },
      );
    }
    return weighted("huberLoss", huber, x, t, weight, reduction, [delta]);
  },
);

const bce: Form = {
  opcode: OP.probability_cross_entropy,
  gradOpcode: OP.binary_cross_entropy_grad,
  symmetric: false,
  slope: (x, t) => div(sub(x, t), clampMin(mul(add(neg(x), 1), x), new Float(1e-12))),
  targetSlope: (x) => sub(clampMin(log1p(neg(x)), -100), clampMin(log(x), -100)),
};

/** Fails unless a dtype is float and alike, as for probabilities. */
function alike(name: string, x: Tensor, t: Tensor): void {
  if (!x.info.isFloat || (t.info !== x.info)) {
    throw new DTypeError(
      `Cannot ${name} ${show(x)} and ${show(t)}: both must have one float dtype`,
      {
        op: name,
        hint: t.info.isFloat ? undefined : `target.to("${x.dtype}")`,
      },
    );
  }
}

/**
 * Binary cross entropy of probabilities: `-(t log x + (1 - t) log(1 - x))`, logarithms no lower than -100. Shapes:
 * input, target alike; weight broadcasts. Types: float. Errors: ShapeError that names both shapes when they differ.
 */
export const binaryCrossEntropy: WeightedLoss = op(
  "binaryCrossEntropy(input, target, weight=null, reduction='mean')",
  (x: Tensor, t: Tensor, weight: Tensor | null, reduction: LossReduction) => {
    pair("binaryCrossEntropy", x, t, true);
    alike("binaryCrossEntropy", x, t);
    return weighted("binaryCrossEntropy", bce, x, t, weight, reduction, []);
  },
);

/** What `binaryCrossEntropyWithLogits` takes by name. */
export interface BceWithLogitsOptions extends WeightedLossOptions {
  /** Factor of the positive term, (C) or broadcast. */
  posWeight?: Tensor | null;
}

const logits: Form = {
  opcode: OP.bce_with_logits,
  gradOpcode: OP.bce_with_logits_grad,
  symmetric: false,
  slope: (x, t) => sub(sigmoid(x), t),
  targetSlope: (x) => neg(x),
};

/** `log(1 + exp(-x))`, without overflow. */
function softMinus(x: Tensor): Tensor {
  return add(log1p(exp(neg(abs(x)))), clampMin(neg(x), 0));
}

/**
 * Binary cross entropy of raw scores: sigmoid and `binaryCrossEntropy` in one, exact for scores of any size. Shapes:
 * input and target alike; weight and posWeight broadcast. Types: float.
 */
export const binaryCrossEntropyWithLogits: (
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | BceWithLogitsOptions,
  options?: BceWithLogitsOptions,
) => Tensor = op(
  "binaryCrossEntropyWithLogits(input, target, weight=null, reduction='mean', posWeight=null)",
  (
    x: Tensor,
    t: Tensor,
    weight: Tensor | null,
    reduction: LossReduction,
    posWeight: Tensor | null,
  ) => {
    const name = "binaryCrossEntropyWithLogits";
    pair(name, x, t, true);
    if (posWeight === null) return weighted(name, logits, x, t, weight, reduction, []);
    checkTensor(name, posWeight, "posWeight");
    checkReduction(name, reduction);
    // Several steps, each rounded: half types take them in float32.
    const narrow = x.info.isFloat && x.info.size === 2;
    const [wx, wt, wp] = narrow
      ? [x, t, posWeight].map((v) => cast(v, "float32"))
      : [x, t, posWeight];
    const factor = add(mul(sub(wp, 1), wt), 1);
    const losses = add(mul(add(neg(wt), 1), wx), mul(factor, softMinus(wx)));
    return cast(
      reduceLoss(weight === null ? losses : mul(losses, weight), reduction),
      narrow ? x.dtype : losses.dtype,
    );
  },
);

/** What `klDiv` takes by name. */
export interface KlDivOptions {
  /** As for other losses; `"batchmean"` divides the sum by the first size. */
  reduction?: LossReduction | "batchmean";
  /** Whether the target holds logarithms. */
  logTarget?: boolean;
}

/** `t (log t - x)`, where x holds log-probabilities; 0 where t is 0. Shapes: broadcast. Types: float. */
export const klDiv: (input: Tensor, target: Tensor, options?: KlDivOptions) => Tensor = op(
  "klDiv(input, target, reduction='mean', logTarget=false)",
  (x: Tensor, t: Tensor, reduction: LossReduction | "batchmean", logTarget: boolean) => {
    checkTensor("klDiv", t, "target");
    if (reduction !== "batchmean") checkReduction("klDiv", reduction);
    const losses = logTarget ? mul(exp(t), sub(t, x)) : sub(xlogx(t), mul(t, x));
    if (reduction === "batchmean") {
      return x.ndim === 0 ? sum(losses) : div(sum(losses), x.shape[0]);
    }
    return reduceLoss(losses, reduction);
  },
);

/** `t log t`, 0 at 0. */
function xlogx(t: Tensor): Tensor {
  const zero = le(t, 0);
  return where(zero, zerosOf(t), mul(t, log(where(zero, add(zerosOf(t), 1), t))));
}
