/**
 * Systems of linear equations, inverses and determinants, by factorisations. All leading dims are a batch; types are float32
 * and float64.
 *
 * @module
 */
import { autocasting } from "../autocast.ts";
import { inMode, record, wants } from "../autograd.ts";
import { ArgumentError, ShapeError } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  checkInfo,
  checkMatrix,
  checkPair,
  exchanged,
  factorLu,
  factorSvd,
  mT,
  solveTriangle,
} from "./factorizations.ts";
import { eq, lt, ne, where } from "./logic.ts";
import { cast, needs } from "./map.ts";
import { matmul } from "./matmul.ts";
import { abs, log, sign } from "./math.ts";
import { type Named, named } from "./named.ts";
import { arange, eye } from "./pattern.ts";
import { add, mul, remainder } from "./pointwise.ts";
import { prod, sum } from "./reduction.ts";
import { contiguous, expand, reshape, squeeze, unsqueeze } from "./view.ts";
import { diagonal } from "./window.ts";
import { ones } from "./creation.ts";

export const leadOf = (x: Tensor): number[] => x.shape.slice(0, -2);

/** Unit matrices of a batch. */
function unit(x: Tensor, n: number): Tensor {
  return expand(eye(n, { dtype: x.dtype, device: x.device }), [...leadOf(x), n, n]);
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

export function checkFits(name: string, a: Tensor, b: Tensor, left: boolean): void {
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
export function solvePacked(
  name: string,
  lu: Tensor,
  pivots: Tensor,
  b: Tensor,
  transposed: boolean,
): Tensor {
  const low = { upper: false, unitriangular: true }, high = { upper: true, unitriangular: false };
  if (!transposed) {
    const y = solveTriangle(name, lu, exchanged(name, pivots, b, false), low);
    return solveTriangle(name, lu, y, high);
  }
  const y = solveTriangle(name, mT(lu), b, { ...high, upper: false });
  return exchanged(name, pivots, solveTriangle(name, mT(lu), y, { ...low, upper: true }), true);
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

export const SINGULAR = (k: number) => `it is singular, U's element ${k} on the diagonal is 0`;

export function solveOp(
  name: string,
  a: Tensor,
  b: Tensor,
  left: boolean,
): { x: Tensor; info: Tensor } {
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
export const inverted: (name: string, a: Tensor) => { x: Tensor; info: Tensor } = autocasting(
  "inverse",
  (name: string, a: Tensor) => {
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
  },
);

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
  const exchanged = sum(ne(pivots, arange(1, k + 1, { device: pivots.device })), -1);
  return cast(add(mul(remainder(exchanged, 2), -2), 1), like.dtype);
}

/** The transposed matrix of cofactors, for singular matrices too. */
function cofactors(a: Tensor): Tensor {
  const { u, s, vh } = factorSvd("det", a, false);
  const n = a.shape[a.ndim - 1];
  // Each singular value's product of all others.
  const others = where(
    eye(n, { dtype: "bool", device: a.device }),
    ones([], { dtype: a.dtype, device: a.device }),
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
