import { assert, assertEquals, assertRejects } from "@std/assert";
import { checkpoint, memory, ones, randn, type Tensor, tensor } from "@toro/toro";
import { names } from "./folders.ts";
import { inFolder } from "../folder.ts";
import { hasTorch, runPython } from "./python.ts";

memory(); // opens the library before the sanitizers look

type Tensors = Record<string, Tensor>;

const index = "model.safetensors.index.json";

function state(value: number): { a: Tensor; b: Tensor; c: Tensor; step: number } {
  const x = () => ones([100]).mul(value);
  return { a: x(), b: x(), c: x(), step: value };
}

Deno.test("a state above a size is spread over files that an index names", () =>
  inFolder(async (dir) => {
    const path = `${dir}/model.safetensors`;
    await checkpoint.save(path, state(1), { maxShardBytes: 800 });
    assertEquals(names(dir), [
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      index,
    ]);
    const { metadata, weight_map } = JSON.parse(await Deno.readTextFile(`${dir}/${index}`));
    assertEquals(metadata.total_size, 1200);
    assertEquals(weight_map, {
      a: "model-00001-of-00002.safetensors",
      b: "model-00001-of-00002.safetensors",
      c: "model-00002-of-00002.safetensors",
    });
    for (const lazy of [false, true]) {
      for (const from of [path, `${dir}/${index}`]) {
        const read = await checkpoint.load<ReturnType<typeof state>>(from, { lazy });
        assertEquals([read.step, read.a.sum().item(), read.c.sum().item()], [1, 100, 100]);
      }
    }
    const { checksums, tensors } = await checkpoint.inspect(path);
    assertEquals([checksums, tensors.length], [5, 3]);
    // A part of it needs only its file.
    const part = await checkpoint.load<Tensors>(path, { only: ["c"] });
    assertEquals(Object.keys(part), ["c"]);
  }));

Deno.test("files of the old index stay until the new one is in place, then they go", () =>
  inFolder(async (dir) => {
    const path = `${dir}/model.safetensors`;
    await checkpoint.save(path, state(1), { maxShardBytes: 400 });
    const lazy = await checkpoint.load<Tensors>(path, { lazy: true });
    // Nothing of it may go when the new one fails.
    const before = names(dir);
    const gone = tensor([1]);
    gone.dispose();
    await assertRejects(
      () => checkpoint.save(path, { x: ones([200]), gone, y: ones([200]) }, { maxShardBytes: 400 }),
      Error,
      "disposed",
    );
    assertEquals(names(dir), before);
    await checkpoint.asyncSave(path, state(2), { maxShardBytes: 400 });
    const marked = names(dir).filter((name) => /^model-[0-9a-f]{8}-0000\d-of-00003/.test(name));
    assertEquals([marked.length, names(dir).length], [3, 4]);
    assertEquals((await checkpoint.load<Tensors>(path)).c.sum().item(), 200);
    assertEquals(lazy.c.sum().item(), 100);
    // One file takes the place of all of them, and the other way round.
    await checkpoint.save(path, state(3));
    assertEquals(names(dir), ["model.safetensors"]);
    await checkpoint.save(path, state(4), { maxShardBytes: 400 });
    assertEquals(names(dir).length, 4);
    assertEquals((await checkpoint.load<Tensors>(path)).a.sum().item(), 400);
  }));

Deno.test("an index that lies is refused", () =>
  inFolder(async (dir) => {
    const path = `${dir}/model.safetensors`, at = `${dir}/${index}`;
    const refused = (text: string) =>
      assertRejects(() => checkpoint.load(path), Error, `Cannot load ${path}: ${text}`);
    await checkpoint.save(path, state(1), { maxShardBytes: 800 });
    const whole = await Deno.readTextFile(at);
    await Deno.writeTextFile(at, whole.replace('"step\\":1', '"step\\":2'));
    await refused("its header is damaged: its checksum differs");
    for (const name of ["../secret.safetensors", "/etc/passwd", "..", ""]) {
      await Deno.writeTextFile(at, JSON.stringify({ weight_map: { x: name } }));
      await refused("it is damaged: tensor x lies in ");
    }
    for (const text of ["", "[]", "null", "{}", '{"weight_map": 3}']) {
      await Deno.writeTextFile(at, text);
      await refused("it is no index: ");
    }
    const second = "model-00002-of-00002.safetensors";
    await Deno.writeTextFile(at, JSON.stringify({ weight_map: { x: second } }));
    await refused(`it is damaged: ${second} belongs to another index`);
    await Deno.writeTextFile(at, whole);
    await Deno.truncate(`${dir}/${second}`, 300);
    await assertRejects(
      () => checkpoint.load(path),
      Error,
      `Cannot load ${dir}/${second}: it is truncated`,
    );
    await Deno.remove(`${dir}/${second}`);
    await assertRejects(
      () => checkpoint.load(path),
      Error,
      `Cannot load ${dir}/${second}: there is no such file`,
    );
  }));

Deno.test("an index of other making is its tensors by name, and is not removed", () =>
  inFolder(async (dir) => {
    const path = `${dir}/model.safetensors`, x = randn([3]), y = randn([4]);
    const one = "model-00001-of-00002.safetensors", two = "model-00002-of-00002.safetensors";
    for (const [name, values] of [[one, { x }], [two, { y }]] as const) {
      await checkpoint.save(`${dir}/${name}`, values);
      // As other programs write them: without anything of Toro's.
      const bytes = await Deno.readFile(`${dir}/${name}`);
      const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
      delete header.__metadata__;
      const text = new TextEncoder().encode(JSON.stringify(header).padEnd(length));
      bytes.set(text, 8);
      await Deno.writeFile(`${dir}/${name}`, bytes);
    }
    const map = { metadata: { total_size: 28 }, weight_map: { x: one, y: two } };
    await Deno.writeTextFile(`${dir}/${index}`, JSON.stringify(map));
    const read = await checkpoint.load<Tensors>(path);
    assertEquals([read.x.toArray(), read.y.toArray()], [x.toArray(), y.toArray()]);
    await checkpoint.save(path, { z: tensor([1]) });
    assertEquals(names(dir), [one, two, "model.safetensors", index].sort());
    assert("z" in await checkpoint.load(path));
  }));

Deno.test({
  name: "Python reads the files of an index",
  ignore: !hasTorch,
  fn: () =>
    inFolder(async (dir) => {
      await checkpoint.save(`${dir}/model.safetensors`, state(1), { maxShardBytes: 800 });
      const script = new URL("./shards.py", import.meta.url).pathname;
      const sums = JSON.parse(await runPython(script, [index], dir));
      assertEquals(sums, { a: 100, b: 100, c: 100 });
    }),
});
