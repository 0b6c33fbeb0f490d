import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BoundaryBitmap } from "../../src/bitmap/boundary_bitmap.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";

Deno.test("BoundaryBitmap gives each side its part of a mark, also in a slice of it", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.nat(50),
      fc.nat(50),
      fc.nat(30),
      fc.nat(40),
      fc.integer({ min: -5, max: 40 }),
      (split, beforeStart, afterStart, slice, offset, length) => {
        const before = new RecordingBitmap();
        const after = new RecordingBitmap();
        const whole = new BoundaryBitmap(
          split,
          { bitmap: before, start: beforeStart },
          { bitmap: after, start: afterStart },
        );
        const bitmap = slice === 0 ? whole : whole.sliceAt(slice);
        bitmap.markDirty(offset, length);
        const begin = slice + offset;
        const bytes = Array.from({ length: Math.max(length, 0) }, (_, i) => begin + i);
        for (const at of [begin - 1, ...bytes, begin + bytes.length]) {
          if (at < slice) continue;
          const marked = bytes.includes(at);
          assertEquals(bitmap.dirtyAt(at - slice), marked);
          const onSide = at < split
            ? before.dirtyAt(beforeStart + at)
            : after.dirtyAt(afterStart + at - split);
          assertEquals(onSide, marked);
        }
        // No mark of either side leaves it.
        for (const [start, count] of length > 0 ? before.take() : []) {
          assertEquals(start + count <= beforeStart + split, true);
        }
        for (const [start] of length > 0 ? after.take() : []) {
          assertEquals(start >= afterStart, true);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("BoundaryBitmap marks the second side even if the first one throws", () => {
  const after = new RecordingBitmap();
  const failing = new RecordingBitmap(() => {
    throw new Error("full");
  });
  const bitmap = new BoundaryBitmap(
    4,
    { bitmap: failing, start: 0 },
    { bitmap: after, start: 0x100 },
  );
  assertThrows(() => bitmap.markDirty(2, 5), Error, "full");
  assertEquals(after.take(), [[0x100, 3]]);
  assertEquals(failing.take(), [[2, 2]]);
});

Deno.test("BoundaryBitmap.sliceAt() refuses what is no number", () => {
  const side = { bitmap: new RecordingBitmap(), start: 0 };
  const bitmap = new BoundaryBitmap(4, side, side);
  for (const bad of ["1", 1n, undefined, {}]) {
    assertThrows(() => bitmap.sliceAt(bad as never), TypeError, "as offset");
  }
});
