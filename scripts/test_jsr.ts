/**
 * `deno task test:jsr`: runs the TypeScript tests and the documentation's examples with the real JSR
 * packages, on a copy of deno.json without `links`. Needs jsr.io.
 */
import { root, runStage } from "./stages.ts";

const config = "deno.jsr.json";
const probe = "https://jsr.io/@std/assert/meta.json";

try {
  const response = await fetch(probe, { signal: AbortSignal.timeout(20_000) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
} catch (error) {
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  console.error(
    `Nothing was tested: jsr.io cannot be reached from here (${
      reason instanceof Error ? reason.message : reason
    })\nHint: this task needs the real packages; \`deno task test\` runs on the offline stand-ins`,
  );
  Deno.exit(1);
}

const { links: _, ...manifest } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));
await Deno.writeTextFile(root + config, JSON.stringify(manifest, null, 2) + "\n");
let passed = 0;
let failed = 0;
try {
  const common = ["-A", "--no-lock", "--config", config, "--sanitize-ops", "--sanitize-resources"];
  for (
    const [name, paths] of [
      ["typescript", ["tests"]],
      ["doc examples", ["--doc", "mod.ts", "src", "ffi"]],
    ] as const
  ) {
    const { counts } = await runStage({
      name: `${name} (JSR)`,
      command: [Deno.execPath(), "test", ...common, ...paths],
      tests: true,
    });
    passed += counts.passed;
    failed += counts.failed;
  }
} finally {
  await Deno.remove(root + config);
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed || !passed ? 1 : 0);
