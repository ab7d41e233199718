/**
 * Nested states (objects, arrays, Maps, numbers, tensors) as JSON beside a flat list of tensors, and back, exactly.
 *
 * @module
 */
import type { DType, TypedArray } from "../dtype.ts";
import { CheckpointError, show } from "../errors.ts";
import { isOptions } from "../op.ts";
import { fromElements, Tensor } from "../tensor.ts";

/** A nested state in two parts. */
export interface Encoded {
  /** Everything but the tensors, which it names. */
  readonly json: unknown;
  /** Tensors by name. */
  readonly tensors: Map<string, Tensor>;
}

/** What JSON cannot say is an object with one key that begins with this sign. */
const MARK = "$";

const ARRAY_TYPES: readonly (readonly [string, new (n: number) => TypedArray, DType])[] = [
  ["Float32Array", Float32Array, "float32"],
  ["Float64Array", Float64Array, "float64"],
  ["Float16Array", Float16Array, "float16"],
  ["BigInt64Array", BigInt64Array, "int64"],
  ["Int32Array", Int32Array, "int32"],
  ["Int16Array", Int16Array, "int16"],
  ["Int8Array", Int8Array, "int8"],
  ["Uint8Array", Uint8Array, "uint8"],
];

/** Takes a state apart. Errors: CheckpointError that names the path of a value which cannot be kept. */
export function encode(state: unknown): Encoded {
  const tensors = new Map<string, Tensor>();
  const above = new Set<object>();

  const put = (tensor: Tensor, path: string): string => {
    let name = path;
    for (let i = 2; tensors.has(name); i++) name = `${path}#${i}`;
    tensors.set(name, tensor);
    return name;
  };

  const walk = (value: unknown, path: string): unknown => {
    if (typeof value === "string" || typeof value === "boolean" || value === null) return value;
    if (typeof value === "number") {
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : String(value) };
    }
    if (typeof value === "bigint") return { $bigint: String(value) };
    if (value === undefined) return { $undefined: true };
    if (value instanceof Tensor) return { $tensor: put(value, path) };
    if (typeof value === "object") {
      const array = ARRAY_TYPES.find(([, type]) => value instanceof type);
      if (array !== undefined) {
        const elements = value as TypedArray;
        return {
          $array: put(fromElements(elements, array[2], [elements.length]), path),
          type: array[0],
        };
      }
      if (above.has(value)) {
        throw new CheckpointError(`Cannot save ${path || "the state"}: it leads back to itself`);
      }
      above.add(value);
      const made = container(value, path);
      above.delete(value);
      if (made !== undefined) return made;
    }
    throw new CheckpointError(
      `Cannot save ${path || "the state"}: ${show(value)} is no plain value`,
      {
        hint:
          "plain values are tensors, typed arrays, numbers, texts, booleans, bigints, null, and arrays, Maps and plain objects of them",
      },
    );
  };

  const container = (value: object, path: string): unknown => {
    const at = (key: string | number) => path === "" ? String(key) : `${path}.${key}`;
    if (Array.isArray(value)) return value.map((v, i) => walk(v, at(i)));
    if (value instanceof Map) {
      return {
        $map: [...value].map((
          [k, v],
          i,
        ) => [walk(k, `${at(i)}.key`), walk(v, at(typeof k === "string" ? k : i))]),
      };
    }
    if (!isOptions(value)) return undefined;
    const entries = Object.entries(value).filter(([, v]) => v !== undefined).map(([k, v]) =>
      [k, walk(v, at(k))] as const
    );
    const object = Object.fromEntries(entries);
    return entries.some(([k]) => k.startsWith(MARK)) ? { $object: object } : object;
  };

  return { json: walk(state, ""), tensors };
}

/** The names of the tensors that JSON names. */
export function namedIn(json: unknown): Set<string> {
  const names = new Set<string>();
  const left: unknown[] = [json];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== "object" || value === null) continue;
    const { $tensor, $array } = value as Record<string, unknown>;
    for (const name of [$tensor, $array]) if (typeof name === "string") names.add(name);
    for (const inner of Object.values(value)) left.push(inner);
  }
  return names;
}

/** Puts a state together again. `tensorOf` gives the tensors that JSON names. */
export function decode(json: unknown, tensorOf: (name: string) => Tensor): unknown {
  const walk = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(walk);
    const marked = value as Record<string, unknown>;
    if (Object.keys(marked)[0]?.startsWith(MARK)) {
      if (typeof marked.$number === "string") return Number(marked.$number);
      if (typeof marked.$bigint === "string") return BigInt(marked.$bigint);
      if (marked.$undefined === true) return undefined;
      if (typeof marked.$tensor === "string") return tensorOf(marked.$tensor);
      if (typeof marked.$array === "string") {
        return arrayOf(tensorOf(marked.$array), String(marked.type));
      }
      if (Array.isArray(marked.$map)) {
        return new Map(marked.$map.map(([k, v]) => [walk(k), walk(v)]));
      }
      if (typeof marked.$object === "object") return entriesOf(marked.$object as object);
      throw new CheckpointError(`it holds a value of an unknown kind, ${Object.keys(marked)[0]}`);
    }
    return entriesOf(marked);
  };
  // fromEntries, so that a key such as __proto__ is data.
  const entriesOf = (object: object) =>
    Object.fromEntries(Object.entries(object).map(([k, v]) => [k, walk(v)]));
  return walk(json);
}

function arrayOf(tensor: Tensor, type: string): TypedArray {
  const values = tensor.toTypedArray();
  const found = ARRAY_TYPES.find(([name]) => name === type);
  if (found === undefined || !(values instanceof found[1])) {
    throw new CheckpointError(`it holds a ${type} whose elements are ${tensor.dtype}`);
  }
  return values;
}
