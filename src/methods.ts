/**
 * The methods of Tensor, by family in src/methods/: each one line that calls an op. Here are autograd's, the properties, and
 * how a tensor is printed. Everything is installed on the prototype; every entry point imports this module first.
 *
 * @module
 */
import "./ops/engine.ts";
import * as autograd from "./autograd.ts";
import { backward, type BackwardOptions } from "./backward.ts";
import { AutogradError, DTypeError } from "./errors.ts";
import type { AlgebraMethods } from "./methods/algebra.ts";
import type { ElementwiseMethods } from "./methods/elementwise.ts";
import type { FunctionMethods } from "./methods/functions.ts";
import type { IndexingMethods } from "./methods/indexing.ts";
import type { MakingMethods } from "./methods/making.ts";
import type { ReductionMethods } from "./methods/reductions.ts";
import type { ShapeMethods } from "./methods/shapes.ts";
import "./methods/algebra.ts";
import "./methods/elementwise.ts";
import "./methods/functions.ts";
import "./methods/indexing.ts";
import "./methods/making.ts";
import "./methods/reductions.ts";
import "./methods/shapes.ts";
import * as views from "./ops/view.ts";
import * as windows from "./ops/window.ts";
import { format } from "./print.ts";
import { Tensor } from "./tensor.ts";

/** The methods that ops give a tensor. */
export interface Methods
  extends
    AlgebraMethods,
    ElementwiseMethods,
    FunctionMethods,
    IndexingMethods,
    MakingMethods,
    ReductionMethods,
    ShapeMethods {
  /** As PyTorch prints it. */
  toString(): string;
  /** Its rows: each index of dim 0 as a tensor. */
  [Symbol.iterator](): Iterator<Tensor>;
  /** Whether gradients are wanted for it; setting it makes a leaf want them. */
  requiresGrad: boolean;
  /** The gradient that backward left, or null. */
  grad: Tensor | null;
  /** Bytes of one element. */
  readonly itemsize: number;
  /** Bytes of all elements. */
  readonly nbytes: number;
  /** A matrix transposed: all dims reversed. */
  readonly T: Tensor;
  /** The last two dims exchanged. */
  readonly mT: Tensor;
  /** Whether no op recorded its making. */
  readonly isLeaf: boolean;
  /** Adds gradients of this scalar to the `grad` of every leaf that it came from. */
  backward(
    gradient?: Tensor | null | BackwardOptions,
    options?: BackwardOptions,
  ): void;
  /** The same values without a history; shares the storage. */
  detach(): Tensor;
  /** Says whether gradients are wanted for it, and returns it. */
  requiresGrad_(requiresGrad?: boolean): Tensor;
  /** Lets `backward` leave the gradient of this tensor in `grad`, though an op made it. */
  retainGrad(): void;
  /** Whether `retainGrad` was called on a tensor that an op made. */
  readonly retainsGrad: boolean;
  /** Calls `hook` with each gradient of this tensor, which it may replace; returns the function that removes it. */
  registerHook(hook: autograd.GradHook): () => void;
  /** Calls `hook` with this leaf each time that backward has added to its `grad`; returns the function that removes it. */
  registerPostAccumulateGradHook(hook: (leaf: Tensor) => void): () => void;
}

/** Autograd's methods, as functions with `this`. */
type Recorded = Pick<
  Methods,
  | "backward"
  | "detach"
  | "requiresGrad_"
  | "retainGrad"
  | "registerHook"
  | "registerPostAccumulateGradHook"
>;

const recorded: Recorded & ThisType<Tensor> = {
  backward(gradient, options) {
    const isTensor = gradient instanceof Tensor;
    backward(
      this,
      isTensor ? gradient : null,
      (isTensor ? options : gradient as BackwardOptions) ?? options,
    );
  },
  detach() {
    return new Tensor(this.storage, this.info, this.shape, this.strides, this.offset);
  },
  requiresGrad_(requiresGrad = true) {
    this.requiresGrad = requiresGrad;
    return this;
  },
  retainGrad() {
    autograd.retainGrad(this);
  },
  registerHook(hook) {
    return autograd.registerHook(this, hook);
  },
  registerPostAccumulateGradHook(hook) {
    return autograd.registerPostAccumulateGradHook(this, hook);
  },
};

for (const [name, value] of Object.entries(recorded)) {
  Object.defineProperty(Tensor.prototype, name, { value, configurable: true, writable: true });
}

Object.defineProperties(Tensor.prototype, {
  itemsize: {
    get(this: Tensor): number {
      return this.info.size;
    },
  },
  nbytes: {
    get(this: Tensor): number {
      return this.numel * this.info.size;
    },
  },
  T: {
    get(this: Tensor): Tensor {
      return views.permute(this, this.shape.map((_, d) => this.ndim - 1 - d));
    },
  },
  mT: {
    get(this: Tensor): Tensor {
      return views.transpose(this, -2, -1);
    },
  },
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
      if (!on && !this.isLeaf) {
        throw new AutogradError(
          "Cannot requiresGrad = false on a tensor that an op made: only leaves can be changed",
          { op: "requiresGrad", hint: "detach() gives a tensor without the history" },
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
  retainsGrad: {
    get(this: Tensor): boolean {
      return this.meta?.retains ?? false;
    },
  },
  isLeaf: {
    get(this: Tensor): boolean {
      return (this.meta?.node ?? null) === null;
    },
  },
});

const shown: Record<string | symbol, () => unknown> & ThisType<Tensor> = {
  toString() {
    return format(this);
  },
  [Symbol.for("Deno.customInspect")]() {
    return format(this);
  },
  [Symbol.for("Jupyter.display")]() {
    return { "text/plain": format(this) };
  },
  [Symbol.iterator]() {
    return windows.unbind(this)[Symbol.iterator]();
  },
};

for (const name of Reflect.ownKeys(shown)) {
  Object.defineProperty(Tensor.prototype, name, {
    value: shown[name],
    configurable: true,
    writable: true,
  });
}
