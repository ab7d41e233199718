import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, F, nn, ones, ShapeError, tensor, zeros } from "../../mod.ts";

/** Modules with options other than the default, and the function each must agree with. */
const x = tensor([[-4, -0.7, 0.2], [0.9, 3, 25]]), y = tensor([[1, -0.5, 0], [2, 2.5, 0.1]]);
const signs = tensor([1, -1]), classes = tensor([2n, 0n]);
const pairs: [string, () => unknown, () => unknown][] = [
  ["LogSigmoid", () => new nn.LogSigmoid().forward(x), () => F.logsigmoid(x)],
  ["Softplus", () => new nn.Softplus(2, 5).forward(x), () => F.softplus(x, 2, 5)],
  ["GLU", () => new nn.GLU(0).forward(x), () => F.glu(x, 0)],
  ["ELU", () => new nn.ELU(0.5).forward(x), () => F.elu(x, 0.5)],
  ["CELU", () => new nn.CELU({ alpha: 2 }).forward(x), () => F.celu(x, 2)],
  ["Hardtanh", () => new nn.Hardtanh(-2, 0.5).forward(x), () => F.hardtanh(x, -2, 0.5)],
  ["Softshrink", () => new nn.Softshrink(0.8).forward(x), () => F.softshrink(x, 0.8)],
  ["Threshold", () => new nn.Threshold(0.1, 7).forward(x), () => F.threshold(x, 0.1, 7)],
  ["Softmin", () => new nn.Softmin(1).forward(x), () => F.softmax(x.neg(), 1)],
  ["LogSoftmax", () => new nn.LogSoftmax().forward(x), () => F.logSoftmax(x, 1)],
  ["RReLU", () => new nn.RReLU(0.1, 0.3).eval().forward(x), () => F.leakyRelu(x, 0.2)],
  [
    "PReLU",
    () => new nn.PReLU({ numParameters: 3, init: 0.5 }).forward(x).detach(),
    () => F.leakyRelu(x, 0.5),
  ],
  [
    "SmoothL1Loss",
    () => new nn.SmoothL1Loss({ beta: 2 }).forward(x, y),
    () => F.smoothL1Loss(x, y, { beta: 2 }),
  ],
  [
    "HuberLoss",
    () => new nn.HuberLoss({ delta: 2 }).forward(x, y),
    () => F.huberLoss(x, y, { delta: 2 }),
  ],
  [
    "KLDivLoss",
    () => new nn.KLDivLoss({ reduction: "batchmean", logTarget: true }).forward(x, y),
    () => F.klDiv(x, y, { reduction: "batchmean", logTarget: true }),
  ],
  [
    "PoissonNLLLoss",
    () => new nn.PoissonNLLLoss({ full: true }).forward(y, y.abs()),
    () => F.poissonNllLoss(y, y.abs(), { full: true }),
  ],
  [
    "GaussianNLLLoss",
    () => new nn.GaussianNLLLoss({ full: true }).forward(x, y, y.abs()),
    () => F.gaussianNllLoss(x, y, y.abs(), { full: true }),
  ],
  [
    "MultiMarginLoss",
    () => new nn.MultiMarginLoss(2, 0.5).forward(x, classes),
    () => F.multiMarginLoss(x, classes, 2, 0.5),
  ],
  [
    "MarginRankingLoss",
    () => new nn.MarginRankingLoss(0.5).forward(signs, signs.neg(), signs),
    () => F.marginRankingLoss(signs, signs.neg(), signs, 0.5),
  ],
  [
    "CosineEmbeddingLoss",
    () => new nn.CosineEmbeddingLoss(0.2).forward(x, y, signs),
    () => F.cosineEmbeddingLoss(x, y, signs, 0.2),
  ],
  [
    "TripletMarginLoss",
    () => new nn.TripletMarginLoss(2, { swap: true }).forward(x, y, x.neg()),
    () => F.tripletMarginLoss(x, y, x.neg(), 2, { swap: true }),
  ],
  [
    "CosineSimilarity",
    () => new nn.CosineSimilarity(0).forward(x, y),
    () => F.cosineSimilarity(x, y, 0),
  ],
  [
    "PairwiseDistance",
    () => new nn.PairwiseDistance(1, { keepdim: true }).forward(x, y),
    () => F.pairwiseDistance(x, y, 1, { keepdim: true }),
  ],
];

for (const [name, module, f] of pairs) {
  Deno.test(`${name} computes what its function does`, () => {
    assertEquals(String(module()), String(f()));
  });
}

Deno.test("activations in place write over their input and keep the gradient", () => {
  const makes = [
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Mish,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.LeakyReLU,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
  ] as (new (options?: object) => nn.TensorModule)[];
  for (const Class of makes) {
    const run = (inplace: boolean) => {
      const leaf = x.detach().clone().requiresGrad_();
      const input = leaf.mul(1);
      const out = new Class({ inplace }).forward(input);
      assertEquals(out === input, inplace);
      out.mul(out).sum().backward();
      return [out.toArray(), leaf.grad!.toArray()];
    };
    assertEquals(run(true), run(false), Class.name);
  }
});

Deno.test("losses and activations refuse options without a meaning", () => {
  const cases: [() => unknown, string][] = [
    [() => new nn.Hardtanh(1, 1), "minVal must be below maxVal, got 1 and 1"],
    [() => new nn.MultiMarginLoss(3 as never), "p must be 1 or 2, got 3"],
    [() => new nn.TripletMarginLoss(0), "margin must be above 0, got 0"],
    [() => new nn.GaussianNLLLoss({ eps: 0 }), "eps must be above 0, got 0"],
    [() => new nn.KLDivLoss({ reduction: "all" as never }), 'must be "mean", "sum" or "none"'],
    [() => new nn.Dropout2d(1.5), "Cannot make Dropout2d: p must be from 0 to 1, got 1.5"],
    [() => new nn.GELU({ approximate: "erf" as never }), 'approximate must be "none" or "tanh"'],
  ];
  for (const [run, text] of cases) assertThrows(run, ArgumentError, text);
  assertThrows(() => new nn.Softmax2d().forward(ones([2, 3])), ShapeError, "(B, C, H, W)");
});

Deno.test("lists and dictionaries of parameters have PyTorch's keys", () => {
  class Net extends nn.Module {
    list = new nn.ParameterList([ones([2])]).push(zeros([3]));
    dict = new nn.ParameterDict({ left: ones([1]), right: new nn.Parameter(ones([4])) });
    override forward(): void {}
  }
  const net = new Net();
  assertEquals(Object.keys(net.stateDict()), ["list.0", "list.1", "dict.left", "dict.right"]);
  assertEquals(net.list.length, 2);
  assert(net.list.at(-1) instanceof nn.Parameter);
  assertEquals([...net.dict].map(([k, p]) => [k, p.numel]), [["left", 1], ["right", 4]]);
  assert(net.dict.delete("left"));
  assertEquals(net.parameters().length, 3);
  assertThrows(
    () => net.dict.get("up"),
    ArgumentError,
    'Cannot get "up" of ParameterDict: it has right',
  );
  assertThrows(() => net.dict.set("forward", ones([1])), ArgumentError, "taken");
});
