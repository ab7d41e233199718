/**
 * Muon.
 *
 * @module
 */
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { cast } from "../ops/map.ts";
import { addmm, matmul } from "../ops/matmul.ts";
import { norm } from "../ops/moments.ts";
import { add_, div, mul_ } from "../ops/pointwise.ts";
import { clamp } from "../ops/bounds.ts";
import { lerp, lerp_ } from "../ops/ternary.ts";
import { transpose } from "../ops/view.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkFlag, checkRanges } from "./checks.ts";
import { declareOptimizer, Optimizer, type Parameters } from "./optimizer.ts";
import type { ParamGroup } from "./param_group.ts";

/** Options of `Muon`. */
export interface MuonOptions {
  /** The learning rate; default 1e-3. */
  lr?: number;
  /** Weight decay, which shrinks the weights; default 0.1. */
  weightDecay?: number;
  /** How much of its buffer a step keeps; default 0.95. */
  momentum?: number;
  /** Look ahead by Nesterov's form; default true. */
  nesterov?: boolean;
  /** Coefficients of the iteration; default [3.4445, -4.775, 2.0315]. */
  nsCoefficients?: readonly [number, number, number];
  /** Keeps the norm from zero; default 1e-7. */
  eps?: number;
  /** Iterations, below 100; default 5. */
  nsSteps?: number;
  /** How the rate depends on the shape (A, B): null or `"original"` √max(1, A / B), `"match_rms_adamw"` 0.2 · √max(A, B), `"spectral_unclamped"` √(A / B). */
  adjustLrFn?: "original" | "match_rms_adamw" | "spectral_unclamped" | null;
}

/**
 * Muon, for the weights of hidden layers: the momentum `b ← b + (1 - momentum)·(g - b)` is brought close to an orthogonal
 * matrix by Newton-Schulz iterations in bfloat16, and `p ← p · (1 - lr · weightDecay) - lr' · O`.
 *
 * Parameters are matrices (A, B); train embeddings, biases and heads with AdamW. Types: float32, float64, bfloat16,
 * float16. Errors: ArgumentError that names the wrong option, ShapeError for what is no matrix.
 * Source: Jordan 2024, kellerjordan.github.io/posts/muon.
 *
 * ```ts
 * import { nn, optim, randn } from "@toro/toro";
 * const layer = new nn.Linear(8, 4, { bias: false });
 * const optimizer = new optim.Muon(layer.parameters(), { lr: 0.02 });
 * layer.forward(randn([2, 8])).square().mean().backward();
 * optimizer.step();
 * ```
 */
export class Muon extends Optimizer {
  readonly #muon = true;

  /** Muon over parameters or groups of them. */
  constructor(
    params: Parameters,
    ...options:
      | [options?: MuonOptions]
      | [lr: number | null, options?: MuonOptions]
      | [lr: number | null, weightDecay: number | null, options?: MuonOptions]
  ) {
    super(SIGNATURE, [params, ...options]);
  }

  protected override get countsSteps(): boolean {
    return false;
  }

  protected override check(options: Record<string, unknown>): void {
    const fail = (text: string): never => {
      throw new ArgumentError(`Cannot make Muon: ${text}`, { op: "Muon" });
    };
    checkRanges("Muon", options, "lr", "weightDecay", "momentum");
    checkFlag("Muon", "nesterov", options.nesterov);
    const { nsCoefficients: three, nsSteps, adjustLrFn } = options;
    if (!Array.isArray(three) || three.length !== 3) {
      fail(`nsCoefficients must be three numbers, got ${show(three)}`);
    }
    if (!Number.isInteger(nsSteps) || (nsSteps as number) < 0 || (nsSteps as number) >= 100) {
      fail(`nsSteps must be a whole number from 0 on and below 100, got ${show(nsSteps)}`);
    }
    if (adjustLrFn !== null && !(adjustLrFn as string in RATIOS)) {
      fail(`adjustLrFn must be ${Object.keys(RATIOS).join(", ")} or null, got ${show(adjustLrFn)}`);
    }
  }

  protected override checkParameter(p: Tensor): void {
    if (p.ndim === 2) return;
    throw new ShapeError(
      `Cannot make Muon of a parameter ${shapeText(p.shape)}: it takes matrices only`,
      { op: "Muon", hint: "train the others with AdamW" },
    );
  }

  protected override hyper(): number[] {
    return [];
  }

  protected override rule(): null {
    return null;
  }

  protected override stateNames(): readonly string[] {
    return ["momentum_buffer"];
  }

  protected override update(
    p: Tensor,
    grad: Tensor,
    [buffer]: readonly Tensor[],
    _step: number,
    group: ParamGroup,
  ): void {
    const { lr, momentum, weightDecay } = group;
    lerp_(buffer, grad, 1 - momentum);
    const update = orthogonal(group.nesterov ? lerp(grad, buffer, momentum) : buffer, group);
    const ratio = RATIOS[(group.adjustLrFn as keyof typeof RATIOS | null) ?? "original"];
    mul_(p, 1 - lr * weightDecay);
    add_(p, update, { alpha: -lr * ratio(p.shape[0], p.shape[1]) });
  }
}

/** What a rate is multiplied by, of a matrix (A, B). */
const RATIOS = {
  original: (a: number, b: number): number => Math.sqrt(Math.max(1, a / b)),
  match_rms_adamw: (a: number, b: number): number => 0.2 * Math.sqrt(Math.max(a, b)),
  spectral_unclamped: (a: number, b: number): number => Math.sqrt(a / b),
};

/** A matrix with the same singular vectors whose singular values are near 1. */
function orthogonal(g: Tensor, group: ParamGroup): Tensor {
  const [a, b, c] = group.nsCoefficients as [number, number, number];
  const tall = g.shape[0] > g.shape[1];
  let x = cast(g, "bfloat16");
  if (tall) x = transpose(x, 0, 1);
  x = div(x, clamp(norm(x), { min: group.eps as number }));
  for (let i = 0; i < (group.nsSteps as number); i++) {
    const gram = matmul(x, transpose(x, 0, 1));
    x = addmm(x, addmm(gram, gram, gram, { beta: b, alpha: c }), x, { beta: a });
  }
  return tall ? transpose(x, 0, 1) : x;
}

const SIGNATURE = declareOptimizer(
  Muon,
  "Muon(params, lr=0.001, weightDecay=0.1, momentum=0.95, nesterov=true, nsCoefficients=[3.4445, -4.775, 2.0315], eps=1e-7, nsSteps=5, adjustLrFn=null)",
);
