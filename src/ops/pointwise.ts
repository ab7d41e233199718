/**
 * Elementwise arithmetic of several operands: sums, products, divisions, powers, extremes, interpolation. Functions of
 * one number are in math.ts, comparisons and logic in logic.ts, what all are made of in map.ts.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, isGradEnabled, record, recordInplace, wantsAny } from "../autograd.ts";
import { type DType, DTYPES, Float, resultType, type Scalar, scalarCategory } from "../dtype.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { Tensor } from "../tensor.ts";
import {
  eq,
  ge,
  gt,
  isnan,
  le,
  logicalAnd,
  logicalNot,
  logicalOr,
  lt,
  maskedFill,
  where,
} from "./logic.ts";
import {
  apartOperand,
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
  checkResult,
  checkTensor,
  copyBefore,
  gradFor,
  mapAll,
  mapAllOut,
  mapInto,
  needs,
  numberOf,
  type Operand,
  toFloat,
  word,
  zerosOf,
} from "./map.ts";
import { exp, log, neg, reciprocal, sqrt, square } from "./math.ts";

export {
  apart,
  applyBinary,
  type Binary,
  binary,
  type BinaryInplace,
  binaryInplace,
  cast,
  checkOperand,
  copyOf,
  gradFor,
  mapAll,
  mapAllOut,
  mapInto,
  mapOut,
  needs,
  type Operand,
  stretched,
  type Unary,
  unary,
  unaryInplace,
  word,
} from "./map.ts";

/** A zero that promotes to nothing wider than the floats around it. */
const ZERO = new Float(0);

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
  return p === 2 ? square(x) : p === 0.5 ? sqrt(x) : p === -1 ? reciprocal(x) : null;
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

// ---- extremes -----------------------------------------------------------------------------------

/** Of two equal values each takes half of the gradient. */
function share(
  g: Tensor,
  a: Operand,
  b: Operand,
  loses: (a: Tensor, b: Operand) => Tensor,
): Tensor {
  const [t, other] = a instanceof Tensor ? [a, b] : [b as Tensor, a];
  const halved = where(eq(t, other), mul(g, 0.5), g);
  return maskedFill(halved, loses(t, other), 0);
}

const maximumForm: BinaryForm = {
  opcode: OP.maximum,
  saves: true,
  rules: [(g, a, b) => share(g, a, b, lt), (g, a, b) => share(g, b, a, lt)],
};
const minimumForm: BinaryForm = {
  opcode: OP.minimum,
  saves: true,
  rules: [(g, a, b) => share(g, a, b, gt), (g, a, b) => share(g, b, a, gt)],
};

/** The greater value, elementwise; NaN where either is. Equal values share the gradient. */
export const maximum: Binary = binary("maximum", maximumForm);
/** The smaller value, elementwise; NaN where either is. Equal values share the gradient. */
export const minimum: Binary = binary("minimum", minimumForm);

/** An operand takes the gradient where it wins or the other is NaN; equal values take half of it each. */
function extreme(opcode: number, wins: (a: Tensor, b: Operand) => Tensor): BinaryForm {
  const rule = (g: Tensor, a: Tensor, b: Operand, second: boolean) => {
    const halved = where(eq(a, b), mul(g, 0.5), g);
    const won = wins(a, b);
    // Of two NaN the first is taken.
    const other = b instanceof Tensor ? isnan(b) : null;
    const free = second && other !== null ? logicalAnd(other, logicalNot(isnan(a))) : other;
    const takes = free === null ? won : logicalOr(won, free);
    return where(takes, halved, ZERO);
  };
  return {
    opcode,
    saves: true,
    rules: [
      (g, a, b) => rule(g, a as Tensor, b, false),
      (g, a, b) => rule(g, b as Tensor, a, true),
    ],
  };
}

/** The greater value, elementwise; a NaN gives way to a number. */
export const fmax: Binary = binaryOfTensors("fmax", extreme(OP.fmax, (a, b) => ge(a, b)));
/** The smaller value, elementwise; a NaN gives way to a number. */
export const fmin: Binary = binaryOfTensors("fmin", extreme(OP.fmin, (a, b) => le(a, b)));

/** What `clamp` takes by name. */
export interface ClampOptions {
  /** The least value; default: none. */
  min?: Operand | null;
  /** The greatest value; default: none. */
  max?: Operand | null;
}
/** A value kept between two bounds. */
export type Clamp = (
  input: Tensor,
  min?: Operand | null | ClampOptions,
  max?: Operand | null | ClampOptions,
) => Tensor;

function clampOp(name: string, inplace: boolean): Clamp {
  return op<Clamp>(
    `${name}(input, min=null, max=null)`,
    (x: Tensor, low: Operand | null, high: Operand | null) => {
      if (low === null && high === null) {
        throw new ArgumentError(`Cannot ${name} ${show(x)}: min, max or both must be given`, {
          op: name,
        });
      }
      if (low !== null) checkOperand(name, x, low, "min");
      if (high !== null) checkOperand(name, x, high, "max");
      return clampTo(name, x, low, high, inplace);
    },
  );
}

/** The gradient of what is kept between bounds, for each tensor among (x, low, high). */
function clampGrads(
  g: Tensor,
  x: Tensor,
  low: Operand | null,
  high: Operand | null,
  wanted: boolean,
): (Tensor | null)[] {
  if (!(low instanceof Tensor) && !(high instanceof Tensor)) {
    return [wanted ? insideGrad(g, x, low, high) : null];
  }
  // As the two extremes one after the other; equal values share the gradient.
  const t = low === null ? x : maximum(x, low);
  const inner = high === null ? g : share(g, t, high, gt);
  return [
    wanted ? gradFor(low === null ? inner : share(inner, x, low, lt), x) : null,
    ...(low instanceof Tensor ? [needs(low) ? gradFor(share(inner, low, x, lt), low) : null] : []),
    ...(high instanceof Tensor ? [needs(high) ? gradFor(share(g, high, t, gt), high) : null] : []),
  ];
}

/** The gradient of a clamp to numbers: nothing at a bound or past it. */
function insideGrad(g: Tensor, x: Tensor, low: Scalar | null, high: Scalar | null): Tensor {
  if (!isGradEnabled() && g.info === x.info) {
    const least = low === null ? -Infinity : numberOf(low);
    const most = high === null ? Infinity : numberOf(high);
    return mapInto("clamp", OP.clamp_grad, g, x, x.info, x.info, [least, most]);
  }
  const above = low === null ? null : gt(x, low), below = high === null ? null : lt(x, high);
  const inside = above === null ? below! : below === null ? above : logicalAnd(above, below);
  return gradFor(where(inside, g, ZERO), x);
}

function clampTo(
  name: string,
  x: Tensor,
  low: Operand | null,
  high: Operand | null,
  inplace: boolean,
): Tensor {
  const bounds = [low, high].filter((o) => o !== null);
  const compute = DTYPES[resultType([x, ...bounds])];
  const opcode = low === null ? OP.minimum : high === null ? OP.maximum : OP.clamp;
  const tensors = [x, ...bounds.filter((o) => o instanceof Tensor)];
  const recording = wantsAny(tensors), wanted = needs(x);
  if (!inplace) {
    const out = bounds.length === 1
      ? mapInto(name, opcode, x, bounds[0], compute, compute)
      : mapAll(name, opcode, [x, ...bounds], compute, compute);
    if (recording) {
      record(
        name,
        tensors,
        [out],
        ([g]) => g === null ? [] : clampGrads(g, x, low, high, wanted),
        tensors,
      );
    }
    return out;
  }
  checkResult(name, x, compute.name, bounds);
  checkInplace(name, x, tensors.slice(1));
  const before = recording ? copyBefore(x) : x;
  mapAllOut(name, opcode, x, [x, ...bounds.map((b) => apartOperand(b, x, name))], compute);
  recordInplace(
    name,
    x,
    tensors.slice(1),
    ([g]) => g === null ? [] : clampGrads(g, before, low, high, wanted),
    recording ? tensors.slice(1) : [],
  );
  return x;
}

/** `min(max(input, min), max)`, elementwise; bounds are numbers or tensors. NaN stays. */
export const clamp: Clamp = clampOp("clamp", false);
/** `clamp` in place. */
export const clamp_: Clamp = clampOp("clamp_", true);

/** A value kept on one side of a bound. */
export type ClampOne = (input: Tensor, bound: Operand) => Tensor;

function clampOne(name: string, bound: "min" | "max", inplace: boolean): ClampOne {
  return op<ClampOne>(`${name}(input, ${bound})`, (x: Tensor, b: Operand) => {
    checkOperand(name, x, b, bound);
    return clampTo(name, x, bound === "min" ? b : null, bound === "max" ? b : null, inplace);
  });
}

/** `max(input, min)`, elementwise. */
export const clampMin: ClampOne = clampOne("clampMin", "min", false);
/** `clampMin` in place. */
export const clampMin_: ClampOne = clampOne("clampMin_", "min", true);
/** `min(input, max)`, elementwise. */
export const clampMax: ClampOne = clampOne("clampMax", "max", false);
/** `clampMax` in place. */
export const clampMax_: ClampOne = clampOne("clampMax_", "max", true);

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

// ---- functions of three -------------------------------------------------------------------------

/** `input + weight · (end - input)`; the weight is a number or a tensor. */
export type Lerp = (input: Tensor, end: Tensor, weight: Operand) => Tensor;

function lerpOp(name: string, inplace: boolean): Lerp {
  return op<Lerp>(`${name}(input, end, weight)`, (x: Tensor, end: Tensor, weight: Operand) => {
    checkTensor(name, end, "end");
    checkOperand(name, x, end, "end");
    checkOperand(name, x, weight, "weight");
    if (
      !x.info.isFloat || end.info !== x.info || (weight instanceof Tensor && weight.info !== x.info)
    ) {
      throw new DTypeError(
        `Cannot ${name} ${show(x)} to ${show(end)} by ${
          show(weight)
        }: all must have one float dtype`,
        { op: name },
      );
    }
    const weights = weight instanceof Tensor ? [weight] : [];
    const start = inplace && wantsAny([x, end, ...weights]) ? copyBefore(x) : x;
    const wanted = needs(x);
    const grads = ([g]: readonly (Tensor | null)[]) => {
      if (g === null) return [];
      const w = weight instanceof Tensor ? weight : new Float(numberOf(weight));
      const rest = w instanceof Tensor ? add(neg(w), 1) : new Float(1 - w.value);
      return [
        wanted ? gradFor(mul(g, rest), x) : null,
        needs(end) ? gradFor(mul(g, w), end) : null,
        ...weights.map((t) => needs(t) ? gradFor(mul(g, sub(end, start)), t) : null),
      ];
    };
    return ternary(name, OP.lerp, [x, end, weight], [], inplace, grads, [end, ...weights]);
  });
}

/** Runs a recorded op of three operands; `saved` are those that its gradients read, beside the first. */
function ternary(
  name: string,
  opcode: number,
  operands: readonly [Tensor, Operand, Operand],
  scalars: readonly (number | bigint)[],
  inplace: boolean,
  grads: (g: readonly (Tensor | null)[]) => (Tensor | null)[],
  saved: readonly Tensor[],
): Tensor {
  const [x, ...rest] = operands;
  const info = DTYPES[resultType(operands)];
  const tensors = rest.filter((o) => o instanceof Tensor);
  if (!inplace) {
    const out = mapAll(name, opcode, operands, info, info, scalars);
    if (wantsAny([x, ...tensors])) record(name, [x, ...tensors], [out], grads, [x, ...saved]);
    return out;
  }
  checkResult(name, x, info.name, rest);
  checkInplace(name, x, tensors);
  const recording = wantsAny([x, ...tensors]);
  mapAllOut(name, opcode, x, [x, ...rest.map((o) => apartOperand(o, x, name))], info, scalars);
  recordInplace(name, x, tensors, grads, recording ? saved : []);
  return x;
}

/** `input + weight · (end - input)`. Shapes: broadcast. Types: one float dtype. */
export const lerp: Lerp = lerpOp("lerp", false);
/** `lerp` in place. */
export const lerp_: Lerp = lerpOp("lerp_", true);

/** What `addcmul` and `addcdiv` take by name. */
export interface ValueOptions {
  /** Multiplies the product or quotient; default 1. */
  value?: Scalar;
}
/** `input + value · tensor1 ∘ tensor2`. */
export type AddCombined = (
  input: Tensor,
  tensor1: Tensor,
  tensor2: Tensor,
  value?: Scalar | ValueOptions,
) => Tensor;

function combined(name: string, quotient: boolean, inplace: boolean): AddCombined {
  return op<AddCombined>(
    `${name}(input, tensor1, tensor2, value=1)`,
    (x: Tensor, a: Tensor, b: Tensor, value: Scalar) => {
      checkTensor(name, a, "tensor1");
      checkTensor(name, b, "tensor2");
      checkOperand(name, x, a, "tensor1");
      checkOperand(name, x, b, "tensor2");
      checkNumber(name, value, "value");
      const info = DTYPES[resultType([x, a, b])];
      if (scalarCategory(value) > info.category || (quotient && !info.isFloat)) {
        throw new DTypeError(
          `Cannot ${name} ${show(x)}, ${show(a)} and ${show(b)} with value ${
            numberOf(value)
          }: the result is ${info.name}`,
          { op: name },
        );
      }
      const wanted = needs(x);
      const v = typeof value === "bigint" ? value : new Float(numberOf(value));
      const grads = ([g]: readonly (Tensor | null)[]) => {
        if (g === null) return [];
        const scaled = numberOf(v) === 1 ? g : mul(g, v);
        const ga = () => quotient ? div(scaled, b) : mul(scaled, b);
        const gb = () => quotient ? neg(div(mul(scaled, a), square(b))) : mul(scaled, a);
        return [
          wanted ? gradFor(g, x) : null,
          needs(a) ? gradFor(ga(), a) : null,
          needs(b) ? gradFor(gb(), b) : null,
        ];
      };
      const opcode = quotient ? OP.addcdiv : OP.addcmul;
      return ternary(name, opcode, [x, a, b], [word(v, info)], inplace, grads, [a, b]);
    },
  );
}

/** `input + value · tensor1 · tensor2`. Shapes: broadcast. */
export const addcmul: AddCombined = combined("addcmul", false, false);
/** `addcmul` in place. */
export const addcmul_: AddCombined = combined("addcmul_", false, true);
/** `input + value · tensor1 / tensor2`. Shapes: broadcast. Types: floats. */
export const addcdiv: AddCombined = combined("addcdiv", true, false);
/** `addcdiv` in place. */
export const addcdiv_: AddCombined = combined("addcdiv_", true, true);

// ---- filling ------------------------------------------------------------------------------------

/** Sets every element to one number, or to the value of a 0-d tensor. */
export const fill_: (input: Tensor, value: Operand) => Tensor = op(
  "fill_(input, value)",
  (x: Tensor, value: Operand) => {
    checkOperand("fill_", x, value, "value");
    if (value instanceof Tensor) {
      return copy_(x, value.storage === x.storage ? value.clone() : value);
    }
    checkInplace("fill_", x, []);
    run("fill_", OP.fill, [x], [], [x.info.code, word(value, x.info)]);
    recordInplace("fill_", x, [], ([g]) => [g && zerosOf(g)], []);
    return x;
  },
);

/** Sets every element to 0. */
export const zero_: (input: Tensor) => Tensor = op("zero_(input)", (x: Tensor) => fill_(x, 0));

/** Copies another tensor's elements into this one; they broadcast and are converted. */
export const copy_: (input: Tensor, src: Tensor) => Tensor = op(
  "copy_(input, src)",
  (x: Tensor, src: Tensor) => {
    checkTensor("copy_", src, "src");
    checkOperand("copy_", x, src, "src");
    checkResult("copy_", x, x.info.name, [src]);
    checkInplace("copy_", x, [src]);
    const compute = DTYPES[resultType([x, src])];
    mapAllOut("copy_", OP.copy, x, [apartOperand(src, x, "copy_")], compute);
    recordInplace(
      "copy_",
      x,
      [src],
      ([g]) => g === null ? [] : [zerosOf(g), needs(src) ? gradFor(g, src) : null],
      [],
    );
    return x;
  },
);
