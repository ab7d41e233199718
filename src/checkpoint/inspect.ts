/**
 * Reading a file whole and checking all of it, for people and scripts that want to know what they were given.
 *
 * @module
 */
import { existsSync } from "node:fs";
import type { DType } from "../dtype.ts";
import { numelOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { type ByteSource, checkBools, pathOf, reading } from "./disk.ts";
import { verifyNow } from "./file.ts";
import { loadNumpy } from "./numpy.ts";
import { valueOf } from "./pickle.ts";
import { isIndex } from "./shards.ts";
import { readTorch, type TorchFile } from "./torch.ts";
import { ParameterRef, TensorRef } from "./torch_names.ts";
import { readEntry, readZip } from "./zip.ts";

/** What kinds of file `inspect` knows. */
export type FileFormat = "toro checkpoint" | "safetensors" | "torch" | "npy" | "npz";

/** A tensor that a file holds. */
export interface TensorFacts {
  /** Its name in the file, or its path in the state. */
  readonly name: string;
  /** Its element type. */
  readonly dtype: DType;
  /** Its sizes. */
  readonly shape: readonly number[];
  /** Bytes of its elements. */
  readonly bytes: number;
}

/** What a file is, once all of it was read and found whole. */
export interface Inspection {
  /** The file. */
  readonly path: string;
  /** Its kind. */
  readonly format: FileFormat;
  /** Bytes of the file, or of those that an index names. */
  readonly fileBytes: number;
  /** The tensors, in the order of the file. */
  readonly tensors: readonly TensorFacts[];
  /** Texts beside the tensors, by name. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Checksums that the file has of its own and that agree with its bytes. */
  readonly checksums: number;
}

/**
 * Reads a file whole and checks all that can be checked: that the header tells no lies, that every byte belongs to
 * something, that checksums agree. It takes what `save`, `saveTorch` and `saveNumpy` write, other safetensors files and
 * their indexes, and what `torch.save`, `numpy.save` and `numpy.savez` write. Nothing in a file is ever run, and what it
 * claims takes no memory.
 *
 * Needs `--allow-read` for the file. Errors: CheckpointError that names file, place and reason.
 *
 * ```ts
 * import { checkpoint, ones } from "@toro/toro";
 *
 * const file = await Deno.makeTempFile();
 * await checkpoint.save(file, { x: ones([2, 3]) });
 * const { format, tensors } = await checkpoint.inspect(file);
 * console.log(format, tensors[0].name, tensors[0].shape); // toro checkpoint x [ 2, 3 ]
 * await Deno.remove(file);
 * ```
 */
export async function inspect(path: string | URL): Promise<Inspection> {
  const source = pathOf(path, "read");
  // Of a checkpoint in several files only the index may be there.
  const isOne = !isIndex(source) && existsSync(source);
  const kind = isOne ? await reading(source, "inspect", kindOf) : "safetensors";
  if (kind === "safetensors") return safetensors(source);
  if (kind === "torch") return await reading(source, "inspect", (bytes) => torch(source, bytes));
  return await numpy(source, kind);
}

/** What a file looks like by its first bytes. */
function kindOf(bytes: ByteSource): "safetensors" | "torch" | "npy" | "npz" {
  const head = String.fromCharCode(...bytes.readBytes(0, Math.min(bytes.size, 262)));
  // The length of a header, of which none has 4 GB, and its begin: a length may look like another format's magic.
  if (head.startsWith("\0\0\0\0{", 4)) return "safetensors";
  if (head.startsWith("\x93NUMPY")) return "npy";
  if (head.startsWith("PK\x03\x04") || head.startsWith("PK\x05\x06")) {
    const names = [...readZip(bytes).keys()];
    return names.length > 0 && names.every((name) => name.endsWith(".npy")) ? "npz" : "torch";
  }
  // What is older than PyTorch's archives is refused by its name.
  const isPickle = head.startsWith("\x80") && head.charCodeAt(1) <= 5;
  return isPickle || head.startsWith("ustar", 257) ? "torch" : "safetensors";
}

function safetensors(path: string): Inspection {
  const { isCheckpoint, metadata, files } = verifyNow(path);
  const entries = files.flatMap(({ header }) => header.entries);
  return {
    path,
    format: isCheckpoint ? "toro checkpoint" : "safetensors",
    fileBytes: files.reduce((sum, { file }) => sum + file.size, 0),
    tensors: entries.map(({ name, info, shape, begin, end }) => ({
      name,
      dtype: info.name,
      shape,
      bytes: end - begin,
    })),
    metadata,
    // One for each tensor and one for each header.
    checksums: isCheckpoint ? entries.length + files.length : 0,
  };
}

function torch(path: string, source: ByteSource): Inspection {
  const file = readTorch(source);
  for (const storage of file.storages.values()) {
    for (const piece of readEntry(source, file.entryOf(storage))) {
      if (storage.info.name === "bool") checkBools(piece, `storage ${JSON.stringify(storage.key)}`);
    }
  }
  return {
    path,
    format: "torch",
    fileBytes: source.size,
    tensors: [...tensorsIn(file)],
    metadata: {},
    // One for each storage and one for the pickle.
    checksums: file.storages.size + 1,
  };
}

/** The tensors of a file of PyTorch's with their paths in its state; what is shared is told once. */
function* tensorsIn({ root }: TorchFile): Generator<TensorFacts> {
  const seen = new Set<unknown>();
  const walk = function* (value: unknown, path: string): Generator<TensorFacts> {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    if (value instanceof ParameterRef) yield* walk(value.tensor, path);
    else if (value instanceof TensorRef) {
      const { storage: { info }, shape } = value;
      yield { name: path, dtype: info.name, shape, bytes: numelOf(shape) * info.size };
    } else if (!(value instanceof Uint8Array)) {
      const items: Iterable<[unknown, unknown]> = value instanceof Map
        ? value
        : value instanceof Set
        ? [...value].entries()
        : Object.entries(value);
      for (const [key, each] of items) yield* walk(each, path === "" ? `${key}` : `${path}.${key}`);
    }
  };
  yield* walk(valueOf(root, { leaf: (value) => value }), "");
}

async function numpy(path: string, format: "npy" | "npz"): Promise<Inspection> {
  const read = await loadNumpy<Tensor | Record<string, Tensor>>(path);
  const arrays: [string, Tensor][] = read instanceof Tensor ? [["", read]] : Object.entries(read);
  const tensors = arrays.map(([name, { dtype, shape, numel, info }]) => ({
    name,
    dtype,
    shape: [...shape],
    bytes: numel * info.size,
  }));
  for (const [, tensor] of arrays) tensor.dispose();
  return {
    path,
    format,
    fileBytes: Deno.statSync(path).size,
    tensors,
    metadata: {},
    checksums: format === "npz" ? tensors.length : 0,
  };
}
