/**
 * Tensors joined: one behind the other, stacked, in blocks, and widened by padding.
 *
 * @module
 */
import { autocasting } from "../autocast.ts";
import { run, wordsOf } from "../../ffi/instruction.ts";
import { words } from "../../ffi/library.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode, record, requiresGrad, wants, wantsAny } from "../autograd.ts";
import { DTYPES, promoteTypes, type Scalar } from "../dtype.ts";
import { ArgumentError, DeviceError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { sameShape, shapeText, wrapDim } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { filled } from "./creation.ts";
import { cast, mapOut, word } from "./map.ts";
import { reshape, unsqueeze } from "./view.ts";
import { narrow, select } from "./window.ts";

/** An op that joins tensors along a dim. */
export type Join = (tensors: readonly Tensor[], dim?: number | { dim?: number }) => Tensor;
/** An op that joins tensors along a dim that it chooses itself. */
export type JoinAll = (tensors: readonly Tensor[]) => Tensor;

function checkTensors(name: string, tensors: unknown): readonly Tensor[] {
  if (!Array.isArray(tensors) || tensors.length === 0) {
    throw new ArgumentError(
      `Cannot ${name} ${show(tensors)}: it takes an array of tensors, at least one`,
      {
        op: name,
      },
    );
  }
  for (const t of tensors) {
    if (!(t instanceof Tensor)) {
      throw new ArgumentError(`Cannot ${name}: ${show(t)} is no tensor`, { op: name });
    }
    if (t.storage.device !== tensors[0].storage.device) {
      throw new DeviceError(
        `Cannot ${name} tensors on ${
          tensors[0].device
        } and ${t.device}: they must be on one device`,
        { op: name },
      );
    }
  }
  return tensors;
}

const promoted = (tensors: readonly Tensor[]) =>
  DTYPES[tensors.map((t) => t.dtype).reduce((a, b) => promoteTypes(a, b))];

/** Writes the parts one behind the other along a dim of out, in as many instructions as the buffer asks for. */
function joinInto(name: string, out: Tensor, parts: readonly Tensor[], dim: number): void {
  let from = 0, at = 0;
  while (from < parts.length) {
    let to = from, length = 0, used = wordsOf([out], 1);
    do {
      length += parts[to].shape[dim];
      used += wordsOf([parts[to]], 0);
      to++;
    } while (to < parts.length && to - from < 8000 && used + 64 < words.length);
    const window = new Tensor(
      out.storage,
      out.info,
      out.shape.with(dim, length),
      out.strides,
      length === 0 ? 0 : out.offset + at * out.strides[dim],
    );
    run(name, OP.cat, [window], parts.slice(from, to), [dim]);
    from = to;
    at += length;
  }
}

/**
 * Tensors one behind the other along a dim; they agree in all others. A 1-d tensor without elements counts for
 * nothing. Shapes: (…, N₁, …), (…, N₂, …), … → (…, N₁ + N₂ + …, …). Dtypes promote.
 *
 * ```ts
 * import { cat, ones, zeros } from "@toro/toro";
 * cat([zeros([2, 3]), ones([2, 1])], 1).shape; // [2, 4]
 * ```
 */
export const cat: Join = op("cat(tensors, dim=0)", (tensors: readonly Tensor[], dim: number) => {
  checkTensors("cat", tensors);
  const isVoid = (t: Tensor) => t.ndim === 1 && t.shape[0] === 0;
  const first = tensors.find((t) => !isVoid(t)) ?? tensors[0];
  if (first.ndim === 0) {
    throw new ShapeError("Cannot cat tensors of no dims", {
      op: "cat",
      hint: "stack() makes a dim",
    });
  }
  const d = wrapDim(dim, first.ndim, "cat");
  const parts = first.ndim === 1 && isVoid(first) ? tensors : tensors.filter((t) => !isVoid(t));
  let length = 0;
  for (const t of parts) {
    if (t.ndim !== first.ndim) {
      throw new ShapeError(
        `Cannot cat ${shapeText(first.shape)} and ${
          shapeText(t.shape)
        }: they have ${first.ndim} and ${t.ndim} dims`,
        { op: "cat" },
      );
    }
    const other = t.shape.findIndex((n, i) => i !== d && n !== first.shape[i]);
    if (other >= 0) {
      throw new ShapeError(
        `Cannot cat ${shapeText(first.shape)} and ${shapeText(t.shape)} along dim ${d}: sizes ${
          first.shape[other]
        } and ${t.shape[other]} differ in dim ${other}`,
        { op: "cat" },
      );
    }
    length += t.shape[d];
  }
  const info = promoted(tensors);
  const out = empty(first.shape.with(d, length), info, first.storage.device);
  joinInto("cat", out, parts, d);
  if (wantsAny(tensors)) {
    record("cat", tensors, [out], ([g]) => {
      let at = 0;
      return tensors.map((t) => {
        const length = isVoid(t) ? 0 : t.shape[d], start = at;
        at += length;
        if (g === null || !requiresGrad(t)) return null;
        return length === 0 ? emptyGrad(t, g) : cast(narrow(g, d, start, length), t.dtype);
      });
    }, []);
  }
  return out;
});

/** The gradient of a tensor without elements. */
const emptyGrad = (t: Tensor, g: Tensor): Tensor => empty(t.shape, t.info, g.storage.device);

/** Tensors of one shape along a new dim. Shapes: k times (…) → (…, k, …). Dtypes promote. */
export const stack: Join = op(
  "stack(tensors, dim=0)",
  (tensors: readonly Tensor[], dim: number) => {
    checkTensors("stack", tensors);
    const first = tensors[0];
    const d = wrapDim(dim, first.ndim + 1, "stack");
    const odd = tensors.find((t) => !sameShape(t.shape, first.shape));
    if (odd !== undefined) {
      throw new ShapeError(
        `Cannot stack ${shapeText(first.shape)} and ${
          shapeText(odd.shape)
        }: they must have one shape`,
        { op: "stack" },
      );
    }
    const out = empty(
      first.shape.toSpliced(d, 0, tensors.length),
      promoted(tensors),
      first.storage.device,
    );
    joinInto("stack", out, inMode(false, () => tensors.map((t) => unsqueeze(t, d))), d);
    if (wantsAny(tensors)) {
      record(
        "stack",
        tensors,
        [out],
        ([g]) =>
          tensors.map((t, i) => g && requiresGrad(t) ? cast(select(g, d, i), t.dtype) : null),
        [],
      );
    }
    return out;
  },
);

const atLeast = (t: Tensor, ndim: number): Tensor => {
  if (ndim >= 1 && t.ndim === 0) t = reshape(t, [1]);
  if (ndim >= 2 && t.ndim === 1) t = unsqueeze(t, 0);
  return ndim >= 3 && t.ndim === 2 ? unsqueeze(t, 2) : t;
};

function joinAll(name: string, ndim: number, dimOf: (first: Tensor) => number): JoinAll {
  return op<JoinAll>(`${name}(tensors)`, (tensors: readonly Tensor[]) => {
    const parts = checkTensors(name, tensors).map((t) => atLeast(t, ndim));
    return cat(parts, dimOf(parts[0]));
  });
}

/** `cat` along dim 1, or along dim 0 for vectors and numbers. */
export const hstack: JoinAll = joinAll("hstack", 1, (first) => first.ndim === 1 ? 0 : 1);
/** `cat` along dim 0; a vector is a row. */
export const vstack: JoinAll = joinAll("vstack", 2, () => 0);
/** `cat` along dim 2; a vector (N) is (1, N, 1), a matrix (M, N) is (M, N, 1). */
export const dstack: JoinAll = joinAll("dstack", 3, () => 2);

/** Matrices along a diagonal of zeros; a vector is a row, a number 1 × 1. Dtypes promote. */
export const blockDiag: JoinAll = op("blockDiag(tensors)", (tensors: readonly Tensor[]) => {
  const parts = checkTensors("blockDiag", tensors).map((t) => atLeast(t, 2));
  const odd = parts.find((t) => t.ndim !== 2);
  if (odd !== undefined) {
    throw new ShapeError(`Cannot blockDiag ${shapeText(odd.shape)}: a block has at most 2 dims`, {
      op: "blockDiag",
    });
  }
  const sum = (d: number) => parts.reduce((n, t) => n + t.shape[d], 0);
  const info = promoted(tensors);
  const out = filled([sum(0), sum(1)], 0, info, tensors[0].storage.device);
  let row = 0, column = 0;
  const places = parts.map((t) => {
    const place = [row, column] as const;
    row += t.shape[0];
    column += t.shape[1];
    return place;
  });
  const block = (whole: Tensor, i: number) => {
    const [h, w] = parts[i].shape;
    return narrow(narrow(whole, 0, places[i][0], h), 1, places[i][1], w);
  };
  parts.forEach((t, i) =>
    mapOut("blockDiag", OP.copy, inMode(false, () => block(out, i)), t, null, info)
  );
  if (wantsAny(parts)) {
    record(
      "blockDiag",
      parts,
      [out],
      ([g]) => parts.map((t, i) => g && requiresGrad(t) ? cast(block(g, i), t.dtype) : null),
      [],
    );
  }
  return out;
});

// ---- padding --------------------------------------------------------------------------------

/** What stands around a padded tensor. */
export type PadMode = "constant" | "reflect" | "replicate" | "circular";

/** How to pad. */
export interface PadOptions {
  /** `"constant"` (default), `"reflect"`, `"replicate"` or `"circular"`. */
  mode?: PadMode;
  /** The constant; default 0. */
  value?: Scalar | null;
}

const MODES: readonly PadMode[] = ["constant", "reflect", "replicate", "circular"];
const [REFLECT, REPLICATE, CIRCULAR] = [1, 2, 3];

/** The modes that autocast has a rule for. */
const padOutwards = autocasting(
  "padOutwards",
  (x: Tensor, pads: readonly number[], code: number) => padAll(x, pads, code, 0),
);

/**
 * Widened at the ends of its last dims: `pad(x, [left, right, top, bottom, …])`, the last dim first; a negative
 * number cuts. `"reflect"`, `"replicate"` and `"circular"` take the dims after batch and channels. Types: all.
 * Errors: ShapeError where a pad is longer than what it is made of.
 *
 * ```ts
 * import { pad, tensor } from "@toro/toro";
 * pad(tensor([1, 2, 3]), [1, 2]).toArray(); // [0, 1, 2, 3, 0, 0]
 * ```
 */
export const pad: (input: Tensor, pad: readonly number[], options?: PadOptions) => Tensor = op(
  "pad(input, pad, mode='constant', value=null)",
  (x: Tensor, pads: readonly number[], mode: PadMode, value: Scalar | null) => {
    const code = MODES.indexOf(mode);
    if (code < 0) {
      throw new ArgumentError(`Cannot pad: mode ${show(mode)} is not one of ${MODES.join(", ")}`, {
        op: "pad",
      });
    }
    const listed = Array.isArray(pads) && pads.length % 2 === 0 &&
      pads.every((n) => Number.isInteger(n));
    if (!listed || pads.length > 2 * x.ndim) {
      throw new ArgumentError(
        `Cannot pad ${shapeText(x.shape)} by ${
          show(pads)
        }: it takes two whole numbers for each of its last dims, at most ${2 * x.ndim}`,
        { op: "pad" },
      );
    }
    const k = pads.length / 2;
    if (code > 0 && (k > 3 || k < 1 || (x.ndim !== k + 1 && x.ndim !== k + 2))) {
      throw new ShapeError(
        `Cannot pad ${shapeText(x.shape)} by ${
          show(pads)
        } in mode ${mode}: it pads the 1 to 3 dims after batch and channels, or after channels`,
        { op: "pad" },
      );
    }
    if (mode === "circular" && pads.some((n) => n < 0)) {
      // What is cut is gone before the rest is repeated.
      const rest = pad(x, pads.map((n) => Math.min(n, 0)));
      return pad(rest, pads.map((n) => Math.max(n, 0)), { mode });
    }
    const full = new Array<number>(2 * x.ndim).fill(0);
    for (let i = 0; i < k; i++) {
      full[2 * (x.ndim - 1 - i)] = pads[2 * i];
      full[2 * (x.ndim - 1 - i) + 1] = pads[2 * i + 1];
    }
    if (code === REPLICATE || code === REFLECT && k < 3) return padOutwards(x, full, code);
    if (code !== CIRCULAR || full.every((n) => n >= 0)) return padAll(x, full, code, value ?? 0);
    // What is cut off does not come round.
    const cut = padAll(x, full.map((n) => Math.min(n, 0)), 0, 0);
    return padAll(cut, full.map((n) => Math.max(n, 0)), CIRCULAR, 0);
  },
);

/** Pads of every dim, the first dim first. */
function padAll(x: Tensor, full: readonly number[], code: number, value: Scalar): Tensor {
  const shape = x.shape.map((n, d) => n + full[2 * d] + full[2 * d + 1]);
  x.shape.forEach((n, d) => {
    const longest = Math.max(full[2 * d], full[2 * d + 1]);
    const most = [Infinity, n - 1, n > 0 ? Infinity : 0, n][code];
    if (shape[d] < 0 || longest > Math.max(most, 0) || (code > 0 && shape[d] < 1 && n > 0)) {
      throw new ShapeError(
        `Cannot pad dim ${d} of ${shapeText(x.shape)} by ${full[2 * d]} and ${
          full[2 * d + 1]
        } in mode ${MODES[code]}: ${
          shape[d] < 1 ? `size ${shape[d]} is left` : `its size ${n} allows at most ${most}`
        }`,
        { op: "pad" },
      );
    }
  });
  const out = empty(shape, x.info, x.storage.device);
  run("pad", OP.pad, [out], [x, word(value, x.info)], [code, ...full]);
  if (wants(x)) {
    record("pad", [x], [out], ([g]) => {
      if (g === null) return [null];
      if (code === 0) {
        return [
          full.some((n) => n < 0) ? padAll(g, full.map((n) => -n), 0, 0) : inner(g, x.shape, full),
        ];
      }
      return [padBackward(g, x.shape, full, code)];
    }, []);
  }
  return out;
}

/** What lies between the pads, a view. */
function inner(g: Tensor, shape: readonly number[], full: readonly number[]): Tensor {
  return shape.reduce((v, n, d) => v.shape[d] === n ? v : narrow(v, d, full[2 * d], n), g);
}

function padBackward(
  g: Tensor,
  shape: readonly number[],
  full: readonly number[],
  code: number,
): Tensor {
  const gx = empty(shape, g.info, g.storage.device);
  run("pad", OP.pad_backward, [gx], [g], [code, ...full]);
  if (wants(g)) record("pad", [g], [gx], ([gg]) => [gg && padAll(gg, full, code, 0)], []);
  return gx;
}
