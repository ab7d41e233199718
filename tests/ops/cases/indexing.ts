/** Cases of indexing by tensors, of scattering and of masks. */
import { type Entry, t } from "../spec.ts";

const one = (...args: unknown[]) => ({ args });
const index = (values: number[], shape: number[] = [values.length]) =>
  t(shape, { dtype: "int64", values });
const mask = (values: number[], shape: number[] = [values.length]) =>
  t(shape, { dtype: "bool", values });
const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const ALL = [...FLOATS, "int64", "int32", "uint8", "bool"] as const;

const written = [
  one(t([4, 3]), 0, index([2, 0]), t([2, 3])),
  one(t([2, 3, 4]), 1, index([0, 2]), t([2, 2, 4])),
  one(t([3]), 0, index([1]), t([1])),
];
const added = [...written, one(t([4, 3]), 0, index([1, 1, 3]), t([3, 3]))];
const filled = [one(t([4, 3]), 0, index([2, -1]), 1.5), one(t([4, 3]), 1, index([0, 2]), t([]))];
const put = [
  one(t([4, 3]), [index([0, 2])], t([2, 3])),
  one(t([4, 3]), [index([0, -1]), index([1, 1])], t([2])),
  one(t([4, 3]), [mask([1, 0, 1, 0])], t([3])),
  {
    args: [t([2, 4, 3]), [null, index([1, 1, 2])], t([2, 3, 3]), { accumulate: true }],
    withoutPytorch: "its function takes no None",
  },
  one(t([4, 3]), [index([1, 1, 1]), index([0, 0, 2])], t([3]), { accumulate: true }),
];
const scattered = [
  one(t([3, 4]), 1, index([0, 2, 3, 1, 2, 0], [3, 2]), t([3, 2])),
  one(t([3, 4]), 0, index([2, 1, 0, 0], [1, 4]), t([2, 4])),
  one(t([5]), 0, index([4, 1]), t([2])),
];
const meeting = [
  ...scattered,
  one(t([3, 4]), 0, index([0, 1, 2, 0, 0, 1, 0, 2, 0], [3, 3]), t([3, 3])),
  one(t([4]), 0, index([1, 1, 1, 3, 1]), t([5])),
];
const reduced = (["sum", "prod", "mean", "amax", "amin"] as const).flatMap((mode) => [
  one(t([3, 4]), 1, index([0, 2, 0, 1, 2, 2], [3, 2]), t([3, 2]), mode),
  one(t([4]), 0, index([1, 1, 3]), t([3]), mode, { includeSelf: false }),
]);

export const indexingCases: Record<string, Entry> = {
  indexSelect: {
    cases: [
      one(t([4, 3]), 0, index([2, 0, 2])),
      one(t([2, 3, 4]), 1, index([1])),
      one(t([2, 5]), -1, index([4, 4, 0])),
      one(t([300, 65]), 0, index([7, 299, 7, 0])),
      one(t([3, 2]), 0, index([])),
    ],
    dtypes: ALL,
  },
  indexAdd: {
    cases: [...added, one(t([4]), 0, index([0, 0]), t([2]), { alpha: 2 })],
    dtypes: [...FLOATS, "int64"],
  },
  indexAdd_: { cases: added, dtypes: [...FLOATS, "int64"] },
  indexCopy: { cases: written },
  indexCopy_: { cases: written },
  indexFill: { cases: filled, dtypes: FLOATS },
  indexFill_: { cases: filled, dtypes: FLOATS },
  indexPut: { cases: put },
  indexPut_: { cases: put },
  gather: {
    cases: [
      one(t([3, 4]), 1, index([0, 3, 3, 1, 2, 0], [3, 2])),
      one(t([3, 4]), 0, index([2, 1, 0, 2], [1, 4])),
      one(t([2, 3, 4]), -2, index([0, 2, 1, 1, 0, 0], [1, 2, 3])),
      one(t([5]), 0, index([4, 4, 1])),
    ],
    dtypes: ALL,
  },
  scatter: {
    cases: [
      ...scattered,
      one(t([3, 4]), 1, index([0, 2, 3, 1, 2, 0], [3, 2]), 2.5),
    ],
    dtypes: FLOATS,
  },
  scatter_: { cases: scattered },
  scatterAdd: { cases: meeting },
  scatterAdd_: { cases: meeting },
  scatterReduce: { cases: reduced, dtypes: FLOATS, grad2: "counts of ties are constants" },
  scatterReduce_: { cases: reduced, dtypes: FLOATS, grad2: "counts of ties are constants" },
  take: { cases: [one(t([3, 4]), index([0, 11, -1, 3], [2, 2])), one(t([4]), index([1, 1]))] },
  takeAlongDim: {
    cases: [
      one(t([3, 4]), index([2, 0, 1], [1, 3]), 1),
      one(t([1, 4]), index([2, 0, 1], [3, 1]), 1),
      one(t([3, 4]), index([5, 0])),
    ],
    copies: "flattens where no dim is given",
  },
  nonzero: {
    cases: [
      one(t([2, 3], { values: [0, 1, 2, 0, 0, 3] })),
      one(t([3], { values: [0, 0, 0] })),
      one(t([2, 2], { values: [0, 1, 1, 0] }), { asTuple: true }),
    ],
    dtypes: ALL,
    grad: "gives indices",
  },
  argwhere: { cases: [one(t([2, 3], { values: [0, 1, 2, 0, 0, 3] }))], grad: "gives indices" },
  maskedSelect: {
    cases: [one(t([2, 3]), mask([1, 0, 1, 1, 0, 0], [2, 3])), one(t([2, 3]), mask([0, 1, 1]))],
    dtypes: ALL,
  },
  maskedScatter: {
    cases: [
      one(t([2, 3]), mask([1, 0, 1, 1, 0, 0], [2, 3]), t([3])),
      one(t([2, 3]), mask([0, 1, 1]), t([6])),
    ],
  },
  maskedScatter_: { cases: [one(t([2, 3]), mask([1, 0, 1, 1, 0, 0], [2, 3]), t([4]))] },
  repeatInterleave: {
    cases: [
      one(t([2, 3]), 2),
      one(t([2, 3]), 2, 1),
      one(t([3, 2]), index([1, 0, 3]), 0),
      one(t([2, 2]), 0, 0),
    ],
    copies: "flattens where no dim is given",
  },
  bincount: {
    cases: [one(t([6], { low: 0, high: 5 })), one(t([6], { low: 0, high: 5 }), { minlength: 9 })],
    dtypes: ["int64", "int32"],
    grad: "counts",
  },
  histc: {
    cases: [one(t([40]), 5, -2, { max: 2 }), one(t([4, 5]), 4)],
    dtypes: ["float32", "float64"],
    grad: "counts",
    copies: "reads the values for their own range",
  },
};
