/** NumPy's files; scripts/golden_torch.py wrote the golden ones. What NumPy reads of ours is in torch_test.ts. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  checkpoint,
  manualSeed,
  memory,
  nn,
  optim,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "@toro/toro";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

const golden = (name: string) => fromFileUrl(new URL(`../golden/torch/${name}`, import.meta.url));
const GRID = [[0, 1, 2], [3, 4, 5]];

Deno.test("arrays of NumPy's come as they were", async () => {
  const grid = await checkpoint.loadNumpy(golden("grid.npy"));
  assertEquals([grid.dtype, grid.toArray()], ["float32", GRID]);
  const fortran = await checkpoint.loadNumpy(golden("fortran.npy"));
  assertEquals([fortran.strides, fortran.toArray()], [[1, 2], GRID]);
  const swapped = await checkpoint.loadNumpy(golden("big_endian.npy"));
  assertEquals([swapped.dtype, swapped.toArray()], ["float64", GRID]);
  const scalar = await checkpoint.loadNumpy(golden("scalar.npy"));
  assertEquals([scalar.dtype, scalar.shape, scalar.item()], ["int64", [], 7]);
  for (const version of [2, 3]) {
    const array = await checkpoint.loadNumpy(golden(`version${version}.npy`));
    assertEquals([array.dtype, array.toArray()], ["int16", GRID]);
  }
});

Deno.test("archives of NumPy's come by name, compressed or not", async () => {
  const arrays = await checkpoint.loadNumpy<Record<string, Tensor>>(golden("arrays.npz"));
  assertEquals(Object.keys(arrays).slice(0, 3), ["grid", "none", "__proto__"]);
  assertEquals(Object.getOwnPropertyDescriptor(arrays, "__proto__")!.value.toArray(), [1]);
  assertEquals([arrays.none.shape, arrays.grid.toArray()], [[0, 3], GRID]);
  for (const [name, array] of Object.entries(arrays).slice(3)) {
    assertEquals([array.dtype, array.toArray()], [name, [[0, 1], [1, 0]]]);
  }
  const packed = await checkpoint.loadNumpy<Record<string, Tensor>>(golden("compressed.npz"));
  assertEquals(packed.grid.toArray(), GRID);
  assertEquals(packed.long.toArray(), Array.from({ length: 3000 }, (_, i) => i % 7));
  await assertRejects(
    () => checkpoint.loadNumpy(golden("compressed.npz"), { maxBytes: 1000 }),
    Error,
    "bytes, maxBytes is 1000",
  );
});

Deno.test("elements that Toro lacks are refused by name", async () => {
  const refused = {
    "structured.npy": "its elements are structured records",
    "object.npy": 'its elements are "|O", Python objects; known are <f4',
    "complex.npy": 'its elements are "<c8", complex numbers',
    "text.npy": 'its elements are "<U2", texts',
    "bare.pth": 'its entry "bare/data.pkl" is no array',
    "legacy.pth": "it is no array of NumPy",
  };
  for (const [name, reason] of Object.entries(refused)) {
    const error = await assertRejects(
      () => checkpoint.loadNumpy(golden(name)),
      Error,
      `Cannot load ${golden(name)}: ${reason}`,
    );
    assertEquals(error.name, "CheckpointError");
  }
});

Deno.test("what saveNumpy writes, loadNumpy reads, and the same tensors give the same bytes", () =>
  inFolder(async (dir) => {
    const grid = tensor(GRID), path = `${dir}/x.npz`;
    const arrays = {
      grid,
      turned: grid.transpose(0, 1),
      row: grid.at(1),
      none: zeros([0, 2]),
      one: tensor(1),
    };
    await checkpoint.saveNumpy(path, arrays);
    const read = await checkpoint.loadNumpy<typeof arrays>(path);
    for (const [name, t] of Object.entries(arrays)) {
      const back = read[name as keyof typeof arrays];
      assertEquals([back.dtype, back.shape, back.toArray()], [t.dtype, t.shape, t.toArray()]);
    }
    const before = Deno.readFileSync(path);
    await checkpoint.saveNumpy(path, arrays);
    assertEquals(Deno.readFileSync(path), before);
    await checkpoint.saveNumpy(`${dir}/x.npy`, arrays.turned);
    assertEquals((await checkpoint.loadNumpy(`${dir}/x.npy`)).toArray(), [[0, 3], [1, 4], [2, 5]]);
    await assertRejects(
      () => checkpoint.saveNumpy(path, { ok: grid, half: grid.to("bfloat16") }),
      Error,
      "Cannot save half: NumPy has no bfloat16",
    );
    await assertRejects(() => checkpoint.saveNumpy(path, 3 as never), Error, "Cannot saveNumpy 3");
    assertEquals(Deno.readFileSync(path), before);
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["x.npy", "x.npz"]);
  }));

Deno.test("a table that lags behind is written up to date", () =>
  inFolder(async (dir) => {
    const written: unknown[] = [];
    for (const strict of [false, true]) {
      manualSeed(4);
      const table = new nn.Embedding(40, 3), path = `${dir}/table.npy`;
      const optimizer = new optim.Adam(table.parameters(), { lr: 0.1, strict });
      for (let i = 0; i < 3; i++) {
        table.forward(tensor([i, 30 - i], { dtype: "int64" })).mul(randn([2, 3])).sum().backward();
        optimizer.step();
        optimizer.zeroGrad();
      }
      await checkpoint.saveNumpy(path, table.weight);
      written.push((await checkpoint.loadNumpy(path)).toArray());
    }
    assertEquals(written[0], written[1]);
    assert(JSON.stringify(written[0]).length > 100);
  }));
