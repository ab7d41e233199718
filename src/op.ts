/**
 * The form of an op. Each declares PyTorch's parameter list once, as a signature; calls are bound to it by the rules
 * of the public API, and the oracle runner and the tables of names read it.
 *
 * A signature reads like PyTorch's, in camelCase: `"sum(input, dim=null, keepdim=false, dtype=null)"`. Required
 * parameters are positional. Of the optional ones at most two are, in order, up to the first whose default is a
 * boolean or a string, or that is a dtype. Everything optional can be given by name in one trailing options object.
 *
 * @module
 */
import { autocasting } from "./autocast.ts";
import { ArgumentError, NativeError, show, ToroError } from "./errors.ts";
import { isOptions, unknownOption } from "./options.ts";
import { Tensor } from "./tensor.ts";

/** One parameter of a signature. */
export interface Param {
  readonly name: string;
  readonly required: boolean;
  readonly default: unknown;
}

/** A parsed signature. */
export interface Signature {
  readonly name: string;
  /** The name as an error text says it: an op is done, a class is made. */
  readonly action: string;
  readonly params: readonly Param[];
  /** How many are required. */
  readonly required: number;
  /** How many may be positional. */
  readonly positional: number;
}

const KEYWORD_ONLY = new Set(["dtype", "device", "requiresGrad", "generator"]);

/** Parses a signature; done once per op, when its module loads. */
export function parseSignature(text: string): Signature {
  const open = text.indexOf("(");
  const name = text.slice(0, open);
  const params: Param[] = [];
  for (const part of splitParams(text.slice(open + 1, -1))) {
    const eq = part.indexOf("=");
    params.push(
      eq < 0 ? { name: part, required: true, default: undefined } : {
        name: part.slice(0, eq),
        required: false,
        default: JSON.parse(part.slice(eq + 1).replaceAll("'", '"')),
      },
    );
  }
  const required = params.filter((p) => p.required).length;
  let positional = required;
  for (const p of params.slice(required, required + 2)) {
    if (
      typeof p.default === "boolean" || typeof p.default === "string" || KEYWORD_ONLY.has(p.name)
    ) break;
    positional++;
  }
  return {
    name,
    action: /^[A-Z]/.test(name) ? `make ${name}` : name,
    params,
    required,
    positional,
  };
}

function splitParams(text: string): string[] {
  const parts: string[] = [];
  let depth = 0, from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === "[") depth++;
    else if (c === "]") depth--;
    else if ((c === "," && depth === 0) || i === text.length) {
      const part = text.slice(from, i).trim();
      if (part !== "") parts.push(part);
      from = i + 1;
    }
  }
  return parts;
}

/** Binds a call's arguments to a signature: one value per parameter, defaults filled in. */
export function bind(signature: Signature, args: readonly unknown[]): unknown[] {
  const { params, required, positional, action: name } = signature;
  let given = args.length;
  while (given > 0 && args[given - 1] === undefined) given--;
  let options: Record<string, unknown> | null = null;
  if (given > required || (given > 0 && given <= params.length)) {
    const last = args[given - 1];
    if (isOptions(last) && given > 0) {
      options = last;
      given--;
    }
  }
  if (given > positional) {
    const extra = params[given - 1];
    throw new ArgumentError(
      `Cannot ${name}: ${given} positional arguments, at most ${positional} are taken (${
        params.slice(0, positional).map((p) => p.name).join(", ")
      })`,
      extra ? { op: name, hint: `pass { ${extra.name}: ${show(args[given - 1])} }` } : { op: name },
    );
  }
  const out = new Array<unknown>(params.length);
  for (let i = 0; i < params.length; i++) {
    const value = i < given ? args[i] : undefined;
    out[i] = value === undefined ? params[i].default : value;
  }
  if (options !== null) {
    for (const key of Object.keys(options)) {
      const i = params.findIndex((p) => p.name === key);
      if (i < 0) {
        throw unknownOption(name, key, params.slice(required).map((p) => p.name));
      }
      if (options[key] === undefined) continue;
      if (i < given && args[i] !== undefined) {
        throw new ArgumentError(
          `Cannot ${name}: ${key} is given twice, as argument ${i + 1} and as an option`,
          { op: name },
        );
      }
      out[i] = options[key];
    }
  }
  for (let i = 0; i < required; i++) {
    if (out[i] === undefined) {
      throw new ArgumentError(`Cannot ${name}: argument ${params[i].name} is missing`, {
        op: name,
      });
    }
  }
  return out;
}

/** All signatures of ops by function, and of classes by class. */
const signatures = new WeakMap<object, Signature>();

/**
 * Declares the parameter list of a class's constructor, or of a function that is no op, which binds its arguments to what
 * this returns. The forward of a module gets the last fence around it.
 */
export function declare(target: object, text: string): Signature {
  const signature = parseSignature(text);
  signatures.set(target, signature);
  if ("prototype" in target) fenceForward(target.prototype);
  return signature;
}

/** The signature that an op was declared with. */
export function signatureOf(f: unknown): Signature | undefined {
  return typeof f === "function" ? signatures.get(f) : undefined;
}

/** Makes an error of an op that another is made of speak of the one that was called. */
function nameCalled(error: ToroError, name: string): void {
  const { message, op } = error;
  // That the library cannot be opened has nothing to do with the op that came first.
  if (message.includes(name) || (error instanceof NativeError && op === undefined)) return;
  const inner = `Cannot ${op} `;
  const told = `Cannot ${op}: `;
  const renamed = op !== undefined && message.startsWith(inner)
    ? `Cannot ${name} ${message.slice(inner.length)}`
    : op !== undefined && message.startsWith(told)
    ? `Cannot ${name}: ${message.slice(told.length)}`
    : `Cannot ${name}: ${message}`;
  const stack = error.stack?.replace(message, () => renamed);
  Object.defineProperties(error, {
    message: { value: renamed, configurable: true, writable: true },
    op: { value: name, configurable: true, enumerable: true },
    stack: { value: stack, configurable: true, writable: true },
  });
}

/** Whether JavaScript itself threw, and no function or module of the caller's can have. */
function isUnfit(error: unknown, { params }: Signature): boolean {
  return (error instanceof TypeError || error instanceof RangeError ||
    error instanceof SyntaxError) &&
    !(error instanceof ToroError) &&
    !params.some((p) => /func|fn$|activation|(layer|encoder|decoder)$/i.test(p.name));
}

/** The last fence: an argument of a kind that no check foresaw, as an error of Toro's with JavaScript's behind it. */
function unfit(name: string, args: readonly unknown[], cause: unknown): ArgumentError {
  return new ArgumentError(
    `Cannot ${name} ${args.map(show).join(", ")}: an argument is not of a kind that it takes`,
    { op: name, cause },
  );
}

type Forward = (this: object, ...args: unknown[]) => unknown;

const fenced = new WeakSet<Forward>();

/**
 * Puts the last fence around a module's forward where it stands: in the class or in a base. What JavaScript throws is
 * laid on the arguments only where one is missing or no tensor, and in no class that the caller derived, whose code it
 * may be; nor where reading a parameter runs a parametrization.
 */
function fenceForward(prototype: unknown): void {
  let at = prototype as { forward?: Forward } | null;
  while (at !== null && !Object.hasOwn(at, "forward")) at = Object.getPrototypeOf(at);
  const forward = at?.forward;
  if (at === null || forward === undefined || fenced.has(forward)) return;
  const call: Forward = function (...args) {
    try {
      return forward.apply(this, args);
    } catch (error) {
      const made = Object(this).constructor, signature = signatures.get(made);
      if (
        signature === undefined || !isUnfit(error, signature) || "parametrizations" in this ||
        (args.length >= forward.length && args.every((a) => a instanceof Tensor))
      ) throw error;
      const { name } = signature;
      throw new ArgumentError(
        `Cannot forward ${name} of ${
          args.map(show).join(", ") || "nothing"
        }: an argument is not of a kind that it takes`,
        { op: name, cause: error },
      );
    }
  };
  Object.defineProperty(call, "name", { value: forward.name });
  Object.defineProperty(call, "length", { value: forward.length });
  fenced.add(call);
  Object.defineProperty(at, "forward", { value: call });
}

/** Gives a function that hands its arguments on to an op the op's signature. */
export function shareSignature(target: object, f: unknown): void {
  const signature = signatureOf(f);
  if (signature !== undefined) signatures.set(target, signature);
}

/**
 * Declares an op: its signature and what it does with its bound arguments. The public type is written out where the
 * op is exported.
 */
export function op<F extends (...args: never[]) => unknown>(
  signature: string,
  forward: (...args: never[]) => ReturnType<F>,
): F {
  const parsed = parseSignature(signature);
  const { name, params, required } = parsed;
  const takesInput = params[0]?.name === "input";
  const run = forward as (...args: unknown[]) => ReturnType<F>;
  const defaults = params.slice(required).map((p) => p.default);
  const bound = (...args: unknown[]): ReturnType<F> => {
    if (takesInput && !(args[0] instanceof Tensor)) {
      throw new ArgumentError(`Cannot ${name} ${show(args[0])}: input must be a tensor`, {
        op: name,
      });
    }
    try {
      // All required, nothing else: the common call of the common op needs no binding.
      if (args.length === required && !args.includes(undefined)) {
        if (defaults.length === 0) return run(...args);
        if (!isOptions(args[required - 1])) return run(...args, ...defaults);
      }
      return run(...bind(parsed, args));
    } catch (error) {
      if (error instanceof ToroError) nameCalled(error, name);
      throw isUnfit(error, parsed) ? unfit(name, args, error) : error;
    }
  };
  const call = autocasting(name, bound);
  Object.defineProperty(call, "name", { value: name });
  signatures.set(call, parsed);
  return call as never;
}
