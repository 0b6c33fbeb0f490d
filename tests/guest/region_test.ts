import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  type Bitmap,
  type Bytes,
  type ByteValued,
  Cursor,
  type GuestAddress,
  GuestMemoryHeap,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  HostAddressNotAvailable,
  InvalidBackendAddress,
  type MemoryRegionAddress,
  Misaligned,
  MmapRegion,
  NoBitmap,
  OutOfBounds,
  PartialBuffer,
  Permissions,
  u16,
  u32,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";
import { count, gpa, offset } from "../support/values.ts";

// Content in host memory: getSlice is all it takes.
class SliceRegion extends GuestMemoryRegion {
  readonly startAddr = gpa(0x1000);
  readonly len = 16;
  readonly bitmap = new RecordingBitmap();
  readonly #slice = VolatileSlice.from(new Uint8Array(16), this.bitmap);

  override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
    return this.#slice.getSlice(offset, count);
  }
}

// No host memory, as device registers have none: every access of a register counts.
class RegisterRegion extends GuestMemoryRegion {
  readonly startAddr: GuestAddress;
  readonly len = 8;
  readonly bitmap: Bitmap = NoBitmap;
  readonly registers = new Uint8Array(8);
  accesses = 0;

  constructor(startAddr: GuestAddress) {
    super();
    this.startAddr = startAddr;
  }

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    this.accesses++;
    const part = this.registers.subarray(addr, addr + buf.length);
    buf.set(part);
    return part.length;
  }

  override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    this.accesses++;
    const count = Math.min(buf.length, this.len - addr);
    this.registers.set(buf.subarray(0, count), addr);
    return count;
  }

  override readObj<T>(codec: ByteValued<T>, addr: MemoryRegionAddress): T {
    const buf = new Uint8Array(codec.byteLength);
    this.read(buf, addr);
    return VolatileSlice.from(buf).readObj(codec, 0);
  }

  override writeObj<T>(codec: ByteValued<T>, value: T, addr: MemoryRegionAddress): void {
    const buf = new Uint8Array(codec.byteLength);
    VolatileSlice.from(buf).writeObj(codec, value, 0);
    this.write(buf, addr);
  }
}

class BareRegion extends GuestMemoryRegion {
  readonly startAddr = gpa(0x1000);
  readonly len = 16;
  readonly bitmap: Bitmap = NoBitmap;
}

Deno.test("GuestMemoryRegion derives ranges from start and length", () => {
  const region = new BareRegion();
  assertEquals(region.lastAddr, gpa(0x100f));
  assertEquals(region.fileOffset, undefined);
  assertEquals(region.isHugetlbfs, undefined);
  assert(region.addressInRange(offset(15)));
  assertFalse(region.addressInRange(offset(16)));
  assertEquals(region.checkAddress(offset(15)), offset(15));
  assertEquals(region.checkAddress(offset(16)), undefined);
  assertEquals(region.checkedOffset(offset(8), 7), offset(15));
  assertEquals(region.checkedOffset(offset(8), 8), undefined);
  assertEquals(region.checkedOffset(offset(8), 2 ** 53 - 1), undefined);
  assertEquals(region.toRegionAddr(gpa(0x1000)), offset(0));
  assertEquals(region.toRegionAddr(gpa(0x100f)), offset(15));
  assertEquals(region.toRegionAddr(gpa(0xfff)), undefined);
  assertEquals(region.toRegionAddr(gpa(0x1010)), undefined);
});

Deno.test("GuestMemoryRegion ranges are right at the end of the address space", () => {
  const region = new GuestRegionHeap(gpa(2 ** 53 - 8), 8);
  assertEquals(region.lastAddr, gpa(2 ** 53 - 1));
  assertEquals(region.toRegionAddr(gpa(2 ** 53 - 1)), offset(7));
  assertEquals(region.checkedOffset(offset(7), 2 ** 53 - 1), undefined);
});

Deno.test("a region without host memory throws HostAddressNotAvailable everywhere", () => {
  const region = new BareRegion();
  const buf = new Uint8Array(1);
  const calls = [
    () => region.getHostAddress(offset(0)),
    () => region.getSlice(offset(0), 1),
    () => region.asVolatileSlice(),
    () => region.read(buf, offset(0)),
    () => region.write(buf, offset(0)),
    () => region.readSlice(buf, offset(0)),
    () => region.writeSlice(buf, offset(0)),
    () => region.readObj(u8, offset(0)),
    () => region.writeObj(u8, 0, offset(0)),
    () => region.load(u8, offset(0)),
    () => region.store(u8, 0, offset(0)),
    () => region.getAtomicRef(u8, offset(0)),
    () => region.readVolatileFrom(offset(0), new Cursor(buf), 1),
    () => region.readExactVolatileFrom(offset(0), new Cursor(buf), 1),
    () => region.writeVolatileTo(offset(0), new Cursor(buf), 1),
    () => region.writeAllVolatileTo(offset(0), new Cursor(buf), 1),
  ];
  for (const call of calls) {
    assertThrows(call, HostAddressNotAvailable, undefined, `${call}`);
  }
  const memory = GuestRegionCollection.fromRegions([region]);
  assertThrows(() => memory.read(buf, gpa(0x1000)), HostAddressNotAvailable);
  assertThrows(() => memory.load(u8, gpa(0x1000)), HostAddressNotAvailable);
  assertThrows(() => memory.getHostAddress(gpa(0x1000)), HostAddressNotAvailable);
  assert(memory.checkRange(gpa(0x1000), 16));
});

Deno.test("a region with getSlice alone has all of Bytes", () => {
  const region = new SliceRegion();
  const buf = new Uint8Array(4);
  region.writeSlice(Uint8Array.of(1, 2, 3, 4), offset(2));
  region.readSlice(buf, offset(2));
  assertEquals(buf, Uint8Array.of(1, 2, 3, 4));
  assertEquals([region.read(buf, offset(14)), region.write(buf, offset(13))], [2, 3]);
  region.writeObj(u16, 7, offset(9));
  assertEquals(region.readObj(u16, offset(9)), 7);
  region.store(u32, 8, offset(4));
  assertEquals(region.load(u32, offset(4)), 8);
  assertEquals(region.readVolatileFrom(offset(0), new Cursor(Uint8Array.of(5)), 4), 1);
  region.readExactVolatileFrom(offset(1), new Cursor(Uint8Array.of(6)), 1);
  const sink = new Cursor(new Uint8Array(4));
  assertEquals(region.writeVolatileTo(offset(0), sink, 2), 2);
  region.writeAllVolatileTo(offset(4), sink, 2);
  assertEquals(sink.bytes, Uint8Array.of(5, 6, 8, 0));
  assertEquals(region.bitmap.take(), [[2, 4], [13, 3], [9, 2], [4, 4], [0, 1], [1, 1]]);
});

Deno.test("a region with getSlice alone works in guest memory", () => {
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    new SliceRegion(),
    new GuestRegionHeap(gpa(0x1010), 16),
  ]);
  memory.writeObj(u32, 0x04030201, gpa(0x100e));
  assertEquals(memory.readObj(u32, gpa(0x100e)), 0x04030201);
  assertEquals(memory.getSlice(gpa(0x1004), 12).len, 12);
  assertEquals(Array.from(memory.getSlices(gpa(0x1004), 16), (slice) => slice.len), [12, 4]);
});

Deno.test("a region with read and write alone has all of Bytes but atomics and slices", () => {
  const region = new ElsewhereRegion(gpa(0x1000), 16, new AtomicBitmap(16, 1));
  const marks = () => {
    const runs = [...region.bitmap.dirtyRuns()];
    region.bitmap.reset();
    return runs;
  };
  const buf = new Uint8Array(4);
  region.writeSlice(count(4), offset(2));
  region.readSlice(buf, offset(2));
  assertEquals([buf, marks()], [count(4), [[2, 4]]]);
  assertEquals([region.read(buf, offset(14)), region.write(buf, offset(13))], [2, 3]);
  assertEquals(marks(), [[13, 3]]);
  region.writeObj(u16, 7, offset(9));
  assertEquals([region.readObj(u16, offset(9)), marks()], [7, [[9, 2]]]);
  assertEquals(region.readVolatileFrom(offset(0), new Cursor(Uint8Array.of(5)), 4), 1);
  region.readExactVolatileFrom(offset(1), new Cursor(count(9)), 5);
  assertEquals(marks(), [[0, 6]]);
  const sink = new Cursor(new Uint8Array(4));
  assertEquals(region.writeVolatileTo(offset(0), sink, 2), 2);
  region.writeAllVolatileTo(offset(4), sink, 2);
  assertEquals([sink.bytes, marks()], [Uint8Array.of(5, 1, 4, 5), []]);
  const refused = [
    () => region.load(u8, offset(0)),
    () => region.store(u8, 0, offset(0)),
    () => region.getAtomicRef(u8, offset(0)),
    () => region.getSlice(offset(0), 1),
    () => region.asVolatileSlice(),
  ];
  for (const call of refused) {
    assertThrows(call, HostAddressNotAvailable, undefined, `${call}`);
  }
  assertEquals(marks(), []);
});

Deno.test("a region with read and write alone has the bounds errors of a slice", () => {
  const region = new ElsewhereRegion(gpa(0x1000), 16, new AtomicBitmap(16, 1));
  const buf = new Uint8Array(4);
  const stream = new Cursor(buf);
  const calls: [() => unknown, address: number][] = [
    [() => region.read(buf, offset(16)), 16],
    [() => region.readObj(u8, offset(16)), 16],
    [() => region.readVolatileFrom(offset(17), stream, 1), 17],
    [() => region.readExactVolatileFrom(offset(14), stream, 4), 18],
    [() => region.writeVolatileTo(offset(16), stream, 1), 16],
    [() => region.writeAllVolatileTo(offset(14), stream, 4), 18],
  ];
  for (const [call, address] of calls) {
    assertEquals(assertThrows(call, OutOfBounds, undefined, `${call}`).address, address);
  }
  const error = assertThrows(() => region.readObj(u32, offset(14)), PartialBuffer);
  assertEquals([error.expected, error.completed], [4, 2]);
  assertEquals([stream.position, region.bitmap.dirtyPages], [0, 0]);
});

Deno.test("a region with read and write alone moves streams of any length", () => {
  const size = 3 * 2 ** 20 + 5;
  const region = new ElsewhereRegion(gpa(0), size, new AtomicBitmap(size, 1));
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    region,
    new GuestRegionHeap(gpa(size), 16),
  ]);
  const data = Uint8Array.from({ length: size + 16 }, (_, i) => i * 7 + (i >> 12));
  memory.readExactVolatileFrom(gpa(0), new Cursor(data), data.length);
  const sink = new Cursor(new Uint8Array(data.length));
  memory.writeAllVolatileTo(gpa(0), sink, data.length);
  assert(sink.bytes.every((byte, i) => byte === data[i]));
  const part = new Cursor(new Uint8Array(size));
  region.writeAllVolatileTo(offset(0), part, size);
  assert(part.bytes.every((byte, i) => byte === data[i]));
});

Deno.test("a region's bitmap is the very object that the option made", () => {
  const made: Bitmap[] = [];
  const bitmap = (length: number) => {
    made.push(new AtomicBitmap(length, 1));
    return made.at(-1)!;
  };
  const heap = new GuestRegionHeap(gpa(0), 16, { bitmap });
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16], [gpa(32), 16]], { bitmap });
  const regions = [heap, ...memory];
  assertEquals(regions.length, made.length);
  for (const [i, region] of regions.entries()) assertStrictEquals(region.bitmap, made[i]);
});

Deno.test("a region's bounds errors are those of its slice", () => {
  const buf = new Uint8Array(4);
  for (const region of [new SliceRegion(), new GuestRegionHeap(gpa(0x1000), 16)]) {
    const calls: [(to: Bytes<MemoryRegionAddress>) => unknown, address: number][] = [
      [(to) => to.read(buf, offset(16)), 16],
      [(to) => to.write(buf, offset(16)), 16],
      [(to) => to.readObj(u8, offset(16)), 16],
      [(to) => to.load(u32, offset(14)), 18],
      [(to) => to.store(u32, 0, offset(13)), 17],
      [(to) => to.getAtomicRef(u32, offset(16)), 20],
      [(to) => to.readVolatileFrom(offset(17), new Cursor(buf), 1), 17],
      [(to) => to.readExactVolatileFrom(offset(14), new Cursor(buf), 4), 18],
      [(to) => to.writeAllVolatileTo(offset(14), new Cursor(buf), 4), 18],
    ];
    for (const [call, address] of calls) {
      for (const to of [region, region.asVolatileSlice()]) {
        const error = assertThrows(() => call(to), OutOfBounds, undefined, `${call}`);
        assert(error instanceof InvalidBackendAddress);
        assertEquals([error.address, error.cause], [address, undefined]);
      }
    }
    const misaligned = assertThrows(() => region.load(u32, offset(2)), Misaligned);
    assert(misaligned instanceof InvalidBackendAddress);
    assertEquals([misaligned.address, misaligned.alignment], [2, 4]);
    const error = assertThrows(() => region.readObj(u32, offset(14)), PartialBuffer);
    assertEquals([error.expected, error.completed], [4, 2]);
  }
  const error = assertThrows(
    () => new GuestRegionHeap(gpa(0), 16).getSlice(offset(8), 9),
    OutOfBounds,
  );
  assertEquals(error.address, 17);
});

Deno.test("GuestMemory.getSlice() over the end of a custom region is OutOfBounds", () => {
  const memory = GuestRegionCollection.fromRegions([new SliceRegion()]);
  assertEquals(assertThrows(() => memory.getSlice(gpa(0x1008), 9), OutOfBounds).address, 17);
});

Deno.test("a region accesses zero bytes at any offset", () => {
  const region = new GuestRegionHeap(gpa(0x1000), 16);
  const none = new Uint8Array(0);
  for (const at of [0, 16, 17, 2 ** 53 - 1]) {
    assertEquals([region.read(none, offset(at)), region.write(none, offset(at))], [0, 0]);
    assertEquals(region.writeVolatileTo(offset(at), new Cursor(none), 0), 0);
  }
  assertEquals(region.getSlice(offset(16), 0).len, 0);
});

Deno.test("a region that overrides methods needs no host memory", () => {
  const region = new RegisterRegion(gpa(0x2000));
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    region,
    new GuestRegionHeap(gpa(0x2008), 8),
  ]);
  memory.writeObj(u32, 7, gpa(0x2004));
  assertEquals([region.registers[4], region.accesses], [7, 1]);
  assertEquals(memory.readObj(u32, gpa(0x2004)), 7);
  assertEquals(region.accesses, 2);
  assertEquals(memory.write(Uint8Array.of(1, 2, 3, 4), gpa(0x2006)), 4);
  assertEquals(region.registers.subarray(6), Uint8Array.of(1, 2));
  const buf = new Uint8Array(12);
  assertEquals(memory.read(buf, gpa(0x2006)), 10);
  assertEquals(buf.subarray(0, 4), Uint8Array.of(1, 2, 3, 4));
  assertThrows(() => memory.getSlice(gpa(0x2000), 4), HostAddressNotAvailable);
  assertThrows(() => memory.load(u32, gpa(0x2000)), HostAddressNotAvailable);
});

Deno.test("a value that ends with its region is one access of the region's readObj or writeObj", () => {
  const calls: string[] = [];
  class Recorder extends SliceRegion {
    override readObj<T>(codec: ByteValued<T>, addr: MemoryRegionAddress): T {
      calls.push(`read ${addr}`);
      return super.readObj(codec, addr);
    }

    override writeObj<T>(codec: ByteValued<T>, value: T, addr: MemoryRegionAddress): void {
      calls.push(`write ${addr}`);
      super.writeObj(codec, value, addr);
    }
  }
  const memory = GuestRegionCollection.fromRegions([new Recorder()]);
  memory.writeObj(u32, 7, gpa(0x100c));
  assertEquals(memory.readObj(u32, gpa(0x100c)), 7);
  assertEquals(calls, ["write 12", "read 12"]);
});

Deno.test("reading next to a region does not touch it", () => {
  const region = new RegisterRegion(gpa(0x2000));
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    new GuestRegionHeap(gpa(0x1ff0), 16),
    region,
    new GuestRegionHeap(gpa(0x2008), 8),
  ]);
  memory.read(new Uint8Array(16), gpa(0x1ff0));
  memory.readObj(u8, gpa(0x2008));
  memory.checkRange(gpa(0x1ff0), 32);
  memory.read(new Uint8Array(0), gpa(0x2000));
  assertEquals(region.accesses, 0);
});

Deno.test("a region over memory that is read-only refuses every write, and marks nothing", () => {
  using mapped = new MmapRegion(16, { protection: Permissions.Read });
  class ReadOnly extends SliceRegion {
    readonly #memory = mapped.asVolatileSlice().memory;
    override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
      return new VolatileSlice(this.#memory, 0, 16, this.bitmap).getSlice(offset, count);
    }
  }
  const region = new ReadOnly();
  const buf = Uint8Array.of(1, 2);
  const calls = [
    () => region.write(buf, offset(0)),
    () => region.writeSlice(buf, offset(0)),
    () => region.writeObj(u8, 1, offset(0)),
    () => region.store(u8, 1, offset(0)),
    () => region.readVolatileFrom(offset(0), new Cursor(buf), 2),
    () => region.readVolatileFrom(offset(0), { readSync: () => 2 }, 2),
    () => region.asVolatileSlice().copyFrom(buf),
    () => VolatileSlice.from(buf).copyToVolatileSlice(region.asVolatileSlice()),
    () => region.asVolatileSlice().rawView(),
  ];
  for (const call of calls) {
    assertEquals(assertThrows(call, AccessDenied, undefined, `${call}`).access, "write");
  }
  assertEquals([region.readObj(u16, offset(0)), region.load(u32, offset(4))], [0, 0]);
  region.writeAllVolatileTo(offset(0), { writeSync: (bytes) => bytes.length }, 16);
  assertEquals(region.bitmap.take(), []);
});

for (const Buffer of [ArrayBuffer, SharedArrayBuffer]) {
  Deno.test(`GuestRegionHeap uses a given ${Buffer.name}`, () => {
    const buffer = new Buffer(16);
    using region = new GuestRegionHeap(gpa(0x1000), buffer);
    assertEquals([region.len, region.buffer === buffer], [16, true]);
    region.writeObj(u8, 7, offset(3));
    new Uint8Array(buffer)[4] = 8;
    assertEquals(region.readObj(u16, offset(3)), 0x0807);
  });
}

Deno.test("GuestRegionHeap is made zeroed, shared if asked for", () => {
  const region = new GuestRegionHeap(gpa(0), 16, { shared: true });
  assert(region.buffer instanceof SharedArrayBuffer);
  assert(new GuestRegionHeap(gpa(0), 16).buffer instanceof ArrayBuffer);
  assertEquals(region.asVolatileSlice().rawView().every((byte) => byte === 0), true);
});
