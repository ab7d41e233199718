/**
 * AdamW: Adam with decay that does not pass through the moments.
 *
 * @module
 */
import { type AdamArguments, AdamBase, type AdamOptions } from "./adam.ts";
import { declareOptimizer, type Parameters } from "./optimizer.ts";

/**
 * AdamW: `p ← p · (1 - lr · weightDecay)`, then Adam's step without decay.
 *
 * Types, rows of embeddings, `strict` and errors as in `Adam`. Source: Loshchilov and Hutter 2017, arXiv 1711.05101.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.AdamW([w], { lr: 1e-3, weightDecay: 0.01 });
 * w.mul(w).sum().backward();
 * optimizer.step();
 * ```
 */
export class AdamW extends AdamBase {
  readonly #adamw = true;

  /** AdamW over parameters or groups of them. */
  constructor(params: Parameters, ...options: AdamArguments<AdamOptions>) {
    super(ADAMW, [params, ...options]);
  }

  protected override decoupled(): boolean {
    return true;
  }
}

const ADAMW = declareOptimizer(
  AdamW,
  "AdamW(params, lr=0.001, betas=[0.9, 0.999], eps=1e-8, weightDecay=0.01, amsgrad=false, maximize=false, strict=false)",
);
