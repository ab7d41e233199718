/** Optimisers on a device: the CPU's tables, and rows that are updated lazily end with the bits of dense updates. */
import { assert, assertEquals } from "@std/assert";
import { cuda, F, nn, optim, tensor, zeros } from "@toro/toro";
import { camelCase } from "../../src/optim/state_keys.ts";
import { rowsOf } from "../../src/rows.ts";
import { train } from "../optim/table.ts";

interface Golden {
  optimizer: Parameters<typeof train>[0];
  options: Record<string, unknown>;
}

const goldens: Golden[] = JSON.parse(
  Deno.readTextFileSync(new URL("../golden/optim/tables.json", import.meta.url)),
);

function assertClose(got: readonly number[], want: readonly number[], tolerance: number): void {
  assertEquals(got.length, want.length);
  got.forEach((x, i) => {
    const far = Math.abs(x - want[i]) > tolerance * (1 + Math.abs(want[i]));
    assert(!far, `[${i}] ${x}, not ${want[i]}`);
  });
}

/** Under a sanitizer the first steps: the later ones only repeat what they do. */
const [STEPS, SAVE_AT, LAZY_STEPS] = Deno.env.get("TORO_CUDA_BRIEF") === "1"
  ? [8, 4, 9]
  : [40, 31, 60];

for (const { optimizer, options: given } of goldens) {
  const options = Object.fromEntries(Object.entries(given).map(([k, v]) => [camelCase(k), v]));
  Deno.test(`${optimizer} ${JSON.stringify(options)} on CUDA: the CPU's table`, () => {
    for (const dtype of ["float32", "float64"] as const) {
      const form = { dtype, steps: STEPS, columns: 35 } as const;
      const want = train(optimizer, options, form);
      const got = train(optimizer, options, { ...form, device: "cuda" });
      assertClose(got, want, dtype === "float64" ? 1e-12 : options.centered ? 2e-3 : 2e-6);
    }
    if (!["AdamW", "Adam", "SGD"].includes(optimizer)) return;
    const form = { dtype: "float32", device: "cuda", steps: LAZY_STEPS } as const;
    const lazy = train(optimizer, options, form);
    assertEquals(train(optimizer, options, { ...form, readEvery: 7 }), lazy);
    assertEquals(train(optimizer, options, { ...form, saveAt: SAVE_AT }), lazy);
    // Momentum that has died out counts as gone: the difference is below half a unit in the last place.
    assertClose(train(optimizer, { ...options, strict: true }, form), lazy, 2e-6);
  });
}

Deno.test("one step updates tensors of all sizes and dtypes at once", () => {
  const run = (device: string) => {
    const params = ([["float32", 5000], ["float64", 3], ["bfloat16", 300], ["float32", 0]] as const)
      .map(([dtype, n]) => {
        const p = tensor(Array.from({ length: n }, (_, i) => i % 17 / 7 - 1), { dtype, device });
        p.grad = p.mul(0.5).add(0.25);
        return p.requiresGrad_();
      });
    const optimizer = new optim.AdamW(params, { lr: 0.1, amsgrad: true });
    for (let i = 0; i < 3; i++) optimizer.step();
    return params.map((p) => p.toArray());
  };
  assertEquals(run("cuda"), run("cpu"));
});

Deno.test("one step updates more tensors than a launch takes along", () => {
  const run = (device: string) => {
    const params = Array.from({ length: 40 }, (_, i) => {
      const p = tensor(Array.from({ length: 1 + i % 5 }, (_, k) => i + k), { device });
      p.grad = p.mul(0.5).add(0.25);
      return p.requiresGrad_();
    });
    new optim.AdamW(params, { lr: 0.1 }).step();
    return params.map((p) => p.toArray());
  };
  assertEquals(run("cuda"), run("cpu"));
});

Deno.test("norms of dense and of row-sparse gradients, clipped by norm and by value", () => {
  const run = (device: string) => {
    const table = zeros([40, 6], { device, requiresGrad: true });
    const w = tensor(Array.from({ length: 9000 }, (_, i) => Math.sin(i)), { device })
      .requiresGrad_();
    const results: unknown[] = [];
    for (const normType of [2, 1, 0, Infinity, -Infinity, 3]) {
      table.grad = w.grad = null;
      const read = F.embedding(tensor([3n, 30n, 3n], { device }), table);
      read.mul(tensor([[1], [2], [3]], { device })).sum().add(w.mul(w).sum()).backward();
      assert(rowsOf(table.grad!) !== null);
      results.push(nn.utils.clipGradNorm_([table, w], 2, { normType }).item());
      results.push(w.grad!.abs().sum().item(), table.grad!.abs().sum().item());
    }
    nn.utils.clipGradValue_([table, w], 0.01);
    results.push(w.grad!.abs().sum().item(), table.grad!.abs().sum().item());
    return results as number[];
  };
  assertClose(run("cuda"), run("cpu"), 1e-5);
});

Deno.test("gradients by rows of one table are joined, and a norm is kept", () => {
  const run = (device: string) => {
    const table = tensor(Array.from({ length: 60 }, (_, i) => [i / 10, 1 - i / 20, 2]), { device })
      .requiresGrad_();
    const of = (rows: bigint[]) => tensor(rows, { device });
    F.embedding(of([7n, 50n, 7n]), table, { paddingIdx: 50 }).sum().backward();
    F.embedding(of([8n, 7n, 1n]), table, { scaleGradByFreq: true }).sum().backward();
    assert(rowsOf(table.grad!) !== null);
    const joined = table.grad!.toArray();
    F.embedding(of([59n, 3n, 59n]), table.detach(), { maxNorm: 1.5 });
    return [joined, table.toArray()].flat(2) as number[];
  };
  assertClose(run("cuda"), run("cpu"), 1e-6);
});

Deno.test("an index out of range is an error when somebody waits, and the rows stay", () => {
  const table = zeros([4, 2], { device: "cuda" });
  const read = F.embedding(tensor([1n, 4n], { device: "cuda" }), table);
  let message = "";
  try {
    read.toArray();
  } catch (error) {
    message = (error as Error).message;
  }
  assertEquals(message, "gather_rows: index 4 is out of range for 4 on cuda:0");
  cuda.synchronize();
  assertEquals(F.embedding(tensor([3n], { device: "cuda" }), table).toArray(), [[0, 0]]);
});
