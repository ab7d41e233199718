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
  det,
  eigh,
  eigvalsh,
  householderProduct,
  inv,
  invEx,
  type LeastSquares,
  linalgCross as cross,
  linalgDiagonal as diagonal,
  lstsq,
  lu,
  luFactor,
  luFactorEx,
  luSolve,
  type LuSolveOptions,
  matrixExp,
  matrixPower,
  matrixRank,
  matrixSqrth,
  multiDot,
  pinv,
  polar,
  qr,
  slogdet,
  solve,
  solveEx,
  solveTriangular,
  type SolveTriangularOptions,
  svd,
  svdvals,
  tensorinv,
  tensorsolve,
  type ToleranceOptions,
  type TriangleChoice,
  vander,
  vecdot,
} from "./ops/linalg.ts";
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
