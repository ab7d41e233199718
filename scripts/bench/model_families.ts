/** Toro's side of `deno task bench`: models, their training steps and predictions. */
import * as toro from "@toro/toro";
import { cat, data, deploy, nn, noGrad, optim, type Tensor } from "@toro/toro";
import { type Family, fill, numbers, places } from "./family.ts";

const F = toro.F;

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
  isSparse: boolean,
): () => Tensor {
  toro.manualSeed(0);
  const model = new Guide(users, items, dim);
  const tables = isSparse ? [model.u.weight, model.i.weight] : [];
  const dense = model.parameters().filter((p) => !tables.includes(p));
  const optimizers: optim.Optimizer[] = [
    new optim.AdamW(dense, { lr: 1e-3, weightDecay: 0.01 }),
    ...(isSparse ? [new optim.SparseAdam(tables, { lr: 1e-3 })] : []),
  ];
  const criterion = new nn.BCELoss();
  const label = toro.randint(0, 2, [batch]).to("float32");
  return () => {
    const user = toro.randint(0, users, [batch]), item = toro.randint(0, items, [batch]);
    const loss = criterion.forward(model.forward(user, item), label);
    for (const optimizer of optimizers) optimizer.zeroGrad();
    loss.backward();
    nn.utils.clipGradNorm_(dense, 1);
    for (const optimizer of optimizers) optimizer.step();
    return loss;
  };
}

/** The guide's model in use. */
function inference(users: number, items: number, batch: number, quantize = false): () => Tensor {
  const trained = new Guide(users, items, 128).eval();
  fill(trained.parameters(), 0.2);
  const model = quantize ? deploy.quantizeDynamic(trained) : trained;
  const user = places(users, batch), item = places(items, batch);
  return () => noGrad(() => model.forward(user, item));
}

/** One user against every product. */
function score(users: number, items: number): () => Tensor {
  const model = new Guide(users, items, 128).eval();
  fill(model.parameters(), 0.2);
  const user = toro.zeros([items], { dtype: "int64" }), item = toro.arange(items);
  return () => noGrad(() => model.forward(user, item));
}

/** A network of linear layers and ReLUs that learns ten classes; the weights are the same on both sides. */
function network(widths: number[], batch: number, kind: "sgd" | "adamw" | null): () => Tensor {
  const layers = widths.slice(1).flatMap((width, i) => [
    new nn.Linear(widths[i], width),
    ...(i + 2 < widths.length ? [new nn.ReLU()] : []),
  ]);
  const model = new nn.Sequential(...layers);
  fill(model.parameters(), 0.1);
  const x = numbers(batch, widths[0]), target = places(widths[widths.length - 1], batch);
  if (kind === null) return () => noGrad(() => model.forward(x));
  const optimizer = kind === "sgd"
    ? new optim.SGD(model.parameters(), { lr: 0.01 })
    : new optim.AdamW(model.parameters(), { lr: 1e-3 });
  return () => {
    const loss = F.crossEntropy(model.forward(x), target);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
}

/** A recurrent layer forward and back over T steps of B sequences. */
function recurrent(
  model: { parameters(): nn.Parameter[]; forward(x: Tensor): [Tensor, unknown] },
  [t, b, i]: number[],
): () => Tensor {
  fill(model.parameters(), 0.1);
  const x = numbers(t, b, i);
  x.requiresGrad = true;
  return () => {
    x.grad = null;
    for (const p of model.parameters()) p.grad = null;
    model.forward(x)[0].sum().backward();
    return x.grad!;
  };
}

/** Attention with its projections: written out, or fused and causal where asked. */
class Attention extends nn.Module {
  qkv: nn.Linear;
  out: nn.Linear;
  constructor(
    readonly width: number,
    readonly heads: number,
    readonly form: "plain" | "fused" | "causal",
  ) {
    super();
    this.qkv = new nn.Linear(width, 3 * width);
    this.out = new nn.Linear(width, width);
  }
  override forward(x: Tensor): Tensor {
    const [b, t, c] = x.shape, d = c / this.heads;
    const [q, k, v] = this.qkv.forward(x).split(c, 2)
      .map((y) => y.view([b, t, this.heads, d]).transpose(1, 2));
    const y = this.form === "plain"
      ? toro.softmax(q.matmul(k.transpose(-2, -1)).mul(d ** -0.5), -1).matmul(v)
      : F.scaledDotProductAttention(q, k, v, { isCausal: this.form === "causal" });
    return this.out.forward(y.transpose(1, 2).reshape([b, t, c]));
  }
}

function attentionLayer(
  [b, t, c, h]: number[],
  form: "plain" | "fused",
  backward: boolean,
): () => Tensor {
  const model = new Attention(c, h, form);
  fill(model.parameters(), 0.1);
  const x = numbers(b, t, c);
  if (!backward) return () => noGrad(() => model.forward(x));
  x.requiresGrad = true;
  return () => {
    x.grad = null;
    model.zeroGrad();
    model.forward(x).square().sum().backward();
    return x.grad!;
  };
}

class Block extends nn.Module {
  first: nn.LayerNorm;
  attention: Attention;
  second: nn.LayerNorm;
  up: nn.Linear;
  down: nn.Linear;
  dropout: nn.Dropout = new nn.Dropout(0.2);
  constructor(width: number, heads: number) {
    super();
    this.first = new nn.LayerNorm(width, { bias: false });
    this.attention = new Attention(width, heads, "causal");
    this.second = new nn.LayerNorm(width, { bias: false });
    this.up = new nn.Linear(width, 4 * width, { bias: false });
    this.down = new nn.Linear(4 * width, width, { bias: false });
  }
  override forward(x: Tensor): Tensor {
    x = x.add(this.dropout.forward(this.attention.forward(this.first.forward(x))));
    const y = this.down.forward(F.gelu(this.up.forward(this.second.forward(x))));
    return x.add(this.dropout.forward(y));
  }
}

class Gpt extends nn.Module {
  token: nn.Embedding;
  position: nn.Embedding;
  dropout: nn.Dropout = new nn.Dropout(0.2);
  blocks: nn.ModuleList;
  norm: nn.LayerNorm;
  constructor(vocabulary: number, tokens: number, width: number, layers: number, heads: number) {
    super();
    this.token = new nn.Embedding(vocabulary, width);
    this.position = new nn.Embedding(tokens, width);
    this.blocks = new nn.ModuleList(
      Array.from({ length: layers }, () => new Block(width, heads)),
    );
    this.norm = new nn.LayerNorm(width, { bias: false });
  }
  override forward(index: Tensor): Tensor {
    let x = this.dropout.forward(this.token.forward(index).add(this.position.weight));
    for (const block of this.blocks) x = block.forward(x) as Tensor;
    return F.linear(this.norm.forward(x), this.token.weight);
  }
}

/** A step of AdamW with clipping on characters; with bfloat16 under autocast. */
function gpt([layers, heads, width, b, t]: number[], dtype: "float32" | "bfloat16"): () => Tensor {
  const vocabulary = 65;
  const model = new Gpt(vocabulary, t, width, layers, heads);
  nn.init.normal_(model.token.weight, { std: 0.02 });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const index = places(vocabulary, b, t), target = places(vocabulary, b * t);
  const lossOf = () => F.crossEntropy(model.forward(index).view([-1, vocabulary]), target);
  return () => {
    const loss = dtype === "float32" ? lossOf() : toro.autocast({ device: "cpu", dtype }, lossOf);
    optimizer.zeroGrad();
    loss.backward();
    nn.utils.clipGradNorm_(model.parameters(), 1);
    optimizer.step();
    return loss;
  };
}

/** Shuffled batches of rows until all were seen once. */
function loader(rows: number, width: number, batch: number): () => Tensor {
  const set = new data.TensorDataset(numbers(rows, width), places(10, rows));
  const batches = new data.DataLoader(set, { batchSize: batch, shuffle: true });
  return () => {
    let last = null;
    for (const [x] of batches) last = x;
    return last as Tensor;
  };
}

const gptWork = (layers: number, _: number, width: number, b: number, t: number): number =>
  6 * b * t * layers * (12 * width ** 2 + 2 * t * width);
const guideWork = (batch: number): number => 2 * batch * (256 * 512 + 512 * 256 + 256 * 128 + 128);

/** Models by name. */
export const modelFamilies: Record<string, Family> = {
  "recommender, product model {} x {} x {}, a step": {
    shapes: [[4339, 3665, 64]],
    prepare: productRecommender,
    isRandom: true,
  },
  "recommender {} x {} x {}, a step of {}": {
    shapes: [[4339, 3665, 64, 4096], [1_000_000, 100_000, 128, 1024]],
    prepare: (users, items, dim, batch) => guideRecommender(users, items, dim, batch, false),
    bar: 40,
    isRandom: true,
  },
  "recommender {} x {} x {}, a step of {}, fused AdamW": {
    shapes: [[1_000_000, 100_000, 128, 1024]],
    prepare: (users, items, dim, batch) => guideRecommender(users, items, dim, batch, false),
    bar: 15,
    isRandom: true,
  },
  "recommender {} x {} x {}, a step of {}, sparse gradients": {
    shapes: [[1_000_000, 100_000, 128, 1024]],
    prepare: (users, items, dim, batch) => guideRecommender(users, items, dim, batch, true),
    bar: 3,
    isRandom: true,
  },
  "recommender {} x {}, prediction of {}": {
    shapes: [[1_000_000, 100_000, 1000], [1_000_000, 100_000, 1]],
    prepare: (users, items, batch) => inference(users, items, batch),
    work: (_users, _items, batch) => ({ float32: guideWork(batch) }),
    bar: 2,
  },
  "recommender {} x {}, prediction of {}, int8": {
    shapes: [[1_000_000, 100_000, 1000], [1_000_000, 100_000, 1]],
    prepare: (users, items, batch) => inference(users, items, batch, true),
    work: (_users, _items, batch) => ({ int8: guideWork(batch) }),
    isRandom: true,
  },
  "recommender {} x {}, all products for one user": {
    shapes: [[1_000_000, 100_000]],
    prepare: score,
    work: (_, items) => ({ float32: guideWork(items) }),
  },
  "network 64-64-10 on {}, a step of SGD": {
    shapes: [[1], [32]],
    prepare: (batch) => network([64, 64, 10], batch, "sgd"),
    bar: 3,
    isRandom: true,
  },
  "network 64-64-10 on {}, a step of AdamW": {
    shapes: [[1], [32]],
    prepare: (batch) => network([64, 64, 10], batch, "adamw"),
    bar: 3,
    isRandom: true,
  },
  "network 64-64-10 on {}": {
    shapes: [[1]],
    prepare: (batch) => network([64, 64, 10], batch, null),
    bar: 3,
  },
  "network 784-512-256-10 on {}, a step of AdamW": {
    shapes: [[128]],
    prepare: (batch) => network([784, 512, 256, 10], batch, "adamw"),
    work: (batch) => ({ float32: 6 * batch * (784 * 512 + 512 * 256 + 2560) }),
    isRandom: true,
  },
  "LSTM {} x {}, {} to {}, {} layers": {
    shapes: [[100, 32, 128, 128, 1], [50, 64, 256, 256, 2], [200, 1, 512, 512, 1], [
      35,
      20,
      650,
      650,
      2,
    ], [
      28,
      128,
      28,
      128,
      1,
    ]],
    drawn: [0, 1, 2, 3],
    prepare: (t, b, i, h, layers) => recurrent(new nn.LSTM(i, h, layers), [t, b, i]),
    work: (t, b, i, h, layers) => ({
      float32: 6 * t * b * 4 * h * (i + h + (layers - 1) * 2 * h),
    }),
  },
  "GRU {} x {}, {} to {}, both directions": {
    shapes: [[50, 32, 128, 128]],
    prepare: (t, b, i, h) => recurrent(new nn.GRU(i, h, { bidirectional: true }), [t, b, i]),
    work: (t, b, i, h) => ({ float32: 12 * t * b * 3 * h * (i + h) }),
  },
  "RNN {} x {}, {} to {}": {
    shapes: [[100, 64, 64, 256]],
    prepare: (t, b, i, h) => recurrent(new nn.RNN(i, h), [t, b, i]),
    work: (t, b, i, h) => ({ float32: 6 * t * b * h * (i + h) }),
  },
  "attention layer {} x {} x {}, {} heads, written out, both ways": {
    shapes: [[8, 512, 512, 8]],
    drawn: [0, 1],
    prepare: (...dims) => attentionLayer(dims, "plain", true),
    work: (b, t, c) => ({ float32: 3 * b * (8 * t * c * c + 4 * t * t * c) }),
  },
  "attention layer {} x {} x {}, {} heads, fused": {
    shapes: [[8, 512, 512, 8]],
    drawn: [0, 1],
    prepare: (...dims) => attentionLayer(dims, "fused", false),
    work: (b, t, c) => ({ float32: b * (8 * t * c * c + 4 * t * t * c) }),
    bar: 2,
  },
  "attention layer {} x {} x {}, {} heads, fused, both ways": {
    shapes: [[8, 512, 512, 8]],
    drawn: [0, 1],
    prepare: (...dims) => attentionLayer(dims, "fused", true),
    work: (b, t, c) => ({ float32: 3 * b * (8 * t * c * c + 4 * t * t * c) }),
    bar: 2,
  },
  "GPT of {} layers, {} heads, {} wide, {} x {}": {
    shapes: [[6, 6, 384, 16, 256]],
    drawn: [3, 4],
    prepare: (...dims) => gpt(dims, "float32"),
    work: (...dims) => ({ float32: gptWork(...dims as [number, number, number, number, number]) }),
    bar: 2,
    isRandom: true,
  },
  "GPT of {} layers, {} heads, {} wide, {} x {}, bfloat16": {
    shapes: [[6, 6, 384, 16, 256]],
    drawn: [3, 4],
    prepare: (...dims) => gpt(dims, "bfloat16"),
    work: (...dims) => ({ bfloat16: gptWork(...dims as [number, number, number, number, number]) }),
    bar: 1.6,
    isRandom: true,
  },
  "loader over {} rows of {} by {}": {
    shapes: [[200_000, 100, 1024]],
    prepare: loader,
    bar: 2,
    isRandom: true,
  },
};
