/**
 * `deno task test`: builds the library, then runs the TypeScript tests, the examples in the
 * documentation and the Rust tests. With paths (`deno task test tests/nn`) only the TypeScript tests
 * under them run.
 */
import { existsSync } from "node:fs";
import { buildStage, demandTools } from "./build.ts";
import { crate, type Outcome, report, root, runStage, type Stage } from "./stages.ts";

/** `deno test` with the sanitizers, which are off unless asked for. */
export const denoTest: string[] = [
  Deno.execPath(),
  "test",
  "-A",
  "--sanitize-ops",
  "--sanitize-resources",
  "--preload",
  "./tests/preload.ts",
];

/** Where documentation with examples stands. */
const documented = ["mod.ts", "src", "ffi", "docs", "README.md"];

/** Builds and runs every test; paths limit it to the TypeScript tests under them. */
export async function runTests(paths: string[] = []): Promise<Outcome[]> {
  const stages: Stage[] = [{
    name: "typescript",
    // Those of CUDA run on the emulator: `deno task test:cuda`.
    command: [...denoTest, ...(paths.length ? paths : ["--ignore=tests/cuda", "tests"])],
    tests: true,
  }];
  if (!paths.length) {
    stages.push({
      name: "doc examples",
      command: [...denoTest, "--doc", ...documented.filter((path) => existsSync(root + path))],
      tests: true,
    }, {
      name: "rust",
      command: [
        "cargo",
        "test",
        "--release",
        "--locked",
        "--no-fail-fast",
        "--target-dir",
        "target",
      ],
      cwd: crate,
      tests: true,
    });
  }
  const outcomes = [await runStage(buildStage)];
  if (!outcomes[0].ok) return outcomes;
  for (const stage of stages) outcomes.push(await runStage(stage));
  return outcomes;
}

if (import.meta.main) {
  demandTools();
  Deno.exit(report(await runTests(Deno.args)));
}
