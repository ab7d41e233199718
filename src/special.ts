/**
 * Special functions, as `torch.special` has them; those that are also at top level are the same functions.
 *
 * @module
 */
export {
  airyAi,
  besselJ0,
  besselJ1,
  besselY0,
  besselY1,
  chebyshevPolynomialT,
  chebyshevPolynomialU,
  chebyshevPolynomialV,
  chebyshevPolynomialW,
  digamma,
  digamma as psi,
  entr,
  erfcx,
  hermitePolynomialH,
  hermitePolynomialHe,
  i0,
  i0e,
  i1,
  i1e,
  igamma as gammainc,
  igammac as gammaincc,
  laguerrePolynomialL,
  legendrePolynomialP,
  lgamma as gammaln,
  type Logit,
  logit,
  type LogitOptions,
  logNdtr,
  modifiedBesselI0,
  modifiedBesselI1,
  modifiedBesselK0,
  modifiedBesselK1,
  type Mvlgamma,
  mvlgamma as multigammaln,
  ndtr,
  ndtri,
  polygamma,
  scaledModifiedBesselK0,
  scaledModifiedBesselK1,
  shiftedChebyshevPolynomialT,
  shiftedChebyshevPolynomialU,
  shiftedChebyshevPolynomialV,
  shiftedChebyshevPolynomialW,
  sinc,
  sphericalBesselJ0,
  xlog1py,
  zeta,
} from "./ops/special.ts";
export { erf, erfc, erfinv, exp2, expm1, log1p, type Round, round } from "./ops/math.ts";
export { type Either, xlogy } from "./ops/pointwise.ts";
export { sigmoid as expit } from "./ops/activation.ts";
export { type LogSumExp, logsumexp } from "./ops/moments.ts";
export { logSoftmax, type Softmax, softmax } from "./ops/softmax.ts";
