import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  arange,
  autocast,
  cat,
  type DType,
  einsum,
  F,
  getAutocastDtype,
  isAutocastEnabled,
  matmul,
  mv,
  nn,
  noGrad,
  ones,
  randn,
  stack,
  type Tensor,
  tensor,
  utils,
} from "../../mod.ts";
import { recurrentTypes } from "./recurrent_types.ts";

const a = randn([4, 4]), b = randn([4, 4]), v = randn([4]);
const h = a.bfloat16(), one = ones([4]), zero = one.sub(1);
const classes = arange(4);

/** What PyTorch 2.15 gives under `torch.autocast("cpu", torch.bfloat16)`; h is bfloat16, the others are float32. */
const dtypes: [string, () => Tensor, DType][] = [
  ["matmul", () => a.matmul(b), "bfloat16"],
  ["mm", () => a.mm(b), "bfloat16"],
  ["bmm", () => a.unsqueeze(0).bmm(b.unsqueeze(0)), "bfloat16"],
  ["addmm", () => a.addmm(a, b), "bfloat16"],
  ["einsum", () => einsum("ij,jk->ik", [a, b]), "bfloat16"],
  ["linear", () => F.linear(a, b, v), "bfloat16"],
  ["linear of bfloat16 by float32", () => F.linear(h, b, { bias: v }), "bfloat16"],
  ["prelu", () => F.prelu(a, ones([1])), "bfloat16"],
  ["mv", () => mv(a, v), "float32"],
  ["dot", () => v.dot(v), "float32"],
  ["bilinear", () => F.bilinear(a, b, randn([2, 4, 4])), "float32"],
  ["matmul of float64", () => a.double().matmul(b.double()), "float64"],
  ["matmul of int64", () => a.long().matmul(b.long()), "int64"],
  ["softmax", () => h.softmax(1), "bfloat16"],
  ["logSoftmax", () => h.logSoftmax(1), "bfloat16"],
  ["layerNorm", () => F.layerNorm(h, [4], one, zero), "bfloat16"],
  ["sum", () => h.sum(), "bfloat16"],
  ["mean", () => h.mean(), "bfloat16"],
  ["norm", () => h.norm(), "bfloat16"],
  ["gelu", () => F.gelu(h), "bfloat16"],
  ["cosineSimilarity", () => F.cosineSimilarity(h, h), "bfloat16"],
  ["multilabelSoftMarginLoss", () => F.multilabelSoftMarginLoss(h, h), "bfloat16"],
  ["add", () => a.add(h), "float32"],
  ["prod", () => h.prod(), "float32"],
  ["quantile", () => h.quantile(0.5), "float32"],
  ["mseLoss", () => F.mseLoss(h, h), "float32"],
  ["l1Loss", () => F.l1Loss(h, a), "float32"],
  ["smoothL1Loss", () => F.smoothL1Loss(h, a), "float32"],
  ["crossEntropy", () => F.crossEntropy(h, classes), "float32"],
  ["nllLoss", () => F.nllLoss(h, classes), "float32"],
  ["binaryCrossEntropy", () => F.binaryCrossEntropy(h.sigmoid(), h.sigmoid()), "float32"],
  [
    "binaryCrossEntropyWithLogits",
    () => F.binaryCrossEntropyWithLogits(h, h.sigmoid(), { posWeight: one }),
    "float32",
  ],
  ["klDiv", () => F.klDiv(h, h), "float32"],
  ["tripletMarginLoss", () => F.tripletMarginLoss(h, h, h), "float32"],
  ["poissonNllLoss", () => F.poissonNllLoss(h, h), "float32"],
  ["multiMarginLoss", () => F.multiMarginLoss(h, classes), "float32"],
  ["cat", () => cat([a, h]), "float32"],
  ["cat of bfloat16", () => cat([h, h]), "bfloat16"],
  ["stack", () => stack([h, a]), "float32"],
];

for (const [name, f, dtype] of dtypes) {
  Deno.test(`autocast: ${name} gives ${dtype}`, () => {
    assertEquals(autocast({ dtype: "bfloat16" }, f).dtype, dtype);
  });
}

Deno.test("autocast holds for a function, a block, and a task, and can be turned off inside", async () => {
  const dtype = () => matmul(a, b).dtype;
  assertEquals(dtype(), "float32");
  assertEquals(autocast({ dtype: "float16" }, dtype), "float16");
  assertEquals(autocast({}, () => autocast({ enabled: false }, dtype)), "float32");
  {
    using _ = autocast();
    assertEquals([dtype(), isAutocastEnabled(), getAutocastDtype()], [
      "bfloat16",
      true,
      "bfloat16",
    ]);
  }
  assert(!isAutocastEnabled());
  const inside = autocast({}, async () => {
    await new Promise((done) => setTimeout(done, 5));
    return dtype();
  });
  assertEquals(dtype(), "float32");
  assertEquals(await inside, "bfloat16");
  assertEquals(dtype(), "float32");
});

Deno.test("gradients come in the types of the parameters", () => {
  const layer = new nn.Linear(4, 2), x = randn([3, 4], { requiresGrad: true });
  const loss = autocast({}, () => F.mseLoss(layer.forward(x), ones([3, 2])));
  assertEquals(loss.dtype, "float32");
  loss.backward();
  assertEquals([x, ...layer.parameters()].map((p) => p.grad!.dtype), Array(3).fill("float32"));
});

Deno.test("a weight is cast once in a region, and again after it changed", () => {
  const w = randn([4, 4], { requiresGrad: true });
  const seen: unknown[] = [];
  const run = () => {
    const y = matmul(a, w);
    // The product's second input is the cast; its node is shared where the cast is.
    seen.push(y.meta!.node!.edges[1]!.node);
    return y;
  };
  autocast({}, () => {
    run();
    autocast({}, run);
    noGrad(() => matmul(a, w));
    noGrad(() => w.add_(1));
    run();
    run().sum().backward();
    run();
  });
  autocast({ cacheEnabled: false }, () => [run(), run()]);
  assertEquals(seen.map((node) => seen.indexOf(node)), [0, 0, 2, 2, 4, 5, 6]);
  // Values follow the change.
  assertEquals(
    String(autocast({}, () => matmul(a, w)).detach()),
    String(matmul(h, w.detach().bfloat16())),
  );
});

Deno.test("a checkpoint is computed again in the region it was made in", () => {
  const layer = new nn.Linear(4, 4), x = randn([3, 4], { requiresGrad: true });
  const f = (x: Tensor) => layer.forward(x).tanh();
  const run = (keep: boolean) => {
    x.grad = null;
    const y = autocast({}, () => keep ? f(x) : utils.checkpoint.checkpoint(f, x));
    assertEquals(y.dtype, "bfloat16");
    y.float().sum().backward();
    return String(x.grad);
  };
  assertEquals(run(false), run(true));
});

Deno.test("autocast refuses what it has no rules for", () => {
  const cases: [object, string][] = [
    [{ device: "tpu" }, 'Cannot autocast on "tpu"'],
    [{ dtype: "float32" }, 'Cannot autocast to "float32"'],
    [{ type: "bfloat16" }, 'unknown option "type"'],
  ];
  for (const [options, text] of cases) {
    assertThrows(() => autocast(options as never), TypeError, text);
  }
  assertEquals(tensor([1]).dtype, "float32");
});

Deno.test("recurrent layers and attention run in a region, in PyTorch's types", () => {
  recurrentTypes("cpu");
  const x = randn([3, 2, 4], { requiresGrad: true });
  const attention = new nn.MultiheadAttention(4, 2);
  const [y] = autocast({}, () => attention.forward(x, x, x));
  assertEquals(y.dtype, "bfloat16");
  const scores = autocast({}, () => F.scaledDotProductAttention(x, x, x));
  assertEquals(scores.dtype, "bfloat16");
  const conv = new nn.Conv1d(4, 2, 1);
  assertEquals(autocast({}, () => conv.forward(x.transpose(1, 2))).dtype, "bfloat16");
});
