/**
 * Methods of Tensor for arithmetic, comparisons and logic, element by element. Each hands its arguments on to an op.
 *
 * @module
 */
import type { Scalar } from "../dtype.ts";
import * as arithmetic from "../ops/arithmetic.ts";
import * as bounds from "../ops/bounds.ts";
import * as filling from "../ops/filling.ts";
import * as logic from "../ops/logic.ts";
import type * as map from "../ops/map.ts";
import * as pointwise from "../ops/pointwise.ts";
import * as ternary from "../ops/ternary.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor for arithmetic, comparisons and logic, element by element. */
export interface ElementwiseMethods {
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
  /** A power computed in float64. */
  floatPower(exponent: map.Operand): Tensor;
}

const methods: Forwarded<ElementwiseMethods> = {
  add: pointwise.add,
  add_: pointwise.add_,
  sub: pointwise.sub,
  sub_: pointwise.sub_,
  mul: pointwise.mul,
  mul_: pointwise.mul_,
  div: pointwise.div,
  div_: pointwise.div_,
  floorDivide: pointwise.floorDivide,
  floorDivide_: pointwise.floorDivide_,
  remainder: pointwise.remainder,
  remainder_: pointwise.remainder_,
  fmod: pointwise.fmod,
  fmod_: pointwise.fmod_,
  pow: pointwise.pow,
  pow_: pointwise.pow_,
  maximum: bounds.maximum,
  minimum: bounds.minimum,
  fmax: bounds.fmax,
  fmin: bounds.fmin,
  atan2: pointwise.atan2,
  hypot: pointwise.hypot,
  copysign: pointwise.copysign,
  logaddexp: pointwise.logaddexp,
  xlogy: pointwise.xlogy,
  clamp: bounds.clamp,
  clamp_: bounds.clamp_,
  clampMin: bounds.clampMin,
  clampMin_: bounds.clampMin_,
  clampMax: bounds.clampMax,
  clampMax_: bounds.clampMax_,
  lerp: ternary.lerp,
  lerp_: ternary.lerp_,
  addcmul: ternary.addcmul,
  addcmul_: ternary.addcmul_,
  addcdiv: ternary.addcdiv,
  addcdiv_: ternary.addcdiv_,
  fill_: filling.fill_,
  zero_: filling.zero_,
  copy_: filling.copy_,
  eq: logic.eq,
  ne: logic.ne,
  lt: logic.lt,
  le: logic.le,
  gt: logic.gt,
  ge: logic.ge,
  isnan: logic.isnan,
  isinf: logic.isinf,
  isfinite: logic.isfinite,
  signbit: logic.signbit,
  logicalNot: logic.logicalNot,
  logicalNot_: logic.logicalNot_,
  bitwiseNot: logic.bitwiseNot,
  equal: logic.equal,
  isclose: logic.isclose,
  allclose: logic.allclose,
  logicalAnd: logic.logicalAnd,
  logicalAnd_: logic.logicalAnd_,
  logicalOr: logic.logicalOr,
  logicalOr_: logic.logicalOr_,
  logicalXor: logic.logicalXor,
  logicalXor_: logic.logicalXor_,
  bitwiseAnd: logic.bitwiseAnd,
  bitwiseAnd_: logic.bitwiseAnd_,
  bitwiseOr: logic.bitwiseOr,
  bitwiseOr_: logic.bitwiseOr_,
  bitwiseXor: logic.bitwiseXor,
  bitwiseXor_: logic.bitwiseXor_,
  bitwiseLeftShift: logic.bitwiseLeftShift,
  bitwiseRightShift: logic.bitwiseRightShift,
  where: (x: Tensor, condition: Tensor, other: map.Operand) => logic.where(condition, x, other),
  maskedFill: logic.maskedFill,
  maskedFill_: logic.maskedFill_,
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
  floatPower: (x: Tensor, exponent: map.Operand) => arithmetic.floatPower(x, exponent),
};

install(methods);
