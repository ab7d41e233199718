/**
 * Methods of Tensor that hand all their arguments on to an op as they are: special functions, linear algebra, in-place
 * forms of comparisons. The others are in methods.ts, which installs these too.
 *
 * @module
 */
import * as arithmetic from "./ops/arithmetic.ts";
import * as differences from "./ops/differences.ts";
import * as indexWrites from "./ops/index_writes.ts";
import * as systems from "./ops/linear_systems.ts";
import * as leastSquares from "./ops/least_squares.ts";
import * as matrixFunctions from "./ops/matrix_functions.ts";
import * as forms from "./ops/linalg_forms.ts";
import * as logic from "./ops/logic.ts";
import * as pointwise from "./ops/pointwise.ts";
import type * as map from "./ops/map.ts";
import * as products from "./ops/products.ts";
import * as special from "./ops/special.ts";
import * as distributions from "./ops/distributions.ts";
import * as viewsInplace from "./ops/view_inplace.ts";
import * as viewWrites from "./ops/view_writes.ts";
import * as sorting from "./ops/sorting.ts";
import * as inspection from "./ops/inspection.ts";
import * as variants from "./ops/variants.ts";
import { shareSignature } from "./op.ts";
import { Tensor } from "./tensor.ts";

/** An op as a method: without its first argument. */
export type Method<F> = F extends (input: Tensor, ...rest: infer R) => infer T ? (...rest: R) => T
  : never;

/** Methods that are an op each. */
export interface OpMethods {
  /** `beta · this + alpha · Σ (batch1 · batch2)`: (B, M, K) by (B, K, N); this broadcasts to (M, N). */
  addbmm: Method<typeof products.addbmm>;
  /** `addbmm` in place. */
  addbmm_: Method<typeof products.addbmm_>;
  /** `addmm` in place. */
  addmm_: Method<typeof products.addmm_>;
  /** `beta · this + alpha · (mat · vec)`: (M, K) by (K); this broadcasts to (M). */
  addmv: Method<typeof products.addmv>;
  /** `addmv` in place. */
  addmv_: Method<typeof products.addmv_>;
  /** `beta · this + alpha · (vec1 ⊗ vec2)`: (M) and (N); this broadcasts to (M, N). */
  addr: Method<typeof products.addr>;
  /** `addr` in place. */
  addr_: Method<typeof products.addr_>;
  /** `baddbmm` in place. */
  baddbmm_: Method<typeof products.baddbmm_>;
  /** The cross product along a dim; without one along the first of size 3. */
  cross: Method<typeof products.cross>;
  /** Sums of products over the last dims: (…, K) and (---, K) give (…, ---); a 0-d operand is a factor. */
  inner: Method<typeof products.inner>;
  /** Kronecker's product: each element of this times all of other. */
  kron: Method<typeof products.kron>;
  /** The sum of a matrix's diagonal. */
  trace: Method<typeof products.trace>;
  /** The inner product of two vectors; `dot` for real numbers. */
  vdot: Method<typeof products.vdot>;
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
  /** The angle of a number in the complex plane: π below 0, 0 from 0 on, NaN stays. */
  angle: Method<typeof arithmetic.angle>;
  /** The conjugate: the this itself. */
  conj: Method<typeof arithmetic.conj>;
  /** The conjugate: the this itself. */
  conjPhysical: Method<typeof arithmetic.conjPhysical>;
  /** The conjugate: the this itself. */
  conjPhysical_: Method<typeof arithmetic.conjPhysical_>;
  /** Degrees as radians: `this · π / 180`. */
  deg2rad: Method<typeof arithmetic.deg2rad>;
  /** `deg2rad` in place. */
  deg2rad_: Method<typeof arithmetic.deg2rad_>;
  /** `floatPower` in place; only a float64 tensor can hold the result. */
  floatPower_: Method<typeof arithmetic.floatPower_>;
  /** A mantissa and an exponent: `this = mantissa · 2^exponent` with the mantissa in [½, 1). */
  frexp: Method<typeof arithmetic.frexp>;
  /** The greatest common divisor, not negative. */
  gcd: Method<typeof arithmetic.gcd>;
  /** `gcd` in place. */
  gcd_: Method<typeof arithmetic.gcd_>;
  /** A step: 0 below 0, 1 above, `values` at 0. */
  heaviside: Method<typeof arithmetic.heaviside>;
  /** `heaviside` in place. */
  heaviside_: Method<typeof arithmetic.heaviside_>;
  /** Whether an element is a real number: true everywhere. */
  isreal: Method<typeof arithmetic.isreal>;
  /** The least common multiple, not negative. */
  lcm: Method<typeof arithmetic.lcm>;
  /** `lcm` in place. */
  lcm_: Method<typeof arithmetic.lcm_>;
  /** `this · 2^other`. */
  ldexp: Method<typeof arithmetic.ldexp>;
  /** `ldexp` in place. */
  ldexp_: Method<typeof arithmetic.ldexp_>;
  /** The next number of the dtype after this, towards other. */
  nextafter: Method<typeof arithmetic.nextafter>;
  /** `nextafter` in place. */
  nextafter_: Method<typeof arithmetic.nextafter_>;
  /** The this itself. */
  positive: Method<typeof arithmetic.positive>;
  /** Radians as degrees: `this · 180 / π`. */
  rad2deg: Method<typeof arithmetic.rad2deg>;
  /** `rad2deg` in place. */
  rad2deg_: Method<typeof arithmetic.rad2deg_>;
  /** The this itself: no view waits for a conjugation. */
  resolveConj: Method<typeof arithmetic.resolveConj>;
  /** The this itself: no view waits for a negation. */
  resolveNeg: Method<typeof arithmetic.resolveNeg>;
  /** The correlations of rows (variables) over columns (observations), kept in [-1, 1]. */
  corrcoef: Method<typeof differences.corrcoef>;
  /** The covariances of rows (variables) over columns (observations): (R, N) → (R, R). */
  cov: Method<typeof differences.cov>;
  /** Differences of neighbours along a dim, n times; of bool whether they differ. */
  diff: Method<typeof differences.diff>;
  /** `‖this - other‖` of order p. */
  dist: Method<typeof differences.dist>;
  /** Slices along a dim whose norm of order p is above `maxnorm`, scaled down to it. */
  renorm: Method<typeof differences.renorm>;
  /** `renorm` in place. */
  renorm_: Method<typeof differences.renorm_>;
  /** A copy in which `asStrided` is `src`. */
  asStridedScatter: Method<typeof viewWrites.asStridedScatter>;
  /** A copy in which `diagonal` is `src`. */
  diagonalScatter: Method<typeof viewWrites.diagonalScatter>;
  /** `narrow`, copied. */
  narrowCopy: Method<typeof viewWrites.narrowCopy>;
  /** A copy in which `select(dim, index)` is `src`. */
  selectScatter: Method<typeof viewWrites.selectScatter>;
  /** A copy in which a slice of a dim is `src`. */
  sliceScatter: Method<typeof viewWrites.sliceScatter>;
  /** How many elements lie in each bin, and the edges: `{ hist, binEdges }`. */
  histogram: Method<typeof indexWrites.histogram>;
  /** A copy whose slices along a dim are joined with those of `source` that `index` sends there. */
  indexReduce: Method<typeof indexWrites.indexReduce>;
  /** `indexReduce` in place. */
  indexReduce_: Method<typeof indexWrites.indexReduce_>;
  /** The places of non-zeros in a tensor of `size` rows: the first ones, or rows of `fillValue` behind them. */
  nonzeroStatic: Method<typeof indexWrites.nonzeroStatic>;
  /** A copy with `source` at places of the flat tensor; with `accumulate` it is added there. */
  put: Method<typeof indexWrites.put>;
  /** `put` in place. */
  put_: Method<typeof indexWrites.put_>;
  /** The inverse of A = L Lᵀ, from its Cholesky factor. */
  choleskyInverse: Method<typeof forms.choleskyInverse>;
  /** X with A X = B, where L is the Cholesky factor of A. */
  choleskySolve: Method<typeof forms.choleskySolve>;
  /** R and Householder's vectors in one matrix, and the vectors' factors. */
  geqrf: Method<typeof forms.geqrf>;
  /** LU with row exchanges, packed: `[LU, pivots]`, with the codes where `getInfos` asks for them. */
  lu: Method<typeof forms.lu>;
  /** X with A X = B, where A is packed as `linalg.luFactor` gives it. */
  luSolve: Method<typeof forms.luSolve>;
  /** `linalg.householderProduct` under its older name. */
  orgqr: Method<typeof forms.orgqr>;
  /** A matrix times the Q of Householder's reflectors, which is never made smaller than square. */
  ormqr: Method<typeof forms.ormqr>;
  /** U, S and V with A = U diag(S) Vᵀ: `linalg.svd` with V itself, thin unless `some` is false. */
  svd: Method<typeof forms.svd>;
  /** The solution X of A X = B for a triangular A, and a copy of A. */
  triangularSolve: Method<typeof forms.triangularSolve>;
  /** The determinant of square matrices (…, N, N) → (…). */
  det: Method<typeof systems.det>;
  /** The inverse of square matrices, as `linalg.inv`. */
  inverse: Method<typeof systems.inverse>;
  /** The logarithm of the determinant; NaN where that is negative. */
  logdet: Method<typeof systems.logdet>;
  /** `e^A = Σ Aᵏ / k!` of square matrices: a Taylor polynomial of A / 2ˢ, squared s times. */
  matrixExp: Method<typeof matrixFunctions.matrixExp>;
  /** A square matrix to a whole power, by squaring; a negative one is that of the inverse. */
  matrixPower: Method<typeof matrixFunctions.matrixPower>;
  /** The pseudo-inverse with a relative bound. */
  pinverse: Method<typeof leastSquares.pinverse>;
  /** The sign and the logarithm of the absolute value of the determinant: `{ sign, logabsdet }`. */
  slogdet: Method<typeof systems.slogdet>;
  /** `bitwiseLeftShift` in place. */
  bitwiseLeftShift_: Method<typeof logic.bitwiseLeftShift_>;
  /** `bitwiseNot` in place. */
  bitwiseNot_: Method<typeof logic.bitwiseNot_>;
  /** `bitwiseRightShift` in place. */
  bitwiseRightShift_: Method<typeof logic.bitwiseRightShift_>;
  /** `eq` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
  eq_: Method<typeof logic.eq_>;
  /** `ge` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
  ge_: Method<typeof logic.ge_>;
  /** `gt` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
  gt_: Method<typeof logic.gt_>;
  /** `le` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
  le_: Method<typeof logic.le_>;
  /** `lt` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
  lt_: Method<typeof logic.lt_>;
  /** `ne` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
  ne_: Method<typeof logic.ne_>;
  /** `atan2` in place. */
  atan2_: Method<typeof pointwise.atan2_>;
  /** `copysign` in place. */
  copysign_: Method<typeof pointwise.copysign_>;
  /** `hypot` in place. */
  hypot_: Method<typeof pointwise.hypot_>;
  /** `xlogy` in place. */
  xlogy_: Method<typeof pointwise.xlogy_>;
  /** `cumprod` in place. */
  cumprod_: Method<typeof variants.cumprod_>;
  /** `cumsum` in place. */
  cumsum_: Method<typeof variants.cumsum_>;
  /** A matrix with the elements on a diagonal. */
  diagflat: Method<typeof variants.diagflat>;
  /** Pieces of the given sizes. */
  splitWithSizes: Method<typeof variants.splitWithSizes>;
  /** The sum over the dims that broadcasting from `size` would stretch. */
  sumToSize: Method<typeof variants.sumToSize>;
  /** `tril` in place. */
  tril_: Method<typeof variants.tril_>;
  /** `triu` in place. */
  triu_: Method<typeof variants.triu_>;
  /** `chunk`. */
  unsafeChunk: Method<typeof variants.unsafeChunk>;
  /** `split`. */
  unsafeSplit: Method<typeof variants.unsafeSplit>;
  /** Runs of equal neighbours as one. */
  uniqueConsecutive: Method<typeof sorting.uniqueConsecutive>;
  /** The last two dims exchanged. */
  adjoint: Method<typeof inspection.adjoint>;
  /** Sets the main diagonal. */
  fillDiagonal_: Method<typeof inspection.fillDiagonal_>;
  /** Whether the dtype is a float one. */
  isFloatingPoint: Method<typeof inspection.isFloatingPoint>;
  /** Whether the one element differs from 0. */
  isNonzero: Method<typeof inspection.isNonzero>;
  /** Whether both have one shape. */
  isSameSize: Method<typeof inspection.isSameSize>;
  /** Whether the dtype has negative numbers. */
  isSigned: Method<typeof inspection.isSigned>;
  /** Undefined elements of a size with given strides, of this dtype and device. */
  newEmptyStrided: Method<typeof variants.newEmptyStrided>;
  /** A tensor of data, of this dtype and device. */
  newTensor: Method<typeof variants.newTensor>;
  /** `asStrided` in place. */
  asStrided_: Method<typeof viewsInplace.asStrided_>;
  /** Lets go of the history, in place. */
  detach_: Method<typeof viewsInplace.detach_>;
  /** Other sizes for the same object; where it needs more memory, new elements are undefined. */
  resize_: Method<typeof viewsInplace.resize_>;
  /** `resize_` to the shape of another tensor. */
  resizeAs_: Method<typeof viewsInplace.resizeAs_>;
  /** `squeeze` in place. */
  squeeze_: Method<typeof viewsInplace.squeeze_>;
  /** `t` in place. */
  t_: Method<typeof viewsInplace.t_>;
  /** `transpose` in place. */
  transpose_: Method<typeof viewsInplace.transpose_>;
  /** `unsqueeze` in place. */
  unsqueeze_: Method<typeof viewsInplace.unsqueeze_>;
  /** Fills with numbers of Cauchy's distribution. */
  cauchy_: Method<typeof distributions.cauchy_>;
  /** Fills with the number of tries up to the first success, each of probability p. */
  geometric_: Method<typeof distributions.geometric_>;
  /** Fills with numbers whose logarithms are normal. */
  logNormal_: Method<typeof distributions.logNormal_>;
  /** The nth derivative of `digamma`. */
  polygamma(n: number): Tensor;
  /** A power computed in float64. */
  floatPower(exponent: map.Operand): Tensor;
}

type AnyOp = (input: Tensor, ...rest: never[]) => unknown;

const ops: { readonly [K in keyof OpMethods]: AnyOp } = {
  addbmm: products.addbmm,
  addbmm_: products.addbmm_,
  addmm_: products.addmm_,
  addmv: products.addmv,
  addmv_: products.addmv_,
  addr: products.addr,
  addr_: products.addr_,
  baddbmm_: products.baddbmm_,
  cross: products.cross,
  inner: products.inner,
  kron: products.kron,
  trace: products.trace,
  vdot: products.vdot,
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
  angle: arithmetic.angle,
  conj: arithmetic.conj,
  conjPhysical: arithmetic.conjPhysical,
  conjPhysical_: arithmetic.conjPhysical_,
  deg2rad: arithmetic.deg2rad,
  deg2rad_: arithmetic.deg2rad_,
  floatPower_: arithmetic.floatPower_,
  frexp: arithmetic.frexp,
  gcd: arithmetic.gcd,
  gcd_: arithmetic.gcd_,
  heaviside: arithmetic.heaviside,
  heaviside_: arithmetic.heaviside_,
  isreal: arithmetic.isreal,
  lcm: arithmetic.lcm,
  lcm_: arithmetic.lcm_,
  ldexp: arithmetic.ldexp,
  ldexp_: arithmetic.ldexp_,
  nextafter: arithmetic.nextafter,
  nextafter_: arithmetic.nextafter_,
  positive: arithmetic.positive,
  rad2deg: arithmetic.rad2deg,
  rad2deg_: arithmetic.rad2deg_,
  resolveConj: arithmetic.resolveConj,
  resolveNeg: arithmetic.resolveNeg,
  corrcoef: differences.corrcoef,
  cov: differences.cov,
  diff: differences.diff,
  dist: differences.dist,
  renorm: differences.renorm,
  renorm_: differences.renorm_,
  asStridedScatter: viewWrites.asStridedScatter,
  diagonalScatter: viewWrites.diagonalScatter,
  narrowCopy: viewWrites.narrowCopy,
  selectScatter: viewWrites.selectScatter,
  sliceScatter: viewWrites.sliceScatter,
  histogram: indexWrites.histogram,
  indexReduce: indexWrites.indexReduce,
  indexReduce_: indexWrites.indexReduce_,
  nonzeroStatic: indexWrites.nonzeroStatic,
  put: indexWrites.put,
  put_: indexWrites.put_,
  choleskyInverse: forms.choleskyInverse,
  choleskySolve: forms.choleskySolve,
  geqrf: forms.geqrf,
  lu: forms.lu,
  luSolve: forms.luSolve,
  orgqr: forms.orgqr,
  ormqr: forms.ormqr,
  svd: forms.svd,
  triangularSolve: forms.triangularSolve,
  det: systems.det,
  inverse: systems.inverse,
  logdet: systems.logdet,
  matrixExp: matrixFunctions.matrixExp,
  matrixPower: matrixFunctions.matrixPower,
  pinverse: leastSquares.pinverse,
  slogdet: systems.slogdet,
  bitwiseLeftShift_: logic.bitwiseLeftShift_,
  bitwiseNot_: logic.bitwiseNot_,
  bitwiseRightShift_: logic.bitwiseRightShift_,
  eq_: logic.eq_,
  ge_: logic.ge_,
  gt_: logic.gt_,
  le_: logic.le_,
  lt_: logic.lt_,
  ne_: logic.ne_,
  atan2_: pointwise.atan2_,
  copysign_: pointwise.copysign_,
  hypot_: pointwise.hypot_,
  xlogy_: pointwise.xlogy_,
  cumprod_: variants.cumprod_,
  cumsum_: variants.cumsum_,
  diagflat: variants.diagflat,
  splitWithSizes: variants.splitWithSizes,
  sumToSize: variants.sumToSize,
  tril_: variants.tril_,
  triu_: variants.triu_,
  unsafeChunk: variants.unsafeChunk,
  unsafeSplit: variants.unsafeSplit,
  uniqueConsecutive: sorting.uniqueConsecutive,
  adjoint: inspection.adjoint,
  fillDiagonal_: inspection.fillDiagonal_,
  isFloatingPoint: inspection.isFloatingPoint,
  isNonzero: inspection.isNonzero,
  isSameSize: inspection.isSameSize,
  isSigned: inspection.isSigned,
  newEmptyStrided: variants.newEmptyStrided,
  newTensor: variants.newTensor,
  asStrided_: viewsInplace.asStrided_,
  detach_: viewsInplace.detach_,
  resize_: viewsInplace.resize_,
  resizeAs_: viewsInplace.resizeAs_,
  squeeze_: viewsInplace.squeeze_,
  t_: viewsInplace.t_,
  transpose_: viewsInplace.transpose_,
  unsqueeze_: viewsInplace.unsqueeze_,
  cauchy_: distributions.cauchy_,
  geometric_: distributions.geometric_,
  logNormal_: distributions.logNormal_,
  polygamma: (x: Tensor, n: number) => special.polygamma(n, x),
  floatPower: (x: Tensor, exponent: map.Operand) => arithmetic.floatPower(x, exponent),
};

for (const [name, op] of Object.entries(ops)) {
  const call = op as (...args: unknown[]) => unknown;
  const value = function (this: Tensor, ...args: unknown[]) {
    return call(this, ...args);
  };
  shareSignature(value, op);
  Object.defineProperty(Tensor.prototype, name, { value, configurable: true, writable: true });
}
