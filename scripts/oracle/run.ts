/** Runs the shards of a folder and counts what passed, failed, is missing in Toro or not supported. */
import { runModule } from "./modules.ts";
import { runOp } from "./ops.ts";
import { runProgram } from "./programs.ts";
import { Absent, readShard, type Shard, shardNames } from "./shards.ts";
import { initCases, runClip, runInit, runOptimizer, runScheduler } from "./training.ts";
import { DeviceError } from "../../src/errors.ts";
import { lookUp, place } from "./values.ts";

/** Counts of outcomes, and the first difference seen. */
export interface Count {
  passed: number;
  failed: number;
  missing: number;
  unsupported: number;
  first?: string;
}

/** What a run found. */
export interface Report {
  totals: Count;
  shards: Record<string, Count>;
  ops: Record<string, Count>;
  failures: { id: string; text: string }[];
}

/** Runs one case of a shard: what differs, or null. */
// deno-lint-ignore no-explicit-any
export type Runner = (c: any, shard: Shard) => string | null | Promise<string | null>;

/** The runner of a shard by its name, or by what its cases look like. */
function runnerOf(shard: string): Runner {
  if (shard.startsWith("recsys_")) {
    return async (c, shard) => {
      if (lookUp("nn.Module") === undefined) throw new Absent("missing", "nn.Module");
      return (await import("./recommender.ts")).runRecommender(c, shard);
    };
  }
  return ({
    modules: runModule,
    optim: runOptimizer,
    schedulers: runScheduler,
    clip: runClip,
    init: runInit,
    programs: runProgram,
  } as Record<string, Runner>)[shard] ??
    ((c, shard) => c.ctor === undefined ? runOp(c, shard) : runModule(c, shard));
}

const zero = (): Count => ({ passed: 0, failed: 0, missing: 0, unsupported: 0 });

/** Whether a case is among the ones asked for: by op, by the op's last name, or by id. */
function chosen(c: { id: string; op?: string }, only: readonly string[]): boolean {
  if (only.length === 0) return true;
  const op = c.op ?? c.id;
  return only.some((name) => op === name || op.endsWith(`.${name}`) || c.id.startsWith(name));
}

/** Runs every case of the folder's shards, or of those named, on the CPU or another device. */
export async function runFolder(
  folder: string,
  { only = [], shards = shardNames(folder), device = 0 }: {
    only?: readonly string[];
    shards?: readonly string[];
    device?: number;
  } = {},
): Promise<Report> {
  place.device = device;
  const report: Report = { totals: zero(), shards: {}, ops: {}, failures: [] };
  for (const name of shards) {
    const run = runnerOf(name);
    const shard = readShard(folder, name);
    for (const c of name === "init" ? initCases(shard.document) : shard.cases) {
      if (!chosen(c, only)) continue;
      const [outcome, text] = await attempt(run, c, shard);
      const counts = [
        report.totals,
        report.shards[name] ??= zero(),
        report.ops[c.op ?? `${name}.${c.spec?.class ?? ""}`] ??= zero(),
      ];
      for (const count of counts) {
        count[outcome]++;
        if (outcome !== "passed") count.first ??= `${c.id}: ${text}`;
      }
      if (outcome === "failed") report.failures.push({ id: c.id, text });
    }
  }
  return report;
}

async function attempt(
  run: Runner,
  c: unknown,
  shard: Shard,
): Promise<["passed" | "failed" | "missing" | "unsupported", string]> {
  try {
    const text = await run(c, shard);
    return text === null ? ["passed", ""] : ["failed", text];
  } catch (error) {
    if (error instanceof Absent) return [error.kind, error.message];
    if (error instanceof DeviceError && /no CUDA kernel/.test(error.message)) {
      return ["unsupported", error.message];
    }
    return ["failed", `throws ${error}`];
  }
}
