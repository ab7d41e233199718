/**
 * Tables of vectors.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, IndexError, ShapeError, show } from "../errors.ts";
import { bind, declare, parseSignature } from "../op.ts";
import { Tensor } from "../tensor.ts";
import type { BagMode } from "../ops/embedding_bag.ts";
import { embedding, embeddingBag } from "./functional.ts";
import { constant_, normal_ } from "./init.ts";
import { Module } from "./module.ts";
import {
  checkCount,
  checkNumber,
  factoryOf,
  type FactoryOptions,
  newParameter,
} from "./options.ts";
import { Parameter } from "./parameter.ts";

/** Options of `Embedding`. */
export interface EmbeddingOptions extends FactoryOptions {
  /** A row that begins as zeros and gets no gradient; negative ones count from the end. */
  paddingIdx?: number | null;
  /** Rows that are read are first rescaled, in place, to at most this norm. */
  maxNorm?: number | null;
  /** The order of that norm; default 2. */
  normType?: number;
  /** Whether each row's gradient is divided by how often the batch reads it. */
  scaleGradByFreq?: boolean;
}

/**
 * A table of vectors, read by row number: `y[…] = weight[x[…]]`.
 *
 * Shapes: x (…) of int64 or int32 → y (…, embeddingDim); weight (numEmbeddings, embeddingDim), which begins normal with
 * standard deviation 1. The gradient is row-sparse inside: a step costs what the batch's rows cost, not the table. There
 * is no `sparse` option to ask for it.
 * Errors: IndexError that names the index for a row outside the table.
 *
 * ```ts
 * import { nn, tensor } from "@toro/toro";
 * const users = new nn.Embedding(1000, 16);
 * console.log(users.forward(tensor([[3n, 5n]])).shape); // [ 1, 2, 16 ]
 * ```
 */
export class Embedding extends Module {
  readonly #embedding = true;
  /** Rows of the table. */
  readonly numEmbeddings: number;
  /** Size of each vector. */
  readonly embeddingDim: number;
  /** The row without a gradient, or null. */
  readonly paddingIdx: number | null;
  /** The largest norm of a row that is read, or null. */
  readonly maxNorm: number | null;
  /** The order of that norm. */
  readonly normType: number;
  /** Whether each row's gradient is divided by how often the batch reads it. */
  readonly scaleGradByFreq: boolean;
  /** (numEmbeddings, embeddingDim). */
  weight: Parameter;

  /** A table of so many vectors of such a size. */
  constructor(
    numEmbeddings: number,
    embeddingDim: number,
    paddingIdx?: number | null | EmbeddingOptions,
    maxNorm?: number | null | EmbeddingOptions,
    options?: EmbeddingOptions,
  ) {
    super();
    const [rows, dim, padding, most, normType, scale, device, dtype] = bind(EMBEDDING, [
      numEmbeddings,
      embeddingDim,
      paddingIdx,
      maxNorm,
      options,
    ]) as [
      number,
      number,
      number | null,
      number | null,
      number,
      boolean,
      string | null,
      DType | null,
    ];
    checkCount(rows, "Embedding", "numEmbeddings");
    checkCount(dim, "Embedding", "embeddingDim");
    this.numEmbeddings = rows;
    this.embeddingDim = dim;
    this.paddingIdx = paddingRow("Embedding", padding, rows);
    if (most !== null) checkNumber(most, "Embedding", "maxNorm");
    checkNumber(normType, "Embedding", "normType");
    this.maxNorm = most;
    this.normType = normType;
    this.scaleGradByFreq = scale;
    this.weight = newParameter([rows, dim], factoryOf("Embedding", device, dtype));
    this.resetParameters();
  }

  /**
   * A table of given vectors (rows, size); `freeze` (default) keeps them as they are.
   * Errors: ShapeError unless the tensor has two dims.
   */
  static fromPretrained(
    embeddings: Tensor,
    { freeze = true, paddingIdx = null }: { freeze?: boolean; paddingIdx?: number | null } = {},
  ): Embedding {
    if (!(embeddings instanceof Tensor) || embeddings.ndim !== 2) {
      throw new ShapeError(
        `Cannot make Embedding from ${show(embeddings)}: the table must have two dims`,
        {
          op: "Embedding",
        },
      );
    }
    const [rows, dim] = embeddings.shape;
    // Made without rows, so that no values are drawn that nobody wants.
    return Object.assign(new Embedding(0, dim), {
      numEmbeddings: rows,
      paddingIdx: paddingRow("Embedding", paddingIdx, rows),
      weight: new Parameter(embeddings, { requiresGrad: !freeze }),
    });
  }

  /** Sets the table to new values, the padding row to zeros. */
  resetParameters(): void {
    resetTable(this.weight, this.paddingIdx);
  }

  override forward(x: Tensor): Tensor {
    const { paddingIdx, maxNorm, normType, scaleGradByFreq } = this;
    return embedding(x, this.weight, { paddingIdx, maxNorm, normType, scaleGradByFreq });
  }

  override extraRepr(): string {
    const padding = this.paddingIdx === null ? "" : `, paddingIdx=${this.paddingIdx}`;
    const norm = this.maxNorm === null ? "" : `, maxNorm=${this.maxNorm}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}${norm}`;
  }
}

const EMBEDDING = declare(
  Embedding,
  "Embedding(numEmbeddings, embeddingDim, paddingIdx=null, maxNorm=null, normType=2, scaleGradByFreq=false, device=null, dtype=null)",
);

/** Sets a table to normal values, the padding row to zeros. */
function resetTable(weight: Parameter, paddingIdx: number | null): void {
  normal_(weight);
  if (paddingIdx === null) return;
  const { storage, info, offset, shape, strides } = weight;
  const row = new Tensor(storage, info, [shape[1]], [1], offset + paddingIdx * strides[0]);
  constant_(row, 0);
}

/** Options of `EmbeddingBag`. */
export interface EmbeddingBagOptions extends FactoryOptions {
  /** Rows that are read are first rescaled, in place, to at most this norm. */
  maxNorm?: number | null;
  /** The order of that norm; default 2. */
  normType?: number;
  /** Whether each row's gradient is divided by how often the batch reads it. */
  scaleGradByFreq?: boolean;
  /** `"sum"`, `"mean"` (default) or `"max"`. */
  mode?: BagMode;
  /** Changes nothing: gradients of sums and means are kept by rows until somebody needs them dense. */
  sparse?: boolean;
  /** Whether the last offset is the end of the last bag; default false. */
  includeLastOffset?: boolean;
  /** A row that begins as zeros and is passed over; negative ones count from the end. */
  paddingIdx?: number | null;
}

/** What `EmbeddingBag.forward` takes by name. */
export interface EmbeddingBagForwardOptions {
  /** Where each bag begins (B), with an input of one dim. */
  offsets?: Tensor | null;
  /** A weight for each number, with mode "sum" only. */
  perSampleWeights?: Tensor | null;
}

/**
 * A table of vectors, read by bags of row numbers: the sum, mean or maximum of each bag's rows, without a copy of them.
 *
 * Shapes: x (B, L), or (M) with offsets (B), of int64 or int32 → (B, embeddingDim); weight (numEmbeddings,
 * embeddingDim). The gradient of sums and means is row-sparse inside, as `Embedding`'s.
 * Errors: IndexError for a row outside the table, ArgumentError for weights with another mode than "sum".
 *
 * ```ts
 * import { nn, tensor } from "@toro/toro";
 * const bags = new nn.EmbeddingBag(1000, 16, { mode: "sum" });
 * console.log(bags.forward(tensor([[3n, 5n], [1n, 1n]])).shape); // [ 2, 16 ]
 * ```
 */
export class EmbeddingBag extends Module {
  readonly #bags = true;
  /** Rows of the table. */
  readonly numEmbeddings: number;
  /** Size of each vector. */
  readonly embeddingDim: number;
  /** The largest norm of a row that is read, or null. */
  readonly maxNorm: number | null;
  /** The order of that norm. */
  readonly normType: number;
  /** Whether each row's gradient is divided by how often the batch reads it. */
  readonly scaleGradByFreq: boolean;
  /** How a bag's rows become one. */
  readonly mode: BagMode;
  /** Whether the last offset is the end of the last bag. */
  readonly includeLastOffset: boolean;
  /** The row that is passed over, or null. */
  readonly paddingIdx: number | null;
  /** (numEmbeddings, embeddingDim). */
  weight: Parameter;

  /** A table of so many vectors of such a size. */
  constructor(
    numEmbeddings: number,
    embeddingDim: number,
    maxNorm?: number | null | EmbeddingBagOptions,
    normType?: number | EmbeddingBagOptions,
    options?: EmbeddingBagOptions,
  ) {
    super();
    const name = "EmbeddingBag";
    const bound = bind(EMBEDDING_BAG, [numEmbeddings, embeddingDim, maxNorm, normType, options]);
    const [rows, dim, most, order] = bound as [number, number, number | null, number];
    const [scale, mode, , given] = bound.slice(4) as [boolean, BagMode, boolean, Tensor | null];
    const [last, padding, device, dtype] = bound.slice(8) as [
      boolean,
      number | null,
      string | null,
      DType | null,
    ];
    checkCount(rows, name, "numEmbeddings");
    checkCount(dim, name, "embeddingDim");
    if (most !== null) checkNumber(most, name, "maxNorm");
    checkNumber(order, name, "normType");
    if (!["sum", "mean", "max"].includes(mode)) {
      throw new ArgumentError(
        `Cannot make ${name}: mode must be "sum", "mean" or "max", got ${show(mode)}`,
        { op: name },
      );
    }
    this.numEmbeddings = rows;
    this.embeddingDim = dim;
    this.maxNorm = most;
    this.normType = order;
    this.scaleGradByFreq = scale;
    this.mode = mode;
    this.includeLastOffset = last;
    this.paddingIdx = paddingRow(name, padding, rows);
    if (given === null) {
      this.weight = newParameter([rows, dim], factoryOf(name, device, dtype));
      this.resetParameters();
      return;
    }
    if (
      !(given instanceof Tensor) || given.ndim !== 2 || given.shape[0] !== rows ||
      given.shape[1] !== dim
    ) {
      throw new ShapeError(
        `Cannot make ${name} from ${show(given)}: it must be [${rows}, ${dim}]`,
        {
          op: name,
        },
      );
    }
    this.weight = new Parameter(given);
  }

  /** Sets the table to new values, the padding row to zeros. */
  resetParameters(): void {
    resetTable(this.weight, this.paddingIdx);
  }

  /** Reads bags of rows. */
  override forward(
    input: Tensor,
    offsets?: Tensor | null | EmbeddingBagForwardOptions,
    perSampleWeights?: Tensor | null | EmbeddingBagForwardOptions,
  ): Tensor {
    const [, starts, weights] = bind(BAG_FORWARD, [input, offsets, perSampleWeights]) as [
      Tensor,
      Tensor | null,
      Tensor | null,
    ];
    const { maxNorm, normType, scaleGradByFreq, mode, includeLastOffset, paddingIdx } = this;
    return embeddingBag(input, this.weight, {
      offsets: starts,
      perSampleWeights: weights,
      maxNorm,
      normType,
      scaleGradByFreq,
      mode,
      includeLastOffset,
      paddingIdx,
    });
  }

  override extraRepr(): string {
    const padding = this.paddingIdx === null ? "" : `, paddingIdx=${this.paddingIdx}`;
    const norm = this.maxNorm === null ? "" : `, maxNorm=${this.maxNorm}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${norm}, mode=${this.mode}${padding}`;
  }
}

const EMBEDDING_BAG = declare(
  EmbeddingBag,
  "EmbeddingBag(numEmbeddings, embeddingDim, maxNorm=null, normType=2, scaleGradByFreq=false, mode='mean', sparse=false, _weight=null, includeLastOffset=false, paddingIdx=null, device=null, dtype=null)",
);
const BAG_FORWARD = parseSignature(
  "forward EmbeddingBag(input, offsets=null, perSampleWeights=null)",
);

/** The number of the padding row, counted from the start. */
function paddingRow(name: string, padding: number | null, rows: number): number | null {
  if (padding === null) return null;
  if (Number.isInteger(padding) && padding >= -rows && padding < rows) {
    return padding < 0 ? padding + rows : padding;
  }
  throw new IndexError(
    `Cannot make ${name}: paddingIdx ${show(padding)} is out of range for ${rows} rows`,
    {
      op: name,
    },
  );
}
