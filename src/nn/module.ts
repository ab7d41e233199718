/**
 * The base of every network: fields hold its parts, `forward` says what it computes. How parts are found is in walk.ts,
 * how forward hooks work in hooks.ts.
 *
 * @module
 */
import { type DType, type DTypeInfo, dtypeInfo, DTYPES } from "../dtype.ts";
import { ArgumentError, CheckpointError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { deviceNumber } from "../ops/creation.ts";
import { cast, mapOut } from "../ops/map.ts";
import { moved } from "../ops/transfer.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import {
  addBackwardHook,
  addBackwardPreHook,
  addHook,
  addPreHook,
  type ModuleGradients,
} from "./hooks.ts";
import { adopt, Buffer, Parameter } from "./parameter.ts";
import { setModuleClass, walk } from "./walk.ts";

/** Tensors by state key. */
export type StateDict = Record<string, Tensor>;

/** What `loadStateDict` found when it was not strict. */
export interface LoadReport {
  /** Keys of the module that the state lacks. */
  readonly missingKeys: string[];
  /** Keys of the state that the module lacks. */
  readonly unexpectedKeys: string[];
  /** Keys whose tensors have other shapes in the state, which were passed over. */
  readonly mismatchedKeys: string[];
}

/** How `loadStateDict` takes a state. */
export interface LoadStateOptions {
  /** Whether keys must be the same on both sides; default true. */
  strict?: boolean;
  /**
   * The module's key for a key of the state: a record, in which keys that stay may be left out, or a function. Null leaves
   * a tensor out.
   */
  rename?: Readonly<Record<string, string | null>> | ((key: string) => string | null);
  /** Passes over tensors of another shape and reports them; default false. */
  ignoreMismatchedSizes?: boolean;
}

/** Where and in what type a module's tensors shall be. */
export interface ToOptions {
  /** `"cpu"`, `"cuda"`, `"cuda:1"`. */
  device?: string;
  /** A float type, for the tensors that are float. */
  dtype?: DType;
}

/** A module of one tensor in and one tensor out, as containers take it. */
export type TensorModule = { forward(x: Tensor): Tensor } & Module;

/**
 * The base class of layers and networks.
 *
 * Put submodules, `nn.Parameter`s and `nn.Buffer`s into fields, define `forward`, and call `model.forward(x)`. Parts are
 * found at run time in own fields, arrays, Maps and plain objects, nested. A plain tensor is neither parameter nor
 * buffer. Two things to know:
 *
 * - `#private` fields cannot be seen: a layer there is not trained, saved or moved.
 * - A subclass that declares a field of its base again without a value (`weight: Parameter;`) erases what `super()` put
 *   there; write `declare weight: Parameter;`.
 *
 * State keys are PyTorch's: a field `userEmbedding` becomes `user_embedding`, names with an underscore or a leading
 * capital stay. A part met twice counts once in `parameters()`, while `stateDict()` has every path to it.
 * Errors: ArgumentError for a cycle, and for two fields with one key.
 *
 * ```ts
 * import { nn, ones, type Tensor } from "@toro/toro";
 *
 * class Net extends nn.Module {
 *   inProj = new nn.Linear(3, 8);
 *   out = new nn.Linear(8, 1);
 *   override forward(x: Tensor): Tensor {
 *     return this.out.forward(this.inProj.forward(x).sigmoid());
 *   }
 * }
 * const net = new Net();
 * console.log(net.forward(ones([2, 3])).shape); // [ 2, 1 ]
 * console.log(Object.keys(net.stateDict())); // [ "in_proj.weight", "in_proj.bias", "out.weight", "out.bias" ]
 * ```
 */
export abstract class Module {
  readonly #module = true;
  /** Whether it is in training mode, which dropout and batch norm heed. */
  training = true;

  /** What the module computes. */
  abstract forward(...args: unknown[]): unknown;

  // ---- parts ----

  /** The parameters, each once; with `false` only its own, not those of submodules. */
  parameters(recurse = true): Parameter[] {
    return pick(this, Parameter, recurse).map(([, p]) => p);
  }

  /** The parameters with their state keys. */
  namedParameters(prefix = "", recurse = true): [name: string, parameter: Parameter][] {
    return prefixed(prefix, pick(this, Parameter, recurse));
  }

  /** The buffers, each once. */
  buffers(recurse = true): Buffer[] {
    return pick(this, Buffer, recurse).map(([, b]) => b);
  }

  /** The buffers with their keys. */
  namedBuffers(prefix = "", recurse = true): [name: string, buffer: Buffer][] {
    return prefixed(prefix, pick(this, Buffer, recurse));
  }

  /** Itself and all modules below, each once, those above first. */
  modules(): Module[] {
    return this.namedModules().map(([, m]) => m);
  }

  /** Itself, under the name "", and all modules below with their keys. */
  namedModules(prefix = ""): [name: string, module: Module][] {
    return prefixed(prefix, [["", this as Module], ...pick(this, Module, true)]);
  }

  /** The modules directly below, each once. */
  children(): Module[] {
    return this.namedChildren().map(([, m]) => m);
  }

  /** The modules directly below with their keys. */
  namedChildren(): [name: string, module: Module][] {
    return pick(this, Module, false);
  }

  /** The module under a key: `model.getSubmodule("layers.0")`. */
  getSubmodule(target: string): Module {
    return lookUp(this, "getSubmodule", target, this.namedModules());
  }

  /** The parameter under a key. */
  getParameter(target: string): Parameter {
    return lookUp(this, "getParameter", target, this.namedParameters());
  }

  // ---- modes and moves ----

  /** Sets training mode here and below. */
  train(mode = true): this {
    for (const m of this.modules()) m.training = mode;
    return this;
  }

  /** Sets evaluation mode: dropout passes everything, batch norm uses its running statistics. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves parameters and buffers to a device, casts the float ones to a float type, or both. Each stays the same object,
   * so that an optimiser made earlier stays valid.
   */
  to(target: DType | (string & Record<never, never>) | ToOptions): this {
    const isDtype = typeof target === "string" && Object.hasOwn(DTYPES, target);
    const { device, dtype }: ToOptions = typeof target === "object" && target !== null
      ? target
      : isDtype
      ? { dtype: target as DType }
      : { device: target };
    const place = device === undefined || device === null ? null : deviceNumber(device, "to");
    const info = dtype === undefined || dtype === null ? null : dtypeInfo(dtype, "to");
    if (info !== null && !info.isFloat) {
      throw new ArgumentError(`Cannot to ${dtype}: a module is cast to a float type only`, {
        op: "to",
      });
    }
    for (const { value } of walk(this)) {
      if (!(value instanceof Module)) changeOwned(value, info, place);
    }
    return this;
  }

  /** Casts float parameters and buffers to float32. */
  float(): this {
    return this.to("float32");
  }

  /** Casts float parameters and buffers to float64. */
  double(): this {
    return this.to("float64");
  }

  /** Casts float parameters and buffers to float16. */
  half(): this {
    return this.to("float16");
  }

  /** Casts float parameters and buffers to bfloat16. */
  bfloat16(): this {
    return this.to("bfloat16");
  }

  /** Moves it to the CPU. */
  cpu(): this {
    return this.to("cpu");
  }

  /** Moves it to a CUDA device. */
  cuda(device = 0): this {
    return this.to(`cuda:${device}`);
  }

  /** Drops the gradients of all parameters; `setToNone: false` fills them with zeros instead. */
  zeroGrad({ setToNone = true }: { setToNone?: boolean } = {}): void {
    for (const p of this.parameters()) {
      if (p.grad === null) continue;
      if (setToNone) p.grad = null;
      else copyInto(p.grad, 0);
    }
  }

  /** Calls a function on every module, those below first, then on itself. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn);
    fn(this);
    return this;
  }

  /** Says whether gradients are wanted for all parameters. */
  requiresGrad_(requiresGrad = true): this {
    for (const p of this.parameters()) p.requiresGrad = requiresGrad;
    return this;
  }

  // ---- state ----

  /**
   * Parameters and persistent buffers by state key, every path to each. The tensors share memory with the module:
   * `clone()` one to keep its present values.
   */
  stateDict(): StateDict {
    const entries: [string, Tensor][] = [];
    for (const { key, value } of walk(this, { every: true })) {
      if (value instanceof Parameter || (value instanceof Buffer && value.persistent)) {
        entries.push([key, value.detach()]);
      }
    }
    return Object.fromEntries(entries);
  }

  /**
   * Copies values into parameters and persistent buffers, which stay the same objects; dtypes are converted. All or
   * nothing: it is checked before anything is written. With `{ strict: false }` missing and unexpected keys are borne, with
   * `{ ignoreMismatchedSizes: true }` tensors of another shape too; all are returned. `rename` brings the state's keys to
   * the module's.
   *
   * Errors: CheckpointError that lists missing, unexpected and mismatched keys.
   */
  loadStateDict(
    state: Readonly<StateDict> | ReadonlyMap<string, Tensor>,
    options: LoadStateOptions = {},
  ): LoadReport {
    const { strict = true, rename, ignoreMismatchedSizes = false } = optionsOf(
      "loadStateDict",
      options,
      ["strict", "rename", "ignoreMismatchedSizes"],
    );
    const title = `Cannot load state into ${this.constructor.name}`;
    const given = renamed(state, rename, title);
    const own = new Map(Object.entries(this.stateDict()));
    const missingKeys = [...own.keys()].filter((key) => !given.has(key));
    const unexpectedKeys = [...given.keys()].filter((key) => !own.has(key));
    const mismatchedKeys: string[] = [];
    const wrong: string[] = [];
    const copies: [Tensor, Tensor][] = [];
    for (const [key, target] of own) {
      const value = given.get(key);
      if (value === undefined) continue;
      if (!(value instanceof Tensor)) {
        wrong.push(`${key} is ${show(value)} in the state, not a tensor`);
      } else if (sameShape(value.shape, target.shape)) copies.push([target, value]);
      else if (ignoreMismatchedSizes) mismatchedKeys.push(key);
      else {
        wrong.push(
          `${key} is ${shapeText(target.shape)} in the module and ${
            shapeText(value.shape)
          } in the state`,
        );
      }
    }
    const reasons: string[] = [];
    if (strict && missingKeys.length > 0) {
      reasons.push(`missing in the state: ${list(missingKeys)}`);
    }
    if (strict && unexpectedKeys.length > 0) {
      reasons.push(`unexpected in the state: ${list(unexpectedKeys)}`);
    }
    if (wrong.length > 0) reasons.push(`of another shape: ${list(wrong)}`);
    if (reasons.length > 0) {
      throw new CheckpointError(`${title}: ${reasons.join("; ")}`, {
        op: "loadStateDict",
        hint: wrong.length === 0
          ? "{ strict: false } bears missing and unexpected keys"
          : "{ ignoreMismatchedSizes: true } passes over them",
      });
    }
    // What a lazily loaded file turns out to lack comes before anything is written, too.
    for (const [, { storage }] of copies) {
      if (storage.state !== 0) storage.settle("loadStateDict");
    }
    for (const [target, value] of copies) copyInto(target, value);
    return { missingKeys, unexpectedKeys, mismatchedKeys };
  }

  // ---- hooks ----

  /**
   * Calls `hook(module, args)` before each `forward`; an array that it returns replaces the arguments. Returns the
   * function that removes it.
   */
  registerForwardPreHook(
    hook: (module: this, args: Parameters<this["forward"]>) => Parameters<this["forward"]> | void,
  ): () => void {
    return addPreHook(this, hook as never);
  }

  /**
   * Calls `hook(module, args, output)` after each `forward`; what it returns, unless undefined, replaces the output.
   * Returns the function that removes it.
   */
  registerForwardHook(
    hook: (
      module: this,
      args: Parameters<this["forward"]>,
      output: ReturnType<this["forward"]>,
    ) => ReturnType<this["forward"]> | void,
  ): () => void {
    return addHook(this, hook as never);
  }

  /**
   * Calls `hook(module, gradInput, gradOutput)` when backward has come through the module: the gradients of the tensors
   * among its arguments and of its outputs. What it returns, unless undefined, replaces `gradInput`. Returns the function
   * that removes it. Arguments and outputs of such a module cannot be changed in place.
   */
  registerFullBackwardHook(
    hook: (
      module: this,
      gradInput: ModuleGradients,
      gradOutput: ModuleGradients,
    ) => ModuleGradients | void,
  ): () => void {
    return addBackwardHook(this, hook as never);
  }

  /**
   * Calls `hook(module, gradOutput)` when backward comes to the module; what it returns, unless undefined, replaces
   * `gradOutput`. Returns the function that removes it.
   */
  registerFullBackwardPreHook(
    hook: (module: this, gradOutput: ModuleGradients) => ModuleGradients | void,
  ): () => void {
    return addBackwardPreHook(this, hook as never);
  }

  // ---- text ----

  /** What stands between the parentheses of its line in the tree. */
  extraRepr(): string {
    return "";
  }

  /** The tree of modules, as PyTorch prints it. */
  toString(): string {
    const lines = this.namedChildren().map(([name, child]) =>
      `  (${name}): ${String(child).replaceAll("\n", "\n  ")}`
    );
    const extra = this.extraRepr(), name = this.constructor.name;
    if (lines.length === 0) return `${name}(${extra})`;
    return [`${name}(`, ...(extra === "" ? [] : [`  ${extra}`]), ...lines, ")"].join("\n");
  }
}

// `console.log(model)` prints the tree.
Object.defineProperty(Module.prototype, Symbol.for("Deno.customInspect"), {
  value(this: Module): string {
    return this.toString();
  },
});

setModuleClass(Module as never);

/** A module given to a function. */
export function checkModule(module: unknown, op: string): void {
  if (module instanceof Module) return;
  throw new ArgumentError(`Cannot ${op} of ${show(module)}: it must be a module`, { op });
}

/** The name of a module's parameter, given to a function. */
export function checkTensorName(name: unknown, op: string): asserts name is string {
  if (typeof name === "string") return;
  throw new ArgumentError(`Cannot ${op} of ${show(name)}: a parameter's name is a string`, { op });
}

/** Writes values over a tensor's, without recording; one that lags behind is brought up to date first. */
function copyInto(target: Tensor, given: Tensor | number): void {
  const value = given instanceof Tensor ? moved(given.detach(), target.storage.device) : given;
  mapOut("copy_", OP.copy, target, value, null, target.info);
  target.storage.version++;
}

/** Gives a parameter or buffer, and its gradient, another float type or another device; null leaves it. */
function changeOwned(t: Tensor, info: DTypeInfo | null, device: number | null): void {
  const float = t.info.isFloat && info !== null ? info : t.info;
  const place = device ?? t.storage.device;
  if (float === t.info && place === t.storage.device) return;
  const changed = (x: Tensor) => moved(cast(x.detach(), float.name), place);
  const grad = t.grad;
  adopt(t, changed(t));
  if (grad !== null) t.grad = changed(grad);
}

function pick<T extends object>(
  root: Module,
  kind: abstract new (...args: never[]) => T,
  deep: boolean,
): [string, T][] {
  const out: [string, T][] = [];
  for (const { key, value } of walk(root, { deep })) {
    if (value instanceof kind) out.push([key, value as T]);
  }
  return out;
}

function prefixed<T>(prefix: string, named: [string, T][]): [string, T][] {
  if (prefix === "") return named;
  return named.map(([name, value]) => [name === "" ? prefix : `${prefix}.${name}`, value]);
}

function lookUp<T>(module: Module, op: string, target: string, named: readonly [string, T][]): T {
  const found = named.find(([name]) => name === target);
  if (found !== undefined) return found[1];
  const names = named.map(([name]) => name).filter((name) => name !== "");
  throw new ArgumentError(
    `Cannot ${op} ${show(target)} of ${module.constructor.name}: it has ${list(names) || "none"}`,
    { op },
  );
}

function list(keys: readonly string[]): string {
  return keys.length > 10
    ? `${keys.slice(0, 10).join(", ")} and ${keys.length - 10} more`
    : keys.join(", ");
}

/** A state under the keys that a module has for them. */
function renamed(
  state: Readonly<StateDict> | ReadonlyMap<string, Tensor>,
  rename: LoadStateOptions["rename"],
  title: string,
): ReadonlyMap<string, Tensor> {
  const given = state instanceof Map
    ? state as ReadonlyMap<string, Tensor>
    : new Map(Object.entries(state));
  if (rename === undefined) return given;
  const keys = new Map<string, string>(), out = new Map<string, Tensor>();
  for (const [key, value] of given) {
    const name = typeof rename === "function"
      ? rename(key)
      : Object.hasOwn(rename, key)
      ? rename[key]
      : key;
    if (name === null) continue;
    const other = keys.get(name);
    if (other !== undefined) {
      throw new CheckpointError(`${title}: ${other} and ${key} are both renamed to ${name}`, {
        op: "loadStateDict",
      });
    }
    keys.set(name, key);
    out.set(name, value);
  }
  return out;
}
