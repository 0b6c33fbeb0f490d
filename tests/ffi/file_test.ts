import { assertEquals, assertThrows } from "@std/assert";
import { descriptorOf, fileStatus, hugePageSize } from "../../ffi/file.ts";
import { SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open, openFile, pipe } from "../support/posix.ts";

linuxTest("fileStatus() knows a regular file's size and inode", () => {
  for (const size of [0, 1, 0x1234]) {
    using file = openFile(new Uint8Array(size));
    const { ino } = Deno.statSync(file.path);
    assertEquals(fileStatus(file.fd), { isRegular: true, size, inode: ino! });
  }
});

linuxTest("fileStatus() of a file that is larger than memory has all of its size", () => {
  using file = openFile(new Uint8Array(0));
  Deno.truncateSync(file.path, 2 ** 40 + 5);
  assertEquals(fileStatus(file.fd).size, 2 ** 40 + 5);
});

linuxTest("fileStatus() of what is no regular file says so", () => {
  using device = open("/dev/zero", "r");
  using directory = open("/", "r");
  using channel = pipe();
  for (const fd of [device.fd, directory.fd, channel.reader]) {
    assertEquals(fileStatus(fd).isRegular, false);
  }
});

linuxTest("fileStatus() of no descriptor is EBADF", () => {
  const error = assertThrows(() => fileStatus(2 ** 31 - 1), SystemError);
  assertEquals([error.call, error.code], ["statx", "EBADF"]);
});

linuxTest("hugePageSize() of files of ordinary pages, and of no file, is undefined", () => {
  using file = openFile(new Uint8Array(1));
  assertEquals([hugePageSize(file.fd), hugePageSize(2 ** 31 - 1)], [undefined, undefined]);
});

linuxTest("descriptorOf() finds the descriptor of each of many files of one inode", () => {
  using content = openFile(new Uint8Array(100));
  const files = Array.from({ length: 4 }, () => Deno.openSync(content.path, { read: true }));
  try {
    for (const [i, file] of files.entries()) file.seekSync(i * 10, Deno.SeekMode.Start);
    const found = files.map(descriptorOf);
    assertEquals(new Set(found).size, files.length);
    for (const [i, fd] of found.entries()) {
      assertEquals(fileStatus(fd).inode, Deno.statSync(content.path).ino!);
      assertEquals(files[i]!.seekSync(0, Deno.SeekMode.Current), i * 10);
    }
  } finally {
    for (const file of files) file.close();
  }
});

linuxTest("descriptorOf() distinguishes files at the same position", () => {
  using content = openFile(new Uint8Array(100));
  using first = Deno.openSync(content.path, { read: true });
  using second = Deno.openSync(content.path, { read: true });
  const [a, b] = [descriptorOf(first), descriptorOf(second)];
  assertEquals(a === b, false);
  second.seekSync(7, Deno.SeekMode.Start);
  assertEquals(descriptorOf(second), b);
});

linuxTest("descriptorOf() of a file that cannot seek is a TypeError", () => {
  const file = {
    seekSync(): never {
      throw new Error("Illegal seek");
    },
    statSync: () => ({ ino: 1 }),
  };
  assertThrows(() => descriptorOf(file), TypeError, "pass a raw fd");
});
