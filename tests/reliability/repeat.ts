/** The same seed in different processes, with one thread and with two: the same bits. */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";

/** The digests of so many runs for each number of threads. */
export async function repeat(runs: number, steps: number): Promise<string[]> {
  const digests: string[] = [];
  for (const threads of [1, 2]) {
    for (let i = 0; i < runs; i++) {
      const script = fromFileUrl(new URL("./repeat_script.ts", import.meta.url));
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", script, String(threads), String(steps)],
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      digests.push(new TextDecoder().decode(stdout).trim());
    }
  }
  return digests;
}
