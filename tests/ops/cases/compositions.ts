/** Cases of ops made of others: products, differences, lists of tensors, windows written, histograms. */
import { type Entry, t } from "../spec.ts";

const made = { copies: "made of ops that take some operands dense" };
const floats = ["float32", "float64"] as const;
const NUMBERS = ["float32", "float64", "int64"] as const;
const of = (...calls: unknown[][]): Entry => ({ cases: calls.map((args) => ({ args })), ...made });

/** The in-place form of an entry, for floats. */
const inPlace = (entry: Entry, torch: string): Entry => ({
  ...entry,
  dtypes: floats,
  torch: `torch.Tensor.${torch}`,
});

const addmv = of([t([3]), t([3, 4]), t([4])], [t([3]), t([3, 4]), t([4]), { beta: 2, alpha: 3 }]);
const addr = of([t([3, 4]), t([3]), t([4])], [t([3, 4]), t([3]), t([4]), { beta: 2, alpha: 3 }]);
const addbmm = of([t([3, 5]), t([2, 3, 4]), t([2, 4, 5]), { beta: 2 }]);
const renorm = of([t([3, 4]), 2, 0, 1.5], [t([3, 4]), 1, 1, 1]);
const index = t([3], { dtype: "int64", values: [2, 0, 2] });
const indexReduce = of([t([4, 3]), 0, index, t([3, 3]), "mean"], [
  t([4, 3]),
  0,
  index,
  t([3, 3]),
  "amax",
  { includeSelf: false },
]);
const put = of([t([3, 4]), t([3], { dtype: "int64", values: [1, -2, 7] }), t([3])]);

export const compositionCases: Record<string, Entry> = {
  addmv,
  addmv_: inPlace(addmv, "addmv_"),
  addr: { ...addr, dtypes: NUMBERS },
  addr_: inPlace(addr, "addr_"),
  addbmm,
  addbmm_: inPlace(addbmm, "addbmm_"),
  addmm_: inPlace(of([t([3, 5]), t([3, 4]), t([4, 5])]), "addmm_"),
  baddbmm_: inPlace(of([t([2, 3, 5]), t([2, 3, 4]), t([2, 4, 5])]), "baddbmm_"),
  vdot: of([t([4]), t([4])]),
  inner: of([t([2, 3, 4]), t([5, 4])], [t([]), t([3])]),
  tensordot: of([t([2, 3, 4]), t([3, 4, 5])], [t([2, 3, 4]), t([4, 2]), [[0, 2], [1, 0]]]),
  kron: of([t([2, 3]), t([3, 2])], [t([4]), t([2, 2])]),
  chainMatmul: {
    cases: [{ args: [[t([3, 4]), t([4, 2]), t([2, 5])]], withoutPytorch: "takes them one by one" }],
    ...made,
    dtypes: floats,
  },
  cross: of([t([4, 3]), t([4, 3])], [t([3, 2]), t([3, 2]), { dim: 0 }]),
  trace: of([t([3, 4])]),
  diff: of([t([3, 5])], [t([3, 5]), 2, 0], [t([5]), { prepend: t([2]), append: t([1]) }]),
  gradient: {
    cases: [
      { args: [t([4, 5])] },
      { args: [t([4, 5]), { dim: 1, edgeOrder: 2 }] },
      { args: [t([4]), { spacing: [t([4], { values: [0, 1, 2.5, 3], grad: false })] }] },
    ],
    ...made,
    dtypes: floats,
  },
  trapezoid: of([t([3, 5])], [t([3, 5]), { dx: 0.5, dim: 0 }], [t([3, 5]), t([5])]),
  trapz: of([t([3, 5])]),
  cumulativeTrapezoid: of([t([3, 5])]),
  dist: { ...of([t([3, 4]), t([3, 4])], [t([3, 4]), t([4]), 1]), dtypes: floats },
  cdist: {
    ...of([t([2, 3, 4]), t([2, 5, 4])], [t([3, 4]), t([30, 4])], [t([3, 4]), t([2, 4]), 1]),
    dtypes: floats,
    grad2: "slow",
  },
  pdist: { ...of([t([4, 3])], [t([4, 3]), 1]), dtypes: floats, torch: "torch.nn.functional.pdist" },
  renorm: { ...renorm, dtypes: floats, grad2: "has a kink" },
  renorm_: { ...inPlace(renorm, "renorm_"), grad2: "has a kink" },
  cov: {
    ...of([t([3, 5])], [t([5])], [t([3, 4]), {
      fweights: t([4], { dtype: "int64", values: [1, 2, 1, 3] }),
    }]),
    dtypes: floats,
  },
  corrcoef: { ...of([t([3, 5])]), dtypes: floats, grad2: "slow" },
  atleast1d: { cases: [{ args: [t([])] }, { args: [t([2, 3])] }], torch: "torch.atleast_1d" },
  atleast2d: { cases: [{ args: [t([])] }, { args: [t([3])] }], torch: "torch.atleast_2d" },
  atleast3d: { cases: [{ args: [t([3])] }, { args: [t([2, 3])] }], torch: "torch.atleast_3d" },
  broadcastShapes: {
    cases: [{ args: [[[2, 1], [3]]], withoutPytorch: "takes them one by one" }],
    grad: "gives a shape",
  },
  broadcastTensors: {
    cases: [{ args: [[t([2, 1]), t([3])]], withoutPytorch: "takes them one by one" }],
  },
  columnStack: of([[t([3]), t([3, 2])]]),
  combinations: of([t([4])], [t([3]), 3, { withReplacement: true }]),
  unravelIndex: {
    cases: [{ args: [t([4], { dtype: "int64", values: [0, 5, 7, 11] }), [3, 4]] }],
    grad: "of integers",
  },
  asStridedCopy: { ...of([t([12]), [2, 3], [3, 1]]), strided: "sees the storage" },
  diagonalCopy: of([t([3, 4])]),
  expandCopy: of([t([3, 1]), [3, 4]]),
  narrowCopy: of([t([3, 4]), 1, 1, 2]),
  permuteCopy: of([t([2, 3, 4]), [2, 0, 1]]),
  selectCopy: of([t([3, 4]), 0, 1]),
  splitCopy: of([t([5, 4]), 2]),
  squeezeCopy: of([t([2, 1, 3])]),
  tCopy: of([t([2, 3])]),
  transposeCopy: of([t([2, 3, 4]), 0, 2]),
  unbindCopy: of([t([3, 4])]),
  unfoldCopy: { ...of([t([7]), 0, 3, 2]), torch: "torch.unfold_copy" },
  unsqueezeCopy: of([t([3]), 0]),
  viewCopy: {
    ...of([t([3, 4]), [2, 6]]),
    strided: "takes only strides that the new shape can have",
  },
  selectScatter: of([t([3, 4]), t([4]), 0, 1]),
  sliceScatter: of([t([5, 4]), t([2, 4]), 0, 1, { end: 5, step: 2 }]),
  diagonalScatter: of([t([3, 3]), t([3])]),
  asStridedScatter: { ...of([t([12]), t([2, 3]), [2, 3], [3, 1]]), strided: "sees the storage" },
  put: { ...put, dtypes: NUMBERS },
  put_: inPlace(put, "put_"),
  indexReduce: { ...indexReduce, dtypes: floats, grad2: "slow" },
  indexReduce_: { ...inPlace(indexReduce, "index_reduce_"), grad2: "slow" },
  nonzeroStatic: {
    cases: [{ args: [t([3, 4], { low: 0, high: 1 }), { size: 5 }] }],
    dtypes: ["int64", "bool"],
    grad: "gives places",
  },
  histogram: {
    ...of([t([20]), 5], [t([20]), 4, { range: [-1, 1], density: true }]),
    dtypes: floats,
    grad: "counts",
  },
  histogramdd: {
    ...of([t([20, 2]), [3, 4]]),
    dtypes: floats,
    grad: "counts",
  },
  splitWithSizes: of([t([5, 4]), [2, 3]]),
  splitWithSizesCopy: of([t([5, 4]), [2, 3]]),
  unsafeSplit: of([t([5, 4]), 2]),
  unsafeChunk: of([t([5, 4]), 2]),
  aliasCopy: of([t([3, 4])]),
  constantPadNd: of([t([3, 4]), [1, 2], 5]),
  diagflat: of([t([2, 2])], [t([3]), 1]),
  scalarTensor: {
    cases: [{ args: [2.5] }, { args: [3, { dtype: "int64" }] }],
    grad: "makes a tensor",
  },
  emptyPermuted: { cases: [{ args: [[2, 3], [1, 0]] }], random: "not set", grad: "not set" },
  emptyStrided: { cases: [{ args: [[2, 3], [1, 2]] }], random: "not set", grad: "not set" },
  asStrided_: {
    ...inPlace(of([t([3, 4]), [2, 3], [4, 1]], [t([3, 4]), [3, 3], [1, 2], 1]), "as_strided_"),
    strided: "its strides are those of the storage",
  },
  detach_: {
    cases: [{
      args: [t([3])],
      withoutPytorch: "it refuses views, and its in-place cases are some",
    }],
    grad: "that is what it is for",
  },
  resizeAs_: {
    cases: [{ args: [t([2, 3]), t([6])] }, { args: [t([2, 3]), t([2])] }],
    grad: "refuses tensors that want gradients",
    strided: "gives the elements as they lie in memory",
    torch: "torch.resize_as_",
  },
  tril_: inPlace(of([t([3, 4])]), "tril_"),
  triu_: inPlace(of([t([3, 4]), 1]), "triu_"),
  cumsum_: inPlace(of([t([3, 4]), 1]), "cumsum_"),
  cumprod_: inPlace(of([t([3, 4]), 1]), "cumprod_"),
  isTensor: { cases: [{ args: [t([2])] }, { args: [3] }], grad: "gives a condition" },
  isFloatingPoint: { cases: [{ args: [t([2])] }], grad: "gives a condition" },
  isSigned: { cases: [{ args: [t([2])] }], grad: "gives a condition" },
  isNonzero: { cases: [{ args: [t([1])] }], grad: "gives a condition" },
  isSameSize: { cases: [{ args: [t([2]), t([3])] }], grad: "gives a condition" },
  canCast: {
    cases: [{ args: ["float32", "int64"] }, { args: ["int64", "float16"] }],
    grad: "gives a condition",
  },
  promoteTypes: {
    cases: [{ args: ["int64", "float16"], withoutPytorch: "gives a dtype" }],
    grad: "gives a dtype",
  },
  resultType: {
    cases: [{ args: [t([2]), 2.5], withoutPytorch: "gives a dtype" }],
    dtypes: ["int64"],
    grad: "gives a dtype",
  },
  adjoint: of([t([2, 3, 4])]),
  detach: { cases: [{ args: [t([3])] }], grad: "that is what it is for", copies: "shares memory" },
  asTensor: { cases: [{ args: [t([3])] }], copies: "gives its input" },
  vander: of([t([4])], [t([3]), 5, { increasing: true }]),
  fillDiagonal_: inPlace(of([t([3, 4]), 2], [t([7, 2]), 1, { wrap: true }]), "fill_diagonal_"),
  nativeLayerNorm: {
    ...of([t([2, 3, 4]), [4], t([4]), null, 1e-5]),
    dtypes: floats,
    grad: "the statistics carry none",
  },
  nativeGroupNorm: {
    ...of([t([2, 4, 3]), t([4]), t([4]), 2, 4, 3, 2, 1e-5]),
    dtypes: floats,
    grad2: "slow",
  },
  nativeBatchNorm: {
    ...of([t([3, 4, 2]), t([4]), t([4]), null, null, true, 0.1, 1e-5]),
    dtypes: floats,
    grad: "the statistics carry none",
  },
};
