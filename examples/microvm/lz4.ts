/**
 * Unpacks LZ4's legacy frames, which is how Linux packs its kernel (`lz4 -l`):
 * `lz4_Frame_format.md`, "Legacy frame", and `lz4_Block_format.md` of the LZ4 project.
 *
 * @module
 */
import { MicrovmError } from "./microvm_error.ts";

/** The first four bytes of a legacy frame, little-endian. */
const LZ4_LEGACY_MAGIC = 0x184c2102;
/** What a block is at most when it is unpacked. */
const BLOCK = 8 * 2 ** 20;
/** A match is so many bytes longer than its token says. */
const LEAST_MATCH = 4;

/**
 * Unpacks a frame.
 *
 * @param packed The frame, from its magic number on.
 * @param size Bytes that it unpacks to.
 * @throws {MicrovmError} It is broken, or unpacks to another size.
 */
export function unpackLz4(packed: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const unpacked = new Uint8Array(size);
  if (packed.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) throw broken(0);
  let [from, to] = [4, 0];
  while (to < size && from + 4 <= packed.length) {
    const length = view.getUint32(from, true);
    from += 4;
    if (length > packed.length - from) throw broken(from);
    const limit = Math.min(size, to + BLOCK);
    to = unpackBlock(packed.subarray(from, from + length), unpacked.subarray(0, limit), to);
    from += length;
  }
  if (to !== size) throw broken(from);
  return unpacked;
}

// A block is a row of sequences: a token, literals to copy, and a match, which is bytes that were
// unpacked already. The last sequence has no match.
function unpackBlock(block: Uint8Array, output: Uint8Array, start: number): number {
  let [from, to] = [0, start];
  // What follows a 15 in the token is added to it, up to the first byte that is not 255.
  const more = (length: number) => {
    let byte = length === 15 ? 255 : 0;
    while (byte === 255) {
      if (from >= block.length) throw broken(from);
      byte = block[from++]!;
      length += byte;
    }
    return length;
  };
  while (from < block.length) {
    const token = block[from++]!;
    const literals = more(token >>> 4);
    if (literals > block.length - from || literals > output.length - to) throw broken(from);
    output.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === block.length) break;
    if (from + 2 > block.length) throw broken(from);
    const distance = block[from]! | block[from + 1]! << 8;
    from += 2;
    const length = more(token & 15) + LEAST_MATCH;
    if (distance === 0 || distance > to - start || length > output.length - to) throw broken(from);
    if (distance >= length) output.copyWithin(to, to - distance, to - distance + length);
    else for (let i = 0; i < length; i++) output[to + i] = output[to + i - distance]!;
    to += length;
  }
  return to;
}

function broken(at: number): MicrovmError {
  return new MicrovmError(`cannot unpack LZ4 data: broken at byte ${at}`);
}
