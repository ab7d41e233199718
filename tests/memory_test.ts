/** Memory: nobody frees anything and it stays flat, whoever wants to can, and the budget is kept. */
import { assert, assertEquals, assertLess, assertMatch, assertThrows } from "@std/assert";
import {
  DisposedError,
  memory,
  OutOfMemoryError,
  setMemoryLimit,
  type Tensor,
  zeros,
} from "../mod.ts";
import { collectGarbage } from "../src/memory.ts";

const MIB = 2 ** 20;

// The library is opened once and for good, outside any test.
memory();

/** Runs a body under a small budget, so that collections come soon, and gives the old one back. */
async function within<T>(budget: number, body: () => T | Promise<T>): Promise<T> {
  collectGarbage();
  const before = memory().budgetBytes;
  setMemoryLimit(memory().liveBytes + budget);
  try {
    return await body();
  } finally {
    setMemoryLimit(before);
    collectGarbage();
  }
}

/** The most that was live, and the most handles, over the later part of many steps. */
class Watch {
  bytes = 0;
  handles = 0;
  readonly #before = memory();
  look(): void {
    const now = memory();
    this.bytes = Math.max(this.bytes, now.liveBytes - this.#before.liveBytes);
    this.handles = Math.max(this.handles, now.handles - this.#before.handles);
  }
  get collections(): number {
    return memory().collections - this.#before.collections;
  }
}

Deno.test("a synchronous loop without dispose stays within the budget", () =>
  within(128 * MIB, () => {
    const watch = new Watch();
    let x = zeros([256, 1024]);
    for (let i = 0; i < 2000; i++) {
      x = x.add(1);
      if (i % 50 === 0) watch.look();
    }
    assertEquals(x.toTypedArray()[0], 2000);
    assert(watch.collections > 0);
    assertLess(watch.bytes, 129 * MIB);
  }));

Deno.test("a for await loop without dispose stays within the budget", () =>
  within(128 * MIB, async () => {
    async function* batches(): AsyncGenerator<Tensor> {
      for (let i = 0; i < 1000; i++) {
        if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
        yield zeros([256, 1024]);
      }
    }
    const watch = new Watch();
    let sum = zeros([256, 1024]);
    for await (const batch of batches()) {
      sum = sum.add(batch.add(1));
      watch.look();
    }
    assertEquals(sum.toTypedArray()[7], 1000);
    assert(watch.collections > 0);
    assertLess(watch.bytes, 129 * MIB);
  }));

Deno.test("tensors of 64 elements leave neither bytes nor handles behind", () =>
  within(32 * MIB, () => {
    const watch = new Watch();
    let x = zeros([64]);
    for (let i = 0; i < 400_000; i++) {
      x = x.add(1);
      if (i % 5000 === 0) watch.look();
    }
    assertEquals(x.toTypedArray()[63], 400_000);
    // V8's own young collections are enough for these, and what is counted is slabs of 64 KiB, not tensors.
    assertLess(watch.bytes, 12 * MIB);
    assertLess(watch.handles, 200);
  }));

Deno.test("a window of tensors that live for long, and grow old, stays within the budget", () =>
  within(128 * MIB, () => {
    const watch = new Watch();
    const batches: Tensor[] = [];
    for (let i = 0; i < 1000; i++) {
      batches.push(zeros([256, 256]).add(i));
      if (batches.length > 50) batches.shift();
      if (i % 50 === 0) watch.look();
    }
    batches.forEach((t, i) => assertEquals(t.toTypedArray()[i], 950 + i));
    assertLess(watch.bytes, 129 * MIB);
  }));

Deno.test("memory that no round needed goes back to the system", () =>
  within(1024 * MIB, () => {
    const burst = Array.from({ length: 64 }, () => zeros([1024, 1024]));
    burst.forEach((t) => t.dispose());
    assert(memory().cachedBytes >= 256 * MIB);
    // How large a round is depends on what other tests left alive, so rounds are counted: a block that two trims found
    // unused, each sixteen rounds after the last, is given back.
    const watch = new Watch();
    while (watch.collections < 40) zeros([256, 256]);
    assertLess(memory().cachedBytes, 256 * MIB);
  }));

Deno.test("a tensor held through the loop keeps its values", () =>
  within(64 * MIB, () => {
    const held = Array.from({ length: 20 }, (_, i) => zeros([64 * 1024]).add(i));
    const small = Array.from({ length: 20 }, (_, i) => zeros([3]).add(i));
    for (let i = 0; i < 1000; i++) zeros([256, 256]).add(i);
    held.forEach((t, i) => assert(t.toTypedArray().every((x) => x === i)));
    small.forEach((t, i) => assertEquals(t.toArray(), [i, i, i]));
  }));

Deno.test("dispose frees at once, twice is no error, and use afterwards is", () => {
  const before = memory();
  const t = zeros([1024, 1024]);
  const view = t.view([1024 * 1024]);
  assertEquals(memory().liveBytes - before.liveBytes, 4 * MIB);
  t.dispose();
  t.dispose();
  assertEquals(memory().liveBytes, before.liveBytes);
  assertEquals(memory().handles, before.handles);
  for (const [name, use] of [["add", () => t.add(1)], ["toArray", () => view.toArray()]] as const) {
    const error = assertThrows(use, DisposedError) as DisposedError;
    assertMatch(error.message, /^Cannot \w+ a tensor that was disposed/, name);
  }
  collectGarbage();
  {
    using inner = zeros([1024, 1024]);
    assertEquals(inner.isDisposed, false);
  }
  assertEquals(memory().liveBytes, before.liveBytes);
});

Deno.test("past the budget allocation fails with the figures, and works again afterwards", () =>
  within(64 * MIB, () => {
    const kept: Tensor[] = [];
    const error = assertThrows(() => {
      for (;;) kept.push(zeros([1024, 1024]));
    }, OutOfMemoryError) as OutOfMemoryError;
    const { budgetBytes } = memory();
    assertMatch(
      error.message,
      new RegExp(
        `^Cannot zeros: Cannot allocate 4194304 bytes: \\d+ live, \\d+ cached and \\d+ peak bytes of a budget of ${budgetBytes}\n` +
          "Hint: setMemoryLimit raises the budget$",
      ),
    );
    assertEquals(kept.length, 16);
    kept.length = 0;
    assertEquals(zeros([1024, 1024]).add(1).toTypedArray()[5], 1);
  }));

Deno.test("sizes that no memory has are refused before anything is touched", () => {
  const error = assertThrows(() => zeros([2 ** 24, 2 ** 20]), OutOfMemoryError) as OutOfMemoryError;
  assertMatch(error.message, /^Cannot zeros: Cannot allocate 70368744177664 bytes: /);
});

/** Runs a worker's module text and gives what it posts. */
function runWorker(text: string): { worker: Worker; answer: Promise<unknown> } {
  const mod = new URL("../", import.meta.url).href;
  const source = text.replaceAll("ROOT/", mod);
  const url = `data:application/javascript,${encodeURIComponent(source)}`;
  const worker = new Worker(url, { type: "module" });
  const answer = new Promise((resolve, reject) => {
    worker.onmessage = (e) => resolve(e.data);
    worker.onerror = (e) => {
      e.preventDefault();
      reject(new Error(e.message));
    };
  });
  return { worker, answer };
}

Deno.test("what a worker leaves is freed when its thread ends", async () => {
  collectGarbage();
  const before = memory();
  const { worker, answer } = runWorker(`
    import { memory, zeros } from "ROOT/mod.ts";
    // What other threads left may go meanwhile: only what lies between the two counts.
    const { liveBytes } = memory();
    globalThis.kept = [zeros([1024, 1024]), zeros([64])];
    self.postMessage(memory().liveBytes - liveBytes);
  `);
  assert(await answer as number >= 4 * MIB);
  worker.terminate();
  const until = Date.now() + 30_000;
  while (memory().liveBytes > before.liveBytes && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert(memory().liveBytes <= before.liveBytes);
  assert(memory().handles <= before.handles);
});

Deno.test("without the collecting trick the engine's finalizers free memory", async () => {
  const { worker, answer } = runWorker(`
    import v8 from "node:v8";
    import vm from "node:vm";
    import { memory, zeros } from "ROOT/mod.ts";
    import { chooseCollector } from "ROOT/src/collection.ts";
    chooseCollector("finalizer");
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc");
    const before = memory().liveBytes;
    const kept = zeros([1024, 1024]).add(3);
    let most = 0;
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 10; j++) zeros([256, 1024]).add(j);
      most = Math.max(most, memory().liveBytes - before);
      gc();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    self.postMessage([most, memory().liveBytes - before, kept.toTypedArray()[9]]);
  `);
  const [most, left, value] = await answer as number[];
  worker.terminate();
  assertLess(most, 128 * MIB);
  assertLess(left, 32 * MIB);
  assertEquals(value, 3);
});
