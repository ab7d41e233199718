/**
 * Differences and integrals along a dim, distances between points, covariances, and vectors kept to a length: compositions
 * of other ops.
 *
 * @module
 */
import { DTYPES, Float, getDefaultDtype, resultType } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, shapeText, wrapDim, wrapDims } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { cat } from "./joining.ts";
import { gt, logicalXor, where } from "./logic.ts";
import { cast, checkTensor, type Operand, zerosOf } from "./map.ts";
import { matmul } from "./matmul.ts";
import { sqrt, square } from "./math.ts";
import { norm } from "./moments.ts";
import { inplaceOf } from "./inplace.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { clamp, clampMin } from "./bounds.ts";
import { triuIndices } from "./rearranging.ts";
import { mean, sum } from "./reduction.ts";
import { cumsum } from "./scan.ts";
import { indexSelect } from "./index_ops.ts";
import { reshape, transpose, unsqueeze } from "./view.ts";
import { diagonal, narrow } from "./window.ts";

// ---- along a dim --------------------------------------------------------------------------------

/** What `diff` takes by name. */
export interface DiffOptions {
  /** How often; default 1. */
  n?: number;
  /** The dim; default the last. */
  dim?: number;
  /** Joined before the input. */
  prepend?: Tensor | null;
  /** Joined after it. */
  append?: Tensor | null;
}

/** Differences of neighbours along a dim, n times; of bool whether they differ. */
export const diff: (
  input: Tensor,
  n?: number | DiffOptions,
  dim?: number | DiffOptions,
  options?: DiffOptions,
) => Tensor = op(
  "diff(input, n=1, dim=-1, prepend=null, append=null)",
  (x: Tensor, n: number, dim: number, prepend: Tensor | null, append: Tensor | null) => {
    if (x.ndim === 0) {
      throw new ShapeError("Cannot diff a tensor without dims", { op: "diff" });
    }
    const d = wrapDim(dim, x.ndim, "diff");
    if (!Number.isInteger(n) || n < 0) {
      throw new ArgumentError(`Cannot diff ${show(n)} times: it must be a whole number from 0`, {
        op: "diff",
      });
    }
    for (const [t, what] of [[prepend, "prepend"], [append, "append"]] as const) {
      if (t === null) continue;
      checkTensor("diff", t, what);
      if (t.ndim !== x.ndim) {
        throw new ShapeError(
          `Cannot diff ${shapeText(x.shape)} with ${what} ${
            shapeText(t.shape)
          }: it must have ${x.ndim} dims`,
          { op: "diff" },
        );
      }
    }
    if (n === 0) return x.clone();
    let y = prepend === null && append === null
      ? x
      : cat([prepend, x, append].filter((t) => t !== null), d);
    const most = Math.min(n, y.shape[d]);
    for (let i = 0; i < most; i++) {
      const count = y.shape[d];
      if (count === 0) break;
      const [low, high] = [narrow(y, d, 0, count - 1), narrow(y, d, 1, count - 1)];
      y = y.info === DTYPES.bool ? logicalXor(high, low) : sub(high, low);
    }
    return y;
  },
);

/** What `gradient` takes by name. */
export interface GradientOptions {
  /** Distances: one number, one for each dim, or coordinates. */
  spacing?: number | readonly (number | Tensor)[] | Tensor | null;
  /** The dims; default all. */
  dim?: number | readonly number[] | null;
  /** 1 or 2: how exact the ends are. */
  edgeOrder?: number;
}

/** Slopes along each dim, by central differences inside and one-sided ones at the ends. */
export const gradient: (input: Tensor, options?: GradientOptions) => Tensor[] = op(
  "gradient(input, spacing=1, dim=null, edgeOrder=1)",
  (
    x: Tensor,
    spacing: number | readonly (number | Tensor)[] | Tensor | null,
    dim: number | readonly number[] | null,
    edgeOrder: number,
  ) => {
    const fail = (why: string): never => {
      throw new ArgumentError(`Cannot gradient ${show(x)}: ${why}`, { op: "gradient" });
    };
    if (edgeOrder !== 1 && edgeOrder !== 2) fail(`edgeOrder ${show(edgeOrder)} is not 1 or 2`);
    const dims = dim === null
      ? x.shape.map((_, d) => d)
      : [dim].flat().map((d) => wrapDim(d as number, x.ndim, "gradient"));
    if (new Set(dims).size < dims.length) fail("a dim stands twice");
    const steps = Array.isArray(spacing) ? [...spacing] : dims.map(() => spacing ?? 1);
    if (steps.length !== dims.length) fail(`${steps.length} spacings for ${dims.length} dims`);
    return dims.map((d, i) => slope(x, d, steps[i], edgeOrder, fail));
  },
);

function slope(
  input: Tensor,
  d: number,
  step: number | Tensor,
  order: number,
  fail: (why: string) => never,
): Tensor {
  const n = input.shape[d];
  if (n < order + 1) fail(`dim ${d} of size ${n} is below edgeOrder + 1`);
  if (step instanceof Tensor && (step.ndim !== 1 || step.shape[0] !== n)) {
    fail(`the coordinates ${show(step)} must be one for each of ${n} places`);
  }
  const x = input.info.isFloat ? input : cast(input, getDefaultDtype());
  const part = (start: number, length: number) => narrow(x, d, start, length);
  // Distances to the next place, as a tensor that broadcasts along the dim.
  const shape = x.shape.map((_, k) => k === d ? -1 : 1);
  const gap = (start: number, length: number): Operand =>
    step instanceof Tensor
      ? reshape(sub(narrow(step, 0, start + 1, length), narrow(step, 0, start, length)), shape)
      : step;
  const parts: Tensor[] = [];
  const edge = (at: number, next: number, after: number, first: number, second: number) => {
    const [a, b] = [part(at, 1), part(next, 1)];
    const forward = at < next;
    const h1 = gap(first, 1);
    if (order === 1) return div(forward ? sub(b, a) : sub(a, b), h1);
    const h2 = gap(second, 1), c = part(after, 1);
    // A parabola through three places.
    const total = typeof h1 === "number" ? h1 + (h2 as number) : add(h1 as Tensor, h2);
    const near = div(sub(b, a), h1), far = div(sub(c, b), h2);
    const bend = div(sub(far, near), total);
    const rise = sub(near, mul(bend, h1));
    return forward ? rise : mul(rise, -1);
  };
  parts.push(edge(0, 1, Math.min(2, n - 1), 0, 1));
  if (n > 2) {
    const left = gap(0, n - 2), right = gap(1, n - 2);
    const low = sub(part(1, n - 2), part(0, n - 2)), high = sub(part(2, n - 2), part(1, n - 2));
    if (typeof left === "number") {
      parts.push(div(sub(part(2, n - 2), part(0, n - 2)), 2 * left));
    } else {
      const l = left as Tensor, r = right as Tensor;
      const total = add(l, r);
      parts.push(add(mul(div(low, l), div(r, total)), mul(div(high, r), div(l, total))));
    }
  }
  parts.push(edge(n - 1, n - 2, Math.max(n - 3, 0), n - 2, Math.max(n - 3, 0)));
  return cat(parts, d);
}

/** What `trapezoid` takes by name. */
export interface TrapezoidOptions {
  /** The places; without them all are `dx` apart. */
  x?: Tensor | null;
  /** The distance of neighbours; default 1. */
  dx?: number;
  /** The dim; default the last. */
  dim?: number;
}

/** The areas under neighbouring values along a dim. */
function trapezoids(name: string, y: Tensor, x: Tensor | null, dx: number, dim: number): Tensor {
  checkTensor(name, y, "y");
  const d = wrapDim(dim, y.ndim, name), n = y.shape[d];
  if (y.ndim === 0) {
    throw new ShapeError(`Cannot ${name} a tensor without dims`, { op: name });
  }
  const wide = y.info === DTYPES.bool ? cast(y, "int64") : y;
  if (n === 0) return x === null ? wide : cast(wide, resultType([wide, x]));
  const pairs = add(narrow(wide, d, 0, n - 1), narrow(wide, d, 1, n - 1));
  if (x === null) {
    if (typeof dx !== "number") {
      throw new ArgumentError(`Cannot ${name} with dx ${show(dx)}: it must be a number`, {
        op: name,
      });
    }
    return mul(pairs, new Float(dx / 2));
  }
  checkTensor(name, x, "x");
  const along = x.ndim === 1 ? 0 : wrapDim(dim, x.ndim, name);
  if (x.shape[along] !== n && x.shape[along] !== 1) {
    throw new ShapeError(
      `Cannot ${name} y ${shapeText(y.shape)} at x ${
        shapeText(x.shape)
      }: there must be ${n} places`,
      { op: name },
    );
  }
  const count = x.shape[along];
  const steps = sub(narrow(x, along, 1, count - 1), narrow(x, along, 0, count - 1));
  const fitted = x.ndim === 1 ? reshape(steps, y.shape.map((_, k) => k === d ? -1 : 1)) : steps;
  return div(mul(pairs, fitted), 2);
}

/** An integral by trapezoids. */
export type Trapezoid = (
  y: Tensor,
  x?: Tensor | null | TrapezoidOptions,
  options?: TrapezoidOptions,
) => Tensor;

function trapezoidOp(name: string): Trapezoid {
  return op(
    `${name}(y, x=null, dx=1, dim=-1)`,
    (y: Tensor, x: Tensor | null, dx: number, dim: number) =>
      sum(trapezoids(name, y, x, dx ?? 1, dim), dim),
  );
}
/** The integral along a dim: the sum of trapezoids between neighbours. */
export const trapezoid: Trapezoid = trapezoidOp("trapezoid");
/** `trapezoid` under its older name. */
export const trapz: Trapezoid = trapezoidOp("trapz");
/** The integral up to each place along a dim. */
export const cumulativeTrapezoid: Trapezoid = op(
  "cumulativeTrapezoid(y, x=null, dx=1, dim=-1)",
  (y: Tensor, x: Tensor | null, dx: number, dim: number) =>
    cumsum(trapezoids("cumulativeTrapezoid", y, x, dx ?? 1, dim), dim),
);

// ---- distances ----------------------------------------------------------------------------------

/** `‖input - other‖` of order p. */
export const dist: (input: Tensor, other: Tensor, p?: number | { p?: number }) => Tensor = op(
  "dist(input, other, p=2)",
  (a: Tensor, b: Tensor, p: number) => {
    checkTensor("dist", b, "other");
    return norm(sub(a, b), p);
  },
);

/** Fails unless an order of a distance is not negative. */
function checkOrder(name: string, p: number): void {
  if (typeof p !== "number" || !(p >= 0)) {
    throw new ArgumentError(`Cannot ${name} of order ${show(p)}: it may not be negative`, {
      op: name,
    });
  }
}

/** More rows than this on a side, and Euclid's distances are taken from one matrix product. */
const MANY_ROWS = 25;

/** What `cdist` takes by name. */
export interface CdistOptions {
  /** The order; default 2. */
  p?: number;
  /** When Euclid's distances come from a product: "use_mm_for_euclid_dist_if_necessary", "…dist" or "donot_…". */
  computeMode?: string | null;
}

/**
 * Distances of order p between all rows of x1 (…, P, M) and x2 (…, R, M): (…, P, R). Euclid's, of more than 25 rows, are
 * `√(‖a‖² + ‖b‖² - 2 a·b)`, as PyTorch takes them. The gradient at distance 0 is 0.
 */
export const cdist: (
  x1: Tensor,
  x2: Tensor,
  p?: number | CdistOptions,
  options?: CdistOptions,
) => Tensor = op(
  "cdist(x1, x2, p=2, computeMode=null)",
  (a: Tensor, b: Tensor, p: number, computeMode: string | null) => {
    checkTensor("cdist", a, "x1");
    checkTensor("cdist", b, "x2");
    checkOrder("cdist", p);
    if (!a.info.isFloat || a.info !== b.info) {
      throw new ArgumentError(`Cannot cdist ${show(a)} and ${show(b)}: it takes one float dtype`, {
        op: "cdist",
      });
    }
    if (a.ndim < 2 || b.ndim < 2 || a.shape[a.ndim - 1] !== b.shape[b.ndim - 1]) {
      throw new ShapeError(
        `Cannot cdist ${shapeText(a.shape)} and ${
          shapeText(b.shape)
        }: it takes [..., P, M] and [..., R, M]`,
        { op: "cdist" },
      );
    }
    broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), "cdist");
    const many = a.shape[a.ndim - 2] > MANY_ROWS || b.shape[b.ndim - 2] > MANY_ROWS;
    const byProduct = computeMode === "use_mm_for_euclid_dist" ||
      (many && computeMode !== "donot_use_mm_for_euclid_dist");
    if (p !== 2 || !byProduct) return norm(sub(unsqueeze(a, -2), unsqueeze(b, -3)), p, -1);
    const length = (t: Tensor) => sum(square(t), -1, { keepdim: true });
    const cross = mul(matmul(a, transpose(b, -2, -1)), -2);
    const squares = add(add(cross, length(a)), transpose(length(b), -2, -1));
    const far = gt(squares, 0);
    return where(far, sqrt(where(far, squares, 1)), zerosOf(squares));
  },
);

/** Distances of order p between all pairs of rows (N, M): N (N - 1) / 2 of them, row by row. */
export const pdist: (input: Tensor, p?: number | { p?: number }) => Tensor = op(
  "pdist(input, p=2)",
  (x: Tensor, p: number) => {
    checkOrder("pdist", p);
    if (x.ndim !== 2 || !x.info.isFloat) {
      throw new ShapeError(`Cannot pdist ${show(x)}: it takes a float matrix`, { op: "pdist" });
    }
    const n = x.shape[0];
    const pairs = triuIndices(n, n, { offset: 1, device: x.device });
    const row = (i: number) => indexSelect(x, 0, reshape(narrow(pairs, 0, i, 1), [-1]));
    return norm(sub(row(0), row(1)), p, 1);
  },
);

/** Slices along a dim whose norm of order p is above `maxnorm`, scaled down to it. */
export const renorm: (input: Tensor, p: number, dim: number, maxnorm: number) => Tensor = op(
  "renorm(input, p, dim, maxnorm)",
  (x: Tensor, p: number, dim: number, maxnorm: number) => {
    if (!(p > 0) || !(maxnorm >= 0) || x.ndim < 2) {
      throw new ArgumentError(
        `Cannot renorm ${show(x)} with p ${show(p)} and maxnorm ${
          show(maxnorm)
        }: p must be positive, maxnorm not negative, and there must be two dims`,
        { op: "renorm" },
      );
    }
    const d = wrapDim(dim, x.ndim, "renorm");
    const dims = wrapDims(null, x.ndim, "renorm").filter((k) => k !== d);
    const length = norm(x, p, dims, { keepdim: true });
    return mul(
      x,
      where(gt(length, maxnorm), div(maxnormOf(length, maxnorm), add(length, 1e-7)), 1),
    );
  },
);
const maxnormOf = (like: Tensor, maxnorm: number): Tensor => add(zerosOf(like), maxnorm);
/** `renorm` in place. */
export const renorm_: (input: Tensor, p: number, dim: number, maxnorm: number) => Tensor =
  inplaceOf(renorm);

// ---- covariances --------------------------------------------------------------------------------

/** What `cov` takes by name. */
export interface CovOptions {
  /** Subtracted from the count; default 1. */
  correction?: number;
  /** How often each observation stands: integers. */
  fweights?: Tensor | null;
  /** How much each observation counts. */
  aweights?: Tensor | null;
}

function covariance(
  name: string,
  input: Tensor,
  correction: number,
  fweights: Tensor | null,
  aweights: Tensor | null,
): Tensor {
  if (input.ndim > 2 || input.info === DTYPES.bool) {
    throw new ShapeError(`Cannot ${name} ${show(input)}: it takes numbers of at most two dims`, {
      op: name,
    });
  }
  const rows = input.ndim === 2 ? input : reshape(input, [1, -1]);
  const x = rows.info.isFloat ? rows : cast(rows, getDefaultDtype());
  const n = x.shape[1];
  let weights: Tensor | null = null;
  for (const [w, what] of [[fweights, "fweights"], [aweights, "aweights"]] as const) {
    if (w === null) continue;
    checkTensor(name, w, what);
    if (w.ndim > 1 || w.numel !== n || (w.info.isFloat === (what === "fweights"))) {
      throw new ShapeError(
        `Cannot ${name} with ${what} ${show(w)}: it takes ${n} ${
          what === "fweights" ? "integers" : "floats"
        }`,
        { op: name },
      );
    }
    if (w.numel > 0 && Number(w.min().item()) < 0) {
      throw new ArgumentError(`Cannot ${name} with ${what} ${show(w)}: one is negative`, {
        op: name,
      });
    }
    weights = weights === null ? w : mul(weights, w);
  }
  const total = weights === null ? null : sum(weights);
  const center = weights === null
    ? mean(x, 1, { keepdim: true })
    : div(sum(mul(x, weights), 1, { keepdim: true }), total!);
  const d = sub(x, center);
  let count: Operand = n - correction;
  if (weights !== null) {
    const used = correction === 0 || aweights === null ? sub(total!, correction) : sub(
      total!,
      div(mul(sum(mul(weights, aweights)), correction), total!),
    );
    count = clampMin(used, 0);
  }
  const product = matmul(weights === null ? d : mul(d, weights), transpose(d, 0, 1));
  const out = div(product, count instanceof Tensor ? count : Math.max(count, 0));
  return x.shape[0] === 1 ? reshape(out, []) : out;
}

/** The covariances of rows (variables) over columns (observations): (R, N) → (R, R). */
export const cov: (input: Tensor, options?: CovOptions) => Tensor = op(
  "cov(input, correction=1, fweights=null, aweights=null)",
  (x: Tensor, correction: number, fweights: Tensor | null, aweights: Tensor | null) =>
    covariance("cov", x, correction, fweights, aweights),
);

/** The correlations of rows (variables) over columns (observations), kept in [-1, 1]. */
export const corrcoef: (input: Tensor) => Tensor = op("corrcoef(input)", (x: Tensor) => {
  const c = covariance("corrcoef", x, 1, null, null);
  if (c.ndim === 0) return div(c, c);
  const deviation = sqrt(diagonal(c));
  const scaled = div(div(c, unsqueeze(deviation, -1)), unsqueeze(deviation, 0));
  return clamp(scaled, -1, 1);
});
