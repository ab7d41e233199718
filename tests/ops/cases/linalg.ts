/**
 * Cases of factorisations and what is made of them. Vectors of eigh and svd are unique up to their sign only, so PyTorch is
 * asked for the values; the vectors are checked in linalg_test.ts.
 */
import { type Entry, t } from "../spec.ts";

const own = { copies: "the kernels take matrices without gaps" };
const precise = { dtypes: ["float32", "float64"] as const };
const all = { ...own, ...precise };
const symmetric = "reads one triangle, so that its gradient is not that of single elements";
const gauge = "vectors have a sign that is free";
/** Well away from singular. */
const square = t([2, 3, 3], {
  values: [4, 1, -1, 0.5, 3, 1, -1, 0.3, 2, 3, 1, 0.2, -0.7, 4, 1, 0.5, -1, 2.5],
});
const positive = t([2, 3, 3], {
  values: [4, 1, -1, 1, 3, 0.5, -1, 0.5, 5, 3, 0.4, 0.2, 0.4, 2, -0.3, 0.2, -0.3, 1.5],
});
const lower = t([3, 3], { values: [2, 0, 0, 0.5, 1.5, 0, -1, 0.3, 2] });
const upper = t([3, 3], { values: [2, 0.5, -1, 0, 1.5, 0.3, 0, 0, 2] });
const tall = t([2, 4, 3], { low: -2, high: 2 });
const right = t([2, 3, 2]);
const pivots = t([3], { dtype: "int32", values: [1, 2, 3] });

const of = (...calls: unknown[][]): Entry => ({ cases: calls.map((args) => ({ args })), ...all });
const withoutPytorch = (why: string, ...calls: unknown[][]): Entry => ({
  cases: calls.map((args) => ({ args, withoutPytorch: why })),
  ...all,
});

export const linalgCases: Record<string, Entry> = {
  svdLowrank: {
    cases: [{ args: [t([6, 5]), 3] }, { args: [t([2, 4, 6]), 2, 1, { M: t([2, 1, 6]) }] }],
    dtypes: ["float32", "float64"],
    random: "the projection is drawn",
    grad: "the projection is drawn",
    strided: "a stretched matrix has no full rank: its last singular vectors are anybody's",
  },
  pcaLowrank: {
    cases: [{ args: [t([6, 5]), 3] }, { args: [t([4, 6]), { center: false }] }],
    dtypes: ["float32", "float64"],
    random: "the projection is drawn",
    grad: "the projection is drawn",
    strided: "a stretched matrix has no full rank: its last singular vectors are anybody's",
  },
  det: of([square]),
  logdet: of([positive]),
  slogdet: of([square]),
  inverse: of([square]),
  pinverse: { ...of([tall]), grad2: "slow" },
  matrixPower: of([square, 3], [square, -2], [square, 0]),
  matrixExp: { ...of([t([2, 3, 3])]), grad2: "slow" },
  choleskyInverse: { ...of([lower], [upper, { upper: true }]), grad: symmetric },
  choleskySolve: { ...of([t([3, 2]), lower]), grad: symmetric },
  svd: { ...withoutPytorch(gauge, [square]), grad: gauge, strided: gauge },
  geqrf: { ...of([tall]), grad: "PyTorch has none" },
  orgqr: { ...of([tall, t([2, 3], { low: 0.2, high: 1 })]), grad2: "slow" },
  ormqr: {
    ...of([tall, t([2, 3], { low: 0.2, high: 1 }), t([2, 4, 2])]),
    grad: "goes to the last factor only",
  },
  lu: of([square]),
  luSolve: { ...of([t([3, 2]), upper, pivots]), grad2: "slow" },
  luUnpack: of([square, t([2, 3], { dtype: "int32", values: [2, 2, 3, 1, 3, 3] })]),
  triangularSolve: of([t([3, 2]), upper], [t([3, 2]), lower, { upper: false, transpose: true }]),
  "linalg.cholesky": { ...of([positive], [positive, { upper: true }]), grad: symmetric },
  "linalg.choleskyEx": { ...of([positive]), grad: symmetric },
  "linalg.cond": { ...of([square], [square, 1], [square, "fro"]), grad2: "slow" },
  "linalg.cross": {
    cases: [{ args: [t([4, 3]), t([4, 3])] }],
    dtypes: ["float32", "float64", "int64"],
    copies: "rolls its operands",
  },
  "linalg.diagonal": { cases: [{ args: [t([2, 3, 4])] }, { args: [t([2, 3, 4]), { offset: 1 }] }] },
  "linalg.eigh": { ...withoutPytorch(gauge, [positive]), grad: symmetric, strided: gauge },
  "linalg.eigvalsh": { ...of([positive]), grad: symmetric },
  "linalg.householderProduct": {
    ...of([tall, t([2, 3], { low: 0.2, high: 1 })]),
    grad2: "slow",
  },
  "linalg.inv": of([square]),
  "linalg.invEx": of([square]),
  "linalg.lstsq": { ...of([tall, t([2, 4, 2])]), grad2: "slow" },
  "linalg.lu": of([square], [tall]),
  "linalg.luFactor": of([square], [t([2, 2, 4])]),
  "linalg.luFactorEx": of([square]),
  "linalg.luSolve": of([upper, pivots, t([3, 2])]),
  "linalg.matrixNorm": {
    ...of([tall], [tall, { ord: "nuc" }], [tall, { ord: 1 }], [tall, { ord: -2 }], [tall, {
      ord: Infinity,
      keepdim: true,
    }]),
    grad2: "slow",
  },
  "linalg.matrixRank": {
    ...of([tall], [t([3, 3], { values: [1, 2, 3, 2, 4, 6, 1, 0, 1] })]),
    grad: "counts",
  },
  "linalg.matrixSqrth": { ...of([positive]), grad2: "slow" },
  "linalg.multiDot": of([[t([3, 4]), t([4, 2]), t([2, 5])]], [[t([4]), t([4, 2]), t([2])]]),
  "linalg.norm": { ...of([tall], [t([5]), 3], [t([3, 4]), "fro"], [t([3, 4]), 2]), grad2: "slow" },
  "linalg.pinv": { ...of([tall]), grad2: "slow" },
  "linalg.polar": { ...of([tall]), grad2: "slow" },
  "linalg.qr": of([tall], [square, { mode: "complete" }]),
  "linalg.solve": of([square, right], [square, t([2, 3])], [square, t([2, 2, 3]), { left: false }]),
  "linalg.solveEx": of([square, right]),
  "linalg.solveTriangular": of(
    [upper, t([3, 2]), { upper: true }],
    [lower, t([2, 3]), { upper: false, left: false }],
    [lower, t([2, 3, 2]), { upper: false, unitriangular: true }],
  ),
  "linalg.svd": {
    ...withoutPytorch(gauge, [tall, { fullMatrices: false }]),
    grad: gauge,
    strided: gauge,
  },
  "linalg.svdvals": { ...of([tall], [square]), grad2: "slow" },
  "linalg.tensorinv": {
    strided: "stretched it is singular",
    ...of([
      t([4, 2, 2], { values: [4, 1, -1, 0, 0.5, 3, 1, 0, -1, 0.3, 2, 1, 0, 0, 1, 2] }),
      1,
    ]),
  },
  "linalg.tensorsolve": {
    strided: "stretched it is singular",
    ...of([
      t([2, 2, 4], { values: [4, 1, -1, 0, 0.5, 3, 1, 0, -1, 0.3, 2, 1, 0, 0, 1, 2] }),
      t([2, 2]),
    ]),
  },
  "linalg.vander": { cases: [{ args: [t([4])] }, { args: [t([2, 3]), { N: 4 }] }], grad2: "slow" },
  "linalg.vecdot": {
    cases: [{ args: [t([3, 4]), t([3, 4])] }, { args: [t([3, 4]), t([4]), { dim: -1 }] }],
    dtypes: ["float32", "float64", "bfloat16", "float16"],
  },
};
