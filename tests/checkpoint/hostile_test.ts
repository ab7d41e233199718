/** Files that lie, and odd ones that do not: what `inspect` says of them, in which time and memory. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { libraryInfo } from "../../ffi/library.ts";
import { corpus, finds } from "./hostile/corpus.ts";
import { examine, place, wrongIn } from "./hostile/verdict.ts";
import { inFolder } from "../folder.ts";

const MIB = 2 ** 20;

Deno.test("hostile files are refused with file and reason, odd ones are read", () =>
  inFolder(async (dir) => {
    const files = corpus();
    assertEquals(new Set(files.map((file) => file.name)).size, files.length);
    const paths = place(files, dir), answers = await examine(paths);
    const wrong = files.map((file, i) => wrongIn(file, paths[i], answers[i]));
    assertEquals(wrong.filter((each) => each !== null), []);
  }));

Deno.test("what fuzzers found gets an answer of Toro's own", () =>
  inFolder(async (dir) => {
    const paths = finds().map(({ name, bytes }) => {
      const path = join(dir, name);
      Deno.writeFileSync(path, bytes);
      return path;
    });
    if (paths.length === 0) return;
    for (const { path, ours, error, ms, bytes } of await examine(paths)) {
      assert(ours && ms < 1000 && bytes < 64 * MIB, `${path}: ${error}, ${ms} ms, ${bytes} bytes`);
    }
  }));

Deno.test("the command prints a summary and ends with 0, or the reason and ends with 1", () =>
  inFolder(async (dir) => {
    const script = fromFileUrl(new URL("../../src/cli/main.ts", import.meta.url));
    const inspect = async (path: string) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--no-prompt",
          "--no-check",
          `--allow-read=${dir}`,
          `--allow-ffi=${libraryInfo().library}`,
          "--allow-env=TORO_LIB,HOME",
          script,
          "inspect",
          path,
        ],
      }).output();
      const text = new TextDecoder();
      return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
    };
    const files = corpus(), at = (name: string) => files.find((file) => file.name === name)!;
    const good = join(dir, "good.safetensors"), bad = join(dir, "bad.safetensors");
    Deno.writeFileSync(good, at("a float32 on an odd byte").bytes());
    Deno.writeFileSync(bad, at("data cut short").bytes());
    const summary = await inspect(good);
    assertEquals([summary.code, summary.stderr], [0, ""]);
    assertStringIncludes(summary.stdout, "safetensors");
    assertMatch(summary.stdout, /b +float32 +\[1\]/);
    const refusal = await inspect(bad);
    assertEquals([refusal.code, refusal.stdout], [1, ""]);
    assertStringIncludes(refusal.stderr, `Cannot load ${bad}: it is truncated`);
  }));
