import { assert, assertEquals, assertThrows } from "@std/assert";
import { AutogradError, grad, noGrad, ones, type Tensor, tensor } from "../../mod.ts";

function leaf(n = 3): Tensor {
  return ones([n], { requiresGrad: true });
}

Deno.test("a view follows when its base is changed in place", () => {
  const x = leaf(), y = x.mul(2), v = y.narrow(0, 0, 2);
  y.mul_(3);
  v.sum().backward();
  assertEquals(x.grad!.toArray(), [6, 6, 0]);
});

Deno.test("a view of a plain base requires grad once the base has a history", () => {
  const x = leaf(), y = ones([3]), v = y.narrow(0, 0, 2);
  assert(!v.requiresGrad);
  y.mul_(x);
  assert(v.requiresGrad && y.requiresGrad);
  v.sum().backward();
  assertEquals(x.grad!.toArray(), [1, 1, 0]);
});

Deno.test("a plain base gets its history by a change through a view", () => {
  const x = leaf(), y = ones([3]), v = y.narrow(0, 0, 2);
  v.mul_(x.narrow(0, 0, 2));
  assert(y.requiresGrad);
  y.sum().backward();
  assertEquals(x.grad!.toArray(), [1, 1, 0]);
});

Deno.test("a change through one view is seen by another", () => {
  const x = ones([2, 2], { requiresGrad: true }), y = x.mul(1), t = y.t();
  y.view([4]).select(0, 0).mul_(10);
  t.sum().backward();
  assertEquals(x.grad!.toArray(), [[10, 1], [1, 1]]);
});

Deno.test("views of several, and views made under noGrad, cannot be changed in place while recording", () => {
  const y = leaf().mul(2);
  const cases: [Tensor, string][] = [
    [y.unbind()[0], "Cannot mul_ in place: it is one of several views that unbind gave"],
    [y.split([1, 2])[0], "it is one of several views that split gave"],
    [y.chunk(2)[0], "it is one of several views that split gave"],
    [noGrad(() => y.narrow(0, 0, 2)), "it is a view that was made under noGrad"],
    [noGrad(() => leaf().narrow(0, 0, 2)), "Cannot mul_ in place"],
  ];
  for (const [view, text] of cases) assertThrows(() => view.mul_(2), AutogradError as never, text);
  y.tensorSplit(2)[0].mul_(2);
  // Without gradients nothing is refused.
  ones([3]).unbind()[0].mul_(2);
  noGrad(() => y.unbind()[0].mul_(2));
});

Deno.test("detach shares values and versions, not the history", () => {
  const x = leaf(), y = x.mul(2);
  y.detach().mul_(5);
  y.mul(y).sum().backward();
  assertEquals(x.grad!.toArray(), [40, 40, 40]);
  const z = x.mul(2), square = z.mul(z);
  z.detach().mul_(5);
  assertThrows(() => square.sum().backward(), AutogradError as never, "changed in place");
});

Deno.test("retainGrad keeps the gradient of a value, after a change in place that of the new one", () => {
  const x = leaf(), y = x.mul(2);
  assert(!y.retainsGrad);
  y.retainGrad();
  assert(y.retainsGrad);
  y.mul_(3);
  y.mul(4).sum().backward();
  assertEquals(y.grad!.toArray(), [4, 4, 4]);
  assertEquals(x.grad!.toArray(), [24, 24, 24]);
  const z = x.mul(2);
  z.retainGrad();
  grad(z.sum(), x);
  assertEquals(z.grad!.toArray(), [1, 1, 1]);
  // What is kept stays when backward frees what it made, and adds up.
  const w = x.mul(2);
  w.retainGrad();
  const loss = w.exp().sum();
  loss.backward({ retainGraph: true });
  loss.backward({ retainGraph: true });
  const want = Math.fround(2 * Math.fround(Math.exp(2)));
  assert((w.grad!.toArray() as number[]).every((g) => Math.abs(g - want) < 1e-4));
  assertThrows(() => ones([1]).retainGrad(), AutogradError as never, "does not require grad");
});

Deno.test("hooks on leaves change gradients, and hear of each addition", () => {
  const x = leaf(), heard: unknown[] = [];
  const remove = x.registerHook((g) => g.mul(2));
  const stop = x.registerPostAccumulateGradHook((p) => heard.push(p.grad!.toArray()));
  x.mul(3).sum().backward();
  assertEquals(x.grad!.toArray(), [6, 6, 6]);
  assertEquals(grad(x.mul(3).sum(), x)[0].toArray(), [6, 6, 6]);
  remove();
  x.mul(3).sum().backward();
  stop();
  x.mul(3).sum().backward();
  assertEquals(heard, [[6, 6, 6], [9, 9, 9]]);
  assertThrows(
    () => x.mul(1).registerPostAccumulateGradHook(() => {}),
    AutogradError as never,
    "no leaf",
  );
});

Deno.test("hooks may record and not record as they like", () => {
  const x = leaf(), y = x.mul(2);
  let recorded: boolean[] = [];
  y.registerHook((g) => {
    const inside = noGrad(() => x.mul(1).requiresGrad);
    recorded = [x.mul(g).requiresGrad, inside];
  });
  y.sum().backward({ createGraph: true });
  assertEquals(recorded, [true, false]);
  x.mul(2).sum().backward();
});

Deno.test("requiresGrad can be taken from leaves only", () => {
  const x = leaf();
  assertEquals(x.requiresGrad_(false), x);
  assert(!x.requiresGrad);
  const y = leaf().mul(2);
  assertThrows(() => y.requiresGrad = false, AutogradError as never, "only leaves can be changed");
  assertThrows(() => tensor([1n]).requiresGrad_(), TypeError, "only float tensors");
});
