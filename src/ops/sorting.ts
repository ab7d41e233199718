/**
 * Order: sorting, the largest and smallest, searching in what is sorted, unique values.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, wants } from "../autograd.ts";
import { DTYPES, isScalar, promoteTypes, type Scalar } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText, wrapDim } from "../shape.ts";
import { empty, fromElements, Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { type ValuesIndices, valuesIndices } from "./extreme.ts";
import { indexSelect } from "./index_ops.ts";
import { word } from "./map.ts";
import { scatterAdd } from "./scattering.ts";
import { movedim, reshape, squeeze } from "./view.ts";

/** Runs a kernel that picks elements of a dim, and records that gradients go back to where they stood. */
function pick(
  name: string,
  opcode: number,
  x: Tensor,
  d: number,
  length: number,
  scalars: readonly number[],
): ValuesIndices {
  const deep = x.ndim === 0 ? new Tensor(x.storage, x.info, [1], [1], x.offset) : x;
  const shape = deep.shape.with(d, length);
  const values = empty(shape, x.info, x.storage.device);
  const indices = empty(shape, DTYPES.int64, x.storage.device);
  run(name, opcode, [values, indices], [deep], [d, ...scalars]);
  const flat = (t: Tensor) => x.ndim > 0 ? t : new Tensor(t.storage, t.info, [], [], t.offset);
  const out = valuesIndices(flat(values), flat(indices));
  if (wants(x)) {
    record(name, [x], [out.values], ([g]) => {
      if (g === null) return [null];
      return [scatterAdd(filled(x.shape, 0, g.info, g.storage.device), d, out.indices, g)];
    }, [out.indices]);
  }
  return out;
}

/** Which dim, and in which order. */
export interface SortOptions {
  /** The dim; default the last. */
  dim?: number;
  /** The largest first. */
  descending?: boolean;
  /** Equal elements keep their order; they always do. */
  stable?: boolean | null;
}
/** Sorts along a dim. */
export type Sort = (
  input: Tensor,
  dim?: number | SortOptions,
  options?: SortOptions,
) => ValuesIndices;

/**
 * Values in order along a dim, and their indices. Equal elements keep their order; NaN counts as the largest.
 * Types: all. Gradient: goes back to where the values stood.
 */
export const sort: Sort = op(
  "sort(input, dim=-1, descending=false, stable=false)",
  (x: Tensor, dim: number, descending: boolean) => {
    const d = wrapDim(dim, x.ndim, "sort");
    return pick("sort", OP.sort, x, d, x.shape[d] ?? 1, [descending ? 1 : 0]);
  },
);

/** The indices that `sort` gives, int64. */
export const argsort: (input: Tensor, dim?: number | SortOptions, options?: SortOptions) => Tensor =
  op(
    "argsort(input, dim=-1, descending=false, stable=false)",
    (x: Tensor, dim: number, descending: boolean) => {
      const d = wrapDim(dim, x.ndim, "argsort");
      return inMode(
        false,
        () => pick("argsort", OP.sort, x, d, x.shape[d] ?? 1, [descending ? 1 : 0]).indices,
      );
    },
  );

/** The values sorted along dim 0. */
export const msort: (input: Tensor) => Tensor = op(
  "msort(input)",
  (x: Tensor) => sort(x, 0).values,
);

/** Which dim, which end, in which order. */
export interface TopkOptions {
  /** The dim; default the last. */
  dim?: number;
  /** The largest (default), or the smallest. */
  largest?: boolean;
  /** In order (default); else in any. */
  sorted?: boolean;
}
/** Takes the first k in order. */
export type Topk = (
  input: Tensor,
  k: number,
  dim?: number | TopkOptions,
  options?: TopkOptions,
) => ValuesIndices;

/** The k largest, or smallest, along a dim, and their indices; of equal ones the first. Shapes: (…, N, …) → (…, k, …). */
export const topk: Topk = op(
  "topk(input, k, dim=-1, largest=true, sorted=true)",
  (x: Tensor, k: number, dim: number, largest: boolean, sorted: boolean) => {
    const d = wrapDim(dim, x.ndim, "topk"), n = x.shape[d] ?? 1;
    if (!Number.isInteger(k) || k < 0 || k > n) {
      throw new ArgumentError(
        `Cannot topk ${shapeText(x.shape)} by k ${
          show(k)
        }: it must be from 0 to ${n}, the size of dim ${d}`,
        { op: "topk" },
      );
    }
    return pick("topk", OP.topk, x, d, k, [largest ? 1 : 0, sorted ? 1 : 0]);
  },
);

/** Which dim, and whether it stays. */
export interface KthOptions {
  /** The dim; default the last. */
  dim?: number;
  /** Keep the dim with size 1. */
  keepdim?: boolean;
}
/** Takes the k-th. */
export type Kthvalue = (
  input: Tensor,
  k: number,
  dim?: number | KthOptions,
  options?: KthOptions,
) => ValuesIndices;

/** The k-th smallest along a dim, k from 1 on, and its index. NaN counts as the largest. */
export const kthvalue: Kthvalue = op(
  "kthvalue(input, k, dim=-1, keepdim=false)",
  (x: Tensor, k: number, dim: number, keepdim: boolean) => {
    const d = wrapDim(dim, x.ndim, "kthvalue"), n = x.shape[d] ?? 1;
    if (!Number.isInteger(k) || k < 1 || k > n) {
      throw new ArgumentError(
        `Cannot kthvalue ${shapeText(x.shape)} by k ${
          show(k)
        }: it must be from 1 to ${n}, the size of dim ${d}`,
        { op: "kthvalue" },
      );
    }
    const found = pick("kthvalue", OP.kthvalue, x, d, 1, [k]);
    if (keepdim || x.ndim === 0) return found;
    return valuesIndices(squeeze(found.values, d), squeeze(found.indices, d));
  },
);

// ---- searching ------------------------------------------------------------------------------

/** How to search. */
export interface SearchOptions {
  /** Give int32 instead of int64. */
  outInt32?: boolean;
  /** Go behind equal elements instead of before them. */
  right?: boolean;
  /** `"left"` or `"right"`, in the place of `right`. */
  side?: "left" | "right" | null;
  /** The order that sorts the sequence, int64. */
  sorter?: Tensor | null;
}

/**
 * Where values belong in sorted sequences so that these stay sorted. Shapes: sequence (S) with values (…), or (…, S)
 * with (…, V); a number gives a 0-d result.
 */
export const searchsorted: (
  sortedSequence: Tensor,
  input: Tensor | Scalar,
  options?: SearchOptions,
) => Tensor = op(
  "searchsorted(sortedSequence, input, outInt32=false, right=false, side=null, sorter=null)",
  (
    sequence: Tensor,
    values: Tensor | Scalar,
    outInt32: boolean,
    right: boolean,
    side: "left" | "right" | null,
    sorter: Tensor | null,
  ) => {
    if (side !== null && side !== "left" && side !== "right") {
      throw new ArgumentError(`Cannot searchsorted: side ${show(side)} is not "left" or "right"`, {
        op: "searchsorted",
      });
    }
    if (side === "left" && right) {
      throw new ArgumentError(`Cannot searchsorted: side "left" and right contradict each other`, {
        op: "searchsorted",
      });
    }
    return search("searchsorted", sequence, values, outInt32, right || side === "right", sorter);
  },
);

/** `searchsorted` with the arguments the other way round: into which of the buckets between boundaries values fall. */
export const bucketize: (
  input: Tensor | Scalar,
  boundaries: Tensor,
  options?: { outInt32?: boolean; right?: boolean },
) => Tensor = op(
  "bucketize(values, boundaries, outInt32=false, right=false)",
  (values: Tensor | Scalar, boundaries: Tensor, outInt32: boolean, right: boolean) => {
    if (boundaries instanceof Tensor && boundaries.ndim !== 1) {
      throw new ShapeError(
        `Cannot bucketize by boundaries ${shapeText(boundaries.shape)}: they must have one dim`,
        {
          op: "bucketize",
        },
      );
    }
    return search("bucketize", boundaries, values, outInt32, right, null);
  },
);

function search(
  name: string,
  sequence: unknown,
  values: unknown,
  outInt32: boolean,
  right: boolean,
  sorter: Tensor | null,
): Tensor {
  if (!(sequence instanceof Tensor) || sequence.ndim === 0) {
    throw new ArgumentError(
      `Cannot ${name} in ${show(sequence)}: the sequence must be a tensor of at least one dim`,
      {
        op: name,
      },
    );
  }
  const info = outInt32 ? DTYPES.int32 : DTYPES.int64;
  const scalars = [right ? 1 : 0];
  const extra = sorter === null ? [] : [sorter];
  if (sorter !== null && (sorter.dtype !== "int64" || !sameShape(sorter.shape, sequence.shape))) {
    throw new ArgumentError(
      `Cannot ${name} with sorter ${show(sorter)}: it must be int64 and like the sequence`,
      { op: name },
    );
  }
  if (isScalar(values)) {
    if (sequence.ndim !== 1) {
      throw new ShapeError(
        `Cannot ${name} a number in ${shapeText(sequence.shape)}: the sequence must have one dim`,
        { op: name },
      );
    }
    const out = empty([], info, sequence.storage.device);
    const whole = typeof values === "bigint" || typeof values === "boolean";
    run(name, OP.searchsorted, [out], [
      sequence,
      word(values, whole ? DTYPES.int64 : DTYPES.float64),
      ...extra,
    ], scalars);
    return out;
  }
  if (!(values instanceof Tensor)) {
    throw new ArgumentError(`Cannot ${name} ${show(values)}: values must be a tensor or a number`, {
      op: name,
    });
  }
  if (values.info !== sequence.info) {
    throw new DTypeError(
      `Cannot ${name} ${values.dtype} values in a ${sequence.dtype} sequence: the dtypes must agree`,
      { op: name },
    );
  }
  if (sequence.ndim > 1 && !sameShape(sequence.shape.slice(0, -1), values.shape.slice(0, -1))) {
    throw new ShapeError(
      `Cannot ${name} ${shapeText(values.shape)} in ${
        shapeText(sequence.shape)
      }: all dims but the last must agree`,
      { op: name },
    );
  }
  const deep = values.ndim === 0
    ? new Tensor(values.storage, values.info, [1], [1], values.offset)
    : values;
  const out = empty(deep.shape, info, sequence.storage.device);
  run(name, OP.searchsorted, [out], [sequence, deep, ...extra], scalars);
  return values.ndim === 0 ? new Tensor(out.storage, out.info, [], [], out.offset) : out;
}

/** Whether each element occurs among others: bool, like the elements. Types: all; both meet in the promoted type. */
export const isin: (
  elements: Tensor | Scalar,
  testElements: Tensor | Scalar,
  options?: { assumeUnique?: boolean; invert?: boolean },
) => Tensor = op(
  "isin(elements, testElements, assumeUnique=false, invert=false)",
  (elements: Tensor | Scalar, test: Tensor | Scalar, _assumeUnique: boolean, invert: boolean) => {
    const tensors = [elements, test].filter((t) => t instanceof Tensor);
    if (
      tensors.length === 0 || ![elements, test].every((t) => t instanceof Tensor || isScalar(t))
    ) {
      throw new ArgumentError(
        `Cannot isin ${show(elements)} and ${show(test)}: at least one must be a tensor`,
        { op: "isin" },
      );
    }
    const like = tensors[0] as Tensor;
    const asTensor = (t: Tensor | Scalar) =>
      t instanceof Tensor ? t : filled(
        [],
        t,
        Number.isInteger(Number(t)) ? like.info : DTYPES.float64,
        like.storage.device,
      );
    const [x, numbers] = [asTensor(elements), asTensor(test)];
    const dtype = promoteTypes(x.dtype, numbers.dtype);
    const sorted = inMode(false, () => sort(reshape(numbers, [-1])).values);
    const out = empty(x.shape, DTYPES.bool, x.storage.device);
    run("isin", OP.isin, [out], [x, sorted], [DTYPES[dtype].code, invert ? 1 : 0]);
    return out;
  },
);

// ---- unique ---------------------------------------------------------------------------------

/** What beside the values is wanted. */
export interface UniqueOptions {
  /** Values in order (default); they always are. */
  sorted?: boolean;
  /** Also where each element went. */
  returnInverse?: boolean;
  /** Also how often each value occurs. */
  returnCounts?: boolean;
  /** Slices of this dim instead of elements. */
  dim?: number | null;
}

/** What `unique` gives when more than the values is asked for. */
export interface UniqueResult extends Iterable<Tensor> {
  /** The values. */
  readonly output: Tensor;
  /** For each element the place of its value, int64; undefined when not asked for. */
  readonly inverseIndices: Tensor | undefined;
  /** How often each value occurs, int64; undefined when not asked for. */
  readonly counts: Tensor | undefined;
}

class UniqueValues implements UniqueResult {
  constructor(
    readonly output: Tensor,
    readonly inverseIndices: Tensor | undefined,
    readonly counts: Tensor | undefined,
  ) {}
  *[Symbol.iterator](): Iterator<Tensor> {
    yield this.output;
    if (this.inverseIndices) yield this.inverseIndices;
    if (this.counts) yield this.counts;
  }
}

/** Finds different values; more than the values is an object. */
export interface Unique {
  (
    input: Tensor,
    options?: UniqueOptions & { returnInverse?: false; returnCounts?: false },
  ): Tensor;
  (input: Tensor, options: UniqueOptions): UniqueResult;
}

type AnyUnique = (input: Tensor, options?: UniqueOptions) => Tensor | UniqueResult;

function different(
  name: string,
  x: Tensor,
  inverse: boolean,
  counts: boolean,
  dim: number | null,
  order: (rows: Tensor) => Tensor,
): Tensor | UniqueResult {
  const d = dim === null ? null : wrapDim(dim, x.ndim, name);
  const found = inMode(false, () => {
    const front = d === null ? reshape(x, [x.numel, 1]) : movedim(x, d, 0);
    const n = front.shape[0], width = n === 0 ? 1 : front.numel / n;
    const rows = d === null ? front : reshape(front, [n, width]);
    const by = order(rows);
    const device = x.storage.device;
    const count = empty([1], DTYPES.int64, device);
    run(name, OP.unique_count, [count], [rows, by]);
    const m = count.item();
    const outs = [m, n, m].map((k) => empty([k], DTYPES.int64, device));
    run(name, OP.unique, outs, [rows, by]);
    const values = d === null
      ? indexSelect(reshape(x, [-1]), 0, outs[0])
      : indexSelect(x, d, outs[0]);
    return { values, inverse: d === null ? reshape(outs[1], x.shape) : outs[1], counts: outs[2] };
  });
  if (!inverse && !counts) return found.values;
  return new UniqueValues(
    found.values,
    inverse ? found.inverse : undefined,
    counts ? found.counts : undefined,
  );
}

/**
 * The different values in order, or the different slices of a dim. Not differentiable. With `returnInverse` or
 * `returnCounts`: `{ output, inverseIndices, counts }`.
 */
export const unique: Unique = op<AnyUnique>(
  "unique(input, sorted=true, returnInverse=false, returnCounts=false, dim=null)",
  (x: Tensor, _sorted: boolean, inverse: boolean, counts: boolean, dim: number | null) =>
    different("unique", x, inverse, counts, dim, (rows) => {
      if (rows.shape[1] === 1) return sort(reshape(rows, [-1])).indices;
      const order = empty([rows.shape[0]], DTYPES.int64, rows.storage.device);
      run("unique", OP.sort_rows, [order], [rows]);
      return order;
    }),
) as Unique;

/** As `unique`, but only neighbours that are equal become one, and nothing is sorted. */
export const uniqueConsecutive: Unique = op<AnyUnique>(
  "uniqueConsecutive(input, returnInverse=false, returnCounts=false, dim=null)",
  (x: Tensor, inverse: boolean, counts: boolean, dim: number | null) =>
    different("uniqueConsecutive", x, inverse, counts, dim, (rows) => {
      const order = BigInt64Array.from({ length: rows.shape[0] }, (_, i) => BigInt(i));
      return fromElements(order, "int64", [rows.shape[0]], rows.storage.device);
    }),
) as Unique;
