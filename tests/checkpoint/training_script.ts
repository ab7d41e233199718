// A small training run with a checkpoint, for tests that cut it: DIR [epochs] [delay in ms a step] [async].
import { arange, checkpoint, data, manualSeed, nn, optim } from "../../mod.ts";

const [dir, epochs = "3", delay = "0", form = ""] = Deno.args;
manualSeed(7);
const rows = 64;
const x = arange(rows * 3).reshape([rows, 3]).to("float32").div(100);
const table = { id: arange(rows), x, y: x.sum(1) };
const loader = new data.DataLoader(table, { batchSize: 8, shuffle: true });
const embedding = new nn.Embedding(rows, 3);
const layers = new nn.Sequential(
  new nn.Linear(3, 4),
  new nn.BatchNorm1d(4),
  new nn.ReLU(),
  new nn.Dropout(0.2),
  new nn.Linear(4, 1),
);
const model = new nn.ModuleDict<nn.Module>({ embedding, layers });
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 });
const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, Number(epochs));
const criterion = new nn.MSELoss();
const saver = new checkpoint.ModelCheckpoint({ model, optimizer, scheduler, loader }, {
  dir,
  everySteps: 3,
  keepLast: 100,
  async: form === "async",
  best: { metric: "loss", mode: "min" },
});
for (let epoch = await saver.resume(); epoch < Number(epochs); epoch++) {
  let last = 0;
  for await (const { id, x, y } of loader) {
    const loss = criterion.forward(layers.forward(x.add(embedding.forward(id))).squeeze(-1), y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    last = loss.item();
    if (delay !== "0") {
      console.log("step");
      const until = performance.now() + Number(delay);
      while (performance.now() < until);
    }
  }
  scheduler.step();
  await saver.save(epoch, { loss: last });
}
const weights = model.parameters().map((p) => [...p.toTypedArray()].join(",")).join(";");
console.log(`done ${saver.step} ${weights}`);
