/**
 * Attention as a layer.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, parseSignature } from "../op.ts";
import { attendByHeads } from "../ops/multihead.ts";
import type { Tensor } from "../tensor.ts";
import { constant_, xavierNormal_, xavierUniform_ } from "./init.ts";
import { type Linear, NonDynamicallyQuantizableLinear } from "./linear.ts";
import { Module } from "./module.ts";
import { checkCount, factoryOf, type FactoryOptions, newParameter } from "./options.ts";
import type { Parameter } from "./parameter.ts";

/** Options of `MultiheadAttention`. */
export interface MultiheadAttentionOptions extends FactoryOptions {
  /** The probability of a weight to be dropped in training; default 0. */
  dropout?: number;
  /** Whether the projections have biases; default true. */
  bias?: boolean;
  /** Whether a learned key and value are put behind the others; default false. */
  addBiasKv?: boolean;
  /** Whether a key and a value of zeros are put behind the others; default false. */
  addZeroAttn?: boolean;
  /** Size of a key; default: embedDim. */
  kdim?: number | null;
  /** Size of a value; default: embedDim. */
  vdim?: number | null;
  /** Whether the batch comes first, (B, T, E); default false: (T, B, E). */
  batchFirst?: boolean;
}

/** What `MultiheadAttention.forward` takes by name. */
export interface MultiheadAttentionForwardOptions {
  /** (B, S): which keys nobody sees (bool), or what is added to their scores (float). */
  keyPaddingMask?: Tensor | null;
  /** Whether the weights are given; default true. Without them memory grows with T + S, not T · S. */
  needWeights?: boolean;
  /** (T, S) or (B·H, T, S): which keys a query does not see (bool), or what is added to the scores (float). */
  attnMask?: Tensor | null;
  /** Whether the weights are the mean over the heads; default true. */
  averageAttnWeights?: boolean;
  /** A hint that `attnMask` is the causal one; default false. */
  isCausal?: boolean;
}

const FORWARD = parseSignature(
  "forward MultiheadAttention(query, key, value, keyPaddingMask=null, needWeights=true, attnMask=null, averageAttnWeights=true, isCausal=false)",
);

/**
 * Attention by several heads: each attends in its own projection of size E / H, and what they find is joined and
 * projected once more. A bool mask is true where a key is *not* seen, as in PyTorch; `scaledDotProductAttention`'s is
 * the other way round.
 *
 * Shapes: query (T, B, E), key (S, B, kdim), value (S, B, vdim), with `batchFirst` (B, T, …), or without B →
 * [output like query, weights (B, T, S), or (B, H, T, S) unless they are averaged, or null].
 * Errors: ShapeError for sizes that do not fit, ArgumentError unless H divides E.
 * Source: Vaswani et al. 2017, arXiv 1706.03762.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const attention = new nn.MultiheadAttention(16, 4, { batchFirst: true });
 * const x = randn([2, 5, 16]);
 * const [y, weights] = attention.forward(x, x, x);
 * console.log(y.shape, weights!.shape); // [ 2, 5, 16 ] [ 2, 5, 5 ]
 * ```
 */
export class MultiheadAttention extends Module {
  readonly #attention = true;
  /** Size E of a query and of the result. */
  readonly embedDim: number;
  /** Heads H. */
  readonly numHeads: number;
  /** The probability of a weight to be dropped in training. */
  readonly dropout: number;
  /** Size of a key. */
  readonly kdim: number;
  /** Size of a value. */
  readonly vdim: number;
  /** Whether the batch comes first. */
  readonly batchFirst: boolean;
  /** Whether a key and a value of zeros are put behind the others. */
  readonly addZeroAttn: boolean;
  /** (E, E), where keys or values have another size than E; else null. */
  qProjWeight: Parameter | null;
  /** (E, kdim), or null. */
  kProjWeight: Parameter | null;
  /** (E, vdim), or null. */
  vProjWeight: Parameter | null;
  /** (3·E, E), where all have size E; else null. */
  inProjWeight: Parameter | null;
  /** (3·E), or null. */
  inProjBias: Parameter | null;
  /** (1, 1, E), or null. */
  biasK: Parameter | null;
  /** (1, 1, E), or null. */
  biasV: Parameter | null;
  /** The last projection. */
  outProj: Linear;

  /** So many features by so many heads. */
  constructor(
    embedDim: number,
    numHeads: number,
    dropout?: number | MultiheadAttentionOptions,
    options?: MultiheadAttentionOptions,
  ) {
    super();
    const name = "MultiheadAttention";
    const [embed, heads, drop, bias, biasKv, zero, kdim, vdim, first, device, dtype] = bind(
      MULTIHEAD,
      [embedDim, numHeads, dropout, options],
    ) as [
      number,
      number,
      number,
      boolean,
      boolean,
      boolean,
      number | null,
      number | null,
      boolean,
      string | null,
      DType | null,
    ];
    checkCount(embed, name, "embedDim");
    checkCount(heads, name, "numHeads");
    if (embed === 0 || heads === 0 || embed % heads !== 0) {
      throw new ArgumentError(
        `Cannot make ${name}: embedDim ${embed} must be a multiple of numHeads ${heads}, both above 0`,
        { op: name },
      );
    }
    if (typeof drop !== "number" || !(drop >= 0 && drop <= 1)) {
      throw new ArgumentError(
        `Cannot make ${name}: dropout must be from 0 to 1, got ${show(drop)}`,
        {
          op: name,
        },
      );
    }
    this.embedDim = embed;
    this.numHeads = heads;
    this.dropout = drop;
    this.kdim = kdim ?? embed;
    this.vdim = vdim ?? embed;
    checkCount(this.kdim, name, "kdim");
    checkCount(this.vdim, name, "vdim");
    this.batchFirst = first;
    this.addZeroAttn = zero;
    const factory = factoryOf(name, device, dtype);
    const same = this.kdim === embed && this.vdim === embed;
    this.qProjWeight = same ? null : newParameter([embed, embed], factory);
    this.kProjWeight = same ? null : newParameter([embed, this.kdim], factory);
    this.vProjWeight = same ? null : newParameter([embed, this.vdim], factory);
    this.inProjWeight = same ? newParameter([3 * embed, embed], factory) : null;
    this.inProjBias = bias ? newParameter([3 * embed], factory) : null;
    this.biasK = biasKv ? newParameter([1, 1, embed], factory) : null;
    this.biasV = biasKv ? newParameter([1, 1, embed], factory) : null;
    this.outProj = new NonDynamicallyQuantizableLinear(embed, embed, { bias, device, dtype });
    this.resetParameters();
  }

  /** Sets the projections in and the biases to new values. */
  resetParameters(): void {
    for (const w of [this.inProjWeight, this.qProjWeight, this.kProjWeight, this.vProjWeight]) {
      if (w !== null) xavierUniform_(w);
    }
    if (this.inProjBias !== null) {
      constant_(this.inProjBias, 0);
      constant_(this.outProj.bias!, 0);
    }
    if (this.biasK !== null) xavierNormal_(this.biasK);
    if (this.biasV !== null) xavierNormal_(this.biasV);
  }

  /** What was found, and the weights or null. */
  override forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    keyPaddingMask?: Tensor | null | MultiheadAttentionForwardOptions,
    options?: MultiheadAttentionForwardOptions,
  ): [output: Tensor, weights: Tensor | null] {
    const args = bind(FORWARD, [query, key, value, keyPaddingMask, options]);
    const [q, k, v, padding, needWeights, attnMask, average, isCausal] = args as [
      Tensor,
      Tensor,
      Tensor,
      Tensor | null,
      boolean,
      Tensor | null,
      boolean,
      boolean,
    ];
    return attendByHeads(q, k, v, {
      name: "MultiheadAttention",
      batchFirst: this.batchFirst,
      numHeads: this.numHeads,
      inProjWeight: this.inProjWeight ??
        [this.qProjWeight!, this.kProjWeight!, this.vProjWeight!],
      inProjBias: this.inProjBias,
      biasKv: this.biasK === null ? null : [this.biasK, this.biasV!],
      addZeroAttn: this.addZeroAttn,
      dropoutP: this.training ? this.dropout : 0,
      outProjWeight: this.outProj.weight,
      outProjBias: this.outProj.bias,
      keyPaddingMask: padding,
      needWeights,
      attnMask,
      averageAttnWeights: average,
      isCausal,
      given: [null, null],
    });
  }

  override extraRepr(): string {
    return `${this.embedDim}, ${this.numHeads}`;
  }
}

const MULTIHEAD = declare(
  MultiheadAttention,
  "MultiheadAttention(embedDim, numHeads, dropout=0, bias=true, addBiasKv=false, addZeroAttn=false, kdim=null, vdim=null, batchFirst=false, device=null, dtype=null)",
);
