/**
 * Hugging Face's weights in models written from nn's own layers. The files and logits are those of
 * scripts/golden_models.py; models under Hugging Face's own keys are in tests/models.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  arange,
  checkpoint,
  memory,
  nn,
  noGrad,
  ones,
  randn,
  type Tensor,
  zeros,
} from "@toro/toro";

memory(); // opens the library before the sanitizers look

const golden = (name: string) => fromFileUrl(new URL(`../golden/models/${name}`, import.meta.url));

/** Weights, and under `test.` what was asked and answered. */
async function goldenModel(name: string) {
  const file = Object.entries(await checkpoint.load<Record<string, Tensor>>(golden(name)));
  const isTest = ([key]: [string, Tensor]) => key.startsWith("test.");
  return {
    weights: Object.fromEntries(file.filter((entry) => !isTest(entry))),
    test: Object.fromEntries(file.filter(isTest).map(([key, t]) => [key.slice(5), t])),
  };
}

function assertLogits(logits: Tensor, expected: Tensor): void {
  assertEquals(logits.shape, expected.shape);
  const off = logits.sub(expected).abs().max().item();
  assert(off < 1e-4, `logits differ by ${off}`);
}

const VOCABULARY = 128, POSITIONS = 16, WIDTH = 32, HEADS = 4, LAYERS = 2;
const gelu = (x: Tensor) => nn.functional.gelu(x, { approximate: "tanh" });

/** GPT-2 out of PyTorch's layers, with an output map that may share the table. */
class Gpt extends nn.Module {
  wte = new nn.Embedding(VOCABULARY, WIDTH);
  wpe = new nn.Embedding(POSITIONS, WIDTH);
  blocks: nn.TransformerEncoder;
  lmHead: nn.Linear;
  constructor({ normFirst = true } = {}) {
    super();
    const layer = new nn.TransformerEncoderLayer(WIDTH, HEADS, {
      dimFeedforward: 4 * WIDTH,
      activation: gelu,
      batchFirst: true,
      normFirst,
    });
    this.blocks = new nn.TransformerEncoder(layer, LAYERS, new nn.LayerNorm(WIDTH));
    this.lmHead = new nn.Linear(WIDTH, VOCABULARY, { bias: false });
  }
  override forward(ids: Tensor): Tensor {
    const time = ids.shape[1];
    const mask = ones([time, time]).triu(1).to("bool");
    const x = this.wte.forward(ids).add(this.wpe.forward(arange(time)));
    return this.lmHead.forward(this.blocks.forward(x, mask));
  }
}

const RENAMES = { "ln_f.weight": "blocks.norm.weight", "ln_f.bias": "blocks.norm.bias" };

/** A block of linear maps and the fused product. */
class Block extends nn.Module {
  normA = new nn.LayerNorm(WIDTH);
  qkv = new nn.Linear(WIDTH, 3 * WIDTH);
  out = new nn.Linear(WIDTH, WIDTH);
  normB = new nn.LayerNorm(WIDTH);
  up = new nn.Linear(WIDTH, 4 * WIDTH);
  down = new nn.Linear(4 * WIDTH, WIDTH);
  override forward(x: Tensor): Tensor {
    const [batch, time] = x.shape;
    const [q, k, v] = this.qkv.forward(this.normA.forward(x)).split(WIDTH, 2).map((t) =>
      t.view([batch, time, HEADS, WIDTH / HEADS]).transpose(1, 2)
    );
    const seen = nn.functional.scaledDotProductAttention(q, k, v, { isCausal: true });
    const y = x.add(this.out.forward(seen.transpose(1, 2).reshape([batch, time, WIDTH])));
    return y.add(this.down.forward(gelu(this.up.forward(this.normB.forward(y)))));
  }
}

/** GPT-2 under names of its own, without an output map. */
class OwnNames extends nn.Module {
  words = new nn.Embedding(VOCABULARY, WIDTH);
  places = new nn.Embedding(POSITIONS, WIDTH);
  blocks = Array.from({ length: LAYERS }, () => new Block());
  last = new nn.LayerNorm(WIDTH);
  override forward(ids: Tensor): Tensor {
    let x = this.words.forward(ids).add(this.places.forward(arange(ids.shape[1])));
    for (const block of this.blocks) x = block.forward(x);
    return nn.functional.linear(this.last.forward(x), this.words.weight);
  }
}

const OWN: [string, string][] = [
  ["wte.", "words."],
  ["wpe.", "places."],
  ["ln_f.", "last."],
  ["h.", "blocks."],
  ["attn.c_attn.", "qkv."],
  ["attn.c_proj.", "out."],
  ["mlp.c_fc.", "up."],
  ["mlp.c_proj.", "down."],
  ["ln_1.", "norm_a."],
  ["ln_2.", "norm_b."],
];
const ownName = (key: string) => OWN.reduce((name, [from, to]) => name.replace(from, to), key);

Deno.test("GPT-2's weights serve PyTorch's layers and layers of one's own, out of every kind of file", async () => {
  const { weights, test } = await goldenModel("gpt2.safetensors");
  const bare = Object.fromEntries(
    Object.entries(weights).map(([key, t]) => [key.replace("transformer.", ""), t]),
  );
  for (const source of [weights, bare, golden("gpt2.bin")]) {
    const layers = new Gpt().eval(), own = new OwnNames().eval();
    const report = await checkpoint.loadHuggingFace(layers, source, "gpt2", { rename: RENAMES });
    assertEquals([report.missingKeys, report.unexpectedKeys], [[], []]);
    assertLogits(noGrad(() => layers.forward(test.input_ids)), test.logits);
    await checkpoint.loadHuggingFace(own, source, "gpt2", { rename: ownName });
    assertLogits(noGrad(() => own.forward(test.input_ids)), test.logits);
  }
});

Deno.test("what does not fit GPT-2's weights is named", async () => {
  const { weights } = await goldenModel("gpt2.safetensors");
  const load = (model: nn.Module, source: Record<string, Tensor>, options = {}) =>
    checkpoint.loadHuggingFace(model, source, "gpt2", options);
  await assertRejects(
    () => load(new Gpt({ normFirst: false }), weights),
    Error,
    "Cannot loadHuggingFace into blocks.layers.0: normFirst is false, the weights' blocks want true",
  );
  await assertRejects(
    () => load(new Gpt(), weights),
    Error,
    "unexpected in the state: ln_f.bias, ln_f.weight",
  );
  // A head of its own is no table's other name.
  const own = { ...weights, "lm_head.weight": randn([VOCABULARY, WIDTH]) };
  await assertRejects(
    () => load(new OwnNames(), own, { rename: ownName }),
    Error,
    "unexpected in the state: lm_head.weight",
  );
  const model = new OwnNames();
  const { "transformer.h.1.ln_2.bias": _, ...lacking } = weights;
  const options = { rename: ownName, strict: false };
  const report = await load(model, { ...lacking, "score.weight": zeros([2, 32]) }, options);
  assertEquals(report.missingKeys, ["blocks.1.norm_b.bias"]);
  assertEquals(report.unexpectedKeys, ["score.weight"]);
  await assertRejects(
    () => load(model, { ...weights, "wte.weight": zeros([2]) }),
    Error,
    "two of their keys stand for wte.weight",
  );
  await assertRejects(
    () => checkpoint.loadHuggingFace(model, weights, "llama" as never),
    Error,
    'Cannot loadHuggingFace of "llama": it is not one of gpt2, bert',
  );
  await assertRejects(
    () => load(model, { state: { a: 1 } } as never),
    Error,
    "state is { a }, not a tensor",
  );
});

/** A layer of BERT's out of one's own parts. */
class OwnLayer extends nn.Module {
  attention = new nn.MultiheadAttention(WIDTH, HEADS, { batchFirst: true });
  normA = new nn.LayerNorm(WIDTH, { eps: 1e-12 });
  up = new nn.Linear(WIDTH, 64);
  down = new nn.Linear(64, WIDTH);
  normB = new nn.LayerNorm(WIDTH, { eps: 1e-12 });
  override forward(x: Tensor, isPadding: Tensor): Tensor {
    const [seen] = this.attention.forward(x, x, x, { keyPaddingMask: isPadding });
    const y = this.normA.forward(x.add(seen));
    const wide = nn.functional.gelu(this.up.forward(y));
    return this.normB.forward(y.add(this.down.forward(wide)));
  }
}

const OWN_LAYER: [RegExp, string][] = [
  [/^encoder\.layer\./, "layers."],
  [/attention\.self\.(query|key|value)\./, "attention.in_proj_"],
  [/attention\.output\.dense/, "attention.out_proj"],
  [/attention\.output\.LayerNorm/, "norm_a"],
  [/intermediate\.dense/, "up"],
  [/(\d)\.output\.dense/, "$1.down"],
  [/(\d)\.output\.LayerNorm/, "$1.norm_b"],
];

/** BERT out of PyTorch's layers, or one's own. */
class Bert extends nn.Module {
  embeddings = {
    wordEmbeddings: new nn.Embedding(VOCABULARY, WIDTH),
    positionEmbeddings: new nn.Embedding(POSITIONS, WIDTH),
    tokenTypeEmbeddings: new nn.Embedding(2, WIDTH),
    LayerNorm: new nn.LayerNorm(WIDTH, { eps: 1e-12 }),
  };
  layers: nn.TransformerEncoder | OwnLayer[];
  cls = {
    predictions: {
      transform: {
        dense: new nn.Linear(WIDTH, WIDTH),
        LayerNorm: new nn.LayerNorm(WIDTH, { eps: 1e-12 }),
      },
      decoder: new nn.Linear(WIDTH, VOCABULARY),
    },
  };
  constructor(isOwn: boolean) {
    super();
    const layer = () =>
      new nn.TransformerEncoderLayer(WIDTH, HEADS, {
        dimFeedforward: 64,
        activation: "gelu",
        layerNormEps: 1e-12,
        batchFirst: true,
      });
    this.layers = isOwn
      ? Array.from({ length: LAYERS }, () => new OwnLayer())
      : new nn.TransformerEncoder(layer(), LAYERS);
  }
  override forward(ids: Tensor, present: Tensor, kinds: Tensor): Tensor {
    const { wordEmbeddings, positionEmbeddings, tokenTypeEmbeddings, LayerNorm } = this.embeddings;
    const words = wordEmbeddings.forward(ids).add(tokenTypeEmbeddings.forward(kinds));
    const x = LayerNorm.forward(words.add(positionEmbeddings.forward(arange(ids.shape[1]))));
    const isPadding = present.eq(0);
    const y = Array.isArray(this.layers)
      ? this.layers.reduce((y, layer) => layer.forward(y, isPadding), x)
      : this.layers.forward(x, { srcKeyPaddingMask: isPadding });
    const { transform: { dense, LayerNorm: norm }, decoder } = this.cls.predictions;
    return decoder.forward(norm.forward(nn.functional.gelu(dense.forward(y))));
  }
}

Deno.test("BERT's weights serve PyTorch's layers and one's own, under new keys and old ones", async () => {
  const { weights, test } = await goldenModel("bert.safetensors");
  const old = Object.fromEntries(
    Object.entries(weights).map(([key, t]) => [
      key.replace(/^bert\./, "").replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias",
        "LayerNorm.beta",
      ),
      t,
    ]),
  );
  const rename = (key: string) =>
    OWN_LAYER.reduce((name, [from, to]) => name.replace(from, to), key);
  for (const isOwn of [false, true]) {
    for (const source of [weights, { ...old, "embeddings.position_ids": arange(POSITIONS) }]) {
      const model = new Bert(isOwn).eval();
      const options = isOwn ? { rename } : {};
      const report = await checkpoint.loadHuggingFace(model, source, "bert", options);
      assertEquals([report.missingKeys, report.unexpectedKeys], [[], []]);
      const logits = noGrad(() =>
        model.forward(test.input_ids, test.attention_mask, test.token_type_ids)
      );
      assertLogits(logits, test.logits);
    }
  }
  await assertRejects(
    () =>
      checkpoint.loadHuggingFace(new Bert(true), weights, "bert", {
        rename: (key) => rename(key).replace("up.weight", "down.weight"),
      }),
    Error,
    "two weights stand for layers.0.down.weight, encoder.layer.0.intermediate.dense.weight and",
  );
});
