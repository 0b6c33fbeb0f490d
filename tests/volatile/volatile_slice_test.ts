import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  array,
  bytes,
  computeOffset,
  Cursor,
  HostMemory,
  MemoryClosed,
  Misaligned,
  MmapRegion,
  OutOfBounds,
  Overflow,
  PartialBuffer,
  type TypedArray,
  u16,
  u32,
  u64,
  u8,
  VolatileMemoryError,
  VolatileSlice,
} from "../../mod.ts";
import { type Mark, RecordingBitmap } from "../support/recording_bitmap.ts";
import { count, TYPED_ARRAYS } from "../support/values.ts";

const NO_OFFSET = [-1, -0.5, 0.5, NaN, Infinity, -Infinity, 2 ** 32, 2 ** 53, 1e300];
const NO_COUNT = [-1, 0.5, NaN, -Infinity];

function tracked(content: Uint8Array): { slice: VolatileSlice; bitmap: RecordingBitmap } {
  const bitmap = new RecordingBitmap();
  return { slice: VolatileSlice.from(content, bitmap), bitmap };
}

Deno.test("VolatileSlice.write() fills up to the end and no further", () => {
  const content = count(5);
  const slice = VolatileSlice.from(content);
  assertEquals(slice.write(Uint8Array.of(1, 2, 3), 0), 3);
  assertEquals(slice.write(Uint8Array.of(7, 8, 9), 3), 2);
  assertEquals(content, Uint8Array.of(1, 2, 3, 7, 8));
  const error = assertThrows(() => slice.write(Uint8Array.of(1), 5), OutOfBounds);
  assertEquals(error.address, 5);
});

Deno.test("VolatileSlice.read() and write() are cut short at the end", () => {
  const slice = VolatileSlice.from(new Uint8Array(1024));
  assertEquals(slice.write(count(5), 1020), 4);
  const buf = new Uint8Array(16).fill(9);
  assertEquals(slice.read(buf, 1010), 14);
  assertEquals(buf.subarray(10), Uint8Array.of(1, 2, 3, 4, 9, 9));
  assertEquals(assertThrows(() => slice.read(buf, 1024), OutOfBounds).address, 1024);
});

Deno.test("VolatileSlice.readSlice() and writeSlice() say how much was done", () => {
  const content = count(8);
  const slice = VolatileSlice.from(content);
  const buf = new Uint8Array(4);
  slice.readSlice(buf, 4);
  assertEquals(buf, Uint8Array.of(5, 6, 7, 8));
  const short = assertThrows(() => slice.readSlice(buf, 6), PartialBuffer);
  assertEquals([short.expected, short.completed], [4, 2]);
  const write = assertThrows(() => slice.writeSlice(Uint8Array.of(9, 9, 9), 6), PartialBuffer);
  assertEquals([write.expected, write.completed], [3, 2]);
  assertEquals(content, Uint8Array.of(1, 2, 3, 4, 5, 6, 9, 9));
});

Deno.test("VolatileSlice.readObj() says how much of the value there is", () => {
  const slice = VolatileSlice.from(count(8));
  assertEquals(slice.readObj(u32, 4), 0x08070605);
  const error = assertThrows(() => slice.readObj(u32, 6), PartialBuffer);
  assertEquals([error.expected, error.completed], [4, 2]);
  assertEquals(assertThrows(() => slice.readObj(u32, 8), OutOfBounds).address, 8);
});

Deno.test("VolatileSlice.writeObj() past the end writes and marks the part that it reports", () => {
  const content = new Uint8Array(8);
  const { slice, bitmap } = tracked(content);
  const error = assertThrows(() => slice.writeObj(u32, 0x04030201, 6), PartialBuffer);
  assertEquals([error.expected, error.completed], [4, 2]);
  assertEquals(content, Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2));
  assertEquals(bitmap.take(), [[6, 2]]);
});

Deno.test("VolatileSlice accesses of zero bytes succeed at every offset", () => {
  const { slice, bitmap } = tracked(count(4));
  const none = new Uint8Array(0);
  const stream = new Cursor(count(4));
  for (const at of [0, 3, 4, 5, 100, 2 ** 53 - 1]) {
    assertEquals(slice.read(none, at), 0);
    assertEquals(slice.write(none, at), 0);
    slice.readSlice(none, at);
    slice.writeSlice(none, at);
    assertEquals(slice.readVolatileFrom(at, stream, 0), 0);
    slice.readExactVolatileFrom(at, stream, 0);
    assertEquals(slice.writeVolatileTo(at, stream, 0), 0);
    slice.writeAllVolatileTo(at, stream, 0);
  }
  assertEquals(bitmap.take(), []);
});

Deno.test("VolatileSlice.readObj() and writeObj() of zero bytes succeed at every offset", () => {
  const { slice, bitmap } = tracked(count(4));
  for (const at of [0, 3, 4, 5, 100, 2 ** 53 - 1]) {
    assertEquals(slice.readObj(array(u32, 0), at), []);
    slice.writeObj(array(u32, 0), [], at);
    assertEquals(slice.readObj(bytes(0), at), new Uint8Array(0));
    slice.writeObj(bytes(0), new Uint8Array(0), at);
  }
  assertEquals(bitmap.take(), []);
});

Deno.test("VolatileSlice of no bytes holds only accesses of zero bytes", () => {
  const slice = VolatileSlice.from(new Uint8Array(0));
  assertEquals([slice.len, slice.isEmpty], [0, true]);
  assertEquals(slice.read(new Uint8Array(0), 0), 0);
  assertThrows(() => slice.read(new Uint8Array(1), 0), OutOfBounds);
  assertEquals(slice.subslice(0, 0).len, 0);
  assertEquals(slice.copyTo(new Uint8Array(4)), 0);
  assertEquals(slice.rawView().length, 0);
});

Deno.test("VolatileSlice.splitAt() divides memory and bitmap", () => {
  const { slice, bitmap } = tracked(new Uint8Array(32));
  const [head, tail] = slice.splitAt(8);
  assertEquals([head.len, tail.len], [8, 24]);
  head.writeObj(u8, 1, 7);
  tail.writeObj(u8, 2, 0);
  assertEquals(slice.readObj(u16, 7), 0x0201);
  assertEquals(bitmap.take(), [[7, 1], [8, 1]]);
  assertEquals(slice.splitAt(0).map((part) => part.len), [0, 32]);
  assertEquals(slice.splitAt(32).map((part) => part.len), [32, 0]);
  assertEquals(assertThrows(() => slice.splitAt(33), OutOfBounds).address, 33);
});

Deno.test("VolatileSlice.subslice() and getSlice() give a part", () => {
  const { slice, bitmap } = tracked(count(32));
  const part = slice.subslice(8, 16).getSlice(4, 8);
  assertEquals([part.len, part.readObj(u8, 0)], [8, 13]);
  part.writeObj(u8, 0, 1);
  assertEquals(bitmap.take(), [[13, 1]]);
  part.bitmap.sliceAt(2).markDirty(1, 3);
  assertEquals(bitmap.take(), [[15, 3]]);
  assertEquals(slice.subslice(32, 0).len, 0);
  assertEquals(assertThrows(() => slice.subslice(8, 25), OutOfBounds).address, 33);
  assertThrows(() => slice.subslice(33, 0), OutOfBounds);
  const overflow = assertThrows(() => slice.subslice(1, 2 ** 53 - 1), Overflow);
  assertEquals([overflow.base, overflow.offset], [1, 2 ** 53 - 1]);
});

Deno.test("VolatileSlice.subslice() is the bound of what is read and written through it", () => {
  const slice = VolatileSlice.from(count(8)).subslice(2, 4);
  assertEquals(slice.read(new Uint8Array(8), 2), 2);
  assertThrows(() => slice.readObj(u8, 4), OutOfBounds);
  assertThrows(() => slice.readObj(u32, 1), PartialBuffer);
  assertThrows(() => slice.load(u8, 4), OutOfBounds);
  assertEquals(slice.rawView(), Uint8Array.of(3, 4, 5, 6));
  assertEquals(slice.readOnlyView(), Uint8Array.of(3, 4, 5, 6));
});

Deno.test("new VolatileSlice() refuses what does not lie in the memory", () => {
  const memory = new HostMemory(new ArrayBuffer(16));
  assertEquals(new VolatileSlice(memory, 8, 8).len, 8);
  for (const [start, length] of [[8, 9], [17, 0], [-1, 4], [8, -1], [NaN, 4], [0, Infinity]]) {
    assertThrows(() => new VolatileSlice(memory, start!, length!), OutOfBounds);
  }
});

Deno.test("VolatileSlice.offset() leaves the first bytes out", () => {
  const { slice, bitmap } = tracked(count(8));
  assertEquals(slice.offset(3).readObj(u8, 0), 4);
  assertEquals([slice.offset(3).len, slice.offset(8).len], [5, 0]);
  assertEquals(assertThrows(() => slice.offset(9), OutOfBounds).address, 9);
  slice.offset(3).offset(1).writeObj(u8, 0, 0);
  assertEquals(bitmap.take(), [[4, 1]]);
});

Deno.test("computeEndOffset() allows the very end, and no more", () => {
  const slice = VolatileSlice.from(new Uint8Array(3));
  assertEquals(slice.computeEndOffset(3, 0), 3);
  assertEquals(slice.computeEndOffset(1, 2), 3);
  assertEquals(assertThrows(() => slice.computeEndOffset(4, 0), OutOfBounds).address, 4);
  assertEquals(assertThrows(() => slice.computeEndOffset(2, 2), OutOfBounds).address, 4);
});

Deno.test("computeOffset() adds without overflow", () => {
  assertEquals(computeOffset(100, 8), 108);
  assertEquals(computeOffset(2 ** 53 - 7, 6), 2 ** 53 - 1);
  const error = assertThrows(() => computeOffset(2 ** 53 - 1, 6), Overflow);
  assertEquals([error.base, error.offset], [2 ** 53 - 1, 6]);
  assertThrows(() => computeOffset(0.5, 0.5), Overflow);
  assertThrows(() => computeOffset(-1, 2), Overflow);
  assertThrows(() => computeOffset(2, -1), Overflow);
});

for (const sample of TYPED_ARRAYS) {
  const size = sample.BYTES_PER_ELEMENT;
  const make = () => sample.slice();
  const bytesOf = (array: TypedArray) => new Uint8Array(array.buffer);

  Deno.test(`VolatileSlice.copyTo() moves whole elements of ${sample.constructor.name}`, () => {
    for (let length = 0; length <= 6 * size; length++) {
      const content = count(length);
      const buf = make();
      const elements = Math.min(Math.floor(length / size), 5);
      const expected = new Uint8Array(5 * size);
      expected.set(content.subarray(0, elements * size));
      assertEquals(VolatileSlice.from(content).copyTo(buf), elements);
      assertEquals(bytesOf(buf), expected);
    }
  });

  Deno.test(`VolatileSlice.copyFrom() moves whole elements of ${sample.constructor.name}`, () => {
    const buf = make();
    bytesOf(buf).set(count(5 * size));
    for (let length = 0; length <= 6 * size; length++) {
      const { slice, bitmap } = tracked(new Uint8Array(length + 1));
      const elements = Math.min(Math.floor(length / size), 5);
      assertEquals(slice.subslice(1, length).copyFrom(buf), elements);
      const expected = new Uint8Array(length + 1);
      expected.set(count(elements * size), 1);
      assertEquals(slice.rawView(), expected);
      assertEquals(bitmap.take(), elements === 0 ? [] : [[1, elements * size]]);
    }
  });
}

Deno.test("VolatileSlice.copyTo() fills a shorter array after one of the same type got all", () => {
  const slice = VolatileSlice.from(count(6));
  const [all, few] = [new Uint8Array(6), new Uint8Array(2)];
  assertEquals([slice.copyTo(all), slice.copyTo(few), slice.copyTo(all)], [6, 2, 6]);
  assertEquals([all, few], [count(6), count(2)]);
});

Deno.test("VolatileSlice.copyFrom() takes a view into a larger buffer", () => {
  const content = new Uint8Array(4);
  VolatileSlice.from(content).copyFrom(new Uint16Array(Uint8Array.of(1, 2, 3, 4, 5, 6).buffer, 2));
  assertEquals(content, Uint8Array.of(3, 4, 5, 6));
});

Deno.test("VolatileSlice.copyToVolatileSlice() copies as many bytes as both have", () => {
  const source = VolatileSlice.from(count(4));
  const { slice: target, bitmap } = tracked(new Uint8Array(8));
  source.copyToVolatileSlice(target.offset(2));
  assertEquals(target.rawView(), Uint8Array.of(0, 0, 1, 2, 3, 4, 0, 0));
  source.copyToVolatileSlice(target.subslice(0, 1));
  source.copyToVolatileSlice(target.subslice(8, 0));
  assertEquals(bitmap.take(), [[2, 4], [0, 1]]);
});

for (const Buffer of [ArrayBuffer, SharedArrayBuffer]) {
  Deno.test(`VolatileSlice.copyToVolatileSlice() copies within one ${Buffer.name} as memmove`, () => {
    for (const [from, to] of [[0, 3], [3, 0], [2, 2]] as const) {
      const content = new Uint8Array(new Buffer(12));
      content.set(count(12));
      const expected = content.slice().copyWithin(to, from, from + 8);
      const slice = VolatileSlice.from(content);
      slice.subslice(from, 8).copyToVolatileSlice(
        VolatileSlice.from(content.subarray(to, to + 8)),
      );
      assertEquals(content.slice(), expected);
    }
  });
}

Deno.test("VolatileSlice.read() into its own memory is a memmove", () => {
  const content = count(8);
  const slice = VolatileSlice.from(content);
  slice.read(content.subarray(2, 8), 0);
  assertEquals(content, Uint8Array.of(1, 2, 1, 2, 3, 4, 5, 6));
  slice.write(content.subarray(2, 6), 4);
  assertEquals(content, Uint8Array.of(1, 2, 1, 2, 1, 2, 3, 4));
});

Deno.test("VolatileSlice.load() and store() need alignment in the buffer", () => {
  const buffer = new Uint8Array(32);
  const slice = VolatileSlice.from(buffer.subarray(4));
  slice.store(u32, 7, 4);
  assertEquals([slice.load(u32, 4), buffer[8]], [7, 7]);
  slice.store(u64, 2n ** 64n - 1n, 12);
  assertEquals(slice.load(u64, 12), 2n ** 64n - 1n);
  const load = assertThrows(() => slice.load(u64, 8), Misaligned);
  assertEquals([load.address, load.alignment], [12, 8]);
  const store = assertThrows(() => slice.store(u16, 1, 1), Misaligned);
  assertEquals([store.address, store.alignment], [5, 2]);
  assertEquals(buffer[5], 0);
});

Deno.test("VolatileSlice.load() and store() check bounds before alignment", () => {
  const slice = VolatileSlice.from(new Uint8Array(8));
  assertEquals(assertThrows(() => slice.load(u32, 5), OutOfBounds).address, 9);
  assertEquals(assertThrows(() => slice.store(u32, 0, 5), OutOfBounds).address, 9);
  assertThrows(() => slice.load(u32, 8), OutOfBounds);
});

type Access = [name: string, call: (slice: VolatileSlice, n: number, stream: Cursor) => unknown];

const BY_OFFSET: Access[] = [
  ["read", (slice, at) => slice.read(new Uint8Array(2), at)],
  ["write", (slice, at) => slice.write(Uint8Array.of(9, 9), at)],
  ["readSlice", (slice, at) => slice.readSlice(new Uint8Array(2), at)],
  ["writeSlice", (slice, at) => slice.writeSlice(Uint8Array.of(9, 9), at)],
  ["readObj", (slice, at) => slice.readObj(u16, at)],
  ["writeObj", (slice, at) => slice.writeObj(u16, 0x0909, at)],
  ["load", (slice, at) => slice.load(u16, at)],
  ["store", (slice, at) => slice.store(u16, 0x0909, at)],
  ["readVolatileFrom", (slice, at, stream) => slice.readVolatileFrom(at, stream, 2)],
  ["readExactVolatileFrom", (slice, at, stream) => slice.readExactVolatileFrom(at, stream, 2)],
  ["writeVolatileTo", (slice, at, stream) => slice.writeVolatileTo(at, stream, 2)],
  ["writeAllVolatileTo", (slice, at, stream) => slice.writeAllVolatileTo(at, stream, 2)],
  ["getSlice", (slice, at) => slice.getSlice(at, 2)],
  ["subslice", (slice, at) => slice.subslice(at, 2)],
  ["offset", (slice, at) => slice.offset(at)],
  ["splitAt", (slice, at) => slice.splitAt(at)],
  ["getRef", (slice, at) => slice.getRef(u16, at)],
  ["getArrayRef", (slice, at) => slice.getArrayRef(u16, at, 1)],
  ["computeEndOffset", (slice, at) => slice.computeEndOffset(at, 2)],
];

const BY_COUNT: Access[] = [
  ["readVolatileFrom", (slice, n, stream) => slice.readVolatileFrom(0, stream, n)],
  ["readExactVolatileFrom", (slice, n, stream) => slice.readExactVolatileFrom(0, stream, n)],
  ["writeVolatileTo", (slice, n, stream) => slice.writeVolatileTo(0, stream, n)],
  ["writeAllVolatileTo", (slice, n, stream) => slice.writeAllVolatileTo(0, stream, n)],
  ["getSlice", (slice, n) => slice.getSlice(0, n)],
  ["subslice", (slice, n) => slice.subslice(0, n)],
  ["computeEndOffset", (slice, n) => slice.computeEndOffset(0, n)],
];

function assertRefuses([name, call]: Access, values: number[]): void {
  for (const value of values) {
    const { slice, bitmap } = tracked(count(16));
    const stream = new Cursor(new Uint8Array(16));
    assertThrows(
      () => call(slice, value, stream),
      VolatileMemoryError,
      undefined,
      `${name} ${value}`,
    );
    assertEquals(slice.rawView(), count(16), `${name} ${value} wrote`);
    assertEquals(stream.bytes, new Uint8Array(16), `${name} ${value} gave data away`);
    assertEquals(stream.position, 0, `${name} ${value} used the stream`);
    assertEquals(bitmap.take(), [], `${name} ${value} marked`);
  }
}

for (const access of BY_OFFSET) {
  Deno.test(`VolatileSlice.${access[0]}() refuses what is no offset`, () => {
    assertRefuses(access, NO_OFFSET);
  });
}

for (const access of BY_COUNT) {
  Deno.test(`VolatileSlice.${access[0]}() refuses what is no count`, () => {
    assertRefuses(access, NO_COUNT);
  });
}

const WRITES: [name: string, call: (slice: VolatileSlice) => unknown, marks: Mark[]][] = [
  ["write", (slice) => slice.write(count(3), 5), [[5, 3]]],
  ["a short write", (slice) => slice.write(count(30), 5), [[5, 11]]],
  ["writeSlice", (slice) => slice.writeSlice(count(4), 0), [[0, 4]]],
  ["a writeSlice past the end", (slice) => {
    assertThrows(() => slice.writeSlice(count(4), 14), PartialBuffer);
  }, [[14, 2]]],
  ["writeObj", (slice) => slice.writeObj(u64, 1n, 3), [[3, 8]]],
  ["store", (slice) => slice.store(u16, 1, 6), [[6, 2]]],
  ["copyFrom", (slice) => slice.offset(2).copyFrom(new Uint32Array(2)), [[2, 8]]],
  ["readVolatileFrom", (slice) => slice.readVolatileFrom(4, new Cursor(count(3)), 9), [[4, 3]]],
  ["rawView", (slice) => slice.rawView().fill(1), []],
  ["markDirty", (slice) => slice.offset(4).markDirty(1, 2), [[5, 2]]],
  ["read", (slice) => slice.read(new Uint8Array(4), 0), []],
  ["readObj and load", (slice) => [slice.readObj(u32, 0), slice.load(u32, 0)], []],
  ["writeVolatileTo", (slice) => slice.writeVolatileTo(0, new Cursor(count(9)), 9), []],
];

for (const [name, call, marks] of WRITES) {
  Deno.test(`VolatileSlice marks exactly what is written by ${name}`, () => {
    const { slice, bitmap } = tracked(new Uint8Array(16));
    call(slice);
    assertEquals(bitmap.take(), marks);
  });
}

Deno.test("VolatileSlice marks after the write", () => {
  const content = new Uint8Array(8);
  let seen = 0;
  const slice = VolatileSlice.from(content, new RecordingBitmap(() => seen = content[4]!));
  const marks = (write: () => unknown, value: number) => {
    write();
    assertEquals(seen, value);
  };
  marks(() => slice.write(Uint8Array.of(1), 4), 1);
  marks(() => slice.writeObj(u16, 2, 4), 2);
  marks(() => slice.store(u32, 3, 4), 3);
  marks(() => slice.offset(4).copyFrom(Uint8Array.of(4)), 4);
  marks(() => slice.readVolatileFrom(4, new Cursor(Uint8Array.of(5)), 1), 5);
  marks(() => VolatileSlice.from(Uint8Array.of(6)).copyToVolatileSlice(slice.offset(4)), 6);
});

Deno.test("VolatileSlice.writeObj() marks its bytes even if the codec throws", () => {
  const { slice, bitmap } = tracked(new Uint8Array(8));
  assertThrows(() => slice.writeObj(array(u16, 2), [1], 2), RangeError);
  assert([2, 3, 4, 5].every((at) => bitmap.dirtyAt(at)));
});

Deno.test("VolatileSlice.copyTo() fills arrays that a slice keeps no view of", () => {
  const slice = VolatileSlice.from(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  for (const length of [2, 8, 16]) {
    const clamped = new Uint8ClampedArray(length);
    assertEquals(slice.copyTo(clamped as never), Math.min(length, 8));
    assertEquals(clamped[1], 2);
  }
  const halves = new Float16Array(4);
  assertEquals(slice.copyTo(halves as never), 4);
  assertEquals([...new Uint8Array(halves.buffer)], [1, 2, 3, 4, 5, 6, 7, 8]);
});

for (const View of [Uint8Array, Uint32Array, Float64Array]) {
  Deno.test(`VolatileSlice copies to ${View.name} what is there, whatever was protected`, () => {
    using region = new MmapRegion(4096);
    const slice = region.asVolatileSlice();
    slice.writeSlice(new Uint8Array(4096).fill(7), 0);
    // Each slice keeps a view of its own.
    const other = slice.getSlice(0, 4096);
    const target = VolatileSlice.from(new Uint8Array(4096));
    for (const protection of [3, 1, 3] as const) {
      region.protect(protection);
      const buf = new View(4096 / View.BYTES_PER_ELEMENT);
      assertEquals(slice.copyTo(buf), buf.length);
      assertEquals(new Uint8Array(buf.buffer), new Uint8Array(4096).fill(7));
      target.writeSlice(new Uint8Array(4096), 0);
      other.copyToVolatileSlice(target);
      assertEquals(target.readOnlyView(), new Uint8Array(4096).fill(7));
    }
  });
}

Deno.test("VolatileSlice of memory that was closed copies nothing more, and has no view", () => {
  const memory = new HostMemory(new ArrayBuffer(8));
  const slice = new VolatileSlice(memory, 0, 8);
  const buf = new Uint8Array(8);
  assertEquals(slice.copyTo(buf), 8);
  memory.close();
  assertThrows(() => slice.copyTo(buf), MemoryClosed);
  const region = new MmapRegion(8);
  const whole = region.asVolatileSlice();
  const empty = whole.getSlice(0, 0);
  assertEquals([empty.readOnlyView().length, empty.rawView().length], [0, 0]);
  region.close();
  for (const part of [slice, whole, empty]) {
    assertThrows(() => part.readOnlyView(), MemoryClosed);
    assertThrows(() => part.rawView(), MemoryClosed);
  }
});
