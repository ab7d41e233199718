/**
 * A line search for points that satisfy the strong Wolfe conditions, by bracketing and cubic interpolation; all of it is
 * numbers but the gradients.
 *
 * Source: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6, with the safeguards of PyTorch's own.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";

/** A point on the line: its place, the value there, the gradient, and the slope along the line. */
export interface Point {
  readonly t: number;
  readonly f: number;
  readonly g: Tensor;
  readonly slope: number;
}

/** What bounds a search. */
export interface SearchOptions {
  /** How many values it may ask for. */
  readonly most: number;
  /** A bracket narrower than this, measured by the largest element of the step, ends it. */
  readonly toleranceChange: number;
  /** The largest size of the direction's elements. */
  readonly largest: number;
}

/** How much of the slope a decrease must show, and how much of it may be left. */
const DECREASE = 1e-4, CURVATURE = 0.9;

/** Where the cubic through two points with their slopes is least, kept within bounds. */
function cubicMinimum(a: Point, b: Point, bounds?: readonly [number, number]): number {
  const [low, high] = bounds ?? (a.t <= b.t ? [a.t, b.t] : [b.t, a.t]);
  const d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t);
  const square = d1 ** 2 - a.slope * b.slope;
  if (!(square >= 0)) return (low + high) / 2;
  const d2 = Math.sqrt(square);
  const [p, q] = a.t <= b.t ? [a, b] : [b, a];
  const at = q.t - (q.t - p.t) * ((q.slope + d2 - d1) / (q.slope - p.slope + 2 * d2));
  return Math.min(Math.max(at, low), high);
}

/**
 * Looks along a line for a point with enough decrease and little slope. `start` is where it begins, at 0; `evaluate`
 * gives the point at a place; `t` is the first place to try. Returns the point, and how many were evaluated.
 */
export function strongWolfe(
  evaluate: (t: number) => Point,
  start: Point,
  t: number,
  { most, toleranceChange, largest }: SearchOptions,
): { point: Point; evaluations: number } {
  const tooHigh = (p: Point) => p.f > start.f + DECREASE * p.t * start.slope;
  const flat = (p: Point) => Math.abs(p.slope) <= -CURVATURE * start.slope;
  let now = evaluate(t), before = start, evaluations = 1, round = 0;
  let bracket: [Point, Point] | null = null;
  for (; round < most; round++) {
    if (tooHigh(now) || (round > 1 && now.f >= before.f)) {
      bracket = [before, now];
      break;
    }
    if (flat(now)) return { point: now, evaluations };
    if (now.slope >= 0) {
      bracket = [before, now];
      break;
    }
    const bounds = [now.t + 0.01 * (now.t - before.t), now.t * 10] as const;
    const next = cubicMinimum(before, now, bounds);
    before = now;
    now = evaluate(next);
    evaluations++;
  }
  bracket ??= [start, now];
  // The bracket is narrowed until a point inside satisfies both conditions.
  let stuck = false;
  let [low, high] = bracket[0].f <= bracket[1].f ? [0, 1] : [1, 0];
  while (round < most) {
    const [a, b] = bracket;
    if (Math.abs(b.t - a.t) * largest < toleranceChange) break;
    let at = cubicMinimum(a, b);
    const top = Math.max(a.t, b.t), bottom = Math.min(a.t, b.t), edge = 0.1 * (top - bottom);
    if (Math.min(top - at, at - bottom) < edge) {
      if (stuck || at >= top || at <= bottom) {
        at = Math.abs(at - top) < Math.abs(at - bottom) ? top - edge : bottom + edge;
        stuck = false;
      } else stuck = true;
    } else stuck = false;
    now = evaluate(at);
    evaluations++;
    round++;
    if (tooHigh(now) || now.f >= bracket[low].f) {
      bracket[high] = now;
      [low, high] = bracket[0].f <= bracket[1].f ? [0, 1] : [1, 0];
      continue;
    }
    const done = flat(now);
    if (!done && now.slope * (bracket[high].t - bracket[low].t) >= 0) bracket[high] = bracket[low];
    bracket[low] = now;
    if (done) break;
  }
  return { point: bracket[low], evaluations };
}
