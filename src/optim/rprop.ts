/**
 * Rprop and averaged SGD.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { checkFlag, checkRange, checkRanges } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";
import { KINDS, maximizeFlag, type Rule } from "./rule.ts";

/** Options of `Rprop`. */
export interface RpropOptions extends HowOptions {
  /** The size of the first step; default 0.01. */
  lr?: number;
  /** Factors of the step's size where the gradient's sign turned, and where it stayed; default [0.5, 1.2]. */
  etas?: readonly [number, number];
  /** The smallest and the largest step; default [1e-6, 50]. */
  stepSizes?: readonly [number, number];
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/**
 * Rprop, which heeds the signs of gradients only: each element's step grows by `etas[1]` while the sign stays, shrinks by
 * `etas[0]` where it turns (and waits there once), and is taken against the sign. For whole batches.
 *
 * Types: float32, float64, bfloat16, float16; states have the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Riedmiller and Braun 1993.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Rprop([w], { lr: 0.1 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class Rprop extends Optimizer {
  readonly #rprop = true;

  /** Rprop over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: RpropOptions]
      | [lr: number | null, options?: RpropOptions]
      | [lr: number | null, etas: readonly [number, number] | null, options?: RpropOptions]
  ) {
    super(RPROP, [params, ...options]);
  }

  protected override check(options: Record<string, unknown>): void {
    checkRange("Rprop", "lr", options.lr);
    for (const what of ["etas", "stepSizes"]) {
      const pair = options[what];
      if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((x) => typeof x === "number")) {
        throw new ArgumentError(
          `Cannot make Rprop: ${what} must be two numbers, got ${show(pair)}`,
          { op: "Rprop" },
        );
      }
    }
    const [minus, plus] = options.etas as [number, number];
    if (!(0 < minus && minus < 1 && 1 < plus)) {
      throw new ArgumentError(
        `Cannot make Rprop: etas must be below and above 1, both above 0, got ${minus} and ${plus}`,
        { op: "Rprop" },
      );
    }
    checkFlag("Rprop", "maximize", options.maximize);
  }

  protected override hyper(group: ParamGroup): number[] {
    const [minus, plus] = group.etas as [number, number];
    const [least, most] = group.stepSizes as [number, number];
    return [group.lr, minus, plus, least, most];
  }

  protected override rule(group: ParamGroup): Rule {
    return { kind: KINDS.rprop, flags: maximizeFlag(group) };
  }

  protected override stateNames(): readonly string[] {
    return ["prev", "step_size"];
  }

  protected override stateStart(name: string, group: ParamGroup): number {
    return name === "prev" ? 0 : group.lr;
  }
}

const RPROP = declareOptimizer(
  Rprop,
  "Rprop(params, lr=0.01, etas=[0.5, 1.2], stepSizes=[1e-6, 50], maximize=false)",
);

/** Options of `ASGD`. */
export interface ASGDOptions extends HowOptions {
  /** The learning rate; default 0.01. */
  lr?: number;
  /** How fast weights and rate decay; default 1e-4. */
  lambd?: number;
  /** The power in the rate's decay; default 0.75. */
  alpha?: number;
  /** The step at which averaging starts; default 1e6. */
  t0?: number;
  /** Weight decay, which joins the gradient; default 0. */
  weightDecay?: number;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/**
 * Averaged SGD: `p ← (1 - λ·η)·p - η·g` with `η = lr / (1 + λ·lr·t)^α`, and the average `ax ← ax + (p - ax)·μ` with
 * `μ = 1 / max(1, t - t0)`. The average is in the state, under `ax`.
 *
 * Types: float32, float64, bfloat16, float16; the average has the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Polyak and Juditsky 1992.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.ASGD([w], { t0: 100 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class ASGD extends Optimizer {
  readonly #asgd = true;

  /** Averaged SGD over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: ASGDOptions]
      | [lr: number | null, options?: ASGDOptions]
      | [lr: number | null, lambd: number | null, options?: ASGDOptions]
  ) {
    super(ASGD_SIGNATURE, [params, ...options]);
  }

  protected override check(options: Record<string, unknown>): void {
    checkRanges("ASGD", options, "lr", "lambd", "alpha", "weightDecay");
    checkRange("ASGD", "t0", options.t0, -Infinity);
    checkFlag("ASGD", "maximize", options.maximize);
  }

  protected override hyper(group: ParamGroup): number[] {
    const { lambd, alpha, t0 } = group as unknown as Required<ASGDOptions>;
    return [group.lr, lambd, alpha, t0, group.weightDecay];
  }

  protected override rule(group: ParamGroup): Rule {
    return { kind: KINDS.asgd, flags: maximizeFlag(group) };
  }

  protected override stateNames(): readonly string[] {
    return ["ax"];
  }

  protected override get ownCounters(): readonly string[] {
    return ["eta", "mu"];
  }

  protected override counterStart(name: string, group: ParamGroup): number {
    return name === "eta" ? Math.fround(group.lr) : 1;
  }
}

const ASGD_SIGNATURE = declareOptimizer(
  ASGD,
  "ASGD(params, lr=0.01, lambd=0.0001, alpha=0.75, t0=1000000, weightDecay=0, maximize=false)",
);
