import { assert, assertEquals } from "@std/assert";
import { type MmapOptions, Permissions } from "../../../mod.ts";
import { FaultHandler } from "../../../src/snapshot/mod.ts";
import { openDescriptors } from "../../support/descriptors.ts";
import { collectUntil, gcTest } from "../../support/garbage.ts";
import { until } from "../../support/until.ts";
import { lazyTest, PAGE, snapshotOf, whyNotLazy, wrongPages } from "./lazy_memory.ts";

const START = 16 * PAGE;

lazyTest("parts that were advised are loaded too", async () => {
  using snapshot = await snapshotOf([[START, 300 * PAGE]], () => true);
  const advices = ["dontfork", "nohugepage", "hugepage", "mergeable", "random", "pageout"] as const;
  for (const prefetch of [true, false]) {
    for (const advice of advices) {
      using memory = snapshot.restore({ prefetch });
      const handler = FaultHandler.of(memory);
      const [region] = [...memory];
      // Each part is a mapping of the kernel.
      for (let page = 3; page < 300; page += 7) region!.mmap.advise(advice, page * PAGE, 3 * PAGE);
      if (prefetch) await handler.done;
      assertEquals(wrongPages(memory, () => true), [], advice);
      await handler.done;
    }
  }
});

lazyTest("memory is loaded whatever its protection and its options", async () => {
  using snapshot = await snapshotOf([[START, 300 * PAGE]], () => true);
  const options: MmapOptions[] = [
    {},
    { lock: "onfault", guardPages: true, mergeable: true, transparentHugePages: true },
    { numa: { nodes: [0], policy: "interleave" }, dontFork: true },
  ];
  const protections = [Permissions.Read, Permissions.No, Permissions.ReadWrite];
  for (const prefetch of [true, false]) {
    for (const option of options) {
      for (const protection of protections) {
        using memory = snapshot.restore({ ...option, prefetch, protection });
        const handler = FaultHandler.of(memory);
        const [region] = [...memory];
        region!.mmap.protect(Permissions.Read);
        region!.mmap.protect(Permissions.No);
        if (prefetch) await handler.done;
        region!.mmap.protect(Permissions.ReadWrite);
        assertEquals(wrongPages(memory, () => true), []);
        await handler.done;
      }
    }
  }
});

if (whyNotLazy === undefined) {
  gcTest("memory that nobody refers to is given back before it is loaded", async () => {
    using snapshot = await snapshotOf([[START, 300 * PAGE]], () => true);
    {
      // The first thread of a process leaves descriptors.
      using memory = snapshot.restore();
      await FaultHandler.of(memory).done;
    }
    let before = 0;
    assert(
      await until(() => {
        const now = openDescriptors();
        const isSame = now === before;
        before = now;
        return isSame;
      }),
    );
    for (const thread of [false, true]) {
      (() => void snapshot.restore({ prefetch: false, thread }))();
      assert(openDescriptors() > before);
      assert(await collectUntil(() => openDescriptors() <= before), `${thread}`);
    }
  });
}
