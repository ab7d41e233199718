/**
 * The boundary to the native library, called as no TypeScript of Toro's calls it: whatever is wrong is a code and a
 * text. A library of another version is refused before anything is called.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { locate } from "../../ffi/locate.ts";
import { OP } from "../../ffi/opcodes.gen.ts";

const found = locate();
const path = "path" in found ? found.path : "";

// Opened for good, at module scope: a library with threads of its own is never closed.
const { symbols } = Deno.dlopen(path, {
  toro_open: { parameters: ["buffer", "u32"], result: "u32" },
  toro_close: { parameters: ["u32"], result: "i32" },
  toro_alloc: { parameters: ["u32", "f64", "u32"], result: "f64" },
  toro_free: { parameters: ["u32", "u32"], result: "i32" },
  toro_execute: { parameters: ["u32", "u32"], result: "i32" },
  toro_write: { parameters: ["u32", "f64", "f64", "buffer", "f64"], result: "i32" },
  toro_read: { parameters: ["u32", "f64", "f64", "buffer", "f64"], result: "i32" },
  toro_option: { parameters: ["u32", "u32", "f64"], result: "i32" },
  toro_job: { parameters: ["u32", "buffer", "u32"], result: "f64" },
});
const words = new Float64Array(4096);
const thread = symbols.toro_open(words, words.length);

function text(): string {
  return new TextDecoder().decode(new Uint8Array(words.buffer, 8, words[0]));
}

/** Runs one instruction; gives its code and, where it failed, the text. */
function execute(instruction: readonly number[]): string {
  words.set(instruction);
  const code = symbols.toro_execute(thread, instruction.length);
  return code === 0 ? "ok" : `${code}: ${text()}`;
}

/** `out = x + 1` on float32 operands [handle, offset, dims, strides]. */
function add(
  out: readonly [number, number, readonly number[], readonly number[]],
  x: readonly [number, number, readonly number[], readonly number[]],
): number[] {
  const operand = ([handle, offset, dims, strides]: typeof out) => [
    handle,
    offset,
    0,
    dims.length,
    ...dims,
    ...strides,
  ];
  const body = [...operand(out), ...operand(x), -1, 0, 1, 0, 0, 0, 0];
  return [4 + body.length, OP.add, 3, 1, ...body];
}

function alloc(bytes: number): number {
  const handle = symbols.toro_alloc(thread, bytes, 0);
  if (handle < 0) throw new Error(text());
  return handle;
}

function free(...handles: number[]): number {
  words.set(handles);
  return symbols.toro_free(thread, handles.length);
}

Deno.test("abi: a right instruction runs", () => {
  const [a, b] = [alloc(64), alloc(64)];
  assertEquals(symbols.toro_write(thread, a, 0, Float32Array.of(1, 2, 3, 4), 16), 0);
  assertEquals(execute(add([b, 0, [4], [1]], [a, 0, [4], [1]])), "ok");
  const got = new Float32Array(4);
  assertEquals(symbols.toro_read(thread, b, 0, got, 16), 0);
  assertEquals([...got], [2, 3, 4, 5]);
  assertEquals(free(a, b), 0);
});

Deno.test("abi: handles that are none", () => {
  const a = alloc(64);
  const of = (handle: number) => execute(add([a, 0, [4], [1]], [handle, 0, [4], [1]]));
  assertEquals(of(NaN), "1: add: NaN is no storage handle");
  assertEquals(of(0.5), "1: add: 0.5 is no storage handle");
  assertEquals(of(-2), "1: add: -2 is no storage handle");
  assertEquals(of(2 ** 52), "1: add: 4503599627370496 is no storage handle");
  assertEquals(of(2 ** 24 - 1), "1: add: storage handle 16777215 was never given out");
  assertEquals(free(2 ** 24 - 1), 1);
  assertEquals(text(), "storage handle 16777215 was never given out");
  assertEquals(free(a), 0);
});

Deno.test("abi: a stale handle", () => {
  const [a, b] = [alloc(64), alloc(64)];
  assertEquals(free(a), 0);
  const stale = `storage handle ${a} is stale: the storage was freed`;
  assertEquals(execute(add([b, 0, [4], [1]], [a, 0, [4], [1]])), `1: add: ${stale}`);
  assertEquals(free(a), 1);
  assertEquals(text(), stale);
  const again = alloc(64);
  assertNotEquals(again, a);
  assertEquals(symbols.toro_read(thread, a, 0, new Uint8Array(4), 4), 1);
  assertEquals(text(), stale);
  assertEquals(free(b, again), 0);
});

Deno.test("abi: offsets, dims and strides past the end", () => {
  const [a, b] = [alloc(64), alloc(64)];
  const of = (offset: number, dims: number[], strides: number[]) =>
    execute(add([b, 0, dims, dims.map(() => 1)], [a, offset, dims, strides]));
  assertEquals(
    of(13, [4], [1]),
    "1: add: operand 1 reaches elements 13 to 16 of float32 (4 bytes), outside its storage of 64 bytes",
  );
  assertEquals(
    of(0, [4], [-1]),
    "1: add: operand 1 reaches elements -3 to 0 of float32 (4 bytes), outside its storage of 64 bytes",
  );
  assertEquals(
    of(-1, [4], [1]),
    "1: add: an offset is -1, not a whole number from 0 to 4503599627370496",
  );
  assertEquals(
    of(NaN, [4], [1]),
    "1: add: an offset is NaN, not a whole number from 0 to 4503599627370496",
  );
  assertEquals(of(0, [4], [NaN]), "1: add: a stride is NaN, not a whole number below 2^53");
  assertEquals(
    of(0, [NaN], [1]),
    "1: add: a dim is NaN, not a whole number from 0 to 4503599627370496",
  );
  assertEquals(
    execute(add([b, 0, [4], [0]], [a, 0, [4], [1]])),
    "1: add: output 0 writes an element twice (dims [4], strides [0])",
  );
  // A reduction cannot write what it reads.
  const operand = (offset: number, size: number) => [a, offset, 0, 1, size, 1];
  const sum = [4 + 6 + 6 + 3, OP.sum, 2, 1, ...operand(2, 1), ...operand(0, 4), 0, 0, 0];
  assertEquals(execute(sum), "1: sum: output 0 overlaps operand 1");
  assertEquals(free(a, b), 0);
});

Deno.test("abi: sizes that are none", () => {
  const refused = (bytes: number) => {
    assertEquals(symbols.toro_alloc(thread, bytes, 0), -1);
    return text();
  };
  const rule = "the size must be a whole number from 0 to 2^52";
  assertEquals(refused(NaN), `cannot allocate NaN bytes: ${rule}`);
  assertEquals(refused(-1), `cannot allocate -1 bytes: ${rule}`);
  assertEquals(refused(0.5), `cannot allocate 0.5 bytes: ${rule}`);
  assertEquals(refused(Infinity), `cannot allocate inf bytes: ${rule}`);
  assertEquals(symbols.toro_alloc(thread, 2 ** 51, 0), -2);
  assertMatch(
    text(),
    /^Cannot allocate 2251799813685248 bytes: \d+ live, \d+ cached and \d+ peak bytes of a budget of \d+$/,
  );
  // No machine has so many devices.
  assertEquals(symbols.toro_alloc(thread, 64, 1000), -6);
  assertMatch(text(), /^Cannot use cuda:999: /);
});

Deno.test("abi: reading and writing outside a storage, or through an empty buffer", () => {
  const a = alloc(64);
  const empty = new Uint8Array(0);
  assertEquals(symbols.toro_read(thread, a, 60, new Uint8Array(8), 8), 1);
  assertEquals(text(), "bytes 60 to 60+8 lie outside the storage of 64 bytes");
  assertEquals(symbols.toro_write(thread, a, NaN, new Uint8Array(8), 8), 1);
  assertEquals(text(), "bytes NaN to NaN+8 lie outside the storage of 64 bytes");
  assertEquals(symbols.toro_write(thread, a, 0, empty, 8), 1);
  assertEquals(text(), "cannot copy 8 bytes through an empty buffer");
  assertEquals(symbols.toro_read(thread, a, 0, empty, 8), 1);
  assertEquals(text(), "cannot copy 8 bytes through an empty buffer");
  assertEquals(symbols.toro_read(thread, a, 64, empty, 0), 0);
  assertEquals(free(a), 0);
});

Deno.test("abi: words that are no instruction", () => {
  assertEquals(execute([]), "1: the instruction buffer is empty");
  assertEquals(
    execute([3, 0, 0]),
    "1: the instruction's length is 3, below the 4 words of its head",
  );
  assertEquals(
    execute([9, 0, 0, 0]),
    "1: the instruction's length is 9, not a whole number from 0 to 4",
  );
  assertMatch(execute([4, 1e6, 0, 0]), /^1: opcode 1000000 is not one of the \d+ opcodes$/);
  assertMatch(execute([4, NaN, 0, 0]), /^1: opcode NaN is not one of the \d+ opcodes$/);
  assertEquals(
    execute([4, OP.add, 0, 0]),
    "1: add: 0 operands, but it takes 1 outputs and 2 to 2 inputs",
  );
  assertEquals(symbols.toro_execute(thread, words.length + 1), 1);
  assertEquals(text(), "cannot execute 4097 words: the buffer has 4096");
  assertEquals(symbols.toro_free(thread, words.length + 1), 1);
  assertEquals(text(), "cannot free 4097 storages: the buffer has room for 4096");
});

Deno.test("abi: threads that are not registered, and buffers that cannot be", () => {
  assertEquals(symbols.toro_execute(4000, 4), 5);
  assertEquals(symbols.toro_execute(0, 4), 5);
  assertEquals(symbols.toro_alloc(4000, 64, 0), -5);
  assertEquals(symbols.toro_close(4000), 5);
  assertEquals(symbols.toro_open(new Float64Array(0), 0), 0);
  assertEquals(symbols.toro_open(new Float64Array(8), 8), 0);
  const other = new Float64Array(64);
  const id = symbols.toro_open(other, 64);
  assert(id > 0 && id !== thread);
  assert(symbols.toro_alloc(id, 64, 0) >= 0);
  assertEquals(symbols.toro_close(id), 0);
  assertEquals(symbols.toro_execute(id, 4), 5);
});

Deno.test("abi: options and jobs that are none", () => {
  assertEquals(symbols.toro_option(thread, 99, NaN), 1);
  assertEquals(text(), "option 99 is unknown");
  assertEquals(symbols.toro_option(thread, 2, 7), 1);
  assertEquals(text(), "SIMD level 7 is unknown");
  assertEquals(symbols.toro_option(thread, 0, -1), 1);
  assertEquals(text(), "option 0 cannot be -1: it must be a whole number");
  const handle = symbols.toro_job(thread, new Uint8Array(0), 0);
  assert(handle >= 0);
  const result = new Uint8Array(64);
  assertEquals(symbols.toro_read(thread, handle, 0, result, 40), 0);
  assertMatch(new TextDecoder().decode(result), /error/);
  assertEquals(free(handle), 0);
});

Deno.test("a library with another hash is refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    // The text that the hash is taken of, changed by one letter.
    const bytes = await Deno.readFile(path);
    const mark = new TextEncoder().encode("1: words f64; open");
    // A linker may keep it more than once.
    let copies = 0;
    for (let at = bytes.indexOf(mark[0]); at >= 0; at = bytes.indexOf(mark[0], at + 1)) {
      if (!mark.every((b, j) => bytes[at + j] === b)) continue;
      bytes[at] = "9".charCodeAt(0);
      copies++;
    }
    assert(copies > 0);
    const other = `${folder}/libtoro.so`;
    await Deno.writeFile(other, bytes);
    const mod = fromFileUrl(new URL("../../mod.ts", import.meta.url));
    const script = `import { zeros } from ${JSON.stringify(mod)};
      try { zeros([1]); } catch (e) { console.log(e.name + ": " + e.message); }`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", script],
      env: { TORO_LIB: other, NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stdout);
    assertMatch(
      said,
      /^NativeError: Cannot use the native library .*libtoro\.so: its hash is [0-9a-f]+, this version of Toro needs [0-9a-f]+\nHint: in a checkout, `deno task build` makes the one that fits\n$/,
      new TextDecoder().decode(stderr),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
