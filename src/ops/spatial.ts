/**
 * What convolutions, pools and other ops on the dims behind batch and channels share: numbers given once or for each
 * dim, and inputs without a batch.
 *
 * @module
 */
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { squeeze, unsqueeze } from "./view.ts";

/** A whole number for all dims, or one for each. */
export type PerDim = number | readonly number[];

/** A number for each of d dims, from one for all or a list. */
export function perDim(name: string, value: unknown, d: number, what: string, least = 0): number[] {
  const list = typeof value === "number" ? [value] : value;
  const listed = Array.isArray(list) && (list.length === 1 || list.length === d) &&
    list.every((n) => Number.isInteger(n) && n >= least);
  if (!listed) {
    throw new ArgumentError(
      `Cannot ${name} with ${what} ${show(value)}: it must be a whole number from ${least} on${
        d === 1 ? "" : `, or ${d} of them`
      }`,
      { op: name },
    );
  }
  return list.length === d ? [...list] : Array.from({ length: d }, () => list[0]);
}

/** Names of dims for error texts: `[N, C, L]`, `[C, H, W]`. */
function dimNames(d: number, batch: boolean): string {
  return `[${batch ? "N, " : ""}C, ${["L", "H, W", "D, H, W"][d - 1]}]`;
}

/** Fails unless x is (N, C, …) or (C, …) with d dims behind the channels, all with elements but for the batch. */
export function checkSpatial(name: string, x: Tensor, d: number): void {
  const odd = x.ndim !== d + 1 && x.ndim !== d + 2;
  if (odd || x.shape.slice(x.ndim - d - 1).includes(0)) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)}: it takes ${dimNames(d, true)} or ${
        dimNames(d, false)
      }, of which only N may be 0`,
      { op: name },
    );
  }
}

/** Fails unless x is of a float type. */
export function checkFloat(name: string, x: Tensor): void {
  if (!x.info.isFloat) {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float tensors only`, { op: name });
  }
}

/** Applies f, which takes a batch, to an input that may have none. */
export function withBatch(x: Tensor, d: number, f: (x: Tensor) => Tensor): Tensor {
  return x.ndim === d + 2 ? f(x) : squeeze(f(unsqueeze(x, 0)), 0);
}
