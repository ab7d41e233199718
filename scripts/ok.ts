/** `deno task ok`: the one gate. Every stage runs, also after one has failed; the tests come last. */
import { asanStages } from "./asan.ts";
import { buildStage, missing } from "./build.ts";
import { crate, type Outcome, report, runStage, type Stage } from "./stages.ts";
import { runTests } from "./test.ts";
import { cudaTests, GATE } from "./test_cuda.ts";

const deno = Deno.execPath();

const stages: Stage[] = [
  { name: "fmt", command: [deno, "fmt", "--check"] },
  { name: "lint", command: [deno, "lint"] },
  { name: "check", command: [deno, "check", "."] },
  // The table that generated files are compared with is in the library.
  buildStage,
  { name: "gen:check", command: [deno, "run", "-A", "scripts/gen.ts", "--check"] },
  {
    name: "clippy",
    command: [
      "cargo",
      "clippy",
      "--release",
      "--locked",
      "--all-targets",
      "--target-dir",
      "target",
      "--",
      "-D",
      "warnings",
    ],
    cwd: crate,
  },
  { name: "rustfmt", command: ["cargo", "fmt", "--check"], cwd: crate },
];

const message = missing();
if (message) {
  console.error(message);
  console.log("0 passed, 1 failed");
  Deno.exit(1);
}
const outcomes: Outcome[] = [];
for (const stage of [...stages, ...asanStages()]) outcomes.push(await runStage(stage));
outcomes.push(...await runTests());
// The library stands since the tests before.
outcomes.push(...await cudaTests(GATE));
Deno.exit(report(outcomes));
