import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, optim, zeros } from "../../mod.ts";

const { lrScheduler: L } = optim;
const golden: Record<string, [number, number][]> = JSON.parse(
  Deno.readTextFileSync(new URL("../golden/optim/schedulers.json", import.meta.url)),
);

type Scheduler = optim.lrScheduler.LRScheduler | optim.lrScheduler.ReduceLROnPlateau;

const make: Record<string, (o: optim.Optimizer) => Scheduler> = {
  StepLR: (o) => new L.StepLR(o, 4, 0.5),
  MultiStepLR: (o) => new L.MultiStepLR(o, [3, 7, 7, 15], { gamma: 0.3 }),
  ExponentialLR: (o) => new L.ExponentialLR(o, 0.9),
  ConstantLR: (o) => new L.ConstantLR(o, { factor: 0.25, totalIters: 6 }),
  LinearLR: (o) => new L.LinearLR(o, 0.1, 0.8, { totalIters: 12 }),
  PolynomialLR: (o) => new L.PolynomialLR(o, 15, 2),
  CosineAnnealingLR: (o) => new L.CosineAnnealingLR(o, 8, { etaMin: 0.01 }),
  CosineAnnealingWarmRestarts: (o) => new L.CosineAnnealingWarmRestarts(o, 3, 2, { etaMin: 0.02 }),
  OneCycleLR: (o) => new L.OneCycleLR(o, 2, { totalSteps: 20 }),
  CyclicLR: (o) => new L.CyclicLR(o, 0.1, 1, { stepSizeUp: 4, mode: "triangular2" }),
  LambdaLR: (o) => new L.LambdaLR(o, (e) => 0.95 ** e),
  MultiplicativeLR: (o) => new L.MultiplicativeLR(o, (e) => e % 3 ? 0.97 : 1),
  SequentialLR: (o) =>
    new L.SequentialLR(
      o,
      [
        new L.LinearLR(o, { startFactor: 0.1, endFactor: 1, totalIters: 4 }),
        new L.CosineAnnealingLR(o, 10),
        new L.ExponentialLR(o, 0.9),
      ],
      [4, 14],
    ),
  ChainedScheduler: (o) =>
    new L.ChainedScheduler([new L.ConstantLR(o, 0.1, 4), new L.ExponentialLR(o, 0.9)], o),
  ReduceLROnPlateau: (o) => new L.ReduceLROnPlateau(o, { factor: 0.5, patience: 2, cooldown: 1 }),
};

function optimizer(lr = 0.5): optim.SGD {
  return new optim.SGD([zeros([1], { requiresGrad: true })], { lr, momentum: 0.9 });
}

function advance(scheduler: Scheduler, step: number): void {
  if (scheduler instanceof L.ReduceLROnPlateau) scheduler.step(1 / (1 + Math.min(step, 6)));
  else scheduler.step();
}

Deno.test("every scheduler has a golden sequence", () => {
  assertEquals(Object.keys(make).sort(), Object.keys(golden).sort());
});

for (const [name, rates] of Object.entries(golden)) {
  Deno.test(`${name}: PyTorch's sequence, also when saved and loaded in the middle`, () => {
    const o = optimizer();
    const scheduler = make[name](o);
    const seen: [number, number][] = [];
    let saved = { state: {}, groups: o.stateDict() };
    rates.forEach((_, step) => {
      if (step === 9) {
        saved = JSON.parse(JSON.stringify({ state: scheduler.stateDict(), groups: o.stateDict() }));
      }
      const { lr, momentum } = o.paramGroups[0];
      seen.push([lr, momentum]);
      if (step < rates.length - 1) advance(scheduler, step);
    });
    assertEquals(seen, rates);
    const other = optimizer();
    const resumed = make[name](other);
    other.loadStateDict(saved.groups);
    resumed.loadStateDict(saved.state);
    for (let step = 9; step < rates.length; step++) {
      assertEquals([other.paramGroups[0].lr, other.paramGroups[0].momentum], rates[step]);
      if (step < rates.length - 1) advance(resumed, step);
    }
  });
}

Deno.test("getLastLr gives what the groups have", () => {
  const o = optimizer(1);
  const scheduler = new L.StepLR(o, 1, { gamma: 0.5 });
  scheduler.step();
  assertEquals(scheduler.getLastLr(), [0.5]);
  assertEquals(o.paramGroups[0].initialLr, 1);
});

Deno.test("state keys are PyTorch's", () => {
  const state = new L.CosineAnnealingLR(optimizer(), 8).stateDict();
  assertEquals(Object.keys(state).sort(), [
    "T_max",
    "_last_lr",
    "_step_count",
    "base_lrs",
    "eta_min",
    "last_epoch",
  ]);
});

Deno.test("wrong arguments are named", () => {
  const o = optimizer();
  const cases: [() => unknown, string][] = [
    [
      () => new L.StepLR(o, 0),
      "Cannot make StepLR: stepSize must be a whole number from 1 on, got 0",
    ],
    [() => new L.StepLR([] as never, 1), "Cannot make StepLR: [] is no optimiser"],
    [
      () => new L.LinearLR(o, 0),
      "Cannot make LinearLR: startFactor must be above 0 and at most 1, got 0",
    ],
    [
      () => new L.CosineAnnealingLR(o, 8, { etamin: 1 } as never),
      'Cannot make CosineAnnealingLR: unknown option "etamin"; known are etaMin, lastEpoch',
    ],
    [
      () => new L.SequentialLR(o, [new L.ExponentialLR(o, 0.9)], [3]),
      "Cannot make SequentialLR: 1 schedulers need 0 milestones, got [3]",
    ],
    [
      () => new L.ExponentialLR(optimizer(), 0.9, { lastEpoch: 3 }),
      "Cannot make ExponentialLR: group 0 has no initialLr to go on from at lastEpoch 3; load the optimiser's state first",
    ],
    [
      () => new L.OneCycleLR(o, 1),
      "Cannot make OneCycleLR: give totalSteps, or both epochs and stepsPerEpoch",
    ],
    [
      () => new L.LambdaLR(o, [() => 1, () => 1]),
      "Cannot make LambdaLR: 2 functions for 1 groups",
    ],
    [
      () => new L.LinearLR(o, { endFactor: 1n as never }),
      "Cannot make LinearLR: endFactor must be from 0 to 1, got 1n",
    ],
    [
      () => new L.ConstantLR(o, Symbol("half") as never),
      "Cannot make ConstantLR: factor must be from 0 to 1, got Symbol(half)",
    ],
    [
      () => new L.CyclicLR(o, 0.1, 1, { scaleFn: 2 as never }),
      "Cannot make CyclicLR: scaleFn must be a function, got 2",
    ],
  ];
  for (const [run, text] of cases) assertThrows(run, ArgumentError, text);
});
