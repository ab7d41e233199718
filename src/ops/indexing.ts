/**
 * Reading and writing by indices: `at` and `set`, and the ops that take tensors of indices for whole dims. What takes
 * an index per element is in scattering.ts, what takes masks in masking.ts.
 *
 * @module
 */
import { run, type ScalarWord } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import {
  type Backward,
  checkInplace,
  inMode,
  record,
  recordInplace,
  requiresGrad,
  wants,
} from "../autograd.ts";
import { DTYPES, isScalar, type Scalar } from "../dtype.ts";
import { ArgumentError, DeviceError, DTypeError, IndexError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, broadcastStrides, sameShape, shapeText, wrapDim } from "../shape.ts";
import { type Index, Slice } from "../slice.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { filled, tensor } from "./creation.ts";
import { cast, gradFor, mapInto, mapOut, mul, needs, type Operand, word } from "./pointwise.ts";
import { unique } from "./sorting.ts";
import { expand, reshape, unsqueeze } from "./view.ts";
import { selectIndex, sliceDim } from "./window.ts";

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

function stretchedTo(t: Tensor, shape: readonly number[]): Tensor {
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
function valuesFor(name: string, x: Tensor, p: Places, values: unknown): Operand {
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

// ---- at and set -----------------------------------------------------------------------------

/** An array as a tensor of indices: whole numbers, or booleans. */
function arrayIndex(name: string, x: Tensor, list: readonly unknown[]): Tensor {
  const flat = list.flat(Infinity);
  if (flat.every((v) => typeof v === "boolean") && flat.length > 0) {
    return tensor(list as boolean[]);
  }
  for (const v of flat) {
    const fits = typeof v === "bigint" || (typeof v === "number" && Number.isInteger(v));
    if (!fits) {
      throw new ArgumentError(
        `Cannot ${name} ${shapeText(x.shape)} by ${
          show(list)
        }: an array of indices holds whole numbers or booleans, got ${show(v)}`,
        { op: name },
      );
    }
  }
  return tensor(list as number[], { dtype: "int64" });
}

const isMask = (t: Tensor): boolean => t.dtype === "bool" || t.dtype === "uint8";

/** How many dims of x an index stands for. */
function consumed(index: unknown): number {
  if (index instanceof Tensor) return isMask(index) ? index.ndim : 1;
  return typeof index === "number" || index instanceof Slice ? 1 : 0;
}

/** The places that are set in a mask: one tensor of indices for each of its dims. */
function maskIndices(mask: Tensor): Tensor[] {
  const places = inMode(false, () => nonzeroOf(mask));
  return Array.from(
    { length: mask.ndim },
    (_, d) =>
      new Tensor(
        places.storage,
        places.info,
        [places.shape[0]],
        [places.strides[0]],
        places.offset + d * places.strides[1],
      ),
  );
}

/** The places of the elements that are not zero, int64 (n, dims). */
export function nonzeroOf(x: Tensor): Tensor {
  const count = empty([1], DTYPES.int64, x.storage.device);
  run("nonzero", OP.nonzero_count, [count], [x]);
  const out = empty([count.item(), x.ndim], DTYPES.int64, x.storage.device);
  run("nonzero", OP.nonzero, [out], [x]);
  return out;
}

/** Indices with masks turned into places, checked against the dims of x from `dim` on. */
function expandMasks(name: string, x: Tensor, list: readonly (Tensor | null)[]): Places | null {
  const dims: number[] = [], indices: Tensor[] = [];
  let d = 0;
  for (const index of list) {
    if (index === null) {
      d++;
    } else if (isMask(index)) {
      index.shape.forEach((n, i) => {
        if (n !== x.shape[d + i]) {
          throw new IndexError(
            `Cannot ${name} ${shapeText(x.shape)}: a mask ${
              shapeText(index.shape)
            } does not fit dims from ${d} on, whose size is ${
              x.shape[d + i]
            } where the mask has ${n}`,
            { op: name },
          );
        }
      });
      for (const column of maskIndices(index)) {
        dims.push(d++);
        indices.push(column);
      }
    } else {
      dims.push(d++);
      indices.push(checkIndex(name, x, index));
    }
  }
  if (d > x.ndim) {
    throw new IndexError(`Cannot ${name} ${shapeText(x.shape)}: ${d} indices for ${x.ndim} dims`, {
      op: name,
    });
  }
  return indices.length === 0 ? null : placesOf(name, x, dims, indices);
}

/** Applies numbers, ranges and new dims as views; what is left are tensors for dims of that view. */
function applyViews(
  name: string,
  x: Tensor,
  given: readonly unknown[],
): { view: Tensor; places: Places | null } {
  const items = given.map((v) => Array.isArray(v) ? arrayIndex(name, x, v) : v);
  const total = items.reduce<number>((n, v) => n + consumed(v), 0);
  if (total > x.ndim) {
    throw new IndexError(
      `Cannot ${name} ${shapeText(x.shape)}: ${total} indices for ${x.ndim} dims`,
      { op: name },
    );
  }
  if (items.filter((v) => v === "...").length > 1) {
    throw new IndexError(`Cannot ${name} ${shapeText(x.shape)}: "..." may stand once only`, {
      op: name,
    });
  }
  let view = x, d = 0;
  // Which dim of x each dim of the view is, for error texts.
  const origin = x.shape.map((_, i) => i);
  const take = (i: number) => {
    view = selectIndex(name, view, d, i, x, origin[d]);
    origin.splice(d, 1);
  };
  const widen = () => {
    view = unsqueeze(view, d);
    origin.splice(d, 0, -1);
  };
  const tensors: (Tensor | null)[] = [];
  for (const item of items) {
    if (typeof item === "number") {
      take(item);
    } else if (item instanceof Slice) {
      const [start, stop, step] = item.within(view.shape[d], name);
      if (start !== 0 || stop !== view.shape[d] || step !== 1) {
        view = sliceDim(view, d, start, stop, step, name);
      }
      d++;
    } else if (item === "...") {
      d += x.ndim - total;
    } else if (item === null) {
      widen();
      d++;
    } else if (typeof item === "boolean") {
      widen();
      tensors[d++] = fromElements(new BigInt64Array(item ? 1 : 0), "int64", [item ? 1 : 0]);
    } else if (item instanceof Tensor) {
      if (item.ndim === 0 && !isMask(item)) {
        take(checkIndex(name, x, item).item());
      } else if (item.ndim === 0) {
        widen();
        const n = item.item() === 0 ? 0 : 1;
        tensors[d++] = fromElements(new BigInt64Array(n), "int64", [n]);
      } else {
        tensors[d] = item;
        d += consumed(item);
      }
    } else {
      throw new ArgumentError(
        `Cannot ${name} ${shapeText(x.shape)} by ${
          show(item)
        }: an index is a number, slice(), null, "...", a tensor or an array`,
        { op: name },
      );
    }
  }
  const list: (Tensor | null)[] = [];
  for (let i = 0; i < tensors.length; i++) {
    const t = tensors[i] ?? null;
    list.push(t);
    // A mask stands for several dims of the list.
    if (t !== null && isMask(t)) i += t.ndim - 1;
  }
  const places = expandMasks(name, view, list);
  return { view, places: places && { ...places, origin: { shape: x.shape, dims: origin } } };
}

/**
 * Reads by indices, one for each dim from the first on, as PyTorch's `x[…]`: a number takes the dim away, `slice()`
 * keeps a range, `null` makes a new dim, `"..."` stands for the dims between, tensors and arrays of whole numbers or
 * booleans pick elements. Numbers and ranges give a view, tensors and arrays a copy.
 * Errors: IndexError for indices out of range, too many, or masks that do not fit.
 *
 * ```ts
 * import { slice, tensor } from "@toro/toro";
 * const x = tensor([[1, 2, 3], [4, 5, 6]]);
 * x.at(0).toArray(); // [1, 2, 3]
 * x.at("...", slice(1, null)).toArray(); // [[2, 3], [5, 6]]
 * x.at([1, 0], [2, 0]).toArray(); // [6, 1]
 * ```
 */
export function at(input: Tensor, ...indices: readonly Index[]): Tensor {
  const { view, places } = applyViews("at", input, indices);
  if (places !== null) return readAt("at", view, places);
  // Python's x[...] is a new view too.
  return view === input ? expand(view, view.shape) : view;
}

/**
 * Writes by indices, in place: `x.set([0, slice(1, null)], 7)` is PyTorch's `x[0, 1:] = 7`. The values broadcast and
 * take x's dtype; they may require gradients. Errors: as `at`, and ShapeError when the values do not fit.
 */
export function set(input: Tensor, indices: readonly Index[], value: Operand): Tensor {
  if (!Array.isArray(indices)) {
    throw new ArgumentError(`Cannot set by ${show(indices)}: the indices are an array`, {
      op: "set",
    });
  }
  const { view, places } = applyViews("set", input, indices);
  if (places !== null) {
    putInplace("set", view, places, valuesFor("set", view, places, value), false, 1);
    return input;
  }
  const whole: Places = { dims: [], indices: [], at: 0, wraps: true, shape: view.shape };
  const values = valuesFor("set", view, whole, value);
  const source = values instanceof Tensor ? values : null;
  checkInplace("set", view, source === null ? [] : [source]);
  mapOut("set", OP.copy, view, source === null ? values : apartFrom(view, source), null, view.info);
  recordInplace(
    "set",
    view,
    source === null ? [] : [source],
    ([g]) => [g && filled(g.shape, 0, g.info, g.storage.device), source && g && gradFor(g, source)],
    [],
  );
  return input;
}

// ---- ops ------------------------------------------------------------------------------------

/** An op of a dim and indices into it. */
export type IndexSelect = (input: Tensor, dim: number, index: Tensor) => Tensor;
/** An op that writes slices of a source at indices of a dim. */
export type IndexWrite = (input: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor;
/** `indexAdd`: as `IndexWrite`, with a factor. */
export type IndexAdd = (
  input: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  options?: { alpha?: Scalar },
) => Tensor;
/** An op that writes one number at indices of a dim. */
export type IndexFill = (input: Tensor, dim: number, index: Tensor, value: Operand) => Tensor;
/** An op that writes values at places that tensors of indices give, null for a whole dim. */
export type IndexPut = (
  input: Tensor,
  indices: readonly (Tensor | null)[],
  values: Operand,
  options?: { accumulate?: boolean },
) => Tensor;

/** Places of a 1-d index along one dim; a 0-d one counts as a single index. */
function along(name: string, x: Tensor, dim: number, index: unknown, wraps = false): Places {
  const d = wrapDim(dim, x.ndim, name);
  const list = checkIndex(name, x, index);
  if (list.ndim > 1) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} by an index ${
        shapeText(list.shape)
      }: it must have one dim`,
      { op: name },
    );
  }
  return placesOf(name, x, [d], [list.ndim === 0 ? stretchedTo(list, [1]) : list], wraps);
}

/** A tensor of no dims as one of one dim, for the time of an op. */
function withDim(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  return x.ndim === 0 ? reshape(f(reshape(x, [1])), []) : f(x);
}

/** Slices of a dim at indices, in their order. Shapes: (…, N, …), index (K) → (…, K, …). */
export const indexSelect: IndexSelect = op(
  "indexSelect(input, dim, index)",
  (x: Tensor, dim: number, index: Tensor) =>
    withDim(x, (x) => readAt("indexSelect", x, along("indexSelect", x, dim, index))),
);

function sourceFor(name: string, x: Tensor, p: Places, source: unknown): Tensor {
  if (!(source instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name} ${show(source)}: source must be a tensor`, {
      op: name,
    });
  }
  if (source.info !== x.info) {
    throw new DTypeError(
      `Cannot ${name} a ${source.dtype} source into a ${x.dtype} tensor: the dtypes must agree`,
      {
        op: name,
      },
    );
  }
  const given = source.ndim === 0 ? reshape(source, [1]) : source;
  if (!sameShape(given.shape, p.shape)) {
    throw new ShapeError(
      `Cannot ${name} a source ${shapeText(source.shape)} into ${
        shapeText(x.shape)
      }: the index asks for ${shapeText(p.shape)}`,
      { op: name },
    );
  }
  return given;
}

function writer(name: string, accumulate: boolean, inplace: boolean, extra: string): IndexAdd {
  return op<IndexAdd>(
    `${name}(input, dim, index, source${extra})`,
    (x: Tensor, dim: number, index: Tensor, source: Tensor, alpha: Scalar = 1) => {
      const write = (x: Tensor) => {
        const p = along(name, x, dim, index);
        const values = sourceFor(name, x, p, source);
        return (inplace ? putInplace : put)(name, x, p, values, accumulate, alpha);
      };
      if (inplace && x.ndim === 0) {
        write(reshape(x, [1]));
        return x;
      }
      return withDim(x, write);
    },
  );
}

/** x with `alpha * source` added at indices of a dim; slices that meet in one place are all added, in order. */
export const indexAdd: IndexAdd = writer("indexAdd", true, false, ", alpha=1");
/** `indexAdd` in place. */
export const indexAdd_: IndexAdd = writer("indexAdd_", true, true, ", alpha=1");
/** x with slices of the source written at indices of a dim; of those that meet the last stays. */
export const indexCopy: IndexWrite = writer("indexCopy", false, false, "");
/** `indexCopy` in place. */
export const indexCopy_: IndexWrite = writer("indexCopy_", false, true, "");

function filler(name: string, inplace: boolean): IndexFill {
  return op<IndexFill>(
    `${name}(input, dim, index, value)`,
    (x: Tensor, dim: number, index: Tensor, value: Operand) => {
      if (value instanceof Tensor && value.ndim > 0) {
        throw new ShapeError(
          `Cannot ${name} by a value ${
            shapeText(value.shape)
          }: it must be a number or a 0-d tensor`,
          {
            op: name,
          },
        );
      }
      const write = (x: Tensor) => {
        // A place that stands twice is filled once: so the value's gradient counts it once.
        const places = needs(value) && index instanceof Tensor ? unique(index) as Tensor : index;
        const p = along(name, x, dim, places, true);
        return (inplace ? putInplace : put)(name, x, p, valuesFor(name, x, p, value), false, 1);
      };
      if (inplace && x.ndim === 0) {
        write(reshape(x, [1]));
        return x;
      }
      return withDim(x, write);
    },
  );
}

/** x with one number at indices of a dim. */
export const indexFill: IndexFill = filler("indexFill", false);
/** `indexFill` in place. */
export const indexFill_: IndexFill = filler("indexFill_", true);

function putter(name: string, inplace: boolean): IndexPut {
  return op<IndexPut>(
    `${name}(input, indices, values, accumulate=false)`,
    (x: Tensor, indices: readonly (Tensor | null)[], values: Operand, accumulate: boolean) => {
      if (!Array.isArray(indices) || indices.some((i) => i !== null && !(i instanceof Tensor))) {
        throw new ArgumentError(
          `Cannot ${name} by ${show(indices)}: the indices are an array of tensors or null`,
          {
            op: name,
          },
        );
      }
      const p = expandMasks(name, x, indices);
      if (p === null) {
        throw new IndexError(`Cannot ${name}: at least one index is needed`, { op: name });
      }
      if (values instanceof Tensor && values.info !== x.info) {
        throw new DTypeError(
          `Cannot ${name} ${values.dtype} values into a ${x.dtype} tensor: the dtypes must agree`,
          {
            op: name,
          },
        );
      }
      return (inplace ? putInplace : put)(name, x, p, valuesFor(name, x, p, values), accumulate, 1);
    },
  );
}

/** x with values at the places that tensors of indices give, as `set`; with `accumulate` they are added. */
export const indexPut: IndexPut = putter("indexPut", false);
/** `indexPut` in place. */
export const indexPut_: IndexPut = putter("indexPut_", true);
