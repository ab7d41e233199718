/**
 * Questions about tensors and dtypes, and the few makers that begin with an existing tensor. What gives no tensor has no
 * gradient.
 *
 * @module
 */
import {
  type DType,
  dtypeInfo,
  DTYPES,
  promoteTypes as promoted,
  resultType as joined,
} from "../dtype.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { type NestedValues, tensor } from "./creation.ts";
import { checkOperand, checkTensor, type Operand } from "./map.ts";
import { vander as powers } from "./matrix_functions.ts";
import { fill_ } from "./filling.ts";
import { flip } from "./rearranging.ts";
import { transpose } from "./view.ts";
import { asStrided } from "./window.ts";

/** Whether a value is a tensor. */
export const isTensor: (obj: unknown) => boolean = op(
  "isTensor(obj)",
  (obj: unknown) => obj instanceof Tensor,
);
/** Whether a tensor's dtype is a float one. */
export const isFloatingPoint: (input: Tensor) => boolean = op(
  "isFloatingPoint(input)",
  (x: Tensor) => x.info.isFloat,
);
/** Whether a tensor's dtype has negative numbers. */
export const isSigned: (input: Tensor) => boolean = op(
  "isSigned(input)",
  (x: Tensor) => x.dtype !== "uint8" && x.dtype !== "bool",
);
/** Whether the one element of a tensor differs from 0. Waits for the value. */
export const isNonzero: (input: Tensor) => boolean = op("isNonzero(input)", (x: Tensor) => {
  if (x.numel !== 1) {
    throw new ShapeError(
      `Cannot isNonzero ${shapeText(x.shape)}: it has ${x.numel} elements, not 1`,
      { op: "isNonzero" },
    );
  }
  return Number(x.item()) !== 0;
});
/** Whether two tensors have one shape. */
export const isSameSize: (input: Tensor, other: Tensor) => boolean = op(
  "isSameSize(input, other)",
  (x: Tensor, other: Tensor) => {
    checkTensor("isSameSize", other, "other");
    return sameShape(x.shape, other.shape);
  },
);

/** Whether PyTorch's rules let a dtype become another one in place: floats no integers, numbers no bool. */
export const canCast: (from_: DType, to: DType) => boolean = op(
  "canCast(from_, to)",
  (from: DType, to: DType) => {
    const [a, b] = [dtypeInfo(from, "canCast"), dtypeInfo(to, "canCast")];
    return (!a.isFloat || b.isFloat) && (a === DTYPES.bool || b !== DTYPES.bool);
  },
);
/** The least dtype that both can become. */
export const promoteTypes: (type1: DType, type2: DType) => DType = op(
  "promoteTypes(type1, type2)",
  (a: DType, b: DType) =>
    promoted(dtypeInfo(a, "promoteTypes").name, dtypeInfo(b, "promoteTypes").name),
);
/** The dtype that an op of two operands computes in; either may be a number. */
export const resultType: (tensor1: Operand, tensor2: Operand) => DType = op(
  "resultType(tensor1, tensor2)",
  (a: Operand, b: Operand) => {
    if (a instanceof Tensor) checkOperand("resultType", a, b, "tensor2");
    else {
      checkTensor("resultType", b, "one of the operands");
      checkOperand("resultType", b, a, "tensor1");
    }
    return joined([a, b]);
  },
);

/** The last two dims exchanged, as `x.mT`. */
export const adjoint: (input: Tensor) => Tensor = op(
  "adjoint(input)",
  (x: Tensor) => x.ndim === 0 ? x : transpose(x, -2, -1),
);
/** The same values without a history; shares the storage. */
export const detach: (input: Tensor) => Tensor = op("detach(input)", (x: Tensor) => x.detach());

/** What `asTensor` takes by name. */
export interface AsTensorOptions {
  /** The element type; default: that of the data. */
  dtype?: DType | null;
  /** Where the result lies. */
  device?: string | null;
}
/** A tensor of data; a tensor that is so already is given back. */
export const asTensor: (data: Tensor | NestedValues, options?: AsTensorOptions) => Tensor = op(
  "asTensor(data, dtype=null, device=null)",
  (data: Tensor | NestedValues, dtype: DType | null, device: string | null) =>
    data instanceof Tensor ? data.to({ dtype, device }) : tensor(data, { dtype, device }),
);

/** What `vander` takes by name. */
export interface VanderOptions {
  /** How many powers; default: as many as elements. */
  N?: number | null;
  /** From the power 0 up; default: down to it. */
  increasing?: boolean;
}
/** Powers of each element of a vector, the highest first: (K) → (K, N). */
export const vander: (
  x: Tensor,
  N?: number | null | VanderOptions,
  options?: VanderOptions,
) => Tensor = op(
  "vander(x, N=null, increasing=false)",
  (x: Tensor, count: number | null, increasing: boolean) => {
    checkTensor("vander", x, "x");
    if (x.ndim !== 1) {
      throw new ShapeError(`Cannot vander ${shapeText(x.shape)}: it takes a vector`, {
        op: "vander",
      });
    }
    const rising = powers(x, count);
    return increasing ? rising : flip(rising, [1]);
  },
);

/** Sets the main diagonal of a matrix, or of a tensor of equal dims, to one number. */
export const fillDiagonal_: (
  input: Tensor,
  fillValue: number,
  options?: { wrap?: boolean },
) => Tensor = op(
  "fillDiagonal_(input, fillValue, wrap=false)",
  (x: Tensor, value: number, wrap: boolean) => {
    if (x.ndim < 2 || (x.ndim > 2 && x.shape.some((n) => n !== x.shape[0]))) {
      throw new ShapeError(
        `Cannot fillDiagonal_ ${shapeText(x.shape)}: it takes a matrix, or dims of one size`,
        { op: "fillDiagonal_" },
      );
    }
    if (typeof value !== "number") {
      throw new ArgumentError(`Cannot fillDiagonal_ by ${show(value)}: it must be a number`, {
        op: "fillDiagonal_",
      });
    }
    const step = x.strides.reduce((a, b) => a + b, 0), n = Math.min(...x.shape);
    fill_(asStrided(x, [n], [step]), value);
    const [rows, columns] = x.shape;
    if (wrap && x.ndim === 2 && rows > columns + 1) {
      // The next diagonals of a tall matrix begin one row below the last one's end.
      for (let from = columns + 1; from < rows; from += columns + 1) {
        const size = Math.min(columns, rows - from);
        fill_(
          asStrided(x, [size], [step], { storageOffset: x.offset + from * x.strides[0] }),
          value,
        );
      }
    }
    return x;
  },
);
