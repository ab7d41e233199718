/**
 * Modules: layers, containers, losses, initial values.
 *
 * @module
 */
import "../methods.ts";

export { Buffer, type BufferOptions, Parameter, type ParameterOptions } from "./parameter.ts";
export {
  type LoadReport,
  type LoadStateOptions,
  Module,
  type StateDict,
  type TensorModule,
  type ToOptions,
} from "./module.ts";
export { ModuleDict, ModuleList, Sequential } from "./containers.ts";
export {
  Bilinear,
  Flatten,
  type FlattenOptions,
  Identity,
  Linear,
  type LinearOptions,
  Unflatten,
} from "./linear.ts";
export {
  Conv1d,
  Conv2d,
  Conv3d,
  type ConvNdOptions,
  type ConvPaddingMode,
  ConvTranspose1d,
  ConvTranspose2d,
  ConvTranspose3d,
  type ConvTransposeNdOptions,
} from "./conv.ts";
export {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AdaptiveAvgPool3d,
  AdaptiveMaxPool1d,
  AdaptiveMaxPool2d,
  AdaptiveMaxPool3d,
  FractionalMaxPool2d,
  FractionalMaxPool3d,
  type FractionalMaxPoolModuleOptions,
} from "./adaptive_pooling.ts";
export {
  AvgPool1d,
  AvgPool2d,
  AvgPool3d,
  LPPool1d,
  LPPool2d,
  LPPool3d,
  MaxPool1d,
  MaxPool2d,
  MaxPool3d,
  type MaxPoolModuleOptions,
  MaxUnpool1d,
  MaxUnpool2d,
  MaxUnpool3d,
  type MaxUnpoolModuleOptions,
} from "./pooling.ts";
export {
  CircularPad1d,
  CircularPad2d,
  CircularPad3d,
  ConstantPad1d,
  ConstantPad2d,
  ConstantPad3d,
  type Pads,
  ReflectionPad1d,
  ReflectionPad2d,
  ReflectionPad3d,
  ReplicationPad1d,
  ReplicationPad2d,
  ReplicationPad3d,
  ZeroPad1d,
  ZeroPad2d,
  ZeroPad3d,
} from "./padding.ts";
export {
  ChannelShuffle,
  Fold,
  PixelShuffle,
  PixelUnshuffle,
  Unfold,
  Upsample,
  type UpsampleOptions,
  UpsamplingBilinear2d,
  UpsamplingNearest2d,
  type UpsamplingOptions,
} from "./vision.ts";
export {
  GroupNorm,
  type GroupNormOptions,
  LocalResponseNorm,
  RMSNorm,
  type RMSNormOptions,
} from "./group_norm.ts";
export {
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type InstanceNormNdOptions,
} from "./instance_norm.ts";
export {
  Embedding,
  EmbeddingBag,
  type EmbeddingBagForwardOptions,
  type EmbeddingBagOptions,
  type EmbeddingOptions,
} from "./sparse.ts";
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type BatchNormOptions,
  LayerNorm,
  type LayerNormOptions,
} from "./norm.ts";
export {
  GELU,
  type GELUOptions,
  GLU,
  type GLUOptions,
  LogSigmoid,
  Mish,
  Sigmoid,
  SiLU,
  Softplus,
  type SoftplusOptions,
  Softsign,
  Tanh,
  Tanhshrink,
} from "./activation.ts";
export {
  CELU,
  ELU,
  type ELUOptions,
  LeakyReLU,
  type LeakyReLUOptions,
  PReLU,
  type PReLUOptions,
  ReLU,
  ReLU6,
  RReLU,
  type RReLUOptions,
  SELU,
} from "./rectifiers.ts";
export {
  Hardshrink,
  Hardsigmoid,
  Hardswish,
  Hardtanh,
  type HardtanhOptions,
  type ShrinkOptions,
  Softshrink,
  Threshold,
} from "./thresholds.ts";
export { LogSoftmax, Softmax, Softmax2d, type SoftmaxOptions, Softmin } from "./softmax.ts";
export {
  AlphaDropout,
  Dropout,
  Dropout1d,
  Dropout2d,
  Dropout3d,
  type DropoutOptions,
  FeatureAlphaDropout,
} from "./dropout.ts";
export {
  BCELoss,
  BCEWithLogitsLoss,
  type BCEWithLogitsLossOptions,
  type ClassLossOptions,
  CrossEntropyLoss,
  type CrossEntropyLossOptions,
  HuberLoss,
  type HuberLossOptions,
  L1Loss,
  type LossOptions,
  MSELoss,
  NLLLoss,
  type Reduction,
  SmoothL1Loss,
  type SmoothL1LossOptions,
  type WeightedLossOptions,
} from "./loss.ts";
export { type AdaptiveLogSoftmaxOptions, AdaptiveLogSoftmaxWithLoss } from "./adaptive_softmax.ts";
export {
  LinearCrossEntropyLoss,
  type LinearCrossEntropyLossOptions,
} from "./linear_cross_entropy.ts";
export type { ModuleGradients } from "./hooks.ts";
export { ParameterDict, ParameterList } from "./parameter_containers.ts";
export {
  GaussianNLLLoss,
  type GaussianNLLLossOptions,
  KLDivLoss,
  type KLDivLossOptions,
  PoissonNLLLoss,
  type PoissonNLLLossOptions,
} from "./likelihood_loss.ts";
export {
  CosineEmbeddingLoss,
  CosineSimilarity,
  type CosineSimilarityOptions,
  HingeEmbeddingLoss,
  type MarginLossOptions,
  MarginRankingLoss,
  MultiLabelMarginLoss,
  MultiLabelSoftMarginLoss,
  MultiMarginLoss,
  type MultiMarginLossOptions,
  PairwiseDistance,
  type PairwiseDistanceOptions,
  SoftMarginLoss,
  TripletMarginLoss,
  type TripletMarginLossOptions,
  TripletMarginWithDistanceLoss,
  type TripletMarginWithDistanceLossOptions,
} from "./margin_loss.ts";
export { type FactoryOptions, type InplaceOptions } from "./options.ts";
export {
  MultiheadAttention,
  type MultiheadAttentionForwardOptions,
  type MultiheadAttentionOptions,
} from "./attention.ts";
export {
  type DecoderLayerForwardOptions,
  type EncoderLayerForwardOptions,
  type TransformerActivation,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from "./transformer_layer.ts";
export {
  type EncoderForwardOptions,
  Transformer,
  TransformerDecoder,
  TransformerEncoder,
  type TransformerEncoderOptions,
  type TransformerForwardOptions,
  type TransformerOptions,
} from "./transformer.ts";
export {
  GRU,
  LSTM,
  type LSTMOptions,
  type RecurrentOptions,
  RNN,
  RNNBase,
  type RNNOptions,
  type SequenceInput,
} from "./recurrent.ts";
export {
  type CellOptions,
  GRUCell,
  LSTMCell,
  RNNCell,
  RNNCellBase,
  type RNNCellOptions,
} from "./recurrent_cell.ts";
export * as functional from "./functional.ts";
export * as init from "./init.ts";
export * as utils from "./utils.ts";
export * as quantized from "./quantized/mod.ts";
