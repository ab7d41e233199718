/** Training on a device: the CPU's losses, and no wait for the device unless a value is read. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { F, manualSeed, nn, optim, randint, randn, type Tensor } from "@toro/toro";
import { runExample } from "../examples/run.ts";
import { inFolder } from "../folder.ts";

function assertClose(got: readonly number[], want: readonly number[], tolerance: number): void {
  assertEquals(got.length, want.length);
  got.forEach((x, i) => {
    const far = !(Math.abs(x - want[i]) <= tolerance * (1 + Math.abs(want[i])));
    assert(!far, `[${i}] ${x}, not ${want[i]}`);
  });
}

/** A classifier in which everything that a plain training loop has takes part; its losses. */
function losses(device: string, steps: number): number[] {
  manualSeed(3);
  const model = new nn.Sequential(
    // A bias before the norm has a gradient of rounding alone, which Adam would make large.
    new nn.Linear(12, 24, { bias: false }),
    new nn.BatchNorm1d(24),
    new nn.GELU(),
    new nn.Dropout(0.1),
    new nn.Linear(24, 24, { bias: false }),
    new nn.LayerNorm(24),
    new nn.ReLU(),
    new nn.Linear(24, 5),
  );
  model.to(device);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
  const scheduler = new optim.lrScheduler.CosineAnnealingLR(optimizer, steps);
  const x = randn([64, 12]), target = randint(0, 5, [64]);
  const seen: Tensor[] = [];
  for (let i = 0; i < steps; i++) {
    const loss = F.crossEntropy(model.forward(x.to(device)), target.to(device));
    optimizer.zeroGrad();
    loss.backward();
    nn.utils.clipGradNorm_(model.parameters(), 1);
    optimizer.step();
    scheduler.step();
    seen.push(loss.detach());
  }
  model.eval();
  seen.push(F.crossEntropy(model.forward(x.to(device)), target.to(device)).detach());
  return seen.map((loss) => loss.item());
}

Deno.test("a classifier has the CPU's losses", () => {
  const want = losses("cpu", 12), got = losses("cuda", 12);
  assert(want[11] < 0.8 * want[0], `${want}`);
  assertClose(got, want, 1e-4);
});

Deno.test("the recommender of the examples has the CPU's losses", () =>
  inFolder(async (folder) => {
    const lines = ["user,item,time"];
    for (let user = 0; user < 120; user++) {
      for (let k = 0; k < 8; k++) {
        lines.push(`${user},p${user % 3 * 20 + (user * 7 + k * 11) % 20},${k}`);
      }
    }
    const file = join(folder, "sales.csv");
    await Deno.writeTextFile(file, lines.join("\n"));
    const columns = "--user user:int64 --item item:string --time time:int64 --invoice= --quantity=";
    const records: Record<string, Record<string, number>[]> = {};
    for (const device of ["cpu", "cuda"]) {
      const out = join(folder, device);
      const run = await runExample("recommender.ts", [
        ...`--out ${out} --data ${file} ${columns} --device ${device} --history 5`.split(" "),
        ..."--epochs 2 --batch-size 320 --embedding-dim 8 --lr 0.01".split(" "),
      ], { out });
      assertEquals(run.code, 0, run.err);
      const text = await Deno.readTextFile(join(out, "logs/train.log.jsonl"));
      records[device] = text.trim().split("\n").map((line) => JSON.parse(line));
    }
    // Not the losses in evaluation: its layer before the norm has a bias, of which Adam makes noise.
    const of = (device: string) => records[device].map(({ loss }) => loss);
    // On a GPU products are summed in an order of its own.
    assertClose(of("cuda"), of("cpu"), 1e-4);
  }));

Deno.test("a training loop does not wait for the device", async () => {
  const script = new URL("./training_script.ts", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script],
    env: { EMULATOR_LOG: "1" },
  }).output();
  const lines = new TextDecoder().decode(stderr).split("\n");
  assertEquals(code, 0, lines.slice(-5).join("\n"));
  const from = lines.indexOf("begin"), to = lines.indexOf("end");
  assert(from >= 0 && to > from);
  const during = lines.slice(from, to).filter((line) => line.startsWith("emulator:"));
  // Where there is no emulator there is nothing to be seen.
  if (during.length === 0) return;
  assert(during.some((line) => line.includes("optim_few_f32")));
  assert(during.some((line) => line.includes("lazy_step_f32")));
  assertEquals(during.filter((line) => line.includes("wait")), []);
});
