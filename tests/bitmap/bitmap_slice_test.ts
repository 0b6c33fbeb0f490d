import { assertEquals, assertStrictEquals } from "@std/assert";
import { AtomicBitmap, BitmapSlice } from "../../mod.ts";

const SIZE = 64 * 128;

function bitmapOf(): AtomicBitmap {
  return new AtomicBitmap(SIZE, 128);
}

Deno.test("AtomicBitmap.sliceAt() gives a BitmapSlice of it", () => {
  const bitmap = bitmapOf();
  const slice = bitmap.sliceAt(200);
  assertEquals(slice instanceof BitmapSlice, true);
  assertStrictEquals(slice.bitmap, bitmap);
  assertEquals([slice.offset, bitmap.sliceAt(0).offset], [200, 0]);
});

Deno.test("BitmapSlice.markDirty() marks from its offset on", () => {
  const bitmap = bitmapOf();
  bitmap.sliceAt(200).markDirty(55, 1);
  assertEquals([...bitmap.dirtyRuns()], [[128, 128]]);
  bitmap.sliceAt(200).markDirty(56, 1);
  assertEquals([...bitmap.dirtyRuns()], [[128, 256]]);
  bitmap.sliceAt(200).markDirty(0, 0);
  assertEquals(bitmap.dirtyPages, 2);
});

Deno.test("BitmapSlice.dirtyAt() asks from its offset on", () => {
  const bitmap = bitmapOf();
  bitmap.setBit(2);
  const slice = bitmap.sliceAt(200);
  assertEquals([0, 55, 56, 183, 184].map((at) => slice.dirtyAt(at)), [
    false,
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("BitmapSlice.sliceAt() adds the offsets up", () => {
  const bitmap = bitmapOf();
  const slice = bitmap.sliceAt(100).sliceAt(20).sliceAt(0).sliceAt(8);
  assertEquals([slice.offset, slice.bitmap === bitmap], [128, true]);
  slice.markDirty(0, 1);
  assertEquals([...bitmap.dirtyRuns()], [[128, 128]]);
  assertEquals(bitmap.sliceAt(100).sliceAt(28).dirtyAt(0), true);
});

Deno.test("BitmapSlice ignores marks beyond the bitmap", () => {
  const bitmap = bitmapOf();
  bitmap.sliceAt(SIZE).markDirty(0, 1);
  bitmap.sliceAt(SIZE - 1).markDirty(1, 100);
  bitmap.sliceAt(2 ** 53 - 1).markDirty(2 ** 53 - 1, 2 ** 53 - 1);
  assertEquals(bitmap.dirtyPages, 0);
  assertEquals(bitmap.sliceAt(SIZE).dirtyAt(0), false);
  bitmap.sliceAt(SIZE - 1).markDirty(0, 2 ** 53 - 1);
  assertEquals([...bitmap.dirtyRuns()], [[SIZE - 128, 128]]);
});

Deno.test("BitmapSlice sees what the bitmap covers after enlarge()", () => {
  const bitmap = bitmapOf();
  const slice = bitmap.sliceAt(SIZE);
  bitmap.enlarge(128);
  slice.markDirty(0, 1);
  assertEquals([slice.dirtyAt(127), bitmap.isBitSet(64)], [true, true]);
});

Deno.test("BitmapSlice.forEachDirtyRun() gives offsets from its own start, cut off at its ends", () => {
  const bitmap = bitmapOf();
  bitmap.setAddrRange(128, 256);
  bitmap.setBit(63);
  const slice = bitmap.sliceAt(200);
  const runs = (...range: number[]): number[][] => {
    const runs: number[][] = [];
    slice.forEachDirtyRun((offset, length) => runs.push([offset, length]), ...range);
    return runs;
  };
  assertEquals(runs(), [[0, 184], [SIZE - 328, 128]]);
  assertEquals(runs(10), [[10, 174], [SIZE - 328, 128]]);
  assertEquals(runs(10, 20), [[10, 20]]);
  assertEquals(runs(0, SIZE), [[0, 184], [SIZE - 328, 128]]);
  assertEquals(runs(184, 100), []);
  assertEquals(runs(5, 0), []);
  assertEquals(runs(SIZE), []);
});
