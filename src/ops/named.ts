/** Results of several tensors: PyTorch's named tuples. */
import type { Tensor } from "../tensor.ts";

/** Tensors by field, iterable in the order of the fields. */
export type Named<K extends string> = { readonly [F in K]: Tensor } & Iterable<Tensor>;

/** Makes a named result of its fields, in order. */
export function named<K extends string>(fields: Record<K, Tensor>): Named<K> {
  const values = Object.values<Tensor>(fields);
  return { ...fields, [Symbol.iterator]: () => values[Symbol.iterator]() };
}
