/**
 * Autocasting: inside a region some ops take their tensors in a low precision, others in float32, whatever they are
 * given. Which ops is a table here; `op()` asks it once for each op when that is declared.
 *
 * @module
 */
import { isGradEnabled } from "./autograd.ts";
import type { DType } from "./dtype.ts";
import { ArgumentError, show } from "./errors.ts";
import { optionsOf } from "./options.ts";
import { Mode } from "./mode.ts";
import { Tensor } from "./tensor.ts";

/** Options of `autocast`. */
export interface AutocastOptions {
  /** The device whose tensors are meant; default `"cpu"`. */
  device?: string;
  /** The low precision; default bfloat16. */
  dtype?: "bfloat16" | "float16";
  /** Whether it is on; false is for a part inside a region. Default true. */
  enabled?: boolean;
  /** Whether casts of weights are kept for the region; default true. */
  cacheEnabled?: boolean;
}

interface Region {
  readonly dtype: DType;
  readonly enabled: boolean;
  /** Casts of leaves, which all regions inside one another share; null where they are not kept. */
  readonly casts: WeakMap<Tensor, { version: number; cast: Tensor }> | null;
}

const regions = new Mode<Region>();
/** While an op works that has cast its tensors, those inside it cast nothing. */
let suspended = false;

/** What PyTorch casts down on CPU. */
const LOWER = new Set(
  ("addbmm addmm baddbmm bmm matmul mm linear vecdot prelu scaledDotProductAttention conv1d conv2d conv3d convTbc " +
    "convTranspose1d convTranspose2d convTranspose3d")
    .split(" "),
);

/** What PyTorch casts to float32 on CPU. */
const SINGLE = new Set(
  ("adaptiveAvgPool3d adaptiveMaxPool3d avgPool3d binaryCrossEntropy binaryCrossEntropyWithLogits cdist cholesky " +
    "choleskyEx choleskyInverse choleskySolve cond cosineEmbeddingLoss crossEntropy ctcLoss eig eigh eigvals eigvalsh " +
    "fractionalMaxPool2d fractionalMaxPool3d geqrf gridSample hingeEmbeddingLoss householderProduct huberLoss inv invEx " +
    "inverse klDiv l1Loss lstsq luSolve marginRankingLoss matrixRank maxPool3d maxUnpool2d maxUnpool3d mseLoss " +
    "multiMarginLoss multilabelMarginLoss nanquantile nllLoss orgqr ormqr pinverse poissonNllLoss prod qr quantile " +
    "smoothL1Loss softMarginLoss solve svd svdvals tensorinv tensorsolve trace triangularSolve tripletMarginLoss")
    .split(" "),
);

/** What PyTorch gives the widest float type among its tensors. */
const WIDEST = new Set(["cat", "stack", "indexCopy"]);

let castTo: (t: Tensor, dtype: DType) => Tensor;

/** ops/engine.ts hands in the cast. */
export function setAutocastCast(cast: (t: Tensor, dtype: DType) => Tensor): void {
  castTo = cast;
}

function castable(value: unknown): value is Tensor {
  return value instanceof Tensor && value.info.isFloat && value.dtype !== "float64" &&
    value.storage.device === 0;
}

/** A weight's cast is made once in a region; another is made after the weight changed or backward went through it. */
function cast(t: Tensor, dtype: DType, { casts }: Region): Tensor {
  if (t.dtype === dtype) return t;
  const { meta } = t;
  const keeps = casts !== null && meta !== null && meta.requiresGrad && meta.node === null &&
    t.base === null && t.dtype === "float32" && isGradEnabled();
  if (!keeps) return castTo(t, dtype);
  const known = casts.get(t);
  if (
    known !== undefined && known.version === t.storage.version && known.cast.dtype === dtype &&
    known.cast.meta?.node?.backward
  ) return known.cast;
  const made = castTo(t, dtype);
  casts.set(t, { version: t.storage.version, cast: made });
  return made;
}

/** Arguments with the tensors among them, in arrays and options too, given to a function. */
function mapTensors(args: readonly unknown[], change: (t: Tensor) => Tensor): unknown[] {
  const each = (value: unknown): unknown => {
    if (castable(value)) return change(value);
    if (Array.isArray(value) && value.some((v) => v instanceof Tensor)) return value.map(each);
    if (
      typeof value !== "object" || value === null || value instanceof Tensor ||
      Object.getPrototypeOf(value) !== Object.prototype
    ) return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, each(v)]));
  };
  return args.map(each);
}

function convert(args: readonly unknown[], name: string, region: Region): unknown[] {
  if (LOWER.has(name)) return mapTensors(args, (t) => cast(t, region.dtype, region));
  if (SINGLE.has(name)) return mapTensors(args, (t) => cast(t, "float32", region));
  // The widest of the float types; a float64 tensor promotes by itself.
  let wide = false;
  mapTensors(args, (t) => {
    wide ||= t.dtype === "float32";
    return t;
  });
  return wide ? mapTensors(args, (t) => cast(t, "float32", region)) : [...args];
}

/** The op with autocasting before it, where there is a rule for its name; else the op itself. */
export function autocasting<F extends (...args: unknown[]) => unknown>(name: string, call: F): F {
  if (!LOWER.has(name) && !SINGLE.has(name) && !WIDEST.has(name)) return call;
  return ((...args: unknown[]) => {
    if (regions.live === 0 || suspended) return call(...args);
    const region = regions.value();
    if (region === undefined || !region.enabled) return call(...args);
    const converted = convert(args, name, region);
    suspended = true;
    try {
      return call(...converted);
    } finally {
      suspended = false;
    }
  }) as F;
}

/**
 * Runs a synchronous or asynchronous function in mixed precision: products of matrices, linear layers, convolutions and
 * attention take their tensors in `dtype`; losses, some linear algebra and `prod` in float32; `cat` and `stack` in the
 * widest type given; all other ops as they come. The lists are PyTorch's for the CPU. float64 is left alone. Without a
 * function it holds for the rest of a block: `using _ = autocast({ dtype: "bfloat16" })`.
 *
 * Call only forward and the loss inside; backward runs in the types that forward used. Casts of weights are made once in
 * a region. Errors: ArgumentError for another dtype or device.
 *
 * ```ts
 * import { autocast, nn, ones } from "@toro/toro";
 * const layer = new nn.Linear(4, 2);
 * const y = autocast({ device: "cpu", dtype: "bfloat16" }, () => layer.forward(ones([3, 4])));
 * console.log(y.dtype); // bfloat16
 * ```
 */
export function autocast(options?: AutocastOptions): Disposable;
/** Runs a function in mixed precision. */
export function autocast<T>(options: AutocastOptions, body: () => T): T;
export function autocast<T>(options: AutocastOptions = {}, body?: () => T): T | Disposable {
  const region = regionOf(options);
  if (body !== undefined && typeof body !== "function") {
    throw new ArgumentError(`Cannot autocast ${show(body)}: the body must be a function`, {
      op: "autocast",
    });
  }
  return body === undefined ? regions.enter(region) : regions.run(region, body);
}

function regionOf(options: AutocastOptions): Region {
  const { device = "cpu", dtype = "bfloat16", enabled = true, cacheEnabled = true } = optionsOf(
    "autocast",
    options,
    ["device", "dtype", "enabled", "cacheEnabled"],
  );
  if (device !== "cpu") {
    throw new ArgumentError(`Cannot autocast on ${show(device)}: there are rules for "cpu" only`, {
      op: "autocast",
    });
  }
  if (dtype !== "bfloat16" && dtype !== "float16") {
    throw new ArgumentError(
      `Cannot autocast to ${show(dtype)}: the low precision is "bfloat16" or "float16"`,
      { op: "autocast" },
    );
  }
  const outer = regions.live === 0 ? undefined : regions.value();
  return { dtype, enabled, casts: cacheEnabled ? outer?.casts ?? new WeakMap() : null };
}

/** Runs functions in the region that held where this was called, each with casts of its own. @ignore */
export function keepAutocast(): <T>(body: () => T) => T {
  const region = regions.live === 0 ? undefined : regions.value();
  return (body) =>
    region === undefined
      ? body()
      : regions.run({ ...region, casts: region.casts && new WeakMap() }, body);
}

/** Whether ops are autocast here and now. */
export function isAutocastEnabled(): boolean {
  return regions.live > 0 && regions.value()?.enabled === true;
}

/** The low precision of the region here and now; bfloat16 outside of any. */
export function getAutocastDtype(): DType {
  return (regions.live > 0 ? regions.value()?.dtype : undefined) ?? "bfloat16";
}
