// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME examples/guide/04_data.ts
//
// Chapter 4, data: a dataset of a million items behind a cache, its loader, and noise, masks and a norm on each batch.
// --items, --batch, --cache and --batches make it smaller.
import { parseArgs } from "@std/cli/parse-args";
import { data, manualSeed, nn, type Tensor, tensor } from "@toro/toro";

/** What is kept for who asks again: when it is full, what has not been asked for longest goes first. */
export class LruCache<K, V> {
  /** How often a key was there. */
  hits = 0;
  /** How often it was not. */
  misses = 0;
  /** Bytes of what is kept. */
  bytes = 0;
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly #bytesOf: (value: V) => number;
  /** A Map lists its keys in the order of their insertion: the oldest first. */
  readonly #kept: Map<K, V> = new Map();

  constructor(
    bytesOf: (value: V) => number,
    { maxItems = Infinity, maxBytes = Infinity }: { maxItems?: number; maxBytes?: number } = {},
  ) {
    this.#bytesOf = bytesOf;
    this.maxItems = maxItems;
    this.maxBytes = maxBytes;
  }

  /** How many values are kept. */
  get size(): number {
    return this.#kept.size;
  }

  /** The keys, that which goes next first. */
  keys(): K[] {
    return [...this.#kept.keys()];
  }

  /** The value of a key, made if it is not there. */
  get(key: K, make: () => V): V {
    let value = this.#kept.get(key);
    if (value !== undefined) {
      this.hits++;
      this.#kept.delete(key);
      this.#kept.set(key, value);
      return value;
    }
    this.misses++;
    value = make();
    this.#kept.set(key, value);
    this.bytes += this.#bytesOf(value);
    for (const [oldest, old] of this.#kept) {
      if (this.#kept.size <= this.maxItems && this.bytes <= this.maxBytes) break;
      this.#kept.delete(oldest);
      this.bytes -= this.#bytesOf(old);
    }
    return value;
  }
}

/** An item: features (100), and a label of 0 or 1 (1). */
export type Item = [features: Tensor, label: Tensor];

/** How many features an item has. */
export const FEATURES = 100;

/** Options of `EnterpriseDataset`. */
export interface EnterpriseDatasetOptions {
  /** How many items there are; default a million. */
  numItems?: number;
  /** Applied to the features each time an item is asked for, so that noise is new each time. */
  transform?: ((features: Tensor) => Tensor) | null;
  /** Items that the cache may hold; default 10,000. */
  cacheSize?: number;
  /** Bytes that the cache may hold. */
  cacheBytes?: number;
  /** What the items come from: the same seed and number, the same item. */
  seed?: number;
}

/** Items that stand for rows of a database: each is made from its number when it is asked for, and kept for a while. */
export class EnterpriseDataset extends data.Dataset<Item> {
  override readonly length: number;
  readonly cache: LruCache<number, Item>;
  readonly transform: ((features: Tensor) => Tensor) | null;
  readonly seed: number;

  constructor(
    {
      numItems = 1_000_000,
      transform = null,
      cacheSize = 10_000,
      cacheBytes = Infinity,
      seed = 0,
    }: EnterpriseDatasetOptions = {},
  ) {
    super();
    this.length = numItems;
    this.transform = transform;
    this.seed = seed;
    const bytesOf = (item: Item) => item.reduce((sum, t) => sum + t.nbytes, 0);
    this.cache = new LruCache(bytesOf, { maxItems: cacheSize, maxBytes: cacheBytes });
  }

  override getItem(index: number): Item {
    const [features, label] = this.cache.get(index, () => this.#load(index));
    return [this.transform === null ? features : this.transform(features), label];
  }

  /** Stands for a read: normal numbers, and whether the first ten of them are positive on the whole. */
  #load(index: number): Item {
    const random = randomNumbers(this.seed, index), features = new Float32Array(FEATURES);
    let sum = 0;
    for (let i = 0; i < FEATURES; i += 2) {
      // Two uniform numbers make two normal ones (Box and Muller 1958).
      const radius = Math.sqrt(-2 * Math.log(1 - random())), angle = 2 * Math.PI * random();
      features[i] = radius * Math.cos(angle);
      features[i + 1] = radius * Math.sin(angle);
      if (i < 10) sum += features[i] + features[i + 1];
    }
    return [tensor(features), tensor([sum > 0 ? 1 : 0])];
  }
}

/** Uniform numbers in [0, 1) that belong to a seed and an index (mulberry32 behind a mixed start). */
function randomNumbers(seed: number, index: number): () => number {
  let state = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A loader in a new order each epoch. With workers they live on between epochs and load two batches ahead each; columns
 * in memory are gathered by native threads and need none, so there are none unless asked for.
 */
export function createEnterpriseDataloader<T>(
  dataset: data.Dataset<T>,
  { batchSize = 1024, numWorkers = 0 }: { batchSize?: number; numWorkers?: number } = {},
): data.DataLoader<T> {
  return new data.DataLoader(dataset, {
    batchSize,
    shuffle: true,
    numWorkers,
    pinMemory: true,
    ...numWorkers > 0 && { persistentWorkers: true, prefetchFactor: 2 },
  });
}

/** Noise and failing sensors in training, then every feature brought to mean 0 and deviation 1. (B, C) → (B, C). */
export class DataPreprocessingPipeline extends nn.Module {
  transforms: nn.Sequential;

  constructor(
    { numFeatures = FEATURES, std = 0.01, maskRatio = 0.1 }: {
      numFeatures?: number;
      std?: number;
      maskRatio?: number;
    } = {},
  ) {
    super();
    this.transforms = new nn.Sequential(
      new nn.Sequential(new data.AddGaussianNoise(std), new data.RandomMask(maskRatio)),
      new nn.BatchNorm1d(numFeatures),
    );
  }

  override forward(x: Tensor): Tensor {
    return this.transforms.forward(x);
  }
}

if (import.meta.main) {
  const { items, batch, cache, batches, seed } = parseArgs(Deno.args, {
    default: { items: 1_000_000, batch: 1024, cache: 10_000, batches: 100, seed: 0 },
  });
  manualSeed(seed);
  const dataset = new EnterpriseDataset({ numItems: items, cacheSize: cache });
  const dataloader = createEnterpriseDataloader(dataset, { batchSize: batch });
  console.log(
    `${dataset.length.toLocaleString("en")} items in ${dataloader.length} batches of ${batch}`,
  );

  const pipeline = new DataPreprocessingPipeline();
  let seen = 0, positive = 0, ms = 0;
  for await (const [features, label] of dataloader) {
    if (seen === 0) {
      console.log(`features [${features.shape.join(", ")}], labels [${label.shape.join(", ")}]`);
    }
    const begin = performance.now(), x = pipeline.forward(features);
    ms += performance.now() - begin;
    positive += label.mean().item();
    if (++seen < Math.min(batches, dataloader.length)) continue;
    console.log(
      `after noise, mask and norm: mean ${x.mean().item().toFixed(5)}, ` +
        `deviation ${x.std().item().toFixed(5)}, ${(ms / seen).toFixed(2)} ms a batch`,
    );
    break;
  }
  console.log(`${(100 * positive / seen).toFixed(1)} % of the labels are 1`);

  // Popular items come again and again; that is what a cache is for.
  const visits = [...Array(Math.min(cache, items)).keys()];
  for (const index of visits) dataset.getItem(index);
  const { hits, misses } = dataset.cache;
  for (const index of visits) dataset.getItem(index);
  console.log(
    `cache: ${dataset.cache.size} items in ${(dataset.cache.bytes / 1e6).toFixed(2)} MB; ` +
      `a second visit of ${visits.length} items had ${dataset.cache.hits - hits} hits ` +
      `and ${dataset.cache.misses - misses} misses`,
  );
}
