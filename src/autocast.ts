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
  /** The devices whose tensors are meant: `"cpu"` (default) or `"cuda"`. */
  device?: string;
  /** The low precision; default bfloat16 on the CPU, float16 on CUDA. */
  dtype?: "bfloat16" | "float16";
  /** Whether it is on; false is for a part inside a region. Default true. */
  enabled?: boolean;
  /** Whether casts of weights are kept for the region; default true. */
  cacheEnabled?: boolean;
}

/** Devices by kind. */
type Kind = "cpu" | "cuda";

interface Setting {
  readonly dtype: DType;
  readonly enabled: boolean;
}

/** What holds for each kind of devices, where anything does. */
interface Region {
  readonly cpu: Setting | undefined;
  readonly cuda: Setting | undefined;
  /** Casts of leaves, which all regions inside one another share; null where they are not kept. */
  readonly casts: WeakMap<Tensor, { version: number; cast: Tensor }> | null;
}

const regions = new Mode<Region>();
/** While an op works that has cast its tensors, those inside it cast nothing. */
let suspended = false;

const names = (text: string) => new Set(text.split(" "));

/** What PyTorch casts down. */
const LOWER: Record<Kind, ReadonlySet<string>> = {
  cpu: names(
    "addbmm addmm baddbmm bmm matmul mm linear vecdot prelu scaledDotProductAttention conv1d conv2d conv3d convTbc " +
      "convTranspose1d convTranspose2d convTranspose3d",
  ),
  cuda: names(
    "addbmm addmm addmv addr baddbmm bmm chainMatmul matmul mm multiDot mv linear vecdot prelu " +
      "scaledDotProductAttention conv1d conv2d conv3d convTbc convTranspose1d convTranspose2d convTranspose3d",
  ),
};

/** What PyTorch casts to float32. On CUDA it forbids `binaryCrossEntropy`; here that goes with the other losses. */
const SINGLE: Record<Kind, ReadonlySet<string>> = {
  cpu: names(
    "adaptiveAvgPool3d adaptiveMaxPool3d avgPool3d binaryCrossEntropy binaryCrossEntropyWithLogits cdist cholesky " +
      "choleskyEx choleskyInverse choleskySolve cond cosineEmbeddingLoss crossEntropy ctcLoss eig eigh eigvals eigvalsh " +
      "fractionalMaxPool2d fractionalMaxPool3d geqrf gridSample hingeEmbeddingLoss householderProduct huberLoss inv invEx " +
      "inverse klDiv l1Loss lstsq luSolve marginRankingLoss matrixRank maxPool3d maxUnpool2d maxUnpool3d mseLoss " +
      "multiMarginLoss multilabelMarginLoss nanquantile nllLoss orgqr ormqr pinverse poissonNllLoss prod qr quantile " +
      "smoothL1Loss softMarginLoss solve svd svdvals tensorinv tensorsolve trace triangularSolve tripletMarginLoss",
  ),
  cuda: names(
    "acos asin binaryCrossEntropy binaryCrossEntropyWithLogits cdist cosh cosineEmbeddingLoss cosineSimilarity " +
      "crossEntropy cumprod cumsum dist erfinv exp expm1 groupNorm hingeEmbeddingLoss huberLoss klDiv l1Loss layerNorm " +
      "log log10 log1p log2 logSoftmax logsumexp marginRankingLoss matrixNorm mseLoss multiMarginLoss " +
      "multilabelMarginLoss nllLoss norm pdist poissonNllLoss pow prod reciprocal renorm rsqrt sinh smoothL1Loss " +
      "softMarginLoss softmax softplus sum tan tripletMarginLoss vectorNorm",
  ),
};

/** What PyTorch gives the widest float type among its tensors. */
const WIDEST: Record<Kind, ReadonlySet<string>> = {
  cpu: names("cat stack indexCopy"),
  cuda: names(
    "addcdiv addcmul atan2 bilinear cat cross dot gridSample indexCopy indexPut scatterAdd stack tensordot vdot",
  ),
};

let castTo: (t: Tensor, dtype: DType) => Tensor;

/** ops/engine.ts hands in the cast. */
export function setAutocastCast(cast: (t: Tensor, dtype: DType) => Tensor): void {
  castTo = cast;
}

function castable(value: unknown): value is Tensor {
  return value instanceof Tensor && value.info.isFloat && value.dtype !== "float64";
}

function kindOf(t: Tensor): Kind {
  return t.storage.device === 0 ? "cpu" : "cuda";
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
  // A kind's widest float type: float32 where any of its tensors is; a float64 tensor promotes by itself.
  const wide = new Set<Kind>();
  const widens = WIDEST.cpu.has(name) || WIDEST.cuda.has(name);
  if (widens) {
    mapTensors(args, (t) => {
      if (t.dtype === "float32") wide.add(kindOf(t));
      return t;
    });
  }
  return mapTensors(args, (t) => {
    const kind = kindOf(t), setting = region[kind];
    if (!setting?.enabled) return t;
    if (LOWER[kind].has(name)) return cast(t, setting.dtype, region);
    const single = SINGLE[kind].has(name) || (WIDEST[kind].has(name) && wide.has(kind));
    return single ? cast(t, "float32", region) : t;
  });
}

/** The op with autocasting before it, where there is a rule for its name; else the op itself. */
export function autocasting<F extends (...args: unknown[]) => unknown>(name: string, call: F): F {
  const lists = [LOWER, SINGLE, WIDEST].flatMap(({ cpu, cuda }) => [cpu, cuda]);
  if (!lists.some((list) => list.has(name))) return call;
  return ((...args: unknown[]) => {
    if (regions.live === 0 || suspended) return call(...args);
    const region = regions.value();
    if (!(region?.cpu?.enabled || region?.cuda?.enabled)) return call(...args);
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
 * widest type given; all other ops as they come. The lists are PyTorch's, one for the CPU and one for CUDA, where sums,
 * exponentials, softmax and norms are taken in float32 too. float64 is left alone. Without a function it holds for the rest of a block: `using _ = autocast({ dtype: "bfloat16" })`.
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
  const { device = "cpu", dtype, enabled = true, cacheEnabled = true } = optionsOf(
    "autocast",
    options,
    ["device", "dtype", "enabled", "cacheEnabled"],
  );
  const kind = kindNamed(device, "autocast");
  const low = dtype ?? DEFAULT[kind];
  if (low !== "bfloat16" && low !== "float16") {
    throw new ArgumentError(
      `Cannot autocast to ${show(dtype)}: the low precision is "bfloat16" or "float16"`,
      { op: "autocast" },
    );
  }
  const outer = regions.live === 0 ? undefined : regions.value();
  return {
    cpu: outer?.cpu,
    cuda: outer?.cuda,
    [kind]: { dtype: low, enabled },
    casts: cacheEnabled ? outer?.casts ?? new WeakMap() : null,
  };
}

const DEFAULT: Record<Kind, DType> = { cpu: "bfloat16", cuda: "float16" };

/** The kind of devices that a name means, with or without a number. */
function kindNamed(device: unknown, op: string): Kind {
  if (device === "cpu") return "cpu";
  if (typeof device === "string" && /^cuda(:\d+)?$/.test(device)) return "cuda";
  throw new ArgumentError(
    `Cannot ${op} on ${show(device)}: there are rules for "cpu" and "cuda" only`,
    { op },
  );
}

/** Runs functions in the region that held where this was called, each with casts of its own. @ignore */
export function keepAutocast(): <T>(body: () => T) => T {
  const region = regions.live === 0 ? undefined : regions.value();
  return (body) =>
    region === undefined
      ? body()
      : regions.run({ ...region, casts: region.casts && new WeakMap() }, body);
}

function settingOf(device: unknown, op: string): Setting | undefined {
  return regions.live > 0 ? regions.value()?.[kindNamed(device, op)] : undefined;
}

/** Whether ops on tensors of a device are autocast here and now. */
export function isAutocastEnabled(device: string = "cpu"): boolean {
  return settingOf(device, "isAutocastEnabled")?.enabled === true;
}

/** The low precision of a device's region here and now; outside of any bfloat16, on CUDA float16. */
export function getAutocastDtype(device: string = "cpu"): DType {
  return settingOf(device, "getAutocastDtype")?.dtype ??
    DEFAULT[kindNamed(device, "getAutocastDtype")];
}
