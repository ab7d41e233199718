/** PyTorch beside Toro, for tests that pass files both ways. */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";

const python = fromFileUrl(new URL("../../.venv/torch/bin/python", import.meta.url));

/** Whether PyTorch's environment is there (scripts/bench/setup_torch.ts makes it). */
export const hasTorch: boolean = (() => {
  try {
    return Deno.statSync(python).isFile;
  } catch {
    return false;
  }
})();

/** Runs a script of Python in a folder and returns what it prints. */
export async function runPython(
  script: string,
  args: readonly string[],
  folder: string,
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(python, {
    args: [script, ...args],
    cwd: folder,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
