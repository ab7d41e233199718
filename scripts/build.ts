/** `deno task build`: builds native/target/release/libtoro.so, after looking whether it can. */
import { crate, root, runStage, type Stage } from "./stages.ts";

/** The oldest Deno that Toro is tested with. */
const minimumDeno = "2.9.0";

/** The library that a build leaves, relative to the checkout. */
const library = "native/target/release/libtoro.so";

/** What is missing for a build, as one message, or nothing. */
export function missing(deno: string = Deno.version.deno, cargo = "cargo"): string | undefined {
  if (older(deno, minimumDeno)) {
    return `Toro needs Deno ${minimumDeno} or newer, this is ${deno}\n` +
      "Hint: `deno upgrade`, or run without installing: `npx -y deno@2.9.6 task demo`";
  }
  try {
    if (
      new Deno.Command(cargo, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync()
        .success
    ) {
      return undefined;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return "Cannot build the native library: cargo was not found\n" +
    "Hint: install Rust from https://rustup.rs, open a new shell, and run the task again; " +
    "or set TORO_LIB to a library that was built elsewhere";
}

/** Ends the script with what is missing, if anything is. */
export function demandTools(): void {
  const message = missing();
  if (message === undefined) return;
  console.error(message);
  Deno.exit(1);
}

function older(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split(/[.+-]/, 3).map(Number));
  for (let i = 0; i < 3; i++) {
    if (a[i] !== b[i]) return a[i] < b[i];
  }
  return false;
}

/** The stage that builds the library. */
export const buildStage: Stage = {
  name: "build",
  command: ["cargo", "build", "--release", "--locked", "--target-dir", "target"],
  cwd: crate,
};

if (import.meta.main) {
  demandTools();
  const { ok, seconds } = await runStage(buildStage);
  if (!ok) Deno.exit(1);
  const { size } = await Deno.stat(root + library);
  console.log(`${library}: ${(size / 1e6).toFixed(1)} MB, ${seconds.toFixed(1)} s`);
}
