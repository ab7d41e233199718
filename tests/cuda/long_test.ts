/**
 * What the op cases are too small for: lines that are cut into pieces, slices that are sorted by radix or tile by tile, lines
 * that a thread takes each. CUDA must give what the CPU gives.
 */
import { assertEquals } from "@std/assert";
import {
  arange,
  argmax,
  argsort,
  cummax,
  cumprod,
  cumsum,
  type DType,
  full,
  kthvalue,
  linalg,
  logcumsumexp,
  manualSeed,
  max,
  min,
  multinomial,
  nn,
  prod,
  rand,
  randint,
  randn,
  randperm,
  searchsorted,
  sort,
  type Tensor,
  tensor,
  topk,
  unique,
} from "@toro/toro";
import { close } from "../../scripts/oracle/compare.ts";

/** Fails unless a function gives on both devices the same, within a share. */
function same(inputs: Tensor[], f: (...x: Tensor[]) => Tensor | Tensor[], share = 0): void {
  const of = (device: string) =>
    [f(...inputs.map((x) => x.to(device)))].flat().map((t) => t.to("cpu"));
  const want = of("cpu"), got = of("cuda");
  assertEquals(got.map((t) => t.shape), want.map((t) => t.shape));
  got.forEach((t, k) => {
    const [a, b] = [t.toTypedArray(), want[k].toTypedArray()];
    for (let i = 0; i < a.length; i++) {
      if (!close(Number(a[i]), Number(b[i]), share, share)) {
        throw new Error(`result ${k} at ${i}: ${a[i]}, expected ${b[i]}`);
      }
    }
  });
}

/** Numbers of which many are equal, with NaN, infinities and both zeros among those of float types. */
function mixed(shape: number[], dtype: DType): Tensor {
  const x = randint(-90, 90, shape).to(dtype);
  if (dtype.startsWith("int") || dtype === "uint8") return x;
  const flat = x.div(8).flatten();
  [NaN, Infinity, -Infinity, -0, 0, NaN].forEach((v, i) => flat.narrow(0, i * 7, 1).fill_(v));
  return flat.reshape(shape);
}

Deno.test("running reductions of few long lines, in pieces", () => {
  manualSeed(1);
  for (const shape of [[20000], [3, 9001], [9001, 3]]) {
    const d = shape[0] === 9001 ? 0 : -1;
    same([randint(-9, 9, shape)], (x) => cumsum(x, d));
    same([randn(shape)], (x) => cumsum(x, d), 1e-5);
    same([randn(shape, { dtype: "float64" }).mul(4)], (x) => logcumsumexp(x, d), 1e-12);
    same([mixed(shape, "float32")], (x) => Object.values(cummax(x, d)));
    same([randn(shape, { dtype: "float64" }).mul(0.01).add(1)], (x) => cumprod(x, d), 1e-9);
  }
});

Deno.test("running reductions and extremes of many lines side by side", () => {
  manualSeed(2);
  same([randint(-9, 9, [7, 1100])], (x) => cumsum(x, 0));
  same([randint(-9, 9, [40, 1100])], (x) => cumsum(x.transpose(0, 1), 1));
  same([mixed([40, 1100], "float32")], (x) => Object.values(max(x, 0)));
  same([mixed([1100, 6], "float64")], (x) => Object.values(min(x, 1)));
});

Deno.test("extremes of long lines, in pieces", () => {
  manualSeed(3);
  same([randint(-5000, 5000, [2, 30000])], (x) => Object.values(max(x, 1)));
  same([randn([30001])], (x) => argmax(x));
  same([mixed([30000], "bfloat16")], (x) => argmax(x));
});

Deno.test("the gradient of a product with and without zeros", () => {
  manualSeed(4);
  for (const zeros of [0, 1, 2]) {
    const x = randn([3, 700], { dtype: "float64" }).mul(0.1).add(1);
    for (let i = 0; i < zeros; i++) x.narrow(1, 100 + 300 * i, 1).fill_(0);
    for (const f of [(x: Tensor) => prod(x, 1), (x: Tensor) => cumprod(x, 1)]) {
      same([x], (x) => {
        const leaf = x.detach().clone();
        leaf.requiresGrad = true;
        f(leaf).sum().backward();
        return leaf.grad!;
      }, 1e-9);
    }
  }
});

Deno.test("sorting by radix is stable, in every dtype", () => {
  manualSeed(5);
  const floats: DType[] = ["float32", "float64", "float16", "bfloat16"];
  [...floats, ...["int64", "int32", "int16", "int8"] as DType[]].forEach((dtype, i) => {
    const options = { descending: i % 2 === 1, stable: true };
    same([mixed(i === 0 ? [2, 4200] : [4200], dtype)], (x) => Object.values(sort(x, -1, options)));
  });
  same([randint(0, 200, [4200]).to("uint8")], (x) => Object.values(sort(x, { descending: true })));
  same([mixed([4200, 2], "bfloat16")], (x) => argsort(x, 0, { stable: true }));
});

Deno.test("the first of long slices, tile by tile", () => {
  manualSeed(6);
  same([mixed([17000], "float32")], (x) => Object.values(topk(x, 250)));
  same([mixed([2, 2049], "float32")], (x) => Object.values(topk(x, 250, -1)));
  same([mixed([4200], "int64")], (x) => Object.values(topk(x, 3, -1, { largest: false })));
  same([mixed([4200], "bfloat16")], (x) => Object.values(topk(x, 300)));
  same([mixed([4200], "int16")], (x) => Object.values(kthvalue(x, 100)));
  same([mixed([4200], "float16")], (x) => Object.values(kthvalue(x, 4195)));
});

Deno.test("distinct values and rows, and where values belong", () => {
  manualSeed(7);
  same(
    [randint(-40, 40, [9000])],
    (x) => Object.values(unique(x, { returnInverse: true, returnCounts: true })),
  );
  same(
    [randint(0, 3, [3000, 4])],
    (x) => Object.values(unique(x, { dim: 0, returnInverse: true, returnCounts: true })),
  );
  const sorted = sort(randint(-1000, 1000, [2000])).values;
  same([sorted, randint(-1100, 1100, [40, 50])], (s, v) => searchsorted(s, v));
  same([sorted], (s) => searchsorted(s, 17));
  same([sorted], (s) => searchsorted(s, 17.5, { right: true }));
});

Deno.test("a random order, and classes by their weights", () => {
  const drawn = (f: (device: string) => Tensor) => {
    const of = (device: string) => {
      manualSeed(9);
      return f(device).toTypedArray();
    };
    assertEquals(of("cuda"), of("cpu"));
  };
  for (const n of [1, 2, 3, 17, 5000]) drawn((device) => randperm(n, { device }));
  const weights = rand([3, 700]).mul(rand([3, 700]).gt(0.3).to("float32"));
  for (const replacement of [false, true]) {
    drawn((device) => multinomial(weights.to(device), 300, { replacement }));
  }
  const row = full([12000], 1);
  drawn((device) => multinomial(row.to(device), 500));
  drawn((device) => multinomial(row.to(device), 500, { replacement: true }));
});

Deno.test("int8 layers give the CPU's bits", () => {
  manualSeed(10);
  for (const [inputs, outputs] of [[7, 5], [64, 33], [300, 17]]) {
    const layer = nn.quantized.dynamic.Linear.fromFloat(new nn.Linear(inputs, outputs));
    const x = randn([21, inputs]);
    x.narrow(0, 3, 1).fill_(NaN);
    x.narrow(0, 4, 1).fill_(0);
    const want = layer.forward(x).toTypedArray();
    assertEquals(layer.to("cuda").forward(x.to("cuda")).toTypedArray(), want);
  }
});

Deno.test("infinities in a running sum of exponentials", () => {
  const x = tensor([-Infinity, 1, Infinity, Infinity, 2]);
  const want = [-Infinity, 1, Infinity, Infinity, Infinity];
  assertEquals(logcumsumexp(x, 0).toArray(), want);
  assertEquals(logcumsumexp(x.to("cuda"), 0).toArray(), want);
});

Deno.test("a factorisation of many matrices, and one that fails", () => {
  manualSeed(8);
  same([randn([40, 5, 5], { dtype: "float64" })], (x) => Object.values(linalg.svd(x)), 1e-12);
  same([arange(6).to("float64")], (x) => linalg.det(x.outer(x)));
});
