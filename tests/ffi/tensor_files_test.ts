import { assert, assertEquals, assertThrows } from "@std/assert";
import { checksum, mapPart, openFile, type Part, verifyParts } from "../../ffi/tensor_files.ts";
import { allocate, free, nativeMemory, read } from "../../ffi/library.ts";

const script = new URL("./cut_mapped_file.ts", import.meta.url).pathname;

function part(at: number, bytes: number, sum: string | null = null, isBool = false): Part {
  return { name: "tensor x", at, bytes, checksum: sum, isBool };
}

Deno.test("parts of files are read, mapped and checked", async () => {
  const path = await Deno.makeTempFile();
  const content = Uint8Array.from({ length: 600_000 }, (_, i) => i * 7 + i / 251);
  await Deno.writeFile(path, content);
  const before = nativeMemory();
  const handle = allocate(content.length, 0);
  let file = openFile(path);
  {
    using _closed = file;
    assertEquals([file.path, file.size], [path, content.length]);
    assertEquals(file.readBytes(3, 5), content.slice(3, 8));
    assertEquals(file.readBytes(content.length, 0), new Uint8Array());
    assertThrows(() => file.readBytes(content.length - 1, 2), Error, "it is truncated: bytes");
    file.readInto([{ ...part(1, content.length - 1), handle, to: 1 }]);
    const back = new Uint8Array(content.length - 1);
    read(handle, 1, back);
    assertEquals(back, content.subarray(1));
  }
  assertThrows(() => file.readBytes(0, 1), Error, "it is not open");

  file = openFile(path);
  const whole = file.map();
  file.close();
  const sum = checksum(handle, 1, 599_999);
  assertEquals(sum, checksum(whole, 1, 599_999));
  verifyParts(whole, [part(0, 0), part(1, 599_999, sum)]);
  const damaged = "it is damaged: the checksum of tensor x differs from its content's";
  assertThrows(() => verifyParts(whole, [part(0, 599_999, sum)]), Error, damaged);
  assertThrows(
    () => mapPart(whole, part(0, 9, null, true)),
    Error,
    "it is damaged: tensor x is bool and holds other bytes than 0 and 1",
  );
  assertThrows(() => mapPart(handle, part(0, 9)), Error, "no file's");
  const own = mapPart(whole, part(1, 599_999, sum));
  free([whole, handle]);
  // What is written over the path does not reach what is mapped.
  await Deno.writeFile(`${path}.new`, new Uint8Array(9));
  await Deno.rename(`${path}.new`, path);
  const mapped = new Uint8Array(10);
  read(own, 0, mapped);
  assertEquals(mapped, content.slice(1, 11));
  free([own]);
  const after = nativeMemory();
  assertEquals([after.liveBytes, after.handles], [before.liveBytes, before.handles]);
  await Deno.remove(path);
});

Deno.test("what cannot be opened says why", async () => {
  const dir = await Deno.makeTempDir();
  assertThrows(() => openFile(dir), Error, `Cannot open ${dir}: it is no file`);
  assertThrows(() => openFile(`${dir}/none`), Error, "there is no such file");
  const fifo = `${dir}/pipe`;
  await new Deno.Command("mkfifo", { args: [fifo] }).output();
  assertThrows(() => openFile(fifo), Error, "it is no file");
  await Deno.writeFile(`${dir}/empty`, new Uint8Array());
  using empty = openFile(`${dir}/empty`);
  assertThrows(() => empty.map(), Error, "it is empty");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("a mapped file that is cut short is an error, and the process lives", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script],
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, text + new TextDecoder().decode(stderr));
  const lines = text.trim().split("\n");
  assertEquals(lines.length, 6, text);
  for (const [i, line] of lines.slice(0, 5).entries()) {
    const name = i === 3 ? "large.bin" : "weights.bin";
    assert(line.includes(`/${name}: the file was cut short meanwhile`), line);
  }
  assertEquals(lines[5], "goes on with 3");
});
