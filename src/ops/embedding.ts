/**
 * Rows of a table by number, and their gradient, which stays row-sparse.
 *
 * @module
 */
import { run, runRaw } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, wants } from "../autograd.ts";
import {
  ArgumentError,
  AutogradError,
  DTypeError,
  IndexError,
  ShapeError,
  show,
} from "../errors.ts";
import { op } from "../op.ts";
import { LazyTable, RowSparse, tensorOfRows } from "../rows.ts";
import { contiguousStrides, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { contiguous, reshape } from "./view.ts";

/** Options of `embedding`. */
export interface EmbeddingOptions {
  /** A row whose gradient is left out; negative ones count from the end. */
  paddingIdx?: number | null;
  /** Rows that are read are first rescaled, in place, to at most this norm. */
  maxNorm?: number | null;
  /** The order of that norm; default 2. */
  normType?: number;
  /** Divide each row's gradient by how often the batch reads it. */
  scaleGradByFreq?: boolean;
  /** Changes nothing: every gradient is kept by rows until somebody needs it dense. */
  sparse?: boolean;
}

/** Reads rows of a table. */
export type Embed = {
  (input: Tensor, weight: Tensor, options?: EmbeddingOptions): Tensor;
  (input: Tensor, weight: Tensor, paddingIdx: number | null, options?: EmbeddingOptions): Tensor;
  (
    input: Tensor,
    weight: Tensor,
    paddingIdx: number | null,
    maxNorm: number | null,
    options?: EmbeddingOptions,
  ): Tensor;
};

/**
 * `y[…] = weight[input[…]]`: rows of a table by number.
 *
 * Shapes: input (…), weight (N, D) → y (…, D). Types: input int64 or int32; weight any.
 * Gradient: each row's is the sum over where it was read, in the batch's order, and exists for these rows only, until
 * somebody needs it dense.
 * Errors: IndexError for a number outside the table, DTypeError for numbers that are no integers, ShapeError unless the
 * table has two dims.
 *
 * ```ts
 * import { nn, tensor } from "@toro/toro";
 * const table = tensor([[0, 1], [2, 3], [4, 5]]);
 * nn.functional.embedding(tensor([2n, 0n]), table).toArray(); // [[4, 5], [0, 1]]
 * ```
 */
export const embedding: Embed = op<Embed>(
  "embedding(input, weight, paddingIdx=null, maxNorm=null, normType=2, scaleGradByFreq=false, sparse=false)",
  (
    input: Tensor,
    weight: Tensor,
    paddingIdx: number | null,
    maxNorm: number | null,
    normType: number,
    scaleGradByFreq: boolean,
  ) => {
    checkTable("embedding", input, weight);
    const rows = weight.shape[0];
    const padding = paddingIdx === null ? NO_ROW : wrapPadding("embedding", paddingIdx, rows);
    const indices = flatIndices(input);
    if (maxNorm !== null) limitNorm("embedding", indices, weight, maxNorm, normType);
    return gather(input, indices, weight, NO_ROW, padding, scaleGradByFreq);
  },
);

/** Stands for no row among row numbers. */
const NO_ROW = -1;

/** Checks row numbers and a table. */
export function checkTable(name: string, input: Tensor, weight: unknown): asserts weight is Tensor {
  if (!(weight instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name}: weight must be a tensor, got ${show(weight)}`, {
      op: name,
    });
  }
  if (input.dtype !== "int64" && input.dtype !== "int32") {
    throw new DTypeError(
      `Cannot ${name} with ${show(input)} as row numbers: they must be int64 or int32`,
      { op: name, hint: 'tensor(data, { dtype: "int64" })' },
    );
  }
  if (weight.ndim !== 2) {
    throw new ShapeError(
      `Cannot ${name} from a table ${shapeText(weight.shape)}: it must have two dims`,
      { op: name },
    );
  }
}

/** The number of the padding row, counted from the start. */
export function wrapPadding(name: string, paddingIdx: unknown, rows: number): number {
  if (typeof paddingIdx !== "number" || !Number.isInteger(paddingIdx)) {
    throw new ArgumentError(
      `Cannot ${name}: paddingIdx must be a whole number, got ${show(paddingIdx)}`,
      {
        op: name,
      },
    );
  }
  if (paddingIdx < -rows || paddingIdx >= rows) {
    throw new IndexError(
      `Cannot ${name}: paddingIdx ${paddingIdx} is out of range for a table of ${rows} rows`,
      { op: name },
    );
  }
  return paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
}

/** The row numbers as one run. */
export function flatIndices(input: Tensor): Tensor {
  const { storage, info, offset, numel } = contiguous(input);
  return new Tensor(storage, info, [numel], [1], offset);
}

/** Makes the rows usable that are about to be read, and no others where the table allows that. */
export function prepareRows(indices: Tensor, weight: Tensor): void {
  const { storage } = weight;
  if (storage.state === 0) return;
  const { pending } = storage;
  if (pending instanceof LazyTable && pending.covers(weight)) pending.read(indices);
  else storage.settle("embedding");
}

/** Rows by number; `zeroRow` reads as zeros. The gradient leaves out `padding`. */
function gather(
  input: Tensor,
  indices: Tensor,
  weight: Tensor,
  zeroRow: number,
  padding: number,
  byFrequency: boolean,
): Tensor {
  const [rows, columns] = weight.shape;
  const shape = [...input.shape, columns];
  const flat = empty([indices.numel, columns], weight.info, weight.storage.device);
  if (indices.storage.state !== 0) indices.storage.settle("embedding");
  prepareRows(indices, weight);
  runRaw(OP.gather_rows, [flat], [weight, indices], [zeroRow]);
  const out = new Tensor(flat.storage, flat.info, shape, contiguousStrides(shape), 0);
  if (wants(weight)) {
    record(
      "embedding",
      [weight],
      [out],
      ([g]) => [g && scatter(g, input, indices, rows, padding, byFrequency)],
      [indices],
    );
  }
  return out;
}

/** A tensor (rows, D) that holds, by rows, sums of the rows (M, D) of g; `indices` (M) say where each belongs. */
export function sumOfRows(
  g: Tensor,
  indices: Tensor,
  rows: number,
  padding: number,
  byFrequency: boolean,
): Tensor {
  const like = { info: g.info, columns: g.shape[1], device: g.storage.device };
  const sum = new RowSparse(Math.min(indices.numel, rows), like);
  run("embedding", OP.sum_rows, [sum.indices, sum.values, sum.count], [indices, g], [
    rows,
    padding,
    byFrequency ? 1 : 0,
  ]);
  return tensorOfRows(sum, rows);
}

/** The gradient of `gather`: a row-sparse sum. */
function scatter(
  g: Tensor,
  input: Tensor,
  indices: Tensor,
  rows: number,
  padding: number,
  byFrequency: boolean,
): Tensor {
  const flat = inMode(false, () => reshape(g, [indices.numel, g.shape[g.ndim - 1]]));
  const out = sumOfRows(flat, indices, rows, padding, byFrequency);
  if (wants(g)) {
    if (byFrequency) {
      throw new AutogradError(
        "Cannot embedding with scaleGradByFreq and createGraph: the scaling has no derivative rule",
        {
          op: "embedding",
        },
      );
    }
    record(
      "embeddingBackward",
      [g],
      [out],
      ([gg]) => [gg && gather(input, indices, gg, padding, padding, false)],
      [indices],
    );
  }
  return out;
}

/** Rescales, in place and unseen by autograd, the rows that are read to a norm of at most `maxNorm`. */
export function limitNorm(
  name: string,
  indices: Tensor,
  weight: Tensor,
  maxNorm: unknown,
  normType: unknown,
): void {
  if (
    typeof maxNorm !== "number" || !(maxNorm >= 0) || typeof normType !== "number" ||
    Number.isNaN(normType)
  ) {
    throw new ArgumentError(
      `Cannot ${name} with maxNorm ${show(maxNorm)} and normType ${
        show(normType)
      }: both must be numbers, maxNorm from 0 on`,
      { op: name },
    );
  }
  if (!weight.isContiguous()) {
    throw new ArgumentError(`Cannot ${name} with maxNorm from a table that is not contiguous`, {
      op: name,
    });
  }
  prepareRows(indices, weight);
  runRaw(OP.limit_rows, [weight], [indices], [maxNorm, normType]);
  weight.storage.version++;
}
