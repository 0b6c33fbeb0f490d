import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { AtomicBitmap } from "../../mod.ts";
import { bitmapOf, PAGE_SIZES, pagesOf } from "../support/bitmaps.ts";

const BEYOND = [2 ** 31, 2 ** 32, 2 ** 53 - 1, Infinity];

Deno.test("AtomicBitmap has a bit for each page, and one for a last page that is not whole", () => {
  const sizes: [byteSize: number, pageSize: number, len: number][] = [
    [0, 1, 0],
    [0, 4096, 0],
    [1, 1, 1],
    [1, 4096, 1],
    [1024, 128, 8],
    [1025, 128, 9],
    [999, 1000, 1],
    [1000, 1000, 1],
    [1001, 1000, 2],
    [65, 1, 65],
    [64 * 4096 + 1, 4096, 65],
    [10 * 65536 - 1, 65536, 10],
    [2 ** 53 - 1, 2 ** 53 - 1, 1],
  ];
  for (const [byteSize, pageSize, len] of sizes) {
    const bitmap = new AtomicBitmap(byteSize, pageSize);
    assertEquals(
      [bitmap.byteSize, bitmap.pageSize, bitmap.len, bitmap.dirtyPages],
      [byteSize, pageSize, len, 0],
    );
    assertEquals(bitmap.buffer.byteLength, Math.ceil(len / 64) * 8);
  }
  assertEquals(new AtomicBitmap(8192).pageSize, 4096);
});

Deno.test("AtomicBitmap refuses sizes that are none", () => {
  for (const size of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => new AtomicBitmap(size), RangeError, `${size}`);
    assertThrows(() => new AtomicBitmap(4096, size), RangeError, `${size}`);
  }
  assertThrows(() => new AtomicBitmap(4096, 0), RangeError, "0 bytes");
});

Deno.test("AtomicBitmap of no bytes takes every call and stays empty", () => {
  const bitmap = new AtomicBitmap(0);
  bitmap.setBit(0);
  bitmap.markDirty(0, 1);
  bitmap.setAddrRange(0, 2 ** 53 - 1);
  bitmap.resetAddrRange(0, 4096);
  bitmap.merge(new Uint8Array(8));
  bitmap.drainInto(new AtomicBitmap(0));
  bitmap.reset();
  assertEquals(
    [bitmap.isBitSet(0), bitmap.isAddrSet(0), bitmap.dirtyAt(0), bitmap.dirtyPages],
    [false, false, false, 0],
  );
  assertEquals([bitmap.getAndReset(), [...bitmap.dirtyRuns()]], [new Uint32Array(0), []]);
});

for (const pageSize of PAGE_SIZES) {
  Deno.test(`AtomicBitmap with pages of ${pageSize} marks each page that a range touches`, () => {
    const pages = 70;
    const last = pageSize - 1;
    const ranges: [offset: number, length: number, first: number, end: number][] = [
      [0, 1, 0, 1],
      [0, pageSize, 0, 1],
      [0, pageSize + 1, 0, 2],
      [last, 1, 0, 1],
      [last, 2, 0, 2],
      [pageSize, pageSize + 1, 1, 3],
      [31 * pageSize, pageSize, 31, 32],
      [31 * pageSize + last, 2, 31, 33],
      [0, 64 * pageSize, 0, 64],
      [63 * pageSize, pageSize + 1, 63, 65],
      [5 * pageSize + last, 64 * pageSize + 1, 5, 70],
      [69 * pageSize, 2 ** 53 - 1 - 69 * pageSize, 69, 70],
      [0, Infinity, 0, 70],
      [0, 0, 0, 0],
      [5 * pageSize, 0, 0, 0],
      [70 * pageSize, pageSize, 0, 0],
    ];
    for (const [offset, length, first, end] of ranges) {
      const expected = Array.from({ length: end - first }, (_, i) => first + i);
      for (const method of ["markDirty", "setAddrRange"] as const) {
        const bitmap = bitmapOf(pages, [], pageSize);
        bitmap[method](offset, length);
        assertEquals(pagesOf(bitmap), expected, `${method}(${offset}, ${length})`);
        assertEquals(bitmap.dirtyPages, expected.length);
        for (const page of [first, end - 1]) {
          for (const at of [page * pageSize, page * pageSize + last]) {
            assertEquals([bitmap.dirtyAt(at), bitmap.isAddrSet(at)], Array(2).fill(end > first));
          }
        }
      }
      const all = new AtomicBitmap(pages * pageSize, pageSize);
      all.setAddrRange(0, pages * pageSize);
      all.resetAddrRange(offset, length);
      assertEquals(all.dirtyPages, pages - expected.length, `resetAddrRange(${offset}, ${length})`);
      assert(expected.every((page) => !all.isBitSet(page)));
    }
  });
}

Deno.test("AtomicBitmap.setBit() and resetBit() change one page", () => {
  const bitmap = bitmapOf(130);
  for (const page of [0, 31, 32, 63, 64, 129]) {
    bitmap.setBit(page);
    bitmap.setBit(page);
    assertEquals(pagesOf(bitmap), [page]);
    bitmap.resetBit(page === 0 ? 1 : page - 1);
    assertEquals(pagesOf(bitmap), [page]);
    bitmap.resetBit(page);
    assertEquals(bitmap.dirtyPages, 0);
  }
});

Deno.test("AtomicBitmap ignores what is out of range", () => {
  for (const pages of [1, 64, 70]) {
    const bitmap = bitmapOf(pages);
    for (const page of [pages, pages + 1, 127, -1, NaN, ...BEYOND]) {
      bitmap.setBit(page);
      bitmap.markDirty(page * 4096, 1);
      bitmap.setAddrRange(page * 4096, 8192);
      assertFalse(bitmap.isBitSet(page), `${page}`);
      assertFalse(bitmap.isAddrSet(page * 4096), `${page}`);
      assertFalse(bitmap.dirtyAt(page * 4096), `${page}`);
    }
    // The second page of the range before the bitmap is its first.
    assertEquals(pagesOf(bitmap), [0]);
    assertEquals(new Uint8Array(bitmap.buffer).reduce((sum, byte) => sum + byte), 1);
    for (const page of [pages, 127, NaN, ...BEYOND]) {
      bitmap.resetBit(page);
      bitmap.resetAddrRange(page * 4096, 8192);
    }
    assertEquals(pagesOf(bitmap), [0]);
    bitmap.markDirty(2 ** 53 - 1, 2 ** 53 - 1);
    bitmap.setAddrRange(2 ** 53 - 1, 1);
    assertEquals(pagesOf(bitmap), [0]);
  }
});

Deno.test("AtomicBitmap.enlarge() keeps the bits, and the new ones are clear", () => {
  const bitmap = new AtomicBitmap(8 * 1024, 128);
  bitmap.setAddrRange(128, 129);
  bitmap.setBit(63);
  bitmap.enlarge(8 * 1024);
  assertEquals([bitmap.len, bitmap.byteSize, pagesOf(bitmap)], [128, 16 * 1024, [1, 2, 63]]);
  bitmap.setBit(127);
  bitmap.enlarge(0);
  bitmap.enlarge(1);
  assertEquals([bitmap.len, bitmap.byteSize, pagesOf(bitmap)], [129, 16 * 1024 + 1, [
    1,
    2,
    63,
    127,
  ]]);
  assertEquals(bitmap.buffer.byteLength, 24);
  bitmap.enlarge(126);
  assertEquals(bitmap.len, 129);
  const grown = new AtomicBitmap(0, 1000);
  grown.enlarge(1001);
  grown.markDirty(1000, 1);
  assertEquals(pagesOf(grown), [1]);
});

Deno.test("AtomicBitmap.enlarge() by a size that is none is refused and changes nothing", () => {
  const bitmap = bitmapOf(70, [1, 69]);
  for (const size of [-1, -4096, -70 * 4096, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => bitmap.enlarge(size), RangeError, undefined, `${size}`);
    assertEquals([bitmap.len, bitmap.byteSize, pagesOf(bitmap)], [70, 70 * 4096, [1, 69]]);
  }
});

Deno.test("AtomicBitmap.getAndReset() takes the words in new ones or in the caller's", () => {
  const bitmap = new AtomicBitmap(1024, 128);
  bitmap.setAddrRange(128, 129);
  assertEquals(bitmap.getAndReset(), Uint32Array.of(0b110, 0));
  assertEquals([bitmap.dirtyPages, bitmap.getAndReset()], [0, new Uint32Array(2)]);
  const words = new Uint32Array(5).fill(7);
  const large = bitmapOf(70, [31, 32, 69]);
  assertEquals(large.getAndReset(words) === words, true);
  assertEquals(words, Uint32Array.of(2 ** 31, 1, 32, 0, 7));
  assertEquals(large.dirtyPages, 0);
});

Deno.test("AtomicBitmap.getAndReset() refuses too small an array and takes nothing", () => {
  const bitmap = bitmapOf(70, [0, 69]);
  assertThrows(() => bitmap.getAndReset(new Uint32Array(2)), RangeError, "4 words in 2");
  assertEquals(pagesOf(bitmap), [0, 69]);
});

Deno.test("AtomicBitmap.reset() clears every page", () => {
  const bitmap = bitmapOf(70);
  bitmap.setAddrRange(0, 70 * 4096);
  bitmap.reset();
  assertEquals([bitmap.dirtyPages, pagesOf(bitmap)], [0, []]);
});

Deno.test("AtomicBitmap over another's buffer shares its bits", () => {
  const first = bitmapOf(70, [3]);
  const second = new AtomicBitmap(70 * 4096, 4096, first.buffer);
  assertEquals(pagesOf(second), [3]);
  second.setBit(69);
  first.resetBit(3);
  assertEquals([pagesOf(first), pagesOf(second)], [[69], [69]]);
  const other = new AtomicBitmap(65 * 1000, 1000, new SharedArrayBuffer(1024));
  other.setBit(64);
  assertEquals([other.getAndReset().length, other.buffer.byteLength], [4, 1024]);
  assertThrows(
    () => new AtomicBitmap(65 * 4096, 4096, new SharedArrayBuffer(15)),
    RangeError,
    "15",
  );
});

Deno.test("AtomicBitmap.enlarge() leaves threads that share the old buffer with the old bits", () => {
  const first = bitmapOf(64, [1]);
  const second = new AtomicBitmap(64 * 4096, 4096, first.buffer);
  first.enlarge(4096);
  first.setBit(2);
  second.setBit(3);
  assertEquals([pagesOf(first), pagesOf(second)], [[1, 2], [1, 3]]);
});

Deno.test("AtomicBitmap.forEachDirtyRun() gives runs as long as possible, by rising offset", () => {
  const bitmap = bitmapOf(200, [0, 1, 30, 31, 32, 33, 63, 64, 100]);
  bitmap.setAddrRange(120 * 4096, 70 * 4096);
  const pages = [[0, 2], [30, 4], [63, 2], [100, 1], [120, 70]];
  assertEquals(
    bitmap.dirtyRuns(),
    pages.map(([at, count]) => [at! * 4096, count! * 4096] as const),
  );
  const all = bitmapOf(200);
  all.setAddrRange(0, 200 * 4096);
  assertEquals([...all.dirtyRuns()], [[0, 200 * 4096]]);
  assertEquals([...bitmapOf(200).dirtyRuns()], []);
});

Deno.test("AtomicBitmap.forEachDirtyRun() cuts runs off at the ends of the range and the bitmap", () => {
  const bitmap = new AtomicBitmap(3500, 1000);
  bitmap.setAddrRange(0, 3500);
  const cut: [offset: number, length: number, run: [number, number] | undefined][] = [
    [0, 3500, [0, 3500]],
    [1, 3498, [1, 3498]],
    [999, 2, [999, 2]],
    [3499, 1, [3499, 1]],
    [3000, 10_000, [3000, 500]],
    [0, 2 ** 53 - 1, [0, 3500]],
    [0, Infinity, [0, 3500]],
    [-100, 200, [0, 100]],
    [-(2 ** 20), 2 ** 21, [0, 3500]],
    [-100, 100, undefined],
    [500, 0, undefined],
    [500, -1, undefined],
    [3500, 1, undefined],
    [2 ** 53 - 1, 1, undefined],
  ];
  for (const [offset, length, run] of cut) {
    const expected = run === undefined ? [] : [run];
    assertEquals<unknown>([...bitmap.dirtyRuns(offset, length)], expected, `${offset}, ${length}`);
  }
  assertEquals([...bitmap.dirtyRuns(3400)], [[3400, 100]]);
});

Deno.test("AtomicBitmap.forEachDirtyRun() lets its callback clean the run it got", () => {
  const bitmap = bitmapOf(200, [0, 5, 6, 31, 32, 190]);
  const told: number[] = [];
  bitmap.forEachDirtyRun((offset, length) => {
    bitmap.resetAddrRange(offset, length);
    told.push(offset / 4096, length / 4096);
  });
  assertEquals([told, bitmap.dirtyPages], [[0, 1, 5, 2, 31, 2, 190, 1], 0]);
});

Deno.test("AtomicBitmap says what it covers and how much of it is dirty", () => {
  const bitmap = bitmapOf(256, [1, 2]);
  assertEquals(`${bitmap}`, "AtomicBitmap 1 MiB, 2 of 256 pages of 4 KiB dirty");
});

/** Counts the atomic writes of a function. */
function atomicWrites(run: () => void): number {
  const { or, and, exchange, store } = Atomics;
  let count = 0;
  const counted = <F extends (...args: never[]) => unknown>(method: F): F =>
    ((...args: Parameters<F>) => {
      count++;
      return method(...args);
    }) as F;
  Object.assign(Atomics, {
    or: counted(or),
    and: counted(and),
    exchange: counted(exchange),
    store: counted(store),
  });
  try {
    run();
  } finally {
    Object.assign(Atomics, { or, and, exchange, store });
  }
  return count;
}

Deno.test("AtomicBitmap of one thread: marking what is dirty does no atomic write", () => {
  const bitmap = bitmapOf(200);
  assertEquals(atomicWrites(() => bitmap.markDirty(40 * 4096, 1)), 1);
  assertEquals(atomicWrites(() => bitmap.setAddrRange(0, 100 * 4096)), 4);
  const writes = atomicWrites(() => {
    for (let page = 0; page < 100; page++) {
      bitmap.setBit(page);
      bitmap.markDirty(page * 4096 + 17, 1);
      bitmap.setAddrRange(page * 4096, 4096 * (100 - page));
      bitmap.sliceAt(page * 4096).markDirty(4095, 1);
    }
    bitmap.merge(bitmap);
    bitmap.merge(Uint8Array.of(255, 1));
  });
  assertEquals(writes, 0);
});

Deno.test({
  name: "AtomicBitmap covers 12 TiB, and pages above 2^31" +
    (hasMemory() ? "" : " (ignored: needs 1 GiB of free memory)"),
  ignore: !hasMemory(),
  fn() {
    const bitmap = new AtomicBitmap(12 * 2 ** 40, 4096);
    const last = 3 * 2 ** 30 - 1;
    assertEquals([bitmap.len, bitmap.buffer.byteLength], [last + 1, 384 * 2 ** 20]);
    const runs: [page: number, pages: number][] = [[0, 1], [2 ** 31 - 2, 40], [last - 32, 33]];
    for (const [page, pages] of runs) bitmap.markDirty(page * 4096 + 4095, (pages - 1) * 4096 + 1);
    bitmap.setBit(2 ** 31 + 1000);
    assert(bitmap.isBitSet(2 ** 31 + 1000) && bitmap.isAddrSet((2 ** 31 + 1000) * 4096));
    assertFalse(bitmap.isBitSet(1000) || bitmap.isBitSet(2 ** 31 + 999));
    bitmap.resetBit(2 ** 31 + 1000);
    bitmap.setBit(last + 1);
    assertEquals(bitmap.dirtyPages, 74);
    assertEquals([...bitmap.dirtyRuns()], runs.map(([at, count]) => [at * 4096, count * 4096]));
    bitmap.resetAddrRange(2 ** 31 * 4096, 37 * 4096);
    assertEquals([...bitmap.dirtyRuns(2 ** 30 * 4096, 2 ** 42 + 2 ** 41)], [
      [(2 ** 31 - 2) * 4096, 2 * 4096],
      [(2 ** 31 + 37) * 4096, 4096],
    ]);
  },
});

function hasMemory(): boolean {
  return Deno.systemMemoryInfo().available > 2 ** 30;
}

Deno.test("AtomicBitmap.markDirty() before the start marks nothing, and over it the first page", () => {
  for (const pageSize of [1, 49, 128, 4096]) {
    const bitmap = new AtomicBitmap(16 * pageSize, pageSize);
    for (const offset of [-0.5, -1, -pageSize, -(2 ** 31), -(2 ** 43)]) {
      bitmap.markDirty(offset, 0.25);
    }
    bitmap.markDirty(-1, 1);
    bitmap.markDirty(-pageSize, pageSize);
    assertEquals(bitmap.dirtyPages, 0);
    bitmap.markDirty(-1, 2);
    assertEquals([...bitmap.dirtyRuns()], [[0, pageSize]]);
    bitmap.markDirty(pageSize * 2 ** 32, 1);
    bitmap.markDirty(pageSize * (2 ** 32 + 3), pageSize);
    assertEquals(bitmap.dirtyPages, 1);
    for (let page = 0; page < 16; page++) bitmap.markDirty(page * pageSize, 1);
    assertEquals(bitmap.dirtyPages, 16);
  }
});
