/** Sizes from which on kernels take other ways than those of the case table. */
import { assert, assertEquals } from "@std/assert";
import { arange, type DType, manualSeed, randint, randn, sort } from "@toro/toro";
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
