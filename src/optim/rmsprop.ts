/**
 * RMSprop.
 *
 * @module
 */
import { checkFlag, checkRange, checkRanges } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";
import { FLAGS, KINDS, maximizeFlag, type Rule } from "./rule.ts";

/** Options of `RMSprop`. */
export interface RMSpropOptions extends HowOptions {
  /** The learning rate; default 0.01. */
  lr?: number;
  /** How much of the mean of squares a step keeps; default 0.99. */
  alpha?: number;
  /** Keeps the denominator from zero; default 1e-8. */
  eps?: number;
  /** Weight decay, which joins the gradient; default 0. */
  weightDecay?: number;
  /** How much of its buffer a step keeps; default 0: no buffer. */
  momentum?: number;
  /** Divide by the deviation instead of the root of the mean of squares; default false. */
  centered?: boolean;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/**
 * RMSprop: `v ← α·v + (1 - α)·g²`, `p ← p - lr · g / (√v + eps)`; with momentum `b ← momentum · b + g / (√v + eps)`,
 * `p ← p - lr · b`; centered with `√(v - mean²)` in place of `√v`.
 *
 * Types: float32, float64, bfloat16, float16; states have the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Hinton 2012, lecture 6; centered: Graves 2013,
 * arXiv 1308.0850.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.RMSprop([w], { lr: 0.01, momentum: 0.9 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class RMSprop extends Optimizer {
  readonly #rmsprop = true;

  /** RMSprop over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: RMSpropOptions]
      | [lr: number | null, options?: RMSpropOptions]
      | [lr: number | null, alpha: number | null, options?: RMSpropOptions]
  ) {
    super(SIGNATURE, [params, ...options]);
  }

  protected override check(options: Record<string, unknown>): void {
    checkRanges("RMSprop", options, "lr", "eps", "momentum", "weightDecay");
    checkRange("RMSprop", "alpha", options.alpha);
    for (const flag of ["centered", "maximize"]) checkFlag("RMSprop", flag, options[flag]);
  }

  protected override hyper(group: ParamGroup): number[] {
    const { lr, momentum, weightDecay } = group;
    return [lr, group.alpha as number, momentum, group.eps as number, weightDecay];
  }

  protected override rule(group: ParamGroup): Rule {
    const momentum = group.momentum > 0 ? FLAGS.momentum : 0;
    const centered = group.centered ? FLAGS.centered : 0;
    return { kind: KINDS.rmsprop, flags: maximizeFlag(group) | momentum | centered };
  }

  protected override stateNames(group: ParamGroup): readonly string[] {
    return [
      "square_avg",
      ...(group.momentum > 0 ? ["momentum_buffer"] : []),
      ...(group.centered ? ["grad_avg"] : []),
    ];
  }
}

const SIGNATURE = declareOptimizer(
  RMSprop,
  "RMSprop(params, lr=0.01, alpha=0.99, eps=1e-8, weightDecay=0, momentum=0, centered=false, maximize=false)",
);
