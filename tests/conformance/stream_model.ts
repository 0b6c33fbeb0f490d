/**
 * What a transfer between memory and a stream has to come to by this library's rules, worked out from
 * the stream's specification alone: for the places where the crate has other rules.
 *
 * The rules: a transfer ends at the first read or write that is short, so that what was transferred is
 * a prefix; an exact one continues until it is done, or the stream or the memory ends. A file descriptor
 * is given the whole range in one call, other streams are given it region by region.
 *
 * @module
 */
import { digest, pattern, untouched } from "./pattern.ts";
import { EINTR, Script } from "./streams.ts";
import { methodOf } from "./difference.ts";
import { integer, type Json, type JsonObject, listOf, numberOf } from "./trace.ts";
import type { Operation } from "./trace.ts";
import type { Piece } from "./world.ts";

/** A transfer that is asked for. */
export interface Transfer {
  /** Bytes that are asked for. */
  readonly count: number;
  /** Bytes of the range in each region, up to a hole. */
  readonly parts: readonly number[];
  readonly exact: boolean;
  /** Whether the range is one of a memory, and not of one region or slice. */
  readonly spansRegions: boolean;
}

/** The transfer of an operation over some stretches of memory. */
export function transferOf(operation: Operation, pieces: readonly Piece[]): Transfer {
  return {
    count: numberOf(operation.args.at(-1)),
    parts: pieces.map((piece) => piece.length),
    exact: methodOf(operation) === "read_exact_volatile_from",
    spansRegions: operation.name.startsWith("m.") || operation.name.startsWith("v."),
  };
}

/** What comes into memory from a source. */
export interface Arrival {
  readonly outcome: JsonObject;
  /** What arrives, from the start of the range on. */
  readonly bytes: Uint8Array;
  /** How many bytes from the start of the range are marked dirty. */
  readonly marked: number;
}

const EBADF = 9;
const EAGAIN = 11;
const ENOSPC = 28;
const EPIPE = 32;

/** Takes or gives up to so many bytes. Returns how many it did, or a negative errno. */
type Call = (asked: number) => number;

/** What `read_volatile_from` comes to, or its exact form. */
export function arrival(spec: Json | undefined, transfer: Transfer): Arrival {
  const [kind, seed, , position] = listOf(spec);
  const { done, errno } = carryOut(sourceCall(spec), isDescriptor(spec), transfer);
  const start = position === undefined ? 0 : numberOf(position);
  return {
    outcome: { ...readOutcome(transfer, done, errno), ...used(spec, done) },
    bytes: kind === "zero" ? new Uint8Array(done) : pattern(numberOf(seed ?? 0), done, start),
    // How much a descriptor wrote before it failed is not known: all that it was given is dirty.
    marked: errno !== undefined && isDescriptor(spec) ? total(transfer) : done,
  };
}

/**
 * What `write_volatile_to` comes to.
 *
 * @param content The first so many bytes of the range.
 */
export function departure(
  spec: Json | undefined,
  transfer: Transfer,
  content: (length: number) => Uint8Array,
): JsonObject {
  const { done, errno } = carryOut(sinkCall(spec), isDescriptor(spec), transfer);
  const outcome: JsonObject = errno === undefined ? { ok: done } : { err: "IOError", errno };
  return { ...outcome, ...sunk(spec, content(done)) };
}

function carryOut(call: Call, atOnce: boolean, transfer: Transfer): {
  readonly done: number;
  readonly errno: number | undefined;
} {
  let done = 0;
  for (;;) {
    const before = done;
    const left = partsFrom(transfer, done);
    for (const asked of atOnce && left.length > 0 ? [total(transfer) - done] : left) {
      const count = call(asked);
      if (count < 0) return { done, errno: -count };
      done += count;
      if (count < asked) break;
    }
    const ended = done === before || done === total(transfer);
    if (ended || !transfer.exact) return { done, errno: undefined };
  }
}

function total({ parts }: Transfer): number {
  return parts.reduce((sum, part) => sum + part, 0);
}

// What is left of each part when the first so many bytes are done.
function partsFrom({ parts }: Transfer, done: number): number[] {
  const left: number[] = [];
  for (const part of parts) {
    if (part > done) left.push(part - done);
    done = Math.max(done - part, 0);
  }
  return left;
}

function readOutcome(
  { count, exact, spansRegions }: Transfer,
  done: number,
  errno: number | undefined,
): JsonObject {
  if (errno !== undefined) return { err: "IOError", errno };
  if (!exact) return { ok: done };
  if (done === count) return { ok: null };
  return spansRegions
    ? { err: "PartialBuffer", expected: integer(count), completed: done }
    : { err: "IOError", kind: "UnexpectedEof" };
}

/** What a trace records of a source that so many bytes were taken of. */
export function used(spec: Json | undefined, done: number): JsonObject {
  const [kind, , , position] = listOf(spec);
  if (kind === "zero" || kind === "unreadable") return {};
  return { used: (position === undefined ? 0 : numberOf(position)) + done };
}

/** What a trace records of a sink that so many bytes were given to. */
export function sunk(spec: Json | undefined, bytes: Uint8Array): JsonObject {
  const [kind, length, position] = listOf(spec);
  switch (kind) {
    case "full":
    case "brokenPipe":
    case "unwritable":
      return {};
    case "bytes":
    case "cursor": {
      const buffer = untouched(numberOf(length));
      if (bytes.length > 0) buffer.set(bytes, position === undefined ? 0 : numberOf(position));
      return { sink: digest(buffer) };
    }
    default:
      return { sink: digest(bytes) };
  }
}

function isDescriptor(spec: Json | undefined): boolean {
  return !["bytes", "cursor", "chunks", "vec"].includes(String(listOf(spec)[0]));
}

function sourceCall(spec: Json | undefined): Call {
  const [kind, , sizeOrSteps, position] = listOf(spec);
  const size = () => numberOf(sizeOrSteps);
  switch (kind) {
    case "chunks":
      return scripted(listOf(sizeOrSteps));
    case "cursor":
    case "file":
      return limited(Math.max(size() - numberOf(position), 0));
    case "openPipe":
      return limited(size(), -EAGAIN);
    case "zero":
      return limited(Infinity);
    case "unreadable":
      return limited(0, -EBADF);
    default:
      return limited(size());
  }
}

function sinkCall(spec: Json | undefined): Call {
  const [kind, sizeOrSteps, position] = listOf(spec);
  switch (kind) {
    case "chunks":
      return scripted(listOf(sizeOrSteps));
    case "bytes":
      return limited(numberOf(sizeOrSteps));
    case "cursor":
      return limited(Math.max(numberOf(sizeOrSteps) - numberOf(position), 0));
    case "full":
      return limited(0, -ENOSPC);
    case "brokenPipe":
      return limited(0, -EPIPE);
    case "unwritable":
      return limited(0, -EBADF);
    default:
      return limited(Infinity);
  }
}

function limited(left: number, atEnd: number = 0): Call {
  return (asked) => {
    if (left === 0) return atEnd;
    const count = Math.min(asked, left);
    left -= count;
    return count;
  };
}

function scripted(steps: readonly Json[]): Call {
  // An interrupted call is made again, so the script is as good as one without interruptions.
  const script = new Script(steps.map(numberOf).filter((step) => step !== -EINTR));
  return (asked) => script.next(asked);
}
