/**
 * A tensor's elements, row-major, as they stand in a file: in place where they lie so, else as copies of a few
 * megabytes at a time.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { read } from "../../ffi/library.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { inMode } from "../autograd.ts";
import { unscoped } from "../memory.ts";
import { copyOf } from "../ops/map.ts";
import { moved } from "../ops/transfer.ts";
import { empty, Tensor } from "../tensor.ts";

/** The most bytes of a copy. */
export const PIECE_BYTES: number = 16 * 2 ** 20;

/** A part of a tensor in memory. */
export interface Piece {
  /** Contiguous, on the CPU. */
  readonly tensor: Tensor;
  /** Whether it is a copy, which the next piece may overwrite. */
  readonly isCopy: boolean;
}

/** The pieces of a tensor, one after another. */
export function* piecesOf(tensor: Tensor): Generator<Piece> {
  const { pending } = tensor.storage;
  const lagging = tensor.numel > 0 && pending?.pieces?.(tensor, PIECE_BYTES) || null;
  if (lagging !== null) {
    for (const piece of lagging) {
      yield { tensor: unscoped(() => inMode(false, () => moved(piece, 0))), isCopy: true };
    }
    return;
  }
  if (tensor.storage.state !== 0) tensor.storage.settle("save");
  const { device } = tensor.storage;
  if (tensor.isContiguous() && device === 0) yield { tensor, isCopy: false };
  else {
    for (const part of split(tensor)) {
      const copy = unscoped(() =>
        inMode(false, () => device === 0 ? copyOf(part) : moved(part, 0))
      );
      yield { tensor: copy, isCopy: true };
      copy.dispose();
    }
  }
}

/** Bytes that pass through JavaScript at a time. */
const CHUNK = 4 * 2 ** 20;

/** The bytes of a tensor's elements in pieces, each of which is gone when the next one comes. */
export function* bytesOf(tensor: Tensor): Generator<Uint8Array<ArrayBuffer>> {
  const buffer = new Uint8Array(Math.min(CHUNK, tensor.numel * tensor.info.size));
  for (const { tensor: piece } of piecesOf(tensor)) {
    const { storage: { handle, byteOffset }, offset, numel, info: { size } } = piece;
    const start = byteOffset + offset * size, bytes = numel * size;
    for (let at = 0; at < bytes; at += CHUNK) {
      const part = buffer.subarray(0, Math.min(CHUNK, bytes - at));
      read(handle, start + at, part);
      yield part;
    }
  }
}

/** A copy that nobody else holds. */
export function copyOfPieces(tensor: Tensor): Tensor {
  return unscoped(() =>
    inMode(false, () => {
      const { info, shape } = tensor, whole = empty(shape, info);
      let at = 0;
      for (const { tensor: piece } of piecesOf(tensor)) {
        const place = new Tensor(whole.storage, info, piece.shape, piece.strides, at);
        if (piece.numel > 0) run("save", OP.copy, [place], [piece], [info.code]);
        at += piece.numel;
      }
      return whole;
    })
  );
}

/** Parts of a strided tensor, each no larger than a copy may be. */
function* split(t: Tensor): Generator<Tensor> {
  if (t.numel * t.info.size <= PIECE_BYTES) {
    yield t;
    return;
  }
  // The first dim that can be divided; those before it have one element.
  const dim = t.shape.findIndex((n) => n > 1);
  const half = t.shape[dim] >> 1;
  for (const [from, to] of [[0, half], [half, t.shape[dim]]]) {
    const shape = t.shape.with(dim, to - from);
    yield* split(
      new Tensor(t.storage, t.info, shape, t.strides, t.offset + from * t.strides[dim]),
    );
  }
}
