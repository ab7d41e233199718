/**
 * Names of checkpoint files in a folder: they say epoch and step, so that order needs no file to be opened.
 *
 * @module
 */
import { join } from "@std/path";

/** A checkpoint file by its name. */
export interface Named {
  readonly path: string;
  readonly name: string;
  /** The epoch that ran, or ended. */
  readonly epoch: number;
  /** Batches of training before it. */
  readonly step: number;
  /** Whether the epoch had ended. */
  readonly ended: boolean;
}

const PATTERN = /^epoch-(\d+)-step-(\d+)(-mid)?\.safetensors$/;

/** The file's name. */
export function nameFor(epoch: number, step: number, ended: boolean): string {
  return `epoch-${String(epoch).padStart(4, "0")}-step-${String(step).padStart(8, "0")}${
    ended ? "" : "-mid"
  }.safetensors`;
}

/** Whether one was written before another by the same run. */
export function before(a: Omit<Named, "path" | "name">, b: Omit<Named, "path" | "name">): boolean {
  return order(a, b) < 0;
}

function order(a: Omit<Named, "path" | "name">, b: Omit<Named, "path" | "name">): number {
  return a.epoch - b.epoch || a.step - b.step || Number(a.ended) - Number(b.ended);
}

/** The checkpoints in a folder, oldest first; none where there is no folder. */
export function listCheckpoints(folder: string): Named[] {
  const found: Named[] = [];
  for (const name of namesIn(folder)) {
    const match = PATTERN.exec(name);
    if (match === null) continue;
    found.push({
      path: join(folder, name),
      name,
      epoch: Number(match[1]),
      step: Number(match[2]),
      ended: match[3] === undefined,
    });
  }
  return found.sort(order);
}

/** Removes a file that may be gone already. */
export function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter((entry) => entry.isFile).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
