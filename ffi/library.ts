/**
 * Opens the native library on first use, compares its hash with the generated opcode table, and gives the thread's
 * one buffer of words. Failures of native calls become Toro's errors here.
 */
import {
  DeviceError,
  DeviceLostError,
  IndexError,
  NativeError,
  OutOfMemoryError,
  type ToroError,
} from "../src/errors.ts";
import { explain, locate } from "./locate.ts";
import { HASH } from "./opcodes.gen.ts";

const SYMBOLS = {
  toro_open: { parameters: ["buffer", "u32"], result: "u32" },
  toro_close: { parameters: ["u32"], result: "i32" },
  toro_alloc: { parameters: ["u32", "f64", "u32"], result: "f64" },
  toro_free: { parameters: ["u32", "u32"], result: "i32" },
  toro_execute: { parameters: ["u32", "u32"], result: "i32" },
  toro_write: { parameters: ["u32", "f64", "f64", "buffer", "f64"], result: "i32" },
  toro_read: { parameters: ["u32", "f64", "f64", "buffer", "f64"], result: "i32" },
  toro_memory: { parameters: ["u32"], result: "i32" },
  toro_option: { parameters: ["u32", "u32", "f64"], result: "i32" },
  toro_job: { parameters: ["u32", "buffer", "u32"], result: "f64" },
  /** The same on another thread. */
  toro_job_async: {
    name: "toro_job",
    parameters: ["u32", "buffer", "u32"],
    result: "f64",
    nonblocking: true,
  },
  toro_table: { parameters: ["u32"], result: "i32" },
  toro_hash: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Words of the thread's buffer: room for an optimiser step over hundreds of parameters. */
const WORDS = 1 << 16;

/** The thread's buffer: instructions go in, error texts and figures come out. Native keeps its address, so it is never replaced. */
export const words: Float64Array<ArrayBuffer> = new Float64Array(WORDS);
const bytes = new Uint8Array(words.buffer);

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

let symbols: Symbols | null = null;
let thread = 0;
let path = "";

function open(): Symbols {
  if (symbols !== null) return symbols;
  const found = locate();
  if ("tried" in found) {
    throw new DeviceError(
      `Cannot find Toro's native library; looked at\n${explain(found.tried)}`,
      { hint: "in a checkout, `deno task build` makes it" },
    );
  }
  path = found.path;
  let library: Deno.DynamicLibrary<typeof SYMBOLS>;
  try {
    library = Deno.dlopen(path, SYMBOLS);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DeviceError(`Cannot open the native library ${path}: ${reason}`, { cause });
  }
  const hash = library.symbols.toro_hash();
  if (hash !== HASH && !generating) {
    library.close();
    throw new NativeError(
      `Cannot use the native library ${path}: its hash is ${
        hash.toString(16)
      }, this version of Toro needs ${HASH.toString(16)}`,
      { hint: "in a checkout, `deno task build` makes the one that fits" },
    );
  }
  thread = library.symbols.toro_open(words, WORDS);
  if (thread === 0) {
    throw new NativeError(
      "Cannot register this thread with the native library: too many threads use it",
    );
  }
  symbols = library.symbols;
  return symbols;
}

let generating = false;

/** The opcode table and hash of the library itself, for the generator, which runs before the hash can agree. */
export function readTable(): { abi: string; ops: string[]; hash: number } {
  generating = true;
  const s = open();
  check(s.toro_table(thread));
  return { ...JSON.parse(text()), hash: s.toro_hash() };
}

/** The text that native left in the buffer. */
function text(): string {
  return new TextDecoder().decode(bytes.subarray(8, 8 + words[0]));
}

/** The error behind a code; its text is in the buffer. */
export function failure(code: number): ToroError {
  if (code === 5) {
    return new NativeError("Cannot call the native library: this thread is not registered");
  }
  const message = text();
  if (code === 2) {
    // A device has no budget, it is full.
    const hint = message.includes("budget") ? "setMemoryLimit raises the budget" : undefined;
    return new OutOfMemoryError(message, { hint });
  }
  if (code === 3) return new IndexError(message);
  if (code === 6) return new DeviceError(message, { op: /^(\w+): /.exec(message)?.[1] });
  if (code === 7) return new DeviceLostError(message);
  // A refused instruction is told by its row: `amin: …`.
  return new NativeError(message, { op: /^(\w+): /.exec(message)?.[1] });
}

function check(code: number): void {
  if (code !== 0) throw failure(code);
}

/** Runs the instructions in the first `count` words. */
export function execute(count: number): void {
  const code = (symbols ?? open()).toro_execute(thread, count);
  if (code !== 0) throw failure(code);
}

/** Makes a storage and returns its handle, or a negative code whose text is in the buffer. */
export function allocate(size: number, device: number): number {
  return (symbols ?? open()).toro_alloc(thread, size, device);
}

/** Frees storages. */
export function free(handles: readonly number[]): void {
  for (let from = 0; from < handles.length; from += WORDS) {
    const part = Math.min(WORDS, handles.length - from);
    for (let i = 0; i < part; i++) words[i] = handles[from + i];
    check(open().toro_free(thread, part));
  }
}

/** A view of bytes that FFI takes. */
function asBuffer(data: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

/** Copies bytes into a storage. */
export function write(handle: number, offset: number, data: ArrayBufferView): void {
  check(open().toro_write(thread, handle, offset, asBuffer(data), data.byteLength));
}

/** Copies bytes out of a storage. */
export function read(handle: number, offset: number, data: ArrayBufferView): void {
  check(open().toro_read(thread, handle, offset, asBuffer(data), data.byteLength));
}

/** Copies one element's bytes out of a storage to the start of the thread's buffer, `words`. */
export function readElement(handle: number, offset: number, size: number): void {
  check(open().toro_read(thread, handle, offset, bytes, size));
}

/** What the native allocator says of itself. */
export interface NativeMemory {
  liveBytes: number;
  cachedBytes: number;
  peakBytes: number;
  budgetBytes: number;
  handles: number;
}

/** Live, cached, peak and budget bytes, and handles. */
export function nativeMemory(): NativeMemory {
  check(open().toro_memory(thread));
  const [liveBytes, cachedBytes, peakBytes, budgetBytes, handles] = words;
  return { liveBytes, cachedBytes, peakBytes, budgetBytes, handles };
}

/** The options of the native library. */
export const OPTIONS = {
  budget: 0,
  threads: 1,
  simd: 2,
  emptyCache: 3,
  resetPeak: 4,
  trimCache: 5,
  /** For tests: so many allocations pass, then `failAllocations` in a row fail. */
  passAllocations: 6,
  failAllocations: 7,
  /** Waits for the device of that number. */
  synchronize: 8,
  /** Takes twice a device's number, and 1 more for an event with a time; gives the event's number. */
  recordEvent: 9,
  waitEvent: 10,
  queryEvent: 11,
  freeEvent: 12,
  /** Milliseconds between two events: takes from · 2^26 + to. */
  elapsed: 13,
  /** Whether float32 products on CUDA may be rounded to TF32. */
  tf32: 14,
} as const;

/** Reads an option, or sets it; returns what holds now. */
export function option(key: keyof typeof OPTIONS, value: number = NaN): number {
  check(open().toro_option(thread, OPTIONS[key], value));
  return words[0];
}

/** What a job gives back. */
export interface JobResult {
  json: unknown;
  buffers: Uint8Array<ArrayBuffer>[];
}

function request(kind: string, fields: object): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ ...fields, kind }));
}

function result(handle: number): JobResult {
  if (handle === -2) {
    throw new OutOfMemoryError("Cannot keep a job's result: memory is used up", {
      hint: "setMemoryLimit raises the budget",
    });
  }
  if (handle < 0) throw new NativeError(`Cannot keep a job's result (code ${-handle})`);
  try {
    const head = new Uint32Array(1);
    read(handle, 0, head);
    const json = new Uint8Array(head[0]);
    read(handle, 4, json);
    const parsed = JSON.parse(new TextDecoder().decode(json));
    if (typeof parsed.result?.error === "string") throw new NativeError(parsed.result.error);
    const buffers = (parsed.buffers as [number, number][]).map(([at, length]) => {
      const buffer = new Uint8Array(length);
      if (length > 0) read(handle, at, buffer);
      return buffer;
    });
    return { json: parsed.result, buffers };
  } finally {
    free([handle]);
  }
}

/** Runs a job (files, pictures, facts) and waits for it. */
export function job(kind: string, fields: object = {}): JobResult {
  const bytes = request(kind, fields);
  return result(open().toro_job(thread, bytes, bytes.byteLength));
}

/** Runs a job on another thread. */
export async function jobAsync(kind: string, fields: object = {}): Promise<JobResult> {
  const bytes = request(kind, fields);
  return result(await open().toro_job_async(thread, bytes, bytes.byteLength));
}

/** Frees everything that this thread made; for the end of a worker. */
export function closeThread(): void {
  if (symbols === null) return;
  check(symbols.toro_close(thread));
  symbols = null;
}

/** Facts for `doctor` and bug reports, by name. */
export function libraryInfo(): Record<string, string> {
  open();
  const facts = job("process").json as Record<string, string | number>;
  return {
    library: path,
    hash: HASH.toString(16),
    version: String(facts.version),
    processor: String(facts.processor),
    simd: String(facts.simd),
    threads: String(facts.threads),
    budget: `${(nativeMemory().budgetBytes / 2 ** 30).toFixed(1)} GiB`,
  };
}
