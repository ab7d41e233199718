/** Deep equality as `assertEquals` means it: 0 equals -0, NaN equals NaN, prototypes count. */

/** Whether two values have the same structure and content. */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

function compare(a: unknown, b: unknown, seen: Map<object, object>): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  if (!samePrototype(a, b)) return false;
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (a instanceof RegExp || a instanceof URL || a instanceof URLSearchParams) {
    return String(a) === String(b);
  }
  if (a instanceof WeakMap || a instanceof WeakSet) {
    throw new TypeError(`Cannot compare ${a.constructor.name} instances`);
  }
  // deno-lint-ignore no-explicit-any
  const other = b as any; // of the same class as `a`, as their prototypes are equal
  if (a instanceof WeakRef) return compare(a.deref(), other.deref(), seen);
  if (ArrayBuffer.isView(a) && !(a instanceof DataView)) {
    return sameElements(a as unknown as Uint8Array, other);
  }
  if (a instanceof ArrayBuffer || a instanceof SharedArrayBuffer) {
    return sameElements(new Uint8Array(a), new Uint8Array(other));
  }
  if (seen.get(a) === b) return true; // met again inside itself
  seen.set(a, b);
  if (a instanceof Set) return sameSet(a, other, seen);
  if (a instanceof Map) return sameMap(a, other, seen);
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  const keys = new Set([...Reflect.ownKeys(a), ...Reflect.ownKeys(b)]);
  for (const key of keys) {
    if (!(key in a) || !(key in b)) return false;
    if (!compare(a[key], b[key], seen)) return false;
  }
  return true;
}

function isObject(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === "object" && value !== null;
}

/** An object without a prototype counts as a plain one. */
function samePrototype(a: object, b: object): boolean {
  return (Object.getPrototypeOf(a) ?? Object.prototype) ===
    (Object.getPrototypeOf(b) ?? Object.prototype);
}

function sameElements(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i] && !Object.is(a[i], b[i])) return false;
  }
  return true;
}

function sameSet(a: Set<unknown>, b: Set<unknown>, seen: Map<object, object>): boolean {
  if (a.size !== b.size) return false;
  const rest = new Set(b);
  for (const value of a) {
    if (rest.delete(value)) continue;
    const match = [...rest].find((other) => compare(value, other, seen));
    if (match === undefined) return false;
    rest.delete(match);
  }
  return true;
}

function sameMap(
  a: Map<unknown, unknown>,
  b: Map<unknown, unknown>,
  seen: Map<object, object>,
): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    if (b.has(key)) {
      if (!compare(value, b.get(key), seen)) return false;
    } else if (![...b].some(([k, v]) => compare(key, k, seen) && compare(value, v, seen))) {
      return false;
    }
  }
  return true;
}
