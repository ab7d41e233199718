/** Cases of tensors made of values and patterns. */
import { float } from "../../../src/dtype.ts";
import { type Entry, t } from "../spec.ts";

/** Ops that take no tensor have nothing to differentiate or to lay out. */
function made(...args: unknown[][]): Entry {
  return { cases: args.map((a) => ({ args: a })), grad: "makes a leaf", dtypes: ["float32"] };
}

const like = {
  cases: [{ args: [t([4, 5])] }, { args: [t([3]), { dtype: "int64" }] }],
  grad: "does not read its input's values",
} satisfies Entry;

export const creationCases: Record<string, Entry> = {
  tensor: made([[[1, 2], [3, 4]]], [[1, 2], { dtype: "float64" }], [[true, false]], [2.5]),
  zeros: made([[2, 3]], [[0]], [[2], { dtype: "int64" }]),
  ones: made([[2, 3]], [[2], { dtype: "bool" }]),
  empty: { ...made([[2, 3]]), random: "its elements are undefined" },
  full: made([[2, 3], float(1.5)], [[2], true], [[2], 3n]),
  zerosLike: like,
  onesLike: like,
  emptyLike: { ...like, random: "its elements are undefined" },
  fullLike: {
    cases: [{ args: [t([4, 5]), 3] }],
    grad: "does not read its input's values",
  },
  arange: made([5], [2, 8], [2, 8, 3], [8, 2, -2], [0, 1, 0.25], [5, { dtype: "float64" }]),
  linspace: made([0, 1, 5], [3, -2, 7], [0, 1, 1], [0, 1, 0]),
  logspace: made([0, 2, 5], [0, 3, 4, { base: 2 }], [-1, 1, 3]),
  eye: made([3], [2, 4], [4, 2], [2, { dtype: "int64" }]),
  tril: {
    cases: [{ args: [t([4, 5])] }, { args: [t([2, 3, 4]), { diagonal: 1 }] }, {
      args: [t([4, 4]), { diagonal: -2 }],
    }],
  },
  triu: {
    cases: [{ args: [t([4, 5])] }, { args: [t([2, 3, 4]), { diagonal: 1 }] }, {
      args: [t([4, 4]), { diagonal: -2 }],
    }],
  },
  oneHot: {
    cases: [
      { args: [t([2, 3], { dtype: "int64", low: 0, high: 4 }), 5] },
      { args: [t([4], { dtype: "int64", values: [0, 2, 1, 2] })] },
    ],
    dtypes: ["int64"],
    grad: "of integers",
    copies: "without a count the greatest class is looked up",
    torch: "torch.nn.functional.one_hot",
  },
};
