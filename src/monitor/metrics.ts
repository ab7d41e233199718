/**
 * Metrics over a whole evaluation: give batches to `update`, read `compute`, start anew with
 * `reset`. Each takes tensors or plain arrays and counts in float64.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";

/** A tensor as far as a metric needs it. */
export interface TensorLike {
  /** Sizes of the dims. */
  readonly shape: readonly number[];
  /** The elements in row-major order. */
  toTypedArray(): ArrayLike<number> | ArrayLike<bigint>;
}

/** A tensor with one element, as far as a mean needs it. */
export interface ScalarLike {
  /** The value; waits for the device. */
  item(): number;
  /** The same value without its history. */
  detach(): ScalarLike;
}

/** Values of one dim: a tensor, an array or a typed array. */
export type Values = TensorLike | ArrayLike<number> | ArrayLike<bigint> | ArrayLike<boolean>;

/** Rows of values: a tensor (N, C) or nested arrays. */
export type Rows = TensorLike | readonly ArrayLike<number>[];

/** Anything that `TrainingMonitor` and `Mean` take for one number. */
export type Scalar = number | ScalarLike;

function isTensor(values: unknown): values is TensorLike {
  return typeof (values as TensorLike)?.toTypedArray === "function";
}

function flat(values: Values | Rows): Float64Array {
  const list = isTensor(values) ? values.toTypedArray() : values;
  if (list.length > 0 && typeof list[0] === "object") {
    return Float64Array.from(
      (list as readonly ArrayLike<number>[]).flatMap((row) => [...Array.from(row)]),
    );
  }
  return Float64Array.from(list as ArrayLike<number>, Number);
}

function shapeOf(values: Values | Rows): readonly number[] {
  if (isTensor(values)) return values.shape;
  const first = values[0];
  const nested = typeof first === "object" && first !== null;
  return nested ? [values.length, (first as ArrayLike<number>).length] : [values.length];
}

function sameLength(metric: string, scores: number, labels: number): void {
  if (scores === labels) return;
  throw new ArgumentError(
    `Cannot update ${metric}: there are ${scores} scores and ${labels} labels`,
    {
      op: metric,
    },
  );
}

/** Asks for a whole k of at least 1. */
function checkK(metric: string, k: number): void {
  if (Number.isSafeInteger(k) && k >= 1) return;
  throw new ArgumentError(
    `Cannot make ${metric} at k = ${show(k)}: k is a whole number from 1 on`,
    { op: metric },
  );
}

/**
 * Area under the ROC curve, exact: the share of (positive, negative) pairs in which the positive
 * has the higher score, a tie counting one half.
 *
 * Keeps every score in memory (8 bytes each). `compute` is NaN while one class is missing.
 * Errors: ArgumentError for a label other than 0 and 1, for a NaN score and for unequal lengths.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * const auc = new monitor.metrics.AUC();
 * auc.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]);
 * console.log(auc.compute()); // 0.75
 * ```
 */
export class AUC {
  #positive: Float64Array[] = [];
  #negative: Float64Array[] = [];

  /** Adds a batch: scores in any order-preserving scale, labels 0 or 1. */
  update(scores: Values, labels: Values): void {
    const s = flat(scores), y = flat(labels);
    sameLength("AUC", s.length, y.length);
    let positives = 0;
    for (let i = 0; i < s.length; i++) {
      if (y[i] !== 0 && y[i] !== 1) {
        throw new ArgumentError(`Cannot update AUC: label ${i} is ${y[i]}, and labels are 0 or 1`, {
          op: "AUC",
        });
      }
      if (Number.isNaN(s[i])) {
        throw new ArgumentError(`Cannot update AUC: score ${i} is NaN, which has no rank`, {
          op: "AUC",
        });
      }
      positives += y[i];
    }
    const positive = new Float64Array(positives), negative = new Float64Array(s.length - positives);
    let p = 0, n = 0;
    for (let i = 0; i < s.length; i++) {
      if (y[i] === 1) positive[p++] = s[i];
      else negative[n++] = s[i];
    }
    this.#positive.push(positive);
    this.#negative.push(negative);
  }

  /** The area so far, from 0 to 1. */
  compute(): number {
    const positive = join(this.#positive).sort(), negative = join(this.#negative).sort();
    this.#positive = [positive];
    this.#negative = [negative];
    // Both are sorted, so the counts below only grow.
    let below = 0, upTo = 0, wins = 0;
    for (const score of positive) {
      while (below < negative.length && negative[below] < score) below++;
      while (upTo < negative.length && negative[upTo] <= score) upTo++;
      wins += below + (upTo - below) / 2;
    }
    return wins / (positive.length * negative.length);
  }

  /** Forgets everything. */
  reset(): void {
    this.#positive = [];
    this.#negative = [];
  }
}

function join(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * Share of right answers. Scores (N, C) answer with the class of the highest score (the first of
 * equals); scores (N) answer 1 where they are above `threshold`, else 0.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * const accuracy = new monitor.metrics.Accuracy();
 * accuracy.update([0.9, 0.2, 0.7], [1, 0, 0]);
 * console.log(accuracy.compute()); // 0.6666666666666666
 * ```
 */
export class Accuracy {
  /** Scores (N) above it mean 1. */
  readonly threshold: number;
  #right = 0;
  #count = 0;

  /** For logits give `threshold: 0`. */
  constructor({ threshold = 0.5 }: { threshold?: number } = {}) {
    this.threshold = threshold;
  }

  /** Adds a batch: scores (N, C) or (N), labels (N). */
  update(scores: Values | Rows, labels: Values): void {
    const s = flat(scores), y = flat(labels), shape = shapeOf(scores);
    const classes = shape.length === 2 ? shape[1] : 1;
    sameLength("Accuracy", classes === 0 ? 0 : s.length / classes, y.length);
    for (let i = 0; i < y.length; i++) {
      let answer = s[i] > this.threshold ? 1 : 0;
      if (shape.length === 2) {
        answer = 0;
        for (let c = 1; c < classes; c++) {
          if (s[i * classes + c] > s[i * classes + answer]) answer = c;
        }
      }
      if (answer === y[i]) this.#right++;
    }
    this.#count += y.length;
  }

  /** Right answers over all answers; NaN before the first. */
  compute(): number {
    return this.#right / this.#count;
  }

  /** Forgets everything. */
  reset(): void {
    this.#right = 0;
    this.#count = 0;
  }
}

/**
 * Base of the metrics that rank one positive among sampled negatives. The rank is the number of
 * negatives with a higher score, an equal one counting one half, so that a model which scores all
 * alike gets no credit.
 */
export abstract class RankMetric {
  #sum = 0;
  #count = 0;

  /** What a positive at `rank` (0 is best) among `negatives` is worth. */
  protected abstract worth(rank: number, negatives: number): number;

  /** Adds scores (N, 1 + negatives), the positive in column 0. */
  update(scores: Rows): void {
    const s = flat(scores), [rows, columns] = shapeOf(scores), name = this.constructor.name;
    if (rows === 0) return;
    if (columns === undefined || columns < 2 || s.length !== rows * columns) {
      throw new ArgumentError(
        `Cannot update ${name}: scores have shape [${
          shapeOf(scores).join(", ")
        }], and (N, 1 + negatives) is needed`,
        { op: name },
      );
    }
    for (let start = 0; start < s.length; start += columns) {
      const positive = s[start];
      let rank = 0;
      for (let i = start + 1; i < start + columns; i++) {
        // Written so that a NaN on either side counts against the model.
        rank += s[i] < positive ? 0 : s[i] === positive ? 0.5 : 1;
      }
      this.#sum += this.worth(rank, columns - 1);
    }
    this.#count += rows;
  }

  /** The mean over all rows; NaN before the first. */
  compute(): number {
    return this.#sum / this.#count;
  }

  /** Forgets everything. */
  reset(): void {
    this.#sum = 0;
    this.#count = 0;
  }
}

/**
 * Hit rate at k: the share of rows whose positive has a rank below k.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * const hits = new monitor.metrics.HitRate(1);
 * hits.update([[0.9, 0.1, 0.2], [0.3, 0.1, 0.8]]);
 * console.log(hits.compute()); // 0.5
 * ```
 */
export class HitRate extends RankMetric {
  /** How many places count as a hit. */
  readonly k: number;

  /** Ten places, unless told. */
  constructor(k: number = 10) {
    super();
    checkK("HitRate", k);
    this.k = k;
  }

  /** 1 for a hit. */
  protected override worth(rank: number): number {
    return rank < this.k ? 1 : 0;
  }
}

/** Normalised discounted cumulative gain at k with one positive a row: the mean of `1 / log2(rank + 2)`, 0 from rank k on. */
export class NDCG extends RankMetric {
  /** How many places count. */
  readonly k: number;

  /** Ten places, unless told. */
  constructor(k: number = 10) {
    super();
    checkK("NDCG", k);
    this.k = k;
  }

  /** The discounted gain. */
  protected override worth(rank: number): number {
    return rank < this.k ? 1 / Math.log2(rank + 2) : 0;
  }
}

/** Area under the ROC curve within each row, averaged over rows: the mean of `1 - rank / negatives`. */
export class RankAUC extends RankMetric {
  /** The share of negatives below the positive. */
  protected override worth(rank: number, negatives: number): number {
    return 1 - rank / negatives;
  }
}

/** Tensors that wait to be read; past this many they are read, so that their storages go back. */
const PENDING = 1024;

/**
 * Weighted mean of scalars. Tensors are kept detached and read only by `compute`, so that a GPU
 * need not be waited for in every step.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * const loss = new monitor.metrics.Mean();
 * loss.update(0.5, 32);
 * loss.update(0.25, 32);
 * console.log(loss.compute()); // 0.375
 * ```
 */
export class Mean {
  #sum = 0;
  #weight = 0;
  #pending: [value: ScalarLike, weight: number][] = [];

  /** Adds a value; `weight` is mostly the batch's size. */
  update(value: Scalar, weight: number = 1): void {
    if (typeof value === "number") {
      this.#sum += value * weight;
      this.#weight += weight;
      return;
    }
    if (typeof value?.item !== "function" || typeof value.detach !== "function") {
      throw new ArgumentError(
        `Cannot update Mean with ${show(value)}: a number or a tensor of one element is needed`,
        {
          op: "Mean",
        },
      );
    }
    this.#pending.push([value.detach(), weight]);
    if (this.#pending.length >= PENDING) this.#read();
  }

  #read(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const [value, weight] of pending) {
      this.#sum += value.item() * weight;
      this.#weight += weight;
    }
  }

  /** The mean so far; NaN before the first value. Reads what waits. */
  compute(): number {
    this.#read();
    return this.#sum / this.#weight;
  }

  /** Forgets everything. */
  reset(): void {
    this.#sum = 0;
    this.#weight = 0;
    this.#pending = [];
  }

  /** Sum and weight so far, for a checkpoint. */
  stateDict(): { sum: number; weight: number } {
    this.#read();
    return { sum: this.#sum, weight: this.#weight };
  }

  /** Takes over what `stateDict` gave. */
  loadStateDict(state: { sum: number; weight: number }): void {
    this.#pending = [];
    this.#sum = state.sum ?? NaN;
    this.#weight = state.weight;
  }
}
