/**
 * Layers of a transformer's encoder and decoder; stacks of them are in transformer.ts.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, parseSignature } from "../op.ts";
import { add } from "../ops/pointwise.ts";
import type { Tensor } from "../tensor.ts";
import { MultiheadAttention } from "./attention.ts";
import { Dropout } from "./dropout.ts";
import { gelu, relu } from "./functional.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { LayerNorm } from "./norm.ts";
import { checkCount, factoryOf, type FactoryOptions } from "./options.ts";

/** What stands between the two linear maps of a layer. */
export type TransformerActivation = "relu" | "gelu" | ((x: Tensor) => Tensor);

/** Options of a transformer's layers. */
export interface TransformerLayerOptions extends FactoryOptions {
  /** Size between the two linear maps; default 2048. */
  dimFeedforward?: number;
  /** The probability of a zero, in training; default 0.1. */
  dropout?: number;
  /** Between the two linear maps: `"relu"` (default), `"gelu"`, or a function. */
  activation?: TransformerActivation;
  /** Added to variances; default 1e-5. */
  layerNormEps?: number;
  /** Whether the batch comes first, (B, T, E); default false: (T, B, E). */
  batchFirst?: boolean;
  /** Whether norms stand before attention and linear maps, in place of after; default false. */
  normFirst?: boolean;
  /** Whether there are biases; default true. */
  bias?: boolean;
}

type LayerBound = [
  dModel: number,
  nhead: number,
  dimFeedforward: number,
  dropout: number,
  activation: TransformerActivation,
  layerNormEps: number,
  batchFirst: boolean,
  normFirst: boolean,
  bias: boolean,
  device: string | null,
  dtype: DType | null,
];

/** A layer's options, checked and complete, so that a stack can make more of its kind. */
export type Complete = Required<TransformerLayerOptions>;

/** The bound options of a layer, checked. */
export function completed(name: string, bound: readonly unknown[]): [number, number, Complete] {
  const [
    dModel,
    nhead,
    dimFeedforward,
    dropout,
    activation,
    eps,
    first,
    normFirst,
    bias,
    device,
    dtype,
  ] = bound as LayerBound;
  checkCount(dimFeedforward, name, "dimFeedforward");
  factoryOf(name, device, dtype);
  if (activation !== "relu" && activation !== "gelu" && typeof activation !== "function") {
    throw new ArgumentError(
      `Cannot make ${name}: activation must be "relu", "gelu" or a function, got ${
        show(activation)
      }`,
      { op: name },
    );
  }
  return [dModel, nhead, {
    dimFeedforward,
    dropout,
    activation,
    layerNormEps: eps,
    batchFirst: first,
    normFirst,
    bias,
    device,
    dtype,
  }];
}

function activate(activation: TransformerActivation, x: Tensor): Tensor {
  return activation === "relu" ? relu(x) : activation === "gelu" ? gelu(x) : activation(x);
}

const attentionOf = (dModel: number, nhead: number, o: Complete): MultiheadAttention =>
  new MultiheadAttention(dModel, nhead, {
    dropout: o.dropout,
    bias: o.bias,
    batchFirst: o.batchFirst,
    device: o.device,
    dtype: o.dtype,
  });

/** A layer's norm. */
export const normOf = (
  dModel: number,
  { layerNormEps: eps, bias, device, dtype }: Complete,
): LayerNorm => new LayerNorm(dModel, { eps, bias, device, dtype });

/** What `TransformerEncoderLayer.forward` takes by name. */
export interface EncoderLayerForwardOptions {
  /** (T, T) or (B·H, T, T): what is not seen (bool), or what is added to the scores (float). */
  srcMask?: Tensor | null;
  /** (B, T): which places are padding. */
  srcKeyPaddingMask?: Tensor | null;
  /** A hint that `srcMask` is the causal one. */
  isCausal?: boolean;
}

/**
 * One layer of an encoder: self-attention and two linear maps, each with dropout, a way around it, and a norm.
 *
 * Shapes: src (T, B, E), with `batchFirst` (B, T, E), or (T, E) → the same. Errors as `MultiheadAttention`.
 * Source: Vaswani et al. 2017, arXiv 1706.03762; norms first: Xiong et al. 2020, arXiv 2002.04745.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const layer = new nn.TransformerEncoderLayer(16, 4, { dimFeedforward: 32, batchFirst: true });
 * console.log(layer.forward(randn([2, 5, 16])).shape); // [ 2, 5, 16 ]
 * ```
 */
export class TransformerEncoderLayer extends Module {
  readonly #encoderLayer = true;
  /** Features E. */
  readonly dModel: number;
  /** Heads. */
  readonly nhead: number;
  /** The other arguments, complete. */
  readonly options: Readonly<Complete>;
  /** Attention of the sequence to itself. */
  selfAttn: MultiheadAttention;
  /** E to dimFeedforward. */
  linear1: Linear;
  /** Between the two linear maps. */
  dropout: Dropout;
  /** dimFeedforward to E. */
  linear2: Linear;
  /** Of attention. */
  norm1: LayerNorm;
  /** Of the linear maps. */
  norm2: LayerNorm;
  /** After attention. */
  dropout1: Dropout;
  /** After the linear maps. */
  dropout2: Dropout;

  /** So many features by so many heads. */
  constructor(
    dModel: number,
    nhead: number,
    dimFeedforward?: number | TransformerLayerOptions,
    dropout?: number | TransformerLayerOptions,
    options?: TransformerLayerOptions,
  ) {
    super();
    const made = completed(
      "TransformerEncoderLayer",
      bind(ENCODER_LAYER, [dModel, nhead, dimFeedforward, dropout, options]),
    );
    const [width, heads, o] = made;
    const { bias, device, dtype } = o;
    this.dModel = width;
    this.nhead = heads;
    this.options = o;
    this.selfAttn = attentionOf(width, heads, o);
    this.linear1 = new Linear(width, o.dimFeedforward, { bias, device, dtype });
    this.dropout = new Dropout(o.dropout);
    this.linear2 = new Linear(o.dimFeedforward, width, { bias, device, dtype });
    this.norm1 = normOf(width, o);
    this.norm2 = normOf(width, o);
    this.dropout1 = new Dropout(o.dropout);
    this.dropout2 = new Dropout(o.dropout);
  }

  /** Whether the batch comes first. */
  get batchFirst(): boolean {
    return this.options.batchFirst;
  }

  /** Whether norms stand before attention and linear maps. */
  get normFirst(): boolean {
    return this.options.normFirst;
  }

  /** A layer with the same options and values, and parameters of its own. */
  clone(): TransformerEncoderLayer {
    return copyOf(this, new TransformerEncoderLayer(this.dModel, this.nhead, this.options));
  }

  override forward(
    src: Tensor,
    srcMask?: Tensor | null | EncoderLayerForwardOptions,
    srcKeyPaddingMask?: Tensor | null | EncoderLayerForwardOptions,
    options?: EncoderLayerForwardOptions,
  ): Tensor {
    const [, attnMask, keyPaddingMask, isCausal] = bind(ENCODER_LAYER_FORWARD, [
      src,
      srcMask,
      srcKeyPaddingMask,
      options,
    ]) as [Tensor, Tensor | null, Tensor | null, boolean];
    const masks = { attnMask, keyPaddingMask, isCausal };
    const attend = (x: Tensor) => this.dropout1.forward(selfAttend(this.selfAttn, x, masks));
    if (this.normFirst) {
      const x = add(src, attend(this.norm1.forward(src)));
      return add(x, this.dropout2.forward(feed(this, this.norm2.forward(x))));
    }
    const x = this.norm1.forward(add(src, attend(src)));
    return this.norm2.forward(add(x, this.dropout2.forward(feed(this, x))));
  }
}

/** Masks of one attention. */
interface Masks {
  readonly attnMask: Tensor | null;
  readonly keyPaddingMask: Tensor | null;
  readonly isCausal: boolean;
}

function selfAttend(attention: MultiheadAttention, x: Tensor, masks: Masks): Tensor {
  return attention.forward(x, x, x, { ...masks, needWeights: false })[0];
}

/** The two linear maps of a layer, and what stands between them. */
function feed(layer: TransformerEncoderLayer | TransformerDecoderLayer, x: Tensor): Tensor {
  const wide = activate(layer.options.activation, layer.linear1.forward(x));
  return layer.linear2.forward(layer.dropout.forward(wide));
}

/** Gives a layer another's values, mode and wishes for gradients. */
function copyOf<M extends Module>(from: M, to: M): M {
  to.loadStateDict(from.stateDict());
  const origin = from.parameters();
  to.parameters().forEach((p, i) => p.requiresGrad = origin[i].requiresGrad);
  return to.train(from.training);
}

const ENCODER_LAYER = declare(
  TransformerEncoderLayer,
  "TransformerEncoderLayer(dModel, nhead, dimFeedforward=2048, dropout=0.1, activation='relu', layerNormEps=1e-5, batchFirst=false, normFirst=false, bias=true, device=null, dtype=null)",
);
const ENCODER_LAYER_FORWARD = parseSignature(
  "forward TransformerEncoderLayer(src, srcMask=null, srcKeyPaddingMask=null, isCausal=false)",
);

/** What `TransformerDecoderLayer.forward` takes by name. */
export interface DecoderLayerForwardOptions {
  /** (T, T) or (B·H, T, T): what the target does not see of itself (bool), or what is added to the scores (float). */
  tgtMask?: Tensor | null;
  /** (T, S) or (B·H, T, S): what the target does not see of the memory. */
  memoryMask?: Tensor | null;
  /** (B, T): which places of the target are padding. */
  tgtKeyPaddingMask?: Tensor | null;
  /** (B, S): which places of the memory are padding. */
  memoryKeyPaddingMask?: Tensor | null;
  /** A hint that `tgtMask` is the causal one. */
  tgtIsCausal?: boolean;
  /** A hint that `memoryMask` is the causal one. */
  memoryIsCausal?: boolean;
}

/** A decoder's bound arguments. */
export type DecoderBound = [
  Tensor,
  Tensor,
  Tensor | null,
  Tensor | null,
  Tensor | null,
  Tensor | null,
  boolean,
  boolean,
];

/**
 * One layer of a decoder: self-attention, attention to what the encoder gave, and two linear maps, each with dropout, a
 * way around it, and a norm.
 *
 * Shapes: tgt (T, B, E), memory (S, B, E), with `batchFirst` (B, T, E) and (B, S, E) → like tgt.
 * Errors as `MultiheadAttention`. Source: Vaswani et al. 2017, arXiv 1706.03762.
 */
export class TransformerDecoderLayer extends Module {
  readonly #decoderLayer = true;
  /** Features E. */
  readonly dModel: number;
  /** Heads. */
  readonly nhead: number;
  /** The other arguments, complete. */
  readonly options: Readonly<Complete>;
  /** Attention of the target to itself. */
  selfAttn: MultiheadAttention;
  /** Attention of the target to the memory. */
  multiheadAttn: MultiheadAttention;
  /** E to dimFeedforward. */
  linear1: Linear;
  /** Between the two linear maps. */
  dropout: Dropout;
  /** dimFeedforward to E. */
  linear2: Linear;
  /** Of self-attention. */
  norm1: LayerNorm;
  /** Of attention to the memory. */
  norm2: LayerNorm;
  /** Of the linear maps. */
  norm3: LayerNorm;
  /** After self-attention. */
  dropout1: Dropout;
  /** After attention to the memory. */
  dropout2: Dropout;
  /** After the linear maps. */
  dropout3: Dropout;

  /** So many features by so many heads. */
  constructor(
    dModel: number,
    nhead: number,
    dimFeedforward?: number | TransformerLayerOptions,
    dropout?: number | TransformerLayerOptions,
    options?: TransformerLayerOptions,
  ) {
    super();
    const made = completed(
      "TransformerDecoderLayer",
      bind(DECODER_LAYER, [dModel, nhead, dimFeedforward, dropout, options]),
    );
    const [width, heads, o] = made;
    const { bias, device, dtype } = o;
    this.dModel = width;
    this.nhead = heads;
    this.options = o;
    this.selfAttn = attentionOf(width, heads, o);
    this.multiheadAttn = attentionOf(width, heads, o);
    this.linear1 = new Linear(width, o.dimFeedforward, { bias, device, dtype });
    this.dropout = new Dropout(o.dropout);
    this.linear2 = new Linear(o.dimFeedforward, width, { bias, device, dtype });
    this.norm1 = normOf(width, o);
    this.norm2 = normOf(width, o);
    this.norm3 = normOf(width, o);
    this.dropout1 = new Dropout(o.dropout);
    this.dropout2 = new Dropout(o.dropout);
    this.dropout3 = new Dropout(o.dropout);
  }

  /** Whether the batch comes first. */
  get batchFirst(): boolean {
    return this.options.batchFirst;
  }

  /** Whether norms stand before attention and linear maps. */
  get normFirst(): boolean {
    return this.options.normFirst;
  }

  /** A layer with the same options and values, and parameters of its own. */
  clone(): TransformerDecoderLayer {
    return copyOf(this, new TransformerDecoderLayer(this.dModel, this.nhead, this.options));
  }

  override forward(
    tgt: Tensor,
    memory: Tensor,
    tgtMask?: Tensor | null | DecoderLayerForwardOptions,
    memoryMask?: Tensor | null | DecoderLayerForwardOptions,
    options?: DecoderLayerForwardOptions,
  ): Tensor {
    const bound = bind(DECODER_LAYER_FORWARD, [tgt, memory, tgtMask, memoryMask, options]);
    const [, , ofTarget, ofMemory, targetPadding, memoryPadding, targetCausal, memoryCausal] =
      bound as DecoderBound;
    const own = { attnMask: ofTarget, keyPaddingMask: targetPadding, isCausal: targetCausal };
    const other = { attnMask: ofMemory, keyPaddingMask: memoryPadding, isCausal: memoryCausal };
    const attend = (x: Tensor) => this.dropout1.forward(selfAttend(this.selfAttn, x, own));
    const look = (x: Tensor) => {
      const found = this.multiheadAttn.forward(x, memory, memory, { ...other, needWeights: false });
      return this.dropout2.forward(found[0]);
    };
    if (this.normFirst) {
      let x = add(tgt, attend(this.norm1.forward(tgt)));
      x = add(x, look(this.norm2.forward(x)));
      return add(x, this.dropout3.forward(feed(this, this.norm3.forward(x))));
    }
    let x = this.norm1.forward(add(tgt, attend(tgt)));
    x = this.norm2.forward(add(x, look(x)));
    return this.norm3.forward(add(x, this.dropout3.forward(feed(this, x))));
  }
}

const DECODER_LAYER = declare(
  TransformerDecoderLayer,
  "TransformerDecoderLayer(dModel, nhead, dimFeedforward=2048, dropout=0.1, activation='relu', layerNormEps=1e-5, batchFirst=false, normFirst=false, bias=true, device=null, dtype=null)",
);
/** What a decoder and its layers take behind target and memory. */
export const DECODER_PARAMETERS =
  "tgtMask=null, memoryMask=null, tgtKeyPaddingMask=null, memoryKeyPaddingMask=null, tgtIsCausal=false, memoryIsCausal=false";
const DECODER_LAYER_FORWARD = parseSignature(
  `forward TransformerDecoderLayer(tgt, memory, ${DECODER_PARAMETERS})`,
);
