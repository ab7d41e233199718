import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { empty, manualSeed, memory, nn, ones, type Tensor } from "@toro/toro";

memory(); // opens the library before the sanitizers look

function moments(t: Tensor): { mean: number; std: number; low: number; high: number } {
  const values = [...t.toTypedArray() as Float32Array], n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / n);
  return {
    mean,
    std,
    low: values.reduce((a, b) => Math.min(a, b)),
    high: values.reduce((a, b) => Math.max(a, b)),
  };
}

Deno.test("random initial values have the spread that their rule says", () => {
  manualSeed(1);
  const w = empty([300, 200]);
  const uniform = (bound: number) => {
    const { mean, low, high } = moments(w);
    assertAlmostEquals(mean, 0, bound * 0.02);
    assert(
      low >= -bound && low < -0.98 * bound && high <= bound && high > 0.98 * bound,
      `${low} ${high} ${bound}`,
    );
  };
  const normal = (std: number, centre = 0) => {
    const found = moments(w);
    assertAlmostEquals(found.mean, centre, std * 0.03);
    assertAlmostEquals(found.std, std, std * 0.03);
  };
  nn.init.uniform_(w, -3, { b: 3 });
  uniform(3);
  nn.init.normal_(w, { mean: 1, std: 0.1 });
  normal(0.1, 1);
  nn.init.xavierUniform_(w, 2);
  uniform(2 * Math.sqrt(6 / 500));
  nn.init.xavierNormal_(w);
  normal(Math.sqrt(2 / 500));
  nn.init.kaimingUniform_(w, { nonlinearity: "relu" });
  uniform(Math.sqrt(6 / 200));
  nn.init.kaimingNormal_(w, 1, { mode: "fan_out" });
  normal(1 / Math.sqrt(300));
  nn.init.truncNormal_(w, { mean: 0, std: 1, a: -1, b: 1 });
  const { mean, std, low, high } = moments(w);
  assertAlmostEquals(mean, 0, 0.01);
  assertAlmostEquals(std, 0.5396, 0.01);
  assert(low >= -1 && high <= 1);
});

Deno.test("constants, identity and orthonormal matrices", () => {
  const w = empty([2, 3]);
  assertEquals(nn.init.eye_(w).toArray(), [[1, 0, 0], [0, 1, 0]]);
  assertEquals(nn.init.ones_(w).toArray(), [[1, 1, 1], [1, 1, 1]]);
  assertEquals(nn.init.zeros_(nn.init.constant_(w, 3)).toArray(), [[0, 0, 0], [0, 0, 0]]);
  for (const shape of [[4, 6], [6, 4], [5, 2, 2], [1, 1]]) {
    const t = empty(shape, { dtype: "float64" });
    nn.init.orthogonal_(t, 2);
    const rows = shape[0], cols = t.numel / rows;
    const a = t.reshape([rows, cols]);
    const product = rows <= cols ? a.matmul(a.transpose(0, 1)) : a.transpose(0, 1).matmul(a);
    (product.toArray() as number[][]).forEach((row, i) =>
      row.forEach((value, j) => assertAlmostEquals(value, i === j ? 4 : 0, 1e-12))
    );
  }
  assertEquals(nn.init.calculateGain("tanh"), 5 / 3);
  assertEquals(nn.init.calculateGain("leaky_relu", 0.2), Math.sqrt(2 / 1.04));
});

Deno.test("parameters are set without a trace on the tape, and wrong shapes are named", () => {
  const linear = new nn.Linear(3, 2);
  nn.init.xavierUniform_(linear.weight);
  nn.init.constant_(linear.bias!, 0);
  assert(linear.weight.isLeaf && linear.weight.requiresGrad);
  assertThrows(
    () => nn.init.xavierNormal_(linear.bias!),
    RangeError,
    "Cannot xavierNormal_ a tensor [2]: fan in and fan out need two dims",
  );
  assertThrows(
    () => nn.init.kaimingNormal_(linear.weight, { mode: "fan" as never }),
    TypeError,
    "mode must be",
  );
  assertThrows(
    () => nn.init.calculateGain("swish" as never),
    TypeError,
    'Cannot calculateGain of "swish"',
  );
});

Deno.test("dirac_ makes convolutions that pass their input on", () => {
  const w = nn.init.dirac_(ones([4, 2, 3, 3]), 2);
  const places = (w.toTypedArray() as Float32Array).reduce<number[]>(
    (list, x, i) => x === 0 ? list : [...list, i],
    [],
  );
  // The middle of (0, 0), (1, 1), and of the second group's (2, 0), (3, 1).
  assertEquals(places, [4, 31, 40, 67]);
  assertEquals(w.sum().item(), 4);
  assertThrows(() => nn.init.dirac_(ones([2, 2])), RangeError, "it must have 3 to 5 dims");
  assertThrows(() => nn.init.dirac_(ones([3, 2, 1]), 2), RangeError, "in 2 groups");
});

Deno.test("sparse_ zeroes a share of each column", () => {
  const w = nn.init.sparse_(ones([50, 8]), 0.33, 2);
  assertEquals(w.eq(0).sum(0).toArray(), Array(8).fill(17));
  const kept = (w.toTypedArray() as Float32Array).filter((x) => x !== 0);
  const std = Math.sqrt(kept.reduce((sum, x) => sum + x * x, 0) / kept.length);
  assert(Math.abs(std - 2) < 0.4, `${std}`);
  assertThrows(() => nn.init.sparse_(ones([3]), 0.1), RangeError, "two dims");
});
