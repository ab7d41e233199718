/**
 * Reading a file whole and checking all of it, for people and scripts that want to know what they were given.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { pathOf } from "./disk.ts";
import { verifyNow } from "./file.ts";

/** What kinds of file `inspect` knows. */
export type FileFormat = "toro checkpoint" | "safetensors";

/** A tensor that a file holds. */
export interface TensorFacts {
  /** Its name in the file. */
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
 * something, that checksums agree. Nothing in a file is ever run, and what it claims takes no memory.
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
// deno-lint-ignore require-await
export async function inspect(path: string | URL): Promise<Inspection> {
  const source = pathOf(path, "read");
  const { isCheckpoint, metadata, files } = verifyNow(source);
  const entries = files.flatMap(({ header }) => header.entries);
  return {
    path: source,
    format: isCheckpoint ? "toro checkpoint" : "safetensors",
    fileBytes: files.reduce((sum, { file }) => sum + file.size, 0),
    tensors: entries.map(({ name, info, shape, begin, end }) => ({
      name,
      dtype: info.name,
      shape,
      bytes: end - begin,
    })),
    metadata,
    checksums: isCheckpoint ? files.length + entries.length : 0,
  };
}
