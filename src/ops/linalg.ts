/**
 * Linear algebra made of factorisations: systems, inverses, determinants, powers, least squares. All leading dims are a
 * batch; types are float32 and float64. Norms of matrices are in matrix_norm.ts, PyTorch's older forms of the same
 * (`torch.qr`, `torch.svd`, …) in linalg_forms.ts.
 *
 * @module
 */
import { inMode, record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import {
  checkInfo,
  checkMatrix,
  checkPair,
  factorCholesky,
  factorEigh,
  factorLu,
  factorQr,
  factorSvd,
  lowerOf,
  mT,
  permutationOf,
  reflectors,
  solveTriangle,
  upperOf,
} from "./factorizations.ts";
import { eq, gt, lt, ne, where } from "./logic.ts";
import { cast, checkTensor, needs, type Operand, zerosOf } from "./map.ts";
import { matmul } from "./matmul.ts";
import { abs, log, reciprocal, sign, sqrt, square } from "./math.ts";
import { type Named, named } from "./named.ts";
import { arange, eye, tril } from "./pattern.ts";
import { add, maximum, mul, remainder, sub } from "./pointwise.ts";
import { chained, crossAlong } from "./products.ts";
import { amax, countNonzero, prod, sum } from "./reduction.ts";
import { stack } from "./joining.ts";
import { contiguous, expand, permute, reshape, squeeze, unsqueeze } from "./view.ts";
import { diagonal, narrow } from "./window.ts";
import { ones, tensor } from "./creation.ts";

const leadOf = (x: Tensor): number[] => x.shape.slice(0, -2);

/** Unit matrices of a batch. */
function unit(x: Tensor, n: number): Tensor {
  return expand(eye(n, { dtype: x.dtype }), [...leadOf(x), n, n]);
}

// ---- systems ------------------------------------------------------------------------------------

/** What `solveTriangular` takes by name. */
export interface SolveTriangularOptions {
  /** Whether A holds an upper triangle. */
  upper: boolean;
  /** Solve A X = B; when false X A = B. */
  left?: boolean;
  /** Take the diagonal as ones. */
  unitriangular?: boolean;
}

/** Solves systems of triangular matrices A (…, N, N) for B (…, N, K). The other triangle is not read. */
export const solveTriangular: (A: Tensor, B: Tensor, options: SolveTriangularOptions) => Tensor =
  op(
    "solveTriangular(A, B, upper=null, left=true, unitriangular=false)",
    (a: Tensor, b: Tensor, upper: boolean | null, left: boolean, unitriangular: boolean) => {
      checkMatrix("solveTriangular", a, true, "A");
      checkPair("solveTriangular", a, b, "B");
      if (upper === null) {
        throw new ArgumentError("Cannot solveTriangular: upper must be given", {
          op: "solveTriangular",
        });
      }
      checkFits("solveTriangular", a, b, left);
      const kind = { upper: left ? upper : !upper, unitriangular };
      return left
        ? solveTriangle("solveTriangular", a, b, kind)
        : mT(solveTriangle("solveTriangular", mT(a), mT(b), kind));
    },
  );

function checkFits(name: string, a: Tensor, b: Tensor, left: boolean): void {
  const n = a.shape[a.ndim - 1];
  if (b.ndim < 2 || b.shape[b.ndim - (left ? 2 : 1)] !== n) {
    throw new ShapeError(
      `Cannot ${name} A ${shapeText(a.shape)} with B ${shapeText(b.shape)}: it needs ${n} ${
        left ? "rows" : "columns"
      }`,
      { op: name },
    );
  }
  broadcastShapes(leadOf(a), leadOf(b), name);
}

/** X with P L U X = B, or with its transpose. */
function solvePacked(
  name: string,
  lu: Tensor,
  pivots: Tensor,
  b: Tensor,
  transposed: boolean,
): Tensor {
  const p = permutationOf(pivots, lu.shape[lu.ndim - 1], b);
  const low = { upper: false, unitriangular: true }, high = { upper: true, unitriangular: false };
  if (!transposed) {
    const y = solveTriangle(name, lu, matmul(mT(p), b), low);
    return solveTriangle(name, lu, y, high);
  }
  const y = solveTriangle(name, mT(lu), b, { ...high, upper: false });
  return matmul(p, solveTriangle(name, mT(lu), y, { ...low, upper: true }));
}

/** The solution of a square system, and the code of the factorisation. */
function solved(name: string, a: Tensor, b: Tensor): { x: Tensor; info: Tensor } {
  const { lu, pivots, info } = factorLu(name, a.detach());
  const x = inMode(false, () => solvePacked(name, lu, pivots, b.detach(), false));
  if (wants(a, b)) {
    record(name, [a, b], [x], ([g]) => {
      if (g === null) return [null, null];
      const gb = solved(name, mT(a), g).x;
      const ga = needs(a) ? sumLead(mul(matmul(gb, mT(x)), -1), a.shape) : null;
      return [ga, needs(b) ? sumLead(gb, b.shape) : null];
    }, [a, x]);
  }
  return { x, info };
}

function sumLead(g: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const extra = g.ndim - shape.length;
  const dims = g.shape.map((_, d) => d).filter((d) =>
    d < extra || (shape[d - extra] === 1 && g.shape[d] !== 1)
  );
  return reshape(sum(g, dims), shape);
}

const SINGULAR = (k: number) => `it is singular, U's element ${k} on the diagonal is 0`;

function solveOp(name: string, a: Tensor, b: Tensor, left: boolean): { x: Tensor; info: Tensor } {
  checkMatrix(name, a, true, "A");
  checkPair(name, a, b, "B");
  const vector = b.ndim === 1 ||
    (a.ndim - 1 === b.ndim && sameShape(b.shape, a.shape.slice(0, -1)));
  if (vector && !left) {
    throw new ShapeError(`Cannot ${name} X A = B with a vector B ${shapeText(b.shape)}`, {
      op: name,
    });
  }
  const right = vector ? unsqueeze(b, -1) : b;
  checkFits(name, a, right, left);
  const { x, info } = left ? solved(name, a, right) : solved(name, mT(a), mT(right));
  const whole = left ? x : mT(x);
  return { x: vector ? squeeze(whole, -1) : whole, info };
}

/**
 * X with A X = B for square A (…, N, N) and B (…, N, K), (…, N) or (N); with `left: false` X A = B.
 * Errors: ArgumentError for a singular matrix.
 */
export const solve: (A: Tensor, B: Tensor, options?: { left?: boolean }) => Tensor = op(
  "solve(A, B, left=true)",
  (a: Tensor, b: Tensor, left: boolean) => {
    const { x, info } = solveOp("solve", a, b, left);
    checkInfo("solve", info, SINGULAR);
    return x;
  },
);

/** `solve` with the code of the factorisation, which throws only where `checkErrors` asks for it. */
export const solveEx: (
  A: Tensor,
  B: Tensor,
  options?: { left?: boolean; checkErrors?: boolean },
) => Named<"result" | "info"> = op(
  "solveEx(A, B, left=true, checkErrors=false)",
  (a: Tensor, b: Tensor, left: boolean, checkErrors: boolean) => {
    const { x, info } = solveOp("solveEx", a, b, left);
    if (checkErrors) checkInfo("solveEx", info, SINGULAR);
    return named({ result: x, info });
  },
);

/** The inverse, and the code of the factorisation. */
function inverted(name: string, a: Tensor): { x: Tensor; info: Tensor } {
  checkMatrix(name, a, true, "A");
  const { lu, pivots, info } = factorLu(name, a.detach());
  const x = inMode(
    false,
    () => contiguous(solvePacked(name, lu, pivots, unit(a, a.shape[a.ndim - 1]), false)),
  );
  if (wants(a)) {
    record(name, [a], [x], ([g]) => [
      g && mul(matmul(matmul(mT(x), g), mT(x)), -1),
    ], [x]);
  }
  return { x, info };
}

function inverseOp(name: string, param: string): (A: Tensor) => Tensor {
  return op(`${name}(${param})`, (a: Tensor) => {
    const { x, info } = inverted(name, a);
    checkInfo(name, info, SINGULAR);
    return x;
  });
}

/** The inverse of square matrices (…, N, N). Errors: ArgumentError for a singular one. */
export const inv: (A: Tensor) => Tensor = inverseOp("inv", "A");
/** The inverse of square matrices, as `linalg.inv`. */
export const inverse: (input: Tensor) => Tensor = inverseOp("inverse", "input");
/** `inv` with the code of the factorisation. */
export const invEx: (
  A: Tensor,
  options?: { checkErrors?: boolean },
) => Named<"inverse" | "info"> = op(
  "invEx(A, checkErrors=false)",
  (a: Tensor, checkErrors: boolean) => {
    const { x, info } = inverted("invEx", a);
    if (checkErrors) checkInfo("invEx", info, SINGULAR);
    return named({ inverse: x, info });
  },
);

// ---- determinants -------------------------------------------------------------------------------

/** 1 or -1: the sign of the row exchanges. */
function parity(pivots: Tensor, like: Tensor): Tensor {
  const k = pivots.shape[pivots.ndim - 1];
  const exchanged = sum(ne(pivots, arange(1, k + 1)), -1);
  return cast(add(mul(remainder(exchanged, 2), -2), 1), like.dtype);
}

/** The transposed matrix of cofactors, for singular matrices too. */
function cofactors(a: Tensor): Tensor {
  const { u, s, vh } = factorSvd("det", a, false);
  const n = a.shape[a.ndim - 1];
  // Each singular value's product of all others.
  const others = where(
    eye(n, { dtype: "bool" }),
    ones([], { dtype: a.dtype }),
    expand(unsqueeze(s, -2), [...leadOf(a), n, n]),
  );
  const orientation = inMode(false, () => mul(plainDet(u), plainDet(vh)));
  const scale = mul(prod(others, -1), unsqueeze(orientation, -1));
  return matmul(mul(u, unsqueeze(scale, -2)), vh);
}

function plainDet(a: Tensor): Tensor {
  const { lu, pivots } = factorLu("det", a.detach());
  return mul(prod(diagonal(lu, { dim1: -2, dim2: -1 }), -1), parity(pivots, a));
}

/** The determinant of square matrices (…, N, N) → (…). */
export const det: (A: Tensor) => Tensor = op("det(A)", (a: Tensor) => {
  checkMatrix("det", a, true, "A");
  const out = inMode(false, () => plainDet(a));
  if (wants(a)) {
    record("det", [a], [out], ([g]) => {
      if (g === null) return [null];
      const up = unsqueeze(unsqueeze(g, -1), -1);
      const singular = (eq(out, 0).toTypedArray() as Uint8Array).includes(1);
      if (singular) return [mul(up, cofactors(a))];
      const whole = unsqueeze(unsqueeze(det(a), -1), -1);
      return [mul(mul(up, whole), mT(inverted("det", a).x))];
    }, [a, out]);
  }
  return out;
});

/** The sign and the logarithm of the absolute value of the determinant: `{ sign, logabsdet }`. */
export const slogdet: (A: Tensor) => Named<"sign" | "logabsdet"> = op(
  "slogdet(A)",
  (a: Tensor) => {
    checkMatrix("slogdet", a, true, "A");
    return slogdetOf("slogdet", a);
  },
);

function slogdetOf(name: string, a: Tensor): Named<"sign" | "logabsdet"> {
  const [signs, logabsdet] = inMode(false, () => {
    const { lu, pivots } = factorLu(name, a.detach());
    const d = diagonal(lu, { dim1: -2, dim2: -1 });
    return [mul(prod(sign(d), -1), parity(pivots, a)), sum(log(abs(d)), -1)];
  });
  if (wants(a)) {
    record(name, [a], [signs, logabsdet], ([, g]) => [
      g && mul(unsqueeze(unsqueeze(g, -1), -1), mT(inverted(name, a).x)),
    ], [a]);
  }
  return named({ sign: signs, logabsdet });
}

/** The logarithm of the determinant; NaN where that is negative. */
export const logdet: (input: Tensor) => Tensor = op("logdet(input)", (a: Tensor) => {
  checkMatrix("logdet", a, true);
  const { sign: signs, logabsdet } = slogdetOf("logdet", a);
  return where(lt(signs, 0), NaN, logabsdet);
});

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
    return factorSvd("svdvals", a, false).s;
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
    return factorEigh("eigvalsh", a, readsUpper("eigvalsh", uplo)).values;
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
  let q = expand(eye(m, n, { dtype: a.dtype }), [...leadOf(a), m, n]);
  const vectors = add(tril(narrow(a, -1, 0, k), -1), eye(m, k, { dtype: a.dtype }));
  for (let i = k - 1; i >= 0; i--) {
    const v = narrow(vectors, -1, i, 1), factor = unsqueeze(narrow(tau, -1, i, 1), -1);
    q = sub(q, mul(factor, matmul(v, matmul(mT(v), q))));
  }
  return q;
}

// ---- pseudo-inverses and least squares ----------------------------------------------------------

const EPSILON: Readonly<Record<string, number>> = { float32: 2 ** -23, float64: 2 ** -52 };

/** Bounds below which singular values count as 0. */
export interface ToleranceOptions {
  /** An absolute bound; default 0. */
  atol?: number | Tensor | null;
  /** A bound relative to the greatest; default: the dtype's epsilon times the larger side. */
  rtol?: number | Tensor | null;
  /** Take the matrices as symmetric. */
  hermitian?: boolean;
}

/** Which of the descending singular values count, and the values. */
function counted(
  name: string,
  a: Tensor,
  s: Tensor,
  atol: number | Tensor | null,
  rtol: number | Tensor | null,
): Tensor {
  const relative = rtol ??
    (atol === null || atol === 0 ? EPSILON[a.dtype] * Math.max(...a.shape.slice(-2)) : 0);
  if (s.shape[s.ndim - 1] === 0) return gt(s, 0);
  const most = amax(s, -1);
  const wide = (t: number | Tensor) => t instanceof Tensor ? cast(t, a.dtype) : t;
  for (const [t, what] of [[atol, "atol"], [rtol, "rtol"]] as const) {
    if (t !== null && !(t instanceof Tensor) && typeof t !== "number") {
      throw new ArgumentError(`Cannot ${name} with ${what} ${show(t)}: it must be a number`, {
        op: name,
      });
    }
  }
  const scaled = mul(most, wide(relative) as Operand);
  const floor = atol === null ? scaled : maximum(
    scaled,
    atol instanceof Tensor ? cast(atol, a.dtype) : tensor(atol, { dtype: a.dtype }),
  );
  return gt(s, unsqueeze(floor, -1));
}

/** How many singular values are above the bounds: (…, M, N) → (…), int64. */
export const matrixRank: (
  A: Tensor,
  tol?: number | Tensor | null | ToleranceOptions & { tol?: number | Tensor | null },
  options?: ToleranceOptions,
) => Tensor = op(
  "matrixRank(A, tol=null, hermitian=false, atol=null, rtol=null)",
  (
    a: Tensor,
    tol: number | Tensor | null,
    hermitian: boolean,
    atol: number | Tensor | null,
    rtol: number | Tensor | null,
  ) => {
    checkMatrix("matrixRank", a, hermitian, "A");
    return inMode(false, () => {
      const s = hermitian
        ? abs(factorEigh("matrixRank", a, false).values)
        : factorSvd("matrixRank", a, false).s;
      const given = tol === null ? counted("matrixRank", a, s, atol, rtol) : gt(
        s,
        tol instanceof Tensor ? unsqueeze(tol, -1) : tol,
      );
      return countNonzero(given, -1);
    });
  },
);

function pinvOf(
  name: string,
  a: Tensor,
  atol: number | Tensor | null,
  rtol: number | Tensor | null,
  hermitian: boolean,
): Tensor {
  checkMatrix(name, a, hermitian, "A");
  const x = inMode(false, () => {
    if (hermitian) {
      const { values, vectors } = factorEigh(name, a, false);
      const size = abs(values);
      const inverse = where(counted(name, a, size, atol, rtol), reciprocal(values), 0);
      return matmul(mul(vectors, unsqueeze(inverse, -2)), mT(vectors));
    }
    const { u, s, vh } = factorSvd(name, a, false);
    const inverse = where(counted(name, a, s, atol, rtol), reciprocal(s), 0);
    return matmul(mul(mT(vh), unsqueeze(inverse, -2)), mT(u));
  });
  if (wants(a)) {
    record(name, [a], [x], ([g]) => g === null ? [null] : [pinvGradient(a, x, g)], [a, x]);
  }
  return x;
}

/** Golub and Pereyra's derivative of the pseudo-inverse, 1973. */
function pinvGradient(a: Tensor, x: Tensor, g: Tensor): Tensor {
  const [m, n] = a.shape.slice(-2);
  if (m <= n) {
    const k = matmul(mT(g), x), right = matmul(k, mT(x));
    return sub(
      add(
        sub(right, mT(matmul(x, k))),
        matmul(matmul(mT(x), x), sub(mT(g), matmul(k, a))),
      ),
      matmul(matmul(a, x), right),
    );
  }
  const k = matmul(x, mT(g)), left = matmul(mT(x), k);
  return sub(
    add(
      sub(left, mT(matmul(k, x))),
      matmul(sub(mT(g), matmul(a, k)), matmul(x, mT(x))),
    ),
    matmul(matmul(left, x), a),
  );
}

/** The pseudo-inverse of Moore and Penrose, from singular values above the bounds. */
export const pinv: (
  A: Tensor,
  rcond?: number | Tensor | null | ToleranceOptions,
  options?: ToleranceOptions,
) => Tensor = op(
  "pinv(A, rcond=null, hermitian=false, atol=null, rtol=null)",
  (
    a: Tensor,
    rcond: number | Tensor | null,
    hermitian: boolean,
    atol: number | Tensor | null,
    rtol: number | Tensor | null,
  ) => pinvOf("pinv", a, atol, rcond ?? rtol, hermitian),
);
/** The pseudo-inverse with a relative bound. */
export const pinverse: (input: Tensor, rcond?: number | { rcond?: number }) => Tensor = op(
  "pinverse(input, rcond=1e-15)",
  (a: Tensor, rcond: number) => pinvOf("pinverse", a, null, rcond, false),
);

/** Least squares: what `lstsq` gives. */
export type LeastSquares = Named<"solution" | "residuals" | "rank" | "singularValues">;

/**
 * X with the least ‖A X - B‖, and of those the least ‖X‖. Shapes: A (…, M, N), B (…, M, K) → X (…, N, K). The residuals
 * are sums of squares over rows, empty unless M > N and A has full rank; singular values only with the drivers "gelsd"
 * and "gelss".
 */
export const lstsq: (
  A: Tensor,
  B: Tensor,
  rcond?: number | null | { rcond?: number | null; driver?: string | null },
  options?: { driver?: string | null },
) => LeastSquares = op(
  "lstsq(A, B, rcond=null, driver=null)",
  (a: Tensor, b: Tensor, rcond: number | null, driver: string | null) => {
    checkMatrix("lstsq", a, false, "A");
    checkPair("lstsq", a, b, "B");
    if (driver !== null && !["gels", "gelsy", "gelsd", "gelss"].includes(driver)) {
      throw new ArgumentError(
        `Cannot lstsq with driver ${show(driver)}: it is "gels", "gelsy", "gelsd" or "gelss"`,
        { op: "lstsq" },
      );
    }
    const [m, n] = a.shape.slice(-2);
    const vector = a.ndim - 1 === b.ndim && sameShape(b.shape, a.shape.slice(0, -1));
    const right = vector ? unsqueeze(b, -1) : b;
    if (right.ndim < 2 || right.shape[right.ndim - 2] !== m) {
      throw new ShapeError(
        `Cannot lstsq A ${shapeText(a.shape)} with B ${shapeText(b.shape)}: it needs ${m} rows`,
        { op: "lstsq" },
      );
    }
    const bound = rcond ?? EPSILON[a.dtype] * Math.max(m, n);
    const x = matmul(pinvOf("lstsq", a, null, bound, false), right);
    const none = () => empty([0], a.info, a.storage.device);
    const { s, rank } = inMode(false, () => {
      const s = factorSvd("lstsq", a, false).s;
      return { s, rank: countNonzero(counted("lstsq", a, s, null, bound), -1) };
    });
    const full = (eq(rank, n).toTypedArray() as Uint8Array).every((x) => x === 1);
    const residuals = m > n && full && driver !== null && driver !== "gelsy"
      ? sum(square(sub(matmul(a, x), right)), -2)
      : none();
    return named({
      solution: vector ? squeeze(x, -1) : x,
      residuals,
      rank: driver === "gels" ? empty([0], DTYPES.int64, a.storage.device) : rank,
      singularValues: driver === "gelsd" || driver === "gelss" ? s : none(),
    });
  },
);

// ---- powers -------------------------------------------------------------------------------------

/** A square matrix to a whole power, by squaring; a negative one is that of the inverse. */
export const matrixPower: (input: Tensor, n: number) => Tensor = op(
  "matrixPower(input, n)",
  (a: Tensor, n: number) => {
    if (!Number.isInteger(n)) {
      throw new ArgumentError(`Cannot matrixPower to ${show(n)}: it must be a whole number`, {
        op: "matrixPower",
      });
    }
    if (a.ndim < 2 || a.shape[a.ndim - 1] !== a.shape[a.ndim - 2]) {
      throw new ShapeError(`Cannot matrixPower ${shapeText(a.shape)}: it takes square matrices`, {
        op: "matrixPower",
      });
    }
    if (n === 0) return add(zerosOf(a), eye(a.shape[a.ndim - 1], { dtype: a.dtype }));
    let base = a;
    if (n < 0) {
      const { x, info } = inverted("matrixPower", a);
      checkInfo("matrixPower", info, SINGULAR);
      base = x;
    }
    let result: Tensor | null = null;
    for (let left = Math.abs(n); left > 0; left = Math.floor(left / 2)) {
      if (left % 2 === 1) result = result === null ? base : matmul(result, base);
      if (left > 1) base = matmul(base, base);
    }
    return n === 1 ? a.clone() : result!;
  },
);

/** The degree of the Taylor polynomial, and the norm up to which it is exact in float64. */
const [DEGREE, REACH] = [18, 1];

/** `e^A = Σ Aᵏ / k!` of square matrices: a Taylor polynomial of A / 2ˢ, squared s times. Types: floats. */
export const matrixExp: (input: Tensor) => Tensor = op("matrixExp(input)", (a: Tensor) => {
  if (a.ndim < 2 || a.shape[a.ndim - 1] !== a.shape[a.ndim - 2] || !a.info.isFloat) {
    throw new ShapeError(`Cannot matrixExp ${show(a)}: it takes square matrices of floats`, {
      op: "matrixExp",
    });
  }
  if (a.numel === 0) return a.clone();
  const most = inMode(false, () => Number(amax(sum(abs(a), -2)).item()));
  const steps = Number.isFinite(most) ? Math.max(0, Math.ceil(Math.log2(most / REACH))) : 0;
  const small = mul(a, 2 ** -steps);
  const one = eye(a.shape[a.ndim - 1], { dtype: a.dtype });
  let result = add(mul(small, 1 / DEGREE), one);
  for (let k = DEGREE - 1; k >= 1; k--) result = add(mul(matmul(small, result), 1 / k), one);
  for (let s = 0; s < steps; s++) result = matmul(result, result);
  return result;
});

/** The symmetric square root of symmetric positive semidefinite matrices. */
export const matrixSqrth: (A: Tensor) => Tensor = op("matrixSqrth(A)", (a: Tensor) => {
  checkMatrix("matrixSqrth", a, true, "A");
  const { values, vectors } = factorEigh("matrixSqrth", mul(add(a, mT(a)), 0.5), false);
  return matmul(mul(vectors, unsqueeze(sqrt(values), -2)), mT(vectors));
});

/** U with orthonormal columns and a symmetric positive semidefinite H with A = U H, for at least as many rows as columns. */
export const polar: (A: Tensor) => Named<"U" | "H"> = op("polar(A)", (a: Tensor) => {
  checkMatrix("polar", a, false, "A");
  const [m, n] = a.shape.slice(-2);
  if (m < n) {
    throw new ShapeError(`Cannot polar ${shapeText(a.shape)}: it has fewer rows than columns`, {
      op: "polar",
    });
  }
  const { u, s, vh } = factorSvd("polar", a, false);
  return named({ U: matmul(u, vh), H: matmul(mul(mT(vh), unsqueeze(s, -2)), vh) });
});

// ---- products and vectors -----------------------------------------------------------------------

/** The product of a chain of matrices in the cheapest order; the first and the last may be vectors. */
export const multiDot: (tensors: readonly Tensor[]) => Tensor = op(
  "multiDot(tensors)",
  (tensors: readonly Tensor[]) => chained("multiDot", tensors, true),
);

/** The cross product of vectors along a dim of size 3. */
export const linalgCross: (
  input: Tensor,
  other: Tensor,
  dim?: number | { dim?: number },
) => Tensor = op(
  "cross(input, other, dim=-1)",
  (a: Tensor, b: Tensor, dim: number) => crossAlong("cross", a, b, dim),
);

/** Sums of products along a dim; other dims broadcast. */
export const vecdot: (x: Tensor, y: Tensor, dim?: number | { dim?: number }) => Tensor = op(
  "vecdot(x, y, dim=-1)",
  (x: Tensor, y: Tensor, dim: number) => {
    checkTensor("vecdot", x, "x");
    checkPair("vecdot", x, y, "y");
    if (!x.info.isFloat) {
      throw new DTypeError(`Cannot vecdot ${show(x)}: it takes floats`, { op: "vecdot" });
    }
    const product = mul(x, y);
    return sum(product, dim, { dtype: x.dtype });
  },
);

/** Powers 0 to N - 1 of each element: (…, K) → (…, K, N); N = K by default. */
export const vander: (x: Tensor, N?: number | null | { N?: number | null }) => Tensor = op(
  "vander(x, N=null)",
  (x: Tensor, count: number | null) => {
    checkTensor("vander", x, "x");
    const n = count ?? (x.ndim === 0 ? 1 : x.shape[x.ndim - 1]);
    if (!Number.isInteger(n) || n < 1) {
      throw new ArgumentError(`Cannot vander with N ${show(n)}: it must be at least 1`, {
        op: "vander",
      });
    }
    const wide = x.info === DTYPES.bool ? cast(x, "int64") : x.info.isFloat ? x : cast(x, "int64");
    const at = wide.ndim === 0 ? reshape(wide, [1]) : wide;
    let power = add(zerosOf(at), 1);
    const powers = [power];
    for (let i = 1; i < n; i++) powers.push(power = mul(power, at));
    return stack(powers, -1);
  },
);

/** `diagonal` of the last two dims. */
export const linalgDiagonal: (
  A: Tensor,
  options?: { offset?: number; dim1?: number; dim2?: number },
) => Tensor = op(
  "diagonal(A, offset=0, dim1=-2, dim2=-1)",
  (a: Tensor, offset: number, dim1: number, dim2: number) => {
    checkTensor("diagonal", a, "A");
    return diagonal(a, { offset, dim1, dim2 });
  },
);

/** The inverse of a tensor as a map from its last to its first `ind` dims. */
export const tensorinv: (A: Tensor, ind?: number | { ind?: number }) => Tensor = op(
  "tensorinv(A, ind=2)",
  (a: Tensor, ind: number) => {
    checkTensor("tensorinv", a, "A");
    if (!Number.isInteger(ind) || ind < 1) {
      throw new ArgumentError(`Cannot tensorinv with ind ${show(ind)}: it must be at least 1`, {
        op: "tensorinv",
      });
    }
    const [head, tail] = [a.shape.slice(0, ind), a.shape.slice(ind)];
    const [m, n] = [head, tail].map((s) => s.reduce((x, y) => x * y, 1));
    if (m !== n) {
      throw new ShapeError(
        `Cannot tensorinv ${shapeText(a.shape)} with ind ${ind}: ${m} and ${n} elements differ`,
        { op: "tensorinv" },
      );
    }
    const { x, info } = inverted("tensorinv", reshape(a, [m, n]));
    checkInfo("tensorinv", info, SINGULAR);
    return reshape(x, [...tail, ...head]);
  },
);

/** X with `tensordot(A, X, X.ndim) = B`. */
export const tensorsolve: (
  A: Tensor,
  B: Tensor,
  dims?: readonly number[] | null | { dims?: readonly number[] | null },
) => Tensor = op(
  "tensorsolve(A, B, dims=null)",
  (a: Tensor, b: Tensor, dims: readonly number[] | null) => {
    checkTensor("tensorsolve", a, "A");
    checkPair("tensorsolve", a, b, "B");
    let t = a;
    if (dims !== null) {
      const moved = dims.map((d) => d < 0 ? d + a.ndim : d);
      const rest = a.shape.map((_, d) => d).filter((d) => !moved.includes(d));
      t = permute(a, [...rest, ...moved]);
    }
    const tail = t.shape.slice(b.ndim), n = tail.reduce((x, y) => x * y, 1);
    if (n !== b.numel || t.numel !== n * n) {
      throw new ShapeError(
        `Cannot tensorsolve A ${shapeText(a.shape)} with B ${
          shapeText(b.shape)
        }: the products of sizes differ`,
        { op: "tensorsolve" },
      );
    }
    const { x, info } = solveOp("tensorsolve", reshape(t, [n, n]), reshape(b, [n]), true);
    checkInfo("tensorsolve", info, SINGULAR);
    return reshape(x, tail);
  },
);
