import { assert, assertEquals, assertMatch } from "@std/assert";
import { GuestAddress, GuestMemoryMmap, u64 } from "@vmm/guest-memory";
import fc from "fast-check";
import { expectedResult, morePages, problemOf, RESULT } from "../../../examples/clones/guest.ts";
import { ProcessMemory } from "../../../examples/clones/own_memory.ts";
import { histogramOf, spreadOf } from "../../../examples/clones/statistics.ts";

Deno.test("spreadOf() is what a sorted list has at its places", () => {
  const values = Array.from({ length: 100 }, (_, i) => (i * 37) % 100 + 1);
  assertEquals(spreadOf(values), { min: 1, median: 50, p95: 95, max: 100 });
  assertEquals(spreadOf([7]), { min: 7, median: 7, p95: 7, max: 7 });
  assertEquals(spreadOf([9, 1]), { min: 1, median: 1, p95: 9, max: 9 });
});

Deno.test("histogramOf() counts every value once, outliers in the last range", () => {
  const value = fc.double({ min: 0, max: 1e4, noNaN: true });
  fc.assert(
    fc.property(fc.array(value, { minLength: 1 }), fc.integer({ min: 2, max: 12 }), (values, n) => {
      const { start, width, counts } = histogramOf(values, n);
      assertEquals(counts.reduce((sum, count) => sum + count), values.length);
      assertEquals([counts.length, start], [n, Math.min(...values)]);
      assert(width > 0 && counts[0]! > 0);
    }),
  );
  const most = Array.from({ length: 100 }, (_, i) => i);
  assertEquals(histogramOf([...most, 1e6], 5).counts, [24, 24, 24, 23, 6]);
});

Deno.test("ProcessMemory has copies apart from pages of the file", () => {
  const memory = new ProcessMemory([
    "7f0000000000-7f0000100000 rw-p 00000000 fe:00 12 /tmp/guest (deleted)",
    "Size:               1024 kB",
    "Rss:                 100 kB",
    "Pss_Anon:             99 kB",
    "Private_Dirty:       100 kB",
    "Anonymous:            12 kB",
    "VmFlags: rd wr mr mw me nr",
    "7f0000100000-7f0000200000 rw-p 00100000 fe:00 12 /tmp/guest (deleted)",
    "Rss:                  48 kB",
    "Anonymous:             4 kB",
    "7f0000200000-7f0000300000 rw-p 00000000 00:00 0",
    "Rss:                1000 kB",
    "Anonymous:          1000 kB",
    "",
  ].join("\n"));
  const start = 0x7f00_0000_0000;
  const MIB = 2 ** 20;
  const usage = (ranges: [number, number][]) => memory.usageOfRanges(ranges);
  assertEquals(usage([[start, start + MIB]]), { own: 12 * 1024, shared: 88 * 1024 });
  const both: [number, number][] = [[start, start + MIB], [start + MIB, start + 2 * MIB]];
  assertEquals(usage(both), { own: 16 * 1024, shared: 132 * 1024 });
  assertEquals(usage([[start + 3 * MIB, start + 4 * MIB]]), { own: 0, shared: 0 });
});

Deno.test("expectedResult() is the sum of the pattern, and what the number adds", () => {
  // The sum of 1024 addresses from 2 MiB on, times the factor.
  const sum = (1024n * 0x20_0000n + 4096n * (1023n * 1024n / 2n)) * 0x9e37_79b1n;
  assertEquals(expectedResult(0), BigInt.asUintN(64, sum));
  assertEquals(expectedResult(5), BigInt.asUintN(64, sum + 5n * 0x9e37_79b1n));
  assertEquals([0, 15, 16, 99].map(morePages), [1, 16, 1, 4]);
});

Deno.test("problemOf() finds a wrong result, and pages that nobody was to write", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 8 * 2 ** 20]]);
  const ownPage = (index: number) => GuestAddress(0x60_0000 + index * 4096);
  assertMatch(problemOf(memory, 1)!, /^its result is 0, not \d+$/);
  memory.writeObj(u64, expectedResult(1), RESULT);
  assertMatch(problemOf(memory, 1)!, /^page 0 after the pattern begins with 0/);
  for (const index of [0, 1]) memory.writeObj(u64, expectedResult(1), ownPage(index));
  assertEquals(problemOf(memory, 1), undefined);
  memory.writeObj(u64, 1n, ownPage(2));
  assertEquals(problemOf(memory, 1), "page 2 after the pattern begins with 1, not 0");
});
