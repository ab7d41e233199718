/** Cases of reductions, deviations, norms and extremes. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const ALL = [...FLOATS, "int64", "int32", "uint8", "bool"] as const;

const overDims = (options: object = {}) => [
  { args: [t([3, 4], options)] },
  { args: [t([3, 4], options), 1] },
  { args: [t([2, 3, 4], options), [0, 2], { keepdim: true }] },
  { args: [t([2, 40, 33], options), 1] },
  { args: [t([5, 70], options), -1, { keepdim: true }] },
];
const over = (options: object = {}) => [...overDims(options), { args: [t([], options)] }];

export const reductionCases: Record<string, Entry> = {
  sum: {
    cases: [...over(), { args: [t([0, 3]), 0] }, { args: [t([3, 5]), 0, { dtype: "float64" }] }],
    dtypes: ALL,
  },
  mean: { cases: over(), dtypes: FLOATS },
  nansum: {
    cases: [...over(), { args: [t([4], { values: [1, NaN, 2, 3] })], dtypes: FLOATS }],
    grad2: "the mask is a constant",
  },
  nanmean: { cases: over(), dtypes: FLOATS },
  prod: {
    cases: [
      { args: [t([3, 4])] },
      { args: [t([3, 4]), 1] },
      { args: [t([2, 3, 4]), 1, { keepdim: true }] },
      { args: [t([]), 0] },
    ],
    dtypes: ["float32", "float64", "int64"],
  },
  amax: { cases: over() },
  amin: { cases: over() },
  aminmax: { cases: [{ args: [t([3, 4])] }, { args: [t([3, 4]), { dim: 1, keepdim: true }] }] },
  any: { cases: over(), dtypes: ALL, grad: "a condition" },
  all: { cases: over(), dtypes: ALL, grad: "a condition" },
  countNonzero: {
    cases: [{ args: [t([3, 4])] }, { args: [t([2, 3, 4]), [0, 2]] }],
    grad: "a count",
  },
  max: {
    cases: [
      { args: [t([3, 4])] },
      { args: [t([3, 4]), 1] },
      { args: [t([2, 3, 40]), 0, { keepdim: true }] },
      { args: [t([3, 4]), t([4])] },
    ],
  },
  min: {
    cases: [
      { args: [t([3, 4])] },
      { args: [t([3, 4]), 1] },
      { args: [t([2, 3, 40]), 0, { keepdim: true }] },
      { args: [t([3, 4]), t([4])] },
    ],
  },
  argmax: {
    cases: [{ args: [t([3, 4])] }, { args: [t([3, 40]), 0] }, {
      args: [t([3, 40]), 1, { keepdim: true }],
    }],
    grad: "a place",
  },
  argmin: {
    cases: [{ args: [t([3, 4])] }, { args: [t([3, 40]), 0] }, {
      args: [t([3, 40]), 1, { keepdim: true }],
    }],
    grad: "a place",
  },
  std: {
    cases: [...overDims(), { args: [t([4, 5]), 1, { correction: 0 }] }],
    dtypes: FLOATS,
  },
  variance: {
    cases: [...overDims(), { args: [t([4, 5]), 1, { correction: 0 }] }],
    dtypes: FLOATS,
    torch: "torch.var",
  },
  var: { cases: [{ args: [t([3, 4])] }], dtypes: FLOATS },
  stdMean: {
    cases: [{ args: [t([3, 4])] }, { args: [t([3, 4]), 1, { keepdim: true }] }],
    dtypes: FLOATS,
  },
  varMean: {
    cases: [{ args: [t([3, 4])] }, { args: [t([3, 4]), 1, { keepdim: true }] }],
    dtypes: FLOATS,
  },
  norm: {
    cases: [
      { args: [t([3, 4])] },
      { args: [t([3, 4]), 1, 1] },
      { args: [t([3, 4]), 3, [0, 1]] },
      { args: [t([3, 40]), Infinity, 1, { keepdim: true }] },
      { args: [t([3, 40]), -Infinity, 0] },
    ],
    dtypes: FLOATS,
  },
  vectorNorm: {
    cases: [{ args: [t([3, 4])] }, { args: [t([3, 4]), 1, 1] }, { args: [t([3, 4]), 0.5] }],
    dtypes: FLOATS,
    torch: "torch.linalg.vector_norm",
  },
  logsumexp: {
    cases: [
      { args: [t([3, 4]), 1] },
      { args: [t([2, 3, 4]), [0, 2], { keepdim: true }] },
      { args: [t([40, 33]), 0] },
    ],
    dtypes: FLOATS,
  },
};
