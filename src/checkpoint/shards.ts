/**
 * Files of one state: how tensors are spread over them, their names, and the index, in Hugging Face's layout.
 *
 * @module
 */
import { basename, dirname, join } from "@std/path";
import type { Head } from "../../ffi/file_writer.ts";
import { openFile } from "../../ffi/tensor_files.ts";
import { CheckpointError, ToroError } from "../errors.ts";
import { brief, cut, parseJson, parsing } from "./json.ts";
import { SafetensorsFile, verifyText, VERSION } from "./reader.ts";
import { CHECKSUM, type Described, DIGITS } from "./safetensors.ts";

/** More than an index has: one of 100,000 tensors has 10 MB. */
const MOST_INDEX = 100_000_000;
/** Deeper than any index. */
const MOST_DEPTH = 8;
/** Bytes of a file's name that no file system exceeds. */
const MOST_NAME = 255;

/** Whether a path is an index's. */
export function isIndex(path: string): boolean {
  return path.endsWith(".index.json");
}

/** Where the index of a path is. */
export function indexPath(path: string): string {
  return `${path}.index.json`;
}

/** Spreads tensors over files of at most so many bytes; a larger tensor has one of its own. */
export function shardsOf<T extends Described>(
  tensors: readonly [string, T][],
  most: number,
): [string, T][][] {
  const shards: [string, T][][] = [[]];
  let bytes = 0;
  for (const each of tensors) {
    const own = each[1].numel * each[1].info.size;
    if (bytes + own > most && bytes > 0) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(each);
    bytes += own;
  }
  return shards;
}

function stemOf(path: string): string {
  return basename(path).replace(/\.index\.json$/, "").replace(/\.safetensors$/, "");
}

/**
 * Names for new files beside a path. They are Hugging Face's where none of those is taken; else a mark stands in them, so
 * that the files of the present index stay until the new one is in its place.
 */
export function shardNames(path: string, count: number, mark: string): string[] {
  const stem = stemOf(path), of = String(count).padStart(5, "0");
  const names = (mark: string) =>
    Array.from(
      { length: count },
      (_, i) => `${stem}${mark}-${String(i + 1).padStart(5, "0")}-of-${of}.safetensors`,
    );
  const taken = new Set(namesIn(dirname(path))), plain = names("");
  return plain.some((name) => taken.has(name)) ? names(`-${mark}`) : plain;
}

function namesIn(folder: string): string[] {
  // Who may not look finds nothing to remove, and is not asked.
  if (Deno.permissions.querySync({ name: "read", path: folder }).state !== "granted") return [];
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return [];
  }
}

/** What follows a stem in the name of a file of several, with a mark or without. */
const SHARD = /^(-[0-9a-f]{8})?-\d{5}-of-\d{5}\.safetensors$/;

/** Whether Toro wrote a file as one of several. */
function isOurs(path: string): boolean {
  try {
    using file = new SafetensorsFile(path);
    return file.header.metadata.toro_save !== undefined;
  } catch {
    return false;
  }
}

/**
 * What a new checkpoint under a path stands for: an index that Toro wrote and its files, and those of writers that were
 * killed before their index was there, or could not remove what it stood for. Nothing that others wrote.
 */
export function oldFiles(path: string): string[] {
  const stem = stemOf(path), folder = dirname(path), index = `${stem}.safetensors.index.json`;
  const names = namesIn(folder);
  const cut = names.filter((name) => {
    const found = name.startsWith(stem) && SHARD.exec(name.slice(stem.length));
    return found && (found[1] !== undefined || isOurs(join(folder, name)));
  });
  const known: string[] = [];
  if (names.includes(index)) {
    try {
      const { metadata, files } = readIndex(join(folder, index));
      if (metadata.toro_version !== undefined) known.push(index, ...files.keys());
    } catch (error) {
      if (error instanceof ToroError && error.name === "NativeError") throw error;
      // What is no index of ours stays.
    }
  }
  return [...new Set([...known, ...cut])].map((name) => join(folder, name));
}

/** The index as bytes, yet without its checksum. */
export function indexHead(
  shards: readonly (readonly (readonly [string, Described])[])[],
  names: readonly string[],
  facts: Readonly<Record<string, string>>,
): Head {
  const weights: string[] = [];
  let total = 0;
  shards.forEach((shard, i) => {
    for (const [name, { numel, info }] of shard) {
      weights.push(`    ${JSON.stringify(name)}: ${JSON.stringify(names[i])}`);
      total += numel * info.size;
    }
  });
  const metadata = JSON.stringify({
    total_size: total,
    [CHECKSUM]: "0".repeat(DIGITS),
    ...facts,
  });
  const text = `{\n  "metadata": ${metadata},\n  "weight_map": {\n${weights.join(",\n")}\n  }\n}\n`;
  const sum = text.indexOf(`"${CHECKSUM}":"`) + CHECKSUM.length + 4;
  return { bytes: new TextEncoder().encode(text), sums: sum, sum };
}

/** What an index says. */
export interface Index {
  /** Texts by name; empty of another program's. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The tensors' names by file, in the folder of the index. */
  readonly files: ReadonlyMap<string, readonly string[]>;
}

/** Reads and checks an index; of the files nothing is read. */
export function readIndex(path: string): Index {
  using file = openFile(path);
  if (file.size > MOST_INDEX) {
    throw new CheckpointError(`it has ${file.size} bytes, and an index at most ${MOST_INDEX}`);
  }
  const bytes = file.readBytes(0, file.size);
  const parsed = parsing("it is no index", () => parseJson(bytes, MOST_DEPTH)) as {
    metadata?: Record<string, unknown>;
    weight_map?: Record<string, unknown>;
  } | null;
  const { metadata = {}, weight_map: weights } = parsed ?? {};
  const isObject = (x: unknown) => typeof x === "object" && x !== null && !Array.isArray(x);
  if (!isObject(metadata) || !isObject(weights)) {
    throw new CheckpointError("it is no index: it has no weight_map");
  }
  if (Object.keys(metadata).some((key) => key.startsWith("toro_"))) {
    verifyText(bytes, metadata[CHECKSUM]);
    if (metadata.toro_version !== VERSION) {
      throw new CheckpointError(
        `it was written by another version of Toro (format ${metadata.toro_version}); this one reads ${VERSION}`,
      );
    }
  }
  const files = new Map<string, string[]>();
  for (const [name, value] of Object.entries(weights!)) {
    const isName = typeof value === "string" && /^[^/\\\0]+$/.test(value) && value !== ".." &&
      value !== "." && value.length <= MOST_NAME;
    if (!isName) {
      throw new CheckpointError(
        `it is damaged: tensor ${cut(name)} lies in ${brief(value)}, which names no file beside it`,
      );
    }
    const names = files.get(value);
    if (names === undefined) files.set(value, [name]);
    else names.push(name);
  }
  const texts = Object.entries(metadata).filter(([, v]) => typeof v === "string");
  return { metadata: Object.fromEntries(texts) as Record<string, string>, files };
}
