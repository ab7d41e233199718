/**
 * One safetensors file: its header, checked, and its tensors, read at once or when they are first used.
 *
 * @module
 */
import {
  checksumOf,
  mapPart,
  openFile,
  type Part,
  type Placed,
  type TensorFile,
  verifyParts,
} from "../../ffi/tensor_files.ts";
import { inMode } from "../autograd.ts";
import { type DType, type DTypeInfo, dtypeInfo, DTYPES } from "../dtype.ts";
import { CheckpointError, show } from "../errors.ts";
import { adopt, Block, PENDING, type Pending, Storage, unscoped } from "../memory.ts";
import { deviceNumber } from "../ops/creation.ts";
import { cast, copyOf } from "../ops/map.ts";
import { moved } from "../ops/transfer.ts";
import { contiguousStrides } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { loadFailure } from "./disk.ts";
import { cut } from "./json.ts";
import {
  CHECKSUM,
  checksumIn,
  CHECKSUMS,
  DIGITS,
  type Entry,
  type Header,
  headerLength,
  readHeader,
} from "./safetensors.ts";

/** The version of what Toro keeps in a file's metadata. */
export const VERSION = "2";

/** How tensors are read. */
export interface ReadOptions {
  /**
   * Maps the file and reads each tensor when it is first used; default: all at once, into memory of their own. The file
   * may be replaced meanwhile by `save`; one that is cut short in place makes its tensors unusable.
   */
  lazy?: boolean;
  /**
   * Whether checksums are compared, where the file has some: when a tensor is read (true, the default), of all tensors
   * before `load` returns, lazy ones too ("now"), or never (false).
   */
  verify?: boolean | "now";
  /** Where the tensors shall be, whatever they were saved from; default "cpu". */
  mapLocation?: string;
  /** A float type, to which float tensors are converted. */
  dtype?: DType;
  /** The most bytes that the wanted tensors may have. */
  maxBytes?: number;
  /** The most tensors that a file may have. */
  maxTensors?: number;
}

/** Runs what reads a file; errors name it. */
export function loading<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw loadFailure(path, "load", error);
  }
}

/** A file whose header was read and checked. */
export class SafetensorsFile implements Disposable {
  /** The file. */
  readonly file: TensorFile;
  /** What its header says. */
  readonly header: Header;
  /** Whether Toro wrote it as a checkpoint. */
  readonly isCheckpoint: boolean;
  readonly #start: number;
  readonly #sums: readonly string[] | null;

  /** Opens a file and checks its header; of the tensors nothing is read. */
  constructor(path: string | URL) {
    this.file = openFile(path);
    try {
      const head = readHead(this.file);
      this.#start = head.length;
      this.header = readHeader(head.subarray(8), this.file.size - head.length);
      const { metadata, entries } = this.header;
      this.isCheckpoint = Object.keys(metadata).some((key) => key.startsWith("toro_"));
      if (metadata.format === "toro") {
        throw new CheckpointError(
          "it was written by an earlier version of Toro (format 1), which this one does not read",
        );
      }
      this.#sums = this.isCheckpoint ? checkHead(head, metadata) : null;
      if (this.#sums !== null && this.#sums.length !== entries.length) {
        throw new CheckpointError(
          `it is damaged: it has ${entries.length} tensors and ${this.#sums.length} checksums`,
        );
      }
    } catch (error) {
      this.file.close();
      throw error;
    }
  }

  /** Reads the tensors whose names are wanted. */
  read(isWanted: (name: string) => boolean, options: ReadOptions = {}): Map<string, Tensor> {
    const { verify = true, lazy = false } = options;
    const { entries } = this.header;
    const { maxBytes = Infinity, maxTensors = Infinity, dtype, mapLocation } = options;
    const device = deviceNumber(mapLocation, "load");
    if (typeof lazy !== "boolean") {
      throw new CheckpointError(`lazy is ${show(lazy)} and must be true or false`);
    }
    if (verify !== true && verify !== false && verify !== "now") {
      throw new CheckpointError(`verify is ${show(verify)} and must be true, false or "now"`);
    }
    const target = dtype === undefined ? null : dtypeInfo(dtype, "load");
    if (entries.length > maxTensors) {
      throw new CheckpointError(
        `it has ${entries.length} tensors, and maxTensors is ${maxTensors}`,
      );
    }
    const wanted: [Entry, Part][] = [];
    let bytes = 0;
    entries.forEach((entry, i) => {
      if (!isWanted(entry.name)) return;
      wanted.push([entry, this.#part(entry, verify === false ? null : this.#sums?.[i] ?? null)]);
      bytes += entry.end - entry.begin;
    });
    if (bytes > maxBytes) {
      throw new CheckpointError(`its tensors have ${bytes} bytes, and maxBytes is ${maxBytes}`);
    }
    const info = (own: DTypeInfo) => target !== null && own.isFloat ? target : own;
    return unscoped(() =>
      inMode(false, () => {
        const read = lazy
          ? this.#mapped(wanted, info, verify === "now")
          : this.#copies(wanted, info);
        if (device !== 0) { for (const [name, t] of read) read.set(name, moved(t, device)); }
        return read;
      })
    );
  }

  /** Compares all content with its checksums. */
  verify(): void {
    if (this.header.bytes === 0) return;
    const whole = adopt(this.file.map(), this.file.size);
    const { entries } = this.header;
    verifyParts(whole.handle, entries.map((e, i) => this.#part(e, this.#sums?.[i] ?? null)));
    // Unmapped with its block, which the collector finds.
  }

  #part({ name, info, begin, end }: Entry, checksum: string | null): Part {
    const [at, bytes, isBool] = [this.#start + begin, end - begin, info.name === "bool"];
    return { name: `tensor ${cut(name)}`, at, bytes, checksum, isBool };
  }

  #copies(
    wanted: readonly [Entry, Part][],
    target: (own: DTypeInfo) => DTypeInfo,
  ): Map<string, Tensor> {
    const tensors = wanted.map(([{ shape, info }]) => empty(shape, info));
    this.file.readInto(wanted.map(([, part], i): Placed => {
      const { storage: { handle, byteOffset } } = tensors[i];
      return { ...part, handle, to: byteOffset };
    }));
    return new Map(wanted.map(([{ name, info }], i) => [
      name,
      cast(tensors[i], target(info).name),
    ]));
  }

  #mapped(
    wanted: readonly [Entry, Part][],
    target: (own: DTypeInfo) => DTypeInfo,
    now: boolean,
  ): Map<string, Tensor> {
    const { path, size } = this.file;
    const hasBytes = wanted.some(([, { bytes }]) => bytes > 0);
    const whole = hasBytes ? adopt(this.file.map(), size) : new Storage(new Block(-1, 0), 0, 0, 0);
    if (now && hasBytes) verifyParts(whole.handle, wanted.map(([, part]) => part));
    return new Map(wanted.map(([{ name, shape, info }, part]) => {
      const own = target(info), numel = part.bytes / info.size;
      if (numel === 0) return [name, empty(shape, own)];
      const storage = new Storage(new Block(-1, 0), 0, numel * own.size, 0);
      storage.state = PENDING;
      storage.pending = new MappedPart(path, whole, now ? unchecked(part) : part, info, own);
      return [name, new Tensor(storage, own, shape, contiguousStrides(shape), 0)];
    }));
  }

  /** Closes the file; lazy tensors of it live on. */
  [Symbol.dispose](): void {
    this.file.close();
  }
}

function unchecked(part: Part): Part {
  return { ...part, checksum: null, isBool: false };
}

/** Below so many bytes a tensor is copied: a storage of its own is not worth it. */
const COPIED = 64 * 1024;

/** A tensor of a mapped file that nobody has used yet. */
class MappedPart implements Pending {
  readonly #path: string;
  readonly #whole: Storage;
  readonly #part: Part;
  readonly #info: DTypeInfo;
  readonly #target: DTypeInfo;

  constructor(path: string, whole: Storage, part: Part, info: DTypeInfo, target: DTypeInfo) {
    this.#path = path;
    this.#whole = whole;
    this.#part = part;
    this.#info = info;
    this.#target = target;
  }

  /** The mapping. */
  parts(): readonly Storage[] {
    return [this.#whole];
  }

  /** Checks the bytes and takes them over. */
  settle(storage: Storage): void {
    const made = loading(this.#path, () => unscoped(() => inMode(false, () => this.#take())));
    storage.block = made.block;
    storage.byteOffset = made.byteOffset;
    storage.state &= ~PENDING;
    storage.pending = null;
  }

  #take(): Storage {
    const { at, bytes } = this.#part, info = this.#info, numel = bytes / info.size;
    let own: Storage;
    if (bytes < COPIED || at % info.size !== 0) {
      verifyParts(this.#whole.handle, [this.#part]);
      own = copyOf(new Tensor(this.#whole, DTYPES.uint8, [bytes], [1], at)).storage;
    } else own = adopt(mapPart(this.#whole.handle, this.#part), bytes);
    return cast(new Tensor(own, info, [numel], [1], 0), this.#target.name).storage;
  }
}

/** More than most headers have. */
const FIRST = 16 * 1024;

/** Length and text of the header. */
function readHead(file: TensorFile): Uint8Array<ArrayBuffer> {
  const first = file.readBytes(0, Math.min(FIRST, file.size));
  const length = 8 + headerLength(first.subarray(0, 8), file.size);
  return length <= first.length ? first.subarray(0, length) : file.readBytes(0, length);
}

/** Compares a header with its checksum; returns the tensors'. */
function checkHead(
  head: Uint8Array<ArrayBuffer>,
  metadata: Readonly<Record<string, string>>,
): readonly string[] {
  verifyText(head, metadata[CHECKSUM]);
  const version = metadata.toro_version;
  if (version !== VERSION) {
    throw new CheckpointError(
      `it was written by another version of Toro (format ${version}); this one reads ${VERSION}`,
    );
  }
  const sums = metadata[CHECKSUMS] ?? "";
  return sums === "" ? [] : sums.split(" ");
}

/** Compares bytes with the checksum in them. */
export function verifyText(bytes: Uint8Array<ArrayBuffer>, given: unknown): void {
  const text = typeof given === "string" && given.length === DIGITS ? given : "";
  const at = text === "" ? null : checksumIn(bytes, text);
  if (at === null) throw new CheckpointError("its header is damaged: its checksum is missing");
  const blank = bytes.slice();
  blank.fill(0x30, at, at + DIGITS);
  if (checksumOf(blank) !== text) {
    throw new CheckpointError("its header is damaged: its checksum differs from its content's");
  }
}
