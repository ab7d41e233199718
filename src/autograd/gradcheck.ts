/**
 * Checks gradients against differences of function values. One random direction per input and one random weighting of
 * the outputs do the work of the whole Jacobian: two calls of the function per input, whatever its size.
 *
 * @module
 */
import { enableGrad, noGrad, requiresGrad } from "../autograd.ts";
import { grad } from "../backward.ts";
import { ArgumentError, AutogradError, DTypeError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { fromElements, Tensor } from "../tensor.ts";

/** A function to check: tensors in, a tensor or several out. */
export type Differentiable = (...inputs: Tensor[]) => Tensor | Iterable<Tensor>;

/** Options of `gradcheck` and `gradgradcheck`. */
export interface GradcheckOptions {
  /** The step of the central difference; default 1e-6. */
  eps?: number;
  /** Absolute tolerance; default 1e-5. */
  atol?: number;
  /** Relative tolerance; default 1e-3. */
  rtol?: number;
  /** Whether a wrong gradient throws, or gives false; default true. */
  raiseException?: boolean;
}

/** Numbers from -1 to 1, the same in every run. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

function valuesOf(t: Tensor): Float64Array<ArrayBuffer> {
  return Float64Array.from(t.toTypedArray() as Float64Array);
}

function outputsOf(result: Tensor | Iterable<Tensor>, op: string): Tensor[] {
  const isMany = typeof result === "object" && result !== null && Symbol.iterator in result;
  const list = result instanceof Tensor ? [result] : isMany ? [...result] : [result];
  const tensors = list.filter((o) => o instanceof Tensor);
  if (tensors.length < list.length || (list.length === 0 && op === "gradcheck")) {
    throw new ArgumentError(
      `Cannot ${op} a function that gives ${show(result)}: it must give tensors`,
      { op },
    );
  }
  return tensors.filter((o) => o.info.isFloat);
}

function weighted(outputs: readonly Tensor[], weights: readonly Float64Array[]): number {
  let sum = 0;
  outputs.forEach((o, i) => {
    const values = valuesOf(o);
    for (let j = 0; j < values.length; j++) sum += values[j] * weights[i][j];
  });
  return sum;
}

function inputsOf(inputs: Tensor | readonly Tensor[], op: string): Tensor[] {
  const list = Array.isArray(inputs) ? [...inputs as readonly Tensor[]] : [inputs as Tensor];
  const odd = list.findIndex((t) => !(t instanceof Tensor));
  if (odd >= 0) {
    throw new ArgumentError(`Cannot ${op}: input ${odd}, ${show(list[odd])}, is no tensor`, { op });
  }
  const wanted = list.filter(requiresGrad);
  if (wanted.length === 0) {
    throw new ArgumentError(`Cannot ${op}: none of the ${list.length} inputs requires grad`, {
      op,
      hint: "set requiresGrad on the inputs to be checked",
    });
  }
  for (const t of wanted) {
    if (t.dtype !== "float64") {
      throw new DTypeError(
        `Cannot ${op} a ${t.dtype} input [${t.shape.join(", ")}]: differences need float64`,
        { op, hint: 'make the input with { dtype: "float64" }' },
      );
    }
  }
  return list;
}

/**
 * Checks the gradients of `f` at `inputs` against central differences: for each input x that requires grad, with a
 * random direction v and random weights w, `<w, f(x + eps·v) - f(x - eps·v)> / 2 eps` must equal `<grad <w, f>, v>`.
 *
 * Types: inputs that require grad are float64. `f` must not change its inputs, and must give the same for the same
 * inputs. Errors: AutogradError that names the input and both numbers, unless `raiseException` is false.
 * Source: HIPS autograd's `check_grads`; `torch.autograd.gradcheck` compares the whole Jacobian by default.
 *
 * ```ts
 * import { autograd, exp, tensor } from "@toro/toro";
 * const x = tensor([0.5, -1], { dtype: "float64", requiresGrad: true });
 * autograd.gradcheck((x) => exp(x), x); // true
 * ```
 */
export function gradcheck(
  f: Differentiable,
  inputs: Tensor | readonly Tensor[],
  options: GradcheckOptions = {},
): boolean {
  return compare("gradcheck", f, inputs, options);
}

function checkFunction(op: string, f: unknown): void {
  if (typeof f === "function") return;
  throw new ArgumentError(`Cannot ${op} ${show(f)}: it must be a function`, { op });
}

function compare(
  op: string,
  f: Differentiable,
  inputs: Tensor | readonly Tensor[],
  options: GradcheckOptions,
): boolean {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3, raiseException = true } = optionsOf(op, options, [
    "eps",
    "atol",
    "rtol",
    "raiseException",
  ]);
  checkFunction(op, f);
  const list = inputsOf(inputs, op);
  const random = generator(12345);
  const outputs = outputsOf(enableGrad(() => f(...list)), op);
  const weights = outputs.map((o) => Float64Array.from({ length: o.numel }, random));
  const checked = list.filter(requiresGrad);
  const reached = outputs.map((o, i) => ({ o, w: weights[i] })).filter(({ o }) => requiresGrad(o));
  const grads: (Tensor | null)[] = reached.length === 0 ? checked.map(() => null) : grad(
    reached.map(({ o }) => o),
    checked,
    {
      gradOutputs: reached.map(({ o, w }) =>
        fromElements(narrowed(w, o), o.dtype, o.shape, o.storage.device)
      ),
      allowUnused: true,
    },
  );
  for (const [i, x] of list.entries()) {
    if (!requiresGrad(x)) continue;
    const at = valuesOf(x);
    const direction = Float64Array.from(at, random);
    const moved = (step: number) =>
      noGrad(() => {
        const values = at.map((v, j) => v + step * direction[j]);
        const shifted = list.map((t, k) =>
          k === i ? fromElements(values, "float64", x.shape, x.storage.device) : t
        );
        return weighted(outputsOf(f(...shifted), op), weights);
      });
    const numeric = (moved(eps) - moved(-eps)) / (2 * eps);
    const g = grads[checked.indexOf(x)];
    const slopes = g === null ? new Float64Array(at.length) : valuesOf(g);
    const analytic = slopes.reduce((sum, s, j) => sum + s * direction[j], 0);
    // A NaN on either side must not pass.
    if (Math.abs(analytic - numeric) <= atol + rtol * Math.abs(numeric)) continue;
    if (!raiseException) return false;
    throw new AutogradError(
      `Cannot ${op}: along a random direction of input ${i} [${
        x.shape.join(", ")
      }] backward gives ` +
        `${analytic}, the difference of values ${numeric}`,
      { op },
    );
  }
  return true;
}

/** Weights as elements of the output's dtype. */
function narrowed(w: Float64Array<ArrayBuffer>, o: Tensor): ArrayBufferView {
  if (o.dtype === "float64") return w;
  if (o.dtype === "float32") return Float32Array.from(w);
  throw new DTypeError(`Cannot gradcheck a ${o.dtype} output: differences need float64`, {
    op: "gradcheck",
  });
}

/**
 * Checks second derivatives: that the gradients which `f`'s backward computes are themselves differentiated rightly,
 * in the inputs and in the gradients of the outputs. Arguments and errors as for `gradcheck`.
 */
export function gradgradcheck(
  f: Differentiable,
  inputs: Tensor | readonly Tensor[],
  options: GradcheckOptions = {},
): boolean {
  checkFunction("gradgradcheck", f);
  const list = inputsOf(inputs, "gradgradcheck");
  const random = generator(54321);
  const wanted = list.map(requiresGrad);
  const seeds = outputsOf(enableGrad(() => f(...list)), "gradgradcheck").map((o) => {
    if (!requiresGrad(o)) return null;
    const seed = fromElements(
      Float64Array.from({ length: o.numel }, random),
      "float64",
      o.shape,
      o.storage.device,
    );
    seed.requiresGrad = true;
    return seed;
  });
  const given = seeds.filter((s) => s !== null);
  const backward: Differentiable = (...all) => {
    const xs = all.slice(0, list.length), gs = all.slice(list.length);
    return enableGrad(() => {
      // Inputs that the difference moves are leaves of their own.
      xs.forEach((x, i) => {
        if (wanted[i] && !requiresGrad(x)) x.requiresGrad = true;
      });
      const outputs = outputsOf(f(...xs), "gradgradcheck").filter((_, i) => seeds[i] !== null);
      const targets = xs.filter((_, i) => wanted[i]);
      const found = grad(outputs, targets, {
        gradOutputs: gs,
        createGraph: true,
        allowUnused: true,
      }) as (Tensor | null)[];
      return found.filter((g) => g !== null);
    });
  };
  return compare("gradgradcheck", backward, [...list, ...given], options);
}
