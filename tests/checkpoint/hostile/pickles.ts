/** Pickles out of opcodes, and files of PyTorch's around them. */
import { type End, type Entry, numbers, zip } from "./archives.ts";
import { join, utf8 } from "./bytes.ts";

/** A file of PyTorch's with this pickle, and storages by key. */
export function torch(
  pickle: Uint8Array,
  storages: Readonly<Record<string, number | Uint8Array>> = {},
  change: (entries: Entry[]) => Entry[] = (entries) => entries,
  end?: End,
): Uint8Array<ArrayBuffer> {
  const data = Object.entries(storages).map(([key, bytes]) => ({
    name: `a/data/${key}`,
    bytes: typeof bytes === "number" ? new Uint8Array(bytes) : bytes,
  }));
  return zip(
    change([
      { name: "a/data.pkl", bytes: pickle },
      { name: "a/byteorder", bytes: utf8("little") },
      ...data,
      { name: "a/version", bytes: utf8("3\n") },
    ]),
    end,
  );
}

type Code = string | number | Uint8Array;

/** Opcodes as letters or bytes, after the protocol; the stop is added. */
export function pickle(...codes: readonly Code[]): Uint8Array<ArrayBuffer> {
  return join(Uint8Array.of(0x80, 2), body(...codes), utf8("."));
}

export function body(...codes: readonly Code[]): Uint8Array<ArrayBuffer> {
  return join(
    ...codes.map((code) =>
      typeof code === "number"
        ? Uint8Array.of(code)
        : typeof code === "string"
        ? Uint8Array.from(code, (letter) => letter.charCodeAt(0))
        : code
    ),
  );
}

/** A text. */
export function text(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return join(utf8("X"), numbers([4, bytes.length]), bytes);
}

/** An integer of up to 8 bytes. */
export function int(value: number | bigint): Uint8Array {
  if (value >= 0 && value < 256) return Uint8Array.of(0x4b, Number(value));
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setBigInt64(0, BigInt.asIntN(64, BigInt(value)), true);
  // A ninth byte holds the sign of what has 64 bits.
  if (value < 0) bytes[8] = 0xff;
  return join(Uint8Array.of(0x8a, 9), bytes);
}

/** A tuple of integers. */
export function tuple(values: readonly (number | bigint)[]): Uint8Array<ArrayBuffer> {
  return body("(", ...values.map(int), "t");
}

/** What describes a tensor. */
export interface TensorFields {
  type: string;
  key: string;
  numel: number | bigint;
  offset: number | bigint;
  shape: readonly (number | bigint)[];
  strides: readonly (number | bigint)[];
  grad: string;
  location: string;
}

/** A tensor of two float32 on storage "0" but for what is given. */
export function tensor(given: Partial<TensorFields> = {}): Uint8Array<ArrayBuffer> {
  const t: TensorFields = {
    type: "FloatStorage",
    key: "0",
    numel: 2,
    offset: 0,
    shape: [2],
    strides: [1],
    grad: "\x89",
    location: "cpu",
    ...given,
  };
  return body(
    "ctorch._utils\n_rebuild_tensor_v2\n((",
    text("storage"),
    `ctorch\n${t.type}\n`,
    text(t.key),
    text(t.location),
    int(t.numel),
    "tQ",
    int(t.offset),
    tuple(t.shape),
    tuple(t.strides),
    t.grad,
    "ccollections\nOrderedDict\n)RtR",
  );
}

/** A call of a name with one text. */
export function call(module: string, name: string, argument: string): Uint8Array<ArrayBuffer> {
  return pickle(`c${module}\n${name}\n`, text(argument), Uint8Array.of(0x85), "R");
}

/** Lists in each other. */
export function nested(depth: number): Uint8Array<ArrayBuffer> {
  return pickle("]".repeat(depth), "a".repeat(depth - 1));
}
