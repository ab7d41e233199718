/**
 * Norms of matrices and the condition number, by sums or by singular values; `linalg.norm`, which is one of both.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import type { DType } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText, wrapDim } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkMatrix, singularValuesOf } from "./factorizations.ts";
import { invEx } from "./linear_systems.ts";
import { ne, where } from "./logic.ts";
import { cast, checkTensor } from "./map.ts";
import { abs } from "./math.ts";
import { vectorNorm } from "./moments.ts";
import { div, mul } from "./pointwise.ts";
import { amax, amin, sum } from "./reduction.ts";
import { permute, squeeze, unsqueeze } from "./view.ts";

/** The order of a matrix norm: "fro", "nuc", ±1, ±2, ±∞. */
export type MatrixOrder = "fro" | "nuc" | number;

/** The matrix norm over two dims of a float tensor. */
export function matrixNormOver(
  name: string,
  x: Tensor,
  ord: MatrixOrder,
  dims: readonly number[],
  keepdim: boolean,
): Tensor {
  const [rows, columns] = dims.map((d) => wrapDim(d, x.ndim, name));
  if (rows === columns) {
    throw new ShapeError(`Cannot ${name} over dims ${show(dims)}: they are the same`, { op: name });
  }
  if (ord === "fro") return vectorNorm(x, 2, [rows, columns], { keepdim });
  const size = ord === "nuc" ? 2 : Math.abs(ord as number);
  if (ord !== "nuc" && ![1, 2, Infinity].includes(size)) {
    throw new ArgumentError(
      `Cannot ${name} of order ${
        show(ord)
      }: it is "fro", "nuc", 1, 2 or ∞, or one of these negative`,
      { op: name },
    );
  }
  if (size !== 2) {
    const [summed, kept] = size === 1 ? [rows, columns] : [columns, rows];
    const sums = sum(abs(x), summed, { keepdim: true });
    const y = ord as number > 0
      ? amax(sums, kept, { keepdim: true })
      : amin(sums, kept, { keepdim: true });
    return keepdim ? y : squeeze(y, [rows, columns]);
  }
  const rest = x.shape.map((_, d) => d).filter((d) => d !== rows && d !== columns);
  const s = singularValuesOf(name, permute(x, [...rest, rows, columns]));
  const y = ord === "nuc" ? sum(s, -1) : ord as number > 0 ? amax(s, -1) : amin(s, -1);
  if (!keepdim) return y;
  const [first, second] = rows < columns ? [rows, columns] : [columns, rows];
  return unsqueeze(unsqueeze(y, first), second);
}

function floats(name: string, x: Tensor, dtype: DType | null): Tensor {
  const wide = dtype === null ? x : cast(x, dtype);
  if (!wide.info.isFloat) {
    throw new ArgumentError(`Cannot ${name} ${show(x)}: it takes floats`, { op: name });
  }
  return wide;
}

/** What norms of matrices take by name. */
export interface MatrixNormOptions {
  /** The order; default "fro". */
  ord?: MatrixOrder;
  /** The two dims of the matrices; default the last two. */
  dim?: readonly number[];
  /** Keep the dims with size 1. */
  keepdim?: boolean;
  /** The dtype computed in. */
  dtype?: DType | null;
}

/** The norm of matrices: "fro" of all elements, "nuc" the sum of singular values, ±2 one of them, ±1 and ±∞ of sums. */
export const matrixNorm: (
  A: Tensor,
  options?: MatrixNormOptions,
) => Tensor = op(
  "matrixNorm(A, ord='fro', dim=[-2, -1], keepdim=false, dtype=null)",
  (
    a: Tensor,
    ord: MatrixOrder,
    dim: readonly number[],
    keepdim: boolean,
    dtype: DType | null,
  ) => {
    checkTensor("matrixNorm", a, "A");
    if (a.ndim < 2) {
      throw new ShapeError(`Cannot matrixNorm ${shapeText(a.shape)}: it takes matrices`, {
        op: "matrixNorm",
      });
    }
    if (!Array.isArray(dim) || dim.length !== 2) {
      throw new ArgumentError(`Cannot matrixNorm over dim ${show(dim)}: it takes two dims`, {
        op: "matrixNorm",
      });
    }
    return matrixNormOver("matrixNorm", floats("matrixNorm", a, dtype), ord, dim, keepdim);
  },
);

/** What `linalg.norm` takes by name. */
export interface LinalgNormOptions {
  /** The order; default 2 of all elements. */
  ord?: MatrixOrder | null;
  /** One dim of vectors or two of matrices. */
  dim?: number | readonly number[] | null;
  /** Keep the dims with size 1. */
  keepdim?: boolean;
  /** The dtype computed in. */
  dtype?: DType | null;
}

/** The norm of vectors along one dim or of matrices in two; without order and dim the 2-norm of all elements. */
export const linalgNorm: (
  A: Tensor,
  ord?: MatrixOrder | null | LinalgNormOptions,
  dim?: number | readonly number[] | null | LinalgNormOptions,
  options?: LinalgNormOptions,
) => Tensor = op(
  "norm(A, ord=null, dim=null, keepdim=false, dtype=null)",
  (
    a: Tensor,
    ord: MatrixOrder | null,
    dim: number | readonly number[] | null,
    keepdim: boolean,
    dtype: DType | null,
  ) => {
    checkTensor("norm", a, "A");
    const x = floats("norm", a, dtype);
    const dims = dim === null ? null : [dim].flat() as number[];
    if (dims !== null && dims.length > 2) {
      throw new ArgumentError(`Cannot norm over dims ${show(dims)}: it takes one or two`, {
        op: "norm",
      });
    }
    if (ord === null) return vectorNorm(x, 2, dims, { keepdim });
    if (dims === null && x.ndim !== 1 && x.ndim !== 2) {
      throw new ShapeError(
        `Cannot norm ${shapeText(x.shape)} of order ${show(ord)} without dim: it takes 1 or 2 dims`,
        { op: "norm" },
      );
    }
    const over = dims ?? x.shape.map((_, d) => d);
    if (over.length === 2) return matrixNormOver("norm", x, ord, over, keepdim);
    if (typeof ord !== "number") {
      throw new ArgumentError(
        `Cannot norm of order ${show(ord)} over one dim: it must be a number`,
        {
          op: "norm",
        },
      );
    }
    return vectorNorm(x, ord, over, { keepdim });
  },
);

/** The condition number `‖A‖ ‖A⁻¹‖`; ∞ for a singular matrix. */
export const cond: (
  A: Tensor,
  p?: MatrixOrder | null | { p?: MatrixOrder | null },
) => Tensor = op("cond(A, p=null)", (a: Tensor, p: MatrixOrder | null) => {
  const bySingular = p === null || p === 2 || p === -2;
  checkMatrix("cond", a, !bySingular, "A");
  if (bySingular) {
    const s = singularValuesOf("cond", a);
    const [most, least] = [amax(s, -1), amin(s, -1)];
    return p === -2 ? div(least, most) : div(most, least);
  }
  const { inverse, info } = invEx(a);
  const product = mul(
    matrixNormOver("cond", a, p, [-2, -1], false),
    matrixNormOver("cond", inverse, p, [-2, -1], false),
  );
  const singular = inMode(false, () => ne(info, 0));
  return where(singular, Infinity, product);
});
