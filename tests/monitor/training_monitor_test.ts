// The training log: records, running means, early stopping, resuming, files and curves.
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import "../../src/methods.ts";
import { jobAsync } from "../../ffi/library.ts";
import { panels } from "../../src/monitor/curves.ts";
import { AUC } from "../../src/monitor/metrics.ts";
import { TrainingMonitor } from "../../src/monitor/training_monitor.ts";
import { tensor } from "../../src/ops/creation.ts";

// Opens the library outside of the tests, whose leak check would count it.
await jobAsync("process");

const quiet = { print: false };

/** A loss as the monitor sees it. */
function scalar(value: number, onRead: () => void = () => {}) {
  const it = { detach: () => it, item: () => (onRead(), value) };
  return it;
}

Deno.test("batch means join the record, tensors are read at its end", () => {
  const log = new TrainingMonitor(quiet);
  let reads = 0;
  log.batch({ loss: scalar(1, () => reads++) });
  log.batch({ loss: scalar(2, () => reads++), accuracy: 0.5 });
  assertEquals(reads, 0);
  const record = log.epoch(0, { valAuc: 0.75 });
  assertEquals(reads, 2);
  assertEquals([record.loss, record.accuracy, record.valAuc], [1.5, 0.5, 0.75]);
  log.batch({ loss: 4 }, 1);
  log.batch({ loss: 1 }, 3);
  assertEquals(log.epoch(1).loss, 1.75);
  assertEquals(log.metricsHistory, {
    loss: [1.5, 1.75],
    accuracy: [0.5, NaN],
    valAuc: [0.75, NaN],
  });
});

Deno.test("losses and scores may be tensors", () => {
  const log = new TrainingMonitor(quiet), auc = new AUC();
  log.batch({ loss: tensor(0.5) });
  log.batch({ loss: tensor([1]) });
  auc.update(tensor([0.1, 0.4, 0.35, 0.8]), tensor([0n, 0n, 1n, 1n]));
  const record = log.epoch(0, { auc: auc.compute() });
  assertEquals([record.loss, record.auc], [0.75, 0.75]);
});

Deno.test("progress counts steps and times", async () => {
  const log = new TrainingMonitor({ ...quiet, optimizer: { paramGroups: [{ lr: 0.1 }] } });
  for await (const x of log.progress([1, 2, 3])) log.batch({ loss: x });
  const record = log.epoch(0);
  assertEquals([record.steps, record.loss, record.lr], [3, 2, 0.1]);
  assert(
    (record.seconds as number) >= 0 && (record.stepMs as number) >= 0 &&
      (record.dataMs as number) >= 0,
  );
  assertEquals("steps" in log.epoch(1), false, "an epoch without progress has no times");
});

Deno.test("the progress line shows running means", async () => {
  const lines: string[] = [], log = new TrainingMonitor(quiet);
  log.epoch(6);
  const options = { style: "lines" as const, write: (text: string) => lines.push(text) };
  for await (const x of log.progress([1, 2], options)) log.batch({ loss: scalar(x) });
  assertStringIncludes(lines[0], "epoch 7  50%  1/2");
  assertStringIncludes(lines[1], "loss 1.5000");
});

Deno.test("early stopping: patience counts from the best value", () => {
  const log = new TrainingMonitor({
    ...quiet,
    earlyStopping: { metric: "auc", mode: "max", patience: 3, minDelta: 0.01 },
  });
  const stopped = [0.5, 0.6, 0.605, NaN, 0.62, 0.61, 0.62, 0.6299].map((auc, epoch) => {
    log.epoch(epoch, { auc });
    return log.stopped;
  });
  assertEquals(stopped, [false, false, false, false, false, false, false, true]);
  assertEquals(log.best, { epoch: 4, value: 0.62 });
});

Deno.test("early stopping: min mode, default patience, NaN from the start", () => {
  const log = new TrainingMonitor({ ...quiet, earlyStopping: { metric: "loss", mode: "min" } });
  for (let epoch = 0; epoch < 9; epoch++) log.epoch(epoch, { loss: epoch % 2 ? NaN : Infinity });
  assertEquals([log.stopped, log.best], [false, null]);
  log.epoch(9, { loss: NaN });
  assertEquals(log.stopped, true);
  const other = new TrainingMonitor({
    ...quiet,
    earlyStopping: { metric: "loss", mode: "min", patience: 1 },
  });
  other.epoch(0, { loss: 1 });
  other.epoch(1, { loss: 0.5 });
  assertEquals(other.stopped, false);
  other.epoch(2, { loss: 0.5 });
  assertEquals(other.stopped, true);
});

Deno.test("wrong metrics are named", () => {
  const log = new TrainingMonitor({ ...quiet, earlyStopping: { metric: "valAuc", mode: "max" } });
  assertThrows(
    () => log.epoch(0, { auc: 1, loss: 2 }),
    TypeError,
    'metric "valAuc": epoch 0 has auc, loss',
  );
  assertEquals(log.history.length, 0);
  assertThrows(
    () => log.epoch(0, { valAuc: "1" as never }),
    TypeError,
    'metric "valAuc": it is "1", not a number',
  );
  assertThrows(() => log.epoch(0, { epoch: 1 }), TypeError, "the log uses that name itself");
  assertThrows(
    () => new TrainingMonitor({ earlyStopping: { metric: "a", mode: "best" as never } }),
    TypeError,
    '"best", not "min" or "max"',
  );
});

Deno.test("state goes through JSON and a resumed run logs as the whole one", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/train.log.jsonl`;
  const options = {
    ...quiet,
    dir,
    earlyStopping: { metric: "auc", mode: "max", patience: 2 } as const,
  };
  const other = new TrainingMonitor({ ...quiet, dir });
  other.epoch(0, { auc: 0.1 });
  await new Promise((resolve) => setTimeout(resolve, 2)); // another run begins at another millisecond
  const first = new TrainingMonitor(options);
  first.epoch(0, { auc: 0.5, extra: NaN });
  first.epoch(1, { auc: 0.4 });
  first.batch({ loss: scalar(1) });
  const state = JSON.parse(JSON.stringify(first.stateDict()));
  first.epoch(2, { auc: 0.9 }); // lost: it comes after the checkpoint

  const second = new TrainingMonitor(options);
  second.loadStateDict(state);
  assertEquals(second.history, first.history.slice(0, 2));
  second.batch({ loss: scalar(2) });
  second.epoch(2, { auc: 0.45 });
  assertEquals(second.history[2].loss, 1.5);
  assertEquals([second.stopped, second.best], [true, { epoch: 0, value: 0.5 }]);
  second.epoch(3, { auc: 0.46 });
  const lines = Deno.readTextFileSync(path).trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map((line) => [line.epoch, line.auc]), [[0, 0.1], [0, 0.5], [1, 0.4], [
    2,
    0.45,
  ], [3, 0.46]]);
  assertEquals(lines[1].extra, null);
  assertEquals([...Deno.readDirSync(dir)].length, 1);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("the human line", () => {
  const lines: string[] = [],
    log = new TrainingMonitor({ earlyStopping: { metric: "auc", mode: "max", patience: 1 } });
  const original = console.log;
  console.log = (line: string) => lines.push(line);
  try {
    log.epoch(0, { loss: 0.43211, auc: 0.75 });
    log.epoch(1, { loss: 0.00001, auc: 0.7 });
  } finally {
    console.log = original;
  }
  assertEquals(lines, [
    "epoch 0  loss 0.4321  auc 0.7500  best so far",
    "epoch 1  loss 1e−5  auc 0.7000  stop: best was epoch 0",
  ]);
});

Deno.test("charts: one for each quantity, train and valid together", () => {
  const history = [0, 1].map((epoch) => ({
    epoch,
    run: "",
    time: "",
    loss: 0.5,
    validLoss: 0.6,
    trainAcc: 0.8,
    valAcc: 0.7,
    lr: 0.1,
    stepMs: 3,
    dataMs: 1,
  }));
  const names = ["valAcc", "loss", "validLoss", "trainAcc", "lr", "stepMs", "dataMs"];
  const charts = panels(history, names, { metric: "valAcc", mode: "max" }, {
    epoch: 1,
    value: 0.7,
  });
  assertEquals(charts.map((chart) => chart.title), [
    "Loss",
    "Acc",
    "Learning rate",
    "Valid loss minus train loss",
  ]);
  assertEquals(charts[0].series.map((line) => line.name), ["train", "valid"]);
  assertEquals(charts[1].mark?.x, 1);
  const few = panels(history, ["valAuc", "stepMs", "dataMs"]);
  assertEquals(few.map((chart) => chart.title), ["Valid AUC", "Time a step"]);
});

Deno.test("curves are written as SVG and PNG", async () => {
  const dir = await Deno.makeTempDir();
  const log = new TrainingMonitor({ ...quiet, dir, curvesEvery: 2 });
  log.epoch(0, { loss: 0.7, validLoss: 0.72 });
  assertEquals([...Deno.readDirSync(dir)].map((entry) => entry.name), ["train.log.jsonl"]);
  log.epoch(1, { loss: 0.5, validLoss: 0.6 });
  const png = Deno.readFileSync(`${dir}/curves.png`);
  assertEquals([...png.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
  log.epoch(2, { loss: 0.4 });
  await log.plotTrainingCurves();
  assertEquals(Deno.readTextFileSync(`${dir}/curves.svg`), log.svg());
  await Deno.remove(dir, { recursive: true });
});

Deno.test({
  name: "without write permission the error is Deno's, without a folder none is needed",
  permissions: { write: false, read: false },
  fn: async () => {
    new TrainingMonitor(quiet).epoch(0, { loss: 1 });
    const log = new TrainingMonitor({ ...quiet, dir: "/tmp/toro_none" });
    await assertRejects(
      async () => void await Promise.resolve(log.epoch(0, { loss: 1 })),
      Deno.errors.NotCapable,
    );
  },
});
