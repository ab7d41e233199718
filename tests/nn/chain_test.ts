/** Layers in a row that are computed as one give what they give one after the other. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  allclose,
  arange,
  autograd,
  deploy,
  manualSeed,
  memory,
  nn,
  noGrad,
  rand,
  randn,
  ShapeError,
  type Tensor,
  tensor,
} from "@toro/toro";

memory(); // opens the library before the sanitizers look

function assertClose(actual: Tensor, expected: Tensor, rtol = 1e-5, atol = 1e-6): void {
  assertEquals(actual.shape, expected.shape);
  assert(allclose(actual, expected, rtol, atol), `${actual} is not ${expected}`);
}

/** The modules one by one. */
function apart(row: nn.Sequential, x: Tensor): Tensor {
  for (const module of row) x = (module as nn.TensorModule).forward(x);
  return x;
}

function trained(): nn.Sequential {
  manualSeed(3);
  const row = new nn.Sequential(
    new nn.Linear(20, 33),
    new nn.BatchNorm1d(33),
    new nn.ReLU(),
    new nn.Dropout(0.5),
    new nn.Linear(33, 17, { bias: false }),
    new nn.BatchNorm1d(17, { affine: false }),
    new nn.Linear(17, 9),
    new nn.ReLU(),
    new nn.Linear(9, 4),
  );
  for (let i = 0; i < 3; i++) row.forward(randn([50, 20]).mul(i + 1));
  return row;
}

Deno.test("a row in evaluation gives what its modules give", () => {
  const row = trained().eval();
  for (const rows of [1, 2, 40, 300]) {
    const x = randn([rows, 20]);
    noGrad(() => assertClose(row.forward(x), apart(row, x), 1e-5, 1e-6));
  }
});

Deno.test("NaN and both zeros come through a joined ReLU", () => {
  const row = new nn.Sequential(new nn.Linear(1, 2), new nn.ReLU());
  noGrad(() => {
    const layer = row.at(0) as nn.Linear;
    layer.weight.copy_(tensor([[1], [-1]]));
    layer.bias!.fill_(0);
    const y = row.forward(tensor([[NaN], [2], [-3]]));
    assertEquals(y.toArray(), [[NaN, NaN], [2, 0], [0, 3]]);
  });
});

Deno.test("gradients of a joined ReLU are those of the two, and can be differentiated again", () => {
  manualSeed(1);
  const row = new nn.Sequential(new nn.Linear(6, 5), new nn.ReLU(), new nn.Linear(5, 3)).to(
    "float64",
  );
  const x = rand([4, 6], { dtype: "float64" }).sub(0.5);
  x.requiresGrad = true;
  const gradsOf = (y: Tensor) =>
    autograd.grad(y.pow(3).sum(), [x, ...row.parameters()], { createGraph: true });
  const joined = gradsOf(row.forward(x)), separate = gradsOf(apart(row, x));
  joined.forEach((g, i) => assertEquals(g!.toArray(), separate[i]!.toArray()));
  const again = (grads: readonly (Tensor | null)[]) =>
    autograd.grad(grads[0]!.square().sum(), [x])[0]!;
  assertClose(again(joined), again(separate));
  assert(autograd.gradcheck((x) => row.forward(x), x));
  assert(autograd.gradgradcheck((x) => row.forward(x), x));
});

Deno.test("training updates the norm, and its gradients flow", () => {
  const row = trained(), norm = row.at(1) as nn.BatchNorm1d;
  const seen = norm.numBatchesTracked!.item();
  row.forward(randn([8, 20])).sum().backward();
  assertEquals(norm.numBatchesTracked!.item(), Number(seen) + 1);
  assert(norm.weight!.grad !== null);
});

Deno.test("evaluation with gradients keeps them all", () => {
  const row = trained().eval(), x = randn([8, 20]);
  row.forward(x).square().sum().backward();
  const joined = row.parameters().map((p) => p.grad!.clone());
  row.zeroGrad();
  apart(row, x).square().sum().backward();
  row.parameters().forEach((p, i) => assertClose(joined[i], p.grad!));
});

Deno.test("hooks and classes of one's own see every call", () => {
  const row = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU());
  let calls = 0;
  const remove = row.at(1).registerForwardHook(() => {
    calls++;
  });
  row.forward(randn([1, 2]));
  assertEquals(calls, 1);
  remove();
  class Doubled extends nn.Linear {
    override forward(x: Tensor): Tensor {
      return super.forward(x).mul(2);
    }
  }
  const own = new nn.Sequential(new Doubled(2, 2), new nn.ReLU());
  const x = randn([3, 2]);
  assertEquals(own.forward(x).toArray(), apart(own, x).toArray());
});

Deno.test("what a layer refuses is refused in its words", () => {
  const row = new nn.Sequential(new nn.Linear(4, 3), new nn.ReLU());
  assertThrows(() => row.forward(randn([2, 5])), ShapeError, "input's last size 5");
  const normed = new nn.Sequential(new nn.Linear(4, 3), new nn.BatchNorm1d(2)).eval();
  noGrad(() => assertThrows(() => normed.forward(randn([2, 4])), ShapeError, "BatchNorm1d(2)"));
});

Deno.test("bfloat16 and vectors pass as before", () => {
  const row = new nn.Sequential(new nn.Linear(4, 3), new nn.ReLU());
  const x = arange(4).to("float32");
  assertEquals(row.forward(x).toArray(), apart(row, x).toArray());
  row.to("bfloat16");
  const y = randn([5, 4]).to("bfloat16");
  noGrad(() => assertEquals(row.forward(y).toArray(), apart(row, y).toArray()));
});

/** How often norms and ReLUs are called one by one. */
function callsOf(run: () => unknown): number {
  const classes = [nn.BatchNorm1d, nn.ReLU].map((of) => of.prototype as nn.TensorModule);
  const owners = classes.map((c) => Object.hasOwn(c, "forward") ? c : Object.getPrototypeOf(c));
  const forwards = owners.map((owner) => owner.forward);
  let calls = 0;
  owners.forEach((owner, i) => {
    owner.forward = function (this: nn.TensorModule, x: Tensor) {
      calls++;
      return forwards[i].call(this, x);
    };
  });
  try {
    run();
  } finally {
    owners.forEach((owner, i) => owner.forward = forwards[i]);
  }
  return calls;
}

Deno.test("a quantised row joins as its original does, with the original's statistics", () => {
  const original = trained().eval(), row = deploy.quantizeDynamic(original) as nn.Sequential;
  const again = deploy.quantizeDynamic(row) as nn.Sequential;
  const x = randn([30, 20]);
  noGrad(() => {
    assertEquals(callsOf(() => apart(row, x)), 4);
    for (const joined of [original, row, again]) {
      assertEquals(callsOf(() => joined.forward(x)), 0);
      assertClose(joined.forward(x), apart(joined, x), 1e-4, 1e-5);
    }
    const norm = original.at(1) as nn.BatchNorm1d;
    norm.weight = new nn.Parameter(norm.weight!.mul(2));
    assertClose(row.forward(x), apart(row, x), 1e-4, 1e-5);
  });
});

Deno.test("modes and hooks of a quantised row are its own", () => {
  const original = trained().eval(), row = deploy.quantizeDynamic(original) as nn.Sequential;
  const x = randn([30, 20]);
  noGrad(() => {
    original.train();
    assertEquals(callsOf(() => row.forward(x)), 0);
    original.eval();
    row.at(1).train();
    assertEquals(callsOf(() => row.forward(x)), 2); // the norm and the ReLU behind it
    row.at(1).eval();
    let seen = 0;
    row.at(1).registerForwardHook(() => {
      seen++;
    });
    row.forward(x);
    assertEquals(seen, 1);
  });
});
