/** A batch norm in training with what follows it, as one pass, gives what the modules give one after the other. */
import { assert, assertEquals } from "@std/assert";
import { autograd, manualSeed, memory, nn, rand, randn, type Tensor, tensor } from "@toro/toro";

memory(); // opens the library before the sanitizers look

function apart(row: nn.Sequential, x: Tensor): Tensor {
  for (const module of row) x = (module as nn.TensorModule).forward(x);
  return x;
}

/** Results, gradients and running statistics of one step. */
function outcome(row: nn.Sequential, x: Tensor, isJoined: boolean): unknown[] {
  manualSeed(5);
  x.grad = null;
  row.zeroGrad();
  const y = isJoined ? row.forward(x) : apart(row, x);
  y.mul(y.add(2)).sum().backward();
  const buffers = [...row.buffers()].map((b) => b.toArray());
  return [y.toArray(), x.grad!.toArray(), row.parameters().map((p) => p.grad!.toArray()), buffers];
}

function rows(): Record<string, [() => nn.Sequential, number[]]> {
  // The dropout joins before a layer that reads what it gives.
  const reader = (c: number, dims = 0) =>
    dims === 0 ? new nn.Linear(c, 3) : dims === 1 ? new nn.Conv1d(c, 3, 1) : new nn.Conv2d(c, 3, 1);
  const tail = (c: number, dims = 0, p = 0.3) => [
    new nn.ReLU(),
    new nn.Dropout(p),
    reader(c, dims),
  ];
  return {
    "columns": [() => new nn.Sequential(new nn.BatchNorm1d(37), ...tail(37)), [41, 37]],
    "many columns": [() => new nn.Sequential(new nn.BatchNorm1d(700), ...tail(700)), [130, 700]],
    "one column": [() => new nn.Sequential(new nn.BatchNorm1d(1), ...tail(1)), [9, 1]],
    "sequences": [() => new nn.Sequential(new nn.BatchNorm1d(5), ...tail(5, 1)), [3, 5, 301]],
    "images": [() => new nn.Sequential(new nn.BatchNorm2d(6), ...tail(6, 2)), [4, 6, 9, 11]],
    "no dropout": [
      () => new nn.Sequential(new nn.BatchNorm2d(6), new nn.ReLU()),
      [4, 6, 9, 11],
    ],
    "a dropout at rest": [() => {
      const row = new nn.Sequential(new nn.BatchNorm1d(8), ...tail(8));
      row.at(2).eval();
      return row;
    }, [20, 8]],
    "no weight": [
      () => new nn.Sequential(new nn.BatchNorm1d(8, { affine: false }), ...tail(8)),
      [20, 8],
    ],
    "a plain mean": [
      () => new nn.Sequential(new nn.BatchNorm1d(8, { momentum: null }), ...tail(8)),
      [20, 8],
    ],
    "everything dropped": [
      () => new nn.Sequential(new nn.BatchNorm1d(8), ...tail(8, 0, 1)),
      [20, 8],
    ],
  };
}

for (const [name, [make, shape]] of Object.entries(rows())) {
  for (const dtype of ["float32", "float64", "bfloat16"] as const) {
    Deno.test(`norm, ReLU and dropout: ${name}, ${dtype}`, () => {
      manualSeed(1);
      const x = randn(shape).to(dtype);
      x.requiresGrad = true;
      const one = make().to(dtype), other = make().to(dtype);
      other.loadStateDict(one.stateDict());
      for (let i = 0; i < 2; i++) {
        assertEquals(outcome(one, x, true), outcome(other, x, false));
      }
    });
  }
}

Deno.test("a transposed input stays apart, and gives the same", () => {
  manualSeed(2);
  const x = randn([8, 20]).t(), make = rows()["a plain mean"][0];
  x.requiresGrad = true;
  const one = make(), other = make();
  other.loadStateDict(one.stateDict());
  assertEquals(outcome(one, x, true), outcome(other, x, false));
});

Deno.test("the joined pass can be differentiated twice", () => {
  manualSeed(3);
  const row = new nn.Sequential(new nn.BatchNorm1d(3), new nn.ReLU()).to("float64");
  const x = rand([6, 3], { dtype: "float64" });
  x.requiresGrad = true;
  assert(autograd.gradcheck((x) => row.forward(x), x));
  assert(autograd.gradgradcheck((x) => row.forward(x), x));
});

Deno.test("NaN spreads as it does through the three", () => {
  const make = () => new nn.Sequential(new nn.BatchNorm1d(2), new nn.ReLU(), new nn.Dropout(0.5));
  const x = tensor([[1, NaN], [2, 3], [-4, 5]], { requiresGrad: true });
  const [y, gx] = outcome(make(), x, true), [z, gz] = outcome(make(), x, false);
  assertEquals([y, gx], [z, gz]);
});

Deno.test("what a row that ends in a dropout gives may be changed in place", () => {
  manualSeed(6);
  const row = new nn.Sequential(new nn.BatchNorm1d(4), new nn.ReLU(), new nn.Dropout(0.5));
  const x = randn([6, 4], { requiresGrad: true });
  const gradOf = (isJoined: boolean) => {
    manualSeed(7);
    x.grad = null;
    const y = isJoined ? row.forward(x) : apart(row, x);
    y.add_(1).square().sum().backward();
    return x.grad!.toArray();
  };
  assertEquals(gradOf(true), gradOf(false));
});
