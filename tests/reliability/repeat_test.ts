import { assertEquals, assertMatch } from "@std/assert";
import { repeat } from "./repeat.ts";

Deno.test("a seed gives the same weights in every process, with one thread and with two", async () => {
  const digests = await repeat(1, 20);
  assertMatch(digests[0], /^[0-9a-f]{64}$/);
  assertEquals(digests, [digests[0], digests[0]]);
});
