/**
 * How ops become methods of Tensor.
 *
 * @module
 */
import { shareSignature } from "../op.ts";
import { Tensor } from "../tensor.ts";

/** An op as a method: without its first argument. */
export type Method<F> = F extends (input: Tensor, ...rest: infer R) => infer T ? (...rest: R) => T
  : never;

/** The functions behind methods, which take the tensor as their first argument. */
export type Forwarded<Methods> = {
  readonly [K in keyof Methods]: Methods[K] extends (...args: infer A) => infer R
    ? (input: Tensor, ...args: A) => R
    : never;
};

/** Puts methods on the prototype that hand the tensor and all their arguments on. */
export function install(methods: object): void {
  for (const [name, op] of Object.entries(methods)) {
    const value = function (this: Tensor, ...args: unknown[]) {
      return op(this, ...args);
    };
    shareSignature(value, op);
    Object.defineProperty(Tensor.prototype, name, { value, configurable: true, writable: true });
  }
}
