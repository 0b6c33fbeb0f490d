import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  GuestRegionMmap,
  MemoryClosed,
  pageSize,
  u8,
} from "../../mod.ts";
import { RegionNotTrackable, WriteTracker, writtenSinceRestore } from "../../src/snapshot/mod.ts";
import { Random } from "../hostile/random.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { gpa } from "../support/values.ts";
import { pagesOf, restoreTest, takePages, trackerTest } from "./tracking.ts";
import { WriteModel, Writers } from "./writers.ts";

const PAGE = Deno.build.os === "linux" ? pageSize() : 4096;

/** A memory of copies of a file that has content. */
function copiesOf(
  ranges: readonly (readonly [start: number, pages: number])[],
  { folder, isPrivate = true, tracked = false }: {
    folder?: string;
    isPrivate?: boolean;
    tracked?: boolean;
  } = {},
): GuestMemoryMmap {
  const path = Deno.makeTempFileSync(folder === undefined ? {} : { dir: folder });
  try {
    const pages = ranges.reduce((sum, [, pages]) => sum + pages, 0);
    Deno.writeFileSync(path, new Uint8Array(pages * PAGE).fill(5));
    using file = Deno.openSync(path, { read: true, write: true });
    return GuestMemoryMmap.fromRanges(
      ranges.map(([start, pages]) => [gpa(start), pages * PAGE] as const),
      {
        backing: Backing.file(file, { private: isPrivate }),
        ...tracked && { bitmap: (length: number) => new AtomicBitmap(length, PAGE) },
      },
    );
  } finally {
    Deno.removeSync(path);
  }
}

for (const folder of ["/dev/shm", undefined]) {
  const name = folder ?? "the folder for temporary files";
  restoreTest(`writtenSinceRestore() lists all that was changed: a file in ${name}`, () => {
    const start = 7 * PAGE;
    const ranges = [[start, 700], [start + 700 * PAGE, 300], [2 ** 33, 700]] as const;
    using memory = copiesOf(ranges, { ...folder !== undefined && { folder }, tracked: true });
    const random = new Random(3);
    const model = new WriteModel([...memory], PAGE);
    using writers = new Writers(memory, model, random);
    assertEquals([...writtenSinceRestore(memory)], []);
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 3 + round; i++) writers.act();
      if (round % 4 === 3) writers.discard();
      // Marks are not needed.
      takePages(memory);
      const listed = new Set(pagesOf(writtenSinceRestore(memory)));
      assertEquals(listed, model.changed, `round ${round}`);
      assertEquals(pagesOf(writtenSinceRestore(memory)), [...listed].sort((a, b) => a - b));
    }
  });
}

restoreTest("writtenSinceRestore() joins runs over adjacent regions, and cuts off the last", () => {
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, new Uint8Array(5 * PAGE));
  using file = Deno.openSync(path);
  Deno.removeSync(path);
  using memory = GuestMemoryMmap.fromRanges([[gpa(PAGE), 2 * PAGE], [gpa(3 * PAGE), PAGE + 10]], {
    backing: Backing.file(file, { private: true }),
  });
  memory.fill(gpa(2 * PAGE), 2 * PAGE + 10, 1);
  assertEquals([...writtenSinceRestore(memory)], [[gpa(2 * PAGE), 2 * PAGE + 10]]);
});

restoreTest("writtenSinceRestore() lists what is discarded before and after it is touched", () => {
  using memory = copiesOf([[0, 16]]);
  memory.discard(gpa(4 * PAGE), 3 * PAGE);
  const expected = [[gpa(4 * PAGE), 3 * PAGE]] as [number, number][];
  assertEquals([...writtenSinceRestore(memory)] as unknown, expected);
  assertEquals(memory.readObj(u8, gpa(5 * PAGE)), 0);
  memory.writeObj(u8, 1, gpa(6 * PAGE));
  assertEquals([...writtenSinceRestore(memory)] as unknown, expected);
  memory.discard(gpa(7 * PAGE), PAGE);
  memory.writeObj(u8, 1, gpa(3 * PAGE));
  assertEquals([...writtenSinceRestore(memory)], [[gpa(3 * PAGE), 5 * PAGE]]);
});

restoreTest("writtenSinceRestore() refuses other memory, before the iteration", () => {
  using anonymous = GuestMemoryMmap.fromRanges([[gpa(PAGE), PAGE]]);
  using shared = copiesOf([[2 * PAGE, 1]], { isPrivate: false });
  using heap = GuestMemoryHeap.fromRanges([[gpa(3 * PAGE), PAGE]]);
  using copies = copiesOf([[0, 1]]);
  const descriptors = openDescriptors();
  const cases: [Iterable<GuestMemoryRegion>, number][] = [
    [anonymous, PAGE],
    [shared, 2 * PAGE],
    [heap, 3 * PAGE],
    [[...copies, ...anonymous], PAGE],
  ];
  for (const [regions, at] of cases) {
    const error = assertThrows(() => writtenSinceRestore(regions), RegionNotTrackable);
    assertEquals(error.startAddr, gpa(at));
  }
  for (const wrong of [undefined, 7, {}]) {
    assertThrows(() => writtenSinceRestore(wrong as never), TypeError, "as memory");
  }
  assertEquals([...writtenSinceRestore([])], []);
  assertEquals(openDescriptors(), descriptors);
});

restoreTest("writtenSinceRestore() throws when the memory is closed", () => {
  const memory = copiesOf([[0, 2], [64 * PAGE, 2]]);
  memory.fill(gpa(0), PAGE, 1);
  memory.fill(gpa(64 * PAGE), PAGE, 1);
  const regions = [...memory];
  const runs = writtenSinceRestore(memory);
  assertEquals(runs.next().value, [gpa(0), PAGE]);
  const later = writtenSinceRestore(memory);
  memory.close();
  assertThrows(() => later.next(), MemoryClosed);
  assertThrows(() => writtenSinceRestore(memory), MemoryClosed);
  assertThrows(() => writtenSinceRestore(regions), MemoryClosed);
});

trackerTest("writtenSinceRestore() refuses memory that a write tracker has", () => {
  using memory = copiesOf([[0, 16]], { tracked: true });
  memory.writeObj(u8, 1, gpa(PAGE));
  const begun = writtenSinceRestore(memory);
  {
    using _tracker = WriteTracker.start(memory);
    assertThrows(() => writtenSinceRestore(memory), RegionNotTrackable, "tracker");
    assertThrows(() => begun.next(), RegionNotTrackable, "tracker");
    memory.writeObj(u8, 1, gpa(3 * PAGE));
  }
  assertEquals(pagesOf(writtenSinceRestore(memory)), [PAGE, 3 * PAGE]);
});

restoreTest("writtenSinceRestore() takes some regions", () => {
  using memory = copiesOf([[0, 2], [64 * PAGE, 2]]);
  memory.fill(gpa(0), PAGE, 1);
  memory.fill(gpa(65 * PAGE), PAGE, 1);
  const region = memory.findRegion(gpa(64 * PAGE));
  assertEquals(region instanceof GuestRegionMmap, true);
  assertEquals([...writtenSinceRestore([region!])], [[gpa(65 * PAGE), PAGE]]);
});
