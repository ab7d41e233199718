import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { arange, data, manualSeed, memory, scope, type Tensor, tensor } from "@toro/toro";

memory(); // opens the library before the sanitizers look

function columns(n: number): { x: Tensor; y: Tensor } {
  return { x: arange(n), y: arange(2 * n).reshape([n, 2]) };
}

function flat(batches: Iterable<{ x: Tensor }>): number[] {
  return [...batches].flatMap(({ x }) => x.toArray() as number[]);
}

class Squares extends data.Dataset<{ x: number; name: string }> {
  override readonly length = 5;
  override getItem(i: number): { x: number; name: string } {
    return { x: i * i, name: `n${i}` };
  }
}

class Later extends data.Dataset<number> {
  override readonly length = 3;
  override getItem(i: number): Promise<number> {
    return Promise.resolve(i);
  }
}

Deno.test("columns are gathered whole, each row with its own", async () => {
  const loader = new data.DataLoader(columns(10), { batchSize: 4, shuffle: true, generator: 1 });
  assertEquals(loader.length, 3);
  const seen: number[] = [];
  for await (const { x, y } of loader) {
    assertEquals(x.dtype, "int64");
    const numbers = x.toArray() as number[];
    assertEquals(y.toArray(), numbers.map((n) => [2 * n, 2 * n + 1]));
    seen.push(...numbers);
  }
  assertNotEquals(seen, seen.toSorted((a, b) => a - b));
  assertEquals(seen.toSorted((a, b) => a - b), [...Array(10).keys()]);
});

Deno.test("an order depends only on seed and epoch", () => {
  const orders = (seed: number) => {
    const loader = new data.DataLoader(columns(50), {
      batchSize: 7,
      shuffle: true,
      generator: seed,
    });
    return [flat(loader), flat(loader)];
  };
  const [first, second] = orders(3);
  assertNotEquals(first, second);
  assertEquals(orders(3), [first, second]);
  assertNotEquals(orders(4)[0], first);
  manualSeed(3);
  assertEquals(flat(new data.DataLoader(columns(50), { batchSize: 9, shuffle: true })), first);
});

Deno.test("a loader goes on with the next batch of the same order", async () => {
  const make = () =>
    new data.DataLoader(columns(23), { batchSize: 4, shuffle: true, generator: 5 });
  const whole = make();
  const orders = [flat(whole), flat(whole), flat(whole)];
  const cut = make();
  flat(cut);
  let state: data.DataLoaderState | undefined, seen = 0;
  for await (const _ of cut) {
    if (++seen === 2) {
      state = cut.stateDict();
      break;
    }
  }
  assertEquals(state, { epoch: 1, batch: 2, seed: 5, batchSize: 4, examples: 23 });
  assertEquals(cut.stateDict().epoch, 2);
  const resumed = make();
  resumed.loadStateDict(JSON.parse(JSON.stringify(state)));
  assertEquals(resumed.stateDict(), state);
  assertEquals(flat(resumed), orders[1].slice(8));
  assertEquals(flat(resumed), orders[2]);
  assertThrows(
    () => new data.DataLoader(columns(23), { batchSize: 5 }).loadStateDict(state!),
    Error,
    "Cannot go on in the middle of epoch 1: it was begun with 4 examples in a batch, the loader has 5",
  );
});

Deno.test("datasets of the user's own collate field by field", async () => {
  const batches = [];
  for await (const batch of new data.DataLoader(new Squares(), 2)) batches.push(batch);
  assertEquals(batches.map(({ name }) => name), [["n0", "n1"], ["n2", "n3"], ["n4"]]);
  assertEquals(batches[1].x.toArray(), [4, 9]);
  assertEquals(batches[1].x.dtype, "float32");
  const dropped = new data.DataLoader(new Squares(), { batchSize: 2, dropLast: true });
  assertEquals([dropped.length, [...dropped].length], [2, 2]);
  const lengths = new data.DataLoader(new Squares(), {
    batchSize: 3,
    collate: (rows) => rows.length,
  });
  assertEquals([...lengths], [3, 2]);
  const numbers = [];
  for await (const batch of new data.DataLoader(new Later(), 3)) numbers.push(batch.toArray());
  assertEquals(numbers, [[0, 1, 2]]);
  assertThrows(
    () => [...new data.DataLoader(new Later())],
    TypeError,
    "Cannot iterate a DataLoader by a plain for: its dataset or collate answers later",
  );
});

Deno.test("streams, arrays and string columns load too", async () => {
  class Stream extends data.IterableDataset<number> {
    override async *[Symbol.asyncIterator](): AsyncGenerator<number> {
      for (let i = 0; i < 5; i++) yield await i;
    }
  }
  const loader = new data.DataLoader(new Stream(), 2), seen = [];
  for await (const batch of loader) seen.push(batch.toArray());
  assertEquals(seen, [[0, 1], [2, 3], [4]]);
  assert(Number.isNaN(loader.length));
  loader.loadStateDict({ ...loader.stateDict(), batch: 2 });
  for await (const batch of loader) assertEquals(batch.toArray(), [4]);
  assertEquals([...new data.DataLoader(["a", "b", "c"], 2)], [["a", "b"], ["c"]]);
  const table = { id: tensor([1n, 2n, 3n]), name: ["a", "b", "c"] };
  const [batch] = new data.DataLoader(table, { batchSize: 3, sampler: [2, 0] });
  assertEquals([batch.id.toArray(), batch.name], [[3, 1], ["c", "a"]]);
});

Deno.test("collate names the field where examples differ", async () => {
  const rows = (...values: unknown[]) =>
    new data.DataLoader(values, { batchSize: values.length }) as AsyncIterable<unknown>;
  const first = async (loader: AsyncIterable<unknown>) => {
    for await (const batch of loader) return batch;
  };
  await assertRejects(
    () => first(rows({ a: { b: 1 } }, { a: { b: "x" } })),
    Error,
    'Cannot collate field a.b: example 0 of the batch is 1, example 1 is "x"',
  );
  await assertRejects(
    () => first(rows([tensor([1])], [tensor([1, 2])])),
    Error,
    "Cannot collate field 0: example 0 of the batch has shape [1], example 1 has [2]",
  );
  await assertRejects(
    () => first(rows(new Date(0))),
    Error,
    "Cannot collate examples: a Date has no rule",
  );
});

Deno.test("options that exclude each other are errors", () => {
  const rows = columns(4);
  const make = (options: Record<string, unknown>, source: unknown = rows) => () =>
    new data.DataLoader(source as typeof rows, options);
  assertThrows(
    make({ shuffle: true, sampler: [0] }),
    TypeError,
    "Cannot make DataLoader with sampler and shuffle",
  );
  assertThrows(
    make({ batchSampler: [[0]], batchSize: 2 }),
    TypeError,
    "with batchSampler and batchSize",
  );
  assertThrows(
    make({ batchSize: 0 }),
    TypeError,
    "batchSize must be a whole number above 0, got 0",
  );
  assertThrows(make({ nope: 1 }), TypeError, 'Cannot make DataLoader: unknown option "nope"');
  assertThrows(make({ prefetchFactor: 2 }), TypeError, "prefetchFactor and numWorkers 0");
  make({ numWorkers: 8, pinMemory: true, prefetchFactor: 2, persistentWorkers: true })();
  assertThrows(
    make({ numWorkers: 2 }, new Squares()),
    TypeError,
    "Cannot make DataLoader with numWorkers 2: a worker cannot rebuild this Squares\nHint: data.inModule(import.meta.url, Squares, [...args])",
  );
  assertThrows(
    () => new data.DataLoader(3 as never),
    TypeError,
    "Cannot load 3: it must be a Dataset",
  );
});

Deno.test("a for await loop gives timers a turn at least every 50 ms", async () => {
  let fired = 0;
  const timer = setInterval(() => fired++, 1);
  const end = performance.now() + 250;
  for await (const _ of new data.DataLoader(columns(100_000), 1)) {
    if (performance.now() > end) break;
  }
  clearInterval(timer);
  assert(fired >= 3, `${fired} turns`);
});

Deno.test("batches outlive a scope around the loop's body", () => {
  const iterator = new data.DataLoader(columns(4), 2)[Symbol.iterator]();
  const x = scope(() => {
    const kept = iterator.next().value!.x;
    kept.add(1);
    return null;
  });
  assertEquals(x, null);
  assertEquals(iterator.next().value!.x.toArray(), [2, 3]);
  iterator.return!(undefined);
});
