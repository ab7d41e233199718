/**
 * Methods of Tensor for products of matrices and linear algebra. Each hands its arguments on to an op.
 *
 * @module
 */
import * as leastSquares from "../ops/least_squares.ts";
import * as forms from "../ops/linalg_forms.ts";
import * as systems from "../ops/linear_systems.ts";
import * as matmuls from "../ops/matmul.ts";
import * as matrixFunctions from "../ops/matrix_functions.ts";
import * as products from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor for products of matrices and linear algebra. */
export interface AlgebraMethods {
  /** The matrix product. */
  matmul(other: Tensor): Tensor;
  /** The product of two matrices. */
  mm(mat2: Tensor): Tensor;
  /** Products of a batch of matrices. */
  bmm(mat2: Tensor): Tensor;
  /** A matrix times a vector. */
  mv(vec: Tensor): Tensor;
  /** The inner product of two vectors. */
  dot(other: Tensor): Tensor;
  /** All products of elements of two vectors. */
  outer(vec2: Tensor): Tensor;
  /** `beta · this + alpha · (first · second)`. */
  addmm(
    first: Tensor,
    second: Tensor,
    beta?: number | matmuls.AddProductOptions,
    alpha?: number | matmuls.AddProductOptions,
    options?: matmuls.AddProductOptions,
  ): Tensor;
  /** `beta · this + alpha · (first · second)`. */
  baddbmm(
    first: Tensor,
    second: Tensor,
    beta?: number | matmuls.AddProductOptions,
    alpha?: number | matmuls.AddProductOptions,
    options?: matmuls.AddProductOptions,
  ): Tensor;
  /** `beta · this + alpha · Σ (batch1 · batch2)`: (B, M, K) by (B, K, N); this broadcasts to (M, N). */
  addbmm: Method<typeof products.addbmm>;
  /** `addbmm` in place. */
  addbmm_: Method<typeof products.addbmm_>;
  /** `addmm` in place. */
  addmm_: Method<typeof products.addmm_>;
  /** `beta · this + alpha · (mat · vec)`: (M, K) by (K); this broadcasts to (M). */
  addmv: Method<typeof products.addmv>;
  /** `addmv` in place. */
  addmv_: Method<typeof products.addmv_>;
  /** `beta · this + alpha · (vec1 ⊗ vec2)`: (M) and (N); this broadcasts to (M, N). */
  addr: Method<typeof products.addr>;
  /** `addr` in place. */
  addr_: Method<typeof products.addr_>;
  /** `baddbmm` in place. */
  baddbmm_: Method<typeof products.baddbmm_>;
  /** The cross product along a dim; without one along the first of size 3. */
  cross: Method<typeof products.cross>;
  /** Sums of products over the last dims: (…, K) and (---, K) give (…, ---); a 0-d operand is a factor. */
  inner: Method<typeof products.inner>;
  /** Kronecker's product: each element of this times all of other. */
  kron: Method<typeof products.kron>;
  /** The sum of a matrix's diagonal. */
  trace: Method<typeof products.trace>;
  /** The inner product of two vectors; `dot` for real numbers. */
  vdot: Method<typeof products.vdot>;
  /** The inverse of A = L Lᵀ, from its Cholesky factor. */
  choleskyInverse: Method<typeof forms.choleskyInverse>;
  /** X with A X = B, where L is the Cholesky factor of A. */
  choleskySolve: Method<typeof forms.choleskySolve>;
  /** R and Householder's vectors in one matrix, and the vectors' factors. */
  geqrf: Method<typeof forms.geqrf>;
  /** LU with row exchanges, packed: `[LU, pivots]`, with the codes where `getInfos` asks for them. */
  lu: Method<typeof forms.lu>;
  /** X with A X = B, where A is packed as `linalg.luFactor` gives it. */
  luSolve: Method<typeof forms.luSolve>;
  /** `linalg.householderProduct` under its older name. */
  orgqr: Method<typeof forms.orgqr>;
  /** A matrix times the Q of Householder's reflectors, which is never made smaller than square. */
  ormqr: Method<typeof forms.ormqr>;
  /** U, S and V with A = U diag(S) Vᵀ: `linalg.svd` with V itself, thin unless `some` is false. */
  svd: Method<typeof forms.svd>;
  /** The solution X of A X = B for a triangular A, and a copy of A. */
  triangularSolve: Method<typeof forms.triangularSolve>;
  /** The determinant of square matrices (…, N, N) → (…). */
  det: Method<typeof systems.det>;
  /** The inverse of square matrices, as `linalg.inv`. */
  inverse: Method<typeof systems.inverse>;
  /** The logarithm of the determinant; NaN where that is negative. */
  logdet: Method<typeof systems.logdet>;
  /** `e^A = Σ Aᵏ / k!` of square matrices: a Taylor polynomial of A / 2ˢ, squared s times. */
  matrixExp: Method<typeof matrixFunctions.matrixExp>;
  /** A square matrix to a whole power, by squaring; a negative one is that of the inverse. */
  matrixPower: Method<typeof matrixFunctions.matrixPower>;
  /** The pseudo-inverse with a relative bound. */
  pinverse: Method<typeof leastSquares.pinverse>;
  /** The sign and the logarithm of the absolute value of the determinant: `{ sign, logabsdet }`. */
  slogdet: Method<typeof systems.slogdet>;
}

const methods: Forwarded<AlgebraMethods> = {
  matmul: matmuls.matmul,
  mm: matmuls.mm,
  bmm: matmuls.bmm,
  mv: matmuls.mv,
  dot: matmuls.dot,
  outer: matmuls.outer,
  addmm: matmuls.addmm,
  baddbmm: matmuls.baddbmm,
  addbmm: products.addbmm,
  addbmm_: products.addbmm_,
  addmm_: products.addmm_,
  addmv: products.addmv,
  addmv_: products.addmv_,
  addr: products.addr,
  addr_: products.addr_,
  baddbmm_: products.baddbmm_,
  cross: products.cross,
  inner: products.inner,
  kron: products.kron,
  trace: products.trace,
  vdot: products.vdot,
  choleskyInverse: forms.choleskyInverse,
  choleskySolve: forms.choleskySolve,
  geqrf: forms.geqrf,
  lu: forms.lu,
  luSolve: forms.luSolve,
  orgqr: forms.orgqr,
  ormqr: forms.ormqr,
  svd: forms.svd,
  triangularSolve: forms.triangularSolve,
  det: systems.det,
  inverse: systems.inverse,
  logdet: systems.logdet,
  matrixExp: matrixFunctions.matrixExp,
  matrixPower: matrixFunctions.matrixPower,
  pinverse: leastSquares.pinverse,
  slogdet: systems.slogdet,
};

install(methods);
