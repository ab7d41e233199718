/**
 * Checkpoint files: written aside, made durable, then renamed, so that the path always holds a whole one; read with every
 * check, the checksum among them.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { write as writeNative } from "../../ffi/library.ts";
import { inMode } from "../autograd.ts";
import { CheckpointError } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { contiguous } from "../ops/view.ts";
import { snapshot } from "../rows.ts";
import { empty, type Tensor } from "../tensor.ts";
import { loadFailure, pathOf, piecesOf, put, writeAside } from "./disk.ts";
import { type Entry, type Header, headerLength, readHeader, writeHeader } from "./safetensors.ts";
import { decode, encode } from "./values.ts";

/** A nested state: plain objects, arrays and Maps of tensors, typed arrays, numbers, texts, booleans, bigints and null. */
export type State = Readonly<Record<string, unknown>>;

const CHUNK = 4 * 2 ** 20;
/** Where the metadata has the SHA-256 of the file, itself taken with zeros in this place. */
const CHECKSUM = "toro_sha256";
const NO_CHECKSUM = "0".repeat(64);

/** Writes a state. See `save`. */
export function saveNow(path: string | URL, state: State): void {
  const { json, tensors } = encode(state);
  const { head, order } = writeHeader(tensors, {
    format: "toro",
    version: "1",
    [CHECKSUM]: NO_CHECKSUM,
    state: JSON.stringify(json),
  });
  writeAside(path, "save", (file) => {
    const hash = createHash("sha256");
    hash.update(head);
    put(file, head);
    for (const tensor of order) putTensor(file, tensor, hash);
    const at = new TextDecoder("latin1").decode(head).indexOf(`"${CHECKSUM}":"${NO_CHECKSUM}"`) +
      CHECKSUM.length + 4;
    file.seekSync(at, Deno.SeekMode.Start);
    put(file, new TextEncoder().encode(hash.digest("hex")));
  });
}

function putTensor(file: Deno.FsFile, tensor: Tensor, hash: Hash): void {
  // A table that lags behind is written as an up-to-date copy and stays as it is.
  const whole = snapshot(tensor);
  if (whole.storage.state !== 0) whole.storage.settle("save");
  const dense = inMode(false, () => contiguous(whole));
  const { storage, info, offset, numel } = dense;
  for (const piece of piecesOf(storage, offset * info.size, numel * info.size)) {
    hash.update(piece);
    put(file, piece);
  }
}

/** What a checkpoint file holds. */
export interface Contents {
  /** Whether it is a checkpoint of Toro; else any other safetensors file. */
  readonly isCheckpoint: boolean;
  /** The nested state; of another file its tensors by name. */
  readonly state: Record<string, unknown>;
}

/** Reads a file, with every check. `only` names the parts of the state that are wanted; the others are checked only. */
export function loadNow(path: string | URL, only: readonly string[] | null = null): Contents {
  const source = pathOf(path, "read");
  let file: Deno.FsFile | null = null;
  try {
    file = Deno.openSync(source, { read: true });
    const opened = file;
    return unscoped(() => readFile(opened, only));
  } catch (error) {
    throw loadFailure(source, "load", error);
  } finally {
    file?.close();
  }
}

function readFile(file: Deno.FsFile, only: readonly string[] | null): Contents {
  const { size, isFile } = file.statSync();
  if (!isFile) throw new CheckpointError("it is no file");
  const start = new Uint8Array(8);
  const length = headerLength(start.subarray(0, fill(file, start)), size);
  const text = new Uint8Array(length);
  if (fill(file, text) < length) throw new CheckpointError("it was truncated while it was read");
  const header = readHeader(text, size - 8 - length);
  const isCheckpoint = header.metadata.format === "toro";
  const wanted = (name: string) =>
    only === null || !isCheckpoint ||
    only.some((part) => name === part || name.startsWith(`${part}.`));
  // Either of the two marks is enough to want the checksum: the other may be what is damaged.
  const given = header.metadata[CHECKSUM] ?? (isCheckpoint ? "" : null);
  const hash = given === null ? null : createHash("sha256");
  if (hash !== null) {
    const at = new TextDecoder("latin1").decode(text).indexOf(`"${CHECKSUM}":"${given}"`) +
      CHECKSUM.length + 4;
    const blank = text.slice();
    if (given!.length === 64) blank.fill(0x30, at, at + 64);
    hash.update(start).update(blank);
  }
  const tensors = readTensors(file, header, wanted, hash);
  if (hash !== null && hash.digest("hex") !== given) {
    throw new CheckpointError("it is damaged: its checksum differs from its content's");
  }
  if (!isCheckpoint) return { isCheckpoint, state: Object.fromEntries(tensors) };
  const json = JSON.parse(header.metadata.state) as Record<string, unknown>;
  const parts = only === null
    ? json
    : Object.fromEntries(Object.entries(json).filter(([name]) => only.includes(name)));
  const state = decode(parts, (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new CheckpointError(`it is damaged: tensor ${name} is missing`);
    return tensor;
  });
  return { isCheckpoint, state: state as Record<string, unknown> };
}

/** Fills a buffer from the file; returns how many bytes there were. */
function fill(file: Deno.FsFile, buffer: Uint8Array): number {
  let at = 0;
  while (at < buffer.length) {
    const n = file.readSync(buffer.subarray(at));
    if (n === null) break;
    at += n;
  }
  return at;
}

function readTensors(
  file: Deno.FsFile,
  { entries, bytes }: Header,
  wanted: (name: string) => boolean,
  hash: Hash | null,
): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  const buffer = new Uint8Array(Math.min(CHUNK, bytes));
  let next = 0, tensor: Tensor | null = null;
  const open = (entry: Entry): Tensor | null => {
    if (!wanted(entry.name)) return null;
    const made = empty(entry.shape, entry.info);
    tensors.set(entry.name, made);
    return made;
  };
  for (let from = 0; from < bytes;) {
    const part = buffer.subarray(0, Math.min(CHUNK, bytes - from));
    if (fill(file, part) < part.length) {
      throw new CheckpointError("it was truncated while it was read");
    }
    hash?.update(part);
    const to = from + part.length;
    for (; next < entries.length && entries[next].begin < to; next++) {
      const entry = entries[next];
      if (entry.begin >= from) tensor = open(entry);
      const a = Math.max(entry.begin, from), b = Math.min(entry.end, to);
      if (tensor !== null && b > a) {
        const piece = part.subarray(a - from, b - from);
        if (entry.info.name === "bool" && piece.some((x) => x > 1)) {
          throw new CheckpointError(
            `it is damaged: tensor ${entry.name} is bool and holds other bytes than 0 and 1`,
          );
        }
        writeNative(tensor.storage.handle, tensor.storage.byteOffset + a - entry.begin, piece);
      }
      if (entry.end > to) break;
    }
    from = to;
  }
  for (const entry of entries) {
    if (entry.begin === entry.end && !tensors.has(entry.name)) open(entry);
  }
  return tensors;
}

/**
 * Writes a state to a safetensors file. Tensors lie there under their paths, all else as JSON in its metadata, with a
 * SHA-256 of the whole. A flat record of tensors, as `stateDict()` gives it, can be read by PyTorch under the same keys.
 *
 * The file is written aside, flushed to the disk and renamed: whatever happens, the path holds the old file or the new one
 * whole. Needs `--allow-read` and `--allow-write` for the folder.
 * Errors: CheckpointError that names file and reason, or the path of a value that cannot be kept.
 *
 * ```ts
 * import { checkpoint, nn } from "@toro/toro";
 *
 * const file = await Deno.makeTempFile(), model = new nn.Linear(2, 1);
 * await checkpoint.save(file, { model: model.stateDict(), note: "first" });
 * const { model: weights, note } = await checkpoint.load<{ model: nn.StateDict; note: string }>(file);
 * model.loadStateDict(weights);
 * console.log(note); // first
 * await Deno.remove(file);
 * ```
 */
// deno-lint-ignore require-await
export async function save(path: string | URL, state: State): Promise<void> {
  saveNow(path, state);
}

/** What `load` reads. */
export interface LoadOptions {
  /** Names of the state's parts that are wanted; default: all. */
  only?: readonly string[];
}

/**
 * Reads what `save` wrote; of any other safetensors file its tensors by name. Nothing in a file is ever run.
 *
 * Errors: CheckpointError that names file and reason: truncated, damaged, a header that lies, a wrong checksum.
 */
// deno-lint-ignore require-await
export async function load<S extends Record<string, unknown> = Record<string, unknown>>(
  path: string | URL,
  { only }: LoadOptions = {},
): Promise<S> {
  return loadNow(path, only ?? null).state as S;
}
