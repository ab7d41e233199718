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

/** A stream of 32-bit numbers: xoshiro128** (Blackman and Vigna 2018), seeded by a hash of two numbers. */
export class Stream {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** The stream of a seed and a purpose, such as an epoch. */
  constructor(seed: number, purpose: number) {
    let x = 0x9e3779b9;
    const mix = (): number => {
      x = (x + 0x9e3779b9) | 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return z ^ (z >>> 16);
    };
    for (const part of [seed % 2 ** 32, Math.floor(seed / 2 ** 32), purpose]) x = mix() ^ part;
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    // All zeros is the one state that never moves.
    this.#d = mix() | 1;
  }

  /** The next 32 bits, as a signed number. */
  next(): number {
    const b = this.#b, m = Math.imul(b, 5);
    const c = this.#c ^ this.#a, d = this.#d ^ b;
    this.#b = b ^ c;
    this.#a ^= d;
    this.#c = c ^ (b << 9);
    this.#d = (d << 11) | (d >>> 21);
    return Math.imul((m << 7) | (m >>> 25), 9);
  }

  /** A whole number from 0 to n - 1, each as likely as another: drawn again while it is too large. */
  below(n: number): number {
    const mask = 0xffffffff >>> Math.clz32(n - 1);
    let x = 0;
    do x = this.next() & mask; while (x >= n);
    return n > 1 ? x : 0;
  }

  /** A number from 0 to below 1, with 53 bits. */
  uniform(): number {
    return ((this.next() >>> 0) * 2 ** 21 + (this.next() >>> 11)) / 2 ** 53;
  }
}

/** The numbers 0 to n - 1 in an order of their own for each seed and purpose. */
export function permutation(n: number, seed: number, purpose: number): Int32Array<ArrayBuffer> {
  const order = new Int32Array(n), stream = new Stream(seed, purpose);
  for (let i = 1; i < n; i++) {
    const j = stream.below(i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}
