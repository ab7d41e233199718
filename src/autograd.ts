/**
 * The tape: nodes, edges, modes, recording and hooks. The engine that walks it backwards is in backward.ts. Knows tensors
 * by type only; the few ops that are needed are handed in by ops/engine.ts.
 *
 * @module
 */
import { ArgumentError, AutogradError, show } from "./errors.ts";
import { Mode } from "./mode.ts";
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
/** Says where the user's code is; set while somewhere anomalies are looked for. */
let tracer: (() => string | null) | null = null;

/** anomaly.ts sets it while it is in use. */
export function setTracer(given: (() => string | null) | null): void {
  tracer = given;
}

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
  /** Where the user's code made it; while anomalies are looked for. */
  readonly made: string | null = tracer === null ? null : tracer();

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

  /** Lets go of what the rule holds. */
  forget(): void {
    this.backward = null;
    this.saved = [];
    this.versions = NO_VERSIONS;
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
  /** Counts in-place changes of a base, or says up to which of them a view's history goes. */
  epoch = 0;
  /** Why a view must not be changed in place while recording; null for others. */
  fixed: string | null = null;
  /** Whether backward leaves a gradient here though an op made the tensor. */
  retains = false;
  /** Whether an op was recorded on it, whose rule may read its dims. */
  used = false;
  /** What is called after backward has added to a leaf's gradient. */
  postHooks: Set<(leaf: Tensor) => void> | null = null;
}

/** The tensor's meta, made when missing. */
export function metaOf(t: Tensor): AutogradMeta {
  return t.meta ??= new AutogradMeta();
}

// ---- modes ----------------------------------------------------------------------------------

const recording = new Mode<boolean>();
/** Set by the engine for the time of a backward pass, which is synchronous. */
let override: boolean | null = null;

/** Whether ops are recorded here and now. */
export function isGradEnabled(): boolean {
  if (override !== null) return override;
  return recording.live === 0 ? true : recording.value() ?? true;
}

/**
 * Runs a synchronous or asynchronous function without recording: `noGrad(() => model.forward(x))`. Without an
 * argument, for the rest of a block: `using _ = noGrad()`.
 */
export function noGrad(): Disposable;
/** Runs a function without recording. */
export function noGrad<T>(body: () => T): T;
export function noGrad<T>(body?: () => T): T | Disposable {
  return during("noGrad", false, body);
}

/** The opposite of `noGrad`, for use inside it. */
export function enableGrad(): Disposable;
/** Runs a function with recording. */
export function enableGrad<T>(body: () => T): T;
export function enableGrad<T>(body?: () => T): T | Disposable {
  return during("enableGrad", true, body);
}

/** `enableGrad` or `noGrad`, as told: `setGradEnabled(training, () => model.forward(x))`, `using _ = setGradEnabled(false)`. */
export function setGradEnabled(mode: boolean): Disposable;
/** Runs a function with or without recording. */
export function setGradEnabled<T>(mode: boolean, body: () => T): T;
export function setGradEnabled<T>(mode: boolean, body?: () => T): T | Disposable {
  if (typeof mode !== "boolean") {
    throw new ArgumentError(`Cannot setGradEnabled to ${show(mode)}: it must be true or false`, {
      op: "setGradEnabled",
    });
  }
  return during("setGradEnabled", mode, body);
}

/** Sets the mode for a function, or until the result is disposed of. */
function during<T>(op: string, mode: boolean, body?: () => T): T | Disposable {
  if (body === undefined) return recording.enter(mode);
  if (typeof body === "function") return recording.run(mode, body);
  throw new ArgumentError(`Cannot ${op} for ${show(body)}: the body must be a function`, { op });
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
    return recording.run(enabled, body);
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

/** What ops/engine.ts handed in. */
export let ops: EngineOps;

/** ops/engine.ts hands its functions in. */
export function setEngineOps(given: EngineOps): void {
  ops = given;
}

/**
 * The tensor that a view is in the end a view of, or null. A base whose dims were changed in place is a view itself since,
 * of what it was before.
 */
export function baseOf(t: Tensor): Tensor | null {
  let base = t.base;
  while (base !== null && base.base !== null) base = base.base;
  return base;
}

/** Whether gradients flow to a tensor. */
export function requiresGrad(t: Tensor): boolean {
  if (t.meta !== null && t.meta.requiresGrad) return true;
  if (t.base === null) return false;
  // A view may have got a history by an in-place change of its base.
  const base = baseOf(t)!.meta;
  if (!base || base.epoch === 0 || !base.requiresGrad) return false;
  return base.epoch !== (t.meta?.epoch ?? 0);
}

/** Whether it is a leaf, or a view that was made one, that collects gradients. */
export function isGradLeaf(t: Tensor): boolean {
  if (t.meta === null || !t.meta.requiresGrad || t.meta.node !== null) return false;
  // A view that was changed in place has its history from the base.
  return t.base === null || (baseOf(t)!.meta?.node ?? null) === null;
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
  if (!requiresGrad(t)) return null;
  const meta = metaOf(t);
  meta.used = true;
  const base = baseOf(t);
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
    meta.requiresGrad = true;
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
  const base = t.base === null ? null : baseOf(t)!.meta;
  if (base !== null) meta.epoch = base.epoch;
}

/** Notes that a view was made without recording it, of a tensor that gradients flow to. */
export function noteUnrecordedView(view: Tensor): void {
  const meta = metaOf(view);
  meta.epoch = baseOf(view)!.meta?.epoch ?? 0;
  meta.fixed = "it is a view that was made under noGrad";
}

/** Notes why views cannot be changed in place while recording. */
export function noteFixedViews<T extends readonly Tensor[]>(why: string, views: T): T {
  for (const { meta } of views) if (meta?.requiresGrad) meta.fixed = why;
  return views;
}

/** Notes that views came from one op that gives several. */
export function noteManyViews<T extends readonly Tensor[]>(op: string, views: T): T {
  return noteFixedViews(`it is one of several views that ${op} gave`, views);
}

/** What keeps rules in another form than they are given; see checkpointing in recompute.ts. */
export interface RuleKeeper {
  /** Takes a rule, gives what the node shall have in its place. */
  keep(backward: Backward): Backward;
}

let keeper: RuleKeeper | null = null;

/** Runs a synchronous function during which rules are given to a keeper; null is none. */
export function withKeeper<T>(given: RuleKeeper | null, body: () => T): T {
  const before = keeper;
  keeper = given;
  try {
    return body();
  } finally {
    keeper = before;
  }
}

function newNode(
  op: string,
  edges: readonly (Edge | null)[],
  backward: Backward,
  saved: readonly Tensor[],
): Node {
  return keeper === null
    ? new Node(op, edges, backward, saved)
    : new Node(op, edges, keeper.keep(backward), []);
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
  const node = newNode(op, inputs.map(edgeOf), backward, saved);
  for (let i = 0; i < outputs.length; i++) {
    // Integers carry no gradient.
    if (outputs[i].info.isFloat) attach(outputs[i], node, i);
  }
}

/** Refuses an in-place change that autograd cannot follow; to be called before anything is written. */
export function checkInplace(op: string, x: Tensor, inputs: readonly Tensor[]): void {
  if (!isGradEnabled()) return;
  const root = baseOf(x) ?? x;
  if (isGradLeaf(root) || isGradLeaf(x)) {
    throw new AutogradError(
      `Cannot ${op} in place: ${
        isGradLeaf(x) ? "a leaf" : "it is a view of a leaf"
      } that requires grad`,
      { op, hint: "wrap the change in noGrad(() => …)" },
    );
  }
  const fixed = x.meta?.fixed ?? null;
  if (fixed !== null && (requiresGrad(root) || requiresGrad(x) || inputs.some(requiresGrad))) {
    throw new AutogradError(`Cannot ${op} in place: ${fixed}`, {
      op,
      hint: "clone() it, or use the form that is not in place",
    });
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
  const base = baseOf(x);
  if (base === null) {
    attach(x, newNode(op, [edgeOf(x), ...inputs.map(edgeOf)], backward, saved), 0);
    x.meta!.epoch++;
    return;
  }
  const edges = [edgeOf(base), ...inputs.map(edgeOf)];
  const node = newNode(op, edges, ([g]) => {
    if (g === null) return edges.map(() => null);
    const [gx, ...rest] = backward([ops.window(g, x)]);
    return [ops.withWindow(g, x, gx), ...rest];
  }, saved);
  attach(base, node, 0);
  base.meta!.epoch++;
  metaOf(x).requiresGrad = true;
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
