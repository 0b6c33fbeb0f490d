import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  bytes,
  CannotResolve,
  Cursor,
  dirtyRuns,
  GuestAddress,
  GuestMemoryError,
  GuestMemoryHeap,
  InvalidBackendAddress,
  InvalidGuestAddress,
  IOError,
  type IoMemory,
  type Iommu,
  IommuError,
  IommuMemory,
  IommuMisconfigured,
  Iotlb,
  IotlbFails,
  type MappedRange,
  MemoryClosed,
  NoBitmap,
  PartialBuffer,
  Permissions,
  type ReadVolatile,
  stopOnError,
  struct,
  u16,
  u32,
  u64,
  u8,
  type VolatileSlice,
  type WriteVolatile,
} from "../mod.ts";

const A = GuestAddress;
const { No, Read, ReadWrite, Write } = Permissions;
const PAGE = 16;

// Physical memory of the tests: [0, 64) and [64, 128), a hole, [192, 256). One bit for each byte.
function physicalMemory(): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges([[A(0), 64], [A(64), 64], [A(192), 64]], {
    bitmap: (length) => new AtomicBitmap(length, 1),
  });
}

/** An IOMMU that has all its translations in its IOTLB, and counts what it is asked. */
class TableIommu implements Iommu {
  readonly tlb: Iotlb = new Iotlb();
  readonly asked: [iova: number, length: number, permissions: Permissions][] = [];

  map(iova: number, physical: number, length = PAGE, permissions: Permissions = ReadWrite): this {
    this.tlb.setMapping(A(iova), A(physical), length, permissions);
    return this;
  }

  translate(iova: GuestAddress, length: number, permissions: Permissions): MappedRange[] {
    this.asked.push([iova, length, permissions]);
    try {
      return this.tlb.lookup(iova, length, permissions);
    } catch (error) {
      if (!(error instanceof IotlbFails)) throw error;
      throw new CannotResolve({ base: iova, length }, error.message);
    }
  }
}

// Three pages at IOVA 0x1000, out of order in physical memory: the second lies in two regions.
function scattered() {
  const physical = physicalMemory();
  const iommu = new TableIommu().map(0x1000, 96).map(0x1010, 56).map(0x1020, 0);
  const bitmap = new AtomicBitmap(0x2000, 1);
  const memory = new IommuMemory(physical, iommu, { bitmap });
  return { physical, iommu, bitmap, memory };
}

function count(length: number, first = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i + first);
}

function content(memory: IoMemory, addr: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.readSlice(bytes, A(addr));
  return bytes;
}

/** All bytes of the physical memory. */
function snapshot(physical: GuestMemoryHeap): Uint8Array[] {
  return [...physical].map((region) => region.asVolatileSlice().readOnlyView().slice());
}

/** A stream that takes several pieces of memory at once and remembers their sizes. */
class Vectored implements ReadVolatile, WriteVolatile {
  readonly calls: number[][] = [];
  readonly moved: number[] = [];
  readonly #limit: number;

  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  readVolatile(slice: VolatileSlice): number {
    return this.readVectoredVolatile([slice]);
  }

  writeVolatile(slice: VolatileSlice): number {
    return this.writeVectoredVolatile([slice]);
  }

  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return this.#each(slices, (slice, i) => {
      slice.writeObj(u8, 1 + this.moved.length, i);
      this.moved.push(1 + this.moved.length);
    });
  }

  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return this.#each(slices, (slice, i) => this.moved.push(slice.readObj(u8, i)));
  }

  #each(slices: readonly VolatileSlice[], move: (slice: VolatileSlice, i: number) => void): number {
    this.calls.push(slices.map(({ len }) => len));
    let done = 0;
    for (const slice of slices) {
      for (let i = 0; i < slice.len && done < this.#limit; i++, done++) move(slice, i);
    }
    return done;
  }
}

Deno.test("IommuMemory translates addresses while it is enabled", () => {
  const { physical, memory } = scattered();
  assertEquals([memory.enabled, memory.physicalMemory], [true, undefined]);
  memory.writeObj(u32, 7, A(0x1004));
  assertEquals(physical.readObj(u32, A(100)), 7);
  assertThrows(() => memory.readObj(u32, A(100)), CannotResolve);

  memory.enabled = false;
  assertStrictEquals(memory.physicalMemory, physical);
  assertEquals(memory.readObj(u32, A(100)), 7);
  assertThrows(() => memory.readObj(u32, A(0x1004)), InvalidGuestAddress);

  memory.enabled = true;
  assertEquals(memory.readObj(u32, A(0x1004)), 7);
});

Deno.test("IommuMemory that begins disabled does not ask its IOMMU", () => {
  const physical = physicalMemory();
  const iommu = new TableIommu();
  const memory = new IommuMemory(physical, iommu, { enabled: false });
  memory.writeSlice(count(80), A(8));
  assertEquals(content(memory, 8, 80), count(80));
  assert(memory.checkRange(A(0), 128, ReadWrite));
  assertFalse(memory.checkRange(A(0), 129));
  assertEquals([...memory.getSlices(A(0), 80)].map(({ len }) => len), [64, 16]);
  memory.store(u64, 5n, A(200));
  assertEquals([memory.load(u64, A(200)), iommu.asked], [5n, []]);
});

Deno.test("IommuMemory.withReplacedBackend() shares the IOMMU and the bitmap", () => {
  const { physical, iommu, bitmap, memory } = scattered();
  const other = physicalMemory();
  const replaced = memory.withReplacedBackend(other);
  assertStrictEquals(replaced.backend, other);
  assertStrictEquals(replaced.iommu, iommu);
  assertStrictEquals(replaced.bitmap, bitmap);
  assert(replaced.enabled);
  replaced.writeObj(u8, 9, A(0x1003));
  assertEquals([other.readObj(u8, A(99)), physical.readObj(u8, A(99))], [9, 0]);
  assert(bitmap.dirtyAt(0x1003));
  iommu.map(0x1800, 32);
  replaced.writeObj(u8, 3, A(0x1800));
  assertEquals(other.readObj(u8, A(32)), 3);

  memory.enabled = false;
  assert(replaced.enabled);
  assertFalse(memory.withReplacedBackend(other).enabled);
});

Deno.test("IommuMemory asks once for each access, with its range and what will be done", () => {
  const { iommu, memory } = scattered();
  memory.readSlice(new Uint8Array(40), A(0x1001));
  memory.writeObj(u32, 1, A(0x100e));
  memory.fetchAdd(u16, 1, A(0x1002));
  memory.writeVolatileTo(A(0x1000), new Cursor(new Uint8Array(99)), 48);
  [...memory.getSlices(A(0x1010), 8, Read)];
  [...memory.getSlices(A(0x1010), 8)];
  memory.checkRange(A(0x1000), 3, Write);
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
    assertEquals(memory.read(nothing, A(at)), 0);
    assertEquals(memory.write(nothing, A(at)), 0);
    memory.readSlice(nothing, A(at));
    memory.writeSlice(nothing, A(at));
    assertEquals([...memory.getSlices(A(at), 0)], []);
    const stream = new Cursor(count(4));
    assertEquals(memory.readVolatileFrom(A(at), stream, 0), 0);
    memory.readExactVolatileFrom(A(at), stream, 0);
    assertEquals(memory.writeVolatileTo(A(at), stream, 0), 0);
    memory.writeAllVolatileTo(A(at), stream, 0);
    assert(memory.checkRange(A(at), 0, ReadWrite));
    assertEquals(stream.position, 0);
  }
  assertEquals([iommu.asked, bitmap.dirtyPages], [[], 0]);
});

// Every operation on 8 bytes, with what it does to memory.
const OPERATIONS: readonly (readonly [
  name: string,
  needs: Permissions,
  run: (memory: IoMemory, addr: GuestAddress) => unknown,
])[] = [
  ["read", Read, (memory, at) => memory.read(new Uint8Array(8), at)],
  ["readSlice", Read, (memory, at) => memory.readSlice(new Uint8Array(8), at)],
  ["readObj", Read, (memory, at) => memory.readObj(u64, at)],
  ["load", Read, (memory, at) => memory.load(u64, at)],
  [
    "writeVolatileTo",
    Read,
    (memory, at) => memory.writeVolatileTo(at, new Cursor(new Uint8Array(8)), 8),
  ],
  [
    "writeAllVolatileTo",
    Read,
    (memory, at) => memory.writeAllVolatileTo(at, new Cursor(new Uint8Array(8)), 8),
  ],
  [
    "writeVolatileTo, vectored",
    Read,
    (memory, at) => memory.writeVolatileTo(at, new Vectored(), 8),
  ],
  ["getSlices to read", Read, (memory, at) => [...memory.getSlices(at, 8, Read)]],
  ["write", Write, (memory, at) => memory.write(count(8), at)],
  ["writeSlice", Write, (memory, at) => memory.writeSlice(count(8), at)],
  ["writeObj", Write, (memory, at) => memory.writeObj(u64, 9n, at)],
  ["store", Write, (memory, at) => memory.store(u64, 9n, at)],
  [
    "readVolatileFrom",
    Write,
    (memory, at) => memory.readVolatileFrom(at, new Cursor(count(8)), 8),
  ],
  [
    "readExactVolatileFrom",
    Write,
    (memory, at) => memory.readExactVolatileFrom(at, new Cursor(count(8)), 8),
  ],
  [
    "readVolatileFrom, vectored",
    Write,
    (memory, at) => memory.readVolatileFrom(at, new Vectored(), 8),
  ],
  ["getSlices to write", Write, (memory, at) => [...memory.getSlices(at, 8, Write)]],
  ["getSlices", ReadWrite, (memory, at) => [...memory.getSlices(at, 8)]],
  ["exchange", ReadWrite, (memory, at) => memory.exchange(u64, 9n, at)],
  ["compareExchange", ReadWrite, (memory, at) => memory.compareExchange(u64, 0n, 9n, at)],
  ["fetchAdd", ReadWrite, (memory, at) => memory.fetchAdd(u64, 9n, at)],
  ["fetchSub", ReadWrite, (memory, at) => memory.fetchSub(u64, 9n, at)],
  ["fetchAnd", ReadWrite, (memory, at) => memory.fetchAnd(u64, 9n, at)],
  ["fetchOr", ReadWrite, (memory, at) => memory.fetchOr(u64, 9n, at)],
  ["fetchXor", ReadWrite, (memory, at) => memory.fetchXor(u64, 9n, at)],
];

for (const [name, needs, run] of OPERATIONS) {
  Deno.test(`IommuMemory.${name} needs ${["", "Read", "Write", "ReadWrite"][needs]}`, () => {
    for (const granted of [No, Read, Write, ReadWrite] as const) {
      const physical = physicalMemory();
      const iommu = new TableIommu().map(0x1000, 32, PAGE, granted);
      const bitmap = new AtomicBitmap(0x2000, 1);
      const memory = new IommuMemory(physical, iommu, { bitmap });
      const before = snapshot(physical);
      if (Permissions.allow(granted, needs)) {
        run(memory, A(0x1008));
      } else {
        const error = assertThrows(() => run(memory, A(0x1008)), CannotResolve);
        assertEquals(error.iovaRange, { base: 0x1008, length: 8 });
        assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
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
      assertThrows(() => run(memory, A(0x1009)), CannotResolve);
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
    assertThrows(() => memory.readVolatileFrom(A(0x1000), stream, 49), CannotResolve);
    assertThrows(() => memory.readExactVolatileFrom(A(0x1000), stream, 49), CannotResolve);
    assertThrows(() => memory.writeVolatileTo(A(0x1000), stream, 49), CannotResolve);
    assertThrows(() => memory.writeAllVolatileTo(A(0x1000), stream, 49), CannotResolve);
  }
  assertEquals([cursor.position, vectored.calls], [0, []]);
});

Deno.test("IommuMemory goes over fragments and over regions in a fragment", () => {
  const { physical, memory } = scattered();
  assertEquals(memory.write(count(40), A(0x1004)), 40);
  assertEquals(content(physical, 100, 12), count(12));
  assertEquals(content(physical, 56, 16), count(16, 13));
  assertEquals(content(physical, 0, 13), Uint8Array.of(...count(12, 29), 0));
  assertEquals(content(memory, 0x1004, 41), Uint8Array.of(...count(40), 0));
  const slices = [...memory.getSlices(A(0x1004), 40)];
  assertEquals(slices.map(({ len }) => len), [12, 8, 8, 12]);
  assertEquals(slices.map((slice) => slice.readObj(u8, 0)), [1, 13, 21, 29]);
});

Deno.test("IommuMemory reads and writes values over fragments", () => {
  const { physical, memory } = scattered();
  memory.writeObj(u32, 0x0403_0201, A(0x100e));
  assertEquals(content(physical, 110, 2), Uint8Array.of(1, 2));
  assertEquals(content(physical, 56, 2), Uint8Array.of(3, 4));
  assertEquals(memory.readObj(u32, A(0x100e)), 0x0403_0201);
  // In one fragment, over two regions.
  memory.writeObj(u64, 7n, A(0x1014));
  assertEquals([memory.readObj(u64, A(0x1014)), physical.readObj(u64, A(60))], [7n, 7n]);
});

Deno.test("large values behind an IOMMU need no more rights than small ones", () => {
  const physical = GuestMemoryHeap.fromRanges([[A(0), 5000], [A(5000), 15_000]]);
  const iommu = new TableIommu();
  for (const [i, target] of [12_000, 3000, 8000].entries()) {
    iommu.map(i * 3000, target, 3000, Write).map(0x10_0000 + i * 3000, target, 3000, Read);
  }
  const memory = new IommuMemory(physical, iommu);
  const large = bytes(8000);
  memory.writeObj(large, count(8000), A(500));
  assertEquals(memory.readObj(large, A(0x10_0000 + 500)), count(8000));
  assertThrows(() => memory.readObj(large, A(500)), CannotResolve);
  assertThrows(() => memory.writeObj(large, count(8000, 9), A(0x10_0000)), CannotResolve);
  assertThrows(() => memory.readObj(large, A(0x10_0000 + 1001)), CannotResolve);
});

Deno.test("streams go over fragments, and stop at the first short operation", () => {
  const { physical, memory, bitmap } = scattered();
  const source = new Cursor(count(30));
  assertEquals(memory.readVolatileFrom(A(0x1004), source, 40), 30);
  assertEquals(content(memory, 0x1004, 31), Uint8Array.of(...count(30), 0));
  assertEquals(content(physical, 0, 3), Uint8Array.of(29, 30, 0));
  assertEquals([...bitmap.dirtyRuns()], [[0x1004, 30]]);
  const sink = new Cursor(new Uint8Array(25));
  assertEquals(memory.writeVolatileTo(A(0x1004), sink, 40), 25);
  assertEquals(sink.bytes, count(25));
});

Deno.test("a vectored stream gets all fragments at once", () => {
  const { memory } = scattered();
  const source = new Vectored();
  assertEquals(memory.readVolatileFrom(A(0x1004), source, 40), 40);
  assertEquals(source.calls, [[12, 8, 8, 12]]);
  const sink = new Vectored();
  memory.writeAllVolatileTo(A(0x1004), sink, 40);
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
    memory.readExactVolatileFrom(A(0x1004), piecewise(count(40)), 40);
    const sink = new Uint8Array(40);
    memory.writeAllVolatileTo(A(0x3004), piecewise(sink), 40);
    assertEquals(sink, count(40));
    memory.readExactVolatileFrom(A(0x1000), new Vectored(limit), 48);
    const vectored = new Vectored(limit);
    memory.writeAllVolatileTo(A(0x3000), vectored, 48);
    assertEquals(vectored.moved, [...count(48)]);
  });
}

// Page by page: memory, memory up to the hole at physical 128, the hole, memory.
function overHole() {
  const physical = physicalMemory();
  const iommu = new TableIommu().map(0, 16).map(16, 120).map(32, 144).map(48, 0);
  const bitmap = new AtomicBitmap(64, 1);
  return { physical, bitmap, memory: new IommuMemory(physical, iommu, { bitmap }) };
}

Deno.test("an access behind an IOMMU ends at a hole in physical memory", () => {
  const { physical, memory, bitmap } = overHole();
  assertEquals(memory.write(count(60), A(4)), 20);
  assertEquals(content(physical, 20, 12), count(12));
  assertEquals(content(physical, 120, 8), count(8, 13));
  assertEquals(content(physical, 0, 16), new Uint8Array(16));
  assertEquals([...bitmap.dirtyRuns()], [[4, 20]]);
  const buf = new Uint8Array(60);
  assertEquals(memory.read(buf, A(4)), 20);
  assertEquals(buf, Uint8Array.of(...count(20), ...new Uint8Array(40)));
  assertEquals(memory.readVolatileFrom(A(20), new Cursor(count(9)), 30), 4);
  assertEquals(memory.writeVolatileTo(A(4), new Cursor(new Uint8Array(99)), 60), 20);
  const vectored = new Vectored();
  assertEquals(memory.readVolatileFrom(A(4), vectored, 60), 20);
  assertEquals(vectored.calls, [[12, 8]]);
});

Deno.test("the exact forms behind an IOMMU throw PartialBuffer at a hole in physical memory", () => {
  const { memory } = overHole();
  const pair = struct({ a: u64, b: u64 });
  const calls: [() => unknown, number, number][] = [
    [() => memory.readSlice(new Uint8Array(30), A(4)), 30, 20],
    [() => memory.writeSlice(new Uint8Array(30), A(4)), 30, 20],
    [() => memory.readObj(u32, A(22)), 4, 2],
    [() => memory.writeObj(pair, { a: 1n, b: 2n }, A(20)), 16, 4],
    [() => memory.readExactVolatileFrom(A(10), new Cursor(count(99)), 40), 40, 14],
    [() => memory.writeAllVolatileTo(A(10), new Cursor(new Uint8Array(99)), 40), 40, 14],
    [() => memory.readExactVolatileFrom(A(10), new Vectored(), 40), 40, 14],
    [() => memory.writeAllVolatileTo(A(10), new Vectored(3), 40), 40, 14],
  ];
  for (const [call, expected, completed] of calls) {
    const error = assertThrows(call, PartialBuffer, undefined, `${call}`);
    assertEquals([error.expected, error.completed], [expected, completed], `${call}`);
  }
});

Deno.test("an access that begins in a hole throws InvalidGuestAddress with the physical address", () => {
  const { memory, bitmap } = overHole();
  for (const [iova, physical] of [[24, 128], [31, 135], [32, 144], [40, 152]] as const) {
    for (const [name, , run] of OPERATIONS) {
      const error = assertThrows(() => run(memory, A(iova)), GuestMemoryError, undefined, name);
      // An atomic access of several parts may be refused as that.
      if (error instanceof InvalidBackendAddress) continue;
      assertInstanceOf(error, InvalidGuestAddress, name);
      assertEquals<number>(error.address, physical, name);
    }
  }
  assertEquals(bitmap.dirtyPages, 0);
});

Deno.test("IommuMemory.getSlices() throws InvalidGuestAddress with a hole's physical address", () => {
  const { memory } = overHole();
  const lengths: number[] = [];
  const error = assertThrows(() => {
    for (const slice of memory.getSlices(A(4), 60)) lengths.push(slice.len);
  }, InvalidGuestAddress);
  assertEquals([lengths, error.address], [[12, 8], A(128)]);
  assertEquals([...stopOnError(memory.getSlices(A(4), 60))].map(({ len }) => len), [12, 8]);
  const first = assertThrows(
    () => [...stopOnError(memory.getSlices(A(24), 4))],
    InvalidGuestAddress,
  );
  assertEquals(first.address, A(128));
});

Deno.test("IommuMemory.getSlices() throws where the range is not translated, before any slice", () => {
  const { memory } = scattered();
  const slices = memory.getSlices(A(0x1000), 49);
  assertThrows(() => slices.next(), CannotResolve);
  assert(slices.next().done);
  assertThrows(() => [...stopOnError(memory.getSlices(A(0x1000), 49))], CannotResolve);
});

Deno.test("writes behind an IOMMU are marked by I/O virtual address, and not in physical memory", () => {
  const { physical, memory, bitmap } = scattered();
  const marks = (run: () => unknown) => {
    bitmap.reset();
    run();
    assertEquals([...dirtyRuns(physical)], []);
    return [...bitmap.dirtyRuns()];
  };
  assertEquals(marks(() => memory.write(count(30), A(0x1002))), [[0x1002, 30]]);
  assertEquals(marks(() => memory.writeSlice(count(3), A(0x100f))), [[0x100f, 3]]);
  assertEquals(marks(() => memory.writeObj(u64, 1n, A(0x101c))), [[0x101c, 8]]);
  assertEquals(marks(() => memory.writeObj(u16, 1, A(0x1000))), [[0x1000, 2]]);
  assertEquals(marks(() => memory.store(u32, 1, A(0x1004))), [[0x1004, 4]]);
  assertEquals(marks(() => memory.fetchXor(u32, 1, A(0x1024))), [[0x1024, 4]]);
  assertEquals(
    marks(() => memory.readVolatileFrom(A(0x1008), new Cursor(count(11)), 40)),
    [[0x1008, 11]],
  );
  assertEquals(
    marks(() => memory.readExactVolatileFrom(A(0x1008), new Vectored(5), 40)),
    [[0x1008, 40]],
  );
  assertEquals(
    marks(() =>
      memory.readVolatileFrom(A(0x1008), { readSync: (view) => view.fill(1).length }, 40)
    ),
    [[0x1008, 40]],
  );
  assertEquals(
    marks(() => {
      for (const slice of memory.getSlices(A(0x1008), 40)) slice.offset(2).writeObj(u8, 1, 1);
    }),
    [[0x100b, 1], [0x1013, 1], [0x101b, 1], [0x1023, 1]],
  );
  assertEquals(
    marks(() => {
      memory.read(new Uint8Array(48), A(0x1000));
      memory.load(u32, A(0x1004));
      memory.writeVolatileTo(A(0x1000), new Cursor(new Uint8Array(48)), 48);
      [...memory.getSlices(A(0x1000), 48)];
    }),
    [],
  );
});

Deno.test("two pages at one physical page are marked apart", () => {
  const physical = physicalMemory();
  const bitmap = new AtomicBitmap(64, 1);
  const memory = new IommuMemory(physical, new TableIommu().map(0, 32).map(48, 32), { bitmap });
  memory.writeObj(u8, 7, A(50));
  assertEquals(memory.readObj(u8, A(2)), 7);
  assertEquals([...bitmap.dirtyRuns()], [[50, 1]]);
});

Deno.test("a failing read marks all of its range by I/O virtual address", () => {
  const { memory, bitmap } = scattered();
  const failing = {
    readSync() {
      throw new Error("unplugged");
    },
  };
  assertThrows(() => memory.readVolatileFrom(A(0x1004), failing, 10), IOError);
  assertEquals([...bitmap.dirtyRuns()], [[0x1004, 10]]);
});

Deno.test("writes with the IOMMU disabled are marked in physical memory only", () => {
  const { physical, memory, bitmap } = scattered();
  memory.enabled = false;
  memory.write(count(10), A(60));
  memory.store(u16, 1, A(100));
  memory.readExactVolatileFrom(A(200), new Vectored(), 5);
  assertEquals([...dirtyRuns(physical)], [[A(60), 10], [A(100), 2], [A(200), 5]]);
  assertEquals(bitmap.dirtyPages, 0);
});

Deno.test("IommuMemory without a bitmap tracks nothing while addresses are translated", () => {
  const physical = physicalMemory();
  const memory = new IommuMemory(physical, new TableIommu().map(0, 0));
  const bitmap: Bitmap = memory.bitmap;
  assertStrictEquals(bitmap, NoBitmap);
  memory.write(count(10), A(0));
  assertEquals([...dirtyRuns(physical)], []);
});

Deno.test("atomic accesses behind an IOMMU work where the bytes lie in one piece of memory", () => {
  const physical = physicalMemory();
  // Two pages that go on with each other are one piece.
  const memory = new IommuMemory(physical, new TableIommu().map(0x1000, 68).map(0x1010, 84));
  memory.store(u64, 5n, A(0x100c));
  assertEquals([memory.fetchAdd(u64, 2n, A(0x100c)), memory.load(u64, A(0x100c))], [5n, 7n]);
  assertEquals(physical.load(u64, A(80)), 7n);
  assertEquals(memory.compareExchange(u64, 7n, 1n, A(0x100c)), 7n);
  assertEquals(memory.exchange(u64, 2n, A(0x100c)), 1n);
});

Deno.test("atomic accesses over fragments or regions, or not aligned, are InvalidBackendAddress", () => {
  const { physical, memory, bitmap } = scattered();
  const before = snapshot(physical);
  const atomics: ((at: GuestAddress) => unknown)[] = [
    (at) => memory.load(u64, at),
    (at) => memory.store(u64, 1n, at),
    (at) => memory.exchange(u64, 1n, at),
    (at) => memory.compareExchange(u64, 0n, 1n, at),
    (at) => memory.fetchAdd(u64, 1n, at),
    (at) => memory.fetchOr(u64, 1n, at),
  ];
  // Over two fragments, over two regions in a fragment, not aligned in physical memory.
  for (const at of [0x100c, 0x101c, 0x1014, 0x1001, 0x1021]) {
    for (const atomic of atomics) {
      assertThrows(() => atomic(A(at)), InvalidBackendAddress, undefined, `${atomic} ${at}`);
    }
  }
  assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
});

Deno.test("an atomic access is refused where its bytes are side by side but translated apart", () => {
  const physical = physicalMemory();
  const memory = new IommuMemory(physical, {
    translate: (_iova, length) => [
      { base: A(8), length: 2 },
      { base: A(10), length: length - 2 },
    ],
  });
  assertThrows(() => memory.store(u32, 1, A(0)), InvalidBackendAddress);
  memory.writeObj(u32, 5, A(0));
  assertEquals(physical.readObj(u32, A(8)), 5);
});

Deno.test("IommuMemory.checkRange() asks for translation, rights and physical memory", () => {
  const { memory } = overHole();
  for (const permissions of [undefined, No, Read, Write, ReadWrite] as const) {
    assert(memory.checkRange(A(0), 24, permissions));
    assert(memory.checkRange(A(48), 16, permissions));
    assertFalse(memory.checkRange(A(0), 25, permissions));
    assertFalse(memory.checkRange(A(24), 1, permissions));
    assertFalse(memory.checkRange(A(48), 17, permissions));
    assertFalse(memory.checkRange(A(64), 1, permissions));
    assertFalse(memory.checkRange(A(2 ** 53 - 1), 8, permissions));
    assert(memory.checkRange(A(64), 0, permissions));
  }
  const iommu = new TableIommu().map(0, 0, PAGE, Read).map(16, 32, PAGE, ReadWrite);
  const rights = new IommuMemory(physicalMemory(), iommu);
  assertEquals([Read, Write, ReadWrite].map((p) => rights.checkRange(A(0), 32, p)), [
    true,
    false,
    false,
  ]);
  assertEquals([rights.checkRange(A(0), 8), rights.checkRange(A(16), 8)], [false, true]);
});

for (const length of [-1, NaN, 0.5, Infinity]) {
  Deno.test(`checkRange() of ${length} bytes is false, with and without an IOMMU`, () => {
    const { memory } = overHole();
    assertFalse(memory.checkRange(A(0), length, Read));
    memory.enabled = false;
    assertFalse(memory.checkRange(A(0), length, Read));
  });
}

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
  physical.writeSlice(count(30), A(50));
  reverse(physical, A(50), 30);
  assertEquals(content(physical, 50, 30), backwards);

  memory.writeSlice(count(30), A(0x1005));
  reverse(memory, A(0x1005), 30);
  assertEquals(content(memory, 0x1005, 30), backwards);

  memory.enabled = false;
  reverse(memory, A(50), 30);
  const kinds: IoMemory[] = [physical, memory];
  assertEquals(kinds.map((kind) => kind.physicalMemory === physical), [true, true]);
});

Deno.test("an IOMMU may walk page tables in the memory that it translates to", () => {
  // Entries of 8 bytes, of which one lies in two regions: its page's physical address.
  const physical = GuestMemoryHeap.fromRanges([[A(0), 1004], [A(1004), 1044], [A(2048), 2048]]);
  const table = 1000;
  for (let page = 0; page < 8; page++) {
    physical.writeObj(u64, BigInt(2048 + (7 - page) * 64), A(table + page * 8));
  }
  const memory = new IommuMemory(physical, {
    *translate(iova, length) {
      for (let done = 0; done < length;) {
        const at = iova + done;
        const base = Number(physical.readObj(u64, A(table + Math.floor(at / 64) * 8))) + at % 64;
        const part = Math.min(64 - at % 64, length - done);
        yield { base: A(base), length: part };
        done += part;
      }
    },
  });
  const value = struct({ a: u64, b: u32, c: u32 });
  const written = { a: 2n ** 60n + 3n, b: 5, c: 7 };
  for (const at of [0, 56, 60, 120, 500 - 16]) {
    memory.writeObj(value, written, A(at));
    assertEquals(memory.readObj(value, A(at)), written);
  }
  memory.writeSlice(count(512), A(0));
  assertEquals(content(memory, 0, 512), count(512));
  assertEquals(content(physical, 2048, 64), count(64, 1 + 7 * 64));
});

// From here on: IOMMUs that are wrong.

type Translate = (iova: number, length: number) => unknown;

/** Physical memory with a pattern, behind an IOMMU that answers so, of any type. */
function misbehaving(translate: Translate) {
  const physical = physicalMemory();
  for (const region of physical) region.asVolatileSlice().rawView().fill(0xaa);
  const bitmap = new AtomicBitmap(0x2000, 1);
  const iommu = { translate } as unknown as Iommu;
  const memory = new IommuMemory(physical, iommu, { bitmap });
  return { physical, memory, bitmap };
}

// An endless list that a test does not wait for.
function* endless(range: unknown): Generator<unknown, void, void> {
  for (let i = 0; i < 1_000_000; i++) yield range;
  throw new Error("Asked for more than a million ranges");
}

const WRONG: Readonly<Record<string, Translate>> = {
  "no range": () => [],
  "too few bytes": (_, length) => [{ base: 32, length: length - 1 }],
  "too many bytes": (_, length) => [{ base: 32, length: length + 1 }],
  "too many bytes in two ranges": (_, length) => [{ base: 32, length: 1 }, { base: 0, length }],
  "a range of zero bytes only": () => [{ base: 32, length: 0 }],
  "zero bytes without end": () => endless({ base: 32, length: 0 }),
  "tiny fractions without end": () => endless({ base: 32, length: 1e-300 }),
  "fractions that add up": (
    _,
    length,
  ) => [{ base: 32, length: 0.5 }, { base: 0, length: length - 0.5 }],
  "fractions after a whole byte": (_, length) => [
    { base: 32, length: 1 },
    { base: 8, length: 0.5 },
    { base: 16, length: length - 1.5 },
  ],
  "NaN bytes": () => [{ base: 32, length: NaN }],
  "NaN bytes without end": () => endless({ base: 32, length: NaN }),
  "-1 bytes": () => [{ base: 32, length: -1 }],
  "-1 bytes, then more": (_, length) => [
    { base: 32, length: -1 },
    { base: 32, length: length + 1 },
  ],
  "more, then -1 bytes": (_, length) => [
    { base: 32, length: length - 1 },
    { base: 32, length: -1 },
    { base: 32, length: 2 },
  ],
  "Infinity bytes": () => [{ base: 32, length: Infinity }],
  "address -1": (_, length) => [{ base: -1, length }],
  "address 0.5": (_, length) => [{ base: 0.5, length }],
  "address NaN": (_, length) => [{ base: NaN, length }],
  "address Infinity": (_, length) => [{ base: Infinity, length }],
  "address 2^53": (_, length) => [{ base: 2 ** 53, length }],
  "an address in text": (_, length) => [{ base: "32", length }],
  "a length in text": (_, length) => [{ base: 32, length: `${length}` }],
  "a bigint address": (_, length) => [{ base: 32n, length }],
  "a bigint length": (_, length) => [{ base: 32, length: BigInt(length) }],
  "an empty object": () => [{}],
  "undefined for a range": () => [undefined],
  "null for a range": () => [null],
  "a number for a range": () => [8],
  "text for ranges": () => "32 bytes",
  "undefined": () => undefined,
  "null": () => null,
  "a number": () => 16,
  "a range that is not in a list": (_, length) => ({ base: 32, length }),
  "a promise": (_, length) => Promise.resolve([{ base: 32, length }]),
};

for (const [what, translate] of Object.entries(WRONG)) {
  Deno.test(`an IOMMU that answers ${what} is refused, and nothing is accessed`, () => {
    const { physical, memory, bitmap } = misbehaving(translate);
    const before = snapshot(physical);
    for (const [name, , run] of OPERATIONS) {
      // Not every answer that is no list is worth a check of its own.
      const error = assertThrows(() => run(memory, A(0x1000)), Error, undefined, name);
      assert(
        error instanceof IommuMisconfigured || error instanceof TypeError,
        `${name}: ${error}`,
      );
    }
    let checked: boolean | undefined;
    try {
      checked = memory.checkRange(A(0x1000), 8, Read);
    } catch (error) {
      assertInstanceOf(error, TypeError);
      checked = false;
    }
    assertFalse(checked);
    assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
  });
}

Deno.test("ranges of an IOMMU are not asked for beyond the end of the access", () => {
  let yielded = 0;
  let closed = 0;
  const { physical, memory } = misbehaving(function* () {
    try {
      while (yielded < 1000) yield { base: 32 + yielded++, length: 1 };
    } finally {
      closed++;
    }
  });
  memory.writeSlice(count(8), A(0x1000));
  assertEquals(content(physical, 31, 10), Uint8Array.of(0xaa, ...count(8), 0xaa));
  assertEquals([yielded, closed], [8, 1]);
});

Deno.test("what an IOMMU throws passes unchanged, and nothing is accessed", () => {
  const own = new Error("the IOMMU is on fire");
  const cannot = new CannotResolve({ base: 1, length: 2 }, "because");
  for (const thrown of [own, cannot]) {
    const translates: Translate[] = [
      () => {
        throw thrown;
      },
      function* (_iova, length) {
        yield { base: 32, length: length - 1 };
        throw thrown;
      },
    ];
    for (const translate of translates) {
      const { physical, memory, bitmap } = misbehaving(translate);
      const before = snapshot(physical);
      for (const [, , run] of OPERATIONS) {
        assertStrictEquals(assertThrows(() => run(memory, A(0x1000))), thrown);
      }
      assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
    }
  }
});

Deno.test("checkRange() is false where an IOMMU throws its error, and throws any other", () => {
  const { memory } = misbehaving(() => {
    throw new IommuError("no");
  });
  assertFalse(memory.checkRange(A(0), 1, Read));
  const own = new Error("the IOMMU is on fire");
  const broken = misbehaving(() => {
    throw own;
  });
  assertStrictEquals(assertThrows(() => broken.memory.checkRange(A(0), 1, Read)), own);
});

Deno.test("an IOMMU that hands out one range object again and again is understood", () => {
  const range = { base: 0, length: 0 };
  const { physical, memory } = misbehaving(function* (_iova, length) {
    yield Object.assign(range, { base: 32, length: 3 });
    yield Object.assign(range, { base: 64, length: length - 3 });
  });
  memory.writeSlice(count(8), A(0x1000));
  assertEquals(content(physical, 31, 5), Uint8Array.of(0xaa, 1, 2, 3, 0xaa));
  assertEquals(content(physical, 63, 7), Uint8Array.of(0xaa, 4, 5, 6, 7, 8, 0xaa));
  assertEquals(content(memory, 0x1000, 8), count(8));
});

Deno.test("a range that changes when it is looked at again reaches nothing else", () => {
  for (
    const later of [{ base: 0, length: 8 }, { base: 32, length: 64 }, { base: 32, length: NaN }]
  ) {
    const { physical, memory, bitmap } = misbehaving((_iova, length) => {
      const looks = { base: 0, length: 0 };
      // The first looks are what counts, however many checks there are.
      const seen = { base: 32, length };
      const look = (name: "base" | "length") => looks[name]++ < 1 ? seen[name] : later[name];
      return [{
        get base() {
          return look("base");
        },
        get length() {
          return look("length");
        },
      }];
    });
    for (const [name, , run] of OPERATIONS) {
      try {
        run(memory, A(0x1000));
      } catch (error) {
        assertInstanceOf(error, IommuMisconfigured, `${name}: ${error}`);
      }
    }
    const [first, ...others] = snapshot(physical);
    first!.fill(0xaa, 32, 40);
    for (const bytes of [first!, ...others]) {
      assertEquals(bytes, new Uint8Array(64).fill(0xaa), `${later.base} ${later.length}`);
    }
    for (const [start, length] of bitmap.dirtyRuns()) assertEquals([start, length], [0x1000, 8]);
  }
});

const OUTSIDE: readonly (readonly [base: number, accessible: number])[] = [
  [124, 4],
  [128, 0],
  [188, 0],
  [252, 4],
  [256, 0],
  [2 ** 31, 0],
  [2 ** 32 + 32, 0],
  [2 ** 53 - 8, 0],
  [2 ** 53 - 1, 0],
];

for (const [base, accessible] of OUTSIDE) {
  Deno.test(`a translation to physical address ${base} reaches ${accessible} of 8 bytes`, () => {
    const { physical, memory } = misbehaving((_iova, length) => [{ base, length }]);
    const write = () => memory.write(count(8), A(0x1000));
    if (accessible > 0) assertEquals(write(), accessible);
    else assertEquals<number>(assertThrows(write, InvalidGuestAddress).address, base);
    assertThrows(() => memory.writeSlice(count(8), A(0x1000)), GuestMemoryError);
    assertThrows(() => memory.store(u64, 1n, A(0x1000)), GuestMemoryError);
    assertFalse(memory.checkRange(A(0x1000), 8, Read));
    const written = snapshot(physical).flatMap((bytes) => [...bytes]).filter((byte) =>
      byte !== 0xaa
    );
    assertEquals(written, [...count(accessible)]);
  });
}

Deno.test("a translation beyond the last physical address ends there", () => {
  const physical = GuestMemoryHeap.fromRanges([[A(2 ** 53 - 16), 16]]);
  for (const base of [2 ** 53 - 4, 2 ** 53 - 3]) {
    const memory = new IommuMemory(physical, {
      translate: (_iova, length) => [{ base: A(base), length }],
    });
    assertEquals(memory.write(count(8), A(0)), 2 ** 53 - base);
    assertFalse(memory.checkRange(A(0), 8));
  }
});

Deno.test("an IOMMU that changes its mind between two operations of a stream ends the transfer", () => {
  // As long as the first bytes of the transfer are asked for, all is well.
  const answers: Record<string, Translate> = {
    "throws": () => {
      throw new CannotResolve({ base: 0, length: 0 }, "it is gone");
    },
    "too few bytes": () => [],
    "a hole": (_iova, length) => [{ base: 128, length }],
    "NaN": () => [{ base: NaN, length: NaN }],
  };
  for (const [what, later] of Object.entries(answers)) {
    for (const transfer of ["readExactVolatileFrom", "writeAllVolatileTo"] as const) {
      const { physical, memory } = misbehaving((iova, length) =>
        iova === 0x1000 ? [{ base: 32, length }] : later(iova, length)
      );
      const stream = {
        readVolatile: (slice: VolatileSlice) => slice.write(count(3), 0),
        writeVolatile: () => 3,
      };
      const error = assertThrows(
        () => memory[transfer](A(0x1000), stream, 8),
        GuestMemoryError,
        undefined,
        what,
      );
      assert(
        error instanceof PartialBuffer || error instanceof IommuError ||
          error instanceof InvalidGuestAddress,
        `${what}: ${error}`,
      );
      const expected = new Uint8Array(64).fill(0xaa);
      if (transfer === "readExactVolatileFrom") expected.set(count(3), 32);
      assertEquals(snapshot(physical)[0], expected);
    }
  }
});

Deno.test("an IOMMU that moves a page between two operations of a stream moves the rest", () => {
  const { physical, memory } = misbehaving((iova, length) => [
    { base: (iova < 0x1003 ? 32 : 64) + iova - 0x1000, length },
  ]);
  const source = new Cursor(count(8));
  const pieces: ReadVolatile = {
    readVolatile: (slice) => source.readVolatile(slice.getSlice(0, Math.min(3, slice.len))),
  };
  memory.readExactVolatileFrom(A(0x1000), pieces, 8);
  assertEquals(content(physical, 32, 4), Uint8Array.of(1, 2, 3, 0xaa));
  assertEquals(content(physical, 66, 7), Uint8Array.of(0xaa, 4, 5, 6, 7, 8, 0xaa));
});

Deno.test("an IOMMU that closes the memory is MemoryClosed", () => {
  for (const [name, , run] of OPERATIONS) {
    const { physical, memory } = misbehaving((_iova, length) => {
      physical.close();
      return [{ base: 32, length }];
    });
    assertThrows(() => run(memory, A(0x1000)), MemoryClosed, undefined, name);
  }
});

// A device at work: the driver's side is written to physical memory.

const Descriptor = struct({ addr: u64, len: u32, flags: u16, next: u16 });
const UsedElement = struct({ id: u32, len: u32 });
const NEXT = 1;
const WRITABLE = 2;

/** A virtqueue device that answers every request with its text in capitals. */
class Shouter {
  readonly #memory: IoMemory;
  readonly #size = 4;
  #seen = 0;

  // Where the rings begin, as the driver told.
  readonly #descriptors = A(0x1000);
  readonly #available = A(0x2000);
  readonly #used = A(0x3000);

  constructor(memory: IoMemory) {
    this.#memory = memory;
  }

  /** Answers what is there, and returns how many chains were wrong. */
  run(): number {
    let wrong = 0;
    const index = this.#memory.load(u16, A(this.#available + 2));
    for (; this.#seen !== index; this.#seen = this.#seen + 1 & 0xffff) {
      const slot = this.#seen % this.#size;
      const id = this.#memory.readObj(u16, A(this.#available + 4 + 2 * slot));
      let len = 0;
      try {
        len = this.#answer(id);
      } catch (error) {
        if (!(error instanceof GuestMemoryError || error instanceof RangeError)) throw error;
        wrong++;
      }
      this.#memory.writeObj(UsedElement, { id, len }, A(this.#used + 4 + 8 * slot));
      this.#memory.store(u16, this.#seen + 1 & 0xffff, A(this.#used + 2));
    }
    return wrong;
  }

  #answer(id: number): number {
    const request: number[] = [];
    let written = 0;
    for (let links = 0; links < this.#size; links++) {
      const descriptor = this.#memory.readObj(
        Descriptor,
        A(this.#descriptors + 16 * (id % this.#size)),
      );
      const addr = A(descriptor.addr);
      if (descriptor.flags & WRITABLE) {
        const text = new TextDecoder().decode(Uint8Array.from(request)).toUpperCase();
        const answer = new TextEncoder().encode(text).subarray(0, descriptor.len);
        this.#memory.writeSlice(answer, addr);
        written += answer.length;
      } else {
        const text = new Uint8Array(Math.min(descriptor.len, 64));
        this.#memory.readSlice(text, addr);
        request.push(...text);
      }
      if (!(descriptor.flags & NEXT)) return written;
      id = descriptor.next;
    }
    throw new RangeError("The chain has no end");
  }
}

/** The driver's side, over memory that it sees at the addresses that it gives to the device. */
class Driver {
  readonly #memory: IoMemory;
  #index = 0;

  constructor(memory: IoMemory) {
    this.#memory = memory;
  }

  describe(id: number, addr: bigint, len: number, flags: number, next = 0): void {
    this.#memory.writeObj(Descriptor, { addr, len, flags, next }, A(0x1000 + 16 * id));
  }

  offer(id: number): void {
    this.#memory.writeObj(u16, id, A(0x2004 + 2 * (this.#index++ % 4)));
    this.#memory.store(u16, this.#index, A(0x2002));
  }

  used(slot: number): { id: number; len: number } {
    return this.#memory.readObj(UsedElement, A(0x3004 + 8 * slot));
  }
}

const TEXT = new TextEncoder().encode("the quick brown fox jumps over the lazy dog");

function answersRequests(device: IoMemory, driver: IoMemory): void {
  const guest = new Driver(driver);
  const shouter = new Shouter(device);
  driver.writeSlice(TEXT, A(0x5ff0));
  guest.describe(0, 0x5ff0n, 20, NEXT, 1);
  guest.describe(1, 0x6004n, 23, NEXT, 2);
  guest.describe(2, 0x7fe0n, 100, WRITABLE);
  guest.offer(0);
  assertEquals([shouter.run(), guest.used(0)], [0, { id: 0, len: TEXT.length }]);
  const answer = new TextDecoder().decode(content(driver, 0x7fe0, TEXT.length));
  assertEquals(answer, "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG");

  // What a hostile driver writes: addresses that are nowhere, and a chain without end.
  guest.describe(0, 0x9000n, 8, 0);
  guest.describe(1, 2n ** 64n - 1n, 8, 0);
  guest.describe(2, 0x5000n, 8, NEXT, 2);
  guest.describe(3, 0x8fffn, 8, WRITABLE);
  for (const id of [0, 1, 2, 0xffff]) guest.offer(id);
  assertEquals([shouter.run(), guest.used(0), shouter.run()], [3, { id: 0xffff, len: 0 }, 0]);
}

Deno.test("a virtio device works on physical memory", () => {
  const memory = GuestMemoryHeap.fromRanges([[A(0x1000), 0x5000], [A(0x6000), 0x3000]]);
  answersRequests(memory, memory);
});

Deno.test("a virtio device works behind an IOMMU, with the rights that each page needs", () => {
  const physical = GuestMemoryHeap.fromRanges([[A(0), 0x8800], [A(0x8800), 0x7800]]);
  const pages: [iova: number, rights: Permissions][] = [
    [0x1000, Read],
    [0x2000, Read],
    [0x3000, Write],
    [0x5000, Read],
    [0x6000, Read],
    [0x7000, Write],
    [0x8000, Write],
  ];
  const forDevice = new TableIommu();
  const forDriver = new TableIommu();
  for (const [i, [iova, rights]] of pages.entries()) {
    forDevice.map(iova, 0xf000 - i * 0x2000, 0x1000, rights);
    forDriver.map(iova, 0xf000 - i * 0x2000, 0x1000, ReadWrite);
  }
  const bitmap = new AtomicBitmap(0xa000, 0x1000);
  const device = new IommuMemory(physical, forDevice, { bitmap });
  answersRequests(device, new IommuMemory(physical, forDriver));
  assertEquals([...bitmap.dirtyRuns()], [[0x3000, 0x1000], [0x7000, 0x2000]]);
});
