/**
 * Dropout in its forms, and what else draws in training: randomized leaky relu and Gumbel softmax. No masks are kept
 * where the gradient can draw the same stream again.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, wants } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { type Draw, draw } from "../random.ts";
import { shapeText, wrapDim } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { leakyRelu } from "./activation.ts";
import { filled } from "./creation.ts";
import { ge, where } from "./logic.ts";
import { argmax } from "./extreme.ts";
import { log, neg } from "./math.ts";
import { add, div, mul, sub } from "./pointwise.ts";
import { copy_ } from "./filling.ts";
import { checkProbability, exponential_, floatsOnly, uniform_ } from "./random.ts";
import { scatter_ } from "./scattering.ts";
import { softmax } from "./softmax.ts";

/** What dropout takes by name. */
export interface DropoutOptions {
  /** The probability of a zero; default 0.5. */
  p?: number;
  /** When false, nothing is dropped. */
  training?: boolean;
  /** Whether the input's memory takes the result; default false. */
  inplace?: boolean;
}
/** Dropout. */
export type Dropout = (
  input: Tensor,
  p?: number | DropoutOptions,
  options?: DropoutOptions,
) => Tensor;

/** A form of dropout: `drop` makes the result in training. */
function form(
  name: string,
  training: boolean,
  drop: (x: Tensor, p: number) => Tensor,
): Dropout {
  return op<Dropout>(
    `${name}(input, p=0.5, training=${training}, inplace=false)`,
    (x: Tensor, p: number, training: boolean, inplace: boolean) => {
      checkProbability(name, p);
      if (!training) return x;
      floatsOnly(name, x);
      const out = drop(x, p);
      return inplace ? copy_(x, out) : out;
    },
  );
}

/**
 * Elements zeroed with probability p, the others divided by 1 - p. No mask is kept: the gradient draws the same stream
 * again. Types: floats. Source: Srivastava et al. 2014, JMLR 15.
 */
export const dropout: Dropout = form("dropout", true, (x, p) => dropBy(x, p, draw(x.numel)));

/** Dropout is linear: its gradient is the same op on the same stream, for any order. */
function dropBy(x: Tensor, p: number, stream: Draw): Tensor {
  const out = empty(x.shape, x.info, x.storage.device);
  run("dropout", OP.dropout, [out], [x], [stream.seed, stream.offset, p]);
  if (wants(x)) record("dropout", [x], [out], ([g]) => [g && dropBy(g, p, stream)], []);
  return out;
}

/** Ones of a tensor's type in a shape, dropped. */
function noise(x: Tensor, shape: readonly number[], p: number): Tensor {
  return inMode(false, () => {
    const one = filled(shape, 1, x.info, x.storage.device);
    return dropBy(one, p, draw(one.numel));
  });
}

/** One number for each channel of each sample, 1 for the rest. */
function channels(x: Tensor, batched: boolean): number[] {
  return x.shape.map((n, d) => d < (batched ? 2 : 1) ? n : 1);
}

/** A form of dropout that drops whole channels of inputs of certain dims. */
function channelForm(name: string, dims: readonly number[], text: string): Dropout {
  return form(name, true, (x, p) => {
    if (!dims.includes(x.ndim)) {
      throw new ShapeError(`Cannot ${name} a tensor ${shapeText(x.shape)}: it must be ${text}`, {
        op: name,
      });
    }
    // What has no batch is one sample; of dropout2d three dims are a batch of sequences, as in PyTorch.
    const batched = name === "dropout2d" || x.ndim === dims[dims.length - 1];
    return mul(x, noise(x, channels(x, batched), p));
  });
}

/** Whole channels of sequences dropped: `dropout` with one draw for each. Shapes: (B, C, T) or (C, T). */
export const dropout1d: Dropout = channelForm("dropout1d", [2, 3], "(B, C, T) or (C, T)");
/** Whole channels of images dropped: `dropout` with one draw for each. Shapes: (B, C, H, W), (B, C, T). Source: Tompson et al. 2014, arXiv 1411.4280. */
export const dropout2d: Dropout = channelForm("dropout2d", [3, 4], "(B, C, H, W) or (B, C, T)");
/** Whole channels of volumes dropped: `dropout` with one draw for each. Shapes: (B, C, D, H, W) or (C, D, H, W). */
export const dropout3d: Dropout = channelForm(
  "dropout3d",
  [4, 5],
  "(B, C, D, H, W) or (C, D, H, W)",
);

/** Where selu goes far below zero: minus its scale times its alpha. */
const SELU_FLOOR = -1.7580993408473766;

/** `selu`'s floor put in place of what is dropped, then scaled so that mean 0 and variance 1 stay. */
function alphaDrop(x: Tensor, p: number, shape: readonly number[]): Tensor {
  if (p === 1) return mul(x, 0);
  const a = 1 / Math.sqrt((SELU_FLOOR ** 2 * p + 1) * (1 - p));
  const [scale, shift] = inMode(false, () => {
    const kept = mul(noise(x, shape, p), 1 - p);
    // 0 where nothing is dropped and p is 0, in low precision too.
    return [mul(kept, a), add(mul(sub(kept, 1), -a * SELU_FLOOR), -a * SELU_FLOOR * p)];
  });
  return add(mul(x, scale), shift);
}

/** Dropout for networks of `selu`: keeps mean 0 and variance 1. Source: Klambauer et al. 2017, arXiv 1706.02515. */
export const alphaDropout: Dropout = form(
  "alphaDropout",
  false,
  (x, p) => alphaDrop(x, p, x.shape),
);
/** `alphaDropout` of whole channels. Shapes: (B, C, …). */
export const featureAlphaDropout: Dropout = form("featureAlphaDropout", false, (x, p) => {
  if (x.ndim < 2) {
    throw new ShapeError(
      `Cannot featureAlphaDropout a tensor ${shapeText(x.shape)}: it must be (B, C, …)`,
      { op: "featureAlphaDropout" },
    );
  }
  return alphaDrop(x, p, channels(x, true));
});

/** What `rrelu` takes by name. */
export interface RreluOptions {
  /** The least slope; default 1/8. */
  lower?: number;
  /** The greatest slope; default 1/3. */
  upper?: number;
  /** Whether slopes are drawn; default false: their mean. */
  training?: boolean;
  /** Whether the input's memory takes the result; default false. */
  inplace?: boolean;
}

/**
 * x above 0, below `slope · x` with slopes drawn from `lower` to `upper` in training, else their mean. Types: floats.
 * Source: Xu et al. 2015, arXiv 1505.00853.
 */
export const rrelu: (
  input: Tensor,
  lower?: number | RreluOptions,
  upper?: number | RreluOptions,
  options?: RreluOptions,
) => Tensor = op(
  "rrelu(input, lower=0.125, upper=0.3333333333333333, training=false, inplace=false)",
  (x: Tensor, lower: number, upper: number, training: boolean, inplace: boolean) => {
    floatsOnly("rrelu", x);
    if (!(lower <= upper)) {
      throw new ArgumentError(
        `Cannot rrelu with slopes from ${show(lower)} to ${show(upper)}: lower is above upper`,
        { op: "rrelu" },
      );
    }
    let out: Tensor;
    if (training) {
      const slopes = empty(x.shape, x.info, x.storage.device);
      inMode(false, () => uniform_(slopes, lower, upper));
      out = mul(x, inMode(false, () => where(ge(x, 0), 1, slopes)));
    } else out = leakyRelu(x, (lower + upper) / 2);
    return inplace ? copy_(x, out) : out;
  },
);

/** What `gumbelSoftmax` takes by name. */
export interface GumbelOptions {
  /** The temperature; default 1. */
  tau?: number;
  /** Give one-hot vectors, through which gradients pass as if they were the soft ones; default false. */
  hard?: boolean;
  /** Of no effect, as in PyTorch. */
  eps?: number;
  /** The dim of the classes; default -1. */
  dim?: number;
}

/**
 * A sample of a relaxed categorical distribution: `softmax((x + noise) / tau)` with Gumbel noise `-log(-log u)`.
 * Types: floats. Source: Jang et al. 2016, arXiv 1611.01144.
 */
export const gumbelSoftmax: (
  logits: Tensor,
  tau?: number | GumbelOptions,
  options?: GumbelOptions,
) => Tensor = op(
  "gumbelSoftmax(logits, tau=1, hard=false, eps=1e-10, dim=-1)",
  (x: Tensor, tau: number, hard: boolean, _: number, dim: number) => {
    floatsOnly("gumbelSoftmax", x);
    const d = wrapDim(dim, x.ndim, "gumbelSoftmax");
    const drawn = empty(x.shape, x.info, x.storage.device);
    const gumbel = inMode(false, () => neg(log(exponential_(drawn))));
    const soft = softmax(div(add(x, gumbel), tau), d);
    if (!hard) return soft;
    const most = inMode(false, () => argmax(soft, d, { keepdim: true }));
    const one = scatter_(filled(x.shape, 0, x.info, x.storage.device), d, most, 1);
    return add(sub(one, soft.detach()), soft);
  },
);
