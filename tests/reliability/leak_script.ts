/**
 * Trains for so many steps and prints what memory was held after the first tenth and at the end, once garbage is collected:
 * STEPS.
 */
import { emptyCache, memory, processMemory } from "@toro/toro";
import { Training } from "./training.ts";

const steps = Number(Deno.args[0]);
const training = new Training();

function held(): { liveBytes: number; handles: number; residentBytes: number } {
  emptyCache();
  // V8's compiler threads take tens of megabytes for a moment.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  const { liveBytes, handles } = memory();
  return { liveBytes, handles, residentBytes: processMemory().residentBytes };
}

const early = Math.ceil(steps / 10);
for (let i = 0; i < early; i++) training.step();
const before = held();
for (let i = early; i < steps; i++) training.step();
const after = held();
// The training lives until here.
training.digest();
console.log(JSON.stringify({ before, after }));
