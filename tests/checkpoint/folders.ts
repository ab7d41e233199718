/** What tests of checkpoints see in a folder, and scripts that they run in processes of their own. */

import { type DType, DTYPES } from "../../src/dtype.ts";

/** Every element type. */
export const ALL_DTYPES: readonly DType[] = Object.keys(DTYPES) as DType[];

/** The names in a folder, sorted. */
export function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}

/** Runs a script of this folder. */
export async function runScript(
  script: string,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL(script, import.meta.url).pathname, ...args],
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return { code, out: text(stdout), err: text(stderr) };
}
