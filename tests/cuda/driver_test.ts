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
