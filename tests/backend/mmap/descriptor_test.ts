import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { closeSync, openSync } from "node:fs";
import { InvalidHandle, SystemError } from "../../../mod.ts";
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { makeEventFd } from "../../../ffi/event_fd.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { fileStatus } from "../../../ffi/file.ts";
import { Descriptor } from "../../../src/backend/mmap/descriptor.ts";
import { NOT_OPEN } from "../../support/descriptors.ts";
import { collectUntil, gcTest } from "../../support/garbage.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const openCount = () => [...Deno.readDirSync("/proc/self/fd")].length;
const references = ({ references }: Descriptor) => new Int32Array(references)[0];

linuxTest("Descriptor.of() duplicates a descriptor, which may be closed afterwards", () => {
  using file = temporaryFile(8);
  const before = openCount();
  const given = open(file.path, "r+");
  const descriptor = Descriptor.of(given.fd);
  assertNotEquals(descriptor.fd, given.fd);
  given[Symbol.dispose]();
  const { device, inode } = fileStatus(descriptor.fd);
  assertEquals(descriptor.identity, {
    fd: descriptor.fd,
    file: `${device}:${inode}`,
    writable: true,
  });
  assertEquals(references(descriptor), 1);
  descriptor.release();
  assertEquals([openCount(), references(descriptor)], [before, 0]);
  assertThrows(() => fileStatus(descriptor.fd), SystemError);
});

linuxTest("Descriptor.of() of one file is one descriptor, however often it is open", () => {
  using file = temporaryFile(8);
  using a = open(file.path, "r+");
  using b = open(file.path, "r+");
  const before = openCount();
  const [one, two, three] = [Descriptor.of(a.fd), Descriptor.of(b.fd), Descriptor.of(a.fd)];
  assertStrictEquals(one, two);
  assertStrictEquals(one, three);
  assertEquals([openCount(), references(one)], [before + 1, 3]);
  one.release();
  two.release();
  assertEquals(openCount(), before + 1);
  three.release();
  assertEquals(openCount(), before);
  // A new one is made after the last reference.
  const again = Descriptor.of(a.fd);
  assert(again !== one);
  again.release();
});

linuxTest("Descriptor.release() of one file leaves the descriptors of others known", () => {
  using file = temporaryFile(8);
  using another = temporaryFile(8);
  using a = open(file.path, "r+");
  using b = open(another.path, "r+");
  const [one, two] = [Descriptor.of(a.fd), Descriptor.of(b.fd)];
  one.release();
  assertStrictEquals(Descriptor.of(b.fd), two);
  two.release();
  two.release();
});

gcTest("Descriptor.release() leaves nothing of the last reference behind", async () => {
  using file = temporaryFile(8);
  using opened = open(file.path, "r+");
  let isCollected = false;
  const collected = new FinalizationRegistry(() => isCollected = true);
  const use = () => {
    const descriptor = Descriptor.of(opened.fd);
    descriptor.release();
    collected.register(descriptor, undefined);
  };
  use();
  assert(await collectUntil(() => isCollected));
});

linuxTest("Descriptor.of() keeps a descriptor to read apart from one to write", () => {
  using file = temporaryFile(8);
  using reading = open(file.path, "r");
  using writing = open(file.path, "r+");
  const [one, two] = [Descriptor.of(reading.fd), Descriptor.of(writing.fd)];
  assert(one !== two);
  assertEquals([one.identity.writable, two.identity.writable], [false, true]);
  assertEquals(one.identity.file, two.identity.file);
  one.release();
  two.release();
});

linuxTest("Descriptor.of() of what is no regular file is one for each opening", () => {
  const events = [0, 1].map(() => makeEventFd(0, false));
  using zeros = open("/dev/zero", "r+");
  using again = open("/dev/zero", "r+");
  const all = [...events, zeros.fd, again.fd].map((fd) => Descriptor.of(fd));
  // The kernel's own share an inode, and are not the same.
  const files = all.map(({ identity }) => identity.file);
  assertNotEquals(files[0], files[1]);
  assertEquals(files[2], files[3]);
  assertEquals(new Set(all.map(({ fd }) => fd)).size, 4);
  for (const descriptor of all) descriptor.ensureSameFile();
  for (const descriptor of all) descriptor.release();
  for (const fd of events) closeDescriptor(fd);
});

linuxTest("Descriptor.of() of a descriptor that is not open throws, and opens nothing", () => {
  const before = openCount();
  assertThrows(() => Descriptor.of(NOT_OPEN), SystemError, "EBADF");
  assertEquals(openCount(), before);
});

linuxTest("Descriptor.own() takes a descriptor over, without a duplicate", () => {
  const fd = createMemfd({ name: "own", size: 4096, hugePages: undefined, seal: true });
  const before = openCount();
  const descriptor = Descriptor.own(fd);
  assertEquals([descriptor.fd, openCount(), references(descriptor)], [fd, before, 1]);
  descriptor.retain();
  descriptor.release();
  assertEquals(openCount(), before);
  descriptor.release();
  assertEquals(openCount(), before - 1);
});

linuxTest("Descriptor.over() shares the references of another thread, and adds none", () => {
  const fd = createMemfd({ name: "over", size: 4096, hugePages: undefined, seal: true });
  const descriptor = Descriptor.own(fd);
  const other = Descriptor.over(descriptor.identity, descriptor.references);
  assertEquals([other.fd, references(other)], [fd, 1]);
  other.retain();
  assertEquals(references(descriptor), 2);
  descriptor.release();
  other.ensureSameFile();
  other.release();
  assertThrows(() => fileStatus(fd), SystemError, "EBADF");
});

linuxTest("Descriptor.ensureSameFile() refuses a number that is another file's now", () => {
  using file = temporaryFile(8);
  using another = temporaryFile(8);
  const fd = openSync(file.path, "r+");
  const descriptor = Descriptor.own(fd);
  descriptor.ensureSameFile();
  closeSync(fd);
  assertThrows(() => descriptor.ensureSameFile(), SystemError, "EBADF");
  // The lowest number that is free is the next one.
  const reused = openSync(another.path, "r+");
  assertEquals(reused, fd);
  assertThrows(() => descriptor.ensureSameFile(), InvalidHandle, `descriptor ${fd}`);
  closeDescriptor(reused);
});

linuxTest("Descriptor.release() closes no file that has taken the number of a closed one", () => {
  using another = temporaryFile(8);
  const given = createMemfd({ name: "given", size: 8, hugePages: undefined, seal: true });
  const descriptor = Descriptor.of(given);
  closeDescriptor(descriptor.fd);
  const reused = openSync(another.path, "r+");
  assertEquals(reused, descriptor.fd);
  // The file is not taken for the one that is known.
  const next = Descriptor.of(given);
  next.ensureSameFile();
  assertNotEquals(next.fd, reused);
  descriptor.release();
  assertEquals(references(descriptor), 0);
  assertEquals(fileStatus(reused).isRegular, true);
  next.release();
  assertThrows(() => fileStatus(next.fd), SystemError, "EBADF");
  closeSync(reused);
  closeSync(given);
});
