import { assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { RegionIndex } from "../../src/guest/region_index.ts";

interface Range {
  startAddr: number;
  len: number;
}

const holds = ({ startAddr, len }: Range, at: number) => at >= startAddr && at - startAddr < len;

// Every address near an end of a range, and far away.
function addressesOf(ranges: readonly Range[]): number[] {
  return [
    ...ranges.flatMap(({ startAddr, len }) =>
      [startAddr, startAddr + len].flatMap((end) => [end - 2, end - 1, end - 0.5, end, end + 1])
    ),
    ...ranges.map(({ startAddr, len }) => startAddr + Math.floor(len / 2)),
    ...[-1, 0, -0.5, 1e-13, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53],
  ];
}

function check(ranges: readonly Range[]): void {
  const index = new RegionIndex(ranges);
  for (const at of addressesOf(ranges)) {
    const expected = ranges.find((range) => holds(range, at));
    assertStrictEquals(index.find(at), expected, `${at} of ${JSON.stringify(ranges)}`);
  }
}

Deno.test("RegionIndex of no regions finds none", () => {
  check([]);
});

Deno.test("RegionIndex finds one region wherever it is", () => {
  for (const startAddr of [0, 1, 0x1000, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 5, 2 ** 52]) {
    for (const len of [1, 2, 3, 0x1000, 2 ** 32, 2 ** 52]) check([{ startAddr, len }]);
  }
  check([{ startAddr: 0, len: 2 ** 53 }]);
  check([{ startAddr: 2 ** 53 - 1, len: 1 }]);
});

Deno.test("RegionIndex finds regions of very different sizes", () => {
  check([{ startAddr: 0, len: 1 }, { startAddr: 1, len: 2 ** 40 }, { startAddr: 2 ** 50, len: 1 }]);
  const small = Array.from({ length: 100 }, (_, i) => ({ startAddr: i * 3, len: 1 + i % 3 }));
  check([...small, { startAddr: 2 ** 45, len: 2 ** 44 }]);
});

Deno.test("RegionIndex finds many regions, adjacent and apart", () => {
  const ranges = (step: number) =>
    Array.from({ length: 1000 }, (_, i) => ({ startAddr: 0x8000 + i * step, len: 0x1000 }));
  check(ranges(0x1000));
  check(ranges(0x1001));
  check(ranges(0x100000));
});

Deno.test("RegionIndex does what a search of all regions does", () => {
  const part = fc.record({
    gap: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(2 ** 30), fc.nat(2 ** 30).map((n) => n * 999)),
    len: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 2 ** 31 })),
  });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30, size: "max" }), (parts) => {
      let end = 0;
      check(parts.map(({ gap, len }) => {
        const startAddr = end + gap;
        end = startAddr + len;
        return { startAddr, len };
      }));
    }),
    { numRuns: 500 },
  );
});

Deno.test("RegionIndex.guess() is a region that holds the address, or one beside it", () => {
  const ranges = [{ startAddr: 0, len: 100 }, { startAddr: 100, len: 7 }, {
    startAddr: 900,
    len: 50,
  }];
  const index = new RegionIndex(ranges);
  for (let at = 0; at < 950; at++) {
    const guess = index.guess(at);
    const found = ranges.find((range) => holds(range, at));
    if (guess === undefined) assertEquals(found, undefined);
    else if (!holds(guess, at)) {
      assertEquals(guess.startAddr > at || guess.startAddr + guess.len <= at, true);
    }
  }
});
