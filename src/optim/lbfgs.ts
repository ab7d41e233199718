/**
 * L-BFGS.
 *
 * @module
 */
import { asUser, inMode } from "../autograd.ts";
import { ArgumentError, show } from "../errors.ts";
import { mapOut } from "../ops/map.ts";
import { cat } from "../ops/joining.ts";
import { dot } from "../ops/matmul.ts";
import { abs, neg } from "../ops/math.ts";
import { add_, mul, sub } from "../ops/pointwise.ts";
import { max } from "../ops/extreme.ts";
import { sum } from "../ops/reduction.ts";
import { clone, reshape } from "../ops/view.ts";
import { narrow } from "../ops/window.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { zeros } from "../ops/creation.ts";
import { Tensor } from "../tensor.ts";
import { checkFlag, checkRange } from "./checks.ts";
import { type Point, strongWolfe } from "./line_search.ts";
import { declareOptimizer, Optimizer, type OptimizerState } from "./optimizer.ts";

/** Options of `LBFGS`. */
export interface LBFGSOptions {
  /** The learning rate; default 1. */
  lr?: number;
  /** Iterations in one step; default 20. */
  maxIter?: number;
  /** Evaluations in one step; default 5/4 of `maxIter`. */
  maxEval?: number | null;
  /** A step ends where no element of the gradient is larger; default 1e-7. */
  toleranceGrad?: number;
  /** A step ends where neither value nor parameters change by more; default 1e-9. */
  toleranceChange?: number;
  /** Changes that are remembered; default 100. */
  historySize?: number;
  /** `"strong_wolfe"`, or null (default) for steps of a fixed length. */
  lineSearchFn?: "strong_wolfe" | null;
  /** Go up instead of down; default false. */
  maximize?: boolean;
}

/** What is kept between steps; names are PyTorch's. */
interface Memory {
  func_evals: number;
  n_iter: number;
  d?: Tensor;
  t?: number;
  old_dirs: Tensor[];
  old_stps: Tensor[];
  ro: number[];
  H_diag: number;
  prev_flat_grad?: Tensor;
  prev_loss?: number;
}

const fresh = (): Memory => ({
  func_evals: 0,
  n_iter: 0,
  old_dirs: [],
  old_stps: [],
  ro: [],
  H_diag: 1,
});

/**
 * L-BFGS: the direction is the gradient times an estimate of the inverse Hessian, made of the last `historySize` changes
 * of parameters and gradients; `step` takes a closure that computes the loss and its gradients anew, which it calls
 * several times. One group of parameters only.
 *
 * Memory is `historySize` copies of parameters and gradients. Types: float32, float64, all parameters alike.
 * Errors: ArgumentError that names the wrong option, for more than one group, and for a step without a closure.
 * Source: Liu and Nocedal 1989; for the line search see line_search.ts.
 *
 * ```ts
 * import { optim, tensor } from "@toro/toro";
 * const w = tensor([1, 2], { requiresGrad: true });
 * const optimizer = new optim.LBFGS([w], { lineSearchFn: "strong_wolfe" });
 * optimizer.step(() => {
 *   optimizer.zeroGrad();
 *   const loss = w.sub(3).square().sum();
 *   loss.backward();
 *   return loss;
 * });
 * console.log(w.toArray()); // [ 3, 3 ]
 * ```
 */
export class LBFGS extends Optimizer {
  readonly #lbfgs = true;
  #memory: Memory = fresh();

  /** L-BFGS over parameters. */
  constructor(
    params: Iterable<Tensor>,
    ...options:
      | [options?: LBFGSOptions]
      | [lr: number | null, options?: LBFGSOptions]
      | [lr: number | null, maxIter: number | null, options?: LBFGSOptions]
  ) {
    super(SIGNATURE, [params, ...options]);
    if (this.paramGroups.length !== 1) {
      throw new ArgumentError(
        `Cannot make LBFGS of ${this.paramGroups.length} groups: it takes one`,
        { op: "LBFGS" },
      );
    }
    const [group] = this.paramGroups;
    group.maxEval ??= Math.floor((group.maxIter as number) * 5 / 4);
  }

  protected override check(options: Record<string, unknown>): void {
    const ranges = ["lr", "maxIter", "toleranceGrad", "toleranceChange", "historySize"];
    for (const what of ranges) checkRange("LBFGS", what, options[what]);
    if (options.maxEval !== null) checkRange("LBFGS", "maxEval", options.maxEval);
    const search = options.lineSearchFn;
    if (search !== null && search !== "strong_wolfe") {
      throw new ArgumentError(
        `Cannot make LBFGS: lineSearchFn must be "strong_wolfe" or null, got ${show(search)}`,
        { op: "LBFGS" },
      );
    }
    checkFlag("LBFGS", "maximize", options.maximize);
  }

  protected override hyper(): number[] {
    return [];
  }

  protected override rule(): null {
    return null;
  }

  protected override stateNames(): readonly string[] {
    return [];
  }

  /** Calls the closure, which computes the loss and its gradients, several times; returns what it gave first. */
  override step<T>(closure?: () => T): T {
    if (typeof closure !== "function") {
      throw new ArgumentError(
        "Cannot step LBFGS without a closure that computes the loss and its gradients",
        { op: "step", hint: "optimizer.step(() => { …; loss.backward(); return loss; })" },
      );
    }
    let first: { loss: T } | undefined;
    const evaluate = () => {
      const loss = asUser(closure, true);
      first ??= { loss };
      return valueOf(loss) * this.#sign;
    };
    inMode(false, () => this.#iterate(evaluate));
    return first!.loss;
  }

  get #sign(): number {
    return this.paramGroups[0].maximize === true ? -1 : 1;
  }

  /** All gradients as one vector. */
  #gradient(): Tensor {
    const parts = this.paramGroups[0].params.map((p) =>
      p.grad === null
        ? zeros([p.numel], { dtype: p.dtype, device: p.device })
        : reshape(p.grad, [-1])
    );
    const all = cat(parts);
    return this.#sign < 0 ? neg(all) : all;
  }

  /** Adds `t · d` to the parameters. */
  #move(t: number, d: Tensor): void {
    let at = 0;
    for (const p of this.paramGroups[0].params) {
      add_(p, reshape(narrow(d, 0, at, p.numel), p.shape), { alpha: t });
      at += p.numel;
    }
  }

  /** The direction: minus the gradient, times the estimate of the inverse Hessian. */
  #direction(gradient: Tensor, round: (x: number) => number): Tensor {
    const memory = this.#memory;
    const { old_dirs, old_stps, ro } = memory;
    if (memory.n_iter === 1) {
      Object.assign(memory, { old_dirs: [], old_stps: [], ro: [], H_diag: 1 });
      return neg(gradient);
    }
    const y = sub(gradient, memory.prev_flat_grad!);
    const s = mul(memory.d!, memory.t!);
    const ys = dot(y, s).item();
    if (ys > 1e-10) {
      if (old_dirs.length === this.paramGroups[0].historySize) {
        for (const list of [old_dirs, old_stps, ro]) list.shift();
      }
      old_dirs.push(y);
      old_stps.push(s);
      ro.push(round(1 / ys));
      memory.H_diag = round(ys / dot(y, y).item());
    }
    const q = neg(gradient), shares: number[] = [];
    for (let i = old_dirs.length - 1; i >= 0; i--) {
      shares[i] = round(dot(old_stps[i], q).item() * ro[i]);
      add_(q, old_dirs[i], { alpha: -shares[i] });
    }
    const r = mul(q, memory.H_diag);
    for (let i = 0; i < old_dirs.length; i++) {
      const back = round(dot(old_dirs[i], r).item() * ro[i]);
      add_(r, old_stps[i], { alpha: shares[i] - back });
    }
    return r;
  }

  #iterate(evaluate: () => number): void {
    const [group] = this.paramGroups;
    const { maxIter, maxEval, toleranceGrad, toleranceChange, lineSearchFn } = group as unknown as
      & Required<LBFGSOptions>
      & { maxEval: number };
    const memory = this.#memory;
    let loss = evaluate(), evaluations = 1;
    memory.func_evals++;
    let gradient = this.#gradient();
    // Where PyTorch keeps numbers as tensors of one element they are rounded.
    const round = gradient.dtype === "float64" ? (x: number) => x : Math.fround;
    const done = (g: Tensor) => g.numel === 0 || largest(g) <= toleranceGrad;
    if (done(gradient)) return;
    for (let i = 1; i <= maxIter; i++) {
      memory.n_iter++;
      const d = memory.d = this.#direction(gradient, round);
      memory.prev_flat_grad = clone(gradient);
      memory.prev_loss = loss;
      const start = memory.n_iter === 1
        ? round(Math.min(1, 1 / sum(abs(gradient)).item()) * group.lr)
        : group.lr;
      memory.t = start;
      const slope = dot(gradient, d).item();
      if (slope > -toleranceChange) break;
      let ended = false, asked = 0;
      if (lineSearchFn === "strong_wolfe") {
        const before = group.params.map((p) => clone(p));
        const at = (t: number): Point => {
          this.#move(t, d);
          const f = evaluate(), g = this.#gradient();
          group.params.forEach((p, k) => {
            mapOut("step", OP.copy, p, before[k], null, p.info);
            p.storage.version++;
          });
          return { t, f, g, slope: dot(g, d).item() };
        };
        const from: Point = { t: 0, f: loss, g: gradient, slope };
        const { point, evaluations: asks } = strongWolfe(at, from, start, {
          most: maxEval - evaluations,
          toleranceChange,
          largest: largest(d),
        });
        ({ f: loss, g: gradient } = point);
        memory.t = point.t;
        asked = asks;
        this.#move(point.t, d);
        ended = done(gradient);
      } else {
        this.#move(start, d);
        if (i < maxIter) {
          loss = evaluate();
          gradient = this.#gradient();
          ended = done(gradient);
          asked = 1;
        }
      }
      evaluations += asked;
      memory.func_evals += asked;
      if (i === maxIter || evaluations >= maxEval || ended) break;
      if (largest(mul(d, memory.t)) <= toleranceChange) break;
      if (Math.abs(loss - memory.prev_loss) < toleranceChange) break;
    }
  }

  /** The state in PyTorch's structure: numbers, tensors and lists of them, which all belong to parameter 0. */
  // deno-lint-ignore no-explicit-any
  override stateDict(): OptimizerState<any> {
    const { param_groups } = super.stateDict();
    const memory = this.#memory;
    const { old_dirs, old_stps, ro } = memory;
    const copy = { ...memory, old_dirs: [...old_dirs], old_stps: [...old_stps], ro: [...ro] };
    return { state: memory.func_evals === 0 ? {} : { 0: copy }, param_groups };
  }

  /** Takes over a state that `stateDict()` gave, here or in PyTorch. */
  // deno-lint-ignore no-explicit-any
  override loadStateDict(given: OptimizerState<any>): void {
    super.loadStateDict({ ...given, state: {} });
    const memory = { ...fresh(), ...given.state?.[0] as Partial<Memory> | undefined };
    const copies = (list: readonly Tensor[]) => list.map((t) => clone(t));
    this.#memory = inMode(false, () => ({
      ...memory,
      t: memory.t === undefined ? undefined : valueOf(memory.t),
      ro: memory.ro.map(valueOf),
      H_diag: valueOf(memory.H_diag),
      old_dirs: copies(memory.old_dirs),
      old_stps: copies(memory.old_stps),
      d: memory.d && clone(memory.d),
      prev_flat_grad: memory.prev_flat_grad && clone(memory.prev_flat_grad),
    }));
  }
}

function valueOf(x: unknown): number {
  return Number(x instanceof Tensor ? x.item() : x);
}

/** The largest size of any element. */
function largest(t: Tensor): number {
  return max(abs(t)).item();
}

const SIGNATURE = declareOptimizer(
  LBFGS,
  "LBFGS(params, lr=1, maxIter=20, maxEval=null, toleranceGrad=1e-7, toleranceChange=1e-9, historySize=100, lineSearchFn=null, maximize=false)",
);
