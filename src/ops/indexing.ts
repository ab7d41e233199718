/**
 * Reading and writing by indices, slices and masks: `at` and `set`. The ops that take tensors of indices along a dim are in
 * index_ops.ts, what takes an index per element in scattering.ts, what takes masks in masking.ts.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, inMode, recordInplace } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, IndexError, show } from "../errors.ts";
import { shapeText } from "../shape.ts";
import { type Index, Slice } from "../slice.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { filled, tensor } from "./creation.ts";
import { gradFor, mapOut, type Operand } from "./map.ts";
import { expand, unsqueeze } from "./view.ts";
import { selectIndex, sliceDim } from "./window.ts";
import {
  apartFrom,
  checkIndex,
  type Places,
  placesOf,
  putInplace,
  readAt,
  valuesFor,
} from "./places.ts";

// ---- at and set -----------------------------------------------------------------------------

/** An array as a tensor of indices: whole numbers, or booleans. */
function arrayIndex(name: string, x: Tensor, list: readonly unknown[]): Tensor {
  const flat = list.flat(Infinity);
  if (flat.every((v) => typeof v === "boolean") && flat.length > 0) {
    return tensor(list as boolean[], { device: x.device });
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
  return tensor(list as number[], { dtype: "int64", device: x.device });
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
export function expandMasks(
  name: string,
  x: Tensor,
  list: readonly (Tensor | null)[],
): Places | null {
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
      tensors[d++] = fromElements(
        new BigInt64Array(item ? 1 : 0),
        "int64",
        [item ? 1 : 0],
        x.storage.device,
      );
    } else if (item instanceof Tensor) {
      if (item.ndim === 0 && !isMask(item)) {
        take(checkIndex(name, x, item).item());
      } else if (item.ndim === 0) {
        widen();
        const n = item.item() === 0 ? 0 : 1;
        tensors[d++] = fromElements(new BigInt64Array(n), "int64", [n], x.storage.device);
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
