/** Calls a case of an op in a form and compares what comes out; the laws themselves are in cases_test.ts. */
import { assert, assertEquals } from "@std/assert";
import { close, TOLERANCE } from "../../scripts/oracle/compare.ts";
import { flatten } from "../../scripts/oracle/values.ts";
import { requiresGrad } from "../../src/autograd.ts";
import { grad } from "../../src/backward.ts";
import type { DType } from "../../src/dtype.ts";
import * as linalg from "../../src/linalg.ts";
import * as ops from "../../src/ops/mod.ts";
import * as special from "../../src/special.ts";
import { fromElements, Tensor } from "../../src/tensor.ts";
import { build, type Call, elements, type Form, uniform } from "./forms.ts";
import type { Case, Entry } from "./spec.ts";

type AnyOp = (...args: unknown[]) => unknown;

/** Every public op: those at top level, then those that only a namespace has, as `linalg.qr`. */
export const allOps: Readonly<Record<string, AnyOp>> = (() => {
  const found: Record<string, AnyOp> = {};
  const seen = new Set<unknown>();
  for (const [prefix, space] of [["", ops], ["special.", special], ["linalg.", linalg]] as const) {
    for (const [name, f] of Object.entries(space)) {
      if (typeof f !== "function" || (prefix !== "" && seen.has(f))) continue;
      seen.add(f);
      found[prefix + name] = f as AnyOp;
    }
  }
  return found;
})();

/** The public op of a name. */
export function opOf(name: string): AnyOp {
  return allOps[name];
}

/** Whether an op changes its first argument. */
export function isInplace(name: string): boolean {
  return name.endsWith("_");
}

/** The element types that an entry's specs take in turn. */
export function dtypesOf(entry: Entry, c: Case): readonly DType[] {
  return c.dtypes ?? entry.dtypes ?? ["float32", "float64", "bfloat16", "float16", "int64"];
}

/** The type in which forms are compared with each other: the widest that the op takes. */
export function referenceDtype(entry: Entry, c: Case): DType {
  const dtypes = dtypesOf(entry, c);
  return dtypes.includes("float64") ? "float64" : dtypes[0];
}

/** What a call gave: tensors and plain values in order, and the call. */
export interface Outcome {
  readonly results: unknown[];
  readonly call: Call;
}

/** Runs a case in a form. */
export function runForm(name: string, c: Case, form: Form): Outcome {
  const call = build(c, form, name, isInplace(name));
  if (isInplace(name) && form.grad && requiresGrad(call.tensors[0])) {
    // A leaf that requires grad cannot be changed; its copy can.
    const args = [opOf("clone")(call.tensors[0]), ...call.args.slice(1)];
    return { results: flatten(opOf(name)(...args)), call };
  }
  return { results: flatten(opOf(name)(...call.args)), call };
}

/** Gradients of an outcome's float results, with drawn weights, for each tensor that requires grad. */
export function gradientsOf({ results, call }: Outcome, seed: string): (Tensor | null)[] {
  const outs = results.filter((r): r is Tensor => r instanceof Tensor && requiresGrad(r));
  const inputs = call.tensors.filter(requiresGrad);
  if (outs.length === 0) return inputs.map(() => null);
  const gradOutputs = outs.map((o, i) => {
    const random = uniform(`${seed}/${i}`);
    const values = Float64Array.from({ length: o.numel }, () => 2 * random() - 1);
    return fromElements(elements(values, o.dtype), o.dtype, o.shape, o.storage.device);
  });
  return grad(outs, inputs, { gradOutputs, allowUnused: true });
}

/** The tolerance for results that were computed in a dtype. */
export function toleranceOf(entry: Entry, dtype: DType): readonly [number, number] {
  return entry.tolerance?.[dtype] ?? TOLERANCE[dtype] ?? [0, 0];
}

/** Fails unless two lists of results have the same shapes and values within a tolerance; dtypes where asked. */
export function assertSame(
  got: readonly unknown[],
  want: readonly unknown[],
  [rtol, atol]: readonly [number, number],
  { dtypes = true, what = "result" }: { dtypes?: boolean; what?: string } = {},
): void {
  assertEquals(got.length, want.length, `count of ${what}s`);
  for (let i = 0; i < got.length; i++) {
    const a = got[i], b = want[i];
    if (!(a instanceof Tensor) || !(b instanceof Tensor)) {
      assertEquals(a, b, `${what} ${i}`);
      continue;
    }
    assertEquals([...a.shape], [...b.shape], `shape of ${what} ${i}`);
    if (dtypes) assertEquals(a.dtype, b.dtype, `dtype of ${what} ${i}`);
    const [r, t] = TOLERANCE[a.dtype] ?? [0, 0];
    const x = a.toTypedArray(), y = b.toTypedArray();
    for (let j = 0; j < x.length; j++) {
      assert(
        close(Number(x[j]), Number(y[j]), Math.max(r, rtol), Math.max(t, atol)),
        `${what} ${i} [${a.shape.join(", ")}] ${a.dtype} at ${j}: ${x[j]}, expected ${y[j]}`,
      );
    }
  }
}
