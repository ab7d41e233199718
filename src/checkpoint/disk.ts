/**
 * What all formats share of files: paths with their permissions, reasons of failures, bytes at any place, and the one
 * way to write, aside, made durable, then put in place, so that the path always holds a whole file.
 *
 * @module
 */
import { checkedPath } from "../../ffi/files.ts";
import { FileWriter } from "../../ffi/file_writer.ts";
import { CheckpointError, ToroError } from "../errors.ts";

/** The path, once this script may read or write it; the error names the flag. */
export function pathOf(path: string | URL, access: "read" | "write"): string {
  try {
    return checkedPath(path, access);
  } catch (error) {
    if (!(error instanceof ToroError)) throw error;
    throw new CheckpointError(error.message.split("\n")[0], { hint: error.hint, cause: error });
  }
}

/** Why something failed, as a part of a sentence. */
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0].replace(/^Cannot \w+ (.*?: )?/, "").replace(
    / \(os error \d+\).*$/,
    "",
  );
}

/** The error of a file that cannot be read, which says why. */
export function loadFailure(source: string, op: string, error: unknown): ToroError {
  if (error instanceof ToroError && error.name === "OutOfMemoryError") return error;
  // A file among several has been named already.
  if (error instanceof CheckpointError && error.message.startsWith("Cannot load ")) {
    return error as ToroError;
  }
  return new CheckpointError(`Cannot load ${source}: ${reasonOf(error)}`, {
    op,
    cause: error,
    ...(error instanceof ToroError && error.hint !== undefined ? { hint: error.hint } : {}),
  });
}

/** The error of a file that cannot be written, which says why. */
export function saveFailure(target: string, op: string, error: unknown): ToroError {
  const isSystem = !(error instanceof ToroError) ||
    ["NativeError", "DataError"].includes(error.name);
  if (!isSystem) return error;
  return new CheckpointError(`Cannot save ${target}: ${reasonOf(error)}`, {
    op,
    cause: error,
    ...(error instanceof ToroError && error.hint !== undefined ? { hint: error.hint } : {}),
  });
}

/** Bytes that can be read anywhere: a file, or anything that has the same. */
export interface ByteSource {
  /** How many there are. */
  readonly size: number;
  /** A copy of those from `at` on, which must be there. */
  readBytes(at: number, length: number): Uint8Array<ArrayBuffer>;
  /** Fills a buffer with those from `at` on, which must be there. */
  readInto(at: number, buffer: Uint8Array<ArrayBuffer>): void;
}

/** Bytes that are read at once where few are wanted: headers of an archive lie close together. */
const WINDOW = 64 * 1024;

/** An open file's bytes. */
class FileSource implements ByteSource {
  readonly size: number;
  readonly #file: Deno.FsFile;
  #window = new Uint8Array(0);
  #windowAt = 0;

  constructor(file: Deno.FsFile) {
    const { size, isFile } = file.statSync();
    if (!isFile) throw new CheckpointError("it is no file");
    this.#file = file;
    this.size = size;
  }

  readBytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    this.#check(at, length);
    if (length > WINDOW / 4) return this.#read(at, length);
    if (at < this.#windowAt || at + length > this.#windowAt + this.#window.length) {
      this.#window = this.#read(at, Math.min(WINDOW, this.size - at));
      this.#windowAt = at;
    }
    return this.#window.slice(at - this.#windowAt, at - this.#windowAt + length);
  }

  readInto(at: number, buffer: Uint8Array<ArrayBuffer>): void {
    this.#check(at, buffer.length);
    this.#file.seekSync(at, Deno.SeekMode.Start);
    for (let from = 0; from < buffer.length;) {
      const n = this.#file.readSync(buffer.subarray(from));
      if (n === null) throw new CheckpointError("it was truncated while it was read");
      from += n;
    }
  }

  #check(at: number, length: number): void {
    if (at + length <= this.size) return;
    throw new CheckpointError(
      `it is truncated: bytes ${at} to ${at + length} are needed, it has ${this.size}`,
    );
  }

  #read(at: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.readInto(at, bytes);
    return bytes;
  }
}

/**
 * Opens a file, hands its bytes to `body` and closes it. Errors: CheckpointError that names the file and the reason.
 */
export async function reading<T>(
  path: string | URL,
  op: string,
  body: (bytes: ByteSource) => T | Promise<T>,
): Promise<T> {
  const source = pathOf(path, "read");
  let file: Deno.FsFile | null = null;
  try {
    file = Deno.openSync(source, { read: true });
    return await body(new FileSource(file));
  } catch (error) {
    throw loadFailure(source, op, error);
  } finally {
    file?.close();
  }
}

/** Fails for bytes that are neither 0 nor 1. */
export function checkBools(bytes: Uint8Array, what: string): void {
  if (!bytes.some((byte) => byte > 1)) return;
  throw new CheckpointError(
    `it is damaged: ${what} is bool and holds other bytes than 0 and 1`,
  );
}

/** Small pieces are gathered until there are so many bytes: each write is a job of the native library's. */
const GATHERED = 256 * 1024;

/**
 * Writes a file whole: `write` gives its bytes to `put` aside, then they are flushed to the disk and put in place, and
 * the folder is flushed. On any failure the path holds what it held before. Errors: those of Toro that `write` throws,
 * else CheckpointError.
 */
export function writeAside(
  path: string | URL,
  op: string,
  write: (put: (bytes: Uint8Array<ArrayBuffer>) => void) => void,
): void {
  const target = pathOf(path, "write");
  try {
    using file = new FileWriter(target);
    const gathered = new Uint8Array(GATHERED);
    let length = 0;
    const flush = () => {
      file.writeBytes(gathered.subarray(0, length));
      length = 0;
    };
    write((bytes) => {
      if (length + bytes.length > GATHERED) flush();
      if (bytes.length > GATHERED) return file.writeBytes(bytes);
      gathered.set(bytes, length);
      length += bytes.length;
    });
    flush();
    file.end();
  } catch (error) {
    throw saveFailure(target, op, error);
  }
}
