/**
 * The streams that a trace reads memory from and writes it to.
 *
 * @module
 */
import { type ByteSource, Cursor, Fd, SystemError } from "@vmm/guest-memory";
import type { ByteSink, VolatileSlice } from "@vmm/guest-memory";
import { available, open, openFile, pipe, put, take } from "../support/posix.ts";
import { digest, pattern, untouched } from "./pattern.ts";
import { type Json, type JsonObject, listOf, numberOf, textOf } from "./trace.ts";

/** A stream, and what a trace records of it after the operation. */
export interface Stream<S> extends Disposable {
  readonly stream: S;
  /** `used` of a source, `sink` of a sink; nothing for some devices. */
  record(): JsonObject;
}

/** The errno of a call that a signal interrupted. */
export const EINTR = 4;

/** Makes a source as it is specified. */
export function makeSource(spec: Json | undefined): Stream<ByteSource> {
  const [kind, seedOrNone, lengthOrSteps, position] = listOf(spec);
  const seed = () => numberOf(seedOrNone);
  const content = () => pattern(seed(), numberOf(lengthOrSteps));
  switch (textOf(kind)) {
    case "bytes":
      return cursorSource(new Cursor(content()));
    case "cursor":
      return cursorSource(new Cursor(content(), numberOf(position)));
    case "chunks":
      return chunkSource(seed(), listOf(lengthOrSteps).map(numberOf));
    case "file": {
      const file = openFile(content());
      take(file.fd, numberOf(position));
      return over(file, file.fd, () => ({ used: file.position }));
    }
    case "pipe":
      return pipeSource(content(), false);
    case "openPipe":
      return pipeSource(content(), true);
    case "zero": {
      const device = open("/dev/zero", "r");
      return over(device, device.fd);
    }
    case "unreadable": {
      const ends = pipe();
      return over(ends, ends.writer);
    }
    default:
      throw new TypeError(`Cannot read the trace: there is no source ${kind}`);
  }
}

/** Makes a sink as it is specified. */
export function makeSink(spec: Json | undefined): Stream<ByteSink> {
  const [kind, lengthOrSteps, position] = listOf(spec);
  switch (textOf(kind)) {
    case "bytes":
      return cursorSink(new Cursor(untouched(numberOf(lengthOrSteps))));
    case "cursor":
      return cursorSink(new Cursor(untouched(numberOf(lengthOrSteps)), numberOf(position)));
    case "vec":
      return chunkSink([Infinity]);
    case "chunks":
      return chunkSink(listOf(lengthOrSteps).map(numberOf));
    case "file": {
      const file = openFile(new Uint8Array());
      return over(file, file.fd, () => ({ sink: digest(file.content) }));
    }
    case "full": {
      const device = open("/dev/full", "w");
      return over(device, device.fd);
    }
    case "brokenPipe": {
      const ends = pipe();
      ends.closeReader();
      return over(ends, ends.writer);
    }
    case "unwritable": {
      const ends = pipe();
      return over(ends, ends.reader);
    }
    default:
      throw new TypeError(`Cannot read the trace: there is no sink ${kind}`);
  }
}

// A descriptor as a stream, closed with what it belongs to.
function over(owner: Disposable, fd: number, record: () => JsonObject = () => ({})): Stream<Fd> {
  return { stream: new Fd(fd), record, [Symbol.dispose]: () => owner[Symbol.dispose]() };
}

function inMemory<S>(stream: S, record: () => JsonObject): Stream<S> {
  return { stream, record, [Symbol.dispose]: () => {} };
}

function cursorSource(cursor: Cursor): Stream<ByteSource> {
  return inMemory(cursor, () => ({ used: cursor.position }));
}

function cursorSink(cursor: Cursor): Stream<ByteSink> {
  return inMemory(cursor, () => ({ sink: digest(cursor.bytes) }));
}

function pipeSource(content: Uint8Array<ArrayBuffer>, staysOpen: boolean): Stream<ByteSource> {
  const ends = pipe({ blocking: false });
  put(ends.writer, content);
  if (!staysOpen) ends.closeWriter();
  return over(ends, ends.reader, () => ({ used: content.length - available(ends.reader) }));
}

/** What a scripted stream does, call by call. */
export class Script {
  readonly #steps: number[];

  /**
   * Begins a script.
   *
   * @param steps The sizes of chunks, and negative errnos.
   */
  constructor(steps: readonly number[]) {
    this.#steps = [...steps];
  }

  /** The bytes of the next call, which asks for so many, or a negative errno. */
  next(asked: number): number {
    const step = this.#steps[0] ?? 0;
    const count = Math.min(asked, step);
    if (count === step) this.#steps.shift();
    else this.#steps[0] = step - count;
    return count;
  }
}

// Streams have two forms: those that know memory, and those of bytes, as Deno's are. Scripts are
// played by both. The second form says nothing of how much it wrote before it failed, so all of the
// slice is dirty then, other than in the crate: a source that fails has the first form.
function chunkSource(seed: number, steps: readonly number[]): Stream<ByteSource> {
  const script = new Script(steps);
  let used = 0;
  const give = (asked: number) => {
    const count = countOf(script.next(asked));
    used += count;
    return pattern(seed, count, used - count);
  };
  const fails = steps.some((step) => step < 0 && step !== -EINTR);
  const source: ByteSource = seed % 2 === 0 || fails
    ? { readVolatile: (slice) => slice.write(give(slice.len), 0) }
    : {
      readSync(buffer) {
        const bytes = give(buffer.length);
        buffer.set(bytes);
        return bytes.length === 0 ? null : bytes.length;
      },
    };
  return inMemory(source, () => ({ used }));
}

function chunkSink(steps: readonly number[]): Stream<ByteSink> {
  const script = new Script(steps);
  const taken: number[] = [];
  const take = (bytes: Uint8Array) => {
    const count = countOf(script.next(bytes.length));
    for (const byte of bytes.subarray(0, count)) taken.push(byte);
    return count;
  };
  const sink: ByteSink = steps.length % 2 === 0
    ? { writeSync: take }
    : { writeVolatile: (slice) => take(copyOf(slice)) };
  return inMemory(sink, () => ({ sink: digest(Uint8Array.from(taken)) }));
}

function copyOf(slice: VolatileSlice): Uint8Array {
  const bytes = new Uint8Array(slice.len);
  slice.readSlice(bytes, 0);
  return bytes;
}

// What a script said, thrown if it is an errno.
function countOf(next: number): number {
  if (next >= 0) return next;
  if (next === -EINTR) throw new Deno.errors.Interrupted("by the script");
  throw new SystemError("stream", -next, `errno ${-next}`);
}
