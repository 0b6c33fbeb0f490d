import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  array,
  asSlice,
  bytes,
  type ByteValued,
  f64,
  fromSlice,
  HostMemory,
  i64,
  MmapRegion,
  struct,
  u128,
  u16,
  u16be,
  u16le,
  u32,
  u32be,
  u32le,
  u64,
  u64le,
  u8,
  type ValueOf,
  VolatileSlice,
  zeroed,
} from "../../mod.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

Deno.test("struct() lays fields out as C does", () => {
  const Mixed = struct({ a: u8, b: u32, c: u16 });
  assertEquals(Mixed.offsets, { a: 0, b: 4, c: 8 });
  assertEquals([Mixed.byteLength, Mixed.alignment], [12, 4]);

  const Padded = struct({ a: u8, b: f64, c: u8 });
  assertEquals(Padded.offsets, { a: 0, b: 8, c: 16 });
  assertEquals([Padded.byteLength, Padded.alignment], [24, 8]);

  const Wide = struct({ a: u8, b: u128 });
  assertEquals(Wide.offsets, { a: 0, b: 16 });
  assertEquals([Wide.byteLength, Wide.alignment], [32, 16]);
});

Deno.test("struct() has the offsets of known C structures", () => {
  const KvmUserspaceMemoryRegion = struct({
    slot: u32,
    flags: u32,
    guestPhysAddr: u64,
    memorySize: u64,
    userspaceAddr: u64,
  });
  assertEquals(KvmUserspaceMemoryRegion.byteLength, 32);
  assertEquals(KvmUserspaceMemoryRegion.offsets.userspaceAddr, 24);

  const VirtqDescriptor = struct({ addr: u64le, len: u32le, flags: u16le, next: u16le });
  assertEquals(VirtqDescriptor.byteLength, 16);
  assertEquals(VirtqDescriptor.offsets, { addr: 0, len: 8, flags: 12, next: 14 });

  const VirtioNetHeader = struct({
    flags: u8,
    gsoType: u8,
    headerLength: u16le,
    gsoSize: u16le,
    checksumStart: u16le,
    checksumOffset: u16le,
    bufferCount: u16le,
  });
  assertEquals([VirtioNetHeader.byteLength, VirtioNetHeader.alignment], [12, 2]);

  const Elf64Header = struct({
    ident: bytes(16),
    type: u16,
    machine: u16,
    version: u32,
    entry: u64,
    programHeaders: u64,
    sectionHeaders: u64,
    flags: u32,
    headerSize: u16,
    programHeaderSize: u16,
    programHeaderCount: u16,
    sectionHeaderSize: u16,
    sectionHeaderCount: u16,
    nameIndex: u16,
  });
  assertEquals(Elf64Header.byteLength, 64);
  assertEquals(Elf64Header.offsets.programHeaders, 32);
  assertEquals(Elf64Header.offsets.nameIndex, 62);

  const Timespec = struct({ seconds: i64, nanoseconds: i64 });
  const Inner = struct({ mode: u16, time: Timespec });
  assertEquals(Inner.offsets, { mode: 0, time: 8 });
});

Deno.test("struct() packed has no padding and no alignment", () => {
  const E820Entry = struct({ addr: u64le, size: u64le, type: u32le }, { packed: true });
  assertEquals(E820Entry.offsets, { addr: 0, size: 8, type: 16 });
  assertEquals([E820Entry.byteLength, E820Entry.alignment], [20, 1]);

  const table = struct({ count: u8, entries: array(E820Entry, 2) });
  assertEquals([table.offsets.entries, table.byteLength], [1, 41]);

  const odd = struct({ a: u8, b: u64 }, { packed: true });
  assertEquals(asSlice(odd, { a: 1, b: 2n }), Uint8Array.of(1, 2, 0, 0, 0, 0, 0, 0, 0));
});

Deno.test("struct() nests, and the inner structure keeps its alignment", () => {
  const Inner = struct({ x: u16, y: u64 });
  const Outer = struct({ tag: u8, inner: Inner, end: u8 });
  assertEquals(Outer.offsets, { tag: 0, inner: 8, end: 24 });
  assertEquals([Outer.byteLength, Outer.alignment], [32, 8]);

  const value = { tag: 1, inner: { x: 2, y: 3n }, end: 4 };
  const memory = VolatileSlice.from(new Uint8Array(40));
  memory.writeObj(Outer, value, 5);
  assertEquals(memory.readObj(Outer, 5), value);
  assertEquals(memory.readObj(u64, 5 + 8 + 8), 3n);
  assertEquals(memory.readObj(u8, 5 + 24), 4);
});

Deno.test("struct() packed inside a padded structure needs no alignment", () => {
  const Inner = struct({ x: u8, y: u32 }, { packed: true });
  const Outer = struct({ tag: u8, inner: Inner, next: u16 });
  assertEquals(Outer.offsets, { tag: 0, inner: 1, next: 6 });
  assertEquals(Outer.byteLength, 8);
});

Deno.test("struct() without fields takes no bytes", () => {
  const Empty = struct({});
  assertEquals([Empty.byteLength, Empty.alignment], [0, 1]);
  assertEquals(zeroed(Empty), {});
  assertEquals(asSlice(Empty, {}), new Uint8Array(0));
});

Deno.test("array() repeats its element at its stride", () => {
  const Ring = struct({ a: u8, b: array(u16, 3), c: u32 });
  assertEquals(Ring.offsets, { a: 0, b: 2, c: 8 });
  assertEquals(Ring.byteLength, 12);

  const Pair = struct({ x: u32, y: u8 });
  const pairs = array(Pair, 2);
  assertEquals([pairs.byteLength, pairs.alignment], [16, 4]);
  const value = [{ x: 1, y: 2 }, { x: 3, y: 4 }];
  assertEquals(fromSlice(pairs, asSlice(pairs, value)), value);
  assertEquals(asSlice(array(array(u8, 2), 2), [[1, 2], [3, 4]]), Uint8Array.of(1, 2, 3, 4));
  assertEquals(zeroed(array(u64, 0)), []);
});

Deno.test("array() and bytes() refuse a value of another length", () => {
  assertThrows(() => asSlice(array(u8, 2), [1]), RangeError);
  assertThrows(() => asSlice(array(u8, 2), [1, 2, 3]), RangeError);
  assertThrows(() => asSlice(bytes(2), Uint8Array.of(1)), RangeError);
  assertThrows(() => asSlice(bytes(2), Uint8Array.of(1, 2, 3)), RangeError);
});

Deno.test("array() and bytes() refuse a length that is no size", () => {
  for (const length of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => array(u8, length), RangeError);
    assertThrows(() => bytes(length), RangeError);
  }
});

Deno.test("bytes() reads a copy", () => {
  const memory = VolatileSlice.from(Uint8Array.of(1, 2, 3));
  const value = memory.readObj(bytes(2), 1);
  memory.writeObj(u8, 9, 1);
  assertEquals(value, Uint8Array.of(2, 3));
});

Deno.test("bytes() reads from shared memory what is not shared", () => {
  const memory = VolatileSlice.from(new Uint8Array(new SharedArrayBuffer(4)));
  assertEquals(memory.readObj(bytes(4), 0).buffer instanceof ArrayBuffer, true);
});

Deno.test("struct() gives fields their own endianness", () => {
  const Header = struct({ port: u16be, length: u16le, sequence: u32be });
  const encoded = asSlice(Header, { port: 0x1234, length: 0x1234, sequence: 0x01020304 });
  assertEquals(encoded, Uint8Array.of(0x12, 0x34, 0x34, 0x12, 1, 2, 3, 4));
});

Deno.test("struct() reads back what it wrote, at every alignment", () => {
  const Record = struct({ a: u8, b: u32be, c: array(u16, 2), d: u64, e: bytes(3), f: u128 });
  const record: fc.Arbitrary<ValueOf<typeof Record>> = fc.record({
    a: fc.nat(0xff),
    b: fc.nat(0x7fffffff),
    c: fc.array(fc.nat(0xffff), { minLength: 2, maxLength: 2 }),
    d: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    e: fc.uint8Array({ minLength: 3, maxLength: 3 }),
    f: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
  }, { noNullPrototype: true });
  fc.assert(fc.property(record, fc.nat(16), (value, at) => {
    const memory = VolatileSlice.from(new Uint8Array(Record.byteLength + 16));
    memory.writeObj(Record, value, at);
    assertEquals(memory.readObj(Record, at), value);
    assertEquals(memory.readObj(u64, at + Record.offsets.d), value.d);
    assertEquals(memory.readObj(bytes(3), at + Record.offsets.e), value.e);
  }));
});

Deno.test("struct() writes nothing outside its bytes", () => {
  const Padded = struct({ a: u8, b: u32, c: u8 });
  const content = new Uint8Array(Padded.byteLength + 8).fill(0xa5);
  VolatileSlice.from(content).writeObj(Padded, { a: 1, b: 2, c: 3 }, 4);
  assertEquals(content.subarray(0, 4), new Uint8Array(4).fill(0xa5));
  assertEquals(content.subarray(4 + Padded.byteLength), new Uint8Array(4).fill(0xa5));
});

Deno.test("ValueOf is the type of a structure's value", () => {
  const Inner = struct({ x: u16, y: u64 });
  const Outer = struct({ tag: u8, list: array(Inner, 2), mac: bytes(6) });
  interface Expected {
    tag: number;
    list: { x: number; y: bigint }[];
    mac: Uint8Array;
  }
  const value: ValueOf<typeof Outer> = zeroed(Outer);
  const expected: Expected = value;
  const innerIsExact: Same<ValueOf<typeof Inner>, { x: number; y: bigint }> = true;
  const codec: ByteValued<Expected> = Outer;
  assertEquals(innerIsExact, true);
  assertEquals(codec.byteLength, 48);
  assertEquals(expected.list.length, 2);
  // @ts-expect-error a field is missing
  assertThrows(() => asSlice(Inner, { x: 1 }), TypeError);
  // @ts-expect-error y is a bigint
  assertThrows(() => asSlice(Inner, { x: 1, y: 2 }), TypeError);
  // @ts-expect-error there is no such field
  assertEquals(Inner.offsets.z, undefined);
});

Deno.test("struct() lies anywhere, aligned or not, at small and large offsets", () => {
  const Mixed = struct({ a: u32, b: array(u16, 3), c: f64, d: u16be, e: u64 });
  const value = { a: 0x89abcdef, b: [1, 0xffff, 3], c: -0.5, d: 0x1234, e: 2n ** 64n - 1n };
  const memory = new HostMemory(new ArrayBuffer(256));
  for (let offset = 0; offset < 64; offset++) {
    Mixed.write(memory, offset, value);
    assertEquals(asSlice(Mixed, value), memory.u8.slice(offset, offset + Mixed.byteLength));
    assertEquals(Mixed.read(memory, offset), value);
    memory.u8.fill(0);
  }
  using mapping = new MmapRegion(2 ** 33);
  for (const offset of [2 ** 31, 2 ** 32 - 40, 2 ** 32, 2 ** 32 + 8, 2 ** 33 - 64]) {
    mapping.asVolatileSlice().writeObj(Mixed, value, offset);
    assertEquals(mapping.asVolatileSlice().readObj(Mixed, offset), value);
  }
});

Deno.test("struct() takes a codec whose alignment is no power of two", () => {
  const u24: ByteValued<number> = {
    byteLength: 3,
    alignment: 3,
    read: ({ u8 }, at) => u8[at]! | u8[at + 1]! << 8 | u8[at + 2]! << 16,
    write: ({ u8 }, at, value) => u8.set([value, value >> 8, value >> 16], at),
  };
  const Odd = struct({ a: u24, b: u16 });
  const memory = new HostMemory(Uint8Array.from({ length: 16 }, (_, i) => i).buffer);
  assertEquals(Odd.read(memory, 1), { a: 0x030201, b: 0x0605 });
});

Deno.test("struct() packed has its fields where they are at every offset", () => {
  const Packed = struct({ a: u32, b: u16, c: u8 }, { packed: true });
  for (let offset = 0; offset < 8; offset++) {
    const slice = VolatileSlice.from(new Uint8Array(16));
    slice.writeObj(Packed, { a: 0x0403_0201, b: 0x0605, c: 7 }, offset);
    const expected = new Uint8Array(16);
    expected.set([1, 2, 3, 4, 5, 6, 7], offset);
    assertEquals(slice.readOnlyView(), expected);
    assertEquals(slice.readObj(Packed, offset), { a: 0x0403_0201, b: 0x0605, c: 7 });
  }
});

Deno.test("struct() has its fields where they are from 4 GiB on", () => {
  using mmap = new MmapRegion(2 ** 32 + 4096);
  const slice = mmap.asVolatileSlice();
  const Pair = struct({ a: u32, b: u16 });
  slice.writeObj(Pair, { a: 0x0403_0201, b: 0x0605 }, 2 ** 32 + 8);
  assertEquals(slice.readObj(bytes(6), 2 ** 32 + 8), Uint8Array.of(1, 2, 3, 4, 5, 6));
  assertEquals(slice.readObj(bytes(6), 8), new Uint8Array(6));
  assertEquals(slice.readObj(Pair, 2 ** 32 + 8), { a: 0x0403_0201, b: 0x0605 });
});

Deno.test("struct() passes the error of a codec on, also beside a field of the wrong type", () => {
  const fails: ByteValued<number> = {
    byteLength: 8,
    alignment: 8,
    read: () => 0,
    write() {
      throw new RangeError("too far");
    },
  };
  const Pair = struct({ a: fails, b: u64 });
  const value = { a: 1, b: 2 as unknown as bigint };
  assertThrows(() => asSlice(Pair, value), RangeError, "too far");
});
