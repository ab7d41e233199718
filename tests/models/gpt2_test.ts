/**
 * GPT-2 written from Toro's modules, with weights under Hugging Face's keys and PyTorch's logits for them
 * (scripts/golden_models.py). Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
 */
import { assert, assertEquals } from "@std/assert";
import { arange, checkpoint, memory, nn, noGrad, type Tensor, zeros } from "@toro/toro";

memory(); // opens the library before the sanitizers look

/** A linear map whose weight is (inputs, outputs), as GPT-2's files have it. */
class Conv1D extends nn.Module {
  weight: nn.Parameter;
  bias: nn.Parameter;
  constructor(inputs: number, outputs: number) {
    super();
    this.weight = new nn.Parameter(zeros([inputs, outputs]));
    this.bias = new nn.Parameter(zeros([outputs]));
  }
  override forward(x: Tensor): Tensor {
    return x.matmul(this.weight).add(this.bias);
  }
}

class Attention extends nn.Module {
  cAttn: Conv1D;
  cProj: Conv1D;
  constructor(readonly width: number, readonly heads: number) {
    super();
    this.cAttn = new Conv1D(width, 3 * width);
    this.cProj = new Conv1D(width, width);
  }
  override forward(x: Tensor): Tensor {
    const [batch, time, width] = x.shape;
    const [q, k, v] = this.cAttn.forward(x).split(width, 2).map((t) =>
      t.view([batch, time, this.heads, width / this.heads]).transpose(1, 2)
    );
    const y = nn.functional.scaledDotProductAttention(q, k, v, { isCausal: true });
    return this.cProj.forward(y.transpose(1, 2).reshape([batch, time, width]));
  }
}

class Mlp extends nn.Module {
  cFc: Conv1D;
  cProj: Conv1D;
  constructor(width: number) {
    super();
    this.cFc = new Conv1D(width, 4 * width);
    this.cProj = new Conv1D(4 * width, width);
  }
  override forward(x: Tensor): Tensor {
    return this.cProj.forward(nn.functional.gelu(this.cFc.forward(x), { approximate: "tanh" }));
  }
}

class Block extends nn.Module {
  ln_1: nn.LayerNorm;
  attn: Attention;
  ln_2: nn.LayerNorm;
  mlp: Mlp;
  constructor(width: number, heads: number) {
    super();
    this.ln_1 = new nn.LayerNorm(width);
    this.attn = new Attention(width, heads);
    this.ln_2 = new nn.LayerNorm(width);
    this.mlp = new Mlp(width);
  }
  override forward(x: Tensor): Tensor {
    const y = x.add(this.attn.forward(this.ln_1.forward(x)));
    return y.add(this.mlp.forward(this.ln_2.forward(y)));
  }
}

class Gpt2 extends nn.Module {
  transformer: {
    wte: nn.Embedding;
    wpe: nn.Embedding;
    h: Block[];
    lnF: nn.LayerNorm;
  };
  constructor(vocabulary: number, positions: number, width: number, layers: number, heads: number) {
    super();
    this.transformer = {
      wte: new nn.Embedding(vocabulary, width),
      wpe: new nn.Embedding(positions, width),
      h: Array.from({ length: layers }, () => new Block(width, heads)),
      lnF: new nn.LayerNorm(width),
    };
  }
  override forward(ids: Tensor): Tensor {
    const { wte, wpe, h, lnF } = this.transformer;
    let x = wte.forward(ids).add(wpe.forward(arange(ids.shape[1])));
    for (const block of h) x = block.forward(x);
    // The table of words is the last map, too.
    return nn.functional.linear(lnF.forward(x), wte.weight);
  }
}

Deno.test("GPT-2 gives PyTorch's logits", async () => {
  const path = new URL("../golden/models/gpt2.safetensors", import.meta.url);
  const file = await checkpoint.load<Record<string, Tensor>>(path);
  const given = Object.entries(file);
  const model = new Gpt2(128, 16, 32, 2, 4);
  model.loadStateDict(Object.fromEntries(given.filter(([key]) => !key.startsWith("test."))));
  const logits = noGrad(() => model.eval().forward(file["test.input_ids"]));
  const expected = file["test.logits"];
  assertEquals(logits.shape, expected.shape);
  const off = logits.sub(expected).abs().max().item();
  assert(off < 1e-4, `logits differ by ${off}`);
  assert(expected.abs().max().item() > 1, "logits are not all near zero");
});
