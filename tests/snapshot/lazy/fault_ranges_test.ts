import { assertThrows } from "@std/assert";
import { FaultHandler, FaultServer } from "../../../src/snapshot/mod.ts";
import { lazyTest, PAGE, snapshotOf } from "./lazy_memory.ts";

lazyTest("FaultServer refuses ranges that overlap, in memory or in the file", async () => {
  using snapshot = await snapshotOf([[0, 8 * PAGE]]);
  using memory = snapshot.restore({ thread: false });
  const { fd, ranges: [whole] } = FaultHandler.of(memory);
  const { hostAddress } = whole!;
  const range = (at: number, position: number) => {
    return { hostAddress: hostAddress + at * PAGE, len: 4 * PAGE, position: position * PAGE };
  };
  const overlaps: [string, ReturnType<typeof range>[]][] = [
    ["hostAddress", [range(4, 0), range(1, 4)]],
    ["position", [range(4, 3), range(0, 0)]],
    ["position", [range(0, 4), range(4, 4)]],
  ];
  for (const [name, ranges] of overlaps) {
    assertThrows(() => new FaultServer(fd, ranges, snapshot.file), RangeError, `those at ${name}`);
  }
  // In any order.
  new FaultServer(fd, [range(4, 0), range(0, 4)], snapshot.file).close();
});
