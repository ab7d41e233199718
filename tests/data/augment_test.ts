/** Augmentation: drawn anew from the seed in training, nothing in evaluation, gradients that fit. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { data, manualSeed, memory, nn, ones, randn, type Tensor, zeros } from "@toro/toro";

memory(); // opens the library before the sanitizers look

const N = 40_000;

/** Mean and variance. */
function moments(t: Tensor): [mean: number, variance: number] {
  return [t.mean().item(), t.var().item()];
}

Deno.test("AddGaussianNoise adds noise of its deviation in training only, the same for the same seed", () => {
  const noise = new data.AddGaussianNoise({ std: 0.5 }), x = randn([N]);
  manualSeed(3);
  const first = noise.forward(x);
  const [mean, variance] = moments(first.sub(x));
  assert(Math.abs(mean) < 5 * 0.5 / Math.sqrt(N), `mean ${mean}`);
  assert(Math.abs(variance - 0.25) < 5 * 0.25 * Math.sqrt(2 / N), `variance ${variance}`);
  assertNotEquals(noise.forward(x).toTypedArray(), first.toTypedArray());
  manualSeed(3);
  assertEquals(noise.forward(x).toTypedArray(), first.toTypedArray());
  assertEquals(noise.eval().forward(x), x);
  assertEquals(new data.AddGaussianNoise().std, 0.01);
  assertEquals(new data.AddGaussianNoise(0).forward(x).toTypedArray(), x.toTypedArray());
});

Deno.test("RandomMask clears its share in training only and does not scale the rest", () => {
  const mask = new data.RandomMask(0.2), x = ones([N]);
  manualSeed(4);
  const first = mask.forward(x);
  const values = [...first.toTypedArray() as Float32Array];
  assertEquals(new Set(values), new Set([0, 1]));
  const cleared = values.filter((v) => v === 0).length / N;
  assert(Math.abs(cleared - 0.2) < 5 * Math.sqrt(0.16 / N), `cleared ${cleared}`);
  manualSeed(4);
  assertEquals(mask.forward(x).toTypedArray(), first.toTypedArray());
  assertEquals(mask.eval().forward(x), x);
  assertEquals(new data.RandomMask().maskRatio, 0.1);
  assertEquals(new data.RandomMask(0).forward(x).toTypedArray(), x.toTypedArray());
  assertEquals(new data.RandomMask(1).forward(x).sum().item(), 0);
});

Deno.test("augmentation keeps shape and dtype, its gradient is 1 and the mask", () => {
  for (const dtype of ["float32", "float64", "bfloat16", "float16"] as const) {
    const both = new nn.Sequential(new data.AddGaussianNoise(), new data.RandomMask());
    const y = both.forward(zeros([3, 4], { dtype }));
    assertEquals([y.dtype, y.shape], [dtype, [3, 4]]);
  }
  const x = randn([200], { requiresGrad: true }), w = randn([200]);
  new data.AddGaussianNoise(1).forward(x).mul(w).sum().backward();
  assertEquals(x.grad!.toArray(), w.toArray());
  x.grad = null;
  const masked = new data.RandomMask(0.5).forward(x);
  masked.mul(w).sum().backward();
  const kept = masked.detach().ne(0);
  assertEquals(x.grad!.toArray(), w.mul(kept).toArray());
});

Deno.test("augmentation names what it cannot take", () => {
  assertThrows(
    () => new data.AddGaussianNoise(-1),
    TypeError,
    "Cannot make AddGaussianNoise: std must be a number from 0 on, got -1",
  );
  assertThrows(
    () => new data.RandomMask({ maskRatio: 1.5 }),
    TypeError,
    "Cannot make RandomMask: maskRatio must be from 0 to 1, got 1.5",
  );
  assertThrows(() => new data.RandomMask({ ratio: 1 } as never), TypeError, "ratio");
  assertThrows(
    () => new data.AddGaussianNoise().forward(zeros([2], { dtype: "int64" })),
    TypeError,
    "normal_",
  );
});
