/**
 * The pages that a guest touches first.
 *
 * @module
 */
import { pageSize } from "../../../ffi/memory.ts";
import type { GuestAddress, GuestUsize } from "../../address.ts";
import { InvalidGuestAddress } from "../../error/guest_memory_error.ts";
import { checkCount, wrongKind } from "../../text/argument.ts";
import type { GuestRange, Place } from "../layout.ts";
import type { PageRun } from "./page_loader.ts";

/**
 * Ranges of a guest in the order in which they were touched, in whole pages: numbers alone, for JSON.
 */
export type WorkingSet = readonly (readonly [startAddr: GuestAddress, len: GuestUsize])[];

/**
 * The ranges of pages that were touched.
 *
 * @param pages Pages of the file, in this order.
 * @param places Where the file has the guest's ranges.
 */
export function workingSetOf(
  pages: Iterable<number>,
  places: readonly Place<GuestRange>[],
): [GuestAddress, GuestUsize][] {
  const ranges: [GuestAddress, GuestUsize][] = [];
  for (const page of pages) {
    const at = page * pageSize();
    const place = places.find(({ position, len }) => at >= position && at < position + len);
    if (place === undefined) continue;
    const offset = at - place.position;
    const start = place.startAddr + offset;
    const length = Math.min(pageSize(), place.len - offset);
    const last = ranges.at(-1);
    if (last !== undefined && last[0] + last[1] === start) last[1] += length;
    else ranges.push([start as GuestAddress, length]);
  }
  return ranges;
}

/**
 * The pages of a file that ranges of a guest take: by rising position, each once.
 *
 * @param set The ranges: they come from elsewhere.
 * @param places Where the file has the guest's ranges.
 * @throws {TypeError} It is no list of ranges.
 * @throws {RangeError} A number of it is no integer from 0.
 * @throws {InvalidGuestAddress} A range is not in the memory.
 */
export function pagesOf(set: WorkingSet, places: readonly Place<GuestRange>[]): PageRun[] {
  if (typeof set?.[Symbol.iterator] !== "function") {
    throw wrongKind("workingSet", set, "a list of ranges");
  }
  const runs = Array.from(set, (range) => {
    if (typeof range?.[Symbol.iterator] !== "function") {
      throw wrongKind("workingSet", set, "a list of ranges");
    }
    const [startAddr, count] = range;
    checkCount(startAddr, "startAddr");
    checkCount(count, "len");
    const place = places.find((place) =>
      startAddr >= place.startAddr && startAddr + count <= place.startAddr + place.len
    );
    if (place === undefined) throw new InvalidGuestAddress(startAddr);
    const start = place.position + startAddr - place.startAddr;
    const first = Math.floor(start / pageSize());
    return { first, end: Math.ceil((start + count) / pageSize()) };
  });
  const joined: { first: number; end: number }[] = [];
  for (const { first, end } of runs.sort((a, b) => a.first - b.first)) {
    const last = joined.at(-1);
    if (last !== undefined && first <= last.end) last.end = Math.max(last.end, end);
    else joined.push({ first, end });
  }
  return joined.map(({ first, end }): PageRun => [first, end - first]);
}
