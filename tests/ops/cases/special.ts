/** Cases of special functions (special.ts) and of arithmetic beside the four operations (arithmetic.ts). */
import { type Entry, t } from "../spec.ts";
import { FLOATS, one, tensorsOnly, two } from "./pointwise.ts";

const floats = { dtypes: [...FLOATS] };
const precise = { dtypes: ["float32", "float64"] as const };
const integers = { dtypes: ["int64", "int32", "uint8"] as const, grad: "of integers" };
const flat = { grad: "constant almost everywhere" };
const condition = { grad: "gives a condition" };
const itself = { copies: "gives its input", grad2: "is linear" };
const noGradient = { grad: "PyTorch has none" };

/** Two tensors, of which the gradient goes to the second only. */
function second(low: number, high: number): Entry {
  return {
    cases: [{ args: [t([4, 5], { low, high, grad: false }), t([4, 5], { low, high })] }],
    ...precise,
  };
}

/** A polynomial of x of degree n. */
function polynomial(): Entry {
  return {
    cases: [
      { args: [t([4, 5], { low: -1.5, high: 1.5 }), t([5], { dtype: "int64", low: 0, high: 9 })] },
      { args: [t([4, 5], { low: -1, high: 1 }), 3] },
    ],
    ...noGradient,
    ...precise,
  };
}

export const specialCases: Record<string, Entry> = {
  lgamma: one(0.3, 4),
  lgamma_: one(0.3, 4, floats),
  digamma: one(0.3, 4),
  digamma_: one(0.3, 4, floats),
  polygamma: {
    cases: [1, 2, 3].map((n) => ({ args: [n, t([4, 5], { low: 0.5, high: 4 })] })),
    ...precise,
  },
  polygamma_: {
    cases: [{ args: [t([4, 5], { low: 0.5, high: 4 }), 2] }],
    ...precise,
    torch: "torch.Tensor.polygamma_",
  },
  mvlgamma: { cases: [{ args: [t([4, 5], { low: 2.5, high: 5 }), 3] }], ...precise },
  mvlgamma_: {
    cases: [{ args: [t([4, 5], { low: 2.5, high: 5 }), 2] }],
    ...precise,
    torch: "torch.Tensor.mvlgamma_",
  },
  igamma: second(0.3, 3),
  igamma_: { ...second(0.3, 3), grad: "of the second operand only" },
  igammac: second(0.3, 3),
  igammac_: { ...second(0.3, 3), grad: "of the second operand only" },
  i0: one(),
  i0_: one(-2, 2, floats),
  sinc: one(0.2, 2),
  sinc_: one(0.2, 2, floats),
  logit: {
    cases: [
      { args: [t([4, 5], { low: 0.1, high: 0.9 })] },
      { args: [t([4, 5], { low: 0.25, high: 0.75 }), 0.2] },
    ],
    ...floats,
  },
  logit_: { cases: [{ args: [t([4, 5], { low: 0.1, high: 0.9 })] }], ...floats },
  logaddexp2: { cases: [{ args: [t([4, 5]), t([4, 5])] }], ...precise },
  isposinf: one(-2, 2, condition),
  isneginf: one(-2, 2, condition),
  "special.airyAi": one(-1.5, 3, { ...noGradient, ...precise }),
  "special.besselJ0": one(0.3, 3),
  "special.besselJ1": one(0.3, 3),
  "special.besselY0": one(0.3, 3),
  "special.besselY1": one(0.3, 3),
  "special.chebyshevPolynomialT": polynomial(),
  "special.chebyshevPolynomialU": polynomial(),
  "special.chebyshevPolynomialV": polynomial(),
  "special.chebyshevPolynomialW": polynomial(),
  "special.shiftedChebyshevPolynomialT": polynomial(),
  "special.shiftedChebyshevPolynomialU": polynomial(),
  "special.shiftedChebyshevPolynomialV": polynomial(),
  "special.shiftedChebyshevPolynomialW": polynomial(),
  "special.hermitePolynomialH": polynomial(),
  "special.hermitePolynomialHe": polynomial(),
  "special.laguerrePolynomialL": polynomial(),
  "special.legendrePolynomialP": polynomial(),
  "special.entr": one(0.3, 3),
  "special.erfcx": one(-1, 3),
  "special.i0e": one(0.3, 3),
  "special.i1": one(0.3, 3),
  "special.i1e": one(0.3, 3),
  "special.logNdtr": one(-3, 2),
  "special.modifiedBesselI0": one(0.3, 3),
  "special.modifiedBesselI1": one(0.3, 3),
  "special.modifiedBesselK0": one(0.3, 3),
  "special.modifiedBesselK1": one(0.3, 3),
  "special.scaledModifiedBesselK0": one(0.3, 3, noGradient),
  "special.scaledModifiedBesselK1": one(0.3, 3, noGradient),
  "special.sphericalBesselJ0": one(0.3, 3, noGradient),
  "special.ndtr": one(),
  "special.ndtri": one(0.1, 0.9, floats),
  "special.xlog1py": {
    cases: [
      { args: [t([4, 5]), t([4, 5], { low: 0.2, high: 3 })] },
      { args: [t([4, 5]), 2] },
      { args: [2, t([4, 5], { low: 0.2, high: 3 })] },
    ],
  },
  "special.zeta": {
    cases: [{
      args: [t([4, 5], { low: 1.5, high: 4, grad: false }), t([4, 5], { low: 0.5, high: 4 })],
    }],
    ...precise,
  },
};

export const arithmeticCases: Record<string, Entry> = {
  rsub: { cases: [{ args: [t([4, 5]), t([5])] }, { args: [t([4, 5]), 3] }] },
  floatPower: {
    cases: [
      { args: [t([4, 5], { low: 0.5, high: 2 }), t([5], { low: 0, high: 2 })] },
      { args: [t([4, 5]), 2] },
    ],
    dtypes: ["float32", "float64", "int64"],
    copies: "computes in float64",
  },
  floatPower_: {
    cases: [{ args: [t([4, 5], { low: 0.5, high: 2 }), 2] }],
    dtypes: ["float64"],
    torch: "torch.Tensor.float_power_",
  },
  ldexp: {
    cases: [{ args: [t([4, 5]), t([5], { dtype: "int64", low: -2, high: 3 })] }],
    ...floats,
  },
  ldexp_: {
    cases: [{ args: [t([4, 5]), t([5], { dtype: "int64", low: -2, high: 3 })] }],
    ...precise,
    torch: "torch.Tensor.ldexp_",
  },
  heaviside: tensorsOnly(two(-2, 2, flat)),
  heaviside_: {
    cases: [{ args: [t([4, 5]), t([5])] }],
    ...flat,
    torch: "torch.Tensor.heaviside_",
  },
  gcd: {
    cases: [{ args: [t([4, 5], { low: 0, high: 30 }), t([5], { low: 0, high: 30 })] }],
    ...integers,
  },
  gcd_: {
    cases: [{ args: [t([4, 5], { low: 0, high: 30 }), t([5], { low: 0, high: 30 })] }],
    ...integers,
  },
  lcm: {
    cases: [{ args: [t([4, 5], { low: 0, high: 9 }), t([5], { low: 1, high: 9 })] }],
    ...integers,
  },
  lcm_: {
    cases: [{ args: [t([4, 5], { low: 0, high: 9 }), t([5], { low: 1, high: 9 })] }],
    ...integers,
  },
  nextafter: {
    cases: [{ args: [t([4, 5]), t([5])] }],
    ...precise,
    grad: "steps are below any difference",
    tolerance: { float32: [1e-6, 1e-6] },
  },
  nextafter_: {
    cases: [{ args: [t([4, 5]), t([5])] }],
    ...precise,
    grad: "steps are below any difference",
    torch: "torch.Tensor.nextafter_",
  },
  frexp: { cases: [{ args: [t([4, 5])] }], ...precise, grad2: "is linear between powers of two" },
  deg2rad: one(-90, 90),
  deg2rad_: one(-90, 90, floats),
  rad2deg: one(-2, 2),
  rad2deg_: one(-2, 2, floats),
  positive: one(-2, 2, itself),
  real: one(-2, 2, itself),
  conj: one(-2, 2, itself),
  conjPhysical: one(-2, 2, itself),
  conjPhysical_: {
    cases: [{ args: [t([4, 5])] }],
    ...itself,
    torch: "torch.Tensor.conj_physical_",
  },
  resolveConj: one(-2, 2, itself),
  resolveNeg: one(-2, 2, itself),
  isreal: one(-2, 2, condition),
  angle: one(0.3, 3, { ...flat, dtypes: [...FLOATS] }),
  fill: { cases: [{ args: [t([4, 5]), 3] }], copies: "fills a copy" },
  ...Object.fromEntries(
    ["eq_", "ne_", "lt_", "le_", "gt_", "ge_"].map((name) => [name, {
      cases: [{ args: [t([4, 5]), t([5])] }, { args: [t([4, 5]), 1] }],
      ...condition,
      torch: `torch.Tensor.${name}`,
    }]),
  ),
  atan2_: {
    cases: [{ args: [t([4, 5], { low: 0.2, high: 2 }), t([4, 5])] }],
    ...floats,
    torch: "torch.Tensor.atan2_",
  },
  hypot_: {
    cases: [{ args: [t([4, 5], { low: 0.2, high: 2 }), t([4, 5])] }],
    ...precise,
    torch: "torch.Tensor.hypot_",
  },
  copysign_: {
    cases: [{ args: [t([4, 5], { low: 0.2, high: 2 }), t([4, 5])] }],
    ...floats,
    torch: "torch.Tensor.copysign_",
  },
  xlogy_: {
    cases: [{ args: [t([4, 5]), t([4, 5], { low: 0.2, high: 3 })] }],
    ...floats,
  },
  bitwiseNot_: {
    cases: [{ args: [t([4, 5], { low: 0, high: 7 })] }],
    ...integers,
    torch: "torch.Tensor.bitwise_not_",
  },
  bitwiseLeftShift_: {
    cases: [{ args: [t([4, 5], { low: 0, high: 7 }), t([5], { low: 0, high: 7 })] }],
    ...integers,
    torch: "torch.Tensor.bitwise_left_shift_",
  },
  bitwiseRightShift_: {
    cases: [{ args: [t([4, 5], { low: 0, high: 7 }), t([5], { low: 0, high: 7 })] }],
    ...integers,
    torch: "torch.Tensor.bitwise_right_shift_",
  },
};
