import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bytes,
  Cursor,
  Fd,
  GuestAddress,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  HostRegion,
  IommuMemory,
  MemoryClosed,
  type MemoryRegionAddress,
  NoBitmap,
  u32,
  VolatileSlice,
} from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { openFile } from "../support/posix.ts";

const A = GuestAddress;
const at = (offset: number) => offset as MemoryRegionAddress;

type Access = keyof typeof ACCESSES;

// Each access that a region has, as a device uses it at address 4.
const ACCESSES = {
  read: (memory) => memory.read(new Uint8Array(4), 4),
  write: (memory) => memory.write(new Uint8Array(4), 4),
  readObj: (memory) => memory.readObj(u32, 4),
  writeObj: (memory) => memory.writeObj(u32, 1, 4),
  load: (memory) => memory.load(u32, 4),
  store: (memory) => memory.store(u32, 1, 4),
  getAtomicRef: (memory) => memory.getAtomicRef(u32, 4),
  readVolatileFrom: (memory) => memory.readVolatileFrom(4, { readSync: () => 0 }, 4),
  writeVolatileTo: (memory) => memory.writeVolatileTo(4, { writeSync: () => 0 }, 4),
} as const satisfies Record<string, (memory: Bytes<number>) => unknown>;

// A class derived from GuestRegionHeap that counts the calls of one access, and changes nothing.
function counting(name: string): { region: GuestRegionHeap; asked(): number } {
  let asked = 0;
  class CountingRegion extends GuestRegionHeap {}
  const own = GuestRegionHeap.prototype[name as "read"] as (...args: unknown[]) => never;
  CountingRegion.prototype[name as "read"] = function (...args: unknown[]): never {
    asked++;
    return own.apply(this, args);
  };
  return { region: new CountingRegion(A(0), 64), asked: () => asked };
}

for (const [name, access] of Object.entries(ACCESSES)) {
  Deno.test(`a class of GuestRegionHeap with a ${name} of its own is asked each time`, () => {
    const { region, asked } = counting(name);
    using memory = GuestRegionCollection.fromRegions([region]);
    assertEquals(region.hostSlice, undefined);
    for (let times = 1; times <= 3; times++) {
      access(memory as Bytes<number>);
      assertEquals(asked(), times);
    }
  });

  Deno.test(`a class of GuestRegionHeap with a ${name} of its own is asked by an IOMMU`, () => {
    for (const options of [{}, { bitmap: new AtomicBitmap(0x1000) }]) {
      const { region, asked } = counting(name);
      using backend = GuestRegionCollection.fromRegions([region]);
      const iommu = { translate: (base: GuestAddress, length: number) => [{ base, length }] };
      const memory = new IommuMemory(backend, iommu, options);
      access(memory as Bytes<number>);
      assertEquals(asked(), 1);
    }
  });
}

// The other accesses are made of these, and of slices.
for (const name of ["getSlice", "asVolatileSlice", "readSlice", "writeSlice"]) {
  Deno.test(`a class of GuestRegionHeap with a ${name} of its own has no host slice`, () => {
    assertEquals(counting(name).region.hostSlice, undefined);
  });
}

linuxTest("a class of GuestRegionHeap with streams of its own gets those of descriptors", () => {
  const first = counting("readVolatileFrom");
  const second = new GuestRegionHeap(A(64), 64);
  using memory = GuestRegionCollection.fromRegions([first.region, second]);
  using file = openFile(new Uint8Array(64));
  memory.readExactVolatileFrom(A(32), new Fd(file.fd), 16);
  assertEquals(first.asked(), 1);
  memory.readExactVolatileFrom(A(60), new Fd(file.fd), 8);
  assertEquals(first.asked(), 2);
});

Deno.test("a class of GuestRegionHeap with a read of its own changes what is read", () => {
  class Inverted extends GuestRegionHeap {
    override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
      const done = super.read(buf, addr);
      for (let i = 0; i < done; i++) buf[i]! ^= 0xff;
      return done;
    }
  }
  using memory = GuestRegionCollection.fromRegions([new Inverted(A(0), 16)]);
  memory.write(Uint8Array.of(1, 2), A(0));
  const buf = new Uint8Array(2);
  memory.readSlice(buf, A(0));
  assertEquals(buf, Uint8Array.of(0xfe, 0xfd));
});

Deno.test("a class of GuestRegionHeap that has no host slice is asked each time", () => {
  let asked = 0;
  class Watched extends GuestRegionHeap {
    override get hostSlice(): undefined {
      return undefined;
    }
    override asVolatileSlice(): VolatileSlice {
      asked++;
      return super.asVolatileSlice();
    }
  }
  class Plain extends GuestRegionHeap {
    override get hostSlice(): undefined {
      return undefined;
    }
  }
  using watched = GuestRegionCollection.fromRegions([new Watched(A(0), 64)]);
  for (const access of Object.values(ACCESSES)) access(watched as Bytes<number>);
  assertEquals(asked, Object.keys(ACCESSES).length);
  using plain = GuestRegionCollection.fromRegions([new Plain(A(0), 64)]);
  plain.writeObj(u32, 7, A(60));
  assertEquals(plain.readObj(u32, A(60)), 7);
});

Deno.test("a class of GuestRegionHeap with no access of its own is not asked", () => {
  class Labelled extends GuestRegionHeap {
    readonly label = "video memory";
    protected override describe(): string {
      return ` ${this.label}`;
    }
  }
  const region = new Labelled(A(0), 64);
  assertStrictEquals(region.hostSlice, region.asVolatileSlice());
  using memory = GuestRegionCollection.fromRegions([region]);
  const refuse = () => {
    throw new Error("asked");
  };
  // On the instance, after the map has looked.
  const names = ["getSlice", "asVolatileSlice", ...Object.keys(ACCESSES)] as Access[];
  for (const name of names) Object.defineProperty(region, name, { value: refuse });
  for (const [name, access] of Object.entries(ACCESSES)) {
    // A reference, and the caller's streams, go through the region.
    if (/Ref|Volatile/.test(name)) continue;
    access(memory as Bytes<number>);
  }
  memory.readVolatileFrom(A(0), new Cursor(new Uint8Array(4)), 4);
  memory.writeVolatileTo(A(0), new Cursor(new Uint8Array(4)), 4);
});

Deno.test("an instance with an access of its own is asked by the map that is made of it", () => {
  const region = new GuestRegionHeap(A(0), 64);
  let asked = 0;
  region.read = (buf) => {
    asked++;
    return buf.length;
  };
  using memory = GuestRegionCollection.fromRegions([region]);
  memory.read(new Uint8Array(4), A(0));
  assertEquals(asked, 1);
});

Deno.test("GuestMemoryRegion has no host slice unless it says so", () => {
  class Own extends GuestMemoryRegion {
    readonly startAddr = A(0);
    readonly len = 16;
    readonly bitmap = NoBitmap;
  }
  assertEquals(new Own().hostSlice, undefined);
});

Deno.test("HostRegion is a slice at a place", () => {
  const bytes = new Uint8Array(32);
  const bitmap = new AtomicBitmap(32, 1);
  const slice = VolatileSlice.from(bytes, bitmap);
  using region = new HostRegion(A(0x1000), slice);
  assertEquals([region.startAddr, region.len, region.lastAddr], [A(0x1000), 32, A(0x101f)]);
  assertStrictEquals(region.asVolatileSlice(), slice);
  assertStrictEquals(region.hostSlice, slice);
  assertStrictEquals(region.bitmap, bitmap);
  region.getSlice(at(8), 4).write(Uint8Array.of(7), 0);
  assertEquals([bytes[8], [...bitmap.dirtyRuns()]], [7, [[8, 1]]]);
});

Deno.test("HostRegion of a slice in the middle of a memory works in a map", () => {
  const bytes = new Uint8Array(32);
  const slice = VolatileSlice.from(bytes.subarray(8, 24));
  using memory = GuestRegionCollection.fromRegions([new HostRegion(A(0), slice)]);
  memory.write(Uint8Array.of(1, 2), A(14));
  assertEquals([...bytes], [...new Uint8Array(22), 1, 2, ...new Uint8Array(8)]);
  assertEquals(memory.read(new Uint8Array(4), A(14)), 2);
});

Deno.test("HostRegion lets go once, with its last holder", () => {
  let released = 0;
  const region = new HostRegion(A(0), VolatileSlice.from(new Uint8Array(8)), () => released++);
  region.retain();
  region.close();
  assertEquals([region.closed, released], [false, 0]);
  region.release();
  assertEquals([region.closed, released], [true, 1]);
  region.release();
  region.close();
  region[Symbol.dispose]();
  assertEquals(released, 1);
  assertThrows(() => region.retain(), MemoryClosed);
  assertThrows(() => region.onRemoved(), MemoryClosed);
});

Deno.test("HostRegion.onInserted() ends the maker's hold, onRemoved() gives one", () => {
  let released = 0;
  const region = new HostRegion(A(0), VolatileSlice.from(new Uint8Array(8)), () => released++);
  region.retain();
  region.onInserted();
  region.onRemoved();
  region.release();
  assertEquals(released, 0);
  region.close();
  assertEquals(released, 1);
  assert(region.closed);
});
