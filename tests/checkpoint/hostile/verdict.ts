/** Has processes inspect the corpus, and tells right answers from wrong ones. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import type { Hostile } from "./bytes.ts";
import type { Answer } from "./examine.ts";

const MIB = 2 ** 20;
/** Time is told of the plain library: under a sanitizer all of it takes several times as long. */
const SLOWER = Deno.env.get("LD_PRELOAD")?.includes("libasan") ? 5 : 1;

/** Has another process inspect files one after the other. */
export async function examine(paths: readonly string[]): Promise<Answer[]> {
  const script = fromFileUrl(new URL("./examine.ts", import.meta.url));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, ...paths],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
}

/** Writes files into folders of their own, with what lies beside them; returns their paths. */
export function place(files: readonly Hostile[], dir: string): string[] {
  return files.map(({ ending, bytes, beside = {} }, i) => {
    const folder = join(dir, `${i}`), path = join(folder, `file${ending}`);
    Deno.mkdirSync(folder);
    Deno.writeFileSync(path, bytes());
    for (const [name, bytes] of Object.entries(beside)) {
      Deno.writeFileSync(join(folder, name), bytes());
    }
    return path;
  });
}

/** What is wrong with an answer, or null. */
export function wrongIn({ name, refused }: Hostile, path: string, answer: Answer): string | null {
  const { error, ours, ms, bytes } = answer;
  try {
    assertEquals(answer.path, path);
    assert(ours, "the error is not Toro's");
    if (refused === null) assertEquals(error, null);
    else {
      assert(error !== null, "it was not refused");
      // Of several files the one that is wrong is named.
      assert(error.startsWith(`Cannot load ${path.slice(0, path.lastIndexOf("/"))}/`), error);
      assertMatch(error, refused instanceof RegExp ? refused : new RegExp(escape(refused)));
      assert(error.length < 1000, `${error.length} letters are no text for a person`);
    }
    const most = name.endsWith("60,000 tensors") ? 2000 : 1000;
    assert(ms < most * SLOWER, `it took ${ms} ms`);
    // What is large may take more.
    assert(
      bytes < 64 * MIB || Deno.statSync(path).size > MIB,
      `it took ${(bytes / MIB).toFixed(1)} MiB`,
    );
    return null;
  } catch (e) {
    return `${name}: ${(e as Error).message}`;
  }
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
