/**
 * Failing I/O at every n-th call of a save and of a load: an error, the old file (or, once it is renamed, the new one) whole,
 * and nothing left beside it.
 */
import { assert } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { buildShim, type Kind, Page, shimEnv } from "./shim.ts";

/** What the failures came to. */
export interface IoOutcome {
  /** Calls that a save or load makes on the folder. */
  points: number;
  /** Times that a call failed. */
  failures: number;
  /** Of these, errors of Toro's. */
  reported: number;
  /** Of these, successes. */
  survived: number;
  bad: string[];
}

async function underShim<T>(
  body: (
    run: (script: string, ...args: string[]) => Promise<string>,
    page: Page,
    path: string,
  ) => Promise<T>,
): Promise<T> {
  const place = await Deno.makeTempDir({ prefix: "toro-io-" });
  try {
    const folder = join(place, "saves"), path = join(folder, "state.safetensors");
    await Deno.mkdir(folder);
    const shim = await buildShim(place);
    using page = new Page(join(place, "page"));
    const run = async (script: string, ...args: string[]) => {
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "--no-check",
          fromFileUrl(new URL(script, import.meta.url)),
          path,
          page.path,
          ...args,
        ],
        env: shimEnv(shim, folder, page.path),
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      return new TextDecoder().decode(stdout);
    };
    return await body(run, page, path);
  } finally {
    await Deno.remove(place, { recursive: true });
  }
}

/** What is done while calls fail: a save, one beside the script, one into several files, a load, a lazy one. */
export type IoForm = "save" | "async" | "shards" | "load" | "lazy";

/** Lets each call fail in turn, or every `stride`-th. */
export function failIo(form: IoForm, stride: number = 1): Promise<IoOutcome> {
  return underShim(async (run) => JSON.parse(await run("./io_script.ts", form, String(stride))));
}

/** The calls of one save in their order. */
export function orderOfSave(): Promise<Kind[]> {
  return underShim(async (run, page) => {
    await run("./io_script.ts", "order", "1");
    return page.log();
  });
}
