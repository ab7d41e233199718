/**
 * The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes. Headers are written and checked
 * here; files are opened in file.ts. Source: https://huggingface.co/docs/safetensors.
 *
 * @module
 */
import { type DType, type DTypeInfo, DTYPES } from "../dtype.ts";
import { CheckpointError } from "../errors.ts";
import { numelOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

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

/** Length and header as bytes, and the tensors in the order in which their bytes follow. */
export function writeHeader(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): { head: Uint8Array<ArrayBuffer>; order: Tensor[] } {
  // Wide types first: then every tensor begins on a multiple of its element size.
  const order = [...tensors].sort(([, a], [, b]) => b.info.size - a.info.size);
  const header: [string, unknown][] = [["__metadata__", metadata]];
  let at = 0;
  for (const [name, tensor] of order) {
    if (name === "__metadata__") {
      throw new CheckpointError(
        "Cannot save a tensor under the name __metadata__: the format uses it",
      );
    }
    const end = at + tensor.numel * tensor.info.size;
    header.push([name, {
      dtype: NAMES[tensor.dtype],
      shape: tensor.shape,
      data_offsets: [at, end],
    }]);
    at = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const length = Math.ceil(text.length / 8) * 8;
  if (length > MOST_HEADER) {
    throw new CheckpointError(
      `Cannot save a header of ${length} bytes: the format allows ${MOST_HEADER}`,
    );
  }
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(text, 8);
  return { head, order: order.map(([, tensor]) => tensor) };
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
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (cause) {
    throw new CheckpointError(`its header is damaged: ${(cause as Error).message}`, { cause });
  }
  const metadata: [string, string][] = [], entries: Entry[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== "__metadata__") {
      entries.push(readEntry(name, value));
      continue;
    }
    for (const [key, content] of Object.entries(value ?? {})) {
      if (typeof content !== "string") {
        throw new CheckpointError(`its header is damaged: metadata ${key} is no text`);
      }
      metadata.push([key, content]);
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at) {
      throw new CheckpointError(
        `its header is damaged: tensor ${name} begins at byte ${begin}, the one before ends at ${at}`,
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
    new CheckpointError(`its header is damaged: tensor ${name} ${what}`);
  if (typeof value !== "object" || value === null) throw wrong("is described by no object");
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const info = TYPES.get(dtype as string);
  if (info === undefined) {
    throw new CheckpointError(
      `tensor ${name} is of type ${String(dtype)}; known are ${[...TYPES.keys()].join(", ")}`,
    );
  }
  const isSize = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(isSize) || shape.length > 16) {
    throw wrong(`has no shape but ${JSON.stringify(shape)}`);
  }
  if (
    !Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) ||
    offsets[0] > offsets[1]
  ) {
    throw wrong(`has no place but ${JSON.stringify(offsets)}`);
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
