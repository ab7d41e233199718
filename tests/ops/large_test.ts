/** Sizes from which on kernels take other ways than those of the case table. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  arange,
  bincount,
  cat,
  type DType,
  F,
  getRngState,
  histc,
  manualSeed,
  rand,
  randint,
  randn,
  setRngState,
  sort,
  stack,
  stdMean,
  type Tensor,
  tensor,
} from "@toro/toro";
import { option } from "../../ffi/library.ts";

Deno.test("long slices are sorted in both directions, equal elements in their order", () => {
  manualSeed(0);
  for (const dtype of ["int64", "float32", "bfloat16"] as DType[]) {
    const x = randint(-1000, 1000, [300_000]).to(dtype);
    const given = Array.from(x.to("float64").toTypedArray(), Number);
    for (const descending of [false, true]) {
      const { values, indices } = sort(x, { descending, stable: true });
      const expected = given.map((_, i) => i)
        .sort((a, b) => (descending ? given[b] - given[a] : given[a] - given[b]) || a - b);
      const places = Array.from(indices.toTypedArray(), Number);
      const sorted = Array.from(values.to("float64").toTypedArray(), Number);
      assert(expected.every((at, i) => places[i] === at && sorted[i] === given[at]), dtype);
    }
  }
});

Deno.test("turned layouts keep their elements in every width", () => {
  for (const dtype of ["uint8", "bfloat16", "float32", "int64"] as DType[]) {
    const x = arange(3 * 70 * 130).remainder(251).to(dtype).view([3, 70, 130]);
    const turned = x.permute([2, 0, 1]).contiguous();
    assertEquals(turned.isContiguous(), true);
    const [from, to] = [x, turned].map((t) => Array.from(t.to("float64").toTypedArray(), Number));
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 70; j++) {
        for (let k = 0; k < 130; k++) {
          if (to[(k * 3 + i) * 70 + j] !== from[(i * 70 + j) * 130 + k]) {
            throw new Error(`${dtype}: element ${[i, j, k]} got lost`);
          }
        }
      }
    }
  }
});

Deno.test("bfloat16 products are float32 products rounded, the same for any number of threads", () => {
  manualSeed(1);
  for (const [m, k, n] of [[70, 130, 90], [300, 257, 129], [2, 64, 33]]) {
    const a = randn([m, k]).to("bfloat16"), b = randn([k, n]).to("bfloat16");
    const turned = [a, a.t().contiguous().t()].flatMap((a) =>
      [b, b.t().contiguous().t()].map((b) => [a, b])
    );
    const exact = a.to("float64").matmul(b.to("float64"));
    for (const [a, b] of turned) {
      const y = a.matmul(b);
      assertEquals(y.dtype, "bfloat16");
      // Half a unit in the last of 8 bits, and what float32 sums leave of the terms.
      const error = y.to("float64").sub(exact).abs();
      const most = exact.abs().mul(2 ** -8).add(1e-4);
      assertEquals(error.le(most).all().item(), 1);
      option("threads", 1);
      const alone = a.matmul(b);
      option("threads", 2);
      assertEquals(alone.eq(y).all().item(), 1);
    }
  }
});

/** Whether two tensors hold the same numbers, NaN among them. */
function same(a: Tensor, b: Tensor): boolean {
  return a.eq(b).logicalOr(a.isnan().logicalAnd(b.isnan())).all().item() === 1;
}

Deno.test("outputs that go past the caches are what pieces of them are", () => {
  manualSeed(3);
  // Above 16 MB, and no multiple of anything.
  const rows = 2049, columns = 2051, half = rows * columns >> 1;
  const x = randn([rows * columns]), y = randn([rows * columns]);
  const wide = (n: number) => arange(n).to("float64");
  const ops: ((x: Tensor, y: Tensor) => Tensor)[] = [
    (x, y) => x.add(y),
    (x) => x.exp(),
    (x) => x.mul(2),
    (x) => x.to("float64"),
    (x, y) => x.gt(y).to("int64"),
    (x) => x.neg().clone(),
  ];
  for (const op of ops) {
    const whole = op(x, y);
    const parts = [[0, half], [half, x.numel - half]].map(([at, n]) =>
      op(x.narrow(0, at, n), y.narrow(0, at, n))
    );
    assert(same(whole.narrow(0, 0, half), parts[0]), String(op));
    assert(same(whole.narrow(0, half, x.numel - half), parts[1]), String(op));
  }
  const long = wide(2 * x.numel).to("bfloat16").to("float64");
  assert(
    same(
      long.narrow(0, 12345, 1000),
      wide(13345).narrow(0, 12345, 1000).to("bfloat16").to("float64"),
    ),
  );
  const table = x.view([rows, columns]);
  assert(same(table.t().contiguous().t(), table), "turned");
  const joined = cat([table, y.view([rows, columns])], { dim: 1 });
  assert(same(joined.narrow(1, columns, columns), y.view([rows, columns])), "joined");
  const state = getRngState();
  const drawn = randn([x.numel]);
  setRngState(state);
  assert(same(drawn.narrow(0, 0, half), randn([half])), "drawn");
});

Deno.test("results in memory that no cache holds are what pieces of them are", () => {
  manualSeed(4);
  const columns = 128, rows = 16_500, half = 8_000;
  const x = randn([rows, columns]), places = randint(0, rows, [rows]);
  const ops: Record<string, (x: Tensor) => Tensor> = {
    "add": (x) => x.add(x),
    "short rows": (x) => x.view([-1, 2, 64]).permute([1, 0, 2]).contiguous().permute([1, 0, 2]),
    "odd rows": (x) => x.view([-1, 4, 32]).narrow(2, 0, 31).contiguous(),
    "turned": (x) => x.t().contiguous().t(),
    "joined": (x) => cat([x, x], { dim: 1 }),
    "rows of a table": (x) => F.embedding(places.narrow(0, 0, x.shape[0]), table),
  };
  const table = x.clone();
  for (const [name, op] of Object.entries(ops)) {
    // The block that the second result gets was used before others of more bytes than a cache has.
    op(x).dispose();
    for (let i = 0; i < 3; i++) randn([5_000_000 + i]).dispose();
    const whole = op(x), part = op(x.narrow(0, 0, half));
    assert(same(whole.narrow(0, 0, half), part), name);
    assert(same(whole.sum(), op(x.clone()).sum()), name);
  }
});

Deno.test("changes in place are what results apart are, at any size", () => {
  manualSeed(5);
  const ops: Record<string, [(x: Tensor, y: Tensor) => Tensor, (x: Tensor, y: Tensor) => Tensor]> =
    {
      "add": [(x, y) => x.add_(y), (x, y) => x.add(y)],
      "add of itself": [(x) => x.add_(x), (x) => x.add(x)],
      "taken from": [(x, y) => x.mul_(-1).add_(y), (x, y) => x.mul(-1).add(y)],
      "number": [(x) => x.div_(3), (x) => x.div(3)],
      "exp": [(x) => x.exp_(), (x) => x.exp()],
      "addcmul": [(x, y) => x.addcmul_(x, y), (x, y) => x.addcmul(x, y)],
      "another dtype": [(x, y) => x.add_(y.to("bfloat16")), (x, y) => x.add(y.to("bfloat16"))],
      "broadcast": [(x, y) => x.mul_(y.narrow(0, 0, 1)), (x, y) => x.mul(y.narrow(0, 0, 1))],
    };
  for (const n of [37, 1000, 32_768, 40_003, 1_000_003]) {
    for (const dtype of ["float32", "bfloat16", "float64"] as DType[]) {
      const y = randn([n]).to(dtype), around = randn([n + 7]).to(dtype);
      for (const [name, [inPlace, apart]] of Object.entries(ops)) {
        const expected = apart(around.narrow(0, 3, n), y).to(dtype);
        const changed = around.clone();
        inPlace(changed.narrow(0, 3, n), y);
        assert(same(changed.narrow(0, 3, n), expected), `${name} of ${n} ${dtype}`);
        for (const [at, count] of [[0, 3], [n + 3, 4]]) {
          assert(same(changed.narrow(0, at, count), around.narrow(0, at, count)), name);
        }
      }
    }
  }
});

Deno.test("softmax and cross entropy past the caches are what halves of them are", () => {
  manualSeed(6);
  const back = (x: Tensor, loss: (x: Tensor) => Tensor) => {
    const leaf = x.detach().clone();
    leaf.requiresGrad = true;
    loss(leaf).backward();
    return leaf.grad!;
  };
  const halves = (x: Tensor) => {
    const rows = x.shape[0] >> 1;
    return [x.narrow(0, 0, rows), x.narrow(0, rows, x.shape[0] - rows)];
  };
  const x = randn([9001, 500]), weight = randn([500]);
  for (const op of [(x: Tensor) => F.softmax(x, 1), (x: Tensor) => F.logSoftmax(x, 1)]) {
    assert(same(op(x), cat(halves(x).map(op))));
    const loss = (x: Tensor) => op(x).mul(weight).sum();
    assert(same(back(x, loss), cat(halves(x).map((h) => back(h, loss)))));
  }
  const logits = randn([301, 20_011]), target = randint(0, 20_011, [301]);
  target.select(0, 7).fill_(-100);
  for (const labelSmoothing of [0, 0.1]) {
    const loss = (target: Tensor) => (x: Tensor) =>
      F.crossEntropy(x, target, { reduction: "sum", labelSmoothing });
    const [left, right] = halves(target);
    const [a, b] = halves(logits);
    const parts = cat([back(a, loss(left)), back(b, loss(right))]);
    assert(same(back(logits, loss(target)), parts));
  }
});

Deno.test("deviations stay right beside large offsets and outliers", () => {
  for (const dtype of ["float32", "float64"] as DType[]) {
    for (const [rows, columns] of [[300, 500], [3000, 20], [7, 9000]]) {
      const signs = arange(rows * columns).remainder(2).mul(2).sub(1).view([rows, columns]);
      for (const offset of [0, 1e4, -3e6]) {
        const x = signs.add(offset).to(dtype);
        for (const dim of [0, 1]) {
          const n = x.shape[dim], y = x.var(dim), { std, mean } = stdMean(x, dim);
          // Each line holds n numbers of which one half is 1 more, the other 1 less, or all are equal.
          const above = signs.gt(0).to("float64").sum(dim);
          const center = above.mul(2).sub(n).div(n);
          const expected = center.square().neg().add(1).mul(n / (n - 1));
          const error = (a: Tensor, b: Tensor) => Number(a.to("float64").sub(b).abs().max().item());
          assert(error(y, expected) < 1e-6, `${dtype} ${[rows, columns, offset, dim]}`);
          assert(error(std!.square(), expected) < 1e-6);
          assert(error(mean, center.add(offset)) <= (dtype === "float32" ? 2 ** -23 * 4e6 : 1e-9));
        }
      }
    }
    const outlier = tensor([1e8, ...new Array(9999).fill(1)], { dtype });
    const d = (1e8 - 1) ** 2 / 10000;
    assert(Math.abs(Number(outlier.var().item()) / d - 1) < 1e-6, "an outlier first");
  }
  assertEquals(tensor([[3, 3], [3, 3]]).std(0).toArray(), [0, 0]);
  assertEquals(tensor([1e30, -1e30]).std().item(), Math.fround(Math.SQRT2 * 1e30));
});

Deno.test("running sums and products of any layout are those of a loop", () => {
  manualSeed(4);
  for (const [rows, columns] of [[3, 5000], [5000, 3], [130, 70], [2100, 40]]) {
    const x = randn([rows, columns]);
    for (const [given, dim] of [[x, 0], [x, 1], [x.t(), 0], [x.t(), 1]] as [Tensor, number][]) {
      const [lines, n] = dim === 1 ? given.shape : [given.shape[1], given.shape[0]];
      const values = (dim === 1 ? given : given.t()).contiguous().toTypedArray() as Float32Array;
      const got = given.cumsum(dim), scaled = given.mul(0.1).add(1).cumprod(dim);
      const [sums, products] = [got, scaled].map((t) =>
        (dim === 1 ? t : t.t()).contiguous().toTypedArray() as Float32Array
      );
      for (let line = 0; line < lines; line++) {
        let sum = 0, product = 1;
        for (let i = line * n; i < (line + 1) * n; i++) {
          sum += values[i];
          product *= Math.fround(Math.fround(values[i] * Math.fround(0.1)) + 1);
          assert(Math.abs(sums[i] - sum) <= 1e-6 * Math.max(1, Math.abs(sum)), `sum ${i}`);
          assert(Math.abs(products[i] - product) <= 1e-4 * Math.abs(product), `product ${i}`);
        }
      }
      assert(
        same(
          given.to("int64").cumsum(dim).to("float64"),
          given.to("int64").to("float64").cumsum(dim),
        ),
      );
    }
  }
});

Deno.test("the first of equal extremes is named on long lines, and NaN before all", () => {
  for (const dtype of ["float32", "float64", "int64"] as DType[]) {
    const x = arange(3 * 5000).mul(7919).remainder(1009).to(dtype).view([3, 5000]);
    for (const given of [x, x.t().contiguous().t(), x.narrow(1, 1, 4990)]) {
      const rows = given.to("float64").toArray() as number[][];
      for (const [greatest, op] of [[true, given.max(1)], [false, given.min(1)]] as const) {
        const best = rows.map((row) =>
          row.reduce((a, b) => greatest ? Math.max(a, b) : Math.min(a, b))
        );
        assertEquals(op.values.to("float64").toArray(), best);
        assertEquals(
          op.indices.to("float64").toArray(),
          rows.map((row, i) => row.indexOf(best[i])),
        );
      }
      const columns = rows[0].map((_, j) => rows.map((row) => row[j]));
      const places = given.argmax(0).to("float64").toArray();
      assertEquals(places, columns.map((column) => column.indexOf(Math.max(...column))));
    }
  }
  const x = arange(4000).to("float32");
  x.select(0, 2345).fill_(NaN);
  x.select(0, 3456).fill_(NaN);
  assertEquals([x.argmax().item(), x.argmin().item()], [2345, 2345]);
});

Deno.test("rows of many columns are reduced as lines of the transpose are, by any number of threads", () => {
  manualSeed(2);
  // Pieces of whole rows, of rows in two groups of columns, groups alone, and a dim between two others.
  for (
    const [shape, dim] of [[[700, 600], 0], [[500, 5000], 0], [[140, 70_000], 0], [
      [3, 400, 300],
      1,
    ]] as const
  ) {
    const x = randn([...shape]);
    const columns = x.transpose(dim, -1).contiguous();
    const all = (): Tensor[] => [x.sum(dim), x.amax(dim), ...stdMean(x, dim)];
    option("threads", 1);
    const alone = all().map((t) => t.toTypedArray());
    option("threads", 3);
    const together = all();
    option("threads", 2);
    assertEquals(together.map((t) => t.toTypedArray()), alone);
    const expected = [columns.sum(-1), columns.amax(-1), ...stdMean(columns, -1)];
    together.forEach((t, i) =>
      assert(t.allclose(expected[i], { rtol: 1e-5, atol: 1e-4 }), `${shape} ${i}`)
    );
  }
});

Deno.test("integers are reduced exactly along every dim", () => {
  manualSeed(3);
  for (const dtype of ["int64", "int32", "uint8", "bool"] as DType[]) {
    const x = randint(0, 200, [90, 1100]).to(dtype);
    const rows = Array.from(
      { length: 90 },
      (_, i) => Array.from(x.at(i).to("int64").toTypedArray(), Number),
    );
    const sums = rows.map((row) => row.reduce((a, b) => a + b, 0));
    assertEquals(Array.from(x.sum(1).toTypedArray(), Number), sums);
    assertEquals(Number(x.sum().item()), sums.reduce((a, b) => a + b, 0));
    assertEquals(
      Array.from(x.any(1).to("int64").toTypedArray(), Number),
      rows.map((row) => Number(row.some((v) => v !== 0))),
    );
    assertEquals(
      Array.from(x.all(1).to("int64").toTypedArray(), Number),
      rows.map((row) => Number(row.every((v) => v !== 0))),
    );
    if (dtype === "bool") continue;
    assertEquals(
      Array.from(x.amax(1).to("int64").toTypedArray(), Number),
      rows.map((row) => Math.max(...row)),
    );
    assertEquals(
      Array.from(x.argmax(1).toTypedArray(), Number),
      rows.map((row) => row.indexOf(Math.max(...row))),
    );
  }
});

Deno.test("narrow integers have the low bits of int64's results, and bool its own logic", () => {
  manualSeed(4);
  for (const dtype of ["uint8", "int8", "int16", "int32"] as DType[]) {
    for (const n of [1, 63, 70_001]) {
      const [a, b] = [0, 1].map(() => randint(-(2 ** 40), 2 ** 40, [n]).to(dtype));
      const [wideA, wideB] = [a, b].map((t) => t.to("int64"));
      for (const name of ["add", "sub", "mul", "bitwiseAnd", "bitwiseOr", "bitwiseXor"] as const) {
        assertEquals(
          a[name](b).toTypedArray(),
          wideA[name](wideB).to(dtype).toTypedArray(),
          `${name} ${dtype}`,
        );
      }
      assertEquals(a.bitwiseNot().toTypedArray(), wideA.bitwiseNot().to(dtype).toTypedArray());
      const kept = a.mul(b).toTypedArray();
      assertEquals(a.mul_(b).toTypedArray(), kept);
    }
  }
  const [a, b] = [[0, 1, 2, 255, 0, 4], [0, 0, 1, 128, 255, 4]].map((bytes) =>
    tensor(bytes, { dtype: "uint8" }).to("bool")
  );
  const bits = (t: Tensor) => Array.from(t.to("int64").toTypedArray(), Number);
  assertEquals(bits(a.logicalAnd(b)), [0, 0, 1, 1, 0, 1]);
  assertEquals(bits(a.bitwiseAnd(b)), [0, 0, 1, 1, 0, 1]);
  assertEquals(bits(a.logicalOr(b)), [0, 1, 1, 1, 1, 1]);
  assertEquals(bits(a.logicalXor(b)), [0, 1, 0, 0, 1, 0]);
  assertEquals(bits(a.logicalNot()), [1, 0, 0, 0, 1, 0]);
});

Deno.test("softmax across rows is that of the transpose, both ways", () => {
  manualSeed(5);
  for (const [shape, dim] of [[[300, 130], 0], [[4, 21, 600], 1], [[2, 50, 17], 1]] as const) {
    for (const f of [F.softmax, F.logSoftmax]) {
      const x = randn([...shape]).requiresGrad_(), g = randn([...shape]);
      const turned = x.detach().transpose(dim, -1).contiguous().requiresGrad_();
      const [y, z] = [f(x, dim), f(turned, -1)];
      y.backward(g);
      z.backward(g.transpose(dim, -1).contiguous());
      for (const [a, b] of [[y, z], [x.grad!, turned.grad!]]) {
        assert(
          a.detach().allclose(b.detach().transpose(dim, -1), { rtol: 1e-4, atol: 1e-6 }),
          `${shape}`,
        );
      }
    }
  }
});

Deno.test("convolutions of many channels are products with unfolded blocks, both ways", () => {
  manualSeed(6);
  for (
    const [batch, ins, high, wide, outs, side, padding] of [
      [2, 33, 40, 40, 48, 3, 1],
      [1, 64, 21, 270, 32, 3, 0],
      [4, 130, 12, 14, 64, 3, 2],
      [3, 40, 11, 13, 70, 1, 0],
      [3, 40, 2, 3, 70, 1, 0],
    ]
  ) {
    const x = randn([batch, ins, high, wide]).requiresGrad_();
    const w = randn([outs, ins, side, side]).div(side * Math.sqrt(ins)).requiresGrad_();
    const bias = randn([outs]);
    const y = F.conv2d(x, w, bias, { padding });
    const g = randn([...y.shape]);
    y.backward(g);
    const [x64, w64] = [x, w].map((a) => a.detach().to("float64").requiresGrad_());
    const blocks = F.unfold(x64, side, { padding });
    const rows = w64.view([outs, ins * side ** 2]).matmul(blocks).add(bias.view([outs, 1]));
    const z = rows.view([...y.shape]);
    z.backward(g.to("float64"));
    for (const [got, want] of [[y, z], [x.grad!, x64.grad!], [w.grad!, w64.grad!]]) {
      const off = got.detach().to("float64").sub(want.detach()).abs().max().item();
      const most = want.detach().abs().max().item();
      assert(off <= 2e-6 * most, `${[batch, ins, high, wide]}: off by ${off} of ${most}`);
    }
  }
});

Deno.test("what is not finite reaches no result of a convolution whose window lacks it", () => {
  manualSeed(7);
  const x = randn([2, 40, 30, 30]), w = randn([48, 40, 3, 3]);
  const plain = F.conv2d(x, w, null, { padding: 1 });
  const bad = x.clone().set([1, 5, 10, 20], Infinity);
  const y = F.conv2d(bad, w, null, { padding: 1 });
  const finite = y.isfinite();
  const lost = finite.logicalNot();
  assertEquals(lost.sum().item(), 48 * 9);
  assertEquals(lost.at(1).narrow(1, 9, 3).narrow(2, 19, 3).sum().item(), 48 * 9);
  assert(y.where(finite, 0).allclose(plain.where(finite, 0), { rtol: 1e-4, atol: 1e-3 }));
});

Deno.test("counts, places and chosen columns of large tensors are those of a loop", () => {
  manualSeed(8);
  const x = randint(0, 50, [130_000]);
  const counts = new Array(50).fill(0n);
  for (const v of x.toTypedArray() as BigInt64Array) counts[Number(v)]++;
  assertEquals([...bincount(x).toTypedArray()], counts);
  assertEquals([...bincount(x.view([-1]).flip(0)).toTypedArray()], counts);
  assertThrows(() => bincount(x.clone().set([129_999], -1)), Error, "bincount");

  const z = randn([70_000]), bins = new Array(7).fill(0);
  for (const v of z.toTypedArray() as Float32Array) {
    const place = Math.fround(Math.fround(Math.fround(v + 2) * 7) / 4);
    if (v >= -2 && v <= 2) bins[Math.min(Math.floor(place), 6)]++;
  }
  for (const a of [z, z.to("float64"), stack([z, z], 1).select(1, 0)]) {
    assertEquals([...histc(a, 7, -2, { max: 2 }).to("float32").toTypedArray()], bins);
  }

  for (
    const shape of [[90_000], [300, 301], [5, 70, 301], [2, 3, 4, 5, 801], [3, 2, 1, 2, 1, 9001]]
  ) {
    const mask = rand(shape).gt(0.7), found = mask.nonzero().toArray() as number[][];
    const flat = mask.toTypedArray() as Uint8Array;
    let n = 0;
    for (let i = 0; i < flat.length; i++) {
      if (!flat[i]) continue;
      const at = found[n++].reduce((sum, k, d) => sum * shape[d] + k, 0);
      if (at !== i) throw new Error(`${shape}: ${found[n - 1]} is not ${i}`);
    }
    assertEquals(found.length, n);
  }

  const rows = randn([700, 90]), picks = randint(0, 90, [600]);
  assert(rows.indexSelect(1, picks).equal(rows.t().contiguous().indexSelect(0, picks).t()));
  assert(rows.t().indexSelect(0, picks).equal(rows.indexSelect(1, picks).t()));
  for (const dim of [0, 1]) {
    const places = randint(0, [700, 90][dim], [700, 90]), more = randn([700, 90]);
    const want = rows.to("float64").clone(), y = rows.scatterAdd(dim, places, more);
    const sums = want.toTypedArray() as Float64Array;
    const [at, values] = [places.toTypedArray() as BigInt64Array, more.toTypedArray()];
    for (let i = 0; i < at.length; i++) {
      const to = dim === 0 ? Number(at[i]) * 90 + i % 90 : i - i % 90 + Number(at[i]);
      sums[to] += Number(values[i]);
    }
    assert(y.to("float64").allclose(tensor(sums).view([700, 90]), { rtol: 1e-5, atol: 1e-5 }));
    const bad = places.clone().set([699, 89], [700, 90][dim]);
    assertThrows(() => rows.scatterAdd(dim, bad, more), Error, "out of range");
  }
});

Deno.test("bins whose ends float32 cannot tell apart, or cannot hold, count all the same", () => {
  const bins = (x: Tensor, low: number, max: number) => histc(x, 3, low, { max }).toArray();
  assertEquals(bins(tensor([1, 1]), 1, 1 + 1e-12), [2, 0, 0]);
  assertEquals(bins(tensor([0, 1, 2e38, -2e38]), -3e38, 3e38), [4, 0, 0]);
  assertEquals(bins(tensor([0, 1, 2e38, -2e38]).to("float64"), -3e38, 3e38), [1, 2, 1]);
});

Deno.test("floats become integers alike, alone and among others", () => {
  const odd = [NaN, Infinity, -Infinity, 2 ** 31, -(2 ** 31), 2 ** 31 - 128, 3e9, -1e20, 1e30];
  const plain = Array.from({ length: 5000 }, (_, i) => (i - 2500) * 1.37);
  for (const dtype of ["int64", "int32", "int16", "int8", "uint8"] as const) {
    const all = tensor([...plain, ...odd, ...plain]).to(dtype);
    const small = tensor(plain).to(dtype), large = tensor(odd).to(dtype);
    assert(all.equal(cat([small, large, small])), dtype);
    assert(tensor(plain).trunc().to("float64").to(dtype).equal(small), dtype);
    assert(tensor(odd).to("float64").to(dtype).equal(large), dtype);
  }
});
