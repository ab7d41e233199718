// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME --allow-read --allow-write=out examples/guide/05_deployment.ts
//
// Chapter 5, deployment: checkpoints that keep the last three and the best, and the best in use, in float32 and int8.
// --users, --items, --dim, --interactions, --epochs and --batch make it smaller; --out is the folder of the files.
import { parseArgs } from "@std/cli/parse-args";
import {
  checkpoint,
  data,
  deploy,
  manualSeed,
  monitor,
  nn,
  optim,
  rand,
  randn,
  sigmoid,
  type Tensor,
} from "@toro/toro";
import { RecommendationSystem } from "./02_modules.ts";
import { GradientAccumulation } from "./03_autograd.ts";
import { createEnterpriseDataloader } from "./04_data.ts";

/** Who met what, and whether they liked it: users (N), items (N), labels (N). */
export type Interactions = data.TensorDataset<[user: Tensor, item: Tensor, label: Tensor]>;

/** Interactions to learn from and to validate with, and how often the best possible guess is right on the latter. */
export interface Market {
  train: Interactions;
  valid: Interactions;
  bestAccuracy: number;
}

/**
 * Generates a market: items differ in quality and users in generosity, `P(like) = σ(2 quality + generosity)`, and a few
 * users and items have most of the interactions. One in 20 is for validation.
 */
export function generateInteractions(
  { users, items, count }: { users: number; items: number; count: number },
): Market {
  const quality = randn([items]).mul(2), generosity = randn([users]).mul(0.5);
  // The square of a uniform number crowds towards 0.
  const pick = (n: number) => rand([count]).square().mul(n).to("int64").clamp(0, n - 1);
  const user = pick(users), item = pick(items);
  const chance = sigmoid(quality.indexSelect(0, item).add(generosity.indexSelect(0, user)));
  const label = rand([count]).lt(chance).to("float32");
  const held = Math.ceil(count / 20);
  const part = (from: number, size: number): Interactions =>
    new data.TensorDataset(
      user.narrow(0, from, size),
      item.narrow(0, from, size),
      label.narrow(0, from, size),
    );
  const sure = chance.narrow(0, 0, held).sub(0.5).abs().add(0.5);
  return {
    train: part(held, count - held),
    valid: part(0, held),
    bestAccuracy: sure.mean().item(),
  };
}

/** How many of the probabilities are on the right side of a half. */
export function accuracyOf(output: Tensor, target: Tensor): number {
  return output.gt(0.5).eq(target.gt(0.5)).to("float32").mean().item();
}

if (import.meta.main) {
  const { users, items, dim, interactions, epochs, batch, out, seed } = parseArgs(Deno.args, {
    string: ["out"],
    default: {
      users: 20_000,
      items: 2_000,
      dim: 64,
      interactions: 100_000,
      epochs: 5,
      batch: 512,
      out: "out/05_deployment",
      seed: 0,
    },
  });
  manualSeed(seed);
  const { train, valid, bestAccuracy } = generateInteractions({
    users,
    items,
    count: interactions,
  });
  const makeModel = () => new RecommendationSystem(users, items, { embeddingDim: dim });

  // 5.1 Checkpoints: each holds the whole state of training, and the best is told by its accuracy.
  const model = makeModel();
  const optimizer = new optim.AdamW(model.parameters(), { lr: 3e-4, weightDecay: 0.01 });
  const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, epochs);
  const loader = createEnterpriseDataloader(train, { batchSize: batch });
  const saver = new checkpoint.ModelCheckpoint({ model, optimizer, scheduler, loader }, {
    dir: `${out}/checkpoints`,
    keepLast: 3,
    best: { metric: "accuracy", mode: "max" },
  });
  const [user, item, label] = valid.columns;
  const running = new deploy.ModelDeployment(model);
  const accumulation = new GradientAccumulation(model, optimizer, { accumulationSteps: 1 });
  for (let epoch = 0; epoch < epochs; epoch++) {
    const loss = await accumulation.trainStep(loader, new nn.BCELoss());
    const accuracy = accuracyOf(await running.batchPredict([user, item]), label);
    scheduler.step();
    const path = await saver.saveCheckpoint(epoch, loss, { accuracy });
    console.log(
      `epoch ${epoch}: loss ${loss.toFixed(4)}, accuracy ${accuracy.toFixed(4)}, ${path}`,
    );
  }
  console.log(
    `kept: ${[...Deno.readDirSync(saver.dir)].map(({ name }) => name).sort().join(", ")}`,
  );
  console.log(`best: epoch ${saver.best!.epoch} with ${saver.best!.value.toFixed(4)}`);

  // 5.2 Deployment: a new model with the best weights, in evaluation mode and without gradients at each call.
  for (const quantize of [undefined, "int8"] as const) {
    const deployment = new deploy.ModelDeployment(makeModel(), {
      checkpoint: saver.bestPath,
      dtypes: ["int64", "int64"],
      quantize,
    });
    const three = deployment.predict([0, 1, 2], [2, 1, 0]).toArray() as number[];
    const begin = performance.now();
    const output = await deployment.batchPredict([user, item], { batchSize: 1000 });
    const ms = (performance.now() - begin) / Math.ceil(output.size(0) / 1000);
    const auc = new monitor.metrics.AUC();
    auc.update(output, label);
    const layers = Object.entries(deployment.model.stateDict()).filter(([key]) =>
      /^deep/.test(key)
    );
    const bytes = layers.reduce((sum, [, t]) => sum + t.nbytes, 0);
    console.log(
      `${quantize ?? "float32"}: accuracy ${accuracyOf(output, label).toFixed(4)} of at best ` +
        `${bestAccuracy.toFixed(4)}, AUC ${auc.compute().toFixed(4)}, layers of ` +
        `${(bytes / 1024).toFixed(0)} KiB, ${ms.toFixed(2)} ms for 1,000, ` +
        `first three ${three.map((p) => p.toFixed(3)).join(" ")}`,
    );
  }
}
