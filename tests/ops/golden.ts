/**
 * PyTorch's results for the case table, from tests/golden/ops.json. A case is found by what is called with which
 * values, so that a changed case asks for new goldens instead of being compared with old ones.
 */
import type { DType } from "../../src/dtype.ts";
import { Tensor } from "../../src/tensor.ts";
import { build } from "./forms.ts";
import type { Case, Entry } from "./spec.ts";

/** The element types whose results are kept: one for floats, one for integers, and the two odd ones. */
export const GOLDEN_DTYPES: readonly DType[] = ["float64", "int64", "uint8", "bool"];

/** A result: shape, dtype and values; infinities and NaN as text. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly values: readonly (number | string)[];
}

/** A value of a result that is no tensor stands as it is. */
export type GoldenValue = GoldenTensor | number | boolean | string | null;

/** Results by op and by what was called. */
export type Goldens = Record<string, Record<string, readonly GoldenValue[] | { throws: string }>>;

const file = new URL("../golden/ops.json", import.meta.url);

/** All goldens; empty while there is no file. */
export function readGoldens(): Goldens {
  try {
    return JSON.parse(Deno.readTextFileSync(file)) as Goldens;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

/** A call as JSON: what PyTorch is asked, and what a golden is found by. */
export function describeCall(name: string, entry: Entry, c: Case, dtype: DType): string {
  const call = build(c, { dtype, layout: "contiguous" }, `${name}`, false);
  const walk = (value: unknown): unknown => {
    if (value instanceof Tensor) {
      const values = Array.from(value.toTypedArray() as ArrayLike<number | bigint>, Number);
      return { tensor: value.dtype, shape: value.shape, values: values.map(jsonNumber) };
    }
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value === "number" || typeof value === "bigint") return jsonNumber(Number(value));
    if (value === null || typeof value !== "object") return value ?? null;
    const proto = Object.getPrototypeOf(value);
    if (proto !== Object.prototype) return { [value.constructor.name.toLowerCase()]: { ...value } };
    return { options: Object.fromEntries(Object.entries(value).map(([k, v]) => [k, walk(v)])) };
  };
  return JSON.stringify({ op: entry.torch ?? name, args: call.args.map(walk) });
}

/** A number as JSON can hold it. */
export function jsonNumber(x: number): number | string {
  return Number.isFinite(x) ? x : String(x);
}

/** A short name of a call, by which its golden is kept. */
export function keyOf(dtype: DType, description: string): string {
  let a = 2166136261, b = 40503;
  for (let i = 0; i < description.length; i++) {
    const c = description.charCodeAt(i);
    a = Math.imul(a ^ c, 16777619);
    b = Math.imul(b ^ c, 2246822519) ^ (b >>> 13);
  }
  return `${dtype} ${(a >>> 0).toString(36)}${(b >>> 0).toString(36)}`;
}
