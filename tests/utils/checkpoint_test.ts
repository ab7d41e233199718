import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AutogradError,
  F,
  grad,
  manualSeed,
  memory,
  nn,
  noGrad,
  randn,
  type Tensor,
  tensor,
  utils,
} from "../../mod.ts";
import { collectGarbage } from "../../src/memory.ts";

const { checkpoint, checkpointSequential } = utils.checkpoint;

function block(): nn.Sequential {
  manualSeed(1);
  return new nn.Sequential(
    new nn.Linear(6, 12),
    new nn.GELU(),
    new nn.Dropout(0.4),
    new nn.Linear(12, 6),
    new nn.Tanh(),
  );
}

/** Gradients of a network of which some parts are run by `run`. */
function gradients(run: (f: (x: Tensor) => Tensor, x: Tensor) => Tensor): number[][] {
  const net = block();
  manualSeed(2);
  const x = randn([4, 6], { requiresGrad: true });
  const once = run((x) => net.forward(x), x);
  const twice = run((x) => net.forward(x).mul(3).mul_(2), once.add(x));
  twice.square().sum().backward();
  return [x, ...net.parameters()].map((p) => Array.from(p.grad!.toTypedArray() as Float32Array));
}

Deno.test("gradients are the same to the bit, dropout and changes in place included", () => {
  const plain = gradients((f, x) => f(x));
  assertEquals(gradients((f, x) => checkpoint(f, x)), plain);
  assertEquals(gradients((f, x) => checkpoint(f, x, { useReentrant: false })), plain);
  // One inside another.
  assertEquals(gradients((f, x) => checkpoint((x) => checkpoint(f, x), x)), plain);
});

Deno.test("without the state of the generator dropout drops other elements", () => {
  const other = gradients((f, x) => checkpoint(f, x, { preserveRngState: false }));
  assert(JSON.stringify(other) !== JSON.stringify(gradients((f, x) => f(x))));
});

Deno.test("several inputs and outputs, graphs that are kept, and second derivatives", () => {
  const a = tensor([0.5, 2], { dtype: "float64", requiresGrad: true });
  const b = tensor([3, -1], { dtype: "float64", requiresGrad: true });
  const f = (x: Tensor, y: Tensor, n: number): [Tensor, Tensor] => [x.mul(y).sin(), y.pow(n)];
  const second = (parts: [Tensor, Tensor]) => {
    const [ga] = grad(parts[0].mul(parts[1]).sum(), a, { createGraph: true });
    return grad(ga.square().sum(), [a, b]).map((g) => g.toArray());
  };
  assertEquals(second(checkpoint(f, a, b, 3)), second(f(a, b, 3)));
  const loss = checkpoint(f, a, b, 3)[0].sum();
  loss.backward({ retainGraph: true });
  loss.backward();
  assertThrows(() => loss.backward(), AutogradError as never, "a second time");
  const want = [2 * 3 * Math.cos(1.5), -2 * Math.cos(-2)];
  (a.grad!.toArray() as number[]).forEach((g, i) => assert(Math.abs(g - want[i]) < 1e-12));
});

Deno.test("what ops save is let go until backward comes", () => {
  const held = (run: (f: (x: Tensor) => Tensor, x: Tensor) => Tensor) => {
    manualSeed(3);
    const x = randn([256, 1024], { requiresGrad: true });
    collectGarbage();
    const before = memory().liveBytes;
    let y: Tensor = x;
    for (let i = 0; i < 4; i++) y = run((x) => F.gelu(x.mul(1.1)).add(0.1).exp().tanh(), y);
    collectGarbage();
    const megabytes = (memory().liveBytes - before) / 2 ** 20;
    y.sum().backward();
    return [megabytes, x.grad!.sum().item()];
  };
  const [plain, want] = held((f, x) => f(x));
  const [kept, got] = held((f, x) => checkpoint(f, x));
  assertEquals(got, want);
  // Of a megabyte each: four results of four parts, not what led there.
  assert(plain > 12 && kept < 6, `${plain} and ${kept} MiB`);
});

Deno.test("a function that does not do the same again is found", () => {
  let calls = 0;
  const x = tensor([1, 2], { requiresGrad: true });
  const y = checkpoint((x) => ++calls > 1 ? x.mul(2).exp() : x.mul(2), x);
  assertThrows(
    () => y.sum().backward(),
    AutogradError as never,
    "its function recorded 2 ops, at first 1",
  );
  const z = x.mul(1), w = checkpoint((z) => z.mul(z), z);
  noGrad(() => z.add_(1));
  assertThrows(() => w.sum().backward(), AutogradError as never, "its argument 0");
});

Deno.test("checkpointSequential runs a list in segments", () => {
  const net = block().eval(), x = randn([2, 6], { requiresGrad: true });
  const [want] = grad(net.forward(x).sum(), x);
  for (const segments of [1, 2, 3, 5]) {
    const y = checkpointSequential(net, segments, x);
    assertEquals(grad(y.sum(), x)[0].toArray(), want.toArray());
  }
  assertThrows(() => checkpointSequential(net, 6, x), TypeError, "5 functions in 6 segments");
});
