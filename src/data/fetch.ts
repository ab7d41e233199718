/**
 * Fetching single batches: columns by native gathers, examples one by one, streams.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { IndexError, show } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { indexSelect } from "../ops/mod.ts";
import { cast } from "../ops/map.ts";
import { fromElements, Tensor } from "../tensor.ts";
import { defaultCollate } from "./collate.ts";
import {
  columnsOf,
  compose,
  type Dataset,
  type Gathered,
  type IterableDataset,
  mapColumns,
} from "./dataset.ts";
import { type BatchSampler, orderOf, type Sampler, type Sized } from "./sampler.ts";

/** No batch is left. */
export const DONE: unique symbol = Symbol("done");

/** Batches one after another. */
export interface Fetch<B> {
  /** The next batch. */
  next(): B | typeof DONE | Promise<B | typeof DONE>;
  /** Lets go of what was not read to its end. */
  end?(): void | Promise<void>;
}

type Collate<T, B> = ((examples: T[]) => B | Promise<B>) | null;

/** Batches of a dataset with numbers. */
export function fetchMapped<T, B>(
  dataset: Dataset<T>,
  sampler: Sampler | (Iterable<number> & Sized) | null,
  batchSampler: BatchSampler | (Iterable<readonly number[]> & Sized) | null,
  batchSize: number | null,
  dropLast: boolean,
  collate: Collate<T, B>,
  skip: number,
): Fetch<B> {
  const gathered = collate === null ? columnsOf(dataset) : null;
  const order = sampler === null ? null : orderOf(sampler);
  if (order !== null && gathered !== null) {
    return gatherOrder(gathered, order, batchSize!, dropLast, skip) as Fetch<B>;
  }
  const batches = order !== null
    ? slices(order, batchSize!, dropLast, skip)
    : skipped(batchSampler ?? grouped(sampler!, batchSize!, dropLast), skip);
  const fetch: (indices: ArrayLike<number>) => B | Promise<B> = gathered !== null
    ? (indices) => gather(gathered, checked(indices, dataset.length)) as B
    : (indices) => examples(dataset, indices, collate);
  return {
    next() {
      const { done, value } = batches.next();
      return done ? DONE : fetch(value);
    },
    end() {
      batches.return?.();
    },
  };
}

function* slices(
  order: Int32Array,
  batchSize: number,
  dropLast: boolean,
  skip: number,
): Generator<Int32Array> {
  for (let from = skip * batchSize; from < order.length; from += batchSize) {
    if (dropLast && from + batchSize > order.length) return;
    yield order.subarray(from, from + batchSize);
  }
}

function* grouped(
  sampler: Iterable<number>,
  batchSize: number,
  dropLast: boolean,
): Generator<number[]> {
  let batch: number[] = [];
  for (const i of sampler) {
    if (batch.push(i) < batchSize) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0 && !dropLast) yield batch;
}

function skipped(batches: Iterable<ArrayLike<number>>, skip: number): Iterator<ArrayLike<number>> {
  const iterator = batches[Symbol.iterator]();
  for (let i = 0; i < skip; i++) iterator.next();
  return iterator;
}

/** Numbers from a sampler of the user's own. */
function checked(indices: ArrayLike<number>, length: number): ArrayLike<number> {
  for (let i = 0; i < indices.length; i++) {
    const n = indices[i];
    if (Number.isInteger(n) && n >= 0 && n < length) continue;
    throw new IndexError(
      `Cannot load example ${show(n)}: the dataset has examples 0 to ${length - 1}`,
      { op: "DataLoader" },
    );
  }
  return indices;
}

function examples<T, B>(
  dataset: Dataset<T>,
  indices: ArrayLike<number>,
  collate: Collate<T, B>,
): B | Promise<B> {
  const items: (T | Promise<T>)[] = [];
  let later = false;
  for (let i = 0; i < indices.length; i++) {
    const item = dataset.getItem(indices[i]);
    later ||= item instanceof Promise;
    items.push(item);
  }
  const join = collate ?? (defaultCollate as unknown as (examples: T[]) => B);
  return later ? Promise.all(items).then(join) : join(items as T[]);
}

/** Row numbers as a tensor that a gather takes. */
function indexTensor(rows: Int32Array): Tensor {
  return quietly(() => cast(fromElements(rows, "int32", [rows.length]), "int64"));
}

/** Data has no history, and no scope around a loop frees it. */
function quietly<R>(body: () => R): R {
  return unscoped(() => inMode(false, body));
}

/** One batch of columns. */
function gather({ columns, rows }: Gathered, indices: ArrayLike<number>): unknown {
  const wanted = compose(rows, indices);
  return quietly(() => {
    const index = indexTensor(wanted);
    return mapColumns(
      columns,
      (column) =>
        column instanceof Tensor
          ? indexSelect(column, 0, index)
          : Array.from(wanted, (i) => column[i]),
    );
  });
}

/** Batches of columns in an order that is known: its row numbers go to native memory once an epoch. */
function gatherOrder(
  { columns, rows }: Gathered,
  order: Int32Array,
  batchSize: number,
  dropLast: boolean,
  skip: number,
): Fetch<unknown> {
  const wanted = compose(rows, order), n = wanted.length;
  const index = indexTensor(wanted);
  let from = skip * batchSize;
  return {
    next() {
      const size = Math.min(batchSize, n - from);
      if (size <= 0 || (dropLast && size < batchSize)) return DONE;
      const at = from;
      from += size;
      return quietly(() => {
        const part = new Tensor(index.storage, index.info, [size], [1], at);
        return mapColumns(
          columns,
          (column) =>
            column instanceof Tensor
              ? indexSelect(column, 0, part)
              : Array.from(wanted.subarray(at, at + size), (i) => column[i]),
        );
      });
    },
  };
}

/** Batches of a stream. */
export function fetchStreamed<T, B>(
  dataset: IterableDataset<T>,
  batchSize: number,
  dropLast: boolean,
  collate: Collate<T, B>,
  skip: number,
): Fetch<B> {
  const stream = dataset[Symbol.asyncIterator]();
  const join = collate ?? (defaultCollate as unknown as (examples: T[]) => B);
  let left = skip * batchSize, ended = false;
  return {
    async next() {
      for (; left > 0 && !ended; left--) ended = (await stream.next()).done === true;
      const batch: T[] = [];
      while (!ended && batch.length < batchSize) {
        const { done, value } = await stream.next();
        if (done) ended = true;
        else batch.push(value);
      }
      return batch.length === 0 || (dropLast && batch.length < batchSize) ? DONE : join(batch);
    },
    async end() {
      if (!ended) await stream.return?.();
    },
  };
}
