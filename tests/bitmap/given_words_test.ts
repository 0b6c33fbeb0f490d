import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  AccessDenied,
  HostMemory,
  MemoryClosed,
  Misaligned,
  MmapRegion,
  OutOfBounds,
  Permissions,
} from "../../mod.ts";
import { GivenWords } from "../../src/bitmap/given_words.ts";
import { clear, mark, markAlways } from "../../src/bitmap/words.ts";

function memoryOf(length: number): HostMemory {
  return new HostMemory(new SharedArrayBuffer(length));
}

Deno.test("GivenWords has as many pages as its place has bits in whole words", () => {
  for (const [len, capacity] of [[0, 0], [3, 0], [4, 32], [7, 32], [16, 128]] as const) {
    assertEquals(new GivenWords({ memory: memoryOf(32), start: 8, len }, mark).capacity, capacity);
  }
});

Deno.test("GivenWords refuses a place that begins at no multiple of 4", () => {
  for (const start of [1, 2, 3, 5, 30]) {
    const error = assertThrows(
      () => new GivenWords({ memory: memoryOf(64), start, len: 16 }, mark),
      Misaligned,
    );
    assertEquals([error.address, error.alignment], [start, 4]);
  }
});

Deno.test("GivenWords refuses too few bytes: it names the pages, and the bytes there and needed", () => {
  for (const [pages, len, needed] of [[33, 4, 8], [1, 3, 4], [1, 0, 4], [256, 31, 32]] as const) {
    const words = new GivenWords({ memory: memoryOf(64), start: 0, len }, mark);
    assertThrows(
      () => words.use(pages),
      RangeError,
      `Cannot make a bitmap of ${pages} pages over ${len} bytes: it needs ${needed}`,
    );
  }
});

Deno.test("GivenWords refuses what is no place in memory", () => {
  const memory = memoryOf(64);
  const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
    [undefined, TypeError],
    [null, TypeError],
    [7, TypeError],
    [new Uint8Array(64), TypeError],
    [{ memory: { i32: new Int32Array(4) }, start: 0, len: 16 }, TypeError],
    [{ memory, start: "0", len: 16 }, TypeError],
    [{ memory, start: 0 }, TypeError],
    [{ memory, start: -4, len: 16 }, RangeError],
    [{ memory, start: 0, len: -16 }, RangeError],
    [{ memory, start: 0, len: NaN }, RangeError],
  ];
  for (const [place, kind] of wrong) {
    assertThrows(() => new GivenWords(place as never, mark), kind);
  }
});

Deno.test("GivenWords refuses a place that claims more than the memory has", () => {
  const words = new GivenWords({ memory: memoryOf(64), start: 32, len: 1024 }, mark);
  const error = assertThrows(() => words.use(1024), OutOfBounds);
  assertEquals(error.address, 32 + 128);
  words.use(256);
  words.setBit(255);
});

Deno.test("GivenWords reads its place once", () => {
  const reads: string[] = [];
  const place = new Proxy({ memory: memoryOf(64), start: 0, len: 16 }, {
    get: (target, name) => (reads.push(String(name)), Reflect.get(target, name)),
  });
  const words = new GivenWords(place, mark);
  words.use(128);
  words.setBit(3);
  assertEquals(reads, ["memory", "start", "len"]);
});

Deno.test("GivenWords.setBit(), resetBit() and isBitSet() change and see bits of its pages alone", () => {
  for (const change of [mark, markAlways]) {
    const memory = memoryOf(32);
    const words = new GivenWords({ memory, start: 8, len: 8 }, change);
    words.use(33);
    for (const page of [0, 31, 32]) words.setBit(page);
    for (const page of [-1, 33, 63, NaN, Infinity, 2 ** 32]) {
      words.setBit(page);
      assertFalse(words.isBitSet(page));
    }
    assertEquals([...memory.u32], [0, 0, 0x8000_0001, 1, 0, 0, 0, 0]);
    memory.u32.fill(0xffff_ffff);
    for (const page of [-1, 0, 32, 33]) words.resetBit(page);
    assertEquals([...memory.u32].map((word) => ~word >>> 0), [0, 0, 1, 1, 0, 0, 0, 0]);
    assert(words.isBitSet(31));
  }
});

Deno.test("GivenWords.forPages() changes each word of the pages once", () => {
  const memory = memoryOf(32);
  const words = new GivenWords({ memory, start: 4, len: 16 }, mark);
  words.use(128);
  words.forPages(31, 66, markAlways);
  assertEquals([...memory.u32], [0, 0x8000_0000, 0xffff_ffff, 3, 0, 0, 0, 0]);
  words.forPages(64, 65, clear);
  words.forPages(40, 40, clear);
  words.forPages(41, 40, clear);
  assertEquals([...memory.u32], [0, 0x8000_0000, 0xffff_ffff, 2, 0, 0, 0, 0]);
});

Deno.test("GivenWords throws once its memory is closed or may not be read and written", () => {
  const region = new MmapRegion(32);
  const { memory } = region.asVolatileSlice();
  const words = new GivenWords({ memory, start: 0, len: 32 }, markAlways);
  words.use(64);
  assert(words.accessible);
  for (
    const [permissions, access] of [
      [Permissions.Read, "write"],
      [Permissions.No, "write"],
      [Permissions.Write, "read"],
    ] as const
  ) {
    region.protect(permissions);
    assertFalse(words.accessible);
    assertEquals(assertThrows(() => words.setBit(0), AccessDenied).access, access);
    assertThrows(() => words.forPages(0, 64, markAlways), AccessDenied);
    const place = { memory, start: 0, len: 32 };
    assertThrows(() => new GivenWords(place, mark).use(1), AccessDenied);
  }
  region.protect(Permissions.ReadWrite);
  words.setBit(0);
  memory.close();
  assertFalse(words.accessible);
  assertThrows(() => words.words, MemoryClosed);
  assertThrows(() => words.isBitSet(0), MemoryClosed);
  assertThrows(() => words.resetBit(0), MemoryClosed);
  assertThrows(() => new GivenWords({ memory, start: 0, len: 32 }, mark), MemoryClosed);
});

Deno.test("GivenWords takes the arrays of its memory anew for each operation", () => {
  const arrays = [new Int32Array(8), new Int32Array(8), new Int32Array(0)];
  class Replacing extends HostMemory {
    override readonly i32 = arrays[0]!;
  }
  const memory = new Replacing(new SharedArrayBuffer(32));
  const words = new GivenWords({ memory, start: 0, len: 32 }, markAlways);
  words.use(256);
  for (const array of arrays.slice(0, 2)) {
    Object.assign(memory, { i32: array });
    words.setBit(33);
    assertEquals(array[1], 2);
  }
  // An array that was emptied is refused, and takes no mark in silence.
  Object.assign(memory, { i32: arrays[2] });
  assertFalse(words.accessible);
  assertThrows(() => words.setBit(33), OutOfBounds);
});

Deno.test("GivenWords.words of memory that was closed throws, also where its arrays are left", () => {
  const memory = memoryOf(64);
  const given = new GivenWords({ memory, start: 0, len: 64 }, mark);
  given.use(64);
  memory.close();
  assertThrows(() => given.words, MemoryClosed);
  assertThrows(() => given.setBit(1), MemoryClosed);
  // No pages are no access.
  for (const [first, end] of [[3, 3], [5, 3], [0, 0]] as const) {
    given.forPages(first, end, () => assert(false));
  }
  assertEquals(memory.i32[0], 0);
});
