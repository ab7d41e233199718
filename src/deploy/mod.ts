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
