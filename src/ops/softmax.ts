/**
 * Softmax and its logarithm over one dim, each one pass forward and one back.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wants } from "../autograd.ts";
import { type DType, type DTypeInfo, dtypeInfo } from "../dtype.ts";
import { DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { wrapDim } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { cast } from "./map.ts";
import { exp, neg } from "./math.ts";
import { mul, sub } from "./pointwise.ts";
import { sum } from "./reduction.ts";

/** What softmax takes by name. */
export interface SoftmaxOptions {
  /** The dtype in which the input is taken and the result given. */
  dtype?: DType | null;
}

/** A softmax over one dim. */
export type Softmax = (input: Tensor, dim: number, options?: SoftmaxOptions) => Tensor;

function form(name: string, log: boolean): Softmax {
  return op<Softmax>(
    `${name}(input, dim, dtype=null)`,
    (x: Tensor, dim: number, dtype: DType | null) => {
      const info: DTypeInfo = dtype === null ? x.info : dtypeInfo(dtype, name);
      if (!info.isFloat) {
        throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float tensors only`, {
          op: name,
          hint: 'pass { dtype: "float32" }',
        });
      }
      const input = x.info.isFloat && x.info.size < info.size ? x : cast(x, info.name);
      const d = wrapDim(dim, x.ndim, name);
      const out = empty(x.shape, info, x.storage.device);
      run(name, OP.softmax, [out], [input], [d, log ? 1 : 0]);
      if (wants(input)) {
        record(name, [input], [out], ([g]) => {
          if (g === null) return [null];
          if (isGradEnabled()) return [cast(composed(g, out, d, log), input.dtype)];
          const gx = empty(input.shape, input.info, input.storage.device);
          run(`the backward of ${name}`, OP.softmax_grad, [gx], [g, out], [d, log ? 1 : 0]);
          return [gx];
        }, [out]);
      }
      return out;
    },
  );
}

/** The gradient in plain ops: for higher orders. */
function composed(g: Tensor, y: Tensor, dim: number, log: boolean): Tensor {
  if (log) return sub(g, mul(exp(y), sum(g, dim, { keepdim: true })));
  return mul(y, sub(g, sum(mul(g, y), dim, { keepdim: true })));
}

/**
 * `exp(x - max) / Σ exp(x - max)` over a dim: each line sums to 1. Types: float, other with `dtype`.
 *
 * ```ts
 * import { softmax, tensor } from "@toro/toro";
 * const p = softmax(tensor([[1, 2, 3]]), 1); // [[0.0900, 0.2447, 0.6652]]
 * ```
 */
export const softmax: Softmax = form("softmax", false);

/** `x - max - log Σ exp(x - max)` over a dim: the logarithm of `softmax`, exact where that underflows. */
export const logSoftmax: Softmax = form("logSoftmax", true);

/** `softmax(-x)`: the least value gets most. */
export const softmin: Softmax = op(
  "softmin(input, dim, dtype=null)",
  (x: Tensor, dim: number, dtype: DType | null) => softmax(neg(x), dim, { dtype }),
);
