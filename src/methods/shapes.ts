/**
 * Methods of Tensor that give other dims, strides and dtypes of the same elements. Each hands its arguments on to an op.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import * as converts from "../ops/convert.ts";
import * as map from "../ops/map.ts";
import * as rearranging from "../ops/rearranging.ts";
import * as variants from "../ops/variants.ts";
import * as views from "../ops/view.ts";
import * as viewsInplace from "../ops/view_inplace.ts";
import * as viewWrites from "../ops/view_writes.ts";
import * as windows from "../ops/window.ts";
import { wrapDim } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor that give other dims, strides and dtypes of the same elements. */
export interface ShapeMethods {
  /** The tensor in another dtype or on another device. */
  to(
    target?: DType | string | Tensor | converts.ToOptions | null,
    options?: converts.ToOptions,
  ): Tensor;
  /** The tensor in another's dtype. */
  typeAs(other: Tensor): Tensor;
  /** The tensor in pinned memory. */
  pinMemory(): Tensor;
  /** Whether its elements lie in pinned memory. */
  isPinned(): boolean;
  /** The tensor as float32. */
  float(): Tensor;
  /** The tensor as float64. */
  double(): Tensor;
  /** The tensor as float16. */
  half(): Tensor;
  /** The tensor as bfloat16. */
  bfloat16(): Tensor;
  /** The tensor as int64. */
  long(): Tensor;
  /** The tensor as int32. */
  int(): Tensor;
  /** The tensor as int16. */
  short(): Tensor;
  /** The tensor as int8. */
  char(): Tensor;
  /** The tensor as uint8. */
  byte(): Tensor;
  /** The tensor as bool. */
  bool(): Tensor;
  /** A copy in new memory. */
  clone(): Tensor;
  /** Itself, or a copy whose elements lie row-major. */
  contiguous(): Tensor;
  /** The same elements under another shape, without a copy. */
  view(size: readonly number[]): Tensor;
  /** The same elements under another shape. */
  reshape(shape: readonly number[]): Tensor;
  /** Dims in another order. */
  permute(dims: readonly number[]): Tensor;
  /** Two dims exchanged. */
  transpose(dim0: number, dim1: number): Tensor;
  /** Dims of size 1 stretched. */
  expand(size: readonly number[]): Tensor;
  /** `view` to the shape of another tensor. */
  viewAs(other: Tensor): Tensor;
  /** `reshape` to the shape of another tensor. */
  reshapeAs(other: Tensor): Tensor;
  /** All elements in one dim. */
  ravel(): Tensor;
  /** Two dims exchanged. */
  swapaxes(axis0: number, axis1: number): Tensor;
  /** A matrix transposed. */
  t(): Tensor;
  /** Dims moved to other places. */
  movedim(source: number | readonly number[], destination: number | readonly number[]): Tensor;
  /** `expand` to the shape of another tensor. */
  expandAs(other: Tensor): Tensor;
  /** `expand` under NumPy's name. */
  broadcastTo(size: readonly number[]): Tensor;
  /** Without its dims of size 1, or those named. */
  squeeze(dim?: views.DimsArgument): Tensor;
  /** With a dim of size 1 put in. */
  unsqueeze(dim: number): Tensor;
  /** Several dims as one. */
  flatten(startDim?: number | views.FlattenOptions, endDim?: number | views.FlattenOptions): Tensor;
  /** One dim as several. */
  unflatten(dim: number, sizes: readonly number[]): Tensor;
  /** A range of a dim. */
  narrow(dim: number, start: number, length: number): Tensor;
  /** One index of a dim, which goes away. */
  select(dim: number, index: number): Tensor;
  /** The diagonal of two dims as the last dim. */
  diagonal(
    offset?: number | windows.DiagonalOptions,
    dim1?: number | windows.DiagonalOptions,
    options?: windows.DiagonalOptions,
  ): Tensor;
  /** Sliding windows over a dim, as a new last dim. */
  unfold(dimension: number, size: number, step: number): Tensor;
  /** Any dims and strides on its storage. */
  asStrided(
    size: readonly number[],
    stride: readonly number[],
    storageOffset?: number | null | windows.AsStridedOptions,
  ): Tensor;
  /** Each index of a dim as a tensor of its own. */
  unbind(dim?: windows.DimArgument): Tensor[];
  /** Pieces of a size, or of given sizes. */
  split(splitSize: number | readonly number[], dim?: windows.DimArgument): Tensor[];
  /** At most so many pieces of one size. */
  chunk(chunks: number, dim?: windows.DimArgument): Tensor[];
  /** So many pieces, or pieces between indices. */
  tensorSplit(indicesOrSections: number | readonly number[], dim?: windows.DimArgument): Tensor[];
  /** `tensorSplit` of columns. */
  hsplit(indicesOrSections: number | readonly number[]): Tensor[];
  /** `tensorSplit` of rows. */
  vsplit(indicesOrSections: number | readonly number[]): Tensor[];
  /** `tensorSplit` of dim 2. */
  dsplit(indicesOrSections: number | readonly number[]): Tensor[];
  /** Dims in reverse order. */
  flip(dims: readonly number[] | number): Tensor;
  /** Columns in reverse order. */
  fliplr(): Tensor;
  /** Rows in reverse order. */
  flipud(): Tensor;
  /** Elements moved on along dims, round the end. */
  roll(
    shifts: number | readonly number[],
    dims?: number | readonly number[] | null | rearranging.RollOptions,
  ): Tensor;
  /** Turned by quarters. */
  rot90(
    k?: number | rearranging.Rot90Options,
    dims?: readonly [number, number] | rearranging.Rot90Options,
  ): Tensor;
  /** The whole tensor so many times along each dim. */
  repeat(repeats: readonly number[]): Tensor;
  /** `repeat` with counts for the last dims. */
  tile(dims: readonly number[]): Tensor;
  /** A matrix with this vector on a diagonal, or this matrix's diagonal. */
  diag(diagonal?: number | { diagonal?: number }): Tensor;
  /** The last dim as a diagonal of two new dims. */
  diagEmbed(
    offset?: number | windows.DiagonalOptions,
    dim1?: number | windows.DiagonalOptions,
    options?: windows.DiagonalOptions,
  ): Tensor;
  /** The size of each dim. */
  size(): readonly number[];
  /** The size of one dim. */
  size(dim: number): number;
  /** The count of dims. */
  dim(): number;
  /** Bytes of one element. */
  elementSize(): number;
  /** A copy in which `asStrided` is `src`. */
  asStridedScatter: Method<typeof viewWrites.asStridedScatter>;
  /** A copy in which `diagonal` is `src`. */
  diagonalScatter: Method<typeof viewWrites.diagonalScatter>;
  /** `narrow`, copied. */
  narrowCopy: Method<typeof viewWrites.narrowCopy>;
  /** A copy in which `select(dim, index)` is `src`. */
  selectScatter: Method<typeof viewWrites.selectScatter>;
  /** A copy in which a slice of a dim is `src`. */
  sliceScatter: Method<typeof viewWrites.sliceScatter>;
  /** `cumprod` in place. */
  cumprod_: Method<typeof variants.cumprod_>;
  /** `cumsum` in place. */
  cumsum_: Method<typeof variants.cumsum_>;
  /** A matrix with the elements on a diagonal. */
  diagflat: Method<typeof variants.diagflat>;
  /** Pieces of the given sizes. */
  splitWithSizes: Method<typeof variants.splitWithSizes>;
  /** The sum over the dims that broadcasting from `size` would stretch. */
  sumToSize: Method<typeof variants.sumToSize>;
  /** `tril` in place. */
  tril_: Method<typeof variants.tril_>;
  /** `triu` in place. */
  triu_: Method<typeof variants.triu_>;
  /** `chunk`. */
  unsafeChunk: Method<typeof variants.unsafeChunk>;
  /** `split`. */
  unsafeSplit: Method<typeof variants.unsafeSplit>;
  /** Undefined elements of a size with given strides, of this dtype and device. */
  newEmptyStrided: Method<typeof variants.newEmptyStrided>;
  /** A tensor of data, of this dtype and device. */
  newTensor: Method<typeof variants.newTensor>;
  /** `asStrided` in place. */
  asStrided_: Method<typeof viewsInplace.asStrided_>;
  /** Lets go of the history, in place. */
  detach_: Method<typeof viewsInplace.detach_>;
  /** Other sizes for the same object; where it needs more memory, new elements are undefined. */
  resize_: Method<typeof viewsInplace.resize_>;
  /** `resize_` to the shape of another tensor. */
  resizeAs_: Method<typeof viewsInplace.resizeAs_>;
  /** `squeeze` in place. */
  squeeze_: Method<typeof viewsInplace.squeeze_>;
  /** `t` in place. */
  t_: Method<typeof viewsInplace.t_>;
  /** `transpose` in place. */
  transpose_: Method<typeof viewsInplace.transpose_>;
  /** `unsqueeze` in place. */
  unsqueeze_: Method<typeof viewsInplace.unsqueeze_>;
}

const methods: Forwarded<ShapeMethods> = {
  to: converts.to,
  typeAs: converts.typeAs,
  pinMemory: converts.pinMemory,
  isPinned: converts.isPinned,
  float: (x: Tensor) => map.cast(x, "float32"),
  double: (x: Tensor) => map.cast(x, "float64"),
  half: (x: Tensor) => map.cast(x, "float16"),
  bfloat16: (x: Tensor) => map.cast(x, "bfloat16"),
  long: (x: Tensor) => map.cast(x, "int64"),
  int: (x: Tensor) => map.cast(x, "int32"),
  short: (x: Tensor) => map.cast(x, "int16"),
  char: (x: Tensor) => map.cast(x, "int8"),
  byte: (x: Tensor) => map.cast(x, "uint8"),
  bool: (x: Tensor) => map.cast(x, "bool"),
  clone: views.clone,
  contiguous: views.contiguous,
  view: views.view,
  reshape: views.reshape,
  permute: views.permute,
  transpose: views.transpose,
  expand: views.expand,
  viewAs: views.viewAs,
  reshapeAs: views.reshapeAs,
  ravel: views.ravel,
  swapaxes: views.swapaxes,
  t: views.t,
  movedim: views.movedim,
  expandAs: views.expandAs,
  broadcastTo: views.broadcastTo,
  squeeze: views.squeeze,
  unsqueeze: views.unsqueeze,
  flatten: views.flatten,
  unflatten: views.unflatten,
  narrow: windows.narrow,
  select: windows.select,
  diagonal: windows.diagonal,
  unfold: windows.unfold,
  asStrided: windows.asStrided,
  unbind: windows.unbind,
  split: windows.split,
  chunk: windows.chunk,
  tensorSplit: windows.tensorSplit,
  hsplit: windows.hsplit,
  vsplit: windows.vsplit,
  dsplit: windows.dsplit,
  flip: rearranging.flip,
  fliplr: rearranging.fliplr,
  flipud: rearranging.flipud,
  roll: rearranging.roll,
  rot90: rearranging.rot90,
  repeat: rearranging.repeat,
  tile: rearranging.tile,
  diag: windows.diag,
  diagEmbed: windows.diagEmbed,
  // Two overloads: all sizes, or one.
  size: (x: Tensor, dim?: number) =>
    (dim === undefined ? x.shape : x.shape[wrapDim(dim, x.ndim, "size")]) as never,
  dim: (x: Tensor) => x.ndim,
  elementSize: (x: Tensor) => x.info.size,
  asStridedScatter: viewWrites.asStridedScatter,
  diagonalScatter: viewWrites.diagonalScatter,
  narrowCopy: viewWrites.narrowCopy,
  selectScatter: viewWrites.selectScatter,
  sliceScatter: viewWrites.sliceScatter,
  cumprod_: variants.cumprod_,
  cumsum_: variants.cumsum_,
  diagflat: variants.diagflat,
  splitWithSizes: variants.splitWithSizes,
  sumToSize: variants.sumToSize,
  tril_: variants.tril_,
  triu_: variants.triu_,
  unsafeChunk: variants.unsafeChunk,
  unsafeSplit: variants.unsafeSplit,
  newEmptyStrided: variants.newEmptyStrided,
  newTensor: variants.newTensor,
  asStrided_: viewsInplace.asStrided_,
  detach_: viewsInplace.detach_,
  resize_: viewsInplace.resize_,
  resizeAs_: viewsInplace.resizeAs_,
  squeeze_: viewsInplace.squeeze_,
  t_: viewsInplace.t_,
  transpose_: viewsInplace.transpose_,
  unsqueeze_: viewsInplace.unsqueeze_,
};

install(methods);
