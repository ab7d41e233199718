/** Gradients of slices of one tensor: put together they are what each of them alone, added up, would be. */
import { assert, assertEquals } from "@std/assert";
import {
  allclose,
  autocast,
  cat,
  type DType,
  F,
  grad,
  manualSeed,
  nn,
  randint,
  randn,
  stack,
  type Tensor,
} from "@toro/toro";

const assertSame = (a: Tensor | null, b: Tensor) => assertEquals(a!.toArray(), b.toArray());

Deno.test("pieces that fill a tensor", () => {
  for (const dtype of ["float32", "float64", "bfloat16"] satisfies DType[]) {
    manualSeed(1);
    const x = randn([4, 12], { requiresGrad: true, dtype });
    const [a, b, c] = x.split([3, 4, 5], 1);
    const weights = [a, b, c].map((t) => randn(t.shape, { dtype }));
    a.mul(weights[0]).sum().add(c.mul(weights[2]).sum()).add(b.mul(weights[1]).sum()).backward();
    assertSame(x.grad, cat(weights, 1));
  }
});

Deno.test("windows that leave places out, meet, or come beside whole gradients", () => {
  const x = randn([5, 3], { requiresGrad: true });
  x.narrow(0, 1, 2).mul(2).sum().backward();
  assertEquals(x.grad!.select(1, 0).toArray(), [0, 2, 2, 0, 0]);
  x.grad = null;
  x.select(0, 0).sum().add(x.narrow(0, 0, 3).mul(5).sum()).add(x.narrow(1, 0, 1).sum()).backward();
  assertEquals(x.grad!.toArray(), [[7, 6, 6], [6, 5, 5], [6, 5, 5], [1, 0, 0], [1, 0, 0]]);
  for (const order of [0, 1, 2]) {
    x.grad = null;
    const terms = [x.select(0, 0).sum(), x.sum(), x.select(0, -1).mul(3).sum()];
    const [first, ...rest] = terms.map((_, i) => terms[(i + order) % 3]);
    rest.reduce((a, b) => a.add(b), first).backward();
    assertEquals(x.grad!.select(1, 1).toArray(), [2, 1, 1, 1, 4]);
  }
  // The last row is in the second window alone, and its memory held something else before.
  for (let i = 0; i < 4; i++) {
    randn([5, 3]).dispose();
    x.grad = null;
    x.narrow(0, 0, 4).sum().add(x.narrow(0, 1, 4).mul(2).sum()).backward();
    assertEquals(x.grad!.select(1, 2).toArray(), [1, 3, 3, 3, 2]);
  }
  const views = x.t().narrow(1, 1, 3).chunk(2, 0);
  x.grad = null;
  views[0].sum().add(views[1].mul(2).sum()).backward();
  assertEquals(x.grad!.toArray(), [[0, 0, 0], [1, 1, 2], [1, 1, 2], [1, 1, 2], [0, 0, 0]]);
});

Deno.test("every step of a sequence", () => {
  const x = randn([40, 2, 3], { requiresGrad: true }), weights = randn([40, 2, 3]);
  stack(x.unbind().map((step, i) => step.mul(weights.select(0, i)))).sum().backward();
  assertSame(x.grad, weights);
});

Deno.test("hooks, kept gradients and targets see whole gradients; what they get is theirs", () => {
  const x = randn([4], { requiresGrad: true });
  const y = x.mul(1), seen: number[][] = [];
  y.retainGrad();
  y.registerHook((g) => {
    seen.push(g.toArray() as number[]);
  });
  const other = randn([2], { requiresGrad: true });
  const [a, b] = y.chunk(2);
  // Both get one gradient; what is done to one's is not done to the other's.
  a.add(other).mul(2).sum().add(b.sum()).backward();
  assertEquals(seen, [[2, 2, 1, 1]]);
  assertEquals(y.grad!.toArray(), [2, 2, 1, 1]);
  other.grad!.fill_(9);
  assertEquals(x.grad!.toArray(), [2, 2, 1, 1]);
  const z = x.mul(1);
  const [gz] = grad(z.narrow(0, 1, 2).sum(), [z]);
  assertEquals(gz.toArray(), [0, 1, 1, 0]);
});

Deno.test("gradients of gradients go through windows", () => {
  const x = randn([4], { requiresGrad: true, dtype: "float64" });
  const [a, b] = x.chunk(2);
  const [g] = grad(a.pow(3).mul(b).sum(), [x], { createGraph: true });
  const [h] = grad(g.sum(), [x]);
  const [u, v] = x.detach().chunk(2);
  const want = cat([u.mul(6).mul(v).add(u.square().mul(3)), u.square().mul(3)]);
  assert(allclose(h, want), `${h} ${want}`);
});

Deno.test("autocast cross entropy reads 16 bits as they are: the loss and gradients of float32 scores", () => {
  manualSeed(2);
  const layer = new nn.Linear(16, 40), x = randn([8, 16]), target = randint(0, 40, [8]);
  const weight = randn([40]).abs();
  for (const dtype of ["bfloat16", "float16"] as const) {
    for (
      const options of [{}, { labelSmoothing: 0.1 }, { weight }, { reduction: "none" as const }]
    ) {
      const [got, want] = [false, true].map((isWide) => {
        layer.zeroGrad();
        const loss = autocast({ dtype }, () => {
          const scores = layer.forward(x);
          assertEquals(scores.dtype, dtype);
          return F.crossEntropy(isWide ? scores.to("float32") : scores, target, options);
        });
        assertEquals(loss.dtype, "float32");
        loss.sum().backward();
        return [loss, layer.weight.grad!.clone(), layer.bias!.grad!.clone()];
      });
      got.forEach((t, i) => assertSame(t, want[i]));
    }
  }
  const scores = randn([3, 5], { requiresGrad: true });
  const twice = (isWide: boolean) => {
    const loss = autocast({ dtype: "bfloat16" }, () => {
      const low = scores.to("bfloat16");
      return F.crossEntropy(isWide ? low.to("float32") : low, target.narrow(0, 0, 3).remainder(5));
    });
    const [g] = grad(loss, [scores], { createGraph: true });
    return grad(g.square().sum(), [scores])[0];
  };
  assertSame(twice(false), twice(true));
});
