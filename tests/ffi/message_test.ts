import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { closeAll, receiveMessage, sendMessage } from "../../ffi/message.ts";
import { makeSocketPair } from "../../ffi/socket.ts";
import { SystemError } from "../../mod.ts";
import { isCloseOnExec, NOT_OPEN, openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { eventFd, pipe } from "../support/posix.ts";
import { count } from "../support/values.ts";

function sockets(): { a: number; b: number; closeB(): void } & Disposable {
  const [a, b] = makeSocketPair();
  const open = new Set([a, b]);
  return {
    a,
    b,
    closeB() {
      open.delete(b);
      closeDescriptor(b);
    },
    [Symbol.dispose]: () => closeAll([...open]),
  };
}

linuxTest("a message carries data and descriptors, close-on-exec", () => {
  using pair = sockets();
  using channel = pipe();
  using event = eventFd(1);
  assertEquals(sendMessage(pair.a, count(3), [channel.reader, event.fd]), 3);
  const { bytes, fds } = receiveMessage(pair.b, 100)!;
  assertEquals(bytes, count(3));
  const links = fds.map((fd) => Deno.readLinkSync(`/proc/self/fd/${fd}`));
  assertEquals(links, [
    Deno.readLinkSync(`/proc/self/fd/${channel.reader}`),
    "anon_inode:[eventfd]",
  ]);
  assert(fds.every(isCloseOnExec));
  closeAll(fds);
});

linuxTest("receiveMessage() takes what was sent by pieces, and undefined is nothing yet", () => {
  using pair = sockets();
  assertEquals(receiveMessage(pair.b, 10), undefined);
  sendMessage(pair.a, count(10), []);
  assertEquals(receiveMessage(pair.b, 4)!.bytes, count(4));
  const { bytes } = receiveMessage(pair.b, 2 ** 20)!;
  assertEquals(bytes, count(6, 5));
  // It keeps no more than it has.
  assertEquals(bytes.buffer.byteLength, 6);
  assertEquals(receiveMessage(pair.b, 10), undefined);
});

linuxTest("data of two messages with descriptors is received apart", () => {
  using pair = sockets();
  using event = eventFd(0);
  for (const first of [1, 3]) sendMessage(pair.a, count(2, first), [event.fd]);
  for (const first of [1, 3]) {
    const { bytes, fds } = receiveMessage(pair.b, 100)!;
    assertEquals([bytes, fds.length], [count(2, first), 1]);
    closeAll(fds);
  }
});

linuxTest("sendMessage() is undefined where there is no room", () => {
  using pair = sockets();
  while (sendMessage(pair.a, new Uint8Array(65_536), []) !== undefined);
  assertEquals(sendMessage(pair.a, count(1), []), undefined);
});

linuxTest("253 descriptors go with one message", () => {
  using pair = sockets();
  using event = eventFd(0);
  const before = openDescriptors();
  assertEquals(sendMessage(pair.a, count(1), Array(253).fill(event.fd)), 1);
  const { fds } = receiveMessage(pair.b, 1)!;
  assertEquals([new Set(fds).size, openDescriptors()], [253, before + 253]);
  closeAll(fds);
  assertEquals(openDescriptors(), before);
});

linuxTest("a failing call says which", () => {
  using pair = sockets();
  const calls = {
    EBADF: () => sendMessage(NOT_OPEN, count(1), []),
    ENOTSOCK: () => receiveMessage(0, 1),
    EPIPE: () => sendMessage(pair.a, count(1), []),
  };
  assertThrows(() => sendMessage(pair.a, count(1), [NOT_OPEN]), SystemError, "descriptors: 1");
  pair.closeB();
  const codes = Object.values(calls).map((call) => assertThrows(call, SystemError).code);
  assertEquals(codes, Object.keys(calls));
  assertEquals(receiveMessage(pair.a, 1), { bytes: new Uint8Array(0), fds: [] });
});

linuxTest("closeAll() closes all, even if one is not open", () => {
  using pair = sockets();
  using event = eventFd(0);
  const before = openDescriptors();
  sendMessage(pair.a, count(1), [event.fd, event.fd]);
  const [first, second] = receiveMessage(pair.b, 1)!.fds as [number, number];
  assertThrows(() => closeAll([first, NOT_OPEN, second]), SystemError, "EBADF");
  assertEquals(openDescriptors(), before);
});
