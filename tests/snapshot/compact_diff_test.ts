import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  AtomicBitmap,
  Backing,
  type GuestDirtyRun,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  InvalidGuestAddress,
  SystemError,
  takeDirty,
} from "../../mod.ts";
import {
  applyDiff,
  InvalidDiff,
  SnapshotError,
  SnapshotFailed,
  SnapshotMismatch,
  SnapshotRefused,
  type TransferProgress,
  writeDiff,
  writeSnapshot,
} from "../../src/snapshot/mod.ts";
import { compactDiffOf, readHead, writeHead } from "../../src/snapshot/compact_diff.ts";
import { fileRunsOf } from "../../src/snapshot/file_runs.ts";
import { layoutOf } from "../../src/snapshot/layout.ts";
import { PackedOutput } from "../../src/snapshot/packed_output.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { gpa } from "../support/values.ts";
import {
  diskWithoutHoles,
  mountTest,
  naiveBytes,
  PAGE,
  type ScratchFile,
  scratchFile,
  smallDisk,
} from "./memories.ts";
import { takePages } from "./tracking.ts";

const MIB = 2 ** 20;
const form = "compact";

/** The regions of a memory of one kind, some of which are not mapped. */
function tracked(
  kind: "anonymous" | "memfd" | "heap" | "mixed",
  ranges: readonly (readonly [start: number, length: number])[],
  granule: number,
): GuestMemory {
  const bitmap = (length: number) => new AtomicBitmap(length, granule);
  const all = ranges.map(([start, length]) => [gpa(start), length] as const);
  const mapped = (part: typeof all) =>
    GuestMemoryMmap.fromRanges(part, {
      bitmap,
      backing: kind === "memfd" ? Backing.memfd() : Backing.anonymous(),
    });
  if (kind === "heap") return GuestMemoryHeap.fromRanges(all, { bitmap });
  if (kind !== "mixed") return mapped(all);
  const regions = all.flatMap((range, i): GuestMemoryRegion[] => [
    ...i % 2 === 0 ? mapped([range]) : GuestMemoryHeap.fromRanges([range], { bitmap }),
  ]);
  return mixedMemory(regions);
}

// What takeDirty() and the naive loop need of a memory.
function mixedMemory(regions: readonly GuestMemoryRegion[]): GuestMemory {
  return Object.assign([...regions], {
    findRegion: (addr: number) =>
      regions.find(({ startAddr, len }) => addr >= startAddr && addr < startAddr + len),
  }) as unknown as GuestMemory;
}

const worlds = fc.record({
  kind: fc.constantFrom("anonymous", "memfd", "heap", "mixed"),
  // Smaller than a page, a page, and more.
  granule: fc.constantFrom(128, PAGE, 4 * PAGE),
  folders: fc.tuple(
    fc.constantFrom("/dev/shm", undefined),
    fc.constantFrom("/dev/shm", undefined),
  ),
  regions: fc.array(
    fc.record({
      gap: fc.integer({ min: 0, max: 2 }),
      pages: fc.integer({ min: 1, max: 40 }),
      cut: fc.constantFrom(0, 1, 2049),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  writes: fc.array(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 3 * PAGE })), {
    maxLength: 30,
  }),
});

linuxTest(
  "writeDiff() in the compact form has each page that is dirty, as documented",
  async () => {
    const property = fc.asyncProperty(worlds, async ({ kind, granule, folders, ...world }) => {
      let at = 0;
      const ranges = world.regions.map(({ gap, pages, cut }) => {
        const start = at + gap * PAGE;
        at = start + pages * PAGE;
        return [start, pages * PAGE - cut] as const;
      });
      const memory = tracked(kind, ranges, granule);
      const write = (value: number) => {
        for (const [region, offset, length] of world.writes) {
          const [start, size] = ranges[region % ranges.length]!;
          const bytes = new Uint8Array(Math.min(length, size - offset % size)).fill(value);
          const found = memory.findRegion(gpa(start))!;
          found.writeSlice(bytes, (offset % size) as never);
        }
      };
      using base = scratchFile(folders[0]);
      await writeSnapshot(memory, base.fd);
      write(7);
      using dirty = takeDirty(memory);
      using diff = scratchFile(folders[1]);
      const report = await writeDiff(memory, diff.fd, dirty, { form });
      // The naive way: each page that has a dirty byte, up to the end of its region.
      const all = naiveBytes(memory);
      const pages = naivePages(ranges, dirty);
      const found = naiveRead(diff.content);
      assertEquals(found.length, all.length);
      assertEquals(
        found.runs.flatMap(([start, bytes]) => pagesOfRun(start, bytes)),
        pages,
      );
      for (const [start, bytes] of found.runs) {
        assertEquals(bytes, all.subarray(start, start + bytes.length));
      }
      assertEquals(report.bytes, diff.content.length);
      const data = pages.reduce((sum, [, length]) => sum + length, 0);
      assertEquals(report.written, 40 + 16 * found.runs.length + data);
      using naive = scratchFile(folders[1]);
      Deno.writeFileSync(naive.path, diff.content);
      if (found.runs.length > 0) assert(diff.stored <= naive.stored);
      const applied = await applyDiff(base.fd, diff.fd, { form });
      assertEquals(applied, { bytes: all.length, written: data });
      assertEquals(base.content, all);
    });
    await fc.assert(property, { numRuns: 80, seed: 7 });
  },
);

/** Where each page is in the file, and its bytes. */
type Page = readonly [position: number, length: number];

function naivePages(
  ranges: readonly (readonly [start: number, length: number])[],
  dirty: Iterable<GuestDirtyRun>,
): Page[] {
  const pages = new Map<number, number>();
  for (const [addr, count] of dirty) {
    for (let at: number = addr; at < addr + count; at++) {
      let position = 0;
      for (const [start, length] of ranges) {
        position = Math.ceil(position / PAGE) * PAGE;
        if (at >= start && at < start + length) {
          const first = Math.floor((at - start) / PAGE) * PAGE;
          pages.set(position + first, Math.min(PAGE, length - first));
        }
        position += length;
      }
    }
  }
  return [...pages].sort(([a], [b]) => a - b);
}

function pagesOfRun(start: number, { length }: Uint8Array): Page[] {
  const pages: Page[] = [];
  for (let at = 0; at < length; at += PAGE) pages.push([start + at, Math.min(PAGE, length - at)]);
  return pages;
}

// As a stranger reads it.
function naiveRead(file: Uint8Array): { length: number; runs: [number, Uint8Array][] } {
  const view = new DataView(file.buffer);
  assertEquals(new TextDecoder().decode(file.subarray(0, 8)), "VMMDIFF\0");
  assertEquals([view.getUint32(8, true), view.getUint32(12, true)], [1, PAGE]);
  const wide = (at: number) => Number(view.getBigUint64(at, true));
  const runs: [number, Uint8Array][] = [];
  let data = wide(32);
  assertEquals(data % PAGE, 0);
  let last = -1;
  for (let run = 0; run < wide(24); run++) {
    const [start, length] = [wide(40 + 16 * run), wide(48 + 16 * run)];
    assert(start > last && start % PAGE === 0 && length > 0);
    runs.push([start, file.subarray(data, data + length)]);
    data += length;
    last = start + length - 1;
  }
  assertEquals(data, file.length);
  return { length: wide(16), runs };
}

linuxTest(
  "writeDiff() in the compact form takes more than 1,024 runs, and beyond 2 GiB",
  async () => {
    const size = 5 * 2 ** 30;
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), size]], {
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    using base = scratchFile("/dev/shm");
    Deno.truncateSync(base.path, size);
    const places = Array.from(
      { length: 3001 },
      (_, i) => Math.floor(size / PAGE / 3001 * i) * PAGE,
    );
    places.push(2 ** 31 - PAGE, 2 ** 31, 2 ** 32 - PAGE, 2 ** 32, size - PAGE);
    for (const at of places) {
      memory.write(new Uint8Array(PAGE).fill(at / PAGE % 255 + 1), gpa(at));
    }
    using diff = scratchFile();
    const report = await writeDiff(memory, diff.fd, takeDirty(memory), { form });
    const pages = new Set(places).size;
    assert(report.bytes < (pages + 16) * PAGE);
    assertEquals((await applyDiff(base.fd, diff.fd, { form })).written, pages * PAGE);
    using opened = Deno.openSync(base.path);
    assertEquals(opened.statSync().size, size);
    assertEquals(base.stored, pages * PAGE);
    const page = new Uint8Array(PAGE);
    for (const at of places) {
      opened.seekSync(at, Deno.SeekMode.Start);
      opened.readSync(page);
      assertEquals(page, new Uint8Array(PAGE).fill(at / PAGE % 255 + 1), String(at));
    }
  },
);

linuxTest("writeDiff() in the compact form of nothing changes nothing", async () => {
  const memory = tracked("anonymous", [[0, 9 * PAGE]], PAGE);
  using base = scratchFile();
  using diff = scratchFile();
  Deno.writeFileSync(base.path, new Uint8Array(9 * PAGE).fill(3));
  Deno.writeFileSync(diff.path, new Uint8Array(20 * PAGE).fill(5));
  const report = await writeDiff(memory, diff.fd, takeDirty(memory), { form, sync: true });
  assertEquals(report, { bytes: PAGE, written: 40 });
  assertEquals(await applyDiff(base.fd, diff.fd, { form, sync: true }), {
    bytes: 9 * PAGE,
    written: 0,
  });
  assertEquals(base.content, new Uint8Array(9 * PAGE).fill(3));
  const none = await writeDiff([], diff.fd, takeDirty([] as never), { form });
  assertEquals(none, { bytes: PAGE, written: 40 });
  Deno.truncateSync(base.path, 0);
  await applyDiff(base.fd, diff.fd, { form });
});

linuxTest(
  "writeDiff() and applyDiff() in the compact form report progress, and are aborted",
  async () => {
    const memory = tracked("anonymous", [[0, 64 * MIB]], PAGE);
    memory.write(new Uint8Array(40 * MIB).fill(1), gpa(MIB));
    const marks = takePages(memory);
    memory.write(new Uint8Array(40 * MIB).fill(1), gpa(MIB));
    using base = scratchFile();
    Deno.truncateSync(base.path, 64 * MIB);
    using diff = scratchFile();
    const descriptors = openDescriptors();
    const reason = new Error("enough");
    const abortedAt = async (run: (options: object) => Promise<unknown>) => {
      const controller = new AbortController();
      const seen: TransferProgress[] = [];
      const onProgress = (progress: TransferProgress) => {
        seen.push(progress);
        controller.abort(reason);
      };
      const { signal } = controller;
      assertEquals(await assertRejects(() => run({ form, signal, onProgress })), reason);
      return seen;
    };
    const writing = (options: object) => writeDiff(memory, diff.fd, takeDirty(memory), options);
    const total = 40 * MIB + PAGE;
    assertEquals(await abortedAt(writing), [{ bytes: 16 * MIB + PAGE, total }]);
    assertEquals(takePages(memory), marks);
    memory.write(new Uint8Array(40 * MIB).fill(1), gpa(MIB));
    await assertRejects(
      () => applyDiff(base.fd, diff.fd, { form }),
      SnapshotMismatch,
      "unfinished",
    );
    const places: number[] = [];
    await writing({ form, onProgress: ({ bytes }: TransferProgress) => places.push(bytes - PAGE) });
    assertEquals(places, [16 * MIB, 32 * MIB, 40 * MIB]);
    const applying = (options: object) => applyDiff(base.fd, diff.fd, options);
    assertEquals(await abortedAt(applying), [{ bytes: 17 * MIB, total: 64 * MIB }]);
    await applying({ form });
    assertEquals(base.content, naiveBytes(memory));
    assertEquals(openDescriptors(), descriptors);
  },
);

linuxTest("applyDiff() in the compact form refuses what is none, and changes nothing", async () => {
  const memory = tracked("anonymous", [[0, 16 * PAGE]], PAGE);
  for (const page of [1, 2, 5, 15]) memory.write(new Uint8Array(PAGE).fill(9), gpa(page * PAGE));
  using base = scratchFile();
  using diff = scratchFile();
  const before = new Uint8Array(16 * PAGE).fill(3);
  Deno.writeFileSync(base.path, before);
  await writeDiff(memory, diff.fd, takeDirty(memory), { form });
  const good = diff.content;
  const refused = async (
    error: typeof InvalidDiff | typeof SnapshotMismatch,
    change: (view: DataView, bytes: Uint8Array) => Uint8Array | void,
    message: string,
  ) => {
    const bytes = good.slice();
    Deno.writeFileSync(diff.path, change(new DataView(bytes.buffer), bytes) ?? bytes);
    const applying = () => applyDiff(base.fd, diff.fd, { form });
    const found = await assertRejects(applying, SnapshotError, message);
    assert(found instanceof error, String(found));
    assertEquals(base.content, before);
  };
  const set = (at: number, value: bigint) => (view: DataView) => view.setBigUint64(at, value, true);
  const page = BigInt(PAGE);
  for (let byte = 0; byte < 8; byte++) {
    await refused(InvalidDiff, (view) => view.setUint8(byte, 1), "does not begin as one");
  }
  await refused(InvalidDiff, (view) => view.setUint32(8, 2, true), "version is 2");
  for (const size of [0, 1, 256, PAGE - 1, PAGE + 512, 2 ** 32 - 1]) {
    await refused(InvalidDiff, (view) => view.setUint32(12, size, true), "power of two");
  }
  const huge = [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
  for (const at of [16, 24, 32]) {
    for (const value of huge) await refused(InvalidDiff, set(at, value), "numbers that cannot be");
  }
  await refused(InvalidDiff, set(32, page + 1n), "numbers that cannot be");
  await refused(InvalidDiff, set(32, 0n), "room");
  await refused(InvalidDiff, set(24, 17n), "room");
  await refused(InvalidDiff, set(24, 2n ** 52n), "room");
  await refused(InvalidDiff, set(16, 2n * page), "room");
  await refused(InvalidDiff, set(16, 15n * page), "run 2");
  await refused(SnapshotMismatch, set(16, 17n * page), "unfinished");
  await refused(SnapshotMismatch, set(24, 2n), "unfinished");
  await refused(InvalidDiff, set(24, 4n), "run 3");
  await refused(SnapshotMismatch, set(32, 2n * page), "unfinished");
  await refused(SnapshotMismatch, set(32, 2n ** 52n), "unfinished");
  // The table: [1, 2], [5], [15].
  for (const value of [...huge, 0n, 1n, 2n * page, 16n * page, 2n ** 53n - 1n]) {
    await refused(InvalidDiff, set(40 + 16, value), "run 1");
  }
  await refused(InvalidDiff, set(40 + 16, 4n * page + 512n), "run 1");
  for (const value of [...huge, 0n, 12n * page, 2n ** 53n - 1n, 2n ** 52n]) {
    await refused(InvalidDiff, set(48 + 16, value), "run 1");
  }
  await refused(InvalidDiff, set(48 + 16, 11n * page), "run 2");
  await refused(SnapshotMismatch, set(48 + 16, 2n * page), "unfinished");
  await refused(SnapshotMismatch, set(48 + 16, 1n), "unfinished");
  for (const length of [0, 8, 39]) {
    await refused(InvalidDiff, (_, bytes) => bytes.subarray(0, length), `ends at byte ${length}`);
  }
  for (const length of [40, 80, PAGE - 1]) {
    await refused(SnapshotMismatch, (_, bytes) => bytes.subarray(0, length), "unfinished");
  }
  for (const more of [-PAGE, -1, 1, 2, PAGE]) {
    await refused(
      SnapshotMismatch,
      (_, bytes) => {
        const other = new Uint8Array(bytes.length + more);
        other.set(bytes.subarray(0, other.length));
        return other;
      },
      "unfinished",
    );
  }
  await refused(InvalidDiff, (_, bytes) => bytes.fill(0), "does not begin as one");
  // Any bytes: an error of these, or a diff that is one.
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 87 }), fc.nat(255)), { minLength: 1 }),
      async (changes) => {
        const bytes = good.slice();
        for (const [at, value] of changes) bytes[at] = value;
        Deno.writeFileSync(diff.path, bytes);
        Deno.writeFileSync(base.path, before);
        try {
          await applyDiff(base.fd, diff.fd, { form });
        } catch (error) {
          assert(error instanceof InvalidDiff || error instanceof SnapshotMismatch, String(error));
          assertEquals(base.content, before);
        }
      },
    ),
    { numRuns: 300, seed: 2 },
  );
});

linuxTest("applyDiff() takes only the form that it was given", async () => {
  const memory = tracked("anonymous", [[0, 16 * PAGE]], PAGE);
  using base = scratchFile();
  using flat = scratchFile();
  using compact = scratchFile();
  using other = scratchFile();
  await writeSnapshot(memory, base.fd);
  // A guest whose memory looks like a compact diff.
  memory.write(new Uint8Array(PAGE).fill(1), gpa(0));
  await writeDiff(memory, compact.fd, takeDirty(memory), { form });
  memory.write(compact.content.subarray(0, 2 * PAGE), gpa(0));
  await writeDiff(memory, flat.fd, takeDirty(memory), { form: "flat" });
  await applyDiff(base.fd, flat.fd);
  assertEquals(base.content, naiveBytes(memory));
  await assertRejects(() => applyDiff(base.fd, compact.fd), SnapshotMismatch);
  await assertRejects(() => applyDiff(base.fd, flat.fd, { form }), SnapshotMismatch);
  Deno.truncateSync(other.path, 17 * PAGE);
  await assertRejects(() => applyDiff(other.fd, compact.fd, { form }), SnapshotMismatch);
  await assertRejects(() => applyDiff(base.fd, base.fd, { form }), SnapshotRefused, "same");
  for (const wrong of ["sparse", null, 1]) {
    const options = { form: wrong } as never;
    await assertRejects(() => applyDiff(base.fd, flat.fd, options), TypeError, "form");
    await assertRejects(
      () => writeDiff(memory, flat.fd, takeDirty(memory), options),
      TypeError,
      "form",
    );
  }
});

linuxTest(
  "applyDiff() in the compact form finds out that a file was cut off meanwhile",
  async () => {
    const memory = tracked("anonymous", [[0, 64 * MIB]], PAGE);
    memory.write(new Uint8Array(40 * MIB).fill(1), gpa(0));
    using base = scratchFile();
    using diff = scratchFile();
    const cut = (file: ScratchFile, size: number) => ({
      form: "compact" as const,
      onProgress: () => Deno.truncateSync(file.path, size),
    });
    const writing = () => writeDiff(memory, diff.fd, takeDirty(memory), cut(diff, MIB));
    await assertRejects(writing, SnapshotMismatch);
    await writeDiff(memory, diff.fd, takeDirty(memory), { form });
    const good = diff.content;
    for (const size of [0, 18 * MIB, 40 * MIB]) {
      Deno.writeFileSync(diff.path, good);
      Deno.truncateSync(base.path, 0);
      Deno.truncateSync(base.path, 64 * MIB);
      const applying = () => applyDiff(base.fd, diff.fd, cut(diff, size));
      assertEquals((await assertRejects(applying, SnapshotMismatch)).found, size);
    }
  },
);

mountTest("writeDiff() in the compact form on a full disk, and on one without holes", async () => {
  const memory = tracked("anonymous", [[0, 16 * MIB]], PAGE);
  const pages = 1500;
  for (let i = 0; i < pages; i++) memory.write(new Uint8Array(PAGE).fill(1), gpa(2 * i * PAGE));
  {
    using small = smallDisk(2 * MIB);
    using file = scratchFile(small.path);
    const failed = () => writeDiff(memory, file.fd, takeDirty(memory), { form });
    const error = await assertRejects(failed, SnapshotFailed);
    assert(error.cause instanceof SystemError && error.cause.code === "ENOSPC");
    assert(error.bytes > 1.9 * MIB && error.bytes < error.total, String(error.bytes));
    using base = scratchFile();
    Deno.truncateSync(base.path, 16 * MIB);
    await assertRejects(() => applyDiff(base.fd, file.fd, { form }), SnapshotMismatch);
    assertEquals(base.stored, 0);
  }
  {
    // The last call is cut off.
    using small = smallDisk(8 * PAGE);
    using file = scratchFile(small.path);
    using few = GuestMemoryMmap.fromRanges([[gpa(0), 16 * PAGE]], {
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    few.fill(gpa(0), 16 * PAGE, 1);
    const failed = () => writeDiff(few, file.fd, takeDirty(few), { form });
    const error = await assertRejects(failed, SnapshotFailed);
    assertEquals([error.bytes, error.total], [8 * PAGE, 17 * PAGE]);
    assertEquals(takePages(few).length, 16);
  }
  const marked = takePages(memory);
  assertEquals(marked.length, pages);
  for (let i = 0; i < pages; i++) memory.write(new Uint8Array(PAGE).fill(1), gpa(2 * i * PAGE));
  using disk = diskWithoutHoles();
  using file = scratchFile(disk.path);
  await writeDiff(memory, file.fd, takeDirty(memory), { form });
  using base = scratchFile();
  Deno.truncateSync(base.path, 16 * MIB);
  await applyDiff(base.fd, file.fd, { form });
  assertEquals(base.content, naiveBytes(memory));
});

linuxTest("writeDiff() in the compact form keeps memory mapped until it is written", async () => {
  // A region of the caller's that closes another, of which pieces wait to be written.
  using first = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  const second = GuestMemoryHeap.fromRanges([[gpa(4 * PAGE), 4 * PAGE]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  first.fill(gpa(0), 4 * PAGE, 1);
  second.write(new Uint8Array(4 * PAGE).fill(2), gpa(4 * PAGE));
  const [region] = [...second];
  const closing = new Proxy(region!, {
    get(target, name) {
      if (name === "readSlice") {
        return (...args: [Uint8Array, never]) => {
          first.close();
          return target.readSlice(...args);
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const memory = mixedMemory([...first, closing]);
  using diff = scratchFile();
  await writeDiff(memory, diff.fd, takeDirty(memory), { form });
  const { runs } = naiveRead(diff.content);
  assertEquals(runs.length, 1);
  assertEquals(runs[0]![1], new Uint8Array(8 * PAGE).fill(1, 0, 4 * PAGE).fill(2, 4 * PAGE));
});

linuxTest("readHead() takes the smallest pages, and a run for each of them", () => {
  using file = scratchFile();
  const runs = [0, 512, 512, 1024, 1024, 1034];
  const bytes = new Uint8Array(512 + 1034);
  bytes.set(new TextEncoder().encode("VMMDIFF"));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, 1, true);
  view.setUint32(12, 512, true);
  const table = [0, 512, 512, 512, 1024, 10];
  for (const [index, value] of [1034, 3, 512, ...table].entries()) {
    view.setBigUint64(16 + 8 * index, BigInt(value), true);
  }
  Deno.writeFileSync(file.path, bytes);
  const head = readHead(file.fd, bytes.length);
  assertEquals(head, { length: 1034, runs, dataStart: 512, fileLength: 512 + 1034 });
});

linuxTest("writeHead() and readHead() take tables that are written in several calls", () => {
  using file = scratchFile();
  const count = 2 ** 16 + 2;
  const runs = Array.from({ length: 2 * count }, (_, i) => i * PAGE);
  const diff = compactDiffOf(2 * count * PAGE, runs);
  writeHead(new PackedOutput(file.fd), diff);
  Deno.truncateSync(file.path, diff.fileLength);
  const head = readHead(file.fd, diff.fileLength);
  // Equality of long arrays takes long to show.
  assertEquals([head.runs.length, head.runs.findIndex((at, i) => at !== runs[i])], [2 * count, -1]);
  assertEquals([head.dataStart, head.fileLength], [diff.dataStart, diff.fileLength]);
});

linuxTest("fileRunsOf() refuses dirty bytes before, between and behind the regions", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(PAGE), PAGE], [gpa(4 * PAGE), PAGE]]);
  const layout = layoutOf<GuestMemoryRegion>(memory);
  const runs = (start: number, length: number) => {
    return fileRunsOf([[gpa(start), length]], layout, PAGE, true);
  };
  assertEquals([runs(PAGE, 1), runs(4 * PAGE, PAGE)], [[0, PAGE], [PAGE, 2 * PAGE]]);
  for (const [start, length] of [[0, 1], [2 * PAGE, 1], [PAGE, PAGE + 1], [5 * PAGE, 1]] as const) {
    assertThrows(() => runs(start, length), InvalidGuestAddress);
  }
});
