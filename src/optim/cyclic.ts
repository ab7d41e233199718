/**
 * Schedulers that go in waves: cosine annealing, with restarts, one cycle, cycles.
 *
 * @module
 */
import { show } from "../errors.ts";
import { declare } from "../op.ts";
import type { Optimizer } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";
import {
  bindScheduler,
  checkNumber,
  fail,
  LRScheduler,
  perGroup,
  type SchedulerOptions,
  type SchedulerState,
} from "./scheduler.ts";

/** Options of `CosineAnnealingLR`. */
export interface CosineOptions extends SchedulerOptions {
  /** The lowest rate; default 0. */
  etaMin?: number;
}

/**
 * The rate falls along half a cosine from the base to `etaMin` in `TMax` steps:
 * `etaMin + (base - etaMin) · (1 + cos(π · step / TMax)) / 2`. Source: Loshchilov and Hutter 2016, arXiv 1608.03983.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const optimizer = new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 1 });
 * const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, 100, { etaMin: 1e-6 });
 * scheduler.step();
 * console.log(scheduler.getLastLr());
 * ```
 */
export class CosineAnnealingLR extends LRScheduler {
  readonly #cosine = true;
  /** Steps down. */
  TMax: number;
  /** The lowest rate. */
  etaMin: number;

  /** Down to `etaMin` in `TMax` steps. */
  constructor(
    optimizer: Optimizer,
    TMax: number,
    ...options: [options?: CosineOptions] | [etaMin: number | null, options?: CosineOptions]
  ) {
    const [o, steps, low, last] = bindScheduler(COSINE, [optimizer, TMax, ...options]);
    checkNumber("CosineAnnealingLR", "TMax", steps, 1);
    checkNumber("CosineAnnealingLR", "etaMin", low);
    super("CosineAnnealingLR", o as Optimizer, last);
    this.TMax = steps as number;
    this.etaMin = low as number;
    this.start();
  }

  protected override rates(): number[] {
    const { TMax, etaMin, lastEpoch } = this;
    if (this.initial) return this.present();
    if (this._stepCount === 1 && lastEpoch > 0) {
      return this.baseLrs.map((lr) =>
        etaMin + (lr - etaMin) * (1 + Math.cos(lastEpoch * Math.PI / TMax)) / 2
      );
    }
    if ((lastEpoch - 1 - TMax) % (2 * TMax) === 0) {
      return this.each((lr, _, i) =>
        lr + (this.baseLrs[i] - etaMin) * (1 - Math.cos(Math.PI / TMax)) / 2
      );
    }
    const ratio = (1 + Math.cos(Math.PI * lastEpoch / TMax)) /
      (1 + Math.cos(Math.PI * (lastEpoch - 1) / TMax));
    return this.each((lr) => ratio * (lr - etaMin) + etaMin);
  }

  protected override closedForm(): number[] {
    const { TMax, etaMin, lastEpoch } = this;
    return this.baseLrs.map((lr) =>
      etaMin + (lr - etaMin) * (1 + Math.cos(Math.PI * lastEpoch / TMax)) / 2
    );
  }
}

const COSINE = declare(
  CosineAnnealingLR,
  "CosineAnnealingLR(optimizer, TMax, etaMin=0.0, lastEpoch=-1)",
);

/** Options of `CosineAnnealingWarmRestarts`. */
export interface WarmRestartsOptions extends SchedulerOptions {
  /** How many times longer each wave is than the one before; default 1. */
  TMult?: number;
  /** The lowest rate; default 0. */
  etaMin?: number;
}

/** The rate falls along half a cosine, jumps back to the base, and falls again. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  readonly #restarts = true;
  /** Steps of the first wave. */
  T0: number;
  /** Steps of the present wave. */
  TI: number;
  /** How many times longer each is than the one before. */
  TMult: number;
  /** The lowest rate. */
  etaMin: number;
  /** Steps since the last restart. */
  TCur: number;

  /** Waves of `T0`, `T0 · TMult`, … steps. */
  constructor(
    optimizer: Optimizer,
    T0: number,
    ...options:
      | [options?: WarmRestartsOptions]
      | [TMult: number | null, options?: WarmRestartsOptions]
      | [TMult: number | null, etaMin: number | null, options?: WarmRestartsOptions]
  ) {
    const name = "CosineAnnealingWarmRestarts";
    const [o, first, times, low, last] = bindScheduler(RESTARTS, [optimizer, T0, ...options]);
    checkNumber(name, "T0", first, 1, true);
    checkNumber(name, "TMult", times, 1, true);
    checkNumber(name, "etaMin", low);
    super(name, o as Optimizer, last);
    this.T0 = this.TI = first as number;
    this.TMult = times as number;
    this.etaMin = low as number;
    this.TCur = last as number;
    this.start();
  }

  protected override rates(): number[] {
    return this.baseLrs.map((lr) =>
      this.etaMin + (lr - this.etaMin) * (1 + Math.cos(Math.PI * this.TCur / this.TI)) / 2
    );
  }

  override step(): void {
    this._stepCount++;
    if (this.lastEpoch < 0) {
      this.moveTo(0);
      return;
    }
    this.TCur++;
    if (this.TCur >= this.TI) {
      this.TCur %= this.TI;
      this.TI *= this.TMult;
    }
    this.lastEpoch++;
    this.setRates(this.rates());
  }

  override moveTo(epoch: number): void {
    this.TI = this.T0;
    this.TCur = epoch;
    while (this.TCur >= this.TI) {
      this.TCur -= this.TI;
      this.TI *= this.TMult;
    }
    this.lastEpoch = Math.floor(epoch);
    this.setRates(this.rates());
  }
}

const RESTARTS = declare(
  CosineAnnealingWarmRestarts,
  "CosineAnnealingWarmRestarts(optimizer, T0, TMult=1, etaMin=0.0, lastEpoch=-1)",
);

/** Sets a group's momentum, or Adam's first beta. */
function setMomentum(group: ParamGroup, momentum: number): void {
  if (group.betas !== undefined) group.betas = [momentum, group.betas[1]];
  else group.momentum = momentum;
}

/** Makes every group ready for a momentum that goes between two values. */
function prepareMomentum(
  name: string,
  optimizer: Optimizer,
  low: unknown,
  high: unknown,
  first: boolean,
): void {
  if (!("momentum" in optimizer.defaults || "betas" in optimizer.defaults)) {
    fail(
      name,
      "the optimiser has neither momentum nor betas to cycle; pass { cycleMomentum: false }",
    );
  }
  const highs = perGroup(name, "maxMomentum", optimizer, high),
    lows = perGroup(name, "baseMomentum", optimizer, low);
  if (!first) return;
  optimizer.paramGroups.forEach((group, i) => {
    group.maxMomentum = highs[i];
    group.baseMomentum = lows[i];
    setMomentum(group, highs[i]);
  });
}

/** Options of `OneCycleLR`. */
export interface OneCycleOptions extends SchedulerOptions {
  /** Steps in all. */
  totalSteps?: number | null;
  /** Instead of them: epochs, and steps of each. */
  epochs?: number | null;
  /** Steps of an epoch. */
  stepsPerEpoch?: number | null;
  /** The share of steps in which the rate rises; default 0.3. */
  pctStart?: number;
  /** `"cos"` (default) or `"linear"`. */
  annealStrategy?: "cos" | "linear";
  /** Move momentum against the rate; default true. */
  cycleMomentum?: boolean;
  /** The lowest momentum; default 0.85. */
  baseMomentum?: number | readonly number[];
  /** The highest momentum; default 0.95. */
  maxMomentum?: number | readonly number[];
  /** How many times smaller the first rate is than the highest; default 25. */
  divFactor?: number;
  /** How many times smaller the last rate is than the first; default 10,000. */
  finalDivFactor?: number;
  /** Come back to the first rate before going lower; default false. */
  threePhase?: boolean;
}

interface Phase {
  endStep: number;
  startLr: string;
  endLr: string;
  startMomentum: string;
  endMomentum: string;
}

/** The rate rises once to a maximum and falls far below where it began. Source: Smith and Topin 2017, arXiv 1708.07120. */
export class OneCycleLR extends LRScheduler {
  readonly #oneCycle = true;
  /** Steps in all. */
  totalSteps: number;
  /** Whether momentum moves against the rate. */
  cycleMomentum: boolean;
  /** @ignore */
  _schedulePhases: Phase[];
  /** @ignore */
  _annealFuncType: "cos" | "linear";

  /** Up to `maxLr` and down again. */
  constructor(
    optimizer: Optimizer,
    maxLr: number | readonly number[],
    ...options:
      | [options?: OneCycleOptions]
      | [totalSteps: number | null, options?: OneCycleOptions]
      | [totalSteps: number | null, epochs: number | null, options?: OneCycleOptions]
  ) {
    const name = "OneCycleLR";
    const [
      o,
      max,
      total,
      epochs,
      per,
      pct,
      strategy,
      cycle,
      low,
      high,
      div,
      finalDiv,
      three,
      last,
    ] = bindScheduler(
      ONE_CYCLE,
      [optimizer, maxLr, ...options],
    ) as [
      Optimizer,
      unknown,
      number,
      number,
      number,
      number,
      unknown,
      boolean,
      unknown,
      unknown,
      number,
      number,
      boolean,
      number,
    ];
    if (total === null && (epochs === null || per === null)) {
      fail(name, "give totalSteps, or both epochs and stepsPerEpoch");
    }
    const steps = total ?? epochs * per;
    checkNumber(name, "totalSteps", steps, 1, true);
    if (!(pct >= 0 && pct <= 1)) fail(name, `pctStart must be from 0 to 1, got ${show(pct)}`);
    if (strategy !== "cos" && strategy !== "linear") {
      fail(name, `annealStrategy must be "cos" or "linear", got ${show(strategy)}`);
    }
    checkNumber(name, "divFactor", div);
    checkNumber(name, "finalDivFactor", finalDiv);
    const highest = perGroup(name, "maxLr", o, max);
    if (last === -1) {
      o.paramGroups.forEach((group, i) => {
        group.initialLr = highest[i] / div;
        group.maxLr = highest[i];
        group.minLr = group.initialLr / finalDiv;
      });
    }
    if (cycle) prepareMomentum(name, o, low, high, last === -1);
    super(name, o, last);
    this.totalSteps = steps;
    this.cycleMomentum = cycle;
    this._annealFuncType = strategy;
    const up = {
      startLr: "initialLr",
      endLr: "maxLr",
      startMomentum: "maxMomentum",
      endMomentum: "baseMomentum",
    };
    const down = { startLr: "maxLr", startMomentum: "baseMomentum", endMomentum: "maxMomentum" };
    this._schedulePhases = three
      ? [
        { endStep: pct * steps - 1, ...up },
        { endStep: 2 * pct * steps - 2, endLr: "initialLr", ...down },
        {
          ...down,
          endStep: steps - 1,
          startLr: "initialLr",
          endLr: "minLr",
          startMomentum: "maxMomentum",
        },
      ]
      : [{ endStep: pct * steps - 1, ...up }, { endStep: steps - 1, endLr: "minLr", ...down }];
    this.start();
  }

  #anneal(start: number, end: number, share: number): number {
    if (this._annealFuncType === "linear") return (end - start) * share + start;
    return end + (start - end) / 2 * (Math.cos(Math.PI * share) + 1);
  }

  protected override rates(): number[] {
    const { lastEpoch: step, totalSteps, _schedulePhases: phases } = this;
    if (step > totalSteps) {
      fail("OneCycleLR", `step ${step} is past the ${totalSteps} that it was made for`);
    }
    return this.each((_, group) => {
      let start = 0, at = 0;
      while (at < phases.length - 1 && step > phases[at].endStep) start = phases[at++].endStep;
      const { endStep, startLr, endLr, startMomentum, endMomentum } = phases[at];
      const share = (step - start) / (endStep - start);
      const between = (a: string, b: string) =>
        this.#anneal(group[a] as number, group[b] as number, share);
      if (this.cycleMomentum) setMomentum(group, between(startMomentum, endMomentum));
      return between(startLr, endLr);
    });
  }

  override loadStateDict(state: SchedulerState): void {
    const own = structuredClone(this._schedulePhases);
    super.loadStateDict(state);
    // The phases name fields of groups; PyTorch's names are not ours.
    this._schedulePhases.forEach((phase, i) => {
      const given = phase as Phase & { end_step?: number };
      own[i].endStep = given.endStep ?? given.end_step ?? own[i].endStep;
    });
    this._schedulePhases = own;
  }
}

const ONE_CYCLE = declare(
  OneCycleLR,
  "OneCycleLR(optimizer, maxLr, totalSteps=null, epochs=null, stepsPerEpoch=null, pctStart=0.3, annealStrategy='cos', " +
    "cycleMomentum=true, baseMomentum=0.85, maxMomentum=0.95, divFactor=25.0, finalDivFactor=10000.0, threePhase=false, lastEpoch=-1)",
);

/** Options of `CyclicLR`. */
export interface CyclicOptions extends SchedulerOptions {
  /** Steps up; default 2000. */
  stepSizeUp?: number;
  /** Steps down; default: as up. */
  stepSizeDown?: number | null;
  /** `"triangular"` (default), `"triangular2"` (each wave half as high), `"exp_range"` (height times gammaˢᵗᵉᵖ). */
  mode?: "triangular" | "triangular2" | "exp_range";
  /** Of `"exp_range"`; default 1. */
  gamma?: number;
  /** A factor of the height instead of `mode`'s. */
  scaleFn?: ((x: number) => number) | null;
  /** Whether it takes the number of the `"cycle"` (default) or of the step, `"iterations"`. */
  scaleMode?: "cycle" | "iterations";
  /** Move momentum against the rate; default true. */
  cycleMomentum?: boolean;
  /** The lowest momentum; default 0.8. */
  baseMomentum?: number | readonly number[];
  /** The highest momentum; default 0.9. */
  maxMomentum?: number | readonly number[];
}

/** The rate goes up and down between two values. Source: Smith 2015, arXiv 1506.01186. */
export class CyclicLR extends LRScheduler {
  readonly #cyclic = true;
  /** The rates at the top. */
  maxLrs: number[];
  /** Steps of a wave. */
  totalSize: number;
  /** The share of them that goes up. */
  stepRatio: number;
  /** How the height changes from wave to wave. */
  mode: string;
  /** Of `"exp_range"`. */
  gamma: number;
  /** What the height's factor depends on. */
  scaleMode: string;
  /** Whether momentum moves against the rate. */
  cycleMomentum: boolean;
  readonly #scale: (x: number) => number;

  /** Waves from `baseLr` to `maxLr`. */
  constructor(
    optimizer: Optimizer,
    baseLr: number | readonly number[],
    maxLr: number | readonly number[],
    ...options:
      | [options?: CyclicOptions]
      | [stepSizeUp: number | null, options?: CyclicOptions]
      | [stepSizeUp: number | null, stepSizeDown: number | null, options?: CyclicOptions]
  ) {
    const name = "CyclicLR";
    const [o, base, max, up, down, mode, gamma, scaleFn, scaleMode, cycle, low, high, last] =
      bindScheduler(CYCLIC, [
        optimizer,
        baseLr,
        maxLr,
        ...options,
      ]) as [
        Optimizer,
        unknown,
        unknown,
        number,
        number | null,
        string,
        number,
        unknown,
        string,
        boolean,
        unknown,
        unknown,
        number,
      ];
    checkNumber(name, "stepSizeUp", up, 0);
    if (down !== null) checkNumber(name, "stepSizeDown", down, 0);
    if (scaleFn !== null && typeof scaleFn !== "function") {
      fail(name, `scaleFn must be a function, got ${show(scaleFn)}`);
    }
    if (scaleFn === null && !["triangular", "triangular2", "exp_range"].includes(mode)) {
      fail(name, `mode must be "triangular", "triangular2" or "exp_range", got ${show(mode)}`);
    }
    const bases = perGroup(name, "baseLr", o, base);
    const tops = perGroup(name, "maxLr", o, max);
    if (last === -1) o.paramGroups.forEach((group, i) => group.lr = bases[i]);
    if (cycle) prepareMomentum(name, o, low, high, last === -1);
    super(name, o, last);
    this.maxLrs = tops;
    this.totalSize = up + (down ?? up);
    this.stepRatio = up / this.totalSize;
    this.mode = mode;
    this.gamma = gamma;
    this.cycleMomentum = cycle;
    this.baseLrs = bases;
    this.scaleMode = scaleFn !== null ? scaleMode : mode === "exp_range" ? "iterations" : "cycle";
    this.#scale = scaleFn !== null
      ? scaleFn as (x: number) => number
      : (x) =>
        this.mode === "triangular"
          ? 1
          : this.mode === "triangular2"
          ? 1 / 2 ** (x - 1)
          : this.gamma ** x;
    this.start();
  }

  protected override rates(): number[] {
    const { lastEpoch, totalSize, stepRatio } = this;
    const cycle = Math.floor(1 + lastEpoch / totalSize);
    const x = 1 + lastEpoch / totalSize - cycle;
    const height = x <= stepRatio ? x / stepRatio : (x - 1) / (stepRatio - 1);
    const scale = this.#scale(this.scaleMode === "cycle" ? cycle : lastEpoch);
    return this.each((_, group, i) => {
      if (this.cycleMomentum) {
        const low = group.baseMomentum as number, high = group.maxMomentum as number;
        setMomentum(group, high - (high - low) * height * scale);
      }
      return this.baseLrs[i] + (this.maxLrs[i] - this.baseLrs[i]) * height * scale;
    });
  }
}

const CYCLIC = declare(
  CyclicLR,
  "CyclicLR(optimizer, baseLr, maxLr, stepSizeUp=2000, stepSizeDown=null, mode='triangular', gamma=1.0, scaleFn=null, " +
    "scaleMode='cycle', cycleMomentum=true, baseMomentum=0.8, maxMomentum=0.9, lastEpoch=-1)",
);
