/**
 * Attention by several heads: projections in and out, masks, and what is put behind the keys. `nn.MultiheadAttention`
 * holds the weights.
 *
 * @module
 */
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { scaledDotProductAttention } from "./attention.ts";
import { zeros } from "./creation.ts";
import { cat, pad } from "./joining.ts";
import { maskedFill } from "./logic.ts";
import { cast } from "./map.ts";
import { linear, matmul } from "./matmul.ts";
import { add, mul } from "./pointwise.ts";
import { dropout } from "./dropout.ts";
import { mean } from "./reduction.ts";
import { softmax } from "./softmax.ts";
import { expand, permute, reshape, squeeze, transpose, unsqueeze } from "./view.ts";
import { chunk, narrow } from "./window.ts";

/** What attention by several heads is made with. */
export interface HeadsOptions {
  /** The op that speaks in errors. */
  readonly name: string;
  /** Whether the batch comes first: (B, T, C) in place of (T, B, C). */
  readonly batchFirst: boolean;
  readonly numHeads: number;
  /** (3·E, E), or the three weights of queries, keys and values. */
  readonly inProjWeight: Tensor | readonly [Tensor, Tensor, Tensor];
  /** (3·E), or null. */
  readonly inProjBias: Tensor | null;
  /** (1, 1, E) each: one more key and value, or null. */
  readonly biasKv: readonly [Tensor, Tensor] | null;
  /** Whether a key and a value of zeros are put behind the others. */
  readonly addZeroAttn: boolean;
  readonly dropoutP: number;
  /** (E, E). */
  readonly outProjWeight: Tensor;
  /** (E), or null. */
  readonly outProjBias: Tensor | null;
  /** (B, S): which keys nobody sees (bool), or what is added to their scores (float). */
  readonly keyPaddingMask: Tensor | null;
  readonly needWeights: boolean;
  /** (T, S) or (B·H, T, S): which keys a query does not see (bool), or what is added to the scores (float). */
  readonly attnMask: Tensor | null;
  readonly averageAttnWeights: boolean;
  readonly isCausal: boolean;
  /** Keys and values (B·H, S, D) that take the place of the projected ones, or null. */
  readonly given: readonly [Tensor | null, Tensor | null];
}

function fail(name: string, text: string): never {
  throw new ShapeError(`Cannot ${name} of ${text}`, { op: name });
}

/** A mask as numbers to be added to scores: bool ones shut out where they are true. */
function additive(name: string, mask: unknown, what: string, like: Tensor): Tensor {
  if (!(mask instanceof Tensor) || !(mask.info.isFloat || mask.dtype === "bool")) {
    throw new DTypeError(`Cannot ${name} with ${what} ${show(mask)}: it must be bool or float`, {
      op: name,
    });
  }
  if (mask.dtype !== "bool") return mask;
  return maskedFill(zeros(mask.shape, { dtype: like.dtype, device: like.device }), mask, -Infinity);
}

/** Queries, keys and values in their projections, each (…, E). */
function project(q: Tensor, k: Tensor, v: Tensor, o: HeadsOptions): Tensor[] {
  const { inProjWeight: weight, inProjBias: bias } = o;
  const biasOf = (from: number, n: number) => bias === null ? null : narrow(bias, 0, from, n);
  if (!(weight instanceof Tensor)) {
    const size = weight[0].shape[0];
    return [q, k, v].map((t, i) => linear(t, weight[i], biasOf(i * size, size)));
  }
  const size = weight.shape[0] / 3;
  const part = (t: Tensor, at: number, n: number) =>
    linear(t, narrow(weight, 0, at * size, n * size), biasOf(at * size, n * size));
  if (q === k && k === v) return chunk(linear(q, weight, bias), 3, -1);
  if (k === v) return [part(q, 0, 1), ...chunk(part(k, 1, 2), 2, -1)];
  return [q, k, v].map((t, i) => part(t, i, 1));
}

/** Attention by several heads; gives the result and, where wanted, the weights. */
export function attendByHeads(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  o: HeadsOptions,
): [output: Tensor, weights: Tensor | null] {
  const { name, numHeads: heads, needWeights } = o;
  const single = query.ndim === 2;
  const dims = single ? 2 : 3;
  if (![query, key, value].every((t) => t instanceof Tensor && t.ndim === dims) || query.ndim > 3) {
    fail(
      name,
      `query ${show(query)}, key ${show(key)} and value ${
        show(value)
      }: they must have 3 dims, or 2 without a batch`,
    );
  }
  const [ofBatch, ofTime] = o.batchFirst && !single ? [0, 1] : [1, 0];
  const batch = single ? 1 : query.shape[ofBatch];
  const embed = query.shape[dims - 1], size = embed / heads;
  const [rows, keys] = [query.shape[ofTime], key.shape[ofTime]];
  const fits = sameShape(key.shape.slice(0, -1), value.shape.slice(0, -1)) &&
    (single || key.shape[ofBatch] === batch) && embed === o.outProjWeight.shape[1];
  if (!fits) {
    fail(
      name,
      `query ${shapeText(query.shape)}, key ${shapeText(key.shape)} and value ${
        shapeText(value.shape)
      }: the last size must be ${
        o.outProjWeight.shape[1]
      }, keys and values must be as many, in one batch`,
    );
  }
  if (!Number.isInteger(size)) {
    fail(name, `${embed} features by ${heads} heads: they must divide evenly`);
  }
  const projected = project(query, key, value, o);
  // (B, H, T, D), in whatever order memory has it.
  let [q, k, v] = projected.map((t) => {
    const split = reshape(single ? unsqueeze(t, 1) : t, [
      ...(single ? [t.shape[0], 1] : t.shape.slice(0, 2)),
      heads,
      size,
    ]);
    return permute(split, [single ? 1 : ofBatch, 2, single ? 0 : ofTime, 3]);
  });
  o.given.forEach((t, i) => {
    if (t === null) return;
    const ready = reshape(t, [batch, heads, t.shape[1], size]);
    if (i === 0) k = ready;
    else v = ready;
  });

  let attnMask: Tensor | null = null, padding: Tensor | null = null;
  let { isCausal } = o;
  if (isCausal && o.attnMask === null) {
    throw new ArgumentError(
      `Cannot ${name} with isCausal and no attnMask: it is a hint beside one`,
      {
        op: name,
      },
    );
  }
  if (o.keyPaddingMask !== null) {
    padding = additive(name, o.keyPaddingMask, "keyPaddingMask", q);
    const wanted = single ? [keys] : [batch, keys];
    if (!sameShape(padding.shape, wanted)) {
      fail(name, `keyPaddingMask ${shapeText(padding.shape)}: it must be ${shapeText(wanted)}`);
    }
    if (single) padding = unsqueeze(padding, 0);
  }
  isCausal &&= padding === null && !needWeights && o.biasKv === null && !o.addZeroAttn;
  if (o.attnMask !== null && !isCausal) {
    attnMask = additive(name, o.attnMask, "attnMask", q);
    if (sameShape(attnMask.shape, [batch * heads, rows, keys])) {
      attnMask = reshape(attnMask, [batch, heads, rows, keys]);
    } else if (!sameShape(attnMask.shape, [rows, keys])) {
      fail(
        name,
        `attnMask ${shapeText(attnMask.shape)}: it must be ${shapeText([rows, keys])} or ${
          shapeText([batch * heads, rows, keys])
        }`,
      );
    }
  }
  const behind = (more: (i: number) => Tensor) => {
    [k, v] = [k, v].map((t, i) => cat([t, expand(more(i), [batch, heads, 1, size])], 2));
    attnMask &&= pad(attnMask, [0, 1]);
    padding &&= pad(padding, [0, 1]);
  };
  const { biasKv } = o;
  if (biasKv !== null) {
    behind((i) => transpose(reshape(biasKv[i], [1, 1, heads, size]), 1, 2));
  }
  if (o.addZeroAttn) behind(() => zeros([1, 1, 1, size], { dtype: k.dtype, device: k.device }));
  if (padding !== null) {
    const wide = reshape(padding, [batch, 1, 1, k.shape[2]]);
    attnMask = attnMask === null ? wide : add(attnMask, wide);
  }

  let out: Tensor, weights: Tensor | null = null;
  if (needWeights) {
    let scores = matmul(mul(q, Math.sqrt(1 / size)), transpose(k, -1, -2));
    // In mixed precision the scores are of a half type, and stay so.
    if (attnMask !== null) scores = add(scores, cast(attnMask, scores.dtype));
    weights = softmax(scores, -1);
    if (o.dropoutP > 0) weights = dropout(weights, o.dropoutP);
    out = matmul(weights, v);
    if (o.averageAttnWeights) weights = mean(weights, 1);
    if (single) weights = squeeze(weights, 0);
  } else {
    out = scaledDotProductAttention(q, k, v, attnMask, { dropoutP: o.dropoutP, isCausal });
  }
  const order = ofBatch === 0 ? [0, 2, 1, 3] : [2, 0, 1, 3];
  out = reshape(permute(out, order), [...query.shape.slice(0, -1), embed]);
  return [linear(out, o.outProjWeight, o.outProjBias), weights];
}

/** What `multiHeadAttentionForward` takes by name. */
export interface MultiHeadAttentionForwardOptions {
  /** Whether weights are dropped; default true. */
  training?: boolean;
  /** (B, S): which keys nobody sees (bool), or what is added to their scores (float). */
  keyPaddingMask?: Tensor | null;
  /** Whether the weights are given; default true. */
  needWeights?: boolean;
  /** (T, S) or (B·H, T, S): which keys a query does not see (bool), or what is added to the scores (float). */
  attnMask?: Tensor | null;
  /** Whether queries, keys and values have weights of their own; default false. */
  useSeparateProjWeight?: boolean;
  /** (E, E). */
  qProjWeight?: Tensor | null;
  /** (E, size of a key). */
  kProjWeight?: Tensor | null;
  /** (E, size of a value). */
  vProjWeight?: Tensor | null;
  /** Keys (B·H, S, D) in place of the projected ones. */
  staticK?: Tensor | null;
  /** Values (B·H, S, D) in place of the projected ones. */
  staticV?: Tensor | null;
  /** Whether the weights are the mean over the heads; default true. */
  averageAttnWeights?: boolean;
  /** A hint that `attnMask` is the causal one; default false. */
  isCausal?: boolean;
}

/** Attention by several heads, with its weights given. */
export type MultiHeadAttentionForward = (
  query: Tensor,
  key: Tensor,
  value: Tensor,
  embedDimToCheck: number,
  numHeads: number,
  inProjWeight: Tensor | null,
  inProjBias: Tensor | null,
  biasK: Tensor | null,
  biasV: Tensor | null,
  addZeroAttn: boolean,
  dropoutP: number,
  outProjWeight: Tensor,
  outProjBias: Tensor | null,
  options?: MultiHeadAttentionForwardOptions,
) => [output: Tensor, weights: Tensor | null];

/**
 * What `nn.MultiheadAttention` computes, with all weights as arguments.
 *
 * Shapes: query (T, B, E), key (S, B, E), value (S, B, E), or without B → output (T, B, E), weights (B, T, S), or null.
 * Errors: ShapeError for sizes that do not fit, DTypeError for masks that are neither bool nor float.
 * Source: Vaswani et al. 2017, arXiv 1706.03762.
 */
export const multiHeadAttentionForward: MultiHeadAttentionForward = op<MultiHeadAttentionForward>(
  "multiHeadAttentionForward(query, key, value, embedDimToCheck, numHeads, inProjWeight, inProjBias, biasK, biasV, addZeroAttn, dropoutP, outProjWeight, outProjBias, training=true, keyPaddingMask=null, needWeights=true, attnMask=null, useSeparateProjWeight=false, qProjWeight=null, kProjWeight=null, vProjWeight=null, staticK=null, staticV=null, averageAttnWeights=true, isCausal=false)",
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embedDimToCheck: number,
    numHeads: number,
    inProjWeight: Tensor | null,
    inProjBias: Tensor | null,
    biasK: Tensor | null,
    biasV: Tensor | null,
    addZeroAttn: boolean,
    dropoutP: number,
    outProjWeight: Tensor,
    outProjBias: Tensor | null,
    training: boolean,
    keyPaddingMask: Tensor | null,
    needWeights: boolean,
    attnMask: Tensor | null,
    useSeparateProjWeight: boolean,
    qProjWeight: Tensor | null,
    kProjWeight: Tensor | null,
    vProjWeight: Tensor | null,
    staticK: Tensor | null,
    staticV: Tensor | null,
    averageAttnWeights: boolean,
    isCausal: boolean,
  ) => {
    const name = "multiHeadAttentionForward";
    const separate = [qProjWeight, kProjWeight, vProjWeight];
    const weight = useSeparateProjWeight ? separate : inProjWeight;
    const tensors = [query, outProjWeight, ...(Array.isArray(weight) ? weight : [weight])];
    if (!tensors.every((t) => t instanceof Tensor) || (biasK === null) !== (biasV === null)) {
      throw new ArgumentError(
        `Cannot ${name}: queries and projections must be tensors, and biasK and biasV both given or both null`,
        { op: name },
      );
    }
    if (query.shape.at(-1) !== embedDimToCheck) {
      fail(name, `query ${shapeText(query.shape)}: its last size must be ${embedDimToCheck}`);
    }
    return attendByHeads(query, key, value, {
      name,
      batchFirst: false,
      numHeads,
      inProjWeight: weight as Tensor | [Tensor, Tensor, Tensor],
      inProjBias,
      biasKv: biasK === null ? null : [biasK, biasV!],
      addZeroAttn,
      dropoutP: training ? dropoutP : 0,
      outProjWeight,
      outProjBias,
      keyPaddingMask,
      needWeights,
      attnMask,
      averageAttnWeights,
      isCausal,
      given: [staticK, staticV],
    });
  },
);
