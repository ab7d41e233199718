/**
 * Products with int8 weights. Weights are quantised once, for each output by itself; inputs as they come, row by row.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { pad } from "./joining.ts";
import { lt, where } from "./logic.ts";
import { abs, round } from "./math.ts";
import { cast } from "./map.ts";
import { clamp } from "./bounds.ts";
import { div } from "./pointwise.ts";
import { amax, sum } from "./reduction.ts";
import { contiguous, permute, reshape, unsqueeze } from "./view.ts";

/** Outputs in a panel of packed weights, and inputs in a quad; native/src/gemm/int8.rs. */
const PANEL = 16, QUAD = 4;
/** Inputs for which sums of products stay in int32. */
const MAX_INPUTS = 65_536;

/** Int8 weights in the order in which the kernel reads them. */
export interface PackedWeight {
  /** (⌈N/16⌉, ⌈K/4⌉, 16, 4), int8. */
  readonly panels: Tensor;
  /** The sum of each output's weights (N), int32. */
  readonly sums: Tensor;
  /** (N), float32. */
  readonly scale: Tensor;
  /** (N), float32, or null. */
  readonly bias: Tensor | null;
}

/**
 * Weights (N, K) as int8 and one scale for each output, so that `weight ≈ values · scale`: the greatest magnitude of an
 * output becomes 127.
 *
 * Errors: ArgumentError where a weight is not finite.
 */
export function quantizeRows(weight: Tensor): { values: Tensor; scale: Tensor } {
  const w = cast(weight.detach(), "float32");
  const most = w.shape[1] === 0 ? sum(w, 1) : amax(abs(w), 1);
  // A row of zeros has any scale; of numbers so small that their quotient vanishes likewise.
  const least = 2 ** -126;
  const scale = div(most, 127);
  const safe = where(lt(scale, least), 1, scale);
  if (!Number.isFinite(sum(safe, 0).item())) {
    throw new ArgumentError(`Cannot quantizeDynamic ${show(weight)}: its values are not finite`, {
      op: "quantizeDynamic",
    });
  }
  const values = clamp(round(div(w, unsqueeze(safe, 1))), -127, 127);
  return { values: cast(values, "int8"), scale: safe };
}

/** Brings int8 weights (N, K) into the kernel's order. */
export function packWeight(weight: Tensor, scale: Tensor, bias: Tensor | null): PackedWeight {
  const [n, k] = weight.shape;
  if (k > MAX_INPUTS) {
    throw new ShapeError(
      `Cannot pack an int8 weight ${
        shapeText(weight.shape)
      }: it must have at most ${MAX_INPUTS} inputs`,
      { op: "quantizeDynamic" },
    );
  }
  const panels = Math.ceil(n / PANEL), quads = Math.ceil(k / QUAD);
  const whole = pad(weight.detach(), [0, quads * QUAD - k, 0, panels * PANEL - n]);
  return {
    panels: contiguous(permute(reshape(whole, [panels, PANEL, quads, QUAD]), [0, 2, 1, 3])),
    sums: cast(sum(weight.detach(), 1), "int32"),
    scale: contiguous(cast(scale.detach(), "float32")),
    bias: bias === null ? null : contiguous(cast(bias.detach(), "float32")),
  };
}

/**
 * `x · weightᵀ + bias` with int8 weights: x (…, K), weight (N, K) → y (…, N), all float32. Each row of x is quantised
 * to 0 … 255 by its own range, products are summed exactly in int32, so a row's result is the same in any batch and at
 * any SIMD level. A row that is not finite gives NaN. With `isRelu` negative results become 0. There is no
 * gradient.
 */
export function linearDynamic(
  x: Tensor,
  inputs: number,
  weight: PackedWeight,
  isRelu = false,
): Tensor {
  if (!(x instanceof Tensor)) {
    throw new ArgumentError(`Cannot linear ${show(x)}: it must be a tensor`, { op: "linear" });
  }
  if (x.dtype !== "float32") {
    throw new DTypeError(`Cannot linear ${show(x)} by int8 weights: it must be float32`, {
      op: "linear",
      hint: `convert it by to("float32")`,
    });
  }
  const outputs = weight.scale.shape[0];
  if (x.ndim === 0 || x.shape[x.ndim - 1] !== inputs) {
    throw new ShapeError(
      `Cannot linear input ${shapeText(x.shape)} by weight ${shapeText([outputs, inputs])}: ` +
        `input's last size must be ${inputs}`,
      { op: "linear" },
    );
  }
  const lead = x.shape.slice(0, -1);
  const rows = reshape(x.detach(), [lead.reduce((a, b) => a * b, 1), inputs]);
  const out = empty([rows.shape[0], outputs], x.info, x.storage.device);
  const { panels, scale, sums, bias } = weight;
  const ins = bias === null ? [rows, panels, scale, sums] : [rows, panels, scale, sums, bias];
  run("linear", OP.linear_dynamic, [out], ins, [isRelu ? 1 : 0]);
  return reshape(out, [...lead, outputs]);
}
