/**
 * Where the regions of a guest are in a snapshot.
 *
 * @module
 */
import { pageSize } from "../../ffi/memory.ts";

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

/** Where a range is. */
export interface Place<R extends GuestRange> {
  /** The range. */
  readonly range: R;
  /** Where it begins in the file: a multiple of the page size. */
  readonly position: number;
}

/** The flat layout: one range after the other by rising address, each from a page's start. */
export function layoutOf<R extends GuestRange>(ranges: Iterable<R>): Layout<R> {
  const sorted = [...ranges].sort((a, b) => a.startAddr - b.startAddr);
  const places: Place<R>[] = [];
  let length = 0;
  for (const range of sorted) {
    const position = Math.ceil(length / pageSize()) * pageSize();
    places.push({ range, position });
    length = position + range.len;
  }
  return { places, length };
}
