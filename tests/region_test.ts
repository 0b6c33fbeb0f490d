import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  AccessDenied,
  type Bitmap,
  type ByteValued,
  Cursor,
  GuestAddress,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  HostAddressNotAvailable,
  HostMemory,
  InvalidBackendAddress,
  MemoryRegionAddress,
  NoBitmap,
  OutOfBounds,
  PartialBuffer,
  Permissions,
  u16,
  u32,
  u8,
  VolatileSlice,
} from "../mod.ts";
import { RecordingBitmap } from "./recording_bitmap.ts";

const A = GuestAddress;
const M = MemoryRegionAddress;

// Content in host memory: getSlice is all it takes.
class SliceRegion extends GuestMemoryRegion {
  readonly startAddr = A(0x1000);
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
  readonly startAddr = A(0x1000);
  readonly len = 16;
  readonly bitmap: Bitmap = NoBitmap;
}

Deno.test("GuestMemoryRegion derives ranges from start and length", () => {
  const region = new BareRegion();
  assertEquals(region.lastAddr, A(0x100f));
  assertEquals(region.fileOffset, undefined);
  assertEquals(region.isHugetlbfs, undefined);
  assert(region.addressInRange(M(15)));
  assertFalse(region.addressInRange(M(16)));
  assertEquals(region.checkAddress(M(15)), M(15));
  assertEquals(region.checkAddress(M(16)), undefined);
  assertEquals(region.checkedOffset(M(8), 7), M(15));
  assertEquals(region.checkedOffset(M(8), 8), undefined);
  assertEquals(region.checkedOffset(M(8), 2 ** 53 - 1), undefined);
  assertEquals(region.toRegionAddr(A(0x1000)), M(0));
  assertEquals(region.toRegionAddr(A(0x100f)), M(15));
  assertEquals(region.toRegionAddr(A(0xfff)), undefined);
  assertEquals(region.toRegionAddr(A(0x1010)), undefined);
});

Deno.test("GuestMemoryRegion ranges are right at the end of the address space", () => {
  const region = new GuestRegionHeap(A(2 ** 53 - 8), 8);
  assertEquals(region.lastAddr, A(2 ** 53 - 1));
  assertEquals(region.toRegionAddr(A(2 ** 53 - 1)), M(7));
  assertEquals(region.checkedOffset(M(7), 2 ** 53 - 1), undefined);
});

Deno.test("a region without host memory throws HostAddressNotAvailable everywhere", () => {
  const region = new BareRegion();
  const buf = new Uint8Array(1);
  const stream = new Cursor(buf);
  const calls = [
    () => region.getHostAddress(M(0)),
    () => region.getSlice(M(0), 1),
    () => region.asVolatileSlice(),
    () => region.read(buf, M(0)),
    () => region.write(buf, M(0)),
    () => region.readSlice(buf, M(0)),
    () => region.writeSlice(buf, M(0)),
    () => region.readObj(u8, M(0)),
    () => region.writeObj(u8, 0, M(0)),
    () => region.load(u8, M(0)),
    () => region.store(u8, 0, M(0)),
    () => region.readVolatileFrom(M(0), stream, 1),
    () => region.readExactVolatileFrom(M(0), stream, 1),
    () => region.writeVolatileTo(M(0), stream, 1),
    () => region.writeAllVolatileTo(M(0), stream, 1),
  ];
  for (const call of calls) {
    assertThrows(call, HostAddressNotAvailable, undefined, `${call}`);
  }
  const memory = GuestRegionCollection.fromRegions([region]);
  assertThrows(() => memory.read(buf, A(0x1000)), HostAddressNotAvailable);
  assertThrows(() => memory.load(u8, A(0x1000)), HostAddressNotAvailable);
  assertThrows(() => memory.getHostAddress(A(0x1000)), HostAddressNotAvailable);
  assert(memory.checkRange(A(0x1000), 16));
});

Deno.test("a region with getSlice alone has all of Bytes", () => {
  const region = new SliceRegion();
  const buf = new Uint8Array(4);
  region.writeSlice(Uint8Array.of(1, 2, 3, 4), M(2));
  region.readSlice(buf, M(2));
  assertEquals(buf, Uint8Array.of(1, 2, 3, 4));
  assertEquals([region.read(buf, M(14)), region.write(buf, M(13))], [2, 3]);
  region.writeObj(u16, 7, M(9));
  assertEquals(region.readObj(u16, M(9)), 7);
  region.store(u32, 8, M(4));
  assertEquals(region.load(u32, M(4)), 8);
  assertEquals(region.readVolatileFrom(M(0), new Cursor(Uint8Array.of(5)), 4), 1);
  region.readExactVolatileFrom(M(1), new Cursor(Uint8Array.of(6)), 1);
  const sink = new Cursor(new Uint8Array(4));
  assertEquals(region.writeVolatileTo(M(0), sink, 2), 2);
  region.writeAllVolatileTo(M(4), sink, 2);
  assertEquals(sink.bytes, Uint8Array.of(5, 6, 8, 0));
  assertEquals(region.bitmap.take(), [[2, 4], [13, 3], [9, 2], [4, 4], [0, 1], [1, 1]]);
});

Deno.test("a region with getSlice alone works in guest memory", () => {
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    new SliceRegion(),
    new GuestRegionHeap(A(0x1010), 16),
  ]);
  memory.writeObj(u32, 0x04030201, A(0x100e));
  assertEquals(memory.readObj(u32, A(0x100e)), 0x04030201);
  assertEquals(memory.getSlice(A(0x1004), 12).len, 12);
  assertEquals(Array.from(memory.getSlices(A(0x1004), 16), (slice) => slice.len), [12, 4]);
});

Deno.test("a region's bounds errors are InvalidBackendAddress", () => {
  const buf = new Uint8Array(4);
  for (const region of [new SliceRegion(), new GuestRegionHeap(A(0x1000), 16)]) {
    const calls = [
      () => region.read(buf, M(16)),
      () => region.write(buf, M(16)),
      () => region.readObj(u8, M(16)),
      () => region.load(u32, M(14)),
      () => region.load(u32, M(2)),
      () => region.store(u32, 0, M(13)),
      () => region.readVolatileFrom(M(17), new Cursor(buf), 1),
      () => region.readExactVolatileFrom(M(14), new Cursor(buf), 4),
      () => region.writeAllVolatileTo(M(14), new Cursor(buf), 4),
    ];
    for (const call of calls) {
      assertThrows(call, InvalidBackendAddress, undefined, `${call}`);
    }
    const error = assertThrows(() => region.readObj(u32, M(14)), PartialBuffer);
    assertEquals([error.expected, error.completed], [4, 2]);
  }
  const error = assertThrows(
    () => new GuestRegionHeap(A(0), 16).getSlice(M(8), 9),
    InvalidBackendAddress,
  );
  assert(error.cause instanceof OutOfBounds);
});

Deno.test("GuestMemory.getSlice() over the end of a custom region is InvalidBackendAddress", () => {
  const memory = GuestRegionCollection.fromRegions([new SliceRegion()]);
  assertThrows(() => memory.getSlice(A(0x1008), 9), InvalidBackendAddress);
});

Deno.test("a region accesses zero bytes at any offset", () => {
  const region = new GuestRegionHeap(A(0x1000), 16);
  const none = new Uint8Array(0);
  for (const at of [0, 16, 17, 2 ** 53 - 1]) {
    assertEquals([region.read(none, M(at)), region.write(none, M(at))], [0, 0]);
    assertEquals(region.writeVolatileTo(M(at), new Cursor(none), 0), 0);
  }
  assertEquals(region.getSlice(M(16), 0).len, 0);
});

Deno.test("a region with methods of its own needs no host memory", () => {
  const region = new RegisterRegion(A(0x2000));
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    region,
    new GuestRegionHeap(A(0x2008), 8),
  ]);
  memory.writeObj(u32, 7, A(0x2004));
  assertEquals([region.registers[4], region.accesses], [7, 1]);
  assertEquals(memory.readObj(u32, A(0x2004)), 7);
  assertEquals(region.accesses, 2);
  assertEquals(memory.write(Uint8Array.of(1, 2, 3, 4), A(0x2006)), 4);
  assertEquals(region.registers.subarray(6), Uint8Array.of(1, 2));
  const buf = new Uint8Array(12);
  assertEquals(memory.read(buf, A(0x2006)), 10);
  assertEquals(buf.subarray(0, 4), Uint8Array.of(1, 2, 3, 4));
  assertThrows(() => memory.getSlice(A(0x2000), 4), HostAddressNotAvailable);
  assertThrows(() => memory.load(u32, A(0x2000)), HostAddressNotAvailable);
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
  memory.writeObj(u32, 7, A(0x100c));
  assertEquals(memory.readObj(u32, A(0x100c)), 7);
  assertEquals(calls, ["write 12", "read 12"]);
});

Deno.test("reading next to a region does not touch it", () => {
  const region = new RegisterRegion(A(0x2000));
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    new GuestRegionHeap(A(0x1ff0), 16),
    region,
    new GuestRegionHeap(A(0x2008), 8),
  ]);
  memory.read(new Uint8Array(16), A(0x1ff0));
  memory.readObj(u8, A(0x2008));
  memory.checkRange(A(0x1ff0), 32);
  memory.read(new Uint8Array(0), A(0x2000));
  assertEquals(region.accesses, 0);
});

Deno.test("a region over memory that is read-only refuses every write, and marks nothing", () => {
  class ReadOnly extends SliceRegion {
    readonly #memory = new HostMemory(new ArrayBuffer(16), Permissions.Read);
    override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
      return new VolatileSlice(this.#memory, 0, 16, this.bitmap).getSlice(offset, count);
    }
  }
  const region = new ReadOnly();
  const buf = Uint8Array.of(1, 2);
  const calls = [
    () => region.write(buf, M(0)),
    () => region.writeSlice(buf, M(0)),
    () => region.writeObj(u8, 1, M(0)),
    () => region.store(u8, 1, M(0)),
    () => region.readVolatileFrom(M(0), new Cursor(buf), 2),
    () => region.readVolatileFrom(M(0), { readSync: () => 2 }, 2),
    () => region.asVolatileSlice().copyFrom(buf),
    () => VolatileSlice.from(buf).copyToVolatileSlice(region.asVolatileSlice()),
    () => region.asVolatileSlice().rawView(),
  ];
  for (const call of calls) {
    assertEquals(assertThrows(call, AccessDenied, undefined, `${call}`).access, "write");
  }
  assertEquals([region.readObj(u16, M(0)), region.load(u32, M(4))], [0, 0]);
  region.writeAllVolatileTo(M(0), { writeSync: (bytes) => bytes.length }, 16);
  assertEquals(region.bitmap.take(), []);
});

for (const Buffer of [ArrayBuffer, SharedArrayBuffer]) {
  Deno.test(`GuestRegionHeap lies in a given ${Buffer.name}`, () => {
    const buffer = new Buffer(16);
    using region = new GuestRegionHeap(A(0x1000), buffer);
    assertEquals([region.len, region.buffer === buffer], [16, true]);
    region.writeObj(u8, 7, M(3));
    new Uint8Array(buffer)[4] = 8;
    assertEquals(region.readObj(u16, M(3)), 0x0807);
  });
}

Deno.test("GuestRegionHeap is made zeroed, shared if asked for", () => {
  const region = new GuestRegionHeap(A(0), 16, { shared: true });
  assert(region.buffer instanceof SharedArrayBuffer);
  assert(new GuestRegionHeap(A(0), 16).buffer instanceof ArrayBuffer);
  assertEquals(region.asVolatileSlice().rawView().every((byte) => byte === 0), true);
});
