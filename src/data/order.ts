/**
 * Orders of examples that depend on a seed and a number alone: the same for any number of threads or workers, and the
 * same again after a resume.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { initialSeed } from "../random.ts";

/** A seed, or a generator that has one. */
export type SeedSource = number | bigint | { initialSeed(): number | bigint };

/** The seed behind an option; null stands for the seed of `manualSeed`. */
export function seedOf(source: SeedSource | null | undefined): number {
  const given = source === null || source === undefined
    ? initialSeed()
    : typeof source === "object"
    ? source.initialSeed()
    : source;
  if (typeof given === "number" && !Number.isInteger(given)) {
    throw new ArgumentError(`Cannot shuffle with seed ${show(given)}: it must be a whole number`, {
      op: "generator",
    });
  }
  // 53 bits, so that a seed is exact in a checkpoint's JSON.
  return typeof given === "bigint" ? Number(BigInt.asUintN(53, given)) : given;
}

/** A stream of 32-bit numbers: xoshiro128** (Blackman and Vigna 2018), seeded by splitmix32 from two numbers. */
export class Stream {
  readonly #state = new Uint32Array(4);

  /** The stream of a seed and a purpose, such as an epoch. */
  constructor(seed: number, purpose: number) {
    let x = 0x9e3779b9;
    const parts = [seed % 2 ** 32, Math.floor(seed / 2 ** 32), purpose];
    const mix = (): number => {
      x = (x + 0x9e3779b9) | 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return z ^ (z >>> 16);
    };
    for (const part of parts) x = mix() ^ part;
    for (let i = 0; i < 4; i++) this.#state[i] = mix();
    if (this.#state.every((s) => s === 0)) this.#state[0] = 1;
  }

  /** The next 32 bits. */
  next(): number {
    const s = this.#state;
    const m = Math.imul(s[1], 5);
    const result = Math.imul((m << 7) | (m >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** A whole number from 0 to n - 1, each as likely as another. Source: Lemire 2018, arXiv 1805.10941, by rejection. */
  below(n: number): number {
    const limit = 2 ** 32 - 2 ** 32 % n;
    let x = this.next();
    while (x >= limit) x = this.next();
    return x % n;
  }

  /** A number from 0 to below 1, with 53 bits. */
  uniform(): number {
    return (this.next() * 2 ** 21 + (this.next() >>> 11)) / 2 ** 53;
  }
}

/** The numbers 0 to n - 1 in an order of their own for each seed and purpose. */
export function permutation(n: number, seed: number, purpose: number): Int32Array<ArrayBuffer> {
  const order = new Int32Array(n), stream = new Stream(seed, purpose);
  for (let i = 0; i < n; i++) {
    const j = stream.below(i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}
