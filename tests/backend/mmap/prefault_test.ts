import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  Backing,
  GuestMemoryMmap,
  MemoryClosed,
  MmapRegion,
  OptionRefused,
  Permissions,
  type SystemError,
} from "../../../mod.ts";
import { forResidentRuns, replaceMemory, unmapMemory } from "../../../ffi/memory.ts";
import { hugePagesTest } from "../../support/huge_pages.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { withSystemFiles } from "../../support/system_files.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;
const SIZE = 256 * PAGE;

linuxTest("prefault() takes every page of every kind of memory", async () => {
  for (
    const backing of [Backing.anonymous(), Backing.anonymous({ shared: true }), Backing.memfd()]
  ) {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE], [gpa(4 * SIZE), 10 * PAGE + 1]], {
      backing,
    });
    memory.write(Uint8Array.of(7), gpa(5));
    await memory.prefault();
    assertEquals(memory.residentRanges(), [[gpa(0), SIZE], [gpa(4 * SIZE), 11 * PAGE]]);
    assertEquals(memory.isZero(gpa(0), 5), true);
    assertEquals(memory.isZero(gpa(0), 6), false);
  }
});

linuxTest("prefault() says how far it is, and leaves the event loop free", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE], [gpa(SIZE), PAGE]]);
  const seen: [number, number][] = [];
  await memory.prefault({
    lanes: 2,
    chunk: 64 * PAGE,
    onProgress: (done, total) => seen.push([done, total]),
  });
  assertEquals(seen.length, 5);
  assertEquals(seen.map(([, total]) => total), Array(5).fill(SIZE + PAGE));
  assertEquals(seen.at(-1), [SIZE + PAGE, SIZE + PAGE]);
  assert(seen.every(([done], i) => i === 0 || done > seen[i - 1]![0]));
});

linuxTest("prefault() stops at its signal, with the reason", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]]);
  await assertRejects(
    () => memory.prefault({ signal: AbortSignal.abort(new RangeError("enough")) }),
    RangeError,
    "enough",
  );
  assertEquals(memory.residentRanges(), []);
  const controller = new AbortController();
  await assertRejects(
    () =>
      memory.prefault({
        lanes: 1,
        chunk: PAGE,
        signal: controller.signal,
        onProgress: (done) => done === 10 * PAGE && controller.abort(new TypeError("stop")),
      }),
    TypeError,
    "stop",
  );
  assertEquals(memory.residentRanges(), [[gpa(0), 10 * PAGE]]);
});

linuxTest("prefault() passes on what onProgress throws, after its lanes have ended", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]]);
  let calls = 0;
  await assertRejects(
    () =>
      memory.prefault({
        lanes: 2,
        chunk: PAGE,
        onProgress() {
          calls++;
          throw new SyntaxError("not now");
        },
      }),
    SyntaxError,
  );
  assert(calls <= 2);
  // No lane takes more after another has failed.
  calls = 0;
  const options = { lanes: 2, chunk: PAGE };
  const onProgress = () => {
    if (calls++ === 0) throw new SyntaxError("not now");
  };
  await assertRejects(() => memory.prefault({ ...options, onProgress }), SyntaxError);
  assert(calls <= 2, `${calls}`);
});

linuxTest("prefault() takes whole pages in each step, however small it is", async () => {
  using region = new MmapRegion(4 * PAGE);
  const seen: number[] = [];
  await region.prefault({ chunk: 1, lanes: 1, onProgress: (done) => seen.push(done) });
  assertEquals(seen, [PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE]);
});

linuxTest(
  "prefault() of memory that is closed meanwhile touches its addresses no more",
  async () => {
    const region = new MmapRegion(4 * PAGE);
    const address = Number(region.hostAddress());
    const onProgress = () => {
      region.close();
      // Somebody else's now.
      replaceMemory(address, 4 * PAGE);
    };
    await assertRejects(() => region.prefault({ lanes: 1, chunk: PAGE, onProgress }), MemoryClosed);
    forResidentRuns(address, 4 * PAGE, () => assert(false));
    unmapMemory(address, 4 * PAGE);
  },
);

linuxTest("prefault() counts what is there already, where little is available", async () => {
  using region = new MmapRegion(8 * PAGE);
  const prefault = (total: number) =>
    withSystemFiles({
      "/proc/meminfo": `MemTotal: ${total} kB\nMemAvailable: 0 kB\n`,
    }, () => region.prefault());
  const refused = "32 KiB are needed, 0 B are available";
  await assertRejects(() => prefault(1000), OptionRefused, refused);
  region.fill(0, 6 * PAGE, 1);
  await assertRejects(() => prefault(1000), OptionRefused, "8 KiB are needed");
  // More is missing than can be there.
  await assertRejects(() => prefault(0), OptionRefused, refused);
  region.fill(0, 8 * PAGE, 1);
  await prefault(1000);
});

linuxTest(
  "prefault() counts a memfd that is given as a file, and every page of a copy",
  async () => {
    using file = temporaryFile(new Uint8Array(4 * PAGE));
    using opened = Deno.openSync(file.path, { read: true, write: true });
    using owner = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE, { backing: Backing.memfd() }]]);
    const { fd } = owner.describe()[0]!;
    for (const backing of [Backing.file(fd!), Backing.file(opened, { private: true })]) {
      using region = new MmapRegion(4 * PAGE, { backing });
      const files = { "/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 0 kB\n" };
      await assertRejects(
        () => withSystemFiles(files, () => region.prefault()),
        OptionRefused,
        "16 KiB are needed",
      );
    }
  },
);

linuxTest("prefault() counts no files, whose pages can be dropped", async () => {
  using device = Deno.openSync("/dev/zero", { read: true, write: true });
  const backing = Backing.file(device, { private: true });
  using region = new MmapRegion(2 ** 44, { backing, protection: Permissions.No });
  await assertRejects(() => region.prefault(), OptionRefused, "nothing may be accessed");
});

linuxTest("prefault() refuses what it cannot do, by name", async () => {
  using nothing = new MmapRegion(PAGE, { protection: Permissions.No });
  await assertRejects(() => nothing.prefault(), OptionRefused, "nothing may be accessed");
  using large = new MmapRegion(2 ** 44);
  await assertRejects(() => large.prefault(), OptionRefused, "are available");
  assertEquals(new MmapRegion(PAGE).residentBytes(), 0);
  using region = new MmapRegion(PAGE);
  for (const lanes of [0, -1, 0.5, NaN, Infinity]) {
    await assertRejects(() => region.prefault({ lanes }), RangeError);
    await assertRejects(() => region.prefault({ chunk: lanes }), RangeError);
  }
  region.close();
  await assertRejects(() => region.prefault(), MemoryClosed);
});

linuxTest("prefault() of a private file counts the copies that it makes", async () => {
  using file = temporaryFile(2 ** 42);
  using opened = Deno.openSync(file.path);
  const backing = Backing.file(opened, { private: true });
  using region = new MmapRegion(2 ** 42, { backing });
  await assertRejects(() => region.prefault(), OptionRefused, "are available");
  for (const option of ["prefault", "lock"] as const) {
    const error = assertThrows(
      () => new MmapRegion(2 ** 42, { backing, [option]: true }),
      OptionRefused,
      "are available",
    );
    assertEquals(error.option, option);
  }
});

hugePagesTest(
  "prefault() of huge pages asks their pool, not what else is available",
  1,
  async () => {
    const backing = Backing.anonymous({ hugePages: 2 ** 21 });
    using region = new MmapRegion(2 ** 42, { backing, reserve: false });
    const error = await assertRejects(() => region.prefault(), OptionRefused);
    assertEquals((error.cause as SystemError).code, "EFAULT");
  },
);

linuxTest(
  "prefault() of a file that was truncated meanwhile says so, without a signal",
  async () => {
    const path = Deno.makeTempFileSync();
    try {
      using file = Deno.openSync(path, { read: true, write: true });
      file.truncateSync(SIZE);
      using region = new MmapRegion(SIZE, { backing: Backing.file(file) });
      file.truncateSync(SIZE / 2);
      const error = await assertRejects(() => region.prefault({ chunk: SIZE }), OptionRefused);
      assertEquals([error.option, (error.cause as SystemError).code], ["prefault", "EFAULT"]);
      const pending = region.prefault({ chunk: SIZE });
      region.close();
      await assertRejects(() => pending, MemoryClosed);
    } finally {
      Deno.removeSync(path);
    }
  },
);

linuxTest("prefault() of read-only memory reads", async () => {
  using region = new MmapRegion(16 * PAGE, { protection: Permissions.Read });
  await region.prefault();
  assertEquals(region.residentBytes(), 16 * PAGE);
});

linuxTest("prefault() of many small pieces, in many lanes, begins without delay", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 ** 30]]);
  const controller = new AbortController();
  const options = { chunk: 1, lanes: 2 ** 52, signal: controller.signal };
  let done = 0;
  const onProgress = (bytes: number) => {
    done = bytes;
    controller.abort();
  };
  await assertRejects(() => memory.prefault({ ...options, onProgress }), DOMException);
  assert(done <= 256 * PAGE, `${done} bytes`);
});
