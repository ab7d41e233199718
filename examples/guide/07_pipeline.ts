// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME --allow-read --allow-write=out examples/guide/07_pipeline.ts
//
// Chapter 7, the pipeline: a recommender for a million users and a hundred thousand items, from interactions to a model
// in use. Ctrl-C saves and ends; --resume goes on from there.
// --users, --items, --dim, --interactions, --epochs and --batch make it smaller; --out is the folder of the files.
import { parseArgs } from "@std/cli/parse-args";
import {
  checkpoint,
  data,
  deploy,
  manualSeed,
  monitor,
  nn,
  noGrad,
  optim,
  processMemory,
} from "@toro/toro";
import { RecommendationSystem } from "./02_modules.ts";
import { type Batches, type Criterion, GradientAccumulation, type Model } from "./03_autograd.ts";
import { createEnterpriseDataloader } from "./04_data.ts";
import { accuracyOf, generateInteractions } from "./05_deployment.ts";

/** How often a model is right on a loader's examples. */
export async function evaluateModel(model: Model, dataloader: Batches): Promise<number> {
  model.eval();
  let right = 0, total = 0;
  for await (const batch of dataloader) {
    const target = batch.at(-1)!, output = noGrad(() => model.forward(...batch.slice(0, -1)));
    right += accuracyOf(output, target) * target.size(0);
    total += target.size(0);
  }
  return right / total;
}

/** The mean loss of a loader's examples, and how often the model is right on them. */
export async function validateModel(
  model: Model,
  dataloader: Batches,
  criterion: Criterion,
): Promise<[loss: number, accuracy: number]> {
  model.eval();
  let loss = 0, right = 0, total = 0;
  for await (const batch of dataloader) {
    const target = batch.at(-1)!, output = noGrad(() => model.forward(...batch.slice(0, -1)));
    loss += criterion.forward(output, target).item() * target.size(0);
    right += accuracyOf(output, target) * target.size(0);
    total += target.size(0);
  }
  return [loss / total, right / total];
}

/** What the pipeline can be told; the defaults are the guide's sizes. */
export interface PipelineOptions {
  users?: number;
  items?: number;
  /** Width of the embeddings. */
  dim?: number;
  /** Interactions that are generated. */
  interactions?: number;
  epochs?: number;
  batch?: number;
  /** Batches whose gradients make one update. */
  accumulate?: number;
  /** Epochs without a better validation loss that are borne. */
  patience?: number;
  /** Folder of checkpoints, log and curves. */
  out?: string;
  /** Goes on from the newest checkpoint. */
  resume?: boolean;
  seed?: number;
}

/** Trains, validates, logs and saves; gives the model of the best epoch, in int8, ready to predict. */
export async function enterpriseTrainingPipeline(
  {
    users = 1_000_000,
    items = 100_000,
    dim = 128,
    interactions = 2_000_000,
    epochs = 2,
    batch = 1024,
    accumulate = 4,
    patience = 3,
    out = "out/07_pipeline",
    resume = false,
    seed = 0,
  }: PipelineOptions = {},
): Promise<deploy.ModelDeployment<RecommendationSystem>> {
  // 1. Parts
  manualSeed(seed);
  const market = generateInteractions({ users, items, count: interactions });
  const model = new RecommendationSystem(users, items, { embeddingDim: dim });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
  const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, epochs);
  const criterion = new nn.BCELoss();

  // 2. Data
  const trainLoader = createEnterpriseDataloader(market.train, { batchSize: batch });
  const validLoader = new data.DataLoader(market.valid, { batchSize: 2 * batch });
  console.log(
    `${users.toLocaleString("en")} users × ${items.toLocaleString("en")} items, ` +
      `${
        market.train.length.toLocaleString("en")
      } interactions in ${trainLoader.length} batches; ` +
      `the best possible accuracy is ${market.bestAccuracy.toFixed(4)}`,
  );

  // 3. Monitor and checkpoints
  const log = new monitor.TrainingMonitor({
    dir: `${out}/logs`,
    earlyStopping: { metric: "valLoss", mode: "min", patience },
    optimizer,
    curvesEvery: 10,
  });
  const saver = new checkpoint.ModelCheckpoint(
    { model, optimizer, scheduler, loader: trainLoader, log },
    { dir: `${out}/checkpoints`, keepLast: 2, best: { metric: "accuracy", mode: "max" } },
  );
  const accumulation = new GradientAccumulation(model, optimizer, {
    accumulationSteps: accumulate,
    maxNorm: 1,
  });

  // 4. Training. An epoch that was cut goes on with its next batch; of a group of batches that was cut the gradients are lost.
  for (
    let epoch = resume ? await saver.resume() : 0;
    epoch < epochs && !log.stopped;
    epoch++
  ) {
    const batches = log.progress(trainLoader);
    // Loss and accuracy are counted as training goes: no second pass over the data.
    await accumulation.trainStep(batches, criterion, ({ output, target, loss }) => {
      log.batch({ trainLoss: loss, trainAcc: accuracyOf(output, target) }, target.size(0));
    });
    const [valLoss, valAcc] = await validateModel(model, validLoader, criterion);
    log.logEpoch(epoch, { valLoss, valAcc });
    scheduler.step();
    await saver.save(epoch, { loss: valLoss, accuracy: valAcc });
  }
  await log.plotTrainingCurves();
  console.log(
    `best: epoch ${saver.best!.epoch}, validation accuracy ${saver.best!.value.toFixed(4)}`,
  );

  // 5. Deployment
  return new deploy.ModelDeployment(model, {
    checkpoint: saver.bestPath,
    dtypes: ["int64", "int64"],
    quantize: "int8",
  });
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["out"], boolean: ["resume"] });
  const begin = performance.now();
  const deployment = await enterpriseTrainingPipeline(flags);
  const { model } = deployment;
  console.log(`deployed: ${model.deepLayers.toString().split("\n").length - 2} layers, in int8`);
  const length = Math.min(1000, model.itemEmbedding.numEmbeddings);
  const user = 7, candidates = Array.from({ length }, (_, i) => i);
  const scores = (await deployment.batchPredict([
    BigInt64Array.from(candidates, () => BigInt(user)),
    BigInt64Array.from(candidates, BigInt),
  ])).toArray() as number[];
  const top = candidates.toSorted((a, b) => scores[b] - scores[a]).slice(0, 5);
  console.log(
    `user ${user} may like ${top.map((i) => `item ${i} (${scores[i].toFixed(3)})`).join(", ")}`,
  );
  console.log(
    `${((performance.now() - begin) / 1000).toFixed(0)} s, peak memory ${
      (processMemory().peakResidentBytes / 2 ** 20).toFixed(0)
    } MiB`,
  );
}
