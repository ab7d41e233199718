/**
 * One direction of one recurrent layer over a whole sequence: the native kernel, and its twin in plain ops, which serves
 * projections and gradients of gradients, and is what the kernel is tested against. What the input gives the gates is
 * computed before, for all steps at once.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, isGradEnabled, record, wantsAny } from "../autograd.ts";
import { empty, fromElements, type Tensor } from "../tensor.ts";
import { composedGradients, windowOf } from "./composed.ts";
import { filled } from "./creation.ts";
import { cat, stack } from "./joining.ts";
import { cast } from "./map.ts";
import { tanh } from "./math.ts";
import { linear, matmul } from "./matmul.ts";
import { relu, sigmoid } from "./activation.ts";
import { add, mul, sub } from "./pointwise.ts";
import { sum } from "./reduction.ts";
import { contiguous, transpose } from "./view.ts";
import { chunk, narrow, select } from "./window.ts";

/** A kind of cell. */
export type CellKind = "tanh" | "relu" | "lstm" | "gru";

/** What is known of a kind: its number in native, gates of a unit, numbers kept of a unit for backward. */
const KINDS: Readonly<Record<CellKind, { code: number; gates: number; kept: number; op: string }>> =
  {
    tanh: { code: 0, gates: 1, kept: 0, op: "rnn" },
    relu: { code: 1, gates: 1, kept: 0, op: "rnn" },
    lstm: { code: 2, gates: 4, kept: 4, op: "lstm" },
    gru: { code: 3, gates: 3, kept: 4, op: "gru" },
  };

/** Gates of a unit. */
export function gatesOf(kind: CellKind): number {
  return KINDS[kind].gates;
}

/** What a layer's direction is given. B sequences, T steps, H units, G gates; P is H unless there is a projection. */
export interface LayerInput {
  readonly kind: CellKind;
  /** What the input and the biases give the gates: (T, B, G·H), or (N, G·H) with the steps' rows behind each other. */
  readonly x: Tensor;
  /** First state (B, P). */
  readonly h: Tensor;
  /** First cell (B, H); an LSTM only. */
  readonly c: Tensor | null;
  /** (G·H, P). */
  readonly weight: Tensor;
  /** Bias (H) of what the state gives a GRU's new gate, or null. */
  readonly bias: Tensor | null;
  /** Weights (P, H) of an LSTM's projection, or null. */
  readonly projection: Tensor | null;
  /** How many sequences have each step, falling; null where all have all. */
  readonly sizes: readonly number[] | null;
  /** Whether the steps go from the last to the first. */
  readonly reverse: boolean;
}

/** What a layer's direction gives: all outputs as `x` has its rows, the last state and, of an LSTM, the last cell. */
export interface LayerOutput {
  readonly y: Tensor;
  readonly h: Tensor;
  readonly c: Tensor | null;
}

/**
 * One step in plain ops: gates `x` (B, G·H) from the input, states (B, P) and (B, H). Sources: Hochreiter and
 * Schmidhuber 1997, Neural Computation 9; Cho et al. 2014, arXiv 1406.1078.
 */
export function cellStep(
  kind: CellKind,
  x: Tensor,
  h: Tensor,
  c: Tensor | null,
  { weight, bias, projection }: Pick<LayerInput, "weight" | "bias" | "projection">,
): [h: Tensor, c: Tensor | null] {
  const given = linear(h, weight);
  if (kind === "tanh") return [tanh(add(x, given)), null];
  if (kind === "relu") return [relu(add(x, given)), null];
  if (kind === "lstm") {
    const [i, f, g, o] = chunk(add(x, given), 4, 1);
    const next = add(mul(sigmoid(f), c!), mul(sigmoid(i), tanh(g)));
    const y = mul(sigmoid(o), tanh(next));
    return [projection === null ? y : linear(y, projection), next];
  }
  const [xr, xz, xn] = chunk(x, 3, 1), [hr, hz, hn] = chunk(given, 3, 1);
  const r = sigmoid(add(xr, hr)), z = sigmoid(add(xz, hz));
  const n = tanh(add(xn, mul(r, bias === null ? hn : add(hn, cast(bias, hn.dtype)))));
  return [add(n, mul(z, sub(h, n))), null];
}

/** A layer's direction in plain ops, step by step. */
function composed(given: LayerInput): LayerOutput {
  const { kind, x, sizes, reverse } = given;
  const batch = given.h.shape[0];
  const steps = sizes?.length ?? x.shape[0];
  const starts = sizes?.map((_, t) => sizes.slice(0, t).reduce((a, b) => a + b, 0));
  const outputs = new Array<Tensor>(steps);
  let { h, c } = given;
  const part = (t: Tensor, n: number) => n === batch ? t : narrow(t, 0, 0, n);
  const whole = (next: Tensor, t: Tensor, n: number) =>
    n === batch ? next : cat([next, narrow(t, 0, n, batch - n)]);
  for (let i = 0; i < steps; i++) {
    const t = reverse ? steps - 1 - i : i;
    const n = sizes?.[t] ?? batch;
    const row = starts ? narrow(x, 0, starts[t], n) : select(x, 0, t);
    const [nextH, nextC] = cellStep(kind, row, part(h, n), c && part(c, n), given);
    outputs[t] = nextH;
    h = whole(nextH, h, n);
    if (nextC !== null) c = whole(nextC, c!, n);
  }
  return { y: sizes === null ? stack(outputs) : cat(outputs), h, c };
}

/** An operand whose last dim lies along memory. */
function alongRows(t: Tensor): Tensor {
  return t.strides[t.ndim - 1] === 1 || t.shape[t.ndim - 1] <= 1 ? t : contiguous(t);
}

/** New rows in the order in which those of x lie: of a batch that comes first, (B, T, X) seen as (T, B, X). */
function rowsLike(x: Tensor, width: number): Tensor {
  const { info, storage: { device } } = x;
  if (x.ndim === 2) return empty([x.shape[0], width], info, device);
  const [steps, batch] = x.shape;
  if (x.strides[1] <= x.strides[0]) return empty([steps, batch, width], info, device);
  const t = empty([batch, steps, width], info, device);
  return windowOf(t, [steps, batch, width], [width, steps * width, 1]);
}

/** The rows of what `rowsLike` made, as one matrix in the order of memory. */
function matrixOf(t: Tensor): Tensor {
  const width = t.shape[t.ndim - 1];
  return windowOf(t, [width === 0 ? 0 : t.numel / width, width], [width, 1]);
}

/** A layer's direction over a sequence, recorded. */
export function recurrentLayer(given: LayerInput): LayerOutput {
  if (given.projection !== null) return composed(given);
  const { kind, h: h0, c: c0, weight, bias, reverse } = given;
  const { code, gates, kept, op } = KINDS[kind];
  const x = alongRows(given.x);
  const { info, storage: { device } } = x;
  const [batch, units] = h0.shape;
  const nothing = empty([0], info, device);
  const sizes = fromElements(
    BigInt64Array.from(given.sizes ?? [], BigInt),
    "int64",
    [given.sizes?.length ?? 0],
    device,
  );
  const y = rowsLike(x, units);
  const h = empty([batch, units], info, device);
  const c = c0 === null ? nothing : empty([batch, units], info, device);
  const keep = kept === 0 ? nothing : rowsLike(x, kept * units);
  const cells = c0 === null ? nothing : rowsLike(x, units);
  const scalars = [code, reverse ? 1 : 0];
  run(op, OP.recurrent, [y, h, c, keep, cells], [
    x,
    h0,
    c0 ?? nothing,
    weight,
    bias ?? nothing,
    sizes,
  ], scalars);
  const inputs = [given.x, h0, weight];
  if (c0 !== null) inputs.push(c0);
  if (bias !== null) inputs.push(bias);
  const outputs = c0 === null ? [y, h] : [y, h, c];
  if (wantsAny(inputs)) {
    record(op, inputs, outputs, (grads) => {
      if (grads.every((g) => g === null)) return inputs.map(() => null);
      if (isGradEnabled()) {
        return composedGradients(
          (twins) => {
            const [x, h, weight] = twins;
            const c = c0 && twins[3], bias = given.bias && twins[twins.length - 1];
            const out = composed({ ...given, x, h, weight, c, bias });
            return out.c === null ? [out.y, out.h] : [out.y, out.h, out.c];
          },
          inputs,
          grads,
        );
      }
      const zeros = (t: Tensor) => filled(t.shape, 0, info, device);
      const gy = alongRows(grads[0] ?? zeros(y)), gh = grads[1] ?? zeros(h);
      const gc = c0 === null ? nothing : grads[2] ?? zeros(c);
      const gx = rowsLike(x, gates * units);
      // What the state gave a GRU's gates has gradients of its own.
      const ga = kind === "gru" ? rowsLike(x, gates * units) : nothing;
      const before = rowsLike(x, units);
      const gh0 = empty([batch, units], info, device);
      const gc0 = c0 === null ? nothing : empty([batch, units], info, device);
      run(
        `the backward of ${op}`,
        OP.recurrent_grad,
        [gx, ga, before, gh0, gc0],
        [gy, gh, gc, y, keep, cells, h0, c0 ?? nothing, weight, sizes],
        scalars,
      );
      return inMode(false, () => {
        const slopes = matrixOf(kind === "gru" ? ga : gx);
        const out: Tensor[] = [gx, gh0, matmul(transpose(slopes, 0, 1), matrixOf(before))];
        if (c0 !== null) out.push(gc0);
        if (bias !== null) out.push(sum(narrow(slopes, 1, 2 * units, units), 0));
        return out;
      });
    }, [x, h0, weight, y, ...(c0 === null ? [] : [c0])]);
  }
  return { y, h, c: c0 === null ? null : c };
}
