/**
 * Streams: sources and sinks of memory, without a copy in between.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode ReadVolatile}, {@linkcode WriteVolatile} | streams that transfer slices |
 * | {@linkcode ReaderSync}, {@linkcode WriterSync} | streams of Deno, such as `Deno.FsFile` |
 *
 * @module
 */
import { GuestMemoryError } from "../error/guest_memory_error.ts";
import { IOError, type IOErrorKind } from "../error/volatile_memory_error.ts";
import { shown } from "../text/argument.ts";
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

/** Any source that memory can be filled from: a {@linkcode ReadVolatile} or one of Deno's. */
export type ByteSource = ReadVolatile | ReaderSync;

/** Any sink that memory can be written to: a {@linkcode WriteVolatile} or one of Deno's. */
export type ByteSink = WriteVolatile | WriterSync;

/**
 * Reads once from any source into memory. Retries when a signal interrupts.
 *
 * @param slice The memory.
 * @param source The source.
 * @returns Bytes read: 0 at the end of the source.
 * @throws {IOError} The source failed. A `ReaderSync` may have written any of the slice, so all of it is
 * marked dirty then; a `ReadVolatile` marks what it wrote itself.
 */
export function readInto(slice: VolatileSlice, source: ByteSource): number {
  for (let attempts = 1;; attempts++) {
    try {
      const count = isReadVolatile(source) ? source.readVolatile(slice) : readView(slice, source);
      return checkCount(count, slice.len);
    } catch (error) {
      ensureInterrupted(error, attempts);
    }
  }
}

/**
 * Writes once from memory to any sink. Retries when a signal interrupts.
 *
 * @param slice The memory.
 * @param sink The sink.
 * @returns Bytes written.
 * @throws {IOError} The sink failed.
 */
export function writeFrom(slice: VolatileSlice, sink: ByteSink): number {
  for (let attempts = 1;; attempts++) {
    try {
      const count = isWriteVolatile(sink)
        ? sink.writeVolatile(slice)
        : sink.writeSync(slice.readOnlyView());
      return checkCount(count, slice.len);
    } catch (error) {
      ensureInterrupted(error, attempts);
    }
  }
}

// `x.m !== undefined` is faster than `"m" in x` once optimised.

function isReadVolatile(source: ByteSource): source is ReadVolatile {
  return (source as Partial<ReadVolatile>).readVolatile !== undefined;
}

function isWriteVolatile(sink: ByteSink): sink is WriteVolatile {
  return (sink as Partial<WriteVolatile>).writeVolatile !== undefined;
}

/** A source that takes a range over several regions in one call. */
export type VectoredSource = Required<ReadVolatile>;

/** Whether a source takes a range over several regions in one call. */
export function isVectoredSource(source: ByteSource): source is VectoredSource {
  return (source as Partial<ReadVolatile>).readVectoredVolatile !== undefined;
}

/** A sink that takes a range over several regions in one call. */
export type VectoredSink = Required<WriteVolatile>;

/** Whether a sink takes a range over several regions in one call. */
export function isVectoredSink(sink: ByteSink): sink is VectoredSink {
  return (sink as Partial<WriteVolatile>).writeVectoredVolatile !== undefined;
}

function readView(slice: VolatileSlice, source: ReaderSync): number {
  slice.ensureAccessible("write");
  if (!slice.memory.canAccess(slice.start, slice.len)) return readCopy(slice, source);
  const view = slice.rawView();
  // How much was written is not known when the source fails, or returns a wrong count.
  let written = slice.len;
  try {
    written = checkCount(source.readSync(view) ?? 0, slice.len);
    // A source that closed the memory has written nothing to it.
    slice.ensureAccessible("write");
    return written;
  } catch (error) {
    if (isInterruption(error)) written = 0;
    throw error;
  } finally {
    slice.markDirty(0, written);
  }
}

// Memory that may be written but not read has no view.
function readCopy(slice: VolatileSlice, source: ReaderSync): number {
  const copy = new Uint8Array(slice.len);
  const count = checkCount(source.readSync(copy) ?? 0, slice.len);
  slice.writeSlice(copy.subarray(0, count), 0);
  return count;
}

/** Reads once from a source into several slices. */
export function readVectored(slices: readonly VolatileSlice[], source: VectoredSource): number {
  const total = totalLength(slices);
  for (let attempts = 1;; attempts++) {
    try {
      return checkCount(source.readVectoredVolatile(slices), total);
    } catch (error) {
      ensureInterrupted(error, attempts);
    }
  }
}

/** Writes once from several slices to a sink. */
export function writeVectored(slices: readonly VolatileSlice[], sink: VectoredSink): number {
  const total = totalLength(slices);
  for (let attempts = 1;; attempts++) {
    try {
      return checkCount(sink.writeVectoredVolatile(slices), total);
    } catch (error) {
      ensureInterrupted(error, attempts);
    }
  }
}

// The loop is written out four times: a frame that is left after a system call costs 20 ns, and a
// new closure for each small transfer would be measurable.
function totalLength(slices: readonly VolatileSlice[]): number {
  let total = 0;
  for (let i = 0; i < slices.length; i++) total += slices[i]!.len;
  return total;
}

/**
 * Transfers a range in as many steps as necessary.
 *
 * @param count Bytes of the range.
 * @param end The kind of error if a step transfers nothing.
 * @param step Transfers a part of the rest, which begins at an offset in the range.
 * @throws {IOError} A step transferred nothing.
 */
export function exactly(
  count: number,
  end: IOErrorKind,
  step: (offset: number, rest: number) => number,
): void {
  for (let offset = 0; offset < count;) {
    const done = step(offset, count - offset);
    if (done === 0) throw new IOError(end);
    offset += done;
  }
}

// A stream is the caller's code: it may be interrupted, fail in any way, and claim to have
// transferred more bytes than the slice has.

function isInterruption(error: unknown): boolean {
  // Deno's error, and that of Node's API and of system calls.
  return error instanceof Error &&
    (error.name === "Interrupted" || "code" in error && error.code === "EINTR");
}

// How often a call is retried while signals interrupt it.
const ATTEMPTS = 1000;

// Throws an error of a stream, unless it is an interruption and the call may be retried.
function ensureInterrupted(error: unknown, attempts: number): void {
  if (isInterruption(error) && attempts < ATTEMPTS) return;
  throw error instanceof GuestMemoryError ? error : new IOError("Other", { cause: error });
}

function checkCount(count: number, limit: number): number {
  if (Number.isInteger(count) && count >= 0 && count <= limit) return count;
  throw new RangeError(`Cannot believe a stream: it reports ${shown(count)} bytes of ${limit}`);
}
