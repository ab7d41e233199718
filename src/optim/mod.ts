/**
 * Optimisers and learning-rate schedulers.
 *
 * @module
 */
import "../methods.ts";

export { Adafactor, type AdafactorOptions } from "./adafactor.ts";
export { Adadelta, type AdadeltaOptions, Adagrad, type AdagradOptions } from "./adagrad.ts";
export { Adam, type AdamArguments, type AdamOptions } from "./adam.ts";
export {
  Adamax,
  type AdamVariantOptions,
  NAdam,
  type NAdamOptions,
  RAdam,
  type RAdamOptions,
  SparseAdam,
} from "./adam_variants.ts";
export { AdamW } from "./adamw.ts";
export { LBFGS, type LBFGSOptions } from "./lbfgs.ts";
export * as lrScheduler from "./lr_scheduler.ts";
export * as swaUtils from "./swa_utils.ts";
export { Muon, type MuonOptions } from "./muon.ts";
export {
  type GroupOptions,
  type HowOptions,
  Optimizer,
  type OptimizerState,
  type Parameters,
} from "./optimizer.ts";
export { ParamGroup } from "./param_group.ts";
export { RMSprop, type RMSpropOptions } from "./rmsprop.ts";
export { ASGD, type ASGDOptions, Rprop, type RpropOptions } from "./rprop.ts";
export { SGD, type SGDArguments, type SGDOptions } from "./sgd.ts";
