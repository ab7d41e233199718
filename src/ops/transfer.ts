/**
 * Tensors between devices, and in pinned memory, from and to which devices copy by themselves.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { option } from "../../ffi/library.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import type { DTypeInfo } from "../dtype.ts";
import { allocatePinned, PENDING, type Pending, type Storage } from "../memory.ts";
import { contiguousStrides, numelOf } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { copyOf, mapOut } from "./map.ts";

/**
 * The elements on another device; the same tensor when they are there already. With `nonBlocking` a device reads pinned
 * memory when it comes so far, and what comes back to the CPU is waited for when somebody reads it.
 */
export function moved(x: Tensor, device: number, nonBlocking = false): Tensor {
  const from = x.storage.device;
  if (device === from) return x;
  const dense = x.isContiguous() ? x : copyOf(x);
  const arrives = nonBlocking && device === 0 && x.numel > 0;
  const out = arrives ? emptyPinned(x.shape, x.info) : empty(x.shape, x.info, device);
  if (x.numel > 0) run("to", OP.transfer, [out], [dense], [nonBlocking ? 1 : 0]);
  if (arrives) out.storage.pending = new Arrival(out.storage, from);
  if (wants(x)) record("to", [x], [out], ([g]) => [g && moved(g, from)], []);
  return out;
}

/** The elements in pinned memory; the same tensor when they lie there already. */
export function pinned(x: Tensor): Tensor {
  if (x.storage.isPinned) return x;
  const out = emptyPinned(x.shape, x.info);
  if (x.numel > 0) mapOut("pinMemory", OP.copy, out, x, null, x.info);
  if (wants(x)) record("pinMemory", [x], [out], ([g]) => [g], []);
  return out;
}

function emptyPinned(shape: readonly number[], info: DTypeInfo): Tensor {
  const storage = allocatePinned(numelOf(shape) * info.size);
  return new Tensor(storage, info, shape, contiguousStrides(shape), 0);
}

/** Bytes that a device has still to write. */
class Arrival implements Pending {
  readonly #event: number;

  constructor(storage: Storage, device: number) {
    this.#event = option("recordEvent", 2 * device);
    storage.state |= PENDING;
    unread.register(storage, this.#event, this);
  }

  /** Waits for them. */
  settle(storage: Storage): void {
    storage.state &= ~PENDING;
    storage.pending = null;
    unread.unregister(this);
    try {
      option("waitEvent", this.#event);
    } finally {
      option("freeEvent", this.#event);
    }
  }
}

/** Frees the events of storages that nobody read. */
const unread: FinalizationRegistry<number> = new FinalizationRegistry((event) =>
  void option("freeEvent", event)
);
