/**
 * `deno task test:cuda [PATHS]`: builds library and emulator and runs the tests of tests/cuda on it, in every order of
 * threads and, those of kernels, with every sanitizer; two runs at a time, since each takes one processor. Prints families
 * of ops × order × sanitizer; what is listed as running and did not run in one of them is a failure. With paths only the
 * tests under them run, without sanitizers.
 */
import { existsSync } from "node:fs";
import { buildStage, demandTools } from "./build.ts";
import {
  buildEmulator,
  buildPlanted,
  buildPlantedCudnn,
  emulated,
  type Emulator,
  sanitized,
  type Sanitizer,
} from "./emulator.ts";
import { type Outcome, report, root, runStage, type Stage } from "./stages.ts";
import { denoTest } from "./test.ts";

/** The orders in which threads and blocks run; with the last, work waits until somebody waits for it. */
const ORDERS: Record<string, Record<string, string>> = {
  forward: { EMULATOR_ORDER: "forward" },
  reverse: { EMULATOR_ORDER: "reverse" },
  random: { EMULATOR_ORDER: "random", EMULATOR_LAZY: "1" },
};

/** One run over the kernels. */
export interface Run {
  order: "forward" | "reverse" | "random";
  sanitizer: Sanitizer;
}

/** Every order with every sanitizer; the whole suite where there is none. */
export const ALL: readonly Run[] = (["plain", "asan", "tsan"] as const).flatMap((sanitizer) =>
  (["forward", "reverse", "random"] as const).map((order) => ({ order, sanitizer }))
);
/** What the gate runs: the whole suite in the order that finds most, the kernels under each sanitizer. */
export const GATE: readonly Run[] = [
  { order: "random", sanitizer: "plain" },
  { order: "forward", sanitizer: "asan" },
  { order: "reverse", sanitizer: "tsan" },
];

/** The tests of kernels alone: every op, and the ways that only long lines, several tiles and optimisers take. */
const KERNELS = ["cases", "long", "large", "kernels", "optim"].map((name) =>
  `tests/cuda/${name}_test.ts`
);

/** So many runs at a time. */
const LANES = 2;
/** What takes longest begins first. */
const LONGEST: readonly Sanitizer[] = ["tsan", "asan", "plain"];

/** Ops that held, by family. */
type Found = Record<string, string[]>;

/** The tests of CUDA on the emulator: all of them in some runs, or those under the paths. */
export async function cudaTests(
  runs: readonly Run[] = ALL,
  paths: readonly string[] = [],
): Promise<Outcome[]> {
  const scratch = Deno.makeTempDirSync({ prefix: "toro_cuda_" });
  const outcomes = new Map<Run, Outcome>(), table = new Map<string, Found>();
  const ready: [Run, Emulator][] = [];
  const inOrder = LONGEST.flatMap((s) => runs.filter(({ sanitizer }) => sanitizer === s));
  for (const run of inOrder) {
    // One after the other, for they share parts; the planted bugs too, which tests run.
    try {
      await buildPlanted(run.sanitizer);
      await buildPlantedCudnn();
      ready.push([run, await buildEmulator(run.sanitizer)]);
    } catch (error) {
      console.error(`Cannot build the emulator: ${error instanceof Error ? error.message : error}`);
      const counts = { passed: 0, failed: 1, skipped: 0 };
      outcomes.set(run, { name: `cuda ${key(run)}`, seconds: 0, ok: false, counts });
    }
  }
  const one = async (run: Run, emulator: Emulator) => {
    const { order, sanitizer } = run;
    const log = `${scratch}/${order}_${sanitizer}`, found = `${log}.json`;
    const tests = paths.length > 0 ? paths : sanitizer === "plain" ? ["tests/cuda"] : KERNELS;
    const stage: Stage = {
      name: `cuda ${key(run)}`,
      command: [...denoTest, ...(sanitizer === "plain" ? [] : ["--no-check"]), ...tests],
      env: {
        ...emulated(emulator),
        ...sanitized(sanitizer, log),
        ...ORDERS[order],
        TORO_CUDA_FOUND: found,
      },
      tests: true,
      atEnd: true,
    };
    const outcome = await runStage(stage);
    if (existsSync(found)) table.set(key(run), JSON.parse(Deno.readTextFileSync(found)));
    const reports = [...Deno.readDirSync(scratch)].map(({ name }) => `${scratch}/${name}`)
      .filter((path) => path.startsWith(`${log}.`) && path !== found);
    if (reports.length > 0) {
      fail(
        outcome,
        reports.map((path) => Deno.readTextFileSync(path)).join("\n"),
      );
    }
    outcomes.set(run, outcome);
  };
  const left = ready[Symbol.iterator]();
  const lane = async () => {
    for (const [run, emulator] of left) await one(run, emulator);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  Deno.removeSync(scratch, { recursive: true });
  const results = runs.map((run) => outcomes.get(run)!);
  return paths.length > 0 ? results : [...results, completeness(runs, table)];
}

const key = ({ order, sanitizer }: Run) => sanitizer === "plain" ? order : `${order} ${sanitizer}`;

function fail(outcome: Outcome, why: string): void {
  console.log(`${outcome.name}: ${why.slice(0, 20_000)}`);
  outcome.ok = false;
  outcome.counts.failed++;
}

/** Prints how many ops held in each run, by family; every listed op must have held in each. */
function completeness(runs: readonly Run[], table: ReadonlyMap<string, Found>): Outcome {
  const listed = new Set<string>(
    JSON.parse(Deno.readTextFileSync(`${root}tests/cuda/runs.json`)),
  );
  const outcome: Outcome = {
    name: "cuda table",
    seconds: 0,
    ok: true,
    counts: { passed: 1, failed: 0, skipped: 0 },
  };
  const names = [...new Set([...table.values()].flatMap((found) => Object.keys(found)))];
  const columns = runs.map(key), width = Math.max(...columns.map((c) => c.length)) + 2;
  console.log(`\n${"".padEnd(20)}${columns.map((c) => c.padStart(width)).join("")}`);
  for (const family of names) {
    const cells = columns.map((c) => String(table.get(c)?.[family]?.length ?? "-").padStart(width));
    console.log(family.padEnd(20) + cells.join(""));
  }
  for (const run of runs) {
    const held = new Set(Object.values(table.get(key(run)) ?? {}).flat());
    const missing = [...listed].filter((op) => !held.has(op));
    if (missing.length > 0) fail(outcome, `${key(run)} lacks ${missing.join(", ")}`);
  }
  return outcome;
}

if (import.meta.main) {
  demandTools();
  const built = await runStage(buildStage);
  if (!built.ok) Deno.exit(report([built]));
  const paths = Deno.args;
  const runs = paths.length > 0 ? ALL.filter(({ sanitizer }) => sanitizer === "plain") : ALL;
  Deno.exit(report([built, ...await cudaTests(runs, paths)]));
}
