/** Attention: the kernel against its twin in plain ops, memory at 8,192 tokens, threads, masks, gradients of gradients. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  grad,
  manualSeed,
  memory,
  nn,
  ones,
  randn,
  resetPeakMemory,
  type Tensor,
  zeros,
} from "@toro/toro";
import { option } from "../../ffi/library.ts";
import { gradgradcheck } from "../../src/autograd/gradcheck.ts";
import { collectGarbage } from "../../src/memory.ts";
import type { AttentionOptions } from "../../src/ops/attention.ts";

memory(); // opens the library before the sanitizers look

const attend = nn.functional.scaledDotProductAttention;

function leaf(shape: number[], dtype: "float32" | "float64" | "bfloat16" = "float64"): Tensor {
  const t = randn(shape, { dtype });
  t.requiresGrad = true;
  return t;
}

const distance = (a: Tensor, b: Tensor): number =>
  a.to("float64").sub(b.to("float64")).abs().max().item();

/** The same attention through plain ops: a mask that wants a gradient takes that way. */
function twin(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const shape = [q.shape[q.ndim - 2], k.shape[k.ndim - 2]];
  let mask = zeros(shape, { dtype: q.dtype });
  const given = options.attnMask;
  if (options.isCausal) mask = mask.maskedFill(ones(shape).tril().eq(0), -Infinity);
  else if (given?.dtype === "bool") mask = mask.maskedFill(given.logicalNot(), -Infinity);
  else if (given) mask = given.clone();
  mask.requiresGrad = true;
  return attend(q, k, v, { ...options, isCausal: false, attnMask: mask });
}

const CASES: readonly [
  name: string,
  q: number[],
  k: number[],
  value: number,
  options: AttentionOptions,
][] = [
  ["several blocks of queries and keys", [2, 3, 250, 20], [2, 3, 300, 20], 9, {}],
  ["causal", [2, 3, 250, 20], [2, 3, 250, 20], 20, { isCausal: true }],
  ["causal, fewer keys", [2, 1, 250, 20], [2, 1, 130, 20], 20, { isCausal: true }],
  ["causal, more keys", [2, 5, 70, 20], [2, 5, 131, 20], 33, { isCausal: true }],
  ["a head per item, so that gradients go by blocks", [300, 16], [290, 16], 16, { scale: 0.3 }],
  ["groups of heads", [2, 4, 130, 8], [2, 2, 140, 8], 8, { enableGqa: true }],
  ["heads wider than a micro-kernel is deep", [1, 2, 20, 270], [1, 2, 30, 270], 5, {}],
  ["one query", [2, 8, 1, 64], [2, 8, 300, 64], 64, {}],
];

for (const [name, qs, ks, value, options] of CASES) {
  Deno.test(`attention as its twin: ${name}`, () => {
    manualSeed(1);
    for (
      const [dtype, most] of [["float64", 1e-12], ["float32", 2e-5], ["bfloat16", 0.15]] as const
    ) {
      const q = leaf(qs, dtype), k = leaf(ks, dtype), v = leaf([...ks.slice(0, -1), value], dtype);
      const y = attend(q, k, v, options), reference = twin(q, k, v, options);
      assert(distance(y, reference) <= most, `${dtype}: ${distance(y, reference)}`);
      const g = randn(y.shape, { dtype });
      const found = grad(y, [q, k, v], { gradOutputs: g });
      const expected = grad(reference, [q, k, v], { gradOutputs: g });
      found.forEach((x, i) => {
        const off = distance(x, expected[i]);
        assert(off <= most * 5, `${dtype}: gradient ${i} differs by ${off}`);
      });
    }
  });
}

Deno.test("attention of bfloat16 is as exact as its numbers", () => {
  manualSeed(6);
  const norm = (t: Tensor): number => t.square().sum().sqrt().item();
  for (const [name, qs, ks, value, options] of CASES) {
    const exact = [qs, ks, [...ks.slice(0, -1), value]].map((s) =>
      randn(s, { dtype: "bfloat16" }).to("float64")
    );
    const run = (dtype: "bfloat16" | "float64", attnMask?: Tensor) => {
      const parts = exact.map((t) => t.to(dtype).detach());
      parts.forEach((t) => t.requiresGrad = true);
      const y = attend(parts[0], parts[1], parts[2], { ...options, attnMask: attnMask?.to(dtype) });
      const gradOutputs = ones(y.shape, { dtype });
      return [y, ...grad(y.mul(y), parts, { gradOutputs })].map((t) => t.to("float64"));
    };
    const masks = options.isCausal ? [undefined] : [undefined, randn([qs.at(-2)!, ks.at(-2)!])];
    for (const mask of masks) {
      const rounded = mask?.to("bfloat16").to("float64");
      const expected = run("float64", rounded);
      run("bfloat16", rounded).forEach((t, i) => {
        const off = norm(t.sub(expected[i])) / norm(expected[i]);
        assert(off < 0.012, `${name}${mask ? ", masked" : ""}: result ${i} is off by ${off}`);
      });
    }
  }
});

Deno.test("attention with masks: of numbers, of truth, of queries that see nothing", () => {
  manualSeed(2);
  const q = leaf([2, 3, 130, 8]), k = leaf([2, 3, 270, 8]), v = leaf([2, 3, 270, 8]);
  const truth = randn([130, 270]).gt(0.5);
  const blind = truth.logicalAnd(ones([130, 1]).tril(-5).eq(1));
  for (const attnMask of [truth, blind, randn([3, 130, 270], { dtype: "float64" })]) {
    if (attnMask.ndim === 3) {
      const y = attend(q, k, v, { attnMask });
      const scores = q.matmul(k.transpose(-1, -2)).div(Math.sqrt(8)).add(attnMask);
      assert(distance(y, scores.softmax(-1).matmul(v)) < 1e-12);
      continue;
    }
    const y = attend(q, k, v, { attnMask }), reference = twin(q, k, v, { attnMask });
    assert(distance(y, reference) < 1e-12);
    const found = grad(y.sum(), [q, k, v]), expected = grad(reference.sum(), [q, k, v]);
    found.forEach((x, i) => assert(distance(x, expected[i]) < 1e-12));
  }
  const nothing = attend(q, k, v, { attnMask: zeros([130, 270]).gt(0) });
  assertEquals(nothing.abs().max().item(), 0);
});

Deno.test("attention at 8,192 tokens takes less than twice its inputs", () => {
  const shape = [1, 1, 8192, 64], bytes = 4 * 8192 * 64;
  const q = leaf(shape, "float32"), k = leaf(shape, "float32"), v = leaf(shape, "float32");
  collectGarbage();
  resetPeakMemory();
  const before = memory().liveBytes;
  const y = attend(q, k, v, { isCausal: true });
  y.sum().backward();
  const taken = memory().peakBytes - before;
  assert(taken < 2 * 3 * bytes, `${taken} bytes beside inputs of ${3 * bytes}`);
  assertEquals(q.grad!.shape, shape);
});

Deno.test("attention: heads cut from rows give heads of rows, and gradients that lie as they do", () => {
  manualSeed(5);
  for (const [dtype, heads, ofKeys] of [["float32", 4, 4], ["bfloat16", 4, 2]] as const) {
    const rows = [heads, ofKeys, ofKeys].map((h) => leaf([2, 70, h * 16], dtype));
    const cut = () => rows.map((t) => t.view([2, 70, -1, 16]).transpose(1, 2));
    const options = { isCausal: true, enableGqa: heads !== ofKeys };
    const run = (parts: Tensor[]) => {
      const y = attend(parts[0], parts[1], parts[2], options);
      const g = y.transpose(1, 2).square().sum();
      return [y, ...grad(g, parts, { retainGraph: true }), ...grad(g, rows)];
    };
    const lie = run(cut()), stand = run(cut().map((t) => t.contiguous()));
    lie.forEach((t, i) => assert(t.equal(stand[i])));
    lie.slice(0, 4).forEach((t) => assert(t.transpose(1, 2).isContiguous() && !t.isContiguous()));
    stand.slice(0, 4).forEach((t) => assert(t.isContiguous()));
  }
  // Every item of the batch has the same keys: there is no such order, and no place for their gradient.
  const q = leaf([3, 2, 9, 8], "float64"), k = leaf([1, 2, 9, 8], "float64");
  const y = attend(q, k.expand([3, 2, 9, 8]), k, {});
  assert(distance(grad(y.sum(), [k])[0], grad(twin(q, k, k, {}).sum(), [k])[0]) < 1e-12);
});

Deno.test("attention is the same for any number of threads", () => {
  manualSeed(3);
  const before = option("threads");
  try {
    for (const dtype of ["float32", "bfloat16"] as const) {
      for (const shape of [[2, 300, 16], [12, 1, 300, 16]]) {
        const q = leaf(shape, dtype), k = leaf(shape, dtype);
        const run = (threads: number) => {
          option("threads", threads);
          const y = attend(q, k, k, { isCausal: true });
          return [y, ...grad(y.sum(), [q, k])];
        };
        const one = run(1), three = run(3);
        one.forEach((t, i) => assert(t.equal(three[i])));
      }
    }
  } finally {
    option("threads", before);
  }
});

Deno.test("attention over more keys than a task keeps packed", () => {
  const q = randn([480, 40]), k = randn([66_000, 40]), v = randn([66_000, 24]);
  const out = attend(q, k, v);
  for (const first of [0, 308, 448]) {
    const part = attend(q.narrow(0, first, 28), k, v);
    assertEquals(distance(part, out.narrow(0, first, 28)), 0);
  }
  const scores = q.narrow(0, 476, 4).matmul(k.t()).div(Math.sqrt(40));
  assert(distance(out.narrow(0, 476, 4), scores.softmax(-1).matmul(v)) < 1e-5);
});

Deno.test("attention: gradients of gradients", () => {
  manualSeed(4);
  const q = leaf([2, 3, 4]), k = leaf([2, 5, 4]), v = leaf([2, 5, 2]);
  gradgradcheck((q, k, v) => attend(q, k, v), [q, k, v]);
  gradgradcheck((q, k) => attend(q, k, k, { isCausal: true }), [leaf([1, 4, 2]), leaf([1, 4, 2])]);
});

Deno.test("attention: dropout scales what it leaves, and draws anew", () => {
  manualSeed(5);
  const q = zeros([1, 200, 4]), v = ones([1, 100, 3]);
  const y = attend(q, zeros([1, 100, 4]), v, { dropoutP: 0.5 });
  const mean = y.mean().item();
  assert(Math.abs(mean - 1) < 0.05, `${mean}`);
  assert(!y.equal(attend(q, zeros([1, 100, 4]), v, { dropoutP: 0.5 })));
});

Deno.test("attention: what does not fit", () => {
  const x = ones([2, 3, 4]);
  assertThrows(() => attend(x, ones([2, 3, 5]), x), RangeError, "[..., T, D]");
  assertThrows(() => attend(x, x, x, ones([3, 3]), { isCausal: true }), TypeError, "only one");
  assertThrows(() => attend(x, x, x, ones([3, 3]).to("int64")), TypeError, "attnMask int64");
  assertThrows(() => attend(x, x.to("float64"), x), TypeError, "one float dtype");
  assertThrows(() => attend(x, x, x, { enableGqa: true, dropoutP: 2 }), TypeError, "from 0 to 1");
});

Deno.test("MultiheadAttention without weights gives what it gives with them", () => {
  manualSeed(6);
  for (const batchFirst of [false, true]) {
    const layer = new nn.MultiheadAttention(12, 3, { batchFirst, dtype: "float64" });
    const x = leaf([5, 5, 12]), y = leaf([5, 5, 12]);
    const keyPaddingMask = zeros([5, 5]).to("bool");
    keyPaddingMask.set([1, 4], true);
    const options = { keyPaddingMask };
    const [a, weights] = layer.forward(x, y, y, options);
    const [b, none] = layer.forward(x, y, y, { ...options, needWeights: false });
    assert(distance(a, b) < 1e-12);
    assertEquals(none, null);
    assertEquals(weights!.shape, [5, 5, 5]);
    assert(distance(weights!.sum(-1), ones([5, 5])) < 1e-12);
  }
});

Deno.test("transformers: copies have their own parameters, masks of a causal hint are the mask's", () => {
  manualSeed(7);
  const layer = new nn.TransformerEncoderLayer(8, 2, {
    dimFeedforward: 16,
    dropout: 0,
    batchFirst: true,
    activation: (x) => x.tanh(),
  });
  const encoder = new nn.TransformerEncoder(layer, 2, new nn.LayerNorm(8));
  const [first, second] = [...encoder.layers];
  assert(first.linear1.weight !== second.linear1.weight);
  assert(first.linear1.weight.equal(layer.linear1.weight));
  const x = randn([2, 5, 8]);
  const mask = nn.Transformer.generateSquareSubsequentMask(5);
  assertEquals(mask.toArray(), [
    [0, -Infinity, -Infinity, -Infinity, -Infinity],
    [0, 0, -Infinity, -Infinity, -Infinity],
    [0, 0, 0, -Infinity, -Infinity],
    [0, 0, 0, 0, -Infinity],
    [0, 0, 0, 0, 0],
  ]);
  const plain = encoder.forward(x, { mask });
  assert(distance(plain, encoder.forward(x, { mask, isCausal: true })) < 1e-5);
  const seen = encoder.forward(x.narrow(1, 0, 3), { mask: mask.narrow(0, 0, 3).narrow(1, 0, 3) });
  assert(distance(plain.narrow(1, 0, 3), seen) < 1e-5);
});
