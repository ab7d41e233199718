/**
 * Gradients beyond `backward()`: derivatives of functions, ops of one's own, checks and debugging.
 *
 * @module
 */
import "../methods.ts";

export { backward, type BackwardOptions, grad, type GradOptions } from "../backward.ts";
export { type AnomalyOptions, detectAnomaly } from "./anomaly.ts";
export {
  Function,
  type FunctionContext,
  type FunctionGradients,
  onceDifferentiable,
} from "./function.ts";
export * as functional from "./functional.ts";
export {
  type DerivativeOptions,
  hessian,
  hvp,
  jacobian,
  jvp,
  type TensorFunction,
  type Tensors,
  vhp,
  vjp,
} from "./functional.ts";
export {
  type Differentiable,
  gradcheck,
  type GradcheckOptions,
  gradgradcheck,
} from "./gradcheck.ts";
