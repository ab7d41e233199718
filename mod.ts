/**
 * Toro: tensors, autograd, layers and training for Deno, with native kernels.
 *
 * @module
 */
import "./src/methods.ts";

export * from "./src/errors.ts";
export {
  type DType,
  type Float,
  float,
  getDefaultDtype,
  type Scalar,
  setDefaultDtype,
  type TypedArray,
} from "./src/dtype.ts";
export { type NestedBigints, type NestedNumbers, Tensor } from "./src/tensor.ts";
export {
  emptyCache,
  memory,
  type MemoryStats,
  type ProcessMemory,
  processMemory,
  resetPeakMemory,
  setMemoryLimit,
} from "./src/memory.ts";
export {
  enableGrad,
  type GradHook,
  isGradEnabled,
  noGrad,
  noGrad as inferenceMode,
  setGradEnabled,
} from "./src/autograd.ts";
export { type BackwardOptions, grad, type GradOptions } from "./src/backward.ts";
export * as autograd from "./src/autograd/mod.ts";
export {
  autocast,
  type AutocastOptions,
  getAutocastDtype,
  isAutocastEnabled,
} from "./src/autocast.ts";
export * as amp from "./src/amp/mod.ts";
export * as utils from "./src/utils/mod.ts";
export { type Scope, scope } from "./src/scope.ts";
export {
  getRngState,
  initialSeed,
  manualSeed,
  type RngState,
  seed,
  setRngState,
} from "./src/random.ts";
export * as cuda from "./src/cuda.ts";
export { type Index, Slice, slice } from "./src/slice.ts";
export * from "./src/ops/mod.ts";
export * as linalg from "./src/linalg.ts";
export * as special from "./src/special.ts";
export * as nn from "./src/nn/mod.ts";
export * as F from "./src/nn/functional.ts";
export * as data from "./src/data/mod.ts";
export * as checkpoint from "./src/checkpoint/mod.ts";
export * as optim from "./src/optim/mod.ts";
export * as monitor from "./src/monitor/mod.ts";
export * as deploy from "./src/deploy/mod.ts";
