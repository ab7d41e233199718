/** Runs the cases of modules: state in, outputs, gradients and state out. */
import { nn } from "../../mod.ts";
import { grad } from "../../src/backward.ts";
import { signatureOf } from "../../src/op.ts";
import type { Tensor } from "../../src/tensor.ts";
import { difference } from "./compare.ts";
import { bindPython, differs, flattenJson } from "./ops.ts";
import { Absent, type Shard } from "./shards.ts";
import { Decoder, flatten, lookUp, place, tensorOf } from "./values.ts";

/** What the runner uses of a module. */
interface AnyModule {
  forward(...args: unknown[]): unknown;
  train(mode?: boolean): unknown;
  to(device: string): unknown;
  loadStateDict(state: Record<string, Tensor>): unknown;
  stateDict(): Iterable<[string, Tensor]> | Record<string, Tensor>;
  namedParameters(): Iterable<[string, Tensor]>;
}

/** Makes an instance of Toro's class behind PyTorch's name, its arguments bound by the declared parameter list. */
export function construct(
  path: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): unknown {
  // The oracle's own name for a stack of its encoder layers.
  if (path === "nn.TEnc") {
    const options = { dimFeedforward: 16, dropout: 0, batchFirst: true };
    const layer = new nn.TransformerEncoderLayer(8, 2, options);
    return new nn.TransformerEncoder(layer, args[0] as number);
  }
  const found = lookUp(path);
  if (typeof found !== "function") throw new Absent("missing", path);
  const signature = signatureOf(found);
  const callee = { name: path, signature, isMethod: false, call: () => undefined };
  const Class = found as new (...args: unknown[]) => unknown;
  return new Class(...bindPython(callee, args, kwargs));
}

/** A state dict's tensors by key. */
export function entriesOf(
  state: Iterable<[string, Tensor]> | Record<string, Tensor>,
): Map<string, Tensor> {
  return new Map(
    Symbol.iterator in state ? state as Iterable<[string, Tensor]> : Object.entries(state),
  );
}

// deno-lint-ignore no-explicit-any
export function runModule(c: any, shard: Shard): string | null {
  if (lookUp(c.op) === undefined && c.op !== "nn.TEnc") throw new Absent("missing", c.op);
  const decoder = new Decoder(shard, c.same);
  const shape = new Decoder(shard);
  const module = construct(
    c.op,
    c.ctor.args.map((a: unknown) => shape.decode(a)),
    shape.record(c.ctor.kwargs?.d ?? c.ctor.kwargs),
  ) as AnyModule;
  if (place.device !== 0) module.to(`cuda:${place.device - 1}`);
  const state = Object.entries(c.state as Record<string, { t: string }>);
  module.loadStateDict(Object.fromEntries(state.map(([k, v]) => [k, tensorOf(shard.tensor(v.t))])));
  module.train(c.train);
  const args = c.args.map((a: unknown) => decoder.decode(a));
  const kwargs = decoder.record(c.kwargs);
  const name = `${c.op}.forward`;
  const call = bindPython(
    { name, signature: undefined, isMethod: false, call: () => null },
    args,
    kwargs,
  );
  const got = flatten(module.forward(...call));
  const want = flattenJson(c.out);
  if (got.length !== want.length) return `gives ${got.length} values, PyTorch ${want.length}`;
  for (let i = 0; i < want.length; i++) {
    const text = want[i] === null ? null : differs(got[i], want[i], shard, c.err, `output ${i}`);
    if (text !== null) return text;
  }
  const keys = [...entriesOf(module.stateDict()).keys()];
  if (JSON.stringify(keys) !== JSON.stringify(c.state_keys)) {
    return `has the state keys ${keys.join(", ")}, PyTorch ${c.state_keys.join(", ")}`;
  }
  return gradients(c, shard, decoder, module, got) ?? stateAfter(c, shard, module);
}

function gradients(
  // deno-lint-ignore no-explicit-any
  c: any,
  shard: Shard,
  decoder: Decoder,
  module: AnyModule,
  got: unknown[],
): string | null {
  const upstream = flattenJson(c.grad_out) as ({ t: string } | null)[];
  const outs: Tensor[] = [], gradOutputs: Tensor[] = [];
  upstream.forEach((g, i) => {
    if (g === null) return;
    outs.push(got[i] as Tensor);
    gradOutputs.push(tensorOf(shard.tensor(g.t)));
  });
  const named = new Map(module.namedParameters());
  const wanted: { what: string; tensor: Tensor; want: { t: string } | null }[] = [];
  const leaves = [...new Set(decoder.tensors.filter((t) => t.requiresGrad))];
  leaves.forEach((tensor, i) => wanted.push({ what: `input ${i}`, tensor, want: c.grads[i] }));
  for (const [key, want] of Object.entries(c.param_grads as Record<string, { t: string } | null>)) {
    const tensor = named.get(key);
    if (tensor === undefined) return `has no parameter ${key}`;
    wanted.push({ what: key, tensor, want });
  }
  const found = grad(outs, wanted.map((w) => w.tensor), { gradOutputs, allowUnused: true });
  for (const [i, { what, want }] of wanted.entries()) {
    const g = found[i] as Tensor | null;
    if (want === null || want === undefined) continue;
    if (g === null) return `the gradient of ${what} is missing`;
    const text = difference(g, shard.tensor(want.t), c.gerr, `the gradient of ${what}`);
    if (text !== null) return text;
  }
  return null;
}

// deno-lint-ignore no-explicit-any
function stateAfter(c: any, shard: Shard, module: AnyModule): string | null {
  const state = entriesOf(module.stateDict());
  for (const [key, want] of Object.entries(c.state_after as Record<string, { t: string }>)) {
    const text = difference(state.get(key)!, shard.tensor(want.t), null, `${key} afterwards`);
    if (text !== null) return text;
  }
  return null;
}
