/**
 * The guide's chapters in Toro and in PyTorch, from the same weights and inputs, figure beside figure:
 *
 *     deno run -A scripts/bench/guide.ts [--full] [--chapters 1,2,3,4,5,6,7]
 *
 * Each chapter here writes what both start from to a safetensors file and gives its figures; guide_torch.py reads the
 * file and gives its own under the same names. What is random by nature (initial values, noise) is compared by its
 * statistics, at what chance allows; dropout is off. It compares results, not speed.
 */
import { parseArgs } from "@std/cli/parse-args";
import {
  arange,
  checkpoint,
  data,
  deploy,
  manualSeed,
  monitor,
  nn,
  noGrad,
  optim,
  rand,
  randint,
  randn,
  type Tensor,
} from "@toro/toro";
import { initUserEmbeddings, processFinancialFeatures } from "../../examples/guide/01_tensors.ts";
import { MultiHeadAttention, RecommendationSystem } from "../../examples/guide/02_modules.ts";
import {
  createEnterpriseTrainingSetup,
  GradientAccumulation,
  gradientAnalysis,
} from "../../examples/guide/03_autograd.ts";
import {
  createEnterpriseDataloader,
  DataPreprocessingPipeline,
  EnterpriseDataset,
  LruCache,
} from "../../examples/guide/04_data.ts";
import {
  accuracyOf,
  generateInteractions,
  type Interactions,
} from "../../examples/guide/05_deployment.ts";
import { evaluateModel, validateModel } from "../../examples/guide/07_pipeline.ts";
import { torchPython } from "./setup_torch.ts";

/** A figure, and how far PyTorch's may be from it, relative to the larger of it and 1. */
type Figure = readonly [value: number, tolerance: number];
type Figures = Record<string, Figure>;
/** Runs a chapter, full size or reduced, and writes its inputs to a file. */
type Chapter = (file: string, full: boolean) => Promise<Figures>;

/** Exact. */
const SAME = 0;
/** The same arithmetic in float32, in another order. */
const ROUNDING = 1e-5;

/** Shape, mean and mean square of a tensor, and the first of its numbers. */
function summary(name: string, t: Tensor, tolerance: number): Figures {
  const shape = t.shape.map((size, i) => [`${name} dim ${i}`, [size, SAME]] as const);
  return {
    ...Object.fromEntries(shape),
    [`${name} mean`]: [t.mean().item(), tolerance],
    [`${name} mean square`]: [t.square().mean().item(), tolerance],
    [`${name} first`]: [t.flatten().at(0).item(), tolerance],
  };
}

function withoutDropout(model: nn.Module): void {
  for (const m of model.modules()) if (m instanceof nn.Dropout) Object.assign(m, { p: 0 });
}

/** The columns of interactions under names, as the file has them. */
function columns(
  prefix: string,
  { columns: [user, item, label] }: Interactions,
): Record<string, Tensor> {
  return { [`${prefix}user`]: user, [`${prefix}item`]: item, [`${prefix}label`]: label };
}

/** How far losses may be from each other in training, where Adam makes rounding large. */
const TRAINED = 2e-3;
/**
 * And in evaluation: biases before a batch norm have no gradient but rounding and wander by Adam's full steps. Batches
 * take that out again, the running means of evaluation lag behind it.
 */
const EVALUATED = 0.02;

const CHAPTERS: Record<string, Chapter> = {
  async 1(file, full) {
    const users = full ? 10_000_000 : 100_000, batch = full ? 10_000 : 1000;
    const transactions = randn([batch, 30, 50]);
    await checkpoint.save(file, { transactions, users });
    const [embeddings, bias] = initUserEmbeddings(users, 128), chance = 5 / Math.sqrt(128 * users);
    return {
      "embeddings rows": [embeddings.size(0), SAME],
      "embeddings mean": [embeddings.mean().item(), chance],
      "embeddings deviation": [embeddings.std().item(), chance],
      "bias norm": [bias.norm().item(), SAME],
      ...summary("features", processFinancialFeatures(transactions), ROUNDING),
    };
  },

  async 2(file, full) {
    const [users, items, batch] = full ? [1_000_000, 100_000, 1024] : [1000, 500, 64];
    const attention = new MultiHeadAttention(512, 8).eval(), words = randn([8, 64, 512]);
    const causal = arange(64).unsqueeze(1).ge(arange(64));
    const model = new RecommendationSystem(users, items).eval();
    const user = randint(users, [batch]), item = randint(items, [batch]);
    await checkpoint.save(file, {
      attention: attention.stateDict(),
      words,
      causal,
      model: model.stateDict(),
      user,
      item,
    });
    const attended = attention.forward(words, words, words, causal);
    attended.square().mul(words).sum().backward();
    const norms = attention.namedParameters().map(([name, p]): [string, Figure] => [
      `attention ${name} gradient norm`,
      [p.grad!.norm().item(), 1e-4],
    ]);
    const chance = (n: number) => 5 / Math.sqrt(n);
    return {
      ...summary("attention", attended.detach(), ROUNDING),
      ...Object.fromEntries(norms),
      "user_embedding deviation": [
        model.userEmbedding.weight.std().item(),
        chance(2 * 128 * users),
      ],
      "first layer deviation": [
        (model.deepLayers.at(0) as nn.Linear).weight.std().item(),
        chance(2 * 256 * 512),
      ],
      ...summary("predictions", noGrad(() => model.forward(user, item)), ROUNDING),
    };
  },

  async 3(file, full) {
    const [numUsers, numItems, batch] = full ? [1_000_000, 100_000, 1024] : [2000, 500, 128];
    const { model, optimizer, scheduler } = createEnterpriseTrainingSetup({ numUsers, numItems });
    withoutDropout(model);
    const n = 21 * batch + batch / 2, user = randint(numUsers, [n]), item = randint(numItems, [n]);
    const label = rand([n]).lt(item.remainder(2).mul(0.8).add(0.1)).to("float32");
    await checkpoint.save(file, { model: model.stateDict(), user, item, label, batch });
    const loader = new data.DataLoader(new data.TensorDataset(user, item, label), {
      batchSize: batch,
    });
    const criterion = new nn.BCELoss(), figures: Figures = {};
    const { total, layers } = await gradientAnalysis(model, loader, criterion);
    figures["batches analysed"] = [total.length, SAME];
    for (const [name, norms] of [["all", total] as const, ...Object.entries(layers)]) {
      figures[`gradient norm, ${name}`] = [norms.reduce((a, b) => a + b) / norms.length, 1e-4];
    }
    const accumulation = new GradientAccumulation(model, optimizer);
    for (let epoch = 0; epoch < 3; epoch++) {
      const loss = await accumulation.trainStep(loader, criterion);
      scheduler.step();
      figures[`loss of epoch ${epoch}`] = [loss, 1e-4];
      figures[`rate after epoch ${epoch}`] = [scheduler.getLastLr()[0], 1e-12];
    }
    for (const [name, p] of model.namedParameters()) {
      // A bias before a batch norm has no gradient but rounding, of which Adam makes steps of full size.
      if (/deep_layers\.[048]\.bias/.test(name)) continue;
      figures[`${name} norm`] = [p.norm().item(), 1e-4];
    }
    return figures;
  },

  async 4(file, full) {
    const batch = full ? 1024 : 256, visits = full ? 200_000 : 20_000;
    const dataset = new EnterpriseDataset(), loader = createEnterpriseDataloader(dataset);
    const [x] = data.defaultCollate(Array.from({ length: batch }, (_, i) => dataset.getItem(i)));
    // Popular items far more often than others: the square of a square.
    const asked = rand([visits]).pow(4).mul(50_000).to("int64");
    await checkpoint.save(file, { x, asked });
    const cache = new LruCache<number, number>(() => 8, { maxItems: 1000 });
    for (const i of asked.toArray() as number[]) cache.get(i, () => i);
    const quiet = new DataPreprocessingPipeline({ std: 0, maskRatio: 0 });
    const trained = quiet.forward(x).detach();
    const noise = new data.AddGaussianNoise(0.01).forward(x).sub(x);
    const masked = new data.RandomMask(0.1).forward(x).eq(0).to("float32");
    const chance = 5 / Math.sqrt(x.numel);
    return {
      "items": [dataset.length, SAME],
      "batches": [loader.length, SAME],
      "cache hits": [cache.hits, SAME],
      "cache misses": [cache.misses, SAME],
      "next to go": [cache.keys()[0], SAME],
      ...summary("normalised", trained, ROUNDING),
      ...summary("in evaluation", quiet.eval().forward(x).detach(), ROUNDING),
      "noise deviation": [noise.std().item(), 0.01 * chance],
      "masked share": [masked.mean().item(), 0.3 * Math.SQRT2 * chance],
    };
  },

  async 5(file, full) {
    const [users, items, dim] = full ? [1_000_000, 100_000, 128] : [2000, 300, 32];
    const { train, valid } = generateInteractions({ users, items, count: 60_000 });
    const model = new RecommendationSystem(users, items, { embeddingDim: dim });
    const optimizer = new optim.AdamW(model.parameters(), { lr: 2e-3 });
    const accumulation = new GradientAccumulation(model, optimizer, { accumulationSteps: 1 });
    await accumulation.trainStep(
      new data.DataLoader(train, { batchSize: 512 }),
      new nn.BCELoss(),
    );
    await checkpoint.save(file, { model: model.stateDict(), dim, ...columns("", valid) });
    const figures: Figures = {}, [user, item, label] = valid.columns;
    const float = await new deploy.ModelDeployment(model).batchPredict([user, item]);
    const int8 = await new deploy.ModelDeployment(model, { quantize: "int8" })
      .batchPredict([user, item]);
    // Integers differ by design: rows and eight bits here, the batch and seven bits there.
    for (const [name, output, near] of [["float32", float, 1e-4], ["int8", int8, 0.01]] as const) {
      figures[`${name} loss`] = [nn.functional.binaryCrossEntropy(output, label).item(), near];
      figures[`${name} accuracy`] = [accuracyOf(output, label), near];
      figures[`${name} outputs`] = [output.size(0), SAME];
    }
    figures["int8 deviation from float32"] = [int8.sub(float).square().mean().sqrt().item(), 0.01];
    return figures;
  },

  async 6(file) {
    const [users, items, dim, batch, patience, minDelta] = [500, 100, 32, 256, 3, 1e-3];
    const { train, valid } = generateInteractions({ users, items, count: 8000 });
    const model = new RecommendationSystem(users, items, { embeddingDim: dim });
    withoutDropout(model);
    const given = { model: model.stateDict(), dim, batch, patience, min_delta: minDelta };
    await checkpoint.save(file, { ...given, ...columns("", train), ...columns("valid_", valid) });
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
    const log = new monitor.TrainingMonitor({
      earlyStopping: { metric: "valLoss", mode: "min", patience, minDelta },
      optimizer,
      print: false,
    });
    const accumulation = new GradientAccumulation(model, optimizer, { accumulationSteps: 1 });
    const criterion = new nn.BCELoss(), figures: Figures = {};
    const loader = new data.DataLoader(train, { batchSize: batch });
    for (let epoch = 0; epoch < 30 && !log.stopped; epoch++) {
      const trainLoss = await accumulation.trainStep(loader, criterion);
      const [valLoss, valAcc] = await validateModel(
        model,
        new data.DataLoader(valid, { batchSize: batch }),
        criterion,
      );
      log.epoch(epoch, { trainLoss, valLoss, valAcc });
      figures[`train loss of epoch ${epoch}`] = [trainLoss, TRAINED];
      figures[`valid loss of epoch ${epoch}`] = [valLoss, EVALUATED];
      figures[`valid accuracy of epoch ${epoch}`] = [valAcc, EVALUATED];
    }
    figures["best epoch"] = [log.best!.epoch, SAME];
    figures["epochs"] = [log.history.length, SAME];
    return figures;
  },

  async 7(file, full) {
    const [users, items, dim, batch, count] = full
      ? [1_000_000, 100_000, 128, 1024, 100_000]
      : [2000, 300, 32, 256, 40_000];
    const { train, valid } = generateInteractions({ users, items, count });
    const model = new RecommendationSystem(users, items, { embeddingDim: dim });
    withoutDropout(model);
    const given = { model: model.stateDict(), dim, batch };
    await checkpoint.save(file, { ...given, ...columns("", train), ...columns("valid_", valid) });
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
    const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, 2);
    const accumulation = new GradientAccumulation(model, optimizer, { accumulationSteps: 4 });
    const criterion = new nn.BCELoss(), figures: Figures = {};
    const loader = new data.DataLoader(train, { batchSize: batch });
    const validLoader = new data.DataLoader(valid, { batchSize: 2 * batch });
    for (let epoch = 0; epoch < 2; epoch++) {
      let right = 0;
      const loss = await accumulation.trainStep(loader, criterion, ({ output, target }) => {
        right += accuracyOf(output, target) * target.size(0);
      });
      const [valLoss, valAcc] = await validateModel(model, validLoader, criterion);
      scheduler.step();
      figures[`train loss of epoch ${epoch}`] = [loss, TRAINED];
      figures[`train accuracy of epoch ${epoch}`] = [right / train.length, TRAINED];
      figures[`valid loss of epoch ${epoch}`] = [valLoss, EVALUATED];
      figures[`valid accuracy of epoch ${epoch}`] = [valAcc, EVALUATED];
      figures[`rate after epoch ${epoch}`] = [scheduler.getLastLr()[0], 1e-12];
    }
    figures["accuracy on what was learnt from"] = [await evaluateModel(model, loader), EVALUATED];
    const int8 = deploy.quantizeDynamic(model);
    const [loss, accuracy] = await validateModel(int8, validLoader, criterion);
    figures["int8 valid loss"] = [loss, EVALUATED];
    figures["int8 valid accuracy"] = [accuracy, EVALUATED];
    return figures;
  },
};

const { full, chapters } = parseArgs(Deno.args, {
  boolean: ["full"],
  string: ["chapters"],
  default: { chapters: Object.keys(CHAPTERS).join() },
});
const python = await torchPython(), script = new URL("guide_torch.py", import.meta.url).pathname;
const folder = await Deno.makeTempDir();
let far = 0;
try {
  for (const chapter of chapters.split(",")) {
    manualSeed(Number(chapter));
    const file = `${folder}/chapter${chapter}.safetensors`;
    const toro = await CHAPTERS[chapter](file, full);
    const { code, stdout } = await new Deno.Command(python, {
      args: [script, chapter, file],
      stderr: "inherit",
    }).output();
    if (code !== 0) {
      throw new Error(`Cannot compare chapter ${chapter}: ${script} ended with ${code}`);
    }
    const torch: Record<string, number> = JSON.parse(new TextDecoder().decode(stdout)).figures;
    console.log(`\nchapter ${chapter.padEnd(33)} ${"Toro".padStart(14)} ${"PyTorch".padStart(14)}`);
    const text = (x: number) => (Number.isInteger(x) ? String(x) : x.toPrecision(7)).padStart(14);
    for (const name of new Set([...Object.keys(toro), ...Object.keys(torch)])) {
      const [value, tolerance] = toro[name] ?? [NaN, 0], other = torch[name] ?? NaN;
      const isNear = Math.abs(value - other) <= tolerance * Math.max(1, Math.abs(other));
      if (!isNear) far++;
      console.log(`${name.padEnd(41)} ${text(value)} ${text(other)}${isNear ? "" : "  differs"}`);
    }
    await Deno.remove(file);
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.log(`\n${far === 0 ? "all figures agree" : `${far} figures differ`}`);
Deno.exit(far === 0 ? 0 : 1);
