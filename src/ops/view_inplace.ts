/**
 * Views in place: a tensor takes other dims and strides and stays the same object. `resize_` may give its storage other
 * memory.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, isGradEnabled, isGradLeaf, metaOf, requiresGrad } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { AutogradError } from "../errors.ts";
import { allocate, unscoped } from "../memory.ts";
import { op } from "../op.ts";
import { checkSize, contiguousStrides, numelOf, shapeText } from "../shape.ts";
import { adoptWindow, Tensor } from "../tensor.ts";
import { checkTensor, mapOut } from "./map.ts";
import {
  type DimsArgument,
  type Sized,
  squeeze,
  t,
  transpose,
  type TwoDims,
  unsqueeze,
} from "./view.ts";
import { asStrided } from "./window.ts";

/**
 * Makes x the view of what it was. Its former self, with its place on the tape, lives on as another tensor: the base of x
 * and of all views made of x before.
 */
function becomeView(name: string, x: Tensor, view: (former: Tensor) => Tensor): Tensor {
  checkInplace(name, x, []);
  const recording = isGradEnabled() && requiresGrad(x);
  if (recording && metaOf(x).used) {
    throw new AutogradError(
      `Cannot ${name} ${
        shapeText(x.shape)
      } in place: an op was recorded on it, whose gradient has these dims`,
      { op: name, hint: `use ${name.slice(0, -1)}, which gives a view` },
    );
  }
  const former = new Tensor(x.storage, x.info, x.shape, x.strides, x.offset);
  former.base = x.base;
  // A leaf that wants gradients stays one: only under noGrad does it come here.
  const isLeaf = isGradLeaf(x);
  if (!isLeaf) former.meta = x.meta;
  const now = view(former);
  adoptWindow(x, now);
  if (!isLeaf) {
    x.base = now.base;
    x.meta = now.meta;
  }
  x.storage.version++;
  return x;
}

/** `squeeze` in place; a method. */
export const squeeze_: (input: Tensor, dim?: DimsArgument) => Tensor = op(
  "squeeze_(input, dim=null)",
  (x: Tensor, dim: number | readonly number[] | null) =>
    becomeView("squeeze_", x, (former) => squeeze(former, dim)),
);

/** `unsqueeze` in place; a method. */
export const unsqueeze_: (input: Tensor, dim: number) => Tensor = op(
  "unsqueeze_(input, dim)",
  (x: Tensor, dim: number) => becomeView("unsqueeze_", x, (former) => unsqueeze(former, dim)),
);

/** `transpose` in place; a method. */
export const transpose_: TwoDims = op(
  "transpose_(input, dim0, dim1)",
  (x: Tensor, dim0: number, dim1: number) =>
    becomeView("transpose_", x, (former) => transpose(former, dim0, dim1)),
);

/** `t` in place; a method. */
export const t_: (input: Tensor) => Tensor = op(
  "t_(input)",
  (x: Tensor) => becomeView("t_", x, t),
);

/** `asStrided` in place. */
export const asStrided_: typeof asStrided = op(
  "asStrided_(input, size, stride, storageOffset=null)",
  (x: Tensor, size: readonly number[], stride: readonly number[], storageOffset: number | null) =>
    becomeView("asStrided_", x, (former) => asStrided(former, size, stride, { storageOffset })),
);

/**
 * Other sizes, contiguous, for the same object: elements stay in the order in which they lie in memory. Where there are more
 * of them than the storage holds, it gets other memory, for views of it too, and the new elements are undefined. A method.
 * Errors: AutogradError when gradients are wanted for it.
 */
export const resize_: Sized = op("resize_(input, size)", (x: Tensor, size: readonly number[]) => {
  if (requiresGrad(x)) {
    throw new AutogradError(
      `Cannot resize_ ${shapeText(x.shape)} in place: gradients are wanted for it`,
      { op: "resize_", hint: "detach() it, or use reshape, narrow or pad" },
    );
  }
  const shape = checkSize(size, "resize_");
  const { storage, info } = x;
  storage.settle("resize_");
  const bytes = (x.offset + numelOf(shape)) * info.size;
  if (numelOf(shape) > 0 && bytes > storage.bytes) {
    // As Tensor's own memory, it belongs to no scope but that of the storage.
    const grown = unscoped(() => allocate(bytes, storage.device));
    const kept = [storage.bytes], byte = DTYPES.uint8;
    const from = new Tensor(storage, byte, kept, [1], 0);
    if (storage.bytes > 0) {
      mapOut("resize_", OP.copy, new Tensor(grown, byte, kept, [1], 0), from, null, byte);
    }
    storage.adopt(grown);
  }
  if (x.base === null) {
    // Views made so far are windows of all that there is.
    const room = [Math.floor(storage.bytes / info.size)];
    x.base = new Tensor(storage, info, room, [1], 0);
  }
  adoptWindow(x, new Tensor(storage, info, shape, contiguousStrides(shape), x.offset));
  storage.version++;
  return x;
});

/** `resize_` to the shape of another tensor. */
export const resizeAs_: (input: Tensor, theTemplate: Tensor) => Tensor = op(
  "resizeAs_(input, theTemplate)",
  (x: Tensor, template: Tensor) => {
    checkTensor("resizeAs_", template, "theTemplate");
    return resize_(x, template.shape);
  },
);

/** Lets go of the tensor's history, in place. Errors: AutogradError for a view that has one. */
export const detach_: (input: Tensor) => Tensor = op("detach_(input)", (x: Tensor) => {
  const { meta } = x;
  if (x.base !== null && requiresGrad(x)) {
    throw new AutogradError("Cannot detach_ a view in place: its base keeps the history", {
      op: "detach_",
      hint: "detach() gives another tensor",
    });
  }
  if (meta !== null) {
    meta.node?.retained?.delete(meta.slot);
    x.meta = null;
  }
  return x;
});
