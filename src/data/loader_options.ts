/**
 * What a loader is told, what a checkpoint keeps of it, and how others follow its passes.
 *
 * @module
 */
import type { SeedSource } from "./order.ts";
import type { BatchSampler, Sampler, Sized } from "./sampler.ts";

/** Options of `DataLoader`. */
export interface DataLoaderOptions<T, B> {
  /** Examples in a batch; default 1. */
  batchSize?: number;
  /** Whether each epoch has an order of its own; default false. */
  shuffle?: boolean;
  /** Which examples come, in place of `shuffle`. */
  sampler?: Sampler | (Iterable<number> & Sized) | null;
  /** Which examples come together, in place of `batchSize`, `shuffle`, `sampler` and `dropLast`. */
  batchSampler?: BatchSampler | (Iterable<readonly number[]> & Sized) | null;
  /** Workers; tensors in memory need none, whatever is asked for. Default 0. */
  numWorkers?: number;
  /** Puts a batch's examples together; see `Collated` for what happens without it. */
  collate?: ((examples: T[]) => B | Promise<B>) | null;
  /**
   * Whether batches that stay on the CPU lie in pinned memory, from which `to(device, { nonBlocking: true })` copies
   * while the process goes on. On their way to `device` they pass through it in any case; without CUDA there is nothing
   * to pin.
   */
  pinMemory?: boolean;
  /** Whether a last batch that is not full is left out. */
  dropLast?: boolean;
  /** A seed for the order, or what has one; default: the seed of `manualSeed` when the first epoch begins. */
  generator?: SeedSource | null;
  /** Batches that each worker loads ahead. */
  prefetchFactor?: number | null;
  /** Whether workers live on after an epoch. */
  persistentWorkers?: boolean;
  /** Where batches shall be. */
  device?: string | null;
}

/** Where a loader is. */
export interface DataLoaderState {
  /** The epoch that runs, or, between two, the next one. */
  epoch: number;
  /** Batches of it that were handed out. */
  batch: number;
  /** What the order comes from. */
  seed: number;
  /** Examples in a batch; null where a sampler says it. */
  batchSize: number | null;
  /** Examples in all; null for a stream. */
  examples: number | null;
}

/** What follows a loader's passes; see checkpoint. */
export interface LoaderHook {
  /** A pass begins. */
  begin(): void;
  /** The next batch is asked for; what was handed out before is done with. */
  ask(): void;
  /** A pass ended, by itself or not. */
  end(): void;
}

const hooks = new WeakMap<object, Set<LoaderHook>>();

/** What follows a loader. */
export function followers(loader: object): ReadonlySet<LoaderHook> | undefined {
  return hooks.get(loader);
}

/** Lets a hook follow a loader's passes; returns the function that ends it. */
export function follow(loader: object, hook: LoaderHook): () => void {
  let set = hooks.get(loader);
  if (set === undefined) hooks.set(loader, set = new Set());
  set.add(hook);
  return () => void set.delete(hook);
}
