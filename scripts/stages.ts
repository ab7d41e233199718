/** Running the stages of the test command and the gate: output, seconds, counts and a deadline. */
import { spawn } from "node:child_process";
import process from "node:process";
import { stripVTControlCharacters } from "node:util";

/** The root of the checkout. */
export const root: string = new URL("..", import.meta.url).pathname;

/** The native crate. */
export const crate: string = `${root}native`;

/** Test counts, of one stage or of several. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** What a stage came to. */
export interface Outcome {
  name: string;
  seconds: number;
  ok: boolean;
  counts: Counts;
}

/** One command that is run as a stage. */
export interface Stage {
  name: string;
  command: string[];
  cwd?: string;
  env?: Record<string, string>;
  /** Whether it runs tests: then its summaries are counted, and none at all is a failure. */
  tests?: boolean;
  /** Whether its output is shown as a whole when it has ended, since others run beside it. */
  atEnd?: boolean;
}

/** All stages together end after this many minutes, so that a hung test cannot hold a machine. */
const limitMinutes = Number(process.env.TORO_GATE_MINUTES ?? 80);
const deadline = Date.now() + limitMinutes * 60_000;

/** As much of a command's output as is kept for counting; summaries stand at the end. */
const keptChars = 1 << 22;

/** Runs a command, shows its output, and counts the tests in it. */
export async function runStage(stage: Stage): Promise<Outcome> {
  const words = stage.command.map((word) => word === Deno.execPath() ? "deno" : word);
  const title = `${stage.name}: ${words.join(" ")}`;
  if (!stage.atEnd) heading(title);
  const start = performance.now();
  const { code, output } = await run(stage);
  if (stage.atEnd) {
    heading(title);
    console.log(output);
  }
  const seconds = (performance.now() - start) / 1000;
  const counts = stage.tests ? count(output) : { passed: 0, failed: 0, skipped: 0 };
  const ran = counts.passed + counts.failed > 0;
  // A crash or a type error fails a stage without a failed test in its summary.
  if (counts.failed === 0 && (code !== 0 || stage.tests && !ran)) counts.failed = 1;
  if (stage.tests && !ran && code === 0) console.log(`${stage.name}: no test ran`);
  return { name: stage.name, seconds, ok: code === 0 && counts.failed === 0, counts };
}

/** Prints each stage's seconds, and on a last line of its own the counts; returns the exit code. */
export function report(outcomes: Outcome[]): number {
  heading("summary");
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, seconds, ok, counts } of outcomes) {
    for (const key of ["passed", "failed", "skipped"] as const) total[key] += counts[key];
    const tests = counts.passed + counts.skipped > 0
      ? `  ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
      : "";
    console.log(
      `${ok ? "ok    " : "FAILED"} ${name.padEnd(14)} ${seconds.toFixed(1).padStart(7)} s${tests}`,
    );
  }
  if (total.skipped > 0) console.log(`${total.skipped} skipped`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 || outcomes.some((outcome) => !outcome.ok) ? 1 : 0;
}

/** Adds up the summary lines of `deno test` and `cargo test` in a command's output. */
export function count(output: string): Counts {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const add = (match: RegExpMatchArray) => {
    counts.passed += Number(match[1]);
    counts.failed += Number(match[2]);
    counts.skipped += Number(match[3] ?? 0);
  };
  const text = stripVTControlCharacters(output);
  // ok | 12 passed (3 steps) | 0 failed (1 step) | 1 ignored (2s)
  const steps = String.raw`(?: \(\d+ steps?\))?`;
  const deno = new RegExp(
    `^(?:ok|FAILED) \\| (\\d+) passed${steps} \\| (\\d+) failed${steps}(?: \\| (\\d+) ignored)?`,
    "gm",
  );
  // test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …
  const cargo = /^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const match of text.matchAll(deno)) add(match);
  for (const match of text.matchAll(cargo)) add(match);
  return counts;
}

function heading(text: string): void {
  console.log(`\n==> ${text}`);
}

function run({ command: [file, ...args], cwd = root, env, atEnd }: Stage): Promise<
  { code: number; output: string }
> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
  let output = "";
  // A process group of its own, so that a test process of a test process ends too.
  const child = spawn(file, args, {
    cwd,
    detached: true,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const killAll = () => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // Gone already.
    }
  };
  const stop = () => {
    killAll();
    process.exit(130);
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  const timer = setTimeout(() => {
    console.log(`\nstopped: the ${limitMinutes} minutes for all stages are over`);
    killAll();
  }, Math.max(0, deadline - Date.now()));
  const end = (code: number) => {
    clearTimeout(timer);
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    resolve({ code, output });
  };
  for (
    const [stream, sink] of [[child.stdout, Deno.stdout], [child.stderr, Deno.stderr]] as const
  ) {
    const decoder = new TextDecoder();
    stream.on("data", (chunk: Uint8Array) => {
      for (let at = 0; at < chunk.length && !atEnd;) at += sink.writeSync(chunk.subarray(at));
      output = (output + decoder.decode(chunk, { stream: true })).slice(-keptChars);
    });
  }
  child.on("error", (error) => {
    console.error(`Cannot run ${file}: ${error.message}`);
    end(127);
  });
  child.on("close", (code) => end(code ?? 1));
  return promise;
}
