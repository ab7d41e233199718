/**
 * PyTorch's second forms of ops: pieces by sizes, copies, constants around, tensors by strides, in-place scans and
 * triangles. Each is another op with other arguments.
 *
 * @module
 */
import type { DType, Scalar } from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { checkSize, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { type CreationOptions, empty, full, type NestedValues, tensor } from "./creation.ts";
import { inplaceOf } from "./inplace.ts";
import { cast } from "./map.ts";
import { pad } from "./joining.ts";
import { tril, triu } from "./pattern.ts";
import { sum } from "./reduction.ts";
import { cumprod, cumsum } from "./scan.ts";
import { clone, permute, reshape } from "./view.ts";
import { asStrided, chunk, diag, type DimArgument, split } from "./window.ts";

/** Pieces of the given sizes, which must fill the dim: `split` with a list. */
export const splitWithSizes: (
  input: Tensor,
  splitSizes: readonly number[],
  dim?: DimArgument,
) => Tensor[] = op(
  "splitWithSizes(input, splitSizes, dim=0)",
  (x: Tensor, sizes: readonly number[], dim: number) => {
    if (!Array.isArray(sizes)) {
      throw new ArgumentError(`Cannot splitWithSizes by ${show(sizes)}: it takes a list of sizes`, {
        op: "splitWithSizes",
      });
    }
    return split(x, sizes, dim);
  },
);
/** `splitWithSizes`, copied. */
export const splitWithSizesCopy: typeof splitWithSizes = op(
  "splitWithSizesCopy(input, splitSizes, dim=0)",
  (x: Tensor, sizes: readonly number[], dim: number) =>
    splitWithSizes(x, sizes, dim).map((t) => clone(t)),
);
/** `split`: gradients are exact here either way. */
export const unsafeSplit: (
  input: Tensor,
  splitSize: number | readonly number[],
  dim?: DimArgument,
) => Tensor[] = op(
  "unsafeSplit(input, splitSize, dim=0)",
  (x: Tensor, size: number | readonly number[], dim: number) => split(x, size, dim),
);
/** `chunk`: gradients are exact here either way. */
export const unsafeChunk: (input: Tensor, chunks: number, dim?: DimArgument) => Tensor[] = op(
  "unsafeChunk(input, chunks, dim=0)",
  (x: Tensor, chunks: number, dim: number) => chunk(x, chunks, dim),
);
/** A copy of the whole. */
export const aliasCopy: (input: Tensor) => Tensor = op("aliasCopy(input)", (x: Tensor) => clone(x));

/** `pad` with a constant. */
export const constantPadNd: (
  input: Tensor,
  pad: readonly number[],
  value?: Scalar | { value?: Scalar },
) => Tensor = op(
  "constantPadNd(input, pad, value=0)",
  (x: Tensor, pads: readonly number[], value: Scalar) => pad(x, pads, { value }),
);

/** A matrix with the elements of a tensor of any dims on a diagonal. */
export const diagflat: (input: Tensor, offset?: number | { offset?: number }) => Tensor = op(
  "diagflat(input, offset=0)",
  (x: Tensor, offset: number) => diag(reshape(x, [-1]), offset),
);

/** A tensor without dims. */
export const scalarTensor: (s: Scalar, options?: CreationOptions) => Tensor = op(
  "scalarTensor(s, dtype=null, device=null, requiresGrad=false)",
  (s: Scalar, dtype: DType | null, device: string | null, requiresGrad: boolean) =>
    full([], typeof s === "bigint" ? Number(s) : s, {
      dtype: dtype ?? "float32",
      device,
      requiresGrad,
    }),
);

/** A tensor of a shape whose memory lies in the order of the given dims; its values are not set. */
export const emptyPermuted: (
  size: readonly number[],
  physicalLayout: readonly number[],
  options?: CreationOptions,
) => Tensor = op(
  "emptyPermuted(size, physicalLayout, dtype=null, device=null, requiresGrad=false)",
  (
    size: readonly number[],
    layout: readonly number[],
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const shape = checkSize(size, "emptyPermuted");
    const whole = Array.isArray(layout) && layout.length === shape.length &&
      shape.every((_, d) => layout.includes(d));
    if (!whole) {
      throw new ArgumentError(
        `Cannot emptyPermuted ${shapeText(shape)} in the order ${show(layout)}: every dim once`,
        { op: "emptyPermuted" },
      );
    }
    const dense = empty(layout.map((d) => shape[d]), { dtype, device });
    const out = permute(dense, shape.map((_, d) => layout.indexOf(d)));
    out.requiresGrad = requiresGrad;
    return out;
  },
);

/** A tensor of a shape with given strides; its values are not set. */
export const emptyStrided: (
  size: readonly number[],
  stride: readonly number[],
  options?: CreationOptions,
) => Tensor = op(
  "emptyStrided(size, stride, dtype=null, device=null, requiresGrad=false)",
  (
    size: readonly number[],
    stride: readonly number[],
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const shape = checkSize(size, "emptyStrided"), steps = checkSize(stride, "emptyStrided");
    if (shape.length !== steps.length) {
      throw new ArgumentError(
        `Cannot emptyStrided ${shapeText(shape)} with strides ${show(stride)}: one for each dim`,
        { op: "emptyStrided" },
      );
    }
    const none = shape.includes(0);
    const reach = none ? 0 : shape.reduce((n, m, d) => n + (m - 1) * steps[d], 1);
    const out = asStrided(empty([reach], { dtype, device }), shape, steps);
    out.requiresGrad = requiresGrad;
    return out;
  },
);

/** Undefined elements of a size with given strides, of a tensor's dtype and device; a method. */
export const newEmptyStrided: (
  input: Tensor,
  size: readonly number[],
  stride: readonly number[],
  options?: CreationOptions,
) => Tensor = op(
  "newEmptyStrided(input, size, stride, dtype=null, device=null, requiresGrad=false)",
  (
    x: Tensor,
    size: readonly number[],
    stride: readonly number[],
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) =>
    emptyStrided(size, stride, {
      dtype: dtype ?? x.dtype,
      device: device ?? x.device,
      requiresGrad,
    }),
);

/** A tensor of data, of another tensor's dtype and device; a method. */
export const newTensor: (
  input: Tensor,
  data: Tensor | NestedValues,
  options?: CreationOptions,
) => Tensor = op(
  "newTensor(input, data, dtype=null, device=null, requiresGrad=false)",
  (
    x: Tensor,
    data: Tensor | NestedValues,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const to = { dtype: dtype ?? x.dtype, device: device ?? x.device };
    const made = data instanceof Tensor ? clone(data.detach()).to(to) : tensor(data, to);
    return requiresGrad ? made.requiresGrad_() : made;
  },
);

/** A sum over the dims that broadcasting to this shape from `size` would stretch. A method only, as in PyTorch. */
export const sumToSize: (input: Tensor, size: readonly number[]) => Tensor = op(
  "sumToSize(input, size)",
  (input: Tensor, size: readonly number[]) => {
    const shape = checkSize(size, "sumToSize");
    const lead = input.ndim - shape.length;
    if (lead < 0 || shape.some((n, d) => n !== 1 && n !== input.shape[lead + d])) {
      throw new ShapeError(
        `Cannot sumToSize ${shapeText(input.shape)} to ${
          shapeText(shape)
        }: it does not stretch to it`,
        { op: "sumToSize" },
      );
    }
    const over = input.shape.map((_, d) => d).filter((d) =>
      d < lead || (shape[d - lead] === 1 && input.shape[d] !== 1)
    );
    if (over.length > 0) return reshape(sum(input, over), shape);
    // To no dims it is a sum in any case, which of integers is int64.
    return shape.length > 0 || input.info.isFloat ? input : cast(input, "int64");
  },
);

/** `tril` in place. */
export const tril_: typeof tril = inplaceOf(tril);
/** `triu` in place. */
export const triu_: typeof triu = inplaceOf(triu);
/** `cumsum` in place. */
export const cumsum_: typeof cumsum = inplaceOf(cumsum);
/** `cumprod` in place. */
export const cumprod_: typeof cumprod = inplaceOf(cumprod);
