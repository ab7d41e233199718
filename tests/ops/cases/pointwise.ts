/** Cases of elementwise arithmetic (pointwise.ts), functions of one number (math.ts) and logic (logic.ts). */
import { float } from "../../../src/dtype.ts";
import { type Entry, t } from "../spec.ts";

/** A unary op over a range. */
export function one(low = -2, high = 2, more: Partial<Entry> = {}): Entry {
  return {
    cases: [{ args: [t([4, 5], { low, high })] }, { args: [t([], { low, high })] }],
    ...more,
  };
}

/** Two tensors that broadcast, and a tensor with a number. */
export function two(low = -2, high = 2, more: Partial<Entry> = {}): Entry {
  const range = { low, high };
  return {
    cases: [
      { args: [t([4, 5], range), t([4, 5], range)] },
      { args: [t([3, 1, 5], range), t([4, 1], range)] },
      { args: [t([4, 5], range), 1] },
    ],
    ...more,
  };
}

export const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const INTS = ["int64", "int32", "uint8", "bool"] as const;
const flat = { grad: "constant almost everywhere" };
const notDifferentiable = { grad: "gives a condition" };

export const pointwiseCases: Record<string, Entry> = {
  add: {
    cases: [
      { args: [t([4, 5]), t([4, 5])] },
      { args: [t([3, 1, 5]), t([4, 1]), { alpha: 2 }] },
      { args: [t([4, 5]), 3] },
      { args: [t([4, 5]), 0.5], dtypes: [...FLOATS] },
      { args: [t([4]), t([], { dtype: "int64" })] },
      { args: [t([0, 3]), t([3])] },
    ],
  },
  sub: {
    cases: [
      { args: [t([4, 5]), t([4, 5])] },
      { args: [t([3, 1, 5]), t([4, 1]), { alpha: 2 }] },
      { args: [t([4, 5]), 3] },
    ],
  },
  mul: two(),
  div: {
    cases: [
      { args: [t([4, 5]), t([4, 5], { low: 1, high: 3 })] },
      { args: [t([3, 1, 5]), t([4, 1], { low: 1, high: 3 })] },
      { args: [t([4, 5]), 4] },
      {
        args: [t([4, 5], { low: -9, high: 9 }), t([5], { low: 1, high: 3 }), {
          roundingMode: "floor",
        }],
      },
      {
        args: [t([4, 5], { low: -9, high: 9 }), t([5], { low: 1, high: 3 }), {
          roundingMode: "trunc",
        }],
      },
    ],
  },
  floorDivide: {
    cases: [
      { args: [t([4, 5], { low: -9, high: 9 }), t([4, 5], { low: 1, high: 3 })] },
      { args: [t([4, 5], { low: -9, high: 9 }), 2] },
    ],
    grad: "PyTorch has none",
  },
  remainder: {
    cases: [
      { args: [t([4, 5], { low: -9, high: 9 }), t([4, 5], { low: 1, high: 3 })] },
      { args: [t([3, 1, 5], { low: -9, high: 9 }), t([4, 1], { low: -3, high: -1 })] },
      { args: [t([4, 5], { low: -9, high: 9 }), 3] },
    ],
    dtypes: ["float32", "float64", "int64"],
  },
  fmod: {
    cases: [
      { args: [t([4, 5], { low: -9, high: 9 }), t([4, 5], { low: 1, high: 3 })] },
      { args: [t([4, 5], { low: -9, high: 9 }), 3] },
    ],
    dtypes: ["float32", "float64", "int64"],
  },
  pow: {
    cases: [
      { args: [t([4, 5], { low: 0.5, high: 2 }), t([4, 5], { low: 0, high: 3 })] },
      { args: [t([3, 1, 5], { low: 0.5, high: 2 }), t([4, 1], { low: 0, high: 3 })] },
      { args: [t([4, 5]), 2] },
      { args: [t([4, 5]), 3] },
      { args: [t([4, 5], { low: 0.5, high: 3 }), 0.5], dtypes: [...FLOATS] },
      { args: [t([4, 5], { low: 0.5, high: 3 }), -1], dtypes: [...FLOATS] },
      { args: [t([4, 5], { low: 0.5, high: 3 }), -1.5], dtypes: [...FLOATS] },
      { args: [2, t([4, 5], { low: 0, high: 3 })] },
    ],
  },
  maximum: tensorsOnly(two()),
  minimum: tensorsOnly(two()),
  fmax: tensorsOnly(two()),
  fmin: tensorsOnly(two()),
  clamp: {
    cases: [
      { args: [t([4, 5]), -1, 1] },
      { args: [t([4, 5]), { max: 1 }] },
      { args: [t([4, 5]), { min: -1 }] },
      { args: [t([4, 5]), t([5], { low: -2, high: -0.5 }), t([4, 1], { low: 0.5, high: 2 })] },
    ],
  },
  clampMin: { cases: [{ args: [t([4, 5]), 0] }, { args: [t([4, 5]), t([5])] }] },
  clampMax: { cases: [{ args: [t([4, 5]), 0] }, { args: [t([4, 5]), t([5])] }] },
  atan2: {
    cases: [
      { args: [t([4, 5], { low: 0.2, high: 2 }), t([4, 5])] },
      { args: [t([3, 1, 5], { low: 0.2, high: 2 }), t([4, 1])] },
    ],
  },
  hypot: {
    cases: [{ args: [t([4, 5], { low: 0.2 }), t([4, 5])] }],
    dtypes: ["float32", "float64"],
  },
  copysign: { cases: [{ args: [t([4, 5], { low: 0.2 }), t([4, 5])] }, { args: [t([4, 5]), -1] }] },
  logaddexp: { cases: [{ args: [t([4, 5]), t([4, 5])] }], dtypes: ["float32", "float64"] },
  xlogy: {
    cases: [
      { args: [t([4, 5]), t([4, 5], { low: 0.2, high: 3 })] },
      { args: [t([4, 5]), 2] },
      { args: [2, t([4, 5], { low: 0.2, high: 3 })] },
    ],
  },
  lerp: {
    cases: [
      { args: [t([4, 5]), t([4, 5]), 0.3] },
      { args: [t([4, 5]), t([4, 5]), t([5], { low: 0, high: 1 })] },
    ],
    dtypes: ["float32", "float64"],
  },
  clamp_: { cases: [{ args: [t([4, 5]), -1, 1] }, { args: [t([4, 5]), { max: 1 }] }] },
  clampMin_: { cases: [{ args: [t([4, 5]), 0] }] },
  clampMax_: { cases: [{ args: [t([4, 5]), 0] }] },
  fill_: { cases: [{ args: [t([4, 5]), 3] }] },
  zero_: { cases: [{ args: [t([4, 5])] }] },
  addcmul: {
    cases: [
      { args: [t([4, 5]), t([4, 5]), t([5])] },
      { args: [t([4, 5]), t([4, 1]), t([5]), { value: 2 }] },
    ],
  },
  addcdiv: {
    cases: [
      { args: [t([4, 5]), t([4, 5]), t([5], { low: 0.5, high: 2 })] },
      { args: [t([4, 5]), t([4, 1]), t([5], { low: 0.5, high: 2 }), { value: 0.5 }] },
    ],
    dtypes: [...FLOATS],
  },
};

export const mathCases: Record<string, Entry> = {
  neg: one(),
  abs: one(),
  sign: one(-2, 2, flat),
  sgn: one(-2, 2, flat),
  square: one(),
  reciprocal: one(0.3, 3),
  sqrt: one(0.3, 3),
  rsqrt: one(0.3, 3),
  exp: one(),
  exp2: one(),
  expm1: one(),
  log: one(0.3, 3),
  log2: one(0.3, 3),
  log10: one(0.3, 3),
  log1p: one(-0.5, 3),
  sin: one(-4, 4),
  cos: one(-4, 4),
  tan: one(-1, 1),
  asin: one(-0.9, 0.9),
  acos: one(-0.9, 0.9),
  atan: one(),
  sinh: one(),
  cosh: one(),
  tanh: one(),
  asinh: one(),
  acosh: one(1.2, 3),
  atanh: one(-0.9, 0.9),
  erf: one(),
  erfc: one(),
  erfinv: one(-0.9, 0.9),
  floor: one(-4, 4, flat),
  ceil: one(-4, 4, flat),
  trunc: one(-4, 4, flat),
  frac: one(-4, 4, { dtypes: [...FLOATS] }),
  round: {
    cases: [
      { args: [t([4, 5], { low: -4, high: 4 })] },
      { args: [t([4, 5]), { decimals: 1 }], dtypes: ["float32", "float64"] },
      {
        args: [t([4, 5], { low: -90, high: 90 }), { decimals: -1 }],
        dtypes: ["float32", "float64"],
      },
    ],
    ...flat,
  },
  nanToNum: {
    cases: [
      {
        args: [t([4], { values: [NaN, Infinity, -Infinity, 2] }), 1, 5, { neginf: -6 }],
        dtypes: [...FLOATS],
      },
      { args: [t([4, 5])] },
    ],
    grad: "values that are no numbers have no differences",
  },
};

/** The in-place forms of what takes one tensor, on the same cases; integers cannot become floats in place. */
const IN_PLACE = [
  "neg",
  "abs",
  "square",
  "reciprocal",
  "sqrt",
  "rsqrt",
  "exp",
  "exp2",
  "expm1",
  "log",
  "log2",
  "log10",
  "log1p",
  "sin",
  "cos",
  "tan",
  "asin",
  "acos",
  "atan",
  "sinh",
  "cosh",
  "tanh",
  "asinh",
  "acosh",
  "atanh",
  "erf",
  "erfc",
  "floor",
  "ceil",
  "trunc",
  "frac",
  "round",
  "nanToNum",
] as const;

export const inplaceCases: Record<string, Entry> = Object.fromEntries(
  IN_PLACE.map((name) => [`${name}_`, { ...mathCases[name], dtypes: [...FLOATS] }]),
);

const bits = two(0, 7, { dtypes: [...INTS], grad: "of integers" });
const shifts = two(0, 7, { dtypes: ["int64", "int32", "uint8"], grad: "of integers" });
const condition = two(-2, 2, {
  dtypes: ["float32", "float64", "bfloat16", "float16", "int64", "uint8", "bool"],
  ...notDifferentiable,
});
const ties = t([5], { values: [1, 2, 3, 2, 1] });

/** PyTorch takes no number here, so its results lack that case. */
export function tensorsOnly(entry: Entry): Entry {
  return { ...entry, cases: entry.cases.slice(0, 2) };
}

/** Comparisons also meet equal values. */
const comparison: Entry = {
  ...condition,
  cases: [...condition.cases, { args: [ties, t([5], { values: [1, 3, 2, 2, 0] })] }],
};

export const logicCases: Record<string, Entry> = {
  eq: comparison,
  ne: comparison,
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  isnan: one(-2, 2, notDifferentiable),
  isinf: one(-2, 2, notDifferentiable),
  isfinite: one(-2, 2, notDifferentiable),
  signbit: one(-2, 2, notDifferentiable),
  equal: {
    cases: [{ args: [t([4, 5]), t([4, 5])] }, { args: [ties, ties] }],
    ...notDifferentiable,
  },
  isclose: {
    cases: [
      { args: [t([4, 5]), t([4, 5]), { rtol: 0.5, atol: 0.5 }] },
      { args: [ties, ties] },
    ],
    dtypes: ["float32", "float64", "int64"],
    ...notDifferentiable,
  },
  allclose: {
    cases: [
      { args: [t([4, 5]), t([4, 5]), { rtol: 0.5, atol: 0.5 }] },
      { args: [ties, ties] },
    ],
    dtypes: ["float32", "float64", "int64"],
    ...notDifferentiable,
  },
  logicalNot: one(-2, 2, { dtypes: ["float32", "int64", "bool"], ...notDifferentiable }),
  logicalAnd: tensorsOnly(condition),
  logicalOr: tensorsOnly(condition),
  logicalXor: tensorsOnly(condition),
  bitwiseNot: one(0, 7, { dtypes: [...INTS], grad: "of integers" }),
  bitwiseAnd: bits,
  bitwiseOr: bits,
  bitwiseXor: bits,
  bitwiseLeftShift: shifts,
  bitwiseRightShift: shifts,
  where: {
    cases: [
      { args: [t([4, 5], { dtype: "bool" }), t([4, 5]), t([4, 5])] },
      { args: [t([4, 1], { dtype: "bool" }), t([5]), t([3, 1, 1])] },
      { args: [t([4, 5], { dtype: "bool" }), t([4, 5]), 0] },
      { args: [t([4, 5], { dtype: "bool" }), float(1), t([4, 5])], dtypes: [...FLOATS] },
    ],
  },
  maskedFill: {
    cases: [
      { args: [t([4, 5]), t([4, 5], { dtype: "bool" }), 7] },
      { args: [t([4, 5]), t([5], { dtype: "bool" }), t([])] },
    ],
  },
};
