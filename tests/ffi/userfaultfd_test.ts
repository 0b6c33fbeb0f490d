import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { openPagemap, PAGE, SCAN, scanPages } from "../../ffi/pagemap.ts";
import {
  FAULTS_OF,
  openMissingPages,
  openUserfaultfd,
  openWriteFaults,
  openWriteProtection,
  protectRegistered,
  registerMemory,
  unprotectRegistered,
  unregisterMemory,
} from "../../ffi/userfaultfd.ts";
import { capabilities, pageSize, SystemError } from "../../mod.ts";
import { isCloseOnExec, NOT_OPEN } from "../support/descriptors.ts";
import { mapPages } from "../support/mapped_pages.ts";
import { trackerTest } from "../snapshot/tracking.ts";

trackerTest("the descriptors are close-on-exec", () => {
  const protecting = openMissingPages(true);
  assertEquals(protecting.canProtect, true);
  for (
    const fd of [
      openUserfaultfd(true),
      openWriteProtection(),
      openWriteFaults(true),
      protecting.fd,
    ]
  ) {
    assertEquals(isCloseOnExec(fd), true);
    assertEquals(Deno.readLinkSync(`/proc/self/fd/${fd}`), "anon_inode:[userfaultfd]");
    closeDescriptor(fd);
  }
});

trackerTest("registered memory is protected by a scan, and by the first write no more", () => {
  using memory = mapPages(4);
  const { address, length, bytes } = memory;
  const fd = openWriteProtection();
  const pagemap = openPagemap();
  registerMemory(fd, address, length, FAULTS_OF.write);
  registerMemory(fd, address, length, FAULTS_OF.write);
  const written = () => {
    const pages: number[] = [];
    scanPages(pagemap, { address, length, mask: PAGE.written }, (offset, count) => {
      for (let at = 0; at < count; at += pageSize()) pages.push((offset + at) / pageSize());
    });
    return pages;
  };
  assertEquals(written(), [0, 1, 2, 3]);
  scanPages(pagemap, { address, length, flags: SCAN.protect | SCAN.checkProtection });
  assertEquals([bytes[0], written()], [0, []]);
  bytes[2 * pageSize()] = 1;
  assertEquals(written(), [2]);
  const other = openWriteProtection();
  const error = assertThrows(
    () => registerMemory(other, address, length, FAULTS_OF.write),
    SystemError,
  );
  assertEquals(error.code, "EBUSY");
  for (const each of [fd, other, pagemap]) closeDescriptor(each);
});

trackerTest("protectRegistered() protects what was registered", () => {
  using memory = mapPages(4, { shared: true });
  const { address, length, bytes } = memory;
  const fd = openWriteProtection();
  const error = assertThrows(() => protectRegistered(fd, address, length), SystemError);
  assertEquals(error.code, "ENOENT");
  registerMemory(fd, address, length, FAULTS_OF.write);
  protectRegistered(fd, address, length);
  bytes[pageSize()] = 1;
  const pagemap = openPagemap();
  const runs: number[][] = [];
  scanPages(pagemap, { address, length, mask: PAGE.written }, (...run) => runs.push(run));
  assertEquals(runs, [[pageSize(), pageSize(), 0]]);
  for (const each of [fd, pagemap]) closeDescriptor(each);
});

trackerTest("registerMemory() throws what the kernel says", () => {
  using memory = mapPages(1);
  const { address, length } = memory;
  const fd = openWriteProtection();
  const cases: [number, number, number, string][] = [
    [fd, address + 1, length, "EINVAL"],
    [fd, address, 0, "EINVAL"],
    [NOT_OPEN, address, length, "EBADF"],
  ];
  for (const [fd, address, length, code] of cases) {
    const register = () => registerMemory(fd, address, length, FAULTS_OF.write);
    assertEquals(assertThrows(register, SystemError).code, code);
    const unregister = () => unregisterMemory(fd, address, length);
    assertEquals(assertThrows(unregister, SystemError).code, code);
  }
  closeDescriptor(fd);
  assert(capabilities().trackers.writeTracker.available);
});

trackerTest("unregisterMemory() and unprotectRegistered() end what was begun", () => {
  using memory = mapPages(4);
  const { address, length, bytes } = memory;
  const [first, second] = [openWriteFaults(true), openWriteProtection()];
  registerMemory(first, address, length, FAULTS_OF.write);
  protectRegistered(first, address, length);
  unprotectRegistered(first, address, length);
  // Nobody serves: this would wait for ever.
  bytes[0] = 1;
  protectRegistered(first, address, length);
  unregisterMemory(first, address, length);
  bytes[pageSize()] = 1;
  registerMemory(second, address, length, FAULTS_OF.write);
  for (const fd of [first, second]) closeDescriptor(fd);
});

trackerTest("unregisterMemory() wakes who waits, for a missing page or to write", async () => {
  const library = Deno.dlopen("libc.so.6", {
    memset: { parameters: ["usize", "i32", "usize"], result: "void", nonblocking: true },
  });
  for (const faults of [FAULTS_OF.write, FAULTS_OF.missing]) {
    for (const shared of [false, true]) {
      using memory = mapPages(2, { shared });
      const { address, length, bytes } = memory;
      if (faults === FAULTS_OF.write) bytes[0] = 5;
      const fd = faults === FAULTS_OF.write ? openWriteFaults(true) : openMissingPages(true).fd;
      registerMemory(fd, address, length, faults);
      if (faults === FAULTS_OF.write) protectRegistered(fd, address, length);
      let isOver = false;
      const writing = library.symbols.memset(BigInt(address), 1, 1n).then(() => isOver = true);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals(isOver, false);
      unregisterMemory(fd, address, length);
      await writing;
      closeDescriptor(fd);
    }
  }
  library.close();
});
