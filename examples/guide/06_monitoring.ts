// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME --allow-read=out --allow-write=out examples/guide/06_monitoring.ts
//
// Chapter 6, monitoring: a log, early stopping and curves of a training that begins to learn by heart.
// --users, --items, --interactions, --epochs, --patience and --batch make it smaller; --out is the folder of the files.
import { parseArgs } from "@std/cli/parse-args";
import { data, manualSeed, monitor, nn, noGrad, optim } from "@toro/toro";
import { RecommendationSystem } from "./02_modules.ts";
import { GradientAccumulation } from "./03_autograd.ts";
import { createEnterpriseDataloader } from "./04_data.ts";
import { accuracyOf, generateInteractions } from "./05_deployment.ts";

if (import.meta.main) {
  const { users, items, interactions, epochs, patience, batch, out, seed } = parseArgs(Deno.args, {
    string: ["out"],
    default: {
      users: 2_000,
      items: 500,
      interactions: 20_000,
      epochs: 50,
      patience: 4,
      batch: 256,
      out: "out/06_monitoring",
      seed: 0,
    },
  });
  manualSeed(seed);
  // Ten interactions a user are few: after some passes the model knows them by heart, and gets worse at others.
  const { train, valid } = generateInteractions({ users, items, count: interactions });
  const model = new RecommendationSystem(users, items, { embeddingDim: 32, hiddenDims: [64, 32] });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 5e-4, weightDecay: 0.01 });
  const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, epochs);
  const criterion = new nn.BCELoss();
  const loader = createEnterpriseDataloader(train, { batchSize: batch });
  const validLoader = new data.DataLoader(valid, { batchSize: 1024 });

  const log = new monitor.TrainingMonitor({
    dir: `${out}/logs`,
    earlyStopping: { metric: "valLoss", mode: "min", patience, minDelta: 1e-4 },
    optimizer,
    curvesEvery: 10,
  });
  const accumulation = new GradientAccumulation(model, optimizer, { accumulationSteps: 1 });
  for (let epoch = 0; epoch < epochs && !log.stopped; epoch++) {
    // Progress shows the running means of what `batch` gets; the epoch's record has their last values.
    await accumulation.trainStep(log.progress(loader), criterion, ({ output, target, loss }) => {
      log.batch({ trainLoss: loss, trainAcc: accuracyOf(output, target) }, target.size(0));
    });
    model.eval();
    for await (const [user, item, label] of validLoader) {
      const output = noGrad(() => model.forward(user, item));
      const loss = criterion.forward(output, label);
      log.batch({ valLoss: loss, valAcc: accuracyOf(output, label) }, label.size(0));
    }
    log.logEpoch(epoch);
    scheduler.step();
  }
  await log.plotTrainingCurves();

  const { best, history } = log;
  console.log(
    log.stopped
      ? `stopped after epoch ${history.at(-1)!.epoch}: no better than epoch ${
        best!.epoch
      } for ${patience} epochs`
      : `ran all ${epochs} epochs; best was epoch ${best!.epoch}`,
  );
  const lines = Deno.readTextFileSync(`${out}/logs/train.log.jsonl`).trimEnd().split("\n");
  console.log(`the log's last line: ${lines.at(-1)}`);
  console.log(`curves: ${out}/logs/curves.svg and ${out}/logs/curves.png`);
}
