import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { runExample } from "./run.ts";
import { inFolder } from "../folder.ts";

/** Runs a chapter, whose folder of files is `out`. */
async function chapter(name: string, out: string, ...args: string[]): Promise<string> {
  const run = await runExample(`guide/${name}`, ["--out", out, ...args], { out });
  assertEquals(run.code, 0, run.err);
  return run.out;
}

/** The number behind a word. */
function numberAfter(text: string, word: string): number {
  return Number(text.slice(text.indexOf(word) + word.length).match(/[\d.]+/)![0]);
}

Deno.test("chapter 5 keeps the last and the best checkpoint, and predicts in int8 as in float32", () =>
  inFolder(async (dir) => {
    const sizes = ["--users", "300", "--items", "60", "--dim", "16", "--interactions", "20000"];
    const text = await chapter(
      "05_deployment.ts",
      dir,
      ...sizes,
      "--epochs",
      "4",
      "--batch",
      "128",
    );
    const kept = [...Deno.readDirSync(join(dir, "checkpoints"))].map(({ name }) => name).sort();
    assertEquals(kept.length, 4);
    assertStringIncludes(text, `kept: ${kept.join(", ")}`);
    const lines = text.split("\n");
    const [float, int8] = ["float32", "int8"].map((type) =>
      lines.find((line) => line.startsWith(`${type}:`))!
    );
    for (const word of ["accuracy", "AUC"]) {
      const [a, b] = [numberAfter(float, word), numberAfter(int8, word)];
      assert(a > 0.6 && Math.abs(a - b) <= 0.01 * a, `${word}: ${a} and ${b}`);
    }
    assert(numberAfter(int8, "layers of") < 0.4 * numberAfter(float, "layers of"));
  }));

Deno.test("chapter 6 stops when it gets no better, and leaves log and curves", () =>
  inFolder(async (dir) => {
    const text = await chapter(
      "06_monitoring.ts",
      dir,
      "--users",
      "400",
      "--items",
      "50",
      "--interactions",
      "4000",
      "--patience",
      "2",
      "--batch",
      "64",
    );
    const [, last, best] = text.match(/stopped after epoch (\d+): no better than epoch (\d+)/)!;
    assertEquals(Number(last), Number(best) + 2);
    const log = (await Deno.readTextFile(join(dir, "logs/train.log.jsonl"))).trimEnd().split("\n");
    assertEquals(log.length, Number(last) + 1);
    const records = log.map((line) => JSON.parse(line));
    for (const name of ["trainLoss", "trainAcc", "valLoss", "valAcc", "lr"]) {
      assert(records.every((record) => Number.isFinite(record[name])), name);
    }
    assert(records.at(-1).valLoss > records[Number(best)].valLoss);
    assertMatch(await Deno.readTextFile(join(dir, "logs/curves.svg")), /^<svg/);
    const png = await Deno.readFile(join(dir, "logs/curves.png"));
    assertEquals([...png.subarray(1, 4)], [..."PNG"].map((letter) => letter.charCodeAt(0)));
  }));

Deno.test("chapter 7 goes from interactions to a deployed model, and resumes to the same bits", () =>
  inFolder(async (dir) => {
    const sizes = ["--users", "500", "--items", "80", "--dim", "16", "--interactions", "30000"];
    const flags = [...sizes, "--batch", "64"];
    const text = await chapter("07_pipeline.ts", dir, ...flags, "--epochs", "2");
    assert(numberAfter(text, "validation accuracy") > 0.6, text);
    assertMatch(text, /user 7 may like item \d+ \(0\.\d+\)/);
    const log = () =>
      Deno.readTextFileSync(join(dir, "logs/train.log.jsonl")).trimEnd().split("\n")
        .map((line) => JSON.parse(line));
    const before = log();
    assertEquals(before.map(({ epoch }) => epoch), [0, 1]);
    assert(before[1].trainLoss < before[0].trainLoss);
    // As if the process had been killed before the second epoch was saved: that epoch comes again, bit by bit.
    const last = [...Deno.readDirSync(join(dir, "checkpoints"))]
      .find(({ name }) => name.startsWith("epoch-0001"))!;
    await Deno.remove(join(dir, "checkpoints", last.name));
    await chapter("07_pipeline.ts", dir, ...flags, "--epochs", "2", "--resume");
    const after = log();
    assertEquals(after.map(({ epoch }) => epoch), [0, 1]);
    for (const name of ["trainLoss", "trainAcc", "valLoss", "valAcc", "lr"]) {
      assertEquals(after.map((record) => record[name]), before.map((record) => record[name]), name);
    }
  }));
