import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type Bitmap,
  type ByteValued,
  Cursor,
  GuestAddress,
  GuestMemory,
  GuestMemoryHeap,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionCollectionError,
  GuestRegionHeap,
  Holds,
  HostMemory,
  HostRegion,
  InvalidGuestAddress,
  InvalidGuestRegion,
  IoMemory,
  MemoryClosed,
  MemoryRegionAddress,
  MemoryRegionOverlap,
  NoMemoryRegion,
  Permissions,
  u32,
  u8,
  UnsortedMemoryRegions,
  VolatileArrayRef,
  VolatileRef,
  VolatileSlice,
} from "../mod.ts";

const A = GuestAddress;
const M = MemoryRegionAddress;

function heap(start: number, length: number): GuestRegionHeap {
  return new GuestRegionHeap(A(start), length);
}

function isOpen(region: GuestRegionHeap): boolean {
  try {
    region.readObj(u8, M(0));
    return true;
  } catch (error) {
    assert(error instanceof MemoryClosed);
    return false;
  }
}

function starts(memory: GuestMemory): number[] {
  return Array.from(memory, (region) => region.startAddr);
}

Deno.test("fromRegions() needs a region", () => {
  assertThrows(() => GuestRegionCollection.fromRegions([]), NoMemoryRegion);
  assertThrows(() => GuestMemoryHeap.fromRanges([]), NoMemoryRegion);
});

Deno.test("fromRegions() takes adjacent regions and holes", () => {
  const memory = GuestRegionCollection.fromRegions([heap(0, 16), heap(16, 16), heap(64, 1)]);
  assertEquals([memory.numRegions, memory.lastAddr], [3, A(64)]);
});

Deno.test("fromRegions() refuses unsorted regions", () => {
  assertThrows(
    () => GuestRegionCollection.fromRegions([heap(32, 16), heap(0, 16)]),
    UnsortedMemoryRegions,
  );
});

Deno.test("fromRegions() refuses regions that overlap, also in one byte and in all", () => {
  for (const [first, second] of [[heap(0, 16), heap(15, 1)], [heap(8, 8), heap(8, 8)]] as const) {
    assertThrows(() => GuestRegionCollection.fromRegions([first, second]), MemoryRegionOverlap);
  }
});

Deno.test("fromRegions() says unsorted before overlap, and names the first pair", () => {
  assertThrows(
    () => GuestRegionCollection.fromRegions([heap(8, 16), heap(0, 16)]),
    UnsortedMemoryRegions,
  );
  assertThrows(
    () => GuestRegionCollection.fromRegions([heap(8, 16), heap(16, 16), heap(0, 8)]),
    MemoryRegionOverlap,
  );
});

Deno.test("fromRegions() refuses an empty region and one beyond 2^53", () => {
  assertThrows(() => GuestRegionCollection.fromRegions([heap(0, 0)]), InvalidGuestRegion);
  for (let below = 1; below < 6; below++) {
    assertEquals(
      GuestMemoryHeap.fromRanges([[A(2 ** 53 - below), below]]).lastAddr,
      A(2 ** 53 - 1),
    );
    assertThrows(
      () => GuestMemoryHeap.fromRanges([[A(2 ** 53 - below), below + 1]]),
      InvalidGuestRegion,
      undefined,
      `${below + 1} bytes at 2^53 - ${below}`,
    );
  }
});

Deno.test("GuestRegionCollectionError is the base of what is wrong with a list", () => {
  const error = assertThrows(() => GuestMemoryHeap.fromRanges([]), GuestRegionCollectionError);
  assertEquals(error.name, "NoMemoryRegion");
});

Deno.test("a collection does not change with the list that it was made of", () => {
  const regions = [heap(0, 16), heap(32, 16)];
  const memory = GuestRegionCollection.fromRegions(regions);
  regions.pop();
  assertEquals(starts(memory), [0, 32]);
});

Deno.test("new GuestRegionCollection() is empty", () => {
  const memory = new GuestRegionCollection<GuestRegionHeap>();
  assertEquals([memory.numRegions, starts(memory)], [0, []]);
  assertThrows(() => memory.read(new Uint8Array(1), A(0)), InvalidGuestAddress);
  assertEquals(starts(memory.insertRegion(heap(8, 8))), [8]);
});

Deno.test("insertRegion() gives a sorted collection and leaves the old one", () => {
  const memory = GuestRegionCollection.fromRegions([heap(0x1000, 16), heap(0x3000, 16)]);
  const first = memory.insertRegion(heap(0x2000, 16));
  const second = first.insertRegion(heap(0, 16)).insertRegion(heap(0x4000, 16));
  assertEquals(starts(memory), [0x1000, 0x3000]);
  assertEquals(starts(first), [0x1000, 0x2000, 0x3000]);
  assertEquals(starts(second), [0, 0x1000, 0x2000, 0x3000, 0x4000]);
  second.writeObj(u8, 7, A(0x1000));
  assertEquals(memory.readObj(u8, A(0x1000)), 7);
});

Deno.test("insertRegion() refuses an overlap, and nothing is closed by it", () => {
  const memory = GuestMemoryHeap.fromRanges([[A(0x1000), 16]]);
  const region = heap(0x100f, 16);
  assertThrows(() => memory.insertRegion(region), MemoryRegionOverlap);
  assertThrows(() => memory.insertRegion(memory.findRegion(A(0x1000))!), MemoryRegionOverlap);
  assert(isOpen(region));
  assertEquals(memory.readObj(u8, A(0x1000)), 0);
});

Deno.test("removeRegion() needs the exact start and the exact size", () => {
  const memory = GuestMemoryHeap.fromRanges([[A(0x1000), 16], [A(0x2000), 16]]);
  for (const [base, size] of [[0x1000, 15], [0x1000, 17], [0x1001, 15], [0x3000, 16]] as const) {
    assertThrows(() => memory.removeRegion(A(base), size), NoMemoryRegion);
  }
  const [rest, region] = memory.removeRegion(A(0x1000), 16);
  assertEquals([starts(rest), starts(memory)], [[0x2000], [0x1000, 0x2000]]);
  assertStrictEquals(region, memory.findRegion(A(0x1000)));
  assertThrows(() => rest.readObj(u8, A(0x1000)), InvalidGuestAddress);
  const [none] = rest.removeRegion(A(0x2000), 16);
  assertEquals(none.numRegions, 0);
});

Deno.test("a region is open as long as one collection holds it", () => {
  const region = heap(0, 16);
  const small = GuestRegionCollection.fromRegions([region]);
  const large = small.insertRegion(heap(16, 16));
  small.close();
  assert(isOpen(region));
  assertEquals(large.readObj(u8, A(0)), 0);
  large.close();
  assertFalse(isOpen(region));
});

Deno.test("closing a region that a collection holds takes effect with the collection", () => {
  const region = heap(0, 16);
  const memory = GuestRegionCollection.fromRegions([region]);
  region.close();
  assertEquals(memory.readObj(u8, A(0)), 0);
  memory.close();
  assertFalse(isOpen(region));
});

Deno.test("a removed region belongs to whoever removed it", () => {
  const memory = GuestMemoryHeap.fromRanges([[A(0), 16], [A(16), 16]]);
  const [rest, region] = memory.removeRegion(A(0), 16);
  memory.close();
  assert(isOpen(region));
  assertEquals(rest.readObj(u8, A(16)), 0);
  const again = rest.insertRegion(region);
  assertEquals(starts(again), [0, 16]);
  again.close();
  assertFalse(isOpen(region));
  rest.close();
});

Deno.test("a removed region is closed with the last of its collection and its remover", () => {
  const memory = GuestMemoryHeap.fromRanges([[A(0), 16], [A(16), 16]]);
  const [rest, region] = memory.removeRegion(A(0), 16);
  region.close();
  assert(isOpen(region));
  memory.close();
  assertFalse(isOpen(region));
  rest.close();
});

Deno.test("closing twice closes once", () => {
  const region = heap(0, 16);
  const small = GuestRegionCollection.fromRegions([region]);
  const large = small.insertRegion(heap(16, 16));
  small.close();
  small.close();
  small[Symbol.dispose]();
  assert(isOpen(region));
  large.close();
  region.close();
  region.close();
  assertFalse(isOpen(region));
});

Deno.test("Holds lets go once, with the last holder, whatever is released or closed too often", () => {
  let released = 0;
  const holds = new Holds("region", () => released++);
  holds.release();
  holds.retain();
  holds.retain();
  holds.release();
  holds.close();
  assertEquals([released, holds.released], [0, false]);
  holds.release();
  holds.release();
  holds.close();
  assertEquals([released, holds.released], [1, true]);
  assertThrows(() => holds.retain(), MemoryClosed, "region");
});

Deno.test("using closes a collection and a region", () => {
  let outside: GuestRegionHeap;
  let map: GuestMemoryHeap;
  {
    using memory = GuestMemoryHeap.fromRanges([[A(0), 16]]);
    using region = heap(0, 16);
    outside = region;
    map = memory;
    assert(isOpen(region));
  }
  assertFalse(isOpen(outside));
  assert(map.closed);
});

Deno.test("a closed region cannot be put in a collection", () => {
  const closed = heap(16, 16);
  closed.close();
  assertThrows(() => GuestRegionCollection.fromRegions([closed]), MemoryClosed);
  const memory = GuestMemoryHeap.fromRanges([[A(0), 16]]);
  assertThrows(() => memory.insertRegion(closed), MemoryClosed);
  assertEquals(memory.readObj(u8, A(0)), 0);
  memory.close();
});

Deno.test("fromRegions() that fails leaves the other regions open and in their maker's hands", () => {
  const region = heap(0, 16);
  const closed = heap(16, 16);
  closed.close();
  assertThrows(() => GuestRegionCollection.fromRegions([region, closed]), MemoryClosed);
  assert(isOpen(region));
  region.close();
  assertFalse(isOpen(region));
});

Deno.test("a slice of a closed collection stays usable while another holds its region", () => {
  const small = GuestMemoryHeap.fromRanges([[A(0), 16]]);
  const large = small.insertRegion(heap(16, 16));
  const slice = small.getSlice(A(4), 4);
  small.close();
  slice.writeObj(u32, 7, 0);
  assertEquals(large.readObj(u32, A(4)), 7);
  large.close();
  assertThrows(() => slice.readObj(u32, 0), MemoryClosed);
});

type Calls<T> = Record<string, (target: T) => unknown>;

const buf = new Uint8Array(4);
const stream = () => new Cursor(new Uint8Array(4));

const MEMORY_CALLS: Calls<GuestMemoryHeap> = {
  findRegion: (memory) => memory.findRegion(A(0)),
  iteration: (memory) => [...memory],
  numRegions: (memory) => memory.numRegions,
  lastAddr: (memory) => memory.lastAddr,
  toRegionAddr: (memory) => memory.toRegionAddr(A(0)),
  addressInRange: (memory) => memory.addressInRange(A(0)),
  checkAddress: (memory) => memory.checkAddress(A(0)),
  checkRange: (memory) => memory.checkRange(A(0), 4),
  checkedOffset: (memory) => memory.checkedOffset(A(0), 4),
  getHostAddress: (memory) => memory.getHostAddress(A(0)),
  getSlice: (memory) => memory.getSlice(A(0), 4),
  getSlices: (memory) => memory.getSlices(A(0), 4).next(),
  tryAccess: (memory) => memory.tryAccess(4, A(0), () => 4),
  read: (memory) => memory.read(buf, A(0)),
  write: (memory) => memory.write(buf, A(0)),
  readSlice: (memory) => memory.readSlice(buf, A(0)),
  writeSlice: (memory) => memory.writeSlice(buf, A(0)),
  readObj: (memory) => memory.readObj(u32, A(0)),
  writeObj: (memory) => memory.writeObj(u32, 0, A(0)),
  load: (memory) => memory.load(u32, A(0)),
  store: (memory) => memory.store(u32, 0, A(0)),
  exchange: (memory) => memory.exchange(u32, 1, A(0)),
  fetchAdd: (memory) => memory.fetchAdd(u32, 1, A(0)),
  fetchSub: (memory) => memory.fetchSub(u32, 1, A(0)),
  fetchAnd: (memory) => memory.fetchAnd(u32, 1, A(0)),
  fetchOr: (memory) => memory.fetchOr(u32, 1, A(0)),
  fetchXor: (memory) => memory.fetchXor(u32, 1, A(0)),
  compareExchange: (memory) => memory.compareExchange(u32, 0, 1, A(0)),
  readVolatileFrom: (memory) => memory.readVolatileFrom(A(0), stream(), 4),
  readExactVolatileFrom: (memory) => memory.readExactVolatileFrom(A(0), stream(), 4),
  writeVolatileTo: (memory) => memory.writeVolatileTo(A(0), stream(), 4),
  writeAllVolatileTo: (memory) => memory.writeAllVolatileTo(A(0), stream(), 4),
  insertRegion: (memory) => memory.insertRegion(heap(64, 16)),
  removeRegion: (memory) => memory.removeRegion(A(0), 16),
  retain: (memory) => memory.retain(),
  memory: (memory) => memory.memory(),
  access: (memory) => memory.access(4, A(0), Permissions.Read, (_total, count) => count),
};

const REGION_CALLS: Calls<GuestRegionHeap> = {
  read: (region) => region.read(buf, M(0)),
  write: (region) => region.write(buf, M(0)),
  readSlice: (region) => region.readSlice(buf, M(0)),
  writeSlice: (region) => region.writeSlice(buf, M(0)),
  readObj: (region) => region.readObj(u32, M(0)),
  writeObj: (region) => region.writeObj(u32, 0, M(0)),
  load: (region) => region.load(u32, M(0)),
  store: (region) => region.store(u32, 0, M(0)),
  exchange: (region) => region.exchange(u32, 1, M(0)),
  fetchAdd: (region) => region.fetchAdd(u32, 1, M(0)),
  fetchSub: (region) => region.fetchSub(u32, 1, M(0)),
  fetchAnd: (region) => region.fetchAnd(u32, 1, M(0)),
  fetchOr: (region) => region.fetchOr(u32, 1, M(0)),
  fetchXor: (region) => region.fetchXor(u32, 1, M(0)),
  compareExchange: (region) => region.compareExchange(u32, 0, 1, M(0)),
  readVolatileFrom: (region) => region.readVolatileFrom(M(0), stream(), 4),
  readExactVolatileFrom: (region) => region.readExactVolatileFrom(M(0), stream(), 4),
  writeVolatileTo: (region) => region.writeVolatileTo(M(0), stream(), 4),
  writeAllVolatileTo: (region) => region.writeAllVolatileTo(M(0), stream(), 4),
  "getSlice and an access": (region) => region.getSlice(M(0), 4).readObj(u8, 0),
  "asVolatileSlice and an access": (region) => region.asVolatileSlice().readObj(u8, 0),
  retain: (region) => region.retain(),
  handBack: (region) => region.handBack(),
};

const SLICE_CALLS: Calls<VolatileSlice> = {
  rawView: (slice) => slice.rawView(),
  readOnlyView: (slice) => slice.readOnlyView(),
  read: (slice) => slice.read(buf, 0),
  write: (slice) => slice.write(buf, 0),
  readSlice: (slice) => slice.readSlice(buf, 0),
  writeSlice: (slice) => slice.writeSlice(buf, 0),
  readObj: (slice) => slice.readObj(u32, 0),
  writeObj: (slice) => slice.writeObj(u32, 0, 0),
  load: (slice) => slice.load(u32, 0),
  demand: (slice) => slice.demand("read"),
  store: (slice) => slice.store(u32, 0, 0),
  exchange: (slice) => slice.exchange(u32, 1, 0),
  fetchAdd: (slice) => slice.fetchAdd(u32, 1, 0),
  fetchSub: (slice) => slice.fetchSub(u32, 1, 0),
  fetchAnd: (slice) => slice.fetchAnd(u32, 1, 0),
  fetchOr: (slice) => slice.fetchOr(u32, 1, 0),
  fetchXor: (slice) => slice.fetchXor(u32, 1, 0),
  compareExchange: (slice) => slice.compareExchange(u32, 0, 1, 0),
  readVolatileFrom: (slice) => slice.readVolatileFrom(0, stream(), 4),
  readExactVolatileFrom: (slice) => slice.readExactVolatileFrom(0, stream(), 4),
  writeVolatileTo: (slice) => slice.writeVolatileTo(0, stream(), 4),
  writeAllVolatileTo: (slice) => slice.writeAllVolatileTo(0, stream(), 4),
  copyTo: (slice) => slice.copyTo(buf),
  copyFrom: (slice) => slice.copyFrom(buf),
  "copyToVolatileSlice, from it": (slice) => slice.copyToVolatileSlice(VolatileSlice.from(buf)),
  "copyToVolatileSlice, to it": (slice) => VolatileSlice.from(buf).copyToVolatileSlice(slice),
  "subslice and an access": (slice) => slice.subslice(0, 4).readObj(u8, 0),
  "offset and an access": (slice) => slice.offset(4).readObj(u8, 0),
  "splitAt and an access": (slice) => slice.splitAt(4)[1].readObj(u8, 0),
  "getRef and an access": (slice) => slice.getRef(u8, 0).load(),
  "getArrayRef and an access": (slice) => slice.getArrayRef(u8, 0, 1).load(0),
};

const REF_CALLS: Calls<VolatileRef<number>> = {
  load: (ref) => ref.load(),
  store: (ref) => ref.store(1),
  "toSlice and an access": (ref) => ref.toSlice().readObj(u8, 0),
};

const ARRAY_REF_CALLS: Calls<VolatileArrayRef<number>> = {
  load: (ref) => ref.load(0),
  store: (ref) => ref.store(0, 1),
  "refAt and an access": (ref) => ref.refAt(0).load(),
  copyTo: (ref) => ref.copyTo([0]),
  copyFrom: (ref) => ref.copyFrom([1]),
  copyToVolatileSlice: (ref) => ref.copyToVolatileSlice(VolatileSlice.from(buf)),
  "toSlice and an access": (ref) => ref.toSlice().readObj(u8, 0),
};

function assertClosed<T>(target: T, calls: Calls<T>): void {
  for (const [name, call] of Object.entries(calls)) {
    assertThrows(() => call(target), MemoryClosed, "closed", name);
  }
}

Deno.test("everything throws MemoryClosed after the memory was closed", () => {
  const memory = GuestMemoryHeap.fromRanges([[A(0), 16]]);
  const region = memory.findRegion(A(0))!;
  const slice = memory.getSlice(A(0), 16);
  const ref = slice.getRef(u32, 0);
  const arrayRef = slice.getArrayRef(u32, 0, 4);
  memory.close();
  assert(memory.closed);
  assertClosed(memory, MEMORY_CALLS);
  assertClosed(region, REGION_CALLS);
  assertClosed(slice, SLICE_CALLS);
  assertClosed(ref, REF_CALLS);
  assertClosed(arrayRef, ARRAY_REF_CALLS);
  assertEquals(new Uint8Array(region.buffer), new Uint8Array(16));
});

Deno.test("a collection that finds regions in a way of its own is asked for every access", () => {
  class Veiled extends GuestRegionCollection<GuestRegionHeap> {
    override findRegion(addr: GuestAddress): GuestRegionHeap | undefined {
      return addr < 8 ? super.findRegion(addr) : undefined;
    }
  }
  const memory = new Veiled([new GuestRegionHeap(A(0), 8), new GuestRegionHeap(A(8), 8)]);
  assertEquals(memory.write(new Uint8Array(16), A(0)), 8);
  for (const access of [() => memory.readObj(u8, A(8)), () => memory.load(u8, A(8))]) {
    assertThrows(access, InvalidGuestAddress);
  }
});

Deno.test("a slice that writes in a way of its own is asked", () => {
  let asked = 0;
  class Counting extends VolatileSlice {
    override write(buf: Uint8Array, addr: number): number {
      asked++;
      return super.write(buf, addr);
    }
  }
  const region = new HostRegion(A(0), new Counting(new HostMemory(new ArrayBuffer(8)), 0, 8));
  const memory = GuestRegionCollection.fromRegions([region]);
  memory.write(new Uint8Array(8), A(0));
  assertEquals(asked, 1);
});

Deno.test("an access of zero bytes asks nobody", () => {
  const asked: unknown[] = [];
  const bitmap: Bitmap = {
    markDirty: (...range) => asked.push(range),
    dirtyAt: () => false,
    sliceAt: () => bitmap,
  };
  const memory = GuestMemoryHeap.fromRanges([[A(0), 8]], { bitmap: () => bitmap });
  const nothing: ByteValued<number> = {
    byteLength: 0,
    alignment: 1,
    read: (memory, offset) => asked.push(["read", memory.u8.length, offset]),
    write: () => {},
  };
  memory.write(new Uint8Array(0), A(4));
  memory.writeSlice(new Uint8Array(0), A(4));
  memory.writeObj(nothing, 1, A(4));
  assertEquals(asked, []);
  memory.readObj(nothing, A(4));
  // A value of no bytes is read, but not from this memory.
  assertEquals(asked.length, 1);
  assert((asked[0] as unknown[])[1] !== 8);
});

Deno.test("the tables of calls on closed memory leave no method out", () => {
  const harmless = new Set([
    ...["constructor", "toString", "describe", "close", "release", "handOver", "bitmap", "closed"],
    ...["len", "isEmpty", "elementSize", "markDirty", "computeEndOffset", "asVolatileSlice"],
    ...["lastAddr", "fileOffset", "isHugetlbfs", "checkAddress", "addressInRange"],
    ...["checkedOffset", "toRegionAddr", "getHostAddress", "getSlice", "physicalMemory"],
    ...["withBitmap", "demandLarge", "tracking"],
  ]);
  const classes: [abstract new (...args: never) => unknown, Calls<never>][] = [
    [IoMemory, MEMORY_CALLS],
    [GuestMemory, MEMORY_CALLS],
    [GuestRegionCollection, MEMORY_CALLS],
    [GuestMemoryRegion, REGION_CALLS],
    [HostRegion, REGION_CALLS],
    [GuestRegionHeap, REGION_CALLS],
    [VolatileSlice, SLICE_CALLS],
    [VolatileRef, REF_CALLS],
    [VolatileArrayRef, ARRAY_REF_CALLS],
  ];
  for (const [{ name, prototype }, calls] of classes) {
    const covered = Object.keys(calls).map((call) => call.match(/^\w+/)![0]);
    const members = Object.getOwnPropertyNames(prototype);
    const missing = members.filter((member) => !harmless.has(member) && !covered.includes(member));
    assertEquals([name, missing], [name, []]);
  }
});
