import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { arange, checkpoint, data, deploy, memory, nn, type Tensor, tensor } from "@toro/toro";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

class Scorer extends nn.Module {
  users: nn.Embedding = new nn.Embedding(5, 2);
  items: nn.Embedding = new nn.Embedding(7, 2);
  drop: nn.Dropout = new nn.Dropout(0.5);

  override forward(user: Tensor, item: Tensor): Tensor {
    return this.drop.forward(this.users.forward(user).mul(this.items.forward(item))).sum(-1);
  }
}

Deno.test("predict takes tensors, typed arrays and numbers, without gradients, and restores every mode", () => {
  const model = new Scorer();
  model.users.eval();
  const deployed = new deploy.ModelDeployment(model, { dtypes: ["int64", "int64"] });
  const out = deployed.predict([0, 4], new Int32Array([1, 6]));
  assertEquals(out.shape, [2]);
  assertEquals(out.requiresGrad, false);
  assertEquals(deployed.predict(tensor([0n, 4n]), tensor([1n, 6n])).toArray(), out.toArray());
  assertEquals(model.modules().map((m) => m.training), [true, false, true, true]);
  assertThrows(() => deployed.predict([9], [0]), RangeError, "9");
  assert(model.training);
});

Deno.test("batchPredict joins what one pass would give", async () => {
  const linear = new nn.Linear(3, 2);
  const deployed = new deploy.ModelDeployment(linear);
  const x = arange(30).reshape([10, 3]).to("float32");
  const whole = deployed.predict(x).toArray();
  const close = (t: Tensor) => {
    assertEquals(t.shape, [10, 2]);
    (t.toArray() as number[][]).forEach((row, i) =>
      row.forEach((v, j) => assert(Math.abs(v - (whole as number[][])[i][j]) < 1e-4))
    );
  };
  close(await deployed.batchPredict(x, { batchSize: 4 }));
  close(await deployed.batchPredict(x.toArray() as number[][], { batchSize: 3 }));
  close(
    await deployed.batchPredict(new data.DataLoader({ x }, 4), { inputs: (batch) => [batch.x] }),
  );
  close(await deployed.batchPredict(new data.DataLoader(new data.TensorDataset(x), 7)));
  const scorer = new deploy.ModelDeployment(new Scorer(), { dtypes: ["int64", "int64"] });
  const users = new Int32Array([0, 1, 2, 3]), items = new Int32Array([6, 5, 4, 3]);
  const scores = await scorer.batchPredict([users, items], { batchSize: 3 });
  assertEquals(scores.toArray(), scorer.predict(users, items).toArray());
  await assertRejects(
    () => scorer.batchPredict([users, new Int32Array(3)]),
    RangeError,
    "Cannot batchPredict inputs of 4 and 3 examples: they must have as many",
  );
  await assertRejects(
    () => deployed.batchPredict(new data.DataLoader({ x }, 4)),
    TypeError,
    "Cannot batchPredict a batch { x }: the model's inputs must be told out of it",
  );
  await assertRejects(() => deployed.batchPredict(x, { batchSize: 0 }), TypeError, "batchSize 0");
});

Deno.test("weights come from a training checkpoint, a saved state or a flat file", () =>
  inFolder(async (dir) => {
    const trained = new nn.Linear(2, 1),
      saver = new checkpoint.ModelCheckpoint({ model: trained }, { dir });
    const files = [(await saver.save(0))!, `${dir}/flat.safetensors`, `${dir}/nested.safetensors`];
    await checkpoint.save(files[1], trained.stateDict());
    await checkpoint.save(files[2], { model: trained.stateDict(), note: "x" });
    for (const file of files) {
      const { model } = new deploy.ModelDeployment(new nn.Linear(2, 1), {
        checkpoint: file,
        device: "cpu",
      });
      assertEquals(model.weight.toArray(), trained.weight.toArray());
    }
    assertThrows(
      () => new deploy.ModelDeployment(new nn.Linear(3, 1), { checkpoint: files[0] }),
      Error,
      "Cannot load state into Linear: of another shape: weight is [1, 3] in the module and [1, 2] in the state",
    );
  }));
