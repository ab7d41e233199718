/**
 * Hooks of modules. They work on direct `forward` calls: the first one shadows `forward` on that instance by a
 * non-enumerable own property; removing the last restores what was there.
 *
 * @module
 */
import { asUser, isGradEnabled, noteFixedViews, record, requiresGrad } from "../autograd.ts";
import { Tensor } from "../tensor.ts";
import type { Module } from "./module.ts";

type PreHook = (module: Module, args: unknown[]) => unknown[] | void;
type Hook = (module: Module, args: unknown[], output: unknown) => unknown;
/** Gradients of a module's tensors: one for each, null where there is none. */
export type ModuleGradients = readonly (Tensor | null)[];
type BackwardPreHook = (module: Module, gradOutput: ModuleGradients) => ModuleGradients | void;
type BackwardHook = (
  module: Module,
  gradInput: ModuleGradients,
  gradOutput: ModuleGradients,
) => ModuleGradients | void;

interface Hooks {
  readonly pre: Set<{ hook: PreHook }>;
  readonly post: Set<{ hook: Hook }>;
  readonly backwardPre: Set<{ hook: BackwardPreHook }>;
  readonly backward: Set<{ hook: BackwardHook }>;
  /** The instance's own `forward`, where it had one. */
  readonly own: PropertyDescriptor | undefined;
}

const hooksOf = new WeakMap<Module, Hooks>();

/** Adds a hook that sees and may change the arguments; returns the function that removes it. */
export function addPreHook(module: Module, hook: PreHook): () => void {
  return add(module, "pre", { hook });
}

/** Adds a hook that sees and may change the output; returns the function that removes it. */
export function addHook(module: Module, hook: Hook): () => void {
  return add(module, "post", { hook });
}

/** Adds a hook that sees and may change the gradients of the outputs. */
export function addBackwardPreHook(module: Module, hook: BackwardPreHook): () => void {
  return add(module, "backwardPre", { hook });
}

/** Adds a hook that sees the gradients of inputs and outputs, and may change those of the inputs. */
export function addBackwardHook(module: Module, hook: BackwardHook): () => void {
  return add(module, "backward", { hook });
}

const KINDS = ["pre", "post", "backwardPre", "backward"] as const;

function add(module: Module, kind: typeof KINDS[number], entry: { hook: unknown }): () => void {
  const hooks = hooksOf.get(module) ?? shadow(module);
  const set: Set<unknown> = hooks[kind];
  set.add(entry);
  return () => {
    if (set.delete(entry) && KINDS.every((k) => hooks[k].size === 0)) unshadow(module, hooks);
  };
}

/** The same tensors behind a node of the tape whose gradients pass through `rule`. */
function behind(
  op: string,
  tensors: readonly Tensor[],
  rule: (grads: ModuleGradients) => ModuleGradients,
): Tensor[] {
  const views = tensors.map((t) => {
    const view = new Tensor(t.storage, t.info, t.shape, t.strides, t.offset);
    view.base = t.base ?? t;
    return view;
  });
  record(op, tensors, views, rule, []);
  return noteFixedViews("a module with backward hooks takes or gives it", views);
}

/** A list in which the tensors that want gradients are others. */
function replaced(list: readonly unknown[], change: (tensors: Tensor[]) => Tensor[]): unknown[] {
  const places = list.flatMap((t, i) => t instanceof Tensor && requiresGrad(t) ? [i] : []);
  const out = [...list];
  change(places.map((i) => list[i] as Tensor)).forEach((t, k) => out[places[k]] = t);
  return out;
}

/** Runs a module's forward between two nodes that call its backward hooks. */
function hooked(
  module: Module,
  hooks: Hooks,
  args: unknown[],
  forward: (args: unknown[]) => unknown,
): unknown {
  const wanted = args.map((t) => t instanceof Tensor && requiresGrad(t));
  let gradOutput: ModuleGradients = [];
  const call = (gradInput: ModuleGradients): ModuleGradients => {
    for (const { hook } of [...hooks.backward]) {
      gradInput = asUser(() => hook(module, gradInput, gradOutput)) ?? gradInput;
    }
    return gradInput;
  };
  const tensors = args.filter((t) => t instanceof Tensor);
  const inputs = replaced(
    args,
    (list) =>
      list.length === 0 ? [] : behind("backwardHook", list, (grads) => {
        let at = 0;
        // One entry for each tensor among the arguments.
        const all = args.flatMap((t, i) =>
          t instanceof Tensor ? [wanted[i] ? grads[at++] ?? null : null] : []
        );
        const changed = call(all);
        return changed.filter((_, i) => requiresGrad(tensors[i]));
      }),
  );
  const output = forward(inputs);
  const single = output instanceof Tensor;
  if (!single && !Array.isArray(output)) return output;
  const outs = replaced(
    single ? [output] : output,
    (list) =>
      list.length === 0 ? [] : behind("backwardHook", list, (grads) => {
        gradOutput = grads;
        for (const { hook } of [...hooks.backwardPre]) {
          gradOutput = asUser(() => hook(module, gradOutput)) ?? gradOutput;
        }
        if (!wanted.includes(true)) call(tensors.map(() => null));
        return gradOutput;
      }),
  );
  return single ? outs[0] : outs;
}

function shadow(module: Module): Hooks {
  const own = Object.getOwnPropertyDescriptor(module, "forward");
  const original = module.forward;
  const hooks: Hooks = {
    pre: new Set(),
    post: new Set(),
    backwardPre: new Set(),
    backward: new Set(),
    own,
  };
  const forward = function (this: Module, ...args: unknown[]): unknown {
    for (const { hook } of [...hooks.pre]) args = hook(this, args) ?? args;
    const call = (given: unknown[]): unknown => {
      let output = original.apply(this, given);
      for (const { hook } of [...hooks.post]) {
        const changed = hook(this, given, output);
        if (changed !== undefined) output = changed;
      }
      return output;
    };
    const backward = hooks.backward.size + hooks.backwardPre.size > 0 && isGradEnabled();
    return backward ? hooked(this, hooks, args, call) : call(args);
  };
  Object.defineProperty(module, "forward", {
    value: forward,
    configurable: true,
    writable: true,
    enumerable: false,
  });
  hooksOf.set(module, hooks);
  return hooks;
}

function unshadow(module: Module, { own }: Hooks): void {
  hooksOf.delete(module);
  if (own === undefined) delete (module as { forward?: unknown }).forward;
  else Object.defineProperty(module, "forward", own);
}
