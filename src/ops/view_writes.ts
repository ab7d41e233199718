/**
 * Copies of a tensor of which one window is another tensor, and copies of views: PyTorch's `…_scatter` and `…_copy`.
 *
 * @module
 */
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op, signatureOf } from "../op.ts";
import { sameShape, shapeText, wrapDim } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkTensor } from "./map.ts";
import { copy_ } from "./filling.ts";
import {
  clone,
  expand as expandView,
  permute as permuteView,
  squeeze as squeezeView,
  t as tView,
  transpose as transposeView,
  unsqueeze as unsqueezeView,
  view as viewView,
} from "./view.ts";
import {
  asStrided as asStridedView,
  type AsStridedOptions,
  diagonal as diagonalView,
  type DiagonalOptions,
  narrow as narrowView,
  select as selectView,
  sliceDim,
  split as splitView,
  unbind as unbindView,
  unfold as unfoldView,
} from "./window.ts";

// ---- windows written ----------------------------------------------------------------------------

function written(name: string, x: Tensor, src: unknown, window: (x: Tensor) => Tensor): Tensor {
  checkTensor(name, src, "src");
  const out = clone(x);
  const place = window(out);
  if (!sameShape(place.shape, src.shape)) {
    throw new ShapeError(
      `Cannot ${name} src ${shapeText(src.shape)} into a window ${
        shapeText(place.shape)
      }: they must have one shape`,
      { op: name },
    );
  }
  copy_(place, src);
  return out;
}

/** A copy in which `select(dim, index)` is `src`. */
export const selectScatter: (input: Tensor, src: Tensor, dim: number, index: number) => Tensor = op(
  "selectScatter(input, src, dim, index)",
  (x: Tensor, src: Tensor, dim: number, index: number) =>
    written("selectScatter", x, src, (y) => selectView(y, dim, index)),
);

/** Which part of a dim `sliceScatter` writes. */
export interface SliceScatterOptions {
  /** The dim; default 0. */
  dim?: number;
  /** Where it begins. */
  start?: number | null;
  /** Where it ends. */
  end?: number | null;
  /** From one place to the next; default 1. */
  step?: number;
}

/** A copy in which a slice of a dim is `src`. */
export const sliceScatter: (
  input: Tensor,
  src: Tensor,
  dim?: number | SliceScatterOptions,
  start?: number | null | SliceScatterOptions,
  options?: SliceScatterOptions,
) => Tensor = op(
  "sliceScatter(input, src, dim=0, start=null, end=null, step=1)",
  (
    x: Tensor,
    src: Tensor,
    dim: number,
    start: number | null,
    end: number | null,
    step: number,
  ) =>
    written("sliceScatter", x, src, (y) => {
      const d = wrapDim(dim, y.ndim, "sliceScatter"), n = y.shape[d];
      if (!Number.isInteger(step) || step < 1) {
        throw new ArgumentError(
          `Cannot sliceScatter with step ${show(step)}: it must be positive`,
          {
            op: "sliceScatter",
          },
        );
      }
      const inside = (i: number) => Math.min(Math.max(i < 0 ? i + n : i, 0), n);
      return sliceDim(y, d, inside(start ?? 0), inside(end ?? n), step, "sliceScatter");
    }),
);

/** A copy in which `diagonal` is `src`. */
export const diagonalScatter: (
  input: Tensor,
  src: Tensor,
  offset?: number | DiagonalOptions,
  dim1?: number | DiagonalOptions,
  options?: DiagonalOptions,
) => Tensor = op(
  "diagonalScatter(input, src, offset=0, dim1=0, dim2=1)",
  (x: Tensor, src: Tensor, offset: number, dim1: number, dim2: number) =>
    written("diagonalScatter", x, src, (y) => diagonalView(y, { offset, dim1, dim2 })),
);

/**
 * A copy in which `asStrided` is `src`. The gradient of the input is that of what lies outside the window; PyTorch gives that
 * of the window, which its own gradcheck refuses.
 */
export const asStridedScatter: (
  input: Tensor,
  src: Tensor,
  size: readonly number[],
  stride: readonly number[],
  storageOffset?: number | null | AsStridedOptions,
) => Tensor = op(
  "asStridedScatter(input, src, size, stride, storageOffset=null)",
  (
    x: Tensor,
    src: Tensor,
    size: readonly number[],
    stride: readonly number[],
    storageOffset: number | null,
  ) =>
    written(
      "asStridedScatter",
      x,
      src,
      (y) => asStridedView(y, size, stride, { storageOffset: storageOffset ?? 0 }),
    ),
);

// ---- views copied -------------------------------------------------------------------------------

/** Declares the copying form of a view, with the same parameters. */
// deno-lint-ignore no-explicit-any
function copied<F extends (...args: any[]) => Tensor | Tensor[]>(f: F, name: string): F {
  const { params, required } = signatureOf(f)!;
  const list = params.map((p) =>
    p.required ? p.name : `${p.name}=${JSON.stringify(p.default).replaceAll('"', "'")}`
  );
  return op<F>(
    `${name}(${list.join(", ")})`,
    ((...args: unknown[]) => {
      const options = Object.fromEntries(
        params.slice(required).map((p, i) => [p.name, args[required + i]]),
      );
      const given = params.length > required ? [...args.slice(0, required), options] : args;
      const result = f(...given as never[]);
      return Array.isArray(result) ? result.map((t) => clone(t)) : clone(result);
    }) as never,
  );
}

/** `asStrided`, copied. */
export const asStridedCopy: typeof asStridedView = copied(asStridedView, "asStridedCopy");
/** `diagonal`, copied. */
export const diagonalCopy: typeof diagonalView = copied(diagonalView, "diagonalCopy");
/** `expand`, copied. */
export const expandCopy: typeof expandView = copied(expandView, "expandCopy");
/** `narrow`, copied. */
export const narrowCopy: typeof narrowView = copied(narrowView, "narrowCopy");
/** `permute`, copied. */
export const permuteCopy: typeof permuteView = copied(permuteView, "permuteCopy");
/** `select`, copied. */
export const selectCopy: typeof selectView = copied(selectView, "selectCopy");
/** `split`, copied. */
export const splitCopy: typeof splitView = copied(splitView, "splitCopy");
/** `squeeze`, copied. */
export const squeezeCopy: typeof squeezeView = copied(squeezeView, "squeezeCopy");
/** `t`, copied. */
export const tCopy: typeof tView = copied(tView, "tCopy");
/** `transpose`, copied. */
export const transposeCopy: typeof transposeView = copied(transposeView, "transposeCopy");
/** `unbind`, copied. */
export const unbindCopy: typeof unbindView = copied(unbindView, "unbindCopy");
/** `unfold`, copied. */
export const unfoldCopy: typeof unfoldView = copied(unfoldView, "unfoldCopy");
/** `unsqueeze`, copied. */
export const unsqueezeCopy: typeof unsqueezeView = copied(unsqueezeView, "unsqueezeCopy");
/** `view`, copied. */
export const viewCopy: typeof viewView = copied(viewView, "viewCopy");
