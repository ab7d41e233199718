/** Chapter 3: accumulated gradients are one large batch's, the remainder's too; norms are those that clipping sees. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  cat,
  data,
  getRngState,
  manualSeed,
  memory,
  nn,
  optim,
  randint,
  randn,
  type Tensor,
} from "@toro/toro";
import { RecommendationSystem } from "../../examples/guide/02_modules.ts";
import {
  createEnterpriseTrainingSetup,
  GradientAccumulation,
  gradientAnalysis,
} from "../../examples/guide/03_autograd.ts";

memory(); // opens the library before the sanitizers look

/** Two tables and a layer: nothing random, no statistics over a batch, so that batches can be joined. */
class Pair extends nn.Module {
  user = new nn.Embedding(200, 4);
  item = new nn.Embedding(100, 4);
  out = new nn.Linear(8, 1);
  override forward(user: Tensor, item: Tensor): Tensor {
    const x = cat([this.user.forward(user), this.item.forward(item)], 1);
    return this.out.forward(x).sigmoid().squeeze(-1);
  }
}

function pairs(n: number): data.TensorDataset<readonly [Tensor, Tensor, Tensor]> {
  const label = randint(2, [n]).to("float32");
  return new data.TensorDataset(randint(200, [n]), randint(100, [n]), label);
}

function close(a: nn.Module, b: nn.Module): void {
  const other = b.stateDict();
  for (const [key, value] of Object.entries(a.stateDict())) {
    const off = value.sub(other[key]).abs().max().item();
    assert(off < 1e-5, `${key} differs by ${off}`);
  }
}

Deno.test("accumulated batches update as one large batch, the last ones too", async () => {
  manualSeed(1);
  const criterion = new nn.BCELoss();
  // Updates of 4 × 8 examples; the last one has 32, 16 + 5, 8 or 3.
  for (const n of [64, 53, 40, 35]) {
    const examples = pairs(n), twins = [new Pair(), new Pair()] as const;
    twins[1].loadStateDict(twins[0].stateDict());
    const [small, large] = twins.map((m) => new optim.SGD(m.parameters(), 0.5, { momentum: 0.9 }));
    const accumulation = new GradientAccumulation(twins[0], small, {
      accumulationSteps: 4,
      maxNorm: 0.05,
    });
    let loss = NaN, expected = NaN;
    for (let pass = 0; pass < 3; pass++) {
      loss = await accumulation.trainStep(
        new data.DataLoader(examples, { batchSize: 8 }),
        criterion,
      );
      let sum = 0;
      for (const [user, item, label] of new data.DataLoader(examples, { batchSize: 32 })) {
        const error = criterion.forward(twins[1].forward(user, item), label);
        error.backward();
        nn.utils.clipGradNorm_(twins[1].parameters(), 0.05);
        large.step();
        large.zeroGrad();
        sum += error.item() * label.size(0);
      }
      expected = sum / n;
    }
    close(twins[0], twins[1]);
    // Nothing changes within a group, so the losses are the same too.
    assertAlmostEquals(loss, expected, 1e-5);
    assert(twins[0].parameters().every((p) => p.grad === null), "no gradient is left");
  }
});

Deno.test("trainStep shows each batch, and trains a model of one input", async () => {
  const model = new nn.Sequential(new nn.Linear(3, 1), new nn.Sigmoid(), new nn.Flatten(0));
  const optimizer = new optim.SGD(model.parameters(), 0.1);
  const accumulation = new GradientAccumulation(model.eval(), optimizer);
  const seen: number[] = [];
  const loader = new data.DataLoader(new data.TensorDataset(randn([10, 3]), randint(2, [10])), {
    batchSize: 4,
    collate: (rows) => {
      const columns = data.defaultCollate(rows);
      return [columns[0], columns[1].to("float32")] as const;
    },
  });
  await accumulation.trainStep(loader, new nn.BCELoss(), ({ output, target, loss }) => {
    assertEquals(output.shape, target.shape);
    assert(!output.requiresGrad && !loss.requiresGrad);
    seen.push(target.size(0));
  });
  assertEquals(seen, [4, 4, 2]);
  assert(model.training);
});

Deno.test("the setup is AdamW with decay along a cosine", () => {
  const { model, optimizer, scheduler } = createEnterpriseTrainingSetup({
    numUsers: 20,
    numItems: 10,
  });
  const [group] = optimizer.paramGroups;
  assertEquals([group.lr, group.weightDecay, group.betas], [1e-3, 0.01, [0.9, 0.999]]);
  assertEquals(group.params.length, model.parameters().length);
  const rates = Array.from({ length: 101 }, () => {
    const [lr] = scheduler.getLastLr();
    optimizer.step();
    scheduler.step();
    return lr;
  });
  assertEquals(rates[0], 1e-3);
  assertAlmostEquals(rates[50], (1e-3 + 1e-6) / 2, 1e-12);
  assertAlmostEquals(rates[100], 1e-6, 1e-12);
});

Deno.test("gradientAnalysis gives the norms that clipping sees, and leaves all as it was", async () => {
  manualSeed(2);
  const model = new RecommendationSystem(200, 100, { embeddingDim: 4, hiddenDims: [8, 4] });
  const criterion = new nn.BCELoss();
  const batches = new data.DataLoader(pairs(60), { batchSize: 4 });
  model.eval().deepLayers.train();
  const modes = model.modules().map((m) => m.training);
  const parameter = model.parameters()[3], gradient = randn(parameter.shape);
  parameter.grad = gradient;
  const random = getRngState(), buffers = model.buffers().map((b) => b.toArray());

  const norms = await gradientAnalysis(model, batches, criterion);
  assertEquals(model.modules().map((m) => m.training), modes);
  assertEquals(model.buffers().map((b) => b.toArray()), buffers);
  assertEquals(getRngState(), random);
  assertEquals(parameter.grad, gradient);
  assertEquals(model.parameters().filter((p) => p.grad !== null).length, 1);
  assertEquals(norms.total.length, 10);
  assertEquals(Object.keys(norms.layers).slice(0, 3), [
    "user_embedding",
    "item_embedding",
    "deep_layers.0",
  ]);
  for (const [i, total] of norms.total.entries()) {
    const squares = Object.values(norms.layers).reduce((sum, of) => sum + of[i] ** 2, 0);
    assertAlmostEquals(Math.sqrt(squares), total, 1e-9 * total);
  }

  // The same batches by hand, from the same random state.
  model.train();
  let i = 0;
  for (const [user, item, label] of batches) {
    if (i === 10) break;
    model.zeroGrad();
    criterion.forward(model.forward(user, item), label).backward();
    const norm = nn.utils.clipGradNorm_(model.parameters(), 1).item();
    assertAlmostEquals(norms.total[i++], norm, 1e-5 * norm);
  }

  const few = await gradientAnalysis(model, batches, criterion, { numBatches: 3 });
  assertEquals([few.total.length, few.layers["deep_layers.8"].length], [3, 3]);
  const all = await gradientAnalysis(model, batches, criterion, { numBatches: 99 });
  assertEquals(all.total.length, 15);
});
