// Charts: round ticks, texts, gaps, and that nothing leaves the picture.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { chartGrid, lineChart, ticks, tickTexts, valueText } from "../../src/monitor/charts.ts";

Deno.test("ticks are round and inside", () => {
  assertEquals(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
  assertEquals(ticks(-3, 7, 5), [-2, 0, 2, 4, 6]);
  assertEquals(ticks(0, 3, 8, true), [0, 1, 2, 3]);
  assertEquals(ticks(5, 5, 4), [5]);
  assertEquals(ticks(0, 99, 8, true).every(Number.isInteger), true);
});

Deno.test("tick texts have equal decimals", () => {
  assertEquals(tickTexts([0, 0.2, 0.4]), ["0.0", "0.2", "0.4"]);
  assertEquals(tickTexts([-10, 0, 10]), ["−10", "0", "10"]);
  assertEquals(tickTexts([0, 0.0002, 0.0004]), ["0", "2e−4", "4e−4"]);
  assertEquals(tickTexts([0.95, 1, 1.05]), ["0.95", "1.00", "1.05"]);
  assertEquals([0.123456, 1e-5, 12.345, 1234.5, NaN].map(valueText), [
    "0.1235",
    "1e−5",
    "12.35",
    "1234.5",
    "NaN",
  ]);
});

Deno.test("texts are escaped and lines break at NaN", () => {
  const svg = lineChart({
    title: "a < b & c",
    series: [{ name: "x", points: [[0, 1], [1, 2], [2, NaN], [3, 1], [4, NaN], [5, 2], [6, 3]] }],
  });
  assert(svg.includes("a &lt; b &amp; c"));
  const path = svg.match(/<path d="(M[^"]*)" fill="none"/)![1];
  assertEquals(path.match(/M/g)!.length, 3);
  assertEquals(path.match(/L/g)!.length, 2);
  assertEquals(svg.match(/<circle/g)!.length, 5, "few points get dots");
  assert(!svg.includes("NaN"));
});

Deno.test("no values, one value and equal values make a chart", () => {
  assertMatch(lineChart({ title: "t", series: [] }), /no values yet/);
  for (const points of [[[3, 0.5]], [[0, 2], [1, 2]], [[0, 0], [1, 0]], [[0, -1e-9], [1, 1e9]]]) {
    const svg = lineChart({
      title: "t",
      series: [{ name: "x", points: points as [number, number][] }],
    });
    assert(!/NaN|Infinity|undefined/.test(svg), svg);
  }
});

Deno.test("names of lines that end together are moved apart", () => {
  const names = ["alpha", "beta", "gamma"];
  const svg = lineChart({
    title: "t",
    series: names.map((name) => ({ name, points: [[0, 1], [1, 2]] })),
  });
  const heights = names.map((name) =>
    Number(svg.match(new RegExp(`y="([^"]+)"[^>]*>${name}<`))![1])
  );
  assert(heights[1] - heights[0] >= 14.9 && heights[2] - heights[1] >= 14.9, String(heights));
});

Deno.test("long lines keep their peaks", () => {
  const points = Array.from(
    { length: 20_000 },
    (_, i) => [i, i === 777 ? 50 : Math.sin(i)] as const,
  );
  const svg = lineChart({ title: "t", series: [{ name: "x", points }] });
  assert(svg.length < 60_000);
  assert(!svg.includes("<circle"));
  const heights = [
    ...svg.match(/<path d="(M[^"]*)" fill="none"/)![1].matchAll(/[ML]\S+ (\S+?)(?=[ML]|$)/g),
  ].map((m) => Number(m[1]));
  assert(Math.min(...heights) < 70, String(Math.min(...heights)));
});

Deno.test("a grid holds every chart", () => {
  const chart = { title: "t", series: [] };
  assertMatch(chartGrid([chart, chart, chart]), /width="1040" height="660"/);
  assertMatch(chartGrid([chart], { title: "Run 1" }), /width="520" height="370"/);
});
