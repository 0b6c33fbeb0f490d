import { assert, assertEquals, assertFalse, assertRejects, assertThrows } from "@std/assert";
import { existsSync } from "node:fs";
import { DescriptorClosed, SystemError, UnixListener, UnixSocket } from "../../../mod.ts";
import { isCloseOnExec, noMoreThan, openDescriptors } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { count } from "../../support/values.ts";

const freshPath = () => `${Deno.makeTempDirSync()}/socket`;

linuxTest(
  "UnixListener.accept() waits, and gives connections in the order of the calls",
  async () => {
    const path = freshPath();
    using listener = UnixSocket.listen(path);
    const waits = [1, 2, 3].map(() => listener.accept());
    const clients = [1, 2, 3].map(() => UnixSocket.connect(path));
    const servers = await Promise.all(waits);
    for (const [i, client] of clients.entries()) {
      client.send(count(1, i));
      const { bytes } = await servers[i]!.receive();
      assertEquals(bytes, count(1, i));
    }
    assert([listener.fd, ...servers.map(({ fd }) => fd)].every(isCloseOnExec));
    for (const socket of [...clients, ...servers]) socket.close();
  },
);

linuxTest("UnixListener.close() ends what waits, and removes its file", async () => {
  const before = openDescriptors();
  const path = freshPath();
  const listener = UnixSocket.listen(path, { backlog: 1 });
  assertEquals([listener.path, existsSync(path)], [path, true]);
  const waits = [1, 2].map(() => assertRejects(() => listener.accept(), DescriptorClosed));
  listener.close();
  listener[Symbol.dispose]();
  await Promise.all(waits);
  await assertRejects(() => listener.accept(), DescriptorClosed, "UnixListener");
  assertThrows(() => listener.fd, DescriptorClosed);
  assertEquals([listener.closed, existsSync(path)], [true, false]);
  await noMoreThan(before);
});

linuxTest("UnixListener.close() leaves a file that has taken its place, and none", () => {
  const path = freshPath();
  const first = UnixSocket.listen(path);
  assertEquals(assertThrows(() => UnixSocket.listen(path), SystemError).code, "EADDRINUSE");
  Deno.removeSync(path);
  const second = UnixSocket.listen(path);
  first.close();
  assert(existsSync(path));
  second.close();
  assertFalse(existsSync(path));
  const third = UnixSocket.listen(path);
  Deno.removeSync(path);
  third.close();
  const fourth = UnixSocket.listen(path);
  Deno.removeSync(path);
  Deno.writeTextFileSync(path, "mine");
  fourth.close();
  assertEquals(Deno.readTextFileSync(path), "mine");
});

linuxTest("UnixListener with an abstract name makes and removes no file", () => {
  const name = `\0${crypto.randomUUID()}`;
  using _listener = UnixSocket.listen(name);
  using client = UnixSocket.connect(name);
  assertEquals(client.peer.pid, Deno.pid);
});

linuxTest("a connection beyond the backlog is EAGAIN", () => {
  const path = freshPath();
  using _listener = UnixSocket.listen(path, { backlog: 0 });
  using _client = UnixSocket.connect(path);
  const before = openDescriptors();
  assertEquals(assertThrows(() => UnixSocket.connect(path), SystemError).code, "EAGAIN");
  assertEquals(openDescriptors(), before);
});

linuxTest("UnixSocket.listen() refuses what is no path or backlog", () => {
  for (const path of ["", "x".repeat(108)]) {
    assertThrows(() => UnixSocket.listen(path), RangeError);
  }
  for (const path of [1, null, {}]) {
    assertThrows(() => UnixSocket.listen(path as string), TypeError);
    assertThrows(() => UnixSocket.connect(path as string), TypeError);
  }
  const path = freshPath();
  for (const backlog of [-1, 0.5, NaN]) {
    assertThrows(() => UnixSocket.listen(path, { backlog }), RangeError);
  }
  assertFalse(existsSync(path));
});

linuxTest("new UnixListener() takes no number over", () => {
  const Class = UnixListener as unknown as new (fd: number, path: string) => UnixListener;
  assertThrows(() => new Class(0, "path"), TypeError, "UnixSocket.listen");
});
