/**
 * What the tests of dirty marks write.
 *
 * @module
 */
import { type ByteValued, type ReaderSync, struct, u16, u32, u8 } from "../../mod.ts";

/** A value with padding. */
export const Padded: ByteValued<{ kind: number; value: number; flags: number }> = struct({
  kind: u8,
  value: u32,
  flags: u16,
});

/** Writes its first half and throws. */
export const broken: ByteValued<number> = {
  byteLength: 8,
  alignment: 4,
  read: () => 0,
  write(memory, offset, value) {
    u32.write(memory, offset, value);
    throw new TypeError("Cannot write the second half");
  },
};

/** Bytes that are all 7. */
export function sevens(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).fill(7);
}

/** A stream of sevens that gives so many at a time. */
export function inPieces(piece: number): ReaderSync {
  return { readSync: (buf) => buf.subarray(0, piece).fill(7).length };
}
