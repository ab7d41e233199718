/** Zip archives that may lie. */
import { crc32, deflateRawSync } from "node:zlib";
import { join, utf8 } from "./bytes.ts";

/** An entry, and what its two headers claim where that is not the truth. */
export interface Entry {
  readonly name: string | Uint8Array;
  readonly bytes: Uint8Array;
  readonly local?: Partial<Fields>;
  readonly central?: Partial<Fields>;
  /** Deflates the bytes. */
  readonly deflate?: boolean;
}

/** What a header says of an entry. */
export interface Fields {
  flags: number;
  method: number;
  crc: number;
  stored: number;
  size: number;
  at: number;
  name: string;
}

/** What the records at the end claim. */
export interface End {
  entries?: number;
  bytes?: number;
  at?: number;
  after?: Uint8Array;
}

/** Numbers of 2, 4 or 8 bytes, low ones first. */
export function numbers(
  ...values: readonly (readonly [size: 2 | 4 | 8, value: number | bigint])[]
): Uint8Array {
  return join(...values.map(([size, value]) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
    return bytes.subarray(0, size);
  }));
}

/** An archive of entries as they are given, lies and all. */
export function zip(entries: readonly Entry[], end: End = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [], directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, bytes, local = {}, central = {}, deflate = false } of entries) {
    const data = deflate ? new Uint8Array(deflateRawSync(bytes)) : bytes;
    const own = typeof name === "string" ? utf8(name) : name;
    const truth = {
      flags: 1 << 11,
      method: deflate ? 8 : 0,
      crc: crc32(bytes),
      stored: data.length,
      size: bytes.length,
      at,
    };
    const near = { ...truth, ...local }, far = { ...truth, ...central };
    const nearName = local.name === undefined ? own : utf8(local.name);
    const head = join(
      numbers([4, 0x04034b50], [2, 20], [2, near.flags], [2, near.method], [4, 0]),
      numbers([4, near.crc], [4, near.stored], [4, near.size], [2, nearName.length], [2, 0]),
      nearName,
    );
    parts.push(join(head, data));
    at += head.length + data.length;
    directory.push(join(
      numbers([4, 0x02014b50], [2, 20], [2, 20], [2, far.flags], [2, far.method], [4, 0]),
      numbers([4, far.crc], [4, far.stored], [4, far.size], [2, own.length], [2, 0], [2, 0]),
      numbers([2, 0], [2, 0], [4, 0], [4, far.at]),
      own,
    ));
  }
  const list = join(...directory), count = end.entries ?? entries.length;
  return join(
    ...parts,
    list,
    numbers([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count]),
    numbers([4, end.bytes ?? list.length], [4, end.at ?? at], [2, 0]),
    end.after ?? new Uint8Array(0),
  );
}
