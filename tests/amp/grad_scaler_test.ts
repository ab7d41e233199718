import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  amp,
  AutogradError,
  DeviceError,
  DTypeError,
  F,
  nn,
  optim,
  type Tensor,
  tensor,
  zeros,
} from "../../mod.ts";
import { rowsOf } from "../../src/rows.ts";

function setup(values = [1, 2], options: amp.GradScalerOptions = {}) {
  const w = tensor(values, { requiresGrad: true });
  return {
    w,
    optimizer: new optim.SGD([w], { lr: 0.5 }),
    scaler: new amp.GradScaler("cpu", { initScale: 8, growthInterval: 2, ...options }),
  };
}

function backward(scaler: amp.GradScaler, w: Tensor, factor = 1): void {
  w.grad = null;
  scaler.scale(w.mul(w).sum().mul(factor)).backward();
}

Deno.test("steps are those of gradients without scale", () => {
  const { w, optimizer, scaler } = setup();
  backward(scaler, w);
  assertEquals(w.grad!.toArray(), [16, 32]);
  scaler.step(optimizer);
  assertEquals(w.grad!.toArray(), [2, 4]);
  assertEquals(w.toArray(), [0, 0]);
  scaler.update();
  assertEquals(scaler.getScale(), 8);
});

Deno.test("unscale_ comes before clipping and is not done again", () => {
  const { w, optimizer, scaler } = setup([3, 4]);
  backward(scaler, w);
  scaler.unscale_(optimizer);
  assertEquals(nn.utils.clipGradNorm_([w], 1).item(), 10);
  scaler.step(optimizer);
  scaler.update();
  assert((w.toArray() as number[]).every((x, i) => Math.abs(x - [2.7, 3.6][i]) < 1e-6));
});

Deno.test("the scale grows after good steps, and shrinks where one is left out", () => {
  const { w, optimizer, scaler } = setup([1, 1], { growthFactor: 4, backoffFactor: 0.25 });
  const scales: number[] = [];
  for (const factor of [1, 1, 1, Infinity, 1, 1, NaN]) {
    const before = w.toArray();
    backward(scaler, w, factor);
    scaler.step(optimizer);
    scaler.update();
    if (!Number.isFinite(factor)) assertEquals(w.toArray(), before);
    scales.push(scaler.getScale());
    scaler.update(scales.at(-1)!);
  }
  assertEquals(scales, [8, 32, 32, 8, 8, 32, 8]);
  scaler.update(tensor(3));
  assertEquals(scaler.getScale(), 3);
});

Deno.test("all gradients are looked through, those of rows too", () => {
  const table = zeros([50, 2], { requiresGrad: true }), w = tensor([1, 2], { requiresGrad: true });
  const rare = [new optim.AdamW([table]), new optim.SGD([w], { lr: 1 })];
  const scaler = new amp.GradScaler({ initScale: 4 });
  const run = (factor: number) => {
    for (const o of rare) o.zeroGrad();
    const rows = F.embedding(tensor([3n, 5n]), table).sum().mul(factor);
    scaler.scale([rows.add(w.sum())])[0].backward();
    assert(rowsOf(table.grad!) !== null);
    for (const o of rare) scaler.step(o);
    assert(rowsOf(table.grad!) !== null);
    scaler.update();
    return [w.toArray(), (table.toArray() as number[][])[3][0] !== 0, scaler.getScale()];
  };
  // Each optimiser is judged by its own gradients; the scale by all.
  assertEquals(run(Infinity), [[0, 1], false, 2]);
  assertEquals(run(1), [[-1, 0], true, 2]);
});

Deno.test("calls out of order are refused", () => {
  const { w, optimizer, scaler } = setup();
  const refuse = (run: () => unknown, text: string) =>
    assertThrows(run, AutogradError as never, text);
  refuse(() => scaler.update(), "Cannot update: no optimizer");
  refuse(() => scaler.step(optimizer), "no parameter of the optimizer has a gradient");
  backward(scaler, w);
  scaler.unscale_(optimizer);
  refuse(() => scaler.unscale_(optimizer), "Cannot unscale_ a second time");
  scaler.step(optimizer);
  refuse(() => scaler.step(optimizer), "Cannot step a second time");
  refuse(() => scaler.unscale_(optimizer), "Cannot unscale_ after step");
  scaler.update();
  const half = tensor([1, 2], { dtype: "float16", requiresGrad: true });
  const other = new optim.SGD([half], { lr: 1 });
  half.mul(half).sum().backward();
  assertThrows(() => scaler.unscale_(other), DTypeError, "Cannot unscale_ the float16 gradient");
  const cases: [() => unknown, string][] = [
    [
      () => new amp.GradScaler({ growthFactor: 1 }),
      "growthFactor of GradScaler to 1: it must be above 1",
    ],
    [() => new amp.GradScaler({ backoffFactor: 1 }), "it must be below 1"],
    [() => scaler.scale(1 as never), "Cannot scale 1"],
    [() => scaler.step({} as never), "it must be an optimizer"],
  ];
  for (const [run, text] of cases) assertThrows(run, TypeError, text);
  assertThrows(() => new amp.GradScaler("tpu"), DeviceError, 'Cannot make GradScaler on "tpu"');
});

Deno.test("the state goes on in another scaler, and nothing happens where it is not enabled", () => {
  const { w, optimizer, scaler } = setup();
  backward(scaler, w);
  scaler.step(optimizer);
  scaler.update();
  const state = scaler.stateDict();
  assertEquals(state, {
    scale: 8,
    growth_factor: 2,
    backoff_factor: 0.5,
    growth_interval: 2,
    _growth_tracker: 1,
  });
  const other = new amp.GradScaler();
  other.loadStateDict(state);
  assertEquals(other.stateDict(), state);
  const off = new amp.GradScaler({ enabled: false });
  assertEquals([off.getScale(), off.stateDict(), off.isEnabled()], [1, {}, false]);
  w.grad = tensor([2, 2]);
  off.unscale_(optimizer);
  off.step(optimizer);
  off.update();
  assertEquals(w.toArray(), [-1, -1]);
});
