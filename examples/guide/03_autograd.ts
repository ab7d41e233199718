// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME examples/guide/03_autograd.ts
//
// Chapter 3, autograd: accumulated gradients, AdamW with a cosine schedule, and a look at the gradients' norms.
// --users, --items, --batch, --batches and --epochs make it smaller.
import { parseArgs } from "@std/cli/parse-args";
import {
  data,
  getRngState,
  manualSeed,
  nn,
  noGrad,
  optim,
  processMemory,
  rand,
  randint,
  setRngState,
  type Tensor,
} from "@toro/toro";
import { RecommendationSystem } from "./02_modules.ts";

/** What goes into a model, and last what shall come out: each tensor's first dim counts the examples. */
export type Batch = readonly [...inputs: Tensor[], target: Tensor];
/** A model of one tensor or several. */
export type Model = { forward(...inputs: Tensor[]): Tensor } & nn.Module;
/** A loss that is a mean over examples. */
export type Criterion = { forward(output: Tensor, target: Tensor): Tensor };
/** Batches, for as many passes as are asked for. */
export type Batches = AsyncIterable<Batch>;

/** One update for several batches: as if they were one batch, which would not fit into memory. */
export class GradientAccumulation {
  readonly model: Model;
  readonly optimizer: optim.Optimizer;
  readonly accumulationSteps: number;
  readonly maxNorm: number;

  constructor(
    model: Model,
    optimizer: optim.Optimizer,
    { accumulationSteps = 4, maxNorm = 1 }: { accumulationSteps?: number; maxNorm?: number } = {},
  ) {
    this.model = model;
    this.optimizer = optimizer;
    this.accumulationSteps = accumulationSteps;
    this.maxNorm = maxNorm;
  }

  /** One pass over the batches; gives the mean loss of an example. `onBatch` sees each batch's outcome. */
  async trainStep(
    dataloader: Batches,
    criterion: Criterion,
    onBatch: (outcome: { output: Tensor; target: Tensor; loss: Tensor }) => void = () => {},
  ): Promise<number> {
    this.model.train();
    // Of the running group: its batches, its examples, and for how many its gradients are scaled.
    let batches = 0, examples = 0, scaledFor = 0;
    let totalLoss = 0, totalExamples = 0;
    const update = () => {
      // A group that is cut short, or has a short batch: its gradients become the mean over what it has.
      if (examples !== scaledFor) {
        for (const { grad } of this.model.parameters()) grad?.mul_(scaledFor / examples);
      }
      nn.utils.clipGradNorm_(this.model.parameters(), this.maxNorm);
      this.optimizer.step();
      this.optimizer.zeroGrad();
      batches = examples = 0;
    };
    for await (const batch of dataloader) {
      const inputs = batch.slice(0, -1), target = batch.at(-1)!, size = target.size(0);
      if (batches === 0) scaledFor = size * this.accumulationSteps;
      const output = this.model.forward(...inputs);
      const loss = criterion.forward(output, target);
      loss.mul(size / scaledFor).backward();
      totalLoss += loss.item() * size;
      totalExamples += size;
      examples += size;
      onBatch({ output: output.detach(), target, loss: loss.detach() });
      if (++batches === this.accumulationSteps) update();
    }
    if (batches > 0) update();
    return totalLoss / totalExamples;
  }
}

/** The recommender with its optimiser and schedule. */
export interface TrainingSetup {
  model: RecommendationSystem;
  optimizer: optim.AdamW;
  scheduler: optim.lrScheduler.CosineAnnealingLR;
}

/** AdamW with decay 0.01, and a rate that falls from 1e-3 to 1e-6 along a cosine in 100 epochs. */
export function createEnterpriseTrainingSetup(
  { numUsers = 1_000_000, numItems = 100_000 }: { numUsers?: number; numItems?: number } = {},
): TrainingSetup {
  const model = new RecommendationSystem(numUsers, numItems);
  const optimizer = new optim.AdamW(model.parameters(), {
    lr: 1e-3,
    weightDecay: 0.01,
    betas: [0.9, 0.999],
  });
  const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, 100, { etaMin: 1e-6 });
  return { model, optimizer, scheduler };
}

/** Norms of gradients, one for each batch. */
export interface GradientNorms {
  /** Of all parameters together. */
  total: number[];
  /** Of each layer's parameters, by the layer's state key. */
  layers: Record<string, number[]>;
}

/**
 * Gradient norms of the first `numBatches` batches, in training mode. Modes, gradients, running statistics and the random
 * state are afterwards as before; the loader, whose pass ends here, goes on with its next epoch.
 */
export async function gradientAnalysis(
  model: Model,
  dataLoader: Batches,
  criterion: Criterion,
  { numBatches = 10 }: { numBatches?: number } = {},
): Promise<GradientNorms> {
  const named = model.namedParameters(), gradients = named.map(([, p]) => p.grad);
  const buffers = model.buffers().map((b) => [b, b.clone()] as const);
  const modes = model.modules().map((m) => [m, m.training] as const), random = getRngState();
  const norms: GradientNorms = { total: [], layers: {} };
  model.train();
  try {
    for await (const batch of dataLoader) {
      model.zeroGrad();
      criterion.forward(model.forward(...batch.slice(0, -1)), batch.at(-1)!).backward();
      const squares: Record<string, number> = {};
      for (const [name, { grad }] of named) {
        if (grad === null) continue;
        const layer = name.slice(0, name.lastIndexOf("."));
        // Of an embedding's gradient only the rows of the batch exist; its norm reads no others.
        squares[layer] = (squares[layer] ?? 0) + grad.norm().item() ** 2;
      }
      for (const [layer, square] of Object.entries(squares)) {
        (norms.layers[layer] ??= []).push(Math.sqrt(square));
      }
      const total = Math.sqrt(Object.values(squares).reduce((a, b) => a + b, 0));
      if (norms.total.push(total) === numBatches) break;
    }
  } finally {
    named.forEach(([, p], i) => p.grad = gradients[i]);
    noGrad(() => buffers.forEach(([buffer, before]) => buffer.copy_(before)));
    for (const [module, training] of modes) module.training = training;
    setRngState(random);
  }
  return norms;
}

/** The mean of numbers. */
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

if (import.meta.main) {
  const { users, items, batch, batches, epochs, seed } = parseArgs(Deno.args, {
    default: { users: 1_000_000, items: 100_000, batch: 1024, batches: 22, epochs: 2, seed: 0 },
  });
  manualSeed(seed);
  const { model, optimizer, scheduler } = createEnterpriseTrainingSetup({
    numUsers: users,
    numItems: items,
  });
  const criterion = new nn.BCELoss();
  // Users like items of even number; four batches an update, and the last update has what is left.
  const n = batch * batches - Math.floor(batch / 2);
  const item = randint(items, [n]);
  const label = rand([n]).lt(item.remainder(2).eq(0).to("float32").mul(0.8).add(0.1)).to("float32");
  const loader = new data.DataLoader(new data.TensorDataset(randint(users, [n]), item, label), {
    batchSize: batch,
    shuffle: true,
  });

  const norms = await gradientAnalysis(model, loader, criterion);
  console.log(
    `mean gradient norm of ${norms.total.length} batches: ${mean(norms.total).toFixed(4)}`,
  );
  for (const [layer, values] of Object.entries(norms.layers)) {
    console.log(`  ${layer.padEnd(16)} ${mean(values).toFixed(4)}`);
  }

  const accumulation = new GradientAccumulation(model, optimizer, { accumulationSteps: 4 });
  for (let epoch = 0; epoch < epochs; epoch++) {
    const [lr] = scheduler.getLastLr(), begin = performance.now();
    const loss = await accumulation.trainStep(loader, criterion);
    const ms = (performance.now() - begin) / loader.length;
    scheduler.step();
    console.log(
      `epoch ${epoch}: loss ${loss.toFixed(4)}, rate ${lr.toExponential(4)}, ` +
        `${loader.length} batches, ${Math.ceil(loader.length / 4)} updates, ${
          ms.toFixed(1)
        } ms a batch`,
    );
  }
  console.log(`peak memory ${(processMemory().peakResidentBytes / 1e6).toFixed(0)} MB`);
}
