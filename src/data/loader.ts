/**
 * The loader: batches of a dataset in an order that depends only on seed and epoch, and a position that a checkpoint can
 * keep. How single batches are fetched is in fetch.ts.
 *
 * @module
 */
import { isAvailable } from "../cuda.ts";
import { ArgumentError, CheckpointError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import { isOptions } from "../options.ts";
import { deviceNumber } from "../ops/creation.ts";
import { turn } from "../signals.ts";
import { type Collated, onDevice } from "./collate.ts";
import {
  type Column,
  columnsOf,
  Dataset,
  datasetOf,
  IterableDataset,
  type Row,
} from "./dataset.ts";
import { type DataLoaderOptions, type DataLoaderState, followers } from "./loader_options.ts";
import { DONE, type Fetch, fetchMapped, fetchStreamed } from "./fetch.ts";
import { seedOf, type SeedSource } from "./order.ts";
import {
  batchesOf,
  BatchSampler,
  checkBatchSize,
  RandomSampler,
  Sampler,
  SequentialSampler,
  type Sized,
} from "./sampler.ts";

/** A loader; see `DataLoader`. */
export class Loader<T, B = Collated<T>> implements AsyncIterable<B>, Iterable<B> {
  /** Where the examples come from. */
  readonly dataset: Dataset<T> | IterableDataset<T>;
  /** Examples in a batch; null where a sampler says it. */
  readonly batchSize: number | null;
  /** Whether a last batch that is not full is left out. */
  readonly dropLast: boolean;
  readonly #sampler: Sampler | (Iterable<number> & Sized) | null;
  readonly #batchSampler: BatchSampler | (Iterable<readonly number[]> & Sized) | null;
  readonly #collate: ((examples: T[]) => B | Promise<B>) | null;
  readonly #generator: SeedSource | null;
  /** Where batches go. */
  readonly #device: number;
  /** Whether they go into pinned memory. */
  readonly #pin: boolean;
  #seed: number | null = null;
  /** The epoch that runs, or, between two, the next one. */
  #epoch = 0;
  /** Batches handed out in the running epoch, or to be passed over in the next one. */
  #batch = 0;
  #pass: object | null = null;

  /** Typed by `DataLoader`. */
  constructor(dataset: unknown, batchSize?: unknown, options?: unknown) {
    const given = isOptions(options) ? options : isOptions(batchSize) ? batchSize : {};
    const [
      size,
      shuffle,
      sampler,
      batchSampler,
      workers,
      collate,
      pinMemory,
      dropLast,
      generator,
      prefetch,
      persistent,
      device,
    ] = bind(OPTIONS, [batchSize, options]) as [
      number,
      boolean,
      Sampler | (Iterable<number> & Sized) | null,
      BatchSampler | null,
      number,
      ((examples: T[]) => B | Promise<B>) | null,
      boolean,
      boolean,
      SeedSource | null,
      number | null,
      boolean,
      string | null,
    ];
    this.dataset = sourceOf(dataset) as Dataset<T> | IterableDataset<T>;
    const streamed = this.dataset instanceof IterableDataset;
    checkBatchSize("DataLoader", size);
    const named = (...names: string[]) =>
      names.filter((name) =>
        given[name] !== undefined && given[name] !== null && given[name] !== false
      );
    const clash = batchSampler !== null
      ? [
        ...named("batchSize", "shuffle", "sampler", "dropLast"),
        ...(typeof batchSize === "number" ? ["batchSize"] : []),
      ]
      : sampler !== null && shuffle
      ? ["shuffle"]
      : [];
    if (clash.length > 0) {
      throw new ArgumentError(
        `Cannot make DataLoader with ${batchSampler !== null ? "batchSampler" : "sampler"} and ${
          clash.join(", ")
        }: the one says what the other would`,
        { op: "DataLoader" },
      );
    }
    if (streamed && (shuffle || sampler !== null || batchSampler !== null)) {
      throw new ArgumentError(
        "Cannot make DataLoader of a stream with shuffle or a sampler: its examples come in their own order",
        { op: "DataLoader" },
      );
    }
    if (collate !== null && typeof collate !== "function") {
      throw new ArgumentError(
        `Cannot make DataLoader: collate must be a function, got ${show(collate)}`,
        { op: "DataLoader" },
      );
    }
    checkWorkers(this.dataset, dataset, workers, prefetch, persistent);
    this.#device = deviceNumber(device, "make DataLoader");
    // On their way to a device batches pass through pinned memory anyway.
    this.#pin = pinMemory && this.#device === 0 && isAvailable();
    this.batchSize = batchSampler === null ? size : null;
    this.dropLast = dropLast;
    this.#collate = collate;
    this.#generator = generator;
    this.#batchSampler = batchSampler;
    this.#sampler = streamed || batchSampler !== null
      ? null
      : sampler ?? (shuffle
        ? new RandomSampler(this.dataset as Dataset<T>)
        : new SequentialSampler(this.dataset as Dataset<T>));
  }

  /** How many batches an epoch has; NaN for a stream that does not know. */
  get length(): number {
    if (this.#batchSampler !== null) return this.#batchSampler.length;
    const examples = this.#sampler?.length ?? (this.dataset as { length?: number }).length;
    return typeof examples === "number" ? batchesOf(examples, this.batchSize!, this.dropLast) : NaN;
  }

  /** The batches of one epoch, each when its time has come. */
  async *[Symbol.asyncIterator](): AsyncGenerator<B, void, undefined> {
    const pass = this.#begin();
    const fetch = this.#fetch();
    try {
      while (true) {
        const waiting = turn();
        if (waiting !== null) await waiting;
        this.#ask();
        const batch = fetch.next();
        const value = batch instanceof Promise ? await batch : batch;
        if (value === DONE) return;
        this.#count(pass);
        yield onDevice(value, this.#device, this.#pin) as B;
      }
    } finally {
      const ended = fetch.end?.();
      this.#end(pass);
      if (ended instanceof Promise) await ended;
    }
  }

  /** The same without `await`. Errors: ArgumentError for a dataset or collate function that answers later. */
  *[Symbol.iterator](): Generator<B, void, undefined> {
    const pass = this.#begin();
    const fetch = this.#fetch();
    try {
      while (true) {
        this.#ask();
        const value = fetch.next();
        if (value instanceof Promise) {
          value.catch(() => {});
          throw new ArgumentError(
            "Cannot iterate a DataLoader by a plain for: its dataset or collate answers later",
            {
              op: "DataLoader",
              hint: "for await (const batch of loader)",
            },
          );
        }
        if (value === DONE) return;
        this.#count(pass);
        yield onDevice(value, this.#device, this.#pin) as B;
      }
    } finally {
      fetch.end?.();
      this.#end(pass);
    }
  }

  #seedNow(): number {
    return this.#seed ??= seedOf(this.#generator);
  }

  #begin(): object {
    // A second loop beside a running one is an epoch of its own.
    if (this.#pass !== null) {
      this.#epoch++;
      this.#batch = 0;
    }
    const pass = this.#pass = {};
    for (const hook of followers(this) ?? []) hook.begin();
    return pass;
  }

  #ask(): void {
    const following = followers(this);
    if (following !== undefined) { for (const hook of following) hook.ask(); }
  }

  #count(pass: object): void {
    if (this.#pass === pass) this.#batch++;
  }

  #end(pass: object): void {
    if (this.#pass === pass) {
      this.#pass = null;
      this.#epoch++;
      this.#batch = 0;
    }
    for (const hook of followers(this) ?? []) hook.end();
  }

  #fetch(): Fetch<B> {
    const skip = this.#batch;
    if (this.dataset instanceof IterableDataset) {
      return fetchStreamed(this.dataset, this.batchSize!, this.dropLast, this.#collate, skip);
    }
    const sampler = this.#sampler ?? this.#batchSampler!;
    if (sampler instanceof Sampler || sampler instanceof BatchSampler) {
      sampler.setEpoch(this.#epoch, this.#seedNow());
    }
    return fetchMapped(
      this.dataset,
      this.#sampler,
      this.#batchSampler,
      this.batchSize,
      this.dropLast,
      this.#collate,
      skip,
    );
  }

  /** The position: what was handed out counts as done. */
  stateDict(): DataLoaderState {
    const examples = (this.dataset as { length?: number }).length;
    return {
      epoch: this.#epoch,
      batch: this.#batch,
      seed: this.#seedNow(),
      batchSize: this.batchSize,
      examples: typeof examples === "number" ? examples : null,
    };
  }

  /**
   * Lets the next loop go on at a position.
   * Errors: CheckpointError when it lies in mid-epoch and batch size or number of examples have changed since.
   */
  loadStateDict(state: DataLoaderState): void {
    const now = this.stateDict();
    for (
      const [name, what] of [["batchSize", "examples in a batch"], [
        "examples",
        "examples",
      ]] as const
    ) {
      if (state.batch > 0 && state[name] !== now[name]) {
        throw new CheckpointError(
          `Cannot go on in the middle of epoch ${state.epoch}: it was begun with ${
            state[name]
          } ${what}, the loader has ${now[name]}`,
          { op: "loadStateDict" },
        );
      }
    }
    this.#pass = null;
    this.#epoch = state.epoch;
    this.#batch = state.batch;
    this.#seed = state.seed;
  }
}

/** How a loader is made: of a dataset, a stream or an array of examples, or of a record of columns. */
export interface MakeDataLoader {
  /** A loader of a dataset's examples. */
  new <T, B = Collated<T>>(
    dataset: Dataset<T> | IterableDataset<T> | readonly T[],
    batchSize?: number | DataLoaderOptions<T, B>,
    options?: DataLoaderOptions<T, B>,
  ): Loader<T, B>;
  /** A loader of columns. */
  new <C extends Readonly<Record<string, Column>>, B = Collated<Row<C>>>(
    columns: C,
    batchSize?: number | DataLoaderOptions<Row<C>, B>,
    options?: DataLoaderOptions<Row<C>, B>,
  ): Loader<Row<C>, B>;
}

/**
 * Batches of a dataset, for `for await`, or for a plain `for` where the dataset answers at once.
 *
 * A dataset is a `Dataset`, an `IterableDataset`, an array of examples or a record of columns. Columns (a
 * `TensorDataset`, parts of one, a record) are gathered by one native call per column and batch. The order of an epoch
 * depends only on the seed and the epoch's number. A `for await` loop gives timers, servers and signals a turn at least
 * every 50 ms; a plain `for` gives none.
 *
 * `stateDict()` holds epoch, batch and seed; after `loadStateDict` the next loop goes on with the next batch of the same
 * order. A loop that is left early ends its epoch.
 *
 * Errors: ArgumentError for options that exclude each other.
 *
 * ```ts
 * import { arange, data } from "@toro/toro";
 *
 * const loader = new data.DataLoader({ x: arange(10), y: arange(10) }, { batchSize: 4, shuffle: true, generator: 0 });
 * for (const { x, y } of loader) console.log(x.shape, x.sub(y).toArray()); // [ 4 ] [ 0, 0, 0, 0 ] …
 * console.log(loader.length); // 3
 * ```
 */
export const DataLoader: MakeDataLoader = Loader;
/** Batches of a dataset: T is an example, B a batch. */
export type DataLoader<T, B = Collated<T>> = Loader<T, B>;

Object.defineProperty(Loader, "name", { value: "DataLoader" });

const WHOLE = declare(
  DataLoader,
  "DataLoader(dataset, batchSize=1, shuffle=false, sampler=null, batchSampler=null, numWorkers=0, collate=null, " +
    "pinMemory=false, dropLast=false, generator=null, prefetchFactor=null, persistentWorkers=false, device=null)",
);
/** Without the dataset, which may itself look like options. */
const OPTIONS: Signature = {
  ...WHOLE,
  params: WHOLE.params.slice(1),
  required: 0,
  positional: WHOLE.positional - 1,
};

function sourceOf(dataset: unknown): unknown {
  if (dataset instanceof IterableDataset) return dataset;
  if (Array.isArray(dataset)) return new ArrayDataset(dataset);
  return datasetOf(dataset, "load");
}

/** Examples in an array. */
class ArrayDataset<T> extends Dataset<T> {
  readonly #examples: readonly T[];

  constructor(examples: readonly T[]) {
    super();
    this.#examples = examples;
  }

  override get length(): number {
    return this.#examples.length;
  }

  override getItem(i: number): T {
    return this.#examples[i];
  }
}

function checkWorkers(
  dataset: Dataset<unknown> | IterableDataset<unknown>,
  given: unknown,
  workers: unknown,
  prefetch: number | null,
  persistent: boolean,
): void {
  if (!(typeof workers === "number" && Number.isInteger(workers) && workers >= 0)) {
    throw new ArgumentError(
      `Cannot make DataLoader: numWorkers must be a whole number from 0 on, got ${show(workers)}`,
      {
        op: "DataLoader",
      },
    );
  }
  if (workers === 0) {
    if (prefetch === null && !persistent) return;
    throw new ArgumentError(
      `Cannot make DataLoader with ${
        persistent ? "persistentWorkers" : "prefetchFactor"
      } and numWorkers 0: there are no workers`,
      { op: "DataLoader" },
    );
  }
  // Columns are gathered by the native library's own threads.
  if (dataset instanceof Dataset && (columnsOf(dataset) !== null || Array.isArray(given))) return;
  const name = dataset.constructor.name;
  throw new ArgumentError(
    `Cannot make DataLoader with numWorkers ${workers}: a worker cannot rebuild this ${name}`,
    {
      op: "DataLoader",
      hint:
        `data.inModule(import.meta.url, ${name}, [...args]) makes one that it can, once this version has workers; until then numWorkers: 0`,
    },
  );
}
