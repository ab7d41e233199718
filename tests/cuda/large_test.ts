/**
 * Sizes at which kernels need more than one tile, block or piece: sorting by key, running sums, long groups, channels in
 * pieces. Everything gives what the CPU gives.
 */
import { assert, assertEquals } from "@std/assert";
import {
  bincount,
  F,
  histc,
  manualSeed,
  nonzero,
  rand,
  randint,
  randn,
  repeatInterleave,
  type Tensor,
  zeros,
} from "@toro/toro";
import { rowsOf } from "../../src/rows.ts";

/** Compares what a function makes of tensors on either device. */
function compare(
  name: string,
  make: () => Tensor[],
  run: (...inputs: Tensor[]) => Tensor[],
  tolerance = 0,
): void {
  Deno.test(`${name}: large`, () => {
    manualSeed(11);
    const inputs = make();
    const on = (device: string) => {
      const own = inputs.map((t) => {
        const moved = t.detach().to(device);
        return t.requiresGrad ? moved.requiresGrad_() : moved;
      });
      return run(...own).map((t) => t.detach().to("cpu"));
    };
    const want = on("cpu"), got = on("cuda");
    assertEquals(got.map((t) => t.shape), want.map((t) => t.shape));
    got.forEach((t, i) => {
      const far = t.double().sub(want[i].double()).abs().amax().item();
      const most = want[i].double().abs().amax().item();
      assert(far <= tolerance * (1 + most), `output ${i} is ${far} off`);
    });
  });
}

const N = 9000;

compare("rows of a table and their gradient", () => [
  randint(0, 30_000, [N]),
  randn([30_000, 3], { requiresGrad: true }),
], (rows, table) => {
  const read = F.embedding(rows, table);
  read.square().sum().backward();
  assert(rowsOf(table.grad!) !== null);
  return [read, table.grad!];
}, 1e-6);

// What one block groups, and one more; row numbers of one to three bytes.
for (const n of [1, 32, 255, 257, 5000, 8192, 8193]) {
  for (const rows of [200, 30_000, 70_000].filter((rows) => rows > 2 * n)) {
    compare(`${n} of ${rows} rows and their gradient`, () => [
      randint(0, rows, [n]),
      randn([rows, 1], { requiresGrad: true }),
    ], (index, table) => {
      F.embedding(index, table).sum().backward();
      return [table.grad!];
    });
  }
  compare(`scatter of ${n}: the last one stays`, () => [
    randint(0, Math.ceil(n / 3), [n]),
    randn([n]),
  ], (index, x) => [zeros([n], { device: x.device }).scatter(0, index, x)]);
}

compare(
  "a few rows that are read often",
  () => [randint(0, 5, [N]), randn([N * 3, 2], { requiresGrad: true })],
  (rows, table) => {
    F.embedding(rows, table).mul(2).sum().backward();
    return [table.grad!];
  },
  1e-6,
);

compare(
  "scatterAdd into few places",
  () => [
    randint(0, 3, [N]),
    randn([N]),
  ],
  (index, x) => [zeros([3], { device: x.device }).scatterAdd(0, index, x)],
  1e-5,
);

compare(
  "scatterReduce into few places",
  () => [randint(0, 3, [N, 2]), randn([N, 2])],
  (index, x) =>
    (["sum", "mean", "amax", "amin"] as const).map((reduce) =>
      zeros([3, 2], { device: x.device }).scatterReduce(0, index, x, reduce, { includeSelf: false })
    ),
  1e-5,
);

compare("scatter: the last one stays", () => [
  randint(0, 4000, [2, N]),
  randn([2, N]),
], (index, x) => [zeros([2, 4000], { device: x.device }).scatter(1, index, x)]);

compare("indexAdd and indexCopy by rows that repeat", () => [
  randint(0, 700, [N]),
  randn([N, 2]),
], (index, x) => {
  const start = zeros([700, 2], { device: x.device });
  return [start.indexAdd(0, index, x), start.indexCopy(0, index, x)];
}, 1e-5);

compare("masks", () => [randn([90, 101])], (x) => {
  const mask = x.gt(0);
  return [nonzero(mask), x.maskedSelect(mask), x.t().maskedSelect(mask.t())];
});

compare("maskedScatter", () => [randn([90, 101]), randn([N + 100])], (x, source) => [
  x.t().maskedScatter(x.t().lt(0.5), source),
]);

compare("repeats by counts", () => [randint(0, 4, [N])], (counts) => [repeatInterleave(counts)]);

compare("counts by value", () => [randint(0, 40, [N]), rand([N])], (x, weights) => [
  bincount(x),
  bincount(x, { weights, minlength: 50 }),
  histc(weights, { bins: 13, min: 0.1, max: 0.9 }),
], 1e-6);

for (
  const [name, shape] of [
    ["channels side by side", [700, 40]],
    ["channels apart", [3, 2, 9001]],
  ] as const
) {
  compare(
    `batch norm of ${name}`,
    () => [randn(shape, { requiresGrad: true }), rand([shape[1]], { requiresGrad: true })],
    (x, weight) => {
      const [mean, variance] = [0, 1].map((v) => zeros([shape[1]], { device: x.device }).add(v));
      const y = F.batchNorm(x, mean, variance, { weight, bias: weight, training: true });
      y.square().mul(x).sum().backward();
      return [y, mean, variance, x.grad!, weight.grad!];
    },
    2e-5,
  );
}
