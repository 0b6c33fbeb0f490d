import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { closeAll } from "../../ffi/message.ts";
import {
  acceptSocket,
  connectSocket,
  isAbstract,
  isUnixStream,
  listenSocket,
  makeSocketPair,
  peerCredentials,
  removeSocketFile,
} from "../../ffi/socket.ts";
import { SystemError } from "../../mod.ts";
import { isCloseOnExec, NOT_OPEN, openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { datagrams, pipe } from "../support/posix.ts";

linuxTest("acceptSocket() gives the connections of connectSocket(), close-on-exec", () => {
  const path = `${Deno.makeTempDirSync()}/socket`;
  const before = openDescriptors();
  const listener = listenSocket(path, 4);
  assertEquals(acceptSocket(listener), undefined);
  const client = connectSocket(path);
  const server = acceptSocket(listener)!;
  assert([listener, client, server].every(isCloseOnExec));
  assert([client, server].every(isUnixStream));
  assertEquals(peerCredentials(server), { pid: Deno.pid, uid: Deno.uid()!, gid: Deno.gid()! });
  closeAll([listener, client, server]);
  removeSocketFile(path);
  assertEquals(assertThrows(() => removeSocketFile(path), SystemError).code, "ENOENT");
  assertEquals(openDescriptors(), before);
});

linuxTest("a socket that cannot be made leaves nothing open", () => {
  const before = openDescriptors();
  const missing = `${Deno.makeTempDirSync()}/missing/socket`;
  assertEquals(assertThrows(() => connectSocket(missing), SystemError).code, "ENOENT");
  const { call, code } = assertThrows(() => listenSocket(missing, 1), SystemError);
  assertEquals([call, code, openDescriptors()], ["bind", "ENOENT", before]);
});

linuxTest("a path has 1 to 107 bytes", () => {
  const folder = Deno.makeTempDirSync();
  const fits = folder + "/" + "x".repeat(106 - folder.length);
  closeDescriptor(listenSocket(fits, 1));
  removeSocketFile(fits);
  for (const path of ["", fits + "x", "é".repeat(54), "a\0b", "\0" + "x".repeat(108), "\0a\0"]) {
    assertThrows(() => listenSocket(path, 1), RangeError, "path of a socket");
    assertThrows(() => connectSocket(path), RangeError);
  }
});

linuxTest("an abstract name is no file", () => {
  const name = `\0${crypto.randomUUID()}`;
  assert(isAbstract(name));
  assertFalse(isAbstract("/x"));
  const listener = listenSocket(name, 1);
  closeAll([connectSocket(name), listener]);
  assertEquals(assertThrows(() => connectSocket(name), SystemError).code, "ECONNREFUSED");
});

linuxTest("isUnixStream() knows other sockets, and what is none", () => {
  const [a, b] = makeSocketPair();
  using other = datagrams();
  using channel = pipe();
  assertEquals([a, b, other.reader].map(isUnixStream), [true, true, false]);
  for (const [fd, code] of [[channel.reader, "ENOTSOCK"], [NOT_OPEN, "EBADF"]] as const) {
    assertEquals(assertThrows(() => isUnixStream(fd), SystemError).code, code);
  }
  closeAll([a, b]);
});
