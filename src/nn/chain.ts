/**
 * Layers in a row that are computed as one where that gives the same: a linear layer, the batch norm in evaluation and
 * the ReLU behind it are one product that writes its end result; a batch norm in training, the ReLU and, before a layer
 * that reads it, the dropout behind it are one pass over the elements each way.
 *
 * @module
 */
import { isAutocastEnabled } from "../autocast.ts";
import { wantsAny } from "../autograd.ts";
import { type FoldedNorm, foldNorm, linearNorm, linearRelu } from "../ops/matmul.ts";
import { linearDynamic } from "../ops/quantized.ts";
import { mul } from "../ops/pointwise.ts";
import type { Tensor } from "../tensor.ts";
import { lenderOf } from "./copy.ts";
import { Linear } from "./linear.ts";
import type { Module, TensorModule } from "./module.ts";
import { Conv1d, Conv2d, Conv3d } from "./conv.ts";
import { Dropout } from "./dropout.ts";
import { BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormNd, normRelu } from "./norm.ts";
import { Linear as DynamicLinear } from "./quantized/dynamic.ts";
import { packedOf } from "./quantized/packing.ts";
import { ReLU } from "./rectifiers.ts";

/** Whether a module is of just this class and has no hooks, which put a `forward` of its own into it. */
function isPlain<M extends Module>(
  module: Module | undefined,
  of: abstract new (...args: never[]) => M,
): module is M {
  return module?.constructor === of && !Object.hasOwn(module, "forward");
}

/** Whether a module that stays as it is in a quantised copy, or is in no copy, is plain. */
const isPlainBelow = <M extends Module>(
  module: Module | undefined,
  of: abstract new (...args: never[]) => M,
): boolean => module !== undefined && isPlain(lenderOf(module), of);

/** What a norm does in evaluation; null for another module, in training, and without running statistics. */
function foldedOf(module: Module | undefined): FoldedNorm | null {
  if (module === undefined || module.training || !isPlainBelow(module, BatchNorm1d)) return null;
  const norm = lenderOf(module) as BatchNorm1d;
  const { runningMean: mean, runningVar: variance, weight, bias, eps } = norm;
  return mean === null || variance === null ? null : { mean, variance, weight, bias, eps };
}

function together(
  layer: Linear,
  norm: FoldedNorm | null,
  isRelu: boolean,
  x: Tensor,
): Tensor | null {
  const { weight, bias } = layer;
  if (norm === null) return linearRelu(x, weight, bias);
  const all = [x, weight, bias, norm.weight, norm.bias].filter((t) => t !== null);
  return wantsAny(all) ? null : linearNorm(x, weight, bias, norm, isRelu);
}

function togetherDynamic(
  layer: DynamicLinear,
  norm: FoldedNorm | null,
  isRelu: boolean,
  x: Tensor,
): Tensor | null {
  const packed = packedOf(layer);
  if (norm === null) return linearDynamic(x, layer.inFeatures, packed, isRelu);
  const own = [norm.mean, norm.variance, norm.weight, norm.bias].filter((t) => t !== null);
  const fits = x.ndim === 2 && own.every((t) => t.dtype === "float32" && t.ndim === 1) &&
    norm.mean.shape[0] === layer.outFeatures && !wantsAny([x, ...own]);
  if (!fits) return null;
  const { scale, shift } = foldNorm(norm, packed.bias);
  const weight = { ...packed, scale: mul(packed.scale, scale), bias: shift };
  return linearDynamic(x, layer.inFeatures, weight, isRelu);
}

/** A norm in training and what follows it as one, and the place of the module after them; null where they stay apart. */
function normTogether(
  modules: readonly TensorModule[],
  at: number,
  x: Tensor,
): [Tensor, number] | null {
  const norm = modules[at], second = modules[at + 1], third = modules[at + 2];
  const isOneOf = (list: readonly ModuleClass[], module: Module) =>
    list.some((of) => isPlain(module, of));
  if (!isOneOf(NORMS, norm) || !norm.training || !isPlain(second, ReLU)) return null;
  // One pass keeps its result for the way back. That of a dropout by itself may be changed in place, so it joins only
  // before a layer that does not.
  const drops = isPlain(third, Dropout) && isOneOf(READERS, modules[at + 3]);
  const y = normRelu(norm as BatchNormNd, x, drops && third.training ? third.p : 0);
  return y === null ? null : [y, at + (drops ? 3 : 2)];
}

type ModuleClass = abstract new (...args: never[]) => Module;
const NORMS: readonly ModuleClass[] = [BatchNorm1d, BatchNorm2d, BatchNorm3d];
/** Layers that leave their input as it is. */
const READERS: readonly ModuleClass[] = [Linear, Conv1d, Conv2d, Conv3d];

/** Runs modules in order, those that can be together as one. */
export function inOrder(modules: readonly TensorModule[], x: Tensor): Tensor {
  const mayJoin = !isAutocastEnabled(x.device);
  for (let i = 0; i < modules.length; i++) {
    const layer = modules[i];
    let joined: Tensor | null = null, next = i + 1;
    if (mayJoin && (isPlain(layer, Linear) || isPlain(layer, DynamicLinear))) {
      const norm = foldedOf(modules[next]);
      if (norm !== null) next++;
      const isRelu = isPlainBelow(modules[next], ReLU);
      if (isRelu) next++;
      if (next > i + 1) {
        joined = layer instanceof Linear
          ? together(layer, norm, isRelu, x)
          : togetherDynamic(layer, norm, isRelu, x);
      }
    } else if (mayJoin && layer instanceof BatchNormNd) {
      [joined, next] = normTogether(modules, i, x) ?? [null, next];
    }
    if (joined === null) x = layer.forward(x);
    else {
      x = joined;
      i = next - 1;
    }
  }
  return x;
}
