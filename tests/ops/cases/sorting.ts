/** Cases of order, search and rearrangement. */
import { type Entry, t } from "../spec.ts";

const one = (...args: unknown[]) => ({ args });
const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const sorted = (values: number[], shape: number[] = [values.length]) => t(shape, { values });

export const sortingCases: Record<string, Entry> = {
  sort: {
    cases: [
      one(t([7])),
      one(t([3, 5]), 0),
      one(t([3, 5]), 1, { descending: true }),
      {
        args: [t([6], { values: [1, NaN, -1, Infinity, -Infinity, 0] })],
        dtypes: ["float32", "bfloat16", "float16"],
      },
      { args: [t([5], { values: [3, -1, 3, 0, 7] }), 0, { descending: true }], dtypes: ["int64"] },
      one(t([2, 1500])),
      one(t([])),
    ],
    dtypes: FLOATS,
  },
  argsort: {
    cases: [
      one(t([7])),
      one(t([3, 5]), 0),
      one(t([9], { values: [3, 1, 3, 1, 2, 2, 1, 3, 2] }), { stable: true }),
    ],
    dtypes: FLOATS,
    grad: "gives indices",
  },
  msort: { cases: [one(t([5, 3]))], dtypes: FLOATS },
  topk: {
    cases: [
      one(t([7]), 3),
      one(t([3, 5]), 2, 0),
      one(t([3, 9]), 4, 1, { largest: false }),
      one(t([2, 700]), 5),
      one(t([4]), 0),
    ],
    dtypes: FLOATS,
  },
  kthvalue: {
    cases: [one(t([7]), 3), one(t([3, 5]), 2, 0), one(t([3, 5]), 5, 1, { keepdim: true })],
    dtypes: FLOATS,
  },
  searchsorted: {
    cases: [
      one(sorted([-1, 0, 0, 1, 3]), t([2, 3])),
      one(sorted([-1, 0, 0, 1, 3]), sorted([0, 3, -2]), { right: true }),
      one(sorted([-1, 0, 1, -2, 0, 2], [2, 3]), t([2, 4])),
      one(sorted([-1, 0, 1]), sorted([0.5]), { outInt32: true, side: "right" }),
    ],
    dtypes: ["float32", "float64"],
    grad: "gives indices",
    strided: "the sequence must be sorted in every form",
  },
  bucketize: {
    cases: [
      one(t([2, 3]), sorted([-1, 0, 1])),
      one(sorted([0, 1]), sorted([-1, 0, 1]), { right: true }),
    ],
    dtypes: ["float32", "float64"],
    grad: "gives indices",
    strided: "the boundaries must be sorted in every form",
  },
  isin: {
    cases: [
      one(t([2, 3], { values: [1, 2, 3, 4, 5, 6] }), t([3], { values: [6, 2, 9] })),
      one(t([3], { values: [1, 2, 3] }), t([1], { values: [2] }), { invert: true }),
    ],
    dtypes: ["float32", "float64", "int64"],
    grad: "a condition",
    copies: "sorts what it searches in",
  },
  unique: {
    cases: [
      one(t([6], { values: [3, 1, 2, 1, 3, 1] })),
      one(t([2, 3], { values: [3, 1, 2, 1, 3, 1] }), { returnInverse: true, returnCounts: true }),
      one(t([3, 2], { values: [1, 2, 0, 5, 1, 2] }), { dim: 0, returnCounts: true }),
    ],
    dtypes: ["float32", "float64", "int64"],
    grad: "not differentiable, as in PyTorch",
    copies: "sorts a flat form",
  },
  uniqueConsecutive: {
    cases: [
      one(t([6], { values: [1, 1, 2, 2, 1, 3] })),
      one(t([6], { values: [1, 1, 2, 2, 1, 3] }), { returnInverse: true, returnCounts: true }),
    ],
    dtypes: ["float32", "float64", "int64"],
    grad: "not differentiable, as in PyTorch",
    copies: "numbers a flat form",
  },
  flip: { cases: [one(t([2, 3]), [0]), one(t([2, 3, 4]), [0, -1]), one(t([3]), [])] },
  fliplr: { cases: [one(t([2, 3]))] },
  flipud: { cases: [one(t([2, 3]))] },
  roll: {
    cases: [
      one(t([5]), 2),
      one(t([3, 4]), 1, 1),
      one(t([3, 4]), [1, -2], [0, 1]),
      one(t([3, 4]), 5),
    ],
    copies: "flattens where no dim is given",
  },
  rot90: {
    cases: [one(t([2, 3])), one(t([2, 3]), 2), one(t([2, 3, 2]), 3, [1, 2]), one(t([2, 2]), 4)],
  },
  repeat: {
    cases: [one(t([2, 3]), [2, 1]), one(t([3]), [2, 2]), one(t([2]), [0])],
    torch: "torch.Tensor.repeat",
  },
  tile: { cases: [one(t([2, 3]), [2]), one(t([3]), [2, 2])] },
  meshgrid: { cases: [one([t([2]), t([3])]), one([t([2]), t([3])], { indexing: "xy" })] },
  cartesianProd: { cases: [one([t([2]), t([3])]), one([t([2]), t([1]), t([2])])] },
  trilIndices: { cases: [one(3, 4), one(3, 4, -1)], dtypes: ["int64"], grad: "gives indices" },
  triuIndices: { cases: [one(3, 4), one(3, 4, 1)], dtypes: ["int64"], grad: "gives indices" },
};
