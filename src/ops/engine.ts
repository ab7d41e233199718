/**
 * Hands the autograd engine and the tensor class the few ops that they need.
 *
 * @module
 */
import { setEngineOps, wants } from "../autograd.ts";
import { mergeRows, rowsOf, tensorOfRows } from "../rows.ts";
import { setMaterialize, Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { add, mapOut } from "./pointwise.ts";
import { clone, contiguous } from "./view.ts";
import { OP } from "../../ffi/opcodes.gen.ts";

/** The window of a view on a contiguous tensor that has the shape of the view's base. */
function windowOn(g: Tensor, x: Tensor): Tensor {
  const base = x.base!;
  return new Tensor(g.storage, g.info, x.shape, x.strides, g.offset + x.offset - base.offset);
}

/** The sum of two gradients of which at least one is row-sparse, or null. */
function addRows(a: Tensor, b: Tensor): Tensor | null {
  const ra = rowsOf(a), rb = rowsOf(b);
  if ((ra === null && rb === null) || a.info !== b.info || wants(a, b)) return null;
  if (ra !== null && rb !== null) {
    const sum = mergeRows(ra, rb, a.shape[0]);
    return sum && tensorOfRows(sum, a.shape[0]);
  }
  const dense = clone(ra === null ? a : b);
  (ra ?? rb)!.addTo(dense);
  return dense;
}

/** Adds b to a in place where one is row-sparse; whether it did. */
function accumulateRows(a: Tensor, b: Tensor): boolean {
  const ra = rowsOf(a), rb = rowsOf(b);
  if (rb === null || a.info !== b.info) return false;
  const sum = ra && mergeRows(ra, rb, a.shape[0]);
  if (sum !== null) {
    a.storage.pending = sum;
    return true;
  }
  if (a.storage.state !== 0) a.storage.settle("add");
  if (!a.isContiguous()) return false;
  rb.addTo(a);
  return true;
}

setMaterialize((t) => contiguous(t));

setEngineOps({
  add: (a, b) => addRows(a, b) ?? add(a, b),
  accumulate: (a, b) => {
    if (!accumulateRows(a, b)) mapOut("add", OP.add, a, a, b, a.info);
    a.storage.version++;
    return a;
  },
  onesLike: (t) => filled(t.shape, 1, t.info, t.storage.device),
  own: (t) => {
    const rows = rowsOf(t);
    return rows === null ? clone(t) : tensorOfRows(rows.copy(), t.shape[0]);
  },
  window: (g, x) => windowOn(contiguous(g), x),
  withWindow: (g, x, gx) => {
    const out = clone(g);
    const window = windowOn(out, x);
    mapOut("copy", OP.copy, window, gx ?? 0, null, out.info);
    return out;
  },
  zerosWithWindow: (base, x, g) => {
    const out = filled(base.shape, 0, g.info, g.storage.device);
    mapOut("copy", OP.copy, windowOn(out, x), g, null, out.info);
    return out;
  },
});
