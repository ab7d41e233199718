/**
 * Checks of optimisers' options.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";

/** Fails unless an option is a number from `low` on, and below `high` where one is given. */
export function checkRange(
  name: string,
  what: string,
  value: unknown,
  low: number = 0,
  high: number = Infinity,
): void {
  if (typeof value === "number" && value >= low && (value < high || high === Infinity)) return;
  const rule = high === Infinity ? `at least ${low}` : `from ${low} on and below ${high}`;
  throw new ArgumentError(`Cannot make ${name}: ${what} must be ${rule}, got ${show(value)}`, {
    op: name,
  });
}

/** Fails unless an option is a boolean. */
export function checkFlag(name: string, what: string, value: unknown): void {
  if (typeof value === "boolean") return;
  throw new ArgumentError(
    `Cannot make ${name}: ${what} must be true or false, got ${show(value)}`,
    { op: name },
  );
}

/** Fails unless both betas are from 0 on and below 1. */
export function checkBetas(name: string, betas: unknown): void {
  if (!Array.isArray(betas) || betas.length !== 2) {
    throw new ArgumentError(`Cannot make ${name}: betas must be two numbers, got ${show(betas)}`, {
      op: name,
    });
  }
  betas.forEach((beta, i) => checkRange(name, `betas[${i}]`, beta, 0, 1));
}

/** Fails unless each of these options is a number from 0 on. */
export function checkRanges(
  name: string,
  options: Readonly<Record<string, unknown>>,
  ...whats: readonly string[]
): void {
  for (const what of whats) checkRange(name, what, options[what]);
}
