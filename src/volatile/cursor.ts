/**
 * Bytes in a buffer as a stream.
 *
 * @module
 */
import { byteLength, bytesOf } from "../host/bytes.ts";
import { checkCount, checkNumber, shown } from "../text/argument.ts";
import type { ByteSink, ByteSource, ReadVolatile, WriteVolatile } from "./stream.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * Bytes in a buffer as a stream that advances. Mirrors `std::io::Cursor`, `&[u8]` as a source and
 * `&mut [u8]` as a sink.
 *
 * @example
 * ```ts
 * import { Cursor, GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const source = new Cursor(Uint8Array.of(1, 2, 3, 4));
 * assertEquals(memory.readVolatileFrom(GuestAddress(0), source, 3), 3);
 * assertEquals(source.position, 3);
 * assertEquals(memory.readVolatileFrom(GuestAddress(3), source, 3), 1);
 * ```
 */
export class Cursor implements ReadVolatile, WriteVolatile {
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** Where the next read or write begins. */
  position: number;

  /**
   * Makes a stream of bytes.
   *
   * @param bytes The bytes to read, or to overwrite.
   * @param position Where to begin.
   */
  constructor(bytes: Uint8Array, position: number = 0) {
    checkNumber("position", position);
    this.bytes = bytes;
    this.position = position;
  }

  /** Bytes from the position to the end. */
  get remaining(): number {
    return remainingAt(this.position, byteLength(this.bytes));
  }

  /**
   * The bytes from the position, without moving it.
   *
   * @param count How many at most.
   */
  peek(count: number): Uint8Array {
    checkCount(count);
    return peek(this, count);
  }

  /** Advances the position, and returns by how much. */
  advance(count: number): number {
    checkCount(count);
    return advance(this, count);
  }

  /** Copies the next bytes into memory. */
  readVolatile(slice: VolatileSlice): number {
    return advance(this, slice.write(peek(this, slice.len), 0));
  }

  /** Copies memory over the next bytes. */
  writeVolatile(slice: VolatileSlice): number {
    return advance(this, slice.read(peek(this, slice.len), 0));
  }
}

const { readVolatile, writeVolatile } = Cursor.prototype;

/** Whether memory may copy from a source as from a cursor: its `readVolatile` is that of cursors. */
export function isCursorSource(source: ByteSource): source is Cursor {
  return (source as Cursor).readVolatile === readVolatile;
}

/** Whether memory may copy to a sink as to a cursor. */
export function isCursorSink(sink: ByteSink): sink is Cursor {
  return (sink as Cursor).writeVolatile === writeVolatile;
}

/**
 * The bytes of a cursor from its position, without moving it.
 *
 * @param cursor The cursor.
 * @param count How many at most.
 */
export function peek({ bytes, position }: Cursor, count: number): Uint8Array {
  const total = byteLength(bytes);
  if (position === 0 && total <= count) return bytes;
  const length = Math.min(count, remainingAt(position, total));
  return bytesOf(bytes, Math.min(position, total), length);
}

/** Advances a cursor, and returns by how much. */
export function advance(cursor: Cursor, count: number): number {
  cursor.position += count;
  return count;
}

function remainingAt(position: number, total: number): number {
  if (!(Number.isSafeInteger(position) && position >= 0)) {
    throw new RangeError(`Cannot continue at position ${shown(position)} of a buffer`);
  }
  return position < total ? total - position : 0;
}
