import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  cat,
  checkpoint,
  cuda,
  data,
  deploy,
  manualSeed,
  monitor,
  nn,
  ones,
  optim,
  randint,
  setMemoryLimit,
  tensor,
  ToroError,
  zeros,
} from "@toro/toro";

const x = ones([8, 63]), ids = tensor([1n, 2n, 30n]);
const model = new nn.Sequential(new nn.Linear(4, 2));
const opt = () => new optim.AdamW(model.parameters(), { lr: 1e-3 });
/** A value that the types would refuse, as plain JavaScript may pass it. */
const any = (value: unknown) => value as never;

/** What people get wrong on the way of a training script, and what they read then. */
const wrong: [call: () => unknown, text: string][] = [
  [
    () => new nn.Linear(64, 32).forward(x),
    "ShapeError: Cannot linear input [8, 63] by weight [32, 64]: input's last size 63 differs from weight's 64",
  ],
  [
    () => new nn.Linear(any(1.5), 2),
    "ArgumentError: Cannot make Linear: inFeatures must be a whole number from 0 on, got 1.5",
  ],
  [
    () => new nn.Linear(3, 2, any({ biass: true })),
    'ArgumentError: Cannot make Linear: unknown option "biass"; known are bias, device, dtype',
  ],
  [
    () => new nn.Linear(3, 2).forward(any([1, 2, 3])),
    "ArgumentError: Cannot linear [1, 2, 3]: input must be a tensor",
  ],
  [
    () => new nn.Linear(3, 2).forward(tensor([[1n, 2n, 3n]])),
    'DTypeError: Cannot linear an int64 tensor [1, 3] by a float32 tensor [2, 3]: both must have one dtype\nHint: convert one by to("float32")',
  ],
  [
    () => new nn.Embedding(20, 4).forward(ids),
    "IndexError: Cannot embedding: index 30 at position 2 is out of range for a table of 20 rows",
  ],
  [
    () => new nn.Embedding(20, 4).forward(tensor([-1n])),
    "IndexError: Cannot embedding: index -1 at position 0 is out of range for a table of 20 rows",
  ],
  [
    () => new nn.Embedding(20, 4).forward(tensor([1, 2])),
    'DTypeError: Cannot embedding with a float32 tensor [2] as row numbers: they must be int64 or int32\nHint: tensor(data, { dtype: "int64" })',
  ],
  [
    () => new nn.Embedding(-1, 4),
    "ArgumentError: Cannot make Embedding: numEmbeddings must be a whole number from 0 on, got -1",
  ],
  [
    () => cat([ones([2, 3]), ones([3, 4])], 1),
    "ShapeError: Cannot cat [2, 3] and [3, 4] along dim 1: sizes 2 and 3 differ in dim 0",
  ],
  [() => cat([], 0), "ArgumentError: Cannot cat []: it takes an array of tensors, at least one"],
  [
    () => cat([ones([2, 3])], 2),
    "IndexError: Cannot cat: dim 2 is out of range for 2 dims, it must be from -2 to 1",
  ],
  [() => cat([ones([2]), any(3)], 0), "ArgumentError: Cannot cat: 3 is no tensor"],
  [
    () => ones([2, 3]).mul(ones([2, 4])),
    "ShapeError: Cannot mul input [2, 3] and other [2, 4]: sizes 3 and 4 differ in dim -1 and neither is 1",
  ],
  [
    () => ones([2]).mul(any("3")),
    'ArgumentError: Cannot mul a float32 tensor [2] and "3": other must be a tensor or a number',
  ],
  [
    () => (any(ones([2])) as number) + 1,
    "ArgumentError: Cannot use a tensor in + - * / < or ==; write a.add(b), or a.item() for its value",
  ],
  [
    () => ones([2, 1]).squeeze(5),
    "IndexError: Cannot squeeze: dim 5 is out of range for 2 dims, it must be from -2 to 1",
  ],
  [
    () => ones([2, 3]).view([4, 2]),
    "ShapeError: Cannot view [2, 3] as [4, 2]: 6 elements do not fill it",
  ],
  [
    () => ones([2, 3]).t().view([6]),
    "ShapeError: Cannot view [3, 2] with strides [1, 3] as [6]: its elements do not lie in that order\nHint: reshape() copies where it must",
  ],
  [
    () => new nn.BatchNorm1d(16).forward(ones([8, 32])),
    "ShapeError: Cannot batchNorm input [8, 32]: BatchNorm1d(16) takes [N, 16] or [N, 16, L]",
  ],
  [
    () => new nn.BatchNorm1d(3).forward(ones([1, 3])),
    "ArgumentError: Cannot batchNorm [1, 3] in training: one value per channel has no variance",
  ],
  [() => new nn.Dropout(1.5), "ArgumentError: Cannot make Dropout: p must be from 0 to 1, got 1.5"],
  [
    () => new nn.BCELoss().forward(ones([4, 1]), ones([4])),
    "ShapeError: Cannot binaryCrossEntropy input [4, 1] and target [4]: the shapes must be the same\nHint: target.reshape([4, 1])",
  ],
  [
    () => new nn.BCELoss().forward(tensor([1.5]), ones([1])),
    "IndexError: Cannot binaryCrossEntropy: an element of input is not from 0 to 1, as probabilities are\nHint: binaryCrossEntropyWithLogits takes raw scores",
  ],
  [
    () => new nn.BCEWithLogitsLoss().forward(ones([4, 1]), ones([4])),
    "ShapeError: Cannot binaryCrossEntropyWithLogits input [4, 1] and target [4]: the shapes must be the same\nHint: target.reshape([4, 1])",
  ],
  [
    () => new nn.BCELoss({ reduction: any("avg") }),
    'ArgumentError: Cannot make BCELoss: reduction must be "mean", "sum" or "none", got "avg"',
  ],
  [() => ones([2]).item(), "ShapeError: Cannot item a tensor [2]: it has 2 elements, not 1"],
  [
    () => ones([2]).backward(),
    "AutogradError: Cannot backward: the tensor does not require grad and no op on its way recorded one",
  ],
  [
    () => {
      const t = ones([2]);
      t.requiresGrad = true;
      t.mul(2).backward();
    },
    "AutogradError: Cannot backward from a tensor [2] without a gradient: only one element is a scalar\nHint: reduce it by mean() or sum(), or pass a gradient of its shape",
  ],
  [
    () => new optim.AdamW(model.parameters(), { lr: -1 }),
    "ArgumentError: Cannot make AdamW: lr must be at least 0, got -1",
  ],
  [
    () => new optim.AdamW(model.parameters(), { betas: [0.9, 1.5] }),
    "ArgumentError: Cannot make AdamW: betas[1] must be from 0 on and below 1, got 1.5",
  ],
  [() => new optim.AdamW([]), "ArgumentError: Cannot make AdamW of an empty list of parameters"],
  [
    () => new optim.AdamW(any([3])),
    "ArgumentError: Cannot make AdamW: group 0 is 3, not an object with params",
  ],
  [
    () => new optim.AdamW(any([{ weightDecay: 1 }])),
    "ArgumentError: Cannot make AdamW: group 0 is { weightDecay }, not an object with params",
  ],
  [
    () => new optim.AdamW(model.parameters(), any({ learningRate: 1 })),
    'ArgumentError: Cannot make AdamW: unknown option "learningRate"; known are lr, betas, eps, weightDecay, amsgrad, maximize, strict, foreach, capturable, differentiable, fused',
  ],
  [
    () => new optim.lrScheduler.CosineAnnealingLR(opt(), any("100")),
    'ArgumentError: Cannot make CosineAnnealingLR: TMax must be a number from 1 on, got "100"',
  ],
  [
    () => new optim.lrScheduler.CosineAnnealingLR(any(model), 100),
    "ArgumentError: Cannot make CosineAnnealingLR: a Sequential is no optimiser",
  ],
  [
    () => nn.utils.clipGradNorm_(model.parameters(), NaN),
    "ArgumentError: Cannot clipGradNorm_: maxNorm must be a number, got NaN",
  ],
  [
    () => new data.DataLoader(new data.TensorDataset(ones([4])), { batchSize: 0 }),
    "ArgumentError: Cannot make DataLoader: batchSize must be a whole number above 0, got 0",
  ],
  [
    () => new data.DataLoader(new data.TensorDataset(ones([4])), any({ batch: 3 })),
    'ArgumentError: Cannot make DataLoader: unknown option "batch"; known are batchSize, shuffle, sampler, batchSampler, numWorkers, collate, pinMemory, dropLast, generator, prefetchFactor, persistentWorkers, device',
  ],
  [
    () => new data.TensorDataset({ a: ones([4]), b: ones([5]) }),
    "ShapeError: Cannot make TensorDataset: column a has 4 examples and column b has 5",
  ],
  [
    () => data.randomSplit(new data.TensorDataset(ones([4])), [0.9, 0.2]),
    "ArgumentError: Cannot randomSplit 4 examples into [0.9, 0.2]: lengths must sum to 4, or fractions to 1",
  ],
  [
    () => data.randomSplit(new data.TensorDataset(ones([4])), [3, 2]),
    "ArgumentError: Cannot randomSplit 4 examples into [3, 2]: lengths must sum to 4, or fractions to 1",
  ],
  [
    () => manualSeed(any("a")),
    'ArgumentError: Cannot manualSeed with "a": it must be a whole number',
  ],
  [
    () => tensor([[1, 2], [3]]),
    "ShapeError: Cannot tensor a ragged array: an entry of dim 1 has 1 elements, the first has 2",
  ],
  [() => tensor(any(["a"])), 'ArgumentError: Cannot tensor: "a" is no number, boolean or bigint'],
  [
    () => tensor(any(new Uint32Array(2))),
    "DTypeError: Cannot tensor a Uint32Array: no dtype holds its elements\nHint: copy it into a Float32Array, Int32Array or BigInt64Array first",
  ],
  [
    () => zeros([-1]),
    "ShapeError: Cannot zeros with size [-1]: each size must be a whole number from 0 on, got -1",
  ],
  [
    () => zeros([1], { dtype: any("float") }),
    'ArgumentError: Cannot zeros: dtype "float" is not one of float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, bool',
  ],
  [
    () => zeros([1], { device: "cuda" }),
    `DeviceError: Cannot zeros on "cuda": ${cuda.unavailableReason()}`,
  ],
  [
    () => zeros([1], { device: "gpu" }),
    'DeviceError: Cannot zeros on "gpu": a device is "cpu", "cuda" or "cuda:1"',
  ],
  [
    () => ones([2]).to(any("half")),
    'ArgumentError: Cannot to "half": it is neither a dtype (float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, bool) nor a device',
  ],
  [() => randint(5, 5, [2]), "ArgumentError: Cannot randint from 5 to 5: low must be below high"],
  [
    () => model.loadStateDict({ "0.weight": ones([2, 5]) }),
    "CheckpointError: Cannot load state into Sequential: missing in the state: 0.bias; of another shape: 0.weight is [2, 4] in the module and [2, 5] in the state" +
    "\nHint: { ignoreMismatchedSizes: true } passes over them",
  ],
  [
    () => nn.init.xavierUniform_(ones([3])),
    "ShapeError: Cannot xavierUniform_ a tensor [3]: fan in and fan out need two dims",
  ],
  [
    () =>
      new monitor.TrainingMonitor({ earlyStopping: { metric: "a", mode: any("up"), patience: 1 } }),
    'ArgumentError: Cannot watch "a": mode is "up", not "min" or "max"',
  ],
  [
    () =>
      new checkpoint.ModelCheckpoint(
        { model },
        any({ dir: "/tmp/x", best: { metric: "a", mode: "up" } }),
      ),
    'ArgumentError: Cannot make ModelCheckpoint: mode must be "min" or "max", got "up"',
  ],
  [
    () => new deploy.ModelDeployment(model, { checkpoint: "/tmp/nothing.safetensors" }),
    "CheckpointError: Cannot load /tmp/nothing.safetensors: there is no such file",
  ],
  [() => {
    const t = ones([2]);
    t.dispose();
    t.add(1);
  }, "DisposedError: Cannot add a tensor that was disposed"],
  [
    () => ones([2, 3]).at(5),
    "IndexError: Cannot at [2, 3]: index 5 is out of range for dim 0 of size 2",
  ],
  [() => ones([2, 3]).at(0.5), "ArgumentError: Cannot at: index must be a whole number, got 0.5"],
  [
    () => setMemoryLimit(-1),
    "ArgumentError: Cannot setMemoryLimit to -1: it must be a whole number of bytes above 0",
  ],
];

Deno.test("wrong calls on a training script's way name op, arguments, values and rule", () => {
  for (const [call, text] of wrong) {
    const error = assertThrows(call) as Error;
    assert(error instanceof ToroError, String(error));
    assertEquals(`${error.name}: ${error.message}`, text);
  }
});
