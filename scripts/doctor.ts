/** `deno task doctor`: what a bug report needs. Prints and changes nothing. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { explain, locate, platform } from "../ffi/locate.ts";

const printed = new Set<string>();

/** Prints a name and its text, unless the name was there before. */
function line(name: string, text: string): void {
  if (printed.has(name)) return;
  printed.add(name);
  console.log(`${`${name}:`.padEnd(18)} ${text.replaceAll("\n", `\n${" ".repeat(19)}`)}`);
}

/** The instruction sets that decide which kernels run. */
function vectorUnits(): string {
  try {
    const flags = new Set(
      /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1].split(" "),
    );
    const named = ["avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile"];
    return named.filter((flag) => flags.has(flag)).join(" ") || "no AVX2";
  } catch {
    return "unknown";
  }
}

/** What the library tells of itself, or why it could not be opened. */
async function libraryInfo(): Promise<Record<string, string>> {
  try {
    const library = await import("../ffi/library.ts");
    return await library.libraryInfo();
  } catch (error) {
    return { "library error": error instanceof Error ? error.message : String(error) };
  }
}

const processors = cpus();
line("deno", `${Deno.version.deno} (V8 ${Deno.version.v8})`);
line("typescript", Deno.version.typescript);
line("platform", `${platform}, kernel ${release()}`);
line("processor", `${processors[0]?.model ?? "unknown"}, ${processors.length} threads`);
line("vector units", vectorUnits());
line("memory", `${(totalmem() / 2 ** 30).toFixed(1)} GiB`);
const found = locate();
if ("path" in found) {
  line("library", `${found.path} (${found.place})`);
  for (const [name, text] of Object.entries(await libraryInfo())) line(name, text);
} else {
  line("library", `not found\n${explain(found.tried)}`);
  Deno.exit(1);
}
