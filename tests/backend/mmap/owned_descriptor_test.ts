import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DescriptorClosed } from "../../../mod.ts";
import { duplicate } from "../../../ffi/descriptor.ts";
import { checkDescriptor, OwnedDescriptor } from "../../../src/backend/mmap/owned_descriptor.ts";
import { openDescriptors } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { pipe, put } from "../../support/posix.ts";

linuxTest("OwnedDescriptor closes once, and ends what waits", async () => {
  using channel = pipe();
  const before = openDescriptors();
  const owned = new OwnedDescriptor(duplicate(channel.reader), "thing");
  const wait = owned.untilReady("readable");
  assertEquals([owned.closed, openDescriptors() > before], [false, true]);
  const ended = assertRejects(() => wait, DescriptorClosed, "thing");
  owned.close();
  owned.close();
  await ended;
  await assertRejects(() => owned.untilReady("readable"), DescriptorClosed);
  assertThrows(() => owned.fd, DescriptorClosed, "thing");
  assertEquals(owned.closed, true);
  assertEquals(openDescriptors(), before);
});

linuxTest("OwnedDescriptor waits until a call does not block", async () => {
  using channel = pipe();
  const owned = new OwnedDescriptor(duplicate(channel.reader), "thing");
  const wait = owned.untilReady("readable");
  put(channel.writer, Uint8Array.of(1));
  await wait;
  owned.close();
});

Deno.test("checkDescriptor() refuses what is no descriptor", () => {
  assertEquals([0, 2 ** 31 - 1].map(checkDescriptor), [0, 2 ** 31 - 1]);
  for (const fd of [-1, 0.5, NaN, 2 ** 31, "1", null, { valueOf: () => 1 }]) {
    assertThrows(() => checkDescriptor(fd as number), RangeError);
  }
});
