/**
 * The allocator's own counters: an op on a large operand of four strided dims takes the memory of its output, and of
 * what it says it needs beside it, but never that of another copy of the operand.
 */
import { assert, assertEquals } from "@std/assert";
import { memory, resetPeakMemory, type Tensor } from "../../mod.ts";
import { collectGarbage } from "../../src/memory.ts";
import * as ops from "../../src/ops/mod.ts";
import { dtypeInfo } from "../../src/dtype.ts";
import { fromElements, Tensor as TensorClass } from "../../src/tensor.ts";

// The library is opened once and for good, outside any test.
memory();

const DIMS = [8, 32, 16, 64];
const BYTES = 4 * DIMS.reduce((a, b) => a * b, 1);

/** A float32 tensor of DIMS whose dims lie in memory in another order, with gaps. */
function strided(): Tensor {
  const info = dtypeInfo("float32", "test");
  // Laid out as (64, 32, 8, 17), read as (8, 32, 16, 64).
  const base = fromElements(
    Float32Array.from({ length: 64 * 32 * 8 * 17 }, (_, i) => (i % 97) / 97),
    "float32",
    [
      64 * 32 * 8 * 17,
    ],
  );
  return new TensorClass(base.storage, info, DIMS, [17, 8 * 17, 1, 32 * 8 * 17], 1);
}

type Op = (...args: unknown[]) => unknown;
const table = ops as unknown as Record<string, Op | undefined>;

/** Ops with arguments behind the operand, and the share of the operand's bytes that each may take beside its output. */
const CALLS: readonly (readonly [name: string, args: readonly unknown[], scratch: number])[] = [
  ["exp", [], 0],
  ["neg", [], 0],
  ["relu", [], 0],
  ["gelu", [], 0],
  ["add", [2], 0],
  ["clamp", [0.25, 0.75], 0],
  ["sum", [[0, 2]], 0.1],
  ["mean", [3], 0.1],
  ["amax", [[1, 3]], 0.1],
  ["argmax", [2], 0.1],
  ["std", [1], 0.1],
  ["softmax", [1], 0.3],
  ["softmax", [3], 0.3],
  ["logSoftmax", [2], 0.3],
  ["cumsum", [1], 0.1],
  ["layerNorm", [[64]], 0.3],
  ["select", [1, 3], 0],
  ["narrow", [2, 1, 4], 0],
  ["clone", [], 0],
];

for (const [name, args, scratch] of CALLS) {
  const op = table[name];
  Deno.test({
    name: `${name}(${args.map((a) => JSON.stringify(a)).join(", ")}) copies no strided operand`,
    ignore: op === undefined,
    fn: () => {
      const x = strided();
      op!(x, ...args);
      collectGarbage();
      const before = memory().liveBytes;
      resetPeakMemory();
      const out = op!(x, ...args) as Tensor;
      const taken = memory().peakBytes - before;
      const output = out.storage === x.storage ? 0 : out.numel * out.info.size;
      // An eighth for the size class, a slab for the small.
      const allowed = output * 1.125 + scratch * BYTES + 128 * 1024;
      assert(
        taken <= allowed,
        `${taken} bytes were taken, ${allowed} for an output of ${output} bytes`,
      );
    },
  });
}

Deno.test("matmul copies no strided operand", () => {
  const matmul = table.matmul!;
  const x = strided();
  // (8, 32, 16, 64) by (8, 32, 64, 16)
  const y = new TensorClass(
    x.storage,
    x.info,
    [8, 32, 64, 16],
    [x.strides[0], x.strides[1], x.strides[3], x.strides[2]],
    x.offset,
  );
  matmul(x, y);
  collectGarbage();
  const before = memory().liveBytes;
  resetPeakMemory();
  const out = matmul(x, y) as Tensor;
  const taken = memory().peakBytes - before;
  assertEquals([...out.shape], [8, 32, 16, 16]);
  // Panels of a few matrices are packed at a time.
  const allowed = out.numel * 4 * 1.125 + 0.5 * BYTES;
  assert(taken <= allowed, `${taken} bytes were taken, ${allowed} are allowed`);
});
