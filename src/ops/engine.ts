/**
 * Hands the autograd engine and the tensor class the few ops that they need.
 *
 * @module
 */
import { setEngineOps } from "../autograd.ts";
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

setMaterialize((t) => contiguous(t));

setEngineOps({
  add: (a, b) => add(a, b),
  accumulate: (a, b) => {
    mapOut("add", OP.add, a, a, b, a.info);
    a.storage.version++;
    return a;
  },
  onesLike: (t) => filled(t.shape, 1, t.info, t.storage.device),
  own: (t) => clone(t),
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
