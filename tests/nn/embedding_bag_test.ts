/** Bags of rows: gradients stay row-sparse, lazy optimisers do what they do on dense ones, options and errors. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { manualSeed, memory, nn, optim, randn, type Tensor, tensor } from "@toro/toro";
import { rowsOf } from "../../src/rows.ts";

memory(); // opens the library before the sanitizers look

const distance = (a: Tensor, b: Tensor): number => a.sub(b).abs().max().item();
const numbers = tensor([3n, 1n, 1n, 7n, 3n, 0n]), offsets = tensor([0n, 2n, 2n]);

Deno.test("gradients of sums and means are kept by rows, and are those of single rows", () => {
  manualSeed(1);
  for (const mode of ["sum", "mean"] as const) {
    const bags = new nn.EmbeddingBag(100, 5, { mode }), table = new nn.Embedding(100, 5);
    table.loadStateDict(bags.stateDict());
    const y = bags.forward(numbers, offsets);
    const rows = table.forward(numbers);
    const scale = mode === "sum" ? [1, 1] : [1 / 2, 1 / 4];
    const first = rows.narrow(0, 0, 2).sum(0).mul(scale[0]);
    const last = rows.narrow(0, 2, 4).sum(0).mul(scale[1]);
    assert(distance(y.select(0, 0), first) < 1e-6 && distance(y.select(0, 2), last) < 1e-6);
    assertEquals(y.select(0, 1).toArray(), [0, 0, 0, 0, 0]);
    y.square().sum().backward();
    first.square().sum().add(last.square().sum()).backward();
    assert(rowsOf(bags.weight.grad!) !== null, "the gradient is dense");
    assert(distance(bags.weight.grad!, table.weight.grad!) < 1e-5);
  }
});

Deno.test("AdamW on bags by rows as on the whole table", () => {
  const run = (strict: boolean): Tensor => {
    manualSeed(2);
    const bags = new nn.EmbeddingBag(50, 4, { mode: "mean" });
    const optimizer = new optim.AdamW(bags.parameters(), { lr: 0.1, strict });
    for (let step = 0; step < 4; step++) {
      optimizer.zeroGrad();
      bags.forward(numbers.add(step * 3), offsets).square().sum().backward();
      optimizer.step();
    }
    return bags.weight.clone();
  };
  assert(distance(run(false), run(true)) < 1e-6);
});

Deno.test("padding rows are passed over, rows are limited in norm, weights weigh", () => {
  manualSeed(3);
  const bags = new nn.EmbeddingBag(10, 3, { mode: "mean", paddingIdx: 1 });
  const y = bags.forward(tensor([[3n, 1n], [1n, 1n]]));
  assert(distance(y.select(0, 0), bags.weight.select(0, 3)) < 1e-6);
  assertEquals(y.select(0, 1).toArray(), [0, 0, 0]);
  const limited = new nn.EmbeddingBag(10, 3, { mode: "max", maxNorm: 0.5 });
  limited.forward(tensor([[3n], [4n]]));
  assert(limited.weight.select(0, 3).norm().item() <= 0.5 + 1e-5);
  const weights = randn([2, 2]), table = randn([10, 3]);
  const weighed = nn.functional.embeddingBag(tensor([[3n, 1n], [4n, 4n]]), table, {
    mode: "sum",
    perSampleWeights: weights,
  });
  const rows = nn.functional.embedding(tensor([[3n, 1n], [4n, 4n]]), table);
  assert(distance(weighed, rows.mul(weights.unsqueeze(-1)).sum(1)) < 1e-6);
});

Deno.test("bags: what does not fit", () => {
  const bags = new nn.EmbeddingBag(10, 3);
  const error = (f: () => unknown, text: string) => assertThrows(f, Error, text);
  error(() => bags.forward(tensor([1n, 10n]), tensor([0n])), "Cannot embeddingBag: index 10");
  error(() => bags.forward(tensor([1n, 2n]), tensor([1n])), "offsets begin at 0");
  error(() => bags.forward(tensor([1n, 2n])), "with offsets null");
  error(() => bags.forward(tensor([[1n, 2n]]), tensor([0n])), "with offsets");
  error(() => bags.forward(tensor([[1n, 2n]]), null, randn([1, 2])), 'it must be "sum"');
  error(() => new nn.EmbeddingBag(10, 3, { mode: "min" as "sum" }), "mode must be");
});
