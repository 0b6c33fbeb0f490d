import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  Backing,
  bytes,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  InvalidBackendAddress,
  InvalidGuestAddress,
  InvalidGuestRegion,
  MappingPastEof,
  MemoryRegionAddress,
  MemoryRegionOverlap,
  MmapRegion,
  NoMemoryRegion,
  PartialBuffer,
  Permissions,
  SystemError,
  u16,
  u32,
  u64,
  u8,
  UnsortedMemoryRegions,
} from "../../../mod.ts";
import { mappingAt, mappingsOf, sharedMappingsOfSize } from "../../support/proc_maps.ts";
import { checkAgainstModel } from "../../support/memory_model.ts";
import { RecordingBitmap } from "../../support/recording_bitmap.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;
const TiB = 2 ** 40;
const END = 2 ** 53;

linuxTest("GuestMemoryMmap.fromRanges() maps each range as the options say", () => {
  const lengths: number[] = [];
  using memory = GuestMemoryMmap.fromRanges(
    [[GuestAddress(0), PAGE], [GuestAddress(PAGE), 1000], [GuestAddress(2 ** 32), 2 * PAGE]],
    {
      backing: Backing.anonymous({ shared: true }),
      protection: Permissions.Read,
      bitmap: (length) => {
        lengths.push(length);
        return new RecordingBitmap();
      },
    },
  );
  assertEquals(lengths, [PAGE, 1000, 2 * PAGE]);
  assertEquals([...memory].map((region) => region.len), lengths);
  for (const region of memory) {
    assertEquals(mappingAt(region.getHostAddress(MemoryRegionAddress(0)))?.permissions, "r--s");
    assertEquals([region.fileOffset, region.isHugetlbfs], [undefined, false]);
  }
  assertEquals(memory.lastAddr, GuestAddress(2 ** 32 + 2 * PAGE - 1));
});

linuxTest("GuestMemoryMmap.fromRanges() has the options of all where a range has none", () => {
  const [all, own] = [new RecordingBitmap(), new RecordingBitmap()];
  const placed: unknown[] = [];
  using memory = GuestMemoryMmap.fromRanges([
    [GuestAddress(0), PAGE],
    [GuestAddress(2 * PAGE), PAGE, { bitmap: () => own, guardPages: true }],
    [GuestAddress(4 * PAGE), PAGE, { protection: Permissions.ReadWrite }],
  ], {
    protection: Permissions.Read,
    bitmap: (...place) => {
      placed.push(place);
      return all;
    },
  });
  const regions = [...memory];
  assertEquals(regions.map(({ bitmap }) => bitmap), [all, own, all]);
  assertEquals(placed, [[PAGE, GuestAddress(0)], [PAGE, GuestAddress(4 * PAGE)]]);
  assertEquals(regions.map(({ mmap }) => mmap.protection), [
    ...[Permissions.Read, Permissions.Read, Permissions.ReadWrite],
  ]);
});

Deno.test("GuestMemoryMmap.flush() waits unless it is told not to", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]]);
  const waits: unknown[] = [];
  const { mmap } = memory.findRegion(GuestAddress(0))!;
  Object.defineProperty(mmap, "flush", { value: (wait: unknown) => waits.push(wait) });
  memory.flush();
  memory.flush(false);
  assertEquals(waits, [true, false]);
});

Deno.test("GuestMemoryMmap.fill() and isZero() are of all regions of a range", () => {
  const starts = [0, PAGE, 2 * PAGE] as const;
  using memory = GuestMemoryMmap.fromRanges(starts.map((start) => [GuestAddress(start), PAGE]));
  const isZero = () => memory.isZero(GuestAddress(0), 3 * PAGE);
  assertEquals(isZero(), true);
  for (const start of starts) {
    memory.fill(GuestAddress(start + 5), 1, 7);
    assertEquals([isZero(), memory.readObj(u8, GuestAddress(start + 5))], [false, 7]);
    memory.fill(GuestAddress(0), 3 * PAGE, 0);
    assertEquals(isZero(), true);
  }
});

Deno.test("GuestMemoryMmap does what the model does", () => {
  checkAgainstModel((ranges, options) => GuestMemoryMmap.fromRanges(ranges, options));
});

Deno.test("GuestMemoryMmap in shared memory does what the model does", () => {
  const backing = Backing.anonymous({ shared: true });
  checkAgainstModel((ranges, options) =>
    GuestMemoryMmap.fromRanges(ranges, { ...options, backing })
  );
});

Deno.test("GuestMemoryMmap.fromRanges() takes any iterable, and at least one range", () => {
  using memory = GuestMemoryMmap.fromRanges(new Map([[GuestAddress(0), PAGE]]));
  assertEquals(memory.numRegions, 1);
  assertThrows(() => GuestMemoryMmap.fromRanges([]), NoMemoryRegion);
  assertThrows(() => GuestMemoryMmap.fromRangesWithFiles([]), NoMemoryRegion);
  assertThrows(() => GuestMemoryMmap.fromRegions([]), NoMemoryRegion);
});

Deno.test("GuestMemoryMmap.fromRangesWithFiles() maps files where they are given", () => {
  using file = temporaryFile(new Uint8Array(3 * PAGE).fill(7, 2 * PAGE));
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const offset = new FileOffset(opened, PAGE);
  using memory = GuestMemoryMmap.fromRangesWithFiles([
    [GuestAddress(0), PAGE],
    [GuestAddress(PAGE), 2 * PAGE, offset],
    [GuestAddress(3 * PAGE), PAGE],
  ]);
  assertEquals([...memory].map((region) => region.fileOffset), [undefined, offset, undefined]);
  assertEquals(memory.readObj(u32, GuestAddress(2 * PAGE)), 0x07070707);
  memory.writeObj(u64, 2n ** 64n - 1n, GuestAddress(PAGE - 4));
  const shared = Deno.readFileSync(file.path);
  assertEquals(shared.subarray(PAGE, PAGE + 5), Uint8Array.of(255, 255, 255, 255, 0));
  assertEquals(memory.readObj(u64, GuestAddress(PAGE - 4)), 2n ** 64n - 1n);
});

Deno.test("GuestMemoryMmap.fromRanges() keeps a private file's writes to itself", () => {
  using file = temporaryFile(PAGE);
  using opened = Deno.openSync(file.path, { read: true });
  const backing = Backing.file(opened, { private: true });
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]], { backing });
  memory.writeObj(u8, 7, GuestAddress(0));
  assertEquals(memory.readObj(u8, GuestAddress(0)), 7);
  assertEquals(Deno.readFileSync(file.path)[0], 0);
});

linuxTest("GuestMemoryMmap.fromRanges() that fails unmaps what it had mapped", () => {
  const size = 0x6_1000;
  const options = { backing: Backing.anonymous({ shared: true }) };
  const from = (...starts: number[]) => () =>
    GuestMemoryMmap.fromRanges(starts.map((start) => [GuestAddress(start), size]), options);
  assertThrows(from(0, size - 1), MemoryRegionOverlap, "0x0-0x60fff and 0x60fff-0xc1ffe");
  assertThrows(from(0, 0), MemoryRegionOverlap);
  assertThrows(from(2 * size, 0), UnsortedMemoryRegions);
  for (const starts of [[0, size, END - size + PAGE], [0, END - size + PAGE, size]]) {
    assertThrows(from(...starts), InvalidGuestRegion);
  }
  assertEquals(sharedMappingsOfSize(size), []);
  using memory = from(0, size, END - size)();
  assertEquals([memory.numRegions, sharedMappingsOfSize(size).length], [3, 3]);
});

linuxTest("GuestMemoryMmap.fromRanges() unmaps when the kernel or the caller fails midway", () => {
  const size = 0x6_3000;
  const options = { backing: Backing.anonymous({ shared: true }) };
  assertThrows(
    () =>
      GuestMemoryMmap.fromRanges(
        [[GuestAddress(0), size], [GuestAddress(size), 2 ** 52]],
        options,
      ),
    SystemError,
    "ENOMEM",
  );
  assertThrows(
    () => GuestMemoryMmap.fromRanges([[GuestAddress(0), size], [GuestAddress(size), -1]], options),
    RangeError,
  );
  function* ranges(): Generator<[GuestAddress, number]> {
    yield [GuestAddress(0), size];
    throw new Error("no more ranges");
  }
  assertThrows(() => GuestMemoryMmap.fromRanges(ranges(), options), Error, "no more ranges");
  let bitmaps = 0;
  const bitmap = () => {
    if (bitmaps++ === 1) throw new Error("no more bitmaps");
    return new RecordingBitmap();
  };
  const two = [[GuestAddress(0), size], [GuestAddress(size), size]] as const;
  assertThrows(
    () => GuestMemoryMmap.fromRanges(two, { backing: Backing.anonymous({ shared: true }), bitmap }),
    Error,
    "bitmaps",
  );
  assertEquals(sharedMappingsOfSize(size), []);
});

linuxTest("GuestMemoryMmap.fromRangesWithFiles() that fails unmaps the files", () => {
  using file = temporaryFile(2 * PAGE);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const offset = new FileOffset(opened);
  assertThrows(
    () =>
      GuestMemoryMmap.fromRangesWithFiles([
        [GuestAddress(0), PAGE, offset],
        [GuestAddress(PAGE), 3 * PAGE, offset],
      ]),
    MappingPastEof,
  );
  assertEquals(mappingsOf(file.path), []);
});

Deno.test("GuestMemoryMmap.fromRegions() that fails leaves the regions to the caller", () => {
  using low = GuestRegionMmap.fromRange(GuestAddress(0), PAGE);
  using high = GuestRegionMmap.fromRange(GuestAddress(PAGE), PAGE);
  assertThrows(() => GuestMemoryMmap.fromRegions([high, low]), UnsortedMemoryRegions);
  assertThrows(() => GuestMemoryMmap.fromRegions([low, low]), MemoryRegionOverlap);
  low.writeObj(u8, 7, MemoryRegionAddress(0));
  using memory = GuestMemoryMmap.fromRegions([low, high]);
  assertEquals(memory.readObj(u8, GuestAddress(0)), 7);
});

Deno.test("GuestMemoryMmap of 8 TiB is read and written at both ends and far inside", () => {
  const start = 2 ** 44;
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(start), 8 * TiB]]);
  const last = 8 * TiB - 8;
  for (const offset of [0, 2 ** 31 - 8, 2 ** 31, 2 ** 32 - 8, 2 ** 32, 2 ** 42, last]) {
    const addr = GuestAddress(start + offset);
    const value = BigInt(offset) + 1n;
    memory.writeObj(u64, value, addr);
    memory.store(u32, Number(value % 2n ** 32n), addr);
    assertEquals([memory.readObj(u64, addr), memory.load(u64, addr)], [value, value]);
  }
  for (const offset of [2 ** 31 - 3, 2 ** 32 - 3, 2 ** 42 - 3]) {
    memory.writeSlice(Uint8Array.of(1, 2, 3, 4, 5, 6), GuestAddress(start + offset));
    const read = new Uint8Array(6);
    memory.readSlice(read, GuestAddress(start + offset));
    assertEquals(read, Uint8Array.of(1, 2, 3, 4, 5, 6));
    assertEquals(memory.readObj(u32, GuestAddress(start + offset + 1)), 0x05040302);
  }
  assertThrows(() => memory.readObj(u64, GuestAddress(start + last + 1)), PartialBuffer);
  assertThrows(() => memory.readObj(u8, GuestAddress(start + 8 * TiB)), InvalidGuestAddress);
  assertEquals(memory.toString().split("\n")[0], "GuestMemoryMmap 8 TiB in 1 region");
});

Deno.test("GuestMemoryMmap.readObj() of more bytes than there are allocates none of them", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]]);
  // A guest names the length of a buffer: more than V8 can allocate here, so that the attempt shows.
  assertThrows(() => memory.readObj(bytes(TiB), GuestAddress(0)), PartialBuffer);
  assertThrows(() => memory.readObj(bytes(TiB), GuestAddress(PAGE)), InvalidGuestAddress);
});

linuxTest("GuestMemoryMmap of 4,096 regions reaches every one of them, and unmaps them all", () => {
  const size = 0x5000;
  // Every region apart, by a hole of a page.
  const starts = Array.from({ length: 4096 }, (_, i) => GuestAddress(i * (size + PAGE)));
  const memory = GuestMemoryMmap.fromRanges(starts.map((start) => [start, size]), {
    backing: Backing.anonymous({ shared: true }),
  });
  const addresses = [...memory].map((region) => region.getHostAddress(MemoryRegionAddress(0)));
  assertEquals([memory.numRegions, new Set(addresses).size], [4096, 4096]);
  assert(sharedMappingsOfSize(size).length >= 4096);
  for (const [i, start] of starts.entries()) memory.writeObj(u32, i, start);
  assertEquals(starts.every((start, i) => memory.readObj(u32, start) === i), true);
  fc.assert(fc.property(
    fc.nat(4095),
    fc.nat(size + PAGE - 1),
    fc.bigInt(0n, 2n ** 64n - 1n),
    (i, offset, value) => {
      const addr = GuestAddress(starts[i]! + offset);
      const inside = offset < size;
      assertEquals(memory.addressInRange(addr), inside);
      assertEquals(memory.findRegion(addr)?.startAddr, inside ? starts[i] : undefined);
      if (offset > size - 8) return;
      memory.writeObj(u64, value, addr);
      assertEquals(memory.readObj(u64, addr), value);
    },
  ));
  memory.close();
  const left = new Set(sharedMappingsOfSize(size).map(({ start }) => BigInt(start)));
  assertEquals(addresses.filter((address) => left.has(address)), []);
});

Deno.test("GuestMemoryMmap copies across 4,096 adjacent regions as across one", () => {
  const size = 100;
  using memory = GuestMemoryMmap.fromRanges(
    Array.from({ length: 4096 }, (_, i) => [GuestAddress(i * size), size] as const),
  );
  const data = Uint8Array.from({ length: 4096 * size }, (_, i) => i % 251);
  assertEquals(memory.write(data, GuestAddress(0)), data.length);
  const read = new Uint8Array(data.length);
  memory.readSlice(read, GuestAddress(0));
  assert(read.every((byte, i) => byte === data[i]));
  assert(memory.checkRange(GuestAddress(0), data.length));
});

for (const start of [2 ** 31, 2 ** 32, 2 ** 31 - PAGE, 2 ** 52, END - 3 * PAGE]) {
  Deno.test(`GuestRegionMmap at 0x${start.toString(16)} is accessed by guest address`, () => {
    using memory = GuestMemoryMmap.fromRanges([[GuestAddress(start), 3 * PAGE]]);
    const region = memory.findRegion(GuestAddress(start))!;
    assertEquals(region.lastAddr, GuestAddress(start + 3 * PAGE - 1));
    memory.writeObj(u64, 42n, GuestAddress(start + 2 * PAGE));
    assertEquals(region.readObj(u64, MemoryRegionAddress(2 * PAGE)), 42n);
    assertEquals(region.toRegionAddr(GuestAddress(start + PAGE)), MemoryRegionAddress(PAGE));
    assertEquals(memory.findRegion(GuestAddress(start - 1)), undefined);
  });
}

Deno.test("GuestRegionMmap may end at 2^53, and accesses end there", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(END - PAGE), PAGE]]);
  assertEquals(memory.lastAddr, GuestAddress(END - 1));
  memory.writeObj(u8, 7, GuestAddress(END - 1));
  assertEquals(memory.read(new Uint8Array(16), GuestAddress(END - 5)), 5);
  assertThrows(() => memory.readObj(u64, GuestAddress(END - 5)), PartialBuffer);
  assertEquals(memory.checkRange(GuestAddress(END - 1), 1), true);
  assertEquals(memory.checkRange(GuestAddress(END - 1), 2), false);
});

linuxTest("GuestRegionMmap that would end beyond 2^53 is refused, and its mapping unmapped", () => {
  const size = 0x6_5000;
  for (const start of [END - size + 2, END - size + PAGE, END - 1]) {
    assertThrows(
      () =>
        GuestRegionMmap.fromRange(GuestAddress(start), size, {
          backing: Backing.anonymous({ shared: true }),
        }),
      InvalidGuestRegion,
      "beyond 2^53",
    );
  }
  assertEquals(sharedMappingsOfSize(size), []);
});

Deno.test("GuestRegionMmap that would end one byte beyond 2^53 is refused", () => {
  for (const size of [2, 1000, PAGE]) {
    using mmap = new MmapRegion(size);
    // The sum of the two is 2^53 + 1, which no double is.
    assertThrows(() => new GuestRegionMmap(mmap, GuestAddress(END - size + 1)), InvalidGuestRegion);
    assertEquals(
      new GuestRegionMmap(mmap, GuestAddress(END - size)).lastAddr,
      GuestAddress(END - 1),
    );
  }
});

Deno.test("GuestRegionMmap refused for its address leaves the mapping to the caller", () => {
  using mmap = new MmapRegion(PAGE);
  assertThrows(() => new GuestRegionMmap(mmap, GuestAddress(END - 2)), InvalidGuestRegion);
  mmap.asVolatileSlice().writeObj(u8, 7, 0);
  using region = new GuestRegionMmap(mmap, GuestAddress(0));
  assertEquals(region.readObj(u8, MemoryRegionAddress(0)), 7);
});

Deno.test("GuestRegionMmap shares its mapping with another at another address", () => {
  const recorder = new RecordingBitmap();
  const mmap = new MmapRegion(2 * PAGE, { bitmap: () => recorder });
  using low = new GuestRegionMmap(mmap, GuestAddress(0));
  using high = new GuestRegionMmap(mmap, GuestAddress(2 ** 40));
  using memory = GuestMemoryMmap.fromRegions([low, high]);
  memory.writeObj(u64, 42n, GuestAddress(2 ** 40 + PAGE));
  assertEquals(memory.readObj(u64, GuestAddress(PAGE)), 42n);
  assertEquals(
    memory.getHostAddress(GuestAddress(PAGE)),
    memory.getHostAddress(GuestAddress(2 ** 40 + PAGE)),
  );
  assert(low.bitmap.dirtyAt(PAGE) && high.bitmap.dirtyAt(PAGE));
  assertEquals(recorder.take(), [[PAGE, 8]]);
});

linuxTest("getHostAddress() is where the kernel has the byte, at page-aligned regions", () => {
  using file = temporaryFile(16 * PAGE);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  using memory = GuestMemoryMmap.fromRangesWithFiles([
    [GuestAddress(0x1234), 5000, new FileOffset(opened)],
    [GuestAddress(2 ** 32), 8 * PAGE, new FileOffset(opened, 8 * PAGE)],
  ]);
  for (const region of memory) {
    const host = region.getHostAddress(MemoryRegionAddress(0));
    const mapping = mappingsOf(file.path).find(({ start }) => BigInt(start) === host);
    assertEquals(mapping?.offset, region.fileOffset?.start);
    assertEquals(host % BigInt(PAGE), 0n);
    for (const offset of [1, 4095, region.len - 1]) {
      const expected = host + BigInt(offset);
      assertEquals(region.getHostAddress(MemoryRegionAddress(offset)), expected);
      assertEquals(memory.getHostAddress(GuestAddress(region.startAddr + offset)), expected);
      assertEquals(mappingAt(expected)?.path, file.path);
    }
    assertThrows(
      () => region.getHostAddress(MemoryRegionAddress(region.len)),
      InvalidBackendAddress,
    );
  }
  assertThrows(() => memory.getHostAddress(GuestAddress(0)), InvalidGuestAddress);
});

Deno.test("getHostAddress() reads as the bytes at the guest address do", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(PAGE), 2 * PAGE]]);
  memory.writeObj(u64, 0x1122334455667788n, GuestAddress(PAGE + 1000));
  const pointer = Deno.UnsafePointer.create(memory.getHostAddress(GuestAddress(PAGE + 1000)))!;
  assertEquals(new Deno.UnsafePointerView(pointer).getBigUint64(), 0x1122334455667788n);
});

Deno.test("GuestMemoryMmap.toString() shows regions and holes", () => {
  using memory = GuestMemoryMmap.fromRanges([
    [GuestAddress(0), PAGE],
    [GuestAddress(4 * PAGE), PAGE],
  ]);
  assertEquals(memory.toString().split("\n").slice(1), [
    "  GuestRegionMmap 0x0-0xfff 4 KiB anonymous private read-write",
    "  0x1000-0x3fff hole 12 KiB",
    "  GuestRegionMmap 0x4000-0x4fff 4 KiB anonymous private read-write",
  ]);
  assertStringIncludes(Deno.inspect(memory), "2 regions");
});

Deno.test("GuestMemoryMmap.fromRanges() refuses a start that is no integer from 0", () => {
  for (const start of [NaN, 0.5, -1, Infinity]) {
    assertThrows(
      () => GuestMemoryMmap.fromRanges([[start as GuestAddress, 0x1000]]),
      RangeError,
      `Cannot use ${start} as startAddr`,
    );
  }
  for (const start of [1n, "0", null] as unknown[] as GuestAddress[]) {
    assertThrows(() => GuestMemoryMmap.fromRanges([[start, 0x1000]]), TypeError, "as startAddr");
  }
});

linuxTest("fill() and isZero() refuse a range that is not in regions with all its bytes", () => {
  using memory = GuestMemoryMmap.fromRanges([
    [GuestAddress(0), PAGE],
    [GuestAddress(PAGE), PAGE],
    [GuestAddress(4 * PAGE), PAGE],
  ]);
  for (
    const [addr, count, missing] of [
      ...[[0, 2 * PAGE + 1, 2 * PAGE], [PAGE, 4 * PAGE, 2 * PAGE], [3 * PAGE, 1, 3 * PAGE]],
      ...[[3 * PAGE, 2 * PAGE, 3 * PAGE], [5 * PAGE, 1, 5 * PAGE]],
    ] as [number, number, number][]
  ) {
    for (const use of ["fill", "isZero"] as const) {
      const error = assertThrows(
        () => memory[use](GuestAddress(addr), count, 7),
        InvalidGuestAddress,
      );
      assertEquals(error.address, GuestAddress(missing));
    }
  }
  // Nothing was set.
  assertEquals(memory.isZero(GuestAddress(0), 2 * PAGE), true);
  memory.fill(GuestAddress(PAGE - 1), 2, 7);
  assertEquals(memory.readObj(u16, GuestAddress(PAGE - 1)), 0x0707);
  memory.fill(GuestAddress(3 * PAGE), 0, 7);
  assertEquals(memory.isZero(GuestAddress(3 * PAGE), 0), true);
});
