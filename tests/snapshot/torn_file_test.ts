import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { AtomicBitmap, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import {
  applyDiff,
  InvalidDiff,
  restore,
  SnapshotFailed,
  SnapshotMismatch,
  SnapshotRefused,
  writeDiff,
  writeSnapshot,
} from "../../src/snapshot/mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { gpa } from "../support/values.ts";
import { mountTest, PAGE, type ScratchFile, scratchFile, smallDisk } from "./memories.ts";

const MIB = 2 ** 20;
const SIZE = 256 * MIB;
const CHUNK = 16 * MIB;
const RANGES = [[gpa(0), SIZE]] as const;

/** What the bytes of a snapshot are, all of them; undefined where it is refused. */
function contentOf(file: ScratchFile): number | undefined {
  const memory = (() => {
    try {
      return restore(RANGES, file.fd, { mode: "copyOnWrite" });
    } catch (error) {
      assert(error instanceof SnapshotMismatch, String(error));
      assert(error.message.includes("unfinished"), error.message);
      return undefined;
    }
  })();
  if (memory === undefined) return undefined;
  using _ = memory;
  const view = memory.getSlice(gpa(0), SIZE).rawView();
  const first = view[0]!;
  const expected = new Uint8Array(CHUNK).fill(first);
  for (let at = 0; at < SIZE; at += CHUNK) {
    const part = view.subarray(at, at + CHUNK);
    assertEquals(Buffer.compare(part, expected), 0, `bytes from ${at} on are mixed`);
  }
  return first;
}

/** Runs the writer, ends it after some milliseconds, and returns how long it has taken if it could. */
async function runWriter(args: string[], endAfter: number | undefined): Promise<number> {
  const script = new URL("./torn_writer.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--allow-all", script, ...args],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, "begins\n");
  const begin = performance.now();
  if (endAfter === undefined) assertEquals((await reader.read()).value, "done\n");
  else await new Promise((resolve) => setTimeout(resolve, endAfter));
  const time = performance.now() - begin;
  child.kill("SIGKILL");
  await reader.cancel();
  await child.stdin.close();
  await child.status;
  return time;
}

/** Ends the writer at eight points of its time, and checks the file each time. */
async function endAtRandom(
  args: string[],
  prepare: () => void,
  check: () => Promise<number | undefined>,
): Promise<void> {
  prepare();
  const time = await runWriter(args, undefined);
  assertEquals(await check(), 2);
  let torn = 0;
  for (let round = 0; round < 8; round++) {
    prepare();
    await runWriter(args, time * (round + Math.random()) / 8);
    const content = await check();
    if (content === undefined) torn++;
  }
  assert(torn > 0, "the writer was never ended in the middle");
}

function fill(file: ScratchFile, value: number): void {
  Deno.truncateSync(file.path, 0);
  Deno.truncateSync(file.path, SIZE);
  if (value === 0) return;
  using opened = Deno.openSync(file.path, { write: true });
  const chunk = new Uint8Array(CHUNK).fill(value);
  for (let at = 0; at < SIZE; at += CHUNK) opened.writeSync(chunk);
}

linuxTest("restore() refuses a snapshot whose writer was killed", async () => {
  using file = scratchFile("/dev/shm");
  const check = () => {
    const content = contentOf(file);
    assert(content === undefined || content === 1 || content === 2, String(content));
    return Promise.resolve(content);
  };
  await endAtRandom(["snapshot", file.path, `${SIZE}`], () => fill(file, 1), check);
});

for (const form of ["flat", "compact"] as const) {
  linuxTest(`applyDiff() refuses a ${form} diff whose writer was killed`, async () => {
    using base = scratchFile("/dev/shm");
    using diff = scratchFile("/dev/shm");
    const check = async () => {
      fill(base, 0);
      try {
        await applyDiff(base.fd, diff.fd, { form });
      } catch (error) {
        const isExpected = error instanceof SnapshotMismatch || error instanceof InvalidDiff;
        assert(isExpected && error.message.includes("unfinished"), `${error}`);
        assertEquals(contentOf(base), 0);
        return undefined;
      }
      // An old diff changes nothing: it is one hole.
      const content = contentOf(base);
      assert(content === 0 || content === 2, String(content));
      return content;
    };
    await endAtRandom([form, diff.path, `${SIZE}`], () => fill(diff, 0), check);
  });
}

linuxTest("restore() refuses a snapshot if applying a diff was killed", async () => {
  using base = scratchFile("/dev/shm");
  using diff = scratchFile("/dev/shm");
  fill(diff, 2);
  const check = async () => {
    const content = contentOf(base);
    if (content === undefined) {
      await applyDiff(base.fd, diff.fd);
      assertEquals(contentOf(base), 2);
    } else assert(content === 0 || content === 2, String(content));
    return content;
  };
  await endAtRandom(["apply", base.path, `${SIZE}`, diff.path], () => fill(base, 0), check);
});

/** A memory of 64 MiB that is dirty. */
function dirtyMemory(): GuestMemoryMmap<AtomicBitmap> {
  const memory = GuestMemoryMmap.fromRanges([[gpa(0), 64 * MIB]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  memory.fill(gpa(0), 64 * MIB, 2);
  return memory;
}

const WAYS: Record<string, () => { readonly options: object; readonly reason: Error }> = {
  "is aborted": () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const { signal } = controller;
    return { options: { signal, onProgress: () => controller.abort(reason) }, reason };
  },
  "has a callback that fails": () => {
    const reason = new Error("enough");
    const onProgress = () => {
      throw reason;
    };
    return { options: { onProgress }, reason };
  },
  "has a callback that fails at the end": () => {
    const reason = new Error("enough");
    const onProgress = ({ bytes, total }: { bytes: number; total: number }) => {
      if (bytes === total) throw reason;
    };
    return { options: { onProgress, sync: true }, reason };
  },
};

for (const [way, make] of Object.entries(WAYS)) {
  linuxTest(`a file of a snapshot is refused when its transfer ${way}`, async () => {
    using memory = dirtyMemory();
    const [range] = [[gpa(0), 64 * MIB] as const];
    using file = scratchFile();
    using base = scratchFile();
    await writeSnapshot(memory, base.fd);
    const before = base.content;
    const failed = async (run: (options: object) => Promise<unknown>) => {
      const { options, reason } = make();
      assertEquals(await assertRejects(() => run(options)), reason);
    };
    const refused = (file: ScratchFile) => {
      for (const mode of ["copyOnWrite", "eager"] as const) {
        const error = assertThrows(() => restore([range], file.fd, { mode }), SnapshotMismatch);
        assert(error.message.includes("unfinished"), error.message);
      }
    };
    // The whole length, with old content.
    Deno.writeFileSync(file.path, before);
    await failed((options) => writeSnapshot(memory, file.fd, options));
    refused(file);
    // Neither a diff to apply, nor a snapshot to bring up to date.
    const mismatch = await assertRejects(() => applyDiff(base.fd, file.fd), SnapshotMismatch);
    assertEquals(mismatch.expected, before.length);
    await assertRejects(() => applyDiff(file.fd, base.fd), SnapshotMismatch);

    Deno.writeFileSync(file.path, before);
    await failed((options) => writeDiff(memory, file.fd, takeDirty(memory), options));
    await assertRejects(() => applyDiff(base.fd, file.fd), SnapshotMismatch);
    assertEquals(base.content, before);
    await writeDiff(memory, file.fd, takeDirty(memory));
    await failed((options) => applyDiff(base.fd, file.fd, options));
    refused(base);
    await failed((options) => applyDiff(base.fd, file.fd, options));
    refused(base);
    await applyDiff(base.fd, file.fd, { sync: true });
    assertEquals(base.content, before);
  });
}

linuxTest("an unfinished snapshot of no bytes is refused too", async () => {
  using file = scratchFile();
  using diff = scratchFile();
  const controller = new AbortController();
  const { signal } = controller;
  const onProgress = () => controller.abort();
  await writeSnapshot([], diff.fd);
  await assertRejects(() => applyDiff(file.fd, diff.fd, { signal, onProgress }));
  assert(Deno.statSync(file.path).size > 0);
  await applyDiff(file.fd, diff.fd);
  assertEquals(Deno.statSync(file.path).size, 0);
});

mountTest("a file of a snapshot is refused when the disk was full", async () => {
  using small = smallDisk(4 * MIB);
  using memory = dirtyMemory();
  const range = [gpa(0), 64 * MIB] as const;
  const marks = () => {
    using dirty = takeDirty(memory);
    const { bytes } = dirty;
    dirty.putBack();
    return bytes;
  };
  using file = scratchFile(small.path);
  const refused = () => {
    const run = () => restore([range], file.fd, { mode: "eager" });
    assertThrows(run, SnapshotMismatch, "unfinished");
  };
  await assertRejects(() => writeSnapshot(memory, file.fd), SnapshotFailed);
  refused();
  await assertRejects(() => writeDiff(memory, file.fd, takeDirty(memory)), SnapshotFailed);
  refused();
  assertEquals(marks(), 64 * MIB);
  using base = scratchFile();
  Deno.truncateSync(base.path, 64 * MIB);
  await assertRejects(() => applyDiff(base.fd, file.fd), SnapshotMismatch, "unfinished");
  Deno.truncateSync(file.path, 0);
  Deno.truncateSync(file.path, 64 * MIB);
  using diff = scratchFile();
  await writeDiff(memory, diff.fd, takeDirty(memory));
  await assertRejects(() => applyDiff(file.fd, diff.fd), SnapshotFailed);
  refused();
});

linuxTest("a file takes one transfer at a time", async () => {
  using memory = dirtyMemory();
  using file = scratchFile();
  using base = scratchFile();
  using again = Deno.openSync(file.path, { read: true, write: true });
  await writeSnapshot(memory, base.fd);
  const before = base.content;
  let refused = 0;
  const onProgress = async () => {
    // The same file, by whatever descriptor, and for whatever transfer.
    for (
      const run of [
        () => writeSnapshot(memory, file.fd),
        () => writeDiff(memory, again, takeDirty(memory)),
        () => applyDiff(again, base.fd),
      ]
    ) {
      const error = await assertRejects(run, SnapshotRefused);
      assertEquals(error.reason, "another transfer of this thread writes it");
      refused++;
    }
  };
  const pending: Promise<void>[] = [];
  const options = { onProgress: () => void pending.push(onProgress()) };
  await writeSnapshot(memory, file.fd, options);
  await Promise.all(pending.splice(0));
  assert(refused >= 3);
  assertEquals(file.content, before);
  assertEquals(takeDirty(memory).bytes, 64 * MIB);
  // It is free again, also after an error.
  await assertRejects(() => writeSnapshot(memory, file.fd, { signal: AbortSignal.abort() }));
  const onFailure = () => {
    throw new Error("enough");
  };
  await assertRejects(() => writeSnapshot(memory, file.fd, { onProgress: onFailure }), Error);
  await writeSnapshot(memory, file.fd);
  assertEquals(file.content, before);
});
