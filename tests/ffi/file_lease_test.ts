import { assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { accessMode, fileStatus } from "../../ffi/file.ts";
import { endLease, isLeaseBreaking, leaseFile, reopenFile } from "../../ffi/file_lease.ts";
import { isCloseOnExec, NOT_OPEN } from "../support/descriptors.ts";
import { open, openFile } from "../support/posix.ts";
import { temporaryFile } from "../support/temporary_file.ts";
import { SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";

const PAGE = 4096;

linuxTest("leaseFile() refuses a file that somebody may write, and what is not open", () => {
  using file = openFile(new Uint8Array(PAGE));
  using reading = open(file.path, "r");
  const error = assertThrows(() => leaseFile(reading.fd), SystemError);
  assertEquals([error.call, error.code], ["fcntl", "EAGAIN"]);
  assertThrows(() => leaseFile(NOT_OPEN), SystemError, "EBADF");
});

linuxTest("leaseFile() takes a lease, and endLease() ends it, also where there is none", () => {
  using file = temporaryFile(PAGE);
  using reading = open(file.path, "r");
  const { inode } = fileStatus(reading.fd);
  const isLeased = () =>
    Deno.readTextFileSync("/proc/locks").split("\n")
      .some((line) => line.includes("LEASE") && line.includes(`:${inode} `));
  endLease(reading.fd);
  assertEquals([isLeased(), isLeaseBreaking(reading.fd)], [false, true]);
  leaseFile(reading.fd);
  assertEquals([isLeased(), isLeaseBreaking(reading.fd)], [true, false]);
  endLease(reading.fd);
  endLease(NOT_OPEN);
  assertEquals(isLeased(), false);
});

linuxTest("reopenFile() opens the file again, to read only and close-on-exec", () => {
  using file = openFile(Uint8Array.of(7));
  const again = reopenFile(file.fd);
  assertEquals(fileStatus(again).inode, fileStatus(file.fd).inode);
  assertEquals([accessMode(again), isCloseOnExec(again)], ["read", true]);
  closeDescriptor(again);
  assertThrows(() => reopenFile(NOT_OPEN), SystemError, "ENOENT");
});
