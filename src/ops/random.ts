/**
 * Random tensors. All draw from the one generator of src/random.ts; bits belong to logical elements, so an
 * output's strides and the number of threads do not change them.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, record, recordInplace, wants } from "../autograd.ts";
import { type DType, type DTypeInfo, dtypeInfo, DTYPES, getDefaultDtype } from "../dtype.ts";
import { ArgumentError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { draw } from "../random.ts";
import { checkSize, shapeText } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import {
  type Create,
  type CreateLike,
  type CreationOptions,
  deviceNumber,
  wantGrad,
} from "./creation.ts";
import { cast, checkNumber, mapInto, numberOf, zerosOf } from "./map.ts";
import { add, mul } from "./pointwise.ts";

/** Fills a tensor from the next stream. */
function fillRandom(
  name: string,
  opcode: number,
  t: Tensor,
  scalars: readonly (number | bigint)[],
): Tensor {
  const { seed, offset } = draw(t.numel);
  run(name, opcode, [t], [], [seed, offset, ...scalars]);
  return t;
}

/** Fails unless random floats can be drawn of a type. */
function floatInfo(name: string, dtype: DType | null): DTypeInfo {
  const info = dtypeInfo(dtype ?? getDefaultDtype(), name);
  if (!info.isFloat) {
    throw new DTypeError(`Cannot ${name} of ${info.name}: it makes floats`, {
      op: name,
      hint: "randint() makes integers",
    });
  }
  return info;
}

function creates(name: string, opcode: number, scalars: readonly number[]): Create {
  return op<Create>(
    `${name}(size, dtype=null, device=null, requiresGrad=false)`,
    (
      size: readonly number[] | number,
      dtype: DType | null,
      device: string | null,
      requiresGrad: boolean,
    ) => {
      const t = empty(checkSize(size, name), floatInfo(name, dtype), deviceNumber(device, name));
      return wantGrad(fillRandom(name, opcode, t, scalars), requiresGrad, name);
    },
  );
}

function like(name: string, opcode: number, scalars: readonly number[]): CreateLike {
  return op<CreateLike>(
    `${name}(input, dtype=null, device=null, requiresGrad=false)`,
    (x: Tensor, dtype: DType | null, device: string | null, requiresGrad: boolean) => {
      const place = device === null ? x.storage.device : deviceNumber(device, name);
      const t = empty(x.shape, floatInfo(name, dtype ?? x.dtype), place);
      return wantGrad(fillRandom(name, opcode, t, scalars), requiresGrad, name);
    },
  );
}

/** Uniform numbers in [0, 1). Types: floats. */
export const rand: Create = creates("rand", OP.uniform, [0, 1]);
/** Standard normal numbers: mean 0, variance 1. Types: floats. */
export const randn: Create = creates("randn", OP.normal, [0, 1]);
/** `rand` of a tensor's shape, dtype and device. */
export const randLike: CreateLike = like("randLike", OP.uniform, [0, 1]);
/** `randn` of a tensor's shape, dtype and device. */
export const randnLike: CreateLike = like("randnLike", OP.normal, [0, 1]);

// ---- integers -----------------------------------------------------------------------------------

/** Random integers: `randint(10, [3])` from 0 to 9, `randint(5, 10, [3])` from 5 to 9. */
export interface RandInt {
  /** Integers from 0 to `high - 1`. */
  (high: number | bigint, size: readonly number[] | number, options?: CreationOptions): Tensor;
  /** Integers from `low` to `high - 1`. */
  (
    low: number | bigint,
    high: number | bigint,
    size: readonly number[] | number,
    options?: CreationOptions,
  ): Tensor;
}

/** Checks the bounds of random integers; gives the least, and how many there are as the word of an int64. */
function bounds(name: string, low: unknown, high: unknown): [bigint, bigint] {
  for (const [key, value] of [["low", low], ["high", high]] as const) {
    if (typeof value !== "bigint" && !Number.isSafeInteger(value)) {
      throw new ArgumentError(`Cannot ${name}: ${key} must be a whole number, got ${show(value)}`, {
        op: name,
      });
    }
  }
  const least = BigInt(low as number), end = BigInt(high as number);
  if (least >= end) {
    throw new ArgumentError(`Cannot ${name} from ${least} to ${end}: low must be below high`, {
      op: name,
    });
  }
  return [least, end - least];
}

/** Integers from `low` (default 0) to `high - 1`, int64 unless `dtype` says otherwise. */
export const randint: RandInt = op(
  "randint(low, high, size=null, dtype='int64', device=null, requiresGrad=false)",
  (
    low: number | bigint,
    high: number | bigint | readonly number[],
    size: readonly number[] | number | null,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    const short = size === null;
    const [least, count] = short ? bounds("randint", 0, low) : bounds("randint", low, high);
    const shape = checkSize(short ? high : size, "randint");
    const t = empty(shape, dtypeInfo(dtype ?? "int64", "randint"), deviceNumber(device, "randint"));
    return wantGrad(fillRandom("randint", OP.randint, t, [least, count]), requiresGrad, "randint");
  },
) as RandInt;

/** `randint` of a tensor's shape, dtype and device. */
export const randintLike: (
  input: Tensor,
  low: number,
  high?: number | null | CreationOptions,
  options?: CreationOptions,
) => Tensor = op(
  "randintLike(input, low, high=null, dtype=null, device=null, requiresGrad=false)",
  (
    x: Tensor,
    least: number,
    most: number | null,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    // With one bound the numbers begin at 0.
    const [low, high] = most === null ? [0, least] : [least, most];
    const place = device === null ? x.storage.device : deviceNumber(device, "randintLike");
    const t = empty(x.shape, dtypeInfo(dtype ?? x.dtype, "randintLike"), place);
    const filled = fillRandom("randintLike", OP.randint, t, bounds("randintLike", low, high));
    return wantGrad(filled, requiresGrad, "randintLike");
  },
);

/** The numbers 0 to n - 1 in a random order, int64. */
export const randperm: (n: number, options?: CreationOptions) => Tensor = op(
  "randperm(n, dtype='int64', device=null, requiresGrad=false)",
  (n: number, dtype: DType | null, device: string | null, requiresGrad: boolean) => {
    const t = empty(checkSize([n], "randperm"), DTYPES.int64, deviceNumber(device, "randperm"));
    fillRandom("randperm", OP.randperm, t, []);
    return wantGrad(
      cast(t, dtypeInfo(dtype ?? "int64", "randperm").name),
      requiresGrad,
      "randperm",
    );
  },
);

// ---- distributions ------------------------------------------------------------------------------

/** Normal numbers of given means and standard deviations, each a tensor or a number. */
export type Normal = (
  mean: Tensor | number,
  std?: Tensor | number | null | NormalOptions,
  size?: readonly number[] | null | NormalOptions,
  options?: NormalOptions,
) => Tensor;

/** What `normal` takes by name. */
export interface NormalOptions extends CreationOptions {
  /** Standard deviation; default 1. */
  std?: Tensor | number;
  /** The shape, where neither mean nor std is a tensor. */
  size?: readonly number[];
}

/**
 * Normal numbers: `normal(mean, std)` with tensors (which broadcast) or one tensor and a number, or
 * `normal(0, 1, [2, 3])`. The result carries no gradient to mean and std.
 */
export const normal: Normal = op(
  "normal(mean, std=1, size=null, dtype=null, device=null, requiresGrad=false)",
  (
    mean: Tensor | number,
    std: Tensor | number,
    size: readonly number[] | null,
    dtype: DType | null,
    device: string | null,
    requiresGrad: boolean,
  ) => {
    if (!(std instanceof Tensor)) checkDeviation("normal", std);
    if (!(mean instanceof Tensor)) checkNumber("normal", mean, "mean");
    const shaped = mean instanceof Tensor ? mean : std instanceof Tensor ? std : null;
    if (shaped === null) {
      if (size === null) {
        throw new ArgumentError(
          `Cannot normal of mean ${mean} and std ${show(std)}: size must be given`,
          { op: "normal" },
        );
      }
      const t = empty(
        checkSize(size, "normal"),
        floatInfo("normal", dtype),
        deviceNumber(device, "normal"),
      );
      return wantGrad(
        fillRandom("normal", OP.normal, t, [numberOf(mean as number), std as number]),
        requiresGrad,
        "normal",
      );
    }
    if (size !== null) {
      throw new ArgumentError("Cannot normal with size: tensors for mean or std give the shape", {
        op: "normal",
      });
    }
    const plain = (v: Tensor | number) =>
      v instanceof Tensor ? new Tensor(v.storage, v.info, v.shape, v.strides, v.offset) : v;
    const zeros = mean instanceof Tensor && std instanceof Tensor
      ? mul(plain(mean) as Tensor, 0)
      : null;
    const both = zeros === null ? shaped : add(zeros, mul(plain(std) as Tensor, 0));
    const unit = empty(both.shape, floatInfo("normal", both.dtype), both.storage.device);
    fillRandom("normal", OP.normal, unit, [0, 1]);
    return add(mul(unit, plain(std)), plain(mean));
  },
);

function checkDeviation(name: string, std: unknown): void {
  checkNumber(name, std, "std");
  if (!(numberOf(std) >= 0)) {
    throw new ArgumentError(`Cannot ${name} with std ${numberOf(std)}: it may not be negative`, {
      op: name,
    });
  }
}

export function checkProbability(name: string, p: unknown): asserts p is number {
  if (typeof p !== "number" || !(p >= 0 && p <= 1)) {
    throw new ArgumentError(`Cannot ${name} with p ${show(p)}: a probability is from 0 to 1`, {
      op: name,
    });
  }
}

/** 1 with the probability that an element of the input gives, else 0. */
export type Bernoulli = (input: Tensor, p?: number | null | { p?: number | null }) => Tensor;

/**
 * 0 or 1, elementwise: 1 with the probability that the input gives, or with `p`. Types: floats. The gradient is 0.
 */
export const bernoulli: Bernoulli = op(
  "bernoulli(input, p=null)",
  (x: Tensor, p: number | null) => {
    if (p === null && !x.info.isFloat) {
      throw new DTypeError(`Cannot bernoulli ${show(x)}: probabilities are floats`, {
        op: "bernoulli",
      });
    }
    const out = empty(x.shape, x.info, x.storage.device);
    if (p === null) {
      const { seed, offset } = draw(x.numel);
      run("bernoulli", OP.bernoulli_of, [out], [x], [seed, offset]);
    } else {
      checkProbability("bernoulli", p);
      fillRandom("bernoulli", OP.bernoulli, out, [p]);
    }
    if (wants(x)) record("bernoulli", [x], [out], ([g]) => [g && zerosOf(g)], []);
    return out;
  },
);

/**
 * Draws `numSamples` classes for each row of weights, which need not sum to 1.
 *
 * Shapes: input (K) or (R, K) → int64 (N) or (R, N). Errors: NativeError for weights that are negative, not finite or
 * all zero, and for too few weights above zero without replacement.
 */
export const multinomial: (
  input: Tensor,
  numSamples: number,
  options?: { replacement?: boolean },
) => Tensor = op(
  "multinomial(input, numSamples, replacement=false)",
  (x: Tensor, numSamples: number, replacement: boolean) => {
    if (!x.info.isFloat || x.ndim < 1 || x.ndim > 2) {
      throw new ShapeError(
        `Cannot multinomial ${show(x)}: weights are a float tensor (K) or (R, K)`,
        { op: "multinomial" },
      );
    }
    const k = x.shape[x.ndim - 1];
    if (!Number.isInteger(numSamples) || numSamples < 1 || (!replacement && numSamples > k)) {
      throw new ArgumentError(
        `Cannot multinomial ${shapeText(x.shape)} for ${
          show(numSamples)
        } samples: without replacement there are 1 to ${k}`,
        { op: "multinomial", hint: "pass { replacement: true }" },
      );
    }
    const rows = x.ndim === 2 ? x.shape[0] : 1;
    const out = empty([rows, numSamples], DTYPES.int64, x.storage.device);
    const weights = x.ndim === 2
      ? x
      : new Tensor(x.storage, x.info, [1, k], [0, x.strides[0]], x.offset);
    const { seed, offset } = draw(rows * Math.max(k, numSamples));
    run("multinomial", OP.multinomial, [out], [weights], [seed, offset, replacement ? 1 : 0]);
    return x.ndim === 2 ? out : new Tensor(out.storage, out.info, [numSamples], [1], 0);
  },
);

// ---- in place -----------------------------------------------------------------------------------

/** Fills a tensor in place; what it held does not matter any more. */
function refill(
  name: string,
  opcode: number,
  x: Tensor,
  scalars: readonly (number | bigint)[],
): Tensor {
  checkInplace(name, x, []);
  fillRandom(name, opcode, x, scalars);
  recordInplace(name, x, [], ([g]) => [g && zerosOf(g)], []);
  return x;
}

export function floatsOnly(name: string, x: Tensor): void {
  if (!x.info.isFloat) {
    throw new DTypeError(`Cannot ${name} ${show(x)}: it fills float tensors`, { op: name });
  }
}

/** What `uniform_` takes by name. */
export interface UniformOptions {
  /** The least value; default 0. */
  from?: number;
  /** What values stay below; default 1. */
  to?: number;
}

/** Fills with uniform numbers in [from, to). */
export const uniform_: (
  input: Tensor,
  from?: number | UniformOptions,
  to?: number | UniformOptions,
) => Tensor = op("uniform_(input, from=0, to=1)", (x: Tensor, from: number, to: number) => {
  floatsOnly("uniform_", x);
  checkNumber("uniform_", from, "from");
  checkNumber("uniform_", to, "to");
  if (!(from <= to)) {
    throw new ArgumentError(`Cannot uniform_ from ${from} to ${to}: from must not be above to`, {
      op: "uniform_",
    });
  }
  return refill("uniform_", OP.uniform, x, [from, to]);
});

/** What `normal_` takes by name. */
export interface NormalInplaceOptions {
  /** The mean; default 0. */
  mean?: number;
  /** The standard deviation; default 1. */
  std?: number;
}

/** Fills with normal numbers. */
export const normal_: (
  input: Tensor,
  mean?: number | NormalInplaceOptions,
  std?: number | NormalInplaceOptions,
) => Tensor = op("normal_(input, mean=0, std=1)", (x: Tensor, mean: number, std: number) => {
  floatsOnly("normal_", x);
  checkNumber("normal_", mean, "mean");
  checkDeviation("normal_", std);
  return refill("normal_", OP.normal, x, [mean, std]);
});

/** Fills with exponentially distributed numbers of a rate. */
export const exponential_: (input: Tensor, lambd?: number | { lambd?: number }) => Tensor = op(
  "exponential_(input, lambd=1)",
  (x: Tensor, lambd: number) => {
    floatsOnly("exponential_", x);
    if (typeof lambd !== "number" || !(lambd > 0)) {
      throw new ArgumentError(`Cannot exponential_ with lambd ${show(lambd)}: a rate is above 0`, {
        op: "exponential_",
      });
    }
    return refill("exponential_", OP.exponential, x, [lambd]);
  },
);

/** Fills with 0 and 1; 1 with probability p, a number or a tensor that broadcasts. */
export const bernoulli_: (input: Tensor, p?: number | Tensor | { p?: number | Tensor }) => Tensor =
  op(
    "bernoulli_(input, p=0.5)",
    (x: Tensor, p: number | Tensor) => {
      if (!(p instanceof Tensor)) {
        checkProbability("bernoulli_", p);
        return refill("bernoulli_", OP.bernoulli, x, [p]);
      }
      checkInplace("bernoulli_", x, []);
      const wide = mapInto("bernoulli_", OP.copy, p, null, DTYPES.float64, DTYPES.float64).expand(
        x.shape,
      );
      const { seed, offset } = draw(x.numel);
      run("bernoulli_", OP.bernoulli_of, [x], [wide], [seed, offset]);
      recordInplace("bernoulli_", x, [], ([g]) => [g && zerosOf(g)], []);
      return x;
    },
  );

/** Fills with integers: `random_(x, 5, 10)` from 5 to 9, `random_(x, 10)` from 0 to 9. */
export const random_: (
  input: Tensor,
  from: number | bigint,
  to?: number | bigint | null,
) => Tensor = op(
  "random_(input, from, to=null)",
  (x: Tensor, from: number | bigint, to: number | bigint | null) =>
    refill(
      "random_",
      OP.randint,
      x,
      to === null ? bounds("random_", 0, from) : bounds("random_", from, to),
    ),
);
