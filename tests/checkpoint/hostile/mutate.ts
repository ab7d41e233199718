/** Random damage to bytes, with a feeling for what parsers trip over. */

/** A source of random numbers that a seed repeats. */
export class Random {
  #state: number;

  /** The same seed gives the same numbers. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
    for (let i = 0; i < 4; i++) this.unit();
  }

  /** From 0 to under 1. */
  unit(): number {
    // Mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ t >>> 15, t | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to under `n`. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }

  /** One of a list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

const NUMBERS = [
  0n,
  1n,
  2n,
  7n,
  63n,
  255n,
  256n,
  65535n,
  65536n,
  100_000_001n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

const TEXTS = [
  "-1",
  "-0",
  "1e400",
  "1e15",
  "0.5",
  "NaN",
  "null",
  "true",
  "{}",
  "[]",
  '""',
  '"__proto__"',
  '"constructor"',
  '"__metadata__"',
  '"$tensor"',
  '"$object"',
  '"$map"',
  '"$array"',
  '"F64"',
  '"BOOL"',
  '"\\u0000"',
  '"\\ud800"',
  "../../../etc/passwd",
  "[".repeat(200),
  '{"a":'.repeat(200),
  "\n",
  "'",
  "(",
  "True",
];

/** A copy of bytes with some damage; parts of `other` may find their way into it. */
export function mutate(
  bytes: Uint8Array,
  other: Uint8Array,
  random: Random,
): Uint8Array<ArrayBuffer> {
  let now = bytes.slice();
  for (let left = 1 + random.below(random.below(3) === 0 ? 8 : 2); left > 0; left--) {
    now = random.pick(WAYS)(now, other, random);
  }
  return now;
}

type Way = (
  bytes: Uint8Array<ArrayBuffer>,
  other: Uint8Array,
  random: Random,
) => Uint8Array<ArrayBuffer>;

/** Puts a piece in the place of `length` bytes at `at`. */
function splice(
  bytes: Uint8Array,
  at: number,
  length: number,
  piece: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const rest = bytes.subarray(Math.min(bytes.length, at + length));
  const made = new Uint8Array(at + piece.length + rest.length);
  made.set(bytes.subarray(0, at));
  made.set(piece, at);
  made.set(rest, at + piece.length);
  return made;
}

function text(words: string): Uint8Array {
  return new TextEncoder().encode(words);
}

const WAYS: readonly Way[] = [
  // One bit, one byte, a few bytes.
  (bytes, _, random) => {
    if (bytes.length > 0) bytes[random.below(bytes.length)] ^= 1 << random.below(8);
    return bytes;
  },
  (bytes, _, random) => {
    if (bytes.length > 0) {
      bytes[random.below(bytes.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
    }
    return bytes;
  },
  // Out, in, twice, over each other.
  (bytes, _, random) =>
    splice(
      bytes,
      random.below(bytes.length + 1),
      1 + random.below(random.pick([2, 9, 65])),
      new Uint8Array(0),
    ),
  (bytes, other, random) => {
    const from = random.below(other.length + 1), length = random.below(random.pick([2, 17, 129]));
    return splice(
      bytes,
      random.below(bytes.length + 1),
      random.pick([0, length]),
      other.subarray(from, from + length),
    );
  },
  (bytes, _, random) => {
    const from = random.below(bytes.length + 1),
      length = 1 + random.below(random.pick([4, 33, 257]));
    return splice(bytes, from, 0, bytes.subarray(from, from + length));
  },
  // Cut, from the end or the beginning, and longer.
  (bytes, _, random) => bytes.slice(0, random.below(bytes.length + 1)),
  (bytes, _, random) => random.below(4) === 0 ? bytes.slice(random.below(16)) : bytes,
  (bytes, _, random) => splice(bytes, bytes.length, 0, new Uint8Array(random.below(5000))),
  // Binary numbers of one to eight bytes, in either order.
  (bytes, _, random) => {
    const size = random.pick([1, 2, 4, 8]),
      value = random.pick(NUMBERS) + random.pick([0n, 0n, 1n, -1n]);
    if (bytes.length < size) return bytes;
    const at = random.below(bytes.length - size + 1), isLittle = random.below(5) > 0;
    for (let i = 0; i < size; i++) {
      const byte = Number(BigInt.asUintN(64, value) >> BigInt(8 * i) & 255n);
      bytes[at + (isLittle ? i : size - 1 - i)] = byte;
    }
    return bytes;
  },
  // Numbers and other words in texts.
  (bytes, _, random) => {
    const at = find(bytes, random, (byte) => byte >= 0x30 && byte <= 0x39);
    if (at < 0) return bytes;
    let end = at;
    while (end < bytes.length && bytes[end] >= 0x30 && bytes[end] <= 0x39) end++;
    return splice(
      bytes,
      at,
      end - at,
      text(random.below(3) === 0 ? random.pick(TEXTS) : `${random.pick(NUMBERS)}`),
    );
  },
  (bytes, _, random) => {
    const at = find(bytes, random, (byte) => byte === 0x22);
    if (at < 0) return bytes;
    let end = at + 1;
    while (end < bytes.length && bytes[end] !== 0x22) end++;
    return splice(bytes, at, end + 1 - at, text(random.pick(TEXTS)));
  },
  (bytes, _, random) => {
    const at = find(bytes, random, (byte) => '{}[],:"'.includes(String.fromCharCode(byte)));
    return at < 0 ? bytes : splice(
      bytes,
      at,
      random.below(2),
      text(random.pick(["{", "}", "[", "]", ",", ":", '"', "\\"])),
    );
  },
];

/** A random place whose byte fits, or -1. */
function find(bytes: Uint8Array, random: Random, fits: (byte: number) => boolean): number {
  for (let tries = 0; tries < 64 && bytes.length > 0; tries++) {
    const at = random.below(bytes.length);
    if (fits(bytes[at])) return at;
  }
  return -1;
}
