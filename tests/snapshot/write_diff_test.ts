import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  AtomicBitmap,
  Backing,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  InvalidGuestAddress,
  MemoryClosed,
  SystemError,
  takeDirty,
} from "../../mod.ts";
import {
  applyDiff,
  SnapshotFailed,
  SnapshotMismatch,
  SnapshotRefused,
  type TransferProgress,
  writeDiff,
  writeSnapshot,
} from "../../src/snapshot/mod.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open } from "../support/posix.ts";
import { gpa } from "../support/values.ts";
import {
  diskWithoutHoles,
  mountTest,
  naiveBytes,
  PAGE,
  scratchFile,
  smallDisk,
} from "./memories.ts";
import { takePages } from "./tracking.ts";

const MIB = 2 ** 20;
const FOLDERS = ["/dev/shm", undefined] as const;

type Ranges = readonly (readonly [start: number, length: number])[];

/** A memory with bitmaps, of one of three kinds. */
function tracked(
  kind: "anonymous" | "memfd" | "heap",
  ranges: Ranges,
  granule: number,
): GuestMemory & Disposable {
  const all = ranges.map(([start, length]) => [gpa(start), length] as const);
  const bitmap = (length: number) => new AtomicBitmap(length, granule);
  return kind === "heap" ? GuestMemoryHeap.fromRanges(all, { bitmap }) : GuestMemoryMmap.fromRanges(
    all,
    { bitmap, backing: kind === "memfd" ? Backing.memfd() : Backing.anonymous() },
  );
}

const worlds = fc.record({
  kind: fc.constantFrom("anonymous", "memfd", "heap"),
  // Smaller than a page, a page, and more.
  granule: fc.constantFrom(128, PAGE, 4 * PAGE),
  folders: fc.tuple(fc.constantFrom(...FOLDERS), fc.constantFrom(...FOLDERS)),
  regions: fc.array(
    fc.record({
      gap: fc.integer({ min: 0, max: 2 }),
      pages: fc.integer({ min: 1, max: 40 }),
      cut: fc.constantFrom(0, 1, 2049),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  rounds: fc.array(
    fc.array(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 3 * PAGE }), fc.nat(255)), {
      maxLength: 12,
    }),
    { maxLength: 3 },
  ),
});

linuxTest("writeDiff() and applyDiff() equal a loop over dirty pages", async () => {
  const property = fc.asyncProperty(worlds, async ({ kind, granule, folders, ...world }) => {
    let at = 0;
    const ranges = world.regions.map(({ gap, pages, cut }) => {
      const start = at + gap * PAGE;
      at = start + pages * PAGE;
      return [start, pages * PAGE - cut] as const;
    });
    using memory = tracked(kind, ranges, granule);
    using base = scratchFile(folders[0]);
    const { bytes } = await writeSnapshot(memory, base.fd);
    for (const writes of world.rounds) {
      for (const [region, offset, length, value] of writes) {
        const [start, size] = ranges[region % ranges.length]!;
        memory.write(
          new Uint8Array(length).fill(value).subarray(0, size),
          gpa(start + offset % size),
        );
      }
      using dirty = takeDirty(memory);
      using diff = scratchFile(folders[1]);
      const report = await writeDiff(memory, diff.fd, dirty);
      // The naive way: each page of the file that has a dirty byte.
      const all = naiveBytes(memory);
      const pages = new Set<number>();
      for (const [addr, length] of dirty) {
        for (let byte = 0; byte < length; byte++) {
          pages.add(Math.floor(placeOf(addr + byte) / PAGE));
        }
      }
      const expected = new Uint8Array(bytes);
      using naive = scratchFile(folders[1]);
      let written = 0;
      {
        using opened = Deno.openSync(naive.path, { write: true });
        opened.truncateSync(bytes);
        for (const page of pages) {
          const content = all.subarray(page * PAGE, (page + 1) * PAGE);
          expected.set(content, page * PAGE);
          opened.seekSync(page * PAGE, Deno.SeekMode.Start);
          opened.writeSync(content);
          written += content.length;
        }
      }
      assertEquals(diff.content, expected);
      assertEquals(diff.stored, naive.stored);
      // What is between a region's end and the next page is not written.
      assertEquals(report.bytes, bytes);
      assert(report.written <= written && report.written > written - PAGE * ranges.length);
      const applied = await applyDiff(base.fd, diff.fd);
      assertEquals(applied.bytes, bytes);
      assert(applied.written >= report.written && applied.written <= pages.size * PAGE);
      assertEquals(base.content, all);
    }

    function placeOf(addr: number): number {
      let position = 0;
      for (const [start, length] of ranges) {
        position = Math.ceil(position / PAGE) * PAGE;
        if (addr >= start && addr < start + length) return position + addr - start;
        position += length;
      }
      throw new Error("no region");
    }
  });
  await fc.assert(property, { numRuns: 60, seed: 3 });
});

linuxTest("writeDiff() of nothing is a file of one hole, which changes nothing", async () => {
  using memory = tracked("anonymous", [[0, 9 * PAGE]], PAGE);
  memory.write(Uint8Array.of(1), gpa(PAGE));
  using base = scratchFile();
  await writeSnapshot(memory, base.fd);
  takePages(memory);
  using dirty = takeDirty(memory);
  using diff = scratchFile();
  // Old content is no part of it.
  Deno.writeFileSync(diff.path, new Uint8Array(20 * PAGE).fill(5));
  assertEquals(await writeDiff(memory, diff.fd, dirty), { bytes: 9 * PAGE, written: 0 });
  assertEquals([diff.stored, diff.content], [0, new Uint8Array(9 * PAGE)]);
  const before = base.content;
  assertEquals(await applyDiff(base.fd, diff.fd), { bytes: 9 * PAGE, written: 0 });
  assertEquals(base.content, before);
});

linuxTest("writeDiff() has dirty pages that read zero", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 8 * PAGE]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  memory.fill(gpa(0), 8 * PAGE, 1);
  using base = scratchFile();
  await writeSnapshot(memory, base.fd);
  takePages(memory);
  memory.discard(gpa(2 * PAGE), 3 * PAGE);
  using dirty = takeDirty(memory);
  using diff = scratchFile();
  assertEquals((await writeDiff(memory, diff.fd, dirty)).written, 3 * PAGE);
  await applyDiff(base.fd, diff.fd, { sync: true });
  assertEquals(base.content, naiveBytes(memory));
});

linuxTest("writeDiff() puts the marks back when it is aborted, refused or fails", async () => {
  const size = 64 * MIB;
  using memory = tracked("anonymous", [[PAGE, size], [2 ** 32, PAGE]], PAGE);
  const mark = () => {
    memory.write(new Uint8Array(40 * MIB), gpa(MIB));
    memory.write(new Uint8Array(1), gpa(2 ** 32));
  };
  mark();
  const marks = takePages(memory);
  mark();
  using file = scratchFile();
  const reason = new Error("enough");
  const controller = new AbortController();
  const seen: TransferProgress[] = [];
  const abortLater = (progress: TransferProgress) => {
    seen.push(progress);
    controller.abort(reason);
  };
  const fail = () => {
    throw reason;
  };
  const other = GuestMemoryMmap.fromRanges([[gpa(2 ** 20), PAGE]]);
  const closed = [...other];
  using reader = open(file.path, "r");
  const descriptors = openDescriptors();
  const cases: [() => Promise<unknown>, (error: Error) => boolean][] = [];
  const add = (options: object, isExpected: (error: Error) => boolean) =>
    cases.push([() => writeDiff(memory, file.fd, takeDirty(memory), options), isExpected]);
  add({ signal: AbortSignal.abort(reason) }, (error) => error === reason);
  add({ signal: controller.signal, onProgress: abortLater }, (error) => error === reason);
  add({ onProgress: fail }, (error) => error === reason);
  add({ sync: "no" }, (error) => error instanceof TypeError);
  cases.push(
    [
      () => writeDiff(memory, reader.fd, takeDirty(memory)),
      (error) => error instanceof SnapshotRefused,
    ],
    [
      () => writeDiff(7 as never, file.fd, takeDirty(memory)),
      (error) => error instanceof TypeError,
    ],
    [
      () => writeDiff(other, file.fd, takeDirty(memory)),
      (error) => error instanceof InvalidGuestAddress,
    ],
  );
  for (const [run, isExpected] of cases) {
    const error = await assertRejects(run, Error);
    assert(isExpected(error), String(error));
    assertEquals(takePages(memory), marks, String(error));
    mark();
  }
  assertEquals(seen, [{ bytes: 17 * MIB - PAGE, total: size + PAGE }]);
  other.close();
  await assertRejects(() => writeDiff(closed, file.fd, takeDirty(memory)), MemoryClosed);
  assertEquals(takePages(memory), marks);
  assertEquals(openDescriptors(), descriptors);
  await assertRejects(() => writeDiff(memory, file.fd, [] as never), TypeError, "as dirty");
});

mountTest("writeDiff() and applyDiff() on a full disk", async () => {
  using small = smallDisk(2 * MIB);
  using memory = tracked("anonymous", [[0, 16 * MIB]], PAGE);
  const mark = () => memory.write(new Uint8Array(4 * MIB).fill(1), gpa(8 * MIB));
  mark();
  using full = scratchFile(small.path);
  const failed = () => writeDiff(memory, full.fd, takeDirty(memory));
  const error = await assertRejects(failed, SnapshotFailed);
  assert(error.cause instanceof SystemError && error.cause.code === "ENOSPC");
  assertEquals(error.bytes, 8 * MIB + full.stored);
  assertEquals(takePages(memory).length, 4 * MIB / PAGE);
  mark();
  using diff = scratchFile();
  await writeDiff(memory, diff.fd, takeDirty(memory));
  Deno.truncateSync(full.path, 0);
  Deno.truncateSync(full.path, 16 * MIB);
  const applying = () => applyDiff(full.fd, diff.fd);
  const another = await assertRejects(applying, SnapshotFailed, "Cannot apply the diff");
  assert(another.cause instanceof SystemError && another.cause.code === "ENOSPC");
});

mountTest("writeDiff() refuses a file system without holes", async () => {
  using disk = diskWithoutHoles();
  using memory = tracked("anonymous", [[0, 16 * PAGE]], PAGE);
  for (const pages of [[0, 1, 2], [0, 5], [5], [15]]) {
    using file = scratchFile(disk.path);
    for (const page of pages) memory.write(Uint8Array.of(1), gpa(page * PAGE));
    const refused = () => writeDiff(memory, file.fd, takeDirty(memory));
    await assertRejects(refused, SnapshotRefused, "holes");
    assertEquals(takePages(memory), pages.map((page) => page * PAGE));
  }
  // Where there is nothing between, holes do not matter.
  memory.write(new Uint8Array(16 * PAGE).fill(1), gpa(0));
  using file = scratchFile(disk.path);
  assertEquals((await writeDiff(memory, file.fd, takeDirty(memory))).written, 16 * PAGE);
});

linuxTest("applyDiff() reports progress, and can be aborted", async () => {
  using base = scratchFile();
  using diff = scratchFile();
  Deno.writeFileSync(diff.path, new Uint8Array(40 * MIB).fill(1));
  Deno.truncateSync(diff.path, 64 * MIB);
  Deno.truncateSync(base.path, 64 * MIB);
  const controller = new AbortController();
  const reason = new Error("enough");
  const seen: number[] = [];
  const { signal } = controller;
  const aborted = applyDiff(base.fd, diff.fd, {
    signal,
    onProgress({ bytes, total }) {
      seen.push(bytes, total);
      controller.abort(reason);
    },
  });
  assertEquals(await assertRejects(() => aborted), reason);
  assertEquals(seen, [16 * MIB, 64 * MIB]);
  const places: number[] = [];
  const { written } = await applyDiff(base.fd, diff.fd, {
    onProgress: ({ bytes }) => places.push(bytes / MIB),
  });
  assertEquals([written, places], [40 * MIB, [16, 32, 64]]);
});

linuxTest("applyDiff() refuses files that do not fit, and changes nothing then", async () => {
  using base = scratchFile();
  using diff = scratchFile();
  Deno.writeFileSync(base.path, new Uint8Array(2 * PAGE).fill(1));
  using reader = open(base.path, "r");
  using device = open("/dev/zero", "r");
  const descriptors = openDescriptors();
  for (const size of [0, PAGE, 2 * PAGE + 1]) {
    Deno.writeFileSync(diff.path, new Uint8Array(size).fill(2));
    const error = await assertRejects(() => applyDiff(base.fd, diff.fd), SnapshotMismatch);
    assertEquals([error.expected, error.found], [2 * PAGE, size]);
  }
  Deno.writeFileSync(diff.path, new Uint8Array(2 * PAGE).fill(2));
  await assertRejects(() => applyDiff(reader.fd, diff.fd), SnapshotRefused, "read only");
  await assertRejects(() => applyDiff(base.fd, base.fd), SnapshotRefused, "same");
  await assertRejects(() => applyDiff(base.fd, reader.fd), SnapshotRefused, "same");
  await assertRejects(() => applyDiff(base.fd, device.fd), SnapshotRefused, "regular");
  await assertRejects(() => applyDiff(base.fd, 2 ** 31 - 1), SystemError);
  assertEquals(base.content, new Uint8Array(2 * PAGE).fill(1));
  assertEquals(openDescriptors(), descriptors);
});

linuxTest("applyDiff() refuses a diff that is truncated meanwhile", async () => {
  for (const length of [0, 16 * MIB, 17 * MIB + 1]) {
    using base = scratchFile();
    using diff = scratchFile();
    Deno.truncateSync(base.path, 32 * MIB);
    Deno.writeFileSync(diff.path, new Uint8Array(32 * MIB).fill(1));
    const onProgress = () => Deno.truncateSync(diff.path, length);
    const applying = () => applyDiff(base.fd, diff.fd, { onProgress });
    assertEquals((await assertRejects(applying, SnapshotMismatch)).found, length);
  }
});

linuxTest("writeDiff() and applyDiff() find out that a file was cut off meanwhile", async () => {
  const length = 64 * MIB;
  using memory = tracked("anonymous", [[0, length]], PAGE);
  memory.write(new Uint8Array(20 * MIB).fill(1), gpa(0));
  using diff = scratchFile();
  using base = scratchFile();
  const cut = (path: string, size: number) => ({ onProgress: () => Deno.truncateSync(path, size) });
  using dirty = takeDirty(memory);
  const { bytes } = dirty;
  await assertRejects(
    () => writeDiff(memory, diff.fd, dirty, cut(diff.path, MIB)),
    SnapshotMismatch,
  );
  using again = takeDirty(memory);
  assertEquals(again.bytes, bytes);
  await writeDiff(memory, diff.fd, again);
  Deno.truncateSync(base.path, length);
  await assertRejects(() => applyDiff(base.fd, diff.fd, cut(base.path, MIB)), SnapshotMismatch);
  Deno.truncateSync(base.path, length);
  // What was cut off looks like a hole.
  await assertRejects(
    () => applyDiff(base.fd, diff.fd, cut(diff.path, 20 * MIB)),
    SnapshotMismatch,
  );
});

linuxTest(
  "writeDiff() puts the marks back although the set was disposed of meanwhile",
  async () => {
    using memory = tracked("anonymous", [[0, 64 * MIB]], PAGE);
    memory.write(new Uint8Array(40 * MIB).fill(1), gpa(0));
    using diff = scratchFile();
    const controller = new AbortController();
    const pending = () => {
      using dirty = takeDirty(memory);
      const onProgress = () => controller.abort(new Error("enough"));
      return writeDiff(memory, diff.fd, dirty, { signal: controller.signal, onProgress });
    };
    await assertRejects(pending, Error, "enough");
    using again = takeDirty(memory);
    assertEquals(again.bytes, 40 * MIB);
  },
);
