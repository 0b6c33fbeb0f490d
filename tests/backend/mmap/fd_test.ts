import { assertEquals, assertLess, assertThrows } from "@std/assert";
import {
  type Bytes,
  dirtyRuns,
  Fd,
  GuestMemoryMmap,
  InvalidBackendAddress,
  InvalidGuestAddress,
  IOError,
  MemoryClosed,
  OutOfBounds,
  PartialBuffer,
  PositionedFd,
  SystemError,
  u64,
  type VolatileSlice,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import {
  available,
  datagrams,
  eventFd,
  open,
  openFile,
  pipe,
  put,
  take,
} from "../../support/posix.ts";
import { BACKINGS, clean, exactly, LEVELS, type Range } from "../../support/tracked_memories.ts";
import { content, count, gpa } from "../../support/values.ts";
import { assertFails, NOT_OPEN, RANGES } from "../../support/descriptors.ts";

const POSIX = import.meta.resolve("../../support/posix.ts");

for (const [backing, make] of Object.entries(BACKINGS)) {
  for (const [level, of] of Object.entries(LEVELS)) {
    linuxTest(`Fd fills a ${level} in ${backing} from a file, from where the file stands`, () => {
      using memory = make([[gpa(0), 32]]);
      using file = openFile(count(20));
      const fd = new Fd(file.fd);
      assertEquals(of(memory).readVolatileFrom(3, fd, 5), 5);
      of(memory).readExactVolatileFrom(16, fd, 10);
      assertEquals(of(memory).readVolatileFrom(27, fd, 100), 5);
      assertEquals(of(memory).readVolatileFrom(0, fd, 1), 0);
      assertEquals(
        content(memory, 0, 32),
        Uint8Array.of(
          0,
          0,
          0,
          ...count(5),
          ...new Uint8Array(8),
          ...count(10, 6),
          0,
          ...count(5, 16),
        ),
      );
      assertEquals([...dirtyRuns(memory)], [[gpa(3), 5], [gpa(16), 10], [gpa(27), 5]]);
      assertEquals(file.position, 20);
    });

    linuxTest(`Fd empties a ${level} in ${backing} into a file, to where the file stands`, () => {
      using memory = make([[gpa(0), 32]]);
      memory.writeSlice(count(32), gpa(0));
      clean(memory);
      using file = openFile(new Uint8Array(0));
      const fd = new Fd(file.fd);
      assertEquals(of(memory).writeVolatileTo(3, fd, 5), 5);
      of(memory).writeAllVolatileTo(16, fd, 10);
      assertEquals(of(memory).writeVolatileTo(30, fd, 100), 2);
      assertEquals(file.content, Uint8Array.of(...count(5, 4), ...count(10, 17), 31, 32));
      assertEquals([...dirtyRuns(memory)], []);
    });

    linuxTest(
      `Fd.at() leaves the file where it stands, in a ${level} in ${backing}`,
      () => {
        using memory = make([[gpa(0), 32]]);
        using file = openFile(count(20));
        take(file.fd, 2);
        const fd = new Fd(file.fd);
        const source = fd.at(7);
        assertEquals(of(memory).readVolatileFrom(0, source, 4), 4);
        assertEquals([source.position, file.position], [11, 2]);
        of(memory).readExactVolatileFrom(4, source, 4);
        assertEquals(of(memory).readVolatileFrom(8, fd.at(0), 2), 2);
        assertEquals([source.position, file.position], [15, 2]);
        assertEquals(content(memory, 0, 11), Uint8Array.of(...count(8, 8), 1, 2, 0));

        const sink = fd.at(18);
        assertEquals(of(memory).writeVolatileTo(0, sink, 3), 3);
        of(memory).writeAllVolatileTo(3, sink, 2);
        assertEquals([sink.position, file.position], [23, 2]);
        assertEquals(file.content, Uint8Array.of(...count(18), ...count(5, 8)));
      },
    );

    linuxTest(`Fd refuses closed memory before any transfer: ${level} in ${backing}`, () => {
      const memory = make([[gpa(0), 32]]);
      using channel = pipe();
      put(channel.writer, count(4));
      const closed = of(memory);
      memory.close();
      const position = new Fd(channel.reader).at(5);
      assertThrows(() => closed.readVolatileFrom(0, new Fd(channel.reader), 4), MemoryClosed);
      assertThrows(() => closed.readExactVolatileFrom(0, position, 4), MemoryClosed);
      assertThrows(() => closed.writeVolatileTo(0, new Fd(channel.writer), 4), MemoryClosed);
      assertThrows(() => closed.writeAllVolatileTo(0, new Fd(channel.writer), 4), MemoryClosed);
      assertEquals([available(channel.reader), position.position], [4, 5]);
    });
  }

  linuxTest(`one read fills several regions in ${backing}: a message arrives whole`, () => {
    using memory = make(RANGES);
    using sockets = datagrams();
    put(sockets.writer, count(12));
    put(sockets.writer, count(4, 101));
    const fd = new Fd(sockets.reader);
    assertEquals(memory.readVolatileFrom(gpa(0), fd, 12), 12);
    assertEquals(content(memory, 0, 12), count(12));
    assertEquals(memory.readVolatileFrom(gpa(2), fd, 3), 3);
    // The second read took the second message, cut to what was asked.
    assertEquals(content(memory, 2, 4), Uint8Array.of(101, 102, 103, 6));
    assertEquals([...dirtyRuns(memory)], [[gpa(0), 12]]);
  });

  linuxTest(`one write empties several regions in ${backing}: a message leaves whole`, () => {
    using memory = make(RANGES);
    memory.writeSlice(count(32), gpa(0));
    using sockets = datagrams();
    const fd = new Fd(sockets.writer);
    assertEquals(memory.writeVolatileTo(gpa(1), fd, 12), 12);
    memory.writeAllVolatileTo(gpa(3), fd, 20);
    assertEquals(take(sockets.reader, 100), count(12, 2));
    assertEquals(take(sockets.reader, 100), count(20, 4));
  });

  linuxTest(`Fd takes more regions than a call takes vectors, in ${backing}`, () => {
    const regions = Array.from({ length: 2500 }, (_, i): Range => [gpa(3 * i), 3]);
    using memory = make(regions);
    const data = count(7500);
    using file = openFile(data);
    assertEquals(memory.readVolatileFrom(gpa(0), new Fd(file.fd).at(0), 7500), 3 * 1024);
    assertEquals(content(memory, 0, 3075), Uint8Array.of(...data.subarray(0, 3072), 0, 0, 0));
    assertEquals([...dirtyRuns(memory)], [[gpa(0), 3072]]);
    memory.readExactVolatileFrom(gpa(0), new Fd(file.fd), 7500);
    assertEquals(content(memory, 0, 7500), data);

    using copy = openFile(new Uint8Array(0));
    assertEquals(memory.writeVolatileTo(gpa(1), new Fd(copy.fd).at(0), 7499), 3 * 1024 - 1);
    memory.writeAllVolatileTo(gpa(1), new Fd(copy.fd), 7499);
    assertEquals(copy.content, data.subarray(1));
  });
}

linuxTest("a message of 1,024 regions arrives in one read", () => {
  using memory = GuestMemoryMmap.fromRanges(
    Array.from({ length: 1024 }, (_, i): Range => [gpa(2 * i), 2]),
  );
  using sockets = datagrams();
  put(sockets.writer, count(2048));
  assertEquals(memory.readVolatileFrom(gpa(0), new Fd(sockets.reader), 2048), 2048);
  assertEquals(content(memory, 0, 2048), count(2048));
});

linuxTest(
  "an eventfd is written from memory, and its value read into two regions in one call",
  () => {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 3], [gpa(3), 13]]);
    using event = eventFd(7);
    const fd = new Fd(event.fd);
    assertEquals(memory.readVolatileFrom(gpa(0), fd, 8), 8);
    assertEquals(memory.readObj(u64, gpa(0)), 7n);
    for (const value of [2n ** 40n, 5n]) {
      memory.writeObj(u64, value, gpa(8));
      memory.writeAllVolatileTo(gpa(8), fd, 8);
    }
    memory.readExactVolatileFrom(gpa(0), fd, 8);
    assertEquals(memory.readObj(u64, gpa(0)), 2n ** 40n + 5n);
    // A call for fewer bytes is refused by the kernel.
    assertFails("EINVAL", "readv", () => memory.readVolatileFrom(gpa(0), fd, 7));
  },
);

linuxTest("Fd transfers nothing beyond a hole", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  using channel = pipe();
  put(channel.writer, count(40));
  assertEquals(memory.readVolatileFrom(gpa(4), new Fd(channel.reader), 40), 28);
  assertEquals([content(memory, 4, 28), available(channel.reader)], [count(28), 12]);
  assertEquals([content(memory, 48, 16), [...dirtyRuns(memory)]], [new Uint8Array(16), [[
    gpa(4),
    28,
  ]]]);
  assertEquals(memory.writeVolatileTo(gpa(30), new Fd(channel.writer), 40), 2);
  assertEquals(take(channel.reader, 100), Uint8Array.of(...count(12, 29), 27, 28));
});

linuxTest("Fd is not used where the first byte is in no region", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  const fd = new Fd(NOT_OPEN);
  for (const at of [32, 47, 64, 2 ** 53 - 1]) {
    const calls = [
      () => memory.readVolatileFrom(gpa(at), fd, 16),
      () => memory.readExactVolatileFrom(gpa(at), fd, 16),
      () => memory.writeVolatileTo(gpa(at), fd, 16),
      () => memory.writeAllVolatileTo(gpa(at), fd, 16),
    ];
    for (const call of calls) {
      assertEquals<number>(assertThrows(call, InvalidGuestAddress, undefined, `${at}`).address, at);
    }
  }
});

linuxTest("Fd is not asked for zero bytes", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  const fd = new Fd(NOT_OPEN);
  for (const level of [memory, memory.findRegion(gpa(0))!, memory.getSlice(gpa(0), 4)]) {
    const bytes = level as Bytes<number>;
    assertEquals(bytes.readVolatileFrom(0, fd, 0), 0);
    bytes.readExactVolatileFrom(0, fd, 0);
    assertEquals(bytes.writeVolatileTo(0, fd, 0), 0);
    bytes.writeAllVolatileTo(0, fd, 0);
  }
});

linuxTest("readVolatileFrom() an Fd reads once: what is there, as a prefix", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  using channel = pipe();
  put(channel.writer, count(6));
  assertEquals(memory.readVolatileFrom(gpa(1), new Fd(channel.reader), 20), 6);
  assertEquals(content(memory, 0, 8), Uint8Array.of(0, ...count(6), 0));
  assertEquals([...dirtyRuns(memory)], [[gpa(1), 6]]);
});

linuxTest("readExactVolatileFrom() an Fd takes as many reads as it needs", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  using sockets = datagrams();
  // One read takes one message, so each of these is a short read.
  for (const [from, to] of [[0, 1], [1, 4], [4, 11], [11, 12], [12, 26]] as const) {
    put(sockets.writer, count(to - from, from + 1));
  }
  memory.readExactVolatileFrom(gpa(2), new Fd(sockets.reader), 26);
  assertEquals(content(memory, 0, 32), Uint8Array.of(0, 0, ...count(26), 0, 0, 0, 0));
  assertEquals([...dirtyRuns(memory)], [[gpa(2), 26]]);
});

linuxTest("the exact forms wait for a slow pipe", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 300_000], [gpa(300_000), 724_288]], exactly);
  const data = Uint8Array.from({ length: 1_000_000 }, (_, i) => i * 7 + (i >> 8));
  memory.writeSlice(data, gpa(1000));
  clean(memory);
  using there = pipe();
  using back = pipe();
  // Takes all with reads of odd sizes, then gives it back in pieces, each when the last is taken.
  const source = `
    import { available, put, take } from ${JSON.stringify(POSIX)};
    self.postMessage("ready");
    const all = new Uint8Array(${data.length});
    for (let done = 0; done < all.length;) {
      const piece = take(${there.reader}, 30_011);
      all.set(piece, done);
      done += piece.length;
    }
    for (let done = 0; done < all.length; done += 49_999) {
      put(${back.writer}, all.slice(done, done + 49_999));
      while (available(${back.reader}) > 0);
    }
  `;
  const url = URL.createObjectURL(new Blob([source], { type: "application/javascript" }));
  const worker = new Worker(url, { type: "module" });
  try {
    await new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
    });
    memory.writeAllVolatileTo(gpa(1000), new Fd(there.writer), data.length);
    let reads = 0;
    const fd = new Fd(back.reader);
    const counting = {
      readVolatile: (slice: VolatileSlice) => (reads++, fd.readVolatile(slice)),
      readVectoredVolatile: (slices: VolatileSlice[]) => (reads++, fd.readVectoredVolatile(slices)),
    };
    memory.readExactVolatileFrom(gpa(4001), counting, data.length);
    assertLess(20, reads);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
  assertEquals(content(memory, 4001, data.length), data);
  assertEquals([...dirtyRuns(memory)], [[gpa(4001), data.length]]);
});

linuxTest("readExactVolatileFrom() throws where the data ends, after the prefix", () => {
  for (const [level, of] of Object.entries(LEVELS)) {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 32]], exactly);
    using channel = pipe();
    put(channel.writer, count(6));
    channel.closeWriter();
    const read = () => of(memory).readExactVolatileFrom(3, new Fd(channel.reader), 10);
    if (level === "memory") {
      const { expected, completed } = assertThrows(read, PartialBuffer);
      assertEquals([expected, completed], [10, 6]);
    } else {
      assertEquals(assertThrows(read, IOError, undefined, level).kind, "UnexpectedEof");
    }
    assertEquals(content(memory, 0, 11), Uint8Array.of(0, 0, 0, ...count(6), 0, 0));
    assertEquals([...dirtyRuns(memory)], [[gpa(3), 6]]);
  }
});

linuxTest("the exact forms of memory throw PartialBuffer where the memory ends", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  using channel = pipe();
  put(channel.writer, count(40));
  const read = assertThrows(
    () => memory.readExactVolatileFrom(gpa(10), new Fd(channel.reader), 40),
    PartialBuffer,
  );
  assertEquals([read.expected, read.completed, available(channel.reader)], [40, 22, 18]);
  assertEquals(content(memory, 10, 22), count(22));
  const write = assertThrows(
    () => memory.writeAllVolatileTo(gpa(10), new Fd(channel.writer), 40),
    PartialBuffer,
  );
  assertEquals([write.expected, write.completed, available(channel.reader)], [40, 22, 40]);
});

linuxTest("the exact forms of a region and a slice refuse a range that does not fit", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 32]]);
  using channel = pipe();
  put(channel.writer, count(4));
  const region = memory.findRegion(gpa(0))!;
  const errors = [[region, InvalidBackendAddress], [
    region.asVolatileSlice(),
    OutOfBounds,
  ]] as const;
  for (const [level, ErrorClass] of errors) {
    const bytes = level as Bytes<number>;
    assertThrows(() => bytes.readExactVolatileFrom(30, new Fd(channel.reader), 3), ErrorClass);
    assertThrows(() => bytes.writeAllVolatileTo(30, new Fd(channel.writer), 3), ErrorClass);
  }
  assertEquals(available(channel.reader), 4);
});

for (const fd of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32]) {
  Deno.test(`Fd refuses ${fd} as a descriptor with RangeError`, () => {
    assertThrows(() => new Fd(fd), RangeError, `${fd}`);
    assertThrows(() => new PositionedFd(fd, 0), RangeError, `${fd}`);
  });
}

for (const position of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
  Deno.test(`Fd.at() refuses position ${position} with RangeError`, () => {
    assertThrows(() => new Fd(0).at(position), RangeError, `${position}`);
    assertThrows(() => new PositionedFd(0, position), RangeError, `${position}`);
  });
}

linuxTest(
  "PositionedFd transfers an exact range in several calls, and many streams share a file",
  () => {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4096]]);
    const data = count(250);
    using file = openFile(data);
    const fd = new Fd(file.fd);
    const streams = [200, 0, 100].map((position) => fd.at(position));
    for (const [i, stream] of streams.entries()) {
      memory.readExactVolatileFrom(gpa(100 * i), stream, 20);
    }
    for (const [i, stream] of streams.entries()) {
      memory.readExactVolatileFrom(gpa(100 * i + 20), stream, 30);
    }
    assertEquals(content(memory, 0, 50), data.subarray(200, 250));
    assertEquals(content(memory, 100, 50), data.subarray(0, 50));
    assertEquals(content(memory, 200, 50), data.subarray(100, 150));
    // The file ends.
    assertThrows(
      () => memory.readExactVolatileFrom(gpa(0), fd.at(245), 10),
      PartialBuffer,
      "5 were",
    );
    assertEquals([streams.map(({ position }) => position), file.position], [[250, 50, 150], 0]);
  },
);

linuxTest("PositionedFd refuses to continue at 2^53, and transfers nothing", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  using zero = open("/dev/zero", "r+");
  const stream = new Fd(zero.fd).at(2 ** 53 - 4);
  assertEquals(memory.readVolatileFrom(gpa(0), stream, 8), 8);
  memory.writeSlice(count(8), gpa(0));
  assertThrows(() => memory.readVolatileFrom(gpa(0), stream, 8), IOError, `${2 ** 53 + 4}`);
  assertThrows(() => memory.writeVolatileTo(gpa(0), stream, 40), IOError, `${2 ** 53 + 4}`);
  assertEquals([content(memory, 0, 8), stream.position], [count(8), 2 ** 53 + 4]);
});

Deno.test("Fd takes the largest descriptor and position", () => {
  const fd = new Fd(2 ** 31 - 1);
  const { fd: same, position } = fd.at(2 ** 53 - 1);
  assertEquals([fd.fd, same, position], [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 53 - 1]);
});

linuxTest("Fd.sync() waits for the storage of a file, and throws for what is none", () => {
  using file = openFile(new Uint8Array(4096));
  new Fd(file.fd).sync();
  using zero = open("/dev/zero", "r");
  assertThrows(() => new Fd(zero.fd).sync(), SystemError, "EINVAL");
  assertThrows(() => new Fd(NOT_OPEN).sync(), SystemError, "EBADF");
});
