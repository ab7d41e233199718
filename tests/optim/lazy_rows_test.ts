import { assert, assertEquals, assertThrows } from "@std/assert";
import { F, nn, optim, tensor, zeros } from "../../mod.ts";
import { PENDING } from "../../src/memory.ts";
import { rowsOf } from "../../src/rows.ts";
import { camelCase } from "../../src/optim/state_keys.ts";
import { train } from "./table.ts";

interface Golden {
  optimizer: "AdamW" | "Adam" | "SGD";
  options: Record<string, unknown>;
  table: number[];
}

const goldens = (JSON.parse(
  Deno.readTextFileSync(new URL("../golden/optim/tables.json", import.meta.url)),
) as Golden[]).filter(({ optimizer }) => ["AdamW", "Adam", "SGD"].includes(optimizer));

function closeTo(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((x, i) => {
    assert(
      Math.abs(x - expected[i]) <= tolerance * (1 + Math.abs(expected[i])),
      `[${i}] ${x}, not ${expected[i]}`,
    );
  });
}

for (const { optimizer, options: given, table } of goldens) {
  const options = Object.fromEntries(Object.entries(given).map(([k, v]) => [camelCase(k), v]));
  const title = `${optimizer} ${JSON.stringify(options)}`;

  Deno.test(`${title}: lazy rows and strict rows equal PyTorch's dense update`, () => {
    closeTo(train(optimizer, options), table, 1e-11);
    closeTo(train(optimizer, { ...options, strict: true }), table, 1e-11);
    const single = { dtype: "float32" } as const;
    closeTo(
      train(optimizer, options, single),
      train(optimizer, { ...options, strict: true }, single),
      2e-6,
    );
  });

  Deno.test(`${title}: the same bits whether or not the table is read, saved or loaded on the way`, () => {
    for (const dtype of ["float32", "float64"] as const) {
      const form = { dtype, rows: 60, columns: 70 } as const;
      const plain = train(optimizer, options, form);
      assertEquals(train(optimizer, options, { ...form, readEvery: 37 }), plain);
      assertEquals(train(optimizer, options, { ...form, saveEvery: 23 }), plain);
      assertEquals(train(optimizer, options, { ...form, saveAt: 238 }), plain);
    }
  });
}

Deno.test("a step touches only the rows of its gradient, and reading rows brings up these alone", () => {
  const table = zeros([1000, 4], { requiresGrad: true });
  const optimizer = new optim.AdamW([table], { lr: 0.1, weightDecay: 0 });
  const version = table.storage.version;
  for (let i = 0; i < 3; i++) {
    F.embedding(tensor([5n, 7n, 5n]), table).sum().backward();
    assert(rowsOf(table.grad!) !== null);
    assertEquals(nn.utils.clipGradNorm_([table], 100).item(), Math.fround(Math.sqrt(4 * 5)));
    optimizer.step();
    optimizer.zeroGrad();
  }
  assertEquals(table.storage.version, version + 3);
  F.embedding(tensor([7n, 900n]), table);
  assertEquals(table.storage.state & PENDING, PENDING);
  assertEquals(table.storage.version, version + 3);
  const values = table.toArray() as number[][];
  assertEquals(table.storage.state, 0);
  assertEquals(values[4], [0, 0, 0, 0]);
  closeTo(values[5], [-0.3, -0.3, -0.3, -0.3], 1e-6);
});

Deno.test("a dense gradient ends lazy rows, and rows go on from it", () => {
  const run = (strict: boolean) => {
    const table = tensor(Array.from({ length: 30 }, (_, i) => [i / 10, 1 - i / 20]), {
      requiresGrad: true,
    });
    const optimizer = new optim.AdamW([table], { lr: 0.05, strict });
    for (let i = 0; i < 60; i++) {
      const rows = F.embedding(tensor([BigInt(i % 7), BigInt(i % 11)]), table);
      (i % 10 === 4 ? rows.sum().add(table.mul(table).sum()) : rows.mul(rows).sum()).backward();
      optimizer.step();
      optimizer.zeroGrad({ setToNone: i % 2 === 0 });
    }
    return (table.toArray() as number[][]).flat();
  };
  closeTo(run(false), run(true), 1e-6);
});

Deno.test("a table is swept before the factors of old steps are overwritten", () => {
  const run = (strict: boolean) => {
    const table = tensor([[1], [2], [3], [4], [5], [6]], { dtype: "float64", requiresGrad: true });
    const optimizer = new optim.AdamW([table], { lr: 1e-3, strict });
    const row = tensor([0n]);
    F.embedding(tensor([3n]), table).sum().backward();
    for (let i = 0; i < 40_000; i++) {
      if (i > 0) F.embedding(row, table).sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
    }
    return (table.toArray() as number[][]).flat();
  };
  closeTo(run(false), run(true), 1e-9);
});

Deno.test("a lazy state loads where updates are strict, and the other way round", () => {
  const options = { lr: 1e-2, weightDecay: 0.1 };
  const start = (strict: boolean) => {
    const table = zeros([30, 2], { requiresGrad: true });
    return { table, optimizer: new optim.AdamW([table], { ...options, strict }) };
  };
  const step = ({ table, optimizer }: ReturnType<typeof start>, i: number) => {
    F.embedding(tensor([BigInt(i % 9), 3n]), table).sub(1).square().sum().backward();
    optimizer.step();
    optimizer.zeroGrad();
  };
  const lazy = start(false), strict = start(true);
  for (let i = 0; i < 40; i++) [lazy, strict].forEach((x) => step(x, i));
  const states = [lazy, strict].map((x) => x.optimizer.stateDict());
  for (const name of ["exp_avg", "exp_avg_sq"]) {
    const [a, b] = states.map(({ state }) => (state[0][name].toArray() as number[][]).flat());
    closeTo(a, b, 1e-6);
  }
  assertEquals(states.map(({ state }) => state[0].step.item()), [40, 40]);
  assertEquals(states.map(({ state }) => "row_until" in state[0]), [true, false]);
  lazy.optimizer.loadStateDict(states[1]);
  strict.optimizer.loadStateDict(states[0]);
  for (let i = 40; i < 80; i++) [lazy, strict].forEach((x) => step(x, i));
  const [a, b] = [lazy, strict].map((x) => (x.table.toArray() as number[][]).flat());
  closeTo(a, b, 1e-6);
});

Deno.test("the gradient of the padding row is left out, and repeated rows may count as one", () => {
  const gradient = (options: { paddingIdx?: number; scaleGradByFreq?: boolean }, rows = 40) => {
    const table = zeros([rows, 2], { requiresGrad: true });
    F.embedding(tensor([1n, 3n, 1n, 0n]), table, options).sum().backward();
    return (table.grad!.toArray() as number[][]).slice(0, 4).map((row) => row[1]);
  };
  for (const rows of [40, 5]) {
    assertEquals(gradient({}, rows), [1, 2, 0, 1]);
    assertEquals(gradient({ paddingIdx: 1 }, rows), [1, 0, 0, 1]);
    assertEquals(gradient({ paddingIdx: -rows }, rows), [0, 2, 0, 1]);
    assertEquals(gradient({ scaleGradByFreq: true }, rows), [1, 1, 0, 1]);
  }
});

Deno.test("rows that are read are limited to maxNorm in place", () => {
  const table = tensor([[3, 4], [0.3, 0.4], [6, 8]]);
  F.embedding(tensor([0n, 1n, 0n]), table, { maxNorm: 1 });
  closeTo((table.toArray() as number[][]).flat(), [0.6, 0.8, 0.3, 0.4, 6, 8], 1e-6);
});

Deno.test("gradients by rows add up, with each other and with dense ones", () => {
  const table = zeros([50, 2], { requiresGrad: true });
  const read = (...rows: number[]) => F.embedding(tensor(rows.map(BigInt)), table).sum();
  read(1, 2).add(read(2, 3, 3)).backward();
  read(49).backward();
  assert(rowsOf(table.grad!) !== null);
  const grad = (table.grad!.detach().toArray() as number[][]).map((row) => row[0]);
  assertEquals([grad[0], grad[1], grad[2], grad[3], grad[49]], [0, 1, 2, 2, 1]);
  read(0).add(table.sum()).backward();
  assertEquals((table.grad!.toArray() as number[][])[0][0], 2);
});

Deno.test("norm and scaling by a number work on rows alone", () => {
  const table = zeros([50, 2], { requiresGrad: true });
  F.embedding(tensor([1n, 2n, 1n]), table).sum().backward();
  const grad = table.grad!;
  grad.mul_(3).div_(2);
  assertEquals(grad.norm().item(), Math.fround(1.5 * Math.sqrt(10)));
  assertEquals(grad.norm(Infinity).item(), 3);
  assert(rowsOf(grad) !== null);
  assertEquals(grad.norm(2, 1).shape, [50]);
  assert(rowsOf(grad) === null);
  assertEquals((grad.toArray() as number[][]).slice(0, 4), [[0, 0], [3, 3], [1.5, 1.5], [0, 0]]);
});

Deno.test("wrong row numbers and tables are named", () => {
  const table = zeros([5, 2]);
  const cases: [() => unknown, string][] = [
    [
      () => F.embedding(tensor([1n, 5n]), table),
      "Cannot embedding: index 5 at position 1 is out of range for a table of 5 rows",
    ],
    [
      () => F.embedding(tensor([-1n]), table),
      "Cannot embedding: index -1 at position 0 is out of range for a table of 5 rows",
    ],
    [
      () => F.embedding(tensor([1]), table),
      "Cannot embedding with a float32 tensor [1] as row numbers: they must be int64 or int32",
    ],
    [
      () => F.embedding(tensor([1n]), zeros([3])),
      "Cannot embedding from a table [3]: it must have two dims",
    ],
    [
      () => F.embedding(tensor([1n]), table, { paddingIdx: 7 }),
      "Cannot embedding: paddingIdx 7 is out of range for a table of 5 rows",
    ],
  ];
  for (const [run, text] of cases) assertThrows(run, Error, text);
});
