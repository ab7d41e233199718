/**
 * The training log: running means of a loop, one record an epoch, early stopping, curves. What is
 * shown while a loop runs is in progress.ts, how curves look in charts.ts.
 *
 * @module
 */
import { job } from "../../ffi/library.ts";
import { ArgumentError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { chartGrid, valueText } from "./charts.ts";
import { NOT_METRICS, numberOf, panels } from "./curves.ts";
import { Mean, type Scalar } from "./metrics.ts";
import { duration, notebook, progress, type ProgressOptions } from "./progress.ts";

/** When to stop: `patience` epochs in a row in which the metric did not get better. */
export interface EarlyStopping {
  /** The metric's name among those given to `epoch` or `batch`. */
  metric: string;
  /** Whether less or more is better. */
  mode: "min" | "max";
  /** Epochs without a better value that are borne; default 10. */
  patience?: number;
  /** How much better than the best so far a value must be to count; default 0. */
  minDelta?: number;
}

/** How a `TrainingMonitor` works. */
export interface TrainingMonitorOptions {
  /** Folder for `train.log.jsonl`, `curves.svg` and `curves.png`; without it nothing is written. */
  dir?: string;
  /** Stops training when a metric no longer gets better. */
  earlyStopping?: EarlyStopping;
  /** Its learning rate is logged with each epoch, as `lr`. */
  optimizer?: { readonly paramGroups: readonly { lr: number }[] };
  /** Draws the curves anew at every so many epochs. */
  curvesEvery?: number;
  /** `false` prints nothing; progress and log line go to standard error and output otherwise. */
  print?: boolean;
}

/** Numbers of one step, as plain numbers or tensors of one element. */
export type BatchValues = Readonly<Record<string, Scalar>>;

/** What `epoch` takes: numbers by name. */
export type EpochMetrics = Readonly<Record<string, number>>;

/** One line of the log. */
export interface EpochRecord {
  /** The epoch's number. */
  epoch: number;
  /** When the run began; tells runs apart that share a file. */
  run: string;
  /** When the epoch ended. */
  time: string;
  /**
   * Metrics by name, and where `progress` saw the loop: `steps`, `seconds` from its start to here,
   * `stepMs` of a step and `dataMs` of waiting for its data.
   */
  [metric: string]: number | string;
}

/** What a checkpoint keeps of a monitor; plain JSON. */
export interface TrainingMonitorState {
  /** The records so far; a value that is not finite is a text. */
  history: Record<string, number | string>[];
  /** When the run began. */
  run: string;
  /** Epochs since the best one. */
  waited: number;
  /** The best epoch and its value. */
  best: { epoch: number; value: number } | null;
  /** Whether early stopping has spoken. */
  stopped: boolean;
  /** Running means of an epoch that was cut. */
  running: Record<string, { sum: number; weight: number }>;
}

/**
 * Logs training, shows its progress, stops it when it no longer gets better, draws its curves.
 *
 * `batch` keeps tensors detached and reads them only when a line is drawn or the epoch ends. The
 * mean of what `batch` got joins the record of `epoch` under the same name, unless `epoch` is given
 * that name itself. Early stopping compares with the best value so far: a value counts as better
 * when it passes the best by more than `minDelta`; NaN and infinite values never do.
 *
 * Errors: ArgumentError when the metric of early stopping is not among an epoch's metrics.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * const log = new monitor.TrainingMonitor({
 *   earlyStopping: { metric: "validLoss", mode: "min", patience: 2 },
 *   print: false,
 * });
 * const losses = [0.7, 0.5, 0.6, 0.55, 0.4];
 * for (let epoch = 0; epoch < 5 && !log.stopped; epoch++) {
 *   for await (const step of log.progress([0, 1, 2])) log.batch({ loss: losses[epoch] / (step + 1) });
 *   log.epoch(epoch, { validLoss: losses[epoch] });
 * }
 * console.log(log.history.length, log.best); // 4 { epoch: 1, value: 0.5 }
 * ```
 */
export class TrainingMonitor {
  /** The options it was made with. */
  readonly options: TrainingMonitorOptions;
  /** The records of all epochs so far, the log file's content of this run. */
  readonly history: EpochRecord[] = [];
  #run = new Date().toISOString();
  #running = new Map<string, Mean>();
  #best: { epoch: number; value: number } | null = null;
  #waited = 0;
  #stopped = false;
  #restored = false;
  #began = performance.now();
  #steps = 0;
  #stepMs = 0;
  #dataMs = 0;

  /** Writes nothing yet. A text is the folder. */
  constructor(options: TrainingMonitorOptions | string = {}) {
    this.options = typeof options === "string"
      ? { dir: options }
      : optionsOf("make TrainingMonitor", options, [
        "dir",
        "earlyStopping",
        "optimizer",
        "curvesEvery",
        "print",
      ]);
    const stopping = this.options.earlyStopping;
    if (stopping && stopping.mode !== "min" && stopping.mode !== "max") {
      throw new ArgumentError(
        `Cannot watch ${show(stopping.metric)}: mode is ${show(stopping.mode)}, not "min" or "max"`,
        {
          op: "TrainingMonitor",
        },
      );
    }
  }

  /** Whether early stopping says that training should end. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** The best epoch of early stopping's metric and its value; null before the first, or without one. */
  get best(): { epoch: number; value: number } | null {
    return this.#best === null ? null : { ...this.#best };
  }

  /** Each metric's values over the epochs, NaN where an epoch lacks it. */
  get metricsHistory(): Record<string, number[]> {
    const names = this.#metricNames();
    return Object.fromEntries(
      names.map((name) => [name, this.history.map((record) => numberOf(record[name]))]),
    );
  }

  /** Hands on what a loader yields and shows progress with the running means of `batch`. */
  progress<T>(
    source: AsyncIterable<T> | Iterable<T>,
    options: ProgressOptions = {},
  ): AsyncGenerator<T, void, undefined> {
    this.#began = performance.now();
    this.#steps = this.#stepMs = this.#dataMs = 0;
    return progress(source, {
      label: `epoch ${(this.history.at(-1)?.epoch ?? -1) + 1}`,
      message: () => this.#means().map(([name, mean]) => `${name} ${valueText(mean)}`).join("  "),
      ...(this.options.print === false ? { style: "none" } : {}),
      ...options,
      onStep: (stepMs, dataMs) => {
        this.#steps++;
        this.#stepMs += stepMs;
        this.#dataMs += dataMs;
        options.onStep?.(stepMs, dataMs);
      },
    });
  }

  /** Adds a step's values to the running means; `weight` is its share, mostly the batch's size. */
  batch(values: BatchValues, weight: number = 1): void {
    for (const name in values) {
      let mean = this.#running.get(name);
      if (mean === undefined) this.#running.set(name, mean = new Mean());
      mean.update(values[name], weight);
    }
  }

  #means(): [name: string, mean: number][] {
    return [...this.#running].map(([name, mean]) => [name, mean.compute()]);
  }

  /** Ends an epoch: keeps, writes and prints its record, and decides whether to stop. */
  epoch(epoch: number, metrics: EpochMetrics = {}): EpochRecord {
    for (const name in metrics) {
      if (typeof metrics[name] === "number" && !NOT_METRICS.has(name)) continue;
      const why = NOT_METRICS.has(name)
        ? "the log uses that name itself"
        : `it is ${show(metrics[name])}, not a number`;
      throw new ArgumentError(`Cannot log metric ${show(name)}: ${why}`, { op: "TrainingMonitor" });
    }
    const record: EpochRecord = { epoch, run: this.#run, time: new Date().toISOString() };
    Object.assign(record, Object.fromEntries(this.#means()), metrics);
    const lr = this.options.optimizer?.paramGroups[0]?.lr;
    if (lr !== undefined && !("lr" in record)) record.lr = Number(lr);
    if (this.#steps > 0) {
      record.steps = this.#steps;
      record.seconds = round((performance.now() - this.#began) / 1000);
      record.stepMs = round(this.#stepMs / this.#steps);
      record.dataMs = round(this.#dataMs / this.#steps);
    }
    const better = this.#judge(record);
    this.history.push(record);
    this.#running.clear();
    this.#steps = 0;
    this.#write(record);
    if (this.options.print !== false) console.log(this.#line(record, better));
    const every = this.options.curvesEvery;
    if (every && this.options.dir && this.history.length % every === 0) this.#draw();
    return record;
  }

  /** Compares with the best so far; returns whether this epoch is the best. */
  #judge(record: EpochRecord): boolean {
    const stopping = this.options.earlyStopping;
    if (!stopping) return false;
    const { metric, mode, patience = 10, minDelta = 0 } = stopping;
    const value = record[metric];
    if (typeof value !== "number") {
      const names = Object.keys(record).filter((name) => !NOT_METRICS.has(name));
      throw new ArgumentError(
        `Cannot watch metric ${show(metric)}: epoch ${record.epoch} has ${
          names.join(", ") || "no metrics"
        }`,
        { op: "TrainingMonitor", hint: `log.epoch(epoch, { ${metric}: … })` },
      );
    }
    const best = this.#best?.value,
      gain = best === undefined ? Infinity : mode === "min" ? best - value : value - best;
    if (Number.isFinite(value) && gain > minDelta) {
      this.#best = { epoch: record.epoch, value };
      this.#waited = 0;
      return true;
    }
    this.#waited++;
    this.#stopped = this.#waited >= patience;
    return false;
  }

  #line(record: EpochRecord, better: boolean): string {
    const parts = [`epoch ${record.epoch}`];
    for (const [name, value] of Object.entries(record)) {
      if (!NOT_METRICS.has(name)) parts.push(`${name} ${valueText(value as number)}`);
    }
    if (typeof record.seconds === "number") parts.push(duration(record.seconds));
    if (better) parts.push("best so far");
    else if (this.#stopped) parts.push(`stop: best was epoch ${this.#best?.epoch ?? "none"}`);
    return parts.join("  ");
  }

  #write(record: EpochRecord): void {
    const dir = this.options.dir;
    if (!dir) return;
    Deno.mkdirSync(dir, { recursive: true });
    const path = `${dir}/train.log.jsonl`;
    if (this.#restored) {
      // Epochs after the checkpoint are run again: their lines give way.
      this.#restored = false;
      const lines = readLines(path).filter((line) => !this.#isMine(line));
      const text = [...lines, ...this.history.map((kept) => JSON.stringify(kept))].join("\n") +
        "\n";
      Deno.writeTextFileSync(`${path}.new`, text);
      Deno.renameSync(`${path}.new`, path);
      return;
    }
    Deno.writeTextFileSync(path, JSON.stringify(record) + "\n", { append: true });
  }

  #isMine(line: string): boolean {
    try {
      return JSON.parse(line).run === this.#run;
    } catch {
      return false;
    }
  }

  #metricNames(): string[] {
    return [...new Set(this.history.flatMap(Object.keys))].filter((name) =>
      name !== "epoch" && name !== "run" && name !== "time"
    );
  }

  /**
   * Draws the curves so far: loss, metrics, learning rate, gap between losses or time a step.
   * Writes `curves.svg` and `curves.png` into `dir` and shows them in a notebook.
   */
  async curves(): Promise<void> {
    const svg = this.options.dir ? this.#draw() : this.svg(), id = `toro-${this.#run}`;
    await notebook()?.display(
      { "image/svg+xml": svg },
      { raw: true, display_id: id, update: false },
    );
  }

  /** The curves so far as SVG text. */
  svg(): string {
    return chartGrid(
      panels(this.history, this.#metricNames(), this.options.earlyStopping, this.#best),
    );
  }

  #draw(): string {
    const svg = this.svg(), dir = this.options.dir!;
    Deno.mkdirSync(dir, { recursive: true });
    Deno.writeTextFileSync(`${dir}/curves.svg`, svg);
    Deno.writeFileSync(`${dir}/curves.png`, job("png", { svg, scale: 2 }).buffers[0]);
    return svg;
  }

  /** The guide's name of `epoch`. */
  logEpoch(epoch: number, metrics: EpochMetrics = {}): EpochRecord {
    return this.epoch(epoch, metrics);
  }

  /** The guide's name of `curves`. */
  plotTrainingCurves(): Promise<void> {
    return this.curves();
  }

  /** What a checkpoint needs to go on as if nothing had happened. */
  stateDict(): TrainingMonitorState {
    const history = this.history.map((record) =>
      Object.fromEntries(
        Object.entries(record).map((
          [name, value],
        ) => [name, Number.isFinite(value) ? value : String(value)]),
      )
    );
    const running = Object.fromEntries(
      [...this.#running].map(([name, mean]) => [name, mean.stateDict()]),
    );
    return {
      history,
      run: this.#run,
      waited: this.#waited,
      best: this.best,
      stopped: this.#stopped,
      running,
    };
  }

  /** Takes over what `stateDict` gave. At the next epoch the log file loses lines of epochs that are run again. */
  loadStateDict(state: TrainingMonitorState): void {
    this.history.splice(0, Infinity, ...state.history.map(revive));
    this.#run = state.run;
    this.#waited = state.waited;
    this.#best = state.best && { ...state.best };
    this.#stopped = state.stopped;
    this.#restored = true;
    this.#running.clear();
    for (const [name, kept] of Object.entries(state.running)) {
      const mean = new Mean();
      mean.loadStateDict(kept);
      this.#running.set(name, mean);
    }
  }
}

function revive(record: Record<string, number | string>): EpochRecord {
  const value = (name: string, kept: number | string) =>
    typeof kept === "string" && name !== "run" && name !== "time" ? Number(kept) : kept;
  return Object.fromEntries(
    Object.entries(record).map(([name, kept]) => [name, value(name, kept)]),
  ) as EpochRecord;
}

function readLines(path: string): string[] {
  try {
    return Deno.readTextFileSync(path).split("\n").filter((line) => line !== "");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** To a thousandth: times need no more. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
