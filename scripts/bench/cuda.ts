/**
 * `deno task bench --device cuda`: Toro on a GPU beside PyTorch eager, torch.compile and CUDA graphs, on the same shapes and
 * numbers, each in a process of its own. What they compute is compared before anything is timed. `--tiny` takes small
 * dims, for the emulator: times say nothing then.
 */
import { cudaFamilies } from "./cuda_families.ts";

/** Options of the command. */
export interface CudaBench {
  /** Only rows whose name contains this. */
  only: string;
  tiny: boolean;
  /** Where the table goes as JSON, and beside it as Markdown. */
  json?: string;
  /** A Python that has PyTorch; without one Toro is timed alone. */
  python?: string;
}

type Answer<T> = { value: T } | { error: string };

/** A process that answers lines with lines. */
class Side {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(command: string, args: string[], env: Record<string, string> = {}) {
    this.#process = new Deno.Command(command, { args, env, stdin: "piped", stdout: "piped" })
      .spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#reader = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async ask<T>(request: object): Promise<Answer<T>> {
    try {
      await this.#writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
      while (!this.#rest.includes("\n")) {
        const { value, done } = await this.#reader.read();
        if (done) return { error: "the process ended" };
        this.#rest += value;
      }
    } catch (error) {
      return { error: String(error) };
    }
    const end = this.#rest.indexOf("\n"), line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    try {
      return JSON.parse(line);
    } catch {
      return { error: line };
    }
  }

  async close(): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel();
    await this.#process.status;
  }
}

const toroSide = new URL("./cuda_side.ts", import.meta.url).pathname;
const torchSide = new URL("./cuda_torch.py", import.meta.url).pathname;

/** A line of the table: milliseconds, or why there are none. */
interface Line {
  name: string;
  ms: Record<string, number | string>;
  gbPerSecond: number | null;
  tflops: number | null;
  /** How far Toro's sum of magnitudes is from PyTorch's, of itself. */
  difference: number | null;
}

const median = (xs: number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1];

/** Iterations that are timed together at least: a training loop goes on, and does not wait for each. */
const LEAST = 5;
/** Milliseconds for which a row of Toro's runs before it is measured: V8 compiles what ran some hundred times. */
const WARM_UP = 400;

/** Milliseconds of what a side has prepared: the median of five, each of some 50 ms. */
async function timed(side: Side, tiny: boolean, warmUp = 0): Promise<number | string> {
  const once = await side.ask<number>({ do: "time", times: 1 });
  if ("error" in once) return once.error;
  const first = await side.ask<number>({ do: "time", times: tiny ? 1 : 3 });
  if ("error" in first) return first.error;
  const times = tiny
    ? 1
    : Math.max(LEAST, Math.min(1000, Math.round(50 / Math.max(first.value, 1e-3))));
  if (!tiny && warmUp > 0) {
    const often = Math.max(1, Math.min(5000, Math.round(warmUp / Math.max(first.value, 1e-3))));
    const warm = await side.ask<number>({ do: "time", times: often });
    if ("error" in warm) return warm.error;
  }
  const found: number[] = [];
  for (let i = 0; i < (tiny ? 1 : 5); i++) {
    const again = await side.ask<number>({ do: "time", times });
    if ("error" in again) return again.error;
    found.push(again.value);
  }
  return median(found);
}

/** Runs the table; false where a row of Toro's failed or differs. */
export async function benchCuda({ only, tiny, json, python }: CudaBench): Promise<boolean> {
  const run = ["run", "-A", "--no-check", toroSide];
  const toro = new Side(Deno.execPath(), run);
  const own = new Side(Deno.execPath(), run, { TORO_CUDA_LIBRARIES: "0" });
  const torch = python === undefined ? null : new Side(python, [torchSide]);
  const names = [
    await toro.ask<string>({ do: "device" }),
    await torch?.ask<string>({ do: "device" }),
  ];
  const machine = names.map((n) =>
    n === undefined ? "no PyTorch" : "value" in n ? n.value : n.error
  );
  console.log(machine.join("; ") + (tiny ? "; tiny dims, whose times say nothing" : ""));
  const lines: Line[] = [];
  let good = true;
  for (
    const [family, { dims, tiny: small, bytes, flops, hasOwn }] of Object.entries(cudaFamilies)
  ) {
    for (const d of tiny ? small : dims) {
      const left = [...d], name = family.replaceAll("{}", () => String(left.shift()));
      if (!name.includes(only)) continue;
      const ms: Record<string, number | string> = {};
      const prepared = await toro.ask<number[]>({ do: "prepare", family, dims: d });
      ms.toro = "error" in prepared ? prepared.error : await timed(toro, tiny, WARM_UP);
      if (hasOwn) {
        const ready = await own.ask<number[]>({ do: "prepare", family, dims: d });
        ms.own = "error" in ready ? ready.error : await timed(own, tiny, WARM_UP);
      }
      let difference: number | null = null;
      const modes = family.startsWith("recommender") ? ["eager", "sparse"] : ["eager"];
      for (const mode of [...modes, "compile", "graph"]) {
        if (torch === null) break;
        const ready = await torch.ask<number[]>({ do: "prepare", family, dims: d, mode });
        if (mode === "eager" && "value" in ready && "value" in prepared) {
          difference = Math.abs(prepared.value[1] - ready.value[1]) /
            Math.max(1e-12, Math.abs(ready.value[1]));
        }
        ms[mode] = "error" in ready ? ready.error : await timed(torch, tiny);
      }
      const took = typeof ms.toro === "number" ? ms.toro : null;
      const differs = difference !== null && !(difference < 1e-2);
      if (took === null || differs) good = false;
      const line: Line = {
        name,
        ms,
        gbPerSecond: took === null || bytes === undefined ? null : bytes(...d) / took / 1e6,
        tflops: took === null || flops === undefined ? null : flops(...d) / took / 1e9,
        difference,
      };
      lines.push(line);
      console.log(text(line) + (differs ? `  DIFFERS by ${difference}` : ""));
      // After each row, so that a run which is cut short leaves what it found.
      if (json !== undefined) await write(json, machine, tiny, lines);
    }
  }
  for (const side of [toro, own, torch]) await side?.close();
  return good && lines.length > 0;
}

async function write(
  json: string,
  machine: string[],
  tiny: boolean,
  rows: Line[],
): Promise<void> {
  await Deno.writeTextFile(json, JSON.stringify({ machine, tiny, rows }, null, 2) + "\n");
  await Deno.writeTextFile(json.replace(/(\.json)?$/, ".md"), table(machine, tiny, rows));
}

const COLUMNS = ["toro", "own", "eager", "sparse", "compile", "graph"];
const shown = (x: number | string | undefined) => typeof x === "number" ? x.toFixed(4) : "–";

function text({ name, ms, gbPerSecond, tflops }: Line): string {
  const times = COLUMNS.map((c) => `${c} ${shown(ms[c])}`).join("  ");
  const rate = gbPerSecond !== null
    ? `  ${gbPerSecond.toFixed(0)} GB/s`
    : tflops !== null
    ? `  ${tflops.toFixed(1)} TFLOP/s`
    : "";
  const why = Object.entries(ms).filter(([, x]) => typeof x === "string")
    .map(([c, x]) => `\n    ${c}: ${x}`).join("");
  return `${name}\n    ${times}${rate}${why}`;
}

function table(machine: string[], tiny: boolean, lines: Line[]): string {
  const head = ["workload", ...COLUMNS.map((c) => `${c} ms`), "GB/s", "TFLOP/s"];
  const rows = lines.map(({ name, ms, gbPerSecond, tflops }) => [
    name,
    ...COLUMNS.map((c) => shown(ms[c])),
    gbPerSecond?.toFixed(0) ?? "",
    tflops?.toFixed(1) ?? "",
  ]);
  return [
    `${machine.join("; ")}${tiny ? "; tiny dims, whose times say nothing" : ""}\n`,
    ...[head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`),
    "",
  ].join("\n");
}
