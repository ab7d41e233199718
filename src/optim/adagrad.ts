/**
 * Adagrad and Adadelta.
 *
 * @module
 */
import { checkFlag, checkRange, checkRanges } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";
import { KINDS, maximizeFlag, type Rule } from "./rule.ts";

/** Options of `Adagrad`. */
export interface AdagradOptions extends HowOptions {
  /** The learning rate; default 0.01. */
  lr?: number;
  /** How fast the rate falls: step t takes `lr / (1 + (t - 1) · lrDecay)`; default 0. */
  lrDecay?: number;
  /** Weight decay, which joins the gradient; default 0. */
  weightDecay?: number;
  /** What the sums of squares begin with; default 0. */
  initialAccumulatorValue?: number;
  /** Keeps the denominator from zero; default 1e-10. */
  eps?: number;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/**
 * Adagrad: `s ← s + g²`, `p ← p - lr / (1 + (t - 1) · lrDecay) · g / (√s + eps)`.
 *
 * Types: float32, float64, bfloat16, float16; the sums have the parameter's. Without decay a gradient of an embedding
 * updates only the rows that it has, which is what a dense update would do. Errors: ArgumentError that names the wrong
 * option. Source: Duchi, Hazan and Singer 2011.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adagrad([w], { lr: 0.1 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class Adagrad extends Optimizer {
  readonly #adagrad = true;

  /** Adagrad over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: AdagradOptions]
      | [lr: number | null, options?: AdagradOptions]
      | [lr: number | null, lrDecay: number | null, options?: AdagradOptions]
  ) {
    super(ADAGRAD, [params, ...options]);
  }

  protected override get statesAtOnce(): boolean {
    return true;
  }

  protected override check(options: Record<string, unknown>): void {
    const ranges = ["lr", "lrDecay", "weightDecay", "initialAccumulatorValue", "eps"];
    checkRanges("Adagrad", options, ...ranges);
    checkFlag("Adagrad", "maximize", options.maximize);
  }

  protected override hyper(group: ParamGroup): number[] {
    return [group.lr, group.lrDecay as number, 0, group.eps as number, group.weightDecay];
  }

  protected override rule(group: ParamGroup): Rule {
    return { kind: KINDS.adagrad, flags: maximizeFlag(group) };
  }

  protected override byRows(group: ParamGroup): boolean {
    return group.weightDecay === 0;
  }

  protected override stateNames(): readonly string[] {
    return ["sum"];
  }

  protected override stateStart(_name: string, group: ParamGroup): number {
    return group.initialAccumulatorValue as number;
  }
}

const ADAGRAD = declareOptimizer(
  Adagrad,
  "Adagrad(params, lr=0.01, lrDecay=0, weightDecay=0, initialAccumulatorValue=0, eps=1e-10, maximize=false)",
);

/** Options of `Adadelta`. */
export interface AdadeltaOptions extends HowOptions {
  /** The learning rate; default 1. */
  lr?: number;
  /** How much of the means of squares a step keeps; default 0.9. */
  rho?: number;
  /** Keeps the denominator from zero; default 1e-6. */
  eps?: number;
  /** Weight decay, which joins the gradient; default 0. */
  weightDecay?: number;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/**
 * Adadelta: `v ← ρ·v + (1 - ρ)·g²`, `Δ = √(u + eps) / √(v + eps) · g`, `u ← ρ·u + (1 - ρ)·Δ²`, `p ← p - lr · Δ`.
 *
 * Types: float32, float64, bfloat16, float16; states have the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Zeiler 2012, arXiv 1212.5701.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adadelta([w], { rho: 0.95 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class Adadelta extends Optimizer {
  readonly #adadelta = true;

  /** Adadelta over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: AdadeltaOptions]
      | [lr: number | null, options?: AdadeltaOptions]
      | [lr: number | null, rho: number | null, options?: AdadeltaOptions]
  ) {
    super(ADADELTA, [params, ...options]);
  }

  protected override check(options: Record<string, unknown>): void {
    checkRanges("Adadelta", options, "lr", "eps", "weightDecay");
    checkRange("Adadelta", "rho", options.rho, 0, 1 + Number.EPSILON);
    checkFlag("Adadelta", "maximize", options.maximize);
  }

  protected override hyper(group: ParamGroup): number[] {
    return [group.lr, group.rho as number, 0, group.eps as number, group.weightDecay];
  }

  protected override rule(group: ParamGroup): Rule {
    return { kind: KINDS.adadelta, flags: maximizeFlag(group) };
  }

  protected override stateNames(): readonly string[] {
    return ["square_avg", "acc_delta"];
  }
}

const ADADELTA = declareOptimizer(
  Adadelta,
  "Adadelta(params, lr=1, rho=0.9, eps=1e-6, weightDecay=0, maximize=false)",
);
