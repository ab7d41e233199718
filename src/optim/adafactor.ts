/**
 * Adafactor.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { neg, rsqrt_, square_ } from "../ops/math.ts";
import { matmul } from "../ops/matmul.ts";
import { norm, vectorNorm } from "../ops/moments.ts";
import { add_, div_, mul, mul_ } from "../ops/pointwise.ts";
import { clamp_ } from "../ops/bounds.ts";
import { lerp_ } from "../ops/ternary.ts";
import { mean } from "../ops/reduction.ts";
import { clone } from "../ops/view.ts";
import type { Tensor } from "../tensor.ts";
import { checkFlag, checkRanges } from "./checks.ts";
import { declareOptimizer, type HowOptions, Optimizer, type Parameters } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";

/** Options of `Adafactor`. */
export interface AdafactorOptions extends HowOptions {
  /** The largest relative step; default 0.01. */
  lr?: number;
  /** The power of t that says how fast old squares are forgotten; default -0.8. */
  beta2Decay?: number;
  /** What keeps squares of gradients, and the scale of parameters, from zero; default [null, 1e-3], where null is the dtype's epsilon. */
  eps?: readonly [number | null, number];
  /** Where updates are clipped; default 1. */
  d?: number;
  /** Weight decay, which shrinks the weights; default 0. */
  weightDecay?: number;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/**
 * Adafactor: a second moment that is kept as means of rows and columns (`R C / mean(R)`), so that a matrix (M, N) needs
 * M + N numbers; updates are clipped to root-mean-square `d`, and are relative to the parameter's own.
 *
 * Types: float32, float64, bfloat16, float16. Made of ops, one parameter after the other. Errors: ArgumentError that
 * names the wrong option. Source: Shazeer and Stern 2018, arXiv 1804.04235.
 *
 * ```ts
 * import { ones, optim } from "@toro/toro";
 * const w = ones([4, 3], { requiresGrad: true });
 * const optimizer = new optim.Adafactor([w]);
 * w.mul(w).sum().backward();
 * optimizer.step();
 * console.log(Object.keys(optimizer.stateDict().state[0])); // [ "step", "row_var", "col_var" ]
 * ```
 */
export class Adafactor extends Optimizer {
  readonly #adafactor = true;

  /** Adafactor over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: AdafactorOptions]
      | [lr: number | null, options?: AdafactorOptions]
      | [lr: number | null, beta2Decay: number | null, options?: AdafactorOptions]
  ) {
    super(SIGNATURE, [params, ...options]);
  }

  protected override check(options: Record<string, unknown>): void {
    const fail = (text: string): never => {
      throw new ArgumentError(`Cannot make Adafactor: ${text}`, { op: "Adafactor" });
    };
    checkRanges("Adafactor", options, "lr", "weightDecay");
    const { beta2Decay, eps, d } = options;
    if (!(typeof beta2Decay === "number" && beta2Decay <= 0)) {
      fail(`beta2Decay must be at most 0, got ${show(beta2Decay)}`);
    }
    if (!(typeof d === "number" && d >= 1)) fail(`d must be at least 1, got ${show(d)}`);
    const [eps1, eps2] = Array.isArray(eps) ? eps : [undefined, undefined];
    const first = eps1 === null || (typeof eps1 === "number" && eps1 >= 0);
    if (!first || !(typeof eps2 === "number" && eps2 >= 0)) {
      fail(`eps must be two numbers from 0 on, of which the first may be null, got ${show(eps)}`);
    }
    checkFlag("Adafactor", "maximize", options.maximize);
  }

  protected override hyper(): number[] {
    return [];
  }

  protected override rule(): null {
    return null;
  }

  protected override stateNames(): readonly string[] {
    return ["row_var", "col_var"];
  }

  protected override statesOf(_group: ParamGroup, p: Tensor): readonly string[] {
    return p.ndim > 1 ? this.stateNames() : ["variance"];
  }

  protected override stateShape(name: string, p: Tensor): readonly number[] {
    if (name === "variance") return p.shape;
    return p.shape.with(name === "row_var" ? -1 : -2, 1);
  }

  protected override update(
    p: Tensor,
    given: Tensor,
    states: readonly Tensor[],
    step: number,
    group: ParamGroup,
  ): void {
    const { lr, weightDecay } = group;
    const [given1, eps2] = group.eps as [number | null, number];
    const eps1 = given1 ?? EPSILON[p.dtype];
    const grad = group.maximize ? neg(given) : given;
    const fade = step ** (group.beta2Decay as number);
    const rate = Math.min(lr, 1 / Math.sqrt(step));
    const alpha = Math.max(eps2, norm(p).item() / Math.sqrt(p.numel)) * rate;
    if (weightDecay !== 0) mul_(p, 1 - lr * weightDecay);
    let estimate: Tensor;
    if (p.ndim > 1) {
      const [row, column] = states;
      for (const [state, dim] of [[row, -1], [column, -2]] as const) {
        const squares = square_(vectorNorm(grad, { dim, keepdim: true }));
        lerp_(state, div_(squares, grad.shape.at(dim)!), fade);
      }
      estimate = matmul(row, column);
      div_(estimate, clamp_(mean(row, -2, { keepdim: true }), { min: eps1 }));
    } else {
      lerp_(states[0], mul(grad, grad), fade);
      estimate = clone(states[0]);
    }
    const update = mul_(rsqrt_(clamp_(estimate, { min: eps1 * eps1 })), grad);
    const size = norm(update).item() / (Math.sqrt(update.numel) * (group.d as number));
    add_(p, update, { alpha: -alpha / Math.max(1, size) });
  }
}

/** The distance from 1 to the next number. */
const EPSILON: Readonly<Record<string, number>> = {
  float64: 2 ** -52,
  float32: 2 ** -23,
  float16: 2 ** -10,
  bfloat16: 2 ** -7,
};

const SIGNATURE = declareOptimizer(
  Adafactor,
  "Adafactor(params, lr=0.01, beta2Decay=-0.8, eps=[null, 0.001], d=1, weightDecay=0, maximize=false)",
);
