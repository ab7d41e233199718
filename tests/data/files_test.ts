// The gate for paths that native code opens.
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { checkedPath } from "../../ffi/files.ts";
import { DataError } from "../../src/errors.ts";

Deno.test({
  name: "only paths this script may use pass",
  permissions: { read: ["/tmp/toro_in", "data"], write: ["/tmp/toro_out"] },
  fn: () => {
    assertEquals(checkedPath("/tmp/toro_in/a/../b.csv", "read"), "/tmp/toro_in/b.csv");
    assertEquals(checkedPath("data/x.csv", "read"), "data/x.csv");
    assertEquals(checkedPath(new URL("file:///tmp/toro_out/x%20y"), "write"), "/tmp/toro_out/x y");
    for (const path of ["/tmp/toro_in", "/tmp/toro_out/../x", "deno.json"]) {
      const error = assertThrows(() => checkedPath(path, "write"), DataError);
      assertStringIncludes(error.message, "--allow-write=");
    }
    assertThrows(
      () => checkedPath("/tmp/toro_in/../toro_out/x", "read"),
      DataError,
      "--allow-read=/tmp/toro_out/x",
    );
  },
});

Deno.test("what is no path of a file is refused", () => {
  assertThrows(() => checkedPath("", "read"), DataError, "it is no path");
  assertThrows(() => checkedPath("a\0b", "read"), DataError, "it is no path");
  assertThrows(
    () => checkedPath(new URL("https://example.com/x"), "read"),
    DataError,
    "begins with https:",
  );
});
