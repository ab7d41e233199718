/**
 * `deno task test:cuda [PATHS]`: builds library and emulator, then runs the tests of tests/cuda on it, once for each
 * order of threads. Prints order × outcome.
 */
import { buildStage, demandTools } from "./build.ts";
import { buildEmulator, emulated } from "./emulator.ts";
import { type Outcome, report, runStage, type Stage } from "./stages.ts";
import { denoTest } from "./test.ts";

/** The orders in which threads and blocks run; with the last, work waits until somebody waits for it. */
export const ORDERS: Record<string, Record<string, string>> = {
  forward: { EMULATOR_ORDER: "forward" },
  reverse: { EMULATOR_ORDER: "reverse" },
  "random, lazy": { EMULATOR_ORDER: "random", EMULATOR_LAZY: "1" },
};

/** The tests of CUDA on the emulator, in some orders. */
export async function cudaTests(
  orders: readonly string[] = Object.keys(ORDERS),
  paths: readonly string[] = [],
): Promise<Outcome[]> {
  let emulator: Record<string, string>;
  try {
    emulator = emulated(await buildEmulator());
  } catch (error) {
    console.error(`Cannot build the emulator: ${error instanceof Error ? error.message : error}`);
    const counts = { passed: 0, failed: 1, skipped: 0 };
    return [{ name: "cuda emulator", seconds: 0, ok: false, counts }];
  }
  const outcomes: Outcome[] = [];
  for (const order of orders) {
    const stage: Stage = {
      name: `cuda ${order}`,
      command: [...denoTest, ...(paths.length > 0 ? paths : ["tests/cuda"])],
      env: { ...emulator, ...ORDERS[order] },
      tests: true,
    };
    outcomes.push(await runStage(stage));
  }
  return outcomes;
}

if (import.meta.main) {
  demandTools();
  const built = await runStage(buildStage);
  Deno.exit(report(built.ok ? [built, ...await cudaTests(undefined, Deno.args)] : [built]));
}
