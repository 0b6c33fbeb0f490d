import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  GuestAddress,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  GuestRegionHeap,
  HostMemory,
  HostRegion,
  NoBitmap,
  Permissions,
  VolatileSlice,
} from "../../mod.ts";
import { HostRange, HostRanges } from "../../src/guest/host_range.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";

const A = GuestAddress;
const heap = (start: number, length: number) => new GuestRegionHeap(A(start), length);

Deno.test("HostRange knows where its bytes are and who records writes", () => {
  const bitmap = new AtomicBitmap(0x100, 1);
  const slice = new VolatileSlice(new HostMemory(new ArrayBuffer(16)), 0, 16, bitmap, 0x20);
  const range = new HostRange(0x1000, slice);
  assertEquals([range.startAddr, range.len, range.end], [0x1000, 16, 0x1010]);
  assertEquals([range.memory, range.slice], [slice.memory, slice]);
  assertEquals([range.bitmap, range.bitmapStart], [bitmap, 0x20]);
  const plain = new HostRange(0, new VolatileSlice(slice.memory, 0, 16, NoBitmap));
  assertEquals([plain.bitmap, plain.bitmapStart, plain.boundary], [undefined, 0, undefined]);
});

Deno.test("HostRanges finds the range that has all of a guest range", () => {
  const ranges = new HostRanges([heap(0x1000, 0x100), heap(0x1100, 0x100), heap(0x4000, 0x80)]);
  for (const [start, length] of [[0x1000, 0x100], [0x1100, 0x100], [0x4000, 0x80]] as const) {
    for (const [at, count] of [[0, 1], [0, length], [length - 1, 1], [5, length - 5]] as const) {
      assertEquals(ranges.at(start + at, count)?.startAddr, start);
    }
    assertEquals(ranges.at(start + 1, length), undefined);
    assertEquals(ranges.at(start, length + 1), undefined);
  }
  for (const at of [0x1200, 0x2000, 0x4080, 0x9000, 2 ** 52]) {
    // Whatever was looked up before.
    for (const near of [0x1000, 0x11ff, 0x4000]) {
      ranges.at(near, 1);
      assertEquals(ranges.at(at, 1), undefined);
    }
  }
});

Deno.test("HostRanges of any length is no range that ends before it", () => {
  const ranges = new HostRanges([heap(0x1000, 0x100)]);
  for (const length of [0x101, 2 ** 40, Infinity, NaN]) {
    assertEquals(ranges.at(0x1000, length), undefined);
  }
});

Deno.test("HostRanges refuses an address that is no number", () => {
  const ranges = new HostRanges([heap(0, 0x100)]);
  for (const bad of ["0", 0n, undefined, null, Symbol("s"), {}] as unknown as number[]) {
    assertThrows(() => ranges.at(bad, 1), TypeError, "as addr");
  }
});

Deno.test("HostRanges finds what a search finds, whatever was looked up before", () => {
  using memory = mapped();
  const all = [...[...memory], heap(0x8000, 0x100), heap(0xa000, 0x100)];
  const ranges = new HostRanges(all);
  const places = [0, 1, 0x1fff, 0x2000, 0x3ff8, 0x3ffc, 0x4000, 0x5fff, 0x7ff8, 0x7ffc, 0x8000]
    .flatMap((at) => [at, at + 0x2000]);
  const find = (within: HostRanges, at: number, length: number) => {
    const range = within.at(at, length);
    // In a range over a boundary and in that of a region are the same bytes.
    return range && range.startAddr <= at && at + length <= range.end;
  };
  for (const before of places) {
    for (const at of places) {
      for (const length of [0, 1, 8, 0x100, 0x1000, NaN]) {
        ranges.at(before, 8);
        const expected = find(new HostRanges(all), at, length);
        assertEquals(find(ranges, at, length), expected, `${length} at ${at} after ${before}`);
      }
    }
  }
});

class PartRegion extends HostRegion {
  constructor(start: number, length: number, memory: HostMemory, at: number) {
    super(A(start), new VolatileSlice(memory, at, length));
  }
}

class OwnSlice extends VolatileSlice {}

class LyingRegion extends HostRegion {
  override get hostSlice(): VolatileSlice {
    return new VolatileSlice(new HostMemory(new ArrayBuffer(8)), 0, 8);
  }
}

Deno.test("HostRanges has only regions whose slice is all of a memory and as it seems", () => {
  const memory = new HostMemory(new ArrayBuffer(0x20));
  const regions: GuestMemoryRegion[] = [
    new ElsewhereRegion(0, 0x10),
    new PartRegion(0x100, 0x10, memory, 0),
    new PartRegion(0x200, 0x10, memory, 0x10),
    new HostRegion(A(0x300), new OwnSlice(memory, 0, 0x20)),
    new LyingRegion(A(0x400), new VolatileSlice(memory, 0, 0x20)),
  ];
  const ranges = new HostRanges([...regions, heap(0x500, 0x10)]);
  for (const { startAddr } of regions) {
    const range = ranges.at(startAddr, 1);
    assert(range === undefined || range.startAddr === 0x500);
  }
  assertEquals(ranges.at(0x500, 0x10)?.startAddr, 0x500);
});

const mapped = () => GuestMemoryMmap.fromRanges([[A(0), 0x4000], [A(0x4000), 0x4000]]);
const adjacent = (memory: GuestMemoryMmap<Bitmap>) => {
  const [first, second] = [...memory].map(({ mmap }) => mmap.hostAddress());
  return second! - first! === 0x4000n;
};

Deno.test("HostRanges has a range over the boundary of mappings that are adjacent", () => {
  using memory = mapped();
  if (!adjacent(memory)) return;
  const ranges = new HostRanges([...memory]);
  const over = ranges.at(0x3ffc, 8);
  assertEquals([over?.startAddr, over?.end, over?.bitmap], [0x2000, 0x6000, undefined]);
  assertEquals(ranges.at(0x2000, 0x4000), over);
  assertEquals(ranges.at(0x1fff, 0x2002), undefined);
  assertEquals(ranges.at(0x3000, 0x3001), undefined);
  const range = ranges.at(0, 1)!;
  assertEquals(range.boundary, over);
  over!.memory.u8[0x2000] = 7;
  assertEquals(range.memory.u8.length, 0x4000);
  assertEquals(ranges.at(0x4000, 1)?.memory.u8[0], 7);
});

Deno.test("HostRanges makes a new range over a boundary where the old one was closed", () => {
  using memory = mapped();
  if (!adjacent(memory)) return;
  const ranges = new HostRanges([...memory]);
  const over = ranges.at(0x3ffc, 8)!;
  const [first] = memory;
  first!.mmap.protect(Permissions.Read);
  assertEquals(over.memory.closed, true);
  ranges.forget();
  assertEquals(ranges.at(0x3ffc, 8), undefined);
  first!.mmap.protect(Permissions.ReadWrite);
  const again = ranges.at(0x3ffc, 8);
  assertEquals([again === over, again?.memory.closed], [false, false]);
});

Deno.test("HostRanges has a range over a boundary that records writes on one side or on both", () => {
  for (const recorded of [[0], [0x4000], [0, 0x4000]]) {
    let start = 0;
    using memory = GuestMemoryMmap.fromRanges([[A(0), 0x4000], [A(0x4000), 0x4000]], {
      bitmap(length) {
        const bitmap = recorded.includes(start) ? new AtomicBitmap(length) : NoBitmap;
        start += length;
        return bitmap;
      },
    });
    const ranges = new HostRanges([...memory]);
    if (adjacent(memory)) assertEquals(ranges.at(0x3ffc, 8)?.startAddr, 0x2000);
    memory.write(new Uint8Array(8), A(0x3ffc));
    const dirty = [...memory].map(({ bitmap }) => bitmap.dirtyAt(0) || bitmap.dirtyAt(0x3fff));
    assertEquals(dirty, [recorded.includes(0), recorded.includes(0x4000)]);
  }
});
