/** Damaged files at random, a short and fixed part of `deno task fuzz:files`. */
import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";

Deno.test("randomly damaged files get a summary or an error of Toro's, in time and within memory", async () => {
  const script = fromFileUrl(new URL("../../scripts/fuzz_files.ts", import.meta.url));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, "--count", "1500", "--seed", "7"],
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(success, true, text + new TextDecoder().decode(stderr));
  assertMatch(text, /^1500 files in \d+ s: \d+ read, \d+ refused, 0 wrong answers/m);
});
