/**
 * kill -9 at moments spread evenly over saves: afterwards the path holds a whole state, the one whose save was reported
 * done or a later one, and the next save leaves no litter.
 */
import { assert } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { checkpoint } from "@toro/toro";
import { buildShim, Page, shimEnv } from "./shim.ts";
import { uniform, valueOf } from "./states.ts";

/** What the kills came to. */
export interface Killed {
  kills: number;
  /** Those between a save's first write and the folder's sync. */
  inside: number;
  /** By the calls that the save had made by then. */
  steps: Map<number, number>;
  /** What was wrong afterwards. */
  bad: string[];
  /** The most temporary files that a kill left. */
  litter: number;
}

/** Names in a folder that belong to no checkpoint. */
export function litterIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name)
    .filter((name) => !/\.safetensors(\.index\.json)?$/.test(name));
}

/** How the killed process saves: while it waits, beside itself, or into several files. */
export type Form = "save" | "async" | "shards";

/** Kills a process that saves over and over, so many times. */
export async function killSaves(
  kills: number,
  bytes: number,
  form: Form = "save",
  seed: number = 1,
): Promise<Killed> {
  const place = await Deno.makeTempDir({ prefix: "toro-kill-" });
  const folder = join(place, "saves"), path = join(folder, "state.safetensors");
  const script = fromFileUrl(new URL("./save_loop.ts", import.meta.url));
  await Deno.mkdir(folder);
  const killed: Killed = { kills: 0, inside: 0, steps: new Map(), bad: [], litter: 0 };
  let state = seed >>> 0, newest = 0;
  const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  try {
    const shim = await buildShim(place);
    await checkpoint.save(path, uniform(0, bytes));
    while (killed.kills < kills) {
      using page = new Page(join(place, `page-${killed.kills}`));
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "--no-check",
          script,
          path,
          page.path,
          String(newest + 1),
          String(bytes),
          form,
        ],
        env: shimEnv(shim, folder, page.path),
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const output = child.stdout.getReader();
      await output.read();
      // Saves follow each other without a pause, so any moment is as likely to lie anywhere in one.
      await new Promise((done) => setTimeout(done, random() * 150));
      child.kill("SIGKILL");
      const [{ signal }, errors] = await Promise.all([
        child.status,
        new Response(child.stderr).text(),
      ]);
      await output.cancel();
      assert(signal === "SIGKILL", `the script ended by itself: ${errors}`);
      killed.kills++;
      if (page.isInside) killed.inside++;
      killed.steps.set(page.steps, (killed.steps.get(page.steps) ?? 0) + 1);
      const done = page.note;
      try {
        const k = valueOf(await checkpoint.load(path));
        if (k < done) throw new Error(`save ${done} was reported done, the path holds ${k}`);
        if (k > done + 1) throw new Error(`save ${done} is the newest, the path holds ${k}`);
        newest = k;
      } catch (error) {
        killed.bad.push(`kill ${killed.kills} after save ${done}: ${(error as Error).message}`);
        newest = done + 1;
      }
      killed.litter = Math.max(killed.litter, litterIn(folder).length);
      await Deno.remove(page.path);
    }
    await checkpoint.save(path, uniform(newest + 1, bytes));
    const left = litterIn(folder);
    if (left.length > 0) killed.bad.push(`the save after the last kill left ${left.join(", ")}`);
  } finally {
    await Deno.remove(place, { recursive: true });
  }
  return killed;
}
