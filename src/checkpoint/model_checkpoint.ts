/**
 * Checkpoints of a whole training run: when they are written, which are kept, how a run goes on after a stop.
 *
 * @module
 */
import { basename, join } from "@std/path";
import { cleanFolder } from "../../ffi/file_writer.ts";
import { job } from "../../ffi/library.ts";
import { type DataLoaderState, follow } from "../data/loader_options.ts";
import { ArgumentError, CheckpointError, show, ToroError } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { getRngState, setRngState } from "../random.ts";
import { interrupted, pendingSignal, watchSignals } from "../signals.ts";
import { pathOf } from "./disk.ts";
import {
  type Contents,
  finishPending,
  loadNow,
  saveAside,
  saveNow,
  type State,
  verifyNow,
} from "./file.ts";
import { before, listCheckpoints, type Named, nameFor, remove } from "./names.ts";
import {
  type Latest,
  type Metrics,
  type ModelCheckpointOptions,
  type Progress,
  RESERVED,
  type Stateful,
  type TrainingParts,
} from "./parts.ts";

/**
 * Saves and resumes training: model, optimiser, scheduler, loader position, monitor and random state, in one file each
 * time, written so that a crash leaves no torn file.
 *
 * `save` ends an epoch. With `everySteps` it also saves in mid-epoch, at the moment when the loader is asked for the next
 * batch. At that same moment a SIGINT or SIGTERM that came meanwhile is answered: the state is saved and the loop ends
 * with an InterruptedError; uncaught, the process ends with 130 or 143. A second signal ends it at once. After `resume` a
 * run goes on bit by bit as if it had never been cut.
 *
 * Errors: CheckpointError that names file and reason; ArgumentError when the best epoch's metric is not among the metrics.
 *
 * ```ts
 * import { arange, checkpoint, data, nn } from "@toro/toro";
 *
 * const dir = await Deno.makeTempDir();
 * const model = new nn.Linear(1, 1);
 * const loader = new data.DataLoader({ x: arange(8) }, { batchSize: 2, shuffle: true });
 * const saver = new checkpoint.ModelCheckpoint({ model, loader }, { dir, best: { metric: "loss", mode: "min" } });
 * for (let epoch = await saver.resume(); epoch < 2; epoch++) {
 *   for await (const { x } of loader) console.log(x.shape); // train here
 *   await saver.save(epoch, { loss: 1 - epoch });
 * }
 * console.log(saver.best?.epoch); // 1
 * await Deno.remove(dir, { recursive: true });
 * ```
 */
export class ModelCheckpoint {
  readonly #parts: TrainingParts;
  readonly #options:
    & Required<Omit<ModelCheckpointOptions, "best">>
    & Pick<ModelCheckpointOptions, "best">;
  readonly #dir: string;
  #step = 0;
  /** The script's number of the loader's epoch `#loaderEpoch`, which is null until the loader's first pass. */
  #epoch = 0;
  #loaderEpoch: number | null = null;
  #best: Progress["best"] = null;
  #unfollow: (() => void) | null = null;
  /** Batches of the running pass that are counted in `#step`. */
  #counted = 0;
  #savedStep = -1;

  /** Follows the loader; writes nothing yet. */
  constructor(parts: TrainingParts, options: ModelCheckpointOptions) {
    const { dir, everySteps = 0, everyEpochs = 1, keepLast = 5, best, async: isAsync = false } =
      optionsOf("make ModelCheckpoint", options, [
        "dir",
        "everySteps",
        "everyEpochs",
        "keepLast",
        "best",
        "async",
      ]);
    const wrong = (text: string) =>
      new ArgumentError(`Cannot make ModelCheckpoint: ${text}`, { op: "ModelCheckpoint" });
    if (dir === undefined) throw wrong("dir is missing");
    for (
      const [name, value, least] of [
        ["everySteps", everySteps, 0],
        ["everyEpochs", everyEpochs, 1],
        ["keepLast", keepLast, 1],
      ] as const
    ) {
      if (!Number.isInteger(value) || value < least) {
        throw wrong(`${name} must be a whole number from ${least} on, got ${show(value)}`);
      }
    }
    if (best && best.mode !== "min" && best.mode !== "max") {
      throw wrong(`mode must be "min" or "max", got ${show(best.mode)}`);
    }
    for (const [name, part] of Object.entries(parts)) {
      if (RESERVED.has(name)) {
        throw wrong(`a part cannot have the name ${name}, which the file uses itself`);
      }
      if (
        part !== undefined &&
        (typeof part?.stateDict !== "function" || typeof part?.loadStateDict !== "function")
      ) {
        throw wrong(`${name} is ${show(part)}, which has no stateDict and loadStateDict`);
      }
    }
    this.#parts = parts;
    this.#options = { dir, everySteps, everyEpochs, keepLast, best, async: isAsync };
    this.#dir = pathOf(dir, "write");
    const { loader } = parts;
    if (loader !== undefined) this.#follow(loader);
  }

  /** The folder of the files. */
  get dir(): string {
    return this.#dir;
  }

  /** Batches that were trained on, those before a resume among them. */
  get step(): number {
    return this.#step;
  }

  /** The best epoch so far, its value and its file; null before the first, or without the option. */
  get best(): { epoch: number; value: number; path: string } | null {
    return this.#best && { epoch: this.#best.epoch, value: this.#best.value, path: this.bestPath };
  }

  /** Where the best epoch is kept. */
  get bestPath(): string {
    return join(this.#dir, "best.safetensors");
  }

  // ---- following the loader ----

  #follow(loader: Stateful): void {
    let unwatch: (() => void) | null = null;
    let running = 0;
    const position = () => loader.stateDict() as DataLoaderState;
    this.#unfollow = follow(loader, {
      begin: () => {
        if (running++ > 0) return;
        unwatch = watchSignals();
        const { epoch, batch } = position();
        this.#counted = batch;
        this.#loaderEpoch ??= epoch;
      },
      ask: () => {
        const { batch } = position();
        if (batch > this.#counted) {
          this.#step += batch - this.#counted;
          this.#counted = batch;
          const { everySteps } = this.#options;
          if (everySteps > 0 && this.#step % everySteps === 0) this.#saveMid();
        }
        const signal = pendingSignal();
        if (signal === null) return;
        const path = this.#savedStep === this.#step
          ? nameFor(this.#runningEpoch(), this.#step, false)
          : this.#saveMid();
        // The message must be true.
        finishPending();
        throw interrupted(
          signal,
          `Stopped by ${signal} after ${this.#step} steps; ${
            join(this.#dir, path)
          } goes on from there`,
        );
      },
      end: () => {
        if (--running > 0) return;
        unwatch?.();
        unwatch = null;
      },
    });
  }

  #loaderState(): DataLoaderState | null {
    return this.#parts.loader === undefined
      ? null
      : this.#parts.loader.stateDict() as DataLoaderState;
  }

  /** The script's number of the epoch that the loader runs. */
  #runningEpoch(): number {
    const state = this.#loaderState();
    return state === null
      ? this.#epoch
      : this.#epoch + state.epoch - (this.#loaderEpoch ?? state.epoch);
  }

  /** Stops following the loader. */
  [Symbol.dispose](): void {
    this.#unfollow?.();
    this.#unfollow = null;
  }

  // ---- saving ----

  /**
   * Ends an epoch: writes the state, keeps the best, removes what is too old. `values` are kept beside it and come back
   * by `load`. Returns the file's path, or null where `everyEpochs` asks for none and the epoch is not the best; with
   * `async` the file is there a little later, and what then fails is thrown by the next save.
   */
  // deno-lint-ignore require-await
  async save(epoch: number, metrics: Metrics = {}, values: State = {}): Promise<string | null> {
    const isDue = (epoch + 1) % this.#options.everyEpochs === 0;
    return this.#saveEnd(epoch, metrics, values, null, isDue);
  }

  #saveEnd(
    epoch: number,
    metrics: Metrics,
    values: State,
    force: boolean | null,
    isDue: boolean,
  ): string | null {
    if (!Number.isInteger(epoch) || epoch < 0) {
      throw new ArgumentError(
        `Cannot save epoch ${show(epoch)}: it must be a whole number from 0 on`,
        { op: "save" },
      );
    }
    const name = nameFor(epoch, this.#step, true);
    const before = this.#best, isBest = this.#judge(epoch, metrics, name, force);
    const now = { epoch, step: this.#step, ended: true };
    if (isDue || isBest) {
      try {
        this.#write(name, epoch + 1, metrics, values, () => {
          if (isBest) this.#keepBest(name);
          this.#removeOld(now);
        });
      } catch (error) {
        this.#best = before;
        throw error;
      }
    }
    this.#epoch = epoch + 1;
    this.#loaderEpoch = this.#loaderState()?.epoch ?? null;
    return isDue || isBest ? join(this.#dir, name) : null;
  }

  #saveMid(): string {
    const epoch = this.#runningEpoch(), name = nameFor(epoch, this.#step, false);
    const now = { epoch, step: this.#step, ended: false };
    this.#write(name, epoch, {}, {}, () => this.#removeOld(now));
    this.#savedStep = this.#step;
    return name;
  }

  #write(
    name: string,
    epoch: number,
    metrics: Metrics,
    values: State,
    done: () => void,
  ): void {
    const parts: Record<string, unknown> = {};
    for (const [key, part] of Object.entries(this.#parts)) {
      if (part !== undefined) parts[key] = part.stateDict();
    }
    const progress: Progress = { epoch, step: this.#step, best: this.#best };
    this.#attempt(() => Deno.mkdirSync(this.#dir, { recursive: true }), "make the folder");
    const path = join(this.#dir, name);
    const state = { progress, metrics, values, ...parts, rng: getRngState() };
    if (this.#options.async) saveAside(path, state, {}, done);
    else {
      saveNow(path, state);
      done();
    }
  }

  #attempt(action: () => void, what: string): void {
    try {
      action();
    } catch (error) {
      if (error instanceof ToroError) throw error;
      throw new CheckpointError(`Cannot ${what} in ${this.#dir}: ${(error as Error).message}`, {
        op: "save",
        cause: error,
      });
    }
  }

  /** Compares with the best so far; returns whether this epoch is the best. */
  #judge(epoch: number, metrics: Metrics, file: string, force: boolean | null): boolean {
    const { best } = this.#options;
    if (best === undefined) {
      if (force === true) this.#best = { epoch, value: NaN, file };
      return force === true;
    }
    const value = metrics[best.metric];
    if (typeof value !== "number") {
      throw new ArgumentError(
        `Cannot save epoch ${epoch}: the best is told by ${show(best.metric)}, the metrics are ${
          Object.keys(metrics).join(", ") || "none"
        }`,
        { op: "save", hint: `saver.save(epoch, { ${best.metric}: … })` },
      );
    }
    const known = this.#best?.value;
    const better = known === undefined
      ? !Number.isNaN(value)
      : best.mode === "min"
      ? value < known
      : value > known;
    if (!(force ?? better)) return false;
    this.#best = { epoch, value, file };
    return true;
  }

  /** A second name of the file, or, where the file system has no such thing, a copy. */
  #keepBest(name: string): void {
    const aside = join(this.#dir, `.best.safetensors.${Deno.pid}-0.tmp`),
      from = join(this.#dir, name);
    this.#attempt(() => {
      remove(aside);
      try {
        Deno.linkSync(from, aside);
      } catch {
        Deno.copyFileSync(from, aside);
        job("sync", { path: aside });
      }
      Deno.renameSync(aside, this.bestPath);
      job("sync", { path: this.#dir, directory: true });
    }, "keep the best checkpoint");
  }

  /** Keeps the newest, this one among them; newer names belong to a run that this one does not continue. */
  #removeOld(now: Omit<Named, "path" | "name">): void {
    this.#attempt(() => {
      const older = listCheckpoints(this.#dir).filter((file) => !before(now, file));
      for (const file of older.slice(0, Math.max(0, older.length - this.#options.keepLast))) {
        remove(file.path);
      }
      cleanFolder(this.#dir);
    }, "remove old checkpoints");
  }

  // ---- resuming ----

  /** The newest file that is whole, by a reading of all its bytes, and those that were passed over; null without one. */
  latest(): Latest | null {
    finishPending();
    const found = this.#newest(verifyNow);
    return found && found.latest;
  }

  #newest<C>(read: (path: string) => C): { latest: Latest; contents: C } | null {
    const skipped: Latest["skipped"] = [];
    pathOf(this.#dir, "read");
    const files = listCheckpoints(this.#dir).reverse();
    for (const { path, epoch, step } of files) {
      try {
        return { contents: read(path), latest: { path, epoch, step, skipped } };
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        skipped.push({ path, reason: error.message });
      }
    }
    if (files.length === 0) return null;
    throw new CheckpointError(
      `Cannot resume from ${this.#dir}: none of its ${files.length} checkpoints can be read; ${
        skipped[0].reason
      }`,
      { op: "resume", hint: "remove them to start anew" },
    );
  }

  /**
   * Takes over the newest checkpoint of the folder, or the given one, and returns the epoch to run; 0 without one. Where
   * that epoch was cut in the middle, the loader goes on with its next batch. Files that are not whole are passed over
   * with a warning.
   */
  // deno-lint-ignore require-await
  async resume({ from }: { from?: string | URL } = {}): Promise<number> {
    finishPending();
    let contents: Contents;
    if (from !== undefined) contents = loadNow(from);
    else {
      const found = this.#newest((path) => loadNow(path));
      if (found === null) return 0;
      for (const { reason } of found.latest.skipped) {
        console.warn(`Passed over a checkpoint: ${reason}`);
      }
      contents = found.contents;
      const { best } = contents.state.progress as Progress;
      // Cut between the file and its second name, the run would lack its best.
      if (best !== null && best.file === basename(found.latest.path)) this.#keepBest(best.file);
    }
    return this.#take(contents, from ?? this.#dir).epoch;
  }

  #take({ isCheckpoint, state }: Contents, source: string | URL): Progress {
    const progress = state.progress as Progress | undefined;
    if (!isCheckpoint || progress === undefined) {
      throw new CheckpointError(
        `Cannot resume from ${source}: it was not written by a ModelCheckpoint`,
        { op: "resume" },
      );
    }
    const lacking = Object.keys(this.#parts).filter((name) =>
      this.#parts[name] !== undefined && !Object.hasOwn(state, name)
    );
    if (lacking.length > 0) {
      throw new CheckpointError(
        `Cannot resume from ${source}: it holds no state of ${lacking.join(", ")}`,
        { op: "resume" },
      );
    }
    for (const [name, part] of Object.entries(this.#parts)) {
      if (part === undefined) continue;
      try {
        part.loadStateDict(state[name] as never);
      } catch (error) {
        if (!(error instanceof ToroError)) throw error;
        throw new CheckpointError(`Cannot resume from ${source}, ${name}: ${error.message}`, {
          op: "resume",
          cause: error,
        });
      }
    }
    setRngState(state.rng as never);
    this.#step = progress.step;
    this.#savedStep = -1;
    this.#epoch = progress.epoch;
    this.#loaderEpoch = this.#loaderState()?.epoch ?? null;
    this.#best = progress.best;
    return progress;
  }

  // ---- the guide's names ----

  /** Saves an epoch with its loss among the metrics; `isBest` keeps it as the best, whatever the metrics say. */
  // deno-lint-ignore require-await
  async saveCheckpoint(
    epoch: number,
    loss: number,
    metrics: Metrics = {},
    isBest?: boolean,
  ): Promise<string> {
    return this.#saveEnd(epoch, { loss, ...metrics }, {}, isBest ?? null, true)!;
  }

  /** Takes over a file and returns what was saved beside the parts' states; `epoch` is the one to run next. */
  // deno-lint-ignore require-await
  async loadCheckpoint(
    path: string | URL,
  ): Promise<{ epoch: number; loss: number | undefined; metrics: Metrics; values: State }> {
    finishPending();
    const contents = loadNow(path);
    const { epoch } = this.#take(contents, path);
    const metrics = contents.state.metrics as Metrics;
    return { epoch, loss: metrics.loss, metrics, values: contents.state.values as State };
  }
}
