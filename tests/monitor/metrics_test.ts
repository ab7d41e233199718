// Metrics against values worked out by hand and against plain definitions.
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { Accuracy, AUC, HitRate, Mean, NDCG, RankAUC } from "../../src/monitor/metrics.ts";

/** A tensor as metrics see it. */
function fake(values: number[], shape: number[]) {
  return { shape, toTypedArray: () => Float32Array.from(values) };
}

/** Park and Miller's generator: the same numbers everywhere. */
function random(seed: number): () => number {
  return () => (seed = seed * 16807 % 2147483647) / 2147483647;
}

Deno.test("AUC counts pairs, ties half", () => {
  const auc = new AUC();
  auc.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]);
  assertEquals(auc.compute(), 0.75);
  auc.reset();
  auc.update([1, 1, 1], [true, false, true]);
  assertEquals(auc.compute(), 0.5);
  auc.reset();
  assertEquals(auc.compute(), NaN);
  auc.update([0.5], [1n]);
  assertEquals(auc.compute(), NaN);
});

Deno.test("AUC equals the definition on 400 scores with ties, in any batching", () => {
  const next = random(7), scores: number[] = [], labels: number[] = [];
  for (let i = 0; i < 400; i++) {
    labels.push(Number(next() < 0.3));
    scores.push(Math.round(20 * (next() + 0.3 * labels[i])) - 10);
  }
  let wins = 0, pairs = 0;
  for (let i = 0; i < 400; i++) {
    for (let j = 0; j < 400; j++) {
      if (labels[i] !== 1 || labels[j] !== 0) continue;
      pairs++;
      wins += scores[i] > scores[j] ? 1 : scores[i] === scores[j] ? 0.5 : 0;
    }
  }
  const auc = new AUC();
  for (let i = 0; i < 400; i += 37) {
    auc.update(fake(scores.slice(i, i + 37), [37]), Int8Array.from(labels.slice(i, i + 37)));
    auc.compute();
  }
  assertAlmostEquals(auc.compute(), wins / pairs, 1e-15);
});

Deno.test("AUC refuses what has no meaning", () => {
  const auc = new AUC();
  assertThrows(() => auc.update([0.1, NaN], [0, 1]), TypeError, "score 1 is NaN");
  assertThrows(() => auc.update([0.1], [2]), TypeError, "label 0 is 2, and labels are 0 or 1");
  assertThrows(() => auc.update([0.1, 0.2], [1]), TypeError, "2 scores and 1 labels");
});

Deno.test("Accuracy takes classes and probabilities", () => {
  const accuracy = new Accuracy();
  accuracy.update(fake([0.1, 0.9, 0.8, 0.2, 0.5, 0.5], [3, 2]), [1, 1, 0]);
  assertEquals(accuracy.compute(), 2 / 3);
  accuracy.reset();
  accuracy.update([[1, 2, 3], [9, 2, 3]], new BigInt64Array([2n, 0n]));
  assertEquals(accuracy.compute(), 1);
  const logits = new Accuracy({ threshold: 0 });
  logits.update([-1, 0.2], [0, 1]);
  assertEquals(logits.compute(), 1);
  assertThrows(() => accuracy.update([[1, 2]], [0, 1]), TypeError, "1 scores and 2 labels");
});

Deno.test("rank metrics: the positive in column 0, ties half", () => {
  const rows = [[0.9, 0.1, 0.2], [0.5, 0.5, 0.8], [0.1, 0.2, 0.3]]; // ranks 0, 1.5, 2
  const check = (metric: HitRate | NDCG | RankAUC, wanted: number) => {
    metric.update(rows);
    assertAlmostEquals(metric.compute(), wanted, 1e-15);
    metric.reset();
    metric.update(fake(rows.flat(), [3, 3]));
    metric.update([]);
    assertAlmostEquals(metric.compute(), wanted, 1e-6);
  };
  check(new HitRate(2), 2 / 3);
  check(new NDCG(2), (1 + 1 / Math.log2(3.5)) / 3);
  check(new RankAUC(), (1 + 0.25 + 0) / 3);
  assertThrows(() => new HitRate(0), TypeError, "k = 0");
  assertThrows(() => new HitRate().update(fake([1, 2], [2])), TypeError, "shape [2]");
});

Deno.test("a model that scores all alike, or NaN, gets no credit", () => {
  const hits = new HitRate(1);
  hits.update([[0, 0, 0]]);
  hits.update([[NaN, 1, 2]]);
  assertEquals(hits.compute(), 0);
});

Deno.test("Mean reads tensors only when asked", () => {
  let reads = 0;
  const scalar = (value: number) => {
    const it = { detach: () => it, item: () => (reads++, value) };
    return it;
  };
  const mean = new Mean();
  mean.update(scalar(1), 1);
  mean.update(scalar(2), 3);
  assertEquals(reads, 0);
  assertEquals(mean.compute(), 7 / 4);
  assertEquals(reads, 2);
  const copy = new Mean();
  copy.loadStateDict(mean.stateDict());
  copy.update(0.25, 4);
  assertEquals(copy.compute(), 1);
  assertThrows(() => mean.update("1" as never), TypeError, 'Mean with "1"');
});
