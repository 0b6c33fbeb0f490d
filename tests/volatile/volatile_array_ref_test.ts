import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  bytes,
  MemoryClosed,
  OutOfBounds,
  struct,
  TooBig,
  u16,
  u32,
  u8,
  VolatileArrayRef,
  VolatileSlice,
} from "../../mod.ts";
import { count } from "../support/values.ts";

function tracked(length = 16): { host: Uint8Array; bitmap: AtomicBitmap; slice: VolatileSlice } {
  const host = count(length);
  const bitmap = new AtomicBitmap(length, 1);
  return { host, bitmap, slice: VolatileSlice.from(host, bitmap) };
}

Deno.test("VolatileArrayRef reads and writes its elements, and marks them", () => {
  const { host, bitmap, slice } = tracked();
  const array = slice.getArrayRef(u16, 3, 4);
  assertEquals([array.len, array.elementSize, array.isEmpty], [4, 2, false]);
  assertEquals([0, 1, 2, 3].map((index) => array.load(index)), [0x0504, 0x0706, 0x0908, 0x0b0a]);
  array.store(3, 0xffee);
  assertEquals([...host.subarray(8, 12)], [9, 0xee, 0xff, 12]);
  assertEquals([...bitmap.dirtyRuns()], [[9, 2]]);
  array.store(0, 1);
  assertEquals([...host.subarray(2, 6)], [3, 1, 0, 6]);
});

Deno.test("VolatileArrayRef.refAt() is the element itself", () => {
  const { bitmap, slice } = tracked();
  const array = slice.getArrayRef(u32, 4, 3);
  const reference = array.refAt(2);
  reference.store(7);
  assertEquals([array.load(2), reference.len, [...bitmap.dirtyRuns()]], [7, 4, [[12, 4]]]);
});

Deno.test("VolatileArrayRef has no element beyond its ends", () => {
  const { host, bitmap, slice } = tracked();
  const array = slice.getArrayRef(u8, 0, 4);
  for (const index of [-1, 4, 5, 0.5, NaN, Infinity, "0", 0n, undefined, null] as number[]) {
    assertThrows(() => array.load(index), Error, "element");
    assertThrows(() => array.store(index, 9), Error, "element");
    assertThrows(() => array.refAt(index), Error, "element");
  }
  assertEquals([host[4], [...bitmap.dirtyRuns()]], [5, []]);
});

Deno.test("VolatileArrayRef.copyTo() and copyFrom() copy as many as both have", () => {
  const { host, bitmap, slice } = tracked();
  const array = slice.getArrayRef(u16, 1, 3);
  const short = [0, 0];
  const long = [0, 0, 0, 9];
  assertEquals([array.copyTo(short), short], [2, [0x0302, 0x0504]]);
  assertEquals([array.copyTo(long), long], [3, [0x0302, 0x0504, 0x0706, 9]]);
  const typed = new Uint16Array(2);
  assertEquals([array.copyTo(typed), [...typed]], [2, [0x0302, 0x0504]]);
  assertEquals([array.copyFrom([1, 2]), [...bitmap.dirtyRuns()]], [2, [[1, 4]]]);
  assertEquals(array.copyFrom(Uint16Array.of(7, 8, 9, 10)), 3);
  assertEquals([...host.subarray(0, 9)], [1, 7, 0, 8, 0, 9, 0, 8, 9]);
  assertEquals([array.copyFrom([]), array.copyTo([])], [0, 0]);
});

Deno.test("VolatileArrayRef copies no elements of an array whose length is none", () => {
  for (const length of [NaN, -1, undefined, "x", 1.5] as number[]) {
    const { host, slice } = tracked();
    const array = slice.getArrayRef(u8, 0, 4);
    const given = { length, 0: 9, 1: 9, 2: 9 };
    for (const copy of [() => array.copyFrom(given), () => array.copyTo(given)]) {
      let copied;
      try {
        copied = copy();
      } catch (error) {
        assert(error instanceof TypeError || error instanceof RangeError);
        continue;
      }
      assert(Number.isInteger(copied) && copied >= 0 && copied <= 4, `${copied} of ${length}`);
    }
    assertEquals(host[1], 2);
  }
});

Deno.test("VolatileArrayRef.copyToVolatileSlice() copies bytes, and marks the target", () => {
  const { slice } = tracked();
  const target = tracked(8);
  slice.getArrayRef(u32, 4, 3).copyToVolatileSlice(target.slice.offset(3));
  assertEquals([...target.host], [1, 2, 3, 5, 6, 7, 8, 9]);
  assertEquals([...target.bitmap.dirtyRuns()], [[3, 5]]);
});

Deno.test("VolatileArrayRef.toSlice() and bitmap begin at the array", () => {
  const { bitmap, slice } = tracked();
  const array = slice.getArrayRef(u16, 4, 2);
  const part = array.toSlice();
  assertEquals([part.start, part.len], [4, 4]);
  assertStrictEquals(array.toSlice(), part);
  array.bitmap.markDirty(1, 1);
  assertEquals([...bitmap.dirtyRuns()], [[5, 1]]);
});

Deno.test("VolatileArrayRef of structures, and of no elements", () => {
  const { slice } = tracked();
  const Pair = struct({ kind: u8, size: u16 });
  const pairs = slice.getArrayRef(Pair, 0, 4);
  pairs.store(1, { kind: 1, size: 2 });
  assertEquals([pairs.load(1), pairs.elementSize], [{ kind: 1, size: 2 }, 4]);
  const none = slice.getArrayRef(Pair, 16, 0);
  assertEquals([none.isEmpty, none.copyFrom([{ kind: 1, size: 1 }])], [true, 0]);
  assertEquals(slice.getArrayRef(bytes(0), 0, 1000).load(999), new Uint8Array(0));
});

Deno.test("VolatileMemory.getArrayRef() refuses an array that does not fit", () => {
  const { slice } = tracked();
  assertThrows(() => slice.getArrayRef(u16, 0, 9), OutOfBounds);
  assertThrows(() => slice.getArrayRef(u16, 1, 8), OutOfBounds);
  for (const length of [-1, 0.5, NaN, 2 ** 53, 2 ** 52]) {
    const error = assertThrows(() => slice.getArrayRef(u32, 0, length), TooBig);
    assertEquals([error.nelements, error.size], [length, 4]);
  }
  for (const length of ["1", undefined, null, 1n, Symbol("s")] as unknown as number[]) {
    assertThrows(() => slice.getArrayRef(u32, 0, length), TypeError, "as length");
  }
});

Deno.test("VolatileArrayRef of memory that is closed is MemoryClosed", () => {
  const { slice } = tracked();
  const array = slice.getArrayRef(u16, 0, 4);
  slice.memory.close();
  assertThrows(() => array.load(0), MemoryClosed);
  assertThrows(() => array.store(0, 1), MemoryClosed);
  assertThrows(() => array.copyTo([0]), MemoryClosed);
  assertThrows(() => array.copyFrom([1]), MemoryClosed);
});

Deno.test("new VolatileArrayRef() refuses a slice that is one byte short", () => {
  const { slice } = tracked();
  for (const [codec, length] of [[u8, 4], [u16, 3], [u32, 2]] as const) {
    const size = codec.byteLength * length;
    const error = assertThrows(
      () => new VolatileArrayRef(codec, slice.getSlice(0, size - 1), length),
      OutOfBounds,
    );
    assertEquals(error.address, size);
    assertEquals(new VolatileArrayRef(codec, slice.getSlice(0, size), length).len, length);
  }
});
