/** Convolutions, pools, padding and the norms of planes as layers: parameters, state, sizes and errors. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { arange, F, manualSeed, memory, nn, ones, randn, type Tensor } from "@toro/toro";

memory(); // opens the library before the sanitizers look

const same = (a: Tensor, b: Tensor) => {
  assertEquals([...a.shape], [...b.shape]);
  assert(a.sub(b).abs().max().item() < 1e-5);
};

Deno.test("convolutions begin uniform in ±1/√fan and have PyTorch's state", () => {
  manualSeed(1);
  const conv = new nn.Conv2d(8, 6, 3, { groups: 2 });
  assertEquals(Object.keys(conv.stateDict()), ["weight", "bias"]);
  assertEquals([...conv.weight.shape], [6, 4, 3, 3]);
  const bound = 1 / Math.sqrt(4 * 9);
  const most = conv.weight.abs().max().item();
  assert(most <= bound && most > 0.9 * bound, `${most} of ${bound}`);
  assert(conv.bias!.abs().max().item() <= bound);
  const transposed = new nn.ConvTranspose1d(8, 6, 3, { groups: 2, bias: false });
  assertEquals(Object.keys(transposed.stateDict()), ["weight"]);
  assertEquals([...transposed.weight.shape], [8, 3, 3]);
  assert(transposed.weight.abs().max().item() <= 1 / 3);
});

Deno.test("padding modes are pads before the convolution", () => {
  manualSeed(2);
  const x = randn([2, 3, 6, 5]);
  for (const mode of ["reflect", "replicate", "circular"] as const) {
    const conv = new nn.Conv2d(3, 4, [3, 2], { padding: [2, 1], paddingMode: mode });
    const wide = F.pad(x, [1, 1, 2, 2], { mode });
    same(conv.forward(x), F.conv2d(wide, conv.weight, conv.bias));
  }
  const kept = new nn.Conv2d(3, 3, [2, 3], { padding: "same", paddingMode: "reflect" });
  same(
    kept.forward(x),
    F.conv2d(F.pad(x, [1, 1, 0, 1], { mode: "reflect" }), kept.weight, kept.bias),
  );
});

Deno.test("a transposed convolution reaches any of the sizes that give its input", () => {
  const conv = new nn.ConvTranspose2d(2, 1, 3, { stride: 2, padding: 1 });
  const x = ones([1, 2, 4, 4]);
  assertEquals([...conv.forward(x).shape], [1, 1, 7, 7]);
  assertEquals([...conv.forward(x, [8, 7]).shape], [1, 1, 8, 7]);
  assertThrows(() => conv.forward(x, [9, 7]), RangeError, "Cannot ConvTranspose2d [1, 2, 4, 4]");
});

Deno.test("maxima go back to their places", () => {
  const x = arange(16).to("float32").view([1, 1, 4, 4]);
  const [y, indices] = new nn.MaxPool2d(2, { returnIndices: true }).forward(x);
  assertEquals(y.toArray(), [[[[5, 7], [13, 15]]]]);
  assertEquals(indices.toArray(), [[[[5, 7], [13, 15]]]]);
  const back = new nn.MaxUnpool2d(2).forward(y, indices);
  assertEquals([...back.shape], [1, 1, 4, 4]);
  assertEquals(back.sum().item(), 40);
  assertEquals(new nn.MaxPool2d(2).forward(x).toArray(), y.toArray());
});

Deno.test("norms of planes keep PyTorch's state", () => {
  manualSeed(3);
  const x = randn([4, 6, 3, 3]).mul(2).add(1);
  const keys = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
  assertEquals(Object.keys(new nn.BatchNorm2d(6).stateDict()), keys);
  const instance = new nn.InstanceNorm2d(6, { affine: true, trackRunningStats: true });
  assertEquals(Object.keys(instance.stateDict()), keys);
  const y = instance.forward(x);
  assertAlmostEquals(y.mean([2, 3]).abs().max().item(), 0, 1e-5);
  assertAlmostEquals(instance.runningMean!.mean().item(), 0.1 * x.mean().item(), 1e-5);
  const group = new nn.GroupNorm(3, 6, { bias: false });
  assertEquals(Object.keys(group.stateDict()), ["weight"]);
  assertAlmostEquals(group.forward(x).mean().item(), 0, 1e-5);
  assertThrows(() => new nn.GroupNorm(4, 6), TypeError, "6 channels are no multiple of 4 groups");
  assertThrows(
    () => new nn.BatchNorm2d(6).forward(ones([2, 6, 3])),
    RangeError,
    "BatchNorm2d(6) takes [N, 6, H, W]",
  );
});

Deno.test("pads, shuffles and sizes", () => {
  const x = ones([1, 4, 2, 3]);
  assertEquals([...new nn.ZeroPad2d([1, 2, 0, 1]).forward(x).shape], [1, 4, 3, 6]);
  assertEquals(new nn.ConstantPad1d(1, 7).forward(ones([1, 1, 2])).toArray(), [[[7, 1, 1, 7]]]);
  assertEquals(new nn.ReflectionPad1d(2).forward(arange(4).view([1, 4])).toArray(), [
    [2, 1, 0, 1, 2, 3, 2, 1],
  ]);
  assertEquals([...new nn.PixelShuffle(2).forward(x).shape], [1, 1, 4, 6]);
  assertEquals([...new nn.Upsample({ scaleFactor: 2 }).forward(x).shape], [1, 4, 4, 6]);
  assertEquals([...new nn.Unflatten(1, [2, -1]).forward(x).shape], [1, 2, 2, 2, 3]);
  const blocks = new nn.Unfold(2).forward(x);
  assertEquals([...blocks.shape], [1, 16, 2]);
  assertEquals([...new nn.Fold([2, 3], 2).forward(blocks).shape], [1, 4, 2, 3]);
});

Deno.test("errors name the op, both values and the rule", () => {
  const w = ones([4, 3, 3, 3]);
  assertThrows(
    () => F.conv2d(ones([1, 2, 5, 5]), w),
    RangeError,
    "Cannot conv2d x [1, 2, 5, 5] by w [4, 3, 3, 3] in 1 groups: x has 2 channels, w is for 3",
  );
  assertThrows(
    () => F.conv2d(ones([1, 3, 2, 5]), w),
    RangeError,
    "a window of 3 does not fit into 2 with padding",
  );
  assertThrows(
    () => F.conv2d(ones([1, 3, 5, 5]), w, { padding: "same", stride: 2 }),
    TypeError,
    'Cannot conv2d with padding "same" and stride 2: the stride must be 1',
  );
  assertThrows(
    () => F.maxPool2d(ones([1, 3, 5, 5]), 2, { padding: 2 }),
    TypeError,
    "Cannot maxPool2d with padding 2: it must be at most half of kernelSize 2",
  );
  assertThrows(
    () => F.interpolate(ones([1, 3, 5, 5]), { size: 3, mode: "linear" }),
    RangeError,
    'Cannot interpolate [1, 3, 5, 5] by mode "linear"',
  );
});
