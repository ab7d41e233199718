/**
 * Tables from files: Parquet and CSV columns as tensors and strings, read by the native library.
 *
 * @module
 */
import { checkedPath } from "../../ffi/files.ts";
import { jobAsync, type JobResult } from "../../ffi/library.ts";
import { ArgumentError, DataError, NativeError, show } from "../errors.ts";
import { tensor } from "../ops/creation.ts";
import type { Tensor } from "../tensor.ts";

/** What a column can be read as. `timestamp` gives int64 milliseconds since 1970-01-01 UTC. */
export type ColumnType =
  | "float32"
  | "float64"
  | "int64"
  | "int32"
  | "int16"
  | "int8"
  | "uint8"
  | "bool"
  | "string"
  | "timestamp";

/** A column's type and what becomes of its missing values. */
export interface ColumnOptions {
  /** What the column is read as. */
  readonly dtype: ColumnType;
  /** Stands in for missing values. Without it they are NaN in a float column and an error in any other. */
  readonly fill?: number | boolean | string;
  /** Name of an extra bool column that is true where a value is present. */
  readonly mask?: string;
}

/** A column as it is asked for. */
export type ColumnSpec = ColumnType | ColumnOptions;

/** Columns by name. */
export type ColumnSpecs = { readonly [name: string]: ColumnSpec };

/** What one column becomes: strings, or a tensor of one dim. */
export type ColumnValue<S> = S extends "string" | { readonly dtype: "string" } ? string[] : Tensor;
/** The name of a column's mask, if it has one. */
export type MaskName<S> = S extends { readonly mask: infer M extends string } ? M : never;
/** The masks of a set of columns, by the names they were given. */
export type Masks<S extends ColumnSpecs> = { [K in keyof S as MaskName<S[K]>]: Tensor };

/** The record that a set of columns gives: tensors of one dim, string arrays, and masks under their own names. */
export type Table<S extends ColumnSpecs> =
  & { -readonly [K in keyof S]: ColumnValue<S[K]> }
  & Masks<S>;

/** Options of {@linkcode readParquet}. */
export interface ParquetOptions<C> {
  /** Column types by name, or names of numeric columns. */
  columns: C;
}

/** How a CSV file is written. */
export interface CsvFormat {
  /** Between two cells; default a comma. */
  delimiter?: string;
  /** Whether the first line holds the names (default true), or the names themselves. */
  header?: boolean | readonly string[];
  /** Texts that count as missing beside the empty cell, such as `NA`. */
  missing?: readonly string[];
}

/** Options of {@linkcode readCsv}. */
export interface CsvOptions<C> extends CsvFormat {
  /** Column types by name, or names of numeric columns. */
  columns: C;
}

/** A table whose columns were not named: which are tensors shows at run time. */
export type AnyTable = Record<string, Tensor | string[]>;

/**
 * Reads columns of a Parquet file.
 *
 * Types are cast with checks: a fraction into an integer, a value out of range or a string into a
 * number is a DataError that names file, column, row (from 0) and value. Dates and times come as
 * int64 milliseconds since 1970-01-01 UTC, decimals as float64. A missing value is NaN in a float
 * column; in any other say what it becomes: `{ dtype: "int64", fill: -1 }` or
 * `{ dtype: "int64", mask: "userKnown" }`, which adds a bool column. Without `columns` every column
 * is read in its own type. Nested columns are not read.
 *
 * Errors: DataError; the permission it needs is `--allow-read` for the path.
 *
 * ```ts ignore
 * const { user, label, name } = await data.readParquet("sales.parquet", {
 *   columns: { user: "int64", label: "float32", name: "string" },
 * });
 * ```
 */
export function readParquet<const N extends string>(
  path: string | URL,
  options: ParquetOptions<readonly N[]>,
): Promise<Record<N, Tensor>>;
/** Reads columns by name and type. */
export function readParquet<const S extends ColumnSpecs>(
  path: string | URL,
  options: ParquetOptions<S>,
): Promise<Table<S>>;
/** Reads every column in its own type. */
export function readParquet(path: string | URL): Promise<AnyTable>;
export function readParquet(
  path: string | URL,
  options: Partial<ParquetOptions<ColumnSpecs | readonly string[]>> = {},
): Promise<unknown> {
  return read("readParquet", "parquet", path, options.columns, {});
}

/**
 * Reads columns of a CSV file: RFC 4180 quoting, any line end, with or without a byte-order mark.
 *
 * Without `columns` each column is the narrowest of int64, float32 and string that holds its cells.
 * Casts and missing values are as in {@linkcode readParquet}, errors name the line; an empty cell is
 * missing, but in a string column without `fill` and `mask` it is an empty string.
 *
 * Errors: DataError; the permission it needs is `--allow-read` for the path.
 *
 * ```ts ignore
 * const { LIMIT_BAL, AGE } = await data.readCsv("credit.csv", { columns: ["LIMIT_BAL", "AGE"] });
 * ```
 */
export function readCsv<const N extends string>(
  path: string | URL,
  options: CsvOptions<readonly N[]>,
): Promise<Record<N, Tensor>>;
/** Reads columns by name and type. */
export function readCsv<const S extends ColumnSpecs>(
  path: string | URL,
  options: CsvOptions<S>,
): Promise<Table<S>>;
/** Reads every column in the type that fits it. */
export function readCsv(path: string | URL, options?: CsvFormat): Promise<AnyTable>;
export function readCsv(
  path: string | URL,
  options: Partial<CsvOptions<ColumnSpecs | readonly string[]>> = {},
): Promise<unknown> {
  const { columns, delimiter, header, missing } = options;
  return read("readCsv", "csv", path, columns, { delimiter, header, missing });
}

interface NativeColumn {
  name: string;
  dtype: Exclude<ColumnType, "timestamp">;
  buffer: number;
  offsets?: number;
  offsetsDtype?: "int32" | "float64";
  mask?: number;
}

async function read(
  op: string,
  kind: "parquet" | "csv",
  path: string | URL,
  columns: ColumnSpecs | readonly string[] | undefined,
  format: CsvFormat,
): Promise<AnyTable> {
  const wanted = columns === undefined ? null : requestOf(op, columns);
  const resolved = checkedPath(path, "read");
  let result: JobResult;
  try {
    result = await jobAsync(kind, { path: resolved, columns: wanted, ...format });
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    const [message, hint] = error.message.split("\nHint: ");
    throw new DataError(message, { op, hint, cause: error });
  }
  const entries: [string, Tensor | string[]][] = [];
  const { columns: list } = result.json as { columns: NativeColumn[] };
  list.forEach((column, i) => {
    entries.push([
      column.name,
      column.dtype === "string" ? strings(column, result) : numbers(column, result),
    ]);
    const mask = wanted?.[i].maskName;
    if (mask !== undefined) {
      entries.push([mask, tensor(result.buffers[column.mask!], { dtype: "bool" })]);
    }
  });
  return Object.fromEntries(entries);
}

interface WantedColumn {
  name: string;
  dtype: string;
  fill?: number | boolean | string;
  mask: boolean;
  maskName?: string;
}

function requestOf(op: string, columns: ColumnSpecs | readonly string[]): WantedColumn[] {
  const list: WantedColumn[] = Array.isArray(columns)
    ? columns.map((name) => ({ name, dtype: "number", mask: false }))
    : Object.entries(columns as ColumnSpecs).map(([name, spec]) => {
      const { dtype, fill, mask } = typeof spec === "string"
        ? { dtype: spec } as ColumnOptions
        : spec;
      return { name, dtype, fill, mask: mask !== undefined, maskName: mask };
    });
  const seen = new Set<string>();
  for (const name of list.flatMap((column) => [column.name, column.maskName ?? []]).flat()) {
    if (!seen.has(name)) seen.add(name);
    else throw new ArgumentError(`Cannot ${op}: two columns would be named ${show(name)}`, { op });
  }
  if (list.length === 0) throw new ArgumentError(`Cannot ${op}: columns is empty`, { op });
  return list;
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
} as const;

function numbers(column: NativeColumn, { buffers }: JobResult): Tensor {
  const bytes = buffers[column.buffer];
  if (column.dtype === "bool") return tensor(bytes, { dtype: "bool" });
  return tensor(new ARRAYS[column.dtype as keyof typeof ARRAYS](own(bytes)));
}

/** The bytes as an ArrayBuffer of their own, which a typed array of wider elements can begin with. */
function own(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

function strings(column: NativeColumn, { buffers }: JobResult): string[] {
  const bytes = buffers[column.buffer], raw = own(buffers[column.offsets!]);
  const ends = column.offsetsDtype === "float64" ? new Float64Array(raw) : new Int32Array(raw);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }), length = ends.length - 1;
  // One decoding for all is four times as fast, and offsets mean the same where all is ASCII.
  const whole = bytes.length < 2 ** 28 ? decoder.decode(bytes) : "";
  const ascii = whole.length === bytes.length;
  const text = ascii
    ? (from: number, to: number) => whole.slice(from, to)
    : (from: number, to: number) => decoder.decode(bytes.subarray(from, to));
  return Array.from({ length }, (_, i) => text(ends[i], ends[i + 1]));
}
