/**
 * Encodes instructions into the thread's buffer and runs them. The layout is native/src/instruction.rs's:
 * [words, opcode, operands, scalars, operand…, scalar…], outputs first.
 */
import { execute, words } from "./library.ts";
import { OP } from "./opcodes.gen.ts";

/** What an operand needs of a tensor. */
export interface Operand {
  readonly storage: {
    /** The native handle. */
    readonly handle: number;
    /** 0 when the bytes may be used as they are. */
    readonly state: number;
    /** Bytes from the handle's start. */
    readonly byteOffset: number;
    /** Makes the bytes usable, or throws. */
    settle(op: string): void;
    /** Who is yet to read the bytes; null for nobody. */
    readonly readers: readonly unknown[] | null;
    /** Lets them read, before the bytes change. */
    beforeWrite(): void;
  };
  readonly info: { readonly code: number; readonly size: number };
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** A structural constant: a number, an int64, or a cell in native memory that is read when the instruction runs. */
export type ScalarWord = number | bigint | Cell;

/** A float64 in a storage that instructions refer to, so that replays see its new value. */
export class Cell {
  /** A place in a storage. */
  constructor(readonly handle: number, readonly index: number) {}
}

let at = 0;

function putOperand(t: Operand): void {
  const shape = t.shape, strides = t.strides, n = shape.length;
  words[at++] = t.storage.handle;
  words[at++] = t.offset + t.storage.byteOffset / t.info.size;
  words[at++] = t.info.code;
  words[at++] = n;
  for (let i = 0; i < n; i++) words[at++] = shape[i];
  for (let i = 0; i < n; i++) words[at++] = strides[i];
}

/** An operand under other dims and strides than its own. */
function putAs(t: Operand, shape: readonly number[], strides: readonly number[]): void {
  const n = shape.length;
  words[at++] = t.storage.handle;
  words[at++] = t.offset + t.storage.byteOffset / t.info.size;
  words[at++] = t.info.code;
  words[at++] = n;
  for (let i = 0; i < n; i++) words[at++] = shape[i];
  for (let i = 0; i < n; i++) words[at++] = strides[i];
}

function putInt64(x: bigint): void {
  const bits = BigInt.asUintN(64, x);
  words[at++] = Number(bits & 0xffffffffn);
  words[at++] = Number(bits >> 32n);
}

function putNumber(x: number | bigint): void {
  words[at++] = -1;
  if (typeof x === "bigint") {
    words[at++] = 1;
    putInt64(x);
  } else {
    words[at++] = 0;
    words[at++] = x;
    words[at++] = 0;
  }
}

function putScalar(s: ScalarWord): void {
  if (typeof s === "number") {
    words[at++] = 0;
    words[at++] = s;
    words[at++] = 0;
  } else if (typeof s === "bigint") {
    words[at++] = 2;
    putInt64(s);
  } else {
    words[at++] = 1;
    words[at++] = s.handle;
    words[at++] = s.index;
  }
}

function finish(opcode: number, operands: number, scalars: number): void {
  words[0] = at;
  words[1] = opcode;
  words[2] = operands;
  words[3] = scalars;
  execute(at);
}

/** Words that an instruction of these operands takes at most. */
export function wordsOf(operands: readonly Operand[], scalars: number): number {
  let n = 4 + 3 * scalars;
  for (const t of operands) n += 4 + 2 * t.shape.length;
  return n;
}

/**
 * Runs one instruction. `op` names the op in error texts. Inputs that still have work to do (row-sparse sums, lazy
 * rows) do it first, because that runs instructions of its own.
 */
export function run(
  op: string,
  opcode: number,
  outs: readonly Operand[],
  ins: readonly (Operand | number | bigint)[],
  scalars: readonly ScalarWord[] = [],
): void {
  for (let i = 0; i < outs.length; i++) if (outs[i].storage.state !== 0) outs[i].storage.settle(op);
  for (let i = 0; i < ins.length; i++) {
    const t = ins[i];
    if (typeof t === "object" && t.storage.state !== 0) t.storage.settle(op);
  }
  runRaw(opcode, outs, ins, scalars);
}

let waiting: (() => void) | null = null;

/** Has a function called before the next instruction. */
export function onNextInstruction(f: () => void): void {
  waiting = f;
}

function runWaiting(): void {
  const f = waiting!;
  waiting = null;
  f();
}

/** Instructions that also change what they read: optimisers' steps. */
const changesInputs = (opcode: number) => opcode >= OP.optim_step && opcode <= OP.rows_step;

/** Runs one instruction on storages as they are: for code that knows about row-sparse and lazy storages itself. */
export function runRaw(
  opcode: number,
  outs: readonly Operand[],
  ins: readonly (Operand | number | bigint)[],
  scalars: readonly ScalarWord[] = [],
): void {
  if (waiting !== null) runWaiting();
  for (let i = 0; i < outs.length; i++) {
    if (outs[i].storage.readers !== null) outs[i].storage.beforeWrite();
  }
  if (changesInputs(opcode)) {
    for (const t of ins) {
      if (typeof t === "object" && t.storage.readers !== null) t.storage.beforeWrite();
    }
  }
  at = 4;
  for (let i = 0; i < outs.length; i++) putOperand(outs[i]);
  for (let i = 0; i < ins.length; i++) {
    const t = ins[i];
    if (typeof t === "object") putOperand(t);
    else putNumber(t);
  }
  for (let i = 0; i < scalars.length; i++) putScalar(scalars[i]);
  finish(opcode, outs.length + ins.length, scalars.length);
}

/** A contiguous run of elements needs one dim only, which is quicker to write and to check. */
const flat: number[] = [0];
const unit: readonly number[] = [1];
const still: readonly number[] = [0];

/**
 * Runs an elementwise instruction on tensors of one shape, all contiguous: the shortest way through. `scalars` are
 * those behind the dtype to compute in.
 */
export function runFlat(
  op: string,
  opcode: number,
  compute: number,
  numel: number,
  out: Operand,
  a: Operand | number | bigint,
  b: Operand | number | bigint | null,
  scalars?: readonly ScalarWord[],
): void {
  if (out.storage.state !== 0) out.storage.settle(op);
  if (typeof a === "object" && a.storage.state !== 0) a.storage.settle(op);
  if (b !== null && typeof b === "object" && b.storage.state !== 0) b.storage.settle(op);
  if (waiting !== null) runWaiting();
  if (out.storage.readers !== null) out.storage.beforeWrite();
  at = 4;
  flat[0] = numel;
  putAs(out, flat, unit);
  if (typeof a === "object") putAs(a, flat, unit);
  else putNumber(a);
  if (b !== null) {
    if (typeof b === "object") putAs(b, flat, unit);
    else putNumber(b);
  }
  words[at++] = 0;
  words[at++] = compute;
  words[at++] = 0;
  let count = 1;
  if (scalars !== undefined) {
    count += scalars.length;
    for (let i = 0; i < scalars.length; i++) putScalar(scalars[i]);
  }
  finish(opcode, b === null ? 2 : 3, count);
}

/** What a chain reads: a contiguous tensor, or one whose first element stands for all. */
export interface Leaf extends Operand {
  readonly isRepeated: boolean;
}

/** Runs a chain of elementwise ops on tensors of one dtype into one that nobody has read or written. */
export function runFused(
  op: string,
  out: Operand,
  leaves: readonly Leaf[],
  program: readonly number[],
): void {
  for (const t of leaves) if (t.storage.state !== 0) t.storage.settle(op);
  at = 4;
  flat[0] = out.shape[0];
  putAs(out, flat, unit);
  for (const t of leaves) putAs(t, flat, t.isRepeated ? still : unit);
  for (const x of program) putScalar(x);
  finish(OP.fused, 1 + leaves.length, program.length);
}
