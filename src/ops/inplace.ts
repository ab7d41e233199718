/** In-place forms of ops that have no kernel of their own for it: the result is copied into the tensor. */
import { requiresGrad, wants } from "../autograd.ts";
import { DTypeError, ShapeError, show } from "../errors.ts";
import { op, signatureOf } from "../op.ts";
import { sameShape, shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { copyBefore } from "./map.ts";
import { copy_ } from "./filling.ts";
import { resize_ } from "./view_inplace.ts";

/** An op whose first argument is the tensor that its in-place form changes. */
type Changing = (input: Tensor, ...args: never[]) => Tensor;

/**
 * Declares the in-place form of an op under its name with a trailing underscore, with the same parameters. A tensor that
 * wants no gradients takes the result's shape where PyTorch's does.
 */
export function inplaceOf<F extends Changing>(
  f: F,
  { resizes = false }: { resizes?: boolean } = {},
): F {
  const { name, params } = signatureOf(f)!;
  const list = params.map((p) =>
    p.required ? p.name : `${p.name}=${JSON.stringify(p.default).replaceAll('"', "'")}`
  );
  const call = f as unknown as (...args: unknown[]) => Tensor;
  const required = params.filter((p) => p.required).length;
  return op<F>(
    `${name}_(${list.join(", ")})`,
    ((x: Tensor, ...rest: unknown[]) => {
      // What the gradient reads is the value from before.
      const before = wants(x) ? copyBefore(x) : x;
      const options = Object.fromEntries(
        params.slice(required).map((p, i) => [p.name, rest[required - 1 + i]]),
      );
      const result = call(before, ...rest.slice(0, required - 1), options);
      const fits = sameShape(result.shape, x.shape);
      if (!fits && (!resizes || requiresGrad(x) || requiresGrad(result))) {
        throw new ShapeError(
          `Cannot ${name}_ ${shapeText(x.shape)} in place: the result is ${
            shapeText(result.shape)
          }`,
          { op: `${name}_` },
        );
      }
      if (result.info.category > x.info.category) {
        throw new DTypeError(
          `Cannot ${name}_ ${show(x)} in place: the result is ${result.dtype}`,
          { op: `${name}_` },
        );
      }
      return copy_(fits ? x : resize_(x, result.shape), result);
    }) as never,
  );
}
