/**
 * Hands the autograd engine and the tensor class the few ops that they need.
 *
 * @module
 */
import { setAutocastCast } from "../autocast.ts";
import { setNanCheck } from "../autograd/anomaly.ts";
import { baseOf, inMode, record, setEngineOps, wants } from "../autograd.ts";
import { mergeRows, rowsOf, tensorOfRows } from "../rows.ts";
import { setMaterialize, Tensor } from "../tensor.ts";
import { addWindows, joinWindows } from "../windows.ts";
import { filled } from "./creation.ts";
import { isnan } from "./logic.ts";
import { cast, mapOut } from "./map.ts";
import { add } from "./pointwise.ts";
import { any } from "./reduction.ts";
import { clone, contiguous } from "./view.ts";
import { asStrided } from "./window.ts";
import { OP } from "../../ffi/opcodes.gen.ts";

/** The window of a view on a contiguous tensor that has the shape of the view's base. */
function windowOn(g: Tensor, x: Tensor): Tensor {
  const base = baseOf(x)!;
  return new Tensor(g.storage, g.info, x.shape, x.strides, g.offset + x.offset - base.offset);
}

/** The window of a view on a gradient of its base; recorded where that gradient is itself differentiated. */
function window(g: Tensor, x: Tensor): Tensor {
  const dense = contiguous(g);
  if (!wants(dense)) return windowOn(dense, x);
  return asStrided(dense, x.shape, x.strides, dense.offset + x.offset - baseOf(x)!.offset);
}

/** A copy of the base's gradient in which the window of x holds gx, or zero. */
function withWindow(g: Tensor, x: Tensor, gx: Tensor | null): Tensor {
  const out = inMode(false, () => clone(g));
  mapOut("copy", OP.copy, windowOn(out, x), gx ?? 0, null, out.info);
  if (wants(g, gx)) {
    const inputs = gx === null ? [g] : [g, gx];
    record("window", inputs, [out], ([gg]) => {
      if (gg === null) return [null, null];
      const outside = withWindow(gg, x, null);
      return gx === null ? [outside] : [outside, window(gg, x)];
    }, []);
  }
  return out;
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

setAutocastCast(cast);

setNanCheck((t) => t.info.isFloat && inMode(false, () => any(isnan(t))).item() !== 0);

setEngineOps({
  add: (a, b) => addRows(a, b) ?? joinWindows(a, b) ?? add(a, b),
  accumulate: (a, b) => {
    if (!addWindows(a, b) && !accumulateRows(a, b)) mapOut("add", OP.add, a, a, b, a.info);
    a.storage.version++;
    return a;
  },
  onesLike: (t) => filled(t.shape, 1, t.info, t.storage.device),
  own: (t) => {
    const rows = rowsOf(t);
    return rows === null ? clone(t) : tensorOfRows(rows.copy(), t.shape[0]);
  },
  window,
  withWindow,
  zerosWithWindow: (base, x, g) => {
    const out = filled(base.shape, 0, g.info, g.storage.device);
    mapOut("copy", OP.copy, windowOn(out, x), g, null, out.info);
    if (wants(g)) record("window", [g], [out], ([gg]) => [gg && window(gg, x)], []);
    return out;
  },
});
