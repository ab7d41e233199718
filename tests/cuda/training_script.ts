/** Some steps of training on a device between two marks; training_test.ts looks at what the emulator was asked for. */
import { amp, cat, F, nn, optim, randint, randn, type Tensor, zeros } from "@toro/toro";

const device = "cuda", table = new nn.Embedding(500, 8);
const layers = new nn.Sequential(
  new nn.Linear(16, 16),
  new nn.BatchNorm1d(16),
  new nn.ReLU(),
  new nn.Dropout(0.2),
  new nn.Linear(16, 1),
);
for (const module of [table, layers]) module.to(device);
const params = [...table.parameters(), ...layers.parameters()];
const optimizer = new optim.AdamW(params, { lr: 0.01 });
const scaler = new amp.GradScaler(device);
const user = randint(0, 500, [32]), item = randint(0, 500, [32]), noise = randn([32, 16]);
let total: Tensor = zeros([], { device });
console.error("begin");
for (let i = 0; i < 3; i++) {
  const x = cat([table.forward(user.to(device)), table.forward(item.to(device))], 1);
  const y = layers.forward(x.add(noise.to(device))).squeeze(1);
  const loss = F.binaryCrossEntropyWithLogits(y, zeros([32], { device }));
  optimizer.zeroGrad();
  scaler.scale(loss).backward();
  scaler.unscale_(optimizer);
  nn.utils.clipGradNorm_(params, 1);
  // What the scaler's own step reads is whether a gradient was infinite.
  optimizer.step();
  scaler.update(1024);
  total = total.add(loss.detach());
}
console.error("end");
total.item();
