/**
 * Convolutions and linear layers that take the batch norm behind them into their weights, for inference.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, show } from "../errors.ts";
import { op } from "../op.ts";
import { onesLike, zerosLike } from "../ops/creation.ts";
import { cast } from "../ops/map.ts";
import { rsqrt } from "../ops/math.ts";
import { add, mul, sub } from "../ops/pointwise.ts";
import { reshape } from "../ops/view.ts";
import type { Tensor } from "../tensor.ts";
import {
  Conv1d,
  Conv2d,
  Conv3d,
  ConvTranspose1d,
  ConvTranspose2d,
  ConvTranspose3d,
} from "./conv.ts";
import { Linear } from "./linear.ts";
import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from "./norm.ts";
import { Parameter } from "./parameter.ts";

type Conv = Conv1d | Conv2d | Conv3d;
type ConvTranspose = ConvTranspose1d | ConvTranspose2d | ConvTranspose3d;
type BatchNorm = BatchNorm1d | BatchNorm2d | BatchNorm3d;

const CONVS = [Conv1d, Conv2d, Conv3d] as const;
const TRANSPOSES = [ConvTranspose1d, ConvTranspose2d, ConvTranspose3d] as const;
const NORMS = [BatchNorm1d, BatchNorm2d, BatchNorm3d] as const;

/** Weight and bias of a layer that does what the layer and the norm behind it do. */
export type FuseWeights = (
  weight: Tensor,
  bias: Tensor | null,
  runningMean: Tensor,
  runningVar: Tensor,
  eps: number,
  normWeight: Tensor | null,
  normBias: Tensor | null,
  transpose?: boolean | { transpose?: boolean },
) => [weight: Parameter, bias: Parameter];

/** `w · s` and `(b - mean) · s + shift` with `s = scale / √(var + eps)`, the outputs along a dim of the weight. */
function fused(
  weight: Tensor,
  bias: Tensor | null,
  mean: Tensor,
  variance: Tensor,
  eps: number,
  scale: Tensor | null,
  shift: Tensor | null,
  outputs: number,
): [weight: Parameter, bias: Parameter] {
  return inMode(false, () => {
    const factor = mul(rsqrt(add(variance, eps)), scale ?? onesLike(variance));
    const along = weight.shape.map((_, d) => d === outputs ? -1 : 1);
    const w = mul(weight, reshape(factor, along));
    const b = add(mul(sub(bias ?? zerosLike(mean), mean), factor), shift ?? zerosLike(mean));
    const own = (t: Tensor, like: Tensor) =>
      new Parameter(cast(t, weight.dtype), { requiresGrad: like.requiresGrad });
    return [own(w, weight), own(b, bias ?? weight)];
  });
}

/**
 * Weight and bias of a convolution and the batch norm behind it, as one convolution:
 * `w · s` and `(b - mean) · s + shift` with `s = scale / √(var + eps)`. With `transpose` the weight is (in, out, …).
 */
export const fuseConvBnWeights: FuseWeights = op(
  "fuseConvBnWeights(convW, convB, bnRm, bnRv, bnEps, bnW, bnB, transpose=false)",
  (
    w: Tensor,
    b: Tensor | null,
    mean: Tensor,
    variance: Tensor,
    eps: number,
    scale: Tensor | null,
    shift: Tensor | null,
    transpose: boolean,
  ) => fused(w, b, mean, variance, eps, scale, shift, transpose ? 1 : 0),
);

/** Weight and bias of a linear layer and the batch norm behind it, as one linear layer; see `fuseConvBnWeights`. */
export const fuseLinearBnWeights: (
  weight: Tensor,
  bias: Tensor | null,
  runningMean: Tensor,
  runningVar: Tensor,
  eps: number,
  normWeight: Tensor | null,
  normBias: Tensor | null,
) => [weight: Parameter, bias: Parameter] = op(
  "fuseLinearBnWeights(linearW, linearB, bnRm, bnRv, bnEps, bnW, bnB)",
  (
    w: Tensor,
    b: Tensor | null,
    mean: Tensor,
    variance: Tensor,
    eps: number,
    scale: Tensor | null,
    shift: Tensor | null,
  ) => fused(w, b, mean, variance, eps, scale, shift, 0),
);

/** The class of those given that a layer is of. */
function kindOf<T extends abstract new (...args: never[]) => unknown>(
  name: string,
  layer: unknown,
  kinds: readonly T[],
): T {
  const kind = kinds.find((k) => layer instanceof k);
  if (kind !== undefined) return kind;
  throw new ArgumentError(
    `Cannot ${name} of ${show(layer)}: it must be one of ${kinds.map((k) => k.name).join(", ")}`,
    { op: name },
  );
}

/** Fails unless both compute as in inference and the norm has statistics for as many channels. */
function checkPair(name: string, layer: Conv | ConvTranspose | Linear, bn: BatchNorm): void {
  kindOf(name, bn, NORMS);
  if (layer.training || bn.training || bn.runningMean === null) {
    throw new ArgumentError(
      `Cannot ${name}: both modules must be in evaluation mode, and the norm must keep running statistics`,
      { op: name, hint: "call eval() on the model first" },
    );
  }
  const outputs = layer instanceof Linear ? layer.outFeatures : layer.outChannels;
  if (outputs !== bn.numFeatures) {
    throw new ArgumentError(
      `Cannot ${name}: the layer has ${outputs} outputs, the norm ${bn.numFeatures} channels`,
      { op: name },
    );
  }
}

/**
 * A new convolution that does what a convolution and the batch norm behind it do in evaluation. A transposed one takes
 * `{ transpose: true }` and must have one group.
 * Errors: ArgumentError for modules in training mode, without running statistics or of other classes.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const model = new nn.Sequential(new nn.Conv2d(3, 8, 3), new nn.BatchNorm2d(8)).eval();
 * const one = nn.utils.fuseConvBnEval(model[0] as nn.Conv2d, model[1] as nn.BatchNorm2d);
 * const x = randn([1, 3, 5, 5]);
 * console.log(one.forward(x).sub(model.forward(x)).abs().max().item() < 1e-5); // true
 * ```
 */
export const fuseConvBnEval: <C extends Conv | ConvTranspose>(
  conv: C,
  bn: BatchNorm,
  transpose?: boolean | { transpose?: boolean },
) => C = op(
  "fuseConvBnEval(conv, bn, transpose=false)",
  ((conv: Conv | ConvTranspose, bn: BatchNorm, transpose: boolean) => {
    const name = "fuseConvBnEval";
    const kind = kindOf<new (a: number, b: number, c: number[], o: object) => Conv>(
      name,
      conv,
      (transpose ? TRANSPOSES : CONVS) as never,
    );
    checkPair(name, conv, bn);
    if (transpose && conv.groups !== 1) {
      throw new ArgumentError(
        `Cannot ${name} of a transposed convolution in ${conv.groups} groups`,
        {
          op: name,
        },
      );
    }
    const { inChannels, outChannels, kernelSize, stride, padding, dilation, groups } = conv;
    const { dtype, device } = conv.weight;
    const own = "outputPadding" in conv
      ? { outputPadding: conv.outputPadding }
      : { paddingMode: conv.paddingMode };
    const one = new kind(inChannels, outChannels, [...kernelSize], {
      ...{ stride, padding, dilation, groups, dtype, device },
      ...own,
    });
    [one.weight, one.bias] = fuseConvBnWeights(
      conv.weight,
      conv.bias,
      bn.runningMean!,
      bn.runningVar!,
      bn.eps,
      bn.weight,
      bn.bias,
      { transpose },
    );
    return one.eval();
  }) as never,
);

/** A new linear layer that does what a linear layer and the batch norm behind it do in evaluation; see `fuseConvBnEval`. */
export const fuseLinearBnEval: (linear: Linear, bn: BatchNorm) => Linear = op(
  "fuseLinearBnEval(linear, bn)",
  (linear: Linear, bn: BatchNorm) => {
    kindOf("fuseLinearBnEval", linear, [Linear]);
    checkPair("fuseLinearBnEval", linear, bn);
    const { dtype, device } = linear.weight;
    const one = new Linear(linear.inFeatures, linear.outFeatures, { dtype, device });
    [one.weight, one.bias] = fuseLinearBnWeights(
      linear.weight,
      linear.bias,
      bn.runningMean!,
      bn.runningVar!,
      bn.eps,
      bn.weight,
      bn.bias,
    );
    return one.eval();
  },
);
