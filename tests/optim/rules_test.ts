import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, F, optim, ShapeError, tensor, zeros } from "../../mod.ts";
import { rowsOf } from "../../src/rows.ts";
import { camelCase } from "../../src/optim/state_keys.ts";
import { train } from "./table.ts";

type Name = Parameters<typeof train>[0];

function read<T>(name: string): T {
  const path = new URL(`../golden/optim/${name}.json`, import.meta.url);
  return JSON.parse(Deno.readTextFileSync(path));
}

function renamed(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([k, v]) => [camelCase(k), v]));
}

function closeTo(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((x, i) => {
    const far = Math.abs(x - expected[i]) > tolerance * (1 + Math.abs(expected[i]));
    assert(!far, `[${i}] ${x}, not ${expected[i]}`);
  });
}

const tables = read<{ optimizer: Name; options: Record<string, unknown>; table: number[] }[]>(
  "tables",
);

for (const { optimizer, options: given, table } of tables) {
  if (["SGD", "Adam", "AdamW"].includes(optimizer)) continue;
  const options = renamed(given);

  Deno.test(`${optimizer} ${JSON.stringify(options)}: the steps equal PyTorch's`, () => {
    closeTo(train(optimizer, options), table, 1e-10);
    // The difference of two means is nothing but rounding in float32 where gradients hardly vary.
    if (options.centered) return;
    closeTo(train(optimizer, options, { dtype: "float32" }), table, 2e-3);
  });

  Deno.test(`${optimizer} ${JSON.stringify(options)}: goes on from a saved state to the bit`, () => {
    for (const dtype of ["float32", "float64"] as const) {
      const form = { dtype, rows: 60, columns: 7, steps: 60 } as const;
      assertEquals(
        train(optimizer, options, { ...form, saveAt: 31 }),
        train(optimizer, options, form),
      );
    }
  });
}

interface Valley {
  options: Record<string, unknown>;
  maximize: boolean;
  path: number[][];
}

for (const { options, maximize, path } of read<Valley[]>("lbfgs")) {
  Deno.test(`LBFGS ${JSON.stringify(options)}${maximize ? " upwards" : ""}: PyTorch's path`, () => {
    let x = tensor([-1.2, 1], { dtype: "float64", requiresGrad: true });
    let y = tensor([0.3], { dtype: "float64", requiresGrad: true });
    const make = () => new optim.LBFGS([x, y], { ...renamed(options), maximize });
    let optimizer = make();
    path.forEach((want, i) => {
      const loss = optimizer.step(() => {
        optimizer.zeroGrad();
        const [a, b] = [x.at(0), x.at(1)];
        const down = a.sub(1).square().add(b.sub(a.square()).square().mul(100))
          .add(y.at(0).sub(b).pow(4));
        const loss = maximize ? down.neg() : down;
        loss.backward();
        return loss;
      });
      closeTo([loss.item(), ...[x, y].flatMap((t) => t.toArray() as number[])], want, 1e-6);
      if (i !== 2) return;
      // A new optimiser goes on from the state.
      const state = optimizer.stateDict();
      [x, y] = [x, y].map((t) => t.detach().clone().requiresGrad_());
      optimizer = make();
      optimizer.loadStateDict(state);
    });
  });
}

Deno.test("LBFGS says what it needs", () => {
  const a = tensor([1], { requiresGrad: true }), b = tensor([1], { requiresGrad: true });
  assertThrows(() => new optim.LBFGS([a]).step(), ArgumentError, "without a closure");
  assertThrows(
    () => new optim.LBFGS([{ params: [a] }, { params: [b] }] as never),
    ArgumentError,
    "Cannot make LBFGS of 2 groups",
  );
  assertThrows(
    () => new optim.LBFGS([a], { lineSearchFn: "armijo" as never }),
    ArgumentError,
    'lineSearchFn must be "strong_wolfe" or null, got "armijo"',
  );
});

const KEYS: [Name, Record<string, unknown>, string[]][] = [
  ["RMSprop", {}, ["step", "square_avg"]],
  ["RMSprop", { momentum: 0.9, centered: true }, [
    "step",
    "square_avg",
    "momentum_buffer",
    "grad_avg",
  ]],
  ["Adagrad", {}, ["step", "sum"]],
  ["Adadelta", {}, ["step", "square_avg", "acc_delta"]],
  ["Adamax", {}, ["step", "exp_avg", "exp_inf"]],
  ["NAdam", {}, ["step", "mu_product", "exp_avg", "exp_avg_sq"]],
  ["RAdam", {}, ["step", "exp_avg", "exp_avg_sq"]],
  ["Rprop", {}, ["step", "prev", "step_size"]],
  ["ASGD", {}, ["step", "eta", "mu", "ax"]],
  ["SparseAdam", {}, ["step", "exp_avg", "exp_avg_sq"]],
  ["Adafactor", {}, ["step", "row_var", "col_var"]],
  ["Muon", {}, ["momentum_buffer"]],
];

for (const [name, options, keys] of KEYS) {
  Deno.test(`the state of ${name} ${JSON.stringify(options)} has PyTorch's keys`, () => {
    const p = zeros([3, 2], { requiresGrad: true });
    const optimizer = new (optim[name] as unknown as typeof optim.Adam)([p], options);
    const before = optimizer.stateDict().state;
    assertEquals(Object.keys(before[0] ?? {}), name === "Adagrad" ? keys : []);
    p.mul(p).add(p).sum().backward();
    optimizer.step();
    assertEquals(Object.keys(optimizer.stateDict().state[0]), keys);
  });
}

Deno.test("a step of Adagrad or SparseAdam touches only the rows of its gradient", () => {
  for (const name of ["Adagrad", "SparseAdam"] as const) {
    const table = zeros([100, 3], { requiresGrad: true });
    const optimizer = new (optim[name] as unknown as typeof optim.Adam)([table], { lr: 0.5 });
    F.embedding(tensor([7n, 9n, 7n]), table).sum().backward();
    assert(rowsOf(table.grad!) !== null);
    optimizer.step();
    assert(rowsOf(table.grad!) !== null, "the gradient became dense");
    const changed = (table.toArray() as number[][]).flatMap((row, i) => row[0] === 0 ? [] : [i]);
    assertEquals(changed, [7, 9]);
  }
});

Deno.test("SparseAdam passes over rows of a dense gradient that are zero throughout", () => {
  const table = zeros([4, 2], { requiresGrad: true });
  const optimizer = new optim.SparseAdam([table], { lr: 0.1 });
  table.grad = tensor([[1, 0], [0, 0], [0, 2], [0, 0]]);
  optimizer.step();
  const momenta = optimizer.stateDict().state[0].exp_avg;
  closeTo((momenta.toArray() as number[][]).flat(), [0.1, 0, 0, 0, 0, 0.2, 0, 0], 1e-6);
});

Deno.test("parameters in any layout and gradients of another dtype are updated alike", () => {
  for (const [name] of KEYS) {
    const run = (strided: boolean, dtype: "float32" | "float64") => {
      const values = tensor([[1, 2, 3], [4, 5, 6]], { dtype: "float64" });
      const p = (strided ? values.t().contiguous().t() : values).detach().requiresGrad_();
      const optimizer = new (optim[name] as unknown as typeof optim.Adam)([p], { lr: 0.1 });
      for (let i = 1; i <= 3; i++) {
        p.grad = tensor([[1, -2, i], [-i, 0, 0.5]], { dtype: "float64" }).to(dtype);
        optimizer.step();
      }
      return (p.toArray() as number[][]).flat();
    };
    if (name !== "SparseAdam") assertEquals(run(true, "float64"), run(false, "float64"), name);
    assertEquals(run(false, "float32"), run(false, "float64"), name);
  }
});

Deno.test("options that say how are taken, and those that nothing here can do refused", () => {
  const p = tensor([1], { requiresGrad: true });
  const optimizer = new optim.RMSprop([p], { foreach: true, capturable: true });
  assertEquals("foreach" in optimizer.paramGroups[0], false);
  new optim.SGD([{ params: [p], fused: true }], { lr: tensor(0.5) as never });
  const cases: [() => unknown, string][] = [
    [
      () => new optim.NAdam([p], { differentiable: true }),
      "Cannot make NAdam: differentiable must be false, got true",
    ],
    [() => new optim.Rprop([p], { etas: [1, 0.5] }), "etas must be below and above 1"],
    [() => new optim.Adadelta([p], { rho: 1.1 }), "Cannot make Adadelta: rho must be"],
    [() => new optim.ASGD([p], { lambd: -0.5 }), "lambd must be at least 0, got -0.5"],
    [() => new optim.Adagrad([p], { lrDecay: -0.5 }), "lrDecay must be at least 0"],
    [() => new optim.NAdam([p], { momentumDecay: -0.2 }), "momentumDecay must be at least 0"],
    [() => new optim.Adafactor([p], { d: 0 }), "d must be at least 1, got 0"],
    [() => new optim.Adafactor([p], { beta2Decay: 0.8 }), "beta2Decay must be at most 0"],
    [
      () => new optim.SGD([p], { lr: tensor([1, 2]) as never }),
      "a tensor as lr must have one element",
    ],
  ];
  for (const [run, text] of cases) assertThrows(run, ArgumentError, text);
  assertThrows(() => new optim.Muon([p]), ShapeError, "it takes matrices only");
});
