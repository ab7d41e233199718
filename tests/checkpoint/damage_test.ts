/** Damage to a checkpoint: every byte, every length, every page. What is not seen must change nothing. */
import { assert, assertEquals } from "@std/assert";
import { arange, checkpoint, memory, tensor } from "@toro/toro";
import { isSame } from "./hostile/seeds.ts";

memory(); // opens the library before the sanitizers look

/** A small state, for it is read a thousand times. */
const state = (): Record<string, unknown> => ({
  x: tensor([1, 2, 3]),
  flags: tensor([true, false, true]),
  numbers: [1, -0, NaN, 2n ** 63n],
  map: new Map<unknown, unknown>([[1, "a"], ["k", { deep: tensor([7]) }]]),
  array: Float64Array.of(1, 2),
});

/** Saves a state, and calls `body` with its bytes and with what a file of other bytes means; null where it is refused. */
async function withFile(
  state: Record<string, unknown>,
  body: (
    bytes: Uint8Array<ArrayBuffer>,
    read: (bytes: Uint8Array) => Promise<Record<string, unknown> | null>,
    start: number,
  ) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/state.safetensors`, broken = `${dir}/broken.safetensors`;
    await checkpoint.save(path, state);
    const bytes = await Deno.readFile(path);
    const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    await body(bytes, async (damaged) => {
      Deno.writeFileSync(broken, damaged);
      try {
        return await checkpoint.load(broken);
      } catch (error) {
        const { name, message } = error as Error;
        assertEquals(name, "CheckpointError");
        assert(message.startsWith(`Cannot load ${broken}: `), message);
        return null;
      }
    }, start);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("every byte, flipped in one bit or in all, is found or means nothing", () =>
  withFile(state(), async (bytes, read, start) => {
    const whole = await read(bytes);
    assert(isSame(whole, state()));
    const unseen: number[] = [];
    for (let i = 0; i < bytes.length; i++) {
      const copy = bytes.slice();
      copy[i] ^= i % 3 === 0 ? 0xff : 1 << i % 8;
      const now = await read(copy);
      if (now === null) continue;
      assert(isSame(now, whole), `byte ${i} changed what is read`);
      unseen.push(i);
    }
    // Bytes that only fill up to the next tensor or the next page may be anything.
    assert(
      unseen.length < 8,
      `unseen are ${unseen.length} bytes, as ${unseen.slice(0, 8)} of ${start}`,
    );
  }));

Deno.test("a file that was cut anywhere is refused", () =>
  withFile(state(), async (bytes, read) => {
    for (let n = 0; n < bytes.length; n++) {
      assertEquals(await read(bytes.subarray(0, n)), null, `${n} bytes`);
    }
  }));

Deno.test("a page of zeros is found", () =>
  withFile({ x: arange(1, 40_000).to("float32"), y: arange(1, 9000) }, async (bytes, read) => {
    const page = 4096;
    for (let at = 0; at < bytes.length; at += page) {
      const copy = bytes.slice();
      copy.fill(0, at, at + page);
      assertEquals(await read(copy), null, `the page at ${at}`);
    }
  }));
