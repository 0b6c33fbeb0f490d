import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  i16,
  i32,
  i64,
  OutOfBounds,
  u16,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { TYPED_ARRAYS } from "../support/values.ts";
import { Padded } from "../support/writes.ts";

const SIZE = 512;

/** A slice, and which bytes of it were marked since the last question. */
function markedSlice(): { slice: VolatileSlice; marked: () => unknown } {
  const bitmap = new AtomicBitmap(SIZE, 1);
  const slice = VolatileSlice.from(new Uint8Array(SIZE), bitmap);
  return {
    slice,
    marked() {
      const runs = [...bitmap.dirtyRuns()];
      bitmap.reset();
      return runs;
    },
  };
}

Deno.test("VolatileSlice.copyFrom() marks the whole elements it wrote", () => {
  for (const array of TYPED_ARRAYS) {
    const { slice, marked } = markedSlice();
    slice.copyFrom(array);
    assertEquals(marked(), [[0, array.byteLength]]);
    slice.getSlice(3, array.BYTES_PER_ELEMENT * 3 - 1 || 2).copyFrom(array);
    assertEquals(marked(), [[3, array.BYTES_PER_ELEMENT * 2]]);
  }
  const { slice, marked } = markedSlice();
  slice.copyFrom(new Uint8Array(0));
  slice.getSlice(0, 7).copyFrom(new Float64Array(1));
  slice.copyTo(new Uint8Array(100));
  assertEquals(marked(), []);
});

Deno.test("VolatileSlice.copyToVolatileSlice() marks the target, not the source", () => {
  const source = markedSlice();
  const target = markedSlice();
  source.slice.getSlice(10, 20).copyToVolatileSlice(target.slice.getSlice(100, 50));
  assertEquals([source.marked(), target.marked()], [[], [[100, 20]]]);
  source.slice.copyToVolatileSlice(target.slice.getSlice(100, 50));
  assertEquals([source.marked(), target.marked()], [[], [[100, 50]]]);
  source.slice.getSlice(10, 20).copyToVolatileSlice(source.slice.getSlice(15, 20));
  assertEquals(source.marked(), [[15, 20]]);
  source.slice.copyToVolatileSlice(target.slice.getSlice(0, 0));
  assertEquals(target.marked(), []);
});

Deno.test("VolatileRef, VolatileArrayRef and AtomicRef mark exactly what they write", () => {
  const { slice, marked } = markedSlice();
  const part = slice.getSlice(16, 256).offset(16);
  const writes: [length: number, write: () => unknown][] = [
    [4, () => part.getRef(u32, 8).store(7)],
    [12, () => part.getRef(Padded, 8).store({ kind: 1, value: 2, flags: 3 })],
    [2, () => part.getArrayRef(u16, 4, 8).store(2, 7)],
    [2, () => part.getArrayRef(u16, 4, 8).refAt(2).store(7)],
    [6, () => part.getArrayRef(u16, 8, 8).copyFrom([1, 2, 3])],
    [16, () => part.getArrayRef(u16, 8, 8).copyFrom(new Uint16Array(100))],
    [4, () => slice.getArrayRef(u16, 0, 2).copyToVolatileSlice(part.getSlice(8, 100))],
    [4, () => part.getAtomicRef(u32, 8).store(7)],
    [4, () => part.getAtomicRef(u32, 8).exchange(7)],
    [4, () => part.getAtomicRef(u32, 8).compareExchange(7, 8)],
    [4, () => part.getAtomicRef(u32, 8).compareExchange(9, 7)],
    [1, () => part.getAtomicRef(u8, 8).fetchAdd(1)],
    [2, () => part.getAtomicRef(i16, 8).fetchSub(1)],
    [8, () => part.getAtomicRef(u64, 8).fetchAnd(1n)],
    [8, () => part.getAtomicRef(i64, 8).fetchOr(1n)],
    [4, () => part.getAtomicRef(i32, 8).fetchXor(1)],
  ];
  for (const [length, write] of writes) {
    write();
    assertEquals(marked(), [[40, length]], `${write}`);
  }
});

Deno.test("VolatileRef, VolatileArrayRef and AtomicRef mark nothing when they read", () => {
  const { slice, marked } = markedSlice();
  slice.getRef(u32, 8).load();
  const array = slice.getArrayRef(u16, 4, 8);
  array.load(2);
  array.refAt(2).load();
  array.copyTo(new Uint16Array(8));
  array.copyToVolatileSlice(VolatileSlice.from(new Uint8Array(16)));
  slice.getAtomicRef(u64, 8).load();
  assertThrows(() => array.store(8, 1), RangeError);
  assertEquals(marked(), []);
});

Deno.test("VolatileSlice.rawView() marks nothing, markDirty() what it is told", () => {
  const { slice, marked } = markedSlice();
  const part = slice.getSlice(16, 64).offset(8);
  part.rawView().fill(7);
  part.readOnlyView();
  assertEquals(marked(), []);
  part.markDirty(3, 5);
  assertEquals(marked(), [[27, 5]]);
  part.bitmap.markDirty(3, 5);
  assertEquals(marked(), [[27, 5]]);
  assertThrows(() => slice.getSlice(0, SIZE + 1), OutOfBounds);
});

Deno.test("VolatileSlice.withBitmap() marks in that bitmap, and not in its own", () => {
  const { slice, marked } = markedSlice();
  const other = new AtomicBitmap(SIZE, 1);
  slice.getSlice(16, 64).withBitmap(other, 100).getSlice(4, 8).writeObj(u16, 7, 2);
  assertEquals([marked(), [...other.dirtyRuns()]], [[], [[106, 2]]]);
});
