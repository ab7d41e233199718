/**
 * Products made of matrix products: sums with vectors and batches, contractions of several dims, Kronecker's and the
 * cross product. Those with kernels of their own are in matmul.ts.
 *
 * @module
 */
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { inplaceOf } from "./inplace.ts";
import { logicalOr } from "./logic.ts";
import { checkTensor, zerosOf } from "./map.ts";
import { addmm, type AddProduct, baddbmm, dot, mm, mv, outer, type Product } from "./matmul.ts";
import { add, mul, sub } from "./pointwise.ts";
import { roll } from "./rearranging.ts";
import { sum } from "./reduction.ts";
import { expand, permute, reshape, transpose, unsqueeze } from "./view.ts";
import { diagonal } from "./window.ts";

/** `addmm` in place. */
export const addmm_: AddProduct = inplaceOf(addmm);
/** `baddbmm` in place. */
export const baddbmm_: AddProduct = inplaceOf(baddbmm);

/** Fails unless factors and summand have one dtype. */
function checkAlike(name: string, ...tensors: unknown[]): void {
  for (const t of tensors) checkTensor(name, t, "a factor");
  const [first, ...rest] = tensors as Tensor[];
  for (const t of rest) {
    if (t.info !== first.info) {
      throw new DTypeError(`Cannot ${name} ${show(first)} and ${show(t)}: their dtypes differ`, {
        op: name,
      });
    }
  }
}

/** `beta · input + alpha · product`; with beta 0 the input is not read. */
function combined(
  name: string,
  input: Tensor,
  product: Tensor,
  beta: number,
  alpha: number,
): Tensor {
  if (!sameShape(broadcastShapes(input.shape, product.shape, name), product.shape)) {
    throw new ShapeError(
      `Cannot ${name} to input ${shapeText(input.shape)}: it does not broadcast to the product's ${
        shapeText(product.shape)
      }`,
      { op: name },
    );
  }
  if (product.dtype === "bool") {
    const term = Number(alpha) === 0 ? zerosOf(product) : product;
    return Number(beta) === 0 ? term : logicalOr(input, term);
  }
  // As PyTorch, factors take the product's dtype.
  const fit = (k: number) => product.info.isFloat ? k : Math.trunc(Number(k));
  const [a, b] = [fit(alpha), fit(beta)];
  const scaled = a === 1 ? product : mul(product, a);
  if (b === 0) return scaled;
  return add(scaled, b === 1 ? input : mul(input, b));
}

/** `beta · input + alpha · (mat · vec)`: (M, K) by (K); input broadcasts to (M). */
export const addmv: AddProduct = op(
  "addmv(input, mat, vec, beta=1, alpha=1)",
  (input: Tensor, mat: Tensor, vec: Tensor, beta: number, alpha: number) => {
    checkAlike("addmv", input, mat, vec);
    if (mat.ndim !== 2 || vec.ndim !== 1 || mat.shape[1] !== vec.shape[0]) {
      throw new ShapeError(
        `Cannot addmv ${shapeText(mat.shape)} by ${shapeText(vec.shape)}: it takes [M, K] and [K]`,
        { op: "addmv" },
      );
    }
    return combined("addmv", input, mv(mat, vec), beta, alpha);
  },
);
/** `addmv` in place. */
export const addmv_: AddProduct = inplaceOf(addmv);

/** `beta · input + alpha · (vec1 ⊗ vec2)`: (M) and (N); input broadcasts to (M, N). */
export const addr: AddProduct = op(
  "addr(input, vec1, vec2, beta=1, alpha=1)",
  (input: Tensor, a: Tensor, b: Tensor, beta: number, alpha: number) => {
    checkTensor("addr", a, "vec1");
    checkTensor("addr", b, "vec2");
    if (a.ndim !== 1 || b.ndim !== 1) {
      throw new ShapeError(
        `Cannot addr ${shapeText(a.shape)} by ${shapeText(b.shape)}: both must have one dim`,
        { op: "addr" },
      );
    }
    return combined("addr", input, outer(a, b), beta, alpha);
  },
);
/** `addr` in place. */
export const addr_: AddProduct = inplaceOf(addr);

/** `beta · input + alpha · Σ (batch1 · batch2)`: (B, M, K) by (B, K, N); input broadcasts to (M, N). */
export const addbmm: AddProduct = op(
  "addbmm(input, batch1, batch2, beta=1, alpha=1)",
  (input: Tensor, a: Tensor, b: Tensor, beta: number, alpha: number) => {
    checkAlike("addbmm", input, a, b);
    const fits = a.ndim === 3 && b.ndim === 3 && a.shape[0] === b.shape[0] &&
      a.shape[2] === b.shape[1];
    if (!fits) {
      throw new ShapeError(
        `Cannot addbmm ${shapeText(a.shape)} by ${
          shapeText(b.shape)
        }: it takes [B, M, K] and [B, K, N]`,
        { op: "addbmm" },
      );
    }
    const [batch, m, k] = a.shape, n = b.shape[2];
    const wide = reshape(permute(a, [1, 0, 2]), [m, batch * k]);
    return combined("addbmm", input, mm(wide, reshape(b, [batch * k, n])), beta, alpha);
  },
);
/** `addbmm` in place. */
export const addbmm_: AddProduct = inplaceOf(addbmm, { resizes: true });

/** The inner product of two vectors; `dot` for real numbers. */
export const vdot: Product = op("vdot(input, other)", (a: Tensor, b: Tensor) => {
  checkAlike("vdot", a, b);
  if (a.ndim !== 1 || b.ndim !== 1 || a.shape[0] !== b.shape[0]) {
    throw new ShapeError(
      `Cannot vdot ${shapeText(a.shape)} by ${shapeText(b.shape)}: it takes vectors of one size`,
      { op: "vdot" },
    );
  }
  return dot(a, b);
});

/** Sums of products over the last dims: (…, K) and (---, K) give (…, ---); a 0-d operand is a factor. */
export const inner: Product = op("inner(input, other)", (a: Tensor, b: Tensor) => {
  checkTensor("inner", b, "other");
  if (a.ndim === 0 || b.ndim === 0) return mul(a, b);
  checkAlike("inner", a, b);
  const k = a.shape[a.ndim - 1];
  if (k !== b.shape[b.ndim - 1]) {
    throw new ShapeError(
      `Cannot inner ${shapeText(a.shape)} by ${shapeText(b.shape)}: the last sizes ${k} and ${
        b.shape[b.ndim - 1]
      } differ`,
      { op: "inner" },
    );
  }
  const rows = (t: Tensor) => t.shape.slice(0, -1).reduce((n, m) => n * m, 1);
  const product = mm(reshape(a, [rows(a), k]), transpose(reshape(b, [rows(b), k]), 0, 1));
  return reshape(product, [...a.shape.slice(0, -1), ...b.shape.slice(0, -1)]);
});

/** Dims to contract: how many of the last of `a` and the first of `b`, or two lists. */
export type ContractedDims = number | readonly (readonly number[])[];

/** Sums of products over chosen dims of two tensors; the rest of a, then of b, is left. */
export const tensordot: (
  a: Tensor,
  b: Tensor,
  dims?: ContractedDims | { dims?: ContractedDims },
) => Tensor = op("tensordot(a, b, dims=2)", (a: Tensor, b: Tensor, dims: ContractedDims) => {
  checkAlike("tensordot", a, b);
  const fail = (why: string): never => {
    throw new ShapeError(
      `Cannot tensordot ${shapeText(a.shape)} by ${shapeText(b.shape)} over dims ${
        show(dims)
      }: ${why}`,
      { op: "tensordot" },
    );
  };
  if (dims instanceof Tensor) dims = dims.toArray() as number | number[][];
  let da: readonly number[], db: readonly number[];
  if (typeof dims === "number") {
    if (!Number.isInteger(dims) || dims < 0 || dims > Math.min(a.ndim, b.ndim)) {
      fail("there are not so many");
    }
    da = Array.from({ length: dims }, (_, i) => a.ndim - (dims as number) + i);
    db = Array.from({ length: dims }, (_, i) => i);
  } else {
    if (!Array.isArray(dims) || dims.length !== 2) fail("it takes a number or two lists");
    [da, db] = [[dims[0]].flat(), [dims[1]].flat()];
    if (da.length !== db.length) fail("the lists differ in length");
    da = da.map((d) => wrapDim(d, a.ndim, "tensordot"));
    db = db.map((d) => wrapDim(d, b.ndim, "tensordot"));
    if (new Set(da).size < da.length || new Set(db).size < db.length) fail("a dim stands twice");
  }
  // A dim of size 1 stretches, as in PyTorch: its partner is summed first.
  for (let i = 0; i < da.length; i++) {
    const [na, nb] = [a.shape[da[i]], b.shape[db[i]]];
    if (na === nb) continue;
    if (nb === 1) a = sum(a, da[i], { keepdim: true, dtype: a.dtype });
    else if (na === 1) b = sum(b, db[i], { keepdim: true, dtype: b.dtype });
    else fail(`sizes ${na} and ${nb} differ`);
  }
  const restA = a.shape.map((_, d) => d).filter((d) => !da.includes(d));
  const restB = b.shape.map((_, d) => d).filter((d) => !db.includes(d));
  const count = (t: Tensor, dims: readonly number[]) => dims.reduce((n, d) => n * t.shape[d], 1);
  const k = count(a, da);
  const product = mm(
    reshape(permute(a, [...restA, ...da]), [count(a, restA), k]),
    reshape(permute(b, [...db, ...restB]), [k, count(b, restB)]),
  );
  return reshape(product, [...restA.map((d) => a.shape[d]), ...restB.map((d) => b.shape[d])]);
});

/** Kronecker's product: each element of input times all of other. */
export const kron: Product = op("kron(input, other)", (a: Tensor, b: Tensor) => {
  checkTensor("kron", b, "other");
  const n = Math.max(a.ndim, b.ndim);
  const filled = (t: Tensor) => [...Array.from({ length: n - t.ndim }, () => 1), ...t.shape];
  const [sa, sb] = [filled(a), filled(b)];
  const product = mul(
    reshape(a, sa.flatMap((m) => [m, 1])),
    reshape(b, sb.flatMap((m) => [1, m])),
  );
  return reshape(product, sa.map((m, d) => m * sb[d]));
});

/** The product of a chain of matrices, bracketed so that it costs the least; the first and last may be vectors. */
export function chained(name: string, matrices: readonly Tensor[], vectors: boolean): Tensor {
  if (!Array.isArray(matrices) || matrices.length < (vectors ? 2 : 1)) {
    throw new ArgumentError(
      `Cannot ${name}: it takes a list of at least ${vectors ? 2 : 1} matrices`,
      { op: name },
    );
  }
  checkAlike(name, ...matrices);
  const last = matrices.length - 1;
  const ms = matrices.map((m, i) => {
    if (vectors && m.ndim === 1 && i === 0) return unsqueeze(m, 0);
    if (vectors && m.ndim === 1 && i === last) return unsqueeze(m, 1);
    if (m.ndim !== 2) {
      throw new ShapeError(`Cannot ${name} ${shapeText(m.shape)}: it must have two dims`, {
        op: name,
      });
    }
    return m;
  });
  ms.forEach((m, i) => {
    if (i > 0 && ms[i - 1].shape[1] !== m.shape[0]) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(ms[i - 1].shape)} by ${shapeText(m.shape)}: inner sizes differ`,
        { op: name },
      );
    }
  });
  const product = bracketed(ms);
  const shape = product.shape.filter((_, d) => matrices[d === 0 ? 0 : last].ndim === 2);
  return sameShape(shape, product.shape) ? product : reshape(product, shape);
}

/** Multiplies a chain in the order that needs the fewest products of numbers. */
function bracketed(ms: readonly Tensor[]): Tensor {
  const n = ms.length;
  const size = [...ms.map((m) => m.shape[0]), ms[n - 1].shape[1]];
  const cost = ms.map(() => new Array<number>(n).fill(0));
  const cut = ms.map(() => new Array<number>(n).fill(0));
  for (let length = 2; length <= n; length++) {
    for (let i = 0; i + length <= n; i++) {
      const j = i + length - 1;
      cost[i][j] = Infinity;
      for (let k = i; k < j; k++) {
        const c = cost[i][k] + cost[k + 1][j] + size[i] * size[k + 1] * size[j + 1];
        if (c < cost[i][j]) [cost[i][j], cut[i][j]] = [c, k];
      }
    }
  }
  const product = (i: number, j: number): Tensor =>
    i === j ? ms[i] : mm(product(i, cut[i][j]), product(cut[i][j] + 1, j));
  return product(0, n - 1);
}

/** The product of a chain of matrices, bracketed so that it costs the least. */
export const chainMatmul: (matrices: readonly Tensor[]) => Tensor = op(
  "chainMatmul(matrices)",
  (matrices: readonly Tensor[]) => chained("chainMatmul", matrices, false),
);

/** The cross product of vectors of three numbers along a dim; other dims broadcast. */
export function crossAlong(name: string, a: Tensor, b: Tensor, dim: number): Tensor {
  checkTensor(name, b, "other");
  if (a.ndim !== b.ndim) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(a.shape)} by ${shapeText(b.shape)}: the counts of dims differ`,
      { op: name },
    );
  }
  const d = wrapDim(dim, a.ndim, name);
  if (a.shape[d] !== 3 || b.shape[d] !== 3) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(a.shape)} by ${
        shapeText(b.shape)
      } along dim ${dim}: the sizes there must be 3`,
      { op: name },
    );
  }
  const wide = broadcastShapes(a.shape, b.shape, name);
  const turned = (t: Tensor, by: number) => roll(expand(t, wide), by, d);
  return sub(mul(turned(a, -1), turned(b, -2)), mul(turned(a, -2), turned(b, -1)));
}

/** The cross product along a dim; without one along the first of size 3. */
export const cross: (
  input: Tensor,
  other: Tensor,
  dim?: number | null | { dim?: number | null },
) => Tensor = op("cross(input, other, dim=null)", (a: Tensor, b: Tensor, dim: number | null) => {
  checkTensor("cross", b, "other");
  if (dim !== null) return crossAlong("cross", a, b, dim);
  const shape = broadcastShapes(a.shape, b.shape, "cross");
  const first = shape.indexOf(3);
  if (first < 0) {
    throw new ShapeError(
      `Cannot cross ${shapeText(a.shape)} by ${shapeText(b.shape)}: no dim has size 3`,
      { op: "cross" },
    );
  }
  return crossAlong("cross", a, b, first);
});

/** The sum of a matrix's diagonal. Integers give int64. */
export const trace: (input: Tensor) => Tensor = op("trace(input)", (x: Tensor) => {
  if (x.ndim !== 2) {
    throw new ShapeError(`Cannot trace ${shapeText(x.shape)}: it takes a matrix`, { op: "trace" });
  }
  return sum(diagonal(x));
});
