import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  bytes,
  CannotResolve,
  Cursor,
  dirtyRuns,
  type GuestAddress,
  GuestMemoryHeap,
  type GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  HostAddressNotAvailable,
  InvalidBackendAddress,
  InvalidGuestAddress,
  type IoMemory,
  IommuMemory,
  Permissions,
  struct,
  u16,
  u32,
  u64,
  u8,
  type VolatileSlice,
} from "../../mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import {
  OPERATIONS,
  PAGE,
  physicalMemory,
  scattered,
  snapshot,
  TableIommu,
  Vectored,
} from "../support/iommu.ts";
import { exactly } from "../support/tracked_memories.ts";
import { content, count, gpa } from "../support/values.ts";

const { No, Read, ReadWrite, Write } = Permissions;

Deno.test("IommuMemory translates addresses while it is enabled", () => {
  const { physical, memory } = scattered();
  assertEquals([memory.enabled, memory.physicalMemory], [true, undefined]);
  memory.writeObj(u32, 7, gpa(0x1004));
  assertEquals(physical.readObj(u32, gpa(100)), 7);
  assertThrows(() => memory.readObj(u32, gpa(100)), CannotResolve);

  memory.enabled = false;
  assertStrictEquals(memory.physicalMemory, physical);
  assertEquals(memory.readObj(u32, gpa(100)), 7);
  assertThrows(() => memory.readObj(u32, gpa(0x1004)), InvalidGuestAddress);

  memory.enabled = true;
  assertEquals(memory.readObj(u32, gpa(0x1004)), 7);
});

Deno.test("IommuMemory that begins disabled does not ask its IOMMU", () => {
  const physical = physicalMemory();
  const iommu = new TableIommu();
  const memory = new IommuMemory(physical, iommu, { enabled: false });
  memory.writeSlice(count(80), gpa(8));
  assertEquals(content(memory, 8, 80), count(80));
  assert(memory.checkRange(gpa(0), 128, ReadWrite));
  assertFalse(memory.checkRange(gpa(0), 129));
  assertEquals([...memory.getSlices(gpa(0), 80)].map(({ len }) => len), [64, 16]);
  memory.store(u64, 5n, gpa(200));
  assertEquals([memory.load(u64, gpa(200)), iommu.asked], [5n, []]);
});

Deno.test("IommuMemory.withReplacedBackend() shares the IOMMU and the bitmap", () => {
  const { physical, iommu, bitmap, memory } = scattered();
  const other = physicalMemory();
  const replaced = memory.withReplacedBackend(other);
  assertStrictEquals(replaced.backend, other);
  assertStrictEquals(replaced.iommu, iommu);
  assertStrictEquals(replaced.bitmap, bitmap);
  assert(replaced.enabled);
  replaced.writeObj(u8, 9, gpa(0x1003));
  assertEquals([other.readObj(u8, gpa(99)), physical.readObj(u8, gpa(99))], [9, 0]);
  assert(bitmap.dirtyAt(0x1003));
  iommu.map(0x1800, 32);
  replaced.writeObj(u8, 3, gpa(0x1800));
  assertEquals(other.readObj(u8, gpa(32)), 3);

  memory.enabled = false;
  assert(replaced.enabled);
  assertFalse(memory.withReplacedBackend(other).enabled);
});

Deno.test("IommuMemory asks once for each access, with its range and what will be done", () => {
  const { iommu, memory } = scattered();
  memory.readSlice(new Uint8Array(40), gpa(0x1001));
  memory.writeObj(u32, 1, gpa(0x100e));
  memory.getAtomicRef(u16, gpa(0x1002)).fetchAdd(1);
  memory.writeVolatileTo(gpa(0x1000), new Cursor(new Uint8Array(99)), 48);
  [...memory.getSlices(gpa(0x1010), 8, Read)];
  [...memory.getSlices(gpa(0x1010), 8)];
  memory.checkRange(gpa(0x1000), 3, Write);
  assertEquals(iommu.asked, [
    [0x1001, 40, Read],
    [0x100e, 4, Write],
    [0x1002, 2, ReadWrite],
    [0x1000, 48, Read],
    [0x1010, 8, Read],
    [0x1010, 8, ReadWrite],
    [0x1000, 3, Write],
  ]);
});

Deno.test("an access of zero bytes behind an IOMMU succeeds at any address and asks nothing", () => {
  const { iommu, memory, bitmap } = scattered();
  const nothing = new Uint8Array(0);
  for (const at of [0, 0x1000, 2 ** 53 - 1]) {
    assertEquals(memory.read(nothing, gpa(at)), 0);
    assertEquals(memory.write(nothing, gpa(at)), 0);
    memory.readSlice(nothing, gpa(at));
    memory.writeSlice(nothing, gpa(at));
    assertEquals([...memory.getSlices(gpa(at), 0)], []);
    const stream = new Cursor(count(4));
    assertEquals(memory.readVolatileFrom(gpa(at), stream, 0), 0);
    memory.readExactVolatileFrom(gpa(at), stream, 0);
    assertEquals(memory.writeVolatileTo(gpa(at), stream, 0), 0);
    memory.writeAllVolatileTo(gpa(at), stream, 0);
    assert(memory.checkRange(gpa(at), 0, ReadWrite));
    assertEquals(stream.position, 0);
  }
  assertEquals([iommu.asked, bitmap.dirtyPages], [[], 0]);
});

for (const [name, needs, run] of OPERATIONS) {
  Deno.test(`IommuMemory.${name} needs ${["", "Read", "Write", "ReadWrite"][needs]}`, () => {
    for (const granted of [No, Read, Write, ReadWrite] as const) {
      const physical = physicalMemory();
      const iommu = new TableIommu().map(0x1000, 32, PAGE, granted);
      const bitmap = new AtomicBitmap(0x2000, 1);
      const memory = new IommuMemory(physical, iommu, { bitmap });
      const before = snapshot(physical);
      if (Permissions.allow(granted, needs)) {
        run(memory, gpa(0x1008));
      } else {
        const error = assertThrows(() => run(memory, gpa(0x1008)), CannotResolve);
        assertEquals(error.iovaRange, { base: 0x1008, length: 8 });
        assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
        assertEquals([...dirtyRuns(physical)], []);
      }
    }
  });

  Deno.test(`IommuMemory.${name} does nothing where the last byte may not be accessed`, () => {
    for (const rest of [undefined, No] as const) {
      const physical = physicalMemory();
      const iommu = new TableIommu().map(0x1000, 32);
      if (rest !== undefined) iommu.map(0x1010, 64, PAGE, rest);
      const bitmap = new AtomicBitmap(0x2000, 1);
      const memory = new IommuMemory(physical, iommu, { bitmap });
      const before = snapshot(physical);
      assertThrows(() => run(memory, gpa(0x1009)), CannotResolve);
      assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
      assertEquals([...dirtyRuns(physical)], []);
    }
  });
}

Deno.test("a stream is left alone where a part of the range is not translated", () => {
  const { memory } = scattered();
  const cursor = new Cursor(count(100));
  const vectored = new Vectored();
  for (const stream of [cursor, vectored]) {
    assertThrows(() => memory.readVolatileFrom(gpa(0x1000), stream, 49), CannotResolve);
    assertThrows(() => memory.readExactVolatileFrom(gpa(0x1000), stream, 49), CannotResolve);
    assertThrows(() => memory.writeVolatileTo(gpa(0x1000), stream, 49), CannotResolve);
    assertThrows(() => memory.writeAllVolatileTo(gpa(0x1000), stream, 49), CannotResolve);
  }
  assertEquals([cursor.position, vectored.calls], [0, []]);
});

Deno.test("IommuMemory goes over fragments and over regions in a fragment", () => {
  const { physical, memory } = scattered();
  assertEquals(memory.write(count(40), gpa(0x1004)), 40);
  assertEquals(content(physical, 100, 12), count(12));
  assertEquals(content(physical, 56, 16), count(16, 13));
  assertEquals(content(physical, 0, 13), Uint8Array.of(...count(12, 29), 0));
  assertEquals(content(memory, 0x1004, 41), Uint8Array.of(...count(40), 0));
  const slices = [...memory.getSlices(gpa(0x1004), 40)];
  assertEquals(slices.map(({ len }) => len), [12, 8, 8, 12]);
  assertEquals(slices.map((slice) => slice.readObj(u8, 0)), [1, 13, 21, 29]);
});

Deno.test("IommuMemory reads and writes values over fragments", () => {
  const { physical, memory } = scattered();
  memory.writeObj(u32, 0x0403_0201, gpa(0x100e));
  assertEquals(content(physical, 110, 2), Uint8Array.of(1, 2));
  assertEquals(content(physical, 56, 2), Uint8Array.of(3, 4));
  assertEquals(memory.readObj(u32, gpa(0x100e)), 0x0403_0201);
  // In one fragment, over two regions.
  memory.writeObj(u64, 7n, gpa(0x1014));
  assertEquals([memory.readObj(u64, gpa(0x1014)), physical.readObj(u64, gpa(60))], [7n, 7n]);
});

Deno.test("large values behind an IOMMU need no more rights than small ones", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 5000], [gpa(5000), 15_000]]);
  const iommu = new TableIommu();
  for (const [i, target] of [12_000, 3000, 8000].entries()) {
    iommu.map(i * 3000, target, 3000, Write).map(0x10_0000 + i * 3000, target, 3000, Read);
  }
  const memory = new IommuMemory(physical, iommu);
  const large = bytes(8000);
  memory.writeObj(large, count(8000), gpa(500));
  assertEquals(memory.readObj(large, gpa(0x10_0000 + 500)), count(8000));
  assertThrows(() => memory.readObj(large, gpa(500)), CannotResolve);
  assertThrows(() => memory.writeObj(large, count(8000, 9), gpa(0x10_0000)), CannotResolve);
  assertThrows(() => memory.readObj(large, gpa(0x10_0000 + 1001)), CannotResolve);
});

Deno.test("streams go over fragments, and stop at the first short operation", () => {
  const { physical, memory, bitmap } = scattered();
  const source = new Cursor(count(30));
  assertEquals(memory.readVolatileFrom(gpa(0x1004), source, 40), 30);
  assertEquals(content(memory, 0x1004, 31), Uint8Array.of(...count(30), 0));
  assertEquals(content(physical, 0, 3), Uint8Array.of(29, 30, 0));
  assertEquals([...bitmap.dirtyRuns()], [[0x1004, 30]]);
  const sink = new Cursor(new Uint8Array(25));
  assertEquals(memory.writeVolatileTo(gpa(0x1004), sink, 40), 25);
  assertEquals(sink.bytes, count(25));
});

Deno.test("a vectored stream gets all fragments in one call", () => {
  const { memory } = scattered();
  const source = new Vectored();
  assertEquals(memory.readVolatileFrom(gpa(0x1004), source, 40), 40);
  assertEquals(source.calls, [[12, 8, 8, 12]]);
  const sink = new Vectored();
  memory.writeAllVolatileTo(gpa(0x1004), sink, 40);
  assertEquals([sink.calls, sink.moved], [[[12, 8, 8, 12]], [...count(40)]]);
});

for (const limit of [1, 3, 7, 13]) {
  Deno.test(`the exact forms take pieces of ${limit} bytes, with no more rights than they need`, () => {
    const physical = physicalMemory();
    const iommu = new TableIommu();
    const targets = [96, 56, 0];
    for (const [i, target] of targets.entries()) {
      iommu.map(0x1000 + i * PAGE, target, PAGE, Write).map(0x3000 + i * PAGE, target, PAGE, Read);
    }
    const memory = new IommuMemory(physical, iommu);
    const piecewise = (bytes: Uint8Array) => {
      const cursor = new Cursor(bytes);
      const next = (slice: VolatileSlice) => slice.getSlice(0, Math.min(limit, slice.len));
      return {
        readVolatile: (slice: VolatileSlice) => cursor.readVolatile(next(slice)),
        writeVolatile: (slice: VolatileSlice) => cursor.writeVolatile(next(slice)),
      };
    };
    memory.readExactVolatileFrom(gpa(0x1004), piecewise(count(40)), 40);
    const sink = new Uint8Array(40);
    memory.writeAllVolatileTo(gpa(0x3004), piecewise(sink), 40);
    assertEquals(sink, count(40));
    memory.readExactVolatileFrom(gpa(0x1000), new Vectored(limit), 48);
    const vectored = new Vectored(limit);
    memory.writeAllVolatileTo(gpa(0x3000), vectored, 48);
    assertEquals(vectored.moved, [...count(48)]);
  });
}

Deno.test("writes behind an IOMMU to a region without slices are marked by both kinds of address", () => {
  const region = new ElsewhereRegion(gpa(32), 16, new AtomicBitmap(16, 1));
  const physical = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    new GuestRegionHeap(gpa(0), 32, exactly),
    region,
  ]);
  const bitmap = new AtomicBitmap(64, 1);
  const memory = new IommuMemory(physical, new TableIommu().map(16, 40, 8).map(24, 0), { bitmap });
  memory.write(count(12), gpa(18));
  memory.writeObj(u8, 9, gpa(17));
  memory.readExactVolatileFrom(gpa(16), new Cursor(count(1, 7)), 1);
  assertEquals(content(memory, 16, 14), Uint8Array.of(7, 9, ...count(12)));
  assertEquals([...bitmap.dirtyRuns()], [[16, 14]]);
  assertEquals([...dirtyRuns(physical)], [[gpa(0), 6], [gpa(40), 8]]);
  for (const atomic of [() => memory.store(u8, 1, gpa(16)), () => memory.load(u8, gpa(16))]) {
    assertThrows(atomic, HostAddressNotAvailable);
  }
});

Deno.test("atomic accesses behind an IOMMU work where the bytes lie in one piece of memory", () => {
  const physical = physicalMemory();
  // Two adjacent pages are one piece.
  const memory = new IommuMemory(physical, new TableIommu().map(0x1000, 68).map(0x1010, 84));
  memory.store(u64, 5n, gpa(0x100c));
  assertEquals(
    [memory.getAtomicRef(u64, gpa(0x100c)).fetchAdd(2n), memory.load(u64, gpa(0x100c))],
    [
      5n,
      7n,
    ],
  );
  assertEquals(physical.load(u64, gpa(80)), 7n);
  assertEquals(memory.getAtomicRef(u64, gpa(0x100c)).compareExchange(7n, 1n), 7n);
  assertEquals(memory.getAtomicRef(u64, gpa(0x100c)).exchange(2n), 1n);
});

Deno.test("atomic accesses over fragments or regions, or not aligned, are InvalidBackendAddress", () => {
  const { physical, memory, bitmap } = scattered();
  const before = snapshot(physical);
  const atomics: ((at: GuestAddress) => unknown)[] = [
    (at) => memory.load(u64, at),
    (at) => memory.store(u64, 1n, at),
    (at) => memory.getAtomicRef(u64, at).exchange(1n),
    (at) => memory.getAtomicRef(u64, at).compareExchange(0n, 1n),
    (at) => memory.getAtomicRef(u64, at).fetchAdd(1n),
    (at) => memory.getAtomicRef(u64, at).fetchOr(1n),
  ];
  // Over two fragments, over two regions in a fragment, not aligned in physical memory.
  for (const at of [0x100c, 0x101c, 0x1014, 0x1001, 0x1021]) {
    for (const atomic of atomics) {
      assertThrows(() => atomic(gpa(at)), InvalidBackendAddress, undefined, `${atomic} ${at}`);
    }
  }
  assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
});

Deno.test("an atomic access is refused where its bytes are adjacent but translated apart", () => {
  const physical = physicalMemory();
  const memory = new IommuMemory(physical, {
    translate: (_iova, length) => [
      { base: gpa(8), length: 2 },
      { base: gpa(10), length: length - 2 },
    ],
  });
  assertThrows(() => memory.store(u32, 1, gpa(0)), InvalidBackendAddress);
  memory.writeObj(u32, 5, gpa(0));
  assertEquals(physical.readObj(u32, gpa(8)), 5);
});

/** What a device might do: moves a string, whatever kind of memory it is in. */
function reverse(memory: IoMemory, addr: GuestAddress, length: number): void {
  assert(memory.checkRange(addr, length, ReadWrite));
  const bytes = new Uint8Array(length);
  memory.readSlice(bytes, addr);
  memory.writeSlice(bytes.reverse(), addr);
}

Deno.test("code for IoMemory works with physical and with translated memory", () => {
  const { physical, memory } = scattered();
  const backwards = count(30).reverse();
  physical.writeSlice(count(30), gpa(50));
  reverse(physical, gpa(50), 30);
  assertEquals(content(physical, 50, 30), backwards);

  memory.writeSlice(count(30), gpa(0x1005));
  reverse(memory, gpa(0x1005), 30);
  assertEquals(content(memory, 0x1005, 30), backwards);

  memory.enabled = false;
  reverse(memory, gpa(50), 30);
  const kinds: IoMemory[] = [physical, memory];
  assertEquals(kinds.map((kind) => kind.physicalMemory === physical), [true, true]);
});

Deno.test("an IOMMU may walk page tables in the memory that it translates to", () => {
  // Entries of 8 bytes, of which one is in two regions: its page's physical address.
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 1004], [gpa(1004), 1044], [
    gpa(2048),
    2048,
  ]]);
  const table = 1000;
  for (let page = 0; page < 8; page++) {
    physical.writeObj(u64, BigInt(2048 + (7 - page) * 64), gpa(table + page * 8));
  }
  const memory = new IommuMemory(physical, {
    *translate(iova, length) {
      for (let done = 0; done < length;) {
        const at = iova + done;
        const base = Number(physical.readObj(u64, gpa(table + Math.floor(at / 64) * 8))) + at % 64;
        const part = Math.min(64 - at % 64, length - done);
        yield { base: gpa(base), length: part };
        done += part;
      }
    },
  });
  const value = struct({ a: u64, b: u32, c: u32 });
  const written = { a: 2n ** 60n + 3n, b: 5, c: 7 };
  for (const at of [0, 56, 60, 120, 500 - 16]) {
    memory.writeObj(value, written, gpa(at));
    assertEquals(memory.readObj(value, gpa(at)), written);
  }
  memory.writeSlice(count(512), gpa(0));
  assertEquals(content(memory, 0, 512), count(512));
  assertEquals(content(physical, 2048, 64), count(64, 1 + 7 * 64));
});
