/**
 * Storages and their collection. Nobody has to free anything: each native block is watched through a WeakRef, and
 * when enough was made since the last collection, the next allocation collects, in a synchronous loop too.
 *
 * @module
 */
import * as native from "../ffi/library.ts";
import { ArgumentError, DisposedError, show } from "./errors.ts";
import v8 from "node:v8";
import vm from "node:vm";

/** A native storage; freed when this object is collected, or at once by `release`. */
export class Block {
  /** The native handle; -1 once released. */
  handle: number;
  /** Its size. */
  readonly bytes: number;
  constructor(handle: number, bytes: number) {
    this.handle = handle;
    this.bytes = bytes;
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
}

/** The bytes that a tensor and its views share. */
export class Storage {
  /** The native block, which small storages share. */
  block: Block;
  /** Where the bytes start in the block: a multiple of 64. */
  byteOffset: number;
  /** How many bytes there are. */
  readonly bytes: number;
  /** `"cpu"` or a CUDA device's number + 1. */
  readonly device: number;
  /** Counts in-place changes, so that backward can tell when a saved value is gone. */
  version = 0;
  /** 0 when the bytes may be used as they are. */
  state = 0;
  /** Outlives the scope that it was made in. */
  kept = false;
  /** What to do before the bytes are read, while `state` has PENDING. */
  pending: Pending | null = null;

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

  /** Ends the storage now. Small ones share a block, which lives until its last one is gone. */
  dispose(): void {
    if (this.state & DISPOSED) return;
    this.state |= DISPOSED;
    this.pending = null;
    if (this.bytes > SMALL || this.device !== 0) release(this.block);
    this.block = GONE;
  }
}

const GONE = new Block(-1, 0);

/** Storages up to this size are carved out of shared slabs. */
const SMALL = 4096;
/** Small enough that a tensor kept for long pins little, large enough for a thousand 64-byte ones. */
const SLAB = 64 * 1024;
const EMPTY_DEVICE_SLAB = { block: GONE, used: SLAB };

let slab: { block: Block; used: number } = EMPTY_DEVICE_SLAB;

interface Watched {
  readonly ref: WeakRef<Block>;
  readonly handle: number;
  readonly bytes: number;
}

/** Blocks made since the last full collection but one that V8 may still find dead in its young generation. */
let young: Watched[] = [];
/** Where in `young` those begin that no young collection has seen yet. */
let unseen = 0;
/** Blocks that outlived two young collections: only a full one can find them dead. */
let old: Watched[] = [];
/** Bytes and handles made since the last collection of any kind. */
let madeBytes = 0;
let madeHandles = 0;
/** Bytes and handles that grew old since the last full collection. */
let agedBytes = 0;
let agedHandles = 0;

/** A young collection takes about a millisecond, so it comes often enough to keep the working set in the caches. */
const YOUNG_BYTES = 128 * 2 ** 20;
const YOUNG_HANDLES = 20_000;
/** Up to this size of V8's heap a full collection is cheap. */
const SMALL_HEAP = 64 * 2 ** 20;
const FULL_BYTES = 512 * 2 ** 20;
const FULL_HANDLES = 200_000;
/** Collections of a kind may take this share of the time before they are made rarer, up to so many times. */
const MOST_SHARE = { young: 0.025, full: 0.01 };
const MOST_RARE = { young: 8, full: 16 };
/** How much rarer than at best. */
const rarer = { young: 1, full: 1 };
/** Since when shares are counted, what collections took since, and how many they were. */
const shares = {
  young: { since: performance.now(), took: 0, count: 0 },
  full: { since: performance.now(), took: 0, count: 0 },
};
/** Collections in a shares: single ones vary too much, and a larger working set would never shrink again. */
const WINDOW = { young: 8, full: 1 };
/** The first time is later: short scripts then never collect, and later rounds stay under the memory of the first. */
let youngBytes = 3 * YOUNG_BYTES;
let youngHandles = YOUNG_HANDLES;
let fullBytes = FULL_BYTES;
let fullHandles = FULL_HANDLES;
let collections = 0;
let fullCollections = 0;
let collectionMs = 0;

function newBlock(bytes: number, device: number): Block {
  if (madeBytes + bytes > youngBytes || madeHandles >= youngHandles) {
    collect(agedBytes > fullBytes || agedHandles > fullHandles ? "full" : "young");
  }
  let handle = native.allocate(bytes, device);
  if (handle < 0) {
    // Past the budget: what nobody can reach any more may make room.
    collect("full");
    handle = native.allocate(bytes, device);
    if (handle < 0) throw native.failure(-handle);
  }
  const block = new Block(handle, bytes);
  young.push({ ref: new WeakRef(block), handle, bytes });
  finalizer?.register(block, handle, block);
  madeBytes += bytes;
  madeHandles++;
  return block;
}

/** Storages made since the innermost open scope began; null while none is open. */
let scoped: Storage[] | null = null;

/** Exchanges the list that new storages are noted in; for scope.ts and for what must outlive every scope. */
export function noteStorages(list: Storage[] | null): Storage[] | null {
  const before = scoped;
  scoped = list;
  return before;
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
  if (scoped !== null) scoped.push(storage);
  return storage;
}

function make(bytes: number, device: number): Storage {
  if (bytes > SMALL) return new Storage(newBlock(bytes, device), 0, bytes, device);
  const room = bytes <= 64 ? 64 : Math.ceil(bytes / 64) * 64;
  if (device !== 0) return new Storage(newBlock(room, device), 0, bytes, device);
  if (slab.used + room > SLAB) slab = { block: newBlock(SLAB, 0), used: 0 };
  const storage = new Storage(slab.block, slab.used, bytes, 0);
  slab.used += room;
  return storage;
}

function release(block: Block): void {
  if (block.handle < 0) return;
  native.free([block.handle]);
  // Its entry goes at the next collection, which knows it by the handle.
  released.add(block.handle);
  finalizer?.unregister(block);
  block.handle = -1;
}

const released = new Set<number>();

// ---- collection -----------------------------------------------------------------------------

interface Collector {
  /** Lets go of what the running job holds through WeakRefs, then collects everything. */
  full(): void;
  /** The same for the young generation only; false when V8 did not do it. */
  young(): boolean;
}

/** Keeps the engine from leaving out an allocation. */
const sink: unknown[] = [null];

/** `gc` without a flag or a permission: the vm module gives one out once V8 was told to expose it. */
function makeCollector(): Collector | null {
  try {
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    if (typeof gc !== "function") return null;
    // A script that ends with its own microtask queue also ends the job's hold on WeakRefs.
    const context = vm.createContext({}, { microtaskMode: "afterEvaluate" });
    const empty = new vm.Script("0");
    const letGo = () => empty.runInContext(context);
    const probe = () => new WeakRef({});
    return {
      full: () => {
        letGo();
        gc();
      },
      // V8 clears WeakRefs to young objects when it runs out of room for young ones, which takes a fraction of a
      // millisecond however large the heap is. So: make it run out, and see by a probe that it did.
      young: () => {
        const dead = probe();
        letGo();
        for (let i = 0; i < 64; i++) {
          for (let k = 0; k < 8; k++) sink[0] = new Array(8192);
          const gone = dead.deref() === undefined;
          if (gone) return true;
          letGo();
        }
        return false;
      },
    };
  } catch {
    return null;
  }
}

let collector: Collector | null | undefined;
let finalizer: FinalizationRegistry<number> | null = null;

/**
 * Chooses how dead blocks are found: `"vm"` collects in any code, `"finalizer"` waits for the engine's own
 * collections and for a macrotask, and is there for a runtime in which the first way is closed.
 */
export function chooseCollector(kind: "vm" | "finalizer"): void {
  if (kind === "vm") {
    collector = makeCollector();
    if (collector !== null) return;
  }
  collector = null;
  finalizer ??= new FinalizationRegistry((handle) => {
    native.free([handle]);
    released.add(handle);
  });
  for (const { ref, handle } of [...old, ...young]) {
    const block = ref.deref();
    if (block !== undefined) finalizer.register(block, handle, block);
  }
}

/** Splits entries into live ones, which it returns, and dead ones, whose handles it notes. */
function sift(entries: readonly Watched[], dead: number[]): Watched[] {
  return entries.filter((entry) => {
    if (released.delete(entry.handle)) return false;
    if (entry.ref.deref() !== undefined) return true;
    // With a finalizer at work, its callback frees the block.
    if (finalizer === null) dead.push(entry.handle);
    return false;
  });
}

const sum = (entries: readonly Watched[]): number => entries.reduce((n, e) => n + e.bytes, 0);

function collect(kind: "young" | "full"): void {
  if (collector === undefined) chooseCollector("vm");
  const start = performance.now();
  // V8 keeps WeakRefs strong while it marks the old generation. On a small heap a full collection takes a few
  // milliseconds and ends that; on a large one a later young collection will do.
  let missed = kind === "young" && collector !== null && !collector!.young();
  if (missed && v8.getHeapStatistics().used_heap_size < SMALL_HEAP) {
    missed = false;
    kind = "full";
  }
  if (kind === "full") collector?.full();
  const dead: number[] = [];
  const seen = sift(young.slice(0, unseen), dead), fresh = sift(young.slice(unseen), dead);
  if (missed) {
    young = seen.concat(fresh);
    agedBytes += madeBytes / 8;
    agedHandles += madeHandles / 8;
  } else if (kind === "young") {
    // What was seen alive before is promoted by V8 now.
    for (const entry of seen) old.push(entry);
    agedBytes += sum(seen);
    agedHandles += seen.length;
    young = fresh;
  } else {
    old = sift(old, dead);
    for (const entry of seen) old.push(entry);
    for (const entry of fresh) old.push(entry);
    young = [];
    agedBytes = 0;
    agedHandles = 0;
    released.clear();
    fullCollections++;
  }
  unseen = missed ? seen.length : young.length;
  if (dead.length > 0) native.free(dead);
  const end = performance.now();
  collections++;
  collectionMs += end - start;
  // Rarer while collecting takes more than its share of the time.
  const counted = shares[kind];
  counted.took += end - start;
  if (++counted.count === WINDOW[kind]) {
    const share = counted.took / Math.max(end - counted.since, 1e-3), most = MOST_SHARE[kind];
    if (share > most) rarer[kind] = Math.min(rarer[kind] * 1.5, MOST_RARE[kind]);
    else if (share < most / 4) rarer[kind] = Math.max(rarer[kind] / 1.5, 1);
    shares[kind] = { since: end, took: 0, count: 0 };
  }
  // Never so rare that garbage alone could fill the budget.
  const ceiling = native.nativeMemory().budgetBytes / 8;
  youngBytes = Math.min(YOUNG_BYTES * rarer.young, ceiling);
  youngHandles = YOUNG_HANDLES * rarer.young;
  fullBytes = Math.min(Math.max(FULL_BYTES * rarer.full, sum(old) / 2), ceiling * 2);
  fullHandles = Math.max(FULL_HANDLES * rarer.full, old.length / 2);
  // What was missed is tried again soon, so that the most that is live hardly rises.
  madeBytes = missed ? youngBytes / 2 : 0;
  madeHandles = missed ? youngHandles / 2 : 0;
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
  return { ...native.nativeMemory(), collections, fullCollections, collectionMs };
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
