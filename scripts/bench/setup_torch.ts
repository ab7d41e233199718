/**
 * PyTorch for comparisons and goldens: a virtual environment at `.venv/torch`, made on first use
 * with pinned versions. It takes about 5 GB of disk and two minutes.
 *
 * As a program it prints the path of the environment's Python.
 */
import { existsSync } from "node:fs";
import { root } from "../stages.ts";

/** What is installed, apart from what these need. */
export const packages: string[] = [
  "torch==2.15.0",
  "numpy==2.4.6",
  "pandas==3.1.1",
  "pyarrow==26.0.1",
  "scipy==1.17.1",
  "safetensors==0.8.0",
];

/** The path of a Python that has {@linkcode packages}; makes the environment when it is not there. */
export async function torchPython(): Promise<string> {
  const folder = `${root}.venv/torch`;
  const python = `${folder}/bin/python`;
  if (!existsSync(python)) {
    await run("python3", ["-m", "venv", folder], "Hint: install Python 3.11 or newer with venv");
  }
  if (!await isReady(python)) {
    console.error("Installing PyTorch into .venv/torch");
    await run(python, ["-m", "pip", "install", "--quiet", ...packages], "Hint: pip needs PyPI");
  }
  return python;
}

/** Whether every package is there in its pinned version; imports nothing, so it is quick. */
async function isReady(python: string): Promise<boolean> {
  const script = "import sys, importlib.metadata as m\n" +
    "for p in sys.argv[1:]:\n" +
    "    name, version = p.split('==')\n" +
    "    assert m.version(name).split('+')[0] == version, p\n";
  const { success } = await new Deno.Command(python, {
    args: ["-c", script, ...packages],
    stderr: "null",
  }).output();
  return success;
}

async function run(command: string, args: string[], hint: string): Promise<void> {
  const failed = (why: string) => new Error(`Cannot run ${command}: ${why}\n${hint}`);
  try {
    const { code } = await new Deno.Command(command, { args, stdout: "null", stderr: "inherit" })
      .output();
    if (code !== 0) throw failed(`it ended with ${code}`);
  } catch (error) {
    throw error instanceof Deno.errors.NotFound ? failed("it was not found") : error;
  }
}

if (import.meta.main) console.log(await torchPython());
