/**
 * The generator behind every random op: a seed and an offset, which moves on by as many elements as are drawn. Numbers
 * depend on seed, offset and an element's place alone (Philox), so any thread count gives the same bits.
 *
 * @module
 */
import { ArgumentError, show } from "./errors.ts";

/** What a generator is: enough to draw the same numbers again. */
export interface RngState {
  /** The 64-bit seed, as a decimal number in text, so that JSON keeps it exactly. */
  readonly seed: string;
  /** Elements drawn so far. */
  readonly offset: number;
}

/** A stream of random numbers that an instruction draws from. */
export interface Draw {
  readonly seed: bigint;
  readonly offset: number;
}

let current = crypto.getRandomValues(new BigInt64Array(1))[0];
let offset = 0;

/** The next stream, for so many elements. */
export function draw(elements: number): Draw {
  const at = offset;
  offset += Math.max(elements, 1);
  return { seed: current, offset: at };
}

/**
 * Starts the generator anew: the same seed gives the same numbers, whatever the number of threads. Without a call, each
 * run draws its own.
 *
 * ```ts
 * import { manualSeed, rand } from "@toro/toro";
 * manualSeed(0);
 * const a = rand([3]);
 * manualSeed(0);
 * a.equal(rand([3])); // true
 * ```
 */
export function manualSeed(value: number | bigint): void {
  if (typeof value === "number" ? !Number.isSafeInteger(value) : typeof value !== "bigint") {
    throw new ArgumentError(`Cannot manualSeed with ${show(value)}: it must be a whole number`, {
      op: "manualSeed",
    });
  }
  current = BigInt.asIntN(64, BigInt(value));
  offset = 0;
}

/** Starts the generator anew from a seed that nobody chose; gives that seed. */
export function seed(): bigint {
  current = crypto.getRandomValues(new BigInt64Array(1))[0];
  offset = 0;
  return current;
}

/** The seed that was set last. */
export function initialSeed(): bigint {
  return current;
}

/** The generator's state, for a checkpoint. */
export function getRngState(): RngState {
  return { seed: String(current), offset };
}

/** Goes on from a state that `getRngState` gave. Errors: ArgumentError for anything else. */
export function setRngState(state: RngState): void {
  const whole = typeof state?.seed === "string" && /^-?\d{1,20}$/.test(state.seed);
  if (!whole || !Number.isSafeInteger(state.offset) || state.offset < 0) {
    throw new ArgumentError(
      `Cannot setRngState to ${show(state)}: it must have a seed in digits and an offset from 0 on`,
      { op: "setRngState" },
    );
  }
  current = BigInt.asIntN(64, BigInt(state.seed));
  offset = state.offset;
}
