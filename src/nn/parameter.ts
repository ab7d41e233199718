/**
 * The two kinds of tensor that a module owns: parameters, which are trained, and buffers, which are not.
 *
 * @module
 */
import { metaOf } from "../autograd.ts";
import { ArgumentError, DTypeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { adoptWindow, Tensor } from "../tensor.ts";

/** Options of a `Parameter`. */
export interface ParameterOptions {
  /** Whether gradients are wanted for it; default true. */
  requiresGrad?: boolean;
}

/**
 * A tensor that is trained: a module finds it in its fields, an optimiser changes it in place. It shares its memory with
 * the tensor that it is made of, and stays the same object when the module is moved, cast or loaded.
 *
 * Errors: DTypeError when an integer tensor is to require gradients.
 *
 * ```ts
 * import { nn, ones } from "@toro/toro";
 *
 * class Scale extends nn.Module {
 *   factor = new nn.Parameter(ones([3]));
 *   override forward(x: ReturnType<typeof ones>): ReturnType<typeof ones> {
 *     return x.mul(this.factor);
 *   }
 * }
 * console.log(new Scale().parameters().length); // 1
 * ```
 */
export class Parameter extends Tensor {
  readonly #parameter = true;

  /** Makes a parameter of a tensor's values, without its history. */
  constructor(data: Tensor, options?: ParameterOptions) {
    const [tensor, requiresGrad] = bind(PARAMETER, [data, options]) as [Tensor, boolean];
    checkTensor(tensor, "Parameter");
    super(tensor.storage, tensor.info, tensor.shape, tensor.strides, tensor.offset);
    if (requiresGrad && !tensor.info.isFloat) {
      throw new DTypeError(
        `Cannot make Parameter of ${show(tensor)}: only float tensors carry gradients`,
        {
          op: "Parameter",
          hint: "pass { requiresGrad: false }, or make it an nn.Buffer",
        },
      );
    }
    metaOf(this).requiresGrad = requiresGrad;
    this.storage.kept = true;
  }
}

const PARAMETER = declare(Parameter, "Parameter(data, requiresGrad=true)");

/** Options of a `Buffer`. */
export interface BufferOptions {
  /** Whether it belongs to the module's state; default true. */
  persistent?: boolean;
}

/**
 * A tensor that belongs to a module but is not trained, such as running statistics. It moves and is saved with the
 * module; `{ persistent: false }` keeps it out of `stateDict()`.
 */
export class Buffer extends Tensor {
  readonly #buffer = true;
  /** Whether it belongs to the module's state. */
  readonly persistent: boolean;

  /** Makes a buffer of a tensor's values, without its history. */
  constructor(data: Tensor, options?: BufferOptions) {
    const [tensor, persistent] = bind(BUFFER, [data, options]) as [Tensor, boolean];
    checkTensor(tensor, "Buffer");
    super(tensor.storage, tensor.info, tensor.shape, tensor.strides, tensor.offset);
    this.persistent = persistent;
    this.storage.kept = true;
  }
}

const BUFFER = declare(Buffer, "Buffer(data, persistent=true)");

function checkTensor(data: unknown, name: string): asserts data is Tensor {
  if (data instanceof Tensor) return;
  throw new ArgumentError(`Cannot make ${name} of ${show(data)}: it must be a tensor`, {
    op: name,
  });
}

/** Lets a parameter or buffer have another tensor's memory and type while it stays the same object. */
export function adopt(target: Tensor, from: Tensor): void {
  adoptWindow(target, from);
  // No scope around frees what a module owns.
  from.storage.kept = true;
}
