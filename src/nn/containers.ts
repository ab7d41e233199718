/**
 * Modules that hold modules: in a row, in a list, by name. Members are own properties, so that keys are `0.weight`.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { isOptions } from "../options.ts";
import type { Tensor } from "../tensor.ts";
import { inOrder } from "./chain.ts";
import { Module, type TensorModule } from "./module.ts";
import { pairsOf } from "./options.ts";

function checkMember(value: unknown, where: string, owner: string): asserts value is Module {
  if (value instanceof Module) return;
  throw new ArgumentError(
    `Cannot put ${show(value)} into ${owner} at ${where}: it must be a module`,
    { op: owner },
  );
}

function checkName(module: Module, name: string): void {
  const owner = module.constructor.name;
  const taken = name in module && !Object.hasOwn(module, name) || name === "training";
  if (name === "" || name.includes(".") || taken) {
    const why = name === ""
      ? "a name must not be empty"
      : taken
      ? "every module has that name"
      : "a name must hold no dot";
    throw new ArgumentError(`Cannot put a module into ${owner} under ${show(name)}: ${why}`, {
      op: owner,
    });
  }
}

const COUNT = Symbol("count"), NAMES = Symbol("names");

/** What a row knows of its members. Not in #private fields: copy.ts makes a module without its constructor. */
interface Hidden {
  [COUNT]?: number;
  [NAMES]?: readonly string[];
}

const hidden = (row: object): Hidden => row as Hidden;

/** What lists share: members under the keys 0, 1, … */
abstract class Row<M extends Module> extends Module implements Iterable<M> {
  /** The members by place. */
  [index: number]: M;

  /** How many members there are. */
  get length(): number {
    return hidden(this)[COUNT] ?? 0;
  }

  /** The member at a place; negative ones count from the end. */
  at(index: number): M {
    const count = hidden(this)[COUNT] ?? 0, i = index < 0 ? index + count : index;
    if (Number.isInteger(i) && i >= 0 && i < count) return this[i];
    throw new ArgumentError(
      `Cannot take member ${show(index)} of ${this.constructor.name}: it has ${count}`,
      {
        op: this.constructor.name,
      },
    );
  }

  /** Adds members at the end. */
  push(...modules: M[]): this {
    for (const module of modules) {
      const count = hidden(this)[COUNT] ?? 0;
      checkMember(module, String(count), this.constructor.name);
      this[count] = module;
      hidden(this)[COUNT] = count + 1;
    }
    return this;
  }

  /** The members in order. */
  *[Symbol.iterator](): IterableIterator<M> {
    for (let i = 0; i < (hidden(this)[COUNT] ?? 0); i++) yield this[i];
  }
}

/**
 * Modules in a row, each taking what the one before gives.
 *
 * ```ts
 * import { nn, ones } from "@toro/toro";
 *
 * const mlp = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 1));
 * console.log(mlp.forward(ones([2, 4])).shape); // [ 2, 1 ]
 * ```
 *
 * An object in place of the list names them: `new nn.Sequential({ up: …, act: …, down: … })`.
 */
export class Sequential extends Row<TensorModule> {
  readonly #sequential = true;

  /** Modules in order, or one object of named modules. */
  constructor(
    ...modules: readonly TensorModule[] | readonly [Readonly<Record<string, TensorModule>>]
  ) {
    super();
    const [first] = modules;
    if (modules.length === 1 && isOptions(first)) {
      hidden(this)[NAMES] = Object.keys(first);
      for (const [name, module] of Object.entries(first)) {
        checkName(this, name);
        checkMember(module, name, "Sequential");
        (this as Record<string, unknown>)[name] = module;
      }
    } else this.push(...modules as readonly TensorModule[]);
  }

  override get length(): number {
    return hidden(this)[NAMES]?.length ?? super.length;
  }

  override *[Symbol.iterator](): IterableIterator<TensorModule> {
    const names = hidden(this)[NAMES];
    if (names === undefined) yield* super[Symbol.iterator]();
    else {
      for (const name of names) yield (this as unknown as Record<string, TensorModule>)[name];
    }
  }

  /**
   * Runs the modules in order; a linear layer with the norm in evaluation and the ReLU behind it are one product, a norm
   * in training with the ReLU and the dropout behind it one pass.
   */
  override forward(x: Tensor): Tensor {
    return inOrder([...this], x);
  }
}

/**
 * A list of modules that are found by `parameters()` and the like. A plain array in a field does the same; this one can
 * be passed around and prints as PyTorch's.
 */
export class ModuleList<M extends Module = Module> extends Row<M> {
  readonly #list = true;

  /** Takes any iterable of modules. */
  constructor(modules: Iterable<M> = []) {
    super();
    if (typeof (modules as Iterable<M> | null)?.[Symbol.iterator] !== "function") {
      throw new ArgumentError(
        `Cannot make ModuleList of ${show(modules)}: it takes a sequence of modules`,
        {
          op: "ModuleList",
        },
      );
    }
    this.push(...modules);
  }

  /** A list has no way to compute: loop over it. */
  override forward(): never {
    throw new ArgumentError("Cannot forward a ModuleList: loop over its modules", {
      op: "ModuleList",
    });
  }
}

/** A dictionary's own properties, its modules among them. */
function membersOf<M extends Module>(dict: ModuleDict<M>): Record<string, M> {
  return dict as unknown as Record<string, M>;
}

/** Modules by name. */
export class ModuleDict<M extends Module = Module> extends Module implements Iterable<[string, M]> {
  readonly #dict = true;

  /** Takes an object or pairs of name and module. */
  constructor(modules: Readonly<Record<string, M>> | Iterable<readonly [string, M]> = {}) {
    super();
    for (const [name, module] of pairsOf(modules, "ModuleDict")) this.set(name, module);
  }

  /** Whether there is a module of that name. */
  has(name: string): boolean {
    return name !== "training" && Object.hasOwn(this, name) &&
      membersOf(this)[name] instanceof Module;
  }

  /** The module of that name. Errors: ArgumentError that lists the names. */
  get(name: string): M {
    if (this.has(name)) return membersOf(this)[name];
    throw new ArgumentError(
      `Cannot get ${show(name)} of ModuleDict: it has ${this.keys().join(", ") || "nothing"}`,
      {
        op: "ModuleDict",
      },
    );
  }

  /** Puts a module under a name. */
  set(name: string, module: M): this {
    checkName(this, name);
    checkMember(module, name, "ModuleDict");
    membersOf(this)[name] = module;
    return this;
  }

  /** Takes a module out; returns whether it was there. */
  delete(name: string): boolean {
    return this.has(name) && delete membersOf(this)[name];
  }

  /** The names. */
  keys(): string[] {
    return Object.keys(this).filter((name) => this.has(name));
  }

  /** The modules. */
  values(): M[] {
    return this.keys().map((name) => membersOf(this)[name]);
  }

  /** Names with modules. */
  *[Symbol.iterator](): IterableIterator<[string, M]> {
    for (const name of this.keys()) yield [name, membersOf(this)[name]];
  }

  /** A dictionary has no way to compute: take modules by name. */
  override forward(): never {
    throw new ArgumentError("Cannot forward a ModuleDict: take its modules by name", {
      op: "ModuleDict",
    });
  }
}
