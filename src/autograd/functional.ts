/**
 * Derivatives of functions of tensors: Jacobians, Hessians, and their products with vectors, all by reverse passes.
 *
 * @module
 */
import { asUser, isGradEnabled, requiresGrad } from "../autograd.ts";
import { grad } from "../backward.ts";
import { ArgumentError, AutogradError, ShapeError, show } from "../errors.ts";
import { filled } from "../ops/creation.ts";
import { stack } from "../ops/joining.ts";
import { reshape, view } from "../ops/view.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";

/** One tensor or several. */
export type Tensors = Tensor | readonly Tensor[];

/** A function whose derivatives are taken. */
export type TensorFunction = (...inputs: Tensor[]) => Tensors;

/** Options of derivatives. */
export interface DerivativeOptions {
  /** Record the computation, so that the result can itself be differentiated; default false. */
  createGraph?: boolean;
  /** Throw where an output does not depend on an input, instead of giving zeros; default false. */
  strict?: boolean;
}

function listOf(given: unknown, what: string, op: string): Tensor[] {
  const list = given instanceof Tensor ? [given] : Array.isArray(given) ? [...given] : null;
  if (list !== null && list.length > 0 && list.every((t) => t instanceof Tensor)) return list;
  throw new ArgumentError(`Cannot ${op}: ${what} must be tensors, got ${show(given)}`, { op });
}

function checkFunction(f: unknown, op: string): void {
  if (typeof f === "function") return;
  throw new ArgumentError(`Cannot ${op} of ${show(f)}: it must be a function of tensors`, { op });
}

/** The function's outputs at inputs of its own, which gradients are asked of. */
function evaluate(f: TensorFunction, inputs: unknown, op: string, createGraph: boolean) {
  checkFunction(f, op);
  const xs = listOf(inputs, "inputs", op).map((x) => {
    // With a graph the inputs' own history goes on; a view makes each one a variable of this call.
    if (createGraph && requiresGrad(x)) return view(x, x.shape);
    const leaf = x.detach();
    leaf.requiresGrad = true;
    return leaf;
  });
  const given = f(...xs);
  return { xs, outs: listOf(given, "outputs", op), single: given instanceof Tensor };
}

function zerosLike(t: Tensor): Tensor {
  return filled(t.shape, 0, t.info, t.storage.device);
}

/** Gradients of outputs, zeros where there are none. */
function gradients(
  op: string,
  outs: readonly Tensor[],
  xs: readonly Tensor[],
  seeds: readonly Tensor[] | null,
  { createGraph, strict }: Required<DerivativeOptions>,
  keep = false,
): Tensor[] {
  const live = outs.map((o, i) => ({ o, seed: seeds?.[i] ?? null })).filter(({ o }) =>
    requiresGrad(o)
  );
  if (strict && live.length < outs.length) independent(op);
  const found: (Tensor | null)[] = live.length === 0 ? xs.map(() => null) : grad(
    live.map(({ o }) => o),
    xs,
    {
      gradOutputs: live.map(({ seed }) => seed),
      createGraph,
      retainGraph: createGraph || keep,
      allowUnused: true,
    },
  );
  if (strict && found.includes(null)) independent(op);
  return found.map((g, i) => g ?? zerosLike(xs[i]));
}

function independent(op: string): never {
  throw new AutogradError(`Cannot ${op}: an output does not depend on an input`, {
    op,
    hint: "without { strict: true } its derivative is zeros",
  });
}

function vectorsOf(op: string, given: unknown, like: readonly Tensor[]): Tensor[] {
  if (given === null || given === undefined) {
    if (like.length === 1 && like[0].numel === 1) {
      return [filled(like[0].shape, 1, like[0].info, like[0].storage.device)];
    }
    throw new ArgumentError(`Cannot ${op} without v of more than one element`, { op });
  }
  const list = listOf(given, "v", op);
  const fits = list.length === like.length &&
    list.every((v, i) => sameShape(v.shape, like[i].shape));
  if (fits) return list;
  throw new ShapeError(
    `Cannot ${op} with v ${list.map((t) => shapeText(t.shape)).join(", ")}: it must have ${
      like.map((t) => shapeText(t.shape)).join(", ")
    }`,
    { op },
  );
}

/** Runs with recording on; what comes out is detached unless a graph was asked for. */
function derived<T>(createGraph: boolean, body: () => T): T {
  const result = asUser(body, true);
  return createGraph && isGradEnabled() ? result : detached(result);
}

function detached<T>(value: T): T {
  if (value instanceof Tensor) return value.detach() as T;
  return Array.isArray(value) ? value.map(detached) as T : value;
}

function settings(options?: DerivativeOptions | null) {
  const { createGraph = false, strict = false } = options ?? {};
  return { createGraph, strict };
}

/** A result in the form of what was given: one for a tensor, an array for several. */
function like<T>(given: unknown, list: readonly T[]): T | readonly T[] {
  return given instanceof Tensor ? list[0] : list;
}

/**
 * The Jacobian of `func` at `inputs`: for outputs y (Y…) and inputs x (X…) tensors (Y…, X…) of `∂y / ∂x`. One tensor for
 * one output and one input, else arrays over outputs, over inputs, or over outputs of arrays over inputs.
 *
 * One reverse pass for each element of the outputs. Errors: AutogradError under `strict`.
 *
 * ```ts
 * import { autograd, tensor } from "@toro/toro";
 * autograd.jacobian((x) => x.square(), tensor([1, 2])); // [[2, 0], [0, 4]]
 * ```
 */
export function jacobian(
  func: (x: Tensor) => Tensor,
  inputs: Tensor,
  options?: DerivativeOptions,
): Tensor;
/** The Jacobian of a function of several tensors, or with several outputs. */
export function jacobian(
  func: TensorFunction,
  inputs: Tensors,
  options?: DerivativeOptions,
  // deno-lint-ignore no-explicit-any
): any;
export function jacobian(
  func: TensorFunction,
  inputs: Tensors,
  options?: DerivativeOptions,
): unknown {
  const chosen = settings(options);
  return derived(chosen.createGraph, () => {
    const { xs, outs, single } = evaluate(func, inputs, "jacobian", chosen.createGraph);
    const rows = outs.map((y) => {
      const parts: Tensor[][] = xs.map(() => []);
      for (let i = 0; i < y.numel; i++) {
        const seed = zerosLike(y);
        view(seed, [-1]).set([i], 1);
        gradients("jacobian", [y], xs, [seed], chosen, true).forEach((g, k) => parts[k].push(g));
      }
      return like(
        inputs,
        xs.map((x, k) => {
          const shape = [...y.shape, ...x.shape];
          return y.numel === 0 ? filled(shape, 0, y.info) : reshape(stack(parts[k]), shape);
        }),
      );
    });
    return single ? rows[0] : rows;
  });
}

/**
 * The Hessian of a function with one number as output: for an input x (X…) a tensor (X…, X…) of `∂²y / ∂x²`; for several
 * inputs arrays of arrays. Options and errors as for `jacobian`.
 */
export function hessian(
  func: (x: Tensor) => Tensor,
  inputs: Tensor,
  options?: DerivativeOptions,
): Tensor;
/** The Hessian of a function of several tensors: arrays of arrays. */
export function hessian(
  func: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options?: DerivativeOptions,
): Tensor[][];
export function hessian(
  func: (...inputs: Tensor[]) => Tensor,
  inputs: Tensors,
  options?: DerivativeOptions,
): unknown {
  const chosen = settings(options);
  checkFunction(func, "hessian");
  const slope = (...xs: Tensor[]): Tensors => {
    const y = scalarOutput("hessian", func(...xs));
    return like(inputs, gradients("hessian", [y], xs, null, { ...chosen, createGraph: true }));
  };
  return jacobian(slope, inputs, options);
}

function scalarOutput(op: string, y: unknown): Tensor {
  if (y instanceof Tensor && y.numel === 1) return y;
  throw new ShapeError(
    `Cannot ${op} of a function that gives ${show(y)}: it must give one number`,
    {
      op,
    },
  );
}

/**
 * A vector times the Jacobian: `[outputs, Σ v · ∂y / ∂x]`, by one reverse pass. `v` has the outputs' shape; for an output
 * of one element it may be left out.
 */
export function vjp(
  func: TensorFunction,
  inputs: Tensors,
  v: Tensors | null = null,
  options?: DerivativeOptions,
): [outputs: Tensors, vjp: Tensors] {
  const chosen = settings(options);
  return derived(chosen.createGraph, () => {
    const { xs, outs, single } = evaluate(func, inputs, "vjp", chosen.createGraph);
    const found = gradients("vjp", outs, xs, vectorsOf("vjp", v, outs), chosen);
    return [single ? outs[0] : outs, like(inputs, found)] as [Tensors, Tensors];
  });
}

/**
 * The Jacobian times a vector: `[outputs, Σ ∂y / ∂x · v]`, by two reverse passes: the first is linear in the vector that
 * it starts from, and its derivative by that vector is wanted. `v` has the inputs' shape.
 */
export function jvp(
  func: TensorFunction,
  inputs: Tensors,
  v: Tensors | null = null,
  options?: DerivativeOptions,
): [outputs: Tensors, jvp: Tensors] {
  const chosen = settings(options);
  return derived(chosen.createGraph, () => {
    const { xs, outs, single } = evaluate(func, inputs, "jvp", chosen.createGraph);
    const vectors = vectorsOf("jvp", v, xs);
    const starts = outs.map((o) => {
      const start = zerosLike(o);
      start.requiresGrad = true;
      return start;
    });
    const back = gradients("jvp", outs, xs, starts, { ...chosen, createGraph: true });
    const found = gradients("jvp", back, starts, vectors, { ...chosen, strict: false });
    return [single ? outs[0] : outs, single ? found[0] : found] as [Tensors, Tensors];
  });
}

/** `[output, v · H]` of a function with one number as output: two reverse passes. `v` has the inputs' shape. */
export function vhp(
  func: (...inputs: Tensor[]) => Tensor,
  inputs: Tensors,
  v: Tensors | null = null,
  options?: DerivativeOptions,
): [output: Tensor, vhp: Tensors] {
  return hessianProduct("vhp", func, inputs, v, options);
}

/** `[output, H · v]` of a function with one number as output; as Hessians are symmetric, the same as `vhp`. */
export function hvp(
  func: (...inputs: Tensor[]) => Tensor,
  inputs: Tensors,
  v: Tensors | null = null,
  options?: DerivativeOptions,
): [output: Tensor, hvp: Tensors] {
  return hessianProduct("hvp", func, inputs, v, options);
}

function hessianProduct(
  op: string,
  func: (...inputs: Tensor[]) => Tensor,
  inputs: Tensors,
  v: Tensors | null,
  options?: DerivativeOptions,
): [Tensor, Tensors] {
  const chosen = settings(options);
  return derived(chosen.createGraph, () => {
    const { xs, outs } = evaluate(func, inputs, op, chosen.createGraph);
    const y = scalarOutput(op, outs.length === 1 ? outs[0] : outs);
    const slopes = gradients(op, [y], xs, null, { ...chosen, createGraph: true });
    const found = gradients(op, slopes, xs, vectorsOf(op, v, xs), chosen);
    return [y, like(inputs, found)] as [Tensor, Tensors];
  });
}
