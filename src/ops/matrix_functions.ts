/**
 * Powers and exponentials of matrices, products of chains, and the parts of `linalg` that need no factorisation. Norms of
 * matrices are in matrix_norm.ts.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkInfo, checkMatrix, checkPair, factorEigh, factorSvd, mT } from "./factorizations.ts";
import { cast, checkTensor, zerosOf } from "./map.ts";
import { matmul } from "./matmul.ts";
import { abs, sqrt } from "./math.ts";
import { type Named, named } from "./named.ts";
import { arange, eye } from "./pattern.ts";
import { add, mul, pow } from "./pointwise.ts";
import { chained, crossAlong } from "./products.ts";
import { amax, sum } from "./reduction.ts";
import { permute, reshape, unsqueeze } from "./view.ts";
import { diagonal } from "./window.ts";
import { inverted, SINGULAR, solveOp } from "./linear_systems.ts";

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
    if (n === 0) {
      return add(zerosOf(a), eye(a.shape[a.ndim - 1], { dtype: a.dtype, device: a.device }));
    }
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
  const one = eye(a.shape[a.ndim - 1], { dtype: a.dtype, device: a.device });
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
    return pow(unsqueeze(at, -1), arange(n, { device: at.device }));
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
