/**
 * The tensor: a window of dims and strides on a storage, with its place on the autograd tape. Methods are declared
 * and installed by methods.ts, above the ops.
 *
 * @module
 */
import * as native from "../ffi/library.ts";
import type { AutogradMeta } from "./autograd.ts";
import { type DType, type DTypeInfo, DTYPES, type TypedArray } from "./dtype.ts";
import { ArgumentError, DTypeError, OutOfMemoryError, ShapeError } from "./errors.ts";
import { allocate, type Storage } from "./memory.ts";
import type { Methods } from "./methods.ts";
import { contiguousStrides, isContiguous, numelOf, shapeText } from "./shape.ts";

/** An n-dimensional array of one element type. Made by `tensor`, `zeros`, `randn` and others, never by `new`. */
export class Tensor {
  /** The bytes, shared by views. @ignore */
  storage: Storage;
  /** Elements from the storage's start to the first element. @ignore */
  readonly offset: number;
  /** The size of each dim. */
  readonly shape: readonly number[];
  /** Elements to skip for one step in each dim. */
  readonly strides: readonly number[];
  /** The element type's facts. @ignore */
  readonly info: DTypeInfo;
  /** How many elements there are. */
  readonly numel: number;
  /** Gradient, tape node and hooks; null while none is needed. @ignore */
  meta: AutogradMeta | null = null;
  /** The tensor that this one is a view of. @ignore */
  base: Tensor | null = null;

  /** @ignore */
  constructor(
    storage: Storage,
    info: DTypeInfo,
    shape: readonly number[],
    strides: readonly number[],
    offset: number,
  ) {
    this.storage = storage;
    this.info = info;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    this.numel = numelOf(shape);
  }

  /** The element type. */
  get dtype(): DType {
    return this.info.name;
  }

  /** The count of dims. */
  get ndim(): number {
    return this.shape.length;
  }

  /** `"cpu"`, `"cuda:0"`, … */
  get device(): string {
    return this.storage.device === 0 ? "cpu" : `cuda:${this.storage.device - 1}`;
  }

  /** Whether elements lie row-major without gaps. */
  isContiguous(): boolean {
    return isContiguous(this.shape, this.strides);
  }

  /** Whether `dispose` was called on it or on a tensor that it shares its storage with. */
  get isDisposed(): boolean {
    return (this.storage.state & 1) !== 0;
  }

  /** Frees the storage now; views of it become unusable too. Nobody needs this: memory is collected by itself. */
  dispose(): void {
    this.storage.dispose();
  }

  /** `using t = …` frees the tensor at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The only element, as a number. */
  item(): number {
    if (this.numel !== 1) {
      throw new ShapeError(
        `Cannot item a tensor ${shapeText(this.shape)}: it has ${this.numel} elements, not 1`,
        { op: "item" },
      );
    }
    const { storage, info, offset } = this;
    if (storage.state !== 0) storage.settle("item");
    native.readElement(storage.handle, storage.byteOffset + offset * info.size, info.size);
    if (info === DTYPES.bfloat16) {
      FIRST_BITS[0] = FIRST.bfloat16[0] << 16;
      return FIRST.float32[0];
    }
    const value = FIRST[info.name][0];
    return typeof value === "bigint" ? safeNumber(value, "item") : value;
  }

  /** The elements as nested arrays of numbers, bools as 0 and 1. */
  toArray(): NestedNumbers;
  /** The elements as nested arrays of bigints, for int64 beyond 2^53. */
  toArray(options: { bigint: true }): NestedBigints;
  toArray(options?: { bigint?: boolean } | null): NestedNumbers | NestedBigints {
    checkNesting(this);
    const values = this.toTypedArray();
    let at = 0;
    const convert = options?.bigint
      ? (x: number | bigint) => BigInt(x)
      : (x: number | bigint) => typeof x === "bigint" ? safeNumber(x, "toArray") : x;
    const build = (d: number): unknown => {
      if (d === this.ndim) return convert(values[at++]);
      return Array.from({ length: this.shape[d] }, () => build(d + 1));
    };
    return build(0) as NestedNumbers;
  }

  /** The elements, row-major: float16 as Float16Array, bfloat16 as Float32Array, bool as Uint8Array, int64 as BigInt64Array. */
  toTypedArray(): TypedArray {
    return readElements(this, "toTypedArray");
  }

  /** `toTypedArray()` without blocking the event loop while the device works. */
  read(): Promise<TypedArray> {
    return Promise.resolve(readElements(this, "read"));
  }

  /** Arithmetic operators and comparisons on tensors throw; template literals print. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    throw new ArgumentError(
      "Cannot use a tensor in + - * / < or ==; write a.add(b), or a.item() for its value",
    );
  }
}

/** The methods that ops give a tensor; see methods.ts. */
export interface Tensor extends Methods {}

/** Numbers nested as deep as a tensor has dims. */
export type NestedNumbers = number | NestedNumbers[];
/** Bigints nested as deep as a tensor has dims. */
export type NestedBigints = bigint | NestedBigints[];

/** What nested arrays may take in numbers' worth of memory; V8 ends the process past its heap. */
const MOST_NESTED = 2 ** 28;
/** What an array takes beside its elements. */
const ARRAY = 8;

/** Fails where nested arrays of a tensor's shape would be too much for JavaScript's heap; empty ones count too. */
function checkNesting({ shape, numel }: Tensor): void {
  let arrays = 1, cost = numel;
  for (const size of shape) {
    cost += ARRAY * arrays;
    arrays *= size;
  }
  if (cost <= MOST_NESTED) return;
  throw new ArgumentError(
    `Cannot toArray ${
      shapeText(shape)
    }: nested arrays of this shape do not fit in JavaScript's heap`,
    { op: "toArray", hint: "toTypedArray() has no nesting" },
  );
}

function safeNumber(x: bigint, op: string): number {
  const n = Number(x);
  if (!Number.isSafeInteger(n)) {
    throw new DTypeError(`Cannot ${op}: the int64 value ${x} is beyond 2^53 and no exact number`, {
      op,
      hint: "toArray({ bigint: true })",
    });
  }
  return n;
}

/** A new contiguous tensor whose elements are undefined. */
export function empty(shape: readonly number[], info: DTypeInfo, device = 0): Tensor {
  const storage = allocate(numelOf(shape) * info.size, device);
  return new Tensor(storage, info, shape, contiguousStrides(shape), 0);
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Float16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** The start of the thread's buffer as an element of each type. */
const FIRST = Object.fromEntries(
  Object.entries(ARRAYS).map(([name, Kind]) => [name, new Kind(native.words.buffer, 0, 1)]),
) as { readonly [D in DType]: InstanceType<typeof ARRAYS[D]> };
const FIRST_BITS = new Uint32Array(native.words.buffer, 0, 1);

/** The fields that say which elements of which storage a tensor has. */
type Window = {
  -readonly [K in "storage" | "info" | "shape" | "strides" | "offset" | "numel"]: Tensor[K];
};

/** Lets a tensor have the elements of another one while it stays the same object. Who calls keeps the tape right. */
export function adoptWindow(target: Tensor, from: Tensor): void {
  const window = target as Window;
  window.storage = from.storage;
  window.info = from.info;
  window.shape = from.shape;
  window.strides = from.strides;
  window.offset = from.offset;
  window.numel = from.numel;
}

/** A typed array for the elements of a tensor of this type, bfloat16 as its bits. */
export function arrayFor(dtype: DType, length: number): TypedArray | Uint16Array {
  return new ARRAYS[dtype](length);
}

let materialize: (t: Tensor) => Tensor = (t) => t;

/** methods.ts hands in `contiguous`, so that strided tensors can be read; nothing here knows the ops. */
export function setMaterialize(contiguous: (t: Tensor) => Tensor): void {
  materialize = contiguous;
}

function readElements(t: Tensor, op: string): TypedArray {
  if (t.storage.state !== 0) t.storage.settle(op);
  const dense = t.isContiguous() ? t : materialize(t);
  const out = room(t, op, () => arrayFor(t.dtype, t.numel));
  if (t.numel > 0) {
    native.read(dense.storage.handle, dense.storage.byteOffset + dense.offset * t.info.size, out);
  }
  if (t.dtype !== "bfloat16") return out as TypedArray;
  const wide = room(t, op, () => new Float32Array(t.numel));
  const bits = new Uint32Array(wide.buffer);
  for (let i = 0; i < out.length; i++) bits[i] = Number(out[i]) << 16;
  return wide;
}

/** An array that JavaScript may have no room for. */
function room<T>(t: Tensor, op: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new OutOfMemoryError(
      `Cannot ${op} ${shapeText(t.shape)}: JavaScript has no room for ${t.numel} elements`,
      { op, cause },
    );
  }
}

/** A new tensor of these elements; bfloat16 takes bits. The array is copied. */
export function fromElements(
  data: ArrayBufferView,
  dtype: DType,
  shape: readonly number[],
  device = 0,
): Tensor {
  const t = empty(shape, DTYPES[dtype], device);
  if (t.numel > 0) native.write(t.storage.handle, t.storage.byteOffset, data);
  return t;
}
