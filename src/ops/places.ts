/**
 * What the families of indexing share: checked tensors of indices, the places that they name, reading and writing there.
 *
 * @module
 */
import { run, type ScalarWord } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import {
  type Backward,
  checkInplace,
  record,
  recordInplace,
  requiresGrad,
  wants,
} from "../autograd.ts";
import { isScalar, type Scalar } from "../dtype.ts";
import { ArgumentError, DeviceError, DTypeError, IndexError, ShapeError, show } from "../errors.ts";
import { broadcastShapes, broadcastStrides, sameShape, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { cast, gradFor, mapInto, type Operand, word } from "./map.ts";
import { mul } from "./pointwise.ts";
import { reshape } from "./view.ts";

// ---- what the families of indexing share ------------------------------------------------------

/** Runs an instruction that checks indices; a bad one is reported with the op's own name and what was indexed. */
export function runChecked(
  name: string,
  x: Tensor,
  opcode: number,
  outs: readonly Tensor[],
  ins: readonly (Tensor | number | bigint)[],
  scalars: readonly ScalarWord[] = [],
  origin: Places["origin"] = undefined,
): void {
  try {
    run(name, opcode, outs, ins, scalars);
  } catch (error) {
    if (!(error instanceof IndexError)) throw error;
    const text = error.message
      .replace(/^Cannot \w+:/, `Cannot ${name} ${shapeText(origin?.shape ?? x.shape)}:`)
      .replace(/dim (\d+)/, (dim, d) => origin === undefined ? dim : `dim ${origin.dims[d]}`);
    throw new IndexError(text, { op: name });
  }
}

/** Fails unless a value is a tensor of int64 or int32 on x's device. */
export function checkIndex(name: string, x: Tensor, index: unknown, what = "index"): Tensor {
  if (!(index instanceof Tensor)) {
    throw new ArgumentError(
      `Cannot ${name} ${shapeText(x.shape)} by ${show(index)}: ${what} must be a tensor`,
      {
        op: name,
      },
    );
  }
  if (index.dtype !== "int64" && index.dtype !== "int32" && index.numel > 0) {
    throw new DTypeError(
      `Cannot ${name} ${
        shapeText(x.shape)
      } by a ${index.dtype} ${what}: indices are int64 or int32`,
      { op: name, hint: `make it with { dtype: "int64" }` },
    );
  }
  if (index.storage.device !== x.storage.device) {
    throw new DeviceError(
      `Cannot ${name} a tensor on ${x.device} by an index on ${index.device}: they must be on one device`,
      { op: name },
    );
  }
  return index;
}

/** A tensor's elements in new memory, unrecorded. */
export function copyOf(x: Tensor): Tensor {
  return mapInto("clone", OP.copy, x, null, x.info, x.info);
}

/** An operand that may be read while x is written: itself, or a copy where they share memory. */
export function apartFrom(x: Tensor, other: Tensor): Tensor {
  return other.storage === x.storage ? copyOf(other) : other;
}

export function stretchedTo(t: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(t.shape, shape)) return t;
  return new Tensor(
    t.storage,
    t.info,
    shape,
    broadcastStrides(t.shape, t.strides, shape),
    t.offset,
  );
}

/** Places in a tensor: indices for some of its dims, all of one shape B, and where B goes among the other dims. */
export interface Places {
  readonly dims: readonly number[];
  readonly indices: readonly Tensor[];
  readonly at: number;
  /** Whether negative indices count from the end; where PyTorch refuses them, they are refused. */
  readonly wraps: boolean;
  /** What the user indexed, where that is not the tensor itself: its shape, and which of its dims stand here. */
  readonly origin?: { readonly shape: readonly number[]; readonly dims: readonly number[] };
  /** The shape of what is read or written. */
  readonly shape: readonly number[];
}

/** Places by indices for given dims, which broadcast together. B stands where the dims stood, or first if they are apart. */
export function placesOf(
  name: string,
  x: Tensor,
  dims: readonly number[],
  given: readonly Tensor[],
  wraps = true,
): Places {
  let b: readonly number[] = given[0].shape;
  for (const index of given) {
    try {
      b = broadcastShapes(b, index.shape, name);
    } catch {
      throw new IndexError(
        `Cannot ${name} ${shapeText(x.shape)}: indices ${
          given.map((i) => shapeText(i.shape)).join(", ")
        } do not broadcast together`,
        { op: name },
      );
    }
  }
  const together = dims.every((d, i) => i === 0 || d === dims[i - 1] + 1);
  const at = together ? dims[0] : 0;
  const rest = x.shape.filter((_, d) => !dims.includes(d));
  const shape = [...rest.slice(0, at), ...b, ...rest.slice(at)];
  if (shape.length > 16) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)}: the result has ${shape.length} dims, the most is 16`,
      {
        op: name,
      },
    );
  }
  return { dims, indices: given.map((i) => stretchedTo(i, b)), at, wraps, shape };
}

/** x at places. */
export function readAt(name: string, x: Tensor, p: Places): Tensor {
  const out = empty(p.shape, x.info, x.storage.device);
  runChecked(
    name,
    x,
    OP.index,
    [out],
    [x, ...p.indices],
    [p.wraps ? 1 : 0, p.at, ...p.dims],
    p.origin,
  );
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      const gx = filled(x.shape, 0, g.info, g.storage.device);
      writeAt(name, gx, p, g, true, 1);
      if (wants(g)) record(name, [g], [gx], ([gg]) => [gg && readAt(name, gg, p)], [...p.indices]);
      return [gx];
    }, [...p.indices]);
  }
  return out;
}

/** Writes or adds values at places, unrecorded. The values broadcast and have x's dtype. */
function writeAt(
  name: string,
  x: Tensor,
  p: Places,
  values: Operand,
  accumulate: boolean,
  alpha: Scalar,
): void {
  const source = values instanceof Tensor ? stretchedTo(values, p.shape) : word(values, x.info);
  const factor = word(alpha, x.info);
  runChecked(name, x, OP.index_put, [x], [source, ...p.indices], [
    accumulate ? 1 : 0,
    factor,
    p.wraps ? 1 : 0,
    p.at,
    ...p.dims,
  ], p.origin);
}

/** Values ready to be written into x: of its dtype, and no more than it takes. */
export function valuesFor(name: string, x: Tensor, p: Places, values: unknown): Operand {
  if (isScalar(values)) return values;
  if (!(values instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name} ${show(values)}: values must be a tensor or a number`, {
      op: name,
    });
  }
  let shape = values.shape;
  while (shape.length > p.shape.length && shape[0] === 1) shape = shape.slice(1);
  const lead = p.shape.length - shape.length;
  if (lead < 0 || shape.some((n, i) => n !== 1 && n !== p.shape[i + lead])) {
    throw new ShapeError(
      `Cannot ${name} values ${shapeText(values.shape)} into ${shapeText(p.shape)} of ${
        shapeText(x.shape)
      }: they do not broadcast to it`,
      { op: name },
    );
  }
  return cast(shape.length === values.ndim ? values : reshape(values, shape), x.dtype);
}

/** The rule of a write: gradients of x's old value, where that is wanted, and of the values. */
function writeRule(
  name: string,
  wantsX: () => boolean,
  p: Places,
  values: Operand,
  accumulate: boolean,
  alpha: Scalar,
): Backward {
  return ([g]) => {
    if (g === null) return [null, null];
    const gx = !wantsX() ? null : accumulate ? g : put(name, g, p, 0, false, 1);
    if (!(values instanceof Tensor)) return [gx];
    if (!requiresGrad(values)) return [gx, null];
    const read = readAt(name, g, p);
    return [gx, gradFor(Number(alpha) === 1 ? read : mul(read, alpha), values)];
  };
}

/** x with values written or added at places. */
export function put(
  name: string,
  x: Tensor,
  p: Places,
  values: Operand,
  accumulate: boolean,
  alpha: Scalar,
): Tensor {
  const out = copyOf(x);
  writeAt(name, out, p, values, accumulate, alpha);
  const source = values instanceof Tensor ? values : null;
  if (wants(x, source)) {
    const inputs = source === null ? [x] : [x, source];
    const rule = writeRule(name, () => requiresGrad(x), p, values, accumulate, alpha);
    record(name, inputs, [out], rule, [...p.indices]);
  }
  return out;
}

/** Writes or adds values at places of x itself. */
export function putInplace(
  name: string,
  x: Tensor,
  p: Places,
  values: Operand,
  accumulate: boolean,
  alpha: Scalar,
): Tensor {
  const source = values instanceof Tensor ? values : null;
  const inputs = source === null ? [] : [source];
  checkInplace(name, x, inputs);
  const safe = { ...p, indices: p.indices.map((i) => apartFrom(x, i)) };
  writeAt(name, x, safe, source === null ? values : apartFrom(x, source), accumulate, alpha);
  const rule = writeRule(name, () => true, safe, values, accumulate, alpha);
  recordInplace(name, x, inputs, rule, [...safe.indices]);
  return x;
}
