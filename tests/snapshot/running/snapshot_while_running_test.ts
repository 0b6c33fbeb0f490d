import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  Backing,
  Fd,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionMmap,
  MappingShared,
  MemoryClosed,
  type MmapOptions,
  MmapRegion,
  Permissions,
  SystemError,
  u32,
} from "../../../mod.ts";
import {
  FaultHandler,
  RegionNotTrackable,
  restore,
  RestoreUnfinished,
  type RunningSnapshotOptions,
  SnapshotFailed,
  SnapshotMismatch,
  SnapshotRefused,
  snapshotWhileRunning,
  type TransferProgress,
  writeSnapshot,
  WriteTracker,
} from "../../../src/snapshot/mod.ts";
import { openDescriptors } from "../../support/descriptors.ts";
import { open } from "../../support/posix.ts";
import { until } from "../../support/until.ts";
import { gpa } from "../../support/values.ts";
import { lazyTest, PAGE, snapshotOf } from "../lazy/lazy_memory.ts";
import { mountTest, scratchFile, smallDisk } from "../memories.ts";
import { SequenceWriter, wrongPages } from "./sequence.ts";

const RANGES = [[gpa(16 * PAGE), 3000 * PAGE + 8], [gpa(2 ** 32), 500 * PAGE]] as const;

const BACKINGS: Record<string, () => MmapOptions> = {
  "anonymous memory": () => ({}),
  "shared anonymous memory": () => ({ backing: Backing.anonymous({ shared: true }) }),
  "a memfd": () => ({ backing: Backing.memfd() }),
  "transparent huge pages": () => ({ transparentHugePages: true }),
};

for (const [name, options] of Object.entries(BACKINGS)) {
  lazyTest(`snapshotWhileRunning() has what memory had at one moment: ${name}`, async () => {
    using memory = GuestMemoryMmap.fromRanges(RANGES, options());
    await using writer = new SequenceWriter(memory);
    for (const skip of ["absent", "zero", "nothing"] as const) {
      assert(await until(() => writer.count > 500));
      using file = scratchFile();
      let count = 0;
      let before = 0;
      const { bytes, written } = await snapshotWhileRunning(memory, file.fd, {
        skip,
        pause: () => {
          writer.pause();
          count = writer.count;
        },
        resume: () => {
          before = writer.count;
          writer.resume();
        },
      });
      assertEquals(before, count);
      assert(writer.count > count, "nothing was written meanwhile");
      using restored = restore(RANGES, file.fd, { mode: "eager" });
      assertEquals(wrongPages(restored, count), [], skip);
      assertEquals(bytes, file.content.length);
      assert(written <= bytes);
    }
  });
}

lazyTest("copies of a memfd can be saved while they are written", async () => {
  using template = GuestMemoryMmap.fromRanges(RANGES, { backing: Backing.memfd() });
  template.writeObj(u32, 77, gpa(2 ** 32 + 5 * PAGE));
  const fd = template.describe()[0]!.fd!;
  using memory = restore(RANGES, fd, { mode: "copyOnWrite" });
  memory.writeObj(u32, 78, gpa(2 ** 32 + 6 * PAGE));
  using file = scratchFile();
  await snapshotWhileRunning(memory, file.fd, {
    resume: () => {
      memory.writeObj(u32, 1, gpa(2 ** 32 + 5 * PAGE));
      memory.writeObj(u32, 2, gpa(2 ** 32 + 6 * PAGE));
      memory.writeObj(u32, 3, gpa(2 ** 32 + 7 * PAGE));
    },
  });
  using restored = restore(RANGES, file.fd, { mode: "eager" });
  const read = (page: number) => restored.readObj(u32, gpa(2 ** 32 + page * PAGE));
  assertEquals([read(5), read(6), read(7)], [77, 78, 0]);
});

lazyTest("memory that is not written gives the bytes and holes of writeSnapshot()", async () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES);
  for (let page = 0; page < 400; page += 3) {
    memory.writeObj(u32, page, gpa(2 ** 32 + page * PAGE));
  }
  for (const skip of ["absent", "zero"] as const) {
    using running = scratchFile();
    using paused = scratchFile();
    const options = { skip, sync: true, sha256: true, generation: 3 };
    const report = await snapshotWhileRunning(memory, running.fd, options);
    assertEquals(report, await writeSnapshot(memory, paused.fd, options));
    assertEquals(running.content, paused.content);
    assertEquals(running.stored, paused.stored);
  }
});

lazyTest("progress is reported; what it throws, and a signal, end the snapshot", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 ** 26]]);
  memory.fill(gpa(0), 2 ** 26, 1);
  using file = scratchFile();
  const ranges = [[gpa(0), 2 ** 26]] as const;
  for (const sha256 of [false, true]) {
    const seen: number[] = [];
    const steps = sha256 ? 2 ** 27 : 2 ** 26;
    const onProgress = ({ bytes, total }: TransferProgress) => {
      assertEquals(total, steps);
      seen.push(bytes);
    };
    await snapshotWhileRunning(memory, file.fd, { sha256, onProgress });
    assertEquals(seen, seen.toSorted((a, b) => a - b));
    assertEquals([seen.length >= 4, seen.at(-1)], [true, steps]);
  }
  const endings: [RunningSnapshotOptions, unknown][] = [];
  const error = new Error("enough");
  endings.push([{
    onProgress: () => {
      throw error;
    },
  }, error]);
  endings.push([{ pause: () => Promise.reject(error) }, error]);
  endings.push([{
    resume: () => {
      throw error;
    },
  }, error]);
  const other = new Error("later");
  endings.push([
    { pause: () => Promise.reject(error), resume: () => Promise.reject(other) },
    error,
  ]);
  const aborting = new AbortController();
  endings.push([{ signal: aborting.signal, onProgress: () => aborting.abort(error) }, error]);
  endings.push([{ signal: AbortSignal.abort(error) }, error]);
  const resuming = new AbortController();
  endings.push([{ signal: resuming.signal, resume: () => resuming.abort(error) }, error]);
  for (const [options, expected] of endings) {
    using target = scratchFile();
    const thrown = await snapshotWhileRunning(memory, target.fd, options).catch((e) => e);
    assertEquals(thrown, expected);
    // Nobody is held back.
    memory.fill(gpa(0), 2 ** 26, 2);
    // Nothing was begun, or what was is refused.
    if (target.content.length > 0) {
      await assertRejects(
        async () => await restore(ranges, target.fd, { mode: "eager" }),
        SnapshotMismatch,
      );
    }
  }
});

lazyTest(
  "snapshotWhileRunning() refuses what cannot be held back, and says what to do",
  async () => {
    using file = scratchFile();
    const refused = async (
      memory: GuestMemory,
      // deno-lint-ignore no-explicit-any
      kind: new (...args: any[]) => Error,
      text: string,
    ) => {
      let isResumed = false;
      await assertRejects(
        () =>
          snapshotWhileRunning(memory, file.fd, {
            resume: () => {
              isResumed = true;
            },
          }),
        kind,
        text,
      );
      return isResumed;
    };
    using heap = GuestMemoryHeap.fromRanges([[gpa(0), PAGE]]);
    assertEquals(await refused(heap, RegionNotTrackable, "not mapped"), false);
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]], {
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    {
      using _tracker = WriteTracker.start(memory);
      assertEquals(await refused(memory, RegionNotTrackable, "write tracker"), true);
    }
    const path = Deno.makeTempFileSync();
    Deno.truncateSync(path, 4 * PAGE);
    using other = Deno.openSync(path, { read: true, write: true });
    using mapped = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]], {
      backing: Backing.file(other),
    });
    assertEquals(await refused(mapped, RegionNotTrackable, "writeSnapshot()"), true);
    Deno.removeSync(path);
    using snapshot = await snapshotOf([[16 * PAGE, 4 * PAGE]]);
    using lazy = snapshot.restore({ prefetch: false });
    assertEquals(await refused(lazy, RestoreUnfinished, "is still being loaded"), false);
    assert(FaultHandler.of(lazy).fd > 0);
    for (
      const option of ["skip", "pause", "resume", "userModeOnly", "onProgress", "signal", "sync"]
    ) {
      await assertRejects(() => snapshotWhileRunning(memory, file.fd, { [option]: 7 }), TypeError);
    }
    await assertRejects(() => snapshotWhileRunning(7 as never, file.fd), TypeError);
    memory.close();
    await assertRejects(() => snapshotWhileRunning(memory, file.fd), MemoryClosed);
  },
);

lazyTest("memory that is closed meanwhile stays mapped until it is saved", async () => {
  const before = openDescriptors();
  for (const when of ["pause", "resume"] as const) {
    const memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 ** 24]]);
    memory.fill(gpa(0), 2 ** 24, 7);
    using file = scratchFile();
    const saved = snapshotWhileRunning(memory, file.fd, { [when]: () => memory.close() });
    if (when === "pause") await assertRejects(() => saved, MemoryClosed);
    else {
      await saved;
      assertEquals(file.content.length, 2 ** 24);
      assert(file.content.every((byte) => byte === 7));
    }
  }
  assert(await until(() => openDescriptors() <= before));
});

lazyTest("permissions are not taken away while the thread reads the memory", async () => {
  const ranges = [[gpa(0), 2 ** 22]] as const;
  for (const skip of ["absent", "zero", "nothing"] as const) {
    using memory = GuestMemoryMmap.fromRanges(ranges);
    memory.fill(gpa(0), 2 ** 22, 7);
    const [{ mmap }] = [...memory] as [GuestRegionMmap];
    using file = scratchFile();
    await snapshotWhileRunning(memory, file.fd, {
      skip,
      resume: () => void assertThrows(() => mmap.protect(Permissions.No), MappingShared),
    });
    assert(file.content.every((byte) => byte === 7));
    mmap.protect(Permissions.No);
    const refused = () => snapshotWhileRunning(memory, file.fd, { skip });
    const error = await assertRejects(refused, Error);
    assert(error instanceof (skip === "nothing" ? SnapshotFailed : AccessDenied), `${error}`);
    mmap.protect(Permissions.ReadWrite);
  }
});

lazyTest(
  "a signal that is raised before the guest is paused leaves it and the file alone",
  async () => {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]]);
    using file = scratchFile();
    await snapshotWhileRunning(memory, file.fd);
    const before = file.content;
    const aborting = new AbortController();
    let pauses = 0;
    const pause = () => void pauses++;
    const running = snapshotWhileRunning(memory, file.fd, { signal: aborting.signal, pause });
    // Its thread starts.
    aborting.abort(new Error("enough"));
    await assertRejects(() => running, Error, "enough");
    assertEquals([pauses, file.content], [0, before]);
  },
);

lazyTest(
  "snapshotWhileRunning() refuses the file of a region, and one that is mapped",
  async () => {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]], { backing: Backing.memfd() });
    const { fd } = memory.describe()[0]!;
    await assertRejects(() => snapshotWhileRunning(memory, fd!), SnapshotRefused, "maps it");
    using file = scratchFile();
    await snapshotWhileRunning(memory, file.fd);
    using restored = restore([[gpa(0), 4 * PAGE]], file.fd, { mode: "copyOnWrite" });
    using other = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]]);
    const running = () => snapshotWhileRunning(other, file.fd);
    await assertRejects(running, SnapshotRefused, "this process maps it");
    assertEquals(restored.isZero(gpa(0), 4 * PAGE), true);
  },
);

lazyTest("system calls that write wait until the page is saved, as all writers", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]]);
  memory.fill(gpa(0), 4 * PAGE, 1);
  using file = scratchFile();
  using zero = open("/dev/zero", "r");
  const resume = () => memory.readExactVolatileFrom(gpa(2 * PAGE), new Fd(zero.fd), 4);
  await snapshotWhileRunning(memory, file.fd, { resume });
  assertEquals(file.content, new Uint8Array(4 * PAGE).fill(1));
  assertEquals(memory.readObj(u32, gpa(2 * PAGE)), 0);
});

lazyTest("snapshotWhileRunning() refuses memory that two regions have", async () => {
  const mmap = new MmapRegion(4 * PAGE);
  using memory = GuestMemoryMmap.fromRegions(
    [gpa(0), gpa(2 ** 32)].map((start) => new GuestRegionMmap(mmap, start)),
  );
  using file = scratchFile();
  await assertRejects(
    () => snapshotWhileRunning(memory, file.fd),
    RegionNotTrackable,
    "another region has the same memory",
  );
});

lazyTest("memory that is closed while the thread starts is left alone", async () => {
  const ranges = [[gpa(0), 2 ** 20]] as const;
  const memory = GuestMemoryMmap.fromRanges(ranges);
  using file = scratchFile();
  const saved = snapshotWhileRunning(memory, file.fd);
  memory.close();
  // It may have the addresses.
  using other = GuestMemoryMmap.fromRanges(ranges);
  await assertRejects(() => saved, MemoryClosed);
  other.writeObj(u32, 1, gpa(0));
  assertEquals(other.readObj(u32, gpa(0)), 1);
  assertEquals(file.content.length, 0);
});

mountTest(
  "snapshotWhileRunning() into storage that is full fails, and holds nobody back",
  async () => {
    using disk = smallDisk(2 ** 20);
    using file = scratchFile(disk.path);
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 ** 22]]);
    memory.fill(gpa(0), 2 ** 22, 7);
    const error = await assertRejects(() => snapshotWhileRunning(memory, file.fd), SnapshotFailed);
    assert(error.cause instanceof SystemError && error.cause.code === "ENOSPC", `${error.cause}`);
    memory.fill(gpa(0), 2 ** 22, 8);
    const again = () => restore([[gpa(0), 2 ** 22]], file.fd, { mode: "eager" });
    await assertRejects(async () => await again(), SnapshotMismatch);
  },
);
