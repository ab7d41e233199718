/**
 * The forms in which a case's tensors are laid out: dense, transposed in memory, with gaps, stretched. Values are drawn
 * from the case's place in the table, so that every run and every form sees the same.
 */
import { type DType, DTYPES } from "../../src/dtype.ts";
import { empty, fromElements, Tensor } from "../../src/tensor.ts";
import { widen } from "../../scripts/oracle/shards.ts";
import { type Case, TensorSpec } from "./spec.ts";

/** How a tensor's elements lie in memory. */
export type Layout = "contiguous" | "permuted" | "gapped" | "expanded";

/** Marks elements between those of a gapped tensor; an op that writes there is caught. */
const FILLER = 77;

/** Numbers from 0 to 1, the same for the same seed. */
export function uniform(seed: string): () => number {
  let state = 2166136261;
  for (const c of seed) state = Math.imul(state ^ c.charCodeAt(0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The values of a spec: floats without ties, one from each of n equal parts of the range, shuffled. */
export function draw(spec: TensorSpec, dtype: DType, seed: string): Float64Array<ArrayBuffer> {
  const n = spec.shape.reduce((a, b) => a * b, 1);
  const { low = -2, high = 2, values } = spec.options;
  if (values !== undefined) return Float64Array.from(values);
  const random = uniform(seed);
  const { category, name } = DTYPES[dtype];
  if (category === 0) return Float64Array.from({ length: n }, () => random() < 0.5 ? 0 : 1);
  if (category === 1) {
    const least = Math.ceil(name === "uint8" ? Math.max(low, 0) : low);
    const count = Math.floor(high) - least + 1;
    return Float64Array.from({ length: n }, () => least + Math.floor(random() * count));
  }
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return Float64Array.from(order, (i) => low + (high - low) * (i + 0.25 + 0.5 * random()) / n);
}

const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);

/** The bits of the bfloat16 nearest to a number. */
function bfloat16(x: number): number {
  single[0] = x;
  if (Number.isNaN(x)) return 0x7fc0;
  return (word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16;
}

/** A typed array with values as elements of a dtype; bfloat16 as bits. */
export function elements(values: ArrayLike<number>, dtype: DType): ArrayBufferView<ArrayBuffer> {
  switch (dtype) {
    case "float64":
      return Float64Array.from(values);
    case "float32":
      return Float32Array.from(values);
    case "float16":
      return Float16Array.from(values);
    case "bfloat16":
      return Uint16Array.from(values, bfloat16);
    case "int64":
      return BigInt64Array.from(Array.from(values), (x) => BigInt(Math.trunc(x)));
    case "int32":
      return Int32Array.from(values);
    case "int16":
      return Int16Array.from(values);
    case "int8":
      return Int8Array.from(values);
    case "uint8":
      return Uint8Array.from(values);
    case "bool":
      return Uint8Array.from(values, (x) => x === 0 ? 0 : 1);
  }
}

/** Values as a dtype holds them. */
export function rounded(
  values: Float64Array<ArrayBuffer>,
  dtype: DType,
): Float64Array<ArrayBuffer> {
  const held = elements(values, dtype) as unknown as ArrayLike<number | bigint>;
  if (dtype === "bfloat16") return Float64Array.from(held as Uint16Array, widen);
  return Float64Array.from(Array.from(held), Number);
}

/** The strides and the first element of a layout, and how many elements its storage has. */
function arrange(shape: readonly number[], layout: Layout): [number[], number, number] {
  const order = shape.map((_, i) => i);
  if (layout === "permuted") order.reverse();
  const gap = layout === "gapped" ? 2 : 1;
  const strides = shape.map(() => 0);
  let size = gap;
  for (const d of order.reverse()) {
    strides[d] = size;
    // A gap after the rows too, so that no two dims merge.
    size *= shape[d] + (layout === "gapped" ? 1 : 0);
  }
  const offset = layout === "gapped" ? 3 : layout === "permuted" ? 1 : 0;
  return [strides, offset, offset + size];
}

/** The dim that the expanded layout stretches: the first with more than one element. */
export function stretchedDim(shape: readonly number[]): number {
  return shape.findIndex((n) => n > 1);
}

/** Values of which every step along the stretched dim repeats the first. */
export function stretchedValues(
  values: Float64Array<ArrayBuffer>,
  shape: readonly number[],
): Float64Array<ArrayBuffer> {
  const d = stretchedDim(shape);
  if (d < 0) return values;
  const inner = shape.slice(d + 1).reduce((a, b) => a * b, 1);
  return values.map((_, i) => values[i - (Math.floor(i / inner) % shape[d]) * inner]);
}

function place(
  values: Float64Array<ArrayBuffer>,
  dtype: DType,
  shape: readonly number[],
  layout: Layout,
  device: number,
): Tensor {
  if (layout === "contiguous" || values.length === 0) {
    return values.length === 0
      ? empty(shape, DTYPES[dtype], device)
      : fromElements(elements(values, dtype), dtype, shape, device);
  }
  if (layout === "expanded") {
    const d = stretchedDim(shape);
    if (d < 0) return place(values, dtype, shape, "contiguous", device);
    const inner = shape.slice(d + 1).reduce((a, b) => a * b, 1);
    const kept = values.filter((_, i) => Math.floor(i / inner) % shape[d] === 0);
    const narrow = shape.map((n, i) => i === d ? 1 : n);
    const t = place(kept, dtype, narrow, "contiguous", device);
    return new Tensor(t.storage, t.info, shape, t.strides.map((s, i) => i === d ? 0 : s), 0);
  }
  const [strides, offset, size] = arrange(shape, layout);
  const store = new Float64Array(size).fill(FILLER);
  const index = shape.map(() => 0);
  for (const value of values) {
    store[index.reduce((sum, x, d) => sum + x * strides[d], offset)] = value;
    for (let d = shape.length - 1; d >= 0 && ++index[d] === shape[d]; d--) index[d] = 0;
  }
  const flat = fromElements(elements(store, dtype), dtype, [size], device);
  return new Tensor(flat.storage, flat.info, shape, strides, offset);
}

/** Whether what lies between a gapped tensor's elements is as it was. */
export function gapsUntouched(t: Tensor): boolean {
  const [, offset, size] = arrange(t.shape, "gapped");
  if (t.offset !== offset || t.numel === 0) return true;
  const all = new Tensor(t.storage, t.info, [size], [1], 0).toTypedArray();
  const filler = t.dtype === "bool" ? 1 : FILLER;
  const count = (values: ArrayLike<number | bigint>) =>
    Array.from(values).filter((x) => Number(x) === filler).length;
  return count(all) - count(t.toTypedArray()) === size - t.numel;
}

/** What a case is made into. */
export interface Form {
  /** The element type of specs without one. */
  readonly dtype: DType;
  /** The layout of tensors. */
  readonly layout: Layout;
  /** The type to which values are rounded first; default `dtype`. */
  readonly roundTo?: DType;
  /** Whether specs that gradients are checked for require them. */
  readonly grad?: boolean;
  /** The number of the device; default the CPU. */
  readonly device?: number;
  /** Whether values repeat as the expanded layout has them, whatever the layout. */
  readonly repeated?: boolean;
}

/** A call made of a case. */
export interface Call {
  readonly args: unknown[];
  /** Every tensor, in the order in which the arguments name them. */
  readonly tensors: Tensor[];
}

/** Makes a case's arguments in a form. `inplace`: the first is written to, so it is never stretched. */
export function build(c: Case, form: Form, seed: string, inplace: boolean): Call {
  const tensors: Tensor[] = [];
  const make = (spec: TensorSpec): Tensor => {
    const at = tensors.length;
    const fixed = spec.options.dtype;
    const dtype = fixed ?? form.dtype;
    const source = fixed ?? form.roundTo ?? form.dtype;
    let values = rounded(draw(spec, source, `${seed}/${at}`), source);
    const stretches = fixed === undefined && !(inplace && at === 0);
    if (stretches && form.repeated) values = stretchedValues(values, spec.shape);
    const layout = form.layout === "expanded" && !stretches ? "contiguous" : form.layout;
    const t = place(values, dtype, spec.shape, layout, form.device ?? 0);
    if (form.grad && t.info.isFloat && spec.options.grad !== false) t.requiresGrad = true;
    tensors.push(t);
    return t;
  };
  const walk = (value: unknown): unknown => {
    if (value instanceof TensorSpec) return make(value);
    if (Array.isArray(value)) return value.map(walk);
    if (
      value !== null && typeof value === "object" &&
      Object.getPrototypeOf(value) === Object.prototype
    ) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, walk(v)]));
    }
    return value;
  };
  return { args: c.args.map(walk), tensors };
}

/** The call's arguments with other tensors in the places of its own. */
export function replaced(call: Call, tensors: readonly Tensor[]): unknown[] {
  const walk = (value: unknown): unknown => {
    if (value instanceof Tensor) return tensors[call.tensors.indexOf(value)];
    if (Array.isArray(value)) return value.map(walk);
    if (
      value !== null && typeof value === "object" &&
      Object.getPrototypeOf(value) === Object.prototype
    ) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, walk(v)]));
    }
    return value;
  };
  return call.args.map(walk);
}
