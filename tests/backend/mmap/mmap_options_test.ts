import { assertEquals, assertThrows } from "@std/assert";
import { FileOffset, InvalidOffsetLength, InvalidPointer, MapFixed } from "../../../mod.ts";
import { MappingPastEof, pageSize, type Permissions, SystemError } from "../../../mod.ts";
import {
  checkFile,
  checkPointer,
  ensureNotFixed,
  hugePageOf,
  mapFlags,
  protBits,
} from "../../../src/backend/mmap/mmap_options.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open, openFile } from "../../support/posix.ts";

// Of asm-generic/mman-common.h and mman.h.
const SHARED = 1;
const PRIVATE = 2;
const FIXED = 0x10;
const ANONYMOUS = 0x20;
const NORESERVE = 0x4000;
const HUGETLB = 0x40000;
const FIXED_NOREPLACE = 0x100000;

linuxTest("mapFlags() are private without a file, and shared with one", () => {
  const file = new FileOffset(0);
  assertEquals(mapFlags({}, false), PRIVATE | ANONYMOUS | NORESERVE);
  assertEquals(mapFlags({ file }, false), SHARED | NORESERVE);
  assertEquals(mapFlags({ shared: true }, false), SHARED | ANONYMOUS | NORESERVE);
  assertEquals(mapFlags({ file, shared: false }, false), PRIVATE | NORESERVE);
});

linuxTest("mapFlags() reserve huge pages, and others if asked for", () => {
  assertEquals(mapFlags({ reserve: true }, false), PRIVATE | ANONYMOUS);
  assertEquals(mapFlags({}, true), PRIVATE | ANONYMOUS);
  assertEquals(mapFlags({ reserve: false }, true), PRIVATE | ANONYMOUS | NORESERVE);
});

linuxTest("mapFlags() add the bits that are asked for", () => {
  assertEquals(mapFlags({ flags: 0x8000 }, false), 0x8000 | PRIVATE | ANONYMOUS | NORESERVE);
});

linuxTest("ensureNotFixed() refuses MAP_FIXED and its like, whatever is beside it", () => {
  for (const flags of [undefined, 0, HUGETLB, 0x8000]) {
    ensureNotFixed(flags === undefined ? {} : { flags });
  }
  for (const flags of [FIXED, FIXED_NOREPLACE, FIXED | FIXED_NOREPLACE, FIXED | 0x8000]) {
    assertThrows(() => ensureNotFixed({ flags }), MapFixed);
  }
});

linuxTest("hugePageOf() is what the flags say, 2 MiB where they do not", () => {
  assertEquals(hugePageOf({}), undefined);
  assertEquals(hugePageOf({ flags: 0x8000 }), undefined);
  assertEquals(hugePageOf({ flags: HUGETLB }), 2 ** 21);
  assertEquals(hugePageOf({ flags: HUGETLB | 21 << 26 }), 2 ** 21);
  assertEquals(hugePageOf({ flags: HUGETLB | 30 << 26 }), 2 ** 30);
  // MAP_HUGE_16GB has the sign bit.
  assertEquals(hugePageOf({ flags: HUGETLB | 34 << 26 }), 2 ** 34);
  assertEquals(hugePageOf({ flags: HUGETLB, pointer: 0x1000n }), undefined);
  using file = openFile(new Uint8Array(1));
  assertEquals(hugePageOf({ file: new FileOffset(file.fd), flags: HUGETLB }), undefined);
});

Deno.test("protBits() are those of the permissions", () => {
  assertEquals(([0, 1, 2, 3] as Permissions[]).map(protBits), [0, 1, 2, 3]);
});

linuxTest("checkFile() wants every byte that is mapped of a regular file", () => {
  using file = openFile(new Uint8Array(0x2000));
  for (const [start, size] of [[0, 0x2000], [0x1000, 0x1000], [0x2000, 0], [0, 1]] as const) {
    checkFile(new FileOffset(file.fd, start), size);
  }
  for (const [start, size] of [[0, 0x2001], [0x1000, 0x1001], [0x2000, 1], [0x3000, 0]] as const) {
    assertThrows(
      () => checkFile(new FileOffset(file.fd, start), size),
      MappingPastEof,
      "it ends at 8192",
    );
  }
  using device = open("/dev/zero", "r");
  checkFile(new FileOffset(device.fd), 2 ** 40);
});

linuxTest("checkFile() refuses an end beyond 2^53 before it looks at the file", () => {
  const file = new FileOffset(2 ** 31 - 1, 2 ** 53 - 0x1000);
  assertThrows(() => checkFile(file, 0x1000), InvalidOffsetLength);
  assertThrows(() => checkFile(file, 0xfff), SystemError, "EBADF");
});

Deno.test("checkPointer() wants the start of a page below 2^53", () => {
  const page = BigInt(pageSize());
  for (const pages of [1n, 2n, 1000n]) {
    assertEquals(checkPointer(pages * page, 1), Number(pages * page));
  }
  for (const pointer of [0n, -page, 1n, page - 1n, page + 1n, 2n ** 53n, 2n ** 64n]) {
    assertThrows(() => checkPointer(pointer, 1), InvalidPointer);
  }
  const last = 2n ** 53n - page;
  assertEquals(checkPointer(last, Number(page) - 1), Number(last));
  assertThrows(() => checkPointer(last, Number(page)), InvalidPointer);
});
