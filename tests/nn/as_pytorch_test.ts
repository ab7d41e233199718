/** Parts of nn and optim that no case table reaches, compared with PyTorch's results in golden/surface.json. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { close } from "../../scripts/oracle/compare.ts";
import {
  linalg,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  type Tensor,
  tensor,
} from "../../mod.ts";

interface Stored {
  shape: number[];
  values: number[];
}
// deno-lint-ignore no-explicit-any
type Golden = any;

const golden: Golden = JSON.parse(
  Deno.readTextFileSync(new URL("../golden/surface.json", import.meta.url)),
);
const { prune, parametrizations } = nn.utils;
const { AveragedModel, getEmaAvgFn, getEmaMultiAvgFn, SWALR, updateBn } = optim.swaUtils;

const of = ({ values, shape }: Stored): Tensor => tensor(values).reshape(shape);
const state = (entries: Record<string, Stored>) =>
  Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, of(value)]));

function same(got: Tensor, want: Stored, what: string): void {
  assertEquals([...got.shape], want.shape, what);
  const values = Array.from(got.toTypedArray(), Number);
  values.forEach((v, i) =>
    assert(close(v, want.values[i], 1e-4, 2e-5), `${what} at ${i}: ${v}, not ${want.values[i]}`)
  );
}

function sameState(got: Record<string, Tensor>, want: Record<string, Stored>): void {
  assertEquals(Object.keys(got).sort(), Object.keys(want).sort());
  for (const key of Object.keys(want)) same(got[key], want[key], key);
}

Deno.test("AdaptiveLogSoftmaxWithLoss", () => {
  const g = golden.adaptive;
  const m = new nn.AdaptiveLogSoftmaxWithLoss(8, 30, [5, 12], { divValue: 2, headBias: true });
  m.loadStateDict(state(g.state));
  const x = of(g.x).requiresGrad_(), target = of(g.target).to("int64");
  const { output, loss } = m.forward(x, target);
  same(output, g.output, "output");
  same(loss, g.loss, "loss");
  loss.backward();
  same(x.grad!, g.gx, "the gradient of x");
  for (const [key, p] of m.namedParameters()) same(p.grad!, g.grads[key], key);
  same(m.logProb(x), g.logProb, "logProb");
  same(m.predict(x.mul(3)), g.predict, "predict");
  const one = m.forward(x.at(2), target.at(2));
  assertEquals([[...one.output.shape], [...one.loss.shape]], [[], []]);
  assertThrows(() => m.forward(x, target.add(1)), RangeError, "classes are 0 to 29");
  assertThrows(() => m.forward(x, target.at(0)), RangeError, "a class for each row");
  assertThrows(() => new nn.AdaptiveLogSoftmaxWithLoss(8, 30, [12, 5]), TypeError, "cutoffs");
});

Deno.test("orthogonal by its three maps", () => {
  for (const g of golden.orthogonal) {
    const [m, n] = g.shape;
    const layer = new nn.Linear(n, m, { bias: false });
    parametrizations.orthogonal(layer, { orthogonalMap: g.map, useTrivialization: g.trivial });
    layer.loadStateDict(state(g.state));
    same(layer.weight, g.weight, `${g.map} of [${g.shape}]`);
    layer.weight.mul(of(g.x)).sum().backward();
    const original = layer.getParameter("parametrizations.weight.original");
    same(original.grad!, g.grad, `the gradient of ${g.map} of [${g.shape}]`);
  }
  manualSeed(0);
  const start = linalg.qr(randn([5, 3])).Q;
  const layer = new nn.Linear(3, 5, { bias: false });
  noGrad(() => layer.weight.copy_(start));
  parametrizations.orthogonal(layer);
  assert(layer.weight.allclose(start, { atol: 1e-5 }), "it starts where the weight was");
  assertThrows(
    () => parametrizations.orthogonal(new nn.Linear(3, 3), { orthogonalMap: "qr" as never }),
    TypeError,
    "Cannot orthogonal by map",
  );
});

Deno.test("convolutions and linear layers take the batch norm behind them in", () => {
  const [plain, transposed] = golden.fused;
  const conv = new nn.Conv2d(4, 6, 3, { stride: 2, padding: 1, groups: 2, paddingMode: "reflect" });
  const back = new nn.ConvTranspose2d(4, 6, 3, { stride: 2, outputPadding: 1, bias: false });
  for (const [g, layer, transpose] of [[plain, conv, false], [transposed, back, true]] as const) {
    const bn = new nn.BatchNorm2d(6);
    layer.loadStateDict(state(g.conv));
    bn.loadStateDict(state(g.bn));
    assertThrows(
      () => nn.utils.fuseConvBnEval(layer as nn.Conv2d, bn, { transpose }),
      TypeError,
      "evaluation mode",
    );
    const one = nn.utils.fuseConvBnEval(layer.eval() as nn.Conv2d, bn.eval(), { transpose });
    same(one.weight, g.weight, "weight");
    same(one.bias!, g.bias, "bias");
    same(one.forward(of(g.x)), g.y, "y");
  }
  manualSeed(0);
  const linear = new nn.Linear(3, 4), bn = new nn.BatchNorm1d(4), x = randn([8, 3]);
  bn.forward(linear.forward(x));
  const one = nn.utils.fuseLinearBnEval(linear.eval(), bn.eval());
  assert(one.forward(x).allclose(bn.forward(linear.forward(x)), { atol: 1e-6 }));
});

Deno.test("AveragedModel and updateBn", async () => {
  const how = {
    mean: {},
    emaMulti: { multiAvgFn: getEmaMultiAvgFn(0.9) },
    ema: { avgFn: getEmaAvgFn(0.9), useBuffers: true },
  };
  for (const [name, options] of Object.entries(how)) {
    const g = golden.averaged[name];
    const model = new nn.Sequential(new nn.Linear(3, 4), new nn.BatchNorm1d(4));
    model.loadStateDict(state(g.begin));
    const average = new AveragedModel(model, options);
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.5 });
    const batches: Tensor[] = g.batches.map(of);
    for (const x of batches) {
      optimizer.zeroGrad();
      model.forward(x).pow(3).sum().mul(0.01).backward();
      optimizer.step();
      average.updateParameters(model);
    }
    sameState(average.stateDict(), g.state);
    const own = Object.fromEntries(
      Object.entries(model.stateDict()).map(([key, t]) => [key, t.clone()]),
    );
    await updateBn(batches.map((x) => [x, "label"]), average);
    sameState(average.stateDict(), g.after);
    average.eval();
    same(average.forward(batches[0]), g.y, `y of ${name}`);
    assert(!average.forward(batches[0]).requiresGrad);
    // The model itself has not changed.
    assert(model.training && average.module !== model);
    for (const [key, t] of Object.entries(model.stateDict())) assert(t.equal(own[key]), key);
  }
  assertThrows(
    () =>
      new AveragedModel(new nn.Linear(1, 1), {
        avgFn: getEmaAvgFn(),
        multiAvgFn: getEmaMultiAvgFn(),
      }),
    TypeError,
    "either avgFn or multiAvgFn",
  );
  assertThrows(() => getEmaAvgFn(2), TypeError, "Cannot getEmaAvgFn with decay 2");
});

Deno.test("SWALR", () => {
  for (const { strategy, epochs, lrs } of golden.rates) {
    const optimizer = new optim.SGD([ones([1]).requiresGrad_()], { lr: 0.8 });
    const step = new optim.lrScheduler.ExponentialLR(optimizer, 0.9);
    for (let i = 0; i < 2; i++) step.step();
    const swa = new SWALR(optimizer, 0.05, { annealEpochs: epochs, annealStrategy: strategy });
    const got = lrs.map(() => {
      swa.step();
      return optimizer.paramGroups[0].lr;
    });
    got.forEach((lr: number, i: number) => assert(close(lr, lrs[i], 1e-8, 0), `${strategy} ${i}`));
  }
});

Deno.test("pruning by masks", () => {
  const g = golden.masks;
  const layer = new nn.Linear(4, 5);
  noGrad(() => layer.weight.copy_(of(g.weight)));
  const steps = [
    () => prune.l1Unstructured(layer, "weight", 0.3),
    () => prune.l1Unstructured(layer, "weight", 3),
    () => prune.lnStructured(layer, "weight", 1, 2, 0),
    () => prune.lnStructured(layer, "weight", 0.5, 1, 1),
  ];
  steps.forEach((step, i) => {
    step();
    same(layer.stateDict().weight_mask, g.masks[i], `mask ${i}`);
  });
  assertEquals(Object.keys(layer.stateDict()).sort(), g.keys.toSorted());
  assert(prune.isPruned(new nn.Sequential(layer)));
  const x = ones([2, 4]);
  layer.forward(x).sum().backward();
  const grad = layer.getParameter("weight_orig").grad!;
  assert(
    grad.eq(layer.stateDict().weight_mask.mul(2)).all().item() === 1,
    "no gradient where pruned",
  );
  prune.remove(layer, "weight");
  assert(layer.weight instanceof nn.Parameter && !prune.isPruned(layer));
  same(layer.weight, g.end, "the weight for good");
  assertThrows(() => prune.remove(layer, "weight"), TypeError, "it has none");
  assertThrows(() => prune.l1Unstructured(layer, "weight", 21), TypeError, "a count up to 20");

  const two: nn.Linear[] = g.global.map((p: { weight: Stored }) => {
    const m = new nn.Linear(p.weight.shape[1], p.weight.shape[0]);
    noGrad(() => m.weight.copy_(of(p.weight)));
    return m;
  });
  const pairs = two.map((m) => [m, "weight"] as const);
  prune.globalUnstructured(pairs, prune.l1Unstructured, { amount: 0.4 });
  two.forEach((m, i) => same(m.stateDict().weight_mask, g.global[i].mask, `global mask ${i}`));

  manualSeed(0);
  const random = prune.randomUnstructured(new nn.Linear(10, 10), "weight", 0.25);
  assertEquals(random.stateDict().weight_mask.sum().item(), 75);
  const slices = prune.randomStructured(new nn.Linear(10, 10), "weight", 3, 1);
  assertEquals(slices.stateDict().weight_mask.sum(0).eq(0).sum().item(), 3);
  prune.identity(random, "bias");
  const mask = tensor([1, 0, 1]);
  const custom = prune.customFromMask(new nn.Linear(2, 3), "bias", mask);
  assertEquals(custom.stateDict().bias_mask.toArray(), [1, 0, 1]);
});
