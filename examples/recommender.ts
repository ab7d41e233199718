// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME --allow-read --allow-write=out examples/recommender.ts
//
// Trains a recommender on sales (Parquet or CSV) or on generated ones, and compares it with popularity and item-kNN.
// Protocol: the last product of each customer with five or more is the test, the one before it validation; it is
// ranked against 99 products that the customer never bought, and a tie counts half.
import { Command } from "@cliffy/command";
import {
  arange,
  cat,
  checkpoint,
  data,
  deploy,
  manualSeed,
  memory,
  monitor,
  nn,
  optim,
  processMemory,
  rand,
  type Tensor,
  tensor,
  ToroError,
  where,
  zeros,
} from "@toro/toro";

// ---- models ---------------------------------------------------------------------------------

interface Recommender extends nn.Module {
  /**
   * Scores of products for users, higher is better: users (B), what each bought before (B, L), newest first and filled
   * up with the number of products, and the products to score (B, C) → (B, C).
   */
  forward(user: Tensor, history: Tensor, item: Tensor): Tensor;
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

  override forward(user: Tensor, _history: Tensor, item: Tensor): Tensor {
    const i = this.itemEmbedding.forward(item);
    const u = this.userEmbedding.forward(user).unsqueeze(1).expandAs(i);
    return this.layers.forward(cat([u, i], 2).flatten(0, 1)).view(item.shape);
  }
}

/**
 * What fits a user's taste, and what goes with the last purchases. Taste is the product of the embeddings of user and
 * product. The history is a mean of embeddings that only purchases have, weighted by how long ago each was (learned, one
 * weight for each place); its product with the candidate's embedding goes beside the first through a hidden layer, and
 * its sum straight to the score. Out comes a logit.
 */
class ProductRecommender extends nn.Module implements Recommender {
  userEmbedding: nn.Embedding;
  itemEmbedding: nn.Embedding;
  historyEmbedding: nn.Embedding;
  itemBias: nn.Embedding;
  /** The logarithm of the weight of each place in a history: (L). */
  recency: nn.Parameter;
  /** Hides single purchases in training. */
  forget: nn.Dropout = new nn.Dropout(0.2);
  /** Hides parts of a candidate's embedding in training. */
  blur: nn.Dropout = new nn.Dropout(0.3);
  layers: nn.Sequential;

  constructor(users: number, items: number, dim: number, length: number) {
    super();
    this.userEmbedding = new nn.Embedding(users, dim);
    this.itemEmbedding = new nn.Embedding(items, dim);
    this.historyEmbedding = new nn.Embedding(items + 1, dim, items);
    this.itemBias = new nn.Embedding(items, 1);
    for (const table of [this.userEmbedding, this.itemEmbedding, this.historyEmbedding]) {
      nn.init.normal_(table.weight, { std: 0.05 });
    }
    nn.init.zeros_(this.itemBias.weight);
    this.recency = new nn.Parameter(arange(1, length + 1).to("float32").log().mul(-0.5));
    this.layers = new nn.Sequential(
      new nn.Linear(2 * dim, 64),
      new nn.BatchNorm1d(64),
      new nn.ReLU(),
      new nn.Dropout(0.2),
      new nn.Linear(64, 1),
    );
  }

  override forward(user: Tensor, history: Tensor, item: Tensor): Tensor {
    const known = history.ne(this.historyEmbedding.numEmbeddings - 1);
    const weight = this.forget.forward(this.recency.exp().mul(known));
    const bought = weight.unsqueeze(1).matmul(this.historyEmbedding.forward(history))
      .div(weight.sum(1).add(1e-6).view([-1, 1, 1]));
    const i = this.blur.forward(this.itemEmbedding.forward(item));
    const taste = this.userEmbedding.forward(user).unsqueeze(1).mul(i), fit = bought.mul(i);
    const deep = this.layers.forward(cat([taste, fit], 2).flatten(0, 1)).view(item.shape);
    return deep.add(fit.sum(2)).add(this.itemBias.forward(item).squeeze(-1));
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
async function readSales(path: string, columns: Columns): Promise<Sales> {
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
  // The sort is stable: lines of one invoice, which have one time, stay in the order of the file.
  lines.sort((a, b) => time[a] < time[b] ? -1 : time[a] > time[b] ? 1 : 0);
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

const int64 = (x: Int32Array): Tensor => tensor(x).to("int64");

interface Pairs {
  user: Int32Array;
  item: Int32Array;
}

interface Split {
  train: Pairs;
  /** Where each user's sales begin in `train`, and at the end where the last user's end. */
  first: Int32Array;
  /** Users, and for each in `item` a row of 1 + 99 candidates: the held-out product first. */
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
  const beginnings = (rows: Iterable<number>): Int32Array => {
    const starts = new Int32Array(users + 1);
    for (const u of rows) starts[u + 1]++;
    for (let u = 0; u < users; u++) starts[u + 1] += starts[u];
    return starts;
  };
  const starts = beginnings(user);
  const candidates = (rows: number[]): Pairs => {
    // Candidates for at most 20,000 users tell enough and keep an evaluation short.
    const held = rows.slice(0, 20_000), width = NEGATIVES + 1;
    const own = new Int32Array(held.length * width);
    held.forEach((row, r) => {
      const bought = new Set(item.subarray(starts[user[row]], starts[user[row] + 1]));
      own[r * width] = item[row];
      for (let k = 1; k <= NEGATIVES;) {
        const i = Math.floor(random() * items);
        if (!bought.has(i)) own[r * width + k++] = i;
      }
    });
    return { user: Int32Array.from(held, (row) => user[row]), item: own };
  };
  const pairs = {
    user: Int32Array.from(train, (row) => user[row]),
    item: Int32Array.from(train, (row) => item[row]),
  };
  return {
    train: pairs,
    first: beginnings(pairs.user),
    valid: candidates(valid),
    test: candidates(test),
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

/** What users bought before, newest first, of the training part alone: no history knows a held-out sale. */
class Histories {
  #item: Tensor;
  #first: Tensor;
  #back: Tensor;
  #none: number;

  constructor({ train, first }: Split, items: number, length: number, device: string) {
    this.#item = int64(train.item).to(device);
    this.#first = int64(first).to(device);
    this.#back = arange(1, length + 1, { device });
    this.#none = items;
  }

  /** The products of users (B) before places (B) of the training part: (B, L). */
  before(user: Tensor, place: Tensor): Tensor {
    const at = place.unsqueeze(1).sub(this.#back);
    const known = at.ge(this.#first.indexSelect(0, user).unsqueeze(1));
    const item = this.#item.indexSelect(0, at.clamp(0, this.#item.shape[0] - 1).flatten()).view(
      at.shape,
    );
    return where(known, item, this.#none);
  }

  /** The same for training. The newest is hidden from every other sale, as it is from those held out. */
  training(user: Tensor, place: Tensor): Tensor {
    const history = this.before(user, place), newest = history.select(1, 0);
    newest.maskedFill_(rand(newest.shape, { device: newest.device }).lt(0.5), this.#none);
    return history;
  }

  /**
   * The same for held-out sales, `after` places behind the training part. What comes directly before the test is
   * validation's and not known; before validation it is hidden too, so that both measure one thing.
   */
  heldOut(user: Tensor, after: number): Tensor {
    const history = this.before(user, this.#first.indexSelect(0, user.add(1)).add(after));
    history.select(1, 0).fill_(this.#none);
    return history;
  }
}

/** Each sale with its place, by which its history is found, and beside its product four drawn anew for each epoch. */
class TrainingSales extends data.TensorDataset<{ user: Tensor; place: Tensor; item: Tensor }> {
  static readonly negatives = 4;
  #items: number;
  #seed: number;

  constructor({ user, item }: Pairs, items: number, seed: number) {
    const candidates = zeros([item.length, 1 + TrainingSales.negatives], { dtype: "int64" });
    candidates.select(1, 0).copy_(tensor(item));
    super({ user: int64(user), place: arange(item.length), item: candidates });
    this.#items = items;
    this.#seed = seed;
  }

  /** Draws the negatives of an epoch; the same ones for the same seed and epoch. */
  draw(epoch: number): void {
    const random = randomNumbers(this.#seed * 1_000_003 + epoch), { negatives } = TrainingSales;
    const drawn = Int32Array.from(
      { length: this.length * negatives },
      () => Math.floor(random() * this.#items),
    );
    this.columns.item.narrow(1, 1, negatives).copy_(tensor(drawn).view([-1, negatives]));
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
    for (const i of bought[test.user[Math.floor(k / (NEGATIVES + 1))]]) {
      if (i !== candidate) score += both[i * sales.items + candidate] / norm[i] / norm[candidate];
    }
    return score;
  });
}

// ---- the run --------------------------------------------------------------------------------

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
  .option("--model <kind:string>", "product or guide.", { default: "product" })
  .option("--epochs <n:integer>", "Passes over the sales; default 10, generated 2.")
  .option("--batch-size <n:integer>", "Pairs a step.", { default: 4096 })
  .option(
    "--history <n:integer>",
    "Purchases before a sale that the model is given; default 20, generated 40, --full 6.",
  )
  .option("--embedding-dim <n:integer>", "Width of the embeddings.", { default: 64 })
  .option("--accumulate <n:integer>", "Batches whose gradients are summed for one update.", {
    default: 1,
  })
  .option("--lr <rate:number>", "Learning rate; default 4e-3, guide 1e-3.")
  .option(
    "--decay <rate:number>",
    "Weight decay of the tables; default 1, generated 0.3. The guide's model has 0.01.",
  )
  .option("--device <name:string>", "cpu or cuda.", { default: "cpu" })
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
const { seed, batchSize, embeddingDim: dim, accumulate, device, out } = options;
const isGuide = options.model === "guide", isGenerated = options.data === undefined;
const epochs = options.epochs ?? (isGenerated ? 2 : 10);
const history = options.history ?? (options.full ? 6 : isGenerated ? 40 : 20);
const lr = options.lr ?? (isGuide ? 1e-3 : 4e-3);

async function load(): Promise<Sales> {
  if (isGenerated) {
    return options.full
      ? generateSales(1_000_000, 100_000, 8, seed)
      : generateSales(20_000, 5_000, 40, seed);
  }
  try {
    const { user, item, time, invoice, quantity } = options;
    const columns = { user, item, time, invoice, quantity };
    return await readSales(options.data!, columns);
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
    `${parts.test.user.length.toLocaleString("en")} held out`,
);

manualSeed(seed);
const model: Recommender = isGuide
  ? new GuideRecommender(sales.users, sales.items, dim)
  : new ProductRecommender(sales.users, sales.items, dim, history);
model.to(device);
const criterion = isGuide ? new nn.BCELoss() : new nn.BCEWithLogitsLoss();
// Strong decay on the tables keeps them from learning single sales by heart; the guide decays all alike.
const named = model.namedParameters();
const isTable = (name: string) => /^(user|item|history)_embedding/.test(name);
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
const histories = new Histories(parts, sales.items, history, device);
const loader = new data.DataLoader(train, {
  batchSize: Math.max(1, Math.floor(batchSize / (1 + TrainingSales.negatives))),
  shuffle: true,
  device,
});
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

/** A held-out part as the model's inputs. */
function inputsOf(part: "valid" | "test"): [user: Tensor, history: Tensor, item: Tensor] {
  const user = int64(parts[part].user).to(device), item = int64(parts[part].item).to(device);
  return [user, histories.heldOut(user, part === "test" ? 1 : 0), item.view([-1, NEGATIVES + 1])];
}

/** Each row's first candidate was bought, the others were not. */
function labels(rows: number): Tensor {
  const label = zeros([rows, 1 + TrainingSales.negatives], { device });
  label.select(1, 0).fill_(1);
  return label;
}
const valid = inputsOf("valid");
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
  for await (const { user, place, item } of log.progress(loader)) {
    const scores = model.forward(user, histories.training(user, place), item);
    const loss = criterion.forward(scores, labels(user.shape[0]));
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
  const scores = await new deploy.ModelDeployment(model).batchPredict(valid, { batchSize: 160 });
  // The loss is that on as many candidates as training has.
  const few = scores.narrow(1, 0, 1 + TrainingSales.negatives);
  const metrics = {
    valLoss: criterion.forward(few, labels(few.shape[0])).item(),
    valHitRate10: rank(scores.toTypedArray() as Float32Array).hitRate10,
    lr: scheduler.getLastLr()[0],
  };
  scheduler.step();
  log.epoch(epoch, metrics);
  await saver.save(epoch, metrics);
}
await log.curves();

// What counts is what a saved model predicts, so the test goes through the newest checkpoint.
const served = new deploy.ModelDeployment(model, { checkpoint: saver.latest()!.path });
const scores = (await served.batchPredict(inputsOf("test"), { batchSize: 160 }))
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
    Float64Array.from(
      parts.test.item,
      (i, k) => sales.affinity!(parts.test.user[Math.floor(k / (NEGATIVES + 1))], i),
    ),
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
