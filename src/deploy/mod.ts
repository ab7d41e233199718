/**
 * Trained models in use.
 *
 * @module
 */
import "../methods.ts";

export {
  type BatchPredictOptions,
  type Input,
  ModelDeployment,
  type ModelDeploymentOptions,
  type Output,
} from "./model_deployment.ts";
export { quantizeDynamic, type QuantizeDynamicOptions } from "./quantize.ts";
