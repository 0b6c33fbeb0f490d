import { assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  closeDescriptor,
  duplicate,
  duplicateInSteps,
  setCloseOnExec,
  setNonBlocking,
} from "../../ffi/descriptor.ts";
import { libc } from "../../ffi/libc.ts";
import { SystemError } from "../../mod.ts";
import { isCloseOnExec, NOT_OPEN, openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { pipe, put, take } from "../support/posix.ts";

linuxTest("duplicate() is another descriptor of the same, and closeDescriptor() ends it", () => {
  using channel = pipe();
  const before = openDescriptors();
  const copy = duplicate(channel.writer);
  assertEquals([openDescriptors(), isCloseOnExec(copy)], [before + 1, true]);
  put(copy, Uint8Array.of(7));
  assertEquals(take(channel.reader, 4), Uint8Array.of(7));
  closeDescriptor(copy);
  assertEquals(openDescriptors(), before);
  assertEquals(assertThrows(() => closeDescriptor(copy), SystemError).code, "EBADF");
});

linuxTest("duplicateInSteps() is the same, for the other platforms", () => {
  using channel = pipe();
  const before = openDescriptors();
  const copy = duplicateInSteps(channel.writer, libc().platform.closeOnExecRequest);
  assertEquals([openDescriptors(), isCloseOnExec(copy)], [before + 1, true]);
  put(copy, Uint8Array.of(7));
  assertEquals(take(channel.reader, 4), Uint8Array.of(7));
  closeDescriptor(copy);
  const noRequest = assertThrows(() => duplicateInSteps(channel.writer, 1n), SystemError);
  assertEquals([noRequest.call, openDescriptors()], ["ioctl", before]);
  assertEquals(assertThrows(() => duplicateInSteps(NOT_OPEN, 1n), SystemError).call, "dup");
});

linuxTest("setCloseOnExec() and setNonBlocking() set one flag each", () => {
  using channel = pipe();
  const copy = duplicate(channel.reader);
  const flags = () => {
    const text = Deno.readTextFileSync(`/proc/self/fdinfo/${copy}`);
    return parseInt(/flags:\s*(\d+)/.exec(text)![1]!, 8);
  };
  const before = flags();
  assertFalse((before & 0o4000) !== 0);
  setNonBlocking(copy);
  setCloseOnExec(copy);
  assertEquals(flags(), before | 0o4000);
  closeDescriptor(copy);
});

linuxTest("all of them throw what the kernel says", () => {
  for (const call of [closeDescriptor, duplicate, setCloseOnExec, setNonBlocking]) {
    assertEquals(assertThrows(() => call(NOT_OPEN), SystemError).code, "EBADF");
  }
});

for (const fd of [-1, 0.5, NaN, 2 ** 31, "1" as unknown as number, {} as unknown as number]) {
  Deno.test(`closeDescriptor() refuses ${typeof fd} ${String(fd)}`, () => {
    assertThrows(() => closeDescriptor(fd), RangeError);
  });
}
