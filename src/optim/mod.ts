/**
 * Optimisers and learning-rate schedulers.
 *
 * @module
 */
import "../methods.ts";

export { Adam, type AdamArguments, type AdamOptions } from "./adam.ts";
export { AdamW } from "./adamw.ts";
export * as lrScheduler from "./lr_scheduler.ts";
export { type GroupOptions, Optimizer, type OptimizerState, type Parameters } from "./optimizer.ts";
export { ParamGroup } from "./param_group.ts";
export { SGD, type SGDArguments, type SGDOptions } from "./sgd.ts";
