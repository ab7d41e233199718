/**
 * The tape: nodes, edges, modes, and the engine that walks them backwards. Knows tensors by type only; the few ops
 * that the engine needs are handed in by ops/engine.ts.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { AutogradError } from "./errors.ts";
import { type Block, noteStorages, type Storage } from "./memory.ts";
import type { Tensor } from "./tensor.ts";

/** Gradients of a node's outputs in, gradients of its inputs out; null stands for zero. */
export type Backward = (grads: readonly (Tensor | null)[]) => readonly (Tensor | null)[];

/** Changes a gradient on its way; returning nothing keeps it. */
export type GradHook = (grad: Tensor) => Tensor | void;

/** Where a gradient goes: into an output slot of the node that made the value. */
export interface Edge {
  readonly node: Node;
  readonly slot: number;
}

let sequence = 0;

/** One recorded op. */
export class Node {
  /** The op's name, for error texts. */
  readonly op: string;
  /** Its place in the order of recording; every node that it takes gradients from is younger. */
  readonly seq: number = sequence++;
  /** Where the gradients of its inputs go. */
  readonly edges: readonly (Edge | null)[];
  /** The rule; null once used, so that what it saved can be collected. */
  backward: Backward | null;
  /** What the rule reads, with the versions that it saw. */
  saved: readonly Tensor[];
  versions: readonly number[];
  /** Hooks on output slots. */
  hooks: Map<number, Set<GradHook>> | null = null;
  /** Tensors at output slots that keep their gradients. */
  retained: Map<number, Tensor> | null = null;
  /** The leaf that collects gradients here. */
  readonly leaf: Tensor | null;

  constructor(
    op: string,
    edges: readonly (Edge | null)[],
    backward: Backward | null,
    saved: readonly Tensor[],
    leaf: Tensor | null = null,
  ) {
    this.op = op;
    this.edges = edges;
    this.backward = backward;
    this.saved = saved;
    this.versions = saved.length === 0 ? NO_VERSIONS : saved.map((t) => t.storage.version);
    this.leaf = leaf;
  }
}

const NO_VERSIONS: readonly number[] = [];

/** What autograd keeps of a tensor. */
export class AutogradMeta {
  /** Whether gradients are wanted for it. */
  requiresGrad = false;
  /** The gradient of a leaf. */
  grad: Tensor | null = null;
  /** The node that made it; null for a leaf. */
  node: Node | null = null;
  /** Which of the node's outputs it is. */
  slot = 0;
  /** The node that collects a leaf's gradients. */
  accumulate: Node | null = null;
  /** Counts rewrites of a base's history by in-place changes of its views. */
  epoch = 0;
  /** Whether backward leaves a gradient here though an op made the tensor. */
  retains = false;
  /** What is called after backward has added to a leaf's gradient. */
  postHooks: Set<(leaf: Tensor) => void> | null = null;
}

/** The tensor's meta, made when missing. */
export function metaOf(t: Tensor): AutogradMeta {
  return t.meta ??= new AutogradMeta();
}

// ---- modes ----------------------------------------------------------------------------------

interface ModeCell {
  readonly enabled: boolean;
  readonly parent: ModeCell | undefined;
  dead: boolean;
}

const modes = new AsyncLocalStorage<ModeCell>();
/** Cells that are not dead; while there is none, ops pay nothing. */
let liveCells = 0;
/** Set by the engine for the time of a backward pass, which is synchronous. */
let override: boolean | null = null;

/** Whether ops are recorded here and now. */
export function isGradEnabled(): boolean {
  if (override !== null) return override;
  if (liveCells === 0) return true;
  let cell = modes.getStore();
  while (cell !== undefined && cell.dead) cell = cell.parent;
  return cell === undefined ? true : cell.enabled;
}

function open(enabled: boolean): ModeCell {
  liveCells++;
  return { enabled, parent: modes.getStore(), dead: false };
}

function end(cell: ModeCell): void {
  if (cell.dead) return;
  cell.dead = true;
  liveCells--;
}

function withMode<T>(enabled: boolean, body: (() => T) | undefined): T | Disposable {
  const cell = open(enabled);
  if (body === undefined) {
    modes.enterWith(cell);
    return { [Symbol.dispose]: () => end(cell) };
  }
  let result: T;
  try {
    result = modes.run(cell, body);
  } catch (error) {
    end(cell);
    throw error;
  }
  if (result instanceof Promise) return result.finally(() => end(cell)) as T;
  end(cell);
  return result;
}

/**
 * Runs a synchronous or asynchronous function without recording: `noGrad(() => model.forward(x))`. Without an
 * argument, for the rest of a block: `using _ = noGrad()`.
 */
export function noGrad(): Disposable;
/** Runs a function without recording. */
export function noGrad<T>(body: () => T): T;
export function noGrad<T>(body?: () => T): T | Disposable {
  return withMode(false, body);
}

/** The opposite of `noGrad`, for use inside it. */
export function enableGrad(): Disposable;
/** Runs a function with recording. */
export function enableGrad<T>(body: () => T): T;
export function enableGrad<T>(body?: () => T): T | Disposable {
  return withMode(true, body);
}

/** Runs a synchronous function in a mode, at no cost: for the engine, optimisers and in-place rules. */
export function inMode<T>(enabled: boolean, body: () => T): T {
  const before = override;
  override = enabled;
  try {
    return body();
  } finally {
    override = before;
  }
}

/**
 * Runs a synchronous function of the user's from within the engine: recording is on or off as it is now, and `noGrad`
 * and `enableGrad` inside it work.
 */
export function asUser<T>(body: () => T, enabled: boolean = isGradEnabled()): T {
  const before = override;
  override = null;
  try {
    return withMode(enabled, body) as T;
  } finally {
    override = before;
  }
}

// ---- recording ------------------------------------------------------------------------------

/** What the engine needs of the ops. */
export interface EngineOps {
  add(a: Tensor, b: Tensor): Tensor;
  /** Adds b to a in place, or returns a new sum where the kinds of gradient do not allow that. */
  accumulate(a: Tensor, b: Tensor): Tensor;
  onesLike(t: Tensor): Tensor;
  /** A contiguous gradient that nobody else holds. */
  own(t: Tensor): Tensor;
  /** The window of `x`, a view, on a gradient of its base. */
  window(base: Tensor, x: Tensor): Tensor;
  /** A copy of the base's gradient in which the window of `x` holds `g`, or zero. */
  withWindow(base: Tensor, x: Tensor, g: Tensor | null): Tensor;
  /** Zeros of the base's shape in which the window of `x` holds `g`. */
  zerosWithWindow(base: Tensor, x: Tensor, g: Tensor): Tensor;
}

let ops: EngineOps;

/** ops/engine.ts hands its functions in. */
export function setEngineOps(given: EngineOps): void {
  ops = given;
}

/** Whether gradients flow to a tensor. */
export function requiresGrad(t: Tensor): boolean {
  return t.meta !== null && t.meta.requiresGrad;
}

/** Whether an op on these must be recorded. */
export function wants(a: Tensor, b?: Tensor | null, c?: Tensor | null): boolean {
  const any = requiresGrad(a) || (b != null && requiresGrad(b)) || (c != null && requiresGrad(c));
  return any && isGradEnabled();
}

/** Whether an op on any number of tensors must be recorded. */
export function wantsAny(tensors: readonly Tensor[]): boolean {
  return tensors.some(requiresGrad) && isGradEnabled();
}

/** Where gradients of a tensor go; null when it wants none. */
export function edgeOf(t: Tensor): Edge | null {
  const meta = t.meta;
  if (meta === null || !meta.requiresGrad) return null;
  const base = t.base;
  if (
    base !== null && base.meta !== null && base.meta.node !== null && base.meta.epoch !== meta.epoch
  ) {
    // The base was changed through some view since: this view is now a window of the new base.
    meta.node = new Node(
      "asStrided",
      [edgeOf(base)],
      ([g]) => [g && ops.zerosWithWindow(base, t, g)],
      [],
    );
    meta.slot = 0;
    meta.epoch = base.meta.epoch;
  }
  if (meta.node !== null) return { node: meta.node, slot: meta.slot };
  meta.accumulate ??= new Node("accumulate", [], null, [], t);
  return { node: meta.accumulate, slot: 0 };
}

function attach(t: Tensor, node: Node, slot: number): void {
  const meta = metaOf(t);
  if (meta.retains) {
    // An in-place change: what is kept is the gradient of the new value.
    meta.node!.retained!.delete(meta.slot);
    (node.retained ??= new Map()).set(slot, t);
  }
  meta.requiresGrad = true;
  meta.node = node;
  meta.slot = slot;
  if (t.base?.meta) meta.epoch = t.base.meta.epoch;
}

/**
 * Records an op. `inputs` are what gradients may flow to, in the order in which `backward` returns them;
 * `saved` are the tensors that `backward` reads.
 */
export function record(
  op: string,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  backward: Backward,
  saved: readonly Tensor[],
): void {
  const node = new Node(op, inputs.map(edgeOf), backward, saved);
  for (let i = 0; i < outputs.length; i++) {
    // Integers carry no gradient.
    if (outputs[i].info.isFloat) attach(outputs[i], node, i);
  }
}

/** Refuses an in-place change that autograd cannot follow; to be called before anything is written. */
export function checkInplace(op: string, x: Tensor, inputs: readonly Tensor[]): void {
  if (!isGradEnabled()) return;
  const root = x.base ?? x;
  if (requiresGrad(root) && root.meta!.node === null) {
    throw new AutogradError(
      `Cannot ${op} in place: ${x.base ? "it is a view of a leaf" : "a leaf"} that requires grad`,
      { op, hint: "wrap the change in noGrad(() => …)" },
    );
  }
  if (inputs.some(requiresGrad) && !x.info.isFloat) {
    throw new AutogradError(
      `Cannot ${op} in place: a ${x.dtype} tensor cannot take values that require grad`,
      { op },
    );
  }
}

/**
 * Records an in-place change of x. `backward` takes the gradient of the new x and returns those of the old x and of
 * the inputs. A change through a view rewrites the history of its base.
 */
export function recordInplace(
  op: string,
  x: Tensor,
  inputs: readonly Tensor[],
  backward: Backward,
  saved: readonly Tensor[],
): void {
  x.storage.version++;
  if (!isGradEnabled() || !(requiresGrad(x) || inputs.some(requiresGrad))) return;
  const base = x.base;
  if (base === null) {
    attach(x, new Node(op, [edgeOf(x), ...inputs.map(edgeOf)], backward, saved), 0);
    return;
  }
  const edges = [edgeOf(base), ...inputs.map(edgeOf)];
  const node = new Node(op, edges, ([g]) => {
    if (g === null) return edges.map(() => null);
    const [gx, ...rest] = backward([ops.window(g, x)]);
    return [ops.withWindow(g, x, gx), ...rest];
  }, saved);
  attach(base, node, 0);
  base.meta!.epoch++;
  metaOf(x).requiresGrad = true;
}

// ---- the engine -----------------------------------------------------------------------------

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
  for (const storage of made) if (!storage.kept && !held.has(storage.block)) storage.dispose();
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
    const results = node.backward(grads);
    if (!retain) {
      node.backward = null;
      node.saved = [];
      node.versions = NO_VERSIONS;
    }
    for (let i = 0; i < node.edges.length; i++) {
      const edge = node.edges[i], g = results[i];
      if (edge !== null && g != null) send(edge, g);
    }
  }
  return captured;
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
  if (given) {
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

/** Adds gradients of `output` to the `grad` of every leaf that it came from. */
export function backward(
  output: Tensor,
  gradient: Tensor | null | undefined,
  options: BackwardOptions = {},
): void {
  const root = rootOf(output, "backward");
  const seed = seedFor(output, gradient, "backward");
  inMode(options.createGraph ?? false, () => walk([root], [seed], null, options));
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
  const outs = Array.isArray(outputs) ? outputs as readonly Tensor[] : [outputs as Tensor];
  const ins = Array.isArray(inputs) ? inputs as readonly Tensor[] : [inputs as Tensor];
  const given = options.gradOutputs;
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
  const found = inMode(options.createGraph ?? false, () => walk(roots, seeds, targets, options));
  if (!options.allowUnused) {
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

/** Calls `hook` with each gradient of `t`; returns the function that removes it. */
export function registerHook(t: Tensor, hook: GradHook): () => void {
  const edge = edgeOf(t);
  if (edge === null) {
    throw new AutogradError("Cannot registerHook on a tensor that does not require grad", {
      op: "registerHook",
    });
  }
  const hooks = edge.node.hooks ??= new Map();
  let set = hooks.get(edge.slot);
  if (set === undefined) hooks.set(edge.slot, set = new Set());
  set.add(hook);
  return () => void set.delete(hook);
}

/** Lets backward leave the gradient of a tensor that an op made; leaves keep theirs anyway. */
export function retainGrad(t: Tensor): void {
  if (!requiresGrad(t)) {
    throw new AutogradError("Cannot retainGrad of a tensor that does not require grad", {
      op: "retainGrad",
    });
  }
  const edge = edgeOf(t)!;
  if (edge.node.leaf !== null) return;
  t.meta!.retains = true;
  (edge.node.retained ??= new Map()).set(edge.slot, t);
}

/** Calls `hook` after each addition to a leaf's gradient; returns the function that removes it. */
export function registerPostAccumulateGradHook(
  t: Tensor,
  hook: (leaf: Tensor) => void,
): () => void {
  const op = "registerPostAccumulateGradHook";
  if (!requiresGrad(t) || t.meta!.node !== null) {
    throw new AutogradError(
      `Cannot ${op} on a tensor that is no leaf or does not require grad`,
      { op },
    );
  }
  // Two registrations of one function count twice.
  const entry = (leaf: Tensor) => hook(leaf);
  const hooks = t.meta!.postHooks ??= new Set();
  hooks.add(entry);
  return () => void hooks.delete(entry);
}
