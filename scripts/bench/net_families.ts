/** Rows of `deno task bench`: whole networks of the kinds that people train, a step or a prediction; twins in torch_nets.py. */
import * as toro from "@toro/toro";
import { nn, noGrad, optim, type Tensor } from "@toro/toro";
import { type Family, fill, numbers, places } from "./family.ts";

const F = nn.functional;

class Basic extends nn.Module {
  body: nn.Sequential;
  shortcut: nn.Sequential;
  constructor(from: number, to: number, stride: number) {
    super();
    this.body = new nn.Sequential(
      new nn.Conv2d(from, to, 3, { stride, padding: 1, bias: false }),
      new nn.BatchNorm2d(to),
      new nn.ReLU(),
      new nn.Conv2d(to, to, 3, { padding: 1, bias: false }),
      new nn.BatchNorm2d(to),
    );
    this.shortcut = from === to ? new nn.Sequential() : new nn.Sequential(
      new nn.Conv2d(from, to, 1, { stride, bias: false }),
      new nn.BatchNorm2d(to),
    );
  }
  override forward(x: Tensor): Tensor {
    return F.relu(this.body.forward(x).add(this.shortcut.forward(x)));
  }
}

/** A small ResNet for images of 32 x 32. */
const resnet = () =>
  new nn.Sequential(
    new nn.Conv2d(3, 64, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(64),
    new nn.ReLU(),
    new Basic(64, 64, 1),
    new Basic(64, 128, 2),
    new Basic(128, 256, 2),
    new Basic(256, 512, 2),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(512, 10),
  );

class Inverted extends nn.Module {
  body: nn.Sequential;
  isResidual: boolean;
  constructor(from: number, to: number, stride: number) {
    super();
    const wide = 6 * from;
    this.isResidual = from === to && stride === 1;
    this.body = new nn.Sequential(
      new nn.Conv2d(from, wide, 1, { bias: false }),
      new nn.BatchNorm2d(wide),
      new nn.ReLU6(),
      new nn.Conv2d(wide, wide, 3, { stride, padding: 1, groups: wide, bias: false }),
      new nn.BatchNorm2d(wide),
      new nn.ReLU6(),
      new nn.Conv2d(wide, to, 1, { bias: false }),
      new nn.BatchNorm2d(to),
    );
  }
  override forward(x: Tensor): Tensor {
    const y = this.body.forward(x);
    return this.isResidual ? y.add(x) : y;
  }
}

/** The first blocks of MobileNetV2. */
const mobileNet = () =>
  new nn.Sequential(
    new nn.Conv2d(3, 32, 3, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(32),
    new nn.ReLU6(),
    new Inverted(32, 16, 1),
    new Inverted(16, 24, 2),
    new Inverted(24, 24, 1),
    new Inverted(24, 32, 2),
    new Inverted(32, 32, 1),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(32, 10),
  );

const twice = (from: number, to: number) =>
  new nn.Sequential(
    new nn.Conv2d(from, to, 3, { padding: 1 }),
    new nn.GroupNorm(8, to),
    new nn.SiLU(),
    new nn.Conv2d(to, to, 3, { padding: 1 }),
    new nn.GroupNorm(8, to),
    new nn.SiLU(),
  );

class UNet extends nn.Module {
  first: nn.Sequential = twice(1, 32);
  second: nn.Sequential = twice(32, 64);
  middle: nn.Sequential = twice(64, 128);
  up: nn.ConvTranspose2d = new nn.ConvTranspose2d(128, 64, 2, { stride: 2 });
  third: nn.Sequential = twice(128, 64);
  wider: nn.Upsample = new nn.Upsample({ scaleFactor: 2, mode: "bilinear" });
  narrow: nn.Conv2d = new nn.Conv2d(64, 32, 1);
  last: nn.Sequential = twice(64, 32);
  out: nn.Conv2d = new nn.Conv2d(32, 1, 1);
  pool: nn.MaxPool2d = new nn.MaxPool2d(2);
  override forward(x: Tensor): Tensor {
    const a = this.first.forward(x), b = this.second.forward(this.pool.forward(a));
    const c = this.up.forward(this.middle.forward(this.pool.forward(b)));
    const d = this.wider.forward(this.third.forward(toro.cat([c, b], 1)));
    return this.out.forward(this.last.forward(toro.cat([this.narrow.forward(d), a], 1)));
  }
}

const encoder = () =>
  new nn.TransformerEncoder(
    new nn.TransformerEncoderLayer(256, 4, { dimFeedforward: 1024, batchFirst: true }),
    2,
  );

class Text extends nn.Module {
  words: nn.Embedding = new nn.Embedding(20_000, 128);
  lstm: nn.LSTM = new nn.LSTM(128, 128, { batchFirst: true, bidirectional: true });
  out: nn.Linear = new nn.Linear(256, 2);
  override forward(x: Tensor): Tensor {
    const [y] = this.lstm.forward(this.words.forward(x));
    return this.out.forward(y.mean(1));
  }
}

/** A recommender like DLRM: bags of eight tables, products of all pairs of them. */
class Dlrm extends nn.Module {
  bags: nn.ModuleList = new nn.ModuleList(
    Array.from({ length: 8 }, () => new nn.EmbeddingBag(100_000, 64, { mode: "sum" })),
  );
  bottom: nn.Sequential = new nn.Sequential(
    new nn.Linear(13, 512),
    new nn.ReLU(),
    new nn.Linear(512, 64),
    new nn.ReLU(),
  );
  top: nn.Sequential = new nn.Sequential(
    new nn.Linear(100, 256),
    new nn.ReLU(),
    new nn.Linear(256, 1),
  );
  pairs: Tensor;
  constructor() {
    super();
    const at = toro.trilIndices(9, 9, -1);
    this.pairs = at.select(0, 0).mul(9).add(at.select(0, 1));
  }
  override forward(dense: Tensor, sparse: Tensor): Tensor {
    const x = this.bottom.forward(dense);
    const rows = [...this.bags].map((bag, k) =>
      (bag as nn.EmbeddingBag).forward(sparse.select(1, k))
    );
    const all = toro.stack([x, ...rows], 1);
    const products = all.matmul(all.transpose(1, 2)).flatten(1).indexSelect(1, this.pairs);
    return this.top.forward(toro.cat([x, products], 1)).squeeze(1);
  }
}

class Vae extends nn.Module {
  encoder: nn.Sequential = new nn.Sequential(new nn.Linear(784, 400), new nn.ReLU());
  mean: nn.Linear = new nn.Linear(400, 20);
  logVariance: nn.Linear = new nn.Linear(400, 20);
  decoder: nn.Sequential = new nn.Sequential(
    new nn.Linear(20, 400),
    new nn.ReLU(),
    new nn.Linear(400, 784),
    new nn.Sigmoid(),
  );
  override forward(x: Tensor): [Tensor, Tensor, Tensor] {
    const h = this.encoder.forward(x), m = this.mean.forward(h), v = this.logVariance.forward(h);
    return [this.decoder.forward(m.add(toro.randnLike(m).mul(v.mul(0.5).exp()))), m, v];
  }
}

/** The network of PyTorch's example for handwritten digits. */
const digits = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 32, 3),
    new nn.ReLU(),
    new nn.Conv2d(32, 64, 3),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Dropout(0.25),
    new nn.Flatten(),
    new nn.Linear(9216, 128),
    new nn.ReLU(),
    new nn.Dropout(0.5),
    new nn.Linear(128, 10),
    new nn.LogSoftmax(1),
  );

function training(
  model: nn.Module,
  lossOf: () => Tensor,
  optimizerOf: (p: nn.Parameter[]) => optim.Optimizer = (p) => new optim.AdamW(p, { lr: 1e-3 }),
): () => Tensor {
  const optimizer = optimizerOf(model.parameters());
  return () => {
    const loss = lossOf();
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
}

/** A step of a network that tells ten classes apart. */
function classifier(
  model: nn.TensorModule,
  x: Tensor,
  optimizerOf?: (p: nn.Parameter[]) => optim.Optimizer,
): () => Tensor {
  const target = places(10, x.shape[0]);
  return training(model, () => F.crossEntropy(model.forward(x), target), optimizerOf);
}

/** A prediction, from the same weights as PyTorch's. */
function prediction(model: nn.Module, run: () => Tensor, scale: number): () => Tensor {
  model.eval();
  fill(model.parameters(), scale);
  return () => noGrad(run);
}

const image = (b: number, c: number, side: number) => numbers(b, c, side, side);

/** Networks by name. */
export const netFamilies: Record<string, Family> = {
  "ResNet of 4 blocks, {} x 3 x {}, a step": {
    shapes: [[16, 32]],
    drawn: [0],
    prepare: (b, side) =>
      classifier(
        resnet(),
        image(b, 3, side),
        (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, weightDecay: 5e-4 }),
      ),
    isRandom: true,
  },
  "ResNet of 4 blocks, {} x 3 x {}": {
    shapes: [[16, 32]],
    drawn: [0],
    prepare: (b, side) => {
      const model = resnet(), x = image(b, 3, side);
      return prediction(model, () => model.forward(x), 0.1);
    },
  },
  "MobileNet, {} x 3 x {}, a step": {
    shapes: [[8, 96]],
    drawn: [0],
    prepare: (b, side) => classifier(mobileNet(), image(b, 3, side)),
    isRandom: true,
  },
  "MobileNet, {} x 3 x {}": {
    shapes: [[1, 224]],
    drawn: [0],
    prepare: (b, side) => {
      const model = mobileNet(), x = image(b, 3, side);
      return prediction(model, () => model.forward(x), 0.3);
    },
  },
  "U-Net, {} x 1 x {}, a step": {
    shapes: [[2, 128]],
    drawn: [0],
    prepare: (b, side) => {
      const model = new UNet(), x = image(b, 1, side), y = image(b, 1, side);
      return training(model, () => F.mseLoss(model.forward(x), y));
    },
    isRandom: true,
  },
  "digits, {} x 1 x 28, a step of Adadelta": {
    shapes: [[64]],
    prepare: (b) => {
      const model = digits(), x = image(b, 1, 28), target = places(10, b);
      return training(
        model,
        () => F.nllLoss(model.forward(x), target),
        (p) => new optim.Adadelta(p, { lr: 1 }),
      );
    },
    isRandom: true,
  },
  "transformer encoder of 2 layers, {} x {} x 256, a step": {
    shapes: [[16, 128]],
    prepare: (b, t) => {
      const model = encoder(), x = numbers(b, t, 256);
      return training(model, () => model.forward(x).square().mean());
    },
    isRandom: true,
  },
  "transformer encoder of 2 layers, {} x {} x 256": {
    shapes: [[16, 128], [1, 16]],
    prepare: (b, t) => {
      const model = encoder(), x = numbers(b, t, 256);
      return prediction(model, () => model.forward(x), 0.1);
    },
  },
  "LSTM over {} texts of {} words, both directions, a step": {
    shapes: [[32, 64]],
    prepare: (b, t) => {
      const model = new Text(), x = places(20_000, b, t), target = places(2, b);
      return training(model, () => F.crossEntropy(model.forward(x), target));
    },
    isRandom: true,
  },
  "DLRM of 8 tables of 100000 x 64, {} by {}, a step of SGD": {
    shapes: [[512, 4]],
    drawn: [0],
    prepare: (b, bag) => {
      const model = new Dlrm(), dense = numbers(b, 13), sparse = places(100_000, b, 8, bag);
      const label = places(2, b).to("float32");
      return training(
        model,
        () => F.binaryCrossEntropyWithLogits(model.forward(dense, sparse), label),
        (p) => new optim.SGD(p, { lr: 0.1 }),
      );
    },
    isRandom: true,
  },
  "DLRM of 8 tables of 100000 x 64, {} by {}": {
    shapes: [[512, 4]],
    drawn: [0],
    prepare: (b, bag) => {
      const model = new Dlrm(), dense = numbers(b, 13), sparse = places(100_000, b, 8, bag);
      return prediction(model, () => model.forward(dense, sparse), 0.2);
    },
  },
  "VAE 784-400-20, {} at a time, a step": {
    shapes: [[128]],
    prepare: (b) => {
      const model = new Vae(), x = numbers(b, 784).add(0.5);
      return training(model, () => {
        const [y, m, v] = model.forward(x);
        const spread = m.square().add(v.exp()).sub(v).sub(1).sum().mul(0.5);
        return F.binaryCrossEntropy(y, x, { reduction: "sum" }).add(spread);
      });
    },
    isRandom: true,
  },
};
