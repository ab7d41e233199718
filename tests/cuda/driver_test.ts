/** What a script sees where the driver is missing, too old, or lacks an entry point; each in a process of its own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { inFolder } from "../folder.ts";

const mod = new URL("../../mod.ts", import.meta.url).href;
const script = `
  import { cuda, ones } from "${mod}";
  const out = { facts: cuda.facts(), isAvailable: cuda.isAvailable(), count: cuda.deviceCount() };
  try { out.sum = ones([2], { device: "cuda" }).add(1).toArray(); } catch (e) { out.error = String(e); }
  out.cpu = ones([2]).add(1).toArray();
  console.log(JSON.stringify(out));
`;

interface Report {
  facts: { reason: string | null; driver: string | null; minimumDriver: string };
  isAvailable: boolean;
  count: number;
  sum?: number[];
  error?: string;
  cpu: number[];
}

/** Runs the script under an environment; the process must end well whatever the driver is. */
async function under(env: Record<string, string>): Promise<Report> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", script],
    env,
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(text.slice(text.indexOf("{")));
}

function assertAbsent(report: Report, reason: RegExp): void {
  assertEquals([report.isAvailable, report.count, report.cpu], [false, 0, [2, 2]]);
  assertMatch(report.facts.reason!, reason);
  assertEquals(report.error, `DeviceError: Cannot ones on "cuda": ${report.facts.reason}`);
}

Deno.test("no driver library", async () => {
  // A machine with a GPU finds its own; the reason is another there, or there is none.
  const report = await under({ TORO_CUDA_PATH: "/nowhere", TORO_CUDA_KERNELS: "" });
  if (report.facts.driver !== null) return;
  assertAbsent(report, /^no CUDA driver library was found \(.*libcuda/);
});

Deno.test("the emulator is found and works", async () => {
  const report = await under({});
  assertEquals([report.isAvailable, report.count, report.sum], [true, 1, [2, 2]]);
  assertEquals((await under({ EMULATOR_DEVICES: "3" })).count, 3);
});

Deno.test("a driver that is too old: both versions are named", async () => {
  const report = await under({ EMULATOR_DRIVER: "11040" });
  const needed = report.facts.minimumDriver;
  assertAbsent(
    report,
    new RegExp(`^the driver is for CUDA 11.4, Toro needs one for CUDA ${needed}$`),
  );
  assertEquals(report.facts.driver, "11.4");
});

/** Runs a script under an environment and gives what it prints as JSON. */
async function runScript(source: string, env: Record<string, string>): Promise<unknown> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", `import * as toro from "${mod}";\n${source}`],
    env,
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

Deno.test("two devices: copies between them, one at a time, events and memory of each", async () => {
  const out = await runScript(
    `
    const { arange, cuda, ones } = toro;
    const a = arange(6).to("cuda:0").mul(2), b = a.to("cuda:1");
    const back = b.add(1).to("cuda:0");
    const event = new cuda.Event({ enableTiming: true });
    event.record(1);
    event.synchronize();
    let mixed = "", between = "";
    try { a.add(b); } catch (e) { mixed = String(e); }
    const other = new cuda.Event({ enableTiming: true });
    other.record(0);
    cuda.synchronize();
    try { event.elapsedTime(other); } catch (e) { between = String(e); }
    const x = ones([3], { device: "cuda:0", requiresGrad: true });
    x.to("cuda:1").mul(5).sum().backward();
    console.log(JSON.stringify({
      devices: [b.device, back.device, x.grad!.device],
      values: [back.toArray(), x.grad!.toArray()],
      mixed, between,
      live: [cuda.memory(0).liveBytes > 0, cuda.memory(1).liveBytes > 0],
      count: cuda.deviceCount(),
    }));
    `,
    { EMULATOR_DEVICES: "2", EMULATOR_LAZY: "1" },
  );
  assertEquals(out, {
    devices: ["cuda:1", "cuda:0", "cuda:0"],
    values: [[1, 3, 5, 7, 9, 11], [5, 5, 5]],
    mixed:
      "DeviceError: Cannot add input on cuda:0 and other on cuda:1: they must be on one device",
    between:
      "DeviceError: Cannot elapsedTime between events of cuda:1 and cuda:0: they must be of one device",
    live: [true, true],
    count: 2,
  });
});

Deno.test("a lost device: every later call says so and why, the CPU and the process go on", async () => {
  const out = await runScript(
    `
    const { arange, cuda, ones } = toro;
    const says: string[] = [];
    const told = (f: () => unknown) => {
      try { f(); says.push("nothing"); } catch (e) {
        says.push(e instanceof toro.DeviceLostError ? (e as Error).message : String(e));
      }
    };
    const kept = ones([4], { device: "cuda" });
    const pinned = ones([4]).pinMemory(), event = new cuda.Event();
    event.record();
    told(() => { for (let i = 0; i < 5; i++) kept.add(1).toArray(); });
    told(() => kept.toArray());
    told(() => kept.add(1));
    told(() => ones([2], { device: "cuda" }));
    told(() => pinned.to("cuda", { nonBlocking: true }));
    told(() => cuda.synchronize());
    told(() => event.synchronize());
    told(() => new cuda.Event().record());
    kept.dispose();
    console.log(JSON.stringify({ says, cpu: arange(3).add(1).toArray(), pinned: pinned.toArray() }));
    `,
    { EMULATOR_LOSE: "3" },
  ) as { says: string[]; cpu: number[]; pinned: number[] };
  assertEquals([out.cpu, out.pinned], [[1, 2, 3], [1, 1, 1, 1]]);
  assertEquals(out.says.length, 8);
  for (const text of out.says) {
    assertMatch(
      text,
      /^(Cannot \w+: )?cuda:0 was lost: cuLaunchKernel failed: CUDA_ERROR_ILLEGAL_ADDRESS \(700\); its tensors are gone, and this process cannot use it any more$/,
    );
  }
});

Deno.test("a driver without devices", async () => {
  assertAbsent(await under({ EMULATOR_DEVICES: "0" }), /CUDA_ERROR_NO_DEVICE/);
});

Deno.test("a library without kernels", async () => {
  const report = await under({ TORO_CUDA_KERNELS: "" });
  // Built by nvcc, it has some, and the emulator finds none of its own.
  if (report.isAvailable) assertMatch(report.error!, /DeviceError/);
  else assertAbsent(report, /^this library was built without CUDA kernels/);
});

Deno.test("a driver that lacks entry points is an error that names them", () =>
  inFolder(async (folder) => {
    const source = `${folder}/driver.c`;
    await Deno.writeTextFile(
      source,
      "int cuInit(unsigned f) { return 0; }\nint cuDriverGetVersion(int *v) { *v = 13000; return 0; }\n",
    );
    const built = await new Deno.Command("gcc", {
      args: ["-shared", "-fPIC", source, "-o", `${folder}/libcuda.so.1`],
    }).output();
    assert(built.success);
    const report = await under({ TORO_CUDA_PATH: folder });
    assertAbsent(
      report,
      /^the driver for CUDA 13.0 lacks cuDeviceGetCount, cuDeviceGet, .*; Toro needs one for CUDA .* or newer$/,
    );
    assertEquals(report.facts.driver, "13.0");
  }));
