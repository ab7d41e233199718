/**
 * Tensors of patterns: sequences, the identity, triangles, one-hot rows.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import {
  type DType,
  dtypeInfo,
  DTYPES,
  getDefaultDtype,
  type Scalar,
  scalarCategory,
} from "../dtype.ts";
import { ArgumentError, DTypeError, IndexError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { checkSize, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { type CreationOptions, deviceNumber, filled, wantGrad } from "./creation.ts";
import { checkNumber, copyOf, numberOf, word } from "./map.ts";

/** Numbers at equal steps: `arange(5)`, `arange(2, 8)`, `arange(0, 1, 0.25)`. */
export interface Arange {
  /** 0, 1, … below `end`. */
  (end: Scalar, options?: CreationOptions): Tensor;
  /** `start`, `start + step`, … before `end`; `step` is 1 by default. */
  (start: Scalar, end: Scalar, step?: Scalar | CreationOptions, options?: CreationOptions): Tensor;
}

/**
 * Numbers from `start` (default 0) on, `step` apart, before `end`. int64 when all three are whole numbers, else the
 * default float dtype. Errors: ArgumentError for a step of 0 or of the wrong sign.
 */
export const arange: Arange = op(
  "arange(start, end=null, step=1, dtype=null, device=null, requiresGrad=false)",
  (
    first: Scalar,
    second: Scalar | null,
    step: Scalar,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const start = second === null ? 0 : first, end = second === null ? first : second;
    for (const [key, value] of Object.entries({ start, end, step })) {
      checkNumber("arange", value, key);
    }
    const [a, b, c] = [start, end, step].map(numberOf);
    if (c === 0 || !Number.isFinite(a) || !Number.isFinite(b) || Number.isNaN(c)) {
      throw new ArgumentError(
        `Cannot arange from ${a} to ${b} by ${c}: bounds must be finite and step not 0`,
        { op: "arange" },
      );
    }
    if ((b - a) * Math.sign(c) < 0) {
      throw new ArgumentError(
        `Cannot arange from ${a} to ${b} by ${c}: the step leads away from the end`,
        { op: "arange" },
      );
    }
    const whole = [start, end, step].every((x) => scalarCategory(x) < 2);
    const info = dtypeInfo(dtype ?? (whole ? "int64" : getDefaultDtype()), "arange");
    const count = whole ? countWhole(start, end, step) : Math.ceil((b - a) / c);
    const t = empty(checkSize([count], "arange"), info, deviceNumber(device, "arange"));
    run("arange", OP.arange, [t], [], [word(start, info), word(step, info)]);
    return wantGrad(t, requiresGrad, "arange");
  },
) as Arange;

/** ⌈(end - start) / step⌉, exact for int64. */
function countWhole(start: Scalar, end: Scalar, step: Scalar): number {
  const [a, b, c] = [start, end, step].map((x) => word(x, DTYPES.int64) as bigint);
  const span = b - a, size = c < 0n ? -c : c, length = span < 0n ? -span : span;
  return Number((length + size - 1n) / size);
}

/** A number of equally spaced values. */
export type Spaced = (
  start: Scalar | Tensor,
  end: Scalar | Tensor,
  steps: number,
  options?: CreationOptions,
) => Tensor;

function spaced(
  name: string,
  start: Scalar | Tensor,
  end: Scalar | Tensor,
  steps: number,
  base: number,
  info: DType | null,
  device: string | null,
): Tensor {
  const [from, to] = [endOf(name, start, "start"), endOf(name, end, "end")];
  if (!Number.isInteger(steps) || steps < 0) {
    throw new ArgumentError(
      `Cannot ${name} in ${show(steps)} steps: it must be a whole number from 0 on`,
      { op: name },
    );
  }
  const t = empty([steps], dtypeInfo(info ?? getDefaultDtype(), name), deviceNumber(device, name));
  const whole = !t.info.isFloat;
  run(name, OP.linspace, [t], [], [
    whole ? Math.trunc(from) : from,
    whole ? Math.trunc(to) : to,
    base,
  ]);
  return t;
}

/** An end of a range: a number, or what a tensor of no dims holds. */
function endOf(name: string, value: Scalar | Tensor, what: string): number {
  if (value instanceof Tensor) {
    if (value.ndim !== 0) {
      throw new ArgumentError(`Cannot ${name}: ${what} ${show(value)} must have no dims`, {
        op: name,
      });
    }
    return Number(value.item());
  }
  checkNumber(name, value, what);
  return numberOf(value);
}

/** `steps` numbers from `start` to `end`, both included, at equal distances. */
export const linspace: Spaced = op(
  "linspace(start, end, steps, dtype=null, device=null, requiresGrad=false)",
  (
    start: Scalar | Tensor,
    end: Scalar | Tensor,
    steps: number,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => wantGrad(spaced("linspace", start, end, steps, 0, dtype, device), requiresGrad, "linspace"),
);

/** What `logspace` takes by name. */
export interface LogspaceOptions extends CreationOptions {
  /** What is raised to the powers; default 10. */
  base?: number;
}

/** `base` to the power of `linspace(start, end, steps)`. */
export const logspace: (
  start: Scalar | Tensor,
  end: Scalar | Tensor,
  steps: number,
  base?: number | LogspaceOptions,
  options?: LogspaceOptions,
) => Tensor = op(
  "logspace(start, end, steps, base=10, dtype=null, device=null, requiresGrad=false)",
  (
    start: Scalar | Tensor,
    end: Scalar | Tensor,
    steps: number,
    base: number,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    if (typeof base !== "number" || base === 0) {
      throw new ArgumentError(
        `Cannot logspace with base ${show(base)}: it must be a number other than 0`,
        { op: "logspace" },
      );
    }
    return wantGrad(
      spaced("logspace", start, end, steps, base, dtype, device),
      requiresGrad,
      "logspace",
    );
  },
);

/** The identity matrix. */
export type Eye = (
  n: number,
  m?: number | null | CreationOptions,
  options?: CreationOptions,
) => Tensor;

/** Ones on the diagonal, zeros elsewhere. Shape: (n, m), m = n by default. */
export const eye: Eye = op(
  "eye(n, m=null, dtype=null, device=null, requiresGrad=false)",
  (
    n: number,
    m: number | null,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const shape = checkSize([n, m ?? n], "eye");
    const info = dtypeInfo(dtype ?? getDefaultDtype(), "eye");
    const t = filled(shape, 0, info, deviceNumber(device, "eye"));
    const diagonal = new Tensor(t.storage, info, [Math.min(...shape)], [shape[1] + 1], 0);
    run("eye", OP.fill, [diagonal], [], [info.code, word(1, info)]);
    return wantGrad(t, requiresGrad, "eye");
  },
);

// ---- triangles ----------------------------------------------------------------------------------

/** What `tril` and `triu` take by name. */
export interface TriangleOptions {
  /** Which diagonal bounds the triangle: 0 the main one, above it positive. */
  diagonal?: number;
}
/** A triangle of each matrix. */
export type Triangle = (input: Tensor, diagonal?: number | TriangleOptions) => Tensor;

function triangle(name: string, upper: boolean): Triangle {
  const self: Triangle = op<Triangle>(
    `${name}(input, diagonal=0)`,
    (x: Tensor, diagonal: number) => {
      if (!Number.isSafeInteger(diagonal)) {
        throw new ArgumentError(
          `Cannot ${name}: diagonal must be a whole number, got ${show(diagonal)}`,
          { op: name },
        );
      }
      if (x.ndim < 2) {
        throw new ShapeError(`Cannot ${name} ${shapeText(x.shape)}: a matrix has at least 2 dims`, {
          op: name,
        });
      }
      const out = copyOf(x);
      if (out.numel > 0) run(name, OP.triangle, [out], [], [BigInt(diagonal), upper ? 1 : 0]);
      if (wants(x)) record(name, [x], [out], ([g]) => [g && self(g, diagonal)], []);
      return out;
    },
  );
  return self;
}

/** What lies on and below a diagonal of each matrix, zeros above. Shapes: (…, M, N). */
export const tril: Triangle = triangle("tril", false);
/** What lies on and above a diagonal of each matrix, zeros below. Shapes: (…, M, N). */
export const triu: Triangle = triangle("triu", true);

// ---- classes ------------------------------------------------------------------------------------

/** What `oneHot` takes by name. */
export interface OneHotOptions {
  /** How many classes there are; default: one more than the greatest index, which is looked up. */
  numClasses?: number;
}

/**
 * For each index a row of zeros with a 1 at the index. Shapes: input (…) int64 → (…, C) int64.
 * Errors: IndexError for an index outside 0 … C - 1.
 */
export const oneHot: (tensor: Tensor, numClasses?: number | OneHotOptions) => Tensor = op(
  "oneHot(tensor, numClasses=-1)",
  (x: Tensor, numClasses: number) => {
    if (!(x instanceof Tensor) || x.dtype !== "int64") {
      throw new DTypeError(`Cannot oneHot ${show(x)}: classes are an int64 tensor`, {
        op: "oneHot",
        hint: 'to("int64")',
      });
    }
    if (!Number.isInteger(numClasses) || numClasses < -1 || numClasses === 0) {
      throw new ArgumentError(
        `Cannot oneHot with ${
          show(numClasses)
        } classes: there must be 1 or more, or -1 for as many as occur`,
        { op: "oneHot" },
      );
    }
    let classes = numClasses;
    if (classes === -1) {
      if (x.numel === 0) {
        throw new ArgumentError(
          `Cannot oneHot ${show(x)} without numClasses: it has no elements to count by`,
          { op: "oneHot" },
        );
      }
      const values = x.toTypedArray() as BigInt64Array;
      const least = values.reduce((a, b) => a < b ? a : b),
        most = values.reduce((a, b) => a > b ? a : b);
      if (least < 0n) {
        throw new IndexError(`Cannot oneHot: class ${least} is negative`, { op: "oneHot" });
      }
      classes = Number(most) + 1;
    }
    const out = empty(checkSize([...x.shape, classes], "oneHot"), DTYPES.int64, x.storage.device);
    run("oneHot", OP.one_hot, [out], [x]);
    return out;
  },
);
