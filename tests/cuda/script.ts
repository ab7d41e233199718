/** Scripts in a process of their own, with the stand-ins of NVIDIA's libraries in use. */
import { assert, assertEquals, assertMatch } from "@std/assert";

/** The checkout, for imports in scripts. */
export const root: string = new URL("../../", import.meta.url).href;

/** Runs a script with the libraries on, unless the environment says otherwise; what it prints last as JSON, and the log. */
export async function runScript(
  source: string,
  env: Record<string, string> = {},
): Promise<{ out: unknown; log: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", source],
    env: { TORO_CUDA_LIBRARIES: "", EMULATOR_LOG: "1", EMULATOR_LAZY: "1", ...env },
  }).output();
  const log = new TextDecoder().decode(stderr);
  assertEquals(code, 0, log);
  const printed = new TextDecoder().decode(stdout).trim();
  return { out: JSON.parse(printed.split("\n").at(-1)!), log };
}

/** That a script which prints its error said this of a call that was to answer with a status, as `name=4003`. */
export function assertFails(planted: string, message: string, out: unknown): void {
  assert(typeof out === "string" && out.endsWith(message), `${planted}: ${out}`);
  assertMatch(out, planted.endsWith("4003") ? /^OutOfMemoryError/ : /^DeviceError/);
}
