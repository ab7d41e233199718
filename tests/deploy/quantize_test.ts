import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  checkpoint,
  deploy,
  manualSeed,
  memory,
  monitor,
  nn,
  optim,
  randint,
  randn,
  type Tensor,
} from "@toro/toro";
import { RecommendationSystem } from "../../examples/guide/02_modules.ts";
import { accuracyOf, generateInteractions } from "../../examples/guide/05_deployment.ts";

memory(); // opens the library before the sanitizers look

const Int8Linear = nn.quantized.dynamic.Linear;

class Scaled extends nn.Linear {
  override forward(x: Tensor): Tensor {
    return super.forward(x).mul(2);
  }
}

/** Keeps its factor where a copy without the constructor cannot have it. */
class Private extends nn.Module {
  readonly #factor = 3;
  drop: nn.Dropout = new nn.Dropout(0.5);

  override forward = (x: Tensor): Tensor => this.drop.forward(x).mul(this.#factor);

  override extraRepr(): string {
    return `factor=${this.#factor}`;
  }
}

class Nested extends nn.Module {
  table: nn.Embedding = new nn.Embedding(10, 4);
  list: nn.Linear[] = [new nn.Linear(4, 4), new nn.Linear(4, 4)];
  named: Map<string, nn.Module> = new Map([["a", new nn.Linear(4, 4)]]);
  options: { last: nn.Linear } = { last: this.list[0] };
  row: nn.Sequential = new nn.Sequential({ up: new nn.Linear(4, 8), down: new nn.Linear(8, 4) });
  more: nn.ModuleList<nn.Linear> = new nn.ModuleList([new nn.Linear(4, 4)]);
  dict: nn.ModuleDict = new nn.ModuleDict({ x: new nn.Linear(4, 4) });
  own: Scaled = new Scaled(4, 4);
  drop: nn.Dropout = new nn.Dropout(0.5);

  override forward(index: Tensor): Tensor {
    let x = this.table.forward(index);
    for (const layer of [...this.list, this.options.last, ...this.more]) {
      x = layer.forward(x).tanh();
    }
    x = (this.named.get("a") as nn.Linear).forward(x).add(
      (this.dict.get("x") as nn.Linear).forward(x),
    );
    return this.drop.forward(this.own.forward(this.row.forward(x)));
  }
}

Deno.test("quantizeDynamic replaces linear layers wherever they are, and leaves the model as it was", () => {
  manualSeed(1);
  const model = new Nested(), before = model.toString(), index = randint(10, [30]);
  model.eval();
  const exact = model.forward(index);
  const int8 = deploy.quantizeDynamic(model);
  assertEquals(model.toString(), before);
  assertEquals(model.forward(index).toArray(), exact.toArray());
  assert(int8 instanceof Nested && int8 !== model);
  const kinds = (m: nn.Module) => m.modules().map((layer) => layer.constructor);
  assertEquals(kinds(int8), kinds(model).map((k) => k === nn.Linear ? Int8Linear : k));
  assertStrictEquals<unknown>(int8.options.last, int8.list[0]);
  assertStrictEquals(int8.table.weight, model.table.weight);
  assertEquals([int8.row.length, int8.more.length, int8.dict.keys()], [2, 1, ["x"]]);
  const y = int8.forward(index);
  assert(y.sub(exact).abs().max().item() < 0.05 * exact.abs().max().item());
  int8.train();
  assertEquals(model.modules().some((m) => m.training), false);
  assertEquals(int8.modules().every((m) => m.training), true);
  // Once more: nothing is left to replace.
  assertEquals(deploy.quantizeDynamic(int8.eval()).forward(index).toArray(), y.toArray());
});

Deno.test("what holds no linear layer computes as before, in the copy's modes", () => {
  manualSeed(2);
  const model = new nn.Sequential(
    new Private(),
    new nn.BatchNorm1d(4),
    new nn.Linear(4, 4),
    new nn.GroupNorm(2, 4),
  );
  const int8 = deploy.quantizeDynamic(model).eval(), x = randn([6, 4]);
  assertEquals(int8.toString(), model.toString().replace("bias=true)", "bias=true, dtype=int8)"));
  assertEquals(int8.forward(x).toArray(), int8.forward(x).toArray());
  assertEquals(model.modules().every((m) => m.training), true);
  const [first, norm] = [int8.at(0), int8.at(1)] as [Private, nn.BatchNorm1d];
  assertEquals(first.forward(x).toArray(), x.mul(3).toArray());
  assertEquals(norm.numBatchesTracked!.item(), 0);
  int8.train();
  int8.forward(x);
  assertEquals(norm.numBatchesTracked!.item(), 1);
  assertEquals(model.eval().modules().some((m) => m.training), false);
  assertEquals(int8.modules().every((m) => m.training), true);
});

Deno.test("layers whose weights their owner reads stay float, all others of a transformer become int8", () => {
  manualSeed(5);
  const model = new nn.TransformerEncoderLayer(16, 2, { dimFeedforward: 32, batchFirst: true });
  const x = randn([3, 5, 16]), exact = model.eval().forward(x);
  const int8 = deploy.quantizeDynamic(model);
  const kinds = int8.modules().map((m) => m.constructor);
  assertEquals(kinds.filter((kind) => kind === Int8Linear).length, 2);
  assertEquals(kinds.includes(nn.Linear), false);
  const y = int8.forward(x);
  assert(y.sub(exact).abs().max().item() < 0.05 * exact.abs().max().item());
});

Deno.test("the quantised model is saved and loaded by its state", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const make = () =>
      deploy.quantizeDynamic(new nn.Sequential(new nn.Linear(5, 3), new nn.Tanh()));
    const one = make(), other = make(), x = randn([4, 5]);
    const keys = ["0.weight", "0.scale", "0.bias"];
    assertEquals(Object.keys(one.stateDict()), keys);
    await checkpoint.save(`${dir}/int8.safetensors`, one.stateDict());
    const served = new deploy.ModelDeployment(other, { checkpoint: `${dir}/int8.safetensors` });
    assertEquals(served.predict(x).toArray(), one.forward(x).toArray());
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a layer alone, another type, and what cannot be copied", () => {
  const linear = new nn.Linear(2, 2);
  assert((deploy.quantizeDynamic(linear) as nn.Module) instanceof Int8Linear);
  assertThrows(
    () => deploy.quantizeDynamic(linear, { dtype: "float16" as "int8" }),
    TypeError,
    'Cannot quantizeDynamic to "float16": weights can be made "int8" only',
  );
  assertThrows(() => deploy.quantizeDynamic({} as nn.Module), TypeError, "it must be a module");
  class Arrow extends nn.Module {
    layer: nn.Linear = new nn.Linear(2, 2);
    override forward = (x: Tensor): Tensor => this.layer.forward(x);
  }
  assertThrows(() => deploy.quantizeDynamic(new Arrow()), TypeError, "its forward is a field");
});

Deno.test("int8 predictions of the recommender are within 1 % of the float metrics", async () => {
  manualSeed(0);
  const [users, items] = [400, 100];
  const { train, valid } = generateInteractions({ users, items, count: 40_000 });
  const model = new RecommendationSystem(users, items, { embeddingDim: 16, hiddenDims: [64, 32] });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 5e-3 });
  const criterion = new nn.BCELoss(), [user, item, label] = train.columns;
  for (let from = 0; from + 512 <= train.length; from += 512) {
    const batch = [user, item, label].map((t) => t.narrow(0, from, 512));
    const loss = criterion.forward(model.forward(batch[0], batch[1]), batch[2]);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
  }
  const [validUser, validItem, target] = valid.columns;
  const metrics = async (quantize?: "int8") => {
    const served = new deploy.ModelDeployment(model, { quantize });
    const output = await served.batchPredict([validUser, validItem]);
    const auc = new monitor.metrics.AUC();
    auc.update(output, target);
    return [accuracyOf(output, target), auc.compute(), criterion.forward(output, target).item()];
  };
  const float = await metrics(), int8 = await metrics("int8");
  // It has learnt something, or the comparison would say little.
  assert(float[0] > 0.7 && float[1] > 0.75, `accuracy and AUC ${float}`);
  float.forEach((value, i) => {
    assert(Math.abs(int8[i] - value) <= 0.01 * value, `${int8[i]} in int8, ${value} in float32`);
  });
});
