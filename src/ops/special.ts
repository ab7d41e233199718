/**
 * Special functions, elementwise: gamma and its relatives, Bessel functions, the normal distribution, orthogonal
 * polynomials. Integers become the default float dtype, floats are computed in float64 and rounded. The functions that
 * PyTorch keeps in `torch.special` alone are exported by src/special.ts.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { Float, getDefaultDtype } from "../dtype.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { checkSize } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { eq, ge, le, logicalAnd, maskedFill, where } from "./logic.ts";
import {
  applyUnary,
  applyUnaryInplace,
  type Binary,
  type BinaryForm,
  type BinaryInplace,
  binaryInplace,
  binaryOfTensors,
  cast,
  numberOf,
  type Operand,
  toFloat,
  type Unary,
  unary,
  type UnaryForm,
  unaryInplace,
} from "./map.ts";
import { cos, exp, exp2, log, log1p, neg, sign, square } from "./math.ts";
import { add, div, type Either, either, mul, sub } from "./pointwise.ts";
import { sum } from "./reduction.ts";
import { arange } from "./pattern.ts";
import { unsqueeze } from "./view.ts";

function float(opcode: number, saves: "x" | "y", rule?: UnaryForm["rule"]): UnaryForm {
  return { opcode, result: "float", saves, rule };
}

// ---- gamma --------------------------------------------------------------------------------------

const lgammaForm = float(OP.lgamma, "x", (g, x) => mul(g, digamma(x)));
/** `log |Γ(x)|`; ∞ at 0 and the negative integers. */
export const lgamma: Unary = unary("lgamma", lgammaForm);
/** `lgamma` in place. */
export const lgamma_: Unary = unaryInplace("lgamma_", lgammaForm);

const digammaForm = float(OP.digamma, "x", (g, x) => mul(g, polygamma(1, x)));
/** The derivative of `log Γ`; -∞ at 0, NaN at the negative integers. */
export const digamma: Unary = unary("digamma", digammaForm);
/** `digamma` in place. */
export const digamma_: Unary = unaryInplace("digamma_", digammaForm);

function checkOrder(name: string, n: number): void {
  if (!Number.isInteger(n) || n < 0) {
    throw new ArgumentError(
      `Cannot ${name} of order ${show(n)}: it must be a whole number from 0`,
      { op: name },
    );
  }
}

const polygammaForm: UnaryForm = {
  opcode: OP.polygamma,
  result: "float",
  saves: "x",
  rule: (g, x, _, [n]) => mul(g, polygamma(n + 1, x)),
};
/** The nth derivative of `digamma`. Errors: ArgumentError for a negative order. */
export const polygamma: (n: number, input: Tensor) => Tensor = op(
  "polygamma(n, input)",
  (n: number, x: Tensor) => {
    checkOrder("polygamma", n);
    return applyUnary("polygamma", polygammaForm, x, [n]);
  },
);
/** `polygamma` of a tensor in place: `polygamma_(x, n)`. */
export const polygamma_: (input: Tensor, n: number) => Tensor = op(
  "polygamma_(input, n)",
  (x: Tensor, n: number) => {
    checkOrder("polygamma_", n);
    return applyUnaryInplace("polygamma_", polygammaForm, x, [n]);
  },
);

/** The logarithm of the gamma function of p dims, elementwise. */
export type Mvlgamma = (input: Tensor, p: number) => Tensor;

function multivariate(name: string, x: Tensor, p: number): Tensor {
  if (!Number.isInteger(p) || p < 1) {
    throw new ArgumentError(`Cannot ${name} with p ${show(p)}: it must be at least 1`, {
      op: name,
    });
  }
  const wide = x.info.isFloat ? x : cast(x, getDefaultDtype());
  // What no memory holds is refused before any of it is made.
  empty(checkSize([...x.shape, p], name), wide.info).dispose();
  const shifts = mul(arange(p, { dtype: wide.dtype, device: wide.device }), -0.5);
  const each = lgamma(add(unsqueeze(wide, -1), shifts));
  return add(sum(each, -1), p * (p - 1) / 4 * Math.log(Math.PI));
}

/** `log Γₚ(x) = p (p - 1) / 4 · log π + Σⱼ log Γ(x - j / 2)`, j from 0 to p - 1. */
export const mvlgamma: Mvlgamma = op(
  "mvlgamma(input, p)",
  (x: Tensor, p: number) => multivariate("mvlgamma", x, p),
);
/** `mvlgamma` in place. */
export const mvlgamma_: Mvlgamma = op("mvlgamma_(input, p)", (x: Tensor, p: number) => {
  if (!x.info.isFloat) {
    throw new DTypeError(`Cannot mvlgamma_ ${show(x)} in place: the result is a float tensor`, {
      op: "mvlgamma_",
    });
  }
  return x.copy_(multivariate("mvlgamma_", x, p));
});

const zetaForm: BinaryForm = {
  opcode: OP.zeta,
  result: toFloat,
  saves: true,
  rules: [
    () => refuseGradient("zeta", "input"),
    (g, s, q) => neg(mul(g, mul(zeta(add(s as Tensor, 1), q), s))),
  ],
};

function refuseGradient(name: string, what: string): never {
  throw new DTypeError(`Cannot backward through ${name} to its ${what}: it has no derivative`, {
    op: name,
  });
}

/** Hurwitz's zeta function, `Σₖ (k + other)^(-input)`. The gradient is that of `other`. */
export const zeta: Either = either("zeta", zetaForm);

/** The density of the gamma distribution: the derivative of `igamma` for x. */
const density = (a: Operand, x: Operand): Tensor =>
  exp(sub(sub(mul(sub(a as Tensor, 1), log(x as Tensor)), x), lgamma(a as Tensor)));

function refuseIntegers(name: string, a: Operand, b: Operand, promoted: string): void {
  if (!promoted.startsWith("float") && promoted !== "bfloat16") {
    throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: it takes floats`, {
      op: name,
    });
  }
}

function incomplete(opcode: number, rule: BinaryForm["rules"]): BinaryForm {
  return { opcode, saves: true, refuse: refuseIntegers, rules: rule };
}

const igammaForm = incomplete(OP.igamma, [
  () => refuseGradient("igamma", "input"),
  (g, a, x) => mul(g, density(a, x)),
]);
/** The regularised lower incomplete gamma function `P(input, other)`. The gradient is that of `other`. */
export const igamma: Binary = binaryOfTensors("igamma", igammaForm);
/** `igamma` in place. */
export const igamma_: BinaryInplace = binaryInplace("igamma_", igammaForm);

const igammacForm = incomplete(OP.igammac, [
  () => refuseGradient("igammac", "input"),
  (g, a, x) => neg(mul(g, density(a, x))),
]);
/** The regularised upper incomplete gamma function `Q = 1 - P`. The gradient is that of `other`. */
export const igammac: Binary = binaryOfTensors("igammac", igammacForm);
/** `igammac` in place. */
export const igammac_: BinaryInplace = binaryInplace("igammac_", igammacForm);

// ---- Bessel functions ---------------------------------------------------------------------------

const i0Form = float(OP.i0, "x", (g, x) => mul(g, i1(x)));
/** The modified Bessel function of the first kind of order 0. */
export const i0: Unary = unary("i0", i0Form);
/** `i0` in place. */
export const i0_: Unary = unaryInplace("i0_", i0Form);
/** `e^(-|x|) I₀(x)`. */
export const i0e: Unary = unary(
  "i0e",
  {
    opcode: OP.i0e,
    result: "float",
    saves: "x",
    rule: (g, x, y) => mul(g, sub(i1e(x), mul(sign(x), y))),
  },
);
/** y / x, ½ at 0. */
const slopeAtZero = (y: Tensor, x: Tensor): Tensor => maskedFill(div(y, x), eq(x, 0), 0.5);
/** The modified Bessel function of the first kind of order 1. */
export const i1: Unary = unary(
  "i1",
  float(OP.i1, "x", (g, x, y) => mul(g, sub(i0(x), slopeAtZero(y, x)))),
);
/** `e^(-|x|) I₁(x)`. */
export const i1e: Unary = unary(
  "i1e",
  float(OP.i1e, "x", (g, x, y) => mul(g, sub(sub(i0e(x), mul(y, sign(x))), slopeAtZero(y, x)))),
);
/** The Bessel function of the first kind of order 0. */
export const besselJ0: Unary = unary(
  "besselJ0",
  float(OP.bessel_j0, "x", (g, x) => neg(mul(g, besselJ1(x)))),
);
/** The Bessel function of the first kind of order 1. */
export const besselJ1: Unary = unary(
  "besselJ1",
  float(OP.bessel_j1, "x", (g, x, y) => mul(g, sub(besselJ0(x), slopeAtZero(y, x)))),
);
/** The Bessel function of the second kind of order 0; NaN below 0. */
export const besselY0: Unary = unary(
  "besselY0",
  float(OP.bessel_y0, "x", (g, x) => neg(mul(g, besselY1(x)))),
);
/** The Bessel function of the second kind of order 1; NaN below 0. */
export const besselY1: Unary = unary(
  "besselY1",
  float(OP.bessel_y1, "x", (g, x, y) => mul(g, sub(besselY0(x), div(y, x)))),
);
/** The modified Bessel function of the first kind of order 0. */
export const modifiedBesselI0: Unary = unary(
  "modifiedBesselI0",
  float(OP.i0, "x", (g, x) => mul(g, i1(x))),
);
/** The modified Bessel function of the first kind of order 1. */
export const modifiedBesselI1: Unary = unary(
  "modifiedBesselI1",
  float(OP.i1, "x", (g, x, y) => mul(g, sub(i0(x), slopeAtZero(y, x)))),
);
/** The modified Bessel function of the second kind of order 0. */
export const modifiedBesselK0: Unary = unary(
  "modifiedBesselK0",
  float(OP.modified_bessel_k0, "x", (g, x) => neg(mul(g, modifiedBesselK1(x)))),
);
/** The modified Bessel function of the second kind of order 1. */
export const modifiedBesselK1: Unary = unary(
  "modifiedBesselK1",
  float(
    OP.modified_bessel_k1,
    "x",
    (g, x, y) => neg(mul(g, add(modifiedBesselK0(x), div(y, x)))),
  ),
);
/** `eˣ K₀(x)`. */
export const scaledModifiedBesselK0: Unary = unary(
  "scaledModifiedBesselK0",
  float(OP.scaled_modified_bessel_k0, "x"),
);
/** `eˣ K₁(x)`. */
export const scaledModifiedBesselK1: Unary = unary(
  "scaledModifiedBesselK1",
  float(OP.scaled_modified_bessel_k1, "x"),
);
/** The spherical Bessel function `sin(x) / x`. */
export const sphericalBesselJ0: Unary = unary(
  "sphericalBesselJ0",
  float(OP.spherical_bessel_j0, "x"),
);
/** The Airy function Ai. */
export const airyAi: Unary = unary("airyAi", float(OP.airy_ai, "x"));

// ---- the normal distribution --------------------------------------------------------------------

const TWO_BY_SQRT_PI = 2 / Math.sqrt(Math.PI);
/** `exp(x²) erfc(x)`, exact where erfc is tiny. */
export const erfcx: Unary = unary(
  "erfcx",
  float(OP.erfcx, "x", (g, x, y) => mul(g, sub(mul(mul(x, y), 2), TWO_BY_SQRT_PI))),
);
/** The normal distribution function `½ erfc(-x / √2)`. */
export const ndtr: Unary = unary(
  "ndtr",
  float(OP.ndtr, "x", (g, x) => mul(g, mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI)))),
);
/** The inverse of `ndtr`: -∞ at 0, ∞ at 1, NaN outside. */
export const ndtri: Unary = unary(
  "ndtri",
  float(OP.ndtri, "y", (g, _, y) => mul(g, mul(exp(mul(square(y), 0.5)), Math.sqrt(2 * Math.PI)))),
);
/** `log ndtr(x)`, exact far below 0. */
export const logNdtr: Unary = unary(
  "logNdtr",
  float(
    OP.log_ndtr,
    "x",
    (g, x) => mul(div(g, erfcx(mul(x, -Math.SQRT1_2))), Math.sqrt(2 / Math.PI)),
  ),
);

// ---- logarithms and ratios ----------------------------------------------------------------------

/** `-x log x`; 0 at 0, -∞ below. */
export const entr: Unary = unary(
  "entr",
  float(OP.entr, "x", (g, x) => neg(mul(g, add(log(x), 1)))),
);

/** The slope of `sin(πx) / πx`, which is 0 at 0. */
function sincSlope(x: Tensor, y: Tensor): Tensor {
  return maskedFill(div(sub(cos(mul(x, Math.PI)), y), x), eq(x, 0), 0);
}
const sincForm = float(OP.sinc, "x", (g, x) => mul(g, sincSlope(x, sinc(x))));
/** `sin(πx) / πx`, 1 at 0. */
export const sinc: Unary = unary("sinc", sincForm);
/** `sinc` in place. */
export const sinc_: Unary = unaryInplace("sinc_", sincForm);

/** What `logit` takes by name. */
export interface LogitOptions {
  /** Keeps the input this far from 0 and 1; default: not at all. */
  eps?: number | null;
}
/** The logarithm of odds. */
export type Logit = (input: Tensor, eps?: number | null | LogitOptions) => Tensor;

const logitForm: UnaryForm = {
  opcode: OP.logit,
  result: "float",
  saves: "x",
  rule(g, x, _, [eps]) {
    const slope = div(g, mul(x, add(neg(x), 1)));
    const [low, high] = eps < 0 ? [0, 1] : [eps, 1 - eps];
    return where(logicalAnd(ge(x, low), le(x, high)), slope, eps < 0 ? NaN : 0);
  },
};

function logitOp(name: string, inplace: boolean): Logit {
  return op<Logit>(`${name}(input, eps=null)`, (x: Tensor, eps: number | null) => {
    if (eps !== null && typeof eps !== "number") {
      throw new ArgumentError(`Cannot ${name} with eps ${show(eps)}: it must be a number`, {
        op: name,
      });
    }
    const p = [eps ?? -1];
    return inplace ? applyUnaryInplace(name, logitForm, x, p) : applyUnary(name, logitForm, x, p);
  });
}

/** `log(x / (1 - x))`, the inverse of `sigmoid`; NaN outside [0, 1], where no `eps` keeps x inside. */
export const logit: Logit = logitOp("logit", false);
/** `logit` in place. */
export const logit_: Logit = logitOp("logit_", true);

/** `input · log(1 + other)`, 0 where input is 0; either may be a number. */
export const xlog1py: Either = either("xlog1py", {
  opcode: OP.xlog1py,
  result: toFloat,
  saves: true,
  rules: [
    (g, a, b) => {
      const zero = eq(a as Tensor, 0);
      if (!(b instanceof Tensor)) {
        const product = mul(g, new Float(Math.log1p(numberOf(b))));
        return numberOf(b) <= -1 ? maskedFill(product, zero, 0) : product;
      }
      return maskedFill(mul(g, log1p(b)), logicalAnd(zero, le(b, -1)), 0);
    },
    (g, a, b) => div(mul(g, a), add(b as Tensor, 1)),
  ],
});

/** `log₂(2ᵃ + 2ᵇ)` without overflow. */
export const logaddexp2: Binary = binaryOfTensors("logaddexp2", {
  opcode: OP.logaddexp2,
  saves: true,
  refuse: refuseIntegers,
  rules: [
    (g, a, b) => div(g, add(exp2(sub(b as Tensor, a)), 1)),
    (g, a, b) => div(g, add(exp2(sub(a as Tensor, b)), 1)),
  ],
});

// ---- orthogonal polynomials ---------------------------------------------------------------------

/** A polynomial of degree n, elementwise; no gradient, as in PyTorch. */
function polynomial(name: string, kind: number): Either {
  return either(name, {
    opcode: OP.polynomial,
    result: toFloat,
    scalars: () => [kind],
  }, "n");
}

/** Chebyshev's polynomial of the first kind of degree n: `cos(n arccos x)`. Degrees beyond 100,000 are NaN. */
export const chebyshevPolynomialT: Either = polynomial("chebyshevPolynomialT", 0);
/** Chebyshev's polynomial of the second kind of degree n. */
export const chebyshevPolynomialU: Either = polynomial("chebyshevPolynomialU", 1);
/** Chebyshev's polynomial of the third kind of degree n. */
export const chebyshevPolynomialV: Either = polynomial("chebyshevPolynomialV", 2);
/** Chebyshev's polynomial of the fourth kind of degree n. */
export const chebyshevPolynomialW: Either = polynomial("chebyshevPolynomialW", 3);
/** Chebyshev's polynomial of the first kind at `2x - 1`. */
export const shiftedChebyshevPolynomialT: Either = polynomial("shiftedChebyshevPolynomialT", 4);
/** Chebyshev's polynomial of the second kind at `2x - 1`. */
export const shiftedChebyshevPolynomialU: Either = polynomial("shiftedChebyshevPolynomialU", 5);
/** Chebyshev's polynomial of the third kind at `2x - 1`. */
export const shiftedChebyshevPolynomialV: Either = polynomial("shiftedChebyshevPolynomialV", 6);
/** Chebyshev's polynomial of the fourth kind at `2x - 1`. */
export const shiftedChebyshevPolynomialW: Either = polynomial("shiftedChebyshevPolynomialW", 7);
/** Hermite's polynomial of degree n, the physicists' one. */
export const hermitePolynomialH: Either = polynomial("hermitePolynomialH", 8);
/** Hermite's polynomial of degree n, the probabilists' one. */
export const hermitePolynomialHe: Either = polynomial("hermitePolynomialHe", 9);
/** Laguerre's polynomial of degree n. */
export const laguerrePolynomialL: Either = polynomial("laguerrePolynomialL", 10);
/** Legendre's polynomial of degree n. */
export const legendrePolynomialP: Either = polynomial("legendrePolynomialP", 11);

/** Whether an element is ∞. Types: all. */
export const isposinf: Unary = op("isposinf(input)", (x: Tensor) => eq(x, Infinity));
/** Whether an element is -∞. Types: all. */
export const isneginf: Unary = op("isneginf(input)", (x: Tensor) => eq(x, -Infinity));
