/**
 * Memory of every kind with a bit for each byte, and what the tests of streams do with it.
 *
 * @module
 */
import {
  AtomicBitmap,
  type Bytes,
  GuestAddress,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestUsize,
} from "../../mod.ts";

/** A region's start and size. */
export type Range = readonly [GuestAddress, GuestUsize];

/** Memory of any kind. */
export type AnyMemory = GuestMemoryMmap | GuestMemoryHeap;

/** A bit for each byte. */
export const exactly: { bitmap(length: number): AtomicBitmap } = {
  bitmap: (length) => new AtomicBitmap(length, 1),
};

/** Makes memory of each kind, whose bitmaps have a bit for each byte. */
export const BACKINGS: Readonly<Record<string, (ranges: readonly Range[]) => AnyMemory>> = {
  "mapped memory": (ranges) => GuestMemoryMmap.fromRanges(ranges, exactly),
  "an ArrayBuffer": (ranges) => GuestMemoryHeap.fromRanges(ranges, exactly),
  "a SharedArrayBuffer": (ranges) =>
    GuestMemoryHeap.fromRanges(ranges, { ...exactly, shared: true }),
};

/** What memory, its region at 0 and that region's slice have in common, with a number as address. */
export const LEVELS: Readonly<Record<string, (memory: AnyMemory) => Bytes<number>>> = {
  memory: (memory) => memory as Bytes<number>,
  region: (memory) => memory.findRegion(GuestAddress(0)) as Bytes<number>,
  slice: (memory) => memory.findRegion(GuestAddress(0))!.asVolatileSlice(),
};

/** Marks all of a memory clean. */
export function clean(memory: AnyMemory): void {
  for (const { bitmap } of memory) {
    if (bitmap instanceof AtomicBitmap) bitmap.reset();
  }
}
