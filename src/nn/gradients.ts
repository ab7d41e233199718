/**
 * Gradients of many parameters as native takes them in one instruction.
 *
 * @module
 */
import type { Operand } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { ArgumentError, show } from "../errors.ts";
import { mapOut } from "../ops/map.ts";
import { rowsOf, type RowSparse } from "../rows.ts";
import { empty, Tensor } from "../tensor.ts";

/** Gradients of parameters, dense ones as runs of elements, row-sparse ones as pairs of values and count. */
export class Gradients {
  /** The dense ones. */
  readonly dense: Tensor[] = [];
  /** Those of some rows. */
  readonly rows: { tensor: Tensor; sum: RowSparse }[] = [];

  /** The gradients, by rows where they are and may be taken so. */
  constructor(grads: Iterable<Tensor>, byRows: boolean) {
    for (const grad of grads) {
      const sum = byRows ? rowsOf(grad) : null;
      if (sum === null) this.dense.push(grad);
      else this.rows.push({ tensor: grad, sum });
    }
  }

  /** All of them. */
  get all(): Tensor[] {
    return [...this.dense, ...this.rows.map((r) => r.tensor)];
  }

  /** Calls `each` with operands that fit into one instruction, and how many of them are dense. */
  inParts(each: (operands: Operand[], dense: number) => void): void {
    const { dense, rows } = this;
    for (let at = 0; at < Math.max(dense.length, rows.length) || at === 0; at += MOST) {
      const some = dense.slice(at, at + MOST);
      const pairs = rows.slice(at, at + MOST).flatMap(({ sum }) => [sum.values, sum.count]);
      each([...some.map(flat), ...pairs], some.length);
    }
  }

  /** Notes that all were changed in place. */
  changed(): void {
    for (const { storage } of this.all) storage.version++;
  }
}

/** Gradients of a kind that one instruction takes: six words of a dense one, fourteen of rows. */
export const MOST = 3000;

/** A contiguous tensor as one run of elements. */
export function flat(t: Tensor): Operand {
  return { storage: t.storage, info: t.info, shape: [t.numel], strides: UNIT, offset: t.offset };
}

const UNIT: readonly number[] = [1];

/** Gradients that are not contiguous are brought into that form, in place of the old ones. */
function straighten(parameters: Iterable<Tensor>): void {
  for (const p of parameters) {
    const grad = p.meta?.grad;
    if (!grad || grad.isContiguous()) continue;
    const copy = empty(grad.shape, grad.info, grad.storage.device);
    mapOut("contiguous", OP.copy, copy, grad, null, grad.info);
    p.meta!.grad = copy;
  }
}

/** Tensors, given as one or several. */
export function tensorsOf(given: unknown, name: string): Tensor[] {
  if (given instanceof Tensor) return [given];
  if (typeof given !== "object" || given === null || !(Symbol.iterator in given)) {
    throw new ArgumentError(`Cannot ${name} of ${show(given)}: it takes tensors`, { op: name });
  }
  const list = [...given as Iterable<unknown>];
  const wrong = list.find((t) => !(t instanceof Tensor));
  if (wrong === undefined) return list as Tensor[];
  throw new ArgumentError(`Cannot ${name}: ${show(wrong)} is no tensor`, { op: name });
}

/** The gradients that parameters have, each of them contiguous. */
export function gradientsOf(parameters: readonly Tensor[], byRows: boolean): Gradients {
  straighten(parameters);
  return new Gradients(parameters.flatMap((p) => p.meta?.grad ?? []), byRows);
}
