/**
 * Facts for a bug report: versions, platform, library, devices.
 *
 * @module
 */
import { libraryInfo } from "../../ffi/library.ts";
import * as cuda from "../cuda.ts";

/** The facts in the order in which they are printed, and what is wrong, if anything is. */
export interface Diagnosis {
  /** Name and value. */
  facts: [name: string, value: string][];
  /** The error that keeps the library from being used. */
  problem: Error | null;
}

/** Looks at this process, this machine and the native library. Needs no permission beyond the library's. */
export function diagnose(): Diagnosis {
  const facts: [string, string][] = [
    ["deno", Deno.version.deno],
    ["v8", Deno.version.v8],
    ["typescript", Deno.version.typescript],
    ["platform", `${Deno.build.os} ${Deno.build.arch}`],
  ];
  let problem: Error | null = null;
  try {
    facts.push(...Object.entries(libraryInfo()));
  } catch (error) {
    problem = error instanceof Error ? error : new Error(String(error));
  }
  facts.push(...cudaFacts());
  return { facts, problem };
}

function cudaFacts(): [string, string][] {
  const reason = cuda.unavailableReason();
  if (reason !== null) return [["cuda", `no: ${reason}`]];
  const { driver, minimumDriver, kernels, devices } = cuda.facts();
  return [
    ["cuda", `driver for CUDA ${driver}, at least ${minimumDriver}`],
    ["cuda kernels", kernels],
    ...cuda.libraries().map(({ name, version, reason }): [string, string] => [
      `cuda ${name}`,
      version ?? `no: ${reason}`,
    ]),
    ...devices.map(({ name, bytes, capability }, i): [string, string] => [
      `cuda:${i}`,
      `${name}, ${(bytes / 2 ** 30).toFixed(1)} GiB, compute capability ${capability}`,
    ]),
  ];
}

/** Prints the diagnosis; returns whether the library can be used. */
export function doctor(): boolean {
  const { facts, problem } = diagnose();
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, value] of facts) console.log(`${name.padEnd(width)}  ${value}`);
  if (problem !== null) console.error(`\n${problem.message}`);
  return problem === null;
}
