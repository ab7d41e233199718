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
import { bind, parseSignature } from "../op.ts";
import { cast, mapOut } from "../ops/map.ts";
import { clone, contiguous } from "../ops/view.ts";
import { rowsOf } from "../rows.ts";
import { sameShape, shapeText } from "../shape.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { canBeLazy, LazyRows, type Rule } from "./lazy_rows.ts";
import { ParamGroup } from "./param_group.ts";
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
export interface OptimizerState {
  /** By the parameter's number: step count and moments. */
  state: Record<string, Record<string, Tensor>>;
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

  /** An optimiser of these parameters. */
  constructor(name: string, params: unknown, defaults: Record<string, unknown>) {
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
  /** The numbers that native reads: lr, β1 or momentum, β2 or dampening, eps, weight decay, steps to replay. */
  protected abstract hyper(group: ParamGroup): number[];
  /** The update rule of a group. */
  protected abstract rule(group: ParamGroup): Rule;
  /** PyTorch's names of what is kept for each parameter of a group. */
  protected abstract stateNames(group: ParamGroup): readonly string[];
  /** Whether PyTorch's state has a step count. */
  protected abstract readonly countsSteps: boolean;

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
      if (key !== "params" && !(key in this.defaults)) {
        fail(
          `unknown option ${show(key)} in group ${at}; known are ${
            Object.keys(this.defaults).join(", ")
          }`,
        );
      }
    }
    const values: Record<string, unknown> = { ...this.defaults };
    for (const [key, value] of Object.entries(options)) {
      if (key !== "params" && value !== undefined) values[key] = value;
    }
    this.check(values);
    const group = new ParamGroup(params, values, (g) => this.hyper(g));
    this.paramGroups.push(group);
    params.forEach((p, index) => {
      this.#slots.set(p, { group, index, states: [], lazy: null, until: null });
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
    for (const group of this.paramGroups) inMode(false, () => this.#update(group));
    return loss;
  }

  #update(group: ParamGroup): void {
    const rule = this.rule(group);
    const names = this.stateNames(group);
    let ins: Operand[] = [group.cells];
    let scalars = [rule.kind, rule.flags];
    const after: (() => void)[] = [];
    const flush = () => {
      if (ins.length > 1) run(this.title, OP.optim_step, [group.steps], ins, scalars);
      for (const each of after) each();
      ins = [group.cells];
      scalars = [rule.kind, rule.flags];
      after.length = 0;
    };
    // Each operand is flat: six words, and three of its step count.
    const most = Math.floor(60_000 / (6 * (names.length + 2) + 3));
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
      this.#ensureStates(p, slot, names.length);
      if (this.#lazyStep(p, grad, slot, rule)) continue;
      this.#endLazy(slot);
      const g = contiguous(grad.info === p.info ? grad : cast(grad, p.dtype));
      let target: Tensor = p;
      if (!p.isContiguous()) {
        // The update of a strided parameter goes through a copy.
        const copy = clone(p);
        target = copy;
        after.push(() => mapOut("copy", OP.copy, p, copy, null, p.info));
      }
      ins.push(flat(target), flat(g));
      for (let i = 0; i < names.length; i++) ins.push(flat(slot.states[i]));
      scalars.push(slot.index);
      p.storage.version++;
      if (scalars.length - 2 === most) flush();
    }
    flush();
  }

  /** Makes the states that the rule needs and that are not there, as zeros. */
  #ensureStates(p: Tensor, slot: Slot, count: number): void {
    if (slot.states.length >= count) return;
    this.#endLazy(slot);
    // A momentum buffer that is new begins with the gradient, as in the first step.
    if (slot.states.length === 0 && !this.countsSteps) slot.group.writeStep(slot.index, 0);
    while (slot.states.length < count) {
      const t = empty(p.shape, p.info, p.storage.device);
      run("fill", OP.fill, [t], [], [p.info.code, 0]);
      slot.states.push(t);
    }
  }

  /** Updates only the rows that have a gradient, where gradient and parameter allow it. */
  #lazyStep(p: Tensor, grad: Tensor, slot: Slot, rule: Rule): boolean {
    const rows = rowsOf(grad);
    const { group, index } = slot;
    if (rows === null || group.strict === true || rows.values.info !== p.info || !canBeLazy(p)) {
      return false;
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
    slot.lazy.step(rows, group.cells);
    return true;
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
      const names = this.stateNames(group);
      const packed: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(group.options())) {
        packed[snakeCase(key)] = Array.isArray(value) ? [...value] : value;
      }
      const params: number[] = [];
      for (const p of group.params) {
        const slot = this.#slots.get(p)!;
        params.push(number);
        const of: Record<string, Tensor> = {};
        const step = group.readStep(slot.index);
        if (step > 0 && (this.countsSteps || slot.lazy !== null)) {
          of.step = fromElements(Float32Array.of(step), "float32", []);
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
        if (name in this.defaults || !PYTORCH_ONLY.has(name)) known[name] = value;
      }
      this.check({ ...group.options(), ...known });
      loads.push(() => group.assign(known));
      group.params.forEach((p, k) =>
        loads.push(this.#loading(p, given.state[params[k]] ?? {}, group, fail))
      );
    });
    inMode(false, () => loads.forEach((load) => load()));
  }

  /** What brings one parameter's state in, after all was checked. */
  #loading(
    p: Tensor,
    of: Record<string, Tensor>,
    group: ParamGroup,
    fail: (text: string) => never,
  ): () => void {
    const slot = this.#slots.get(p)!;
    const known = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"];
    const found = known.filter((name) => of[name] != null);
    for (const name of found) {
      if (!(of[name] instanceof Tensor) || !sameShape(of[name].shape, p.shape)) {
        fail(`${name} is ${show(of[name])}, the parameter has shape ${shapeText(p.shape)}`);
      }
    }
    const step = of.step === undefined
      ? (found.length > 0 ? 1 : 0)
      : Number(of.step instanceof Tensor ? of.step.item() : of.step);
    if (!(step >= 0)) fail(`the step count is ${step}`);
    const until = of.row_until instanceof Tensor ? of.row_until : null;
    if (until !== null && !sameShape(until.shape, [p.shape[0]])) {
      fail(`row_until is ${show(until)}, the parameter has ${p.shape[0]} rows`);
    }
    return () => {
      this.#endLazy(slot);
      slot.states = this.stateNames(group).filter((name) => of[name] != null).map((name) => {
        const t = empty(p.shape, p.info, p.storage.device);
        mapOut("copy", OP.copy, t, of[name], null, p.info);
        return t;
      });
      slot.until = until === null ? null : clone(until);
      group.writeStep(slot.index, step);
    };
  }
}

/** Keys of PyTorch's groups that Toro has no use for. */
const PYTORCH_ONLY = new Set([
  "foreach",
  "capturable",
  "differentiable",
  "fused",
  "decoupledWeightDecay",
  "paramNames",
]);

/** A contiguous tensor as one run of elements. */
function flat(t: Tensor): Operand {
  return { storage: t.storage, info: t.info, shape: [t.numel], strides: UNIT, offset: t.offset };
}

const UNIT: readonly number[] = [1];

const ZERO_GRAD = parseSignature("zeroGrad(setToNone=true)");
