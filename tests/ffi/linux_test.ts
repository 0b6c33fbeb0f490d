import { assertEquals, assertThrows } from "@std/assert";
import { EventFd, LibcUnavailable, UnixSocket } from "../../mod.ts";
import { EPOLL, epollEvent, EVENTFD, FCNTL, MSG, SOCKET } from "../../ffi/linux.ts";
import { linuxTest } from "../support/linux_test.ts";

linuxTest("struct epoll_event is packed on x86-64 only", () => {
  assertEquals(epollEvent("x86_64"), { data: 4, size: 12 });
  assertEquals(epollEvent("aarch64"), { data: 8, size: 16 });
});

// The header files that programs include say the same, where they are installed.
const HEADERS: Record<string, Record<string, number>> = {
  "/usr/include/asm-generic/socket.h": {
    SOL_SOCKET: SOCKET.level,
    SO_TYPE: SOCKET.type,
    SO_PEERCRED: SOCKET.peerCredentials,
    SO_DOMAIN: SOCKET.domain,
  },
  "/usr/include/asm-generic/fcntl.h": {
    O_CLOEXEC: EPOLL.closeOnExec,
    O_NONBLOCK: FCNTL.nonBlocking,
    F_GETFD: FCNTL.getFlags,
    F_SETFD: FCNTL.setFlags,
    F_GETFL: FCNTL.getStatus,
    F_SETFL: FCNTL.setStatus,
    FD_CLOEXEC: FCNTL.closeOnExec,
  },
  "/usr/include/linux/eventpoll.h": {
    EPOLL_CTL_ADD: EPOLL.add,
    EPOLL_CTL_DEL: EPOLL.delete,
    EPOLL_CTL_MOD: EPOLL.modify,
    EPOLLIN: EPOLL.in,
    EPOLLOUT: EPOLL.out,
    EPOLLERR: EPOLL.error,
    EPOLLHUP: EPOLL.hangUp,
  },
  "/usr/include/linux/un.h": { UNIX_PATH_MAX: SOCKET.pathLength },
};

for (const [path, numbers] of Object.entries(HEADERS)) {
  linuxTest(`the numbers are those of ${path}`, () => {
    let text;
    try {
      text = Deno.readTextFileSync(path);
    } catch {
      return;
    }
    const found = Object.keys(numbers).map((name) => {
      const value = RegExp(`#define\\s+${name}\\s+(?:\\(__poll_t\\))?(\\w+)`).exec(text)
        ?.[1]!;
      return [name, /^0[0-7]/.test(value) ? parseInt(value, 8) : Number(value)];
    });
    assertEquals(Object.fromEntries(found), numbers);
  });
}

linuxTest("flags of messages and counters are those of bits/socket.h and linux/eventfd.h", () => {
  assertEquals(MSG, {
    controlTruncated: 8,
    dontWait: 64,
    noSignal: 0x4000,
    closeOnExec: 0x40000000,
  });
  assertEquals(EVENTFD, { semaphore: 1, nonBlocking: 2048, closeOnExec: 524288 });
  assertEquals(SOCKET.flags, EVENTFD.nonBlocking | EVENTFD.closeOnExec);
});

linuxTest("what only Linux has is LibcUnavailable elsewhere, by its name", () => {
  const original = Object.getOwnPropertyDescriptor(globalThis, "Deno")!;
  const value = { ...Deno, build: { ...Deno.build, os: "darwin" } };
  Object.defineProperty(globalThis, "Deno", { ...original, value });
  try {
    for (const call of [() => new EventFd(), () => EventFd.fromFd(0)]) {
      assertThrows(call, LibcUnavailable, "EventFd: it needs Linux, this is darwin");
    }
    const sockets = [
      () => UnixSocket.pair(),
      () => UnixSocket.connect("x"),
      () => UnixSocket.listen("x"),
      () => UnixSocket.fromFd(0),
    ];
    for (const call of sockets) {
      assertThrows(call, LibcUnavailable, "UnixSocket: it needs Linux, this is darwin");
    }
  } finally {
    Object.defineProperty(globalThis, "Deno", original);
  }
});
