import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import {
  Backing,
  FileOffset,
  InvalidOffsetLength,
  MappingPastEof,
  MmapRegion,
  MmapRegionError,
  Permissions,
  SystemError,
  u8,
} from "../../../mod.ts";
import { mappingAt, mappingsOf } from "../../support/proc_maps.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;
const MFD_HUGETLB = 4;
const readWrite: Deno.OpenOptions = { read: true, write: true };

/** Page n of the content is filled with n + 1. */
function pages(count: number): Uint8Array {
  return Uint8Array.from({ length: count * PAGE }, (_, at) => Math.floor(at / PAGE) + 1);
}

function firstByte(region: MmapRegion): number {
  return region.asVolatileSlice().readObj(u8, 0);
}

/** Where the kernel says that a descriptor stands. */
function positionOf(fd: number): number {
  return Number(/^pos:\s*(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))?.[1]);
}

linuxTest("FileOffset finds the descriptor of a Deno.FsFile and leaves its position", () => {
  using file = temporaryFile(pages(2));
  using opened = Deno.openSync(file.path, readWrite);
  opened.seekSync(1234, Deno.SeekMode.Start);
  const offset = new FileOffset(opened, PAGE);
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${offset.fd}`), file.path);
  assertEquals(opened.seekSync(0, Deno.SeekMode.Current), 1234);
  assertEquals(positionOf(offset.fd), 1234);
  assertEquals([offset.start, offset.file], [PAGE, opened]);
});

linuxTest("FileOffset takes the lowest descriptor of a file that is open several times", () => {
  using file = temporaryFile(pages(1));
  using stack = new DisposableStack();
  const files = Array.from({ length: 8 }, () => stack.use(Deno.openSync(file.path, readWrite)));
  const [lowest, ...others] = files.map((file) => new FileOffset(file).fd);
  assert(others.every((fd) => fd === lowest));
  files[5]!.seekSync(100, Deno.SeekMode.Start);
  const moved = new FileOffset(files[5]!).fd;
  assertEquals([positionOf(moved), positionOf(lowest!)], [100, 0]);
  assert(moved > lowest!);
});

linuxTest("FileOffset refuses a file that is open for several things, and names them", () => {
  using file = temporaryFile(pages(1));
  using reader = Deno.openSync(file.path, { read: true });
  const { fd } = new FileOffset(reader);
  using _writer = Deno.openSync(file.path, { write: true });
  using other = Deno.openSync(file.path, readWrite);
  const { message } = assertThrows(() => new FileOffset(other), TypeError);
  assertMatch(
    message,
    RegExp(`any of ${fd} \\(read\\), \\d+ \\(write\\), \\d+ \\(read and write\\)`),
  );
  assertStringIncludes(message, "pass a raw fd");
  // What was found before is known.
  assertEquals(new FileOffset(reader).fd, fd);
  other.seekSync(1, Deno.SeekMode.Start);
  assertEquals(positionOf(new FileOffset(other).fd), 1);
});

linuxTest("FileOffset compares devices: the same inode number elsewhere is another file", () => {
  using file = temporaryFile(1);
  using opened = Deno.openSync(file.path, readWrite);
  const { dev, ino } = opened.statSync();
  const elsewhere = { seekSync: () => 0, statSync: () => ({ dev: dev + 1, ino }) };
  assertThrows(() => new FileOffset(elsewhere as unknown as Deno.FsFile), TypeError, "raw fd");
  const other = { seekSync: () => 0, statSync: () => ({ dev, ino: ino! + 2 ** 40 }) };
  assertThrows(() => new FileOffset(other as unknown as Deno.FsFile), TypeError, "raw fd");
});

linuxTest("FileOffset reads each field of a file's status once", () => {
  using file = temporaryFile(1);
  using opened = Deno.openSync(file.path, readWrite);
  const asked: string[] = [];
  const status = opened.statSync();
  const watched = {
    seekSync: (offset: number, whence: Deno.SeekMode) => {
      asked.push(`seek ${offset} ${whence}`);
      return opened.seekSync(offset, whence);
    },
    statSync: () => {
      asked.push("stat");
      return new Proxy(status, {
        get: (target, name) => (asked.push(String(name)), Reflect.get(target, name)),
      });
    },
  };
  const { fd } = new FileOffset(watched as unknown as Deno.FsFile);
  assertEquals(asked, ["stat", "dev", "ino", "seek 0 1", "seek 0 1"]);
  assertEquals(fd, new FileOffset(opened).fd);
});

linuxTest("FileOffset leaves a write alone that is pending", async () => {
  using file = temporaryFile(0);
  using opened = Deno.openSync(file.path, readWrite);
  for (let round = 0; round < 300; round++) {
    const at = opened.seekSync(0, Deno.SeekMode.Current);
    const written = opened.write(new Uint8Array(100).fill(round));
    for (let i = 0; i < 10; i++) new FileOffset(opened);
    assertEquals(await written, 100);
    assertEquals(opened.seekSync(0, Deno.SeekMode.Current), at + 100);
  }
  const expected = Uint8Array.from({ length: 30_000 }, (_, at) => Math.floor(at / 100));
  assertEquals(Deno.readFileSync(file.path), expected);
});

linuxTest("FileOffset finds a file that a transfer moves all the time", () => {
  using file = temporaryFile(1);
  using opened = Deno.openSync(file.path, readWrite);
  let position = 0;
  const moving = { seekSync: () => position++, statSync: () => opened.statSync() };
  const { fd } = new FileOffset(moving as unknown as Deno.FsFile);
  assertEquals(fd, new FileOffset(opened).fd);
  using _reader = Deno.openSync(file.path, { read: true });
  assertThrows(
    () => new FileOffset(moving as unknown as Deno.FsFile),
    TypeError,
    `${fd} (read and`,
  );
});

linuxTest("FileOffset tells apart files open on the same path at different positions", () => {
  using file = temporaryFile(pages(1));
  using stack = new DisposableStack();
  const files = [0, 7, 7, 4096, 8, 6].map((position) => {
    const opened = stack.use(Deno.openSync(file.path, readWrite));
    opened.seekSync(position, Deno.SeekMode.Start);
    return opened;
  });
  const fds = files.map((file) => new FileOffset(file).fd);
  assertEquals(new Set(fds).size, files.length - 1);
  assertEquals(fds.map(positionOf), [0, 7, 7, 4096, 8, 6]);
  assertEquals(
    files.map((file) => file.seekSync(0, Deno.SeekMode.Current)),
    [0, 7, 7, 4096, 8, 6],
  );
});

linuxTest("FileOffset finds a file that is open to read only, to append, and deleted", () => {
  using file = temporaryFile(pages(1));
  const deleted = Deno.makeTempFileSync();
  const links = [
    [file.path, { read: true }],
    [file.path, { append: true }],
    [deleted, readWrite],
  ].map(([path, options]) => {
    using opened = Deno.openSync(path as string, options as Deno.OpenOptions);
    if (path === deleted) Deno.removeSync(deleted);
    return Deno.readLinkSync(`/proc/self/fd/${new FileOffset(opened).fd}`);
  });
  assertEquals(links, [file.path, file.path, `${deleted} (deleted)`]);
});

Deno.test("FileOffset takes a raw descriptor as it is", () => {
  using file = temporaryFile(pages(3));
  const fd = openSync(file.path, "r+");
  const offset = new FileOffset(fd, 2 * PAGE);
  assertEquals([offset.fd, offset.start, offset.file], [fd, 2 * PAGE, fd]);
  using region = MmapRegion.fromFile(offset, PAGE);
  closeSync(fd);
  assertEquals(firstByte(region), 3);
});

for (const fd of [-1, 1.5, NaN, Infinity, 2 ** 31, -(2 ** 31)]) {
  Deno.test(`FileOffset refuses descriptor ${fd}`, () => {
    assertThrows(() => new FileOffset(fd), RangeError, `${fd}`);
  });
}

for (const start of [-1, -PAGE, 0.5, NaN, Infinity, 2 ** 53]) {
  Deno.test(`FileOffset refuses start ${start}`, () => {
    assertThrows(() => new FileOffset(0, start), RangeError, `${start}`);
  });
}

Deno.test("FileOffset of a Deno.FsFile that cannot seek asks for a raw descriptor", () => {
  // A terminal is the same: any file whose position the kernel refuses with ESPIPE.
  using fifo = namedPipe();
  using opened = Deno.openSync(fifo.path, readWrite);
  assertThrows(() => new FileOffset(opened), TypeError, "raw fd");
});

linuxTest("FileOffset of a device that is open twice asks for a raw descriptor", () => {
  using zero = Deno.openSync("/dev/zero", readWrite);
  const { fd } = new FileOffset(zero);
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${fd}`), "/dev/zero");
  using _again = Deno.openSync("/dev/zero", readWrite);
  assertThrows(() => new FileOffset(zero), TypeError, `any of ${fd} (read and write)`);
});

Deno.test("FileOffset of a closed Deno.FsFile throws BadResource", () => {
  using file = temporaryFile(1);
  const opened = Deno.openSync(file.path);
  opened.close();
  assertThrows(() => new FileOffset(opened), Deno.errors.BadResource);
});

linuxTest("FileOffset finds its descriptor while a Worker opens and closes files", async () => {
  using file = temporaryFile(1);
  using busy = temporaryFile(1);
  const code = `
    for (let round = 0;; round++) {
      const files = Array.from({ length: 20 }, () => Deno.openSync(${JSON.stringify(busy.path)}));
      for (const file of files) file.close();
      if (round === 0) postMessage("started");
    }`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  // The Worker's descriptors come and go below the file's.
  const below = Array.from({ length: 40 }, () => Deno.openSync(file.path));
  using opened = Deno.openSync(file.path);
  for (const file of below) file.close();
  try {
    const { fd } = new FileOffset(opened);
    for (let i = 0; i < 3000; i++) assertEquals(new FileOffset(opened).fd, fd);
  } finally {
    worker.terminate();
  }
});

linuxTest("MmapRegion.fromFile() maps from the start offset, for every page", () => {
  using file = temporaryFile(pages(4));
  using opened = Deno.openSync(file.path, readWrite);
  for (const page of [0, 1, 2, 3]) {
    using region = MmapRegion.fromFile(new FileOffset(opened, page * PAGE), PAGE);
    assertEquals(firstByte(region), page + 1);
    const mapping = mappingAt(region.hostAddress())!;
    assertEquals([mapping.offset, mapping.permissions], [page * PAGE, "rw-s"]);
    assertEquals(mapping.path, file.path);
    assertEquals(region.fileOffset?.start, page * PAGE);
  }
  assertEquals(mappingsOf(file.path), []);
});

Deno.test("MmapRegion.fromFile() keeps its mapping when the file is closed", () => {
  using file = temporaryFile(pages(1));
  const opened = Deno.openSync(file.path, readWrite);
  using region = MmapRegion.fromFile(new FileOffset(opened), PAGE);
  opened.close();
  region.asVolatileSlice().writeObj(u8, 9, 100);
  region.flush();
  assertEquals(firstByte(region), 1);
  assertEquals(Deno.readFileSync(file.path)[100], 9);
});

Deno.test("MmapRegion.fromFile() shares: writes reach the file, and the file's writes arrive", () => {
  using file = temporaryFile(pages(2));
  using opened = Deno.openSync(file.path, readWrite);
  using region = MmapRegion.fromFile(new FileOffset(opened, PAGE), PAGE);
  using again = MmapRegion.fromFile(new FileOffset(opened), 2 * PAGE);
  region.asVolatileSlice().writeObj(u8, 77, 5);
  assertEquals(again.asVolatileSlice().readObj(u8, PAGE + 5), 77);
  assertEquals(Deno.readFileSync(file.path)[PAGE + 5], 77);
  opened.seekSync(PAGE + 6, Deno.SeekMode.Start);
  opened.writeSync(Uint8Array.of(78));
  assertEquals(region.asVolatileSlice().readObj(u8, 6), 78);
});

linuxTest("MmapRegion of a private file keeps its writes to itself", () => {
  using file = temporaryFile(pages(1));
  using opened = Deno.openSync(file.path, readWrite);
  using region = new MmapRegion(PAGE, {
    backing: Backing.file(new FileOffset(opened), { private: true }),
  });
  assertEquals(mappingAt(region.hostAddress())?.permissions, "rw-p");
  region.asVolatileSlice().writeObj(u8, 77, 0);
  region.flush();
  assertEquals(firstByte(region), 77);
  assertEquals(Deno.readFileSync(file.path), pages(1));
  region.advise("dontneed");
  assertEquals(firstByte(region), 1);
});

linuxTest("MmapRegion that would pass the end of its file is refused, by one byte even", () => {
  using file = temporaryFile(PAGE + 1000);
  using opened = Deno.openSync(file.path, readWrite);
  const refused = (size: number, start: number) =>
    assertThrows(
      () => new MmapRegion(size, { backing: Backing.file(new FileOffset(opened, start)) }),
      MappingPastEof,
    );
  assertStringIncludes(refused(PAGE + 1001, 0).message, "it ends at 5096");
  assert(refused(1001, PAGE) instanceof MmapRegionError);
  refused(1, 2 * PAGE);
  refused(2 ** 40, 0);
  assertEquals(mappingsOf(file.path), []);
  using whole = MmapRegion.fromFile(new FileOffset(opened), PAGE + 1000);
  using part = MmapRegion.fromFile(new FileOffset(opened, PAGE), 1000);
  assertEquals([whole.len, part.len], [PAGE + 1000, 1000]);
});

Deno.test("MmapRegion of an empty file is refused", () => {
  using file = temporaryFile(0);
  using opened = Deno.openSync(file.path, readWrite);
  assertThrows(() => MmapRegion.fromFile(new FileOffset(opened), 1), MappingPastEof, "ends at 0");
});

Deno.test("MmapRegion whose offset plus size is beyond 2^53 is refused", () => {
  using file = temporaryFile(PAGE);
  using opened = Deno.openSync(file.path, readWrite);
  for (const [start, size] of [[2 ** 53 - PAGE, 2 * PAGE], [2 ** 53 - 1, 2], [PAGE, 2 ** 53 - 1]]) {
    assertThrows(
      () => MmapRegion.fromFile(new FileOffset(opened, start), size!),
      InvalidOffsetLength,
    );
  }
});

Deno.test("MmapRegion from an offset within a page throws the kernel's EINVAL", () => {
  using file = temporaryFile(pages(3));
  using opened = Deno.openSync(file.path, readWrite);
  for (const start of [1, 512, PAGE - 1, PAGE + 1]) {
    const error = assertThrows(
      () => MmapRegion.fromFile(new FileOffset(opened, start), PAGE),
      SystemError,
      `offset: ${start}`,
    );
    assertEquals([error.call, error.code], ["mmap", "EINVAL"]);
  }
});

for (const size of [-1, 0.5, NaN, Infinity]) {
  Deno.test(`MmapRegion.fromFile() refuses size ${size}`, () => {
    using file = temporaryFile(PAGE);
    using opened = Deno.openSync(file.path, readWrite);
    const error = assertThrows(() => MmapRegion.fromFile(new FileOffset(opened), size));
    // Infinity is past every end.
    assert(error instanceof RangeError || error instanceof MmapRegionError);
  });
}

linuxTest("MmapRegion of a device is not held to a size", () => {
  const fd = openSync("/dev/zero", "r+");
  using region = new MmapRegion(2 ** 30, {
    backing: Backing.file(new FileOffset(fd), { private: true }),
  });
  closeSync(fd);
  const slice = region.asVolatileSlice();
  assertEquals(slice.readObj(u8, 2 ** 30 - 1), 0);
  slice.writeObj(u8, 7, 2 ** 30 - 1);
  assertEquals(slice.readObj(u8, 2 ** 30 - 1), 7);
});

Deno.test("MmapRegion of a descriptor that is not open throws the kernel's EBADF", () => {
  const error = assertThrows(
    () => MmapRegion.fromFile(new FileOffset(2 ** 31 - 1), PAGE),
    SystemError,
    "fd: 2147483647",
  );
  assertEquals([error.code, error.errno], ["EBADF", 9]);
});

Deno.test("MmapRegion of a directory or a pipe throws what the kernel says", () => {
  using fifo = namedPipe();
  for (const path of ["/", fifo.path]) {
    const fd = openSync(path, Deno.statSync(path).isDirectory ? "r" : "r+");
    try {
      const protection = Permissions.Read;
      const offset = new FileOffset(fd);
      const error = assertThrows(
        () => new MmapRegion(PAGE, { backing: Backing.file(offset), protection }),
        SystemError,
      );
      assertEquals([error.call, error.code], ["mmap", "ENODEV"]);
    } finally {
      closeSync(fd);
    }
  }
});

linuxTest("MmapRegion of a memfd is shared by name, and grows with it", () => {
  using memfd = makeMemfd(2 * PAGE);
  using region = MmapRegion.fromFile(new FileOffset(memfd.fd), 2 * PAGE);
  // The same memory by way of its name in /proc: as a process would that was handed the name.
  using opened = Deno.openSync(`/proc/self/fd/${memfd.fd}`, readWrite);
  const again = new FileOffset(opened, PAGE);
  using second = MmapRegion.fromFile(again, PAGE);
  region.asVolatileSlice().writeObj(u8, 7, PAGE + 1);
  assertEquals(second.asVolatileSlice().readObj(u8, 1), 7);
  assertThrows(() => MmapRegion.fromFile(again, 2 * PAGE), MappingPastEof);
  opened.truncateSync(3 * PAGE);
  using third = MmapRegion.fromFile(again, 2 * PAGE);
  assertEquals(third.asVolatileSlice().readObj(u8, 1), 7);
  assertStringIncludes(mappingAt(third.hostAddress())!.path, "/memfd:guest");
});

// The memfd needs no huge page: nothing is accessed.
const hasHugePages = Deno.build.os === "linux" &&
  Deno.readTextFileSync("/proc/meminfo").includes("Hugepagesize");

Deno.test({
  name: "MmapRegion of a memfd in huge pages is refused or unmapped whole, whatever its size" +
    (hasHugePages ? "" : " (ignored: needs a kernel with hugetlbfs)"),
  ignore: !hasHugePages,
  fn() {
    using memfd = makeMemfd(2 ** 21, MFD_HUGETLB);
    const file = new FileOffset(memfd.fd);
    let region: MmapRegion;
    try {
      region = MmapRegion.fromFile(file, PAGE);
    } catch (error) {
      assert(error instanceof SystemError || error instanceof RangeError);
      return;
    }
    const address = region.hostAddress();
    region.close();
    assertEquals(mappingAt(address), undefined);
  },
});

function namedPipe(): { path: string } & Disposable {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/pipe`;
  const { success } = new Deno.Command("mkfifo", { args: [path] }).outputSync();
  assert(success, "mkfifo failed");
  return { path, [Symbol.dispose]: () => Deno.removeSync(directory, { recursive: true }) };
}

function makeMemfd(size: number, flags: number = 0): { fd: number } & Disposable {
  const { symbols, close } = openLibc();
  const fd = symbols.memfd_create(new TextEncoder().encode("guest\0"), flags);
  assert(fd >= 0, "memfd_create failed");
  assertEquals(symbols.ftruncate(fd, BigInt(size)), 0);
  return {
    fd,
    [Symbol.dispose]() {
      symbols.close(fd);
      close();
    },
  };
}

function openLibc() {
  const library = Deno.dlopen("libc.so.6", {
    memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
    ftruncate: { parameters: ["i32", "i64"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
  return { symbols: library.symbols, close: () => library.close() };
}
