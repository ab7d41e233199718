/**
 * Linear algebra, as `torch.linalg` has it. Leading dims are a batch; factorisations take float32 and float64. Two parts
 * of PyTorch's are missing, because they give complex numbers: `eig` and `eigvals`.
 *
 * @module
 */
export {
  cholesky,
  choleskyEx,
  type CholeskyOptions,
  eigh,
  eigvalsh,
  householderProduct,
  lu,
  luFactor,
  luFactorEx,
  luSolve,
  type LuSolveOptions,
  qr,
  svd,
  svdvals,
  type TriangleChoice,
} from "./ops/decompositions.ts";
export {
  det,
  inv,
  invEx,
  slogdet,
  solve,
  solveEx,
  solveTriangular,
  type SolveTriangularOptions,
} from "./ops/linear_systems.ts";
export {
  type LeastSquares,
  lstsq,
  matrixRank,
  pinv,
  type ToleranceOptions,
} from "./ops/least_squares.ts";
export {
  linalgCross as cross,
  linalgDiagonal as diagonal,
  matrixExp,
  matrixPower,
  matrixSqrth,
  multiDot,
  polar,
  tensorinv,
  tensorsolve,
  vander,
  vecdot,
} from "./ops/matrix_functions.ts";
export {
  cond,
  linalgNorm as norm,
  type LinalgNormOptions,
  matrixNorm,
  type MatrixNormOptions,
  type MatrixOrder,
} from "./ops/matrix_norm.ts";
export { matmul, type Product } from "./ops/matmul.ts";
export { type Named } from "./ops/named.ts";
export { vectorNorm, type VectorNormOptions } from "./ops/moments.ts";
