import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  CannotResolve,
  dirtyRuns,
  Fd,
  type GuestRange,
  IOError,
  IommuMemory,
  MemoryClosed,
  PartialBuffer,
  Permissions,
} from "../../../mod.ts";
import { assertFails, NOT_OPEN, RANGES } from "../../support/descriptors.ts";
import { TableIommu } from "../../support/iommu.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { available, datagrams, openFile, pipe, put, take } from "../../support/posix.ts";
import { BACKINGS, clean, type Range } from "../../support/tracked_memories.ts";
import { content, count, gpa } from "../../support/values.ts";

// Bytes 50 to 53, 10 to 13 over a boundary, 0 to 1.
const SCATTERED: readonly GuestRange[] = [[gpa(50), 4], [gpa(10), 4], [gpa(0), 0], [gpa(0), 2]];

for (const [backing, make] of Object.entries(BACKINGS)) {
  linuxTest(`one read fills scattered ranges in ${backing}: a message arrives whole`, () => {
    using memory = make(RANGES);
    using sockets = datagrams();
    put(sockets.writer, count(10));
    put(sockets.writer, count(7, 101));
    const fd = new Fd(sockets.reader);
    assertEquals(memory.readVectoredFrom(SCATTERED, fd), 10);
    assertEquals(content(memory, 50, 4), count(4));
    assertEquals(content(memory, 10, 4), count(4, 5));
    assertEquals(content(memory, 0, 2), count(2, 9));
    assertEquals([...dirtyRuns(memory)], [[gpa(0), 2], [gpa(10), 4], [gpa(50), 4]]);
    clean(memory);
    // A short one is a prefix, and only that is dirty.
    assertEquals(memory.readVectoredFrom(SCATTERED, fd), 7);
    assertEquals([...dirtyRuns(memory)], [[gpa(10), 3], [gpa(50), 4]]);
  });

  linuxTest(`one write empties scattered ranges in ${backing}: a message leaves whole`, () => {
    using memory = make(RANGES);
    memory.writeSlice(count(32), gpa(0));
    memory.writeSlice(count(16, 49), gpa(48));
    clean(memory);
    using sockets = datagrams();
    const fd = new Fd(sockets.writer);
    assertEquals(memory.writeVectoredTo(SCATTERED, fd), 10);
    memory.writeAllVectoredTo(SCATTERED, fd);
    const expected = Uint8Array.of(51, 52, 53, 54, 11, 12, 13, 14, 1, 2);
    assertEquals([take(sockets.reader, 100), take(sockets.reader, 100)], [expected, expected]);
    assertEquals([...dirtyRuns(memory)], []);
  });

  linuxTest(`a vectored transfer at a position, and its rest after a hole, in ${backing}`, () => {
    using memory = make(RANGES);
    using file = openFile(count(100));
    const fd = new Fd(file.fd);
    const stream = fd.at(20);
    const given: GuestRange[] = [[gpa(4), 3], [gpa(30), 4], [gpa(0), 4]];
    assertEquals([memory.readVectoredFrom(given, stream), stream.position], [5, 25]);
    const { expected, completed } = assertThrows(
      () => memory.readExactVectoredFrom(given, fd.at(20)),
      PartialBuffer,
    );
    assertEquals([expected, completed], [11, 5]);
    assertEquals([content(memory, 4, 3), content(memory, 30, 2)], [count(3, 21), count(2, 24)]);
    memory.writeAllVectoredTo([[gpa(30), 2], [gpa(4), 3]], fd.at(0));
    assertEquals(file.content.subarray(0, 6), Uint8Array.of(24, 25, 21, 22, 23, 6));
    assertEquals(file.position, 0);
  });

  linuxTest(`exact vectored transfers take more ranges than one call, in ${backing}`, () => {
    using memory = make([[gpa(0), 10_000]]);
    // Backwards, so that no two are adjacent.
    const given = Array.from({ length: 2500 }, (_, i): Range => [gpa(4 * (2499 - i)), 3]);
    const data = count(7500);
    using file = openFile(data);
    const fd = new Fd(file.fd);
    assertEquals(memory.readVectoredFrom(given, fd.at(0)), 3 * 1024);
    memory.readExactVectoredFrom(given, fd.at(0));
    for (const i of [0, 1023, 1024, 2047, 2048, 2499]) {
      assertEquals(
        content(memory, 4 * (2499 - i), 4),
        Uint8Array.of(...data.subarray(3 * i, 3 * i + 3), 0),
      );
    }
    using copy = openFile(new Uint8Array(0));
    memory.writeAllVectoredTo(given, new Fd(copy.fd).at(5));
    assertEquals(copy.content.subarray(5), data);
    const error = assertThrows(
      () => memory.readExactVectoredFrom(given, fd.at(10)),
      PartialBuffer,
    );
    assertEquals(error.completed, 7490);
  });

  linuxTest(`a pipe that gives a little at a time fills ranges exactly, in ${backing}`, () => {
    using memory = make(RANGES);
    using channel = pipe();
    put(channel.writer, count(3));
    put(channel.writer, count(7, 4));
    assertEquals(memory.readVectoredFrom(SCATTERED, new Fd(channel.reader)), 10);
    put(channel.writer, count(6));
    channel.closeWriter();
    const error = assertThrows(
      () => memory.readExactVectoredFrom(SCATTERED, new Fd(channel.reader)),
      PartialBuffer,
    );
    assertEquals([error.expected, error.completed], [10, 6]);
  });

  linuxTest(
    `a failing vectored read marks every range, and a hole's nothing, in ${backing}`,
    () => {
      using memory = make(RANGES);
      const fd = new Fd(NOT_OPEN);
      assertFails("EBADF", "readv", () => memory.readVectoredFrom(SCATTERED, fd));
      assertFails("EBADF", "preadv", () => memory.readExactVectoredFrom(SCATTERED, fd.at(0)));
      assertEquals([...dirtyRuns(memory)], [[gpa(0), 2], [gpa(10), 4], [gpa(50), 4]]);
      assertFails("EBADF", "writev", () => memory.writeVectoredTo(SCATTERED, fd));
      assertFails("EBADF", "pwritev", () => memory.writeAllVectoredTo(SCATTERED, fd.at(0)));
    },
  );

  linuxTest(`a vectored transfer of closed memory uses no descriptor, in ${backing}`, () => {
    const memory = make(RANGES);
    using channel = pipe();
    put(channel.writer, count(4));
    function* closing(): Generator<GuestRange> {
      yield [gpa(0), 2];
      yield [gpa(50), 2];
      memory.close();
    }
    assertThrows(() => memory.readVectoredFrom(closing(), new Fd(channel.reader)), MemoryClosed);
    assertThrows(() => memory.readVectoredFrom(SCATTERED, new Fd(channel.reader)), MemoryClosed);
    assertEquals(available(channel.reader), 4);
  });

  linuxTest(`one call fills ranges behind an IOMMU, or none of them, in ${backing}`, () => {
    using physical = make(RANGES);
    const { Read, Write } = Permissions;
    const iommu = new TableIommu().map(0x1000, 48).map(0x1010, 0).map(0x1020, 16, 16, Read);
    const bitmap = new AtomicBitmap(0x2000, 1);
    const memory = new IommuMemory(physical, iommu, { bitmap });
    using sockets = datagrams();
    put(sockets.writer, count(9));
    put(sockets.writer, count(9));
    const fd = new Fd(sockets.reader);
    const given: GuestRange[] = [[gpa(0x1018), 2], [gpa(0x100e), 7]];
    assertEquals(memory.readVectoredFrom(given, fd), 9);
    assertEquals(iommu.asked, [[0x1018, 2, Write], [0x100e, 7, Write]]);
    assertEquals([content(physical, 62, 2), content(physical, 0, 5)], [count(2, 3), count(5, 5)]);
    assertEquals([...dirtyRuns(physical)], [[gpa(0), 5], [gpa(8), 2], [gpa(62), 2]]);
    const marked = [0x100d, 0x100e, 0x1014, 0x1015, 0x1017, 0x1018, 0x1019].filter((at) =>
      bitmap.dirtyAt(at)
    );
    assertEquals([marked, bitmap.dirtyPages], [[0x100e, 0x1014, 0x1018, 0x1019], 9]);
    clean(physical);
    bitmap.reset();
    given.push([gpa(0x1020), 1]);
    assertThrows(() => memory.readVectoredFrom(given, fd), CannotResolve);
    assertThrows(() => memory.readExactVectoredFrom(given, fd), CannotResolve);
    assertEquals([[...dirtyRuns(physical)], bitmap.dirtyPages], [[], 0]);
    assertEquals(take(sockets.reader, 20), count(9));
    assertEquals(
      assertThrows(() => memory.readVectoredFrom(given.slice(0, 1), fd), IOError).kind,
      "Other",
    );
  });
}
