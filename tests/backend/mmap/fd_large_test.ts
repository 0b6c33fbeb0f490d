import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  dirtyRuns,
  Fd,
  GuestMemoryMmap,
  MemoryRegionAddress,
  PartialBuffer,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open, openFile } from "../../support/posix.ts";
import { content, count, gpa } from "../../support/values.ts";

linuxTest("the exact forms transfer more than the 2 GiB that one call takes", () => {
  const GiB = 2 ** 30;
  const total = 2 * GiB + 0x1_0000;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 1.25 * GiB], [gpa(1.25 * GiB), GiB]], {
    bitmap: (length) => new AtomicBitmap(length),
  });
  // The ends of the range, of the first region and of what a call takes.
  const edges = [1.25 * GiB, 2 * GiB - 4096, 2 * GiB, total].flatMap((end) => [end - 1, end]);
  const marks = [0, ...edges].map(gpa);
  for (const at of marks) memory.write(Uint8Array.of(9), at);
  using zero = open("/dev/zero", "r");
  memory.readExactVolatileFrom(gpa(0), new Fd(zero.fd), total);
  const left = marks.filter((at) => content(memory, at, 1)[0] !== 0);
  assertEquals(left, [gpa(total)]);
  assertEquals([...dirtyRuns(memory)], [[gpa(0), total + 4096]]);
});

linuxTest("a region of more than 4 GiB is written, in calls of at most 2 GiB", () => {
  const GiB = 2 ** 30;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4.5 * GiB], [gpa(4.5 * GiB), GiB]]);
  using sink = open("/dev/null", "w");
  const fd = new Fd(sink.fd);
  const first = memory.writeVolatileTo(gpa(0), fd, 5 * GiB);
  assert(first >= GiB && first < 2 * GiB, `${first}`);
  memory.writeAllVolatileTo(gpa(0), fd, 5 * GiB);
  memory.findRegion(gpa(0))!.writeAllVolatileTo(MemoryRegionAddress(1), fd, 4.5 * GiB - 1);
  const error = assertThrows(() => memory.writeAllVolatileTo(gpa(GiB), fd, 5 * GiB), PartialBuffer);
  assertEquals(error.completed, 4.5 * GiB);
});

linuxTest("a short read into a region of more than 4 GiB lands where it was asked", () => {
  const GiB = 2 ** 30;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 5 * GiB]]);
  using file = openFile(count(10));
  assertEquals(memory.readVolatileFrom(gpa(4 * GiB + 3), new Fd(file.fd).at(0), GiB - 3), 10);
  assertEquals(memory.readVolatileFrom(gpa(5), new Fd(file.fd).at(0), 4.5 * GiB), 10);
  assertEquals(content(memory, 4 * GiB + 3, 11), Uint8Array.of(...count(10), 0));
  assertEquals(content(memory, 4, 12), Uint8Array.of(0, ...count(10), 0));
});
