/**
 * The methods of Tensor: each one line that calls an op. Declared here with types, installed on the prototype; every
 * entry point imports this module first.
 *
 * @module
 */
import "./ops/engine.ts";
import * as autograd from "./autograd.ts";
import { DTypeError } from "./errors.ts";
import * as pointwise from "./ops/pointwise.ts";
import * as reduction from "./ops/reduction.ts";
import * as views from "./ops/view.ts";
import * as windows from "./ops/window.ts";
import { Tensor } from "./tensor.ts";

/** The methods that ops give a tensor. */
export interface Methods {
  /** Whether gradients are wanted for it; setting it makes a leaf want them. */
  requiresGrad: boolean;
  /** The gradient that backward left, or null. */
  grad: Tensor | null;
  /** Whether no op recorded its making. */
  readonly isLeaf: boolean;
  /** Adds gradients of this scalar to the `grad` of every leaf that it came from. */
  backward(
    gradient?: Tensor | null | autograd.BackwardOptions,
    options?: autograd.BackwardOptions,
  ): void;
  /** The same values without a history; shares the storage. */
  detach(): Tensor;
  /** Calls `hook` with each gradient of this tensor; returns the function that removes it. */
  registerHook(hook: autograd.GradHook): () => void;

  /** `this + other`. */
  add(other: pointwise.Operand): Tensor;
  /** `this - other`. */
  sub(other: pointwise.Operand): Tensor;
  /** `this * other`. */
  mul(other: pointwise.Operand): Tensor;
  /** `this / other`. */
  div(other: pointwise.Operand): Tensor;
  /** Whether equal, elementwise. */
  eq(other: pointwise.Operand): Tensor;
  /** `eˣ`. */
  exp(): Tensor;

  /** The sum over dims. */
  sum(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;
  /** The mean over dims. */
  mean(
    dim?: reduction.Dims | reduction.TypedReduceOptions,
    options?: reduction.TypedReduceOptions,
  ): Tensor;

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
  diagonal(offset?: number | windows.DiagonalOptions, dim1?: number | windows.DiagonalOptions, options?: windows.DiagonalOptions): Tensor;
  /** Sliding windows over a dim, as a new last dim. */
  unfold(dimension: number, size: number, step: number): Tensor;
  /** Any dims and strides on its storage. */
  asStrided(size: readonly number[], stride: readonly number[], storageOffset?: number | null | windows.AsStridedOptions): Tensor;
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
}

/** Methods as functions with `this`. */
type Installed = {
  [K in keyof Methods as Methods[K] extends (...args: never[]) => unknown ? K : never]: Methods[K];
};

const methods: Installed & ThisType<Tensor> = {
  backward(gradient, options) {
    const isTensor = gradient instanceof Tensor;
    autograd.backward(
      this,
      isTensor ? gradient : null,
      (isTensor ? options : gradient as autograd.BackwardOptions) ?? options,
    );
  },
  detach() {
    return new Tensor(this.storage, this.info, this.shape, this.strides, this.offset);
  },
  registerHook(hook) {
    return autograd.registerHook(this, hook);
  },
  add(other) {
    return pointwise.add(this, other);
  },
  sub(other) {
    return pointwise.sub(this, other);
  },
  mul(other) {
    return pointwise.mul(this, other);
  },
  div(other) {
    return pointwise.div(this, other);
  },
  eq(other) {
    return pointwise.eq(this, other);
  },
  exp() {
    return pointwise.exp(this);
  },
  sum(dim, options) {
    return reduction.sum(this, dim, options);
  },
  mean(dim, options) {
    return reduction.mean(this, dim, options);
  },
  clone() {
    return views.clone(this);
  },
  contiguous() {
    return views.contiguous(this);
  },
  view(size) {
    return views.view(this, size);
  },
  reshape(shape) {
    return views.reshape(this, shape);
  },
  permute(dims) {
    return views.permute(this, dims);
  },
  transpose(dim0, dim1) {
    return views.transpose(this, dim0, dim1);
  },
  expand(size) {
    return views.expand(this, size);
  },
  viewAs(other) {
    return views.viewAs(this, other);
  },
  reshapeAs(other) {
    return views.reshapeAs(this, other);
  },
  ravel() {
    return views.ravel(this);
  },
  swapaxes(axis0, axis1) {
    return views.swapaxes(this, axis0, axis1);
  },
  t() {
    return views.t(this);
  },
  movedim(source, destination) {
    return views.movedim(this, source, destination);
  },
  expandAs(other) {
    return views.expandAs(this, other);
  },
  broadcastTo(size) {
    return views.broadcastTo(this, size);
  },
  squeeze(dim) {
    return views.squeeze(this, dim);
  },
  unsqueeze(dim) {
    return views.unsqueeze(this, dim);
  },
  flatten(startDim, endDim) {
    return views.flatten(this, startDim, endDim);
  },
  unflatten(dim, sizes) {
    return views.unflatten(this, dim, sizes);
  },
  narrow(dim, start, length) {
    return windows.narrow(this, dim, start, length);
  },
  select(dim, index) {
    return windows.select(this, dim, index);
  },
  diagonal(offset, dim1, options) {
    return windows.diagonal(this, offset, dim1, options);
  },
  unfold(dimension, size, step) {
    return windows.unfold(this, dimension, size, step);
  },
  asStrided(size, stride, storageOffset) {
    return windows.asStrided(this, size, stride, storageOffset);
  },
  unbind(dim) {
    return windows.unbind(this, dim);
  },
  split(splitSize, dim) {
    return windows.split(this, splitSize, dim);
  },
  chunk(chunks, dim) {
    return windows.chunk(this, chunks, dim);
  },
  tensorSplit(indicesOrSections, dim) {
    return windows.tensorSplit(this, indicesOrSections, dim);
  },
  hsplit(indicesOrSections) {
    return windows.hsplit(this, indicesOrSections);
  },
  vsplit(indicesOrSections) {
    return windows.vsplit(this, indicesOrSections);
  },
  dsplit(indicesOrSections) {
    return windows.dsplit(this, indicesOrSections);
  },
};

for (const [name, value] of Object.entries(methods)) {
  Object.defineProperty(Tensor.prototype, name, { value, configurable: true, writable: true });
}

Object.defineProperties(Tensor.prototype, {
  requiresGrad: {
    get(this: Tensor): boolean {
      return autograd.requiresGrad(this);
    },
    set(this: Tensor, on: boolean) {
      if (on && !this.info.isFloat) {
        throw new DTypeError(
          `Cannot requiresGrad on a ${this.dtype} tensor: only float tensors carry gradients`,
          { op: "requiresGrad" },
        );
      }
      autograd.metaOf(this).requiresGrad = on;
    },
  },
  grad: {
    get(this: Tensor): Tensor | null {
      return this.meta?.grad ?? null;
    },
    set(this: Tensor, value: Tensor | null) {
      autograd.metaOf(this).grad = value;
    },
  },
  isLeaf: {
    get(this: Tensor): boolean {
      return (this.meta?.node ?? null) === null;
    },
  },
});
