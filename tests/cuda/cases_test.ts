/**
 * The op case table on CUDA, run by `deno task test:cuda` on the emulator: every op gives there what it gives on the CPU,
 * forward and backward, for dense and strided operands; one without a kernel fails. `runs.json` lists them for docs/ops.md,
 * and `TORO_CUDA_UPDATE=1` writes it anew. `TORO_CUDA_FOUND` names a file for the ops that held, by family.
 */
import { assert, assertEquals } from "@std/assert";
import * as cuda from "../../src/cuda.ts";
import { signatureOf } from "../../src/op.ts";
import { isOptions } from "../../src/options.ts";
import { manualSeed } from "../../src/random.ts";
import { Tensor } from "../../src/tensor.ts";
import { cases, families } from "../ops/case_table.ts";
import {
  allOps,
  assertSame,
  dtypesOf,
  gradientsOf,
  isInplace,
  opOf,
  referenceDtype,
  runForm,
  toleranceOf,
} from "../ops/check.ts";
import { build, type Form, gapsUntouched, type Layout, replaced } from "../ops/forms.ts";
import type { Case, Entry } from "../ops/spec.ts";
import listed from "./runs.json" with { type: "json" };

const update = Deno.env.get("TORO_CUDA_UPDATE") === "1";
const runs = new Set<string>(listed);
const found: string[] = [];
/**
 * Where tensor cores take weights rounded to 16 bits before they meet values, as PyTorch's fused kernels do: results near
 * zero, of larger parts, differ by the roundings of these.
 */
const ROUNDED: Record<string, readonly [number, number]> = {
  bfloat16: [1.6e-2, 1e-2],
  float16: [1e-3, 1e-3],
};
const rounds = new Set(["scaledDotProductAttention", "multiHeadAttentionForward"]);

/** The forms that a case is compared in. */
function* formsOf(entry: Entry, c: Case): Generator<Form> {
  const reference = referenceDtype(entry, c);
  const grad = entry.grad === undefined && reference === "float64";
  for (const dtype of dtypesOf(entry, c)) yield { dtype, layout: "contiguous" };
  if (grad) yield { dtype: "float32", layout: "contiguous", grad };
  if (entry.strided !== undefined) return;
  for (const layout of ["permuted", "gapped", "expanded"] satisfies Layout[]) {
    yield { dtype: reference, layout, grad };
  }
}

/** Runs a case in a form on both devices and compares. */
function compare(name: string, entry: Entry, c: Case, form: Form): void {
  if (!dtypesOf(entry, c).includes(form.dtype)) return;
  // Gradients in a type of their own: what the op takes decides.
  const on = (device: number) => {
    manualSeed(7);
    const outcome = runForm(name, c, { ...form, device });
    return [outcome, form.grad ? gradientsOf(outcome, name) : []] as const;
  };
  const [want, wantGrads] = on(0);
  const [got, gotGrads] = on(1);
  for (const r of got.results) {
    if (r instanceof Tensor && got.call.tensors.length > 0) assertEquals(r.device, "cuda:0");
  }
  if (/^(empty|newEmpty)/.test(name)) return;
  const tolerance = (rounds.has(name) ? ROUNDED[form.dtype] : undefined) ??
    toleranceOf(entry, form.dtype);
  assertSame(got.results, want.results, tolerance);
  assertSame(gotGrads, wantGrads, tolerance, { what: "gradient" });
  if (form.layout === "gapped") {
    for (const t of got.call.tensors) assert(gapsUntouched(t), "an element between was written");
  }
  cuda.synchronize();
}

/** Runs all cases of an op on both devices and compares. */
function compareAll(name: string, entry: Entry): void {
  for (const c of entry.cases) {
    const { tensors } = build(c, { dtype: "float32", layout: "contiguous" }, name, false);
    // What takes no tensor is told its device, if it can be.
    if (tensors.length === 0) onDevice(name, c);
    else for (const form of formsOf(entry, c)) compare(name, entry, c, form);
  }
}

/** An op that makes tensors of nothing: by its option `device`. */
function onDevice(name: string, c: Case): void {
  if (!signatureOf(opOf(name))?.params.some((p) => p.name === "device")) return;
  const on = (device: string) => {
    const call = build(c, { dtype: "float32", layout: "contiguous" }, name, isInplace(name));
    const args = replaced(call, []);
    const last = args.at(-1);
    const options = isOptions(last) ? { ...last, device } : { device };
    manualSeed(7);
    return opOf(name)(...isOptions(last) ? args.slice(0, -1) : args, options);
  };
  const want = on("cpu"), got = on("cuda");
  if (!(want instanceof Tensor) || !(got instanceof Tensor)) return;
  assertEquals(got.device, "cuda:0");
  if (/^(empty|randn?$)/.test(name)) return;
  assertSame([got], [want], [0, 0]);
}

for (const name of Object.keys(allOps)) {
  const entry = cases[name];
  if (entry === undefined) continue;
  Deno.test(`${name} on CUDA`, () => {
    compareAll(name, entry);
    found.push(name);
    assert(update || runs.has(name), "runs.json does not list it: TORO_CUDA_UPDATE=1");
  });
}

Deno.test("what runs is written down", () => {
  const path = Deno.env.get("TORO_CUDA_FOUND");
  if (path !== undefined) {
    const held = new Set(found);
    const byFamily = Object.entries(families).map((
      [family, entries],
    ) => [
      family,
      Object.keys(entries).filter((name) => held.has(name) && cases[name] === entries[name]),
    ]);
    Deno.writeTextFileSync(path, JSON.stringify(Object.fromEntries(byFamily)));
  }
  if (update) {
    Deno.writeTextFileSync(
      new URL("runs.json", import.meta.url),
      JSON.stringify(found.sort(), null, 2) + "\n",
    );
  } else if (found.length > 0) assertEquals(found.sort(), [...runs].sort());
});
