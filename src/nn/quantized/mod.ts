/**
 * Layers with integer weights, for models in use; `deploy.quantizeDynamic` puts them in place of float layers.
 *
 * @module
 */
import "../../methods.ts";

export * as dynamic from "./dynamic.ts";
