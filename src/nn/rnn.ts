/**
 * Sequences of several lengths: padded into one tensor, or packed without padding, as `torch.nn.utils.rnn` has them.
 *
 * @module
 */
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { indexSelect } from "../ops/index_ops.ts";
import { cat, pad, stack } from "../ops/joining.ts";
import { transpose } from "../ops/view.ts";
import { narrow, select, split } from "../ops/window.ts";
import { shapeText } from "../shape.ts";
import { fromElements, Tensor } from "../tensor.ts";

/**
 * Sequences without padding: the rows of all of them at step 0, then those at step 1, and so on; longer sequences come
 * first. Made by `packPaddedSequence` and `packSequence`, taken and given by RNN, LSTM and GRU.
 */
export class PackedSequence implements Iterable<Tensor | null> {
  readonly #packed = true;
  /** The rows (N, …). */
  readonly data: Tensor;
  /** How many sequences have each step (T), int64. */
  readonly batchSizes: Tensor;
  /** Which sequence of the batch stands at each place, or null where the batch was sorted already. */
  readonly sortedIndices: Tensor | null;
  /** Where each sequence of the batch stands, or null. */
  readonly unsortedIndices: Tensor | null;

  /** Rows, sizes and, where the batch was not sorted, its order. */
  constructor(
    data: Tensor,
    batchSizes: Tensor,
    sortedIndices: Tensor | null = null,
    unsortedIndices: Tensor | null = null,
  ) {
    this.data = data;
    this.batchSizes = batchSizes;
    this.sortedIndices = sortedIndices;
    this.unsortedIndices = unsortedIndices;
  }

  /** Data, sizes and the two orders, as PyTorch's named tuple has them. */
  *[Symbol.iterator](): IterableIterator<Tensor | null> {
    yield this.data;
    yield this.batchSizes;
    yield this.sortedIndices;
    yield this.unsortedIndices;
  }

  /** The sizes as numbers. */
  sizes(): number[] {
    return Array.from(this.batchSizes.toTypedArray(), Number);
  }

  /** The same order of rows with other data. */
  withData(data: Tensor): PackedSequence {
    return new PackedSequence(data, this.batchSizes, this.sortedIndices, this.unsortedIndices);
  }
}

const int64 = (values: readonly number[]): Tensor =>
  fromElements(BigInt64Array.from(values, BigInt), "int64", [values.length]);

/** Lengths as numbers: whole and above 0. */
function lengthsOf(name: string, lengths: unknown): number[] {
  const list = lengths instanceof Tensor
    ? Array.from(lengths.toTypedArray(), Number)
    : Array.isArray(lengths)
    ? lengths.map(Number)
    : null;
  if (list === null || list.length === 0 || list.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new ArgumentError(
      `Cannot ${name} with lengths ${show(lengths)}: they must be whole numbers above 0`,
      { op: name },
    );
  }
  return list;
}

/** Options of packing. */
export interface PackOptions {
  /** Whether the batch comes first; default false: (T, B, …). */
  batchFirst?: boolean;
  /** Whether sequences must already be sorted, longest first; default true. */
  enforceSorted?: boolean;
}

/** Packs a padded batch. */
export type PackPadded = (
  input: Tensor,
  lengths: Tensor | readonly number[],
  options?: PackOptions,
) => PackedSequence;

/**
 * Packs a padded batch (T, B, …), or (B, T, …) with `batchFirst`: rows past a sequence's length are left out.
 * Errors: ArgumentError for lengths that do not fall while `enforceSorted`, ShapeError for lengths that do not fit.
 *
 * ```ts
 * import { nn, tensor } from "@toro/toro";
 * const { packPaddedSequence } = nn.utils.rnn;
 * const packed = packPaddedSequence(tensor([[1, 4], [2, 5], [3, 0]]), [3, 2]);
 * console.log(packed.data.toArray()); // [ 1, 4, 2, 5, 3 ]
 * ```
 */
export const packPaddedSequence: PackPadded = op(
  "packPaddedSequence(input, lengths, batchFirst=false, enforceSorted=true)",
  (
    input: Tensor,
    lengths: Tensor | readonly number[],
    batchFirst: boolean,
    enforceSorted: boolean,
  ) => {
    const name = "packPaddedSequence";
    const counts = lengthsOf(name, lengths);
    let x = batchFirst && input.ndim >= 2 ? transpose(input, 0, 1) : input;
    if (x.ndim < 2 || x.shape[1] !== counts.length || Math.max(...counts) > x.shape[0]) {
      throw new ShapeError(
        `Cannot ${name} of input ${shapeText(input.shape)} with lengths [${
          counts.join(", ")
        }]: they must be as many as sequences, and at most its steps`,
        { op: name },
      );
    }
    let order: number[] | null = null;
    if (counts.some((n, i) => i > 0 && n > counts[i - 1])) {
      if (enforceSorted) {
        throw new ArgumentError(
          `Cannot ${name} with lengths [${counts.join(", ")}]: they must fall`,
          { op: name, hint: "pass { enforceSorted: false }" },
        );
      }
    }
    if (!enforceSorted) {
      order = counts.map((_, i) => i).sort((a, b) => counts[b] - counts[a] || a - b);
      x = indexSelect(x, 1, int64(order));
    }
    const sorted = (order ?? counts.map((_, i) => i)).map((i) => counts[i]);
    const sizes = Array.from({ length: sorted[0] }, (_, t) => sorted.filter((n) => n > t).length);
    const data = cat(sizes.map((n, t) => narrow(select(x, 0, t), 0, 0, n)));
    if (order === null) return new PackedSequence(data, int64(sizes));
    const back = order.map(() => 0);
    order.forEach((from, place) => back[from] = place);
    return new PackedSequence(data, int64(sizes), int64(order), int64(back));
  },
);

/** Options of unpacking. */
export interface PadPackedOptions {
  /** Whether the batch shall come first; default false. */
  batchFirst?: boolean;
  /** What stands past a sequence's end; default 0. */
  paddingValue?: number;
  /** Steps of the result; default: the longest sequence's. */
  totalLength?: number | null;
}

/** Unpacks a batch. */
export type PadPacked = (
  sequence: PackedSequence,
  options?: PadPackedOptions,
) => [padded: Tensor, lengths: Tensor];

/** The inverse of packing: the padded batch, and the length of each sequence. */
export const padPackedSequence: PadPacked = op(
  "padPackedSequence(sequence, batchFirst=false, paddingValue=0, totalLength=null)",
  unpacked,
);

function unpacked(
  sequence: PackedSequence,
  batchFirst: boolean,
  paddingValue: number,
  totalLength: number | null,
): [padded: Tensor, lengths: Tensor] {
  const name = "padPackedSequence";
  if (!(sequence instanceof PackedSequence)) {
    throw new ArgumentError(`Cannot ${name} of ${show(sequence)}: it must be a PackedSequence`, {
      op: name,
    });
  }
  const sizes = sequence.sizes(), batch = sizes[0] ?? 0;
  if (totalLength !== null && totalLength < sizes.length) {
    throw new ArgumentError(
      `Cannot ${name} with totalLength ${totalLength}: the longest sequence has ${sizes.length} steps`,
      { op: name },
    );
  }
  const missing = (n: number, dim: number, t: Tensor) => {
    if (n === 0) return t;
    const amounts = new Array<number>(2 * t.ndim).fill(0);
    amounts[2 * (t.ndim - 1 - dim) + 1] = n;
    return pad(t, amounts, { value: paddingValue });
  };
  const rows = split(sequence.data, sizes).map((t) => missing(batch - t.shape[0], 0, t));
  let padded = missing((totalLength ?? sizes.length) - sizes.length, 0, stack(rows));
  let lengths = Array.from({ length: batch }, (_, i) => sizes.filter((n) => n > i).length);
  if (sequence.unsortedIndices !== null) {
    padded = indexSelect(padded, 1, sequence.unsortedIndices);
    const order: readonly (number | bigint)[] = [...sequence.unsortedIndices.toTypedArray()];
    lengths = order.map((i) => lengths[Number(i)]);
  }
  return [batchFirst ? transpose(padded, 0, 1) : padded, int64(lengths)];
}

/** Options of `padSequence`. */
export interface PadSequenceOptions {
  /** Whether the batch shall come first; default false. */
  batchFirst?: boolean;
  /** What stands past a sequence's end; default 0. */
  paddingValue?: number;
  /** Where the padding stands: `"right"` (default) or `"left"`. */
  paddingSide?: "right" | "left";
}

/** Sequences (Tᵢ, …) as one padded tensor (T, B, …), or (B, T, …) with `batchFirst`. */
export const padSequence: (
  sequences: readonly Tensor[],
  options?: PadSequenceOptions,
) => Tensor = op(
  "padSequence(sequences, batchFirst=false, paddingValue=0, paddingSide='right')",
  padded,
);

function padded(
  sequences: readonly Tensor[],
  batchFirst: boolean,
  paddingValue: number,
  paddingSide: unknown,
): Tensor {
  const name = "padSequence";
  if (
    !Array.isArray(sequences) || sequences.length === 0 ||
    sequences.some((t) => !(t instanceof Tensor) || t.ndim === 0)
  ) {
    throw new ArgumentError(
      `Cannot ${name} of ${show(sequences)}: it takes an array of tensors of one dim and more`,
      { op: name },
    );
  }
  if (paddingSide !== "right" && paddingSide !== "left") {
    throw new ArgumentError(
      `Cannot ${name} with paddingSide ${show(paddingSide)}: it must be "right" or "left"`,
      { op: name },
    );
  }
  const most = Math.max(...sequences.map((t) => t.shape[0]));
  const rows = (sequences as readonly Tensor[]).map((t) => {
    const n = most - t.shape[0];
    if (n === 0) return t;
    const amounts = new Array<number>(2 * t.ndim).fill(0);
    amounts[2 * (t.ndim - 1) + (paddingSide === "right" ? 1 : 0)] = n;
    return pad(t, amounts, { value: paddingValue });
  });
  return stack(rows, batchFirst ? 0 : 1);
}

/** The inverse of `padSequence`: each sequence without its padding. */
export const unpadSequence: (
  paddedSequences: Tensor,
  lengths: Tensor | readonly number[],
  options?: { batchFirst?: boolean },
) => Tensor[] = op(
  "unpadSequence(paddedSequences, lengths, batchFirst=false)",
  (t: Tensor, lengths: Tensor | readonly number[], batchFirst: boolean) => {
    const x = batchFirst ? t : transpose(t, 0, 1);
    return lengthsOf("unpadSequence", lengths).map((n, i) => narrow(select(x, 0, i), 0, 0, n));
  },
);

/** Packs sequences (Tᵢ, …) of several lengths. */
export const packSequence: (
  sequences: readonly Tensor[],
  options?: { enforceSorted?: boolean },
) => PackedSequence = op(
  "packSequence(sequences, enforceSorted=true)",
  (sequences: readonly Tensor[], enforceSorted: boolean) => {
    const x = padSequence(sequences);
    return packPaddedSequence(x, sequences.map((t) => t.shape[0]), { enforceSorted });
  },
);

/** The sequences of a packed batch, each (Tᵢ, …). */
export const unpackSequence: (packedSequences: PackedSequence) => Tensor[] = op(
  "unpackSequence(packedSequences)",
  (packed: PackedSequence) => unpadSequence(...padPackedSequence(packed)),
);
