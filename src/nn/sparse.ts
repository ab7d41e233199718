/**
 * Tables of vectors.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { IndexError, ShapeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { Tensor } from "../tensor.ts";
import { embedding } from "./functional.ts";
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
    this.paddingIdx = paddingRow(padding, rows);
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
      paddingIdx: paddingRow(paddingIdx, rows),
      weight: new Parameter(embeddings, { requiresGrad: !freeze }),
    });
  }

  /** Sets the table to new values, the padding row to zeros. */
  resetParameters(): void {
    normal_(this.weight);
    if (this.paddingIdx === null) return;
    const { storage, info, offset, strides } = this.weight;
    const row = new Tensor(
      storage,
      info,
      [this.embeddingDim],
      [1],
      offset + this.paddingIdx * strides[0],
    );
    constant_(row, 0);
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

/** The number of the padding row, counted from the start. */
function paddingRow(padding: number | null, rows: number): number | null {
  if (padding === null) return null;
  if (Number.isInteger(padding) && padding >= -rows && padding < rows) {
    return padding < 0 ? padding + rows : padding;
  }
  throw new IndexError(
    `Cannot make Embedding: paddingIdx ${show(padding)} is out of range for ${rows} rows`,
    {
      op: "Embedding",
    },
  );
}
