import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkpoint, cuda, memory, nn, ones, randn, type Tensor, tensor } from "@toro/toro";
import { names } from "./folders.ts";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

type Tensors = Record<string, Tensor>;

/** Where a tensor's bytes begin in a file. */
async function placeOf(path: string, name: string): Promise<number> {
  const bytes = await Deno.readFile(path);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  return 8 + length + header[name].data_offsets[0];
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await Deno.readFile(path);
  bytes[at] ^= 1;
  await Deno.writeFile(path, bytes);
}

/** A safetensors file of other making. */
async function plain(path: string, header: object, data: number[]): Promise<void> {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  await Deno.writeFile(path, bytes);
}

Deno.test("each tensor has a checksum of its own, compared when it is read", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    await checkpoint.save(path, {
      good: ones([100_000]),
      bad: randn([100_000]),
      small: tensor([1, 2]),
    });
    await flip(path, await placeOf(path, "bad") + 300_000);
    const damaged = `Cannot load ${path}: it is damaged: the checksum of tensor bad differs`;
    await assertRejects(() => checkpoint.load(path), Error, damaged);
    await assertRejects(() => checkpoint.load(path, { lazy: true, verify: "now" }), Error, damaged);
    assertEquals(
      Object.keys(await checkpoint.load<Tensors>(path, { only: ["good"] })),
      ["good"],
    );
    assertEquals(
      (await checkpoint.load<Tensors>(path, { verify: false })).small.toArray(),
      [1, 2],
    );
    const lazy = await checkpoint.load<Tensors>(path, { lazy: true });
    assertEquals(lazy.good.sum().item(), 100_000);
    assertEquals(lazy.small.toArray(), [1, 2]);
    const error = assertThrows(() => lazy.bad.sum(), Error, damaged);
    assertEquals(error.name, "CheckpointError");
    assertThrows(
      () => lazy.bad.add_(1),
      Error,
      `${path}: it is damaged: the checksum of tensor bad`,
    );
    const unchecked = await checkpoint.load<Tensors>(path, { lazy: true, verify: false });
    assertEquals(unchecked.bad.shape, [100_000]);
    unchecked.bad.sum();
  }));

Deno.test("a lazy state outlives its file, and is written and trained on like any other", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`, x = randn([300, 200]), y = tensor([[1], [2]]);
    await checkpoint.save(path, { x, y, none: ones([0, 3]), flag: tensor([true, false]) });
    const lazy = await checkpoint.load<Tensors>(path, { lazy: true });
    // Saved over itself while mapped and partly read.
    assertEquals(lazy.flag.toArray(), [1, 0]);
    await checkpoint.save(path, lazy);
    await checkpoint.save(path, { x: ones([1]) });
    assertEquals(names(dir), ["state.safetensors"]);
    assertEquals(lazy.x.toArray(), x.toArray());
    assertEquals(lazy.none.shape, [0, 3]);
    lazy.x.mul_(2);
    assertEquals(lazy.x.toArray(), x.mul(2).toArray());
    await Deno.remove(path);
    assertEquals(lazy.y.t().matmul(tensor([[1], [1]])).toArray(), [[3]]);
    const model = new nn.Linear(200, 300);
    await checkpoint.save(path, model.stateDict());
    const other = new nn.Linear(200, 300);
    other.loadStateDict(await checkpoint.load<nn.StateDict>(path, { lazy: true }));
    assertEquals(other.weight.toArray(), model.weight.toArray());
  }));

Deno.test("mapped bytes count in no budget, and go with the last tensor", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`, before = memory();
    {
      const big = ones([1_000_000]), other = ones([1_000_000]);
      await checkpoint.save(path, { big, other });
      big.dispose();
      other.dispose();
    }
    const { big, other } = await checkpoint.load<Tensors>(path, { lazy: true });
    big.narrow(0, 0, 1).item();
    other.narrow(0, 0, 1).item();
    assert(memory().liveBytes - before.liveBytes < 200_000);
    big.dispose();
    assertEquals(other.sum().item(), 1_000_000);
  }));

Deno.test("tensors come in another float type, and within limits", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    await checkpoint.save(path, { x: tensor([1.5, 2.5]), n: tensor([3]).to("int64") });
    for (const lazy of [false, true]) {
      const { x, n } = await checkpoint.load<Tensors>(path, {
        lazy,
        dtype: "float64",
        mapLocation: "cpu",
      });
      assertEquals([x.dtype, n.dtype, x.toArray(), n.toArray()], [
        "float64",
        "int64",
        [1.5, 2.5],
        [3],
      ]);
    }
    const refused = (options: checkpoint.LoadOptions, text: string) =>
      assertRejects(() => checkpoint.load(path, options), Error, `Cannot load ${path}: ${text}`);
    await refused({ maxBytes: 15 }, "its tensors have 16 bytes, and maxBytes is 15");
    await refused({ maxTensors: 1 }, "it has 2 tensors, and maxTensors is 1");
    await refused({ mapLocation: "cuda:1" }, cuda.unavailableReason()!);
    await checkpoint.load(path, { maxBytes: 8, only: ["x"] });
  }));

Deno.test("files of other making: odd places, parts by name, an earlier format", () =>
  inFolder(async (dir) => {
    const path = `${dir}/other.safetensors`;
    await plain(path, {
      "a.flag": { dtype: "BOOL", shape: [1], data_offsets: [0, 1] },
      "b.x": { dtype: "F32", shape: [2], data_offsets: [1, 9] },
    }, [1, 0, 0, 128, 63, 0, 0, 0, 64]);
    for (const lazy of [false, true]) {
      const state = await checkpoint.load<Tensors>(path, { lazy });
      assertEquals([state["a.flag"].toArray(), state["b.x"].toArray()], [[1], [1, 2]]);
      assertEquals(Object.keys(await checkpoint.load(path, { lazy, only: ["b"] })), ["b.x"]);
    }
    await plain(path, { x: { dtype: "BOOL", shape: [1], data_offsets: [0, 1] } }, [2]);
    const text = `Cannot load ${path}: it is damaged: tensor x is bool and holds other bytes`;
    await assertRejects(() => checkpoint.load(path), Error, text);
    const { x } = await checkpoint.load<Tensors>(path, { lazy: true });
    assertThrows(() => x.toArray(), Error, text);
    await plain(path, { __metadata__: { format: "toro", version: "1", state: "{}" } }, []);
    await assertRejects(
      () => checkpoint.load(path),
      Error,
      `Cannot load ${path}: it was written by an earlier version of Toro (format 1)`,
    );
  }));

Deno.test("a checkpoint says where it comes from", () =>
  inFolder(async (dir) => {
    const path = `${dir}/state.safetensors`;
    await checkpoint.save(path, { x: tensor([1]) });
    const { metadata } = await checkpoint.inspect(path);
    const manifest = JSON.parse(metadata.toro_manifest);
    assertEquals(Object.keys(manifest).sort(), [
      "command",
      "deno",
      "device",
      "library",
      "processor",
      "revision",
      "seed",
      "threads",
      "time",
      "toro",
    ]);
    assertEquals([manifest.deno, manifest.device], [Deno.version.deno, "cpu"]);
    assert(manifest.revision === null || /^[0-9a-f]{40}$/.test(manifest.revision));
    assert(/^-?\d+$/.test(manifest.seed));
  }));

Deno.test("sixty thousand tensors take no quadratic work", () =>
  inFolder(async (dir) => {
    const path = `${dir}/many.safetensors`, one = tensor([7]);
    await checkpoint.save(
      path,
      Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`t${i}`, one])),
    );
    const begin = performance.now();
    const lazy = await checkpoint.load<Tensors>(path, { lazy: true });
    // Half a second on an idle machine.
    assert(performance.now() - begin < 10_000, `${performance.now() - begin} ms`);
    assertEquals([Object.keys(lazy).length, lazy.t59999.item()], [60_000, 7]);
  }));
