/**
 * Elementwise arithmetic of three operands: interpolation, and sums with products and quotients.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, record, recordInplace, wantsAny } from "../autograd.ts";
import { DTYPES, Float, resultType, type Scalar, scalarCategory } from "../dtype.ts";
import { DTypeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { Tensor } from "../tensor.ts";
import {
  apartOperand,
  checkNumber,
  checkOperand,
  checkResult,
  checkTensor,
  copyBefore,
  gradFor,
  mapAll,
  mapAllOut,
  needs,
  numberOf,
  type Operand,
  word,
} from "./map.ts";
import { neg, square } from "./math.ts";
import { add, div, mul, sub } from "./pointwise.ts";

// ---- functions of three -------------------------------------------------------------------------

/** `input + weight · (end - input)`; the weight is a number or a tensor. */
export type Lerp = (input: Tensor, end: Tensor, weight: Operand) => Tensor;

function lerpOp(name: string, inplace: boolean): Lerp {
  return op<Lerp>(`${name}(input, end, weight)`, (x: Tensor, end: Tensor, weight: Operand) => {
    checkTensor(name, end, "end");
    checkOperand(name, x, end, "end");
    checkOperand(name, x, weight, "weight");
    if (
      !x.info.isFloat || end.info !== x.info || (weight instanceof Tensor && weight.info !== x.info)
    ) {
      throw new DTypeError(
        `Cannot ${name} ${show(x)} to ${show(end)} by ${
          show(weight)
        }: all must have one float dtype`,
        { op: name },
      );
    }
    const weights = weight instanceof Tensor ? [weight] : [];
    const start = inplace && wantsAny([x, end, ...weights]) ? copyBefore(x) : x;
    const wanted = needs(x);
    const grads = ([g]: readonly (Tensor | null)[]) => {
      if (g === null) return [];
      const w = weight instanceof Tensor ? weight : new Float(numberOf(weight));
      const rest = w instanceof Tensor ? add(neg(w), 1) : new Float(1 - w.value);
      return [
        wanted ? gradFor(mul(g, rest), x) : null,
        needs(end) ? gradFor(mul(g, w), end) : null,
        ...weights.map((t) => needs(t) ? gradFor(mul(g, sub(end, start)), t) : null),
      ];
    };
    return ternary(name, OP.lerp, [x, end, weight], [], inplace, grads, [end, ...weights]);
  });
}

/** Runs a recorded op of three operands; `saved` are those that its gradients read, beside the first. */
function ternary(
  name: string,
  opcode: number,
  operands: readonly [Tensor, Operand, Operand],
  scalars: readonly (number | bigint)[],
  inplace: boolean,
  grads: (g: readonly (Tensor | null)[]) => (Tensor | null)[],
  saved: readonly Tensor[],
): Tensor {
  const [x, ...rest] = operands;
  const info = DTYPES[resultType(operands)];
  const tensors = rest.filter((o) => o instanceof Tensor);
  if (!inplace) {
    const out = mapAll(name, opcode, operands, info, info, scalars);
    if (wantsAny([x, ...tensors])) record(name, [x, ...tensors], [out], grads, [x, ...saved]);
    return out;
  }
  checkResult(name, x, info.name, rest);
  checkInplace(name, x, tensors);
  const recording = wantsAny([x, ...tensors]);
  mapAllOut(name, opcode, x, [x, ...rest.map((o) => apartOperand(o, x, name))], info, scalars);
  recordInplace(name, x, tensors, grads, recording ? saved : []);
  return x;
}

/** `input + weight · (end - input)`. Shapes: broadcast. Types: one float dtype. */
export const lerp: Lerp = lerpOp("lerp", false);
/** `lerp` in place. */
export const lerp_: Lerp = lerpOp("lerp_", true);

/** What `addcmul` and `addcdiv` take by name. */
export interface ValueOptions {
  /** Multiplies the product or quotient; default 1. */
  value?: Scalar;
}
/** `input + value · tensor1 ∘ tensor2`. */
export type AddCombined = (
  input: Tensor,
  tensor1: Tensor,
  tensor2: Tensor,
  value?: Scalar | ValueOptions,
) => Tensor;

function combined(name: string, quotient: boolean, inplace: boolean): AddCombined {
  return op<AddCombined>(
    `${name}(input, tensor1, tensor2, value=1)`,
    (x: Tensor, a: Tensor, b: Tensor, value: Scalar) => {
      checkTensor(name, a, "tensor1");
      checkTensor(name, b, "tensor2");
      checkOperand(name, x, a, "tensor1");
      checkOperand(name, x, b, "tensor2");
      checkNumber(name, value, "value");
      const info = DTYPES[resultType([x, a, b])];
      if (scalarCategory(value) > info.category || (quotient && !info.isFloat)) {
        throw new DTypeError(
          `Cannot ${name} ${show(x)}, ${show(a)} and ${show(b)} with value ${
            numberOf(value)
          }: the result is ${info.name}`,
          { op: name },
        );
      }
      const wanted = needs(x);
      const v = typeof value === "bigint" ? value : new Float(numberOf(value));
      const grads = ([g]: readonly (Tensor | null)[]) => {
        if (g === null) return [];
        const scaled = numberOf(v) === 1 ? g : mul(g, v);
        const ga = () => quotient ? div(scaled, b) : mul(scaled, b);
        const gb = () => quotient ? neg(div(mul(scaled, a), square(b))) : mul(scaled, a);
        return [
          wanted ? gradFor(g, x) : null,
          needs(a) ? gradFor(ga(), a) : null,
          needs(b) ? gradFor(gb(), b) : null,
        ];
      };
      const opcode = quotient ? OP.addcdiv : OP.addcmul;
      return ternary(name, opcode, [x, a, b], [word(v, info)], inplace, grads, [a, b]);
    },
  );
}

/** `input + value · tensor1 · tensor2`. Shapes: broadcast. */
export const addcmul: AddCombined = combined("addcmul", false, false);
/** `addcmul` in place. */
export const addcmul_: AddCombined = combined("addcmul_", false, true);
/** `input + value · tensor1 / tensor2`. Shapes: broadcast. Types: floats. */
export const addcdiv: AddCombined = combined("addcdiv", true, false);
/** `addcdiv` in place. */
export const addcdiv_: AddCombined = combined("addcdiv_", true, true);
