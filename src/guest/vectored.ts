/**
 * Transfers between a stream and several ranges of guest memory: the segments of a device's request.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import { ensureAll, IOError, type IOErrorKind, Overflow } from "../error/volatile_memory_error.ts";
import { Permissions } from "../permissions.ts";
import { checkAddress, checkCount, wrongKind } from "../text/argument.ts";
import { type ByteSink, type ByteSource, isVectoredSink } from "../volatile/stream.ts";
import { isVectoredSource, readInto, readVectored } from "../volatile/stream.ts";
import { writeFrom, writeVectored } from "../volatile/stream.ts";
import { VolatileSlice } from "../volatile/volatile_slice.ts";
import { sliceOf } from "./access.ts";
import type { HostRanges } from "./host_range.ts";
import type { IoMemory } from "./io_memory.ts";

/** Where a range of guest memory begins, and its bytes. */
export type GuestRange = readonly [addr: GuestAddress, length: number];

/** A piece of memory that is not host memory, or may only be accessed by asking its region. */
interface Elsewhere {
  readonly addr: GuestAddress;
  readonly len: number;
}

type Piece = VolatileSlice | Elsewhere;

// A collection's table of host ranges, with which a range in one region takes no access.
let hostRangesOf: (memory: IoMemory) => HostRanges | undefined = () => undefined;

/** Installs what gives the table of a memory that has one. */
export function setHostRangesOf(get: (memory: IoMemory) => HostRanges | undefined): void {
  hostRangesOf = get;
}

/** The pieces of memory that some ranges consist of, in order, up to the first hole. */
class Pieces {
  /** Bytes of all ranges. */
  readonly total: number;
  /** Bytes up to the first hole. */
  readonly reached: number;
  #list: Piece[] = [];
  #areSlices = true;

  /** Reads each range once. */
  constructor(memory: IoMemory, ranges: Iterable<GuestRange>, permissions: Permissions) {
    // An empty one would count as no ranges.
    if (typeof ranges === "string") throw wrongKind("ranges", ranges, "ranges of guest memory");
    const hostRanges = hostRangesOf(memory);
    const list = this.#list;
    let total = 0;
    let reached = 0;
    for (const range of ranges) {
      const addr = range[0];
      const length = range[1];
      checkAddress(addr);
      checkCount(length, "length");
      if (length > Number.MAX_SAFE_INTEGER - total) throw new Overflow(total, length);
      if (reached === total && length > 0) {
        const slice = hostRanges?.sliceAt(addr, length);
        if (slice !== undefined) {
          list.push(slice);
          reached += length;
        } else reached += this.#add(memory, addr, length, permissions, total > 0);
      }
      total += length;
    }
    this.total = total;
    this.reached = reached;
  }

  // Adds the pieces of a range up to a hole, and returns their bytes.
  #add(
    memory: IoMemory,
    addr: GuestAddress,
    length: number,
    permissions: Permissions,
    mayBeHole: boolean,
  ): number {
    try {
      return memory.access(length, addr, permissions, (total, count, offset, target) => {
        const { hostSlice } = target;
        if (hostSlice === undefined) this.#areSlices = false;
        this.#list.push(
          hostSlice === undefined
            ? { addr: addr + total as GuestAddress, len: count }
            : sliceOf(hostSlice, offset, count),
        );
        return count;
      });
    } catch (error) {
      if (mayBeHole && error instanceof InvalidGuestAddress) return 0;
      throw error;
    }
  }

  /** All pieces that are left, if each is a slice. */
  get slices(): readonly VolatileSlice[] | undefined {
    return this.#areSlices ? this.#list as VolatileSlice[] : undefined;
  }

  /** Calls a function for each piece that is left, up to the first that it does in part. */
  untilShort(transfer: (piece: Piece) => number): number {
    let total = 0;
    for (const piece of this.#list) {
      const { len } = piece;
      const done = transfer(piece);
      total += done;
      if (done < len) break;
    }
    return total;
  }

  /** Leaves out the first bytes, which are done. */
  advance(count: number): void {
    const list = this.#list;
    let whole = 0;
    let left = count;
    for (; whole < list.length && left >= list[whole]!.len; whole++) left -= list[whole]!.len;
    // A copy, as a stream may have kept the list.
    const rest = this.#list = list.slice(whole);
    const [first] = rest;
    if (left > 0 && first !== undefined) {
      rest[0] = first instanceof VolatileSlice
        ? first.offset(left)
        : { addr: first.addr + left as GuestAddress, len: first.len - left };
    }
  }
}

function transferIn(memory: IoMemory, pieces: Pieces, src: ByteSource): number {
  const { slices } = pieces;
  if (slices !== undefined && slices.length > 1 && isVectoredSource(src)) {
    return readVectored(slices, src);
  }
  return pieces.untilShort((piece) =>
    piece instanceof VolatileSlice
      ? readInto(piece, src)
      : memory.readVolatileFrom(piece.addr, src, piece.len)
  );
}

function transferOut(memory: IoMemory, pieces: Pieces, dst: ByteSink): number {
  const { slices } = pieces;
  if (slices !== undefined && slices.length > 1 && isVectoredSink(dst)) {
    return writeVectored(slices, dst);
  }
  return pieces.untilShort((piece) =>
    piece instanceof VolatileSlice
      ? writeFrom(piece, dst)
      : memory.writeVolatileTo(piece.addr, dst, piece.len)
  );
}

/** One transfer into ranges: see {@linkcode IoMemory.readVectoredFrom}. */
export function readRangesFrom(
  memory: IoMemory,
  ranges: Iterable<GuestRange>,
  src: ByteSource,
): number {
  return transferIn(memory, new Pieces(memory, ranges, Permissions.Write), src);
}

/** One transfer out of ranges: see {@linkcode IoMemory.writeVectoredTo}. */
export function writeRangesTo(
  memory: IoMemory,
  ranges: Iterable<GuestRange>,
  dst: ByteSink,
): number {
  return transferOut(memory, new Pieces(memory, ranges, Permissions.Read), dst);
}

/** All of some ranges from a source: see {@linkcode IoMemory.readExactVectoredFrom}. */
export function readAllRangesFrom(
  memory: IoMemory,
  ranges: Iterable<GuestRange>,
  src: ByteSource,
): void {
  const pieces = new Pieces(memory, ranges, Permissions.Write);
  const done = transferIn(memory, pieces, src);
  if (done === pieces.total) return;
  finish(pieces, done, () => transferIn(memory, pieces, src));
}

/** All of some ranges to a sink: see {@linkcode IoMemory.writeAllVectoredTo}. */
export function writeAllRangesTo(
  memory: IoMemory,
  ranges: Iterable<GuestRange>,
  dst: ByteSink,
): void {
  const pieces = new Pieces(memory, ranges, Permissions.Read);
  const done = transferOut(memory, pieces, dst);
  if (done === pieces.total) return;
  finish(pieces, done, () => transferOut(memory, pieces, dst), "WriteZero");
}

// Does the rest of an exact transfer, until all is done, a transfer is empty or the memory ends.
function finish(
  pieces: Pieces,
  completed: number,
  transfer: () => number,
  whereEmpty?: IOErrorKind,
): void {
  for (let last = completed;; completed += last) {
    if (last === 0 && whereEmpty !== undefined) throw new IOError(whereEmpty);
    if (last === 0 || completed >= pieces.reached) break;
    pieces.advance(last);
    last = transfer();
  }
  ensureAll(pieces.total, completed);
}
