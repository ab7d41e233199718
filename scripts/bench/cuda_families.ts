/**
 * Toro's side of `deno task bench --device cuda`: what is timed on a GPU, at its real dims and at small ones for the
 * emulator. The twins in cuda_torch.py have the same names and make the same tensors.
 */
import * as toro from "@toro/toro";
import { autocast, nn, optim, type Tensor } from "@toro/toro";
import { fill, numbers, places } from "./family.ts";

const F = toro.F;

/** Rows of one kind. */
export interface CudaFamily {
  dims: number[][];
  /** In place of `dims` where speed is not the question. */
  tiny: number[][];
  /** Prepares the data and returns one iteration. */
  prepare: (...dims: number[]) => () => Tensor;
  /** Bytes that an iteration moves at least. */
  bytes?: (...dims: number[]) => number;
  /** Floating-point operations of an iteration. */
  flops?: (...dims: number[]) => number;
  /** Whether the own kernels are timed beside those of cuBLASLt or cuDNN. */
  hasOwn?: true;
}

const there = (x: Tensor): Tensor => x.to("cuda");

/** `f` of numbers of one shape. */
function elementwise(
  f: (x: Tensor) => Tensor,
  dtype: "float32" | "bfloat16" = "float32",
): CudaFamily {
  const size = dtype === "float32" ? 4 : 2;
  return {
    dims: [[1 << 26]],
    tiny: [[1000]],
    prepare: (n) => {
      const x = there(numbers(n).to(dtype));
      return () => f(x);
    },
    bytes: (n) => 2 * size * n,
  };
}

/** `f` of rows, forward and back. */
function rows(f: (x: Tensor) => Tensor, moved: number): CudaFamily {
  return {
    dims: [[8192, 4096]],
    tiny: [[4, 40]],
    prepare: (m, n) => {
      const x = there(numbers(m, n));
      x.requiresGrad = true;
      const g = there(numbers(m, n));
      return () => {
        x.grad = null;
        f(x).backward(g);
        return x.grad!;
      };
    },
    bytes: (m, n) => moved * 4 * m * n,
  };
}

function product(dtype: "float32" | "bfloat16" | "float16"): CudaFamily {
  return {
    dims: [[4096, 4096, 4096], [8192, 8192, 8192], [8192, 768, 3072]],
    tiny: [[16, 24, 8]],
    prepare: (m, k, n) => {
      const a = there(numbers(m, k).to(dtype)), b = there(numbers(k, n).to(dtype));
      return () => a.matmul(b);
    },
    flops: (m, k, n) => 2 * m * k * n,
    hasOwn: true,
  };
}

/** A convolution by 3 x 3 that keeps channels and sides, forward and back. */
function convolution(batch: number, channels: number, side: number): () => Tensor {
  const dtype = "bfloat16";
  const w = there(numbers(channels, channels, 3, 3).to(dtype));
  const [x, g] = [0, 1].map(() => there(numbers(batch, channels, side, side).to(dtype)));
  for (const t of [x, w]) t.requiresGrad = true;
  return () => {
    x.grad = w.grad = null;
    F.conv2d(x, w, null, { padding: 1 }).backward(g);
    return w.grad!;
  };
}

/** Attention to what came before, forward and back. */
function attention(batch: number, heads: number, length: number, width: number): () => Tensor {
  const [q, k, v, g] = [0, 1, 2, 3].map(() =>
    there(numbers(batch, heads, length, width).to("bfloat16"))
  );
  for (const t of [q, k, v]) t.requiresGrad = true;
  return () => {
    q.grad = k.grad = v.grad = null;
    F.scaledDotProductAttention(q, k, v, { isCausal: true }).backward(g);
    return q.grad!;
  };
}

class Recommender extends nn.Module {
  user: nn.Embedding;
  item: nn.Embedding;
  deep: nn.Sequential;
  constructor(users: number, width: number) {
    super();
    const place = { device: "cuda" };
    this.user = new nn.Embedding(users, width, null, place);
    this.item = new nn.Embedding(Math.ceil(users / 10), width, null, place);
    this.deep = new nn.Sequential(
      new nn.Linear(2 * width, 256, place),
      new nn.ReLU(),
      new nn.Linear(256, 1, place),
    );
  }
  override forward(u: Tensor, i: Tensor): Tensor {
    return this.deep.forward(toro.cat([this.user.forward(u), this.item.forward(i)], 1)).squeeze(-1);
  }
}

function recommender(users: number, width: number, batch: number): () => Tensor {
  const model = new Recommender(users, width);
  fill([...model.parameters()], 0.1);
  const optimizer = new optim.AdamW([...model.parameters()], { lr: 1e-3 });
  const u = there(places(users, batch)), i = there(places(Math.ceil(users / 10), batch));
  const y = there(numbers(batch).gt(0).to("float32"));
  return () => {
    const loss = F.binaryCrossEntropyWithLogits(model.forward(u, i), y);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
}

class Block extends nn.Module {
  ln1: nn.LayerNorm;
  qkv: nn.Linear;
  proj: nn.Linear;
  ln2: nn.LayerNorm;
  up: nn.Linear;
  down: nn.Linear;
  constructor(readonly width: number, readonly heads: number) {
    super();
    const place = { device: "cuda" };
    this.ln1 = new nn.LayerNorm(width, place);
    this.qkv = new nn.Linear(width, 3 * width, place);
    this.proj = new nn.Linear(width, width, place);
    this.ln2 = new nn.LayerNorm(width, place);
    this.up = new nn.Linear(width, 4 * width, place);
    this.down = new nn.Linear(4 * width, width, place);
  }
  override forward(x: Tensor): Tensor {
    const [b, t, c] = x.shape;
    const [q, k, v] = this.qkv.forward(this.ln1.forward(x)).split(c, -1).map((part) =>
      part.view([b, t, this.heads, c / this.heads]).transpose(1, 2)
    );
    const y = F.scaledDotProductAttention(q, k, v, { isCausal: true });
    x = x.add(this.proj.forward(y.transpose(1, 2).reshape([b, t, c])));
    const h = F.gelu(this.up.forward(this.ln2.forward(x)), { approximate: "tanh" });
    return x.add(this.down.forward(h));
  }
}

class Gpt2 extends nn.Module {
  wte: nn.Embedding;
  wpe: nn.Embedding;
  blocks: nn.ModuleList;
  ln: nn.LayerNorm;
  constructor(layers: number, heads: number, width: number, tokens: number, vocabulary: number) {
    super();
    const place = { device: "cuda" };
    this.wte = new nn.Embedding(vocabulary, width, null, place);
    this.wpe = new nn.Embedding(tokens, width, null, place);
    this.blocks = new nn.ModuleList(
      Array.from({ length: layers }, () => new Block(width, heads)),
    );
    this.ln = new nn.LayerNorm(width, place);
  }
  override forward(index: Tensor): Tensor {
    let x = this.wte.forward(index).add(this.wpe.weight);
    for (const block of this.blocks) x = block.forward(x) as Tensor;
    return F.linear(this.ln.forward(x), this.wte.weight);
  }
}

function gpt2(
  layers: number,
  heads: number,
  width: number,
  vocabulary: number,
  b: number,
  t: number,
): () => Tensor {
  const model = new Gpt2(layers, heads, width, t, vocabulary);
  fill([...model.parameters()], 0.04);
  const optimizer = new optim.AdamW([...model.parameters()], { lr: 1e-4 });
  const index = there(places(vocabulary, b, t)), target = there(places(vocabulary, b * t));
  return () => {
    const loss = autocast(
      { device: "cuda", dtype: "bfloat16" },
      () => F.crossEntropy(model.forward(index).view([-1, vocabulary]), target),
    );
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
}

/** What is timed, by name; `{}` stands for the dims. */
export const cudaFamilies: Record<string, CudaFamily> = {
  "recommender {} x {}, batch {}": {
    dims: [[1_000_000, 128, 8192]],
    tiny: [[50, 8, 16]],
    prepare: recommender,
  },
  "GPT-2 of {} layers, {} heads, {} wide, {} tokens known, {} x {}, bfloat16": {
    dims: [[12, 12, 768, 50_304, 8, 1024]],
    tiny: [[1, 2, 16, 30, 2, 8]],
    prepare: gpt2,
    flops: (layers, _, width, vocabulary, b, t) =>
      6 * b * t * (12 * layers * width * width + vocabulary * width + layers * t * width),
  },
  "copy {}": elementwise((x) => x.clone()),
  "add {}": elementwise((x) => x.add(1)),
  "gelu {}": elementwise((x) => F.gelu(x)),
  "gelu bfloat16 {}": elementwise((x) => F.gelu(x), "bfloat16"),
  "sum {}": {
    ...elementwise((x) => x.sum()),
    bytes: (n) => 4 * n,
  },
  // Forward reads x and writes y, backward reads x and g and writes the gradient.
  "layer norm {} x {}, both ways": rows((x) => F.layerNorm(x, [x.shape[1]]), 5),
  // Backward reads y in place of x.
  "softmax {} x {}, both ways": rows((x) => F.softmax(x, -1), 5),
  "matmul float32 {} x {} x {}": product("float32"),
  "matmul bfloat16 {} x {} x {}": product("bfloat16"),
  "matmul float16 {} x {} x {}": product("float16"),
  "conv2d bfloat16 {} x {} channels x {} squared, both ways": {
    dims: [[32, 128, 56]],
    tiny: [[2, 4, 5]],
    prepare: convolution,
    flops: (batch, channels, side) => 3 * 2 * 9 * batch * (channels * side) ** 2,
    hasOwn: true,
  },
  // Seven products of half the scores: two forward, five back.
  "attention bfloat16 {} x {} heads x {} x {}, causal, both ways": {
    dims: [[8, 12, 1024, 64], [1, 16, 4096, 128]],
    tiny: [[1, 2, 64, 16]],
    prepare: attention,
    flops: (batch, heads, length, width) => 7 * batch * heads * length ** 2 * width,
    hasOwn: true,
  },
};
