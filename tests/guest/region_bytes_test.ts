import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type Bytes,
  Cursor,
  GuestMemoryRegionBytes,
  HostAddressNotAvailable,
  InvalidBackendAddress,
  type MemoryRegionAddress,
  u32,
  u64,
  VolatileSlice,
} from "../../mod.ts";
import { count } from "../support/values.ts";

// Bytes in host memory: all that it defines is its length and its slices.
class HostBytes extends GuestMemoryRegionBytes {
  readonly len = 16;
  readonly host: Uint8Array = count(16);
  asked = 0;

  override getSlice(offset: MemoryRegionAddress, length: number): VolatileSlice {
    this.asked++;
    return VolatileSlice.from(this.host).getSlice(offset, length);
  }
}

class NoBytes extends GuestMemoryRegionBytes {
  readonly len = 16;
}

const plain = (bytes: GuestMemoryRegionBytes) => bytes as Bytes<number> & { len: number };

Deno.test("GuestMemoryRegionBytes goes to its slice for every access", () => {
  const bytes = new HostBytes();
  const memory = plain(bytes);
  const buf = new Uint8Array(4);
  const calls: (() => unknown)[] = [
    () => memory.read(buf, 0),
    () => memory.write(buf, 0),
    () => memory.readSlice(buf, 0),
    () => memory.writeSlice(buf, 0),
    () => memory.readObj(u32, 0),
    () => memory.writeObj(u32, 1, 0),
    () => memory.load(u32, 0),
    () => memory.store(u32, 1, 0),
    () => memory.getAtomicRef(u32, 0),
    () => memory.readVolatileFrom(0, new Cursor(buf), 4),
    () => memory.readExactVolatileFrom(0, new Cursor(buf), 4),
    () => memory.writeVolatileTo(0, new Cursor(buf), 4),
    () => memory.writeAllVolatileTo(0, new Cursor(buf), 4),
  ];
  for (const [i, call] of calls.entries()) {
    call();
    assertEquals(bytes.asked, i + 1);
  }
});

Deno.test("GuestMemoryRegionBytes reads and writes at its offsets", () => {
  const bytes = new HostBytes();
  const memory = plain(bytes);
  const buf = new Uint8Array(3);
  assertEquals([memory.read(buf, 4), [...buf]], [3, [5, 6, 7]]);
  memory.writeObj(u32, 0x01020304, 11);
  assertEquals([...bytes.host.subarray(10)], [11, 4, 3, 2, 1, 16]);
  assertEquals([memory.write(count(3), 14), bytes.host[15]], [2, 2]);
  memory.readExactVolatileFrom(3, new Cursor(count(2, 70)), 2);
  assertEquals([...bytes.host.subarray(2, 6)], [3, 70, 71, 6]);
  const sink = new Cursor(new Uint8Array(2));
  memory.writeAllVolatileTo(3, sink, 2);
  assertEquals([...sink.bytes], [70, 71]);
  memory.getAtomicRef(u64, 8).store(0n);
  assertEquals([bytes.host[7], bytes.host[8], bytes.host[15]], [8, 0, 0]);
  assertEquals(memory.load(u64, 8), 0n);
});

Deno.test("GuestMemoryRegionBytes asks for no slice where there is nothing to copy", () => {
  const memory = plain(new NoBytes());
  const none = new Uint8Array(0);
  assertEquals([memory.read(none, 99), memory.write(none, 99)], [0, 0]);
  memory.readSlice(none, 99);
  memory.writeSlice(none, 99);
});

Deno.test("GuestMemoryRegionBytes that defines nothing is HostAddressNotAvailable", () => {
  const memory = plain(new NoBytes());
  const buf = new Uint8Array(4);
  for (
    const call of [
      () => memory.read(buf, 0),
      () => memory.write(buf, 0),
      () => memory.readObj(u32, 0),
      () => memory.writeObj(u32, 1, 0),
      () => memory.load(u32, 0),
      () => memory.store(u32, 1, 0),
      () => memory.readVolatileFrom(0, new Cursor(buf), 4),
      () => memory.writeVolatileTo(0, new Cursor(buf), 4),
      () => new NoBytes().asVolatileSlice(),
      () => new NoBytes().getSlice(0 as MemoryRegionAddress, 4),
    ]
  ) assertThrows(call, HostAddressNotAvailable);
});

Deno.test("GuestMemoryRegionBytes.asVolatileSlice() is all of it, and refuses less", () => {
  const bytes = new HostBytes();
  const slice = bytes.asVolatileSlice();
  assertEquals([slice.start, slice.len], [0, 16]);
  class Short extends HostBytes {
    override getSlice(): VolatileSlice {
      return VolatileSlice.from(new Uint8Array(15));
    }
  }
  assertThrows(() => new Short().asVolatileSlice(), InvalidBackendAddress);
  assertThrows(() => plain(new Short()).read(new Uint8Array(1), 0), InvalidBackendAddress);
});

Deno.test("GuestMemoryRegionBytes passes on whatever else its slices throw", () => {
  const broken = new Error("disconnected");
  class Broken extends HostBytes {
    override getSlice(): VolatileSlice {
      throw broken;
    }
  }
  const memory = plain(new Broken());
  const cursor = new Cursor(new Uint8Array(4));
  for (
    const call of [
      () => memory.readObj(u32, 0),
      () => memory.writeObj(u32, 1, 0),
      () => memory.readVolatileFrom(0, cursor, 4),
      () => memory.readExactVolatileFrom(0, cursor, 4),
      () => memory.writeVolatileTo(0, cursor, 4),
      () => memory.writeAllVolatileTo(0, cursor, 4),
    ]
  ) assertStrictEquals(assertThrows(call), broken);
});
