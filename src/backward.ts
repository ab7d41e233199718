/**
 * The engine: walks the tape backwards, for `backward()` and `grad()`.
 *
 * @module
 */
import { checkAnomaly } from "./autograd/anomaly.ts";
import { asUser, type Edge, edgeOf, inMode, type Node, ops } from "./autograd.ts";
import { ArgumentError, AutogradError, show } from "./errors.ts";
import { passEnded } from "./collection.ts";
import { optionsOf } from "./options.ts";
import { type Block, noteStorages, type Storage } from "./memory.ts";
import { Tensor } from "./tensor.ts";
import { settleWindows, sourcesOf } from "./windows.ts";

interface Arrived {
  readonly grads: (Tensor | null)[];
  /** Slots whose sum the engine made itself and may add to in place. */
  readonly owned: boolean[];
}

interface Target {
  readonly node: Node;
  readonly slot: number;
  readonly at: number;
}

/** Options of a backward pass. */
export interface BackwardOptions {
  /** Record the backward pass itself, for higher-order gradients. */
  createGraph?: boolean;
  /** Keep what was saved, so that backward can run again; default: as createGraph. */
  retainGraph?: boolean | null;
}

let passes = 0, now = 0;

/** The number of the backward pass under way; 0 outside of any. What is kept for one is of no use to the next. */
export function passNumber(): number {
  return now;
}

function reachable(roots: readonly Edge[]): Node[] {
  const seen = new Set<Node>();
  const stack = roots.map((e) => e.node);
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const edge of node.edges) if (edge !== null && !seen.has(edge.node)) stack.push(edge.node);
  }
  // Inputs are older than what uses them, except where an in-place change gave an old tensor a young node;
  // that node, too, is older than whatever used it. So age is a topological order.
  return [...seen].sort((a, b) => b.seq - a.seq);
}

/**
 * Walks back from the roots. With targets, gradients are captured for them and no leaf is touched. What the pass made
 * on its way is freed at its end, unless the user may have got hold of it (by a hook) or it is needed again.
 */
function walk(
  roots: readonly Edge[],
  seeds: readonly Tensor[],
  targets: readonly Target[] | null,
  options: BackwardOptions,
): (Tensor | null)[] {
  const before = now;
  now = ++passes;
  let captured: (Tensor | null)[];
  try {
    captured = freeing(roots, seeds, targets, options);
  } finally {
    now = before;
  }
  if (now === 0) passEnded();
  return captured;
}

function freeing(
  roots: readonly Edge[],
  seeds: readonly Tensor[],
  targets: readonly Target[] | null,
  options: BackwardOptions,
): (Tensor | null)[] {
  if (options.createGraph || options.retainGraph) return pass(roots, seeds, targets, options, []);
  const made: Storage[] = [];
  const outer = noteStorages(made);
  const left: (Tensor | null)[] = [];
  let captured: (Tensor | null)[] = [];
  try {
    captured = pass(roots, seeds, targets, options, left);
  } finally {
    noteStorages(outer);
  }
  if (left.includes(null)) return captured;
  const held = new Set<Block>();
  for (const g of [...left, ...captured]) {
    if (g === null) continue;
    held.add(g.storage.block);
    for (const part of g.storage.pending?.parts?.() ?? []) held.add(part.block);
  }
  // The last first, so that nothing runs to be read by what goes too.
  for (const storage of made.reverse()) {
    if (!storage.kept && !held.has(storage.block)) storage.dispose();
  }
  return captured;
}

/** One walk; notes in `left` the gradients that it left on leaves, or null when a hook saw one on its way. */
function pass(
  roots: readonly Edge[],
  seeds: readonly Tensor[],
  targets: readonly Target[] | null,
  options: BackwardOptions,
  left: (Tensor | null)[],
): (Tensor | null)[] {
  const createGraph = options.createGraph ?? false;
  const retain = options.retainGraph ?? createGraph;
  const order = reachable(roots);
  const arrived = new Map<Node, Arrived>();
  const captured: (Tensor | null)[] = targets === null ? [] : targets.map(() => null);
  const wanted = targets === null ? null : leadingTo(order, targets);
  /** Storages that somebody else holds, so that no leaf may take them as its own. */
  const shared = new Set<unknown>(seeds.map((g) => g.storage));

  const send = (edge: Edge, g: Tensor) => {
    let a = arrived.get(edge.node);
    if (a === undefined) arrived.set(edge.node, a = { grads: [], owned: [] });
    const before = a.grads[edge.slot] ?? null;
    if (before === null) {
      a.grads[edge.slot] = g;
    } else if (a.owned[edge.slot] && !createGraph) {
      a.grads[edge.slot] = ops.accumulate(before, g);
    } else {
      a.grads[edge.slot] = ops.add(before, g);
      a.owned[edge.slot] = true;
    }
  };

  roots.forEach((edge, i) => send(edge, seeds[i]));
  for (const node of order) {
    if (wanted !== null && !wanted.has(node)) continue;
    const a = arrived.get(node);
    arrived.delete(node);
    if (a === undefined) continue;
    const grads = a.grads;
    for (let slot = 0; slot < grads.length; slot++) {
      let g = grads[slot];
      settleWindows(g);
      const hooks = node.hooks?.get(slot);
      if (!g || hooks === undefined) continue;
      for (const hook of hooks) {
        const before: Tensor = g;
        g = asUser(() => hook(before)) ?? before;
      }
      left.push(null);
      shared.add(g.storage);
      grads[slot] = g;
    }
    for (const [slot, t] of node.retained ?? []) {
      const g = grads[slot];
      if (!g) continue;
      const { meta } = t;
      meta!.grad = meta!.grad === null ? g : ops.add(meta!.grad, g);
      left.push(meta!.grad);
      shared.add(g.storage);
    }
    if (targets !== null) {
      for (const t of targets) if (t.node === node) captured[t.at] = grads[t.slot] ?? null;
    }
    if (node.leaf !== null) {
      if (targets === null && grads[0]) {
        deposit(node.leaf, grads[0], shared, createGraph);
        left.push(node.leaf.meta!.grad);
        for (const hook of node.leaf.meta!.postHooks ?? []) asUser(() => hook(node.leaf!));
      }
      continue;
    }
    if (node.backward === null) {
      throw new AutogradError(
        `Cannot run backward through ${node.op} a second time: what it saved was freed by the first`,
        { op: node.op, hint: "pass { retainGraph: true } to the first backward()" },
      );
    }
    for (let i = 0; i < node.saved.length; i++) {
      if (node.saved[i].storage.version !== node.versions[i]) {
        throw new AutogradError(
          `Cannot run backward through ${node.op}: a tensor [${
            node.saved[i].shape.join(", ")
          }] that it saved was changed in place afterwards ` +
            `(version ${node.saved[i].storage.version}, saved at ${node.versions[i]})`,
          { op: node.op, hint: "clone() it before the in-place change" },
        );
      }
    }
    const results = runRule(node, grads);
    if (!retain) node.forget();
    for (let i = 0; i < node.edges.length; i++) {
      const edge = node.edges[i], g = results[i];
      if (edge === null || g == null) continue;
      for (const source of sourcesOf(g)) shared.add(source);
      send(edge, g);
    }
  }
  return captured;
}

/** A node's gradients; an error or a NaN is traced to the line that made the node where anomalies are looked for. */
function runRule(node: Node, grads: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
  if (node.made === null) return node.backward!(grads);
  let results: readonly (Tensor | null)[];
  try {
    results = node.backward!(grads);
  } catch (error) {
    throw new AutogradError(
      `Cannot run backward through ${node.op}, which was made at ${node.made}: ${
        error instanceof Error ? error.message : String(error)
      }`,
      { op: node.op, cause: error },
    );
  }
  checkAnomaly(node.op, node.made, results);
  return results;
}

function leadingTo(order: readonly Node[], targets: readonly Target[]): Set<Node> {
  const wanted = new Set<Node>(targets.map((t) => t.node));
  for (let i = order.length - 1; i >= 0; i--) {
    if (order[i].edges.some((e) => e !== null && wanted.has(e.node))) wanted.add(order[i]);
  }
  return wanted;
}

function deposit(leaf: Tensor, g: Tensor, shared: Set<unknown>, createGraph: boolean): void {
  const meta = leaf.meta!;
  if (meta.grad !== null) {
    meta.grad = createGraph ? ops.add(meta.grad, g) : ops.accumulate(meta.grad, g);
    return;
  }
  if (createGraph) {
    meta.grad = g;
    return;
  }
  meta.grad = shared.has(g.storage) || g.base !== null || !g.isContiguous() ? ops.own(g) : g;
  shared.add(meta.grad.storage);
}

function seedFor(output: Tensor, given: Tensor | null | undefined, op: string): Tensor {
  if (given !== null && given !== undefined) {
    if (!(given instanceof Tensor)) {
      throw new ArgumentError(`Cannot ${op} with the gradient ${show(given)}: it is no tensor`, {
        op,
      });
    }
    if (
      given.shape.length !== output.shape.length ||
      given.shape.some((n, i) => n !== output.shape[i])
    ) {
      throw new AutogradError(
        `Cannot ${op}: the gradient [${given.shape.join(", ")}] differs in shape from the output [${
          output.shape.join(", ")
        }]`,
        { op },
      );
    }
    return given;
  }
  if (output.numel !== 1) {
    throw new AutogradError(
      `Cannot ${op} from a tensor [${
        output.shape.join(", ")
      }] without a gradient: only one element is a scalar`,
      { op, hint: "reduce it by mean() or sum(), or pass a gradient of its shape" },
    );
  }
  return inMode(false, () => ops.onesLike(output));
}

function rootOf(output: Tensor, op: string): Edge {
  const edge = edgeOf(output);
  if (edge === null) {
    throw new AutogradError(
      `Cannot ${op}: the tensor does not require grad and no op on its way recorded one`,
      { op },
    );
  }
  return edge;
}

/**
 * Adds gradients of tensors to the `grad` of every leaf that they came from, in one pass. `gradTensors` are the gradients of
 * those that are no scalars. Errors: AutogradError for a tensor without a history, or without a gradient that it needs.
 */
export function backward(
  tensors: Tensor | readonly Tensor[],
  gradTensors: Tensor | readonly (Tensor | null)[] | null = null,
  options: BackwardOptions = {},
): void {
  const own = optionsOf("backward", options, ["createGraph", "retainGraph"]);
  const outs = listOf(tensors), given = gradTensors === null ? [] : listOf(gradTensors);
  const at = outs.findIndex((t) => !(t instanceof Tensor));
  if (at >= 0 || given.length > outs.length) {
    throw new ArgumentError(
      at >= 0
        ? `Cannot backward: tensor ${at}, ${show(outs[at])}, is no tensor`
        : `Cannot backward: ${outs.length} tensors with ${given.length} gradients`,
      { op: "backward" },
    );
  }
  const roots = outs.map((t) => rootOf(t, "backward"));
  const seeds = outs.map((t, i) => seedFor(t, given[i], "backward"));
  inMode(own.createGraph ?? false, () => walk(roots, seeds, null, own));
}

/** One or several as an array. */
function listOf<T>(given: T | readonly T[]): readonly T[] {
  return Array.isArray(given) ? given : [given as T];
}

/** Options of `grad`. */
export interface GradOptions extends BackwardOptions {
  /** Gradients of the outputs; ones where missing. */
  gradOutputs?: Tensor | readonly (Tensor | null)[] | null;
  /** Give null for an input that no output depends on, instead of an error. */
  allowUnused?: boolean;
}

/** The gradients of outputs with respect to inputs; leaves keep their `grad` as it is. */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions = {},
): Tensor[] {
  const own = optionsOf("grad", options, [
    "gradOutputs",
    "allowUnused",
    "createGraph",
    "retainGraph",
  ]);
  const outs = listOf(outputs), ins = listOf(inputs);
  for (const [what, list] of [["output", outs], ["input", ins]] as const) {
    const at = list.findIndex((t) => !(t instanceof Tensor));
    if (at >= 0) {
      throw new ArgumentError(`Cannot grad: ${what} ${at}, ${show(list[at])}, is no tensor`, {
        op: "grad",
      });
    }
  }
  const given = own.gradOutputs;
  const seeds = outs.map((o, i) =>
    seedFor(o, Array.isArray(given) ? given[i] : given as Tensor | null | undefined, "grad")
  );
  const targets = ins.map((t, at) => {
    const edge = edgeOf(t);
    if (edge === null) {
      throw new AutogradError(`Cannot grad: input ${at} does not require grad`, { op: "grad" });
    }
    return { node: edge.node, slot: edge.slot, at };
  });
  const roots = outs.map((o) => rootOf(o, "grad"));
  const found = inMode(own.createGraph ?? false, () => walk(roots, seeds, targets, own));
  if (!own.allowUnused) {
    const missing = found.indexOf(null);
    if (missing >= 0) {
      throw new AutogradError(`Cannot grad: no output depends on input ${missing}`, {
        op: "grad",
        hint: "pass { allowUnused: true } to get null for it",
      });
    }
  }
  return found as Tensor[];
}
