/** Runs trajectories of optimisers, sequences of learning rates, clippings, and statistics of initial values. */
import { manualSeed } from "../../mod.ts";
import type { Parameter } from "../../src/nn/mod.ts";
import { Tensor } from "../../src/tensor.ts";
import { close, difference } from "./compare.ts";
import { construct } from "./modules.ts";
import { camel, toroName } from "./naming.ts";
import { bindPython } from "./ops.ts";
import { Absent, type Shard } from "./shards.ts";
import { Decoder, lookUp, surface, tensorOf } from "./values.ts";
import { signatureOf } from "../../src/op.ts";

interface AnyOptimizer {
  step(): unknown;
  readonly paramGroups: readonly Record<string, unknown>[];
}

function parameter(tensor: Tensor): Parameter {
  const Class = lookUp("nn.Parameter") as (new (t: Tensor) => Parameter) | undefined;
  if (Class === undefined) throw new Absent("missing", "nn.Parameter");
  return new Class(tensor);
}

function setGrad(p: Tensor, grad: { t: string } | null, shard: Shard): void {
  p.grad = grad === null ? null : tensorOf(shard.tensor(grad.t));
}

// deno-lint-ignore no-explicit-any
export function runOptimizer(c: any, shard: Shard): string | null {
  if (lookUp(c.op) === undefined) throw new Absent("missing", c.op);
  const decoder = new Decoder(shard);
  const kwargs = decoder.record(c.kwargs);
  const params: Parameter[] = c.params.map((p: { t: string }) =>
    parameter(tensorOf(shard.tensor(p.t)))
  );
  // deno-lint-ignore no-explicit-any
  const groups = c.groups?.map(({ params: which, ...rest }: any) => ({
    params: which.map((i: number) => params[i]),
    ...Object.fromEntries(Object.entries(rest).map(([k, v]) => [camel(k), v])),
  }));
  const optimizer = construct(c.op, [groups ?? params], kwargs) as AnyOptimizer;
  for (const [step, grads] of c.grads_per_step.entries()) {
    params.forEach((p, i) => setGrad(p, grads[i], shard));
    optimizer.step();
    for (const [i, p] of params.entries()) {
      const want = shard.tensor(c.params_per_step[step][i].t);
      const text = difference(p, want, null, `parameter ${i} after step ${step + 1}`);
      if (text !== null) return text;
    }
  }
  return null;
}

/** Makes a scheduler of a name and Python's positional arguments behind the optimiser. */
function scheduler(
  name: string,
  optimizer: unknown,
  args: readonly unknown[],
  kwargs: Record<string, unknown> = {},
): { step(metric?: number): unknown } {
  const path = `optim.lrScheduler.${name}`;
  return construct(path, [optimizer, ...args], kwargs) as { step(metric?: number): unknown };
}

// deno-lint-ignore no-explicit-any
export function runScheduler(c: any): string | null {
  const { class: name, kwargs = {}, schedulers, milestones, lambda } = c.spec;
  if (lookUp(`optim.lrScheduler.${name}`) === undefined) throw new Absent("missing", name);
  const groups = c.base_lrs.map((lr: number) => ({ params: [parameter(tensorOf(ONE))], lr }));
  const optimizer = construct("optim.SGD", [groups], { lr: 0.1, momentum: 0.9 }) as AnyOptimizer;
  const parts = schedulers?.map(([part, ...args]: [string, ...number[]]) =>
    scheduler(part, optimizer, args)
  );
  let made: { step(metric?: number): unknown };
  if (name === "SequentialLR") made = scheduler(name, optimizer, [parts, milestones]);
  else if (name === "ChainedScheduler") {
    made = construct(`optim.lrScheduler.${name}`, [parts], {}) as typeof made;
  } else if (lambda !== undefined) {
    made = scheduler(name, optimizer, [new Function("epoch", `return ${lambda}`)]);
  } else made = scheduler(name, optimizer, [], kwargs);
  for (const [epoch, lrs] of c.lrs.entries()) {
    for (const [i, want] of lrs.entries()) {
      const got = Number(optimizer.paramGroups[i].lr);
      if (!close(got, want, 1e-12, 1e-15)) {
        return `epoch ${epoch} group ${i}: lr ${got}, PyTorch's ${want}`;
      }
      const momentum = c.momentum?.[epoch]?.[i];
      if (
        momentum !== undefined &&
        !close(Number(optimizer.paramGroups[i].momentum), momentum, 1e-12, 0)
      ) {
        return `epoch ${epoch} group ${i}: momentum ${
          optimizer.paramGroups[i].momentum
        }, PyTorch's ${momentum}`;
      }
    }
    optimizer.step();
    const metric = c.metric?.[epoch];
    if (c.metric === undefined) made.step();
    else made.step(metric === "nan" || metric === null ? NaN : Number(metric));
  }
  return null;
}

const ONE = { dtype: "float32", shape: [1], bits: Float32Array.of(1), values: [1] };

// deno-lint-ignore no-explicit-any
export function runClip(c: any, shard: Shard): string | null {
  const path = `nn.utils.${toroName(c.op)}`;
  const clip = lookUp(path);
  if (typeof clip !== "function") throw new Absent("missing", path);
  const params = c.grads_in.map((g: { t: string } | null) => {
    const p = parameter(tensorOf(g === null ? ONE : shard.tensor(g.t)));
    setGrad(p, g, shard);
    return p;
  });
  const decoder = new Decoder(shard);
  const limit = c.max_norm ?? c.clip_value;
  const kwargs = c.norm_type === undefined ? {} : { norm_type: decoder.decode(c.norm_type) };
  const callee = { name: path, signature: signatureOf(clip), isMethod: false, call: () => null };
  const total = clip(...bindPython(callee, [params, limit], kwargs));
  if (c.total_norm !== undefined) {
    const text = difference(total as Tensor, shard.tensor(c.total_norm.t), null, "the total norm");
    if (text !== null) return text;
  }
  for (const [i, want] of c.grads_out.entries()) {
    if (want === null) continue;
    const text = difference(params[i].grad, shard.tensor(want.t), null, `gradient ${i}`);
    if (text !== null) return text;
  }
  return null;
}

interface Statistics {
  readonly mean: number;
  readonly std: number;
  readonly min: number;
  readonly max: number;
}

function statistics(t: Tensor): Statistics & { n: number } {
  const values = Float64Array.from(t.toTypedArray() as Float32Array);
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const square = values.reduce((a, b) => a + (b - mean) ** 2, 0);
  let [min, max] = [Infinity, -Infinity];
  for (const x of values) [min, max] = [Math.min(min, x), Math.max(max, x)];
  return { n, mean, std: n > 1 ? Math.sqrt(square / (n - 1)) : 0, min, max };
}

/** Small samples scatter more than large ones: three deviations of each figure are allowed. */
function unlike(
  got: Statistics & { n: number },
  want: Statistics,
  bounded: boolean,
  what: string,
): string | null {
  const { n } = got;
  const spread = Math.max(0.03, 3 / Math.sqrt(2 * n)) * want.std;
  if (Math.abs(got.std - want.std) > spread) {
    return `${what} has deviation ${got.std}, PyTorch's ${want.std}`;
  }
  if (Math.abs(got.mean - want.mean) > 6 * want.std / Math.sqrt(n) + 1e-9) {
    return `${what} has mean ${got.mean}, PyTorch's ${want.mean}`;
  }
  if (!bounded || n < 10_000) return null;
  const width = 0.01 * (want.max - want.min);
  if (Math.abs(got.min - want.min) > width || Math.abs(got.max - want.max) > width) {
    return `${what} lies in ${got.min}..${got.max}, PyTorch's in ${want.min}..${want.max}`;
  }
  return null;
}

/** Initial values by function, or by the module that makes them: `Linear(512,256)`. */
// deno-lint-ignore no-explicit-any
export function runInit(c: any): string | null {
  (manualSeed as (seed: number) => unknown)(0);
  if (c.gain !== undefined) {
    const gain = lookUp("nn.init.calculateGain");
    if (typeof gain !== "function") throw new Absent("missing", "nn.init.calculateGain");
    const got = gain(c.nonlinearity) as number;
    return close(got, c.gain, 1e-12, 0) ? null : `gives ${got}, PyTorch ${c.gain}`;
  }
  if (c.init !== undefined) {
    const path = `nn.init.${toroName(c.init)}`;
    const init = lookUp(path);
    if (typeof init !== "function") throw new Absent("missing", path);
    const t = (surface.empty as (size: number[]) => Tensor)(c.shape);
    const callee = { name: path, signature: signatureOf(init), isMethod: false, call: () => null };
    init(...bindPython(callee, [t], c.kwargs));
    return unlike(statistics(t), c, /uniform/.test(c.init), "it");
  }
  const [, name, args] = /^(\w+)\((.*)\)$/.exec(c.module)!;
  const full = name === "MHA" ? "MultiheadAttention" : name;
  const numbers = args === "" ? [] : args.split(",").map(Number);
  const module = construct(`nn.${full}`, numbers, {}) as {
    namedParameters(): Iterable<[string, Tensor]>;
  };
  const named = new Map(module.namedParameters());
  for (const [key, want] of Object.entries(c.params as Record<string, Statistics>)) {
    const t = named.get(key);
    if (!(t instanceof Tensor)) return `has no parameter ${key}`;
    const text = unlike(statistics(t), want, !/Embedding/.test(name), key);
    if (text !== null) return text;
  }
  return null;
}

/** The cases of init.json, which is no list of them. */
// deno-lint-ignore no-explicit-any
export function initCases(document: any): any[] {
  const gains = Object.entries(document.gains).map(([nonlinearity, gain]) => ({
    id: `gain/${nonlinearity}`,
    op: "nn.init.calculate_gain",
    nonlinearity,
    gain,
  }));
  // deno-lint-ignore no-explicit-any
  const stats = document.stats.map((s: any, i: number) => ({
    id: `${s.init ?? s.module}/${i}`,
    op: `nn.init.${s.init ?? "modules"}`,
    ...s,
  }));
  return [...gains, ...stats];
}
