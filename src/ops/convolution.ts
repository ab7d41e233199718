/**
 * Convolutions over 1 to 3 dims and their transposes. Behind them are three products, each linear in both operands:
 * the output, the gradient of the input and that of the weight. They are each other's gradients, to any order.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { record, wants } from "../autograd.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { shapeText } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { checkOperand, checkTensor, needs } from "./map.ts";
import { sum } from "./reduction.ts";
import { type PerDim, perDim, withBatch } from "./spatial.ts";

/** What a convolution takes by name. */
export interface ConvOptions {
  /** (O): a summand of each output channel. */
  bias?: Tensor | null;
  /** Step between positions; default 1. */
  stride?: PerDim;
  /** Zeros at both ends of each dim, default 0; `"valid"` is 0, `"same"` keeps the size (stride 1). */
  padding?: PerDim | "valid" | "same";
  /** Step between the elements of a window; default 1. */
  dilation?: PerDim;
  /** Groups of channels that are convolved by themselves; default 1. */
  groups?: number;
}

/** A convolution. */
export type Conv = (
  input: Tensor,
  weight: Tensor,
  bias?: Tensor | null | ConvOptions,
  stride?: PerDim | ConvOptions,
  options?: ConvOptions,
) => Tensor;

/** What a transposed convolution takes by name. */
export interface ConvTransposeOptions {
  /** (O): a summand of each output channel. */
  bias?: Tensor | null;
  /** Step between the windows that inputs become; default 1. */
  stride?: PerDim;
  /** Elements cut from both ends of each dim; default 0. */
  padding?: PerDim;
  /** Elements added at the end of each dim, fewer than the stride or the dilation; default 0. */
  outputPadding?: PerDim;
  /** Groups of channels that are convolved by themselves; default 1. */
  groups?: number;
  /** Step between the elements of a window; default 1. */
  dilation?: PerDim;
}

/** A transposed convolution. */
export type ConvTranspose = (
  input: Tensor,
  weight: Tensor,
  bias?: Tensor | null | ConvTransposeOptions,
  stride?: PerDim | ConvTransposeOptions,
  options?: ConvTransposeOptions,
) => Tensor;

/** The numbers of a convolution, one for each dim. */
interface Steps {
  readonly name: string;
  readonly groups: number;
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
}

function scalars({ groups, stride, padding, dilation }: Steps): number[] {
  return [groups, ...stride.flatMap((s, d) => [s, padding[d], dilation[d]])];
}

/** The sum over all dims but the channels: the gradient of a bias. */
function biasGrad(g: Tensor): Tensor {
  return sum(g, g.shape.map((_, d) => d).filter((d) => d !== 1));
}

const withBias = (bias: Tensor | null) => bias === null ? [] : [bias];

/** y of a shape from x and w. */
function output(s: Steps, x: Tensor, w: Tensor, bias: Tensor | null, shape: readonly number[]) {
  const y = empty(shape, x.info, x.storage.device);
  run(s.name, OP.conv, [y], [x, w, ...withBias(bias)], scalars(s));
  if (wants(x, w, bias)) {
    record(s.name, [x, w, ...withBias(bias)], [y], ([g]) => [
      g && needs(x) ? inputGrad(s, g, w, null, x.shape) : null,
      g && needs(w) ? weightGrad(s, g, x, w.shape) : null,
      g && needs(bias) ? biasGrad(g) : null,
    ], [x, w]);
  }
  return y;
}

/** gx of a shape from g and w, or the transposed convolution of g. */
function inputGrad(s: Steps, g: Tensor, w: Tensor, bias: Tensor | null, shape: readonly number[]) {
  const gx = empty(shape, g.info, g.storage.device);
  run(s.name, OP.conv_input_grad, [gx], [g, w, ...withBias(bias)], scalars(s));
  if (wants(g, w, bias)) {
    record(s.name, [g, w, ...withBias(bias)], [gx], ([gg]) => [
      gg && needs(g) ? output(s, gg, w, null, g.shape) : null,
      gg && needs(w) ? weightGrad(s, g, gg, w.shape) : null,
      gg && needs(bias) ? biasGrad(gg) : null,
    ], [g, w]);
  }
  return gx;
}

/** gw of a shape from g and x. */
function weightGrad(s: Steps, g: Tensor, x: Tensor, shape: readonly number[]): Tensor {
  const gw = empty(shape, g.info, g.storage.device);
  run(s.name, OP.conv_weight_grad, [gw], [g, x], scalars(s));
  if (wants(g, x)) {
    record(s.name, [g, x], [gw], ([gg]) => [
      gg && needs(g) ? output(s, x, gg, null, g.shape) : null,
      gg && needs(x) ? inputGrad(s, g, gg, null, x.shape) : null,
    ], [g, x]);
  }
  return gw;
}

/** Checks what all convolutions ask of their operands. */
function checkOperands(
  name: string,
  d: number,
  x: Tensor,
  w: unknown,
  bias: unknown,
  groups: unknown,
  transposed: boolean,
): asserts w is Tensor {
  checkTensor(name, w, "weight");
  checkOperand(name, x, w, "weight");
  if (bias !== null) {
    checkTensor(name, bias, "bias");
    checkOperand(name, x, bias, "bias");
  }
  for (const [t, what] of [[w, "weight"], [bias, "bias"]] as [Tensor | null, string][]) {
    if (t !== null && t.info !== x.info) {
      throw new DTypeError(
        `Cannot ${name} ${show(x)} with ${what} ${show(t)}: both must have one dtype`,
        { op: name },
      );
    }
  }
  if (x.dtype === "bool") {
    throw new DTypeError(`Cannot ${name} ${show(x)}: bool has no products`, { op: name });
  }
  if (typeof groups !== "number" || !Number.isInteger(groups) || groups < 1) {
    throw new ArgumentError(
      `Cannot ${name} in ${show(groups)} groups: it must be a whole number from 1 on`,
      { op: name },
    );
  }
  const fail = (rule: string): never => {
    throw new ShapeError(
      `Cannot ${name} x ${shapeText(x.shape)} by w ${
        shapeText(w.shape)
      } in ${groups} groups: ${rule}`,
      { op: name },
    );
  };
  if (w.ndim !== d + 2) fail(`w must have ${d + 2} dims`);
  if (x.ndim !== d + 2 && x.ndim !== d + 1) {
    fail(`x must have ${d + 2} dims, or ${d + 1} without a batch`);
  }
  const channels = x.shape[x.ndim - d - 1];
  if (w.shape[0] % groups !== 0 || w.shape[0] < groups) {
    fail(`dim 0 of w, ${w.shape[0]}, must be a multiple of the groups`);
  }
  const expected = transposed ? w.shape[0] : w.shape[1] * groups;
  if (channels !== expected) fail(`x has ${channels} channels, w is for ${expected}`);
  const outs = transposed ? w.shape[1] * groups : w.shape[0];
  if (bias !== null && ((bias as Tensor).ndim !== 1 || (bias as Tensor).shape[0] !== outs)) {
    throw new ShapeError(
      `Cannot ${name} with bias ${shapeText((bias as Tensor).shape)}: it must be [${outs}]`,
      { op: name },
    );
  }
}

function conv(name: string, d: number): Conv {
  return op<Conv>(
    `${name}(input, weight, bias=null, stride=1, padding=0, dilation=1, groups=1)`,
    (
      input: Tensor,
      w: Tensor,
      bias: Tensor | null,
      steps: PerDim,
      pads: PerDim | "valid" | "same",
      dilations: PerDim,
      groups: number,
    ) => {
      checkOperands(name, d, input, w, bias, groups, false);
      const stride = perDim(name, steps, d, "stride", 1);
      const dilation = perDim(name, dilations, d, "dilation", 1);
      const windows = dilation.map((n, i) => n * (w.shape[i + 2] - 1) + 1);
      const same = pads === "same";
      if (typeof pads === "string" && !same && pads !== "valid") {
        throw new ArgumentError(
          `Cannot ${name} with padding ${show(pads)}: it must be "valid", "same" or numbers`,
          { op: name },
        );
      }
      if (same && stride.some((n) => n !== 1)) {
        throw new ArgumentError(
          `Cannot ${name} with padding "same" and stride ${show(steps)}: the stride must be 1`,
          { op: name },
        );
      }
      // An odd sum of pads has one more at the end, which the output's size alone decides.
      const padding = same
        ? windows.map((n) => Math.floor((n - 1) / 2))
        : perDim(name, pads === "valid" ? 0 : pads, d, "padding");
      return withBatch(input, d, (x) => {
        const sizes = x.shape.slice(2).map((n, i) => {
          if (same) return n;
          const room = n + 2 * padding[i] - windows[i];
          if (room < 0 || w.shape[i + 2] < 1) {
            throw new ShapeError(
              `Cannot ${name} x ${shapeText(input.shape)} by w ${shapeText(w.shape)}: a window of ${
                windows[i]
              } does not fit into ${n + 2 * padding[i]} with padding`,
              { op: name },
            );
          }
          return Math.floor(room / stride[i]) + 1;
        });
        const s = { name, groups, stride, padding, dilation };
        return output(s, x, w, bias, [x.shape[0], w.shape[0], ...sizes]);
      });
    },
  );
}

/**
 * Convolution of one dim: `y[n, o, p] = bias[o] + Σ w[o, c, t] · x[n, c, p · stride - padding + t · dilation]`, zero
 * outside of x. Shapes: x (N, C, L) or (C, L), w (O, C / groups, K) → (N, O, L′) with
 * `L′ = ⌊(L + 2 padding - dilation (K - 1) - 1) / stride⌋ + 1`. Types: all but bool, x and w of one.
 * Errors: ShapeError where channels do not fit or a window is larger than the padded input.
 *
 * ```ts
 * import { F, ones } from "@toro/toro";
 * console.log(F.conv1d(ones([1, 1, 4]), ones([1, 1, 3]), { padding: 1 }).toArray()); // [[[ 2, 3, 3, 2 ]]]
 * ```
 */
export const conv1d: Conv = conv("conv1d", 1);
/** `conv1d` of two dims: x (N, C, H, W) or (C, H, W), w (O, C / groups, K, K). */
export const conv2d: Conv = conv("conv2d", 2);
/** `conv1d` of three dims: x (N, C, D, H, W) or (C, D, H, W), w (O, C / groups, K, K, K). */
export const conv3d: Conv = conv("conv3d", 3);

function convTranspose(name: string, d: number): ConvTranspose {
  return op<ConvTranspose>(
    `${name}(input, weight, bias=null, stride=1, padding=0, outputPadding=0, groups=1, dilation=1)`,
    (
      input: Tensor,
      w: Tensor,
      bias: Tensor | null,
      steps: PerDim,
      pads: PerDim,
      outputPads: PerDim,
      groups: number,
      dilations: PerDim,
    ) => {
      checkOperands(name, d, input, w, bias, groups, true);
      const stride = perDim(name, steps, d, "stride", 1);
      const padding = perDim(name, pads, d, "padding");
      const extra = perDim(name, outputPads, d, "outputPadding");
      const dilation = perDim(name, dilations, d, "dilation", 1);
      const long = extra.findIndex((n, i) => n >= stride[i] && n >= dilation[i]);
      if (long >= 0) {
        throw new ArgumentError(
          `Cannot ${name} with outputPadding ${extra[long]}: it must be below stride ${
            stride[long]
          } or dilation ${dilation[long]}`,
          { op: name },
        );
      }
      return withBatch(input, d, (x) => {
        const sizes = x.shape.slice(2).map((n, i) =>
          (n - 1) * stride[i] - 2 * padding[i] + dilation[i] * (w.shape[i + 2] - 1) + extra[i] + 1
        );
        if (sizes.some((n) => n < 1) || x.shape.slice(2).includes(0)) {
          throw new ShapeError(
            `Cannot ${name} x ${shapeText(input.shape)} by w ${shapeText(w.shape)}: sizes ${
              shapeText(sizes)
            } would be left`,
            { op: name },
          );
        }
        const s = { name, groups, stride, padding, dilation };
        return inputGrad(s, x, w, bias, [x.shape[0], w.shape[1] * groups, ...sizes]);
      });
    },
  );
}

/**
 * Transposed convolution of one dim, the gradient of `conv1d` as an op: every input spreads over a window of the output.
 * Shapes: x (N, C, L) or (C, L), w (C, O / groups, K) → (N, O, L′) with
 * `L′ = (L - 1) stride - 2 padding + dilation (K - 1) + outputPadding + 1`. Types: all but bool, x and w of one.
 * Errors: ShapeError where channels do not fit or nothing is left.
 */
export const convTranspose1d: ConvTranspose = convTranspose("convTranspose1d", 1);
/** `convTranspose1d` of two dims: x (N, C, H, W) or (C, H, W), w (C, O / groups, K, K). */
export const convTranspose2d: ConvTranspose = convTranspose("convTranspose2d", 2);
/** `convTranspose1d` of three dims: x (N, C, D, H, W) or (C, D, H, W), w (C, O / groups, K, K, K). */
export const convTranspose3d: ConvTranspose = convTranspose("convTranspose3d", 3);
