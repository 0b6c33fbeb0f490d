import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  AccessDenied,
  AtomicBitmap,
  Backing,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestMemoryRegion,
  MemoryClosed,
  NoBitmap,
  Permissions,
  SystemError,
  u8,
} from "../../mod.ts";
import {
  type SkippedPages,
  SnapshotFailed,
  snapshotManifest,
  SnapshotMismatch,
  SnapshotRefused,
  type TransferProgress,
  writeSnapshot,
  WriteTracker,
} from "../../src/snapshot/mod.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { adviseMemory } from "../../ffi/memory.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open, pipe } from "../support/posix.ts";
import { gpa } from "../support/values.ts";
import {
  type Kind,
  KINDS,
  memoryOf,
  mountTest,
  naiveBytes,
  ownMountsTest,
  PAGE,
  scratchFile,
  smallDisk,
} from "./memories.ts";
import { restoreTest, takePages, trackedMemory, trackerTest } from "./tracking.ts";

const MIB = 2 ** 20;

// Pages of regions: what is done to each of them.
const TOUCHED = ["nothing", "read", "zeros", "data"] as const;
const layouts = fc.array(
  fc.record({
    gap: fc.integer({ min: 0, max: 3 }),
    pages: fc.array(fc.constantFrom(...TOUCHED), { minLength: 1, maxLength: 40 }),
    cut: fc.constantFrom(0, 1, 100),
  }),
  { minLength: 1, maxLength: 4 },
);

for (const kind of KINDS) {
  for (const folder of ["/dev/shm", undefined]) {
    const place = folder ?? "the folder for temporary files";
    restoreTest(`writeSnapshot() is a loop over pages, with holes: ${kind}, ${place}`, async () => {
      await fc.assert(fc.asyncProperty(layouts, (layout) => check(layout, kind, folder)), {
        numRuns: 10,
        seed: 5,
      });
    });
  }
}

type Layout = typeof layouts extends fc.Arbitrary<infer T> ? T : never;

async function check(layout: Layout, kind: Kind, folder: string | undefined): Promise<void> {
  let at = 7 * PAGE;
  const ranges = layout.map(({ gap, pages, cut }) => {
    const start = at + gap * PAGE;
    at = start + pages.length * PAGE;
    return [start, pages.length * PAGE - cut] as const;
  });
  using memory = memoryOf(kind, ranges);
  const pages: { position: number; length: number; touched: (typeof TOUCHED)[number] }[] = [];
  for (const [i, { pages: region, cut }] of layout.entries()) {
    for (const [page, touched] of region.entries()) {
      const addr = ranges[i]![0] + page * PAGE;
      const length = page === region.length - 1 ? PAGE - cut : PAGE;
      pages.push({ position: pages.length * PAGE, length, touched });
      if (touched === "read") memory.readObj(u8, gpa(addr));
      if (touched === "zeros") memory.writeObj(u8, 0, gpa(addr));
      if (touched === "data") memory.writeObj(u8, 1 + page, gpa(addr + length - 1));
    }
  }
  const contents: Uint8Array[] = [];
  for (const skip of ["absent", "zero", "nothing"] as const) {
    using file = scratchFile(folder);
    const { manifest, ...report } = await writeSnapshot(memory, file.fd, { skip });
    assertEquals(manifest, snapshotManifest(memory));
    contents.push(file.content);
    const wanted = pages.filter(({ touched }) => isWritten(touched, skip));
    const written = wanted.reduce((sum, { length }) => sum + length, 0);
    assertEquals(report, { bytes: contents.at(-1)!.length, written }, skip);
    using naive = scratchFile(folder);
    {
      using opened = Deno.openSync(naive.path, { write: true });
      for (const { position, length } of wanted) {
        opened.seekSync(position, Deno.SeekMode.Start);
        opened.writeSync(new Uint8Array(length));
      }
    }
    assertEquals(file.stored, naive.stored, skip);
  }
  const naive = naiveBytes(memory);
  for (const content of contents) assertEquals(content, naive);

  function isWritten(touched: (typeof TOUCHED)[number], skip: SkippedPages): boolean {
    if (skip === "nothing" || touched === "data") return true;
    if (skip === "zero") return false;
    const isUnknown = kind === "heap" || kind === "anonymous, shared";
    // Reading a hole of a memfd takes a page.
    return isUnknown || touched === "zeros" || touched === "read" && kind === "memfd";
  }
}

restoreTest(
  "writeSnapshot() has the file of a private mapping, and what was changed since",
  async () => {
    using source = scratchFile();
    const content = new Uint8Array(64 * PAGE);
    // Pages from 16 on are a hole, but for one.
    content.fill(1, 0, 16 * PAGE).fill(2, 40 * PAGE, 41 * PAGE);
    Deno.writeFileSync(source.path, content.subarray(0, 16 * PAGE));
    Deno.truncateSync(source.path, content.length);
    {
      using file = Deno.openSync(source.path, { write: true });
      file.seekSync(40 * PAGE, Deno.SeekMode.Start);
      file.writeSync(content.subarray(40 * PAGE, 41 * PAGE));
    }
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 32 * PAGE], [gpa(2 ** 32), 32 * PAGE]], {
      backing: Backing.file(source.fd, { private: true }),
    });
    memory.writeObj(u8, 3, gpa(PAGE));
    memory.writeObj(u8, 3, gpa(20 * PAGE));
    memory.writeObj(u8, 3, gpa(2 ** 32 + 31 * PAGE));
    memory.writeObj(u8, 3, gpa(2 ** 32 + 3 * PAGE));
    memory.discard(gpa(5 * PAGE), 2 * PAGE);
    const expected = content.fill(0, 5 * PAGE, 7 * PAGE);
    for (const page of [1, 20, 35, 63]) expected[page * PAGE] = 3;
    for (const [skip, pages] of [["absent", 20], ["zero", 18], ["nothing", 64]] as const) {
      using file = scratchFile();
      const { written } = await writeSnapshot(memory, file.fd, { skip });
      assertEquals(written, pages * PAGE, skip);
      assertEquals(file.content, expected, skip);
    }
    // The file was only read, and its position is where it was.
    assertEquals(source.content.subarray(0, 16 * PAGE), new Uint8Array(16 * PAGE).fill(1));
    using opened = Deno.openSync(source.path);
    assertEquals(opened.seekSync(0, Deno.SeekMode.Current), 0);
  },
);

linuxTest(
  "writeSnapshot() has pages of shared memory that were taken from this process",
  async () => {
    for (const kind of ["memfd", "shared file", "anonymous, shared"] as const) {
      using memory = memoryOf(kind, [[0, 8 * PAGE]]);
      memory.writeObj(u8, 7, gpa(3 * PAGE));
      adviseMemory(
        Number(memory.findRegion(gpa(0))!.getHostAddress(0 as never)),
        8 * PAGE,
        "dontneed",
      );
      using file = scratchFile();
      await writeSnapshot(memory, file.fd);
      assertEquals(file.content[3 * PAGE], 7, kind);
    }
  },
);

trackerTest("writeSnapshot() leaves holes where a write tracker protects them", async () => {
  using memory = trackedMemory([[0, 512]]);
  memory.writeObj(u8, 1, gpa(5 * PAGE));
  using tracker = WriteTracker.start(memory);
  memory.writeObj(u8, 1, gpa(6 * PAGE));
  for (const skip of ["absent", "zero"] as const) {
    using file = scratchFile();
    const { bytes, written } = await writeSnapshot(memory, file.fd, { skip });
    assertEquals([bytes, written], [512 * PAGE, 2 * PAGE]);
    assertEquals(file.content, naiveBytes(memory));
  }
  // Reading is no write.
  assertEquals(tracker.collect(), PAGE);
  assertEquals(takePages(memory), [5 * PAGE, 6 * PAGE]);
});

linuxTest(
  "writeSnapshot() writes regions of every kind by rising address, beyond 2 GiB too",
  async () => {
    const page = new Uint8Array(PAGE).fill(9);
    using low = GuestMemoryMmap.fromRanges([[gpa(0), 3 * 2 ** 30]]);
    using heap = GuestMemoryHeap.fromRanges([[gpa(2 ** 32), 3 * PAGE]]);
    using high = memoryOf("memfd", [[2 ** 40, 2 * MIB]]);
    low.write(page, gpa(3 * 2 ** 30 - PAGE));
    low.write(page, gpa(2 ** 31 - 2));
    heap.write(page, gpa(2 ** 32 + PAGE));
    high.write(page, gpa(2 ** 40 + 5 * PAGE));
    using file = scratchFile();
    // Old content, and more of it.
    Deno.truncateSync(file.path, 2 ** 33);
    const { bytes, written } = await writeSnapshot([...high, ...low, ...heap], file.fd, {
      sync: true,
    });
    const total = 3 * 2 ** 30 + 3 * PAGE + 2 * MIB;
    assertEquals([bytes, written], [total, (1 + 2 + 3 + 2) * PAGE - (2 * PAGE - PAGE)]);
    using opened = Deno.openSync(file.path);
    assertEquals(opened.statSync().size, total);
    const at = (position: number) => {
      const bytes = new Uint8Array(PAGE);
      opened.seekSync(position, Deno.SeekMode.Start);
      opened.readSync(bytes);
      return bytes;
    };
    assertEquals(at(3 * 2 ** 30 - PAGE), page);
    assertEquals(at(2 ** 31 - 2), page);
    assertEquals(at(3 * 2 ** 30 + PAGE), page);
    assertEquals(at(3 * 2 ** 30 + 3 * PAGE + 5 * PAGE), page);
    assertEquals(at(0), new Uint8Array(PAGE));
  },
);

linuxTest("writeSnapshot() replaces what was in the file", async () => {
  using memory = memoryOf("anonymous", [[0, 4 * PAGE]]);
  memory.writeObj(u8, 1, gpa(PAGE));
  using file = scratchFile();
  for (const pages of [1, 4, 9]) {
    Deno.writeFileSync(file.path, new Uint8Array(pages * PAGE).fill(5));
    await writeSnapshot(memory, file.fd);
    assertEquals(file.content, naiveBytes(memory));
  }
});

linuxTest("writeSnapshot() of no region makes an empty file", async () => {
  using file = scratchFile();
  Deno.writeFileSync(file.path, new Uint8Array(5));
  const { bytes, written, manifest } = await writeSnapshot([], file.fd, { sync: true });
  assertEquals([bytes, written, manifest], [0, 0, snapshotManifest([])]);
  assertEquals(file.content.length, 0);
});

linuxTest("writeSnapshot() reports progress after each piece", async () => {
  using memory = memoryOf("anonymous", [[0, 40 * MIB], [2 ** 32, MIB]]);
  using file = scratchFile();
  const seen: TransferProgress[] = [];
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await writeSnapshot(memory, file.fd, {
    onProgress: (progress) => {
      seen.push(progress);
      const end = performance.now() + 5;
      while (performance.now() < end);
    },
  });
  clearInterval(timer);
  const total = 41 * MIB;
  assertEquals(seen, [16, 32, 40, 41].map((mib) => ({ bytes: mib * MIB, total })));
  assert(turns > 0);
});

linuxTest("writeSnapshot() ends when it is aborted, before and in the middle", async () => {
  using memory = trackedMemory([[0, 64 * MIB / PAGE]]);
  memory.writeObj(u8, 1, gpa(60 * MIB));
  using file = scratchFile();
  Deno.writeFileSync(file.path, new Uint8Array(5).fill(1));
  const reason = new Error("enough");
  const descriptors = openDescriptors();
  const aborted = writeSnapshot(memory, file.fd, { signal: AbortSignal.abort(reason) });
  assertEquals(await assertRejects(() => aborted), reason);
  assertEquals(file.content, new Uint8Array(5).fill(1));
  const controller = new AbortController();
  const seen: number[] = [];
  const middle = writeSnapshot(memory, file.fd, {
    signal: controller.signal,
    onProgress: ({ bytes }) => {
      seen.push(bytes);
      // Raised by the event loop.
      if (bytes === 32 * MIB) setTimeout(() => controller.abort(reason), 0);
      const end = performance.now() + 5;
      while (performance.now() < end);
    },
  });
  assertEquals(await assertRejects(() => middle), reason);
  assert(seen.length >= 2 && seen.length < 4, String(seen));
  const failing = writeSnapshot(memory, file.fd, {
    onProgress() {
      throw reason;
    },
  });
  assertEquals(await assertRejects(() => failing), reason);
  assertEquals(takePages(memory), [60 * MIB]);
  assertEquals(openDescriptors(), descriptors);
});

linuxTest(
  "writeSnapshot() refuses a file that the memory maps, which stays as it was",
  async () => {
    using file = scratchFile();
    Deno.writeFileSync(file.path, new Uint8Array(PAGE).fill(5));
    for (const isPrivate of [false, true]) {
      using memory = GuestMemoryMmap.fromRanges([[gpa(PAGE), PAGE]], {
        backing: Backing.file(file.fd, { private: isPrivate }),
      });
      using again = open(file.path, "r+");
      for (const fd of [file.fd, again.fd]) {
        const error = await assertRejects(() => writeSnapshot(memory, fd), SnapshotRefused);
        assertEquals(error.reason, `the region at 0x${PAGE.toString(16)} maps it`);
      }
      assertEquals(memory.readObj(u8, gpa(PAGE)), 5);
    }
    assertEquals(file.content, new Uint8Array(PAGE).fill(5));
  },
);

linuxTest("writeSnapshot() refuses files that cannot take it, and wrong arguments", async () => {
  using memory = memoryOf("anonymous", [[0, PAGE]]);
  using file = scratchFile();
  Deno.writeFileSync(file.path, new Uint8Array(5).fill(1));
  using channel = pipe();
  using reader = open(file.path, "r");
  using appending = open(file.path, "a");
  const descriptors = openDescriptors();
  for (
    const [fd, reason] of [
      [channel.writer, "it is no regular file"],
      [reader.fd, "it is open to read only"],
      [appending.fd, "it is open to append"],
    ] as const
  ) {
    const error = await assertRejects(() => writeSnapshot(memory, fd), SnapshotRefused);
    assertEquals(error.reason, reason);
  }
  await assertRejects(() => writeSnapshot(memory, 2 ** 31 - 1), SystemError);
  await assertRejects(() => writeSnapshot(7 as never, file.fd), TypeError, "as memory");
  for (const wrong of [{ skip: "some" }, { sync: 1 }, { onProgress: 1 }, { signal: {} }]) {
    await assertRejects(() => writeSnapshot(memory, file.fd, wrong as never), TypeError);
  }
  assertEquals(file.content, new Uint8Array(5).fill(1));
  assertEquals(openDescriptors(), descriptors);
});

linuxTest("writeSnapshot() ends when the memory is closed or cannot be read", async () => {
  using file = scratchFile();
  const memory = memoryOf("anonymous", [[0, 64 * MIB]]);
  const regions = [...memory];
  const onProgress = () => memory[Symbol.dispose]();
  await assertRejects(() => writeSnapshot(memory, file.fd, { onProgress }), MemoryClosed);
  await assertRejects(() => writeSnapshot(regions, file.fd), MemoryClosed);
  using hidden = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]], { protection: Permissions.No });
  await assertRejects(() => writeSnapshot(hidden, file.fd), AccessDenied);
});

linuxTest("writeSnapshot() continues when the caller closes the file", async () => {
  using memory = memoryOf("anonymous", [[0, 32 * MIB]]);
  memory.writeObj(u8, 7, gpa(32 * MIB - 1));
  using file = scratchFile();
  const opened = open(file.path, "r+");
  let closed = false;
  const onProgress = () => {
    if (!closed) opened[Symbol.dispose]();
    closed = true;
  };
  await writeSnapshot(memory, opened.fd, { onProgress });
  assertEquals(file.content[32 * MIB - 1], 7);
});

mountTest("writeSnapshot() says how far it came on a full disk", async () => {
  using small = smallDisk(4 * MIB);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 64 * MIB]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  memory.fill(gpa(20 * MIB), 8 * MIB, 1);
  using file = scratchFile(small.path);
  const descriptors = openDescriptors();
  const error = await assertRejects(() => writeSnapshot(memory, file.fd), SnapshotFailed);
  assert(error.cause instanceof SystemError);
  assertEquals([error.cause.call, error.cause.code], ["pwrite", "ENOSPC"]);
  assertEquals(error.total, 64 * MIB);
  // All that has room, and the last call was cut off.
  assertEquals(error.bytes, 20 * MIB + file.stored);
  assertEquals(file.stored, 4 * MIB);
  assertEquals(takePages(memory).length, 8 * MIB / PAGE);
  assertEquals(openDescriptors(), descriptors);
});

linuxTest("writeSnapshot() of many regions of one file opens it once", async () => {
  const ranges = Array.from({ length: 200 }, (_, i) => [2 * i * PAGE, PAGE] as const);
  using memory = memoryOf("memfd", ranges);
  memory.writeObj(u8, 1, gpa(2 * 150 * PAGE));
  using file = scratchFile();
  const before = openDescriptors();
  let during = 0;
  const onProgress = () => {
    during = Math.max(during, openDescriptors());
  };
  assertEquals((await writeSnapshot(memory, file.fd, { onProgress })).written, PAGE);
  // The file, the list of pages, and the target.
  assertEquals(during, before + 3);
  assertEquals(file.content[150 * PAGE], 1);
});

linuxTest(
  "writeSnapshot() of a region that takes the buffer, or closes memory, is an error",
  async () => {
    class Taking extends GuestMemoryRegion {
      readonly startAddr = gpa(0);
      readonly len = 2 * MIB + 5;
      readonly bitmap = NoBitmap;
      constructor(readonly take: (buf: Uint8Array) => void) {
        super();
      }
      override read(buf: Uint8Array): number {
        const { length } = buf;
        buf.fill(7);
        this.take(buf);
        return length;
      }
    }
    using file = scratchFile();
    const transferring = new Taking((buf) => void (buf.buffer as ArrayBuffer).transfer());
    await assertRejects(() => writeSnapshot([transferring], file.fd), TypeError, "took the buffer");
    const mapped = memoryOf("anonymous", [[2 ** 32, MIB]]);
    const regions = [new Taking(() => mapped[Symbol.dispose]()), ...mapped];
    await assertRejects(() => writeSnapshot(regions, file.fd), MemoryClosed);
    const { written } = await writeSnapshot([new Taking(() => {})], file.fd);
    assertEquals(written, 2 * MIB + 5);
    assertEquals(file.content, new Uint8Array(2 * MIB + 5).fill(7));
  },
);

ownMountsTest("writeSnapshot() writes all where there is no /proc", async () => {
  const script = new URL("without_proc.ts", import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "--allow-all", "--no-check", script];
  const { success, stdout, stderr } = await new Deno.Command("unshare", {
    args: ["--mount", ...deno],
  }).output();
  const text = new TextDecoder();
  assertEquals([success, text.decode(stdout)], [true, "same\n"], text.decode(stderr));
});

for (const folder of ["/dev/shm", undefined]) {
  const place = folder ?? "the folder for temporary files";
  linuxTest(`writeSnapshot() refuses a file that other memory maps: ${place}`, async () => {
    using memory = memoryOf("anonymous", [[0, PAGE]]);
    using file = scratchFile(folder);
    Deno.writeFileSync(file.path, new Uint8Array(4 * PAGE).fill(5));
    {
      using clone = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]], {
        backing: Backing.file(file.fd, { private: true }),
      });
      await assertRejects(() => writeSnapshot(memory, file.fd), SnapshotRefused, "truncating");
      assertEquals(clone.readObj(u8, gpa(0)), 5);
    }
    assertEquals((await writeSnapshot(memory, file.fd)).bytes, PAGE);
  });
}

linuxTest("writeSnapshot() finds out that the file was cut off meanwhile", async () => {
  using memory = memoryOf("anonymous", [[0, 64 * MIB]]);
  memory.writeObj(u8, 1, gpa(0));
  using file = scratchFile();
  const onProgress = () => Deno.truncateSync(file.path, 0);
  const error = await assertRejects(
    () => writeSnapshot(memory, file.fd, { onProgress }),
    SnapshotMismatch,
  );
  assertEquals([error.expected, error.found], [64 * MIB + 1, 0]);
});

restoreTest("writeSnapshot() fails at pages that cannot be read", async () => {
  const libc = Deno.dlopen("libc.so.6", {
    madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  });
  // linux/mman.h: accesses end the process. Linux 6.13 or later, for all but private memory 6.15.
  const MADV_GUARD_INSTALL = 102;
  for (const kind of ["anonymous", "memfd"] as const) {
    for (const skip of ["absent", "zero"] as const) {
      using memory = memoryOf(kind, [[0, 8 * PAGE]]);
      memory.write(new Uint8Array(8 * PAGE).fill(1), gpa(0));
      const address = memory.findRegion(gpa(0))!.getHostAddress((3 * PAGE) as never) as bigint;
      if (libc.symbols.madvise(address, BigInt(PAGE), MADV_GUARD_INSTALL) !== 0) continue;
      using file = scratchFile();
      await assertRejects(() => writeSnapshot(memory, file.fd, { skip }), SnapshotFailed);
    }
  }
  libc.close();
});
