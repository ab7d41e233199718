/** Turns the values of a case into Toro's: tensors with their views, numbers, dtypes, slices, lists. */
import * as toro from "../../mod.ts";
import { type DType, dtypeInfo, DTYPES } from "../../src/dtype.ts";
import { empty, fromElements, Tensor } from "../../src/tensor.ts";
import { toroName } from "./naming.ts";
import { Absent, type Shard, type Stored } from "./shards.ts";

/** Toro's public functions by name, wherever they live. */
export const surface = toro as unknown as Readonly<Record<string, unknown>>;

/** A value by a path of names: `nn.functional.linear`. */
export function lookUp(path: string): unknown {
  let at: unknown = surface;
  for (const part of path.split(".")) {
    if (at === null || (typeof at !== "object" && typeof at !== "function")) return undefined;
    at = (at as Record<string, unknown>)[part];
  }
  return at;
}

/** Marks a number that Python wrote as a float, for parameters that take part in promotion. */
export class PythonFloat {
  constructor(readonly value: number) {}
}

/** Whether a name is one of Toro's ten dtypes. */
export function isDType(name: string): boolean {
  return Object.hasOwn(DTYPES, name);
}

/** Where the tensors of cases lie: the CPU, or a CUDA device's number + 1. */
export const place = { device: 0 };

/** A tensor of Toro's with a stored one's elements. */
export function tensorOf(stored: Stored): Tensor {
  return fromElements(stored.bits, stored.dtype as DType, stored.shape, place.device);
}

/** The same elements under given strides, in storage without gaps before `offset`. */
function strided(stored: Stored, strides: readonly number[], offset: number): Tensor {
  const { shape } = stored;
  const reach = shape.reduce((sum, n, d) => sum + Math.max(n - 1, 0) * strides[d], offset) + 1;
  const Array = stored.bits.constructor as new (n: number) => typeof stored.bits;
  const spread = new Array(reach) as unknown as Record<number, unknown>;
  const index = shape.map(() => 0);
  for (let i = 0; i < stored.bits.length; i++) {
    spread[index.reduce((sum, x, d) => sum + x * strides[d], offset)] =
      (stored.bits as unknown as Record<number, unknown>)[i];
    for (let d = shape.length - 1; d >= 0 && ++index[d] === shape[d]; d--) index[d] = 0;
  }
  const info = dtypeInfo(stored.dtype, "oracle");
  if (stored.bits.length === 0) return empty(shape, info, place.device);
  const flat = fromElements(
    spread as unknown as ArrayBufferView,
    info.name,
    [reach],
    place.device,
  );
  return new Tensor(flat.storage, info, shape, strides, offset);
}

/** The views of the recipes, by Toro's own ops. */
function applyView(x: Tensor, recipe: readonly unknown[]): Tensor {
  const [name, ...args] = recipe as [string, ...unknown[]];
  const methods = x as unknown as Record<string, (...args: unknown[]) => Tensor>;
  if (name === "slice") {
    const [dim, start, end, step] = args as [number, number, number, number];
    if (typeof methods.at !== "function") throw new Absent("missing", "at");
    const slice = lookUp("slice") as (a: unknown, b: unknown, c: unknown) => unknown;
    return methods.at(
      ...Array.from({ length: dim }, () => slice(null, null, null)),
      slice(start, end, step),
    );
  }
  const method = toroName(name);
  if (typeof methods[method] !== "function") throw new Absent("missing", method);
  if ((name === "expand" || name === "permute") && !Array.isArray(args[0])) {
    return methods[method](args);
  }
  return methods[method](...args);
}

/** Decodes the arguments of one case and keeps the tensors in the order in which they were met. */
export class Decoder {
  /** Leaves, before their views. */
  readonly tensors: Tensor[] = [];
  /** The tensors as the call sees them. */
  readonly views: Tensor[] = [];

  constructor(
    private readonly shard: Shard,
    private readonly same: Readonly<Record<string, number>> = {},
  ) {}

  // deno-lint-ignore no-explicit-any
  decode(value: any): unknown {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((v) => this.decode(v));
    if ("t" in value) return this.#tensor(value);
    if ("f" in value) {
      const f = value.f;
      const x = f === "nan" ? NaN : f === "inf" ? Infinity : f === "-inf" ? -Infinity : Number(f);
      return Number.isInteger(x) ? new PythonFloat(x) : x;
    }
    if ("dtype" in value) {
      if (isDType(value.dtype)) return value.dtype;
      throw new Absent("unsupported", `the dtype ${value.dtype}`);
    }
    if ("ellipsis" in value) return "...";
    if ("slice" in value) {
      const slice = lookUp("slice");
      if (typeof slice !== "function") throw new Absent("missing", "slice");
      return slice(...value.slice);
    }
    if ("d" in value) return this.record(value.d);
    throw new Absent("unsupported", `a value ${JSON.stringify(value)}`);
  }

  // deno-lint-ignore no-explicit-any
  record(values: any): Record<string, unknown> {
    return Object.fromEntries(Object.entries(values ?? {}).map(([k, v]) => [k, this.decode(v)]));
  }

  // deno-lint-ignore no-explicit-any
  #tensor(value: any): Tensor {
    const twin = this.same[String(this.tensors.length)];
    if (twin !== undefined) {
      this.tensors.push(this.tensors[twin]);
      this.views.push(this.views[twin]);
      return this.views[twin];
    }
    const stored = this.shard.tensor(value.t);
    const base = value.stride && !value.view
      ? strided(stored, value.stride, value.offset ?? 0)
      : tensorOf(stored);
    if (value.rg && base.info.isFloat) base.requiresGrad = true;
    let view = base;
    for (const step of value.view ?? []) view = applyView(view, step);
    this.tensors.push(base);
    this.views.push(view);
    return view;
  }
}

/** The tensors and plain values of a result, in order: what PyTorch's tuples and lists are, flattened. */
export function flatten(result: unknown): unknown[] {
  if (result instanceof Tensor || result === null || typeof result !== "object") return [result];
  if (Symbol.iterator in result) return [...result as Iterable<unknown>].flatMap(flatten);
  return [result];
}
