/**
 * The one way bytes move between two buffers.
 *
 * `TypedArray.prototype.set` is a memmove, but its cost is in the call and in making the subarray
 * that names its source: some 25 ns, whatever the length. Below {@linkcode LOOP_LIMIT} a loop over
 * 64-bit elements beats it where both sides are aligned to 8 bytes, and below
 * {@linkcode BYTE_LOOP_LIMIT} a loop over bytes does (`bench/copy_bench.ts`).
 *
 * @module
 */

/** Bytes to copy from or to, with the views that copying takes. */
export interface CopySide {
  /** The bytes. */
  readonly u8: Uint8Array;
  /** The same bytes as 64-bit words, from the same start; `undefined` where they are not aligned. */
  readonly u64: BigUint64Array | undefined;
  /** The buffer they lie in. */
  readonly buffer: ArrayBufferLike | undefined;
  /** Where they begin in it. */
  readonly byteOffset: number;
}

const LOOP_LIMIT = 256;
const BYTE_LOOP_LIMIT = 16;
// Offsets that a shift divides; V8 calculates with larger ones in floating point.
const INDEX_LIMIT = 2 ** 32;
// A source that is copied whole needs no subarray: above this, set is the fastest then.
const WHOLE_LIMIT = 128;

/**
 * Copies bytes. The ranges are in bounds; they may overlap.
 *
 * @param to Where to copy to.
 * @param at The offset there.
 * @param from Where to copy from.
 * @param offset The offset there.
 * @param count Bytes.
 */
export function copyBytes(
  to: CopySide,
  at: number,
  from: CopySide,
  offset: number,
  count: number,
): void {
  // A loop forward is no memmove: in one buffer the ranges may overlap.
  const source = from.u8;
  if (count === source.length && count > WHOLE_LIMIT) {
    to.u8.set(source, at);
    return;
  }
  const known = to.buffer !== undefined && from.buffer !== undefined;
  if (count <= LOOP_LIMIT && known && to.buffer !== from.buffer) {
    const words = from.u64;
    const target = to.u64;
    const aligned = ((at | offset | count) & 7) === 0 && at < INDEX_LIMIT && offset < INDEX_LIMIT;
    if (aligned && words !== undefined && target !== undefined) {
      copyWords(target, at >>> 3, words, offset >>> 3, count >>> 3);
      return;
    }
    if (count <= BYTE_LOOP_LIMIT) {
      copyFew(to.u8, at, source, offset, count);
      return;
    }
  }
  to.u8.set(partOf(from, offset, count), at);
}

// Part of a side. Where the buffer is at hand, its constructor makes it in two thirds of the time of
// subarray(). Offsets above 2^31 are heap numbers when they are passed on; below, they need not be.
function partOf({ u8, buffer, byteOffset }: CopySide, offset: number, count: number): Uint8Array {
  if (buffer === undefined) return u8.subarray(offset, offset + count);
  const first = byteOffset + offset;
  return first < 2 ** 31
    ? new Uint8Array(buffer, first | 0, count | 0)
    : new Uint8Array(buffer, first, count);
}

function copyFew(to: Uint8Array, at: number, from: Uint8Array, first: number, count: number): void {
  const end = at + count;
  while (at < end) {
    to[at] = from[first]!;
    at++;
    first++;
  }
}

function copyWords(
  to: BigUint64Array,
  at: number,
  from: BigUint64Array,
  first: number,
  count: number,
): void {
  const end = at + count;
  while (at < end) {
    to[at] = from[first]!;
    at++;
    first++;
  }
}

let recent: CallerBuffer | undefined;

/**
 * A buffer of the caller's as a side of a copy.
 *
 * The last one is remembered, and given its 64-bit view when it comes a second time: programs pass
 * the same buffer again and again, and making a view for one use costs more than it saves.
 */
export function callerBuffer(bytes: Uint8Array): CopySide {
  if (recent !== undefined && recent.u8 === bytes) {
    if (!recent.seenTwice) recent.addWords();
    return recent;
  }
  return recent = new CallerBuffer(bytes);
}

// Memory that a buffer keeps alive by being remembered here.
const REMEMBERED_LIMIT = 65_536;

class CallerBuffer implements CopySide {
  readonly u8: Uint8Array;
  u64: BigUint64Array | undefined = undefined;
  buffer: ArrayBufferLike | undefined = undefined;
  byteOffset = 0;
  seenTwice = false;

  constructor(bytes: Uint8Array) {
    this.u8 = bytes;
  }

  addWords(): void {
    const { buffer, byteOffset, byteLength } = this.u8;
    this.seenTwice = true;
    // A view over a buffer that can shrink would lose writes.
    const fixed = buffer instanceof ArrayBuffer ? !buffer.resizable : !buffer.growable;
    if (byteOffset % 8 !== 0 || !fixed || buffer.byteLength > REMEMBERED_LIMIT) return;
    this.buffer = buffer;
    this.byteOffset = byteOffset;
    this.u64 = new BigUint64Array(buffer, byteOffset, Math.floor(byteLength / 8));
  }
}
