/**
 * Activation checkpointing: what backward needs of a part of a network is not kept but computed again.
 *
 * @module
 */
import { asUser, type Backward, isGradEnabled, type RuleKeeper, withKeeper } from "../autograd.ts";
import { keepAutocast } from "../autocast.ts";
import { passNumber } from "../backward.ts";
import { ArgumentError, AutogradError, show } from "../errors.ts";
import { isOptions } from "../options.ts";
import { getRngState, setRngState } from "../random.ts";
import { Tensor } from "../tensor.ts";

/** Options of `checkpoint`, given after the function's arguments. */
export interface CheckpointOptions {
  /** Whether random numbers are drawn again as they were; default true. */
  preserveRngState?: boolean;
  /** Taken for PyTorch's sake; there is one form, which does what PyTorch's `false` does. */
  useReentrant?: boolean;
}

const KNOWN = new Set(["preserveRngState", "useReentrant"]);

/** What is known of one call: how to run it again, and the rules that the last run gave. */
class Frame implements RuleKeeper {
  #count = 0;
  #rules = new Map<number, Backward>();
  #pass = -1;

  constructor(readonly again: (keeper: RuleKeeper) => void, readonly outer: RuleKeeper | null) {}

  /** In the first run a rule is counted and dropped; when backward comes to it, it is made again. */
  keep(_rule: Backward): Backward {
    const i = this.#count++;
    const later: Backward = (grads) => this.#rule(i)(grads);
    // Inside another checkpoint this frame is itself dropped and made again.
    return this.outer === null ? later : this.outer.keep(later);
  }

  #rule(i: number): Backward {
    if (this.#pass !== passNumber() || !this.#rules.has(i)) this.#recompute();
    const rule = this.#rules.get(i)!;
    this.#rules.delete(i);
    return rule;
  }

  #recompute(): void {
    const rules: Backward[] = [];
    this.again({
      keep(rule) {
        rules.push(rule);
        return rule;
      },
    });
    if (rules.length !== this.#count) {
      throw new AutogradError(
        `Cannot run backward through a checkpoint: computed again its function recorded ${rules.length} ops, ` +
          `at first ${this.#count}`,
        { op: "checkpoint", hint: "the function must do the same when it is called again" },
      );
    }
    this.#rules = new Map(rules.entries());
    this.#pass = passNumber();
  }
}

let innermost: RuleKeeper | null = null;

function within<T>(keeper: RuleKeeper | null, body: () => T): T {
  const before = innermost;
  innermost = keeper;
  try {
    return withKeeper(keeper, body);
  } finally {
    innermost = before;
  }
}

/**
 * Calls `func(...args)` without keeping what its ops save for backward; when backward comes there, the function is called
 * again, with the same random numbers. Gradients flow to arguments and to whatever else the function reads, of any order.
 *
 * The function is synchronous and must do the same when it is called again. Options may follow the arguments.
 * Errors: AutogradError where it records other ops the second time, or where an argument was changed in place.
 * Source: Chen et al. 2016, arXiv 1604.06174.
 *
 * ```ts
 * import { nn, randn, utils } from "@toro/toro";
 * const block = new nn.Sequential(new nn.Linear(8, 8), new nn.GELU(), new nn.Dropout(0.1));
 * const y = utils.checkpoint.checkpoint((x) => block.forward(x), randn([4, 8]));
 * y.sum().backward();
 * ```
 */
export function checkpoint<A extends unknown[], R>(func: (...args: A) => R, ...args: A): R;
/** With options after the arguments. */
export function checkpoint<A extends unknown[], R>(
  func: (...args: A) => R,
  ...args: [...A, CheckpointOptions]
): R;
export function checkpoint<A extends unknown[], R>(
  func: (...args: A) => R,
  ...args: unknown[]
): R {
  if (typeof func !== "function") {
    throw new ArgumentError(`Cannot checkpoint ${show(func)}: it must be a function`, {
      op: "checkpoint",
    });
  }
  const last = args.at(-1);
  const keys = isOptions(last) ? Object.keys(last) : [];
  const given = keys.length > 0 && keys.every((key) => KNOWN.has(key));
  const { preserveRngState = true } = given ? last as CheckpointOptions : {};
  const list = (given ? args.slice(0, -1) : args) as A;
  if (!isGradEnabled()) return func(...list);
  const state = getRngState();
  const versions = list.map((a) => a instanceof Tensor ? a.storage.version : 0);
  const outer = innermost, inRegion = keepAutocast();
  const frame = new Frame((keeper) => {
    list.forEach((a, i) => {
      if (!(a instanceof Tensor) || a.storage.version === versions[i]) return;
      throw new AutogradError(
        `Cannot run backward through a checkpoint: its argument ${i}, ${
          show(a)
        }, was changed in place afterwards`,
        { op: "checkpoint", hint: "clone() it before the in-place change" },
      );
    });
    const now = getRngState();
    if (preserveRngState) setRngState(state);
    try {
      within(keeper, () => asUser(() => inRegion(() => func(...list)), true));
    } finally {
      if (preserveRngState) setRngState(now);
    }
  }, outer);
  const result = within(frame, () => inRegion(() => func(...list)));
  if (result instanceof Promise) {
    throw new ArgumentError("Cannot checkpoint an asynchronous function", { op: "checkpoint" });
  }
  return result;
}

/**
 * Runs functions (or modules) in a row in so many segments, each of them a checkpoint but the last.
 * Errors: ArgumentError unless there are from 1 to as many segments as functions.
 */
export function checkpointSequential(
  functions: Iterable<((x: Tensor) => Tensor) | { forward(x: Tensor): Tensor }>,
  segments: number,
  input: Tensor,
  options: CheckpointOptions = {},
): Tensor {
  if (typeof (functions as Iterable<unknown> | undefined)?.[Symbol.iterator] !== "function") {
    throw new ArgumentError(
      `Cannot checkpointSequential ${
        show(functions)
      }: it must be a sequence of functions or modules`,
      { op: "checkpointSequential" },
    );
  }
  const list = [...functions];
  for (const f of list) {
    if (typeof f === "function" || typeof f?.forward === "function") continue;
    throw new ArgumentError(
      `Cannot checkpointSequential with ${
        show(f)
      } in the sequence: it is no function and no module`,
      { op: "checkpointSequential" },
    );
  }
  const steps = list.map((f) => typeof f === "function" ? f : (x: Tensor) => f.forward(x));
  if (!Number.isInteger(segments) || segments < 1 || segments > steps.length) {
    throw new ArgumentError(
      `Cannot checkpointSequential ${steps.length} functions in ${show(segments)} segments`,
      { op: "checkpointSequential" },
    );
  }
  const size = Math.floor(steps.length / segments);
  let x = input, at = 0;
  for (let s = 0; s < segments - 1; s++, at += size) {
    const part = steps.slice(at, at + size);
    x = checkpoint((x: Tensor) => part.reduce((x, f) => f(x), x), x, options);
  }
  return steps.slice(at).reduce((x, f) => f(x), x);
}
