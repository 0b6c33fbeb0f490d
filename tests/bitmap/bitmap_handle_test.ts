import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AtomicBitmap, BitmapGroup, BitmapSlice, NoBitmap, VolatileSlice } from "../../mod.ts";
import { attachBitmap, shareBitmap } from "../../src/bitmap/bitmap_handle.ts";

Deno.test("a bitmap that was sent marks the same words", () => {
  const bitmap = new AtomicBitmap(0x1234, 0x10);
  const handle = structuredClone(shareBitmap(bitmap));
  assertEquals(handle?.offset, undefined);
  const attached = attachBitmap(handle);
  assert(attached instanceof AtomicBitmap);
  assertEquals([attached.byteSize, attached.pageSize], [0x1234, 0x10]);
  attached.markDirty(0x1233, 1);
  assertEquals([...bitmap.dirtyRuns()], [[0x1230, 4]]);
});

Deno.test("a slice that was sent is a slice at the same offset, also at 0", () => {
  const bitmap = new AtomicBitmap(0x100, 0x10);
  for (const offset of [0, 0x28]) {
    const attached = attachBitmap(structuredClone(shareBitmap(bitmap.sliceAt(offset))));
    assert(attached instanceof BitmapSlice);
    assertEquals(attached.offset, offset);
    attached.markDirty(8, 1);
    assertEquals([...bitmap.dirtyRuns()], [[(offset + 8) & ~0xf, 0x10]]);
    bitmap.reset();
  }
});

Deno.test("no bitmap is sent as nothing", () => {
  assertEquals(shareBitmap(NoBitmap), undefined);
  assertStrictEquals(attachBitmap(undefined), NoBitmap);
});

Deno.test("a bitmap of another kind cannot be sent", () => {
  for (const bitmap of [new BitmapGroup(), new BitmapGroup().sliceAt(4)]) {
    assertThrows(() => shareBitmap(bitmap), TypeError, "neither an AtomicBitmap nor a slice");
  }
});

Deno.test("a bitmap whose words are in an ArrayBuffer cannot be sent", () => {
  const bitmap = new AtomicBitmap(0x100, 0x10, new ArrayBuffer(8));
  for (const part of [bitmap, bitmap.sliceAt(0x10)]) {
    assertThrows(() => shareBitmap(part), TypeError, "in an ArrayBuffer");
  }
});

Deno.test("a bitmap over given memory cannot be sent", () => {
  const slice = VolatileSlice.from(new Uint8Array(new SharedArrayBuffer(8)));
  const bitmap = AtomicBitmap.over(slice, { byteSize: 0x100, pageSize: 0x10 });
  for (const part of [bitmap, bitmap.sliceAt(0x10)]) {
    assertThrows(() => shareBitmap(part), TypeError, "make an AtomicBitmap over it");
  }
});
