/**
 * Autocasting: inside a region some ops take their tensors in a low precision, others in float32, whatever they are
 * given. Which ops is a table here; `op()` asks it once for each op when that is declared. tests/golden/autocast.json has PyTorch's
 * answers for every op.
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

/**
 * Ops that are asked for float32 but read 16-bit floats as well: those they are given as they are, and the result is
 * float32 (`isSingleWanted`).
 */
const READERS = new Set(["crossEntropy"]);

const regions = new Mode<Region>();
/** While a reader works on 16-bit floats. */
let singleWanted = false;
/** While an op works that has cast its tensors, those inside it cast nothing. */
let suspended = false;

/**
 * What happens to an op's tensors: the low precision, float32, the widest float type among them, or nothing. Inside an op
 * with a rule nothing more is cast.
 */
type Rule = "low" | "single" | "widest" | "none";

function rules(names: Record<Rule, string>): ReadonlyMap<string, Rule> {
  const found = new Map<string, Rule>();
  for (const [rule, text] of Object.entries(names)) {
    for (const name of text.split(" ")) found.set(name, rule as Rule);
  }
  return found;
}

const PRODUCTS =
  "addbmm addmm baddbmm bmm matmul mm linear vecdot prelu scaledDotProductAttention conv1d " +
  "conv2d conv3d convTbc convTranspose1d convTranspose2d convTranspose3d";
/** Ops that are factorisations inside, which take no low precision. */
const FACTORIZATIONS =
  "cholesky choleskyEx choleskyInverse choleskySolve cond eig eigh eigvals eigvalsh geqrf " +
  "householderProduct inv invEx inverse lstsq luSolve matrixRank orgqr ormqr pinverse qr solve svd svdvals tensorinv " +
  "tensorsolve triangularSolve";
const LOSSES =
  "binaryCrossEntropy binaryCrossEntropyWithLogits cosineEmbeddingLoss crossEntropy hingeEmbeddingLoss " +
  "huberLoss klDiv l1Loss marginRankingLoss mseLoss multiMarginLoss multilabelMarginLoss nllLoss poissonNllLoss " +
  "smoothL1Loss softMarginLoss tripletMarginLoss";
/** Ops of whose parts PyTorch's kernels call no op. */
const WHOLE = "matrixExp polar solveEx";

/**
 * PyTorch's rules. On CUDA it forbids `binaryCrossEntropy`, which here goes with the other losses; `cat` and `stack`
 * there, and on either what has no rule, promote by themselves.
 */
const RULES: Record<Kind, ReadonlyMap<string, Rule>> = {
  cpu: rules({
    low: PRODUCTS,
    single:
      `adaptiveAvgPool3d adaptiveMaxPool3d avgPool3d cdist ctcLoss fractionalMaxPool2d fractionalMaxPool3d ` +
      `gridSample lpPool3d lu matrixSqrth maxPool3d maxUnpool1d maxUnpool2d maxUnpool3d nanquantile padOutwards prod quantile trace ${FACTORIZATIONS} ${LOSSES}`,
    widest: "cat stack indexCopy",
    none: WHOLE,
  }),
  cuda: rules({
    low: `addmv addr chainMatmul einsum multiDot mv recurrentCell ${PRODUCTS}`,
    single:
      `acos asin cdist cosh cosineSimilarity cumprod cumsum dist erfinv exp expm1 groupNorm layerNorm log log10 ` +
      `log1p log2 logSoftmax logsumexp lpPool1d lpPool2d lpPool3d matrixNorm matrixSqrth multilabelSoftMarginLoss nativeLayerNorm norm pdist pow prod reciprocal renorm resample ` +
      `rmsNorm rsqrt sinh softmax softplus square sum tan vectorNorm ${LOSSES}`,
    widest:
      "addcdiv addcmul atan2 bilinear cross dot gridSample indexPut inner scatterAdd tensordot vdot",
    none:
      `instanceNorm mvlgamma nativeGroupNorm pcaLowrank svdLowrank trace vander ${FACTORIZATIONS} ${WHOLE}`,
  }),
};

/** Whether the op at work is to give float32 for the 16-bit floats that it reads. */
export function isSingleWanted(): boolean {
  return singleWanted;
}

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

/** The op with autocasting before it, where there is a rule for its name; else the op itself. */
export function autocasting<F extends (...args: never[]) => unknown>(name: string, call: F): F {
  const of = { cpu: RULES.cpu.get(name), cuda: RULES.cuda.get(name) };
  if (of.cpu === undefined && of.cuda === undefined) return call;
  const reads = READERS.has(name);
  return ((...args: never[]) => {
    const region = regions.live === 0 || suspended ? undefined : regions.value();
    if (region === undefined) return call(...args);
    const ruleFor = (kind: Kind) => region[kind]?.enabled ? of[kind] : undefined;
    // A float64 tensor promotes by itself.
    const found = new Set<Rule>(), wide = new Set<Kind>();
    mapTensors(args, (t) => {
      const kind = kindOf(t), rule = ruleFor(kind);
      if (rule !== undefined) found.add(rule);
      if (t.dtype === "float32") wide.add(kind);
      return t;
    });
    if (found.size === 0) return call(...args);
    const converted = mapTensors(args, (t) => {
      const kind = kindOf(t), rule = ruleFor(kind);
      if (rule === "low") return cast(t, region[kind]!.dtype, region);
      const single = rule === "single" || (rule === "widest" && wide.has(kind));
      return single && !reads ? cast(t, "float32", region) : t;
    });
    suspended = true;
    singleWanted = reads;
    try {
      return call(...converted as never[]);
    } finally {
      suspended = false;
      singleWanted = false;
    }
  }) as F;
}

/**
 * Runs a synchronous or asynchronous function in mixed precision: products of matrices, linear layers, convolutions and
 * attention take their tensors in `dtype`; losses, some linear algebra and `prod` in float32; `cat` and `stack` in the
 * widest type given; all other ops as they come. The lists are PyTorch's, one for the CPU and one for CUDA, where sums,
 * powers, exponentials, softmax, norms and `interpolate` are taken in float32 too. float64 is left alone. Without a
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
