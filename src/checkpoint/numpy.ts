/**
 * NumPy's files, both ways: `.npy`, one array, and `.npz`, an archive of them. Source: numpy.lib.format, versions 1 to
 * 3.
 *
 * @module
 */
import { write as writeNative } from "../../ffi/library.ts";
import { type DType, type DTypeInfo, DTYPES } from "../dtype.ts";
import { ArgumentError, CheckpointError, show } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { isOptions, optionsOf } from "../options.ts";
import { contiguousStrides, MAX_DIMS, numelOf } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { type ByteSource, checkBools, reading, writeAside } from "./disk.ts";
import { bytesOf } from "./pieces.ts";
import type { TensorFacts } from "./inspect.ts";
import { inflateEntry, readEntry, readZip, type ZipEntry, ZipWriter } from "./zip.ts";

/** NumPy's names of our types, little-endian; bfloat16 has none. */
const DESCRIPTIONS: Readonly<Partial<Record<DType, string>>> = {
  float32: "<f4",
  float64: "<f8",
  float16: "<f2",
  int64: "<i8",
  int32: "<i4",
  int16: "<i2",
  int8: "|i1",
  uint8: "|u1",
  bool: "|b1",
};
const TYPES = new Map(
  Object.entries(DESCRIPTIONS).map(([dtype, text]) => [text.slice(1), DTYPES[dtype as DType]]),
);

const MAGIC = "\x93NUMPY";
/** Magic, version and the length of the header, 2 or 4 bytes. */
const SHORT = 10, LONG = 12;
/** NumPy itself reads no more, for it reads the header as Python. */
const MOST_HEADER = 10_000;

/** What an array's header says. */
interface ArrayHeader {
  readonly info: DTypeInfo;
  readonly isSwapped: boolean;
  readonly isFortran: boolean;
  readonly shape: readonly number[];
}

/** Kinds of elements that NumPy has and Toro has not, by the letter of their description. */
const KINDS: Readonly<Record<string, string>> = {
  O: "Python objects",
  c: "complex numbers",
  U: "texts",
  S: "bytes",
  V: "raw records",
  M: "dates",
  m: "time spans",
  u: "unsigned integers beyond uint8",
};

/** The length of the part before the elements, once enough bytes are there to know it. */
function headerEnd(start: Uint8Array): number {
  const magic = String.fromCharCode(...start.subarray(0, 6));
  if (magic !== MAGIC) {
    throw new CheckpointError("it is no array of NumPy: it does not begin with \\x93NUMPY");
  }
  const major = start[6], minor = start[7];
  if (major < 1 || major > 3 || minor !== 0) {
    throw new CheckpointError(
      `its format has version ${major}.${minor}; known are 1.0, 2.0 and 3.0`,
    );
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MOST_HEADER) {
    throw new CheckpointError(`its header has ${length} bytes; at most ${MOST_HEADER} are read`);
  }
  return (major === 1 ? SHORT : LONG) + length;
}

/** Reads the header: a Python dict of three keys, of which only what NumPy writes is understood. */
function readHeader(bytes: Uint8Array): ArrayHeader {
  const major = bytes[6], text = bytes.subarray(major === 1 ? SHORT : LONG);
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch {
    throw new CheckpointError("its header is damaged: it is no UTF-8");
  }
  if (/'descr'\s*:\s*[[(]/.test(source)) {
    throw new CheckpointError("its elements are structured records, which are not supported");
  }
  const found = HEADER.exec(source);
  if (found === null) {
    throw new CheckpointError(
      `its header is damaged: ${JSON.stringify(source.slice(0, 100).trim())}`,
    );
  }
  const [, description, fortran, sizes] = found;
  const order = description[0], name = description.slice(1);
  const info = TYPES.get(name);
  if (info === undefined || !"<>|=".includes(order) || order === "|" && info.size > 1) {
    const kind = KINDS[name[0]];
    throw new CheckpointError(
      `its elements are ${JSON.stringify(description)}${
        kind === undefined ? "" : `, ${kind}`
      }; known are ${Object.values(DESCRIPTIONS).join(" ")}`,
    );
  }
  const shape = sizes.split(",").map((n) => n.trim()).filter((n) => n !== "").map(Number);
  if (shape.length > MAX_DIMS) {
    throw new CheckpointError(`it has ${shape.length} dims; the most is ${MAX_DIMS}`);
  }
  if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(numelOf(shape) * info.size)) {
    throw new CheckpointError(`its shape [${shape.join(", ")}] is beyond every memory`);
  }
  return { info, isSwapped: order === ">", isFortran: fortran === "True", shape };
}

const HEADER =
  /^\{\s*'descr'\s*:\s*'([^'\\]{2,40})'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,\s*'shape'\s*:\s*\(((?:\s*\d{1,20}\s*,)*(?:\s*\d{1,20}\s*)?)\)\s*,?\s*\}\s*$/;

/** Takes an array's bytes in their order and makes a tensor of them. */
class ArrayReader {
  readonly #bytes: number;
  readonly #name: string;
  readonly #most: number;
  readonly #keeps: boolean;
  /** What came of the header so far; afterwards the part of an element that came without the rest. */
  #rest = new Uint8Array(0);
  #header: ArrayHeader | null = null;
  #tensor: Tensor | null = null;
  #at = 0;

  /**
   * An array of so many bytes with its header. `most` bounds what its elements may take; unless `keeps`, they are
   * checked only.
   */
  constructor(bytes: number, name: string, most: number, keeps: boolean) {
    this.#bytes = bytes;
    this.#name = name;
    this.#most = most;
    this.#keeps = keeps;
  }

  /** Takes a piece. */
  take(piece: Uint8Array<ArrayBuffer>): void {
    if (this.#header !== null) return this.#fill(piece);
    this.#rest = joined(this.#rest, piece);
    if (this.#rest.length < LONG) return;
    const end = headerEnd(this.#rest);
    if (this.#rest.length < end) return;
    const header = readHeader(this.#rest.subarray(0, end)), { info, shape } = header;
    const needed = numelOf(shape) * info.size;
    if (needed !== this.#bytes - end) {
      throw new CheckpointError(
        `${this.#name} [${shape.join(", ")}] of ${info.name} needs ${needed} bytes and is given ${
          this.#bytes - end
        }`,
      );
    }
    if (needed > this.#most) {
      throw new CheckpointError(`its arrays have more than the ${this.#most} bytes of maxBytes`);
    }
    this.#header = header;
    if (this.#keeps) this.#tensor = empty(header.isFortran ? [...shape].reverse() : shape, info);
    const rest = this.#rest.subarray(end);
    this.#rest = new Uint8Array(0);
    this.#fill(rest);
  }

  #fill(given: Uint8Array<ArrayBuffer>): void {
    const { info, isSwapped } = this.#header!;
    let piece = given;
    if (isSwapped) {
      const all = joined(this.#rest, given), whole = all.length - all.length % info.size;
      this.#rest = all.slice(whole);
      piece = all.subarray(0, whole);
      for (let at = 0; at < whole; at += info.size) piece.subarray(at, at + info.size).reverse();
    }
    if (info.name === "bool") checkBools(piece, this.#name);
    if (this.#tensor !== null && piece.length > 0) {
      const { handle, byteOffset } = this.#tensor.storage;
      writeNative(handle, byteOffset + this.#at, piece);
    }
    this.#at += piece.length;
  }

  /** What the header says, once all bytes came. */
  get header(): ArrayHeader {
    if (this.#header !== null) return this.#header;
    throw new CheckpointError(`${this.#name} is truncated: ${this.#bytes} bytes hold no header`);
  }

  /** The tensor, once all bytes came. */
  get tensor(): Tensor {
    const { shape, isFortran } = this.header, { storage, info } = this.#tensor!;
    if (!isFortran) return this.#tensor!;
    const strides = contiguousStrides([...shape].reverse()).reverse();
    return new Tensor(storage, info, shape, strides, 0);
  }
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** What `loadNumpy` reads, and how. */
export interface LoadNumpyOptions {
  /** Fails when arrays would take more bytes. Default: what a file may inflate to is bounded, what it stores is not. */
  maxBytes?: number;
}

/** How far an archive may inflate unless `maxBytes` says otherwise: what it has 32 times, and 16 MiB. */
const MOST_INFLATION = 32, FREE_INFLATION = 16 * 2 ** 20;

/** Bytes that pass through JavaScript at a time. */
const CHUNK = 2 ** 20;

/** Reads a file's arrays: one without a name, or those of an archive. Unless `keeps`, they are checked only. */
async function* readArrays(
  source: ByteSource,
  maxBytes: number | null,
  keeps: boolean,
): AsyncGenerator<[name: string | null, array: ArrayReader]> {
  const start = source.readBytes(0, Math.min(source.size, 4));
  if (String.fromCharCode(...start) !== "PK\x03\x04") {
    const reader = new ArrayReader(source.size, "it", maxBytes ?? Infinity, keeps);
    const buffer = new Uint8Array(Math.min(CHUNK, source.size));
    for (let at = 0; at < source.size; at += CHUNK) {
      const piece = buffer.subarray(0, Math.min(CHUNK, source.size - at));
      source.readInto(at, piece);
      unscoped(() => reader.take(piece));
    }
    yield [null, reader];
    return;
  }
  const entries = [...readZip(source).values()];
  checkSizes(source, entries, maxBytes);
  for (const entry of entries) {
    const title = JSON.stringify(entry.name.slice(0, 60));
    if (!entry.name.endsWith(".npy")) {
      throw new CheckpointError(`its entry ${title} is no array, whose names end in .npy`);
    }
    const reader = new ArrayReader(entry.bytes, "its array", Infinity, keeps);
    const take = (piece: Uint8Array<ArrayBuffer>) => unscoped(() => reader.take(piece));
    try {
      if (entry.isDeflated) { for await (const piece of inflateEntry(source, entry)) take(piece); }
      else for (const piece of readEntry(source, entry)) take(piece);
      void reader.header;
    } catch (error) {
      if (!(error instanceof CheckpointError) || error.message.includes(title)) throw error;
      throw new CheckpointError(`in its entry ${title}, ${error.message}`, { cause: error });
    }
    yield [entry.name.slice(0, -4), reader];
  }
}

/** Bounds what an archive may become before anything of it is. */
function checkSizes(
  source: ByteSource,
  entries: readonly ZipEntry[],
  maxBytes: number | null,
): void {
  let stored = 0, inflated = 0;
  for (const { bytes, isDeflated } of entries) isDeflated ? inflated += bytes : stored += bytes;
  if (maxBytes !== null && stored + inflated > maxBytes) {
    throw new CheckpointError(
      `its arrays have ${stored + inflated} bytes, maxBytes is ${maxBytes}`,
    );
  }
  if (maxBytes === null && inflated > MOST_INFLATION * source.size + FREE_INFLATION) {
    throw new CheckpointError(`its ${source.size} bytes would inflate to ${inflated}`, {
      hint: `{ maxBytes: ${stored + inflated} } allows it`,
    });
  }
}

/** What a file of NumPy's holds, after all of it was read and checked. */
export async function verifyNumpy(
  source: ByteSource,
): Promise<{ tensors: TensorFacts[]; checksums: number }> {
  const tensors: TensorFacts[] = [];
  let checksums = 0;
  for await (const [name, { header: { info, shape } }] of readArrays(source, null, false)) {
    tensors.push({ name: name ?? "", dtype: info.name, shape, bytes: numelOf(shape) * info.size });
    if (name !== null) checksums++;
  }
  return { tensors, checksums };
}

/**
 * Reads what `numpy.save` or `numpy.savez` wrote: a tensor out of `.npy`, tensors by name out of `.npz`, compressed or
 * not. Which of them it is, is seen in the file. Fortran order becomes strides, big-endian numbers are swapped.
 * Objects, records, texts and other elements beyond Toro's types are refused by name; nothing in a file is ever run.
 *
 * Needs `--allow-read` for the file. Errors: CheckpointError that names file, place and reason.
 *
 * ```ts
 * import { checkpoint, arange, type Tensor } from "@toro/toro";
 *
 * const file = await Deno.makeTempFile({ suffix: ".npz" });
 * await checkpoint.saveNumpy(file, { x: arange(3) });
 * const { x } = await checkpoint.loadNumpy<Record<string, Tensor>>(file);
 * console.log(x.toArray()); // [ 0, 1, 2 ]
 * await Deno.remove(file);
 * ```
 */
export async function loadNumpy<T extends Tensor | Record<string, Tensor> = Tensor>(
  path: string | URL,
  options: LoadNumpyOptions = {},
): Promise<T> {
  const { maxBytes } = optionsOf("loadNumpy", options, ["maxBytes"]);
  if (maxBytes !== undefined && !(typeof maxBytes === "number" && maxBytes >= 0)) {
    throw new ArgumentError(
      `Cannot loadNumpy: maxBytes is ${show(maxBytes)}, no number from 0 on`,
      {
        op: "loadNumpy",
      },
    );
  }
  return await reading(path, "loadNumpy", async (source) => {
    const arrays: [string, Tensor][] = [];
    for await (const [name, { tensor }] of readArrays(source, maxBytes ?? null, true)) {
      if (name === null) return tensor as T;
      arrays.push([name, tensor]);
    }
    return Object.fromEntries(arrays) as T;
  });
}

// ---- writing ----

/** An array as it goes into a file. */
interface Written {
  readonly head: Uint8Array<ArrayBuffer>;
  readonly bytes: number;
  pieces(): Iterable<Uint8Array<ArrayBuffer>>;
}

function written(tensor: Tensor, path: string): Written {
  const description = DESCRIPTIONS[tensor.dtype];
  if (description === undefined) {
    throw new CheckpointError(`Cannot save ${path}: NumPy has no ${tensor.dtype}`, {
      hint: 'to("float32") has the same values',
    });
  }
  const { shape, info, numel } = tensor;
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${description}', 'fortran_order': False, 'shape': (${sizes}), }`;
  // Elements begin on a multiple of 64, after a line's end.
  const end = Math.ceil((SHORT + text.length + 1) / 64) * 64;
  const head = new TextEncoder().encode(`${"\0".repeat(SHORT)}${text.padEnd(end - SHORT - 1)}\n`);
  head.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  new DataView(head.buffer).setUint16(8, end - SHORT, true);
  return {
    head,
    bytes: head.length + numel * info.size,
    *pieces() {
      yield head;
      yield* bytesOf(tensor);
    },
  };
}

/**
 * Writes a tensor as `.npy`, or tensors by name as `.npz`, uncompressed; `numpy.load` reads both. The file appears
 * whole or not at all, as with `save`; the same tensors give the same bytes.
 *
 * Needs `--allow-read` and `--allow-write` for the folder. Errors: CheckpointError that names file and reason, and for
 * bfloat16, which NumPy lacks.
 */
// deno-lint-ignore require-await
export async function saveNumpy(
  path: string | URL,
  tensors: Tensor | Readonly<Record<string, Tensor>>,
): Promise<void> {
  if (tensors instanceof Tensor) {
    const { pieces } = written(tensors, "the tensor");
    return writeAside(path, "saveNumpy", (put) => {
      for (const piece of pieces()) put(piece);
    });
  }
  if (!isOptions(tensors) || !Object.values(tensors).every((t) => t instanceof Tensor)) {
    throw new ArgumentError(
      `Cannot saveNumpy ${show(tensors)}: it must be a tensor or an object of tensors`,
      { op: "saveNumpy" },
    );
  }
  const arrays = Object.entries(tensors).map(([name, t]) => [name, written(t, name)] as const);
  writeAside(path, "saveNumpy", (put) => {
    const zip = new ZipWriter(put);
    for (const [name, { bytes, pieces }] of arrays) zip.add(`${name}.npy`, bytes, pieces());
    zip.finish();
  });
}
