/**
 * Learning-rate schedulers: `new optim.lrScheduler.CosineAnnealingLR(optimizer, 100)`.
 *
 * @module
 */
export {
  ConstantLR,
  type ConstantOptions,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  type LinearOptions,
  type LRLambda,
  LRScheduler,
  MultiplicativeLR,
  MultiStepLR,
  PolynomialLR,
  type PolynomialOptions,
  type SchedulerOptions,
  type SchedulerState,
  StepLR,
  type StepOptions,
} from "./scheduler.ts";
export {
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  type CosineOptions,
  CyclicLR,
  type CyclicOptions,
  OneCycleLR,
  type OneCycleOptions,
  type WarmRestartsOptions,
} from "./cyclic.ts";
export {
  ChainedScheduler,
  type PlateauOptions,
  ReduceLROnPlateau,
  SequentialLR,
} from "./composite.ts";
