// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME --allow-read --allow-write=out examples/recommender.ts
//
// Trains a recommender on sales (Parquet or CSV) or on generated ones, and compares it with popularity and item-kNN.
// Protocol: the last product of each customer with five or more is the test, the one before it validation; it is
// ranked against 99 products that the customer never bought, and a tie counts half.
import { Command } from "@cliffy/command";
import {
  cat,
  checkpoint,
  data,
  deploy,
  manualSeed,
  memory,
  monitor,
  nn,
  noGrad,
  optim,
  processMemory,
  type Tensor,
  tensor,
  ToroError,
  zeros,
} from "@toro/toro";

// ---- models ---------------------------------------------------------------------------------

interface Recommender extends nn.Module {
  /** Scores of (user, item) pairs: (B), (B) → (B), higher is better. */
  forward(user: Tensor, item: Tensor): Tensor;
}

/** The guide's model: both embeddings beside each other through a deep network, out comes a probability. */
class GuideRecommender extends nn.Module implements Recommender {
  userEmbedding: nn.Embedding;
  itemEmbedding: nn.Embedding;
  layers: nn.Sequential;

  constructor(users: number, items: number, dim: number, hidden: number[] = [512, 256, 128]) {
    super();
    this.userEmbedding = new nn.Embedding(users, dim);
    this.itemEmbedding = new nn.Embedding(items, dim);
    const widths = [2 * dim, ...hidden];
    this.layers = new nn.Sequential(
      ...hidden.flatMap((out, i) => [
        new nn.Linear(widths[i], out),
        new nn.BatchNorm1d(out),
        new nn.ReLU(),
        new nn.Dropout(0.2),
      ]),
      new nn.Linear(widths.at(-1)!, 1),
      new nn.Sigmoid(),
    );
    for (const module of this.modules()) {
      if (module instanceof nn.Linear) {
        nn.init.xavierUniform_(module.weight);
        nn.init.zeros_(module.bias!);
      }
      if (module instanceof nn.Embedding) nn.init.normal_(module.weight, { std: 0.1 });
    }
  }

  override forward(user: Tensor, item: Tensor): Tensor {
    const features = cat([this.userEmbedding.forward(user), this.itemEmbedding.forward(item)], 1);
    return this.layers.forward(features).squeeze(-1);
  }
}

/** Embeddings, their product beside them, and an item bias: taste shows in the product. Out comes a logit. */
class ProductRecommender extends nn.Module implements Recommender {
  userEmbedding: nn.Embedding;
  itemEmbedding: nn.Embedding;
  itemBias: nn.Embedding;
  layers: nn.Sequential;

  constructor(users: number, items: number, dim: number) {
    super();
    this.userEmbedding = new nn.Embedding(users, dim);
    this.itemEmbedding = new nn.Embedding(items, dim);
    this.itemBias = new nn.Embedding(items, 1);
    nn.init.normal_(this.userEmbedding.weight, { std: 0.05 });
    nn.init.normal_(this.itemEmbedding.weight, { std: 0.05 });
    nn.init.zeros_(this.itemBias.weight);
    this.layers = new nn.Sequential(
      new nn.Linear(3 * dim, 256),
      new nn.BatchNorm1d(256),
      new nn.ReLU(),
      new nn.Dropout(0.2),
      new nn.Linear(256, 1),
    );
  }

  override forward(user: Tensor, item: Tensor): Tensor {
    const u = this.userEmbedding.forward(user), i = this.itemEmbedding.forward(item);
    const deep = this.layers.forward(cat([u, i, u.mul(i)], 1));
    return deep.add(this.itemBias.forward(item)).squeeze(-1);
  }
}

// ---- sales ----------------------------------------------------------------------------------

/** Distinct (user, item) pairs, each user's in the order of time, users ascending. */
interface Sales {
  users: number;
  items: number;
  user: Int32Array;
  item: Int32Array;
  /** How likely the next product of a user is an item, where that is known. */
  affinity?: (user: number, item: number) => number;
}

/** A small fast generator for what must not depend on the training's random state (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `"CustomerID:float64"` as a column and its type. */
function column(option: string): [name: string, type: data.ColumnType] {
  const at = option.lastIndexOf(":");
  return at < 0
    ? [option, "string"]
    : [option.slice(0, at), option.slice(at + 1) as data.ColumnType];
}

interface Columns {
  user: string;
  item: string;
  time: string;
  invoice?: string;
  quantity?: string;
}

/** Reads sales: lines without user or item, cancelled invoices and quantities up to 0 are dropped. */
async function readSales(
  path: string,
  columns: Columns,
  shuffleTies: boolean,
  seed: number,
): Promise<Sales> {
  const wanted: Record<string, data.ColumnSpec> = {};
  const name: Record<string, string> = {};
  for (const [role, option] of Object.entries(columns)) {
    if (option === undefined || option === "") continue;
    const [column_, dtype] = column(option);
    name[role] = column_;
    wanted[column_] = dtype === "string" ? { dtype, fill: "" } : dtype;
  }
  const read = path.endsWith(".csv") ? data.readCsv : data.readParquet;
  const table = await read(path, { columns: wanted });
  const values = (role: string): ArrayLike<string | number | bigint> | null => {
    if (name[role] === undefined) return null;
    const found: Tensor | string[] = table[name[role]];
    return Array.isArray(found) ? found : found.toTypedArray();
  };
  const user = values("user")!, item = values("item")!, time = values("time")!;
  const invoice = values("invoice"), quantity = values("quantity");
  const isMissing = (v: string | number | bigint) => v === "" || Number.isNaN(v);
  const lines: number[] = [];
  for (let i = 0; i < user.length; i++) {
    if (isMissing(user[i]) || isMissing(item[i])) continue;
    if (invoice !== null && String(invoice[i]).startsWith("C")) continue;
    if (quantity !== null && Number(quantity[i]) <= 0) continue;
    lines.push(i);
  }
  // Lines of one invoice have one time: they stay as in the file, or come in a seeded order.
  const random = randomNumbers(seed ^ 0x7135);
  const place = Float64Array.from(user, (_, i) => shuffleTies ? random() : i);
  lines.sort((a, b) => time[a] < time[b] ? -1 : time[a] > time[b] ? 1 : place[a] - place[b]);
  const codes = (of: ArrayLike<string | number | bigint>) => {
    const distinct = [...new Set(lines.map((i) => of[i]))].sort((a, b) =>
      a < b ? -1 : a > b ? 1 : 0
    );
    return new Map(distinct.map((value, code) => [value, code]));
  };
  const userCodes = codes(user), itemCodes = codes(item);
  const baskets = Array.from({ length: userCodes.size }, () => new Set<number>());
  for (const i of lines) baskets[userCodes.get(user[i])!].add(itemCodes.get(item[i])!);
  return fromBaskets(baskets, itemCodes.size);
}

function fromBaskets(baskets: Iterable<number>[], items: number): Sales {
  const lists = baskets.map((b) => [...b]);
  const total = lists.reduce((sum, l) => sum + l.length, 0);
  const user = new Int32Array(total), item = new Int32Array(total);
  let at = 0;
  lists.forEach((list, u) => {
    for (const i of list) {
      user[at] = u;
      item[at++] = i;
    }
  });
  return { users: lists.length, items, user, item };
}

/**
 * Sales of which the best ranking is known. Items belong to groups and have a share of their group's sales; users
 * have a taste over groups. A sale draws a group by taste and an item by share, so the item's probability is the
 * product of both, and no ranking beats that one.
 */
function generateSales(users: number, items: number, perUser: number, seed: number): Sales {
  const random = randomNumbers(seed), groups = Math.max(10, Math.round(items / 250)), likes = 2;
  const groupOf = Int32Array.from({ length: items }, (_, i) => i % groups);
  const share = new Float64Array(items), sums = new Float64Array(groups);
  for (let i = 0; i < items; i++) {
    sums[groupOf[i]] += share[i] = (1 + Math.floor(i / groups)) ** -0.7;
  }
  for (let i = 0; i < items; i++) share[i] /= sums[groupOf[i]];
  const ranks = Math.ceil(items / groups);
  const cumulative = Float64Array.from({ length: groups * ranks }, () => 1);
  for (let g = 0; g < groups; g++) {
    let sum = 0;
    for (let i = g, r = 0; i < items; i += groups, r++) cumulative[g * ranks + r] = sum += share[i];
  }
  const liked = Int32Array.from({ length: users * likes }, () => Math.floor(random() * groups));
  const focus = 0.9; // of a user's sales go to the liked groups, the rest anywhere
  const baskets = Array.from({ length: users }, (_, u) => {
    const basket = new Set<number>();
    for (let tries = 0; basket.size < perUser && tries < 20 * perUser; tries++) {
      const g = random() < focus
        ? liked[u * likes + Math.floor(random() * likes)]
        : Math.floor(random() * groups);
      const x = random();
      let low = 0, high = ranks - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (cumulative[g * ranks + middle] > x) high = middle;
        else low = middle + 1;
      }
      basket.add(Math.min(g + low * groups, items - 1));
    }
    return basket;
  });
  const taste = (u: number, g: number) => {
    let p = (1 - focus) / groups;
    for (let k = 0; k < likes; k++) if (liked[u * likes + k] === g) p += focus / likes;
    return p;
  };
  return { ...fromBaskets(baskets, items), affinity: (u, i) => taste(u, groupOf[i]) * share[i] };
}

// ---- split, negatives, metrics ----------------------------------------------------------------

interface Pairs {
  user: Int32Array;
  item: Int32Array;
}

interface Split {
  train: Pairs;
  /** Rows of 1 + 99 candidates: the held-out product first. */
  valid: Pairs;
  test: Pairs;
}

const NEGATIVES = 99;

function split(sales: Sales, seed: number): Split {
  const { user, item, users, items } = sales;
  const random = randomNumbers(seed ^ 0x5eed);
  const train: number[] = [], valid: number[] = [], test: number[] = [];
  for (let from = 0; from < user.length;) {
    let to = from;
    while (to < user.length && user[to] === user[from]) to++;
    const held = to - from >= 5 ? 2 : 0;
    for (let i = from; i < to - held; i++) train.push(i);
    if (held > 0) {
      valid.push(to - 2);
      test.push(to - 1);
    }
    from = to;
  }
  const starts = new Int32Array(users + 1);
  for (const u of user) starts[u + 1]++;
  for (let u = 0; u < users; u++) starts[u + 1] += starts[u];
  const candidates = (rows: number[]): Pairs => {
    const out = {
      user: new Int32Array(rows.length * (NEGATIVES + 1)),
      item: new Int32Array(rows.length * (NEGATIVES + 1)),
    };
    rows.forEach((row, r) => {
      const u = user[row], bought = new Set(item.subarray(starts[u], starts[u + 1]));
      const at = r * (NEGATIVES + 1);
      out.user.fill(u, at, at + NEGATIVES + 1);
      out.item[at] = item[row];
      for (let k = 1; k <= NEGATIVES;) {
        const i = Math.floor(random() * items);
        if (!bought.has(i)) out.item[at + k++] = i;
      }
    });
    return out;
  };
  const pick = (rows: number[]): Pairs => ({
    user: Int32Array.from(rows, (i) => user[i]),
    item: Int32Array.from(rows, (i) => item[i]),
  });
  // Candidates for at most 20,000 users tell enough and keep an evaluation short.
  return {
    train: pick(train),
    valid: candidates(valid.slice(0, 20_000)),
    test: candidates(test.slice(0, 20_000)),
  };
}

interface Ranking {
  auc: number;
  hitRate10: number;
  ndcg10: number;
}

/** How high the first of each row of candidates is ranked. */
function rank(scores: ArrayLike<number>): Ranking {
  const rows = scores.length / (NEGATIVES + 1);
  const hitRate = new monitor.metrics.HitRate(10), ndcg = new monitor.metrics.NDCG(10);
  const rowsOf = tensor(Float64Array.from(scores)).view([rows, NEGATIVES + 1]);
  hitRate.update(rowsOf);
  ndcg.update(rowsOf);
  let below = 0;
  for (let r = 0; r < rows; r++) {
    const own = scores[r * (NEGATIVES + 1)];
    for (let k = 1; k <= NEGATIVES; k++) {
      const other = scores[r * (NEGATIVES + 1) + k];
      below += other < own ? 1 : other === own ? 0.5 : 0;
    }
  }
  return { auc: below / (rows * NEGATIVES), hitRate10: hitRate.compute(), ndcg10: ndcg.compute() };
}

/** Each positive with four products drawn anew for each epoch, in one table that the loader shuffles. */
class TrainingSales extends data.TensorDataset<{ user: Tensor; item: Tensor; label: Tensor }> {
  static readonly negatives = 4;
  #positives: Pairs;
  #items: number;
  #seed: number;

  constructor(positives: Pairs, items: number, seed: number) {
    const n = positives.user.length, all = n * (1 + TrainingSales.negatives);
    const user = new BigInt64Array(all), label = new Float32Array(all);
    for (let i = 0; i < all; i++) user[i] = BigInt(positives.user[i % n]);
    label.fill(1, 0, n);
    super({ user: tensor(user), item: zeros([all], { dtype: "int64" }), label: tensor(label) });
    this.#positives = positives;
    this.#items = items;
    this.#seed = seed;
  }

  /** Draws the negatives of an epoch; the same ones for the same seed and epoch. */
  draw(epoch: number): void {
    const random = randomNumbers(this.#seed * 1_000_003 + epoch);
    const n = this.#positives.item.length, item = new BigInt64Array(this.length);
    for (let i = 0; i < n; i++) item[i] = BigInt(this.#positives.item[i]);
    for (let i = n; i < item.length; i++) item[i] = BigInt(Math.floor(random() * this.#items));
    this.columns.item.copy_(tensor(item));
  }
}

// ---- rivals ---------------------------------------------------------------------------------

/** Scores candidates by how often an item was sold. */
function popularity(sales: Sales, { train, test }: Split): Float64Array {
  const count = new Float64Array(sales.items);
  for (const i of train.item) count[i]++;
  return Float64Array.from(test.item, (i) => count[i]);
}

/** Item-kNN: the sum of cosine similarities (shrunk by 10) between a candidate and what the user bought. */
function itemKnn(sales: Sales, { train, test }: Split): Float64Array {
  const bought = Array.from({ length: sales.users }, () => [] as number[]);
  train.user.forEach((u, i) => bought[u].push(train.item[i]));
  const both = new Float32Array(sales.items * sales.items), count = new Float64Array(sales.items);
  for (const list of bought) {
    for (const a of list) {
      count[a]++;
      for (const b of list) both[a * sales.items + b]++;
    }
  }
  const norm = count.map((n) => Math.sqrt(n + 10));
  return Float64Array.from(test.item, (candidate, k) => {
    let score = 0;
    for (const i of bought[test.user[k]]) {
      if (i !== candidate) score += both[i * sales.items + candidate] / norm[i] / norm[candidate];
    }
    return score;
  });
}

// ---- the run --------------------------------------------------------------------------------

const int64 = (x: Int32Array): Tensor => tensor(BigInt64Array.from(x, BigInt));

const { options } = await new Command()
  .name("recommender")
  .version("0.1.0")
  .description("Train a recommender on sales, and compare it with popularity and item-kNN.")
  .option("--data <file:string>", "Sales as Parquet or CSV; without it they are generated.")
  .option("--user <column:string>", "Column of the customer and its type.", {
    default: "CustomerID:float64",
  })
  .option("--item <column:string>", "Column of the product.", { default: "StockCode:string" })
  .option("--time <column:string>", "Column of the time, in any type that sorts.", {
    default: "InvoiceDate:string",
  })
  .option("--invoice <column:string>", "Column whose values beginning with C are dropped.", {
    default: "InvoiceNo:string",
  })
  .option("--quantity <column:string>", "Column whose values up to 0 are dropped.", {
    default: "Quantity:int64",
  })
  .option("--shuffle-ties", "Order sales of one time by the seed instead of as in the file.")
  .option("--model <kind:string>", "product or guide.", { default: "product" })
  .option(
    "--epochs <n:integer>",
    "Passes over the sales; default 12, guide 10, generated 3, --full 2.",
  )
  .option("--batch-size <n:integer>", "Pairs a step.", { default: 4096 })
  .option("--embedding-dim <n:integer>", "Width of the embeddings.", { default: 64 })
  .option("--accumulate <n:integer>", "Batches whose gradients are summed for one update.", {
    default: 1,
  })
  .option("--lr <rate:number>", "Learning rate; default 2e-3, guide 1e-3, generated 4e-3.")
  .option(
    "--decay <rate:number>",
    "Weight decay of the tables; default 1, generated 0.3. The guide's model has 0.01.",
  )
  .option("--seed <n:integer>", "Seed of everything random.", { default: 0 })
  .option("--out <dir:string>", "Folder of checkpoints, log and curves.", { default: "out" })
  .option("--save-every <n:integer>", "Steps between two checkpoints within an epoch.", {
    default: 1000,
  })
  .option("--resume", "Go on from the newest checkpoint in the folder.")
  .option("--json <file:string>", "File for the results.")
  .option("--full", "Generate 1,000,000 users and 100,000 items instead of 20,000 and 5,000.")
  .parse(Deno.args);

if (options.model !== "product" && options.model !== "guide") {
  console.error(`Cannot use --model ${options.model}: it is product or guide`);
  Deno.exit(2);
}
const started = performance.now();
const { seed, batchSize, embeddingDim: dim, accumulate, out } = options;
const isGuide = options.model === "guide", isGenerated = options.data === undefined;
const epochs = options.epochs ?? (options.full ? 2 : isGenerated ? 3 : isGuide ? 10 : 12);
const lr = options.lr ?? (isGuide ? 1e-3 : isGenerated ? 4e-3 : 2e-3);

async function load(): Promise<Sales> {
  if (isGenerated) {
    return options.full
      ? generateSales(1_000_000, 100_000, 8, seed)
      : generateSales(20_000, 5_000, 40, seed);
  }
  try {
    const { user, item, time, invoice, quantity } = options;
    const columns = { user, item, time, invoice, quantity };
    return await readSales(options.data!, columns, options.shuffleTies ?? false, seed);
  } catch (error) {
    if (!(error instanceof ToroError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}

const sales = await load();
const parts = split(sales, seed);
console.log(
  `${sales.users.toLocaleString("en")} users × ${sales.items.toLocaleString("en")} items: ` +
    `${parts.train.user.length.toLocaleString("en")} sales to learn from, ` +
    `${(parts.test.user.length / (NEGATIVES + 1)).toLocaleString("en")} held out`,
);

manualSeed(seed);
const model: Recommender = isGuide
  ? new GuideRecommender(sales.users, sales.items, dim)
  : new ProductRecommender(sales.users, sales.items, dim);
const criterion = isGuide ? new nn.BCELoss() : new nn.BCEWithLogitsLoss();
// Strong decay on the tables keeps them from learning single sales by heart; the guide decays all alike.
const named = model.namedParameters();
const isTable = (name: string) => /^(user|item)_embedding/.test(name);
const optimizer = new optim.AdamW(
  isGuide ? model.parameters() : [
    {
      params: named.filter(([n]) => isTable(n)).map(([, p]) => p),
      weightDecay: options.decay ?? (isGenerated ? 0.3 : 1),
    },
    { params: named.filter(([n]) => !isTable(n)).map(([, p]) => p), weightDecay: 0.01 },
  ],
  { lr, weightDecay: 0.01 },
);
const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, epochs);
const train = new TrainingSales(parts.train, sales.items, seed);
const loader = new data.DataLoader(train, { batchSize, shuffle: true });
const log = new monitor.TrainingMonitor({
  dir: `${out}/logs`,
  earlyStopping: { metric: "valHitRate10", mode: "max", patience: 5 },
});
const saver = new checkpoint.ModelCheckpoint({ model, optimizer, scheduler, loader, log }, {
  dir: `${out}/checkpoints`,
  everySteps: options.saveEvery,
  keepLast: 2,
  best: { metric: "valHitRate10", mode: "max" },
});

/** Scores of pairs by the model as it is. */
function scoresOf(pairs: Pairs): Float32Array {
  model.eval();
  using _ = noGrad();
  const scores = new Float32Array(pairs.user.length), size = 16_384;
  for (let from = 0; from < scores.length; from += size) {
    const to = Math.min(from + size, scores.length);
    const batch = model.forward(
      int64(pairs.user.subarray(from, to)),
      int64(pairs.item.subarray(from, to)),
    );
    scores.set(batch.toTypedArray() as Float32Array, from);
  }
  return scores;
}

/** The loss on each held-out sale and its first four candidates, as training has them. */
function lossOf(scores: Float32Array): number {
  let sum = 0;
  const width = NEGATIVES + 1, used = 1 + TrainingSales.negatives;
  for (let row = 0; row < scores.length; row += width) {
    for (let k = 0; k < used; k++) {
      const s = scores[row + k];
      const p = isGuide ? s : 1 / (1 + Math.exp(-s));
      sum -= Math.max(Math.log(k === 0 ? p : 1 - p), -100);
    }
  }
  return sum / (used * scores.length / width);
}

let steps = 0, trainMs = 0;
for (
  let epoch = options.resume ? await saver.resume() : 0;
  epoch < epochs && !log.stopped;
  epoch++
) {
  train.draw(epoch);
  model.train();
  const begin = performance.now();
  let batches = 0;
  for await (const { user, item, label } of log.progress(loader)) {
    const loss = criterion.forward(model.forward(user, item), label);
    (accumulate > 1 ? loss.div(accumulate) : loss).backward();
    if (++batches % accumulate === 0 || batches === loader.length) {
      if (isGuide) nn.utils.clipGradNorm_(model.parameters(), 1);
      optimizer.step();
      optimizer.zeroGrad();
      steps++;
    }
    log.batch({ loss });
  }
  trainMs += performance.now() - begin;
  const scores = scoresOf(parts.valid);
  const metrics = {
    valLoss: lossOf(scores),
    valHitRate10: rank(scores).hitRate10,
    lr: scheduler.getLastLr()[0],
  };
  scheduler.step();
  log.epoch(epoch, metrics);
  await saver.save(epoch, metrics);
}
await log.curves();

// What counts is what a saved model predicts, so the test goes through the newest checkpoint.
const served = new deploy.ModelDeployment(model, { checkpoint: saver.latest()!.path });
const scores = (await served.batchPredict([int64(parts.test.user), int64(parts.test.item)], {
  batchSize: 16_384,
}))
  .toTypedArray() as Float32Array;
const threshold = isGuide ? 0.5 : 0;
let right = 0;
for (let row = 0; row < scores.length; row += NEGATIVES + 1) {
  right += Number(scores[row] > threshold) + Number(scores[row + 1] <= threshold);
}
const test: Record<string, Ranking & { accuracy?: number }> = {
  model: { accuracy: right / (2 * scores.length / (NEGATIVES + 1)), ...rank(scores) },
  popularity: rank(popularity(sales, parts)),
};
// Similarities of all pairs of items fit in memory up to some 20,000.
if (sales.items <= 20_000) test.itemKnn = rank(itemKnn(sales, parts));
if (sales.affinity) {
  test.best = rank(
    Float64Array.from(parts.test.user, (u, k) => sales.affinity!(u, parts.test.item[k])),
  );
}

const percent = (x: number) => x.toFixed(3).padStart(9);
console.log("\n              HitRate@10  NDCG@10      AUC");
for (const [name, r] of Object.entries(test)) {
  console.log(`${name.padEnd(14)} ${percent(r.hitRate10)}${percent(r.ndcg10)}${percent(r.auc)}`);
}
console.log(`accuracy at 0.5, one negative each: ${test.model.accuracy!.toFixed(3)}`);
if (test.best) {
  const lift = (r: Ranking) => r.hitRate10 - test.popularity.hitRate10;
  console.log(
    `lift over popularity: ${
      (100 * lift(test.model) / lift(test.best)).toFixed(1)
    } % of the best possible`,
  );
}
const { peakResidentBytes } = processMemory();
const seconds = { train: trainMs / 1e3, perStep: trainMs / 1e3 / Math.max(steps, 1) };
console.log(
  `${steps} steps in ${seconds.train.toFixed(1)} s (${
    (1e3 * seconds.perStep).toFixed(1)
  } ms each), ` +
    `${((performance.now() - started) / 1e3).toFixed(1)} s in all, peak memory ${
      (peakResidentBytes / 2 ** 20).toFixed(0)
    } MiB, ` +
    `native ${(memory().peakBytes / 2 ** 20).toFixed(0)} MiB; curves in ${out}/logs/curves.png`,
);
if (options.json !== undefined) {
  await Deno.writeTextFile(
    options.json,
    JSON.stringify({ test, seconds, peakRssBytes: peakResidentBytes }, null, 2) + "\n",
  );
}
