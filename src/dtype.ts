/**
 * The ten element types: names, sizes, promotion as in PyTorch.
 *
 * @module
 */
import { ArgumentError, show } from "./errors.ts";

/** An element type, by PyTorch's name. */
export type DType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int64"
  | "int32"
  | "int16"
  | "int8"
  | "uint8"
  | "bool";

/** What is known of an element type. */
export interface DTypeInfo {
  readonly name: DType;
  /** Its number in native instructions. */
  readonly code: number;
  /** Bytes of one element. */
  readonly size: number;
  readonly isFloat: boolean;
  /** 0 bool, 1 integer, 2 float: the higher category wins in promotion. */
  readonly category: 0 | 1 | 2;
}

function info(name: DType, code: number, size: number, category: 0 | 1 | 2): DTypeInfo {
  return { name, code, size, isFloat: category === 2, category };
}

/** All types in the order of their native numbers. */
export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  float32: info("float32", 0, 4, 2),
  float64: info("float64", 1, 8, 2),
  float16: info("float16", 2, 2, 2),
  bfloat16: info("bfloat16", 3, 2, 2),
  int64: info("int64", 4, 8, 1),
  int32: info("int32", 5, 4, 1),
  int16: info("int16", 6, 2, 1),
  int8: info("int8", 7, 1, 1),
  uint8: info("uint8", 8, 1, 1),
  bool: info("bool", 9, 1, 0),
};

/** The entry of a type, or an ArgumentError that lists the ten. */
export function dtypeInfo(dtype: unknown, op: string): DTypeInfo {
  const found = typeof dtype === "string" && Object.hasOwn(DTYPES, dtype)
    ? DTYPES[dtype as DType]
    : undefined;
  if (found === undefined) {
    throw new ArgumentError(
      `Cannot ${op}: dtype ${show(dtype)} is not one of ${Object.keys(DTYPES).join(", ")}`,
      { op },
    );
  }
  return found;
}

/** The smallest type that holds both, as `torch.promote_types` has it. */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const x = DTYPES[a], y = DTYPES[b];
  if (x.category !== y.category) return x.category > y.category ? a : b;
  if (x.category === 2) {
    if (x.size === y.size) return "float32"; // float16 with bfloat16
    return x.size > y.size ? a : b;
  }
  if (a === "uint8" || b === "uint8") {
    const other = a === "uint8" ? b : a;
    return other === "int8" ? "int16" : other;
  }
  return x.size > y.size ? a : b;
}

let defaultFloat: DType = "float32";

/** The type of new tensors of numbers. */
export function getDefaultDtype(): DType {
  return defaultFloat;
}

/** Sets the type of new tensors of numbers; it must be a float type. */
export function setDefaultDtype(dtype: DType): void {
  if (!dtypeInfo(dtype, "setDefaultDtype").isFloat) {
    throw new ArgumentError(`Cannot setDefaultDtype to ${dtype}: only float types are supported`, {
      op: "setDefaultDtype",
    });
  }
  defaultFloat = dtype;
}

/** A number that acts as a Python float in promotion, also where it is whole: `x.mul(float(2))`. */
export class Float {
  /** The number. */
  readonly value: number;
  /** Marks a number. */
  constructor(value: number) {
    this.value = value;
  }
}

/** Marks a number as a float: `intTensor.mul(float(2))` is a float tensor. */
export function float(value: number): Float {
  if (typeof value !== "number") {
    throw new ArgumentError(`Cannot float ${show(value)}: it must be a number`, { op: "float" });
  }
  return new Float(value);
}

/** A number where an op takes a tensor: whole numbers act as Python ints, others as floats. */
export type Scalar = number | bigint | boolean | Float;

/** Whether a value may stand for a number operand. */
export function isScalar(value: unknown): value is Scalar {
  const t = typeof value;
  return t === "number" || t === "bigint" || t === "boolean" || value instanceof Float;
}

/** The category of a scalar in promotion: 0 bool, 1 integer, 2 float. */
export function scalarCategory(value: Scalar): 0 | 1 | 2 {
  if (typeof value === "boolean") return 0;
  if (typeof value === "bigint") return 1;
  return typeof value === "number" && Number.isInteger(value) ? 1 : 2;
}

interface Typed {
  readonly info: DTypeInfo;
  readonly shape: readonly number[];
}

/** The dtype that operands meet in, as `torch.result_type`: tensors with dims, then 0-d tensors, then scalars. */
export function resultType(operands: readonly (Typed | Scalar)[]): DType {
  let dims: DType | null = null, zero: DType | null = null;
  let scalar = -1;
  for (const o of operands) {
    if (isScalar(o)) scalar = Math.max(scalar, scalarCategory(o));
    else if (o.shape.length > 0) {
      dims = dims === null ? o.info.name : promoteTypes(dims, o.info.name);
    } else zero = zero === null ? o.info.name : promoteTypes(zero, o.info.name);
  }
  let result = dims;
  if (zero !== null) {
    if (result === null || DTYPES[zero].category > DTYPES[result].category) result = zero;
  }
  if (scalar >= 0 && (result === null || scalar > DTYPES[result].category)) {
    result = scalar === 2 ? defaultFloat : scalar === 1 ? "int64" : "bool";
  }
  return result ?? defaultFloat;
}

/** The typed arrays that hold tensors' values in JavaScript. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Float16Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;
