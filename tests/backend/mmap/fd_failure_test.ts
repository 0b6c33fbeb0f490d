import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  dirtyRuns,
  Fd,
  GuestMemoryError,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionHeap,
  GuestRegionMmap,
  IOError,
  MemoryRegionAddress,
  MmapRegion,
  Permissions,
  VolatileSlice,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { available, datagrams, open, pipe, put, take } from "../../support/posix.ts";
import { clean, exactly, LEVELS } from "../../support/tracked_memories.ts";
import { content, count, gpa } from "../../support/values.ts";
import { assertFails, NOT_OPEN, RANGES } from "../../support/descriptors.ts";

linuxTest("an Fd that would block is EAGAIN, and what came before is there", () => {
  for (const of of Object.values(LEVELS)) {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 32]]);
    using channel = pipe({ blocking: false });
    const fd = new Fd(channel.reader);
    assertFails("EAGAIN", "read", () => of(memory).readVolatileFrom(0, fd, 4));
    put(channel.writer, count(5));
    assertFails("EAGAIN", "read", () => of(memory).readExactVolatileFrom(0, fd, 8));
    assertEquals(content(memory, 0, 8), Uint8Array.of(...count(5), 0, 0, 0));
  }
});

linuxTest("a full pipe takes a prefix, and is EAGAIN then", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 40_000], [gpa(40_000), 2 ** 20]]);
  using channel = pipe({ blocking: false });
  const fd = new Fd(channel.writer);
  const taken = memory.writeVolatileTo(gpa(0), fd, 2 ** 20);
  assertEquals([taken < 2 ** 20, available(channel.reader)], [true, taken]);
  assertFails("EAGAIN", "writev", () => memory.writeVolatileTo(gpa(0), fd, 2 ** 20));
  take(channel.reader, taken);
  assertFails("EAGAIN", "write", () => memory.writeAllVolatileTo(gpa(0), fd, 2 ** 20));
  assertEquals(available(channel.reader), taken);
});

linuxTest("a failing call is an IOError whose cause has the call and the errno's name", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  using broken = pipe();
  broken.closeReader();
  using channel = pipe();
  using folder = open(Deno.cwd(), "r");
  using full = open("/dev/full", "w");
  const stream = (fd: number, position?: number) =>
    position === undefined ? new Fd(fd) : new Fd(fd).at(position);
  const read = (fd: number, position?: number) => () =>
    memory.readVolatileFrom(gpa(2), stream(fd, position), 8);
  const write = (fd: number, position?: number) => () =>
    memory.writeVolatileTo(gpa(2), stream(fd, position), 8);
  assertFails("EBADF", "readv", read(NOT_OPEN));
  assertFails("EBADF", "writev", write(NOT_OPEN));
  assertFails("EBADF", "preadv", read(NOT_OPEN, 0));
  assertFails("EBADF", "pwritev", write(NOT_OPEN, 0));
  assertFails("EBADF", "readv", read(channel.writer));
  assertFails("EBADF", "writev", write(channel.reader));
  assertFails("EPIPE", "writev", write(broken.writer));
  assertFails("EISDIR", "readv", read(folder.fd));
  assertFails("ENOSPC", "writev", write(full.fd));
  assertFails("ESPIPE", "preadv", read(channel.reader, 4));
  assertFails("ESPIPE", "pwritev", write(channel.writer, 4));
});

linuxTest("a failing call leaves the position of a PositionedFd where it was", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  const fd = new Fd(NOT_OPEN).at(9);
  assertThrows(() => memory.readVolatileFrom(gpa(0), fd, 8), IOError);
  assertThrows(() => memory.writeAllVolatileTo(gpa(0), fd, 8), IOError);
  assertEquals(fd.position, 9);
});

linuxTest("a failing read marks all that it may have written, a failing write nothing", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  const fd = new Fd(NOT_OPEN);
  assertThrows(() => memory.writeVolatileTo(gpa(2), fd, 100), IOError);
  assertEquals([...dirtyRuns(memory)], []);
  assertThrows(() => memory.readVolatileFrom(gpa(2), fd, 100), IOError);
  assertEquals([...dirtyRuns(memory)], [[gpa(2), 30]]);
  clean(memory);
  assertThrows(() => memory.readVolatileFrom(gpa(50), fd, 3), IOError);
  assertEquals([...dirtyRuns(memory)], [[gpa(50), 3]]);
});

linuxTest("readExactVolatileFrom() that fails marks all of the range", () => {
  for (const of of Object.values(LEVELS)) {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 32]], exactly);
    using channel = pipe({ blocking: false });
    put(channel.writer, count(5));
    assertThrows(() => of(memory).readExactVolatileFrom(1, new Fd(channel.reader), 20), IOError);
    assertEquals([...dirtyRuns(memory)], [[gpa(1), 20]]);
  }
});

linuxTest("memory that may not be written is refused before anything is read", () => {
  using writable = new GuestRegionMmap(new MmapRegion(16, exactly), gpa(0));
  using readOnly = new GuestRegionMmap(
    new MmapRegion(16, { ...exactly, protection: Permissions.Read }),
    gpa(16),
  );
  using memory = GuestMemoryMmap.fromRegions([writable, readOnly]);
  using channel = pipe();
  put(channel.writer, count(32));
  const fd = new Fd(channel.reader);
  const slice = readOnly.asVolatileSlice();
  const reads = [
    // All of the range is refused where a part of it is.
    () => memory.readVolatileFrom(gpa(8), fd, 16),
    () => memory.readExactVolatileFrom(gpa(8), fd, 16),
    () => memory.readVolatileFrom(gpa(16), fd, 8),
    () => readOnly.readVolatileFrom(MemoryRegionAddress(0), fd, 8),
    () => readOnly.readExactVolatileFrom(MemoryRegionAddress(0), fd, 8),
    () => slice.readVolatileFrom(0, fd, 8),
    () => slice.readExactVolatileFrom(0, fd, 8),
    () => fd.readVolatile(slice),
  ];
  for (const read of reads) assertEquals(assertThrows(read, AccessDenied).access, "write");
  assertEquals([available(channel.reader), [...dirtyRuns(memory)]], [32, []]);
  memory.writeAllVolatileTo(gpa(16), new Fd(channel.writer), 16);
  assertEquals(available(channel.reader), 48);
});

linuxTest("memory that may not be read is refused before anything is written", () => {
  using readable = new GuestRegionMmap(new MmapRegion(16), gpa(0));
  using writeOnly = new GuestRegionMmap(
    new MmapRegion(16, { protection: Permissions.Write }),
    gpa(16),
  );
  using memory = GuestMemoryMmap.fromRegions([readable, writeOnly]);
  using channel = pipe();
  const fd = new Fd(channel.writer);
  const slice = writeOnly.asVolatileSlice();
  const writes = [
    () => memory.writeVolatileTo(gpa(8), fd, 16),
    () => memory.writeAllVolatileTo(gpa(8), fd, 16),
    () => writeOnly.writeVolatileTo(MemoryRegionAddress(0), fd, 8),
    () => slice.writeAllVolatileTo(0, fd, 8),
    () => fd.writeVolatile(slice),
  ];
  for (const write of writes) assertEquals(assertThrows(write, AccessDenied).access, "read");
  assertEquals(available(channel.reader), 0);
});

linuxTest("one call goes over slices of different memories, empty ones too", () => {
  using mapped = new MmapRegion(8);
  const heap = count(9).fill(0);
  const slices = [
    VolatileSlice.from(heap.subarray(3, 5)),
    mapped.getSlice(8, 0),
    mapped.getSlice(1, 3),
    VolatileSlice.from(new Uint8Array(0)),
    VolatileSlice.from(new Uint8Array(new SharedArrayBuffer(4), 1, 2)),
  ];
  using sockets = datagrams();
  put(sockets.writer, count(7));
  assertEquals(new Fd(sockets.reader).readVectoredVolatile(slices), 7);
  assertEquals(heap, Uint8Array.of(0, 0, 0, 1, 2, 0, 0, 0, 0));
  assertEquals(slices[2]!.rawView(), Uint8Array.of(3, 4, 5));
  assertEquals(slices[4]!.rawView(), Uint8Array.of(6, 7));
  assertEquals(new Fd(sockets.writer).writeVectoredVolatile(slices), 7);
  assertEquals(take(sockets.reader, 10), count(7));
});

linuxTest("a buffer that was transferred is refused: there is no memory to access", () => {
  const buffer = new ArrayBuffer(2 ** 20);
  using region = new GuestRegionHeap(gpa(0), buffer);
  const slices = [region.asVolatileSlice(), region.asVolatileSlice().offset(2 ** 19)];
  structuredClone(buffer, { transfer: [buffer] });
  const fd = new Fd(NOT_OPEN);
  for (const slice of slices) {
    for (
      const call of [
        () => slice.readVolatileFrom(0, fd, 4),
        () => slice.writeVolatileTo(0, fd, 4),
        () => fd.readVolatile(slice),
        () => fd.writeVolatile(slice),
      ]
    ) {
      // Refused before the call: the kernel knows only addresses.
      const error = assertThrows(call, GuestMemoryError);
      assert(!(error instanceof IOError), `${error}`);
    }
  }
});

const LIES = [17, -1, -16, 0.5, NaN, Infinity, -Infinity];

for (const lie of LIES) {
  Deno.test(`a vectored stream that reports ${lie} of 16 bytes is refused`, () => {
    const memory = GuestMemoryHeap.fromRanges([[gpa(16), 8], [gpa(24), 24]]);
    const calls = { vectored: 0 };
    const stream = {
      readVolatile: (slice: VolatileSlice) => slice.len,
      writeVolatile: (slice: VolatileSlice) => slice.len,
      readVectoredVolatile: () => (calls.vectored++, lie),
      writeVectoredVolatile: () => (calls.vectored++, lie),
    };
    assertThrows(() => memory.readVolatileFrom(gpa(16), stream, 16), IOError);
    assertThrows(() => memory.readExactVolatileFrom(gpa(16), stream, 16), IOError);
    assertThrows(() => memory.writeVolatileTo(gpa(16), stream, 16), IOError);
    assertThrows(() => memory.writeAllVolatileTo(gpa(16), stream, 16), IOError);
    assertEquals(calls.vectored, 4);
  });
}
