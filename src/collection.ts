/**
 * When native blocks are looked for that nobody can reach any more: each is watched through a WeakRef, and when enough
 * was made since the last look, the next allocation collects. How V8 is made to collect is collector.ts.
 *
 * @module
 */
import * as native from "../ffi/library.ts";
import { type Collector, makeCollector } from "./collector.ts";
import type { Block } from "./memory.ts";
import v8 from "node:v8";

/** Watched blocks. Numbers lie outside V8's heap, so that what survives a young collection is little. */
class WatchList {
  readonly refs: WeakRef<Block>[] = [];
  handles: Float64Array = new Float64Array(1024);
  bytes: Float64Array = new Float64Array(1024);

  get length(): number {
    return this.refs.length;
  }

  push(ref: WeakRef<Block>, handle: number, bytes: number): void {
    const at = this.refs.push(ref) - 1;
    if (at === this.handles.length) {
      for (const name of ["handles", "bytes"] as const) {
        const wider = new Float64Array(2 * at);
        wider.set(this[name]);
        this[name] = wider;
      }
    }
    this.handles[at] = handle;
    this.bytes[at] = bytes;
  }

  /** Moves an entry to the front part that is kept. */
  move(from: number, to: number): void {
    this.refs[to] = this.refs[from];
    this.handles[to] = this.handles[from];
    this.bytes[to] = this.bytes[from];
  }

  /** Takes another list's entry. */
  take(other: WatchList, at: number): void {
    this.push(other.refs[at], other.handles[at], other.bytes[at]);
  }

  truncate(length: number): void {
    this.refs.length = length;
  }

  sum(): number {
    return this.bytes.subarray(0, this.length).reduce((n, b) => n + b, 0);
  }
}

/** Blocks that V8 may still find dead in its young generation. */
const young = new WatchList();
/** Where in `young` those begin that no young collection has seen yet. */
let unseen = 0;
/** Blocks that outlived two young collections: only a full one can find them dead. */
const old = new WatchList();
/** Bytes and handles made since the last collection that V8 carried out; bytes on devices that were released since. */
let madeBytes = 0;
let madeHandles = 0;
let releasedBytes = 0;
/** Bytes and handles that grew old since the last full collection. */
let agedBytes = 0;
let agedHandles = 0;

const MIB = 2 ** 20;
/** A young collection takes about a millisecond, so it comes often enough to keep the working set small. */
const YOUNG_BYTES = 128 * MIB;
const YOUNG_HANDLES = 20_000;
/** It comes less often where it takes more than this share of the time, up to so many times. */
const YOUNG_SHARE = 0.012;
const RARE = 3;
/** What garbage takes by then, mostly. */
export const GARBAGE: number = RARE * YOUNG_BYTES;
/**
 * Within a step of training nearly all that was made is alive until its backward pass ends, which is when collecting
 * takes least and finds most: before it the limit is so many times higher, on the CPU up to so much. A step that is
 * collected in its middle takes more memory in the end: what is still alive then looks as if it were there for good.
 */
const LATE = 8;
const LATE_BYTES = 2048 * MIB;
/**
 * The first time is later: short scripts then never collect, and later rounds stay under the memory that it took. So
 * far a collection is also waited for that V8 puts off.
 */
const FIRST = 3.5;
/** Only where it takes four times its share are rounds made rarer yet, up to so many times. */
const RAREST = 8;
/**
 * V8 puts a collection off while it marks its old generation. On a small heap a full one takes a few milliseconds and
 * ends that. On a large one marking goes on beside the program: so much more is made before the next try, which is
 * waited for past the limit only.
 */
const SMALL_HEAP = 64 * MIB;
const RETRY = 1 / 2;
const PATIENCE_MS = 400;
/** Where waiting does not help either, a full collection comes at so many times the limit. */
const LAST = 3;
/** After so many rounds the native cache gives back what none of them needed. */
const TRIM_ROUNDS = 16;
/** The job's hold on WeakRefs ends so often. */
const LET_GO_BYTES = 16 * MIB;
/** So many blocks that are no larger than a slab of small tensors. */
const SMALL_HANDLES = 32;
const SMALL_BYTES = SMALL_HANDLES * 64 * 1024;

/** A full collection comes when so much grew old, and twice V8's heap, at least; rarer past its share of the time. */
const FULL_BYTES = 16 * MIB;
const FULL_HANDLES = 5_000;
const FULL_SHARE = 0.01;
const FULL_RAREST = 512;

/** How much rarer than at best rounds are at present, and how rare each of the last ones asked them to be. */
let rarer = FIRST;
const wishes: number[] = [];
const ROUNDS = 5;
let rounds = 0;
/** Bytes that were alive in the young list after the last rounds, the newest counting most. */
let survivors = 0;
let lastYoung = performance.now();
let lastFull = performance.now();

/** At how many bytes and handles made the next collection is tried, and the job's hold ends anew. */
let nextBytes = YOUNG_BYTES * FIRST;
let lateBytes = nextBytes;
let nextHandles = YOUNG_HANDLES * FIRST;
let letGoBytes = LET_GO_BYTES;
let smallHandles = SMALL_HANDLES;
/** At how many grown old it is a full one. */
let fullBytes = FULL_BYTES;
let fullHandles = FULL_HANDLES;

/** Figures for `memory()`. */
export const stats = { collections: 0, fullCollections: 0, collectionMs: 0 };

/** What V8's heap holds; a full collection takes about a millisecond for each megabyte. */
function heapBytes(): number {
  return v8.getHeapStatistics().used_heap_size;
}

/** Called before a block of so many bytes is made: collects when enough was made since the last time. */
export function makeRoom(bytes: number, isOnDevice: boolean): void {
  const late = isOnDevice ? LATE * nextBytes : Math.max(lateBytes, nextBytes);
  const limit = trains ? late : nextBytes;
  if (madeBytes - releasedBytes + bytes > limit || madeHandles >= nextHandles) {
    trains = false;
    collect(isFullDue() ? "full" : "young");
  } else if (madeBytes >= letGoBytes) {
    letGo();
    setLetGo();
  } else if (madeHandles >= smallHandles) {
    // Small blocks are many before they are much; what V8 collects of its own accord is enough for them.
    if (madeBytes - (letGoBytes - LET_GO_BYTES) <= SMALL_BYTES) {
      ready();
      if (collector?.sawYoung()) {
        free(siftYoung);
        if (isFullDue()) collect("full");
      }
      setLetGo();
    } else smallHandles = madeHandles + SMALL_HANDLES;
  }
}

/** Whether a backward pass has ended since collecting was last due at another time. */
let trains = false;

/** Called when a backward pass has ended: collects when enough was made since the last time. */
export function passEnded(): void {
  trains = true;
  if (madeBytes - releasedBytes > nextBytes) collect(isFullDue() ? "full" : "young");
}

/**
 * Lets V8's young generation grow to what it will have anyway, once, when a program has made thousands of small tensors:
 * its memory is then the same after its first steps as after many.
 */
export function warmUp(): void {
  ready();
  collector?.young(0);
}

/** Ends the job's hold on WeakRefs: V8's own young collections then find what is dead, and promote none of it. */
export function letGo(): void {
  // Not for the first few blocks: a short script needs no collector, which takes milliseconds to make.
  if (collector === undefined && madeHandles < SMALL_HANDLES) return;
  ready();
  collector?.letGo();
}

function setLetGo(): void {
  letGoBytes = madeBytes + LET_GO_BYTES;
  smallHandles = madeHandles + SMALL_HANDLES;
}

function isFullDue(): boolean {
  return agedHandles > fullHandles || agedBytes > fullBytes && agedBytes > 2 * heapBytes();
}

/** Frees the native blocks of what a search finds dead. */
function free(...searches: ((dead: number[]) => void)[]): void {
  const dead: number[] = [];
  for (const search of searches) search(dead);
  if (dead.length > 0) native.free(dead);
}

/** Frees the block's memory when nobody can reach it any more. */
export function watch(block: Block): void {
  young.push(new WeakRef(block), block.handle, block.bytes);
  finalizer?.register(block, block.handle, block);
  madeBytes += block.bytes;
  madeHandles++;
}

/** Frees a block now. */
export function release(block: Block): void {
  if (block.handle < 0) return;
  native.free([block.handle]);
  if (block.isOnDevice) releasedBytes = Math.min(releasedBytes + block.bytes, madeBytes);
  // Its entry goes at the next collection, which knows it by the handle.
  released.add(block.handle);
  finalizer?.unregister(block);
  block.handle = -1;
}

const released = new Set<number>();

let collector: Collector | null | undefined;
let finalizer: FinalizationRegistry<number> | null = null;

function ready(): void {
  if (collector === undefined) chooseCollector("vm");
}

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
  for (const { refs, handles } of [old, young]) {
    refs.forEach((ref, i) => {
      const block = ref.deref();
      if (block !== undefined) finalizer!.register(block, handles[i], block);
    });
  }
}

/** Whether an entry's block is gone. With a finalizer at work its callback frees the block, else it is noted. */
function isGone(list: WatchList, at: number, dead: number[]): boolean {
  const handle = list.handles[at];
  if (released.delete(handle)) return true;
  if (list.refs[at].deref() !== undefined) return false;
  if (finalizer === null) dead.push(handle);
  return true;
}

/** Frees what nobody can reach any more: of what is young, or all. */
export function collect(kind: "young" | "full"): void {
  ready();
  const start = performance.now();
  let missed = false;
  if (kind === "young" && collector != null) {
    const limit = Math.max(YOUNG_BYTES * Math.max(rarer, FIRST), survivors * 2);
    const over = Math.max(
      (madeBytes - releasedBytes) / limit,
      madeHandles / (YOUNG_HANDLES * FIRST),
    );
    missed = !collector.young(over > 1 ? PATIENCE_MS : 0);
    if (missed && (over > LAST || heapBytes() < SMALL_HEAP)) {
      kind = "full";
      missed = false;
    }
  }
  if (kind === "full") collector?.full();
  if (missed) free(siftMissed);
  else if (kind === "full") free(siftAll);
  else if (collector?.sawFull()) free(siftOld, siftYoung);
  else free(siftYoung);
  const end = performance.now();
  stats.collections++;
  stats.collectionMs += end - start;
  const { budgetBytes } = native.nativeMemory();
  if (missed) {
    nextBytes = madeBytes - releasedBytes + YOUNG_BYTES * RETRY;
    nextHandles = madeHandles + YOUNG_HANDLES * RETRY;
  } else {
    adapt(kind, end - start, end, budgetBytes);
    madeBytes = releasedBytes = 0;
    madeHandles = 0;
  }
  setLetGo();
}

/** After a young collection: what it saw alive for the second time is promoted by V8. */
function siftYoung(dead: number[]): void {
  let kept = 0, keptBytes = 0;
  for (let i = 0; i < young.length; i++) {
    if (isGone(young, i, dead)) continue;
    if (i < unseen) {
      old.take(young, i);
      agedBytes += young.bytes[i];
      agedHandles++;
    } else {
      keptBytes += young.bytes[i];
      young.move(i, kept++);
    }
  }
  young.truncate(kept);
  unseen = kept;
  // What lives for good, as an optimiser's state, shall not make rounds larger than the first.
  survivors = Math.min(Math.max(keptBytes, survivors / 2), YOUNG_BYTES * FIRST / 2);
}

/** After one that V8 did not carry out. What a collection of its own found before is gone all the same. */
function siftMissed(dead: number[]): void {
  let kept = 0, seen = 0;
  for (let i = 0; i < young.length; i++) {
    if (isGone(young, i, dead)) continue;
    if (i < unseen) seen++;
    young.move(i, kept++);
  }
  young.truncate(kept);
  unseen = seen;
}

/** After a collection of the old generation, V8's own or one asked for. */
function siftOld(dead: number[]): void {
  let kept = 0;
  for (let i = 0; i < old.length; i++) {
    if (!isGone(old, i, dead)) old.move(i, kept++);
  }
  old.truncate(kept);
  agedBytes = 0;
  agedHandles = 0;
}

/** After a full collection everything that lives is old. */
function siftAll(dead: number[]): void {
  siftOld(dead);
  for (let i = 0; i < young.length; i++) {
    if (!isGone(young, i, dead)) old.take(young, i);
  }
  young.truncate(0);
  unseen = 0;
  released.clear();
  stats.fullCollections++;
}

/** Sets when the next collections come, by what this one took of the time since the last of its kind. */
function adapt(kind: "young" | "full", tookMs: number, now: number, budgetBytes: number): void {
  // Never so rare that garbage alone could fill the budget.
  const ceiling = budgetBytes / 8;
  if (kind === "full") {
    const share = tookMs / Math.max(now - lastFull, tookMs);
    const wish = fullBytes / FULL_BYTES * share / FULL_SHARE;
    const times = Math.min(Math.max(wish, 1), FULL_RAREST);
    // Large tables and their optimiser's state are old for good: they are no reason to let garbage lie.
    const least = Math.min(old.sum() / 2, YOUNG_BYTES / 2);
    fullBytes = Math.min(Math.max(FULL_BYTES * times, least), 2 * ceiling);
    fullHandles = Math.max(FULL_HANDLES * times, old.length / 2);
    lastFull = now;
  } else {
    const share = tookMs / Math.max(now - lastYoung, tookMs);
    wishes.push((madeBytes - releasedBytes) / YOUNG_BYTES * share / YOUNG_SHARE);
    if (wishes.length > ROUNDS) wishes.shift();
    // The middle one, for a single round may have waited for a processor.
    const wish = wishes.toSorted((a, b) => a - b)[(wishes.length - 1) >> 1];
    const most = wishes.length < ROUNDS ? RARE : Math.max(RARE, Math.min(wish / 4, RAREST));
    rarer = Math.min(Math.max(wish, 1), most);
    if (++rounds % TRIM_ROUNDS === 0) native.option("trimCache", 0);
  }
  // Most of what is made shall die before a second young collection sees it.
  nextBytes = Math.min(Math.max(YOUNG_BYTES * rarer, 2 * survivors), ceiling);
  lateBytes = Math.min(LATE * nextBytes, LATE_BYTES, ceiling);
  nextHandles = YOUNG_HANDLES * rarer;
  lastYoung = now;
}
