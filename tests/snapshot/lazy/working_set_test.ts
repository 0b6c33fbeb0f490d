import { assertEquals, assertThrows } from "@std/assert";
import { InvalidGuestAddress } from "../../../mod.ts";
import { layoutOf } from "../../../src/snapshot/layout.ts";
import { pagesOf, workingSetOf } from "../../../src/snapshot/lazy/working_set.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { gpa } from "../../support/values.ts";
import { PAGE } from "./lazy_memory.ts";

// In the file from page 0 and from page 4 on.
function places() {
  return layoutOf([
    { startAddr: 10 * PAGE, len: 3 * PAGE + 8 },
    { startAddr: 2 ** 32, len: 2 * PAGE },
  ]).places;
}

linuxTest("workingSetOf() names the ranges of pages in order, and joins what is adjacent", () => {
  // The last two are of no range.
  const set = workingSetOf([5, 0, 1, 3, 2, 4, 6, 77], places());
  assertEquals(set, [
    [gpa(2 ** 32 + PAGE), PAGE],
    [gpa(10 * PAGE), 2 * PAGE],
    [gpa(13 * PAGE), 8],
    [gpa(12 * PAGE), PAGE],
    [gpa(2 ** 32), PAGE],
  ]);
  assertEquals(pagesOf(set, places()), [[0, 6]]);
});

linuxTest("pagesOf() sorts ranges, and joins those that overlap or are adjacent", () => {
  const pages = (...set: [number, number][]) => {
    return pagesOf(set.map(([start, length]) => [gpa(start), length] as const), places());
  };
  assertEquals(pages(), []);
  assertEquals(pages([2 ** 32, 1], [10 * PAGE, 1]), [[0, 1], [4, 1]]);
  assertEquals(pages([11 * PAGE - 1, 2], [10 * PAGE + 5, PAGE]), [[0, 2]]);
  assertEquals(pages([13 * PAGE, 8], [12 * PAGE, PAGE]), [[2, 2]]);
  assertEquals(pages([10 * PAGE, 3 * PAGE], [11 * PAGE, 1]), [[0, 3]]);
  assertEquals(pages([10 * PAGE, 0]), [[0, 0]]);
});

linuxTest("pagesOf() refuses what is no working set, or of other memory", () => {
  for (const set of [7, null, [7], [[gpa(0)]], [["0", 1]], ["x"]]) {
    assertThrows(() => pagesOf(set as never, places()), TypeError);
  }
  assertThrows(() => pagesOf([[-1, 1]] as never, places()), RangeError);
  assertThrows(() => pagesOf([[gpa(10 * PAGE), 1.5]], places()), RangeError);
  for (const [start, length] of [[9 * PAGE, PAGE], [10 * PAGE, 3 * PAGE + 9], [2 ** 33, 1]]) {
    assertThrows(() => pagesOf([[gpa(start!), length!]], places()), InvalidGuestAddress);
  }
});
