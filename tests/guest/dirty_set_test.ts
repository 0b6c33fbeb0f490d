import { assertEquals, assertFalse, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  AtomicBitmap,
  type Bitmap,
  BitmapGroup,
  dirtyRuns,
  DirtySet,
  GuestAddress,
  type GuestDirtyRun,
  GuestMemoryHeap,
  NoBitmap,
  takeDirty,
  u8,
} from "../../mod.ts";
import { setTakeBarrier } from "../../src/guest/dirty_set.ts";

const A = GuestAddress;
const PAGE = 0x100;

type MakeBitmap = (length: number, start: GuestAddress) => Bitmap;

function memoryOf(
  ranges: readonly (readonly [number, number])[],
  bitmap: MakeBitmap = (length) => new AtomicBitmap(length, PAGE),
): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges(ranges.map(([at, length]) => [A(at), length]), { bitmap });
}

const runs = (...list: [number, number][]) => list as unknown as GuestDirtyRun[];

function touch(memory: GuestMemoryHeap, ...addresses: number[]): void {
  for (const address of addresses) memory.writeObj(u8, 1, A(address));
}

Deno.test("takeDirty() takes the runs of all regions by rising address", () => {
  using memory = memoryOf([[0x1000, 0x800], [0x1800, 0x800], [0x4000, 0x400]]);
  touch(memory, 0x1010, 0x17ff, 0x1800, 0x4100);
  using dirty = takeDirty(memory);
  assertEquals([...dirty], runs([0x1000, 0x100], [0x1700, 0x200], [0x4100, 0x100]));
  assertEquals([...dirty], [...dirty]);
  assertEquals(dirty.bytes, 0x400);
  assertEquals([...dirtyRuns(memory)], []);
});

Deno.test("takeDirty() leaves what is written afterwards to the next one", () => {
  using memory = memoryOf([[0, 0x800]]);
  touch(memory, 0);
  using first = takeDirty(memory);
  touch(memory, 0x210);
  using second = takeDirty(memory);
  assertEquals([[...first], [...second]], [runs([0, 0x100]), runs([0x200, 0x100])]);
});

Deno.test("takeDirty() of clean memory, and of memory without bitmaps, is empty", () => {
  using clean = memoryOf([[0, 0x800]]);
  using untracked = GuestMemoryHeap.fromRanges([[A(0), 0x800]]);
  touch(untracked, 0);
  for (const memory of [clean, untracked]) {
    using dirty = takeDirty(memory);
    assertEquals([[...dirty], dirty.bytes], [[], 0]);
    dirty.putBack();
  }
});

Deno.test("DirtySet ends with the region where the last page is not whole", () => {
  using memory = memoryOf([[0, 0x180]]);
  touch(memory, 0x17f);
  using dirty = takeDirty(memory);
  assertEquals([[...dirty], dirty.bytes], [runs([0x100, 0x80]), 0x80]);
});

Deno.test("DirtySet.putBack() marks everything again, beside what was written since", () => {
  using memory = memoryOf([[0, 0x400], [0x400, 0x400]]);
  touch(memory, 0x10, 0x3ff, 0x400);
  const dirty = takeDirty(memory);
  touch(memory, 0x700);
  dirty.putBack();
  assertEquals([...dirtyRuns(memory)], runs([0, 0x100], [0x300, 0x200], [0x700, 0x100]));
  assertEquals([[...dirty], dirty.bytes], [[], 0]);
  for (const { bitmap } of memory) (bitmap as AtomicBitmap).reset();
  dirty.putBack();
  assertEquals([...dirtyRuns(memory)], []);
});

Deno.test("DirtySet is empty at the end of its scope, and puts nothing back", () => {
  using memory = memoryOf([[0, 0x400]]);
  touch(memory, 0);
  const dirty = takeDirty(memory);
  dirty[Symbol.dispose]();
  assertEquals([[...dirty], dirty.bytes], [[], 0]);
  dirty.putBack();
  assertEquals([...dirtyRuns(memory)], []);
});

Deno.test("DirtySet of no parts is empty", () => {
  const dirty = new DirtySet([]);
  dirty.putBack();
  assertEquals([[...dirty], dirty.bytes], [[], 0]);
});

for (
  const [what, bitmap] of [
    ["a BitmapGroup", () => new BitmapGroup()],
    ["one of the caller's", () => ({ ...new BitmapGroup().sliceAt(0) })],
  ] as const
) {
  Deno.test(`takeDirty() refuses a bitmap that is ${what}, and takes nothing`, () => {
    using memory = memoryOf(
      [[0, 0x400], [0x4000, 0x400]],
      (length, start) => start === 0 ? new AtomicBitmap(length, PAGE) : bitmap(),
    );
    touch(memory, 0, 0x4000);
    const { message } = assertThrows(() => takeDirty(memory), TypeError);
    assertStringIncludes(message, "0x4000");
    assertEquals([...dirtyRuns(memory)], runs([0, 0x100]));
  });
}

class FailingBitmap extends AtomicBitmap {
  override drainInto(): void {
    throw new Error("drain fails");
  }
}

Deno.test("takeDirty() puts everything back where a bitmap fails in the middle", () => {
  using memory = memoryOf(
    [[0, 0x400], [0x400, 0x400], [0x800, 0x400]],
    (length, start) => new (start === 0x400 ? FailingBitmap : AtomicBitmap)(length, PAGE),
  );
  touch(memory, 0, 0x500, 0xbff);
  const before = [...dirtyRuns(memory)];
  assertThrows(() => takeDirty(memory), Error, "drain fails");
  assertEquals([...dirtyRuns(memory)], before);
});

Deno.test("takeDirty() orders the writes of others after all marks are taken, or puts back", () => {
  using memory = memoryOf([[0, 0x400], [0x400, 0x400]]);
  touch(memory, 0, 0x400);
  const left: number[] = [];
  try {
    setTakeBarrier(() => left.push([...dirtyRuns(memory)].length));
    const taken = takeDirty(memory);
    assertEquals(left, [0]);
    taken.putBack();
    setTakeBarrier(() => {
      throw new Error("no barrier");
    });
    assertThrows(() => takeDirty(memory), Error, "no barrier");
    assertEquals([...dirtyRuns(memory)], runs([0, 0x100], [0x400, 0x100]));
  } finally {
    setTakeBarrier(() => {});
  }
});

Deno.test("takeDirty() of regions that share a page of one bitmap gives it to both", () => {
  const shared = new AtomicBitmap(0x4000, PAGE);
  using memory = memoryOf(
    [[0, 0x180], [0x180, 0x10], [0x190, 0x200]],
    (_, start) => shared.sliceAt(start),
  );
  for (const address of [0x110, 0x188, 0x1a0]) {
    touch(memory, address);
    using dirty = takeDirty(memory);
    assertEquals([...dirty], runs([0x100, 0x100]));
    assertEquals(shared.dirtyPages, 0);
    dirty.putBack();
    assertEquals([...shared.dirtyRuns()], [[0x100, 0x100]]);
    shared.reset();
  }
});

const SHARED: Record<string, [ranges: [number, number][], at: number, make: () => MakeBitmap]> = {
  "the bitmap itself and a slice of it": [[[0, 0x80], [0x80, 0x80]], 0x90, () => {
    const shared = new AtomicBitmap(0x400, PAGE);
    return (_, start) => start === 0 ? shared : shared.sliceAt(start);
  }],
  "the same bitmap": [[[0, 0x100], [0x100, 0x100]], 0x110, () => {
    const shared = new AtomicBitmap(0x400, PAGE);
    return () => shared;
  }],
  "slices around a region with a bitmap of its own": [
    [[0, 0x40], [0x40, 0x40], [0x80, 0x40]],
    0x90,
    () => {
      const shared = new AtomicBitmap(0x400, PAGE);
      const own = new AtomicBitmap(0x40, PAGE);
      return (_, start) => start === 0x40 ? own : shared.sliceAt(start);
    },
  ],
  "the same slice": [[[0, 0x200], [0x1000, 0x200]], 0x1110, () => {
    const shared = new AtomicBitmap(0x400, PAGE);
    return () => shared.sliceAt(0x100);
  }],
};
for (const [what, [ranges, at, make]] of Object.entries(SHARED)) {
  Deno.test(`takeDirty() loses no mark where regions have ${what}`, () => {
    using memory = memoryOf(ranges, make());
    touch(memory, at);
    const before = [...dirtyRuns(memory)];
    using dirty = takeDirty(memory);
    assertEquals([...dirty], before);
    assertEquals([...dirtyRuns(memory)], []);
    dirty.putBack();
    assertEquals([...dirtyRuns(memory)], before);
  });
}

Deno.test("takeDirty() takes what dirtyRuns() lists, however regions lie and share", () => {
  const layout = fc.array(
    fc.record({ gap: fc.constantFrom(0, 0, 1, 40), length: fc.integer({ min: 1, max: 70 }) }),
    { minLength: 1, maxLength: 6 },
  );
  const pageSize = fc.constantFrom(1, 3, 16, 64);
  fc.assert(
    fc.property(layout, pageSize, fc.boolean(), fc.array(fc.nat(400)), (parts, size, one, at) => {
      let end = 0;
      const ranges = parts.map(({ gap, length }): [number, number] => {
        const start = end + gap;
        end = start + length;
        return [start, length];
      });
      const shared = new AtomicBitmap(end, size);
      using memory = memoryOf(
        ranges,
        (length, start) => one ? shared.sliceAt(start) : new AtomicBitmap(length, size),
      );
      for (const address of at) if (memory.addressInRange(A(address))) touch(memory, address);
      const before = [...dirtyRuns(memory)];
      using dirty = takeDirty(memory);
      assertEquals([...dirty], before);
      assertEquals(dirty.bytes, before.reduce((sum, [, length]) => sum + length, 0));
      assertEquals([...dirtyRuns(memory)], []);
      dirty.putBack();
      assertEquals([...dirtyRuns(memory)], before);
      assertFalse([...dirty].length > 0);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("takeDirty() leaves the marks of a shared bitmap that are in no region", () => {
  const bitmap = new AtomicBitmap(3 * PAGE, PAGE);
  using memory = memoryOf([[0, PAGE]], () => bitmap.sliceAt(PAGE));
  bitmap.setAddrRange(0, 3 * PAGE);
  using dirty = takeDirty(memory);
  assertEquals([...dirty], runs([0, PAGE]));
  assertEquals([...bitmap.dirtyRuns()], [[0, PAGE], [2 * PAGE, PAGE]]);
});

Deno.test("takeDirty() passes over regions without a bitmap", () => {
  const bitmapAt = [NoBitmap, new AtomicBitmap(PAGE, PAGE)];
  using memory = memoryOf([[0, PAGE], [PAGE, PAGE]], () => bitmapAt.shift()!);
  touch(memory, 0, PAGE);
  using dirty = takeDirty(memory);
  assertEquals([...dirty], runs([PAGE, PAGE]));
});

Deno.test("takeDirty() takes a page that regions share through several bitmaps over the same words", () => {
  const words = new AtomicBitmap(0x10000, 0x10000);
  const attached = () => new AtomicBitmap(0x10000, 0x10000, words.buffer);
  using memory = GuestMemoryHeap.fromRanges(
    [[GuestAddress(0), 0x8000], [GuestAddress(0x8000), 0x8000]],
    { bitmap: (_length, start) => attached().sliceAt(start) },
  );
  memory.write(Uint8Array.of(1), GuestAddress(0x9000));
  using dirty = takeDirty(memory);
  assertEquals([...dirty], [[GuestAddress(0), 0x10000]]);
});
