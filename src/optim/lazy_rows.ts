/**
 * A table of which a step updates only the rows that have a gradient. The other rows lag behind, and are brought up to
 * date step by step, to the bits that dense updates would have given, when somebody reads them: native/src/ops/optim/lazy.rs.
 *
 * @module
 */
import { type Operand, run, runRaw } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { DTYPES } from "../dtype.ts";
import { PENDING, Storage } from "../memory.ts";
import { LazyTable, type RowSparse } from "../rows.ts";
import { empty, Tensor } from "../tensor.ts";
import type { Rule } from "./rule.ts";

/** Steps whose factors are kept; every row is visited once in half as many. A power of two. */
const RING = 16384;

/** Rows that are brought up to date at a time where only a copy of the table is wanted. */
const STRETCH = 65536;

/** Whether a parameter can be updated by rows. */
export function canBeLazy(p: Tensor): boolean {
  return p.ndim === 2 && (p.dtype === "float32" || p.dtype === "float64") && p.isContiguous() &&
    p.numel * p.info.size === p.storage.bytes && p.shape[0] < 2 ** 31;
}

/** A tensor's rows `from` to `to`, on whatever storage. */
function rowsFrom(t: Tensor, from: number, to: number, storage: Storage = t.storage): Tensor {
  return new Tensor(
    storage,
    t.info,
    [to - from, t.shape[1]],
    [t.shape[1], 1],
    t.offset + from * t.shape[1],
  );
}

/** Copies a contiguous tensor as it is, lagging rows and all. */
function copyRaw(from: Operand, to: Operand): void {
  runRaw(OP.copy, [to], [from], [from.info.code]);
}

/** The rows of one parameter, with how far each has come. */
export class LazyRows extends LazyTable {
  /** Of each row the step that it has reached and the one after which its momentum is gone (N, 2). */
  readonly #reached: Tensor;
  /** The factors of recent steps. */
  readonly #ring: Tensor;
  readonly #table: Tensor;
  readonly #storage: Storage;

  /**
   * A table whose rows have all reached step `step`. `until` (N) says after which step each row's momentum is gone;
   * one number stands for all rows.
   */
  constructor(
    table: Tensor,
    readonly states: readonly Tensor[],
    readonly steps: Operand,
    readonly index: number,
    readonly rule: Rule,
    step: number,
    until: number | Tensor,
  ) {
    super();
    const { info, shape: [rows], storage } = table;
    // A tensor of its own: the parameter may be given other memory.
    this.#table = new Tensor(storage, info, table.shape, table.strides, table.offset);
    this.#storage = storage;
    this.#ring = empty([RING, 8], info, storage.device);
    this.#reached = empty([rows, 2], DTYPES.int32, storage.device);
    const column = (i: number) => new Tensor(this.#reached.storage, DTYPES.int32, [rows], [2], i);
    const { code } = DTYPES.int32;
    run("fill", OP.fill, [column(0)], [], [code, BigInt(step)]);
    if (typeof until === "number") {
      run("fill", OP.fill, [column(1)], [], [code, BigInt(Math.min(until, 2 ** 31 - 1))]);
    } else {
      run("copy", OP.copy, [column(1)], [until], [DTYPES.int64.code]);
    }
  }

  /** After which step each row's momentum is gone (N), int32; a copy. */
  until(): Tensor {
    const rows = this.#table.shape[0];
    const out = empty([rows], DTYPES.int32, this.#storage.device);
    copyRaw(new Tensor(this.#reached.storage, DTYPES.int32, [rows], [2], 1), out);
    return out;
  }

  covers(t: Tensor): boolean {
    const table = this.#table;
    return t.storage === this.#storage && t.info === table.info && t.offset === table.offset &&
      t.ndim === 2 && t.shape[0] === table.shape[0] && t.shape[1] === table.shape[1] &&
      t.isContiguous();
  }

  get #scalars(): number[] {
    return [this.rule.kind, this.rule.flags, this.index];
  }

  /** One step with a row-sparse gradient. */
  step(gradient: RowSparse, hyper: Operand): void {
    runRaw(OP.lazy_step, [this.#table], [
      gradient.indices,
      gradient.values,
      gradient.count,
      this.#reached,
      this.#ring,
      this.steps,
      hyper,
      ...this.states,
    ], this.#scalars);
    this.#storage.version++;
    this.#storage.state |= PENDING;
    this.#storage.pending = this;
  }

  read(indices: Tensor): void {
    runRaw(
      OP.lazy_read,
      [this.#table],
      [indices, this.#reached, this.#ring, this.steps, ...this.states],
      this.#scalars,
    );
  }

  settle(storage: Storage): void {
    this.#sweep(this.#table, this.#reached, this.states);
    storage.state &= ~PENDING;
    storage.pending = null;
  }

  /** Brings the table up to date for good, unless it is gone. */
  finish(): void {
    if (this.#storage.pending === this) this.#storage.settle("step");
  }

  #sweep(table: Tensor, reached: Tensor, states: readonly Tensor[]): void {
    runRaw(OP.lazy_sweep, [table], [reached, this.#ring, this.steps, ...states], this.#scalars);
  }

  snapshot(): Tensor {
    return this.#copies((i) => i === 0)[0]!;
  }

  /** Up-to-date copies of the states. */
  stateCopies(): Tensor[] {
    return this.#copies((i) => i > 0).slice(1) as Tensor[];
  }

  /** Copies of the table and its states, brought up to date; those that are not wanted are made a stretch at a time. */
  #copies(wanted: (i: number) => boolean): (Tensor | null)[] {
    const { block, byteOffset, bytes, device } = this.#storage;
    // The same bytes without the work that is pending.
    const raw = new Storage(block, byteOffset, bytes, device);
    const [rows, columns] = this.#table.shape;
    const sources = [this.#table, ...this.states];
    const stretch = Math.min(rows, STRETCH);
    const whole = sources.map((t, i) => wanted(i) ? empty([rows, columns], t.info, device) : null);
    const part = sources.map((t, i) =>
      wanted(i) ? null : empty([stretch, columns], t.info, device)
    );
    const reached = empty([stretch, 2], DTYPES.int32, device);
    for (let from = 0; from < rows; from += stretch) {
      const to = Math.min(rows, from + stretch);
      const windows = sources.map((t, i) => {
        const window = whole[i] === null
          ? rowsFrom(part[i]!, 0, to - from)
          : rowsFrom(whole[i]!, from, to);
        copyRaw(rowsFrom(t, from, to, i === 0 ? raw : t.storage), window);
        return window;
      });
      const counters = rowsFrom(reached, 0, to - from);
      copyRaw(rowsFrom(this.#reached, from, to), counters);
      this.#sweep(windows[0], counters, windows.slice(1));
    }
    return whole;
  }
}
