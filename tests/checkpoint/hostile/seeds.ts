/** Good files of every kind, which a fuzzer damages: as they are, or inside, with lengths and checksums made right again. */
import { arange, checkpoint, ones, type Tensor, tensor, zeros } from "@toro/toro";
import { join, u64, utf8 } from "./bytes.ts";
import { safetensors } from "./safetensors_files.ts";

/** A good file and what may be damaged of it. */
export interface Seed {
  readonly name: string;
  /** How the file's name ends. */
  readonly ending: string;
  /** What is damaged. */
  readonly inner: Uint8Array<ArrayBuffer>;
  /** The file around it. */
  wrap(inner: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** Whether nothing may change unseen: a damaged file is refused, or means the same. */
  readonly isSealed: boolean;
}

const asItIs = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => bytes;

/** A state with everything that a checkpoint may hold. */
export function everything(): Record<string, unknown> {
  const dtypes = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
  ] as const;
  return {
    tensors: Object.fromEntries(
      dtypes.map((dtype) => [dtype, tensor([[0, 1], [1, 1]], { dtype })]),
    ),
    view: arange(6).reshape([2, 3]).transpose(0, 1),
    none: zeros([0, 3]),
    scalar: ones([]),
    numbers: [1, -0, NaN, Infinity, 1e-300, 2n ** 63n],
    array: new Float64Array([1, 2]),
    map: new Map<unknown, unknown>([[1, "a"], ["k", { deep: tensor([7]) }]]),
    odd: { $tensor: "x", "a.b": 1, text: 'a " and \u{1f600}', nothing: null, yes: true },
  };
}

/** The length and header of a safetensors file, and its data. */
export function takeApart(
  file: Uint8Array<ArrayBuffer>,
): { header: Uint8Array<ArrayBuffer>; data: Uint8Array<ArrayBuffer> } {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  return { header: file.slice(8, 8 + length), data: file.slice(8 + length) };
}

/** The seeds. `folder` is for files that are made on the way. */
export async function seeds(folder: string): Promise<Seed[]> {
  const path = `${folder}/seed`;
  await checkpoint.save(`${path}.safetensors`, everything());
  const saved = await Deno.readFile(`${path}.safetensors`);
  const x = (dtype: string, shape: number[], from: number, to: number) => ({
    dtype,
    shape,
    data_offsets: [from, to],
  });
  const plain = {
    __metadata__: { format: "pt", note: "plain" },
    a: x("F32", [2, 2], 0, 16),
    b: x("I64", [1], 16, 24),
    c: x("BOOL", [3], 24, 27),
    "": x("BF16", [0], 27, 27),
  };
  return [
    { name: "checkpoint", ending: ".safetensors", inner: saved, wrap: asItIs, isSealed: true },
    {
      name: "safetensors",
      ending: ".safetensors",
      inner: safetensors(plain, 27),
      wrap: asItIs,
      isSealed: false,
    },
    {
      name: "safetensors header",
      ending: ".safetensors",
      inner: utf8(JSON.stringify(plain)),
      wrap: (inner) => join(u64(inner.length), inner, new Uint8Array(27)),
      isSealed: false,
    },
  ];
}

/** Whether two values of a state are the same, tensors by type, shape and bytes. */
export function isSame(a: unknown, b: unknown): boolean {
  return text(a) === text(b);
}

function text(value: unknown): string {
  return JSON.stringify(value, function (key, each) {
    // A Tensor's own way of becoming JSON is no concern here.
    const given = this[key] ?? each;
    if (isTensor(given)) {
      return [given.dtype, given.shape, plainText(given.contiguous().toTypedArray())];
    }
    if (given instanceof Map) return ["map", ...given];
    if (ArrayBuffer.isView(given)) return plainText(given as Float64Array);
    if (typeof given === "bigint") return `${given}n`;
    if (typeof given === "number") return Object.is(given, -0) ? "-0" : String(given);
    return given;
  });
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "toTypedArray" in value;
}

function plainText(array: ArrayLike<number | bigint>): string {
  return `${array.constructor.name} ${Array.from(array, String).join(",")}`;
}
