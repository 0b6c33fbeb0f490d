import { assertEquals, assertThrows } from "@std/assert";
import { AtomicBitmap, type Bitmap, BitmapGroup, BitmapSlice } from "../../mod.ts";
import { FoundPages } from "../../src/snapshot/found_pages.ts";
import { Random } from "../hostile/random.ts";

const PAGE = 4096;

// A scan's result.
function runsOf(address: number, runs: readonly (readonly [offset: number, length: number])[]) {
  const words = Uint32Array.from(
    runs.flatMap(([offset, length]) =>
      [address + offset, address + offset + length, 2].flatMap((n) => [n >>> 0, n / 2 ** 32])
    ),
  );
  return { words, count: runs.length };
}

Deno.test("FoundPages marks what was added, in bitmaps of every kind", () => {
  const random = new Random(1);
  const pages = 300;
  // Beyond 2^32, with a low word that overflows within the memory.
  const address = 0x7f12_ffff_f000;
  const length = pages * PAGE - 100;
  const kinds: Record<string, () => [Bitmap, AtomicBitmap, number]> = {
    "with the same pages": () => whole(new AtomicBitmap(length, PAGE)),
    "with larger pages": () => whole(new AtomicBitmap(length, 4 * PAGE)),
    "with smaller pages": () => whole(new AtomicBitmap(length, PAGE / 2)),
    "that ends before": () => whole(new AtomicBitmap(100 * PAGE, PAGE)),
    "from a page on": () => part(new AtomicBitmap(length + 7 * PAGE, PAGE), 7 * PAGE),
    "from within a page on": () => part(new AtomicBitmap(length + 7 * PAGE, PAGE), 7 * PAGE + 5),
    "of a group": () => {
      const bitmap = new AtomicBitmap(length, PAGE);
      return [new BitmapGroup([bitmap]), bitmap, 0];
    },
  };
  for (const [kind, make] of Object.entries(kinds)) {
    const [bitmap, whole, offset] = make();
    const expected = new AtomicBitmap(whole.byteSize, whole.pageSize);
    const found = new FoundPages(length, PAGE);
    for (let round = 0; round < 40; round++) {
      const runs: [number, number][] = [];
      for (let page = random.int(4); page < pages; page += 1 + random.int(80)) {
        const count = Math.min(1 + random.int(random.chance(0.5) ? 1 : 100), pages - page);
        runs.push([page * PAGE, count * PAGE]);
        page += count;
      }
      const bytes = runs.reduce((sum, [, length]) => sum + length, 0);
      assertEquals(found.addRuns(runsOf(address, runs), address), bytes);
      found.moveTo(bitmap);
      for (const [start, count] of runs) {
        expected.markDirty(offset + start, Math.min(count, length - start));
      }
      assertEquals([...whole.dirtyRuns()], [...expected.dirtyRuns()], kind);
      if (round % 3 === 0) {
        whole.reset();
        expected.reset();
        found.moveTo(bitmap);
        assertEquals([...whole.dirtyRuns()], [], kind);
      }
    }
  }
});

function whole(bitmap: AtomicBitmap): [Bitmap, AtomicBitmap, number] {
  return [bitmap, bitmap, 0];
}

function part(bitmap: AtomicBitmap, offset: number): [Bitmap, AtomicBitmap, number] {
  return [new BitmapSlice(bitmap, offset), bitmap, offset];
}

Deno.test("FoundPages.add() adds pages, of which the last may be cut off", () => {
  const found = new FoundPages(70 * PAGE + 1, PAGE);
  found.add(2 * PAGE, 66 * PAGE);
  found.add(70 * PAGE, 1);
  const bitmap = new AtomicBitmap(71 * PAGE, PAGE);
  found.moveTo(bitmap);
  assertEquals([...bitmap.dirtyRuns()], [[2 * PAGE, 66 * PAGE], [70 * PAGE, PAGE]]);
});

Deno.test("FoundPages keeps what a bitmap refuses", () => {
  const marks: [number, number][] = [];
  let refuses = true;
  const found = new FoundPages(16 * PAGE, PAGE);
  const bitmap: Bitmap = {
    markDirty(offset, length) {
      // Others are found meanwhile.
      found.add(9 * PAGE, PAGE);
      if (refuses && offset > 0) throw new RangeError("full");
      marks.push([offset, length]);
    },
    dirtyAt: () => false,
    sliceAt: () => bitmap,
  };
  found.add(0, PAGE);
  found.add(3 * PAGE, 2 * PAGE);
  assertThrows(() => found.moveTo(bitmap), RangeError, "full");
  assertEquals(marks, [[0, PAGE]]);
  refuses = false;
  found.moveTo(bitmap);
  assertEquals(marks, [[0, PAGE], [0, PAGE], [3 * PAGE, 2 * PAGE], [9 * PAGE, PAGE]]);
});
