import { assert, assertEquals, assertRejects } from "@std/assert";
import { checkpoint, memory, nn, ones, tensor, zeros } from "@toro/toro";
import { ALL_DTYPES, names } from "./folders.ts";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

Deno.test("a nested state comes back as it was", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    const tensors = Object.fromEntries(
      ALL_DTYPES.map((dtype) => [dtype, tensor([[0, 1, 1], [1, 0, 1]], { dtype })]),
    );
    const state = {
      tensors,
      view: tensor([[1, 2], [3, 4]]).transpose(0, 1),
      scalar: tensor(2.5),
      none: zeros([0, 3]),
      numbers: [1, -0, NaN, Infinity, -Infinity, 1e-300, 2n ** 63n],
      array: new Float64Array([1, 2]),
      map: new Map<unknown, unknown>([[1, "a"], ["k", { deep: tensor([7]) }]]),
      odd: { $tensor: "x", "a.b": 1, text: 'quote " and \u{1f600}', nothing: null, yes: true },
      again: { b: 2 },
    };
    await checkpoint.save(path, state);
    assertEquals(names(dir), ["state.safetensors"]);
    const read = await checkpoint.load<typeof state>(path);
    for (const dtype of ALL_DTYPES) {
      assertEquals(read.tensors[dtype].dtype, dtype);
      assertEquals(read.tensors[dtype].toArray(), [[0, 1, 1], [1, 0, 1]]);
    }
    assertEquals(read.view.toArray(), [[1, 3], [2, 4]]);
    assertEquals([read.scalar.shape, read.scalar.item()], [[], 2.5]);
    assertEquals(read.none.shape, [0, 3]);
    assert(Object.is(read.numbers[1], -0));
    assertEquals(read.numbers, state.numbers);
    assertEquals(read.array, state.array);
    assertEquals(read.map.get(1), "a");
    assertEquals((read.map.get("k") as { deep: typeof state.scalar }).deep.toArray(), [7]);
    assertEquals(read.odd, state.odd);
    const part = await checkpoint.load(path, { only: ["scalar", "again"] });
    assertEquals(Object.keys(part), ["scalar", "again"]);
  }));

Deno.test("large tensors pass in pieces", () =>
  inFolder(async (dir) => {
    const big = ones([3, 1_000_003]), path = `${dir}/big.safetensors`;
    await checkpoint.save(path, { big, small: tensor([5]), after: big.mul(2) });
    const read = await checkpoint.load<{ big: typeof big; small: typeof big; after: typeof big }>(
      path,
    );
    assertEquals(read.big.sum().item(), 3_000_009);
    assertEquals(read.after.sum().item(), 6_000_018);
    assertEquals(read.small.item(), 5);
  }));

Deno.test("what cannot be kept is named, and the old file stays", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    await checkpoint.save(path, { x: tensor([1]) });
    await assertRejects(
      () => checkpoint.save(path, { a: { b: [new Date(0)] } }),
      Error,
      "Cannot save a.b.0: a Date is no plain value",
    );
    const gone = tensor([1]);
    gone.dispose();
    await assertRejects(() => checkpoint.save(path, { y: ones([4]), gone }), Error, "disposed");
    assertEquals(names(dir), ["state.safetensors"]);
    assertEquals((await checkpoint.load<{ x: typeof gone }>(path)).x.item(), 1);
    // A folder cannot be replaced by a file: what was written aside goes.
    await Deno.mkdir(`${dir}/taken/inside`, { recursive: true });
    await assertRejects(
      () => checkpoint.save(`${dir}/taken`, { x: tensor([1]) }),
      Error,
      `Cannot save ${dir}/taken: `,
    );
    assertEquals(names(dir), ["state.safetensors", "taken"]);
    await assertRejects(
      () => checkpoint.save(`${dir}/no/such/x.safetensors`, {}),
      Error,
      `Cannot save ${dir}/no/such/x.safetensors: there is no such folder`,
    );
  }));

Deno.test("headers that lie are refused before any memory is taken", () =>
  inFolder(async (dir) => {
    const path = `${dir}/lie.safetensors`;
    const lie = async (header: unknown, data: number, text: string) => {
      const json = new TextEncoder().encode(
        typeof header === "string" ? header : JSON.stringify(header),
      );
      const bytes = new Uint8Array(8 + json.length + data);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
      bytes.set(json, 8);
      await Deno.writeFile(path, bytes);
      await assertRejects(() => checkpoint.load(path), Error, `Cannot load ${path}: ${text}`);
    };
    const x = (dtype: unknown, shape: unknown, offsets: unknown) => ({
      x: { dtype, shape, data_offsets: offsets },
    });
    await lie(
      x("F32", [2 ** 40], [0, 4]),
      4,
      "its header is damaged: tensor x [1099511627776] of float32 needs 4398046511104 bytes and is given 4",
    );
    await lie(x("F32", [2], [0, 8]), 4, "it is truncated: its tensors have 8 bytes, 4 are there");
    await lie(x("F32", [1], [0, 4]), 9, "it is damaged: its tensors have 4 bytes, 9 are there");
    await lie(
      x("F32", [1], [4, 8]),
      8,
      "its header is damaged: tensor x begins at byte 4, the one before ends at 0",
    );
    await lie(x("F8_E5M2", [1], [0, 1]), 1, "tensor x is of type F8_E5M2; known are F32");
    await lie(x("F32", [-1], [0, 4]), 4, "its header is damaged: tensor x has no shape but [-1]");
    await lie(
      x("F32", [1], [0, 4, 8]),
      4,
      "its header is damaged: tensor x has no place but [0,4,8]",
    );
    await lie(x("BOOL", [1], [0, 1]).x, 1, "its header is damaged");
    await lie("[1]", 0, "it is no safetensors file");
    await lie("{nope", 0, "its header is damaged: ");
    await Deno.writeFile(path, new Uint8Array(16).fill(255));
    await assertRejects(
      () => checkpoint.load(path),
      Error,
      "it is no safetensors file: its header would have",
    );
    await assertRejects(() => checkpoint.load(`${dir}/none`), Error, "there is no such file");
    await assertRejects(() => checkpoint.load(dir), Error, "it is no file");
  }));

Deno.test("a plain safetensors file is its tensors by name, and names are data", () =>
  inFolder(async (dir) => {
    const path = `${dir}/plain.safetensors`;
    const header =
      `{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"constructor":{"dtype":"I64","shape":[1],"data_offsets":[4,12]}}`;
    const json = new TextEncoder().encode(header), bytes = new Uint8Array(8 + json.length + 12);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
    bytes.set(json, 8);
    bytes[8 + json.length + 4] = 7;
    await Deno.writeFile(path, bytes);
    const read = await checkpoint.load<Record<string, ReturnType<typeof tensor>>>(path);
    assertEquals(Object.keys(read), ["__proto__", "constructor"]);
    assertEquals(Object.values(read)[1].toArray(), [7]);
    assertEquals(Object.getPrototypeOf(read), Object.prototype);
  }));

Deno.test("a model's state loads into another model", () =>
  inFolder(async (dir) => {
    const a = new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2)),
      b = new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2));
    await checkpoint.save(`${dir}/m.safetensors`, a.stateDict());
    b.loadStateDict(await checkpoint.load<nn.StateDict>(`${dir}/m.safetensors`));
    for (const [key, value] of Object.entries(a.stateDict())) {
      assertEquals(b.stateDict()[key].toArray(), value.toArray());
    }
  }));
