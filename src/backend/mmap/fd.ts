/**
 * File descriptors as streams.
 *
 * @module
 */
import { descriptorOf, type OpenFile } from "../../../ffi/descriptor_of.ts";
import { syncFile } from "../../../ffi/file_space.ts";
import { type IoVector, MAX_VECTORS, setVector, takeVector } from "../../../ffi/io.ts";
import { read, readAt, transferVector, write, writeAt } from "../../../ffi/io.ts";
import { libc } from "../../../ffi/libc.ts";
import type { ReadVolatile, WriteVolatile } from "../../volatile/stream.ts";
import { shown } from "../../text/argument.ts";
import type { VolatileSlice } from "../../volatile/volatile_slice.ts";
import { type Access, addressIn, locate, type Piece, pieceOf } from "./host_address.ts";
import { checkDescriptor } from "./owned_descriptor.ts";

/**
 * An open file or a descriptor as a stream: a file, a pipe, a socket, an eventfd. Data goes straight between
 * it and guest memory, in one system call for a range over several regions. Mirrors the
 * implementations of `ReadVolatile` and `WriteVolatile` for `OwnedFd` and `BorrowedFd`.
 *
 * Transfers are at the descriptor's own position, which they move on. {@linkcode Fd.at} transfers at
 * any position of a file.
 *
 * A `Deno.FsFile` and a `FileHandle` of `node:fs/promises` are taken too: the stream is one of their
 * descriptor, and shares its position. The same file as a `Deno.FsFile` works without this class,
 * with one copy more.
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
  // Keeps it from being closed at garbage collection.
  readonly #file: OpenFile;

  /**
   * Makes a stream of an open file.
   *
   * @param file The file, or a descriptor.
   * @throws {RangeError} The descriptor is not an integer from 0.
   * @throws {TypeError} That of a `Deno.FsFile` cannot be found, as {@linkcode FileOffset} says.
   * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
   */
  constructor(file: OpenFile) {
    this.#fd = usableDescriptor(file);
    this.#file = file;
  }

  /** The given file. */
  get file(): OpenFile {
    return this.#file;
  }

  /** The descriptor, from the constructor on. Closing it is up to the caller. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * A stream of the same file from a position on, cheap enough to be made for each request of a
   * device. The descriptor's own position counts for nothing there, and does not change.
   *
   * @param position Where the first transfer begins in the file, in bytes.
   * @throws {RangeError} It is not an integer in [0, 2^53).
   *
   * @example A request of a disk
   * ```ts
   * import { Fd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
   * import { closeSync, openSync } from "node:fs";
   *
   * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x2000]]);
   * const fd = openSync("/dev/zero", "r");
   * const file = new Fd(fd);
   * const sector = 8;
   * memory.readExactVolatileFrom(GuestAddress(0x1000), file.at(sector * 512), 0x1000);
   * closeSync(fd);
   * ```
   */
  at(position: number): PositionedFd {
    return new PositionedFd(this, position);
  }

  /**
   * Waits until the storage has what was written, and what it takes to read it again:
   * `fdatasync(2)`. It blocks the thread.
   *
   * @throws {SystemError} The call failed: `EINVAL` where the descriptor is no file.
   */
  sync(): void {
    syncFile(this.#fd);
  }

  /** Reads once: `read(2)`. Marks what was read dirty; if the call fails, the whole slice. */
  readVolatile(slice: VolatileSlice): number {
    const { len } = slice;
    const address = addressIn(slice, len, "write");
    let done;
    try {
      done = read(this.#fd, address, len);
    } catch (error) {
      slice.markDirty(0, len);
      throw error;
    }
    slice.markDirty(0, done);
    return done;
  }

  /** Writes once: `write(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    const { len } = slice;
    return write(this.#fd, addressIn(slice, len, "read"), len);
  }

  /**
   * Reads once into several slices: `readv(2)`. Marks what was read dirty; if the call fails, all
   * slices, as it is not known how much was read.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return readVector(this.#fd, slices, undefined);
  }

  /** Writes once from several slices: `writev(2)`. */
  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return writeVector(this.#fd, slices, undefined);
  }
}

/**
 * A file as a stream that has a position of its own, which each transfer moves on by the bytes that
 * it transferred: `preadv(2)`, `pwritev(2)`. Made by {@linkcode Fd.at}.
 *
 * @example
 * ```ts
 * import { Fd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 * import { closeSync, openSync } from "node:fs";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.writeTextFileSync(path, "header, data");
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const fd = openSync(path, "r");
 * const data = new Fd(fd).at(8);
 * assertEquals(memory.readVolatileFrom(GuestAddress(0), data, 0x1000), 4);
 * assertEquals(data.position, 12);
 * closeSync(fd);
 * Deno.removeSync(path);
 * ```
 */
export class PositionedFd implements ReadVolatile, WriteVolatile {
  readonly #fd: number;
  readonly #file: OpenFile;
  #position: number;

  /**
   * Makes a stream of a file, from a position on.
   *
   * @param file The file, or its descriptor.
   * @param position Where the first transfer begins in the file, in bytes.
   * @throws {RangeError} One is not an integer from 0, or the position is 2^53 or more.
   * @throws {TypeError} The descriptor of a `Deno.FsFile` cannot be found.
   * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
   */
  constructor(file: OpenFile, position: number) {
    this.#fd = usableDescriptor(file);
    this.#file = file;
    this.#position = checkPosition(position);
  }

  /** The given file. */
  get file(): OpenFile {
    return this.#file;
  }

  /** The descriptor. Closing it is up to the caller. */
  get fd(): number {
    return this.#fd;
  }

  /** Where the next transfer begins in the file, in bytes. */
  get position(): number {
    return this.#position;
  }

  /** Reads once: `pread(2)`. Marks what was read dirty; if the call fails, the whole slice. */
  readVolatile(slice: VolatileSlice): number {
    // First, as the caller's code that runs next may transfer too.
    const position = checkPosition(this.#position);
    const { len } = slice;
    const address = addressIn(slice, len, "write");
    let done;
    try {
      done = readAt(this.#fd, address, len, position);
    } catch (error) {
      slice.markDirty(0, len);
      throw error;
    }
    slice.markDirty(0, done);
    return this.#advance(position, done);
  }

  /** Writes once: `pwrite(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    const position = checkPosition(this.#position);
    const { len } = slice;
    const address = addressIn(slice, len, "read");
    return this.#advance(position, writeAt(this.#fd, address, len, position));
  }

  /**
   * Reads once into several slices: `preadv(2)`. Marks what was read dirty; if the call fails, all
   * slices, as it is not known how much was read.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const position = checkPosition(this.#position);
    return this.#advance(position, readVector(this.#fd, slices, position));
  }

  /** Writes once from several slices: `pwritev(2)`. */
  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const position = checkPosition(this.#position);
    return this.#advance(position, writeVector(this.#fd, slices, position));
  }

  #advance(position: number, done: number): number {
    this.#position = position + done;
    return done;
  }
}

// Without FFI it fails here: the error of a transfer would be an IOError, for any reason.
function usableDescriptor(file: OpenFile): number {
  libc();
  return checkDescriptor(descriptorOf(file));
}

function checkPosition(position: number): number {
  if (Number.isSafeInteger(position) && position >= 0) return position;
  throw new RangeError(`Cannot use ${shown(position)} as position of a file: not in [0, 2^53)`);
}

function readVector(
  fd: number,
  slices: readonly VolatileSlice[],
  position: number | undefined,
): number {
  const pieces = piecesOf(slices, "write");
  const vector = vectorOf(pieces, "write");
  let done = Infinity;
  try {
    return done = transferVector("read", fd, vector, pieces.length, position);
  } finally {
    markAll(pieces, done);
  }
}

function writeVector(
  fd: number,
  slices: readonly VolatileSlice[],
  position: number | undefined,
): number {
  const pieces = piecesOf(slices, "read");
  return transferVector("write", fd, vectorOf(pieces, "read"), pieces.length, position);
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
