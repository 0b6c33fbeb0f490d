/**
 * What every access to guest memory shares: the piece of memory that it reaches.
 *
 * @module
 */
import type { MemoryRegionAddress } from "../address.ts";
import type { Bytes } from "../volatile/bytes.ts";
import type { VolatileSlice } from "../volatile/volatile_slice.ts";
import { InvalidBackendAddress } from "../error/volatile_memory_error.ts";

/** The memory of a part of a range: a region, or a slice of one. */
export interface AccessTarget extends Bytes<MemoryRegionAddress> {
  /** All of its bytes, if accesses may go to them without calling the target. */
  readonly hostSlice: VolatileSlice | undefined;
  /** A part of its memory, if that is host memory. */
  getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice;
}

/**
 * Accesses a part of a range, for {@linkcode IoMemory.access}.
 *
 * @param total Bytes of the range that are done already.
 * @param count Bytes of the range in this target, from `offset`.
 * @param offset Where they begin in the target.
 * @param target The memory that they are in.
 * @returns Bytes that were accessed: `count`, or fewer, and 0 to stop.
 */
export type AccessCallback<T extends AccessTarget = AccessTarget> = (
  total: number,
  count: number,
  offset: MemoryRegionAddress,
  target: T,
) => number;

/** A slice of a target. A custom target that returns another length is an error. */
export function sliceOf(
  target: AccessTarget,
  offset: MemoryRegionAddress,
  count: number,
): VolatileSlice {
  const slice = target.getSlice(offset, count);
  if (slice.len === count) return slice;
  throw new InvalidBackendAddress(
    `Cannot use a slice of ${slice.len} bytes: ${count} were asked of ${target}`,
  );
}
