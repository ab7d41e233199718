/** What it takes until a process has imported the library, added two tensors and ended. */

/** One process. */
export interface Start {
  ms: number;
  /** Peak of resident memory. */
  bytes: number;
}

const root = new URL("../../", import.meta.url).pathname;
const TORO = `
import { ones, processMemory } from "${root}mod.ts";
ones([2]).add(ones([2]));
console.log(processMemory().peakResidentBytes);
`;
const TORCH = `
import torch
torch.ones(2) + torch.ones(2)
print([int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
`;

async function start(command: string, args: string[]): Promise<Start> {
  const begin = performance.now();
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd: root }).output();
  const ms = performance.now() - begin;
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return { ms, bytes: Number(new TextDecoder().decode(stdout)) };
}

/** Alternating starts of both; the first of each only warms the caches. */
export async function startUp(
  python: string,
  pairs: number,
): Promise<{ toro: Start[]; torch: Start[] }> {
  const script = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(script, TORO);
  const config = ["--config", `${root}deno.json`];
  const toro: Start[] = [], torch: Start[] = [];
  for (let pair = 0; pair <= pairs; pair++) {
    toro.push(await start(Deno.execPath(), ["run", "-A", "--no-check", ...config, script]));
    torch.push(await start(python, ["-c", TORCH]));
  }
  await Deno.remove(script);
  return { toro: toro.slice(1), torch: torch.slice(1) };
}
