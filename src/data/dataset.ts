/**
 * Where examples come from: datasets by number, streams, columns of tensors, parts of a dataset.
 *
 * @module
 */
import { ArgumentError, IndexError, ShapeError, show } from "../errors.ts";
import { isOptions, optionsOf } from "../options.ts";
import { Tensor } from "../tensor.ts";
import { permutation, seedOf, type SeedSource } from "./order.ts";

/**
 * Examples by number.
 *
 * ```ts
 * import { data } from "@toro/toro";
 *
 * class Squares extends data.Dataset<{ x: number; y: number }> {
 *   override readonly length = 100;
 *   override getItem(i: number): { x: number; y: number } {
 *     return { x: i, y: i * i };
 *   }
 * }
 * for await (const { x, y } of new data.DataLoader(new Squares(), { batchSize: 32 })) {
 *   console.log(x.shape, y.dtype); // [ 32 ] float32
 *   break;
 * }
 * ```
 */
export abstract class Dataset<T> {
  /** How many examples there are. */
  abstract readonly length: number;
  /** The example of a number from 0 to length - 1. */
  abstract getItem(i: number): T | Promise<T>;
}

/** Examples one after another, of which nobody needs to know how many. A pass starts anew with each loop. */
export abstract class IterableDataset<T> implements AsyncIterable<T> {
  /** The examples of one pass. */
  abstract [Symbol.asyncIterator](): AsyncIterator<T>;
}

/** A column: a tensor whose first dim counts the examples, or one string for each. */
export type Column = Tensor | readonly string[];
/** Columns of one length, by name or in order. */
export type Columns = Readonly<Record<string, Column>> | readonly Column[];

/** One example of columns: a tensor without the first dim, or a string, for each. */
export type Row<C> = {
  -readonly [K in keyof C]: C[K] extends Tensor ? Tensor : C[K] extends Column ? string
  : never;
};

/** Whether a value is a plain record of columns. */
export function isColumns(value: unknown): value is Readonly<Record<string, Column>> {
  return isOptions(value) && Object.keys(value).length > 0 && Object.values(value).every(isColumn);
}

function isColumn(value: unknown): value is Column {
  return value instanceof Tensor || (Array.isArray(value) && typeof (value[0] ?? "") === "string");
}

/**
 * Tensors of one length as a dataset: by name, as `readParquet` returns them, or in order. A loader gathers whole batches
 * in native code. String columns may stand among them.
 *
 * Errors: ShapeError when lengths differ; ArgumentError for anything but tensors and string arrays.
 *
 * ```ts
 * import { data, tensor } from "@toro/toro";
 *
 * const points = new data.TensorDataset({ x: tensor([[1, 2], [3, 4], [5, 6]]), y: tensor([0, 1, 0]) });
 * console.log(points.length, points.getItem(1).x.toArray()); // 3 [ 3, 4 ]
 * const pairs = new data.TensorDataset(tensor([1, 2]), tensor([3, 4])); // as in PyTorch
 * ```
 */
export class TensorDataset<C extends Columns> extends Dataset<Row<C>> {
  /** The columns. */
  readonly columns: C;
  override readonly length: number;

  /** Columns in one record or tuple. */
  constructor(columns: C);
  /** Tensors in order. */
  constructor(...columns: C extends readonly Column[] ? C : never);
  constructor(...given: unknown[]) {
    super();
    const tuple = given.length > 1 || given[0] instanceof Tensor;
    const columns = (tuple ? given : given[0]) as C;
    const entries = columns === null || typeof columns !== "object" ? [] : Object.entries(columns);
    const wrong = entries.find(([, column]) => !isColumn(column));
    if (entries.length === 0 || wrong !== undefined) {
      const what = wrong === undefined ? show(columns) : `column ${wrong[0]}, ${show(wrong[1])}`;
      throw new ArgumentError(
        `Cannot make TensorDataset of ${what}: columns are tensors or arrays of strings`,
        {
          op: "TensorDataset",
        },
      );
    }
    let first: [string, number] | null = null;
    for (const [name, column] of entries) {
      if (column instanceof Tensor && column.ndim === 0) {
        throw new ShapeError(
          `Cannot make TensorDataset: column ${name} has no dim that counts the examples`,
          {
            op: "TensorDataset",
          },
        );
      }
      const length = column instanceof Tensor ? column.shape[0] : column.length;
      first ??= [name, length];
      if (length !== first[1]) {
        throw new ShapeError(
          `Cannot make TensorDataset: column ${first[0]} has ${
            first[1]
          } examples and column ${name} has ${length}`,
          { op: "TensorDataset" },
        );
      }
    }
    this.columns = columns;
    this.length = first![1];
  }

  override getItem(i: number): Row<C> {
    checkNumber(i, this.length);
    return mapColumns(
      this.columns,
      (column) => column instanceof Tensor ? rowOf(column, i) : column[i],
    ) as Row<C>;
  }
}

function checkNumber(i: number, length: number): void {
  if (Number.isInteger(i) && i >= 0 && i < length) return;
  throw new IndexError(`Cannot getItem ${show(i)}: the dataset has examples 0 to ${length - 1}`, {
    op: "getItem",
  });
}

/** A view of one row, which shares the column's memory. */
function rowOf(column: Tensor, i: number): Tensor {
  const { storage, info, shape, strides, offset } = column;
  return new Tensor(storage, info, shape.slice(1), strides.slice(1), offset + i * strides[0]);
}

/** Each column mapped, in a tuple or record as the columns are. */
export function mapColumns(columns: Columns, map: (column: Column) => unknown): unknown {
  if (Array.isArray(columns)) return columns.map(map);
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, map(column)]));
}

/** Some examples of a dataset, under numbers of their own. */
export class Subset<T> extends Dataset<T> {
  /** The whole. */
  readonly dataset: Dataset<T>;
  /** Numbers in the whole. */
  readonly indices: ArrayLike<number>;

  /** The examples of these numbers. Errors: IndexError for one that is out of range. */
  constructor(dataset: Dataset<T>, indices: ArrayLike<number>) {
    super();
    if (typeof dataset?.length !== "number" || typeof indices?.length !== "number") {
      throw new ArgumentError(
        `Cannot make Subset of ${show(dataset)} with ${
          show(indices)
        }: it takes a Dataset and its numbers`,
        { op: "Subset" },
      );
    }
    this.dataset = dataset;
    this.indices = indices;
    const { length } = dataset;
    for (let i = 0; i < indices.length; i++) {
      if (Number.isInteger(indices[i]) && indices[i] >= 0 && indices[i] < length) continue;
      throw new IndexError(
        `Cannot make Subset: index ${
          show(indices[i])
        } at ${i} is out of range for ${length} examples`,
        { op: "Subset" },
      );
    }
  }

  override get length(): number {
    return this.indices.length;
  }

  override getItem(i: number): T | Promise<T> {
    checkNumber(i, this.length);
    return this.dataset.getItem(this.indices[i]);
  }
}

/** What can be split or loaded by number: a dataset, or a plain record of columns. */
export type MapSource<T> = Dataset<T> | Readonly<Record<string, Column>>;
/** The example type of a source. */
export type ExampleOf<S> = S extends Dataset<infer T> ? T
  : S extends IterableDataset<infer T> ? T
  : Row<S>;

/** The source as a dataset: a record of columns becomes a TensorDataset. */
export function datasetOf(source: unknown, op: string): Dataset<unknown> {
  if (source instanceof Dataset) return source;
  if (isColumns(source)) return new TensorDataset(source);
  throw new ArgumentError(
    `Cannot ${op} ${
      show(source)
    }: it must be a Dataset, or a record of tensors and string arrays of one length`,
    { op },
  );
}

/** Options of `randomSplit`. */
export interface RandomSplitOptions {
  /** A seed, or what has one; default: the seed of `manualSeed`. */
  generator?: SeedSource | null;
}

/** A subset for each length. */
export type Split<L extends readonly number[], T> = { -readonly [K in keyof L]: Subset<T> };

/**
 * Splits a dataset at random into parts of given lengths, or of given fractions when they sum to 1. What fractions leave
 * over goes to the parts in turn. The same seed gives the same parts.
 *
 * Errors: ArgumentError when lengths do not sum to the dataset's.
 *
 * ```ts
 * import { arange, data } from "@toro/toro";
 * const [train, valid] = data.randomSplit({ x: arange(10) }, [0.8, 0.2], { generator: 1 });
 * console.log(train.length, valid.length); // 8 2
 * ```
 */
export function randomSplit<S extends MapSource<unknown>, const L extends readonly number[]>(
  dataset: S,
  lengths: L,
  options: RandomSplitOptions = {},
): Split<L, ExampleOf<S>> {
  const { generator = null } = optionsOf("randomSplit", options, ["generator"]);
  const whole = datasetOf(dataset, "randomSplit"), n = whole.length;
  if (!Array.isArray(lengths) || !lengths.every((x) => typeof x === "number")) {
    throw new ArgumentError(
      `Cannot randomSplit ${n} examples into ${show(lengths)}: lengths must be an array of numbers`,
      { op: "randomSplit" },
    );
  }
  const sum = lengths.reduce((a, b) => a + b, 0);
  const fractions = Math.abs(sum - 1) < 1e-6 && lengths.every((x) => x >= 0 && x <= 1);
  let sizes: number[];
  if (fractions && !(n === 1 && lengths.every(Number.isInteger))) {
    sizes = lengths.map((f) => Math.floor(f * n + 1e-9));
    let left = n - sizes.reduce((a, b) => a + b, 0);
    for (let i = 0; left > 0; i = (i + 1) % sizes.length, left--) sizes[i]++;
  } else {
    if (sum !== n || !lengths.every((x) => Number.isInteger(x) && x >= 0)) {
      throw new ArgumentError(
        `Cannot randomSplit ${n} examples into ${
          show(lengths)
        }: lengths must sum to ${n}, or fractions to 1`,
        { op: "randomSplit" },
      );
    }
    sizes = [...lengths];
  }
  const order = permutation(n, seedOf(generator), SPLIT);
  let from = 0;
  return sizes.map((size) => new Subset(whole, order.subarray(from, from += size))) as Split<
    L,
    ExampleOf<S>
  >;
}

/** Keeps a split's order apart from the orders of epochs. */
const SPLIT = -1;

/** Columns behind a dataset, and which rows of them it has; null when examples must be asked for one by one. */
export interface Gathered {
  readonly columns: Columns;
  /** Row numbers, null for all in order. */
  readonly rows: Int32Array | null;
}

/** Looks through subsets down to columns. */
export function columnsOf(dataset: Dataset<unknown>): Gathered | null {
  // A subclass that changes what an example is must be asked for each.
  if (dataset instanceof TensorDataset && dataset.getItem === TensorDataset.prototype.getItem) {
    return { columns: dataset.columns, rows: null };
  }
  if (dataset instanceof Subset && dataset.getItem === Subset.prototype.getItem) {
    const below = columnsOf(dataset.dataset);
    return below && { columns: below.columns, rows: compose(below.rows, dataset.indices) };
  }
  return null;
}

/** The rows behind some numbers of a subset. */
export function compose(rows: Int32Array | null, indices: ArrayLike<number>): Int32Array {
  if (rows === null) return indices instanceof Int32Array ? indices : Int32Array.from(indices);
  const out = new Int32Array(indices.length);
  for (let i = 0; i < out.length; i++) out[i] = rows[indices[i]];
  return out;
}
