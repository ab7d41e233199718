/** What memory a long training run keeps. */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";

/** Bytes and storages after the first tenth of the steps, and how many more there are at the end. */
export interface Kept {
  liveBytes: number;
  handles: number;
  residentBytes: number;
  moreBytes: number;
  moreHandles: number;
  moreResidentBytes: number;
}

/** Runs so many steps in a process of its own. */
export async function keep(steps: number): Promise<Kept> {
  const script = fromFileUrl(new URL("./leak_script.ts", import.meta.url));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, String(steps)],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const { before, after } = JSON.parse(new TextDecoder().decode(stdout));
  return {
    ...before,
    moreBytes: after.liveBytes - before.liveBytes,
    moreHandles: after.handles - before.handles,
    moreResidentBytes: after.residentBytes - before.residentBytes,
  };
}
