import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  ArgumentError,
  autograd,
  AutogradError,
  enableGrad,
  grad,
  isGradEnabled,
  noGrad,
  ones,
  setGradEnabled,
  type Tensor,
  tensor,
  zeros,
} from "@toro/toro";

function leaf(values: number[] | number[][]): Tensor {
  return tensor(values, { requiresGrad: true });
}

Deno.test("gradients add up over uses and over backward calls", () => {
  const x = leaf([1, 2, 3]);
  x.mul(x).add(x).sum().backward();
  assertEquals(x.grad!.toArray(), [3, 5, 7]);
  x.mul(2).sum().backward();
  assertEquals(x.grad!.toArray(), [5, 7, 9]);
});

Deno.test("two leaves never share one gradient", () => {
  const a = leaf([1, 1]), b = leaf([1, 1]);
  a.add(b).backward(tensor([1, 2]));
  a.grad!.mul_(10);
  assertEquals(b.grad!.toArray(), [1, 2]);
});

Deno.test("a second backward through the same graph names the op", () => {
  const x = leaf([1, 2]);
  const y = x.exp().sum();
  y.backward();
  const error = assertThrows(() => y.backward(), AutogradError as never, "a second time");
  assert(String(error).includes("retainGraph"));
  const z = x.exp().sum();
  z.backward(null, { retainGraph: true });
  z.backward();
});

Deno.test("an in-place change of a saved value is found", () => {
  const x = leaf([1, 2]);
  const y = x.exp();
  y.add_(1);
  assertThrows(() => y.sum().backward(), AutogradError as never, "through exp");
});

Deno.test("an in-place change of a leaf that requires grad is refused, but not under noGrad", () => {
  const x = leaf([1, 2]);
  assertThrows(() => x.add_(1), AutogradError as never, "a leaf that requires grad");
  assertThrows(() => x.view([2, 1]).add_(1), AutogradError as never, "a view of a leaf");
  noGrad(() => x.add_(1));
  assertEquals(x.toArray(), [2, 3]);
});

Deno.test("a change through a view rewrites the history of its base, and of other views", () => {
  const x = leaf([[1, 2], [3, 4]]);
  const base = x.mul(1);
  const row = base.select(0, 0), other = base.view([4]);
  row.mul_(10);
  assertEquals(base.toArray(), [[10, 20], [3, 4]]);
  other.sum().backward();
  assertEquals(x.grad!.toArray(), [[10, 10], [1, 1]]);
});

Deno.test("higher-order gradients", () => {
  const x = leaf([2]);
  const y = x.mul(x).mul(x).sum();
  const [g] = grad(y, x, { createGraph: true });
  const [h] = grad(g.sum(), x, { createGraph: true });
  const [k] = grad(h.sum(), x);
  assertEquals([g.item(), h.item(), k.item()], [12, 12, 6]);
  assertEquals(x.grad, null);
});

Deno.test("grad of an unused input is an error, or null when allowed", () => {
  const x = leaf([1]), y = leaf([1]);
  assertThrows(() => grad(x.exp(), [x, y]), AutogradError as never, "no output depends on input 1");
  assertEquals(grad(x.exp(), [x, y], { allowUnused: true })[1], null);
});

Deno.test("hooks see and change gradients, until they are removed", () => {
  const x = leaf([1, 2]);
  const y = x.mul(2);
  const seen: number[][] = [];
  const remove = y.registerHook((g) => {
    seen.push(g.toArray() as number[]);
    return g.mul(3);
  });
  y.sum().backward(null, { retainGraph: true });
  assertEquals(seen, [[1, 1]]);
  assertEquals(x.grad!.toArray(), [6, 6]);
  remove();
  y.sum().backward();
  assertEquals(seen.length, 1);
});

Deno.test("ten thousand ops deep, backward does not overflow a stack", () => {
  const x = leaf([1]);
  let y: Tensor = x;
  for (let i = 0; i < 10_000; i++) y = y.add(1e-4);
  y.backward();
  assertEquals(x.grad!.item(), 1);
  assertAlmostEquals(y.item(), 2, 1e-2);
});

Deno.test("noGrad holds for a block, a function and a promise, and nowhere else", async () => {
  {
    using _ = noGrad();
    assertEquals(isGradEnabled(), false);
    assertEquals(enableGrad(() => isGradEnabled()), true);
  }
  assertEquals(isGradEnabled(), true);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 1));
  const inside: boolean[] = [], beside: boolean[] = [];
  const quiet = noGrad(async () => {
    for (let i = 0; i < 5; i++) {
      await pause();
      inside.push(isGradEnabled());
    }
  });
  const block = (async () => {
    await pause();
    using _ = noGrad();
    for (let i = 0; i < 5; i++) {
      await pause();
      inside.push(isGradEnabled());
    }
  })();
  const training = (async () => {
    for (let i = 0; i < 10; i++) {
      await pause();
      const x = ones([2]);
      x.requiresGrad = true;
      const y = x.mul(2);
      beside.push(isGradEnabled() && y.requiresGrad);
    }
  })();
  await Promise.all([quiet, block, training]);
  assertEquals(inside, Array(10).fill(false));
  assertEquals(beside, Array(10).fill(true));
  assertEquals(isGradEnabled(), true);
  assertThrows(
    () => noGrad(3 as never),
    ArgumentError,
    "Cannot noGrad for 3: the body must be a function",
  );
  assertEquals(isGradEnabled(), true);
});

Deno.test("backward asks for a scalar, a gradient of the right shape, and a graph", () => {
  const x = leaf([1, 2]);
  assertThrows(() => x.mul(2).backward(), AutogradError as never, "[2] without a gradient");
  assertThrows(() => x.mul(2).backward(ones([3])), AutogradError as never, "[3] differs in shape");
  assertThrows(() => zeros([]).backward(), AutogradError as never, "does not require grad");
});

Deno.test("backward from several tensors is one pass", () => {
  const x = leaf([1, 2]);
  const y = x.mul(x);
  autograd.backward([y.sum(), y], [null, tensor([1, 10])]);
  assertEquals(x.grad!.toArray(), [4, 44]);
  assertThrows(() => autograd.backward([y, 3 as never]), TypeError, "Cannot backward: tensor 1, 3");
  assertThrows(() => autograd.backward(y, [y, y]), TypeError, "1 tensors with 2 gradients");
});

Deno.test("setGradEnabled turns recording on and off for a function and a block", () => {
  const x = leaf([1, 2]);
  assertEquals(setGradEnabled(false, () => x.mul(2)).requiresGrad, false);
  {
    using _ = setGradEnabled(false);
    assertEquals(isGradEnabled(), false);
    assertEquals(setGradEnabled(true, () => x.mul(2)).requiresGrad, true);
  }
  assertEquals(isGradEnabled(), true);
  assertThrows(() => setGradEnabled(1 as never), TypeError, "Cannot setGradEnabled to 1");
});
