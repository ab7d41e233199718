/** Cases of random ops; their values follow no other implementation's, their distributions are in random_test.ts. */
import { type Entry, t } from "../spec.ts";

const random = "draws from a generator of its own";
const noGrad = "random";

/** Ops that take no tensor. */
function drawn(...args: unknown[][]): Entry {
  return { cases: args.map((a) => ({ args: a })), dtypes: ["float32"], grad: noGrad, random };
}

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;

/** A form of dropout, in training and outside. */
function forms(name: string, x: ReturnType<typeof t>): Entry {
  return {
    cases: [{ args: [x, 0.3, { training: true }] }, { args: [x, { training: false }] }],
    dtypes: [...FLOATS],
    grad: "each call draws another stream; random_test.ts checks it",
    random,
    torch: `torch.nn.functional.${name}`,
  };
}

export const randomCases: Record<string, Entry> = {
  rand: drawn([[2, 3]], [[4], { dtype: "bfloat16" }]),
  randn: drawn([[2, 3]], [[4], { dtype: "float64" }]),
  randLike: { cases: [{ args: [t([4, 5])] }], dtypes: [...FLOATS], grad: noGrad, random },
  randnLike: { cases: [{ args: [t([4, 5])] }], dtypes: [...FLOATS], grad: noGrad, random },
  randint: drawn([10, [2, 3]], [5, 10, [4]]),
  randintLike: { cases: [{ args: [t([4, 5]), 0, 9] }], grad: noGrad, random },
  randperm: drawn([10], [0]),
  normal: {
    cases: [
      { args: [t([4, 5]), 2] },
      { args: [0, t([4, 5], { low: 0.5 })] },
      { args: [t([4, 1]), t([5], { low: 0.5 })] },
      { args: [1, 2, [3, 4]] },
    ],
    dtypes: [...FLOATS],
    grad: noGrad,
    random,
  },
  bernoulli: {
    cases: [{ args: [t([4, 5], { low: 0, high: 1 })] }, { args: [t([4, 5]), 0.3] }],
    dtypes: [...FLOATS],
    grad: noGrad,
    random,
  },
  multinomial: {
    cases: [
      { args: [t([5], { low: 0.1, high: 1 }), 3] },
      { args: [t([3, 5], { low: 0.1, high: 1 }), 8, { replacement: true }] },
    ],
    dtypes: [...FLOATS],
    grad: noGrad,
    random,
  },
  dropout: forms("dropout", t([4, 5])),
  dropout1d: forms("dropout1d", t([4, 5, 6])),
  dropout2d: forms("dropout2d", t([4, 5, 6, 2])),
  dropout3d: forms("dropout3d", t([4, 5, 6, 2])),
  alphaDropout: forms("alpha_dropout", t([4, 5])),
  featureAlphaDropout: forms("feature_alpha_dropout", t([4, 5, 6])),
  rrelu: {
    cases: [{ args: [t([4, 5]), 0.1, 0.3, { training: true }] }, { args: [t([4, 5])] }],
    dtypes: [...FLOATS],
    grad: "each call draws other slopes; random_test.ts checks it",
    random,
    torch: "torch.nn.functional.rrelu",
  },
  gumbelSoftmax: {
    cases: [{ args: [t([4, 5])] }, { args: [t([4, 5]), 0.5, { hard: true, dim: 0 }] }],
    dtypes: [...FLOATS],
    grad: "each call draws other noise; random_test.ts checks it",
    random,
    torch: "torch.nn.functional.gumbel_softmax",
  },
};
