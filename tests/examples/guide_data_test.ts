/** Chapter 4: the cache and its limits, items that belong to their numbers, loader options, the pipeline. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { arange, data, manualSeed, memory, randn, type Tensor } from "@toro/toro";
import {
  createEnterpriseDataloader,
  DataPreprocessingPipeline,
  EnterpriseDataset,
  LruCache,
} from "../../examples/guide/04_data.ts";

memory(); // opens the library before the sanitizers look

Deno.test("LruCache drops what was not asked for longest, by number or by bytes", () => {
  const cache = new LruCache<string, string>((v) => v.length, { maxItems: 3 });
  const made: string[] = [];
  const get = (key: string) =>
    cache.get(key, () => {
      made.push(key);
      return key.repeat(2);
    });
  for (const key of ["a", "b", "c", "a", "d"]) get(key);
  assertEquals(cache.keys(), ["c", "a", "d"]);
  assertEquals(get("b"), "bb");
  assertEquals(cache.keys(), ["a", "d", "b"]);
  assertEquals(made, ["a", "b", "c", "d", "b"]);
  assertEquals([cache.hits, cache.misses, cache.size, cache.bytes], [1, 5, 3, 6]);

  const small = new LruCache<number, string>((v) => v.length, { maxBytes: 5 });
  for (const n of [1, 2, 3]) small.get(n, () => "x".repeat(n));
  assertEquals([small.keys(), small.bytes], [[2, 3], 5]);
  // What alone is too large is handed out, but not kept.
  assertEquals(small.get(9, () => "123456"), "123456");
  assertEquals([small.size, small.bytes], [0, 0]);
});

Deno.test("EnterpriseDataset makes an item from its number alone, keeps it raw and transforms it anew", () => {
  let calls = 0;
  const noisy = new EnterpriseDataset({
    cacheSize: 2,
    transform: (x) => x.add(++calls),
  });
  assertEquals(noisy.length, 1_000_000);
  const plain = new EnterpriseDataset();
  const [first, label] = plain.getItem(999_999);
  assertEquals([first.shape, label.shape], [[100], [1]]);
  for (const k of [1, 2]) {
    const [features] = noisy.getItem(999_999);
    assertAlmostEquals(features.sub(first).mean().item(), k, 1e-5);
  }
  assertEquals([noisy.cache.hits, noisy.cache.misses, noisy.cache.bytes], [1, 1, 404]);
  assertNotEquals(plain.getItem(0)[0].toArray(), first.toArray());
  const other = new EnterpriseDataset({ seed: 1 }).getItem(999_999);
  assertNotEquals(other[0].toArray(), first.toArray());

  const all: Tensor =
    data.defaultCollate(Array.from({ length: 400 }, (_, i) => plain.getItem(i)))[0];
  assert(Math.abs(all.mean().item()) < 5 / Math.sqrt(all.numel));
  assertAlmostEquals(all.std().item(), 1, 5 / Math.sqrt(2 * all.numel));
  for (let i = 0; i < 50; i++) {
    const [features, label] = plain.getItem(i);
    assertEquals(label.item(), features.narrow(0, 0, 10).sum().item() > 0 ? 1 : 0);
  }
});

Deno.test("createEnterpriseDataloader shuffles each epoch; workers serve columns and are refused for items", () => {
  manualSeed(0);
  const loader = createEnterpriseDataloader(new EnterpriseDataset({ numItems: 100 }), {
    batchSize: 32,
  });
  assertEquals(loader.length, 4);
  const epochs = [0, 1].map(() => [...loader]);
  for (const batches of epochs) {
    assertEquals(batches.map(([x, y]) => [x.shape, y.shape]).at(-1), [[4, 100], [4, 1]]);
  }
  assertNotEquals(epochs[0][0][0].toArray(), epochs[1][0][0].toArray());
  assertEquals(createEnterpriseDataloader(new EnterpriseDataset()).batchSize, 1024);

  const columns = new data.TensorDataset({ n: arange(10) });
  const seen = [...createEnterpriseDataloader(columns, { batchSize: 4, numWorkers: 8 })]
    .flatMap(({ n }) => n.toArray() as number[]);
  assertEquals(seen.toSorted((a, b) => a - b), [...Array(10).keys()]);
  assertThrows(
    () => createEnterpriseDataloader(new EnterpriseDataset(), { numWorkers: 2 }),
    TypeError,
    "data.inModule(import.meta.url, EnterpriseDataset, [...args])",
  );
});

Deno.test("DataPreprocessingPipeline disturbs and normalises in training, and only normalises in evaluation", () => {
  manualSeed(5);
  const pipeline = new DataPreprocessingPipeline({ numFeatures: 20, maskRatio: 0.3 });
  const x = randn([4096, 20]).mul(3).add(1);
  const y = pipeline.forward(x);
  assertAlmostEquals(y.mean().item(), 0, 1e-5);
  assertAlmostEquals(y.std().item(), 1, 1e-3);
  assertNotEquals(pipeline.forward(x).toTypedArray(), y.toTypedArray());
  for (let i = 0; i < 60; i++) pipeline.forward(x);
  pipeline.eval();
  const quiet = pipeline.forward(x);
  assertEquals(pipeline.forward(x).toTypedArray(), quiet.toTypedArray());
  // Three tenths were zeros while it learnt mean and deviation.
  const mean = 0.7, variance = 0.7 * (9 + 1) - mean * mean;
  const expected = x.sub(mean).div(Math.sqrt(variance));
  assert(quiet.sub(expected).abs().max().item() < 0.5);
  assertAlmostEquals(quiet.sub(expected).mean().item(), 0, 0.02);
});
