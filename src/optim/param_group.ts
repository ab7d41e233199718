/**
 * A group of parameters with its options. Numbers that updates depend on are kept in native cells too, which every
 * assignment rewrites, so that steps which native replays by itself see them.
 *
 * @module
 */
import * as native from "../../ffi/library.ts";
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { DTYPES } from "../dtype.ts";
import { empty, type Tensor } from "../tensor.ts";

/** Parameters that share their options. Options are read and written as fields: `group.lr = 1e-4`. */
export class ParamGroup {
  /** The parameters. */
  readonly params: Tensor[];
  /** What native reads when it updates: a few float64. @ignore */
  declare readonly cells: Tensor;
  /** Each parameter's count of steps, then each one's counters of the rule's own, kind by kind; float64. @ignore */
  declare readonly steps: Tensor;
  /** What is in the cells. @ignore */
  declare readonly hyper: () => number[];
  /** The learning rate. */
  declare lr: number;
  /** The weight decay. */
  declare weightDecay: number;
  /** Adam's factors of moments; assign a new pair to change them. */
  declare betas: readonly [number, number];
  /** SGD's momentum. */
  declare momentum: number;
  /** The learning rate that schedulers start from. */
  declare initialLr: number | undefined;
  /** Options of particular optimisers and schedulers. */
  [option: string]: unknown;

  /** A group of these options. @ignore */
  constructor(
    params: Tensor[],
    options: Record<string, unknown>,
    hyper: (group: ParamGroup) => number[],
    ownCounters = 0,
  ) {
    this.params = params;
    // On the CPU, wherever the parameters are: instructions read them when they run.
    const steps = empty([params.length * (1 + ownCounters)], DTYPES.float64);
    if (params.length > 0) run("fill", OP.fill, [steps], [], [DTYPES.float64.code, 0]);
    const hidden = {
      cells: empty([CELLS], DTYPES.float64),
      steps,
      hyper: () => hyper(this),
    };
    for (const [name, value] of Object.entries(hidden)) {
      Object.defineProperty(this, name, { value });
    }
    const values: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(options)) {
      values[name] = frozen(value);
      Object.defineProperty(this, name, {
        enumerable: true,
        get: () => values[name],
        set: (value: unknown) => {
          if (Object.is(values[name], value)) return;
          values[name] = frozen(value);
          this.#writeCells();
        },
      });
    }
    this.#writeCells();
  }

  /** All options, with what schedulers added. @ignore */
  options(): Record<string, unknown> {
    const { params: _, ...options } = this;
    return options;
  }

  /** Takes over options by name. @ignore */
  assign(options: Record<string, unknown>): void {
    for (const [name, value] of Object.entries(options)) this[name] = value;
  }

  /** How many steps parameter `index` has taken; or its counter `own` of the rule's own, from 1 on. @ignore */
  readStep(index: number, own = 0): number {
    const { storage } = this.steps;
    const out = new Float64Array(1);
    native.read(storage.handle, storage.byteOffset + 8 * this.#counter(index, own), out);
    return out[0];
  }

  /** Sets how many steps parameter `index` has taken, or its counter `own`. @ignore */
  writeStep(index: number, step: number, own = 0): void {
    const { storage } = this.steps;
    const at = storage.byteOffset + 8 * this.#counter(index, own);
    native.write(storage.handle, at, Float64Array.of(step));
  }

  #counter(index: number, own: number): number {
    return own * this.params.length + index;
  }

  #writeCells(): void {
    const { storage } = this.cells;
    const values = new Float64Array(CELLS);
    values.set(this.hyper());
    native.write(storage.handle, storage.byteOffset, values);
  }
}

/** How many numbers native reads of a group. */
const CELLS = 6;

/** Arrays are frozen, because a change of one element would not be seen. */
function frozen(value: unknown): unknown {
  return Array.isArray(value) ? Object.freeze([...value]) : value;
}

/** How many steps of momentum without gradient matter: what is dropped after them is below half a unit in the last place. */
export function replaySteps(
  params: readonly Tensor[],
  beta1: number,
  beta2: number,
  eps: number,
): number {
  if (beta1 <= 0) return 1;
  if (beta1 >= 1) return Infinity;
  const bits = params.some((p) => p.dtype === "float64") ? 53 : 24;
  const drop = bits * Math.LN2;
  const slow = -Math.log(beta1), shrink = -Math.log(beta2) / 2;
  // The update is m / (√v + eps). Where v hardly shrinks meanwhile, m alone decides: 158 steps for 0.9, 1,655 for 0.99.
  if (shrink <= slow / 8) return Math.max(1, Math.round(drop / slow));
  // Else the ratio counts, which may even grow; but not for longer than √v is above eps.
  const byRatio = slow > shrink ? drop / (slow - shrink) : Infinity;
  const byEps = eps > 0 ? (drop - Math.min(Math.log(eps), 0)) / slow : Infinity;
  return Math.max(1, Math.ceil(Math.min(byRatio, byEps)));
}
