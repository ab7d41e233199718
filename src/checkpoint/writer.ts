/**
 * Writes states: what goes into which file, piece by piece while the caller waits, or out of a snapshot beside it.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "@std/path";
import { Background, FileWriter, type Source, type Step } from "../../ffi/file_writer.ts";
import { CheckpointError, show } from "../errors.ts";
import { isOptions, optionsOf } from "../options.ts";
import type { Tensor } from "../tensor.ts";
import { saveFailure } from "./disk.ts";
import { manifest } from "./manifest.ts";
import { copyOfPieces, piecesOf } from "./pieces.ts";
import { VERSION } from "./reader.ts";
import { inFileOrder, writeHeader } from "./safetensors.ts";
import { indexHead, indexPath, oldFiles, readIndex, shardNames, shardsOf } from "./shards.ts";
import { encode } from "./values.ts";

/** A nested state: plain objects, arrays and Maps of tensors, typed arrays, numbers, texts, booleans, bigints and null. */
export type State = Readonly<Record<string, unknown>>;

/** How a state is written. */
export interface SaveOptions {
  /**
   * Above so many bytes of tensors they are spread over several files of at most this size, as Hugging Face does:
   * `NAME-00001-of-00003.safetensors` and `NAME.safetensors.index.json`, which `load` finds under the path. Default: one
   * file of any size.
   */
  maxShardBytes?: number;
  /** Flushes files and folder to the disk before it counts as saved; default true. */
  durable?: boolean;
}

function saving<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw saveFailure(path, "save", error);
  }
}

/** Writes a state while the caller waits. */
export function writeState(target: string, state: State, options: SaveOptions = {}): void {
  saving(target, () => write(target, state, options, null));
}

/**
 * Writes a state beside the script: what it is made of is copied before this returns. `done` resolves once it is in
 * place.
 */
export function writeInBackground(
  target: string,
  state: State,
  options: SaveOptions = {},
): { work: Background; copies: Tensor[]; discard: () => void } {
  return saving(target, () => {
    const plan: Plan = { steps: [], undo: [], copies: [] };
    try {
      const discard = write(target, state, options, plan);
      return { work: new Background(plan.steps, plan.undo), copies: plan.copies, discard };
    } catch (error) {
      for (const copy of plan.copies) copy.dispose();
      throw error;
    }
  });
}

/** What a thread of its own will do. */
interface Plan {
  readonly steps: Step[];
  readonly undo: Step[];
  /** What the steps read. */
  readonly copies: Tensor[];
}

/** Returns what removes the files of an index that was not put in place after all. */
function write(
  target: string,
  state: State,
  options: SaveOptions,
  plan: Plan | null,
): () => void {
  const { maxShardBytes = Infinity, durable = true } = optionsOf("save", options, [
    "maxShardBytes",
    "durable",
  ]);
  if (typeof durable !== "boolean") {
    throw new CheckpointError(
      `Cannot save ${target}: durable is ${show(durable)} and must be true or false`,
    );
  }
  if (!isOptions(state)) {
    throw new CheckpointError(
      `Cannot save ${target}: the state is ${show(state)} and must be an object of named parts`,
    );
  }
  if (!(maxShardBytes > 0)) {
    throw new CheckpointError(
      `Cannot save ${target}: maxShardBytes is ${maxShardBytes} and must be above 0`,
    );
  }
  const { json, tensors } = encode(state);
  const facts = {
    toro_version: VERSION,
    toro_manifest: JSON.stringify(manifest()),
    toro_state: JSON.stringify(json),
  };
  const ordered = inFileOrder(tensors);
  const shards = shardsOf(ordered, maxShardBytes);
  using writers = new Writers(plan, durable);
  if (shards.length === 1) {
    const writer = writers.begin(target, oldFiles(target).length > 0);
    writeFile(writer, ordered, facts, plan);
    writers.end([writer], oldFiles(target));
    return () => {};
  }
  // The index is begun first: it holds the folder, so that two such writers do not mix their files.
  const index = writers.begin(indexPath(target), true);
  const mark = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
  const names = shardNames(target, shards.length, mark);
  const parts = shards.map((shard, i) => {
    const writer = writers.begin(join(dirname(target), names[i]));
    writeFile(writer, shard, { toro_version: VERSION, toro_save: mark }, plan);
    return writer;
  });
  index.head(indexHead(shards, names, { ...facts, toro_save: mark }));
  const stale = [...oldFiles(target), target].filter((path) =>
    path !== index.path && !names.includes(basename(path))
  );
  const discard = () => {
    if (!isNamed(index.path, mark)) removeAll(parts);
  };
  try {
    writers.end(parts);
  } catch (error) {
    removeAll(parts);
    throw error;
  }
  try {
    writers.end([index], stale);
  } catch (error) {
    discard();
    throw error;
  }
  return discard;
}

/** Whether an index is the one of this mark, or may be. */
function isNamed(index: string, mark: string): boolean {
  try {
    return existsSync(index) && readIndex(index).metadata.toro_save === mark;
  } catch {
    return true;
  }
}

/** Removes files that no index names. */
function removeAll(parts: readonly FileWriter[]): void {
  for (const { path } of parts) {
    try {
      Deno.removeSync(path);
    } catch {
      // It is not there either.
    }
  }
}

/** Writers that end together, or leave everything as it was. */
class Writers implements Disposable {
  readonly #all: FileWriter[] = [];
  readonly #plan: Plan | null;
  readonly #durable: boolean;
  #ended = 0;

  constructor(plan: Plan | null, durable: boolean) {
    this.#plan = plan;
    this.#durable = durable;
  }

  begin(path: string, lock = false): FileWriter {
    const options = { durable: this.#durable, lock };
    const writer = new FileWriter(path, options, this.#plan?.steps ?? null);
    this.#all.push(writer);
    this.#plan?.undo.push(writer.undo);
    return writer;
  }

  /** Ends some of them in this order; the last one then removes what it stands for. */
  end(order: readonly FileWriter[], remove: readonly string[] = []): void {
    order.forEach((writer, i) => writer.end(i === order.length - 1 ? remove : []));
    this.#ended += order.length;
  }

  [Symbol.dispose](): void {
    if (this.#ended < this.#all.length) {
      for (const writer of this.#all) {
        writer[Symbol.dispose]();
      }
    }
  }
}

/** Writes one safetensors file up to its end. */
function writeFile(
  writer: FileWriter,
  tensors: readonly [string, Tensor][],
  metadata: Readonly<Record<string, string>>,
  plan: Plan | null,
): void {
  writer.head(writeHeader(tensors, metadata));
  let sources: Source[] = [];
  const flush = () => {
    if (sources.length > 0) writer.write(sources);
    sources = [];
  };
  for (const [, tensor] of tensors) {
    if (plan !== null) {
      const copy = copyOfPieces(tensor);
      plan.copies.push(copy);
      sources.push(sourceOf(copy, true));
      continue;
    }
    let left = tensor.numel;
    for (const { tensor: piece, isCopy } of piecesOf(tensor)) {
      left -= piece.numel;
      sources.push(sourceOf(piece, left === 0));
      // What comes next may stand where this one did.
      if (isCopy) flush();
    }
  }
  flush();
}

function sourceOf({ storage, offset, info, numel }: Tensor, ends: boolean): Source {
  const { handle, byteOffset } = storage;
  return { handle, at: byteOffset + offset * info.size, bytes: numel * info.size, ends };
}
