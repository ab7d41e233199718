/** Toro's side of `deno task bench`: each workload prepares its data and returns one iteration. */
import * as toro from "@toro/toro";
import { cat, deploy, nn, noGrad, optim, type Tensor, tensor } from "@toro/toro";

/** The same numbers as `pattern` in torch_side.py. */
function pattern(...shape: number[]): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: n }, (_, i) => Math.fround((i * 7919) % 1000) / 1000 - 0.5),
  ).view(shape);
}

class Guide extends nn.Module {
  u: nn.Embedding;
  i: nn.Embedding;
  d: nn.Sequential;
  constructor(users: number, items: number, dim: number) {
    super();
    this.u = new nn.Embedding(users, dim);
    this.i = new nn.Embedding(items, dim);
    nn.init.normal_(this.u.weight, { std: 0.1 });
    nn.init.normal_(this.i.weight, { std: 0.1 });
    const widths = [2 * dim, 512, 256, 128];
    this.d = new nn.Sequential(
      ...[512, 256, 128].flatMap((h, k) => [
        new nn.Linear(widths[k], h),
        new nn.BatchNorm1d(h),
        new nn.ReLU(),
        new nn.Dropout(0.2),
      ]),
      new nn.Linear(128, 1),
      new nn.Sigmoid(),
    );
  }
  override forward(a: Tensor, b: Tensor): Tensor {
    return this.d.forward(cat([this.u.forward(a), this.i.forward(b)], 1)).squeeze(-1);
  }
}

/** The default model of examples/recommender.ts: users, what they bought before, and five candidates each. */
class Product extends nn.Module {
  u: nn.Embedding;
  i: nn.Embedding;
  h: nn.Embedding;
  b: nn.Embedding;
  recency: nn.Parameter;
  forget: nn.Dropout = new nn.Dropout(0.2);
  blur: nn.Dropout = new nn.Dropout(0.3);
  d: nn.Sequential;
  constructor(users: number, items: number, dim: number, length: number) {
    super();
    this.u = new nn.Embedding(users, dim);
    this.i = new nn.Embedding(items, dim);
    this.h = new nn.Embedding(items + 1, dim, items);
    this.b = new nn.Embedding(items, 1);
    this.recency = new nn.Parameter(toro.zeros([length]));
    this.d = new nn.Sequential(
      new nn.Linear(2 * dim, 64),
      new nn.BatchNorm1d(64),
      new nn.ReLU(),
      new nn.Dropout(0.2),
      new nn.Linear(64, 1),
    );
  }
  override forward(user: Tensor, history: Tensor, item: Tensor): Tensor {
    const known = history.ne(this.h.numEmbeddings - 1);
    const weight = this.forget.forward(this.recency.exp().mul(known));
    const bought = weight.unsqueeze(1).matmul(this.h.forward(history))
      .div(weight.sum(1).add(1e-6).view([-1, 1, 1]));
    const i = this.blur.forward(this.i.forward(item));
    const taste = this.u.forward(user).unsqueeze(1).mul(i), fit = bought.mul(i);
    const deep = this.d.forward(cat([taste, fit], 2).flatten(0, 1)).view(item.shape);
    return deep.add(fit.sum(2)).add(this.b.forward(item).squeeze(-1));
  }
}

/** One step of the default model on 819 sales with four other products each: 4,095 pairs. */
function productRecommender(users: number, items: number, dim: number): () => Tensor {
  toro.manualSeed(0);
  const rows = 819, length = 20;
  const model = new Product(users, items, dim, length);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
  const criterion = new nn.BCEWithLogitsLoss();
  const label = toro.zeros([rows, 5]);
  label.select(1, 0).fill_(1);
  return () => {
    const user = toro.randint(0, users, [rows]), item = toro.randint(0, items, [rows, 5]);
    const history = toro.randint(0, items + 1, [rows, length]);
    const loss = criterion.forward(model.forward(user, history, item), label);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
}

function guideRecommender(
  users: number,
  items: number,
  dim: number,
  batch: number,
): () => Tensor {
  toro.manualSeed(0);
  const model = new Guide(users, items, dim);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
  const criterion = new nn.BCELoss();
  const label = toro.randint(0, 2, [batch]).to("float32");
  return () => {
    const user = toro.randint(0, users, [batch]), item = toro.randint(0, items, [batch]);
    const loss = criterion.forward(model.forward(user, item), label);
    optimizer.zeroGrad();
    loss.backward();
    nn.utils.clipGradNorm_(model.parameters(), 1);
    optimizer.step();
    return loss;
  };
}

/** The guide's model in use on batches of 1000. */
function inference(quantize: boolean): () => Tensor {
  toro.manualSeed(0);
  const [users, items] = [1_000_000, 100_000];
  const trained = new Guide(users, items, 128).eval();
  const model = quantize ? deploy.quantizeDynamic(trained) : trained;
  const user = toro.randint(0, users, [1000]), item = toro.randint(0, items, [1000]);
  return () => noGrad(() => model.forward(user, item));
}

/** New normal numbers in place of those before, so that there is memory for one tensor only. */
function normal(...shape: number[]): () => Tensor {
  let last: Tensor | null = null;
  return () => {
    last?.dispose();
    return last = toro.randn(shape);
  };
}

function unary(f: (x: Tensor) => Tensor, ...shape: number[]): () => Tensor {
  const x = pattern(...shape);
  return () => f(x);
}

function binary(f: (x: Tensor, y: Tensor) => Tensor, a: number[], b: number[]): () => Tensor {
  const x = pattern(...a), y = pattern(...b);
  return () => f(x, y);
}

function bothWays(f: (x: Tensor) => Tensor, ...shape: number[]): () => Tensor {
  const x = pattern(...shape);
  x.requiresGrad = true;
  return () => {
    x.grad = null;
    f(x).sum().backward();
    return x.grad!;
  };
}

/** A convolution and its way back to both operands. */
function convolution(
  options: { stride?: number; padding?: number; groups?: number },
  shape: number[],
  weight: number[],
): () => Tensor {
  const x = pattern(...shape), w = pattern(...weight);
  x.requiresGrad = true;
  w.requiresGrad = true;
  return () => {
    x.grad = null;
    w.grad = null;
    nn.functional.conv2d(x, w, options).sum().backward();
    return x.grad!;
  };
}

/** Attention forward and back: B items, H heads, T tokens, heads of size D. */
function attention(
  [b, h, t, d]: [number, number, number, number],
  { isCausal = false, masked = false } = {},
): () => Tensor {
  const [q, k, v] = [1, 2, 3].map((i) => {
    const x = pattern(b, h, t, d).mul(i);
    x.requiresGrad = true;
    return x;
  });
  const attnMask = masked ? pattern(b, 1, t, t) : null;
  return () => {
    for (const x of [q, k, v]) x.grad = null;
    const y = nn.functional.scaledDotProductAttention(q, k, v, attnMask, { isCausal });
    y.sum().backward();
    return k.grad!;
  };
}

/** A recurrent layer forward and back over T steps of B sequences; the weights are a pattern. */
function recurrent(
  model: { parameters(): nn.Parameter[]; forward(x: Tensor): [Tensor, unknown] },
  [t, b, i]: [number, number, number],
): () => Tensor {
  noGrad(() => {
    for (const p of model.parameters()) p.copy_(pattern(...p.shape).mul(0.1));
  });
  const x = pattern(t, b, i);
  x.requiresGrad = true;
  return () => {
    x.grad = null;
    for (const p of model.parameters()) p.grad = null;
    model.forward(x)[0].sum().backward();
    return x.grad!;
  };
}

/** Workloads by name; the twins are in torch_side.py. */
export const workloads: Record<string, () => () => Tensor> = {
  "recommender product step 4096": () => productRecommender(4339, 3665, 64),
  "recommender guide step 4096": () => guideRecommender(4339, 3665, 64, 4096),
  "recommender 1M x 100k step 1024": () => guideRecommender(1_000_000, 100_000, 128, 1024),
  "recommender 1M x 100k step 1024, fused": () => guideRecommender(1_000_000, 100_000, 128, 1024),
  "recommender 1M x 100k inference 1000": () => inference(false),
  "recommender 1M x 100k inference 1000, int8": () => inference(true),
  "add 64": () => binary(toro.add, [64], [64]),
  "add 16M": () => binary(toro.add, [1 << 24], [1 << 24]),
  "exp 16M": () => unary(toro.exp, 1 << 24),
  "gelu 16M": () => unary((x) => nn.functional.gelu(x), 1 << 24),
  "sum 4096 x 4096 dim 0": () => unary((x) => x.sum(0), 4096, 4096),
  "std 4096 x 4096 dim 1": () => unary((x) => x.std(1), 4096, 4096),
  "softmax 64 x 512 x 512 both ways": () =>
    bothWays((x) => toro.softmax(x, -1).square(), 64, 512, 512),
  "layerNorm 4096 x 512 both ways": () =>
    bothWays((x) => nn.functional.layerNorm(x, [512]).square(), 4096, 512),
  "dropout 1024 x 512": () => unary((x) => nn.functional.dropout(x, 0.2), 1024, 512),
  "randn 16M": () => () => toro.randn([1 << 24]),
  "randn 10M x 128": () => normal(10_000_000, 128),
  "matmul 512": () => binary(toro.matmul, [512, 512], [512, 512]),
  "matmul 1024": () => binary(toro.matmul, [1024, 1024], [1024, 1024]),
  "matmul 1024 x 256 x 512": () => binary(toro.matmul, [1024, 256], [256, 512]),
  "matmul 2048": () => binary(toro.matmul, [2048, 2048], [2048, 2048]),
  "conv2d 8 x 64 x 56, 3 x 3, both ways": () =>
    convolution({ padding: 1 }, [8, 64, 56, 56], [64, 64, 3, 3]),
  "conv2d 8 x 128 x 28, 3 x 3, both ways": () =>
    convolution({ padding: 1 }, [8, 128, 28, 28], [128, 128, 3, 3]),
  "conv2d 8 x 256 x 14, 1 x 1, both ways": () =>
    convolution({}, [8, 256, 14, 14], [1024, 256, 1, 1]),
  "conv2d 1 x 3 x 224, 7 x 7 by 2, both ways": () =>
    convolution({ padding: 3, stride: 2 }, [1, 3, 224, 224], [64, 3, 7, 7]),
  "conv2d 8 x 144 x 28, depthwise, both ways": () =>
    convolution({ padding: 1, groups: 144 }, [8, 144, 28, 28], [144, 1, 3, 3]),
  "attention 8 x 8 x 512 x 64": () => attention([8, 8, 512, 64]),
  "attention 16 x 12 x 256 x 64 causal": () => attention([16, 12, 256, 64], { isCausal: true }),
  "attention 1 x 16 x 2048 x 64": () => attention([1, 16, 2048, 64]),
  "attention 4 x 12 x 128 x 64 masked": () => attention([4, 12, 128, 64], { masked: true }),
  "attention 2 x 8 x 1024 x 128": () => attention([2, 8, 1024, 128]),
  "LSTM 100 x 32, 128 to 128": () => recurrent(new nn.LSTM(128, 128), [100, 32, 128]),
  "LSTM 50 x 64, 256 to 256, 2 layers": () => recurrent(new nn.LSTM(256, 256, 2), [50, 64, 256]),
  "LSTM 200 x 1, 512 to 512": () => recurrent(new nn.LSTM(512, 512), [200, 1, 512]),
  "GRU 50 x 32, 128 to 128, both ways": () =>
    recurrent(new nn.GRU(128, 128, { bidirectional: true }), [50, 32, 128]),
  "RNN 100 x 64, 64 to 256": () => recurrent(new nn.RNN(64, 256), [100, 64, 64]),
  "sort 1M": () => unary((x) => toro.sort(x).values, 1 << 20),
  "topk 100 of 1M": () => unary((x) => toro.topk(x, 100).values, 1 << 20),
};
