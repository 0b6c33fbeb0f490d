import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  FileOffset,
  InvalidHandle,
  MemoryClosed,
  MmapRegion,
  type MmapRegionHandle,
  NoBitmap,
  Permissions,
  u32,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { mappingsOf } from "../../support/proc_maps.ts";
import { openFile } from "../../support/posix.ts";

linuxTest("MmapRegionHandle is cloned with all that attaching needs", () => {
  using file = openFile(new Uint8Array(0x3000));
  const bitmap = new AtomicBitmap(0x2000, 0x10);
  using region = new MmapRegion(0x2000, {
    backing: Backing.file(new FileOffset(file.fd, 0x1000)),
    bitmap: () => bitmap,
  });
  const handle: MmapRegionHandle = structuredClone(region.share());
  using attached = MmapRegion.attach(handle);
  assertEquals([attached.len, attached.flags, attached.owned], [0x2000, region.flags, true]);
  assertEquals([attached.fileOffset?.fd, attached.fileOffset?.start], [file.fd, 0x1000]);
  assertEquals([attached.isHugetlbfs, attached.protection], [false, Permissions.ReadWrite]);
  assertEquals(`${attached}`, `${region}`);
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

Deno.test("MmapRegionHandle of memory without a file or a bitmap has none", () => {
  using region = new MmapRegion(0x1000);
  const handle = region.share();
  assertEquals([handle.file, handle.bitmap], [undefined, undefined]);
  using attached = MmapRegion.attach(handle);
  assertEquals([attached.fileOffset, attached.bitmap], [undefined, NoBitmap]);
});

for (const protection of [Permissions.No, Permissions.Read, Permissions.Write] as const) {
  Deno.test(`MmapRegionHandle of memory with protection ${protection} keeps it`, () => {
    const region = new MmapRegion(0x1000);
    region.protect(protection);
    const handle = region.share();
    // Another memory is made where this thread has none.
    region.close();
    using attached = MmapRegion.attach(handle);
    assertEquals(attached.protection, protection);
  });
}

Deno.test("MmapRegionHandle that was stored as JSON is refused, and a clone is used in its place", () => {
  using region = new MmapRegion(0x1000);
  const handle = region.share();
  const stored = JSON.parse(JSON.stringify(handle));
  assertThrows(() => MmapRegion.attach(stored), InvalidHandle);
  MmapRegion.attach(structuredClone(handle)).close();
  assertThrows(() => MmapRegion.attach(handle), MemoryClosed);
});

Deno.test("MmapRegionHandle that was altered is refused, and stays good itself", () => {
  using region = new MmapRegion(0x1000);
  using other = new MmapRegion(0x1000);
  const handle = region.share();
  const { mapping } = handle;
  const mappings: unknown[] = [
    undefined,
    null,
    {},
    { ...mapping, text: mapping.text.replace("4096", "8192") },
    { ...mapping, text: "" },
    { ...mapping, seal: "0123456789abcdef" },
    { ...mapping, text: other.share().mapping.text },
    { ...other.share().mapping, text: mapping.text },
  ];
  for (const altered of mappings) {
    const bad = { ...handle, mapping: altered } as MmapRegionHandle;
    assertThrows(() => MmapRegion.attach(bad), InvalidHandle);
  }
  for (const bad of [undefined, null, {}, 7, "text"] as unknown as MmapRegionHandle[]) {
    assertThrows(() => MmapRegion.attach(bad), InvalidHandle);
  }
  using attached = MmapRegion.attach(handle);
  attached.getRef(u32, 0).store(7);
  assertEquals(region.getRef(u32, 0).load(), 7);
});

linuxTest("MmapRegionHandle with a bitmap that is none is refused, and holds nothing after", () => {
  using file = openFile(new Uint8Array(0x1000));
  const region = MmapRegion.fromFile(new FileOffset(file.fd), 0x1000);
  const handle = { ...region.share(), bitmap: { words: 7 } } as unknown as MmapRegionHandle;
  assertThrows(() => MmapRegion.attach(handle));
  assert(mappingsOf(file.path).length > 0);
  region.close();
  assertEquals(mappingsOf(file.path), []);
});

linuxTest("MmapRegionHandle with a file that is none is refused, and holds nothing after", () => {
  using file = openFile(new Uint8Array(0x1000));
  const region = MmapRegion.fromFile(new FileOffset(file.fd), 0x1000);
  const bad = { fd: -1, start: 0 };
  assertThrows(() => MmapRegion.attach({ ...region.share(), file: bad }), RangeError);
  region.close();
  assertEquals(mappingsOf(file.path), []);
});
