/** Reads an oracle shard: cases from JSON, tensors from the safetensors file beside it. */
import { join } from "@std/path";

/** A case that Toro has no function for, or no parameter; counted apart from failures. */
export class Absent extends Error {
  constructor(readonly kind: "missing" | "unsupported", message: string) {
    super(message);
  }
}

/** A tensor of a shard, as plain numbers. */
export interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The elements, row-major: bfloat16 as its bits. */
  readonly bits: ArrayBufferView & { readonly length: number };
  /** The same elements as numbers; bfloat16 widened. */
  readonly values: ArrayLike<number | bigint>;
}

/** A shard: its cases, as they stand in the file, and its tensors. */
export interface Shard {
  readonly name: string;
  // deno-lint-ignore no-explicit-any
  readonly cases: any[];
  // deno-lint-ignore no-explicit-any
  readonly document: any;
  tensor(key: string): Stored;
}

const DTYPE: Readonly<Record<string, string>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U8: "uint8",
  BOOL: "bool",
};

const ARRAY = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Float16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** The tensors of a safetensors file by name. */
export function readTensors(path: string): (key: string) => Stored {
  const file = Deno.readFileSync(path);
  const head = Number(new DataView(file.buffer).getBigUint64(0, true));
  const entries = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + head))) as Record<
    string,
    Entry
  >;
  return (key) => {
    const entry = entries[key];
    if (entry === undefined) throw new Error(`${path} has no tensor ${key}`);
    const dtype = DTYPE[entry.dtype] as keyof typeof ARRAY | undefined;
    if (dtype === undefined) throw new Absent("unsupported", `a tensor of ${entry.dtype}`);
    const [from, to] = entry.data_offsets;
    // A copy, because the bytes need not lie at a multiple of the element's size.
    const bits = new ARRAY[dtype](file.slice(8 + head + from, 8 + head + to).buffer);
    const values = dtype === "bfloat16"
      ? Float64Array.from(bits as Uint16Array, widen)
      : bits as ArrayLike<number | bigint>;
    return { dtype, shape: entry.shape, bits, values };
  };
}

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** The number behind bfloat16's 16 bits. */
export function widen(bits: number): number {
  word[0] = bits << 16;
  return single[0];
}

/** Reads one shard of a folder. */
export function readShard(folder: string, name: string): Shard {
  const document = JSON.parse(Deno.readTextFileSync(join(folder, `${name}.json`)));
  let lookup: ((key: string) => Stored) | null = null;
  return {
    name,
    document,
    cases: Array.isArray(document) ? document : document.cases ?? [],
    tensor: (key) => (lookup ??= readTensors(join(folder, document.tensors)))(key),
  };
}

/** The names of a folder's shards, sorted. */
export function shardNames(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((f) => f.name).filter((n) => n.endsWith(".json"))
    .map((n) => n.slice(0, -5)).sort();
}
