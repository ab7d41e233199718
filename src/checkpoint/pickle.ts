/**
 * Pickle as PyTorch's files use it, read by a closed interpreter: the opcodes below and no others, names out of the
 * caller's table and no others. Nothing is looked up, called or run that is not written here. Source: CPython's
 * pickletools.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";

/** A container of a pickle. Its items are keys and values by turns in a dict. */
export class Node {
  /** What it holds; grown in place while the pickle is read. */
  items: unknown[];
  /** What it became, and how many values that are, each counted as often as it can be reached; 0 before. */
  made: unknown = undefined;
  size = 0;
  constructor(readonly kind: "dict" | "list" | "tuple" | "set", items: unknown[]) {
    this.items = items;
  }
}

/** A function that a pickle may name; it gets what stands in the tuple of arguments. */
export class Rebuild {
  constructor(readonly name: string, readonly call: (args: readonly unknown[]) => unknown) {}
}

/** What a pickle may ask for. */
export interface PickleHost {
  /** What a global name, such as `collections.OrderedDict`, stands for; fails for one that is not known. */
  global(name: string): unknown;
  /** What a persistent id stands for. */
  persistent(id: unknown): unknown;
}

/** Marks that may be open at a time. */
const MOST_MARKS = 1000;
/** Containers that any pickle may have, beside one for each four of its bytes: real ones need fewer. */
const FREE_CONTAINERS = 65536;
const BYTES_PER_CONTAINER = 4;
/** Of an integer: 255 bytes are beyond every size and seed. */
const MOST_INT_BYTES = 255;
const MOST_NAME = 256;

/** Bytes of a short text. */
const SHORT = 16;

const NOTHING: unknown[] = [];

/** Reads a pickle of protocols 2 to 5. Errors: CheckpointError with the byte at which it is refused. */
export function readPickle(bytes: Uint8Array, host: PickleHost): unknown {
  return new Reader(bytes, host).run();
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #host: PickleHost;
  readonly #text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** The globals that were looked up. */
  readonly #globals = new Map<string, unknown>();
  readonly #memo: unknown[] = [];
  readonly #marks: number[] = [];
  readonly #stack: unknown[] = [];
  #containers: number;
  #at = 0;
  /** Where the running opcode stands. */
  #from = 0;

  constructor(bytes: Uint8Array, host: PickleHost) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#host = host;
    this.#containers = FREE_CONTAINERS + Math.floor(bytes.length / BYTES_PER_CONTAINER);
  }

  run(): unknown {
    try {
      return this.#run();
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      const [reason] = error.message.split("\n");
      throw new CheckpointError(`its pickle is refused at byte ${this.#from}: ${reason}`, {
        hint: error.hint,
      });
    }
  }

  #run(): unknown {
    if (this.#byte() !== 0x80) {
      throw new CheckpointError("it does not begin with a protocol, as those of protocol 2 on do");
    }
    const protocol = this.#byte();
    if (protocol < 2 || protocol > 5) {
      throw new CheckpointError(`it is of protocol ${protocol}; known are 2 to 5`);
    }
    for (;;) {
      this.#from = this.#at;
      const code = this.#byte();
      if (code === STOP) break;
      this.#step(code);
    }
    const value = this.#pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) {
      throw new CheckpointError("it ends with more than one value");
    }
    if (this.#at < this.#bytes.length) {
      throw new CheckpointError(`${this.#bytes.length - this.#at} bytes follow its end`);
    }
    return value;
  }

  #step(code: number): void {
    const stack = this.#stack;
    switch (code) {
      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x4a: // BININT
        return this.#push(this.#view.getInt32(this.#skip(4), true));
      case 0x4b: // BININT1
        return this.#push(this.#byte());
      case 0x4d: // BININT2
        return this.#push(this.#view.getUint16(this.#skip(2), true));
      case 0x8a: // LONG1
        return this.#push(this.#long(this.#byte()));
      case 0x8b: // LONG4
        return this.#push(this.#long(this.#view.getInt32(this.#skip(4), true)));
      case 0x47: // BINFLOAT
        return this.#push(this.#view.getFloat64(this.#skip(8), false));
      case 0x58: // BINUNICODE
        return this.#push(this.#string(this.#length4()));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(this.#string(this.#byte()));
      case 0x8d: // BINUNICODE8
        return this.#push(this.#string(this.#length8()));
      case 0x42: // BINBYTES
        return this.#push(this.#take(this.#length4()).slice());
      case 0x43: // SHORT_BINBYTES
        return this.#push(this.#take(this.#byte()).slice());
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#push(this.#take(this.#length8()).slice());
      case 0x7d: // EMPTY_DICT
        return this.#push(this.#node("dict", NOTHING));
      case 0x5d: // EMPTY_LIST
        return this.#push(this.#node("list", NOTHING));
      case 0x8f: // EMPTY_SET
        return this.#push(this.#node("set", NOTHING));
      case 0x29: // EMPTY_TUPLE
        return this.#push(this.#node("tuple", NOTHING));
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.#push(this.#node("tuple", this.#popSome(code - 0x84)));
      case 0x28: // MARK
        if (this.#marks.length === MOST_MARKS) {
          throw new CheckpointError(`more than ${MOST_MARKS} values are open at once`);
        }
        this.#marks.push(stack.length);
        return;
      case 0x74: // TUPLE
        return this.#push(this.#node("tuple", this.#popMark()));
      case 0x61: // APPEND
        return this.#extend("list", this.#popSome(1));
      case 0x65: // APPENDS
        return this.#extend("list", this.#popMark());
      case 0x90: // ADDITEMS
        return this.#extend("set", this.#popMark());
      case 0x73: // SETITEM
        return this.#extend("dict", this.#popSome(2));
      case 0x75: // SETITEMS
        return this.#extend("dict", this.#popMark());
      case 0x71: // BINPUT
        return this.#put(this.#byte());
      case 0x72: // LONG_BINPUT
        return this.#put(this.#length4());
      case 0x94: // MEMOIZE
        return this.#put(this.#memo.length);
      case 0x68: // BINGET
        return this.#get(this.#byte());
      case 0x6a: // LONG_BINGET
        return this.#get(this.#length4());
      case 0x63: // GLOBAL
        return this.#push(this.#global(this.#line(), this.#line()));
      case 0x93: { // STACK_GLOBAL
        const [module, name] = this.#popSome(2);
        if (typeof module !== "string" || typeof name !== "string") {
          throw new CheckpointError("a global's name is no text");
        }
        return this.#push(this.#global(module, name));
      }
      case 0x52: { // REDUCE
        const [rebuild, args] = this.#popSome(2);
        if (!(rebuild instanceof Rebuild)) {
          throw new CheckpointError("it calls what is no function");
        }
        if (!(args instanceof Node) || args.kind !== "tuple") {
          throw new CheckpointError(`it calls ${rebuild.name} with what is no tuple`);
        }
        const made = rebuild.call(args.items);
        this.#count(weight(made));
        return this.#push(made);
      }
      case 0x62: { // BUILD
        // Attributes, such as an OrderedDict's `_metadata`: they belong to Python's objects and go.
        const [target] = this.#popSome(2);
        if (!(target instanceof Node) || target.kind !== "dict") {
          throw new CheckpointError("it sets attributes of what is no OrderedDict");
        }
        return this.#push(target);
      }
      case 0x51: // BINPERSID
        return this.#push(this.#host.persistent(this.#pop()));
      case 0x95: // FRAME
        // Frames say how much a reader may fetch at once; all is there.
        this.#length8();
        return;
      default:
        throw new CheckpointError(
          `opcode 0x${code.toString(16).padStart(2, "0")} is none of those in PyTorch's files`,
        );
    }
  }

  #skip(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) {
      throw new CheckpointError(
        `it is truncated: ${length} bytes are wanted, ${this.#bytes.length - at} are there`,
      );
    }
    this.#at = at + length;
    return at;
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)];
  }

  #take(length: number): Uint8Array {
    const at = this.#skip(length);
    return this.#bytes.subarray(at, at + length);
  }

  #length4(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  /** Past 2^53 it is rounded, and larger than the file all the same. */
  #length8(): number {
    return Number(this.#view.getBigUint64(this.#skip(8), true));
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0 || end - this.#at > MOST_NAME) {
      throw new CheckpointError(`a global's name has more than ${MOST_NAME} bytes`);
    }
    const text = this.#string(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  #string(length: number): string {
    const at = this.#skip(length), bytes = this.#bytes;
    if (length <= SHORT) {
      // Most texts are short and plain: no decoder is quicker.
      let text = "", i = at;
      while (i < at + length && bytes[i] < 0x80) text += String.fromCharCode(bytes[i++]);
      if (i === at + length) return text;
    }
    try {
      return this.#text.decode(bytes.subarray(at, at + length));
    } catch {
      throw new CheckpointError("a text is no UTF-8");
    }
  }

  /** A whole number: a JavaScript number where that is exact. */
  #long(length: number): number | bigint {
    if (length < 0 || length > MOST_INT_BYTES) {
      throw new CheckpointError(
        `an integer has ${length} bytes; at most ${MOST_INT_BYTES} are read`,
      );
    }
    let value = 0n;
    const bytes = this.#take(length);
    for (let i = length - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[i]);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #global(module: string, name: string): unknown {
    // Protocol 2 writes Python 2's name of the module.
    const key = `${module === "__builtin__" ? "builtins" : module}.${name}`;
    if (!this.#globals.has(key)) this.#globals.set(key, this.#host.global(key));
    return this.#globals.get(key);
  }

  #count(containers: number): void {
    this.#containers -= containers;
    if (this.#containers < 0) {
      throw new CheckpointError(
        `it has more than ${FREE_CONTAINERS} lists, tuples and dicts and more than one for ${BYTES_PER_CONTAINER} bytes`,
      );
    }
  }

  #node(kind: Node["kind"], items: unknown[]): Node {
    this.#count(1);
    return new Node(kind, items);
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  /** The first place above the innermost mark, below which nothing may be taken. */
  get #floor(): number {
    return this.#marks.at(-1) ?? 0;
  }

  #need(count: number): void {
    if (this.#stack.length - this.#floor < count) {
      throw new CheckpointError("it takes a value that is not there");
    }
  }

  #pop(): unknown {
    this.#need(1);
    return this.#stack.pop();
  }

  #popSome(count: number): unknown[] {
    this.#need(count);
    return this.#stack.splice(this.#stack.length - count);
  }

  #popMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new CheckpointError("it closes what was not opened");
    return this.#stack.splice(mark);
  }

  #extend(kind: "list" | "dict" | "set", items: unknown[]): void {
    this.#need(1);
    const target = this.#stack.at(-1);
    if (!(target instanceof Node) || target.kind !== kind) {
      throw new CheckpointError(`it adds to what is no ${kind}`);
    }
    if (kind === "dict" && items.length % 2 !== 0) {
      throw new CheckpointError("a dict's key has no value");
    }
    if (target.items.length === 0) target.items = items;
    else for (const item of items) target.items.push(item);
  }

  #put(place: number): void {
    this.#need(1);
    if (place > this.#memo.length) {
      throw new CheckpointError(
        `it remembers value ${place} where ${this.#memo.length} would be the next`,
      );
    }
    this.#memo[place] = this.#stack.at(-1);
  }

  #get(place: number): void {
    if (place >= this.#memo.length) {
      throw new CheckpointError(
        `it recalls value ${place} of ${this.#memo.length} that it remembers`,
      );
    }
    this.#push(this.#memo[place]);
  }
}

const STOP = 0x2e;

/** What a call's result counts as in containers: it may be made again and again out of what is remembered once. */
function weight(made: unknown): number {
  if (made instanceof Node) return 1 + made.items.length;
  return made instanceof Uint8Array ? 1 + made.length / BYTES_PER_CONTAINER : 3;
}

// ---- values ----

/** Containers in each other, in what is read and written. */
export const MOST_DEPTH = 100;
/** How often values may be reached by several ways: so many times what is there, and as many for free. */
const MOST_SHARING = 4, FREE_VALUES = 1_000_000;

/** How what was read becomes values of JavaScript. */
export interface ValueRules {
  /** What stands for a value of the host's own, such as a tensor. */
  leaf(value: unknown): unknown;
  /** Called with each object, when its fields are there. */
  object?(value: Record<string, unknown>): void;
}

/**
 * What a pickle holds as values of JavaScript: a dict whose keys are texts becomes an object, any other a Map; a list
 * an array, a tuple a frozen array, a set a Set. What the pickle shares is shared. Fails for what leads back to itself,
 * and for what is a thousand times larger than it looks because it is shared again and again.
 */
export function valueOf(root: unknown, rules: ValueRules): unknown {
  const above = new Set<Node>();
  let there = 0;
  const walk = (node: Node): unknown => {
    if (node.size > 0) return node.made;
    if (above.has(node)) throw new CheckpointError("its pickle leads back to itself");
    if (above.size === MOST_DEPTH) {
      throw new CheckpointError(`its pickle is nested deeper than ${MOST_DEPTH} levels`);
    }
    above.add(node);
    there += node.items.length;
    let size = 1;
    const items = node.items.map((item) => {
      const made = item instanceof Node ? walk(item) : plain(item, rules);
      size += item instanceof Node ? item.size : 1;
      return made;
    });
    if (size > FREE_VALUES + MOST_SHARING * there) {
      throw new CheckpointError(
        `its pickle expands to ${size} values and more, which it shares again and again`,
      );
    }
    above.delete(node);
    node.made = container(node.kind, items, rules);
    node.size = size;
    return node.made;
  };
  return root instanceof Node ? walk(root) : plain(root, rules);
}

function plain(value: unknown, rules: ValueRules): unknown {
  const isOwn = typeof value === "object" && value !== null && !(value instanceof Uint8Array);
  return isOwn ? rules.leaf(value) : value;
}

function container(kind: Node["kind"], items: unknown[], rules: ValueRules): unknown {
  if (kind === "list") return items;
  if (kind === "tuple") return Object.freeze(items);
  if (kind === "set") return new Set(items);
  let isObject = true;
  const entries: [unknown, unknown][] = [];
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i];
    if (typeof key !== "string") isObject = false;
    if (typeof key === "object" && key !== null && !Object.isFrozen(key)) {
      throw new CheckpointError("its pickle has a dict with a key that cannot be one");
    }
    entries.push([key, items[i + 1]]);
  }
  if (!isObject) return new Map(entries);
  // fromEntries, so that a key such as __proto__ is data.
  const object = Object.fromEntries(entries as [string, unknown][]);
  rules.object?.(object);
  return object;
}
