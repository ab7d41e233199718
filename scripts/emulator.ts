/**
 * Builds the CUDA emulator into native/target/emulator: the kernels (every `.cu` file under native/src, unchanged) compiled by g++
 * for the CPU, and stand-ins for the driver library, which runs them, for cuBLASLt and for cuDNN. Nothing of CUDA's own is
 * needed.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { crate } from "./stages.ts";

/** How kernels are instrumented: not at all, for addresses and undefined behaviour, for races. */
export type Sanitizer = "plain" | "asan" | "tsan";

/** Where the parts of an emulator lie. */
export interface Emulator {
  /** The folder of `libcuda.so.1`. */
  readonly folder: string;
  /** The library of kernels. */
  readonly kernels: string;
}

const emulator = `${crate}/emulator`, folder = `${crate}/target/emulator`;

const COMMON = [
  "-std=c++20",
  "-fPIC",
  "-fvisibility=hidden",
  "-Wall",
  "-Wno-unknown-pragmas",
  // g++ does not see that what brings a line's elements and what takes them ask the same question.
  "-Wno-maybe-uninitialized",
  // Products and sums are rounded one by one, as the device does where nothing else is asked for.
  "-ffp-contract=off",
  "-DTORO_EMULATOR",
  `-I${emulator}`,
  `-I${crate}/src/cuda`,
  `-I${crate}/src/ops`,
];
const FLAGS: Record<Sanitizer, readonly string[]> = {
  plain: ["-O1"],
  asan: [
    "-O1",
    "-g1",
    "-DEMULATOR_SANITIZED",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,alignment,bounds,signed-integer-overflow,shift,integer-divide-by-zero,float-cast-overflow",
    // A report names the place; the rest of a run is worth having all the same.
    "-fsanitize-recover=all",
  ],
  tsan: ["-O1", "-g1", "-DEMULATOR_SANITIZED", "-DEMULATOR_TSAN"],
};
const LINK: Record<Sanitizer, readonly string[]> = {
  plain: [],
  asan: ["-fsanitize=address,undefined"],
  tsan: ["-fsanitize=thread"],
};

/** Files under a folder whose names end in one of the given ways. */
function filesIn(folder: string, ends: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => ends.some((end) => name.endsWith(end))).map((name) => `${folder}/${name}`)
    .sort();
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

/** Builds the stand-ins for NVIDIA's libraries, unless they are fresh; gives the driver's path. */
async function buildLibraries(): Promise<string> {
  const driver = `${folder}/libcuda.so.1`;
  mkdirSync(folder, { recursive: true });
  const build = async (name: string, sources: string[], ...more: string[]) => {
    const library = `${folder}/${name}`;
    if (isFresh(library, [...sources, `${emulator}/numbers.h`, `${emulator}/cudnn.h`])) return;
    const flags = ["-std=c++20", "-O2", "-Wall", "-fPIC", "-shared", "-fvisibility=hidden"];
    await run("g++", [...flags, `-Wl,-soname,${name}`, ...sources, ...more, "-o", library, "-ldl"]);
  };
  const here = `-Wl,-rpath,${folder}`, part = `${folder}/libcudnn_cnn.so.9`;
  await build("libcuda.so.1", [`${emulator}/driver.cpp`]);
  await build("libnvrtc.so.13", [`${emulator}/nvrtc.cpp`]);
  await build("libcublasLt.so.13", [`${emulator}/cublas_lt.cpp`], driver, here);
  const halves = [`${emulator}/cudnn.cpp`, `${emulator}/cudnn_graph.cpp`];
  await build("libcudnn_cnn.so.9", halves, driver, here);
  // As NVIDIA ships it: the library has no work of its own, only parts, of which one stands for all here.
  for (const name of ["libcudnn.so.9", "libcudnn_graph.so.9"]) {
    await build(name, [part], "-Wl,--no-as-needed", part, here);
  }
  return driver;
}

/** Builds a library of kernels of these sources and the scheduler. */
async function buildKernels(
  sanitizer: Sanitizer,
  name: string,
  sources: string[],
): Promise<string> {
  const objects = `${folder}/${sanitizer}`;
  mkdirSync(objects, { recursive: true });
  const headers = [...filesIn(`${crate}/src`, [".cuh"]), ...filesIn(emulator, [".h"])];
  const jobs: (() => Promise<void>)[] = [];
  const parts = [`${emulator}/scheduler.cpp`, ...sources].map((source) => {
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
  const kernels = `${objects}/${name}.so`;
  if (!isFresh(kernels, parts)) {
    await run("g++", ["-shared", ...LINK[sanitizer], ...parts, "-o", kernels]);
  }
  return kernels;
}

/** Builds what is missing or stale. */
export async function buildEmulator(sanitizer: Sanitizer = "plain"): Promise<Emulator> {
  await buildLibraries();
  const sources = filesIn(`${crate}/src`, [".cu"]);
  return { folder, kernels: await buildKernels(sanitizer, "kernels", sources) };
}

/** Builds the planted bugs and the program that runs one of them. */
export async function buildPlanted(
  sanitizer: Sanitizer,
): Promise<{ program: string; kernels: string }> {
  const driver = await buildLibraries();
  const kernels = await buildKernels(sanitizer, "planted", [`${emulator}/planted.cu`]);
  const program = `${folder}/${sanitizer}/planted`, source = `${emulator}/planted.cpp`;
  if (!isFresh(program, [source, driver])) {
    const flags = ["-std=c++20", "-O1", "-Wall", ...LINK[sanitizer], `-Wl,-rpath,${folder}`];
    await run("g++", [...flags, source, driver, "-o", program]);
  }
  return { program, kernels };
}

/** Builds the programs that make one mistake with the stand-in for cuDNN: with convolutions, and with graphs. */
export async function buildPlantedCudnn(): Promise<[convolutions: string, graphs: string]> {
  const driver = await buildLibraries(), library = `${folder}/libcudnn_cnn.so.9`;
  const flags = ["-std=c++20", "-O1", "-Wall", `-Wl,-rpath,${folder}`];
  const build = async (name: string) => {
    const program = `${folder}/${name}`, source = `${emulator}/${name}.cpp`;
    if (!isFresh(program, [source, driver, `${emulator}/planted_cudnn.h`])) {
      await run("g++", [...flags, source, driver, library, "-o", program]);
    }
    return program;
  };
  return [await build("planted_cudnn"), await build("planted_cudnn_graph")];
}

/** The environment in which the library finds the emulator, and does everything by its own kernels. */
export function emulated({ folder, kernels }: Emulator): Record<string, string> {
  return { TORO_CUDA_PATH: folder, TORO_CUDA_KERNELS: kernels, TORO_CUDA_LIBRARIES: "0" };
}

/** The runtime of a sanitizer, which has to be loaded before all else. */
function runtime(name: string): string {
  const { stdout } = new Deno.Command("g++", { args: [`-print-file-name=${name}`] }).outputSync();
  return new TextDecoder().decode(stdout).trim();
}

/**
 * What a process needs beside `emulated` to run sanitized kernels. Reports go to files whose names begin with `log`; an
 * empty one writes them to the standard error. With TORO_CUDA_BRIEF tests leave out what brings no other accesses to memory.
 */
export function sanitized(sanitizer: Sanitizer, log: string): Record<string, string> {
  const common = `${log === "" ? "" : `log_path=${log}:`}halt_on_error=0`;
  switch (sanitizer) {
    case "plain":
      return {};
    case "asan":
      return {
        LD_PRELOAD: runtime("libasan.so"),
        // Deno is not instrumented, and what V8 keeps to its end is no leak.
        ASAN_OPTIONS: `${common}:detect_leaks=0`,
        UBSAN_OPTIONS: `${common}:print_stacktrace=1`,
        // Each storage is a block of its own size, with red zones around it.
        TORO_CUDA_CACHE: "0",
        TORO_CUDA_BRIEF: "1",
      };
    case "tsan":
      return {
        LD_PRELOAD: runtime("libtsan.so"),
        TSAN_OPTIONS: `${common}:ignore_noninstrumented_modules=1`,
        TORO_CUDA_CACHE: "0",
        TORO_CUDA_BRIEF: "1",
      };
  }
}

if (import.meta.main) {
  const start = performance.now();
  const built = await buildEmulator((Deno.args[0] ?? "plain") as Sanitizer);
  console.log(`${built.kernels}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
