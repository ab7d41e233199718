/**
 * Arguments of random calls, as data: a call is JSON, so that the last one before a crash can be read and run again.
 * Here they are made, changed and turned into values; what is called is in surface.ts.
 */
import * as toro from "../../mod.ts";
import { DTYPES } from "../../src/dtype.ts";
import { fromElements } from "../../src/tensor.ts";
import { TensorSpec } from "../../tests/ops/case_table.ts";
import { elements } from "../../tests/ops/forms.ts";

/** A tensor to be made. */
export interface TensorArg {
  is: "tensor";
  shape: number[];
  dtype: toro.DType;
  fill: Fill;
  layout: "dense" | "transposed" | "gapped" | "expanded";
  grad?: boolean;
  disposed?: boolean;
  /** The values themselves, for what a case of the table fixes. */
  values?: number[];
  low?: number;
  high?: number;
  seed: number;
}

type Fill = "range" | "nan" | "infinite" | "zero" | "large" | "index";

/** Whatever can be passed. */
export type Arg =
  | number
  | string
  | boolean
  | null
  | TensorArg
  | { is: "number" | "bigint"; text: string }
  | { is: "list"; items: Arg[] }
  | { is: "options"; entries: Record<string, Arg> }
  | { is: "float"; value: number }
  | { is: "slice"; bounds: (number | null)[] }
  | { is: "typed"; type: string; length: number }
  | { is: "function"; body: "square" | "sum" | "pair" | "number" | "collate" }
  | { is: "parameters"; shapes: number[][] }
  /** What a function or class of the surface gives for arguments; modules in evaluation mode where asked. */
  | { is: "made"; by: string; args: Arg[]; evaluates?: boolean }
  /** The function or class itself. */
  | { is: "export"; name: string }
  | { is: "optimizer" | "dataset" | "module" | "generator" | "undefined" | "symbol" | "date" };

/** Random numbers from a seed: the same calls on each run. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }
  /** A whole number from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }
  chance(p: number): boolean {
    return this.next() < p;
  }
  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)];
  }
}

const DTYPE_NAMES = Object.keys(DTYPES) as toro.DType[];
const SIZES = [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 17, 33];
const NUMBERS = [0, 1, 2, 3, 4, -1, -2, -3, 0.5, 1.5, -0.25, 1e-8, 255, 256, 65537];
const WILD_NUMBERS: Arg[] = [
  ...NUMBERS,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 40,
  2 ** 53,
  -(2 ** 53),
  2 ** 63,
  1e300,
  -1e300,
  5e-324,
  ...["NaN", "Infinity", "-Infinity", "-0"].map((text): Arg => ({ is: "number", text })),
  ...["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551616"].map(
    (text): Arg => ({ is: "bigint", text }),
  ),
];
const WORDS = ["", "mean", "sum", "none", "floor", "trunc", "cpu", "cuda:0", "float32", "int64"]
  .concat(["complex64", "__proto__", "constructor", "constant", "reflect", "ij", "ij,jk->ik", "é"]);
const HUGE = [[2 ** 20, 2 ** 20], [2 ** 53], [65536, 65536, 65536, 65536], [1e7], [2 ** 31, 0]]
  .concat([new Array(70).fill(1), [-1], [1.5], [3, -2]]);

function anyShape(r: Random): number[] {
  return Array.from({ length: r.below(5) }, () => r.pick(SIZES));
}

/** A tensor like those that ops take. */
export function anyTensor(r: Random, shape: number[] = anyShape(r)): TensorArg {
  return {
    is: "tensor",
    shape,
    dtype: r.chance(0.6) ? "float32" : r.pick(DTYPE_NAMES),
    fill: r.chance(0.8) ? "range" : r.pick(["nan", "infinite", "zero", "large", "index"]),
    layout: r.chance(0.7) ? "dense" : r.pick(["transposed", "gapped", "expanded"]),
    ...(r.chance(0.3) ? { grad: true } : {}),
    seed: r.below(1e6),
  };
}

/** Anything at all. */
export function anything(r: Random, depth = 0): Arg {
  switch (r.below(depth > 2 ? 9 : 16)) {
    case 0:
      return { ...anyTensor(r), ...(r.chance(0.3) ? { disposed: true } : {}) };
    case 1:
      return anyTensor(r);
    case 2:
    case 3:
      return r.pick(WILD_NUMBERS);
    case 4:
      return r.pick(WORDS);
    case 5:
      return r.chance(0.5);
    case 6:
      return null;
    case 7:
      return r.pick<Arg>([
        { is: "undefined" },
        { is: "symbol" },
        { is: "date" },
        { is: "generator" },
        { is: "function", body: "number" },
        { is: "function", body: "square" },
      ]);
    case 8:
      return { is: "float", value: r.pick(NUMBERS) };
    case 9:
      return list(r.pick(HUGE));
    case 10:
      return list(anyShape(r));
    case 11:
      return {
        is: "list",
        items: Array.from({ length: r.below(4) }, () => anything(r, depth + 1)),
      };
    case 12: {
      const keys = ["dtype", "dim", "keepdim", "out", "device", "requiresGrad", "bogus"];
      return { is: "options", entries: { [r.pick(keys)]: anything(r, depth + 1) } };
    }
    case 13:
      return { is: "typed", type: r.pick(TYPED), length: r.below(9) };
    case 14:
      return { is: "slice", bounds: Array.from({ length: 3 }, () => r.pick([null, 0, 1, 2, -1])) };
    default:
      return r.pick<Arg>([
        { is: "parameters", shapes: [[2, 3], [3]] },
        { is: "optimizer" },
        { is: "dataset" },
        { is: "module" },
      ]);
  }
}

const TYPED = ["Float32Array", "Float64Array", "Int32Array", "BigInt64Array", "Uint8Array"]
  .concat(["Uint16Array", "Float16Array"]);

export function list(items: readonly Arg[]): Arg {
  return { is: "list", items: [...items] };
}

/** What a parameter of that name usually takes, for callees that no case is known of. */
export function guess(r: Random, name: string, shape: number[]): Arg {
  if (/^(reduction)$/.test(name)) return r.pick(["mean", "sum", "none"]);
  if (/^(dtype)$/.test(name)) return r.pick(DTYPE_NAMES);
  if (/^(device)$/.test(name)) return "cpu";
  if (/^(params|parameters)$/.test(name)) return { is: "parameters", shapes: [[2, 3], [3]] };
  if (/^optimizer$/.test(name)) return { is: "optimizer" };
  if (/^(module|parametrization)$/.test(name)) return { is: "module" };
  if (/^tensorName$/.test(name)) return "weight";
  if (/^modules$/.test(name)) return list([{ is: "module" }, { is: "module" }]);
  if (/^functions$/.test(name)) return list([{ is: "function", body: "square" }]);
  if (/^(data|param)$/.test(name)) return { ...anyTensor(r, shape), dtype: "float32" };
  if (/^(dataset)$/.test(name)) return { is: "dataset" };
  if (/^(func|f|lrLambda|fn|distanceFunction|scaleFn)$/.test(name)) {
    return { is: "function", body: /[lL]ambda|scale/.test(name) ? "number" : "square" };
  }
  if (/^(tensors|mats|arrays|values|matrices|inputs)$/.test(name)) {
    return list([anyTensor(r, shape), anyTensor(r, shape)]);
  }
  if (
    /^(size|shape|sizes|normalizedShape|kernelSize|stride|padding|dilation|outputSize)$/.test(name)
  ) {
    return r.chance(0.5) ? 1 + r.below(3) : list([1 + r.below(3), 1 + r.below(3)]);
  }
  if (/^(dim|dims|axis|dim0|dim1)$/.test(name)) return r.pick([0, -1, 1]);
  if (/^(milestones)$/.test(name)) return list([2, 4]);
  if (/^(betas|etas|stepSizes)$/.test(name)) return list([0.5, 0.9]);
  if (/(target|index|indices|labels)$/i.test(name)) {
    const t = anyTensor(r, r.chance(0.5) ? shape : shape.slice(0, 1));
    return { ...t, dtype: r.chance(0.5) ? "int64" : "float32", fill: "index", grad: false };
  }
  if (
    /^(input|other|x\d?|y|A|B|mat\d?|vec\d?|batch\d|weight|source|src|self|mask|tensor\d?|output)$|^(input|anchor|positive|negative|var|q|k|v|query|key|value)\d?$/
      .test(name)
  ) {
    return { ...anyTensor(r, shape), dtype: "float32", fill: "range" };
  }
  if (/^(keepdim|inplace|bias|affine|full|largest|sorted|training|upper|maximize)$/.test(name)) {
    return r.chance(0.5);
  }
  return r.chance(0.8) ? 1 + r.below(4) : r.pick(NUMBERS);
}

// ---- change ------------------------------------------------------------------------------------

/** A call's arguments with other values of the same kind: other numbers in tensors, layouts, one size for another. */
export function vary(r: Random, args: readonly Arg[]): Arg[] {
  const sizes = new Map<number, number>();
  if (r.chance(0.3)) {
    const from = r.pick(SIZES.slice(3));
    sizes.set(from, r.pick(SIZES));
  }
  return args.map((a) =>
    walk(a, (arg) => {
      if (!isTensor(arg)) return arg;
      const fill: Fill = arg.fill === "range" && r.chance(0.1)
        ? r.pick(["nan", "infinite", "zero", "large"])
        : arg.fill;
      return {
        ...arg,
        fill: arg.values === undefined && arg.low === undefined ? fill : arg.fill,
        shape: arg.values === undefined ? resized(arg.shape, sizes) : arg.shape,
        layout: r.chance(0.7) ? arg.layout : r.pick(["dense", "transposed", "gapped"]),
        seed: r.below(1e6),
      };
    })
  );
}

/** A shape with one size for another, where that keeps it small. */
function resized(shape: number[], sizes: ReadonlyMap<number, number>): number[] {
  const other = shape.map((n) => sizes.get(n) ?? n);
  return other.reduce((a, b) => a * b, 1) < 100_000 ? other : shape;
}

/** A call's arguments with one of them, or a part of one, replaced. */
export function spoil(r: Random, args: readonly Arg[], names: readonly string[]): Arg[] {
  const out = [...args];
  const at = r.below(args.length + 1);
  if (at === args.length) {
    const name = names.length > 0 && r.chance(0.7) ? r.pick(names) : r.pick(WORDS);
    const value = r.chance(0.5) ? guess(r, name, anyShape(r)) : anything(r);
    const last = out.at(-1);
    if (isOptions(last)) {
      out[at - 1] = { is: "options", entries: { ...last.entries, [name]: value } };
    } else out.push(r.chance(0.8) ? { is: "options", entries: { [name]: value } } : anything(r));
    return out;
  }
  if (r.chance(0.05)) return out.slice(0, at);
  out[at] = spoilOne(r, out[at]);
  return out;
}

function spoilOne(r: Random, arg: Arg): Arg {
  if (isTensor(arg)) {
    const { values: _, ...rest } = arg;
    switch (r.below(7)) {
      case 0:
        return { ...rest, shape: anyShape(r) };
      case 1:
        return { ...rest, dtype: r.pick(DTYPE_NAMES) };
      case 2:
        return { ...arg, disposed: true };
      case 3: {
        const shape = [...arg.shape];
        shape[r.below(shape.length + 1)] = r.pick(SIZES);
        return { ...rest, shape };
      }
      case 4:
        return { ...rest, fill: r.pick(["nan", "infinite", "large", "zero", "index"]) };
      case 5:
        return { ...arg, layout: "expanded", grad: r.chance(0.5) };
      default:
        return anything(r);
    }
  }
  if (typeof arg === "object" && arg !== null && arg.is === "list" && r.chance(0.7)) {
    const items = [...arg.items];
    const at = r.below(items.length + 1);
    items[at] = at < items.length ? spoilOne(r, items[at]) : anything(r);
    return list(items);
  }
  if (isOptions(arg) && Object.keys(arg.entries).length > 0 && r.chance(0.7)) {
    const key = r.pick(Object.keys(arg.entries));
    return { is: "options", entries: { ...arg.entries, [key]: spoilOne(r, arg.entries[key]) } };
  }
  if (typeof arg === "number" && r.chance(0.7)) return r.pick(WILD_NUMBERS);
  if (typeof arg === "string" && r.chance(0.7)) return r.pick(WORDS);
  return anything(r);
}

function isTensor(arg: Arg | undefined): arg is TensorArg {
  return typeof arg === "object" && arg !== null && arg.is === "tensor";
}

function isOptions(arg: Arg | undefined): arg is { is: "options"; entries: Record<string, Arg> } {
  return typeof arg === "object" && arg !== null && arg.is === "options";
}

function walk(arg: Arg, change: (arg: Arg) => Arg): Arg {
  if (typeof arg === "object" && arg !== null) {
    if (arg.is === "list") return list(arg.items.map((a) => walk(a, change)));
    if (arg.is === "options") {
      return {
        is: "options",
        entries: Object.fromEntries(
          Object.entries(arg.entries).map(([k, a]) => [k, walk(a, change)]),
        ),
      };
    }
  }
  return change(arg);
}

// ---- from the case table -------------------------------------------------------------------------

/** An argument among plain values, as it is. */
export class Written {
  constructor(readonly arg: Arg) {}
}

/** A value of the case table as an argument. */
export function toArg(value: unknown, dtype: toro.DType): Arg {
  if (value instanceof TensorSpec) {
    const { values, low, high, grad } = value.options;
    return {
      is: "tensor",
      shape: [...value.shape],
      dtype: value.options.dtype ?? dtype,
      fill: "range",
      layout: "dense",
      ...(values === undefined ? {} : { values: [...values] }),
      ...(grad === true ? { grad } : {}),
      ...(low === undefined ? {} : { low }),
      ...(high === undefined ? {} : { high }),
      seed: 1,
    };
  }
  if (value instanceof Written) return value.arg;
  if (typeof value === "bigint") return { is: "bigint", text: String(value) };
  if (typeof value === "number") {
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { is: "number", text: String(value) };
  }
  if (Array.isArray(value)) return list(value.map((v) => toArg(v, dtype)));
  if (value instanceof toro.Slice) return { is: "slice", bounds: [null, null, null] };
  if (ArrayBuffer.isView(value)) return { is: "typed", type: value.constructor.name, length: 4 };
  if (typeof value === "function") return { is: "function", body: "square" };
  if (value === undefined) return { is: "undefined" };
  if (typeof value === "object" && value !== null) {
    if (Object.getPrototypeOf(value) !== Object.prototype) return { is: "float", value: 2 };
    return {
      is: "options",
      entries: Object.fromEntries(Object.entries(value).map(([k, v]) => [k, toArg(v, dtype)])),
    };
  }
  return value as Arg;
}

// ---- values ------------------------------------------------------------------------------------

/** The values that arguments stand for; all of one call have one optimiser. */
export function valuesOf(args: readonly Arg[]): unknown[] {
  optimizer = null;
  return args.map(valueOf);
}

let optimizer: toro.optim.SGD | null = null;

/** A function or class of the public surface. */
function exported(name: string): unknown {
  return name.split(".").reduce(
    (at, part) => (at as Record<string, unknown>)[part],
    toro as unknown,
  );
}

function made(by: string, args: unknown[], evaluates: boolean): unknown {
  const f = exported(by) as new (...args: unknown[]) => unknown;
  const result = /^class\b/.test(Function.prototype.toString.call(f))
    ? new f(...args)
    : (f as unknown as (...args: unknown[]) => unknown)(...args);
  if (evaluates && result instanceof toro.nn.Module) result.eval();
  return result;
}

/** The value that an argument stands for. */
function valueOf(arg: Arg): unknown {
  if (typeof arg !== "object" || arg === null) return arg;
  switch (arg.is) {
    case "tensor":
      return tensorOf(arg);
    case "number":
      return Number(arg.text);
    case "bigint":
      return BigInt(arg.text);
    case "list":
      return arg.items.map(valueOf);
    case "options":
      return Object.fromEntries(Object.entries(arg.entries).map(([k, a]) => [k, valueOf(a)]));
    case "float":
      return toro.float(arg.value);
    case "slice":
      return toro.slice(...arg.bounds as [number, number, number]);
    case "typed":
      return new (globalThis as unknown as Record<string, new (n: number) => unknown>)[arg.type](
        arg.length,
      );
    case "function":
      return FUNCTIONS[arg.body];
    case "parameters":
      return arg.shapes.map((s) => toro.randn(s, { requiresGrad: true }));
    case "optimizer":
      return optimizer ??= new toro.optim.SGD([toro.randn([2], { requiresGrad: true })], {
        lr: 0.1,
      });
    case "made":
      return made(arg.by, arg.args.map(valueOf), arg.evaluates ?? false);
    case "export":
      return exported(arg.name);
    case "dataset":
      return new toro.data.TensorDataset([toro.randn([6, 2])]);
    case "module":
      return new toro.nn.Linear(3, 2);
    case "generator":
      return (function* () {
        yield 1;
      })();
    case "undefined":
      return undefined;
    case "symbol":
      return Symbol("fuzz");
    case "date":
      return new Date(0);
  }
}

/** Functions that never fail by themselves. */
const FUNCTIONS = {
  square: (x: unknown) => x instanceof toro.Tensor && !x.isDisposed ? toro.mul(x, x) : 0.5,
  sum: (x: unknown) =>
    x instanceof toro.Tensor && !x.isDisposed ? toro.mul(x, x).sum() : toro.zeros([]),
  pair: (x: unknown, y: unknown) => y instanceof toro.Tensor ? y : x,
  number: () => 0.5,
  collate: (x: unknown) => x,
};

function tensorOf(
  { shape, dtype, fill, layout, grad, disposed, values, ...rest }: TensorArg,
): unknown {
  const r = new Random(rest.seed);
  const count = shape.reduce((a, b) => a * b, 1);
  const { category } = DTYPES[dtype];
  // Too many to draw one by one.
  if (count > 2 ** 20) return toro.zeros(shape, { dtype });
  const { low = -2, high = 2 } = rest;
  const one = () => {
    if (fill === "zero") return 0;
    if (fill === "index") return r.below(3);
    if (fill === "nan" && r.chance(0.3) && category === 2) return NaN;
    if (fill === "infinite" && r.chance(0.3) && category === 2) {
      return r.chance(0.5) ? Infinity : -Infinity;
    }
    if (fill === "large" && r.chance(0.5)) {
      return (r.chance(0.5) ? 1 : -1) * (category === 2 ? 1e30 : 2 ** 62);
    }
    const x = low + (high - low) * r.next();
    return category === 2 ? x : category === 0 ? Number(x > 0) : Math.round(x);
  };
  const data = values ?? Array.from({ length: count }, one);
  const make = (d: number[], s: number[]) =>
    fromElements(elements(category === 2 ? d : d.map(integer(dtype)), dtype), dtype, s);
  let t = make(data, shape);
  if (layout === "transposed" && shape.length >= 2) {
    t = t.transpose(0, shape.length - 1).contiguous().transpose(0, shape.length - 1);
  } else if (layout === "gapped" && shape.length >= 1) {
    t = toro.stack([t, t], -1).select(-1, 1);
  } else if (layout === "expanded" && shape.length >= 1 && shape[0] > 1) {
    t = t.narrow(0, 0, 1).expand(shape);
  }
  if (grad === true && category === 2) t = t.detach().requiresGrad_();
  if (disposed === true) t.dispose();
  return t;
}

/** Whole numbers into the range of an integer dtype, so that typed arrays take them. */
function integer(dtype: toro.DType): (x: number) => number {
  return (x) => dtype === "uint8" ? Math.abs(x) % 256 : dtype === "int64" ? x : Math.trunc(x) | 0;
}
