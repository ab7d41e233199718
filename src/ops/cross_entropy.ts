/**
 * Losses over classes: cross entropy of raw scores, and the negative log-likelihood of log-probabilities. One pass
 * over the scores forward, which keeps one number per row, and one back.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isSingleWanted } from "../autocast.ts";
import { isGradEnabled, record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastStrides, numelOf, sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { arange } from "./pattern.ts";
import { eq, ne } from "./logic.ts";
import { cast, checkTensor } from "./map.ts";
import { exp } from "./math.ts";
import { checkReduction, type LossReduction, type WeightedLossOptions } from "./loss.ts";
import { linear } from "./matmul.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { sum } from "./reduction.ts";
import { logSoftmax } from "./softmax.ts";
import { reshape, unsqueeze } from "./view.ts";

/** What `nllLoss` takes by name. */
export interface NllLossOptions extends WeightedLossOptions {
  /** A target that is left out; default -100. */
  ignoreIndex?: number;
}

/** What `crossEntropy` takes by name. */
export interface CrossEntropyOptions extends NllLossOptions {
  /** Share of the target that is spread evenly over the classes; default 0. */
  labelSmoothing?: number;
}

const REDUCTIONS: Readonly<Record<string, number>> = { none: 0, mean: 1, sum: 2 };

/** A view with the class dim last, outside of autograd. */
function classesLast(t: Tensor, d: number): Tensor {
  const move = (list: readonly number[]) => [...list.toSpliced(d, 1), list[d]];
  return new Tensor(t.storage, t.info, move(t.shape), move(t.strides), t.offset);
}

function checkClasses(
  name: string,
  x: Tensor,
  t: unknown,
  weight: Tensor | null,
): asserts t is Tensor {
  checkTensor(name, t, "target");
  if (!x.info.isFloat) {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float tensors only`, { op: name });
  }
  if (x.ndim === 0) {
    throw new ShapeError(
      `Cannot ${name} input ${shapeText(x.shape)}: it must be [C], [N, C] or [N, C, ...]`,
      { op: name },
    );
  }
  const c = x.shape[x.ndim === 1 ? 0 : 1];
  if (weight !== null) {
    checkTensor(name, weight, "weight");
    if (weight.ndim !== 1 || weight.shape[0] !== c) {
      throw new ShapeError(
        `Cannot ${name} with weight ${shapeText(weight.shape)}: ${c} classes need one of [${c}]`,
        {
          op: name,
        },
      );
    }
  }
}

/** A 16-bit float as float32 where autocasting asks for that. */
function single(t: Tensor): Tensor {
  return isSingleWanted() && t.info.isFloat && t.info.size === 2 ? cast(t, "float32") : t;
}

/** The loss for targets that name classes. */
function classLoss(
  name: string,
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  reduction: LossReduction,
  ignored: number,
  smoothing: number,
  isLog: boolean,
): Tensor {
  const d = x.ndim === 1 ? 0 : 1;
  const rowShape = x.shape.toSpliced(d, 1);
  if (target.dtype !== "int64") {
    if (target.info.isFloat || target.dtype === "bool") {
      throw new DTypeError(
        `Cannot ${name} with a ${target.dtype} target ${
          shapeText(target.shape)
        }: classes are int64`,
        {
          op: name,
          hint: 'target.to("int64")',
        },
      );
    }
    target = cast(target, "int64");
  }
  if (!sameShape(target.shape, rowShape)) {
    throw new ShapeError(
      `Cannot ${name} input ${shapeText(x.shape)} and target ${
        shapeText(target.shape)
      }: the target must be ${shapeText(rowShape)}`,
      { op: name },
    );
  }
  const device = x.storage.device;
  const info = x.dtype === "float64" ? DTYPES.float64 : DTYPES.float32;
  const each = reduction === "none";
  const out = empty(each ? rowShape : [], isSingleWanted() ? info : x.info, device);
  const lse = empty(rowShape, info, device), norm = empty([], DTYPES.float64, device);
  const factors = weight ?? empty([0], x.info, device);
  const scalars = [REDUCTIONS[reduction], ignored, smoothing, isLog ? 1 : 0];
  run(name, OP.cross_entropy, [out, lse, norm], [classesLast(x, d), target, factors], scalars);
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      if (isGradEnabled()) {
        const wide = cast(x, out.dtype), total = reduction === "mean" ? norm : null;
        const gx = composed(g, wide, d, target, weight, ignored, smoothing, isLog, total);
        return [cast(gx, x.dtype)];
      }
      const gx = empty(x.shape, x.info, device);
      const up = each
        ? g
        : new Tensor(g.storage, g.info, rowShape, broadcastStrides([], [], rowShape), g.offset);
      const ins = [up, classesLast(x, d), target, lse, norm, factors];
      run(`the backward of ${name}`, OP.cross_entropy_grad, [classesLast(gx, d)], ins, scalars);
      return [gx];
    }, weight === null ? [x, target] : [x, target, weight]);
  }
  return out;
}

/** The gradient in plain ops: `g (softmax(x) Σq - q)` with the smoothed, weighted target q. */
function composed(
  g: Tensor,
  x: Tensor,
  d: number,
  target: Tensor,
  weight: Tensor | null,
  ignored: number,
  smoothing: number,
  isLog: boolean,
  norm: Tensor | null,
): Tensor {
  const c = x.shape[d];
  const along = x.shape.map((_, i) => i === d ? c : 1);
  const classes = reshape(arange(0, c, { dtype: "int64", device: x.device }), along);
  const wide = unsqueeze(target, d);
  let q = cast(eq(classes, wide), x.dtype);
  if (smoothing !== 0) q = add(mul(q, 1 - smoothing), smoothing / c);
  // The main term takes its target's weight, the even share each class's own: both are the class's weight.
  if (weight !== null) q = mul(q, reshape(cast(weight, x.dtype), along));
  q = mul(q, cast(ne(wide, ignored), x.dtype));
  let up = g.ndim === 0 ? g : unsqueeze(g, d);
  if (norm !== null) up = div(up, cast(norm, x.dtype));
  if (isLog) return mul(mul(up, q), -1);
  const p = exp(logSoftmax(x, d));
  return mul(up, sub(mul(p, sum(q, d, { keepdim: true })), q));
}

/** The loss for targets that are probabilities of classes. */
function probabilityLoss(
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  reduction: LossReduction,
  smoothing: number,
): Tensor {
  const d = x.ndim === 1 ? 0 : 1;
  const c = x.shape[d];
  const goal = smoothing === 0 ? target : add(mul(target, 1 - smoothing), smoothing / c);
  let terms = mul(logSoftmax(x, d), goal);
  if (weight !== null) terms = mul(terms, reshape(weight, x.shape.map((_, i) => i === d ? c : 1)));
  const losses = mul(sum(terms, d), -1);
  if (reduction === "none") return losses;
  const total = sum(losses);
  return reduction === "sum" ? total : div(total, numelOf(x.shape) / c);
}

/** A loss over classes with weights for classes. */
export type NllLoss = (
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | NllLossOptions,
  options?: NllLossOptions,
) => Tensor;

/**
 * Negative log-likelihood: `-weight[t] x[t]` for log-probabilities x. The mean is over the sum of the targets' weights.
 * Shapes: input (C), (N, C) or (N, C, …), target the same without C, of int64; weight (C).
 * Errors: IndexError for a target that is no class and not `ignoreIndex`.
 */
export const nllLoss: NllLoss = op(
  "nllLoss(input, target, weight=null, reduction='mean', ignoreIndex=-100)",
  (
    x: Tensor,
    target: Tensor,
    weight: Tensor | null,
    reduction: LossReduction,
    ignoreIndex: number,
  ) => {
    checkReduction("nllLoss", reduction);
    checkClasses("nllLoss", x, target, weight);
    return classLoss("nllLoss", x, target, weight, reduction, ignoreIndex, 0, true);
  },
);

/**
 * Cross entropy of raw scores over C classes: `-weight[t] log softmax(x)[t]`. Shapes: input (C), (N, C) or (N, C, …);
 * target the same without C as int64 classes, or the input's shape as probabilities; weight (C). The mean is over the
 * sum of the targets' weights. Types: float; bfloat16 and float16 compute in float32.
 * Errors: IndexError for a target that is no class and not `ignoreIndex`.
 *
 * ```ts
 * import { crossEntropy, tensor } from "@toro/toro";
 * const loss = crossEntropy(tensor([[2, 1, 0]]), tensor([0n])); // 0.4076
 * ```
 */
export const crossEntropy: (
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | CrossEntropyOptions,
  options?: CrossEntropyOptions,
) => Tensor = op(
  "crossEntropy(input, target, weight=null, reduction='mean', ignoreIndex=-100, labelSmoothing=0)",
  (
    x: Tensor,
    target: Tensor,
    weight: Tensor | null,
    reduction: LossReduction,
    ignoreIndex: number,
    labelSmoothing: number,
  ) => {
    checkReduction("crossEntropy", reduction);
    checkClasses("crossEntropy", x, target, weight);
    if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
      throw new ArgumentError(
        `Cannot crossEntropy with labelSmoothing ${show(labelSmoothing)}: it must be from 0 to 1`,
        {
          op: "crossEntropy",
        },
      );
    }
    if (target.info.isFloat && sameShape(target.shape, x.shape)) {
      return probabilityLoss(
        single(x),
        single(target),
        weight && single(weight),
        reduction,
        labelSmoothing,
      );
    }
    return classLoss(
      "crossEntropy",
      weight === null ? x : single(x),
      target,
      weight && single(weight),
      reduction,
      ignoreIndex,
      labelSmoothing,
      false,
    );
  },
);

/** What `linearCrossEntropy` takes by name. */
export interface LinearCrossEntropyOptions extends Omit<CrossEntropyOptions, "ignoreIndex"> {
  /** (C) or (C, …), added to the scores. */
  linearBias?: Tensor | null;
  /** A target that adds no loss; default none. */
  ignoreIndex?: number | null;
}

/**
 * `crossEntropy` of the scores `linear(input, linearWeight)`. Shapes: input (K) or (N, K), linearWeight (C, K) or
 * (C, …, K); target classes () or (N, …), or probabilities of the scores' shape (C), (N, C, …).
 */
export const linearCrossEntropy: (
  input: Tensor,
  linearWeight: Tensor,
  target: Tensor,
  options?: LinearCrossEntropyOptions,
) => Tensor = op(
  "linearCrossEntropy(input, linearWeight, target, linearBias=null, weight=null, reduction='mean', ignoreIndex=null, labelSmoothing=0)",
  (
    x: Tensor,
    w: Tensor,
    target: Tensor,
    bias: Tensor | null,
    weight: Tensor | null,
    reduction: LossReduction,
    ignoreIndex: number | null,
    labelSmoothing: number,
  ) => {
    checkTensor("linearCrossEntropy", w, "linearWeight");
    checkTensor("linearCrossEntropy", target, "target");
    const scores = w.shape.slice(0, -1), k = x.shape[x.ndim - 1];
    const fits = (x.ndim === 1 || x.ndim === 2) && w.ndim >= 2 && w.shape[w.ndim - 1] === k &&
      (bias === null || sameShape(bias.shape, scores)) && (x.ndim === 2 || w.ndim === 2);
    if (!fits) {
      throw new ShapeError(
        `Cannot linearCrossEntropy ${shapeText(x.shape)} by linearWeight ${shapeText(w.shape)}${
          bias === null ? "" : ` with linearBias ${shapeText(bias.shape)}`
        }: the sizes do not fit`,
        { op: "linearCrossEntropy" },
      );
    }
    const shape = [...x.shape.slice(0, -1), ...scores];
    if (ignoreIndex !== null && sameShape(target.shape, shape)) {
      throw new ArgumentError(
        "Cannot linearCrossEntropy with ignoreIndex of a target of probabilities",
        { op: "linearCrossEntropy" },
      );
    }
    const flat = linear(x, reshape(w, [-1, k]), bias && reshape(bias, [-1]));
    return crossEntropy(reshape(flat, shape), target, {
      weight,
      reduction,
      ignoreIndex: ignoreIndex ?? -100,
      labelSmoothing,
    });
  },
);
