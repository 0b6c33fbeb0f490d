import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  FileOffset,
  MemoryClosed,
  MmapRegion,
  type MmapRegionHandle,
  Permissions,
  u32,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { openFile } from "../../support/posix.ts";

linuxTest("MmapRegionHandle is cloned with all that attaching needs", () => {
  using file = openFile(new Uint8Array(0x3000));
  const bitmap = new AtomicBitmap(0x2000, 0x10);
  using region = new MmapRegion(0x2000, {
    file: new FileOffset(file.fd, 0x1000),
    bitmap: () => bitmap,
    hugetlbfs: false,
  });
  const handle: MmapRegionHandle = structuredClone(region.share());
  using attached = MmapRegion.attach(handle);
  assertEquals([attached.len, attached.flags, attached.owned], [0x2000, region.flags, true]);
  assertEquals([attached.fileOffset?.fd, attached.fileOffset?.start], [file.fd, 0x1000]);
  assertEquals([attached.isHugetlbfs, attached.protection], [false, Permissions.ReadWrite]);
  attached.asVolatileSlice().writeObj(u32, 7, 0x18);
  assertEquals(region.asVolatileSlice().readObj(u32, 0x18), 7);
  assertEquals([...bitmap.dirtyRuns()], [[0x10, 0x10]]);
});

Deno.test("MmapRegionHandle is for once, also where it was cloned", () => {
  using region = new MmapRegion(0x1000);
  const handle = region.share();
  const clone = structuredClone(handle);
  using _attached = MmapRegion.attach(handle);
  assertThrows(() => MmapRegion.attach(clone), MemoryClosed, "a handle that was used");
  assertThrows(() => MmapRegion.attach(handle), MemoryClosed, "a handle that was used");
});

Deno.test("MmapRegionHandle keeps the protection that memory had when it was shared", () => {
  using region = new MmapRegion(0x1000);
  region.protect(Permissions.Read);
  const handle = region.share();
  assertEquals([handle.protection, handle.file, handle.bitmap, handle.hugetlbfs], [
    ...[Permissions.Read, undefined, undefined, undefined],
  ]);
  using attached = MmapRegion.attach(handle);
  assertEquals(attached.protection, Permissions.Read);
});
