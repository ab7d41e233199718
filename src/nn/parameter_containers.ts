/**
 * Parameters in a list and by name. A plain array or object in a field does the same; these can be passed around and have
 * PyTorch's keys.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { Tensor } from "../tensor.ts";
import { Module } from "./module.ts";
import { pairsOf } from "./options.ts";
import { Parameter } from "./parameter.ts";

/** A tensor as a parameter; a parameter stays the same object. */
function asParameter(value: unknown, where: string, owner: string): Parameter {
  if (value instanceof Parameter) return value;
  if (value instanceof Tensor) return new Parameter(value);
  throw new ArgumentError(`Cannot put ${show(value)} into ${owner} at ${where}: it is no tensor`, {
    op: owner,
  });
}

/**
 * A list of parameters. Tensors that are put in become parameters.
 *
 * ```ts
 * import { nn, ones } from "@toro/toro";
 * const list = new nn.ParameterList([ones([2]), ones([3])]);
 * console.log(list.length, list.at(-1).shape); // 2 [ 3 ]
 * ```
 */
export class ParameterList extends Module implements Iterable<Parameter> {
  readonly #parameterList = true;
  /** The parameters by place. */
  [index: number]: Parameter;

  /** Takes any iterable of tensors. */
  constructor(values: Iterable<Tensor> = []) {
    super();
    if (typeof (values as Iterable<Tensor> | null)?.[Symbol.iterator] !== "function") {
      throw new ArgumentError(
        `Cannot make ParameterList of ${show(values)}: it takes a sequence of tensors`,
        { op: "ParameterList" },
      );
    }
    this.push(...values);
  }

  /** How many there are. */
  get length(): number {
    return Object.keys(this).filter((key) => /^\d+$/.test(key)).length;
  }

  /** The parameter at a place; negative ones count from the end. */
  at(index: number): Parameter {
    const n = this.length, i = index < 0 ? index + n : index;
    if (Number.isInteger(i) && i >= 0 && i < n) return this[i];
    throw new ArgumentError(`Cannot take parameter ${show(index)} of ParameterList: it has ${n}`, {
      op: "ParameterList",
    });
  }

  /** Adds tensors at the end. */
  push(...values: Tensor[]): this {
    for (const value of values) {
      const i = this.length;
      this[i] = asParameter(value, String(i), "ParameterList");
    }
    return this;
  }

  /** The parameters in order. */
  *[Symbol.iterator](): IterableIterator<Parameter> {
    for (let i = 0; i < this.length; i++) yield this[i];
  }

  /** A list has no way to compute. */
  override forward(): never {
    throw new ArgumentError("Cannot forward a ParameterList: use its parameters", {
      op: "ParameterList",
    });
  }
}

/** Parameters by name. Tensors that are put in become parameters. */
export class ParameterDict extends Module implements Iterable<[string, Parameter]> {
  readonly #parameterDict = true;

  /** Takes an object or pairs of name and tensor. */
  constructor(
    parameters: Readonly<Record<string, Tensor>> | Iterable<readonly [string, Tensor]> = {},
  ) {
    super();
    for (const [name, value] of pairsOf(parameters, "ParameterDict")) this.set(name, value);
  }

  /** Whether there is a parameter of that name. */
  has(name: string): boolean {
    return Object.hasOwn(this, name) && fields(this)[name] instanceof Parameter;
  }

  /** The parameter of that name. Errors: ArgumentError that lists the names. */
  get(name: string): Parameter {
    if (this.has(name)) return fields(this)[name] as Parameter;
    throw new ArgumentError(
      `Cannot get ${show(name)} of ParameterDict: it has ${this.keys().join(", ") || "nothing"}`,
      { op: "ParameterDict" },
    );
  }

  /** Puts a tensor under a name. Errors: ArgumentError for a name that every module has. */
  set(name: string, value: Tensor): this {
    if (name === "" || name.includes(".") || (name in this && !this.has(name))) {
      throw new ArgumentError(
        `Cannot put a parameter into ParameterDict under ${
          show(name)
        }: the name is taken or holds a dot`,
        { op: "ParameterDict" },
      );
    }
    fields(this)[name] = asParameter(value, name, "ParameterDict");
    return this;
  }

  /** Takes a parameter out; returns whether it was there. */
  delete(name: string): boolean {
    return this.has(name) && delete fields(this)[name];
  }

  /** The names. */
  keys(): string[] {
    return Object.keys(this).filter((name) => this.has(name));
  }

  /** The parameters. */
  values(): Parameter[] {
    return this.keys().map((name) => this.get(name));
  }

  /** Names with parameters. */
  *[Symbol.iterator](): IterableIterator<[string, Parameter]> {
    for (const name of this.keys()) yield [name, this.get(name)];
  }

  /** A dictionary has no way to compute. */
  override forward(): never {
    throw new ArgumentError("Cannot forward a ParameterDict: take its parameters by name", {
      op: "ParameterDict",
    });
  }
}

function fields(dict: ParameterDict): Record<string, unknown> {
  return dict as unknown as Record<string, unknown>;
}
