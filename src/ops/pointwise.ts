/**
 * Elementwise arithmetic of two operands: sums, products, divisions, powers, angles. Extremes are in bounds.ts, what takes
 * three operands in ternary.ts, copies and constants in filling.ts, functions of one number in math.ts, comparisons and logic
 * in logic.ts; what all are made of is map.ts.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled } from "../autograd.ts";
import { type DType, DTYPES, Float, type Scalar, scalarCategory } from "../dtype.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { Tensor } from "../tensor.ts";
import { eq, ge, le, logicalAnd, maskedFill, where } from "./logic.ts";
import {
  applyBinary,
  applyBinaryInplace,
  type Binary,
  binary,
  type BinaryForm,
  type BinaryInplace,
  binaryInplace,
  binaryOfTensors,
  checkNumber,
  checkOperand,
  checkTensor,
  mapAll,
  numberOf,
  type Operand,
  toFloat,
  word,
  ZERO,
  zerosOf,
} from "./map.ts";
import { exp, log, neg, reciprocal, sqrt, square } from "./math.ts";

// ---- sums ---------------------------------------------------------------------------------------

/** What sums take by name. */
export interface AlphaOptions {
  /** Multiplies `other` first; default 1. */
  alpha?: Scalar;
}
/** A sum or difference: `add(a, b, { alpha: 2 })`. */
export type Sum = (input: Tensor, other: Operand, alpha?: Scalar | AlphaOptions) => Tensor;

const addForm: BinaryForm = { opcode: OP.add, rules: [(g) => g, (g) => g] };

const subForm: BinaryForm = {
  opcode: OP.sub,
  rules: [(g) => g, (g) => neg(g)],
  refuse(name, a, b) {
    if ([a, b].some((o) => o instanceof Tensor ? o.info === DTYPES.bool : typeof o === "boolean")) {
      throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: bool has no subtraction`, {
        op: name,
        hint: "logicalXor(a, b), or logicalNot(a) to invert a mask",
      });
    }
  },
};

/** The sum with `other` multiplied by a number first. */
function scaledForm(name: string, alpha: Scalar, form: BinaryForm): BinaryForm {
  checkNumber(name, alpha, "alpha");
  const factor = form === subForm
    ? (typeof alpha === "bigint" ? -alpha : new Float(-numberOf(alpha)))
    : alpha;
  return {
    opcode: OP.add_scaled,
    rules: [(g) => g, (g) => mul(g, factor)],
    scalars: (compute) => [word(factor, compute)],
    refuse(_, a, b, promoted) {
      form.refuse?.(name, a, b, promoted);
      if (scalarCategory(alpha) > DTYPES[promoted].category) {
        throw new DTypeError(
          `Cannot ${name} ${show(a)} and ${show(b)} with alpha ${
            numberOf(alpha)
          }: the result is ${promoted}, alpha must be one too`,
          { op: name },
        );
      }
    },
  };
}

function sum(name: string, form: BinaryForm): Sum {
  return op<Sum>(`${name}(input, other, alpha=1)`, (a: Tensor, b: Operand, alpha: Scalar) => {
    checkOperand(name, a, b);
    return applyBinary(name, alpha === 1 ? form : scaledForm(name, alpha, form), a, b);
  });
}

function sumInplace(name: string, form: BinaryForm): Sum {
  return op<Sum>(`${name}(input, other, alpha=1)`, (x: Tensor, b: Operand, alpha: Scalar) => {
    checkOperand(name, x, b);
    return applyBinaryInplace(name, alpha === 1 ? form : scaledForm(name, alpha, form), x, b);
  });
}

/** `input + alpha · other`. Shapes: broadcast. Types: all, promoted. */
export const add: Sum = sum("add", addForm);
/** `input += alpha · other`. */
export const add_: Sum = sumInplace("add_", addForm);
/** `input - alpha · other`. Shapes: broadcast. Types: all but bool, promoted. */
export const sub: Sum = sum("sub", subForm);
/** `input -= alpha · other`. */
export const sub_: Sum = sumInplace("sub_", subForm);

// ---- products and quotients ---------------------------------------------------------------------

const mulForm: BinaryForm = {
  opcode: OP.mul,
  rules: [(g, _, b) => mul(g, b), (g, a) => mul(g, a)],
  saves: true,
};

/** `input · other`. Shapes: broadcast. Types: all, promoted. */
export const mul: Binary = binary("mul", mulForm);
/** `input ·= other`. */
export const mul_: BinaryInplace = binaryInplace("mul_", mulForm);

const divForm: BinaryForm = {
  opcode: OP.div,
  result: toFloat,
  rules: [
    (g, _, b) => div(g, b),
    (g, _, b, y) =>
      isGradEnabled()
        ? neg(div(mul(g, y), b))
        : mapAll("div", OP.div_grad, [g, y, b], y.info, y.info),
  ],
  saves: true,
  savesResult: true,
};

function integerZero(name: string, a: Operand, b: Operand, promoted: DType): void {
  if (!DTYPES[promoted].isFloat && !(b instanceof Tensor) && numberOf(b) === 0) {
    throw new ArgumentError(`Cannot ${name} ${show(a)} by 0: integers have no quotient by zero`, {
      op: name,
    });
  }
}

const divFloorForm: BinaryForm = {
  opcode: OP.div_floor,
  refuse: integerZero,
  rules: [(g) => zerosOf(g), (g) => zerosOf(g)],
};
const divTruncForm: BinaryForm = { ...divFloorForm, opcode: OP.div_trunc };

/** How a quotient is rounded: not at all, towards zero, or down. */
export type RoundingMode = "trunc" | "floor" | null;
/** What `div` takes by name. */
export interface DivOptions {
  /** `"trunc"` towards zero, `"floor"` down; default: not at all. */
  roundingMode?: RoundingMode;
}
/** A quotient. */
export type Quotient = (
  input: Tensor,
  other: Operand,
  roundingMode?: RoundingMode | DivOptions,
) => Tensor;

function quotientForm(name: string, mode: unknown): BinaryForm {
  if (mode === null) return divForm;
  if (mode === "floor") return divFloorForm;
  if (mode === "trunc") return divTruncForm;
  throw new ArgumentError(
    `Cannot ${name}: roundingMode ${show(mode)} is not "trunc", "floor" or null`,
    { op: name },
  );
}

/** `input / other`: true division, in which integers become floats, unless `roundingMode` asks for a whole quotient. */
export const div: Quotient = op(
  "div(input, other, roundingMode=null)",
  (a: Tensor, b: Operand, mode: RoundingMode) => {
    checkOperand("div", a, b);
    return applyBinary("div", mode === null ? divForm : quotientForm("div", mode), a, b);
  },
);
/** `input /= other`. */
export const div_: Quotient = op(
  "div_(input, other, roundingMode=null)",
  (x: Tensor, b: Operand, mode: RoundingMode) => {
    checkOperand("div_", x, b);
    return applyBinaryInplace("div_", quotientForm("div_", mode), x, b);
  },
);

const { rules: _rules, ...floorDivideForm } = divFloorForm;
/** The quotient rounded down, as Python's `//`. Not differentiable. */
export const floorDivide: Binary = binary("floorDivide", floorDivideForm);
/** `floorDivide` in place. */
export const floorDivide_: BinaryInplace = binaryInplace("floorDivide_", floorDivideForm);

/** A quotient of operands of which either may be a number. */
function whole(a: Operand, b: Operand, form: BinaryForm): Tensor {
  return applyBinary("div", form, a, b);
}

const remainderForm: BinaryForm = {
  opcode: OP.remainder,
  refuse: integerZero,
  rules: [(g) => g, (g, a, b) => neg(mul(g, whole(a, b, divFloorForm)))],
  saves: true,
};
const fmodForm: BinaryForm = {
  opcode: OP.fmod,
  refuse: integerZero,
  rules: [(g) => g, (g, a, b) => neg(mul(g, whole(a, b, divTruncForm)))],
  saves: true,
};

/** An op whose first operand may be a number, where the second is a tensor. */
export type Either = (self: Operand, other: Operand) => Tensor;

/** Declares an op either of whose operands may be a number. */
export function either(name: string, form: BinaryForm, second = "other"): Either {
  return op<Either>(`${name}(self, ${second})`, (a: Operand, b: Operand) => {
    checkEither(name, a, b);
    return applyBinary(name, form, a, b);
  });
}

function checkEither(name: string, a: Operand, b: Operand): void {
  if (a instanceof Tensor) checkOperand(name, a, b);
  else {
    checkTensor(name, b, "one of the operands");
    checkOperand(name, b, a, "the first operand");
  }
}

/** `a - b ⌊a / b⌋`: the remainder with the divisor's sign, as Python's `%`. Errors: integer division by zero. */
export const remainder: Either = either("remainder", remainderForm);
/** `remainder` in place. */
export const remainder_: BinaryInplace = binaryInplace("remainder_", remainderForm);
/** The remainder with the dividend's sign, as C's `%` and `fmod`. */
export const fmod: Binary = binary("fmod", fmodForm);
/** `fmod` in place. */
export const fmod_: BinaryInplace = binaryInplace("fmod_", fmodForm);

// ---- powers -------------------------------------------------------------------------------------

const powForm: BinaryForm = {
  opcode: OP.pow,
  saves: true,
  savesResult: true,
  refuse(name, a, b, promoted) {
    if (!DTYPES[promoted].isFloat && !(b instanceof Tensor) && numberOf(b) < 0) {
      throw new DTypeError(
        `Cannot ${name} ${show(a)} to ${numberOf(b)}: integers have no negative powers`,
        { op: name, hint: "make the base a float tensor" },
      );
    }
  },
  rules: [
    (g, a, b) => {
      const x = a as Tensor;
      if (!(b instanceof Tensor)) {
        const p = numberOf(b);
        if (p === 0) return zerosOf(g);
        return mul(g, mul(pow(x, new Float(p - 1)), new Float(p)));
      }
      return where(eq(b, 0), ZERO, mul(g, mul(b, pow(x, sub(b, 1)))));
    },
    (g, a, b, y) => {
      const p = b as Tensor;
      if (!(a instanceof Tensor)) {
        const x = numberOf(a);
        const slope = mul(g, mul(y, new Float(Math.log(x))));
        return x === 0 ? where(ge(p, 0), ZERO, slope) : slope;
      }
      const flat = logicalAnd(eq(a, 0), ge(p, 0));
      return mul(g, where(flat, ZERO, mul(y, log(a))));
    },
  ],
};

/** Exponents that have a shorter way than the general one. */
function shortPower(x: Tensor, exponent: Operand): Tensor | null {
  if (!x.info.isFloat || exponent instanceof Tensor) return null;
  const p = numberOf(exponent);
  if (p === 2) return square(x);
  if (p === 3) return mul(square(x), x);
  return p === 0.5 ? sqrt(x) : p === -1 ? reciprocal(x) : null;
}

/**
 * `baseᵉˣᵖᵒⁿᵉⁿᵗ`; either may be a number. Shapes: broadcast. Types: promoted; integers stay integers.
 * Errors: DTypeError for a negative power of integers.
 */
export const pow: Either = op("pow(self, exponent)", (a: Operand, b: Operand) => {
  checkEither("pow", a, b);
  return (a instanceof Tensor ? shortPower(a, b) : null) ?? applyBinary("pow", powForm, a, b);
});
/** `pow` in place. */
export const pow_: BinaryInplace = op("pow_(input, exponent)", (x: Tensor, b: Operand) => {
  checkOperand("pow_", x, b, "exponent");
  return applyBinaryInplace("pow_", powForm, x, b);
});

// ---- other functions of two ---------------------------------------------------------------------

const atan2Form: BinaryForm = {
  opcode: OP.atan2,
  result: toFloat,
  saves: true,
  rules: [
    (g, y, x) => mul(g, angleSlope(x as Tensor, y, x)),
    (g, y, x) => neg(mul(g, angleSlope(y as Tensor, y, x))),
  ],
};
/** The angle of the point (other, input), from -π to π. Integers become floats. */
export const atan2: Binary = binaryOfTensors("atan2", atan2Form);
/** `atan2` in place. */
export const atan2_: BinaryInplace = binaryInplace("atan2_", atan2Form);

/** top / (x² + y²), 0 at the origin. */
function angleSlope(top: Tensor, y: Operand, x: Operand): Tensor {
  const length = add(square(y as Tensor), square(x as Tensor));
  return maskedFill(div(top, length), eq(length, 0), 0);
}

const hypotForm: BinaryForm = {
  opcode: OP.hypot,
  saves: true,
  savesResult: true,
  rules: [(g, a, _, y) => mul(g, div(a as Tensor, y)), (g, _, b, y) => mul(g, div(b as Tensor, y))],
};
/** `√(input² + other²)` without overflow. */
export const hypot: Binary = binaryOfTensors("hypot", hypotForm);
/** `hypot` in place. */
export const hypot_: BinaryInplace = binaryInplace("hypot_", hypotForm);

const copysignForm: BinaryForm = {
  opcode: OP.copysign,
  result: toFloat,
  saves: true,
  savesResult: true,
  rules: [
    (g, a, _, y) => mul(g, maskedFill(div(y, a), eq(a as Tensor, 0), 0)),
    (g) => zerosOf(g),
  ],
};
/** The magnitude of input with the sign of other. Integers become floats. */
export const copysign: Binary = binary("copysign", copysignForm);
/** `copysign` in place. */
export const copysign_: BinaryInplace = binaryInplace("copysign_", copysignForm);

/** `log(eᵃ + eᵇ)` without overflow. */
export const logaddexp: Binary = binaryOfTensors("logaddexp", {
  opcode: OP.logaddexp,
  saves: true,
  rules: [
    (g, a, b) => div(g, add(exp(sub(b as Tensor, a)), 1)),
    (g, a, b) => div(g, add(exp(sub(a as Tensor, b)), 1)),
  ],
});

const xlogyForm: BinaryForm = {
  opcode: OP.xlogy,
  result: toFloat,
  saves: true,
  rules: [
    (g, a, b) => {
      const logarithm = b instanceof Tensor ? log(b) : new Float(Math.log(numberOf(b)));
      const none = b instanceof Tensor
        ? logicalAnd(eq(a as Tensor, 0), le(b, 0))
        : eq(a as Tensor, 0);
      const product = mul(g, logarithm);
      return b instanceof Tensor || numberOf(b) <= 0 ? maskedFill(product, none, 0) : product;
    },
    (g, a, b) => div(mul(g, a), b),
  ],
};
/** `input · log(other)`, 0 where input is 0; either may be a number. */
export const xlogy: Either = either("xlogy", xlogyForm);
/** `xlogy` in place. */
export const xlogy_: BinaryInplace = binaryInplace("xlogy_", xlogyForm);
