/** The generator and what is drawn from it: the same bits always, the right distributions, dropout without a mask. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { option } from "../../ffi/library.ts";
import * as toro from "../../mod.ts";
import type { Tensor } from "../../mod.ts";

const { manualSeed, rand, randn, randint, randperm, tensor } = toro;

const values = (t: Tensor): number[] => Array.from(t.toTypedArray(), Number);
const N = 1 << 16;

/** Mean and variance, within five standard errors of what they should be. */
function moments(x: number[], mean: number, variance: number, fourth: number): void {
  const n = x.length;
  const m = x.reduce((a, b) => a + b, 0) / n;
  const v = x.reduce((a, b) => a + (b - m) ** 2, 0) / n;
  assert(Math.abs(m - mean) < 5 * Math.sqrt(variance / n), `mean ${m}, not ${mean}`);
  const spread = Math.sqrt(Math.max(fourth - variance ** 2, 1e-12) / n);
  assert(Math.abs(v - variance) < 5 * spread, `variance ${v}, not ${variance}`);
}

Deno.test("a seed and a state give the same numbers again", () => {
  manualSeed(7);
  const first = values(rand([100])), state = toro.getRngState(), second = values(randn([100]));
  manualSeed(7);
  assertEquals(values(rand([100])), first);
  toro.setRngState(JSON.parse(JSON.stringify(state)));
  assertEquals(values(randn([100])), second);
  assert(values(randn([100])).join() !== second.join(), "the stream moves on");
  manualSeed(8);
  assert(values(rand([100])).join() !== first.join(), "another seed, other numbers");
  manualSeed(-(2n ** 63n));
  assertEquals(toro.getRngState(), { seed: "-9223372036854775808", offset: 0 });
  assertEquals(toro.initialSeed(), -(2n ** 63n));
  assertThrows(
    () => manualSeed(0.5),
    TypeError,
    "Cannot manualSeed with 0.5: it must be a whole number",
  );
  assertThrows(() => toro.setRngState({ seed: "x", offset: 0 }), TypeError, "Cannot setRngState");
});

Deno.test("any number of threads and any level of instructions gives the same bits", () => {
  const threads = option("threads"), level = option("simd");
  const draw = () => {
    manualSeed(3);
    const x = toro.ones([300, 333]);
    return [
      rand([70_001]),
      randn([70_001]),
      randint(1000, [70_001]),
      randperm(5000),
      toro.dropout(x, 0.3),
    ]
      .map((t) => values(t).join());
  };
  try {
    const expected = draw();
    for (const count of [1, 3, 8]) {
      option("threads", count);
      assertEquals(draw(), expected);
    }
    for (let l = 0; l < level; l++) {
      option("simd", l);
      assertEquals(draw(), expected);
    }
  } finally {
    option("threads", threads);
    option("simd", level);
  }
});

Deno.test("bits belong to logical elements, whatever the strides", () => {
  for (const fill of ["uniform_", "normal_", "exponential_", "bernoulli_"] as const) {
    manualSeed(1);
    const dense = toro.zeros([40, 50])[fill]();
    manualSeed(1);
    const turned = toro.zeros([50, 40]).transpose(0, 1)[fill]();
    assertEquals(turned.toArray(), dense.toArray());
  }
});

Deno.test("distributions", () => {
  manualSeed(11);
  for (const dtype of ["float32", "float64", "bfloat16", "float16"] as const) {
    const u = values(rand([N], { dtype }));
    assert(u.every((x) => x >= 0 && x < 1), `${dtype} in [0, 1)`);
    if (dtype !== "bfloat16") moments(u, 0.5, 1 / 12, 1 / 80);
    moments(values(randn([N], { dtype })), 0, 1, 3);
  }
  moments(values(toro.normal(3, 2, [N])), 3, 4, 48);
  moments(values(toro.zeros([N]).exponential_(2)), 0.5, 0.25, 9 / 16);
  moments(values(toro.zeros([N]).uniform_(-1, 3)), 1, 4 / 3, 256 / 80);
  const p = values(toro.full([N], 0.3).bernoulli());
  moments(p, 0.3, 0.21, 0.21 * (1 - 3 * 0.21));
  const dice = values(randint(1, 7, [N]));
  for (let face = 1; face <= 6; face++) {
    const count = dice.filter((x) => x === face).length;
    assert(Math.abs(count - N / 6) < 5 * Math.sqrt(N * 5 / 36), `face ${face}: ${count}`);
  }
});

Deno.test("randint reaches the ends of int64, randperm is a permutation", () => {
  const wide = randint(-(2n ** 63n), 2n ** 63n - 1n, [1000]).toTypedArray() as BigInt64Array;
  assert(wide.some((x) => x < -(2n ** 61n)) && wide.some((x) => x > 2n ** 61n));
  const order = values(randperm(1000));
  assert(order.join() !== order.toSorted((a, b) => a - b).join());
  assertEquals(order.toSorted((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  assertThrows(
    () => randint(5, 5, [2]),
    TypeError,
    "Cannot randint from 5 to 5: low must be below high",
  );
});

Deno.test("multinomial follows the weights", () => {
  manualSeed(5);
  const weights = tensor([1, 0, 3, 4]);
  const drawn = values(weights.multinomial(N, { replacement: true }));
  for (const [i, w] of [1, 0, 3, 4].entries()) {
    const share = drawn.filter((x) => x === i).length / N;
    assert(Math.abs(share - w / 8) < 5 * Math.sqrt(0.25 / N), `class ${i}: ${share}`);
  }
  for (let i = 0; i < 20; i++) {
    assertEquals(values(weights.multinomial(3)).toSorted(), [0, 2, 3]);
  }
  assertThrows(
    () => weights.multinomial(4),
    toro.NativeError,
    "3 weights above zero for 4 samples",
  );
  assertThrows(() => tensor([1, -1]).multinomial(1), toro.NativeError, "not negative");
  assertThrows(() => weights.multinomial(5), TypeError, "without replacement there are 1 to 4");
});

Deno.test("dropout scales what it keeps, and its gradient drops the same elements", () => {
  manualSeed(2);
  const x = randn([100, 100], { requiresGrad: true });
  const y = toro.dropout(x, 0.25);
  const kept = values(y).filter((v) => v !== 0).length / 1e4;
  assert(Math.abs(kept - 0.75) < 0.03, `kept ${kept}`);
  const w = randn([100, 100], { requiresGrad: true });
  const [gx] = toro.grad(y.mul(w).sum(), [x], { createGraph: true });
  const mask = y.detach().div(x.detach());
  assert(toro.allclose(gx.detach(), mask.mul(w.detach()), { rtol: 1e-5 }));
  // The gradient of that gradient for w is the mask again.
  const [gw] = toro.grad(gx.sum(), [w]);
  assert(toro.allclose(gw, mask, { rtol: 1e-5 }));
  assertEquals(toro.dropout(x, { p: 0.9, training: false }), x);
  assertEquals(values(toro.dropout(toro.ones([100]), 1)), Array(100).fill(0));
  assertThrows(
    () => toro.dropout(x, 1.5),
    TypeError,
    "Cannot dropout with p 1.5: a probability is from 0 to 1",
  );
});

Deno.test("forms of dropout drop whole channels, or keep mean and variance", () => {
  manualSeed(3);
  const forms = [
    [toro.dropout1d, [50, 8, 4]],
    [toro.dropout1d, [400, 4]],
    [toro.dropout2d, [50, 8, 3, 3]],
    [toro.dropout2d, [50, 8, 4]],
    [toro.dropout3d, [400, 2, 2, 2]],
    [toro.dropout3d, [50, 8, 2, 2, 2]],
  ] as const;
  for (const [f, shape] of forms) {
    const x = toro.ones([...shape], { requiresGrad: true });
    const y = f(x, 0.25);
    const rows = y.reshape([400, -1]).toArray() as number[][];
    for (const row of rows) assert(new Set(row).size === 1, `${f.name} [${shape}] split a channel`);
    const kept = rows.filter((row) => row[0] > 0).length / 400;
    assert(Math.abs(kept - 0.75) < 0.12, `${f.name} [${shape}] kept ${kept}`);
    assertEquals(Math.max(...rows.map((row) => row[0])), Math.fround(4 / 3));
    // The gradient passes where the value did.
    y.sum().backward();
    assertEquals(values(x.grad!), values(y));
  }
  const x = randn([200, 200]);
  for (const f of [toro.alphaDropout, toro.featureAlphaDropout]) {
    const y = f(x, 0.3, { training: true });
    const [std, mean] = [y.std().item(), y.mean().item()];
    assert(Math.abs(mean) < 0.03 && Math.abs(std - 1) < 0.03, `${f.name}: ${mean}, ${std}`);
    assertEquals(f(x, 0.3), x);
  }
  const channels = values(
    toro.featureAlphaDropout(toro.ones([100, 2]).unsqueeze(2).expand([100, 2, 5]), 0.5, {
      training: true,
    }).std(2),
  );
  assert(channels.every((s) => s < 1e-6));
  assertThrows(() => toro.dropout1d(x.view([-1])), RangeError, "Cannot dropout1d a tensor [40000]");
  const inplace = toro.ones([100]);
  assertEquals(toro.dropout(inplace, 0.5, { inplace: true }), inplace);
  assert(values(inplace).includes(0));
});

Deno.test("rrelu draws slopes in training, gumbelSoftmax classes by their probabilities", () => {
  manualSeed(4);
  const x = toro.full([1000], -1).requiresGrad_();
  const y = toro.rrelu(x, 0.2, 0.4, { training: true });
  const slopes = values(y.neg());
  assert(slopes.every((s) => s >= 0.2 && s <= 0.4) && new Set(slopes).size > 500);
  y.sum().backward();
  assert(toro.allclose(x.grad!, y.detach().neg()));
  assertEquals(values(toro.rrelu(tensor([-1, 2]), 0.2, 0.4)), [-0.3, 2].map(Math.fround));
  const logits = tensor([1, 2, 5]).log().expand([N, 3]).clone().requiresGrad_();
  const hard = toro.gumbelSoftmax(logits, { hard: true });
  const share = values(hard.detach().mean(0));
  [1 / 8, 2 / 8, 5 / 8].forEach((p, i) => assert(Math.abs(share[i] - p) < 0.02, `${share}`));
  assertEquals(new Set(values(hard.detach()).map((v) => Math.round(v * 1e4) / 1e4)).size, 2);
  const soft = toro.gumbelSoftmax(logits, 0.5);
  assert(toro.allclose(soft.detach().sum(1), toro.ones([N])));
  soft.select(1, 0).sum().backward();
  assert(values(logits.grad!.abs().sum(0)).every((g) => g > 0));
});

Deno.test("only floats are drawn by rand, and a leaf that requires grad is not refilled", () => {
  assertThrows(
    () => rand([2], { dtype: "int64" }),
    TypeError,
    "Cannot rand of int64: it makes floats\nHint: randint() makes integers",
  );
  assertThrows(
    () => toro.ones([2], { requiresGrad: true }).normal_(),
    toro.AutogradError,
    "Cannot normal_ in place",
  );
  assertThrows(() => toro.ones([2]).normal_(0, -1), TypeError, "std -1: it may not be negative");
});

Deno.test("distributions made of others have their quantiles", () => {
  manualSeed(5);
  const drawn = (fill: (x: Tensor) => Tensor) => values(fill(toro.empty([N])));
  /** The share below a bound, within five standard errors. */
  const below = (x: number[], bound: number, share: number) => {
    const got = x.filter((v) => v < bound).length / N;
    const error = 5 * Math.sqrt(share * (1 - share) / N);
    assert(Math.abs(got - share) < error, `${got} below ${bound}, not ${share}`);
  };
  const cauchy = drawn((x) => x.cauchy_(2, 3));
  for (const [bound, share] of [[-1, 0.25], [2, 0.5], [5, 0.75]]) below(cauchy, bound, share);
  const normal = drawn((x) => x.logNormal_(1, 0.5)).map(Math.log);
  for (const [bound, share] of [[0.5, 0.158655], [1, 0.5], [1.5, 0.841345]]) {
    below(normal, bound, share);
  }
  const tries = values(toro.empty([N], { dtype: "int64" }).geometric_(0.3));
  assert(tries.every((n) => Number.isInteger(n) && n >= 1));
  for (const n of [1, 2, 5]) below(tries, n + 0.5, 1 - 0.7 ** n);
  assertThrows(() => toro.empty([2]).geometric_(1), TypeError, "Cannot geometric_ with p 1");
  assertThrows(() => toro.empty([2]).cauchy_(0, 0), TypeError, "Cannot cauchy_ with sigma 0");
  assertThrows(
    () => toro.empty([2], { dtype: "int64" }).logNormal_(),
    toro.DTypeError,
    "Cannot logNormal_",
  );
});
