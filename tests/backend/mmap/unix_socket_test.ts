import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { duplicate } from "../../../ffi/descriptor.ts";
import { DescriptorClosed, EventFd, SystemError, UnixSocket } from "../../../mod.ts";
import { isCloseOnExec, noMoreThan, NOT_OPEN, openDescriptors } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { datagrams, pipe } from "../../support/posix.ts";
import { count } from "../../support/values.ts";

function pair(): { a: UnixSocket; b: UnixSocket } & Disposable {
  const [a, b] = UnixSocket.pair();
  return {
    a,
    b,
    [Symbol.dispose]() {
      a.close();
      b.close();
    },
  };
}

linuxTest("UnixSocket.receive() waits for data, and receiveSync() does not", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  assertEquals(b.receiveSync(), undefined);
  const waits = [1, 2].map(() => b.receive({ maxBytes: 2 }));
  await a.send(count(4));
  const messages = await Promise.all(waits);
  assertEquals(messages.map(({ bytes }) => bytes), [count(2), count(2, 3)]);
  await a.send(count(3));
  assertEquals(b.receiveSync({ maxBytes: 2 })!.bytes, count(2));
  assertEquals(b.receiveSync()!.bytes, count(1, 3));
});

linuxTest("UnixSocket.send() sends descriptors with the first byte", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  using event = new EventFd(7);
  await a.send(count(8), [event.fd]);
  {
    using message = await b.receive({ maxBytes: 1 });
    assertEquals([message.bytes, message.fds.length], [count(1), 1]);
    assert(isCloseOnExec(message.fds[0]!));
    using received = EventFd.fromFd(message.fds.pop()!);
    assertEquals(received.read(), 7n);
  }
  using rest = await b.receive();
  assertEquals([rest.bytes, rest.fds], [count(7, 2), []]);
});

linuxTest("UnixSocket.send() waits for room, in order, with all descriptors once", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  const before = openDescriptors();
  const data = Uint8Array.from({ length: 2_000_000 }, (_, i) => i * 7 + (i >> 8));
  const event = new EventFd(7);
  const sent = data.slice();
  const sends = [
    a.send(sent.subarray(0, 1_500_000), [event.fd]),
    a.send(sent.subarray(1_500_000), [event.fd, event.fd]),
  ];
  // Both are copied: neither may change what is sent.
  sent.fill(0);
  event.close();
  const got = new Uint8Array(data.length);
  const fds: number[] = [];
  for (let done = 0; done < got.length;) {
    using message = await b.receive();
    got.set(message.bytes, done);
    done += message.bytes.length;
    fds.push(message.fds.length);
  }
  await Promise.all(sends);
  assertEquals(got, data);
  assertEquals(fds.filter((length) => length > 0), [1, 2]);
  await noMoreThan(before);
});

linuxTest(
  "UnixSocket takes 253 descriptors a message, and refuses more before the call",
  async () => {
    using sockets = pair();
    const { a, b } = sockets;
    const before = openDescriptors();
    await assertRejects(() => a.send(count(1), Array(254).fill(a.fd)), RangeError, "254");
    assertEquals(b.receiveSync(), undefined);
    await a.send(count(1), Array(253).fill(a.fd));
    {
      using message = await b.receive();
      assertEquals(new Set(message.fds).size, 253);
      assert(message.fds.every(isCloseOnExec));
    }
    assertEquals(openDescriptors(), before);
  },
);

linuxTest("UnixSocket.send() refuses what it cannot send", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  await assertRejects(() => a.send(count(0), [a.fd]), RangeError, "one byte");
  for (const fd of [-1, 0.5, NaN, 2 ** 31, "1", null]) {
    await assertRejects(() => a.send(count(1), [fd as number]), RangeError);
  }
  await assertRejects(() => a.send("text" as unknown as Uint8Array), TypeError);
  const error = await assertRejects(() => a.send(count(1), [NOT_OPEN]), SystemError);
  assertEquals([error.call, error.code], ["sendmsg", "EBADF"]);
  await a.send(count(0));
  assertEquals(b.receiveSync(), undefined);
});

linuxTest(
  "UnixSocket.send() uses an array's real bytes, and each descriptor as read once",
  async () => {
    using sockets = pair();
    const { a, b } = sockets;
    class Longer extends Uint8Array {
      override get length(): number {
        return 1_000_000;
      }
      override subarray(): Uint8Array<ArrayBuffer> {
        return new Uint8Array(9);
      }
    }
    let asked = 0;
    const fds = new Proxy([a.fd], {
      get(target, name) {
        if (name === "0") asked++;
        return Reflect.get(target, name);
      },
    });
    await a.send(new Longer(4).fill(5), fds);
    using message = await b.receive();
    assertEquals([message.bytes, message.fds.length, asked], [Uint8Array.of(5, 5, 5, 5), 1, 1]);
  },
);

for (const maxBytes of [0, -1, 0.5, NaN, 2 ** 31]) {
  linuxTest(`UnixSocket.receive() refuses maxBytes ${maxBytes}`, async () => {
    using sockets = pair();
    await assertRejects(() => sockets.a.receive({ maxBytes }), RangeError, `${maxBytes}`);
    assertThrows(() => sockets.a.receiveSync({ maxBytes }), RangeError);
  });
}

linuxTest("the end of the stream is an empty message, each time", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  await a.send(count(2));
  const waiting = b.receive({ maxBytes: 2 });
  a.close();
  assertEquals((await waiting).bytes, count(2));
  for (let i = 0; i < 2; i++) {
    const { bytes, fds } = await b.receive();
    assertEquals([bytes.length, fds], [0, []]);
  }
  assertEquals(b.receiveSync()!.bytes.length, 0);
});

linuxTest("a peer that closes ends a wait, and sending to it is EPIPE", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  const waiting = b.receive();
  a.close();
  assertEquals((await waiting).bytes.length, 0);
  assertEquals((await assertRejects(() => b.send(count(1)), SystemError)).code, "EPIPE");
});

linuxTest("a peer that closes with data unread is ECONNRESET", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  await b.send(count(1));
  a.close();
  assertEquals((await assertRejects(() => b.receive(), SystemError)).code, "ECONNRESET");
});

linuxTest("UnixSocket.close() ends what waits, and everything afterwards", async () => {
  const before = openDescriptors();
  const [a, b] = UnixSocket.pair();
  const waits: Promise<unknown>[] = [a.receive(), a.receive()];
  waits.push(a.send(new Uint8Array(2_000_000), [b.fd]), a.send(count(1), [b.fd]));
  const ended = waits.map((wait) => assertRejects(() => wait, DescriptorClosed, "UnixSocket"));
  a.close();
  a[Symbol.dispose]();
  await Promise.all(ended);
  await assertRejects(() => a.receive(), DescriptorClosed);
  await assertRejects(() => a.send(count(1)), DescriptorClosed);
  await assertRejects(() => a.send(count(0)), DescriptorClosed);
  for (const call of [() => a.fd, () => a.peer, () => a.receiveSync()]) {
    assertThrows(call, DescriptorClosed);
  }
  assertEquals([a.closed, b.closed], [true, false]);
  b.close();
  await noMoreThan(before);
});

linuxTest("a number that is used again gets none of a closed socket's data", async () => {
  using sockets = pair();
  const { a, b } = sockets;
  const closing = UnixSocket.fromFd(duplicate(b.fd));
  const { fd } = closing;
  const ended = assertRejects(() => closing.receive(), DescriptorClosed);
  using other = pair();
  closing.close();
  using reused = UnixSocket.fromFd(duplicate(other.b.fd));
  assertEquals(reused.fd, fd);
  const waiting = reused.receive();
  await a.send(count(1));
  await other.a.send(count(1, 9));
  await ended;
  assertEquals([(await waiting).bytes, b.receiveSync()!.bytes], [count(1, 9), count(1)]);
});

linuxTest("UnixSocket.fromFd() takes over a connected socket, and nothing else", async () => {
  using sockets = pair();
  using other = datagrams();
  using channel = pipe();
  using socket = UnixSocket.fromFd(duplicate(sockets.a.fd));
  assert(isCloseOnExec(socket.fd));
  await socket.send(count(3));
  assertEquals((await sockets.b.receive()).bytes, count(3));
  assertThrows(() => UnixSocket.fromFd(other.reader), TypeError, "another kind");
  for (const [fd, code] of [[channel.reader, "ENOTSOCK"], [NOT_OPEN, "EBADF"]] as const) {
    assertEquals(assertThrows(() => UnixSocket.fromFd(fd), SystemError).code, code);
  }
  for (const fd of [-1, 0.5, "1" as unknown as number]) {
    assertThrows(() => UnixSocket.fromFd(fd), RangeError);
  }
});

linuxTest("UnixSocket.peer is who made the connection", () => {
  using sockets = pair();
  const { a, b } = sockets;
  const expected = { pid: Deno.pid, uid: Deno.uid()!, gid: Deno.gid()! };
  assertEquals([a.peer, b.peer], [expected, expected]);
});

linuxTest("forty sockets that wait leave the thread pool to others", async () => {
  const pairs = Array.from({ length: 40 }, () => pair());
  const waits = pairs.map(({ b }) => b.receive());
  assertInstanceOf(await Deno.readFile("/proc/self/comm"), Uint8Array);
  for (const { a } of pairs) await a.send(count(1));
  await Promise.all(waits);
  for (const sockets of pairs) sockets[Symbol.dispose]();
});

linuxTest("new UnixSocket() takes no number over", () => {
  const Class = UnixSocket as unknown as new (fd: number) => UnixSocket;
  for (const fd of [0, 99, undefined, {}]) {
    assertThrows(() => new Class(fd as number), TypeError, "UnixSocket.connect");
  }
});
