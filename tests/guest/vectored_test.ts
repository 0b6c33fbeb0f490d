import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  Cursor,
  dirtyRuns,
  type GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  type GuestRange,
  GuestRegionCollection,
  GuestRegionHeap,
  InvalidGuestAddress,
  IOError,
  IommuMemory,
  MemoryClosed,
  Overflow,
  PartialBuffer,
  type VolatileSlice,
} from "../../mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { KINDS, Pieces, sink, source } from "../support/iommu_streams.ts";
import { Vectored } from "../support/iommu.ts";
import { exactly } from "../support/tracked_memories.ts";
import { content, count, gpa } from "../support/values.ts";

const LAYOUT: readonly GuestRange[] = [[gpa(0), 16], [gpa(16), 16], [gpa(40), 24]];
const HOLE = [32, 40] as const;
const END = 64;

const isHole = (at: number) => at >= END || at >= HOLE[0] && at < HOLE[1];

function mixed(): GuestRegionCollection {
  return GuestRegionCollection.fromRegions([
    new GuestRegionHeap(gpa(0), 16, exactly),
    new ElsewhereRegion(16, 16, exactly.bitmap(16)),
    new GuestRegionHeap(gpa(40), 24, exactly),
  ]);
}

// A map without a table of host ranges.
class OwnMemory extends GuestRegionCollection {
  override findRegion(addr: GuestAddress): GuestMemoryRegion | undefined {
    return super.findRegion(addr);
  }
}

const MEMORIES: Readonly<Record<string, () => GuestMemory & Disposable>> = {
  "heap memory": () => GuestMemoryHeap.fromRanges(LAYOUT, exactly),
  "mapped memory": () => GuestMemoryMmap.fromRanges(LAYOUT, exactly),
  "memory that overrides findRegion": () =>
    new OwnMemory(LAYOUT.map(([at, length]) => new GuestRegionHeap(at, length, exactly))),
  "memory with a region elsewhere": mixed,
};

const identity = (memory: GuestMemory) =>
  new IommuMemory(memory, { translate: (base, length) => [{ base, length }] });

const ranges: fc.Arbitrary<GuestRange[]> = fc.array(
  fc.tuple(fc.nat(END + 2).map((at) => gpa(at)), fc.oneof(fc.nat(6), fc.nat(30))),
  { maxLength: 6 },
);

// The addresses of the bytes of some ranges, up to the first hole.
function bytesOf(given: readonly GuestRange[]): number[] {
  const all = given.flatMap(([at, length]) => Array.from({ length }, (_, i) => at + i));
  const hole = all.findIndex(isHole);
  return hole < 0 ? all : all.slice(0, hole);
}

const totalOf = (given: readonly GuestRange[]) =>
  given.reduce((sum, [, length]) => sum + length, 0);

function runsOf(memory: GuestMemory): number[] {
  return [...dirtyRuns(memory)].flatMap(([at, length]) => Array.from({ length }, (_, i) => at + i));
}

for (const [name, make] of Object.entries(MEMORIES)) {
  for (const translated of [false, true]) {
    const where = translated ? `${name} behind an IOMMU` : name;

    Deno.test(`the exact vectored forms move what the ranges say, in ${where}`, () => {
      const cases = fc.tuple(
        ranges,
        fc.constantFrom(...KINDS),
        fc.array(fc.integer({ min: 1, max: 9 })),
      );
      fc.assert(fc.property(cases, ([given, kind, steps]) => {
        using physical = make();
        const memory = translated ? identity(physical) : physical;
        const places = bytesOf(given);
        const total = totalOf(given);
        const all = [...steps, ...Array(100).fill(99)];
        const expected = Array.from({ length: END }, () => 0);
        places.forEach((at, i) => expected[at] = i + 1);
        const read = () => memory.readExactVectoredFrom(given, source(kind, new Pieces(all)));
        const pieces = new Pieces(all);
        const write = () => memory.writeAllVectoredTo(given, sink(kind, pieces));
        for (const call of [read, write]) {
          if (places.length === total) call();
          else if (places.length === 0) assertThrows(call, InvalidGuestAddress);
          else {
            const error = assertThrows(call, PartialBuffer);
            assertEquals([error.expected, error.completed], [total, places.length]);
          }
        }
        const now = expected.map((_, at) => isHole(at) ? 0 : content(physical, at, 1)[0]!);
        assertEquals(now, expected);
        assertEquals(runsOf(physical), [...new Set(places)].sort((a, b) => a - b));
        assertEquals(pieces.moved, places.map((at) => expected[at]!));
      }));
    });

    Deno.test(`a vectored transfer is a prefix of the ranges, in ${where}`, () => {
      const cases = fc.tuple(ranges, fc.constantFrom(...KINDS), fc.nat(20));
      fc.assert(fc.property(cases, ([given, kind, step]) => {
        using physical = make();
        const memory = translated ? identity(physical) : physical;
        const places = bytesOf(given);
        const into = new Pieces([step, step]);
        if (places.length === 0 && totalOf(given) > 0) {
          assertThrows(
            () => memory.readVectoredFrom(given, source(kind, into)),
            InvalidGuestAddress,
          );
          assertThrows(() => memory.writeVectoredTo(given, sink(kind, into)), InvalidGuestAddress);
          assertEquals(into.moved, []);
          return;
        }
        const done = memory.readVectoredFrom(given, source(kind, into));
        assertEquals(done, into.moved.length);
        if (kind === "readVectoredVolatile" && !name.includes("elsewhere")) {
          assertEquals(done, Math.min(step, places.length));
        }
        const expected = Array.from({ length: END }, () => 0);
        places.slice(0, done).forEach((at, i) => expected[at] = i + 1);
        const now = expected.map((_, at) => isHole(at) ? 0 : content(physical, at, 1)[0]!);
        assertEquals(now, expected);
        const marked = [...new Set(places.slice(0, done))].sort((a, b) => a - b);
        assertEquals(runsOf(physical), marked);

        const out = new Pieces([step, step]);
        assertEquals(memory.writeVectoredTo(given, sink(kind, out)), out.moved.length);
        assertEquals(out.moved, places.slice(0, out.moved.length).map((at) => expected[at]!));
        // Nothing was left out that the stream would have moved.
        if (places.length > 0 && step > 0) assert(out.moved.length > 0);
      }));
    });
  }
}

Deno.test("IoMemory.readVectoredFrom() calls a vectored stream once, across boundaries too", () => {
  using memory = GuestMemoryHeap.fromRanges(LAYOUT);
  const given = [[gpa(60), 2], [gpa(14), 4], [gpa(5), 0], [gpa(0), 3]] as const;
  const stream = new Vectored();
  assertEquals(memory.readVectoredFrom(given, stream), 9);
  assertEquals(memory.writeVectoredTo(given, stream), 9);
  assertEquals(stream.calls, [[2, 2, 2, 3], [2, 2, 2, 3]]);
  assertEquals(content(memory, 14, 4), count(4, 3));
});

Deno.test("IoMemory.readVectoredFrom() of no bytes is 0 and calls nothing", () => {
  using memory = GuestMemoryHeap.fromRanges(LAYOUT);
  const stream = new Vectored();
  for (
    const given of [[], [[gpa(2 ** 53 - 1), 0]], [[gpa(0), 0], [gpa(35), 0]]] as GuestRange[][]
  ) {
    assertEquals(memory.readVectoredFrom(given, stream), 0);
    assertEquals(memory.writeVectoredTo(given, stream), 0);
    memory.readExactVectoredFrom(given, stream);
    memory.writeAllVectoredTo(given, stream);
  }
  assertEquals(stream.calls, []);
});

Deno.test("IoMemory.readVectoredFrom() reads each range once, and all before it transfers", () => {
  const memory = GuestMemoryHeap.fromRanges(LAYOUT);
  let asked = 0;
  function* given(): Generator<GuestRange> {
    for (const at of [0, 8]) {
      const range = [gpa(at), 4] as [ReturnType<typeof gpa>, number];
      Object.defineProperty(range, 1, { get: () => asked++ < 2 ? 4 : 2 ** 40 });
      yield range;
    }
    if (asked > 2) memory.close();
  }
  const stream = new Vectored();
  assertEquals([memory.readVectoredFrom(given(), stream), asked], [8, 2]);
  asked = 1;
  assertThrows(() => memory.readVectoredFrom(given(), new Cursor(count(8))), MemoryClosed);
  assertEquals(stream.calls, [[4, 4]]);
});

Deno.test("IoMemory.readVectoredFrom() refuses what are no ranges, and transfers nothing", () => {
  using memory = GuestMemoryHeap.fromRanges(LAYOUT);
  const stream = new Vectored();
  const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
    [7, TypeError],
    ["ranges", TypeError],
    // No ranges, which would be right.
    ["", TypeError],
    // Nothing to access there, or beyond a hole.
    [[["0", 0]], TypeError],
    [[[gpa(HOLE[0] - 4), 8], ["0", 4]], TypeError],
    [[7], TypeError],
    [[[gpa(0), 4], ["0", 4]], TypeError],
    [[[gpa(0), 4], [0n, 4]], TypeError],
    [[[gpa(0), 4], [gpa(0), "4"]], TypeError],
    [[[gpa(0), 4], [gpa(0)]], TypeError],
    [[[gpa(0), 4], [gpa(0), -1]], RangeError],
    [[[gpa(0), 4], [gpa(0), 0.5]], RangeError],
  ];
  for (const [given, Wanted] of wrong) {
    const ranges = given as GuestRange[];
    assertThrows(() => memory.readVectoredFrom(ranges, stream), Wanted);
    assertThrows(() => memory.readExactVectoredFrom(ranges, stream), Wanted);
    assertThrows(() => memory.writeVectoredTo(ranges, stream), Wanted);
    assertThrows(() => memory.writeAllVectoredTo(ranges, stream), Wanted);
  }
  const huge = [[gpa(0), 2 ** 53 - 1], [gpa(0), 1]] as const;
  assertThrows(() => memory.readVectoredFrom(huge, stream), Overflow);
  const largest: GuestRange[] = [[gpa(0), 4], [gpa(HOLE[0]), Number.MAX_SAFE_INTEGER - 4]];
  assertEquals(memory.readVectoredFrom(largest, new Cursor(count(8))), 4);
  assertEquals(stream.calls, []);
});

Deno.test("a stream that takes one piece is called for each up to the first short one", () => {
  using memory = GuestMemoryHeap.fromRanges(LAYOUT);
  const ranges = [[gpa(0), 4], [gpa(44), 4], [gpa(8), 4]] as const;
  const lengths: number[] = [];
  // Does not fill the second.
  const transfer = (slice: VolatileSlice): number => {
    lengths.push(slice.len);
    return lengths.length === 2 ? 3 : slice.len;
  };
  assertEquals(memory.readVectoredFrom(ranges, { readVolatile: transfer }), 7);
  assertEquals(memory.writeVectoredTo(ranges, { writeVolatile: transfer }), 12);
  assertEquals(lengths, [4, 4, 4, 4, 4]);
});

Deno.test("the exact vectored forms throw what the exact forms throw", () => {
  using memory = GuestMemoryHeap.fromRanges(LAYOUT, exactly);
  const given = [[gpa(8), 4], [gpa(0), 6]] as const;
  const read = assertThrows(
    () => memory.readExactVectoredFrom(given, new Cursor(count(7))),
    PartialBuffer,
  );
  assertEquals([read.expected, read.completed], [10, 7]);
  assertEquals([content(memory, 8, 4), content(memory, 0, 4)], [
    count(4),
    Uint8Array.of(5, 6, 7, 0),
  ]);
  const sink = new Cursor(new Uint8Array(7));
  const write = assertThrows(() => memory.writeAllVectoredTo(given, sink), IOError);
  assertEquals([write.kind, sink.bytes], ["WriteZero", count(7)]);
  const cause = new Error("broken");
  const broken = {
    readVolatile: () => 0,
    readVectoredVolatile: () => {
      throw cause;
    },
  };
  assertEquals(
    assertThrows(() => memory.readExactVectoredFrom(given, broken), IOError).cause,
    cause,
  );
  const lying = { readVolatile: () => 0, readVectoredVolatile: () => 11 };
  assertThrows(() => memory.readVectoredFrom(given, lying), IOError, "11 bytes of 10");
});

Deno.test("an exact vectored transfer ends, whatever its stream does to the list of slices", () => {
  using memory = GuestMemoryHeap.fromRanges(LAYOUT);
  const given = [[gpa(8), 4], [gpa(0), 6]] as const;
  const emptying = {
    readVolatile: () => 0,
    readVectoredVolatile(slices: readonly VolatileSlice[]) {
      (slices as VolatileSlice[]).length = 0;
      return 1;
    },
  };
  assertThrows(() => memory.readExactVectoredFrom(given, emptying), PartialBuffer, "1 were done");
});
