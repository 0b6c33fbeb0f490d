import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  GuestRegionMmap,
  MemoryRegionAddress,
  MmapRegion,
  OutOfBounds,
  SystemError,
  u16,
} from "../../../mod.ts";
import { gpa } from "../../support/values.ts";

const SIZE = 512;
const start = gpa(0x1000);

const HOST_PAGE = 4096;

Deno.test("MmapRegion.advise() marks the pages that it discards, and no others", () => {
  const bitmap = new AtomicBitmap(4 * HOST_PAGE, HOST_PAGE);
  using region = new MmapRegion(4 * HOST_PAGE, { bitmap: () => bitmap });
  region.advise("dontneed", HOST_PAGE, 2 * HOST_PAGE);
  assertEquals([...bitmap.getAndReset()], [0b110, 0]);
  region.advise("dontneed");
  assertEquals([...bitmap.getAndReset()], [0b1111, 0]);
  region.advise("dontneed", 3 * HOST_PAGE);
  assertEquals([...bitmap.getAndReset()], [0b1000, 0]);
  region.advise("sequential");
  region.advise("willneed");
  region.advise("normal");
  assertThrows(() => region.advise("dontneed", 1, HOST_PAGE), SystemError);
  assertThrows(() => region.advise("dontneed", 0, 5 * HOST_PAGE), OutOfBounds);
  assertEquals(bitmap.dirtyPages, 0);
});

Deno.test("MmapRegion.advise() marks all bytes that a discard of less than a page zeroes", () => {
  const bitmap = new AtomicBitmap(2 * HOST_PAGE, 1);
  using region = new MmapRegion(2 * HOST_PAGE, { bitmap: () => bitmap });
  const view = region.asVolatileSlice().rawView().fill(7);
  region.advise("dontneed", 0, 100);
  assertEquals([view.indexOf(7), ...bitmap.dirtyRuns()], [HOST_PAGE, [0, HOST_PAGE]]);
});

Deno.test("GuestRegionMmap slices that were taken before mark what they write after", () => {
  const bitmap = new AtomicBitmap(SIZE, 1);
  using region = GuestRegionMmap.fromRange(start, SIZE, { bitmap: () => bitmap });
  const slice = region.getSlice(MemoryRegionAddress(64), 16);
  const index = slice.getAtomicRef(u16, 4);
  region.mmap.advise("normal");
  index.fetchAdd(1);
  assertEquals([...bitmap.dirtyRuns()], [[68, 2]]);
  assertEquals([region.bitmap.dirtyAt(68), slice.bitmap.dirtyAt(4)], [true, true]);
});
