import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { PageSet } from "../../src/snapshot/page_set.ts";

const PAGES = 200;

function emptySet(): PageSet {
  return new PageSet(new Int32Array(PageSet.wordsOf(PAGES)));
}

const run = fc.tuple(fc.nat(PAGES), fc.nat(PAGES)).map(([a, b]): [first: number, end: number] => {
  return [Math.min(a, b), Math.max(a, b)];
});

Deno.test("PageSet does what a set of numbers does", () => {
  fc.assert(fc.property(fc.array(run, { maxLength: 8 }), run, fc.integer({ min: 1, max: 40 }), (
    added,
    [first, end],
    most,
  ) => {
    const pages = emptySet();
    const model = new Set<number>();
    for (const [from, to] of added) {
      const before = model.size;
      for (let page = from; page < to; page++) model.add(page);
      assertEquals(pages.add(from, to - from), model.size - before);
    }
    const missing: number[] = [];
    for (let page = first; page < end; page++) {
      assertEquals(pages.has(page), model.has(page));
      if (!model.has(page)) missing.push(page);
    }
    assertEquals(pages.countMissing(first, end - first), missing.length);
    const [found = end] = missing;
    let count = 0;
    while (count < most && missing[count] === found + count) count++;
    assertEquals(pages.nextMissing(first, end, most), [found, count]);
  }));
});

Deno.test("PageSet.wordsOf() has room for each page", () => {
  assertEquals([0, 1, 32, 33, 64].map(PageSet.wordsOf), [0, 1, 1, 2, 2]);
});
