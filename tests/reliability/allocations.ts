/**
 * Failing allocation, as SQLite tests it: the n-th allocation of Toro's allocator fails for n = 0, 1, 2, … until an action
 * comes through without meeting the failure. Failures come alone (which a collection and a second try get over), in pairs
 * and for good.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { checkpoint, getRngState, memory, OutOfMemoryError, randn, setRngState } from "@toro/toro";
import { option } from "../../ffi/library.ts";
import { collectGarbage } from "../../src/memory.ts";
import { copyOf, digest, Training } from "./training.ts";

/** How many allocations fail in a row. */
const FAILURES: readonly number[] = [1, 2, 2 ** 52];

/** What a run of failures came to. */
export interface Outcome {
  /** Allocations that the action makes. */
  points: number;
  /** Failures after which the action succeeded. */
  survived: number;
  /** Failures that it reported. */
  reported: number;
}

/** A thing to do while allocations fail. */
export interface Action {
  /** Puts everything at its start; nothing fails in it. */
  begin(): void | Promise<void>;
  run(): void | Promise<void>;
  /** After a success: what it did is right. */
  check(): void | Promise<void>;
  /** After a reported failure: the process goes on and comes to the right result. */
  recover(error: unknown): void | Promise<void>;
}

/** Lets each allocation of the action fail in turn, every `stride`-th one where that is not 1. */
export async function failEach(action: Action, stride = 1): Promise<Outcome> {
  const outcome = { points: 0, survived: 0, reported: 0 };
  for (const failures of FAILURES) {
    for (let n = 0;; n += stride) {
      await action.begin();
      option("passAllocations", n);
      option("failAllocations", failures);
      let error: unknown = null;
      try {
        await action.run();
      } catch (e) {
        error = e;
      }
      const left = option("failAllocations");
      option("failAllocations", 0);
      if (error === null) {
        await action.check();
        if (left === failures) {
          outcome.points = n;
          break;
        }
        outcome.survived++;
      } else {
        assert(
          isOutOfMemory(error),
          `allocation ${n}, ${failures} in a row: ${(error as Error).stack}`,
        );
        outcome.reported++;
        await action.recover(error);
      }
    }
  }
  return outcome;
}

/** Whether an error says that memory ran out. */
function isOutOfMemory(error: unknown): boolean {
  return error instanceof OutOfMemoryError ||
    error instanceof Error && error.cause !== undefined && isOutOfMemory(error.cause);
}

/** Lets allocations fail in a training step; afterwards the step, done again from where it began, gives its bits. */
export async function failTraining(stride = 1): Promise<Outcome & { grownBytes: number }> {
  const training = new Training();
  training.step();
  // Copies, for a state shares its tensors with the model.
  const { model, optimizer } = copyOf(training.state()) as ReturnType<Training["state"]>;
  const rng = getRngState();
  const begin = () => {
    training.optimizer.zeroGrad();
    training.model.loadStateDict(model);
    training.optimizer.loadStateDict(optimizer);
    setRngState(rng);
  };
  begin();
  training.step();
  const wanted = training.digest();
  training.step();
  const after = training.digest();
  let first = 0, last = 0;
  const again = () => {
    begin();
    training.step();
    assertEquals(training.digest(), wanted, "the step that was done again");
    training.step();
    assertEquals(training.digest(), after, "the step after it");
    collectGarbage();
    last = memory().liveBytes;
    first ||= last;
  };
  const outcome = await failEach({
    begin,
    run: () => training.step(),
    check: () => assertEquals(training.digest(), wanted),
    recover: again,
  }, stride);
  return { ...outcome, grownBytes: last - first };
}

/**
 * Lets allocations fail in an optimiser's step alone: it is done as a whole or not at all, so that it can be asked for
 * again. `prepare` is what made the gradients.
 */
export async function failOptimizer(stride = 1): Promise<Outcome> {
  let training = new Training();
  training.gradients();
  training.optimizer.step();
  const wanted = training.digest();
  return await failEach({
    begin() {
      // A first step, in which the states are made too.
      training = new Training();
      training.gradients();
    },
    run: () => training.optimizer.step(),
    check: () => assertEquals(training.digest(), wanted),
    recover() {
      training.optimizer.step();
      assertEquals(training.digest(), wanted, "the step asked for again");
    },
  }, stride);
}

/** Lets allocations fail in a save: the file that was there stays whole, or the new one is, and nothing lies about. */
export async function failSave(
  folder: string,
  stride = 1,
  save: (path: string, state: checkpoint.State) => PromiseLike<void> = checkpoint.save,
): Promise<Outcome> {
  const path = join(folder, "state.safetensors");
  const training = new Training();
  await checkpoint.save(path, training.state());
  const old = digest(await checkpoint.load(path));
  training.step();
  const state = training.state();
  const fresh = digest(state);
  let before = old;
  const held = async () => digest(await checkpoint.load(path));
  return await failEach({
    begin() {},
    run: async () => await save(path, state),
    async check() {
      before = await held();
      assertEquals(before, fresh);
    },
    async recover() {
      const now = await held();
      assert(now === before || now === fresh, "the file holds neither the old nor the new state");
      assertEquals([...Deno.readDirSync(folder)].map((e) => e.name), ["state.safetensors"]);
    },
  }, stride);
}

/** Lets allocations fail in a load. */
export async function failLoad(folder: string, stride = 1): Promise<Outcome> {
  const path = join(folder, "state.safetensors");
  const state = { x: randn([50, 60]), table: randn([3000, 8]), n: 3, list: [randn([5])] };
  await checkpoint.save(path, state);
  const wanted = digest(state);
  let read: unknown = null;
  return await failEach({
    begin() {},
    async run() {
      read = await checkpoint.load(path);
    },
    check: () => assertEquals(digest(read), wanted),
    async recover() {
      assertEquals(digest(await checkpoint.load(path)), wanted);
    },
  }, stride);
}
