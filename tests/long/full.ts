/**
 * `deno task test:full`: the guide's recommender at its real size, 1,000,000 users and 100,000 items of 128 numbers each,
 * over 2,000 training steps. Resident memory is at most that of the parameters and the optimiser's state and 700 MB, and
 * it stays flat. Fails where it does not. `--users`, `--items` and `--steps` make it smaller.
 */
import { assert } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { manualSeed, memory, nn, optim, processMemory, randint } from "@toro/toro";
import { RecommendationSystem } from "../../examples/guide/02_modules.ts";

const MB = 1e6, BATCH = 1024;
const { users, items, steps } = parseArgs(Deno.args, {
  default: { users: 1_000_000, items: 100_000, steps: 2000 },
});

manualSeed(0);
const model = new RecommendationSystem(users, items);
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
const criterion = new nn.BCELoss();
const parameterBytes = model.parameters().reduce((sum, p) => sum + p.nbytes, 0);
// AdamW keeps two moments of each parameter.
const allowed = 3 * parameterBytes + 700 * MB;

/** Resident bytes at every so many steps. */
const samples: number[] = [], every = Math.max(1, Math.floor(steps / 200));
const begin = performance.now();
for (let step = 1; step <= steps; step++) {
  const user = randint(users, [BATCH]), item = randint(items, [BATCH]);
  // Users of even number like items of even number.
  const label = user.add(item).remainder(2).eq(0).to("float32");
  const loss = criterion.forward(model.forward(user, item), label);
  loss.backward();
  nn.utils.clipGradNorm_(model.parameters(), 1);
  optimizer.step();
  optimizer.zeroGrad();
  if (step % every === 0) samples.push(processMemory().residentBytes);
}
const seconds = (performance.now() - begin) / 1e3;
const peak = processMemory().peakResidentBytes, mb = (bytes: number) => (bytes / MB).toFixed(0);
const { liveBytes, cachedBytes, peakBytes, collections, collectionMs } = memory();

/** Garbage comes and goes between two collections: tenths of the run are compared by their medians. */
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
const tenth = Math.ceil(samples.length / 10);
const tenths = Array.from(
  { length: 10 },
  (_, i) => median(samples.slice(i * tenth, (i + 1) * tenth)),
);
console.log(
  `${users} x ${items}, ${steps} steps in ${seconds.toFixed(0)} s (${
    (1e3 * seconds / steps).toFixed(1)
  } ms each): parameters ${mb(parameterBytes)} MB, state ${mb(2 * parameterBytes)} MB`,
);
console.log(`resident, medians of ten parts: ${tenths.map(mb).join(" ")} MB, peak ${mb(peak)} MB`);
console.log(
  `native: live ${mb(liveBytes)} MB, cached ${mb(cachedBytes)} MB, peak ${mb(peakBytes)} MB; ` +
    `${collections} collections in ${(collectionMs / 10 / seconds).toFixed(2)} % of the time`,
);
console.log(`over parameters and state: ${mb(peak - 3 * parameterBytes)} MB at the peak`);
assert(peak <= allowed, `the peak is ${mb(peak)} MB, at most ${mb(allowed)} MB are allowed`);
// Until the rows are swept, at step 1,024, pages of the state that no step has met are not resident.
const settled = tenths.slice(6), grown = Math.max(...settled) - Math.min(...settled);
assert(grown <= 64 * MB, `resident memory grew by ${mb(grown)} MB, at most 64 are allowed`);
console.log("within the limit, and flat");
