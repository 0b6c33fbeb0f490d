import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  array,
  bytes,
  type ByteValued,
  CallbackOutOfRange,
  Cursor,
  type GuestAddress,
  GuestMemory,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  HostAddressNotAvailable,
  InvalidBackendAddress,
  InvalidGuestAddress,
  MemoryRegionAddress,
  Misaligned,
  PartialBuffer,
  stopOnError,
  struct,
  u16,
  u16be,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";
import { count, gpa } from "../support/values.ts";

// [0x1000, 0x1010) and [0x1010, 0x1020), a hole, [0x1030, 0x1040)
function memoryWithHole(): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges([[gpa(0x1000), 16], [gpa(0x1010), 16], [gpa(0x1030), 16]]);
}

Deno.test("GuestMemory.read() and write() go over adjacent regions", () => {
  const memory = memoryWithHole();
  assertEquals(memory.write(count(20), gpa(0x1006)), 20);
  const buf = new Uint8Array(20);
  assertEquals(memory.read(buf, gpa(0x1006)), 20);
  assertEquals(buf, count(20));
  assertEquals(memory.readObj(u8, gpa(0x1010)), 11);
});

Deno.test("GuestMemory.read() stops at a hole", () => {
  const memory = memoryWithHole();
  memory.write(count(16), gpa(0x1010));
  const buf = new Uint8Array(40).fill(9);
  assertEquals(memory.read(buf, gpa(0x1018)), 8);
  assertEquals(buf.subarray(0, 9), Uint8Array.of(9, 10, 11, 12, 13, 14, 15, 16, 9));
});

Deno.test("GuestMemory.write() stops at a hole and at the end", () => {
  const memory = memoryWithHole();
  assertEquals(memory.write(count(64), gpa(0x1000)), 32);
  assertEquals(memory.write(count(64), gpa(0x1038)), 8);
  assertEquals(memory.readObj(u8, gpa(0x1030)), 0);
  assertEquals(memory.readObj(u8, gpa(0x103f)), 8);
});

Deno.test("GuestMemory throws InvalidGuestAddress where the first byte is in no region", () => {
  const memory = memoryWithHole();
  const stream = new Cursor(new Uint8Array(8));
  for (const at of [0, 0xfff, 0x1020, 0x102f, 0x1040, 2 ** 53 - 1]) {
    const calls = [
      () => memory.read(new Uint8Array(1), gpa(at)),
      () => memory.write(new Uint8Array(1), gpa(at)),
      () => memory.readSlice(new Uint8Array(1), gpa(at)),
      () => memory.writeSlice(new Uint8Array(1), gpa(at)),
      () => memory.readObj(u32, gpa(at)),
      () => memory.writeObj(u32, 0, gpa(at)),
      () => memory.load(u32, gpa(at)),
      () => memory.store(u32, 0, gpa(at)),
      () => memory.readVolatileFrom(gpa(at), stream, 1),
      () => memory.readExactVolatileFrom(gpa(at), stream, 1),
      () => memory.writeVolatileTo(gpa(at), stream, 1),
      () => memory.writeAllVolatileTo(gpa(at), stream, 1),
      () => memory.getSlice(gpa(at), 1),
      () => memory.getSlice(gpa(at), 0),
      () => memory.getSlices(gpa(at), 1).next(),
      () => memory.getHostAddress(gpa(at)),
      () => memory.tryAccess(1, gpa(at), () => 1),
    ];
    for (const call of calls) {
      const error = assertThrows(call, InvalidGuestAddress, undefined, `${call}`);
      assertEquals([error.name, error.address], ["InvalidGuestAddress", gpa(at)]);
    }
  }
  assertEquals(stream.position, 0);
});

Deno.test("GuestMemory accesses of zero bytes succeed at every address", () => {
  const memory = memoryWithHole();
  const none = new Uint8Array(0);
  const stream = new Cursor(count(4));
  for (const at of [0, 0x1000, 0x1020, 0x1040, 2 ** 53 - 1]) {
    assertEquals(memory.read(none, gpa(at)), 0);
    assertEquals(memory.write(none, gpa(at)), 0);
    memory.readSlice(none, gpa(at));
    memory.writeSlice(none, gpa(at));
    assertEquals(memory.readObj(array(u32, 0), gpa(at)), []);
    memory.writeObj(bytes(0), none, gpa(at));
    assertEquals(memory.readVolatileFrom(gpa(at), stream, 0), 0);
    memory.readExactVolatileFrom(gpa(at), stream, 0);
    assertEquals(memory.writeVolatileTo(gpa(at), stream, 0), 0);
    memory.writeAllVolatileTo(gpa(at), stream, 0);
    assertEquals(memory.tryAccess(0, gpa(at), () => 1), 0);
    assertEquals([...memory.getSlices(gpa(at), 0)], []);
    assert(memory.checkRange(gpa(at), 0));
  }
});

Deno.test("GuestMemory.readSlice(), readObj() and their writes say how much was done", () => {
  const memory = memoryWithHole();
  const calls = [
    () => memory.readSlice(new Uint8Array(8), gpa(0x101b)),
    () => memory.writeSlice(count(8), gpa(0x101b)),
    () => memory.readObj(u64, gpa(0x101b)),
    () => memory.writeObj(u64, 0x0807060504030201n, gpa(0x103b)),
  ];
  for (const call of calls) {
    const error = assertThrows(call, PartialBuffer);
    assertEquals([error.expected, error.completed], [8, 5]);
  }
  const buf = new Uint8Array(5);
  memory.readSlice(buf, gpa(0x101b));
  assertEquals(buf, count(5));
  memory.readSlice(buf, gpa(0x103b));
  assertEquals(buf, count(5));
});

Deno.test("GuestMemory.readObj() and writeObj() cross the border of adjacent regions", () => {
  const memory = memoryWithHole();
  const Descriptor = struct({ addr: u64, len: u32, flags: u16be, next: u16 });
  const value = { addr: 2n ** 64n - 1n, len: 7, flags: 1, next: 2 };
  for (let at = 0x1000; at <= 0x1010; at++) {
    memory.writeObj(Descriptor, value, gpa(at));
    assertEquals(memory.readObj(Descriptor, gpa(at)), value);
  }
});

Deno.test("GuestMemory marks in each region exactly what it wrote there", () => {
  const bitmaps: RecordingBitmap[] = [];
  const memory = GuestMemoryHeap.fromRanges([[gpa(0x1000), 16], [gpa(0x1010), 16]], {
    bitmap(length) {
      assertEquals(length, 16);
      bitmaps.push(new RecordingBitmap());
      return bitmaps.at(-1)!;
    },
  });
  const marks = () => bitmaps.map((bitmap) => bitmap.take());
  memory.write(count(8), gpa(0x100c));
  assertEquals(marks(), [[[12, 4]], [[0, 4]]]);
  memory.writeObj(u32, 1, gpa(0x100e));
  assertEquals(marks(), [[[14, 2]], [[0, 2]]]);
  assertThrows(() => memory.writeSlice(count(32), gpa(0x1018)), PartialBuffer);
  memory.store(u32, 1, gpa(0x1004));
  assertEquals(marks(), [[[4, 4]], [[8, 8]]]);
  memory.getSlice(gpa(0x1014), 8).writeObj(u16, 1, 2);
  assertEquals(marks(), [[], [[6, 2]]]);
  memory.readVolatileFrom(gpa(0x1008), new Cursor(count(10)), 16);
  assertEquals(marks(), [[[8, 8]], [[0, 2]]]);
  memory.readObj(u64, gpa(0x100c));
  assertThrows(() => memory.store(u32, 1, gpa(0x100e)), InvalidBackendAddress);
  assertEquals(marks(), [[], []]);
});

Deno.test("GuestMemory.load() and store() stay in one region and need alignment", () => {
  const memory = memoryWithHole();
  memory.store(u64, 2n ** 64n - 1n, gpa(0x1008));
  assertEquals(memory.load(u64, gpa(0x1008)), 2n ** 64n - 1n);
  assertThrows(() => memory.load(u64, gpa(0x100c)), InvalidBackendAddress, "not in one region");
  const misaligned = assertThrows(() => memory.store(u32, 1, gpa(0x1002)), Misaligned);
  assertEquals([misaligned.address, misaligned.alignment], [2, 4]);
  assertEquals(memory.readObj(u32, gpa(0x1002)), 0);
});

Deno.test("GuestMemory knows its regions", () => {
  const memory = memoryWithHole();
  assertEquals(memory.numRegions, 3);
  assertEquals(memory.lastAddr, gpa(0x103f));
  assertEquals([...memory].map((region) => region.startAddr), [
    gpa(0x1000),
    gpa(0x1010),
    gpa(0x1030),
  ]);
  assertEquals(new GuestRegionCollection().lastAddr, gpa(0));
  const kib = GuestMemoryHeap.fromRanges([[gpa(0), 1024], [gpa(0x400), 2048]]);
  let sum = 0;
  for (const region of kib) sum += region.len / 1024;
  assertEquals(sum, 3);
});

Deno.test("GuestMemory.findRegion() and what follows from it end with each region", () => {
  const memory = memoryWithHole();
  const [first, second, third] = memory;
  const cases = [
    [0xfff, undefined],
    [0x1000, first],
    [0x100f, first],
    [0x1010, second],
    [0x101f, second],
    [0x1020, undefined],
    [0x102f, undefined],
    [0x1030, third],
    [0x103f, third],
    [0x1040, undefined],
  ] as const;
  for (const [at, region] of [...cases, ...cases.toReversed()]) {
    assertStrictEquals(memory.findRegion(gpa(at)), region);
    assertEquals(memory.addressInRange(gpa(at)), region !== undefined);
    assertEquals(memory.checkAddress(gpa(at)), region && gpa(at));
    const expected = region && MemoryRegionAddress(at - region.startAddr);
    assertEquals(memory.toRegionAddr(gpa(at))?.[1], expected);
    assertStrictEquals(memory.toRegionAddr(gpa(at))?.[0], region);
  }
});

Deno.test("GuestMemory.checkRange() asks for every byte", () => {
  const memory = memoryWithHole();
  assert(memory.checkRange(gpa(0x1000), 32));
  assert(memory.checkRange(gpa(0x100f), 2));
  assertFalse(memory.checkRange(gpa(0x1000), 33));
  assertFalse(memory.checkRange(gpa(0x1000), 0x40));
  assertFalse(memory.checkRange(gpa(0xfff), 2));
  assert(memory.checkRange(gpa(0x1030), 16));
  for (const length of [-1, NaN, Infinity, 2 ** 53]) {
    assertFalse(memory.checkRange(gpa(0x1000), length));
  }
});

Deno.test("GuestMemory.checkedOffset() looks at the end only", () => {
  const memory = memoryWithHole();
  assertEquals(memory.checkedOffset(gpa(0x1000), 0x3f), gpa(0x103f));
  assertEquals(memory.checkedOffset(gpa(0), 0x1000), gpa(0x1000));
  assertEquals(memory.checkedOffset(gpa(0x1000), 0x20), undefined);
  assertEquals(memory.checkedOffset(gpa(0x1000), 2 ** 53 - 1), undefined);
});

Deno.test("GuestMemory.getSlice() stays in one region", () => {
  const memory = memoryWithHole();
  memory.write(count(32), gpa(0x1000));
  assertEquals(memory.getSlice(gpa(0x100c), 4).readObj(u8, 0), 13);
  assertEquals(memory.getSlice(gpa(0x100f), 0).len, 0);
  assertThrows(() => memory.getSlice(gpa(0x100c), 5), InvalidBackendAddress);
  for (const length of [-1, 0.5, NaN, Infinity]) {
    assertThrows(() => memory.getSlice(gpa(0x1000), length), InvalidBackendAddress);
  }
});

Deno.test("GuestMemory.getSlices() gives a slice for each region, up to the hole", () => {
  const memory = memoryWithHole();
  memory.write(count(32), gpa(0x1000));
  const starts = Array.from(memory.getSlices(gpa(0x1004), 20), (slice) => [
    slice.len,
    slice.readObj(u8, 0),
  ]);
  assertEquals(starts, [[12, 5], [8, 17]]);
  const slices = memory.getSlices(gpa(0x1018), 9);
  assertEquals(slices.next().value?.len, 8);
  const error = assertThrows(() => slices.next(), InvalidGuestAddress);
  assertEquals(error.address, gpa(0x1020));
  assertEquals(slices.next(), { value: undefined, done: true });
});

Deno.test("stopOnError() throws the first error and ends at a later one", () => {
  const memory = memoryWithHole();
  const slices = stopOnError(memory.getSlices(gpa(0x1008), 100));
  assertEquals(Array.from(slices, (slice) => slice.len), [8, 16]);
  assertThrows(() => stopOnError(memory.getSlices(gpa(0x1020), 1)).next(), InvalidGuestAddress);
  assertEquals([...stopOnError(memory.getSlices(gpa(0x1020), 0))], []);
});

Deno.test("GuestMemory.tryAccess() calls again for the rest, and stops at 0", () => {
  const memory = memoryWithHole();
  const [first, second] = memory;
  const calls: unknown[] = [];
  const done = memory.tryAccess(40, gpa(0x1008), (total, length, offset, region) => {
    calls.push([total, length, offset, region === first ? 1 : region === second ? 2 : 3]);
    return Math.min(length, 6);
  });
  assertEquals(done, 24);
  assertEquals(calls, [[0, 8, 8, 1], [6, 2, 14, 1], [8, 16, 0, 2], [14, 10, 6, 2], [20, 4, 12, 2]]);
  assertEquals(memory.tryAccess(8, gpa(0x1000), () => 0), 0);
  assertEquals(memory.tryAccess(8, gpa(0x1000), (total) => total === 0 ? 3 : 0), 3);
});

Deno.test("GuestMemory.tryAccess() refuses what a callback cannot have done", () => {
  const memory = memoryWithHole();
  for (const done of [9, -1, 0.5, NaN, Infinity]) {
    assertThrows(
      () => memory.tryAccess(8, gpa(0x1000), () => done),
      CallbackOutOfRange,
      undefined,
      `${done}`,
    );
  }
});

Deno.test("GuestMemory refuses a count that is no size", () => {
  const memory = memoryWithHole();
  for (const n of [-1, 0.5, NaN]) {
    const stream = new Cursor(count(8));
    const calls = [
      () => memory.readVolatileFrom(gpa(0x1000), stream, n),
      () => memory.readExactVolatileFrom(gpa(0x1000), stream, n),
      () => memory.writeVolatileTo(gpa(0x1000), stream, n),
      () => memory.writeAllVolatileTo(gpa(0x1000), stream, n),
      () => [...memory.getSlices(gpa(0x1000), n)],
    ];
    for (const call of calls) assertThrows(call, Error, undefined, `${call} ${n}`);
    assertEquals(stream.position, 0);
  }
});

Deno.test("GuestMemory on the heap has no host address", () => {
  assertThrows(() => memoryWithHole().getHostAddress(gpa(0x1000)), HostAddressNotAvailable);
});

for (const start of [2 ** 31 - 8, 2 ** 31, 2 ** 32 - 8, 2 ** 32, 2 ** 53 - 16]) {
  Deno.test(`GuestMemory works at ${start}`, () => {
    const memory = GuestMemoryHeap.fromRanges([[gpa(start), 8], [gpa(start + 8), 8]]);
    assertEquals(memory.lastAddr, gpa(start + 15));
    assertEquals(memory.write(count(20), gpa(start)), 16);
    assertEquals(memory.readObj(u64, gpa(start + 4)), 0x0c0b0a0908070605n);
    memory.store(u32, 2 ** 32 - 1, gpa(start + 8));
    assertEquals(memory.load(u32, gpa(start + 8)), 2 ** 32 - 1);
    assert(memory.checkRange(gpa(start), 16));
    assertFalse(memory.checkRange(gpa(start), 17));
    assertEquals(memory.checkedOffset(gpa(start), 15), gpa(start + 15));
    assertEquals(memory.checkedOffset(gpa(start), 16), undefined);
    assertEquals(memory.readVolatileFrom(gpa(start + 7), new Cursor(count(3)), 100), 3);
    const lengths = Array.from(
      stopOnError(memory.getSlices(gpa(start), 17)),
      (slice) => slice.len,
    );
    assertEquals(lengths, [8, 8]);
    const error = assertThrows(() => memory.readObj(u64, gpa(start + 13)), PartialBuffer);
    assertEquals([error.expected, error.completed], [8, 3]);
  });
}

Deno.test("a custom GuestMemory needs findRegion and iteration only", () => {
  class Pair extends GuestMemory<GuestRegionHeap> {
    readonly #regions = [new GuestRegionHeap(gpa(0), 16), new GuestRegionHeap(gpa(16), 16)];
    override findRegion(addr: GuestAddress): GuestRegionHeap | undefined {
      return this.#regions.find((region) => region.toRegionAddr(addr) !== undefined);
    }
    override [Symbol.iterator](): Iterator<GuestRegionHeap> {
      return this.#regions.values();
    }
  }
  const memory = new Pair();
  assertEquals([memory.numRegions, memory.lastAddr], [2, gpa(31)]);
  memory.writeObj(u64, 1n << 63n, gpa(12));
  assertEquals(memory.readObj(u8, gpa(19)), 0x80);
  assertEquals(memory.read(new Uint8Array(99), gpa(8)), 24);
  assertFalse(memory.addressInRange(gpa(32)));
});

Deno.test("GuestMemory asks no codec for a value of over 4,096 bytes that is not there", () => {
  using memory = GuestMemoryHeap.fromRanges([[gpa(0), 4096]]);
  let asked = 0;
  const codec: ByteValued<number> = {
    byteLength: 4097,
    alignment: 1,
    read: () => asked++,
    write: ({ u8 }, offset) => u8.fill(++asked, offset, offset + 4097),
  };
  assertThrows(() => memory.readObj(codec, gpa(0)), PartialBuffer);
  assertThrows(() => memory.writeObj(codec, 1, gpa(0)), PartialBuffer);
  assertEquals([asked, memory.readObj(u8, gpa(0))], [0, 0]);
});
