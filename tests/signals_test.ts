import { assert, assertEquals } from "@std/assert";
import { pendingSignal, turn, watchSignals } from "../src/signals.ts";

const signals = new URL("../src/signals.ts", import.meta.url).href;

async function run(code: string): Promise<{ code: number; out: string }> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      file,
      `import { interrupted, pendingSignal, turn, watchSignals } from "${signals}";\n${code}`,
    );
    const { code: status, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", file],
    }).output();
    return { code: status, out: new TextDecoder().decode(stdout).trim() };
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("while someone watches, the first signal waits and the second ends the process", async () => {
  const { code, out } = await run(`
    const stop = watchSignals();
    Deno.kill(Deno.pid, "SIGINT");
    while (pendingSignal() === null) await turn();
    console.log(pendingSignal());
    Deno.kill(Deno.pid, "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 5000));
    console.log("still here");`);
  assertEquals([code, out], [143, "SIGINT"]);
});

Deno.test("a caught interrupt does not end the process, an uncaught one does with its own code", async () => {
  const caught = await run(`
    try { throw interrupted("SIGINT", "stopped"); } catch (error) { console.log(error.name); }`);
  assertEquals([caught.code, caught.out], [0, "InterruptedError"]);
  assertEquals((await run(`throw interrupted("SIGTERM", "stopped");`)).code, 143);
  assertEquals((await run(`throw new Error("other");`)).code, 1);
});

Deno.test("after the last watcher nothing is left, and turns come every 50 ms at most", async () => {
  const first = watchSignals(), second = watchSignals();
  first();
  first();
  second();
  assertEquals(pendingSignal(), null);
  const start = performance.now();
  let turns = 0;
  while (performance.now() < start + 130) {
    const waiting = turn();
    if (waiting !== null) turns++;
    await waiting;
  }
  assert(turns >= 2 && turns <= 4, String(turns));
});
