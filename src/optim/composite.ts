/**
 * Schedulers made of others, and the one that watches a metric.
 *
 * @module
 */
import { show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { Tensor } from "../tensor.ts";
import type { Optimizer } from "./optimizer.ts";
import {
  bindScheduler,
  checkNumber,
  checkOptimizer,
  fail,
  LRScheduler,
  perGroup,
  type SchedulerOptions,
  type SchedulerState,
} from "./scheduler.ts";

function checkSchedulers(
  name: string,
  optimizer: unknown,
  list: unknown,
): asserts list is LRScheduler[] {
  if (!Array.isArray(list) || list.length === 0) {
    fail(name, `schedulers must be an array of them, got ${show(list)}`);
  }
  list.forEach((s, i) => {
    if (s instanceof ReduceLROnPlateau) {
      fail(name, `scheduler ${i} is a ReduceLROnPlateau, which needs a metric to step`);
    }
    if (!(s instanceof LRScheduler)) fail(name, `scheduler ${i} is ${show(s)}, no scheduler`);
    if (s.optimizer !== optimizer) fail(name, `scheduler ${i} belongs to another optimiser`);
  });
}

/** What a composite scheduler shares: its parts' states are inside its own. */
abstract class Composite extends LRScheduler {
  readonly #parts: LRScheduler[];

  protected constructor(
    name: string,
    optimizer: Optimizer,
    parts: LRScheduler[],
    lastEpoch: unknown,
  ) {
    super(name, optimizer, lastEpoch);
    this.#parts = parts;
  }

  /** The schedulers that it is made of. @ignore */
  get parts(): readonly LRScheduler[] {
    return this.#parts;
  }

  protected override rates(): number[] {
    return this.present();
  }

  override stateDict(): SchedulerState {
    return { ...super.stateDict(), _schedulers: this.#parts.map((s) => s.stateDict()) };
  }

  override loadStateDict(state: SchedulerState): void {
    const { _schedulers, ...own } = state;
    super.loadStateDict(own);
    (_schedulers as SchedulerState[]).forEach((s, i) => this.#parts[i].loadStateDict(s));
  }
}

/** Takes back the first step that schedulers took when they were made. */
function undo(scheduler: LRScheduler): void {
  if (scheduler instanceof Composite) scheduler.parts.forEach(undo);
  else scheduler.lastEpoch--;
}

/** Schedulers one after another: a warm-up, then a decay. */
export class SequentialLR extends Composite {
  readonly #sequential = true;
  /** Where each but the first begins. */
  _milestones: number[];

  /** `schedulers[i + 1]` takes over at step `milestones[i]`. */
  constructor(
    optimizer: Optimizer,
    schedulers: readonly LRScheduler[],
    milestones: readonly number[],
    options?: SchedulerOptions,
  ) {
    const name = "SequentialLR";
    const [o, list, at, last] = bindScheduler(SEQUENTIAL, [
      optimizer,
      schedulers,
      milestones,
      options,
    ]);
    checkSchedulers(name, o, list);
    if (!Array.isArray(at) || at.length !== list.length - 1) {
      fail(name, `${list.length} schedulers need ${list.length - 1} milestones, got ${show(at)}`);
    }
    at.forEach((m, i) => checkNumber(name, `milestones[${i}]`, m, 0, true));
    super(name, o as Optimizer, list, last);
    this._milestones = [...at];
    this.lastEpoch = (last as number) + 1;
    for (const group of this.optimizer.paramGroups) group.lr = group.initialLr!;
    undo(this);
    const first = this.#at(0);
    first.start();
    this._lastLr = first.getLastLr();
  }

  #place(step: number): number {
    let i = 0;
    while (i < this._milestones.length && this._milestones[i] <= step) i++;
    return i;
  }

  #at(step: number): LRScheduler {
    return this.parts[this.#place(step)];
  }

  override step(): void {
    this.lastEpoch++;
    const i = this.#place(this.lastEpoch);
    const scheduler = this.parts[i];
    if (i > 0 && this._milestones[i - 1] === this.lastEpoch) scheduler.moveTo(0);
    else scheduler.step();
    this._lastLr = scheduler.getLastLr();
  }
}

const SEQUENTIAL = declare(
  SequentialLR,
  "SequentialLR(optimizer, schedulers, milestones, lastEpoch=-1)",
);

/** Schedulers at once: each step is a step of all, in order. */
export class ChainedScheduler extends Composite {
  readonly #chained = true;

  /** All of the schedulers' changes together. */
  constructor(schedulers: readonly LRScheduler[], optimizer?: Optimizer | null) {
    const [list, given] = bind(CHAINED, [schedulers, optimizer]);
    const o = given ?? (Array.isArray(list) ? list[0]?.optimizer : undefined);
    checkSchedulers("ChainedScheduler", o, list);
    checkOptimizer("ChainedScheduler", o);
    super("ChainedScheduler", o, list, -1);
    this._lastLr = this.present();
  }

  override step(): void {
    for (const s of this.parts) s.step();
    this._lastLr = this.present();
  }
}

const CHAINED = declare(ChainedScheduler, "ChainedScheduler(schedulers, optimizer=null)");

/** Options of `ReduceLROnPlateau`. */
export interface PlateauOptions {
  /** `"min"` (default): the metric should fall; `"max"`: rise. */
  mode?: "min" | "max";
  /** The factor, below 1; default 0.1. */
  factor?: number;
  /** Steps without improvement that are borne; default 10. */
  patience?: number;
  /** What counts as improvement; default 1e-4. */
  threshold?: number;
  /** Whether the threshold is a share of the best (`"rel"`, default) or a difference (`"abs"`). */
  thresholdMode?: "rel" | "abs";
  /** Steps after a change in which nothing is counted; default 0. */
  cooldown?: number;
  /** The lowest rate; default 0. */
  minLr?: number | readonly number[];
  /** Smaller changes are not made; default 1e-8. */
  eps?: number;
}

/** The rate shrinks when a metric has stopped improving: `scheduler.step(validLoss)`. */
export class ReduceLROnPlateau {
  readonly #plateau = true;
  /** What it schedules. */
  readonly optimizer: Optimizer;
  /** `"min"` or `"max"`. */
  mode: string;
  /** The factor. */
  factor: number;
  /** Steps without improvement that are borne. */
  patience: number;
  /** What counts as improvement. */
  threshold: number;
  /** `"rel"` or `"abs"`. */
  thresholdMode: string;
  /** Steps after a change in which nothing is counted. */
  cooldown: number;
  /** The groups' lowest rates. */
  minLrs: number[];
  /** Smaller changes are not made. */
  eps: number;
  /** The best metric so far. */
  best: number;
  /** What is left of the cooldown. */
  cooldownCounter = 0;
  /** Steps without improvement. */
  numBadEpochs = 0;
  /** How many steps were taken. */
  lastEpoch = 0;
  /** @ignore */
  _lastLr: number[];

  /** Multiplies the rates by `factor` after `patience` steps without improvement. */
  constructor(optimizer: Optimizer, options?: PlateauOptions) {
    const name = "ReduceLROnPlateau";
    const [o, mode, factor, patience, threshold, thresholdMode, cooldown, minLr, eps] =
      bindScheduler(PLATEAU, [
        optimizer,
        options,
      ]) as [Optimizer, string, number, number, number, string, number, unknown, number];
    if (!(factor < 1)) fail(name, `factor must be below 1, got ${show(factor)}`);
    if (mode !== "min" && mode !== "max") {
      fail(name, `mode must be "min" or "max", got ${show(mode)}`);
    }
    if (thresholdMode !== "rel" && thresholdMode !== "abs") {
      fail(name, `thresholdMode must be "rel" or "abs", got ${show(thresholdMode)}`);
    }
    checkNumber(name, "patience", patience, 0);
    checkNumber(name, "threshold", threshold);
    checkNumber(name, "cooldown", cooldown, 0);
    checkNumber(name, "eps", eps);
    this.optimizer = o;
    this.mode = mode;
    this.factor = factor;
    this.patience = patience;
    this.threshold = threshold;
    this.thresholdMode = thresholdMode;
    this.cooldown = cooldown;
    this.minLrs = perGroup(name, "minLr", o, minLr);
    this.eps = eps;
    this.best = mode === "min" ? Infinity : -Infinity;
    this._lastLr = o.paramGroups.map((g) => g.lr);
  }

  #isBetter(x: number): boolean {
    const { best, threshold } = this;
    if (this.mode === "min") {
      return x < (this.thresholdMode === "rel" ? best * (1 - threshold) : best - threshold);
    }
    return x > (this.thresholdMode === "rel" ? best * (threshold + 1) : best + threshold);
  }

  /** Takes the metric of an epoch, a number or a tensor of one element. */
  step(metrics: number | Tensor): void {
    const x = metrics instanceof Tensor ? metrics.item() : metrics;
    this.lastEpoch++;
    if (this.#isBetter(x)) {
      this.best = x;
      this.numBadEpochs = 0;
    } else this.numBadEpochs++;
    if (this.cooldownCounter > 0) {
      this.cooldownCounter--;
      this.numBadEpochs = 0;
    }
    if (this.numBadEpochs > this.patience) {
      this.optimizer.paramGroups.forEach((group, i) => {
        const next = Math.max(group.lr * this.factor, this.minLrs[i] ?? this.minLrs[0]);
        if (group.lr - next > this.eps) group.lr = next;
      });
      this.cooldownCounter = this.cooldown;
      this.numBadEpochs = 0;
    }
    this._lastLr = this.optimizer.paramGroups.map((g) => g.lr);
  }

  /** The rates that the last step left. */
  getLastLr(): number[] {
    return [...this._lastLr];
  }

  /** All that the scheduler is, but the optimiser; keys are PyTorch's. */
  stateDict(): SchedulerState {
    return LRScheduler.prototype.stateDict.call(this as never);
  }

  /** Takes over a state that `stateDict()` gave, here or in PyTorch. */
  loadStateDict(state: SchedulerState): void {
    LRScheduler.prototype.loadStateDict.call(this as never, state);
    // JSON has no infinity: a best that was never reached comes back as null.
    this.best ??= this.mode === "min" ? Infinity : -Infinity;
  }
}

const PLATEAU = declare(
  ReduceLROnPlateau,
  "ReduceLROnPlateau(optimizer, mode='min', factor=0.1, patience=10, threshold=1e-4, thresholdMode='rel', cooldown=0, minLr=0, eps=1e-8)",
);
