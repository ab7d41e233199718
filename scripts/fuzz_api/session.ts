/** Chooses calls, makes them and says what came of them. */
import { Tensor, ToroError } from "../../mod.ts";
import { isGradEnabled } from "../../src/autograd.ts";
import { type Call, type Callee, requiredOf, surface } from "./surface.ts";
import { anything, type Arg, guess, Random, spoil, valuesOf, vary } from "./values.ts";

/** What came of a call. */
export interface Outcome {
  /** It returned. */
  readonly isValid: boolean;
  /** Something was thrown that is no error of Toro's. */
  readonly foreign?: unknown;
}

/** Valid calls that are kept of each callee, to begin from. */
const KEPT = 40;
/** Of the calls that begin from a valid one: those with nothing spoilt. */
const GENTLE = 0.72;
const THEN = ["text", "values", "backward", "again"];

/** A run of random calls. */
export class Session {
  readonly callees: readonly Callee[] = surface();
  /** How many calls of each callee were valid. */
  readonly validOf: Map<string, number> = new Map();
  readonly #known: Map<string, Call[]> = new Map();
  readonly #random: Random;

  constructor(seed: number, only = "") {
    this.#random = new Random(seed);
    if (only !== "") this.callees = this.callees.filter((c) => c.name === only);
    if (this.callees.length === 0) throw new Error(`nothing is called ${only}`);
    for (const c of this.callees) this.#known.set(c.name, [...c.known]);
  }

  /** The next call. */
  next(): Call {
    const r = this.#random;
    const callee = r.pick(this.callees);
    const known = this.#known.get(callee.name)!;
    const then = r.chance(0.2) ? [r.pick(THEN)] : [];
    if (known.length === 0 || r.chance(0.03)) {
      return { callee: callee.name, ...this.#guess(callee), then };
    }
    const { args, forward } = r.pick(known);
    const varied = { callee: callee.name, args: vary(r, args), forward: vary(r, forward), then };
    if (r.chance(GENTLE)) return varied;
    for (let times = r.chance(0.8) ? 1 : 2; times > 0; times--) {
      if (callee.forward !== undefined && r.chance(0.5)) {
        varied.forward = spoil(r, varied.forward, []);
      } else {
        varied.args = spoil(r, varied.args, callee.params.slice(requiredOf(callee)));
      }
    }
    return varied;
  }

  /** Arguments by the names of the parameters. */
  #guess(callee: Callee): { args: Arg[]; forward: Arg[] } {
    const r = this.#random;
    const shape = Array.from({ length: 1 + r.below(4) }, () => 1 + r.below(4));
    const args = callee.params.slice(0, requiredOf(callee)).map((p) =>
      r.chance(0.05) ? anything(r) : guess(r, p, shape)
    );
    // A layer's sizes are often those of its input.
    const numbers = args.filter((a): a is number => typeof a === "number" && a > 0 && a < 9);
    if (numbers.length > 0 && r.chance(0.7)) {
      shape[r.chance(0.6) ? shape.length - 1 : 1] = numbers[0];
    }
    const forward = (callee.forward ?? []).map((p) => guess(r, p, shape.map((n) => n ?? 2)));
    return { args, forward };
  }

  /** Makes a call; a valid one is kept to begin from. */
  async run(call: Call): Promise<Outcome> {
    const outcome = await runCall(this.callees, call);
    if (outcome.isValid) {
      this.validOf.set(call.callee, (this.validOf.get(call.callee) ?? 0) + 1);
      const known = this.#known.get(call.callee)!;
      if (JSON.stringify(call).length < 2000) {
        if (known.length < KEPT) known.push(call);
        // What the table gave stays.
        else known[known.length - 1 - this.#random.below(KEPT / 2)] = call;
      }
    }
    return outcome;
  }
}

/** Makes a call and does with its result what it says. */
export async function runCall(callees: readonly Callee[], call: Call): Promise<Outcome> {
  const callee = callees.find((c) => c.name === call.callee);
  if (callee === undefined) throw new Error(`nothing is called ${call.callee}`);
  let args: unknown[], forward: unknown[];
  try {
    args = valuesOf(call.args);
    forward = valuesOf(call.forward);
  } catch (error) {
    // What an argument stands for is no tensor: too large, say.
    return error instanceof ToroError || error instanceof RangeError
      ? { isValid: false }
      : { isValid: false, foreign: error };
  }
  let isValid = false;
  try {
    const result = await callee.invoke(args, forward);
    isValid = true;
    for (const then of call.then) {
      await follow(then, result, () => callee.invoke(args, forward));
    }
  } catch (error) {
    if (!(error instanceof ToroError)) return { isValid, foreign: error };
  }
  if (!isGradEnabled()) return { isValid, foreign: new Error("gradients were left switched off") };
  return { isValid };
}

async function follow(then: string, result: unknown, again: () => unknown): Promise<void> {
  if (then === "again") {
    await again();
    return;
  }
  for (const t of Array.isArray(result) ? result.slice(0, 4) : [result]) {
    if (!(t instanceof Tensor)) continue;
    if (then === "text") String(t);
    else if (then === "values" && t.numel < 10_000) t.toArray();
    else if (then === "backward" && t.requiresGrad && t.numel < 100_000) t.sum().backward();
  }
}
