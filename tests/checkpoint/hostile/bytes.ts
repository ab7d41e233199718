/** What hostile files are made of. */

/** One file, or a folder of files of which the first is inspected. */
export interface Hostile {
  /** What is wrong with it, in a few words; unique. */
  readonly name: string;
  /** How its name ends: `.safetensors`, `.pth`, `.npz`. */
  readonly ending: string;
  /** Its bytes. */
  bytes(): Uint8Array;
  /** Files that lie beside it, by name. */
  readonly beside?: Readonly<Record<string, () => Uint8Array>>;
  /** What the refusal's text must contain; null where the file is legal. */
  readonly refused: string | RegExp | null;
}

/** A text as UTF-8. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Pieces one after the other. */
export function join(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** An integer of eight bytes, low ones first. */
export function u64(value: number | bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return bytes;
}
