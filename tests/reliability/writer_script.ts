/**
 * One of several writers to one path: PATH NUMBER SAVES. After each save it reads the path. Prints a line of JSON: saves that were
 * done, those that were refused because another was writing, mixtures, and how often another writer's state was read.
 */
import { checkpoint, CheckpointError } from "@toro/toro";
import { uniform, valueOf } from "./states.ts";

const [path, number, saves] = Deno.args;
// Both begin at once.
console.log("ready");
await Deno.stdin.read(new Uint8Array(1));
const mine = Number(number) * 1_000_000;
const told = { saved: 0, refused: 0, others: 0, bad: [] as string[] };
for (let i = 1; i <= Number(saves); i++) {
  try {
    await checkpoint.save(path, uniform(mine + i, 100_000));
    told.saved++;
  } catch (error) {
    if (error instanceof CheckpointError && /lock|another|writ/.test(error.message)) told.refused++;
    else told.bad.push((error as Error).message);
  }
  try {
    const k = valueOf(await checkpoint.load(path));
    if (Math.floor(k / 1_000_000) !== Number(number)) told.others++;
  } catch (error) {
    told.bad.push((error as Error).message);
  }
}
console.log(JSON.stringify(told));
