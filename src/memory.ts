/**
 * Storages: native blocks, small ones shared, and what is said of them. Nobody has to free anything; when and how
 * blocks that nobody can reach are found is collection.ts.
 *
 * @module
 */
import * as native from "../ffi/library.ts";
import { collect, GARBAGE, letGo, makeRoom, release, stats, warmUp, watch } from "./collection.ts";
import { facts } from "./cuda.ts";
import { ArgumentError, DisposedError, show } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/** A native storage; freed when this object is collected, or at once by `release`. */
export class Block {
  /** The native handle; -1 once released. */
  handle: number;
  /** Its size, as far as it is a reason to collect. */
  readonly bytes: number;
  /** Whether it lies on a device. */
  readonly isOnDevice: boolean;
  constructor(handle: number, bytes: number, isOnDevice = false) {
    this.handle = handle;
    this.bytes = bytes;
    this.isOnDevice = isOnDevice;
  }
}

/** Why a storage's bytes may not be used as they are: bits of `Storage.state`. */
export const DISPOSED = 1;
/** The bytes do not exist yet, or lag behind: `pending` makes them right. */
export const PENDING = 2;

/** Work that must be done before a storage's bytes may be read as a whole. */
export interface Pending {
  /** Makes the bytes right; afterwards the storage is ordinary, or pending again by the next step. */
  settle(storage: Storage): void;
  /** The storages that it works from, which must live as long as it does. */
  parts?(): readonly Storage[];
  /**
   * The tensor's elements, up to date, as contiguous copies of about so many bytes one after another, each of which the
   * next may overwrite; null where the tensor must be settled. The storage stays as it is.
   */
  pieces?(tensor: Tensor, bytes: number): Iterable<Tensor> | null;
}

/** The bytes that a tensor and its views share. */
export class Storage {
  /** The native block, which small storages share. */
  block: Block;
  /** Where the bytes start in the block: a multiple of 64. */
  byteOffset: number;
  /** How many bytes there are. */
  bytes: number;
  /** `"cpu"` or a CUDA device's number + 1. */
  readonly device: number;
  /** Counts in-place changes, so that backward can tell when a saved value is gone. */
  version = 0;
  /** 0 when the bytes may be used as they are. */
  state = 0;
  /** Outlives the scope that it was made in. */
  kept = false;
  /** Whether the bytes lie in pinned memory. */
  isPinned = false;
  /** What to do before the bytes are read, while `state` has PENDING. */
  pending: Pending | null = null;
  /** Storages that may wait for an op that reads this one. */
  readers: WeakRef<Storage>[] | null = null;

  constructor(block: Block, byteOffset: number, bytes: number, device: number) {
    this.block = block;
    this.byteOffset = byteOffset;
    this.bytes = bytes;
    this.device = device;
  }

  /** The native handle. */
  get handle(): number {
    return this.block.handle;
  }

  /** Makes the bytes usable, or says that they are gone. */
  settle(op: string): void {
    if (this.state & DISPOSED) {
      throw new DisposedError(`Cannot ${op} a tensor that was disposed`, { op });
    }
    this.pending?.settle(this);
  }

  /** Notes that another storage waits for an op that reads this one. */
  isReadBy(reader: Storage): void {
    let readers = this.readers ?? [];
    // What waits no more leaves its place when there are twice as many.
    if (readers.length >= 8 && (readers.length & (readers.length - 1)) === 0) {
      readers = readers.filter((ref) => isWaiting(ref.deref()));
    }
    readers.push(new WeakRef(reader));
    this.readers = readers;
  }

  /** Lets ops that read it run, before its bytes change or go. Where one finds no memory, all are still known. */
  beforeWrite(): void {
    for (const ref of this.readers ?? []) {
      const reader = ref.deref();
      if (isWaiting(reader)) reader.settle("run");
    }
    this.readers = null;
  }

  /** Takes the memory of another storage, which nobody else knows, for all tensors that share this one. */
  adopt({ block, byteOffset, bytes, isPinned }: Storage): void {
    if (this.readers !== null) this.beforeWrite();
    this.block = block;
    this.isPinned = isPinned;
    this.byteOffset = byteOffset;
    this.bytes = bytes;
    this.version++;
  }

  /** Ends the storage now. Small ones share a block, which lives until its last one is gone. */
  dispose(): void {
    if (this.state & DISPOSED) return;
    if (this.readers !== null) this.beforeWrite();
    this.state |= DISPOSED;
    this.pending = null;
    if (this.bytes > SMALL || this.device !== 0 || this.isPinned) release(this.block);
    this.block = GONE;
  }
}

const isWaiting = (storage: Storage | undefined): storage is Storage => storage?.state === PENDING;

const GONE = new Block(-1, 0);

/** Storages up to this size are carved out of shared slabs. */
const SMALL = 4096;
/** Small enough that a tensor kept for long pins little, large enough for a thousand 64-byte ones. */
const SLAB = 64 * 1024;
const EMPTY_DEVICE_SLAB = { block: GONE, used: SLAB };

/** The number that asks native for pinned memory of the process. */
const PINNED = 1 << 16;

let slab: { block: Block; used: number } = EMPTY_DEVICE_SLAB;
/** Slabs made so far, and how many a program makes that is no short script. */
let slabs = 0;
const WARM_SLABS = 8;

/** Garbage may mostly take this share of a device: to look for it takes a device of many bytes more than the ops took. */
const GARBAGE_SHARE = 1 / 64;
const worths: number[] = [];

/** How many bytes of a device weigh as much as one of the process's. */
function worthOf(device: number): number {
  const share = () => facts().devices[device - 1].bytes * GARBAGE_SHARE;
  return worths[device] ??= Math.max(1, share() / GARBAGE);
}

function newBlock(size: number, device: number): Block {
  const isOnDevice = device !== 0 && device !== PINNED;
  const bytes = isOnDevice ? size / worthOf(device) : size;
  makeRoom(bytes, isOnDevice);
  let handle = native.allocate(size, device);
  if (handle < 0) {
    // Past the budget: what nobody can reach any more may make room.
    collect("full");
    handle = native.allocate(size, device);
    if (handle < 0) throw native.failure(-handle);
  }
  const block = new Block(handle, bytes, isOnDevice);
  watch(block);
  return block;
}

/** A storage for a native handle that was made elsewhere, as of a mapped file, whose bytes count in no budget. */
export function adopt(handle: number, bytes: number): Storage {
  const block = new Block(handle, 0);
  watch(block);
  return new Storage(block, 0, bytes, 0);
}

/** Storages made since the innermost open scope began; null while none is open. */
let scoped: Storage[] | null = null;

/** Exchanges the list that new storages are noted in; for scope.ts and for what must outlive every scope. */
export function noteStorages(list: Storage[] | null): Storage[] | null {
  const before = scoped;
  scoped = list;
  return before;
}

/** Notes a new storage in the innermost open scope. */
export function noteStorage(storage: Storage): void {
  if (scoped !== null) scoped.push(storage);
}

/** Runs a function whose storages belong to no scope: parameters, optimiser state, what loaders and savers make. */
export function unscoped<T>(body: () => T): T {
  const before = noteStorages(null);
  try {
    return body();
  } finally {
    noteStorages(before);
  }
}

/** Bytes asked for so far, by which tests see that no operand is copied. */
export const requested: { bytes: number } = { bytes: 0 };

/** Makes a storage of so many bytes; their content is undefined. */
export function allocate(bytes: number, device: number): Storage {
  requested.bytes += bytes;
  const storage = make(bytes, device);
  noteStorage(storage);
  return storage;
}

/** A new storage in pinned memory, from and to which devices copy by themselves. */
export function allocatePinned(bytes: number): Storage {
  requested.bytes += bytes;
  const storage = new Storage(newBlock(Math.max(bytes, 1), PINNED), 0, bytes, 0);
  storage.isPinned = true;
  noteStorage(storage);
  return storage;
}

function make(bytes: number, device: number): Storage {
  if (bytes > SMALL) return new Storage(newBlock(bytes, device), 0, bytes, device);
  // A device's blocks have the size asked for, so that sanitizers see where they end.
  if (device !== 0) return new Storage(newBlock(Math.max(bytes, 1), device), 0, bytes, device);
  const room = bytes <= 64 ? 64 : Math.ceil(bytes / 64) * 64;
  if (slab.used + room > SLAB) {
    // A thousand tensors later: seldom enough, and often enough for V8 to find them young.
    letGo();
    if (++slabs === WARM_SLABS) warmUp();
    slab = { block: newBlock(SLAB, 0), used: 0 };
  }
  const storage = new Storage(slab.block, slab.used, bytes, 0);
  slab.used += room;
  return storage;
}

/** Frees now what nobody can reach any more. */
export function collectGarbage(): void {
  collect("full");
}

/** What memory is used for, in bytes. */
export interface MemoryStats {
  /** In storages, and in scratch space of running kernels. */
  liveBytes: number;
  /** Kept for reuse. */
  cachedBytes: number;
  /** The most that was live at once. */
  peakBytes: number;
  /** The limit past which allocation fails. */
  budgetBytes: number;
  /** Native storages. */
  handles: number;
  /** Collections so far, of the young generation or of all. */
  collections: number;
  /** Those of all. */
  fullCollections: number;
  /** Milliseconds that they took. */
  collectionMs: number;
}

/** Live, cached and peak bytes, handles and collections. Works everywhere, costs a microsecond. */
export function memory(): MemoryStats {
  return { ...native.nativeMemory(), ...stats };
}

/** Sets the budget in bytes past which allocation throws an OutOfMemoryError. */
export function setMemoryLimit(bytes: number): void {
  if (!Number.isInteger(bytes) || bytes <= 0) {
    throw new ArgumentError(
      `Cannot setMemoryLimit to ${show(bytes)}: it must be a whole number of bytes above 0`,
      {
        op: "setMemoryLimit",
      },
    );
  }
  native.option("budget", bytes);
}

/** Gives memory kept for reuse back to the system, after a collection. */
export function emptyCache(): void {
  collect("full");
  native.option("emptyCache", 0);
}

/** Starts the peak anew from what is live now. */
export function resetPeakMemory(): void {
  native.option("resetPeak", 0);
}

/** What the operating system says of the process, in bytes. */
export interface ProcessMemory {
  /** In physical memory now. */
  residentBytes: number;
  /** The most so far. */
  peakResidentBytes: number;
}

/** Resident memory of the process, now and at its peak. Needs no permission; costs some 50 µs. */
export function processMemory(): ProcessMemory {
  const { residentBytes, peakResidentBytes } = native.job("process").json as ProcessMemory;
  return { residentBytes, peakResidentBytes };
}
