/**
 * Orthogonal matrices as a parametrization, by PyTorch's three maps.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { zeros, zerosLike } from "../ops/creation.ts";
import { cat } from "../ops/joining.ts";
import { householderProduct } from "../ops/decompositions.ts";
import { matrixExp } from "../ops/matrix_functions.ts";
import { solve } from "../ops/linear_systems.ts";
import { geqrf } from "../ops/linalg_forms.ts";
import { where } from "../ops/logic.ts";
import { cast } from "../ops/map.ts";
import { matmul } from "../ops/matmul.ts";
import { reciprocal, sign } from "../ops/math.ts";
import { eye, tril } from "../ops/pattern.ts";
import { add, mul, sub } from "../ops/pointwise.ts";
import { copy_, fill_ } from "../ops/filling.ts";
import { randn } from "../ops/random.ts";
import { sum } from "../ops/reduction.ts";
import { clone, expand, transpose, unsqueeze } from "../ops/view.ts";
import { diagonal, narrow } from "../ops/window.ts";
import { sameShape, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Module } from "./module.ts";
import { Buffer } from "./parameter.ts";
import { registerParametrization } from "./parametrize.ts";
import { checkNorm } from "./weight_norm.ts";

/** How an orthogonal matrix comes about; see `orthogonal`. */
export type OrthogonalMap = "matrix_exp" | "cayley" | "householder";

/** The diagonal of matrices. */
const mainDiagonal = (x: Tensor): Tensor => diagonal(x, 0, -2, { dim2: -1 });

/** Its size and whether it must be turned to have at least as many rows as columns. */
function extent(x: Tensor): { n: number; k: number; wide: boolean } {
  const [a, b] = x.shape.slice(-2);
  return a < b ? { n: b, k: a, wide: true } : { n: a, k: b, wide: false };
}

const turned = (x: Tensor): Tensor => transpose(x, -2, -1);

/** The Q of a QR decomposition whose R has a diagonal above 0: of a random matrix, evenly distributed. */
function orthogonalised(a: Tensor): Tensor {
  const { a: packed, tau } = geqrf(a);
  return mul(householderProduct(packed, tau), unsqueeze(sign(mainDiagonal(packed)), -2));
}

/** Whether the columns are orthonormal to ten roundings. */
function isOrthogonal(q: Tensor): boolean {
  const { k } = extent(q);
  const eps = { float64: 2 ** -52, float32: 2 ** -23, float16: 2 ** -10, bfloat16: 2 ** -7 };
  const off = sub(matmul(turned(q), q), eye(k, { dtype: q.dtype, device: q.device })).abs();
  return Number(off.max().item()) < 10 * k * eps[q.dtype as keyof typeof eps];
}

class Orthogonal extends Module {
  readonly #orthogonal = true;
  /** Where the parametrization stands; what is learned moves from here. Null without trivialization. */
  base: Buffer | null = null;

  constructor(
    readonly map: OrthogonalMap,
    readonly shape: readonly number[],
    readonly trivialized: boolean,
  ) {
    super();
  }

  override forward(given: Tensor): Tensor {
    const { n, k, wide } = extent(given);
    const x = wide ? turned(given) : given;
    const moved = this.map === "householder" ? reflected(x) : exponential(x, n, k, this.map);
    const q = this.base === null ? moved : matmul(this.base, moved);
    return wide ? turned(q) : q;
  }

  /** What gives an orthogonal matrix, or with trivialization the nearest to any. */
  rightInverse(given: Tensor): Tensor {
    if (!sameShape(given.shape, this.shape)) {
      throw new ShapeError(
        `Cannot set an orthogonal ${shapeText(this.shape)} to ${
          shapeText(given.shape)
        }: the shapes differ`,
        { op: "orthogonal" },
      );
    }
    const { n, k, wide } = extent(given);
    const q = wide ? turned(given) : given;
    if (!this.trivialized) {
      if (this.map !== "householder") {
        throw new ArgumentError(
          `Cannot set an orthogonal matrix by map "${this.map}" without trivialization: its inverse is not known`,
          {
            op: "orthogonal",
            hint: 'use { useTrivialization: true } or orthogonalMap "householder"',
          },
        );
      }
      const { a } = geqrf(q), d = mainDiagonal(a);
      const signs = sign(d);
      copy_(d, where(signs.eq(0), 1, signs));
      return wide ? turned(a) : a;
    }
    const square = n === k
      ? (isOrthogonal(q) ? clone(q) : orthogonalised(q))
      : orthogonalised(cat([q, randn([...q.shape.slice(0, -1), n - k], { dtype: q.dtype })], -1));
    this.base = new Buffer(square);
    // Householder's map of 0 is this: -1 on the diagonal.
    const start = zerosLike(given);
    fill_(mainDiagonal(start), -1);
    return start;
  }
}

/** The orthogonal matrix of a skew-symmetric one that x stands for, its first k columns. */
function exponential(given: Tensor, n: number, k: number, map: OrthogonalMap): Tensor {
  let x = tril(given);
  if (n !== k) {
    const none = zeros([n, n - k], { dtype: x.dtype, device: x.device });
    x = cat([x, expand(none, [...x.shape.slice(0, -2), n, n - k])], -1);
  }
  const skew = sub(x, turned(x));
  let q: Tensor;
  if (map === "matrix_exp") q = matrixExp(skew);
  else {
    const one = eye(n, { dtype: x.dtype, device: x.device });
    q = solve(add(one, skew, -0.5), add(one, skew, 0.5));
  }
  return n === k ? q : narrow(q, -1, 0, k);
}

/** The product of reflections whose vectors stand below the diagonal, with the diagonal's signs. */
function reflected(x: Tensor): Tensor {
  const a = tril(x, -1);
  const tau = mul(reciprocal(add(sum(mul(a, a), -2), 1)), 2);
  const signs = cast(cast(mainDiagonal(x), "int32"), x.dtype);
  return mul(householderProduct(a, tau), unsqueeze(signs.detach(), -2));
}

/** Options of `orthogonal`. */
export interface OrthogonalOptions {
  /** The parameter; default `"weight"`. */
  name?: string;
  /** The map; default `"matrix_exp"` for square matrices, else `"householder"`. */
  orthogonalMap?: OrthogonalMap | null;
  /** Whether it starts at the present value, orthogonalised, kept in a buffer; default true. */
  useTrivialization?: boolean;
}

/**
 * Keeps a matrix (…, M, N) orthogonal while it is trained: its columns are orthonormal for M ≥ N, else its rows. What is
 * learned is X, and the weight is `exp(A)`, `(I + A/2)(I - A/2)⁻¹` (`"cayley"`) with A = tril(X) - tril(X)ᵀ, or the product of
 * Householder reflections whose vectors are the columns of X. State keys: `parametrizations.weight.original` and, with
 * trivialization, `parametrizations.weight.0.base`.
 * Errors: ArgumentError for another map, ShapeError for fewer than two dims.
 *
 * ```ts
 * import { linalg, nn } from "@toro/toro";
 * const layer = nn.utils.parametrizations.orthogonal(new nn.Linear(4, 4));
 * console.log(linalg.det(layer.weight).abs().sub(1).abs().item() < 1e-5); // true
 * ```
 */
export function orthogonal<M extends Module>(
  module: M,
  name?: string | OrthogonalOptions,
  options?: OrthogonalOptions,
): M {
  const [, tensorName, given, trivialized] = bind(ORTHOGONAL, [module, name, options]) as [
    M,
    string,
    OrthogonalMap | null,
    boolean,
  ];
  const weight = checkNorm(module, tensorName, "orthogonal");
  if (weight.ndim < 2) {
    throw new ShapeError(
      `Cannot orthogonal ${tensorName} ${shapeText(weight.shape)}: it takes matrices (…, M, N)`,
      { op: "orthogonal" },
    );
  }
  const [m, n] = weight.shape.slice(-2);
  const map = given ?? (m === n ? "matrix_exp" : "householder");
  if (!["matrix_exp", "cayley", "householder"].includes(map)) {
    throw new ArgumentError(
      `Cannot orthogonal by map ${show(map)}: it is "matrix_exp", "cayley" or "householder"`,
      { op: "orthogonal" },
    );
  }
  const part = new Orthogonal(map, weight.shape, trivialized);
  return inMode(
    false,
    () => registerParametrization(module, tensorName, part as never, { unsafe: true }),
  );
}

const ORTHOGONAL = declare(
  orthogonal,
  "orthogonal(module, name='weight', orthogonalMap=null, useTrivialization=true)",
);
