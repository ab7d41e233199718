/**
 * Transformers: stacks of layers, encoder and decoder.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare, parseSignature } from "../op.ts";
import { filled } from "../ops/creation.ts";
import { triu } from "../ops/pattern.ts";
import { checkSize } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { ModuleList } from "./containers.ts";
import { xavierUniform_ } from "./init.ts";
import { Module, type TensorModule } from "./module.ts";
import { checkCount, factoryOf, type FactoryOptions } from "./options.ts";
import {
  completed,
  DECODER_PARAMETERS,
  type DecoderBound,
  type DecoderLayerForwardOptions,
  normOf,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from "./transformer_layer.ts";

/** More would be a slip: each has parameters of its own. */
const MOST_LAYERS = 4096;

/** A part that may be given: a module, or null. */
function checkPart<M extends Module>(name: string, what: string, part: M | null): M | null {
  if (part === null || part instanceof Module) return part;
  throw new ArgumentError(`Cannot make ${name} with ${what} ${show(part)}: it must be a module`, {
    op: name,
  });
}

/** Copies of a layer, as many as a stack has. */
function layersOf<L extends Module & { clone(): L }>(
  name: string,
  layer: L,
  numLayers: number,
): ModuleList<L> {
  checkCount(numLayers, name, "numLayers");
  if (numLayers > MOST_LAYERS) {
    throw new ArgumentError(
      `Cannot make ${name} of ${numLayers} layers: at most ${MOST_LAYERS} are cloned`,
      { op: name },
    );
  }
  if (!(layer instanceof Module) || typeof layer.clone !== "function") {
    throw new ArgumentError(
      `Cannot make ${name} of ${show(layer)}: it takes a layer, which it clones`,
      { op: name },
    );
  }
  return new ModuleList(Array.from({ length: numLayers }, () => layer.clone()));
}

/** What `TransformerEncoder.forward` takes by name. */
export interface EncoderForwardOptions {
  /** (T, T) or (B·H, T, T): what is not seen (bool), or what is added to the scores (float). */
  mask?: Tensor | null;
  /** (B, T): which places are padding. */
  srcKeyPaddingMask?: Tensor | null;
  /** A hint that `mask` is the causal one. */
  isCausal?: boolean | null;
}

/** Options of `TransformerEncoder`. */
export interface TransformerEncoderOptions {
  /** A norm behind the last layer. */
  norm?: TensorModule | null;
  /** Taken and not used: there are no nested tensors. */
  enableNestedTensor?: boolean;
  /** Taken and not used, as above. */
  maskCheck?: boolean;
}

/**
 * A stack of encoder layers, each a copy of the one given, and a norm behind them.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const layer = new nn.TransformerEncoderLayer(16, 4, { dimFeedforward: 32, batchFirst: true });
 * const encoder = new nn.TransformerEncoder(layer, 2);
 * console.log(encoder.forward(randn([2, 5, 16])).shape); // [ 2, 5, 16 ]
 * ```
 */
export class TransformerEncoder extends Module {
  readonly #encoder = true;
  /** The layers in order. */
  layers: ModuleList<TransformerEncoderLayer>;
  /** Behind the last layer, or null. */
  norm: TensorModule | null;

  /** So many copies of a layer. */
  constructor(
    encoderLayer: TransformerEncoderLayer,
    numLayers: number,
    norm?: TensorModule | null | TransformerEncoderOptions,
    options?: TransformerEncoderOptions,
  ) {
    super();
    const [layer, count, last] = bind(ENCODER, [encoderLayer, numLayers, norm, options]) as [
      TransformerEncoderLayer,
      number,
      TensorModule | null,
    ];
    this.layers = layersOf("TransformerEncoder", layer, count);
    this.norm = checkPart("TransformerEncoder", "norm", last);
  }

  /** How many layers there are. */
  get numLayers(): number {
    return this.layers.length;
  }

  override forward(
    src: Tensor,
    mask?: Tensor | null | EncoderForwardOptions,
    srcKeyPaddingMask?: Tensor | null | EncoderForwardOptions,
    options?: EncoderForwardOptions,
  ): Tensor {
    const [, srcMask, padding, isCausal] = bind(ENCODER_FORWARD, [
      src,
      mask,
      srcKeyPaddingMask,
      options,
    ]) as [Tensor, Tensor | null, Tensor | null, boolean | null];
    let x = src;
    for (const layer of this.layers) {
      x = layer.forward(x, srcMask, padding, { isCausal: isCausal ?? false });
    }
    return this.norm === null ? x : this.norm.forward(x);
  }
}

const ENCODER = declare(
  TransformerEncoder,
  "TransformerEncoder(encoderLayer, numLayers, norm=null, enableNestedTensor=true, maskCheck=true)",
);
const ENCODER_FORWARD = parseSignature(
  "forward TransformerEncoder(src, mask=null, srcKeyPaddingMask=null, isCausal=null)",
);

/** A stack of decoder layers, each a copy of the one given, and a norm behind them. */
export class TransformerDecoder extends Module {
  readonly #decoder = true;
  /** The layers in order. */
  layers: ModuleList<TransformerDecoderLayer>;
  /** Behind the last layer, or null. */
  norm: TensorModule | null;

  /** So many copies of a layer. */
  constructor(
    decoderLayer: TransformerDecoderLayer,
    numLayers: number,
    norm?: TensorModule | null | { norm?: TensorModule | null },
  ) {
    super();
    const [layer, count, last] = bind(DECODER, [decoderLayer, numLayers, norm]) as [
      TransformerDecoderLayer,
      number,
      TensorModule | null,
    ];
    this.layers = layersOf("TransformerDecoder", layer, count);
    this.norm = checkPart("TransformerDecoder", "norm", last);
  }

  /** How many layers there are. */
  get numLayers(): number {
    return this.layers.length;
  }

  override forward(
    tgt: Tensor,
    memory: Tensor,
    tgtMask?: Tensor | null | DecoderLayerForwardOptions,
    memoryMask?: Tensor | null | DecoderLayerForwardOptions,
    options?: DecoderLayerForwardOptions,
  ): Tensor {
    const bound = bind(DECODER_FORWARD, [tgt, memory, tgtMask, memoryMask, options]);
    const [, , ofTarget, ofMemory, targetPadding, memoryPadding, targetCausal, memoryCausal] =
      bound as DecoderBound;
    let x = tgt;
    for (const layer of this.layers) {
      x = layer.forward(x, memory, ofTarget, ofMemory, {
        tgtKeyPaddingMask: targetPadding,
        memoryKeyPaddingMask: memoryPadding,
        // PyTorch looks whether the mask is causal; with a mask given, the result is the same.
        tgtIsCausal: targetCausal ?? false,
        memoryIsCausal: memoryCausal,
      });
    }
    return this.norm === null ? x : this.norm.forward(x);
  }
}

const DECODER = declare(
  TransformerDecoder,
  "TransformerDecoder(decoderLayer, numLayers, norm=null)",
);
const DECODER_FORWARD = parseSignature(
  `forward TransformerDecoder(tgt, memory, ${
    DECODER_PARAMETERS.replace("tgtIsCausal=false", "tgtIsCausal=null")
  })`,
);

/** Options of `Transformer`. */
export interface TransformerOptions extends TransformerLayerOptions {
  /** Layers of the encoder; default 6. */
  numEncoderLayers?: number;
  /** Layers of the decoder; default 6. */
  numDecoderLayers?: number;
  /** An encoder in place of the usual one. */
  customEncoder?: Module | null;
  /** A decoder in place of the usual one. */
  customDecoder?: Module | null;
}

/** What `Transformer.forward` takes by name. */
export interface TransformerForwardOptions {
  /** (S, S) or (B·H, S, S): what the source does not see of itself. */
  srcMask?: Tensor | null;
  /** (T, T) or (B·H, T, T): what the target does not see of itself. */
  tgtMask?: Tensor | null;
  /** (T, S) or (B·H, T, S): what the target does not see of the memory. */
  memoryMask?: Tensor | null;
  /** (B, S): which places of the source are padding. */
  srcKeyPaddingMask?: Tensor | null;
  /** (B, T): which places of the target are padding. */
  tgtKeyPaddingMask?: Tensor | null;
  /** (B, S): which places of the memory are padding. */
  memoryKeyPaddingMask?: Tensor | null;
  /** A hint that `srcMask` is the causal one. */
  srcIsCausal?: boolean | null;
  /** A hint that `tgtMask` is the causal one. */
  tgtIsCausal?: boolean | null;
  /** A hint that `memoryMask` is the causal one. */
  memoryIsCausal?: boolean;
}

/** What `Transformer` calls of its two halves. */
interface Half {
  forward(...args: unknown[]): Tensor;
}

/**
 * An encoder and a decoder.
 *
 * Shapes: src (S, B, E), tgt (T, B, E), with `batchFirst` (B, S, E) and (B, T, E) → like tgt.
 * Source: Vaswani et al. 2017, arXiv 1706.03762.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const model = new nn.Transformer(16, 4, {
 *   numEncoderLayers: 1,
 *   numDecoderLayers: 1,
 *   dimFeedforward: 32,
 *   batchFirst: true,
 * });
 * const tgtMask = nn.Transformer.generateSquareSubsequentMask(4);
 * console.log(model.forward(randn([2, 5, 16]), randn([2, 4, 16]), { tgtMask }).shape); // [ 2, 4, 16 ]
 * ```
 */
export class Transformer extends Module {
  readonly #transformer = true;
  /** Features E. */
  readonly dModel: number;
  /** Heads. */
  readonly nhead: number;
  /** Whether the batch comes first. */
  readonly batchFirst: boolean;
  /** Source to memory. */
  encoder: Module;
  /** Target and memory to the result. */
  decoder: Module;

  /** 512 features by 8 heads, unless told otherwise. */
  constructor(
    dModel?: number | TransformerOptions,
    nhead?: number | TransformerOptions,
    options?: TransformerOptions,
  ) {
    super();
    const bound = bind(TRANSFORMER, [dModel, nhead, options]);
    const [width, heads, encoders, decoders] = bound as [number, number, number, number];
    const [customEncoder, customDecoder] = bound.slice(7, 9) as (Module | null)[];
    const layer = [...bound.slice(4, 7), ...bound.slice(9)];
    const [, , o] = completed("Transformer", [width, heads, ...layer]);
    this.dModel = width;
    this.nhead = heads;
    this.batchFirst = o.batchFirst;
    this.encoder = checkPart("Transformer", "customEncoder", customEncoder) ??
      new TransformerEncoder(
        new TransformerEncoderLayer(width, heads, o),
        encoders,
        normOf(width, o),
      );
    this.decoder = checkPart("Transformer", "customDecoder", customDecoder) ??
      new TransformerDecoder(
        new TransformerDecoderLayer(width, heads, o),
        decoders,
        normOf(width, o),
      );
    this.resetParameters();
  }

  /** A causal mask (size, size) to be added to scores: 0 on and below the diagonal, -∞ above. */
  static generateSquareSubsequentMask(
    size: number,
    { dtype = null, device = null }: FactoryOptions = {},
  ): Tensor {
    const shape = checkSize([size, size], "generateSquareSubsequentMask");
    const factory = factoryOf("a mask", device, dtype);
    return triu(filled(shape, -Infinity, factory.info, factory.device), 1);
  }

  /** Sets all weights of two dims and more to new values. */
  resetParameters(): void {
    for (const p of this.parameters()) if (p.ndim > 1) xavierUniform_(p);
  }

  override forward(
    src: Tensor,
    tgt: Tensor,
    srcMask?: Tensor | null | TransformerForwardOptions,
    tgtMask?: Tensor | null | TransformerForwardOptions,
    options?: TransformerForwardOptions,
  ): Tensor {
    const [
      ,
      ,
      ofSource,
      ofTarget,
      memoryMask,
      srcPadding,
      tgtPadding,
      memoryPadding,
      srcIsCausal,
      tgtIsCausal,
      memoryIsCausal,
    ] = bind(FORWARD, [src, tgt, srcMask, tgtMask, options]);
    const memory = (this.encoder as unknown as Half).forward(src, {
      mask: ofSource,
      srcKeyPaddingMask: srcPadding,
      isCausal: srcIsCausal,
    });
    return (this.decoder as unknown as Half).forward(tgt, memory, {
      tgtMask: ofTarget,
      memoryMask,
      tgtKeyPaddingMask: tgtPadding,
      memoryKeyPaddingMask: memoryPadding,
      tgtIsCausal,
      memoryIsCausal,
    });
  }
}

const TRANSFORMER = declare(
  Transformer,
  "Transformer(dModel=512, nhead=8, numEncoderLayers=6, numDecoderLayers=6, dimFeedforward=2048, dropout=0.1, activation='relu', customEncoder=null, customDecoder=null, layerNormEps=1e-5, batchFirst=false, normFirst=false, bias=true, device=null, dtype=null)",
);
const FORWARD = parseSignature(
  "forward Transformer(src, tgt, srcMask=null, tgtMask=null, memoryMask=null, srcKeyPaddingMask=null, tgtKeyPaddingMask=null, memoryKeyPaddingMask=null, srcIsCausal=null, tgtIsCausal=null, memoryIsCausal=false)",
);
