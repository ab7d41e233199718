/**
 * `deno task gen` and `deno task gen:check`: runs every generator, `scripts/gen_*.ts`. Each writes its
 * files, or with `--check` compares them and exits non-zero when one is stale.
 */
import { root, runStage } from "./stages.ts";

const generators = [...Deno.readDirSync(`${root}scripts`)].map((entry) => entry.name)
  .filter((name) => /^gen_.*\.ts$/.test(name)).sort();
let failed = generators.length === 0;
if (failed) console.error("No generator (scripts/gen_*.ts) was found");
for (const name of generators) {
  const { ok } = await runStage({
    name,
    command: [Deno.execPath(), "run", "-A", `scripts/${name}`, ...Deno.args],
  });
  failed ||= !ok;
}
if (failed && Deno.args.includes("--check")) console.error("Hint: run `deno task gen`");
Deno.exit(failed ? 1 : 0);
