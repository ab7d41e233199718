/**
 * Forward hooks. They work on direct `forward` calls: the first one shadows `forward` on that instance by a
 * non-enumerable own property; removing the last restores what was there.
 *
 * @module
 */
import type { Module } from "./module.ts";

type PreHook = (module: Module, args: unknown[]) => unknown[] | void;
type Hook = (module: Module, args: unknown[], output: unknown) => unknown;

interface Hooks {
  readonly pre: Set<{ hook: PreHook }>;
  readonly post: Set<{ hook: Hook }>;
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

function add(module: Module, kind: "pre" | "post", entry: { hook: PreHook | Hook }): () => void {
  const hooks = hooksOf.get(module) ?? shadow(module);
  const set: Set<unknown> = hooks[kind];
  set.add(entry);
  return () => {
    if (set.delete(entry) && hooks.pre.size + hooks.post.size === 0) unshadow(module, hooks);
  };
}

function shadow(module: Module): Hooks {
  const own = Object.getOwnPropertyDescriptor(module, "forward");
  const original = module.forward;
  const hooks: Hooks = { pre: new Set(), post: new Set(), own };
  const forward = function (this: Module, ...args: unknown[]): unknown {
    for (const { hook } of [...hooks.pre]) args = hook(this, args) ?? args;
    let output = original.apply(this, args);
    for (const { hook } of [...hooks.post]) {
      const changed = hook(this, args, output);
      if (changed !== undefined) output = changed;
    }
    return output;
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
