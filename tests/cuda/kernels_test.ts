/**
 * Kernels of more than one tile on CUDA against the CPU, forward and backward: attention, recurrent layers, convolutions,
 * pools, sampling. The case table's operands fit one tile each. Run by `deno task test:cuda` on the emulator.
 */
import { type DType, grad, manualSeed, nn, rand, randn, type Tensor } from "@toro/toro";
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { type CellKind, gatesOf, recurrentLayer } from "../../src/ops/recurrent.ts";
import { assertSame } from "../ops/check.ts";

const F = nn.functional;

/** Draws numbers for a shape. */
type Draw = (...shape: number[]) => Tensor;

/** Gives a function the same operands on both devices and compares what comes out, with gradients of all operands. */
function compare(
  operands: (draw: Draw) => Tensor[],
  f: (...operands: Tensor[]) => Tensor[],
  { dtype = "float32", tolerance = [1e-4, 1e-4], backward = true }: {
    dtype?: DType;
    tolerance?: readonly [number, number];
    backward?: boolean;
  } = {},
): void {
  manualSeed(11);
  const made = operands((...shape) => randn(shape).to(dtype));
  const on = (device: string): [Tensor[], readonly (Tensor | null)[]] => {
    const leaves = made.map((t) => {
      const leaf = t.to(device).detach();
      leaf.requiresGrad = backward && /float/.test(t.dtype);
      return leaf;
    });
    const outs = f(...leaves);
    if (!backward) return [outs, []];
    manualSeed(12);
    const gradOutputs = outs.map((o) => randn(o.shape).to(o.dtype).to(device));
    const wanted = leaves.filter((leaf) => leaf.requiresGrad);
    return [outs, grad(outs, wanted, { gradOutputs, allowUnused: true })];
  };
  const [want, wantGrads] = on("cpu");
  const [got, gotGrads] = on("cuda");
  assertSame(got.map((t) => t.to("cpu")), want, tolerance);
  assertSame(
    gotGrads.map((t) => t?.to("cpu") ?? null),
    [...wantGrads],
    tolerance,
    { what: "gradient" },
  );
}

/** Under a sanitizer one type for the compute type and one for tensor cores: the others are the same kernels. */
const isBrief = Deno.env.get("TORO_CUDA_BRIEF") === "1";
const TOLERANCES: [DType, readonly [number, number]][] = [
  ["float32", [1e-4, 1e-4]],
  ["bfloat16", [5e-2, 5e-2]],
  ...(isBrief ? [] : [
    ["float64", [1e-9, 1e-9]],
    ["float16", [1e-2, 1e-2]],
  ] satisfies [DType, readonly [number, number]][]),
];

for (const [dtype, tolerance] of TOLERANCES) {
  Deno.test(`attention of ${dtype}: tiles, tails, masks, groups`, () => {
    const sizes: [number, number, number, number][] = [
      [70, 131, 20, 33],
      [130, 65, 64, 64],
      [1, 90, 8, 8],
      [66, 66, 128, 128],
      // Whole tiles, which cuDNN takes where it is there.
      [64, 128, 64, 64],
    ];
    for (const [t, s, d, e] of sizes) {
      for (const isCausal of [false, true]) {
        compare(
          (draw) => [draw(2, 2, t, d), draw(2, 2, s, d), draw(2, 2, s, e)],
          (q, k, v) => [F.scaledDotProductAttention(q, k, v, { isCausal })],
          { dtype, tolerance },
        );
      }
    }
    const seen = rand([2, 1, 70, 75]).gt(0.4);
    seen.select(2, 3).fill_(false); // A query that sees no key.
    compare(
      (draw) => [draw(2, 4, 70, 16), draw(2, 2, 75, 16), draw(2, 2, 75, 24), seen],
      (q, k, v, attnMask) => [
        F.scaledDotProductAttention(q, k, v, { attnMask, enableGqa: true }),
      ],
      { dtype, tolerance },
    );
    const bias = randn([70, 75]).to(dtype);
    compare(
      (draw) => [draw(2, 70, 3, 16), draw(2, 75, 3, 16), draw(2, 75, 3, 16)],
      (...qkv) => {
        const [q, k, v] = qkv.map((x) => x.transpose(1, 2));
        const attnMask = bias.to(q.device);
        return [F.scaledDotProductAttention(q, k, v, { attnMask, scale: 0.3 })];
      },
      { dtype, tolerance },
    );
  });
}

Deno.test("attention with heads wider than a block's columns", () => {
  compare(
    (draw) => [draw(1, 1, 20, 300), draw(1, 1, 40, 300), draw(1, 1, 40, 260)],
    (q, k, v) => [F.scaledDotProductAttention(q, k, v)],
  );
});

for (const kind of ["tanh", "relu", "lstm", "gru"] satisfies CellKind[]) {
  for (const sizes of [null, [37, 20, 20, 3]]) {
    Deno.test(`${kind} of ${sizes === null ? "a dense batch" : "sequences of several lengths"}`, () => {
      const units = 41, batch = 37, gates = gatesOf(kind);
      const rows = sizes?.reduce((a, b) => a + b, 0);
      for (const reverse of [false, true]) {
        compare(
          (draw) => [
            rows === undefined ? draw(5, batch, gates * units) : draw(rows, gates * units),
            draw(batch, units),
            draw(gates * units, units).mul(0.2),
            ...(kind === "lstm" ? [draw(batch, units)] : kind === "gru" ? [draw(units)] : []),
          ],
          (x, h, weight, extra) => {
            const out = recurrentLayer({
              kind,
              x,
              h,
              weight,
              c: kind === "lstm" ? extra : null,
              bias: kind === "gru" ? extra : null,
              projection: null,
              sizes,
              reverse,
            });
            return out.c === null ? [out.y, out.h] : [out.y, out.h, out.c];
          },
          { tolerance: [1e-3, 1e-3] },
        );
      }
    });
  }
}

for (const [dtype, tolerance] of TOLERANCES) {
  Deno.test(`convolutions of ${dtype}: tiles, groups, strides, transposed`, () => {
    const options = { dtype, tolerance };
    compare(
      (draw) => [draw(3, 10, 17, 19), draw(70, 10, 3, 3), draw(70)],
      (x, w, b) => [F.conv2d(x, w, b, { stride: 2, padding: 1 })],
      options,
    );
    compare(
      (draw) => [draw(2, 8, 12, 13), draw(12, 4, 3, 2), draw(12)],
      (x, w, b) => [F.conv2d(x, w, b, { groups: 2, dilation: [2, 1], padding: [2, 0] })],
      options,
    );
    compare(
      (draw) => [draw(2, 6, 9, 8), draw(6, 5, 3, 3), draw(5)],
      (x, w, b) => [F.convTranspose2d(x, w, b, { stride: [2, 3], padding: 1, outputPadding: 1 })],
      options,
    );
    compare(
      (draw) => [draw(2, 3, 90), draw(140, 3, 5)],
      (x, w) => [F.conv1d(x, w, { padding: 2 })],
      options,
    );
    compare(
      (draw) => [draw(1, 2, 5, 6, 7), draw(4, 2, 2, 3, 3)],
      (x, w) => [F.conv3d(x, w, { stride: [1, 2, 1] })],
      options,
    );
    compare(
      (draw) => [draw(2, 14, 15, 7), draw(9, 3, 3, 7)],
      (x, w) => [F.conv2d(x.permute([0, 3, 1, 2]), w.permute([0, 3, 1, 2]))],
      options,
    );
  });
}

for (const [dtype, tolerance] of TOLERANCES) {
  Deno.test(`products of ${dtype}: tiles, tails, turned, strided, batched`, () => {
    const options = { dtype, tolerance: [tolerance[0], 4 * tolerance[1]] as const };
    // A tile and its neighbours; depths that end within 8 elements; lines that do not lie on 16 bytes.
    for (
      const [m, n, k] of [[130, 136, 200], [1, 129, 64], [257, 8, 37], [64, 64, 1], [8, 3, 300]]
    ) {
      compare((draw) => [draw(m, k), draw(k, n)], (a, b) => [a.matmul(b)], options);
      compare((draw) => [draw(k, m), draw(n, k)], (a, b) => [a.t().matmul(b.t())], options);
    }
    compare(
      (draw) => [draw(130, 80), draw(72, 80), draw(72)],
      (x, w, b) => [F.linear(x, w, b)],
      options,
    );
    compare((draw) => [draw(3, 2, 40, 72), draw(2, 72, 24)], (a, b) => [a.matmul(b)], options);
    // Neither dim is dense.
    compare(
      (draw) => [draw(40, 50, 2), draw(50, 33, 3)],
      (a, b) => [a.select(2, 1).matmul(b.select(2, 2))],
      options,
    );
    compare(
      (draw) => [draw(50, 60), draw(50, 40), draw(40, 60)],
      (c, a, b) => [c.addmm(a, b, { beta: 0.5, alpha: 2 })],
      options,
    );
  });
}

/** A product for `compareExactly`: scalars are alpha, beta and whether ReLU ends it. */
interface Exact {
  sizes: readonly [m: number, n: number, k: number];
  batch?: readonly number[];
  /** Whether A and B lie by columns, and whether their rows begin on 16 bytes. */
  turned?: readonly boolean[];
  aligned?: readonly [a: boolean, b: boolean];
  out?: DType;
  isOutTurned?: boolean;
  bias?: DType;
  scale?: DType;
  scalars?: readonly number[];
}

/** Products of few whole numbers, whose sums are exact, must be the CPU's to the bit, and what lies beside them must stay. */
function compareExactly(dtype: DType, x: Exact): void {
  const { sizes: [m, n, k], batch = [], turned = [false, false], aligned = [true, true] } = x;
  manualSeed(13);
  const draw = (shape: number[], of: DType) => randn(shape).mul(1.5).round().to(of);
  // Rows longer than what is used of them.
  const matrix = (
    rows: number,
    columns: number,
    isTurned: boolean,
    isAligned: boolean,
    of = dtype,
  ) => {
    const [far, near] = isTurned ? [columns, rows] : [rows, columns];
    const whole = draw([...batch, far, isAligned ? Math.ceil(near / 8) * 8 + 8 : near | 1], of);
    return (device: string) => {
      const all = whole.to(device).clone();
      const part = all.narrow(-1, 0, near);
      return [all, isTurned ? part.transpose(-2, -1) : part];
    };
  };
  const a = matrix(m, k, turned[0], aligned[0]), b = matrix(k, n, turned[1], aligned[1]);
  const c = matrix(m, n, x.isOutTurned ?? false, true, x.out);
  // Every other element.
  const row = (of?: DType) => of && draw([n, 2], of);
  const [bias, scale] = [row(x.bias), row(x.scale)];
  const [want, got] = ["cpu", "cuda"].map((device) => {
    const [all, out] = c(device);
    const rows = [bias, scale].flatMap((r) => r ? [r.to(device).select(1, 0)] : []);
    run("matmul", OP.matmul, [out], [a(device)[1], b(device)[1], ...rows], x.scalars ?? [1, 0, 0]);
    return all.to("cpu");
  });
  assertSame([got], [want], [0, 0]);
}

for (const dtype of ["bfloat16", ...(isBrief ? [] : ["float16" as const])] as const) {
  Deno.test(`products of ${dtype} by tensor cores: tiles, layouts, ends`, () => {
    for (const turned of [[false, false], [false, true], [true, false], [true, true]]) {
      // Several tiles with whole and with broken rows of C, then of operands.
      compareExactly(dtype, { sizes: [130, 136, 40], turned });
      compareExactly(dtype, { sizes: [65, 139, 77], turned });
      for (const aligned of [[false, false], [true, false], [false, true]] as const) {
        compareExactly(dtype, { sizes: [65, 139, 77], turned, aligned });
      }
      // Many stages. Two layouts read either operand both ways.
      if (isBrief && turned[0] !== turned[1]) continue;
      compareExactly(dtype, { sizes: [136, 136, 1030], turned });
    }
    const other = dtype === "float16" ? "bfloat16" : "float16";
    const sizes = [70, 72, 40] as const;
    const ends: Omit<Exact, "sizes">[] = [
      { scalars: [2, 0.5, 0] },
      { scalars: [2, 0.5, 1], bias: "float32", scale: dtype },
      { scalars: [-0.5, 0, 1] },
      { bias: dtype, scalars: [2, 0, 1] },
      { bias: "float32" },
      { bias: "float64" },
      { bias: other, scale: "float32", scalars: [1, 0, 1] },
      { out: "float32", bias: dtype },
      { out: "float64" },
      { out: other },
      { isOutTurned: true },
      { batch: [2, 3] },
      { batch: [5], bias: "float32", scalars: [1, 1, 1] },
    ];
    for (const end of ends) compareExactly(dtype, { sizes, ...end });
    // Fewer columns than threads, no depth.
    for (const n of [3, 9, 20]) compareExactly(dtype, { sizes: [140, n, 8] });
    compareExactly(dtype, { sizes: [9, 16, 0], bias: dtype });
    const batch = [2], deep = [100, 152, 1024] as const;
    for (const scalars of isBrief ? [[0.5, 2, 1]] : [[1, 0, 1], [0.5, 2, 1]]) {
      compareExactly(dtype, { sizes: deep, batch, bias: dtype, scalars });
    }
  });
}

Deno.test("the weight's gradient of many positions is summed in parts", () => {
  compare(
    (draw) => [draw(2, 2, 40, 41), draw(3, 2, 3, 3)],
    (x, w) => [F.conv2d(x, w, { padding: 1 })],
    { tolerance: [1e-3, 1e-3] },
  );
});

Deno.test("pools of windows that overlap, are dilated or uneven", () => {
  const draw3 = (draw: Draw) => [draw(2, 3, 19, 23)];
  compare(draw3, (x) => [F.avgPool2d(x, 3, { stride: 2, padding: 1 })]);
  compare(
    draw3,
    (x) => [F.avgPool2d(x, 3, { ceilMode: true, countIncludePad: false, padding: 1 })],
  );
  compare(draw3, (x) => [F.avgPool2d(x, [2, 5], { stride: [3, 1], divisorOverride: 7 })]);
  compare(draw3, (x) => [F.adaptiveAvgPool2d(x, [7, 30])]);
  compare(draw3, (x) => [F.maxPool2d(x, 3, { stride: 1, dilation: 3, padding: 1 })], {
    backward: false,
  });
  compare(draw3, (x) => [F.adaptiveMaxPool2d(x, [4, 5])], { backward: false });
});

Deno.test("resampling up, down and smoothed", () => {
  for (const mode of ["nearest", "nearest-exact", "bilinear", "bicubic"] as const) {
    for (const size of [[31, 9], [7, 40]]) {
      compare((draw) => [draw(2, 3, 16, 18)], (x) => [F.interpolate(x, { size, mode })]);
      if (mode.startsWith("n")) continue;
      for (const alignCorners of [false, true]) {
        compare(
          (draw) => [draw(2, 3, 16, 18)],
          (x) => [F.interpolate(x, { size, mode, alignCorners, antialias: !alignCorners })],
        );
      }
    }
  }
  compare(
    (draw) => [draw(1, 2, 5, 6, 7)],
    (x) => [F.interpolate(x, { scaleFactor: 1.7, mode: "trilinear" })],
  );
});

Deno.test("points that crowd on few elements are summed in order", () => {
  for (const mode of ["bilinear", "nearest", "bicubic"] as const) {
    for (const paddingMode of ["zeros", "border", "reflection"] as const) {
      for (const alignCorners of [false, true]) {
        compare(
          (draw) => [draw(2, 19, 6, 5), draw(2, 17, 16, 2)],
          (x, grid) => [F.gridSample(x, grid, { mode, paddingMode, alignCorners })],
          { tolerance: [1e-3, 1e-3] },
        );
      }
    }
  }
  compare(
    (draw) => [draw(1, 2, 4, 5, 6), draw(1, 3, 4, 5, 3)],
    (x, grid) => [F.gridSample(x, grid, { alignCorners: false })],
    { tolerance: [1e-3, 1e-3] },
  );
});

Deno.test("rows whose elements are one and the same, and rows off their boundary", () => {
  const one = (x: Tensor) => x.expand([5, 64]), off = (x: Tensor) => x.narrow(1, 1, 64);
  for (const [width, view] of [[1, one], [65, off]] as const) {
    const make = (draw: Draw) => [draw(5, width)];
    compare(make, (x) => [F.softmax(view(x), -1), F.logSoftmax(view(x), -1)]);
    compare(make, (x) => [F.layerNorm(view(x), [64], null, null, { eps: 0.1 })]);
  }
  compare((draw) => [draw(5, 64), draw(1), draw(65)], (x, w, b) => {
    const [same, apart] = [w.expand([64]), b.narrow(0, 1, 64)];
    return [F.layerNorm(x, [64], same, apart), F.layerNorm(x, [64], apart, same)];
  });
});
