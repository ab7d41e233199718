/**
 * Inspects files one after the other and prints a line of JSON for each: what came of it, in which time, and by how much
 * resident memory rose above where it stood. `deno run -A examine.ts FILE…`, for tests.
 */
import process from "node:process";
import { checkpoint, ToroError } from "@toro/toro";

/** What came of one file. */
export interface Answer {
  path: string;
  /** The refusal's text; null where the file is good. */
  error: string | null;
  /** Whether the refusal is one of Toro's. */
  ours: boolean;
  /** Of processors: a busy machine makes it no longer. */
  ms: number;
  /** Highest resident memory above that before, in bytes. */
  bytes: number;
}

/** A figure of this process, in bytes. */
export function resident(field: "VmHWM" | "VmRSS"): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)![1]);
}

/** Inspects a file; what it threw, and the processors' milliseconds. */
export async function attempt(path: string): Promise<{ error: unknown; ms: number }> {
  const begin = process.cpuUsage();
  let error: unknown = null;
  try {
    await checkpoint.inspect(path);
  } catch (e) {
    error = e;
  }
  const { user, system } = process.cpuUsage(begin);
  return { error, ms: (user + system) / 1000 };
}

/** Whether there was no error or one that says what is wrong with the file. */
export function isOurs(error: unknown): boolean {
  return error === null || error instanceof ToroError && error.name === "CheckpointError";
}

async function examine(path: string): Promise<Answer> {
  // Starts the highest mark anew.
  Deno.writeTextFileSync("/proc/self/clear_refs", "5");
  const before = resident("VmRSS");
  const { error, ms } = await attempt(path);
  return {
    path,
    error: error === null ? null : (error as Error).message,
    ours: isOurs(error),
    ms,
    bytes: Math.max(0, resident("VmHWM") - before),
  };
}

if (import.meta.main) {
  for (const path of Deno.args) console.log(JSON.stringify(await examine(path)));
}
