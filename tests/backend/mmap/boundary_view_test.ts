/** Accesses across the boundary of two mappings: `HostRange.boundary` and `boundaryView`. */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import {
  AccessDenied,
  AtomicBitmap,
  Backing,
  Cursor,
  type DirtyRun,
  Fd,
  GuestMemoryMmap,
  GuestRegionCollection,
  GuestRegionMmap,
  MemoryClosed,
  type MemoryRegionAddress,
  MmapRegion,
  PartialBuffer,
  Permissions,
  type ReadVolatile,
  u64,
  u8,
  type VolatileSlice,
} from "../../../mod.ts";
import { HostRanges } from "../../../src/guest/host_range.ts";
import { checkBoundary } from "../../support/memory_model.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;
const count = (n: number) => Uint8Array.from({ length: n }, (_, i) => i + 1);
const adjacent = (sizes: readonly number[], options = {}) => {
  let start = 0;
  return GuestMemoryMmap.fromRanges(
    sizes.map((size) => [gpa((start += size) - size), size] as const),
    options,
  );
};
const read = (memory: GuestMemoryMmap, addr: number, length: number) => {
  const buf = new Uint8Array(length);
  assertEquals(memory.read(buf, gpa(addr)), length);
  return buf;
};
/** A view across the first boundary, as a stream may keep it. */
const keepView = (memory: GuestMemoryMmap) => {
  let view: Uint8Array<ArrayBuffer> | undefined;
  const keeping: ReadVolatile = {
    readVolatile: (slice) => (view = slice.rawView() as Uint8Array<ArrayBuffer>).length,
    readVectoredVolatile: () => 0,
  };
  memory.readVolatileFrom(gpa(PAGE - 4), keeping, 8);
  return view!;
};
/** What an access finds, without the detour by regions. */
const extentAt = (memory: GuestMemoryMmap, addr: number, length: number) => {
  const extent = new HostRanges([...memory]).at(addr, length);
  return extent && [extent.startAddr, extent.len];
};

Deno.test("regions that are adjacent in the guest are mapped adjacent in the host", () => {
  using memory = GuestMemoryMmap.fromRanges([
    ...[[gpa(0), 3 * PAGE], [gpa(3 * PAGE), PAGE], [gpa(4 * PAGE), 2 ** 21]] as const,
    ...[[gpa(2 ** 32), PAGE], [gpa(2 ** 32 + PAGE), PAGE]] as const,
  ]);
  const host = (addr: number) => memory.getHostAddress(gpa(addr));
  const first = host(0);
  // Large enough for a huge page.
  assertEquals(first % 0x20_0000n, 0n);
  assertEquals([host(3 * PAGE) - first, host(4 * PAGE) - first], [12_288n, 16_384n]);
  assertEquals(host(2 ** 32 + PAGE) - host(2 ** 32), 4096n);
});

Deno.test("an access across a boundary reads and writes both regions", () => {
  using memory = adjacent([PAGE, PAGE, PAGE]);
  assertEquals(extentAt(memory, PAGE - 4, 8), [PAGE / 2, PAGE]);
  memory.write(count(8), gpa(PAGE - 4));
  memory.writeObj(u64, 0x0807_0605_0403_0201n, gpa(2 * PAGE - 4));
  const bytes = (addr: number) => {
    const region = memory.findRegion(gpa(addr))!;
    const buf = new Uint8Array(4);
    region.read(buf, addr - region.startAddr as MemoryRegionAddress);
    return [...buf];
  };
  assertEquals([bytes(PAGE - 4), bytes(PAGE)], [[1, 2, 3, 4], [5, 6, 7, 8]]);
  assertEquals([bytes(2 * PAGE - 4), bytes(2 * PAGE)], [[1, 2, 3, 4], [5, 6, 7, 8]]);
  assertEquals(read(memory, PAGE - 4, 8), count(8));
  assertEquals(memory.readObj(u64, gpa(2 * PAGE - 4)), 0x0807_0605_0403_0201n);
});

Deno.test("an access that is longer than a boundary view, or crosses two, reads and writes all regions", () => {
  using memory = adjacent([PAGE, PAGE, PAGE]);
  const all = Uint8Array.from({ length: 3 * PAGE - 2 }, (_, i) => i % 251);
  assertEquals(memory.write(all, gpa(1)), all.length);
  assertEquals(read(memory, 1, all.length), all);
  assertEquals(extentAt(memory, 1, all.length), undefined);
});

Deno.test("a boundary view ends where a region does, and at a hole", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE], [gpa(PAGE), PAGE], [
    gpa(4 * PAGE),
    PAGE,
  ]]);
  assertEquals(memory.write(count(8), gpa(2 * PAGE - 4)), 4);
  assertThrows(() => memory.readObj(u64, gpa(2 * PAGE - 4)), PartialBuffer);
  assertEquals(extentAt(memory, 5 * PAGE - 1, 2), undefined);
});

Deno.test("regions that do not end with a page adjoin in the guest only", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 1], [gpa(1), 1], [gpa(2), PAGE]]);
  assertEquals([extentAt(memory, 0, 2), extentAt(memory, 1, 2)], [undefined, undefined]);
  assertEquals(memory.write(count(6), gpa(0)), 6);
  assertEquals(read(memory, 0, 6), count(6));
});

Deno.test("regions that are adjacent in the guest only have no boundary view, and the same bytes", () => {
  using block = adjacent([PAGE, PAGE, PAGE]);
  const [first, , third] = [...block].map(({ mmap }) => mmap);
  using memory = GuestMemoryMmap.fromRegions([
    new GuestRegionMmap(first!, gpa(0)),
    new GuestRegionMmap(third!, gpa(PAGE)),
  ]);
  assertEquals(extentAt(memory, PAGE - 4, 8), undefined);
  memory.write(count(8), gpa(PAGE - 4));
  assertEquals(read(memory, PAGE - 4, 8), count(8));
  assertEquals(read(block, 2 * PAGE, 4), Uint8Array.of(5, 6, 7, 8));
});

Deno.test("writes across a boundary of tracked regions mark both", () => {
  const bitmaps: AtomicBitmap[] = [];
  using memory = adjacent([PAGE, PAGE], {
    bitmap: (length: number) => (bitmaps.push(new AtomicBitmap(length)), bitmaps.at(-1)!),
  });
  memory.write(count(8), gpa(PAGE - 4));
  assertEquals(bitmaps.map((bitmap) => bitmap.isBitSet(0)), [true, true]);
});

Deno.test("tracked memory does at its boundaries what the model does", () => {
  checkBoundary((ranges, options) => GuestMemoryMmap.fromRanges(ranges, options), PAGE, 400);
});

Deno.test("a boundary view is used for tracked regions, and marks each side's part", () => {
  const bitmaps: AtomicBitmap[] = [];
  const bitmap = (length: number) => (bitmaps.push(new AtomicBitmap(length, 1)), bitmaps.at(-1)!);
  using memory = adjacent([PAGE, PAGE], { bitmap });
  const marks = (write: () => unknown) => {
    for (const each of bitmaps) each.reset();
    write();
    return bitmaps.map((each) => [...each.dirtyRuns()]);
  };
  assertEquals(extentAt(memory, PAGE - 4, 8), [PAGE / 2, PAGE]);
  const both: DirtyRun[][] = [[[PAGE - 4, 4]], [[0, 4]]];
  assertEquals(marks(() => memory.write(count(8), gpa(PAGE - 4))), both);
  assertEquals(marks(() => memory.writeObj(u64, 1n, gpa(PAGE - 4))), both);
  assertEquals(marks(() => memory.readVolatileFrom(gpa(PAGE - 4), new Cursor(count(8)), 8)), both);
  const stream: ReadVolatile = {
    readVectoredVolatile: () => 0,
    readVolatile(slice) {
      assertEquals(slice.len, 8);
      slice.writeObj(u8, 1, 3);
      slice.writeObj(u8, 1, 4);
      const part = slice.offset(2);
      assertEquals([0, 1, 2, 3].map((at) => part.bitmap.dirtyAt(at)), [false, true, true, false]);
      part.bitmap.sliceAt(2).markDirty(1, 2);
      return 8;
    },
  };
  const parts = marks(() => memory.readVolatileFrom(gpa(PAGE - 4), stream, 8));
  assertEquals(parts, [[[PAGE - 1, 1]], [[0, 3]]]);
  const reads = () => {
    memory.read(new Uint8Array(8), gpa(PAGE - 4));
    memory.readObj(u64, gpa(PAGE - 4));
    memory.writeVolatileTo(gpa(PAGE - 4), new Cursor(count(8)), 8);
  };
  assertEquals(marks(reads), [[], []]);
});

Deno.test("a write across a boundary marks both sides even if one bitmap throws", () => {
  for (const failing of [0, 1]) {
    const bitmaps: AtomicBitmap[] = [];
    using memory = adjacent([PAGE, PAGE], {
      bitmap(length: number) {
        const bitmap = new AtomicBitmap(length, 1);
        if (bitmaps.push(bitmap) === failing + 1) {
          bitmap.markDirty = () => {
            throw new Error("full");
          };
        }
        return bitmap;
      },
    });
    assertThrows(() => memory.write(count(8), gpa(PAGE - 4)), Error, "full");
    assertEquals(read(memory, PAGE - 4, 8), count(8));
    const other = bitmaps[1 - failing]!;
    assertEquals([...other.dirtyRuns()], [failing === 1 ? [PAGE - 4, 4] : [0, 4]]);
  }
});

Deno.test("a region that overrides read is called at a boundary too", () => {
  class Silent extends GuestRegionMmap {
    override read(buf: Uint8Array): number {
      buf.fill(0xee);
      return buf.length;
    }
  }
  using plain = adjacent([PAGE, PAGE]);
  const [first, second] = plain;
  using memory = GuestRegionCollection.fromRegions([
    first!,
    new Silent(
      new MmapRegion(PAGE, { backing: Backing.foreign(second!.mmap.hostAddress()) }),
      gpa(PAGE),
    ),
  ]);
  plain.write(count(8), gpa(PAGE - 4));
  const buf = new Uint8Array(8);
  memory.read(buf, gpa(PAGE - 4));
  assertEquals([...buf], [1, 2, 3, 4, 0xee, 0xee, 0xee, 0xee]);
});

Deno.test("a boundary view follows the protection of its regions", () => {
  using memory = adjacent([PAGE, PAGE]);
  const [first, second] = memory;
  memory.write(count(8), gpa(PAGE - 4));
  for (const { mmap } of [first!, second!]) {
    mmap.protect(Permissions.Read);
    assertEquals(read(memory, PAGE - 4, 8), count(8));
    assertThrows(() => memory.writeObj(u64, 1n, gpa(PAGE - 4)), AccessDenied);
    mmap.protect(Permissions.No);
    assertThrows(() => read(memory, PAGE - 4, 8), AccessDenied);
    mmap.protect(Permissions.ReadWrite);
    // What was in front of the protected bytes has been written: a prefix.
    memory.write(count(8), gpa(PAGE - 4));
    assertEquals(read(memory, PAGE - 4, 8), count(8));
  }
});

Deno.test("accesses use a new boundary view once the protection allows it again", () => {
  using memory = adjacent([PAGE, PAGE]);
  const [first] = memory;
  const old = keepView(memory);
  first!.mmap.protect(Permissions.Read);
  assertEquals(old.length, 0);
  assertThrows(() => memory.write(count(8), gpa(PAGE - 4)), AccessDenied);
  assertEquals(read(memory, PAGE - 4, 8), new Uint8Array(8));
  first!.mmap.protect(Permissions.ReadWrite);
  const writes = [
    () => memory.writeObj(u64, 3n, gpa(PAGE - 4)),
    () => memory.write(count(8), gpa(PAGE - 4)),
  ];
  for (const write of writes) {
    write();
    // One view has all 8 bytes.
    assertEquals(keepView(memory).length, 8);
  }
  assertEquals(read(memory, PAGE - 4, 8), count(8));
});

Deno.test("what changes no permission leaves views across a boundary as they are", () => {
  using memory = adjacent([PAGE, PAGE]);
  const view = keepView(memory);
  for (const { mmap } of memory) mmap.protect(Permissions.ReadWrite);
  assertEquals(view.length, 8);
});

Deno.test("two maps of the same regions use one boundary view, also one within the other", () => {
  using one = adjacent([PAGE, PAGE]);
  using two = one.insertRegion(GuestRegionMmap.fromRange(gpa(4 * PAGE), PAGE));
  const nested: ReadVolatile = {
    readVolatile(slice) {
      const view = slice.rawView();
      two.readObj(u64, gpa(PAGE - 4));
      view.set(count(8));
      return slice.len;
    },
    readVectoredVolatile: () => 0,
  };
  assertEquals(one.readVolatileFrom(gpa(PAGE - 4), nested, 8), 8);
  assertEquals(read(two, PAGE - 4, 8), count(8));
});

Deno.test("a boundary view that was transferred keeps both mappings: closing throws", () => {
  const memory = adjacent([PAGE, PAGE]);
  const [first, second] = memory;
  const view = keepView(memory).fill(7);
  const transferred = new Uint8Array(view.buffer.transfer());
  assertThrows(() => memory.close(), AggregateError, "Cannot close all regions");
  // Both halves are there: neither was unmapped.
  assertEquals(transferred.filter((byte) => byte === 7).length, 8);
  assertEquals([first!.closed, second!.closed, memory.closed], [true, true, true]);
  assertThrows(() => memory.readObj(u64, gpa(PAGE - 4)), MemoryClosed);
});

Deno.test("two maps of the same regions may use one boundary view, and either may be closed", () => {
  const small = adjacent([PAGE, PAGE]);
  using large = small.insertRegion(GuestRegionMmap.fromRange(gpa(2 * PAGE), PAGE));
  small.write(count(8), gpa(PAGE - 4));
  assertEquals(read(large, PAGE - 4, 8), count(8));
  large.write(count(16), gpa(PAGE - 8));
  assertEquals(read(small, PAGE - 8, 16), count(16));
  small.close();
  assertEquals(read(large, PAGE - 8, 16), count(16));
});

Deno.test("one mapping at two places meets different neighbours", () => {
  using block = adjacent([PAGE, PAGE]);
  const [first, second] = [...block].map(({ mmap }) => mmap);
  using memory = GuestMemoryMmap.fromRegions([
    new GuestRegionMmap(second!, gpa(0)),
    new GuestRegionMmap(first!, gpa(PAGE)),
    new GuestRegionMmap(second!, gpa(2 * PAGE)),
  ]);
  memory.write(count(8), gpa(PAGE - 4));
  memory.write(count(8).reverse(), gpa(2 * PAGE - 4));
  assertEquals(read(memory, PAGE - 4, 8), count(8));
  assertEquals(read(block, 2 * PAGE - 4, 4), Uint8Array.of(1, 2, 3, 4));
  assertEquals(read(block, PAGE - 4, 8), count(8).reverse());
});

Deno.test("a removed region takes the boundary view along", () => {
  using memory = adjacent([PAGE, PAGE]);
  memory.write(count(8), gpa(PAGE - 4));
  const [rest, removed] = memory.removeRegion(gpa(PAGE), PAGE);
  assertEquals(rest.write(count(8), gpa(PAGE - 4)), 4);
  removed.close();
  rest.close();
  assertEquals(read(memory, PAGE - 4, 8), count(8));
});

Deno.test("a descriptor transfers across a boundary, and no more than there is", () => {
  using file = temporaryFile(16);
  Deno.writeFileSync(file.path, count(16));
  using memory = adjacent([PAGE, PAGE]);
  const fd = openSync(file.path, "r+");
  assertEquals(memory.readVolatileFrom(gpa(PAGE - 4), new Fd(fd), 100), 16);
  assertEquals(read(memory, PAGE - 4, 16), count(16));
  assertEquals(memory.writeVolatileTo(gpa(PAGE - 2), new Fd(fd), 4), 4);
  closeSync(fd);
  assertEquals([...Deno.readFileSync(file.path).subarray(16)], [3, 4, 5, 6]);
});

Deno.test("a stream that takes several slices gets one across a boundary; others one for each region", () => {
  using memory = adjacent([PAGE, PAGE]);
  const lengths: number[] = [];
  const simple: ReadVolatile = {
    readVolatile: (slice) => (lengths.push(slice.len), slice.write(count(slice.len), 0)),
  };
  assertEquals(memory.readVolatileFrom(gpa(PAGE - 4), simple, 8), 8);
  assertEquals(lengths, [4, 4]);
  const vectored: ReadVolatile = { ...simple, readVectoredVolatile: () => 0 };
  assertEquals(memory.readVolatileFrom(gpa(PAGE - 4), vectored, 8), 8);
  assertEquals(lengths, [4, 4, 8]);
  assertEquals(read(memory, PAGE - 4, 8), count(8));
});

Deno.test("a cursor crosses a boundary from any position", () => {
  using memory = adjacent([PAGE, PAGE]);
  const source = new Cursor(count(10), 2);
  assertEquals(memory.readVolatileFrom(gpa(PAGE - 4), source, 100), 8);
  assertEquals(read(memory, PAGE - 4, 8), count(10).subarray(2));
  const sink = new Cursor(new Uint8Array(10), 3);
  assertEquals(memory.writeVolatileTo(gpa(PAGE - 4), sink, 6), 6);
  assertEquals([...sink.bytes], [0, 0, 0, 3, 4, 5, 6, 7, 8, 0]);
  assertEquals([source.position, sink.position], [10, 9]);
});

Deno.test("what a stream has kept of a boundary view is empty once the memory is closed", () => {
  const memory = adjacent([PAGE, PAGE]);
  const view = keepView(memory);
  let slice: VolatileSlice | undefined;
  const keeping: ReadVolatile = {
    readVolatile: (given) => (slice = given).len,
    readVectoredVolatile: () => 0,
  };
  memory.readVolatileFrom(gpa(PAGE - 4), keeping, 8);
  assertEquals([view.length, slice!.readObj(u8, 7)], [8, 0]);
  memory.close();
  assertEquals(view.length, 0);
  assertThrows(() => slice!.readObj(u8, 7), MemoryClosed);
});

Deno.test("many seams: 4,096 adjacent regions as one", () => {
  const regions = 4096;
  using memory = adjacent(Array.from({ length: regions }, () => PAGE));
  for (let region = 1; region < regions; region += 7) {
    memory.writeObj(u64, BigInt(region), gpa(region * PAGE - 4));
  }
  for (let region = 1; region < regions; region += 7) {
    assertEquals(memory.readObj(u64, gpa(region * PAGE - 4)), BigInt(region));
  }
  assert(extentAt(memory, 5 * PAGE - 4, 8) !== undefined);
});

Deno.test("a region between two closes the views across both its boundaries", () => {
  using memory = adjacent([PAGE, PAGE, PAGE]);
  const [first, middle, last] = [...memory].map(({ hostSlice }) => hostSlice!.memory);
  const views = [first!.boundaryView(middle!)!, middle!.boundaryView(last!)!];
  assertEquals(views.map(({ closed }) => closed), [false, false]);
  memory.findRegion(gpa(PAGE))!.mmap.protect(Permissions.Read);
  assertEquals(views.map(({ closed }) => closed), [true, true]);
});

Deno.test("a region that may not be read has no boundary view on either side", () => {
  for (const side of [0, 1]) {
    using memory = adjacent([PAGE, PAGE]);
    memory.findRegion(gpa(side * PAGE))!.mmap.protect(Permissions.Write);
    const [first, second] = [...memory].map(({ hostSlice }) => hostSlice!.memory);
    assertEquals(first!.boundaryView(second!), undefined);
    assertEquals(memory.write(count(8), gpa(PAGE - 4)), 8);
    assertThrows(() => memory.readObj(u64, gpa(PAGE - 4)), AccessDenied);
  }
});

Deno.test("regions of one thread over one mapping have one boundary view", () => {
  using memory = adjacent([PAGE, PAGE]);
  const [first, second] = [...memory].map(({ mmap }) => mmap);
  using other = MmapRegion.attach(second!.share());
  const [before, after, again] = [first!, second!, other].map((mmap) =>
    mmap.asVolatileSlice().memory
  );
  const view = before!.boundaryView(after!)!;
  assertStrictEquals(before!.boundaryView(again!), view);
  other.protect(Permissions.No);
  assertEquals([view.closed, before!.boundaryView(after!)], [true, undefined]);
  other.protect(Permissions.ReadWrite);
  assertEquals(before!.boundaryView(after!)!.closed, false);
});

Deno.test("two memories at one place have a boundary view each", () => {
  using memory = adjacent([PAGE, PAGE]);
  const [first, second] = [...memory].map(({ mmap }) => mmap);
  using foreign = new MmapRegion(PAGE, { backing: Backing.foreign(second!.hostAddress()) });
  const [before, after, again] = [first!, second!, foreign].map((mmap) =>
    mmap.asVolatileSlice().memory
  );
  const views = [before!.boundaryView(after!)!, before!.boundaryView(again!)!];
  foreign.close();
  assertEquals(views.map(({ closed }) => closed), [false, true]);
});

Deno.test("a boundary view has half of each side, however long the other one is", () => {
  for (const [before, after] of [[4, 1], [1, 4], [1, 64], [64, 1]] as const) {
    using memory = adjacent([before * PAGE, after * PAGE]);
    const at = before * PAGE;
    const [first, second] = [at, after * PAGE].map((length) => Math.min(length / 2, 2 ** 16));
    assertEquals(extentAt(memory, at - 4, 8), [at - first!, first! + second!]);
  }
});
