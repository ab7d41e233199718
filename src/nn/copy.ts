/**
 * Copies of networks in which some modules give way to others. Tensors are shared, modules are not.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import { isOptions } from "../op.ts";
import { Module } from "./module.ts";

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
  const copies = new Map<object, unknown>();
  const pairs: Pair[] = [];
  const changed = new Set<Module>();

  const copy = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const isModule = value instanceof Module;
    if (!isModule && !Array.isArray(value) && !(value instanceof Map) && !isOptions(value)) {
      return value;
    }
    const known = copies.get(value);
    if (known !== undefined) return known;
    const other = isModule ? replace(value) : null;
    if (other !== null) {
      copies.set(value, other);
      changed.add(value as Module);
      return other;
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

  const made = copy(root) as M;
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

/** Lets the original compute and describe itself, while it and those below are in the modes of the copy. */
function delegate([copy, original]: Pair, modes: readonly Pair[]): void {
  for (const name of ["forward", "extraRepr"] as const) {
    const value = (...args: unknown[]): unknown => {
      const before = modes.map(([, module]) => module.training);
      for (const [{ training }, module] of modes) module.training = training;
      try {
        return (original[name] as (...args: unknown[]) => unknown).apply(original, args);
      } finally {
        modes.forEach(([, module], i) => module.training = before[i]);
      }
    };
    const hidden = { configurable: true, writable: true, enumerable: false };
    Object.defineProperty(copy, name, { value, ...hidden });
  }
}
