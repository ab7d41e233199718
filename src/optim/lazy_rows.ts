/**
 * A table of which a step updates only the rows that have a gradient. The other rows lag behind, and are brought up to
 * date step by step, to the bits that dense updates would have given, when somebody reads them: native/src/ops/optim/lazy.rs.
 *
 * @module
 */
import { type Operand, run, runRaw } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { DTYPES } from "../dtype.ts";
import { Block, collectGarbage, PENDING, type Pending, Storage, unscoped } from "../memory.ts";
import { LazyTable, type RowSparse } from "../rows.ts";
import { empty, Tensor } from "../tensor.ts";
import type { Rule } from "./rule.ts";

/** Steps whose factors are kept; every row is visited once in half as many. A power of two. */
const RING = 16384;

/** Rows that are brought up to date at a time where only a copy of the table is wanted. */
const STRETCH = 65536;

/** Bytes of lent states before whose copying a collection is worth its time. */
const LARGE = 16 * 2 ** 20;

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
  /** What stands for the states as they are. */
  #lent: WeakRef<Storage>[] = [];

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
    this.settleLent();
    if (this.#storage.pending === this) this.#storage.settle("step");
  }

  #sweep(table: Tensor, reached: Tensor, states: readonly Tensor[]): void {
    runRaw(OP.lazy_sweep, [table], [reached, this.#ring, this.steps, ...states], this.#scalars);
  }

  snapshot(): Tensor {
    return this.copyOf(0);
  }

  pieces(t: Tensor, bytes: number): Iterable<Tensor> | null {
    return this.covers(t) ? this.stretches(0, bytes) : null;
  }

  /**
   * The states as of now. What they hold is made when somebody reads them, or before the next step changes it; a saver
   * takes it in pieces.
   */
  stateCopies(): Tensor[] {
    return this.states.map((t, i) => {
      const { bytes, device } = t.storage;
      const storage = new Storage(new Block(-1, 0), 0, bytes, device);
      storage.state = PENDING;
      storage.pending = new LentState(this, i + 1);
      this.#lent.push(new WeakRef(storage));
      return new Tensor(storage, t.info, t.shape, t.strides, 0);
    });
  }

  /** Makes what was lent and is still wanted: before a step, which changes it. */
  settleLent(): void {
    if (this.#lent.length === 0) return;
    const wanted = () =>
      this.#lent.map((ref) => ref.deref()).filter((storage) =>
        storage?.pending instanceof LentState
      ) as Storage[];
    // Mostly a saver has had it and it is only not collected yet, which costs less than tables do.
    if (wanted().reduce((sum, { bytes }) => sum + bytes, 0) >= LARGE) collectGarbage();
    for (const storage of wanted()) storage.settle("step");
    this.#lent = [];
  }

  /** An up-to-date copy of the table (0) or of a state. */
  copyOf(which: number): Tensor {
    const { info, shape, storage: { device } } = this.#sources()[which];
    const whole = empty(shape, info, device);
    for (
      const _ of this.#windows(
        which,
        Math.min(shape[0], STRETCH),
        (from, to) => rowsFrom(whole, from, to),
      )
    );
    return whole;
  }

  /** Up-to-date rows of the table (0) or of a state, about so many bytes at a time, each in the same memory. */
  *stretches(which: number, bytes: number): Generator<Tensor> {
    const sources = this.#sources(), { info, shape: [rows, columns], storage } = sources[which];
    // Beside the rows that are wanted lie those of the others, and the counters.
    const rowBytes = columns * info.size * sources.length + 8;
    const stretch = Math.max(1, Math.min(rows, Math.floor(bytes / rowBytes)));
    const part = empty([stretch, columns], info, storage.device);
    yield* this.#windows(which, stretch, (from, to) => rowsFrom(part, 0, to - from));
    part.dispose();
  }

  /** The table, without the work that is pending, and the states. */
  #sources(): Tensor[] {
    const { block, byteOffset, bytes, device } = this.#storage;
    const { info, shape, strides, offset } = this.#table;
    const raw = new Storage(block, byteOffset, bytes, device);
    return [new Tensor(raw, info, shape, strides, offset), ...this.states];
  }

  /** Up-to-date rows of the table (0) or of a state, a stretch at a time, in the memory that `place` gives. */
  *#windows(
    which: number,
    stretch: number,
    place: (from: number, to: number) => Tensor,
  ): Generator<Tensor> {
    const sources = this.#sources(), [rows, columns] = this.#table.shape;
    const { device } = this.#storage;
    const beside = sources.map((t, i) =>
      i === which ? null : empty([stretch, columns], t.info, device)
    );
    const reached = empty([stretch, 2], DTYPES.int32, device);
    for (let from = 0; from < rows; from += stretch) {
      const to = Math.min(rows, from + stretch);
      const windows = sources.map((t, i) => {
        const other = beside[i];
        const window = other === null ? place(from, to) : rowsFrom(other, 0, to - from);
        copyRaw(rowsFrom(t, from, to), window);
        return window;
      });
      const counters = rowsFrom(reached, 0, to - from);
      copyRaw(rowsFrom(this.#reached, from, to), counters);
      this.#sweep(windows[0], counters, windows.slice(1));
      yield windows[which];
    }
    for (const t of beside) t?.dispose();
    reached.dispose();
  }
}

/** A state of a table, as it was when it was lent. */
class LentState implements Pending {
  constructor(readonly rows: LazyRows, readonly which: number) {}

  pieces(t: Tensor, bytes: number): Iterable<Tensor> | null {
    const isWhole = t.isContiguous() && t.numel * t.info.size === t.storage.bytes;
    return isWhole ? this.rows.stretches(this.which, bytes) : null;
  }

  settle(storage: Storage): void {
    const whole = unscoped(() => this.rows.copyOf(this.which)).storage;
    storage.block = whole.block;
    storage.byteOffset = whole.byteOffset;
    storage.state &= ~PENDING;
    storage.pending = null;
  }
}
