/**
 * Factorisations as PyTorch's `linalg` gives them: Cholesky, QR, SVD, eigenvalues, LU. All leading dims are a batch; types are
 * float32 and float64. The factors and their gradients come from factorizations.ts, PyTorch's older forms (`torch.svd`, …) are
 * in linalg_forms.ts.
 *
 * @module
 */
import { wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import {
  checkInfo,
  checkMatrix,
  checkPair,
  eigenvaluesOf,
  factorCholesky,
  factorEigh,
  factorLu,
  factorQr,
  factorSvd,
  lowerOf,
  mT,
  permutationOf,
  reflectors,
  singularValuesOf,
  upperOf,
} from "./factorizations.ts";
import { checkTensor } from "./map.ts";
import { matmul } from "./matmul.ts";
import { type Named, named } from "./named.ts";
import { eye, tril } from "./pattern.ts";
import { add, mul, sub } from "./pointwise.ts";
import { expand, unsqueeze } from "./view.ts";
import { narrow } from "./window.ts";
import { checkFits, leadOf, SINGULAR, solvePacked } from "./linear_systems.ts";

// ---- factorisations -----------------------------------------------------------------------------

const MINOR = (k: number) => `its leading minor of order ${k} is not positive`;

function choleskyOf(name: string, a: Tensor, upper: boolean): { l: Tensor; info: Tensor } {
  checkMatrix(name, a, true, "A");
  const { l, info } = factorCholesky(name, a, upper);
  return { l: upper ? mT(l) : l, info };
}

/** What Cholesky's factorisation takes by name. */
export interface CholeskyOptions {
  /** Give the upper factor U with A = Uᵀ U, of the upper triangle. */
  upper?: boolean;
}

/**
 * The lower factor L with A = L Lᵀ of symmetric positive definite matrices, of which the lower triangle is read.
 * Errors: ArgumentError where A is not positive definite.
 */
export const cholesky: (A: Tensor, options?: CholeskyOptions) => Tensor = op(
  "cholesky(A, upper=false)",
  (a: Tensor, upper: boolean) => {
    const { l, info } = choleskyOf("cholesky", a, upper);
    checkInfo("cholesky", info, MINOR);
    return l;
  },
);

/** `cholesky` with the order of the first minor that is not positive, 0 for none. */
export const choleskyEx: (
  A: Tensor,
  options?: CholeskyOptions & { checkErrors?: boolean },
) => Named<"L" | "info"> = op(
  "choleskyEx(A, upper=false, checkErrors=false)",
  (a: Tensor, upper: boolean, checkErrors: boolean) => {
    const { l, info } = choleskyOf("choleskyEx", a, upper);
    if (checkErrors) checkInfo("choleskyEx", info, MINOR);
    return named({ L: l, info });
  },
);

/** Q and R with A = Q R: `mode` is "reduced", "complete" or "r", which leaves Q empty. */
export const qr: (A: Tensor, mode?: { mode?: string }) => Named<"Q" | "R"> = op(
  "qr(A, mode='reduced')",
  (a: Tensor, mode: string) => {
    checkMatrix("qr", a, false, "A");
    if (!["reduced", "complete", "r"].includes(mode)) {
      throw new ArgumentError(
        `Cannot qr with mode ${show(mode)}: it is "reduced", "complete" or "r"`,
        { op: "qr" },
      );
    }
    const { q, r } = factorQr("qr", a, mode);
    return named({ Q: mode === "r" ? empty([0], a.info, a.storage.device) : q, R: r });
  },
);

/**
 * U, S and Vh with A = U diag(S) Vh, S descending. Shapes: A (…, M, N), K = min(M, N) → U (…, M, M), S (…, K),
 * Vh (…, N, N); with `fullMatrices: false` U (…, M, K), Vh (…, K, N). Vectors are unique up to their sign.
 */
export const svd: (
  A: Tensor,
  options?: { fullMatrices?: boolean; driver?: string | null },
) => Named<"U" | "S" | "Vh"> = op(
  "svd(A, fullMatrices=true, driver=null)",
  (a: Tensor, fullMatrices: boolean) => {
    checkMatrix("svd", a, false, "A");
    const { u, s, vh } = factorSvd("svd", a, fullMatrices);
    return named({ U: u, S: s, Vh: vh });
  },
);

/** The singular values, descending: (…, M, N) → (…, min(M, N)). */
export const svdvals: (A: Tensor, options?: { driver?: string | null }) => Tensor = op(
  "svdvals(A, driver=null)",
  (a: Tensor) => {
    checkMatrix("svdvals", a, false, "A");
    return singularValuesOf("svdvals", a);
  },
);

function readsUpper(name: string, uplo: unknown): boolean {
  const letter = typeof uplo === "string" ? uplo.toUpperCase() : "";
  if (letter !== "L" && letter !== "U") {
    throw new ArgumentError(`Cannot ${name} with UPLO ${show(uplo)}: it is "L" or "U"`, {
      op: name,
    });
  }
  return letter === "U";
}

/** Which triangle is read, "L" or "U". */
export interface TriangleChoice {
  /** "L" or "U". */
  UPLO?: string;
}

/** Ascending eigenvalues and eigenvectors (columns) of symmetric matrices, of which one triangle is read. */
export const eigh: (
  A: Tensor,
  options?: TriangleChoice,
) => Named<"eigenvalues" | "eigenvectors"> = op("eigh(A, UPLO='L')", (a: Tensor, uplo: string) => {
  checkMatrix("eigh", a, true, "A");
  const { values, vectors } = factorEigh("eigh", a, readsUpper("eigh", uplo));
  return named({ eigenvalues: values, eigenvectors: vectors });
});

/** The ascending eigenvalues of symmetric matrices. */
export const eigvalsh: (A: Tensor, options?: TriangleChoice) => Tensor = op(
  "eigvalsh(A, UPLO='L')",
  (a: Tensor, uplo: string) => {
    checkMatrix("eigvalsh", a, true, "A");
    return eigenvaluesOf("eigvalsh", a, readsUpper("eigvalsh", uplo));
  },
);

function checkPivot(name: string, a: Tensor, pivot: boolean): void {
  checkMatrix(name, a, false, "A");
  if (!pivot) {
    throw new ArgumentError(`Cannot ${name} without pivoting: rows are always exchanged here`, {
      op: name,
    });
  }
}

/** LU with row exchanges, packed: L below the diagonal, U on and above it, and the rows exchanged, from 1. */
export const luFactor: (A: Tensor, options?: { pivot?: boolean }) => Named<"LU" | "pivots"> = op(
  "luFactor(A, pivot=true)",
  (a: Tensor, pivot: boolean) => {
    checkPivot("luFactor", a, pivot);
    const { lu, pivots, info } = factorLu("luFactor", a);
    checkInfo("luFactor", info, SINGULAR);
    return named({ LU: lu, pivots });
  },
);

/** `luFactor` with the place of the first zero on U's diagonal. */
export const luFactorEx: (
  A: Tensor,
  options?: { pivot?: boolean; checkErrors?: boolean },
) => Named<"LU" | "pivots" | "info"> = op(
  "luFactorEx(A, pivot=true, checkErrors=false)",
  (a: Tensor, pivot: boolean, checkErrors: boolean) => {
    checkPivot("luFactorEx", a, pivot);
    const { lu, pivots, info } = factorLu("luFactorEx", a);
    if (checkErrors) checkInfo("luFactorEx", info, SINGULAR);
    return named({ LU: lu, pivots, info });
  },
);

/** P, L and U with A = P L U. */
export const lu: (A: Tensor, options?: { pivot?: boolean }) => Named<"P" | "L" | "U"> = op(
  "lu(A, pivot=true)",
  (a: Tensor, pivot: boolean) => {
    checkPivot("lu", a, pivot);
    const packed = factorLu("lu", a);
    return named({
      P: permutationOf(packed.pivots, a.shape[a.ndim - 2], a),
      L: lowerOf(packed.lu),
      U: upperOf(packed.lu),
    });
  },
);

/** What `luSolve` takes by name. */
export interface LuSolveOptions {
  /** Solve A X = B; when false X A = B. */
  left?: boolean;
  /** Solve with the transposed matrix. */
  adjoint?: boolean;
}

/** Solves a system whose matrix `luFactor` gave packed. */
export const luSolve: (
  LU: Tensor,
  pivots: Tensor,
  B: Tensor,
  options?: LuSolveOptions,
) => Tensor = op(
  "luSolve(LU, pivots, B, left=true, adjoint=false)",
  (packed: Tensor, pivots: Tensor, b: Tensor, left: boolean, adjoint: boolean) =>
    solveFactored("luSolve", packed, pivots, b, left, adjoint),
);

/** The solution of a system whose matrix is packed. */
export function solveFactored(
  name: string,
  packed: Tensor,
  pivots: Tensor,
  b: Tensor,
  left: boolean,
  adjoint: boolean,
): Tensor {
  checkTensor(name, packed, "LU");
  checkTensor(name, pivots, "pivots");
  checkMatrix(name, packed, true, "LU");
  checkPair(name, packed, b, "B");
  if (pivots.info !== DTYPES.int32) {
    throw new ArgumentError(`Cannot ${name} with pivots ${show(pivots)}: they are int32`, {
      op: name,
    });
  }
  if (!sameShape(pivots.shape, packed.shape.slice(0, -1))) {
    throw new ShapeError(
      `Cannot ${name} LU ${shapeText(packed.shape)} with pivots ${
        shapeText(pivots.shape)
      }: there must be one for each row`,
      { op: name },
    );
  }
  checkFits(name, packed, b, left);
  return left
    ? solvePacked(name, packed, pivots, b, adjoint)
    : mT(solvePacked(name, packed, pivots, mT(b), !adjoint));
}

/** The first columns of a product of Householder's reflectors: the columns of A below its diagonal, with factors tau. */
export const householderProduct: (A: Tensor, tau: Tensor) => Tensor = op(
  "householderProduct(A, tau)",
  (a: Tensor, tau: Tensor) => reflected("householderProduct", a, tau),
);

/** `householderProduct` under a name. */
export function reflected(name: string, a: Tensor, tau: Tensor): Tensor {
  checkMatrix(name, a);
  checkPair(name, a, tau, "tau");
  const [m, n] = a.shape.slice(-2), k = tau.shape[tau.ndim - 1];
  const fits = sameShape(tau.shape.slice(0, -1), leadOf(a)) && tau.ndim > 0;
  if (m < n || !fits || k > n) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(a.shape)} with tau ${
        shapeText(tau.shape)
      }: it needs at least as many rows as columns, and at most one factor a column`,
      { op: name },
    );
  }
  if (!wants(a, tau)) return reflectors(name, a, tau, n);
  // With gradients: one reflector after the other, in plain ops.
  let q = expand(eye(m, n, { dtype: a.dtype, device: a.device }), [...leadOf(a), m, n]);
  const vectors = add(
    tril(narrow(a, -1, 0, k), -1),
    eye(m, k, { dtype: a.dtype, device: a.device }),
  );
  for (let i = k - 1; i >= 0; i--) {
    const v = narrow(vectors, -1, i, 1), factor = unsqueeze(narrow(tau, -1, i, 1), -1);
    q = sub(q, mul(factor, matmul(v, matmul(mT(v), q))));
  }
  return q;
}
