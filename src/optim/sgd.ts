/**
 * Stochastic gradient descent.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import { checkFlag, checkRange } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import { type ParamGroup, replaySteps } from "./param_group.ts";
import { FLAGS, KINDS, maximizeFlag, type Rule } from "./rule.ts";

/** Options of `SGD`. */
export interface SGDOptions extends HowOptions {
  /** The learning rate; default 1e-3. */
  lr?: number;
  /** How much of its buffer a step keeps; default 0: no buffer. */
  momentum?: number;
  /** How much of the gradient does not enter the buffer; default 0. */
  dampening?: number;
  /** Weight decay, which joins the gradient; default 0. */
  weightDecay?: number;
  /** Look ahead by Nesterov's form; default false. */
  nesterov?: boolean;
  /** Go up instead of down; default false. */
  maximize?: boolean;
  /** Update every row of a table in every step, also where its gradient has a few rows only; default false. */
  strict?: boolean;
}

/** Options by name, or learning rate and momentum first. */
export type SGDArguments =
  | [options?: SGDOptions]
  | [lr: number | null, options?: SGDOptions]
  | [lr: number | null, momentum: number | null, options?: SGDOptions];

/**
 * Stochastic gradient descent: `g ← g + weightDecay · p`, `b ← momentum · b + (1 - dampening) · g` (the first b is g),
 * `p ← p - lr · b`; with Nesterov `p ← p - lr · (g + momentum · b)`, without momentum `p ← p - lr · g`.
 *
 * Types: float32, float64, bfloat16, float16. Rows of embeddings and `strict` as in `Adam`.
 * Errors: ArgumentError that names the wrong option.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.SGD([w], { lr: 0.1, momentum: 0.9 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * console.log(w.toArray()); // [0.8, 1.6]
 * ```
 */
export class SGD extends Optimizer {
  readonly #sgd = true;

  /** SGD over parameters or groups of them. */
  constructor(params: Parameters, ...options: SGDArguments) {
    super(SIGNATURE, [params, ...options]);
  }

  protected override get countsSteps(): boolean {
    return false;
  }

  protected override check(options: Record<string, unknown>): void {
    checkRange("SGD", "lr", options.lr);
    checkRange("SGD", "momentum", options.momentum);
    checkRange("SGD", "dampening", options.dampening, -Infinity);
    checkRange("SGD", "weightDecay", options.weightDecay);
    for (const flag of ["nesterov", "maximize", "strict"]) checkFlag("SGD", flag, options[flag]);
    if (options.nesterov && !((options.momentum as number) > 0 && options.dampening === 0)) {
      throw new ArgumentError(
        `Cannot make SGD: nesterov needs momentum above 0 and dampening 0, got ${options.momentum} and ${options.dampening}`,
        { op: "SGD" },
      );
    }
  }

  protected override hyper(group: ParamGroup): number[] {
    const { lr, momentum, weightDecay, params } = group;
    const most = Math.max(momentum, (group.maxMomentum as number | undefined) ?? 0);
    return [
      lr,
      momentum,
      group.dampening as number,
      0,
      weightDecay,
      replaySteps(params, most, 1, 0),
    ];
  }

  protected override rule(group: ParamGroup): Rule {
    return {
      kind: KINDS.sgd,
      flags: maximizeFlag(group) | (group.momentum !== 0 ? FLAGS.momentum : 0) |
        (group.nesterov ? FLAGS.nesterov : 0) | (group.weightDecay !== 0 ? FLAGS.decay : 0),
    };
  }

  protected override stateNames(group: ParamGroup): readonly string[] {
    return group.momentum !== 0 ? BUFFER : NONE;
  }
}

const BUFFER = ["momentum_buffer"] as const;
const NONE = [] as const;

const SIGNATURE = declareOptimizer(
  SGD,
  "SGD(params, lr=0.001, momentum=0, dampening=0, weightDecay=0, nesterov=false, maximize=false, strict=false)",
);
