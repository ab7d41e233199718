/** Runs the cases of single ops: binds PyTorch's arguments to the declared signature, compares values and gradients. */
import { ToroError } from "../../mod.ts";
import { grad } from "../../src/backward.ts";
import { Float } from "../../src/dtype.ts";
import { bind, type Signature, signatureOf } from "../../src/op.ts";
import * as ops from "../../src/ops/mod.ts";
import { wrapDim } from "../../src/shape.ts";
import { Tensor } from "../../src/tensor.ts";
import { close, difference, TOLERANCE } from "./compare.ts";
import { camel, toroName } from "./naming.ts";
import { Absent, type Shard, type Stored } from "./shards.ts";
import { Decoder, flatten, isDType, lookUp, PythonFloat, tensorOf } from "./values.ts";

/** Parameters where Python's 2.0 and 2 differ: they take part in type promotion, or must be whole. */
const PROMOTING = new Set([
  "other",
  "exponent",
  "min",
  "max",
  "weight",
  "start",
  "end",
  "step",
  "steps",
  "input",
]);
/** Parameters that take a run of integers, which PyTorch's methods also take one by one. */
const RUNS = new Set(["size", "shape", "dims", "repeats", "sizes"]);
/** Ops that make a tensor of the dtype of the values given: ints are bigints in Toro. */
const MAKERS = new Set(["full", "tensor", "asTensor"]);

/** What a case calls. */
export interface Callee {
  readonly name: string;
  readonly signature: Signature | undefined;
  /** Called with the first argument as `this`. */
  readonly isMethod: boolean;
  call(args: readonly unknown[]): unknown;
}

/** Toro's function behind PyTorch's name. */
export function resolve(op: string): Callee {
  const name = toroName(op);
  const table = ops as unknown as Record<string, unknown>;
  const signature = signatureOf(table[name] ?? lookUp(name) ?? lookUp(`nn.functional.${name}`));
  if (op.startsWith("T.")) {
    const method = (Tensor.prototype as unknown as Record<string, unknown>)[name];
    if (typeof method !== "function") throw new Absent("missing", `Tensor.${name}`);
    return {
      name,
      signature: signature ?? signatureOf(method),
      isMethod: true,
      call: ([self, ...rest]) => method.apply(self, rest),
    };
  }
  const parts = op.split(".");
  const inner = parts.slice(1, -1).map(camel);
  const paths = op.startsWith("F.")
    ? [`nn.functional.${name}`, `F.${name}`]
    : [[...inner, name].join(".")];
  let found: unknown = paths.map(lookUp).find((f) => typeof f === "function");
  // Until a namespace exists, its functions are found among the ops.
  if (found === undefined && lookUp(paths[0].split(".")[0]) === undefined) found = table[name];
  if (typeof found !== "function") throw new Absent("missing", paths[0]);
  const f = found as (...args: unknown[]) => unknown;
  return {
    name,
    signature: signatureOf(f) ?? signature,
    isMethod: false,
    call: (args) => f(...args),
  };
}

/** A Python float as Toro takes it: marked where promotion sees it, else a plain number. */
function plain(value: unknown, param: string, first: boolean, op: string): unknown {
  if (value instanceof PythonFloat) {
    return PROMOTING.has(param) && !first ? new Float(value.value) : value.value;
  }
  if (MAKERS.has(op) && (param === "fillValue" || param === "data")) return bigints(value);
  if (Array.isArray(value)) return value.map((v) => plain(v, "", false, op));
  return value;
}

function bigints(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bigints);
  if (value instanceof PythonFloat) return value.value;
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
}

/** Python's arguments as a call of Toro's: positional as far as Toro takes them so, the rest by name. */
export function bindPython(
  callee: Callee,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): unknown[] {
  const { signature, name } = callee;
  if (name === "at" && Array.isArray(args[1])) {
    return [args[0], ...args[1].map((v) => plain(v, "", false, name))];
  }
  if (signature === undefined) {
    const { input, ...rest } = kwargs;
    const named = Object.entries(rest).map(([k, v]) => [camel(k), plain(v, "", false, name)]);
    const given = (input === undefined ? args : [input, ...args]).map((v) =>
      plain(v, "", false, name)
    );
    return named.length > 0 ? [...given, Object.fromEntries(named)] : given;
  }
  const { params, positional } = signature;
  const values = gather(args, signature, callee.isMethod);
  if (values.length > params.length) {
    throw new Absent(
      "unsupported",
      `${name} takes ${params.length} parameters, not ${values.length}`,
    );
  }
  const out: unknown[] = [];
  const options: Record<string, unknown> = {};
  values.forEach((value, i) => {
    const converted = plain(value, params[i].name, i === 0, name);
    if (i < positional) out.push(converted);
    else options[params[i].name] = converted;
  });
  for (const [key, value] of Object.entries(kwargs)) {
    const param = camel(key);
    const at = params.findIndex((p) => p.name === param);
    if (at < 0) throw new Absent("unsupported", `${name} has no parameter ${param}`);
    const converted = plain(value, param, at === 0, name);
    if (at === out.length && at < signature.required) out.push(converted);
    else options[param] = converted;
  }
  if (Object.keys(options).length > 0) out.push(options);
  return out;
}

/** Runs of integers, or of tensors at the end, as the one array that Toro takes. */
function gather(
  args: readonly unknown[],
  { params, required }: Signature,
  isMethod: boolean,
): unknown[] {
  const last = params.length - 1;
  const list = params.findIndex((p) => p.name === "tensors" || p.name === "matrices");
  if (list >= 0 && args[list] instanceof Tensor) return [...args.slice(0, list), args.slice(list)];
  if (args.length > params.length) {
    const rest = args.slice(last);
    const alike = rest.every((v) => typeof v === "number") ||
      rest.every((v) => v instanceof Tensor);
    if (alike) return [...args.slice(0, last), rest];
  }
  const at = params.findIndex((p) => RUNS.has(p.name));
  if (isMethod && at >= 0 && at === required - 1 && typeof args[at] === "number") {
    let end = at;
    while (typeof args[end] === "number") end++;
    return [...args.slice(0, at), args.slice(at, end), ...args.slice(end)];
  }
  return [...args];
}

/**
 * Ops of whose equal elements PyTorch leaves open which is picked. On a CPU it sorts slices beyond 16 elements by an
 * unstable sort unless `stable` is given; topk and kthvalue partition them; mode picks from what such a sort left. Where a
 * result is one of these places, another place of the same value will do, and gradients, which follow the places, are
 * compared as sums over equal elements. What PyTorch does promise, the first place for argmax, max(dim) and the others, is
 * compared as it is.
 */
const PICKS = new Set(["argsort", "kthvalue", "mode", "msort", "sort", "topk"]);

/** The dim along which such an op picks. */
function pickedDim(callee: Callee, call: readonly unknown[], ndim: number): number {
  if (callee.name === "msort") return 0;
  const at = callee.signature!.params.findIndex((p) => p.name === "dim");
  return wrapDim(bind(callee.signature!, call.slice())[at] ?? -1, ndim, callee.name);
}

/** Each element replaced by the sum of the elements of its slice where the input has the same value. */
function sumsOverEqual(g: ArrayLike<number | bigint>, x: Tensor, dim: number): number[] {
  const values = x.toTypedArray();
  const size = x.shape[dim] ?? 1, inner = x.shape.slice(dim + 1).reduce((n, m) => n * m, 1);
  const slice = (i: number) => Math.floor(i / (size * inner)) * inner + i % inner;
  const key = (i: number) => `${slice(i)} ${Number(values[i]) + 0}`;
  const sums = new Map<string, number>();
  for (let i = 0; i < g.length; i++) {
    sums.set(key(i), (sums.get(key(i)) ?? 0) + Number(g[i]));
  }
  return Array.from(g, (_, i) => sums.get(key(i))!);
}

/** Whether places along a dim are those of the same values as PyTorch's. */
function picksEqual(
  // deno-lint-ignore no-explicit-any
  c: any,
  callee: Callee,
  call: readonly unknown[],
  got: unknown,
  want: unknown,
  shard: Shard,
): boolean {
  if (!(got instanceof Tensor) || got.dtype !== "int64" || c.kwargs?.stable === true) return false;
  const theirs = tensorOf(shard.tensor((want as { t: string }).t));
  if (String(theirs.shape) !== String(got.shape)) return false;
  const x = (call[0] as Tensor).detach();
  const dim = pickedDim(callee, call, x.ndim);
  const kept = (places: Tensor) => places.ndim < x.ndim ? places.unsqueeze(dim) : places;
  return ops.equal(x.gather(dim, kept(got)), x.gather(dim, kept(theirs)));
}

/** Runs one case; gives what differs, or null. Throws Absent where Toro has no such function or parameter. */
// deno-lint-ignore no-explicit-any
export function runOp(c: any, shard: Shard): string | null {
  const foreign = c.out_dtype?.find((name: string) => name !== "" && !isDType(name));
  if (foreign !== undefined) throw new Absent("unsupported", `a result of ${foreign}`);
  const callee = resolve(c.op);
  const decoder = new Decoder(shard, c.same);
  const args = c.args.map((a: unknown) => decoder.decode(a));
  const kwargs = decoder.record(c.kwargs);
  const call = bindPython(callee, args, kwargs);
  if (c.throws) {
    let result: unknown;
    try {
      result = callee.call(call);
      for (const part of flatten(result)) if (part instanceof Tensor) part.toTypedArray();
    } catch (error) {
      if (!(error instanceof ToroError)) return `throws no ToroError but ${error}`;
      const text = error.message.toLowerCase();
      const last = c.op.slice(c.op.lastIndexOf(".") + 1);
      const named = [callee.name, last].some((name) =>
        text.includes(name.replace(/_+$/, "").toLowerCase())
      );
      return named ? null : `throws without naming ${callee.name}: ${error.message}`;
    }
    return `throws nothing, PyTorch: ${c.throws.message}`;
  }
  const got = flatten(callee.call(call));
  const want = flattenJson(c.out);
  if (got.length !== want.length) return `gives ${got.length} values, PyTorch ${want.length}`;
  for (let i = 0; i < want.length; i++) {
    const what = want.length === 1 ? "the result" : `result ${i}`;
    if (c.tags?.includes("random") && got[i] instanceof Tensor) {
      const text = unlike(got[i] as Tensor, shard.tensor((want[i] as { t: string }).t), what);
      if (text !== null) return text;
      continue;
    }
    const text = differs(got[i], want[i], shard, c.err, what);
    if (text === null) continue;
    if (!PICKS.has(callee.name) || !picksEqual(c, callee, call, got[i], want[i], shard)) {
      return text;
    }
  }
  if (c.grads === undefined) return null;
  const picks = PICKS.has(callee.name) && c.kwargs?.stable !== true
    ? (x: Tensor) => pickedDim(callee, call, x.ndim)
    : null;
  return gradients(c, shard, decoder, got, picks);
}

/** What of a random result can be compared: its shape and dtype. */
function unlike(got: Tensor, want: Stored, what: string): string | null {
  const [a, b] = [got, want].map(({ dtype, shape }) => `${dtype} [${shape.join(", ")}]`);
  return a === b ? null : `${what} is ${a}, PyTorch's ${b}`;
}

/** Compares one value with its JSON form. */
export function differs(
  got: unknown,
  want: unknown,
  shard: Shard,
  error: readonly number[] | null | undefined,
  what: string,
): string | null {
  if (typeof want === "object" && want !== null && "t" in want) {
    if (!(got instanceof Tensor)) return `${what} is no tensor but ${got}`;
    return difference(got, shard.tensor(want.t as string), error, what);
  }
  const expected = new Decoder(shard).decode(want);
  let value = expected instanceof PythonFloat ? expected.value : expected;
  // A bool element is 0 or 1 when it is read.
  if (typeof value === "boolean" && typeof got === "number") value = Number(value);
  return Object.is(got, value) ? null : `${what} is ${got}, PyTorch's ${value}`;
}

/** The parts of a result's JSON form, in order. */
export function flattenJson(out: unknown): unknown[] {
  return Array.isArray(out) ? out.flatMap(flattenJson) : [out];
}

/** Compares gradients; `picks` gives the dim along which the op picks from equal elements, where it does. */
function gradients(
  // deno-lint-ignore no-explicit-any
  c: any,
  shard: Shard,
  decoder: Decoder,
  got: unknown[],
  picks: ((x: Tensor) => number) | null,
): string | null {
  const upstream = flattenJson(c.grad_out) as ({ t: string } | null)[];
  const outs: Tensor[] = [], seeds: Tensor[] = [];
  upstream.forEach((g, i) => {
    // A result without a history has no share in any gradient.
    if (g === null || !(got[i] as Tensor).requiresGrad) return;
    outs.push(got[i] as Tensor);
    seeds.push(tensorOf(shard.tensor(g.t)));
  });
  const leaves = (c.grad_of as number[]).map((i) => decoder.tensors[i]);
  const found: readonly (Tensor | null)[] = outs.length === 0
    ? leaves.map(() => null)
    : grad(outs, leaves, { gradOutputs: seeds, allowUnused: true });
  const zero = (values: ArrayLike<number | bigint>) =>
    Array.from(values).every((x) => Number(x) === 0);
  for (let i = 0; i < leaves.length; i++) {
    const want = c.grads[i], what = `the gradient of tensor ${c.grad_of[i]}`;
    if (want === null) {
      if (found[i] === null || zero(found[i]!.toTypedArray())) continue;
      return `${what} is not zero, PyTorch has none`;
    }
    if (found[i] === null) {
      if (zero(shard.tensor(want.t).values)) continue;
      return `${what} is missing`;
    }
    const theirs = shard.tensor(want.t);
    const text = difference(found[i]!, theirs, c.gerr, what);
    if (text === null) continue;
    if (picks === null || text.includes("shape")) return text;
    const x = leaves[i].detach(), dim = picks(x);
    const [a, b] = [found[i]!.toTypedArray(), theirs.values].map((g) => sumsOverEqual(g, x, dim));
    const [rtol, atol] = TOLERANCE[theirs.dtype];
    if (!a.every((y, k) => close(y, b[k], rtol, atol))) return text;
  }
  return null;
}
