import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  ArgumentError,
  AutogradError,
  F,
  nn,
  optim,
  type Tensor,
  tensor,
  zeros,
} from "../../mod.ts";
import { draws } from "./table.ts";

function leaf(values: number[] = [1, 2]): Tensor {
  return tensor(values, { requiresGrad: true });
}

Deno.test("wrong options name the value and the rule", () => {
  const cases: [() => unknown, string][] = [
    [
      () => new optim.AdamW([leaf()], { lr: -1 }),
      "Cannot make AdamW: lr must be at least 0, got -1",
    ],
    [
      () => new optim.Adam([leaf()], { lr: NaN }),
      "Cannot make Adam: lr must be at least 0, got NaN",
    ],
    [
      () => new optim.AdamW([leaf()], { betas: [0.9, 1] }),
      "Cannot make AdamW: betas[1] must be from 0 on and below 1, got 1",
    ],
    [
      () => new optim.AdamW([leaf()], { eps: -1e-8 }),
      "Cannot make AdamW: eps must be at least 0, got -1e-8",
    ],
    [
      () => new optim.SGD([leaf()], { momentum: -0.1 }),
      "Cannot make SGD: momentum must be at least 0, got -0.1",
    ],
    [
      () => new optim.SGD([leaf()], { nesterov: true }),
      "Cannot make SGD: nesterov needs momentum above 0 and dampening 0, got 0 and 0",
    ],
    [() => new optim.SGD([]), "Cannot make SGD of an empty list of parameters"],
    [
      () => new optim.SGD(leaf() as never),
      "Cannot make SGD of a float32 tensor [2]: params must be a list of tensors or of groups",
    ],
    [
      () => new optim.SGD([leaf().mul(2)]),
      "Cannot make SGD: parameter 0 of group 0, a float32 tensor [2], is no leaf: an op made it",
    ],
    [
      () => new optim.SGD([tensor([1n])]),
      "Cannot make SGD: parameter 0 of group 0 is an int64 tensor [1]: only float tensors can be trained",
    ],
    [
      () => new optim.AdamW([leaf()], { learningRate: 1 } as never),
      'Cannot make AdamW: unknown option "learningRate"; known are lr, betas, eps, weightDecay, amsgrad, maximize, strict, foreach, capturable, differentiable, fused',
    ],
    [
      () => new optim.SGD([{ params: [leaf()], rate: 1 }]),
      'Cannot make SGD: unknown option "rate" in group 0; known are lr, momentum, dampening, weightDecay, nesterov, maximize, strict',
    ],
  ];
  for (const [run, text] of cases) assertThrows(run, ArgumentError, text);
  const twice = leaf();
  assertThrows(() => new optim.SGD([twice, twice]), ArgumentError, "appears twice");
  assertThrows(
    () => new optim.SGD([{ params: [twice] }, { params: [twice] }]),
    ArgumentError,
    "in an earlier group",
  );
});

Deno.test("groups have options of their own, and assignments count at once", () => {
  const [a, b] = [leaf(), leaf()];
  const optimizer = new optim.SGD([{ params: [a], lr: 0.5 }, { params: b }], { lr: 0.1 });
  const step = () => {
    a.add(b).sum().backward();
    optimizer.step();
    optimizer.zeroGrad();
  };
  step();
  assertEquals(a.toArray(), [0.5, 1.5]);
  assertAlmostEquals((b.toArray() as number[])[0], 0.9, 1e-6);
  optimizer.paramGroups[0].lr = 0;
  step();
  assertEquals(a.toArray(), [0.5, 1.5]);
  assertAlmostEquals((b.toArray() as number[])[0], 0.8, 1e-6);
});

Deno.test("a step changes the version, so that backward through an older value is refused", () => {
  const a = leaf();
  const optimizer = new optim.SGD([a], { lr: 0.5 });
  const loss = a.mul(a).sum();
  loss.backward({ retainGraph: true });
  optimizer.step();
  assertThrows(() => loss.backward(), AutogradError, "changed in place");
});

Deno.test("step calls its closure with gradients on and returns what it gives", () => {
  const a = leaf([3]);
  const optimizer = new optim.SGD([a], { lr: 0.5 });
  const loss = optimizer.step(() => {
    const loss = a.mul(a).sum();
    loss.backward();
    return loss;
  });
  assertEquals(loss.item(), 9);
  assertEquals(a.toArray(), [0]);
});

Deno.test("zeroGrad forgets gradients, or sets them to zeros", () => {
  const a = leaf(), b = zeros([40, 2], { requiresGrad: true });
  const optimizer = new optim.SGD([a, b], { lr: 0.1 });
  a.sum().add(F.embedding(tensor([1n, 2n]), b).sum()).backward();
  optimizer.zeroGrad({ setToNone: false });
  assertEquals(a.grad!.toArray(), [0, 0]);
  assertEquals(b.grad!.abs().sum().item(), 0);
  optimizer.zeroGrad();
  assertEquals([a.grad, b.grad], [null, null]);
});

Deno.test("strided parameters and many parameters are updated", () => {
  const base = tensor([[1, 2, 3], [4, 5, 6]]).transpose(0, 1).detach();
  base.requiresGrad = true;
  const many = Array.from({ length: 3000 }, () => leaf([1]));
  const optimizer = new optim.AdamW([base, ...many], { lr: 0.1, weightDecay: 0 });
  for (const p of [base, ...many]) p.grad = zeros(p.shape).add(1);
  optimizer.step();
  assertAlmostEquals((base.toArray() as number[][])[2][1], 5.9, 1e-6);
  assert(many.every((p) => Math.abs(p.item() - 0.9) < 1e-6));
});

Deno.test("moments have the parameter's dtype", () => {
  const p = tensor([1, 2], { dtype: "bfloat16", requiresGrad: true });
  const optimizer = new optim.AdamW([p], { lr: 0.1 });
  p.mul(p).sum().backward();
  optimizer.step();
  const { exp_avg, step } = optimizer.stateDict().state[0];
  assertEquals([exp_avg.dtype, step.dtype, step.item()], ["bfloat16", "float32", 1]);
});

Deno.test("a state goes on in another optimiser to the same bits", () => {
  const run = (cut: boolean) => {
    let p = leaf([1, -2, 3]);
    let optimizer: optim.Optimizer = new optim.Adam([p], {
      lr: 0.1,
      weightDecay: 0.1,
      amsgrad: true,
    });
    const draw = draws(1);
    for (let i = 0; i < 20; i++) {
      p.mul(tensor([draw(), draw(), draw()])).square().sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
      if (cut && i === 10) {
        const state = optimizer.stateDict();
        p = leaf(p.toArray() as number[]);
        optimizer = new optim.Adam([p], { lr: 9, amsgrad: true });
        optimizer.loadStateDict(state);
      }
    }
    return p.toArray();
  };
  assertEquals(run(true), run(false));
});

Deno.test("a state that does not fit is refused before anything changes", () => {
  const optimizer = new optim.AdamW([leaf()], { lr: 0.1 });
  const other = new optim.AdamW([{ params: [leaf()] }, { params: [leaf()] }]);
  assertThrows(
    () => optimizer.loadStateDict(other.stateDict()),
    ArgumentError,
    "Cannot loadStateDict of AdamW: it has 2 groups, the optimiser 1",
  );
  const state = optimizer.stateDict();
  state.state[0] = { step: tensor(1), exp_avg: zeros([3]), exp_avg_sq: zeros([3]) };
  assertThrows(
    () => optimizer.loadStateDict(state),
    ArgumentError,
    "exp_avg is a float32 tensor [3], the parameter has shape [2]",
  );
});

Deno.test("clipGradNorm_ scales all gradients together and returns the norm before", () => {
  const a = leaf(), b = zeros([40, 2], { requiresGrad: true });
  const set = () => {
    a.grad = tensor([3, 0]);
    b.grad = null;
    F.embedding(tensor([1n, 1n]), b).mul(tensor([2, 0])).sum().backward();
  };
  set();
  assertEquals(nn.utils.clipGradNorm_([a, b], 10).item(), 5);
  assertEquals(a.grad!.toArray(), [3, 0]);
  assertAlmostEquals(nn.utils.clipGradNorm_([a, b], 1).item(), 5);
  assertAlmostEquals((a.grad!.toArray() as number[])[0], 0.6, 1e-6);
  assertAlmostEquals((b.grad!.toArray() as number[][])[1][0], 0.8, 1e-6);
  set();
  assertEquals(nn.utils.clipGradNorm_([a, b], 100, { normType: Infinity }).item(), 4);
  assertEquals(nn.utils.clipGradNorm_([a, b], 100, 1).item(), 7);
  nn.utils.clipGradValue_([a, b], 0.5);
  assertEquals(a.grad!.toArray(), [0.5, 0]);
  assertEquals((b.grad!.toArray() as number[][])[1], [0.5, 0]);
  a.grad = tensor([NaN, 1]);
  assertThrows(
    () => nn.utils.clipGradNorm_([a], 1, { errorIfNonfinite: true }),
    AutogradError,
    "the norm of order 2 of all gradients is NaN",
  );
});

Deno.test("parametersToVector and vectorToParameters undo each other", () => {
  const a = leaf(), b = tensor([[3, 4], [5, 6]], { requiresGrad: true });
  const vector = nn.utils.parametersToVector([a, b]);
  assertEquals(vector.toArray(), [1, 2, 3, 4, 5, 6]);
  nn.utils.vectorToParameters(vector.mul(2), [a, b]);
  assertEquals(b.toArray(), [[6, 8], [10, 12]]);
});
