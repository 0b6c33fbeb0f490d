import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Backing, MmapRegion, OutOfBounds, Overflow, SystemError } from "../../../mod.ts";
import { lockMemory } from "../../../ffi/pages.ts";
import { detailsAt } from "../../support/proc_maps.ts";
import { RecordingBitmap } from "../../support/recording_bitmap.ts";
import { linuxTest } from "../../support/linux_test.ts";

const PAGE = 4096;
const EINVAL = 22;

linuxTest("MmapRegion.advise() of hugepage sets the kernel's flag, nohugepage its opposite", () => {
  using region = new MmapRegion(2 ** 22);
  region.advise("hugepage");
  assert(detailsAt(region.hostAddress()).vmFlags.includes("hg"));
  region.advise("nohugepage");
  const { vmFlags } = detailsAt(region.hostAddress());
  assertEquals([vmFlags.includes("hg"), vmFlags.includes("nh")], [false, true]);
});

linuxTest("MmapRegion.advise() of dontdump and dontfork sets the kernel's flags", () => {
  using region = new MmapRegion(4 * PAGE);
  region.advise("dontdump", PAGE, PAGE);
  region.advise("dontfork", 2 * PAGE);
  const flagsAt = (offset: number) => detailsAt(region.hostAddress() + BigInt(offset)).vmFlags;
  assertEquals([0, 1, 2, 3].map((page) => flagsAt(page * PAGE).includes("dd")), [
    false,
    true,
    false,
    false,
  ]);
  assertEquals([0, 1, 2, 3].map((page) => flagsAt(page * PAGE).includes("dc")), [
    false,
    false,
    true,
    true,
  ]);
});

Deno.test("MmapRegion.advise() of dontneed zeroes private memory and marks it dirty", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(4 * PAGE, { bitmap: () => recorder });
  const view = region.asVolatileSlice().rawView().fill(7);
  region.advise("dontneed", PAGE, 2 * PAGE);
  assertEquals([0, 1, 2, 3].map((page) => view[page * PAGE]), [7, 0, 0, 7]);
  assertEquals(recorder.take(), [[PAGE, 2 * PAGE]]);
  region.advise("dontneed");
  assert(view.every((byte) => byte === 0));
  assertEquals(recorder.take(), [[0, 4 * PAGE]]);
});

Deno.test("MmapRegion.advise() marks all that a discard zeroes, to the end of the last page", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(2 * PAGE, { bitmap: () => recorder });
  const view = region.asVolatileSlice().rawView().fill(7);
  region.advise("dontneed", 0, 100);
  assertEquals([view[99], view[100], view[PAGE - 1], view[PAGE]], [0, 0, 0, 7]);
  assert(region.bitmap.dirtyAt(99));
  assert(region.bitmap.dirtyAt(PAGE - 1));
});

Deno.test("MmapRegion.advise() of dontneed keeps shared memory, remove discards it", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(PAGE, {
    backing: Backing.anonymous({ shared: true }),
    bitmap: () => recorder,
  });
  const view = region.asVolatileSlice().rawView().fill(7);
  region.advise("dontneed");
  assertEquals(view[0], 7);
  region.advise("remove");
  assertEquals(view[0], 0);
  assertEquals(recorder.take(), [[0, PAGE], [0, PAGE]]);
});

Deno.test("MmapRegion.advise() that discards nothing marks nothing", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(PAGE, { bitmap: () => recorder });
  for (const advice of ["normal", "random", "sequential", "willneed", "cold"] as const) {
    region.advise(advice);
  }
  assertEquals(recorder.take(), []);
});

Deno.test("MmapRegion.advise() of an unaligned range throws the kernel's EINVAL", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(2 * PAGE, { bitmap: () => recorder });
  const error = assertThrows(() => region.advise("dontneed", 1, PAGE), SystemError);
  assertEquals([error.call, error.code, error.errno], [
    "madvise",
    "EINVAL",
    EINVAL,
  ]);
  assertStringIncludes(error.message, "advice: dontneed");
  assertEquals(recorder.take(), []);
});

Deno.test("MmapRegion.advise() refuses a range that leaves the memory", () => {
  using region = new MmapRegion(2 * PAGE);
  assertThrows(() => region.advise("dontneed", 0, 2 * PAGE + 1), OutOfBounds);
  assertThrows(() => region.advise("dontneed", PAGE, 2 * PAGE), OutOfBounds);
  assertThrows(() => region.advise("dontneed", 3 * PAGE, 0), OutOfBounds);
  assertThrows(() => region.advise("dontneed", 2 ** 52, PAGE), OutOfBounds);
  for (const number of [-PAGE, NaN, Infinity, 0.5]) {
    assertThrows(() => region.advise("dontneed", number, PAGE), Overflow);
    assertThrows(() => region.advise("dontneed", 0, number), Overflow);
  }
});

Deno.test("MmapRegion.advise() from beyond the memory to its end is out of bounds", () => {
  using region = new MmapRegion(2 * PAGE);
  assertThrows(() => region.advise("dontneed", 3 * PAGE), OutOfBounds);
});

Deno.test("MmapRegion.advise() refuses advice that nobody knows", () => {
  using region = new MmapRegion(PAGE);
  assertThrows(() => region.advise("dontned" as "dontneed"), TypeError, "dontned");
  assertThrows(() => region.advise("toString" as "dontneed"), TypeError);
});

linuxTest("what failed in the middle has marked dirty what it may have given back", () => {
  for (const call of ["discard", "advise"] as const) {
    const recorder = new RecordingBitmap();
    using region = new MmapRegion(4 * PAGE, { bitmap: () => recorder });
    region.fill(0, 4 * PAGE, 7);
    recorder.take();
    // The kernel discards no pages that are locked.
    lockMemory(Number(region.hostAddress()) + 2 * PAGE, 2 * PAGE, false);
    assertThrows(
      () => call === "discard" ? region.discard() : region.advise("dontneed"),
      SystemError,
      "EINVAL",
    );
    assertEquals([region.isZero(0, 2 * PAGE), region.isZero(2 * PAGE)], [true, false]);
    assertEquals(recorder.take(), [[0, 4 * PAGE]]);
  }
});

Deno.test("MmapRegion.advise() marks nothing beyond the end of the memory", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(PAGE + 5, { bitmap: () => recorder });
  region.advise("dontneed", PAGE, 1);
  assertEquals(recorder.take(), [[PAGE, 5]]);
});
