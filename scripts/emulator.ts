/**
 * Builds the CUDA emulator into native/target/emulator: the kernels (every `.cu` file under native/src, unchanged) compiled by g++
 * for the CPU, and the stand-in for the driver library that runs them. Nothing of CUDA's own is needed.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { crate } from "./stages.ts";

/** How kernels are instrumented. */
export type Sanitizer = "plain" | "asan" | "tsan";

/** Where the parts of an emulator lie. */
export interface Emulator {
  /** The folder of `libcuda.so.1`. */
  readonly folder: string;
  /** The library of kernels. */
  readonly kernels: string;
}

const COMMON = [
  "-std=c++20",
  "-fPIC",
  "-fvisibility=hidden",
  "-Wall",
  "-Wno-unknown-pragmas",
  // Products and sums are rounded one by one, as the device does where nothing else is asked for.
  "-ffp-contract=off",
  "-DTORO_EMULATOR",
  `-I${crate}/emulator`,
  `-I${crate}/src/cuda`,
  `-I${crate}/src/ops`,
];
const FLAGS: Record<Sanitizer, readonly string[]> = {
  plain: ["-O1"],
  asan: [
    "-O1",
    "-g",
    "-DEMULATOR_SANITIZED",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,alignment,signed-integer-overflow,bounds,shift",
  ],
  tsan: ["-O1", "-g", "-DEMULATOR_SANITIZED", "-DEMULATOR_TSAN"],
};

/** Files under a folder whose names end in one of the given ways. */
function filesIn(folder: string, ends: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => ends.some((end) => name.endsWith(end))).map((name) => `${folder}/${name}`)
    .sort();
}

/** Every file of kernels. */
export function kernelFiles(): string[] {
  return filesIn(`${crate}/src`, [".cu"]);
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args: [...args], stdout: "null" })
    .output();
  const text = new TextDecoder().decode(stderr);
  if (!success) throw new Error(`${command} failed:\n${text}`);
  if (text !== "") console.error(text);
}

/** Runs jobs, as many at a time as there are processors. */
async function all(jobs: (() => Promise<void>)[]): Promise<void> {
  const left = jobs[Symbol.iterator]();
  const worker = async () => {
    for (const job of left) await job();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

function isFresh(path: string, sources: readonly string[]): boolean {
  if (!existsSync(path)) return false;
  const made = statSync(path).mtimeMs;
  return sources.every((source) => statSync(source).mtimeMs < made);
}

/** Builds what is missing or stale. `extra` are files of kernels to be added, as those with planted bugs. */
export async function buildEmulator(
  sanitizer: Sanitizer = "plain",
  extra: readonly string[] = [],
): Promise<Emulator> {
  const emulator = `${crate}/emulator`, folder = `${crate}/target/emulator`;
  const objects = `${folder}/${sanitizer}`;
  mkdirSync(objects, { recursive: true });
  const headers = [...filesIn(`${crate}/src`, [".cuh"]), ...filesIn(emulator, [".h"])];
  const jobs: (() => Promise<void>)[] = [];
  const driver = `${folder}/libcuda.so.1`, driverSource = `${emulator}/driver.cpp`;
  if (!isFresh(driver, [driverSource])) {
    const flags = ["-std=c++20", "-O2", "-Wall", "-fPIC", "-shared", "-fvisibility=hidden"];
    const args = [...flags, "-Wl,-soname,libcuda.so.1", driverSource, "-o", driver, "-ldl"];
    jobs.push(() => run("g++", args));
  }
  const parts = [`${emulator}/scheduler.cpp`, ...kernelFiles(), ...extra].map((source) => {
    const object = `${objects}/${source.slice(source.lastIndexOf("/") + 1)}.o`;
    // The scheduler itself is never watched for races: it switches stacks.
    const watch = sanitizer === "tsan" && source.endsWith(".cu") ? ["-fsanitize=thread"] : [];
    if (!isFresh(object, [source, ...headers])) {
      const args = [...COMMON, ...FLAGS[sanitizer], ...watch, "-x", "c++", "-c", source];
      jobs.push(() => run("g++", [...args, "-o", object]));
    }
    return object;
  });
  await all(jobs);
  const kernels = `${objects}/kernels${extra.length > 0 ? "_and_more" : ""}.so`;
  if (!isFresh(kernels, parts)) {
    const link = sanitizer === "asan"
      ? ["-fsanitize=address,undefined"]
      : sanitizer === "tsan"
      ? ["-fsanitize=thread"]
      : [];
    await run("g++", ["-shared", ...link, ...parts, "-o", kernels]);
  }
  return { folder, kernels };
}

/** The environment in which the library finds the emulator. */
export function emulated({ folder, kernels }: Emulator): Record<string, string> {
  return { TORO_CUDA_PATH: folder, TORO_CUDA_KERNELS: kernels };
}

if (import.meta.main) {
  const start = performance.now();
  const built = await buildEmulator((Deno.args[0] ?? "plain") as Sanitizer);
  console.log(`${built.kernels}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
