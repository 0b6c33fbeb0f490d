import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { createMemfd } from "../../ffi/memfd.ts";
import {
  AccessDenied,
  AtomicBitmap,
  GuestMemoryMmap,
  GuestRegionCollectionError,
  MappingPastEof,
  OptionRefused,
  Permissions,
  SystemError,
  u8,
} from "../../mod.ts";
import {
  restore,
  SnapshotMismatch,
  SnapshotRefused,
  writeSnapshot,
  writtenSinceRestore,
} from "../../src/snapshot/mod.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open, pipe, put } from "../support/posix.ts";
import { gpa } from "../support/values.ts";
import { KINDS, memoryOf, naiveBytes, PAGE, scratchFile } from "./memories.ts";
import { restoreTest, takePages } from "./tracking.ts";

const MODES = ["copyOnWrite", "eager"] as const;
const RANGES = [[gpa(PAGE), 8 * PAGE], [gpa(9 * PAGE), 2 * PAGE - 7], [
  gpa(2 ** 33),
  PAGE,
]] as const;

/** A snapshot with a pattern in some pages. */
function snapshotFile() {
  const file = scratchFile();
  const content = new Uint8Array(11 * PAGE);
  for (const page of [1, 2, 5, 8, 10]) content.fill(page, page * PAGE, (page + 1) * PAGE - 7);
  Deno.writeFileSync(file.path, content);
  return { ...file, content, path: file.path, fd: file.fd };
}

linuxTest("restore() of what writeSnapshot() wrote equals the memory", async () => {
  const layouts = fc.array(
    fc.record({
      gap: fc.integer({ min: 0, max: 2 }),
      pages: fc.integer({ min: 1, max: 50 }),
      cut: fc.constantFrom(0, 1, 2049),
      writes: fc.array(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 2 * PAGE }))),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const property = fc.asyncProperty(
    layouts,
    fc.constantFrom(...KINDS),
    fc.constantFrom("absent", "zero", "nothing"),
    fc.constantFrom("/dev/shm", undefined),
    async (layout, kind, skip, folder) => {
      let at = 0;
      const ranges = layout.map(({ gap, pages, cut }) => {
        const start = at + gap * PAGE;
        at = start + pages * PAGE;
        return [gpa(start), pages * PAGE - cut] as const;
      });
      using memory = memoryOf(kind, ranges);
      for (const [i, { writes }] of layout.entries()) {
        const [start, length] = ranges[i]!;
        for (const [offset, bytes] of writes) {
          memory.write(bytes.subarray(0, length), gpa(start + offset % length));
        }
      }
      using file = scratchFile(folder);
      await writeSnapshot(memory, file.fd, { skip: skip as "absent" });
      const expected = naiveBytes(memory);
      for (const mode of MODES) {
        using restored = restore(ranges, file.fd, { mode });
        assertEquals(naiveBytes(restored), expected, mode);
        assertEquals([...restored].map(({ startAddr, len }) => [startAddr, len] as const), ranges);
      }
    },
  );
  await fc.assert(property, { numRuns: 60, seed: 11 });
});

for (const mode of MODES) {
  linuxTest(`restore() in mode ${mode} never changes the file`, () => {
    using file = snapshotFile();
    using memory = restore(RANGES, file.fd, {
      mode,
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    assertEquals(takePages(memory), []);
    assertEquals(naiveBytes(memory), file.content.subarray(0, 11 * PAGE));
    memory.fill(gpa(PAGE), 8 * PAGE, 77);
    memory.writeObj(u8, 1, gpa(2 ** 33));
    memory.discard(gpa(3 * PAGE), PAGE);
    assertEquals(takePages(memory).length, 9);
    assertEquals(Deno.readFileSync(file.path), file.content);
  });

  linuxTest(`restore() in mode ${mode} takes a file that is closed afterwards, or a memfd`, () => {
    using file = snapshotFile();
    const { fsFile, memory } = (() => {
      const fsFile = Deno.openSync(file.path, { read: true, write: true });
      return { fsFile, memory: restore(RANGES, fsFile, { mode }) };
    })();
    assertEquals(fsFile.seekSync(0, Deno.SeekMode.Current), 0);
    fsFile.close();
    assertEquals(naiveBytes(memory), file.content);
    memory.close();
    const memfd = createMemfd({ name: "t", size: 11 * PAGE, hugePages: undefined, seal: true });
    put(memfd, file.content);
    using copy = restore(RANGES, memfd, { mode });
    copy.writeObj(u8, 99, gpa(PAGE));
    using other = restore(RANGES, memfd, { mode });
    closeDescriptor(memfd);
    assertEquals(naiveBytes(other), file.content);
  });

  linuxTest(`restore() in mode ${mode} refuses what does not fit, and leaves nothing open`, () => {
    using file = snapshotFile();
    using channel = pipe();
    const descriptors = openDescriptors();
    const total = 11 * PAGE;
    for (const size of [0, PAGE, total - 1, total + 1, 12 * PAGE]) {
      Deno.truncateSync(file.path, size);
      const error = assertThrows(() => restore(RANGES, file.fd, { mode }), SnapshotMismatch);
      assertEquals([error.expected, error.found], [total, size]);
    }
    Deno.truncateSync(file.path, total);
    const unsorted = [RANGES[1], RANGES[0], RANGES[2]];
    Deno.truncateSync(file.path, 12 * PAGE);
    assertThrows(() => restore([[gpa(PAGE), PAGE], [gpa(0), 11 * PAGE]], file.fd, { mode }));
    Deno.truncateSync(file.path, total);
    assertThrows(() => restore(unsorted, file.fd, { mode }), GuestRegionCollectionError);
    assertThrows(() => restore([], file.fd, { mode }), GuestRegionCollectionError);
    assertThrows(() => restore(RANGES, channel.reader, { mode }), SnapshotRefused);
    assertThrows(() => restore(RANGES, 2 ** 31 - 1, { mode }), SystemError);
    const wrong = [[gpa(0), -1], [gpa(0), 1.5], [-1, 1]] as [never, number][];
    for (const range of wrong) assertThrows(() => restore([range], file.fd, { mode }), RangeError);
    assertEquals(openDescriptors(), descriptors);
  });
}

linuxTest("restore() refuses other modes, and options that it cannot have", () => {
  using file = snapshotFile();
  for (const mode of ["slow", undefined, 7]) {
    assertThrows(() => restore(RANGES, file.fd, { mode } as never), TypeError, "Cannot restore");
  }
  const lease = () => {};
  assertThrows(() => restore(RANGES, file.fd, { mode: "eager", lease } as never), TypeError);
  // It is open for writing.
  const leased = () => restore(RANGES, file.fd, { mode: "copyOnWrite", lease });
  assertThrows(leased, OptionRefused, "lease");
  const protection = Permissions.Read;
  const readOnly = () => restore(RANGES, file.fd, { mode: "eager", protection });
  assertThrows(readOnly, AccessDenied);
  using memory = restore(RANGES, file.fd, { mode: "copyOnWrite", protection });
  assertEquals(memory.readObj(u8, gpa(2 * PAGE)), 1);
});

restoreTest("restore() by copy-on-write: writtenSinceRestore() lists what was written", () => {
  using file = snapshotFile();
  using memory = restore(RANGES, file.fd, { mode: "copyOnWrite" });
  assertEquals([...writtenSinceRestore(memory)], []);
  memory.writeObj(u8, 1, gpa(3 * PAGE));
  memory.write(new Uint8Array(2), gpa(9 * PAGE - 1));
  assertEquals([...writtenSinceRestore(memory)], [
    [gpa(3 * PAGE), PAGE],
    [gpa(8 * PAGE), 2 * PAGE],
  ]);
});

linuxTest("restore() makes 100 clones of one file, which share it", () => {
  using file = snapshotFile();
  using reader = open(file.path, "r");
  const descriptors = openDescriptors();
  const clones = Array.from(
    { length: 100 },
    () => restore(RANGES, reader.fd, { mode: "copyOnWrite" }),
  );
  assertEquals(openDescriptors(), descriptors + 1);
  for (const [i, clone] of clones.entries()) clone.writeObj(u8, 100 + i, gpa(2 * PAGE));
  for (const [i, clone] of clones.entries()) {
    assertEquals(clone.readObj(u8, gpa(2 * PAGE)), 100 + i);
    assertEquals(clone.readObj(u8, gpa(2 * PAGE + 1)), 1);
  }
  for (const clone of clones) clone.close();
  assertEquals(openDescriptors(), descriptors);
  assertEquals(Deno.readFileSync(file.path), file.content);
});

linuxTest("restore() of a lease ends it when the memory is closed", () => {
  using file = scratchFile();
  Deno.truncateSync(file.path, 11 * PAGE);
  const { path } = file;
  const copy = `${path}.copy`;
  Deno.copyFileSync(path, copy);
  {
    using fsFile = Deno.openSync(copy);
    using memory = restore(RANGES, fsFile, { mode: "copyOnWrite", lease: () => {} });
    const leases = Deno.readTextFileSync("/proc/locks");
    const { ino } = Deno.statSync(copy);
    assert(leases.split("\n").some((line) => line.includes("LEASE") && line.includes(`:${ino} `)));
    memory.writeObj(u8, 1, gpa(PAGE));
  }
  assertEquals(Deno.openSync(copy, { write: true }).close(), undefined);
  Deno.removeSync(copy);
});

restoreTest("restore() reads only what is no hole, beyond 2 GiB too", async () => {
  const ranges = [[gpa(0), 3 * 2 ** 30], [gpa(2 ** 32), 2 ** 30]] as const;
  using memory = GuestMemoryMmap.fromRanges(ranges);
  const places = [0, 2 ** 31 - 1, 3 * 2 ** 30 - 1, 2 ** 32, 2 ** 32 + 2 ** 30 - 1];
  for (const at of places) memory.writeObj(u8, 7, gpa(at));
  using file = scratchFile();
  await writeSnapshot(memory, file.fd);
  using restored = restore(ranges, file.fd, { mode: "eager" });
  for (const at of places) assertEquals(restored.readObj(u8, gpa(at)), 7);
  const resident = restored.residentRanges().reduce((sum, [, length]) => sum + length, 0);
  assert(resident <= 10 * 2 * 2 ** 20, String(resident));
});

linuxTest("restore() refuses a file that is truncated meanwhile", () => {
  using file = snapshotFile();
  const cut = (length: number) => (size: number) => {
    Deno.truncateSync(file.path, length);
    return new AtomicBitmap(size, PAGE);
  };
  for (const length of [0, 5 * PAGE + 1, 11 * PAGE - 1]) {
    Deno.writeFileSync(file.path, file.content);
    const eager = () => restore(RANGES, file.fd, { mode: "eager", bitmap: cut(length) });
    assertEquals(assertThrows(eager, SnapshotMismatch).found, length);
    Deno.writeFileSync(file.path, file.content);
    const bitmap = cut(length);
    assertThrows(() => restore(RANGES, file.fd, { mode: "copyOnWrite", bitmap }), MappingPastEof);
  }
});

linuxTest("restore() reads the file that it was given, though bitmaps close or change it", () => {
  const [start, length] = [gpa(0), 8 * PAGE];
  using other = scratchFile();
  Deno.writeFileSync(other.path, new Uint8Array(length).fill(2));
  for (const mode of MODES) {
    using file = scratchFile();
    Deno.writeFileSync(file.path, new Uint8Array(length).fill(1));
    const given = open(file.path, "r");
    const reused: Disposable[] = [];
    using memory = restore([[start, length]], given.fd, {
      mode,
      bitmap: (bytes: number) => {
        given[Symbol.dispose]();
        // One of them has the number of the other.
        for (let i = 0; i < 4; i++) reused.push(open(other.path, "r"));
        return new AtomicBitmap(bytes);
      },
    });
    for (const opened of reused) opened[Symbol.dispose]();
    assertEquals(memory.readObj(u8, start), 1, mode);
  }
  using file = scratchFile();
  Deno.writeFileSync(file.path, new Uint8Array(length).fill(1));
  const descriptors = openDescriptors();
  const bitmap = (bytes: number) => {
    Deno.truncateSync(file.path, PAGE);
    return new AtomicBitmap(bytes);
  };
  assertThrows(
    () => restore([[start, length]], file.fd, { mode: "eager", bitmap }),
    SnapshotMismatch,
  );
  assertEquals(openDescriptors(), descriptors);
});
