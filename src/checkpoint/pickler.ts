/**
 * Pickles of protocol 2, as `torch.load(weights_only=True)` reads them: plain values of JavaScript as Python's.
 *
 * @module
 */
import { Float } from "../dtype.ts";
import { CheckpointError, show } from "../errors.ts";
import { isOptions } from "../options.ts";
import { MOST_DEPTH } from "./pickle.ts";

/** Writes one value that is no plain one, such as a tensor; returns whether it knew it. */
export type WriteLeaf = (value: object, out: Pickler, path: string) => boolean;

const TEXT = new TextEncoder();
/** Integers that Python reads with one byte of length. */
const MOST_INT_BYTES = 255;

/** Builds a pickle. What a text or an object was remembered under is reused when it comes again. */
export class Pickler {
  #bytes = new Uint8Array(4096);
  #length = 0;
  readonly #memo = new Map<unknown, number>();
  readonly #leaf: WriteLeaf;
  readonly #above = new Set<object>();

  /** `leaf` writes what is no plain value. */
  constructor(leaf: WriteLeaf) {
    this.#leaf = leaf;
    this.op(0x80, 2);
  }

  /** The pickle of one value. Errors: CheckpointError that names the path of what cannot be kept. */
  dump(value: unknown): Uint8Array<ArrayBuffer> {
    this.value(value, "");
    this.op(0x2e);
    return this.#bytes.slice(0, this.#length);
  }

  /** Writes opcodes and their bytes. */
  op(...bytes: readonly number[]): void {
    this.#raw(bytes);
  }

  #raw(bytes: ArrayLike<number>): void {
    const end = this.#length + bytes.length;
    if (end > this.#bytes.length) {
      const wider = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      wider.set(this.#bytes);
      this.#bytes = wider;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
  }

  #field(code: number, bytes: 4 | 8, set: (view: DataView) => void): void {
    const out = new Uint8Array(1 + bytes);
    out[0] = code;
    set(new DataView(out.buffer, 1));
    this.#raw(out);
  }

  /** Recalls what was remembered under a key, or makes and remembers it. */
  once(key: unknown, make: () => void): void {
    const place = this.#memo.get(key);
    if (place !== undefined) {
      if (place < 256) this.op(0x68, place);
      else this.#field(0x6a, 4, (view) => view.setUint32(0, place, true));
      return;
    }
    make();
    const next = this.#memo.size;
    this.#memo.set(key, next);
    if (next < 256) this.op(0x71, next);
    else this.#field(0x72, 4, (view) => view.setUint32(0, next, true));
  }

  /** A text. */
  text(value: string): void {
    this.once(value, () => {
      const bytes = TEXT.encode(value);
      this.#field(0x58, 4, (view) => view.setUint32(0, bytes.length, true));
      this.#raw(bytes);
    });
  }

  /** A name of Python's, such as `collections`, `OrderedDict`. */
  global(module: string, name: string): void {
    const line = `c${module}\n${name}\n`;
    this.once(Symbol.for(line), () => this.#raw(TEXT.encode(line)));
  }

  /** A whole number. */
  int(value: number | bigint): void {
    if (value >= 0 && value < 256) this.op(0x4b, Number(value));
    else if (value >= -(2 ** 31) && value < 2 ** 31) {
      this.#field(0x4a, 4, (view) => view.setInt32(0, Number(value), true));
    } else {
      const bytes: number[] = [];
      // Until the sign is all that is left, and the last byte shows it.
      for (let rest = BigInt(value); bytes.length <= MOST_INT_BYTES; rest >>= 8n) {
        const sign = (bytes.at(-1) ?? 0) >> 7;
        if (bytes.length > 0 && rest === (sign === 1 ? -1n : 0n)) break;
        bytes.push(Number(BigInt.asUintN(8, rest)));
      }
      if (bytes.length > MOST_INT_BYTES) {
        throw new CheckpointError("an integer of more than 255 bytes cannot be written");
      }
      this.op(0x8a, bytes.length, ...bytes);
    }
  }

  /** A float. */
  float(value: number): void {
    this.#field(0x47, 8, (view) => view.setFloat64(0, value, false));
  }

  /** A tuple of what `write` writes for each item. */
  tuple<T>(items: readonly T[], write: (item: T, index: number) => void): void {
    if (items.length === 0) return this.op(0x29);
    if (items.length > 3) this.op(0x28);
    items.forEach(write);
    this.op(items.length > 3 ? 0x74 : 0x84 + items.length);
  }

  /** An empty OrderedDict, which stands where PyTorch has hooks. */
  noHooks(): void {
    this.global("collections", "OrderedDict");
    this.op(0x29, 0x52);
  }

  /** Any plain value; `path` is where it stands. */
  value(value: unknown, path: string): void {
    if (value === null) return this.op(0x4e);
    if (typeof value === "boolean") return this.op(value ? 0x88 : 0x89);
    if (typeof value === "bigint") return this.int(value);
    if (typeof value === "number") {
      return Number.isSafeInteger(value) && !Object.is(value, -0)
        ? this.int(value)
        : this.float(value);
    }
    if (typeof value === "string") {
      if (value.isWellFormed()) return this.text(value);
      throw new CheckpointError(`Cannot save ${path || "the state"}: half a letter is no text`);
    }
    if (typeof value === "object") {
      if (value instanceof Float) return this.float(value.value);
      if (this.#above.has(value)) {
        throw new CheckpointError(`Cannot save ${path || "the state"}: it leads back to itself`);
      }
      if (this.#above.size === MOST_DEPTH) {
        throw new CheckpointError(
          `Cannot save ${path}: it is nested deeper than ${MOST_DEPTH} levels`,
        );
      }
      this.#above.add(value);
      const isWritten = this.#leaf(value, this, path) || this.#container(value, path);
      this.#above.delete(value);
      if (isWritten) return;
    }
    throw new CheckpointError(
      `Cannot save ${path || "the state"}: PyTorch has nothing for ${show(value)}`,
      {
        hint:
          "what it has are tensors, numbers, texts, booleans, bigints, null, Uint8Arrays, and arrays, Sets, Maps and plain objects of them",
      },
    );
  }

  #container(value: object, path: string): boolean {
    const at = (key: unknown) => path === "" ? String(key) : `${path}.${String(key)}`;
    if (Array.isArray(value)) {
      // Python's tuple is the array that cannot be changed.
      if (Object.isFrozen(value)) this.tuple(value, (item, i) => this.value(item, at(i)));
      else this.#list(value, at);
    } else if (value instanceof Uint8Array) {
      this.global("_codecs", "encode");
      this.#latin1(value);
      this.text("latin1");
      this.op(0x86, 0x52);
    } else if (value instanceof Set) {
      this.global("__builtin__", "set");
      this.#list([...value], at);
      this.op(0x85, 0x52);
    } else if (value instanceof Map) this.dict([...value], at);
    else if (isOptions(value)) {
      this.dict(Object.entries(value).filter(([, v]) => v !== undefined), at);
    } else return false;
    return true;
  }

  /** Bytes as the letters with their codes. */
  #latin1(bytes: Uint8Array): void {
    let wide = 0;
    for (const byte of bytes) wide += byte >> 7;
    const text = new Uint8Array(bytes.length + wide);
    let at = 0;
    for (const byte of bytes) {
      if (byte >= 0x80) text[at++] = 0xc0 | byte >> 6;
      text[at++] = byte >= 0x80 ? 0x80 | byte & 0x3f : byte;
    }
    this.#field(0x58, 4, (view) => view.setUint32(0, text.length, true));
    this.#raw(text);
  }

  #list(items: readonly unknown[], at: (key: unknown) => string): void {
    this.op(0x5d);
    if (items.length === 0) return;
    this.op(0x28);
    items.forEach((item, i) => this.value(item, at(i)));
    this.op(0x65);
  }

  /** A dict of these entries. */
  dict(entries: readonly (readonly [unknown, unknown])[], at: (key: unknown) => string): void {
    this.op(0x7d);
    if (entries.length === 0) return;
    this.op(0x28);
    for (const [key, value] of entries) {
      if (typeof key === "object" && key !== null && !Object.isFrozen(key)) {
        throw new CheckpointError(
          `Cannot save ${at("key")}: ${show(key)} cannot be a key of Python's dict`,
        );
      }
      this.value(key, at("key"));
      this.value(value, at(key));
    }
    this.op(0x75);
  }
}
