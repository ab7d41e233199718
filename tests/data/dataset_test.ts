import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { arange, data, memory, tensor, zeros } from "@toro/toro";

memory(); // opens the library before the sanitizers look

Deno.test("TensorDataset takes a record, a tuple or tensors in order", () => {
  const x = tensor([[1, 2], [3, 4], [5, 6]]), y = tensor([0, 1, 0]);
  const record = new data.TensorDataset({ x, y });
  assertEquals(record.length, 3);
  assertEquals(record.getItem(1).x.toArray(), [3, 4]);
  assertEquals(record.getItem(1).y.item(), 1);
  const tuple = new data.TensorDataset(x, y);
  assertEquals(tuple.getItem(2).map((t) => t.toArray()), [[5, 6], 0]);
  assertEquals(new data.TensorDataset([x, y]).getItem(0)[0].toArray(), [1, 2]);
  assertThrows(
    () => record.getItem(3),
    RangeError,
    "Cannot getItem 3: the dataset has examples 0 to 2",
  );
  assertThrows(
    () => new data.TensorDataset({ x, z: zeros([4]) }),
    RangeError,
    "Cannot make TensorDataset: column x has 3 examples and column z has 4",
  );
  assertThrows(
    () => new data.TensorDataset({ x, z: 3 as never }),
    TypeError,
    "Cannot make TensorDataset of column z, 3: columns are tensors or arrays of strings",
  );
});

Deno.test("randomSplit by fractions and lengths; the same seed gives the same parts", () => {
  const table = { x: arange(11) };
  const [train, valid] = data.randomSplit(table, [0.8, 0.2], { generator: 0 });
  assertEquals([train.length, valid.length], [9, 2]);
  const all = [...train.indices as Int32Array, ...valid.indices as Int32Array];
  assertEquals(all.toSorted((a, b) => a - b), [...Array(11).keys()]);
  assertEquals(data.randomSplit(table, [0.8, 0.2], { generator: 0 })[0].indices, train.indices);
  assertNotEquals(data.randomSplit(table, [0.8, 0.2], { generator: 1 })[0].indices, train.indices);
  const [a, b, c] = data.randomSplit(new data.TensorDataset(table), [5, 6, 0]);
  assertEquals([a.length, b.length, c.length], [5, 6, 0]);
  assertThrows(
    () => data.randomSplit(table, [5, 5]),
    TypeError,
    "Cannot randomSplit 11 examples into [5, 5]: lengths must sum to 11, or fractions to 1",
  );
  const inner = new data.Subset(new data.Subset(new data.TensorDataset(table), [8, 6, 4]), [2, 0]);
  const [batch] = new data.DataLoader(inner, 2);
  assertEquals(batch.x.toArray(), [4, 8]);
  assertThrows(
    () => new data.Subset(new data.TensorDataset(table), [11]),
    RangeError,
    "Cannot make Subset: index 11 at 0 is out of range for 11 examples",
  );
});

Deno.test("a subclass that changes its examples is asked for each", () => {
  class Doubled extends data.TensorDataset<{ x: ReturnType<typeof arange> }> {
    override getItem(i: number): { x: ReturnType<typeof arange> } {
      return { x: super.getItem(i).x.mul(2) };
    }
  }
  const [batch] = new data.DataLoader(new Doubled({ x: arange(3) }), 3);
  assertEquals(batch.x.toArray(), [0, 2, 4]);
});

Deno.test("samplers", () => {
  const set = { length: 5 };
  assertEquals([...new data.SequentialSampler(set)], [0, 1, 2, 3, 4]);
  const random = new data.RandomSampler(set, { generator: 1 });
  const first = [...random], second = [...random];
  assertNotEquals(first, second);
  assertEquals(first.toSorted(), [0, 1, 2, 3, 4]);
  assertEquals([...new data.RandomSampler(set, { generator: 1, numSamples: 12 })].length, 12);
  const replaced = [
    ...new data.RandomSampler(set, { generator: 1, replacement: true, numSamples: 1000 }),
  ];
  for (let i = 0; i < 5; i++) assert(Math.abs(replaced.filter((n) => n === i).length - 200) < 60);
  const weighted = [...new data.WeightedRandomSampler([1, 0, 3], 4000, { generator: 2 })];
  assertEquals(weighted.includes(1), false);
  assert(Math.abs(weighted.filter((n) => n === 2).length / 4000 - 0.75) < 0.03);
  const distinct = [
    ...new data.WeightedRandomSampler([1, 0, 3, 2], 3, { replacement: false, generator: 2 }),
  ];
  assertEquals(distinct.toSorted(), [0, 2, 3]);
  assertThrows(
    () => new data.WeightedRandomSampler([1, 0], 2, { replacement: false }),
    TypeError,
    "2 numbers without replacement from 1 weights above 0",
  );
  const batches = new data.BatchSampler(new data.SequentialSampler(set), 2);
  assertEquals([batches.length, [...batches]], [3, [[0, 1], [2, 3], [4]]]);
});
