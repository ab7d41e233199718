/**
 * Elementwise comparisons, logic and bits, and choices made by a mask. Conditions are bool tensors; none but `where` and
 * `maskedFill` carries a gradient.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, record, recordInplace, wantsAny } from "../autograd.ts";
import { type DType, DTYPES, Float, resultType } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import {
  apart,
  type Binary,
  binary,
  type BinaryForm,
  type BinaryInplace,
  binaryInplace,
  binaryOfTensors,
  checkNumber,
  checkOperand,
  checkTensor,
  copyOf,
  gradFor,
  mapAll,
  mapAllOut,
  mapInto,
  mapOut,
  needs,
  type Operand,
  type Unary,
  unary,
  unaryInplace,
} from "./map.ts";
import { nonzero } from "./masking.ts";
import { abs } from "./math.ts";
import { add, mul, sub } from "./pointwise.ts";

const bool = (): DType => "bool";

// ---- comparisons --------------------------------------------------------------------------------

/** Whether `input = other`, elementwise. Shapes: broadcast. Types: all; the result is bool. */
export const eq: Binary = binary("eq", { opcode: OP.eq, result: bool });
/** `eq` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
export const eq_: BinaryInplace = binaryInplace("eq_", { opcode: OP.eq, result: bool });
/** Whether `input ≠ other`, elementwise. */
export const ne: Binary = binary("ne", { opcode: OP.ne, result: bool });
/** `ne` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
export const ne_: BinaryInplace = binaryInplace("ne_", { opcode: OP.ne, result: bool });
/** Whether `input < other`, elementwise. */
export const lt: Binary = binary("lt", { opcode: OP.lt, result: bool });
/** `lt` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
export const lt_: BinaryInplace = binaryInplace("lt_", { opcode: OP.lt, result: bool });
/** Whether `input ≤ other`, elementwise. */
export const le: Binary = binary("le", { opcode: OP.le, result: bool });
/** `le` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
export const le_: BinaryInplace = binaryInplace("le_", { opcode: OP.le, result: bool });
/** Whether `input > other`, elementwise. */
export const gt: Binary = binary("gt", { opcode: OP.gt, result: bool });
/** `gt` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
export const gt_: BinaryInplace = binaryInplace("gt_", { opcode: OP.gt, result: bool });
/** Whether `input ≥ other`, elementwise. */
export const ge: Binary = binary("ge", { opcode: OP.ge, result: bool });
/** `ge` in place: 1 where it holds, 0 elsewhere, in the tensor's own dtype. */
export const ge_: BinaryInplace = binaryInplace("ge_", { opcode: OP.ge, result: bool });

/** Whether an element is NaN. */
export const isnan: Unary = unary("isnan", { opcode: OP.isnan, result: "bool" });
/** Whether an element is ∞ or -∞. */
export const isinf: Unary = unary("isinf", { opcode: OP.isinf, result: "bool" });
/** Whether an element is a finite number. */
export const isfinite: Unary = unary("isfinite", { opcode: OP.isfinite, result: "bool" });
/** Whether an element's sign is negative; so it is for -0. */
export const signbit: Unary = unary("signbit", { opcode: OP.signbit, result: "bool" });

/** Whether all elements of a bool tensor hold; waits for the values. */
function holdsEverywhere(condition: Tensor): boolean {
  return !(condition.toTypedArray() as Uint8Array).includes(0);
}

/** Whether two tensors have one shape and equal elements. Waits for the values. */
export const equal: (input: Tensor, other: Tensor) => boolean = op(
  "equal(input, other)",
  (a: Tensor, b: Tensor) => {
    checkTensor("equal", b, "other");
    checkOperand("equal", a, b);
    return sameShape(a.shape, b.shape) && holdsEverywhere(eq(a, b));
  },
);

/** What `isclose` and `allclose` take by name. */
export interface CloseOptions {
  /** Relative tolerance; default 1e-5. */
  rtol?: number;
  /** Absolute tolerance; default 1e-8. */
  atol?: number;
  /** Whether two NaN are close. */
  equalNan?: boolean;
}

const CLOSE = "(input, other, rtol=0.00001, atol=1e-8, equalNan=false)";

/** |a - b| ≤ atol + rtol · |b|, or equal, or both NaN. */
function close(
  name: string,
  a: Tensor,
  b: Tensor,
  rtol: number,
  atol: number,
  equalNan: boolean,
): Tensor {
  checkTensor(name, b, "other");
  checkOperand(name, a, b);
  checkNumber(name, rtol, "rtol");
  checkNumber(name, atol, "atol");
  if (a.info !== b.info) {
    throw new DTypeError(`Cannot ${name} ${show(a)} and ${show(b)}: their dtypes differ`, {
      op: name,
    });
  }
  if (rtol < 0 || atol < 0) {
    throw new ArgumentError(
      `Cannot ${name} with rtol ${rtol} and atol ${atol}: neither may be negative`,
      { op: name },
    );
  }
  const [x, y] = [a, b].map((t) => new Tensor(t.storage, t.info, t.shape, t.strides, t.offset));
  let result = eq(x, y);
  if (equalNan) result = logicalOr(result, logicalAnd(isnan(x), isnan(y)));
  if (x.info === DTYPES.bool || (rtol === 0 && atol === 0)) return result;
  const room = add(mul(abs(y), new Float(rtol)), new Float(atol));
  const distance = abs(sub(x, y));
  return logicalOr(result, logicalAnd(isfinite(distance), le(distance, room)));
}

/** Whether elements are close. */
export type IsClose = (
  input: Tensor,
  other: Tensor,
  rtol?: number | CloseOptions,
  atol?: number | CloseOptions,
  options?: CloseOptions,
) => Tensor;

/** Whether `|input - other| ≤ atol + rtol · |other|`, elementwise. */
export const isclose: IsClose = op(
  `isclose${CLOSE}`,
  (a: Tensor, b: Tensor, rtol: number, atol: number, equalNan: boolean) =>
    close("isclose", a, b, rtol, atol, equalNan),
);

/** Whether all elements are close. */
export type AllClose = (
  input: Tensor,
  other: Tensor,
  rtol?: number | CloseOptions,
  atol?: number | CloseOptions,
  options?: CloseOptions,
) => boolean;

/** Whether `|input - other| ≤ atol + rtol · |other|` everywhere. Waits for the values. */
export const allclose: AllClose = op(
  `allclose${CLOSE}`,
  (a: Tensor, b: Tensor, rtol: number, atol: number, equalNan: boolean) =>
    holdsEverywhere(close("allclose", a, b, rtol, atol, equalNan)),
);

// ---- logic and bits -----------------------------------------------------------------------------

/** Whether an element is 0. Types: all; the result is bool. */
export const logicalNot: Unary = unary("logicalNot", { opcode: OP.logical_not, result: "bool" });
/** `logicalNot` in place, as 0 and 1 of the tensor's own dtype. */
export const logicalNot_: Unary = unaryInplace("logicalNot_", {
  opcode: OP.logical_not,
  result: "bool",
});

function logical(opcode: number): BinaryForm {
  return { opcode, result: bool };
}

/** Whether both elements differ from 0. */
export const logicalAnd: Binary = binaryOfTensors("logicalAnd", logical(OP.logical_and));
/** `logicalAnd` in place. */
export const logicalAnd_: BinaryInplace = binaryInplace("logicalAnd_", logical(OP.logical_and));
/** Whether either element differs from 0. */
export const logicalOr: Binary = binaryOfTensors("logicalOr", logical(OP.logical_or));
/** `logicalOr` in place. */
export const logicalOr_: BinaryInplace = binaryInplace("logicalOr_", logical(OP.logical_or));
/** Whether one element differs from 0 and the other does not. */
export const logicalXor: Binary = binaryOfTensors("logicalXor", logical(OP.logical_xor));
/** `logicalXor` in place. */
export const logicalXor_: BinaryInplace = binaryInplace("logicalXor_", logical(OP.logical_xor));

function refuseFloats(name: string, a: Operand, b: Operand, promoted: DType): void {
  if (DTYPES[promoted].isFloat) {
    throw new DTypeError(
      `Cannot ${name} ${show(a)} and ${show(b)}: bits are of integers and bool`,
      { op: name },
    );
  }
}

function bits(opcode: number): BinaryForm {
  return { opcode, refuse: refuseFloats };
}

/** Each bit inverted; bool: whether false. */
export const bitwiseNot: Unary = op("bitwiseNot(input)", (x: Tensor) => {
  refuseFloats("bitwiseNot", x, 0, x.dtype);
  return mapInto("bitwiseNot", inverting(x), x, null, x.info, x.info);
});
/** `bitwiseNot` in place. */
export const bitwiseNot_: Unary = op("bitwiseNot_(input)", (x: Tensor) => {
  refuseFloats("bitwiseNot_", x, 0, x.dtype);
  checkInplace("bitwiseNot_", x, []);
  mapOut("bitwiseNot_", inverting(x), x, x, null, x.info);
  recordInplace("bitwiseNot_", x, [], () => [null], []);
  return x;
});
const inverting = (x: Tensor): number => x.info === DTYPES.bool ? OP.logical_not : OP.bitwise_not;
/** Bits that both have. Types: integers and bool. */
export const bitwiseAnd: Binary = binary("bitwiseAnd", bits(OP.bitwise_and));
/** `bitwiseAnd` in place. */
export const bitwiseAnd_: BinaryInplace = binaryInplace("bitwiseAnd_", bits(OP.bitwise_and));
/** Bits that either has. */
export const bitwiseOr: Binary = binary("bitwiseOr", bits(OP.bitwise_or));
/** `bitwiseOr` in place. */
export const bitwiseOr_: BinaryInplace = binaryInplace("bitwiseOr_", bits(OP.bitwise_or));
/** Bits that one of both has. */
export const bitwiseXor: Binary = binary("bitwiseXor", bits(OP.bitwise_xor));
/** `bitwiseXor` in place. */
export const bitwiseXor_: BinaryInplace = binaryInplace("bitwiseXor_", bits(OP.bitwise_xor));

function shift(opcode: number): BinaryForm {
  return {
    opcode,
    refuse(name, a, b, promoted) {
      refuseFloats(name, a, b, promoted);
      if (promoted === "bool") {
        throw new DTypeError(`Cannot ${name} ${show(a)} by ${show(b)}: bool has no bits to shift`, {
          op: name,
        });
      }
    },
  };
}

/** `input · 2^other` on the bits; 0 for a shift past the width. Types: integers. */
export const bitwiseLeftShift: Binary = binary("bitwiseLeftShift", shift(OP.shift_left));
/** `⌊input / 2^other⌋` on the bits; the sign for a shift past the width. Types: integers. */
export const bitwiseRightShift: Binary = binary("bitwiseRightShift", shift(OP.shift_right));
/** `bitwiseLeftShift` in place. */
export const bitwiseLeftShift_: BinaryInplace = binaryInplace(
  "bitwiseLeftShift_",
  shift(OP.shift_left),
);
/** `bitwiseRightShift` in place. */
export const bitwiseRightShift_: BinaryInplace = binaryInplace(
  "bitwiseRightShift_",
  shift(OP.shift_right),
);

// ---- choices ------------------------------------------------------------------------------------

function checkMask(name: string, mask: unknown, what: string): asserts mask is Tensor {
  checkTensor(name, mask, what);
  if (mask.info !== DTYPES.bool && !(name === "where" && mask.info === DTYPES.uint8)) {
    throw new DTypeError(`Cannot ${name} with ${what} ${show(mask)}: it must be a bool tensor`, {
      op: name,
      hint: `${what}.to("bool")`,
    });
  }
}

/** `condition ? input : other`, elementwise; either value may be a number. */
export interface Where {
  (condition: Tensor, input: Operand, other: Operand): Tensor;
  /** The indices of the elements that are not zero, one tensor for each dim. */
  (condition: Tensor): Tensor[];
}

type AnyWhere = (condition: Tensor, input?: Operand, other?: Operand) => Tensor | Tensor[];

/**
 * `condition ? input : other`, elementwise. Shapes: all three broadcast. Types: condition bool, the values promoted.
 *
 * ```ts
 * import { tensor, where } from "@toro/toro";
 * const x = tensor([-1, 2, -3]);
 * where(x.gt(0), x, 0).toArray(); // [0, 2, 0]
 * ```
 */
export const where: Where = op<AnyWhere>(
  "where(condition, self=null, other=null)",
  (mask: Tensor, a: Operand | null, b: Operand | null) => {
    if (a === null && b === null) return nonzero(mask, { asTuple: true });
    if (a === null || b === null) {
      throw new ArgumentError("Cannot where: input and other go together", { op: "where" });
    }
    checkMask("where", mask, "condition");
    checkOperand("where", mask, a, "input");
    checkOperand("where", mask, b, "other");
    const info = DTYPES[resultType([a, b])];
    const out = mapAll("where", OP.select, [mask, a, b], info, info);
    const tensors = [a, b].filter((o) => o instanceof Tensor);
    if (wantsAny(tensors)) {
      record("where", tensors, [out], ([g]) => {
        if (g === null) return [];
        const grads: (Tensor | null)[] = [];
        if (a instanceof Tensor) grads.push(needs(a) ? gradFor(where(mask, g, ZERO), a) : null);
        if (b instanceof Tensor) grads.push(needs(b) ? gradFor(where(mask, ZERO, g), b) : null);
        return grads;
      }, [mask]);
    }
    return out;
  },
) as Where;

const ZERO = new Float(0);

/** A tensor with one value where a mask holds. */
export type MaskedFill = (input: Tensor, mask: Tensor, value: Operand) => Tensor;

function checkFill(name: string, x: Tensor, mask: Tensor, value: Operand): void {
  checkMask(name, mask, "mask");
  checkOperand(name, x, mask, "mask");
  checkOperand(name, x, value, "value");
  if (value instanceof Tensor && value.ndim !== 0) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} with value ${
        shapeText(value.shape)
      }: it must be a number or have no dims`,
      { op: name },
    );
  }
}

/** The gradient for the value: the sum of what came to where the mask held. */
function valueGrad(g: Tensor, mask: Tensor, value: Operand): Tensor | null {
  return needs(value) ? gradFor(where(mask, g, ZERO), value) : null;
}

/** `input` with `value` where `mask` holds. Shapes: broadcast. Types: mask bool; the value takes the input's dtype. */
export const maskedFill: MaskedFill = op(
  "maskedFill(input, mask, value)",
  (x: Tensor, mask: Tensor, value: Operand) => {
    checkFill("maskedFill", x, mask, value);
    const out = mapAll("maskedFill", OP.select, [mask, value, x], x.info, x.info);
    const inputs = value instanceof Tensor ? [x, value] : [x];
    if (wantsAny(inputs)) {
      record("maskedFill", inputs, [out], ([g]) => {
        if (g === null) return [];
        return [
          needs(x) ? gradFor(where(mask, ZERO, g), x) : null,
          ...(value instanceof Tensor ? [valueGrad(g, mask, value)] : []),
        ];
      }, [mask]);
    }
    return out;
  },
);

/** `maskedFill` in place. */
export const maskedFill_: MaskedFill = op(
  "maskedFill_(input, mask, value)",
  (x: Tensor, mask: Tensor, value: Operand) => {
    checkFill("maskedFill_", x, mask, value);
    if (!sameShape(broadcastShapes(x.shape, mask.shape, "maskedFill_"), x.shape)) {
      throw new ShapeError(
        `Cannot maskedFill_ ${shapeText(x.shape)} by a mask ${
          shapeText(mask.shape)
        }: the result would not keep the shape`,
        { op: "maskedFill_" },
      );
    }
    const inputs = value instanceof Tensor ? [value] : [];
    checkInplace("maskedFill_", x, inputs);
    const recording = wantsAny([x, ...inputs]);
    const used = apart(mask, x, "maskedFill_");
    // One value is read before anything is written.
    const held = value instanceof Tensor && value.storage === x.storage ? copyOf(value) : value;
    mapAllOut(
      "maskedFill_",
      OP.select,
      x,
      [used, held, x],
      x.info,
    );
    recordInplace("maskedFill_", x, inputs, ([g]) => {
      if (g === null) return [];
      return [
        gradFor(where(used, ZERO, g), x),
        ...(value instanceof Tensor ? [valueGrad(g, used, value)] : []),
      ];
    }, recording && mask.storage !== x.storage ? [mask] : []);
    return x;
  },
);
