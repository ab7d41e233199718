/**
 * Parametrizations: a parameter of a module is computed from others by a module, each time that it is read.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { mapOut } from "../ops/map.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkModule, checkTensorName, Module } from "./module.ts";
import { adopt, Buffer, Parameter } from "./parameter.ts";

/** A module that computes a tensor from one or more; `rightInverse` gives what it would be computed from. */
export type Parametrization = Module & {
  forward(...originals: Tensor[]): Tensor;
  rightInverse?(value: Tensor): Tensor | readonly Tensor[];
};

/** Options of `registerParametrization`. */
export interface ParametrizationOptions {
  /** Leave out the check that shape and dtype stay as they are; default false. */
  unsafe?: boolean;
}

/** The parametrizations of one tensor, in the order in which they are applied, and what they start from. */
export class ParametrizationList extends Module {
  readonly #parametrizationList = true;
  /** The tensor that is trained, where there is one. */
  declare original?: Parameter | Buffer;
  /** The modules by place. */
  [index: number]: Parametrization;
  /** The tensors that are trained, where there are several: `original0`, `original1`, … */
  [original: `original${number}`]: Parameter;

  /** How many modules there are. */
  get length(): number {
    let n = 0;
    while (this[n] instanceof Module) n++;
    return n;
  }

  /** What the first module takes. */
  originals(): Tensor[] {
    if (this.original !== undefined) return [this.original];
    const list: Tensor[] = [];
    while (this[`original${list.length}`] instanceof Tensor) {
      list.push(this[`original${list.length}`]);
    }
    return list;
  }

  /** The tensor. */
  override forward(): Tensor {
    const n = this.length;
    if (n === 0) return this.original!;
    let value = this[0].forward(...this.originals()) as Tensor;
    for (let i = 1; i < n; i++) value = this[i].forward(value) as Tensor;
    return value;
  }

  /** Sets what the tensor is computed from so that it becomes a value; every module must have a `rightInverse`. */
  assign(value: Tensor): void {
    inMode(false, () => {
      let parts: readonly Tensor[] = [value];
      for (let i = this.length - 1; i >= 0; i--) {
        const { rightInverse } = this[i];
        if (rightInverse === undefined) {
          throw new ArgumentError(
            `Cannot assign to a parametrized tensor: ${
              this[i].constructor.name
            } has no rightInverse`,
            { op: "parametrize" },
          );
        }
        const given = rightInverse.call(this[i], parts[0]);
        parts = given instanceof Tensor ? [given] : given;
      }
      this.originals().forEach((original, i) => {
        mapOut("parametrize", OP.copy, original, parts[i], null, original.info);
        original.storage.version++;
      });
    });
  }
}

type Fields = Record<string, unknown>;

/** The lists of a module by the names of its tensors; state keys are `parametrizations.weight.original`. */
type Lists = Record<string, ParametrizationList>;

function listsOf(module: Module): Lists | undefined {
  return (module as unknown as { parametrizations?: Lists }).parametrizations;
}

/** Values that were computed already, while `cached` runs; null outside. */
let values: Map<ParametrizationList, Tensor> | null = null;

/** Computes each parametrized tensor once while a synchronous function runs. */
export function cached<T>(body: () => T): T {
  if (typeof body !== "function") {
    throw new ArgumentError(`Cannot run ${show(body)} cached: it must be a function`, {
      op: "cached",
    });
  }
  if (values !== null) return body();
  values = new Map();
  try {
    return body();
  } finally {
    values = null;
  }
}

function read(list: ParametrizationList): Tensor {
  const known = values?.get(list);
  if (known !== undefined) return known;
  const value = list.forward();
  values?.set(list, value);
  return value;
}

/**
 * Lets a parameter or buffer of a module be computed by `parametrization.forward(original)` each time that it is read. The
 * original moves to `parametrizations.<name>.original`, or to `original0`, `original1`, … where `rightInverse` gives
 * several tensors; with `rightInverse` it begins so that the value stays. Several are applied one after the other.
 *
 * Errors: ArgumentError for a name without a parameter, ShapeError where shape or dtype would change.
 *
 * ```ts
 * import { nn, type Tensor } from "@toro/toro";
 * class Symmetric extends nn.Module {
 *   override forward(x: Tensor): Tensor {
 *     return x.triu().add(x.triu(1).t());
 *   }
 * }
 * const layer = new nn.Linear(3, 3);
 * nn.utils.parametrize.registerParametrization(layer, "weight", new Symmetric());
 * console.log(layer.weight.equal(layer.weight.t())); // true
 * ```
 */
export function registerParametrization<M extends Module>(
  module: M,
  tensorName: string,
  parametrization: Parametrization,
  options?: ParametrizationOptions,
): M {
  const [, , , unsafe] = bind(REGISTER, [module, tensorName, parametrization, options]);
  checkModule(module, "registerParametrization");
  checkTensorName(tensorName, "registerParametrization");
  const fields = module as unknown as Fields;
  const known = listsOf(module)?.[tensorName];
  const before = fields[tensorName];
  if (
    !(before instanceof Tensor) ||
    (known === undefined && !(before instanceof Parameter || before instanceof Buffer))
  ) {
    throw new ArgumentError(
      `Cannot registerParametrization of ${module.constructor.name}.${tensorName}: it is ${
        show(before)
      }, no parameter or buffer`,
      { op: "registerParametrization" },
    );
  }
  if (!(parametrization instanceof Module)) {
    throw new ArgumentError(
      `Cannot registerParametrization with ${show(parametrization)}: it must be a module`,
      { op: "registerParametrization" },
    );
  }
  const inverse = parametrization.rightInverse;
  const started = inverse === undefined
    ? before
    : inMode(false, () => inverse.call(parametrization, before));
  const parts = started instanceof Tensor ? [started] : started;
  if (!Array.isArray(parts) || !parts.every((t) => t instanceof Tensor)) {
    throw new ArgumentError(
      `Cannot registerParametrization with ${parametrization.constructor.name}: its rightInverse gave ${
        show(started)
      }, no tensor or array of tensors`,
      { op: "registerParametrization" },
    );
  }
  const after = inMode(false, () => parametrization.forward(...parts));
  if (
    !unsafe &&
    !(after instanceof Tensor && sameShape(after.shape, before.shape) &&
      after.dtype === before.dtype)
  ) {
    throw new ShapeError(
      `Cannot registerParametrization of ${module.constructor.name}.${tensorName}: ${
        shapeText(before.shape)
      } ${before.dtype} becomes ${show(after)}`,
      { op: "registerParametrization", hint: "{ unsafe: true } leaves out this check" },
    );
  }
  if (known !== undefined) {
    if (inverse !== undefined) known.assign(parts[0]);
    known[known.length] = parametrization;
    return module;
  }
  const list = new ParametrizationList();
  const owned = before as Parameter | Buffer;
  if (started instanceof Tensor) {
    // The parameter stays the same object, so that an optimiser made earlier stays valid.
    if (started !== before) adopt(owned, started.detach());
    list.original = owned;
  } else {
    const { requiresGrad } = before;
    parts.forEach((t, i) => list[`original${i}`] = new Parameter(t, { requiresGrad }));
  }
  list[0] = parametrization;
  delete fields[tensorName];
  const lists = listsOf(module) ?? (fields.parametrizations = {} as Lists);
  (lists as Lists)[tensorName] = list;
  Object.defineProperty(module, tensorName, {
    get: () => read(list),
    set: (value: Tensor) => list.assign(value),
    configurable: true,
    enumerable: false,
  });
  return module;
}

const REGISTER = declare(
  registerParametrization,
  "registerParametrization(module, tensorName, parametrization, unsafe=false)",
);

/** Whether a module has parametrized tensors, or one of a name. */
export function isParametrized(module: Module, tensorName: string | null = null): boolean {
  checkModule(module, "isParametrized");
  const lists = listsOf(module);
  return lists !== undefined &&
    (tensorName === null ? Object.keys(lists).length > 0 : Object.hasOwn(lists, tensorName));
}

/**
 * Makes a tensor an ordinary one again: with its present value, or, where `leaveParametrized` is false, with the original
 * that it was computed from. Errors: ArgumentError where it is not parametrized.
 */
export function removeParametrizations<M extends Module>(
  module: M,
  tensorName: string,
  options?: { leaveParametrized?: boolean },
): M {
  const [, , leaveParametrized] = bind(REMOVE, [module, tensorName, options]);
  checkModule(module, "removeParametrizations");
  checkTensorName(tensorName, "removeParametrizations");
  const lists = listsOf(module);
  if (lists === undefined || !isParametrized(module, tensorName)) {
    throw new ArgumentError(
      `Cannot removeParametrizations of ${module.constructor.name}.${tensorName}: it is not parametrized`,
      { op: "removeParametrizations" },
    );
  }
  const list = lists[tensorName], { original } = list;
  if (original === undefined && !leaveParametrized) {
    throw new ArgumentError(
      `Cannot removeParametrizations of ${module.constructor.name}.${tensorName} without leaving its value: it has several originals`,
      { op: "removeParametrizations" },
    );
  }
  const fields = module as unknown as Fields;
  const value = inMode(false, () => list.forward());
  delete fields[tensorName];
  delete lists[tensorName];
  if (Object.keys(lists).length === 0) delete fields.parametrizations;
  if (original === undefined || (leaveParametrized && !sameShape(original.shape, value.shape))) {
    fields[tensorName] = new Parameter(value.clone());
    return module;
  }
  if (leaveParametrized) {
    mapOut("removeParametrizations", OP.copy, original, value, null, original.info);
    original.storage.version++;
  }
  fields[tensorName] = original;
  return module;
}

const REMOVE = declare(
  removeParametrizations,
  "removeParametrizations(module, tensorName, leaveParametrized=true)",
);
