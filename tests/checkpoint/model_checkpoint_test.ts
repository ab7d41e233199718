import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { arange, checkpoint, data, memory, nn, type Tensor, zeros } from "@toro/toro";
import { names } from "./folders.ts";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

const script = new URL("./training_script.ts", import.meta.url).pathname;

function parts(): { model: nn.Linear; loader: data.DataLoader<{ x: Tensor }> } {
  return {
    model: new nn.Linear(1, 1),
    loader: new data.DataLoader({ x: arange(8) }, { batchSize: 2, generator: 1 }),
  };
}

async function drain(loader: AsyncIterable<unknown>): Promise<number> {
  let n = 0;
  for await (const _ of loader) n++;
  return n;
}

async function train(dir: string, ...args: string[]): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, dir, ...args],
    stderr: "inherit",
  });
  const { stdout, success } = await command.output();
  assert(success);
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("the newest and the best stay, the others go", () =>
  inFolder(async (dir) => {
    const run = parts();
    const saver = new checkpoint.ModelCheckpoint(run, {
      dir,
      everySteps: 3,
      keepLast: 2,
      best: { metric: "auc", mode: "max" },
    });
    assertEquals(await saver.resume(), 0);
    for (const [epoch, auc] of [0.5, 0.9, NaN, 0.7].entries()) {
      await drain(run.loader);
      await saver.save(epoch, { auc });
    }
    assertEquals(names(dir), [
      "best.safetensors",
      "epoch-0003-step-00000015-mid.safetensors",
      "epoch-0003-step-00000016.safetensors",
    ]);
    assertEquals([saver.best?.epoch, saver.best?.value, saver.step], [1, 0.9, 16]);
    const { progress } = await checkpoint.load<{ progress: { epoch: number } }>(saver.bestPath);
    assertEquals(progress.epoch, 2);
    await assertRejects(
      () => saver.save(4, { loss: 1 }),
      TypeError,
      'Cannot save epoch 4: the best is told by "auc", the metrics are loss',
    );
    const again = new checkpoint.ModelCheckpoint(parts(), {
      dir,
      best: { metric: "auc", mode: "max" },
    });
    assertEquals(await again.resume(), 4);
    assertEquals(again.best?.value, 0.9);
  }));

Deno.test("files come every so many epochs, and for a new best", () =>
  inFolder(async (dir) => {
    const saver = new checkpoint.ModelCheckpoint(parts(), {
      dir,
      everyEpochs: 3,
      best: { metric: "loss", mode: "min" },
    });
    const written: (string | null)[] = [];
    for (const [epoch, loss] of [5, 6, 7, 4, 4].entries()) {
      written.push(await saver.save(epoch, { loss }));
    }
    assertEquals(written.map((path) => path !== null), [true, false, true, true, false]);
    const again = new checkpoint.ModelCheckpoint(parts(), { dir });
    assertEquals(await again.resume(), 4);
  }));

Deno.test("a run that was cut in mid-epoch goes on with the next batch", () =>
  inFolder(async (dir) => {
    const run = parts();
    const saver = new checkpoint.ModelCheckpoint(run, { dir, everySteps: 3 });
    await drain(run.loader);
    await saver.save(0);
    let n = 0;
    for await (const _ of run.loader) if (++n === 3) break;
    // The sixth step's checkpoint lies in epoch 1, after two of its four batches.
    const next = parts(), resumed = new checkpoint.ModelCheckpoint(next, { dir });
    assertEquals(await resumed.resume(), 1);
    assertEquals([resumed.step, next.loader.stateDict().batch], [6, 2]);
    assertEquals(next.model.weight.toArray(), run.model.weight.toArray());
    assertEquals(await drain(next.loader), 2);
    assertEquals(resumed.step, 8);
    assertEquals(await drain(next.loader), 4);
  }));

Deno.test("latest passes over files that are not whole and says so", () =>
  inFolder(async (dir) => {
    const saver = new checkpoint.ModelCheckpoint(parts(), { dir });
    assertEquals(saver.latest(), null);
    const first = (await saver.save(0))!, second = (await saver.save(1))!;
    await Deno.truncate(second, 100);
    await Deno.writeTextFile(`${dir}/.x.safetensors.999999999-0.tmp`, "left by a killed process");
    const found = saver.latest();
    assertEquals([found?.path, found?.epoch, found?.skipped.length], [first, 0, 1]);
    assert(found!.skipped[0].reason.startsWith(`Cannot load ${second}: it is truncated`));
    await Deno.truncate(first, 50);
    await assertRejects(
      () => saver.resume(),
      Error,
      `Cannot resume from ${dir}: none of its 2 checkpoints can be read`,
    );
    await saver.save(2);
    assert(!names(dir).some((name) => name.endsWith(".tmp")));
  }));

Deno.test("what does not fit is named", () =>
  inFolder(async (dir) => {
    const saver = new checkpoint.ModelCheckpoint({ model: new nn.Linear(1, 1) }, { dir });
    const path = await saver.saveCheckpoint(0, 0.25, { accuracy: 0.5 }, true);
    assertEquals(names(dir), ["best.safetensors", "epoch-0000-step-00000000.safetensors"]);
    assertEquals(await saver.loadCheckpoint(path), {
      epoch: 1,
      loss: 0.25,
      metrics: { loss: 0.25, accuracy: 0.5 },
      values: {},
    });
    const other = new checkpoint.ModelCheckpoint({ model: new nn.Linear(2, 1) }, { dir });
    await assertRejects(
      () => other.resume(),
      Error,
      "weight is [1, 2] in the module and [1, 1] in the state",
    );
    const more = new checkpoint.ModelCheckpoint(parts(), { dir });
    await assertRejects(
      () => more.resume(),
      Error,
      `Cannot resume from ${dir}: it holds no state of loader`,
    );
    assertThrows(
      () => new checkpoint.ModelCheckpoint({ model: 3 as never }, { dir }),
      TypeError,
      "Cannot make ModelCheckpoint: model is 3, which has no stateDict and loadStateDict",
    );
    await checkpoint.save(`${dir}/plain.safetensors`, { x: 1 });
    await assertRejects(
      () => saver.resume({ from: `${dir}/plain.safetensors` }),
      Error,
      "it was not written by a ModelCheckpoint",
    );
  }));

Deno.test("resuming from any checkpoint ends in the same bits", () =>
  inFolder(async (dir) => {
    const whole = await train(`${dir}/whole`);
    assert(whole.startsWith("done 24 "));
    const files = names(`${dir}/whole`).filter((name) => name.startsWith("epoch"));
    for (const until of [1, 4, files.length - 2]) {
      const cut = `${dir}/cut${until}`;
      await Deno.mkdir(cut);
      for (const name of files.slice(0, until)) {
        await Deno.copyFile(`${dir}/whole/${name}`, `${cut}/${name}`);
      }
      assertEquals(await train(cut), whole, files[until - 1]);
    }
  }));

Deno.test("a run that saves beside the training writes the same, and a failure is thrown by the next save", () =>
  inFolder(async (dir) => {
    const whole = await train(`${dir}/whole`);
    assertEquals(await train(`${dir}/beside`, "3", "0", "async"), whole);
    assertEquals(names(`${dir}/beside`), names(`${dir}/whole`));
    for (const name of names(`${dir}/beside`).slice(8)) await Deno.remove(`${dir}/beside/${name}`);
    assertEquals(await train(`${dir}/beside`, "3", "0", "async"), whole);

    const saver = new checkpoint.ModelCheckpoint(parts(), { dir: `${dir}/gone`, async: true });
    await saver.save(0);
    assertEquals(saver.latest()?.epoch, 0);
    const large = { large: zeros([8_000_000]) };
    await saver.save(1, {}, large);
    await Deno.remove(`${dir}/gone`, { recursive: true });
    await assertRejects(() => saver.save(2), Error, `Cannot save ${dir}/gone/epoch-0001`);
    await saver.save(2);
    assertEquals(saver.latest()?.epoch, 2);
  }));

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`${signal} saves in mid-epoch and ends with ${code}, without a stack trace`, () =>
    inFolder(async (dir) => {
      const whole = await train(`${dir}/whole`);
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", script, `${dir}/cut`, "3", "20"],
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const reader = child.stdout.getReader();
      for (let steps = 0; steps < 5;) {
        const { value, done } = await reader.read();
        if (done) break;
        steps += new TextDecoder().decode(value).split("step").length - 1;
      }
      child.kill(signal);
      while (!(await reader.read()).done);
      const [status, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
      assertEquals(status.code, code);
      assert(stderr.startsWith(`Stopped by ${signal} after `), stderr);
      assertEquals(stderr.trim().split("\n").length, 1);
      assert(names(`${dir}/cut`).some((name) => name.endsWith("-mid.safetensors")));
      assertEquals(await train(`${dir}/cut`), whole);
    }));
}
