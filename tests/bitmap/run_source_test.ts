import { assertEquals } from "@std/assert";
import { AtomicBitmap, type RunSource } from "../../mod.ts";
import { runsOf } from "../../src/bitmap/run_source.ts";

Deno.test("runsOf() asks for the range it is given, and lists what it gets", () => {
  const asked: unknown[] = [];
  const source: RunSource = {
    forEachDirtyRun(callback, ...range) {
      asked.push(range);
      callback(1, 2);
      callback(5, 1);
    },
  };
  assertEquals(runsOf(source, 8, 16), [[1, 2], [5, 1]]);
  assertEquals(asked, [[8, 16]]);
});

Deno.test("runsOf() of a bitmap and of its slice are the same from the same byte on", () => {
  const bitmap = new AtomicBitmap(0x100, 0x10);
  bitmap.markDirty(0x18, 0x20);
  assertEquals(runsOf(bitmap, 0x14, 0x100), [[0x14, 0x2c]]);
  assertEquals(runsOf(bitmap.sliceAt(0x14), 0, 0x100), [[0, 0x2c]]);
  assertEquals(runsOf(bitmap.sliceAt(0x14), 4, 8), [[4, 8]]);
});
