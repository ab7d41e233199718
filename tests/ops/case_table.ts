/**
 * The op case table: every public op of src/ops/mod.ts with its cases, merged from one file per family. It drives the
 * tests, the gradchecks, the goldens and the comparison of devices.
 */
import type { Entry } from "./spec.ts";

export { type Case, type Entry, type SpecOptions, t, TensorSpec } from "./spec.ts";

/** The entries of every family's file in tests/ops/cases. */
export async function loadCases(): Promise<Record<string, Entry>> {
  const folder = new URL("./cases/", import.meta.url);
  const merged: Record<string, Entry> = {};
  for (const file of [...Deno.readDirSync(folder)].map((f) => f.name).sort()) {
    if (!file.endsWith(".ts")) continue;
    const module = await import(new URL(file, folder).href) as Record<
      string,
      Record<string, Entry>
    >;
    for (const entries of Object.values(module)) Object.assign(merged, entries);
  }
  return merged;
}
