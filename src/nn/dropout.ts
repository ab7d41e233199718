/**
 * Dropout.
 *
 * @module
 */
import { ArgumentError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { dropout } from "./functional.ts";
import { Module } from "./module.ts";

/** Options of `Dropout`. */
export interface DropoutOptions {
  /** The chance of each element to become zero; default 0.5. */
  p?: number;
}

/**
 * In training each element becomes zero with chance `p`, the others are multiplied by `1 / (1 - p)`; in evaluation the
 * input passes. No mask is kept: backward draws the same numbers again. Shapes: any.
 * Errors: ArgumentError unless p is from 0 to 1.
 */
export class Dropout extends Module {
  readonly #dropout = true;
  /** The chance of each element to become zero. */
  readonly p: number;

  /** Chance 0.5 unless given. */
  constructor(p?: number | DropoutOptions) {
    super();
    const [chance] = bind(DROPOUT, [p]) as [number];
    if (!(typeof chance === "number" && chance >= 0 && chance <= 1)) {
      throw new ArgumentError(`Cannot make Dropout: p must be from 0 to 1, got ${show(chance)}`, {
        op: "Dropout",
      });
    }
    this.p = chance;
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, this.p, { training: this.training });
  }

  override extraRepr(): string {
    return `p=${this.p}`;
  }
}

const DROPOUT = declare(Dropout, "Dropout(p=0.5)");
