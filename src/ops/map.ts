/**
 * What elementwise ops are made of: operands of any strides and dtypes, broadcast, computed in the promoted dtype
 * without a copy of an operand. An op is a form (opcode, dtype rule, gradient) in pointwise.ts, math.ts, logic.ts or
 * activation.ts; the functions here make its out-of-place and in-place op. The native side is map.rs.
 *
 * @module
 */
import { run, runFlat, type ScalarWord } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import {
  checkInplace,
  edgeOf,
  isGradEnabled,
  metaOf,
  record,
  recordInplace,
  requiresGrad,
  wants,
  wantsAny,
} from "../autograd.ts";
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
import { LARGE, putOff } from "../fusion.ts";
import { allocate } from "../memory.ts";
import { op } from "../op.ts";
import { rowsOf } from "../rows.ts";
import { broadcastShapes, broadcastStrides, numelOf, sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { sumTo } from "./reduction.ts";

/** An operand of an elementwise op: a tensor, or a number that broadcasts. */
export type Operand = Tensor | Scalar;
/** An op of one tensor. */
export type Unary = (input: Tensor) => Tensor;
/** An op of a tensor and a tensor or number. */
export type Binary = (input: Tensor, other: Operand) => Tensor;
/** An in-place op of a tensor and a tensor or number: the tensor keeps its shape and dtype. */
export type BinaryInplace = (input: Tensor, other: Operand) => Tensor;

/** A scalar's number. */
export function numberOf(value: Scalar): number {
  return Number(value instanceof Float ? value.value : value);
}

/** A number as an instruction carries it: exact for int64. */
export function word(value: Scalar, compute: DTypeInfo): number | bigint {
  if (compute.isFloat) return numberOf(value);
  return typeof value === "bigint" ? value : BigInt(Math.trunc(numberOf(value)));
}

/** A tensor stretched to a shape, without autograd: an operand's view. */
export function stretched(t: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(t.shape, shape)) return t;
  const strides = broadcastStrides(t.shape, t.strides, shape);
  return new Tensor(t.storage, t.info, shape, strides, t.offset);
}

/** Fails unless an operand is a tensor on the same device, or a number. */
export function checkOperand(name: string, input: Tensor, other: unknown, what = "other"): void {
  if (other instanceof Tensor) {
    if (other.storage.device !== input.storage.device) {
      throw new DeviceError(
        `Cannot ${name} input on ${input.device} and ${what} on ${other.device}: they must be on one device`,
        { op: name },
      );
    }
  } else if (!isScalar(other)) {
    throw new ArgumentError(
      `Cannot ${name} ${show(input)} and ${show(other)}: ${what} must be a tensor or a number`,
      { op: name },
    );
  }
}

/** Fails unless a value is a tensor. */
export function checkTensor(name: string, value: unknown, what: string): asserts value is Tensor {
  if (!(value instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name}: ${what} must be a tensor, got ${show(value)}`, {
      op: name,
    });
  }
}

/** A zero that promotes to nothing wider than the floats around it. */
export const ZERO: Float = new Float(0);

/** Fails unless an option is a number. */
export function checkNumber(name: string, value: unknown, what: string): asserts value is Scalar {
  if (!isScalar(value)) {
    throw new ArgumentError(`Cannot ${name}: ${what} must be a number, got ${show(value)}`, {
      op: name,
    });
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
  scalars?: readonly ScalarWord[],
): Tensor {
  const ta = a instanceof Tensor ? a : null, tb = b instanceof Tensor ? b : null;
  const like = (ta ?? tb)!;
  const wa = ta ?? word(a as Scalar, compute);
  const wb = b === null ? null : tb ?? word(b as Scalar, compute);
  const alike = ta === null || tb === null || sameShape(ta.shape, tb.shape);
  if (
    alike && like.numel < LARGE && isPlain(like) && (ta === null || tb === null || isPlain(tb))
  ) {
    // What small tensors are: the result has the dims of the operands, and nothing is looked at twice.
    const { shape, strides, numel, storage } = like;
    const out = new Tensor(
      allocate(numel * outInfo.size, storage.device),
      outInfo,
      shape,
      strides,
      0,
    );
    runFlat(name, opcode, compute.code, numel, out, wa, wb, scalars);
    return out;
  }
  const shape = alike ? like.shape : broadcastShapes(ta.shape, tb.shape, name);
  if (compute === outInfo && like.numel >= LARGE) {
    const later = putOff(name, opcode, wb === null ? [wa] : [wa, wb], shape, outInfo, scalars);
    if (later !== null) return later;
  }
  const out = empty(shape, outInfo, like.storage.device);
  mapOut(name, opcode, out, a, b, compute, scalars);
  return out;
}

/** Whether a tensor has the very strides that a new one of its shape has. */
function isPlain({ shape, strides }: Tensor): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (strides[i] !== expected) return false;
    expected *= Math.max(shape[i], 1);
  }
  return true;
}

/** Runs an elementwise opcode of one or two operands into a given tensor, to whose shape they broadcast. */
export function mapOut(
  name: string,
  opcode: number,
  out: Tensor,
  a: Operand,
  b: Operand | null,
  compute: DTypeInfo,
  scalars?: readonly ScalarWord[],
): void {
  const ta = a instanceof Tensor ? a : null, tb = b instanceof Tensor ? b : null;
  const flat = out.isContiguous() &&
    (ta === null || (sameShape(ta.shape, out.shape) && ta.isContiguous())) &&
    (tb === null || (sameShape(tb.shape, out.shape) && tb.isContiguous()));
  const wa = ta ?? word(a as Scalar, compute);
  const wb = b === null ? null : tb ?? word(b as Scalar, compute);
  if (flat) {
    runFlat(name, opcode, compute.code, out.numel, out, wa, wb, scalars);
    return;
  }
  const ins = [wa instanceof Tensor ? stretched(wa, out.shape) : wa];
  if (wb !== null) ins.push(wb instanceof Tensor ? stretched(wb, out.shape) : wb);
  run(name, opcode, [out], ins, scalars ? [compute.code, ...scalars] : [compute.code]);
}

/** The shape that all tensors among the operands broadcast to. */
export function commonShape(name: string, operands: readonly Operand[]): readonly number[] {
  let shape: readonly number[] | null = null;
  for (const o of operands) {
    if (o instanceof Tensor) {
      shape = shape === null ? o.shape : broadcastShapes(shape, o.shape, name);
    }
  }
  return shape ?? [];
}

/** Runs an elementwise opcode of any operands into a new tensor. */
export function mapAll(
  name: string,
  opcode: number,
  operands: readonly Operand[],
  compute: DTypeInfo,
  outInfo: DTypeInfo,
  scalars: readonly ScalarWord[] = [],
): Tensor {
  const device = operands.find((o) => o instanceof Tensor)?.storage.device ?? 0;
  const shape = commonShape(name, operands);
  if (compute === outInfo && numelOf(shape) >= LARGE) {
    const words = operands.map((o) => o instanceof Tensor ? o : word(o, compute));
    const later = putOff(name, opcode, words, shape, outInfo, scalars);
    if (later !== null) return later;
  }
  const out = empty(shape, outInfo, device);
  mapAllOut(name, opcode, out, operands, compute, scalars);
  return out;
}

/** Runs an elementwise opcode of any operands into a given tensor. */
export function mapAllOut(
  name: string,
  opcode: number,
  out: Tensor,
  operands: readonly Operand[],
  compute: DTypeInfo,
  scalars: readonly ScalarWord[] = [],
): void {
  const ins = operands.map((o) => o instanceof Tensor ? stretched(o, out.shape) : word(o, compute));
  run(name, opcode, [out], ins, [compute.code, ...scalars]);
}

/** Whether gradients flow to an operand. */
export function needs(t: unknown): t is Tensor {
  return t instanceof Tensor && requiresGrad(t);
}

/** A gradient brought to an operand's shape and dtype. */
export function gradFor(g: Tensor, operand: Tensor): Tensor {
  const summed = sumTo(g, operand.shape);
  return summed.info === operand.info ? summed : cast(summed, operand.info.name);
}

/** Zeros of a tensor's shape and dtype: the gradient of what is flat almost everywhere. */
export function zerosOf(t: Tensor): Tensor {
  const out = empty(t.shape, t.info, t.storage.device);
  run("fill", OP.fill, [out], [], [t.info.code, word(0, t.info)]);
  return out;
}

/** Integers become the default float dtype. */
export function toFloat(d: DType): DType {
  return DTYPES[d].isFloat ? d : getDefaultDtype();
}

/** The element type changed; the same tensor when it has the type already. */
export function cast(x: Tensor, dtype: DType): Tensor {
  const info = DTYPES[dtype];
  if (info === x.info) return x;
  const compute = DTYPES[promoteTypes(dtype, x.info.name)];
  const out = mapInto("to", OP.copy, x, null, compute, info);
  if (info.isFloat && wants(x)) record("to", [x], [out], ([g]) => [g && cast(g, x.info.name)], []);
  return out;
}

/** A copy in new memory, outside of autograd. */
export function copyOf(x: Tensor): Tensor {
  return mapInto("clone", OP.copy, x, null, x.info, x.info);
}

/**
 * A copy of what an in-place op is about to overwrite, in the same place on the tape, so that gradients of the op's
 * gradient reach what x was.
 */
export function copyBefore(x: Tensor): Tensor {
  const copy = copyOf(x);
  const edge = edgeOf(x);
  if (edge !== null) {
    const meta = metaOf(copy);
    meta.requiresGrad = true;
    meta.node = edge.node;
    meta.slot = edge.slot;
  }
  return copy;
}

/** Whether elements lie side by side without gaps, in some order of dims. */
function isDense(t: Tensor): boolean {
  const order = t.shape.map((_, d) => d).filter((d) => t.shape[d] !== 1);
  order.sort((a, b) => t.strides[a] - t.strides[b]);
  let expected = 1;
  for (const d of order) {
    if (t.strides[d] !== expected) return false;
    expected *= t.shape[d];
  }
  return true;
}

/**
 * The operand itself, or a copy where writing x in place would change it under the kernel. As in PyTorch, two dense
 * tensors that share a part of their elements, or all in another order, are an error instead.
 */
export function apart(b: Tensor, x: Tensor, name = "change a tensor"): Tensor {
  if (b.storage !== x.storage || b.numel === 0 || x.numel === 0) return b;
  const same = b.offset === x.offset && b.info === x.info && sameShape(b.shape, x.shape) &&
    sameShape(b.strides, x.strides);
  if (same) return b;
  if (isDense(b) && isDense(x)) {
    const [from, to] = [x.offset * x.info.size, (x.offset + x.numel) * x.info.size];
    const [start, end] = [b.offset * b.info.size, (b.offset + b.numel) * b.info.size];
    if (end <= from || to <= start) return b;
    throw new ArgumentError(
      `Cannot ${name} ${show(x)} by ${
        show(b)
      } in place: they share memory, but not element by element`,
      { op: name, hint: "clone() the operand first" },
    );
  }
  return copyOf(b);
}

/** `apart` for any operand. */
export function apartOperand(b: Operand, x: Tensor, name?: string): Operand {
  return b instanceof Tensor ? apart(b, x, name) : b;
}

/** Fails unless what an in-place op computes fits into its tensor. */
export function checkResult(
  name: string,
  x: Tensor,
  dtype: DType,
  operands: readonly Operand[],
): void {
  if (DTYPES[dtype].category > x.info.category) {
    throw new DTypeError(
      `Cannot ${name} ${show(x)} by ${
        operands.map(show).join(" and ")
      }: the result is ${dtype}, which ${x.dtype} cannot hold`,
      { op: name },
    );
  }
  for (const o of operands) {
    if (o instanceof Tensor && !sameShape(broadcastShapes(x.shape, o.shape, name), x.shape)) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(o.shape)} to ${
          shapeText(x.shape)
        } in place: the result would not keep the shape`,
        { op: name },
      );
    }
  }
}

// ---- ops of one tensor --------------------------------------------------------------------------

/** What an op of one tensor is. */
export interface UnaryForm {
  readonly opcode: number;
  /** float: integers become the default float dtype; same: the dtype stays; bool: a condition. */
  readonly result: "float" | "same" | "bool";
  /** Which of input and result the gradient reads. */
  readonly saves?: "x" | "y" | "";
  /** The gradient in ops, for any order; `p` are the instruction's scalars. Without it there is none. */
  readonly rule?: (g: Tensor, x: Tensor, y: Tensor, p: readonly number[]) => Tensor;
  /** The gradient in one kernel, of g and what is saved; takes the instruction's scalars too. */
  readonly gradOpcode?: number;
  /** Throws for tensors that the op does not take. */
  readonly refuse?: (name: string, x: Tensor) => void;
}

function unaryBackward(
  name: string,
  form: UnaryForm,
  x: Tensor,
  y: Tensor,
  p: readonly number[],
): (grads: readonly (Tensor | null)[]) => (Tensor | null)[] {
  return ([g]) => {
    if (g === null) return [null];
    if (form.gradOpcode === undefined || isGradEnabled()) return [form.rule!(g, x, y, p)];
    return [mapInto(name, form.gradOpcode, g, form.saves === "y" ? y : x, x.info, x.info, p)];
  };
}

const NONE: readonly number[] = [];

/** Runs an op of one tensor. */
export function applyUnary(
  name: string,
  form: UnaryForm,
  x: Tensor,
  p: readonly number[] = NONE,
): Tensor {
  if (form.refuse !== undefined) form.refuse(name, x);
  const compute = form.result !== "float" || x.info.isFloat ? x.info : DTYPES[getDefaultDtype()];
  const out = mapInto(
    name,
    form.opcode,
    x,
    null,
    compute,
    form.result === "bool" ? DTYPES.bool : compute,
    p,
  );
  if (form.rule !== undefined && wants(x)) {
    const saved = form.saves === "x" ? [x] : form.saves === "y" ? [out] : [];
    record(name, [x], [out], unaryBackward(name, form, x, out, p), saved);
  }
  return out;
}

/** Runs an op of one tensor in place. */
export function applyUnaryInplace(
  name: string,
  form: UnaryForm,
  x: Tensor,
  p: readonly number[] = NONE,
): Tensor {
  if (form.refuse !== undefined) form.refuse(name, x);
  if (form.result === "float" && !x.info.isFloat) checkResult(name, x, getDefaultDtype(), []);
  checkInplace(name, x, []);
  const recording = form.rule !== undefined && wants(x);
  // The gradient may need the value that is overwritten.
  const before = recording && form.saves === "x" ? copyBefore(x) : x;
  mapOut(name, form.opcode, x, x, null, x.info, p);
  recordInplace(
    name,
    x,
    [],
    unaryBackward(name, form, before, x, p),
    recording && form.saves === "y" ? [x] : [],
  );
  return x;
}

/** Declares an op of one tensor. */
export function unary(name: string, form: UnaryForm): Unary {
  return op<Unary>(`${name}(input)`, (x: Tensor) => applyUnary(name, form, x));
}

/** Declares an op of one tensor that changes it. */
export function unaryInplace(name: string, form: UnaryForm): Unary {
  return op<Unary>(`${name}(input)`, (x: Tensor) => applyUnaryInplace(name, form, x));
}

// ---- ops of two operands ------------------------------------------------------------------------

/** The gradient of one operand, before it is summed to the operand's shape. */
export type BinaryRule = (g: Tensor, a: Operand, b: Operand, y: Tensor) => Tensor;

/** What an op of two operands is. */
export interface BinaryForm {
  readonly opcode: number;
  /** The dtype that the result has; default: the promoted one. */
  readonly result?: (promoted: DType) => DType;
  /** Gradients of the operands; without them there are none. */
  readonly rules?: readonly [BinaryRule, BinaryRule];
  /** Whether the rules read the operands. */
  readonly saves?: boolean;
  /** Whether they read the result. */
  readonly savesResult?: boolean;
  /** Scalars of the instruction, of the type computed in. */
  readonly scalars?: (compute: DTypeInfo) => readonly ScalarWord[];
  /** Throws for operands that the op does not take. */
  readonly refuse?: (name: string, a: Operand, b: Operand, promoted: DType) => void;
}

function binaryBackward(
  form: BinaryForm,
  a: Operand,
  b: Operand,
  y: Tensor,
): (grads: readonly (Tensor | null)[]) => (Tensor | null)[] {
  const [ra, rb] = form.rules!;
  return ([g]) => {
    const grads: (Tensor | null)[] = [];
    if (a instanceof Tensor) grads.push(g !== null && needs(a) ? gradFor(ra(g, a, b, y), a) : null);
    if (b instanceof Tensor) grads.push(g !== null && needs(b) ? gradFor(rb(g, a, b, y), b) : null);
    return grads;
  };
}

const tensorsOf = (a: Operand, b: Operand): Tensor[] => [a, b].filter((o) => o instanceof Tensor);

/** Runs an op of two operands, one of them a tensor. */
export function applyBinary(name: string, form: BinaryForm, a: Operand, b: Operand): Tensor {
  const ta = a instanceof Tensor ? a : null, tb = b instanceof Tensor ? b : null;
  const promoted = ta !== null && tb !== null && tb.info === ta.info
    ? ta.info.name
    : resultType([a, b]);
  if (form.refuse !== undefined) form.refuse(name, a, b, promoted);
  const dtype = form.result ? form.result(promoted) : promoted;
  const compute = DTYPES[dtype === "bool" ? promoted : dtype];
  const out = mapInto(name, form.opcode, a, b, compute, DTYPES[dtype], form.scalars?.(compute));
  if (form.rules !== undefined && wants(ta ?? tb!, tb)) {
    const operands = tensorsOf(a, b);
    const saved = form.saves ? operands.slice() : [];
    if (form.savesResult) saved.push(out);
    record(name, operands, [out], binaryBackward(form, a, b, out), saved);
  }
  return out;
}

/** Runs an op of two operands into its first. */
export function applyBinaryInplace(
  name: string,
  form: BinaryForm,
  x: Tensor,
  other: Operand,
): Tensor {
  const b = apartOperand(other, x, name);
  const tb = b instanceof Tensor ? b : null;
  const promoted = tb !== null && tb.info === x.info ? x.info.name : resultType([x, b]);
  if (form.refuse !== undefined) form.refuse(name, x, b, promoted);
  const dtype = form.result ? form.result(promoted) : promoted;
  checkResult(name, x, dtype, [b]);
  // The tape knows the operand that was given, the kernel may read a copy.
  const inputs = other instanceof Tensor ? [other] : [];
  checkInplace(name, x, inputs);
  const recording = form.rules !== undefined && wantsAny([x, ...inputs]);
  const wasWanted = needs(x);
  // The rules may need the value that is overwritten.
  const before = recording && form.saves ? copyBefore(x) : x;
  const compute = DTYPES[dtype === "bool" ? promoted : dtype];
  const target = scaledRows(form, x, b) ?? x;
  mapOut(name, form.opcode, target, target, b, compute, form.scalars?.(compute));
  const overwritten = tb !== null && tb.storage === x.storage;
  const saved = !recording ? [] : [
    ...(form.saves && tb !== null && !overwritten ? [tb] : []),
    ...(form.savesResult ? [x] : []),
  ];
  const old = overwritten ? before : b;
  recordInplace(name, x, inputs, ([g]) => {
    if (g === null || form.rules === undefined) return [null, null];
    const [ra, rb] = form.rules;
    const gx = wasWanted ? gradFor(ra(g, before, old, x), x) : null;
    return other instanceof Tensor
      ? [gx, needs(other) ? gradFor(rb(g, before, old, x), other) : null]
      : [gx];
  }, saved);
  return x;
}

/** The rows of a row-sparse tensor, where an op with a number leaves its zeros zero. */
function scaledRows(form: BinaryForm, x: Tensor, b: Operand): Tensor | null {
  if (x.storage.pending === null || b instanceof Tensor) return null;
  const factor = form.opcode === OP.mul ? Number(word(b, x.info)) : 1 / Number(word(b, x.info));
  if ((form.opcode !== OP.mul && form.opcode !== OP.div) || !Number.isFinite(factor)) return null;
  return rowsOf(x)?.values ?? null;
}

/** Declares an op of a tensor and a tensor or number. */
export function binary(name: string, form: BinaryForm): Binary {
  return op<Binary>(`${name}(input, other)`, (a: Tensor, b: Operand) => {
    checkOperand(name, a, b);
    return applyBinary(name, form, a, b);
  });
}

/** Declares an op of two tensors: PyTorch takes no number here. */
export function binaryOfTensors(name: string, form: BinaryForm, second = "other"): Binary {
  return op<Binary>(`${name}(input, ${second})`, (a: Tensor, b: Operand) => {
    checkTensor(name, b, second);
    checkOperand(name, a, b, second);
    return applyBinary(name, form, a, b);
  });
}

/** Declares the in-place form of a binary op. */
export function binaryInplace(name: string, form: BinaryForm): BinaryInplace {
  return op<BinaryInplace>(`${name}(input, other)`, (x: Tensor, b: Operand) => {
    checkOperand(name, x, b);
    return applyBinaryInplace(name, form, x, b);
  });
}
