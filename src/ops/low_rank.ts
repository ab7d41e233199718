/**
 * Approximate singular values and principal components of large matrices, from random projections.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { qr, svd } from "./decompositions.ts";
import { matmul } from "./matmul.ts";
import { type Named, named } from "./named.ts";
import { sub } from "./pointwise.ts";
import { randn } from "./random.ts";
import { mean } from "./reduction.ts";
import { broadcastTo, transpose } from "./view.ts";

/** What `svdLowrank` takes by name. */
export interface SvdLowrankOptions {
  /** How many singular values: a little more than the rank; default 6. */
  q?: number | null;
  /** How many times the subspace is iterated; default 2. */
  niter?: number | null;
  /** What is taken from the matrix first; broadcasts to it. */
  M?: Tensor | null;
}

/** What `pcaLowrank` takes by name. */
export interface PcaLowrankOptions {
  /** How many components; default 6, or the size where that is less. */
  q?: number | null;
  /** Whether the columns' means are taken out first; default true. */
  center?: boolean;
  /** How many times the subspace is iterated; default 2. */
  niter?: number;
}

/** A subspace that so many rounds have not found does not stand out. */
const MOST_ROUNDS = 1000;

const turned = (x: Tensor): Tensor => transpose(x, -2, -1);

/** Fails unless these are float matrices and the counts fit. */
function check(name: string, a: Tensor, q: unknown, niter: unknown): void {
  if (!a.info.isFloat) {
    throw new DTypeError(`Cannot ${name} ${show(a)}: it takes float matrices`, { op: name });
  }
  if (a.ndim < 2) {
    throw new ShapeError(`Cannot ${name} ${shapeText(a.shape)}: it takes matrices (…, M, N)`, {
      op: name,
    });
  }
  const most = Math.min(...a.shape.slice(-2));
  const counts = [[q, "q", most], [niter, "niter", MOST_ROUNDS]] as const;
  for (const [value, what, limit] of counts) {
    if (Number.isInteger(value) && value as number >= 0 && value as number <= limit) continue;
    throw new ArgumentError(
      `Cannot ${name} ${shapeText(a.shape)} with ${what} ${
        show(value)
      }: a whole number from 0 to ${limit}`,
      { op: name },
    );
  }
}

function lowRank(a: Tensor, q: number, niter: number): Named<"U" | "S" | "V"> {
  const [m, n] = a.shape.slice(-2);
  const tall = m < n ? turned(a) : a;
  // Q's columns span about what the q greatest singular vectors span.
  const start = inMode(
    false,
    () => randn([Math.min(m, n), q], { dtype: a.dtype, device: a.device }),
  );
  let basis = qr(matmul(tall, start)).Q;
  for (let i = 0; i < niter; i++) {
    basis = qr(matmul(turned(tall), basis)).Q;
    basis = qr(matmul(tall, basis)).Q;
  }
  const { U, S, Vh } = svd(matmul(turned(basis), tall), { fullMatrices: false });
  const [left, right] = [matmul(basis, U), turned(Vh)];
  return named(m < n ? { U: right, S, V: left } : { U: left, S, V: right });
}

/**
 * About the q greatest singular values of matrices and their vectors: A - M ≈ U diag(S) Vᵀ. The projection is drawn from the
 * seeded stream. Shapes: (…, M, N) → U (…, M, q), S (…, q), V (…, N, q). Types: float.
 * Source: Halko, Martinsson and Tropp 2009, arXiv 0909.4061, algorithm 5.1.
 */
export const svdLowrank: (
  A: Tensor,
  q?: number | null | SvdLowrankOptions,
  niter?: number | null | SvdLowrankOptions,
  options?: SvdLowrankOptions,
) => Named<"U" | "S" | "V"> = op(
  "svdLowrank(A, q=6, niter=2, M=null)",
  (a: Tensor, q: number | null, niter: number | null, m: Tensor | null) => {
    const count = q ?? 6, rounds = niter ?? 2;
    check("svdLowrank", a, count, rounds);
    return lowRank(m === null ? a : sub(a, broadcastTo(m, a.shape)), count, rounds);
  },
);

/**
 * About the first q principal components of rows: those of the rows less their mean unless `center` is false, as `svdLowrank`.
 * Shapes: (…, M, N) → U (…, M, q), S (…, q), V (…, N, q), whose columns are the directions. Types: float.
 * Source: as `svdLowrank`.
 */
export const pcaLowrank: (
  A: Tensor,
  q?: number | null | PcaLowrankOptions,
  options?: PcaLowrankOptions,
) => Named<"U" | "S" | "V"> = op(
  "pcaLowrank(A, q=null, center=true, niter=2)",
  (a: Tensor, q: number | null, center: boolean, niter: number) => {
    const count = q ?? Math.min(6, ...a.shape.slice(-2));
    check("pcaLowrank", a, count, niter);
    return lowRank(center ? sub(a, mean(a, -2, { keepdim: true })) : a, count, niter);
  },
);
