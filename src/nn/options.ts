/**
 * What the constructors of layers share: options of their parameters, and checks of sizes.
 *
 * @module
 */
import { type DType, type DTypeInfo, dtypeInfo, getDefaultDtype } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { deviceNumber } from "../ops/creation.ts";
import { copy_ } from "../ops/filling.ts";
import { clone } from "../ops/view.ts";
import { empty, type Tensor } from "../tensor.ts";
import { Parameter } from "./parameter.ts";

/** Where and in what type a layer makes its parameters. */
export interface FactoryOptions {
  /** `"cpu"` (default) or `"cuda"`. */
  device?: string | null;
  /** A float type; default: the default one. */
  dtype?: DType | null;
}

/** A size given to a constructor: a whole number from 0 on. */
export function checkCount(value: unknown, name: string, what: string): void {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return;
  throw new ArgumentError(
    `Cannot make ${name}: ${what} must be a whole number from 0 on, got ${show(value)}`,
    {
      op: name,
    },
  );
}

/** A number, or numbers, as `extraRepr` prints them. */
export function text(value: unknown): string {
  return JSON.stringify(value);
}

/** A number given to a constructor. */
export function checkNumber(value: unknown, name: string, what: string): void {
  if (typeof value === "number" && !Number.isNaN(value)) return;
  throw new ArgumentError(`Cannot make ${name}: ${what} must be a number, got ${show(value)}`, {
    op: name,
  });
}

/** The pairs of name and value that a dictionary is made of: of an object's entries, or of the pairs themselves. */
export function pairsOf<T>(
  given: Readonly<Record<string, T>> | Iterable<readonly [string, T]>,
  name: string,
): (readonly [string, T])[] {
  if (typeof given === "object" && given !== null) {
    const pairs = Symbol.iterator in given
      ? [...given as Iterable<readonly [string, T]>]
      : Object.entries(given);
    if (pairs.every((p) => Array.isArray(p) && typeof p[0] === "string")) return pairs;
  }
  throw new ArgumentError(
    `Cannot make ${name} of ${show(given)}: it takes an object, or pairs of name and value`,
    { op: name },
  );
}

/** The last dims that a layer normalises; one number stands for the last dim alone. */
export function checkNormalizedShape(dims: unknown, name: string): readonly number[] {
  const shape = typeof dims === "number" ? [dims] : dims;
  if (!Array.isArray(shape) || shape.length === 0) {
    throw new ArgumentError(
      `Cannot make ${name}: normalizedShape must be a size or an array of sizes, got ${show(dims)}`,
      { op: name },
    );
  }
  for (const n of shape) checkCount(n, name, "each size of normalizedShape");
  return Object.freeze([...shape]);
}

/** The type and device of a layer's parameters. */
export interface Factory {
  readonly info: DTypeInfo;
  readonly device: number;
}

/** Checks a layer's dtype and device. */
export function factoryOf(name: string, device: string | null, dtype: DType | null): Factory {
  const info = dtypeInfo(dtype ?? getDefaultDtype(), `make ${name}`);
  if (!info.isFloat) {
    throw new ArgumentError(`Cannot make ${name} of ${dtype}: parameters are of a float type`, {
      op: name,
    });
  }
  return { info, device: deviceNumber(device, `make ${name}`) };
}

/** A parameter whose values are yet to be set. */
export function newParameter(shape: readonly number[], { info, device }: Factory): Parameter {
  return new Parameter(empty(shape, info, device));
}

/** Options of activations that can work in place. */
export interface InplaceOptions {
  /** Whether the input's memory takes the result; default false. */
  inplace?: boolean;
}

/** What a function makes of x, written over x where asked. */
export function inPlace(inplace: boolean, x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  // What the gradient reads of x is kept in a copy.
  return inplace ? copy_(x, f(clone(x))) : f(x);
}
