/**
 * Which examples come, and in what order.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { Tensor } from "../tensor.ts";
import { permutation, seedOf, type SeedSource, Stream } from "./order.ts";

/**
 * Numbers of examples, in order. Iterating it is one pass.
 *
 * A sampler of your own needs `length` and `[Symbol.iterator]`. To go on in mid-epoch after a resume, a loader skips what
 * was taken: that is exact when the order depends only on what `setEpoch` says.
 */
export abstract class Sampler implements Iterable<number> {
  /** How many numbers a pass gives. */
  abstract readonly length: number;
  /** The numbers of one pass. */
  abstract [Symbol.iterator](): Iterator<number>;
  /** A loader says before each pass which epoch it is and what its seed is. */
  setEpoch(_epoch: number, _seed: number): void {}
}

/** What a sampler needs to know of a dataset. */
export interface Sized {
  /** How many examples there are. */
  readonly length: number;
}

/** All numbers in order. */
export class SequentialSampler extends Sampler {
  override readonly length: number;

  /** The numbers of a dataset. */
  constructor(dataset: Sized) {
    super();
    this.length = lengthOf(dataset, "SequentialSampler");
  }

  override *[Symbol.iterator](): Iterator<number> {
    for (let i = 0; i < this.length; i++) yield i;
  }
}

/** How many examples a dataset has. */
function lengthOf(dataset: Sized | null | undefined, name: string): number {
  const length = dataset?.length;
  if (Number.isInteger(length) && length! >= 0) return length!;
  throw new ArgumentError(
    `Cannot make ${name} of ${show(dataset)}: it takes a dataset, whose length is a whole number`,
    { op: name },
  );
}

/** What samplers at random share: an order for each epoch, made at once. */
abstract class SeededSampler extends Sampler {
  #seed: number | null = null;
  #epoch = 0;
  readonly #generator: SeedSource | null;

  constructor(generator: SeedSource | null) {
    super();
    this.#generator = generator;
  }

  override setEpoch(epoch: number, seed: number): void {
    this.#epoch = epoch;
    // A generator of the sampler's own goes before the loader's seed.
    this.#seed = this.#generator === null ? seed : seedOf(this.#generator);
  }

  /** The numbers of one epoch. */
  protected abstract draw(seed: number, epoch: number): Int32Array;

  /** The numbers of the next pass. @ignore */
  order(): Int32Array {
    this.#seed ??= seedOf(this.#generator);
    return this.draw(this.#seed, this.#epoch++);
  }

  override [Symbol.iterator](): Iterator<number> {
    return this.order()[Symbol.iterator]();
  }
}

/** Options of `RandomSampler`. */
export interface RandomSamplerOptions {
  /** Whether a number may come more than once; default false. */
  replacement?: boolean;
  /** How many numbers a pass gives; default: as many as there are examples. */
  numSamples?: number | null;
  /** A seed, or what has one; default: the loader's, or that of `manualSeed`. */
  generator?: SeedSource | null;
}

function checkSamples(name: string, n: unknown): number {
  if (typeof n === "number" && Number.isInteger(n) && n >= 0) return n;
  throw new ArgumentError(
    `Cannot make ${name}: numSamples must be a whole number from 0 on, got ${show(n)}`,
    {
      op: name,
    },
  );
}

/** All numbers in an order of their own for each epoch, or draws with replacement. */
export class RandomSampler extends SeededSampler {
  override readonly length: number;
  readonly #from: number;
  readonly #replacement: boolean;

  /** The numbers of a dataset. */
  constructor(
    dataset: Sized,
    options: RandomSamplerOptions = {},
  ) {
    const { replacement = false, numSamples = null, generator = null } = optionsOf(
      "make RandomSampler",
      options,
      ["replacement", "numSamples", "generator"],
    );
    super(generator);
    this.#from = lengthOf(dataset, "RandomSampler");
    this.#replacement = replacement;
    this.length = checkSamples("RandomSampler", numSamples ?? this.#from);
    if (this.length > 0 && this.#from === 0) {
      throw new ArgumentError(
        `Cannot make RandomSampler: ${this.length} numbers out of an empty dataset`,
        {
          op: "RandomSampler",
        },
      );
    }
  }

  protected override draw(seed: number, epoch: number): Int32Array {
    const n = this.#from;
    if (this.#replacement) {
      const stream = new Stream(seed, epoch);
      return Int32Array.from({ length: this.length }, () => stream.below(n));
    }
    if (this.length === n) return permutation(n, seed, epoch);
    // More numbers than examples: one order after another, each of its own.
    const out = new Int32Array(this.length);
    for (let from = 0, round = 0; from < out.length; from += n, round++) {
      const order = permutation(n, seed + round, epoch);
      out.set(order.subarray(0, Math.min(n, out.length - from)), from);
    }
    return out;
  }
}

/** Options of `WeightedRandomSampler`. */
export interface WeightedRandomSamplerOptions {
  /** Whether a number may come more than once; default true. */
  replacement?: boolean;
  /** A seed, or what has one; default: the loader's, or that of `manualSeed`. */
  generator?: SeedSource | null;
}

/**
 * Numbers drawn by weight: example i with probability `weights[i] / Σ weights`, or, without replacement, in turn among
 * those that are left.
 */
export class WeightedRandomSampler extends SeededSampler {
  override readonly length: number;
  readonly #weights: Float64Array;
  readonly #replacement: boolean;

  /** Weights for the examples, and how many numbers a pass gives. */
  constructor(
    weights: ArrayLike<number> | Tensor,
    numSamples: number,
    options: WeightedRandomSamplerOptions = {},
  ) {
    const { replacement = true, generator = null } = optionsOf(
      "make WeightedRandomSampler",
      options,
      ["replacement", "generator"],
    );
    super(generator);
    if (typeof weights !== "object" || weights === null) {
      throw new ArgumentError(
        `Cannot make WeightedRandomSampler with weights ${
          show(weights)
        }: they are an array or a tensor`,
        { op: "WeightedRandomSampler" },
      );
    }
    const values = weights instanceof Tensor ? weights.toTypedArray() : weights;
    this.#weights = Float64Array.from(
      values as ArrayLike<unknown>,
      // Tensors of int64 hold bigints; anything else that is no number is as bad as NaN.
      (w) => typeof w === "number" || typeof w === "bigint" ? Number(w) : NaN,
    );
    this.length = checkSamples("WeightedRandomSampler", numSamples);
    this.#replacement = replacement;
    const bad = this.#weights.findIndex((w) => !(w >= 0 && w < Infinity));
    if (bad >= 0) {
      throw new ArgumentError(
        `Cannot make WeightedRandomSampler: weight ${bad} is ${
          this.#weights[bad]
        }, it must be a number from 0 on`,
        { op: "WeightedRandomSampler" },
      );
    }
    const positive = this.#weights.reduce((n, w) => n + Number(w > 0), 0);
    if (this.length > 0 && (positive === 0 || (!replacement && positive < this.length))) {
      throw new ArgumentError(
        `Cannot make WeightedRandomSampler: ${this.length} numbers ${
          replacement ? "" : "without replacement "
        }from ${positive} weights above 0`,
        { op: "WeightedRandomSampler" },
      );
    }
  }

  protected override draw(seed: number, epoch: number): Int32Array {
    const stream = new Stream(seed, epoch),
      weights = this.#weights,
      out = new Int32Array(this.length);
    if (this.#replacement) {
      const ends = new Float64Array(weights.length);
      let sum = 0;
      for (let i = 0; i < weights.length; i++) ends[i] = sum += weights[i];
      for (let k = 0; k < out.length; k++) out[k] = firstAbove(ends, stream.uniform() * sum);
      return out;
    }
    // The largest of u^(1/w), u uniform, come in the order of draws without replacement (Efraimidis and Spirakis 2006).
    const keys = weights.map((w) => w > 0 ? Math.log(1 - stream.uniform()) / w : -Infinity);
    const order = Int32Array.from(keys, (_, i) => i).sort((a, b) => keys[b] - keys[a] || a - b);
    return order.subarray(0, this.length);
  }
}

/** The first place whose value is above x. */
function firstAbove(ends: Float64Array, x: number): number {
  let low = 0, high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] > x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Options of `BatchSampler`. */
export interface BatchSamplerOptions {
  /** Whether a last batch that is not full is left out. */
  dropLast?: boolean;
}

/** Groups a sampler's numbers into batches. */
export class BatchSampler implements Iterable<number[]> {
  /** The sampler behind it. */
  readonly sampler: Sampler | Iterable<number> & Sized;
  /** Numbers in a batch. */
  readonly batchSize: number;
  /** Whether a last batch that is not full is left out. */
  readonly dropLast: boolean;

  /** Batches of a sampler's numbers. */
  constructor(
    sampler: Sampler | Iterable<number> & Sized,
    batchSize: number,
    options: BatchSamplerOptions = {},
  ) {
    const { dropLast = false } = optionsOf("make BatchSampler", options, ["dropLast"]);
    checkBatchSize("BatchSampler", batchSize);
    this.sampler = sampler;
    this.batchSize = batchSize;
    this.dropLast = dropLast;
  }

  /** How many batches a pass gives. */
  get length(): number {
    return batchesOf(this.sampler.length, this.batchSize, this.dropLast);
  }

  /** Hands the epoch on to the sampler. */
  setEpoch(epoch: number, seed: number): void {
    if (this.sampler instanceof Sampler) this.sampler.setEpoch(epoch, seed);
  }

  *[Symbol.iterator](): Iterator<number[]> {
    let batch: number[] = [];
    for (const i of this.sampler) {
      batch.push(i);
      if (batch.length === this.batchSize) {
        yield batch;
        batch = [];
      }
    }
    if (batch.length > 0 && !this.dropLast) yield batch;
  }
}

/** How many batches so many examples make. */
export function batchesOf(examples: number, batchSize: number, dropLast: boolean): number {
  return dropLast ? Math.floor(examples / batchSize) : Math.ceil(examples / batchSize);
}

/** Fails unless a batch size is a whole number above 0. */
export function checkBatchSize(name: string, batchSize: unknown): void {
  if (typeof batchSize === "number" && Number.isInteger(batchSize) && batchSize > 0) return;
  throw new ArgumentError(
    `Cannot make ${name}: batchSize must be a whole number above 0, got ${show(batchSize)}`,
    {
      op: name,
    },
  );
}

/** The order of a sampler's next pass, when it is known at once. */
export function orderOf(sampler: Sampler | Iterable<number>): Int32Array | null {
  if (sampler instanceof SeededSampler) return sampler.order();
  if (sampler instanceof SequentialSampler) {
    return Int32Array.from({ length: sampler.length }, (_, i) => i);
  }
  return null;
}
