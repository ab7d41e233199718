/**
 * Progress of a loop on standard error: a bar on a terminal, a line for every tenth in a log
 * file, one updated display in a notebook.
 *
 * @module
 */

/** Where progress shows. */
export type ProgressStyle = "bar" | "lines" | "notebook" | "none";

/** How a loop's progress is shown. */
export interface ProgressOptions {
  /** Steps in all; without it the source's `length`, if it has one. */
  total?: number;
  /** What the line begins with. */
  label?: string;
  /** Called whenever a line is drawn; what it returns ends the line. */
  message?: () => string;
  /** Where it shows; found out if not given. */
  style?: ProgressStyle;
  /** Receives drawn text instead of standard error; for tests. */
  write?: (text: string) => void;
  /** Called after every step with its own time and the time waited for its data, in milliseconds. */
  onStep?: (stepMs: number, dataMs: number) => void;
}

interface Notebook {
  display(
    object: unknown,
    options: { raw: true; display_id: string; update: boolean },
  ): Promise<void>;
}

/** The notebook's display functions, if this runs in one. */
export function notebook(): Notebook | undefined {
  try {
    // Elsewhere than in a notebook's kernel the getter throws.
    return (Deno as unknown as { jupyter?: Notebook }).jupyter;
  } catch {
    return undefined;
  }
}

/** Milliseconds between two redraws on a terminal, in a notebook, and between two turns given to timers and signals. */
const BAR_MS = 100, NOTEBOOK_MS = 500, TURN_MS = 50;

/**
 * Hands on what `source` yields and shows how far it is. The element type stays.
 *
 * A synchronous source gives timers and signals their turn at least every 50 ms; a `DataLoader`
 * does so itself.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * let sum = 0;
 * for await (const x of monitor.progress([1, 2, 3], { label: "adding", style: "none" })) sum += x;
 * console.log(sum); // 6
 * ```
 */
export async function* progress<T>(
  source: AsyncIterable<T> | Iterable<T>,
  options: ProgressOptions = {},
): AsyncGenerator<T, void, undefined> {
  const length = (source as { length?: unknown }).length;
  const total = options.total ?? (typeof length === "number" ? length : undefined);
  const line = new ProgressLine({ ...options, total });
  const synchronous = !(Symbol.asyncIterator in source);
  let turn = performance.now(), asked = turn;
  try {
    for await (const element of source) {
      const given = performance.now();
      yield element;
      const done = performance.now();
      options.onStep?.(done - given, given - asked);
      const drawn = line.step();
      if (drawn) await drawn;
      if (synchronous && done - turn > TURN_MS) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        turn = performance.now();
      }
      asked = performance.now();
    }
  } finally {
    await line.end();
  }
}

/** One progress line: counts steps and decides when to draw. */
export class ProgressLine {
  /** Where it shows. */
  readonly style: ProgressStyle;
  #options: ProgressOptions;
  #write: (text: string) => void;
  #start = performance.now();
  #count = 0;
  #drawn = -Infinity;
  #tenth = 0;
  #id = "";
  #ended = false;

  /** Draws nothing yet. */
  constructor(options: ProgressOptions = {}) {
    this.#options = options;
    const encoder = new TextEncoder();
    this.#write = options.write ?? ((text) => Deno.stderr.writeSync(encoder.encode(text)));
    this.style = options.style ??
      (notebook() ? "notebook" : Deno.stderr.isTerminal() ? "bar" : "lines");
  }

  /** Counts a step. Returns a promise if it drew in a notebook. */
  step(): Promise<void> | void {
    this.#count++;
    const now = performance.now(), total = this.#options.total;
    if (this.style === "bar") {
      if (now - this.#drawn >= BAR_MS) this.#draw(now);
    } else if (this.style === "notebook") {
      if (now - this.#drawn >= NOTEBOOK_MS) return this.#show(now);
    } else if (this.style === "lines" && total !== undefined && total > 0) {
      const tenth = Math.floor(10 * this.#count / total);
      if (tenth > this.#tenth && this.#count < total) this.#draw(now);
      this.#tenth = tenth;
    }
  }

  /** Draws the last state and leaves the line. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (this.style === "none" || this.#count === 0) return;
    const now = performance.now();
    if (this.style === "notebook") return await this.#show(now);
    this.#draw(now);
    if (this.style === "bar") this.#write("\n");
  }

  #draw(now: number): void {
    this.#drawn = now;
    const text = this.text(now);
    if (this.style === "lines") return this.#write(text + "\n");
    this.#write(`\r\x1b[2K${[...text].slice(0, columns() - 1).join("")}`);
  }

  async #show(now: number): Promise<void> {
    this.#drawn = now;
    const update = this.#id !== "";
    this.#id ||= crypto.randomUUID();
    await notebook()?.display({ "text/plain": this.text(now) }, {
      raw: true,
      display_id: this.#id,
      update,
    });
  }

  /** The line at the time `now`, in milliseconds of `performance.now()`. */
  text(now: number): string {
    const { total, label, message } = this.#options;
    const seconds = Math.max(now - this.#start, 1) / 1000, rate = this.#count / seconds;
    const parts: string[] = label ? [label] : [];
    if (total !== undefined && total > 0) {
      const share = Math.min(1, this.#count / total);
      if (this.style !== "lines") {
        const full = Math.round(20 * share);
        parts.push("█".repeat(full) + "░".repeat(20 - full));
      }
      parts.push(`${Math.floor(100 * share)}%`, `${this.#count}/${total}`);
    } else parts.push(`${this.#count} steps`);
    parts.push(rate >= 1 ? `${number(rate)}/s` : `${number(1 / rate)} s each`);
    const left = total === undefined ? 0 : (total - this.#count) / rate;
    parts.push(left > 0 ? `${duration(left)} left` : `in ${duration(seconds)}`);
    const end = message?.();
    if (end) parts.push(end);
    return parts.join("  ");
  }
}

function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Seconds as a person reads them: `8.2 s`, `3:05 min`, `1:02:09 h`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0)} s`;
  const whole = Math.round(seconds), two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)} h` : `${m}:${two(s)} min`;
}
