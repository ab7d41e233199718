/**
 * Recurrent layers over whole sequences: RNN, LSTM, GRU. Single steps are in recurrent_cell.ts.
 *
 * @module
 */
import { getAutocastDtype, isAutocastEnabled } from "../autocast.ts";
import type { DType } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { bind, declare, parseSignature, type Signature } from "../op.ts";
import { zeros } from "../ops/creation.ts";
import { indexSelect } from "../ops/index_ops.ts";
import { cat, stack } from "../ops/joining.ts";
import { cast } from "../ops/map.ts";
import { linear } from "../ops/matmul.ts";
import { add } from "../ops/pointwise.ts";
import { dropout } from "../ops/dropout.ts";
import { type CellKind, gatesOf, recurrentLayer } from "../ops/recurrent.ts";
import { squeeze, transpose, unsqueeze } from "../ops/view.ts";
import { narrow, select } from "../ops/window.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { uniform_ } from "./init.ts";
import { Module } from "./module.ts";
import { checkCount, factoryOf, type FactoryOptions, newParameter } from "./options.ts";
import type { Parameter } from "./parameter.ts";
import { PackedSequence } from "./rnn.ts";

/** Options of recurrent layers. */
export interface RecurrentOptions extends FactoryOptions {
  /** Layers, each taking what the one below gives; default 1. */
  numLayers?: number;
  /** Whether there are biases; default true. */
  bias?: boolean;
  /** Whether the batch comes first, (B, T, I); default false: (T, B, I). */
  batchFirst?: boolean;
  /** The probability of a zero in what a layer gives the next, in training; default 0. */
  dropout?: number;
  /** Whether a second direction goes from the last step to the first; default false. */
  bidirectional?: boolean;
}

/** Options of `RNN`. */
export interface RNNOptions extends RecurrentOptions {
  /** `"tanh"` (default) or `"relu"`. */
  nonlinearity?: "tanh" | "relu";
}

/** Options of `LSTM`. */
export interface LSTMOptions extends RecurrentOptions {
  /** Size P of the state where it is projected, below the hidden size; default 0: it is not. */
  projSize?: number;
}

/** A padded batch, one sequence, or packed sequences. */
export type SequenceInput = Tensor | PackedSequence;

const FORWARD: Readonly<Record<string, Signature>> = Object.fromEntries(
  ["RNN", "LSTM", "GRU"].map((name) => [name, parseSignature(`forward ${name}(input, hx=null)`)]),
);

/** What RNN, LSTM and GRU share. */
export abstract class RNNBase extends Module {
  readonly #recurrent = true;
  /** Size I of a step's input. */
  readonly inputSize: number;
  /** Units H of a layer. */
  readonly hiddenSize: number;
  /** Layers. */
  readonly numLayers: number;
  /** Whether there are biases. */
  readonly bias: boolean;
  /** Whether the batch comes first. */
  readonly batchFirst: boolean;
  /** The probability of a zero between layers. */
  readonly dropout: number;
  /** Whether there is a second direction. */
  readonly bidirectional: boolean;
  /** Size of a projected state, or 0. */
  readonly projSize: number;
  /** The kind of cell. */
  readonly kind: CellKind;
  /** (G·H, I): the first layer's weights on the input. Those of layer k are under `weight_ih_lk`. */
  declare weightIhL0: Parameter;
  /** (G·H, H): the first layer's weights on the state. */
  declare weightHhL0: Parameter;
  /** (G·H), where there are biases. */
  declare biasIhL0: Parameter;
  /** (G·H), where there are biases. */
  declare biasHhL0: Parameter;

  /** @ignore */
  protected constructor(
    name: string,
    kind: CellKind,
    values: readonly [
      number,
      number,
      number,
      boolean,
      boolean,
      number,
      boolean,
      number,
    ],
    device: string | null,
    dtype: DType | null,
  ) {
    super();
    if (new.target === RNNBase as unknown) {
      throw new ArgumentError(
        "Cannot make RNNBase: it is only what RNN, LSTM and GRU have in common",
        { op: "RNNBase", hint: "make one of those" },
      );
    }
    const [inputSize, hiddenSize, numLayers, bias, batchFirst, drop, bidirectional, projSize] =
      values;
    for (const [what, n] of Object.entries({ inputSize, hiddenSize, numLayers })) {
      checkCount(n, name, what);
      if (n === 0) {
        throw new ArgumentError(`Cannot make ${name}: ${what} must be above 0`, { op: name });
      }
    }
    checkCount(projSize, name, "projSize");
    if (projSize >= hiddenSize) {
      throw new ArgumentError(
        `Cannot make ${name}: projSize ${projSize} must be below hiddenSize ${hiddenSize}`,
        { op: name },
      );
    }
    if (typeof drop !== "number" || !(drop >= 0 && drop <= 1)) {
      throw new ArgumentError(
        `Cannot make ${name}: dropout must be from 0 to 1, got ${show(drop)}`,
        {
          op: name,
        },
      );
    }
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.bias = bias;
    this.batchFirst = batchFirst;
    this.dropout = drop;
    this.bidirectional = bidirectional;
    this.projSize = projSize;
    this.kind = kind;
    const factory = factoryOf(name, device, dtype);
    const rows = gatesOf(kind) * hiddenSize, state = projSize || hiddenSize;
    const own = this as unknown as Record<string, Parameter>;
    for (const [suffix, layer] of directionsOf(this)) {
      const width = layer === 0 ? inputSize : state * waysOf(this);
      own[`weightIh${suffix}`] = newParameter([rows, width], factory);
      own[`weightHh${suffix}`] = newParameter([rows, state], factory);
      if (bias) {
        own[`biasIh${suffix}`] = newParameter([rows], factory);
        own[`biasHh${suffix}`] = newParameter([rows], factory);
      }
      if (projSize > 0) own[`weightHr${suffix}`] = newParameter([projSize, hiddenSize], factory);
    }
    this.resetParameters();
  }

  /** The parameters of each layer and direction. */
  get allWeights(): Parameter[][] {
    const own = this as unknown as Record<string, Parameter>;
    const kinds = ["weightIh", "weightHh", "biasIh", "biasHh", "weightHr"];
    return directionsOf(this).map(([suffix]) =>
      kinds.map((kind) => own[`${kind}${suffix}`]).filter((p) => p !== undefined)
    );
  }

  /** Sets all parameters to new values, uniform in ±1/√H. */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const p of this.parameters()) uniform_(p, -bound, bound);
  }

  /** Runs a sequence; gives all outputs and the last states, of all layers and directions. @ignore */
  protected run(args: readonly unknown[]): [SequenceInput, Tensor, Tensor | null] {
    const name = this.constructor.name;
    const [input, hx] = bind(
      FORWARD[this.kind === "lstm" ? "LSTM" : this.kind === "gru" ? "GRU" : "RNN"],
      args,
    );
    const packed = input instanceof PackedSequence ? input : null;
    if (packed === null && !(input instanceof Tensor)) {
      throw new ArgumentError(
        `Cannot forward ${name} of ${show(input)}: it takes a tensor or a PackedSequence`,
        { op: name },
      );
    }
    let x = packed?.data ?? input as Tensor;
    const single = packed === null && x.ndim === 2;
    const dims = packed === null ? "[T, I], or [T, B, I], or [B, T, I] with batchFirst" : "[N, I]";
    if (
      (packed === null ? x.ndim !== 2 && x.ndim !== 3 : x.ndim !== 2) ||
      x.shape[x.ndim - 1] !== this.inputSize
    ) {
      throw new ShapeError(
        `Cannot forward ${name} of input ${
          shapeText(x.shape)
        }: it takes ${dims} with I = ${this.inputSize}`,
        { op: name },
      );
    }
    const weight = this.weightIhL0;
    // In mixed precision all are computed in float32.
    if (x.info !== weight.info && !isAutocastEnabled(x.device)) {
      throw new DTypeError(
        `Cannot forward ${name} of input ${x.dtype}: its weights are ${weight.dtype}`,
        { op: name },
      );
    }
    if (single) x = unsqueeze(x, 1);
    else if (packed === null && this.batchFirst) x = transpose(x, 0, 1);
    if (packed === null && x.shape[0] === 0) {
      throw new ShapeError(`Cannot forward ${name} of a sequence without steps`, { op: name });
    }
    const sizes = packed?.sizes() ?? null;
    const batch = sizes === null ? x.shape[1] : sizes[0];
    const states = statesOf(this, hx, batch, single, packed);
    const [y, h, c] = runLayers(this, x, states, sizes);
    const out = packed !== null
      ? packed.withData(y)
      : single
      ? squeeze(y, 1)
      : this.batchFirst
      ? transpose(y, 0, 1)
      : y;
    const order = packed?.unsortedIndices ?? null;
    const back = (t: Tensor) => {
      const sorted = order === null ? t : indexSelect(t, 1, order);
      return single ? squeeze(sorted, 1) : sorted;
    };
    return [out, back(h), c && back(c)];
  }

  override extraRepr(): string {
    const parts = [`${this.inputSize}, ${this.hiddenSize}`];
    const plain: Record<string, unknown> = {
      projSize: 0,
      numLayers: 1,
      bias: true,
      batchFirst: false,
      dropout: 0,
      bidirectional: false,
    };
    for (const [key, usual] of Object.entries(plain)) {
      const value = (this as unknown as Record<string, unknown>)[key];
      if (value !== usual) parts.push(`${key}=${value}`);
    }
    return parts.join(", ");
  }
}

/** Directions of a layer. */
function waysOf(rnn: RNNBase): number {
  return rnn.bidirectional ? 2 : 1;
}

/** The ends of the fields' names, with the layer and the way, in the order of PyTorch's keys. */
function directionsOf(rnn: RNNBase): [suffix: string, layer: number, reverse: boolean][] {
  const ways = waysOf(rnn);
  return Array.from({ length: rnn.numLayers * ways }, (_, i) => {
    const layer = Math.floor(i / ways), reverse = i % ways === 1;
    return [`L${layer}${reverse ? "Reverse" : ""}`, layer, reverse];
  });
}

/** First states (L, B, P) and cells (L, B, H) of all layers and directions. */
function statesOf(
  rnn: RNNBase,
  hx: unknown,
  batch: number,
  single: boolean,
  packed: PackedSequence | null,
): [Tensor, Tensor | null] {
  const name = rnn.constructor.name, lstm = rnn.kind === "lstm";
  const count = rnn.numLayers * waysOf(rnn);
  const widths = lstm ? [rnn.projSize || rnn.hiddenSize, rnn.hiddenSize] : [rnn.hiddenSize];
  const given = hx === null ? null : lstm ? hx : [hx];
  if (given !== null && !(Array.isArray(given) && given.length === widths.length)) {
    throw new ArgumentError(`Cannot forward ${name} with hx ${show(hx)}: it takes [h0, c0]`, {
      op: name,
    });
  }
  const { dtype, device } = rnn.weightIhL0;
  const states = widths.map((width, i) => {
    if (given === null) return zeros([count, batch, width], { dtype, device });
    const t = (given as unknown[])[i];
    const shape = single ? [count, width] : [count, batch, width];
    if (
      !(t instanceof Tensor) || !sameShape(t.shape, shape) ||
      t.dtype !== dtype && !isAutocastEnabled(device)
    ) {
      throw new ShapeError(
        `Cannot forward ${name} with ${i === 0 ? "h0" : "c0"} ${show(t)}: it must be ${
          shapeText(shape)
        } of ${dtype}`,
        { op: name },
      );
    }
    if (single) return unsqueeze(t, 1);
    return packed?.sortedIndices ? indexSelect(t, 1, packed.sortedIndices) : t;
  });
  return [states[0], states[1] ?? null];
}

/** All layers, one after the other: outputs, last states and cells. */
function runLayers(
  rnn: RNNBase,
  x: Tensor,
  [h0, c0]: [Tensor, Tensor | null],
  sizes: readonly number[] | null,
): [Tensor, Tensor, Tensor | null] {
  // Under autocast PyTorch gives the low precision, but of the gated unit on the CPU what it was given.
  const lowers = (rnn.kind !== "gru" || x.device !== "cpu") && isAutocastEnabled(x.device) &&
    x.dtype !== "float64";
  const dtype = lowers ? getAutocastDtype(x.device) : x.dtype;
  // Half types are computed in float32, as every kernel does.
  const wide = (t: Tensor) => t.info.size < 4 ? cast(t, "float32") : t;
  const narrowed = (t: Tensor) => t.dtype === dtype ? t : cast(t, dtype);
  const h: Tensor[] = [], c: Tensor[] = [];
  let below = wide(x), ways: Tensor[] = [];
  const first = wide(h0), firstCells = c0 && wide(c0);
  directionsOf(rnn).forEach(([suffix, layer, reverse], i) => {
    const parameter = (kind: string): Tensor | null => {
      const p = (rnn as unknown as Record<string, Parameter | undefined>)[`${kind}${suffix}`];
      return p === undefined ? null : wide(p);
    };
    const [bias, newBias] = biases(rnn.kind, parameter("biasIh"), parameter("biasHh"));
    const out = recurrentLayer({
      kind: rnn.kind,
      // In mixed precision the product is of a half type.
      x: wide(linear(below, parameter("weightIh")!, bias)),
      h: select(first, 0, i),
      c: firstCells && select(firstCells, 0, i),
      weight: parameter("weightHh")!,
      bias: newBias,
      projection: parameter("weightHr"),
      sizes,
      reverse,
    });
    h.push(out.h);
    if (out.c !== null) c.push(out.c);
    ways.push(out.y);
    if (ways.length < waysOf(rnn)) return;
    below = ways.length === 1 ? ways[0] : cat(ways, -1);
    ways = [];
    if (rnn.dropout > 0 && rnn.training && layer < rnn.numLayers - 1) {
      below = dropout(below, rnn.dropout);
    }
  });
  return [narrowed(below), narrowed(stack(h)), c.length === 0 ? null : narrowed(stack(c))];
}

/**
 * The bias that is added with the input's share of the gates, and what remains for a GRU's new gate: its reset gate
 * multiplies what the state gives, bias included.
 */
export function biases(
  kind: CellKind,
  ih: Tensor | null,
  hh: Tensor | null,
): [Tensor | null, Tensor | null] {
  if (ih === null || hh === null) return [null, null];
  if (kind !== "gru") return [add(ih, hh), null];
  const units = hh.shape[0] / 3;
  const others = narrow(hh, 0, 0, 2 * units);
  const none = zeros([units], { dtype: hh.dtype, device: hh.device });
  return [add(ih, cat([others, none])), narrow(hh, 0, 2 * units, units)];
}

type Bound = [
  number,
  number,
  number,
  boolean,
  boolean,
  number,
  boolean,
  string | null,
  DType | null,
];

/**
 * The plain recurrent net: `h = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh)`, or max(…, 0).
 *
 * Shapes: x (T, B, I), or (B, T, I) with `batchFirst`, or (T, I); h0 (L, B, H) or (L, H), where L counts layers times
 * directions, zeros when missing → [y (…, H · directions), h (L, …, H)].
 * Errors: ShapeError for other sizes, DTypeError when the input's type is not the weights'.
 * Source: Elman 1990, Cognitive Science 14.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const [y, h] = new nn.RNN(8, 16, 2, { batchFirst: true }).forward(randn([3, 5, 8]));
 * console.log(y.shape, h.shape); // [ 3, 5, 16 ] [ 2, 3, 16 ]
 * ```
 */
export class RNN extends RNNBase {
  readonly #rnn = true;
  /** `"tanh"` or `"relu"`. */
  readonly nonlinearity: "tanh" | "relu";

  /** So many inputs, so many units. */
  constructor(
    inputSize: number,
    hiddenSize: number,
    numLayers?: number | RNNOptions,
    options?: RNNOptions,
  ) {
    const [nonlinearity, ...rest] = rearranged(
      bind(RNN_SIGNATURE, [inputSize, hiddenSize, numLayers, options]),
    );
    const [i, h, n, bias, first, drop, both, device, dtype] = rest as Bound;
    if (nonlinearity !== "tanh" && nonlinearity !== "relu") {
      throw new ArgumentError(
        `Cannot make RNN: nonlinearity must be "tanh" or "relu", got ${show(nonlinearity)}`,
        { op: "RNN" },
      );
    }
    super("RNN", nonlinearity, [i, h, n, bias, first, drop, both, 0], device, dtype);
    this.nonlinearity = nonlinearity;
  }

  /** All outputs, packed as the input is, and the last states. */
  override forward(
    input: PackedSequence,
    hx?: Tensor | null | { hx?: Tensor | null },
  ): [output: PackedSequence, hn: Tensor];
  /** All outputs, and the last states. */
  override forward(
    input: Tensor,
    hx?: Tensor | null | { hx?: Tensor | null },
  ): [output: Tensor, hn: Tensor];
  override forward(...args: unknown[]): [Tensor & PackedSequence, Tensor] {
    const [y, h] = this.run(args);
    return [y as Tensor & PackedSequence, h];
  }
}

/** The nonlinearity first, as the other layers have none. */
function rearranged(bound: readonly unknown[]): unknown[] {
  return [bound[3], ...bound.toSpliced(3, 1)];
}

const RNN_SIGNATURE = declare(
  RNN,
  "RNN(inputSize, hiddenSize, numLayers=1, nonlinearity='tanh', bias=true, batchFirst=false, dropout=0, bidirectional=false, device=null, dtype=null)",
);

/**
 * Long short-term memory: gates i, f, g, o of the input and the state, `c = σ(f) c + σ(i) tanh(g)`,
 * `h = σ(o) tanh(c)`, and with `projSize` `h = W_hr h`.
 *
 * Shapes as `RNN`; hx [h0 (L, B, P), c0 (L, B, H)] → [y (…, P · directions), [h (L, …, P), c (L, …, H)]], P being
 * `projSize` or else H. Errors as `RNN`. Source: Hochreiter and Schmidhuber 1997, Neural Computation 9.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const [y, [h, c]] = new nn.LSTM(8, 16, { bidirectional: true }).forward(randn([5, 3, 8]));
 * console.log(y.shape, h.shape, c.shape); // [ 5, 3, 32 ] [ 2, 3, 16 ] [ 2, 3, 16 ]
 * ```
 */
export class LSTM extends RNNBase {
  readonly #lstm = true;

  /** So many inputs, so many units. */
  constructor(
    inputSize: number,
    hiddenSize: number,
    numLayers?: number | LSTMOptions,
    options?: LSTMOptions,
  ) {
    const bound = bind(LSTM_SIGNATURE, [inputSize, hiddenSize, numLayers, options]);
    const [i, h, n, bias, first, drop, both] = bound as Bound;
    const [projSize, device, dtype] = bound.slice(7) as [number, string | null, DType | null];
    super("LSTM", "lstm", [i, h, n, bias, first, drop, both, projSize], device, dtype);
  }

  /** All outputs, packed as the input is, and the last states and cells. */
  override forward(
    input: PackedSequence,
    hx?: readonly [Tensor, Tensor] | null | { hx?: readonly [Tensor, Tensor] | null },
  ): [output: PackedSequence, states: [hn: Tensor, cn: Tensor]];
  /** All outputs, and the last states and cells. */
  override forward(
    input: Tensor,
    hx?: readonly [Tensor, Tensor] | null | { hx?: readonly [Tensor, Tensor] | null },
  ): [output: Tensor, states: [hn: Tensor, cn: Tensor]];
  override forward(...args: unknown[]): [Tensor & PackedSequence, [Tensor, Tensor]] {
    const [y, h, c] = this.run(args);
    return [y as Tensor & PackedSequence, [h, c!]];
  }
}

const LSTM_SIGNATURE = declare(
  LSTM,
  "LSTM(inputSize, hiddenSize, numLayers=1, bias=true, batchFirst=false, dropout=0, bidirectional=false, projSize=0, device=null, dtype=null)",
);

/**
 * The gated recurrent unit: gates r, z, n of the input and the state, `n = tanh(x_n + σ(r) h_n)`,
 * `h = (1 - σ(z)) n + σ(z) h`.
 *
 * Shapes and errors as `RNN`. Source: Cho et al. 2014, arXiv 1406.1078.
 *
 * ```ts
 * import { nn, randn } from "@toro/toro";
 * const [y, h] = new nn.GRU(8, 16).forward(randn([5, 3, 8]));
 * console.log(y.shape, h.shape); // [ 5, 3, 16 ] [ 1, 3, 16 ]
 * ```
 */
export class GRU extends RNNBase {
  readonly #gru = true;

  /** So many inputs, so many units. */
  constructor(
    inputSize: number,
    hiddenSize: number,
    numLayers?: number | RecurrentOptions,
    options?: RecurrentOptions,
  ) {
    const bound = bind(GRU_SIGNATURE, [inputSize, hiddenSize, numLayers, options]) as Bound;
    const [i, h, n, bias, first, drop, both, device, dtype] = bound;
    super("GRU", "gru", [i, h, n, bias, first, drop, both, 0], device, dtype);
  }

  /** All outputs, packed as the input is, and the last states. */
  override forward(
    input: PackedSequence,
    hx?: Tensor | null | { hx?: Tensor | null },
  ): [output: PackedSequence, hn: Tensor];
  /** All outputs, and the last states. */
  override forward(
    input: Tensor,
    hx?: Tensor | null | { hx?: Tensor | null },
  ): [output: Tensor, hn: Tensor];
  override forward(...args: unknown[]): [Tensor & PackedSequence, Tensor] {
    const [y, h] = this.run(args);
    return [y as Tensor & PackedSequence, h];
  }
}

const GRU_SIGNATURE = declare(
  GRU,
  "GRU(inputSize, hiddenSize, numLayers=1, bias=true, batchFirst=false, dropout=0, bidirectional=false, device=null, dtype=null)",
);
