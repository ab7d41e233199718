/** Hostile and odd safetensors files. */
import { checksumOf } from "../../../ffi/tensor_files.ts";
import { type Hostile, join, u64, utf8 } from "./bytes.ts";

/** A file of a header, as JSON or as text or bytes, and of so many bytes of data. */
export function safetensors(
  header: unknown,
  data: number | Uint8Array = 0,
  claimed?: number | bigint,
): Uint8Array<ArrayBuffer> {
  const text = header instanceof Uint8Array
    ? header
    : utf8(typeof header === "string" ? header : JSON.stringify(header));
  return join(
    u64(claimed ?? text.length),
    text,
    typeof data === "number" ? new Uint8Array(data) : data,
  );
}

/** One tensor x as a header. */
const x = (dtype: unknown, shape: unknown, offsets: unknown): Record<string, unknown> => ({
  x: { dtype, shape, data_offsets: offsets },
});
const good = x("F32", [2], [0, 8]);

const make = (
  name: string,
  refused: Hostile["refused"],
  bytes: () => Uint8Array,
): Hostile => ({ name, ending: ".safetensors", bytes, refused });

/** A header as text, for what `JSON.stringify` would not write. */
const entry = (shape: string, offsets: string, dtype = '"F32"'): string =>
  `{"x":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}}`;

/** A checkpoint with right checksums whatever its state says; tensor x is two float32. */
export function sealed(state: string, data: number): Uint8Array<ArrayBuffer> {
  const blank = "0".repeat(32), bytes = new Uint8Array(data);
  const file = safetensors({
    __metadata__: {
      format: "pt",
      toro_checksum: blank,
      toro_checksums: checksumOf(bytes),
      toro_version: "2",
      toro_state: state,
    },
    ...good,
  }, bytes);
  return seal(file);
}

/** Puts the right checksum into a checkpoint's header, where it has a place for one. */
export function seal(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const place = '"toro_checksum":"', at = new TextDecoder("latin1").decode(file).indexOf(place);
  if (at < 0) return file;
  const length = Number(new DataView(file.buffer).getBigUint64(0, true)), from = at + place.length;
  file.fill(0x30, from, from + 32);
  file.set(utf8(checksumOf(file.slice(0, 8 + length))).subarray(0, file.length - from), from);
  return file;
}

const damagedState = "its state is damaged";

/** States that no save writes: what is wrong, what the refusal says, the JSON. */
const states: readonly (readonly [string, Hostile["refused"], string])[] = [
  ["is fine", null, '{"x":{"$tensor":"x"}}'],
  ["names no tensor", null, "{}"],
  ["is no JSON", damagedState, "{nope"],
  ["is a list", damagedState, "[]"],
  ["is null", damagedState, "null"],
  ["has a key twice", /twice/, '{"a":1,"a":2}'],
  ["names a tensor that is not there", "tensor y is missing", '{"y":{"$tensor":"y"}}'],
  ["names a tensor twice", /twice/, '{"a":{"$tensor":"x"},"b":{"$tensor":"x"}}'],
  ["names a tensor by a number", damagedState, '{"a":{"$tensor":1}}'],
  [
    "has an array 1000 times",
    /twice/,
    `{"a":[${new Array(1000).fill('{"$array":"x","type":"Float32Array"}').join(",")}]}`,
  ],
  ["has an array of another type", damagedState, '{"a":{"$array":"x","type":"Float64Array"}}'],
  ["has an array of no type", damagedState, '{"a":{"$array":"x"}}'],
  ["has an array of type constructor", damagedState, '{"a":{"$array":"x","type":"constructor"}}'],
  ["has a number that is none", damagedState, '{"a":{"$number":"seven"}}'],
  ["has a bigint that is none", damagedState, '{"a":{"$bigint":"0x10"}}'],
  ["has a bigint of 900,000 digits", null, `{"a":{"$bigint":"${"9".repeat(900_000)}"}}`],
  ["has a Map of no pairs", damagedState, '{"a":{"$map":[1,2]}}'],
  ["has a Map that is a text", damagedState, '{"a":{"$map":"ab"}}'],
  ["has an object that is null", damagedState, '{"a":{"$object":null}}'],
  ["has a value of an unknown kind", damagedState, '{"a":{"$run":"rm"}}'],
  ["has a mark beside other keys", damagedState, '{"a":{"$tensor":"x","b":1}}'],
  ["has a mark behind another key", damagedState, '{"a":{"b":1,"$tensor":"x"}}'],
  ["has names from Object's prototype", null, '{"__proto__":{"$tensor":"x"},"constructor":1}'],
  ["is nested 200,000 times", damagedState, `{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`],
  ["is nested 900 times", null, `{"a":${"[".repeat(900)}${"]".repeat(900)}}`],
];

/** The files. */
export const safetensorsFiles: readonly Hostile[] = [
  // ---- sizes ----
  make("empty file", "truncated", () => new Uint8Array(0)),
  make("seven bytes", "truncated", () => new Uint8Array(7)),
  make("a length and nothing else", "truncated", () => u64(2)),
  make("a header of no bytes", "no safetensors file", () => u64(0)),
  make("a header of 100 MB claimed", "truncated", () => safetensors(good, 8, 100_000_000)),
  make(
    "a header of more than the format allows",
    "header would have",
    () => safetensors(good, 8, 100_000_001),
  ),
  make(
    "a header of 2^53 + 1 bytes",
    "header would have",
    () => safetensors(good, 8, 2n ** 53n + 1n),
  ),
  make(
    "a header of 2^64 - 1 bytes",
    "header would have",
    () => safetensors(good, 8, 2n ** 64n - 1n),
  ),
  make("a header that ends in mid-text", "header is damaged", () => safetensors(good, 8, 20)),
  make(
    "a header that reaches into the data",
    "header is damaged",
    () => safetensors(good, 8, JSON.stringify(good).length + 4),
  ),
  make("data cut short", "truncated", () => safetensors(good, 7)),
  make("data that no tensor has", "damaged", () => safetensors(good, 9)),
  make("a megabyte behind the tensors", "damaged", () => safetensors(good, 1 << 20)),
  // ---- the text ----
  make("no JSON object", "no safetensors file", () => safetensors("[1]")),
  make("a number for a header", "no safetensors file", () => safetensors("17")),
  make("no JSON", "header is damaged", () => safetensors("{nope")),
  make("text behind the object", "header is damaged", () => safetensors("{}{}")),
  make("two nulls behind the object", "header is damaged", () => safetensors("{}\0\0")),
  make(
    "UTF-8 cut in a letter",
    "header is damaged",
    () => safetensors(join(utf8('{"'), new Uint8Array([0xe2, 0x82]), utf8('":1}'))),
  ),
  make(
    "UTF-16",
    "no safetensors file",
    () => safetensors(new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0])),
  ),
  make(
    "a byte order mark",
    "no safetensors file",
    () => safetensors(join(new Uint8Array([0xef, 0xbb, 0xbf]), utf8("{}"))),
  ),
  make(
    "a lone surrogate for a name",
    null,
    () => safetensors(`{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
  ),
  make(
    "blanks before the brace",
    "does not begin with {",
    () => safetensors(`  ${JSON.stringify(good)}`, 8),
  ),
  make("blanks behind the object", null, () => safetensors(`${JSON.stringify(good)}      `, 8)),
  make("NaN in the header", "header is damaged", () => safetensors(entry("[NaN]", "[0,4]"), 4)),
  make("a comment in the header", "header is damaged", () => safetensors("{/* x */}")),
  make("a key twice", /twice|duplicate/, () =>
    safetensors(
      `{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
      4,
    )),
  make("a key twice, once escaped", /twice|duplicate/, () =>
    safetensors(
      `{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0078":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
      4,
    )),
  make("a field twice", /twice|duplicate/, () =>
    safetensors(
      `{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"dtype":"I32"}}`,
      4,
    )),
  make(
    "metadata twice",
    /twice|duplicate/,
    () => safetensors(`{"__metadata__":{"a":"1"},"__metadata__":{"a":"2"}}`),
  ),
  make(
    "a million brackets",
    "header is damaged",
    () => safetensors(`{"x":${"[".repeat(400_000)}${"]".repeat(400_000)}}`),
  ),
  make(
    "a million brackets for a shape",
    "header is damaged",
    () => safetensors(entry("[".repeat(400_000) + "]".repeat(400_000), "[0,4]"), 4),
  ),
  make(
    "a number of 500,000 digits",
    "header is damaged",
    () => safetensors(entry(`[1${"0".repeat(500_000)}]`, "[0,4]"), 4),
  ),
  make(
    "a name of 500,000 letters, damaged",
    "shape",
    () =>
      safetensors({ ["n".repeat(500_000)]: { dtype: "F32", shape: "a", data_offsets: [0, 4] } }, 4),
  ),
  // ---- entries ----
  make("an entry that is null", "described by no object", () => safetensors({ x: null })),
  make("an entry that is a list", "header is damaged", () => safetensors({ x: [] })),
  make(
    "an entry without a type",
    "is of type",
    () => safetensors({ x: { shape: [1], data_offsets: [0, 4] } }, 4),
  ),
  make("an unknown type", "is of type F8_E5M2", () => safetensors(x("F8_E5M2", [1], [0, 1]), 1)),
  make(
    "a type from Object's prototype",
    "is of type",
    () => safetensors(x("constructor", [1], [0, 4]), 4),
  ),
  make("a type that is a number", "is of type", () => safetensors(x(7, [1], [0, 4]), 4)),
  make(
    "a type that is an object",
    "is of type",
    () => safetensors(x({ toString: 1, toJSON: 1 }, [1], [0, 4]), 4),
  ),
  make("no shape", "shape", () => safetensors({ x: { dtype: "F32", data_offsets: [0, 4] } }, 4)),
  make("a shape that is a text", "shape", () => safetensors(x("F32", "1", [0, 4]), 4)),
  make("a negative size", "shape", () => safetensors(x("F32", [-1], [0, 4]), 4)),
  make("two negative sizes", "shape", () => safetensors(x("F32", [-1, -1], [0, 4]), 4)),
  make("a size of minus zero", "shape", () => safetensors(entry("[-0]", "[0,0]"))),
  make("half a size", "shape", () => safetensors(x("F32", [0.5], [0, 2]), 2)),
  make("a size of 1e400", "shape", () => safetensors(entry("[1e400]", "[0,4]"), 4)),
  make(
    "a size of 2^53",
    "shape",
    () => safetensors(entry("[9007199254740992]", "[0,9007199254740992]", '"U8"'), 4),
  ),
  make(
    "a size of 2^64 + 1",
    "shape",
    () => safetensors(entry("[18446744073709551617]", "[0,4]"), 4),
  ),
  make(
    "a product of sizes past 2^53",
    /needs|too large/,
    () => safetensors(x("F32", [2 ** 30, 2 ** 30], [0, 4]), 4),
  ),
  make(
    "a product of sizes past 2^64 that wraps to one",
    /needs|too large/,
    () => safetensors(x("F32", [2 ** 32, 2 ** 32, 1], [0, 4]), 4),
  ),
  make(
    "a product of sizes past any double",
    /needs|too large/,
    () => safetensors(x("F32", new Array(16).fill(2 ** 52), [0, 4]), 4),
  ),
  make(
    "a huge size beside a zero",
    /needs|too large|no tensor/,
    () => safetensors(x("F32", [0, 2 ** 52, 2 ** 52], [0, 0])),
  ),
  make(
    "100,000 sizes of one",
    "shape",
    () => safetensors(x("F32", new Array(100_000).fill(1), [0, 4]), 4),
  ),
  make("no place", "place", () => safetensors({ x: { dtype: "F32", shape: [1] } }, 4)),
  make("three offsets", "place", () => safetensors(x("F32", [1], [0, 4, 8]), 4)),
  make("offsets backwards", "place", () => safetensors(x("F32", [1], [4, 0]), 4)),
  make("a negative offset", "place", () => safetensors(x("F32", [1], [-4, 0]), 4)),
  make(
    "an offset past 2^53",
    "place",
    () => safetensors(entry("[1]", "[9007199254740992,9007199254740996]"), 4),
  ),
  make(
    "an offset past 2^64",
    "place",
    () => safetensors(entry("[1]", "[18446744073709551616,18446744073709551620]"), 4),
  ),
  make(
    "an offset near 2^53",
    /begins at|truncated/,
    () => safetensors(x("F32", [1], [2 ** 53 - 8, 2 ** 53 - 4]), 4),
  ),
  make("offsets that are texts", "place", () => safetensors(x("F32", [1], ["0", "4"]), 4)),
  make("fewer bytes than the shape needs", "needs", () => safetensors(x("F32", [2], [0, 4]), 4)),
  make("a terabyte in four bytes", "needs", () => safetensors(x("F32", [2 ** 38], [0, 4]), 4)),
  make(
    "a terabyte that is not there",
    "truncated",
    () => safetensors(x("F32", [2 ** 38], [0, 2 ** 40]), 4),
  ),
  make(
    "a field that the format does not know",
    null,
    () => safetensors({ x: { dtype: "F32", shape: [1], data_offsets: [0, 4], run: "rm" } }, 4),
  ),
  // ---- tensors beside each other ----
  make(
    "two tensors on the same bytes",
    "begins at",
    () => safetensors({ ...good, y: { dtype: "F32", shape: [2], data_offsets: [0, 8] } }, 8),
  ),
  make(
    "two tensors that overlap",
    "begins at",
    () => safetensors({ ...good, y: { dtype: "F32", shape: [2], data_offsets: [4, 12] } }, 12),
  ),
  make(
    "a hole between tensors",
    "begins at",
    () => safetensors({ ...good, y: { dtype: "F32", shape: [1], data_offsets: [12, 16] } }, 16),
  ),
  make("a hole before the first", "begins at", () => safetensors(x("F32", [1], [4, 8]), 8)),
  make(
    "an empty tensor inside another",
    "begins at",
    () => safetensors({ ...good, y: { dtype: "F32", shape: [0], data_offsets: [4, 4] } }, 8),
  ),
  make("empty tensors between others", null, () =>
    safetensors({
      a: { dtype: "F32", shape: [0], data_offsets: [0, 0] },
      ...good,
      b: { dtype: "F32", shape: [3, 0], data_offsets: [8, 8] },
    }, 8)),
  make("a float32 on an odd byte", null, () =>
    safetensors({
      a: { dtype: "U8", shape: [1], data_offsets: [0, 1] },
      b: { dtype: "F32", shape: [1], data_offsets: [1, 5] },
      c: { dtype: "F64", shape: [1], data_offsets: [5, 13] },
    }, 13)),
  make("a data section on an odd byte", null, () => safetensors(`${JSON.stringify(good)} `, 8)),
  make("no tensor at all", null, () => safetensors({})),
  make(
    "bool bytes that are neither 0 nor 1",
    "bool",
    () => safetensors(x("BOOL", [2], [0, 2]), new Uint8Array([1, 7])),
  ),
  make("names from Object's prototype", null, () =>
    safetensors(
      `{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"constructor":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},"toString":{"dtype":"U8","shape":[],"data_offsets":[12,13]}}`,
      13,
    )),
  make(
    "an empty name",
    null,
    () => safetensors({ "": { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4),
  ),
  make("60,000 tensors", null, () => {
    const header: Record<string, unknown> = {};
    for (let i = 0; i < 60_000; i++) {
      header[`layers.${i}.weight`] = { dtype: "F32", shape: [2], data_offsets: [8 * i, 8 * i + 8] };
    }
    return safetensors(header, 480_000);
  }),
  make("9,000 tensors, the last one damaged", "begins at", () => {
    const header: Record<string, unknown> = {};
    for (let i = 0; i < 9000; i++) {
      header[`t${i}`] = { dtype: "U8", shape: [1], data_offsets: [i, i + 1] };
    }
    header.last = { dtype: "U8", shape: [1], data_offsets: [8999, 9000] };
    return safetensors(header, 9000);
  }),
  // ---- metadata ----
  make("metadata that is a list", "metadata", () => safetensors({ __metadata__: ["a"] })),
  make("metadata that is a text", "metadata", () => safetensors({ __metadata__: "toro" })),
  make("metadata that is null", null, () => safetensors({ __metadata__: null })),
  make("metadata of numbers", "metadata", () => safetensors({ __metadata__: { a: 1 } })),
  make(
    "metadata under __proto__",
    null,
    () => safetensors(`{"__metadata__":{"__proto__":"x","format":"pt"}}`),
  ),
  make(
    "metadata of half a megabyte",
    null,
    () => safetensors({ __metadata__: { note: "n".repeat(500_000) } }),
  ),
  make(
    "a checkpoint of format 1",
    "earlier version",
    () =>
      safetensors({ __metadata__: { format: "toro", version: "1", toro_sha256: "", state: "{}" } }),
  ),
  make(
    "a checkpoint without a checksum",
    "checksum is missing",
    () => safetensors({ __metadata__: { toro_version: "2", toro_state: "{}" } }),
  ),
  make(
    "a checkpoint with a checksum that is no such thing",
    "checksum is missing",
    () =>
      safetensors({ __metadata__: { toro_version: "2", toro_state: "{}", toro_checksum: "yes" } }),
  ),
  make("a checkpoint with another checksum", "checksum differs", () =>
    safetensors({
      __metadata__: { toro_version: "2", toro_state: "{}", toro_checksum: "0".repeat(32) },
    })),
  ...states.map(([name, refused, state]) =>
    make(`a checkpoint whose state ${name}`, refused, () => sealed(state, 8))
  ),
];
