/**
 * CUDA devices: which there are or why there are none, waiting for them, what their memory is used for. No GPU has
 * confirmed the backend yet: its kernels are tested on an emulator (docs/cuda.md).
 *
 * @module
 */
import * as native from "../ffi/library.ts";
import { ArgumentError, DeviceError, show } from "./errors.ts";
import { optionsOf } from "./options.ts";

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

/** A library of NVIDIA's that is used where it is found; without it the own kernels do its work. */
export interface CudaLibrary {
  /** As NVIDIA calls it. */
  readonly name: string;
  /** As `"9.28.1"`; null where it is not used. */
  readonly version: string | null;
  /** Why it is not used; null where it is. */
  readonly reason: string | null;
}

/**
 * cuBLASLt, cuDNN, its attention, and NVRTC, which cuDNN compiles with: their versions, or why they are not used. Opens
 * them; needs no device.
 */
export function libraries(): CudaLibrary[] {
  return native.job("cuda_libraries").json as CudaLibrary[];
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
  /** The most that was live and cached together, which is what the driver gave; starts anew with `peakBytes`. */
  reservedPeakBytes: number;
  /** Blocks that were asked of the driver since the start: a loop in its steady state asks for none. */
  allocations: number;
  /** Pinned memory of the process, for all devices together. */
  pinnedBytes: number;
  /** What the device has. */
  totalBytes: number;
}

function usage(): (CudaMemory & { device: number })[] {
  return native.job("cuda_memory").json as (CudaMemory & { device: number })[];
}

/** What a device's memory is used for. */
export function memory(device: string | number = 0): CudaMemory {
  const ordinal = ordinalOf(device, "memory");
  const found = usage().find((u) => u.device === ordinal);
  const nothing = { liveBytes: 0, cachedBytes: 0, peakBytes: 0, reservedPeakBytes: 0 };
  const { device: _, ...memory } = found ?? {
    ...nothing,
    device: ordinal,
    allocations: 0,
    pinnedBytes: 0,
    totalBytes: facts().devices[ordinal].bytes,
  };
  return memory;
}

/** How exactly float32 is multiplied on CUDA, in products of matrices and in convolutions. */
export type Float32MatmulPrecision = "highest" | "high";

/** What `setFloat32MatmulPrecision` set. */
export function getFloat32MatmulPrecision(): Float32MatmulPrecision {
  return native.option("tf32") === 1 ? "high" : "highest";
}

/**
 * How exactly cuBLASLt multiplies float32 matrices, and cuDNN convolves: `"highest"`, the default, in float32; `"high"` with
 * factors rounded to TF32, which has 10 bits behind the point, several times faster. The own kernels always use float32.
 *
 * Errors: ArgumentError for another word.
 */
export function setFloat32MatmulPrecision(precision: Float32MatmulPrecision): void {
  if (precision !== "highest" && precision !== "high") {
    throw new ArgumentError(
      `Cannot setFloat32MatmulPrecision ${show(precision)}: it takes "highest" or "high"`,
      { op: "setFloat32MatmulPrecision" },
    );
  }
  native.option("tf32", precision === "high" ? 1 : 0);
}

/** Options of `Event`. */
export interface EventOptions {
  /** Whether times between this event and others are wanted; default false. */
  enableTiming?: boolean;
}

/**
 * A place in a device's work: what was asked for before `record` lies before it. Nothing waits for an event unless it is
 * told to, so two of them time what the device does without holding it up.
 *
 * Errors: DeviceError where there is no CUDA, or where an event that was not recorded is asked for something.
 *
 * ```ts ignore
 * const start = new cuda.Event({ enableTiming: true }), end = new cuda.Event({ enableTiming: true });
 * start.record();
 * model.forward(x);
 * end.record();
 * end.synchronize();
 * console.log(start.elapsedTime(end), "ms");
 * ```
 */
export class Event {
  readonly #hasTime: boolean;
  #number: number | null = null;

  /** An event that is still to be recorded. */
  constructor(options: EventOptions = {}) {
    const { enableTiming = false } = optionsOf("Event", options, ["enableTiming"]);
    this.#hasTime = enableTiming;
  }

  /** Marks the place behind all work of a device so far; an earlier mark is forgotten. */
  record(device: string | number = 0): void {
    const ordinal = ordinalOf(device, "record");
    this.#forget();
    this.#number = native.option("recordEvent", 2 * (1 + ordinal) + (this.#hasTime ? 1 : 0));
    recorded.register(this, this.#number, this);
  }

  /** Whether the device has come so far. An event that was never recorded has nothing to wait for. */
  query(): boolean {
    return this.#number === null || native.option("queryEvent", this.#number) === 1;
  }

  /** Waits until the device has come so far. */
  synchronize(): void {
    if (this.#number !== null) native.option("waitEvent", this.#number);
  }

  /** Milliseconds of the device from this event to a later one, to both of which it has come. */
  elapsedTime(endEvent: Event): number {
    if (!(endEvent instanceof Event)) {
      throw new ArgumentError(`Cannot elapsedTime to ${show(endEvent)}: it must be an Event`, {
        op: "elapsedTime",
      });
    }
    const numbers = [this, endEvent].map((event) => {
      if (event.#hasTime && event.#number !== null) return event.#number;
      const why = event.#hasTime ? "was not recorded" : "was made without enableTiming";
      const which = event === this ? "the first event" : "endEvent";
      throw new DeviceError(`Cannot elapsedTime: ${which} ${why}`, { op: "elapsedTime" });
    });
    return native.option("elapsed", numbers[0] * 2 ** 26 + numbers[1]);
  }

  #forget(): void {
    if (this.#number === null) return;
    recorded.unregister(this);
    native.option("freeEvent", this.#number);
    this.#number = null;
  }
}

/** Frees what was recorded for events that nobody has any more. */
const recorded: FinalizationRegistry<number> = new FinalizationRegistry((number) =>
  void native.option("freeEvent", number)
);
