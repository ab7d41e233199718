/**
 * Valid calls of what has no cases in the op table and whose arguments no guess by their names would fit: layers of several
 * sizes, what takes modules, packed sequences, schedulers. Random calls begin from them.
 */
import { t } from "../../tests/ops/case_table.ts";
import { type Arg, toArg, Written } from "./values.ts";

/** A call: arguments, and those of a module's forward. */
interface Known {
  readonly args: readonly unknown[];
  readonly forward?: readonly unknown[];
}

const arg = (of: Arg) => new Written(of);
const made = (by: string, ...args: unknown[]) =>
  arg({ is: "made", by, args: args.map((a) => toArg(a, "float32")) });
const evaluated = (by: string, ...args: unknown[]) =>
  arg({ is: "made", by, args: args.map((a) => toArg(a, "float32")), evaluates: true });
const square = arg({ is: "function", body: "square" }), sum = arg({ is: "function", body: "sum" });
const optimizer = arg({ is: "optimizer" }), dataset = arg({ is: "dataset" });
/** `new nn.Linear(3, 2)`. */
const layer = arg({ is: "module" });
const matrices = arg({ is: "parameters", shapes: [[2, 3], [4, 3]] });
const parameters = arg({ is: "parameters", shapes: [[2, 3], [3]] });
const scheduler = () => made("optim.lrScheduler.ExponentialLR", optimizer, 0.9);
const whole = (shape: number[], high: number) => t(shape, { dtype: "int64", low: 0, high });
const leaf = (shape: number[]) => t(shape, { grad: true });
const call = (...args: unknown[]): Known => ({ args });
const runs = (args: unknown[], ...forward: unknown[]): Known => ({ args, forward });

const small = { dimFeedforward: 8 };
const encoder = made("nn.TransformerEncoderLayer", 4, 2, small);
const decoder = made("nn.TransformerDecoderLayer", 4, 2, small);
const packed = made("nn.utils.rnn.packSequence", [t([3, 2]), t([2, 2])]);
const statistics = [t([3]), t([3], { low: 0.5, high: 2 }), 1e-5, t([3]), t([3])];
const prune = (name: string) => `nn.utils.prune.${name}`;
const rnn = (name: string) => `nn.utils.rnn.${name}`;

/** Known calls by name. */
export const KNOWN: Readonly<Record<string, readonly Known[]>> = {
  "autograd.backward": [call(made("sum", leaf([3])))],
  "autograd.grad": [call(made("sum", leaf([3])), leaf([2]), { allowUnused: true })],
  "autograd.functional.hvp": [call(sum, t([3]), t([3]))],
  "autograd.gradcheck": [call(square, [t([2], { dtype: "float64", grad: true })])],
  "autograd.gradgradcheck": [call(square, [t([2], { dtype: "float64", grad: true })])],
  "data.BatchSampler": [call(made("data.SequentialSampler", dataset), 2, false)],
  "data.randomSplit": [call(dataset, [0.5, 0.5]), call(dataset, [4, 2])],
  "nn.AdaptiveLogSoftmaxWithLoss": [runs([8, 20, [5, 10]], t([4, 8]), whole([4], 19))],
  "nn.AvgPool3d": [runs([2], t([1, 2, 4, 4, 4]))],
  "nn.BCELoss": [runs([], t([4], { low: 0.1, high: 0.9 }), t([4], { low: 0, high: 1 }))],
  "nn.BatchNorm3d": [runs([2], t([2, 2, 2, 3, 2]))],
  "nn.BatchNorm2d": [runs([2], t([2, 2, 3, 2]))],
  "nn.Bilinear": [runs([2, 3, 4], t([5, 2]), t([5, 3]))],
  "nn.ConvTranspose1d": [runs([2, 3, 2], t([1, 2, 4]))],
  "nn.ConvTranspose2d": [runs([2, 3, 2, { stride: 2 }], t([1, 2, 4, 3]))],
  "nn.ConvTranspose3d": [runs([2, 3, 2], t([1, 2, 2, 3, 2]))],
  "nn.Embedding": [runs([5, 3], whole([2, 4], 4)), runs([5, 3, { paddingIdx: 0 }], whole([4], 4))],
  "nn.Conv1d": [runs([2, 3, 2], t([1, 2, 4]))],
  "nn.Conv3d": [runs([2, 3, 2, { padding: 1 }], t([1, 2, 2, 3, 2]))],
  "nn.ConstantPad1d": [runs([1, 0.5], t([1, 2, 3]))],
  "nn.ConstantPad2d": [runs([[1, 0, 2, 1], 0.5], t([1, 2, 3, 3]))],
  "nn.ConstantPad3d": [runs([1, 0.5], t([1, 2, 3, 3, 2]))],
  "nn.CosineEmbeddingLoss": [runs([], t([4, 3]), t([4, 3]), t([4], { values: [1, -1, 1, 1] }))],
  "nn.EmbeddingBag": [runs([5, 3], whole([2, 4], 4))],
  "nn.Fold": [runs([[4, 3], 2], t([1, 4, 6]))],
  "nn.GRUCell": [runs([3, 4], t([2, 3]))],
  "nn.LPPool3d": [runs([2, 2], t([1, 2, 4, 4, 2]))],
  "nn.FractionalMaxPool2d": [runs([2, { outputSize: 2 }], t([1, 2, 5, 5]))],
  "nn.FractionalMaxPool3d": [runs([2, { outputSize: 2 }], t([1, 2, 5, 5, 4]))],
  "nn.LinearCrossEntropyLoss": [runs([4, 5], t([3, 4]), whole([3], 4))],
  "nn.LSTMCell": [runs([3, 4], t([2, 3]))],
  "nn.MaxPool3d": [runs([2], t([1, 2, 4, 4, 2]))],
  "nn.MaxUnpool1d": [runs([2], t([1, 2, 3]), whole([1, 2, 3], 5))],
  "nn.MaxUnpool2d": [runs([2], t([1, 2, 2, 2]), whole([1, 2, 2, 2], 15))],
  "nn.MultiLabelMarginLoss": [runs([], t([2, 4]), whole([2, 4], 3))],
  "nn.MaxUnpool3d": [runs([2], t([1, 1, 1, 2, 1]), whole([1, 1, 1, 2, 1], 15))],
  "nn.ModuleDict": [call({ a: layer, b: layer })],
  "nn.ModuleList": [call([layer, layer])],
  "nn.MultiheadAttention": [runs([4, 2], t([3, 2, 4]), t([5, 2, 4]), t([5, 2, 4]))],
  "nn.ParameterDict": [call({ a: made("nn.Parameter", t([2])) })],
  "nn.ParameterList": [call([made("nn.Parameter", t([2]))])],
  "nn.RNNCell": [runs([3, 4], t([2, 3]))],
  "nn.ReflectionPad1d": [runs([1], t([1, 3]))],
  "nn.ReflectionPad2d": [runs([1], t([1, 1, 3, 2]))],
  "nn.ReflectionPad3d": [runs([1], t([1, 1, 3, 2, 3]))],
  "nn.Sequential": [runs([layer, made("nn.ReLU")], t([4, 3]))],
  "nn.Threshold": [runs([0.1, 20], t([5]))],
  "nn.Transformer": [
    runs(
      [4, 2, { numEncoderLayers: 1, numDecoderLayers: 1, ...small }],
      t([3, 1, 4]),
      t([2, 1, 4]),
    ),
  ],
  "nn.TransformerDecoder": [runs([decoder, 1], t([3, 1, 4]), t([2, 1, 4]))],
  "nn.TransformerDecoderLayer": [runs([4, 2, small], t([3, 1, 4]), t([2, 1, 4]))],
  "nn.TransformerEncoder": [runs([encoder, 2], t([3, 1, 4]))],
  "nn.TransformerEncoderLayer": [runs([4, 2, small], t([3, 1, 4]))],
  "nn.Unflatten": [runs([1, [2, 2]], t([3, 4]))],
  "nn.Upsample": [runs([{ scaleFactor: 2 }], t([1, 2, 3]))],
  "nn.UpsamplingBilinear2d": [runs([{ scaleFactor: 2 }], t([1, 2, 3, 2]))],
  "nn.UpsamplingNearest2d": [runs([{ size: [4, 5] }], t([1, 2, 3, 2]))],
  "nn.init.calculateGain": [call("relu"), call("leaky_relu", 0.2)],
  "nn.init.sparse_": [call(t([4, 3]), 0.5)],
  "nn.utils.clipGradsWithNorm_": [call(parameters, 1, t([]))],
  "nn.utils.fuseConvBnEval": [
    call(evaluated("nn.Conv2d", 2, 3, 2), evaluated("nn.BatchNorm2d", 3)),
  ],
  "nn.utils.fuseConvBnWeights": [call(t([3, 2, 2, 2]), t([3]), ...statistics)],
  "nn.utils.fuseLinearBnEval": [
    call(evaluated("nn.Linear", 2, 3), evaluated("nn.BatchNorm1d", 3)),
  ],
  "nn.utils.fuseLinearBnWeights": [call(t([3, 2]), t([3]), ...statistics)],
  "nn.utils.parametrize.registerParametrization": [call(layer, "weight", made("nn.Identity"))],
  "nn.utils.parametrize.removeParametrizations": [
    call(made("nn.utils.parametrizations.weightNorm", layer), "weight"),
  ],
  [prune("customFromMask")]: [call(layer, "weight", t([2, 3], { low: 0, high: 1 }))],
  [prune("globalUnstructured")]: [
    call([[layer, "weight"]], arg({ is: "export", name: prune("l1Unstructured") }), { amount: 2 }),
  ],
  [prune("identity")]: [call(layer, "weight")],
  [prune("isPruned")]: [call(layer)],
  [prune("l1Unstructured")]: [call(layer, "weight", 2), call(layer, "bias", 0.5)],
  [prune("lnStructured")]: [call(layer, "weight", 1, 2, 0)],
  [prune("randomStructured")]: [call(layer, "weight", 1, 1)],
  [prune("randomUnstructured")]: [call(layer, "weight", 0.5)],
  [prune("remove")]: [call(made(prune("identity"), layer, "weight"), "weight")],
  "nn.utils.removeSpectralNorm": [call(made("nn.utils.spectralNorm", layer))],
  "nn.utils.removeWeightNorm": [call(made("nn.utils.weightNorm", layer))],
  [rnn("packPaddedSequence")]: [call(t([3, 2, 4]), [3, 2])],
  [rnn("packSequence")]: [call([t([3, 2]), t([2, 2])])],
  [rnn("padPackedSequence")]: [call(packed)],
  [rnn("padSequence")]: [call([t([3, 2]), t([2, 2])], { batchFirst: true })],
  [rnn("unpackSequence")]: [call(packed)],
  [rnn("unpadSequence")]: [call(t([3, 2]), t([2], { dtype: "int64", values: [3, 2] }))],
  "nn.utils.vectorToParameters": [call(t([9]), parameters)],
  "optim.Muon": [call(matrices, { lr: 0.1 })],
  "optim.SparseAdam": [call(matrices, { lr: 0.1 })],
  "optim.lrScheduler.ChainedScheduler": [call([scheduler(), scheduler()])],
  "optim.lrScheduler.OneCycleLR": [call(optimizer, 0.1, { totalSteps: 10 })],
  "optim.lrScheduler.SequentialLR": [call(optimizer, [scheduler(), scheduler()], [2])],
  "optim.swaUtils.AveragedModel": [runs([layer], t([2, 3]))],
  "optim.swaUtils.updateBn": [
    call([t([4, 3])], made("nn.Sequential", layer, made("nn.BatchNorm1d", 2))),
  ],
  setRngState: [call({ seed: "7", offset: 3 })],
  "Tensor.copy_": [call(t([2, 3]), t([3]))],
  "Tensor.set": [call(t([2, 3]), [0], 1)],
  "Tensor.newEmpty": [call(t([2]), [2, 3])],
  "Tensor.newEmptyStrided": [call(t([2]), [2, 3], [1, 2])],
  "Tensor.newFull": [call(t([2]), [2, 3], 4)],
  "Tensor.newOnes": [call(t([2]), [2, 3])],
  "Tensor.newZeros": [call(t([2]), [2, 3])],
  "Tensor.geometric_": [call(t([4]), 0.5)],
  "Tensor.random_": [call(t([4]), 0, 9)],
  "Tensor.where": [call(t([3]), t([3], { dtype: "bool", low: 0, high: 1 }), t([3]))],
  "Tensor.sumToSize": [call(t([2, 3]), [1, 3])],
};
