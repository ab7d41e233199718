/**
 * Bags of rows of a table, reduced as they are read. The gradient of sums and means is row-sparse, as that of
 * `embedding` is.
 *
 * @module
 */
import { runRaw } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wantsAny } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { composedGradients } from "./composed.ts";
import { zeros } from "./creation.ts";
import {
  checkTable,
  embedding,
  flatIndices,
  limitNorm,
  prepareRows,
  sumOfRows,
  wrapPadding,
} from "./embedding.ts";
import { indexAdd, indexSelect } from "./index_ops.ts";
import { eq, ge, logicalNot, maskedFill } from "./logic.ts";
import { cast } from "./map.ts";
import { div, mul, sub } from "./pointwise.ts";
import { sum } from "./reduction.ts";
import { arange } from "./pattern.ts";
import { scatterAdd } from "./scattering.ts";
import { searchsorted } from "./sorting.ts";
import { contiguous, reshape, unsqueeze } from "./view.ts";
import { narrow } from "./window.ts";

const NAME = "embeddingBag";

/** How a bag's rows become one. */
export type BagMode = "sum" | "mean" | "max";
const MODES: readonly BagMode[] = ["sum", "mean", "max"];

/** What `embeddingBag` takes by name. */
export interface EmbeddingBagOptions {
  /** Where each bag begins (B), with an input of one dim. */
  offsets?: Tensor | null;
  /** Rows that are read are first rescaled, in place, to at most this norm. */
  maxNorm?: number | null;
  /** The order of that norm; default 2. */
  normType?: number;
  /** Divide each row's gradient by how often the batch reads it; not with "max". */
  scaleGradByFreq?: boolean;
  /** `"sum"`, `"mean"` (default) or `"max"`. */
  mode?: BagMode;
  /** Changes nothing: gradients of sums and means are kept by rows until somebody needs them dense. */
  sparse?: boolean;
  /** A weight for each number, with "sum" only. */
  perSampleWeights?: Tensor | null;
  /** Whether the last offset is the end of the last bag; default false. */
  includeLastOffset?: boolean;
  /** A row that is passed over; negative ones count from the end. */
  paddingIdx?: number | null;
}

/** Reads bags of rows. */
export type EmbedBag = {
  (input: Tensor, weight: Tensor, options?: EmbeddingBagOptions): Tensor;
  (input: Tensor, weight: Tensor, offsets: Tensor | null, options?: EmbeddingBagOptions): Tensor;
  (
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | null,
    maxNorm: number | null,
    options?: EmbeddingBagOptions,
  ): Tensor;
};

function fail(text: string): never {
  throw new ArgumentError(`Cannot ${NAME} ${text}`, { op: NAME });
}

/** Where bags begin: those given, or every so many numbers of an input of two dims. */
function startsOf(input: Tensor, offsets: unknown, includeLast: boolean): Tensor {
  if (input.ndim === 2) {
    if (offsets !== null) {
      fail(`of input ${shapeText(input.shape)} with offsets: rows of two dims are the bags`);
    }
    const [bags, each] = input.shape;
    return mul(arange(bags, { device: input.device }), each);
  }
  if (input.ndim !== 1) {
    throw new ShapeError(
      `Cannot ${NAME} of input ${shapeText(input.shape)}: it must have 1 or 2 dims`,
      {
        op: NAME,
      },
    );
  }
  if (!(offsets instanceof Tensor) || offsets.ndim !== 1) {
    fail(
      `of input ${shapeText(input.shape)} with offsets ${show(offsets)}: they must have one dim`,
    );
  }
  if (offsets.dtype !== "int64" && offsets.dtype !== "int32") {
    throw new DTypeError(
      `Cannot ${NAME} with offsets ${offsets.dtype}: they must be int64 or int32`,
      {
        op: NAME,
      },
    );
  }
  if (!includeLast) return flatIndices(offsets);
  if (offsets.numel === 0) fail("with includeLastOffset and no offsets");
  return flatIndices(narrow(offsets, 0, 0, offsets.numel - 1));
}

/** What both forms of the op are given. */
interface Bags {
  readonly numbers: Tensor;
  readonly starts: Tensor;
  readonly mode: BagMode;
  /** The row that is passed over, or -1. */
  readonly padding: number;
}

/** The bag that each number lies in. */
function bagOf({ numbers, starts }: Bags): Tensor {
  const places = arange(numbers.numel, { device: numbers.device });
  return sub(searchsorted(cast(starts, "int64"), places, { right: true }), 1);
}

/** 1 for each number that counts, 0 for the padding. */
function counted({ numbers, padding }: Bags, like: Tensor): Tensor {
  return cast(logicalNot(eq(numbers, padding)), like.dtype);
}

/** For each number, by what its row is multiplied in its bag's result. */
function factors(bags: Bags, bag: Tensor, weights: Tensor | null, like: Tensor): Tensor | null {
  if (weights !== null) return bags.padding < 0 ? weights : mul(weights, counted(bags, like));
  if (bags.mode === "sum") return bags.padding < 0 ? null : counted(bags, like);
  const ones = counted(bags, like);
  const count = indexAdd(
    zeros([bags.starts.numel], { dtype: like.dtype, device: like.device }),
    0,
    bag,
    ones,
  );
  return div(ones, indexSelect(maskedFill(count, eq(count, 0), 1), 0, bag));
}

/** Sums and means in plain ops. */
function composed(bags: Bags, weight: Tensor, weights: Tensor | null): Tensor {
  const bag = bagOf(bags);
  const rows = embedding(bags.numbers, weight);
  const scale = factors(bags, bag, weights, weight);
  const scaled = scale === null ? rows : mul(rows, unsqueeze(scale, 1));
  const out = zeros([bags.starts.numel, weight.shape[1]], {
    dtype: weight.dtype,
    device: weight.device,
  });
  return indexAdd(out, 0, bag, scaled);
}

/**
 * For each bag of row numbers the sum, the mean or the greatest elements of its rows of a table, without a copy of the
 * rows; a bag without rows gives zeros.
 *
 * Shapes: input (B, L), or (M) with offsets (B); weight (N, D) → (B, D); perSampleWeights as input. Types: input int64
 * or int32, weight float.
 * Gradient: by rows, as that of `embedding`; that of "max" is dense.
 * Errors: IndexError for numbers outside the table and offsets that fall or do not begin at 0, ArgumentError for
 * weights with another mode than "sum".
 *
 * ```ts
 * import { nn, tensor } from "@toro/toro";
 * const table = tensor([[0, 1], [2, 3], [4, 5]]);
 * const y = nn.functional.embeddingBag(tensor([2n, 0n, 1n]), table, tensor([0n, 2n]), { mode: "sum" });
 * console.log(y.toArray()); // [ [ 4, 6 ], [ 2, 3 ] ]
 * ```
 */
export const embeddingBag: EmbedBag = op<EmbedBag>(
  `${NAME}(input, weight, offsets=null, maxNorm=null, normType=2, scaleGradByFreq=false, mode='mean', sparse=false, perSampleWeights=null, includeLastOffset=false, paddingIdx=null)`,
  (
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | null,
    maxNorm: number | null,
    normType: number,
    scaleGradByFreq: boolean,
    mode: BagMode,
    _sparse: boolean,
    perSampleWeights: Tensor | null,
    includeLastOffset: boolean,
    paddingIdx: number | null,
  ) => {
    // PyTorch once took the table first, and still does.
    const swapped = weight instanceof Tensor && weight.dtype === "int64" && input.info.isFloat;
    if (swapped) [input, weight] = [weight, input];
    checkTable(NAME, input, weight);
    if (!weight.info.isFloat) {
      throw new DTypeError(`Cannot ${NAME} from a table of ${weight.dtype}: it must be float`, {
        op: NAME,
      });
    }
    if (!MODES.includes(mode)) fail(`with mode ${show(mode)}: it must be "sum", "mean" or "max"`);
    if (mode === "max" && scaleGradByFreq) fail('with mode "max" and scaleGradByFreq');
    const starts = startsOf(input, offsets, includeLastOffset);
    let weights: Tensor | null = null;
    if (perSampleWeights !== null) {
      if (mode !== "sum") fail(`with perSampleWeights and mode ${show(mode)}: it must be "sum"`);
      if (
        !(perSampleWeights instanceof Tensor) || perSampleWeights.info !== weight.info ||
        !sameShape(perSampleWeights.shape, input.shape)
      ) {
        fail(
          `with perSampleWeights ${show(perSampleWeights)}: they must be ${
            shapeText(input.shape)
          } of ${weight.dtype}`,
        );
      }
      weights = contiguous(reshape(perSampleWeights, [input.numel]));
    }
    const rows = weight.shape[0];
    const padding = paddingIdx === null ? -1 : wrapPadding(NAME, paddingIdx, rows);
    const numbers = flatIndices(input);
    if (maxNorm !== null) limitNorm(NAME, numbers, weight, maxNorm, normType);
    return reduce({ numbers, starts, mode, padding }, weight, weights, scaleGradByFreq);
  },
);

function reduce(
  bags: Bags,
  weight: Tensor,
  weights: Tensor | null,
  byFrequency: boolean,
): Tensor {
  const { numbers, starts, mode, padding } = bags;
  const shape = [starts.numel, weight.shape[1]];
  const { info, storage: { device } } = weight;
  const out = empty(shape, info, device);
  const which = empty(mode === "max" ? shape : [0], DTYPES.int64, device);
  for (const t of [numbers, starts, weights]) {
    if (t !== null && t.storage.state !== 0) t.storage.settle(NAME);
  }
  prepareRows(numbers, weight);
  const operands = [weight, numbers, starts, weights ?? empty([0], info, device)];
  if (out.numel > 0) {
    runRaw(OP.bag_rows, [out, which], operands, [MODES.indexOf(mode), padding]);
  }
  const inputs = weights === null ? [weight] : [weight, weights];
  if (!wantsAny(inputs)) return out;
  record(NAME, inputs, [out], ([g]) => {
    if (g === null) return inputs.map(() => null);
    if (mode === "max") {
      // Rows of bags without any are -1: they took nothing.
      const taken = ge(which, 0);
      const value = maskedFill(g, logicalNot(taken), 0);
      const table = zeros(weight.shape, { dtype: info.name, device: weight.device });
      return [scatterAdd(table, 0, maskedFill(which, logicalNot(taken), 0), value)];
    }
    if (isGradEnabled()) {
      if (byFrequency) {
        fail("with scaleGradByFreq and createGraph: the scaling has no derivative rule");
      }
      return composedGradients(
        ([weight, weights]) => [composed(bags, weight, weights ?? null)],
        inputs,
        [g],
      );
    }
    const bag = bagOf(bags);
    const slopes = indexSelect(g, 0, bag);
    const scale = factors(bags, bag, weights, g);
    const ofRows = scale === null ? slopes : mul(slopes, unsqueeze(scale, 1));
    const table = sumOfRows(ofRows, numbers, weight.shape[0], padding, byFrequency);
    if (weights === null) return [table];
    const ofWeights = sum(mul(slopes, embedding(numbers, weight)), 1);
    return [table, padding < 0 ? ofWeights : mul(ofWeights, counted(bags, g))];
  }, weights === null ? [numbers, starts] : [numbers, starts, weights, weight]);
  return out;
}
