import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  Backing,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MemoryClosed,
  MemoryRegionAddress,
  MemoryRegionOverlap,
  MmapRegion,
  u32,
  u8,
} from "../../../mod.ts";
import { type Mapping, mappingAt, mappingsOf } from "../../support/proc_maps.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;

/** Regions of one separate file, so that the kernel can be asked which are mapped. */
function fileBacked() {
  const file = temporaryFile(16 * PAGE);
  const opened = Deno.openSync(file.path, { read: true, write: true });
  const page = (n: number) => new FileOffset(opened, n * PAGE);
  return {
    mmap: (n = 0) => new MmapRegion(PAGE, { backing: Backing.file(page(n)) }),
    /** The region of page n of the guest. */
    region: (n: number) =>
      GuestRegionMmap.fromRange(GuestAddress(n * PAGE), PAGE, { backing: Backing.file(page(n)) }),
    /** Which pages of the file are mapped. */
    mapped: () => mappingsOf(file.path).flatMap(pagesOf).sort((a, b) => a - b),
    [Symbol.dispose]() {
      opened.close();
      file[Symbol.dispose]();
    },
  };
}

// Mappings of pages in a row share a line where they happen to be adjacent.
function pagesOf({ start, end, offset }: Mapping): number[] {
  return Array.from({ length: (end - start) / PAGE }, (_, i) => offset / PAGE + i);
}

const pageAt = (n: number) => GuestAddress(n * PAGE);
const first = MemoryRegionAddress(0);

linuxTest("using unmaps at the end of the block, and close() before it does no harm", () => {
  using file = fileBacked();
  {
    using mmap = file.mmap(0);
    using region = file.region(1);
    using memory = GuestMemoryMmap.fromRegions([file.region(2)]);
    assertEquals(file.mapped(), [0, 1, 2]);
    mmap.close();
    region.close();
    memory.close();
    assertEquals(file.mapped(), []);
  }
  {
    using _mmap = file.mmap(0);
    using _region = file.region(1);
    using _memory = GuestMemoryMmap.fromRegions([file.region(2)]);
  }
  assertEquals(file.mapped(), []);
});

linuxTest("close() again does not unmap what has been mapped there since", () => {
  using file = fileBacked();
  const old = file.mmap(0);
  const address = old.hostAddress();
  old.close();
  // The kernel mostly gives the same place again; the test is right in any case.
  using stack = new DisposableStack();
  for (let n = 1; n < 8; n++) stack.use(file.mmap(n));
  const before = mappingAt(address);
  old.close();
  old[Symbol.dispose]();
  assertEquals(mappingAt(address), before);
  assertEquals(file.mapped(), [1, 2, 3, 4, 5, 6, 7]);
});

linuxTest("MmapRegion.close() unmaps with the last region that lies in it", () => {
  using file = fileBacked();
  const mmap = file.mmap();
  const low = new GuestRegionMmap(mmap, pageAt(0));
  const high = new GuestRegionMmap(mmap, pageAt(8));
  mmap.close();
  assertFalse(mmap.closed);
  low.writeObj(u8, 7, first);
  low.close();
  assertEquals(file.mapped(), [0]);
  assertEquals(high.readObj(u8, first), 7);
  high.close();
  assertEquals([mmap.closed, file.mapped()], [true, []]);
});

linuxTest("MmapRegion.retain() keeps the mapping until release()", () => {
  using file = fileBacked();
  const mmap = file.mmap();
  mmap.retain();
  mmap.close();
  assertEquals(mmap.asVolatileSlice().readObj(u8, 0), 0);
  mmap.release();
  assertEquals(file.mapped(), []);
  mmap.release();
  mmap.close();
});

linuxTest("GuestRegionMmap.close() unmaps with the last memory that holds it", () => {
  using file = fileBacked();
  const region = file.region(3);
  const one = GuestMemoryMmap.fromRegions([region]);
  const two = GuestMemoryMmap.fromRegions([region]);
  region.close();
  one.writeObj(u8, 7, pageAt(3));
  one.close();
  assertThrows(() => one.readObj(u8, pageAt(3)), MemoryClosed);
  assertEquals(two.readObj(u8, pageAt(3)), 7);
  assertEquals(file.mapped(), [3]);
  two.close();
  assertEquals(file.mapped(), []);
});

linuxTest("insertRegion() shares the regions: the last memory to close unmaps each", () => {
  using file = fileBacked();
  const small = GuestMemoryMmap.fromRegions([file.region(0), file.region(2)]);
  const large = small.insertRegion(file.region(1));
  assertEquals([small.numRegions, large.numRegions], [2, 3]);
  small.close();
  assertEquals(file.mapped(), [0, 1, 2]);
  large.writeObj(u8, 7, pageAt(0));
  assertEquals(large.readObj(u8, pageAt(0)), 7);
  large.close();
  assertEquals(file.mapped(), []);
});

linuxTest(
  "insertRegion() that is refused changes nothing, and the region stays the caller's",
  () => {
    using file = fileBacked();
    using memory = GuestMemoryMmap.fromRegions([file.region(0)]);
    const again = file.region(0);
    assertThrows(() => memory.insertRegion(again), MemoryRegionOverlap);
    assertEquals(file.mapped(), [0, 0]);
    again.close();
    assertEquals(file.mapped(), [0]);
    const closed = file.region(1);
    closed.close();
    assertThrows(() => memory.insertRegion(closed), MemoryClosed);
    assertEquals(memory.readObj(u8, pageAt(0)), 0);
    memory.close();
    assertEquals(file.mapped(), []);
  },
);

linuxTest("removeRegion() keeps the region mapped for the old memory and for the caller", () => {
  using file = fileBacked();
  const old = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
  const [rest, removed] = old.removeRegion(pageAt(1), PAGE);
  assertEquals([rest.numRegions, rest.findRegion(pageAt(1))], [1, undefined]);
  old.writeObj(u8, 7, pageAt(1));
  old.close();
  assertEquals(file.mapped(), [0, 1]);
  assertEquals(removed.readObj(u8, first), 7);
  removed.close();
  assertEquals(file.mapped(), [0]);
  rest.close();
  assertEquals(file.mapped(), []);
});

linuxTest("removeRegion() in whatever order the three are closed unmaps at the last", () => {
  for (const order of ["old rest removed", "removed rest old", "rest removed old"]) {
    using file = fileBacked();
    const old = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
    const [rest, removed] = old.removeRegion(pageAt(1), PAGE);
    const all: Record<string, Disposable> = { old, rest, removed };
    const [a, b, c] = order.split(" ").map((name) => all[name]!);
    a![Symbol.dispose]();
    assertEquals(file.mapped(), [0, 1], order);
    b![Symbol.dispose]();
    assert(file.mapped().length > 0, order);
    c![Symbol.dispose]();
    assertEquals(file.mapped(), [], order);
  }
});

linuxTest(
  "removeRegion() of the last region leaves an empty memory, and the region moves on",
  () => {
    using file = fileBacked();
    const old = GuestMemoryMmap.fromRegions([file.region(0)]);
    const [empty, region] = old.removeRegion(pageAt(0), PAGE);
    old.close();
    assertEquals([empty.numRegions, empty.lastAddr], [0, 0]);
    const next = empty.insertRegion(region);
    region.close();
    assertEquals(next.readObj(u8, pageAt(0)), 0);
    next.close();
    assertEquals(file.mapped(), []);
    empty.close();
  },
);

linuxTest("GuestMemoryMmap.retain() keeps a memory until release()", () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0)]);
  memory.retain();
  memory.close();
  assertEquals([memory.closed, memory.readObj(u8, pageAt(0))], [false, 0]);
  memory.release();
  assertEquals([memory.closed, file.mapped()], [true, []]);
});

linuxTest("fromRegions() with a closed region is refused and takes hold of none", () => {
  using file = fileBacked();
  const good = file.region(0);
  const closed = file.region(1);
  closed.close();
  assertThrows(() => GuestMemoryMmap.fromRegions([good, closed]), MemoryClosed);
  assertEquals(good.readObj(u8, first), 0);
  good.close();
  assertEquals(file.mapped(), []);
});

linuxTest("fromRegions() that is refused leaves a region to the memory that holds it", () => {
  using file = fileBacked();
  const good = file.region(0);
  const holder = GuestMemoryMmap.fromRegions([good]);
  const closed = file.region(1);
  closed.close();
  assertThrows(() => GuestMemoryMmap.fromRegions([good, closed]), MemoryClosed);
  holder.close();
  assertEquals(file.mapped(), []);
});

linuxTest("a guard of memory() keeps the memory mapped until it is closed", () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0)]);
  const guard = memory.memory();
  const clone = guard.clone();
  memory.close();
  guard.close();
  guard.close();
  assertEquals([file.mapped(), clone.memory.readObj(u8, pageAt(0))], [[0], 0]);
  clone.close();
  assertEquals(file.mapped(), []);
  assertThrows(() => memory.memory(), MemoryClosed);
});

linuxTest("close() of a memory closes the other regions when one cannot be", () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
  const { buffer } = memory.getSlice(pageAt(0), 1).rawView();
  // Whoever transfers a root buffer away keeps that mapping alive: the close has to say so.
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  assertThrows(() => memory.close(), TypeError, "transferred");
  assertEquals(file.mapped(), [0]);
});

linuxTest("mapping and closing 2,000 times leaves nothing mapped", () => {
  using file = fileBacked();
  for (let i = 0; i < 2000; i++) {
    using region = file.region(i % 16);
    region.writeObj(u32, i, first);
  }
  assertEquals(file.mapped(), []);
});
