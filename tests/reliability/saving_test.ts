/** The short forms of `deno task test:soak kill io limits writers`. */
import { assert, assertEquals } from "@std/assert";
import { memory } from "@toro/toro";
import { failIo, orderOfSave } from "./io_failures.ts";
import { killSaves } from "./kill.ts";
import { closedFolder, fileSizeLimit, type Limited, smallDisk } from "./limits.ts";
import { hasCompiler } from "./shim.ts";
import { write } from "./writers.ts";

memory(); // opens the library before the sanitizers look

// Calls are counted by a library that gcc builds.
const ignore = !hasCompiler;

Deno.test({
  name: "a save writes, syncs the file, renames it and syncs the folder, in this order",
  ignore,
  async fn() {
    const calls = await orderOfSave();
    const last = (kind: string) => calls.findLastIndex((call) => call === kind);
    const order = [
      last("write"),
      calls.indexOf("sync"),
      calls.indexOf("rename"),
      last("syncFolder"),
    ];
    assert(order[0] >= 0, calls.join(" "));
    assertEquals(order, order.toSorted((a, b) => a - b), calls.join(" "));
  },
});

Deno.test({
  name: "kill -9 leaves the old state or the new one, and the next save no litter",
  ignore,
  async fn() {
    const { bad, inside } = await killSaves(6, 2_000_000);
    assertEquals(bad, []);
    assert(inside > 0, "no kill hit a save");
  },
});

for (const [form, stride] of [["save", 3], ["shards", 17], ["load", 1]] as const) {
  Deno.test({
    name:
      `a failing call (${form}) is an error that names the file, and what lies there stays whole`,
    ignore,
    async fn() {
      const { points, failures, reported, bad } = await failIo(form, stride);
      assertEquals(bad, []);
      assert(points > 2 && failures > 2 && reported > 2, `${points} ${failures} ${reported}`);
    },
  });
}

Deno.test("two writers to one path leave one's state or the other's", async () => {
  const { saved, bad } = await write(20);
  assertEquals(bad, []);
  assert(saved > 0);
});

Deno.test("a full disk, a limit or a missing permission leaves the old file whole", async () => {
  const all: Limited[] = [...await smallDisk(), await closedFolder(), await fileSizeLimit()];
  const skipped = all.filter(({ error }) => error === null).map(({ name }) => name);
  if (skipped.length > 0) console.log(`not possible on this machine: ${skipped.join(", ")}`);
  assert(skipped.length < all.length);
});
