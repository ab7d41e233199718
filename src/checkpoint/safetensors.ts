/**
 * The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes. Headers are written and checked
 * here; files are opened in file.ts. Source: https://huggingface.co/docs/safetensors.
 *
 * @module
 */
import { type DType, type DTypeInfo, DTYPES } from "../dtype.ts";
import { CheckpointError } from "../errors.ts";
import { numelOf } from "../shape.ts";
import { brief, cut, parseJson, parsing } from "./json.ts";

/** The format's names of our types. */
const NAMES: Record<DType, string> = {
  float32: "F32",
  float64: "F64",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};
const TYPES = new Map(Object.entries(NAMES).map(([dtype, name]) => [name, DTYPES[dtype as DType]]));

/** The format's own limit. */
const MOST_HEADER = 100_000_000;
/** Deeper than any header. */
const MOST_DEPTH = 8;

/** One tensor of a file. */
export interface Entry {
  readonly name: string;
  readonly info: DTypeInfo;
  readonly shape: readonly number[];
  /** First byte, from the end of the header. */
  readonly begin: number;
  /** Past the last byte. */
  readonly end: number;
}

/** What a file's header says. */
export interface Header {
  /** Texts by name, under `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The tensors in the order of their bytes. */
  readonly entries: readonly Entry[];
  /** Bytes of all tensors. */
  readonly bytes: number;
}

/** What the writer of a header must know of a tensor. */
export interface Described {
  readonly info: DTypeInfo;
  readonly shape: readonly number[];
  readonly numel: number;
}

/** Where the metadata has the checksum of the header, itself taken with zeros in this place. */
export const CHECKSUM = "toro_checksum";
/** Where it has those of the tensors in the order of their bytes, with a blank between any two. */
export const CHECKSUMS = "toro_checksums";
/** Digits of a checksum. */
export const DIGITS = 32;
const BLANK = "0".repeat(DIGITS);

/** A header as bytes, yet without checksums. */
export interface Head {
  /** Length and text. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the tensors' checksums go. */
  readonly sums: number;
  /** Where the header's own goes. */
  readonly sum: number;
}

/** The order of tensors in a file: wide types first, so that each begins on a multiple of its element size. */
export function inFileOrder<T extends Described>(tensors: Iterable<[string, T]>): [string, T][] {
  return [...tensors].sort(([, a], [, b]) => b.info.size - a.info.size);
}

/** The header for tensors in `inFileOrder`. */
export function writeHeader(
  tensors: readonly (readonly [string, Described])[],
  metadata: Readonly<Record<string, string>>,
): Head {
  const marked = {
    // What transformers asks for before it reads a file.
    format: "pt",
    [CHECKSUM]: BLANK,
    [CHECKSUMS]: tensors.map(() => BLANK).join(" "),
    ...metadata,
  };
  const parts = [`{"__metadata__":${JSON.stringify(marked)}`];
  let at = 0;
  for (const [name, { info, shape, numel }] of tensors) {
    if (name === "__metadata__") {
      throw new CheckpointError(
        "Cannot save a tensor under the name __metadata__: the format uses it",
      );
    }
    const end = at + numel * info.size;
    const described = { dtype: NAMES[info.name], shape, data_offsets: [at, end] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(described)}`);
    at = end;
  }
  const json = `${parts.join(",")}}`, text = new TextEncoder().encode(json);
  // On a multiple of 64 the tensors that follow lie as in memory of their own.
  const length = Math.ceil((8 + text.length) / 64) * 64 - 8;
  if (length > MOST_HEADER) {
    throw new CheckpointError(
      `Cannot save a header of ${length} bytes: the format allows ${MOST_HEADER}`,
    );
  }
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  // Before both stand only signs of one byte.
  const place = (key: string) => 8 + json.indexOf(`"${key}":"`) + key.length + 4;
  return { bytes, sums: place(CHECKSUMS), sum: place(CHECKSUM) };
}

/** Where a header's own checksum stands in its bytes, and what it is; null where there is none. */
export function checksumIn(head: Uint8Array, given: string): number | null {
  const wanted = new TextEncoder().encode(`"${CHECKSUM}":"${given}"`);
  outer: for (let at = head.indexOf(wanted[1]); at > 0; at = head.indexOf(wanted[1], at + 1)) {
    for (let i = 0; i < wanted.length; i++) if (head[at - 1 + i] !== wanted[i]) continue outer;
    return at - 1 + wanted.length - 1 - given.length;
  }
  return null;
}

/** The header's length, checked against the file's. Errors: a text for a CheckpointError. */
export function headerLength(start: Uint8Array, fileBytes: number): number {
  if (start.length < 8) {
    throw new CheckpointError(`it is truncated: ${fileBytes} bytes cannot hold a header`);
  }
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true));
  if (length > MOST_HEADER) {
    throw new CheckpointError(`it is no safetensors file: its header would have ${length} bytes`);
  }
  if (8 + length > fileBytes) {
    throw new CheckpointError(
      `it is truncated: its header has ${length} bytes, the file ${fileBytes}`,
    );
  }
  return length;
}

/** Reads and checks a header: sizes against shapes and types, bytes without gaps or overlaps, all of them there. */
export function readHeader(text: Uint8Array, dataBytes: number): Header {
  if (text[0] !== 0x7b) {
    throw new CheckpointError("it is no safetensors file: its header does not begin with {");
  }
  const parsed = parsing("its header is damaged", () => parseJson(text, MOST_DEPTH)) as Record<
    string,
    unknown
  >;
  const metadata: [string, string][] = [], entries: Entry[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== "__metadata__") {
      entries.push(readEntry(name, value));
      continue;
    }
    if (typeof value !== "object" || Array.isArray(value)) {
      throw new CheckpointError(
        `its header is damaged: its metadata are no object but ${brief(value)}`,
      );
    }
    for (const [key, content] of Object.entries(value ?? {})) {
      if (typeof content !== "string") {
        throw new CheckpointError(`its header is damaged: metadata ${cut(key)} is no text`);
      }
      metadata.push([key, content]);
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at) {
      throw new CheckpointError(
        `its header is damaged: tensor ${
          cut(name)
        } begins at byte ${begin}, the one before ends at ${at}`,
      );
    }
    at = end;
  }
  if (at > dataBytes) {
    throw new CheckpointError(
      `it is truncated: its tensors have ${at} bytes, ${dataBytes} are there`,
    );
  }
  if (at < dataBytes) {
    throw new CheckpointError(
      `it is damaged: its tensors have ${at} bytes, ${dataBytes} are there`,
    );
  }
  return { metadata: Object.fromEntries(metadata), entries, bytes: at };
}

function readEntry(name: string, value: unknown): Entry {
  const wrong = (what: string) =>
    new CheckpointError(`its header is damaged: tensor ${cut(name)} ${what}`);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong("is described by no object");
  }
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const info = TYPES.get(dtype as string);
  if (info === undefined) {
    throw new CheckpointError(
      `tensor ${cut(name)} is of type ${
        typeof dtype === "string" ? cut(dtype) : brief(dtype)
      }; known are ${[...TYPES.keys()].join(", ")}`,
    );
  }
  const isSize = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0 && !Object.is(n, -0);
  if (!Array.isArray(shape) || !shape.every(isSize) || shape.length > 16) {
    throw wrong(`has no shape but ${brief(shape)}`);
  }
  // Also beside a size of 0, where no bytes would tell: strides are products of the others.
  if (!Number.isSafeInteger(shape.reduce((n, size) => n * Math.max(size, 1), info.size))) {
    throw wrong(`[${shape.join(", ")}] of ${info.name} is too large for any file`);
  }
  if (
    !Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) ||
    offsets[0] > offsets[1]
  ) {
    throw wrong(`has no place but ${brief(offsets)}`);
  }
  const bytes = numelOf(shape) * info.size;
  if (bytes !== offsets[1] - offsets[0]) {
    throw wrong(
      `[${shape.join(", ")}] of ${info.name} needs ${bytes} bytes and is given ${
        offsets[1] - offsets[0]
      }`,
    );
  }
  return { name, info, shape, begin: offsets[0], end: offsets[1] };
}
