/**
 * Local response normalisation, across neighbouring channels.
 *
 * @module
 */
import { autocasting } from "../autocast.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { numelOf, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { pad } from "./joining.ts";
import { add, div, mul, pow } from "./pointwise.ts";
import { avgPool1d } from "./pooling.ts";
import { checkFloat } from "./spatial.ts";
import { permute, reshape } from "./view.ts";

/** What `localResponseNorm` takes by name. */
export interface LocalResponseNormOptions {
  /** Factor of the mean; default 1e-4. */
  alpha?: number;
  /** Exponent; default 0.75. */
  beta?: number;
  /** Summand; default 1. */
  k?: number;
}

/** With more than one dim behind the channels PyTorch pools over three, and autocast takes it for that. */
const avgPoolWide = autocasting("avgPool3d", avgPool1d);

/**
 * `y[c] = x[c] / (k + alpha · mean(x²))^beta`, the mean over `size` channels around c, zero where there are none.
 * Shapes: x (N, C, …) → the same. Types: float, and int64. Source: Krizhevsky, Sutskever and Hinton 2012.
 */
export const localResponseNorm: (
  input: Tensor,
  size: number,
  alpha?: number | LocalResponseNormOptions,
  beta?: number | LocalResponseNormOptions,
  options?: LocalResponseNormOptions,
) => Tensor = op(
  "localResponseNorm(input, size, alpha=1e-4, beta=0.75, k=1)",
  (x: Tensor, size: number, alpha: number, beta: number, k: number) => {
    const name = "localResponseNorm";
    if (x.dtype !== "int64") checkFloat(name, x);
    if (x.ndim < 3) {
      throw new ShapeError(`Cannot ${name} ${shapeText(x.shape)}: it takes [N, C, L, ...]`, {
        op: name,
      });
    }
    if (typeof size !== "number" || !Number.isInteger(size) || size < 1) {
      throw new ArgumentError(
        `Cannot ${name} over ${show(size)} channels: it must be a whole number from 1 on`,
        { op: name },
      );
    }
    if (x.numel === 0) return x;
    const [n, c] = x.shape, places = numelOf(x.shape.slice(2));
    // Channels last, so that they are what is pooled.
    const squares = permute(reshape(mul(x, x), [n, c, places]), [0, 2, 1]);
    const wide = pad(squares, [Math.floor(size / 2), Math.floor((size - 1) / 2)]);
    const mean = permute((x.ndim > 3 ? avgPoolWide : avgPool1d)(wide, size, 1), [0, 2, 1]);
    return div(x, pow(add(mul(reshape(mean, x.shape), alpha), k), beta));
  },
);
