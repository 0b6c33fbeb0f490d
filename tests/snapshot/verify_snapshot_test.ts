import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { createHash } from "node:crypto";
import { AtomicBitmap, GuestMemoryMmap, SystemError, takeDirty } from "../../mod.ts";
import {
  InvalidManifest,
  SnapshotMismatch,
  SnapshotRefused,
  type TransferProgress,
  verifySnapshot,
  writeDiff,
  writeSnapshot,
} from "../../src/snapshot/mod.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { open, pipe } from "../support/posix.ts";
import { gpa } from "../support/values.ts";
import { KINDS, memoryOf, PAGE, scratchFile } from "./memories.ts";

const MIB = 2 ** 20;

// By another program.
function sha256sum(path: string): string {
  const { stdout } = new Deno.Command("sha256sum", { args: [path] }).outputSync();
  return new TextDecoder().decode(stdout).slice(0, 64);
}

linuxTest("writeSnapshot() and writeDiff() have the SHA-256 that sha256sum prints", async () => {
  const layouts = fc.array(
    fc.record({
      gap: fc.integer({ min: 0, max: 2 }),
      pages: fc.integer({ min: 1, max: 900 }),
      cut: fc.constantFrom(0, 1, 2049),
      writes: fc.array(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 2 * PAGE }))),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const property = fc.asyncProperty(
    layouts,
    fc.constantFrom(...KINDS),
    fc.constantFrom("/dev/shm", undefined),
    async (layout, kind, folder) => {
      let at = 0;
      const ranges = layout.map(({ gap, pages, cut }) => {
        const start = at + gap * PAGE;
        at = start + pages * PAGE;
        return [start, pages * PAGE - cut] as const;
      });
      using memory = memoryOf(kind, ranges);
      for (const [i, { writes }] of layout.entries()) {
        const [start, length] = ranges[i]!;
        for (const [offset, bytes] of writes) {
          memory.write(bytes.subarray(0, length), gpa(start + offset % length));
        }
      }
      using file = scratchFile(folder);
      const { manifest } = await writeSnapshot(memory, file.fd, { sha256: true, generation: 7 });
      assertEquals([manifest.sha256, manifest.generation], [sha256sum(file.path), 7]);
      await verifySnapshot(JSON.parse(JSON.stringify(manifest)), file.fd);
    },
  );
  await fc.assert(property, { numRuns: 30, seed: 1 });
});

linuxTest("verifySnapshot() takes diffs of both forms, and empty files", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 40 * MIB], [gpa(2 ** 32), PAGE + 5]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  using file = scratchFile();
  const { manifest: since } = await writeSnapshot(memory, file.fd, { sha256: true });
  await verifySnapshot(since, file.fd);
  for (const form of ["flat", "compact"] as const) {
    for (const at of [0, 5 * MIB, 39 * MIB, 2 ** 32 + PAGE]) {
      memory.write(Uint8Array.of(form.length), gpa(at));
    }
    const dirty = takeDirty(memory);
    const options = { form, since, sha256: true };
    const { manifest } = await writeDiff(memory, file.fd, dirty, options);
    assertEquals(manifest.sha256, sha256sum(file.path));
    assertEquals(manifest.length, Deno.statSync(file.path).size);
    await verifySnapshot(manifest, file.fd);
    await assertRejects(() => verifySnapshot(since, file.fd), SnapshotMismatch);
  }
  const { manifest } = await writeSnapshot([], file.fd, { sha256: true, sync: true });
  assertEquals(manifest.sha256, createHash("sha256").digest("hex"));
  await verifySnapshot(manifest, file.fd);
});

linuxTest("verifySnapshot() finds each bit that was flipped, and other lengths", async () => {
  using memory = memoryOf("anonymous", [[0, 40 * MIB]]);
  memory.write(new Uint8Array(3 * PAGE).fill(7), gpa(17 * MIB));
  using file = scratchFile();
  const { manifest } = await writeSnapshot(memory, file.fd, { sha256: true });
  using reader = open(file.path, "r");
  const descriptors = openDescriptors();
  // In data and in holes, at the ends of pieces and of the file.
  for (const at of [0, 16 * MIB - 1, 16 * MIB, 17 * MIB + 5, 33 * MIB, 40 * MIB - 1]) {
    using opened = Deno.openSync(file.path, { read: true, write: true });
    const byte = new Uint8Array(1);
    opened.seekSync(at, Deno.SeekMode.Start);
    opened.readSync(byte);
    for (const value of [byte[0]! ^ 1 << at % 8, byte[0]!]) {
      opened.seekSync(at, Deno.SeekMode.Start);
      opened.writeSync(Uint8Array.of(value));
      const verifying = () => verifySnapshot(manifest, reader.fd);
      if (value === byte[0]) await verifying();
      else {
        const error = await assertRejects(verifying, SnapshotMismatch, "it was changed");
        assertEquals([error.property, error.expected], ["sha256", manifest.sha256]);
        assertEquals(error.found, sha256sum(file.path));
      }
    }
  }
  for (const length of [0, 1, 40 * MIB - 1, 40 * MIB + 1, 41 * MIB]) {
    Deno.truncateSync(file.path, length);
    let pieces = 0;
    const onProgress = () => void pieces++;
    const verifying = () => verifySnapshot(manifest, reader.fd, { onProgress });
    const error = await assertRejects(verifying, SnapshotMismatch);
    assertEquals(pieces, 0);
    assertEquals([error.property, error.expected, error.found], ["length", 40 * MIB, length]);
  }
  assertEquals(openDescriptors(), descriptors);
});

linuxTest(
  "verifySnapshot() reports progress, is aborted, and sees a file cut off",
  async () => {
    using file = scratchFile();
    Deno.truncateSync(file.path, 40 * MIB);
    using memory = memoryOf("anonymous", [[0, 40 * MIB]]);
    const seen: TransferProgress[] = [];
    const onProgress = (progress: TransferProgress) => void seen.push(progress);
    const { manifest } = await writeSnapshot(memory, file.fd, { sha256: true, onProgress });
    const places = [16, 32, 40].map((mib) => mib * MIB);
    assertEquals(
      seen.splice(0),
      [...places, ...places.map((at) => 40 * MIB + at)].map((bytes) => ({
        bytes,
        total: 80 * MIB,
      })),
    );
    await verifySnapshot(manifest, file.fd, { onProgress });
    assertEquals(seen, places.map((bytes) => ({ bytes, total: 40 * MIB })));
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    assertEquals(await assertRejects(() => verifySnapshot(manifest, file.fd, { signal })), reason);
    const controller = new AbortController();
    const aborted = () =>
      verifySnapshot(manifest, file.fd, {
        signal: controller.signal,
        onProgress: () => controller.abort(reason),
      });
    assertEquals(await assertRejects(aborted), reason);
    for (const length of [0, 20 * MIB, 40 * MIB - 1]) {
      Deno.writeFileSync(file.path, new Uint8Array(40 * MIB));
      if (length === 20 * MIB) {
        // Only what is a hole is cut off.
        Deno.truncateSync(file.path, 17 * MIB);
        Deno.truncateSync(file.path, 40 * MIB);
      }
      const cut = () => Deno.truncateSync(file.path, length);
      const verifying = () => verifySnapshot(manifest, file.fd, { onProgress: cut });
      const error = await assertRejects(verifying, SnapshotMismatch);
      assertEquals([error.property, error.found], ["length", length]);
    }
  },
);

linuxTest("verifySnapshot() refuses what it cannot verify", async () => {
  using memory = memoryOf("anonymous", [[0, PAGE]]);
  using file = scratchFile();
  const { manifest } = await writeSnapshot(memory, file.fd);
  const without = () => verifySnapshot(manifest, file.fd);
  assertEquals((await assertRejects(without, InvalidManifest)).reason, "it has no sha256");
  await assertRejects(() => verifySnapshot({} as never, file.fd), InvalidManifest);
  const good = { ...manifest, sha256: sha256sum(file.path) };
  using channel = pipe();
  await assertRejects(() => verifySnapshot(good, channel.reader), SnapshotRefused);
  await assertRejects(() => verifySnapshot(good, 2 ** 31 - 1), SystemError);
  await assertRejects(() => verifySnapshot(good, file.fd, { onProgress: 1 } as never), TypeError);
});

linuxTest("writeSnapshot() with a SHA-256 takes a file that is open to write only", async () => {
  using memory = memoryOf("anonymous", [[0, 2 * MIB]]);
  memory.write(Uint8Array.of(5), gpa(MIB));
  using file = scratchFile();
  using writer = open(file.path, "w");
  const { manifest } = await writeSnapshot(memory, writer.fd, { sha256: true });
  assertEquals(manifest.sha256, sha256sum(file.path));
  for (const wrong of [{ sha256: 1 }, { generation: -1 }, { generation: 1.5 }]) {
    await assertRejects(
      () => writeSnapshot(memory, writer.fd, wrong as never),
      Error,
      "Cannot use",
    );
  }
  assertEquals(manifest.sha256, sha256sum(file.path));
});

linuxTest("an unfinished file whose SHA-256 was to be computed is refused", async () => {
  using memory = memoryOf("anonymous", [[0, 40 * MIB]]);
  using file = scratchFile();
  const { manifest } = await writeSnapshot(memory, file.fd, { sha256: true });
  const controller = new AbortController();
  const onProgress = ({ bytes }: TransferProgress) => {
    if (bytes > 40 * MIB) controller.abort();
  };
  const { signal } = controller;
  await assertRejects(() => writeSnapshot(memory, file.fd, { sha256: true, signal, onProgress }));
  const verifying = () => verifySnapshot(manifest, file.fd);
  assert((await assertRejects(verifying, SnapshotMismatch)).message.includes("unfinished"));
});
