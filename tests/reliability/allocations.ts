/**
 * Failing allocation, as SQLite tests it: the n-th allocation of Toro's allocator fails for n = 0, 1, 2, … until an action
 * comes through without meeting the failure. Failures come alone (which a collection and a second try get over), in pairs
 * and for good.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import {
  checkpoint,
  getRngState,
  manualSeed,
  memory,
  nn,
  optim,
  OutOfMemoryError,
  randint,
  randn,
  setRngState,
  Tensor,
} from "@toro/toro";
import { option } from "../../ffi/library.ts";
import { collectGarbage } from "../../src/memory.ts";

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

/** SHA-256 of all bytes of a nested state. */
export function digest(state: unknown): string {
  const hash = createHash("sha256");
  const walk = (value: unknown): void => {
    if (value instanceof Tensor) {
      const array = value.contiguous().toTypedArray();
      hash.update(`${value.dtype} ${value.shape}`);
      hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    } else if (typeof value === "object" && value !== null) {
      for (const [key, each] of Object.entries(value)) {
        hash.update(key);
        walk(each);
      }
    } else hash.update(String(value));
  };
  walk(state);
  return hash.digest("hex");
}

class Net extends nn.Module {
  table: nn.Embedding = new nn.Embedding(2000, 32);
  attend: nn.MultiheadAttention = new nn.MultiheadAttention(32, 4, { batchFirst: true });
  conv: nn.Conv1d = new nn.Conv1d(32, 48, 3, { padding: 1 });
  norm: nn.BatchNorm1d = new nn.BatchNorm1d(48);
  drop: nn.Dropout = new nn.Dropout(0.1);
  out: nn.Linear = new nn.Linear(48 * 8, 40);

  override forward(ids: Tensor): Tensor {
    const x = this.table.forward(ids);
    const [mixed] = this.attend.forward(x, x, x);
    const y = this.norm.forward(this.conv.forward(mixed.add(x).transpose(1, 2)));
    return this.out.forward(this.drop.forward(y.relu().flatten(1)));
  }
}

/** A model whose step goes through the kernels with scratch space, and through a table that is updated by rows. */
export class Training {
  readonly model: Net;
  readonly optimizer: optim.AdamW;
  readonly #criterion = new nn.CrossEntropyLoss();
  readonly #ids: Tensor;
  readonly #target: Tensor;

  constructor() {
    manualSeed(3);
    this.model = new Net();
    this.optimizer = new optim.AdamW(this.model.parameters(), { lr: 1e-2 });
    this.#ids = randint(0, 2000, [24, 8]);
    this.#target = randint(0, 40, [24]);
  }

  /** Forward, backward, clipping and the optimiser's step. */
  step(): void {
    this.gradients();
    this.optimizer.step();
    this.optimizer.zeroGrad();
  }

  gradients(): void {
    this.#criterion.forward(this.model.forward(this.#ids), this.#target).backward();
    nn.utils.clipGradNorm_(this.model.parameters(), 1);
  }

  state(): { model: nn.StateDict; optimizer: optim.OptimizerState; rng: unknown } {
    return {
      model: this.model.stateDict(),
      optimizer: this.optimizer.stateDict(),
      rng: getRngState(),
    };
  }

  digest(): string {
    return digest(this.state());
  }
}

/** Lets allocations fail in a training step; afterwards the step, done again from where it began, gives its bits. */
export async function failTraining(stride = 1): Promise<Outcome & { grownBytes: number }> {
  const training = new Training();
  training.step();
  // Copies, for a state shares its tensors with the model.
  const { model, optimizer } = structuredCopy(training.state()) as ReturnType<Training["state"]>;
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

function structuredCopy(value: unknown): unknown {
  if (value instanceof Tensor) return value.detach().clone();
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(structuredCopy);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, structuredCopy(v)]));
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
export async function failSave(folder: string, stride = 1): Promise<Outcome> {
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
    run: () => checkpoint.save(path, state),
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
