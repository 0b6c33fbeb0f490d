import { assert, assertEquals } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  type GuestMemoryMmap,
  type MmapOptions,
  pageSize,
  SystemError,
} from "../../mod.ts";
import { restore, WriteTracker } from "../../src/snapshot/mod.ts";
import { Random } from "../hostile/random.ts";
import { hugePagesTest } from "../support/huge_pages.ts";
import { gpa } from "../support/values.ts";
import { scratchFile } from "./memories.ts";
import { reasonOf, takePages, trackedMemory, trackerTest } from "./tracking.ts";
import { WorkerWriter, WriteModel, Writers } from "./writers.ts";

const ROUNDS = 40;
// Of this thread in every second round, and twice as many of a Worker: 10^6 for all backings.
const WRITES = 2_200;

/** What is found has to be what was written, after each round of writes. */
async function play(
  memory: GuestMemoryMmap,
  granule: number,
  rounds: number = ROUNDS,
): Promise<void> {
  const random = new Random(granule);
  const model = new WriteModel([...memory], granule);
  using writers = new Writers(memory, model, random);
  await using worker = await WorkerWriter.start(memory);
  using tracker = WriteTracker.start(memory);
  takePages(memory);
  for (let round = 0; round < rounds; round++) {
    // Every second round has few, to see single pages among many that are clean.
    const count = round % 2 === 0 ? random.int(20) : WRITES;
    const request = {
      stores: Array.from({ length: count }, () => writers.aligned(4)),
      bytes: Array.from({ length: count }, () => writers.place(1, true)),
      reads: Array.from({ length: count }, () => writers.aligned(4)),
    };
    const done = worker.write(request);
    for (const at of request.stores) model.write(at, 4);
    for (const at of request.bytes) model.write(at, 1);
    for (let i = 0; i < count; i++) writers.act();
    await done;
    // Without the Worker, as it is known then what comes after what.
    for (let i = 0; i < 40; i++) {
      if (round % 3 === 2 && i % 4 === 0) writers.discard();
      writers.act();
    }
    const byLibrary = new Set(takePages(memory));
    const bytes = tracker.collect();
    const found = new Set(takePages(memory));
    assertEquals(bytes, found.size * pageSize());
    assertEquals(model.written.difference(found), new Set(), `round ${round}: missing`);
    assertEquals(found.difference(model.changed), new Set(), `round ${round}: too many`);
    assertEquals(found.union(byLibrary), model.changed, `round ${round}: with the marks`);
    model.clear();
    if (round % 8 === 0) assertEquals(tracker.collect(), 0);
  }
}

const PAGES = 600;

// Two regions that are adjacent, and one that is far away. None begins at 0.
function rangesOf(pages: number): [start: number, pages: number][] {
  const start = 7 * 2 ** 21;
  return [[start, pages], [start + pages * pageSize(), pages], [2 ** 33 + start, pages]];
}

function modelTest(name: string, play: () => Promise<void>): void {
  trackerTest(`WriteTracker finds exactly what was written: ${name}`, play);
}

function backingTest(name: string, options: () => MmapOptions): void {
  modelTest(name, async () => {
    using memory = trackedMemory(rangesOf(PAGES), options());
    await play(memory, pageSize());
  });
}

backingTest("anonymous memory", () => ({}));
backingTest("shared anonymous memory", () => ({ backing: Backing.anonymous({ shared: true }) }));
backingTest("a memfd", () => ({ backing: Backing.memfd() }));

for (const folder of [undefined, "/dev/shm"]) {
  for (const isPrivate of [false, true]) {
    const kind = isPrivate ? "copies of a file" : "a shared file";
    modelTest(`${kind} in ${folder ?? "the folder for temporary files"}`, async () => {
      const path = Deno.makeTempFileSync(folder === undefined ? {} : { dir: folder });
      try {
        Deno.writeFileSync(path, new Uint8Array(3 * PAGES * pageSize()).fill(5));
        using file = Deno.openSync(path, { read: true, write: true });
        const backing = Backing.file(file, { private: isPrivate });
        using memory = trackedMemory(rangesOf(PAGES), { backing });
        await play(memory, pageSize());
      } finally {
        Deno.removeSync(path);
      }
    });
  }
}

modelTest("transparent huge pages", async () => {
  using memory = trackedMemory(rangesOf(1024), { transparentHugePages: true });
  for (const { startAddr, len } of memory) memory.fill(startAddr, len, 1);
  await play(memory, pageSize());
});

// Where the kernel has none of these, single pages.
modelTest("transparent huge pages of a memfd", async () => {
  using memory = trackedMemory(rangesOf(1024), { backing: Backing.memfd() });
  for (const { startAddr, len, mmap } of memory) {
    memory.fill(startAddr, len, 1);
    try {
      mmap.advise("collapse");
    } catch (error) {
      assert(error instanceof SystemError, `${error}`);
    }
  }
  await play(memory, pageSize());
});

for (const prefetch of [false, true]) {
  modelTest(
    `memory that is being loaded, ${prefetch ? "in the background too" : "when touched"}`,
    async () => {
      using file = scratchFile();
      Deno.truncateSync(file.path, 3 * PAGES * pageSize());
      // Every second page has content, the others are holes.
      for (let page = 0; page < 3 * PAGES; page += 2) {
        using target = Deno.openSync(file.path, { write: true });
        target.seekSync(page * pageSize(), Deno.SeekMode.Start);
        target.writeSync(new Uint8Array(pageSize()).fill(5));
      }
      const ranges = rangesOf(PAGES).map(([start, pages]) =>
        [gpa(start), pages * pageSize()] as const
      );
      using memory = restore(ranges, file.fd, {
        mode: "lazy",
        prefetch,
        bitmap: (length) => new AtomicBitmap(length, pageSize()),
      });
      await play(memory, pageSize());
    },
  );
}

if (reasonOf("writeTracker") === undefined) {
  const HUGE = 2 ** 21;
  for (const backing of ["anonymous", "memfd"] as const) {
    hugePagesTest(
      `WriteTracker finds exactly which huge pages were written: ${backing}`,
      12,
      async () => {
        using memory = trackedMemory(rangesOf(4 * HUGE / pageSize()), {
          backing: Backing[backing]({ hugePages: HUGE }),
        });
        await play(memory, HUGE, 8);
      },
    );
  }
}
