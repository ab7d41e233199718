/**
 * Reading a file whole and checking all of it, for people and scripts that want to know what they were given.
 *
 * @module
 */
import { existsSync } from "node:fs";
import type { DType } from "../dtype.ts";
import { type ByteSource, pathOf, reading } from "./disk.ts";
import { verifyNow } from "./file.ts";
import { verifyNumpy } from "./numpy.ts";
import { isIndex } from "./shards.ts";
import { verifyTorch } from "./torch.ts";
import { readZip } from "./zip.ts";

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
  if (!isOne) return safetensors(source);
  return await reading(source, "inspect", async (bytes) => {
    const format = kindOf(bytes);
    if (format === "safetensors") return safetensors(source);
    const found = format === "torch" ? verifyTorch(bytes) : await verifyNumpy(bytes);
    return { path: source, format, fileBytes: bytes.size, metadata: {}, ...found };
  });
}

/** What a file looks like by its first bytes. */
function kindOf(bytes: ByteSource): "safetensors" | "torch" | "npy" | "npz" {
  const head = String.fromCharCode(...bytes.readBytes(0, Math.min(bytes.size, 262)));
  // The length of a header, of which none has 4 GB, and its begin: a length may look like another format's magic.
  if (head.startsWith("\0\0\0\0{", 4)) return "safetensors";
  if (head.startsWith("\x93NUMPY")) return "npy";
  if (head.startsWith("PK\x03\x04") || head.startsWith("PK\x05\x06")) {
    const names = [...readZip(bytes).keys()];
    return names.some((name) => name.endsWith(".npy")) ? "npz" : "torch";
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
