/** `at` and `set`: values, views and copies, gradients, errors. Values were checked with PyTorch. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  arange,
  ArgumentError,
  AutogradError,
  DTypeError,
  type Index,
  IndexError,
  ones,
  ShapeError,
  slice,
  type Tensor,
  tensor,
  zeros,
} from "../../mod.ts";
import { gradcheck, gradgradcheck } from "../../src/autograd/gradcheck.ts";

const grid = (): Tensor => arange(24).reshape([2, 3, 4]);
const int = (...values: number[]): Tensor => tensor(values, { dtype: "int64" });
const shape = (...index: Index[]): number[] => [...grid().at(...index).shape];

Deno.test("numbers, ranges, null and ... give views", () => {
  const x = grid();
  assertEquals(x.at(1, -1, 2).item(), 22);
  assertEquals(x.at(0, slice(1, null), slice(null, null, 2)).toArray(), [[4, 6], [8, 10]]);
  assertEquals(shape(null, "...", 0), [1, 2, 3]);
  assertEquals(shape("...", slice(-3, -1)), [2, 3, 2]);
  assertEquals(shape(slice(5, 9)), [0, 3, 4]);
  const view = x.at(0);
  view.set([0], 100);
  assertEquals(x.at(0, 0).toArray(), [100, 100, 100, 100]);
  assert(x.at() !== x && x.at().storage === x.storage);
});

Deno.test("tensors and arrays pick elements and stand where PyTorch puts them", () => {
  assertEquals(shape([1, 0, 1]), [3, 3, 4]);
  assertEquals(shape(slice(), [0, 2], [1, 3]), [2, 2]);
  assertEquals(shape([0, 1], slice(), [1, 3]), [2, 3]);
  assertEquals(shape(0, slice(), [1, 3, 0]), [3, 3]);
  assertEquals(shape(slice(), tensor([[0n], [1n]]), [1, 2, 3]), [2, 2, 3]);
  assertEquals(grid().at([0, 1], 1, [-1, 0]).toArray(), [7, 16]);
  const mask = grid().gt(20);
  assertEquals(grid().at(mask).toArray(), [21, 22, 23]);
  assertEquals(grid().at(slice(), [true, false, true], 0).toArray(), [[0, 8], [12, 20]]);
  assertEquals(grid().at(tensor(1, { dtype: "int64" })).storage !== null, true);
  assertEquals(shape(true), [1, 2, 3, 4]);
  assertEquals(shape([]), [0, 3, 4]);
});

Deno.test("set writes numbers, rows and masks in place", () => {
  const x = zeros([3, 3]);
  x.set([1], tensor([1, 2, 3]));
  x.set([slice(), 0], 9);
  x.set([[0, 2], [1, 2]], tensor([5, 6]));
  assertEquals(x.toArray(), [[9, 5, 0], [9, 2, 3], [9, 0, 6]]);
  x.set([x.eq(9)], -1);
  assertEquals(x.at(slice(), 0).toArray(), [-1, -1, -1]);
  x.set([slice(0, 2)], x.at(slice(1, 3)));
  assertEquals(x.toArray(), [[-1, 2, 3], [-1, 0, 6], [-1, 0, 6]]);
});

Deno.test("gradients flow through at and set", () => {
  const x = tensor([[1, 2, 3], [4, 5, 6]], { dtype: "float64", requiresGrad: true });
  const v = tensor([7, 8], { dtype: "float64", requiresGrad: true });
  gradcheck((x) => [x.at([1, 0, 1], slice(1, null)).mul(x.at(0, 0))], [x]);
  gradgradcheck((x) => [x.at([1, 0, 1], [0, 0, 2]).mul(x.at(0, 0))], [x]);
  const written = (x: Tensor, v: Tensor): Tensor[] => {
    const y = x.mul(2);
    y.set([slice(), 1], v.mul(v));
    y.set([[0, 1], [2, 0]], v);
    y.at(0).set([0], 3);
    return [y.mul(y)];
  };
  gradcheck(written, [x, v]);
  gradgradcheck(written, [x, v]);
  assertThrows(() => x.set([0], 1), AutogradError, "a leaf that requires grad");
});

Deno.test("many duplicates add up the same for every number of runs", () => {
  const rows = int(...Array.from({ length: 5000 }, (_, i) => (i * 37) % 11));
  const values = arange(5000 * 8).reshape([5000, 8]).mul(0.001).to("float32");
  const sum = () => zeros([11, 8]).indexAdd(0, rows, values).toArray();
  assertEquals(sum(), sum());
  const half = zeros([11, 8], { dtype: "bfloat16" }).indexAdd(
    0,
    rows,
    ones([5000, 8], { dtype: "bfloat16" }),
  );
  // Summed in float32: bfloat16 itself would stop at 256.
  assertEquals(half.at(0, 0).item(), 456);
});

Deno.test("errors of indices name op, dim and size", () => {
  const x = zeros([3, 4]);
  const fails = (type: typeof IndexError, text: string, ...index: unknown[]) =>
    assertThrows(() => x.at(...index as Index[]), type, text);
  fails(IndexError, "Cannot at [3, 4]: index 3 is out of range for dim 0 of size 3", 3);
  fails(IndexError, "Cannot at [3, 4]: index -5 is out of range for dim 1 of size 4", 0, -5);
  fails(IndexError, "Cannot at [3, 4]: index 7 is out of range for dim 0 of size 3", [0, 7]);
  fails(IndexError, "Cannot at [3, 4]: 3 indices for 2 dims", 0, 0, 0);
  fails(IndexError, 'Cannot at [3, 4]: "..." may stand once only', "...", "...");
  fails(IndexError, "a mask [2] does not fit", tensor([true, false]));
  fails(IndexError, "do not broadcast together", [0, 1], [0, 1, 2]);
  fails(ArgumentError, "an index is a number, slice(), null", undefined);
  fails(ArgumentError, "whole numbers or booleans, got 0.5", [0.5]);
  fails(ArgumentError, "index must be a whole number, got NaN", NaN);
  fails(DTypeError, "indices are int64 or int32", tensor([0, 1]));
  assertThrows(() => x.at(slice(null, null, -1)), ArgumentError, "the step must be at least 1");
  assertThrows(() => slice(0.5), ArgumentError, "start must be a whole number or null, got 0.5");
  assertThrows(() => x.set([0], ones([5])), ShapeError, "Cannot set values [5] into [4] of [4]");
  assertThrows(
    () => x.gather(1, tensor([[4]], { dtype: "int64" })),
    IndexError,
    "Cannot gather [3, 4]: index 4 is out of range for dim 1 of size 4",
  );
  assertThrows(() => x.indexSelect(0, int(-1)), IndexError, "Cannot indexSelect [3, 4]: index -1");
});

Deno.test("iterating yields rows, printing is PyTorch's", () => {
  const [a, b] = tensor([[1, 2], [3, 4.5]]);
  assertEquals([a.toArray(), b.toArray()], [[1, 2], [3, 4.5]]);
  assertEquals(
    String(tensor([[1, 2], [3, 4.5]])),
    "tensor([[1.0000, 2.0000],\n        [3.0000, 4.5000]])",
  );
  assertEquals(`${tensor([1e-5, 1000])}`, "tensor([1.0000e-05, 1.0000e+03])");
  assertEquals(Deno.inspect(int(1, -20)), "tensor([  1, -20])");
  assertEquals(String(zeros([0, 3])), "tensor([], size=[0, 3])");
  assertEquals(String(ones([1200])), "tensor([1., 1., 1.,  ..., 1., 1., 1.])");
  assertEquals(String(tensor([1], { requiresGrad: true })), "tensor([1.], requiresGrad=true)");
  assertEquals(String(tensor([0.03125, NaN, -Infinity])), "tensor([0.0312,    nan,   -inf])");
});

Deno.test("so many pieces that they can only be a mistake are refused", () => {
  const x = zeros([2, 5]);
  assertThrows(
    () => x.tensorSplit(2 ** 31, 1),
    ArgumentError,
    "Cannot tensorSplit [2, 5] into 2147483648 sections: at most 1048576 are made",
  );
  assertThrows(
    () => zeros([0]).chunk(2 ** 40),
    ArgumentError,
    "Cannot chunk [0] into 1099511627776 pieces: at most 1048576 are made",
  );
  assertEquals(x.tensorSplit(7, 1).map((piece) => piece.shape[1]), [1, 1, 1, 1, 1, 0, 0]);
});
