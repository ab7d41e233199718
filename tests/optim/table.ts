/**
 * Training of a small table of which each step reads a few rows, with all that makes lazy rows hard: rates that change,
 * clipping, accumulation, steps without gradient, rows that are read in between. scripts/golden_optim.py does the same.
 */
import { type DType, F, nn, optim, type Tensor, tensor } from "../../mod.ts";
import { snapshot } from "../../src/rows.ts";

export const STEPS = 500;

/** A generator of numbers in [0, 1). */
export function draws(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** How a run differs from the plain one. */
export interface RunOptions {
  rows?: number;
  columns?: number;
  batch?: number;
  dtype?: DType;
  device?: string;
  steps?: number;
  /** Read the whole table after every so many steps. */
  readEvery?: number;
  /** Save after this step, and go on with a new table and optimiser. */
  saveAt?: number;
  /** Save after every so many steps, and go on with the old ones. */
  saveEvery?: number;
}

type Make = (params: Tensor[], options: Record<string, unknown>) => optim.Optimizer;

/** The table after training. */
export function train(
  name: Exclude<keyof typeof optim, "lrScheduler" | "LBFGS" | "Optimizer" | "ParamGroup">,
  options: Record<string, unknown>,
  run: RunOptions = {},
): number[] {
  const { rows = 24, columns = 3, batch = 5, dtype = "float64", steps = STEPS, device } = run;
  const draw = draws(5);
  const make: Make = (params, o) => new (optim[name] as typeof optim.Adam)(params, o);
  const matrix = () =>
    Array.from({ length: rows }, () => Array.from({ length: columns }, () => draw() * 2 - 1));
  let table = tensor(matrix(), { dtype, device, requiresGrad: true });
  const target = tensor(matrix(), { dtype, device });
  let optimizer = make([table], options);
  for (let step = 0; step < steps; step++) {
    optimizer.paramGroups[0].lr = (options.lr as number) * (0.5 + 0.5 * Math.cos(step / 40));
    for (let k = 0; k < (step % 7 === 3 ? 2 : 1); k++) {
      const read = tensor(
        Array.from({ length: batch }, () => BigInt(Math.trunc(draw() * draw() * rows))),
        { device },
      );
      const difference = F.embedding(read, table).sub(F.embedding(read, target));
      if (step % 11 !== 5) difference.mul(difference).sum().backward();
    }
    if (step % 3 === 0) nn.utils.clipGradNorm_([table], 1);
    optimizer.step();
    optimizer.zeroGrad();
    if (run.readEvery !== undefined && step % run.readEvery === 0) table.toTypedArray();
    if (run.saveEvery !== undefined && step % run.saveEvery === 0) {
      snapshot(table);
      optimizer.stateDict();
    }
    if (step === run.saveAt) {
      const state = optimizer.stateDict();
      const values = snapshot(table).toArray() as number[][];
      table = tensor(values, { dtype, device, requiresGrad: true });
      optimizer = make([table], options);
      optimizer.loadStateDict(state);
    }
  }
  return Array.from(table.toTypedArray() as Float64Array);
}
