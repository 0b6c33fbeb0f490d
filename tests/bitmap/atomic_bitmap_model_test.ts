import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { AtomicBitmap, VolatileSlice } from "../../mod.ts";
import { PAGE_SIZES, pagesOf } from "../support/bitmaps.ts";

// Bitmaps are compared with sets of page numbers.

/** A bitmap and the model of it. */
interface Pair {
  readonly bitmap: AtomicBitmap;
  readonly model: Set<number>;
  /** Checks what is beside the words, if they are in given memory. */
  readonly checkMemory?: () => void;
}

/** Changes one of two pairs, or moves marks to the other. */
type Step = (one: Pair, other: Pair) => void;

function modelRuns(
  { bitmap: { byteSize, pageSize, len }, model }: Pair,
  offset: number,
  length: number,
): [number, number][] {
  const runs: [number, number][] = [];
  for (let page = 0; page < len; page++) {
    const start = Math.max(page * pageSize, offset);
    const end = Math.min((page + 1) * pageSize, offset + length, byteSize);
    if (!model.has(page) || start >= end) continue;
    const run = runs.at(-1);
    if (run !== undefined && run[0] + run[1] === start) run[1] += end - start;
    else runs.push([start, end - start]);
  }
  return runs;
}

function pagesIn({ bitmap: { pageSize, len } }: Pair, offset: number, length: number): number[] {
  return Array.from({ length: len }, (_, page) => page).filter((page) =>
    length > 0 && page * pageSize < offset + length && (page + 1) * pageSize > offset
  );
}

function bitsOf(words: Uint32Array): Set<number> {
  const bits = Array.from({ length: words.length * 32 }, (_, bit) => bit);
  return new Set(bits.filter((bit) => words[bit >> 5]! >>> (bit & 31) & 1));
}

const MAX_PAGES = 300;

function stepOf(pageSize: number): fc.Arbitrary<Step> {
  const page = fc.oneof(fc.nat(MAX_PAGES), fc.constantFrom(31, 32, 63, 64, 128, 2 ** 31, 2 ** 40));
  const offset = fc.tuple(page, fc.constantFrom(0, 0, 1, pageSize - 1, pageSize >> 1))
    .map(([page, rest]) => page * pageSize + rest);
  const length = fc.oneof(offset, fc.constantFrom(0, 1, 2, pageSize, pageSize + 1, 2 ** 53 - 1));
  const within = (pair: Pair, page: number) => page < pair.bitmap.len;
  // Bytes of which marks are moved, or all.
  const range = fc.option(
    fc.tuple(offset, length).filter(([offset, length]) => length > 0 || offset % pageSize === 0),
    { nil: undefined },
  );
  return fc.oneof(
    fc.tuple(offset, length, fc.constantFrom("setAddrRange", "markDirty"))
      .map(([offset, length, method]): Step => (one) => {
        one.bitmap[method as "setAddrRange" | "markDirty"](offset, length);
        for (const page of pagesIn(one, offset, length)) one.model.add(page);
      }),
    fc.tuple(offset, length).map(([offset, length]): Step => (one) => {
      one.bitmap.resetAddrRange(offset, length);
      for (const page of pagesIn(one, offset, length)) one.model.delete(page);
    }),
    page.map((page): Step => (one) => {
      one.bitmap.setBit(page);
      if (within(one, page)) one.model.add(page);
    }),
    page.map((page): Step => (one) => {
      one.bitmap.resetBit(page);
      one.model.delete(page);
    }),
    fc.nat(40 * pageSize).map((size): Step => ({ bitmap, checkMemory }) => {
      if (checkMemory === undefined) bitmap.enlarge(size);
      else assertThrows(() => bitmap.enlarge(size), TypeError);
    }),
    range.map((range): Step => (one, other) => {
      const pages = pagesIn(one, ...range ?? [0, Infinity]);
      const drain = () => one.bitmap.drainInto(other.bitmap, ...range ?? []);
      if (!pages.every((page) => within(other, page))) return void assertThrows(drain, RangeError);
      drain();
      for (const page of pages) if (one.model.delete(page)) other.model.add(page);
    }),
    range.map((range): Step => (one, other) => {
      const pages = pagesIn(other, ...range ?? [0, Infinity]).filter((page) =>
        other.model.has(page)
      );
      const merge = () => one.bitmap.merge(other.bitmap, ...range ?? []);
      if (!pages.every((page) => within(one, page))) return void assertThrows(merge, RangeError);
      merge();
      for (const page of pages) one.model.add(page);
    }),
    fc.tuple(fc.uint8Array({ maxLength: 24 }), fc.nat(130)).map(([log, first]): Step => (one) => {
      const bits = log.length * 8;
      const marked = Array.from({ length: bits }, (_, bit) => bit)
        .filter((bit) => log[bit >> 3]! >> (bit & 7) & 1).map((bit) => first + bit);
      const merge = () => one.bitmap.sliceAt(first * pageSize).merge(log);
      if (!marked.every((page) => within(one, page))) return void assertThrows(merge, RangeError);
      merge();
      for (const page of marked) one.model.add(page);
    }),
    fc.constant<Step>((one) => {
      assertEquals(bitsOf(one.bitmap.getAndReset()), new Set(one.model));
      one.model.clear();
    }),
    fc.tuple(offset, length).map(([offset, length]): Step => (one) => {
      const runs: [number, number][] = [];
      one.bitmap.forEachDirtyRun((start, count) => runs.push([start, count]), offset, length);
      assertEquals(runs, modelRuns(one, offset, length));
      assertEquals<unknown>([...one.bitmap.dirtyRuns(offset, length)], runs);
    }),
  );
}

type Make = (byteSize: number, pageSize: number, seed: number) => Pair;

const own: Make = (byteSize, pageSize) => ({
  bitmap: new AtomicBitmap(byteSize, pageSize),
  model: new Set(),
});

// Over memory in which every other bit is set, and has to stay so.
const over: Make = (byteSize, pageSize, seed) => {
  const pages = Math.ceil(byteSize / pageSize);
  const len = Math.ceil(pages / 32) * 4;
  const start = seed % 8 * 4;
  const bytes = new Uint8Array(start + len + seed % 13).fill(0xff);
  for (let page = 0; page < pages; page++) bytes[start + (page >> 3)]! &= ~(1 << (page & 7));
  const bitmap = AtomicBitmap.over(VolatileSlice.from(bytes).getSlice(start, len), {
    ...{ byteSize, pageSize },
    marks: seed % 2 === 0 ? "always" : "once",
  });
  const model = new Set<number>();
  const checkMemory = () => {
    const wanted = Uint8Array.from(bytes, (_, at) => {
      let byte = 0;
      for (let bit = 0; bit < 8; bit++) {
        const page = (at - start) * 8 + bit;
        if (page < 0 || page >= pages || model.has(page)) byte |= 1 << bit;
      }
      return byte;
    });
    assertEquals(bytes, wanted);
  };
  return { bitmap, model, checkMemory };
};

const KINDS: readonly (readonly [string, Make, Make])[] = [
  ["AtomicBitmap", own, own],
  ["AtomicBitmap.over()", over, over],
  ["AtomicBitmap.over(), beside another,", over, own],
];

for (
  const [pageSize, [name, ...makes]] of PAGE_SIZES.flatMap((size) =>
    KINDS.map((kind) => [size, kind] as const)
  )
) {
  Deno.test(`${name} with pages of ${pageSize} does what a set of page numbers does`, () => {
    const size = fc.nat(200 * pageSize);
    const steps = fc.array(fc.tuple(fc.boolean(), stepOf(pageSize)), {
      maxLength: 30,
      size: "max",
    });
    fc.assert(
      fc.property(
        fc.tuple(size, size),
        fc.boolean(),
        fc.nat(),
        steps,
        (sizes, same, seed, steps) => {
          const [a, b] = (same ? [sizes[0], sizes[0]] : sizes).map((size, i) =>
            makes[i]!(size, pageSize, seed + i)
          );
          for (const [swap, step] of steps) swap ? step(b!, a!) : step(a!, b!);
          for (const pair of [a!, b!]) {
            assertEquals(pagesOf(pair.bitmap), [...pair.model].sort((a, b) => a - b));
            assertEquals(pair.bitmap.dirtyPages, pair.model.size);
            const { byteSize } = pair.bitmap;
            assertEquals<unknown>([...pair.bitmap.dirtyRuns()], modelRuns(pair, 0, byteSize));
            pair.checkMemory?.();
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
}
