/**
 * One index per element, along one dim: gather reads, scatter writes, its kin combine what meets in one place. Also
 * take, which counts elements row-major.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, record, recordInplace, requiresGrad, wants } from "../autograd.ts";
import { isScalar } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { broadcastShapes, shapeText, wrapDim } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { apartFrom, checkIndex, copyOf, placesOf, put, runChecked } from "./places.ts";
import { eq, logicalAnd, lt, where } from "./logic.ts";
import { add, div, mul } from "./pointwise.ts";
import { cast, type Operand, word } from "./map.ts";
import { expand, reshape } from "./view.ts";
import { intoWindow, narrow } from "./window.ts";

/** Reads one element for each index. */
export type Gather = (input: Tensor, dim: number, index: Tensor) => Tensor;
/** Writes one element for each index. */
export type ScatterAdd = (input: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor;
/** Options of `scatter`. */
export interface ScatterOptions {
  /** A number in the place of `src`. */
  value?: Operand | null;
  /** `"add"` or `"multiply"`: combine with what is there; not differentiable. */
  reduce?: "add" | "multiply" | null;
}
/** Writes elements, or one number, at indices. */
export type Scatter = (
  input: Tensor,
  dim: number,
  index: Tensor,
  src?: Operand | null | ScatterOptions,
  options?: ScatterOptions,
) => Tensor;
/** How `scatterReduce` combines. */
export type ScatterMode = "sum" | "prod" | "mean" | "amax" | "amin";
/** Combines elements at indices. */
export type ScatterReduce = (
  input: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: ScatterMode,
  options?: { includeSelf?: boolean },
) => Tensor;

const MODES: readonly ScatterMode[] = ["sum", "prod", "mean", "amax", "amin"];

/** The dim, once the index fits x; with src, it fits that too. */
function checkScatter(
  name: string,
  x: Tensor,
  dim: number,
  given: unknown,
  src: Tensor | null,
): number {
  const d = wrapDim(dim, x.ndim, name);
  const index = checkIndex(name, x, given);
  if (index.numel === 0) return d;
  const depth = (t: Tensor) => Math.max(t.ndim, 1);
  const size = (t: Tensor, i: number) => t.shape[i] ?? 1;
  if (depth(index) !== depth(x) || (src !== null && depth(src) !== depth(x))) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(x.shape)} by an index ${shapeText(index.shape)}${
        src === null ? "" : ` and src ${shapeText(src.shape)}`
      }: they must have the same number of dims`,
      { op: name },
    );
  }
  for (let i = 0; i < depth(x); i++) {
    if (i !== d && size(index, i) > size(x, i)) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(x.shape)} by an index ${shapeText(index.shape)}: size ${
          size(index, i)
        } is more than ${size(x, i)} in dim ${i}`,
        { op: name },
      );
    }
    if (src !== null && size(index, i) > size(src, i)) {
      throw new ShapeError(
        `Cannot ${name} src ${shapeText(src.shape)} by an index ${shapeText(index.shape)}: size ${
          size(index, i)
        } is more than ${size(src, i)} in dim ${i}`,
        { op: name },
      );
    }
  }
  return d;
}

/** A tensor of no dims as one of one dim. */
const deep = (t: Tensor): Tensor => t.ndim === 0 ? reshape(t, [1]) : t;

/** The part of src that indices use. */
function part(src: Tensor, index: Tensor): Tensor {
  return index.shape.reduce((s, n, d) => s.shape[d] === n ? s : narrow(s, d, 0, n), src);
}

/**
 * One element for each index along a dim: `out[i][j] = x[index[i][j]][j]` for dim 0. Shapes: index (I) with no more
 * than x's sizes in the other dims → (I). Types: all. Errors: IndexError for an index out of range.
 */
export const gather: Gather = op(
  "gather(input, dim, index, sparseGrad=false)",
  (x: Tensor, dim: number, index: Tensor) => {
    const d = checkScatter("gather", x, dim, index, null);
    return gatherAlong("gather", x, d, index);
  },
);

function gatherAlong(name: string, x: Tensor, d: number, index: Tensor): Tensor {
  const out = empty(index.shape, x.info, x.storage.device);
  if (index.numel > 0) {
    const [a, o, i] = [rawDeep(x), rawDeep(out), rawDeep(index)];
    runChecked(name, x, OP.gather, [o], [a, i], [d]);
  }
  if (wants(x)) {
    record(name, [x], [out], ([g]) => {
      if (g === null) return [null];
      return [scatterAdd(filled(x.shape, 0, g.info, g.storage.device), d, index, g)];
    }, [index]);
  }
  return out;
}

/** As `deep`, without a record. */
function rawDeep(t: Tensor): Tensor {
  return t.ndim > 0 ? t : new Tensor(t.storage, t.info, [1], [1], t.offset);
}

/** Combines src into x itself, unrecorded. Mode null: it takes the place of what was there. */
function scatterInto(
  name: string,
  x: Tensor,
  d: number,
  index: Tensor,
  src: Operand,
  mode: ScatterMode | null,
  own: boolean,
): void {
  if (index.numel === 0) return;
  const source = src instanceof Tensor ? part(rawDeep(src), rawDeep(index)) : word(src, x.info);
  const scalars = mode === null ? [d] : [d, MODES.indexOf(mode), own ? 1 : 0];
  const opcode = mode === null ? OP.scatter : OP.scatter_reduce;
  runChecked(name, x, opcode, [rawDeep(x)], [source, rawDeep(index)], scalars);
}

function sameType(name: string, x: Tensor, src: unknown): Tensor {
  if (!(src instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name} ${show(src)}: src must be a tensor`, { op: name });
  }
  if (src.info !== x.info) {
    throw new DTypeError(
      `Cannot ${name} a ${src.dtype} src into a ${x.dtype} tensor: the dtypes must agree`,
      { op: name },
    );
  }
  return src;
}

/** The gradient of a written src: what g has at the indices, zero where src was not used. */
function srcGrad(g: Tensor, d: number, index: Tensor, src: Tensor): Tensor {
  if (index.numel === 0) return filled(src.shape, 0, g.info, g.storage.device);
  const read = gather(deep(g), d, deep(index));
  const unused = index.shape.some((n, i) => n !== src.shape[i]);
  if (!unused) return reshape(read, src.shape);
  return reshape(intoCorner(read, deep(src).shape), src.shape);
}

/** Zeros in whose first corner stand values. */
function intoCorner(values: Tensor, shape: readonly number[]): Tensor {
  return intoWindow(values, shape, (w) => values.shape.reduce((v, n, d) => narrow(v, d, 0, n), w));
}

function scatterer(name: string, inplace: boolean): Scatter {
  return op<Scatter>(
    `${name}(input, dim, index, src=null, value=null, reduce=null)`,
    (
      x: Tensor,
      dim: number,
      index: Tensor,
      src: Operand | null,
      value: Operand | null,
      reduce: "add" | "multiply" | null,
    ) => {
      let from: Operand | null = src ?? value;
      if (from === null) {
        throw new ArgumentError(`Cannot ${name}: src or value is missing`, { op: name });
      }
      if (!isScalar(from) && !(from instanceof Tensor)) {
        throw new ArgumentError(`Cannot ${name} ${show(from)}: src must be a tensor or a number`, {
          op: name,
        });
      }
      // A value is one number for all indices.
      if (src === null && from instanceof Tensor) from = from.item();
      const source = from instanceof Tensor ? sameType(name, x, from) : null;
      if (reduce !== null && reduce !== "add" && reduce !== "multiply") {
        throw new ArgumentError(
          `Cannot ${name}: reduce ${show(reduce)} is not "add" or "multiply"`,
          { op: name },
        );
      }
      const d = checkScatter(name, x, dim, index, source);
      const mode = reduce === null ? null : reduce === "add" ? "sum" : "prod";
      return applyScatter(name, x, d, index, from, mode, inplace);
    },
  );
}

/** Writes into a copy or in place, and records it: sums and plain writes are differentiable. */
function applyScatter(
  name: string,
  x: Tensor,
  d: number,
  given: Tensor,
  src: Operand,
  mode: ScatterMode | null,
  inplace: boolean,
): Tensor {
  const source = src instanceof Tensor ? src : null;
  const inputs = source === null ? [] : [source];
  const differentiable = mode === null || mode === "sum";
  if (inplace) checkInplace(name, x, inputs);
  const index = inplace ? apartFrom(x, given) : given;
  const out = inplace ? x : copyOf(x);
  const recording = wants(x, source);
  if (recording && !differentiable) {
    throw new ArgumentError(
      `Cannot ${name} with reduce "multiply" where gradients are wanted: it has none`,
      {
        op: name,
        hint: `scatterReduce(…, "prod")`,
      },
    );
  }
  scatterInto(
    name,
    out,
    d,
    index,
    source === null ? src : inplace ? apartFrom(x, source) : source,
    mode,
    true,
  );
  const rule = ([g]: readonly (Tensor | null)[]) => {
    if (g === null) return [null, null];
    const gx = mode === "sum" ? g : scatter(g, d, index, 0);
    return source === null
      ? [gx]
      : [gx, requiresGrad(source) ? srcGrad(g, d, index, source) : null];
  };
  if (inplace) recordInplace(name, x, inputs, rule, [index]);
  else if (recording) record(name, [x, ...inputs], [out], rule, [index]);
  return out;
}

/**
 * x with src, or one number, written at indices of a dim: `out[index[i][j]][j] = src[i][j]` for dim 0. Of elements
 * that meet in one place the last stays. `reduce` adds or multiplies instead.
 */
export const scatter: Scatter = scatterer("scatter", false);
/** `scatter` in place. */
export const scatter_: Scatter = scatterer("scatter_", true);

function adder(name: string, inplace: boolean): ScatterAdd {
  return op<ScatterAdd>(
    `${name}(input, dim, index, src)`,
    (x: Tensor, dim: number, index: Tensor, src: Tensor) => {
      const source = sameType(name, x, src);
      return applyScatter(
        name,
        x,
        checkScatter(name, x, dim, index, source),
        index,
        source,
        "sum",
        inplace,
      );
    },
  );
}

/** x with src added at indices of a dim; elements that meet in one place are all added, in order, halves in float32. */
export const scatterAdd: ScatterAdd = adder("scatterAdd", false);
/** `scatterAdd` in place. */
export const scatterAdd_: ScatterAdd = adder("scatterAdd_", true);

function reducer(name: string, inplace: boolean): ScatterReduce {
  return op<ScatterReduce>(
    `${name}(input, dim, index, src, reduce, includeSelf=true)`,
    (x: Tensor, dim: number, index: Tensor, given: Tensor, mode: ScatterMode, own: boolean) => {
      if (!MODES.includes(mode)) {
        throw new ArgumentError(
          `Cannot ${name}: reduce ${show(mode)} is not one of ${MODES.join(", ")}`,
          { op: name },
        );
      }
      const src = sameType(name, x, given);
      const d = checkScatter(name, x, dim, index, src);
      if (inplace) checkInplace(name, x, [src]);
      const safe = inplace ? apartFrom(x, index) : index;
      // The rules read the value before.
      const before = inplace ? (wants(x, src) ? copyOf(x) : x) : x;
      const out = inplace ? x : copyOf(x);
      scatterInto(name, out, d, safe, inplace ? apartFrom(x, src) : src, mode, own);
      const used = (): Tensor => part(src, safe);
      const rule = ([g]: readonly (Tensor | null)[]) => {
        if (g === null) return [null, null];
        if (x.ndim === 0) {
          const [gx, gs] = reduceGrads(
            mode,
            own,
            deep(g),
            deep(before),
            d,
            deep(safe),
            deep(used()),
            deep(out),
          );
          return [reshape(gx, []), reshape(gs, src.shape)];
        }
        const [gx, gs] = reduceGrads(mode, own, g, before, d, safe, used(), out);
        const whole = safe.shape.every((n, i) => n === src.shape[i]);
        return [gx, whole ? gs : intoCorner(gs, src.shape)];
      };
      if (inplace) recordInplace(name, x, [src], rule, [src, safe]);
      else if (wants(x, src)) record(name, [x, src], [out], rule, [x, src, safe, out]);
      return out;
    },
  );
}

/** Gradients of x and of the used part of src, after PyTorch's `scatter_reduce_backward`. */
function reduceGrads(
  mode: ScatterMode,
  own: boolean,
  g: Tensor,
  x: Tensor,
  d: number,
  index: Tensor,
  src: Tensor,
  out: Tensor,
): [Tensor, Tensor] {
  const zeros = filled(x.shape, 0, g.info, g.storage.device);
  const asFloat = (t: Tensor) => cast(t, g.dtype);
  let gx: Tensor, gs: Tensor;
  if (mode === "sum") {
    [gx, gs] = [g, gather(g, d, index)];
  } else if (mode === "mean") {
    const counts = scatterAdd(
      filled(x.shape, own ? 1 : 0, g.info, g.storage.device),
      d,
      index,
      filled(src.shape, 1, g.info, g.storage.device),
    );
    gx = div(g, where(eq(counts, 0), 1, counts));
    gs = gather(gx, d, index);
  } else if (mode === "prod") {
    const isZero = eq(x, 0), srcZero = eq(src, 0);
    const ones = where(isZero, 1, x);
    gx = div(mul(g, scatterReduce(ones, d, index, src, "prod", { includeSelf: own })), ones);
    const zerosMet = gather(scatterAdd(zeros, d, index, asFloat(srcZero)), d, index);
    const single = logicalAnd(srcZero, eq(zerosMet, 1));
    const others = scatterReduce(x, d, index, where(single, 1, src), "prod", { includeSelf: own });
    gs = where(
      single,
      gather(mul(g, others), d, index),
      div(gather(mul(g, out), d, index), where(srcZero, 1, src)),
    );
  } else {
    const mine = asFloat(eq(x, out)), theirs = asFloat(eq(src, gather(out, d, index)));
    const among = scatterAdd(own ? mine : zeros, d, index, theirs);
    const share = div(g, where(eq(among, 0), 1, among));
    // A place that nothing was written to keeps its own value and gradient.
    gx = mul(mine, share);
    gs = mul(theirs, gather(share, d, index));
  }
  // Without its own value, x counts only where nothing was written.
  return [own ? gx : scatter(gx, d, index, 0), gs];
}

/**
 * x combined with what src puts at indices of a dim: `"sum"`, `"prod"`, `"mean"`, `"amax"` or `"amin"`. With
 * `includeSelf: false` x's own value counts only where nothing is put.
 */
export const scatterReduce: ScatterReduce = reducer("scatterReduce", false);
/** `scatterReduce` in place. */
export const scatterReduce_: ScatterReduce = reducer("scatterReduce_", true);

/** Elements at indices that count them row-major. Shapes: x any, index (I) → (I). */
export const take: (input: Tensor, index: Tensor) => Tensor = op(
  "take(input, index)",
  (x: Tensor, given: Tensor) => {
    const index = checkIndex("take", x, given);
    const out = empty(index.shape, x.info, x.storage.device);
    runChecked("take", x, OP.take, [out], [x, index]);
    if (wants(x)) {
      record("take", [x], [out], ([g]) => {
        if (g === null) return [null];
        const flat = filled([x.numel], 0, g.info, g.storage.device);
        const places = placesOf("take", flat, [0], [index]);
        return [reshape(put("take", flat, places, g, true, 1), x.shape)];
      }, [index]);
    }
    return out;
  },
);

/** `gather` with indices that broadcast against x; without a dim, over its elements row-major. */
export const takeAlongDim: (
  input: Tensor,
  indices: Tensor,
  dim?: number | null | { dim?: number | null },
) => Tensor = op(
  "takeAlongDim(input, indices, dim=null)",
  (x: Tensor, given: Tensor, dim: number | null) => {
    const found = checkIndex("takeAlongDim", x, given, "indices");
    // Unlike gather, PyTorch counts negative ones from the end here.
    const size = dim === null ? x.numel : x.shape[wrapDim(dim, x.ndim, "takeAlongDim")] ?? 1;
    const indices = where(lt(found, 0), add(found, size), found);
    if (dim === null) {
      return gatherAlong("takeAlongDim", reshape(x, [-1]), 0, reshape(indices, [-1]));
    }
    if (x.ndim !== indices.ndim) {
      throw new ShapeError(
        `Cannot takeAlongDim ${shapeText(x.shape)} by indices ${
          shapeText(indices.shape)
        }: they have ${x.ndim} and ${indices.ndim} dims`,
        { op: "takeAlongDim" },
      );
    }
    const d = wrapDim(dim, x.ndim, "takeAlongDim");
    // All dims but the one that is indexed broadcast.
    const outer = broadcastShapes(x.shape.with(d, 1), indices.shape.with(d, 1), "takeAlongDim");
    return gatherAlong(
      "takeAlongDim",
      expand(x, outer.with(d, x.shape[d])),
      d,
      expand(indices, outer.with(d, indices.shape[d])),
    );
  },
);
