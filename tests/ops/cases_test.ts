/**
 * What holds for every case of every op: strided and stretched operands give what dense ones give, low precision gives
 * what float64 gives, gradients are those of differences, PyTorch agrees, no operand is copied in secret.
 */
import { assert, assertEquals } from "@std/assert";
import { close, TOLERANCE } from "../../scripts/oracle/compare.ts";
import { requested } from "../../src/memory.ts";
import { gradcheck, gradgradcheck } from "../../src/autograd/gradcheck.ts";
import { Tensor } from "../../src/tensor.ts";
import { cases as table } from "./case_table.ts";
import {
  allOps,
  assertSame,
  dtypesOf,
  gradientsOf,
  isInplace,
  opOf,
  type Outcome,
  referenceDtype,
  runForm,
  toleranceOf,
} from "./check.ts";
import { build, gapsUntouched, replaced } from "./forms.ts";
import { describeCall, GOLDEN_DTYPES, type GoldenTensor, keyOf, readGoldens } from "./golden.ts";
import type { Case, Entry } from "./spec.ts";

const cases: Record<string, Entry> = table;
const goldens = readGoldens();
const names = Object.keys(allOps);

Deno.test("every op has its cases", () => {
  assertEquals(names.filter((name) => cases[name] === undefined), []);
});

Deno.test("every entry of the case table is an op", () => {
  assertEquals(Object.keys(cases).filter((name) => !names.includes(name)), []);
});

for (const [name, entry] of Object.entries(cases)) {
  if (names.includes(name)) entry.cases.forEach((c, i) => define(name, entry, c, i));
}

function define(name: string, entry: Entry, c: Case, index: number): void {
  const test = (law: string, fn: () => void) => Deno.test(`${name} case ${index} ${law}`, fn);
  const reference = referenceDtype(entry, c);
  const differentiable = entry.grad === undefined && reference === "float64";
  const tensors = build(c, { dtype: reference, layout: "contiguous" }, name, false).tensors;

  test("contiguous", () => {
    for (const dtype of dtypesOf(entry, c)) {
      const outcome = runForm(name, c, { dtype, layout: "contiguous" });
      if (isInplace(name)) {
        assert(outcome.results[0] === outcome.call.tensors[0], "gives its input");
      }
    }
  });

  const kept = GOLDEN_DTYPES.filter((dtype) => dtypesOf(entry, c).includes(dtype));
  if (entry.random === undefined && c.withoutPytorch === undefined && kept.length > 0) {
    test("as PyTorch", () => {
      for (const dtype of kept) {
        compareGolden(name, entry, c, runForm(name, c, { dtype, layout: "contiguous" }), dtype);
      }
    });
  }

  if (entry.strided === undefined && tensors.some((t) => t.numel > 0)) {
    test("strided", () => {
      for (const dtype of dtypesOf(entry, c)) {
        const grad = differentiable && dtype === "float64";
        for (const layout of ["permuted", "gapped"] as const) {
          const dense = runForm(name, c, { dtype, layout: "contiguous", grad });
          const outcome = runForm(name, c, { dtype, layout, grad });
          compareForms(name, entry, outcome, dense, dtype, grad);
          for (const t of outcome.call.tensors) {
            assert(gapsUntouched(t), "an element between those of an operand was written");
          }
        }
      }
    });
  }

  if (entry.strided === undefined && tensors.some((t) => t.numel > 1)) {
    test("expanded", () => {
      const grad = differentiable;
      const form = { dtype: reference, grad, repeated: true } as const;
      const dense = runForm(name, c, { ...form, layout: "contiguous" });
      const outcome = runForm(name, c, { ...form, layout: "expanded" });
      compareForms(name, entry, outcome, dense, reference, grad);
    });
  }

  if (reference === "float64" && entry.random === undefined) {
    for (const dtype of ["float32", "bfloat16", "float16"] as const) {
      if (!dtypesOf(entry, c).includes(dtype)) continue;
      test(dtype, () => {
        const low = runForm(name, c, { dtype, layout: "contiguous" });
        const exact = runForm(name, c, { dtype: "float64", layout: "contiguous", roundTo: dtype });
        assertSame(low.results, exact.results, toleranceOf(entry, dtype), { dtypes: false });
      });
    }
  }

  if (differentiable) {
    const call = build(
      c,
      { dtype: "float64", layout: "contiguous", grad: true },
      name,
      isInplace(name),
    );
    if (call.tensors.some((t) => t.requiresGrad && t.numel > 0)) {
      const f = (...inputs: Tensor[]) => {
        const args = replaced(call, inputs);
        if (isInplace(name)) args[0] = opOf("clone")(args[0]);
        return opOf(name)(...args) as Tensor;
      };
      const floats = (...inputs: Tensor[]) => results(f(...inputs)).filter((t) => t.info.isFloat);
      test("gradcheck", () => void gradcheck(floats, call.tensors));
      if (entry.grad2 === undefined) {
        test("double gradcheck", () => void gradgradcheck(floats, call.tensors));
      }
    }
  }

  if (
    entry.copies === undefined && entry.strided === undefined &&
    tensors.some((t) => t.numel > 1 && t.ndim <= 4)
  ) {
    test("memory", () => {
      const spent = (layout: "contiguous" | "permuted" | "gapped"): number => {
        const call = build(c, { dtype: reference, layout }, name, isInplace(name));
        const before = requested.bytes;
        opOf(name)(...call.args);
        return requested.bytes - before;
      };
      const dense = spent("contiguous");
      for (const layout of ["permuted", "gapped"] as const) {
        const bytes = spent(layout);
        assert(bytes <= dense, `${layout} operands take ${bytes} bytes, contiguous ones ${dense}`);
      }
    });
  }
}

function results(value: unknown): Tensor[] {
  return value instanceof Tensor ? [value] : [...value as Iterable<Tensor>];
}

function compareForms(
  name: string,
  entry: Entry,
  got: Outcome,
  want: Outcome,
  dtype: Parameters<typeof toleranceOf>[1],
  grad: boolean,
): void {
  const shapes = (o: Outcome) => o.results.map((r) => r instanceof Tensor ? [...r.shape] : r);
  if (entry.random !== undefined) {
    assertEquals(shapes(got), shapes(want));
    return;
  }
  const tolerance = toleranceOf(entry, dtype);
  assertSame(got.results, want.results, tolerance);
  if (!grad) return;
  const a = gradientsOf(got, name), b = gradientsOf(want, name);
  assertSame(a, b, tolerance, { what: "gradient" });
}

function compareGolden(
  name: string,
  entry: Entry,
  c: Case,
  { results }: Outcome,
  dtype: (typeof GOLDEN_DTYPES)[number],
): void {
  const key = keyOf(dtype, describeCall(name, entry, c, dtype));
  const golden = goldens[name]?.[key];
  assert(golden !== undefined, `PyTorch's result (${dtype}) is missing: run deno task golden`);
  assert(Array.isArray(golden), `PyTorch throws in ${dtype}: ${JSON.stringify(golden)}`);
  assertEquals(results.length, golden.length, "count of results");
  results.forEach((r, i) => {
    const want = golden[i];
    if (!(r instanceof Tensor)) {
      assertEquals(r, want);
      return;
    }
    const { shape, dtype: made, values } = want as GoldenTensor;
    assertEquals({ shape: [...r.shape], dtype: r.dtype }, { shape, dtype: made });
    // An op that makes floats of integers has its result's tolerance.
    const [rtol, atol] = entry.tolerance?.[dtype] ?? TOLERANCE[r.dtype] ?? [0, 0];
    const x = r.toTypedArray();
    for (let j = 0; j < x.length; j++) {
      const y = Number(values[j]);
      assert(close(Number(x[j]), y, rtol, atol), `result ${i} at ${j}: ${x[j]}, PyTorch's ${y}`);
    }
  });
}
