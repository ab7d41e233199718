/**
 * What a mask or a count decides: places of non-zero elements, selection by masks, repeats by counts, histograms.
 * Sizes that depend on data take two instructions, count and fill.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, inMode, record, recordInplace, requiresGrad, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, contiguousStrides, sameShape, shapeText, wrapDim } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { apartFrom, copyOf } from "./places.ts";
import { indexSelect } from "./index_ops.ts";
import { nonzeroOf } from "./indexing.ts";
import { maskedFill } from "./logic.ts";
import { gradFor, stretched } from "./map.ts";
import { amax, amin } from "./reduction.ts";
import { reshape, unsqueeze } from "./view.ts";
import { intoWindow, narrow, unbind } from "./window.ts";

/** The int64 that a counting instruction leaves. */
function countBy(name: string, opcode: number, x: Tensor, scalars: readonly number[] = []): number {
  const count = empty([1], DTYPES.int64, x.storage.device);
  run(name, opcode, [count], [x], scalars);
  return count.item();
}

/** Where elements are not zero. */
export interface Nonzero {
  (input: Tensor, options?: { asTuple?: false }): Tensor;
  (input: Tensor, options: { asTuple: true }): Tensor[];
}

/**
 * The indices of the elements that are not zero, row-major: int64 (n, dims). With `asTuple`, an array with one tensor
 * for each dim, which can be used as indices.
 */
export const nonzero: Nonzero = op<
  (input: Tensor, options?: { asTuple?: boolean }) => Tensor | Tensor[]
>(
  "nonzero(input, asTuple=false)",
  (x: Tensor, asTuple: boolean) => {
    if (!asTuple) return nonzeroOf(x);
    return inMode(false, () => unbind(nonzeroOf(x.ndim === 0 ? reshape(x, [1]) : x), 1));
  },
) as Nonzero;

/** The indices of the elements that are not zero: int64 (n, dims). */
export const argwhere: (input: Tensor) => Tensor = op(
  "argwhere(input)",
  (x: Tensor) => nonzeroOf(x),
);

function checkMask(name: string, mask: unknown): Tensor {
  if (!(mask instanceof Tensor) || mask.dtype !== "bool") {
    throw new DTypeError(`Cannot ${name} by ${show(mask)}: the mask must be a bool tensor`, {
      op: name,
    });
  }
  return mask;
}

/** The elements of x where a mask is set, in one dim. x and mask broadcast together. */
export const maskedSelect: (input: Tensor, mask: Tensor) => Tensor = op(
  "maskedSelect(input, mask)",
  (x: Tensor, given: Tensor) => {
    const mask = checkMask("maskedSelect", given);
    const shape = broadcastShapes(x.shape, mask.shape, "maskedSelect");
    const m = stretched(mask, shape);
    const n = countBy("maskedSelect", OP.nonzero_count, m);
    const out = empty([n], x.info, x.storage.device);
    run("maskedSelect", OP.masked_select, [out], [stretched(x, shape), m]);
    if (wants(x)) {
      record("maskedSelect", [x], [out], ([g]) => {
        if (g === null) return [null];
        return [gradFor(maskedScatter(filled(shape, 0, g.info, g.storage.device), m, g), x)];
      }, [mask]);
    }
    return out;
  },
);

/** Writes a source's elements, one after the other, where a mask is set. */
export type MaskedScatter = (input: Tensor, mask: Tensor, source: Tensor) => Tensor;

function scatterer(name: string, inplace: boolean): MaskedScatter {
  return op<MaskedScatter>(
    `${name}(input, mask, source)`,
    (x: Tensor, given: Tensor, source: Tensor) => {
      const mask = checkMask(name, given);
      if (!(source instanceof Tensor) || source.info !== x.info) {
        throw new DTypeError(
          `Cannot ${name} ${show(source)} into ${show(x)}: the dtypes must agree`,
          { op: name },
        );
      }
      const shape = broadcastShapes(x.shape, mask.shape, name);
      if (inplace && !sameShape(shape, x.shape)) {
        throw new ShapeError(
          `Cannot ${name} ${shapeText(x.shape)} by a mask ${
            shapeText(mask.shape)
          }: the mask must broadcast to it`,
          {
            op: name,
          },
        );
      }
      if (inplace) checkInplace(name, x, [source]);
      const safe = inplace ? apartFrom(x, mask) : mask;
      const m = stretched(safe, shape);
      const n = countBy(name, OP.nonzero_count, m);
      if (n > source.numel) {
        throw new ShapeError(
          `Cannot ${name}: the mask chooses ${n} elements, the source ${
            shapeText(source.shape)
          } has ${source.numel}`,
          {
            op: name,
          },
        );
      }
      const out = inplace ? x : copyOf(stretched(x, shape));
      run(name, OP.masked_scatter, [out], [m, inplace ? apartFrom(x, source) : source]);
      const rule = ([g]: readonly (Tensor | null)[]) => {
        if (g === null) return [null, null];
        const gx = gradFor(maskedFill(g, m, 0), x);
        if (!requiresGrad(source)) return [gx, null];
        const used = maskedSelect(g, m);
        const flat = used.numel === source.numel
          ? used
          : intoWindow(used, [source.numel], (w) => narrow(w, 0, 0, n));
        return [gx, reshape(flat, source.shape)];
      };
      if (inplace) recordInplace(name, x, [source], rule, [safe]);
      else if (wants(x, source)) record(name, [x, source], [out], rule, [safe]);
      return out;
    },
  );
}

/** x in which the places that a mask sets hold the elements of a source, in order. x and mask broadcast together. */
export const maskedScatter: MaskedScatter = scatterer("maskedScatter", false);
/** `maskedScatter` in place. */
export const maskedScatter_: MaskedScatter = scatterer("maskedScatter_", true);

/** Along which dim, and how many elements come out when that is known. */
export interface RepeatOptions {
  /** The dim; null: all elements, row-major. */
  dim?: number | null;
  /** The size of the result along the dim, which saves counting. */
  outputSize?: number | null;
}

/**
 * Each element repeated, one beside the other: by a number, or by a count for each index of the dim.
 * Shapes: (…, N, …) → (…, Σ repeats, …).
 */
export const repeatInterleave: (
  input: Tensor,
  repeats?: number | Tensor | null,
  dim?: number | null | RepeatOptions,
  options?: RepeatOptions,
) => Tensor = op(
  "repeatInterleave(input, repeats=null, dim=null, outputSize=null)",
  (given: Tensor, count: number | Tensor | null, dim: number | null, outputSize: number | null) => {
    const name = "repeatInterleave";
    if (count === null) return repeatPlaces(given, given.numel, outputSize);
    const x = dim === null ? reshape(given, [-1]) : given.ndim === 0 ? reshape(given, [1]) : given;
    const d = dim === null ? 0 : wrapDim(dim, x.ndim, name);
    if (typeof count === "number") {
      if (!Number.isInteger(count) || count < 0) {
        throw new ArgumentError(
          `Cannot ${name} by ${count}: repeats must be a whole number from 0 on`,
          { op: name },
        );
      }
      const shape = x.shape.toSpliced(d + 1, 0, count);
      const strides = x.strides.toSpliced(d + 1, 0, 0);
      const wide = new Tensor(x.storage, x.info, shape, strides, x.offset);
      const out = copyOf(wide);
      const merged = x.shape.with(d, x.shape[d] * count);
      const flat = new Tensor(out.storage, out.info, merged, contiguousStrides(merged), 0);
      if (wants(x)) {
        record(
          name,
          [x],
          [flat],
          ([g]) => [g && reshape(gradFor(reshape(g, shape), unsqueezed(x, d + 1)), x.shape)],
          [],
        );
      }
      return flat;
    }
    if (!(count instanceof Tensor)) {
      throw new ArgumentError(
        `Cannot ${name} by ${show(count)}: repeats must be a number or a tensor`,
        { op: name },
      );
    }
    if (count.numel === 1 && x.shape[d] !== 1) return repeatInterleave(x, count.item(), d);
    return indexSelect(x, d, repeatPlaces(count, x.shape[d], outputSize));
  },
);

const unsqueezed = (x: Tensor, d: number): Tensor => inMode(false, () => unsqueeze(x, d));

/** Each number i from 0 on, `repeats[i]` times. */
function repeatPlaces(repeats: Tensor, n: number, outputSize: number | null): Tensor {
  const name = "repeatInterleave";
  if (
    (repeats.dtype !== "int64" && repeats.dtype !== "int32") || repeats.ndim > 1 ||
    repeats.numel !== n
  ) {
    throw new ArgumentError(
      `Cannot ${name} by ${
        show(repeats)
      }: repeats are int64 or int32, one for each of the ${n} indices`,
      { op: name },
    );
  }
  const total = countBy(name, OP.repeat_count, repeats);
  if (total < 0) {
    throw new ArgumentError(`Cannot ${name}: a count of repeats is negative`, { op: name });
  }
  if (outputSize !== null && outputSize !== total) {
    throw new ArgumentError(
      `Cannot ${name}: the repeats add up to ${total}, outputSize is ${outputSize}`,
      { op: name },
    );
  }
  const out = empty([total], DTYPES.int64, repeats.storage.device);
  run(name, OP.repeat, [out], [repeats.ndim === 0 ? reshape(repeats, [1]) : repeats]);
  return out;
}

/** How to count. */
export interface BincountOptions {
  /** What each value counts for; default 1. */
  weights?: Tensor | null;
  /** The least length of the result. */
  minlength?: number;
}

/** How often each number from 0 on occurs: (N) of integers → int64, or the sums of weights as floats. */
export const bincount: (
  input: Tensor,
  weights?: Tensor | null | BincountOptions,
  minlength?: number | BincountOptions,
) => Tensor = op(
  "bincount(input, weights=null, minlength=0)",
  (x: Tensor, weights: Tensor | null, minlength: number) => {
    if (x.ndim !== 1 || x.info.isFloat || x.dtype === "bool") {
      throw new ArgumentError(
        `Cannot bincount ${show(x)}: it takes one dim of integers from 0 on`,
        { op: "bincount" },
      );
    }
    if (weights !== null && !(weights instanceof Tensor && sameShape(weights.shape, x.shape))) {
      throw new ShapeError(
        `Cannot bincount ${shapeText(x.shape)} with weights ${
          show(weights)
        }: one weight for each value`,
        {
          op: "bincount",
        },
      );
    }
    if (!Number.isInteger(minlength) || minlength < 0) {
      throw new ArgumentError(
        `Cannot bincount with minlength ${show(minlength)}: it must be a whole number from 0 on`,
        {
          op: "bincount",
        },
      );
    }
    const size = countBy("bincount", OP.bincount_size, x, [minlength]);
    if (size < 0) {
      throw new ArgumentError("Cannot bincount: a value is negative", { op: "bincount" });
    }
    const info = weights === null
      ? DTYPES.int64
      : weights.dtype === "float32"
      ? DTYPES.float32
      : DTYPES.float64;
    const out = empty([size], info, x.storage.device);
    run("bincount", OP.bincount, [out], weights === null ? [x] : [x, weights]);
    return out;
  },
);

/** The bins of a histogram. */
export interface HistcOptions {
  /** How many. */
  bins?: number;
  /** Their lower end. */
  min?: number;
  /** Their upper end; where both are equal the data's own ends are taken. */
  max?: number;
}

/** How many elements fall into each of equal bins between two numbers; the last bin takes its upper end too. */
export const histc: (
  input: Tensor,
  bins?: number | HistcOptions,
  min?: number | HistcOptions,
  options?: HistcOptions,
) => Tensor = op(
  "histc(input, bins=100, min=0, max=0)",
  (x: Tensor, bins: number, min: number, max: number) => {
    if (!x.info.isFloat) {
      throw new DTypeError(`Cannot histc ${show(x)}: it takes float tensors`, { op: "histc" });
    }
    if (!Number.isInteger(bins) || bins < 1) {
      throw new ArgumentError(`Cannot histc into ${show(bins)} bins: at least 1 is needed`, {
        op: "histc",
      });
    }
    let low = min, high = max;
    if (low === high && x.numel > 0) {
      const all = x.detach();
      [low, high] = [Number(amin(all).item()), Number(amax(all).item())];
    }
    if (low === high) {
      low -= 1;
      high += 1;
    }
    if (!(low < high) || !Number.isFinite(low) || !Number.isFinite(high)) {
      throw new ArgumentError(
        `Cannot histc from ${low} to ${high}: both must be finite, the first below the second`,
        {
          op: "histc",
        },
      );
    }
    const out = empty([bins], x.info, x.storage.device);
    run("histc", OP.histc, [out], [x], [low, high]);
    return out;
  },
);
