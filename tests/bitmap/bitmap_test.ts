import { assertEquals, assertFalse, assertStrictEquals } from "@std/assert";
import { NoBitmap } from "../../mod.ts";

Deno.test("NoBitmap remembers nothing, wherever it is sliced", () => {
  const slice = NoBitmap.sliceAt(0x1000);
  for (const bitmap of [NoBitmap, slice, slice.sliceAt(4)]) {
    bitmap.markDirty(0, 0x1000);
    assertFalse(bitmap.dirtyAt(0));
    assertStrictEquals(bitmap, NoBitmap);
  }
});

Deno.test("NoBitmap takes any range", () => {
  for (const number of [-1, NaN, Infinity]) {
    assertEquals(NoBitmap.markDirty(number, number), undefined);
    assertFalse(NoBitmap.dirtyAt(number));
  }
});
