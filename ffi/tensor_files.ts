/**
 * Byte ranges of files and native storages: read by several threads, mapped, checked. Formats are src/checkpoint's.
 * Errors here are CheckpointErrors that give the place and the reason; who knows the action and the file puts them
 * before it.
 */
import { CheckpointError } from "../src/errors.ts";
import { checkedPath } from "./files.ts";
import { allocate, failure, free, job, read, write } from "./library.ts";

/** A run of bytes in a file or storage, and what must hold of it. */
export interface Part {
  /** What errors call it, as in `tensor weight`. */
  readonly name: string;
  /** The first byte. */
  readonly at: number;
  /** How many there are. */
  readonly bytes: number;
  /** What `checksum` must give; null for any. */
  readonly checksum: string | null;
  /** Whether every byte must be 0 or 1. */
  readonly isBool: boolean;
}

/** A part and where it goes. */
export interface Placed extends Part {
  /** The storage. */
  readonly handle: number;
  /** Its first byte. */
  readonly to: number;
}

const REASONS: Record<string, (name: string) => string> = {
  truncated: () => "it was truncated while it was read",
  checksum: (name) => `it is damaged: the checksum of ${name} differs from its content's`,
  bool: (name) => `it is damaged: ${name} is bool and holds other bytes than 0 and 1`,
};

function check(answer: unknown, parts: readonly Part[]): void {
  const { part, wrong } = answer as { part?: number; wrong?: string };
  if (wrong !== undefined) throw new CheckpointError(REASONS[wrong](parts[part!].name));
}

function fieldsOf({ at, bytes, checksum, isBool }: Part): unknown[] {
  return [at, bytes, checksum, isBool];
}

/** A file that is open for reading. What is mapped of it lives on after `close`. */
export class TensorFile implements Disposable {
  readonly #id: number;
  /** The path as native opened it. */
  readonly path: string;
  /** Bytes when it was opened. */
  readonly size: number;

  /** See `openFile`. */
  constructor(id: number, path: string, size: number) {
    this.#id = id;
    this.path = path;
    this.size = size;
  }

  /** A copy of some bytes. Errors: CheckpointError when the file is shorter. */
  readBytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    if (at + length > this.size) {
      throw new CheckpointError(
        `it is truncated: bytes ${at} to ${at + length} are needed, it has ${this.size}`,
      );
    }
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    const handle = allocate(length, 0);
    if (handle < 0) throw failure(-handle);
    try {
      this.readInto([
        { name: "a part", handle, to: 0, at, bytes: length, checksum: null, isBool: false },
      ]);
      read(handle, 0, bytes);
    } finally {
      free([handle]);
    }
    return bytes;
  }

  /** Reads parts into storages, several threads at once. Errors: CheckpointError that names the part. */
  readInto(parts: readonly Placed[]): void {
    const fields = parts.map((part) => [part.handle, part.to, ...fieldsOf(part)]);
    check(job("readParts", { id: this.#id, parts: fields }).json, parts);
  }

  /** Maps the file as one storage; returns its handle. Nothing is read before it is touched. */
  map(): number {
    return (job("mapFile", { id: this.#id }).json as { handle: number }).handle;
  }

  /** Closes the file. */
  close(): void {
    job("closeFile", { id: this.#id });
  }

  /** `using file = openFile(…)` closes it at the end of the block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a file for reading, once this script may read it. Errors: DataError of the permission, NativeError of the system. */
export function openFile(path: string | URL): TensorFile {
  const checked = checkedPath(path, "read");
  const { id, bytes } = job("openFile", { path: checked }).json as { id: number; bytes: number };
  return new TensorFile(id, checked, bytes);
}

/**
 * A storage of its own for a part of a mapped file, after a check of its content; returns the handle. The file stays
 * mapped for as long as one of its storages lives.
 */
export function mapPart(file: number, part: Part): number {
  const answer = job("mapPart", { from: file, part: fieldsOf(part) }).json;
  check(answer, [part]);
  return (answer as { handle: number }).handle;
}

/** Checks parts of a storage. */
export function verifyParts(handle: number, parts: readonly Part[]): void {
  check(job("verifyParts", { from: handle, parts: parts.map(fieldsOf) }).json, parts);
}

/**
 * The checksum of a part of a storage: the XXH3-128 of the XXH3-128s of its pieces of 256 KiB, each as 16 big-endian
 * bytes, in hexadecimal digits.
 */
export function checksum(handle: number, at: number, bytes: number): string {
  return (job("checksum", { from: handle, at, bytes }).json as { checksum: string }).checksum;
}

/** The checksum of bytes that JavaScript holds. */
export function checksumOf(bytes: Uint8Array<ArrayBuffer>): string {
  const handle = allocate(bytes.length, 0);
  if (handle < 0) throw failure(-handle);
  try {
    write(handle, 0, bytes);
    return checksum(handle, 0, bytes.length);
  } finally {
    free([handle]);
  }
}
