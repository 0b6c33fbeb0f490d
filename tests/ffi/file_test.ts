import { assertEquals, assertThrows } from "@std/assert";
import { lstatSync, statSync } from "node:fs";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { makeEventFd } from "../../ffi/event_fd.ts";
import {
  accessMode,
  deviceNumber,
  deviceParts,
  fileStatus,
  hugePageSize,
  isAppending,
  pathStatus,
} from "../../ffi/file.ts";
import { SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open, openFile, pipe } from "../support/posix.ts";

linuxTest("fileStatus() knows a regular file's size, device and inode", () => {
  for (const size of [0, 1, 0x1234]) {
    using file = openFile(new Uint8Array(size));
    const { dev: device, ino: inode, blocks, blksize } = statSync(file.path, { bigint: true });
    const blockSize = Number(blksize);
    const stored = Number(blocks) * 512;
    const kind = { isRegular: true, hasType: true };
    assertEquals(fileStatus(file.fd), { ...kind, size, stored, blockSize, device, inode });
  }
});

linuxTest("fileStatus() has the device of files of several file systems", () => {
  for (const path of ["/proc/self/status", "/dev/null", "/sys", "/"]) {
    using file = open(path, "r");
    const { dev, ino } = statSync(path, { bigint: true });
    const { device, inode } = fileStatus(file.fd);
    assertEquals([device, inode], [dev, ino], path);
  }
});

Deno.test("deviceParts() takes apart what deviceNumber() puts together", () => {
  const numbers = [0, 1, 0xff, 0x100, 0xfff, 0x1000, 0x1234_5678, 0xffff_ffff];
  for (const major of numbers) {
    for (const minor of numbers) {
      assertEquals(deviceParts(deviceNumber(major, minor)), [major, minor]);
    }
  }
});

linuxTest("accessMode() is what a descriptor was opened for", () => {
  using file = openFile(new Uint8Array(1));
  const modes = (["r", "w", "a", "r+", "w+", "a+"] as const).map((flags) => {
    using opened = open(file.path, flags);
    return accessMode(opened.fd);
  });
  const both = "read and write";
  assertEquals(modes, ["read", "write", "write", both, both, both]);
  const error = assertThrows(() => accessMode(2 ** 31 - 1), SystemError);
  assertEquals([error.call, error.code], ["fcntl", "EBADF"]);
});

linuxTest("isAppending() is what a descriptor was opened for", () => {
  using file = openFile(new Uint8Array(1));
  const appending = (["r", "w", "a", "r+", "w+", "a+"] as const).filter((flags) => {
    using opened = open(file.path, flags);
    return isAppending(opened.fd);
  });
  assertEquals(appending, ["a", "a+"]);
  assertThrows(() => isAppending(2 ** 31 - 1), SystemError);
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
    const { isRegular, hasType } = fileStatus(fd);
    assertEquals([isRegular, hasType], [false, true]);
  }
  // Eventfds, epoll instances and the virtual machines of KVM share one inode.
  const event = makeEventFd(0, false);
  const { isRegular, hasType } = fileStatus(event);
  assertEquals([isRegular, hasType], [false, false]);
  closeDescriptor(event);
});

linuxTest("fileStatus() of no descriptor is EBADF", () => {
  const error = assertThrows(() => fileStatus(2 ** 31 - 1), SystemError);
  assertEquals([error.call, error.code], ["statx", "EBADF"]);
});

linuxTest("hugePageSize() of files of ordinary pages, and of no file, is undefined", () => {
  using file = openFile(new Uint8Array(1));
  assertEquals([hugePageSize(file.fd), hugePageSize(2 ** 31 - 1)], [undefined, undefined]);
});

linuxTest("pathStatus() is that of a path, and of a link itself", () => {
  using file = openFile(new Uint8Array(3));
  assertEquals(pathStatus(file.path), fileStatus(file.fd));
  const link = `${Deno.makeTempDirSync()}/link`;
  Deno.symlinkSync(file.path, link);
  assertEquals(pathStatus(link).inode, lstatSync(link, { bigint: true }).ino);
  const error = assertThrows(() => pathStatus(`${link}/none`), SystemError);
  assertEquals([error.call, error.code], ["statx", "ENOTDIR"]);
});
