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
export { Flatten, type FlattenOptions, Identity, Linear, type LinearOptions } from "./linear.ts";
export { Embedding, type EmbeddingOptions } from "./sparse.ts";
export { BatchNorm1d, type BatchNormOptions, LayerNorm, type LayerNormOptions } from "./norm.ts";
export {
  GELU,
  type GELUOptions,
  type InplaceOptions,
  LeakyReLU,
  type LeakyReLUOptions,
  ReLU,
  Sigmoid,
  SiLU,
  Softmax,
  type SoftmaxOptions,
  Tanh,
} from "./activation.ts";
export { Dropout, type DropoutOptions } from "./dropout.ts";
export {
  BCELoss,
  BCEWithLogitsLoss,
  type BCEWithLogitsLossOptions,
  type ClassLossOptions,
  CrossEntropyLoss,
  type CrossEntropyLossOptions,
  L1Loss,
  type LossOptions,
  MSELoss,
  NLLLoss,
  type Reduction,
  type WeightedLossOptions,
} from "./loss.ts";
export { type FactoryOptions } from "./options.ts";
export * as functional from "./functional.ts";
export * as init from "./init.ts";
export * as utils from "./utils.ts";
export * as quantized from "./quantized/mod.ts";
