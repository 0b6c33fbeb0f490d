import { assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { addToEvent, makeEventFd, takeFromEvent } from "../../ffi/event_fd.ts";
import { SystemError } from "../../mod.ts";
import { isCloseOnExec, NOT_OPEN } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";

linuxTest("takeFromEvent() takes all that addToEvent() added, of a semaphore 1", () => {
  for (const [semaphore, taken] of [[false, [7n, undefined]], [true, [1n, 1n]]] as const) {
    const fd = makeEventFd(3, semaphore);
    addToEvent(fd, 4n);
    assertEquals([takeFromEvent(fd), takeFromEvent(fd), isCloseOnExec(fd)], [...taken, true]);
    closeDescriptor(fd);
  }
});

linuxTest("a counter takes 64 bits, and no more", () => {
  const fd = makeEventFd(2 ** 32 - 1, false);
  addToEvent(fd, 2n ** 64n - 2n - (2n ** 32n - 1n));
  assertEquals(assertThrows(() => addToEvent(fd, 1n), SystemError).code, "EAGAIN");
  assertEquals(takeFromEvent(fd), 2n ** 64n - 2n);
  closeDescriptor(fd);
});

linuxTest("a counter that is not open is EBADF", () => {
  assertEquals(assertThrows(() => addToEvent(NOT_OPEN, 1n), SystemError).call, "write");
  assertEquals(assertThrows(() => takeFromEvent(NOT_OPEN), SystemError).call, "read");
});
