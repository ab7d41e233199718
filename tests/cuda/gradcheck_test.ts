/** Gradients on CUDA against differences of values, for every case of the table that has a gradient and runs there. */
import { gradcheck } from "../../src/autograd/gradcheck.ts";
import { Tensor } from "../../src/tensor.ts";
import { cases } from "../ops/case_table.ts";
import { allOps, isInplace, opOf, referenceDtype } from "../ops/check.ts";
import { build, replaced } from "../ops/forms.ts";
import type { Case } from "../ops/spec.ts";
import listed from "./runs.json" with { type: "json" };

function check(name: string, c: Case): void {
  const form = { dtype: "float64", layout: "contiguous", grad: true, device: 1 } as const;
  const call = build(c, form, name, isInplace(name));
  if (!call.tensors.some((t) => t.requiresGrad && t.numel > 0)) return;
  const f = (...inputs: Tensor[]) => {
    const args = replaced(call, inputs);
    if (isInplace(name)) args[0] = opOf("clone")(args[0]);
    const result = opOf(name)(...args);
    const list = result instanceof Tensor ? [result] : [...result as Iterable<Tensor>];
    return list.filter((t) => t.info.isFloat);
  };
  gradcheck(f, call.tensors);
}

/** Ops whose own gradient needs a kernel that is not there yet are those that runs.json does not list. */
for (const name of listed) {
  const entry = cases[name];
  if (allOps[name] === undefined || entry?.grad !== undefined) continue;
  entry.cases.forEach((c, i) => {
    if (referenceDtype(entry, c) !== "float64") return;
    Deno.test(`gradcheck of ${name} case ${i} on CUDA`, () => check(name, c));
  });
}
