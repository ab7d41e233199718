/**
 * Ranks, pseudo-inverses and least squares. All leading dims are a batch; types are float32 and float64.
 *
 * @module
 */
import { inMode, record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import {
  checkMatrix,
  checkPair,
  eigenvaluesOf,
  factorEigh,
  factorSvd,
  mT,
  singularValuesOf,
} from "./factorizations.ts";
import { eq, gt, where } from "./logic.ts";
import { cast, type Operand } from "./map.ts";
import { matmul } from "./matmul.ts";
import { abs, reciprocal, square } from "./math.ts";
import { type Named, named } from "./named.ts";
import { add, mul, sub } from "./pointwise.ts";
import { maximum } from "./bounds.ts";
import { amax, countNonzero, sum } from "./reduction.ts";
import { squeeze, unsqueeze } from "./view.ts";
import { tensor } from "./creation.ts";

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
        ? abs(eigenvaluesOf("matrixRank", a, false))
        : singularValuesOf("matrixRank", a);
      const given = tol === null ? counted("matrixRank", a, s, atol, rtol) : gt(
        s,
        tol instanceof Tensor ? unsqueeze(tol, -1) : tol,
      );
      return countNonzero(given, -1);
    });
  },
);

/** The pseudo-inverse, and which singular values count. */
function pinvOf(
  name: string,
  a: Tensor,
  atol: number | Tensor | null,
  rtol: number | Tensor | null,
  hermitian: boolean,
): { x: Tensor; s: Tensor; counts: Tensor } {
  checkMatrix(name, a, hermitian, "A");
  const parts = inMode(false, () => {
    if (hermitian) {
      const { values, vectors } = factorEigh(name, a, false);
      const s = abs(values), counts = counted(name, a, s, atol, rtol);
      const inverse = where(counts, reciprocal(values), 0);
      return { x: matmul(mul(vectors, unsqueeze(inverse, -2)), mT(vectors)), s, counts };
    }
    const { u, s, vh } = factorSvd(name, a, false);
    const counts = counted(name, a, s, atol, rtol);
    const inverse = where(counts, reciprocal(s), 0);
    return { x: matmul(mul(mT(vh), unsqueeze(inverse, -2)), mT(u)), s, counts };
  });
  const { x } = parts;
  if (wants(a)) {
    record(name, [a], [x], ([g]) => g === null ? [null] : [pinvGradient(a, x, g)], [a, x]);
  }
  return parts;
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
  ) => pinvOf("pinv", a, atol, rcond ?? rtol, hermitian).x,
);
/** The pseudo-inverse with a relative bound. */
export const pinverse: (input: Tensor, rcond?: number | { rcond?: number }) => Tensor = op(
  "pinverse(input, rcond=1e-15)",
  (a: Tensor, rcond: number) => pinvOf("pinverse", a, null, rcond, false).x,
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
    const { x: inverse, s, counts } = pinvOf("lstsq", a, null, bound, false);
    const x = matmul(inverse, right), rank = countNonzero(counts, -1);
    const none = () => empty([0], a.info, a.storage.device);
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
