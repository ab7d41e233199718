/**
 * Copies of networks in which some modules give way to others. Tensors are shared, modules are not.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import { isOptions } from "../op.ts";
import { Module } from "./module.ts";

/**
 * A network like `root` in which each module for which `replace` gives another is that other one. All other modules are
 * new objects of the same classes with the same fields; they are made without their constructors, so what a class keeps
 * in #private fields is not there. Parameters and buffers are the same objects in both.
 *
 * Errors: ArgumentError where `forward` is a field, a function that would go on using the old object.
 */
export function copyWith<M extends Module>(
  root: M,
  replace: (module: Module) => Module | null,
): M {
  const copies = new Map<object, unknown>();
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
      return other;
    }
    if (value instanceof Map) {
      const map = new Map();
      copies.set(value, map);
      for (const [key, member] of value) map.set(key, copy(member));
      return map;
    }
    if (isModule && Object.getOwnPropertyDescriptor(value, "forward")?.enumerable) {
      throw new ArgumentError(
        `Cannot copy ${value.constructor.name}: its forward is a field, which belongs to the original`,
        { op: "copy", hint: "define forward as a method" },
      );
    }
    const made = Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value));
    copies.set(value, made);
    for (const key of Reflect.ownKeys(value)) {
      const field = Object.getOwnPropertyDescriptor(value, key)!;
      if ("value" in field) field.value = copy(field.value);
      Object.defineProperty(made, key, field);
    }
    return made;
  };
  return copy(root) as M;
}
