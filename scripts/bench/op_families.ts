/** Toro's side of `deno task bench`: single ops. */
import * as toro from "@toro/toro";
import { noGrad, type Tensor } from "@toro/toro";
import { bothWays, type Family, numbers, places, plain, type Work } from "./family.ts";

const F = toro.F;
const MILLIONS = 1 << 24;

/** Every number of the tensor goes in and out once. */
const streamed = (reads: number, writes = 1, bytes = 4) => (...dims: number[]): Work => {
  const n = dims.reduce((a, b) => a * b, 1);
  return { read: reads * bytes * n, written: writes * bytes * n };
};
const product = (m: number, k: number, n: number): Work => ({ float32: 2 * m * k * n });
const rounded = (m: number, k: number, n: number): Work => ({ bfloat16: 2 * m * k * n });

function elementwise(f: (x: Tensor) => Tensor, bar = 8): Family {
  return { shapes: [[MILLIONS]], prepare: (n) => plain(f, [n]), work: streamed(1), bar };
}

/** New random numbers in place of those before, so that there is memory for one tensor only. */
function random(f: (shape: number[]) => Tensor): (...shape: number[]) => () => Tensor {
  return (...shape) => {
    let last: Tensor | null = null;
    return () => {
      last?.dispose();
      return last = f(shape);
    };
  };
}

function product16(m: number, k: number, n: number): () => Tensor {
  const a = numbers(m, k).to("bfloat16"), b = numbers(k, n).to("bfloat16");
  return () => a.matmul(b);
}

function einsum(equation: string, ...shapes: number[][]): () => Tensor {
  return plain((...xs) => toro.einsum(equation, ...xs), ...shapes);
}

/** Forward and back through F.scaledDotProductAttention: B items, H heads, T tokens, heads of size D. */
function attention(
  [b, h, t, d]: number[],
  { isCausal = false, masked = false } = {},
): () => Tensor {
  const [q, k, v] = [1, 2, 3].map((i) => {
    const x = numbers(b, h, t, d).mul(i);
    x.requiresGrad = true;
    return x;
  });
  const attnMask = masked ? numbers(b, 1, t, t) : null;
  return () => {
    for (const x of [q, k, v]) x.grad = null;
    F.scaledDotProductAttention(q, k, v, attnMask, { isCausal }).sum().backward();
    return k.grad!;
  };
}

/** Five products forward and back; a causal mask leaves half of each. */
const attended = (share: number) => (b: number, h: number, t: number, d: number): Work => ({
  float32: share * 14 * b * h * t * t * d,
});

/** Single ops by name. */
export const opFamilies: Record<string, Family> = {
  "matmul {} x {} x {}": {
    shapes: [
      [512, 512, 512],
      [1024, 1024, 1024],
      [2048, 2048, 2048],
      [4096, 4096, 4096],
      [1024, 256, 512],
      [1024, 512, 256],
      [1024, 256, 128],
      [16, 512, 512],
      [4096, 384, 1536],
    ],
    prepare: (m, k, n) => plain(toro.matmul, [m, k], [k, n]),
    work: product,
    bar: 2,
  },
  "matmul bfloat16 {} x {} x {}": {
    shapes: [[512, 512, 512], [1024, 1024, 1024], [2048, 2048, 2048]],
    prepare: product16,
    work: rounded,
    bar: 0.9,
  },
  "matmul of a vector by {} x {}": {
    shapes: [[4096, 4096]],
    prepare: (k, n) => plain(toro.matmul, [1, k], [k, n]),
    work: (k, n) => ({ read: 4 * k * n }),
  },
  "bmm {} of {} x {} x {}": {
    shapes: [[64, 512, 64, 512]],
    prepare: (b, m, k, n) => plain(toro.bmm, [b, m, k], [b, k, n]),
    work: (b, m, k, n) => ({ float32: 2 * b * m * k * n, written: 4 * b * m * n }),
  },
  "linear {} x {} to {}": {
    shapes: [[1024, 256, 512]],
    prepare: (m, k, n) => plain((x, w, b) => F.linear(x, w, b.view([-1])), [m, k], [n, k], [n, 1]),
    work: product,
  },
  "einsum bhid,bhjd->bhij {} x {} x {} x {}": {
    shapes: [[8, 8, 256, 64]],
    prepare: (b, h, t, d) => einsum("bhid,bhjd->bhij", [b, h, t, d], [b, h, t, d]),
    work: (b, h, t, d) => ({ float32: 2 * b * h * t * t * d }),
  },
  "einsum bhij,bhjd->bihd {} x {} x {} x {}": {
    shapes: [[8, 8, 256, 64]],
    prepare: (b, h, t, d) => einsum("bhij,bhjd->bihd", [b, h, t, t], [b, h, t, d]),
    work: (b, h, t, d) => ({ float32: 2 * b * h * t * t * d }),
  },
  "einsum btc,hcd->bhtd {} x {} x {} x {} x {}": {
    shapes: [[8, 256, 512, 8, 64]],
    prepare: (b, t, c, h, d) => einsum("btc,hcd->bhtd", [b, t, c], [h, c, d]),
    work: (b, t, c, h, d) => ({ float32: 2 * b * t * c * h * d }),
  },
  "einsum bn,anm,bm->ba {} x {} x {}": {
    shapes: [[128, 64, 64]],
    prepare: (b, a, n) => einsum("bn,anm,bm->ba", [b, n], [a, n, n], [b, n]),
  },
  "einsum bchw,oc->bohw {} x {} x {} x {}": {
    shapes: [[8, 64, 56, 128]],
    prepare: (b, c, s, o) => einsum("bchw,oc->bohw", [b, c, s, s], [o, c]),
    work: (b, c, s, o) => ({ float32: 2 * b * c * s * s * o }),
  },
  "add of {}": {
    shapes: [[1], [64]],
    prepare: (n) => plain((x, y) => x.add(y), [n], [n]),
    bar: 2.5,
  },
  "add of {} with gradient": {
    shapes: [[64]],
    prepare: (n) => {
      const x = numbers(n), y = numbers(n);
      x.requiresGrad = true;
      return () => x.add(y);
    },
    bar: 2.5,
  },
  "100 adds of {} and back": {
    shapes: [[64]],
    prepare: (n) =>
      bothWays(
        (x, y) => {
          let z = x;
          for (let i = 0; i < 100; i++) z = z.add(y);
          return z;
        },
        [n],
        [n],
      ),
  },
  "transposed view of {} x {}": {
    shapes: [[64, 64]],
    prepare: (m, n) => plain((x) => x.t(), [m, n]),
  },
  "sum of {}": { shapes: [[64]], prepare: (n) => plain((x) => x.sum(), [n]) },
  "item of {}": {
    shapes: [[1]],
    prepare: (n) => {
      const x = numbers(n);
      return () => {
        x.item();
        return x;
      };
    },
  },
  "matmul of {} x {}": {
    shapes: [[64, 64]],
    drawn: [],
    prepare: (m, n) => plain(toro.matmul, [m, n], [n, m]),
  },
  "add {}": {
    shapes: [[MILLIONS]],
    prepare: (n) => plain((x, y) => x.add(y), [n], [n]),
    work: streamed(2),
    bar: 8,
  },
  "add in place {}": {
    shapes: [[MILLIONS]],
    prepare: (n) => {
      const x = numbers(n), y = numbers(n).mul(1e-6);
      return () => x.add_(y);
    },
    work: streamed(2),
    isRandom: true,
  },
  "relu of x y + x {}": {
    shapes: [[MILLIONS]],
    prepare: (n) => plain((x, y) => x.mul(y).add(x).relu(), [n], [n]),
    work: streamed(2),
    bar: 15,
  },
  "exp {}": elementwise(toro.exp),
  "expm1 {}": elementwise(toro.expm1),
  "log1p {}": elementwise(toro.log1p),
  "sin {}": elementwise(toro.sin),
  "tanh {}": elementwise(toro.tanh),
  "sigmoid {}": elementwise(toro.sigmoid),
  "erf {}": elementwise(toro.erf),
  "gelu {}": elementwise((x) => F.gelu(x)),
  "gelu with tanh {}": elementwise((x) => F.gelu(x, { approximate: "tanh" })),
  "asin {}": elementwise(toro.asin),
  "atanh {}": elementwise(toro.atanh),
  "erfinv {}": elementwise(toro.erfinv),
  "copy {}": {
    shapes: [[MILLIONS]],
    prepare: (n) => {
      const x = numbers(n), y = toro.empty([n]);
      return () => y.copy_(x);
    },
    work: streamed(1),
  },
  "to bfloat16 {}": {
    shapes: [[MILLIONS]],
    prepare: (n) => plain((x) => x.to("bfloat16"), [n]),
    work: (n) => ({ read: 4 * n, written: 2 * n }),
  },
  "dropout {} x {}": {
    shapes: [[1024, 512], [4096, 4096]],
    prepare: (m, n) => plain((x) => F.dropout(x, 0.2), [m, n]),
    work: streamed(1),
    bar: 8,
    isRandom: true,
  },
  "randn {}": {
    shapes: [[MILLIONS]],
    prepare: random(toro.randn),
    work: streamed(0),
    bar: 8,
    isRandom: true,
  },
  "randn {} x {}": {
    shapes: [[10_000_000, 128]],
    drawn: [],
    prepare: random(toro.randn),
    work: streamed(0),
    bar: 8,
    isRandom: true,
  },
  "rand {}": {
    shapes: [[MILLIONS]],
    prepare: random(toro.rand),
    work: streamed(0),
    isRandom: true,
  },
  "randint {}": {
    shapes: [[MILLIONS]],
    prepare: random((shape) => toro.randint(0, 1000, shape)),
    work: streamed(0, 2),
    isRandom: true,
  },
  "sum {} x {}": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.sum(), [m, n]),
    work: streamed(1, 0),
  },
  "sum {} x {}, dim 0": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.sum(0), [m, n]),
    work: streamed(1, 0),
  },
  "sum {} x {}, dim 1": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.sum(1), [m, n]),
    work: streamed(1, 0),
  },
  "std {} x {}, dim 0": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.std(0), [m, n]),
    work: streamed(1, 0),
    bar: 10,
  },
  "std {} x {}, dim 1": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.std(1), [m, n]),
    work: streamed(1, 0),
    bar: 10,
  },
  "max {} x {}, dim 1": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.max(1).values, [m, n]),
    work: streamed(1, 0),
  },
  "argmax {} x {}, dim 1": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.argmax(1), [m, n]),
    work: streamed(1, 0),
  },
  "cumsum {} x {}, dim 1": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.cumsum(1), [m, n]),
    work: streamed(1),
  },
  "transpose {} x {}": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x) => x.t().contiguous(), [m, n]),
    work: streamed(1),
    bar: 10,
  },
  "permute 0 2 1 3 of {} x {} x {} x {}": {
    shapes: [[8, 512, 8, 64]],
    prepare: (...dims) => plain((x) => x.permute([0, 2, 1, 3]).contiguous(), dims),
    work: streamed(1),
  },
  "cat of two {} x {}": {
    shapes: [[4096, 4096]],
    prepare: (m, n) => plain((x, y) => toro.cat([x, y]), [m, n], [m, n]),
    work: streamed(2, 2),
  },
  "sort {}": {
    shapes: [[1 << 20]],
    prepare: (n) => plain((x) => toro.sort(x).values, [n]),
    bar: 10,
  },
  "sort {} x {}, dim 1": {
    shapes: [[1024, 1024]],
    prepare: (m, n) => plain((x) => toro.sort(x).values, [m, n]),
  },
  "sort {} x {}, dim 0": {
    shapes: [[4096, 256]],
    prepare: (m, n) => plain((x) => toro.sort(x, 0).values, [m, n]),
  },
  "stable sort of int64 {}": {
    shapes: [[1 << 20]],
    prepare: (n) => {
      const x = places(100_000, n);
      return () => toro.sort(x, { stable: true }).indices;
    },
  },
  "sort of bfloat16 {}, descending": {
    shapes: [[1 << 20]],
    prepare: (n) => plain((x) => toro.sort(x.to("bfloat16"), { descending: true }).values, [n]),
  },
  "topk {} of {}": {
    shapes: [[100, 1 << 20]],
    drawn: [1],
    prepare: (k, n) => plain((x) => toro.topk(x, k).values, [n]),
  },
  "topk {} of {} x {}": {
    shapes: [[50, 64, 50257], [10, 4096, 3665]],
    prepare: (k, m, n) => plain((x) => toro.topk(x, k).values, [m, n]),
  },
  "softmax {} x {} x {}": {
    shapes: [[64, 512, 512]],
    prepare: (...dims) => plain((x) => toro.softmax(x, -1), dims),
    work: streamed(1),
  },
  "softmax {} x {} x {}, both ways": {
    shapes: [[64, 512, 512]],
    prepare: (...dims) => bothWays((x) => toro.softmax(x, -1).square(), dims),
    bar: 8,
  },
  "cross-entropy {} x {}, both ways": {
    shapes: [[4096, 50257]],
    prepare: (m, v) => {
      const target = places(v, m);
      return bothWays((x) => F.crossEntropy(x, target), [m, v]);
    },
    work: (m, v) => ({ read: 4 * m * v, written: 4 * m * v }),
    bar: 12,
  },
  "layer norm {} x {}": {
    shapes: [[4096, 512]],
    prepare: (m, n) => plain((x) => F.layerNorm(x, [n]), [m, n]),
    work: streamed(1),
    bar: 1.3,
  },
  "layer norm {} x {}, both ways": {
    shapes: [[4096, 512]],
    prepare: (m, n) =>
      bothWays((x, w) => F.layerNorm(x, [n], w.view([-1])).square(), [m, n], [n, 1]),
    bar: 1.3,
  },
  "RMS norm {} x {}, both ways": {
    shapes: [[4096, 512]],
    prepare: (m, n) => bothWays((x, w) => F.rmsNorm(x, [n], w.view([-1])).square(), [m, n], [n, 1]),
    bar: 1.3,
  },
  "batch norm {} x {}, both ways": {
    shapes: [[4096, 512]],
    prepare: (m, n) =>
      bothWays((x) => F.batchNorm(x, null, null, { training: true }).relu(), [m, n]),
    bar: 1.3,
  },
  "embedding of {} rows of {} x {}": {
    shapes: [[1024, 1_000_000, 128]],
    prepare: (k, rows, d) => {
      const table = numbers(rows, d), index = places(rows, k);
      return () => F.embedding(index, table);
    },
    work: (k, _, d) => ({ read: 4 * k * d, written: 4 * k * d }),
  },
  "embedding of {} rows of {} x {}, both ways": {
    shapes: [[1024, 1_000_000, 128]],
    prepare: (k, rows, d) => {
      const table = numbers(rows, d), index = places(rows, k);
      table.requiresGrad = true;
      return () => {
        table.grad = null;
        const y = F.embedding(index, table);
        y.sum().backward();
        return y;
      };
    },
  },
  "conv2d {} x {} x {} to {}, {} x {}, step {}": {
    shapes: [[8, 64, 56, 64, 3, 3, 1]],
    drawn: [0, 1, 2, 3],
    prepare: (b, c, s, o, k, l, stride) =>
      plain((x, w) => F.conv2d(x, w, { padding: k >> 1, stride }), [b, c, s, s], [o, c, k, l]),
    work: (b, c, s, o, k, l) => ({ float32: 2 * b * c * s * s * o * k * l }),
    bar: 1,
  },
  "conv2d {} x {} x {} to {}, {} x {}, step {}, both ways": {
    shapes: [
      [8, 64, 56, 64, 3, 3, 1],
      [8, 128, 28, 128, 3, 3, 1],
      [8, 256, 14, 1024, 1, 1, 1],
      [1, 3, 224, 64, 7, 7, 2],
    ],
    drawn: [0, 1, 2, 3],
    prepare: (b, c, s, o, k, l, stride) =>
      bothWays((x, w) => F.conv2d(x, w, { padding: k >> 1, stride }), [b, c, s, s], [o, c, k, l]),
    work: (b, c, s, o, k, l, stride) => ({ float32: 6 * b * c * (s / stride) ** 2 * o * k * l }),
    bar: 1,
  },
  "depthwise conv2d {} x {} x {}, {} x {}, both ways": {
    shapes: [[8, 144, 28, 3, 3]],
    drawn: [0, 1, 2],
    prepare: (b, c, s, k, l) =>
      bothWays(
        (x, w) => F.conv2d(x, w, { padding: k >> 1, groups: c }),
        [b, c, s, s],
        [c, 1, k, l],
      ),
    bar: 1,
  },
  "attention {} x {} x {} x {}": {
    shapes: [[8, 8, 512, 64], [1, 16, 2048, 64], [2, 8, 1024, 128]],
    drawn: [0, 1, 2],
    prepare: (...dims) => attention(dims),
    work: attended(1),
    bar: 2,
  },
  "attention {} x {} x {} x {}, causal": {
    shapes: [[16, 12, 256, 64]],
    drawn: [0, 1, 2],
    prepare: (...dims) => attention(dims, { isCausal: true }),
    work: attended(0.5),
    bar: 2,
  },
  "attention {} x {} x {} x {}, masked": {
    shapes: [[4, 12, 128, 64]],
    drawn: [0, 1, 2],
    prepare: (...dims) => attention(dims, { masked: true }),
    work: attended(1),
    bar: 2,
  },
  "attention {} x {} x {} x {}, forward": {
    shapes: [[8, 8, 512, 64]],
    drawn: [0, 1, 2],
    prepare: (...dims) => {
      const f = plain((q, k, v) => F.scaledDotProductAttention(q, k, v), dims, dims, dims);
      return () => noGrad(f);
    },
    work: (b, h, t, d) => ({ float32: 4 * b * h * t * t * d }),
  },
};
