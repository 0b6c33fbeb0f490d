import { assert, assertEquals, assertFalse, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AccessDenied,
  Backing,
  FileOffset,
  GuestMemoryMmap,
  InvalidPointer,
  MapFixed,
  MmapRegion,
  NoBitmap,
  OptionRefused,
  OutOfBounds,
  Permissions,
  SystemError,
  u64,
  u8,
} from "../../../mod.ts";
import { countMappedBytes } from "../../support/mapped_bytes.ts";
import { gpa } from "../../support/values.ts";
import { detailsAt, mappingAt, mappings, sharedMappingsOfSize } from "../../support/proc_maps.ts";
import { RecordingBitmap } from "../../support/recording_bitmap.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;
const MAP_FIXED = 0x10;
const MAP_FIXED_NOREPLACE = 0x10_0000;
const MAP_NORESERVE = 0x4000;
const ENOMEM = 12;

Deno.test("MmapRegion is zeroed and keeps what is written to it", () => {
  using region = new MmapRegion(0x4000);
  const slice = region.asVolatileSlice();
  assert(slice.rawView().every((byte) => byte === 0));
  slice.writeObj(u64, 0x1122334455667788n, 0x3ff8);
  assertEquals(slice.readObj(u64, 0x3ff8), 0x1122334455667788n);
  assertEquals(region.getRef(u8, 0x3fff).load(), 0x11);
});

linuxTest(
  "MmapRegion is anonymous, private, readable, writable and not reserved by default",
  () => {
    using region = new MmapRegion(PAGE);
    assertEquals(mappingAt(region.hostAddress())?.permissions, "rw-p");
    assertEquals(mappingAt(region.hostAddress())?.path, "");
    assert(detailsAt(region.hostAddress()).vmFlags.includes("nr"));
    assertEquals(region.flags, 0x4022); // MAP_NORESERVE | MAP_ANONYMOUS | MAP_PRIVATE
    assertEquals(region.protection, Permissions.ReadWrite);
    assertEquals(region.bitmap, NoBitmap);
    assertEquals([region.len, region.owned, region.closed], [PAGE, true, false]);
    assertEquals([region.fileOffset, region.isHugetlbfs], [undefined, false]);
  },
);

linuxTest("MmapRegion with shared maps memory that child processes would share", () => {
  using region = new MmapRegion(PAGE, { backing: Backing.anonymous({ shared: true }) });
  assertEquals(mappingAt(region.hostAddress())?.permissions, "rw-s");
  assertEquals(region.flags, 0x4021);
});

linuxTest("MmapRegion with reserve leaves out MAP_NORESERVE", () => {
  using region = new MmapRegion(PAGE, { reserve: true });
  assertFalse(detailsAt(region.hostAddress()).vmFlags.includes("nr"));
  assertEquals(region.flags, 0x22);
});

linuxTest("MmapRegion takes only flags that no option stands for", () => {
  using region = new MmapRegion(PAGE, { reserve: true, flags: MAP_NORESERVE });
  assertEquals(region.flags & MAP_NORESERVE, MAP_NORESERVE);
  const MAP_POPULATE = 0x8000;
  const error = assertThrows(() => new MmapRegion(PAGE, { flags: MAP_POPULATE }), OptionRefused);
  assertEquals(error.option, "flags");
});

for (
  const [name, protection, shown] of [
    ["No", Permissions.No, "---p"],
    ["Read", Permissions.Read, "r--p"],
    ["Write", Permissions.Write, "-w-p"],
    ["ReadWrite", Permissions.ReadWrite, "rw-p"],
  ] as const
) {
  linuxTest(`MmapRegion with protection ${name} is ${shown} in the kernel`, () => {
    using region = new MmapRegion(PAGE, { protection });
    assertEquals(mappingAt(region.hostAddress())?.permissions, shown);
    assertEquals(region.protection, protection);
  });
}

linuxTest("MmapRegion refuses MAP_FIXED before it maps anything", () => {
  const size = 0x7_3000;
  const backing = Backing.anonymous({ shared: true });
  for (const flags of [MAP_FIXED, MAP_FIXED | MAP_NORESERVE, MAP_FIXED_NOREPLACE]) {
    assertThrows(() => new MmapRegion(size, { backing, flags }), MapFixed, "MAP_FIXED");
  }
  // Numbers that FFI would wrap to these.
  for (const flags of [-1, 2 ** 32 + MAP_FIXED, 0.5, NaN]) {
    assertThrows(() => new MmapRegion(size, { backing, flags }), RangeError, "as flags");
  }
  assertEquals(sharedMappingsOfSize(size), []);
});

Deno.test("MmapRegion with size 0 is refused by the kernel", () => {
  const error = assertThrows(() => new MmapRegion(0), SystemError);
  assertEquals([error.call, error.code, error.errno], ["mmap", "EINVAL", 22]);
});

for (const size of [-1, -PAGE, 0.5, 1.5, NaN, Infinity, -Infinity, 2 ** 53, 2 ** 64]) {
  Deno.test(`MmapRegion refuses size ${size} with RangeError`, () => {
    assertThrows(() => new MmapRegion(size), RangeError);
  });
}

for (const size of [2 ** 47, 2 ** 52, 2 ** 53 - 1]) {
  Deno.test(`MmapRegion of 0x${size.toString(16)} bytes throws the kernel's ENOMEM`, () => {
    const error = assertThrows(() => new MmapRegion(size), SystemError);
    assertEquals([error.name, error.call], ["SystemError", "mmap"]);
    assertEquals([error.code, error.errno], ["ENOMEM", ENOMEM]);
    const pages = Math.ceil(size / PAGE) * PAGE;
    assertStringIncludes(error.message, `Cannot mmap(length: ${pages}`);
  });
}

for (const size of [1, 1000, 5000]) {
  linuxTest(`MmapRegion of ${size} bytes ends where asked and is unmapped to the last page`, () => {
    const region = new MmapRegion(size, { backing: Backing.anonymous({ shared: true }) });
    const slice = region.asVolatileSlice();
    slice.writeObj(u8, 7, size - 1);
    assertEquals(slice.readObj(u8, size - 1), 7);
    assertThrows(() => slice.write(Uint8Array.of(1), size), OutOfBounds);
    assertEquals([region.len, slice.len, slice.rawView().length], [size, size, size]);
    const mapping = mappingAt(region.hostAddress());
    assertEquals(mapping!.end - mapping!.start, Math.ceil(size / PAGE) * PAGE);
    region.close();
    assertFalse(mappings().some(({ inode }) => inode === mapping!.inode));
  });
}

Deno.test("MmapRegion makes the bitmap of its length and marks writes in it", () => {
  const lengths: number[] = [];
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(5000, {
    bitmap: (length) => {
      lengths.push(length);
      return recorder;
    },
  });
  region.asVolatileSlice().write(Uint8Array.of(1, 2, 3), 4998);
  assertEquals(lengths, [5000]);
  assertEquals(recorder.take(), [[4998, 2]]);
});

linuxTest("MmapRegion leaves no mapping behind when the bitmap cannot be made", () => {
  const size = 0x7_5000;
  const bitmap = () => {
    throw new Error("no bitmap");
  };
  assertThrows(
    () => new MmapRegion(size, { backing: Backing.anonymous({ shared: true }), bitmap }),
    Error,
    "no bitmap",
  );
  assertEquals(sharedMappingsOfSize(size), []);
});

for (const pointer of [0n, -4096n, 1n, 4095n, 0x10_0001n, 2n ** 53n, 2n ** 64n - 4096n]) {
  Deno.test(`MmapRegion refuses the foreign pointer ${pointer}`, () => {
    const error = assertThrows(
      () => new MmapRegion(PAGE, { backing: Backing.foreign(pointer) }),
      InvalidPointer,
    );
    assertStringIncludes(error.message, pointer < 0n ? "-0x1000" : `0x${pointer.toString(16)}`);
  });
}

for (const size of [-1, 0.5, NaN, Infinity]) {
  Deno.test(`MmapRegion refuses size ${size} for a foreign pointer with RangeError`, () => {
    using region = new MmapRegion(PAGE);
    const pointer = region.hostAddress();
    assertThrows(() => new MmapRegion(size, { backing: Backing.foreign(pointer) }), RangeError);
  });
}

linuxTest("MmapRegion of a foreign pointer shares its bytes and does not unmap them", () => {
  using region = new MmapRegion(2 * PAGE, { backing: Backing.anonymous({ shared: true }) });
  const wrapper = new MmapRegion(PAGE, {
    backing: Backing.foreign(region.hostAddress() + BigInt(PAGE)),
  });
  assertEquals([wrapper.owned, wrapper.toString()], [false, "MmapRegion 4 KiB foreign read-write"]);
  wrapper.asVolatileSlice().writeObj(u64, 42n, 8);
  assertEquals(region.asVolatileSlice().readObj(u64, PAGE + 8), 42n);
  const view = wrapper.asVolatileSlice().rawView();
  wrapper.close();
  assertEquals([view.length, view.byteLength, view[8]], [0, 0, undefined]);
  assertEquals(mappingAt(region.hostAddress())?.permissions, "rw-s");
  assertEquals(region.asVolatileSlice().readObj(u64, PAGE + 8), 42n);
});

Deno.test("MmapRegion of unmapped foreign memory throws what the kernel says of it", () => {
  using region = new MmapRegion(PAGE, { backing: Backing.foreign(BigInt(PAGE)) });
  const { code } = assertThrows(() => region.flush(), SystemError, "Cannot msync(address: 0x1000");
  assertEquals(code, "ENOMEM");
  assertThrows(() => region.advise("willneed"), SystemError, "Cannot madvise(address: 0x1000");
  assertThrows(
    () => region.protect(Permissions.No),
    SystemError,
    "Cannot mprotect(address: 0x1000",
  );
  assertEquals(region.protection, Permissions.ReadWrite);
});

Deno.test("MmapRegion.flush() takes every kind of memory, waiting or not", () => {
  using file = temporaryFile(PAGE);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  using mapped = MmapRegion.fromFile(new FileOffset(opened), PAGE);
  mapped.asVolatileSlice().writeObj(u8, 7, 0);
  mapped.flush();
  mapped.flush(false);
  using anonymous = new MmapRegion(PAGE);
  anonymous.flush();
  assertEquals(Deno.readFileSync(file.path)[0], 7);
});

Deno.test("MmapRegion.fdsOverlap() compares files and ranges, not descriptors", () => {
  using file = temporaryFile(4 * PAGE);
  using another = temporaryFile(4 * PAGE);
  using a = Deno.openSync(file.path, { read: true, write: true });
  using b = open(file.path, "r+");
  using c = open(another.path, "r+");
  const map = (file: Deno.FsFile | number, page: number, size: number) =>
    MmapRegion.fromFile(new FileOffset(file, page * PAGE), size);
  using first = map(a, 0, 2 * PAGE);
  using second = map(a, 1, 2 * PAGE);
  using third = map(a, 2, PAGE);
  using same = map(b.fd, 0, PAGE);
  using other = map(c.fd, 0, 4 * PAGE);
  using anonymous = new MmapRegion(PAGE);
  assert(first.fdsOverlap(first));
  assert(first.fdsOverlap(second) && second.fdsOverlap(first));
  assert(second.fdsOverlap(third) && third.fdsOverlap(second));
  assertFalse(first.fdsOverlap(third) || third.fdsOverlap(first));
  assert(first.fdsOverlap(same) && same.fdsOverlap(first));
  assertFalse(second.fdsOverlap(same) || same.fdsOverlap(second));
  assertFalse(first.fdsOverlap(other) || other.fdsOverlap(first));
  assertFalse(first.fdsOverlap(anonymous) || anonymous.fdsOverlap(first));
  assertFalse(anonymous.fdsOverlap(anonymous));
});

linuxTest("MmapRegion.fdsOverlap() finds the ranges of one memfd apart, and two memfds too", () => {
  const [one, two] = [Backing.memfd(), Backing.memfd()];
  using first = new MmapRegion(PAGE, { backing: one });
  using second = new MmapRegion(PAGE, { backing: one });
  using third = new MmapRegion(PAGE, { backing: two });
  assert(first.fdsOverlap(first));
  // Each region that is mapped by itself has a memfd of its own.
  assertFalse(first.fdsOverlap(second) || first.fdsOverlap(third));
});

Deno.test("MmapRegion.fdsOverlap() knows the file after its descriptor was closed and reused", () => {
  using file = temporaryFile(PAGE);
  using another = temporaryFile(PAGE);
  const map = (path: string) => {
    using opened = open(path, "r+");
    return MmapRegion.fromFile(new FileOffset(opened.fd), PAGE);
  };
  using first = map(file.path);
  // The number of its descriptor is free again.
  using second = map(another.path);
  using third = map(file.path);
  assertFalse(first.fdsOverlap(second));
  assert(first.fdsOverlap(third));
});

linuxTest("MmapRegion.isHugetlbfs says what its pages are, where that is known", () => {
  using file = temporaryFile(PAGE);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  using owned = new MmapRegion(PAGE);
  const backings: readonly (readonly [Backing, boolean | undefined])[] = [
    [Backing.anonymous({ shared: true }), false],
    [Backing.memfd(), false],
    [Backing.file(opened), false],
    [Backing.foreign(owned.hostAddress()), undefined],
  ];
  for (const [backing, expected] of backings) {
    using region = new MmapRegion(PAGE, { backing });
    assertEquals(region.isHugetlbfs, expected);
  }
});

for (const make of [Backing.anonymous, Backing.memfd]) {
  linuxTest(
    `MmapRegion in huge pages of ${make.name} is mapped and unmapped whole, or refused`,
    () => {
      const backing = make({ hugePages: 2 ** 21 });
      assertThrows(() => new MmapRegion(PAGE, { backing }), RangeError, "in huge pages");
      let region: MmapRegion;
      try {
        region = new MmapRegion(2 ** 21, { backing });
      } catch (error) {
        // The host has no huge pages to give.
        assert(error instanceof OptionRefused);
        assertEquals(error.option, "hugePages");
        return;
      }
      assertEquals(region.isHugetlbfs, true);
      const { start } = mappingAt(region.hostAddress())!;
      region.close();
      assertEquals(mappingAt(BigInt(start)), undefined);
    },
  );
}

Deno.test("MmapRegion.toString() says how long, what kind and what may be done", () => {
  using file = temporaryFile(2 * PAGE);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const offset = new FileOffset(opened, PAGE);
  const region = new MmapRegion(1.5 * 2 ** 30);
  using shared = new MmapRegion(1000, {
    backing: Backing.anonymous({ shared: true }),
    protection: Permissions.No,
  });
  using mapped = MmapRegion.fromFile(offset, PAGE, { protection: Permissions.Read });
  assertEquals(`${region}`, "MmapRegion 1.5 GiB anonymous private read-write");
  assertEquals(`${shared}`, "MmapRegion 1000 B anonymous shared no access");
  assertEquals(`${mapped}`, `MmapRegion 4 KiB file ${offset.fd} at 0x1000 shared read-only`);
  assertEquals(Deno.inspect(mapped), `${mapped}`);
  region.close();
  assertEquals(`${region}`, "MmapRegion 1.5 GiB (closed)");
});

linuxTest("one copy may be of more than 2 GiB", () => {
  const size = 2 ** 31 + PAGE;
  using region = new MmapRegion(size);
  // A buffer that is mapped too, and reads as zeros without taking pages.
  using other = new MmapRegion(size);
  // Pages come much faster as huge ones, where there are any.
  for (const mmap of [region, other]) mmap.advise("hugepage");
  const buf = other.asVolatileSlice().rawView();
  buf[0] = 1;
  buf[size - 1] = 2;
  const slice = region.asVolatileSlice();
  assertEquals(slice.write(buf, 0), size);
  assertEquals([slice.readObj(u8, 0), slice.readObj(u8, size - 1)], [1, 2]);
});

Deno.test("MmapRegion.fill() sets bytes and marks them, if they may be written", () => {
  const recorder = new RecordingBitmap();
  using region = new MmapRegion(2 * PAGE, { bitmap: () => recorder });
  const view = region.asVolatileSlice().rawView();
  region.fill(3, 4, 0xab);
  region.fill(PAGE, 1, 255);
  region.fill(8, 0, 1);
  assertEquals([...view.subarray(2, 8)], [0, 0xab, 0xab, 0xab, 0xab, 0]);
  assertEquals([view[PAGE - 1], view[PAGE], view[PAGE + 1]], [0, 255, 0]);
  assertEquals(recorder.take(), [[3, 4], [PAGE, 1]]);
  for (const value of [-1, 256, 0.5, NaN]) {
    assertThrows(() => region.fill(0, 1, value), RangeError, "integer from 0 to 255");
  }
  for (const bad of ["1", 1n, undefined] as unknown as number[]) {
    assertThrows(() => region.fill(0, 1, bad), TypeError);
    assertThrows(() => region.fill(0, bad, 1), TypeError);
  }
  assertThrows(() => region.fill(PAGE, PAGE + 1, 1), OutOfBounds);
  region.protect(Permissions.Read);
  assertThrows(() => region.fill(0, 1, 1), AccessDenied);
  region.fill(8, 0, 1);
  assertEquals(recorder.take(), []);
});

Deno.test("MmapRegion.isZero() looks at the bytes of a range, if they may be read", () => {
  using region = new MmapRegion(PAGE + 5);
  assertEquals(region.isZero(), true);
  region.fill(PAGE, 1, 1);
  assertEquals([region.isZero(), region.isZero(0, PAGE), region.isZero(PAGE)], [
    false,
    true,
    false,
  ]);
  assertEquals([region.isZero(PAGE + 1), region.isZero(PAGE, 0)], [true, true]);
  assertEquals([region.isZero(PAGE + 5), region.discard(PAGE + 5)], [true, 0]);
  assertThrows(() => region.isZero(0, PAGE + 6), OutOfBounds);
  region.protect(Permissions.Write);
  assertThrows(() => region.isZero(0, 1), AccessDenied);
  assertEquals(region.isZero(8, 0), true);
});

linuxTest("MmapRegion and a memory that cannot be viewed are unmapped", () => {
  const { getArrayBuffer } = Deno.UnsafePointerView;
  let left = 1;
  Deno.UnsafePointerView.getArrayBuffer = (...args) => {
    if (left-- === 0) throw new RangeError("no buffer");
    return getArrayBuffer(...args);
  };
  try {
    countMappedBytes((mapped) => {
      using _region = new MmapRegion(PAGE);
      assertThrows(() => new MmapRegion(PAGE), RangeError, "no buffer");
      assertEquals(mapped(), PAGE);
      left = 1;
      const ranges = [0, 1, 2].map((n) => [gpa(2 * n * PAGE), PAGE] as const);
      assertThrows(() => GuestMemoryMmap.fromRanges(ranges), RangeError, "no buffer");
      assertEquals(mapped(), PAGE);
    });
  } finally {
    Deno.UnsafePointerView.getArrayBuffer = getArrayBuffer;
  }
});

Deno.test("MmapRegion asks for no bitmap of a size that cannot be mapped", () => {
  for (const size of [-1, 0.5, NaN, 2 ** 53]) {
    const bitmap = () => {
      throw new Error("asked");
    };
    assertThrows(() => new MmapRegion(size, { bitmap }), RangeError);
  }
});
