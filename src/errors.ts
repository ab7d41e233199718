/**
 * Every error that Toro throws. A text names the action, the values and the rule, with an optional second line
 * `Hint: …`. Classes are recognised across copies of the module by a brand.
 *
 * @module
 */

const BRAND: unique symbol = Symbol.for("toro.error") as never;

/** What an error may say beside its text. */
export interface ErrorDetails {
  /** The op or class that failed, as written in code. */
  op?: string;
  /** What to do instead; becomes the text's second line. */
  hint?: string;
  /** The error behind this one. */
  cause?: unknown;
}

/** The ancestor of all of Toro's errors: `e instanceof ToroError` holds for each of them. */
export const ToroError: {
  // deno-lint-ignore no-explicit-any
  new (...args: any[]): ToroError;
  [Symbol.hasInstance](value: unknown): boolean;
} = class ToroErrorBase {
  static [Symbol.hasInstance](value: unknown): boolean {
    if (this === ToroErrorBase) {
      return typeof value === "object" && value !== null && BRAND in value;
    }
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }
} as never;

/** What every error of Toro has. */
export interface ToroError extends Error {
  /** The class's name. */
  readonly name: string;
  /** The op or class that failed. */
  readonly op: string | undefined;
  /** What to do instead. */
  readonly hint: string | undefined;
}

interface Branded {
  new (message: string, details?: ErrorDetails): ToroError;
}

function define(
  name: string,
  base: ErrorConstructor | RangeErrorConstructor | TypeErrorConstructor,
): Branded {
  const made = class extends (base as ErrorConstructor) {
    readonly op: string | undefined;
    readonly hint: string | undefined;
    constructor(message: string, details: ErrorDetails = {}) {
      super(details.hint ? `${message}\nHint: ${details.hint}` : message, { cause: details.cause });
      this.op = details.op;
      this.hint = details.hint;
    }
  };
  Object.defineProperty(made, "name", { value: name });
  Object.defineProperty(made.prototype, "name", { value: name });
  Object.defineProperty(made.prototype, BRAND, { value: true });
  return made;
}

/** Sizes or shapes that do not fit. */
export const ShapeError: Branded = define("ShapeError", RangeError);
/** Sizes or shapes that do not fit. */
export type ShapeError = ToroError;
/** An index or dim outside its range. */
export const IndexError: Branded = define("IndexError", RangeError);
/** An index or dim outside its range. */
export type IndexError = ToroError;
/** A dtype that the op does not take. */
export const DTypeError: Branded = define("DTypeError", TypeError);
/** A dtype that the op does not take. */
export type DTypeError = ToroError;
/** A wrong argument or option. */
export const ArgumentError: Branded = define("ArgumentError", TypeError);
/** A wrong argument or option. */
export type ArgumentError = ToroError;
/** A wrong use of gradients. */
export const AutogradError: Branded = define("AutogradError", Error);
/** A wrong use of gradients. */
export type AutogradError = ToroError;
/** Use of a tensor after `dispose`. */
export const DisposedError: Branded = define("DisposedError", Error);
/** Use of a tensor after `dispose`. */
export type DisposedError = ToroError;
/** A device that is missing or does not fit. */
export const DeviceError: Branded = define("DeviceError", Error);
/** A device that is missing or does not fit. */
export type DeviceError = ToroError;
/** A device that failed while in use. */
export const DeviceLostError: Branded = define("DeviceLostError", Error);
/** A device that failed while in use. */
export type DeviceLostError = ToroError;
/** No memory within the budget. */
export const OutOfMemoryError: Branded = define("OutOfMemoryError", Error);
/** No memory within the budget. */
export type OutOfMemoryError = ToroError;
/** The native library is missing, does not fit, or refused an instruction. */
export const NativeError: Branded = define("NativeError", Error);
/** The native library is missing, does not fit, or refused an instruction. */
export type NativeError = ToroError;
/** A file or record of data that cannot be used. */
export const DataError: Branded = define("DataError", Error);
/** A file or record of data that cannot be used. */
export type DataError = ToroError;
/** A checkpoint that cannot be written or read. */
export const CheckpointError: Branded = define("CheckpointError", Error);
/** A checkpoint that cannot be written or read. */
export type CheckpointError = ToroError;
/** Training was asked to stop by a signal, after its state was saved. */
export const InterruptedError: Branded = define("InterruptedError", Error);
/** Training was asked to stop by a signal, after its state was saved. */
export type InterruptedError = ToroError;
/** A failure between ranks. */
export const DistributedError: Branded = define("DistributedError", Error);
/** A failure between ranks. */
export type DistributedError = ToroError;

/** A value as an error text shows it: short, and never the whole tensor. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > 60 ? value.slice(0, 57) + "..." : value);
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `function ${value.name || "(anonymous)"}`;
  if (Array.isArray(value)) {
    const head = value.slice(0, 8).map(show).join(", ");
    return value.length > 8 ? `[${head}, ... ${value.length} in all]` : `[${head}]`;
  }
  if (typeof value === "object" && value !== null) {
    const tensor = value as { shape?: readonly number[]; dtype?: string };
    if (Array.isArray(tensor.shape) && typeof tensor.dtype === "string") {
      return `${tensor.dtype.startsWith("int") ? "an" : "a"} ${tensor.dtype} tensor [${
        tensor.shape.join(", ")
      }]`;
    }
    const name = value.constructor?.name ?? "Object";
    if (name !== "Object") return `a ${name}`;
    return `{ ${Object.keys(value).slice(0, 5).join(", ")} }`;
  }
  return String(value);
}
