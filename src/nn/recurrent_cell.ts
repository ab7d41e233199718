/**
 * Recurrent layers of one step: RNNCell, LSTMCell, GRUCell.
 *
 * @module
 */
import { autocasting, isAutocastEnabled } from "../autocast.ts";
import type { DType } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { bind, declare, parseSignature } from "../op.ts";
import { zeros } from "../ops/creation.ts";
import { linear } from "../ops/matmul.ts";
import { type CellKind, cellStep, gatesOf } from "../ops/recurrent.ts";
import { squeeze, unsqueeze } from "../ops/view.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { uniform_ } from "./init.ts";
import { Module } from "./module.ts";
import { checkCount, factoryOf, type FactoryOptions, newParameter } from "./options.ts";
import type { Parameter } from "./parameter.ts";
import { biases } from "./recurrent.ts";

/** Options of recurrent cells. */
export interface CellOptions extends FactoryOptions {
  /** Whether there are biases; default true. */
  bias?: boolean;
}

/** Options of `RNNCell`. */
export interface RNNCellOptions extends CellOptions {
  /** `"tanh"` (default) or `"relu"`. */
  nonlinearity?: "tanh" | "relu";
}

const FORWARD = parseSignature("forward a cell(input, hx=null)");

/** What the cells share. */
export abstract class RNNCellBase extends Module {
  readonly #cell = true;
  /** Size I of the input. */
  readonly inputSize: number;
  /** Units H. */
  readonly hiddenSize: number;
  /** The kind of cell. */
  readonly kind: CellKind;
  /** (G·H, I). */
  weightIh: Parameter;
  /** (G·H, H). */
  weightHh: Parameter;
  /** (G·H), or null. */
  biasIh: Parameter | null;
  /** (G·H), or null. */
  biasHh: Parameter | null;

  /** @ignore */
  protected constructor(
    name: string,
    kind: CellKind,
    bound: Bound,
  ) {
    super();
    if (new.target === RNNCellBase as unknown) {
      throw new ArgumentError(
        "Cannot make RNNCellBase: it is only what RNNCell, LSTMCell and GRUCell have in common",
        { op: "RNNCellBase", hint: "make one of those" },
      );
    }
    const [inputSize, hiddenSize, bias, device, dtype] = bound;
    checkCount(inputSize, name, "inputSize");
    checkCount(hiddenSize, name, "hiddenSize");
    const factory = factoryOf(name, device, dtype);
    const rows = gatesOf(kind) * hiddenSize;
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.kind = kind;
    this.weightIh = newParameter([rows, inputSize], factory);
    this.weightHh = newParameter([rows, hiddenSize], factory);
    this.biasIh = bias ? newParameter([rows], factory) : null;
    this.biasHh = bias ? newParameter([rows], factory) : null;
    this.resetParameters();
  }

  /** Sets all parameters to new values, uniform in ±1/√H. */
  resetParameters(): void {
    const bound = this.hiddenSize > 0 ? 1 / Math.sqrt(this.hiddenSize) : 0;
    for (const p of this.parameters()) uniform_(p, -bound, bound);
  }

  /** One step; gives the next state and, of an LSTM, cell. @ignore */
  protected run(args: readonly unknown[]): Tensor[] {
    const name = this.constructor.name;
    const [x, hx] = bind(FORWARD, args);
    if (
      !(x instanceof Tensor) || (x.ndim !== 1 && x.ndim !== 2) || x.shape.at(-1) !== this.inputSize
    ) {
      throw new ShapeError(
        `Cannot forward ${name} of ${show(x)}: it takes [I] or [B, I] with I = ${this.inputSize}`,
        { op: name },
      );
    }
    // In mixed precision the types of input, states and weights may differ.
    const mixed = isAutocastEnabled(x.device);
    if (x.info !== this.weightIh.info && !mixed) {
      throw new DTypeError(
        `Cannot forward ${name} of input ${x.dtype}: its weights are ${this.weightIh.dtype}`,
        { op: name },
      );
    }
    const count = this.kind === "lstm" ? 2 : 1;
    const shape = [...x.shape.slice(0, -1), this.hiddenSize];
    const given = hx === null ? null : count === 1 ? [hx] : hx;
    if (given !== null && !(Array.isArray(given) && given.length === count)) {
      throw new ArgumentError(`Cannot forward ${name} with hx ${show(hx)}: it takes [h0, c0]`, {
        op: name,
      });
    }
    const single = x.ndim === 1;
    const rows = (t: Tensor) => single ? unsqueeze(t, 0) : t;
    const states = Array.from({ length: count }, (_, i) => {
      if (given === null) return rows(zeros(shape, { dtype: x.dtype, device: x.device }));
      const t = given[i] as unknown;
      if (!(t instanceof Tensor) || !sameShape(t.shape, shape) || t.info !== x.info && !mixed) {
        throw new ShapeError(
          `Cannot forward ${name} with state ${show(t)}: it must be ${
            shapeText(shape)
          } of ${x.dtype}`,
          { op: name },
        );
      }
      return rows(t);
    });
    const [h, c] = step(this.kind, rows(x), states, [
      this.weightIh,
      this.weightHh,
      this.biasIh,
      this.biasHh,
    ]);
    const results = c === null ? [h] : [h, c];
    return single ? results.map((t) => squeeze(t, 0)) : results;
  }

  override extraRepr(): string {
    return `${this.inputSize}, ${this.hiddenSize}${this.biasIh === null ? ", bias=false" : ""}`;
  }
}

/** Of all its tensors in the low precision on CUDA, in mixed precision. */
const step = autocasting("recurrentCell", (
  kind: CellKind,
  x: Tensor,
  [h, c]: readonly Tensor[],
  [weightIh, weightHh, biasIh, biasHh]: readonly [Tensor, Tensor, Tensor | null, Tensor | null],
): [Tensor, Tensor | null] => {
  const [bias, newBias] = biases(kind, biasIh, biasHh);
  const rest = { weight: weightHh, bias: newBias, projection: null };
  return cellStep(kind, linear(x, weightIh, bias), h, c ?? null, rest);
});

type Bound = [number, number, boolean, string | null, DType | null];

/**
 * One step of the plain recurrent net: `h = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh)`, or max(…, 0).
 * Shapes: x (B, I) or (I), state (B, H) or (H), zeros when missing → the next state.
 */
export class RNNCell extends RNNCellBase {
  readonly #rnn = true;
  /** `"tanh"` or `"relu"`. */
  readonly nonlinearity: "tanh" | "relu";

  /** So many inputs, so many units. */
  constructor(inputSize: number, hiddenSize: number, options?: RNNCellOptions) {
    const bound = bind(RNN_CELL, [inputSize, hiddenSize, options]);
    const nonlinearity = bound[3];
    if (nonlinearity !== "tanh" && nonlinearity !== "relu") {
      throw new ArgumentError(
        `Cannot make RNNCell: nonlinearity must be "tanh" or "relu", got ${show(nonlinearity)}`,
        { op: "RNNCell" },
      );
    }
    super("RNNCell", nonlinearity, bound.toSpliced(3, 1) as Bound);
    this.nonlinearity = nonlinearity;
  }

  override forward(input: Tensor, hx?: Tensor | null | { hx?: Tensor | null }): Tensor {
    return this.run([input, hx])[0];
  }
}

const RNN_CELL = declare(
  RNNCell,
  "RNNCell(inputSize, hiddenSize, bias=true, nonlinearity='tanh', device=null, dtype=null)",
);

/**
 * One step of an `LSTM`: x (B, I) or (I), [h, c] of (B, H) or (H) each, zeros when missing → the next [h, c].
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const [h, c] = new nn.LSTMCell(8, 16).forward(randn([3, 8]));
 * console.log(h.shape, c.shape); // [ 3, 16 ] [ 3, 16 ]
 * ```
 */
export class LSTMCell extends RNNCellBase {
  readonly #lstm = true;

  /** So many inputs, so many units. */
  constructor(inputSize: number, hiddenSize: number, options?: CellOptions) {
    super("LSTMCell", "lstm", bind(LSTM_CELL, [inputSize, hiddenSize, options]) as Bound);
  }

  override forward(
    input: Tensor,
    hx?: readonly [Tensor, Tensor] | null | { hx?: readonly [Tensor, Tensor] | null },
  ): [hNext: Tensor, cNext: Tensor] {
    return this.run([input, hx]) as [Tensor, Tensor];
  }
}

const LSTM_CELL = declare(
  LSTMCell,
  "LSTMCell(inputSize, hiddenSize, bias=true, device=null, dtype=null)",
);

/** One step of a `GRU`: x (B, I) or (I), state (B, H) or (H), zeros when missing → the next state. */
export class GRUCell extends RNNCellBase {
  readonly #gru = true;

  /** So many inputs, so many units. */
  constructor(inputSize: number, hiddenSize: number, options?: CellOptions) {
    super("GRUCell", "gru", bind(GRU_CELL, [inputSize, hiddenSize, options]) as Bound);
  }

  override forward(input: Tensor, hx?: Tensor | null | { hx?: Tensor | null }): Tensor {
    return this.run([input, hx])[0];
  }
}

const GRU_CELL = declare(
  GRUCell,
  "GRUCell(inputSize, hiddenSize, bias=true, device=null, dtype=null)",
);
