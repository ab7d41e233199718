/**
 * The base of learning-rate schedulers, and those that are one formula.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import { Optimizer } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";
import { camelCase, snakeCase } from "./state_keys.ts";

/** A scheduler's state: plain values under PyTorch's names. */
export type SchedulerState = Record<string, unknown>;

/** Options that every scheduler takes. */
export interface SchedulerOptions {
  /** The step to go on from; default -1: from the start. */
  lastEpoch?: number;
}

/** Fails with the scheduler's name. */
export function fail(name: string, text: string): never {
  throw new ArgumentError(`Cannot make ${name}: ${text}`, { op: name });
}

/** An option that must be a number, whole where asked. */
export function checkNumber(
  name: string,
  what: string,
  value: unknown,
  low: number = -Infinity,
  whole: boolean = false,
): void {
  const ok = typeof value === "number" && value >= low && (!whole || Number.isInteger(value));
  if (ok) return;
  const kind = whole ? "a whole number" : "a number";
  fail(
    name,
    `${what} must be ${kind}${low === -Infinity ? "" : ` from ${low} on`}, got ${show(value)}`,
  );
}

/** Binds a scheduler's arguments and checks its optimiser. */
export function bindScheduler(signature: Signature, args: unknown[]): unknown[] {
  const bound = bind(signature, args);
  checkOptimizer(signature.name, bound[0]);
  return bound;
}

/** Fails unless a value is an optimiser. */
export function checkOptimizer(name: string, value: unknown): asserts value is Optimizer {
  if (!(value instanceof Optimizer)) fail(name, `${show(value)} is no optimiser`);
}

/** A value for each group, out of one for all or an array. */
export function perGroup(
  name: string,
  what: string,
  optimizer: Optimizer,
  value: unknown,
): number[] {
  const count = optimizer.paramGroups.length;
  if (!Array.isArray(value)) {
    checkNumber(name, what, value);
    return new Array<number>(count).fill(value as number);
  }
  if (value.length !== count) fail(name, `${what} has ${value.length} values for ${count} groups`);
  value.forEach((v, i) => checkNumber(name, `${what}[${i}]`, v));
  return [...value];
}

/** What the tensors of a state do not belong to. */
const NOT_STATE = new Set(["optimizer", "initial"]);

/**
 * The base of schedulers. `step()` after each epoch (or batch) sets the groups' learning rates from the ones before, by
 * PyTorch's recursive formulas, so that the sequences are the same to the last bit and a rate that somebody else changed
 * stays changed.
 */
export abstract class LRScheduler {
  readonly #scheduler = true;
  /** What it schedules. */
  readonly optimizer: Optimizer;
  /** The groups' rates before any schedule. */
  baseLrs: number[] = [];
  /** How many steps were taken. */
  lastEpoch: number;
  /** @ignore */
  _stepCount = 0;
  /** @ignore */
  _lastLr: number[] = [];
  /** Whether the first rates are being set. @ignore */
  protected initial = false;

  /** A scheduler that is about to take its first step. */
  protected constructor(name: string, optimizer: Optimizer, lastEpoch: unknown) {
    checkNumber(name, "lastEpoch", lastEpoch, -1, true);
    this.optimizer = optimizer;
    this.lastEpoch = lastEpoch as number;
    optimizer.paramGroups.forEach((group, i) => {
      if (this.lastEpoch === -1) group.initialLr ??= group.lr;
      else if (group.initialLr === undefined) {
        fail(
          name,
          `group ${i} has no initialLr to go on from at lastEpoch ${this.lastEpoch}; load the optimiser's state first`,
        );
      }
    });
    this.baseLrs = optimizer.paramGroups.map((g) => g.initialLr!);
  }

  /** Sets the first rates; every constructor ends with it. @ignore */
  start(): void {
    this._stepCount = 0;
    this.initial = true;
    try {
      this.step();
    } finally {
      this.initial = false;
    }
  }

  /** The groups' next rates, from the present ones. */
  protected abstract rates(): number[];

  /** The groups' rates at `lastEpoch`, from the base ones; null where there is no such formula. */
  protected closedForm(): number[] | null {
    return null;
  }

  /** Sets the next rates. */
  step(): void {
    this._stepCount++;
    this.lastEpoch++;
    this.setRates(this.rates());
  }

  /** Sets the rates of a given step. @ignore */
  moveTo(epoch: number): void {
    this.lastEpoch = epoch;
    this.setRates(this.closedForm() ?? this.rates());
  }

  /** Writes the groups' rates. */
  protected setRates(rates: readonly number[]): void {
    this.optimizer.paramGroups.forEach((group, i) => group.lr = rates[i]);
    this._lastLr = this.optimizer.paramGroups.map((g) => g.lr);
  }

  /** The rates that the last step set. */
  getLastLr(): number[] {
    return [...this._lastLr];
  }

  /** Each group's rate, changed by a function. */
  protected each(change: (lr: number, group: ParamGroup, i: number) => number): number[] {
    return this.optimizer.paramGroups.map((g, i) => change(g.lr, g, i));
  }

  /** The groups' rates as they are. */
  protected present(): number[] {
    return this.each((lr) => lr);
  }

  /** All that the scheduler is, but the optimiser; keys are PyTorch's. Functions are left out. */
  stateDict(): SchedulerState {
    const state: SchedulerState = {};
    for (const [key, value] of Object.entries(this)) {
      if (NOT_STATE.has(key) || typeof value === "function") continue;
      state[snakeCase(key)] = structuredClone(value);
    }
    return state;
  }

  /** Takes over a state that `stateDict()` gave, here or in PyTorch. */
  loadStateDict(state: SchedulerState): void {
    for (const [key, value] of Object.entries(state)) {
      const name = camelCase(key);
      if (NOT_STATE.has(name) || value === undefined) continue;
      if (Object.hasOwn(this, name)) {
        (this as Record<string, unknown>)[name] = structuredClone(value);
      }
    }
  }
}

/** The rate shrinks by `gamma` every `stepSize` steps. */
export class StepLR extends LRScheduler {
  readonly #step = true;
  /** Steps between changes. */
  stepSize: number;
  /** The factor. */
  gamma: number;

  /** The rate of every group is multiplied by `gamma` (default 0.1) after each `stepSize` steps. */
  constructor(
    optimizer: Optimizer,
    stepSize: number,
    ...options: [options?: StepOptions] | [gamma: number | null, options?: StepOptions]
  ) {
    const [o, size, gamma, last] = bindScheduler(STEP, [optimizer, stepSize, ...options]);
    checkNumber("StepLR", "stepSize", size, 1, true);
    checkNumber("StepLR", "gamma", gamma);
    super("StepLR", o as Optimizer, last);
    this.stepSize = size as number;
    this.gamma = gamma as number;
    this.start();
  }

  protected override rates(): number[] {
    const due = this.lastEpoch !== 0 && this.lastEpoch % this.stepSize === 0;
    return due ? this.each((lr) => lr * this.gamma) : this.present();
  }

  protected override closedForm(): number[] {
    return this.baseLrs.map((lr) => lr * this.gamma ** Math.floor(this.lastEpoch / this.stepSize));
  }
}

/** Options of `StepLR` and `MultiStepLR`. */
export interface StepOptions extends SchedulerOptions {
  /** The factor; default 0.1. */
  gamma?: number;
}

const STEP = declare(StepLR, "StepLR(optimizer, stepSize, gamma=0.1, lastEpoch=-1)");

/** The rate shrinks by `gamma` at given steps. */
export class MultiStepLR extends LRScheduler {
  readonly #multiStep = true;
  /** Where it changes, and how often each is named. */
  milestones: Record<string, number> = {};
  /** The factor. */
  gamma: number;

  /** The rate of every group is multiplied by `gamma` (default 0.1) at each of the milestones. */
  constructor(
    optimizer: Optimizer,
    milestones: readonly number[],
    ...options: [options?: StepOptions] | [gamma: number | null, options?: StepOptions]
  ) {
    const [o, steps, gamma, last] = bindScheduler(MULTI_STEP, [optimizer, milestones, ...options]);
    if (!Array.isArray(steps)) {
      fail("MultiStepLR", `milestones must be an array of steps, got ${show(steps)}`);
    }
    steps.forEach((m, i) => checkNumber("MultiStepLR", `milestones[${i}]`, m, 0, true));
    checkNumber("MultiStepLR", "gamma", gamma);
    super("MultiStepLR", o as Optimizer, last);
    for (const m of steps) this.milestones[m] = (this.milestones[m] ?? 0) + 1;
    this.gamma = gamma as number;
    this.start();
  }

  protected override rates(): number[] {
    const times = this.milestones[this.lastEpoch];
    return times === undefined ? this.present() : this.each((lr) => lr * this.gamma ** times);
  }

  protected override closedForm(): number[] {
    let times = 0;
    for (const [m, n] of Object.entries(this.milestones)) {
      if (Number(m) <= this.lastEpoch) times += n;
    }
    return this.baseLrs.map((lr) => lr * this.gamma ** times);
  }
}

const MULTI_STEP = declare(
  MultiStepLR,
  "MultiStepLR(optimizer, milestones, gamma=0.1, lastEpoch=-1)",
);

/** The rate shrinks by `gamma` in every step. */
export class ExponentialLR extends LRScheduler {
  readonly #exponential = true;
  /** The factor. */
  gamma: number;

  /** The rate of every group is multiplied by `gamma` in each step. */
  constructor(optimizer: Optimizer, gamma: number, options?: SchedulerOptions) {
    const [o, factor, last] = bindScheduler(EXPONENTIAL, [optimizer, gamma, options]);
    checkNumber("ExponentialLR", "gamma", factor);
    super("ExponentialLR", o as Optimizer, last);
    this.gamma = factor as number;
    this.start();
  }

  protected override rates(): number[] {
    return this.initial ? this.present() : this.each((lr) => lr * this.gamma);
  }

  protected override closedForm(): number[] {
    return this.baseLrs.map((lr) => lr * this.gamma ** this.lastEpoch);
  }
}

const EXPONENTIAL = declare(ExponentialLR, "ExponentialLR(optimizer, gamma, lastEpoch=-1)");

/** Options of `ConstantLR`. */
export interface ConstantOptions extends SchedulerOptions {
  /** The factor, from 0 to 1; default 1/3. */
  factor?: number;
  /** For how many steps it holds; default 5. */
  totalIters?: number;
}

/** The rate is `factor` times the base for some steps, then the base. */
export class ConstantLR extends LRScheduler {
  readonly #constant = true;
  /** The factor. */
  factor: number;
  /** For how many steps it holds. */
  totalIters: number;

  /** The rate of every group times `factor` until step `totalIters`. */
  constructor(
    optimizer: Optimizer,
    ...options:
      | [options?: ConstantOptions]
      | [factor: number | null, options?: ConstantOptions]
      | [factor: number | null, totalIters: number | null, options?: ConstantOptions]
  ) {
    const [o, factor, total, last] = bindScheduler(CONSTANT, [optimizer, ...options]);
    checkNumber("ConstantLR", "totalIters", total, 0, true);
    if (!(typeof factor === "number" && factor >= 0 && factor <= 1)) {
      fail("ConstantLR", `factor must be from 0 to 1, got ${show(factor)}`);
    }
    super("ConstantLR", o as Optimizer, last);
    this.factor = factor;
    this.totalIters = total as number;
    this.start();
  }

  protected override rates(): number[] {
    if (this.lastEpoch === 0) return this.each((lr) => lr * this.factor);
    return this.lastEpoch === this.totalIters
      ? this.each((lr) => lr * (1 / this.factor))
      : this.present();
  }

  protected override closedForm(): number[] {
    const done = this.lastEpoch >= this.totalIters ? 1 : 0;
    return this.baseLrs.map((lr) => lr * (this.factor + done * (1 - this.factor)));
  }
}

const CONSTANT = declare(
  ConstantLR,
  "ConstantLR(optimizer, factor=0.3333333333333333, totalIters=5, lastEpoch=-1)",
);

/** Options of `LinearLR`. */
export interface LinearOptions extends SchedulerOptions {
  /** The first factor, above 0 and at most 1; default 1/3. */
  startFactor?: number;
  /** The last factor, from 0 to 1; default 1. */
  endFactor?: number;
  /** Steps from the first to the last; default 5. */
  totalIters?: number;
}

/** The rate's factor goes from one number to another along a line: a warm-up. */
export class LinearLR extends LRScheduler {
  readonly #linear = true;
  /** The first factor. */
  startFactor: number;
  /** The last factor. */
  endFactor: number;
  /** Steps from the first to the last. */
  totalIters: number;

  /** The rate of every group times a factor that moves from `startFactor` to `endFactor` in `totalIters` steps. */
  constructor(
    optimizer: Optimizer,
    ...options:
      | [options?: LinearOptions]
      | [startFactor: number | null, options?: LinearOptions]
      | [startFactor: number | null, endFactor: number | null, options?: LinearOptions]
  ) {
    const [o, from, to, total, last] = bindScheduler(LINEAR, [optimizer, ...options]);
    if (!(typeof from === "number" && from > 0 && from <= 1)) {
      fail("LinearLR", `startFactor must be above 0 and at most 1, got ${show(from)}`);
    }
    if (!(typeof to === "number" && to >= 0 && to <= 1)) {
      fail("LinearLR", `endFactor must be from 0 to 1, got ${show(to)}`);
    }
    checkNumber("LinearLR", "totalIters", total, 0, true);
    super("LinearLR", o as Optimizer, last);
    this.startFactor = from;
    this.endFactor = to;
    this.totalIters = total as number;
    this.start();
  }

  protected override rates(): number[] {
    const { startFactor, endFactor, totalIters, lastEpoch } = this;
    if (lastEpoch === 0) return this.each((lr) => lr * startFactor);
    if (this.initial || lastEpoch > totalIters) return this.present();
    const rise = endFactor - startFactor;
    return this.each((lr) => lr * (1 + rise / (totalIters * startFactor + (lastEpoch - 1) * rise)));
  }

  protected override closedForm(): number[] {
    const { startFactor, endFactor, totalIters, lastEpoch } = this;
    return this.baseLrs.map((lr) =>
      lr * (startFactor + (endFactor - startFactor) * Math.min(totalIters, lastEpoch) / totalIters)
    );
  }
}

const LINEAR = declare(
  LinearLR,
  "LinearLR(optimizer, startFactor=0.3333333333333333, endFactor=1.0, totalIters=5, lastEpoch=-1)",
);

/** Options of `PolynomialLR`. */
export interface PolynomialOptions extends SchedulerOptions {
  /** Steps to zero; default 5. */
  totalIters?: number;
  /** The exponent; default 1. */
  power?: number;
}

/** The rate falls to zero along a power. */
export class PolynomialLR extends LRScheduler {
  readonly #polynomial = true;
  /** Steps to zero. */
  totalIters: number;
  /** The exponent. */
  power: number;

  /** The rate of every group times `(1 - step / totalIters) ^ power`. */
  constructor(
    optimizer: Optimizer,
    ...options:
      | [options?: PolynomialOptions]
      | [totalIters: number | null, options?: PolynomialOptions]
      | [totalIters: number | null, power: number | null, options?: PolynomialOptions]
  ) {
    const [o, total, power, last] = bindScheduler(POLYNOMIAL, [optimizer, ...options]);
    checkNumber("PolynomialLR", "totalIters", total, 0, true);
    checkNumber("PolynomialLR", "power", power);
    super("PolynomialLR", o as Optimizer, last);
    this.totalIters = total as number;
    this.power = power as number;
    this.start();
  }

  protected override rates(): number[] {
    const { totalIters, lastEpoch } = this;
    if (this.initial || lastEpoch > totalIters) return this.present();
    const factor = ((1 - lastEpoch / totalIters) / (1 - (lastEpoch - 1) / totalIters)) **
      this.power;
    return this.each((lr) => lr * factor);
  }

  protected override closedForm(): number[] {
    const left = 1 - Math.min(this.totalIters, this.lastEpoch) / this.totalIters;
    return this.baseLrs.map((lr) => lr * left ** this.power);
  }
}

const POLYNOMIAL = declare(
  PolynomialLR,
  "PolynomialLR(optimizer, totalIters=5, power=1.0, lastEpoch=-1)",
);

/** A factor for a step. */
export type LRLambda = (epoch: number) => number;

function lambdas(name: string, optimizer: Optimizer, given: unknown): LRLambda[] {
  const count = optimizer.paramGroups.length;
  const list = Array.isArray(given) ? given : new Array(count).fill(given);
  if (list.length !== count) fail(name, `${list.length} functions for ${count} groups`);
  for (const f of list) {
    if (typeof f !== "function") fail(name, `lrLambda must be a function, got ${show(f)}`);
  }
  return list;
}

/** The rate is the base times a function of the step. */
export class LambdaLR extends LRScheduler {
  readonly #lambda = true;
  readonly #lambdas: LRLambda[];

  /** `lrLambda(step)` times the base; one function, or one for each group. */
  constructor(
    optimizer: Optimizer,
    lrLambda: LRLambda | readonly LRLambda[],
    options?: SchedulerOptions,
  ) {
    const [o, f, last] = bindScheduler(LAMBDA, [optimizer, lrLambda, options]);
    super("LambdaLR", o as Optimizer, last);
    this.#lambdas = lambdas("LambdaLR", this.optimizer, f);
    this.start();
  }

  protected override rates(): number[] {
    return this.baseLrs.map((lr, i) => lr * this.#lambdas[i](this.lastEpoch));
  }
}

const LAMBDA = declare(LambdaLR, "LambdaLR(optimizer, lrLambda, lastEpoch=-1)");

/** The rate is multiplied by a function of the step. */
export class MultiplicativeLR extends LRScheduler {
  readonly #multiplicative = true;
  readonly #lambdas: LRLambda[];

  /** `lrLambda(step)` times the rate before; one function, or one for each group. */
  constructor(
    optimizer: Optimizer,
    lrLambda: LRLambda | readonly LRLambda[],
    options?: SchedulerOptions,
  ) {
    const [o, f, last] = bindScheduler(MULTIPLICATIVE, [optimizer, lrLambda, options]);
    super("MultiplicativeLR", o as Optimizer, last);
    this.#lambdas = lambdas("MultiplicativeLR", this.optimizer, f);
    this.start();
  }

  protected override rates(): number[] {
    return this.initial
      ? this.present()
      : this.each((lr, _, i) => lr * this.#lambdas[i](this.lastEpoch));
  }
}

const MULTIPLICATIVE = declare(
  MultiplicativeLR,
  "MultiplicativeLR(optimizer, lrLambda, lastEpoch=-1)",
);
