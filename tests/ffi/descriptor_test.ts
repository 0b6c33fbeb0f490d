import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  allocateFile,
  closeDescriptor,
  createMemfd,
  duplicateDescriptor,
  endLease,
  isLeaseBreaking,
  leaseFile,
  punchHole,
} from "../../ffi/descriptor.ts";
import { accessMode, fileStatus, hugePageSize } from "../../ffi/file.ts";
import { SystemError } from "../../mod.ts";
import { NOT_OPEN } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { mapPages } from "../support/mapped_pages.ts";
import { open, openFile } from "../support/posix.ts";
import { temporaryFile } from "../support/temporary_file.ts";

const PAGE = 4096;

const pathOf = (fd: number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);
const openCount = () => [...Deno.readDirSync("/proc/self/fd")].length;

// FD_CLOEXEC, as /proc shows it.
function isCloseOnExec(fd: number): boolean {
  const text = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  return (parseInt(/^flags:\s+(\d+)$/m.exec(text)![1]!, 8) & 0o2000000) !== 0;
}

function memfd(options: Partial<Parameters<typeof createMemfd>[0]> = {}) {
  const request = { name: "test", size: 2 * PAGE, hugePages: undefined, seal: true, ...options };
  const fd = createMemfd(request);
  return { fd, [Symbol.dispose]: () => closeDescriptor(fd) };
}

linuxTest("createMemfd() makes a file of a size, under a name, closed on exec", () => {
  using made = memfd({ name: "guest ünïcode", size: 12_345 });
  assertEquals(pathOf(made.fd), "/memfd:guest ünïcode (deleted)");
  const { size, isRegular } = fileStatus(made.fd);
  assertEquals([size, isRegular, accessMode(made.fd)], [12_345, true, "read and write"]);
  assertEquals([isCloseOnExec(made.fd), hugePageSize(made.fd)], [true, undefined]);
  using memory = mapPages(1, { fd: made.fd });
  assert(memory.bytes.every((byte) => byte === 0));
});

linuxTest("createMemfd() seals the size, if it is asked to", () => {
  for (const seal of [true, false]) {
    using made = memfd({ seal });
    using file = Deno.openSync(`/proc/self/fd/${made.fd}`, { read: true, write: true });
    const change = (size: number) => file.truncateSync(size);
    if (seal) {
      for (const size of [0, PAGE, 4 * PAGE]) assertThrows(() => change(size));
      assertEquals(fileStatus(made.fd).size, 2 * PAGE);
    } else {
      change(PAGE);
      assertEquals(fileStatus(made.fd).size, PAGE);
    }
  }
});

linuxTest("createMemfd() that fails leaves nothing open", () => {
  const before = openCount();
  // Longer than a name may be.
  const name = assertThrows(() => memfd({ name: "n".repeat(300) }), SystemError);
  assertEquals([name.call, name.code], ["memfd_create", "EINVAL"]);
  // Huge pages that no processor has.
  const huge = assertThrows(() => memfd({ hugePages: 2 ** 13 }), SystemError);
  assertEquals(huge.call, "memfd_create");
  const size = assertThrows(() => memfd({ size: -1 }), SystemError);
  assertEquals([size.call, size.code], ["ftruncate", "EINVAL"]);
  assertEquals(openCount(), before);
});

linuxTest("duplicateDescriptor() has the same open file, and outlives the original", () => {
  using file = openFile(new Uint8Array(8));
  const original = open(file.path, "r");
  const copy = duplicateDescriptor(original.fd);
  try {
    assertNotEquals(copy, original.fd);
    assertEquals([pathOf(copy), accessMode(copy), isCloseOnExec(copy)], [file.path, "read", true]);
    const { device, inode } = fileStatus(original.fd);
    original[Symbol.dispose]();
    const status = fileStatus(copy);
    assertEquals([status.device, status.inode, status.size], [device, inode, 8]);
  } finally {
    closeDescriptor(copy);
  }
  assertThrows(() => fileStatus(copy), SystemError);
});

linuxTest("duplicateDescriptor() throws what the kernel says", () => {
  const error = assertThrows(() => duplicateDescriptor(NOT_OPEN), SystemError);
  assertEquals([error.call, error.code], ["fcntl", "EBADF"]);
});

linuxTest("allocateFile() takes the room of a part, and punchHole() gives it back", () => {
  using made = memfd({ size: 8 * PAGE });
  const blocks = () => Deno.statSync(`/proc/self/fd/${made.fd}`).blocks! * 512;
  assertEquals(blocks(), 0);
  allocateFile(made.fd, 2 * PAGE, 3 * PAGE);
  assertEquals(blocks(), 3 * PAGE);
  {
    using memory = mapPages(8, { fd: made.fd });
    memory.bytes.fill(7, 2 * PAGE, 5 * PAGE);
    punchHole(made.fd, 3 * PAGE, PAGE);
    assertEquals([blocks(), fileStatus(made.fd).size], [2 * PAGE, 8 * PAGE]);
    assertEquals([2, 3, 4].map((n) => memory.bytes[n * PAGE]), [7, 0, 7]);
  }
  for (const [call, fd] of [["fallocate", NOT_OPEN]] as const) {
    for (const run of [allocateFile, punchHole]) {
      const error = assertThrows(() => run(fd, 0, PAGE), SystemError);
      assertEquals([error.call, error.code], [call, "EBADF"]);
    }
  }
});

linuxTest("punchHole() refuses a file that is open to read only", () => {
  using file = openFile(new Uint8Array(PAGE).fill(7));
  using reading = open(file.path, "r");
  const error = assertThrows(() => punchHole(reading.fd, 0, PAGE), SystemError);
  assertEquals([error.code, file.content[0]], ["EBADF", 7]);
});

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
