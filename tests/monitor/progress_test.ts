// Progress: what is drawn where, and that the loop sees its elements unchanged.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { duration, progress, ProgressLine } from "../../src/monitor/progress.ts";

Deno.test("lines: one for every tenth, and the last", async () => {
  const lines: string[] = [], seen: number[] = [];
  const source = Array.from({ length: 57 }, (_, i) => i);
  const options = {
    style: "lines" as const,
    label: "epoch 3",
    message: () => "loss 0.5",
    write: (t: string) => lines.push(t),
  };
  for await (const i of progress(source, options)) seen.push(i);
  assertEquals(seen, source);
  assertEquals(lines.length, 10);
  assertMatch(lines[0], /^epoch 3 {2}10% {2}6\/57 {2}.*\/s {2}.* left {2}loss 0\.5\n$/);
  assertMatch(lines[9], /^epoch 3 {2}100% {2}57\/57 {2}.*\/s {2}in 0\.\d s {2}loss 0\.5\n$/);
});

Deno.test("bar: redraws in place and ends the line", async () => {
  let text = "";
  async function* source() {
    for (let i = 0; i < 3; i++) yield await Promise.resolve(i);
  }
  for await (
    const _ of progress(source(), {
      style: "bar",
      total: 3,
      write: (t) => text += t,
    })
  ) { /* nothing to do */ }
  assert(text.startsWith("\r\x1b[2K███████░░░░░░░░░░░░░  33%  1/3"), JSON.stringify(text));
  assert(text.includes("████████████████████  100%  3/3"));
  assert(text.endsWith("\n"));
});

Deno.test("a broken loop closes its source and its line", async () => {
  let closed = false;
  const lines: string[] = [];
  async function* source() {
    try {
      for (let i = 0;; i++) yield await Promise.resolve(i);
    } finally {
      closed = true;
    }
  }
  for await (const i of progress(source(), { style: "lines", write: (t) => lines.push(t) })) {
    if (i === 2) break;
  }
  assert(closed);
  assertEquals(lines.length, 1);
  assertMatch(lines[0], /^2 steps/);
});

Deno.test("an empty source draws nothing", async () => {
  const lines: string[] = [];
  for await (const _ of progress([], { style: "bar", write: (t) => lines.push(t) })) assert(false);
  assertEquals(lines, []);
});

Deno.test("a synchronous source gives timers their turn", async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const step = () => {
    const end = performance.now() + 20;
    while (performance.now() < end);
  };
  for await (const _ of progress(new Set([1, 2, 3, 4, 5, 6, 7, 8]), { style: "none" })) step();
  clearInterval(timer);
  assert(ticks >= 1);
});

Deno.test("times of steps and of waiting for data are told apart", async () => {
  const steps: number[] = [], waits: number[] = [];
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  async function* source() {
    for (let i = 0; i < 2; i++) {
      await sleep(30);
      yield i;
    }
  }
  const onStep = (step: number, wait: number) => (steps.push(step), waits.push(wait));
  for await (const _ of progress(source(), { style: "none", onStep })) await sleep(5);
  assertEquals(steps.length, 2);
  assert(waits.every((wait) => wait > 20));
  assert(steps.every((step) => step > 3 && step < 25));
});

Deno.test("the element type stays", async () => {
  const batches: AsyncIterable<{ user: number }> = progress([{ user: 1 }], { style: "none" });
  for await (const { user } of batches) assertEquals(user.toFixed(1), "1.0");
});

Deno.test("durations", () => {
  assertEquals([0.25, 42.4, 185, 3729, Infinity].map(duration), [
    "0.3 s",
    "42 s",
    "3:05 min",
    "1:02:09 h",
    "?",
  ]);
});

Deno.test("outside a notebook the style follows standard error", () => {
  assertEquals(new ProgressLine().style, Deno.stderr.isTerminal() ? "bar" : "lines");
});
