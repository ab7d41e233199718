/**
 * Modules: layers, containers, losses, initial values.
 *
 * @module
 */
import "../methods.ts";

export { Parameter, type ParameterOptions } from "./parameter.ts";
export { Buffer, type BufferOptions } from "./parameter.ts";
export {
  type LoadReport,
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
export { Embedding, type EmbeddingOptions } from "./sparse.ts";
export { BatchNorm1d, type BatchNormOptions, LayerNorm, type LayerNormOptions } from "./norm.ts";
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
export {
  LinearCrossEntropyLoss,
  type LinearCrossEntropyLossOptions,
} from "./linear_cross_entropy.ts";
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
export * as functional from "./functional.ts";
export * as init from "./init.ts";
export * as utils from "./utils.ts";
export * as quantized from "./quantized/mod.ts";
