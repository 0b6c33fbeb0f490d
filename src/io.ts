/**
 * Streams: what memory can be filled from and emptied into without a copy in between.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode ReadVolatile}, {@linkcode WriteVolatile} | streams that know memory |
 * | {@linkcode ReaderSync}, {@linkcode WriterSync} | streams of Deno, such as `Deno.FsFile` |
 * | {@linkcode Cursor} | bytes in a buffer as a stream |
 *
 * @module
 */
import { GuestMemoryError } from "./guest_memory_error.ts";
import { IOError } from "./volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/** A source that fills memory. Mirrors the trait `ReadVolatile`. */
export interface ReadVolatile {
  /**
   * Reads once into memory, as `read(2)` does, and marks what it wrote dirty.
   *
   * @param slice The memory to fill.
   * @returns Bytes read; 0 at the end of the source.
   */
  readVolatile(slice: VolatileSlice): number;
  /**
   * Reads once into several pieces of memory, as `readv(2)` does. Where a source has it, a range
   * over several regions takes one call.
   *
   * @param slices The memory to fill, in order.
   * @returns Bytes read in all: a prefix.
   */
  readVectoredVolatile?(slices: readonly VolatileSlice[]): number;
}

/** A sink that takes memory. Mirrors the trait `WriteVolatile`. */
export interface WriteVolatile {
  /**
   * Writes once from memory, as `write(2)` does.
   *
   * @param slice The memory to write.
   * @returns Bytes written; 0 when the sink takes no more.
   */
  writeVolatile(slice: VolatileSlice): number;
  /**
   * Writes once from several pieces of memory, as `writev(2)` does.
   *
   * @param slices The memory to write, in order.
   * @returns Bytes written in all: a prefix.
   */
  writeVectoredVolatile?(slices: readonly VolatileSlice[]): number;
}

/** A source as Deno has them: `Deno.FsFile`, `Deno.stdin`. */
export interface ReaderSync {
  /** Reads once; `null` at the end. */
  readSync(buffer: Uint8Array): number | null;
}

/** A sink as Deno has them: `Deno.FsFile`, `Deno.stdout`. */
export interface WriterSync {
  /** Writes once. */
  writeSync(buffer: Uint8Array): number;
}

/** Whatever memory can be filled from. */
export type ReadSource = ReadVolatile | ReaderSync;

/** Whatever memory can be emptied into. */
export type WriteSink = WriteVolatile | WriterSync;

/**
 * Reads once from any source into memory, again where a signal interrupted.
 *
 * @param slice The memory.
 * @param source The source.
 * @param tell What to throw in place of an error.
 * @returns Bytes read: 0 at the end of the source.
 * @throws {IOError} The source failed. All of the slice is marked dirty then: how much was written
 * is not known.
 */
export function readInto(
  slice: VolatileSlice,
  source: ReadSource,
  tell: (error: unknown) => unknown = asIs,
): number {
  for (;;) {
    try {
      const count = knowsToRead(source) ? source.readVolatile(slice) : readView(slice, source);
      return checkCount(count, slice.len);
    } catch (error) {
      if (!isInterruption(error)) throw tell(toIOError(error));
    }
  }
}

/**
 * Writes once from memory to any sink, again where a signal interrupted.
 *
 * @param slice The memory.
 * @param sink The sink.
 * @param tell What to throw in place of an error.
 * @returns Bytes written.
 * @throws {IOError} The sink failed.
 */
export function writeFrom(
  slice: VolatileSlice,
  sink: WriteSink,
  tell: (error: unknown) => unknown = asIs,
): number {
  for (;;) {
    try {
      const count = knowsToWrite(sink)
        ? sink.writeVolatile(slice)
        : sink.writeSync(slice.readOnlyView());
      return checkCount(count, slice.len);
    } catch (error) {
      if (!isInterruption(error)) throw tell(toIOError(error));
    }
  }
}

// Optimised code loads a property faster than it finds out whether there is one.

function knowsToRead(source: ReadSource): source is ReadVolatile {
  return (source as Partial<ReadVolatile>).readVolatile !== undefined;
}

function knowsToWrite(sink: WriteSink): sink is WriteVolatile {
  return (sink as Partial<WriteVolatile>).writeVolatile !== undefined;
}

function readView(slice: VolatileSlice, source: ReaderSync): number {
  const view = slice.rawView();
  // What was written is not known when the source fails, or lies.
  let written = slice.len;
  try {
    return written = checkCount(source.readSync(view) ?? 0, slice.len);
  } catch (error) {
    if (isInterruption(error)) written = 0;
    throw error;
  } finally {
    slice.markDirty(0, written);
  }
}

/**
 * Reads once from a source into several slices, where the source can.
 *
 * @returns Bytes read, or `undefined` where it cannot.
 */
export function readVectored(
  slices: () => readonly VolatileSlice[],
  source: ReadSource,
): number | undefined {
  if (!("readVectoredVolatile" in source)) return undefined;
  const all = slices();
  return attempt(totalOf(all), () => all.length > 0 ? source.readVectoredVolatile!(all) : 0);
}

/**
 * Writes once from several slices to a sink, where the sink can.
 *
 * @returns Bytes written, or `undefined` where it cannot.
 */
export function writeVectored(
  slices: () => readonly VolatileSlice[],
  sink: WriteSink,
): number | undefined {
  if (!("writeVectoredVolatile" in sink)) return undefined;
  const all = slices();
  return attempt(totalOf(all), () => all.length > 0 ? sink.writeVectoredVolatile!(all) : 0);
}

function totalOf(slices: readonly VolatileSlice[]): number {
  return slices.reduce((total, { len }) => total + len, 0);
}

/** Fills all of a slice, in as many reads as it takes. */
export function readExactInto(slice: VolatileSlice, source: ReadSource): void {
  while (slice.len > 0) {
    const count = readInto(slice, source);
    if (count === 0) throw new IOError("UnexpectedEof");
    slice = slice.offset(count);
  }
}

/** Writes all of a slice, in as many writes as it takes. */
export function writeAllFrom(slice: VolatileSlice, sink: WriteSink): void {
  while (slice.len > 0) {
    const count = writeFrom(slice, sink);
    if (count === 0) throw new IOError("WriteZero");
    slice = slice.offset(count);
  }
}

// A stream is somebody else's code: it may be interrupted, fail in any way, and claim to have
// transferred more than it was given.

function isInterruption(error: unknown): boolean {
  // Deno's error, and that of Node's API and of system calls.
  return error instanceof Error &&
    (error.name === "Interrupted" || "code" in error && error.code === "EINTR");
}

function toIOError(error: unknown): unknown {
  return error instanceof GuestMemoryError ? error : new IOError("Other", { cause: error });
}

function asIs(error: unknown): unknown {
  return error;
}

function checkCount(count: number, limit: number): number {
  if (Number.isInteger(count) && count >= 0 && count <= limit) return count;
  throw new RangeError(`The stream reports ${count} bytes of ${limit}`);
}

// readInto and writeFrom have this written out: they serve every small transfer, and a closure each
// time shows there.
function attempt(limit: number, transfer: () => number): number {
  for (;;) {
    try {
      return checkCount(transfer(), limit);
    } catch (error) {
      if (!isInterruption(error)) throw toIOError(error);
    }
  }
}

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
    this.bytes = bytes;
    this.position = position;
  }

  /** Bytes from the position to the end. */
  get left(): number {
    const { bytes, position } = this;
    if (!(Number.isSafeInteger(position) && position >= 0)) {
      throw new RangeError(`Cannot go on at position ${position} of a buffer`);
    }
    return position < bytes.length ? bytes.length - position : 0;
  }

  /**
   * The bytes from the position on, without moving it.
   *
   * @param count How many at most.
   */
  next(count: number): Uint8Array {
    const { bytes, position } = this;
    const length = Math.min(count, this.left);
    return length === bytes.length ? bytes : bytes.subarray(position, position + length);
  }

  /** Moves the position on, and returns by how much. */
  advance(count: number): number {
    this.position += count;
    return count;
  }

  /** Copies the next bytes into memory. */
  readVolatile(slice: VolatileSlice): number {
    return this.advance(slice.write(this.next(slice.len), 0));
  }

  /** Copies memory over the next bytes. */
  writeVolatile(slice: VolatileSlice): number {
    return this.advance(slice.read(this.next(slice.len), 0));
  }
}

/** Whether a stream is a cursor that reads and writes as this module has it: no class of one's own. */
export function isCursor(stream: ReadSource | WriteSink): stream is Cursor {
  return stream.constructor === Cursor;
}

/** Whether a stream takes a range over several regions in one call. */
export function knowsVectors(stream: ReadSource | WriteSink): boolean {
  const { readVectoredVolatile, writeVectoredVolatile } = stream as Partial<
    ReadVolatile & WriteVolatile
  >;
  return readVectoredVolatile !== undefined || writeVectoredVolatile !== undefined;
}
