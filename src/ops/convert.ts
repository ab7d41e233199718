/**
 * The element type or device of a tensor changed: `to` and its short forms. Methods only, as in PyTorch.
 *
 * @module
 */
import { type DType, dtypeInfo, DTYPES } from "../dtype.ts";
import { ArgumentError, DeviceError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { Tensor } from "../tensor.ts";
import { deviceNumber } from "./creation.ts";
import { cast } from "./map.ts";
import { requireCuda } from "../cuda.ts";
import { moved, pinned } from "./transfer.ts";
import { clone } from "./view.ts";

/** What `to` takes by name. */
export interface ToOptions {
  /** The element type; default: the tensor's. */
  dtype?: DType | null;
  /** The device; default: the tensor's. */
  device?: string | null;
  /** A copy even where nothing changes. */
  copy?: boolean;
  /**
   * Between a CUDA device and pinned memory (`pinMemory`) nobody waits: the tensor must not be changed before the device
   * has read it, and what comes back to the CPU is waited for when its values are read. Other copies to a device wait for
   * nothing in any case. Default false.
   */
  nonBlocking?: boolean;
}

const OPTIONS = ["dtype", "device", "copy", "nonBlocking"] as const;

/**
 * The tensor in another dtype or on another device, both taken from another tensor if one is given; the same tensor
 * when it is so already. Floats become integers by dropping the fraction.
 *
 * Errors: ArgumentError for a name that is neither dtype nor device, DeviceError for a device that is not there.
 */
export function to(
  x: Tensor,
  target: DType | string | Tensor | ToOptions | null = null,
  ...rest: readonly (DType | boolean | ToOptions | null | undefined)[]
): Tensor {
  // After a device its dtype may stand; then, as in PyTorch, nonBlocking and copy.
  const flags = rest.filter((r) => typeof r === "boolean");
  const options = rest.find((r) => typeof r === "object" && r !== null) as ToOptions | undefined;
  const second = rest.find((r) => typeof r === "string") as DType | undefined;
  let { dtype = second ?? null, device = null, copy = flags[1], nonBlocking = flags[0] } =
    options ?? {};
  if (target instanceof Tensor) [dtype, device] = [target.dtype, target.device];
  else if (typeof target === "string" && Object.hasOwn(DTYPES, target)) dtype = target as DType;
  else if (typeof target === "string") device = target;
  else if (target !== null && typeof target === "object") {
    ({ dtype = null, device = null, copy = false, nonBlocking = false } = optionsOf(
      "to",
      target,
      OPTIONS,
    ));
  } else if (target !== null) {
    throw new ArgumentError(`Cannot to ${show(target)}: it is no dtype, device or tensor`, {
      op: "to",
    });
  }
  if (device !== null && !/^(cpu|cuda(:\d+)?)$/.test(String(device))) {
    throw new ArgumentError(
      `Cannot to ${show(device)}: it is neither a dtype (${
        Object.keys(DTYPES).join(", ")
      }) nor a device`,
      { op: "to" },
    );
  }
  const place = device === null ? x.storage.device : deviceNumber(device, "to");
  const result = moved(
    dtype === null ? x : cast(x, dtypeInfo(dtype, "to").name),
    place,
    nonBlocking,
  );
  return copy && result === x ? clone(x) : result;
}

/** The tensor in another's dtype. */
export function typeAs(x: Tensor, other: Tensor): Tensor {
  if (!(other instanceof Tensor)) {
    throw new ArgumentError(`Cannot typeAs ${show(other)}: it must be a tensor`, { op: "typeAs" });
  }
  return cast(x, other.dtype);
}

/**
 * The elements in pinned memory, which `to(device, { nonBlocking: true })` copies from while the process goes on; the same
 * tensor when they lie there already. Pinned memory is kept for reuse, in no budget.
 *
 * Errors: DeviceError for a tensor that does not lie on the CPU, or where there is no CUDA.
 */
export function pinMemory(x: Tensor): Tensor {
  if (x.storage.device !== 0) {
    throw new DeviceError(`Cannot pinMemory a tensor on ${x.device}: it must lie on the CPU`, {
      op: "pinMemory",
    });
  }
  requireCuda("pinMemory", 0, "the CPU");
  return pinned(x);
}

/** Whether the elements lie in pinned memory. */
export function isPinned(x: Tensor): boolean {
  return x.storage.isPinned;
}
