/**
 * What is done to the parameters of a model together: clipping of gradients, flattening.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { DTYPES, promoteTypes } from "../dtype.ts";
import { ArgumentError, AutogradError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { cat } from "../ops/joining.ts";
import { mapOut } from "../ops/map.ts";
import { contiguous, reshape, view } from "../ops/view.ts";
import { narrow } from "../ops/window.ts";
import { empty, Tensor } from "../tensor.ts";
import { flat, Gradients, gradientsOf, MOST, tensorsOf } from "./gradients.ts";

/** Options of `clipGradNorm_`. */
export interface ClipGradNormOptions {
  /** The norm's order, also Infinity; default 2. */
  normType?: number;
  /** Throw where the norm is NaN or infinite, which waits for the device; default false. */
  errorIfNonfinite?: boolean;
}

/** Parameters as clipping takes them. */
export type ParametersLike = Iterable<Tensor> | Tensor;

/** The norm of all gradients as a 0-d tensor. */
function totalNorm(gradients: Gradients, order: number): Tensor {
  const all = gradients.all;
  const info = all.length === 0
    ? DTYPES.float32
    : DTYPES[all.map((g) => g.dtype).reduce((a, b) => promoteTypes(a, b))];
  const device = all[0]?.storage.device ?? 0;
  const norms: Tensor[] = [];
  gradients.inParts((operands, dense) => {
    const norm = empty([], info, device);
    run("clipGradNorm_", OP.grad_norm, [norm], operands, [dense, order]);
    norms.push(norm);
  });
  if (norms.length === 1) return norms[0];
  const total = empty([], info, device);
  run("clipGradNorm_", OP.grad_norm, [total], norms, [norms.length, order]);
  return total;
}

/** Scales gradients down together. */
export type ClipGradNorm = {
  (parameters: ParametersLike, maxNorm: number, options?: ClipGradNormOptions): Tensor;
  (
    parameters: ParametersLike,
    maxNorm: number,
    normType: number,
    options?: ClipGradNormOptions,
  ): Tensor;
};

/**
 * Scales all gradients in place so that their norm together is at most `maxNorm`:
 * `g ← g · min(1, maxNorm / (norm + 1e-6))`. Returns the norm before, a 0-d tensor; nothing waits for the device.
 *
 * Norms are summed in float64. Gradients of embeddings are read and scaled only where they have rows.
 * Errors: AutogradError with `{ errorIfNonfinite: true }` where the norm is NaN or infinite. Source: Pascanu, Mikolov
 * and Bengio 2012, arXiv 1211.5063.
 *
 * ```ts
 * import { nn, tensor } from "@toro/toro";
 * const w = tensor([3, 4], { requiresGrad: true });
 * w.mul(w).sum().backward();
 * nn.utils.clipGradNorm_([w], 1).item(); // 10
 * ```
 */
export const clipGradNorm_: ClipGradNorm = op<ClipGradNorm>(
  "clipGradNorm_(parameters, maxNorm, normType=2, errorIfNonfinite=false)",
  (parameters: ParametersLike, maxNorm: number, normType: number, errorIfNonfinite: boolean) => {
    checkNumbers("clipGradNorm_", { maxNorm, normType });
    // Orders up to 0 count the zeros of rows that no batch has read.
    const gradients = gradientsOf(tensorsOf(parameters, "clipGradNorm_"), normType > 0);
    const norm = totalNorm(gradients, normType);
    if (errorIfNonfinite) checkFinite("clipGradNorm_", norm, normType);
    scaleBy("clipGradNorm_", gradients, norm, maxNorm);
    return norm;
  },
);

function checkNumbers(name: string, values: Readonly<Record<string, unknown>>): void {
  for (const [what, value] of Object.entries(values)) {
    if (typeof value === "number" && !Number.isNaN(value)) continue;
    throw new ArgumentError(`Cannot ${name}: ${what} must be a number, got ${show(value)}`, {
      op: name,
    });
  }
}

function checkFinite(name: string, norm: Tensor, order: number): void {
  if (Number.isFinite(norm.item())) return;
  throw new AutogradError(
    `Cannot ${name}: the norm of order ${order} of all gradients is ${norm.item()}`,
    { op: name, hint: "leave errorIfNonfinite out to take it anyway" },
  );
}

function scaleBy(name: string, gradients: Gradients, norm: Tensor, maxNorm: number): void {
  if (gradients.all.length === 0) return;
  gradients.inParts((operands, dense) => {
    run(name, OP.grad_scale, [], [norm, ...operands], [dense, maxNorm]);
  });
  gradients.changed();
}

/** The norm of several tensors together. */
export type GetTotalNorm = {
  (tensors: ParametersLike, options?: ClipGradNormOptions): Tensor;
  (tensors: ParametersLike, normType: number, options?: ClipGradNormOptions): Tensor;
};

/**
 * The norm of all tensors together, as of one vector: a 0-d tensor. With `clipGradsWithNorm_` the two halves of
 * `clipGradNorm_`. Norms are summed in float64. Errors: as `clipGradNorm_`.
 */
export const getTotalNorm: GetTotalNorm = op<GetTotalNorm>(
  "getTotalNorm(tensors, normType=2, errorIfNonfinite=false)",
  (tensors: ParametersLike, normType: number, errorIfNonfinite: boolean) => {
    checkNumbers("getTotalNorm", { normType });
    const list = tensorsOf(tensors, "getTotalNorm").map((t) => contiguous(t.detach()));
    const norm = totalNorm(new Gradients(list, normType > 0), normType);
    if (errorIfNonfinite) checkFinite("getTotalNorm", norm, normType);
    return norm;
  },
);

/** Scales all gradients in place by `min(1, maxNorm / (totalNorm + 1e-6))`. */
export const clipGradsWithNorm_: (
  parameters: ParametersLike,
  maxNorm: number,
  totalNorm: Tensor,
) => void = op(
  "clipGradsWithNorm_(parameters, maxNorm, totalNorm)",
  (parameters: ParametersLike, maxNorm: number, norm: Tensor) => {
    checkNumbers("clipGradsWithNorm_", { maxNorm });
    if (!(norm instanceof Tensor && norm.numel === 1 && norm.info.isFloat)) {
      throw new ArgumentError(
        `Cannot clipGradsWithNorm_: totalNorm must be a float tensor of one element, got ${
          show(norm)
        }`,
        { op: "clipGradsWithNorm_" },
      );
    }
    const gradients = gradientsOf(tensorsOf(parameters, "clipGradsWithNorm_"), true);
    scaleBy("clipGradsWithNorm_", gradients, norm, maxNorm);
  },
);

/** Clamps gradients. */
export type ClipGradValue = (parameters: ParametersLike, clipValue: number) => void;

/** Clamps every element of all gradients, in place, to `[-clipValue, clipValue]`. */
export const clipGradValue_: ClipGradValue = op<ClipGradValue>(
  "clipGradValue_(parameters, clipValue)",
  (parameters: ParametersLike, clipValue: number) => {
    checkNumbers("clipGradValue_", { clipValue });
    const gradients = gradientsOf(tensorsOf(parameters, "clipGradValue_"), true);
    // What lies in rows that are not in use may be clamped too.
    const values = gradients.rows.map(({ sum }) => sum.values);
    const all = [...gradients.dense, ...values];
    for (let at = 0; at < all.length; at += MOST) {
      run("clipGradValue_", OP.grad_clamp, [], all.slice(at, at + MOST).map(flat), [clipValue]);
    }
    gradients.changed();
  },
);

/** Parameters as one vector. */
export const parametersToVector: (parameters: Iterable<Tensor>) => Tensor = op(
  "parametersToVector(parameters)",
  (parameters: Iterable<Tensor>) =>
    cat(tensorsOf(parameters, "parametersToVector").map((p) => reshape(p, [-1]))),
);

/**
 * Writes a vector's elements into parameters, in order.
 * Errors: ShapeError unless the vector has as many elements as the parameters together.
 */
export const vectorToParameters: (vec: Tensor, parameters: Iterable<Tensor>) => void = op(
  "vectorToParameters(vec, parameters)",
  (vec: Tensor, parameters: Iterable<Tensor>) => {
    const list = tensorsOf(parameters, "vectorToParameters");
    const numel = list.reduce((n, p) => n + p.numel, 0);
    if (!(vec instanceof Tensor) || vec.ndim !== 1 || vec.numel !== numel) {
      throw new ShapeError(
        `Cannot vectorToParameters of ${show(vec)}: the parameters have ${numel} elements`,
        {
          op: "vectorToParameters",
        },
      );
    }
    let at = 0;
    for (const p of list) {
      mapOut(
        "vectorToParameters",
        OP.copy,
        p,
        view(narrow(vec.detach(), 0, at, p.numel), p.shape),
        null,
        p.info,
      );
      p.storage.version++;
      at += p.numel;
    }
  },
);

export {
  fuseConvBnEval,
  fuseConvBnWeights,
  fuseLinearBnEval,
  fuseLinearBnWeights,
  type FuseWeights,
} from "./fusion.ts";
export * as parametrizations from "./parametrizations.ts";
export * as parametrize from "./parametrize.ts";
export * as prune from "./prune.ts";
export * as rnn from "./rnn.ts";
export {
  removeSpectralNorm,
  removeWeightNorm,
  spectralNorm,
  type SpectralNormOptions,
  weightNorm,
  type WeightNormOptions,
} from "./weight_norm.ts";
