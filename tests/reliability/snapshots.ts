/** Saves beside the script while the state goes on changing: each file holds what was there when the save was asked for. */
import { join } from "@std/path";
import { checkpoint, type Tensor } from "@toro/toro";
import { uniform, valueOf } from "./states.ts";

/** What the saves came to. */
export interface Snapshots {
  saves: number;
  bad: string[];
}

/** Saves so many times, and changes every tensor in place right after each call. */
export async function snapshots(saves: number, bytes: number = 1_000_000): Promise<Snapshots> {
  const folder = await Deno.makeTempDir({ prefix: "toro-snapshots-" });
  const path = join(folder, "state.safetensors"), bad: string[] = [];
  try {
    const state = uniform(0, bytes) as ReturnType<typeof uniform> & {
      first: number;
      last: number;
      tensors: Record<string, Tensor>;
      deep: { list: unknown[]; counter: Tensor };
    };
    const tensors = [...Object.values(state.tensors), state.deep.counter];
    const setTo = (k: number) => {
      state.first = k;
      state.deep.list = [k, `${k}`];
      for (const tensor of tensors) tensor.fill_(k);
      state.last = k;
    };
    for (let k = 1; k <= saves; k++) {
      setTo(k);
      const saved = checkpoint.asyncSave(path, state);
      // As training does at once.
      setTo(-k);
      if (k % 3 === 0) await new Promise((done) => setTimeout(done, 0));
      setTo(-k - 1);
      await saved;
      try {
        const read = valueOf(await checkpoint.load(path));
        if (read !== k) throw new Error(`the path holds ${read}`);
      } catch (error) {
        bad.push(`save ${k}: ${(error as Error).message}`);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return { saves, bad };
}
