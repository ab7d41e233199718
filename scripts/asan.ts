/**
 * `deno task test:asan [PATHS]`: builds the library with AddressSanitizer, into native/target/asan, and runs the
 * TypeScript tests under the paths (all of them without) on it, so that any access outside a block of memory ends the
 * run with a report. Takes several times as long as the plain tests.
 */
import { existsSync } from "node:fs";
import { missing } from "./build.ts";
import { crate, root } from "./stages.ts";
import { denoTest } from "./test.ts";

const target = "x86_64-unknown-linux-gnu";

/** How cargo builds with the sanitizer: its runtime comes with the stable toolchain, its flag counts as unstable. */
export const asanBuild: { args: string[]; env: Record<string, string> } = {
  args: ["--target", target, "--target-dir", "target/asan"],
  env: { RUSTC_BOOTSTRAP: "1", RUSTFLAGS: "-Zsanitizer=address" },
};

if (import.meta.main) {
  const lacking = missing();
  if (lacking !== undefined) fail(lacking);
  await run("cargo", ["build", "--release", "--locked", ...asanBuild.args], crate, asanBuild.env);
  const paths = Deno.args.length > 0 ? Deno.args : ["tests"];
  await run(denoTest[0], [...denoTest.slice(1), "--no-check", ...paths], root, {
    TORO_LIB: `${crate}/target/asan/${target}/release/libtoro.so`,
    // Deno itself is not instrumented: the runtime is loaded first, and what V8 keeps to its end is no leak.
    LD_PRELOAD: runtime(),
    ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1",
  });
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

async function run(command: string, args: string[], cwd: string, env: Record<string, string>) {
  const { code } = await new Deno.Command(command, { args, cwd, env }).spawn().status;
  if (code !== 0) Deno.exit(code);
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}
