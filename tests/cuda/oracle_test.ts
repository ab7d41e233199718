/** PyTorch's recorded answers on CUDA, where the folder with them is at hand. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { runFolder } from "../../scripts/oracle/run.ts";
import { shardNames } from "../../scripts/oracle/shards.ts";

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

/** Shards without a tensor. */
const withoutTensors = new Set(["init", "schedulers"]);

/** What a device found late is an error that names the kernel that raised it, not the op that asked for it. */
const late = /^throws without naming \w+: \w+: .* on cuda:0$/;

for (const shard of names()) {
  if (withoutTensors.has(shard)) continue;
  Deno.test(`oracle ${shard} on CUDA: no case of what runs there differs`, async () => {
    const { failures, totals } = await runFolder(folder, { shards: [shard], device: 1 });
    console.log(`${totals.passed} passed, ${totals.unsupported} unsupported`);
    const wrong = failures.filter(({ text }) => !late.test(text));
    assertEquals(wrong.map(({ id, text }) => `${id}: ${text}`), []);
    assert(totals.passed + totals.unsupported > 0);
  });
}
