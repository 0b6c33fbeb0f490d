import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type Bitmap,
  type ByteValued,
  type GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionCollectionError,
  GuestRegionHeap,
  HostMemory,
  HostRegion,
  InvalidBackendAddress,
  InvalidGuestAddress,
  InvalidGuestRegion,
  MemoryClosed,
  MemoryRegionOverlap,
  NoMemoryRegion,
  RefCount,
  u32,
  u8,
  UnsortedMemoryRegions,
  VolatileSlice,
} from "../../mod.ts";
import { gpa, offset } from "../support/values.ts";

function heap(start: number, length: number): GuestRegionHeap {
  return new GuestRegionHeap(gpa(start), length);
}

function isOpen(region: GuestRegionHeap): boolean {
  try {
    region.readObj(u8, offset(0));
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
  assertEquals([memory.numRegions, memory.lastAddr], [3, gpa(64)]);
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
      GuestMemoryHeap.fromRanges([[gpa(2 ** 53 - below), below]]).lastAddr,
      gpa(2 ** 53 - 1),
    );
    assertThrows(
      () => GuestMemoryHeap.fromRanges([[gpa(2 ** 53 - below), below + 1]]),
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
  assertThrows(() => memory.read(new Uint8Array(1), gpa(0)), InvalidGuestAddress);
  assertEquals(starts(memory.insertRegion(heap(8, 8))), [8]);
});

Deno.test("insertRegion() gives a sorted collection and leaves the old one", () => {
  const memory = GuestRegionCollection.fromRegions([heap(0x1000, 16), heap(0x3000, 16)]);
  const first = memory.insertRegion(heap(0x2000, 16));
  const second = first.insertRegion(heap(0, 16)).insertRegion(heap(0x4000, 16));
  assertEquals(starts(memory), [0x1000, 0x3000]);
  assertEquals(starts(first), [0x1000, 0x2000, 0x3000]);
  assertEquals(starts(second), [0, 0x1000, 0x2000, 0x3000, 0x4000]);
  second.writeObj(u8, 7, gpa(0x1000));
  assertEquals(memory.readObj(u8, gpa(0x1000)), 7);
});

Deno.test("insertRegion() refuses an overlap, and nothing is closed by it", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0x1000), 16]]);
  const region = heap(0x100f, 16);
  assertThrows(() => memory.insertRegion(region), MemoryRegionOverlap);
  assertThrows(() => memory.insertRegion(memory.findRegion(gpa(0x1000))!), MemoryRegionOverlap);
  assert(isOpen(region));
  assertEquals(memory.readObj(u8, gpa(0x1000)), 0);
});

Deno.test("removeRegion() needs the exact start and the exact size", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0x1000), 16], [gpa(0x2000), 16]]);
  for (const [base, size] of [[0x1000, 15], [0x1000, 17], [0x1001, 15], [0x3000, 16]] as const) {
    assertThrows(() => memory.removeRegion(gpa(base), size), NoMemoryRegion);
  }
  const [rest, region] = memory.removeRegion(gpa(0x1000), 16);
  assertEquals([starts(rest), starts(memory)], [[0x2000], [0x1000, 0x2000]]);
  assertStrictEquals(region, memory.findRegion(gpa(0x1000)));
  assertThrows(() => rest.readObj(u8, gpa(0x1000)), InvalidGuestAddress);
  const [none] = rest.removeRegion(gpa(0x2000), 16);
  assertEquals(none.numRegions, 0);
});

Deno.test("a region is open as long as one collection contains it", () => {
  const region = heap(0, 16);
  const small = GuestRegionCollection.fromRegions([region]);
  const large = small.insertRegion(heap(16, 16));
  small.close();
  assert(isOpen(region));
  assertEquals(large.readObj(u8, gpa(0)), 0);
  large.close();
  assertFalse(isOpen(region));
});

Deno.test("closing a region in a collection takes effect with the collection", () => {
  const region = heap(0, 16);
  const memory = GuestRegionCollection.fromRegions([region]);
  region.close();
  assertEquals(memory.readObj(u8, gpa(0)), 0);
  memory.close();
  assertFalse(isOpen(region));
});

Deno.test("a removed region belongs to the caller that removed it", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16], [gpa(16), 16]]);
  const [rest, region] = memory.removeRegion(gpa(0), 16);
  memory.close();
  assert(isOpen(region));
  assertEquals(rest.readObj(u8, gpa(16)), 0);
  const again = rest.insertRegion(region);
  assertEquals(starts(again), [0, 16]);
  again.close();
  assertFalse(isOpen(region));
  rest.close();
});

Deno.test("a removed region is closed with the last of its collection and its remover", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16], [gpa(16), 16]]);
  const [rest, region] = memory.removeRegion(gpa(0), 16);
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

Deno.test("RefCount releases once, with the last reference, whatever is released or closed too often", () => {
  let released = 0;
  const holds = new RefCount("region", () => released++);
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
    using memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
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
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  assertThrows(() => memory.insertRegion(closed), MemoryClosed);
  assertEquals(memory.readObj(u8, gpa(0)), 0);
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

Deno.test("a slice of a closed collection stays usable while another contains its region", () => {
  const small = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  const large = small.insertRegion(heap(16, 16));
  const slice = small.getSlice(gpa(4), 4);
  small.close();
  slice.writeObj(u32, 7, 0);
  assertEquals(large.readObj(u32, gpa(4)), 7);
  large.close();
  assertThrows(() => slice.readObj(u32, 0), MemoryClosed);
});

Deno.test("a collection that finds regions in a way of its own is asked for every access", () => {
  class Veiled extends GuestRegionCollection<GuestRegionHeap> {
    override findRegion(addr: GuestAddress): GuestRegionHeap | undefined {
      return addr < 8 ? super.findRegion(addr) : undefined;
    }
  }
  const memory = new Veiled([new GuestRegionHeap(gpa(0), 8), new GuestRegionHeap(gpa(8), 8)]);
  assertEquals(memory.write(new Uint8Array(16), gpa(0)), 8);
  for (const access of [() => memory.readObj(u8, gpa(8)), () => memory.load(u8, gpa(8))]) {
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
  const region = new HostRegion(gpa(0), new Counting(new HostMemory(new ArrayBuffer(8)), 0, 8));
  const memory = GuestRegionCollection.fromRegions([region]);
  memory.write(new Uint8Array(8), gpa(0));
  assertEquals(asked, 1);
});

Deno.test("an access of zero bytes asks nobody", () => {
  const asked: unknown[] = [];
  const bitmap: Bitmap = {
    markDirty: (...range) => asked.push(range),
    dirtyAt: () => false,
    sliceAt: () => bitmap,
  };
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 8]], { bitmap: () => bitmap });
  const nothing: ByteValued<number> = {
    byteLength: 0,
    alignment: 1,
    read: (memory, offset) => asked.push(["read", memory.u8.length, offset]),
    write: () => {},
  };
  memory.write(new Uint8Array(0), gpa(4));
  memory.writeSlice(new Uint8Array(0), gpa(4));
  memory.writeObj(nothing, 1, gpa(4));
  assertEquals(asked, []);
  memory.readObj(nothing, gpa(4));
  // A value of no bytes is read, but not from this memory.
  assertEquals(asked.length, 1);
  assert((asked[0] as unknown[])[1] !== 8);
});

Deno.test("new GuestRegionCollection() that fails releases what it retained, and no more", () => {
  const asked: string[] = [];
  class Counted extends HostRegion {
    constructor(start: number, readonly fails: boolean) {
      super(gpa(start), VolatileSlice.from(new Uint8Array(16)));
    }
    override retain(): void {
      asked.push(`retain ${this.startAddr}`);
      if (this.fails) throw new Error("no more");
    }
    override release(): void {
      asked.push(`release ${this.startAddr}`);
    }
  }
  const regions = [new Counted(0, false), new Counted(16, true), new Counted(32, false)];
  assertThrows(() => new GuestRegionCollection(regions), Error, "no more");
  assertEquals(asked, ["retain 0", "retain 16", "release 0"]);
});

Deno.test("fromRegions() refuses a region whose last address is not its own", () => {
  for (const by of [-1, 1]) {
    class Lying extends HostRegion {
      override get lastAddr(): GuestAddress {
        return gpa(super.lastAddr + by);
      }
    }
    const region = new Lying(gpa(16), VolatileSlice.from(new Uint8Array(16)));
    assertThrows(() => GuestRegionCollection.fromRegions([region]), InvalidGuestRegion);
  }
});

Deno.test("load() and store() refuse an integer of no bytes", () => {
  using memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  const nothing = { ...u8, byteLength: 0 };
  assertThrows(() => memory.load(nothing, gpa(0)), InvalidBackendAddress);
  assertThrows(() => memory.store(nothing, 1, gpa(0)), InvalidBackendAddress);
});
