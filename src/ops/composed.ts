/**
 * Gradients of fused ops where they are differentiated themselves: the op's twin in plain ops is recorded, and walked.
 *
 * @module
 */
import { enableGrad, record, wants } from "../autograd.ts";
import { grad } from "../backward.ts";
import { Tensor } from "../tensor.ts";

/** A window on a tensor's storage under other dims and strides, outside of autograd. */
export function windowOf(
  t: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  offset: number = t.offset,
): Tensor {
  return new Tensor(t.storage, t.info, shape, strides, offset);
}

/** A tensor's second self: gradients stop there on their way to what made the tensor. */
function twinOf(t: Tensor): Tensor {
  const twin = windowOf(t, t.shape, t.strides);
  if (wants(t)) record("composed", [t], [twin], ([g]) => [g], []);
  return twin;
}

/**
 * Gradients, themselves differentiable, of a function of plain ops; null for an input that wants none.
 * `gradOutputs` belong to the function's results; a missing one counts as zero.
 */
export function composedGradients(
  f: (inputs: readonly Tensor[]) => readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs: readonly (Tensor | null)[],
): (Tensor | null)[] {
  return enableGrad(() => {
    const twins = inputs.map(twinOf);
    const wanted = twins.filter((t) => t.meta?.requiresGrad);
    const outputs = f(twins);
    const given = outputs.map((_, i) => i).filter((i) =>
      gradOutputs[i] !== null && outputs[i].meta?.requiresGrad
    );
    if (wanted.length === 0 || given.length === 0) return inputs.map(() => null);
    const found = grad(given.map((i) => outputs[i]), wanted, {
      gradOutputs: given.map((i) => gradOutputs[i]),
      createGraph: true,
      allowUnused: true,
    }) as (Tensor | null)[];
    let at = 0;
    return twins.map((t) => t.meta?.requiresGrad ? found[at++] : null);
  });
}
