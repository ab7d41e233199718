/**
 * Mixed precision: `autocast` and the scaling of losses.
 *
 * @module
 */
import "../methods.ts";

export { autocast, type AutocastOptions } from "../autocast.ts";
export { GradScaler, type GradScalerOptions, type GradScalerState } from "./grad_scaler.ts";
