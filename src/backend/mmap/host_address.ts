/**
 * Where slices are in the host, for calls that take addresses.
 *
 * A class derived from `VolatileSlice` or `HostMemory` may answer anything, and close the memory
 * meanwhile. So each slice is asked once, and all of them before the first address is taken. Then
 * the memory itself is checked, by what no other code can change, and the call follows.
 *
 * @module
 */
import { addressOf } from "../../../ffi/io.ts";
import { OutOfBounds } from "../../error/volatile_memory_error.ts";
import { byteLength, bytesOf } from "../../host/bytes.ts";
import type { HostMemory } from "../../host/host_memory.ts";
import { checkCount } from "../../text/argument.ts";
import type { VolatileSlice } from "../../volatile/volatile_slice.ts";
import { MappedMemory } from "./mapped_memory.ts";

/** What a transfer does to memory. */
export type Access = "read" | "write";

/** What a slice said of itself when it was asked. */
export interface Piece {
  /** The slice, which says what is wrong, and marks what is written. */
  readonly slice: VolatileSlice;
  /** Its memory. */
  readonly memory: HostMemory;
  /** Where it begins there. */
  readonly start: number;
  /** Its bytes. */
  readonly length: number;
  /** The bytes of memory that is not mapped. */
  readonly heap: Uint8Array | undefined;
}

/**
 * Asks a slice. The caller's code may run.
 *
 * @param slice The slice.
 * @param access What will be done to its memory.
 * @throws {AccessDenied} The memory does not allow it.
 */
export function pieceOf(slice: VolatileSlice, access: Access): Piece {
  const { memory, start, len: length } = slice;
  checkCount(length, "len");
  const heap = MappedMemory.isMapped(memory)
    ? undefined
    : heapBytes(slice, memory, start, length, access);
  return { slice, memory, start, length, heap };
}

function heapBytes(
  slice: VolatileSlice,
  memory: HostMemory,
  start: number,
  length: number,
  access: Access,
): Uint8Array {
  const allowed = memory.permits(access, start, length);
  const { u8 } = memory;
  if (!allowed) refuse(slice, access, start + length, u8.length);
  return bytesOf(u8, 0, byteLength(u8));
}

/**
 * Checks a piece, for the very next call. None of the caller's code runs.
 *
 * @param piece The piece.
 * @param access What will be done.
 * @returns Its host address.
 * @throws {MemoryClosed} The memory is closed.
 * @throws {AccessDenied} Its protection does not allow it.
 * @throws {OutOfBounds} It does not have the bytes.
 */
export function locate(piece: Piece, access: Access): number {
  const { slice, memory, start, length, heap } = piece;
  if (heap === undefined) {
    const address = MappedMemory.locate(memory, start, length, access);
    return address >= 0 ? address : refuse(slice, access, start + length, memory.length);
  }
  const size = byteLength(heap);
  const fits = Number.isInteger(start) && start >= 0 && start + length <= size;
  if (!fits) refuse(slice, access, start + length, size);
  return addressOf(heap) + start;
}

/**
 * The host address of the only slice of a call, as {@linkcode locate} checks it.
 *
 * @param slice The slice.
 * @param length Its bytes, as read before.
 * @param access What will be done.
 */
export function addressIn(slice: VolatileSlice, length: number, access: Access): number {
  checkCount(length, "len");
  const { memory, start } = slice;
  const address = MappedMemory.locate(memory, start, length, access);
  return address >= 0 ? address : addressElsewhere(slice, memory, start, length, access);
}

function addressElsewhere(
  slice: VolatileSlice,
  memory: HostMemory,
  start: number,
  length: number,
  access: Access,
): number {
  if (MappedMemory.isMapped(memory)) refuse(slice, access, start + length, memory.length);
  const heap = heapBytes(slice, memory, start, length, access);
  return locate({ slice, memory, start, length, heap }, access);
}

function refuse(slice: VolatileSlice, access: Access, end: number, size: number): never {
  slice.ensureAccessible(access);
  throw new OutOfBounds(end, size);
}
