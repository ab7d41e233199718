/** Layers and losses against values that PyTorch 2.15 gives. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { manualSeed, memory, type NestedNumbers, nn, ones, type Tensor, tensor } from "@toro/toro";

memory(); // opens the library before the sanitizers look

function assertClose(actual: Tensor | null, expected: NestedNumbers): void {
  const flat = (v: unknown): number[] => Array.isArray(v) ? v.flatMap(flat) : [v as number];
  const a = flat(actual!.toArray()), b = flat(expected);
  assertEquals(a.length, b.length);
  a.forEach((x, i) => assertAlmostEquals(x, b[i], 2e-6 * Math.max(1, Math.abs(b[i]))));
}

const x = tensor([[0.5, -1, 2], [1.5, 0, -0.5], [-2, 1, 0.25], [0, 3, 1]]);

Deno.test("BatchNorm1d: training, running statistics, evaluation, plain mean", () => {
  const norm = new nn.BatchNorm1d(3);
  assertClose(norm.forward(x), [
    [0.3922310769557953, -1.183213233947754, 1.4190402030944824],
    [1.1766932010650635, -0.5070914030075073, -1.2838935852050781],
    [-1.5689243078231812, 0.16903042793273926, -0.47301343083381653],
    [0.0, 1.5212740898132324, 0.33786672353744507],
  ]);
  norm.forward(x.mul(2));
  assertClose(norm.runningMean, [0, 0.2175, 0.199375]);
  assertClose(norm.runningVar, [1.871666669845581, 2.239166498184204, 1.3689062595367432]);
  assertEquals(norm.numBatchesTracked!.item(), 2);
  norm.eval();
  assertClose(norm.forward(x), [
    [0.3654724061489105, -0.8136259913444519, 1.5389864444732666],
    [1.0964171886444092, -0.14535002410411835, -0.5977528095245361],
    [-1.461889624595642, 0.5229259133338928, 0.04326896369457245],
    [0.0, 1.8594778776168823, 0.6842907667160034],
  ]);
  assertEquals(norm.numBatchesTracked!.item(), 2);
  const mean = new nn.BatchNorm1d(3, { momentum: null });
  mean.forward(x);
  mean.forward(x.mul(2));
  assertClose(mean.runningMean, [0, 1.125, 1.03125]);
  assertClose(mean.runningVar, [5.4166669845581055, 7.2916669845581055, 2.8515625]);
  const bare = new nn.BatchNorm1d(3, { affine: false, trackRunningStats: false });
  assertEquals(Object.keys(bare.stateDict()), []);
  assertEquals(Object.keys(norm.stateDict()), [
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
  ]);
  assertThrows(
    () => norm.forward(ones([8, 63])),
    RangeError,
    "Cannot batchNorm input [8, 63]: BatchNorm1d(3) takes [N, 3] or [N, 3, L]",
  );
});

Deno.test("LayerNorm", () => {
  const norm = new nn.LayerNorm(3);
  assertClose(norm.forward(x), [
    [0.0, -1.224740743637085, 1.224740743637085],
    [1.3728034496307373, -0.3922295570373535, -0.9805739521980286],
    [-1.3728086948394775, 0.9805775880813599, 0.3922310471534729],
    [-1.0690416097640991, 1.3363019227981567, -0.26726043224334717],
  ]);
  assertEquals(String(norm), "LayerNorm([3], eps=0.00001, elementwiseAffine=true, bias=true)");
  assertThrows(() => norm.forward(ones([2, 4])), RangeError, "Cannot layerNorm input [2, 4]");
  assertThrows(
    () => new nn.LayerNorm([]),
    TypeError,
    "Cannot make LayerNorm: normalizedShape must be a size",
  );
});

Deno.test("Linear: initial values, wrong sizes", () => {
  manualSeed(0);
  const linear = new nn.Linear(64, 32);
  const weight = [...linear.weight.toTypedArray() as Float32Array];
  assert(weight.every((w) => Math.abs(w) <= 1 / 8) && weight.some((w) => Math.abs(w) > 0.12));
  assertEquals(linear.bias!.shape, [32]);
  assertEquals(new nn.Linear(64, 32, { bias: false }).bias, null);
  assertEquals(new nn.Linear(2, 2, { dtype: "float64" }).weight.dtype, "float64");
  assertThrows(() => linear.forward(ones([8, 63])), RangeError, "Cannot linear input [8, 63]");
  assertThrows(() => linear.forward(ones([8, 63])), RangeError, "64");
  assertThrows(
    () => new nn.Linear(-1, 2),
    TypeError,
    "Cannot make Linear: inFeatures must be a whole number from 0 on, got -1",
  );
  assertThrows(
    () => new nn.Linear(1, 2, { bas: true } as never),
    TypeError,
    'Cannot make Linear: unknown option "bas"',
  );
});

Deno.test("Embedding: padding row, gradients, wrong rows", () => {
  const table = new nn.Embedding(4, 2, -3);
  assertEquals(table.paddingIdx, 1);
  assertEquals((table.weight.toArray() as number[][])[1], [0, 0]);
  const y = table.forward(tensor([[0n, 1n], [3n, 0n]]));
  assertEquals(y.shape, [2, 2, 2]);
  y.sum().backward();
  assertEquals(table.weight.grad!.toArray(), [[2, 2], [0, 0], [0, 0], [1, 1]]);
  assertEquals(String(table), "Embedding(4, 2, paddingIdx=1)");
  assertThrows(() => table.forward(tensor([4n])), RangeError, "4");
  assertThrows(
    () => new nn.Embedding(4, 2, 4),
    RangeError,
    "Cannot make Embedding: paddingIdx 4 is out of range for 4 rows",
  );
  const given = nn.Embedding.fromPretrained(ones([3, 2]), { paddingIdx: -1 });
  assertEquals([
    given.numEmbeddings,
    given.embeddingDim,
    given.paddingIdx,
    given.weight.requiresGrad,
  ], [3, 2, 2, false]);
});

Deno.test("activations and dropout as modules", () => {
  const one = tensor([-1, 0, 2]);
  assertClose(new nn.ReLU().forward(one), [0, 0, 2]);
  assertClose(new nn.LeakyReLU(0.1).forward(one), [-0.1, 0, 2]);
  assertClose(new nn.Sigmoid().forward(one), [0.26894142, 0.5, 0.88079708]);
  assertClose(new nn.Tanh().forward(one), [-0.76159416, 0, 0.96402758]);
  assertClose(new nn.SiLU().forward(one), [-0.26894142, 0, 1.76159416]);
  assertClose(new nn.GELU().forward(one), [-0.15865525, 0, 1.95449974]);
  assertClose(new nn.GELU({ approximate: "tanh" }).forward(one), [-0.15880801, 0, 1.95459769]);
  assertClose(new nn.Softmax(0).forward(one), [0.04201007, 0.1141952, 0.84379473]);
  assertEquals(new nn.Flatten().forward(ones([2, 3, 4])).shape, [2, 12]);
  const drop = new nn.Dropout(0.25), dropped = drop.forward(ones([10_000]));
  assertAlmostEquals(dropped.mean().item(), 1, 0.03);
  assertClose(drop.eval().forward(one), [-1, 0, 2]);
  assertThrows(
    () => new nn.Dropout(1.5),
    TypeError,
    "Cannot make Dropout: p must be from 0 to 1, got 1.5",
  );
});

Deno.test("losses as modules", () => {
  const t = tensor([[0.2, 0.9], [0.6, 0.4]]), y = tensor([[0, 1], [1, 0]]), c = tensor([1n, 0n]);
  const near = (loss: Tensor, expected: number) => assertAlmostEquals(loss.item(), expected, 1e-6);
  near(new nn.BCELoss().forward(t, y), 0.33753883838653564);
  near(new nn.BCEWithLogitsLoss({ posWeight: tensor([2, 3]) }).forward(t, y), 0.902397871017456);
  near(new nn.MSELoss({ reduction: "sum" }).forward(t, y), 0.3700000047683716);
  near(new nn.L1Loss().forward(t, y), 0.2750000059604645);
  near(new nn.CrossEntropyLoss({ labelSmoothing: 0.1 }).forward(t, c), 0.5231624245643616);
  assertClose(new nn.CrossEntropyLoss(tensor([1, 3]), { reduction: "none" }).forward(t, c), [
    1.2095582485198975,
    0.5981388688087463,
  ]);
  near(new nn.NLLLoss({ ignoreIndex: 1 }).forward(t, c), -0.6000000238418579);
  assertEquals(
    Object.keys(new nn.BCEWithLogitsLoss(null, { posWeight: tensor([1]) }).stateDict()),
    ["pos_weight"],
  );
  assertThrows(
    () => new nn.MSELoss({ reduction: "avg" as never }),
    TypeError,
    'Cannot make MSELoss: reduction must be "mean", "sum" or "none", got "avg"',
  );
});
