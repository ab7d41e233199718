/**
 * Puts elementwise ops on large tensors off for a moment, so that a chain of them becomes one pass over memory. An op
 * waits until the next one: where that is elementwise too and reads its result, the two go together; anything else,
 * and the end of the synchronous code, makes it run first. What lies inside a chain gets no memory unless somebody
 * reads it later, and is computed then. Bits and errors are those of ops that run one by one.
 *
 * @module
 */
import { onNextInstruction, runFlat, runFused, type ScalarWord } from "../ffi/instruction.ts";
import { OP } from "../ffi/opcodes.gen.ts";
import { wants } from "./autograd.ts";
import type { DTypeInfo } from "./dtype.ts";
import {
  Block,
  DISPOSED,
  noteStorage,
  PENDING,
  type Pending,
  Storage,
  unscoped,
} from "./memory.ts";
import { contiguousStrides, numelOf, sameShape } from "./shape.ts";
import { empty, Tensor } from "./tensor.ts";

/** Ops that may be steps of a chain: of numbers to numbers of the same floating-point type. */
export const STEPS: ReadonlySet<number> = new Set<number>([
  ...[OP.add, OP.sub, OP.mul, OP.div, OP.add_scaled, OP.neg, OP.abs, OP.sign, OP.reciprocal],
  ...[OP.sqrt, OP.rsqrt, OP.square, OP.pow, OP.maximum, OP.minimum, OP.fmax, OP.fmin, OP.clamp],
  ...[OP.exp, OP.exp2, OP.expm1, OP.log, OP.log2, OP.log10, OP.log1p],
  ...[OP.sin, OP.cos, OP.tan, OP.asin, OP.acos, OP.atan, OP.sinh, OP.cosh, OP.tanh],
  ...[OP.asinh, OP.acosh, OP.atanh, OP.erf, OP.erfc],
  ...[OP.floor, OP.ceil, OP.trunc, OP.frac, OP.round],
  ...[OP.relu, OP.leaky_relu, OP.elu, OP.gelu, OP.gelu_tanh, OP.silu, OP.sigmoid],
]);

/** A chain pays from so many elements on; below, results stay in the caches anyway. */
export const LARGE: number = 1 << 18;
/** What one instruction takes (native/src/ops/fused.rs). */
const MOST_STEPS = 8;
const MOST_LEAVES = 8;

/** A tensor that a chain reads, as it was when the op was called: contiguous, or one number that is repeated. */
type Leaf = Pick<Tensor, "storage" | "info" | "shape" | "strides" | "offset"> & {
  readonly isRepeated: boolean;
};

/** An op that has not run. */
class Waiting implements Pending {
  readonly #name: string;
  readonly #opcode: number;
  readonly #arguments: readonly (Leaf | Waiting | number)[];
  readonly #scalars: readonly number[];
  readonly #info: DTypeInfo;
  readonly #numel: number;

  constructor(
    name: string,
    opcode: number,
    args: readonly (Leaf | Waiting | number)[],
    scalars: readonly number[],
    info: DTypeInfo,
    numel: number,
  ) {
    this.#name = name;
    this.#opcode = opcode;
    this.#arguments = args;
    this.#scalars = scalars;
    this.#info = info;
    this.#numel = numel;
  }

  /** The ops that its value needs, itself last, and what they read. */
  chain(): { steps: Waiting[]; leaves: Leaf[] } {
    const steps: Waiting[] = [], leaves: Leaf[] = [];
    const visit = (w: Waiting) => {
      for (const a of w.#arguments) {
        if (a instanceof Waiting) {
          if (!steps.includes(a)) visit(a);
        } else if (typeof a === "object" && !leaves.some((l) => isSame(l, a))) leaves.push(a);
      }
      steps.push(w);
    };
    visit(this);
    return { steps, leaves };
  }

  parts(): readonly Storage[] {
    return this.chain().leaves.map((leaf) => leaf.storage);
  }

  settle(storage: Storage): void {
    if (head?.storage === storage) head = null;
    else regret();
    const { steps, leaves } = this.chain();
    // It takes the place of a storage that whatever scope is open knows already.
    const out = unscoped(() => empty([this.#numel], this.#info));
    const [a, b = null, c] = this.#arguments;
    const isOne = steps.length === 1 && c === undefined && !leaves.some((l) => l.isRepeated);
    if (!isOne || a instanceof Waiting || b instanceof Waiting) {
      runFused(this.#name, out, leaves, program(steps, leaves));
    } else {
      const { code } = this.#info;
      runFlat(this.#name, this.#opcode, code, this.#numel, out, a, b, this.#scalars);
    }
    storage.block = out.storage.block;
    storage.byteOffset = out.storage.byteOffset;
    storage.state &= ~PENDING;
    storage.pending = null;
  }

  /** The step as the instruction has it. */
  words(steps: readonly Waiting[], leaves: readonly Leaf[]): number[] {
    const place = (a: Leaf | Waiting | number) =>
      typeof a === "number" ? [-1, a] : [
        a instanceof Waiting
          ? leaves.length + steps.indexOf(a)
          : leaves.findIndex((l) => isSame(l, a)),
      ];
    return [
      this.#opcode,
      this.#arguments.length,
      ...this.#arguments.flatMap(place),
      this.#scalars.length,
      ...this.#scalars,
    ];
  }
}

const program = (steps: readonly Waiting[], leaves: readonly Leaf[]) => [
  steps.length,
  ...steps.flatMap((step) => step.words(steps, leaves)),
];

const isSame = (a: Leaf, b: Leaf) =>
  a.storage === b.storage && a.offset === b.offset && a.isRepeated === b.isRepeated;

/** The op that was called last, while it waits. */
let head: { waiting: Waiting; storage: Storage } | null = null;
let isScheduled = false;

/** Runs the op that waits. Where there is no memory for it, whoever reads its result is told. */
function runHead(): void {
  if (head === null) return;
  const { storage } = head;
  try {
    if ((storage.state & DISPOSED) === 0) storage.settle("run");
  } catch {
    // It waits on.
  }
  head = null;
}

function schedule(): void {
  onNextInstruction(runHead);
  if (isScheduled) return;
  isScheduled = true;
  queueMicrotask(() => {
    isScheduled = false;
    runHead();
  });
}

/**
 * A result inside a chain that is read after all is computed twice. Where that happens again and again, as in a loop
 * that changes in place what its chains read, ops run one by one for a while, each time longer.
 */
const SHORTEST = 16;
let wary = 0;
let patience = SHORTEST;
let joined = 0;

function regret(): void {
  wary = patience;
  patience = Math.min(2 * patience, 1 << 16);
  joined = 0;
}

/** Lets ops wait again at once; for tests. */
export function forgetRegrets(): void {
  wary = 0;
  patience = SHORTEST;
}

/** Whether the first element stands for all, as in what was expanded from one number. */
const isRepeated = (t: Tensor) => t.strides.every((s, i) => s === 0 || t.shape[i] === 1);

/** Whether a tensor is one that a chain can read. */
function isFit(t: Tensor, shape: readonly number[], info: DTypeInfo): boolean {
  return t.info === info && t.storage.device === 0 && (t.storage.state & DISPOSED) === 0 &&
    !wants(t) && (isRepeated(t) || (sameShape(t.shape, shape) && t.isContiguous()));
}

/** A tensor's elements, or the op that they wait for, where that is the last one and has room for one more. */
function argument(o: Tensor | number, joins: boolean): Leaf | Waiting | number | null {
  if (typeof o === "number") return o;
  const { storage, info, shape, strides, offset } = o;
  if (joins && storage === head?.storage && offset === 0) return head.waiting;
  if (storage.state & PENDING) return null;
  return { storage, info, shape, strides, offset, isRepeated: isRepeated(o) };
}

/** The result of an elementwise op that may wait; null when the op must run now. */
export function putOff(
  name: string,
  opcode: number,
  operands: readonly (Tensor | number | bigint)[],
  shape: readonly number[],
  info: DTypeInfo,
  scalars: readonly ScalarWord[] = [],
): Tensor | null {
  if (!info.isFloat || !STEPS.has(opcode)) return null;
  const numel = numelOf(shape);
  if (numel < LARGE || scalars.some((s) => typeof s !== "number")) return null;
  for (const o of operands) {
    if (typeof o === "bigint" || (o instanceof Tensor && !isFit(o, shape, info))) return null;
  }
  if (wary > 0) {
    wary--;
    return null;
  }
  const make = (joins: boolean) => {
    const args = operands.map((o) => argument(o as Tensor | number, joins));
    if (args.includes(null)) return null;
    return new Waiting(
      name,
      opcode,
      args as (Leaf | Waiting | number)[],
      scalars as number[],
      info,
      numel,
    );
  };
  let waiting = make(true), chain = waiting?.chain();
  if (
    chain !== undefined && (chain.steps.length > MOST_STEPS || chain.leaves.length > MOST_LEAVES)
  ) {
    runHead();
    waiting = make(false);
    chain = waiting?.chain();
  }
  if (waiting == null || chain === undefined) return null;
  if (chain.steps.length === 1) runHead();
  else if (++joined === 1000) patience = SHORTEST;
  const storage = new Storage(new Block(-1, 0), 0, numel * info.size, 0);
  storage.state = PENDING;
  storage.pending = waiting;
  noteStorage(storage);
  for (const leaf of chain.leaves) leaf.storage.isReadBy(storage);
  head = { waiting, storage };
  schedule();
  return new Tensor(storage, info, shape, contiguousStrides(shape), 0);
}
