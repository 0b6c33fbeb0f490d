/**
 * File descriptors as streams.
 *
 * @module
 */
import { type IoVector, MAX_VECTORS, setVector, takeVector } from "../../../ffi/io.ts";
import { read, readAt, transferVector, write, writeAt } from "../../../ffi/io.ts";
import type { ReadVolatile, WriteVolatile } from "../../volatile/stream.ts";
import { checkCount, shown } from "../../text/argument.ts";
import type { VolatileSlice } from "../../volatile/volatile_slice.ts";
import { type Access, addressIn, locate, type Piece, pieceOf } from "./host_address.ts";

/**
 * A file descriptor as a stream: a file, a pipe, a socket, an eventfd. Data goes straight between
 * it and guest memory, in one system call for a range over several regions. Mirrors the
 * implementations of `ReadVolatile` and `WriteVolatile` for `OwnedFd` and `BorrowedFd`.
 *
 * A call blocks the thread if the descriptor blocks. A non-blocking one that is not ready throws
 * {@linkcode IOError}, with a {@linkcode SystemError} `EAGAIN` as its cause. The class does not
 * close the descriptor.
 *
 * @example
 * ```ts
 * import { Fd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 * import { closeSync, openSync } from "node:fs";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const fd = openSync("/dev/zero", "r");
 * memory.readExactVolatileFrom(GuestAddress(0), new Fd(fd), 0x1000);
 * closeSync(fd);
 * assertEquals(memory.read(new Uint8Array(16), GuestAddress(0)), 16);
 * ```
 */
export class Fd implements ReadVolatile, WriteVolatile {
  readonly #fd: number;
  /**
   * The position in the file of the next transfer, in bytes; the descriptor's position does not
   * change then (`preadv`, `pwritev`). `undefined`: at the descriptor's position.
   */
  position: number | undefined;

  /**
   * Makes a stream of a descriptor.
   *
   * @param fd The descriptor.
   * @param position Where to begin in the file; by default at the descriptor's position.
   * @throws {RangeError} One is not an integer from 0.
   */
  constructor(fd: number, position?: number) {
    if (!Number.isInteger(fd) || fd < 0 || fd >= 2 ** 31) {
      throw new RangeError(`Cannot use ${shown(fd)} as fd: not a file descriptor`);
    }
    if (position !== undefined && !(Number.isSafeInteger(position) && position >= 0)) {
      throw new RangeError(`Cannot begin at position ${shown(position)} of a file`);
    }
    this.#fd = fd;
    this.position = position;
  }

  /** The descriptor, from the constructor on. Closing it is up to the caller. */
  get fd(): number {
    return this.#fd;
  }

  /** Reads once: `read(2)`. Marks what was read dirty; if the call fails, the whole slice. */
  readVolatile(slice: VolatileSlice): number {
    const position = this.#position();
    const { len } = slice;
    const address = addressIn(slice, len, "write");
    let done;
    try {
      done = position === undefined
        ? read(this.#fd, address, len)
        : readAt(this.#fd, address, len, position);
    } catch (error) {
      slice.markDirty(0, len);
      throw error;
    }
    slice.markDirty(0, done);
    return this.#advance(position, done);
  }

  /** Writes once: `write(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    const position = this.#position();
    const { len } = slice;
    const address = addressIn(slice, len, "read");
    return position === undefined
      ? write(this.#fd, address, len)
      : this.#advance(position, writeAt(this.#fd, address, len, position));
  }

  /**
   * Reads once into several slices: `readv(2)`. Marks what was read dirty; if the call fails, all
   * slices, as it is not known how much was read.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const position = this.#position();
    const pieces = piecesOf(slices, "write");
    const vector = vectorOf(pieces, "write");
    let done = Infinity;
    try {
      done = transferVector("read", this.#fd, vector, pieces.length, position);
      return this.#advance(position, done);
    } finally {
      markAll(pieces, done);
    }
  }

  /** Writes once from several slices: `writev(2)`. */
  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const position = this.#position();
    const pieces = piecesOf(slices, "read");
    const vector = vectorOf(pieces, "read");
    return this.#advance(
      position,
      transferVector("write", this.#fd, vector, pieces.length, position),
    );
  }

  // Read once. Beyond 2^63 it would wrap to another one in the call.
  #position(): number | undefined {
    const { position } = this;
    if (position !== undefined) {
      checkCount(position, "position");
      if (!Number.isSafeInteger(position)) throw new RangeError(`Cannot use position ${position}`);
    }
    return position;
  }

  #advance(position: number | undefined, done: number): number {
    if (position !== undefined) this.position = position + done;
    return done;
  }
}

// Asks as many slices as one call takes.
function piecesOf(slices: readonly VolatileSlice[], access: Access): Piece[] {
  const pieces: Piece[] = [];
  const count = Math.min(slices.length, MAX_VECTORS);
  for (let i = 0; i < count; i++) pieces.push(pieceOf(slices[i]!, access));
  return pieces;
}

// The vector for the very next call.
function vectorOf(pieces: readonly Piece[], access: Access): IoVector {
  const vector = takeVector();
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i]!;
    setVector(vector, i, locate(piece, access), piece.length);
  }
  return vector;
}

// Marks what was read, each slice even if another one throws.
function markAll(pieces: readonly Piece[], done: number): void {
  let left = done;
  let first: { readonly error: unknown } | undefined;
  for (let i = 0; i < pieces.length; i++) {
    const { slice, length } = pieces[i]!;
    const marked = left < length ? left : length;
    left -= marked;
    try {
      slice.markDirty(0, marked);
    } catch (error) {
      first ??= { error };
    }
  }
  if (first !== undefined) throw first.error;
}
