/**
 * Elementwise ops: arithmetic, comparison, mathematical functions. Each takes operands of any strides and dtypes,
 * broadcasts, and computes in the promoted dtype without copying an operand.
 *
 * @module
 */
import { run, runFlat } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, record, recordInplace, wants } from "../autograd.ts";
import {
  type DType,
  type DTypeInfo,
  DTYPES,
  Float,
  getDefaultDtype,
  isScalar,
  promoteTypes,
  resultType,
  type Scalar,
} from "../dtype.ts";
import { ArgumentError, DeviceError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, broadcastStrides, sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { sumTo } from "./reduction.ts";

/** An operand of an elementwise op: a tensor, or a number that broadcasts. */
export type Operand = Tensor | Scalar;
/** An op of one tensor. */
export type Unary = (input: Tensor) => Tensor;
/** An op of a tensor and a tensor or number. */
export type Binary = (input: Tensor, other: Operand) => Tensor;

/** A number as an instruction carries it: exact for int64. */
export function word(value: Scalar, compute: DTypeInfo): number | bigint {
  const x = value instanceof Float ? value.value : value;
  if (compute.isFloat) return Number(x);
  return typeof x === "bigint" ? x : BigInt(Math.trunc(Number(x)));
}

/** A tensor stretched to a shape, without autograd: an operand's view. */
export function stretched(t: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(t.shape, shape)) return t;
  return new Tensor(t.storage, t.info, shape, broadcastStrides(t.shape, t.strides, shape), t.offset);
}

/** Fails unless an operand is a tensor on the same device, or a number. */
export function checkOperand(name: string, input: Tensor, other: unknown, what = "other"): void {
  if (other instanceof Tensor) {
    if (other.storage.device !== input.storage.device) {
      throw new DeviceError(`Cannot ${name} input on ${input.device} and ${what} on ${other.device}: they must be on one device`, { op: name });
    }
  } else if (!isScalar(other)) {
    throw new ArgumentError(`Cannot ${name} ${show(input)} and ${show(other)}: ${what} must be a tensor or a number`, { op: name });
  }
}

/** Runs an elementwise opcode of one or two operands into a new tensor. */
export function mapInto(
  name: string,
  opcode: number,
  a: Operand,
  b: Operand | null,
  compute: DTypeInfo,
  outInfo: DTypeInfo,
): Tensor {
  const ta = a instanceof Tensor ? a : null, tb = b instanceof Tensor ? b : null;
  const shape = ta === null ? tb!.shape : tb === null ? ta.shape : broadcastShapes(ta.shape, tb.shape, name);
  const out = empty(shape, outInfo, (ta ?? tb!).storage.device);
  mapOut(name, opcode, out, a, b, compute);
  return out;
}

/** Runs an elementwise opcode of one or two operands into a given tensor, to whose shape they broadcast. */
export function mapOut(name: string, opcode: number, out: Tensor, a: Operand, b: Operand | null, compute: DTypeInfo): void {
  const ta = a instanceof Tensor ? a : null, tb = b instanceof Tensor ? b : null;
  const flat = out.isContiguous() &&
    (ta === null || (sameShape(ta.shape, out.shape) && ta.isContiguous())) &&
    (tb === null || (sameShape(tb.shape, out.shape) && tb.isContiguous()));
  const wa = ta ?? word(a as Scalar, compute), wb = b === null ? null : tb ?? word(b as Scalar, compute);
  if (flat) {
    runFlat(name, opcode, compute.code, out.numel, out, wa, wb);
    return;
  }
  const ins = [wa instanceof Tensor ? stretched(wa, out.shape) : wa];
  if (wb !== null) ins.push(wb instanceof Tensor ? stretched(wb, out.shape) : wb);
  run(name, opcode, [out], ins, [compute.code]);
}

/** A gradient brought to an operand's shape and dtype. */
export function gradFor(g: Tensor, operand: Tensor): Tensor {
  const summed = sumTo(g, operand.shape);
  return summed.info === operand.info ? summed : cast(summed, operand.info.name);
}

type UnaryRule = (g: Tensor, x: Tensor, y: Tensor) => Tensor;

/** Declares an op of one tensor. `kind` float: integers become the default float dtype; same: the dtype stays. */
export function unary(name: string, opcode: number, kind: "float" | "same", saves: "x" | "y" | "", rule: UnaryRule | null): Unary {
  return op<Unary>(`${name}(input)`, (x: Tensor) => {
    const info = kind === "same" || x.info.isFloat ? x.info : DTYPES[getDefaultDtype()];
    const out = mapInto(name, opcode, x, null, info, info);
    if (rule !== null && wants(x)) {
      record(name, [x], [out], ([g]) => [g && rule(g, x, out)], saves === "x" ? [x] : saves === "y" ? [out] : []);
    }
    return out;
  });
}

type BinaryRule = (g: Tensor, a: Operand, b: Operand, y: Tensor) => Tensor;

interface BinaryForm {
  /** The dtype that the result has; default: the promoted one. */
  result?: (promoted: DType) => DType;
  /** Gradients of the first and second operand before they are summed to its shape; null: not differentiable. */
  rules: readonly [BinaryRule, BinaryRule] | null;
  /** Whether the rules read the operands. */
  saves?: boolean;
  /** Whether they read the result. */
  savesResult?: boolean;
}

/** Declares an op of a tensor and a tensor or number. */
export function binary(name: string, opcode: number, form: BinaryForm): Binary {
  return op<Binary>(`${name}(input, other)`, (a: Tensor, b: Operand) => {
    checkOperand(name, a, b);
    return applyBinary(name, opcode, form, a, b);
  });
}

function applyBinary(name: string, opcode: number, form: BinaryForm, a: Tensor, b: Operand): Tensor {
  const tb = b instanceof Tensor ? b : null;
  const promoted = tb !== null && tb.info === a.info ? a.info.name : resultType([a, b]);
  const dtype = form.result ? form.result(promoted) : promoted;
  const compute = DTYPES[dtype === "bool" ? promoted : dtype];
  const out = mapInto(name, opcode, a, b, compute, DTYPES[dtype]);
  if (form.rules !== null && wants(a, tb)) {
    const [ra, rb] = form.rules;
    record(
      name,
      tb === null ? [a] : [a, tb],
      [out],
      ([g]) => {
        if (g === null) return [null, null];
        const ga = needs(a) ? gradFor(ra(g, a, b, out), a) : null;
        return tb === null ? [ga] : [ga, needs(tb) ? gradFor(rb(g, a, b, out), tb) : null];
      },
      [...(form.saves ? (tb === null ? [a] : [a, tb]) : []), ...(form.savesResult ? [out] : [])],
    );
  }
  return out;
}

const needs = (t: Tensor): boolean => t.meta !== null && t.meta.requiresGrad;

const toFloat = (d: DType): DType => DTYPES[d].isFloat ? d : getDefaultDtype();

/** The element type changed: `to(x, "float16")`; the same tensor when it has the type already. */
export function cast(x: Tensor, dtype: DType): Tensor {
  const info = DTYPES[dtype];
  if (info === x.info) return x;
  const compute = DTYPES[promoteTypes(dtype, x.info.name)];
  const out = mapInto("to", OP.copy, x, null, compute, info);
  if (info.isFloat && wants(x)) record("to", [x], [out], ([g]) => [g && cast(g, x.info.name)], []);
  return out;
}

/** `a + b`. Shapes: broadcast. Types: all, promoted. */
export const add: Binary = binary("add", OP.add, { rules: [(g) => g, (g) => g] });

/** `a - b`. Shapes: broadcast. Types: all but bool, promoted. */
export const sub: Binary = binary("sub", OP.sub, { rules: [(g) => g, (g) => mul(g, -1)] });

/** `a * b`. Shapes: broadcast. Types: all, promoted. */
export const mul: Binary = binary("mul", OP.mul, { rules: [(g, _, b) => mul(g, b), (g, a) => mul(g, a)], saves: true });

/** `a / b`, true division: integers become floats. Shapes: broadcast. */
export const div: Binary = binary("div", OP.div, {
  result: toFloat,
  rules: [(g, _, b) => div(g, b), (g, _a, b, y) => mul(div(mul(g, y), b), -1)],
  saves: true,
  savesResult: true,
});

/** Whether `a = b`, elementwise, as bool. Shapes: broadcast. Types: all. */
export const eq: Binary = binary("eq", OP.eq, { result: () => "bool", rules: null });

/** `eˣ`. Types: all; integers become floats. Gradient: `g · eˣ`. */
export const exp: Unary = unary("exp", OP.exp, "float", "y", (g, _, y) => mul(g, y));

/** An in-place op of a tensor and a tensor or number: x keeps its shape and dtype. */
export type BinaryInplace = (input: Tensor, other: Operand) => Tensor;

/** Declares the in-place form of a binary op. */
export function binaryInplace(name: string, opcode: number, form: BinaryForm): BinaryInplace {
  return op<BinaryInplace>(`${name}(input, other)`, (x: Tensor, b: Operand) => {
    checkOperand(name, x, b);
    const tb = b instanceof Tensor ? apart(b, x) : null;
    const promoted = resultType([x, b]);
    const dtype = form.result ? form.result(promoted) : promoted;
    if (DTYPES[dtype].category > x.info.category) {
      throw new DTypeError(`Cannot ${name} ${show(x)} by ${show(b)}: the result is ${dtype}, which ${x.dtype} cannot hold`, { op: name });
    }
    if (tb !== null && !sameShape(broadcastShapes(x.shape, tb.shape, name), x.shape)) {
      throw new ShapeError(`Cannot ${name} ${shapeText(tb.shape)} to ${shapeText(x.shape)} in place: the result would not keep the shape`, { op: name });
    }
    checkInplace(name, x, tb === null ? [] : [tb]);
    const recording = form.rules !== null && wants(x, tb);
    // The rules may need the value that is overwritten.
    const before = recording && form.saves ? copyOf(x) : x;
    mapOut(name, opcode, x, x, tb ?? b, DTYPES[dtype]);
    const rules = form.rules;
    recordInplace(name, x, tb === null ? [] : [tb], ([g]) => {
      if (g === null || rules === null) return [null, null];
      return tb === null
        ? [rules[0](g, before, b, x)]
        : [rules[0](g, before, b, x), needs(tb) ? gradFor(rules[1](g, before, b, x), tb) : null];
    }, form.saves && tb !== null ? [tb] : []);
    return x;
  });
}

/** The operand itself, or a copy where writing x in place would change it under the kernel. */
function apart(b: Tensor, x: Tensor): Tensor {
  if (b.storage !== x.storage) return b;
  const same = b.offset === x.offset && sameShape(b.shape, x.shape) && sameShape(b.strides, x.strides);
  return same ? b : copyOf(b);
}

function copyOf(x: Tensor): Tensor {
  return mapInto("clone", OP.copy, x, null, x.info, x.info);
}
