import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { AtomicBitmap, type BitmapSlice } from "../../mod.ts";

const PAGE = 16;
const PAGES = 200;
const SIZE = PAGE * PAGES;

function bitmapOf(pages: Iterable<number>, count: number = PAGES): AtomicBitmap {
  const bitmap = new AtomicBitmap(count * PAGE, PAGE);
  for (const page of pages) bitmap.setBit(page);
  return bitmap;
}

function pagesOf(bitmap: AtomicBitmap): number[] {
  return Array.from({ length: bitmap.len }, (_, page) => page)
    .filter((page) => bitmap.isBitSet(page));
}

const sorted = (pages: Iterable<number>) => [...pages].sort((a, b) => a - b);
const pages = fc.array(fc.nat(PAGES - 1), { maxLength: 80 });
// Offsets at odd phases, near the ends of words too.
const offset = fc.oneof(fc.nat(SIZE), fc.nat(6).map((word) => word * 32 * PAGE));
const length = fc.oneof(fc.nat(SIZE), fc.nat(40), fc.constantFrom(0, 1, PAGE, 32 * PAGE));

// The pages of [begin, begin + length) as far as there are such pages.
const inRange = (begin: number, length: number) => (page: number) =>
  length > 0 && page >= Math.floor(begin / PAGE) && page < Math.ceil((begin + length) / PAGE);

fc.configureGlobal({ numRuns: 1500 });

Deno.test("AtomicBitmap.drainInto() of a range moves its pages and no other", () => {
  fc.assert(fc.property(pages, pages, offset, length, (here, there, begin, count) => {
    const source = bitmapOf(here);
    const target = bitmapOf(there);
    source.drainInto(target, begin, count);
    const moved = new Set(here.filter(inRange(begin, count)));
    assertEquals(pagesOf(source), sorted(new Set(here).difference(moved)));
    assertEquals(pagesOf(target), sorted(new Set(there).union(moved)));
  }));
});

Deno.test("AtomicBitmap.merge() of a range copies its pages and no other", () => {
  fc.assert(fc.property(pages, pages, offset, length, (here, there, begin, count) => {
    const marks = bitmapOf(there);
    const target = bitmapOf(here);
    target.merge(marks, begin, count);
    const copied = there.filter(inRange(begin, count));
    assertEquals(pagesOf(marks), sorted(new Set(there)));
    assertEquals(pagesOf(target), sorted(new Set([...here, ...copied])));
  }));
});

// Two slices with the same phase, that begin up to 5 words apart.
const slices = fc.record({ phase: fc.nat(PAGE - 1), from: fc.nat(90), to: fc.nat(90) });

Deno.test("BitmapSlice.drainInto() moves between slices at the same phase of a page", () => {
  fc.assert(
    fc.property(pages, slices, fc.nat(800), fc.nat(800), (here, { phase, from, to }, at, count) => {
      const source = bitmapOf(here);
      const target = bitmapOf([]);
      const slice = source.sliceAt(from * PAGE + phase);
      slice.drainInto(target.sliceAt(to * PAGE + phase), at, count);
      const moved = new Set(here.filter(inRange(slice.offset + at, count)));
      assertEquals(pagesOf(source), sorted(new Set(here).difference(moved)));
      assertEquals(pagesOf(target), sorted(moved).map((page) => page - from + to));
    }),
  );
});

Deno.test("BitmapSlice.merge() copies between slices at the same phase of a page", () => {
  fc.assert(
    fc.property(
      pages,
      slices,
      fc.nat(800),
      fc.nat(800),
      (there, { phase, from, to }, at, count) => {
        const marks = bitmapOf(there);
        const target = bitmapOf([]);
        const slice = target.sliceAt(to * PAGE + phase);
        slice.merge(marks.sliceAt(from * PAGE + phase), at, count);
        const copied = new Set(there.filter(inRange(from * PAGE + phase + at, count)));
        assertEquals(pagesOf(target), sorted(copied).map((page) => page - from + to));
      },
    ),
  );
});

Deno.test("drainInto() by ranges one after the other takes every page once", () => {
  fc.assert(fc.property(pages, fc.array(fc.nat(PAGES), { maxLength: 9 }), (here, cuts) => {
    const source = bitmapOf(here);
    const taken: number[] = [];
    const ends = sorted([...cuts, PAGES]);
    for (const [i, end] of ends.entries()) {
      const begin = ends[i - 1] ?? 0;
      const target = bitmapOf([]);
      source.drainInto(target, begin * PAGE, (end - begin) * PAGE);
      taken.push(...pagesOf(target));
    }
    assertEquals(taken, sorted(new Set(here)));
    assertEquals(source.dirtyPages, 0);
  }));
});

const ALL = Array.from({ length: PAGES }, (_, page) => page);
// In a page, at the end of a word, and over several words.
const BEGINS = [0, 1, PAGE, PAGE + 5, 31 * PAGE, 32 * PAGE, 33 * PAGE + 15, 150 * PAGE];

for (const begin of BEGINS) {
  const first = Math.floor(begin / PAGE);
  Deno.test(`AtomicBitmap ranges from ${begin} reach to the end by default`, () => {
    const source = bitmapOf(ALL);
    const target = bitmapOf([]);
    source.drainInto(target, begin);
    assertEquals([pagesOf(source), pagesOf(target)], [ALL.slice(0, first), ALL.slice(first)]);
    const merged = bitmapOf([]);
    merged.merge(target, begin);
    assertEquals(pagesOf(merged), ALL.slice(first));
    assertEquals([...target.dirtyRuns(begin)], [[begin, SIZE - begin]]);
    const runs: [number, number][] = [];
    target.forEachDirtyRun((at, count) => runs.push([at, count]), begin);
    assertEquals(runs, [[begin, SIZE - begin]]);
  });

  Deno.test(`BitmapSlice ranges of a slice at ${begin} reach to the end by default`, () => {
    for (const within of [0, 1, PAGE, 40 * PAGE + 3]) {
      const source = bitmapOf(ALL);
      const slice = source.sliceAt(begin);
      const from = Math.floor((begin + within) / PAGE);
      const runs: [number, number][] = [];
      slice.forEachDirtyRun((at, count) => runs.push([at, count]), within);
      assertEquals(runs, [[within, SIZE - begin - within]]);
      const target = bitmapOf([]);
      slice.drainInto(target.sliceAt(begin), within);
      assertEquals([pagesOf(source), pagesOf(target)], [ALL.slice(0, from), ALL.slice(from)]);
      const merged = bitmapOf([]);
      merged.sliceAt(begin).merge(target.sliceAt(begin), within);
      assertEquals(pagesOf(merged), ALL.slice(from));
    }
  });
}

Deno.test("BitmapSlice ranges begin at the slice by default", () => {
  const source = bitmapOf(ALL);
  const slice = source.sliceAt(33 * PAGE);
  const runs: [number, number][] = [];
  slice.forEachDirtyRun((at, count) => runs.push([at, count]));
  assertEquals(runs, [[0, SIZE - 33 * PAGE]]);
  const target = bitmapOf([]);
  slice.drainInto(target);
  assertEquals(pagesOf(target), ALL.slice(0, PAGES - 33));
  assertEquals(pagesOf(source), ALL.slice(0, 33));
});

const REFUSED: Record<string, (source: AtomicBitmap, target: AtomicBitmap | BitmapSlice) => void> =
  {
    "drainInto()": (source, target) => source.drainInto(target),
    "merge()": (source, target) => target.merge(source),
  };
for (const [name, move] of Object.entries(REFUSED)) {
  Deno.test(`${name} refuses another phase, other pages and too small a target`, () => {
    const targets = {
      "another phase": bitmapOf([]).sliceAt(1),
      "smaller pages": new AtomicBitmap(SIZE, PAGE / 2),
      "a page too few": bitmapOf([], PAGES - 1),
      "a page too far": bitmapOf([]).sliceAt(PAGE),
      "a page before the first": bitmapOf([]).sliceAt(-PAGE),
    };
    for (const [what, target] of Object.entries(targets)) {
      const source = bitmapOf(ALL);
      assertThrows(() => move(source, target), RangeError, "Cannot move marks", what);
      assertEquals(source.dirtyPages, PAGES, what);
      const bitmap = target instanceof AtomicBitmap ? target : target.bitmap;
      assertEquals(bitmap.dirtyPages, 0, what);
    }
  });
}

Deno.test("drainInto() and merge() refuse ranges that are none, and move nothing", () => {
  for (const [at, count] of [[-1, 4], [0, -1], [NaN, 4], [0, NaN], [-PAGE, 2 * PAGE]] as const) {
    const source = bitmapOf(ALL);
    const target = bitmapOf([]);
    assertThrows(() => source.drainInto(target, at, count), RangeError);
    assertThrows(() => target.merge(source, at, count), RangeError);
    assertEquals([source.dirtyPages, target.dirtyPages], [PAGES, 0]);
  }
});

Deno.test("drainInto(), merge() and forEachDirtyRun() refuse what is no number", () => {
  for (const bad of ["16", 16n, null, Symbol("s"), {}] as unknown as number[]) {
    const source = bitmapOf(ALL);
    const target = bitmapOf([]);
    for (
      const [name, call] of Object.entries({
        offset: () => source.drainInto(target, bad, PAGE),
        length: () => source.drainInto(target, PAGE, bad),
        "offset of merge": () => target.merge(source, bad, PAGE),
        "offset of a run": () => source.forEachDirtyRun(() => {}, bad, PAGE),
        "offset in a slice": () => source.sliceAt(PAGE).drainInto(target.sliceAt(PAGE), bad, PAGE),
      })
    ) {
      const error = assertThrows(call, Error, undefined, `${name} ${typeof bad}`);
      assertEquals(error instanceof TypeError || error instanceof RangeError, true, name);
    }
    assertEquals([source.dirtyPages, target.dirtyPages], [PAGES, 0]);
  }
});
