import { assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { addToEvent, makeEventFd } from "../../ffi/event_fd.ts";
import { addressOf } from "../../ffi/io.ts";
import {
  copyPages,
  type FaultKind,
  forMessages,
  MESSAGE_BYTES,
  NOT_COPIED,
  readMessages,
  wakePages,
  zeroPages,
} from "../../ffi/page_faults.ts";
import { openPagemap, PAGE, scanPages } from "../../ffi/pagemap.ts";
import { waitForInput } from "../../ffi/poll.ts";
import { FAULTS_OF, openMissingPages, registerMemory } from "../../ffi/userfaultfd.ts";
import { pageSize, SystemError } from "../../mod.ts";
import { trackerTest } from "../snapshot/tracking.ts";
import { NOT_OPEN } from "../support/descriptors.ts";
import { mapPages } from "../support/mapped_pages.ts";

function opened() {
  const { fd } = openMissingPages(true);
  return { fd, [Symbol.dispose]: () => closeDescriptor(fd) };
}

trackerTest("copyPages() and zeroPages() fill missing pages, and say what they cannot fill", () => {
  using memory = mapPages(8);
  const { address, length, bytes } = memory;
  using handler = opened();
  const { fd } = handler;
  const page = pageSize();
  const source = new Uint8Array(4 * page).fill(7);
  const copy = (to: number, pages: number) => {
    return copyPages(fd, address + to * page, addressOf(source), pages * page, false);
  };
  assertEquals(copy(0, 1), NOT_COPIED.gone);
  registerMemory(fd, address, length, FAULTS_OF.missing);
  assertEquals(copy(2, 1), page);
  // Up to the page that is there.
  assertEquals(copy(0, 4), 2 * page);
  assertEquals(copy(2, 2), NOT_COPIED.exists);
  assertEquals(zeroPages(fd, address + 3 * page, 2 * page), 2 * page);
  assertEquals(zeroPages(fd, address + 2 * page, page), NOT_COPIED.exists);
  assertEquals(copyPages(fd, address + 5 * page, page, page, false), NOT_COPIED.noSource);
  for (const isProtected of [false, true]) {
    assertEquals(copyPages(NOT_OPEN, address, addressOf(source), page, isProtected), -9);
    // Nothing of the call before counts.
    assertEquals(zeroPages(NOT_OPEN, address, page), -9);
  }
  wakePages(fd, address, length);
  assertEquals(copy(5, 3), 3 * page);
  assertEquals([0, 1, 2, 3, 4, 5, 6, 7].map((at) => bytes[at * page]), [7, 7, 7, 0, 0, 7, 7, 7]);
});

trackerTest("copyPages() protects pages against writes", () => {
  using memory = mapPages(3);
  const { address, length, bytes } = memory;
  using handler = opened();
  const { fd } = handler;
  registerMemory(fd, address, length, FAULTS_OF.missing | FAULTS_OF.write);
  const page = pageSize();
  const source = addressOf(new Uint8Array(page));
  for (const at of [0, 1, 2]) copyPages(fd, address + at * page, source, page, at > 0);
  const pagemap = openPagemap();
  const written = () => {
    const runs: [number, number][] = [];
    scanPages(pagemap, { address, length, mask: PAGE.written }, (offset, length) => {
      runs.push([offset / page, length / page]);
    });
    return runs;
  };
  assertEquals(written(), [[0, 1]]);
  bytes[2 * page] = 1;
  assertEquals(written(), [[0, 1], [2, 1]]);
  closeDescriptor(pagemap);
});

Deno.test("forMessages() names the kind of each message", () => {
  const words = new Uint32Array(6 * MESSAGE_BYTES / 4);
  // linux/userfaultfd.h: the event, the flags of a fault, its address.
  const messages = [[0x12, 0], [0x12, 1], [0x12, 1 | 2], [0x12, 4], [0x15, 0x1000], [0x16, 0]];
  for (const [index, [event, flags]] of messages.entries()) {
    words.set([event!, 0, flags!, 0, 0x2000, 1], index * MESSAGE_BYTES / 4);
  }
  const seen: [FaultKind, number, number][] = [];
  forMessages(words, 6, (...message) => seen.push(message));
  const at = 2 ** 32 + 0x2000;
  assertEquals(seen, [
    ["missing", at, at],
    ["missing", at, at],
    ["write", at, at],
    ["minor", at, at],
    ["discard", 0x1000, at],
    ["other", 0, 0],
  ]);
});

trackerTest("readMessages() takes faults and discards of other threads", async () => {
  using memory = mapPages(4);
  const { address, length } = memory;
  using handler = opened();
  const { fd } = handler;
  registerMemory(fd, address, length, FAULTS_OF.missing);
  const messages = new Uint32Array(4 * MESSAGE_BYTES / 4);
  const place = addressOf(new Uint8Array(messages.buffer));
  const read = () => readMessages(fd, place, messages.byteLength);
  assertEquals(read(), 0);
  const page = pageSize();
  const library = Deno.dlopen("libc.so.6", {
    memset: { parameters: ["usize", "i32", "usize"], result: "void", nonblocking: true },
    madvise: { parameters: ["usize", "usize", "i32"], result: "i32", nonblocking: true },
  });
  const event = makeEventFd(0, false);
  const seen: [FaultKind, number, number][] = [];
  const next = () => {
    waitForInput([fd, event], -1);
    forMessages(messages, read(), (kind, start, end) => {
      seen.push([kind, (start - address) / page, (end - address) / page]);
    });
  };
  const writing = library.symbols.memset(BigInt(address + 2 * page + 5), 1, 1n);
  next();
  zeroPages(fd, address + 2 * page, page);
  await writing;
  const MADV_DONTNEED = 4;
  const discarding = library.symbols.madvise(
    BigInt(address + page),
    BigInt(2 * page),
    MADV_DONTNEED,
  );
  next();
  await discarding;
  assertEquals(seen, [["missing", 2, 2], ["discard", 1, 3]]);
  addToEvent(event, 1n);
  waitForInput([fd, event], -1);
  waitForInput([fd, fd], 1);
  closeDescriptor(event);
  library.close();
  assertThrows(() => readMessages(NOT_OPEN, place, MESSAGE_BYTES), SystemError, "EBADF");
});
