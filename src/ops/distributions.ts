/**
 * Fills with numbers of further distributions, each made of uniform or normal ones. The distributions with kernels of
 * their own are in random.ts.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { empty, type Tensor } from "../tensor.ts";
import { DTYPES } from "../dtype.ts";
import { checkNumber } from "./map.ts";
import { ceil, exp, log1p, neg, tan } from "./math.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { clampMin } from "./bounds.ts";
import { copy_ } from "./filling.ts";
import { floatsOnly, normal_, uniform_ } from "./random.ts";

/** Fails unless a scale is a number above 0. */
function checkScale(name: string, value: unknown, what: string): void {
  if (typeof value === "number" && value > 0) return;
  throw new ArgumentError(`Cannot ${name} with ${what} ${show(value)}: it must be above 0`, {
    op: name,
  });
}

/** Fills x with what `make` makes of a float64 tensor of its shape, which is not set. */
function fillBy(x: Tensor, make: (drawn: Tensor) => Tensor): Tensor {
  return copy_(x, inMode(false, () => make(empty(x.shape, DTYPES.float64, x.storage.device))));
}

/** What `cauchy_` takes by name. */
export interface CauchyOptions {
  /** The median; default 0. */
  median?: number;
  /** Half the distance between the quartiles; default 1. */
  sigma?: number;
}
/** Fills with numbers of Cauchy's distribution: `median + sigma · tan(π (u - ½))`. Types: floats. A method. */
export const cauchy_: (
  input: Tensor,
  median?: number | CauchyOptions,
  sigma?: number | CauchyOptions,
) => Tensor = op(
  "cauchy_(input, median=0, sigma=1)",
  (x: Tensor, median: number, sigma: number) => {
    floatsOnly("cauchy_", x);
    checkNumber("cauchy_", median, "median");
    checkScale("cauchy_", sigma, "sigma");
    return fillBy(x, (u) => add(mul(tan(mul(sub(uniform_(u), 0.5), Math.PI)), sigma), median));
  },
);

/** What `logNormal_` takes by name. */
export interface LogNormalOptions {
  /** The mean of the logarithm; default 1. */
  mean?: number;
  /** The standard deviation of the logarithm; default 2. */
  std?: number;
}
/** Fills with numbers whose logarithms are normal: `exp(mean + std · z)`. Types: floats. A method. */
export const logNormal_: (
  input: Tensor,
  mean?: number | LogNormalOptions,
  std?: number | LogNormalOptions,
) => Tensor = op("logNormal_(input, mean=1, std=2)", (x: Tensor, mean: number, std: number) => {
  floatsOnly("logNormal_", x);
  checkNumber("logNormal_", mean, "mean");
  checkScale("logNormal_", std, "std");
  return fillBy(x, (z) => exp(normal_(z, mean, std)));
});

/**
 * Fills with the number of tries up to the first success, each of probability p: `⌈log u / log(1 - p)⌉`, from 1 on.
 * Types: all but bool. A method.
 */
export const geometric_: (input: Tensor, p: number) => Tensor = op(
  "geometric_(input, p)",
  (x: Tensor, p: number) => {
    if (x.dtype === "bool") {
      throw new DTypeError(`Cannot geometric_ ${show(x)}: a bool tensor holds no counts`, {
        op: "geometric_",
      });
    }
    if (typeof p !== "number" || !(p > 0 && p < 1)) {
      throw new ArgumentError(
        `Cannot geometric_ with p ${show(p)}: a probability between 0 and 1, both excluded`,
        { op: "geometric_" },
      );
    }
    // 1 - u lies in (0, 1].
    return fillBy(
      x,
      (u) => clampMin(ceil(div(log1p(neg(uniform_(u))), Math.log1p(-p))), 1),
    );
  },
);
