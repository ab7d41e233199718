/**
 * Tensors out of numbers, arrays and patterns.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { metaOf } from "../autograd.ts";
import { requireCuda } from "../cuda.ts";
import {
  type DType,
  type DTypeInfo,
  dtypeInfo,
  DTYPES,
  Float,
  getDefaultDtype,
  isScalar,
  type Scalar,
  type TypedArray,
} from "../dtype.ts";
import { ArgumentError, DeviceError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { checkSize } from "../shape.ts";
import { empty as emptyTensor, fromElements, type Tensor } from "../tensor.ts";
import { cast, checkNumber, word } from "./map.ts";
import { moved } from "./transfer.ts";

/** What every creation op takes by name. */
export interface CreationOptions {
  /** The element type; default: the default float dtype, or what the values say. */
  dtype?: DType | null;
  /** `"cpu"` (default) or `"cuda"`. */
  device?: string | null;
  /** Whether gradients are wanted for it. */
  requiresGrad?: boolean;
}

/** The number of a device's name: 0 for the CPU. */
export function deviceNumber(device: unknown, op: string): number {
  if (device === null || device === undefined || device === "cpu") return 0;
  const cuda = typeof device === "string" ? /^cuda(?::(\d+))?$/.exec(device) : null;
  if (cuda !== null) {
    const ordinal = Number(cuda[1] ?? 0);
    requireCuda(op, ordinal, show(device));
    return 1 + ordinal;
  }
  throw new DeviceError(`Cannot ${op} on ${show(device)}: a device is "cpu", "cuda" or "cuda:1"`, {
    op,
  });
}

/** Marks a new tensor as a leaf that wants gradients. */
export function wantGrad(t: Tensor, requiresGrad: boolean, op: string): Tensor {
  if (!requiresGrad) return t;
  if (!t.info.isFloat) {
    throw new DTypeError(
      `Cannot ${op} a ${t.dtype} tensor with requiresGrad: only float tensors carry gradients`,
      { op },
    );
  }
  metaOf(t).requiresGrad = true;
  return t;
}

/** A new tensor filled with one number. */
export function filled(
  shape: readonly number[],
  value: Scalar,
  info: DTypeInfo,
  device = 0,
): Tensor {
  const t = emptyTensor(shape, info, device);
  run("fill", OP.fill, [t], [], [info.code, word(value, info)]);
  return t;
}

/** Nested arrays of numbers, booleans or bigints. */
export type NestedValues = Scalar | readonly NestedValues[];

/** Makes a tensor: `tensor([[1, 2], [3, 4]])`. */
export type MakeTensor = (data: NestedValues | TypedArray, options?: CreationOptions) => Tensor;

/**
 * A tensor of the given values. Numbers give the default float dtype, whatever they are; booleans give bool, bigints
 * int64; a typed array keeps its type. Shape: that of the nesting; a typed array has one dim.
 * Errors: ShapeError for ragged nesting, DTypeError for typed arrays without a dtype of their own.
 *
 * ```ts
 * import { tensor } from "@toro/toro";
 * const x = tensor([[1, 2, 3], [4, 5, 6]]); // float32 [2, 3]
 * ```
 */
export const tensor: MakeTensor = op(
  "tensor(data, dtype=null, device=null, requiresGrad=false)",
  (
    data: NestedValues | TypedArray,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const place = deviceNumber(device, "tensor");
    const t = ArrayBuffer.isView(data) ? fromTyped(data) : fromNested(data, dtype);
    const info = dtype === null ? t.info : dtypeInfo(dtype, "tensor");
    return wantGrad(moved(cast(t, info.name), place), requiresGrad, "tensor");
  },
);

const TYPED: readonly (readonly [new (n: number) => ArrayBufferView, DType])[] = [
  [Float32Array, "float32"],
  [Float64Array, "float64"],
  [Float16Array, "float16"],
  [BigInt64Array, "int64"],
  [Int32Array, "int32"],
  [Int16Array, "int16"],
  [Int8Array, "int8"],
  [Uint8Array, "uint8"],
];

function fromTyped(data: ArrayBufferView): Tensor {
  const found = TYPED.find(([type]) => data instanceof type);
  if (found === undefined) {
    throw new DTypeError(`Cannot tensor ${show(data)}: no dtype holds its elements`, {
      op: "tensor",
      hint: "copy it into a Float32Array, Int32Array or BigInt64Array first",
    });
  }
  return fromElements(data, found[1], [(data as unknown as TypedArray).length]);
}

function fromNested(data: NestedValues, dtype: DType | null): Tensor {
  const shape: number[] = [];
  for (let v: unknown = data; Array.isArray(v); v = v[0]) shape.push(v.length);
  checkSize(shape, "tensor");
  const flat: unknown[] = [];
  const walk = (v: unknown, d: number): void => {
    if (d === shape.length) {
      if (!isScalar(v)) {
        throw new ArgumentError(`Cannot tensor: ${show(v)} is no number, boolean or bigint`, {
          op: "tensor",
        });
      }
      flat.push(v);
      return;
    }
    if (!Array.isArray(v) || v.length !== shape[d]) {
      throw new ShapeError(
        `Cannot tensor a ragged array: an entry of dim ${d} has ${
          Array.isArray(v) ? `${v.length} elements` : "no elements of its own"
        }, the first has ${shape[d]}`,
        { op: "tensor" },
      );
    }
    for (const e of v) walk(e, d + 1);
  };
  walk(data, 0);
  if (flat.every((v) => typeof v === "boolean") && flat.length > 0) {
    return fromElements(Uint8Array.from(flat, Number), "bool", shape);
  }
  const bigints = flat.some((v) => typeof v === "bigint");
  if ((bigints && flat.every((v) => typeof v === "bigint")) || dtype === "int64") {
    return fromElements(
      BigInt64Array.from(
        flat as unknown[],
        (v) => typeof v === "bigint" ? v : BigInt(Math.trunc(numberOf(v))),
      ),
      "int64",
      shape,
    );
  }
  const target = dtype ?? getDefaultDtype();
  const wide = target === "float64" || !DTYPES[target].isFloat;
  const numbers = wide ? Float64Array.from(flat, numberOf) : Float32Array.from(flat, numberOf);
  const made = fromElements(numbers, wide ? "float64" : "float32", shape);
  return dtype === null ? cast(made, target) : made;
}

function numberOf(v: unknown): number {
  return v instanceof Float ? v.value : Number(v);
}

/** A tensor of a size. */
export type Create = (size: readonly number[] | number, options?: CreationOptions) => Tensor;

function create(
  name: string,
  make: (shape: number[], info: DTypeInfo, device: number) => Tensor,
): Create {
  return op<Create>(
    `${name}(size, dtype=null, device=null, requiresGrad=false)`,
    (
      size: readonly number[] | number,
      dtype: DType | null,
      device: string | null,
      requiresGrad: boolean,
    ) => {
      const info = dtypeInfo(dtype ?? getDefaultDtype(), name);
      return wantGrad(
        make(checkSize(size, name), info, deviceNumber(device, name)),
        requiresGrad,
        name,
      );
    },
  );
}

/** Zeros. */
export const zeros: Create = create(
  "zeros",
  (shape, info, device) => filled(shape, 0, info, device),
);
/** Ones. */
export const ones: Create = create("ones", (shape, info, device) => filled(shape, 1, info, device));
/** Elements of undefined value, the quickest to make. */
export const empty: Create = create("empty", emptyTensor);

/** A tensor of a size, filled with a number. */
export type Full = (
  size: readonly number[] | number,
  fillValue: Scalar,
  options?: CreationOptions,
) => Tensor;

/** One number everywhere. Numbers give the default float dtype, booleans bool, bigints int64. */
export const full: Full = op(
  "full(size, fillValue, dtype=null, device=null, requiresGrad=false)",
  (
    size: readonly number[] | number,
    fillValue: Scalar,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    checkNumber("full", fillValue, "fillValue");
    const natural = typeof fillValue === "boolean"
      ? "bool"
      : typeof fillValue === "bigint"
      ? "int64"
      : getDefaultDtype();
    const info = dtypeInfo(dtype ?? natural, "full");
    const t = filled(checkSize(size, "full"), fillValue, info, deviceNumber(device, "full"));
    return wantGrad(t, requiresGrad, "full");
  },
);

// ---- like another tensor ------------------------------------------------------------------------

/** A tensor of another's shape, dtype and device. */
export type CreateLike = (input: Tensor, options?: CreationOptions) => Tensor;

function like(name: string, value: Scalar | null): CreateLike {
  return op<CreateLike>(
    `${name}(input, dtype=null, device=null, requiresGrad=false)`,
    (x: Tensor, dtype: DType | null, device: string | null, requiresGrad: boolean) => {
      const info = dtype === null ? x.info : dtypeInfo(dtype, name);
      const place = device === null ? x.storage.device : deviceNumber(device, name);
      const t = value === null
        ? emptyTensor(x.shape, info, place)
        : filled(x.shape, value, info, place);
      return wantGrad(t, requiresGrad, name);
    },
  );
}

/** Zeros of a tensor's shape, dtype and device. */
export const zerosLike: CreateLike = like("zerosLike", 0);
/** Ones of a tensor's shape, dtype and device. */
export const onesLike: CreateLike = like("onesLike", 1);
/** Elements of undefined value of a tensor's shape, dtype and device. */
export const emptyLike: CreateLike = like("emptyLike", null);

/** One number everywhere, of a tensor's shape, dtype and device. */
export const fullLike: (input: Tensor, fillValue: Scalar, options?: CreationOptions) => Tensor = op(
  "fullLike(input, fillValue, dtype=null, device=null, requiresGrad=false)",
  (
    x: Tensor,
    fillValue: Scalar,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    checkNumber("fullLike", fillValue, "fillValue");
    const info = dtype === null ? x.info : dtypeInfo(dtype, "fullLike");
    const place = device === null ? x.storage.device : deviceNumber(device, "fullLike");
    return wantGrad(filled(x.shape, fillValue, info, place), requiresGrad, "fullLike");
  },
);

/** A tensor of a given size and another tensor's dtype and device. */
export type New = (
  input: Tensor,
  size: readonly number[] | number,
  options?: CreationOptions,
) => Tensor;

function fresh(name: string, value: Scalar | null): New {
  return op<New>(
    `${name}(input, size, dtype=null, device=null, requiresGrad=false)`,
    (
      x: Tensor,
      size: readonly number[] | number,
      dtype: DType | null,
      device: string | null,
      requiresGrad: boolean,
    ) => {
      const info = dtype === null ? x.info : dtypeInfo(dtype, name);
      const place = device === null ? x.storage.device : deviceNumber(device, name);
      const shape = checkSize(size, name);
      const t = value === null
        ? emptyTensor(shape, info, place)
        : filled(shape, value, info, place);
      return wantGrad(t, requiresGrad, name);
    },
  );
}

/** Zeros of a size, of a tensor's dtype and device; a method. */
export const newZeros: New = fresh("newZeros", 0);
/** Ones of a size, of a tensor's dtype and device; a method. */
export const newOnes: New = fresh("newOnes", 1);
/** Undefined elements of a size, of a tensor's dtype and device; a method. */
export const newEmpty: New = fresh("newEmpty", null);
/** One number, of a size and of a tensor's dtype and device; a method. */
export const newFull: (
  input: Tensor,
  size: readonly number[] | number,
  fillValue: Scalar,
  options?: CreationOptions,
) => Tensor = op(
  "newFull(input, size, fillValue, dtype=null, device=null, requiresGrad=false)",
  (
    x: Tensor,
    size: readonly number[] | number,
    fillValue: Scalar,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    checkNumber("newFull", fillValue, "fillValue");
    const info = dtype === null ? x.info : dtypeInfo(dtype, "newFull");
    const place = device === null ? x.storage.device : deviceNumber(device, "newFull");
    return wantGrad(
      filled(checkSize(size, "newFull"), fillValue, info, place),
      requiresGrad,
      "newFull",
    );
  },
);
