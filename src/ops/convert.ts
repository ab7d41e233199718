/**
 * The element type or device of a tensor changed: `to` and its short forms. Methods only, as in PyTorch.
 *
 * @module
 */
import { type DType, dtypeInfo, DTYPES } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { Tensor } from "../tensor.ts";
import { deviceNumber } from "./creation.ts";
import { cast, moved } from "./map.ts";
import { clone } from "./view.ts";

/** What `to` takes by name. */
export interface ToOptions {
  /** The element type; default: the tensor's. */
  dtype?: DType | null;
  /** The device; default: the tensor's. */
  device?: string | null;
  /** A copy even where nothing changes. */
  copy?: boolean;
  /** Accepted for PyTorch's sake: copies between devices are ordered anyway. */
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
  let { dtype = second ?? null, device = null, copy = flags[1] ?? false } = options ?? {};
  if (target instanceof Tensor) [dtype, device] = [target.dtype, target.device];
  else if (typeof target === "string" && Object.hasOwn(DTYPES, target)) dtype = target as DType;
  else if (typeof target === "string") device = target;
  else if (target !== null && typeof target === "object") {
    ({ dtype = null, device = null, copy = false } = optionsOf("to", target, OPTIONS));
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
  const result = moved(dtype === null ? x : cast(x, dtypeInfo(dtype, "to").name), place);
  return copy && result === x ? clone(x) : result;
}

/** The tensor in another's dtype. */
export function typeAs(x: Tensor, other: Tensor): Tensor {
  if (!(other instanceof Tensor)) {
    throw new ArgumentError(`Cannot typeAs ${show(other)}: it must be a tensor`, { op: "typeAs" });
  }
  return cast(x, other.dtype);
}
