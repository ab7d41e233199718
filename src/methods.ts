/**
 * The methods of Tensor: each one line that calls an op. Declared here with types, installed on the prototype; every
 * entry point imports this module first.
 *
 * @module
 */
import "./ops/engine.ts";
import * as autograd from "./autograd.ts";
import { backward, type BackwardOptions } from "./backward.ts";
import type { DType, Scalar } from "./dtype.ts";
import { AutogradError, DTypeError } from "./errors.ts";
import * as activation from "./ops/activation.ts";
import * as converts from "./ops/convert.ts";
import * as creation from "./ops/creation.ts";
import * as logic from "./ops/logic.ts";
import * as mathOps from "./ops/math.ts";
import * as patterns from "./ops/pattern.ts";
import * as products from "./ops/matmul.ts";
import * as softmaxes from "./ops/softmax.ts";
import * as moments from "./ops/moments.ts";
import * as extremes from "./ops/extreme.ts";
import * as scans from "./ops/scan.ts";
import * as orders from "./ops/order_statistics.ts";
import * as filling from "./ops/filling.ts";
import * as pointwise from "./ops/pointwise.ts";
import * as ternary from "./ops/ternary.ts";
import * as map from "./ops/map.ts";
import * as bounds from "./ops/bounds.ts";
import * as random from "./ops/random.ts";
import * as reduction from "./ops/reduction.ts";
import * as views from "./ops/view.ts";
import * as windows from "./ops/window.ts";
import * as indexOps from "./ops/index_ops.ts";
import * as indexing from "./ops/indexing.ts";
import * as scattering from "./ops/scattering.ts";
import * as masking from "./ops/masking.ts";
import { format } from "./print.ts";
import { wrapDim } from "./shape.ts";
import type { Index } from "./slice.ts";
import * as sorting from "./ops/sorting.ts";
import * as rearranging from "./ops/rearranging.ts";
import type { OpMethods } from "./op_methods.ts";
import "./op_methods.ts";
import { Tensor } from "./tensor.ts";

/** The methods that ops give a tensor. */
export interface Methods extends OpMethods {
  /** As PyTorch prints it. */
  toString(): string;
  /** Its rows: each index of dim 0 as a tensor. */
  [Symbol.iterator](): Iterator<Tensor>;
  /** Whether gradients are wanted for it; setting it makes a leaf want them. */
  requiresGrad: boolean;
  /** The gradient that backward left, or null. */
  grad: Tensor | null;
  /** Bytes of one element. */
  readonly itemsize: number;
  /** Bytes of all elements. */
  readonly nbytes: number;
  /** A matrix transposed: all dims reversed. */
  readonly T: Tensor;
  /** The last two dims exchanged. */
  readonly mT: Tensor;
  /** Whether no op recorded its making. */
  readonly isLeaf: boolean;
  /** Adds gradients of this scalar to the `grad` of every leaf that it came from. */
  backward(
    gradient?: Tensor | null | BackwardOptions,
    options?: BackwardOptions,
  ): void;
  /** The same values without a history; shares the storage. */
  detach(): Tensor;
  /** Says whether gradients are wanted for it, and returns it. */
  requiresGrad_(requiresGrad?: boolean): Tensor;
  /** Lets `backward` leave the gradient of this tensor in `grad`, though an op made it. */
  retainGrad(): void;
  /** Whether `retainGrad` was called on a tensor that an op made. */
  readonly retainsGrad: boolean;
  /** Calls `hook` with each gradient of this tensor, which it may replace; returns the function that removes it. */
  registerHook(hook: autograd.GradHook): () => void;
  /** Calls `hook` with this leaf each time that backward has added to its `grad`; returns the function that removes it. */
  registerPostAccumulateGradHook(hook: (leaf: Tensor) => void): () => void;

  /** `this + alpha · other`. */
  add(other: map.Operand, alpha?: Scalar | pointwise.AlphaOptions): Tensor;
  /** `this += alpha · other`. */
  add_(other: map.Operand, alpha?: Scalar | pointwise.AlphaOptions): Tensor;
  /** `this - alpha · other`. */
  sub(other: map.Operand, alpha?: Scalar | pointwise.AlphaOptions): Tensor;
  /** `this -= alpha · other`. */
  sub_(other: map.Operand, alpha?: Scalar | pointwise.AlphaOptions): Tensor;
  /** `this · other`. */
  mul(other: map.Operand): Tensor;
  /** `this ·= other`. */
  mul_(other: map.Operand): Tensor;
  /** `this / other`, true division unless `roundingMode` is given. */
  div(
    other: map.Operand,
    roundingMode?: pointwise.RoundingMode | pointwise.DivOptions,
  ): Tensor;
  /** `this /= other`. */
  div_(
    other: map.Operand,
    roundingMode?: pointwise.RoundingMode | pointwise.DivOptions,
  ): Tensor;
  /** The quotient rounded down. */
  floorDivide(other: map.Operand): Tensor;
  /** `floorDivide` in place. */
  floorDivide_(other: map.Operand): Tensor;
  /** The remainder with the divisor's sign. */
  remainder(other: map.Operand): Tensor;
  /** `remainder` in place. */
  remainder_(other: map.Operand): Tensor;
  /** The remainder with the dividend's sign. */
  fmod(other: map.Operand): Tensor;
  /** `fmod` in place. */
  fmod_(other: map.Operand): Tensor;
  /** `this` to a power. */
  pow(exponent: map.Operand): Tensor;
  /** `pow` in place. */
  pow_(exponent: map.Operand): Tensor;
  /** The greater value; NaN where either is. */
  maximum(other: map.Operand): Tensor;
  /** The smaller value; NaN where either is. */
  minimum(other: map.Operand): Tensor;
  /** The greater value; a NaN gives way. */
  fmax(other: map.Operand): Tensor;
  /** The smaller value; a NaN gives way. */
  fmin(other: map.Operand): Tensor;
  /** The angle of the point (other, this). */
  atan2(other: map.Operand): Tensor;
  /** `√(this² + other²)`. */
  hypot(other: map.Operand): Tensor;
  /** This magnitude with the sign of other. */
  copysign(other: map.Operand): Tensor;
  /** `log(eᵗʰⁱˢ + eᵒᵗʰᵉʳ)`. */
  logaddexp(other: map.Operand): Tensor;
  /** `this · log(other)`. */
  xlogy(other: map.Operand): Tensor;
  /** Values kept between two bounds. */
  clamp(
    min?: map.Operand | null | bounds.ClampOptions,
    max?: map.Operand | null | bounds.ClampOptions,
  ): Tensor;
  /** `clamp` in place. */
  clamp_(
    min?: map.Operand | null | bounds.ClampOptions,
    max?: map.Operand | null | bounds.ClampOptions,
  ): Tensor;
  /** `max(this, min)`. */
  clampMin(min: map.Operand): Tensor;
  /** `clampMin` in place. */
  clampMin_(min: map.Operand): Tensor;
  /** `min(this, max)`. */
  clampMax(max: map.Operand): Tensor;
  /** `clampMax` in place. */
  clampMax_(max: map.Operand): Tensor;
  /** `this + weight · (end - this)`. */
  lerp(end: Tensor, weight: map.Operand): Tensor;
  /** `lerp` in place. */
  lerp_(end: Tensor, weight: map.Operand): Tensor;
  /** `this + value · tensor1 · tensor2`. */
  addcmul(tensor1: Tensor, tensor2: Tensor, value?: Scalar | ternary.ValueOptions): Tensor;
  /** `addcmul` in place. */
  addcmul_(tensor1: Tensor, tensor2: Tensor, value?: Scalar | ternary.ValueOptions): Tensor;
  /** `this + value · tensor1 / tensor2`. */
  addcdiv(tensor1: Tensor, tensor2: Tensor, value?: Scalar | ternary.ValueOptions): Tensor;
  /** `addcdiv` in place. */
  addcdiv_(tensor1: Tensor, tensor2: Tensor, value?: Scalar | ternary.ValueOptions): Tensor;
  /** Sets every element. */
  fill_(value: map.Operand): Tensor;
  /** Sets every element to 0. */
  zero_(): Tensor;
  /** Copies another tensor's elements into this one. */
  copy_(src: Tensor): Tensor;
  /** Whether equal, elementwise. */
  eq(other: map.Operand): Tensor;
  /** Whether different, elementwise. */
  ne(other: map.Operand): Tensor;
  /** Whether less, elementwise. */
  lt(other: map.Operand): Tensor;
  /** Whether less or equal, elementwise. */
  le(other: map.Operand): Tensor;
  /** Whether greater, elementwise. */
  gt(other: map.Operand): Tensor;
  /** Whether greater or equal, elementwise. */
  ge(other: map.Operand): Tensor;
  /** Whether NaN. */
  isnan(): Tensor;
  /** Whether infinite. */
  isinf(): Tensor;
  /** Whether finite. */
  isfinite(): Tensor;
  /** Whether the sign is negative. */
  signbit(): Tensor;
  /** Whether 0. */
  logicalNot(): Tensor;
  /** `logicalNot` in place. */
  logicalNot_(): Tensor;
  /** Each bit inverted. */
  bitwiseNot(): Tensor;
  /** Whether shape and all elements are equal. */
  equal(other: Tensor): boolean;
  /** Whether close, elementwise. */
  isclose(
    other: Tensor,
    rtol?: number | logic.CloseOptions,
    atol?: number | logic.CloseOptions,
    options?: logic.CloseOptions,
  ): Tensor;
  /** Whether close everywhere. */
  allclose(
    other: Tensor,
    rtol?: number | logic.CloseOptions,
    atol?: number | logic.CloseOptions,
    options?: logic.CloseOptions,
  ): boolean;
  /** Whether both differ from 0. */
  logicalAnd(other: map.Operand): Tensor;
  /** `logicalAnd` in place. */
  logicalAnd_(other: map.Operand): Tensor;
  /** Whether either differs from 0. */
  logicalOr(other: map.Operand): Tensor;
  /** `logicalOr` in place. */
  logicalOr_(other: map.Operand): Tensor;
  /** Whether one of both differs from 0. */
  logicalXor(other: map.Operand): Tensor;
  /** `logicalXor` in place. */
  logicalXor_(other: map.Operand): Tensor;
  /** Bits that both have. */
  bitwiseAnd(other: map.Operand): Tensor;
  /** `bitwiseAnd` in place. */
  bitwiseAnd_(other: map.Operand): Tensor;
  /** Bits that either has. */
  bitwiseOr(other: map.Operand): Tensor;
  /** `bitwiseOr` in place. */
  bitwiseOr_(other: map.Operand): Tensor;
  /** Bits that one of both has. */
  bitwiseXor(other: map.Operand): Tensor;
  /** `bitwiseXor` in place. */
  bitwiseXor_(other: map.Operand): Tensor;
  /** Bits moved up. */
  bitwiseLeftShift(other: map.Operand): Tensor;
  /** Bits moved down. */
  bitwiseRightShift(other: map.Operand): Tensor;
  /** `condition ? this : other`, elementwise. */
  where(condition: Tensor, other: map.Operand): Tensor;
  /** `value` where the mask holds. */
  maskedFill(mask: Tensor, value: map.Operand): Tensor;
  /** `maskedFill` in place. */
  maskedFill_(mask: Tensor, value: map.Operand): Tensor;
  /** `-this`. */
  neg(): Tensor;
  /** `neg` in place. */
  neg_(): Tensor;
  /** `|this|`. */
  abs(): Tensor;
  /** `abs` in place. */
  abs_(): Tensor;
  /** -1, 0 or 1. */
  sign(): Tensor;
  /** `sign` in place. */
  sign_(): Tensor;
  /** -1, 0 or 1. */
  sgn(): Tensor;
  /** `sgn` in place. */
  sgn_(): Tensor;
  /** `this²`. */
  square(): Tensor;
  /** `square` in place. */
  square_(): Tensor;
  /** `1 / this`. */
  reciprocal(): Tensor;
  /** `reciprocal` in place. */
  reciprocal_(): Tensor;
  /** `√this`. */
  sqrt(): Tensor;
  /** `sqrt` in place. */
  sqrt_(): Tensor;
  /** `1 / √this`. */
  rsqrt(): Tensor;
  /** `rsqrt` in place. */
  rsqrt_(): Tensor;
  /** `eᵗʰⁱˢ`. */
  exp(): Tensor;
  /** `exp` in place. */
  exp_(): Tensor;
  /** `2ᵗʰⁱˢ`. */
  exp2(): Tensor;
  /** `exp2` in place. */
  exp2_(): Tensor;
  /** `eᵗʰⁱˢ - 1`. */
  expm1(): Tensor;
  /** `expm1` in place. */
  expm1_(): Tensor;
  /** The natural logarithm. */
  log(): Tensor;
  /** `log` in place. */
  log_(): Tensor;
  /** The logarithm to base 2. */
  log2(): Tensor;
  /** `log2` in place. */
  log2_(): Tensor;
  /** The logarithm to base 10. */
  log10(): Tensor;
  /** `log10` in place. */
  log10_(): Tensor;
  /** `log(1 + this)`. */
  log1p(): Tensor;
  /** `log1p` in place. */
  log1p_(): Tensor;
  /** The sine. */
  sin(): Tensor;
  /** `sin` in place. */
  sin_(): Tensor;
  /** The cosine. */
  cos(): Tensor;
  /** `cos` in place. */
  cos_(): Tensor;
  /** The tangent. */
  tan(): Tensor;
  /** `tan` in place. */
  tan_(): Tensor;
  /** The inverse sine. */
  asin(): Tensor;
  /** `asin` in place. */
  asin_(): Tensor;
  /** The inverse cosine. */
  acos(): Tensor;
  /** `acos` in place. */
  acos_(): Tensor;
  /** The inverse tangent. */
  atan(): Tensor;
  /** `atan` in place. */
  atan_(): Tensor;
  /** The hyperbolic sine. */
  sinh(): Tensor;
  /** `sinh` in place. */
  sinh_(): Tensor;
  /** The hyperbolic cosine. */
  cosh(): Tensor;
  /** `cosh` in place. */
  cosh_(): Tensor;
  /** The hyperbolic tangent. */
  tanh(): Tensor;
  /** `tanh` in place. */
  tanh_(): Tensor;
  /** The inverse of sinh. */
  asinh(): Tensor;
  /** `asinh` in place. */
  asinh_(): Tensor;
  /** The inverse of cosh. */
  acosh(): Tensor;
  /** `acosh` in place. */
  acosh_(): Tensor;
  /** The inverse of tanh. */
  atanh(): Tensor;
  /** `atanh` in place. */
  atanh_(): Tensor;
  /** The error function. */
  erf(): Tensor;
  /** `erf` in place. */
  erf_(): Tensor;
  /** `1 - erf(this)`. */
  erfc(): Tensor;
  /** `erfc` in place. */
  erfc_(): Tensor;
  /** The inverse of erf. */
  erfinv(): Tensor;
  /** `erfinv` in place. */
  erfinv_(): Tensor;
  /** The greatest whole number up to each element. */
  floor(): Tensor;
  /** `floor` in place. */
  floor_(): Tensor;
  /** The least whole number from each element on. */
  ceil(): Tensor;
  /** `ceil` in place. */
  ceil_(): Tensor;
  /** The whole part. */
  trunc(): Tensor;
  /** `trunc` in place. */
  trunc_(): Tensor;
  /** The fraction. */
  frac(): Tensor;
  /** `frac` in place. */
  frac_(): Tensor;
  /** The nearest whole number, or so many digits. */
  round(decimals?: number | mathOps.RoundOptions): Tensor;
  /** `round` in place. */
  round_(decimals?: number | mathOps.RoundOptions): Tensor;
  /** NaN and infinities replaced. */
  nanToNum(
    nan?: number | null | mathOps.NanToNumOptions,
    posinf?: number | null | mathOps.NanToNumOptions,
    options?: mathOps.NanToNumOptions,
  ): Tensor;
  /** `nanToNum` in place. */
  nanToNum_(
    nan?: number | null | mathOps.NanToNumOptions,
    posinf?: number | null | mathOps.NanToNumOptions,
    options?: mathOps.NanToNumOptions,
  ): Tensor;
  /** `max(this, 0)`. */
  relu(): Tensor;
  /** `relu` in place. */
  relu_(): Tensor;
  /** `1 / (1 + e⁻ᵗʰⁱˢ)`. */
  sigmoid(): Tensor;
  /** `sigmoid` in place. */
  sigmoid_(): Tensor;
  /** This above 0, `weight · this` below. */
  prelu(weight: Tensor): Tensor;
  /** 0 where the magnitude is up to `lambd`. */
  hardshrink(lambd?: number | activation.ShrinkOptions): Tensor;
  /** Zeros of a size, of this dtype and device. */
  newZeros(size: readonly number[] | number, options?: creation.CreationOptions): Tensor;
  /** Ones of a size, of this dtype and device. */
  newOnes(size: readonly number[] | number, options?: creation.CreationOptions): Tensor;
  /** Undefined elements of a size, of this dtype and device. */
  newEmpty(size: readonly number[] | number, options?: creation.CreationOptions): Tensor;
  /** One number, of a size, of this dtype and device. */
  newFull(
    size: readonly number[] | number,
    fillValue: Scalar,
    options?: creation.CreationOptions,
  ): Tensor;
  /** What lies on and below a diagonal. */
  tril(diagonal?: number | patterns.TriangleOptions): Tensor;
  /** What lies on and above a diagonal. */
  triu(diagonal?: number | patterns.TriangleOptions): Tensor;
  /** 0 or 1, with these probabilities of 1. */
  bernoulli(p?: number | null | { p?: number | null }): Tensor;
  /** Draws classes by these weights. */
  multinomial(numSamples: number, options?: { replacement?: boolean }): Tensor;
  /** Fills with uniform numbers. */
  uniform_(from?: number | random.UniformOptions, to?: number | random.UniformOptions): Tensor;
  /** Fills with normal numbers. */
  normal_(
    mean?: number | random.NormalInplaceOptions,
    std?: number | random.NormalInplaceOptions,
  ): Tensor;
  /** Fills with exponentially distributed numbers. */
  exponential_(lambd?: number | { lambd?: number }): Tensor;
  /** Fills with 0 and 1. */
  bernoulli_(p?: number | Tensor | { p?: number | Tensor }): Tensor;
  /** Fills with integers. */
  random_(from: number | bigint, to?: number | bigint | null): Tensor;
  /** The tensor in another dtype or on another device. */
  to(
    target?: DType | string | Tensor | converts.ToOptions | null,
    options?: converts.ToOptions,
  ): Tensor;
  /** The tensor in another's dtype. */
  typeAs(other: Tensor): Tensor;
  /** The tensor as float32. */
  float(): Tensor;
  /** The tensor as float64. */
  double(): Tensor;
  /** The tensor as float16. */
  half(): Tensor;
  /** The tensor as bfloat16. */
  bfloat16(): Tensor;
  /** The tensor as int64. */
  long(): Tensor;
  /** The tensor as int32. */
  int(): Tensor;
  /** The tensor as int16. */
  short(): Tensor;
  /** The tensor as int8. */
  char(): Tensor;
  /** The tensor as uint8. */
  byte(): Tensor;
  /** The tensor as bool. */
  bool(): Tensor;

  /** The sum over dims. */
  sum(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The mean over dims. */
  mean(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;

  /** The matrix product. */
  matmul(other: Tensor): Tensor;
  /** The product of two matrices. */
  mm(mat2: Tensor): Tensor;
  /** Products of a batch of matrices. */
  bmm(mat2: Tensor): Tensor;
  /** A matrix times a vector. */
  mv(vec: Tensor): Tensor;
  /** The inner product of two vectors. */
  dot(other: Tensor): Tensor;
  /** All products of elements of two vectors. */
  outer(vec2: Tensor): Tensor;
  /** `beta · this + alpha · (first · second)`. */
  addmm(
    first: Tensor,
    second: Tensor,
    beta?: number | products.AddProductOptions,
    alpha?: number | products.AddProductOptions,
    options?: products.AddProductOptions,
  ): Tensor;
  /** `beta · this + alpha · (first · second)`. */
  baddbmm(
    first: Tensor,
    second: Tensor,
    beta?: number | products.AddProductOptions,
    alpha?: number | products.AddProductOptions,
    options?: products.AddProductOptions,
  ): Tensor;
  /** `exp(x) / Σ exp(x)` over a dim. */
  softmax(dim: number, options?: softmaxes.SoftmaxOptions): Tensor;
  /** The logarithm of `softmax`. */
  logSoftmax(dim: number, options?: softmaxes.SoftmaxOptions): Tensor;
  /** The greatest element over dims. */
  amax(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** The least element over dims. */
  amin(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** Whether any element is not zero. */
  any(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** Whether all elements are not zero. */
  all(dim?: reduction.Dims | reduction.ReduceOptions, options?: reduction.ReduceOptions): Tensor;
  /** The sum of what is no NaN. */
  nansum(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The mean of what is no NaN. */
  nanmean(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The product over a dim, or of all. */
  prod(
    dim?: number | null | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The least and the greatest element. */
  aminmax(options?: { dim?: number | null; keepdim?: boolean }): reduction.MinMax;
  /** How many elements are not zero. */
  countNonzero(dim?: reduction.Dims): Tensor;
  /** The standard deviation over dims. */
  std(dim?: reduction.Dims | moments.DeviationOptions, options?: moments.DeviationOptions): Tensor;
  /** A norm over dims. */
  norm(
    p?: number | "fro" | moments.NormOptions,
    dim?: reduction.Dims | moments.NormOptions,
    options?: moments.NormOptions,
  ): Tensor;
  /** `log Σ exp(x)` over dims. */
  logsumexp(dim: number | readonly number[], options?: { keepdim?: boolean }): Tensor;
  /** The place of the greatest element. */
  argmax(dim?: number | null | extremes.ArgOptions, options?: extremes.ArgOptions): Tensor;
  /** The place of the least element. */
  argmin(dim?: number | null | extremes.ArgOptions, options?: extremes.ArgOptions): Tensor;
  /** Running sums along a dim. */
  cumsum(dim: number, options?: { dtype?: DType | null }): Tensor;
  /** Running products along a dim. */
  cumprod(dim: number, options?: { dtype?: DType | null }): Tensor;
  /** Running `log Σ exp(x)` along a dim. */
  logcumsumexp(dim: number): Tensor;
  /** The extreme so far along a dim, and its place. */
  cummax(dim: number): extremes.ValuesIndices;
  /** The extreme so far along a dim, and its place. */
  cummin(dim: number): extremes.ValuesIndices;
  /** The greatest of all elements. */
  max(): Tensor;
  /** The greatest elementwise. */
  max(other: Tensor): Tensor;
  /** The greatest over a dim, and its places. */
  max(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The greatest over a dim, and its places. */
  max(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** The least of all elements. */
  min(): Tensor;
  /** The least elementwise. */
  min(other: Tensor): Tensor;
  /** The least over a dim, and its places. */
  min(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The least over a dim, and its places. */
  min(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** The variance over dims. */
  var(dim?: reduction.Dims | moments.DeviationOptions, options?: moments.DeviationOptions): Tensor;
  /** The most frequent value of each line, and its place. */
  mode(dim?: number | orders.ModeOptions, options?: orders.ModeOptions): extremes.ValuesIndices;
  /** Quantiles over a dim, or of all elements. */
  quantile(
    q: Tensor | number,
    dim?: number | null | orders.QuantileOptions,
    options?: orders.QuantileOptions,
  ): Tensor;
  /** Quantiles of what is no NaN. */
  nanquantile(
    q: Tensor | number,
    dim?: number | null | orders.QuantileOptions,
    options?: orders.QuantileOptions,
  ): Tensor;
  /** The median of all elements. */
  median(): Tensor;
  /** The median over a dim, and its places. */
  median(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The median over a dim, and its places. */
  median(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** The median of what is no NaN of all elements. */
  nanmedian(): Tensor;
  /** The median of what is no NaN over a dim, and its places. */
  nanmedian(dim: number, options?: { keepdim?: boolean }): extremes.ValuesIndices;
  /** The median of what is no NaN over a dim, and its places. */
  nanmedian(options: { dim: number; keepdim?: boolean }): extremes.ValuesIndices;
  /** A copy in new memory. */
  clone(): Tensor;
  /** Itself, or a copy whose elements lie row-major. */
  contiguous(): Tensor;
  /** The same elements under another shape, without a copy. */
  view(size: readonly number[]): Tensor;
  /** The same elements under another shape. */
  reshape(shape: readonly number[]): Tensor;
  /** Dims in another order. */
  permute(dims: readonly number[]): Tensor;
  /** Two dims exchanged. */
  transpose(dim0: number, dim1: number): Tensor;
  /** Dims of size 1 stretched. */
  expand(size: readonly number[]): Tensor;

  /** `view` to the shape of another tensor. */
  viewAs(other: Tensor): Tensor;
  /** `reshape` to the shape of another tensor. */
  reshapeAs(other: Tensor): Tensor;
  /** All elements in one dim. */
  ravel(): Tensor;
  /** Two dims exchanged. */
  swapaxes(axis0: number, axis1: number): Tensor;
  /** A matrix transposed. */
  t(): Tensor;
  /** Dims moved to other places. */
  movedim(source: number | readonly number[], destination: number | readonly number[]): Tensor;
  /** `expand` to the shape of another tensor. */
  expandAs(other: Tensor): Tensor;
  /** `expand` under NumPy's name. */
  broadcastTo(size: readonly number[]): Tensor;
  /** Without its dims of size 1, or those named. */
  squeeze(dim?: views.DimsArgument): Tensor;
  /** With a dim of size 1 put in. */
  unsqueeze(dim: number): Tensor;
  /** Several dims as one. */
  flatten(startDim?: number | views.FlattenOptions, endDim?: number | views.FlattenOptions): Tensor;
  /** One dim as several. */
  unflatten(dim: number, sizes: readonly number[]): Tensor;
  /** A range of a dim. */
  narrow(dim: number, start: number, length: number): Tensor;
  /** One index of a dim, which goes away. */
  select(dim: number, index: number): Tensor;
  /** The diagonal of two dims as the last dim. */
  diagonal(
    offset?: number | windows.DiagonalOptions,
    dim1?: number | windows.DiagonalOptions,
    options?: windows.DiagonalOptions,
  ): Tensor;
  /** Sliding windows over a dim, as a new last dim. */
  unfold(dimension: number, size: number, step: number): Tensor;
  /** Any dims and strides on its storage. */
  asStrided(
    size: readonly number[],
    stride: readonly number[],
    storageOffset?: number | null | windows.AsStridedOptions,
  ): Tensor;
  /** Each index of a dim as a tensor of its own. */
  unbind(dim?: windows.DimArgument): Tensor[];
  /** Pieces of a size, or of given sizes. */
  split(splitSize: number | readonly number[], dim?: windows.DimArgument): Tensor[];
  /** At most so many pieces of one size. */
  chunk(chunks: number, dim?: windows.DimArgument): Tensor[];
  /** So many pieces, or pieces between indices. */
  tensorSplit(indicesOrSections: number | readonly number[], dim?: windows.DimArgument): Tensor[];
  /** `tensorSplit` of columns. */
  hsplit(indicesOrSections: number | readonly number[]): Tensor[];
  /** `tensorSplit` of rows. */
  vsplit(indicesOrSections: number | readonly number[]): Tensor[];
  /** `tensorSplit` of dim 2. */
  dsplit(indicesOrSections: number | readonly number[]): Tensor[];

  /** Reads by indices, as PyTorch's `x[…]`. */
  at(...indices: readonly Index[]): Tensor;
  /** Writes by indices, in place: `x.set([0], 1)`. */
  set(indices: readonly Index[], value: map.Operand): Tensor;
  /** Slices of a dim at indices. */
  indexSelect(dim: number, index: Tensor): Tensor;
  /** With slices added at indices of a dim. */
  indexAdd(dim: number, index: Tensor, source: Tensor, options?: { alpha?: Scalar }): Tensor;
  /** `indexAdd` in place. */
  indexAdd_(dim: number, index: Tensor, source: Tensor, options?: { alpha?: Scalar }): Tensor;
  /** With slices written at indices of a dim. */
  indexCopy(dim: number, index: Tensor, source: Tensor): Tensor;
  /** `indexCopy` in place. */
  indexCopy_(dim: number, index: Tensor, source: Tensor): Tensor;
  /** With one number at indices of a dim. */
  indexFill(dim: number, index: Tensor, value: map.Operand): Tensor;
  /** `indexFill` in place. */
  indexFill_(dim: number, index: Tensor, value: map.Operand): Tensor;
  /** With values at the places that tensors of indices give. */
  indexPut(
    indices: readonly (Tensor | null)[],
    values: map.Operand,
    options?: { accumulate?: boolean },
  ): Tensor;
  /** `indexPut` in place. */
  indexPut_(
    indices: readonly (Tensor | null)[],
    values: map.Operand,
    options?: { accumulate?: boolean },
  ): Tensor;
  /** One element for each index along a dim. */
  gather(dim: number, index: Tensor): Tensor;
  /** With elements, or one number, written at indices of a dim. */
  scatter(
    dim: number,
    index: Tensor,
    src?: map.Operand | null | scattering.ScatterOptions,
    options?: scattering.ScatterOptions,
  ): Tensor;
  /** `scatter` in place. */
  scatter_(
    dim: number,
    index: Tensor,
    src?: map.Operand | null | scattering.ScatterOptions,
    options?: scattering.ScatterOptions,
  ): Tensor;
  /** With elements added at indices of a dim. */
  scatterAdd(dim: number, index: Tensor, src: Tensor): Tensor;
  /** `scatterAdd` in place. */
  scatterAdd_(dim: number, index: Tensor, src: Tensor): Tensor;
  /** With elements combined at indices of a dim. */
  scatterReduce(
    dim: number,
    index: Tensor,
    src: Tensor,
    reduce: scattering.ScatterMode,
    options?: { includeSelf?: boolean },
  ): Tensor;
  /** `scatterReduce` in place. */
  scatterReduce_(
    dim: number,
    index: Tensor,
    src: Tensor,
    reduce: scattering.ScatterMode,
    options?: { includeSelf?: boolean },
  ): Tensor;
  /** Elements at indices that count them row-major. */
  take(index: Tensor): Tensor;
  /** `gather` with indices that broadcast. */
  takeAlongDim(indices: Tensor, dim?: number | null | { dim?: number | null }): Tensor;
  /** The indices of the elements that are not zero. */
  nonzero(options?: { asTuple?: false }): Tensor;
  /** The indices of the elements that are not zero, one tensor for each dim. */
  nonzero(options: { asTuple: true }): Tensor[];
  /** The indices of the elements that are not zero. */
  argwhere(): Tensor;
  /** The elements where a mask is set. */
  maskedSelect(mask: Tensor): Tensor;
  /** With a source's elements where a mask is set. */
  maskedScatter(mask: Tensor, source: Tensor): Tensor;
  /** `maskedScatter` in place. */
  maskedScatter_(mask: Tensor, source: Tensor): Tensor;
  /** Each element repeated, one beside the other. */
  repeatInterleave(
    repeats: number | Tensor,
    dim?: number | null | masking.RepeatOptions,
    options?: masking.RepeatOptions,
  ): Tensor;
  /** How often each number from 0 on occurs. */
  bincount(
    weights?: Tensor | null | masking.BincountOptions,
    minlength?: number | masking.BincountOptions,
  ): Tensor;
  /** How many elements fall into each of equal bins. */
  histc(
    bins?: number | masking.HistcOptions,
    min?: number | masking.HistcOptions,
    options?: masking.HistcOptions,
  ): Tensor;

  /** Values in order along a dim, and their indices. */
  sort(dim?: number | sorting.SortOptions, options?: sorting.SortOptions): extremes.ValuesIndices;
  /** The indices that `sort` gives. */
  argsort(dim?: number | sorting.SortOptions, options?: sorting.SortOptions): Tensor;
  /** The values sorted along dim 0. */
  msort(): Tensor;
  /** The different values in order. */
  unique(options?: sorting.UniqueOptions & { returnInverse?: false; returnCounts?: false }): Tensor;
  /** The different values in order, where elements went, and how often each occurs. */
  unique(options: sorting.UniqueOptions): sorting.UniqueResult;
  /** The k largest or smallest along a dim. */
  topk(
    k: number,
    dim?: number | sorting.TopkOptions,
    options?: sorting.TopkOptions,
  ): extremes.ValuesIndices;
  /** The k-th smallest along a dim. */
  kthvalue(
    k: number,
    dim?: number | sorting.KthOptions,
    options?: sorting.KthOptions,
  ): extremes.ValuesIndices;
  /** Dims in reverse order. */
  flip(dims: readonly number[] | number): Tensor;
  /** Columns in reverse order. */
  fliplr(): Tensor;
  /** Rows in reverse order. */
  flipud(): Tensor;
  /** Elements moved on along dims, round the end. */
  roll(
    shifts: number | readonly number[],
    dims?: number | readonly number[] | null | rearranging.RollOptions,
  ): Tensor;
  /** Turned by quarters. */
  rot90(
    k?: number | rearranging.Rot90Options,
    dims?: readonly [number, number] | rearranging.Rot90Options,
  ): Tensor;
  /** The whole tensor so many times along each dim. */
  repeat(repeats: readonly number[]): Tensor;
  /** `repeat` with counts for the last dims. */
  tile(dims: readonly number[]): Tensor;

  /** A matrix with this vector on a diagonal, or this matrix's diagonal. */
  diag(diagonal?: number | { diagonal?: number }): Tensor;
  /** The last dim as a diagonal of two new dims. */
  diagEmbed(
    offset?: number | windows.DiagonalOptions,
    dim1?: number | windows.DiagonalOptions,
    options?: windows.DiagonalOptions,
  ): Tensor;

  /** The size of each dim. */
  size(): readonly number[];
  /** The size of one dim. */
  size(dim: number): number;
  /** The count of dims. */
  dim(): number;
  /** Bytes of one element. */
  elementSize(): number;
}

/** Methods as functions with `this`. */
type Installed = {
  [
    K in keyof Methods as K extends symbol | "toString" | keyof OpMethods ? never
      : Methods[K] extends (...args: never[]) => unknown ? K
      : never
  ]: Methods[K];
};

const methods: Installed & ThisType<Tensor> = {
  backward(gradient, options) {
    const isTensor = gradient instanceof Tensor;
    backward(
      this,
      isTensor ? gradient : null,
      (isTensor ? options : gradient as BackwardOptions) ?? options,
    );
  },
  detach() {
    return new Tensor(this.storage, this.info, this.shape, this.strides, this.offset);
  },
  requiresGrad_(requiresGrad = true) {
    this.requiresGrad = requiresGrad;
    return this;
  },
  retainGrad() {
    autograd.retainGrad(this);
  },
  registerHook(hook) {
    return autograd.registerHook(this, hook);
  },
  registerPostAccumulateGradHook(hook) {
    return autograd.registerPostAccumulateGradHook(this, hook);
  },
  add(...args) {
    return pointwise.add(this, ...args);
  },
  add_(...args) {
    return pointwise.add_(this, ...args);
  },
  sub(...args) {
    return pointwise.sub(this, ...args);
  },
  sub_(...args) {
    return pointwise.sub_(this, ...args);
  },
  mul(other) {
    return pointwise.mul(this, other);
  },
  mul_(other) {
    return pointwise.mul_(this, other);
  },
  div(...args) {
    return pointwise.div(this, ...args);
  },
  div_(...args) {
    return pointwise.div_(this, ...args);
  },
  floorDivide(other) {
    return pointwise.floorDivide(this, other);
  },
  floorDivide_(other) {
    return pointwise.floorDivide_(this, other);
  },
  remainder(other) {
    return pointwise.remainder(this, other);
  },
  remainder_(other) {
    return pointwise.remainder_(this, other);
  },
  fmod(other) {
    return pointwise.fmod(this, other);
  },
  fmod_(other) {
    return pointwise.fmod_(this, other);
  },
  pow(exponent) {
    return pointwise.pow(this, exponent);
  },
  pow_(exponent) {
    return pointwise.pow_(this, exponent);
  },
  maximum(other) {
    return bounds.maximum(this, other);
  },
  minimum(other) {
    return bounds.minimum(this, other);
  },
  fmax(other) {
    return bounds.fmax(this, other);
  },
  fmin(other) {
    return bounds.fmin(this, other);
  },
  atan2(other) {
    return pointwise.atan2(this, other);
  },
  hypot(other) {
    return pointwise.hypot(this, other);
  },
  copysign(other) {
    return pointwise.copysign(this, other);
  },
  logaddexp(other) {
    return pointwise.logaddexp(this, other);
  },
  xlogy(other) {
    return pointwise.xlogy(this, other);
  },
  clamp(...args) {
    return bounds.clamp(this, ...args);
  },
  clamp_(...args) {
    return bounds.clamp_(this, ...args);
  },
  clampMin(min) {
    return bounds.clampMin(this, min);
  },
  clampMin_(min) {
    return bounds.clampMin_(this, min);
  },
  clampMax(max) {
    return bounds.clampMax(this, max);
  },
  clampMax_(max) {
    return bounds.clampMax_(this, max);
  },
  lerp(end, weight) {
    return ternary.lerp(this, end, weight);
  },
  lerp_(end, weight) {
    return ternary.lerp_(this, end, weight);
  },
  addcmul(...args) {
    return ternary.addcmul(this, ...args);
  },
  addcmul_(...args) {
    return ternary.addcmul_(this, ...args);
  },
  addcdiv(...args) {
    return ternary.addcdiv(this, ...args);
  },
  addcdiv_(...args) {
    return ternary.addcdiv_(this, ...args);
  },
  fill_(value) {
    return filling.fill_(this, value);
  },
  zero_() {
    return filling.zero_(this);
  },
  copy_(src) {
    return filling.copy_(this, src);
  },
  eq(other) {
    return logic.eq(this, other);
  },
  ne(other) {
    return logic.ne(this, other);
  },
  lt(other) {
    return logic.lt(this, other);
  },
  le(other) {
    return logic.le(this, other);
  },
  gt(other) {
    return logic.gt(this, other);
  },
  ge(other) {
    return logic.ge(this, other);
  },
  isnan() {
    return logic.isnan(this);
  },
  isinf() {
    return logic.isinf(this);
  },
  isfinite() {
    return logic.isfinite(this);
  },
  signbit() {
    return logic.signbit(this);
  },
  logicalNot() {
    return logic.logicalNot(this);
  },
  logicalNot_() {
    return logic.logicalNot_(this);
  },
  bitwiseNot() {
    return logic.bitwiseNot(this);
  },
  equal(other) {
    return logic.equal(this, other);
  },
  isclose(...args) {
    return logic.isclose(this, ...args);
  },
  allclose(...args) {
    return logic.allclose(this, ...args);
  },
  logicalAnd(other) {
    return logic.logicalAnd(this, other);
  },
  logicalAnd_(other) {
    return logic.logicalAnd_(this, other);
  },
  logicalOr(other) {
    return logic.logicalOr(this, other);
  },
  logicalOr_(other) {
    return logic.logicalOr_(this, other);
  },
  logicalXor(other) {
    return logic.logicalXor(this, other);
  },
  logicalXor_(other) {
    return logic.logicalXor_(this, other);
  },
  bitwiseAnd(other) {
    return logic.bitwiseAnd(this, other);
  },
  bitwiseAnd_(other) {
    return logic.bitwiseAnd_(this, other);
  },
  bitwiseOr(other) {
    return logic.bitwiseOr(this, other);
  },
  bitwiseOr_(other) {
    return logic.bitwiseOr_(this, other);
  },
  bitwiseXor(other) {
    return logic.bitwiseXor(this, other);
  },
  bitwiseXor_(other) {
    return logic.bitwiseXor_(this, other);
  },
  bitwiseLeftShift(other) {
    return logic.bitwiseLeftShift(this, other);
  },
  bitwiseRightShift(other) {
    return logic.bitwiseRightShift(this, other);
  },
  where(condition, other) {
    return logic.where(condition, this, other);
  },
  maskedFill(mask, value) {
    return logic.maskedFill(this, mask, value);
  },
  maskedFill_(mask, value) {
    return logic.maskedFill_(this, mask, value);
  },
  neg() {
    return mathOps.neg(this);
  },
  neg_() {
    return mathOps.neg_(this);
  },
  abs() {
    return mathOps.abs(this);
  },
  abs_() {
    return mathOps.abs_(this);
  },
  sign() {
    return mathOps.sign(this);
  },
  sign_() {
    return mathOps.sign_(this);
  },
  sgn() {
    return mathOps.sgn(this);
  },
  sgn_() {
    return mathOps.sgn_(this);
  },
  square() {
    return mathOps.square(this);
  },
  square_() {
    return mathOps.square_(this);
  },
  reciprocal() {
    return mathOps.reciprocal(this);
  },
  reciprocal_() {
    return mathOps.reciprocal_(this);
  },
  sqrt() {
    return mathOps.sqrt(this);
  },
  sqrt_() {
    return mathOps.sqrt_(this);
  },
  rsqrt() {
    return mathOps.rsqrt(this);
  },
  rsqrt_() {
    return mathOps.rsqrt_(this);
  },
  exp() {
    return mathOps.exp(this);
  },
  exp_() {
    return mathOps.exp_(this);
  },
  exp2() {
    return mathOps.exp2(this);
  },
  exp2_() {
    return mathOps.exp2_(this);
  },
  expm1() {
    return mathOps.expm1(this);
  },
  expm1_() {
    return mathOps.expm1_(this);
  },
  log() {
    return mathOps.log(this);
  },
  log_() {
    return mathOps.log_(this);
  },
  log2() {
    return mathOps.log2(this);
  },
  log2_() {
    return mathOps.log2_(this);
  },
  log10() {
    return mathOps.log10(this);
  },
  log10_() {
    return mathOps.log10_(this);
  },
  log1p() {
    return mathOps.log1p(this);
  },
  log1p_() {
    return mathOps.log1p_(this);
  },
  sin() {
    return mathOps.sin(this);
  },
  sin_() {
    return mathOps.sin_(this);
  },
  cos() {
    return mathOps.cos(this);
  },
  cos_() {
    return mathOps.cos_(this);
  },
  tan() {
    return mathOps.tan(this);
  },
  tan_() {
    return mathOps.tan_(this);
  },
  asin() {
    return mathOps.asin(this);
  },
  asin_() {
    return mathOps.asin_(this);
  },
  acos() {
    return mathOps.acos(this);
  },
  acos_() {
    return mathOps.acos_(this);
  },
  atan() {
    return mathOps.atan(this);
  },
  atan_() {
    return mathOps.atan_(this);
  },
  sinh() {
    return mathOps.sinh(this);
  },
  sinh_() {
    return mathOps.sinh_(this);
  },
  cosh() {
    return mathOps.cosh(this);
  },
  cosh_() {
    return mathOps.cosh_(this);
  },
  tanh() {
    return mathOps.tanh(this);
  },
  tanh_() {
    return mathOps.tanh_(this);
  },
  asinh() {
    return mathOps.asinh(this);
  },
  asinh_() {
    return mathOps.asinh_(this);
  },
  acosh() {
    return mathOps.acosh(this);
  },
  acosh_() {
    return mathOps.acosh_(this);
  },
  atanh() {
    return mathOps.atanh(this);
  },
  atanh_() {
    return mathOps.atanh_(this);
  },
  erf() {
    return mathOps.erf(this);
  },
  erf_() {
    return mathOps.erf_(this);
  },
  erfc() {
    return mathOps.erfc(this);
  },
  erfc_() {
    return mathOps.erfc_(this);
  },
  erfinv() {
    return mathOps.erfinv(this);
  },
  erfinv_() {
    return mathOps.erfinv_(this);
  },
  floor() {
    return mathOps.floor(this);
  },
  floor_() {
    return mathOps.floor_(this);
  },
  ceil() {
    return mathOps.ceil(this);
  },
  ceil_() {
    return mathOps.ceil_(this);
  },
  trunc() {
    return mathOps.trunc(this);
  },
  trunc_() {
    return mathOps.trunc_(this);
  },
  frac() {
    return mathOps.frac(this);
  },
  frac_() {
    return mathOps.frac_(this);
  },
  round(...args) {
    return mathOps.round(this, ...args);
  },
  round_(...args) {
    return mathOps.round_(this, ...args);
  },
  nanToNum(...args) {
    return mathOps.nanToNum(this, ...args);
  },
  nanToNum_(...args) {
    return mathOps.nanToNum_(this, ...args);
  },
  relu() {
    return activation.relu(this);
  },
  relu_() {
    return activation.relu_(this);
  },
  sigmoid() {
    return activation.sigmoid(this);
  },
  sigmoid_() {
    return activation.sigmoid_(this);
  },
  prelu(weight) {
    return activation.prelu(this, weight);
  },
  hardshrink(...args) {
    return activation.hardshrink(this, ...args);
  },
  newZeros(...args) {
    return creation.newZeros(this, ...args);
  },
  newOnes(...args) {
    return creation.newOnes(this, ...args);
  },
  newEmpty(...args) {
    return creation.newEmpty(this, ...args);
  },
  newFull(...args) {
    return creation.newFull(this, ...args);
  },
  tril(...args) {
    return patterns.tril(this, ...args);
  },
  triu(...args) {
    return patterns.triu(this, ...args);
  },
  bernoulli(...args) {
    return random.bernoulli(this, ...args);
  },
  multinomial(...args) {
    return random.multinomial(this, ...args);
  },
  uniform_(...args) {
    return random.uniform_(this, ...args);
  },
  normal_(...args) {
    return random.normal_(this, ...args);
  },
  exponential_(...args) {
    return random.exponential_(this, ...args);
  },
  bernoulli_(...args) {
    return random.bernoulli_(this, ...args);
  },
  random_(...args) {
    return random.random_(this, ...args);
  },
  to(...args) {
    return converts.to(this, ...args);
  },
  typeAs(other) {
    return converts.typeAs(this, other);
  },
  float() {
    return map.cast(this, "float32");
  },
  double() {
    return map.cast(this, "float64");
  },
  half() {
    return map.cast(this, "float16");
  },
  bfloat16() {
    return map.cast(this, "bfloat16");
  },
  long() {
    return map.cast(this, "int64");
  },
  int() {
    return map.cast(this, "int32");
  },
  short() {
    return map.cast(this, "int16");
  },
  char() {
    return map.cast(this, "int8");
  },
  byte() {
    return map.cast(this, "uint8");
  },
  bool() {
    return map.cast(this, "bool");
  },
  sum(dim, options) {
    return reduction.sum(this, dim, options);
  },
  mean(dim, options) {
    return reduction.mean(this, dim, options);
  },
  matmul(other) {
    return products.matmul(this, other);
  },
  mm(mat2) {
    return products.mm(this, mat2);
  },
  bmm(mat2) {
    return products.bmm(this, mat2);
  },
  mv(vec) {
    return products.mv(this, vec);
  },
  dot(other) {
    return products.dot(this, other);
  },
  outer(vec2) {
    return products.outer(this, vec2);
  },
  addmm(first, second, beta, alpha, options) {
    return products.addmm(this, first, second, beta, alpha, options);
  },
  baddbmm(first, second, beta, alpha, options) {
    return products.baddbmm(this, first, second, beta, alpha, options);
  },
  softmax(dim, options) {
    return softmaxes.softmax(this, dim, options);
  },
  logSoftmax(dim, options) {
    return softmaxes.logSoftmax(this, dim, options);
  },
  amax(dim, options) {
    return reduction.amax(this, dim, options);
  },
  amin(dim, options) {
    return reduction.amin(this, dim, options);
  },
  any(dim, options) {
    return reduction.any(this, dim, options);
  },
  all(dim, options) {
    return reduction.all(this, dim, options);
  },
  nansum(dim, options) {
    return reduction.nansum(this, dim, options);
  },
  nanmean(dim, options) {
    return reduction.nanmean(this, dim, options);
  },
  prod(dim, options) {
    return reduction.prod(this, dim, options);
  },
  aminmax(options) {
    return reduction.aminmax(this, options);
  },
  countNonzero(dim) {
    return reduction.countNonzero(this, dim);
  },
  std(dim, options) {
    return moments.std(this, dim, options);
  },
  norm(p, dim, options) {
    return moments.norm(this, p, dim, options);
  },
  logsumexp(dim, options) {
    return moments.logsumexp(this, dim, options);
  },
  argmax(dim, options) {
    return extremes.argmax(this, dim, options);
  },
  argmin(dim, options) {
    return extremes.argmin(this, dim, options);
  },
  cumsum(dim, options) {
    return scans.cumsum(this, dim, options);
  },
  cumprod(dim, options) {
    return scans.cumprod(this, dim, options);
  },
  logcumsumexp(dim) {
    return scans.logcumsumexp(this, dim);
  },
  cummax(dim) {
    return scans.cummax(this, dim);
  },
  cummin(dim) {
    return scans.cummin(this, dim);
  },
  max(...args: unknown[]) {
    return extremes.max(this, ...args as []) as never;
  },
  min(...args: unknown[]) {
    return extremes.min(this, ...args as []) as never;
  },
  var(dim, options) {
    return moments.variance(this, dim, options);
  },
  mode(dim, options) {
    return orders.mode(this, dim, options);
  },
  quantile(q, dim, options) {
    return orders.quantile(this, q, dim, options);
  },
  nanquantile(q, dim, options) {
    return orders.nanquantile(this, q, dim, options);
  },
  median(...args: unknown[]) {
    return orders.median(this, ...args as []) as never;
  },
  nanmedian(...args: unknown[]) {
    return orders.nanmedian(this, ...args as []) as never;
  },
  clone() {
    return views.clone(this);
  },
  contiguous() {
    return views.contiguous(this);
  },
  view(size) {
    return views.view(this, size);
  },
  reshape(shape) {
    return views.reshape(this, shape);
  },
  permute(dims) {
    return views.permute(this, dims);
  },
  transpose(dim0, dim1) {
    return views.transpose(this, dim0, dim1);
  },
  expand(size) {
    return views.expand(this, size);
  },
  viewAs(other) {
    return views.viewAs(this, other);
  },
  reshapeAs(other) {
    return views.reshapeAs(this, other);
  },
  ravel() {
    return views.ravel(this);
  },
  swapaxes(axis0, axis1) {
    return views.swapaxes(this, axis0, axis1);
  },
  t() {
    return views.t(this);
  },
  movedim(source, destination) {
    return views.movedim(this, source, destination);
  },
  expandAs(other) {
    return views.expandAs(this, other);
  },
  broadcastTo(size) {
    return views.broadcastTo(this, size);
  },
  squeeze(dim) {
    return views.squeeze(this, dim);
  },
  unsqueeze(dim) {
    return views.unsqueeze(this, dim);
  },
  flatten(startDim, endDim) {
    return views.flatten(this, startDim, endDim);
  },
  unflatten(dim, sizes) {
    return views.unflatten(this, dim, sizes);
  },
  narrow(dim, start, length) {
    return windows.narrow(this, dim, start, length);
  },
  select(dim, index) {
    return windows.select(this, dim, index);
  },
  diagonal(offset, dim1, options) {
    return windows.diagonal(this, offset, dim1, options);
  },
  unfold(dimension, size, step) {
    return windows.unfold(this, dimension, size, step);
  },
  asStrided(size, stride, storageOffset) {
    return windows.asStrided(this, size, stride, storageOffset);
  },
  unbind(dim) {
    return windows.unbind(this, dim);
  },
  split(splitSize, dim) {
    return windows.split(this, splitSize, dim);
  },
  chunk(chunks, dim) {
    return windows.chunk(this, chunks, dim);
  },
  tensorSplit(indicesOrSections, dim) {
    return windows.tensorSplit(this, indicesOrSections, dim);
  },
  hsplit(indicesOrSections) {
    return windows.hsplit(this, indicesOrSections);
  },
  vsplit(indicesOrSections) {
    return windows.vsplit(this, indicesOrSections);
  },
  dsplit(indicesOrSections) {
    return windows.dsplit(this, indicesOrSections);
  },
  at(...indices) {
    return indexing.at(this, ...indices);
  },
  set(indices, value) {
    return indexing.set(this, indices, value);
  },
  indexSelect(dim, index) {
    return indexOps.indexSelect(this, dim, index);
  },
  indexAdd(dim, index, source, options) {
    return indexOps.indexAdd(this, dim, index, source, options);
  },
  indexAdd_(dim, index, source, options) {
    return indexOps.indexAdd_(this, dim, index, source, options);
  },
  indexCopy(dim, index, source) {
    return indexOps.indexCopy(this, dim, index, source);
  },
  indexCopy_(dim, index, source) {
    return indexOps.indexCopy_(this, dim, index, source);
  },
  indexFill(dim, index, value) {
    return indexOps.indexFill(this, dim, index, value);
  },
  indexFill_(dim, index, value) {
    return indexOps.indexFill_(this, dim, index, value);
  },
  indexPut(indices, values, options) {
    return indexOps.indexPut(this, indices, values, options);
  },
  indexPut_(indices, values, options) {
    return indexOps.indexPut_(this, indices, values, options);
  },
  gather(dim, index) {
    return scattering.gather(this, dim, index);
  },
  scatter(dim, index, src, options) {
    return scattering.scatter(this, dim, index, src, options);
  },
  scatter_(dim, index, src, options) {
    return scattering.scatter_(this, dim, index, src, options);
  },
  scatterAdd(dim, index, src) {
    return scattering.scatterAdd(this, dim, index, src);
  },
  scatterAdd_(dim, index, src) {
    return scattering.scatterAdd_(this, dim, index, src);
  },
  scatterReduce(dim, index, src, reduce, options) {
    return scattering.scatterReduce(this, dim, index, src, reduce, options);
  },
  scatterReduce_(dim, index, src, reduce, options) {
    return scattering.scatterReduce_(this, dim, index, src, reduce, options);
  },
  take(index) {
    return scattering.take(this, index);
  },
  takeAlongDim(indices, dim) {
    return scattering.takeAlongDim(this, indices, dim);
  },
  nonzero(options?: object) {
    return masking.nonzero(this, options as { asTuple: true }) as never;
  },
  argwhere() {
    return masking.argwhere(this);
  },
  maskedSelect(mask) {
    return masking.maskedSelect(this, mask);
  },
  maskedScatter(mask, source) {
    return masking.maskedScatter(this, mask, source);
  },
  maskedScatter_(mask, source) {
    return masking.maskedScatter_(this, mask, source);
  },
  repeatInterleave(repeats, dim, options) {
    return masking.repeatInterleave(this, repeats, dim, options);
  },
  bincount(weights, minlength) {
    return masking.bincount(this, weights, minlength);
  },
  histc(bins, min, options) {
    return masking.histc(this, bins, min, options);
  },
  sort(dim, options) {
    return sorting.sort(this, dim, options);
  },
  argsort(dim, options) {
    return sorting.argsort(this, dim, options);
  },
  msort() {
    return sorting.msort(this);
  },
  unique(options?: sorting.UniqueOptions) {
    return sorting.unique(this, options ?? {}) as never;
  },
  topk(k, dim, options) {
    return sorting.topk(this, k, dim, options);
  },
  kthvalue(k, dim, options) {
    return sorting.kthvalue(this, k, dim, options);
  },
  flip(dims) {
    return rearranging.flip(this, dims);
  },
  fliplr() {
    return rearranging.fliplr(this);
  },
  flipud() {
    return rearranging.flipud(this);
  },
  roll(shifts, dims) {
    return rearranging.roll(this, shifts, dims);
  },
  rot90(k, dims) {
    return rearranging.rot90(this, k, dims);
  },
  repeat(repeats) {
    return rearranging.repeat(this, repeats);
  },
  tile(dims) {
    return rearranging.tile(this, dims);
  },
  diag(diagonal) {
    return windows.diag(this, diagonal);
  },
  diagEmbed(offset, dim1, options) {
    return windows.diagEmbed(this, offset, dim1, options);
  },
  size(dim?: number) {
    return (dim === undefined ? this.shape : this.shape[wrapDim(dim, this.ndim, "size")]) as never;
  },
  dim() {
    return this.ndim;
  },
  elementSize() {
    return this.info.size;
  },
};

for (const [name, value] of Object.entries(methods)) {
  Object.defineProperty(Tensor.prototype, name, { value, configurable: true, writable: true });
}

Object.defineProperties(Tensor.prototype, {
  itemsize: {
    get(this: Tensor): number {
      return this.info.size;
    },
  },
  nbytes: {
    get(this: Tensor): number {
      return this.numel * this.info.size;
    },
  },
  T: {
    get(this: Tensor): Tensor {
      return views.permute(this, this.shape.map((_, d) => this.ndim - 1 - d));
    },
  },
  mT: {
    get(this: Tensor): Tensor {
      return views.transpose(this, -2, -1);
    },
  },
  requiresGrad: {
    get(this: Tensor): boolean {
      return autograd.requiresGrad(this);
    },
    set(this: Tensor, on: boolean) {
      if (on && !this.info.isFloat) {
        throw new DTypeError(
          `Cannot requiresGrad on a ${this.dtype} tensor: only float tensors carry gradients`,
          { op: "requiresGrad" },
        );
      }
      if (!on && !this.isLeaf) {
        throw new AutogradError(
          "Cannot requiresGrad = false on a tensor that an op made: only leaves can be changed",
          { op: "requiresGrad", hint: "detach() gives a tensor without the history" },
        );
      }
      autograd.metaOf(this).requiresGrad = on;
    },
  },
  grad: {
    get(this: Tensor): Tensor | null {
      return this.meta?.grad ?? null;
    },
    set(this: Tensor, value: Tensor | null) {
      autograd.metaOf(this).grad = value;
    },
  },
  retainsGrad: {
    get(this: Tensor): boolean {
      return this.meta?.retains ?? false;
    },
  },
  isLeaf: {
    get(this: Tensor): boolean {
      return (this.meta?.node ?? null) === null;
    },
  },
});

const shown: Record<string | symbol, () => unknown> & ThisType<Tensor> = {
  toString() {
    return format(this);
  },
  [Symbol.for("Deno.customInspect")]() {
    return format(this);
  },
  [Symbol.for("Jupyter.display")]() {
    return { "text/plain": format(this) };
  },
  [Symbol.iterator]() {
    return windows.unbind(this)[Symbol.iterator]();
  },
};

for (const name of Reflect.ownKeys(shown)) {
  Object.defineProperty(Tensor.prototype, name, {
    value: shown[name],
    configurable: true,
    writable: true,
  });
}
