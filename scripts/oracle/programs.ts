/** Runs small programs on aliasing and on the tape's rules, step by step. */
import { ToroError } from "../../mod.ts";
import { noGrad } from "../../src/autograd.ts";
import { signatureOf } from "../../src/op.ts";
import * as ops from "../../src/ops/mod.ts";
import { Tensor } from "../../src/tensor.ts";
import { difference } from "./compare.ts";
import { toroName } from "./naming.ts";
import { bindPython } from "./ops.ts";
import { Absent, type Shard } from "./shards.ts";
import { Decoder } from "./values.ts";

function callMethod(name: string, args: readonly unknown[]): unknown {
  const method = toroName(name);
  const f = (Tensor.prototype as unknown as Record<string, unknown>)[method];
  if (typeof f !== "function") throw new Absent("missing", `Tensor.${method}`);
  const signature = signatureOf((ops as unknown as Record<string, unknown>)[method]);
  const callee = { name: method, signature, isMethod: true, call: () => null };
  const [self, ...rest] = bindPython(callee, args, {});
  return f.apply(self, rest);
}

// deno-lint-ignore no-explicit-any
export function runProgram(c: any, shard: Shard): string | null {
  const decoder = new Decoder(shard);
  const variables = new Map<string, unknown>(
    Object.entries(c.inputs).map(([name, v]) => [name, decoder.decode(v)]),
  );
  const value = (v: unknown) =>
    typeof v === "string" && v.startsWith("$") ? variables.get(v.slice(1)) : v;
  for (const [name, step, given] of c.steps as [string, string, unknown[]][]) {
    const args = given.map(value);
    let result: unknown;
    try {
      if (step === "getgrad") result = (args[0] as Tensor).grad;
      else if (step === "inplace_nograd") {
        result = noGrad(() => callMethod(args[1] as string, [args[0], ...args.slice(2)]));
      } else result = callMethod(step.slice(2), args);
    } catch (error) {
      if (error instanceof Absent || !c.throws) throw error;
      if (!(error instanceof ToroError)) return `${step} throws no ToroError but ${error}`;
      const at = c.throws.at;
      if (at !== step && at !== name) return `${step} throws, PyTorch at ${at}: ${error.message}`;
      const op = toroName(step.slice(2)).replace(/_$/, "").toLowerCase();
      return error.message.toLowerCase().includes(op)
        ? null
        : `throws without naming ${op}: ${error.message}`;
    }
    if (name !== "") variables.set(name, result);
  }
  if (c.throws) return `throws nothing, PyTorch at ${c.throws.at}: ${c.throws.message}`;
  for (
    const [name, want] of Object.entries(
      c.expect as Record<string, { t: string; stride?: number[] } | null>,
    )
  ) {
    if (want === null) continue;
    const got = variables.get(name) as Tensor;
    const text = difference(got, shard.tensor(want.t), null, name);
    if (text !== null) return text;
    if (want.stride && JSON.stringify(want.stride) !== JSON.stringify(got.strides)) {
      return `${name} has strides [${got.strides}], PyTorch's [${want.stride}]`;
    }
  }
  return null;
}
