/**
 * Scaling of losses, so that small gradients do not vanish in float16.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, AutogradError, DTypeError, show } from "../errors.ts";
import { gradientsOf } from "../nn/gradients.ts";
import { bind, declare } from "../op.ts";
import { deviceNumber } from "../ops/creation.ts";
import { mapOut } from "../ops/map.ts";
import { moved } from "../ops/transfer.ts";
import { mul } from "../ops/pointwise.ts";
import { Optimizer } from "../optim/optimizer.ts";
import { empty, Tensor } from "../tensor.ts";

/** Options of `GradScaler`. */
export interface GradScalerOptions {
  /** The first scale; default 65536. */
  initScale?: number;
  /** What the scale is multiplied by after `growthInterval` steps without infinities; default 2. */
  growthFactor?: number;
  /** What the scale is multiplied by after a step with infinities; default 0.5. */
  backoffFactor?: number;
  /** Default 2000. */
  growthInterval?: number;
  /** With false nothing is scaled and every step is taken; default true. */
  enabled?: boolean;
}

/** A scaler's state; names are PyTorch's. */
export interface GradScalerState {
  scale: number;
  growth_factor: number;
  backoff_factor: number;
  growth_interval: number;
  _growth_tracker: number;
}

/** What was done with an optimiser since the last update. */
interface Progress {
  /** float32, 1 where an infinity or NaN was found; one for each device. */
  readonly found: readonly Tensor[];
  stepped: boolean;
}

/** Tensors to scale: one, or nested arrays of them. */
export type Scalable = Tensor | readonly Scalable[];

/**
 * Multiplies losses by a large number before backward, divides gradients by it before the step, and leaves out steps
 * whose gradients are infinite or NaN; the number grows while all goes well. The scale is kept in native memory, and one
 * instruction divides and looks through all gradients of an optimiser.
 *
 * Errors: AutogradError for calls out of order, DTypeError for float16 gradients (parameters stay in float32).
 * Source: Micikevicius et al. 2017, arXiv 1710.03740.
 *
 * ```ts
 * import { amp, autocast, nn, ones, optim } from "@toro/toro";
 * const model = new nn.Linear(4, 1);
 * const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
 * const scaler = new amp.GradScaler("cpu");
 * const loss = autocast({ dtype: "float16" }, () => model.forward(ones([2, 4])).square().mean());
 * scaler.scale(loss).backward();
 * scaler.unscale_(optimizer); // only needed to clip gradients here
 * nn.utils.clipGradNorm_(model.parameters(), 1);
 * scaler.step(optimizer);
 * scaler.update();
 * ```
 */
export class GradScaler {
  readonly #gradScaler = true;
  readonly #enabled: boolean;
  readonly #scale: Tensor;
  #growthFactor: number;
  #backoffFactor: number;
  #growthInterval: number;
  #tracker = 0;
  #progress = new Map<Optimizer, Progress>();

  /** A scaler of losses on any device; the one that may be named says where they mostly are, as in PyTorch. */
  constructor(device?: string | null | GradScalerOptions, options?: GradScalerOptions) {
    const [where, scale, growth, backoff, interval, enabled] = bind(SIGNATURE, [
      typeof device === "object" && device !== null ? device : { device, ...options },
    ]);
    deviceNumber(where, "make GradScaler");
    this.#enabled = enabled as boolean;
    this.#growthFactor = factor("growthFactor", growth, (x) => x > 1, "above 1");
    this.#backoffFactor = factor("backoffFactor", backoff, (x) => x < 1, "below 1");
    this.#growthInterval = whole(interval);
    this.#scale = empty([], DTYPES.float32);
    this.#setScale(factor("initScale", scale, (x) => x > 0, "above 0"));
    this.#scale.storage.kept = true;
  }

  #setScale(value: number): void {
    run("GradScaler", OP.fill, [this.#scale], [], [DTYPES.float32.code, value]);
    this.#scale.storage.version++;
  }

  /** Losses multiplied by the scale, in the form they were given in. */
  scale(outputs: Tensor): Tensor;
  /** Losses multiplied by the scale, in the form they were given in. */
  scale<T extends Scalable>(outputs: T): T;
  scale(outputs: Scalable): Scalable {
    if (!this.#enabled) return outputs;
    if (outputs instanceof Tensor) {
      // A copy, so that backward finds the scale that was used.
      const { device } = outputs.storage;
      const copy = inMode(
        false,
        () => device === 0 ? mul(this.#scale, 1) : moved(this.#scale, device),
      );
      return mul(outputs, copy);
    }
    if (Array.isArray(outputs)) return outputs.map((t: Scalable) => this.scale(t as Tensor));
    throw new ArgumentError(
      `Cannot scale ${show(outputs)}: it must be a tensor or an array of them`,
      {
        op: "scale",
      },
    );
  }

  /**
   * Divides the gradients of an optimiser's parameters by the scale; once between two updates. `step` does it by itself
   * where nobody needs the gradients before.
   */
  unscale_(optimizer: Optimizer): void {
    checkOptimizer("unscale_", optimizer);
    if (!this.#enabled) return;
    const before = this.#progress.get(optimizer);
    if (before !== undefined) {
      throw new AutogradError(
        before.stepped
          ? "Cannot unscale_ after step: update the scaler first"
          : "Cannot unscale_ a second time for this optimizer: update the scaler first",
        { op: "unscale_" },
      );
    }
    const params = optimizer.paramGroups.flatMap((group) => group.params);
    const half = params.find((p) => p.grad?.dtype === "float16");
    if (half !== undefined) {
      throw new DTypeError(
        `Cannot unscale_ the float16 gradient of ${show(half)}: divided, it may vanish`,
        { op: "unscale_", hint: "keep parameters in float32 and let autocast convert them" },
      );
    }
    const byDevice = Map.groupBy(params.filter((p) => p.grad), (p) => p.grad!.storage.device);
    if (byDevice.size === 0) {
      throw new AutogradError("Cannot unscale_: no parameter of the optimizer has a gradient", {
        op: "unscale_",
        hint: "call scaler.scale(loss).backward() first",
      });
    }
    const inverse = empty([], DTYPES.float32);
    mapOut("unscale_", OP.div, inverse, 1, this.#scale, DTYPES.float32);
    const found = [...byDevice].map(([device, params]) => {
      const gradients = gradientsOf(params, true), found = empty([], DTYPES.float32, device);
      const factor = device === 0 ? inverse : moved(inverse, device);
      run("unscale_", OP.fill, [found], [], [DTYPES.float32.code, 0]);
      gradients.inParts((operands, dense) =>
        run("unscale_", OP.grad_unscale, [found], [factor, ...operands], [dense])
      );
      gradients.changed();
      return found;
    });
    this.#progress.set(optimizer, { found, stepped: false });
  }

  /**
   * Steps the optimiser unless a gradient is infinite or NaN; unscales first where nobody did. Gives what the step gave.
   */
  step(optimizer: Optimizer): void {
    checkOptimizer("step", optimizer);
    if (!this.#enabled) return optimizer.step();
    if (this.#progress.get(optimizer)?.stepped) {
      throw new AutogradError(
        "Cannot step a second time for this optimizer: update the scaler first",
        {
          op: "step",
        },
      );
    }
    if (!this.#progress.has(optimizer)) this.unscale_(optimizer);
    const progress = this.#progress.get(optimizer)!;
    if (!foundAny(progress)) optimizer.step();
    progress.stepped = true;
  }

  /** Sets the scale for the next iteration: from what was found, or to a given number. */
  update(newScale: number | Tensor | null = null): void {
    if (!this.#enabled) return;
    if (newScale !== null) {
      const value = newScale instanceof Tensor ? newScale.item() : newScale;
      this.#setScale(factor("newScale", value, (x) => x > 0, "above 0"));
    } else {
      if (this.#progress.size === 0) {
        throw new AutogradError(
          "Cannot update: no optimizer was stepped or unscaled since the last",
          {
            op: "update",
          },
        );
      }
      const bad = [...this.#progress.values()].some(foundAny);
      if (bad) {
        this.#setScale(this.getScale() * this.#backoffFactor);
        this.#tracker = 0;
      } else if (++this.#tracker === this.#growthInterval) {
        const grown = Math.fround(this.getScale() * this.#growthFactor);
        if (Number.isFinite(grown)) this.#setScale(grown);
        this.#tracker = 0;
      }
    }
    this.#progress = new Map();
  }

  /** The scale; 1 where it is not enabled. */
  getScale(): number {
    return this.#enabled ? this.#scale.item() : 1;
  }

  /** What the scale grows by. */
  getGrowthFactor(): number {
    return this.#growthFactor;
  }

  /** Sets what the scale grows by. */
  setGrowthFactor(newFactor: number): void {
    this.#growthFactor = factor("growthFactor", newFactor, (x) => x > 1, "above 1");
  }

  /** What the scale shrinks by. */
  getBackoffFactor(): number {
    return this.#backoffFactor;
  }

  /** Sets what the scale shrinks by. */
  setBackoffFactor(newFactor: number): void {
    this.#backoffFactor = factor("backoffFactor", newFactor, (x) => x < 1, "below 1");
  }

  /** After how many good steps the scale grows. */
  getGrowthInterval(): number {
    return this.#growthInterval;
  }

  /** Sets after how many good steps the scale grows. */
  setGrowthInterval(newInterval: number): void {
    this.#growthInterval = whole(newInterval);
  }

  /** Whether anything is scaled. */
  isEnabled(): boolean {
    return this.#enabled;
  }

  /** The state, under PyTorch's names; empty where it is not enabled. */
  stateDict(): GradScalerState | Record<string, never> {
    if (!this.#enabled) return {};
    return {
      scale: this.getScale(),
      growth_factor: this.#growthFactor,
      backoff_factor: this.#backoffFactor,
      growth_interval: this.#growthInterval,
      _growth_tracker: this.#tracker,
    };
  }

  /** Takes over a state that `stateDict()` gave, here or in PyTorch. */
  loadStateDict(state: GradScalerState | Record<string, never>): void {
    if (!this.#enabled) return;
    if (typeof state?.scale !== "number") {
      throw new ArgumentError(
        `Cannot loadStateDict of GradScaler: ${
          show(state)
        } has no scale; it may come from one that is not enabled`,
        { op: "loadStateDict" },
      );
    }
    this.#setScale(state.scale);
    this.#growthFactor = state.growth_factor;
    this.#backoffFactor = state.backoff_factor;
    this.#growthInterval = state.growth_interval;
    this.#tracker = state._growth_tracker;
  }
}

const SIGNATURE = declare(
  GradScaler,
  "GradScaler(device=null, initScale=65536, growthFactor=2, backoffFactor=0.5, growthInterval=2000, enabled=true)",
);

/** Whether an infinity or NaN was found; waits for the devices. */
function foundAny({ found }: Progress): boolean {
  return found.some((mark) => mark.item() !== 0);
}

function checkOptimizer(op: string, value: unknown): asserts value is Optimizer {
  if (value instanceof Optimizer) return;
  throw new ArgumentError(`Cannot ${op} with ${show(value)}: it must be an optimizer`, { op });
}

function factor(what: string, value: unknown, fits: (x: number) => boolean, rule: string): number {
  if (typeof value === "number" && fits(value)) return value;
  throw new ArgumentError(
    `Cannot set ${what} of GradScaler to ${show(value)}: it must be ${rule}`,
    {
      op: "GradScaler",
    },
  );
}

function whole(value: unknown): number {
  if (Number.isInteger(value) && (value as number) > 0) return value as number;
  throw new ArgumentError(
    `Cannot set growthInterval of GradScaler to ${show(value)}: it must be a whole number above 0`,
    { op: "GradScaler" },
  );
}
