import { assert, assertEquals, assertThrows } from "@std/assert";
import { AtomicBitmap, DescriptorClosed, u64 } from "../../../mod.ts";
import { FaultHandler, WriteTracker } from "../../../src/snapshot/mod.ts";
import { until } from "../../support/until.ts";
import { gpa } from "../../support/values.ts";
import { contentOf, lazyTest, PAGE, snapshotOf, wrongPages } from "./lazy_memory.ts";

const START = 16 * PAGE;
const RANGES = [[START, 300 * PAGE], [2 ** 32, 300 * PAGE]] as const;
const bitmap = (length: number) => new AtomicBitmap(length, PAGE);

lazyTest("a tracker of one region leaves the loading of the others as it is", async () => {
  using snapshot = await snapshotOf(RANGES);
  for (const prefetch of [false, true]) {
    using memory = snapshot.restore({ prefetch, bitmap });
    const handler = FaultHandler.of(memory);
    const [first, second] = [...memory];
    using tracker = WriteTracker.start([first!]);
    assertEquals(wrongPages(memory), []);
    await handler.done;
    memory.writeObj(u64, contentOf(2 ** 32 + PAGE), gpa(2 ** 32 + PAGE));
    assertEquals(tracker.collect(), 0);
    using other = WriteTracker.start([second!]);
    memory.writeObj(u64, contentOf(2 ** 32 + PAGE), gpa(2 ** 32 + PAGE));
    memory.writeObj(u64, contentOf(START + PAGE), gpa(START + PAGE));
    assertEquals([tracker.collect(), other.collect()], [PAGE, PAGE]);
    assertEquals(wrongPages(memory), []);
  }
});

lazyTest(
  "the thread ends with the tracker, also if that one's memory is closed first",
  async () => {
    using snapshot = await snapshotOf(RANGES);
    const memory = snapshot.restore({ bitmap });
    const handler = FaultHandler.of(memory);
    const [rest, removed] = memory.removeRegion(gpa(2 ** 32), 300 * PAGE);
    memory.close();
    using _rest = rest;
    using _tracker = WriteTracker.start([removed]);
    await handler.done;
    assert(handler.fd > 0);
    removed.close();
    assert(
      await until(() => {
        try {
          return handler.fd < 0;
        } catch {
          return true;
        }
      }),
    );
    assertThrows(() => handler.fd, DescriptorClosed);
    assertEquals(wrongPages(rest), []);
  },
);
