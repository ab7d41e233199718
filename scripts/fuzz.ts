/**
 * `deno task fuzz [--count N] [--seed S] [--only OP] [--asan]`: sends random instructions to the native library, a
 * million unless told otherwise. With `--asan` the library is built anew, into native/target/asan, so that any access
 * outside a block of memory ends the run with a report.
 */
import { parseArgs } from "@std/cli/parse-args";
import { fuzzStage } from "./asan.ts";
import { demandTools } from "./build.ts";
import { runStage } from "./stages.ts";

const flags = parseArgs(Deno.args, {
  string: ["count", "seed", "only"],
  boolean: ["asan"],
  default: { count: "1000000", seed: "1", only: "" },
});
demandTools();

const env = {
  TORO_FUZZ: flags.count,
  TORO_FUZZ_SEED: flags.seed,
  TORO_FUZZ_ONLY: flags.only,
};
const { ok } = await runStage(fuzzStage(env, flags.asan));
Deno.exit(ok ? 0 : 1);
