/**
 * Zip archives as PyTorch and NumPy write them: the directory read with every check before any entry is, entries
 * written one after the other. Files are opened elsewhere. Source: PKWARE's APPNOTE.TXT 6.3.10.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "./disk.ts";

/** One entry of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Where its bytes begin. */
  readonly start: number;
  /** How many bytes lie there. */
  readonly stored: number;
  /** How many they become. */
  readonly bytes: number;
  /** Their CRC-32. */
  readonly crc: number;
  /** Whether they are deflated. */
  readonly isDeflated: boolean;
}

const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50;
const END_64 = 0x06064b50, LOCATOR_64 = 0x07064b50, DESCRIPTOR = 0x08074b50;
const LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22, END_64_BYTES = 56, LOCATOR_BYTES = 20;
/** What a field of 2 or 4 bytes holds when the value stands in a field of 8. */
const LARGE_2 = 0xffff, LARGE_4 = 0xffffffff;
/** Sizes and CRC follow the data; names are UTF-8. */
const SIZES_FOLLOW = 1 << 3, UTF8_NAME = 1 << 11;
const STORED = 0, DEFLATED = 8;
/** The extra field of sizes past 4 GiB. */
const EXTRA_64 = 1;

const damaged = (what: string) => new CheckpointError(`its archive is damaged: ${what}`);

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A whole number of 8 bytes; past 2^53 it is larger than any file anyway, and stays so. */
function number64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

interface Directory {
  /** Where it begins. */
  readonly at: number;
  readonly bytes: number;
  readonly entries: number;
}

/** The directory's place, out of the records at the archive's end. */
function findDirectory(source: ByteSource): Directory {
  const { size } = source;
  const cut = "it is truncated: the directory at its end is missing";
  if (size < END_BYTES) throw new CheckpointError(cut);
  const from = Math.max(0, size - END_BYTES - LOCATOR_BYTES - END_64_BYTES);
  const tail = viewOf(source.readBytes(from, size - from));
  const at = tail.byteLength - END_BYTES;
  if (tail.getUint32(at, true) !== END || tail.getUint16(at + 20, true) !== 0) {
    throw new CheckpointError(cut);
  }
  const short = {
    at: tail.getUint32(at + 16, true),
    bytes: tail.getUint32(at + 12, true),
    entries: tail.getUint16(at + 10, true),
  };
  if (tail.getUint32(at + 4, true) !== 0 || tail.getUint16(at + 8, true) !== short.entries) {
    throw damaged("it is one part of several");
  }
  const locator = at - LOCATOR_BYTES;
  let found = short, end = size - END_BYTES;
  if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR_64) {
    const record = locator - END_64_BYTES;
    if (
      record < 0 || tail.getUint32(record, true) !== END_64 ||
      number64(tail, locator + 8) !== from + record || number64(tail, record + 4) !== 44
    ) {
      throw damaged("the record of its large sizes is not where it should be");
    }
    found = {
      at: number64(tail, record + 48),
      bytes: number64(tail, record + 40),
      entries: number64(tail, record + 32),
    };
    const differ = (a: number, b: number, large: number) => a !== b && b !== large;
    if (
      differ(found.at, short.at, LARGE_4) || differ(found.bytes, short.bytes, LARGE_4) ||
      differ(found.entries, short.entries, LARGE_2) || number64(tail, record + 24) !== found.entries
    ) {
      throw damaged("its two end records differ");
    }
    end = from + record;
  }
  if (found.at + found.bytes !== end) {
    throw damaged(
      `its directory, ${found.bytes} bytes from byte ${found.at} on, does not end at byte ${end}`,
    );
  }
  if (found.entries * CENTRAL_BYTES > found.bytes) {
    throw damaged(`${found.bytes} bytes of directory cannot hold ${found.entries} entries`);
  }
  return found;
}

/** The values of the extra field for large sizes, one for each field that has no room for its own. */
function largeValues(extra: DataView, name: string): number[] {
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const length = extra.getUint16(at + 2, true), end = at + 4 + length;
    if (end > extra.byteLength) throw damaged(`entry ${name} has an extra field that is cut off`);
    if (extra.getUint16(at, true) === EXTRA_64) {
      const values: number[] = [];
      for (let i = at + 4; i + 8 <= end; i += 8) values.push(number64(extra, i));
      return values;
    }
    at = end;
  }
  return [];
}

/** A name as errors show it. */
function shown(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 57)}...` : name);
}

interface Listed extends Omit<ZipEntry, "start"> {
  readonly at: number;
  readonly flags: number;
  readonly method: number;
  readonly nameBytes: Uint8Array;
}

function readDirectory(source: ByteSource, directory: Directory): Listed[] {
  const bytes = source.readBytes(directory.at, directory.bytes), view = viewOf(bytes);
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const listed: Listed[] = [], seen = new Set<string>();
  let at = 0;
  for (let i = 0; i < directory.entries; i++) {
    if (at + CENTRAL_BYTES > bytes.length || view.getUint32(at, true) !== CENTRAL) {
      throw damaged(`entry ${i} of its directory is missing`);
    }
    const flags = view.getUint16(at + 8, true), method = view.getUint16(at + 10, true);
    const nameLength = view.getUint16(at + 28, true), extraLength = view.getUint16(at + 30, true);
    const next = at + CENTRAL_BYTES + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw damaged(`entry ${i} of its directory is cut off`);
    const nameBytes = bytes.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameLength);
    let name: string;
    try {
      name = utf8.decode(nameBytes);
    } catch {
      throw damaged(`the name of entry ${i} is no UTF-8`);
    }
    const title = () => shown(name);
    if (seen.has(name)) throw damaged(`it has two entries ${title()}`);
    seen.add(name);
    if (flags & 1) {
      throw new CheckpointError(`entry ${title()} is encrypted, which is not supported`);
    }
    if (flags & ~(SIZES_FOLLOW | UTF8_NAME | 6)) {
      throw damaged(`entry ${title()} has the unknown flags 0x${flags.toString(16)}`);
    }
    if (method !== STORED && method !== DEFLATED) {
      throw new CheckpointError(
        `entry ${title()} is compressed by method ${method}; known are 0, stored, and 8, deflated`,
      );
    }
    if (view.getUint16(at + 34, true) !== 0) throw damaged(`entry ${title()} lies in another part`);
    const extraAt = at + CENTRAL_BYTES + nameLength;
    const large = extraLength === 0
      ? []
      : largeValues(viewOf(bytes.subarray(extraAt, extraAt + extraLength)), title());
    const value = (field: number) => {
      const short = view.getUint32(field, true);
      if (short !== LARGE_4) return short;
      const long = large.shift();
      if (long === undefined) throw damaged(`entry ${title()} lacks a large size`);
      return long;
    };
    const length = value(at + 24), stored = value(at + 20), place = value(at + 42);
    if (method === STORED && length !== stored) {
      throw damaged(`entry ${title()} is stored, but of ${length} bytes ${stored} are there`);
    }
    const crc = view.getUint32(at + 16, true);
    listed.push({
      name,
      nameBytes,
      at: place,
      flags,
      method,
      bytes: length,
      stored,
      crc,
      isDeflated: method === DEFLATED,
    });
    at = next;
  }
  if (at !== bytes.length) throw damaged(`its directory has ${bytes.length - at} bytes too many`);
  return listed;
}

/** Compares an entry's own header with the directory's; returns where its bytes begin. */
function checkLocal(source: ByteSource, entry: Listed, end: number): number {
  const title = () => shown(entry.name);
  const { at, nameBytes } = entry, least = LOCAL_BYTES + nameBytes.length;
  if (at + least > end) {
    throw damaged(`entry ${title()} at byte ${at} overlaps what begins at byte ${end}`);
  }
  const bytes = source.readBytes(at, least), view = viewOf(bytes);
  if (view.getUint32(0, true) !== LOCAL) throw damaged(`no entry begins at byte ${at}, ${title()}`);
  let isSame = view.getUint16(26, true) === nameBytes.length;
  for (let i = 0; isSame && i < nameBytes.length; i++) {
    isSame = bytes[LOCAL_BYTES + i] === nameBytes[i];
  }
  if (!isSame) {
    throw damaged(
      `the entry at byte ${at} has another name than ${title()}, its name in the directory`,
    );
  }
  if (view.getUint16(6, true) !== entry.flags || view.getUint16(8, true) !== entry.method) {
    throw damaged(`entry ${title()} is described differently in the directory and at byte ${at}`);
  }
  const follows = (entry.flags & SIZES_FOLLOW) !== 0;
  const compare = (what: string, own: number, value: number, isLeftOut: boolean) => {
    if (own === value || isLeftOut || follows && own === 0) return;
    throw damaged(
      `entry ${title()} has ${what} ${value} in the directory and ${own} at byte ${at}`,
    );
  };
  const stored = view.getUint32(18, true), size = view.getUint32(22, true);
  compare("CRC", view.getUint32(14, true), entry.crc, false);
  compare("size", stored, entry.stored, stored === LARGE_4);
  compare("size", size, entry.bytes, size === LARGE_4);
  const start = at + least + view.getUint16(28, true);
  if (start + entry.stored > end) {
    throw damaged(
      `entry ${title()}, ${entry.stored} bytes from byte ${start} on, overlaps what begins at byte ${end}`,
    );
  }
  return start;
}

/**
 * The entries of an archive by name, in the directory's order, once all headers agree: nothing overlaps, no name comes
 * twice, everything lies inside the file. What entries hold is checked when it is read.
 */
export function readZip(source: ByteSource): Map<string, ZipEntry> {
  const directory = findDirectory(source);
  const listed = readDirectory(source, directory);
  const order = listed.map((_, i) => i).sort((a, b) => listed[a].at - listed[b].at);
  const starts = new Array<number>(listed.length);
  order.forEach((i, k) => {
    const next = k + 1 < order.length ? listed[order[k + 1]].at : directory.at;
    starts[i] = checkLocal(source, listed[i], Math.min(next, directory.at));
  });
  return new Map(
    listed.map(({ name, stored, bytes, crc, isDeflated }, i) => [
      name,
      { name, start: starts[i], stored, bytes, crc, isDeflated },
    ]),
  );
}

/** Bytes that pass through JavaScript at a time. */
const CHUNK = 2 ** 20;

/**
 * The bytes of a stored entry in pieces, each of which is gone when the next one comes; after the last one their CRC is
 * compared.
 */
export function* readEntry(
  source: ByteSource,
  entry: ZipEntry,
): Generator<Uint8Array<ArrayBuffer>, void> {
  const buffer = new Uint8Array(Math.min(CHUNK, entry.stored));
  let crc = 0;
  for (let at = 0; at < entry.stored; at += CHUNK) {
    const piece = buffer.subarray(0, Math.min(CHUNK, entry.stored - at));
    source.readInto(entry.start + at, piece);
    crc = crc32(piece, crc);
    yield piece;
  }
  checkCrc(entry, crc);
}

/** The bytes of a stored entry of which it is known that they fit. */
export function readWhole(source: ByteSource, entry: ZipEntry): Uint8Array<ArrayBuffer> {
  const bytes = source.readBytes(entry.start, entry.stored);
  checkCrc(entry, crc32(bytes));
  return bytes;
}

function checkCrc(entry: ZipEntry, crc: number): void {
  if (crc === entry.crc) return;
  throw new CheckpointError(
    `it is damaged: the CRC of entry ${shown(entry.name)} is ${hex(entry.crc)}, of its bytes ${
      hex(crc)
    }`,
  );
}

const hex = (crc: number) => crc.toString(16).padStart(8, "0");

/**
 * The bytes of a deflated entry in pieces, inflated by the web's DecompressionStream. Never more than the entry says,
 * whose size the caller has judged; after the last one their CRC is compared.
 */
export async function* inflateEntry(
  source: ByteSource,
  entry: ZipEntry,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const title = shown(entry.name);
  let at = 0;
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const length = Math.min(PACKED, entry.stored - at);
      if (length === 0) return controller.close();
      controller.enqueue(source.readBytes(entry.start + at, length));
      at += length;
    },
  });
  let crc = 0, bytes = 0;
  try {
    for await (const piece of packed.pipeThrough(new DecompressionStream("deflate-raw"))) {
      bytes += piece.length;
      if (bytes > entry.bytes) {
        throw damaged(`entry ${title} inflates to more than the ${entry.bytes} bytes it claims`);
      }
      crc = crc32(piece, crc);
      yield piece;
    }
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw damaged(`entry ${title} cannot be inflated`);
  }
  if (bytes !== entry.bytes) {
    throw damaged(`entry ${title} inflates to ${bytes} bytes and claims ${entry.bytes}`);
  }
  checkCrc(entry, crc);
}

/** Deflated bytes become up to a thousand times as many: as few at a time as are worth a call. */
const PACKED = 16 * 1024;

// ---- writing ----

/** Where entries begin: a multiple of what every element size divides and PyTorch maps by. */
const ALIGNMENT = 64;
/** The extra field that makes room in front of an entry; PyTorch's own. */
const PADDING = 0x4246;
/** The first of January 1980, the earliest date there is, so that the same content gives the same bytes. */
const DATE = 0x21;

/** The format's versions that readers must know, with sizes past 4 GiB and without. */
const WITH_64 = 45, WITHOUT_64 = 20;

interface Written {
  readonly name: Uint8Array<ArrayBuffer>;
  readonly at: number;
  readonly bytes: number;
  readonly crc: number;
}

/** Fields one after the other, in a buffer that grows. */
class Fields {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  #room(count: number): number {
    const at = this.length, end = at + count;
    if (end > this.#bytes.length) {
      const wider = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      wider.set(this.#bytes);
      this.#bytes = wider;
      this.#view = new DataView(wider.buffer);
    }
    this.length = end;
    return at;
  }

  /** Numbers of 2 bytes. */
  two(...values: readonly number[]): this {
    const at = this.#room(2 * values.length);
    values.forEach((value, i) => this.#view.setUint16(at + 2 * i, value, true));
    return this;
  }

  /** Numbers of 4 bytes. */
  four(...values: readonly number[]): this {
    const at = this.#room(4 * values.length);
    values.forEach((value, i) => this.#view.setUint32(at + 4 * i, value, true));
    return this;
  }

  /** Numbers of 8 bytes. */
  eight(...values: readonly number[]): this {
    const at = this.#room(8 * values.length);
    values.forEach((value, i) => this.#view.setBigUint64(at + 8 * i, BigInt(value), true));
    return this;
  }

  bytes(values: Uint8Array): this {
    const at = this.#room(values.length);
    this.#bytes.set(values, at);
    return this;
  }

  zeros(count: number): this {
    this.#room(count);
    return this;
  }

  /** A copy of all, after which it begins anew. */
  take(): Uint8Array<ArrayBuffer> {
    const all = this.#bytes.slice(0, this.length);
    this.#bytes.fill(0, 0, this.length);
    this.length = 0;
    return all;
  }
}

/**
 * Writes an archive from front to back: entries stored as they are, each beginning on a multiple of 64, without dates.
 * CRCs follow the entries, so that each byte is looked at once.
 */
export class ZipWriter {
  readonly #put: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly #written: Written[] = [];
  readonly #fields = new Fields();
  #at = 0;

  /** `put` takes the archive's bytes in their order. */
  constructor(put: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#put = put;
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    this.#put(bytes);
    this.#at += bytes.length;
  }

  /** Writes an entry of so many bytes, which come in pieces. */
  add(name: string, bytes: number, pieces: Iterable<Uint8Array<ArrayBuffer>>): void {
    const encoded = new TextEncoder().encode(name), at = this.#at;
    const isLarge = bytes >= LARGE_4, size = isLarge ? LARGE_4 : 0, extra = isLarge ? 24 : 4;
    const gap = -(at + LOCAL_BYTES + encoded.length + extra) & (ALIGNMENT - 1);
    const head = this.#fields.four(LOCAL).two(isLarge ? WITH_64 : WITHOUT_64)
      .two(SIZES_FOLLOW | UTF8_NAME, STORED, 0, DATE).four(0, size, size)
      .two(encoded.length, extra + gap).bytes(encoded);
    if (isLarge) head.two(EXTRA_64, 16).eight(0, 0);
    this.#write(head.two(PADDING, gap).zeros(gap).take());
    const start = this.#at;
    let crc = 0;
    for (const piece of pieces) {
      crc = crc32(piece, crc);
      this.#write(piece);
    }
    if (this.#at - start !== bytes) {
      throw new CheckpointError(
        `Cannot write entry ${shown(name)}: it has ${this.#at - start} bytes in place of ${bytes}`,
      );
    }
    const tail = this.#fields.four(DESCRIPTOR, crc);
    this.#write((isLarge ? tail.eight(bytes, bytes) : tail.four(bytes, bytes)).take());
    this.#written.push({ name: encoded, at, bytes, crc });
  }

  /** Writes the directory. */
  finish(): void {
    const at = this.#at, entries = this.#written.length, directory = this.#fields;
    for (const { name, at, bytes, crc } of this.#written) {
      const isLarge = bytes >= LARGE_4, isFar = at >= LARGE_4;
      const large = [...isLarge ? [bytes, bytes] : [], ...isFar ? [at] : []];
      const version = large.length > 0 ? WITH_64 : WITHOUT_64, size = isLarge ? LARGE_4 : bytes;
      directory.four(CENTRAL).two(version, version, SIZES_FOLLOW | UTF8_NAME, STORED, 0, DATE)
        .four(crc, size, size)
        .two(name.length, large.length > 0 ? 4 + 8 * large.length : 0, 0, 0, 0)
        .four(0, isFar ? LARGE_4 : at).bytes(name);
      if (large.length > 0) directory.two(EXTRA_64, 8 * large.length).eight(...large);
    }
    const bytes = directory.length, end = at + bytes;
    if (at >= LARGE_4 || bytes >= LARGE_4 || entries >= LARGE_2) {
      directory.four(END_64).eight(END_64_BYTES - 12).two(WITH_64, WITH_64).four(0, 0)
        .eight(entries, entries, bytes, at);
      directory.four(LOCATOR_64, 0).eight(end).four(1);
    }
    const few = Math.min(entries, LARGE_2);
    directory.four(END).two(0, 0, few, few)
      .four(Math.min(bytes, LARGE_4), Math.min(at, LARGE_4)).two(0);
    this.#write(directory.take());
  }
}
