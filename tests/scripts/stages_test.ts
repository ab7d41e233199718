/** The counting of tests and the messages of the build script. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { missing } from "../../scripts/build.ts";
import { count } from "../../scripts/stages.ts";

Deno.test("count: adds up the summaries of deno and cargo", () => {
  const output = [
    "running 2 tests from ./a_test.ts",
    "ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)",
    "\x1b[0m\x1b[31mFAILED\x1b[0m | 1 passed | 2 failed (1 step) (15ms)",
    "ok | 4 passed | 0 failed | 0 ignored (1 step) | 7 filtered out (2ms)",
    "test result: ok. 30 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    "test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
  ].join("\n");
  assertEquals(count(output), { passed: 52, failed: 3, skipped: 3 });
  assertEquals(count("error: Type checking failed."), { passed: 0, failed: 0, skipped: 0 });
  assertEquals(count("console.log: not ok | 3 passed | 0 failed"), {
    passed: 0,
    failed: 0,
    skipped: 0,
  });
});

Deno.test("build: an old Deno and a missing cargo have one clear message each", () => {
  const old = missing("2.1.4");
  assert(old);
  assertStringIncludes(old, "Toro needs Deno 2.9.0 or newer, this is 2.1.4");
  assertEquals(old.split("\n").length, 2);
  const cargo = missing("2.9.6", "cargo-that-is-not-there");
  assert(cargo);
  assertStringIncludes(cargo, "cargo was not found\nHint: install Rust from https://rustup.rs");
  assertEquals(missing("2.10.0", Deno.execPath()), undefined);
  assertEquals(missing("3.0.0-rc.1", Deno.execPath()), undefined);
});
