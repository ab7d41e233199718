// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME examples/guide/02_modules.ts
//
// Chapter 2, modules: attention over documents, and a recommender for a million users and a hundred thousand videos.
// --users, --items, --dim, --batch and --length make it smaller.
import { parseArgs } from "@std/cli/parse-args";
import {
  arange,
  cat,
  manualSeed,
  matmul,
  nn,
  noGrad,
  randint,
  randn,
  softmax,
  type Tensor,
} from "@toro/toro";

/**
 * Attention of H heads with a residual and a LayerNorm behind it: `layerNorm(query + wO(concat(heads)))`.
 *
 * Shapes: query (B, T, C), key and value (B, S, C), mask broadcastable to (B, H, T, S), 0 where nobody may look.
 */
export class MultiHeadAttention extends nn.Module {
  readonly dModel: number;
  readonly numHeads: number;
  readonly dK: number;
  wQ: nn.Linear;
  wK: nn.Linear;
  wV: nn.Linear;
  wO: nn.Linear;
  dropout: nn.Dropout;
  layerNorm: nn.LayerNorm;

  constructor(dModel: number, numHeads: number, { dropout = 0.1 }: { dropout?: number } = {}) {
    super();
    if (dModel % numHeads !== 0) {
      throw new RangeError(`Cannot share ${dModel} channels among ${numHeads} heads alike`);
    }
    this.dModel = dModel;
    this.numHeads = numHeads;
    this.dK = dModel / numHeads;
    this.wQ = new nn.Linear(dModel, dModel, { bias: false });
    this.wK = new nn.Linear(dModel, dModel, { bias: false });
    this.wV = new nn.Linear(dModel, dModel, { bias: false });
    this.wO = new nn.Linear(dModel, dModel);
    this.dropout = new nn.Dropout(dropout);
    this.layerNorm = new nn.LayerNorm(dModel);
  }

  override forward(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | null = null): Tensor {
    const heads = (x: Tensor) => x.view([x.size(0), -1, this.numHeads, this.dK]).transpose(1, 2); // (B, H, T, D)
    const q = heads(this.wQ.forward(query));
    const k = heads(this.wK.forward(key));
    const v = heads(this.wV.forward(value));
    const attended = this.scaledDotProductAttention(q, k, v, mask);
    const concat = attended.transpose(1, 2).contiguous().view([query.size(0), -1, this.dModel]);
    return this.layerNorm.forward(this.wO.forward(concat).add(query));
  }

  scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | null): Tensor {
    let scores = matmul(q, k.transpose(-2, -1)).div(Math.sqrt(this.dK));
    if (mask !== null) scores = scores.maskedFill(mask.eq(0), -1e9);
    const weights = this.dropout.forward(softmax(scores, -1));
    return matmul(weights, v);
  }
}

/** Both embeddings beside each other through a deep network. User and item numbers (B), (B) → probabilities (B). */
export class RecommendationSystem extends nn.Module {
  userEmbedding: nn.Embedding;
  itemEmbedding: nn.Embedding;
  deepLayers: nn.Sequential;

  constructor(
    numUsers: number,
    numItems: number,
    { embeddingDim = 128, hiddenDims = [512, 256, 128] }: {
      embeddingDim?: number;
      hiddenDims?: number[];
    } = {},
  ) {
    super();
    this.userEmbedding = new nn.Embedding(numUsers, embeddingDim);
    this.itemEmbedding = new nn.Embedding(numItems, embeddingDim);
    const widths = [2 * embeddingDim, ...hiddenDims];
    this.deepLayers = new nn.Sequential(
      ...hiddenDims.flatMap((out, i) => [
        new nn.Linear(widths[i], out),
        new nn.BatchNorm1d(out),
        new nn.ReLU(),
        new nn.Dropout(0.2),
      ]),
      new nn.Linear(widths.at(-1)!, 1),
      new nn.Sigmoid(),
    );
    this.#initWeights();
  }

  #initWeights(): void {
    for (const module of this.modules()) {
      if (module instanceof nn.Linear) {
        nn.init.xavierUniform_(module.weight);
        if (module.bias !== null) nn.init.zeros_(module.bias);
      } else if (module instanceof nn.Embedding) {
        nn.init.normal_(module.weight, { std: 0.1 });
      }
    }
  }

  override forward(userIds: Tensor, itemIds: Tensor): Tensor {
    const features = cat([
      this.userEmbedding.forward(userIds),
      this.itemEmbedding.forward(itemIds),
    ], 1);
    return this.deepLayers.forward(features).squeeze(-1);
  }
}

/** How many numbers a module learns. */
function countParameters(module: nn.Module): number {
  return module.parameters().reduce((sum, p) => sum + p.numel, 0);
}

if (import.meta.main) {
  const { users, items, dim, batch, length, seed } = parseArgs(Deno.args, {
    default: { users: 1_000_000, items: 100_000, dim: 128, batch: 1024, length: 64, seed: 0 },
  });
  manualSeed(seed);

  // Document retrieval: 8 texts, each word looking at itself and those before it.
  const attentionLayer = new MultiHeadAttention(512, 8);
  const documents = randn([8, length, 512]);
  const causal = arange(length).unsqueeze(1).ge(arange(length)); // (T, T)
  const attended = attentionLayer.forward(documents, documents, documents, causal);
  attended.square().mean().backward();
  const norm = nn.utils.clipGradNorm_(attentionLayer.parameters(), Infinity).item();
  console.log(`attention: [${documents.shape.join(", ")}] → [${attended.shape.join(", ")}]`);
  console.log(
    `${countParameters(attentionLayer).toLocaleString("en")} parameters, ` +
      `mean ${attended.mean().item().toFixed(5)}, deviation ${attended.std().item().toFixed(5)}, ` +
      `gradient norm ${norm.toFixed(5)}`,
  );

  const model = new RecommendationSystem(users, items, { embeddingDim: dim });
  const prediction = noGrad(() =>
    model.eval().forward(randint(users, [batch]), randint(items, [batch]))
  );
  console.log(model.toString());
  console.log(
    `recommender: ${countParameters(model).toLocaleString("en")} parameters, ` +
      `predictions [${prediction.shape.join(", ")}] from ${prediction.min().item().toFixed(3)} ` +
      `to ${prediction.max().item().toFixed(3)}`,
  );
}
