/**
 * Planes of bytes brought to another size as PyTorch and Pillow do it: width first, then height, each by whole weights whose
 * sum is a power of two, and rounded to bytes.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { fromElements, type Tensor } from "../tensor.ts";
import { indexSelect } from "./index_ops.ts";
import { bitwiseRightShift } from "./logic.ts";
import { cast } from "./map.ts";
import { add, mul } from "./pointwise.ts";
import { clamp } from "./bounds.ts";

/** How bytes are weighed. */
export interface ByteForm {
  /** Four neighbours instead of two. */
  cubic: boolean;
  /** Whether the centres of corner elements stay in place. */
  alignCorners: boolean;
  /** Whether a smaller result is made of all elements. */
  antialias: boolean;
}

/** Keys' cubic kernel with the slope that PyTorch takes: Pillow's where antialiased, else OpenCV's. */
function kernel(x: number, { cubic, antialias }: ByteForm): number {
  const t = Math.abs(x);
  if (!cubic) return t < 1 ? 1 - t : 0;
  const a = antialias ? -0.5 : -0.75;
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
}

/** What each place of a dim is made of: the k-th place that it reads and that one's weight, for each k. */
interface Weights {
  readonly places: BigInt64Array[];
  readonly weights: Int32Array[];
  /** The weights of one place add up to 2 to this. */
  readonly bits: number;
}

/** Writes the weights of one place of the result into `row`, which holds zeros; gives the first place that they are of. */
type Mix = (i: number, n: number, scale: number, form: ByteForm, row: Float64Array) => number;

/** The neighbours of place i; what would lie outside is the edge. */
const neighbours: Mix = (i, n, scale, form, row) => {
  const reach = form.cubic ? 2 : 1;
  const at = form.alignCorners ? scale * i : scale * (i + 0.5) - 0.5;
  const real = form.cubic ? at : Math.max(at, 0);
  const left = Math.min(Math.floor(real), n - 1), rest = Math.min(Math.max(real - left, 0), 1);
  const first = left - reach + 1, from = Math.max(first, 0);
  for (let j = 0; j < 2 * reach; j++) {
    const place = Math.min(Math.max(first + j, 0), n - 1);
    row[place - from] += kernel(j + 1 - reach - rest, form);
  }
  return from;
};

/** All elements that place i covers, whose weights add up to 1. */
const covered: Mix = (i, n, scale, form, row) => {
  const wider = Math.max(scale, 1), reach = (form.cubic ? 2 : 1) * wider;
  const center = scale * (i + 0.5);
  const from = Math.max(Math.trunc(center - reach + 0.5), 0);
  const count = Math.min(Math.trunc(center + reach + 0.5), n) - from;
  let total = 0;
  for (let j = 0; j < Math.min(count, row.length); j++) {
    total += row[j] = kernel((j + from - center + 0.5) / wider, form);
  }
  if (total !== 0) { for (let j = 0; j < row.length; j++) row[j] /= total; }
  return from;
};

/** Weights for n elements as `out`; `factor` is the one that was asked for, or 0. */
function weightsOf(n: number, out: number, factor: number, form: ByteForm): Weights {
  const apart = out > 1 ? (n - 1) / (out - 1) : 0;
  const scale = form.alignCorners ? apart : factor > 0 ? 1 / factor : n / out;
  const reach = form.cubic ? 2 : 1;
  const most = form.antialias ? Math.ceil(reach * Math.max(scale, 1)) * 2 + 1 : 2 * reach;
  const mix = form.antialias ? covered : neighbours;
  const exact = new Float64Array(out * most), first = new Float64Array(out);
  for (let i = 0; i < out; i++) {
    first[i] = mix(i, n, scale, form, exact.subarray(i * most, (i + 1) * most));
  }
  const greatest = exact.reduce((a, b) => Math.max(a, b), 0);
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + greatest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  const places = Array.from({ length: most }, () => new BigInt64Array(out));
  const weights = Array.from({ length: most }, () => new Int32Array(out));
  for (let i = 0; i < out; i++) {
    for (let k = 0; k < most; k++) {
      const w = exact[i * most + k];
      // What has no weight may lie outside.
      places[k][i] = BigInt(Math.min(first[i] + k, n - 1));
      weights[k][i] = Math.trunc(w * 2 ** bits + (w < 0 ? -0.5 : 0.5));
    }
  }
  return { places, weights, bits };
}

/** Planes (B, H, W) of uint8 with one dim brought to another size. */
function along(x: Tensor, d: number, out: number, factor: number, form: ByteForm): Tensor {
  const { places, weights, bits } = weightsOf(x.shape[d], out, factor, form);
  const wide = x.shape.map((_, k) => k === d ? out : 1);
  let sum: Tensor | null = null;
  places.forEach((at, k) => {
    const read = cast(
      indexSelect(x, d, fromElements(at, "int64", [out], x.storage.device)),
      "int32",
    );
    const part = mul(read, fromElements(weights[k], "int32", wide, x.storage.device));
    sum = sum === null ? add(part, 2 ** (bits - 1)) : add(sum, part);
  });
  return cast(clamp(bitwiseRightShift(sum!, bits), 0, 255), "uint8");
}

/** Planes (B, H, W) of uint8 at other sizes; `scales` are the factors that were asked for. */
export function resampledBytes(
  x: Tensor,
  sizes: readonly number[],
  scales: readonly number[] | null,
  form: ByteForm,
): Tensor {
  return inMode(false, () => {
    let y = x;
    for (const d of [1, 0]) {
      if (y.shape[d + 1] === sizes[d] && scales === null) continue;
      y = along(y, d + 1, sizes[d], scales?.[d] ?? 0, form);
    }
    return y;
  });
}
