import { assertEquals, assertThrows } from "@std/assert";
import {
  addressOf,
  MAX_VECTORS,
  read,
  readAt,
  setVector,
  takeVector,
  transferVector,
  write,
  writeAt,
} from "../../ffi/io.ts";
import { MmapRegion, SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open, openFile, pipe } from "../support/posix.ts";
import { count } from "../support/values.ts";

const NO_FD = 2 ** 31 - 1;

linuxTest("read() and write() move bytes at the descriptor's position", () => {
  using file = openFile(count(16));
  const bytes = new Uint8Array(8);
  const address = addressOf(bytes);
  assertEquals([read(file.fd, address + 2, 4), [...bytes]], [4, [0, 0, 1, 2, 3, 4, 0, 0]]);
  assertEquals([write(file.fd, address + 2, 2), file.position], [2, 6]);
  assertEquals([...file.content.subarray(3, 8)], [4, 1, 2, 7, 8]);
});

linuxTest("readAt() and writeAt() leave the descriptor's position alone", () => {
  using file = openFile(count(16));
  const bytes = new Uint8Array(8);
  const address = addressOf(bytes);
  assertEquals([readAt(file.fd, address, 4, 10), [...bytes.subarray(0, 5)]], [4, [
    11,
    12,
    13,
    14,
    0,
  ]]);
  assertEquals([writeAt(file.fd, address, 3, 1), file.position], [3, 0]);
  assertEquals([...file.content.subarray(0, 5)], [1, 11, 12, 13, 5]);
  assertEquals(readAt(file.fd, address, 4, 16), 0);
  assertEquals(writeAt(file.fd, address, 1, 2 ** 32), 1);
  assertEquals(readAt(file.fd, address + 7, 1, 2 ** 32), 1);
  assertEquals(bytes[7], 11);
});

linuxTest("transferVector() moves bytes of several pieces, in order", () => {
  const vector = takeVector();
  using file = openFile(count(16));
  using region = new MmapRegion(0x2000);
  const base = Number(region.hostAddress());
  const view = region.asVolatileSlice().rawView();
  setVector(vector, 0, base + 0x1ff0, 3);
  setVector(vector, 1, base + 8, 2);
  setVector(vector, 2, base, 100);
  assertEquals(transferVector("read", file.fd, vector, 2, undefined), 5);
  assertEquals([...view.subarray(0x1ff0, 0x1ff4), ...view.subarray(8, 11)], [1, 2, 3, 0, 4, 5, 0]);
  assertEquals(transferVector("read", file.fd, vector, 3, 12), 4);
  assertEquals([...view.subarray(0x1ff0, 0x1ff3), view[8], view[9]], [13, 14, 15, 16, 5]);
  assertEquals([file.position, transferVector("write", file.fd, vector, 2, undefined)], [5, 5]);
  assertEquals([...file.content.subarray(5, 11)], [13, 14, 15, 16, 5, 11]);
  assertEquals([transferVector("write", file.fd, vector, 1, 0), file.position], [3, 10]);
  assertEquals([...file.content.subarray(0, 4)], [13, 14, 15, 4]);
});

linuxTest("transferVector() takes as many pieces as a call takes", () => {
  const vector = takeVector();
  using channel = pipe();
  const bytes = new Uint8Array(MAX_VECTORS).map((_, i) => i);
  const address = addressOf(bytes);
  for (let i = 0; i < MAX_VECTORS; i++) setVector(vector, i, address + MAX_VECTORS - 1 - i, 1);
  assertEquals(
    transferVector("write", channel.writer, vector, MAX_VECTORS, undefined),
    MAX_VECTORS,
  );
  const got = new Uint8Array(MAX_VECTORS);
  assertEquals(read(channel.reader, addressOf(got), MAX_VECTORS), MAX_VECTORS);
  assertEquals(got, bytes.toReversed());
});

linuxTest("a transfer that fails says which call", () => {
  const vector = takeVector();
  const address = addressOf(new Uint8Array(8));
  setVector(vector, 0, address, 8);
  const calls: Record<string, () => unknown> = {
    read: () => read(NO_FD, address, 8),
    write: () => write(NO_FD, address, 8),
    pread: () => readAt(NO_FD, address, 8, 0),
    pwrite: () => writeAt(NO_FD, address, 8, 0),
    readv: () => transferVector("read", NO_FD, vector, 1, undefined),
    writev: () => transferVector("write", NO_FD, vector, 1, undefined),
    preadv: () => transferVector("read", NO_FD, vector, 1, 0),
    pwritev: () => transferVector("write", NO_FD, vector, 1, 0),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = assertThrows(call, SystemError);
    assertEquals([error.call, error.code], [name, "EBADF"]);
    assertEquals(error.message.includes(`fd: ${NO_FD}`), true);
  }
});

Deno.test("addressOf() is that of the first byte of a view", () => {
  const bytes = new Uint8Array(64);
  assertEquals(addressOf(bytes.subarray(24)) - addressOf(bytes), 24);
});

linuxTest("transferVector() takes a piece of 4 GiB, up to what one call moves", () => {
  const vector = takeVector();
  using mmap = new MmapRegion(2 ** 32);
  using sink = open("/dev/null", "w");
  setVector(vector, 0, Number(mmap.hostAddress()), 2 ** 32);
  assertEquals(transferVector("write", sink.fd, vector, 1, undefined), 0x7fff_f000);
});

linuxTest("takeVector() lends a vector to one transfer at a time", () => {
  using zero = open("/dev/zero", "r");
  const bytes = new Uint8Array(16).fill(1);
  const address = addressOf(bytes);
  const outer = takeVector();
  setVector(outer, 0, address, 2);
  const inner = takeVector();
  setVector(inner, 0, address + 8, 4);
  assertEquals(transferVector("read", zero.fd, inner, 1, undefined), 4);
  assertEquals(transferVector("read", zero.fd, outer, 1, undefined), 2);
  assertEquals([...bytes], [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
  // The next transfer has one of them again.
  assertEquals(takeVector() === outer, true);
});
