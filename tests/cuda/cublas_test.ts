/**
 * Products by cuBLASLt, on a stand-in that checks what it is told and computes on the CPU: every case of the table's
 * products, batches, layouts, epilogues and dtypes give what the CPU gives, and the library was asked where it can be.
 */
import { assert, assertEquals } from "@std/assert";
import { root, runScript } from "./script.ts";

/** Runs a script with the library on; what it prints as JSON, and the products that the library logged. */
async function run(source: string): Promise<{ out: unknown; products: string[] }> {
  const { out, log } = await runScript(source);
  return { out, products: [...log.matchAll(/^emulator: cublasLt (.*)$/gm)].map((m) => m[1]) };
}

Deno.test("the products of the case table, in every dtype and layout, are the CPU's", async () => {
  const { out, products } = await run(`
    import { cases } from "${root}tests/ops/case_table.ts";
    import { assertSame, dtypesOf, gradientsOf, runForm, toleranceOf } from "${root}tests/ops/check.ts";
    import "${root}mod.ts";
    const names = ["matmul", "mm", "bmm", "addmm", "baddbmm", "linear", "einsum", "mv", "bilinear"];
    let count = 0;
    for (const name of names) {
      const entry = cases[name];
      for (const c of entry.cases) {
        for (const dtype of dtypesOf(entry, c)) {
          for (const layout of ["contiguous", "permuted", "gapped", "expanded"] as const) {
            if (entry.strided !== undefined && layout !== "contiguous") continue;
            const on = (device: number) => {
              const outcome = runForm(name, c, { dtype, layout, device, grad: dtype === "float64" });
              return [outcome.results, gradientsOf(outcome, name)] as const;
            };
            const [want, wantGrads] = on(0), [got, gotGrads] = on(1);
            assertSame(got, want, toleranceOf(entry, dtype));
            assertSame(gotGrads, wantGrads, toleranceOf(entry, dtype), { what: "gradient" });
            count++;
          }
        }
      }
    }
    console.log(JSON.stringify(count));
  `);
  assert(out as number > 100);
  assert(products.length > 100, `${products.length} products`);
  for (const type of [0, 1, 2, 14]) assert(products.some((p) => p.includes(`of type ${type},`)));
});

Deno.test("bias and ReLU are epilogues, batches are one call, TF32 is asked for", async () => {
  const { out, products } = await run(`
    import { cuda, F, nn, noGrad, tensor, randn, manualSeed } from "${root}mod.ts";
    manualSeed(1);
    const x = randn([5, 3]), w = randn([4, 3]), b = randn([4]), batch = randn([2, 5, 3]), other = randn([2, 3, 6]);
    const there = [x, w, b, batch, other].map((t) => t.to("cuda"));
    const linear = F.linear(there[0], there[1], there[2]).sub(F.linear(x, w, b).to("cuda"));
    const model = new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU());
    const want = noGrad(() => model.forward(x)).to("cuda");
    model.to("cuda");
    const relu = noGrad(() => model.eval().forward(there[0])).sub(want);
    const product = there[3].bmm(there[4]).sub(batch.bmm(other).to("cuda"));
    cuda.setFloat32MatmulPrecision("high");
    const rough = there[0].matmul(there[1].t()).sub(x.matmul(w.t()).to("cuda"));
    console.log(JSON.stringify({
      off: [linear, relu, product, rough].map((t) => t.abs().max().item()),
      precision: cuda.getFloat32MatmulPrecision(),
    }));
  `);
  const { off, precision } = out as { off: number[]; precision: string };
  assert(off.slice(0, 3).every((x) => x < 1e-6), `${off}`);
  assert(off[3] > 1e-6 && off[3] < 1e-2, `TF32 is off by ${off[3]}`);
  assertEquals(precision, "high");
  assertEquals(products, [
    "4 x 5 x 3 of type 0, epilogue 4, batch 1, sums 68",
    "4 x 5 x 3 of type 0, epilogue 6, batch 1, sums 68",
    "6 x 5 x 3 of type 0, epilogue 1, batch 2, sums 68",
    "4 x 5 x 3 of type 0, epilogue 1, batch 1, sums 77",
  ]);
});

Deno.test("the library is not asked for anything where it is not wanted", async () => {
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--ext=ts",
      `import { ones } from "${root}mod.ts"; ones([2, 2], { device: "cuda" }).matmul(ones([2, 2], { device: "cuda" })).toArray();`,
    ],
    env: { TORO_CUDA_LIBRARIES: "0", EMULATOR_LOG: "1" },
  }).output();
  const log = new TextDecoder().decode(stderr);
  assert(!log.includes("cublasLt") && log.includes("matmul"), log);
});
