/**
 * How V8 is made to collect, in a synchronous loop too, without a flag or a permission. When that is done, and what of
 * it follows for native memory, is collection.ts.
 *
 * @module
 */
import v8 from "node:v8";
import vm from "node:vm";

/** The engine's collections, on demand. */
export interface Collector {
  /** Ends the hold that the running job has on targets of WeakRefs, so that V8's own collections can clear them. */
  letGo(): void;
  /**
   * Collects the young generation. While V8 marks its old generation it clears no WeakRef; then this goes on for up to
   * so many milliseconds, which brings marking forward, and returns false when that did not end.
   */
  young(patienceMs: number): boolean;
  /** Collects everything. */
  full(): void;
  /** Ends the hold too, and says whether V8 has collected its young generation since this was last called. */
  sawYoung(): boolean;
  /** Whether V8 has collected its old generation since this last said so, of its own accord or not. */
  sawFull(): boolean;
}

/** 64 KiB, small enough that V8 takes it for an ordinary young object. */
const FILLER = 8192;
const FILLER_BYTES = FILLER * 8;
/** Fillers between two looks whether V8 has collected. */
const AT_ONCE = 8;
/** Small arrays, in all a megabyte or two, that make V8 go on with its marking without running out of young room. */
const STEPS = 2000;
/** An object that lived through so many young collections is old. */
const OLD_AFTER = 2;

/** Keeps the engine from leaving out an allocation. */
const sink: unknown[] = [null];

/** Makes the collector, or null in a runtime where one of its ways is closed. */
export function makeCollector(): Collector | null {
  try {
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    if (typeof gc !== "function") return null;
    // A script that ends with its own microtask queue also ends the job's hold on WeakRefs.
    const context = vm.createContext({}, { microtaskMode: "afterEvaluate" });
    const empty = new vm.Script("0");
    const letGo = () => void empty.runInContext(context);
    const probe = () => new WeakRef({});
    // V8 clears WeakRefs to young objects when it runs out of room for young ones, which takes about a millisecond
    // however large the heap is. So: make it run out, and see by a probe that it did.
    const attempt = () => {
      const dead = probe();
      letGo();
      const enough = 1.25 * youngRoom() + AT_ONCE * FILLER_BYTES;
      for (let filled = 0; filled < enough; filled += AT_ONCE * FILLER_BYTES) {
        for (let k = 0; k < AT_ONCE; k++) {
          sink[0] = new Array(FILLER);
          // Not one shall live through the collection that the next one brings.
          sink[0] = null;
        }
        if (dead.deref() === undefined) return true;
        letGo();
      }
      return false;
    };
    // An object that grows old and is then let go of: only a collection of the old generation clears a WeakRef to it.
    let aging: object | null = {};
    let aged = new WeakRef(aging), age = 0;
    let natural: WeakRef<object> | null = null;
    return {
      letGo,
      sawYoung: () => {
        const saw = natural !== null && natural.deref() === undefined;
        // Measured: a probe is cleared reliably only when the one before was let go of first.
        natural = null;
        letGo();
        natural = probe();
        letGo();
        return saw;
      },
      full: () => {
        letGo();
        gc();
      },
      young: (patienceMs) => {
        const until = performance.now() + patienceMs;
        // Each time with another probe: what was seen while V8 marked has grown old.
        while (!attempt()) {
          if (performance.now() >= until) return false;
          for (let k = 0; k < STEPS; k++) sink[0] = new Array(100);
        }
        if (++age === OLD_AFTER) aging = null;
        return true;
      },
      sawFull: () => {
        if (aged.deref() !== undefined) return false;
        aging = {};
        aged = new WeakRef(aging);
        age = 0;
        return true;
      },
    };
  } catch {
    return null;
  }
}

/** Bytes that V8 has for young objects at present. */
function youngRoom(): number {
  return v8.getHeapSpaceStatistics().find((s) => s.space_name === "new_space")?.space_size ?? 0;
}
