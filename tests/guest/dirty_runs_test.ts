import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  AtomicBitmap,
  type Bitmap,
  dirtyRuns,
  GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  type GuestUsize,
  NoBitmap,
} from "../../mod.ts";

const PAGE = 4096;

type Range = readonly [start: GuestAddress, length: GuestUsize];

const pageAt = (page: number) => GuestAddress(page * PAGE);
const ranges = (...pages: [start: number, count: number][]): Range[] =>
  pages.map(([start, count]) => [pageAt(start), count * PAGE]);
const each = (pageSize = PAGE) => (length: number) => new AtomicBitmap(length, pageSize);

/** Writes a byte to each page of the numbers. */
function touch(memory: GuestMemory, ...pages: number[]): void {
  for (const page of pages) memory.write(Uint8Array.of(1), pageAt(page));
}

/** The runs in pages. */
function runPages(memory: GuestMemory): number[][] {
  return [...dirtyRuns(memory)].map(([start, length]) => [start / PAGE, length / PAGE]);
}

Deno.test("dirtyRuns() of memory that nobody wrote has none", () => {
  const memory = GuestMemoryHeap.fromRanges(ranges([0, 4], [8, 4]), { bitmap: each() });
  assertEquals([...dirtyRuns(memory)], []);
  assertEquals([...dirtyRuns(new GuestRegionCollection())], []);
});

Deno.test("dirtyRuns() gives guest addresses, by rising address", () => {
  const memory = GuestMemoryHeap.fromRanges(ranges([2, 4], [2 ** 21, 4]), { bitmap: each() });
  touch(memory, 2 ** 21 + 3, 2 ** 21, 5, 3);
  assertEquals(runPages(memory), [[3, 1], [5, 1], [2 ** 21, 1], [2 ** 21 + 3, 1]]);
});

Deno.test("dirtyRuns() joins what adjacent regions have at their ends", () => {
  const memory = GuestMemoryHeap.fromRanges(ranges([4, 2], [6, 2], [8, 2]), { bitmap: each() });
  memory.write(new Uint8Array(2), GuestAddress(6 * PAGE - 1));
  assertEquals(runPages(memory), [[5, 2]]);
  memory.write(new Uint8Array(6 * PAGE), pageAt(4));
  assertEquals(runPages(memory), [[4, 6]]);
});

Deno.test("dirtyRuns() joins nothing over a hole", () => {
  const memory = GuestMemoryHeap.fromRanges(ranges([4, 2], [7, 2]), { bitmap: each() });
  touch(memory, 5, 7);
  assertEquals(runPages(memory), [[5, 1], [7, 1]]);
});

Deno.test("dirtyRuns() ends with the region where the last page is not whole", () => {
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0x1000), 5000]], { bitmap: each() });
  memory.write(Uint8Array.of(1), GuestAddress(0x1000 + 4999));
  assertEquals([...dirtyRuns(memory)], [[GuestAddress(0x2000), 5000 - PAGE]]);
});

Deno.test("dirtyRuns() with pages larger than the regions stays in the regions", () => {
  const layout = ranges([1, 1], [2, 1], [5, 1], [17, 1]);
  const own = GuestMemoryHeap.fromRanges(layout, { bitmap: each(16 * PAGE) });
  touch(own, 1, 5);
  assertEquals(runPages(own), [[1, 1], [5, 1]]);
  const shared = new AtomicBitmap(32 * PAGE, 16 * PAGE);
  const memory = GuestMemoryHeap.fromRanges(layout, {
    bitmap: (_, start) => shared.sliceAt(start),
  });
  touch(memory, 2);
  assertEquals(runPages(memory), [[1, 2], [5, 1]]);
});

Deno.test("dirtyRuns() passes over regions whose bitmap lists nothing", () => {
  const untracked: Bitmap[] = [NoBitmap, {
    markDirty: () => {},
    dirtyAt: () => true,
    sliceAt: () => NoBitmap,
  }];
  for (const other of untracked) {
    const bitmaps: Bitmap[] = [new AtomicBitmap(2 * PAGE), other, new AtomicBitmap(2 * PAGE)];
    const regions = bitmaps.map((bitmap, i) =>
      new GuestRegionHeap(pageAt(2 * i), 2 * PAGE, { bitmap: () => bitmap })
    );
    using memory = GuestRegionCollection.fromRegions(regions);
    memory.write(new Uint8Array(6 * PAGE), pageAt(0));
    assertEquals(runPages(memory), [[0, 2], [4, 2]]);
  }
  assertEquals([...dirtyRuns(GuestMemoryHeap.fromRanges(ranges([0, 1])))], []);
});

Deno.test("dirtyRuns() are made as they are asked for", () => {
  const memory = GuestMemoryHeap.fromRanges(ranges([0, 2], [4, 2]), { bitmap: each() });
  touch(memory, 0, 4);
  const runs = dirtyRuns(memory);
  assertEquals(runs.next().value, [pageAt(0), PAGE]);
  assertEquals(runs.next().value, [pageAt(4), PAGE]);
  assertEquals(runs.next().done, true);
});

Deno.test("dirtyRuns() of one bitmap for all regions are those of a bitmap for each", () => {
  const layout = fc.array(fc.record({ gap: fc.nat(3), pages: fc.integer({ min: 1, max: 40 }) }), {
    minLength: 1,
    maxLength: 6,
  });
  const writes = fc.array(fc.tuple(fc.nat(260), fc.integer({ min: 1, max: 6 * PAGE })), {
    maxLength: 12,
  });
  fc.assert(fc.property(layout, writes, (layout, writes) => {
    let end = 0;
    const places = layout.map(({ gap, pages }): Range => {
      const start = end + gap;
      end = start + pages;
      return [pageAt(start), pages * PAGE];
    });
    const bitmap = new AtomicBitmap(end * PAGE);
    const own = GuestMemoryHeap.fromRanges(places, { bitmap: each() });
    const shared = GuestMemoryHeap.fromRanges(places, {
      bitmap: (_, start) => bitmap.sliceAt(start),
    });
    const dirty = new Set<number>();
    for (const [page, length] of writes) {
      if (!own.addressInRange(pageAt(page))) continue;
      const written = own.write(new Uint8Array(length), pageAt(page));
      shared.write(new Uint8Array(length), pageAt(page));
      for (let i = 0; i * PAGE < written; i++) dirty.add(page + i);
    }
    assertEquals(runPages(shared), runPages(own));
    const pages = runPages(own).flatMap(([start, count]) =>
      Array.from({ length: count! }, (_, i) => start! + i)
    );
    assertEquals(pages, [...dirty].sort((a, b) => a - b));
    assertEquals(
      runPages(own).every(([start], i, runs) =>
        i === 0 || start! > runs[i - 1]![0]! + runs[i - 1]![1]!
      ),
      true,
    );
    assertEquals<unknown>([...dirtyRuns(shared)], [...bitmap.dirtyRuns()]);
  }));
});

Deno.test("dirtyRuns() joins nothing over one clean byte, in a region and between two", () => {
  const at = (address: number, length: number): Range => [GuestAddress(address), length];
  const memory = GuestMemoryHeap.fromRanges([at(0, 4), at(5, 4)], { bitmap: each(1) });
  for (const address of [1, 3, 5]) memory.write(Uint8Array.of(1), GuestAddress(address));
  assertEquals([...dirtyRuns(memory)].map(([start, length]) => [start, length]), [
    [1, 1],
    [3, 1],
    [5, 1],
  ]);
});
