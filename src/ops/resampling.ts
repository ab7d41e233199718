/**
 * Planes brought to another size: nearest elements, linear and cubic interpolation, means of areas.
 *
 * @module
 */
import { autocasting } from "../autocast.ts";
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { numelOf, shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { adaptiveAvgPool1d, adaptiveAvgPool2d, adaptiveAvgPool3d } from "./pooling.ts";
import { resampledBytes } from "./resampling_bytes.ts";
import { reshape } from "./view.ts";

/** How elements between elements come about. */
export type InterpolateMode =
  | "nearest"
  | "nearest-exact"
  | "linear"
  | "bilinear"
  | "bicubic"
  | "trilinear"
  | "area";

/** What `interpolate` takes by name. */
export interface InterpolateOptions {
  /** Sizes of the last dims, one for all or one for each. */
  size?: number | readonly number[] | null;
  /** Factors of the last dims instead, one for all or one for each. */
  scaleFactor?: number | readonly number[] | null;
  /** Default `"nearest"`. */
  mode?: InterpolateMode;
  /** Whether the centres of corner elements stay in place, instead of the corners of the plane; linear and cubic modes. */
  alignCorners?: boolean | null;
  /** Whether the sizes, rounded down, decide where elements are read, instead of the factors. */
  recomputeScaleFactor?: boolean | null;
  /** Whether a smaller result is made of all elements of the input; `"bilinear"` and `"bicubic"`. */
  antialias?: boolean;
}

/** The native mode, and how many dims a mode is for; null: any. */
const MODES: Readonly<Record<InterpolateMode, readonly [number, number | null]>> = {
  "nearest": [0, null],
  "nearest-exact": [1, null],
  "linear": [2, 1],
  "bilinear": [2, 2],
  "bicubic": [3, 2],
  "trilinear": [2, 3],
  "area": [-1, null],
};

/** (B, S…) brought to other sizes, and the gradient: each is the other's. */
function resampled(
  name: string,
  x: Tensor,
  shape: readonly number[],
  words: readonly number[],
  back: boolean,
): Tensor {
  const y = empty(shape, x.info, x.storage.device);
  run(name, back ? OP.resample_grad : OP.resample, [y], [x], words);
  if (wants(x)) {
    record(name, [x], [y], ([g]) => [g && resampled(name, g, x.shape, words, !back)], []);
  }
  return y;
}

/** One number for each of d dims. */
function spread(name: string, value: unknown, d: number, what: string): number[] {
  const list = typeof value === "number" ? Array.from({ length: d }, () => value) : value;
  if (!Array.isArray(list) || list.length !== d || list.some((n) => typeof n !== "number")) {
    throw new ArgumentError(
      `Cannot ${name} with ${what} ${show(value)}: it takes a number, or ${d} of them`,
      { op: name },
    );
  }
  return list;
}

function interpolated(
  name: string,
  x: Tensor,
  size: number | readonly number[] | null,
  scaleFactor: number | readonly number[] | null,
  mode: InterpolateMode,
  alignCorners: boolean | null,
  recompute: boolean | null,
  antialias: boolean,
): Tensor {
  const fail = (rule: string): never => {
    throw new ArgumentError(`Cannot ${name} ${shapeText(x.shape)}: ${rule}`, { op: name });
  };
  if (!Object.hasOwn(MODES, mode)) {
    fail(`mode ${show(mode)} is not one of ${Object.keys(MODES).join(", ")}`);
  }
  const [code, dims] = MODES[mode];
  const d = x.ndim - 2;
  if (d < 1 || d > 3 || (dims !== null && dims !== d)) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} by mode ${show(mode)}: it takes batch, channels and ${
        dims ?? "1 to 3"
      } more dims`,
      { op: name },
    );
  }
  if (code < 2 && alignCorners !== null) fail(`alignCorners is not for mode ${show(mode)}`);
  if ((size === null) === (scaleFactor === null)) fail("give either size or scaleFactor");
  if (recompute && size !== null) fail("recomputeScaleFactor is only for a scaleFactor");
  if (antialias && (code < 2 || d !== 2)) {
    fail('antialias is only for modes "bilinear" and "bicubic"');
  }
  let scales: number[] | null = null;
  let sizes: number[];
  if (size !== null) sizes = spread(name, size, d, "size");
  else {
    scales = spread(name, scaleFactor, d, "scaleFactor");
    sizes = scales.map((s, i) => Math.floor(x.shape[i + 2] * s));
    if (recompute || mode === "area") scales = null;
  }
  if (
    sizes.some((n) => !Number.isInteger(n) || n < 1) || numelOf(x.shape.slice(1)) === 0
  ) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} to ${
        show(sizes)
      }: sizes must be whole numbers from 1 on`,
      { op: name },
    );
  }
  const bytes = x.dtype === "uint8" && code >= 0 && (code < 2 || d === 2);
  if (!x.info.isFloat && !bytes) {
    throw new DTypeError(
      `Cannot ${name} ${show(x)} by mode ${
        show(mode)
      }: it takes float tensors, and uint8 by nearest, bilinear and bicubic modes`,
      { op: name },
    );
  }
  if (mode === "area") {
    return [adaptiveAvgPool1d, adaptiveAvgPool2d, adaptiveAvgPool3d][d - 1](x, sizes);
  }
  return resample(name, x, sizes, scales, { code, alignCorners: alignCorners ?? false, antialias });
}

/** Modes that weigh elements, of which autocast knows; `"area"` is a pool. */
const resample = autocasting(
  "resample",
  (
    name: string,
    x: Tensor,
    sizes: readonly number[],
    scales: readonly number[] | null,
    { code, alignCorners, antialias }: { code: number; alignCorners: boolean; antialias: boolean },
  ): Tensor => {
    const [n, c] = x.shape;
    const planes = reshape(x, [n * c, ...x.shape.slice(2)]);
    if (x.dtype === "uint8" && code >= 2) {
      const how = { cubic: code === 3, alignCorners, antialias };
      return reshape(resampledBytes(planes, sizes, scales, how), [n, c, ...sizes]);
    }
    const words = [
      code,
      Number(alignCorners),
      Number(antialias),
      ...(scales ?? sizes.map(() => 0)),
    ];
    return reshape(resampled(name, planes, [n * c, ...sizes], words, false), [n, c, ...sizes]);
  },
);

/**
 * Brought to another size along the dims behind batch and channels, given by `size` or by `scaleFactor`. Modes: `"nearest"`
 * and `"nearest-exact"` repeat elements, `"linear"`, `"bilinear"` and `"trilinear"` weigh the two neighbours along each of
 * 1, 2 or 3 dims, `"bicubic"` four, `"area"` takes the mean of equal parts.
 *
 * Shapes: x (N, C, S…) → (N, C, O…). Types: float; nearest, bilinear and bicubic modes take uint8 too, whose weights have
 * 15 bits. Errors: ShapeError for dims that a mode is not for; ArgumentError where both or none of size and scaleFactor are given. Source of cubic weights: Keys 1981.
 *
 * ```ts
 * import { F, tensor } from "@toro/toro";
 * const x = tensor([[[0, 1]]]);
 * console.log(F.interpolate(x, { size: 4, mode: "linear" }).toArray()); // [[[ 0, 0.25, 0.75, 1 ]]]
 * ```
 */
export const interpolate: (
  input: Tensor,
  size?: number | readonly number[] | null | InterpolateOptions,
  scaleFactor?: number | readonly number[] | null | InterpolateOptions,
  options?: InterpolateOptions,
) => Tensor = op(
  "interpolate(input, size=null, scaleFactor=null, mode='nearest', alignCorners=null, recomputeScaleFactor=null, antialias=false)",
  (
    x: Tensor,
    size: number | readonly number[] | null,
    scaleFactor: number | readonly number[] | null,
    mode: InterpolateMode,
    alignCorners: boolean | null,
    recompute: boolean | null,
    antialias: boolean,
  ) => interpolated("interpolate", x, size, scaleFactor, mode, alignCorners, recompute, antialias),
);

/** What the older names take by name. */
export interface UpsampleSizes {
  /** Sizes of the last dims. */
  size?: number | readonly number[] | null;
  /** Factors instead. */
  scaleFactor?: number | readonly number[] | null;
}

/** An older name of `interpolate` in one mode. */
export type UpsampleBy = (
  input: Tensor,
  size?: number | readonly number[] | null | UpsampleSizes,
  scaleFactor?: number | readonly number[] | null | UpsampleSizes,
) => Tensor;

/** `interpolate` by nearest elements. */
export const upsampleNearest: UpsampleBy = op(
  "upsampleNearest(input, size=null, scaleFactor=null)",
  (x: Tensor, size: number | null, scaleFactor: number | null) =>
    interpolated("upsampleNearest", x, size, scaleFactor, "nearest", null, null, false),
);

/** `interpolate` by the two neighbours along each of two dims, corner elements staying in place. */
export const upsampleBilinear: UpsampleBy = op(
  "upsampleBilinear(input, size=null, scaleFactor=null)",
  (x: Tensor, size: number | null, scaleFactor: number | null) =>
    interpolated("upsampleBilinear", x, size, scaleFactor, "bilinear", true, null, false),
);
