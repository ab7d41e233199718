/**
 * Scopes free what was made inside at once, for who wants exact control; nobody needs them.
 *
 * @module
 */
import { noteStorages, type Storage } from "./memory.ts";
import { Tensor } from "./tensor.ts";

/** An open scope: `using s = scope()`. */
export interface Scope extends Disposable {
  /** Lets a tensor outlive the scope, and returns it. */
  keep<T extends Tensor>(tensor: T): T;
}

/**
 * Runs a synchronous function and frees every tensor made inside but those in what it returns (tensors, arrays, Maps
 * and plain objects of them). Without an argument, for the rest of a block: `using s = scope()` frees all but
 * `s.keep(x)`. Parameters, gradients and optimiser state always stay.
 *
 * ```ts
 * import { ones, scope } from "@toro/toro";
 * const y = scope(() => ones([1000]).mul(2).add(1)); // both intermediates are free again
 * ```
 */
export function scope(): Scope;
/** Runs a function in a scope. */
export function scope<T>(body: () => T): T;
export function scope<T>(body?: () => T): T | Scope {
  const made: Storage[] = [];
  const outer = noteStorages(made);
  const close = (result?: unknown) => {
    noteStorages(outer);
    const held = new Set<Storage>();
    reach(result, held, new Set());
    // The last first, so that nothing runs to be read by what goes too.
    for (const storage of made.reverse()) {
      // What stays belongs to the scope around, if there is one.
      if (held.has(storage) || storage.kept) outer?.push(storage);
      else storage.dispose();
    }
  };
  if (body === undefined) {
    const keep = <K extends Tensor>(t: K): K => {
      t.storage.kept = true;
      return t;
    };
    return { keep, [Symbol.dispose]: () => close() };
  }
  let result: T;
  try {
    result = body();
  } catch (error) {
    close();
    throw error;
  }
  close(result);
  return result;
}

function reach(value: unknown, held: Set<Storage>, seen: Set<unknown>): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (value instanceof Tensor) {
    held.add(value.storage);
    if (value.meta?.grad) held.add(value.meta.grad.storage);
  } else if (Array.isArray(value) || value instanceof Set) {
    for (const v of value) reach(v, held, seen);
  } else if (value instanceof Map) {
    for (const v of value.values()) reach(v, held, seen);
  } else {
    for (const v of Object.values(value)) reach(v, held, seen);
  }
}
