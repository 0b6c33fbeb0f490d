import { assert, assertEquals, assertRejects } from "@std/assert";
import { AtomicBitmap, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import {
  applyDiff,
  type DiffManifest,
  InvalidManifest,
  restore,
  type SnapshotManifest,
  SnapshotMismatch,
  verifySnapshot,
  writeDiff,
  writeSnapshot,
} from "../../src/snapshot/mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { gpa } from "../support/values.ts";
import { naiveBytes, PAGE, type ScratchFile, scratchFile } from "./memories.ts";
import { takePages } from "./tracking.ts";

function trackedMemory(
  ranges: readonly (readonly [start: number, length: number])[],
): GuestMemoryMmap<AtomicBitmap> {
  return GuestMemoryMmap.fromRanges(
    ranges.map(([start, length]) => [gpa(start), length] as const),
    { bitmap: (length) => new AtomicBitmap(length, PAGE) },
  );
}

/** A snapshot and two diffs after it, of both forms. */
class Chain implements Disposable {
  readonly memory = trackedMemory([[0, 8 * PAGE], [2 ** 32, 3 * PAGE - 5]]);
  readonly base = scratchFile();
  readonly diffs = [scratchFile(), scratchFile()] as const;
  readonly manifests: DiffManifest[] = [];
  first!: SnapshotManifest;

  static async make(): Promise<Chain> {
    const chain = new Chain();
    const { memory, base, diffs, manifests } = chain;
    chain.first = (await writeSnapshot(memory, base.fd)).manifest;
    for (const [i, form] of (["compact", "flat"] as const).entries()) {
      memory.write(Uint8Array.of(1 + i), gpa(i * PAGE));
      memory.write(Uint8Array.of(1 + i), gpa(2 ** 32 + 2 * PAGE));
      const since = manifests.at(-1) ?? chain.first;
      const report = await writeDiff(memory, diffs[i]!.fd, takeDirty(memory), { form, since });
      manifests.push(report.manifest);
    }
    return chain;
  }

  [Symbol.dispose](): void {
    for (const file of [this.base, ...this.diffs]) file[Symbol.dispose]();
    this.memory.close();
  }
}

linuxTest(
  "writeDiff() with a manifest makes the next generation, and applyDiff() too",
  async () => {
    using chain = await Chain.make();
    const { first, manifests, base, diffs, memory } = chain;
    assertEquals(manifests, [
      {
        ...first,
        generation: 1,
        since: 0,
        form: "compact",
        length: Deno.statSync(diffs[0].path).size,
      },
      { ...first, generation: 2, since: 1, form: "flat" },
    ]);
    let now: SnapshotManifest = first;
    for (const [i, diff] of manifests.entries()) {
      // As from files.
      const both = JSON.parse(JSON.stringify({ base: now, diff }));
      const sha256 = i === 1;
      const report = await applyDiff(base.fd, diffs[i]!.fd, { manifests: both, sha256 });
      now = report.manifest;
      assertEquals(now.generation, i + 1);
      assertEquals("sha256" in now, sha256);
    }
    const { sha256: _, ...rest } = now;
    assertEquals(rest, { ...first, generation: 2 });
    await verifySnapshot(now, base.fd);
    assertEquals(base.content, naiveBytes(memory));
    using restored = restore(now, base.fd, { mode: "copyOnWrite" });
    assertEquals(naiveBytes(restored), naiveBytes(memory));
  },
);

linuxTest("applyDiff() refuses a diff of another generation, and changes nothing", async () => {
  using chain = await Chain.make();
  const { first, base, diffs, manifests: [one, two] } = chain;
  const before = base.content;
  const refused = async (file: ScratchFile, base_: SnapshotManifest, diff: DiffManifest) => {
    const run = () => applyDiff(base.fd, file.fd, { manifests: { base: base_, diff } });
    const error = await assertRejects(run, SnapshotMismatch);
    assertEquals(base.content, before);
    return [error.property, error.expected, error.found];
  };
  assertEquals(await refused(diffs[1], first, two!), ["generation", 0, 1]);
  const later = { ...first, generation: 2 };
  assertEquals(await refused(diffs[0], later, one!), ["generation", 2, 0]);
  // Applied already.
  assertEquals(await refused(diffs[1], later, two!), ["generation", 2, 1]);
  // Another file than the manifest's.
  const { length } = first;
  assertEquals(await refused(diffs[1], first, one!), ["length", one!.length, length]);
  using old = scratchFile();
  Deno.truncateSync(old.path, length + 1);
  assertEquals(await refused(old, { ...first, generation: 1 }, two!), [
    "length",
    length,
    length + 1,
  ]);
});

linuxTest(
  "applyDiff() refuses a compact diff of another length than its manifest has",
  async () => {
    const files = [0, 1].map(() => ({ base: scratchFile(), diff: scratchFile() }));
    const manifests = [];
    for (const [i, { base, diff }] of files.entries()) {
      using memory = trackedMemory([[0, (4 + i) * PAGE]]);
      const { manifest: first } = await writeSnapshot(memory, base.fd);
      memory.write(Uint8Array.of(1), gpa(0));
      const options = { form: "compact", since: first } as const;
      const { manifest } = await writeDiff(memory, diff.fd, takeDirty(memory), options);
      manifests.push({ base: first, diff: manifest });
    }
    // The files fit to each other, and the manifests too.
    const [{ base, diff }] = files.toReversed() as [typeof files[0]];
    const options = { manifests: manifests[0]! };
    const error = await assertRejects(() => applyDiff(base.fd, diff.fd, options), SnapshotMismatch);
    assertEquals([error.expected, error.found], [4 * PAGE, 5 * PAGE]);
    for (const { base, diff } of files) for (const file of [base, diff]) file[Symbol.dispose]();
  },
);

linuxTest("applyDiff() and writeDiff() refuse manifests of other regions", async () => {
  using chain = await Chain.make();
  const { first, base, diffs, memory, manifests: [one] } = chain;
  const before = base.content;
  const others = [
    [[0, 8 * PAGE], [2 ** 33, 3 * PAGE - 5]],
    [[0, 7 * PAGE], [2 ** 32, 4 * PAGE - 5]],
    [[0, 8 * PAGE], [2 ** 32, 3 * PAGE - 4]],
    [[0, 8 * PAGE]],
    [[0, 8 * PAGE], [2 ** 32, 3 * PAGE - 5], [2 ** 33, PAGE]],
  ] as const;
  for (const ranges of others) {
    using other = trackedMemory(ranges);
    using file = scratchFile();
    const { manifest } = await writeSnapshot(other, file.fd);
    const manifests = { base: manifest, diff: one! };
    const applying = () => applyDiff(base.fd, diffs[0].fd, { manifests });
    assertEquals((await assertRejects(applying, SnapshotMismatch)).property, "regions");
    memory.write(Uint8Array.of(9), gpa(0));
    const writing = () => writeDiff(memory, file.fd, takeDirty(memory), { since: manifest });
    assertEquals((await assertRejects(writing, SnapshotMismatch)).property, "regions");
    assertEquals(takePages(memory), [0]);
  }
  assertEquals(base.content, before);
  assertEquals(first.generation, 0);
});

linuxTest("applyDiff() finishes with manifests what it began", async () => {
  using chain = await Chain.make();
  const { first, base, diffs, memory, manifests: [one, two] } = chain;
  const fail = () => {
    throw new Error("enough");
  };
  const manifests = { base: first, diff: one! };
  await assertRejects(() => applyDiff(base.fd, diffs[0].fd, { manifests, onProgress: fail }));
  const { manifest } = await applyDiff(base.fd, diffs[0].fd, { manifests });
  // A snapshot that was never whole is no base.
  await assertRejects(() => writeSnapshot(memory, base.fd, { onProgress: fail }));
  const torn = { manifests: { base: manifest, diff: two! } };
  const error = await assertRejects(() => applyDiff(base.fd, diffs[1].fd, torn), SnapshotMismatch);
  assert(error.message.includes("the snapshot") && error.message.includes("unfinished"));
});

linuxTest("writeDiff() and applyDiff() refuse what is no manifest of its kind", async () => {
  using chain = await Chain.make();
  const { first, base, diffs, memory, manifests: [one] } = chain;
  const refused = (manifests: unknown) => {
    const run = () => applyDiff(base.fd, diffs[0].fd, { manifests } as never);
    return assertRejects(run, InvalidManifest);
  };
  const wrong = "it is of a snapshot, not of a diff";
  assertEquals((await refused({ base: first, diff: first })).reason, wrong);
  await refused({ base: one, diff: one });
  await refused({ base: first });
  await refused({ diff: one });
  await refused({ base: first, diff: { ...one, since: "0" } });
  const manifests = { base: first, diff: one! };
  for (const options of [{ manifests, form: "flat" }, { sha256: true }, { sha256: 1, manifests }]) {
    await assertRejects(() => applyDiff(base.fd, diffs[0].fd, options as never), TypeError);
  }
  for (const options of [{ sha256: true }, { since: first, sha256: 1 }]) {
    const run = () => writeDiff(memory, diffs[0].fd, takeDirty(memory), options as never);
    await assertRejects(run, TypeError);
  }
  const run = () => writeDiff(memory, diffs[0].fd, takeDirty(memory), { since: {} as never });
  await assertRejects(run, InvalidManifest);
  await applyDiff(base.fd, diffs[0].fd, { manifests, form: "compact" });
});
