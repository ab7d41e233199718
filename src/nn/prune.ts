/**
 * Pruning: parameters of which some elements are held at 0 by a mask, as `torch.nn.utils.prune` has it.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { full, ones } from "../ops/creation.ts";
import { indexFill, indexPut, indexSelect } from "../ops/index_ops.ts";
import { cat } from "../ops/joining.ts";
import { cast } from "../ops/map.ts";
import { nonzero } from "../ops/masking.ts";
import { abs } from "../ops/math.ts";
import { norm } from "../ops/moments.ts";
import { mul } from "../ops/pointwise.ts";
import { rand } from "../ops/random.ts";
import { any } from "../ops/reduction.ts";
import { topk } from "../ops/sorting.ts";
import { reshape } from "../ops/view.ts";
import { split } from "../ops/window.ts";
import { sameShape, shapeText, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { addPreHook } from "./hooks.ts";
import { checkModule, checkTensorName, type Module } from "./module.ts";
import { Buffer, Parameter } from "./parameter.ts";
import { compute } from "./weight_norm.ts";

type Fields = Record<string, unknown>;

/** What ends the pruning of a module's parameters, by name. */
const pruned = new WeakMap<Module, Map<string, () => void>>();

/** How much is pruned: a whole number of elements or channels, or a share between 0 and 1. */
export type PruneAmount = number;

function countOf(op: string, amount: unknown, size: number): number {
  const share = typeof amount === "number" && amount > 0 && amount < 1;
  // As Python rounds: a half goes to the even count.
  const even = (x: number) => x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
  const count = share ? even(amount * size) : amount;
  if (typeof count === "number" && Number.isInteger(count) && count >= 0 && count <= size) {
    return count;
  }
  throw new ArgumentError(
    `Cannot ${op} with amount ${show(amount)}: a share between 0 and 1, or a count up to ${size}`,
    { op },
  );
}

/** A parameter and the mask that it has so far. */
interface Target {
  readonly module: Module;
  readonly name: string;
  readonly original: Parameter;
  readonly mask: Tensor;
}

function targetOf(op: string, module: Module, name: string): Target {
  checkModule(module, op);
  checkTensorName(name, op);
  const fields = module as unknown as Fields;
  if (pruned.get(module)?.has(name)) {
    const original = fields[`${name}_orig`] as Parameter;
    return { module, name, original, mask: fields[`${name}_mask`] as Tensor };
  }
  const original = fields[name];
  if (original instanceof Parameter) {
    const { dtype, device } = original;
    return { module, name, original, mask: ones(original.shape, { dtype, device }) };
  }
  throw new ArgumentError(
    `Cannot ${op} ${module.constructor.name}.${name}: it is ${show(original)}, no parameter`,
    { op },
  );
}

/** Puts the mask on, and the product of parameter and mask in the parameter's place before each `forward`. */
function apply({ module, name, original, mask }: Target, next: Tensor): void {
  const fields = module as unknown as Fields;
  const known = pruned.get(module) ?? new Map<string, () => void>();
  const value = () => mul(original, fields[`${name}_mask`] as Tensor);
  fields[`${name}_mask`] = new Buffer(mul(mask, cast(next, original.dtype)));
  if (!known.has(name)) {
    delete fields[name];
    fields[`${name}_orig`] = original;
    const stop = addPreHook(module, () => compute(module, name, value));
    known.set(name, stop);
    pruned.set(module, known);
  }
  compute(module, name, value);
}

/** Checks importance scores, which stand for the parameter's values where they are given. */
function scoresOf(op: string, { original, mask }: Target, scores: Tensor | null): Tensor {
  if (scores === null) return mul(original.detach(), mask);
  if (scores instanceof Tensor && sameShape(scores.shape, original.shape)) return scores.detach();
  throw new ShapeError(
    `Cannot ${op} by importanceScores ${show(scores)}: they must have the shape ${
      shapeText(original.shape)
    }`,
    { op },
  );
}

/** A mask without the `amount` least of those elements that are still there. */
function withoutLeast(op: string, scores: Tensor, mask: Tensor, amount: PruneAmount): Tensor {
  const flat = reshape(mask, [-1]);
  const left = reshape(nonzero(flat) as Tensor, [-1]);
  const count = countOf(op, amount, left.numel);
  if (count === 0) return mask;
  const { indices } = topk(indexSelect(reshape(scores, [-1]), 0, left), count, { largest: false });
  const zero = full([], 0, { dtype: mask.dtype, device: mask.device });
  return reshape(indexPut(flat, [indexSelect(left, 0, indices)], zero), mask.shape);
}

/** A mask without the `amount` least of those slices along a dim that are not all gone. */
function withoutLeastSlices(
  op: string,
  scores: Tensor,
  mask: Tensor,
  amount: PruneAmount,
  dim: number,
): Tensor {
  const others = mask.shape.map((_, d) => d).filter((d) => d !== dim);
  const left = reshape(nonzero(any(mask, others)) as Tensor, [-1]);
  const count = countOf(op, amount, left.numel);
  if (count === 0) return mask;
  const { indices } = topk(indexSelect(scores, 0, left), count, { largest: false });
  return indexFill(mask, dim, indexSelect(left, 0, indices), 0);
}

function sliceDim(op: string, { original }: Target, dim: number): number {
  if (original.ndim >= 2) return wrapDim(dim, original.ndim, op);
  throw new ShapeError(`Cannot ${op} ${shapeText(original.shape)}: at least two dims are needed`, {
    op,
  });
}

/** A mask of ones: the parameter is as pruned, and all of it is there. */
export function identity<M extends Module>(module: M, name: string): M {
  bind(IDENTITY, [module, name]);
  const target = targetOf("identity", module, name);
  inMode(false, () => apply(target, target.mask));
  return module;
}

const IDENTITY = declare(identity, "identity(module, name)");

/** Options of pruning by importance. */
export interface PruneOptions {
  /** What decides instead of the parameter's values; of its shape. */
  importanceScores?: Tensor | null;
}

/**
 * Prunes the elements with the least absolute values: the parameter becomes the product of `name_orig`, which is trained,
 * and the mask `name_mask`. Calls on a pruned parameter prune more of what is left. Gives the module.
 *
 * ```ts
 * import { nn } from "@toro/toro";
 * const layer = nn.utils.prune.l1Unstructured(new nn.Linear(10, 4), "weight", 0.3);
 * console.log(layer.weight.eq(0).sum().item()); // 12
 * ```
 */
export function l1Unstructured<M extends Module>(
  module: M,
  name: string,
  amount: PruneAmount,
  options?: PruneOptions,
): M {
  const [, , count, scores] = bind(L1, [module, name, amount, options]);
  const op = "l1Unstructured", target = targetOf(op, module, name);
  inMode(false, () => {
    const size = abs(scoresOf(op, target, scores as Tensor | null));
    apply(target, withoutLeast(op, size, target.mask, count as number));
  });
  return module;
}

const L1 = declare(l1Unstructured, "l1Unstructured(module, name, amount, importanceScores=null)");

/** Prunes elements at random; see `l1Unstructured`. */
export function randomUnstructured<M extends Module>(
  module: M,
  name: string,
  amount: PruneAmount,
): M {
  const [, , count] = bind(RANDOM, [module, name, amount]);
  const op = "randomUnstructured", target = targetOf(op, module, name);
  inMode(false, () => {
    const drawn = rand(target.original.shape, { device: target.original.device });
    apply(target, withoutLeast(op, drawn, target.mask, count as number));
  });
  return module;
}

const RANDOM = declare(randomUnstructured, "randomUnstructured(module, name, amount)");

/** Prunes whole slices along a dim, those with the least norm of order n; see `l1Unstructured`. */
export function lnStructured<M extends Module>(
  module: M,
  name: string,
  amount: PruneAmount,
  n: number,
  dim: number,
  options?: PruneOptions,
): M {
  const [, , count, order, along, scores] = bind(LN, [module, name, amount, n, dim, options]);
  const op = "lnStructured", target = targetOf(op, module, name);
  const d = sliceDim(op, target, along as number);
  inMode(false, () => {
    const values = scoresOf(op, target, scores as Tensor | null);
    const others = values.shape.map((_, i) => i).filter((i) => i !== d);
    const size = norm(values, order as number, others);
    apply(target, withoutLeastSlices(op, size, target.mask, count as number, d));
  });
  return module;
}

const LN = declare(
  lnStructured,
  "lnStructured(module, name, amount, n, dim, importanceScores=null)",
);

/** Prunes whole slices along a dim at random; see `l1Unstructured`. */
export function randomStructured<M extends Module>(
  module: M,
  name: string,
  amount: PruneAmount,
  dim: number,
): M {
  const [, , count, along] = bind(RANDOM_SLICES, [module, name, amount, dim]);
  const op = "randomStructured", target = targetOf(op, module, name);
  const d = sliceDim(op, target, along as number);
  inMode(false, () => {
    const { shape, device } = target.original;
    apply(
      target,
      withoutLeastSlices(op, rand([shape[d]], { device }), target.mask, count as number, d),
    );
  });
  return module;
}

const RANDOM_SLICES = declare(randomStructured, "randomStructured(module, name, amount, dim)");

/** Prunes by a mask of the parameter's shape: what is 0 there goes. */
export function customFromMask<M extends Module>(module: M, name: string, mask: Tensor): M {
  bind(CUSTOM, [module, name, mask]);
  const op = "customFromMask", target = targetOf(op, module, name);
  if (!(mask instanceof Tensor) || !sameShape(mask.shape, target.original.shape)) {
    throw new ShapeError(
      `Cannot ${op} by ${show(mask)}: the mask must have the shape ${
        shapeText(target.original.shape)
      }`,
      { op },
    );
  }
  inMode(false, () => apply(target, mask.ne(0)));
  return module;
}

const CUSTOM = declare(customFromMask, "customFromMask(module, name, mask)");

/** Options of `globalUnstructured`. */
export interface GlobalPruneOptions {
  /** How much of all parameters together. */
  amount: PruneAmount;
}

/**
 * Prunes across parameters, given as pairs of module and name, so that the amount is of all their elements together: those
 * with the least absolute values (`l1Unstructured`), or any (`randomUnstructured`).
 */
export function globalUnstructured(
  parameters: readonly (readonly [module: Module, name: string])[],
  pruningMethod: typeof l1Unstructured | typeof randomUnstructured,
  options: GlobalPruneOptions,
): void {
  const [list, method, amount] = bind(GLOBAL, [parameters, pruningMethod, options]) as [
    typeof parameters,
    unknown,
    PruneAmount | null,
  ];
  const op = "globalUnstructured";
  if (method !== l1Unstructured && method !== randomUnstructured) {
    throw new ArgumentError(
      `Cannot ${op} by ${show(method)}: the method is l1Unstructured or randomUnstructured`,
      { op },
    );
  }
  if (!Array.isArray(list) || list.length === 0 || !list.every(Array.isArray)) {
    throw new ArgumentError(`Cannot ${op} of ${show(list)}: it takes pairs of module and name`, {
      op,
    });
  }
  const targets = list.map(([module, name]) => targetOf(op, module, name));
  inMode(false, () => {
    const scores = targets.map((t) =>
      reshape(
        method === l1Unstructured ? abs(scoresOf(op, t, null)) : rand(t.original.shape),
        [-1],
      )
    );
    const masks = cat(targets.map((t) => reshape(t.mask, [-1])));
    const next = withoutLeast(op, cat(scores), masks, amount as number);
    split(next, targets.map((t) => t.original.numel)).forEach((part, i) =>
      apply(targets[i], reshape(part, targets[i].original.shape))
    );
  });
}

const GLOBAL = declare(
  globalUnstructured,
  "globalUnstructured(parameters, pruningMethod, amount=null)",
);

/** Makes the pruned values permanent: the parameter is an ordinary one again. */
export function remove<M extends Module>(module: M, name: string): M {
  bind(REMOVE, [module, name]);
  checkModule(module, "remove");
  checkTensorName(name, "remove");
  const known = pruned.get(module), stop = known?.get(name);
  if (stop === undefined) {
    throw new ArgumentError(
      `Cannot remove the pruning of ${module.constructor.name}.${name}: it has none`,
      {
        op: "remove",
      },
    );
  }
  const { original, mask } = targetOf("remove", module, name);
  stop();
  known!.delete(name);
  const fields = module as unknown as Fields;
  inMode(false, () => original.mul_(mask));
  for (const field of [name, `${name}_orig`, `${name}_mask`]) delete fields[field];
  fields[name] = original;
  return module;
}

const REMOVE = declare(remove, "remove(module, name)");

/** Whether any parameter of the module, or of those below, is pruned. */
export function isPruned(module: Module): boolean {
  checkModule(module, "isPruned");
  return module.modules().some((m) => (pruned.get(m)?.size ?? 0) > 0);
}
