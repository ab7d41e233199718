import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  checkpoint,
  memory,
  nn,
  ones,
  optim,
  randn,
  resetPeakMemory,
  type Tensor,
  tensor,
  ToroError,
} from "@toro/toro";
import { names, runScript } from "./folders.ts";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

type Tensors = Record<string, Tensor>;

Deno.test("asyncSave keeps what was there when it was called", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`,
      x = ones([500_000]),
      strided = x.reshape([500, 1000]).t();
    const saved = checkpoint.asyncSave(path, { x, strided, list: [1, 2] });
    x.mul_(5);
    await saved;
    const read = await checkpoint.load<Tensors>(path);
    assertEquals([read.x.sum().item(), read.strided.sum().item()], [500_000, 500_000]);
    assertEquals(read.strided.shape, [1000, 500]);
    assertEquals(names(dir), ["state.safetensors"]);
    // The next save waits for it.
    const second = checkpoint.asyncSave(path, { x });
    await checkpoint.save(path, { last: tensor([1]) });
    await second;
    assertEquals(Object.keys(await checkpoint.load(path)), ["last"]);
  }));

Deno.test("a failure beside the script is thrown where it is awaited, else by the next save", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`, x = ones([10]), large = ones([8_000_000]);
    await checkpoint.save(path, { x });
    const failing = () => {
      const saved = checkpoint.asyncSave(`${dir}/gone/state.safetensors`, { large });
      // Long before it is written: then there is nothing to put in place.
      Deno.removeSync(`${dir}/gone`, { recursive: true });
      return saved;
    };
    await Deno.mkdir(`${dir}/gone`);
    const text = `Cannot save ${dir}/gone/state.safetensors: `;
    const error = await assertRejects(() => failing(), Error, text);
    assertEquals(error.name, "CheckpointError");
    await checkpoint.save(path, { x });
    await Deno.mkdir(`${dir}/gone`);
    failing();
    await assertRejects(() => checkpoint.save(path, { x: x.mul(2) }), Error, text);
    await checkpoint.save(path, { x: x.mul(3) });
    assertEquals((await checkpoint.load<Tensors>(path)).x.sum().item(), 30);
    // What is wrong at once is thrown at once.
    assertThrows(
      () => checkpoint.asyncSave(`${dir}/none/x.safetensors`, { x }),
      Error,
      `Cannot save ${dir}/none/x.safetensors: there is no such folder`,
    );
    assertThrows(() => checkpoint.asyncSave(path, { d: new Date(0) }), Error, "Cannot save d: ");
    assertEquals(names(dir), ["state.safetensors"]);
  }));

for (const [form, code, out] of [["end", 0, "end"], ["exit", 3, ""], ["throw", 1, ""]] as const) {
  Deno.test(`what is being saved is in place when the process ends: ${form}`, () =>
    inFolder(async (dir) => {
      const path = `${dir}/state.safetensors`;
      const result = await runScript("./saving_script.ts", form, path);
      assertEquals([result.code, result.out], [code, out], result.err);
      const { weight } = await checkpoint.load<Tensors>(path);
      assertEquals(weight.sum().item(), 4_000_000);
      assertEquals(names(dir), ["state.safetensors"]);
    }));
}

Deno.test("a failure that nobody saw is told at the end", () =>
  inFolder(async (dir) => {
    await Deno.mkdir(`${dir}/gone`);
    const path = `${dir}/gone/state.safetensors`;
    const { code, out, err } = await runScript("./saving_script.ts", "unseen", path);
    assertEquals([code, out], [1, "end"]);
    assert(err.startsWith(`Cannot save ${path}: `), err);
  }));

Deno.test("saving tables whose rows lag behind takes little memory and changes nothing", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`, mib = 2 ** 20;
    const table = new nn.Embedding(200_000, 64);
    const rows = tensor([3, 70_000, 199_999], { dtype: "int64" });
    const optimizer = new optim.AdamW(table.parameters(), { lr: 0.1 });
    const step = () => {
      table.forward(rows).sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
    };
    step();
    step();
    resetPeakMemory();
    const before = memory().liveBytes;
    await checkpoint.save(path, {
      model: table.stateDict(),
      optimizer: optimizer.stateDict(),
      strided: table.weight.detach().narrow(1, 0, 3),
    });
    const { peakBytes } = memory();
    // Three tables of 49 MiB each.
    assert(peakBytes - before < 64 * mib, `${(peakBytes - before) / mib} MiB`);
    const other = new nn.Embedding(200_000, 64);
    const again = new optim.AdamW(other.parameters(), { lr: 0.1 });
    const state = await checkpoint.load<{ model: nn.StateDict; optimizer: optim.OptimizerState }>(
      path,
    );
    other.loadStateDict(state.model);
    again.loadStateDict(state.optimizer);
    step();
    other.forward(rows).sum().backward();
    again.step();
    assertEquals(other.weight.equal(table.weight), true);
  }));

Deno.test("states that were taken before a step keep their values", () => {
  const table = new nn.Embedding(1000, 4);
  const optimizer = new optim.Adam(table.parameters(), { lr: 0.1 });
  const step = (row: number) => {
    table.forward(tensor([row], { dtype: "int64" })).sum().backward();
    optimizer.step();
    optimizer.zeroGrad();
  };
  step(5);
  step(6);
  const taken = optimizer.stateDict().state[0].exp_avg;
  const read = optimizer.stateDict().state[0].exp_avg.toArray();
  step(5);
  assertEquals(taken.toArray(), read);
  assert(!optimizer.stateDict().state[0].exp_avg.equal(taken));
});

Deno.test("what killed writers left goes with the next save, and what others write stays", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    const left = [".state.safetensors.999999-0.tmp", ".state.safetensors.1-7.tmp"];
    const foreign = [".other.safetensors.999999-0.tmp", ".state.safetensors.tmp", "x.tmp"];
    for (const name of [...left, ...foreign]) await Deno.writeTextFile(`${dir}/${name}`, "part");
    // One that is being written is locked.
    using busy = await Deno.open(`${dir}/.state.safetensors.2-0.tmp`, {
      write: true,
      create: true,
    });
    await busy.lock(true);
    await checkpoint.save(path, { x: randn([3]) });
    assertEquals(
      names(dir),
      [...foreign, ".state.safetensors.2-0.tmp", "state.safetensors"].sort(),
    );
  }));

Deno.test("without durability everything else is the same", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    for (const n of [1, 2]) await checkpoint.save(path, { n: tensor([n]) }, { durable: false });
    assertEquals((await checkpoint.load<Tensors>(path)).n.item(), 2);
    assertEquals(names(dir), ["state.safetensors"]);
  }));

Deno.test("options that nobody knows, values of a wrong kind and states that are none are refused before anything is written", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    const cases: [() => Promise<unknown>, string][] = [
      [
        () => checkpoint.save(path, { a: 1 }, { durble: false } as never),
        'Cannot save: unknown option "durble"; known are maxShardBytes, durable',
      ],
      [
        () => checkpoint.save(path, { a: 1 }, { durable: 0 as never }),
        `Cannot save ${path}: durable is 0 and must be true or false`,
      ],
      [
        () => checkpoint.save(path, null as never),
        `Cannot save ${path}: the state is null and must be an object of named parts`,
      ],
    ];
    for (const [call, text] of cases) {
      assertEquals((await assertRejects(call, ToroError)).message, text);
    }
    assertEquals(names(dir), []);
    await checkpoint.save(path, { a: 1 }, undefined);
    for (
      const [options, text] of [
        [{ lasy: true }, 'Cannot load: unknown option "lasy"'],
        [{ lazy: 1 }, `Cannot load ${path}: lazy is 1 and must be true or false`],
        [{ verify: "later" }, `verify is "later" and must be true, false or "now"`],
      ] as const
    ) {
      const error = await assertRejects(() => checkpoint.load(path, options as never), ToroError);
      assertStringIncludes(error.message, text);
    }
  }));
