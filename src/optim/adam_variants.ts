/**
 * Relatives of Adam: Adamax, NAdam, RAdam, SparseAdam.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { zeros } from "../ops/creation.ts";
import { indexSelect } from "../ops/index_ops.ts";
import { ne } from "../ops/logic.ts";
import { nonzero } from "../ops/masking.ts";
import { copy_, fill_ } from "../ops/filling.ts";
import { any } from "../ops/reduction.ts";
import { rowsOf, RowSparse } from "../rows.ts";
import type { Tensor } from "../tensor.ts";
import type { AdamArguments } from "./adam.ts";
import { checkBetas, checkFlag, checkRanges } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";
import { FLAGS, KINDS, maximizeFlag, type Rule } from "./rule.ts";

/** Options of Adam's relatives. */
export interface AdamVariantOptions extends HowOptions {
  /** The learning rate; default 1e-3, of Adamax and NAdam 2e-3. */
  lr?: number;
  /** How much of the first and second moment a step keeps; default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Keeps the denominator from zero; default 1e-8. */
  eps?: number;
  /** Weight decay, which joins the gradient; default 0. */
  weightDecay?: number;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/** What they have in common. */
abstract class AdamVariant extends Optimizer {
  protected override check(options: Record<string, unknown>): void {
    checkRanges(this.title, options, "lr", "eps");
    checkBetas(this.title, options.betas);
    if ("weightDecay" in this.defaults) checkRanges(this.title, options, "weightDecay");
    if ("momentumDecay" in this.defaults) checkRanges(this.title, options, "momentumDecay");
    for (const flag of ["maximize", "decoupledWeightDecay"]) {
      if (flag in this.defaults) checkFlag(this.title, flag, options[flag]);
    }
  }

  protected override hyper(group: ParamGroup): number[] {
    const { lr, betas: [beta1, beta2], weightDecay = 0, momentumDecay = 0 } = group;
    return [lr, beta1, beta2, group.eps as number, weightDecay, momentumDecay as number];
  }

  /** The number of the native rule. */
  protected abstract readonly kind: number;

  protected override rule(group: ParamGroup): Rule {
    const l2 = group.weightDecay !== 0 && group.decoupledWeightDecay === false;
    return { kind: this.kind, flags: maximizeFlag(group) | (l2 ? FLAGS.l2 : 0) };
  }

  protected override stateNames(): readonly string[] {
    return ["exp_avg", "exp_avg_sq"];
  }
}

/**
 * Adamax, Adam with the largest size in place of the second moment: `m ← β1·m + (1 - β1)·g`,
 * `u ← max(β2·u, |g| + eps)`, `p ← p - lr / (1 - β1ᵗ) · m / u`.
 *
 * Types: float32, float64, bfloat16, float16; states have the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Kingma and Ba 2014, arXiv 1412.6980.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.Adamax([w]);
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class Adamax extends AdamVariant {
  readonly #adamax = true;

  /** Adamax over parameters or groups of them. */
  constructor(params: Parameters, ...options: AdamArguments<AdamVariantOptions>) {
    super(ADAMAX, [params, ...options]);
  }

  protected override get kind(): number {
    return KINDS.adamax;
  }

  protected override stateNames(): readonly string[] {
    return ["exp_avg", "exp_inf"];
  }
}

const ADAMAX = declareOptimizer(
  Adamax,
  "Adamax(params, lr=0.002, betas=[0.9, 0.999], eps=1e-8, weightDecay=0, maximize=false)",
);

/** Options of `NAdam`. */
export interface NAdamOptions extends AdamVariantOptions {
  /** How fast the momentum's factor approaches β1; default 4e-3. */
  momentumDecay?: number;
  /** Whether decay shrinks the weights instead of joining the gradient; default false. */
  decoupledWeightDecay?: boolean;
}

/**
 * NAdam, Adam with Nesterov's momentum: with `μₜ = β1 · (1 - 0.96^(t · momentumDecay) / 2)` and its running product π,
 * `p ← p - lr · ((1 - μₜ) / (1 - π) · g + μₜ₊₁ / (1 - π·μₜ₊₁) · m) / (√v̂ + eps)`.
 *
 * Types: float32, float64, bfloat16, float16; moments have the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Dozat 2016.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.NAdam([w], { lr: 0.01 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class NAdam extends AdamVariant {
  readonly #nadam = true;

  /** NAdam over parameters or groups of them. */
  constructor(params: Parameters, ...options: AdamArguments<NAdamOptions>) {
    super(NADAM, [params, ...options]);
  }

  protected override get kind(): number {
    return KINDS.nadam;
  }

  protected override get ownCounters(): readonly string[] {
    return ["mu_product"];
  }

  protected override counterStart(): number {
    return 1;
  }
}

const NADAM = declareOptimizer(
  NAdam,
  "NAdam(params, lr=0.002, betas=[0.9, 0.999], eps=1e-8, weightDecay=0, momentumDecay=0.004, decoupledWeightDecay=false, maximize=false)",
);

/** Options of `RAdam`. */
export interface RAdamOptions extends AdamVariantOptions {
  /** Whether decay shrinks the weights instead of joining the gradient; default false. */
  decoupledWeightDecay?: boolean;
}

/**
 * RAdam: Adam whose steps are `m̂` alone until enough of them give the second moment a variance, and are then rectified
 * by `√((ρₜ - 4)(ρₜ - 2)ρ∞ / ((ρ∞ - 4)(ρ∞ - 2)ρₜ))`, where `ρ∞ = 2 / (1 - β2) - 1` and
 * `ρₜ = ρ∞ - 2t · β2ᵗ / (1 - β2ᵗ)`.
 *
 * Types: float32, float64, bfloat16, float16; moments have the parameter's. Gradients of embeddings become dense.
 * Errors: ArgumentError that names the wrong option. Source: Liu and others 2019, arXiv 1908.03265.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.RAdam([w], { lr: 0.01 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class RAdam extends AdamVariant {
  readonly #radam = true;

  /** RAdam over parameters or groups of them. */
  constructor(params: Parameters, ...options: AdamArguments<RAdamOptions>) {
    super(RADAM, [params, ...options]);
  }

  protected override get kind(): number {
    return KINDS.radam;
  }
}

const RADAM = declareOptimizer(
  RAdam,
  "RAdam(params, lr=0.001, betas=[0.9, 0.999], eps=1e-8, weightDecay=0, decoupledWeightDecay=false, maximize=false)",
);

/**
 * SparseAdam, for gradients of embeddings: Adam on the rows that a gradient has; moments of the others stand still.
 * `p ← p - lr · √(1 - β2ᵗ) / (1 - β1ᵗ) · m / (√v + eps)`. Of a dense gradient the rows count that are not zero
 * throughout. For Adam itself on such gradients take `Adam`, which is as cheap.
 *
 * Types: float32, float64, bfloat16, float16; moments have the parameter's. Errors: ArgumentError that names the wrong
 * option, and for a parameter that is no table.
 *
 * ```ts
 * import { F, optim, tensor, zeros } from "@toro/toro";
 * const table = zeros([100, 4], { requiresGrad: true });
 * const optimizer = new optim.SparseAdam([table], { lr: 0.1 });
 * F.embedding(tensor([3n, 5n]), table).sum().backward();
 * optimizer.step();
 * ```
 */
export class SparseAdam extends AdamVariant {
  readonly #sparseAdam = true;

  /** SparseAdam over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options: AdamArguments<Omit<AdamVariantOptions, "weightDecay">>
  ) {
    super(SPARSE_ADAM, [params, ...options]);
  }

  protected override get kind(): number {
    return KINDS.sparseAdam;
  }

  protected override rule(group: ParamGroup): Rule {
    return { kind: this.kind, flags: maximizeFlag(group) };
  }

  protected override byRows(): boolean {
    return true;
  }

  /** Of a dense gradient the rows that are not zero throughout. */
  protected override rowsOf(grad: Tensor): RowSparse {
    const given = rowsOf(grad);
    if (given !== null) return given;
    const [n, columns] = grad.shape;
    const used = columns === 0 ? zeros([0], { dtype: "int64" }) : nonzero(any(ne(grad, 0), 1));
    const { info, storage: { device } } = grad;
    const rows = new RowSparse(used.shape[0], { info, columns, device });
    copy_(rows.indices, used.reshape([-1]));
    copy_(rows.values, indexSelect(grad, 0, rows.indices));
    fill_(rows.count, Math.min(n, used.shape[0]));
    return rows;
  }

  protected override checkParameter(p: Tensor): void {
    if (p.ndim === 2 && p.isContiguous()) return;
    throw new ArgumentError(
      `Cannot make SparseAdam of ${show(p)}: it takes contiguous tables of two dims`,
      { op: "SparseAdam" },
    );
  }
}

const SPARSE_ADAM = declareOptimizer(
  SparseAdam,
  "SparseAdam(params, lr=0.001, betas=[0.9, 0.999], eps=1e-8, maximize=false)",
);
