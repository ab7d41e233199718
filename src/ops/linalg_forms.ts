/**
 * Linear algebra in PyTorch's older forms at top level: the same factorisations as in `linalg`, with other options and
 * other results. New code is better served by `linalg`.
 *
 * @module
 */
import { inMode, record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { zeros } from "./creation.ts";
import {
  checkInfo,
  checkMatrix,
  checkPair,
  factorGeqrf,
  factorLu,
  factorSvd,
  lowerOf,
  mT,
  permutationOf,
  reflectors,
  solveTriangle,
  upperOf,
} from "./factorizations.ts";
import { type CholeskyOptions, reflected, solveFactored } from "./decompositions.ts";
import { checkTensor } from "./map.ts";
import { matmul } from "./matmul.ts";
import { add, mul, sub } from "./pointwise.ts";
import { sumTo } from "./reduction.ts";
import { type Named, named } from "./named.ts";
import { eye, tril } from "./pattern.ts";
import { clone, expand, unsqueeze } from "./view.ts";
import { narrow } from "./window.ts";

/** X with A X = B, where L is the Cholesky factor of A. */
export const choleskySolve: (
  input: Tensor,
  input2: Tensor,
  options?: CholeskyOptions,
) => Tensor = op(
  "choleskySolve(input, input2, upper=false)",
  (b: Tensor, factor: Tensor, upper: boolean) => {
    checkTensor("choleskySolve", factor, "input2");
    checkMatrix("choleskySolve", factor, true, "input2");
    checkMatrix("choleskySolve", b);
    checkPair("choleskySolve", b, factor, "input2");
    if (b.shape[b.ndim - 2] !== factor.shape[factor.ndim - 1]) {
      throw new ShapeError(
        `Cannot choleskySolve ${shapeText(b.shape)} with ${
          shapeText(factor.shape)
        }: the rows must be as many`,
        { op: "choleskySolve" },
      );
    }
    broadcastShapes(b.shape.slice(0, -2), factor.shape.slice(0, -2), "choleskySolve");
    const x = inMode(false, () => solveBoth("choleskySolve", factor, b, upper));
    if (wants(b, factor)) {
      record("choleskySolve", [b, factor], [x], ([g]) => {
        if (g === null) return [null, null];
        const gb = choleskySolve(g, factor, { upper });
        const product = matmul(gb, mT(x));
        return [sumTo(gb, b.shape), sumTo(byFactor(factor, product, upper), factor.shape)];
      }, [factor, x]);
    }
    return x;
  },
);

/** The gradient of a Cholesky factor, of that of the inverse matrix. */
function byFactor(factor: Tensor, g: Tensor, upper: boolean): Tensor {
  const common = add(g, mT(g));
  return mul(upper ? matmul(factor, common) : matmul(common, factor), -1);
}

function solveBoth(name: string, factor: Tensor, b: Tensor, upper: boolean): Tensor {
  const l = upper ? mT(factor) : factor;
  const y = solveTriangle(name, l, b, { upper: false });
  return solveTriangle(name, mT(l), y, { upper: true });
}

/** The inverse of A = L Lᵀ, from its Cholesky factor. */
export const choleskyInverse: (input: Tensor, options?: CholeskyOptions) => Tensor = op(
  "choleskyInverse(input, upper=false)",
  (factor: Tensor, upper: boolean) => {
    checkMatrix("choleskyInverse", factor, true);
    const n = factor.shape[factor.ndim - 1];
    const ones = expand(eye(n, { dtype: factor.dtype, device: factor.device }), factor.shape);
    const x = inMode(false, () => solveBoth("choleskyInverse", factor, ones, upper));
    if (wants(factor)) {
      record("choleskyInverse", [factor], [x], ([g]) => [
        g && byFactor(factor, matmul(x, matmul(g, x)), upper),
      ], [factor, x]);
    }
    return x;
  },
);

/** U, S and V with A = U diag(S) Vᵀ: `linalg.svd` with V itself, thin unless `some` is false. */
export const svd: (
  input: Tensor,
  options?: { some?: boolean; computeUv?: boolean },
) => Named<"U" | "S" | "V"> = op(
  "svd(input, some=true, computeUv=true)",
  (a: Tensor, some: boolean, computeUv: boolean) => {
    checkMatrix("svd", a);
    const { u, s, vh } = factorSvd("svd", a, !some);
    if (computeUv) return named({ U: u, S: s, V: mT(vh) });
    const [m, n] = a.shape.slice(-2), lead = a.shape.slice(0, -2);
    const none = (k: number) => zeros([...lead, k, k], { dtype: a.dtype, device: a.device });
    return named({ U: none(m), S: s, V: none(n) });
  },
);

/** R and Householder's vectors in one matrix, and the vectors' factors. */
export const geqrf: (input: Tensor) => Named<"a" | "tau"> = op("geqrf(input)", (a: Tensor) => {
  checkMatrix("geqrf", a);
  if (wants(a)) {
    throw new ArgumentError("Cannot geqrf a tensor that requires grad: it has no derivative", {
      op: "geqrf",
      hint: "linalg.qr() has one",
    });
  }
  const { packed, tau } = factorGeqrf("geqrf", a);
  return named({ a: packed, tau });
});

/** `linalg.householderProduct` under its older name. */
export const orgqr: (input: Tensor, input2: Tensor) => Tensor = op(
  "orgqr(input, input2)",
  (a: Tensor, tau: Tensor) => reflected("orgqr", a, tau),
);

/** What `ormqr` takes by name. */
export interface OrmqrOptions {
  /** Multiply from the left; default true. */
  left?: boolean;
  /** By the transposed matrix. */
  transpose?: boolean;
}

/** A matrix times the Q of Householder's reflectors, which is never made smaller than square. */
export const ormqr: (
  input: Tensor,
  tau: Tensor,
  other: Tensor,
  options?: OrmqrOptions,
) => Tensor = op(
  "ormqr(input, tau, other, left=true, transpose=false)",
  (a: Tensor, tau: Tensor, c: Tensor, left: boolean, transposed: boolean) => {
    checkMatrix("ormqr", a);
    checkPair("ormqr", a, tau, "tau");
    checkPair("ormqr", a, c, "other");
    const m = a.shape[a.ndim - 2], side = c.shape[c.ndim - (left ? 2 : 1)];
    const k = tau.shape[tau.ndim - 1] ?? 0;
    const batches = String([a.shape.slice(0, -2), c.shape.slice(0, -2), tau.shape.slice(0, -1)]);
    const same = String(Array(3).fill(a.shape.slice(0, -2)));
    if (c.ndim !== a.ndim || side !== m || k > a.shape[a.ndim - 1] || batches !== same) {
      throw new ShapeError(
        `Cannot ormqr ${shapeText(a.shape)} with tau ${shapeText(tau.shape)} and other ${
          shapeText(c.shape)
        }: the sizes do not fit`,
        { op: "ormqr" },
      );
    }
    if (wants(a, tau)) return byReflectors(a, tau, c, left, transposed);
    const q = reflectors("ormqr", a, tau, m);
    const used = transposed ? mT(q) : q;
    return left ? matmul(used, c) : matmul(c, used);
  },
);

/** One reflector after the other, in plain ops, which have gradients. */
function byReflectors(
  a: Tensor,
  tau: Tensor,
  c: Tensor,
  left: boolean,
  transposed: boolean,
): Tensor {
  const m = a.shape[a.ndim - 2], k = tau.shape[tau.ndim - 1];
  const vectors = add(
    tril(narrow(a, -1, 0, k), -1),
    eye(m, k, { dtype: a.dtype, device: a.device }),
  );
  let y = left ? c : mT(c);
  for (let step = 0; step < k; step++) {
    // Q is H₁ … Hₖ: its last reflector meets a column first.
    const i = left === transposed ? step : k - 1 - step;
    const v = narrow(vectors, -1, i, 1), factor = unsqueeze(narrow(tau, -1, i, 1), -1);
    y = sub(y, mul(factor, matmul(v, matmul(mT(v), y))));
  }
  return left ? y : mT(y);
}

/** LU with row exchanges, packed: `[LU, pivots]`, with the codes where `getInfos` asks for them. */
export const lu: (
  A: Tensor,
  options?: { pivot?: boolean; getInfos?: boolean },
) => Tensor[] = op(
  "lu(A, pivot=true, getInfos=false)",
  (a: Tensor, pivot: boolean, getInfos: boolean) => {
    checkMatrix("lu", a, false, "A");
    if (!pivot) {
      throw new ArgumentError("Cannot lu without pivoting: rows are always exchanged here", {
        op: "lu",
      });
    }
    const packed = factorLu("lu", a);
    if (!getInfos) {
      checkInfo("lu", packed.info, (k) => `U's element ${k} on the diagonal is 0`);
      return [packed.lu, packed.pivots];
    }
    return [packed.lu, packed.pivots, packed.info];
  },
);

/** X with A X = B, where A is packed as `linalg.luFactor` gives it. */
export const luSolve: (input: Tensor, LUData: Tensor, LUPivots: Tensor) => Tensor = op(
  "luSolve(input, LUData, LUPivots)",
  (b: Tensor, packed: Tensor, pivots: Tensor) =>
    solveFactored("luSolve", packed, pivots, b, true, false),
);

/** P, L and U of a packed LU; those that are not asked for are empty. */
export const luUnpack: (
  LUData: Tensor,
  LUPivots: Tensor,
  options?: { unpackData?: boolean; unpackPivots?: boolean },
) => Named<"P" | "L" | "U"> = op(
  "luUnpack(LUData, LUPivots, unpackData=true, unpackPivots=true)",
  (packed: Tensor, pivots: Tensor, unpackData: boolean, unpackPivots: boolean) => {
    checkTensor("luUnpack", packed, "LUData");
    checkTensor("luUnpack", pivots, "LUPivots");
    checkMatrix("luUnpack", packed, false, "LUData");
    if (unpackPivots && pivots.info !== DTYPES.int32) {
      throw new ArgumentError(`Cannot luUnpack with pivots ${show(pivots)}: they are int32`, {
        op: "luUnpack",
      });
    }
    const none = () => empty([0], packed.info, packed.storage.device);
    return named({
      P: unpackPivots ? permutationOf(pivots, packed.shape[packed.ndim - 2], packed) : none(),
      L: unpackData ? lowerOf(packed) : none(),
      U: unpackData ? upperOf(packed) : none(),
    });
  },
);

/** What `triangularSolve` takes by name. */
export interface TriangularSolveOptions {
  /** Whether A holds an upper triangle; default true. */
  upper?: boolean;
  /** Solve with the transposed matrix. */
  transpose?: boolean;
  /** Take the diagonal as ones. */
  unitriangular?: boolean;
}

/** The solution X of A X = B for a triangular A, and a copy of A. */
export const triangularSolve: (
  b: Tensor,
  A: Tensor,
  options?: TriangularSolveOptions,
) => Named<"solution" | "clonedCoefficient"> = op(
  "triangularSolve(b, A, upper=true, transpose=false, unitriangular=false)",
  (b: Tensor, a: Tensor, upper: boolean, transposed: boolean, unitriangular: boolean) => {
    checkTensor("triangularSolve", b, "b");
    checkTensor("triangularSolve", a, "A");
    checkMatrix("triangularSolve", a, true, "A");
    checkPair("triangularSolve", a, b, "b");
    if (b.ndim < 2 || b.shape[b.ndim - 2] !== a.shape[a.ndim - 1]) {
      throw new ShapeError(
        `Cannot triangularSolve A ${shapeText(a.shape)} with b ${
          shapeText(b.shape)
        }: the rows must be as many`,
        { op: "triangularSolve" },
      );
    }
    const kind = { upper: upper !== transposed, unitriangular };
    const solution = solveTriangle("triangularSolve", transposed ? mT(a) : a, b, kind);
    const lead = solution.shape.slice(0, -2);
    return named({
      solution,
      clonedCoefficient: clone(expand(a, [...lead, ...a.shape.slice(-2)])),
    });
  },
);
