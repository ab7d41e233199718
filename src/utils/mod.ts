/**
 * Tools around training: `utils.checkpoint` trades time for memory.
 *
 * @module
 */
export * as checkpoint from "./checkpoint.ts";
