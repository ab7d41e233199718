/** The archive's grammar where no small file goes: sizes and places past 4 GiB, and every byte that can be wrong. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { ByteSource } from "../../src/checkpoint/disk.ts";
import { readWhole, readZip, ZipWriter } from "../../src/checkpoint/zip.ts";
import { sourceOf } from "./hostile/seeds.ts";

function archive(entries: Record<string, Uint8Array<ArrayBuffer>>): Uint8Array<ArrayBuffer> {
  let all = new Uint8Array(1024), length = 0;
  const zip = new ZipWriter((bytes) => {
    const end = length + bytes.length;
    if (end > all.length) all = new Uint8Array(all.buffer.transfer(2 * end));
    all.set(bytes, length);
    length = end;
  });
  for (const [name, bytes] of Object.entries(entries)) zip.add(name, bytes.length, [bytes]);
  zip.finish();
  return all.slice(0, length);
}

Deno.test("entries begin on multiples of 64 and come back", () => {
  const content = {
    "a/x": Uint8Array.of(1, 2, 3),
    "a/": new Uint8Array(0),
    "é": new Uint8Array(100),
  };
  const source = sourceOf(archive(content)), entries = readZip(source);
  assertEquals([...entries.keys()], Object.keys(content));
  for (const [name, bytes] of Object.entries(content)) {
    const entry = entries.get(name)!;
    assertEquals(entry.start % 64, 0);
    assertEquals(readWhole(source, entry), bytes);
  }
  assertEquals(readZip(sourceOf(archive({}))).size, 0);
});

/** Bytes of which those that are zero throughout take no memory. */
class Sparse implements ByteSource {
  readonly #pieces: { at: number; bytes: Uint8Array<ArrayBuffer> }[] = [];
  size = 0;

  put(bytes: Uint8Array<ArrayBuffer>): void {
    // What is as large as this is zeros.
    if (bytes.length < 2 ** 20) this.#pieces.push({ at: this.size, bytes: bytes.slice() });
    this.size += bytes.length;
  }

  readInto(at: number, buffer: Uint8Array<ArrayBuffer>): void {
    buffer.set(this.readBytes(at, buffer.length));
  }

  readBytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(length);
    for (const piece of this.#pieces) {
      const from = Math.max(at, piece.at),
        to = Math.min(at + length, piece.at + piece.bytes.length);
      if (from < to) out.set(piece.bytes.subarray(from - piece.at, to - piece.at), from - at);
    }
    return out;
  }
}

Deno.test("sizes and places past 4 GiB are written and read", () => {
  const file = new Sparse(), zip = new ZipWriter((bytes) => file.put(bytes));
  const zeros = new Uint8Array(256 * 2 ** 20), large = 17 * zeros.length;
  zip.add("a/large", large, Array.from({ length: 17 }, () => zeros));
  zip.add("a/after", 3, [Uint8Array.of(7, 8, 9)]);
  zip.finish();
  const entries = readZip(file);
  assertEquals(entries.get("a/large")!.bytes, large);
  const after = entries.get("a/after")!;
  assert(after.start > 2 ** 32 && after.start % 64 === 0);
  assertEquals(readWhole(file, after), Uint8Array.of(7, 8, 9));
});

Deno.test("more entries than 65,535 are written and read", () => {
  const names = Array.from({ length: 65536 }, (_, i) => [`${i}`, new Uint8Array(0)] as const);
  assertEquals(readZip(sourceOf(archive(Object.fromEntries(names)))).size, 65536);
});

Deno.test("no flipped byte and no truncation reads outside the file or gives wrong content", () => {
  const content = { "a/x": Uint8Array.from({ length: 40 }, (_, i) => i), "a/y": Uint8Array.of(5) };
  const good = archive(content);
  for (let i = 0; i < good.length; i++) {
    for (const bit of [1, 0x80]) {
      const bytes = good.slice();
      bytes[i] ^= bit;
      const source = sourceOf(bytes);
      try {
        const entries = readZip(source);
        for (const [name, entry] of entries) {
          const read = readWhole(source, entry);
          // A name has no checksum: a file that misses one says so itself.
          if (name in content) assertEquals(read, content[name as keyof typeof content]);
        }
      } catch (error) {
        assertEquals((error as Error).name, "CheckpointError", `byte ${i}: ${error}`);
      }
    }
  }
  for (let n = 0; n < good.length; n++) {
    assertThrows(() => readZip(sourceOf(good.subarray(0, n))), Error, "it is truncated");
  }
});
