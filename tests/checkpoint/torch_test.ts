/**
 * PyTorch's files: what scripts/golden_torch.py wrote is read, what is written here is read again, here and by PyTorch.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  checkpoint,
  float,
  manualSeed,
  memory,
  nn,
  ones,
  optim,
  rand,
  randint,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "@toro/toro";
import { inFolder } from "../folder.ts";
import { hasTorch, runPython } from "./python.ts";
import { ALL_DTYPES } from "./folders.ts";

memory(); // opens the library before the sanitizers look

const golden = (name: string) => fromFileUrl(new URL(`../golden/torch/${name}`, import.meta.url));

/** A tensor's bytes, whatever they stand for: NaNs and signs of zeros included. */
function bitsOf(t: Tensor): Uint8Array {
  return new Uint8Array(t.toTypedArray().buffer);
}

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("a file of PyTorch's comes as it was", async () => {
  const file = await checkpoint.loadTorch<Any>(golden("values.pth"));
  for (const dtype of ALL_DTYPES) {
    assertEquals(file.dtypes[dtype].dtype, dtype);
    assertEquals(file.dtypes[dtype].toArray(), [[0, 1, 1], [1, 0, 1]]);
  }
  assertEquals(file.extremes.toArray({ bigint: true }), [
    -(2n ** 63n),
    2n ** 63n - 1n,
    2n ** 53n + 1n,
  ]);
  assertEquals([file.scalar.shape, file.scalar.item()], [[], 2.5]);
  assertEquals(file.none.shape, [0, 3]);
  // Views share and keep their strides.
  assertEquals(file.transposed.strides, [1, 6]);
  assertEquals(file.window.toArray(), [[6, 8, 10], [12, 14, 16]]);
  assertEquals(file.window.strides, [6, 2]);
  file.base.mul_(10);
  assertEquals(file.window.at(0, 1).item(), 80);
  assertEquals(file.transposed.at(2, 1).item(), 80);
  assertEquals([file.expanded.shape, file.expanded.strides], [[2, 1000], [1, 0]]);
  assertEquals(file.expanded.storage.bytes, 8);
  assert(file.shared.x === file.shared.again);
  assert(file.parameter instanceof nn.Parameter && file.parameter.requiresGrad);
  assert(file.frozen instanceof nn.Parameter && !file.frozen.requiresGrad);
  assertEquals(file.frozen.dtype, "int64");
  assertEquals(file.buffer.toArray(), [5]);
  assert(file.wanted.requiresGrad && !(file.wanted instanceof nn.Parameter));
  const most = Number.MAX_SAFE_INTEGER;
  assertEquals(file.numbers.slice(0, 8), [1, -1, 255, 256, -(2 ** 31), 2 ** 31, most, -most]);
  assertEquals(file.numbers.slice(8, 11), [2n ** 53n, -(2n ** 200n), 0.5]);
  assert(Object.is(file.numbers[11], -0));
  assertEquals(file.odd, [
    Infinity,
    -Infinity,
    NaN,
    true,
    false,
    null,
    "",
    "\u00e9\u4e16\u{1f600}\ufeff",
  ]);
  assertEquals(file.tuple, [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]);
  assert(Object.isFrozen(file.tuple) && Object.isFrozen(file.tuple[0]));
  assertEquals([...file.keys.keys()], [1, "1", null, 2.5, [1, 2]]);
  assertEquals([...file.keys.values()], ["one", "text", "none", "half", "tuple"]);
  assertEquals(Object.keys(file.names), ["__proto__", "constructor", "", "toString"]);
  assertEquals(Object.getOwnPropertyDescriptor(file.names, "__proto__")!.value, 1);
  assertEquals(Object.getPrototypeOf(file.names), Object.prototype);
  assertEquals(({} as Any).toString, Object.prototype.toString);
  assertEquals(file.bytes, Uint8Array.from({ length: 256 }, (_, i) => i));
  assertEquals([file.no_bytes, file.bytearray], [
    new Uint8Array(0),
    new TextEncoder().encode("abc"),
  ]);
  assertEquals([file.set, file.counter], [new Set([3]), { a: 2, b: 1 }]);
  assertEquals([file.size, file.device, file.dtype], [[2, 3], "cuda:1", "bfloat16"]);
});

Deno.test("other protocols, bare tensors and parts of a state are read", async () => {
  for (const protocol of [3, 4, 5]) {
    const file = await checkpoint.loadTorch<Any>(golden(`protocol${protocol}.pth`));
    assertEquals(file.x.toArray(), [1, 2]);
    assertEquals(new TextDecoder().decode(file.bytes), "abc");
    assertEquals(new TextDecoder().decode(file.array), "de");
    assertEquals([file.set, file.big], [new Set([1]), 2n ** 70n]);
  }
  const bare = await checkpoint.loadTorch<Tensor>(golden("bare.pth"));
  assertEquals(bare.toArray(), [1]);
  const part = await checkpoint.loadTorch(golden("values.pth"), { only: ["scalar", "set"] });
  assertEquals(Object.keys(part), ["scalar", "set"]);
  await assertRejects(
    () => checkpoint.loadTorch(golden("values.pth"), { maxBytes: 100 }),
    Error,
    "bytes, and maxBytes is 100",
  );
  await assertRejects(
    () => checkpoint.loadTorch(golden("values.pth"), { maxTensors: 5 }),
    Error,
    "it has more tensors than the 5 of maxTensors",
  );
  await assertRejects(
    () => checkpoint.loadTorch(golden("bare.pth"), { mapLocation: "tpu" }),
    Error,
    'Cannot loadTorch on "tpu"',
  );
});

Deno.test("what is not read is refused by its name", async () => {
  const refused: Record<string, string> = {
    "legacy.pth": "it has PyTorch's format before version 1.6, which is not supported",
    "script.pth": "it is a TorchScript archive, which holds code; it is not supported",
    "complex.pth": "it asks for torch.ComplexFloatStorage: complex tensors are not supported",
    "sparse.pth":
      "it asks for torch._utils._rebuild_sparse_tensor: sparse tensors are not supported",
    "uint16.pth":
      "it asks for torch._utils._rebuild_tensor_v3: tensors of other than Toro's ten types are not supported",
    "numpy.pth": "values of NumPy are not supported",
    "module.pth": "it asks for torch.nn.modules.linear.Linear, which is none of the",
    "grid.npy": "it is a file of NumPy",
    "../models/gpt2.safetensors": "it is a safetensors file",
    "absent.pth": "there is no such file",
  };
  for (const [name, reason] of Object.entries(refused)) {
    const error = await assertRejects(
      () => checkpoint.loadTorch(golden(name)),
      Error,
      `Cannot load ${golden(name)}: `,
    );
    assertEquals(error.name, "CheckpointError");
    assert(error.message.includes(reason), error.message);
    if (name === "module.pth") {
      assert(error.message.includes("\nHint: in PyTorch, torch.save(model"));
    }
  }
});

/** The network of scripts/golden_torch.py. */
function network(): nn.Sequential {
  return new nn.Sequential(
    new nn.Linear(4, 8),
    new nn.Tanh(),
    new nn.BatchNorm1d(8),
    new nn.Linear(8, 1),
  );
}

const OPTIMIZERS: Record<string, (model: nn.Module) => optim.Optimizer> = {
  sgd: (model) =>
    new optim.SGD(model.parameters(), {
      lr: 0.1,
      momentum: 0.9,
      weightDecay: 0.01,
      nesterov: true,
    }),
  adam: (model) => new optim.Adam(model.parameters(), { lr: 0.05, amsgrad: true }),
  adamw: (model) => new optim.AdamW(model.parameters(), { lr: 0.05, betas: [0.8, 0.99] }),
};

function step(model: nn.Sequential, optimizer: optim.Optimizer, x: Tensor, y: Tensor): number {
  const loss = nn.functional.mseLoss(model.forward(x), y);
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
  return loss.item();
}

function assertClose(actual: number[], expected: number[]): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((a, i) => {
    const off = Math.abs(a - expected[i]) / Math.abs(expected[i]);
    assert(off < 1e-5, `loss ${i} is ${a}, PyTorch's ${expected[i]}`);
  });
}

for (const name of Object.keys(OPTIMIZERS)) {
  Deno.test(`a run of PyTorch's with ${name} goes on here`, async () => {
    const file = await checkpoint.loadTorch<Any>(golden(`run_${name}.pth`));
    const model = network();
    model.loadStateDict(file.model);
    // Of other options, which the state brings in.
    const optimizer = new (OPTIMIZERS[name](model).constructor as Any)(model.parameters(), {
      lr: 9,
    });
    optimizer.loadStateDict(file.optimizer);
    assertClose(
      Array.from({ length: 5 }, () => step(model, optimizer, file.x, file.y)),
      file.losses,
    );
  });
}

Deno.test("a learning rate that PyTorch kept as a tensor is a number here", () => {
  const model = network(), optimizer = new optim.Adam(model.parameters());
  const state = optimizer.stateDict();
  state.param_groups[0].lr = tensor(0.25);
  optimizer.loadStateDict(state);
  assertEquals(optimizer.paramGroups[0].lr, 0.25);
});

Deno.test({
  name: "files are opened only where the script may",
  permissions: { read: ["native", ".toro"], ffi: true, write: ["/tmp/toro_out"], env: true },
  fn: async () => {
    const read = "this script has no read permission for it";
    const write = "this script has no write permission for it";
    for (const path of ["/tmp/toro_in/x.pth", "/tmp/toro_out/../toro_in/x"]) {
      await assertRejects(() => checkpoint.loadTorch(path), Error, read);
      await assertRejects(() => checkpoint.loadNumpy(path), Error, read);
      await assertRejects(
        () => checkpoint.loadHuggingFace(network(), `${path}.bin`, "gpt2"),
        Error,
        read,
      );
      await assertRejects(() => checkpoint.saveTorch(path, {}), Error, write);
      await assertRejects(() => checkpoint.saveNumpy(path, tensor(1)), Error, write);
    }
  },
});

/** A state of everything that goes through PyTorch and comes back as it was. */
function everything(): Record<string, Any> {
  const base = randn([5, 4]);
  return {
    dtypes: Object.fromEntries(
      ALL_DTYPES.map((dtype) => [
        dtype,
        dtype === "bool"
          ? randint(0, 2, [7]).to("bool")
          : dtype.startsWith("f") || dtype.startsWith("b")
          ? tensor([0.1, -0, NaN, Infinity, 1e-5, 65504], { dtype })
          : randint(dtype === "uint8" ? 0 : -128, 127, [7]).to(dtype),
      ]),
    ),
    large: tensor([-(2n ** 63n), 2n ** 63n - 1n]),
    base,
    view: base.transpose(0, 1),
    row: base.at(2),
    none: zeros([0, 3]),
    scalar: tensor(3),
    parameter: new nn.Parameter(ones([2])),
    numbers: [0, -1, 255, 256, 65536, -(2 ** 31), 2 ** 31, 2 ** 53 - 1, 0.5, -0, NaN, Infinity],
    bigints: [2n ** 64n, -(2n ** 64n), 2n ** 127n, -(2n ** 127n) - 1n],
    texts: ["", "a\n\0", "\u00e9\u4e16\u{1f600}\ufeff", "__proto__"],
    others: [null, true, false, []],
    tuple: Object.freeze([1, Object.freeze([]), Object.freeze([1, 2, 3, 4])]),
    map: new Map<unknown, unknown>([[1, "one"], ["1", "text"], [null, {}]]),
    set: new Set([1, "a"]),
    bytes: Uint8Array.from({ length: 256 }, (_, i) => i),
    names: Object.fromEntries([["__proto__", 1], ["", { "a.b": 2 }]]),
    many: Array.from({ length: 300 }, (_, i) => `text ${i % 290}`),
  };
}

/** Compares two states, tensors by their bits. */
function assertSame(actual: Any, expected: Any, path = "state"): void {
  if (expected instanceof nn.Parameter) assert(actual instanceof nn.Parameter, path);
  if (typeof expected?.toTypedArray === "function") {
    assertEquals([actual.dtype, actual.shape, actual.strides], [
      expected.dtype,
      expected.shape,
      expected.strides,
    ], path);
    assertEquals(bitsOf(actual), bitsOf(expected), path);
  } else if (Array.isArray(expected) || expected?.constructor === Object) {
    assertEquals(Object.keys(actual), Object.keys(expected), path);
    assertEquals(Object.isFrozen(actual), Object.isFrozen(expected), path);
    for (const key of Object.keys(expected)) {
      assertSame(actual[key], expected[key], `${path}.${key}`);
    }
  } else assertEquals(actual, expected, path);
}

Deno.test("what saveTorch writes, loadTorch reads", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.pth`, again = `${dir}/again.pth`, state = everything();
    await checkpoint.saveTorch(path, state);
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["state.pth"]);
    const read = await checkpoint.loadTorch<Any>(path);
    assertSame(read, state);
    assert(read.view.storage === read.base.storage && read.row.storage === read.base.storage);
    // The same state gives the same bytes, also by way of a file.
    await checkpoint.saveTorch(again, read);
    assertEquals(Deno.readFileSync(again), Deno.readFileSync(path));
    await checkpoint.saveTorch(path, { two: float(2), x: undefined });
    assertEquals(await checkpoint.loadTorch<Any>(path), { two: 2 });
  }));

Deno.test("what PyTorch has nothing for is named, and the old file stays", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.pth`;
    await checkpoint.saveTorch(path, { x: 1 });
    const loop: Any = { a: {} };
    loop.a.b = loop;
    const gone = tensor([1]);
    gone.dispose();
    let deep: Any = [];
    for (let i = 0; i < 5000; i++) deep = [deep];
    const wrong: [Any, string][] = [
      [{ deep }, "it is nested deeper than 100 levels"],
      [{ a: { b: [new Date(0)] } }, "Cannot save a.b.0: PyTorch has nothing for a Date"],
      [loop, "Cannot save a.b: it leads back to itself"],
      [{ a: "\ud800" }, "Cannot save a: half a letter is no text"],
      [{ a: new Map([[[1], 2]]) }, "Cannot save a.key: [1] cannot be a key of Python's dict"],
      [{ a: new Float32Array(2) }, "Cannot save a: PyTorch has nothing for a Float32Array"],
      [{ gone }, "disposed"],
    ];
    for (const [state, text] of wrong) {
      await assertRejects(() => checkpoint.saveTorch(path, state), Error, text);
    }
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["state.pth"]);
    assertEquals(await checkpoint.loadTorch<Any>(path), { x: 1 });
  }));

Deno.test("tables that lag behind are written up to date, in PyTorch's layout", () =>
  inFolder(async (dir) => {
    for (const strict of [false, true]) {
      for (const kind of ["AdamW", "SGD"] as const) {
        manualSeed(3);
        const table = new nn.Embedding(50, 4);
        const options = kind === "SGD" ? { lr: 0.1, momentum: 0.9, strict } : { lr: 0.1, strict };
        const optimizer = new optim[kind](table.parameters(), options);
        for (let i = 0; i < 4; i++) {
          table.forward(tensor([i, 2 * i, 7], { dtype: "int64" })).sum().backward();
          optimizer.step();
          optimizer.zeroGrad();
        }
        await checkpoint.saveTorch(`${dir}/${kind}.${strict}`, {
          model: table.stateDict(),
          optimizer: optimizer.stateDict(),
        });
      }
    }
    for (const kind of ["AdamW", "SGD"]) {
      const [lazy, dense] = await Promise.all(
        [false, true].map((strict) => checkpoint.loadTorch<Any>(`${dir}/${kind}.${strict}`)),
      );
      assertSame(lazy, dense);
      const names = kind === "SGD" ? ["momentum_buffer"] : ["step", "exp_avg", "exp_avg_sq"];
      assertEquals(Object.keys(lazy.optimizer.state[0]), names);
      assert(!("strict" in lazy.optimizer.param_groups[0]));
    }
  }));

Deno.test({
  name: "PyTorch, safetensors and NumPy in Python give and get the same bits, and runs go on there",
  ignore: !hasTorch,
  fn: () =>
    inFolder(async (dir) => {
      manualSeed(1);
      const state = everything();
      await checkpoint.saveTorch(`${dir}/there.pth`, state);
      await checkpoint.save(`${dir}/ten.safetensors`, state.dtypes);
      for (const name of ["values", ...Object.keys(OPTIMIZERS).map((name) => `run_${name}`)]) {
        const file = await checkpoint.loadTorch(golden(`${name}.pth`));
        await checkpoint.saveTorch(`${dir}/golden_${name}.pth`, file);
      }
      const { bfloat16: _, ...nine } = state.dtypes;
      const arrays: Record<string, Tensor> = {
        ...nine,
        base: state.base,
        view: state.view,
        scalar: state.scalar,
      };
      await checkpoint.saveNumpy(`${dir}/arrays.npz`, arrays);
      await checkpoint.saveNumpy(`${dir}/one.npy`, state.base);
      const losses: Record<string, number[]> = {};
      for (const [name, make] of Object.entries(OPTIMIZERS)) {
        const model = network(), optimizer = make(model);
        const x = randn([16, 4]), y = rand([16, 1]);
        for (let i = 0; i < 5; i++) step(model, optimizer, x, y);
        await checkpoint.saveTorch(`${dir}/${name}.pth`, {
          model: model.stateDict(),
          optimizer: optimizer.stateDict(),
          x,
          y,
        });
        losses[name] = Array.from({ length: 5 }, () => step(model, optimizer, x, y));
      }
      const script = fromFileUrl(new URL("both_ways.py", import.meta.url));
      const theirs = JSON.parse(await runPython(script, [golden("")], dir)) as typeof losses;
      for (const name of Object.keys(losses)) assertClose(losses[name], theirs[name]);
      assertSame(await checkpoint.loadTorch(`${dir}/back.pth`), state);
      const ten = await checkpoint.load<Any>(`${dir}/ten_back.safetensors`);
      for (const dtype of ALL_DTYPES) assertSame(ten[dtype], state.dtypes[dtype], dtype);
      assertEquals([ten.none.shape, ten.scalar.item()], [[0, 3], 3]);
      const back = await checkpoint.loadNumpy<Any>(`${dir}/arrays_back.npz`);
      assertEquals(Object.keys(back), Object.keys(arrays));
      for (const [name, t] of Object.entries(arrays)) assertEquals(bitsOf(back[name]), bitsOf(t));
    }),
});
