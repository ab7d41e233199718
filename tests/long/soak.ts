/**
 * `deno task test:soak [FORM…]`: the long forms of what docs/reliability.md promises; without names all of them, which takes
 * about half an hour. `--kills 1000 --saves 500 --steps 10000 --runs 10 --seed 1`.
 */
import { assert, assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl } from "@std/path";
import { checkpoint } from "@toro/toro";
import { corpus } from "../checkpoint/hostile/corpus.ts";
import { examine, place, wrongIn } from "../checkpoint/hostile/verdict.ts";
import {
  failLoad,
  failOptimizer,
  failSave,
  failTraining,
  type Outcome,
} from "../reliability/allocations.ts";
import { failIo } from "../reliability/io_failures.ts";
import { type Form, killSaves } from "../reliability/kill.ts";
import { keep } from "../reliability/leak.ts";
import { closedFolder, fileSizeLimit, smallDisk } from "../reliability/limits.ts";
import { repeat } from "../reliability/repeat.ts";
import { snapshots } from "../reliability/snapshots.ts";
import { write } from "../reliability/writers.ts";
import { inFolder } from "../folder.ts";

const flags = parseArgs(Deno.args, {
  string: ["kills", "saves", "steps", "runs", "seed"],
  default: { kills: "1000", saves: "500", steps: "10000", runs: "10", seed: "1" },
});
const MIB = 2 ** 20;

function allocations({ points, survived, reported }: Outcome): string {
  assert(points > 0 && survived + reported > 0);
  return `${points} allocations, ${
    survived + reported
  } failures: ${reported} errors, ${survived} got over`;
}

async function kill(form: Form, times: number): Promise<string> {
  const { kills, inside, steps, bad, litter } = await killSaves(
    times,
    4_000_000,
    form,
    Number(flags.seed),
  );
  assertEquals(bad, []);
  assert(inside >= 0.3 * kills, `${inside} of ${kills} kills hit a save`);
  const spread = [...steps].sort(([a], [b]) => a - b).map(([at, n]) => `${at}: ${n}`).join(", ");
  return `${kills} kills, ${inside} between first write and sync of the folder, 0 bad; most files left ${litter}; by calls since the first write ${spread}`;
}

async function inspect(path: string): Promise<number> {
  const script = fromFileUrl(new URL("../../src/cli/main.ts", import.meta.url));
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, "inspect", path],
    stdout: "null",
    stderr: "null",
  }).output();
  return code;
}

/** Each form, and the line that says what came of it. */
const forms: Record<string, () => Promise<string>> = {
  kill: () => kill("save", Number(flags.kills)),
  killAsync: () => kill("async", Number(flags.kills) / 4),
  killShards: () => kill("shards", Number(flags.kills) / 4),
  async snapshots() {
    const { saves, bad } = await snapshots(Number(flags.saves) * 2);
    assertEquals(bad, []);
    return `${saves} saves beside a state that changes at once: each file holds what was there at the call`;
  },
  async hostile() {
    const files = corpus();
    return await inFolder(async (dir) => {
      const paths = place(files, dir), wrong: string[] = [];
      let longestMs = 0, mostBytes = 0;
      for (const [i, file] of files.entries()) {
        // A process for each file, and the command's exit code.
        const [[answer], code] = await Promise.all([examine([paths[i]]), inspect(paths[i])]);
        const found = wrongIn(file, paths[i], answer);
        if (found !== null) wrong.push(found);
        if (code !== Number(file.refused !== null)) wrong.push(`${file.name}: exit code ${code}`);
        if (Deno.statSync(paths[i]).size > MIB) continue;
        longestMs = Math.max(longestMs, answer.ms);
        mostBytes = Math.max(mostBytes, answer.bytes);
      }
      assertEquals(wrong, []);
      return `${files.length} files, a process for each: every verdict met; below 1 MB at most ${
        longestMs.toFixed(0)
      } ms of processor time and ${(mostBytes / MIB).toFixed(1)} MiB`;
    });
  },
  async io() {
    const lines = [];
    for (const form of ["save", "async", "shards", "load", "lazy"] as const) {
      const { points, failures, reported, survived, bad } = await failIo(form);
      assertEquals(bad, []);
      assert(failures > 0 && reported > 0);
      lines.push(
        `${form}: ${points} calls, ${failures} failures, ${reported} errors, ${survived} got over`,
      );
    }
    return lines.join("; ");
  },
  async limits() {
    const all = [...await smallDisk(), await fileSizeLimit(), await closedFolder()];
    return all.map(({ name, error }) =>
      `${name}: ${error === null ? "not possible here" : "error, old file whole"}`
    )
      .join("; ");
  },
  async writers() {
    const { saved, refused, others, bad } = await write(Number(flags.saves));
    assertEquals(bad, []);
    assert(others > 0, "the writers never met");
    return `2 processes: ${saved} saves, ${refused} refused, ${others} reads of the other's state, 0 mixtures`;
  },
  async allocations() {
    const training = await failTraining();
    assert(training.grownBytes < MIB, `${training.grownBytes} bytes stayed behind`);
    return [
      `training step: ${allocations(training)}`,
      `optimiser's step: ${allocations(await failOptimizer())}`,
      `save: ${allocations(await inFolder((dir) => failSave(dir)))}`,
      `asyncSave: ${allocations(await inFolder((dir) => failSave(dir, 1, checkpoint.asyncSave)))}`,
      `load: ${allocations(await inFolder((dir) => failLoad(dir)))}`,
    ].join("; ");
  },
  async leak() {
    const kept = await keep(Number(flags.steps));
    assertEquals([kept.moreBytes, kept.moreHandles], [0, 0]);
    const grown = kept.moreResidentBytes / MIB;
    assert(grown < 16, `resident memory grew by ${grown.toFixed(1)} MiB`);
    return `${flags.steps} steps: live bytes and storages constant, resident ${
      (kept.residentBytes / MIB).toFixed(1)
    } MiB after the first tenth, ${grown.toFixed(1)} more at the end`;
  },
  async repeat() {
    const digests = await repeat(Number(flags.runs), 50);
    assertEquals(new Set(digests).size, 1);
    return `${digests.length} processes, half of them with 2 threads: one SHA-256 of weights`;
  },
};

for (const name of flags._.length > 0 ? flags._.map(String) : Object.keys(forms)) {
  const form = forms[name];
  assert(
    form !== undefined,
    `there is no form ${name}; known are ${Object.keys(forms).join(", ")}`,
  );
  const begin = performance.now();
  const line = await form();
  console.log(`${name} (${((performance.now() - begin) / 1000).toFixed(0)} s): ${line}`);
}
