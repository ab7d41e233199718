/**
 * Running reductions along a dim: sums, products, extremes, log-sum-exp.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wants } from "../autograd.ts";
import { type DType, type DTypeInfo, dtypeInfo, DTYPES } from "../dtype.ts";
import { op } from "../op.ts";
import { wrapDim } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { type ValuesIndices, valuesIndices } from "./extreme.ts";
import { gt, lt, where } from "./logic.ts";
import { cast, toFloat, zerosOf } from "./map.ts";
import { exp, log, neg } from "./math.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { takenAs } from "./reduction.ts";
import { scatterAdd } from "./scattering.ts";
import { makeView } from "./view.ts";

/** A running reduction along a dim. */
export type Scan = (input: Tensor, dim: number) => Tensor;
/** A running reduction along a dim that can compute in another dtype. */
export type TypedScan = (input: Tensor, dim: number, options?: { dtype?: DType | null }) => Tensor;

/** A dim backwards, as a view with a negative stride. */
function backwards(x: Tensor, d: number): Tensor {
  if (x.ndim === 0 || x.shape[d] === 0) return x;
  const offset = x.offset + (x.shape[d] - 1) * x.strides[d];
  return makeView(
    "backwards",
    x,
    x.shape,
    x.strides.with(d, -x.strides[d]),
    offset,
    (g) => backwards(g, d),
  );
}

function scan(name: string, opcode: number, x: Tensor, d: number, info: DTypeInfo): Tensor {
  const out = empty(x.shape, info, x.storage.device);
  run(name, opcode, [out], [x], [info.code, d]);
  return out;
}

/** The dtype in which sums and products run: int64 for integers. */
function infoFor(name: string, x: Tensor, dtype: DType | null): DTypeInfo {
  return dtype !== null ? dtypeInfo(dtype, name) : x.info.isFloat ? x.info : DTYPES.int64;
}

/** Running sums along a dim: `y_i = x_0 + … + x_i`. Integers and bool give int64. */
export const cumsum: TypedScan = op(
  "cumsum(input, dim, dtype=null)",
  (input: Tensor, dim: number, dtype: DType | null) => {
    const info = infoFor("cumsum", input, dtype);
    const x = takenAs(input, info), d = wrapDim(dim, x.ndim, "cumsum");
    const out = scan("cumsum", OP.cumsum, x, d, info);
    if (wants(x)) {
      record("cumsum", [x], [out], ([g]) => [
        g && cast(backwards(cumsum(backwards(g, d), d), d), x.dtype),
      ], []);
    }
    return out;
  },
);

/** Running products along a dim: `y_i = x_0 · … · x_i`. Integers and bool give int64. Gradients are exact at 0. */
export const cumprod: TypedScan = op(
  "cumprod(input, dim, dtype=null)",
  (input: Tensor, dim: number, dtype: DType | null) => {
    const info = infoFor("cumprod", input, dtype);
    const x = takenAs(input, info), d = wrapDim(dim, x.ndim, "cumprod");
    const out = scan("cumprod", OP.cumprod, x, d, info);
    if (wants(x)) {
      record("cumprod", [x], [out], ([g]) => {
        if (g === null) return [null];
        if (isGradEnabled()) {
          return [
            cast(div(backwards(cumsum(backwards(mul(g, cumprod(x, d)), d), d), d), x), x.dtype),
          ];
        }
        const gx = empty(x.shape, x.info, x.storage.device);
        run("the backward of cumprod", OP.cumprod_grad, [gx], [g, x], [x.info.code, d]);
        return [gx];
      }, [x]);
    }
    return out;
  },
);

/** Running `log Σ exp(x)` along a dim. Types: float. */
export const logcumsumexp: Scan = op("logcumsumexp(input, dim)", (input: Tensor, dim: number) => {
  const x = cast(input, toFloat(input.dtype));
  const d = wrapDim(dim, x.ndim, "logcumsumexp");
  const out = scan("logcumsumexp", OP.logcumsumexp, x, d, x.info);
  if (wants(x)) {
    record("logcumsumexp", [x], [out], ([given]) => {
      if (given === null) return [null];
      // Logarithms of low precision would lose digits.
      const [g, wide, last] = [given, x, out].map((t) =>
        t.info.size === 2 ? cast(t, "float32") : t
      );
      // Σ_{k ≥ i} g_k exp(x_i - y_k), positive and negative g apart so that all of it happens in logarithms.
      const part = (size: Tensor) =>
        exp(add(backwards(logcumsumexp(backwards(sub(size, last), d), d), d), wide));
      const none = sub(zerosOf(g), Infinity);
      const one = add(zerosOf(g), 1);
      const up = where(gt(g, 0), log(where(gt(g, 0), g, one)), none);
      const down = where(lt(g, 0), log(where(lt(g, 0), neg(g), one)), none);
      return [cast(sub(part(up), part(down)), x.dtype)];
    }, [x, out]);
  }
  return out;
});

/** A running extreme along a dim, with places. */
export type ExtremeScan = (input: Tensor, dim: number) => ValuesIndices;

function extremes(name: string, greatest: boolean): ExtremeScan {
  return op<ExtremeScan>(`${name}(input, dim)`, (x: Tensor, dim: number) => {
    const d = wrapDim(dim, x.ndim, name);
    const values = empty(x.shape, x.info, x.storage.device);
    const indices = empty(x.shape, DTYPES.int64, x.storage.device);
    run(name, OP.cum_extreme, [values, indices], [x], [x.info.code, d, greatest ? 1 : 0]);
    if (wants(x)) {
      record(name, [x], [values], ([g]) => [
        g && (x.ndim === 0 ? g : scatterAdd(zerosOf(x), d, indices, g)),
      ], [indices]);
    }
    return valuesIndices(values, indices);
  });
}

/** The greatest element so far along a dim and its place; the last of equals is named, and NaN stays once met. */
export const cummax: ExtremeScan = extremes("cummax", true);
/** The least element so far along a dim and its place. As `cummax`. */
export const cummin: ExtremeScan = extremes("cummin", false);
