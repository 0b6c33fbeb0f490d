import { assertEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  Cursor,
  type GuestAddress,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  InvalidGuestAddress,
  IOError,
  type MemoryRegionAddress,
  PartialBuffer,
  struct,
  u16,
  u32,
  u8,
  type VolatileSlice,
} from "../../mod.ts";
import { type DescriptorChain, Virtqueue } from "../../src/virtio/mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { content, count, gpa } from "../support/values.ts";

const Descriptor = struct({ addr: u32, high: u32, len: u32, flags: u16, next: u16 });
const NEXT = 1;
const WRITE = 2;
const RINGS = { size: 16, descTable: gpa(0), availRing: gpa(0x200), usedRing: gpa(0x300) };
const BUFFERS = 0x1000;
// A hole from here on.
const END = 0x8000;

interface Part {
  readonly addr: number;
  readonly len: number;
}

/** A chain of these buffers. */
function chainOf(
  readable: readonly Part[],
  writable: readonly Part[] = [],
): { memory: GuestMemoryHeap; queue: Virtqueue; chain: DescriptorChain } {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 0x4000], [gpa(0x4000), END - 0x4000]]);
  memory.writeSlice(count(0x1000), gpa(BUFFERS));
  const all = [...readable, ...writable];
  for (const [i, { addr, len }] of all.entries()) {
    const flags = (i < all.length - 1 ? NEXT : 0) | (i < readable.length ? 0 : WRITE);
    memory.writeObj(Descriptor, { addr, high: 0, len, flags, next: i + 1 }, gpa(i * 16));
  }
  memory.store(u16, 1, gpa(RINGS.availRing + 2));
  const queue = new Virtqueue(memory, RINGS);
  return { memory, queue, chain: queue.pop()! };
}

// Three buffers of 5, 0, 3 and 8 bytes.
const READABLE = [
  { addr: BUFFERS, len: 5 },
  { addr: BUFFERS + 0x10, len: 0 },
  { addr: BUFFERS + 0x20, len: 3 },
  { addr: BUFFERS + 0x30, len: 8 },
];
const BYTES = [...count(5), ...count(3, 0x21), ...count(8, 0x31)];
const WRITABLE = READABLE.map(({ addr, len }) => ({ addr: addr + 0x2000, len }));

function written(memory: GuestMemoryHeap): number[] {
  return WRITABLE.flatMap(({ addr, len }) => [...content(memory, addr, len)]);
}

Deno.test("ReadablePart reads over the borders of buffers, whatever the sizes", () => {
  for (let size = 1; size <= BYTES.length + 1; size++) {
    const { chain: { readable } } = chainOf(READABLE);
    const all: number[] = [];
    for (let rest = BYTES.length; rest > 0; rest -= size) {
      assertEquals(readable.remaining, rest);
      const bytes = new Uint8Array(size);
      const done = readable.read(bytes);
      assertEquals(done, Math.min(size, rest));
      all.push(...bytes.subarray(0, done));
    }
    assertEquals([all, readable.remaining], [BYTES, 0]);
    assertEquals(readable.read(new Uint8Array(4)), 0);
    assertThrows(() => readable.readSlice(new Uint8Array(1)), PartialBuffer);
    readable.readSlice(new Uint8Array(0));
  }
});

Deno.test("ReadablePart.readObj() reads a value in one buffer, and over borders", () => {
  const { chain: { readable } } = chainOf(READABLE);
  assertEquals(readable.readObj(u32), 0x04030201);
  assertEquals(readable.readObj(u32), 0x23222105);
  readable.skip(7);
  const error = assertThrows(() => readable.readObj(u16), PartialBuffer);
  assertEquals([error.expected, error.completed], [2, 1]);
});

Deno.test("ReadablePart.readObj() leaves the part where it is if too few bytes are left", () => {
  const { chain: { readable } } = chainOf(READABLE);
  readable.skip(15);
  assertThrows(() => readable.readObj(u16), PartialBuffer);
  assertEquals([readable.remaining, readable.readObj(u8)], [1, 0x38]);
});

Deno.test("WritablePart writes over the borders of buffers, whatever the sizes", () => {
  for (let size = 1; size <= BYTES.length + 1; size++) {
    const { memory, chain: { writable } } = chainOf([], WRITABLE);
    const bytes = count(BYTES.length, 0x80);
    for (let at = 0; at < BYTES.length; at += size) {
      assertEquals(writable.remaining, BYTES.length - at);
      const part = bytes.subarray(at, at + size);
      assertEquals(writable.write(part), part.length);
    }
    assertEquals(written(memory), [...bytes]);
    assertEquals(writable.write(count(4)), 0);
    assertThrows(() => writable.writeSlice(count(1)), PartialBuffer);
  }
});

Deno.test("WritablePart.writeObj() writes a value in one buffer, and over borders", () => {
  const { memory, chain: { writable } } = chainOf([], WRITABLE);
  writable.writeObj(u32, 0x04030201);
  writable.writeObj(u32, 0x08070605);
  writable.skip(7);
  assertThrows(() => writable.writeObj(u16, 1), PartialBuffer);
  writable.writeObj(u8, 9);
  assertEquals(written(memory), [...count(8), 0, 0, 0, 0, 0, 0, 0, 9]);
});

Deno.test("a part transfers to and from streams over the borders of buffers", () => {
  for (let size = 1; size <= BYTES.length; size++) {
    const { memory, chain: { readable, writable } } = chainOf(READABLE, WRITABLE);
    const sink = new Cursor(new Uint8Array(BYTES.length));
    let done = 0;
    while (done < BYTES.length) done += readable.writeVolatileTo(sink, size);
    assertEquals([...sink.bytes], BYTES);
    const source = new Cursor(sink.bytes);
    done = 0;
    while (done < BYTES.length) done += writable.readVolatileFrom(source, size);
    assertEquals(written(memory), BYTES);
    assertEquals([readable.remaining, writable.remaining], [0, 0]);
  }
});

Deno.test("a part's exact transfers say what is missing", () => {
  const { chain: { readable, writable } } = chainOf(READABLE, WRITABLE);
  assertThrows(() => readable.writeAllVolatileTo(new Cursor(count(20)), 17), PartialBuffer);
  assertThrows(() => writable.readExactVolatileFrom(new Cursor(count(20)), 17), PartialBuffer);
  const short = new Cursor(count(6));
  assertEquals(assertThrows(() => readable.writeAllVolatileTo(short), IOError).kind, "WriteZero");
  const empty = new Cursor(count(6));
  const error = assertThrows(() => writable.readExactVolatileFrom(empty, 7), IOError);
  assertEquals(error.kind, "UnexpectedEof");
  // What was transferred is a prefix, after which the parts stand.
  assertEquals([readable.remaining, writable.remaining], [10, 10]);
  readable.writeAllVolatileTo(new Cursor(count(10)));
  writable.readExactVolatileFrom(new Cursor(count(10)));
  assertEquals([readable.remaining, writable.remaining], [0, 0]);
  assertThrows(() => readable.writeVolatileTo(short, -1), RangeError);
  assertThrows(() => writable.readVolatileFrom(short, 0.5), RangeError);
});

Deno.test("ChainPart.splitAt() makes two parts of one, at any byte", () => {
  for (let at = 0; at <= BYTES.length; at++) {
    const { memory, chain: { readable, writable } } = chainOf(READABLE, WRITABLE);
    const tail = readable.splitAt(at);
    const [first, last] = [new Uint8Array(at), new Uint8Array(BYTES.length - at)];
    assertEquals([readable.remaining, tail.remaining], [first.length, last.length]);
    tail.readSlice(last);
    readable.readSlice(first);
    assertEquals([...first, ...last], BYTES);
    assertEquals([readable.remaining, tail.remaining], [0, 0]);
    const end = writable.splitAt(at);
    end.writeSlice(last);
    writable.writeSlice(first);
    assertEquals(written(memory), BYTES);
    assertThrows(() => writable.writeSlice(count(1)), PartialBuffer);
  }
  const { chain: { readable } } = chainOf(READABLE);
  assertThrows(() => readable.splitAt(BYTES.length + 1), PartialBuffer);
  assertThrows(() => readable.splitAt(-1), RangeError);
  assertThrows(() => readable.skip(BYTES.length + 1), PartialBuffer);
  assertEquals(readable.remaining, BYTES.length);
});

Deno.test("ChainPart.ranges() are the buffers of the next bytes", () => {
  const { chain: { readable } } = chainOf(READABLE);
  readable.skip(2);
  const range = (offset: number, length: number): [GuestAddress, number] => {
    return [gpa(BUFFERS + offset), length];
  };
  assertEquals(readable.ranges(), [range(2, 3), range(0x20, 3), range(0x30, 8)]);
  assertEquals(readable.ranges(4), [range(2, 3), range(0x20, 1)]);
  assertEquals(readable.ranges(0), []);
  assertThrows(() => readable.ranges(15), PartialBuffer);
  readable.skip(14);
  assertEquals(readable.ranges(), []);
});

Deno.test("a part stops at a hole, and throws where it begins in one", () => {
  const hole = [{ addr: END - 4, len: 8 }, { addr: BUFFERS, len: 4 }];
  const { memory, chain: { readable, writable } } = chainOf(hole, hole);
  const bytes = new Uint8Array(12).fill(0xff);
  assertEquals(readable.read(bytes), 4);
  assertEquals([...bytes], [0, 0, 0, 0, ...new Array(8).fill(0xff)]);
  assertThrows(() => readable.read(new Uint8Array(1)), InvalidGuestAddress);
  assertThrows(() => readable.readObj(u16), InvalidGuestAddress);
  assertEquals(readable.remaining, 8);
  const error = assertThrows(() => writable.writeSlice(count(12)), PartialBuffer);
  assertEquals([error.expected, error.completed], [12, 4]);
  assertEquals([...content(memory, END - 4, 4)], [1, 2, 3, 4]);
  assertThrows(() => writable.write(count(1)), InvalidGuestAddress);
  assertThrows(() => writable.readVolatileFrom(new Cursor(count(9))), InvalidGuestAddress);
  assertEquals(writable.remaining, 8);
  // A device may continue behind the hole.
  writable.skip(4);
  writable.writeSlice(count(4, 7));
  assertEquals([...content(memory, BUFFERS, 4)], [7, 8, 9, 10]);
});

Deno.test("a part's buffers may cross regions", () => {
  const across = [{ addr: 0x3ffd, len: 6 }];
  const { memory, chain: { readable, writable } } = chainOf(across, across);
  writable.writeObj(u8, 1);
  writable.writeObj(u32, 0x05040302);
  assertEquals(readable.readObj(u32), 0x04030201);
  assertEquals(readable.readObj(u16), 5);
  assertEquals([...content(memory, 0x3ffd, 6)], [1, 2, 3, 4, 5, 0]);
});

Deno.test("DescriptorChain shows what is left", () => {
  const { queue, chain } = chainOf(READABLE, [{ addr: BUFFERS, len: 4096 }]);
  assertEquals(String(chain), "DescriptorChain 0: 16 B to read, 4 KiB to write");
  queue.addUsed(chain, 4096);
  assertEquals(String(chain), "DescriptorChain 0 (used)");
  assertEquals(
    String(queue),
    "Virtqueue of 16 at 0x0, 0x200, 0x300: taken to 1, used to 1",
  );
});

Deno.test("a part stops at what the memory refuses, and throws any other error", () => {
  class Failing extends ElsewhereRegion {
    error: Error | undefined;

    override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
      if (this.error !== undefined) throw this.error;
      return super.write(buf, addr);
    }
  }
  const region = new Failing(0x1000, 0x1000);
  const memory = GuestRegionCollection.fromRegions([new GuestRegionHeap(gpa(0), 0x1000), region]);
  for (const [i, addr] of [0x800, 0x1000].entries()) {
    const flags = i === 0 ? NEXT | WRITE : WRITE;
    memory.writeObj(Descriptor, { addr, high: 0, len: 4, flags, next: 1 }, gpa(i * 16));
  }
  memory.store(u16, 1, gpa(RINGS.availRing + 2));
  using queue = new Virtqueue(memory, RINGS);
  const { writable } = queue.pop()!;
  region.error = new Error("a bug");
  assertThrows(() => writable.write(count(8)), Error, "a bug");
  assertEquals(writable.remaining, 8);
  region.error = new AccessDenied("write");
  assertEquals(writable.write(count(8)), 4);
  assertThrows(() => writable.write(count(1)), AccessDenied);
});

Deno.test("a part has no less than no bytes left if a stream uses it meanwhile", () => {
  const { chain: { readable, writable } } = chainOf(READABLE, WRITABLE);
  const source = {
    readVolatile(slice: VolatileSlice): number {
      writable.skip(writable.remaining);
      return slice.len;
    },
  };
  assertEquals(writable.readVolatileFrom(source, 5), 5);
  assertEquals([writable.remaining, writable.write(count(4))], [0, 0]);
  const sink = {
    writeVolatile(slice: VolatileSlice): number {
      readable.skip(readable.remaining);
      return slice.len;
    },
  };
  assertEquals(readable.writeVolatileTo(sink, 5), 5);
  assertEquals([readable.remaining, readable.ranges()], [0, []]);
});
