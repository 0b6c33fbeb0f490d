/**
 * Where the regions of a guest are in a snapshot.
 *
 * @module
 */
import { pageSize } from "../../ffi/memory.ts";
import { checkCount } from "../text/argument.ts";

/** A range of a guest. */
export interface GuestRange {
  /** The guest address of its first byte. */
  readonly startAddr: number;
  /** Its bytes. */
  readonly len: number;
}

/** Where each range is. */
export interface Layout<R extends GuestRange> {
  /** The ranges, by rising address. */
  readonly places: readonly Place<R>[];
  /** Bytes of the file. */
  readonly length: number;
}

/** Where a range is, as it was when it was asked. */
export interface Place<R extends GuestRange> extends GuestRange {
  /** The range. */
  readonly range: R;
  /** Where it begins in the file: a multiple of the page size. */
  readonly position: number;
}

/**
 * The flat layout: one range after the other by rising address, each from a page's start.
 *
 * @throws {RangeError} The start or the bytes of a range are no integer from 0.
 */
export function layoutOf<R extends GuestRange>(ranges: Iterable<R>): Layout<R> {
  const asked = Array.from(ranges, (range) => {
    const { startAddr, len } = range;
    checkCount(startAddr, "startAddr");
    checkCount(len, "len");
    return { range, startAddr, len };
  });
  const places: Place<R>[] = [];
  let length = 0;
  for (const place of asked.sort((a, b) => a.startAddr - b.startAddr)) {
    const position = Math.ceil(length / pageSize()) * pageSize();
    places.push({ ...place, position });
    length = position + place.len;
  }
  return { places, length };
}
