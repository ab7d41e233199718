/** PyTorch's recorded answers, where the folder with them is at hand: ops, modules, training, programs. */
import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { memory } from "../../mod.ts";
import { runFolder } from "../../scripts/oracle/run.ts";
import { shardNames } from "../../scripts/oracle/shards.ts";

// The library is opened once and for good, outside any test.
memory();

const shared = Deno.env.get("TORO_SHARED") ??
  fromFileUrl(new URL("../../../shared", import.meta.url));
const folder = join(shared, "oracle");

function names(): string[] {
  try {
    return shardNames(folder);
  } catch {
    return [];
  }
}

const shards = names();

Deno.test({
  name: "oracle: PyTorch's answers are at hand (TORO_SHARED)",
  ignore: shards.length === 0,
  fn: () => {},
});

for (const shard of shards) {
  Deno.test(`oracle ${shard}: no case of what Toro has differs`, async () => {
    const { failures, totals } = await runFolder(folder, { shards: [shard] });
    console.log(
      `${totals.passed} passed, ${totals.missing} missing, ${totals.unsupported} unsupported`,
    );
    assertEquals(failures.map(({ id, text }) => `${id}: ${text}`), []);
  });
}
