import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  FileOffset,
  GuestAddress,
  GuestRegionMmap,
  InvalidGuestRegion,
  MemoryClosed,
  type MemoryRegionAddress,
  MmapRegion,
  OutOfBounds,
  Permissions,
  u32,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { openFile } from "../../support/posix.ts";

const A = GuestAddress;
const at = (offset: number) => offset as MemoryRegionAddress;

Deno.test("GuestRegionMmap takes a mapping over from whoever mapped it", () => {
  const mmap = new MmapRegion(0x2000);
  const region = new GuestRegionMmap(mmap, A(0x1000));
  assertEquals([region.startAddr, region.len, region.lastAddr], [A(0x1000), 0x2000, A(0x2fff)]);
  assertStrictEquals(region.mmap, mmap);
  assertEquals(mmap.closed, false);
  region.close();
  assertEquals([region.closed, mmap.closed], [true, true]);
  assertThrows(() => region.readObj(u32, at(0)), MemoryClosed);
});

Deno.test("GuestRegionMmap beside another in one mapping keeps it open", () => {
  const mmap = new MmapRegion(0x1000);
  using first = new GuestRegionMmap(mmap, A(0));
  {
    using second = new GuestRegionMmap(mmap, A(0x8000));
    second.writeObj(u32, 7, at(4));
  }
  assertEquals([mmap.closed, first.readObj(u32, at(4))], [false, 7]);
});

Deno.test("GuestRegionMmap of a mapping that was closed is refused", () => {
  const mmap = new MmapRegion(0x1000);
  mmap.close();
  assertThrows(() => new GuestRegionMmap(mmap, A(0)), MemoryClosed);
});

Deno.test("GuestRegionMmap may end at 2^53, and not beyond", () => {
  using last = GuestRegionMmap.fromRange(A(2 ** 53 - 0x1000), 0x1000);
  assertEquals(last.lastAddr, A(2 ** 53 - 1));
  using mmap = new MmapRegion(0x1001);
  assertThrows(() => new GuestRegionMmap(mmap, A(2 ** 53 - 0x1000)), InvalidGuestRegion);
  assertEquals(mmap.closed, false);
});

Deno.test("GuestRegionMmap.fromRange() leaves no mapping behind where it fails", () => {
  let bitmaps = 0;
  const options = {
    bitmap(length: number) {
      bitmaps++;
      return new AtomicBitmap(length);
    },
  };
  const start = A(2 ** 53 - 0x1000);
  assertThrows(() => GuestRegionMmap.fromRange(start, 0x2000, options), InvalidGuestRegion);
  assertEquals(bitmaps, 1);
});

Deno.test("GuestRegionMmap.fromRange() asks for a bitmap with its length and its start", () => {
  const asked: unknown[] = [];
  const bitmap = new AtomicBitmap(0x1000, 1);
  using region = GuestRegionMmap.fromRange(A(0x5000), 0x1000, {
    bitmap(...args) {
      asked.push(args);
      return bitmap;
    },
  });
  region.writeObj(u32, 1, at(8));
  assertEquals(asked, [[0x1000, 0x5000]]);
  assertStrictEquals(region.bitmap, bitmap);
  assertEquals([...bitmap.dirtyRuns()], [[8, 4]]);
});

Deno.test("GuestRegionMmap.getHostAddress() is that of the mapping and the offset", () => {
  using region = GuestRegionMmap.fromRange(A(0x5000), 0x1000);
  const base = region.mmap.hostAddress();
  for (const offset of [0, 1, 0xfff]) {
    assertEquals(region.getHostAddress(at(offset)), base + BigInt(offset));
  }
  for (const offset of [-1, 0x1000]) {
    const error = assertThrows(() => region.getHostAddress(at(offset)), OutOfBounds);
    assertEquals(error.address, offset);
  }
  region.close();
  assertThrows(() => region.getHostAddress(at(0)), MemoryClosed);
});

for (const bad of [0.5, NaN] as MemoryRegionAddress[]) {
  Deno.test(`GuestRegionMmap.getHostAddress() refuses ${bad}`, () => {
    using region = GuestRegionMmap.fromRange(A(0), 0x1000);
    const error = assertThrows(() => region.getHostAddress(bad));
    assertEquals(error instanceof OutOfBounds || error instanceof RangeError, true);
  });
}

linuxTest("GuestRegionMmap knows its file, and shows what it is", () => {
  using file = openFile(new Uint8Array(0x3000));
  const place = new FileOffset(file.fd, 0x1000);
  using region = GuestRegionMmap.fromRange(A(0x8000), 0x2000, {
    backing: Backing.file(place),
    protection: Permissions.Read,
  });
  assertStrictEquals(region.fileOffset, place);
  assertEquals(region.isHugetlbfs, false);
  assertEquals(
    String(region),
    `GuestRegionMmap 0x8000-0x9fff 8 KiB file ${file.fd} at 0x1000 shared read-only`,
  );
  using anonymous = GuestRegionMmap.fromRange(A(0), 0x1000);
  assertEquals([anonymous.fileOffset, anonymous.isHugetlbfs], [undefined, false]);
  assertEquals(String(anonymous), "GuestRegionMmap 0x0-0xfff 4 KiB anonymous private read-write");
  anonymous.close();
  assertEquals(String(anonymous), "GuestRegionMmap 0x0-0xfff 4 KiB (closed)");
});
