/**
 * Norms together with the statistics that they took, as PyTorch's `native_…` forms give them: `[output, mean, rstd]`, where
 * rstd is `1 / √(variance + eps)`.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ShapeError } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { DTYPES } from "../dtype.ts";
import { cast } from "./map.ts";
import { rsqrt } from "./math.ts";
import { varMean } from "./moments.ts";
import { batchNorm, groupNorm, layerNorm } from "./normalization.ts";
import { add } from "./pointwise.ts";
import { movedim, reshape } from "./view.ts";

/** Mean and rstd over dims, in the dtype of x. */
function statistics(x: Tensor, dims: number | number[], eps: number, keepdim: boolean): Tensor[] {
  const { var: variance, mean } = varMean(x, { dim: dims, correction: 0, keepdim });
  return [mean, rsqrt(add(variance!, eps))];
}

/** Layer norm over the last dims, with the mean and rstd of each row, which carry no gradient. */
export const nativeLayerNorm: (
  input: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
) => Tensor[] = op(
  "nativeLayerNorm(input, normalizedShape, weight, bias, eps)",
  (
    x: Tensor,
    shape: readonly number[],
    weight: Tensor | null,
    bias: Tensor | null,
    eps: number,
  ) => {
    const y = layerNorm(x, shape, { weight, bias, eps });
    const dims = shape.map((_, d) => x.ndim - shape.length + d);
    return [y, ...inMode(false, () => statistics(x.detach(), dims, eps, true))];
  },
);

/** Group norm of N samples of C channels with HxW places each, with the mean and rstd of each group. */
export const nativeGroupNorm: (
  input: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  N: number,
  C: number,
  HxW: number,
  group: number,
  eps: number,
) => Tensor[] = op(
  "nativeGroupNorm(input, weight, bias, N, C, HxW, group, eps)",
  (
    x: Tensor,
    weight: Tensor | null,
    bias: Tensor | null,
    n: number,
    c: number,
    places: number,
    group: number,
    eps: number,
  ) => {
    if (x.numel !== n * c * places) {
      throw new ShapeError(
        `Cannot nativeGroupNorm ${
          shapeText(x.shape)
        } as ${n} by ${c} by ${places}: the counts differ`,
        { op: "nativeGroupNorm" },
      );
    }
    const y = groupNorm(reshape(x, [n, c, places]), group, { weight, bias, eps });
    const [mean, rstd] = statistics(reshape(x, [n, group, c / group * places]), 2, eps, false);
    return [reshape(y, x.shape), mean, rstd];
  },
);

/** Batch norm, with the mean and rstd of the batch for each channel; empty ones where it was not taken. */
export const nativeBatchNorm: (
  input: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  training: boolean,
  momentum: number,
  eps: number,
) => Tensor[] = op(
  "nativeBatchNorm(input, weight, bias, runningMean, runningVar, training, momentum, eps)",
  (
    x: Tensor,
    weight: Tensor | null,
    bias: Tensor | null,
    runningMean: Tensor | null,
    runningVar: Tensor | null,
    training: boolean,
    momentum: number,
    eps: number,
  ) => {
    const y = batchNorm(x, runningMean, runningVar, { weight, bias, training, momentum, eps });
    if (!training) {
      const info = DTYPES[runningMean?.dtype ?? "float32"];
      const none = () => empty([0], info, x.storage.device);
      return [y, none(), none()];
    }
    return [
      y,
      ...inMode(false, () => {
        const rows = reshape(movedim(x.detach(), 1, 0), [x.shape[1], -1]);
        return statistics(rows, 1, eps, false).map((t) => cast(t, x.dtype));
      }),
    ];
  },
);
