/**
 * What all optimisers share: parameter groups whose numbers live in native cells, state, saving and loading, and the one
 * native call in which a step updates all parameters of a group.
 *
 * @module
 */
import { type Operand, run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { enableGrad, inMode } from "../autograd.ts";
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, parseSignature, type Signature } from "../op.ts";
import { cast, mapOut } from "../ops/map.ts";
import { moved } from "../ops/transfer.ts";
import { clone, contiguous } from "../ops/view.ts";
import { rowsOf, type RowSparse } from "../rows.ts";
import { sameShape, shapeText } from "../shape.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { checkFlag } from "./checks.ts";
import { canBeLazy, LazyRows } from "./lazy_rows.ts";
import { ParamGroup } from "./param_group.ts";
import { KINDS, type Rule } from "./rule.ts";
import { camelCase, snakeCase } from "./state_keys.ts";

/** Options of a group of parameters; what is missing is the optimiser's own. */
export interface GroupOptions {
  /** The group's parameters. */
  params: Iterable<Tensor> | Tensor;
  /** Any option of the optimiser, such as `lr`. */
  [option: string]: unknown;
}

/** What an optimiser is made of: parameters, or groups of them with options of their own. */
export type Parameters = Iterable<Tensor> | Iterable<GroupOptions>;

/** An optimiser's state in PyTorch's structure. */
export interface OptimizerState<V = Tensor> {
  /** By the parameter's number: step count and moments. */
  state: Record<string, Record<string, V>>;
  /** The groups' options, with the numbers of their parameters. */
  param_groups: (Record<string, unknown> & { params: number[] })[];
}

/** What is kept of one parameter. */
interface Slot {
  readonly group: ParamGroup;
  /** Its place among the group's step counts. */
  readonly index: number;
  /** In the order of `stateNames`; empty before the first step. */
  states: Tensor[];
  /** Its rows, while its gradients come by rows. */
  lazy: LazyRows | null;
  /** When each row's momentum is gone, as loaded; until rows are made. */
  until: Tensor | null;
}

/** The base of optimisers. */
export abstract class Optimizer {
  readonly #optimizer = true;
  /** The groups; their options may be changed at any time. */
  readonly paramGroups: ParamGroup[] = [];
  /** The options that a group has unless it says otherwise. */
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly #slots = new Map<Tensor, Slot>();
  /** The class's name, for error texts. */
  protected readonly title: string;

  /** Binds the arguments, of which the parameters come first, to the class's signature. */
  protected constructor(signature: Signature, args: unknown[]) {
    const { name } = signature;
    const [params, ...values] = bind(signature, args);
    const defaults: Record<string, unknown> = {};
    signature.params.slice(1).forEach((param, i) => {
      const value = values[i] === null ? param.default : values[i];
      if (HOW.has(param.name)) checkHow(name, param.name, value);
      else defaults[param.name] = param.name === "lr" ? rateOf(name, value) : value;
    });
    this.title = name;
    this.defaults = defaults;
    if (
      params instanceof Tensor || typeof params !== "object" || params === null ||
      !(Symbol.iterator in params)
    ) {
      throw new ArgumentError(
        `Cannot make ${name} of ${show(params)}: params must be a list of tensors or of groups`,
        { op: name, hint: "model.parameters(), or [{ params: …, lr: … }, …]" },
      );
    }
    const list = [...params as Iterable<Tensor | GroupOptions>];
    if (list.length === 0) {
      throw new ArgumentError(`Cannot make ${name} of an empty list of parameters`, { op: name });
    }
    const groups = list.some((p) => !(p instanceof Tensor))
      ? list as GroupOptions[]
      : [{ params: list as Tensor[] }];
    for (const group of groups) this.addParamGroup(group);
  }

  /** Fails for an option that has no meaning; `options` are a group's. */
  protected abstract check(options: Record<string, unknown>): void;
  /** The numbers that native reads, at most six; which they are is said in native/src/ops/optim. */
  protected abstract hyper(group: ParamGroup): number[];
  /** The update rule of a group; null for an optimiser that is made of ops and updates each parameter by `update`. */
  protected abstract rule(group: ParamGroup): Rule | null;
  /** PyTorch's names of what is kept for each parameter of a group. */
  protected abstract stateNames(group: ParamGroup): readonly string[];

  /** Whether PyTorch's state has a step count. */
  protected get countsSteps(): boolean {
    return true;
  }

  /** PyTorch's names of numbers that native keeps of each parameter beside its step count. */
  protected get ownCounters(): readonly string[] {
    return [];
  }

  /** What one of these numbers is before the first step. */
  protected counterStart(_name: string, _group: ParamGroup): number {
    return 0;
  }

  /** Whether states are there from the beginning. */
  protected get statesAtOnce(): boolean {
    return false;
  }

  /** Which states a parameter has, where that depends on its shape. */
  protected statesOf(group: ParamGroup, _p: Tensor): readonly string[] {
    return this.stateNames(group);
  }

  /** A state's shape. */
  protected stateShape(_name: string, p: Tensor): readonly number[] {
    return p.shape;
  }

  /** What fills a new state. */
  protected stateStart(_name: string, _group: ParamGroup): number {
    return 0;
  }

  /** Whether rows without gradient stand still, so that a step may leave them out. */
  protected byRows(_group: ParamGroup): boolean {
    return false;
  }

  /** The rows of a gradient for such a step; null where it is dense. */
  protected rowsOf(grad: Tensor): RowSparse | null {
    return rowsOf(grad);
  }

  /** Fails where a parameter is of a kind that the optimiser does not take. */
  protected checkParameter(_p: Tensor): void {}

  /** Updates one parameter in place, unrecorded; `step` counts this step. For optimisers without a native rule. */
  protected update(
    _p: Tensor,
    _grad: Tensor,
    _states: readonly Tensor[],
    _step: number,
    _group: ParamGroup,
  ): void {}

  /** Adds parameters with options of their own: `addParamGroup({ params: layer.parameters(), lr: 1e-4 })`. */
  addParamGroup(options: GroupOptions): void {
    const name = this.title, at = this.paramGroups.length;
    const fail = (text: string): never => {
      throw new ArgumentError(`Cannot make ${name}: ${text}`, { op: name });
    };
    if (
      typeof options !== "object" || options === null || options instanceof Tensor ||
      !("params" in options)
    ) {
      fail(`group ${at} is ${show(options)}, not an object with params`);
    }
    const given = options.params;
    const params = given instanceof Tensor ? [given] : [...given];
    params.forEach((p, i) => {
      if (!(p instanceof Tensor)) fail(`parameter ${i} of group ${at} is ${show(p)}, not a tensor`);
      if (!p.info.isFloat) {
        fail(`parameter ${i} of group ${at} is ${show(p)}: only float tensors can be trained`);
      }
      if (!p.isLeaf) fail(`parameter ${i} of group ${at}, ${show(p)}, is no leaf: an op made it`);
      if (this.#slots.has(p)) {
        fail(`parameter ${i} of group ${at}, ${show(p)}, is in an earlier group already`);
      }
      if (params.indexOf(p) !== i) fail(`parameter ${i} of group ${at}, ${show(p)}, appears twice`);
    });
    for (const key of Object.keys(options)) {
      if (HOW.has(key)) checkHow(name, key, options[key]);
      else if (key !== "params" && !(key in this.defaults)) {
        fail(
          `unknown option ${show(key)} in group ${at}; known are ${
            Object.keys(this.defaults).join(", ")
          }`,
        );
      }
    }
    const values: Record<string, unknown> = { ...this.defaults };
    for (const [key, value] of Object.entries(options)) {
      if (key in this.defaults && value !== undefined) values[key] = value;
    }
    values.lr = rateOf(name, values.lr);
    this.check(values);
    for (const p of params) this.checkParameter(p);
    const own = this.ownCounters.length;
    const group = new ParamGroup(params, values, (g) => this.hyper(g), own);
    this.paramGroups.push(group);
    params.forEach((p, index) => {
      const slot: Slot = { group, index, states: [], lazy: null, until: null };
      this.#slots.set(p, slot);
      if (this.statesAtOnce) this.#ensureStates(p, slot);
    });
  }

  /**
   * Forgets all gradients; with `{ setToNone: false }` they become zeros instead.
   */
  zeroGrad(options?: { setToNone?: boolean }): void {
    const [setToNone] = bind(ZERO_GRAD, [options]);
    for (const p of this.#slots.keys()) {
      const grad = p.meta?.grad;
      if (!grad) continue;
      if (setToNone) {
        p.meta!.grad = null;
        continue;
      }
      const rows = rowsOf(grad);
      if (rows !== null) rows.clear();
      else run("zeroGrad", OP.fill, [grad], [], [grad.info.code, 0]);
      grad.storage.version++;
      grad.meta = null;
    }
  }

  /**
   * Updates every parameter that has a gradient. A closure, where given, is called first and computes the loss anew; its
   * result is returned.
   */
  step(): void;
  /** Calls the closure, which computes the loss and its gradients, updates, and returns the loss. */
  step<T>(closure: () => T): T;
  step<T>(closure?: () => T): T | void {
    const loss = closure === undefined ? undefined : enableGrad(closure);
    // What a step needs is made for all parameters first: where memory runs out, none has been changed yet.
    const updates: (() => void)[] = [];
    for (const group of this.paramGroups) inMode(false, () => this.#prepare(group, updates));
    inMode(false, () => updates.forEach((update) => update()));
    return loss;
  }

  /** Makes what the step of a group needs, and adds the updates themselves, which need no memory, to a list. */
  #prepare(group: ParamGroup, updates: (() => void)[]): void {
    const rule = this.rule(group);
    let ins: Operand[] = [group.cells];
    let scalars = rule === null ? [] : [rule.kind, rule.flags];
    let changed: Tensor[] = [], after: (() => void)[] = [];
    const flush = () => {
      if (ins.length === 1) return;
      const now = { ins, scalars, changed, after };
      updates.push(() => {
        run(this.title, OP.optim_step, [group.steps], now.ins, now.scalars);
        for (const p of now.changed) p.storage.version++;
        for (const each of now.after) each();
      });
      ins = [group.cells];
      scalars = scalars.slice(0, 2);
      changed = [];
      after = [];
    };
    // Each operand is flat: six words, and three of its step count.
    const most = Math.floor(60_000 / (6 * (this.stateNames(group).length + 2) + 3));
    for (const p of group.params) {
      const grad = p.meta?.grad;
      if (!grad) continue;
      if (!sameShape(grad.shape, p.shape)) {
        throw new ArgumentError(
          `Cannot step ${this.title}: the gradient ${shapeText(grad.shape)} of a parameter ${
            shapeText(p.shape)
          } has another shape`,
          { op: "step" },
        );
      }
      const slot = this.#slots.get(p)!;
      this.#ensureStates(p, slot);
      if (rule === null) {
        const g = grad.info === p.info ? grad : cast(grad, p.dtype);
        updates.push(() => {
          const step = group.readStep(slot.index) + 1;
          group.writeStep(slot.index, step);
          this.update(p, g, slot.states, step, group);
        });
        continue;
      }
      const byRows = this.#rowsStep(p, grad, slot, rule) ?? this.#lazyStep(p, grad, slot, rule);
      if (byRows !== null) {
        updates.push(byRows);
        continue;
      }
      this.#endLazy(slot);
      const g = contiguous(grad.info === p.info ? grad : cast(grad, p.dtype));
      let target: Tensor = p;
      if (!p.isContiguous()) {
        // The update of a strided parameter goes through a copy.
        const copy = clone(p);
        target = copy;
        after.push(() => mapOut("copy", OP.copy, p, copy, null, p.info));
      }
      ins.push(flat(target), flat(g), ...slot.states.map(flat));
      scalars.push(slot.index);
      changed.push(p);
      if (scalars.length - 2 === most) flush();
    }
    flush();
  }

  /** Makes the states that the rule needs and that are not there. */
  #ensureStates(p: Tensor, slot: Slot): void {
    const { group, index, states } = slot;
    const names = this.statesOf(group, p);
    if (states.length >= names.length) return;
    this.#endLazy(slot);
    if (states.length === 0) {
      // A momentum buffer that is new begins with the gradient, as in the first step.
      if (!this.countsSteps) group.writeStep(index, 0);
      this.ownCounters.forEach((name, i) =>
        group.writeStep(index, this.counterStart(name, group), i + 1)
      );
    }
    for (const name of names.slice(states.length)) {
      const t = empty(this.stateShape(name, p), p.info, p.storage.device);
      run("fill", OP.fill, [t], [], [p.info.code, this.stateStart(name, group)]);
      states.push(t);
    }
  }

  /** The update of only the rows that have a gradient, where the others stand still. */
  #rowsStep(p: Tensor, grad: Tensor, slot: Slot, rule: Rule): (() => void) | null {
    const { group, index, states } = slot;
    if (!this.byRows(group) || grad.info !== p.info || p.ndim !== 2 || !p.isContiguous()) {
      return null;
    }
    const rows = this.rowsOf(grad);
    if (rows === null) return null;
    const { indices, values, count } = rows;
    return () => {
      run(this.title, OP.rows_step, [p], [
        indices,
        values,
        count,
        group.steps,
        group.cells,
        ...states,
      ], [rule.kind, rule.flags, index]);
      p.storage.version++;
    };
  }

  /** The update of only the rows that have a gradient, where gradient and parameter allow it. */
  #lazyStep(p: Tensor, grad: Tensor, slot: Slot, rule: Rule): (() => void) | null {
    const rows = rowsOf(grad);
    const { group, index } = slot;
    if (rule.kind !== KINDS.adam && rule.kind !== KINDS.sgd) return null;
    if (rows === null || group.strict === true || rows.values.info !== p.info || !canBeLazy(p)) {
      return null;
    }
    const { lazy } = slot;
    if (
      lazy !== null &&
      !(lazy.covers(p) && lazy.rule.kind === rule.kind && lazy.rule.flags === rule.flags)
    ) {
      this.#endLazy(slot);
    }
    if (slot.lazy === null) {
      if (p.storage.state !== 0) p.storage.settle("step");
      const step = group.readStep(index);
      // How far a row's momentum reaches is unknown after dense steps: as if it had just had its gradient.
      const replay = step === 0 ? 0 : step + Math.ceil(Math.min(group.hyper()[5], 2 ** 31));
      slot.lazy = new LazyRows(
        p,
        slot.states,
        group.steps,
        index,
        rule,
        step,
        slot.until ?? replay,
      );
      slot.until = null;
    }
    const made = slot.lazy;
    made.settleLent();
    return () => made.step(rows, group.cells);
  }

  /** Brings a table up to date for good. */
  #endLazy(slot: Slot): void {
    slot.until = null;
    if (slot.lazy === null) return;
    slot.lazy.finish();
    slot.lazy = null;
  }

  /**
   * The state in PyTorch's structure: `state` by parameter number, `param_groups` with the options. Keys are PyTorch's.
   * Tables that are updated by rows are given as up-to-date copies, beside which `row_until` says after which step each
   * row's momentum counts as gone; the run itself is not changed.
   */
  stateDict(): OptimizerState {
    const state: OptimizerState["state"] = {};
    const param_groups: OptimizerState["param_groups"] = [];
    let number = 0;
    for (const group of this.paramGroups) {
      const packed: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(group.options())) {
        packed[snakeCase(key)] = value;
      }
      const params: number[] = [];
      for (const p of group.params) {
        const slot = this.#slots.get(p)!;
        params.push(number);
        const of: Record<string, Tensor> = {};
        const names = this.statesOf(group, p);
        const step = group.readStep(slot.index);
        const begun = step > 0 || (this.statesAtOnce && this.countsSteps);
        if (begun && (this.countsSteps || slot.lazy !== null)) {
          of.step = fromElements(Float32Array.of(step), "float32", []);
          this.ownCounters.forEach((name, i) => {
            const value = Float32Array.of(group.readStep(slot.index, i + 1));
            of[name] = fromElements(value, "float32", []);
          });
        }
        const states = slot.lazy?.stateCopies() ?? slot.states;
        for (let i = 0; i < Math.min(names.length, states.length); i++) of[names[i]] = states[i];
        const until = slot.lazy?.until() ?? slot.until;
        if (until) of.row_until = until;
        if (Object.keys(of).length > 0) state[number] = of;
        number++;
      }
      param_groups.push({ ...packed, params });
    }
    return { state, param_groups };
  }

  /** Takes over a state that `stateDict()` gave, here or in PyTorch; tensors are copied and brought to the parameters' dtype. */
  loadStateDict(given: OptimizerState): void {
    const fail = (text: string): never => {
      throw new ArgumentError(`Cannot loadStateDict of ${this.title}: ${text}`, {
        op: "loadStateDict",
      });
    };
    if (!Array.isArray(given?.param_groups) || typeof given.state !== "object") {
      fail(`${show(given)} has no state and param_groups`);
    }
    if (given.param_groups.length !== this.paramGroups.length) {
      fail(`it has ${given.param_groups.length} groups, the optimiser ${this.paramGroups.length}`);
    }
    given.param_groups.forEach(({ params }, i) => {
      const own = this.paramGroups[i].params.length;
      if (params?.length !== own) {
        fail(`its group ${i} has ${params?.length} parameters, the optimiser's ${own}`);
      }
    });
    const loads: (() => void)[] = [];
    this.paramGroups.forEach((group, i) => {
      const { params, ...options } = given.param_groups[i];
      const known: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(options)) {
        const name = camelCase(key);
        // What PyTorch keeps beside (foreach, fused, …) says how, not what it computes.
        if (!(name in this.defaults) && PASSED_OVER.has(name)) continue;
        known[name] = name === "lr" ? rateOf(this.title, value) : value;
      }
      const loaded = { ...group.options(), ...known };
      this.check(loaded);
      loads.push(() => group.assign(known));
      group.params.forEach((p, k) => {
        const names = this.statesOf(loaded as ParamGroup, p);
        loads.push(this.#loading(p, given.state[params[k]] ?? {}, names, fail));
      });
    });
    inMode(false, () => loads.forEach((load) => load()));
  }

  /** What brings one parameter's state in, after all was checked. */
  #loading(
    p: Tensor,
    of: Record<string, Tensor>,
    names: readonly string[],
    fail: (text: string) => never,
  ): () => void {
    const slot = this.#slots.get(p)!;
    const found = names.filter((name) => of[name] != null);
    for (const name of found) {
      const shape = this.stateShape(name, p);
      const given = of[name];
      if (!(given instanceof Tensor) || !sameShape(given.shape, shape)) {
        fail(`${name} is ${show(given)}, the parameter has shape ${shapeText(shape)}`);
      }
    }
    const numberOf = (x: unknown) => Number(x instanceof Tensor ? x.item() : x);
    const step = of.step === undefined ? (found.length > 0 ? 1 : 0) : numberOf(of.step);
    if (!(step >= 0)) fail(`the step count is ${step}`);
    const own = this.ownCounters.map((name) => of[name] === undefined ? null : numberOf(of[name]));
    const until = of.row_until instanceof Tensor ? of.row_until : null;
    if (until !== null && !sameShape(until.shape, [p.shape[0]])) {
      fail(`row_until is ${show(until)}, the parameter has ${p.shape[0]} rows`);
    }
    return () => {
      this.#endLazy(slot);
      slot.states = found.map((name) => {
        const t = empty(this.stateShape(name, p), p.info, p.storage.device);
        mapOut("copy", OP.copy, t, moved(of[name], p.storage.device), null, p.info);
        return t;
      });
      slot.until = until === null ? null : clone(moved(until, p.storage.device));
      const { group, index } = slot;
      group.writeStep(index, step);
      own.forEach((value, i) => {
        if (value !== null) group.writeStep(index, value, i + 1);
      });
    };
  }
}

/** Options that say how PyTorch computes and not what; every optimiser takes them. */
export interface HowOptions {
  /** No matter: one native call updates all parameters of a group. */
  foreach?: boolean | null;
  /** No matter: step counts are native cells. */
  capturable?: boolean;
  /** No matter, as `foreach`. */
  fused?: boolean | null;
  /** Must be false: steps are not recorded. */
  differentiable?: boolean;
}

const HOW = new Set(["foreach", "capturable", "differentiable", "fused"]);

/** Keys of PyTorch's groups that are passed over where an optimiser does not have them. */
const PASSED_OVER = new Set([...HOW, "decoupledWeightDecay", "paramNames"]);

/** Declares an optimiser's parameter list, to which the options that say how are added. */
export function declareOptimizer(target: object, text: string): Signature {
  const how = "foreach=null, capturable=false, differentiable=false, fused=null";
  return declare(target, `${text.slice(0, -1)}, ${how})`);
}

function checkHow(name: string, option: string, value: unknown): void {
  if (value === null || value === undefined) return;
  checkFlag(name, option, value);
  if (option === "differentiable" && value === true) {
    throw new ArgumentError(
      `Cannot make ${name}: differentiable must be false, got true; steps are not recorded`,
      { op: name },
    );
  }
}

/** A learning rate, out of a number or a tensor of one element. */
function rateOf(name: string, value: unknown): unknown {
  if (!(value instanceof Tensor)) return value;
  if (value.numel === 1) return value.item();
  throw new ArgumentError(
    `Cannot make ${name}: a tensor as lr must have one element, got ${show(value)}`,
    { op: name },
  );
}

/** A contiguous tensor as one run of elements. */
function flat(t: Tensor): Operand {
  return { storage: t.storage, info: t.info, shape: [t.numel], strides: UNIT, offset: t.offset };
}

const UNIT: readonly number[] = [1];

const ZERO_GRAD = parseSignature("zeroGrad(setToNone=true)");
