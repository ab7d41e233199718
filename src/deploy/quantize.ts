/**
 * Models with int8 weights.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { optionsOf } from "../options.ts";
import { copyWith } from "../nn/copy.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { Linear as Int8Linear } from "../nn/quantized/dynamic.ts";

/** Options of `quantizeDynamic`. */
export interface QuantizeDynamicOptions {
  /** The type of the weights; int8 is the only one. */
  dtype?: "int8";
}

/**
 * A copy of a model in which each `nn.Linear` is an `nn.quantized.dynamic.Linear`: weights a quarter as large, products
 * in integers. Subclasses of `Linear` stay what they are.
 *
 * The model itself is left as it is. What is not quantised shares its tensors with it, so that large tables are not there
 * twice; train the original on, and the copy sees the new tables and statistics beside the old weights. Modules with a
 * linear layer below are made anew without their constructors: their classes must not keep in #private fields what
 * `forward` needs.
 *
 * Errors: ArgumentError for another dtype, for weights that are not finite, and for a `forward` that is a
 * field where a layer below is replaced.
 * Source: PyTorch's `torch.ao.quantization.quantize_dynamic`.
 *
 * ```ts
 * import { deploy, nn, randn } from "@toro/toro";
 *
 * const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 1));
 * const int8 = deploy.quantizeDynamic(model, { dtype: "int8" });
 * const x = randn([8, 64]);
 * console.log(int8.forward(x).sub(model.forward(x)).abs().max().item() < 0.05); // true
 * ```
 */
export function quantizeDynamic<M extends Module>(
  model: M,
  options: QuantizeDynamicOptions = {},
): M {
  const { dtype = "int8" } = optionsOf("quantizeDynamic", options, ["dtype"]);
  if (!(model instanceof Module)) {
    throw new ArgumentError(`Cannot quantizeDynamic ${show(model)}: it must be a module`, {
      op: "quantizeDynamic",
    });
  }
  if (dtype !== "int8") {
    throw new ArgumentError(
      `Cannot quantizeDynamic to ${show(dtype)}: weights can be made "int8" only`,
      { op: "quantizeDynamic" },
    );
  }
  return copyWith(
    model,
    (module) => module.constructor === Linear ? Int8Linear.fromFloat(module as Linear) : null,
  );
}
