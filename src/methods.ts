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
import * as views from "./ops/view.ts";
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
