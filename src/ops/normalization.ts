/**
 * Normalisations: by batch, layer, group, root mean square and vector norm. The first two have fused kernels forward
 * and back; the rules for higher orders are written in plain ops.
 *
 * @module
 */
import { run, type ScalarWord } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wantsAny } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { type Draw, draw } from "../random.ts";
import { numelOf, sameShape, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { reluGrad } from "./activation.ts";
import { filled } from "./creation.ts";
import { cast, mapOut, needs } from "./map.ts";
import { sqrt } from "./math.ts";
import { norm } from "./moments.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { clampMin } from "./bounds.ts";
import { type Dims, mean, reshaped, sum } from "./reduction.ts";
import { clone, expand, reshape } from "./view.ts";

/** An operand that is not there. */
function absent(like: Tensor): Tensor {
  return empty([0], like.info, like.storage.device);
}

/** Fails unless the input is a float tensor, and a parameter one of a size. */
function checkParameter(
  name: string,
  x: Tensor,
  parameter: Tensor | null,
  size: number,
  what: string,
): void {
  if (!x.info.isFloat) {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float tensors only`, { op: name });
  }
  if (parameter === null) return;
  if (parameter.numel !== size) {
    throw new ShapeError(
      `Cannot ${name} input ${shapeText(x.shape)} with ${what} ${
        shapeText(parameter.shape)
      }: it needs ${size} elements`,
      { op: name },
    );
  }
  if (!parameter.info.isFloat) {
    throw new DTypeError(
      `Cannot ${name} with ${what} ${show(parameter)}: it must be a float tensor`,
      { op: name },
    );
  }
}

// ---- batch norm ---------------------------------------------------------------------------------

/** What batch norm takes by name. */
export interface BatchNormOptions {
  /** Factor of each channel, (C). */
  weight?: Tensor | null;
  /** Summand of each channel, (C). */
  bias?: Tensor | null;
  /** Take the batch's own statistics, and update the running ones. */
  training?: boolean;
  /** Share of the batch's statistics in the new running ones; default 0.1. */
  momentum?: number;
  /** Added to the variance; default 1e-5. */
  eps?: number;
}

/** Normalises by batch statistics. */
export type BatchNorm = (
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  weight?: Tensor | null | BatchNormOptions,
  bias?: Tensor | null | BatchNormOptions,
  options?: BatchNormOptions,
) => Tensor;

/** A per-channel vector as a tensor that broadcasts to (N, C, …). */
function channels(t: Tensor, like: Tensor): Tensor {
  return reshape(t, like.shape.map((n, d) => d === 1 ? n : 1));
}

/**
 * Batch norm: `y = (x - mean) / sqrt(var + eps) · weight + bias` for each channel. Shapes: input (N, C) or (N, C, L…),
 * the rest (C). In training mean and var are the batch's, over all dims but C, and the running ones move towards them
 * in place by `momentum`, the variance unbiased; else the running ones are used. Statistics are taken in float64.
 * Errors: ShapeError for sizes that differ; ArgumentError for one value per channel in training.
 * Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
 */
export const batchNorm: BatchNorm = op(
  "batchNorm(input, runningMean, runningVar, weight=null, bias=null, training=false, momentum=0.1, eps=1e-5)",
  (
    x: Tensor,
    runningMean: Tensor | null,
    runningVar: Tensor | null,
    weight: Tensor | null,
    bias: Tensor | null,
    training: boolean,
    momentum: number,
    eps: number,
  ) => {
    if (x.ndim === 1 && x.numel === 0) return clone(x);
    if (x.ndim < 2) {
      throw new ShapeError(
        `Cannot batchNorm ${shapeText(x.shape)}: input must be [N, C] or [N, C, ...]`,
        { op: "batchNorm" },
      );
    }
    const c = x.shape[1];
    const named: [Tensor | null, string][] = [[weight, "weight"], [bias, "bias"], [
      runningMean,
      "runningMean",
    ], [
      runningVar,
      "runningVar",
    ]];
    for (const [t, what] of named) checkParameter("batchNorm", x, t, c, what);
    if (x.numel === 0) {
      // Nothing to take statistics of: the running ones stay, and gradients are zeros.
      const y = weight === null || c === 0 ? clone(x) : mul(x, channels(weight, x));
      return bias === null || c === 0 ? y : add(y, channels(bias, x));
    }
    const count = x.numel / c;
    if (training && count === 1) {
      throw new ArgumentError(
        `Cannot batchNorm ${shapeText(x.shape)} in training: one value per channel has no variance`,
        {
          op: "batchNorm",
        },
      );
    }
    if (!training && (runningMean === null || runningVar === null)) {
      throw new ArgumentError(
        "Cannot batchNorm: without training it needs runningMean and runningVar",
        { op: "batchNorm" },
      );
    }
    return normed(x, runningMean, runningVar, weight, bias, training, momentum, eps, null);
  },
);

/** What follows a batch norm in training within its pass: a ReLU, and a dropout of a chance below 1. */
interface Ending {
  readonly chance: number;
  readonly stream: Draw;
}

/** Batch norm of operands that fit. */
function normed(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  weight: Tensor | null,
  bias: Tensor | null,
  training: boolean,
  momentum: number,
  eps: number,
  ending: Ending | null,
): Tensor {
  const device = x.storage.device;
  const y = empty(x.shape, x.info, device);
  let m: Tensor, v: Tensor;
  if (training) {
    const c = x.shape[1], kept = x.shape.map((n, d) => d === 1 ? n : 1);
    m = empty(kept, DTYPES.float64, device);
    v = empty(kept, DTYPES.float64, device);
    const running = [runningMean ?? absent(x), runningVar ?? absent(x)];
    const scalars: ScalarWord[] = [eps, momentum];
    if (ending !== null) scalars.push(ending.chance, ending.stream.seed, ending.stream.offset);
    run("batchNorm", OP.batch_norm, [y, m, v, ...running], [
      x,
      weight ?? absent(x),
      bias ?? absent(x),
    ], scalars);
    for (const t of [runningMean, runningVar]) if (t !== null) t.storage.version++;
    m = reshaped(m, [c]);
    v = reshaped(v, [c]);
  } else {
    m = runningMean!;
    v = runningVar!;
    run("batchNorm", OP.batch_norm_eval, [y], [x, m, v, weight ?? absent(x), bias ?? absent(x)], [
      eps,
    ]);
  }
  const inputs = [x, weight, bias].filter((t) => t !== null);
  if (wantsAny(inputs)) {
    const saved = [x, ...(training ? [] : [m, v]), ...(weight === null ? [] : [weight])];
    if (ending !== null) saved.push(y);
    const after = ending === null ? null : { y, factor: 1 / (1 - ending.chance) };
    record("batchNorm", inputs, [y], ([g]) => {
      if (g === null) return inputs.map(() => null);
      const grads = isGradEnabled()
        ? composedBatchNorm(through(g, after), x, training ? null : [m, v], weight, eps)
        : fusedBatchNorm(g, x, m, v, weight, bias, training, eps, after);
      return [
        grads[0],
        ...(weight === null ? [] : [grads[1]]),
        ...(bias === null ? [] : [grads[2]]),
      ];
    }, saved);
  }
  return y;
}

/** The result of an ending, and what its dropout multiplied by. */
type After = { readonly y: Tensor; readonly factor: number } | null;

/** The gradient before an ending, of that after it. */
function through(g: Tensor, after: After): Tensor {
  return after === null ? g : reluGrad(mul(g, after.factor), after.y);
}

/**
 * `dropout(relu(batchNorm(x)), chance)` in training as one pass each way, with the numbers of the three; null for
 * operands that one pass is not made for.
 */
export function batchNormRelu(
  x: Tensor,
  norm: {
    readonly runningMean: Tensor | null;
    readonly runningVar: Tensor | null;
    readonly weight: Tensor | null;
    readonly bias: Tensor | null;
    readonly eps: number;
  },
  momentum: () => number,
  chance: number,
): Tensor | null {
  const { runningMean, runningVar, weight, bias, eps } = norm, c = x.shape[1];
  const fits = (x.dtype === "float32" || x.dtype === "float64") && x.isContiguous() &&
    x.storage.device === 0 && x.numel > c && chance < 1 &&
    [runningMean, runningVar, weight, bias].every((t) =>
      t === null || t.info.isFloat && t.numel === c && t.storage.device === 0
    );
  if (!fits) return null;
  const ending = { chance, stream: chance === 0 ? NO_DRAW : draw(x.numel) };
  return normed(x, runningMean, runningVar, weight, bias, true, momentum(), eps, ending);
}

const NO_DRAW: Draw = { seed: 0n, offset: 0 };

function fusedBatchNorm(
  g: Tensor,
  x: Tensor,
  m: Tensor,
  v: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  training: boolean,
  eps: number,
  after: After,
): (Tensor | null)[] {
  const device = x.storage.device;
  const gx = needs(x) ? empty(x.shape, x.info, device) : null;
  const gw = weight !== null && needs(weight) ? empty(weight.shape, weight.info, device) : null;
  const gb = bias !== null && needs(bias) ? empty(bias.shape, bias.info, device) : null;
  const outs = [gx ?? absent(x), gw ?? absent(x), gb ?? absent(x)];
  const ins = [g, x, m, v, weight ?? absent(x)], scalars = [eps, training ? 1 : 0];
  if (after !== null) {
    ins.push(after.y);
    scalars.push(after.factor);
  }
  run("the backward of batchNorm", OP.batch_norm_grad, outs, ins, scalars);
  return [gx, gw, gb];
}

/** The gradients in plain ops. */
function composedBatchNorm(
  g: Tensor,
  x: Tensor,
  statistics: readonly [Tensor, Tensor] | null,
  weight: Tensor | null,
  eps: number,
): (Tensor | null)[] {
  const dims = x.shape.map((_, d) => d).filter((d) => d !== 1);
  const center = statistics === null
    ? mean(x, dims, { keepdim: true })
    : channels(statistics[0], x);
  const d = sub(x, center);
  const variance = statistics === null
    ? mean(mul(d, d), dims, { keepdim: true })
    : channels(statistics[1], x);
  const scale = sqrt(add(variance, eps));
  const h = div(d, scale);
  const gh = weight === null ? g : mul(g, channels(weight, x));
  const inner = statistics !== null ? gh : sub(
    sub(gh, mean(gh, dims, { keepdim: true })),
    mul(h, mean(mul(gh, h), dims, { keepdim: true })),
  );
  const gx = cast(div(inner, scale), x.dtype);
  if (weight === null) return [gx, null, sum(g, dims)];
  return [gx, cast(sum(mul(g, h), dims), weight.dtype), cast(sum(g, dims), weight.dtype)];
}

// ---- layer norm and root mean square norm -------------------------------------------------------

/** What layer norm takes by name. */
export interface LayerNormOptions {
  /** Factors, of the normalised shape. */
  weight?: Tensor | null;
  /** Summands, of the normalised shape. */
  bias?: Tensor | null;
  /** Added to the variance. */
  eps?: number | null;
}

/** Normalises over the last dims. */
export type LayerNorm = (
  input: Tensor,
  normalizedShape: readonly number[] | number,
  weight?: Tensor | null | LayerNormOptions,
  bias?: Tensor | null | LayerNormOptions,
  options?: LayerNormOptions,
) => Tensor;

/** Root mean square norm over the last dims. */
export type RmsNorm = (
  input: Tensor,
  normalizedShape: readonly number[] | number,
  weight?: Tensor | null | Omit<LayerNormOptions, "bias">,
  eps?: number | null | Omit<LayerNormOptions, "bias">,
  options?: Omit<LayerNormOptions, "bias">,
) => Tensor;

function normalise(
  name: string,
  rms: boolean,
  x: Tensor,
  normalized: readonly number[] | number,
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
): Tensor {
  const shape = typeof normalized === "number" ? [normalized] : normalized;
  const last = shape.length;
  if (
    !Array.isArray(shape) || last === 0 || last > x.ndim ||
    !sameShape(x.shape.slice(x.ndim - last), shape)
  ) {
    throw new ShapeError(
      `Cannot ${name} input ${shapeText(x.shape)} over ${show(shape)}: its last dims must be these`,
      { op: name },
    );
  }
  const n = numelOf(shape);
  for (const [t, what] of [[weight, "weight"], [bias, "bias"]] as const) {
    checkParameter(name, x, t, n, what);
    if (t !== null && !sameShape(t.shape, shape)) {
      throw new ShapeError(
        `Cannot ${name} over ${show(shape)} with ${what} ${shapeText(t.shape)}: the shapes differ`,
        {
          op: name,
        },
      );
    }
  }
  const device = x.storage.device;
  const rows = numelOf(x.shape.slice(0, x.ndim - last));
  const info = x.dtype === "float64" ? DTYPES.float64 : DTYPES.float32;
  const y = empty(x.shape, x.info, device);
  const m = empty([rows], info, device), r = empty([rows], info, device);
  // A bias without a weight goes with a weight of ones.
  const factor = weight ?? (bias === null ? absent(x) : filled(shape, 1, x.info, device));
  run(name, OP.layer_norm, [y, m, r], [x, factor, bias ?? absent(x)], [last, eps, rms ? 1 : 0]);
  const inputs = [x, weight, bias].filter((t) => t !== null);
  if (wantsAny(inputs)) {
    record(name, inputs, [y], ([g]) => {
      if (g === null) return inputs.map(() => null);
      let grads: (Tensor | null)[];
      if (isGradEnabled()) {
        grads = composedLayerNorm(g, x, last, weight, eps, rms);
      } else {
        const gx = needs(x) ? empty(x.shape, x.info, device) : null;
        const gw = weight !== null && needs(weight) ? empty([n], weight.info, device) : null;
        const gb = bias !== null && needs(bias) ? empty([n], bias.info, device) : null;
        const outs = [gx ?? absent(x), gw ?? absent(x), gb ?? absent(x)];
        run(
          `the backward of ${name}`,
          OP.layer_norm_grad,
          outs,
          [g, x, m, r, weight ?? absent(x)],
          [last, rms ? 1 : 0],
        );
        grads = [gx, gw && reshaped(gw, shape), gb && reshaped(gb, shape)];
      }
      return [
        grads[0],
        ...(weight === null ? [] : [grads[1]]),
        ...(bias === null ? [] : [grads[2]]),
      ];
    }, weight === null ? [x] : [x, weight]);
  }
  return y;
}

/** The gradients in plain ops. */
function composedLayerNorm(
  g: Tensor,
  x: Tensor,
  last: number,
  weight: Tensor | null,
  eps: number,
  rms: boolean,
): (Tensor | null)[] {
  const dims = x.shape.map((_, d) => d).slice(x.ndim - last);
  const lead = x.shape.map((_, d) => d).slice(0, x.ndim - last);
  const average = (t: Tensor) => mean(t, dims, { keepdim: true });
  const d = rms ? x : sub(x, average(x));
  const scale = sqrt(add(average(mul(d, d)), eps));
  const h = div(d, scale);
  const gh = weight === null ? g : mul(g, weight);
  const centered = rms ? gh : sub(gh, average(gh));
  const gx = cast(div(sub(centered, mul(h, average(mul(gh, h)))), scale), x.dtype);
  const total = (t: Tensor) => lead.length === 0 ? t : sum(t, lead);
  return [gx, weight === null ? null : cast(total(mul(g, h)), weight.dtype), total(g)];
}

/**
 * Layer norm over the last dims: `y = (x - mean) / sqrt(var + eps) · weight + bias`, mean and var of each row.
 * Shapes: x (…, C…), weight and bias (C…). Types: float; bfloat16 and float16 compute in float32.
 * Errors: ShapeError when the last dims are not `normalizedShape`. Source: Ba et al. 2016, arXiv 1607.06450.
 */
export const layerNorm: LayerNorm = op(
  "layerNorm(input, normalizedShape, weight=null, bias=null, eps=1e-5)",
  (
    x: Tensor,
    shape: readonly number[] | number,
    weight: Tensor | null,
    bias: Tensor | null,
    eps: number,
  ) => normalise("layerNorm", false, x, shape, weight, bias, eps),
);

/**
 * Root-mean-square norm over the last dims: `y = x / sqrt(mean(x²) + eps) · weight`. Shapes: x (…, C…), weight (C…).
 * Without eps it is the input type's smallest relative step. Source: Zhang and Sennrich 2019, arXiv 1910.07467.
 */
export const rmsNorm: RmsNorm = op(
  "rmsNorm(input, normalizedShape, weight=null, eps=null)",
  (x: Tensor, shape: readonly number[] | number, weight: Tensor | null, eps: number | null) =>
    normalise("rmsNorm", true, x, shape, weight, null, eps ?? STEP[x.dtype] ?? 0),
);

/** The step from 1 to the next number; half types compute in float32 and take its own. */
const STEP: Readonly<Record<string, number>> = {
  float32: 2 ** -23,
  float64: 2 ** -52,
  float16: 2 ** -23,
  bfloat16: 2 ** -23,
};

/** Normalises groups of channels. */
export type GroupNorm = (
  input: Tensor,
  numGroups: number,
  weight?: Tensor | null | LayerNormOptions,
  bias?: Tensor | null | LayerNormOptions,
  options?: LayerNormOptions,
) => Tensor;

/**
 * Group norm: channels in `numGroups` groups, each group of each sample normalised by its own mean and variance.
 * Shapes: input (N, C, …), weight and bias (C). Errors: ShapeError when C is no multiple of `numGroups`.
 * Source: Wu and He 2018, arXiv 1803.08494.
 */
export const groupNorm: GroupNorm = op(
  "groupNorm(input, numGroups, weight=null, bias=null, eps=1e-5)",
  (x: Tensor, groups: number, weight: Tensor | null, bias: Tensor | null, eps: number) => {
    const c = x.shape[1];
    const held = Number.isInteger(groups) && groups >= 1 && c % groups === 0;
    if (x.ndim < 2 || !held || numelOf(x.shape.slice(1)) === 0) {
      throw new ShapeError(
        `Cannot groupNorm input ${shapeText(x.shape)} in ${
          show(groups)
        } groups: input must be [N, C, ...] with C a multiple of the groups, only N may be 0`,
        { op: "groupNorm" },
      );
    }
    checkParameter("groupNorm", x, weight, c, "weight");
    checkParameter("groupNorm", x, bias, c, "bias");
    const inside = [c / groups, ...x.shape.slice(2)];
    const y = reshape(
      layerNorm(reshape(x, [x.shape[0], groups, ...inside]), inside, { eps }),
      x.shape,
    );
    return affine(y, weight, bias);
  },
);

function affine(y: Tensor, weight: Tensor | null, bias: Tensor | null): Tensor {
  const scaled = weight === null ? y : mul(y, channels(weight, y));
  return bias === null ? scaled : add(scaled, channels(bias, y));
}

/** What instance norm takes by name. */
export interface InstanceNormOptions {
  /** Mean of each channel to use, or to update. */
  runningMean?: Tensor | null;
  /** Variance of each channel to use, or to update. */
  runningVar?: Tensor | null;
  /** Factor of each channel, (C). */
  weight?: Tensor | null;
  /** Summand of each channel, (C). */
  bias?: Tensor | null;
  /** Normalise by each sample's own statistics; default true. */
  useInputStats?: boolean;
  /** Share of the input's statistics in the new running ones; default 0.1. */
  momentum?: number;
  /** Added to the variance; default 1e-5. */
  eps?: number;
}

/** Normalises each channel of each sample. */
export type InstanceNorm = (
  input: Tensor,
  runningMean?: Tensor | null | InstanceNormOptions,
  runningVar?: Tensor | null | InstanceNormOptions,
  options?: InstanceNormOptions,
) => Tensor;

/**
 * Instance norm: each channel of each sample normalised over its positions. Shapes: input (N, C, L…), the rest (C).
 * Source: Ulyanov et al. 2016, arXiv 1607.08022.
 */
export const instanceNorm: InstanceNorm = op(
  "instanceNorm(input, runningMean=null, runningVar=null, weight=null, bias=null, useInputStats=true, momentum=0.1, eps=1e-5)",
  (
    x: Tensor,
    runningMean: Tensor | null,
    runningVar: Tensor | null,
    weight: Tensor | null,
    bias: Tensor | null,
    useInputStats: boolean,
    momentum: number,
    eps: number,
  ) => {
    if (x.ndim < 3) {
      throw new ShapeError(
        `Cannot instanceNorm ${shapeText(x.shape)}: input must be [N, C, L, ...]`,
        { op: "instanceNorm" },
      );
    }
    if (!useInputStats) return batchNorm(x, runningMean, runningVar, { weight, bias, eps });
    const [n, c] = x.shape;
    for (const [t, what] of [[weight, "weight"], [bias, "bias"]] as const) {
      checkParameter("instanceNorm", x, t, c, what);
    }
    if (runningMean === null && runningVar === null) {
      return affine(layerNorm(x, x.shape.slice(2), { eps }), weight, bias);
    }
    const rows = reshape(x, [1, n * c, ...x.shape.slice(2)]);
    const repeat = (t: Tensor | null) =>
      t === null ? null : reshape(clone(expand(t.detach(), [n, c])), [n * c]);
    const means = repeat(runningMean), variances = repeat(runningVar);
    const y = batchNorm(rows, means, variances, { training: true, momentum, eps });
    for (const [running, fresh] of [[runningMean, means], [runningVar, variances]] as const) {
      if (running === null || fresh === null) continue;
      mapOut("instanceNorm", OP.copy, running, mean(reshape(fresh, [n, c]), 0), null, running.info);
      running.storage.version++;
    }
    return affine(reshape(y, x.shape), weight, bias);
  },
);

// ---- vectors to length 1 ------------------------------------------------------------------------

/** What `normalize` takes by name. */
export interface NormalizeOptions {
  /** Exponent of the norm; default 2. */
  p?: number;
  /** The dims that a vector spans; default 1. */
  dim?: Dims;
  /** The least length that is divided by; default 1e-12. */
  eps?: number;
}

/** Brings vectors to length 1. */
export type Normalize = (
  input: Tensor,
  p?: number | NormalizeOptions,
  dim?: Dims | NormalizeOptions,
  options?: NormalizeOptions,
) => Tensor;

/** `x / max(‖x‖ₚ, eps)` over a dim. */
export const normalize: Normalize = op(
  "normalize(input, p=2, dim=1, eps=1e-12)",
  (x: Tensor, p: number, dim: Dims, eps: number) =>
    div(x, expand(clampMin(norm(x, p, { dim, keepdim: true }), eps), x.shape)),
);
