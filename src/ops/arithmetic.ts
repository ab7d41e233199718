/**
 * Arithmetic beside the four operations: differences the other way round, powers of two, common divisors, neighbouring
 * numbers, angles in degrees, numbers taken apart. Most are other ops under a name.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { type DTypeInfo, DTYPES, Float, getDefaultDtype, type Scalar } from "../dtype.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { Tensor } from "../tensor.ts";
import { isnan, lt, ne, where } from "./logic.ts";
import {
  applyBinary,
  type Binary,
  type BinaryForm,
  type BinaryInplace,
  binaryInplace,
  binaryOfTensors,
  cast,
  checkOperand,
  checkResult,
  checkTensor,
  mapInto,
  type Operand,
  type Unary,
  zerosOf,
} from "./map.ts";
import { copy_ } from "./filling.ts";
import { div, type Either, mul, mul_, pow, sub, type Sum } from "./pointwise.ts";
import { type Named, named } from "./named.ts";
import { fullLike } from "./creation.ts";
import { clone } from "./view.ts";

/** `other - alpha · input`. */
export const rsub: Sum = op(
  "rsub(input, other, alpha=1)",
  (x: Tensor, other: Operand, alpha: Scalar) => {
    checkOperand("rsub", x, other);
    if (other instanceof Tensor) return sub(other, x, alpha);
    const scaled = alpha === 1 ? x : mul(x, alpha);
    return applyBinary("rsub", rsubForm, other, scaled);
  },
);
const rsubForm: BinaryForm = {
  opcode: OP.sub,
  rules: [(g) => g, (g) => mul(g, -1)],
  refuse(name, a, b) {
    if ([a, b].some((o) => o instanceof Tensor ? o.info === DTYPES.bool : typeof o === "boolean")) {
      throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: bool has no subtraction`, {
        op: name,
      });
    }
  },
};

/** A power computed in float64, whatever the operands; either may be a number. */
export const floatPower: Either = op("floatPower(self, exponent)", (a: Operand, b: Operand) => {
  if (!(a instanceof Tensor) && !(b instanceof Tensor)) {
    throw new ArgumentError(`Cannot floatPower ${show(a)} by ${show(b)}: one must be a tensor`, {
      op: "floatPower",
    });
  }
  const wide = (o: Operand) => o instanceof Tensor ? cast(o, "float64") : new Float(Number(o));
  return pow(wide(a), wide(b));
});
/** `floatPower` in place; only a float64 tensor can hold the result. */
export const floatPower_: BinaryInplace = op(
  "floatPower_(input, exponent)",
  (x: Tensor, exponent: Operand) => {
    checkOperand("floatPower_", x, exponent, "exponent");
    if (x.dtype !== "float64") {
      throw new DTypeError(`Cannot floatPower_ ${show(x)} in place: the result is float64`, {
        op: "floatPower_",
      });
    }
    return copy_(x, floatPower(clone(x), exponent) as Tensor);
  },
);

/** `input · 2^other`. Integers become floats; an integer exponent leaves the float dtype of the input. */
export const ldexp: Binary = op("ldexp(input, other)", (x: Tensor, other: Operand) => {
  checkTensor("ldexp", other, "other");
  checkOperand("ldexp", x, other);
  const y = mul(x, pow(new Float(2), other));
  return x.info.isFloat && !other.info.isFloat ? cast(y, x.dtype) : y;
});
/** `ldexp` in place. */
export const ldexp_: BinaryInplace = op("ldexp_(input, other)", (x: Tensor, other: Operand) => {
  checkTensor("ldexp_", other, "other");
  checkOperand("ldexp_", x, other);
  return mul_(x, pow(new Float(2), other));
});

const heavisideForm: BinaryForm = {
  opcode: OP.heaviside,
  refuse(name, a, b) {
    if (a instanceof Tensor && b instanceof Tensor && a.info !== b.info) {
      throw new DTypeError(`Cannot ${name} ${show(a)} with values ${show(b)}: the dtypes differ`, {
        op: name,
      });
    }
  },
};
/** A step: 0 below 0, 1 above, `values` at 0. Not differentiable. */
export const heaviside: Binary = binaryOfTensors("heaviside", heavisideForm, "values");
/** `heaviside` in place. */
export const heaviside_: BinaryInplace = binaryInplace("heaviside_", heavisideForm);

function whole(opcode: number): BinaryForm {
  return {
    opcode,
    refuse(name, a, b, promoted) {
      if (DTYPES[promoted].isFloat || promoted === "bool") {
        throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: it takes integers`, {
          op: name,
        });
      }
    },
  };
}
/** The greatest common divisor, not negative. Types: integers. */
export const gcd: Binary = binaryOfTensors("gcd", whole(OP.gcd));
/** `gcd` in place. */
export const gcd_: BinaryInplace = binaryInplace("gcd_", whole(OP.gcd));
/** The least common multiple, not negative. Types: integers. */
export const lcm: Binary = binaryOfTensors("lcm", whole(OP.lcm));
/** `lcm` in place. */
export const lcm_: BinaryInplace = binaryInplace("lcm_", whole(OP.lcm));

const STEPS: Readonly<Record<string, number>> = { bfloat16: 1, float16: 2 };
const nextafterForm: BinaryForm = {
  opcode: OP.nextafter,
  saves: true,
  rules: [(g, a, b) => where(ne(a as Tensor, b), g, 0), (g) => zerosOf(g)],
  scalars: (compute: DTypeInfo) => [STEPS[compute.name] ?? 0],
  refuse(name, a, b, promoted) {
    if (!DTYPES[promoted].isFloat) {
      throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: it takes floats`, {
        op: name,
      });
    }
  },
};
/** The next number of the dtype after input, towards other. */
export const nextafter: Binary = binaryOfTensors("nextafter", nextafterForm);
/** `nextafter` in place. */
export const nextafter_: BinaryInplace = binaryInplace("nextafter_", nextafterForm);

/** A mantissa and an exponent: `input = mantissa · 2^exponent` with the mantissa in [½, 1). */
export const frexp: (input: Tensor) => Named<"mantissa" | "exponent"> = op(
  "frexp(input)",
  (x: Tensor) => {
    if (!x.info.isFloat) {
      throw new DTypeError(`Cannot frexp ${show(x)}: it takes floats`, { op: "frexp" });
    }
    const mantissa = mapInto("frexp", OP.frexp_mantissa, x, null, x.info, x.info);
    const exponent = mapInto("frexp", OP.frexp_exponent, x, null, x.info, DTYPES.int32);
    if (wants(x)) {
      record("frexp", [x], [mantissa], ([g]) => [
        g && div(g, cast(pow(new Float(2), exponent), x.dtype)),
      ], []);
    }
    return named({ mantissa, exponent });
  },
);

/** A product with one number, of integers too. */
function scaled(name: string, factor: number): Unary {
  return op<Unary>(`${name}(input)`, (x: Tensor) => {
    return mul(x.info.isFloat ? x : cast(x, getDefaultDtype()), new Float(factor));
  });
}
function scaledInplace(name: string, factor: number): Unary {
  return op<Unary>(`${name}(input)`, (x: Tensor) => {
    if (!x.info.isFloat) checkResult(name, x, getDefaultDtype(), []);
    return mul_(x, new Float(factor));
  });
}
/** Degrees as radians: `input · π / 180`. */
export const deg2rad: Unary = scaled("deg2rad", Math.PI / 180);
/** `deg2rad` in place. */
export const deg2rad_: Unary = scaledInplace("deg2rad_", Math.PI / 180);
/** Radians as degrees: `input · 180 / π`. */
export const rad2deg: Unary = scaled("rad2deg", 180 / Math.PI);
/** `rad2deg` in place. */
export const rad2deg_: Unary = scaledInplace("rad2deg_", 180 / Math.PI);

/** The input itself. Types: all but bool. */
export const positive: Unary = op("positive(input)", (x: Tensor) => {
  if (x.info === DTYPES.bool) {
    throw new DTypeError(`Cannot positive ${show(x)}: bool has no sign`, { op: "positive" });
  }
  return x;
});
/** The real part: the input itself, since no dtype is complex. */
export const real: Unary = op("real(input)", (x: Tensor) => x);
/** The conjugate: the input itself. */
export const conj: Unary = op("conj(input)", (x: Tensor) => x);
/** The conjugate: the input itself. */
export const conjPhysical: Unary = op("conjPhysical(input)", (x: Tensor) => x);
/** The conjugate: the input itself. */
export const conjPhysical_: Unary = op("conjPhysical_(input)", (x: Tensor) => x);
/** The input itself: no view waits for a conjugation. */
export const resolveConj: Unary = op("resolveConj(input)", (x: Tensor) => x);
/** The input itself: no view waits for a negation. */
export const resolveNeg: Unary = op("resolveNeg(input)", (x: Tensor) => x);
/** Whether an element is a real number: true everywhere. */
export const isreal: Unary = op("isreal(input)", (x: Tensor) => fullLike(x, 1, { dtype: "bool" }));
/** The angle of a number in the complex plane: π below 0, 0 from 0 on, NaN stays. */
export const angle: Unary = op("angle(input)", (x: Tensor) => {
  const wide = x.info.isFloat ? x : cast(x, getDefaultDtype());
  const turned = where(lt(wide, 0), new Float(Math.PI), zerosOf(wide));
  const out = where(isnan(wide), wide.detach(), turned);
  if (wants(x)) record("angle", [x], [out], ([g]) => [g && zerosOf(g)], []);
  return out;
});
/** The input's shape and dtype filled with one number, or with a 0-d tensor's. */
export const fill: (input: Tensor, value: Operand) => Tensor = op(
  "fill(input, value)",
  (x: Tensor, value: Operand) => {
    checkOperand("fill", x, value, "value");
    if (value instanceof Tensor && value.ndim !== 0) {
      throw new ArgumentError(`Cannot fill with ${show(value)}: it must be a number or 0-d`, {
        op: "fill",
      });
    }
    const out = clone(x);
    return out.fill_(value);
  },
);
