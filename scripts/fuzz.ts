/**
 * `deno task fuzz [--count N] [--seed S] [--only OP] [--asan]`: sends random instructions to the native library, a
 * million unless told otherwise. With `--asan` the library is built anew, into native/target/asan, so that any access
 * outside a block of memory ends the run with a report.
 */
import { parseArgs } from "@std/cli/parse-args";
import { asanBuild } from "./asan.ts";
import { missing } from "./build.ts";
import { crate } from "./stages.ts";

const flags = parseArgs(Deno.args, {
  string: ["count", "seed", "only"],
  boolean: ["asan"],
  default: { count: "1000000", seed: "1", only: "" },
});
const lacking = missing();
if (lacking !== undefined) {
  console.error(lacking);
  Deno.exit(1);
}

const env: Record<string, string> = {
  TORO_FUZZ: flags.count,
  TORO_FUZZ_SEED: flags.seed,
  TORO_FUZZ_ONLY: flags.only,
};
const args = ["test", "--release", "--locked", "--test", "fuzz"];
if (flags.asan) {
  Object.assign(env, asanBuild.env);
  // Memory that is given back at once, as the tests' own threads do, is no leak.
  env.ASAN_OPTIONS = "detect_leaks=0";
  args.push(...asanBuild.args);
} else {
  args.push("--target-dir", "target");
}
const { code } = await new Deno.Command("cargo", {
  args: [...args, "--", "--nocapture"],
  cwd: crate,
  env,
  stdout: "inherit",
  stderr: "inherit",
}).output();
Deno.exit(code);
