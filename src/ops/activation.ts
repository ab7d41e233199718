/**
 * Activation functions. Each gradient is one fused kernel; where it is itself differentiated, the same rule written in
 * ops serves.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wantsAny } from "../autograd.ts";
import { DTYPES, Float } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText, wrapDim } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { gt, le, logicalAnd, logicalOr, lt, where } from "./logic.ts";
import {
  applyUnary,
  applyUnaryInplace,
  checkNumber,
  checkTensor,
  gradFor,
  mapAll,
  mapInto,
  needs,
  numberOf,
  type Unary,
  unary,
  type UnaryForm,
  unaryInplace,
} from "./map.ts";
import { abs, erf, exp, neg, reciprocal, square, tanh } from "./math.ts";
import { add, mul } from "./pointwise.ts";

const ZERO = new Float(0);
const ONE = new Float(1);

/** Fails for tensors that are not of a float type. */
function floatsOnly(name: string, x: Tensor): void {
  if (!x.info.isFloat) {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it takes float tensors`, { op: name });
  }
}

/** An activation: `slope` is its derivative in ops, `p` its parameters. */
function form(
  opcode: number,
  gradOpcode: number,
  slope: (x: Tensor, p: readonly number[]) => Tensor,
): UnaryForm {
  return {
    opcode,
    gradOpcode,
    result: "same",
    saves: "x",
    refuse: floatsOnly,
    rule: (g, x, _, p) => mul(g, slope(x, p)),
  };
}

/** A mask as numbers of a tensor's type. */
function ones(mask: Tensor, x: Tensor): Tensor {
  return mapInto("to", OP.copy, mask, null, x.info, x.info);
}

/** A form that makes floats of integers. */
function floating({ refuse: _, ...rest }: UnaryForm): UnaryForm {
  return { ...rest, result: "float" };
}

// ---- without parameters -------------------------------------------------------------------------

const reluForm: UnaryForm = {
  opcode: OP.relu,
  gradOpcode: OP.relu_grad,
  result: "same",
  saves: "y",
  rule: (g, _, y) => where(le(y, 0), ZERO, g),
  refuse(name, x) {
    if (x.info === DTYPES.bool) {
      throw new DTypeError(`Cannot ${name} ${show(x)}: it takes numbers`, { op: name });
    }
  },
};
/**
 * `max(x, 0)`. Types: all but bool. The gradient at 0 is 0.
 *
 * ```ts
 * import { relu, tensor } from "@toro/toro";
 * relu(tensor([-1, 0, 2])).toArray(); // [0, 0, 2]
 * ```
 */
export const relu: Unary = unary("relu", reluForm);
/** `relu` in place. */
export const relu_: Unary = unaryInplace("relu_", reluForm);

/** The gradient before a ReLU, of that after it and of its result. */
export function reluGrad(g: Tensor, y: Tensor): Tensor {
  return isGradEnabled()
    ? where(le(y, 0), ZERO, g)
    : mapInto("relu", OP.relu_grad, g, y, y.info, y.info);
}

const sigmoidForm: UnaryForm = {
  opcode: OP.sigmoid,
  gradOpcode: OP.sigmoid_grad,
  result: "float",
  saves: "y",
  rule: (g, _, y) => mul(g, mul(y, add(neg(y), 1))),
};

/** `1 / (1 + e⁻ˣ)`, between 0 and 1. Integers become floats. */
export const sigmoid: Unary = unary("sigmoid", sigmoidForm);
/** `sigmoid` in place. */
export const sigmoid_: Unary = unaryInplace("sigmoid_", sigmoidForm);

/** s (1 + x (1 - s)) with s = sigmoid(x) */
const siluSlope = (x: Tensor): Tensor => {
  const s = sigmoid(x);
  return mul(s, add(mul(x, add(neg(s), 1)), 1));
};
/** `x · sigmoid(x)`, also called swish. Source: Elfwing et al. 2017, arXiv 1702.03118. */
export const silu: Unary = unary("silu", form(OP.silu, OP.silu_grad, siluSlope));

const mishSlope = (x: Tensor): Tensor => {
  const t = tanh(softplus(x));
  return add(t, mul(mul(x, sigmoid(x)), add(neg(square(t)), 1)));
};
/** `x · tanh(softplus(x))`. Source: Misra 2019, arXiv 1908.08681. */
export const mish: Unary = unary("mish", form(OP.mish, OP.mish_grad, mishSlope));

const softsignSlope = (x: Tensor): Tensor => reciprocal(square(add(abs(x), 1)));
/** `x / (1 + |x|)`. */
export const softsign: Unary = unary(
  "softsign",
  floating(form(OP.softsign, OP.softsign_grad, softsignSlope)),
);

/** `log sigmoid(x)` without overflow. */
export const logsigmoid: Unary = unary(
  "logsigmoid",
  form(OP.logsigmoid, OP.logsigmoid_grad, (x) => sigmoid(neg(x))),
);

/** `x - tanh(x)`. */
export const tanhshrink: Unary = unary(
  "tanhshrink",
  floating(form(OP.tanhshrink, OP.tanhshrink_grad, (x) => square(tanh(x)))),
);

const hardsigmoidSlope = (x: Tensor): Tensor =>
  mul(ones(logicalAnd(gt(x, -3), lt(x, 3)), x), 1 / 6);
/** `x / 6 + 1/2` kept between 0 and 1. Source: Howard et al. 2019, arXiv 1905.02244. */
export const hardsigmoid: Unary = unary(
  "hardsigmoid",
  form(OP.hardsigmoid, OP.hardsigmoid_grad, hardsigmoidSlope),
);

const hardswishSlope = (x: Tensor): Tensor =>
  where(le(x, -3), ZERO, where(lt(x, 3), add(mul(x, 1 / 3), 0.5), ONE));
/** `x · hardsigmoid(x)`. Source: Howard et al. 2019, arXiv 1905.02244. */
export const hardswish: Unary = unary(
  "hardswish",
  form(OP.hardswish, OP.hardswish_grad, hardswishSlope),
);

// ---- with parameters ----------------------------------------------------------------------------

/** Fails unless all of an activation's parameters are numbers; gives them as such. */
function numbers(name: string, values: Record<string, unknown>): number[] {
  return Object.entries(values).map(([key, value]) => {
    checkNumber(name, value, key);
    return numberOf(value);
  });
}

/** What `leakyRelu` takes by name. */
export interface LeakyReluOptions {
  /** The slope below 0; default 0.01. */
  negativeSlope?: number;
}
/** `relu` with a slope below 0. */
export type LeakyRelu = (input: Tensor, negativeSlope?: number | LeakyReluOptions) => Tensor;

const leakyForm = form(
  OP.leaky_relu,
  OP.leaky_relu_grad,
  (x, [slope]) => add(mul(ones(gt(x, 0), x), 1 - slope), slope),
);

function leaky(name: string, inplace: boolean): LeakyRelu {
  return op<LeakyRelu>(`${name}(input, negativeSlope=0.01)`, (x: Tensor, negativeSlope: number) => {
    const p = numbers(name, { negativeSlope });
    return inplace ? applyUnaryInplace(name, leakyForm, x, p) : applyUnary(name, leakyForm, x, p);
  });
}

/** `x` above 0, `negativeSlope · x` below. */
export const leakyRelu: LeakyRelu = leaky("leakyRelu", false);
/** `leakyRelu` in place. */
export const leakyRelu_: LeakyRelu = leaky("leakyRelu_", true);

/** What `elu` and `celu` take by name. */
export interface EluOptions {
  /** What it tends to at -∞, negated; default 1. */
  alpha?: number;
}
/** `elu`, `celu`. */
export type Elu = (input: Tensor, alpha?: number | EluOptions) => Tensor;

/** Parameters: alpha, scale, input scale. */
const eluForm = form(OP.elu, OP.elu_grad, (x, [alpha, scale, inner]) => {
  // Where x is positive the exponential may overflow, and ∞ · 0 would be NaN further back.
  const below = exp(mul(where(gt(x, 0), ZERO, x), inner));
  return where(gt(x, 0), new Float(scale), mul(below, new Float(alpha * scale * inner)));
});

function eluOp(name: string, inplace: boolean, celu: boolean): Elu {
  return op<Elu>(`${name}(input, alpha=1)`, (x: Tensor, alpha: number) => {
    const [a] = numbers(name, { alpha });
    if (celu && a === 0) {
      throw new ArgumentError(`Cannot ${name} ${show(x)} with alpha 0: it is divided by`, {
        op: name,
      });
    }
    const p = [a, 1, celu ? 1 / a : 1];
    return inplace ? applyUnaryInplace(name, eluForm, x, p) : applyUnary(name, eluForm, x, p);
  });
}

/** `x` above 0, `alpha (eˣ - 1)` below. Source: Clevert et al. 2015, arXiv 1511.07289. */
export const elu: Elu = eluOp("elu", false, false);
/** `elu` in place. */
export const elu_: Elu = eluOp("elu_", true, false);
/** `x` above 0, `alpha (e^(x / alpha) - 1)` below. Source: Barron 2017, arXiv 1704.07483. */
export const celu: Elu = eluOp("celu", false, true);
/** `celu` in place. */
export const celu_: Elu = eluOp("celu_", true, true);

/** Alpha and scale for which activations tend to mean 0 and variance 1. */
const SELU: readonly number[] = [
  1.6732632423543772848170429916717,
  1.0507009873554804934193349852946,
  1,
];
/** `scale · elu(x, alpha)` with the constants of Klambauer et al. 2017, arXiv 1706.02515. */
export const selu: Unary = op("selu(input)", (x: Tensor) => applyUnary("selu", eluForm, x, SELU));
/** `selu` in place. */
export const selu_: Unary = op(
  "selu_(input)",
  (x: Tensor) => applyUnaryInplace("selu_", eluForm, x, SELU),
);

/** What `gelu` takes by name. */
export interface GeluOptions {
  /** `"tanh"` for the approximation by tanh. */
  approximate?: "none" | "tanh";
}
/** The Gaussian error linear unit. */
export type Gelu = (input: Tensor, options?: GeluOptions) => Tensor;

const geluForm = form(OP.gelu, OP.gelu_grad, (x) => {
  const cdf = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
  const density = mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return add(cdf, mul(x, density));
});
const geluTanhForm = form(OP.gelu_tanh, OP.gelu_tanh_grad, (x) => {
  const scale = Math.sqrt(2 / Math.PI), cube = 0.044715;
  const squared = square(x);
  const t = tanh(mul(mul(x, add(mul(squared, cube), 1)), scale));
  const inner = mul(add(mul(squared, 3 * cube), 1), scale);
  const bend = mul(mul(x, add(neg(square(t)), 1)), inner);
  return mul(add(add(t, 1), bend), 0.5);
});

/** `x · Φ(x)`, Φ the normal distribution function. Source: Hendrycks and Gimpel 2016, arXiv 1606.08415. */
export const gelu: Gelu = op(
  "gelu(input, approximate='none')",
  (x: Tensor, approximate: string) => {
    if (approximate !== "none" && approximate !== "tanh") {
      throw new ArgumentError(
        `Cannot gelu: approximate ${show(approximate)} is not "none" or "tanh"`,
        { op: "gelu" },
      );
    }
    return applyUnary("gelu", approximate === "tanh" ? geluTanhForm : geluForm, x);
  },
);

/** What `softplus` takes by name. */
export interface SoftplusOptions {
  /** How sharp the bend is; default 1. */
  beta?: number;
  /** Where `beta · x` is above it, the result is x; default 20. */
  threshold?: number;
}
/** A smooth `relu`. */
export type Softplus = (
  input: Tensor,
  beta?: number | SoftplusOptions,
  threshold?: number | SoftplusOptions,
) => Tensor;

const softplusForm = form(OP.softplus, OP.softplus_grad, (x, [beta, threshold]) => {
  const scaled = mul(x, beta);
  return where(gt(scaled, threshold), ONE, sigmoid(scaled));
});

/** `log(1 + e^(beta x)) / beta`. */
export const softplus: Softplus = op(
  "softplus(input, beta=1, threshold=20)",
  (x: Tensor, beta: number, threshold: number) =>
    applyUnary("softplus", softplusForm, x, numbers("softplus", { beta, threshold })),
);

/** What `hardtanh` takes by name. */
export interface HardtanhOptions {
  /** The least value; default -1. */
  minVal?: number;
  /** The greatest value; default 1. */
  maxVal?: number;
}
/** A value kept between two bounds. */
export type Hardtanh = (
  input: Tensor,
  minVal?: number | HardtanhOptions,
  maxVal?: number | HardtanhOptions,
) => Tensor;

const hardtanhForm: UnaryForm = {
  ...form(
    OP.hardtanh,
    OP.hardtanh_grad,
    (x, [low, high]) => ones(logicalAnd(gt(x, low), lt(x, high)), x),
  ),
  refuse: reluForm.refuse,
};

function hardtanhOp(name: string, inplace: boolean): Hardtanh {
  return op<Hardtanh>(
    `${name}(input, minVal=-1, maxVal=1)`,
    (x: Tensor, minVal: number, maxVal: number) => {
      const p = numbers(name, { minVal, maxVal });
      if (p[0] > p[1]) {
        throw new ArgumentError(`Cannot ${name} to ${p[0]} and ${p[1]}: minVal is above maxVal`, {
          op: name,
        });
      }
      return inplace
        ? applyUnaryInplace(name, hardtanhForm, x, p)
        : applyUnary(name, hardtanhForm, x, p);
    },
  );
}

/** x kept between `minVal` and `maxVal`; the gradient is 0 at and past the bounds. */
export const hardtanh: Hardtanh = hardtanhOp("hardtanh", false);
/** `hardtanh` in place. */
export const hardtanh_: Hardtanh = hardtanhOp("hardtanh_", true);

const SIX: readonly number[] = [0, 6];
/** x kept between 0 and 6. */
export const relu6: Unary = op(
  "relu6(input)",
  (x: Tensor) => applyUnary("relu6", hardtanhForm, x, SIX),
);

/** Values up to a threshold replaced by another. */
export type Threshold = (input: Tensor, threshold: number, value: number) => Tensor;

function thresholdOp(name: string, inplace: boolean): Threshold {
  return op<Threshold>(
    `${name}(input, threshold, value)`,
    (x: Tensor, threshold: number, value: number) => {
      const p = numbers(name, { threshold, value });
      const used: UnaryForm = {
        opcode: OP.threshold,
        result: "same",
        saves: "x",
        refuse: reluForm.refuse,
        rule: (g, t) =>
          isGradEnabled()
            ? where(le(t, p[0]), ZERO, g)
            : mapInto(name, OP.threshold_grad, g, t, t.info, t.info, [p[0]]),
      };
      return inplace ? applyUnaryInplace(name, used, x, p) : applyUnary(name, used, x, p);
    },
  );
}

/** x where it is above `threshold`, else `value`. */
export const threshold: Threshold = thresholdOp("threshold", false);
/** `threshold` in place. */
export const threshold_: Threshold = thresholdOp("threshold_", true);

/** What the shrinks take by name. */
export interface ShrinkOptions {
  /** What is cut off on each side of 0; default 0.5. */
  lambd?: number;
}
/** `hardshrink`, `softshrink`. */
export type Shrink = (input: Tensor, lambd?: number | ShrinkOptions) => Tensor;

function shrink(name: string, opcode: number): Shrink {
  const outside = (x: Tensor, [lambd]: readonly number[]) =>
    ones(logicalOr(gt(x, lambd), lt(x, -lambd)), x);
  const used = form(opcode, OP.shrink_grad, outside);
  return op<Shrink>(`${name}(input, lambd=0.5)`, (x: Tensor, lambd: number) => {
    const p = numbers(name, { lambd });
    if (p[0] < 0 && name !== "hardshrink") {
      throw new ArgumentError(`Cannot ${name} with lambd ${p[0]}: it may not be negative`, {
        op: name,
      });
    }
    return applyUnary(name, used, x, p);
  });
}

/** x, or 0 where |x| is up to `lambd`. */
export const hardshrink: Shrink = shrink("hardshrink", OP.hardshrink);
/** x brought towards 0 by `lambd`, or 0 where |x| is up to it. */
export const softshrink: Shrink = shrink("softshrink", OP.softshrink);

// ---- of two tensors -----------------------------------------------------------------------------

/**
 * x above 0, `weight · x` below, with one weight or one for each channel (dim 1).
 *
 * Shapes: x (B, C, …), weight (C) or (1). Errors: ShapeError when the weight does not fit.
 * Source: He et al. 2015, arXiv 1502.01852.
 */
export const prelu: (input: Tensor, weight: Tensor) => Tensor = op(
  "prelu(input, weight)",
  (x: Tensor, weight: Tensor) => {
    checkTensor("prelu", weight, "weight");
    floatsOnly("prelu", x);
    if (weight.info !== x.info) {
      throw new DTypeError(
        `Cannot prelu ${show(x)} with weight ${show(weight)}: their dtypes differ`,
        { op: "prelu" },
      );
    }
    const channels = x.ndim > 1 ? x.shape[1] : 1;
    if (weight.ndim > 1 || (weight.numel !== 1 && weight.numel !== channels)) {
      throw new ShapeError(
        `Cannot prelu ${shapeText(x.shape)} with weight ${
          shapeText(weight.shape)
        }: it must have 1 element or ${channels}, one a channel`,
        { op: "prelu" },
      );
    }
    // The weight as a tensor of the input's dims, so that it broadcasts along the channels.
    const dims = x.shape.map((_, d) => d === 1 ? weight.numel : 1);
    const step = weight.ndim === 0 ? 0 : weight.strides[0];
    const strides = x.shape.map((_, d) => d === 1 ? step : 0);
    const spread = (w: Tensor) => new Tensor(w.storage, w.info, dims, strides, w.offset);
    const w = spread(weight);
    const out = mapInto("prelu", OP.prelu, x, w, x.info, x.info);
    if (wantsAny([x, weight])) {
      record("prelu", [x, weight], [out], ([g]) => {
        if (g === null) return [];
        const positive = gt(x, 0);
        const graph = isGradEnabled();
        const gx = () =>
          graph
            ? where(positive, g, mul(g, weight.view(dims)))
            : mapAll("prelu", OP.prelu_grad, [g, x, w], x.info, x.info);
        const gw = () =>
          graph
            ? where(positive, ZERO, mul(g, x))
            : mapInto("prelu", OP.prelu_grad_weight, g, x, x.info, x.info);
        return [
          needs(x) ? gx() : null,
          needs(weight) ? gradFor(gw(), w).view(weight.shape) : null,
        ];
      }, [x, weight]);
    }
    return out;
  },
);

/** What `glu` takes by name. */
export interface GluOptions {
  /** The dim that is halved; default the last. */
  dim?: number;
}
/** The gated linear unit. */
export type Glu = (input: Tensor, dim?: number | GluOptions) => Tensor;

/**
 * `a · sigmoid(b)`, a and b the halves of a dim. Source: Dauphin et al. 2016, arXiv 1612.08083.
 * Errors: ShapeError when the dim's size is odd.
 */
export const glu: Glu = op("glu(input, dim=-1)", (x: Tensor, dim: number) => {
  floatsOnly("glu", x);
  const d = wrapDim(dim, x.ndim, "glu");
  if (x.ndim === 0 || x.shape[d] % 2 !== 0) {
    throw new ShapeError(
      `Cannot glu ${shapeText(x.shape)} over dim ${dim}: its size ${
        x.shape[d] ?? "(no dims)"
      } cannot be halved`,
      { op: "glu" },
    );
  }
  const half = x.shape[d] / 2;
  const a = x.narrow(d, 0, half), b = x.narrow(d, half, half);
  const out = mapInto("glu", OP.glu, a, b, x.info, x.info);
  if (wantsAny([x])) {
    record("glu", [a, b], [out], ([g]) => {
      if (g === null) return [];
      const s = sigmoid(b);
      const gb = isGradEnabled()
        ? mul(mul(g, a), mul(s, add(neg(s), 1)))
        : mapAll("glu", OP.glu_grad, [g, a, b], x.info, x.info);
      return [mul(g, s), gb];
    }, [a, b]);
  }
  return out;
});
