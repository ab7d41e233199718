/**
 * Reductions over any dims.
 *
 * @module
 */
import { sameShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { NativeError } from "../errors.ts";

/** Sums a gradient over the dims that broadcasting stretched, back to a shape. */
export function sumTo(g: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(g.shape, shape)) return g;
  throw new NativeError("sum is not there");
}
