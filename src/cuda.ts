/**
 * CUDA devices. This version has no CUDA backend: scripts that ask first run on the CPU.
 *
 * @module
 */

/** Why CUDA cannot be used; null when it can. */
export function unavailableReason(): string | null {
  return "this version of Toro is built without CUDA kernels";
}

/** Whether tensors can be made on `"cuda"`. */
export function isAvailable(): boolean {
  return unavailableReason() === null;
}

/** How many CUDA devices there are. */
export function deviceCount(): number {
  return 0;
}
