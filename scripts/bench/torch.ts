/** PyTorch's side as a process that is asked line by line. */

/** PyTorch in its own process. */
export class Torch {
  #process: Deno.ChildProcess;
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(python: string, env: Record<string, string>) {
    const script = new URL("./torch_side.py", import.meta.url).pathname;
    this.#process = new Deno.Command(python, {
      args: [script],
      stdin: "piped",
      stdout: "piped",
      env,
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** What it answers to a request. */
  async ask<T>(request: object): Promise<T> {
    await this.#writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("PyTorch's side ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  /** Ends the process. */
  async close(): Promise<void> {
    await this.#writer.close();
    await this.#lines.cancel();
    await this.#process.status;
  }
}

/** PyTorch at its best on AMD: MKL's AVX-512 path, and memory that is not given back between tensors. */
export async function tuning(folder: string): Promise<Record<string, string>> {
  const source =
    "int mkl_serv_intel_cpu_true(void){return 1;}int mkl_serv_intel_cpu(void){return 1;}";
  await Deno.writeTextFile(`${folder}intel.c`, source);
  await output("gcc", ["-shared", "-fPIC", "-o", `${folder}intel.so`, `${folder}intel.c`]);
  return {
    LD_PRELOAD: `${folder}intel.so`,
    GLIBC_TUNABLES: "glibc.malloc.hugetlb=1",
    MALLOC_MMAP_THRESHOLD_: "4294967296",
    MALLOC_TRIM_THRESHOLD_: "8589934592",
    MALLOC_TOP_PAD_: "268435456",
  };
}

/** What a program prints; an error with what it complains about if it fails. */
export async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${command} failed: ${new TextDecoder().decode(stderr)}`);
}
