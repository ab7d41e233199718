/**
 * Factorisations of matrices, and their gradients: LU, Cholesky, QR, triangular systems, symmetric eigenvalues, singular
 * values. All leading dims are a batch. What is made of them (inverses, determinants, norms) is in linalg.ts.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { broadcastShapes, shapeText } from "../shape.ts";
import { empty, fromElements, type Tensor } from "../tensor.ts";
import { maskedFill } from "./logic.ts";
import { cast, checkOperand, checkTensor, needs, zerosOf } from "./map.ts";
import { matmul } from "./matmul.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { eye, tril, triu } from "./pattern.ts";
import { cat } from "./joining.ts";
import { sumTo } from "./reduction.ts";
import { gather } from "./scattering.ts";
import { contiguous, expand, transpose, unsqueeze } from "./view.ts";
import { diagEmbed, narrow } from "./window.ts";

/** Transposed matrices. */
export const mT = (x: Tensor): Tensor => transpose(x, -2, -1);
/** `a · b`. */
const mm = matmul;
/** A dense tensor that the tape does not know. */
const plain = (x: Tensor): Tensor => inMode(false, () => contiguous(x));

/** Fails unless a tensor holds matrices of float32 or float64, and square ones where that is needed. */
export function checkMatrix(name: string, x: Tensor, square = false, what = "input"): void {
  if (x.ndim < 2) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)}: ${what} must have at least two dims`,
      { op: name },
    );
  }
  const [m, n] = x.shape.slice(-2);
  if (square && m !== n) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)}: ${what} must hold square matrices, not ${m} by ${n}`,
      { op: name },
    );
  }
  checkReal(name, x);
}

/** Fails unless a tensor is float32 or float64. */
export function checkReal(name: string, x: Tensor): void {
  if (x.dtype !== "float32" && x.dtype !== "float64") {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float32 and float64`, {
      op: name,
      hint: 'to("float32") first',
    });
  }
}

/** Fails unless two operands have one dtype. */
export function checkPair(name: string, a: Tensor, b: unknown, what: string): asserts b is Tensor {
  checkTensor(name, b, what);
  checkOperand(name, a, b, what);
  if (a.info !== b.info) {
    throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: their dtypes differ`, {
      op: name,
    });
  }
}

const leadOf = (x: Tensor): number[] => x.shape.slice(0, -2);
const make = (x: Tensor, tail: readonly number[], info = x.info): Tensor =>
  empty([...leadOf(x), ...tail], info, x.storage.device);

/** Ones on the diagonal, half of what is below, nothing above: what a symmetric change leaves to a lower factor. */
function halved(x: Tensor): Tensor {
  const n = x.shape[x.ndim - 1];
  const half = mul(eye(n, { dtype: x.dtype, device: x.device }), 0.5);
  return sub(tril(x), mul(x, half));
}

// ---- triangular systems -------------------------------------------------------------------------

/** How a triangular system is read. */
export interface Triangle {
  readonly upper: boolean;
  readonly unitriangular?: boolean;
}

/** X with A X = B; A holds a triangle, the rest is not read. Batches broadcast. */
export function solveTriangle(name: string, a: Tensor, b: Tensor, kind: Triangle): Tensor {
  const { upper, unitriangular = false } = kind;
  const lead = broadcastShapes(leadOf(a), leadOf(b), name);
  const [n, k] = b.shape.slice(-2);
  const wide = plain(expand(a.detach(), [...lead, n, n]));
  const right = plain(expand(b.detach(), [...lead, n, k]));
  const out = empty([...lead, n, k], a.info, a.storage.device);
  run(name, OP.solve_triangular, [out], [wide, right], [upper ? 1 : 0, unitriangular ? 1 : 0]);
  if (wants(a, b)) {
    record(name, [a, b], [out], ([g]) => {
      if (g === null) return [null, null];
      const gb = solveTriangle(name, mT(a), g, { upper: !upper, unitriangular });
      let ga: Tensor | null = null;
      if (needs(a)) {
        const whole = mul(mm(gb, mT(out)), -1);
        const skip = unitriangular ? 1 : 0;
        ga = sumTo(upper ? triu(whole, skip) : tril(whole, -skip), a.shape);
      }
      return [ga, needs(b) ? sumTo(gb, b.shape) : null];
    }, [a, out]);
  }
  return out;
}

// ---- LU -----------------------------------------------------------------------------------------

/** L below the diagonal and U on and above it, in one tensor; the rows exchanged at each step, from 1. */
export interface PackedLu {
  readonly lu: Tensor;
  readonly pivots: Tensor;
  /** The first zero pivot, from 1; 0 is none. */
  readonly info: Tensor;
}

/** The factor L with its ones, (…, M, K). */
export function lowerOf(lu: Tensor): Tensor {
  const [m, n] = lu.shape.slice(-2), k = Math.min(m, n);
  return add(tril(narrow(lu, -1, 0, k), -1), eye(m, k, { dtype: lu.dtype, device: lu.device }));
}

/** The factor U, (…, K, N). */
export function upperOf(lu: Tensor): Tensor {
  const [m, n] = lu.shape.slice(-2);
  return triu(narrow(lu, -2, 0, Math.min(m, n)));
}

/** Which row of A each row of L U is, (…, M) int64, from the rows exchanged; with `inverse` which row of L U each of A is. */
function orderOf(pivots: Tensor, m: number, inverse: boolean): Tensor {
  const lead = pivots.shape.slice(0, -1), k = pivots.shape[pivots.ndim - 1];
  const steps = pivots.toTypedArray() as Int32Array;
  const count = lead.reduce((n, d) => n * d, 1);
  const order = new Int32Array(count * m), rows = new Int32Array(m);
  for (let b = 0; b < count; b++) {
    for (let i = 0; i < m; i++) rows[i] = i;
    for (let i = 0; i < k; i++) {
      const j = Math.min(Math.max(steps[b * k + i] - 1, 0), m - 1);
      [rows[i], rows[j]] = [rows[j], rows[i]];
    }
    rows.forEach((from, to) => {
      if (inverse) order[b * m + from] = to;
      else order[b * m + to] = from;
    });
  }
  const { device } = pivots.storage;
  return inMode(false, () => cast(fromElements(order, "int32", [...lead, m], device), "int64"));
}

/** Pᵀ b of A = P L U, or P b: b (…, M, K) with its rows exchanged. Batches broadcast. */
export function exchanged(name: string, pivots: Tensor, b: Tensor, back: boolean): Tensor {
  const [m, k] = b.shape.slice(-2);
  const lead = broadcastShapes(leadOf(b), pivots.shape.slice(0, -1), name);
  const order = unsqueeze(orderOf(pivots, m, back), -1);
  return gather(expand(b, [...lead, m, k]), -2, expand(order, [...lead, m, k]));
}

/** P of A = P L U as a matrix, from the rows exchanged. */
export function permutationOf(pivots: Tensor, m: number, like: Tensor): Tensor {
  const ones = eye(m, { dtype: like.dtype, device: like.device });
  return inMode(false, () => exchanged("lu", pivots, ones, true));
}

/**
 * LU with row exchanges. The gradient of a square block is P L⁻ᵀ (tril(Lᵀ gL) + triu(gU Uᵀ)) U⁻ᵀ; what lies beside or
 * below it is a triangular solution, whose gradient is added to that of the block.
 */
export function factorLu(name: string, a: Tensor): PackedLu {
  const [m, n] = a.shape.slice(-2), k = Math.min(m, n);
  const lu = make(a, [m, n]), pivots = make(a, [k], DTYPES.int32), info = make(a, [], DTYPES.int32);
  run(name, OP.lu, [lu, pivots, info], [plain(a.detach())], []);
  if (wants(a)) {
    record(name, [a], [lu], ([g]) => {
      if (g === null) return [null];
      const square = narrow(narrow(lu, -2, 0, k), -1, 0, k);
      const l = lowerOf(square), u = triu(square);
      const gSquare = narrow(narrow(g, -2, 0, k), -1, 0, k);
      let gl = tril(gSquare, -1), gu = triu(gSquare);
      let beside: Tensor | null = null, below: Tensor | null = null;
      if (n > k) {
        const right = narrow(narrow(lu, -2, 0, k), -1, k, n - k);
        beside = solveTriangle(name, mT(l), narrow(narrow(g, -2, 0, k), -1, k, n - k), {
          upper: true,
          unitriangular: true,
        });
        gl = sub(gl, tril(mm(beside, mT(right)), -1));
      }
      if (m > k) {
        const bottom = narrow(narrow(lu, -2, k, m - k), -1, 0, k);
        const gBottom = narrow(narrow(g, -2, k, m - k), -1, 0, k);
        below = mT(solveTriangle(name, u, mT(gBottom), { upper: true }));
        gu = sub(gu, triu(mm(mT(bottom), below)));
      }
      const phi = add(tril(mm(mT(l), gl), -1), triu(mm(gu, mT(u))));
      const left = solveTriangle(name, mT(l), phi, { upper: true, unitriangular: true });
      let ga = mT(solveTriangle(name, u, mT(left), { upper: true }));
      if (beside !== null) ga = cat([ga, beside], -1);
      if (below !== null) ga = cat([ga, below], -2);
      return [exchanged(name, pivots, ga, true)];
    }, [lu]);
  }
  return { lu, pivots, info };
}

// ---- Cholesky -----------------------------------------------------------------------------------

/** The lower factor L with A = L Lᵀ, of the lower or the upper triangle, and the first minor that is not positive. */
export function factorCholesky(
  name: string,
  a: Tensor,
  upper: boolean,
): { l: Tensor; info: Tensor } {
  const n = a.shape[a.ndim - 1];
  const l = make(a, [n, n]), info = make(a, [], DTYPES.int32);
  run(name, OP.cholesky, [l, info], [plain(a.detach())], [upper ? 1 : 0]);
  if (wants(a)) {
    record(name, [a], [l], ([g]) => {
      if (g === null) return [null];
      const phi = halved(mm(mT(l), g));
      const left = solveTriangle(name, mT(l), add(phi, mT(phi)), { upper: true });
      const whole = mT(solveTriangle(name, mT(l), mT(left), { upper: true }));
      return [mul(whole, 0.5)];
    }, [l]);
  }
  return { l, info };
}

/** Fails where a factorisation met a matrix without one. */
export function checkInfo(name: string, info: Tensor, rule: (order: number) => string): void {
  const codes = info.toTypedArray() as Int32Array;
  const at = codes.findIndex((code) => code !== 0);
  if (at < 0) return;
  const which = info.ndim === 0 ? "" : ` number ${at} of the batch`;
  throw new ArgumentError(`Cannot ${name} matrix${which}: ${rule(codes[at])}`, { op: name });
}

// ---- QR -----------------------------------------------------------------------------------------

/** R above the diagonal, Householder's vectors below it, and their factors. */
export function factorGeqrf(name: string, a: Tensor): { packed: Tensor; tau: Tensor } {
  const [m, n] = a.shape.slice(-2);
  const packed = make(a, [m, n]), tau = make(a, [Math.min(m, n)]);
  run(name, OP.geqrf, [packed, tau], [plain(a.detach())], []);
  return { packed, tau };
}

/** The first columns of the product of reflectors; outside of autograd. */
export function reflectors(name: string, v: Tensor, tau: Tensor, columns: number): Tensor {
  const q = make(v, [v.shape[v.ndim - 2], columns]);
  run(name, OP.orgqr, [q], [plain(v.detach()), plain(tau.detach())], []);
  return q;
}

/** Q and R with A = Q R: reduced, complete, or R alone. */
export function factorQr(name: string, a: Tensor, mode: string): { q: Tensor; r: Tensor } {
  const [m, n] = a.shape.slice(-2), k = Math.min(m, n);
  const { packed, tau } = factorGeqrf(name, a);
  const columns = mode === "complete" ? m : k;
  const q = mode === "r"
    ? empty([0], a.info, a.storage.device)
    : reflectors(name, columns >= k ? packed : narrow(packed, -1, 0, k), tau, columns);
  const r = inMode(false, () => {
    const top = triu(narrow(packed, -2, 0, Math.min(columns, m)));
    return contiguous(top);
  });
  if (wants(a)) {
    record(name, [a], [q, r], ([gq = null, gr = null]) => {
      if (gq === null && gr === null) return [null];
      if (mode === "r" || (mode === "complete" && m > n)) {
        throw new ArgumentError(
          `Cannot backward through ${name} with mode "${mode}" of a ${m} by ${n} matrix: ` +
            'mode "reduced" has a gradient',
          { op: name },
        );
      }
      return [qrGradient(name, q, r, gq, gr)];
    }, [q, r]);
  }
  return { q, r };
}

function qrGradient(
  name: string,
  q: Tensor,
  r: Tensor,
  gq: Tensor | null,
  gr: Tensor | null,
): Tensor {
  const k = q.shape[q.ndim - 1], n = r.shape[r.ndim - 1];
  const r1 = narrow(r, -1, 0, k);
  // A wide matrix: the columns beside the square block are Qᵀ A₂.
  let beside: Tensor | null = null;
  let gq1 = gq ?? zerosOf(q);
  let gr1 = gr === null ? null : narrow(gr, -1, 0, k);
  if (n > k) {
    const gr2 = gr === null ? null : narrow(gr, -1, k, n - k);
    const r2 = narrow(r, -1, k, n - k);
    if (gr2 !== null) {
      beside = mm(q, gr2);
      // A₂ = Q R₂, so that Q's share of R₂ is A₂ gR₂ᵀ.
      gq1 = add(gq1, mm(mm(q, r2), mT(gr2)));
    } else beside = mm(q, zerosOf(r2));
  }
  gr1 ??= zerosOf(r1);
  const change = sub(mm(r1, mT(gr1)), mm(mT(gq1), q));
  // The lower triangle mirrored: what keeps Q orthogonal.
  const symmetric = add(tril(change), mT(tril(change, -1)));
  const inside = add(gq1, mm(q, symmetric));
  const ga = mT(solveTriangle(name, r1, mT(inside), { upper: true }));
  return beside === null ? ga : cat([ga, beside], -1);
}

// ---- eigenvalues and singular values ------------------------------------------------------------

/** Ascending eigenvalues of symmetric matrices, of which one triangle is read. */
export function eigenvaluesOf(name: string, a: Tensor, upper: boolean): Tensor {
  if (wants(a)) return factorEigh(name, a, upper).values;
  const n = a.shape[a.ndim - 1], values = make(a, [n]), none = make(a, [n, 0]);
  run(name, OP.eigh, [values, none], [plain(a)], [upper ? 1 : 0]);
  return values;
}

/** Ascending eigenvalues and eigenvectors (columns) of symmetric matrices, of which one triangle is read. */
export function factorEigh(
  name: string,
  a: Tensor,
  upper: boolean,
): { values: Tensor; vectors: Tensor } {
  const n = a.shape[a.ndim - 1];
  const values = make(a, [n]), vectors = make(a, [n, n]);
  run(name, OP.eigh, [values, vectors], [plain(a.detach())], [upper ? 1 : 0]);
  if (wants(a)) {
    record(name, [a], [values, vectors], ([gw = null, gv = null]) => {
      if (gw === null && gv === null) return [null];
      if (gv === null) return [mm(mul(vectors, unsqueeze(gw!, -2)), mT(vectors))];
      const gaps = sub(unsqueeze(values, -2), unsqueeze(values, -1));
      const ones = eye(n, { dtype: a.dtype, device: a.device });
      let inner = div(mm(mT(vectors), gv), add(gaps, ones));
      inner = maskedFill(inner, ones.to("bool"), 0);
      if (gw !== null) inner = add(inner, diagEmbed(gw));
      return [mm(mm(vectors, inner), mT(vectors))];
    }, [values, vectors]);
  }
  return { values, vectors };
}

/** U, descending singular values and Vᵀ with A = U diag(S) Vᵀ. */
export interface SingularValues {
  readonly u: Tensor;
  readonly s: Tensor;
  readonly vh: Tensor;
}

/** Descending singular values. */
export function singularValuesOf(name: string, a: Tensor): Tensor {
  if (wants(a)) return factorSvd(name, a, false).s;
  const [m, n] = a.shape.slice(-2), s = make(a, [Math.min(m, n)]);
  run(name, OP.svd, [make(a, [m, 0]), s, make(a, [0, n])], [plain(a)], [0]);
  return s;
}

/** Singular values and vectors; `full` completes the vectors to bases. */
export function factorSvd(name: string, a: Tensor, full: boolean): SingularValues {
  const [m, n] = a.shape.slice(-2), k = Math.min(m, n);
  const [c, r] = full ? [m, n] : [k, k];
  const u = make(a, [m, c]), s = make(a, [k]), vh = make(a, [r, n]);
  run(name, OP.svd, [u, s, vh], [plain(a.detach())], [full ? 1 : 0]);
  if (wants(a)) {
    record(name, [a], [u, s, vh], ([gu = null, gs = null, gvh = null]) => {
      const first = (t: Tensor | null, dim: -1 | -2) => t && narrow(t, dim, 0, k);
      return [
        svdGradient(
          { u: narrow(u, -1, 0, k), s, vh: narrow(vh, -2, 0, k) },
          first(gu, -1),
          gs,
          first(gvh, -2),
        ),
      ];
    }, [u, s, vh]);
  }
  return { u, s, vh };
}

function svdGradient(
  { u, s, vh }: SingularValues,
  gu: Tensor | null,
  gs: Tensor | null,
  gvh: Tensor | null,
): Tensor | null {
  if (gu === null && gvh === null) {
    return gs === null ? null : mm(mul(u, unsqueeze(gs, -2)), vh);
  }
  const m = u.shape[u.ndim - 2], n = vh.shape[vh.ndim - 1], k = s.shape[s.ndim - 1];
  const skew = (x: Tensor) => sub(x, mT(x));
  const row = unsqueeze(s, -2), column = unsqueeze(s, -1);
  // S_j² - S_i², as a product so that close values do not cancel early.
  const gaps = add(
    mul(sub(row, column), add(row, column)),
    eye(k, { dtype: s.dtype, device: s.device }),
  );
  let inner: Tensor | null = gs === null ? null : diagEmbed(gs);
  const plus = (x: Tensor) => inner = inner === null ? x : add(inner, x);
  if (gu !== null) plus(mul(div(skew(mm(mT(u), gu)), gaps), row));
  if (gvh !== null) plus(mul(column, div(skew(mm(vh, mT(gvh))), gaps)));
  let ga = mm(mm(u, inner!), vh);
  if (gu !== null && m > k) {
    const outside = sub(gu, mm(u, mm(mT(u), gu)));
    ga = add(ga, mm(div(outside, row), vh));
  }
  if (gvh !== null && n > k) {
    const outside = sub(gvh, mm(mm(gvh, mT(vh)), vh));
    ga = add(ga, mm(u, div(outside, column)));
  }
  return ga;
}
