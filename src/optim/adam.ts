/**
 * Adam, and what AdamW shares with it.
 *
 * @module
 */
import { checkBetas, checkFlag, checkRange } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import { type ParamGroup, replaySteps } from "./param_group.ts";
import { FLAGS, KINDS, maximizeFlag, type Rule } from "./rule.ts";

/** Options of `Adam` and `AdamW`. */
export interface AdamOptions extends HowOptions {
  /** The learning rate; default 1e-3. */
  lr?: number;
  /** How much of the first and second moment a step keeps; default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Keeps the denominator from zero; default 1e-8. */
  eps?: number;
  /** Weight decay; default 0, of AdamW 0.01. */
  weightDecay?: number;
  /** Divide by the largest second moment so far; default false. */
  amsgrad?: boolean;
  /** Go up instead of down; default false. */
  maximize?: boolean;
  /** Update every row of a table in every step, also where its gradient has a few rows only; default false. */
  strict?: boolean;
}

/** Options by name, or learning rate and betas first. */
export type AdamArguments<O> =
  | [options?: O]
  | [lr: number | null, options?: O]
  | [lr: number | null, betas: readonly [number, number] | null, options?: O];

/** What Adam and AdamW have in common. */
export abstract class AdamBase extends Optimizer {
  protected override check(options: Record<string, unknown>): void {
    const name = this.title;
    checkRange(name, "lr", options.lr);
    checkBetas(name, options.betas);
    checkRange(name, "eps", options.eps);
    checkRange(name, "weightDecay", options.weightDecay);
    for (const flag of ["amsgrad", "maximize", "strict"]) checkFlag(name, flag, options[flag]);
  }

  protected override hyper(group: ParamGroup): number[] {
    const { lr, betas, weightDecay, params } = group;
    const eps = group.eps as number;
    // Cycling schedulers move beta1 up to this.
    const most = Math.max(betas[0], (group.maxMomentum as number | undefined) ?? 0);
    return [
      lr,
      betas[0],
      betas[1],
      eps,
      weightDecay,
      replaySteps(params, most, group.amsgrad ? 1 : betas[1], eps),
    ];
  }

  /** Whether decay shrinks the weights instead of joining the gradient. */
  protected abstract decoupled(group: ParamGroup): boolean;

  protected override rule(group: ParamGroup): Rule {
    const l2 = group.weightDecay !== 0 && !this.decoupled(group);
    return {
      kind: KINDS.adam,
      flags: maximizeFlag(group) | (l2 ? FLAGS.l2 : 0) |
        (group.amsgrad ? FLAGS.amsgrad : 0),
    };
  }

  protected override stateNames(group: ParamGroup): readonly string[] {
    return group.amsgrad ? WITH_MAXIMUM : MOMENTS;
  }
}

const MOMENTS = ["exp_avg", "exp_avg_sq"] as const;
const WITH_MAXIMUM = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] as const;

/**
 * Adam: `m ← β1·m + (1 - β1)·g`, `v ← β2·v + (1 - β2)·g²`, `p ← p - lr · m̂ / (√v̂ + eps)`, where m̂ and v̂ are m and v
 * divided by `1 - βᵗ`, and weight decay adds `weightDecay · p` to g.
 *
 * Types: float32, float64, bfloat16, float16; moments have the parameter's. A gradient of an embedding updates only the
 * rows that it has, and the others when somebody reads them, with the result of a dense update; `{ strict: true }` is
 * dense. Errors: ArgumentError that names the wrong option. Source: Kingma and Ba 2014, arXiv 1412.6980.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adam([w], { lr: 0.1 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * optimizer.zeroGrad();
 * ```
 */
export class Adam extends AdamBase {
  readonly #adam = true;

  /** Adam over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options: AdamArguments<AdamOptions & { decoupledWeightDecay?: boolean }>
  ) {
    super(ADAM, [params, ...options]);
  }

  protected override check(options: Record<string, unknown>): void {
    super.check(options);
    checkFlag("Adam", "decoupledWeightDecay", options.decoupledWeightDecay);
  }

  protected override decoupled(group: ParamGroup): boolean {
    return group.decoupledWeightDecay === true;
  }
}

const ADAM = declareOptimizer(
  Adam,
  "Adam(params, lr=0.001, betas=[0.9, 0.999], eps=1e-8, weightDecay=0, amsgrad=false, maximize=false, decoupledWeightDecay=false, strict=false)",
);
