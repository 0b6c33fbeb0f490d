import { assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor, ReceivedMessage, SystemError, UnixSocket } from "../../../mod.ts";
import { NOT_OPEN, openDescriptors } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { count } from "../../support/values.ts";

linuxTest("disposing of a ReceivedMessage closes what nobody took", () => {
  const [a, b] = UnixSocket.pair();
  using _a = a;
  using _b = b;
  const before = openDescriptors();
  a.send(count(2), [a.fd, b.fd, a.fd]);
  let taken: number;
  {
    using message = b.receiveSync()!;
    assertEquals([message.bytes, openDescriptors()], [count(2), before + 3]);
    taken = message.fds.splice(1, 1)[0]!;
  }
  assertEquals(openDescriptors(), before + 1);
  closeDescriptor(taken);
  assertEquals(openDescriptors(), before);
});

linuxTest("ReceivedMessage.close() closes each descriptor once", () => {
  const [a, b] = UnixSocket.pair();
  using _a = a;
  using _b = b;
  a.send(count(1), [a.fd]);
  const { fds } = b.receiveSync()!;
  const message = new ReceivedMessage(count(0), [NOT_OPEN, ...fds]);
  const before = openDescriptors();
  assertThrows(() => message.close(), SystemError, "EBADF");
  assertEquals([message.fds, openDescriptors()], [[], before - 1]);
  message[Symbol.dispose]();
});
