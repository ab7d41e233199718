/**
 * Tensors whose bytes exist for some rows only: row-sparse sums, which gradients of embeddings are inside, and what ops
 * need to know of tables that lag behind (optim/lazy_rows.ts makes those).
 *
 * @module
 */
import { run } from "../ffi/instruction.ts";
import { OP } from "../ffi/opcodes.gen.ts";
import { Block, PENDING, type Pending, Storage, unscoped } from "./memory.ts";
import { DTYPES } from "./dtype.ts";
import { empty, Tensor } from "./tensor.ts";

/**
 * A sum of rows: `values[i]` belongs to row `indices[i]`, for the first `count` of them; row numbers ascend. There is
 * room for as many rows as the batch can have, and the count stays in native memory, so that a step has fixed shapes
 * and nothing waits. Anything that reads the tensor as a whole makes it dense.
 */
export class RowSparse implements Pending {
  /** Row numbers (R), int64. */
  readonly indices: Tensor;
  /** Their sums (R, D). */
  readonly values: Tensor;
  /** How many of the R are in use: one int64. */
  readonly count: Tensor;

  /** Room for so many rows of a tensor like this. */
  constructor(room: number, like: { info: Tensor["info"]; device: number; columns: number }) {
    this.indices = empty([room], DTYPES.int64, like.device);
    this.values = empty([room, like.columns], like.info, like.device);
    this.count = empty([1], DTYPES.int64, like.device);
  }

  /** What the rows are kept in. */
  parts(): readonly Storage[] {
    return [this.indices.storage, this.values.storage, this.count.storage];
  }

  /** Makes the tensor's bytes: zeros, and the rows' sums. */
  settle(storage: Storage): void {
    const { info, shape: [, columns] } = this.values;
    const rows = columns === 0 ? 0 : storage.bytes / info.size / columns;
    // It takes the place of a storage that may outlive the scope that is open.
    const dense = unscoped(() => empty([rows, columns], info, storage.device));
    run("fill", OP.fill, [dense], [], [info.code, 0]);
    this.addTo(dense);
    storage.block = dense.storage.block;
    storage.byteOffset = dense.storage.byteOffset;
    storage.state &= ~PENDING;
    storage.pending = null;
  }

  /** Adds the rows to a dense contiguous tensor. */
  addTo(dense: Tensor): void {
    run("add", OP.add_rows, [dense], [this.indices, this.values, this.count]);
  }

  /** A copy that nobody else holds. */
  copy(): RowSparse {
    const { info, shape: [room, columns], storage } = this.values;
    const out = new RowSparse(room, { info, columns, device: storage.device });
    for (const field of ["indices", "values", "count"] as const) {
      run("clone", OP.copy, [out[field]], [this[field]], [this[field].info.code]);
    }
    return out;
  }

  /** Multiplies the rows by a number. */
  scale(factor: number): void {
    const { values } = this;
    run("mul", OP.mul, [values], [values, factor], [values.info.code]);
  }

  /** Leaves no row in use. */
  clear(): void {
    run("fill", OP.fill, [this.count], [], [DTYPES.int64.code, 0n]);
  }
}

/** Whether a gradient of so many of a tensor's rows is better off dense. */
export function isDense(room: number, rows: number): boolean {
  return 2 * room > rows;
}

/** A tensor (rows, D) whose bytes are yet to be made out of a row-sparse sum. */
export function tensorOfRows(sum: RowSparse, rows: number): Tensor {
  const { info, shape: [room, columns], storage: { device } } = sum.values;
  const storage = new Storage(new Block(-1, 0), 0, rows * columns * info.size, device);
  storage.state = PENDING;
  storage.pending = sum;
  const t = new Tensor(storage, info, [rows, columns], [columns, 1], 0);
  if (isDense(room, rows)) storage.settle("embedding");
  return t;
}

/** The row-sparse sum behind a tensor, or null where it has bytes of its own. */
export function rowsOf(t: Tensor): RowSparse | null {
  const { pending } = t.storage;
  const whole = t.ndim === 2 && t.numel * t.info.size === t.storage.bytes && t.isContiguous();
  return pending instanceof RowSparse && whole ? pending : null;
}

/** The sum of two row-sparse sums over a tensor of so many rows, or null when it is better off dense. */
export function mergeRows(a: RowSparse, b: RowSparse, rows: number): RowSparse | null {
  const { info, shape: [, columns], storage } = a.values;
  const room = Math.min(a.values.shape[0] + b.values.shape[0], rows);
  if (isDense(room, rows) || b.values.info !== info) return null;
  const out = new RowSparse(room, { info, columns, device: storage.device });
  run("add", OP.merge_rows, [out.indices, out.values, out.count], [
    a.indices,
    a.values,
    a.count,
    b.indices,
    b.values,
    b.count,
  ]);
  return out;
}

/** A table of which only some rows are up to date. */
export abstract class LazyTable implements Pending {
  /** Brings every row up to date. */
  abstract settle(storage: Storage): void;
  /** Brings the rows up to date whose numbers (int64 or int32, contiguous) are given. */
  abstract read(indices: Tensor): void;
  /** Whether a tensor is the whole table. */
  abstract covers(t: Tensor): boolean;
  /** Up-to-date rows of the table, which itself stays as it is, about so many bytes at a time. */
  abstract pieces(t: Tensor, bytes: number): Iterable<Tensor> | null;
  /** An up-to-date copy of the table, which itself stays as it is. */
  abstract snapshot(): Tensor;
}

/** The tensor itself, or, where it is a table of which an optimiser has brought only some rows up to date, an up-to-date copy. */
export function snapshot(t: Tensor): Tensor {
  const { pending } = t.storage;
  return pending instanceof LazyTable && pending.covers(t) ? pending.snapshot() : t;
}
