/**
 * BERT written from Toro's modules, with weights under Hugging Face's keys and PyTorch's logits for them
 * (scripts/golden_models.py). Source: Devlin et al. 2018, arXiv 1810.04805.
 */
import { assert, assertEquals } from "@std/assert";
import { arange, checkpoint, memory, nn, noGrad, type Tensor, zeros } from "@toro/toro";

memory(); // opens the library before the sanitizers look

interface Sizes {
  readonly vocabulary: number;
  readonly positions: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly inner: number;
}

const norm = (width: number) => new nn.LayerNorm(width, { eps: 1e-12 });

class Embeddings extends nn.Module {
  wordEmbeddings: nn.Embedding;
  positionEmbeddings: nn.Embedding;
  tokenTypeEmbeddings: nn.Embedding;
  LayerNorm: nn.LayerNorm;
  constructor({ vocabulary, positions, width }: Sizes) {
    super();
    this.wordEmbeddings = new nn.Embedding(vocabulary, width);
    this.positionEmbeddings = new nn.Embedding(positions, width);
    this.tokenTypeEmbeddings = new nn.Embedding(2, width);
    this.LayerNorm = norm(width);
  }
  override forward(ids: Tensor, kinds: Tensor): Tensor {
    const words = this.wordEmbeddings.forward(ids).add(this.tokenTypeEmbeddings.forward(kinds));
    const places = this.positionEmbeddings.forward(arange(ids.shape[1]));
    return this.LayerNorm.forward(words.add(places));
  }
}

/** A linear map and a norm of its sum with the input. */
class Output extends nn.Module {
  dense: nn.Linear;
  LayerNorm: nn.LayerNorm;
  constructor(inputs: number, width: number) {
    super();
    this.dense = new nn.Linear(inputs, width);
    this.LayerNorm = norm(width);
  }
  override forward(x: Tensor, around: Tensor): Tensor {
    return this.LayerNorm.forward(this.dense.forward(x).add(around));
  }
}

class Layer extends nn.Module {
  attention: {
    self: { query: nn.Linear; key: nn.Linear; value: nn.Linear };
    output: Output;
  };
  intermediate: { dense: nn.Linear };
  output: Output;
  constructor(readonly sizes: Sizes) {
    super();
    const { width, inner } = sizes;
    const square = () => new nn.Linear(width, width);
    this.attention = {
      self: { query: square(), key: square(), value: square() },
      output: new Output(width, width),
    };
    this.intermediate = { dense: new nn.Linear(width, inner) };
    this.output = new Output(inner, width);
  }
  override forward(x: Tensor, mask: Tensor): Tensor {
    const [batch, time, width] = x.shape, { heads } = this.sizes;
    const { query, key, value } = this.attention.self;
    const [q, k, v] = [query, key, value].map((map) =>
      map.forward(x).view([batch, time, heads, width / heads]).transpose(1, 2)
    );
    const found = nn.functional.scaledDotProductAttention(q, k, v, mask);
    const y = this.attention.output.forward(found.transpose(1, 2).reshape([batch, time, width]), x);
    const wide = nn.functional.gelu(this.intermediate.dense.forward(y));
    return this.output.forward(wide, y);
  }
}

class Bert extends nn.Module {
  bert: { embeddings: Embeddings; encoder: { layer: Layer[] } };
  cls: {
    predictions: {
      bias: nn.Parameter;
      transform: { dense: nn.Linear; LayerNorm: nn.LayerNorm };
    };
  };
  constructor(sizes: Sizes) {
    super();
    const { vocabulary, width, layers } = sizes;
    this.bert = {
      embeddings: new Embeddings(sizes),
      encoder: { layer: Array.from({ length: layers }, () => new Layer(sizes)) },
    };
    this.cls = {
      predictions: {
        bias: new nn.Parameter(zeros([vocabulary])),
        transform: { dense: new nn.Linear(width, width), LayerNorm: norm(width) },
      },
    };
  }
  override forward(ids: Tensor, present: Tensor, kinds: Tensor): Tensor {
    const mask = present.to("bool").unsqueeze(1).unsqueeze(1);
    let x = this.bert.embeddings.forward(ids, kinds);
    for (const layer of this.bert.encoder.layer) x = layer.forward(x, mask);
    const { bias, transform: { dense, LayerNorm } } = this.cls.predictions;
    const y = LayerNorm.forward(nn.functional.gelu(dense.forward(x)));
    // The table of words is the last map, too.
    return nn.functional.linear(y, this.bert.embeddings.wordEmbeddings.weight, bias);
  }
}

Deno.test("BERT gives PyTorch's logits", async () => {
  const path = new URL("../golden/models/bert.safetensors", import.meta.url);
  const file = await checkpoint.load<Record<string, Tensor>>(path);
  const given = Object.entries(file);
  const model = new Bert({
    vocabulary: 128,
    positions: 16,
    width: 32,
    layers: 2,
    heads: 4,
    inner: 64,
  });
  model.loadStateDict(Object.fromEntries(given.filter(([key]) => !key.startsWith("test."))));
  const logits = noGrad(() =>
    model.eval().forward(
      file["test.input_ids"],
      file["test.attention_mask"],
      file["test.token_type_ids"],
    )
  );
  const expected = file["test.logits"];
  assertEquals(logits.shape, expected.shape);
  const off = logits.sub(expected).abs().max().item();
  assert(off < 1e-4, `logits differ by ${off}`);
  assert(expected.abs().max().item() > 1, "logits are not all near zero");
});
