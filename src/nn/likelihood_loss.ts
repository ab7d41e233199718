/**
 * Losses that are likelihoods of other distributions than classes, as modules. What each computes is said at its function
 * in `nn.functional`.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { gaussianNllLoss, klDiv, poissonNllLoss } from "./functional.ts";
import { checkReduction, type LossOptions, type Reduction } from "./loss.ts";
import { Module } from "./module.ts";
import { checkNumber } from "./options.ts";

/** Options of `KLDivLoss`. */
export interface KLDivLossOptions {
  /** As of other losses; `"batchmean"` divides the sum by the first size and is what the divergence is defined by. Default `"mean"`. */
  reduction?: Reduction | "batchmean";
  /** Whether the target holds logarithms; default false. */
  logTarget?: boolean;
}

/** Kullback-Leibler divergence, `t · (log t - x)` of log-probabilities x. Shapes: input and target alike. */
export class KLDivLoss extends Module {
  readonly #kldivLoss = true;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction | "batchmean";
  /** Whether the target holds logarithms. */
  readonly logTarget: boolean;

  /** PyTorch's defaults unless given. */
  constructor(options?: KLDivLossOptions) {
    super();
    const [reduction, logTarget] = bind(KLDIV_LOSS, [options]);
    this.reduction = reduction === "batchmean" ? reduction : checkReduction(reduction, "KLDivLoss");
    this.logTarget = logTarget as boolean;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return klDiv(input, target, { reduction: this.reduction, logTarget: this.logTarget });
  }
}

const KLDIV_LOSS = declare(KLDivLoss, "KLDivLoss(reduction='mean', logTarget=false)");

/** Options of `PoissonNLLLoss`. */
export interface PoissonNLLLossOptions extends LossOptions {
  /** Whether the input is the logarithm of the rate; default true. */
  logInput?: boolean;
  /** Add Stirling's approximation of `log t!`; default false. */
  full?: boolean;
  /** Added to the rate before its logarithm; default 1e-8. */
  eps?: number;
}

/** Negative log likelihood of counts, `exp(x) - t · x`, or `x - t · log(x + eps)` of rates themselves. Shapes: input and target alike. */
export class PoissonNLLLoss extends Module {
  readonly #poissonNLLLoss = true;
  /** Whether the input is the logarithm of the rate. */
  readonly logInput: boolean;
  /** Whether Stirling's approximation of `log t!` is added. */
  readonly full: boolean;
  /** What is added to the rate before its logarithm. */
  readonly eps: number;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** PyTorch's defaults unless given. */
  constructor(options?: PoissonNLLLossOptions) {
    super();
    const [logInput, full, eps, reduction] = bind(POISSON_NLL_LOSS_SIGNATURE, [options]);
    this.logInput = logInput as boolean;
    this.full = full as boolean;
    checkNumber(eps, "PoissonNLLLoss", "eps");
    this.eps = eps as number;
    this.reduction = checkReduction(reduction, "PoissonNLLLoss");
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return poissonNllLoss(input, target, {
      logInput: this.logInput,
      full: this.full,
      eps: this.eps,
      reduction: this.reduction,
    });
  }
}

const POISSON_NLL_LOSS_SIGNATURE = declare(
  PoissonNLLLoss,
  "PoissonNLLLoss(logInput=true, full=false, eps=1e-8, reduction='mean')",
);

/** Options of `GaussianNLLLoss`. */
export interface GaussianNLLLossOptions extends LossOptions {
  /** Add the constant `½ log 2π`; default false. */
  full?: boolean;
  /** The least variance; default 1e-6. */
  eps?: number;
}

/** Negative log likelihood of normal values, `½ (log v + (x - t)² / v)`. Shapes: input and target alike, variance alike or without the last dim, or with size 1 there. */
export class GaussianNLLLoss extends Module {
  readonly #gaussianNllLoss = true;
  /** Whether the constant `½ log 2π` is added. */
  readonly full: boolean;
  /** The least variance. */
  readonly eps: number;
  /** What becomes of the elements' losses. */
  readonly reduction: Reduction;

  /** PyTorch's defaults unless given. */
  constructor(options?: GaussianNLLLossOptions) {
    super();
    const [full, eps, reduction] = bind(GAUSSIAN, [options]);
    checkNumber(eps, "GaussianNLLLoss", "eps");
    if (!((eps as number) > 0)) {
      throw new ArgumentError(
        `Cannot make GaussianNLLLoss: eps must be above 0, got ${show(eps)}`,
        {
          op: "GaussianNLLLoss",
        },
      );
    }
    this.full = full as boolean;
    this.eps = eps as number;
    this.reduction = checkReduction(reduction, "GaussianNLLLoss");
  }

  override forward(input: Tensor, target: Tensor, variance: Tensor): Tensor {
    const { full, eps, reduction } = this;
    return gaussianNllLoss(input, target, variance, { full, eps, reduction });
  }
}

const GAUSSIAN = declare(
  GaussianNLLLoss,
  "GaussianNLLLoss(full=false, eps=1e-6, reduction='mean')",
);
