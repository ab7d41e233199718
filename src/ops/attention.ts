/**
 * Scaled dot product attention: the fused kernel, and its twin in plain ops, which serves dropout, gradients of masks
 * and gradients of gradients, and is what the kernel is tested against.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, requiresGrad, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, broadcastStrides, sameShape, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { composedGradients, windowOf } from "./composed.ts";
import { ones } from "./creation.ts";
import { eq, logicalNot, maskedFill } from "./logic.ts";
import { cast, checkTensor } from "./map.ts";
import { repeatInterleave } from "./masking.ts";
import { matmul } from "./matmul.ts";
import { add, mul } from "./pointwise.ts";
import { tril } from "./pattern.ts";
import { dropout } from "./dropout.ts";
import { amax } from "./reduction.ts";
import { softmax } from "./softmax.ts";
import { expand, transpose } from "./view.ts";

const NAME = "scaledDotProductAttention";

/** What attention takes by name. */
export interface AttentionOptions {
  /** Which keys a query sees (bool), or what is added to its scores (float); broadcasts to (…, T, S). */
  attnMask?: Tensor | null;
  /** The probability of a weight to be dropped, whatever the mode of a module; default 0. */
  dropoutP?: number;
  /** Whether query i sees keys 0 to i only. */
  isCausal?: boolean;
  /** What scores are multiplied by; default 1 / √D. */
  scale?: number | null;
  /** Whether several heads of queries share one head of keys and values. */
  enableGqa?: boolean;
}

/** Attention. */
export type Attention = {
  (query: Tensor, key: Tensor, value: Tensor, options?: AttentionOptions): Tensor;
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attnMask: Tensor | null,
    options?: AttentionOptions,
  ): Tensor;
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attnMask: Tensor | null,
    dropoutP: number,
    options?: AttentionOptions,
  ): Tensor;
};

function checkInputs(q: Tensor, k: unknown, v: unknown): asserts k is Tensor {
  for (const [what, t] of [["key", k], ["value", v]] as const) checkTensor(NAME, t, what);
  const key = k as Tensor, value = v as Tensor;
  if (!q.info.isFloat || key.info !== q.info || value.info !== q.info) {
    throw new DTypeError(
      `Cannot ${NAME} of query ${q.dtype}, key ${key.dtype} and value ${value.dtype}: they must have one float dtype`,
      { op: NAME },
    );
  }
  const fits = q.ndim >= 2 && key.ndim >= 2 && value.ndim >= 2 &&
    q.shape.at(-1) === key.shape.at(-1) && key.shape.at(-2) === value.shape.at(-2);
  if (!fits) {
    throw new ShapeError(
      `Cannot ${NAME} of query ${shapeText(q.shape)}, key ${shapeText(key.shape)} and value ${
        shapeText(value.shape)
      }: they must be [..., T, D], [..., S, D] and [..., S, E]`,
      { op: NAME },
    );
  }
}

function checkMask(mask: unknown, q: Tensor, isCausal: boolean): void {
  if (mask === null) return;
  checkTensor(NAME, mask, "attnMask");
  if (isCausal) {
    throw new ArgumentError(`Cannot ${NAME} with attnMask and isCausal: only one may be given`, {
      op: NAME,
    });
  }
  const { dtype } = mask as Tensor;
  if (dtype !== "bool" && dtype !== "float32" && dtype !== q.dtype) {
    throw new DTypeError(
      `Cannot ${NAME} with attnMask ${dtype}: it must be bool, float32 or the query's ${q.dtype}`,
      { op: NAME },
    );
  }
}

/** How many heads of queries share a head of keys; 0 where keys and values differ in that. */
function groupsOf(q: Tensor, k: Tensor, v: Tensor): number {
  const [heads, ofKeys, ofValues] = [q, k, v].map((t) => t.ndim >= 3 ? t.shape[t.ndim - 3] : 0);
  if (
    !(heads > 0 && ofKeys > 0 && ofValues > 0 && heads % ofKeys === 0 && heads % ofValues === 0)
  ) {
    throw new ShapeError(
      `Cannot ${NAME} with enableGqa of query ${shapeText(q.shape)}, key ${
        shapeText(k.shape)
      } and value ${shapeText(v.shape)}: the query's heads must be a multiple of theirs`,
      { op: NAME },
    );
  }
  return ofKeys === ofValues ? heads / ofKeys : 0;
}

/** All but the last two dims. */
const leading = (t: Tensor): readonly number[] => t.shape.slice(0, -2);

/** The tensor with other dims before its last two; gradients are summed back. */
function withLeading(t: Tensor, lead: readonly number[]): Tensor {
  return sameShape(leading(t), lead) ? t : expand(t, [...lead, ...t.shape.slice(-2)]);
}

/** (…, H, T, X) as (…, H / G, G, T, X); without groups as (…, H, 1, T, X). */
function grouped(t: Tensor, groups: number): Tensor {
  const at = t.ndim - 2;
  if (groups === 1) {
    return windowOf(t, t.shape.toSpliced(at, 0, 1), t.strides.toSpliced(at, 0, 0));
  }
  const heads = t.shape[at - 1], step = t.strides[at - 1];
  return windowOf(
    t,
    t.shape.toSpliced(at - 1, 1, heads / groups, groups),
    t.strides.toSpliced(at - 1, 1, step * groups, step),
  );
}

/**
 * An empty tensor (…, X) with the other dims of `like`, which lie in memory as those do: where heads were cut from rows
 * of features, rows are whole again without a copy.
 */
function emptyAs(like: Tensor, size: number): Tensor {
  const { shape, strides, info } = like;
  const dims = [...shape.slice(0, -1), size];
  const order = dims.map((_, d) => d);
  order.pop();
  if (order.some((d) => strides[d] === 0 && shape[d] > 1)) {
    return empty(dims, info, like.storage.device);
  }
  order.sort((a, b) => strides[b] - strides[a]);
  order.push(order.length);
  const t = empty(order.map((d) => dims[d]), info, like.storage.device);
  const lies = new Array<number>(dims.length);
  order.forEach((d, at) => lies[d] = t.strides[at]);
  return windowOf(t, dims, lies);
}

/** What both forms of attention are given. */
interface Given {
  readonly mask: Tensor | null;
  readonly dropoutP: number;
  readonly isCausal: boolean;
  readonly scale: number;
  readonly groups: number;
}

/** Attention in plain ops: every score and weight is kept. */
function composed(q: Tensor, k: Tensor, v: Tensor, given: Given): Tensor {
  if (q.info.size < 4) {
    // Scores of half types would be rounded before they are exponents.
    const mask = given.mask?.info.isFloat ? cast(given.mask, "float32") : given.mask;
    const [a, b, c] = [q, k, v].map((t) => cast(t, "float32"));
    return cast(composed(a, b, c, { ...given, mask }), q.dtype);
  }
  const { isCausal, dropoutP, groups } = given;
  if (groups > 1) [k, v] = [k, v].map((t) => repeatInterleave(t, groups, { dim: -3 }));
  // Both factors take the root of the scale, so that neither product overflows.
  const root = Math.sqrt(Math.abs(given.scale));
  const turned = mul(transpose(k, -1, -2), given.scale < 0 ? -root : root);
  let scores = matmul(mul(q, root), turned);
  let mask = given.mask;
  if (isCausal) mask = tril(ones(scores.shape.slice(-2), { dtype: "bool", device: scores.device }));
  if (mask === null) return matmul(dropout(softmax(scores, -1), dropoutP), v);
  scores = mask.dtype === "bool"
    ? maskedFill(scores, logicalNot(mask), -Infinity)
    : add(scores, cast(mask, scores.dtype));
  // A query that sees no key has weights of zero, not of 0 / 0.
  const blind = eq(
    scores.shape.at(-1) === 0 ? scores : amax(scores, -1, { keepdim: true }),
    -Infinity,
  );
  const weights = maskedFill(softmax(maskedFill(scores, blind, 0), -1), blind, 0);
  return matmul(dropoutP > 0 ? dropout(weights, dropoutP) : weights, v);
}

/** Whether a mask wants no gradient and gives the result no dims. */
function maskIsPlain(mask: Tensor | null, q: Tensor, k: Tensor): boolean {
  if (mask === null) return true;
  const scores = [...q.shape.slice(0, -1), k.shape[k.ndim - 2]];
  if (!sameShape(broadcastShapes(mask.shape, scores, NAME), scores)) return false;
  return !(requiresGrad(mask) && isGradEnabled());
}

const scalars = (given: Given): number[] => [given.scale, given.isCausal ? 1 : 0];

/** Attention by the kernel. The dims before the last two agree, but for the groups of heads. */
function fused(q: Tensor, k: Tensor, v: Tensor, given: Given): Tensor {
  const { groups } = given;
  const { device } = q.storage;
  const [rows, keys] = [q.shape[q.ndim - 2], k.shape[k.ndim - 2]];
  const out = emptyAs(q, v.shape[v.ndim - 1]);
  const statistics = q.info.size === 8 ? DTYPES.float64 : DTYPES.float32;
  const lse = empty([q.numel / q.shape[q.ndim - 1]], statistics, device);
  let mask = empty([0], q.info, device);
  if (given.mask !== null) {
    const shape = [...leading(q), rows, keys];
    const strides = broadcastStrides(given.mask.shape, given.mask.strides, shape);
    mask = grouped(windowOf(given.mask, shape, strides), groups);
  }
  run(
    NAME,
    OP.attention,
    [grouped(out, groups), lse],
    [grouped(q, groups), k, v, mask],
    scalars(given),
  );
  if (wants(q, k, v)) {
    record(NAME, [q, k, v], [out], ([g]) => {
      if (g === null) return [null, null, null];
      if (isGradEnabled()) {
        return composedGradients(([q, k, v]) => [composed(q, k, v, given)], [q, k, v], [g]);
      }
      const [gq, gk, gv] = [q, k, v].map((t) => emptyAs(t, t.shape[t.ndim - 1]));
      run(
        `the backward of ${NAME}`,
        OP.attention_grad,
        [grouped(gq, groups), gk, gv],
        [grouped(g, groups), grouped(q, groups), k, v, grouped(out, groups), lse, mask],
        scalars(given),
      );
      return [gq, gk, gv];
    }, given.mask === null ? [q, k, v, out] : [q, k, v, out, given.mask]);
  }
  return out;
}

/**
 * `softmax(scale · query keyᵀ + attnMask) value`: each query's mean of the values, weighted by how well the keys fit.
 *
 * Shapes: query (…, T, D), key (…, S, D), value (…, S, E) → (…, T, E); the dims before broadcast. With `enableGqa`
 * query (…, H, T, D), key (…, H / G, S, D). Types: floats; bfloat16 and float16 are computed in float32. A query that
 * sees no key gives zeros. Neither forward nor backward keeps scores, unless there is dropout or the mask wants a
 * gradient: memory grows with T + S. On CUDA cuDNN's backward may take up to 1 GiB for them while it runs.
 * Errors: ShapeError for sizes that do not fit, DTypeError for other types, ArgumentError for a mask beside `isCausal`.
 * Source: Vaswani et al. 2017, arXiv 1706.03762; Dao et al. 2022, arXiv 2205.14135.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const [q, k, v] = [1, 2, 3].map(() => randn([2, 4, 10, 16]));
 * const y = nn.functional.scaledDotProductAttention(q, k, v, { isCausal: true });
 * console.log(y.shape); // [ 2, 4, 10, 16 ]
 * ```
 */
export const scaledDotProductAttention: Attention = op<Attention>(
  `${NAME}(query, key, value, attnMask=null, dropoutP=0, isCausal=false, scale=null, enableGqa=false)`,
  (
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | null,
    dropoutP: number,
    isCausal: boolean,
    scale: number | null,
    enableGqa: boolean,
  ) => {
    checkTensor(NAME, q, "query");
    checkInputs(q, k, v);
    checkMask(mask, q, isCausal);
    if (typeof dropoutP !== "number" || !(dropoutP >= 0 && dropoutP <= 1)) {
      throw new ArgumentError(`Cannot ${NAME} with dropoutP ${show(dropoutP)}: it is from 0 to 1`, {
        op: NAME,
      });
    }
    if (scale !== null && typeof scale !== "number") {
      throw new ArgumentError(`Cannot ${NAME} with scale ${show(scale)}: it must be a number`, {
        op: NAME,
      });
    }
    const size = q.shape[q.ndim - 1];
    let groups = enableGqa ? groupsOf(q, k, v) : 1;
    if (groups === 0) {
      [k, v] = [k, v].map((t) =>
        repeatInterleave(t, q.shape[q.ndim - 3] / t.shape[t.ndim - 3], { dim: -3 })
      );
      groups = 1;
    }
    const given: Given = { mask, dropoutP, isCausal, scale: scale ?? 1 / Math.sqrt(size), groups };
    const heads = (t: Tensor) => groups > 1 ? leading(t).slice(0, -1) : leading(t);
    const batch = [k, v].reduce((a, t) => broadcastShapes(a, heads(t), NAME), heads(q));
    const with_ = (t: Tensor) =>
      withLeading(t, groups > 1 ? [...batch, t.shape[t.ndim - 3]] : batch);
    [q, k, v] = [q, k, v].map(with_);
    if (dropoutP > 0 || size === 0 || q.ndim > 15 || !maskIsPlain(mask, q, k)) {
      return composed(q, k, v, given);
    }
    return fused(q, k, v, given);
  },
);
