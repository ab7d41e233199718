/**
 * Nested states (objects, arrays, Maps, numbers, tensors) as JSON beside a flat list of tensors, and back, exactly.
 *
 * @module
 */
import type { DType, TypedArray } from "../dtype.ts";
import { CheckpointError, show } from "../errors.ts";
import { brief, cut, parseJson, parsing } from "./json.ts";
import { isOptions } from "../options.ts";
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

/** A state in a state; each is up to three levels of JSON. */
const MOST_DEPTH = 300;
const MOST_JSON_DEPTH = 1000;

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
      if (above.size === MOST_DEPTH) {
        throw new CheckpointError(
          `Cannot save the state: it is nested deeper than ${MOST_DEPTH} levels`,
        );
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

/** A state's JSON out of a file. */
export function parseState(text: string): Record<string, unknown> {
  const json = parsing("its state is damaged", () => parseJson(text, MOST_JSON_DEPTH));
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw damaged(`it is no object but ${brief(json)}`);
  }
  return json as Record<string, unknown>;
}

const damaged = (what: string) => new CheckpointError(`its state is damaged: ${what}`);

const NUMBERS: ReadonlyMap<unknown, number> = new Map([
  ["-0", -0],
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
]);

/**
 * Puts a state together again. `leaf` gives the tensor that JSON names, or, where there is a type, the typed array of its
 * elements. Each is named once, so a state is not larger than its file.
 */
export function decode(
  json: unknown,
  leaf: (name: string, type: string | null) => unknown,
): unknown {
  const named = new Set<string>();
  const once = (name: unknown, type: unknown): unknown => {
    if (typeof name !== "string" || type !== null && typeof type !== "string") {
      throw damaged(`a tensor is named ${brief(name)}, of type ${brief(type)}`);
    }
    if (named.has(name)) throw damaged(`it has tensor ${cut(name)} twice`);
    named.add(name);
    return leaf(name, type);
  };
  const walk = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(walk);
    const keys = Object.keys(value);
    if (!keys.some((key) => key.startsWith(MARK))) return entriesOf(value);
    const made = keys.length <= 2 ? marked(keys[0], value as Record<string, unknown>) : UNKNOWN;
    if (made === UNKNOWN) throw damaged(`it has a value of an unknown kind, ${brief(value)}`);
    return made;
  };
  const marked = (key: string, value: Record<string, unknown>): unknown => {
    const content = value[key], isAlone = Object.keys(value).length === 1;
    if (key === "$array" && !isAlone) return once(content, value.type);
    if (!isAlone) return UNKNOWN;
    switch (key) {
      case "$number":
        return NUMBERS.get(content) ?? UNKNOWN;
      case "$bigint":
        return /^-?\d+$/.test(String(content)) ? BigInt(content as string) : UNKNOWN;
      case "$undefined":
        return undefined;
      case "$tensor":
        return once(content, null);
      case "$map":
        return Array.isArray(content) ? new Map(content.map(pair)) : UNKNOWN;
      case "$object":
        return isRecord(content) ? entriesOf(content) : UNKNOWN;
      default:
        return UNKNOWN;
    }
  };
  const pair = (each: unknown): [unknown, unknown] => {
    if (!Array.isArray(each) || each.length !== 2) throw damaged(`a Map has ${brief(each)}`);
    return [walk(each[0]), walk(each[1])];
  };
  // fromEntries, so that a key such as __proto__ is data.
  const entriesOf = (object: object) =>
    Object.fromEntries(Object.entries(object).map(([k, v]) => [k, walk(v)]));
  return walk(json);
}

const UNKNOWN = Symbol();

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Fails where a tensor cannot keep the elements of a typed array. */
export function checkArray(type: string, dtype: DType, shape: readonly number[]): void {
  const found = ARRAY_TYPES.find(([name]) => name === type);
  if (found === undefined) throw damaged(`it has an array of type ${cut(type)}`);
  if (found[2] !== dtype || shape.length !== 1) {
    throw damaged(`it has a ${type} whose elements are ${dtype} [${shape.join(", ")}]`);
  }
}

/** A typed array of a tensor's elements. */
export function arrayOf(tensor: Tensor, type: string): TypedArray {
  checkArray(type, tensor.dtype, tensor.shape);
  return tensor.toTypedArray();
}
