/**
 * Losses over classes with margins, in plain ops.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, IndexError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { logsigmoid } from "./activation.ts";
import { arange } from "./pattern.ts";
import { mean, sum } from "./reduction.ts";
import { checkReduction, type LossOptions, type LossReduction, reduceLoss } from "./loss.ts";
import { cast, checkTensor } from "./map.ts";
import { eq, ge, logicalNot, lt, where } from "./logic.ts";
import { neg } from "./math.ts";
import { add, mul, pow, sub } from "./pointwise.ts";
import { clampMin } from "./bounds.ts";
import { gather, scatterAdd } from "./scattering.ts";
import { cumprod } from "./scan.ts";
import { reshape, unsqueeze } from "./view.ts";

/** What `multiMarginLoss` takes by name. */
export interface MultiMarginOptions extends LossOptions {
  /** The power, 1 (default) or 2. */
  p?: 1 | 2;
  /** How far the target must be above the others; default 1. */
  margin?: number;
  /** (C) factors. */
  weight?: Tensor | null;
}

/** Class numbers of a target, which must be from `low` on and below `classes`. */
function checkClasses(name: string, t: Tensor, low: number, classes: number): void {
  if (t.dtype !== "int64") {
    throw new ArgumentError(`Cannot ${name} with target ${show(t)}: class numbers are int64`, {
      op: name,
      hint: '{ dtype: "int64" }',
    });
  }
  if (t.numel === 0) return;
  const values = t.toTypedArray() as BigInt64Array;
  const wrong = values.find((c) => c < BigInt(low) || c >= BigInt(classes));
  if (wrong === undefined) return;
  throw new IndexError(`Cannot ${name}: target ${wrong} is no class of ${classes}`, { op: name });
}

/** Losses (N, C) of an input that may be one sample. */
function asRows(name: string, x: Tensor): Tensor {
  if (x.ndim <= 2 && (x.ndim < 2 || x.shape[1] > 0)) return x.ndim === 2 ? x : reshape(x, [1, -1]);
  throw new ShapeError(`Cannot ${name} ${shapeText(x.shape)}: it must be [N, C] or [C]`, {
    op: name,
  });
}

/**
 * `Σⱼ max(0, margin - x[t] + x[j])ᵖ · weight[t] / C` over all classes j but t. Shapes: x (N, C) or (C), t (N) or ().
 */
export const multiMarginLoss: (
  input: Tensor,
  target: Tensor,
  p?: number | MultiMarginOptions,
  margin?: number | MultiMarginOptions,
  options?: MultiMarginOptions,
) => Tensor = op(
  "multiMarginLoss(input, target, p=1, margin=1, weight=null, reduction='mean')",
  (
    given: Tensor,
    t: Tensor,
    p: number,
    margin: number,
    weight: Tensor | null,
    reduction: LossReduction,
  ) => {
    const name = "multiMarginLoss";
    checkTensor(name, t, "target");
    checkReduction(name, reduction);
    if (p !== 1 && p !== 2) {
      throw new ArgumentError(`Cannot ${name} with p ${show(p)}: it must be 1 or 2`, { op: name });
    }
    const x = asRows(name, given), [n, c] = x.shape;
    if (t.numel !== n || t.ndim > 1) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(given.shape)} with target ${
          shapeText(t.shape)
        }: it must have ${n} elements`,
        { op: name },
      );
    }
    if (weight !== null && !(weight.ndim === 1 && weight.shape[0] === c)) {
      throw new ShapeError(
        `Cannot ${name} with weight ${show(weight)}: it must have shape [${c}]`,
        { op: name },
      );
    }
    checkClasses(name, t, 0, c);
    const column = t.ndim === 1 ? unsqueeze(t, 1) : reshape(t, [1, 1]);
    const gap = clampMin(add(sub(x, gather(x, 1, column)), margin), 0);
    const others = inMode(false, () => eq(arange(c, { device: column.device }), column));
    let losses = where(others, 0, p === 1 ? gap : pow(gap, 2));
    if (weight !== null) losses = mul(losses, gather(unsqueeze(weight, 1), 0, column));
    const each = mean(losses, 1);
    return reduceLoss(given.ndim < 2 && t.ndim === 0 ? reshape(each, []) : each, reduction);
  },
);

/**
 * `Σ max(0, 1 - (x[t] - x[i])) / C` over the classes t of a target row up to its first -1 and all classes i that are not
 * among them. Shapes: x and t (N, C) or (C).
 */
export const multilabelMarginLoss: (
  input: Tensor,
  target: Tensor,
  options?: LossOptions,
) => Tensor = op(
  "multilabelMarginLoss(input, target, reduction='mean')",
  (given: Tensor, t: Tensor, reduction: LossReduction) => {
    const name = "multilabelMarginLoss";
    checkTensor(name, t, "target");
    checkReduction(name, reduction);
    const x = asRows(name, given), [n, c] = x.shape;
    if (!sameShape(t.shape, given.shape)) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(given.shape)} with target ${
          shapeText(t.shape)
        }: they must be alike`,
        { op: name },
      );
    }
    checkClasses(name, t, -1, c);
    const [listed, index, free] = inMode(false, () => {
      const rows = reshape(t, [n, c]);
      const listed = cumprod(cast(ge(rows, 0), "int64"), 1);
      const index = mul(rows, listed);
      const counts = scatterAdd(mul(rows, 0), 1, index, listed);
      return [listed, index, lt(counts, 1)];
    });
    const gap = clampMin(add(sub(unsqueeze(x, 1), unsqueeze(gather(x, 1, index), 2)), 1), 0);
    const counted = mul(unsqueeze(listed, 2), cast(unsqueeze(free, 1), "int64"));
    const each = mul(sum(where(logicalNot(cast(counted, "bool")), 0, gap), [1, 2]), 1 / c);
    return reduceLoss(given.ndim < 2 ? reshape(each, []) : each, reduction);
  },
);

/**
 * `-(t · log σ(x) + (1 - t) · log(1 - σ(x)))`, the mean over the last dim. Shapes: alike; weight broadcasts.
 */
export const multilabelSoftMarginLoss: (
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | (LossOptions & { weight?: Tensor | null }),
  options?: LossOptions & { weight?: Tensor | null },
) => Tensor = op(
  "multilabelSoftMarginLoss(input, target, weight=null, reduction='mean')",
  (x: Tensor, t: Tensor, weight: Tensor | null, reduction: LossReduction) => {
    const name = "multilabelSoftMarginLoss";
    checkTensor(name, t, "target");
    checkReduction(name, reduction);
    const near = mul(t, logsigmoid(x)), far = mul(add(neg(t), 1), logsigmoid(neg(x)));
    let losses = neg(add(near, far));
    if (weight !== null) losses = mul(losses, weight);
    return reduceLoss(mean(losses, -1), reduction);
  },
);
