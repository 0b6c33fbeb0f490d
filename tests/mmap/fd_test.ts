import { assert, assertEquals, assertInstanceOf, assertLess, assertThrows } from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  type Bytes,
  dirtyRuns,
  Fd,
  GuestAddress,
  GuestMemoryError,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionHeap,
  GuestRegionMmap,
  InvalidBackendAddress,
  InvalidGuestAddress,
  IOError,
  MemoryClosed,
  MemoryRegionAddress,
  MmapRegion,
  OutOfBounds,
  PartialBuffer,
  Permissions,
  SystemError,
  u64,
  VolatileSlice,
} from "../../mod.ts";
import { available, datagrams, eventFd, linuxTest, open, openFile, pipe, put } from "../posix.ts";
import { take } from "../posix.ts";
import {
  BACKINGS,
  clean,
  content,
  count,
  exactly,
  LEVELS,
  type Range,
} from "../tracked_memories.ts";

const A = GuestAddress;
const MOD = import.meta.resolve("../../mod.ts");
const POSIX = import.meta.resolve("../posix.ts");
// No process has so many.
const NOT_OPEN = 2 ** 31 - 1;

// Adjacent regions of several sizes, a hole, a last region.
const RANGES: readonly Range[] = [
  [A(0), 4],
  [A(4), 1],
  [A(5), 7],
  [A(12), 20],
  [A(48), 16],
];

/** Asserts that a system call fails, and what the error tells. */
function assertFails(code: string, call: string, run: () => unknown): void {
  const error = assertThrows(run, IOError);
  assertEquals(error.kind, "Other");
  assertInstanceOf(error.cause, SystemError);
  assertEquals([error.cause.code, error.cause.call], [code, call]);
}

for (const [backing, make] of Object.entries(BACKINGS)) {
  for (const [level, of] of Object.entries(LEVELS)) {
    linuxTest(`Fd fills a ${level} in ${backing} from a file, from where the file stands`, () => {
      using memory = make([[A(0), 32]]);
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
      assertEquals([...dirtyRuns(memory)], [[A(3), 5], [A(16), 10], [A(27), 5]]);
      assertEquals(file.position, 20);
    });

    linuxTest(`Fd empties a ${level} in ${backing} into a file, to where the file stands`, () => {
      using memory = make([[A(0), 32]]);
      memory.writeSlice(count(32), A(0));
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
      `Fd at a position leaves the file where it stands, in a ${level} in ${backing}`,
      () => {
        using memory = make([[A(0), 32]]);
        using file = openFile(count(20));
        take(file.fd, 2);
        const source = new Fd(file.fd, 7);
        assertEquals(of(memory).readVolatileFrom(0, source, 4), 4);
        assertEquals([source.position, file.position], [11, 2]);
        of(memory).readExactVolatileFrom(4, source, 4);
        source.position = 0;
        assertEquals(of(memory).readVolatileFrom(8, source, 2), 2);
        assertEquals([source.position, file.position], [2, 2]);
        assertEquals(content(memory, 0, 11), Uint8Array.of(...count(8, 8), 1, 2, 0));

        const sink = new Fd(file.fd, 18);
        assertEquals(of(memory).writeVolatileTo(0, sink, 3), 3);
        of(memory).writeAllVolatileTo(3, sink, 2);
        assertEquals([sink.position, file.position], [23, 2]);
        assertEquals(file.content, Uint8Array.of(...count(18), ...count(5, 8)));
      },
    );

    linuxTest(`Fd refuses closed memory before any transfer: ${level} in ${backing}`, () => {
      const memory = make([[A(0), 32]]);
      using channel = pipe();
      put(channel.writer, count(4));
      const closed = of(memory);
      memory.close();
      const position = new Fd(channel.reader, 5);
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
    assertEquals(memory.readVolatileFrom(A(0), fd, 12), 12);
    assertEquals(content(memory, 0, 12), count(12));
    assertEquals(memory.readVolatileFrom(A(2), fd, 3), 3);
    // The second read took the second message, cut to what was asked.
    assertEquals(content(memory, 2, 4), Uint8Array.of(101, 102, 103, 6));
    assertEquals([...dirtyRuns(memory)], [[A(0), 12]]);
  });

  linuxTest(`one write empties several regions in ${backing}: a message leaves whole`, () => {
    using memory = make(RANGES);
    memory.writeSlice(count(32), A(0));
    using sockets = datagrams();
    const fd = new Fd(sockets.writer);
    assertEquals(memory.writeVolatileTo(A(1), fd, 12), 12);
    memory.writeAllVolatileTo(A(3), fd, 20);
    assertEquals(take(sockets.reader, 100), count(12, 2));
    assertEquals(take(sockets.reader, 100), count(20, 4));
  });

  linuxTest(`Fd takes more regions than a call takes vectors, in ${backing}`, () => {
    const regions = Array.from({ length: 2500 }, (_, i): Range => [A(3 * i), 3]);
    using memory = make(regions);
    const data = count(7500);
    using file = openFile(data);
    assertEquals(memory.readVolatileFrom(A(0), new Fd(file.fd, 0), 7500), 3 * 1024);
    assertEquals(content(memory, 0, 3075), Uint8Array.of(...data.subarray(0, 3072), 0, 0, 0));
    assertEquals([...dirtyRuns(memory)], [[A(0), 3072]]);
    memory.readExactVolatileFrom(A(0), new Fd(file.fd), 7500);
    assertEquals(content(memory, 0, 7500), data);

    using copy = openFile(new Uint8Array(0));
    assertEquals(memory.writeVolatileTo(A(1), new Fd(copy.fd, 0), 7499), 3 * 1024 - 1);
    memory.writeAllVolatileTo(A(1), new Fd(copy.fd), 7499);
    assertEquals(copy.content, data.subarray(1));
  });
}

linuxTest("a message of 1,024 regions arrives in one read", () => {
  using memory = GuestMemoryMmap.fromRanges(
    Array.from({ length: 1024 }, (_, i): Range => [A(2 * i), 2]),
  );
  using sockets = datagrams();
  put(sockets.writer, count(2048));
  assertEquals(memory.readVolatileFrom(A(0), new Fd(sockets.reader), 2048), 2048);
  assertEquals(content(memory, 0, 2048), count(2048));
});

linuxTest(
  "an eventfd is written from memory, and its value read into two regions in one call",
  () => {
    using memory = GuestMemoryMmap.fromRanges([[A(0), 3], [A(3), 13]]);
    using event = eventFd(7);
    const fd = new Fd(event.fd);
    assertEquals(memory.readVolatileFrom(A(0), fd, 8), 8);
    assertEquals(memory.readObj(u64, A(0)), 7n);
    for (const value of [2n ** 40n, 5n]) {
      memory.writeObj(u64, value, A(8));
      memory.writeAllVolatileTo(A(8), fd, 8);
    }
    memory.readExactVolatileFrom(A(0), fd, 8);
    assertEquals(memory.readObj(u64, A(0)), 2n ** 40n + 5n);
    // A call for fewer bytes is refused by the kernel.
    assertFails("EINVAL", "readv", () => memory.readVolatileFrom(A(0), fd, 7));
  },
);

linuxTest("Fd transfers nothing beyond a hole", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  using channel = pipe();
  put(channel.writer, count(40));
  assertEquals(memory.readVolatileFrom(A(4), new Fd(channel.reader), 40), 28);
  assertEquals([content(memory, 4, 28), available(channel.reader)], [count(28), 12]);
  assertEquals([content(memory, 48, 16), [...dirtyRuns(memory)]], [new Uint8Array(16), [[
    A(4),
    28,
  ]]]);
  assertEquals(memory.writeVolatileTo(A(30), new Fd(channel.writer), 40), 2);
  assertEquals(take(channel.reader, 100), Uint8Array.of(...count(12, 29), 27, 28));
});

linuxTest("Fd is not used where the first byte is in no region", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  const fd = new Fd(NOT_OPEN);
  for (const at of [32, 47, 64, 2 ** 53 - 1]) {
    const calls = [
      () => memory.readVolatileFrom(A(at), fd, 16),
      () => memory.readExactVolatileFrom(A(at), fd, 16),
      () => memory.writeVolatileTo(A(at), fd, 16),
      () => memory.writeAllVolatileTo(A(at), fd, 16),
    ];
    for (const call of calls) {
      assertEquals<number>(assertThrows(call, InvalidGuestAddress, undefined, `${at}`).address, at);
    }
  }
});

linuxTest("Fd is not asked for zero bytes", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  const fd = new Fd(NOT_OPEN);
  for (const level of [memory, memory.findRegion(A(0))!, memory.getSlice(A(0), 4)]) {
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
  assertEquals(memory.readVolatileFrom(A(1), new Fd(channel.reader), 20), 6);
  assertEquals(content(memory, 0, 8), Uint8Array.of(0, ...count(6), 0));
  assertEquals([...dirtyRuns(memory)], [[A(1), 6]]);
});

linuxTest("readExactVolatileFrom() an Fd takes as many reads as it needs", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  using sockets = datagrams();
  // One read takes one message, so each of these is a short read.
  for (const [from, to] of [[0, 1], [1, 4], [4, 11], [11, 12], [12, 26]] as const) {
    put(sockets.writer, count(to - from, from + 1));
  }
  memory.readExactVolatileFrom(A(2), new Fd(sockets.reader), 26);
  assertEquals(content(memory, 0, 32), Uint8Array.of(0, 0, ...count(26), 0, 0, 0, 0));
  assertEquals([...dirtyRuns(memory)], [[A(2), 26]]);
});

linuxTest("the exact forms wait for a slow pipe", async () => {
  using memory = GuestMemoryMmap.fromRanges([[A(0), 300_000], [A(300_000), 724_288]], exactly);
  const data = Uint8Array.from({ length: 1_000_000 }, (_, i) => i * 7 + (i >> 8));
  memory.writeSlice(data, A(1000));
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
    memory.writeAllVolatileTo(A(1000), new Fd(there.writer), data.length);
    let reads = 0;
    const fd = new Fd(back.reader);
    const counting = {
      readVolatile: (slice: VolatileSlice) => (reads++, fd.readVolatile(slice)),
      readVectoredVolatile: (slices: VolatileSlice[]) => (reads++, fd.readVectoredVolatile(slices)),
    };
    memory.readExactVolatileFrom(A(4001), counting, data.length);
    assertLess(20, reads);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
  assertEquals(content(memory, 4001, data.length), data);
  assertEquals([...dirtyRuns(memory)], [[A(4001), data.length]]);
});

linuxTest("readExactVolatileFrom() throws where the data ends, after the prefix", () => {
  for (const [level, of] of Object.entries(LEVELS)) {
    using memory = GuestMemoryMmap.fromRanges([[A(0), 32]], exactly);
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
    assertEquals([...dirtyRuns(memory)], [[A(3), 6]]);
  }
});

linuxTest("the exact forms of memory throw PartialBuffer where the memory ends", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  using channel = pipe();
  put(channel.writer, count(40));
  const read = assertThrows(
    () => memory.readExactVolatileFrom(A(10), new Fd(channel.reader), 40),
    PartialBuffer,
  );
  assertEquals([read.expected, read.completed, available(channel.reader)], [40, 22, 18]);
  assertEquals(content(memory, 10, 22), count(22));
  const write = assertThrows(
    () => memory.writeAllVolatileTo(A(10), new Fd(channel.writer), 40),
    PartialBuffer,
  );
  assertEquals([write.expected, write.completed, available(channel.reader)], [40, 22, 40]);
});

linuxTest("the exact forms of a region and a slice refuse a range that does not fit", () => {
  using memory = GuestMemoryMmap.fromRanges([[A(0), 32]]);
  using channel = pipe();
  put(channel.writer, count(4));
  const region = memory.findRegion(A(0))!;
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

linuxTest("an Fd that would block is EAGAIN, and what came before is there", () => {
  for (const of of Object.values(LEVELS)) {
    using memory = GuestMemoryMmap.fromRanges([[A(0), 32]]);
    using channel = pipe({ blocking: false });
    const fd = new Fd(channel.reader);
    assertFails("EAGAIN", "read", () => of(memory).readVolatileFrom(0, fd, 4));
    put(channel.writer, count(5));
    assertFails("EAGAIN", "read", () => of(memory).readExactVolatileFrom(0, fd, 8));
    assertEquals(content(memory, 0, 8), Uint8Array.of(...count(5), 0, 0, 0));
  }
});

linuxTest("a full pipe takes a prefix, and is EAGAIN then", () => {
  using memory = GuestMemoryMmap.fromRanges([[A(0), 40_000], [A(40_000), 2 ** 20]]);
  using channel = pipe({ blocking: false });
  const fd = new Fd(channel.writer);
  const taken = memory.writeVolatileTo(A(0), fd, 2 ** 20);
  assertEquals([taken < 2 ** 20, available(channel.reader)], [true, taken]);
  assertFails("EAGAIN", "writev", () => memory.writeVolatileTo(A(0), fd, 2 ** 20));
  take(channel.reader, taken);
  assertFails("EAGAIN", "write", () => memory.writeAllVolatileTo(A(0), fd, 2 ** 20));
  assertEquals(available(channel.reader), taken);
});

linuxTest("a failing call is an IOError whose cause has the call and the errno's name", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  using broken = pipe();
  broken.closeReader();
  using channel = pipe();
  using folder = open(Deno.cwd(), "r");
  using full = open("/dev/full", "w");
  const read = (fd: number, position?: number) => () =>
    memory.readVolatileFrom(A(2), new Fd(fd, position), 8);
  const write = (fd: number, position?: number) => () =>
    memory.writeVolatileTo(A(2), new Fd(fd, position), 8);
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

linuxTest("a failing call leaves an Fd's position where it was", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  const fd = new Fd(NOT_OPEN, 9);
  assertThrows(() => memory.readVolatileFrom(A(0), fd, 8), IOError);
  assertThrows(() => memory.writeAllVolatileTo(A(0), fd, 8), IOError);
  assertEquals(fd.position, 9);
});

linuxTest("a failing read marks all that it may have written, a failing write nothing", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  const fd = new Fd(NOT_OPEN);
  assertThrows(() => memory.writeVolatileTo(A(2), fd, 100), IOError);
  assertEquals([...dirtyRuns(memory)], []);
  assertThrows(() => memory.readVolatileFrom(A(2), fd, 100), IOError);
  assertEquals([...dirtyRuns(memory)], [[A(2), 30]]);
  clean(memory);
  assertThrows(() => memory.readVolatileFrom(A(50), fd, 3), IOError);
  assertEquals([...dirtyRuns(memory)], [[A(50), 3]]);
});

linuxTest("readExactVolatileFrom() that fails marks all of the range", () => {
  for (const of of Object.values(LEVELS)) {
    using memory = GuestMemoryMmap.fromRanges([[A(0), 32]], exactly);
    using channel = pipe({ blocking: false });
    put(channel.writer, count(5));
    assertThrows(() => of(memory).readExactVolatileFrom(1, new Fd(channel.reader), 20), IOError);
    assertEquals([...dirtyRuns(memory)], [[A(1), 20]]);
  }
});

linuxTest("memory that may not be written is refused before anything is read", () => {
  using writable = new GuestRegionMmap(new MmapRegion(16, exactly), A(0));
  using readOnly = new GuestRegionMmap(
    new MmapRegion(16, { ...exactly, protection: Permissions.Read }),
    A(16),
  );
  using memory = GuestMemoryMmap.fromRegions([writable, readOnly]);
  using channel = pipe();
  put(channel.writer, count(32));
  const fd = new Fd(channel.reader);
  const slice = readOnly.asVolatileSlice();
  const reads = [
    // All of the range is refused where a part of it is.
    () => memory.readVolatileFrom(A(8), fd, 16),
    () => memory.readExactVolatileFrom(A(8), fd, 16),
    () => memory.readVolatileFrom(A(16), fd, 8),
    () => readOnly.readVolatileFrom(MemoryRegionAddress(0), fd, 8),
    () => readOnly.readExactVolatileFrom(MemoryRegionAddress(0), fd, 8),
    () => slice.readVolatileFrom(0, fd, 8),
    () => slice.readExactVolatileFrom(0, fd, 8),
    () => fd.readVolatile(slice),
  ];
  for (const read of reads) assertEquals(assertThrows(read, AccessDenied).access, "write");
  assertEquals([available(channel.reader), [...dirtyRuns(memory)]], [32, []]);
  memory.writeAllVolatileTo(A(16), new Fd(channel.writer), 16);
  assertEquals(available(channel.reader), 48);
});

linuxTest("memory that may not be read is refused before anything is written", () => {
  using readable = new GuestRegionMmap(new MmapRegion(16), A(0));
  using writeOnly = new GuestRegionMmap(
    new MmapRegion(16, { protection: Permissions.Write }),
    A(16),
  );
  using memory = GuestMemoryMmap.fromRegions([readable, writeOnly]);
  using channel = pipe();
  const fd = new Fd(channel.writer);
  const slice = writeOnly.asVolatileSlice();
  const writes = [
    () => memory.writeVolatileTo(A(8), fd, 16),
    () => memory.writeAllVolatileTo(A(8), fd, 16),
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
  using region = new GuestRegionHeap(A(0), buffer);
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

for (const fd of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32]) {
  Deno.test(`Fd refuses ${fd} as a descriptor with RangeError`, () => {
    assertThrows(() => new Fd(fd), RangeError, `${fd}`);
  });
}

for (const position of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
  Deno.test(`Fd refuses position ${position} with RangeError`, () => {
    assertThrows(() => new Fd(0, position), RangeError, `${position}`);
  });
}

linuxTest("Fd transfers nothing at a position that is none", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  using file = openFile(count(16));
  const fd = new Fd(file.fd, 0);
  for (const position of [-1, 0.5, NaN, Infinity, -Infinity]) {
    fd.position = position;
    assertThrows(() => memory.readVolatileFrom(A(0), fd, 8), IOError);
    assertThrows(() => memory.writeVolatileTo(A(0), fd, 8), IOError);
  }
  assertEquals([content(memory, 0, 8), file.content], [new Uint8Array(8), count(16)]);
});

Deno.test("Fd takes the largest descriptor and position", () => {
  const fd = new Fd(2 ** 31 - 1, 2 ** 53 - 1);
  assertEquals([fd.fd, fd.position], [2 ** 31 - 1, 2 ** 53 - 1]);
  assertEquals(new Fd(0).position, undefined);
});

const LIES = [17, -1, -16, 0.5, NaN, Infinity, -Infinity];

for (const lie of LIES) {
  Deno.test(`a vectored stream that reports ${lie} of 16 bytes is refused`, () => {
    const memory = GuestMemoryHeap.fromRanges([[A(16), 8], [A(24), 24]]);
    const calls = { vectored: 0 };
    const stream = {
      readVolatile: (slice: VolatileSlice) => slice.len,
      writeVolatile: (slice: VolatileSlice) => slice.len,
      readVectoredVolatile: () => (calls.vectored++, lie),
      writeVectoredVolatile: () => (calls.vectored++, lie),
    };
    assertThrows(() => memory.readVolatileFrom(A(16), stream, 16), IOError);
    assertThrows(() => memory.readExactVolatileFrom(A(16), stream, 16), IOError);
    assertThrows(() => memory.writeVolatileTo(A(16), stream, 16), IOError);
    assertThrows(() => memory.writeAllVolatileTo(A(16), stream, 16), IOError);
    assertEquals(calls.vectored, 4);
  });
}

linuxTest("the exact forms transfer more than the 2 GiB that one call takes", () => {
  const GiB = 2 ** 30;
  const total = 2.5 * GiB;
  using memory = GuestMemoryMmap.fromRanges([[A(0), 1.25 * GiB], [A(1.25 * GiB), 1.5 * GiB]], {
    bitmap: (length) => new AtomicBitmap(length),
  });
  // The ends of the range, of the first region and of what a call takes.
  const edges = [1.25 * GiB, 2 * GiB - 4096, 2 * GiB, total].flatMap((end) => [end - 1, end]);
  const marks = [0, ...edges].map(A);
  for (const at of marks) memory.write(Uint8Array.of(9), at);
  using zero = open("/dev/zero", "r");
  memory.readExactVolatileFrom(A(0), new Fd(zero.fd), total);
  const left = marks.filter((at) => content(memory, at, 1)[0] !== 0);
  assertEquals(left, [A(total)]);
  assertEquals([...dirtyRuns(memory)], [[A(0), total + 4096]]);
});

linuxTest("a region of more than 4 GiB is written, in calls of at most 2 GiB", () => {
  const GiB = 2 ** 30;
  using memory = GuestMemoryMmap.fromRanges([[A(0), 4.5 * GiB], [A(4.5 * GiB), GiB]]);
  using sink = open("/dev/null", "w");
  const fd = new Fd(sink.fd);
  const first = memory.writeVolatileTo(A(0), fd, 5 * GiB);
  assert(first >= GiB && first < 2 * GiB, `${first}`);
  memory.writeAllVolatileTo(A(0), fd, 5 * GiB);
  memory.findRegion(A(0))!.writeAllVolatileTo(MemoryRegionAddress(1), fd, 4.5 * GiB - 1);
  const error = assertThrows(() => memory.writeAllVolatileTo(A(GiB), fd, 5 * GiB), PartialBuffer);
  assertEquals(error.completed, 4.5 * GiB);
});

linuxTest("a short read into a region of more than 4 GiB lands where it was asked", () => {
  const GiB = 2 ** 30;
  using memory = GuestMemoryMmap.fromRanges([[A(0), 5 * GiB]]);
  using file = openFile(count(10));
  assertEquals(memory.readVolatileFrom(A(4 * GiB + 3), new Fd(file.fd, 0), GiB - 3), 10);
  assertEquals(memory.readVolatileFrom(A(5), new Fd(file.fd, 0), 4.5 * GiB), 10);
  assertEquals(content(memory, 4 * GiB + 3, 11), Uint8Array.of(...count(10), 0));
  assertEquals(content(memory, 4, 12), Uint8Array.of(0, ...count(10), 0));
});

// A program that transfers while a signal whose handler does not restart calls comes every 10 ms.
const INTERRUPTED = `
  import { Fd, GuestAddress, GuestMemoryMmap } from ${JSON.stringify(MOD)};
  const libc = Deno.dlopen("libc.so.6", {
    read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    siginterrupt: { parameters: ["i32", "i32"], result: "i32" },
    ualarm: { parameters: ["u32", "u32"], result: "u32" },
    __errno_location: { parameters: [], result: "pointer" },
  });
  const { read, siginterrupt, ualarm, __errno_location } = libc.symbols;
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 3], [GuestAddress(3), 2 ** 20]]);
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(__errno_location(), 4));
  const SIGALRM = 14;
  Deno.addSignalListener("SIGALRM", () => {});
  siginterrupt(SIGALRM, 1);
  ualarm(10_000, 10_000);
  // The proof that calls are interrupted: this one, without data to read.
  const result = Number(read(0, new Uint8Array(1), 1n));
  console.error(\`\${result} \${errno[0]}\`);
  memory.readExactVolatileFrom(GuestAddress(0), new Fd(0), 10);
  console.error("read");
  new Fd(0).readVectoredVolatile([...memory.getSlices(GuestAddress(0), 5)]);
  new Fd(0).readVolatile(memory.getSlice(GuestAddress(5), 5));
  console.error("read again");
  memory.writeAllVolatileTo(GuestAddress(0), new Fd(1), 2 ** 20);
  ualarm(0, 0);
  Deno.exit(0);
`;

linuxTest("Fd goes on where a signal interrupts a call", async () => {
  await using child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", INTERRUPTED],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // Calls that the child began since it said something: each interruption is one.
  const calls = (kind: "syscr" | "syscw") =>
    Number(new RegExp(`${kind}: (\\d+)`).exec(Deno.readTextFileSync(`/proc/${child.pid}/io`))![1]);
  const callsMore = async (kind: "syscr" | "syscw", more: number) => {
    for (const before = calls(kind); calls(kind) < before + more;) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const said = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await said.read()).value, "-1 4\n", "not interrupted with EINTR");
  await callsMore("syscr", 5);
  const input = child.stdin.getWriter();
  await input.write(count(10));
  assertEquals((await said.read()).value, "read\n");
  // The same by Fd alone, in two calls.
  await callsMore("syscr", 5);
  await input.write(count(5, 21));
  await callsMore("syscr", 5);
  await input.write(count(5, 26));
  assertEquals((await said.read()).value, "read again\n");
  await callsMore("syscw", 5);
  const output = await new Response(child.stdout).bytes();
  assertEquals([output.length, output.subarray(0, 11)], [
    2 ** 20,
    Uint8Array.of(...count(10, 21), 0),
  ]);
  await said.cancel();
  await input.close().catch(() => {});
  assertEquals((await child.status).code, 0);
});
