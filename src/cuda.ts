/**
 * CUDA devices: which there are or why there are none, waiting for them, what their memory is used for. No GPU has
 * confirmed the backend yet: its kernels are tested on an emulator (docs/cuda.md).
 *
 * @module
 */
import * as native from "../ffi/library.ts";
import { ArgumentError, DeviceError, show } from "./errors.ts";

/** What is known of a device. */
export interface CudaDevice {
  /** As the driver calls it. */
  readonly name: string;
  /** Its memory in bytes. */
  readonly bytes: number;
  /** Compute capability, as `"9.0"`. */
  readonly capability: string;
  /** Streaming multiprocessors. */
  readonly processors: number;
}

/** What there is of CUDA on this machine. */
export interface CudaFacts {
  /** Why it cannot be used; null when it can. */
  readonly reason: string | null;
  /** The CUDA version that the driver is for; null where there is no driver. */
  readonly driver: string | null;
  /** The oldest driver that Toro takes. */
  readonly minimumDriver: string;
  /** What kernels the library has. */
  readonly kernels: string;
  /** The devices that can be used. */
  readonly devices: readonly CudaDevice[];
}

let known: CudaFacts | null = null;

/** Driver, devices and kernels. Looked for once; opens the driver library. */
export function facts(): CudaFacts {
  return known ??= native.job("cuda").json as CudaFacts;
}

/** Why CUDA cannot be used; null when it can. */
export function unavailableReason(): string | null {
  try {
    return facts().reason;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Whether tensors can be made on `"cuda"`. */
export function isAvailable(): boolean {
  return unavailableReason() === null;
}

/** How many CUDA devices there are. */
export function deviceCount(): number {
  return isAvailable() ? facts().devices.length : 0;
}

/** What a device is called. */
export function deviceName(device: string | number = 0): string {
  return facts().devices[ordinalOf(device, "deviceName")].name;
}

/** The number of a CUDA device that a name or number means. */
function ordinalOf(device: string | number, op: string): number {
  const named = typeof device === "string" ? /^cuda(?::(\d+))?$/.exec(device) : null;
  const ordinal = typeof device === "number" ? device : named === null ? -1 : Number(named[1] ?? 0);
  if (!Number.isInteger(ordinal) || ordinal < 0) {
    throw new ArgumentError(`Cannot ${op} ${show(device)}: a device is "cuda", "cuda:1" or 1`, {
      op,
    });
  }
  requireCuda(op, ordinal, show(device));
  return ordinal;
}

/** Fails unless a CUDA device is there. */
export function requireCuda(op: string, ordinal: number, name: string): void {
  const reason = unavailableReason();
  if (reason !== null) throw new DeviceError(`Cannot ${op} on ${name}: ${reason}`, { op });
  const count = deviceCount();
  if (ordinal >= count) {
    throw new DeviceError(
      `Cannot ${op} on ${name}: there ${count === 1 ? "is 1 device" : `are ${count} devices`}`,
      { op },
    );
  }
}

/**
 * Waits for all work of a device, of all devices in use where none is given. Errors that kernels found on the way, as an
 * index out of range, are thrown here, or when a value is read.
 */
export function synchronize(device: string | number | null = null): void {
  if (device !== null) native.option("synchronize", 1 + ordinalOf(device, "synchronize"));
  else if (isAvailable()) {
    for (const { device: used } of usage()) native.option("synchronize", 1 + used);
  }
}

/** What a device's memory is used for, in bytes. */
export interface CudaMemory {
  /** In tensors, and in scratch space of kernels. */
  liveBytes: number;
  /** Kept for reuse; `emptyCache()` gives it back. */
  cachedBytes: number;
  /** The most that was live at once; `resetPeakMemory()` starts it anew. */
  peakBytes: number;
  /** What the device has. */
  totalBytes: number;
}

function usage(): (CudaMemory & { device: number })[] {
  return native.job("cuda_memory").json as (CudaMemory & { device: number })[];
}

/** What a device's memory is used for. */
export function memory(device: string | number = 0): CudaMemory {
  const ordinal = ordinalOf(device, "memory");
  const { liveBytes, cachedBytes, peakBytes, totalBytes } =
    usage().find((u) => u.device === ordinal) ?? {
      liveBytes: 0,
      cachedBytes: 0,
      peakBytes: 0,
      totalBytes: facts().devices[ordinal].bytes,
    };
  return { liveBytes, cachedBytes, peakBytes, totalBytes };
}
