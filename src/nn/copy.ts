/**
 * Copies of networks: with other modules in the place of some, or with tensors of their own.
 *
 * @module
 */
import { inMode, noGrad } from "../autograd.ts";
import { ArgumentError } from "../errors.ts";
import { isOptions } from "../options.ts";
import { clone } from "../ops/view.ts";
import { adoptWindow, Tensor } from "../tensor.ts";
import { Module } from "./module.ts";
import { Buffer, Parameter } from "./parameter.ts";

/** A module of the copy and the one that it was made of. */
type Pair = readonly [copy: Module, original: Module];

/**
 * A network like `root` in which each module for which `replace` gives another is that other one. All other modules are
 * new objects of the same classes with the same fields, made without their constructors, and modes of their own. Those
 * with a replaced module below run on the copy's fields, so their classes must not need #private fields. Those without
 * one let the original compute, in the copy's modes. Parameters and buffers are the same objects in both.
 *
 * Errors: ArgumentError where `forward` is a field, a function that would go on using the old object.
 */
export function copyWith<M extends Module>(
  root: M,
  replace: (module: Module) => Module | null,
): M {
  const changed = new Set<Module>();
  const { made, pairs, copies } = copyTree(root, (value) => {
    if (!(value instanceof Module)) return null;
    const other = replace(value);
    if (other !== null) changed.add(value);
    return other;
  });
  for (const pair of pairs) {
    const [, original] = pair, below = original.modules();
    if (!below.some((module) => changed.has(module))) {
      delegate(pair, below.map((module) => [copies.get(module) as Module, module]));
    } else if (Object.getOwnPropertyDescriptor(original, "forward")?.enumerable) {
      throw new ArgumentError(
        `Cannot copy ${original.constructor.name}: its forward is a field, which belongs to the original`,
        { op: "copy", hint: "define forward as a method" },
      );
    }
  }
  return made;
}

/** A copied network, the modules of which it consists beside their originals, and what became of each object. */
interface Tree<M> {
  readonly made: M;
  readonly pairs: readonly Pair[];
  readonly copies: ReadonlyMap<object, unknown>;
}

/** Copies modules, arrays, Maps and plain objects; `replace` may give what stands in the place of any other object. */
function copyTree<M extends Module>(root: M, replace: (value: object) => unknown): Tree<M> {
  const copies = new Map<object, unknown>();
  const pairs: Pair[] = [];

  const copy = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    const other = replace(value);
    if (other !== null) {
      copies.set(value, other);
      return other;
    }
    const isModule = value instanceof Module;
    if (!isModule && !Array.isArray(value) && !(value instanceof Map) && !isOptions(value)) {
      return value;
    }
    if (value instanceof Map) {
      const map = new Map();
      copies.set(value, map);
      for (const [key, member] of value) map.set(key, copy(member));
      return map;
    }
    const made = Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value));
    copies.set(value, made);
    for (const key of Reflect.ownKeys(value)) {
      const field = Object.getOwnPropertyDescriptor(value, key)!;
      if ("value" in field) field.value = copy(field.value);
      Object.defineProperty(made, key, field);
    }
    if (isModule) pairs.push([made, value]);
    return made;
  };

  return { made: copy(root) as M, pairs, copies };
}

/** Whose `forward` each function calls. */
const lenders = new WeakMap<object, Module>();

/** The module that computes for one that `copyWith` made; the module itself where it has hooks or is no such copy. */
export function lenderOf(module: Module): Module {
  const forward = Object.getOwnPropertyDescriptor(module, "forward")?.value;
  const lender = forward === undefined ? undefined : lenders.get(forward);
  return lender === undefined ? module : lenderOf(lender);
}

/** Lets the original compute and describe itself, while it and those below are in the modes of the copy. */
function delegate(pair: Pair, modes: readonly Pair[]): void {
  const [copy, original] = pair;
  borrow(pair, (run) => {
    const before = modes.map(([, module]) => module.training);
    for (const [{ training }, module] of modes) module.training = training;
    try {
      return run();
    } finally {
      modes.forEach(([, module], i) => module.training = before[i]);
    }
  });
  lenders.set(copy.forward, original);
}

/** Gives a copy the methods of its original, each call within `around`. */
function borrow([copy, original]: Pair, around: (run: () => unknown) => unknown): void {
  for (const name of ["forward", "extraRepr"] as const) {
    const value = (...args: unknown[]): unknown =>
      around(() => (original[name] as (...args: unknown[]) => unknown).apply(original, args));
    const hidden = { configurable: true, writable: true, enumerable: false };
    Object.defineProperty(copy, name, { value, ...hidden });
  }
}

/**
 * A network like `root` with parameters and buffers of its own, which begin with the same values. JavaScript cannot copy
 * #private fields, so the originals compute, with the tensors, modes and plain values of the copies in their places. That
 * leaves no graph: the copy's `forward` is for evaluation, and gives tensors without a history.
 */
export function evaluationCopy<M extends Module>(root: M): M {
  const tensors: (readonly [copy: Tensor, original: Tensor])[] = [];
  const { made, pairs, copies } = copyTree(root, (value) => {
    if (!(value instanceof Parameter || value instanceof Buffer)) return null;
    const data = inMode(false, () => clone(value));
    const own = value instanceof Parameter
      ? new Parameter(data, { requiresGrad: value.requiresGrad })
      : new Buffer(data, { persistent: value.persistent });
    tensors.push([own, value]);
    return own;
  });
  for (const pair of pairs) {
    const below = pair[1].modules().map((m): Pair => [copies.get(m) as Module, m]);
    borrow(pair, (run) => noGrad(() => lent(tensors, below, run)));
  }
  return made;
}

type Fields = Record<string, unknown>;

/** The names of fields that hold plain values. */
function plainFields(module: Module): string[] {
  return Object.entries(module)
    .filter(([, value]) => value === null || !/object|function/.test(typeof value))
    .map(([key]) => key);
}

/** Runs with the tensors and plain values of copies in the places of the originals'; what changed goes to the copies. */
function lent<T>(
  tensors: readonly (readonly [copy: Tensor, original: Tensor])[],
  modules: readonly Pair[],
  run: () => T,
): T {
  const windows = tensors.map(([copy, original]) => {
    const { storage, info, shape, strides, offset } = original;
    adoptWindow(original, copy);
    return new Tensor(storage, info, shape, strides, offset);
  });
  const plain = modules.map(([copy, original]) =>
    plainFields(copy).map((key) => {
      const before = (original as unknown as Fields)[key];
      (original as unknown as Fields)[key] = (copy as unknown as Fields)[key];
      return [key, before] as const;
    })
  );
  try {
    return run();
  } finally {
    modules.forEach(([copy, original], i) =>
      plain[i].forEach(([key, before]) => {
        (copy as unknown as Fields)[key] = (original as unknown as Fields)[key];
        (original as unknown as Fields)[key] = before;
      })
    );
    tensors.forEach(([copy, original], i) => {
      adoptWindow(copy, original);
      adoptWindow(original, windows[i]);
    });
  }
}
