import { assertEquals, assertThrows } from "@std/assert";
import {
  array,
  bytes,
  OutOfBounds,
  Overflow,
  struct,
  TooBig,
  u16,
  u32,
  u64,
  u8,
  VolatileMemoryError,
  VolatileSlice,
} from "../../mod.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";

function memory(length: number): { slice: VolatileSlice; bitmap: RecordingBitmap } {
  const bitmap = new RecordingBitmap();
  return { slice: VolatileSlice.from(new Uint8Array(length), bitmap), bitmap };
}

const NO_INDEX = [-1, 0.5, NaN, Infinity, -Infinity, 4, 2 ** 32, 2 ** 53];

Deno.test("VolatileRef loads what it stored, at any alignment", () => {
  const { slice } = memory(16);
  for (let at = 0; at <= 8; at++) {
    const ref = slice.getRef(u64, at);
    ref.store(0x0102030405060708n);
    assertEquals(ref.load(), 0x0102030405060708n);
    assertEquals(slice.readObj(u8, at), 8);
  }
});

Deno.test("VolatileRef has the length and the bytes of its value", () => {
  const { slice } = memory(16);
  const ref = slice.getRef(u32, 4);
  assertEquals(ref.len, 4);
  assertEquals([ref.toSlice().start, ref.toSlice().len], [4, 4]);
  assertEquals(slice.getRef(struct({ a: u8, b: u32 }), 0).len, 8);
});

Deno.test("VolatileRef.store() marks exactly its value", () => {
  const { slice, bitmap } = memory(16);
  const ref = slice.getRef(u32, 5);
  ref.store(1);
  ref.load();
  assertEquals(bitmap.take(), [[5, 4]]);
  ref.bitmap.markDirty(0, 1);
  assertEquals(bitmap.take(), [[5, 1]]);
});

Deno.test("getRef() needs room for the value", () => {
  const { slice } = memory(16);
  assertEquals(slice.getRef(u32, 12).load(), 0);
  const error = assertThrows(() => slice.getRef(u32, 13), OutOfBounds);
  assertEquals(error.address, 17);
  assertThrows(() => slice.getRef(u8, 16), OutOfBounds);
  assertThrows(() => slice.getRef(u8, -1), Overflow);
  assertThrows(() => slice.getRef(u8, 0.5), Overflow);
  assertThrows(() => slice.getRef(u8, NaN), Overflow);
});

Deno.test("VolatileArrayRef knows its elements", () => {
  const { slice } = memory(16);
  const ref = slice.getArrayRef(u16, 2, 4);
  assertEquals([ref.len, ref.elementSize, ref.isEmpty], [4, 2, false]);
  assertEquals([ref.toSlice().start, ref.toSlice().len], [2, 8]);
  assertEquals(slice.getArrayRef(u16, 16, 0).isEmpty, true);
});

Deno.test("VolatileArrayRef loads and stores single elements", () => {
  const { slice, bitmap } = memory(16);
  const ref = slice.getArrayRef(u16, 3, 4);
  for (let i = 0; i < 4; i++) ref.store(i, 0x100 * i + 1);
  assertEquals([0, 1, 2, 3].map((i) => ref.load(i)), [1, 0x101, 0x201, 0x301]);
  assertEquals(ref.refAt(2).load(), 0x201);
  assertEquals(bitmap.take(), [[3, 2], [5, 2], [7, 2], [9, 2]]);
  ref.refAt(3).store(7);
  assertEquals(bitmap.take(), [[9, 2]]);
  assertEquals(ref.load(3), 7);
});

Deno.test("VolatileArrayRef throws RangeError where there is no such element", () => {
  const { slice, bitmap } = memory(16);
  const ref = slice.getArrayRef(u16, 0, 4);
  for (const index of NO_INDEX) {
    assertThrows(() => ref.load(index), RangeError, undefined, `load ${index}`);
    assertThrows(() => ref.store(index, 1), RangeError, undefined, `store ${index}`);
    assertThrows(() => ref.refAt(index), RangeError, undefined, `refAt ${index}`);
  }
  assertEquals(bitmap.take(), []);
  assertEquals(slice.rawView(), new Uint8Array(16));
});

Deno.test("VolatileArrayRef.copyFrom() and copyTo() move as many elements as both have", () => {
  const { slice } = memory(16);
  const ref = slice.getArrayRef(u16, 1, 3);
  assertEquals(ref.copyFrom([1, 2, 3, 4]), 3);
  const many = [0, 0, 0, 9];
  assertEquals(ref.copyTo(many), 3);
  assertEquals(many, [1, 2, 3, 9]);
  const few = new Uint16Array(2);
  assertEquals(ref.copyTo(few), 2);
  assertEquals(few, Uint16Array.of(1, 2));
  assertEquals(ref.copyFrom([7]), 1);
  assertEquals([0, 1, 2].map((i) => ref.load(i)), [7, 2, 3]);
  assertEquals(slice.readObj(u8, 7), 0);
});

Deno.test("VolatileArrayRef.copyFrom() marks exactly the elements it wrote", () => {
  const { slice, bitmap } = memory(16);
  slice.getArrayRef(u16, 1, 4).copyFrom([1, 2, 3]);
  const dirty = Array.from({ length: 16 }, (_, at) => at).filter((at) => bitmap.dirtyAt(at));
  assertEquals(dirty, [1, 2, 3, 4, 5, 6]);
});

Deno.test("VolatileArrayRef.copyToVolatileSlice() copies bytes", () => {
  const { slice, bitmap } = memory(16);
  const ref = slice.getArrayRef(u16, 0, 2);
  ref.copyFrom([0x0201, 0x0403]);
  bitmap.take();
  ref.copyToVolatileSlice(slice.subslice(9, 3));
  assertEquals(slice.rawView().subarray(8, 13), Uint8Array.of(0, 1, 2, 3, 0));
  assertEquals(bitmap.take(), [[9, 3]]);
});

Deno.test("VolatileArrayRef holds structures and arrays", () => {
  const { slice } = memory(40);
  const Pair = struct({ a: u8, b: u32 });
  const ref = slice.getArrayRef(Pair, 4, 4);
  ref.store(3, { a: 1, b: 2 });
  assertEquals(ref.load(3), { a: 1, b: 2 });
  assertEquals(slice.readObj(u32, 4 + 3 * 8 + 4), 2);
  assertEquals(slice.getArrayRef(array(u8, 2), 0, 20).elementSize, 2);
});

Deno.test("getArrayRef() needs room for the array", () => {
  const { slice } = memory(16);
  assertEquals(slice.getArrayRef(u32, 0, 4).len, 4);
  assertThrows(() => slice.getArrayRef(u32, 0, 5), OutOfBounds);
  const error = assertThrows(() => slice.getArrayRef(u32, 4, 4), OutOfBounds);
  assertEquals(error.address, 20);
});

Deno.test("getArrayRef() refuses a size beyond 2^53", () => {
  const { slice } = memory(16);
  const error = assertThrows(() => slice.getArrayRef(u64, 0, 2 ** 50), TooBig);
  assertEquals([error.nelements, error.size], [2 ** 50, 8]);
  assertThrows(() => slice.getArrayRef(u8, 0, 2 ** 53), TooBig);
  assertThrows(() => slice.getArrayRef(u8, 0, 2 ** 53 - 1), OutOfBounds);
});

Deno.test("getArrayRef() refuses a number of elements that is none", () => {
  const { slice } = memory(16);
  for (const length of [-1, 0.5, 1.5, NaN, Infinity, -Infinity]) {
    assertThrows(
      () => slice.getArrayRef(u16, 0, length),
      VolatileMemoryError,
      undefined,
      `${length}`,
    );
  }
});

Deno.test("references to values of no bytes are fine up to the end", () => {
  const { slice, bitmap } = memory(4);
  const ref = slice.getRef(bytes(0), 4);
  ref.store(new Uint8Array(0));
  assertEquals(ref.load(), new Uint8Array(0));
  assertEquals(slice.getArrayRef(bytes(0), 4, 3).load(2), new Uint8Array(0));
  assertEquals(bitmap.take(), []);
});
