/**
 * Mathematical functions of one number, elementwise: roots, exponentials, logarithms, angles, rounding. Integers become
 * the default float dtype, except where an integer result is exact. Each has an in-place form with a trailing `_`.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { DTYPES, Float } from "../dtype.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { isnan, where } from "./logic.ts";
import {
  applyUnary,
  applyUnaryInplace,
  cast,
  type Unary,
  unary,
  type UnaryForm,
  unaryInplace,
  zerosOf,
} from "./map.ts";
import { add, div, mul, pow, sub } from "./pointwise.ts";

function float(
  opcode: number,
  saves: "x" | "y" | "",
  rule: UnaryForm["rule"],
  gradOpcode?: number,
): UnaryForm {
  return { opcode, result: "float", saves, rule, gradOpcode };
}

/** Takes all dtypes, keeps them; bool only where `bools` says so. */
function same(
  opcode: number,
  saves: "x" | "y" | "",
  rule: UnaryForm["rule"],
  gradOpcode?: number,
): UnaryForm {
  return { opcode, result: "same", saves, rule, gradOpcode, refuse: refuseBool };
}

function refuseBool(name: string, x: Tensor): void {
  if (x.info === DTYPES.bool) {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes numbers`, {
      op: name,
      hint: "logicalNot() inverts a mask, to() makes numbers of it",
    });
  }
}

const flat = (g: Tensor): Tensor => zerosOf(g);

// ---- sign and size ------------------------------------------------------------------------------

const negForm = same(OP.neg, "", (g) => neg(g));
/** `-x`. Types: all but bool. */
export const neg: Unary = unary("neg", negForm);
/** `neg` in place. */
export const neg_: Unary = unaryInplace("neg_", negForm);

const absForm = same(OP.abs, "x", (g, x) => mul(g, sign(x)), OP.abs_grad);
/** `|x|`. Types: all but bool. The gradient at 0 is 0. */
export const abs: Unary = unary("abs", absForm);
/** `abs` in place. */
export const abs_: Unary = unaryInplace("abs_", absForm);

const signForm: UnaryForm = { opcode: OP.sign, result: "same", rule: flat };
/** -1, 0 or 1. Types: all. */
export const sign: Unary = unary("sign", signForm);
/** `sign` in place. */
export const sign_: Unary = unaryInplace("sign_", signForm);
/** -1, 0 or 1, as `sign`, which it differs from for complex numbers only. */
export const sgn: Unary = unary("sgn", signForm);
/** `sgn` in place. */
export const sgn_: Unary = unaryInplace("sgn_", signForm);

const squareForm: UnaryForm = {
  opcode: OP.square,
  result: "same",
  saves: "x",
  rule: (g, x) => mul(g, mul(x, 2)),
};
/** `x²`. Types: all; of bool it is int64. */
export const square: Unary = op(
  "square(input)",
  (x: Tensor) => applyUnary("square", squareForm, x.info === DTYPES.bool ? cast(x, "int64") : x),
);
/** `square` in place. */
export const square_: Unary = unaryInplace("square_", squareForm);

const reciprocalForm = float(OP.reciprocal, "y", (g, _, y) => neg(mul(g, square(y))));
/** `1 / x`. */
export const reciprocal: Unary = unary("reciprocal", reciprocalForm);
/** `reciprocal` in place. */
export const reciprocal_: Unary = unaryInplace("reciprocal_", reciprocalForm);

// ---- roots, exponentials, logarithms ------------------------------------------------------------

const sqrtForm = float(OP.sqrt, "y", (g, _, y) => div(g, mul(y, 2)), OP.sqrt_grad);
/** `√x`; NaN below 0. */
export const sqrt: Unary = unary("sqrt", sqrtForm);
/** `sqrt` in place. */
export const sqrt_: Unary = unaryInplace("sqrt_", sqrtForm);

const rsqrtForm = float(OP.rsqrt, "y", (g, _, y) => mul(mul(g, -0.5), pow(y, 3)), OP.rsqrt_grad);
/** `1 / √x`. */
export const rsqrt: Unary = unary("rsqrt", rsqrtForm);
/** `rsqrt` in place. */
export const rsqrt_: Unary = unaryInplace("rsqrt_", rsqrtForm);

const expForm = float(OP.exp, "y", (g, _, y) => mul(g, y));
/** `eˣ`. Integers become floats. */
export const exp: Unary = unary("exp", expForm);
/** `exp` in place. */
export const exp_: Unary = unaryInplace("exp_", expForm);

const exp2Form = float(OP.exp2, "y", (g, _, y) => mul(g, mul(y, Math.LN2)));
/** `2ˣ`. */
export const exp2: Unary = unary("exp2", exp2Form);
/** `exp2` in place. */
export const exp2_: Unary = unaryInplace("exp2_", exp2Form);

const expm1Form = float(OP.expm1, "y", (g, _, y) => mul(g, add(y, 1)));
/** `eˣ - 1`, exact near 0. */
export const expm1: Unary = unary("expm1", expm1Form);
/** `expm1` in place. */
export const expm1_: Unary = unaryInplace("expm1_", expm1Form);

const logForm = float(OP.log, "x", (g, x) => div(g, x));
/** The natural logarithm; -∞ at 0, NaN below. */
export const log: Unary = unary("log", logForm);
/** `log` in place. */
export const log_: Unary = unaryInplace("log_", logForm);

const log2Form = float(OP.log2, "x", (g, x) => div(g, mul(x, Math.LN2)));
/** The logarithm to base 2. */
export const log2: Unary = unary("log2", log2Form);
/** `log2` in place. */
export const log2_: Unary = unaryInplace("log2_", log2Form);

const log10Form = float(OP.log10, "x", (g, x) => div(g, mul(x, Math.LN10)));
/** The logarithm to base 10. */
export const log10: Unary = unary("log10", log10Form);
/** `log10` in place. */
export const log10_: Unary = unaryInplace("log10_", log10Form);

const log1pForm = float(OP.log1p, "x", (g, x) => div(g, add(x, 1)));
/** `log(1 + x)`, exact near 0. */
export const log1p: Unary = unary("log1p", log1pForm);
/** `log1p` in place. */
export const log1p_: Unary = unaryInplace("log1p_", log1pForm);

// ---- angles -------------------------------------------------------------------------------------

const sinForm = float(OP.sin, "x", (g, x) => mul(g, cos(x)));
/** The sine of an angle in radians. */
export const sin: Unary = unary("sin", sinForm);
/** `sin` in place. */
export const sin_: Unary = unaryInplace("sin_", sinForm);

const cosForm = float(OP.cos, "x", (g, x) => neg(mul(g, sin(x))));
/** The cosine of an angle in radians. */
export const cos: Unary = unary("cos", cosForm);
/** `cos` in place. */
export const cos_: Unary = unaryInplace("cos_", cosForm);

const tanForm = float(OP.tan, "y", (g, _, y) => mul(g, add(square(y), 1)));
/** The tangent of an angle in radians. */
export const tan: Unary = unary("tan", tanForm);
/** `tan` in place. */
export const tan_: Unary = unaryInplace("tan_", tanForm);

/** 1 - x² */
const rest = (x: Tensor): Tensor => add(neg(square(x)), 1);

const asinForm = float(OP.asin, "x", (g, x) => mul(g, rsqrt(rest(x))));
/** The angle whose sine is x; NaN outside [-1, 1]. */
export const asin: Unary = unary("asin", asinForm);
/** `asin` in place. */
export const asin_: Unary = unaryInplace("asin_", asinForm);

const acosForm = float(OP.acos, "x", (g, x) => neg(mul(g, rsqrt(rest(x)))));
/** The angle whose cosine is x; NaN outside [-1, 1]. */
export const acos: Unary = unary("acos", acosForm);
/** `acos` in place. */
export const acos_: Unary = unaryInplace("acos_", acosForm);

const atanForm = float(OP.atan, "x", (g, x) => div(g, add(square(x), 1)));
/** The angle whose tangent is x. */
export const atan: Unary = unary("atan", atanForm);
/** `atan` in place. */
export const atan_: Unary = unaryInplace("atan_", atanForm);

const sinhForm = float(OP.sinh, "x", (g, x) => mul(g, cosh(x)));
/** The hyperbolic sine. */
export const sinh: Unary = unary("sinh", sinhForm);
/** `sinh` in place. */
export const sinh_: Unary = unaryInplace("sinh_", sinhForm);

const coshForm = float(OP.cosh, "x", (g, x) => mul(g, sinh(x)));
/** The hyperbolic cosine. */
export const cosh: Unary = unary("cosh", coshForm);
/** `cosh` in place. */
export const cosh_: Unary = unaryInplace("cosh_", coshForm);

const tanhForm = float(OP.tanh, "y", (g, _, y) => mul(g, rest(y)), OP.tanh_grad);
/** The hyperbolic tangent, between -1 and 1. */
export const tanh: Unary = unary("tanh", tanhForm);
/** `tanh` in place. */
export const tanh_: Unary = unaryInplace("tanh_", tanhForm);

const asinhForm = float(OP.asinh, "x", (g, x) => mul(g, rsqrt(add(square(x), 1))));
/** The inverse of sinh. */
export const asinh: Unary = unary("asinh", asinhForm);
/** `asinh` in place. */
export const asinh_: Unary = unaryInplace("asinh_", asinhForm);

const acoshForm = float(OP.acosh, "x", (g, x) => mul(g, rsqrt(sub(square(x), 1))));
/** The inverse of cosh; NaN below 1. */
export const acosh: Unary = unary("acosh", acoshForm);
/** `acosh` in place. */
export const acosh_: Unary = unaryInplace("acosh_", acoshForm);

const atanhForm = float(OP.atanh, "x", (g, x) => div(g, rest(x)));
/** The inverse of tanh; NaN outside [-1, 1]. */
export const atanh: Unary = unary("atanh", atanhForm);
/** `atanh` in place. */
export const atanh_: Unary = unaryInplace("atanh_", atanhForm);

// ---- the error function -------------------------------------------------------------------------

const TWO_BY_SQRT_PI = 2 / Math.sqrt(Math.PI);
/** 2/√π · e^(-x²) */
const bell = (x: Tensor): Tensor => mul(exp(neg(square(x))), TWO_BY_SQRT_PI);

const erfForm = float(OP.erf, "x", (g, x) => mul(g, bell(x)));
/** The error function, `2/√π ∫₀ˣ e^(-t²) dt`. */
export const erf: Unary = unary("erf", erfForm);
/** `erf` in place. */
export const erf_: Unary = unaryInplace("erf_", erfForm);

const erfcForm = float(OP.erfc, "x", (g, x) => neg(mul(g, bell(x))));
/** `1 - erf(x)`, exact where it is tiny. */
export const erfc: Unary = unary("erfc", erfcForm);
/** `erfc` in place. */
export const erfc_: Unary = unaryInplace("erfc_", erfcForm);

const erfinvForm = float(
  OP.erfinv,
  "y",
  (g, _, y) => mul(g, mul(exp(square(y)), 1 / TWO_BY_SQRT_PI)),
);
/** The inverse of erf; ±∞ at ±1, NaN outside. */
export const erfinv: Unary = unary("erfinv", erfinvForm);
/** `erfinv` in place. */
export const erfinv_: Unary = unaryInplace("erfinv_", erfinvForm);

// ---- rounding -----------------------------------------------------------------------------------

/** Rounding leaves integers as they are. */
function rounding(opcode: number): UnaryForm {
  return { opcode, result: "same", rule: flat, refuse: refuseBool };
}

/** Runs a rounding; of integers there is nothing to round. */
function whole(name: string, form: UnaryForm, inplace: boolean): Unary {
  return op<Unary>(`${name}(input)`, (x: Tensor) => {
    const used = x.info.isFloat ? form : { ...form, opcode: OP.copy };
    return inplace ? applyUnaryInplace(name, used, x) : applyUnary(name, used, x);
  });
}

/** The greatest whole number up to x. */
export const floor: Unary = whole("floor", rounding(OP.floor), false);
/** `floor` in place. */
export const floor_: Unary = whole("floor_", rounding(OP.floor), true);
/** The least whole number from x on. */
export const ceil: Unary = whole("ceil", rounding(OP.ceil), false);
/** `ceil` in place. */
export const ceil_: Unary = whole("ceil_", rounding(OP.ceil), true);
/** x without its fraction. */
export const trunc: Unary = whole("trunc", rounding(OP.trunc), false);
/** `trunc` in place. */
export const trunc_: Unary = whole("trunc_", rounding(OP.trunc), true);

const fracForm: UnaryForm = {
  opcode: OP.frac,
  result: "same",
  rule: (g) => g,
  refuse(name, x) {
    if (!x.info.isFloat) {
      throw new DTypeError(`Cannot ${name} ${show(x)}: only floats have a fraction`, { op: name });
    }
  },
};
/** The fraction `x - trunc(x)`. Types: floats. */
export const frac: Unary = unary("frac", fracForm);
/** `frac` in place. */
export const frac_: Unary = unaryInplace("frac_", fracForm);

/** What `round` takes by name. */
export interface RoundOptions {
  /** Digits to keep behind the point; negative ones round in front of it. */
  decimals?: number;
}
/** A rounding to some digits. */
export type Round = (input: Tensor, decimals?: number | RoundOptions) => Tensor;

function roundOp(name: string, inplace: boolean): Round {
  return op<Round>(`${name}(input, decimals=0)`, (x: Tensor, decimals: number) => {
    if (!Number.isInteger(decimals) || Math.abs(decimals) > 400) {
      throw new ArgumentError(
        `Cannot ${name} ${show(x)} to ${
          show(decimals)
        } decimals: it must be a whole number from -400 to 400`,
        { op: name },
      );
    }
    if (decimals !== 0 && !x.info.isFloat) {
      throw new DTypeError(`Cannot ${name} ${show(x)} to ${decimals} decimals: it takes floats`, {
        op: name,
      });
    }
    const form = rounding(
      !x.info.isFloat ? OP.copy : decimals === 0 ? OP.round : OP.round_decimals,
    );
    const p = decimals === 0 ? [] : [decimals];
    return inplace ? applyUnaryInplace(name, form, x, p) : applyUnary(name, form, x, p);
  });
}

/** The nearest whole number, or with `decimals` so many digits; a half goes to the even neighbour. */
export const round: Round = roundOp("round", false);
/** `round` in place. */
export const round_: Round = roundOp("round_", true);

// ---- repair -------------------------------------------------------------------------------------

/** What `nanToNum` takes by name. */
export interface NanToNumOptions {
  /** In place of NaN; default 0. */
  nan?: number | null;
  /** In place of ∞; default: the dtype's greatest value. */
  posinf?: number | null;
  /** In place of -∞; default: the dtype's least value. */
  neginf?: number | null;
}
/** NaN and infinities replaced by numbers. */
export type NanToNum = (
  input: Tensor,
  nan?: number | null | NanToNumOptions,
  posinf?: number | null | NanToNumOptions,
  options?: NanToNumOptions,
) => Tensor;

/** The greatest finite values of the float dtypes. */
const GREATEST: Readonly<Record<string, number>> = {
  float32: 3.4028234663852886e38,
  float64: Number.MAX_VALUE,
  float16: 65504,
  bfloat16: 3.3895313892515355e38,
};

function nanToNumOp(name: string, inplace: boolean): NanToNum {
  return op<NanToNum>(
    `${name}(input, nan=null, posinf=null, neginf=null)`,
    (x: Tensor, nan: number | null, posinf: number | null, neginf: number | null) => {
      const most = GREATEST[x.dtype] ?? 0;
      const p = [nan ?? 0, posinf ?? most, neginf ?? -most];
      const form: UnaryForm = {
        opcode: OP.nan_to_num,
        result: "same",
        saves: "x",
        rule: (g, x) => where(isnan(sub(x, x)), new Float(0), g),
      };
      return inplace ? applyUnaryInplace(name, form, x, p) : applyUnary(name, form, x, p);
    },
  );
}

/** NaN, ∞ and -∞ replaced by numbers. Their gradients are 0. */
export const nanToNum: NanToNum = nanToNumOp("nanToNum", false);
/** `nanToNum` in place. */
export const nanToNum_: NanToNum = nanToNumOp("nanToNum_", true);
