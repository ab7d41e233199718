/** Chapters 1 to 4 of the guide, each run by the one line in its first comment, at reduced size. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { runExample } from "./run.ts";

async function chapter(name: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runExample(`guide/${name}.ts`, args);
  assertEquals(code, 0, err);
  return out;
}

/** The number behind a word. */
function after(text: string, word: string): number {
  const found = text.match(new RegExp(`${word} (-?[0-9.]+(?:e-?\\d+)?)`));
  assert(found !== null, `no "${word}" in:\n${text}`);
  return Number(found[1]);
}

Deno.test("chapter 1 makes embeddings and financial features", async () => {
  const out = await chapter("01_tensors", "--users", "20000", "--batch", "100");
  assertMatch(out, /user embeddings: \[20000, 128\], biases: \[20000\]/);
  assert(Math.abs(after(out, "deviation") - 0.1) < 0.001);
  assert(Math.abs(after(out, "mean")) < 0.001);
  assertEquals(after(out, "biases sum to"), 0);
  assertMatch(out, /features: \[100, 30, 50\] → \[100, 1600\]/);
  assertMatch(out, /norms from (0.99999\d|1.00000\d) to (0.99999\d|1.00000\d)/);
});

Deno.test("chapter 2 attends and recommends", async () => {
  const out = await chapter(
    "02_modules",
    ..."--users 1000 --items 100 --batch 16 --length 8".split(" "),
  );
  assertMatch(out, /attention: \[8, 8, 512\] → \[8, 8, 512\]/);
  assertMatch(out, /1,050,112 parameters/);
  // What a LayerNorm gives that has just been made.
  assert(Math.abs(after(out, "deviation") - 1) < 0.001);
  assertMatch(out, /\(user_embedding\): Embedding\(1000, 128\)/);
  const layers = 256 * 512 + 512 * 256 + 256 * 128 + 128 + 3 * (512 + 256 + 128) + 1;
  const parameters = (1100 * 128 + layers).toLocaleString("en");
  assertMatch(out, new RegExp(`recommender: ${parameters} parameters, predictions \\[16\\]`));
  assert(after(out, "from") > 0 && after(out, "from") < 1);
});

Deno.test("chapter 3 analyses gradients and trains with accumulation", async () => {
  const out = await chapter(
    "03_autograd",
    ..."--users 500 --items 50 --batch 128 --batches 21 --epochs 3".split(" "),
  );
  assertMatch(out, /mean gradient norm of 10 batches: \d/);
  const layers = [...out.matchAll(/^ {2}(\S+) +([0-9.]+)$/gm)];
  assertEquals(layers[0][1], "user_embedding");
  assertEquals(layers.length, 2 + 3 * 2 + 1);
  assert(layers.every(([, , norm]) => Number(norm) > 0));
  assertMatch(out, /epoch 0: .*rate 1\.0000e-3, 21 batches, 6 updates/);
  assertMatch(out, /epoch 1: .*rate 9\.9975e-4/);
  const losses = [...out.matchAll(/loss ([0-9.]+)/g)].map(([, loss]) => Number(loss));
  assert(losses[2] < losses[0] - 0.05, `losses ${losses}`);
});

Deno.test("chapter 4 loads, caches and prepares items", async () => {
  const out = await chapter(
    "04_data",
    ..."--items 5000 --batch 64 --cache 500 --batches 5".split(" "),
  );
  assertMatch(out, /5,000 items in 79 batches of 64/);
  assertMatch(out, /features \[64, 100\], labels \[64, 1\]/);
  assert(Math.abs(after(out, "mean")) < 1e-4);
  assert(Math.abs(after(out, "deviation") - 1) < 1e-3);
  assertMatch(out, /cache: 500 items in 0\.20 MB; a second visit of 500 items had 500 hits and 0/);
});
