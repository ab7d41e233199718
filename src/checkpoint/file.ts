/**
 * Checkpoint files: written aside, made durable, then put in place, so that the path always holds a whole one; read with
 * every check.
 *
 * @module
 */
import { dirname, join } from "@std/path";
import type { Background } from "../../ffi/file_writer.ts";
import { CheckpointError, ToroError } from "../errors.ts";
import { optionsOf } from "../options.ts";
import type { Tensor } from "../tensor.ts";
import { pathOf, saveFailure } from "./disk.ts";
import { loading, type ReadOptions, SafetensorsFile } from "./reader.ts";
import { indexPath, isIndex, readIndex } from "./shards.ts";
import { arrayOf, checkArray, decode, namedIn, parseState } from "./values.ts";
import { cut } from "./json.ts";
import { type SaveOptions, type State, writeInBackground, writeState } from "./writer.ts";

export type { ReadOptions, SaveOptions, State };

// ---- saving ----

/** A save that goes on beside the script, and its failure, until someone has seen it. */
let pending: { work: Background; end: (error: unknown) => void } | null = null;
let failure: { error: unknown } | null = null;

/** Waits for the save that goes on beside the script. Throws its failure, or the last one that nobody has seen. */
export function finishPending(): void {
  if (pending !== null) {
    const { work, end } = pending;
    try {
      work.waitSync();
      end(null);
    } catch (error) {
      end(error);
    }
  }
  if (failure === null) return;
  const { error } = failure;
  failure = null;
  throw error;
}

/** Writes a state. See `save`. */
export function saveNow(path: string | URL, state: State, options: SaveOptions = {}): void {
  const target = pathOf(path, "write");
  finishPending();
  writeState(target, state, options);
}

/**
 * Begins to write a state; `done` is called once it is in place, before anything else is saved. See `asyncSave`.
 */
export function saveAside(
  path: string | URL,
  state: State,
  options: SaveOptions = {},
  done: () => void = () => {},
): AsyncSave {
  const target = pathOf(path, "write");
  finishPending();
  const { work, copies, discard } = writeInBackground(target, state, options);
  let isSeen = false;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Who does not wait for it hears of it by the next call.
  promise.catch(() => {});
  const end = (error: unknown) => {
    if (pending?.work !== work) return;
    pending = null;
    for (const copy of copies) copy.dispose();
    try {
      if (error !== null) {
        discard();
        throw saveFailure(target, "save", error);
      }
      done();
      resolve();
    } catch (final) {
      if (!isSeen) failure = { error: final };
      reject(final);
    }
  };
  pending = { work, end };
  work.wait().then(() => end(null), end);
  watchExit();
  return new AsyncSave(promise, () => {
    isSeen = true;
    failure = null;
  });
}

/** A failure that nobody has seen when the script ends is printed, and the exit code tells of it. */
let isWatching = false;
function watchExit(): void {
  if (isWatching) return;
  isWatching = true;
  globalThis.addEventListener("unload", () => {
    try {
      finishPending();
    } catch (error) {
      console.error((error as Error).message);
      if (Deno.exitCode === 0) Deno.exitCode = 1;
    }
  });
}

/** A save that goes on beside the script: await it, or let the next save tell what became of it. */
export class AsyncSave implements Promise<void> {
  readonly #promise: Promise<void>;
  readonly #see: () => void;
  /** The class's name. */
  readonly [Symbol.toStringTag] = "AsyncSave";

  /** @ignore */
  constructor(promise: Promise<void>, see: () => void) {
    this.#promise = promise;
    this.#see = see;
  }

  /** As a promise's; who calls it is told of a failure, and the next save is not. */
  then<A = void, B = never>(
    fulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#see();
    return this.#promise.then(fulfilled, rejected);
  }

  /** As a promise's. */
  catch<B = never>(rejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<void | B> {
    return this.then(null, rejected);
  }

  /** As a promise's. */
  finally(settled?: (() => void) | null): Promise<void> {
    this.#see();
    return this.#promise.finally(settled);
  }
}

/**
 * Writes a state to a safetensors file. Tensors lie there under their paths, all else as JSON in its metadata, with
 * checksums (XXH3-128) of the header and of each tensor and a note of where it comes from. A flat record of tensors, as
 * `stateDict()` gives it, can be read by PyTorch under the same keys.
 *
 * The file is written aside, flushed to the disk and put in place: whatever happens, the path holds the old file or the
 * new one whole. What is written takes no more than some 64 MB beside the state. Of two processes that save to one path
 * the one that ends last wins. Needs `--allow-read` and `--allow-write` for the folder.
 * Errors: CheckpointError that names file and reason, or the path of a value that cannot be kept; that of an earlier
 * `asyncSave` that nobody waited for.
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
export async function save(
  path: string | URL,
  state: State,
  options: SaveOptions = {},
): Promise<void> {
  saveNow(path, state, options);
}

/**
 * `save` beside the script: the state is copied before it returns, so training may go on at once; a thread of its own
 * writes the copy. One such save runs at a time, and the next one waits for it.
 *
 * A failure is thrown where the result is awaited, else by the next `save`, `asyncSave` or `ModelCheckpoint.save`. The
 * process does not end, by `Deno.exit` neither, before the file is in place.
 *
 * ```ts
 * import { checkpoint, ones } from "@toro/toro";
 *
 * const file = await Deno.makeTempFile(), weight = ones([2]);
 * const saved = checkpoint.asyncSave(file, { weight });
 * weight.mul_(3);
 * await saved;
 * console.log((await checkpoint.load<{ weight: typeof weight }>(file)).weight.toArray()); // [ 1, 1 ]
 * await Deno.remove(file);
 * ```
 */
export function asyncSave(
  path: string | URL,
  state: State,
  options: SaveOptions = {},
): AsyncSave {
  return saveAside(path, state, options);
}

// ---- loading ----

/** What a checkpoint file holds. */
export interface Contents {
  /** Whether it is a checkpoint of Toro; else any other safetensors file. */
  readonly isCheckpoint: boolean;
  /** The nested state; of another file its tensors by name. */
  readonly state: Record<string, unknown>;
}

/** What `load` reads, and how. */
export interface LoadOptions extends ReadOptions {
  /**
   * Names of the state's parts that are wanted, of another program's file names or beginnings of names up to a dot;
   * default: all.
   */
  only?: readonly string[];
}

/** Files that were opened together. */
class Opened implements Disposable {
  readonly files: SafetensorsFile[] = [];
  /** Of the checkpoint, or of the file that another program wrote. */
  metadata: Readonly<Record<string, string>> = {};

  /** Opens a file, or an index and its files. */
  constructor(readonly path: string) {
    try {
      if (isIndex(path)) this.#shards(path);
      else {
        const file = new SafetensorsFile(path);
        this.files.push(file);
        this.metadata = file.header.metadata;
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #shards(path: string): void {
    const { metadata, files } = readIndex(path);
    this.metadata = metadata;
    for (const [name, tensors] of files) {
      const file = loading(
        join(dirname(path), name),
        () => new SafetensorsFile(pathOf(join(dirname(path), name), "read")),
      );
      this.files.push(file);
      const { entries, metadata: own } = file.header;
      if (own.toro_save !== metadata.toro_save) {
        throw new CheckpointError(`it is damaged: ${name} belongs to another index`);
      }
      const there = new Set(entries.map((entry) => entry.name));
      const missing = tensors.find((tensor) => !there.has(tensor));
      if (missing !== undefined || there.size !== tensors.length) {
        throw new CheckpointError(
          missing === undefined
            ? `it is damaged: ${name} has ${there.size} tensors, the index has ${tensors.length} of them`
            : `it is damaged: tensor ${cut(missing)} is not in ${name}`,
        );
      }
    }
  }

  get isCheckpoint(): boolean {
    return this.metadata.toro_version !== undefined;
  }

  [Symbol.dispose](): void {
    for (const file of this.files) file[Symbol.dispose]();
  }
}

/** Opens what stands under a path: the file, or, where there is none, its index. */
function open(source: string): Opened {
  try {
    return new Opened(source);
  } catch (error) {
    const isMissing = error instanceof ToroError && error.message.endsWith("there is no such file");
    if (!isMissing || isIndex(source)) throw error;
    const index = indexPath(source);
    try {
      Deno.statSync(pathOf(index, "read"));
    } catch {
      throw error;
    }
    return new Opened(index);
  }
}

/** Reads what `save` wrote, or another safetensors file. See `load`. */
export function loadNow(path: string | URL, given: LoadOptions = {}): Contents {
  const { only, ...options } = optionsOf("load", given, [
    "only",
    "lazy",
    "verify",
    "mapLocation",
    "dtype",
    "maxBytes",
    "maxTensors",
  ]);
  const source = pathOf(path, "read");
  return loading(source, () => {
    using opened = open(source);
    const { files, isCheckpoint, metadata } = opened;
    const isIn = (name: string) =>
      only === undefined || only.some((part) => name === part || name.startsWith(`${part}.`));
    let json: Record<string, unknown> = {}, isWanted = isIn;
    if (isCheckpoint) {
      json = parseState(metadata.toro_state ?? "{}");
      if (only !== undefined) {
        json = Object.fromEntries(Object.entries(json).filter(([name]) => only.includes(name)));
        const named = namedIn(json);
        isWanted = (name) => named.has(name);
      }
    }
    const tensors = new Map<string, Tensor>();
    for (const file of files) {
      for (const [name, tensor] of file.read(isWanted, options)) tensors.set(name, tensor);
    }
    if (!isCheckpoint) return { isCheckpoint, state: Object.fromEntries(tensors) };
    const state = decode(json, (name, type) => {
      const tensor = tensors.get(name) ?? missing(name);
      return type === null ? tensor : arrayOf(tensor, type);
    });
    return { isCheckpoint, state: state as Record<string, unknown> };
  });
}

function missing(name: string): never {
  throw new CheckpointError(`it is damaged: tensor ${cut(name)} is missing`);
}

/** What `verifyNow` tells of a file. */
export interface Verified {
  /** Whether it is a checkpoint of Toro, which has checksums. */
  readonly isCheckpoint: boolean;
  /** Texts in its header. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The files of the checkpoint. */
  readonly files: readonly SafetensorsFile[];
}

/** Reads a checkpoint whole and compares every checksum; the files are closed again. */
export function verifyNow(path: string | URL): Verified {
  const source = pathOf(path, "read");
  return loading(source, () => {
    using opened = open(source);
    const { files, isCheckpoint, metadata } = opened;
    for (const file of files) file.verify();
    if (isCheckpoint) {
      const entries = new Map(files.flatMap((f) => f.header.entries).map((e) => [e.name, e]));
      decode(parseState(metadata.toro_state ?? "{}"), (name, type) => {
        const { info, shape } = entries.get(name) ?? missing(name);
        if (type !== null) checkArray(type, info.name, shape);
      });
    }
    return { isCheckpoint, metadata, files };
  });
}

/**
 * Reads what `save` wrote, in one file or several; of any other safetensors file, or of Hugging Face's index, its tensors
 * by name. Nothing in a file is ever run.
 *
 * Every byte is compared with its checksum, where the file has some. With `{ lazy: true }` the file is mapped, which takes
 * a moment whatever its size, and each tensor is read and compared when it is first used.
 * Errors: CheckpointError that names file and reason: truncated, damaged, a header that lies, a wrong checksum.
 */
// deno-lint-ignore require-await
export async function load<S extends Record<string, unknown> = Record<string, unknown>>(
  path: string | URL,
  options: LoadOptions = {},
): Promise<S> {
  return loadNow(path, options).state as S;
}
