/**
 * Methods of Tensor that are a function of each element: math.ts, special functions, activations, softmax. Each hands its arguments on to an op.
 *
 * @module
 */
import * as activation from "../ops/activation.ts";
import * as mathOps from "../ops/math.ts";
import * as softmaxes from "../ops/softmax.ts";
import * as special from "../ops/special.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor that are a function of each element: math.ts, special functions, activations, softmax. */
export interface FunctionMethods {
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
  /** `exp(x) / Σ exp(x)` over a dim. */
  softmax(dim: number, options?: softmaxes.SoftmaxOptions): Tensor;
  /** The logarithm of `softmax`. */
  logSoftmax(dim: number, options?: softmaxes.SoftmaxOptions): Tensor;
  /** The derivative of `log Γ`; -∞ at 0, NaN at the negative integers. */
  digamma: Method<typeof special.digamma>;
  /** `digamma` in place. */
  digamma_: Method<typeof special.digamma_>;
  /** The modified Bessel function of the first kind of order 0. */
  i0: Method<typeof special.i0>;
  /** `i0` in place. */
  i0_: Method<typeof special.i0_>;
  /** The regularised lower incomplete gamma function `P(this, other)`. */
  igamma: Method<typeof special.igamma>;
  /** `igamma` in place. */
  igamma_: Method<typeof special.igamma_>;
  /** The regularised upper incomplete gamma function `Q = 1 - P`. */
  igammac: Method<typeof special.igammac>;
  /** `igammac` in place. */
  igammac_: Method<typeof special.igammac_>;
  /** Whether an element is -∞. */
  isneginf: Method<typeof special.isneginf>;
  /** Whether an element is ∞. */
  isposinf: Method<typeof special.isposinf>;
  /** `log |Γ(x)|`; ∞ at 0 and the negative integers. */
  lgamma: Method<typeof special.lgamma>;
  /** `lgamma` in place. */
  lgamma_: Method<typeof special.lgamma_>;
  /** `log₂(2ᵃ + 2ᵇ)` without overflow. */
  logaddexp2: Method<typeof special.logaddexp2>;
  /** `log(x / (1 - x))`, the inverse of `sigmoid`; NaN outside [0, 1], where no `eps` keeps x inside. */
  logit: Method<typeof special.logit>;
  /** `logit` in place. */
  logit_: Method<typeof special.logit_>;
  /** `log Γₚ(x) = p (p - 1) / 4 · log π + Σⱼ log Γ(x - j / 2)`, j from 0 to p - 1. */
  mvlgamma: Method<typeof special.mvlgamma>;
  /** `mvlgamma` in place. */
  mvlgamma_: Method<typeof special.mvlgamma_>;
  /** `polygamma` of a tensor in place: `polygamma_(x, n)`. */
  polygamma_: Method<typeof special.polygamma_>;
  /** `sin(πx) / πx`, 1 at 0. */
  sinc: Method<typeof special.sinc>;
  /** `sinc` in place. */
  sinc_: Method<typeof special.sinc_>;
  /** The nth derivative of `digamma`. */
  polygamma(n: number): Tensor;
}

const methods: Forwarded<FunctionMethods> = {
  neg: mathOps.neg,
  neg_: mathOps.neg_,
  abs: mathOps.abs,
  abs_: mathOps.abs_,
  sign: mathOps.sign,
  sign_: mathOps.sign_,
  sgn: mathOps.sgn,
  sgn_: mathOps.sgn_,
  square: mathOps.square,
  square_: mathOps.square_,
  reciprocal: mathOps.reciprocal,
  reciprocal_: mathOps.reciprocal_,
  sqrt: mathOps.sqrt,
  sqrt_: mathOps.sqrt_,
  rsqrt: mathOps.rsqrt,
  rsqrt_: mathOps.rsqrt_,
  exp: mathOps.exp,
  exp_: mathOps.exp_,
  exp2: mathOps.exp2,
  exp2_: mathOps.exp2_,
  expm1: mathOps.expm1,
  expm1_: mathOps.expm1_,
  log: mathOps.log,
  log_: mathOps.log_,
  log2: mathOps.log2,
  log2_: mathOps.log2_,
  log10: mathOps.log10,
  log10_: mathOps.log10_,
  log1p: mathOps.log1p,
  log1p_: mathOps.log1p_,
  sin: mathOps.sin,
  sin_: mathOps.sin_,
  cos: mathOps.cos,
  cos_: mathOps.cos_,
  tan: mathOps.tan,
  tan_: mathOps.tan_,
  asin: mathOps.asin,
  asin_: mathOps.asin_,
  acos: mathOps.acos,
  acos_: mathOps.acos_,
  atan: mathOps.atan,
  atan_: mathOps.atan_,
  sinh: mathOps.sinh,
  sinh_: mathOps.sinh_,
  cosh: mathOps.cosh,
  cosh_: mathOps.cosh_,
  tanh: mathOps.tanh,
  tanh_: mathOps.tanh_,
  asinh: mathOps.asinh,
  asinh_: mathOps.asinh_,
  acosh: mathOps.acosh,
  acosh_: mathOps.acosh_,
  atanh: mathOps.atanh,
  atanh_: mathOps.atanh_,
  erf: mathOps.erf,
  erf_: mathOps.erf_,
  erfc: mathOps.erfc,
  erfc_: mathOps.erfc_,
  erfinv: mathOps.erfinv,
  erfinv_: mathOps.erfinv_,
  floor: mathOps.floor,
  floor_: mathOps.floor_,
  ceil: mathOps.ceil,
  ceil_: mathOps.ceil_,
  trunc: mathOps.trunc,
  trunc_: mathOps.trunc_,
  frac: mathOps.frac,
  frac_: mathOps.frac_,
  round: mathOps.round,
  round_: mathOps.round_,
  nanToNum: mathOps.nanToNum,
  nanToNum_: mathOps.nanToNum_,
  relu: activation.relu,
  relu_: activation.relu_,
  sigmoid: activation.sigmoid,
  sigmoid_: activation.sigmoid_,
  prelu: activation.prelu,
  hardshrink: activation.hardshrink,
  softmax: softmaxes.softmax,
  logSoftmax: softmaxes.logSoftmax,
  digamma: special.digamma,
  digamma_: special.digamma_,
  i0: special.i0,
  i0_: special.i0_,
  igamma: special.igamma,
  igamma_: special.igamma_,
  igammac: special.igammac,
  igammac_: special.igammac_,
  isneginf: special.isneginf,
  isposinf: special.isposinf,
  lgamma: special.lgamma,
  lgamma_: special.lgamma_,
  logaddexp2: special.logaddexp2,
  logit: special.logit,
  logit_: special.logit_,
  mvlgamma: special.mvlgamma,
  mvlgamma_: special.mvlgamma_,
  polygamma_: special.polygamma_,
  sinc: special.sinc,
  sinc_: special.sinc_,
  polygamma: (x: Tensor, n: number) => special.polygamma(n, x),
};

install(methods);
