/** Mixed precision on a device: PyTorch's types under autocast, and scaled losses. */
import { assert, assertEquals } from "@std/assert";
import {
  amp,
  arange,
  autocast,
  cat,
  type DType,
  F,
  getAutocastDtype,
  isAutocastEnabled,
  manualSeed,
  nn,
  ones,
  optim,
  randn,
  type Tensor,
  tensor,
} from "@toro/toro";

const device = "cuda";
const a = randn([4, 4], { device }), v = randn([4], { device }), classes = arange(4, { device });
const h = a.half(), one = ones([4], { device });

/** What `torch.autocast("cuda", torch.float16)` gives; h is float16, the others are float32. */
const dtypes: [string, () => Tensor, DType][] = [
  ["matmul", () => a.matmul(a), "float16"],
  ["mv", () => a.mv(v), "float16"],
  ["linear", () => F.linear(a, a, v), "float16"],
  ["relu", () => h.relu(), "float16"],
  ["mean", () => h.mean(), "float16"],
  ["exp", () => h.exp(), "float32"],
  ["pow", () => h.pow(2), "float32"],
  ["sum", () => h.sum(), "float32"],
  ["prod", () => h.prod(), "float32"],
  ["softmax", () => h.softmax(1), "float32"],
  ["logSoftmax", () => h.logSoftmax(1), "float32"],
  ["layerNorm", () => F.layerNorm(h, [4], one, one), "float32"],
  ["crossEntropy", () => F.crossEntropy(h, classes), "float32"],
  ["mseLoss", () => F.mseLoss(h, h), "float32"],
  ["dot", () => v.dot(v.half()), "float32"],
  ["add", () => a.add(h), "float32"],
  ["cat", () => cat([a, h]), "float32"],
  ["matmul of float64", () => a.double().matmul(a.double()), "float64"],
];

for (const [name, f, dtype] of dtypes) {
  Deno.test(`autocast on CUDA: ${name} gives ${dtype}`, () => {
    assertEquals(autocast({ device }, f).dtype, dtype);
  });
}

Deno.test("a region is of one kind of devices, and both may hold at once", () => {
  const b = a.to("cpu");
  autocast({ device }, () => {
    assertEquals([isAutocastEnabled(), isAutocastEnabled(device)], [false, true]);
    assertEquals(b.matmul(b).dtype, "float32");
    autocast({ device: "cpu" }, () => {
      assertEquals([b.matmul(b).dtype, a.matmul(a).dtype], ["bfloat16", "float16"]);
      autocast({ device: "cuda:0", enabled: false }, () => {
        assertEquals([b.matmul(b).dtype, a.matmul(a).dtype], ["bfloat16", "float32"]);
      });
    });
  });
  assertEquals([getAutocastDtype(), getAutocastDtype(device)], ["bfloat16", "float16"]);
});

Deno.test("scaled losses: infinite gradients leave a step out, others give the CPU's weights", () => {
  const run = (device: string) => {
    manualSeed(2);
    const model = new nn.Sequential(new nn.Linear(6, 8), new nn.ReLU(), new nn.Linear(8, 1));
    const x = randn([5, 6]);
    model.to(device);
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
    const scaler = new amp.GradScaler(device, { initScale: 1024, growthInterval: 2 });
    const scales: number[] = [];
    for (const factor of [1, 1, Infinity, 1, NaN, 1]) {
      optimizer.zeroGrad();
      const loss = autocast(
        { device, dtype: "float16" },
        () => model.forward(x.to(device)).square().mean(),
      );
      scaler.scale(loss.mul(factor)).backward();
      scaler.step(optimizer);
      scaler.update();
      scales.push(scaler.getScale());
    }
    return { scales, weights: model.parameters().map((p) => p.toArray()).flat(2) as number[] };
  };
  const want = run("cpu"), got = run("cuda");
  assertEquals(got.scales, [1024, 2048, 1024, 1024, 512, 512]);
  assertEquals(got.scales, want.scales);
  got.weights.forEach((x, i) => assert(Math.abs(x - want.weights[i]) < 2e-3));
});

Deno.test("one optimiser with parameters on two devices is unscaled on both", () => {
  const params = ["cpu", "cuda"].map((device) => tensor([2, 4], { device, requiresGrad: true }));
  const optimizer = new optim.SGD(params, { lr: 1 });
  const scaler = new amp.GradScaler("cuda", { initScale: 8 });
  for (const p of params) scaler.scale(p.sum()).backward();
  scaler.unscale_(optimizer);
  assertEquals(params.map((p) => p.grad!.toArray()), [[1, 1], [1, 1]]);
  params[0].grad!.fill_(NaN);
  scaler.update(16);
  for (const p of params) p.grad = null;
  for (const p of params) scaler.scale(p.sum()).backward();
  params[1].grad!.fill_(Infinity);
  scaler.step(optimizer);
  assertEquals(params.map((p) => p.toArray()), [[2, 4], [2, 4]]);
});
