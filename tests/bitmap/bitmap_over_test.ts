import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  type Bitmap,
  BitmapGroup,
  dirtyRuns,
  GuestAddress,
  type GuestDirtyRun,
  GuestMemoryHeap,
  GuestMemoryMmap,
  MemoryClosed,
  Misaligned,
  MmapRegion,
  Permissions,
  takeDirty,
  u32,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { bitmapOf, pagesOf } from "../support/bitmaps.ts";

const PAGE = 4096;

function bytesAndSlice(length: number): [Uint8Array, VolatileSlice] {
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  return [bytes, VolatileSlice.from(bytes)];
}

/** A bitmap over mapped memory. */
function mapped(pages: number, marks?: "always" | "once") {
  const region = new MmapRegion(PAGE);
  const slice = region.asVolatileSlice();
  const bitmap = AtomicBitmap.over(slice, { byteSize: pages * PAGE, marks });
  return { region, slice, bitmap, [Symbol.dispose]: () => region.close() };
}

Deno.test("AtomicBitmap.over() has page n at bit n % 8 of byte n / 8, as vhost and KVM do", () => {
  const [bytes, slice] = bytesAndSlice(64);
  const bitmap = AtomicBitmap.over(slice, { byteSize: 300 * PAGE });
  for (let page = 0; page < 300; page++) {
    bitmap.markDirty(page * PAGE + page, 1);
    const wanted = new Uint8Array(64);
    wanted[page >> 3] = 1 << (page & 7);
    assertEquals(bytes, wanted);
    assertEquals([bitmap.dirtyPages, pagesOf(bitmap)], [1, [page]]);
    bytes.fill(0);
  }
  bytes[5] = 0b1000_0001;
  assertEquals([...bitmap.dirtyRuns()], [[40 * PAGE, PAGE], [47 * PAGE, PAGE]]);
});

Deno.test("AtomicBitmap.over() covers by default as much as the memory has bits for", () => {
  const [, slice] = bytesAndSlice(64);
  for (const [length, pages] of [[64, 512], [63, 480], [4, 32], [3, 0]] as const) {
    const bitmap = AtomicBitmap.over(slice.getSlice(0, length));
    assertEquals([bitmap.len, bitmap.byteSize, bitmap.pageSize], [pages, pages * PAGE, PAGE]);
  }
  const large = AtomicBitmap.over(slice, { pageSize: 65536 });
  assertEquals([large.len, large.byteSize], [512, 512 * 65536]);
});

Deno.test("AtomicBitmap.over() leaves the bits that are there", () => {
  const [bytes, slice] = bytesAndSlice(8);
  bytes[0] = 5;
  assertEquals(pagesOf(AtomicBitmap.over(slice)), [0, 2]);
});

Deno.test("AtomicBitmap.over() refuses memory that begins elsewhere, is too small, or is no memory", () => {
  const [, slice] = bytesAndSlice(64);
  for (const start of [1, 2, 3, 6]) {
    assertThrows(() => AtomicBitmap.over(slice.getSlice(start, 8)), Misaligned, "multiple of 4");
  }
  assertThrows(
    () => AtomicBitmap.over(slice.getSlice(4, 11), { byteSize: 65 * PAGE }),
    RangeError,
    "65 pages over 11 bytes: it needs 12",
  );
  AtomicBitmap.over(slice.getSlice(4, 12), { byteSize: 65 * PAGE });
  for (const wrong of [undefined, null, 1, new Uint8Array(8), {}]) {
    assertThrows(() => AtomicBitmap.over(wrong as never), TypeError, "VolatileSlice");
  }
  for (const size of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => AtomicBitmap.over(slice, { byteSize: size }), RangeError);
    assertThrows(() => AtomicBitmap.over(slice, { pageSize: size }), RangeError);
  }
  for (const marks of ["never", 1, null]) {
    assertThrows(() => AtomicBitmap.over(slice, { marks: marks as never }), TypeError, "marks");
  }
});

Deno.test("AtomicBitmap.over() refuses memory that is closed or may not be read and written", () => {
  using region = new MmapRegion(PAGE);
  const slice = region.asVolatileSlice();
  for (const protection of [Permissions.Read, Permissions.No]) {
    region.protect(protection);
    assertThrows(() => AtomicBitmap.over(slice), AccessDenied);
  }
  region.protect(Permissions.ReadWrite);
  AtomicBitmap.over(slice);
  region.close();
  assertThrows(() => AtomicBitmap.over(slice), MemoryClosed);
});

/** Everything that needs the words. */
const USES: Readonly<Record<string, (bitmap: AtomicBitmap) => unknown>> = {
  markDirty: (bitmap) => bitmap.markDirty(0, 1),
  "markDirty of many pages": (bitmap) => bitmap.markDirty(0, 50 * PAGE),
  setAddrRange: (bitmap) => bitmap.setAddrRange(0, 1),
  resetAddrRange: (bitmap) => bitmap.resetAddrRange(0, 1),
  setBit: (bitmap) => bitmap.setBit(1),
  resetBit: (bitmap) => bitmap.resetBit(1),
  isBitSet: (bitmap) => bitmap.isBitSet(1),
  isAddrSet: (bitmap) => bitmap.isAddrSet(PAGE),
  dirtyAt: (bitmap) => bitmap.dirtyAt(PAGE),
  dirtyPages: (bitmap) => bitmap.dirtyPages,
  dirtyRuns: (bitmap) => bitmap.dirtyRuns(),
  reset: (bitmap) => bitmap.reset(),
  getAndReset: (bitmap) => bitmap.getAndReset(),
  drainInto: (bitmap) => bitmap.drainInto(bitmapOf(64)),
  "drainInto as the target": (bitmap) => bitmapOf(64, [3]).drainInto(bitmap),
  merge: (bitmap) => bitmap.merge(bitmapOf(64, [3])),
  "merge of a log": (bitmap) => bitmap.merge(Uint8Array.of(1)),
  "merge as the source": (bitmap) => bitmapOf(64).merge(bitmap),
  "markDirty of a slice": (bitmap) => bitmap.sliceAt(PAGE).markDirty(0, 1),
  "forEachDirtyRun of a slice": (bitmap) => bitmap.sliceAt(PAGE).forEachDirtyRun(() => {}),
};

for (const [name, use] of Object.entries(USES)) {
  Deno.test(`AtomicBitmap over memory: ${name} throws once the memory may not be accessed`, () => {
    for (const marks of ["always", "once"] as const) {
      using over = mapped(64, marks);
      const { region, bitmap } = over;
      bitmap.markDirty(0, 1);
      region.protect(Permissions.Read);
      assertThrows(() => use(bitmap), AccessDenied);
      region.protect(Permissions.No);
      assertThrows(() => use(bitmap), AccessDenied);
      region.protect(Permissions.ReadWrite);
      assertEquals(pagesOf(bitmap), [0]);
      use(bitmap);
      region.close();
      assertThrows(() => use(bitmap), MemoryClosed);
    }
  });
}

Deno.test("AtomicBitmap over memory that is closed leaves the marks where they were to go from", () => {
  using over = mapped(64);
  const source = bitmapOf(64, [3, 40]);
  const [, slice] = bytesAndSlice(8);
  const given = AtomicBitmap.over(slice);
  given.setBit(5);
  over.region.close();
  for (const from of [source, given]) {
    assertThrows(() => from.drainInto(over.bitmap), MemoryClosed);
  }
  assertEquals([pagesOf(source), pagesOf(given)], [[3, 40], [5]]);
});

Deno.test("AtomicBitmap over memory moves no mark if one has no place in the target", () => {
  const [, slice] = bytesAndSlice(16);
  const given = AtomicBitmap.over(slice);
  for (const page of [1, 100]) given.setBit(page);
  const small = bitmapOf(64);
  assertThrows(() => given.drainInto(small), RangeError);
  assertThrows(() => small.merge(given), RangeError);
  assertEquals([pagesOf(given), pagesOf(small)], [[1, 100], []]);
});

Deno.test("AtomicBitmap over memory lists its runs, whatever the callback does to the memory", () => {
  for (const change of ["close", "narrow", "clean"] as const) {
    using over = mapped(200);
    const { bitmap, region } = over;
    for (const page of [0, 5, 6, 31, 32, 190]) bitmap.setBit(page);
    const runs: number[] = [];
    bitmap.forEachDirtyRun((offset, length) => {
      runs.push(offset / PAGE, length / PAGE);
      if (change === "close") region.close();
      else if (change === "narrow") region.protect(Permissions.No);
      else bitmap.resetAddrRange(offset, length);
    });
    assertEquals(runs, [0, 1, 5, 2, 31, 2, 190, 1]);
    if (change === "clean") assertEquals(bitmap.dirtyPages, 0);
  }
});

Deno.test("AtomicBitmap.getAndReset() over memory takes the words of its pages alone", () => {
  const [bytes, slice] = bytesAndSlice(12);
  bytes.fill(0xff);
  const bitmap = AtomicBitmap.over(slice.getSlice(4, 4), { byteSize: 30 * PAGE });
  assertThrows(() => bitmap.getAndReset(new Uint32Array(1)), RangeError, "2 words in 1");
  const words = new Uint32Array(3).fill(7);
  assertStrictEquals(bitmap.getAndReset(words), words);
  assertEquals([...words], [0x3fff_ffff, 0, 7]);
  assertEquals([...new Uint32Array(bytes.buffer)], [0xffff_ffff, 0xc000_0000, 0xffff_ffff]);
});

Deno.test("AtomicBitmap over memory has no buffer, and says so when it is to be sent or enlarged", () => {
  using over = mapped(64);
  const { bitmap } = over;
  assertThrows(() => bitmap.buffer, TypeError, "over given memory");
  assertThrows(() => bitmap.enlarge(PAGE), TypeError, "over given memory");
  assertThrows(() => bitmap.enlarge(-1), RangeError);
  for (const part of [bitmap, bitmap.sliceAt(PAGE)]) {
    using tracked = new MmapRegion(PAGE, { bitmap: () => part });
    assertThrows(() => tracked.share(), TypeError, "its bitmap is over given memory");
  }
});

Deno.test("AtomicBitmap over memory says what it covers, and when it cannot be accessed", () => {
  using over = mapped(256);
  over.bitmap.markDirty(0, 2 * PAGE);
  assertEquals(`${over.bitmap}`, "AtomicBitmap 1 MiB, 2 of 256 pages of 4 KiB dirty");
  const text = "AtomicBitmap 1 MiB, 256 pages of 4 KiB in memory that may not be accessed";
  over.region.protect(Permissions.Read);
  assertEquals(`${over.bitmap}`, text);
  over.region.close();
  assertEquals(`${over.bitmap}`, text);
});

/** Counts the atomic writes of a function. */
function atomicOrs(run: () => void): number {
  const { or } = Atomics;
  let count = 0;
  Atomics.or = ((...args: Parameters<typeof or>) => (count++, or(...args))) as typeof or;
  try {
    run();
  } finally {
    Atomics.or = or;
  }
  return count;
}

Deno.test("AtomicBitmap.over() marks always unless it is asked to mark once", () => {
  for (const [marks, again] of [[undefined, 1], ["always", 1], ["once", 0]] as const) {
    using over = mapped(64, marks);
    const { bitmap } = over;
    const marked = bitmapOf(64, [7]);
    const calls = [
      () => bitmap.markDirty(7 * PAGE, 8),
      () => bitmap.markDirty(7 * PAGE, 2 * PAGE),
      () => bitmap.setBit(7),
      () => bitmap.setAddrRange(7 * PAGE, 1),
      () => bitmap.sliceAt(PAGE).markDirty(6 * PAGE, 1),
      () => bitmap.merge(marked),
    ];
    for (const call of calls) {
      call();
      assertEquals(atomicOrs(call), again, `${marks}: ${call}`);
    }
    // One for each word.
    bitmap.reset();
    assertEquals(atomicOrs(() => bitmap.markDirty(0, 64 * PAGE)), 2);
    // Nothing to mark is no access.
    assertEquals(atomicOrs(() => bitmap.merge(bitmapOf(64))), 0);
  }
});

Deno.test("a write to memory whose bitmap is in the same memory marks its pages and nothing else", () => {
  using region = new MmapRegion(16 * PAGE);
  const slice = region.asVolatileSlice();
  const log = slice.getSlice(8 * PAGE, 4);
  const bitmap = AtomicBitmap.over(log, { byteSize: 16 * PAGE });
  const tracked = slice.withBitmap(bitmap);
  tracked.writeObj(u32, 1, 3 * PAGE);
  assertEquals(pagesOf(bitmap), [3]);
  // A bitmap over memory that is tracked, by itself, does not mark the page that its bits are in.
  const inside = AtomicBitmap.over(tracked.getSlice(8 * PAGE, 4));
  inside.setBit(4);
  assertEquals(pagesOf(bitmap), [3, 4]);
  // Who writes the bits like any other memory marks their page.
  tracked.writeObj(u32, 0, 8 * PAGE);
  assertEquals(pagesOf(bitmap), [8]);
});

Deno.test("guest memory may have its dirty log in itself", () => {
  const group = new BitmapGroup();
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 64 * PAGE]], {
    bitmap: () => group,
  });
  const log = AtomicBitmap.over(memory.getSlice(GuestAddress(PAGE), 8));
  group.add(log);
  memory.write(new Uint8Array(2 * PAGE), GuestAddress(40 * PAGE));
  memory.store(u32, 7, GuestAddress(60 * PAGE));
  assertEquals(pagesOf(log), [40, 41, 60]);
});

Deno.test("a write to tracked memory throws once the memory of its bitmap is closed", () => {
  using over = mapped(1);
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]], {
    bitmap: () => over.bitmap,
  });
  memory.writeObj(u8, 1, GuestAddress(0));
  over.region.close();
  assertThrows(() => memory.writeObj(u8, 2, GuestAddress(0)), MemoryClosed);
  assertThrows(() => memory.write(Uint8Array.of(3), GuestAddress(0)), MemoryClosed);
  assertThrows(() => memory.store(u8, 4, GuestAddress(0)), MemoryClosed);
});

Deno.test("a bitmap that is closed by the value that is written throws", () => {
  using over = mapped(1);
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]], {
    bitmap: () => over.bitmap,
  });
  const closing = { ...u8, write: () => over.region.close() } as typeof u8;
  assertThrows(() => memory.writeObj(closing, 2, GuestAddress(0)), MemoryClosed);
});

const runs = (...list: [number, number][]) => list as unknown as GuestDirtyRun[];

function heapOf(ranges: readonly (readonly [number, number])[], bitmap: (at: number) => Bitmap) {
  return GuestMemoryHeap.fromRanges(ranges.map(([at, length]) => [GuestAddress(at), length]), {
    bitmap: (_length, start) => bitmap(start),
  });
}

Deno.test("takeDirty() takes the marks of regions that share a log", () => {
  const [bytes, slice] = bytesAndSlice(8);
  const log = AtomicBitmap.over(slice, { pageSize: 0x100 });
  using memory = heapOf([[0x80, 0x200], [0x300, 0x400]], (at) => log.sliceAt(at));
  memory.write(new Uint8Array(2), GuestAddress(0xff));
  memory.write(new Uint8Array(2), GuestAddress(0x4ff));
  const taken = takeDirty(memory);
  assertEquals(bytes, new Uint8Array(8));
  assertEquals([...taken], runs([0x80, 0x180], [0x400, 0x200]));
  taken.putBack();
  assertEquals([...dirtyRuns(memory)], runs([0x80, 0x180], [0x400, 0x200]));
  assertEquals(bytes[0], 0b11_0011);
});

Deno.test("takeDirty() distinguishes logs that are in one memory, and knows the same words again", () => {
  const [, slice] = bytesAndSlice(16);
  const options = { pageSize: 0x100 } as const;
  const logs = [
    // The first two have the same words, of which the second has more.
    AtomicBitmap.over(slice, { ...options, byteSize: 0x400 }),
    AtomicBitmap.over(slice, { ...options, byteSize: 0x800 }),
    AtomicBitmap.over(slice.offset(8), { ...options, byteSize: 0x800 }),
  ] as const;
  using memory = heapOf([[0, 0x380], [0x380, 0x400], [0x1000, 0x800]], (at) => {
    if (at === 0) return logs[0];
    return at === 0x380 ? logs[1].sliceAt(0x380) : logs[2];
  });
  // Page 3 is in both of the first regions.
  for (const address of [0x300, 0x700, 0x1100]) memory.writeObj(u8, 1, GuestAddress(address));
  const wanted = runs([0x300, 0x100], [0x700, 0x80], [0x1100, 0x100]);
  const taken = takeDirty(memory);
  assertEquals([...taken], wanted);
  assertEquals(logs.map((log) => log.dirtyPages), [0, 0, 0]);
  taken.putBack();
  assertEquals([...dirtyRuns(memory)], wanted);
});

Deno.test("takeDirty() keeps every mark if the memory of one bitmap is closed", () => {
  using over = mapped(4);
  const own = bitmapOf(4);
  using memory = heapOf([[0, PAGE], [PAGE, PAGE]], (at) => at === 0 ? own : over.bitmap);
  memory.writeObj(u8, 1, GuestAddress(0));
  over.region.close();
  assertThrows(() => takeDirty(memory), MemoryClosed);
  assert(own.isBitSet(0));
  assertFalse(own.isBitSet(1));
});
