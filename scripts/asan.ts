/**
 * `deno task test:asan [PATHS]`: builds the library with AddressSanitizer, into native/target/asan, and runs the
 * TypeScript tests under the paths (all of them without) on it, so that any access outside a block of memory ends the
 * run with a report. The gate runs the tests of kernels and ABI in this form, and the fuzzer.
 */
import { existsSync } from "node:fs";
import { demandTools } from "./build.ts";
import { crate, report, runStage, type Stage } from "./stages.ts";
import { denoTest } from "./test.ts";

const target = "x86_64-unknown-linux-gnu";

/** How cargo builds with the sanitizer: its runtime comes with the stable toolchain, its flag counts as unstable. */
const asanBuild: { args: string[]; env: Record<string, string> } = {
  args: ["--target", target, "--target-dir", "target/asan"],
  env: { RUSTC_BOOTSTRAP: "1", RUSTFLAGS: "-Zsanitizer=address" },
};

const build: Stage = {
  name: "asan build",
  command: ["cargo", "build", "--release", "--locked", ...asanBuild.args],
  cwd: crate,
  env: asanBuild.env,
};

/** The TypeScript tests under the paths on the instrumented library. */
function typescript(paths: string[]): Stage {
  return {
    name: "asan typescript",
    command: [...denoTest, "--no-check", ...paths],
    env: {
      TORO_LIB: `${crate}/target/asan/${target}/release/libtoro.so`,
      // Deno itself is not instrumented: the runtime is loaded first, and what V8 keeps to its end is no leak.
      LD_PRELOAD: runtime(),
      ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1",
    },
  };
}

/** The fuzzer of instructions, on the plain library or on the instrumented one; its environment says how many. */
export function fuzzStage(env: Record<string, string>, asan: boolean): Stage {
  const built = asan ? asanBuild.args : ["--target-dir", "target"];
  return {
    name: asan ? "asan fuzz" : "fuzz",
    command: [
      ...["cargo", "test", "--release", "--locked", "--test", "fuzz", ...built],
      ...["--", "--nocapture"],
    ],
    cwd: crate,
    // Memory that is given back at once, as the tests' own threads do, is no leak.
    env: asan ? { ...env, ...asanBuild.env, ASAN_OPTIONS: "detect_leaks=0" } : env,
  };
}

/** What the gate runs: kernels, ABI and fuzzer. */
export function asanStages(): Stage[] {
  return [build, typescript(["tests/ops", "tests/ffi"]), fuzzStage({ TORO_FUZZ: "100000" }, true)];
}

/** gcc's AddressSanitizer runtime. */
function runtime(): string {
  try {
    const { stdout } = new Deno.Command("gcc", { args: ["-print-file-name=libasan.so"] })
      .outputSync();
    const path = new TextDecoder().decode(stdout).trim();
    if (path.startsWith("/") && existsSync(path)) return path;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return fail("Cannot find libasan.so\nHint: install gcc, which comes with AddressSanitizer");
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}

if (import.meta.main) {
  demandTools();
  const tests = typescript(Deno.args.length > 0 ? Deno.args : ["tests"]);
  const built = await runStage(build);
  Deno.exit(report(built.ok ? [built, await runStage({ ...tests, tests: true })] : [built]));
}
