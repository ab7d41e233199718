/**
 * Matrix products. Operands of any strides go to the kernels as they are; gradients are products with transposed views.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { checkOperand, checkTensor, mapOut, needs, stretched } from "./map.ts";
import { reluGrad } from "./activation.ts";
import { add, mul } from "./pointwise.ts";
import { sumTo } from "./reduction.ts";
import { expand, permute, reshape, transpose, unsqueeze } from "./view.ts";

/** A product of two tensors. */
export type Product = (input: Tensor, other: Tensor) => Tensor;

/** Fails unless two factors are tensors of one dtype on one device. */
function checkFactors(name: string, a: Tensor, b: unknown, what: string): asserts b is Tensor {
  checkTensor(name, b, what);
  checkOperand(name, a, b, what);
  if (a.info !== b.info) {
    throw new DTypeError(
      `Cannot ${name} ${show(a)} by ${show(b)}: both must have one dtype`,
      { op: name, hint: `convert one by to("${a.info.isFloat ? a.dtype : b.dtype}")` },
    );
  }
  if (a.dtype === "bool") {
    throw new DTypeError(`Cannot ${name} ${show(a)} by ${show(b)}: bool has no products`, {
      op: name,
    });
  }
}

function mismatch(name: string, a: Tensor, b: Tensor, k: number, other: number): never {
  throw new ShapeError(
    `Cannot ${name} x ${shapeText(a.shape)} by w ${
      shapeText(b.shape)
    }: inner sizes ${k} and ${other} differ`,
    { op: name },
  );
}

/** The same elements with two dims exchanged, outside of autograd. */
function flipped(t: Tensor): Tensor {
  const n = t.ndim;
  const shape = t.shape.with(n - 1, t.shape[n - 2]).with(n - 2, t.shape[n - 1]);
  const strides = t.strides.with(n - 1, t.strides[n - 2]).with(n - 2, t.strides[n - 1]);
  return new Tensor(t.storage, t.info, shape, strides, t.offset);
}

/** A tensor with a dim of size 1 put in, outside of autograd. */
function widened(t: Tensor, at: number): Tensor {
  return new Tensor(
    t.storage,
    t.info,
    t.shape.toSpliced(at, 0, 1),
    t.strides.toSpliced(at, 0, 0),
    t.offset,
  );
}

/**
 * `relu(scale · (a · b) + bias)` of tensors of two dims and more into a new tensor, scale and bias for each column where
 * they are given, ReLU where asked; no autograd.
 */
function multiply(
  name: string,
  a: Tensor,
  b: Tensor,
  bias: Tensor | null,
  { scale = null, isRelu = false }: { scale?: Tensor | null; isRelu?: boolean } = {},
): Tensor {
  const m = a.shape[a.ndim - 2], k = a.shape[a.ndim - 1], n = b.shape[b.ndim - 1];
  if (a.ndim === 2 && b.ndim === 2) {
    const out = empty([m, n], a.info, a.storage.device);
    run(name, OP.matmul, [out], factors(a, b, bias, scale), isRelu ? RELU : PLAIN);
    return out;
  }
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), name);
  const out = empty([...batch, m, n], a.info, a.storage.device);
  const ins = factors(stretched(a, [...batch, m, k]), stretched(b, [...batch, k, n]), bias, scale);
  run(name, OP.matmul, [out], ins, isRelu ? RELU : PLAIN);
  return out;
}

function factors(a: Tensor, b: Tensor, bias: Tensor | null, scale: Tensor | null): Tensor[] {
  if (bias === null) return [a, b];
  return scale === null ? [a, b, bias] : [a, b, bias, scale];
}

/** Scalars of the instruction: alpha, beta, whether negative results become 0. */
const PLAIN: readonly number[] = [1, 0, 0];
const RELU: readonly number[] = [1, 0, 1];

/** The gradient of the first factor. */
function gradOfLeft(g: Tensor, a: Tensor, b: Tensor): Tensor {
  return sumTo(matmul(g, transpose(b, -1, -2)), a.shape);
}

/** The gradient of the second factor; a batch times one matrix is summed by the product itself. */
function gradOfRight(g: Tensor, a: Tensor, b: Tensor): Tensor {
  if (b.ndim === 2 && a.ndim > 2) {
    const count = a.shape.slice(0, -1).reduce((n, m) => n * m, 1);
    const rows = reshape(a, [count, a.shape[a.ndim - 1]]);
    const gradients = reshape(g, [rows.shape[0], g.shape[g.ndim - 1]]);
    return matmul(transpose(rows, 0, 1), gradients);
  }
  return sumTo(matmul(transpose(a, -1, -2), g), b.shape);
}

function product(name: string, a: Tensor, b: Tensor): Tensor {
  const [wa, wb] = [a.ndim === 1 ? widened(a, 0) : a, b.ndim === 1 ? widened(b, 1) : b];
  const k = wa.shape[wa.ndim - 1], other = wb.shape[wb.ndim - 2];
  if (k !== other) mismatch(name, a, b, k, other);
  let out = multiply(name, wa, wb, null);
  if (a.ndim === 1 || b.ndim === 1) {
    const shape = out.shape.slice(0, -2);
    if (a.ndim !== 1) shape.push(wa.shape[wa.ndim - 2]);
    if (b.ndim !== 1) shape.push(wb.shape[wb.ndim - 1]);
    const strides = out.strides.slice(0, -2);
    if (a.ndim !== 1) strides.push(out.strides[out.ndim - 2]);
    if (b.ndim !== 1) strides.push(out.strides[out.ndim - 1]);
    out = new Tensor(out.storage, out.info, shape, strides, 0);
  }
  if (wants(a, b)) {
    record(name, [a, b], [out], ([g]) => {
      if (g === null) return [null, null];
      const la = a.ndim === 1 ? unsqueeze(a, 0) : a, lb = b.ndim === 1 ? unsqueeze(b, 1) : b;
      let lg = g;
      if (b.ndim === 1) lg = unsqueeze(lg, -1);
      if (a.ndim === 1) lg = unsqueeze(lg, -2);
      return [
        needs(a) ? reshape(gradOfLeft(lg, la, lb), a.shape) : null,
        needs(b) ? reshape(gradOfRight(lg, la, lb), b.shape) : null,
      ];
    }, [a, b]);
  }
  return out;
}

/**
 * The matrix product. Shapes: (…, M, K) by (…, K, N) gives (…, M, N), leading dims broadcast; a vector counts as a
 * row on the left and a column on the right, and its dim is dropped from the result. Types: all but bool, both alike;
 * bfloat16 and float16 are summed in float32. Errors: ShapeError when the inner sizes differ.
 *
 * ```ts
 * import { matmul, ones } from "@toro/toro";
 * const y = matmul(ones([8, 64]), ones([64, 32])); // [8, 32]
 * ```
 */
export const matmul: Product = op("matmul(input, other)", (a: Tensor, b: Tensor) => {
  checkFactors("matmul", a, b, "other");
  if (a.ndim === 0 || b.ndim === 0) {
    throw new ShapeError(
      `Cannot matmul x ${shapeText(a.shape)} by w ${
        shapeText(b.shape)
      }: both need at least one dim`,
      {
        op: "matmul",
      },
    );
  }
  return product("matmul", a, b);
});

function exact(name: string, da: number, db: number): (a: Tensor, b: Tensor) => Tensor {
  return (a, b) => {
    checkFactors(name, a, b, name === "mv" ? "vec" : name === "dot" ? "other" : "mat2");
    if (a.ndim !== da || b.ndim !== db) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(a.shape)} by ${
          shapeText(b.shape)
        }: it takes ${da} and ${db} dims`,
        { op: name, hint: "matmul() takes any number of dims" },
      );
    }
    if (name === "bmm" && a.shape[0] !== b.shape[0]) {
      throw new ShapeError(
        `Cannot bmm ${shapeText(a.shape)} by ${shapeText(b.shape)}: batch sizes ${a.shape[0]} and ${
          b.shape[0]
        } differ`,
        { op: name },
      );
    }
    return product(name, a, b);
  };
}

/** The product of two matrices: (M, K) by (K, N). */
export const mm: Product = op("mm(input, mat2)", exact("mm", 2, 2));
/** Products of matrices, one for each of a batch: (B, M, K) by (B, K, N). */
export const bmm: Product = op("bmm(input, mat2)", exact("bmm", 3, 3));
/** A matrix times a vector: (M, K) by (K). */
export const mv: Product = op("mv(input, vec)", exact("mv", 2, 1));
/** The inner product of two vectors. */
export const dot: Product = op("dot(input, other)", exact("dot", 1, 1));

/** All products of elements of two vectors: (M) by (N) gives (M, N). */
export const outer: Product = op("outer(input, vec2)", (a: Tensor, b: Tensor) => {
  checkTensor("outer", b, "vec2");
  if (a.ndim !== 1 || b.ndim !== 1) {
    throw new ShapeError(
      `Cannot outer ${shapeText(a.shape)} by ${shapeText(b.shape)}: both must have one dim`,
      {
        op: "outer",
      },
    );
  }
  return mul(unsqueeze(a, 1), b);
});

/** What products with a summand take by name. */
export interface AddProductOptions {
  /** Factor of the summand; with 0 it is not read. */
  beta?: number;
  /** Factor of the product. */
  alpha?: number;
}

/** A product added to a tensor that broadcasts to it. */
export type AddProduct = (
  input: Tensor,
  first: Tensor,
  second: Tensor,
  beta?: number | AddProductOptions,
  alpha?: number | AddProductOptions,
  options?: AddProductOptions,
) => Tensor;

function addProduct(name: string, dims: number) {
  return (input: Tensor, a: Tensor, b: Tensor, beta: number, alpha: number): Tensor => {
    checkTensor(name, a, "the first factor");
    checkFactors(name, a, b, "the second factor");
    checkFactors(name, input, a, "the first factor");
    if (a.ndim !== dims || b.ndim !== dims) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(a.shape)} by ${shapeText(b.shape)}: it takes ${dims} dims`,
        {
          op: name,
        },
      );
    }
    const k = a.shape[dims - 1], other = b.shape[dims - 2];
    if (k !== other) mismatch(name, a, b, k, other);
    if (dims === 3 && a.shape[0] !== b.shape[0]) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(a.shape)} by ${shapeText(b.shape)}: batch sizes ${
          a.shape[0]
        } and ${b.shape[0]} differ`,
        { op: name },
      );
    }
    const shape = [...a.shape.slice(0, -1), b.shape[dims - 1]];
    if (!sameShape(broadcastShapes(input.shape, shape, name), shape)) {
      throw new ShapeError(
        `Cannot ${name} to input ${
          shapeText(input.shape)
        }: it does not broadcast to the product's ${shapeText(shape)}`,
        { op: name },
      );
    }
    const out = empty(shape, a.info, a.storage.device);
    if (a.info.isFloat) {
      if (beta !== 0) mapOut(name, OP.copy, out, stretched(input, shape), null, input.info);
      run(name, OP.matmul, [out], [a, b], [alpha, beta, 0]);
    } else {
      run(name, OP.matmul, [out], [a, b], PLAIN);
      mapOut(name, OP.mul, out, out, alpha, out.info);
      const scaled = empty(shape, a.info, a.storage.device);
      mapOut(name, OP.mul, scaled, stretched(input, shape), beta, out.info);
      mapOut(name, OP.add, out, out, scaled, out.info);
    }
    if (wants(input, a, b)) {
      record(name, [input, a, b], [out], ([g]) => {
        if (g === null) return [null, null, null];
        const scaled = alpha === 1 ? g : mul(g, alpha);
        return [
          needs(input) ? sumTo(beta === 1 ? g : mul(g, beta), input.shape) : null,
          needs(a) ? gradOfLeft(scaled, a, b) : null,
          needs(b) ? gradOfRight(scaled, a, b) : null,
        ];
      }, [a, b]);
    }
    return out;
  };
}

/** `beta · input + alpha · (mat1 · mat2)`: (M, K) by (K, N); input broadcasts to (M, N). */
export const addmm: AddProduct = op(
  "addmm(input, mat1, mat2, beta=1, alpha=1)",
  addProduct("addmm", 2),
);
/** `beta · input + alpha · (batch1 · batch2)`: (B, M, K) by (B, K, N); input broadcasts to (B, M, N). */
export const baddbmm: AddProduct = op(
  "baddbmm(input, batch1, batch2, beta=1, alpha=1)",
  addProduct("baddbmm", 3),
);

/** An affine map of the last dim. */
export type Linear = (
  input: Tensor,
  weight: Tensor,
  bias?: Tensor | null | { bias?: Tensor | null },
) => Tensor;

/**
 * `x · weightᵀ + bias`. Shapes: input (…, K), weight (N, K), bias (N) gives (…, N); a weight (K) gives (…).
 * The bias is added as the product is written. Errors: ShapeError when the sizes differ.
 */
export const linear: Linear = op(
  "linear(input, weight, bias=null)",
  (x: Tensor, weight: Tensor, bias: Tensor | null) => {
    checkFactors("linear", x, weight, "weight");
    if (bias !== null) checkFactors("linear", x, bias, "bias");
    const k = x.shape[x.ndim - 1], n = weight.shape[0];
    if (
      x.ndim === 0 || weight.ndim === 0 || weight.ndim > 2 || k !== weight.shape[weight.ndim - 1]
    ) {
      throw new ShapeError(
        `Cannot linear input ${shapeText(x.shape)} by weight ${shapeText(weight.shape)}: ` +
          (weight.ndim > 2 || weight.ndim === 0 || x.ndim === 0
            ? "weight must be [N, K] and input [..., K]"
            : `input's last size ${k} differs from weight's ${weight.shape[weight.ndim - 1]}`),
        { op: "linear" },
      );
    }
    if (weight.ndim === 1) {
      const y = matmul(x, weight);
      return bias === null ? y : addTo(y, bias);
    }
    if (bias !== null && !(bias.ndim === 1 && bias.shape[0] === n)) {
      throw new ShapeError(
        `Cannot linear with bias ${shapeText(bias.shape)}: weight ${
          shapeText(weight.shape)
        } needs one of [${n}]`,
        { op: "linear" },
      );
    }
    // The kernel adds a bias of floats as it writes; whole numbers are added afterwards.
    if (bias !== null && !x.info.isFloat) return add(linear(x, weight), bias);
    return affine(x, weight, bias, false);
  },
);

/** `x · weightᵀ + bias` of operands that fit, negative results as 0 where asked. */
function affine(x: Tensor, weight: Tensor, bias: Tensor | null, isRelu: boolean): Tensor {
  const n = weight.shape[0], k = weight.shape[1];
  const rows = x.ndim === 1 ? widened(x, 0) : x;
  let out = multiply("linear", rows, flipped(weight), bias, { isRelu });
  if (x.ndim === 1) out = new Tensor(out.storage, out.info, [n], [1], 0);
  if (wants(x, weight, bias)) {
    const inputs = bias === null ? [x, weight] : [x, weight, bias];
    record("linear", inputs, [out], ([after]) => {
      if (after === null) return inputs.map(() => null);
      const g = isRelu ? reluGrad(after, out) : after;
      const gx = needs(x) ? matmul(g, weight) : null;
      let gw: Tensor | null = null;
      if (needs(weight)) {
        const count = k === 0 ? g.numel / Math.max(n, 1) : x.numel / k;
        gw = matmul(transpose(reshape(g, [count, n]), 0, 1), reshape(x, [count, k]));
      }
      return bias === null ? [gx, gw] : [gx, gw, needs(bias) ? sumTo(g, bias.shape) : null];
    }, isRelu ? [x, weight, out] : [x, weight]);
  }
  return out;
}

/** A norm in evaluation that follows a linear layer: statistics and parameters by feature. */
export interface FoldedNorm {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  readonly eps: number;
}

/** Whether `linear` takes these as they are: floats of one dtype on one device, sizes that fit. */
function fitsLinear(x: Tensor, weight: Tensor, others: readonly (Tensor | null)[]): boolean {
  const n = weight.shape[0];
  const isAlike = (t: Tensor) => t.info === x.info && t.storage.device === x.storage.device;
  return x.info.isFloat && x.ndim > 0 && weight.ndim === 2 && isAlike(weight) &&
    x.shape[x.ndim - 1] === weight.shape[1] &&
    others.every((t) => t === null || isAlike(t) && t.ndim === 1 && t.shape[0] === n);
}

/**
 * `relu(x · weightᵀ + bias)` as one product, with the gradients of the two; null where the operands are none that
 * `linear` takes, which then says why.
 */
export function linearRelu(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor | null {
  return fitsLinear(x, weight, [bias]) ? affine(x, weight, bias, true) : null;
}

/** What a norm makes of a linear layer's results: `scale · y + shift`, the layer's own bias being part of the shift. */
export function foldNorm(
  { mean, variance, weight, bias, eps }: FoldedNorm,
  own: Tensor | null,
): { scale: Tensor; shift: Tensor } {
  const { info, storage: { device } } = mean;
  const wide = info === DTYPES.float64 ? info : DTYPES.float32;
  const scale = empty(mean.shape, wide, device), shift = empty(mean.shape, wide, device);
  const absent = empty([0], wide, device);
  const ins = [mean, variance, weight ?? absent, bias ?? absent, own ?? absent];
  run("batchNorm", OP.fold_norm, [scale, shift], ins, [eps]);
  return { scale, shift };
}

/**
 * `norm(x · weightᵀ + bias)` with a ReLU where asked, as one product outside of autograd; null where the operands are
 * none that `linear` and `batchNorm` take.
 */
export function linearNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  norm: FoldedNorm,
  isRelu: boolean,
): Tensor | null {
  const { mean, variance } = norm;
  const others = [bias, mean, variance, norm.weight, norm.bias];
  if (x.ndim !== 2 || !fitsLinear(x, weight, others)) return null;
  const { scale, shift } = foldNorm(norm, bias);
  return multiply("linear", x, flipped(weight), shift, { scale, isRelu });
}

/** A product of one number for each row, and its bias of no or one element. */
function addTo(y: Tensor, bias: Tensor): Tensor {
  if (bias.numel !== 1) {
    throw new ShapeError(
      `Cannot linear with bias ${shapeText(bias.shape)}: a weight of one dim needs one number`,
      {
        op: "linear",
      },
    );
  }
  return add(y, expand(reshape(bias, []), y.shape));
}

/**
 * `x1ᵀ · weight[n] · x2 + bias[n]` for each n. Shapes: input1 (…, I), input2 (…, J), weight (N, I, J), bias (N) give
 * (…, N). Errors: ShapeError when the sizes differ.
 */
export const bilinear: (
  input1: Tensor,
  input2: Tensor,
  weight: Tensor,
  bias?: Tensor | null | { bias?: Tensor | null },
) => Tensor = op(
  "bilinear(input1, input2, weight, bias=null)",
  (a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | null) => {
    for (const [x, what] of [[b, "input2"], [weight, "weight"]] as const) {
      checkFactors("bilinear", a, x, what);
    }
    const [n, i, j] = weight.shape, lead = a.shape.slice(0, -1);
    const fits = weight.ndim === 3 && a.ndim > 0 && b.ndim === a.ndim &&
      lead.every((size, d) => size === b.shape[d]) && a.shape.at(-1) === i && b.shape.at(-1) === j;
    if (!fits || (bias !== null && !(bias.ndim === 1 && bias.shape[0] === n))) {
      throw new ShapeError(
        `Cannot bilinear ${shapeText(a.shape)} and ${shapeText(b.shape)} by weight ${
          shapeText(weight.shape)
        }${bias === null ? "" : ` with bias ${shapeText(bias.shape)}`}: the sizes do not fit`,
        { op: "bilinear" },
      );
    }
    const rows = lead.reduce((m, size) => m * size, 1);
    // (rows, I) · (I, N·J), then each row's (N, J) by its (J).
    const wide = reshape(permute(weight, [1, 0, 2]), [i, n * j]);
    const halves = reshape(product("bilinear", reshape(a, [rows, i]), wide), [rows, n, j]);
    const out = reshape(product("bilinear", halves, reshape(b, [rows, j, 1])), [...lead, n]);
    return bias === null ? out : add(out, bias);
  },
);
