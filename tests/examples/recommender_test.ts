import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { type Run, runExample } from "./run.ts";

/** Runs the recommender, which may write to a folder and has it as its output. */
function recommender(out: string, ...args: string[]): Promise<Run> {
  return runExample("recommender.ts", ["--out", out, ...args], { out });
}

const columns = [
  "--user",
  "user:int64",
  "--item",
  "item:string",
  "--time",
  "time:int64",
  "--invoice",
  "",
  "--quantity",
  "",
];

/** Users of three tastes: each buys only products of its own third. */
function sales(): string {
  const lines = ["user,item,time"];
  for (let user = 0; user < 300; user++) {
    for (let k = 0; k < 12; k++) {
      lines.push(`${user},p${(user % 3) * 40 + (user * 7 + k * 11) % 40},${k}`);
    }
  }
  return lines.join("\n");
}

Deno.test("the recommender learns from a CSV with least permissions, and leaves model, log and curves", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(dir, "sales.csv"), sales());
    const json = join(dir, "result.json");
    for (const model of ["product", "guide"]) {
      const run = await recommender(
        dir,
        "--data",
        join(dir, "sales.csv"),
        ...columns,
        "--model",
        model,
        "--epochs",
        "8",
        "--batch-size",
        "256",
        "--lr",
        "0.01",
        "--json",
        json,
      );
      assertEquals(run.code, 0, run.err);
      const result = JSON.parse(await Deno.readTextFile(json));
      assertEquals(Object.keys(result.test), ["model", "popularity", "itemKnn"]);
      assertEquals(Object.keys(result.seconds), ["train", "perStep"]);
      assert(result.peakRssBytes > 0);
      assert(result.test.model.auc > 0.75, `${model}: AUC ${result.test.model.auc}`);
      assert(result.test.itemKnn.hitRate10 > result.test.popularity.hitRate10);
      for (const file of ["logs/curves.svg", "logs/curves.png"]) {
        assert((await Deno.stat(join(dir, file))).size > 1000);
      }
      await Deno.remove(join(dir, "checkpoints"), { recursive: true });
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("the recommender names what is wrong with its data and its options", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const missing = await recommender(dir, "--data", join(dir, "none.csv"), ...columns);
    assertEquals(missing.code, 1);
    assertStringIncludes(missing.err, "none.csv");
    const broken = join(dir, "broken.csv");
    await Deno.writeTextFile(broken, "user,item,time\n1,a,1\nx,b,2\n");
    const bad = await recommender(dir, "--data", broken, ...columns);
    assertEquals(bad.code, 1);
    for (const part of ["broken.csv", "user", '"x"', "3"]) assertStringIncludes(bad.err, part);
    const kind = await recommender(dir, "--model", "none");
    assertEquals(kind.code, 2);
    assertStringIncludes(kind.err, "it is product or guide");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
