import { assertEquals, assertThrows } from "@std/assert";
import {
  array,
  type Bytes,
  bytes,
  Cursor,
  f64,
  Fd,
  GuestAddress,
  type GuestMemory,
  type GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  GuestRegionMmap,
  HostAddressNotAvailable,
  InvalidBackendAddress,
  IOError,
  Overflow,
  PartialBuffer,
  struct,
  u128,
  u16,
  u16be,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { linuxTest } from "../support/linux_test.ts";
import { openFile, pipe, take } from "../support/posix.ts";
import { count } from "../support/values.ts";

const A = GuestAddress;
const LEN = 0x100;

type Maker = (start: number, length: number) => GuestMemoryRegion;

const KINDS: Record<string, Maker> = {
  "a heap region": (start, length) => new GuestRegionHeap(A(start), length),
  "a mapped region": (start, length) => GuestRegionMmap.fromRange(A(start), length),
  "a region elsewhere": (start, length) => new ElsewhereRegion(start, length),
};

// Where bytes are that only `read` and `write` reach: alone, in a map, and over boundaries.
interface Place extends Disposable {
  memory: Bytes<number>;
  at: number;
}

const map = (regions: GuestMemoryRegion[], at: number): Place => {
  const memory = GuestRegionCollection.fromRegions(regions);
  return { memory: memory as Bytes<number>, at, [Symbol.dispose]: () => memory.close() };
};
const PLACES: Record<string, () => Place> = {
  "alone": () => ({
    memory: new ElsewhereRegion(0, LEN) as Bytes<number>,
    at: 0x10,
    [Symbol.dispose]() {},
  }),
  "in a map": () => map([new ElsewhereRegion(0x1000, LEN)], 0x1010),
};
for (const [name, make] of Object.entries(KINDS)) {
  PLACES[`into ${name}`] = () => map([new ElsewhereRegion(0, LEN), make(LEN, LEN)], LEN - 3);
  if (name !== "a region elsewhere") {
    PLACES[`out of ${name}`] = () => map([make(0, LEN), new ElsewhereRegion(LEN, LEN)], LEN - 3);
  }
}

const Pair = struct({ kind: u8, size: u32, tag: u16be, name: bytes(5) });
const VALUES = [
  [u8, 7],
  [u16, 0x1234],
  [u32, 0x12345678],
  [u64, 2n ** 60n + 1n],
  [u128, 2n ** 100n + 5n],
  [f64, -1.5],
  [Pair, { kind: 1, size: 0xffff_fffe, tag: 3, name: count(5) }],
  [array(u16, 3), [1, 2, 0xffff]],
  [bytes(40), count(40)],
  [array(u8, 0), []],
] as unknown as [typeof Pair, { kind: 1; size: 2; tag: 3; name: Uint8Array }][];

for (const [where, place] of Object.entries(PLACES)) {
  Deno.test(`a region with read and write alone copies buffers: ${where}`, () => {
    using here = place();
    const { memory, at } = here;
    assertEquals(memory.write(count(8), at), 8);
    memory.writeSlice(count(8, 20), at + 8);
    const all = new Uint8Array(16);
    assertEquals(memory.read(all, at), 16);
    assertEquals(all, Uint8Array.of(...count(8), ...count(8, 20)));
    memory.readSlice(all.subarray(0, 8), at + 8);
    assertEquals(all.subarray(0, 8), count(8, 20));
  });

  Deno.test(`a region with read and write alone has values of every kind: ${where}`, () => {
    using here = place();
    const { memory, at } = here;
    for (const [codec, value] of VALUES) {
      memory.writeObj(codec, value, at);
      assertEquals(memory.readObj(codec, at), value);
      const image = new Uint8Array(codec.byteLength);
      memory.readSlice(image, at);
      memory.writeSlice(new Uint8Array(codec.byteLength), at);
      memory.writeSlice(image, at);
      assertEquals(memory.readObj(codec, at), value);
    }
  });

  Deno.test(`a region with read and write alone takes cursors and Deno's streams: ${where}`, () => {
    using here = place();
    const { memory, at } = here;
    memory.readExactVolatileFrom(at, new Cursor(count(20)), 20);
    const sink = new Cursor(new Uint8Array(20));
    memory.writeAllVolatileTo(at, sink, 20);
    assertEquals([sink.bytes, sink.position], [count(20), 20]);
    const source = new Cursor(count(2, 50));
    assertEquals(memory.readVolatileFrom(at, source, 20), 2);
    const parts: number[] = [];
    // Takes one byte at a time.
    const writeSync = (buffer: Uint8Array) => parts.push(buffer[0]!) && 1;
    assertEquals(memory.writeVolatileTo(at, { writeSync }, 3), 1);
    memory.writeAllVolatileTo(at + 1, { writeSync }, 3);
    assertEquals(parts, [50, 51, 3, 4]);
    let next = 100;
    const readSync = (buffer: Uint8Array) => {
      buffer[0] = next++;
      return 1;
    };
    memory.readExactVolatileFrom(at, { readSync }, 5);
    assertEquals(memory.readObj(bytes(6), at), Uint8Array.of(100, 101, 102, 103, 104, 6));
    const ended = memory.readVolatileFrom(at, { readSync: () => null }, 4);
    assertEquals(ended, 0);
  });

  linuxTest(`a region with read and write alone takes descriptors: ${where}`, () => {
    using here = place();
    const { memory, at } = here;
    using file = openFile(count(64));
    memory.readExactVolatileFrom(at, new Fd(file.fd), 20);
    assertEquals(memory.readObj(bytes(20), at), count(20));
    assertEquals(file.position, 20);
    memory.writeAllVolatileTo(at, new Fd(file.fd).at(40), 20);
    assertEquals(file.content, Uint8Array.of(...count(40), ...count(20), ...count(4, 61)));
    using channel = pipe();
    memory.writeAllVolatileTo(at, new Fd(channel.writer), 12);
    assertEquals(take(channel.reader, 100), count(12));
  });
}

Deno.test("a region with read and write alone has no slices and no atomics", () => {
  const region = new ElsewhereRegion(0, LEN);
  using memory = GuestRegionCollection.fromRegions([region]);
  for (const target of [region as Bytes<number>, memory as Bytes<number>]) {
    assertThrows(() => target.load(u32, 0), HostAddressNotAvailable);
    assertThrows(() => target.store(u32, 1, 0), HostAddressNotAvailable);
    assertThrows(() => target.getAtomicRef(u32, 0), HostAddressNotAvailable);
    const { getSlice } = target as unknown as Pick<GuestMemory, "getSlice">;
    assertThrows(() => getSlice.call(target, A(0), 4), HostAddressNotAvailable);
  }
  assertThrows(() => region.asVolatileSlice(), HostAddressNotAvailable);
  assertThrows(() => [...memory.getSlices(A(0), 4)], HostAddressNotAvailable);
  assertEquals(region.asked, { read: 0, write: 0 });
});

Deno.test("a region with read and write alone says how much was done at its end", () => {
  const region = new ElsewhereRegion(0, 16) as Bytes<number>;
  const partial = assertThrows(() => region.writeObj(u64, 1n, 12), PartialBuffer);
  assertEquals([partial.expected, partial.completed], [8, 4]);
  assertThrows(() => region.readObj(u64, 12), PartialBuffer);
  assertEquals(region.readVolatileFrom(12, new Cursor(count(8)), 8), 4);
  assertEquals(region.writeVolatileTo(12, new Cursor(new Uint8Array(8)), 8), 4);
  const source = new Cursor(count(8));
  assertThrows(() => region.readExactVolatileFrom(12, source, 8), InvalidBackendAddress);
  const sink = new Cursor(new Uint8Array(8));
  assertThrows(() => region.writeAllVolatileTo(12, sink, 8), InvalidBackendAddress);
  assertEquals([source.position, sink.position], [0, 0]);
  for (const at of [-1, 16, 17, 0.5, NaN]) {
    assertThrows(() => region.readVolatileFrom(at, source, 1), InvalidBackendAddress);
    assertThrows(() => region.writeVolatileTo(at, sink, 1), InvalidBackendAddress);
  }
  const eof = assertThrows(() => region.readExactVolatileFrom(0, source, 16), IOError);
  assertEquals(eof.kind, "UnexpectedEof");
  const full = assertThrows(() => region.writeAllVolatileTo(0, sink, 16), IOError);
  assertEquals(full.kind, "WriteZero");
});

for (const bad of [-1, 1.5, NaN, Infinity, "4", 4n, undefined] as unknown as number[]) {
  Deno.test(`a region with read and write alone refuses to transfer ${String(bad)} bytes`, () => {
    const region = new ElsewhereRegion(0, 16);
    const heap = new GuestRegionHeap(A(0), 16);
    for (const target of [region, heap] as Bytes<number>[]) {
      const stream = new Cursor(count(64));
      for (
        const transfer of [
          () => target.readExactVolatileFrom(0, stream, bad),
          () => target.writeAllVolatileTo(0, stream, bad),
          ...bad === Infinity ? [] : [
            () => target.readVolatileFrom(0, stream, bad),
            () => target.writeVolatileTo(0, stream, bad),
          ],
        ]
      ) {
        const error = assertThrows(transfer);
        const known = error instanceof Overflow || error instanceof TypeError ||
          error instanceof RangeError || error instanceof InvalidBackendAddress;
        assertEquals([known, stream.position], [true, 0], error.message);
      }
    }
    assertEquals(region.content, new Uint8Array(16));
  });
}

Deno.test("a region with read and write alone passes long streams on in parts", () => {
  const length = 2 ** 21 + 12;
  const region = new ElsewhereRegion(0, length);
  const content = Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 9));
  using memory = GuestRegionCollection.fromRegions([region]);
  memory.readExactVolatileFrom(A(0), new Cursor(content), length);
  assertEquals(region.content, content);
  const sink = new Cursor(new Uint8Array(length));
  (region as Bytes<number>).writeAllVolatileTo(0, sink, length);
  assertEquals(sink.bytes, content);
});
