/**
 * The greater and the smaller of two, and values kept between bounds.
 *
 * @module
 */
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, isGradEnabled, record, recordInplace, wantsAny } from "../autograd.ts";
import { DTYPES, resultType, type Scalar } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { op } from "../op.ts";
import { Tensor } from "../tensor.ts";
import {
  eq,
  ge,
  gt,
  isnan,
  le,
  logicalAnd,
  logicalNot,
  logicalOr,
  lt,
  maskedFill,
  where,
} from "./logic.ts";
import {
  apartOperand,
  type Binary,
  binary,
  type BinaryForm,
  binaryOfTensors,
  checkOperand,
  checkResult,
  copyBefore,
  gradFor,
  mapAll,
  mapAllOut,
  mapInto,
  needs,
  numberOf,
  type Operand,
  ZERO,
} from "./map.ts";
import { mul } from "./pointwise.ts";

// ---- extremes -----------------------------------------------------------------------------------

/** Of two equal values each takes half of the gradient. */
function share(
  g: Tensor,
  a: Operand,
  b: Operand,
  loses: (a: Tensor, b: Operand) => Tensor,
): Tensor {
  const [t, other] = a instanceof Tensor ? [a, b] : [b as Tensor, a];
  const halved = where(eq(t, other), mul(g, 0.5), g);
  return maskedFill(halved, loses(t, other), 0);
}

const maximumForm: BinaryForm = {
  opcode: OP.maximum,
  saves: true,
  rules: [(g, a, b) => share(g, a, b, lt), (g, a, b) => share(g, b, a, lt)],
};
const minimumForm: BinaryForm = {
  opcode: OP.minimum,
  saves: true,
  rules: [(g, a, b) => share(g, a, b, gt), (g, a, b) => share(g, b, a, gt)],
};

/** The greater value, elementwise; NaN where either is. Equal values share the gradient. */
export const maximum: Binary = binary("maximum", maximumForm);
/** The smaller value, elementwise; NaN where either is. Equal values share the gradient. */
export const minimum: Binary = binary("minimum", minimumForm);

/** An operand takes the gradient where it wins or the other is NaN; equal values take half of it each. */
function extreme(opcode: number, wins: (a: Tensor, b: Operand) => Tensor): BinaryForm {
  const rule = (g: Tensor, a: Tensor, b: Operand, second: boolean) => {
    const halved = where(eq(a, b), mul(g, 0.5), g);
    const won = wins(a, b);
    // Of two NaN the first is taken.
    const other = b instanceof Tensor ? isnan(b) : null;
    const free = second && other !== null ? logicalAnd(other, logicalNot(isnan(a))) : other;
    const takes = free === null ? won : logicalOr(won, free);
    return where(takes, halved, ZERO);
  };
  return {
    opcode,
    saves: true,
    rules: [
      (g, a, b) => rule(g, a as Tensor, b, false),
      (g, a, b) => rule(g, b as Tensor, a, true),
    ],
  };
}

/** The greater value, elementwise; a NaN gives way to a number. */
export const fmax: Binary = binaryOfTensors("fmax", extreme(OP.fmax, (a, b) => ge(a, b)));
/** The smaller value, elementwise; a NaN gives way to a number. */
export const fmin: Binary = binaryOfTensors("fmin", extreme(OP.fmin, (a, b) => le(a, b)));

/** What `clamp` takes by name. */
export interface ClampOptions {
  /** The least value; default: none. */
  min?: Operand | null;
  /** The greatest value; default: none. */
  max?: Operand | null;
}
/** A value kept between two bounds. */
export type Clamp = (
  input: Tensor,
  min?: Operand | null | ClampOptions,
  max?: Operand | null | ClampOptions,
) => Tensor;

function clampOp(name: string, inplace: boolean): Clamp {
  return op<Clamp>(
    `${name}(input, min=null, max=null)`,
    (x: Tensor, low: Operand | null, high: Operand | null) => {
      if (low === null && high === null) {
        throw new ArgumentError(`Cannot ${name} ${show(x)}: min, max or both must be given`, {
          op: name,
        });
      }
      if (low !== null) checkOperand(name, x, low, "min");
      if (high !== null) checkOperand(name, x, high, "max");
      return clampTo(name, x, low, high, inplace);
    },
  );
}

/** The gradient of what is kept between bounds, for each tensor among (x, low, high). */
function clampGrads(
  g: Tensor,
  x: Tensor,
  low: Operand | null,
  high: Operand | null,
  wanted: boolean,
): (Tensor | null)[] {
  if (!(low instanceof Tensor) && !(high instanceof Tensor)) {
    return [wanted ? insideGrad(g, x, low, high) : null];
  }
  // As the two extremes one after the other; equal values share the gradient.
  const t = low === null ? x : maximum(x, low);
  const inner = high === null ? g : share(g, t, high, gt);
  return [
    wanted ? gradFor(low === null ? inner : share(inner, x, low, lt), x) : null,
    ...(low instanceof Tensor ? [needs(low) ? gradFor(share(inner, low, x, lt), low) : null] : []),
    ...(high instanceof Tensor ? [needs(high) ? gradFor(share(g, high, t, gt), high) : null] : []),
  ];
}

/** The gradient of a clamp to numbers: nothing at a bound or past it. */
function insideGrad(g: Tensor, x: Tensor, low: Scalar | null, high: Scalar | null): Tensor {
  if (!isGradEnabled() && g.info === x.info) {
    const least = low === null ? -Infinity : numberOf(low);
    const most = high === null ? Infinity : numberOf(high);
    return mapInto("clamp", OP.clamp_grad, g, x, x.info, x.info, [least, most]);
  }
  const above = low === null ? null : gt(x, low), below = high === null ? null : lt(x, high);
  const inside = above === null ? below! : below === null ? above : logicalAnd(above, below);
  return gradFor(where(inside, g, ZERO), x);
}

function clampTo(
  name: string,
  x: Tensor,
  low: Operand | null,
  high: Operand | null,
  inplace: boolean,
): Tensor {
  const bounds = [low, high].filter((o) => o !== null);
  const compute = DTYPES[resultType([x, ...bounds])];
  const opcode = low === null ? OP.minimum : high === null ? OP.maximum : OP.clamp;
  const tensors = [x, ...bounds.filter((o) => o instanceof Tensor)];
  const recording = wantsAny(tensors), wanted = needs(x);
  if (!inplace) {
    const out = bounds.length === 1
      ? mapInto(name, opcode, x, bounds[0], compute, compute)
      : mapAll(name, opcode, [x, ...bounds], compute, compute);
    if (recording) {
      record(
        name,
        tensors,
        [out],
        ([g]) => g === null ? [] : clampGrads(g, x, low, high, wanted),
        tensors,
      );
    }
    return out;
  }
  checkResult(name, x, compute.name, bounds);
  checkInplace(name, x, tensors.slice(1));
  const before = recording ? copyBefore(x) : x;
  mapAllOut(name, opcode, x, [x, ...bounds.map((b) => apartOperand(b, x, name))], compute);
  recordInplace(
    name,
    x,
    tensors.slice(1),
    ([g]) => g === null ? [] : clampGrads(g, before, low, high, wanted),
    recording ? tensors.slice(1) : [],
  );
  return x;
}

/** `min(max(input, min), max)`, elementwise; bounds are numbers or tensors. NaN stays. */
export const clamp: Clamp = clampOp("clamp", false);
/** `clamp` in place. */
export const clamp_: Clamp = clampOp("clamp_", true);

/** A value kept on one side of a bound. */
export type ClampOne = (input: Tensor, bound: Operand) => Tensor;

function clampOne(name: string, bound: "min" | "max", inplace: boolean): ClampOne {
  return op<ClampOne>(`${name}(input, ${bound})`, (x: Tensor, b: Operand) => {
    checkOperand(name, x, b, bound);
    return clampTo(name, x, bound === "min" ? b : null, bound === "max" ? b : null, inplace);
  });
}

/** `max(input, min)`, elementwise. */
export const clampMin: ClampOne = clampOne("clampMin", "min", false);
/** `clampMin` in place. */
export const clampMin_: ClampOne = clampOne("clampMin_", "min", true);
/** `min(input, max)`, elementwise. */
export const clampMax: ClampOne = clampOne("clampMax", "max", false);
/** `clampMax` in place. */
export const clampMax_: ClampOne = clampOne("clampMax_", "max", true);
