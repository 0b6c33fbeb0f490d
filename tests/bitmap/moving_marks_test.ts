import { assertEquals, assertThrows } from "@std/assert";
import { AtomicBitmap } from "../../mod.ts";
import { bitmapOf, pagesOf } from "../support/bitmaps.ts";

Deno.test("AtomicBitmap.drainInto() moves the marks to those that are there", () => {
  const bitmap = bitmapOf(130, [0, 64, 129]);
  const taken = bitmapOf(130, [1, 64]);
  bitmap.drainInto(taken);
  assertEquals([pagesOf(bitmap), pagesOf(taken)], [[], [0, 1, 64, 129]]);
  bitmap.drainInto(taken);
  assertEquals(pagesOf(taken), [0, 1, 64, 129]);
});

Deno.test("AtomicBitmap.drainInto() and merge() put back what was taken", () => {
  const bitmap = bitmapOf(130, [0, 64, 129]);
  const taken = bitmapOf(130);
  bitmap.drainInto(taken);
  bitmap.setBit(5);
  bitmap.merge(taken);
  assertEquals([pagesOf(bitmap), pagesOf(taken)], [[0, 5, 64, 129], [0, 64, 129]]);
});

Deno.test("AtomicBitmap.drainInto() and merge() take a larger target, and no smaller one", () => {
  const bitmap = bitmapOf(65, [64]);
  const larger = bitmapOf(66, [65]);
  bitmap.drainInto(larger);
  assertEquals([pagesOf(bitmap), pagesOf(larger)], [[], [64, 65]]);
  // A range that the smaller one has may be moved, whatever is marked behind it.
  assertThrows(() => larger.drainInto(bitmap), RangeError, "page 65: there are 65");
  assertThrows(() => bitmap.merge(larger), RangeError, "page 65: there are 65");
  assertEquals([pagesOf(bitmap), pagesOf(larger)], [[], [64, 65]]);
  bitmap.merge(larger, 0, 65 * 4096);
  assertEquals([pagesOf(bitmap), pagesOf(larger)], [[64], [64, 65]]);
  larger.drainInto(bitmap, 0, 65 * 4096);
  assertEquals([pagesOf(bitmap), pagesOf(larger)], [[64], [65]]);
  larger.reset();
  bitmap.merge(larger);
  assertEquals(pagesOf(bitmap), [64]);
});

Deno.test("AtomicBitmap.drainInto() and merge() refuse pages of another size, and change nothing", () => {
  const bitmap = bitmapOf(65, [64]);
  const other = new AtomicBitmap(65 * 128, 128);
  other.setBit(1);
  assertThrows(() => bitmap.drainInto(other), RangeError, "pages of 128");
  assertThrows(() => bitmap.merge(other), RangeError, "pages of 4096");
  assertEquals([pagesOf(bitmap), pagesOf(other)], [[64], [1]]);
});

Deno.test("AtomicBitmap.drainInto() and merge() refuse what is no range, and change nothing", () => {
  const bitmap = bitmapOf(65, [0, 64]);
  const other = bitmapOf(65, [1]);
  for (
    const [offset, length] of [[-1, 5], [-4096, 4096], [NaN, 1], [0, -1], [0, NaN], [70 * 4096, -1]]
  ) {
    assertThrows(() => bitmap.drainInto(other, offset, length), RangeError);
    assertThrows(() => bitmap.merge(other, offset, length), RangeError);
  }
  assertEquals([pagesOf(bitmap), pagesOf(other)], [[0, 64], [1]]);
});

Deno.test("AtomicBitmap.drainInto() and merge() of a range move its pages, also those in it in part", () => {
  const all = [0, 31, 32, 33, 64, 129];
  const ranges: [offset: number, length: number, moved: number[]][] = [
    [0, 130 * 4096, all],
    [31 * 4096, 3 * 4096, [31, 32, 33]],
    [31 * 4096 + 4095, 4096 + 2, [31, 32, 33]],
    [32 * 4096, 1, [32]],
    [33 * 4096 - 1, 1, [32]],
    [65 * 4096, 64 * 4096, []],
    [129 * 4096, Infinity, [129]],
    [130 * 4096, 4096, []],
    [32 * 4096, 0, []],
  ];
  for (const [offset, length, moved] of ranges) {
    const bitmap = bitmapOf(130, all);
    const taken = bitmapOf(130, [7]);
    bitmap.drainInto(taken, offset, length);
    const left = all.filter((page) => !moved.includes(page));
    const expected = [...moved, 7].sort((a, b) => a - b);
    assertEquals([pagesOf(bitmap), pagesOf(taken)], [left, expected]);
    const merged = bitmapOf(130);
    merged.merge(bitmapOf(130, all), offset, length);
    assertEquals(pagesOf(merged), moved);
  }
});

Deno.test("AtomicBitmap.drainInto() and merge() of no bytes move nothing, also inside of a page", () => {
  const bitmap = bitmapOf(65, [0, 64]);
  const taken = bitmapOf(65);
  bitmap.drainInto(taken, 100, 0);
  taken.merge(bitmap, 64 * 4096 + 1, 0);
  assertEquals([pagesOf(bitmap), pagesOf(taken)], [[0, 64], []]);
});

Deno.test("AtomicBitmap.merge() of a KVM dirty log marks page n for bit n", () => {
  const bitmap = bitmapOf(70, [2]);
  const log = new Uint8Array(16);
  log[0] = 0b1000_0001;
  log[3] = 0b1000_0000;
  log[4] = 1;
  log[8] = 0b11_1111;
  bitmap.merge(log);
  assertEquals(pagesOf(bitmap), [0, 2, 7, 31, 32, 64, 65, 66, 67, 68, 69]);
  assertEquals(log.filter((byte) => byte !== 0).length, 4);
});

Deno.test("merge() of a log into a slice marks from the slice's first page", () => {
  for (const firstPage of [0, 1, 31, 32, 33, 63, 64, 96, 167]) {
    const bitmap = bitmapOf(200, [1]);
    bitmap.sliceAt(firstPage * 4096).merge(Uint8Array.of(0b10, 0, 0, 0b1000_0000, 1));
    assertEquals(pagesOf(bitmap), [...new Set([1, firstPage + 1, firstPage + 31, firstPage + 32])]);
  }
  for (const firstPage of [-32, -1, 0.5, 32.5, NaN, Infinity, 200, 2 ** 40]) {
    const bitmap = bitmapOf(200);
    const slice = bitmap.sliceAt(firstPage * 4096);
    assertThrows(() => slice.merge(Uint8Array.of(1)), RangeError, "", `${firstPage}`);
    assertEquals(bitmap.dirtyPages, 0);
  }
});

Deno.test("merge() of a range of a log marks the pages of the range", () => {
  const bitmap = bitmapOf(70);
  bitmap.merge(Uint8Array.of(255, 255), 3 * 4096, 7 * 4096);
  assertEquals(pagesOf(bitmap), [3, 4, 5, 6, 7, 8, 9]);
  bitmap.reset();
  bitmap.sliceAt(60 * 4096).merge(Uint8Array.of(255, 255), 4096, 2 * 4096);
  assertEquals(pagesOf(bitmap), [61, 62]);
});

Deno.test("merge() takes the padding of a log, and refuses marks in it", () => {
  for (const [pages, firstPage, mistake] of [[70, 0, 70], [70, 64, 6], [1, 0, 1], [1, 0, 63]]) {
    const bitmap = bitmapOf(pages!);
    const slice = bitmap.sliceAt(firstPage! * 4096);
    const log = new Uint8Array(16);
    slice.merge(log);
    log[mistake! >> 3] = 1 << (mistake! & 7);
    const page = firstPage! + mistake!;
    assertThrows(() => slice.merge(log), RangeError, `page ${page}: there are ${pages}`);
    assertEquals(bitmap.dirtyPages, 0);
  }
});

Deno.test("slices move marks by whole pages, wherever they begin", () => {
  const bitmap = bitmapOf(130, [3, 4, 40, 129]);
  const taken = bitmapOf(130, [1]);
  // Both begin 100 bytes after the start of a page.
  bitmap.sliceAt(3 * 4096 + 100).drainInto(taken.sliceAt(64 * 4096 + 100), 0, 40 * 4096);
  assertEquals([pagesOf(bitmap), pagesOf(taken)], [[129], [1, 64, 65, 101]]);
  bitmap.sliceAt(40 * 4096).merge(taken.sliceAt(101 * 4096));
  assertEquals(pagesOf(bitmap), [40, 129]);
  bitmap.sliceAt(0).drainInto(taken.sliceAt(0), 40 * 4096, 4096);
  assertEquals([pagesOf(bitmap), pagesOf(taken)], [[129], [1, 40, 64, 65, 101]]);
});

Deno.test("slices that are not whole pages apart refuse to move marks, and change nothing", () => {
  const bitmap = bitmapOf(130, [3]);
  const taken = bitmapOf(130, [1]);
  for (const shift of [1, 4095, 4097, 0.5]) {
    assertThrows(() => bitmap.drainInto(taken.sliceAt(shift)), RangeError, `by ${shift} bytes`);
    assertThrows(() => bitmap.sliceAt(shift).drainInto(taken), RangeError, `by ${-shift} bytes`);
    assertThrows(() => bitmap.merge(taken.sliceAt(shift)), RangeError, `by ${-shift} bytes`);
    assertThrows(() => bitmap.sliceAt(shift).merge(taken), RangeError, `by ${shift} bytes`);
  }
  assertThrows(() => bitmap.drainInto(taken.sliceAt(4096)), RangeError, "page 130: there are 130");
  assertThrows(() => bitmap.sliceAt(4096).drainInto(taken.sliceAt(-4096)), RangeError);
  assertEquals([pagesOf(bitmap), pagesOf(taken)], [[3], [1]]);
});

Deno.test("slices of one bitmap refuse to move marks up and down in it, and change nothing", () => {
  const bitmap = bitmapOf(8, [1, 6]);
  const low = bitmap.sliceAt(0);
  const high = bitmap.sliceAt(4 * 4096);
  for (const [from, to] of [[low, high], [high, low]] as const) {
    assertThrows(() => from.drainInto(to, 0, 4 * 4096), RangeError, "within a bitmap");
    assertThrows(() => to.merge(from, 0, 4 * 4096), RangeError, "within a bitmap");
  }
  assertEquals(pagesOf(bitmap), [1, 6]);
});

Deno.test("BitmapSlice.drainInto() of a slice behind the end of its bitmap refuses", () => {
  const bitmap = bitmapOf(4, [3]);
  const target = bitmapOf(8);
  assertThrows(() => bitmap.sliceAt(5 * 4096).drainInto(target), RangeError, "-4096 bytes");
  bitmap.sliceAt(4 * 4096).drainInto(target);
  bitmap.sliceAt(3 * 4096).drainInto(target);
  assertEquals([pagesOf(bitmap), pagesOf(target)], [[], [0]]);
});
