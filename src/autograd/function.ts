/**
 * Ops of one's own: a forward and a backward, written by the user.
 *
 * @module
 */
import { asUser, isGradEnabled, record, recordInplace, requiresGrad } from "../autograd.ts";
import { ArgumentError, AutogradError, show } from "../errors.ts";
import { cast } from "../ops/map.ts";
import { sumTo } from "../ops/reduction.ts";
import { filled } from "../ops/creation.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";

/** What a `backward` gives: a gradient for each argument of `forward`, null where there is none. */
export type FunctionGradients = Tensor | null | undefined | readonly (Tensor | null | undefined)[];

/** What `forward` leaves for `backward`. Further fields may be set freely: `ctx.scale = 2`. */
export interface FunctionContext {
  /** Keeps tensors; only what is kept so is checked for changes in place. */
  saveForBackward(...tensors: (Tensor | null)[]): void;
  /** The tensors that were kept. Errors: AutogradError where one was changed in place since. */
  readonly savedTensors: (Tensor | null)[];
  /** For each argument of `forward` whether a gradient is wanted. */
  readonly needsInputGrad: readonly boolean[];
  /** Says which outputs carry no gradient. */
  markNonDifferentiable(...outputs: Tensor[]): void;
  /** Says which inputs `forward` changed in place; they must be outputs. */
  markDirty(...inputs: Tensor[]): void;
  /** Whether gradients that did not arrive are given as zeros (default) or as null. */
  setMaterializeGrads(value: boolean): void;
  // deno-lint-ignore no-explicit-any
  [field: string]: any;
}

/** A class with `forward(ctx, …)` and `backward(ctx, …)`. */
interface Op<A extends unknown[], R> {
  readonly name: string;
  forward(ctx: FunctionContext, ...args: A): R;
  // deno-lint-ignore no-explicit-any
  backward(ctx: FunctionContext, ...grads: any[]): FunctionGradients;
}

/** A class whose `forward` takes no context; `setupContext` fills it afterwards. */
interface OpWithSetup<A extends unknown[], R> {
  readonly name: string;
  forward(...args: A): R;
  setupContext(ctx: FunctionContext, inputs: A, output: R): void;
  // deno-lint-ignore no-explicit-any
  backward(ctx: FunctionContext, ...grads: any[]): FunctionGradients;
}

class Context {
  #saved: readonly (Tensor | null)[] = [];
  #versions: readonly number[] = [];
  readonly #name: string;
  readonly needsInputGrad: readonly boolean[];
  readonly #plain = new Set<Tensor>();
  readonly #dirty = new Set<Tensor>();
  #materialize = true;

  constructor(name: string, args: readonly unknown[]) {
    this.#name = name;
    this.needsInputGrad = args.map((a) => a instanceof Tensor && requiresGrad(a));
  }

  saveForBackward(...tensors: (Tensor | null)[]): void {
    const wrong = tensors.find((t) => t !== null && !(t instanceof Tensor));
    if (wrong !== undefined) {
      throw new ArgumentError(
        `Cannot saveForBackward ${show(wrong)} in ${this.#name}: it keeps tensors and null`,
        { op: this.#name, hint: "set other values as fields of ctx" },
      );
    }
    this.#saved = tensors;
  }

  get savedTensors(): (Tensor | null)[] {
    this.#saved.forEach((t, i) => {
      if (t === null || this.#versions.length === 0 || t.storage.version === this.#versions[i]) {
        return;
      }
      throw new AutogradError(
        `Cannot run backward through ${this.#name}: a tensor ${
          shapeText(t.shape)
        } that it saved was changed in place afterwards`,
        { op: this.#name, hint: "clone() it before the in-place change" },
      );
    });
    return [...this.#saved];
  }

  markNonDifferentiable(...outputs: Tensor[]): void {
    for (const t of outputs) this.#plain.add(t);
  }

  markDirty(...inputs: Tensor[]): void {
    for (const t of inputs) this.#dirty.add(t);
  }

  setMaterializeGrads(value: boolean): void {
    this.#materialize = value;
  }

  /** After forward: what was kept is as it shall be found. @ignore */
  static seal(ctx: Context): {
    plain: ReadonlySet<Tensor>;
    dirty: ReadonlySet<Tensor>;
    materialize: boolean;
  } {
    ctx.#versions = ctx.#saved.map((t) => t?.storage.version ?? 0);
    return { plain: ctx.#plain, dirty: ctx.#dirty, materialize: ctx.#materialize };
  }
}

function call(
  op: Op<unknown[], unknown> | OpWithSetup<unknown[], unknown>,
  args: unknown[],
): unknown {
  const { name } = op;
  const ctx = new Context(name, args);
  const context = ctx as unknown as FunctionContext;
  const output = asUser(() => {
    if (!("setupContext" in op)) return op.forward(context, ...args);
    const given = op.forward(...args);
    op.setupContext(context, args, given);
    return given;
  }, false);
  const single = output instanceof Tensor;
  const results: unknown[] = single ? [output] : Array.isArray(output) ? [...output] : [];
  const wanted = isGradEnabled() && ctx.needsInputGrad.includes(true);
  const before = Context.seal(ctx);
  const inputs = args.filter((a) => a instanceof Tensor);
  for (const t of before.dirty) {
    if (!results.includes(t) || !inputs.includes(t)) {
      throw new AutogradError(
        `Cannot ${name}: what is marked as changed in place must be an input and an output`,
        { op: name },
      );
    }
    const root = t.base ?? t;
    if (wanted && requiresGrad(root) && root.meta!.node === null) {
      throw new AutogradError(
        `Cannot ${name} in place: ${
          t.base ? "it is a view of a leaf" : "a leaf"
        } that requires grad`,
        { op: name, hint: "wrap the change in noGrad(() => …)" },
      );
    }
  }
  if (!wanted) return output;
  // An input that is given back as it is becomes an output of its own.
  results.forEach((t, i) => {
    if (!(t instanceof Tensor) || before.dirty.has(t) || !inputs.includes(t)) return;
    const view = new Tensor(t.storage, t.info, t.shape, t.strides, t.offset);
    view.base = t.base ?? t;
    results[i] = view;
  });
  const outs = results.filter((t) => t instanceof Tensor);
  const live = outs.filter((t) => !before.plain.has(t) && t.info.isFloat);
  if (live.length > 0) register(op, context, args, outs, live, before.dirty, before.materialize);
  return single ? results[0] : Array.isArray(output) ? results : output;
}

/** Puts the op on the tape. */
function register(
  op: Pick<Op<unknown[], unknown>, "name" | "backward">,
  ctx: FunctionContext,
  args: readonly unknown[],
  outs: readonly Tensor[],
  live: readonly Tensor[],
  dirty: ReadonlySet<Tensor>,
  materialize: boolean,
): void {
  const { name } = op;
  const facts = outs.map(({ shape, info, storage }) => ({ shape, info, device: storage.device }));
  const places = live.map((t) => outs.indexOf(t));
  const tensors = args.flatMap((a, i) => a instanceof Tensor ? [{ t: a, i }] : []);
  const kinds = tensors.map(({ t, i }) => ({ i, shape: t.shape, dtype: t.dtype }));
  const gradients = (given: readonly (Tensor | null)[]): (Tensor | null)[] => {
    const grads = facts.map(({ shape, info, device }, at) => {
      const slot = places.indexOf(at);
      const g = slot < 0 ? null : given[slot] ?? null;
      return g ?? (materialize ? filled(shape, 0, info, device) : null);
    });
    const result = asUser(() => op.backward(ctx, ...grads));
    const list = result instanceof Tensor || result == null ? [result] : [...result];
    while (list.length > args.length && list.at(-1) == null) list.pop();
    if (list.length !== args.length) {
      throw new AutogradError(
        `Cannot run backward through ${name}: it gives ${list.length} gradients for ${args.length} arguments of forward`,
        { op: name },
      );
    }
    list.forEach((g, i) => {
      if (g == null || (g instanceof Tensor && args[i] instanceof Tensor)) return;
      throw new AutogradError(
        `Cannot run backward through ${name}: it gives ${
          show(g)
        } as the gradient of argument ${i}, ${show(args[i])}`,
        { op: name },
      );
    });
    return kinds.map(({ i, shape, dtype }) => fitted(name, list[i] ?? null, shape, dtype, i));
  };
  const inputs = tensors.map(({ t }) => t);
  const [first] = dirty;
  if (dirty.size === 1 && live.length === 1 && live[0] === first) {
    // As any op in place: gradients of the old value come first.
    const others = inputs.filter((t) => t !== first);
    const at = inputs.indexOf(first);
    recordInplace(name, first, others, (g) => {
      const all = gradients(g);
      return [all[at], ...all.toSpliced(at, 1)];
    }, []);
    return;
  }
  record(name, inputs, live, gradients, []);
  for (const t of dirty) {
    t.storage.version++;
    if (t.meta !== null) t.meta.epoch++;
  }
}

/** A gradient in the shape and dtype of its input; what was broadcast is summed. */
function fitted(
  name: string,
  g: Tensor | null,
  shape: readonly number[],
  dtype: Tensor["dtype"],
  i: number,
): Tensor | null {
  if (g === null) return null;
  let fit = g;
  if (!sameShape(g.shape, shape)) {
    const trailing = g.shape.slice(Math.max(0, g.ndim - shape.length));
    const widens = g.ndim >= shape.length &&
      trailing.every((n, d) => shape[d] === n || shape[d] === 1);
    if (!widens) {
      throw new AutogradError(
        `Cannot run backward through ${name}: its gradient of argument ${i} is ${
          shapeText(g.shape)
        }, the argument ${shapeText(shape)}`,
        { op: name },
      );
    }
    fit = sumTo(g, shape);
  }
  return fit.dtype === dtype ? fit : cast(fit, dtype);
}

/**
 * The base of ops of one's own: a class with static `forward(ctx, …)` and `backward(ctx, …)`, called by `apply`.
 *
 * `forward` runs unrecorded; `ctx.saveForBackward` keeps tensors, other values are set as fields of ctx. `backward` takes
 * the gradients of the outputs and gives one for each argument of `forward`, null where there is none; written with ops,
 * it can itself be differentiated. With a static `setupContext(ctx, inputs, output)` forward takes no ctx.
 *
 * Errors: AutogradError where `backward` gives gradients of another count or shape.
 *
 * ```ts
 * import { autograd, exp, tensor, type Tensor } from "@toro/toro";
 * class Exp extends autograd.Function {
 *   static forward(ctx: autograd.FunctionContext, x: Tensor): Tensor {
 *     const y = exp(x);
 *     ctx.saveForBackward(y);
 *     return y;
 *   }
 *   static backward(ctx: autograd.FunctionContext, g: Tensor): Tensor {
 *     const [y] = ctx.savedTensors;
 *     return g.mul(y!);
 *   }
 * }
 * const x = tensor([0, 1], { requiresGrad: true });
 * Exp.apply(x).sum().backward();
 * ```
 */
class AutogradFunction {
  readonly #function = true;

  /** Runs `forward` and records the op with its `backward`. */
  static apply<A extends unknown[], R>(this: OpWithSetup<A, R>, ...args: A): R;
  /** Runs `forward` and records the op with its `backward`. */
  static apply<A extends unknown[], R>(this: Op<A, R>, ...args: A): R;
  static apply(this: unknown, ...args: unknown[]): unknown {
    const op = this as Op<unknown[], unknown>;
    for (const part of ["forward", "backward"] as const) {
      if (typeof op?.[part] !== "function") {
        throw new ArgumentError(
          `Cannot apply ${op?.name ?? show(this)}: it has no static ${part}`,
          {
            op: "Function",
          },
        );
      }
    }
    return call(op, args);
  }
}

export { AutogradFunction as Function };

/**
 * Marks a `backward` whose result cannot be differentiated: it runs unrecorded, and differentiating its gradients is an
 * error instead of a wrong result: `static backward = autograd.onceDifferentiable((ctx, g) => …)`.
 */
export function onceDifferentiable<G extends unknown[]>(
  backward: (ctx: FunctionContext, ...grads: G) => FunctionGradients,
): (ctx: FunctionContext, ...grads: G) => FunctionGradients {
  return (ctx, ...grads) => {
    const result = asUser(() => backward(ctx, ...grads), false);
    const tracked = grads.filter((g) =>
      g instanceof Tensor && requiresGrad(g)
    ) as unknown as Tensor[];
    if (!isGradEnabled() || tracked.length === 0) return result;
    const outs = (result instanceof Tensor ? [result] : [...result ?? []]).filter((g) =>
      g instanceof Tensor
    );
    record("onceDifferentiable", tracked, outs, () => {
      throw new AutogradError(
        "Cannot differentiate twice a backward that is marked as onceDifferentiable",
        { op: "onceDifferentiable" },
      );
    }, []);
    return result;
  };
}
